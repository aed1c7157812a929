"""parameters: what may be assigned; the architecture: nothing may."""

import re

import numpy as np
import pytest

from .helpers import ISSUED, network, unchanged


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros(5), ValueError, ["(51,)", "(5,)"]),
        (0.0, ValueError, ["(51,)", "()"]),
        (np.zeros((51, 1)), ValueError, ["(51,)", "(51, 1)"]),
        ("zeros", TypeError, ["numbers"]),
        (None, ISSUED, []),
        (np.zeros(51, complex), TypeError, ["complex128"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_parameters_refuse(values, error, words):
    net = network()
    with unchanged(net):
        with pytest.raises(error, match=r"^parameters: ") as caught:
            net.parameters = values
        assert [word for word in words if word not in str(caught.value)] == []


def test_parameters_are_assigned_in_place():
    net = network()
    vector, W = net.parameters, net.weights[0]
    net.parameters = np.arange(51, dtype=">i2")[::-1]
    assert np.shares_memory(net.parameters, vector)
    assert vector.tolist() == list(range(50, -1, -1))
    assert W[0, 0] == 50
    net.parameters -= 1
    assert vector[0] == 49
    net.parameters = vector[::-1]
    assert vector.tolist() == list(range(-1, 50))


@pytest.mark.parametrize("name", ["sizes", "activations", "loss", "dtype"])
def test_the_architecture_is_read_only(name):
    net = network()
    with pytest.raises(AttributeError):
        setattr(net, name, getattr(net, name))
