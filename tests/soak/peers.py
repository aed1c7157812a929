"""The same figures of others, where they have such a thing."""

import importlib
import itertools
import os
import tempfile
import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from . import forks, interrupts, kills, sums
from .common import Lacking, goes_on


def rows_alone(predict, X):
    """Return how many of the rows have other bits alone than in the batch."""
    together = predict(X)
    return sum(not np.array_equal(predict(X[i : i + 1])[0], together[i]) for i in range(len(X)))


def torch_net(sizes, seed=0):
    import torch

    torch.manual_seed(seed)
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def of_torch(size, rng):
    import torch

    X = rng.normal(size=(200, 784)).astype(np.float32)
    net = torch_net((784, 128, 10))

    def predict(X):
        with torch.no_grad():
            return net(torch.from_numpy(X)).numpy()

    yield f"rows with other bits alone than in a batch of 200: {rows_alone(predict, X)}"
    many = rng.normal(size=(5000, 784)).astype(np.float32)
    gradients = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        net.zero_grad()
        net(torch.from_numpy(many)).square().mean().backward()
        gradients.append(np.concatenate([p.grad.numpy().ravel() for p in net.parameters()]))
    other = np.count_nonzero(gradients[0] != gradients[1])
    yield f"entries of a gradient with other bits on two threads: {other} of {len(gradients[0])}"
    yield from torch_sums(rng)
    yield from torch_interrupts(size, rng)
    yield from torch_forks()


def torch_sums(rng):
    import torch

    for kind in ("random", "constant"):
        for terms in (784, 65536, 262_144):
            A, B = (sums.data(kind, rng, terms, n, "float32") for n in (6, 12))
            computed = (torch.from_numpy(A).T @ torch.from_numpy(B)).numpy()
            worst = max(sums.error(computed[i, j], A[:, i], B[:, j])
                        for i in range(6) for j in range(12))  # fmt: skip
            yield f"{kind} sums of {terms} terms, float32: {worst:.1f} u"


def torch_interrupts(size, rng):
    """Trainings that are interrupted: is what is left the state of a completed step?"""
    import torch

    X = torch.from_numpy(rng.normal(size=(64, 64)).astype(np.float32))
    broken = 0

    def make():
        net = torch_net((64, 64, 64, 10))
        return net, torch.optim.Adam(net.parameters(), 1e-3)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(X).square().mean().backward()
        optimizer.step()

    for _ in range(size):
        net, optimizer = make()

        def forever(net=net, optimizer=optimizer):
            while True:
                step(net, optimizer)

        interrupts.interrupted(forever, rng.uniform(0.005, 0.05))
        done = {int(s["step"]) for s in optimizer.state.values()}
        twin, again = make()
        for _ in range(max(done, default=0)):
            step(twin, again)
        pairs = zip(net.parameters(), twin.parameters(), strict=True)
        broken += len(done) > 1 or any(not torch.equal(a, b) for a, b in pairs)
    yield f"interrupted trainings between two steps: {broken} of {size}"


def torch_forks():
    import torch

    torch.set_num_threads(2)
    a = torch.ones(800, 800)
    a @ a
    hang = 0
    forks.HANGS = 5
    for _ in range(5):
        child = os.fork()
        if child == 0:
            a @ a
            os._exit(0)
        hang += forks.wait(child) != 0
    yield f"forks behind a product on two threads that hang: {hang} of 5"


def of_sklearn(size, rng):
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    X, y = rng.normal(size=(200, 64)), np.arange(200) % 4
    model = MLPClassifier((100,), max_iter=3, random_state=0).fit(X, y)
    yield f"rows with other bits alone than in a batch of 200: {rows_alone(model.predict_proba, X)}"
    broken = 0
    for _ in range(size):
        model, twin = (
            MLPClassifier((64, 64), max_iter=1, batch_size=200, random_state=0) for _ in range(2)
        )
        for one in (model, twin):
            one.partial_fit(X, y, classes=range(4))

        def forever(model=model):
            while True:
                model.partial_fit(X, y)

        interrupts.interrupted(forever, rng.uniform(0.005, 0.05))
        for _ in range(int(model._optimizer.t) - 1):
            twin.partial_fit(X, y)
        ours, others = ([*one.coefs_, *one.intercepts_] for one in (model, twin))
        broken += any(not np.array_equal(a, b) for a, b in zip(ours, others, strict=True))
    yield f"interrupted trainings between two steps: {broken} of {size}"


def flips(write, read):
    """Return how many of the single flipped bits of a file are read without a word, of how many."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "m"
        write(path)
        content, unseen = path.read_bytes(), 0
        bits = range(0, 8 * len(content), 7)
        for bit in bits:
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            try:
                read(path)
            except Exception:
                continue
            unseen += 1
    return f"flipped bits of a file that are read without a word: {unseen} of {len(bits)}"


def of_safetensors(size, rng):
    import safetensors.numpy as package

    tensors = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=3)}
    yield flips(lambda p: package.save_file(tensors, p), package.load_file)
    large = {"W1": np.ones(25_000_000, np.float32)}
    with tempfile.TemporaryDirectory() as name:
        tracemalloc.start()
        package.save_file(large, Path(name) / "m")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        yield f"memory of Python's to save 100 MB: {peak / 1e6:.0f} MB"
    yield from killed_saves(lambda p, v: package.save_file({"W1": np.full((30, 40), v)}, p),
                            package.load_file)  # fmt: skip


def killed_saves(save, read):
    lost = count = 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "m"
        save(path, 1)
        for _ in kills.disturbed_saves(save, path, "killed"):
            count += 1
            try:
                read(path)
            except Exception:
                lost += 1
    yield f"kills during a save that leave no file that can be read: {lost} of {count}"


def of_joblib(size, rng):
    import joblib

    tensors = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=3)}
    yield flips(lambda p: joblib.dump(tensors, p), joblib.load)
    yield from killed_saves(lambda p, v: joblib.dump(np.full((30, 40), v), p), joblib.load)


def of_torch_files(size, rng):
    import torch

    state = torch_net((4, 3)).state_dict()
    yield flips(lambda p: torch.save(state, p), torch.load)
    yield from killed_saves(lambda p, v: torch.save(state, p), torch.load)


def of_numpy(size, rng):
    """How late Ctrl-C is heard: a product, and a conversion."""
    from .latency import latencies

    a = np.ones((4000, 4000), np.float32)
    X = np.ones((100_000, 784))
    calls = {
        "a product of 4000 x 4000": lambda: a @ a,
        "100,000 x 784 to float32": lambda: X.astype("f4"),
    }
    for name, call in calls.items():
        took, late = latencies(call, min(size, 30), rng)
        yield (f"Ctrl-C in {name} ({took * 1e3:.0f} ms): heard after at most "
               f"{late.max() * 1e3:.0f} ms")  # fmt: skip


PEERS = {
    "torch": of_torch, "sklearn": of_sklearn, "safetensors": of_safetensors, "joblib": of_joblib,
    "torch ": of_torch_files, "numpy": of_numpy,
}  # fmt: skip


def run(size, seed):
    there = 0
    for name, figures in PEERS.items():
        try:
            module = importlib.import_module(name.strip())
        except ImportError:
            print(f"{name.strip()}: not installed")
            continue
        there += 1
        goes_on(1200)
        for figure in figures(size, np.random.default_rng(seed)):
            print(f"{name.strip()} {module.__version__}: {figure}", flush=True)
    if not there:
        raise Lacking("none of them is installed")
    return f"{there} peers"
