"""Loss and gradient: the core against the reference, central differences and PyTorch."""

import functools
from importlib import util

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, TOLERANCE, core_twin, distance, fitting, random_problem

import fcnn
from fcnn import reference

pytestmark = pytest.mark.usefixtures("general_way")

SIZES = (5, 7, 6, 4)
# Looked for once: a failing import takes longer than most tests.
needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="no torch")


def outputs_for(loss):
    return 3 if loss == "cross_entropy" else fitting(SIZES[-1], loss)


@functools.cache
def problem_and_answers(hidden, loss, output, dtype, weighted):
    """A reference network, a batch, and its loss, gradient and outputs: once for all builds."""
    twin, batch = random_problem(
        np.random.default_rng(1), (*SIZES[:-1], outputs_for(loss)), (hidden, hidden, output), loss,
        dtype, rows=11, weighted=weighted,
    )  # fmt: skip
    return twin, batch, *twin.gradients(*batch), twin.predict(batch[0])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("loss", "output"), PAIRS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_core_equals_reference(core, hidden, loss, output, dtype):
    """Every activation x output x loss, both dtypes, with and without sample weights."""
    tolerance = TOLERANCE[dtype]
    for weighted in (False, True):  # as parameters they would take pytest longer than the core
        twin, batch, expected_value, expected, expected_outputs = problem_and_answers(
            hidden, loss, output, dtype, weighted
        )
        network = core_twin(core, twin)
        value, gradient = network.gradients(*batch)
        assert gradient.dtype == dtype
        assert distance(gradient, expected) < tolerance
        assert value == pytest.approx(expected_value, rel=tolerance)
        loss_alone, outputs = network._loss_and_outputs(*batch)
        assert loss_alone == pytest.approx(value, rel=tolerance / 10)
        assert distance(outputs, expected_outputs) < tolerance
        np.testing.assert_array_equal(outputs, network.predict(batch[0]))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_wide_softmax_under_another_loss(core, dtype):
    """Whose sum over the outputs has several blocks."""
    twin, batch = random_problem(
        np.random.default_rng(2), (3, 600), ("softmax",), "squared_error", dtype, rows=9
    )
    net = core_twin(core, twin)
    value, gradient = net.gradients(*batch)
    expected_value, expected = twin.gradients(*batch)
    assert value == pytest.approx(expected_value, rel=TOLERANCE[dtype])
    assert distance(gradient, expected) < TOLERANCE[dtype]
    outputs = net.predict(batch[0])
    assert distance(outputs, twin.predict(batch[0])) < TOLERANCE[dtype]
    np.testing.assert_array_equal(net.predict(batch[0][4]), outputs[4])


@functools.cache
def central_differences(hidden, loss, output):
    """A reference network, a batch, and (C(p + h) - C(p - h)) / 2h, a row per parameter p.

    Each column is of one sample's C. Kept, because all of it is the same for every build of the
    core. The differences are the reference's: they share nothing with the core's gradient.
    """
    rng = np.random.default_rng(2)
    sizes = (4, 5, 3, outputs_for(loss))
    twin, batch = random_problem(
        rng, sizes, (hidden, hidden, output), loss, "float64", rows=3, weighted=True
    )
    X, y, _ = batch

    def costs():
        z, a = twin.forward(X)
        return reference.LOSSES[loss].cost(z[-1], a[-1], y).sum(axis=1)

    p, h = twin.parameters, 1e-6
    differences = np.empty((len(p), len(X)))
    for i, middle in enumerate(p.tolist()):
        p[i] = middle + h
        above = costs()
        p[i] = middle - h
        differences[i] = (above - costs()) / (2 * h)
        p[i] = middle
    return twin, batch, differences


@pytest.mark.slow(
    reason="all cases together; while the reference is right, the test above sees more"
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_float64_agrees_with_central_differences(core, hidden, loss, output, weighted):
    twin, (X, y, sample_weight), differences = central_differences(hidden, loss, output)
    weight = sample_weight if weighted else None
    _, gradient = core_twin(core, twin).gradients(X, y, weight)
    assert distance(gradient, np.average(differences, axis=1, weights=weight)) < 1e-7


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 33, 512, 513, 1100])
@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1), (3, 2), (2, 12, 13, 11), (7, 24, 25, 23, 1), (65, 31, 33, 32, 10), (5, 96, 97, 2)],
)
def test_every_tile_remainder(core, sizes, rows, dtype):
    """Widths and batches around the tiles' and the blocks' edges."""
    rng = np.random.default_rng(3)
    activations = ("tanh",) * (len(sizes) - 2) + ("identity",)
    twin, batch = random_problem(rng, sizes, activations, "squared_error", dtype, rows, True)
    network = core_twin(core, twin)
    value, gradient = network.gradients(*batch)
    expected_value, expected = twin.gradients(*batch)
    assert distance(gradient, expected) < TOLERANCE[dtype]
    assert value == pytest.approx(expected_value, rel=TOLERANCE[dtype])
    alone, outputs = network._loss_and_outputs(*batch)
    assert alone == pytest.approx(expected_value, rel=TOLERANCE[dtype])
    assert distance(outputs, twin.predict(batch[0])) < TOLERANCE[dtype]
    np.testing.assert_array_equal(network.predict(batch[0]), outputs)
    for ours, theirs in zip(
        network._backpropagate(*batch)[:3], twin.backpropagate(*batch)[:3], strict=True
    ):
        for l in range(1, len(sizes)):
            assert distance(ours[l], theirs[l]) < 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("sizes", [(4, 16, 3), (64, 100, 10), (33, 50, 49, 7), (784, 30, 10)])
@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid"])
def test_a_row_has_the_same_bits_alone_and_in_a_batch(core, activation, sizes, dtype):
    rng = np.random.default_rng(4)
    activations = (activation,) * (len(sizes) - 2) + ("softmax",)
    twin, (X, _, _) = random_problem(rng, sizes, activations, "cross_entropy", dtype, rows=67)
    network = core_twin(core, twin)
    together = network.predict(X)
    for i in range(len(X)):
        np.testing.assert_array_equal(network.predict(X[i : i + 1])[0], together[i])
        np.testing.assert_array_equal(network.predict(X[i]), together[i])


def test_labels_equal_one_hot_rows(core):
    rng = np.random.default_rng(5)
    twin, (X, y, weight) = random_problem(
        rng, (6, 8, 5), ("relu", "softmax"), "cross_entropy", "float64", rows=20, weighted=True
    )
    network = core_twin(core, twin)
    from_rows = network.gradients(X, y, weight)
    from_labels = network.gradients(X, y.argmax(axis=1), weight)
    assert from_labels[0] == from_rows[0]
    np.testing.assert_array_equal(from_labels[1], from_rows[1])


def test_a_weight_of_two_is_the_sample_twice(core):
    rng = np.random.default_rng(6)
    twin, (X, y, _) = random_problem(
        rng, (6, 8, 5), ("tanh", "sigmoid"), "binary_cross_entropy", "float64", rows=4
    )
    network = core_twin(core, twin)
    weighted = network.gradients(X, y, np.array([1.0, 2.0, 0.0, 1.0]))
    repeated = network.gradients(X[[0, 1, 1, 3]], y[[0, 1, 1, 3]])
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-14)
    assert distance(weighted[1], repeated[1]) < 1e-14


@pytest.mark.parametrize(
    ("loss", "output", "z", "y", "cost"),
    [
        ("cross_entropy", "softmax", [1000.0, 0.0, -1000.0], [0, 0, 1], 2000.0),
        ("binary_cross_entropy", "sigmoid", [800.0, -800.0], [0, 1], 1600.0),
        ("poisson", "softplus", [-800.0], [2], 1600.0),
        ("poisson", "exp", [-800.0], [2], 1600.0),
    ],
)
def test_losses_survive_saturated_outputs(core, loss, output, z, y, cost):
    """Where a has been rounded to 0 or 1, its logarithm is taken from z."""
    n = len(z)
    network = core.Network((1, n), (output,), loss, "float64")
    network.parameters[n:] = z
    X, y = np.ones((1, 1)), np.array([y], float)
    value, gradient = network.gradients(X, y)
    assert value == pytest.approx(cost)
    assert np.isfinite(gradient).all()
    # delta^L = a - y in the limit; softplus: (1 - y / a) sigma' -> -y
    expected = network.predict(X) - y
    np.testing.assert_allclose(gradient[n:], expected[0])


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("activation", HIDDEN)
def test_activations_and_derivatives_equal_pytorch(activation):
    import torch

    functions = {
        "identity": lambda z: z, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "relu": torch.relu, "leaky_relu": torch.nn.LeakyReLU(), "elu": torch.nn.ELU(),
        "leaky_relu(0.3)": torch.nn.LeakyReLU(0.3), "elu(0.7)": torch.nn.ELU(0.7),
        "gelu": torch.nn.GELU(), "silu": torch.nn.SiLU(), "softplus": torch.nn.Softplus(),
    }  # fmt: skip
    z = np.linspace(-30, 30, 2001)
    network = fcnn.Network(
        (1, 1), output_activation=activation, loss="squared_error", dtype="float64"
    )
    network.parameters[:] = [1, 0]
    trace = network.trace(z[:, None], np.zeros((len(z), 1)))
    given = torch.tensor(z, requires_grad=True)
    expected = functions[activation](given)
    np.testing.assert_allclose(trace.a[1][:, 0], expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    (expected**2 / 2).sum().backward()
    np.testing.assert_allclose(
        trace.delta[1][:, 0] * len(z), given.grad.numpy(), rtol=1e-11, atol=1e-13
    )


@needs_torch
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_gradients_equal_pytorch_autograd(loss, output, hidden):
    import torch

    sigma = {
        "identity": lambda z: z, "leaky_relu": torch.nn.functional.leaky_relu,
        "elu": torch.nn.functional.elu, "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus,
        "softmax": lambda z: torch.softmax(z, 1), "exp": torch.exp, "relu": torch.relu,
        "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "leaky_relu(0.3)": torch.nn.LeakyReLU(0.3), "elu(0.7)": torch.nn.ELU(0.7),
        "ascending": lambda z: torch.cat(
            [z[:, :2], torch.nn.functional.softplus(z[:, 2:])], 1
        ).reshape(len(z), 3, 2).cumsum(1).reshape(z.shape),
    }  # fmt: skip
    q = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64).repeat_interleave(2)
    cost = {
        "squared_error": lambda z, a, y: (a - y) ** 2 / 2,
        "absolute_error": lambda z, a, y: (a - y).abs(),
        "huber": lambda z, a, y: torch.nn.functional.huber_loss(a, y, reduction="none"),
        "poisson": lambda z, a, y: a - y * torch.log(a),
        "binary_cross_entropy": lambda z, a, y: (
            torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        ),
        "cross_entropy": lambda z, a, y: -y * torch.log_softmax(z, 1),
        "gaussian_nll": lambda z, a, y: torch.nn.functional.gaussian_nll_loss(
            a[:, :2], y, torch.exp(a[:, 2:]), eps=1e-30, reduction="none"
        ),
        "quantile": lambda z, a, y: torch.maximum(
            q * (y.repeat(1, 3) - a), (q - 1) * (y.repeat(1, 3) - a)
        ),
    }
    rng = np.random.default_rng(7)
    sizes = (5, 6, 4, outputs_for(loss))
    net = fcnn.Network(sizes, hidden, output, loss, "float64", rng=rng)
    _, (X, y, weight) = random_problem(
        rng, sizes, net.activations, loss, "float64", rows=9, weighted=True
    )
    W = [torch.tensor(w.copy(), requires_grad=True) for w in net.weights]
    b = [torch.tensor(v.copy(), requires_grad=True) for v in net.biases]
    a = x = torch.tensor(X, requires_grad=True)
    for l in range(3):
        z = torch.nn.functional.linear(a, W[l], b[l])
        a = sigma[net.activations[l]](z)
    w = torch.tensor(weight)
    total = (cost[loss](z, a, torch.tensor(y)).sum(1) * w).sum() / w.sum()
    total.backward()
    trace = net.trace(X, y, weight)
    assert trace.loss == pytest.approx(total.item(), rel=1e-12)
    assert distance(trace.a[3], a.detach()) < 1e-12
    for l in range(3):
        assert distance(trace.dW[l + 1], W[l].grad) < 1e-11
        assert distance(trace.db[l + 1], b[l].grad) < 1e-11
    assert distance(trace.delta[0], x.grad) < 1e-11


def test_bias_gradients_of_many_rows_keep_their_digits(core):
    """All deltas alike: a running float32 sum would lose a digit for every ten-fold of rows."""
    network = core.Network((1, 2), ("identity",), "squared_error", "float32")
    X, y = np.zeros((60_000, 1), np.float32), np.full((60_000, 2), 0.1, np.float32)
    _, gradient = network.gradients(X, y)
    np.testing.assert_allclose(gradient[2:], -0.1, rtol=3e-6)


@pytest.mark.parametrize(
    ("activation", "z", "a", "slope"),
    [
        # log(1 + e^z), to more digits than z; above 20 z itself, with slope 1
        ("softplus", 19.0, 19.000000005602796, 1 / (1 + np.exp(-19.0))),
        ("softplus", 20.0, 20.000000002061153, 1 / (1 + np.exp(-20.0))),
        ("softplus", 20.5, 20.5, 1.0),
        ("softplus", 40.0, 40.0, 1.0),
        ("leaky_relu", -2.0, -0.02, 0.01),
        ("elu", -2.0, np.expm1(-2.0), np.exp(-2.0)),
        ("leaky_relu(0.25)", -2.0, -0.5, 0.25),
        ("leaky_relu(0)", -2.0, 0.0, 0.0),
        ("elu(3)", -2.0, 3 * np.expm1(-2.0), 3 * np.exp(-2.0)),
        ("elu(3)", 2.0, 2.0, 1.0),
        ("elu(0)", -2.0, 0.0, 0.0),
        # a underflows: the sign of z is that of its zero alone
        ("elu(1e-300)", -1e-30, 0.0, 1e-300),
        ("gelu", 1.0, 0.8413447460685429, 0.8413447460685429 + 0.24197072451914337),
        ("silu", 1.0, 0.7310585786300049, 0.7310585786300049 * (2 - 0.7310585786300049)),
    ],
)
def test_definitions_at_known_points(core, activation, z, a, slope):
    """PyTorch's constants, where the test below cannot run."""
    network = core.Network((1, 1), (activation,), "squared_error", "float64")
    network.parameters[:] = [1, 0]
    X = np.array([[z]])
    _, outputs, delta, _, _ = network._backpropagate(X, np.array([[a - 1]]))
    np.testing.assert_allclose(outputs[1], [[a]], rtol=1e-15)
    np.testing.assert_allclose(delta[1], [[slope]], rtol=1e-8 if z == 20 else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "error", "cost", "slopes"),
    [
        ("absolute_error", 0.0, 0.0, [0.0]),
        ("absolute_error", 0.25, 0.25, [1.0]),
        ("absolute_error", -0.25, 0.25, [-1.0]),
        ("huber", 0.0, 0.0, [0.0]),
        ("huber", 1.0, 0.5, [1.0]),
        ("huber", -1.0, 0.5, [-1.0]),
        ("huber", 1.5, 1.0, [1.0]),
        ("huber", -1.5, 1.0, [-1.0]),
        ("quantile", 0.0, 0.0, [0.45, 0.0, -0.45]),  # between both sides
        ("quantile", 0.25, 0.375, [0.95, 0.5, 0.05]),
        ("quantile", -0.25, 0.375, [-0.05, -0.5, -0.95]),
    ],
)
def test_losses_at_their_kinks(core, loss, error, cost, slopes, dtype):
    n = len(slopes)
    network = core.Network((1, n), ("identity",), loss, dtype)
    network.parameters[n:] = 2
    X, y = np.ones((1, 1), dtype), np.full((1, 1), 2 - error, dtype)
    _, _, delta, value, _ = network._backpropagate(X, y)
    assert value == pytest.approx(cost, rel=1e-6, abs=0)
    np.testing.assert_allclose(delta[1], [slopes], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_of_another_shape_are_refused_by_the_core_too(core, dtype):
    """As many numbers in other rows would be read, and train something else."""
    network = core.Network((3, 4, 2), ("tanh", "identity"), "squared_error", dtype)
    X, y = np.ones((6, 3), dtype), np.ones((6, 2), dtype)
    for wrong in (y.ravel(), np.ones((2, 6), dtype), y[np.newaxis], np.ones((4, 3), dtype)):
        for call in (
            network.gradients, network._loss_and_outputs, network._backpropagate,
            lambda X, y: network.train_step(X, y, fcnn.SGD(0.1)),
            lambda X, y: network._train_epoch(X, y, fcnn.SGD(0.1), 2),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"^y: expected shape \(6, 2\), got"):
                call(X, wrong)
    assert not network.parameters.any()
    single = core.Network((3, 1), ("identity",), "squared_error", dtype)
    assert single.gradients(X, y[:, 0].copy())[0] == single.gradients(X, y[:, :1].copy())[0]
