"""Weights in panels for a call, and long sums in blocks: no path has bits of its own."""

import itertools

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn
from fcnn._validation import StepOptions

pytestmark = pytest.mark.usefixtures("general_way")

OPTIMIZERS = {
    "plain": lambda: fcnn.SGD(0.05),
    "decay": lambda: fcnn.SGD(0.05, weight_decay=0.01),
    "momentum": lambda: fcnn.SGD(0.05, momentum=0.9),
    "nesterov": lambda: fcnn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda: fcnn.Adam(0.01, weight_decay=0.01),
    "AdamW": lambda: fcnn.AdamW(0.01),
}
OPTIONS = {
    "none": {},
    "l1": {"l1": 1e-3},
    "l2": {"l2": 1e-2},
    "clip": {"clip_norm": 0.05},
    "all": {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.05},
}
# Widths around a panel's 16 and 32, and a row more behind panels of 64 and 128 nodes.
SIZES = [(5, 7, 3), (64, 33, 17, 10), (16, 16, 16), (128, 8, 31, 1), (3, 65, 64, 20)]


def state_of(network, optimizer):
    """Parameters, state and steps, to the bit."""
    state = optimizer.state(network)
    return [array.tobytes() for array in (network.parameters, *state)], optimizer.steps


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", list(OPTIONS))
@pytest.mark.parametrize("make", list(OPTIMIZERS))
def test_many_steps_in_a_call_have_the_bits_of_as_many_calls(core, make, options, dtype):
    rng = np.random.default_rng(0)
    given = StepOptions(**OPTIONS[options])
    for sizes, rows in zip(SIZES, itertools.cycle([(13, 157), (20, 211)]), strict=False):
        size, total = rows
        activations = ("tanh",) * (len(sizes) - 2) + ("identity",)
        twin, (X, y, weight) = random_problem(
            rng, sizes, activations, "squared_error", dtype, total, weighted=True
        )
        ends = []
        for threads in (1, 3):
            network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
            losses = np.empty((-(-total // size), 2))
            order = np.arange(total)[::-1].copy()
            network._train_epoch(
                X, y, optimizer, size, order, weight, threads, given, batch_losses=losses
            )
            ends.append((*state_of(network, optimizer), losses.tobytes()))
        network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
        for i in range(len(losses)):
            rows = order[i * size : (i + 1) * size]
            network.train_step(
                X[rows], y[rows], optimizer, weight[rows], 1, given, batch_losses=losses[i : i + 1]
            )
        assert all(end == (*state_of(network, optimizer), losses.tobytes()) for end in ends)


# Batches whose panels share copies of the weights: layers of whole groups of 48 nodes and of less,
# and one of 2 MB, of which half as many panels do.
# 250 of it are enough panels of float32 with AVX-512, too, where a group is of 64 nodes.
COPIED = [
    ((70, 150, 66, 101, 7), 250), ((33, 48, 96, 17, 3), 256), ((12, 724, 725, 3), 120),
    ((12, 724, 725, 3), 250),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("sizes", "rows"), COPIED)
def test_copies_of_weights_have_the_bits_of_the_weights(core, sizes, rows, dtype):
    rng = np.random.default_rng(7)
    activations = ("tanh",) * (len(sizes) - 2) + ("identity",)
    twin, (X, y, _) = random_problem(rng, sizes, activations, "squared_error", dtype, 8 * rows)
    by_steps, optimizer = core_twin(core, twin), fcnn.SGD(0.05)
    for i in range(0, 8 * rows, rows):
        by_steps.train_step(X[i : i + rows], y[i : i + rows], optimizer)
    for threads in (1, 2):
        network = core_twin(core, twin)
        network._train_epoch(X, y, fcnn.SGD(0.05), rows, n_threads=threads)
        np.testing.assert_array_equal(network.parameters, by_steps.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", ["plain", "momentum", "Adam"])
def test_a_call_that_diverges_puts_back_the_steps_before(core, make, dtype):
    rng = np.random.default_rng(1)
    sizes, activations = (6, 19, 2), ("tanh", "identity")
    twin, (X, y, _) = random_problem(rng, sizes, activations, "squared_error", dtype, 200)
    y[150] = np.inf
    network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
    with pytest.raises(fcnn.DivergenceError, match="in step 16;"):
        network._train_epoch(X, y, optimizer, 10)
    other, another = core_twin(core, twin), OPTIMIZERS[make]()
    for i in range(0, 150, 10):
        other.train_step(X[i : i + 10], y[i : i + 10], another)
    assert state_of(network, optimizer) == state_of(other, another)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", ["plain", "momentum"])
def test_a_risky_step_is_made_or_taken_back_in_panels_too(core, make, dtype):
    """With such a learning rate the core copies what it updates, until something is infinite."""
    rng = np.random.default_rng(2)
    twin, (X, y, _) = random_problem(rng, (5, 18, 3), ("identity", "identity"), "huber", dtype, 120)
    rates = np.full(12, 1e-2)
    rates[6:] = 1e16 if dtype == "float32" else 1e130
    network, optimizer = core_twin(core, twin), OPTIMIZERS[make]()
    other, another = core_twin(core, twin), OPTIMIZERS[make]()
    with pytest.raises(fcnn.DivergenceError) as in_panels:
        network._train_epoch(X, y, optimizer, 10, lr_curve=rates)
    assert f"in step {optimizer.steps + 1};" in str(in_panels.value)
    assert optimizer.steps > 6
    for i in range(optimizer.steps):
        part = slice(10 * i, 10 * i + 10)
        other._train_epoch(X[part], y[part], another, 10, lr_curve=rates[i : i + 1].copy())
    assert state_of(network, optimizer) == state_of(other, another)


# --- Sums in blocks of 256 ----------------------------------------------------------------------

LONG = [(255, 40), (256, 10), (257, 40), (512, 200), (513, 9), (1030, 300)]


def blocked(terms, first):
    """The rule: fused multiply-adds are exact here, since terms are small integers."""
    total, before = np.float32(first), None
    for i, term in enumerate(terms):
        if i and i % 256 == 0:
            before = total if before is None else np.float32(before + total)
            total = np.float32(0)
        total = np.float32(total + term)
    return total if before is None else np.float32(before + total)


def test_a_sum_is_added_up_by_blocks(core):
    """2^24 + 1 is no float32: which sums were made can be seen in the result."""
    x = np.ones((40, 600), np.float32)
    x[:, 0] = 2**24
    network = core.Network((600, 20), ("identity",), "squared_error", np.float32)
    network.parameters[: 600 * 20] = 1
    network.parameters[600 * 20 :] = 3
    expected = blocked(x[0], 3)
    assert expected == 2**24 + 4 + (600 - 256)  # the first block's ones are lost
    for rows in (1, 2, 5, 16, 40):
        np.testing.assert_array_equal(network.predict(x[:rows]), expected)
    assert network.predict(x[0])[0] == expected


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n_in", "n_out"), LONG)
def test_long_sums_have_the_same_bits_alone_and_in_a_batch(core, n_in, n_out, dtype):
    rng = np.random.default_rng(3)
    sizes = (n_in, n_out, n_in, 3)
    activations = ("tanh", "relu", "softmax")
    twin, (X, y, _) = random_problem(rng, sizes, activations, "cross_entropy", dtype, 40)
    network = core_twin(core, twin)
    together = network.predict(X)
    assert distance(together, twin.predict(X)) < TOLERANCE[dtype]
    for rows in (1, 2, 3, 4, 9):
        np.testing.assert_array_equal(network.predict(X[:rows]), together[:rows])
    # One sample at a time multiplies new weights with the next inputs as they appear.
    one, optimizer = core_twin(core, twin), fcnn.Adam(0.01)
    one._train_epoch(X, y, optimizer, 1)
    other, another = core_twin(core, twin), fcnn.Adam(0.01)
    for i in range(40):
        other.train_step(X[i : i + 1], y[i : i + 1], another)
    assert state_of(one, optimizer) == state_of(other, another)
    # The recursion's sums are of few samples and of many.
    delta = network._backpropagate(X[:32], y[:32])[2]
    few = network._backpropagate(X[:2], y[:2])[2]
    for l in range(1, 4):
        np.testing.assert_array_equal(few[l], delta[l][:2] * 16)


def test_sums_of_100_000_terms_are_accurate(core):
    rng = np.random.default_rng(4)
    network = core.Network((100_000, 2), ("identity",), "squared_error", np.float32)
    network.parameters[:] = rng.uniform(0, 1, len(network.parameters))
    X = rng.uniform(0, 1, (20, 100_000)).astype(np.float32)
    W = network.parameters[:-2].reshape(-1, 2).astype(np.float64)
    exact = X.astype(np.float64) @ W + network.parameters[-2:]
    errors = np.abs(network.predict(X) / exact - 1)
    assert errors.max() < 3e-6  # one sum after the other: 1e-4
