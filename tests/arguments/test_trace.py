"""trace: it agrees with predict, and takes the targets of one output in both shapes."""

import numpy as np
import pytest

import fcnn

from .helpers import HIDDEN, as_bits, dtypes, inputs, network, spread


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson", "binary_cross_entropy"]
)
def test_one_output_takes_targets_with_and_without_their_dimension(loss):
    net = network(loss, 1)
    y = np.random.default_rng(0).random(10)
    expected = as_bits(net.trace(inputs(), y[:, None]))
    assert as_bits(net.trace(inputs(), y)) == expected
    assert as_bits(net.trace(inputs(), spread(y))) == expected


@dtypes
@pytest.mark.parametrize("output", ["identity", "softmax", "sigmoid"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_trace_and_predict_agree_bit_for_bit(hidden, output, dtype):
    net = fcnn.Network((4, 37, 5), hidden, output, "squared_error", dtype)
    X = inputs(45, dtype)
    assert net.trace(X, np.ones((45, 5))).a[-1].tobytes() == net.predict(X).tobytes()
