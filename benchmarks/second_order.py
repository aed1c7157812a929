"""CPU time to a mean squared error: Levenberg-Marquardt, L-BFGS, Adam, and 40 lines of NumPy.

    OPENBLAS_NUM_THREADS=1 python benchmarks/second_order.py [--seeds N] [--limit SECONDS] [CASE]

Friedman #1 without noise (J. H. Friedman: Multivariate adaptive regression splines, Annals of
Statistics 19, 1991) and a sine; inputs from -1 to 1, targets of mean 0 and variance 1, float64,
tanh. One thread each: without the variable OpenBLAS's second thread waits in a loop, on the CPU's
time. Printed is the median of some seeds, of each the least of some turns; where not all of them
came there, how many, and the median of the mean squared errors at the end of their time.
"""

import argparse
import time

import numpy as np

import fcnn

# Name: rows, sizes, and the mean squared error that counts as learned.
CASES = {
    "sin": (100, (1, 10, 1), 1e-11),
    "friedman": (500, (5, 20, 1), 1e-6),
    "friedman-wide": (2000, (5, 200, 1), 1e-5),
    "friedman-deep": (2000, (5, 64, 64, 1), 1e-4),
    "friedman-large": (50000, (5, 64, 64, 1), 1e-3),
}
BATCH = 64  # of Adam


def samples(case):
    rows = CASES[case][0]
    if case == "sin":
        X = np.linspace(-1, 1, rows)[:, np.newaxis]
        return X, np.sin(np.pi * X)
    X = np.random.default_rng(0).random((rows, 5))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3]
    y += 5 * X[:, 4]
    return 2 * X - 1, ((y - y.mean()) / y.std())[:, np.newaxis]


class Clock:
    """CPU time since it was made, and what is over with it."""

    def __init__(self, target, limit):
        self.target, self.limit, self.began = target, limit, time.process_time()
        self.mse = np.inf

    def __lt__(self, other):
        return self.seconds < other.seconds

    def __call__(self, mse):
        """Take note of a mean squared error; return whether that is the end."""
        self.mse, self.seconds = min(self.mse, mse), time.process_time() - self.began
        return self.mse <= self.target or self.seconds > self.limit


def run_fcnn(net, X, y, clock, optimizer, batch_size):
    full = batch_size is None

    def over(progress):
        return clock(2 * (progress.history.loss[-1] if full else net.evaluate(X, y)["loss"]))

    net.fit(X, y, epochs=10**9, optimizer=optimizer, batch_size=batch_size, n_threads=1,
            callbacks=[over], schedule=None if full else lambda epoch: 1 / (1 + epoch / 300),
            )  # fmt: skip


def run_numpy(net, X, y, clock, tenfold=False):
    """Levenberg-Marquardt of one hidden layer; mu by Nielsen's rule, or by Marquardt's of 1963."""
    p, (n_in, n, _) = net.parameters, net.sizes
    y = y[:, 0]

    def outputs(p):
        hidden = np.tanh(X @ p[: n_in * n].reshape(n_in, n) + p[n_in * n : (n_in + 1) * n])
        return hidden, hidden @ p[(n_in + 1) * n : -1] + p[-1]

    def equations(p):
        hidden, a = outputs(p)
        delta = (1 - hidden * hidden) * p[(n_in + 1) * n : -1]
        J = np.empty((len(X), p.size))
        J[:, : n_in * n] = (X[:, :, np.newaxis] * delta[:, np.newaxis]).reshape(len(X), -1)
        J[:, n_in * n : (n_in + 1) * n] = delta
        J[:, (n_in + 1) * n : -1] = hidden
        J[:, -1] = 1
        r = a - y
        return r @ r / 2, J.T @ J, J.T @ r

    loss, A, g = equations(p)
    mu, nu = 1e-3 * A.diagonal().max(), 2
    while not clock(2 * loss / len(X)) and np.isfinite(mu):
        damped = A.copy()
        damped[np.diag_indices(p.size)] += mu
        h = np.linalg.solve(damped, -g)
        r = outputs(p + h)[1] - y
        ratio = (loss - r @ r / 2) / (h @ (mu * h - g) / 2)
        if ratio > 0:
            p = p + h
            loss, A, g = equations(p)
            mu, nu = mu * (0.1 if tenfold else max(1 / 3, 1 - (2 * ratio - 1) ** 3)), 2
        else:
            mu, nu = mu * (10 if tenfold else nu), nu * 2


CONTESTANTS = {
    "LevenbergMarquardt": lambda *a: run_fcnn(*a, fcnn.LevenbergMarquardt(), None),
    "NumPy LM": run_numpy,
    "NumPy LM, tenfold": lambda *a: run_numpy(*a, tenfold=True),
    "LBFGS": lambda *a: run_fcnn(*a, fcnn.LBFGS(), None),
    "Adam": lambda *a: run_fcnn(*a, fcnn.Adam(0.01), BATCH),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", metavar="CASE", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limit", type=float, default=20)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS))
    options = parser.parse_args()
    for case in options.cases:
        rows, sizes, target = CASES[case]
        X, y = samples(case)
        print(f"{case}: {rows:,} rows, {'-'.join(map(str, sizes))}, mse {target:g}", flush=True)
        names = [n for n in options.only if "NumPy" not in n or len(sizes) == 3]
        best = {}
        for turn in range(options.turns):
            for seed in range(options.seeds):
                for name in names:
                    if turn > 0 and best[name, seed].seconds > 2:
                        continue  # long enough not to be a matter of chance
                    net = fcnn.Network(
                        sizes, "tanh", loss="squared_error", dtype="float64", rng=seed
                    )
                    clock = Clock(target, options.limit)
                    CONTESTANTS[name](net, X, y, clock)
                    best[name, seed] = min(best.get((name, seed), clock), clock)
        for name in names:
            clocks = [best[name, seed] for seed in range(options.seeds)]
            seconds = np.median([c.seconds for c in clocks])
            there = sum(c.mse <= target for c in clocks)
            rest = f"   {there} of {len(clocks)}, mse {np.median([c.mse for c in clocks]):.1e}"
            rest = "" if there == len(clocks) else rest
            print(f"    {name:20} {seconds * 1e3:10,.1f} ms{rest}", flush=True)


if __name__ == "__main__":
    main()
