"""Two trainings at once, in two threads, against the same two one after the other."""

import threading
import time

import numpy as np

import fcnn

from .common import goes_on

MOST = 1.15


def run(size, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(20_000, 784)).astype(np.float32), rng.integers(10, size=20_000)

    def train(i):
        net = fcnn.Network((784, 128, 10), rng=i)
        net.fit(X, y, epochs=2, batch_size=64, optimizer=fcnn.SGD(0.01), rng=0)

    train(0)
    best = [np.inf, np.inf]
    for _ in range(size):
        goes_on()
        begin = time.perf_counter()
        train(0)
        train(1)
        best[0] = min(best[0], time.perf_counter() - begin)
        threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best[1] = min(best[1], time.perf_counter() - begin)
    share = best[1] / best[0]
    assert share <= MOST, f"{share:.2f} times as long"
    return f"two trainings at once take {share:.2f} times as long as in turn (best of {size})"
