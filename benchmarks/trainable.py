#!/usr/bin/env python3
"""Times a training step some of whose layers are frozen, as a share of the whole step.

    python benchmarks/trainable.py [--seconds 1.0] [--cpu 1]

One thread, the process bound to one CPU, whose time is counted: not that of others. A lap of each
after the other, until the time is up; the share is that of the best laps. The steps are those of
`fit`, an epoch of eight, or calls of `train_step`, whose forward pass copies weights that `fit` has
in panels. Of 784-256-256-10 the forward pass has 44 % of the multiplications, and with what is
above layer 1 a step has 56 %.
"""

import time

import numpy as np
from laps import bind, measure, parser_of

import fcnn
from fcnn import bench

# How, sizes, samples of a step, what is frozen, and the share of the step that it may take.
ROWS = (
    ("fit", (784, 256, 256, 10), 32, {1: False}, 0.6),
    ("fit", (784, 256, 256, 10), 32, {1: False, 2: False}, 0.6),
    ("fit", (784, 256, 256, 10), 128, {1: False}, 0.6),
    ("fit", (784, 256, 256, 10), 128, {1: False, 2: False}, 0.6),
    ("fit", (784, 256, 256, 10), 128, {2: False, 3: False}, None),
    ("fit", (784, 256, 256, 10), 128, {1: 0.1}, None),
    ("train_step", (784, 256, 256, 10), 128, {1: False}, 0.6),
    ("train_step", (784, 256, 256, 10), 128, {1: False, 2: False}, None),
    ("train_step", (4, 16, 3), 16, {1: False}, None),
)
OPTIMIZERS = {"SGD": lambda: fcnn.SGD(1e-6), "Adam": lambda: fcnn.Adam(1e-6)}
STEPS = 8  # of an epoch


def steps(how, sizes, rows, make, trainable):
    """Return a call that has been seen to keep what is frozen, and that alone."""
    rng = np.random.default_rng(0)
    net = fcnn.Network(sizes, rng=0)
    count = STEPS if how == "fit" else 1
    X = rng.normal(size=(rows * count, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], rows * count)
    given = {"optimizer": make(), "n_threads": 1, "trainable": trainable}

    def call():
        if how == "fit":
            net.fit(X, y, epochs=1, batch_size=rows, shuffle=False, **given)
        else:
            net.train_step(X, y, **given)

    before = net.copy()
    call()
    for l, pair in enumerate(zip(net.weights, before.weights, strict=True), start=1):
        if np.array_equal(*pair) is not ((trainable or {}).get(l, True) is False):
            raise SystemExit(f"layer {l} of {trainable} is not what it should be")
    return call


def main():
    options = parser_of(__doc__, 1.0).parse_args()
    bind(options.cpu)
    print(bench.heading("float32"))
    print(f"{'':65}  whole us  frozen us  share  median  allowed")
    for how, sizes, rows, trainable, allowed in ROWS:
        for name, make in OPTIMIZERS.items():
            calls = {
                what: steps(how, sizes, rows, make, given)
                for what, given in (("whole", None), ("frozen", trainable))
            }
            laps = measure(calls, options.seconds, time.thread_time)
            count = STEPS if how == "fit" else 1
            whole, frozen = (laps[what][0] / count for what in calls)
            medians = laps["frozen"][1] / laps["whole"][1]
            label = f"{how}, {bench.dashed(sizes)}, batch {rows}, {name}, {trainable}"
            print(f"{label:65}  {whole:8.2f}  {frozen:9.2f}  {frozen / whole:5.2f}  {medians:6.2f}"
                  f"  {'' if allowed is None else allowed:>7}")  # fmt: skip


if __name__ == "__main__":
    main()
