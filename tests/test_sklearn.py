"""The estimators trained side by side with scikit-learn's: the same numbers, and the same words."""

import contextlib
import copy
import io
import pickle
import pickletools
import tracemalloc
import warnings
from functools import cache

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")

import joblib
import scipy.sparse
import sklearn.neural_network as theirs
from conftest import slow_but
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import scale

import fcnn
import fcnn.sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["sgd", "adam", "lbfgs"]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
TASKS = ["binary", "multiclass", "multilabel", "regression", "multioutput", "poisson"]
# Sums in another order make 1e-15 in a batch. Line searches make more of it in each iteration:
# 4e-6 after 40; a penalty of a wrong sample count makes 1e-4.
TOLERANCE = {"sgd": 1e-10, "adam": 1e-10, "lbfgs": 1e-6}


@cache
def data(task):
    """X, y of 120 to 200 samples, and what the estimator needs to know of the task."""
    if task == "binary":
        X, y = datasets.load_breast_cancer(return_X_y=True)
        return scale(X)[:200], np.array(["benign", "malignant"])[y][:200], {}
    if task == "multiclass":
        X, y = datasets.load_digits(return_X_y=True)
        return X[:200] / 16, y[:200], {}
    if task == "multilabel":
        return *datasets.make_multilabel_classification(120, random_state=0), {}
    if task == "multioutput":
        X, y = datasets.make_regression(150, 10, n_targets=3, noise=5, random_state=0)
        return X, y / 100, {}
    X, y = datasets.load_diabetes(return_X_y=True)
    if task == "poisson":
        return scale(X)[:200], np.round(y[:200] / 50), {"loss": "poisson"}
    return scale(X)[:200], y[:200] / 100, {}


def is_regression(task):
    return task in ("regression", "multioutput", "poisson")


def pair(task, **parameters):
    """Both libraries' estimator for a task, with the same parameters."""
    name = "MLPRegressor" if is_regression(task) else "MLPClassifier"
    given = {"hidden_layer_sizes": (9, 5), "random_state": 3, "max_iter": 15}
    given |= data(task)[2] | parameters
    return getattr(ours, name)(**given), getattr(theirs, name)(**given)


def fit_pair(task, *, sample_weight=None, **parameters):
    X, y, _ = data(task)
    return [e.fit(X, y, sample_weight=sample_weight) for e in pair(task, **parameters)]


def outputs(estimator, X):
    return getattr(estimator, "predict_proba", estimator.predict)(X)


def assert_same(mine, reference, X, rtol=1e-10):
    """Every attribute and the predictions are equal, up to a tolerance."""

    def close(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * (np.abs(b).max() if b.size else 0))

    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mine, name) == getattr(reference, name), name
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_",
                 "best_validation_score_", "_no_improvement_count"):  # fmt: skip
        assert hasattr(mine, name) == hasattr(reference, name), name
        expected = getattr(reference, name, None)
        if expected is None:
            assert getattr(mine, name, None) is None, name
        else:
            close(getattr(mine, name), expected)
    for a, b in zip(
        mine.coefs_ + mine.intercepts_, reference.coefs_ + reference.intercepts_, strict=True
    ):
        assert a.dtype == b.dtype
        close(a, b)
    close(outputs(mine, X), outputs(reference, X))
    if hasattr(reference, "classes_"):
        np.testing.assert_array_equal(mine.classes_, reference.classes_)
        np.testing.assert_array_equal(mine.predict(X), reference.predict(X))


# --- The same numbers ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("activation", slow_but(["relu"], ACTIVATIONS))
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_training_is_scikit_learns(solver, task, activation):
    mine, reference = fit_pair(task, solver=solver, activation=activation, batch_size=48)
    assert_same(mine, reference, data(task)[0], TOLERANCE[solver])


@pytest.mark.slow(reason="two trainings to the end")
def test_the_defaults_on_digits():
    """The defaults, to the end: a path of ReLU may leave scikit-learn's, its score must not."""
    X, y = datasets.load_digits(return_X_y=True)
    train, test = slice(0, 1200), slice(1200, None)
    mine, reference = (
        library.MLPClassifier(random_state=1).fit(X[train], y[train]) for library in (ours, theirs)
    )
    np.testing.assert_allclose(mine.loss_curve_[:20], reference.loss_curve_[:20], rtol=1e-8)
    score, expected = (e.score(X[test], y[test]) for e in (mine, reference))
    assert score == pytest.approx(expected, abs=0.01)
    assert score > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("task", slow_but(["multiclass", "regression"], TASKS))
@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_weights(solver, task):
    X = data(task)[0]
    weight = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    mine, reference = fit_pair(
        task, solver=solver, activation="tanh", batch_size=30, sample_weight=weight
    )
    assert_same(mine, reference, X, TOLERANCE[solver])
    unweighted, _ = fit_pair(task, solver=solver, activation="tanh", batch_size=30)
    assert abs(mine.loss_ / unweighted.loss_ - 1) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", slow_but(["multiclass", "regression"], TASKS))
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_early_stopping(solver, task, weighted):
    X = data(task)[0]
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    mine, reference = fit_pair(
        task, solver=solver, activation="tanh", early_stopping=True, validation_fraction=0.2,
        n_iter_no_change=3, max_iter=60, tol=1e-3, sample_weight=weight,
    )  # fmt: skip
    assert_same(mine, reference, X)
    assert len(mine.validation_scores_) == mine.n_iter_


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "invscaling", "power_t": 0.2, "learning_rate_init": 0.1},
        {"learning_rate": "invscaling", "momentum": 0.0},
        {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2},
        {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1, "early_stopping": True},
        {"momentum": 0.0},
        {"momentum": 0.5, "nesterovs_momentum": False},
        {"momentum": 1.0, "learning_rate_init": 1e-4},
        {"alpha": 1.0},
        {"alpha": 0.0},
        {"shuffle": False},
        {"batch_size": 1, "learning_rate_init": 1e-3, "max_iter": 5},
        {"batch_size": 7},
        {"hidden_layer_sizes": 4},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": np.array([5, 4, 3])},
        {"tol": 0.1, "n_iter_no_change": 2},
        {"tol": 10.0, "n_iter_no_change": np.inf},
        {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2},
        {"solver": "adam", "beta_1": 0.0, "beta_2": 0.0},
        {"solver": "lbfgs", "alpha": 1.0, "tol": 1e-3},
        {"solver": "lbfgs", "max_fun": 7},
        {"random_state": np.random.RandomState(7)},
    ],
    ids=lambda p: "-".join(f"{k}={v}" for k, v in p.items() if k != "random_state"),
)
@pytest.mark.parametrize("task", slow_but(["multiclass"], ["multiclass", "regression"]))
def test_parameters(task, parameters):
    given = {"solver": "sgd", "activation": "tanh", "learning_rate_init": 0.01, "max_iter": 20}
    estimators = pair(task, **given | copy.deepcopy(parameters))
    X, y, _ = data(task)
    mine, reference = (clone(e).fit(X, y) for e in estimators)
    assert_same(mine, reference, X, TOLERANCE[mine.solver])
    if hasattr(reference, "_optimizer"):
        assert mine._optimizer.learning_rate_init == reference._optimizer.learning_rate_init
        if mine.solver == "sgd":
            assert mine._optimizer.learning_rate == reference._optimizer.learning_rate


@pytest.mark.parametrize("task", slow_but(["multiclass", "regression"], TASKS))
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start(solver, task):
    X, y, _ = data(task)
    mine, reference = fit_pair(
        task,
        solver=solver,
        activation="tanh",
        warm_start=True,
        max_iter=6,
        learning_rate="adaptive",
    )
    for estimator in (mine, reference):
        estimator.set_params(max_iter=9, alpha=0.01).fit(X[::-1], y[::-1])
    assert_same(mine, reference, X, TOLERANCE[solver])
    if solver != "lbfgs":
        assert len(mine.loss_curve_) == 15


@pytest.mark.slow
def test_a_second_fit_starts_anew():
    X, y, _ = data("multiclass")
    mine, reference = fit_pair("multiclass", activation="tanh")
    first = mine.loss_curve_
    np.testing.assert_array_equal(mine.fit(X, y).loss_curve_, first)
    # Other data of another shape: everything is replaced.
    for estimator in (mine, reference):
        estimator.fit(*data("binary")[:2])
    assert_same(mine, reference, data("binary")[0])


@pytest.mark.slow
@pytest.mark.parametrize("task", slow_but(["multiclass", "regression"], TASKS))
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit(solver, task):
    X, y, _ = data(task)
    mine, reference = pair(
        task, solver=solver, activation="tanh", batch_size=20, learning_rate="invscaling",
        learning_rate_init=0.1,
    )  # fmt: skip
    for i, rows in enumerate(np.array_split(np.arange(len(X)), 5)):
        options = {}
        if i == 0 and not is_regression(task):
            options["classes"] = range(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if i == 3:
            options["sample_weight"] = np.arange(1.0, len(rows) + 1)
        for estimator in (mine, reference):
            estimator.partial_fit(X[rows], y[rows], **options)
    assert_same(mine, reference, X)
    assert mine.t_ == len(X)
    # A copy goes on as the original does.
    twin = pickle.loads(pickle.dumps(mine))
    for estimator in (mine, reference, twin):
        estimator.partial_fit(X, y)
    assert_same(mine, reference, X)
    assert_same(twin, reference, X)


def test_partial_fit_goes_on_after_fit():
    X, y, _ = data("regression")
    mine, reference = fit_pair("regression", activation="tanh", early_stopping=False)
    for estimator in (mine, reference):
        estimator.partial_fit(X[:50], y[:50])
    assert_same(mine, reference, X)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", ["multiclass", "poisson"])
@pytest.mark.parametrize(
    "kind", slow_but([scipy.sparse.csr_array], [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
)
def test_sparse_input(kind, task, solver):
    X, y, _ = data(task)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    X = np.where(np.random.default_rng(1).random(X.shape) < 0.3, X, 0)
    estimators = pair(task, solver=solver, activation="tanh", batch_size=16, max_iter=8)
    sparse, reference = (clone(e).fit(kind(X), y, sample_weight=weight) for e in estimators)
    assert_same(sparse, reference, kind(X), TOLERANCE[solver])
    assert_same(sparse, reference, X, TOLERANCE[solver])
    if solver != "lbfgs":
        for e in estimators:
            e.set_params(early_stopping=True, validation_fraction=0.3)
        sparse, reference = (clone(e).fit(kind(X), y, sample_weight=weight) for e in estimators)
        assert_same(sparse, reference, kind(X))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.thread_unsafe(reason="what is allocated is counted for the whole process")
def test_a_sparse_matrix_never_is_dense(solver):
    X = scipy.sparse.random_array((20_000, 1_000), density=0.001, format="csr", rng=0)
    y = np.asarray(X.sum(axis=1)).ravel()
    network = ours.MLPRegressor(
        hidden_layer_sizes=(2,), solver=solver, max_iter=2, random_state=0, n_threads=1
    )
    tracemalloc.start()
    try:
        network.fit(X, y).predict(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6  # 256 rows would be 2 MB, the whole is 160 MB


@pytest.mark.parametrize("task", slow_but(["multiclass", "regression"], TASKS))
@pytest.mark.parametrize("solver", SOLVERS)
def test_float32(solver, task):
    X, y, _ = data(task)
    X = X.astype(np.float32)
    mine, reference = (
        e.fit(X, y) for e in pair(task, solver=solver, activation="tanh", max_iter=15)
    )
    assert mine.network_.dtype == mine.coefs_[0].dtype == outputs(mine, X).dtype == np.float32
    rtol = {"sgd": 1e-4, "adam": 1e-3, "lbfgs": 0.05}[solver]
    np.testing.assert_allclose(outputs(mine, X), outputs(reference, X), rtol=rtol, atol=rtol)
    assert mine.score(X, y) == pytest.approx(reference.score(X, y), abs=0.01)


@pytest.mark.parametrize(("first", "second"), [("float32", "float64"), ("float64", "float32")])
def test_the_first_data_decide_the_dtype(first, second):
    X, y, _ = data("regression")
    mine, reference = pair("regression", activation="tanh")
    for e in (mine, reference):
        e.partial_fit(X.astype(first), y).partial_fit(X.astype(second), y)
    assert mine.coefs_[0].dtype == reference.coefs_[0].dtype == first
    np.testing.assert_allclose(mine.predict(X), reference.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("order", ["F", "strided", "big-endian", "integers"])
def test_any_layout_of_the_data(order):
    X, y, _ = data("multiclass")
    X = np.round(X * 16)
    given = {
        "F": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "big-endian": X.astype(">f8"),
        "integers": X.astype(np.int16),
    }[order]
    mine, reference = (e.fit(given, y) for e in pair("multiclass", activation="tanh"))
    assert_same(mine, reference, given, rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("given", [np.asfortranarray, lambda y: np.repeat(y, 2, axis=1)[:, ::2]])
def test_any_layout_of_several_labels(solver, given):
    X, y, _ = data("multilabel")
    estimator, _ = pair("multilabel", solver=solver)
    expected = estimator.fit(X, y.astype(np.uint8)).predict_proba(X)
    y = given(y.astype(np.uint8))
    got = estimator.fit(X, y, eval_set=(X, y)).predict_proba(X)
    np.testing.assert_array_equal(got, expected)
    assert len(estimator.validation_loss_curve_) == estimator.n_iter_
    assert estimator.set_params(n_networks=2).fit(X, y).n_iter_ > 1


# --- The same words ------------------------------------------------------------------------------


one_stdout = pytest.mark.thread_unsafe(reason="what is printed is caught for the whole process")


def heard(action):
    """What an action prints, warns of and raises."""
    printed = io.StringIO()
    raised = None
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            action()
        except Exception as error:
            raised = type(error), str(error)
    said = {(w.category, str(w.message)) for w in caught}
    return printed.getvalue(), said, raised


@one_stdout
@pytest.mark.parametrize(
    "parameters",
    [
        {"verbose": True},
        {"verbose": True, "early_stopping": True, "n_iter_no_change": 2, "tol": 0.1},
        {"verbose": True, "tol": 10.0, "n_iter_no_change": 2},
        {"verbose": True, "tol": 10.0, "n_iter_no_change": 2, "learning_rate": "adaptive",
         "max_iter": 50},
        {"batch_size": 1000},
        {"solver": "lbfgs", "max_iter": 3},
        {"solver": "lbfgs", "max_fun": 3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_printed_lines_and_warnings(task, parameters):
    X, y, _ = data(task)
    mine, reference = pair(task, **{"solver": "sgd", "max_iter": 4} | parameters)
    printed, warned, _ = heard(lambda: reference.fit(X, y))
    assert printed or warned
    assert heard(lambda: mine.fit(X, y)) == (printed, warned, None)


def failures():
    """Actions of a class that raise, by name: (action(cls), what only fcnn can say)."""
    X, y, _ = data("multiclass")
    few = slice(0, 3)

    def fit(*data, **parameters):
        return lambda cls: cls(**parameters).fit(*(data or (X, y)))

    def unfitted(method):
        return lambda cls: getattr(cls(), method)(X)

    def after_fit(action):
        return lambda cls: action(
            cls(hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X, y)
        )

    bad = {
        "alpha": -1, "batch_size": 0, "learning_rate": "fast", "learning_rate_init": 0.0,
        "power_t": -0.5, "max_iter": 0, "shuffle": "yes", "random_state": "seed", "tol": -1e-3,
        "warm_start": 1, "momentum": 1.5, "nesterovs_momentum": "no", "early_stopping": None,
        "validation_fraction": 1.0, "beta_1": 1.0, "beta_2": -0.1, "epsilon": 0.0,
        "n_iter_no_change": 0, "max_fun": 0, "hidden_layer_sizes": -3, "verbose": -1,
    }  # fmt: skip
    yield from ((name, fit(**{name: value})) for name, value in bad.items())
    yield "hidden layer of 0 nodes", fit(hidden_layer_sizes=(5, 0))
    yield from ((f"{name} before fit", unfitted(name)) for name in ("predict", "score_samples"))
    yield "NaN", fit(np.full((3, 2), np.nan), [0, 1, 2])
    yield "infinite", fit(np.full((3, 2), np.inf), [0, 1, 2])
    yield "infinite targets", fit(np.ones((3, 2)), [0, 1, np.inf])
    yield "lengths", fit(X, y[few])
    yield "no samples", fit(X[:0], y[:0])
    yield "one dimension", fit(X[0], y[few])
    yield "text", fit([["a", "b"], ["c", "d"]], [0, 1])
    yield "complex", fit(X + 1j, y)
    yield "features", after_fit(lambda e: e.predict(X[:, 1:]))
    yield "NaN to predict", after_fit(lambda e: e.predict(np.full_like(X, np.nan)))
    yield "early stopping of two", fit(X[few], y[few], early_stopping=True)
    yield (
        "too small a validation set",
        fit(X, y, early_stopping=True, validation_fraction=1 / len(X)),
    )
    yield "sample weights", lambda cls: cls().fit(X, y, sample_weight=np.ones(5))
    yield (
        "early stopping and partial_fit",
        after_fit(lambda e: e.set_params(early_stopping=True).partial_fit(X, y)),
    )
    yield "lbfgs has no partial_fit", lambda cls: cls(solver="lbfgs").partial_fit


FAILURES = dict(failures())


@one_stdout
@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("cls", ["MLPClassifier", "MLPRegressor"])
def test_errors(cls, name):
    def raised(library):
        return heard(lambda: FAILURES[name](getattr(library, cls)))[2]

    expected = raised(theirs)
    if expected is None:  # what scikit-learn accepts, as a regressor's solver without partial_fit
        assert raised(ours) is None
    else:
        assert raised(ours) == expected


@one_stdout
@pytest.mark.parametrize(("name", "choice"), [("activation", "gelu"), ("solver", "adamw")])
@pytest.mark.parametrize("cls", ["MLPClassifier", "MLPRegressor"])
def test_errors_of_the_choices_name_what_there_is(cls, name, choice):
    X, y, _ = data("multiclass")
    kind, message = heard(lambda: getattr(theirs, cls)(**{name: "none"}).fit(X, y))[2]
    with pytest.raises(kind) as error:
        getattr(ours, cls)(**{name: "none"}).fit(X, y)
    assert str(error.value).partition("{")[0] == message.partition("{")[0]
    assert choice in str(error.value)


CLASS_FAILURES = {
    "none given": lambda e, X, y: e.partial_fit(X, y),
    "too few": lambda e, X, y: e.partial_fit(X, y, classes=[0, 1]),
    "warm start": lambda e, X, y: e.set_params(warm_start=True).fit(X, y).fit(X[y < 5], y[y < 5]),
    "others later": lambda e, X, y: e.partial_fit(X, y, classes=range(10)).partial_fit(
        X, y, classes=range(9)
    ),
    "more later": lambda e, X, y: e.partial_fit(X[y < 5], y[y < 5], classes=range(5)).partial_fit(
        X, y
    ),
}


@one_stdout
@pytest.mark.parametrize("name", CLASS_FAILURES)
def test_errors_of_classes(name):
    def raised(library):
        estimator = library.MLPClassifier((4,), max_iter=2, random_state=0)
        return heard(lambda: CLASS_FAILURES[name](estimator, *data("multiclass")[:2]))[2]

    expected = raised(theirs)
    assert expected is not None
    assert raised(ours) == expected


def test_other_numbers_of_outputs_are_refused():
    X, y, _ = data("multioutput")
    network = ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="y has 2 outputs, the network has 3"):
        network.fit(X, y[:, :2])


@one_stdout
def test_a_training_that_diverges():
    X, y, _ = data("regression")
    given = {"solver": "sgd", "learning_rate_init": 1e3, "activation": "identity"}
    mine, reference = pair("regression", **given)
    with np.errstate(all="ignore"):
        expected = heard(lambda: reference.fit(X, y))[2]
    assert heard(lambda: mine.fit(X, y))[2] == expected
    assert np.isfinite(mine.network_.parameters).all()
    # With early stopping the best weights count.
    mine, reference = pair("regression", early_stopping=True, **given)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.fit(X, y)
    with pytest.warns(ConvergenceWarning, match="loss is not finite after"):
        mine.fit(X, y)
    for a, b in zip(mine.coefs_, reference.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    scores = mine.validation_scores_
    assert np.isnan(scores[-1])
    np.testing.assert_allclose(scores, reference.validation_scores_[: len(scores)], rtol=1e-8)
    assert len(mine.loss_curve_) == len(scores) == mine.n_iter_


def test_an_interrupt_keeps_what_was_learned():
    X, y, _ = data("multiclass")

    def interrupt(progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    network = ours.MLPClassifier((8,), random_state=0, callbacks=[interrupt])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        network.fit(X, y)
    assert network.n_iter_ == len(network.loss_curve_) == 3
    expected = ours.MLPClassifier((8,), random_state=0, max_iter=3).fit(X, y)
    np.testing.assert_array_equal(network.coefs_[0], expected.coefs_[0])


# --- The same objects ----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ["MLPClassifier", "MLPRegressor"])
def test_parameters_and_tags(cls):
    mine, reference = getattr(ours, cls)(), getattr(theirs, cls)()
    assert reference.get_params().items() <= mine.get_params().items()
    assert repr(mine) == repr(reference)
    assert mine.__sklearn_tags__() == reference.__sklearn_tags__()
    assert isinstance(mine, type(reference))
    given = {name: value for name, value in mine.get_params().items() if name != "callbacks"}
    assert clone(getattr(ours, cls)(**given)).get_params() == mine.get_params()
    assert repr(getattr(ours, cls)(alpha=1)) == repr(getattr(theirs, cls)(alpha=1))
    with pytest.raises(TypeError):
        getattr(ours, cls)((3,), "relu", "adam", "positional")


def test_coefs_are_views_of_the_network():
    X, y, _ = data("multiclass")
    network = ours.MLPClassifier((8,), max_iter=3, random_state=0).fit(X, y)
    net = network.network_
    assert isinstance(net, fcnn.Network)
    assert [W.shape for W in network.coefs_] == [(64, 8), (8, 10)]
    for W, b, coef, intercept in zip(
        net.weights, net.biases, network.coefs_, network.intercepts_, strict=True
    ):
        assert np.shares_memory(coef, net.parameters)
        np.testing.assert_array_equal(coef, W.T)
        np.testing.assert_array_equal(intercept, b)
    np.testing.assert_array_equal(network.predict_proba(X), net.predict(X))


def test_assigned_coefs_count():
    X, y, _ = data("multiclass")
    mine, reference = fit_pair("multiclass", max_iter=2)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=W.shape) for W in reference.coefs_]
    mine.coefs_ = reference.coefs_ = weights
    for estimator in (mine, reference):
        estimator.intercepts_[1] = np.linspace(-1, 1, 5)
        estimator.coefs_[0][3, 4] = 5.0
        estimator.intercepts_[0] += 1
    np.testing.assert_allclose(mine.predict_proba(X), reference.predict_proba(X), rtol=1e-10)
    for estimator in (mine, reference):
        estimator.partial_fit(X, y)
    np.testing.assert_allclose(mine.predict_proba(X), reference.predict_proba(X), rtol=1e-10)
    with pytest.raises(ValueError, match=r"coefs_\[0\]: expected shape \(64, 9\)"):
        mine.coefs_[0] = np.zeros((9, 64))
    with pytest.raises(NotFittedError, match="coefs_"):
        ours.MLPClassifier().coefs_ = weights
    assert not hasattr(ours.MLPClassifier(), "coefs_")


@pytest.mark.parametrize("solver", SOLVERS)
def test_copies(solver, tmp_path):
    X, y, _ = data("binary")
    network = ours.MLPClassifier((8,), solver=solver, max_iter=5, random_state=0).fit(X, y)
    expected = network.predict_proba(X)
    joblib.dump(network, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(network),
        joblib.load(tmp_path / "model"),
        joblib.load(tmp_path / "model", mmap_mode="r"),
    ]
    network.coefs_[0][...] = 0
    for other in copies:
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert np.shares_memory(other.coefs_[0], other.network_.parameters)
    # The lists, too.
    kept = [copy.deepcopy(copies[0].coefs_), pickle.loads(pickle.dumps(copies[0].coefs_))]
    for weights in kept:
        assert not np.shares_memory(weights[0], copies[0].coefs_[0])
        copies[1].coefs_ = weights
        np.testing.assert_array_equal(copies[1].predict_proba(X), expected)
    if solver != "lbfgs":
        for other in copies[2:]:
            other.partial_fit(X, y)
        np.testing.assert_array_equal(copies[2].predict_proba(X), copies[3].predict_proba(X))


def test_what_a_pickle_names():
    """Where pickles made by other versions look for our classes: none of it may move."""
    network = ours.MLPClassifier((8,), max_iter=1).fit(*data("binary")[:2])
    # Protocol 2 spells the names out.
    code = pickletools.genops(pickle.dumps(network, protocol=2))
    names = {name for operation, name, _ in code if operation.name == "GLOBAL"}
    assert {name for name in names if name.startswith("fcnn")} == {
        "fcnn.sklearn MLPClassifier",
        "fcnn.network Network",
        "fcnn.network _empty",
        "fcnn.optimizers Adam",
    }
    assert ours.MLPRegressor.__module__ == "fcnn.sklearn"


def test_the_network_can_be_saved(tmp_path):
    X, y, _ = data("regression")
    network = ours.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X, y)
    network.network_.save(tmp_path / "net.safetensors")
    loaded = fcnn.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(X).ravel(), network.predict(X))
