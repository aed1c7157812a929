"""A network in place of an expensive model, optimised by SciPy with its exact derivatives.

The model has two outputs: what a design costs, and how hot it runs, which is limited. The network
learns both from samples; SciPy's trust-constr then takes its gradients and Hessians.
"""

import numpy as np
from scipy.optimize import NonlinearConstraint, minimize

import fcnn

HOTTEST = 1.0


def model(X):
    """Return cost and temperature of designs, (s, 3); here a formula, in earnest a simulation."""
    x, y, z = X.T
    cost = (x - 0.6) ** 2 + 2 * (y + 0.4 * np.sin(3 * x)) ** 2 + 0.5 * (z - x * y) ** 2
    heat = np.exp(0.8 * x) - 0.5 * y * z + 0.3 * np.cos(2 * z)
    return np.stack([cost, heat], axis=1)


def optimise(net, start):
    """Return SciPy's result: the cheapest design that is not too hot."""
    cost, heat = np.eye(2)
    limit = NonlinearConstraint(
        lambda x: net.predict(x)[1],
        -np.inf,
        HOTTEST,
        jac=lambda x: net.vjp(x, heat)[1],
        hess=lambda x, v: v[0] * net.hessian(x, 1),
    )
    return minimize(
        lambda x: net.predict(x)[0],
        start,
        jac=lambda x: net.vjp(x, cost)[1],
        hessp=lambda x, p: net.hvp(x, cost, p),
        method="trust-constr",
        bounds=[(-1, 1)] * 3,
        constraints=limit,
    )


def main():
    """Learn and optimise; return the design, and what the model itself says of it."""
    X = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    net = fcnn.Network((3, 20, 2), "tanh", loss="squared_error", dtype="float64", rng=0)
    net.fit(X, y := model(X), epochs=200, optimizer="lm")
    cool = X[y[:, 1] < HOTTEST]
    found = optimise(net, start=cool[y[y[:, 1] < HOTTEST, 0].argmin()])
    truth = model(found.x[np.newaxis])[0]
    print(f"{found.nit} iterations: x = {found.x.round(3)}, network's cost {found.fun:.4f}")
    print(f"the model says: cost {truth[0]:.4f}, temperature {truth[1]:.4f} of {HOTTEST}")
    return found.x, truth


if __name__ == "__main__":
    main()
