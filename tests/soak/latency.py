"""How soon Ctrl-C is heard in calls that take long, by the clock or by the processor's time.

On a machine that does other work, too, the clock counts that; ``FCNN_SOAK_CLOCK=cpu`` takes the
process's own time instead, of all its threads. ``FCNN_SOAK_CALLS=predict`` measures the calls with
that in their names. In one thread's call the longest time between two looks bounds all.
"""

import gc
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

import fcnn

from .common import goes_on
from .interrupts import interrupted, longest_wait

LIMIT = 0.1  # seconds, at the 99th percentile


def wide_step(**options):
    net = fcnn.Network((8000, 8000, 10), rng=0)
    X, y = np.random.default_rng(0).normal(size=(64, 8000)).astype(np.float32), np.arange(64) % 10
    optimizer = fcnn.Adam(1e-6)
    return lambda: net.train_step(X, y, optimizer, **options)


def wide_update():
    net = fcnn.Network((8000, 8000, 10), rng=0)
    gradient = np.full(net.num_parameters, 1e-3, np.float32)
    optimizer = fcnn.Adam(1e-6)
    return lambda: optimizer.update(net, gradient, clip_norm=1.0)


def few_rows(method="predict"):
    net = fcnn.Network((20000, 20000, 2), init="zeros")
    net.parameters[:] = 1e-4
    X = np.ones((3, 20000), np.float32)
    if method == "vjp":
        return lambda: net.vjp(X, np.ones((3, 2), np.float32))
    return lambda: net.predict(X, n_threads=1)


def rows(dtype):
    return np.random.default_rng(0).normal(size=(100_000, 784)).astype(dtype)


def predict(dtype, **options):
    net, X = fcnn.Network((784, 128, 10), rng=0), rows(dtype)
    return lambda: net.predict(X, **options)


def fit(dtype):
    net, X, y = fcnn.Network((784, 128, 10), rng=0), rows(dtype), np.arange(100_000) % 10
    return lambda: net.fit(X, y, epochs=1, batch_size=128, n_threads=1)


def evaluate():
    net, X, y = fcnn.Network((784, 128, 10), rng=0), rows("float64"), np.arange(100_000) % 10
    return lambda: net.evaluate(X, y, n_threads=1)


def many_targets():
    net = fcnn.Network((4, 400), loss="squared_error", rng=0)
    X = np.ones((100_000, 4), np.float32)
    y = np.ones((100_000, 400), np.float32)
    return lambda: net.train_step(X, y, fcnn.SGD(1e-6), n_threads=1)


def one_hot():
    net = fcnn.Network((4, 400), rng=0)
    X, y = np.ones((100_000, 4), np.float32), np.zeros((100_000, 400), np.float32)
    y[:, 3] = 1
    return lambda: net.fit(X, y, epochs=1, batch_size=1000, n_threads=1)


def jacobian():
    net, X = fcnn.Network((784, 1000, 500), rng=0), rows("float32")[:200]
    return lambda: net.jacobian(X)


def second_order():
    net = fcnn.Network((20, 100, 1), "tanh", loss="squared_error", rng=0, dtype="float64")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 20)), rng.normal(size=3000)
    return lambda: net.fit(X, y, epochs=3, optimizer=fcnn.LevenbergMarquardt())


def files(which):
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "m"
    net = fcnn.Network((8000, 8000, 10), init="zeros")
    net.save(path)

    def save():
        assert folder
        net.save(path)

    return save if which == "save" else lambda: folder and fcnn.load(path)


CALLS = {
    "Adam step, 8000-8000-10": lambda: wide_step(n_threads=1),
    "the same, two threads": lambda: wide_step(n_threads=2),
    "the same, clipped": lambda: wide_step_with(clip_norm=1.0, n_threads=1),
    "update with a gradient, clipped": wide_update,
    "three rows, 20000-20000-2": few_rows,
    "vjp of three rows, 20000-20000-2": lambda: few_rows("vjp"),
    "predict 100,000 x 784 of float64": lambda: predict("float64", n_threads=1),
    "predict 100,000 x 784 of float32": lambda: predict("float32", n_threads=1),
    "the same, two threads ": lambda: predict("float32", n_threads=2),
    "predict 100,000 x 784 of int64": lambda: predict("int64", n_threads=1),
    "fit 100,000 x 784 of float64": lambda: fit("float64"),
    "fit 100,000 x 784 of float32": lambda: fit("float32"),
    "evaluate 100,000 x 784 of float64": evaluate,
    "a step with 100,000 x 400 targets": many_targets,
    "fit with 100,000 x 400 one-hot targets": one_hot,
    "jacobian, 784-1000-500, 200 rows": jacobian,
    "Levenberg-Marquardt, 2,201 parameters": second_order,
    "save 8000-8000-10": lambda: files("save"),
    "load 8000-8000-10": lambda: files("load"),
}


def wide_step_with(**options):
    """A fit of one step, which takes what train_step does not."""
    net = fcnn.Network((8000, 8000, 10), rng=0)
    X, y = np.random.default_rng(0).normal(size=(64, 8000)).astype(np.float32), np.arange(64) % 10
    optimizer = fcnn.Adam(1e-6)
    return lambda: net.fit(X, y, batch_size=64, epochs=1, optimizer=optimizer, **options)


def clock():
    """Return the timer, and the clock that goes with it."""
    if os.environ.get("FCNN_SOAK_CLOCK") == "cpu":
        return signal.ITIMER_PROF, time.process_time
    return signal.ITIMER_REAL, time.perf_counter


def latencies(call, count, rng):
    """Return how long a call takes, and how long after an interrupt at any moment it went on."""
    timer, now = clock()
    call()
    begin = now()
    call()
    took = now() - begin
    late = []
    while len(late) < count:
        delay = rng.uniform(0.001, max(took, 0.01))
        begin = now()
        if interrupted(call, delay, timer):
            late.append(now() - begin - delay)
    return took, np.array(late)


def run(size, seed):
    rng = np.random.default_rng(seed)
    chosen = os.environ.get("FCNN_SOAK_CALLS", "")
    lines, failed = [], []
    for name, make in CALLS.items():
        if chosen not in name:
            continue
        goes_on()
        call = make()
        took, late = latencies(call, size, rng)
        _, wait = longest_wait(call)
        del call
        gc.collect()
        high = np.quantile(late, 0.99)
        lines.append(f"{name:<40}{took * 1e3:6.0f} ms, heard after {np.median(late) * 1e3:4.0f}, "
                     f"99 %: {high * 1e3:4.0f}, at most {late.max() * 1e3:4.0f}; longest between "
                     f"two looks {wait * 1e3:4.0f} of the processor's")  # fmt: skip
        print(lines[-1], flush=True)
        if high > LIMIT:
            failed.append(name)
    assert not failed, f"later than {LIMIT} s: {failed}"
    return f"{len(lines)} calls: all heard within {LIMIT} s at the 99th percentile"
