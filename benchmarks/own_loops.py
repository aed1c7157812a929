#!/usr/bin/env python3
"""Times a step with a loss of the caller's own beside `train_step` with the network's: us a step.

    python benchmarks/own_loops.py [--seconds 2.0] [--cpu 1]

The step of deep Q-learning in examples/python/q_learning.py: 4-64-64-2, 32 samples, Adam, float32,
one thread, the process bound to one CPU. What the loss itself takes in NumPy is the caller's, not
fcnn's: it is timed alone, and behind a `train_step`, where NumPy finds less of itself in the caches
and takes half as long again. A lap of each after the other, until the time is up: printed are the
best and the median lap, and the best ones' ratio to `train_step`.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before NumPy is loaded
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
from laps import bind, measure, parser_of  # noqa: E402

import fcnn  # noqa: E402

ROWS, SIZES = 32, (4, 64, 64, 2)
MAY = 1.2  # times train_step, beside the loss


def q_loss(a, taken):
    """Huber's loss of the outputs for the actions taken, and its derivative."""
    (actions, targets), rows, dC_da = taken, np.arange(len(a)), np.zeros_like(a)
    error = a[rows, actions] - targets
    dC_da[rows, actions] = np.clip(error, -1, 1) / len(a)
    huber = np.where(np.abs(error) > 1, np.abs(error) - 0.5, 0.5 * error**2)
    return float(huber.mean()), dC_da


def steps():
    """Return a call of each kind of step, and of the loss alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, SIZES[0])).astype(np.float32)
    y = rng.normal(size=(ROWS, SIZES[-1])).astype(np.float32)
    taken = rng.integers(0, 2, ROWS), y[:, 0].copy()
    calls = {}
    for name in ("train_step", "an own loss, known before", "an own loss"):
        net = fcnn.Network(SIZES, loss="squared_error", rng=0)
        optimizer = fcnn.Adam(lr=1e-9)  # lest weights drift until units die, and moments with them
        if name == "train_step":
            calls[name] = lambda net=net, optimizer=optimizer: net.train_step(X, y, optimizer)
            continue
        known = q_loss(net.predict(X), taken)
        loss = q_loss if name == "an own loss" else lambda a, y, known=known: known
        calls[name] = lambda net=net, optimizer=optimizer, loss=loss: net.train_step(
            X, taken, optimizer, loss=loss
        )
    a = np.zeros_like(y)
    calls["train_step, then the loss"] = lambda: (calls["train_step"](), q_loss(a, taken))
    calls["the loss alone"] = lambda: q_loss(a, taken)
    return calls


def main():
    """Print a line for each."""
    options = parser_of(__doc__, 2.0).parse_args()
    bind(options.cpu)
    fcnn.set_num_threads(1)
    times = measure(steps(), options.seconds)
    print(f"us a step, best lap (median): fcnn {fcnn.__version__}")
    for name, (best, median) in times.items():
        ratio = best / times["train_step"][0]
        may = f"  may {MAY}" if name.endswith("before") else ""
        print(f"{name:<25} {best:7.2f} ({median:7.2f})  {ratio:.2f}{may}")


if __name__ == "__main__":
    main()
