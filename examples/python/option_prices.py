"""Training on derivatives: the price of an option, learned from simulated payoffs.

A sample is one path of a market of five assets: the logarithms of their prices, and what a call on
their geometric mean paid at the end of it. That is the option's price and much noise, but a path
also tells how its payoff changes with each of the prices. B. Huge, A. Savine: Differential machine
learning, arXiv:2005.02347, 2020.
"""

import math

import numpy as np

import fcnn

ASSETS, STRIKE, DEVIATION = 5, 1.0, 0.3  # the last, of the logarithm of an asset's price at the end


def simulate(rng, paths):
    """Return log-prices, payoffs, and their derivatives with respect to the log-prices."""
    X = rng.uniform(-0.4, 0.4, (paths, ASSETS))
    ends = X + DEVIATION * rng.normal(size=X.shape) - DEVIATION**2 / 2
    mean = np.exp(ends.mean(axis=1, keepdims=True))
    slopes = np.where(mean > STRIKE, mean / ASSETS, 0)
    return X, np.maximum(mean - STRIKE, 0), np.repeat(slopes, ASSETS, axis=1)


def black_scholes(X):
    """Return what the payoffs are in the mean, and the derivative by each of the log-prices."""
    deviation = DEVIATION / math.sqrt(ASSETS)
    forward = np.exp(X.mean(axis=1) - DEVIATION**2 / 2 + deviation**2 / 2)
    d = np.log(forward / STRIKE) / deviation + deviation / 2
    normal = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)
    return forward * normal(d) - STRIKE * normal(d - deviation), forward * normal(d) / ASSETS


def main(paths=1000):
    """Train without derivatives and with them; return the errors of price and slope of each."""
    X, payoffs, slopes = simulate(np.random.default_rng(0), paths)
    others = np.random.default_rng(1).uniform(-0.3, 0.3, (2000, ASSETS))
    price, slope = black_scholes(others)
    errors = []
    for given in ({}, {"jacobian_targets": slopes, "jacobian_weight": 1.0}):
        net = fcnn.Network((ASSETS, 32, 32, 1), "silu", loss="squared_error", rng=0)
        net.fit(X, payoffs, epochs=60, optimizer=fcnn.Adam(0.003),
                schedule=fcnn.schedules.Cosine(), **given)  # fmt: skip
        of_price = net.predict(others)[:, 0] - price
        of_slope = net.jacobian(others)[:, 0] - slope[:, np.newaxis]
        errors.append([float(np.sqrt((error**2).mean())) for error in (of_price, of_slope)])
        name = "with derivatives" if given else "payoffs alone"
        print(f"{name:<16}: error of the price {errors[-1][0]:.4f}, of slopes {errors[-1][1]:.4f}")
    return errors


if __name__ == "__main__":
    main()
