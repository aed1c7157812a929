"""What the tests of derivatives share: networks, and their twins in PyTorch."""

from importlib import util

import numpy as np
import pytest
from conftest import distance, random_problem

import fcnn

needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="no torch")
# Wide enough for whole tiles and what is left of them, and two layers with the same number.
SIZES = [(5, 7, 6, 4), (3, 17, 33, 2), (2, 9), (4, 1, 3), (1, 8, 8, 1), (70, 40, 33)]
# sigma'(0) where sigma has a kink: that of z < 0.
KINKS = {"relu": 0, "leaky_relu": 0.01, "leaky_relu(2)": 2, "elu(3)": 3}


def differentiated(core, network):
    """A network of one build of the core, with the parameters of a reference network."""
    twin = core.DifferentiatedNetwork(
        network.sizes, network.activations, network.loss, network.dtype
    )
    twin.parameters[:] = network.parameters
    return twin


def near(got, expected, tolerance):
    """Whether they agree; of what is 0 everywhere, to the bit."""
    if not expected.any():
        return not got.any()
    return distance(got, expected) < tolerance


def loss_of(output, n_out):
    """A loss that goes with an output; of quantiles the fewest levels that divide the outputs."""
    if output == "ascending":
        count = next((n for n in range(2, n_out + 1) if n_out % n == 0), 1)
        return f"quantile({', '.join(str((i + 1) / (count + 1)) for i in range(count))})"
    return "cross_entropy" if output == "softmax" else "squared_error"


def problem(sizes, hidden, output, dtype="float64", rows=5, seed=0):
    """A reference network, inputs, and v and u for them."""
    rng = np.random.default_rng(seed)
    loss = loss_of(output, sizes[-1])
    names = (*[hidden] * (len(sizes) - 2), output)
    network, (X, _, _) = random_problem(rng, sizes, names, loss, dtype, rows)
    v = rng.normal(size=(rows, sizes[-1])).astype(dtype)
    u = rng.normal(size=X.shape).astype(dtype)
    return network, X, v, u


TORCH = {
    "identity": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU",
    "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU",
    "softplus": "Softplus",
}  # fmt: skip


def torch_function(network, with_leaves=False):
    """The network in PyTorch, of one row; with its parameters, layer after layer."""
    import torch

    W = [torch.tensor(w, requires_grad=with_leaves) for w in network.weights]
    b = [torch.tensor(b, requires_grad=with_leaves) for b in network.biases]

    def function(a):
        for l, name in enumerate(network.activations):
            z = W[l] @ a + b[l]
            if name == "exp":
                a = torch.exp(z)
            elif name == "softmax":
                a = torch.softmax(z, 0)
            elif name == "ascending":
                m = network.num_targets
                rises = torch.cat([z[:m], torch.nn.functional.softplus(z[m:])])
                a = rises.reshape(-1, m).cumsum(0).reshape(-1)
            elif "(" in name:
                kind, number = name.removesuffix(")").split("(")
                a = getattr(torch.nn, TORCH[kind])(float(number))(z)
            else:
                a = getattr(torch.nn, TORCH[name])()(z)
        return a

    if with_leaves:
        return function, [leaf for layer in zip(W, b, strict=True) for leaf in layer]
    return function


def public_network(sizes, hidden, output, rng, dtype="float64"):
    """An fcnn.Network with random biases, too."""
    loss = loss_of(output, sizes[-1])
    net = fcnn.Network(sizes, hidden, output, loss=loss, dtype=dtype, rng=rng)
    for b in net.biases:
        b[...] = rng.normal(0, 0.5, b.shape)
    return net
