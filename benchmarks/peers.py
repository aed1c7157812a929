"""fcnn against its peers in one process: NumPy, PyTorch, JAX, scikit-learn and ONNX Runtime.

    pip install '.[bench]'
    python benchmarks/peers.py --json peers.json --chart peers.svg

Same data, same parameters, same arithmetic, same number of threads. Before a row is timed, each
peer computes it and is held to the numbers of fcnn.reference; then all take turns, lap by lap.
Peers that are not installed are named. In the same run a loop of multiply-adds in the registers
measures the limit of the CPU, of which a share is stated. What is timed are the public calls that
a user makes.
"""

import argparse
import importlib
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
import timeit
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

# Read once, when a library is loaded. NPROC is XLA's count of threads, where it asks for one.
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",
)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time fcnn and its peers side by side: training and prediction.",
        epilog="FCNN_ISA=v2 (v3, v4) in the environment chooses fcnn's instruction set. The exit "
        "status is 1 if a peer computed something else than the reference.",
    )
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="of timing, for all rows (120), about"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--threads", type=int, default=1, help="for each peer (1); from 2 on fcnn's gain is shown"
    )
    parser.add_argument(
        "--rows", default="", metavar="SUBSTRING", help="only rows whose section and name hold it"
    )
    parser.add_argument(
        "--mnist", type=Path, metavar="DIR", help="folder with MNIST's IDX files: train on it, too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)")
    options = parser.parse_args(arguments)
    if not 0 < options.seconds < math.inf:
        parser.error(f"--seconds: expected a number above 0, got {options.seconds}")
    if options.threads < 1:
        parser.error(f"--threads: expected at least 1, got {options.threads}")
    return options


def _siblings(cpu: int) -> str:
    """Return a name of the core that a CPU belongs to: two threads of one core are one core."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return path.read_text().strip() if path.is_file() else str(cpu)


def limit_threads(threads: int, dtype: str) -> str:
    """Limit every peer, before it is loaded, to as many threads and CPUs; return how."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} "
        f"intra_op_parallelism_threads={threads}"
    )
    os.environ.update(JAX_PLATFORMS="cpu", JAX_ENABLE_X64=str(int(dtype == "float64")))
    # Where something else runs, a thread that spins keeps the one it waits for from the CPU:
    # PyTorch then took four times as long and more; otherwise no difference was seen.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if not hasattr(os, "sched_setaffinity"):
        return "not bound to CPUs (this system cannot)"
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        cores.setdefault(_siblings(cpu), cpu)
    if len(cores) < threads:
        sys.exit(f"--threads: {threads} threads need as many cores, there are {len(cores)}")
    chosen = list(cores.values())[-threads:]  # the first one serves more interrupts
    os.sched_setaffinity(0, chosen)
    return f"bound to CPU {', '.join(map(str, chosen))}"


if __name__ == "__main__":
    OPTIONS = parse_arguments()
    BOUND = limit_threads(OPTIONS.threads, OPTIONS.dtype)

# Only now: a BLAS reads its limits when NumPy is loaded.
import numpy as np  # noqa: E402

import fcnn  # noqa: E402
from fcnn import _dispatch, bench, reference  # noqa: E402

# ||peer - reference|| / ||reference||, of the losses and of the parameters' change. The order of
# summation makes 1e-5 (Adam: 5e-5) and 1e-13; a learning rate that is wrong by 1 % makes 4e-3.
TRAINING_TOLERANCES = {"float32": 2e-4, "float64": 1e-11}
# scikit-learn's Adam adds epsilon before the bias of the root is corrected, a variant of the
# paper's algorithm 1 with the same operations. It makes 2e-4 in the row that it takes part in.
ADAM_VARIANT_TOLERANCE = 1e-3
# Of an epoch whose numbers are checked. Small, because a batch of one row has a large gradient.
CHECKED_LR = {"sgd": 1e-3, "adam": 1e-4}
# Updates that a check consists of at least: from its first one Adam's constants cannot be seen.
LEAST_UPDATES = 4

LEAST_LAPS = 5
SECONDS_PER_LAP = 2e-3
# With several threads: what waits for work in a library gives up within this time (OpenBLAS takes
# the longest), and does not run beside the next peer.
PAUSE = 0.05

LIMIT_TURNS = 100_000
LIMIT_LAPS = 12


EXPLANATION = """\
Above 1, fcnn is faster. Times are medians of laps in turns: of a step in an epoch that is one call
(fcnn's is the public fit, with its checks), or of one prediction. The spread is the interquartile
range over the median. The share of the limit is that of the best lap, since the limit is a best
lap, too; it counts the multiplications and additions of the products alone. The first call is that
of a new network in this process, with what a library compiles or sets up
for it. Adam/SGD is fcnn's own step with Adam over its step with SGD."""

# M. Okabe and K. Ito's colours, which colour-blind readers tell apart, and shapes for print.
MARKS = {
    "NumPy": ("#0072B2", "o"),
    "PyTorch": ("#D55E00", "s"),
    "JAX": ("#009E73", "^"),
    "scikit-learn": ("#CC79A7", "D"),
    "ONNX Runtime": ("#E69F00", "v"),
}


class UnsupportedError(Exception):
    """What a peer cannot do, without another program around it."""


# --- Workloads ------------------------------------------------------------------------------------


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

    @property
    def name(self) -> str:
        text = f"{bench.dashed(self.sizes)}, batch {self.batch:,}"
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
    Workload((4, 16, 3), 16, 200),
    Workload((784, 128, 10), 1, 200),
    Workload((4, 32, 16, 4), 10_000, 1, "adam", "tanh", "squared_error"),
)
LEAST_BATCH_FOR_ADAM = 32  # rows of SGD that Adam is compared with
SCALED = (TRAINING[0], TRAINING[2])
PREDICTION = ((4, 16, 3), (64, 100, 10), (784, 128, 10), (32, 256, 256, 256, 2))
PREDICTION_ROWS = (1, 1000)
MNIST = Workload((784, 128, 10), 64, 10, "adam")
MNIST_EPOCHS = 5
MNIST_RUNS = 3
MNIST_LR = 1e-3
MNIST_PEERS = ("fcnn", "PyTorch")
WITH_ADAM = "fcnn, Adam"


@dataclass(frozen=True)
class Task:
    """A workload with its data, and the network that everyone starts from."""

    workload: Workload
    network: fcnn.Network
    X: np.ndarray
    y: np.ndarray


def make_task(workload: Workload, dtype: str) -> Task:
    """Return random data, the same at every call: labels, or numbers for the squared error."""
    rng = np.random.default_rng(0)
    network = fcnn.Network(
        workload.sizes, workload.activation, loss=workload.loss, dtype=dtype, rng=rng
    )
    rows, n_out = workload.batch * workload.steps, workload.sizes[-1]
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


# --- Peers ----------------------------------------------------------------------------------------
#
# A trainer has epoch(), which trains for one epoch and returns its mean loss as a number, and
# parameters(), flat. A predictor is a call without arguments that returns the answer. Data are
# converted to what the peer computes with beforehand.


class Fcnn:
    name = "fcnn"
    version = fcnn.__version__

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.limited = f"fcnn: n_threads={threads}"

    def trainer(self, task: Task, lr: float) -> Any:
        return FcnnTrainer(task, lr, self.threads)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        threads, out = self.threads, np.empty((*x.shape[:-1], network.sizes[-1]), x.dtype)
        if x.ndim == 1:
            return lambda: network.predict(x, out=out)
        return lambda: network.predict(x, n_threads=threads)


class FcnnTrainer:
    def __init__(self, task: Task, lr: float, threads: int) -> None:
        self.network = task.network.copy()
        self.fit = partial(
            self.network.fit,
            task.X,
            task.y,
            epochs=1,
            batch_size=task.workload.batch,
            optimizer=make_optimizer(task.workload.optimizer, lr),
            shuffle=False,
            n_threads=threads,
        )

    def epoch(self) -> float:
        return self.fit().loss[0]

    def parameters(self) -> np.ndarray:
        return self.network.parameters


class NumPy:
    name = "NumPy"
    version = np.__version__

    def __init__(self, threads: int) -> None:
        self.limited = (
            f"NumPy, scikit-learn: OPENBLAS_NUM_THREADS={threads}, OMP_NUM_THREADS and the like"
        )

    def trainer(self, task: Task, lr: float) -> Any:
        return NumPyTrainer(task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        return partial(reference.Network.like(network).predict, x)


class NumPyTrainer:
    def __init__(self, task: Task, lr: float) -> None:
        self.twin = reference.Network.like(task.network)
        optimizer = make_optimizer(task.workload.optimizer, lr)
        self.epoch = partial(self.twin.train_epoch, task.X, task.y, optimizer, task.workload.batch)

    def parameters(self) -> np.ndarray:
        return self.twin.parameters


class Torch:
    """PyTorch, eager: modules, autograd and an optimizer, and slices of tensors as batches."""

    name = "PyTorch"

    def __init__(self, threads: int) -> None:
        self.torch = importlib.import_module("torch")
        self.version = self.torch.__version__
        self.torch.set_num_threads(threads)
        self.torch.set_num_interop_threads(1)
        self.limited = f"PyTorch: torch.set_num_threads({threads}), OMP_WAIT_POLICY=passive"

    def layers(self, network: fcnn.Network) -> list[Any]:
        """Return the modules of a network, without the output's activation."""
        nn, tensor = self.torch.nn, self.torch.tensor
        modules: list[Any] = []
        for W, b in zip(network.weights, network.biases, strict=True):
            linear = nn.Linear(W.shape[1], W.shape[0])
            linear.weight = nn.Parameter(tensor(np.ascontiguousarray(W)))
            linear.bias = nn.Parameter(tensor(b))
            modules += [linear, nn.Tanh() if network.activations[0] == "tanh" else nn.ReLU()]
        return modules[:-1]

    def trainer(self, task: Task, lr: float) -> Any:
        return TorchTrainer(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        torch = self.torch
        model = torch.nn.Sequential(*self.layers(network), torch.nn.Softmax(dim=-1))
        inputs = torch.from_numpy(x)

        def predict() -> Any:
            with torch.no_grad():
                return model(inputs)

        return predict


class TorchTrainer:
    def __init__(self, peer: Torch, task: Task, lr: float) -> None:
        self.torch, self.workload = peer.torch, task.workload
        self.X, self.y = peer.torch.from_numpy(task.X), peer.torch.from_numpy(task.y)
        self.model = peer.torch.nn.Sequential(*peer.layers(task.network))
        optim = peer.torch.optim
        rule = optim.SGD if task.workload.optimizer == "sgd" else optim.Adam
        self.optimizer = rule(self.model.parameters(), lr=lr)

    def step(self, x: Any, y: Any) -> Any:
        functional = self.torch.nn.functional
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self.model(x)
        if self.workload.loss == "cross_entropy":
            loss = functional.cross_entropy(outputs, y)
        else:
            loss = functional.mse_loss(outputs, y, reduction="sum") / (2 * len(y))
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> float:
        total = self.torch.zeros((), dtype=self.X.dtype)
        batch = self.workload.batch
        for i in range(0, len(self.X), batch):
            total += self.step(self.X[i : i + batch], self.y[i : i + batch])
        return total.item() / self.workload.steps

    def parameters(self) -> np.ndarray:
        values = [p.detach().numpy() for p in self.model.parameters()]
        return flat(values[::2], values[1::2])


class Jax:
    """JAX: a whole epoch is one compiled call, a scan over the batches, its state donated."""

    name = "JAX"

    def __init__(self, threads: int) -> None:
        self.jax = importlib.import_module("jax")
        self.version = self.jax.__version__
        self.limited = f"JAX: XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}"

    def layers(self, network: fcnn.Network) -> list[Any]:
        pairs = zip(network.weights, network.biases, strict=True)
        return [(self.jax.numpy.array(W.T), self.jax.numpy.array(b)) for W, b in pairs]

    def trainer(self, task: Task, lr: float) -> Any:
        return JaxTrainer(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        jax = self.jax

        @jax.jit
        def forward(parameters: Any, inputs: Any) -> Any:
            return jax.nn.softmax(_jax_outputs(jax.nn.relu, parameters, inputs))

        parameters, inputs = self.layers(network), jax.numpy.array(x)
        return lambda: forward(parameters, inputs).block_until_ready()


def _jax_outputs(sigma: Callable[[Any], Any], parameters: Any, a: Any) -> Any:
    for W, b in parameters[:-1]:
        a = sigma(a @ W + b)
    W, b = parameters[-1]
    return a @ W + b


@cache
def _jax_epoch(activation: str, loss: str, optimizer: str) -> Any:
    """Return a compiled epoch, of state, lr and data by steps, to a new state and the loss."""
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    sigma = jnp.tanh if activation == "tanh" else jax.nn.relu

    def cost(parameters: Any, x: Any, y: Any) -> Any:
        outputs = _jax_outputs(sigma, parameters, x)
        if loss == "squared_error":
            return 0.5 * jnp.sum((outputs - y) ** 2) / len(x)
        y = jax.nn.one_hot(y, outputs.shape[1], dtype=outputs.dtype)
        return -jnp.sum(y * jax.nn.log_softmax(outputs)) / len(x)

    def sgd(state: Any, g: Any, lr: Any) -> Any:
        (p,) = state
        return (jax.tree.map(lambda p, g: p - lr * g, p, g),)

    def adam(state: Any, g: Any, lr: Any) -> Any:
        p, m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        size = lr / (1 - 0.9**t)
        root = jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
        return p, m, v, t

    update = sgd if optimizer == "sgd" else adam

    def epoch(state: Any, lr: Any, X: Any, y: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            value, g = jax.value_and_grad(cost)(state[0], *batch)
            return update(state, g, lr), value

        state, losses = jax.lax.scan(step, state, (X, y))
        return state, losses.mean()

    return jax.jit(epoch, donate_argnums=0)


class JaxTrainer:
    def __init__(self, peer: Jax, task: Task, lr: float) -> None:
        jnp, tree = peer.jax.numpy, peer.jax.tree
        workload = task.workload
        self.run = _jax_epoch(workload.activation, workload.loss, workload.optimizer)
        self.state = (peer.layers(task.network),)
        if workload.optimizer == "adam":
            zeros = [tree.map(jnp.zeros_like, self.state[0]) for _ in range(2)]
            self.state = (*self.state, *zeros, jnp.zeros((), task.X.dtype))
        self.lr = jnp.array(lr, task.X.dtype)
        by_step = (workload.steps, workload.batch)
        self.X = jnp.array(task.X.reshape(*by_step, -1))
        self.y = jnp.array(task.y.reshape(*by_step, *task.y.shape[1:]))

    def epoch(self) -> float:
        self.state, loss = self.run(self.state, self.lr, self.X, self.y)
        self.state[0][0][0].block_until_ready()
        return float(loss)

    def parameters(self) -> np.ndarray:
        return flat([W.T for W, _ in self.state[0]], [b for _, b in self.state[0]])


class Sklearn:
    """scikit-learn: partial_fit is one epoch, in order with shuffle=False."""

    name = "scikit-learn"

    def __init__(self, threads: int) -> None:
        self.module = importlib.import_module("sklearn.neural_network")
        self.version = importlib.import_module("sklearn").__version__
        self.limited = ""  # by NumPy's variables

    def trainer(self, task: Task, lr: float) -> Any:
        return SklearnTrainer(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        n_in, n_out = network.sizes[0], network.sizes[-1]
        model = self.module.MLPClassifier(network.sizes[1:-1], max_iter=1, batch_size=n_out)
        _ignoring_warnings(model.fit, np.zeros((n_out, n_in), x.dtype), np.arange(n_out))
        model.n_outputs_, model.out_activation_ = n_out, "softmax"  # also for two classes
        model.coefs_ = [np.ascontiguousarray(W.T) for W in network.weights]
        model.intercepts_ = [b.copy() for b in network.biases]
        return partial(model.predict_proba, np.atleast_2d(x))


def _ignoring_warnings(call: Callable[..., Any], *arguments: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(*arguments)


class SklearnTrainer:
    def __init__(self, peer: Sklearn, task: Task, lr: float) -> None:
        workload = task.workload
        self.classes = workload.sizes[-1] if workload.loss == "cross_entropy" else 0
        model = peer.module.MLPClassifier if self.classes else peer.module.MLPRegressor
        self.model = model(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=workload.activation,
            solver=workload.optimizer,
            alpha=0,
            batch_size=workload.batch,
            learning_rate_init=lr,
            momentum=0,
            shuffle=False,
        )
        # Of two classes it makes one logistic output; rows of 0 and 1 are two, for which the output
        # activation and the loss that belongs to it can be set.
        two = self.classes == 2
        self.X, self.y = task.X, np.eye(2, dtype=int)[task.y] if two else task.y
        self._start(task.network)
        if two:
            self.model.out_activation_ = "softmax"

    def _start(self, network: fcnn.Network) -> None:
        """Let it allocate; then take the network's parameters and Adam's first state."""
        labels = () if not self.classes else (np.arange(self.classes),)
        first = slice(0, max(self.model.batch_size, self.classes))
        self.epoch_of(self.X[first], self.y[first], *labels)
        for array, W in zip(self.model.coefs_, network.weights, strict=True):
            array[...] = W.T
        for array, b in zip(self.model.intercepts_, network.biases, strict=True):
            array[...] = b
        del self.model._optimizer  # partial_fit makes a new one

    def epoch_of(self, X: Any, y: Any, classes: Any = None) -> None:
        if classes is None:
            _ignoring_warnings(self.model.partial_fit, X, y)
        else:
            _ignoring_warnings(partial(self.model.partial_fit, classes=classes), X, y)

    def epoch(self) -> float:
        self.model.partial_fit(self.X, self.y)
        # Its squared error is a mean over the outputs, too; its gradient is not.
        return self.model.loss_ * (1 if self.classes else self.model.n_outputs_)

    def parameters(self) -> np.ndarray:
        return flat([W.T for W in self.model.coefs_], self.model.intercepts_)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, threads: int) -> None:
        self.runtime = importlib.import_module("onnxruntime")
        self.onnx = importlib.import_module("onnx")
        self.version = self.runtime.__version__
        self.options = self.runtime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.limited = f"ONNX Runtime: intra_op_num_threads={threads}, inter_op_num_threads=1"

    def trainer(self, task: Task, lr: float) -> Any:
        raise UnsupportedError("ONNX Runtime does not train")

    def _model(self, network: fcnn.Network) -> bytes:
        """Return the network as a graph: Gemm and Relu for each layer, Softmax at the end."""
        helper, from_array = self.onnx.helper, self.onnx.numpy_helper.from_array
        nodes, constants, a = [], [], "x"
        for l, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
            constants.append(from_array(np.ascontiguousarray(W.T), f"W{l}"))
            constants.append(from_array(b.copy(), f"b{l}"))
            nodes.append(helper.make_node("Gemm", [a, f"W{l}", f"b{l}"], [f"z{l}"]))
            sigma = "Softmax" if l == len(network.weights) else "Relu"
            nodes.append(helper.make_node(sigma, [f"z{l}"], [a := f"a{l}"]))
        dtype = helper.np_dtype_to_tensor_dtype(network.dtype)
        ends = [
            helper.make_tensor_value_info(name, dtype, ["samples", size])
            for name, size in (("x", network.sizes[0]), (a, network.sizes[-1]))
        ]
        graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        providers = ["CPUExecutionProvider"]
        session = self.runtime.InferenceSession(self._model(network), self.options, providers)
        inputs = {"x": np.atleast_2d(x)}
        return lambda: session.run(None, inputs)[0]


PEERS = (Fcnn, NumPy, Torch, Jax, Sklearn, OnnxRuntime)
# The distribution to install, where it is not the peer's name in lower case.
DISTRIBUTIONS = {"PyTorch": "torch", "ONNX Runtime": "onnxruntime and onnx"}


def load_peers(threads: int) -> tuple[list[Any], list[str]]:
    """Return the peers that are installed, fcnn and NumPy first, and the names of the others."""
    present, absent = [], []
    for peer in PEERS:
        try:
            present.append(peer(threads))
        except ImportError as error:
            install = DISTRIBUTIONS.get(peer.name, peer.name.lower())
            absent.append(f"{peer.name} is absent (pip install {install}): {error}")
    return present, absent


# --- The same numbers -----------------------------------------------------------------------------


def distance(theirs: Any, expected: Any) -> float:
    """Return ||theirs - expected|| / ||expected||, not a number if one of them has none."""
    a, b = np.asarray(theirs, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        a = a.reshape(b.shape)  # a row alone may come as a matrix
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def require_same(what: str, theirs: Any, expected: Any, tolerance: float) -> None:
    error = distance(theirs, expected)
    if not error <= tolerance:  # so that NaN fails
        raise ArithmeticError(
            f"{what} is {error:.1e} of the norm away from the reference's, more than "
            f"{tolerance:.0e}: not timed"
        )


def trained(trainer: Any, updates: int) -> tuple[list[float], np.ndarray, float]:
    """Return the losses of some epochs, the parameters' change, and the first epoch's seconds."""
    before = np.array(trainer.parameters(), np.float64)
    began = time.perf_counter()
    losses = [trainer.epoch()]
    cold = time.perf_counter() - began
    losses += [trainer.epoch() for _ in range(updates - 1)]
    return losses, np.asarray(trainer.parameters(), np.float64) - before, cold


def check_training(peer: Any, task: Task) -> float:
    """Raise unless a peer trains as the reference does; return its first epoch's seconds."""
    lr = CHECKED_LR[task.workload.optimizer]
    epochs = math.ceil(LEAST_UPDATES / task.workload.steps)
    expected_losses, expected, _ = trained(NumPyTrainer(task, lr), epochs)
    losses, change, cold = trained(peer.trainer(task, lr), epochs)
    tolerance = TRAINING_TOLERANCES[task.network.dtype.name]
    if isinstance(peer, Sklearn) and task.workload.optimizer == "adam":
        tolerance = ADAM_VARIANT_TOLERANCE
    require_same("the loss of an epoch", losses, expected_losses, tolerance)
    require_same("the change of the parameters by an epoch", change, expected, tolerance)
    return cold


def check_prediction(call: Callable[[], Any], expected: np.ndarray) -> float:
    """Raise unless a prediction is the reference's; return the first call's seconds."""
    began = time.perf_counter()
    answer = call()
    cold = time.perf_counter() - began
    require_same("the prediction", answer, expected, bench.TOLERANCES[expected.dtype.name])
    return cold


# --- Timing ---------------------------------------------------------------------------------------


@dataclass
class Timing:
    """What was measured of one peer, in seconds of one step or one prediction."""

    cold: float  # the first call: of a whole epoch in training
    laps: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.laps)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.laps, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """The interquartile range as a share of the median."""
        low, high = self.quartiles
        return (high - low) / self.median


def take_turns(calls: Mapping[str, Callable[[], object]], seconds: float, pause: float) -> Any:
    """Return laps of each call, in seconds per call: A B C A B C ... for about `seconds`."""
    timers = {name: timeit.Timer(call) for name, call in calls.items()}
    loops = {}
    end = time.perf_counter() + seconds
    for name, timer in timers.items():
        once = timer.timeit(1)
        if once < SECONDS_PER_LAP:
            once = min(timer.repeat(3, 1))
        loops[name] = max(1, round(SECONDS_PER_LAP / once))
    laps: dict[str, list[float]] = {name: [] for name in calls}
    rounds = 0
    while rounds < LEAST_LAPS or time.perf_counter() < end:
        for name, timer in timers.items():
            if pause:
                time.sleep(pause)
                timer.timeit(1)  # wakes the threads
            laps[name].append(timer.timeit(loops[name]) / loops[name])
        rounds += 1
    return laps


class Limit:
    """The most operations per second seen so far of each build of fcnn and each dtype."""

    def __init__(self) -> None:
        self.best: dict[tuple[str, str], float] = {}
        cores = {
            isa: importlib.import_module(f"fcnn.{module}")
            for isa, module in _dispatch.available().items()
        }
        self.cores = {isa: core for isa, core in cores.items() if hasattr(core, "multiply_adds")}

    def measure(self) -> None:
        """Run some short laps. They are repeated all over the run, and the best of all counts."""
        for isa, core in self.cores.items():
            for dtype in ("float32", "float64"):
                for _ in range(LIMIT_LAPS):
                    began = time.perf_counter()
                    operations = core.multiply_adds(LIMIT_TURNS, dtype)
                    rate = operations / (time.perf_counter() - began)
                    self.best[isa, dtype] = max(rate, self.best.get((isa, dtype), 0.0))

    def of(self, isa: str, dtype: str) -> float:
        return self.best.get((isa, dtype), math.nan)


# --- Rows -----------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the tables: who computes it in what time."""

    section: str
    name: str
    flops: float  # of one step or prediction
    timings: dict[str, Timing] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str, to: str = "fcnn") -> float:
        """Return the time of one over that of another, NaN where there is none."""
        if name not in self.timings or to not in self.timings:
            return math.nan
        return self.timings[name].median / self.timings[to].median

    def share(self, name: str, limit: float) -> float:
        """The best lap beside the limit, which is a best lap, too."""
        return self.flops / min(self.timings[name].laps) / limit

    def losses(self) -> Iterator[str]:
        """Yield a sentence for each peer that is faster than fcnn."""
        for name, theirs in self.timings.items():
            ratio = self.ratio(name)
            if name == WITH_ADAM or not ratio < 1:
                continue
            ours = self.timings["fcnn"]
            overlap = theirs.quartiles[1] > ours.quartiles[0]
            doubt = ", less apart than their spreads" if overlap else ""
            yield (
                f"fcnn loses: {self.section}, {self.name}: {name} takes {ratio:.2f} of its time"
                f" ({microseconds(theirs.median)} us, fcnn {microseconds(ours.median)}{doubt})"
            )


@dataclass
class Session:
    """One run: who takes part, and what came of it."""

    dtype: str
    threads: int
    seconds_per_row: float
    peers: list[Any]
    absent: list[str]
    bound: str
    limit: Limit = field(default_factory=Limit)
    rows: list[Row] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def limit_of_all_threads(self) -> float:
        """Operations per second that the instruction set of fcnn allows."""
        return self.threads * self.limit.of(_dispatch.core.ISA, self.dtype)

    @contextmanager
    def judging(self, row: Row, name: str) -> Iterator[None]:
        """Leave a peer out of a row if it cannot compute it, and say so if it should have."""
        try:
            yield
        except UnsupportedError:
            pass
        except Exception as error:  # of whatever kind: the other peers' times are still right
            message = f"{row.section}, {row.name}: {name}: {error or type(error).__name__}"
            self.errors.append(message)
            print(f"error: {message}", file=sys.stderr)

    def time(self, row: Row, calls: Mapping[str, Callable[[], object]], steps: int = 1) -> None:
        """Let the calls take turns; a lap of a training is an epoch of some steps."""
        self.limit.measure()
        pause = PAUSE if self.threads > 1 else 0.0
        for name, laps in take_turns(calls, self.seconds_per_row, pause).items():
            row.timings[name].laps = [lap / steps for lap in laps]
        self.rows.append(row)


def time_training(session: Session, row: Row, contestants: Sequence[tuple[str, Any, Task]]) -> None:
    """Time the epoch of everyone whose numbers are right."""
    epochs, steps = {}, contestants[0][2].workload.steps
    for name, peer, task in contestants:
        with session.judging(row, name):
            cold = check_training(peer, task)
            epochs[name] = peer.trainer(task, bench.TIMING_LR).epoch
            row.timings[name] = Timing(cold)
    session.time(row, epochs, steps)


def run_training(session: Session, row: Row, workload: Workload) -> None:
    task = make_task(workload, session.dtype)
    contestants = [(peer.name, peer, task) for peer in session.peers]
    if workload.optimizer == "sgd" and workload.batch >= LEAST_BATCH_FOR_ADAM:
        adam = replace(task, workload=replace(workload, optimizer="adam"))
        contestants.insert(1, (WITH_ADAM, session.peers[0], adam))
    time_training(session, row, contestants)


def run_scaling(session: Session, row: Row, workload: Workload) -> None:
    """Time fcnn alone, on one thread and on all."""
    task = make_task(workload, session.dtype)
    counts = (1, session.threads)
    time_training(session, row, [(f"fcnn, n_threads={n}", Fcnn(n), task) for n in counts])
    if len(row.timings) == len(counts):
        row.facts["gain"] = f"{row.ratio(*row.timings):.2f}"


def run_prediction(session: Session, row: Row, sizes: tuple[int, ...], rows: int) -> None:
    pair = bench.make_pair(sizes, rows, session.dtype)
    x = pair.X[0] if rows == 1 else pair.X
    expected = pair.twin.predict(x)
    calls = {}
    for peer in session.peers:
        with session.judging(row, peer.name):
            call = peer.predictor(pair.network, x)
            row.timings[peer.name] = Timing(check_prediction(call, expected))
            calls[peer.name] = call
    session.time(row, calls)


# --- MNIST ----------------------------------------------------------------------------------------


def _fcnn_training(session: Session, task: Task) -> tuple[Callable[[], Any], Callable[..., Any]]:
    """Return what trains on a task's data, shuffled, and what then predicts."""
    network = task.network.copy()
    training = partial(
        network.fit,
        task.X,
        task.y,
        epochs=MNIST_EPOCHS,
        batch_size=task.workload.batch,
        optimizer=fcnn.Adam(MNIST_LR),
        n_threads=session.threads,
    )
    return training, network.predict


def _torch_training(peer: Torch, task: Task) -> tuple[Callable[[], Any], Callable[..., Any]]:
    trainer = peer.trainer(task, MNIST_LR)
    torch, X, y, batch = peer.torch, trainer.X, trainer.y, task.workload.batch

    def train() -> None:
        for _ in range(MNIST_EPOCHS):
            order = torch.randperm(len(X))
            for i in range(0, len(X), batch):
                rows = order[i : i + batch]
                trainer.step(X[rows], y[rows])

    def outputs(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return trainer.model(torch.from_numpy(X)).numpy()

    return train, outputs


def run_mnist(session: Session, row: Row, folder: Path) -> None:
    """Train some times from the start, in turns; the accuracy is that on the test images."""
    X, y, X_test, y_test = fcnn.datasets.load_idx_folder(folder)
    X, X_test = (np.asarray(v / 255, session.dtype) for v in (X, X_test))
    task = make_task(MNIST, session.dtype)
    row.flops *= MNIST_EPOCHS * len(X) / MNIST.batch
    accuracies: dict[str, list[float]] = {}
    for peer in session.peers:
        if peer.name in MNIST_PEERS:
            with session.judging(row, peer.name):
                row.timings[peer.name] = Timing(check_training(peer, task))
                accuracies[peer.name] = []
    task = replace(task, X=X, y=y)
    for _ in range(MNIST_RUNS):
        for peer in session.peers:
            if peer.name not in accuracies:
                continue
            start = (
                partial(_fcnn_training, session)
                if peer.name == "fcnn"
                else partial(_torch_training, peer)
            )
            train, outputs = start(task)
            time.sleep(PAUSE)
            row.timings[peer.name].laps.append(timeit.timeit(train, number=1))
            right = np.asarray(outputs(X_test)).argmax(axis=1) == y_test
            accuracies[peer.name].append(100 * right.mean())
    for name, values in accuracies.items():
        row.facts[name] = f"{statistics.median(values):.2f} %"
    session.rows.append(row)


# --- The tables -----------------------------------------------------------------------------------


def three_digits(number: float) -> str:
    """Return three digits or all before the point: 0.25, 2.50, 25.0, 2,500."""
    return f"{number:,.{2 if number < 10 else 1 if number < 100 else 0}f}"


def microseconds(seconds: float) -> str:
    return three_digits(1e6 * seconds)


def table(title: str, rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """Return a table with a line for each row; a cell that cannot be computed is a dash."""
    lines = [[title, *columns]]
    lines += [["  " + row.name, *(cell(row) for cell in columns.values())] for row in rows]
    wide = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        line[0].ljust(wide[0])
        + "".join(cell.rjust(w + 2) for cell, w in zip(line[1:], wide[1:], strict=True))
        for line in lines
    ]
    return "\n".join(texts)


def _cell(name: str, text: Callable[[Row, Timing], str]) -> Callable[[Row], str]:
    return lambda row: text(row, row.timings[name]) if name in row.timings else "-"


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return the peers of some rows, in the order of `PEERS`."""
    order = ["fcnn", WITH_ADAM, *(peer.name for peer in PEERS)]
    present = dict.fromkeys(name for row in rows for name in row.timings)
    return sorted(present, key=lambda name: order.index(name) if name in order else len(order))


def section_tables(session: Session, rows: Sequence[Row]) -> str:
    """Return what there is to say about one section: ratios, times, first calls."""
    names = names_of(rows)
    limit = session.limit_of_all_threads
    ratios = {
        "fcnn us": _cell("fcnn", lambda _, t: microseconds(t.median)),
        "spread": _cell("fcnn", lambda _, t: f"{t.spread:.0%}"),
        "of limit": _cell("fcnn", lambda row, _: f"{row.share('fcnn', limit):.1%}"),
    }
    times, first = {}, {}
    for name in names:
        if name != "fcnn":
            label = "Adam/SGD" if name == WITH_ADAM else name
            ratios[label] = _cell(name, lambda row, _, n=name: three_digits(row.ratio(n)))
        times[name] = _cell(name, lambda _, t: f"{microseconds(t.median)} {t.spread:4.0%}")
        first[name] = _cell(name, lambda _, t: three_digits(1e3 * t.cold))
    what = "an epoch" if rows[0].section == "training" else "a prediction"
    return "\n\n".join(
        (
            table(f"{rows[0].section}: time over fcnn's", rows, ratios),
            table("  median, us, and its spread", rows, times),
            table(f"  first call of {what}, ms", rows, first),
        )
    )


def scaling_table(rows: Sequence[Row]) -> str:
    columns = {
        name: _cell(name, lambda _, t: f"{microseconds(t.median)} {t.spread:4.0%}")
        for name in names_of(rows)
    }
    return table("threads: a training step, us", rows, {**columns, "gain": _fact("gain")})


def _fact(name: str) -> Callable[[Row], str]:
    return lambda row: row.facts.get(name, "-")


def mnist_table(rows: Sequence[Row]) -> str:
    columns: dict[str, Callable[[Row], str]] = {}
    for name in names_of(rows):
        columns[f"{name}, s"] = _cell(name, lambda _, t: f"{t.median:.2f} {t.spread:4.0%}")
        columns[f"{name}, right"] = _fact(name)
    columns["ratio"] = lambda row: f"{row.ratio('PyTorch'):.2f}"
    return table(f"MNIST, {MNIST_EPOCHS} epochs, median of {MNIST_RUNS} runs", rows, columns)


def report(session: Session) -> str:
    """Return all tables, and below them where fcnn loses."""
    by_section: dict[str, list[Row]] = {}
    for row in session.rows:
        by_section.setdefault(row.section, []).append(row)
    parts = []
    for section, rows in by_section.items():
        if section == "threads":
            parts.append(scaling_table(rows))
        elif section == "MNIST":
            parts.append(mnist_table(rows))
        else:
            parts.append(section_tables(session, rows))
    parts.append(EXPLANATION)
    parts.append(limit_text(session))
    losses = [sentence for row in session.rows for sentence in row.losses()]
    parts.append("\n".join(losses) or "fcnn loses: nowhere in this run")
    if session.errors:
        parts.append("\n".join(f"error: {message}" for message in session.errors))
    return "\n\n".join(parts)


def limit_text(session: Session) -> str:
    if not session.limit.best:
        return "limit: not measured, this build of fcnn has no multiply_adds"
    rates = [f"{isa} {dtype} {rate / 1e9:.1f}" for (isa, dtype), rate in session.limit.best.items()]
    return f"limit, GFLOP/s of one core: {', '.join(rates)}"


def heading(session: Session) -> str:
    """Return what is compared, where, and what limits the threads."""
    lines = [
        ", ".join(f"{peer.name} {peer.version}" for peer in session.peers),
        f"{bench.cpu_name()}, fcnn's instruction set {_dispatch.core.ISA}, {session.dtype}, "
        f"Python {platform.python_version()}",
        f"at most {threads_text(session)} for each, the process {session.bound}:",
        *(f"  {peer.limited}" for peer in session.peers if peer.limited),
        *session.absent,
        *busy(),
        *too_many_threads(session.threads),
    ]
    return "\n".join(lines)


def threads_text(session: Session) -> str:
    return "1 thread" if session.threads == 1 else f"{session.threads} threads"


def busy() -> Iterator[str]:
    """Yield a warning if something else runs: threads that wait for others then suffer most."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        yield f"warning: something else was running in the last minute (load average {load:.1f})"


def too_many_threads(threads: int) -> Iterator[str]:
    """Yield a sentence for each library that has more threads than it should."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        yield "threadpoolctl is absent: that the limits hold was not verified"
        return
    for pool in threadpoolctl.threadpool_info():
        if pool["num_threads"] > threads:
            yield f"warning: {pool['filepath']} has {pool['num_threads']} threads"


# --- Files ----------------------------------------------------------------------------------------


def as_json(session: Session) -> dict[str, Any]:
    limit = session.limit_of_all_threads
    rows = [
        {
            "section": row.section,
            "name": row.name,
            "flops": row.flops,
            "facts": row.facts,
            "peers": {
                name: {
                    "median": timing.median,
                    "least": min(timing.laps),
                    "spread": timing.spread,
                    "first_call": timing.cold,
                    "laps": len(timing.laps),
                    "ratio_to_fcnn": None if math.isnan(row.ratio(name)) else row.ratio(name),
                    "share_of_limit": None if math.isnan(limit) else row.share(name, limit),
                }
                for name, timing in row.timings.items()
            },
        }
        for row in session.rows
    ]
    return {
        "unit": "seconds of one training step, prediction or (MNIST) training",
        "date": time.strftime("%Y-%m-%d"),
        "cpu": bench.cpu_name(),
        "isa": _dispatch.core.ISA,
        "dtype": session.dtype,
        "threads": session.threads,
        "bound": session.bound,
        "python": platform.python_version(),
        "versions": {peer.name: peer.version for peer in session.peers},
        "limited": [peer.limited for peer in session.peers if peer.limited],
        "absent": session.absent,
        "limit_flops_per_core": {" ".join(k): v for k, v in session.limit.best.items()},
        "rows": rows,
        "errors": session.errors,
    }


def draw(session: Session, path: Path) -> None:
    """Draw every ratio, a mark for each peer, on a logarithmic axis."""
    from matplotlib.figure import Figure

    rows = [row for row in session.rows if "fcnn" in row.timings and row.section != "MNIST"]
    figure = Figure(figsize=(8, 2 + 0.25 * len(rows)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    ticks, y, section = {}, 0.0, ""
    for row in rows:
        if row.section != section:
            section = row.section
            ticks[y] = section.capitalize()
            y += 1
        ticks[y] = row.name
        _draw_row(axes, row, y)
        y += 1
    _finish(axes, ticks, {row.section.capitalize() for row in rows}, y)
    axes.set_title(
        f"Time of a peer over fcnn's: {bench.cpu_name()}, {session.dtype}, {threads_text(session)}",
        fontsize=10,
    )
    figure.savefig(path)


def _draw_row(axes: Any, row: Row, y: float) -> None:
    ratios = {name: row.ratio(name) for name in row.timings if name in MARKS}
    axes.hlines(y, min(1, *ratios.values()), max(1, *ratios.values()), color="0.85", zorder=1)
    for i, name in enumerate(MARKS):
        if name in ratios:
            color, marker = MARKS[name]
            # A little apart, so that equal ratios do not hide each other.
            where = ratios[name], y + 0.12 * (i - len(MARKS) // 2)
            axes.plot(*where, marker, color=color, markersize=6, mec="white", mew=0.5, label=name)


def _finish(axes: Any, ticks: Mapping[float, str], sections: set[str], bottom: float) -> None:
    axes.set_xscale("log")
    axes.set_ylim(bottom, -1)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.5), right)
    axes.axvspan(axes.get_xlim()[0], 1, color="0.95", zorder=0)
    axes.axvline(1, color="black", linewidth=1)
    marks = [m for m in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if left < m < right]
    axes.set_xticks(sorted({*marks, 0.5, 1}), [f"{m:g}" for m in sorted({*marks, 0.5, 1})])
    axes.minorticks_off()
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.tick_params(axis="y", length=0)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in sections else "normal")
    axes.set_xlabel("grey: the peer is faster          right of 1: fcnn is faster", fontsize=9)
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.figure.legend(
        unique.values(), unique.keys(), fontsize=9, loc="outside lower center", ncols=len(MARKS)
    )


# --- Run ------------------------------------------------------------------------------------------


def planned(options: argparse.Namespace) -> list[tuple[Row, Callable[[Session, Row], None]]]:
    """Return the rows that were asked for, and what times each."""
    plan = []
    for workload in TRAINING:
        row = Row("training", workload.name, workload.flops)
        plan.append((row, partial(run_training, workload=workload)))
    for rows in PREDICTION_ROWS:
        section = "prediction of one row" if rows == 1 else f"prediction of {rows:,} rows"
        for sizes in PREDICTION:
            row = Row(section, bench.dashed(sizes), 2 * rows * sum(products(sizes)))
            plan.append((row, partial(run_prediction, sizes=sizes, rows=rows)))
    for workload in SCALED if options.threads > 1 else ():
        row = Row("threads", workload.name, workload.flops)
        plan.append((row, partial(run_scaling, workload=workload)))
    if options.mnist is not None:
        row = Row("MNIST", MNIST.name, MNIST.flops)
        plan.append((row, partial(run_mnist, folder=options.mnist)))
    return [(row, run) for row, run in plan if options.rows in f"{row.section}: {row.name}"]


def main(options: argparse.Namespace, bound: str) -> int:
    plan = planned(options)
    if not plan:
        sys.exit(f"--rows: no row holds {options.rows!r}")
    peers, absent = load_peers(options.threads)
    share = options.seconds / len(plan)
    session = Session(options.dtype, options.threads, share, peers, absent, bound)
    print(heading(session), end="\n\n", flush=True)
    for row, run in plan:
        print(f"{row.section}: {row.name}", file=sys.stderr)
        run(session, row)
    session.limit.measure()
    print(report(session))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(session), indent=1) + "\n")
    if options.chart is not None:
        draw(session, options.chart)
    return 1 if session.errors else 0


if __name__ == "__main__":
    sys.exit(main(OPTIONS, BOUND))
