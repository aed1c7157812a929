"""The examples in Python are short, and do what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import fcnn

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "python"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= 60


def test_lecture(capsys):
    """Sixty lines of formulas, held against the core: every z, a, delta and updated parameter."""
    lecture = load("lecture")
    rng = np.random.default_rng(0)
    for sizes in ((1, 1), (2, 4, 1), (3, 5, 4, 2)):
        twin = lecture.Network(sizes, rng)
        net = fcnn.Network(sizes, "sigmoid", "sigmoid", "squared_error", "float64")
        for l in range(1, len(sizes)):
            twin.b[l][:] = rng.normal(size=sizes[l])
            net.weights[l - 1][:], net.biases[l - 1][:] = twin.W[l], twin.b[l]
        x, y = rng.normal(size=sizes[0]), rng.random(sizes[-1])
        trace = net.trace([x], [y])
        z, a = twin.forward(x)
        delta = twin.backward(z, a, y)
        for l in range(1, len(sizes)):
            for found, expected in ((z, trace.z), (a, trace.a), (delta, trace.delta)):
                np.testing.assert_allclose(found[l], expected[l][0], rtol=1e-12)
        twin.learn(x, y, eta=0.7)
        net.train_step([x], [y], fcnn.SGD(lr=0.7))
        for l in range(1, len(sizes)):
            np.testing.assert_allclose(twin.W[l], net.weights[l - 1], rtol=1e-12)
            np.testing.assert_allclose(twin.b[l], net.biases[l - 1], rtol=1e-12)
    answers = load("lecture").main()
    assert "y = 1" in capsys.readouterr().out
    for x, y in (((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)):
        assert abs(answers.forward(np.array(x))[1][-1][0] - y) < 0.1


def test_reinforce(capsys):
    # At random half of the episodes are won.
    assert load("reinforce").main() > 0.85
    assert "update  59: mean return" in capsys.readouterr().out


@pytest.mark.slow
def test_q_learning(capsys):
    # A pendulum that hangs has -1; pushed at random they have -0.6, at the top 1.
    assert load("q_learning").main() > 0.2
    assert "step 5000" in capsys.readouterr().out


@pytest.mark.slow
def test_optimize(capsys):
    pytest.importorskip("scipy")
    optimize = load("optimize")
    x, (cost, heat) = optimize.main()
    assert "iterations" in capsys.readouterr().out
    # The network's optimum is the model's, as near as the network is to it.
    assert heat < 1.005
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 81)] * 3), axis=-1).reshape(-1, 3)
    costs = optimize.model(grid)
    assert cost < costs[costs[:, 1] <= optimize.HOTTEST, 0].min() + 0.002
    assert (np.abs(x) <= 1).all()


@pytest.mark.slow
def test_predictive_control_by_casadi(capfd):
    pytest.importorskip("casadi")
    # It hangs at pi, and is brought to a stop at the top.
    assert np.abs(load("predictive_control").main()).max() < 0.01
    assert "rad from the top" in capfd.readouterr().out


@pytest.mark.slow(reason="Numba compiles")
def test_numba_rollout(capsys):
    pytest.importorskip("numba")
    example = load("numba_rollout")
    net, states, truth = example.main()
    assert "after 1000 steps" in capsys.readouterr().out
    np.testing.assert_allclose(states[-1], truth, atol=0.1)  # of a swing of 1.5
    # The loop in Python, bit for bit.
    state = states[0]
    for expected in states[1:]:
        state = state + net.predict(state)
        assert state.tobytes() == expected.tobytes()
    other = fcnn.Network((2, 2), loss="squared_error")
    with pytest.raises(ValueError, match="the network has the other dtype"):
        example.roll_out(other, [0.0, 0.0], 3)
    for start in ([0.0], [0.0] * 3):
        with pytest.raises(ValueError, match=f"a network from {len(start)} numbers to as many"):
            example.roll_out(net, start, 3)


def test_cffi_callback(capsys):
    pytest.importorskip("cffi")
    example = load("cffi_callback")
    answer, expected = example.main()
    assert capsys.readouterr().out
    assert answer.tobytes() == expected.tobytes()
    predictor = example.Predictor(fcnn.Network((4, 3), dtype="float64"), 5)
    with pytest.raises(ValueError, match="the network has the other dtype"):
        predictor(np.ones((5, 4), np.float32))
    net = fcnn.Network((4, 3))
    predictor, X = example.Predictor(net, 5), np.random.default_rng(1).normal(size=(5, 4))
    for given in (X, np.asfortranarray(X, np.float32)):  # what C would misread
        np.testing.assert_array_equal(predictor(given), net.predict(X))
    for wrong in (X[:, :3], X[0], np.ones((6, 4))):
        with pytest.raises(ValueError, match="expected 4 numbers in each of at most 5 rows"):
            predictor(wrong)


@pytest.mark.slow(reason="Numba compiles")
def test_scipy_integrand(capsys):
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    example = load("scipy_integrand")
    net, found, truth = example.main()
    assert "integral of the network" in capsys.readouterr().out
    assert abs(found - truth) < 1e-3
    # By the network itself, on a grid of Gauss and Legendre's points.
    points, weights = np.polynomial.legendre.leggauss(20)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2) / 2 + 0.5
    by_points = net.predict(grid)[:, 0] @ np.outer(weights, weights).ravel() / 4
    assert abs(found - by_points) < 1e-9
    with pytest.raises(ValueError, match="needs more memory"):
        example.integral(fcnn.Network((2, 9000, 1), loss="squared_error", dtype="float64"))
    for sizes in ((3, 1), (2, 2)):
        with pytest.raises(ValueError, match="expected two inputs and one output"):
            example.integral(fcnn.Network(sizes, loss="squared_error", dtype="float64"))


@pytest.mark.slow
def test_option_prices(capsys):
    (price, slope), (price_with, slope_with) = load("option_prices").main()
    assert "with derivatives" in capsys.readouterr().out
    assert price_with < price / 2
    assert slope_with < slope / 2
