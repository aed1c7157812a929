"""What everyone computes: networks, their data, and how many operations that takes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fcnn
from fcnn import bench
from peers.images import Images


class UnsupportedError(Exception):
    """What a peer cannot do, without another program around it."""


def products(sizes: Sequence[int]) -> list[int]:
    """Return the multiply-adds of one row and each layer."""
    return [n_in * n_out for n_in, n_out in itertools.pairwise(sizes)]


@dataclass(frozen=True)
class Workload:
    """An epoch of `steps` training steps, each with `batch` rows: one call, where a peer has it."""

    sizes: tuple[int, ...]
    batch: int
    steps: int
    optimizer: str = "sgd"
    activation: str = "relu"
    loss: str = "cross_entropy"
    images: bool = False  # MNIST's instead of random numbers

    @property
    def name(self) -> str:
        text = f"{bench.dashed(self.sizes)}, batch {self.batch:,}{', MNIST' * self.images}"
        return text if self.optimizer == "sgd" else f"{text}, {self.activation}, Adam"

    @property
    def flops(self) -> int:
        """Of one step's products: forward, weight gradient, delta of all layers but the input."""
        first, *others = products(self.sizes)
        return 2 * self.batch * (2 * first + 3 * sum(others))


# Steps for an epoch of 5 to 50 ms with most peers, of 0.2 s in the largest row.
TRAINING = (
    Workload((784, 1024, 1024, 10), 256, 4),
    Workload((32, 256, 256, 256, 2), 256, 8),
    Workload((784, 128, 10), 128, 16),
    Workload((784, 128, 10), 32, 50),
    Workload((784, 256, 128, 10), 64, 16),
    Workload((64, 100, 10), 32, 100),
    Workload((2, 32, 32, 2), 32, 200),
    Workload((2, 32, 2), 32, 200),
    Workload((5, 18, 3), 16, 200),
    Workload((4, 16, 3), 16, 200),
    Workload((784, 128, 10), 1, 200),
    Workload((784, 128, 10), 128, 16, images=True),
    Workload((784, 128, 10), 32, 50, images=True),
    Workload((784, 128, 10), 1, 200, images=True),
    Workload((4, 32, 16, 4), 10_000, 1, "adam", "tanh", "squared_error"),
)
LEAST_BATCH_FOR_ADAM = 32  # rows of SGD that Adam is compared with
# A step as a call of its own, in a loop of Python.
STEPS = (Workload((4, 16, 3), 16, 200, "adam"), Workload((64, 100, 10), 32, 100, "adam"))
SCALED = (
    Workload((784, 1024, 1024, 10), 256, 4),
    Workload((784, 128, 10), 128, 32),
    Workload((784, 128, 10), 128, 32, images=True),
    Workload((784, 128, 10), 32, 100),
    Workload((784, 1024, 1024, 10), 32, 8),
    Workload((3000, 100, 10), 32, 50),
    Workload((64, 100, 10), 32, 1000),
    Workload((4, 16, 3), 10_000, 50),
)
PREDICTION = ((4, 16, 3), (64, 100, 10), (784, 128, 10), (32, 256, 256, 256, 2))
PREDICTION_ROWS = (1, 1000)
PREDICTION_OF_IMAGES = ((784, 128, 10), 1000)
MNIST = Workload((784, 128, 10), 64, 10, "adam", images=True)
MNIST_EPOCHS = 5
MNIST_RUNS = 5
MNIST_LR = 1e-3
MNIST_PEERS = ("fcnn", "PyTorch")
WITH_ADAM = "fcnn, Adam"
CORE = "fcnn's core"
# Beside fcnn itself, for comparison with it.
OWN = (WITH_ADAM, CORE)


def prediction_section(rows: int) -> str:
    return "prediction of one row" if rows == 1 else f"prediction of {rows:,} rows"


@dataclass(frozen=True)
class Task:
    """A workload with its data, and the network that everyone starts from."""

    workload: Workload
    network: fcnn.Network
    X: np.ndarray
    y: np.ndarray

    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        size = self.workload.batch
        return [(self.X[i : i + size], self.y[i : i + size]) for i in range(0, len(self.X), size)]


def make_task(workload: Workload, dtype: str, images: Images | None = None) -> Task:
    """Return data, the same at every call: images, or random; labels, or numbers."""
    rng = np.random.default_rng(0)
    network = fcnn.Network(
        workload.sizes, workload.activation, loss=workload.loss, dtype=dtype, rng=rng
    )
    rows, n_out = workload.batch * workload.steps, workload.sizes[-1]
    if workload.images:
        if images is None:
            raise ValueError(f"{workload.name}: no images")
        return Task(workload, network, images.X[:rows], images.y[:rows])
    X = rng.standard_normal((rows, workload.sizes[0])).astype(dtype)
    if workload.loss == "cross_entropy":
        return Task(workload, network, X, rng.integers(0, n_out, rows))
    return Task(workload, network, X, rng.standard_normal((rows, n_out)).astype(dtype))


def flat(weights: Sequence[Any], biases: Sequence[Any]) -> np.ndarray:
    """Return W^l of shape (n_l, n_(l-1)) and b^l as fcnn's flat vector, in float64."""
    pairs = zip(weights, biases, strict=True)
    return np.concatenate([np.ravel(v) for W, b in pairs for v in (np.asarray(W).T, b)], dtype="f8")


def make_optimizer(name: str, lr: float) -> fcnn.optimizers.Optimizer:
    return fcnn.SGD(lr) if name == "sgd" else fcnn.Adam(lr)
