"""train_step: its options, and non-finite inputs, which it finds after the pass."""

import re

import numpy as np
import pytest

import fcnn

from .helpers import HIDDEN, inputs, labels, network, unchanged


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("loss", "n_out"), [("cross_entropy", 3), ("squared_error", 2), ("binary_cross_entropy", 1)]
)
def test_no_activation_hides_a_nonfinite_input_from_a_step(loss, n_out, activation, value):
    # The check is made after the pass: no saturation and no dead node may let it through.
    net, optimizer = network(loss, n_out, activation=activation), fcnn.SGD(0.1)
    net.weights[0][:, 1] = np.abs(net.weights[0][:, 1])
    y = labels() if loss == "cross_entropy" else np.ones((10, n_out))
    X = inputs()
    X[4, 1] = value
    with unchanged(net, optimizer), pytest.raises(ValueError, match=r"^X: .*\[4, 1\]"):
        net.train_step(X, y, optimizer)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"l1": -1}, ValueError, "l1: expected a finite number at least 0, got -1"),
        ({"l2": "x"}, TypeError, "l2: expected a number, got 'x'"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected a finite number greater than 0, got 0"),
        ({"dropout": 1}, ValueError, "dropout: expected a finite number at least 0 and less than"),
        ({"dropout": (0.1,)}, ValueError, "dropout: expected one number, or 2, for the inputs and"),
        ({"label_smoothing": -1}, ValueError, "label_smoothing: expected a finite number at least"),
    ],
)  # fmt: skip
def test_train_step_refuses_options(options, error, words):
    net, optimizer = network(), fcnn.Adam()
    with unchanged(net, optimizer), pytest.raises(error, match=f"^{re.escape(words)}"):
        net.train_step(inputs(), labels(), optimizer, **options)
