"""Levenberg-Marquardt and L-BFGS: their equations, what they reach, and what they refuse."""

import functools
import itertools
import math
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fcnn
from fcnn import _cgroups, second_order
from fcnn._data import Arrays
from fcnn.second_order import _line_search
from fcnn.second_order._objective import Objective

KINDS = {"lm": fcnn.LevenbergMarquardt, "lbfgs": fcnn.LBFGS}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def network(sizes=(3, 5, 4, 2), activation="tanh", loss="squared_error", dtype="float64", **more):
    net = fcnn.Network(sizes, activation, loss=loss, dtype=dtype, rng=1, **more)
    rng = np.random.default_rng(2)
    net.parameters += rng.normal(scale=0.3, size=net.num_parameters)
    return net


def samples(net, rows=40):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)
    y = 1.5 * rng.normal(size=(rows, net.sizes[-1])).astype(net.dtype)
    return X, y, rng.uniform(0, 2, size=rows).astype(net.dtype)


def sine():
    X = np.linspace(-1, 1, 100)[:, np.newaxis]
    return X, np.sin(np.pi * X)


def objective_of(net, X, y, weight=None, l2=0.0):
    return Objective(net, Arrays(net, X, y, weight), l2, 1)


# --- The equations -------------------------------------------------------------------------------


def jacobian(net, X):
    """Of the outputs, by central differences: (s, n_L, P)."""
    twin, h = net.copy(), 1e-5
    columns = []
    for i in range(net.num_parameters):
        twin.parameters[:] = net.parameters
        twin.parameters[i] += h
        above = twin.predict(X)
        twin.parameters[i] -= 2 * h
        columns.append((above - twin.predict(X)) / (2 * h))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("sizes", "activation", "output", "rows"),
    [
        ((3, 5, 4, 2), "tanh", None, 40),
        ((3, 5, 4, 2), "tanh", None, 2),
        ((3, 5, 4, 2), ["gelu", "silu"], "softmax", 7),
        ((2, 7, 1), "sigmoid", "softplus", 129),
        ((4, 1), [], None, 1),
        ((1, 3, 3), "elu", "exp", 300),
    ],
)  # fmt: skip
def test_normal_equations_are_those_of_the_jacobian(
    sizes, activation, output, rows, weighted, loss
):
    net = network(sizes, activation, loss, output_activation=output)
    X, y, weight = samples(net, rows)
    weight = weight if weighted else np.ones(rows)
    J, r = jacobian(net, X), net.predict(X) - y
    robust = 1 / np.maximum(np.abs(r), 1) if loss == "huber" else np.ones_like(r)
    both = (weight[:, None] * robust)[..., None, None] * (J[..., None] * J[..., None, :])
    n = net.num_parameters
    sums = np.full((n + 1, n + 1), np.nan)
    value = objective_of(net, X, y, weight).normal_equations(sums)
    upper = np.triu_indices(n)
    expected = both.sum(axis=(0, 1)) / weight.sum()
    np.testing.assert_allclose(
        sums[:n, :n][upper], expected[upper], rtol=1e-7, atol=1e-8 * np.abs(expected).max()
    )
    # The residuals' column is the gradient of the loss itself, and its last entry their squares.
    mean, gradient = net.gradients(X, y, weight)
    np.testing.assert_allclose(sums[:n, n], gradient, rtol=1e-11, atol=1e-14)
    assert value == pytest.approx(mean, rel=1e-14)
    squares = (weight[:, None] * robust * r * r).sum() / weight.sum()
    assert sums[n, n] == pytest.approx(squares, rel=1e-12)


def test_normal_equations_of_parts_are_those_of_the_whole(tmp_path, monkeypatch):
    net = network()
    X, y, weight = samples(net, 100)
    n = net.num_parameters
    whole, parts = np.empty((n + 1, n + 1)), np.empty((n + 1, n + 1))
    objective = objective_of(net, X, y, weight)
    objective.normal_equations(whole)
    change = objective.change(np.ones(n))
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 600)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    objective = objective_of(net, mapped, y, weight)
    objective.normal_equations(parts)
    np.testing.assert_allclose(np.triu(parts), np.triu(whole), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(objective.change(np.ones(n)), change, rtol=1e-9)


def test_threads_wait_for_the_rows_that_others_make():
    """A last block of rows may have one panel alone, which one thread makes and all read."""
    net, rng = network(), np.random.default_rng(0)
    n = net.num_parameters
    for rows in (5, 8, 133, 20) * 5:
        X = rng.normal(size=(rows, 3))
        given = np.ones((rows, 2)), rng.normal(size=rows)
        found = []
        for threads in (
            2,
            1,
        ):  # one thread last: what it leaves is of other samples in the next turn
            sums = np.zeros((n + 1, n + 1))
            second_order.core.add_normal_equations(net, X, *given, sums, threads)
            found.append(np.triu(sums).tobytes())
        assert found[0] == found[1], rows


def test_equations_in_float32_are_near_those_in_float64():
    precise = network()
    net = network(dtype="float32")
    net.parameters[:] = precise.parameters
    precise.parameters[:] = net.parameters
    X, y, weight = samples(net)
    n = net.num_parameters
    sums, exact = np.empty((n + 1, n + 1)), np.empty((n + 1, n + 1))
    objective_of(net, X, y, weight).normal_equations(sums)
    objective_of(precise, X, y, weight).normal_equations(exact)
    sums, exact = np.triu(sums), np.triu(exact)
    np.testing.assert_allclose(sums, exact, rtol=1e-4, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_change_is_that_of_the_residuals_times_the_jacobian(loss):
    net = network(loss=loss)
    X, y, weight = samples(net)
    objective = objective_of(net, X, y, weight)
    objective.loss()
    step, twin = np.random.default_rng(5).normal(size=net.num_parameters), net.copy()
    twin.parameters[:] = net.parameters + step
    moved = twin.predict(X) - net.predict(X)
    if loss == "huber":
        moved /= np.maximum(np.abs(net.predict(X) - y), 1)
    expected = np.einsum("skp,sk,s->p", jacobian(net, X), moved, weight) / weight.sum()
    np.testing.assert_allclose(objective.change(step), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(objective.parameters, net.parameters)


def test_factors_and_their_solutions(monkeypatch):
    rng = np.random.default_rng(0)
    for n, block in ((1, 256), (2, 256), (17, 256), (17, 4), (64, 7), (65, 64), (64, 64), (9, 1)):
        monkeypatch.setattr(second_order, "_BLOCK", block)
        A = rng.normal(size=(n, n))
        A = A @ A.T + np.eye(n)
        b = rng.normal(size=n)
        sums = np.full((n + 1, n + 1), np.nan)
        sums[:n, :n] = np.triu(A - np.eye(n))
        sums[np.tril_indices(n, -1)] = np.nan  # which nobody has computed
        R = second_order._factor(sums, A.diagonal())
        np.testing.assert_allclose(np.triu(R), np.linalg.cholesky(A).T, rtol=1e-9, atol=1e-9)
        x = b.copy()
        second_order.core.solve_factored(R, x)
        np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-8)
        indefinite = A.diagonal().copy()
        indefinite[n // 2] = -1
        assert second_order._factor(sums, indefinite) is None


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 63, 64, 65, 130, 141, 256])
def test_a_block_is_factored_in_its_place(n):
    rng = np.random.default_rng(n)
    whole, begin = rng.normal(size=(n + 5, n + 5)), 3
    A = rng.normal(size=(n, n + 3))
    A = A @ A.T
    block = (slice(begin, begin + n),) * 2
    whole[block] = np.where(np.triu(np.ones((n, n))) > 0, A, np.nan)  # the lower half is not read
    before = whole.copy()
    assert second_order.core.factor_block(whole, begin, begin + n)
    R = np.triu(whole[block])
    np.testing.assert_allclose(R.T @ R, A, rtol=1e-11, atol=1e-11 * A.diagonal().max())
    assert (R.diagonal() > 0).all()
    whole[block] = np.where(np.triu(np.ones((n, n))) > 0, before[block], whole[block])
    np.testing.assert_array_equal(whole, before)
    # What is not positive definite, in its last row or by a NaN, is left as it was.
    for entry, value in (((n - 1, n - 1), -1.0), ((0, n - 1), np.nan), ((0, 0), 0.0)):
        before = whole.copy()
        before[begin + entry[0], begin + entry[1]] = value
        spoilt = before.copy()
        assert not second_order.core.factor_block(spoilt, begin, begin + n)
        np.testing.assert_array_equal(spoilt, before)


def test_a_block_that_is_not_there_is_refused():
    A = np.eye(4)
    for begin, end in ((-1, 2), (0, 5), (2, 2), (3, 1)):
        with pytest.raises(ValueError, match=r"^begin, end: expected a block of 4 rows"):
            second_order.core.factor_block(A, begin, end)
    with pytest.raises(ValueError, match=r"^factor:"):
        second_order.core.factor_block(np.eye(4, dtype=np.float32), 0, 4)
    with pytest.raises(ValueError, match=r"^factor:"):
        second_order.core.factor_block(np.eye(4)[:3], 0, 3)
    np.testing.assert_array_equal(A, np.eye(4))


def test_a_factor_of_many_parameters_is_gone_through_in_pieces():
    """Between which Ctrl-C is looked for: rows of 2.5 million entries."""
    n = 1601
    rng = np.random.default_rng(0)
    R = np.triu(rng.normal(size=(n, n))) / n + 2 * np.eye(n)
    b = rng.normal(size=n)
    x = b.copy()
    second_order.core.solve_factored(R, x)
    np.testing.assert_allclose(R.T @ (R @ x), b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("factor", [np.ones((2, 2)), np.ones((4, 4)), np.ones((3, 3), "f4")])
def test_the_solver_reads_a_factor_of_its_size_alone(factor):
    x = np.ones(3)
    with pytest.raises(ValueError, match="factor"):
        second_order.core.solve_factored(factor, x)
    assert (x == 1).all()


@pytest.mark.parametrize("damping", [1e308, 1e30])
def test_a_damping_that_leaves_no_step_is_refused(damping):
    net = network()
    X, y, _ = samples(net)
    before = net.parameters.copy()
    optimizer = fcnn.LevenbergMarquardt(damping=damping)
    with pytest.raises(ValueError, match=r"^optimizer: with damping=1e\+30"):
        net.fit(X, y, optimizer=optimizer)
    assert net.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0
    # A large one is an iteration of small steps; what has converged has no step of any length.
    optimizer.damping = 1e6
    history = net.fit(X, y, epochs=3, optimizer=optimizer)
    assert len(history.loss) == 3
    assert history.loss[0] > history.loss[1] > history.loss[2]
    linear = fcnn.Network((3, 2), loss="squared_error", dtype="float64")
    exact = linear.predict(X)
    assert len(linear.fit(X, exact, epochs=5, optimizer=fcnn.LevenbergMarquardt(1e6)).loss) == 1


def test_an_iteration_is_a_damped_step_with_its_acceleration():
    net = network()
    X, y, _ = samples(net)
    J, r, n = jacobian(net, X), net.predict(X) - y, net.num_parameters
    J, r, s = J.reshape(-1, n), r.ravel(), len(X)
    A, g = J.T @ J / s, J.T @ r / s
    mu = 0.5 * A.diagonal().max()
    damped = A + mu * np.eye(n)
    h = -np.linalg.solve(damped, g)
    twin, e = net.copy(), 0.1
    twin.parameters[:] = net.parameters + e * h
    second = 2 / e * (((twin.predict(X) - net.predict(X)).ravel()) / e - J @ h)
    bend = -np.linalg.solve(damped, J.T @ second / s)
    assert np.linalg.norm(bend) < 0.75 * np.linalg.norm(h)
    expected = net.parameters + h + bend / 2
    optimizer = fcnn.LevenbergMarquardt(damping=0.5)
    before = net.evaluate(X, y)["loss"]
    history = net.fit(X, y, epochs=1, optimizer=optimizer)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-5, atol=1e-7)
    assert history.loss == [net.evaluate(X, y)["loss"]]
    ratio = (before - history.loss[0]) / (h @ (mu * h - g) / 2)
    assert optimizer._mu == pytest.approx(mu * max(1 / 3, 1 - (2 * ratio - 1) ** 3), rel=1e-5)


# --- The line search -----------------------------------------------------------------------------

# The first three of the functions of section 5 of More and Thuente.
CURVES = {
    "1": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "2": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "cosh": (lambda t: math.cosh(t - 3), lambda t: math.sinh(t - 3)),
    "walls": (
        lambda t: -t if t < 1 else math.inf if t > 2 else 5 * (t - 1.1) ** 2 - 1.05,
        lambda t: -1 if t < 1 else 10 * (t - 1.1),
    ),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("first", [1e-3, 1e-1, 1, 10, 1e3])
def test_line_search_meets_the_strong_wolfe_conditions(curve, first):
    f, slope = CURVES[curve]
    lengths = []

    def phi(t):
        lengths.append(t)
        return (f(t), slope(t)) if t < 500 or curve != "cosh" else (math.inf, math.nan)

    found = _line_search.search(phi, _line_search.Point(0.0, f(0), slope(0)), first)
    assert found.f <= f(0) + 1e-4 * found.t * slope(0)
    assert abs(found.slope) <= 0.9 * abs(slope(0))
    assert (found.f, found.slope) == phi(found.t)
    assert len(lengths) < 25


def test_line_search_says_that_nothing_falls():
    start = _line_search.Point(0.0, 1.0, -1e-20)
    assert _line_search.search(lambda t: (1.0 + t, 1.0), start, 1.0) is None


# --- What they reach -----------------------------------------------------------------------------


@pytest.mark.slow
def test_levenberg_marquardt_learns_a_sine_to_eleven_digits():
    X, y = sine()
    net = fcnn.Network((1, 10, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
    net.fit(X, y, epochs=1500, optimizer="lm",
            callbacks=[lambda p: 2 * p.history.loss[-1] < 1e-11])  # fmt: skip
    assert np.mean((net.predict(X) - y) ** 2) < 1e-11


@kinds
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_a_linear_network_comes_to_the_least_squares(kind, l2):
    net = network((3, 2), [])
    X, y, weight = samples(net)
    net.fit(X, y, epochs=60, optimizer=kind(), sample_weight=weight, l2=l2)
    ones = np.hstack([X, np.ones((len(X), 1))])
    share = weight[:, None] / weight.sum()
    A = ones.T @ (share * ones) + l2 * np.diag([1, 1, 1, 0])
    expected = np.linalg.solve(A, ones.T @ (share * y))
    np.testing.assert_allclose(np.vstack([net.weights[0].T, net.biases[0]]), expected, atol=1e-7)


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_every_iteration_lowers_the_loss(kind, dtype, loss):
    net = network(loss=loss, dtype=dtype)
    X, y, weight = samples(net)
    history = net.fit(X, y, epochs=30, optimizer=kind(), sample_weight=weight, l2=1e-3,
                      validation=(X, y, weight))  # fmt: skip
    assert all(after < before for before, after in itertools.pairwise(history.loss[:-1]))
    assert history.loss[-1] < 0.5 * network(loss=loss).evaluate(X, y, weight)["loss"]
    # The loss is that of the parameters that the iteration ended with.
    assert history.loss[-1] == pytest.approx(
        net.evaluate(X, y, weight)["loss"] + history.penalty[-1], rel=1e-6
    )
    assert history.validation_loss[-1] == net.evaluate(X, y, weight)["loss"]
    squares = sum(float((W.astype(float) ** 2).sum()) for W in net.weights)
    assert history.penalty[-1] == pytest.approx(1e-3 / 2 * squares)
    assert history.learning_rate == []
    assert "learning_rate" not in history.to_dict()


PAIRS = {
    "squared_error": lambda rng: rng.normal(size=(50, 2)),
    "absolute_error": lambda rng: rng.normal(size=(50, 2)),
    "huber": lambda rng: 2 * rng.normal(size=(50, 2)),
    "poisson": lambda rng: rng.poisson(2, size=(50, 2)),
    "binary_cross_entropy": lambda rng: rng.integers(2, size=(50, 2)),
    "cross_entropy": lambda rng: rng.integers(2, size=50),
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", PAIRS)
def test_lbfgs_comes_as_far_as_that_of_scipy(loss):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), PAIRS[loss](rng)
    net = network((3, 2), [], loss)  # convex: one minimum
    objective = objective_of(net, X, y, l2=0.1)

    def f(parameters):
        objective.move_to(parameters)
        return objective.gradient()

    best = optimize.minimize(f, net.parameters.copy(), jac=True, method="L-BFGS-B",
                             options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-10})  # fmt: skip
    history = net.fit(X, y, epochs=500, optimizer=fcnn.LBFGS(), l2=0.1)
    rounding = 1e-3 if loss == "absolute_error" else 1e-9  # which has no smooth minimum
    assert history.loss[-1] <= best.fun + rounding


@kinds
def test_a_training_ends_where_nothing_lowers_the_loss(kind):
    net = network((3, 2), [])
    X, y, _ = samples(net)
    history = net.fit(X, y, epochs=10_000, optimizer=kind())
    assert len(history.loss) < 200
    assert history.loss[-1] == history.loss[-2] == net.evaluate(X, y)["loss"]
    before = net.parameters.copy()
    net.fit(X, y, epochs=3, optimizer=kind())
    np.testing.assert_allclose(net.parameters, before, atol=1e-7)


@kinds
@pytest.mark.parametrize("what", ["targets", "inputs"])
def test_a_loss_that_overflows_from_the_start_is_refused(kind, what):
    net = network(activation="identity", dtype="float32")
    X, y, _ = samples(net)
    X, y = (X, y * 1e30) if what == "targets" else (X * 1e38, y)
    before = net.parameters.copy()
    with pytest.raises(fcnn.DivergenceError, match=r"epoch 1|before the iteration"):
        net.fit(X, y, epochs=2, optimizer=kind())
    np.testing.assert_array_equal(net.parameters, before)


# --- Other samples, threads ----------------------------------------------------------------------


@pytest.mark.slow
@kinds
def test_a_memory_map_gives_what_an_array_gives(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 600)
    X, y, weight = samples(network(), 90)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    losses = []
    for inputs in (X, mapped):
        net = network()
        losses.append(net.fit(inputs, y, sample_weight=weight, epochs=4, optimizer=kind()).loss)
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_lbfgs_of_a_sparse_matrix_is_that_of_the_dense_one():
    sparse = pytest.importorskip("scipy.sparse")
    losses = []
    for convert in (np.asarray, sparse.csr_array):
        net = network()
        X, y, _ = samples(net)
        X[np.abs(X) < 1] = 0
        losses.append(net.fit(convert(X), y, epochs=5, optimizer="lbfgs").loss)
    np.testing.assert_allclose(*losses, rtol=1e-10)


@pytest.mark.slow
@kinds
def test_the_number_of_threads_changes_no_bit(kind):
    results = []
    for threads in (1, 2, 3):
        net = network()
        net.fit(*samples(net, 300)[:2], epochs=5, optimizer=kind(), n_threads=threads)
        results.append(net.parameters.tobytes())
    assert len(set(results)) == 1


@kinds
def test_class_weight_counts(kind):
    net = network((3, 4, 1), loss="binary_cross_entropy")
    X, _, _ = samples(net)
    y = X[:, 0] > 0.3
    if kind is fcnn.LevenbergMarquardt:
        with pytest.raises(ValueError, match="squared_error or huber, got binary_cross_entropy"):
            net.fit(X, y, optimizer=kind(), class_weight="balanced")
        return
    other = net.copy()
    weight = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))
    net.fit(X, y, epochs=4, optimizer=kind(), class_weight="balanced")
    other.fit(X, y, epochs=4, optimizer=kind(), sample_weight=weight)
    np.testing.assert_allclose(net.parameters, other.parameters, rtol=1e-9, atol=1e-12)


# --- State ---------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_calls_are_one(kind, dtype):
    net, other = network(dtype=dtype), network(dtype=dtype)
    X, y, _ = samples(net)
    optimizer, another = kind(), kind()
    net.fit(X, y, epochs=8, optimizer=optimizer)
    other.fit(X, y, epochs=3, optimizer=another)
    another = pickle.loads(pickle.dumps(another))
    other.fit(X, y, epochs=5, optimizer=another)
    np.testing.assert_array_equal(net.parameters, other.parameters)
    assert optimizer.steps == another.steps == 8
    with pytest.raises(ValueError, match="state of another network"):
        net.copy().fit(X, y, optimizer=optimizer)
    optimizer.reset()
    net.copy().fit(X, y, epochs=1, optimizer=optimizer)


@kinds
@pytest.mark.parametrize("named", [False, True])
def test_a_resumed_training_is_the_whole_one(kind, named, tmp_path):
    path = tmp_path / "training.safetensors"
    net, whole = network(), network()
    X, y, _ = samples(net)
    settings = {"l2": 1e-3, "validation": (X, y)}
    expected = whole.fit(X, y, epochs=9, optimizer=kind(), **settings)

    def crash(progress):
        if progress.epoch == 4:
            progress.save(path)
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        net.fit(X, y, epochs=9, optimizer=kind(), callbacks=[crash], **settings)
    other = network()
    optimizer = None if named else kind()
    history = other.fit(X, y, epochs=9, optimizer=optimizer, resume=path, **settings)
    np.testing.assert_array_equal(other.parameters, whole.parameters)
    assert history.loss == expected.loss
    with pytest.raises(ValueError, match="resume: the checkpoint is of a training with"):
        network().fit(X, y, epochs=9, optimizer="adam", resume=path, **settings)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (fcnn.LevenbergMarquardt, "_mu", -1.0), (fcnn.LevenbergMarquardt, "_mu", "x"),
        (fcnn.LevenbergMarquardt, "damping", 0), (fcnn.LBFGS, "history", 0),
        (fcnn.LBFGS, "history", 1.5), (fcnn.LBFGS, "damping", 1.0),
    ],
)  # fmt: skip
def test_a_state_that_is_none_is_refused(kind, name, value):
    optimizer = kind()
    state = optimizer.state_dict()
    state["hyperparameters"] = {**state["hyperparameters"], name: value}
    with pytest.raises((ValueError, TypeError)):
        kind().load_state_dict(state)


def test_an_odd_or_too_long_list_of_vectors_is_refused():
    vectors = [np.ones(4)] * 6
    for history, count in ((3, 5), (2, 6)):
        state = {**fcnn.LBFGS(history).state_dict(), "vectors": vectors[:count], "steps": 3}
        with pytest.raises(ValueError, match=r"lbfgs keeps . vectors, got"):
            fcnn.LBFGS(history).load_state_dict(state)


# --- Refusals ------------------------------------------------------------------------------------

SCHEDULED = fcnn.schedules.Cosine()


def own_loss(a, y):
    return 0.0, a - y


@kinds
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l1": 0.1}, "l1: not with fcnn.KIND"),
        ({"clip_norm": 1.0}, "clip_norm: not with fcnn.KIND"),
        ({"dropout": 0.5}, "dropout: not with fcnn.KIND"),
        ({"schedule": SCHEDULED}, "schedule: not with fcnn.KIND"),
        ({"loss": own_loss}, "loss: not with fcnn.KIND"),
        ({"reduce": np.negative}, "reduce: not with fcnn.KIND"),
        ({"batch_size": 32}, r'^batch_size: expected "auto" or None with fcnn.KIND, .* 40 .* 32$'),
        ({"batch_size": 39, "shuffle": False}, "^batch_size: .* all 40 samples at once, got 39$"),
    ],
)
def test_what_they_do_not_do_is_refused(kind, arguments, message):
    net, optimizer = network(), kind()
    X, y, _ = samples(net)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=message.replace("KIND", kind.__name__)):
        net.fit(X, y, optimizer=optimizer, **arguments)
    np.testing.assert_array_equal(net.parameters, before)
    assert optimizer.steps == 0


@kinds
def test_batches_that_are_all_samples_are_what_it_takes(kind):
    """None, the default, and a number that is large enough; a stated shuffle finds one batch."""
    X, y, _ = samples(network())
    found = []
    for arguments in (
        {}, {"batch_size": "auto"}, {"batch_size": None}, {"batch_size": 40}, {"batch_size": 64},
        {"shuffle": False}, {"shuffle": True, "rng": 5},
    ):  # fmt: skip
        net = network()
        net.fit(X, y, epochs=3, optimizer=kind(), **arguments)
        found.append(net.parameters.tobytes())
    assert len({*found}) == 1
    together = [network(), network()]
    fcnn.fit_many(together, X, y, epochs=3, optimizers=kind(), batch_size=[None, "auto"])
    assert {net.parameters.tobytes() for net in together} == {*found}


@kinds
def test_smaller_batches_are_refused_everywhere(kind, tmp_path):
    path = tmp_path / "training.safetensors"
    net, named = network(), kind.rule
    X, y, _ = samples(net)
    message = f"^batch_size: .* with fcnn.{kind.__name__}, which takes all 40 samples at once"
    net.fit(X, y, epochs=2, optimizer=named, callbacks=[fcnn.ModelCheckpoint(path)])
    before = net.parameters.copy()
    for optimizer in (None, named, kind()):  # None: as the file has it
        with pytest.raises(ValueError, match=message):
            net.fit(X, y, epochs=4, optimizer=optimizer, batch_size=8, resume=path)
    with pytest.raises(ValueError, match=message + r".* \(networks\[1\]\)$"):
        fcnn.fit_many(
            [net, network()], X, y, optimizers=["adam", named], batch_size=[8, 8], epochs=3
        )
    np.testing.assert_array_equal(net.parameters, before)


@kinds
def test_an_attribute_that_it_has_not_is_no_hyperparameter(kind):
    """A rate would change nothing."""
    optimizer = kind()
    state = optimizer.state_dict()
    for name in ("lr", "learning_rate", "momentum", "weight_decay", "betas"):
        with pytest.raises(AttributeError, match=f"{kind.__name__} has no attribute '{name}' to"):
            setattr(optimizer, name, 0.1)
    assert optimizer.state_dict() == state


@kinds
def test_other_samples_and_steps_are_refused(kind):
    net, optimizer = network(), kind()
    X, y, _ = samples(net)
    with pytest.raises(ValueError, match=f"X: fcnn.{kind.__name__} needs all samples at once"):
        net.fit([(X, y)], epochs=1, optimizer=optimizer)
    before = net.parameters.copy()
    for call in (
        lambda: net.train_step(X, y, optimizer),
        lambda: net.train_step(X, y, optimizer, l2=0.1),
        lambda: net._train_epoch(X, y, optimizer, 8),
    ):
        with pytest.raises(TypeError, match=f"optimizer: {kind.__name__}.*for fit"):
            call()
    np.testing.assert_array_equal(net.parameters, before)


def test_label_smoothing_is_refused():
    net = network(loss="cross_entropy")
    with pytest.raises(ValueError, match="label_smoothing: not with"):
        net.fit(np.ones((3, 3)), [0, 1, 0], optimizer="lbfgs", label_smoothing=0.1)


@pytest.mark.parametrize("loss", ["cross_entropy", "absolute_error", "poisson"])
def test_levenberg_marquardt_refuses_other_losses(loss):
    net = network(loss=loss)
    before = net.parameters.copy()
    y = [0, 1, 0] if loss == "cross_entropy" else np.ones((3, 2))
    with pytest.raises(ValueError, match=f"LevenbergMarquardt .* huber, got {loss}"):
        net.fit(np.ones((3, 3)), y, optimizer="lm")
    np.testing.assert_array_equal(net.parameters, before)


def test_levenberg_marquardt_refuses_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="does not read sparse"):
        network().fit(sparse.csr_array(np.eye(3)), np.ones((3, 2)), optimizer="lm")


def test_levenberg_marquardt_names_the_bytes_that_it_has_not(monkeypatch):
    net = network()
    X, y, _ = samples(net)
    n = net.num_parameters + 1
    needed = 16 * n * n + 8 * n * 3 * 256
    monkeypatch.setattr(second_order, "_memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=rf"needs {needed:,} bytes .* {needed - 1:,}"):
        net.fit(X, y, optimizer="lm")
    monkeypatch.setattr(second_order, "_memory", lambda: needed)
    net.fit(X, y, epochs=1, optimizer="lm")
    assert second_order._memory() is not None or sys.platform == "win32"


def test_a_container_s_memory_is_what_there_is(monkeypatch, tmp_path):
    machine = second_order._memory()
    (tmp_path / "job").mkdir()
    (tmp_path / "membership").write_text("0::/job\n")
    (tmp_path / "job" / "memory.max").write_text("20000\n")
    least = functools.partial(
        _cgroups.least, membership=str(tmp_path / "membership"), root=str(tmp_path)
    )
    monkeypatch.setattr(_cgroups, "least", least)
    assert second_order._memory() == 20000
    net = network()
    X, y, _ = samples(net)
    with pytest.raises(ValueError, match=r"this process may have 20,000; fcnn.LBFGS"):
        net.fit(X, y, optimizer="lm")
    (tmp_path / "job" / "memory.max").write_text("max\n")
    assert second_order._memory() == machine or machine is None


# --- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself")
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_keeps_the_last_completed_iteration(kind):
    code = f"""
        import os, signal, threading
        import numpy as np
        import fcnn
        X = np.random.default_rng(0).normal(size=(2000, 5))
        net = fcnn.Network((5, 20, 1), "tanh", loss="squared_error", dtype="float64")
        kept = [net.parameters.copy()]

        def take(progress):
            kept.append(net.parameters.copy())
            if progress.epoch == 3:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

        try:
            net.fit(X, np.sin(X[:, :1] * X[:, 1:2]), epochs=10**6, optimizer="{kind}",
                    callbacks=[take])
        except KeyboardInterrupt:
            # The signal may have come in the callback itself.
            assert any(np.array_equal(net.parameters, one) for one in kept[-2:]), "torn"
            print("interrupted")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120,
        env={**os.environ}, check=False,
    )  # fmt: skip
    assert result.stdout == "interrupted\n", result.stderr[-2000:]


@pytest.mark.slow(reason="seconds of factoring")
@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself")
def test_ctrl_c_is_heard_while_a_matrix_is_factored():
    code = """
        import os, signal, threading, time
        import numpy as np
        from fcnn import second_order
        n = 4000
        sums = np.zeros((n + 1, n + 1))
        sums[:n, :n] = 1
        late = []
        for wait in (0.1, 0.3, 0.6):
            def send():
                late.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)
            timer = threading.Timer(wait, send)
            timer.start()
            try:
                while True:
                    second_order._factor(sums, np.full(n, n + 1.0))
            except KeyboardInterrupt:
                late[-1] = time.perf_counter() - late[-1]
        print(max(late))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert float(result.stdout) < 0.3, result.stderr[-2000:]  # 1.5 s and more in one call


@kinds
def test_a_network_that_was_not_begun_owns_no_state(kind):
    """What the first network could not use belongs to the second."""
    first, second = (
        fcnn.Network((2, 3, 1), loss="squared_error", dtype="float64", rng=rng) for rng in (1, 2)
    )
    X = np.random.default_rng(3).normal(size=(20, 2))
    y = X[:, :1] * X[:, 1:]
    optimizer = kind()
    with pytest.raises(fcnn.DivergenceError):
        first.fit(X, y * 1e200, optimizer=optimizer, epochs=1)
    for _ in range(2):
        second.fit(X, y, optimizer=optimizer, epochs=2)
    before = first.parameters.copy()
    with pytest.raises(ValueError, match="state of another network"):
        first.fit(X, y, optimizer=optimizer, epochs=2)
    assert first.parameters.tobytes() == before.tobytes()


def test_a_shorter_history_may_be_saved(tmp_path):
    """Though it is as long as before until the next step."""
    net = network((2, 3, 1))
    X, y, _ = samples(net)
    optimizer = fcnn.LBFGS()

    def shorten(progress):
        optimizer.history = 2

    path = tmp_path / "checkpoint"
    net.fit(X, y, optimizer=optimizer, epochs=5, callbacks=[fcnn.ModelCheckpoint(path)])
    assert len(optimizer.state(net)) > 4
    net.fit(X, y, optimizer=optimizer, epochs=1, callbacks=[shorten, fcnn.ModelCheckpoint(path)])
    assert len(optimizer.state(net)) == 4
    twin = net.copy()
    twin.fit(X, y, optimizer=fcnn.LBFGS(), epochs=2, resume=path)
    net.fit(X, y, optimizer=optimizer, epochs=1)
    assert twin.parameters.tobytes() == net.parameters.tobytes()
