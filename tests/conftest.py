"""Every build of the core as a fixture, and networks with random parameters."""

import ctypes
import importlib
import io
import mmap
import os
import signal
import sys
from pathlib import Path

# Before NumPy is loaded. Each worker of pytest-xdist is there for one CPU, and threads of OpenBLAS
# that have none wait in a loop: a quarter of the tests' time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell that starts pytest in the background has SIGINT ignored, and children inherit that: tests
# that interrupt would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

import fcnn
from fcnn import _dispatch, reference
from fcnn._cpu import BUILDS
from fcnn._validation import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS

# The builds that were made for this kind of CPU, oldest first, whether or not it can run them.
VARIANTS = {isa: module for isa, module, _ in reversed(BUILDS)}

# Two with a number of their own, which no default can stand in for.
HIDDEN = [*HIDDEN_ACTIVATIONS, "leaky_relu(0.3)", "elu(0.7)"]
PAIRS = [(loss, output) for loss, outputs in OUTPUT_ACTIVATIONS.items() for output in outputs]

# What `--quick` runs: every equation of the core against the reference.
QUICK = [
    Path(__file__).with_name(f"test_{name}.py")
    for name in (
        "c_interface", "core_guards", "elementary", "gradients", "network", "optimizers",
        "parallel", "regularization", "training",
    )
]  # fmt: skip
assert all(path.exists() for path in QUICK)


def pytest_addoption(parser):
    parser.addoption(
        "--one-build", action="store_true",
        help="test the build of the core that fcnn runs alone, where no other is installed",
    )  # fmt: skip
    parser.addoption(
        "--quick", action="store_true",
        help="in 20 s what a broken kernel fails: some files, one build, no slow tests",
    )  # fmt: skip


def pytest_ignore_collect(collection_path, config):
    # A marker would do, but for the time: it is known when all files have been imported.
    is_left_out = collection_path.is_file() and collection_path not in QUICK
    return True if config.getoption("--quick") and is_left_out else None


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]


def builds(config, all_of_them=False):
    """Return the builds that tests run for: what this CPU runs, or all; with an option, one."""
    if config.getoption("--one-build") or config.getoption("--quick"):
        return [_dispatch.isa]
    return [isa for isa in VARIANTS if all_of_them or isa in _dispatch.available()]


def pytest_generate_tests(metafunc):
    if "isa" in metafunc.fixturenames:
        # Of a build that this CPU cannot run there would be 1,450 tests, all skipped.
        names = builds(metafunc.config, all_of_them="core" not in metafunc.fixturenames)
        metafunc.parametrize("isa", names, indirect=True)


@pytest.fixture
def general_way():
    """Keep tiny networks, such as most of the tests', from the way of their own: test_tiny.py.

    Tests of threads, panels or lists would else pass without any.
    """
    cores = [importlib.import_module(f"fcnn.{VARIANTS[isa]}") for isa in _dispatch.available()]
    for core in cores:
        core.force_tiny(0)
    yield
    for core in cores:
        core.force_tiny(-1)


def pytest_terminal_summary(terminalreporter, config):
    for isa in VARIANTS:
        if isa not in builds(config):
            why = "not asked for" if isa in _dispatch.available() else "this CPU cannot run it"
            terminalreporter.line(f"NOT TESTED: the {isa} build, {why}")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config, log):
    # Each worker begins with a part of the files, so what a file computes or builds for all its
    # tests is made once, not by each worker.
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.option.dist == "load" else None


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here, capsys, monkeypatch):
    """A call of the command line in an empty folder: exit code, stdout, stderr."""
    from fcnn.cli.main import main

    def call(*words, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def isa(request):
    """The name of one build of the core, whether or not this CPU can run it."""
    return request.param


@pytest.fixture
def core(isa):
    """One build of the core that this CPU can run; an absent one fails."""
    return importlib.import_module(f"fcnn.{VARIANTS[isa]}")


@pytest.fixture(params=[0, 1], ids=["back", "forward"])
def direction(request, core):
    """Both ways of a Jacobian."""
    core.force_direction(request.param)
    yield request.param
    core.force_direction(-1)


def slow_but(quick, values):
    """Of an axis of parameters what stands for it in the quick part; the others are slow.

    For tests whose cases differ in data alone or take another library's training beside ours.
    """
    assert set(quick) <= set(values)
    slow = pytest.mark.slow(reason=f"{', '.join(map(str, quick))} stands for it")
    return [value if value in quick else pytest.param(value, marks=slow) for value in values]


def fitting(n_out, loss):
    """n_out, or as few more as the loss needs."""
    each = _dispatch.core.outputs_per_target(loss)
    return max(-(-n_out // each) * each, 2 if loss == "cross_entropy" else 1)


def targets(rng, loss, rows, n_out, dtype):
    """Random targets that the loss is defined for with n_out outputs, as rows."""
    if loss == "cross_entropy":
        return np.eye(n_out, dtype=dtype)[rng.integers(n_out, size=rows)]
    if loss == "binary_cross_entropy":
        return rng.integers(2, size=(rows, n_out)).astype(dtype)
    if loss == "poisson":
        return rng.poisson(1.5, size=(rows, n_out)).astype(dtype)
    n_targets = n_out // _dispatch.core.outputs_per_target(loss)
    return rng.normal(size=(rows, n_targets)).astype(dtype)


def set_randomly(rng, weights, biases, spread=1):
    """So that a layer's z have about the size of its inputs, times `spread`."""
    for W, b in zip(weights, biases, strict=True):
        W[...] = rng.normal(0, spread / np.sqrt(W.shape[1]), W.shape)
        b[...] = rng.normal(0, 0.5, b.shape)


def random_network(
    rng, dtype="float32", activations=None, pairs=PAIRS, *, hidden=HIDDEN, most=24, spread=1
):
    """A network with random sizes, weights and biases, and activations unless they are given."""
    L = int(rng.integers(1, 6)) if activations is None else len(activations) + 1
    sizes = [int(n) for n in rng.integers(1, most + 1, L + 1)]
    if activations is None:
        activations = [str(name) for name in rng.choice(hidden, L - 1)]
    loss, output = pairs[rng.integers(len(pairs))]
    sizes[-1] = fitting(sizes[-1], loss) + 2 * (loss == "cross_entropy")
    net = fcnn.Network(sizes, activations, output, loss, dtype)
    set_randomly(rng, net.weights, net.biases, spread)
    return net


def random_problem(rng, sizes, activations, loss, dtype, rows, weighted=False):
    """A reference network with random weights and biases, and a batch for it: (network, batch)."""
    network = reference.Network(sizes, activations, loss, dtype)
    set_randomly(rng, network.W[1:], network.b[1:])
    X = rng.normal(size=(rows, sizes[0])).astype(dtype)
    y = targets(rng, loss, rows, sizes[-1], dtype)
    weight = rng.uniform(0.1, 3, rows).astype(dtype) if weighted else None
    return network, (X, y, weight)


def core_twin(core, network):
    """A core network with the architecture and parameters of a reference network."""
    twin = core.Network(network.sizes, network.activations, network.loss, network.dtype)
    twin.parameters[:] = network.parameters
    return twin


def distance(a, b):
    """The Euclidean norm of a - b relative to that of b."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300)


TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def in_a_last_page(values):
    """A copy behind which no byte may be read."""
    pages = -(-values.nbytes // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(whole.ctypes.data + pages * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    end = pages * mmap.PAGESIZE
    copy = whole[end - values.nbytes : end].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


# --- Compilers of what to_c writes ----------------------------------------------------------------


def found_or_skipped(*names):
    from generated_c import find  # which takes networks from here

    found = next(filter(None, map(find, names)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(names)} on this machine")
    return found


@pytest.fixture(params=["gcc", "clang"])
def compiler(request):
    return found_or_skipped(request.param)


@pytest.fixture
def any_compiler():
    return found_or_skipped("gcc", "clang")
