"""Optimal control by CasADi (pip install casadi): a network learns how a pendulum swings."""

import casadi as ca
import numpy as np

import fcnn


def pendulum(X):
    """Return how angle from the top and speed change in a step, of (angle, speed, push)."""
    faster = 0.1 * (5 * np.sin(X[:, 0]) + X[:, 2])
    return np.stack([0.1 * (X[:, 1] + faster), faster], axis=1)


class Function(ca.Callback):
    """What a network's method returns, as a function of CasADi."""

    def __init__(self, method, columns, derivative=None):
        super().__init__()
        self.method, self.columns, self.derivative = method, columns, derivative
        self.construct(method.__name__, {})

    def get_sparsity_in(self, i):
        return ca.Sparsity.dense(3, 1)

    def get_sparsity_out(self, i):
        return ca.Sparsity.dense(2, self.columns)

    def eval(self, given):
        return [self.method(given[0].full().ravel())]

    def has_jacobian(self):
        return self.derivative is not None

    def get_jacobian(self, name, names_in, names_out, options):
        x, y = ca.MX.sym("x", 3), ca.MX.sym("y", 2)  # it may read the outputs, too
        return ca.Function(name, [x, y], [self.derivative(x)], names_in, names_out, options)


def main(steps=30):
    """Learn and plan; return where the pendulum itself ends."""
    X = np.random.default_rng(0).uniform([-1, -6, -8], [4, 3, 8], (500, 3))
    net = fcnn.Network((3, 8, 8, 2), "tanh", loss="squared_error", dtype="float64", rng=0)
    net.fit(X, pendulum(X), epochs=100, optimizer="lm")
    move = Function(net.predict, 1, Function(net.jacobian, 3))
    opti, state = ca.Opti(), np.array([np.pi, 0.0])
    push, end = opti.variable(steps), state
    for i in range(steps):
        end = end + move(ca.vertcat(end, push[i]))
    opti.minimize(ca.sumsqr(push))
    opti.subject_to([opti.bounded(-8, push, 8), end == 0])
    opti.solver("ipopt", {}, {"hessian_approximation": "limited-memory", "print_level": 0})
    for best in opti.solve().value(push):
        state = state + pendulum(np.array([[*state, best]]))[0]
    print(f"{steps} steps, then {state[0]:.4f} rad from the top at {state[1]:.4f} rad/s")
    return state


if __name__ == "__main__":
    main()
