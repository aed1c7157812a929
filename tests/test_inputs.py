"""Inputs on their way into the core: transposed, asked for a step ahead, or read in place."""

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn

DTYPES = ["float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [63, 64, 97, 200])
@pytest.mark.parametrize("sizes", [(256, 40, 3), (300, 100, 7, 33, 2), (261, 8, 10), (259, 17, 2)])
def test_many_rows_of_wide_inputs_are_predicted_as_each_alone(core, dtype, rows, sizes):
    activations = (*("relu", "tanh", "gelu")[: len(sizes) - 2], "softmax")
    network, (X, _, _) = random_problem(
        np.random.default_rng(3), sizes, activations, "cross_entropy", dtype, rows
    )
    twin = core_twin(core, network)
    outputs = twin.predict(X)
    assert distance(outputs, network.predict(X)) < TOLERANCE[dtype]
    alone = np.vstack([twin.predict(x) for x in X])
    np.testing.assert_array_equal(outputs, alone)
    for threads in (1, 2, 3, 8):
        np.testing.assert_array_equal(twin.predict(X, n_threads=threads), alone)


def test_threads_wait_for_the_weights_that_others_copy(core):
    """Where the copies of other weights are, from the call before."""
    rng = np.random.default_rng(3)
    network, (X, _, _) = random_problem(
        rng, (300, 100, 7, 3), ("relu", "tanh", "softmax"), "cross_entropy", "float32", 97
    )
    twin = core_twin(core, network)
    for _ in range(10):
        twin.parameters[:] = rng.normal(size=twin.parameters.size) / 10
        by_two = twin.predict(X, n_threads=2)
        np.testing.assert_array_equal(by_two, twin.predict(X, n_threads=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_row(core, dtype):
    network, (X, _, _) = random_problem(
        np.random.default_rng(3), (256, 40, 3), ("relu", "softmax"), "cross_entropy", dtype, 100
    )
    twin = core_twin(core, network)
    expected = twin.predict(X)
    X[17, 5], X[50, 255] = np.nan, np.inf
    outputs = twin.predict(X)
    spoiled = np.isin(np.arange(100), [17, 50])
    assert np.isnan(outputs[17]).all()
    np.testing.assert_array_equal(outputs[~spoiled], expected[~spoiled])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_in", [1, 2, 3, 4, 5, 6, 7, 17])
def test_no_large_input_escapes_the_bound_of_a_step(core, dtype, n_in):
    """Whatever columns and rows a transposition takes by itself: the gradient overflows."""
    large = np.finfo(dtype).max / 1000
    for j in range(n_in):
        for row in (0, 7, 15, 19):
            X = np.zeros((20, n_in), dtype)
            X[row, j] = large
            twin = core.Network((n_in, 3), ("identity",), "absolute_error", dtype)
            y = np.ones((20, 3), dtype)
            with pytest.raises(fcnn.DivergenceError):
                twin._train_epoch(X, y, fcnn.SGD(1e6), 20)
            assert not twin.parameters.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [1, 2, 48, 100, 600])
def test_rows_asked_for_ahead_change_no_bit(core, dtype, batch_size):
    """600 rows of these are asked for ahead, those of one batch at most are not."""
    network, (X, y, _) = random_problem(
        np.random.default_rng(3), (150, 20, 3), ("relu", "softmax"), "cross_entropy", dtype, 600
    )
    order = np.random.default_rng(1).permutation(len(X))
    by_batch, optimizer = core_twin(core, network), fcnn.SGD(0.1)
    for first in range(0, len(X), batch_size):
        rows = order[first : first + batch_size]
        by_batch._train_epoch(X[rows], y[rows], optimizer, batch_size)
    for threads in (1, 2, 3):
        twin = core_twin(core, network)
        twin._train_epoch(X, y, fcnn.SGD(0.1), batch_size, order, None, threads)
        np.testing.assert_array_equal(twin.parameters, by_batch.parameters)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_long_row_of_zeros_has_the_bias_once(core, dtype):
    """Alone, when only what is not zero is multiplied: a bias for each block would be too many."""
    twin, (X, _, _) = random_problem(
        np.random.default_rng(3), (900, 40, 3), ("relu", "identity"), "squared_error", dtype, 5
    )
    X[:, np.random.default_rng(4).random(900) < 0.95] = 0
    net = core_twin(core, twin)
    expected = twin.predict(X)
    assert distance(net.predict(X), expected) < TOLERANCE[dtype]
    for x, row in zip(X, expected, strict=True):
        assert distance(net.predict(x), row) < TOLERANCE[dtype]
