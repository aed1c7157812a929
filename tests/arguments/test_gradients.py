"""gradients: targets that are taken, and that none is rounded."""

import numpy as np
import pytest

from fcnn import reference

from .helpers import as_bits, inputs, labels, network, refused


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_integers_that_float64_cannot_hold_are_refused(number):
    # A comparison of int64 with float64 is itself made in float64, and sees nothing.
    net = network("squared_error", 1, "float64")
    refused(net, inputs(), np.full(10, number), ValueError, "y: ", ["float64", "integers"])
    exact = np.full(10, 2**62)
    assert net.gradients(inputs(), exact)[0] == net.gradients(inputs(), exact.astype(float))[0]


def test_labels_of_two_classes_may_be_truth_values():
    net = network(n_out=2)
    y = labels() > 0
    assert as_bits(net.gradients(inputs(), y)) == as_bits(net.gradients(inputs(), y.astype(int)))


def test_soft_targets_are_accepted():
    net = network(dtype="float64")
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 10)
    for y in (rows, rows.astype(np.float32)):  # whose sums miss 1 by rounding
        loss, gradient = net.gradients(inputs(), y)
        expected_loss, expected = reference.Network.like(net).gradients(inputs(), y.astype(float))
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)


def test_integers_that_fit_exactly_are_targets():
    net = network("squared_error", 1)
    for y in (np.full(10, 2**24), np.full(10, -(2**24)), np.full(10, 2**63, np.uint64)):
        assert as_bits(net.gradients(inputs(), y)) == as_bits(
            net.gradients(inputs(), y.astype(np.float32))
        )
