"""Losses of several outputs for each target, gaussian_nll and quantile, wherever y is compared."""

import copy
import pickle
from importlib import util

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn
from fcnn import convert, metrics, reference
from fcnn.tables import Preparation, Target

needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="no torch")
LOSSES = {
    "gaussian_nll": 2, "quantile": 3, "quantile(0.1, 0.25, 0.5, 0.75, 0.9)": 5, "quantile(0.8)": 1,
}  # fmt: skip
each_loss = pytest.mark.parametrize("loss", LOSSES)


def data(rows=200, m=2, seed=0, dtype="float64"):
    """Targets whose spread grows with the first input."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (rows, 3))
    spread = 0.1 + 0.4 * (X[:, :1] + 1)
    y = np.sin(2 * X @ rng.normal(size=(3, m))) + spread * rng.normal(size=(rows, m))
    return X.astype(dtype), y.astype(dtype)


def network(loss, m=2, hidden=(16,), dtype="float64", rng=0):
    return fcnn.Network((3, *hidden, LOSSES[loss] * m), "tanh", loss=loss, dtype=dtype, rng=rng)


# --- The equations ------------------------------------------------------------------------------


def levels_of(loss):
    _, levels = fcnn._dispatch.core.split_loss(loss)
    return levels


@needs_torch
@pytest.mark.parametrize("m", [1, 2, 5])
@each_loss
def test_loss_and_derivatives_equal_pytorch(loss, m):
    import torch

    net = network(loss, m)
    X, y = data(37, m)
    weight = np.random.default_rng(1).uniform(0, 2, 37)
    x = torch.tensor(X, requires_grad=True)
    W = [torch.tensor(w.copy(), requires_grad=True) for w in net.weights]
    b = [torch.tensor(v.copy(), requires_grad=True) for v in net.biases]
    h = torch.tanh(torch.nn.functional.linear(x, W[0], b[0]))
    z = torch.nn.functional.linear(h, W[1], b[1])
    target = torch.tensor(y)
    if loss == "gaussian_nll":
        a = z
        nll = torch.nn.GaussianNLLLoss(reduction="none", eps=1e-30)
        costs = nll(a[:, :m], target, torch.exp(a[:, m:]))
    else:
        parts = z.reshape(len(X), -1, m)
        rises = torch.cat([parts[:, :1], torch.nn.functional.softplus(parts[:, 1:])], dim=1)
        a = rises.cumsum(dim=1).reshape(z.shape)
        q = torch.tensor(levels_of(loss), dtype=torch.float64).repeat_interleave(m)
        error = target.repeat(1, LOSSES[loss]) - a
        costs = torch.maximum(q * error, (q - 1) * error)
    w = torch.tensor(weight)
    total = (costs.sum(dim=1) * w).sum() / w.sum()
    total.backward()
    assert distance(net.predict(X), a.detach()) < 1e-12
    assert net.evaluate(X, y, weight)["loss"] == pytest.approx(total.item(), rel=1e-12)
    trace = net.trace(X, y, weight)
    assert trace.loss == pytest.approx(total.item(), rel=1e-12)
    for l in range(2):
        assert distance(trace.dW[l + 1], W[l].grad) < 1e-10
        assert distance(trace.db[l + 1], b[l].grad) < 1e-10
    assert distance(trace.delta[0], x.grad) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(3, 8), (3, 9, 8), (40, 33, 24), (200, 300, 40)])
@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile(0.05, 0.3, 0.6, 0.9)"])
def test_the_core_equals_the_reference(core, loss, sizes, dtype):
    """Alone, few and many rows, labels of no kind; m is n_L / 2 and n_L / 4."""
    activations = (*["gelu"] * (len(sizes) - 2), "identity" if loss[0] == "g" else "ascending")
    for rows in (1, 2, 3, 4, 33, 300):
        rng = np.random.default_rng(rows)
        twin, batch = random_problem(rng, sizes, activations, loss, dtype, rows, weighted=rows > 2)
        net = core_twin(core, twin)
        value, gradient = net.gradients(*batch)
        expected_value, expected = twin.gradients(*batch)
        assert value == pytest.approx(expected_value, rel=TOLERANCE[dtype])
        assert distance(gradient, expected) < TOLERANCE[dtype]
        outputs = net.predict(batch[0])
        assert distance(outputs, twin.predict(batch[0])) < TOLERANCE[dtype]
        assert outputs.tobytes() == net._loss_and_outputs(*batch)[1].tobytes()
        for i in range(min(rows, 5)):
            assert net.predict(batch[0][i]).tobytes() == outputs[i].tobytes()


@each_loss
def test_central_differences(loss):
    net = network(loss)
    X, y = data(20)
    report = net.check_gradients(X, y)
    assert report.passed, report
    p, h = net.parameters, 1e-6
    _, gradient = net.gradients(X, y)
    for i in range(0, p.size, 7):
        kept, values = p[i], []
        for move in (h, -h):
            p[i] = kept + move
            values.append(net.evaluate(X, y)["loss"])
        p[i] = kept
        assert gradient[i] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-8)


def test_where_a_quantile_is_met_the_derivative_is_between_the_sides():
    net = fcnn.Network((1, 1), loss="quantile(0.8)", dtype="float64", init="zeros")
    slopes = [net.gradients([[1.0]], [y])[1][1] for y in (1.0, 0.0, -1.0)]
    assert slopes == pytest.approx([-0.8, -0.3, 0.2])
    twin = reference.Network.like(net)
    for y, slope in zip((1.0, 0.0, -1.0), slopes, strict=True):
        assert twin.gradients(np.ones((1, 1)), np.array([[y]]))[1][1] == pytest.approx(slope)


@pytest.mark.slow
@needs_torch
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("L", [1, 3])
def test_derivatives_of_ascending_outputs_equal_pytorch(L):
    import torch

    m, q = 2, 5
    loss = "quantile(0.1, 0.25, 0.5, 0.75, 0.9)"
    net = network(loss, m, hidden=(7, 6)[: L - 1])
    for b in net.biases:
        b[...] = np.random.default_rng(2).normal(size=b.shape)
    net.biases[-1][m] = 25  # softplus is z there
    X = data(9, m)[0]
    W = [torch.tensor(w.copy()) for w in net.weights]
    b = [torch.tensor(v.copy()) for v in net.biases]

    def f(x):
        for l in range(L - 1):
            x = torch.tanh(W[l] @ x + b[l])
        z = (W[-1] @ x + b[-1]).reshape(q, m)
        rises = torch.cat([z[:1], torch.nn.functional.softplus(z[1:])])
        return rises.cumsum(dim=0).reshape(-1)

    rng = np.random.default_rng(3)
    v, u = rng.normal(size=(9, q * m)), rng.normal(size=X.shape)
    J, twin = net.jacobian(X), reference.Network.like(net)
    for i, x in enumerate(torch.tensor(X)):
        expected = torch.func.jacrev(f)(x).numpy()
        hessians = torch.func.hessian(f)(x).numpy()
        assert distance(net.predict(X[i]), f(x)) < 1e-12
        assert distance(J[i], expected) < 1e-10
        assert distance(net.vjp(X[i], v[i])[1], v[i] @ expected) < 1e-10
        assert distance(net.jvp(X[i], u[i])[1], expected @ u[i]) < 1e-10
        contracted = np.tensordot(v[i], hessians, 1)
        assert np.abs(net.hvp(X[i], v[i], u[i]) - contracted @ u[i]).max() < 1e-10
        assert np.abs(net.hessian(X[i], output=3) - hessians[3]).max() < 1e-10
    assert distance(twin.jacobian(X), J) < 1e-12
    assert distance(twin.vjp(X, v)[1], net.vjp(X, v)[1]) < 1e-12
    assert distance(twin.jvp(X, u)[1], net.jvp(X, u)[1]) < 1e-12
    assert np.abs(twin.hvp(X, v, u) - net.hvp(X, v, u)).max() < 1e-12
    core = fcnn._dispatch.core
    both = []
    for force in (0, 1):
        core.force_direction(force)
        both.append(net.jacobian(X))
    core.force_direction(-1)
    assert distance(*both) < 1e-12


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_no_crossing_in_ten_thousand_rows(dtype):
    """Of random networks, whose rises reach from 0 to thousands, in batches and alone."""
    rng = np.random.default_rng(4)
    levels = ", ".join(f"{level:.2f}" for level in np.linspace(0.05, 0.95, 19))
    for scale in (0.1, 3, 300):
        net = fcnn.Network((6, 20, 3 * 19), "silu", loss=f"quantile({levels})", dtype=dtype, rng=5)
        net.parameters *= scale
        X = rng.normal(0, 3, (10_000, 6)).astype(dtype)
        outputs = net.predict(X).reshape(10_000, 19, 3)
        assert (np.diff(outputs, axis=1) >= 0).all()
        assert (np.diff([net.predict(x).reshape(19, 3) for x in X[:50]], axis=1) >= 0).all()


# --- Wherever y is compared ----------------------------------------------------------------------


@each_loss
def test_every_way_in_takes_a_column_for_each_target(loss, tmp_path):
    X, y = data()
    net = network(loss)
    assert net.num_targets == 2
    value = net.gradients(X, y)[0]
    assert net.evaluate(X, y)["loss"] == pytest.approx(value, rel=1e-12)
    assert net.trace(X, y).loss == pytest.approx(value, rel=1e-12)
    each = net.sample_gradients(X, y)
    for i in (0, 150):
        assert each[i].tobytes() == net.gradients(X[i], y[i])[1].tobytes()
    assert distance(each.mean(axis=0), net.gradients(X, y)[1]) < 1e-12
    # Lists, columns apart, float32: what Python converts.
    assert net.gradients(X.tolist(), y.tolist())[0] == value
    assert net.gradients(X, np.asfortranarray(y))[0] == value
    assert copy.copy(net).train_step(X, y, fcnn.SGD(0.1)) == value
    trained = [copy.copy(net) for _ in range(3)]
    histories = [trained[0].fit(X, y, epochs=3, validation=(X, y), rng=1)]
    maps = []
    for name, array in (("X", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    histories.append(trained[1].fit(*maps, epochs=3, validation=(X, y), rng=1))
    assert trained[0].parameters.tobytes() == trained[1].parameters.tobytes()
    assert histories[0].validation_loss == histories[1].validation_loss
    assert histories[0].score_name == ("r2" if loss == "gaussian_nll" else "d2")
    trained[2].fit([(X[:100], y[:100]), (X[100:], y[100:])], epochs=2)
    before = net.evaluate(X, y)["loss"]
    for one in trained:
        assert one.evaluate(X, y)["loss"] < before
    minimized = copy.copy(net)
    minimized.fit(X, y, epochs=30, optimizer=fcnn.LBFGS())
    assert minimized.evaluate(X, y)["loss"] < before


@each_loss
def test_one_target_may_be_a_vector(loss):
    X, y = data(m=1)
    net = network(loss, m=1)
    assert net.gradients(X, y[:, 0])[0] == net.gradients(X, y)[0]
    assert net.evaluate(X, y[:, 0]) == net.evaluate(X, y)
    assert net.gradients(X[3], y[3, 0])[0] == net.gradients(X[3:4], y[3:4])[0]
    a, b = copy.copy(net), copy.copy(net)
    a.fit(X, y[:, 0], epochs=1, rng=0)
    b.fit(X, y, epochs=1, rng=0)
    assert a.parameters.tobytes() == b.parameters.tobytes()


@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile"])
def test_other_targets_are_refused_by_their_shape(loss):
    X, y = data()
    net = network(loss)
    wide = np.tile(y, LOSSES[loss])
    kept = net.parameters.copy()
    message = r"y: expected shape \(200, 2\)"
    for wrong in (wide, y[:, :1], y[:, 0]):
        for call in (
            net.gradients, net.evaluate, net.trace, net.sample_gradients, net.check_gradients,
            lambda X, y: net.train_step(X, y, fcnn.Adam()), net.fit,
            lambda X, y: net.fit(X, y, optimizer=fcnn.LBFGS()),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=message):
                call(X, wrong)
    with pytest.raises(ValueError, match="y of batch 1: expected shape"):
        net.fit([(X, wide)])
    with pytest.raises(ValueError, match="validation y: expected shape"):
        net.fit(X, y, validation=(X, wide))
    with pytest.raises(ValueError, match="y: expected finite numbers"):
        net.gradients(X, np.where(y > 2, np.nan, y) if (y > 2).any() else y * np.nan)
    assert net.parameters.tobytes() == kept.tobytes()


@each_loss
def test_a_derivative_of_one_s_own_has_a_column_for_each_output(loss):
    X, y = data()
    net = network(loss)
    n_L = net.sizes[-1]
    trace = net.trace(X, y)
    _, gradient = net.gradients(X, delta=trace.delta[-1])
    assert distance(gradient, net.gradients(X, y)[1]) < 1e-12
    v = np.random.default_rng(6).normal(size=(200, n_L))
    _, of_a = net.gradients(X, y, loss=lambda a, y: (float((v * a).sum()), v))
    expected = sum(
        v[i] @ np.array([(fcnn_parameter_jacobian(net, X[i], k)) for k in range(n_L)])
        for i in range(3)
    )
    _, of_three = net.gradients(X[:3], None, loss=lambda a, _: (0.0, v[:3]))
    assert distance(of_three, expected) < 1e-12
    assert np.isfinite(of_a).all()


def fcnn_parameter_jacobian(net, x, k):
    """The gradient of output k by all parameters, in NumPy's twin."""
    twin = reference.Network.like(net)
    z, a = twin.forward(x[None])
    d = np.zeros_like(a[-1])
    d[0, k] = 1
    gradient = np.empty_like(twin.parameters)
    dW, db = twin._views(gradient)
    for l in range(twin.L, 0, -1):
        delta = twin._derivative(l, z, a, d, back=True)
        dW[l][:], db[l][:] = delta.T @ a[l - 1], delta[0]
        d = delta @ twin.W[l]
    return gradient


@pytest.mark.slow
@each_loss
@pytest.mark.parametrize("hidden", [(9,), (150, 140)])
def test_tiny_and_large_steps_and_threads_have_the_same_bits(loss, hidden):
    X, y = data(700, dtype="float32")
    core = fcnn._dispatch.core
    found = set()
    for tiny in (0, -1):
        core.force_tiny(tiny)
        for n_threads in (1, 2):
            net = network(loss, hidden=hidden, dtype="float32")
            for _ in range(2):
                net.fit(X, y, epochs=1, batch_size=350, rng=0, n_threads=n_threads)
            found.add(net.parameters.tobytes())
    core.force_tiny(-1)
    assert len(found) == 1


@each_loss
def test_files_copies_and_pickles_keep_the_loss(loss, tmp_path):
    X, y = data()
    net = network(loss)
    net.save(tmp_path / "net.safetensors")
    for other in (
        fcnn.load(tmp_path / "net.safetensors"), copy.copy(net), copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
    ):  # fmt: skip
        assert (other.loss, other.activations, other.num_targets) == (
            net.loss, net.activations, 2,
        )  # fmt: skip
        assert other.predict(X).tobytes() == net.predict(X).tobytes()
        assert other.gradients(X, y)[0] == net.gradients(X, y)[0]
    assert f"loss {loss}" in net.summary()
    assert eval(repr(net), {"Network": fcnn.Network}).loss == loss


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "loss", "message"),
    [
        ((3, 5), "gaussian_nll", "sizes: the loss gaussian_nll has 2 outputs .* got 5"),
        ((3, 4), "quantile", "sizes: the loss quantile has 3 outputs .* got 4"),
        ((3, 3), "quantile(0.1, 0.9)", "has 2 outputs for each target.* got 3"),
        ((3, 2), "quantile(0.9, 0.1)", "ascending order"),
        ((3, 2), "quantile(0.1, 0.1)", "ascending order"),
        ((3, 2), "quantile(0, 0.5)", "between 0 and 1"),
        ((3, 2), "quantile(0.5, 1)", "between 0 and 1"),
        ((3, 2), "quantile(nan, 0.5)", "between 0 and 1"),
        ((3, 2), "quantile()", "between 0 and 1"),
        ((3, 2), "quantile(0.1, 0.5", "between 0 and 1"),
        ((3, 2), "quantile(0.1; 0.5)", "between 0 and 1"),
        ((3, 2), "squared_error(0.5)", "levels go with quantile alone"),
        ((3, 2), "quantil(0.1, 0.5)", "did you mean 'quantile'"),
    ],
)
def test_a_loss_that_is_none(sizes, loss, message):
    with pytest.raises(ValueError, match=message):
        fcnn.Network(sizes, loss=loss)


def test_spellings():
    for given in ("quantile(0.05, 0.5, 0.95)", "Quantile( .05,0.50 , 95e-2 )", "pinball"):
        assert fcnn.Network((2, 3), loss=given).loss == "quantile"
    assert fcnn.Network((2, 2), loss="quantile(.1,.9)").loss == "quantile(0.1, 0.9)"
    one = fcnn.Network((2, 2), loss="quantile(0.5)")
    assert (one.activations, one.num_targets) == (("identity",), 2)
    assert fcnn.Network((2, 2), loss="Gaussian NLL").loss == "gaussian_nll"


@pytest.mark.parametrize("output", ["identity", "softplus", "tanh"])
def test_quantiles_that_could_cross_are_refused(output):
    with pytest.raises(ValueError, match="does not go with loss 'quantile'; valid: ascending"):
        fcnn.Network((3, 3), output_activation=output, loss="quantile")


@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll", "quantile(0.5)"])
def test_ascending_outputs_are_those_of_quantiles(loss):
    with pytest.raises(ValueError, match="'ascending' does not go with loss"):
        fcnn.Network((3, 2), output_activation="ascending", loss=loss)
    with pytest.raises(ValueError, match="activation: expected"):
        fcnn.Network((3, 2, 3), "ascending", loss="quantile")


@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile"])
def test_what_has_no_meaning_is_refused_by_name(loss):
    X, y = data()
    net = network(loss)
    with pytest.raises(ValueError, match=f"LevenbergMarquardt trains with .*, got {loss}"):
        net.fit(X, y, optimizer=fcnn.LevenbergMarquardt())
    with pytest.raises(ValueError, match="label_smoothing: "):
        net.fit(X, y, label_smoothing=0.1)
    with pytest.raises(ValueError, match="class_weight: "):
        net.fit(X, y, class_weight="balanced")
    preparation = Preparation.of_numbers(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"target: names 3 numbers for 2 targets"):
        fcnn.Model(net, preparation, Target(["a", "b", "c"]))
    with pytest.raises(ValueError, match=f"target: {loss} is of numbers, got 2 classes"):
        fcnn.Model(net, preparation, Target(["a"], ["yes", "no"]))


def test_a_log_variance_that_overflows_ends_the_training_with_its_weights():
    net = network("gaussian_nll", m=1, hidden=())
    X, y = data(m=1)
    net.biases[0][1] = -1500
    kept = net.parameters.copy()
    with pytest.raises(fcnn.DivergenceError):
        net.fit(X, y)
    assert net.parameters.tobytes() == kept.tobytes()


# --- Scores --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_scores():
    X, y = data()
    net = network("gaussian_nll")
    net.fit(X, y, epochs=50)
    assert net.evaluate(X, y)["r2"] == pytest.approx(metrics.r2(net.predict(X)[:, :2], y))
    sklearn = pytest.importorskip("sklearn.metrics")
    net = network("quantile")
    net.fit(X, y, epochs=50)
    outputs = net.predict(X).reshape(200, 3, 2)
    weight = np.random.default_rng(0).integers(0, 3, 200)
    for w in (None, weight):
        expected = [
            sklearn.d2_pinball_score(y[:, k], outputs[:, i, k], alpha=q, sample_weight=w)
            for i, q in enumerate((0.05, 0.5, 0.95)) for k in range(2)
        ]  # fmt: skip
        # scikit-learn's constants are quantiles between two targets, not the best ones.
        assert net.evaluate(X, y, w)["d2"] == pytest.approx(np.mean(expected), abs=5e-3)
    losses = metrics.pinball(net.predict(X), y, (0.05, 0.5, 0.95)).mean(axis=0).reshape(3, 2)
    for i, q in enumerate((0.05, 0.5, 0.95)):
        for k in range(2):
            expected = sklearn.mean_pinball_loss(y[:, k], outputs[:, i, k], alpha=q)
            assert losses[i, k] == pytest.approx(expected, rel=1e-12)


def test_d2_of_constants():
    y = np.random.default_rng(0).normal(size=(99, 1))
    best = np.sort(y, axis=0)[[9, 49]].T.repeat(99, axis=0)
    levels = (0.1, 0.5)
    assert metrics.d2_quantile(best, y, levels) == pytest.approx(0, abs=1e-12)
    assert metrics.d2_quantile(best + 0.1, y, levels) < 0
    assert metrics.d2_quantile(np.tile(y, 2), y, levels) == 1
    twice = np.vstack([y, y[:30]])
    counts = np.where(np.arange(99) < 30, 2.0, 1.0)
    both = np.vstack([best, best[:30]])
    assert metrics.d2_quantile(best + y, y, levels, counts) == pytest.approx(
        metrics.d2_quantile(both + twice, twice, levels)
    )
    same = np.ones((5, 1))
    assert metrics.d2_quantile(np.tile(same, 2), same, levels) == 1
    assert metrics.d2_quantile(np.tile(same + 1, 2), same, levels) == 0


def test_coverage():
    y = np.array([0.0, 1.0, 2.0, 3.0])
    assert metrics.coverage(y * 0, y * 0 + 2, y) == 0.75
    assert metrics.coverage(y * 0, y * 0 + 2, y, np.array([1.0, 1, 1, 5])) == 3 / 8
    two = np.column_stack([y, y])
    assert metrics.coverage(two, two - np.array([[0, 1]]), two) == 0.5


# --- Intervals that hold what they promise -------------------------------------------------------


def heteroscedastic(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (rows, 1))
    return x, np.sin(2 * x) + (0.1 + 0.3 * np.abs(x)) * rng.normal(size=(rows, 1))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile"])
def test_intervals_of_known_noise(loss):
    x, y = heteroscedastic(4000, 0)
    net = fcnn.Network((1, 32, LOSSES[loss]), "tanh", loss=loss)
    net.fit(x, y, epochs=60, optimizer=fcnn.Adam(0.01), schedule=fcnn.schedules.Cosine())
    x, y = heteroscedastic(20_000, 1)
    a = net.predict(x)
    spread = 0.1 + 0.3 * np.abs(x[:, 0])
    if loss == "gaussian_nll":
        found = np.exp(a[:, 1] / 2)
        low, high = a[:, 0] - 1.645 * found, a[:, 0] + 1.645 * found
    else:
        low, high = a[:, 0], a[:, 2]
        found = (high - low) / (2 * 1.645)
    assert np.median(np.abs(np.log(found / spread))) < 0.1
    assert 0.87 < metrics.coverage(low, high, y[:, 0]) < 0.93


# --- Tables --------------------------------------------------------------------------------------


def model_of(loss, m=2, dtype="float64"):
    """A model with scaled targets that is not trained, and a table for it."""
    rng = np.random.default_rng(4)
    table = {"a": rng.normal(size=40), "c": rng.choice(["x", "y"], 40)}
    y = rng.normal(size=(40, m)) * [300.0, 0.01][:m] + [5000.0, -7.0][:m]
    preparation = Preparation.fit(table)
    each = fcnn._dispatch.core.outputs_per_target(loss)
    net = fcnn.Network((preparation.width, 6, each * m), "tanh", loss=loss, dtype=dtype, rng=5)
    net.biases[-1][...] = rng.normal(size=each * m)
    target = Target(["one", "two"][:m]).scaled(y)
    return fcnn.Model(net, preparation, target), table, y


@pytest.mark.parametrize("m", [1, 2])
@each_loss
def test_a_model_answers_in_the_units_of_its_targets(loss, m, tmp_path):
    model, table, y = model_of(loss, m)
    outputs = model.network.predict(model.prepare(table)).reshape(40, -1, m)  # part by part
    mean, std = y.mean(axis=0), y.std(axis=0)
    answers = model.predict(table)
    if loss == "gaussian_nll":
        expected, central = outputs[:, 0] * std + mean, 0
        _, spread = model.predict(table, return_std=True)
        np.testing.assert_allclose(
            spread.reshape(40, m), np.exp(outputs[:, 1] / 2) * std, rtol=1e-12
        )
    else:
        levels = model.levels
        expected = outputs * std + mean
        central = int(np.argmin(np.abs(np.array(levels) - 0.5)))
        expected = expected[:, 0] if len(levels) == 1 else expected.transpose(0, 2, 1)
        with pytest.raises(ValueError, match="return_std: only the loss gaussian_nll"):
            model.predict(table, return_std=True)
    np.testing.assert_allclose(answers, expected[:, 0] if m == 1 else expected, rtol=1e-12)
    row = {"a": table["a"][3], "c": table["c"][3]}
    np.testing.assert_array_equal(model.predict(row), answers[3])

    scores = model.evaluate(table, y)
    of = (outputs * std + mean)[:, central]
    np.testing.assert_allclose(scores["rmse"], np.sqrt(((of - y) ** 2).mean(axis=0)).squeeze())
    if len(model.levels) > 1:
        low, high = outputs[:, 0] * std + mean, outputs[:, -1] * std + mean
        assert scores["coverage"] == ((low <= y) & (y <= high)).mean()
    else:
        assert "coverage" not in scores
    if not model.levels:
        assert "d2" not in scores
    else:  # of unscaled numbers, by the definition
        d2 = []
        for j, level in enumerate(model.levels):
            best = np.quantile(y, level, axis=0, method="inverted_cdf")
            of_network, of_best = (
                np.maximum(level * (y - a), (level - 1) * (y - a)).mean(axis=0)
                for a in (outputs[:, j] * std + mean, best)
            )
            d2.append(1 - of_network / of_best)
        np.testing.assert_allclose(scores["d2"], np.mean(d2), rtol=1e-10)

    model.save(tmp_path / "m.safetensors")
    again = fcnn.load(tmp_path / "m.safetensors")
    assert again.predict(table).tobytes() == answers.tobytes()
    assert again.network.loss == loss


@pytest.mark.parametrize("loss", ["quantile(0.9)", "quantile(0.1, 0.9)"])
def test_right_quantiles_are_not_warned_of(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=4000)
    y = X[:, np.newaxis] * 0.5 + rng.normal(size=(4000, 1))
    levels = levels_of(loss)
    net = fcnn.Network((1, len(levels)), loss=loss, dtype="float64")
    model = fcnn.Model(net, Preparation.fit({"a": X}), Target(["y"]))
    right = X[:, np.newaxis] * 0.5 + np.array([{0.1: -1, 0.9: 1}[q] for q in levels]) * 1.2815516
    scores = model.scores(right, y)
    assert scores.r2[0] < 0  # as every right one of these
    assert scores.d2[0] > 0.05
    assert scores.warnings == ()
    constant = np.repeat(np.quantile(y, levels)[np.newaxis], 4000, axis=0)
    for useless in (constant, right[::-1], right * np.nan):
        (text,) = model.scores(useless, y).warnings
        assert text.startswith("the network is no better than always answering the same quantiles")
    (text,) = model.scores(right, y * 0).warnings
    assert "all targets are 0" in text


@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile"])
def test_a_model_as_a_graph_has_its_outputs_in_those_units(loss):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    model, table, _ = model_of(loss, 2)
    graph = ReferenceEvaluator(convert.to_onnx(model))
    inputs = {
        "a": table["a"][:, np.newaxis], "c": np.array(table["c"], object)[:, np.newaxis],
    }  # fmt: skip
    (found,) = graph.run(None, inputs)
    if loss == "gaussian_nll":
        mean, std = model.predict(table, return_std=True)
        expected = np.hstack([mean, 2 * np.log(std)])
    else:
        expected = model.predict(table).transpose(0, 2, 1).reshape(40, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        ("gaussian_nll", ["prediction", "std"]),
        ("quantile(0.1, 0.9)", ["quantile_0.1", "quantile_0.9"]),
        ("quantile", ["quantile_0.05", "quantile_0.5", "quantile_0.95"]),
        ("quantile(0.3)", ["prediction"]),
    ],
)
def test_the_command_trains_and_answers(loss, columns, tmp_path, capsys):
    from fcnn.cli.main import main

    rng = np.random.default_rng(0)
    a = rng.uniform(-2, 2, 600)
    y = 1000 * (np.sin(a) + (0.1 + 0.2 * np.abs(a)) * rng.normal(size=a.size)) + 5e4
    lines = [f"{u!r},{v!r}" for u, v in zip(a.tolist(), y.tolist(), strict=True)]
    data, path = tmp_path / "t.csv", tmp_path / "t.safetensors"
    data.write_text("a,y\n" + "\n".join(lines))
    options = ["--target", "y", "--loss", loss, "--output", str(path), "--epochs", "20"]
    assert main(["train", str(data), *options, "--cv", "2"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "target standardized for training" in told
    told = " ".join(told.split())  # lines are as long as the terminal
    assert ("between the quantiles" in told) is (len(columns) > 1 and "quantile" in loss)
    assert main(["predict", str(path), str(data), "--append"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split(",") == ["a", "y", *columns]
    numbers = np.loadtxt(printed.out.splitlines()[1:], delimiter=",")[:, 2:]
    model = fcnn.load(path)
    assert model.network.loss == loss
    if loss == "gaussian_nll":
        expected = np.stack(model.predict({"a": a}, return_std=True), axis=1)
        wide = np.abs(a) > 1.5
        assert expected[wide, 1].mean() > 1.5 * expected[np.abs(a) < 0.5, 1].mean()
    else:
        expected = model.predict({"a": a}).reshape(len(a), -1)
    np.testing.assert_array_equal(numbers, expected)
    assert "r2 0." in printed.err
    assert main(["inspect", str(path)]) == 0
    assert f"loss {loss}" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    page = tmp_path / "r.html"
    assert main(["report", str(path), str(data), "--output", str(page)]) == 0
    assert f">{loss.replace('_', ' ')}</" in page.read_text()


@pytest.mark.parametrize("loss", ["gaussian_nll", "quantile"])
def test_the_command_takes_a_network_alone(loss, tmp_path, capsys):
    from fcnn.cli.main import main

    net = network(loss)
    net.save(tmp_path / "net.safetensors")
    assert main(["inspect", str(tmp_path / "net.safetensors")]) == 0
    assert f"loss {loss}" in capsys.readouterr().out
    np.savetxt(tmp_path / "x.csv", np.ones((4, 3)), delimiter=",")
    assert main(["predict", str(tmp_path / "net.safetensors"), str(tmp_path / "x.csv")]) == 0
    kinds = ["prediction", "std"] if loss == "gaussian_nll" else [
        "quantile_0.05", "quantile_0.5", "quantile_0.95"]  # fmt: skip
    header = capsys.readouterr().out.splitlines()[0].split(",")
    assert header == [f"{kind}_{k}" for k in (1, 2) for kind in kinds]


@pytest.mark.parametrize("loss", ["quantile(0.9,0.1)", "quantile(2)", "huber(0.5)", "quantiles"])
def test_the_command_refuses_what_is_no_loss(loss, tmp_path, capsys):
    from fcnn.cli.main import main

    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    assert main(["train", str(tmp_path / "t.csv"), "--target", "y", "--loss", loss]) == 2
    assert "argument --loss: " in capsys.readouterr().err


# --- Other makers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@each_loss
def test_onnx_has_the_quantiles_themselves(loss, dtype):
    pytest.importorskip("onnx")
    net = network(loss, dtype=dtype, rng=3)
    for b in net.biases:
        b[...] = np.random.default_rng(1).normal(size=b.shape)
    net.biases[-1][-1] = 30
    X = data(50, dtype=dtype)[0]
    if dtype == "float32":
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(convert.to_onnx(net).SerializeToString())
    else:  # for which ONNX Runtime has no Softplus
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(convert.to_onnx(net))
    for rows in (X, X[:1]):
        (a,) = session.run(None, {"x": rows})
        assert distance(a, net.predict(rows)) < 10 * TOLERANCE[dtype]
        several = a.reshape(len(rows), -1, 2)
        assert loss == "gaussian_nll" or (np.diff(several, axis=1) >= 0).all()
    if loss in ("gaussian_nll", "quantile(0.8)"):
        again = convert.from_onnx(convert.to_onnx(net))
        assert again.predict(X).tobytes() == net.predict(X).tobytes()
    else:
        with pytest.raises(ValueError, match=r"node 'ascending\.\w+"):
            convert.from_onnx(convert.to_onnx(net))


def test_what_others_do_not_have_is_refused_by_name():
    net = network("quantile")
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"net: .* output activation ascending"):
        convert.to_torch(net)
    pytest.importorskip("sklearn")
    for loss in LOSSES:
        with pytest.raises(ValueError, match=r"net: scikit-learn has no .* outputs with loss"):
            convert.to_sklearn(network(loss))
    state = {"weight": np.ones((4, 3)), "bias": np.ones(4)}
    for loss, message in (("gaussian_nll", None), ("quantile(0.1, 0.9)", None),
                          ("quantile", "sizes: the loss quantile has 3 outputs")):  # fmt: skip
        if message is None:
            assert convert.from_torch(state, loss=loss).loss == loss
        else:
            with pytest.raises(ValueError, match=message):
                convert.from_torch(state, loss=loss)
