#!/usr/bin/env python3
"""Times a training step some of whose layers are frozen, as a share of the whole step.

    python benchmarks/trainable.py [--seconds 1.0] [--cpu 1]

One thread, the process bound to one CPU. A lap of each after the other, until the time is up; the
share is that of the best laps. Half is what nothing could be less than: the forward pass is a third
of a step's multiplications, and what is above the frozen layers stays.
"""

import argparse
import os
import statistics
import timeit

import numpy as np

import fcnn
from fcnn import bench

# Sizes, samples of a step, what is frozen, and the share of the step that it may take.
ROWS = (
    ((784, 256, 256, 10), 32, {1: False}, 0.6),
    ((784, 256, 256, 10), 32, {1: False, 2: False}, 0.6),
    ((784, 256, 256, 10), 128, {1: False}, 0.6),
    ((784, 256, 256, 10), 128, {1: False, 2: False}, 0.6),
    ((784, 256, 256, 10), 128, {2: False, 3: False}, None),
    ((784, 256, 256, 10), 128, {1: 0.1}, None),
    ((784, 128, 10), 1, {1: False}, None),
    ((4, 16, 3), 16, {1: False}, None),
)
OPTIMIZERS = {"SGD": lambda: fcnn.SGD(1e-6), "Adam": lambda: fcnn.Adam(1e-6)}


def steps(sizes, rows, make, trainable):
    """A step, after it has been seen to keep what is frozen, and that alone."""
    rng = np.random.default_rng(0)
    net = fcnn.Network(sizes, rng=0)
    X = rng.normal(size=(rows, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], rows)
    optimizer, before = make(), net.copy()
    net.train_step(X, y, optimizer, n_threads=1, trainable=trainable)
    for l, pair in enumerate(zip(net.weights, before.weights, strict=True), start=1):
        if np.array_equal(*pair) is not ((trainable or {}).get(l, True) is False):
            raise SystemExit(f"layer {l} of {trainable} is not what it should be")
    return lambda: net.train_step(X, y, optimizer, n_threads=1, trainable=trainable)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    given = parser.parse_args()
    os.sched_setaffinity(0, {given.cpu})
    print(bench.heading("float32"))
    print(f"{'':52}  whole us  frozen us  share  median  allowed")
    for sizes, rows, trainable, allowed in ROWS:
        for name, make in OPTIMIZERS.items():
            calls = [steps(sizes, rows, make, given) for given in (None, trainable)]
            count = max(1, int(1e-3 / min(timeit.repeat(calls[0], number=1, repeat=20))))
            laps, end = ([], []), timeit.default_timer() + given.seconds
            while timeit.default_timer() < end:
                for call, times in zip(calls, laps, strict=True):
                    times.append(timeit.timeit(call, number=count) / count * 1e6)
            whole, frozen = map(min, laps)
            medians = statistics.median(laps[1]) / statistics.median(laps[0])
            label = f"{bench.dashed(sizes)}, batch {rows}, {name}, {trainable}"
            print(f"{label:52}  {whole:8.2f}  {frozen:9.2f}  {frozen / whole:5.2f}  {medians:6.2f}"
                  f"  {'' if allowed is None else allowed:>7}")  # fmt: skip


if __name__ == "__main__":
    main()
