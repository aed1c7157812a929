"""Inputs that are mostly zero: the same bits by lists of the nonzero entries as by panels."""

import itertools

import numpy as np
import pytest

import fcnn
from fcnn._dispatch import core
from fcnn._validation import StepOptions

DTYPES = ["float32", "float64"]
OPTIMIZERS = {
    "sgd": lambda: fcnn.SGD(0.05),
    "sgd_decay": lambda: fcnn.SGD(0.05, weight_decay=0.01),
    "momentum": lambda: fcnn.SGD(0.05, momentum=0.9),
    "nesterov": lambda: fcnn.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: fcnn.Adam(0.01),
    "adamw": lambda: fcnn.AdamW(0.01, weight_decay=0.1),
}
LOSSES = ["squared_error", "absolute_error", "huber", "poisson", "binary_cross_entropy",
          "cross_entropy"]  # fmt: skip


@pytest.fixture(autouse=True)
def restore():
    yield
    core.force_lists(-1)


def sparse_rows(rows, n_in, dtype, density=0.2, seed=0):
    """Rows with zeros of both signs, columns and rows of zeros alone, and some full ones."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, n_in))
    X[rng.random(X.shape) > density] = 0
    X[rng.random(X.shape) > 0.9] *= -0.0
    X[:, rng.random(n_in) > 0.8] = 0
    X[:: max(rows // 3, 1)] = 0
    X[1 :: max(rows // 4, 2)] = rng.normal(size=n_in)
    return X.astype(dtype)


def targets(rows, n_out, loss, dtype, seed=1):
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        return rng.integers(0, n_out, rows)
    if loss == "binary_cross_entropy":
        return rng.integers(0, 2, (rows, n_out)).astype(dtype)
    return rng.random((rows, n_out)).astype(dtype)


def by_both(function):
    """Return what a function gives without lists, and with them."""
    answers = []
    for force in (0, 1):
        core.force_lists(force)
        answers.append(function())
    core.force_lists(-1)
    return answers


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def trained(sizes, X, y, dtype, loss, optimizer, batch, *, threads=1, order=None, weight=None,
            options=None, epochs=2):  # fmt: skip
    """Return losses, parameters and the optimizer's state after some epochs."""
    net = fcnn.Network(sizes, loss=loss, dtype=dtype, rng=0, activation="tanh")
    rule = OPTIMIZERS[optimizer]()
    curves = [
        net.train_epoch(X, y, rule, batch, order, weight, threads, options, seed=7)
        for _ in range(epochs)
    ]
    return [np.array(curves), net.parameters.copy(), *(v.copy() for v in rule.state(net))]


# Widths of layer 1 about whole panels and groups of them, and inputs about a block of 256 terms.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 7, 8, 15, 17, 64, 100, 130])
@pytest.mark.parametrize("n_in", [1, 40, 255, 256, 257, 600])
def test_widths(n_in, width, dtype):
    X = sparse_rows(70, n_in, dtype)
    y = targets(70, 3, "cross_entropy", dtype)
    for batch in (1, 33):
        assert_equal(*by_both(lambda batch=batch: trained(
            (n_in, width, 3), X, y, dtype, "cross_entropy", "sgd", batch)))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [1, 2, 3, 16, 33, 300])
def test_rules_and_batches(batch, optimizer, dtype):
    X = sparse_rows(310, 90, dtype)
    y = targets(310, 5, "cross_entropy", dtype)
    order = np.random.default_rng(3).permutation(310)
    weight = np.random.default_rng(4).random(310).astype(dtype)
    for hidden in ((), (20,), (40, 17)):
        assert_equal(*by_both(lambda hidden=hidden: trained(
            (90, *hidden, 5), X, y, dtype, "cross_entropy", optimizer, batch, order=order,
            weight=weight)))  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_losses(layers, loss):
    sizes = (50, *(24, 9)[: layers - 1], 4)
    X, y = sparse_rows(50, 50, "float32"), targets(50, 4, loss, "float32")
    for batch in (1, 20):
        assert_equal(*by_both(lambda batch=batch: trained(
            sizes, X, y, "float32", loss, "adam", batch)))  # fmt: skip


@pytest.mark.parametrize("options", [
    {"l1": 0.01}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.02, "penalty_per_sample": True},
    {"clip_norm": 0.1}, {"dropout": (0, 0.3)}, {"dropout": (0.2, 0.3)}, {"label_smoothing": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_options(options, optimizer):
    X, y = sparse_rows(65, 70, "float32"), targets(65, 4, "cross_entropy", "float32")
    for batch in (1, 3, 32):
        assert_equal(*by_both(lambda batch=batch: trained(
            (70, 20, 4), X, y, "float32", "cross_entropy", optimizer, batch,
            options=StepOptions(**options))))  # fmt: skip


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [1, 3, 64, 300])
def test_threads(batch, optimizer):
    X, y = sparse_rows(300, 500, "float32"), targets(300, 4, "cross_entropy", "float32")
    core.force_lists(0)
    expected = trained((500, 70, 4), X, y, "float32", "cross_entropy", optimizer, batch)
    core.force_lists(1)
    for threads in (1, 2, 3):
        assert_equal(expected, trained((500, 70, 4), X, y, "float32", "cross_entropy", optimizer,
                                       batch, threads=threads))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(300, 5), (300, 33, 5), (40, 130, 20, 5)])
@pytest.mark.parametrize("rows", [1, 2, 3, 17, 300])
def test_outputs_and_gradients(rows, sizes, dtype):
    X, y = sparse_rows(rows, sizes[0], dtype), targets(rows, 5, "cross_entropy", dtype)
    net = fcnn.Network(sizes, loss="cross_entropy", dtype=dtype, rng=0)
    assert_equal(*by_both(lambda: [
        net.predict(X, n_threads=2), net.predict(X[0]), *net.gradients(X, y),
        *net.loss_and_outputs(X, y),
    ]))  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_inputs_flow_through(bad):
    X = sparse_rows(20, 80, "float32")
    X[3, 7] = X[4, 79] = bad
    net = fcnn.Network((80, 33, 5), loss="cross_entropy", rng=0)
    assert_equal(*by_both(lambda: [net.predict(X), net.predict(X[3]), net.predict(X[4])]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_choice_is_by_the_zeros_and_changes_no_bit(dtype):
    for density, n_in in itertools.product((0, 0.05, 0.9), (40, 784)):
        X, y = sparse_rows(64, n_in, dtype, density), targets(64, 5, "cross_entropy", dtype)
        core.force_lists(0)
        expected = trained((n_in, 20, 5), X, y, dtype, "cross_entropy", "sgd", 16)
        core.force_lists(-1)
        assert_equal(expected, trained((n_in, 20, 5), X, y, dtype, "cross_entropy", "sgd", 16))


@pytest.mark.parametrize("batch", [1, 20])
def test_a_step_that_overflows_is_not_made(batch):
    X = sparse_rows(40, 50, "float32") * np.float32(1e25)
    y = targets(40, 3, "squared_error", "float32")

    def diverge():
        net = fcnn.Network((50, 8, 3), activation="identity", loss="squared_error", rng=0)
        before = net.parameters.copy()
        with pytest.raises(fcnn.DivergenceError):
            net.train_epoch(X, y, fcnn.SGD(0.1), batch)
        return [before, net.parameters.copy()]

    assert_equal(*by_both(diverge))
