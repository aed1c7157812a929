"""Vectors that are gone through in pieces: none is left out, none is taken for another.

A piece is what is looked at between two looks for Ctrl-C, 2,500,000 entries, or 4,096 of an update
that may have to be taken back.
"""

import numpy as np
import pytest

import fcnn
from fcnn._dispatch import core

RULES = {
    "sgd": lambda: fcnn.SGD(10.0),
    "momentum": lambda: fcnn.SGD(10.0, momentum=0.5),
    "adam": lambda: fcnn.Adam(),
}


@pytest.mark.parametrize("at", [0, 4095, 4096, 8191, 8192, 11_999])
@pytest.mark.parametrize("rule", RULES)
def test_what_overflows_in_any_piece_takes_back_all(rule, at):
    """Parameters and state, whose earlier pieces were finite and are updated."""
    net = fcnn.Network((3, 3000), loss="squared_error", rng=0)
    gradient = np.random.default_rng(1).normal(size=net.num_parameters).astype(np.float32)
    optimizer = RULES[rule]()
    optimizer.update(net, gradient)  # so that there is a state
    before = [v.tobytes() for v in (net.parameters, *optimizer.state(net))]
    gradient[at] = 3e38
    with pytest.raises(fcnn.DivergenceError):
        optimizer.update(net, gradient)
    assert [v.tobytes() for v in (net.parameters, *optimizer.state(net))] == before
    assert optimizer.steps == 1
    gradient[at] = 1e17  # too large to be sure of, and no number overflows
    optimizer.update(net, gradient)
    assert optimizer.steps == 2


def test_a_long_gradient_is_penalized_and_clipped_to_its_end():
    """The first piece ends within the biases."""
    n = 1_300_000
    net = fcnn.Network((1, n), loss="squared_error", init="zeros")
    rng = np.random.default_rng(0)
    net.parameters[:] = np.resize(rng.random(1009, np.float32) - np.float32(0.5), 2 * n)
    gradient = np.resize(rng.random(1013, np.float32), 2 * n)
    before, expected = net.parameters.copy(), gradient.astype(np.float64)
    W = before[:n].astype(np.float64)
    expected[:n] += 0.25 * W + 0.125 * np.sign(W)
    expected *= 100 / np.sqrt((expected**2).sum())
    fcnn.SGD(8.0).update(net, gradient, l1=0.125, l2=0.25, clip_norm=100.0)
    moved = before.astype(np.float64) - net.parameters
    np.testing.assert_allclose(moved, 8 * expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_is_seen_in_every_piece_of_the_inputs(dtype):
    rows, n_in = 1000, 2600
    net = fcnn.Network((n_in, 2), dtype=dtype, init="zeros")
    X, y = np.ones((rows, n_in), dtype), np.zeros(rows, np.int64)
    assert core.are_samples(net, X, y, None)
    for at in (0, 2_499_999, 2_500_000, X.size - 1):
        for bad in (np.nan, np.inf):
            X.flat[at] = bad
            assert not core.are_samples(net, X, y, None), (at, bad)
        X.flat[at] = 1


@pytest.mark.slow(reason="100 MB of weights")
def test_a_product_of_one_row_in_pieces():
    """W^T delta of more than 20 million weights."""
    n_in, n_out = 5003, 4999
    net = fcnn.Network((n_in, n_out), output_activation="identity", loss="squared_error",
                       init="zeros")  # fmt: skip
    rng = np.random.default_rng(0)
    net.parameters[:] = np.resize(rng.normal(size=10_007).astype(np.float32), net.num_parameters)
    X, v = np.zeros((1, n_in), np.float32), rng.normal(size=(1, n_out)).astype(np.float32)
    W = net.weights[0]
    _, product = net.vjp(X, v)
    expected, scale = (v @ W)[0], np.sqrt((v**2).sum() * (W**2).sum(axis=0))
    assert (np.abs(product[0] - expected) <= 1e-5 * scale).all()
