"""What the estimators have in addition to scikit-learn's."""

import re
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")

import scipy.sparse
import sklearn.neural_network as theirs
from conftest import slow_but
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_sample_weight

import fcnn
from fcnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_DIGITS, Y_DIGITS = load_digits(return_X_y=True)
X_DIGITS, Y_DIGITS = X_DIGITS[:300] / 16, Y_DIGITS[:300]
X_DIABETES, Y_DIABETES = load_diabetes(return_X_y=True)
X_DIABETES, Y_DIABETES = scale(X_DIABETES)[:200], Y_DIABETES[:200] / 100
GIVEN = {"hidden_layer_sizes": (9, 5), "random_state": 3, "max_iter": 10, "activation": "tanh"}


def digits(**parameters):
    return MLPClassifier(**GIVEN | parameters)


def diabetes(**parameters):
    return MLPRegressor(**GIVEN | parameters)


def change(fitted, start):
    """The flat difference between two fitted estimators' parameters."""
    return fitted.network_.parameters - start.network_.parameters


def one_update(estimator, X, y, **fit):
    """An estimator after one update with all samples, and before it."""
    estimator.set_params(max_iter=1, batch_size=len(X), shuffle=False)
    after = clone(estimator).fit(X, y, **fit)
    before = clone(estimator).set_params(learning_rate_init=1e-300).fit(X, y, **fit)
    return after, before


# --- Activations and losses ----------------------------------------------------------------------


def test_a_list_of_one_activation():
    name = digits().fit(X_DIGITS, Y_DIGITS)
    names = digits(activation=["tanh", "tanh"]).fit(X_DIGITS, Y_DIGITS)
    np.testing.assert_array_equal(name.network_.parameters, names.network_.parameters)


@pytest.mark.parametrize("activation", [["logistic", "relu"], ("relu", "logistic")])
def test_a_list_of_activations(activation):
    mixed = digits(activation=activation).fit(X_DIGITS, Y_DIGITS)
    expected = tuple(activation[i].replace("logistic", "sigmoid") for i in (0, 1))
    assert mixed.network_.activations == (*expected, "softmax")
    # Each layer's initial weights are those of its own activation.
    bounds = [np.abs(W).max() ** 2 * sum(W.shape)
              for W in clone(mixed).set_params(learning_rate_init=1e-300, max_iter=1)
              .fit(X_DIGITS, Y_DIGITS).coefs_]  # fmt: skip
    factors = [2 if a == "logistic" else 6 for a in (*activation, activation[-1])]
    np.testing.assert_allclose(bounds, factors, rtol=0.15)


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "elu", "gelu", "silu", "softplus", "leaky_relu(0.2)"]
)
@pytest.mark.parametrize("solver", slow_but(["adam"], ["adam", "lbfgs"]))
def test_further_activations(activation, solver):
    estimator = diabetes(
        activation=activation, solver=solver, max_iter=100, learning_rate_init=0.01
    )
    estimator.fit(X_DIABETES, Y_DIABETES)
    assert estimator.network_.activations == (activation, activation, "identity")
    assert estimator.loss_ < 0.5 * np.var(Y_DIABETES)
    twin = fcnn.Network((10, 9, 5, 1), activation, loss="squared_error", dtype="float64")
    twin.parameters = estimator.network_.parameters
    np.testing.assert_allclose(twin.predict(X_DIABETES).ravel(), estimator.predict(X_DIABETES))


def quantile_loss(y, a, q):
    return np.where(a < y, q * (y - a), (1 - q) * (a - y))


LOSSES = {
    "absolute_error": lambda y, a: np.abs(a - y),
    "huber": lambda y, a: np.where(np.abs(a - y) > 1, np.abs(a - y) - 0.5, (a - y) ** 2 / 2),
    "quantile": lambda y, a: quantile_loss(y, a, 0.8),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("loss", LOSSES)
def test_further_losses(loss, solver, weighted):
    """The loss is the one in the docs, the first step goes down its slope by differences."""
    y = np.column_stack([Y_DIABETES, -3 * Y_DIABETES])
    weight = np.random.default_rng(0).uniform(0, 3, len(y)) if weighted else None
    given = {"loss": loss, "alpha": 30.0, "momentum": 0.0, "solver": "sgd"}
    if loss == "quantile":
        given["quantile"] = 0.8
    estimator = diabetes(**given, learning_rate_init=1e-4)
    after, before = one_update(estimator, X_DIABETES, y, sample_weight=weight)
    network = before.network_
    start = network.parameters.copy()

    def total(parameters):
        network.parameters = parameters
        costs = LOSSES[loss](y, network.predict(X_DIABETES)).sum(axis=1)
        penalty = sum((W**2).sum() for W in network.weights)
        count = len(y) if weight is None else weight.sum()
        return np.average(costs, weights=weight) + 30 / count / 2 * penalty

    moves = 1e-5 * np.eye(len(start))
    slopes = np.array([(total(start + move) - total(start - move)) / 2e-5 for move in moves])
    if solver == "sgd":
        assert after.loss_ == pytest.approx(total(start), rel=1e-9)
        step = (after.network_.parameters - start) / 1e-4
        assert np.linalg.norm(step + slopes) < 0.02 * np.linalg.norm(slopes)
    else:
        estimator.set_params(solver="lbfgs").fit(X_DIABETES, y, sample_weight=weight)
        assert estimator.loss_ == pytest.approx(total(estimator.network_.parameters), rel=1e-9)
        assert estimator.loss_ < total(start)
        step = estimator.network_.parameters - start
        cosine = step @ slopes / np.linalg.norm(step) / np.linalg.norm(slopes)
        assert cosine == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_quantiles_are_quantiles(q):
    estimator = diabetes(loss="quantile", quantile=q, max_iter=300, learning_rate_init=0.01)
    below = Y_DIABETES < estimator.fit(X_DIABETES, Y_DIABETES).predict(X_DIABETES)
    assert below.mean() == pytest.approx(q, abs=0.08)


def test_the_middle_quantile_is_half_the_absolute_error():
    given = {"solver": "sgd", "alpha": 0.0, "tol": 0}
    half = diabetes(loss="quantile", learning_rate_init=0.02, **given)
    whole = diabetes(loss="absolute_error", learning_rate_init=0.01, **given)
    a, b = (e.fit(X_DIABETES, Y_DIABETES) for e in (half, whole))
    np.testing.assert_allclose(2 * np.array(a.loss_curve_), b.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(a.predict(X_DIABETES), b.predict(X_DIABETES), rtol=1e-9)
    sparse = half.fit(scipy.sparse.csr_array(X_DIABETES), Y_DIABETES)
    np.testing.assert_allclose(sparse.predict(X_DIABETES), b.predict(X_DIABETES), rtol=1e-9)


# --- Regularization ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "quantile"])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_dropout(loss, kind):
    X = kind(X_DIABETES)
    plain = diabetes(loss=loss).fit(X, Y_DIABETES)
    dropped = diabetes(loss=loss, dropout=0.3)
    first, second = (clone(dropped).fit(X, Y_DIABETES) for _ in range(2))
    np.testing.assert_array_equal(first.network_.parameters, second.network_.parameters)
    np.testing.assert_array_equal(first.predict(X), first.predict(X))
    assert np.abs(change(first, plain)).max() > 1e-3
    other = clone(dropped).set_params(random_state=4).fit(X, Y_DIABETES)
    assert np.abs(change(other, first)).max() > 1e-3
    # Other nodes in each epoch: with weights that stand still the loss still moves.
    still = clone(dropped).set_params(learning_rate_init=1e-300, shuffle=False).fit(X, Y_DIABETES)
    assert len(set(still.loss_curve_)) == still.n_iter_
    same = clone(dropped).set_params(dropout=(0, 0.3, 0.3)).fit(X, Y_DIABETES)
    np.testing.assert_array_equal(first.network_.parameters, same.network_.parameters)


def test_dropped_inputs_are_not_learned_from():
    estimator = diabetes(dropout=[0.95, 0.0, 0.0], solver="sgd", momentum=0.0, alpha=0.0)
    after, before = one_update(estimator, X_DIABETES[:1], Y_DIABETES[:1])
    moved = np.abs(after.coefs_[0] - before.coefs_[0]).max(axis=1) > 0
    assert moved.sum() <= 3
    assert np.abs(after.coefs_[1] - before.coefs_[1]).min() > 0


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_label_smoothing(solver):
    """Equal to training on smoothed targets."""
    given = {"hidden_layer_sizes": (5,), "activation": "tanh", "random_state": 0, "solver": solver,
             "alpha": 0.0, "max_iter": 200, "tol": 1e-8, "learning_rate_init": 0.5}  # fmt: skip
    # No network can tell the samples of a class apart, so it learns the targets.
    y = np.repeat([0, 1, 2], 10)
    p = MLPClassifier(label_smoothing=0.3, **given).fit(np.eye(3)[y], y).predict_proba(np.eye(3))
    np.testing.assert_allclose(p, np.where(np.eye(3), 0.8, 0.1), atol=0.01)
    binary = MLPClassifier(label_smoothing=0.3, **given).fit(np.eye(3)[y], y > 0)
    p = binary.predict_proba(np.eye(3))[:, 1]
    np.testing.assert_allclose(p, [0.15, 0.85, 0.85], atol=0.01)
    several = np.column_stack([y == 0, y > 0, y == 1])
    p = MLPClassifier(label_smoothing=0.3, **given).fit(np.eye(3)[y], several)
    expected = [[0.85, 0.15, 0.15], [0.15, 0.85, 0.85], [0.15, 0.85, 0.15]]
    np.testing.assert_allclose(p.predict_proba(np.eye(3)), expected, atol=0.01)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0}, {"a": 0.5, "b": 2, "c": 1}])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weight(solver, class_weight, weighted):
    y = np.array(list("abbccc"))[np.minimum(Y_DIGITS, 5)]
    weight = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else None
    mine = digits(solver=solver, class_weight=class_weight)
    mine.fit(X_DIGITS, y, sample_weight=weight)
    whole = class_weight if class_weight == "balanced" else {"b": 1, "c": 1} | class_weight
    factors = compute_sample_weight(whole, y) * (1 if weight is None else weight)
    reference = theirs.MLPClassifier(**GIVEN, solver=solver)
    reference.fit(X_DIGITS, y, sample_weight=factors)
    np.testing.assert_allclose(mine.predict_proba(X_DIGITS), reference.predict_proba(X_DIGITS),
                               rtol=1e-7)  # fmt: skip
    if solver == "adam" and isinstance(class_weight, dict):
        for rows in (y == "c", y != "c"):  # no batch has every class
            reference.partial_fit(X_DIGITS[rows], y[rows], sample_weight=factors[rows])
            some = None if weight is None else weight[rows]
            mine.partial_fit(X_DIGITS[rows], y[rows], sample_weight=some)
        np.testing.assert_allclose(mine.predict_proba(X_DIGITS), reference.predict_proba(X_DIGITS),
                                   rtol=1e-7)  # fmt: skip


def test_class_weight_of_several_labels():
    X, y = make_multilabel_classification(100, n_classes=2, random_state=0)
    given = [{0: 1, 1: 5}, {0: 2, 1: 1}]
    mine = digits(class_weight=given).fit(X, y)
    reference = theirs.MLPClassifier(**GIVEN)
    reference.fit(X, y, sample_weight=compute_sample_weight(given, y))
    np.testing.assert_allclose(mine.predict_proba(X), reference.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_adamw(alpha):
    given = {"solver": "adamw", "alpha": alpha, "learning_rate_init": 0.01}
    decayed, before = one_update(diabetes(**given, weight_decay=0.5), X_DIABETES, Y_DIABETES)
    plain, _ = one_update(diabetes(**given, weight_decay=0.0), X_DIABETES, Y_DIABETES)
    expected = -0.01 * 0.5 * before.network_.parameters
    np.testing.assert_allclose(change(decayed, plain), expected, atol=1e-12)
    adam, _ = one_update(diabetes(**given | {"solver": "adam"}), X_DIABETES, Y_DIABETES)
    np.testing.assert_allclose(change(plain, before), change(adam, before), rtol=1e-3, atol=1e-6)
    longer = diabetes(**given).fit(X_DIABETES, Y_DIABETES)
    assert longer.partial_fit(X_DIABETES, Y_DIABETES).n_iter_ == 1


@pytest.mark.parametrize("loss", ["squared_error", "quantile"])
def test_clip_norm(loss):
    given = {"loss": loss, "solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1}
    free, before = one_update(diabetes(**given), X_DIABETES, Y_DIABETES)
    clipped, _ = one_update(diabetes(**given, clip_norm=0.01), X_DIABETES, Y_DIABETES)
    step, whole = change(clipped, before), change(free, before)
    assert np.linalg.norm(step) == pytest.approx(0.1 * 0.01, rel=1e-9)
    np.testing.assert_allclose(
        step / np.linalg.norm(step), whole / np.linalg.norm(whole), rtol=1e-6
    )
    loose, _ = one_update(diabetes(**given, clip_norm=1e6), X_DIABETES, Y_DIABETES)
    np.testing.assert_array_equal(loose.network_.parameters, free.network_.parameters)


# --- Watching ------------------------------------------------------------------------------------


def scikit_learns_loss(estimator, X, y, weight=None):
    """The loss without its penalty, as scikit-learn computes it."""
    if isinstance(estimator, theirs.MLPClassifier):
        p = estimator.predict_proba(X)
        if p.ndim == 2 and y.ndim == 2:
            costs = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1)
            return np.average(costs, weights=weight)
        return log_loss(y, p, sample_weight=weight)
    a, y = estimator.predict(X).reshape(len(X), -1), y.reshape(len(X), -1)
    if estimator.loss == "squared_error":
        return np.average((a - y) ** 2 / 2, weights=weight, axis=0).mean()
    if estimator.loss == "poisson":
        y_log_y = np.array([v * np.log(v) if v else 0 for v in y.flat]).reshape(y.shape)
        return np.average((a - y * np.log(a) + y_log_y - y).sum(axis=1), weights=weight)
    return np.average(LOSSES[estimator.loss](y, a).sum(axis=1), weights=weight)


PROBLEMS = {
    "multiclass": (X_DIGITS, Y_DIGITS, {}),
    "binary": (X_DIGITS, Y_DIGITS > 4, {}),
    "multilabel": (X_DIGITS, np.column_stack([Y_DIGITS > 4, Y_DIGITS % 2, Y_DIGITS < 3]) * 1, {}),
    "regression": (X_DIABETES, Y_DIABETES, {}),
    "multioutput": (X_DIABETES, np.column_stack([Y_DIABETES, 2 * Y_DIABETES]), {}),
    "poisson": (X_DIABETES, np.floor(Y_DIABETES), {"loss": "poisson"}),
    "quantile": (X_DIABETES, Y_DIABETES, {"loss": "quantile", "quantile": 0.8}),
}


@pytest.mark.parametrize("weighted", slow_but([True], [False, True]))
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_eval_set(solver, problem, weighted):
    X, y, parameters = PROBLEMS[problem]
    make = diabetes if X is X_DIABETES else digits
    estimator = make(solver=solver, **parameters)
    weight = np.random.default_rng(0).uniform(0, 3, 60) if weighted else None
    held_out = (X[-60:], y[-60:], weight) if weighted else (X[-60:], y[-60:])
    plain = clone(estimator).fit(X[:-60], y[:-60])
    watched = clone(estimator).fit(X[:-60], y[:-60], eval_set=held_out)
    np.testing.assert_array_equal(watched.network_.parameters, plain.network_.parameters)
    assert plain.validation_loss_curve_ is None
    curve = watched.validation_loss_curve_
    assert len(curve) == watched.n_iter_ == plain.n_iter_
    assert curve[-1] == pytest.approx(scikit_learns_loss(watched, *held_out), rel=1e-9)
    third = clone(estimator).set_params(max_iter=3).fit(X[:-60], y[:-60])
    assert curve[2] == pytest.approx(scikit_learns_loss(third, *held_out), rel=1e-9)
    sparse = (scipy.sparse.csc_array(held_out[0]), *held_out[1:])
    again = clone(estimator).fit(X[:-60], y[:-60], eval_set=sparse)
    np.testing.assert_allclose(again.validation_loss_curve_, curve, rtol=1e-12)


@pytest.mark.parametrize("problem", ["multiclass", "binary", "multilabel", "regression"])
def test_early_stopping_on_an_eval_set(problem):
    X, y, parameters = PROBLEMS[problem]
    make = diabetes if X is X_DIABETES else digits
    estimator = make(early_stopping=True, max_iter=40, n_iter_no_change=3, **parameters)
    estimator.fit(X[:-60], y[:-60], eval_set=(X[-60:], y[-60:]))
    assert len(estimator.validation_scores_) == estimator.n_iter_
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)
    # The best weights are there at the end, and all of the training data were trained on.
    assert estimator.score(X[-60:], y[-60:]) == pytest.approx(estimator.best_validation_score_)
    assert estimator.t_ == estimator.n_iter_ * (len(X) - 60)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_callbacks(solver):
    seen = []

    def stop(progress):
        seen.append((progress.epoch, progress.history.loss[-1], progress.network.parameters.copy()))
        return progress.epoch == 4

    estimator = digits(solver=solver, callbacks=[stop]).fit(X_DIGITS, Y_DIGITS)
    assert estimator.n_iter_ == 4
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3, 4]
    assert seen[-1][1] == estimator.loss_
    np.testing.assert_array_equal(seen[-1][2], estimator.network_.parameters)
    for count in (1, 3):
        shorter = digits(solver=solver, max_iter=count).fit(X_DIGITS, Y_DIGITS)
        np.testing.assert_array_equal(seen[count - 1][2], shorter.network_.parameters)


@pytest.mark.slow
def test_fcnns_callbacks(tmp_path):
    stopping = fcnn.EarlyStopping(patience=2)
    path = tmp_path / "net.safetensors"
    checkpoint = fcnn.ModelCheckpoint(path, save_best_only=True)
    estimator = digits(callbacks=[stopping, checkpoint], max_iter=200, learning_rate_init=0.05)
    held_out = (X_DIGITS[200:], Y_DIGITS[200:])
    estimator.fit(X_DIGITS[:200], Y_DIGITS[:200], eval_set=held_out)
    curve = estimator.validation_loss_curve_
    assert len(curve) < 200
    assert stopping.best == min(curve)
    assert scikit_learns_loss(estimator, *held_out) == pytest.approx(min(curve), rel=1e-9)
    np.testing.assert_array_equal(fcnn.load(path).parameters, estimator.network_.parameters)


@pytest.mark.parametrize("way", ["tol", "max_iter", "partial_fit", "lbfgs"])
def test_a_checkpoint_has_the_last_iteration_whatever_ends_the_training(way, tmp_path):
    path = tmp_path / "net.safetensors"
    more = {"tol": {"tol": 1.0, "n_iter_no_change": 2}, "lbfgs": {"solver": "lbfgs"}}.get(way, {})
    estimator = digits(callbacks=[fcnn.ModelCheckpoint(path, every=7)], max_iter=11, **more)
    for _ in range(3 if way == "partial_fit" else 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            if way == "partial_fit":
                estimator.partial_fit(X_DIGITS, Y_DIGITS, classes=np.unique(Y_DIGITS))
            else:
                estimator.fit(X_DIGITS, Y_DIGITS)
        assert estimator.n_iter_ % 7
        np.testing.assert_array_equal(fcnn.load(path).parameters, estimator.network_.parameters)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_max_time(solver):
    def wait(progress):
        time.sleep(0.02)

    estimator = digits(solver=solver, max_time=0.05, callbacks=[wait], max_iter=1000)
    with pytest.warns(ConvergenceWarning, match=re.escape("Maximum time (0.05 s) reached")):
        estimator.fit(X_DIGITS, Y_DIGITS)
    assert 1 <= estimator.n_iter_ <= 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        digits(max_time=100, tol=10.0, max_iter=20, solver=solver).fit(X_DIGITS, Y_DIGITS)


def test_printed_validation_losses(capsys):
    digits(verbose=True, max_iter=2).fit(X_DIGITS, Y_DIGITS, eval_set=(X_DIGITS, Y_DIGITS))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["Iteration", "Validation"] * 2


# --- Threads -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "dropout"),
    [("sgd", 0.0), ("sgd", 0.3), ("adam", 0.0), ("adam", 0.3), ("lbfgs", 0.0)],
)
def test_threads_change_no_bit(solver, dropout):
    given = {"solver": solver, "dropout": dropout, "hidden_layer_sizes": (200, 100)}
    one, two = (digits(**given, n_threads=n).fit(X_DIGITS, Y_DIGITS) for n in (1, 2))
    np.testing.assert_array_equal(one.network_.parameters, two.network_.parameters)
    np.testing.assert_array_equal(one.predict_proba(X_DIGITS), two.predict_proba(X_DIGITS))


# --- Errors --------------------------------------------------------------------------------------


BAD_VALUES = [
    ("activation", ["relu"]),
    ("activation", ["relu", "none"]),
    ("activation", ["relu", 3]),
    ("activation", "softmax"),
    ("solver", "rmsprop"),
    ("dropout", 1.0),
    ("dropout", -0.1),
    ("dropout", "some"),
    ("dropout", [0.1, 0.1]),
    ("dropout", [0.1, 0.1, 1.0]),
    ("dropout", [0.1, "a", 0.1]),
    ("weight_decay", -1.0),
    ("clip_norm", 0),
    ("clip_norm", "1"),
    ("callbacks", print),
    ("callbacks", [3]),
    ("max_time", 0),
    ("n_threads", 0),
    ("n_threads", 1.5),
    ("label_smoothing", 1.0),
    ("class_weight", "heavy"),
    ("quantile", 0.0),
    ("quantile", 1),
    ("loss", "hinge"),
    ("hidden_layer_sizes", (5.0, 3)),
    ("hidden_layer_sizes", ("5", 3)),
]


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (make, name, value)
        for make in (digits, diabetes)
        for name, value in BAD_VALUES
        if name in make().get_params()
    ],
)
def test_bad_values(make, name, value):
    with pytest.raises(InvalidParameterError, match=name) as error:
        make(**{name: value}).fit(X_DIGITS, Y_DIGITS)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_parameters_before_fit(name):
    assert not hasattr(digits(), name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}' before fit"):
        getattr(digits(), name)


@pytest.mark.parametrize(
    ("estimator", "given", "message"),
    [
        (MLPClassifier, {"weight_decay": 0.3}, "'weight_decay' .*left out with solver='adam'"),
        (MLPRegressor, {"weight_decay": 0.3, "solver": "lbfgs"}, "left out with solver='lbfgs'"),
        (MLPRegressor, {"quantile": 0.9}, "'quantile' .*left out with loss='squared_error'"),
        (MLPRegressor, {"quantile": 0.9, "quantiles": [0.5], "loss": "quantile"},
         "'quantile' .*left out with quantiles"),
    ],
)  # fmt: skip
def test_parameters_without_effect_are_refused(estimator, given, message):
    with pytest.raises(InvalidParameterError, match=message):
        estimator(**given).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("given", [{"dropout": 0.1}, {"clip_norm": 1.0}])
def test_what_does_not_go_with_lbfgs(given):
    with pytest.raises(InvalidParameterError, match="lbfgs"):
        digits(solver="lbfgs", **given).fit(X_DIGITS, Y_DIGITS)


def test_bad_class_weights():
    with pytest.raises(ValueError, match="classes that are not in y: \\[11\\]"):
        digits(class_weight={11: 2}).fit(X_DIGITS, Y_DIGITS)
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        digits(class_weight="balanced").partial_fit(X_DIGITS, Y_DIGITS, classes=range(10))


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (X_DIGITS, "expected (X, y) or (X, y, sample_weight), got a ndarray"),
        ((X_DIGITS,), "expected (X, y)"),
        ((X_DIGITS[:, 1:], Y_DIGITS), "X has 63 features"),
        ((X_DIGITS, Y_DIGITS[:5]), "inconsistent numbers of samples"),
        ((X_DIGITS, Y_DIGITS + 1), "classes that are not in y: [10]"),
        ((np.full_like(X_DIGITS, np.nan), Y_DIGITS), "Input X contains NaN"),
        ((X_DIGITS, Y_DIGITS, np.ones(3)), "sample_weight.shape"),
    ],
    ids=["array", "X", "features", "lengths", "classes", "NaN", "weights"],
)
def test_bad_eval_sets(held_out, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        digits().fit(X_DIGITS, Y_DIGITS, eval_set=held_out)


def test_an_eval_set_of_other_outputs():
    y = np.ones((len(X_DIABETES), 2))
    with pytest.raises(ValueError, match="eval_set has 2 outputs, y has 1"):
        diabetes().fit(X_DIABETES, Y_DIABETES, eval_set=(X_DIABETES, y))


@pytest.mark.slow
def test_additions_in_a_search():
    search = GridSearchCV(
        digits(max_iter=3, callbacks=[lambda progress: None]),
        {"dropout": [0.0, [0.1, 0.2, 0.3]], "activation": ["relu", ["tanh", "gelu"]]},
        cv=2, error_score="raise",
    )  # fmt: skip
    search.fit(X_DIGITS, Y_DIGITS)
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.parametrize(
    "weights", [{0: 0, 1: 0}, {0: -1, 1: -1}, {0: np.nan}, {0: "3"}, {0: np.inf}], ids=str
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_that_are_none(weights, solver):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    with pytest.raises(InvalidParameterError, match="class_weight"):
        MLPClassifier((4,), solver=solver, class_weight=weights).fit(X, y)
    with pytest.raises(ValueError, match="not in y"):
        MLPClassifier((4,), class_weight={"a": 1, 7: 2}).fit(X, y)


def test_a_class_for_a_callback():
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    with pytest.raises(InvalidParameterError, match="callbacks"):
        MLPClassifier((4,), callbacks=[fcnn.EarlyStopping]).fit(X, y)


def test_negative_weights_are_scikit_learns():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.random.default_rng(1).normal(size=60)
    weight = -np.random.default_rng(2).uniform(0.5, 2, 60)
    arguments = {"activation": "tanh", "random_state": 3, "max_iter": 12, "batch_size": 16}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = MLPRegressor(**arguments).fit(X, y, sample_weight=weight)
        other = theirs.MLPRegressor(**arguments).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-9)
