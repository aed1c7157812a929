"""Forks beside threads that predict and train: every child goes on, with the parent's bits."""

import os
import threading
import time

import numpy as np

import fcnn

from .common import goes_on

HANGS = 30  # seconds


def answers(net, X, y):
    """What a child computes: predictions, a gradient, a training with threads."""
    twin = fcnn.Network(net.sizes, rng=1)
    twin.fit(X, y, epochs=1, batch_size=64, rng=0, n_threads=2)
    arrays = [net.predict(X, n_threads=2), net.predict(X[0]), net.gradients(X, y, n_threads=2)[1],
              twin.parameters]  # fmt: skip
    return b"".join(a.tobytes() for a in arrays)


def wait(child):
    """Return the exit status of a child; -1 if it hangs."""
    until = time.monotonic() + HANGS
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


def run(size, seed):
    net = fcnn.Network((64, 128, 10), rng=0)
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(2000, 64)).astype(np.float32), rng.integers(10, size=2000)
    expected = answers(net, X, y)
    done = threading.Event()

    def beside():
        while not done.is_set():
            net.predict(X, n_threads=2)
            net.gradients(X[:300], y[:300], n_threads=2)

    threads = [threading.Thread(target=beside) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(size):
            goes_on()
            time.sleep(rng.uniform(0, 2e-3))
            child = os.fork()
            if child == 0:
                os._exit(0 if answers(net, X, y) == expected else 1)
            if i % 3 == 0:
                assert answers(net, X, y) == expected
            status = wait(child)
            assert status == 0, f"fork {i}: {'it hangs' if status < 0 else status}"
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return f"{size} forks beside 3 threads in calls: none hangs, all have the parent's bits"
