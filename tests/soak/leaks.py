"""Cycles of calls, right and wrong ones: neither memory nor objects grow."""

import contextlib
import gc
import os
import pickle
import sys

import numpy as np

import fcnn

from .common import goes_on

MOST_BYTES = 2_000_000


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cycle(i, shared, X, y):
    net = fcnn.Network((6, 9, 3), rng=i)
    optimizer = fcnn.Adam()
    net.predict(X)
    net.predict(X[0])
    net.train_step(X, y, optimizer)
    net.gradients(X, y)
    net.vjp(X, np.ones((len(X), 3)))
    optimizer.update(net, np.ones(net.num_parameters, np.float32), clip_norm=1)
    shared.predict(X, out=np.empty((len(X), 3), np.float32))
    shared.evaluate(X, y)
    if i % 10 == 0:
        net.fit(X, y, epochs=1, batch_size=4, optimizer=optimizer, validation=(X, y))
        pickle.loads(pickle.dumps(net)).trace(X, y)
        with contextlib.suppress(fcnn.DivergenceError):
            net.train_step(X * np.float32(1e30), y, fcnn.SGD(1e30))
        with contextlib.suppress(ZeroDivisionError):
            net.train_step(X, y, optimizer, loss=lambda a, y: 1 / 0)
    for wrong in ("a", None, X[:, :2], X.astype(complex)):
        with contextlib.suppress(ValueError, TypeError):
            net.predict(wrong)
    with contextlib.suppress(ValueError, TypeError):
        net.train_step(X, y + 7, optimizer)


def run(size, seed):
    rng = np.random.default_rng(seed)
    shared = fcnn.Network((6, 9, 3), rng=1)
    X, y = rng.normal(size=(12, 6)).astype(np.float32), rng.integers(3, size=12)
    for i in range(500):
        cycle(i, shared, X, y)
    gc.collect()
    blocks, memory = sys.getallocatedblocks(), resident()
    for i in range(size):
        if i % 1000 == 0:
            goes_on()
        cycle(i, shared, X, y)
    gc.collect()
    more, grown = sys.getallocatedblocks() - blocks, resident() - memory
    # Caches of the interpreter grow a little, and ever less.
    assert more < max(500, size // 20), f"{more} blocks of Python's more"
    assert grown < MOST_BYTES, f"{grown} bytes more"
    return (f"{size} cycles of 20 calls: {more:+d} blocks of Python's, "
            f"{grown / 1e3:+.0f} KB resident")  # fmt: skip
