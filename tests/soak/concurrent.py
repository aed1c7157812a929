"""What docs/reliability.md allows at the same time, and what it forbids but promises to survive."""

import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import fcnn

from .common import goes_on


def run(size, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(1500, 30)).astype(np.float32), rng.integers(4, size=1500)
    shared = fcnn.Network((30, 60, 4), rng=1)
    misused = fcnn.Network((30, 60, 4), rng=2)
    other = misused.parameters.copy()
    expected = (
        shared.predict(X).tobytes(), shared.gradients(X, y)[1].tobytes(), shared.evaluate(X, y)
    )  # fmt: skip
    goes_on(size + 300)
    until, failed, counts = time.monotonic() + size, [], {}

    def trained(seed):
        net = fcnn.Network((30, 50, 4), rng=seed)
        net.fit(X, y, epochs=2, optimizer=fcnn.Adam(), rng=seed, n_threads=1 + seed % 2)
        return net.parameters.tobytes()

    alone = [trained(i) for i in range(4)]

    def predict(_):
        assert shared.predict(X).tobytes() == expected[0]
        assert shared.predict(X[3]).tobytes() == shared.predict(X[2:5])[1].tobytes()

    def differentiate(_):
        assert shared.gradients(X, y)[1].tobytes() == expected[1]
        assert shared.evaluate(X, y) == expected[2]

    def free(_):
        shared.free_workspace()

    def fit(i):
        assert trained(i % 4) == alone[i % 4]

    def save(i):
        (shared if i % 2 else fcnn.Network((30, 7, 4), rng=3)).save(folder / "m")

    def load(i):
        net = fcnn.load(folder / "m")
        assert net.sizes in ((30, 60, 4), (30, 7, 4))
        if net.sizes[1] == 60:
            assert net.predict(X).tobytes() == expected[0]

    # Forbidden: the numbers may be wrong, but are numbers, and nothing else happens.
    def assign(i):
        misused.parameters = other
        misused.weights[0] = misused.weights[0].copy()

    def train_misused(i):
        misused.train_step(X[:64], y[:64], fcnn.SGD(1e-4))

    def predict_misused(i):
        assert np.isfinite(misused.predict(X)).all()
        misused.save(folder / "misused")

    def repeat(work, i):
        try:
            while time.monotonic() < until and not failed:
                work(i)
                counts[work.__name__] = counts.get(work.__name__, 0) + 1
                i += 1
        except BaseException as error:
            failed.append((work.__name__, error))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared.save(folder / "m")
        works = [predict, predict, differentiate, free, fit, fit, save, load, assign,
                 train_misused, predict_misused]  # fmt: skip
        threads = [threading.Thread(target=repeat, args=(work, i)) for i, work in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(size + 60)
            assert not thread.is_alive(), "a thread hangs"
        if failed:
            raise failed[0][1]
        left = sorted(p.name for p in folder.iterdir())
        assert left == ["m", "misused"], left
    calls = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    return f"{len(works)} threads, {size} s ({calls}): the bits of one thread"
