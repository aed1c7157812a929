"""The check of gradients against central differences: what it compares, and what it leaves out."""

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, fitting, random_problem

import fcnn
from fcnn.gradient_check import compare_gradients


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "loss", "output"),
    [*((hidden, "squared_error", "identity") for hidden in HIDDEN), *(("tanh", *p) for p in PAIRS)],
)
def test_every_parameter_is_compared(hidden, loss, output):
    twin, batch = random_problem(
        np.random.default_rng(2), (4, 5, 3, fitting(4, loss)), (hidden, hidden, output), loss,
        "float64", rows=3, weighted=True,
    )  # fmt: skip
    twin._loss_and_outputs = twin.loss_and_outputs
    report = compare_gradients(twin, twin.gradients(*batch)[1], *batch, max_parameters=None)
    assert report.compared == report.num_parameters == twin.parameters.size
    assert report.error < 1e-7
    delta = twin.backpropagate(*batch)[2][1] @ twin.W[1]
    kept = batch[0].copy()
    report = compare_gradients(
        twin, twin.gradients(*batch)[1], *batch, max_parameters=None, delta=delta
    )
    assert report.inputs_compared == report.inputs == 4
    assert report.error < 1e-7
    np.testing.assert_array_equal(batch[0], kept)


def test_kinks_are_left_out():
    """Relu at z = 0 has no derivative: central differences mean half of its slope there."""
    net = fcnn.Network((2, 8, 1), loss="binary_cross_entropy", dtype="float64")
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    report = net.check_gradients(X, y)
    assert report.passed
    assert 0 < report.kinks <= 8 + 16
    assert report.compared + report.kinks == net.num_parameters
    assert "at a kink" in repr(report)


@pytest.mark.slow(reason="hundreds of gradients")
def test_kinks_between_samples_are_left_out():
    """Somewhere in 1,500 samples a z crosses 0 within a step."""
    X, y = fcnn.datasets.load_digits()
    net = fcnn.Network((64, 32, 10), dtype="float64")
    report = net.check_gradients(X[:1500] / 16, y[:1500], max_parameters=300)
    assert report.passed
    assert report.compared > 250


@pytest.mark.parametrize("b", [3e-6, -1e-6, -5e-7, 4e-6])
def test_a_kink_within_the_step_but_not_at_the_point_itself(b):
    net = fcnn.Network((1, 1, 1), loss="squared_error", dtype="float64")
    net.biases[0][:] = b
    assert net.check_gradients([[0.0], [1.0]], [1.0, 2.0]).passed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 29))
def test_kinks_of_random_networks(seed):
    rng = np.random.default_rng(seed)
    net = fcnn.Network((8, 16, 3), dtype="float64", rng=seed)
    X, y = rng.normal(size=(1000, 8)), rng.integers(3, size=1000)
    assert net.check_gradients(X, y).passed


def test_a_huge_loss():
    """Its own rounding is all that the differences see."""
    rng = np.random.default_rng(28)
    net = fcnn.Network((3, 5, 1), "tanh", loss="squared_error", dtype="float64")
    assert net.check_gradients(rng.normal(size=(50, 3)), 1e4 * rng.normal(size=50)).passed


def six_samples():
    rng = np.random.default_rng(8)
    return rng.normal(size=(6, 4)), rng.integers(3, size=6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_gradients_passes(dtype):
    X, y = six_samples()
    net = fcnn.Network((4, 9, 3), "tanh", dtype=dtype)
    before = net.parameters.copy()
    report = net.check_gradients(X, y)
    assert report.passed
    assert report.compared == net.num_parameters
    assert "passed" in repr(report)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.check_gradients(X, y, max_parameters=10).compared == 10


def test_check_gradients_fails():
    X, y = six_samples()

    class Wrong(fcnn.Network):
        def gradients(self, *args):
            loss, gradient = super().gradients(*args)
            gradient[5] *= 1.01
            return loss, gradient

    wrong = Wrong((4, 9, 3), "tanh", dtype="float64").check_gradients(X, y)
    assert not wrong.passed
    assert "FAILED" in repr(wrong)
    assert dict(wrong.layers)["W1"] > 1e-7 > dict(wrong.layers)["W2"]


def test_wrong_inputs_fail():
    X, y = six_samples()

    class Wrong(fcnn.Network):
        def trace(self, *args):
            trace = super().trace(*args)
            trace.delta[0][:, 2] *= 1.01
            return trace

    wrong = Wrong((4, 9, 3), "tanh", dtype="float64").check_gradients(X, y)
    assert not wrong.passed
    assert dict(wrong.layers)["x"] > 1e-7 > dict(wrong.layers)["W1"]
    assert "4 of 4 inputs" in repr(wrong)
