"""What scikit-learn asks of any estimator, and of these two: its own checks and its own tests."""

import functools
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")

import sklearn
import sklearn.neural_network as theirs
from joblib import parallel_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import fcnn.sklearn as ours

# As in scikit-learn's own configuration of pytest.
pytestmark = pytest.mark.filterwarnings("ignore")


# --- Its checks ----------------------------------------------------------------------------------


class _InFloat32:
    """Computes in float32 whatever it is given."""

    def _validate_input(self, X, y, incremental, reset):
        X, y = super()._validate_input(X, y, incremental, reset)
        return X.astype(np.float32), y


class Float32Classifier(_InFloat32, ours.MLPClassifier):
    pass


class Float32Regressor(_InFloat32, ours.MLPRegressor):
    pass


@pytest.mark.slow
@parametrize_with_checks([ours.MLPClassifier()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow(reason="most of them again")
@parametrize_with_checks([ours.MLPRegressor()])
def test_scikit_learns_checks_of_the_regressor(estimator, check):
    check(estimator)


@pytest.mark.slow(reason="all of them again")
@parametrize_with_checks([Float32Classifier(), Float32Regressor()])
def test_scikit_learns_checks_in_float32(estimator, check, monkeypatch):
    # Of check_sample_weight_equivalence: 1e-7 by default, less than float32 can tell apart.
    monkeypatch.setattr(
        estimator_checks,
        "assert_allclose_dense_sparse",
        functools.partial(estimator_checks.assert_allclose_dense_sparse, rtol=1e-3),
    )
    check(estimator)


# --- Its tests -----------------------------------------------------------------------------------


def scikit_learns_tests():
    """The tests that come with scikit-learn, run on our classes.

    Left out are the two that reach into its arithmetic: test_fit makes a network from attributes,
    test_gradient calls _loss_grad_lbfgs. test_gradients.py is for that.
    """
    path = Path(theirs.__file__).with_name("tests") / "test_mlp.py"
    if not path.is_file():  # some distributions leave the tests out

        def test_mlp():
            pytest.skip(f"{path} is not there")

        return {"test_mlp": test_mlp}
    line = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
    text = path.read_text(encoding="utf-8")
    assert line in text
    names = {"__name__": __name__}
    exec(compile(text.replace(line, line.replace("sklearn.neural_network", "fcnn.sklearn")),
                 str(path), "exec"), names)  # fmt: skip
    assert names["MLPClassifier"] is ours.MLPClassifier
    left_out = {"test_fit", "test_gradient"}
    tests = {n: v for n, v in names.items() if n.startswith("test_") and n not in left_out}
    for name in (
        "test_lbfgs_regression", "test_multilabel_classification", "test_multioutput_regression",
        "test_n_iter_no_change_inf", "test_partial_fit_classification",
        "test_partial_fit_regression", "test_warm_start",
    ):  # fmt: skip
        if name in tests:
            pytest.mark.slow(reason="hundreds of epochs")(tests[name])
    return tests


globals().update(scikit_learns_tests())


@pytest.fixture
def global_random_seed():
    return 0


# --- Its tools -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:200], y[:200]


GRID = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (8,)]}
GIVEN = {"activation": "tanh", "max_iter": 20, "random_state": 0}


one_pool = pytest.mark.thread_unsafe(reason="joblib has one pool of processes for all threads")


slow = pytest.mark.slow(reason="starts processes that import scikit-learn")


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("loky", marks=[one_pool, slow]), "threading"])
def test_grid_search(backend, cancer):
    searches = []
    for library in (ours, theirs):
        with parallel_config(backend=backend):
            search = GridSearchCV(library.MLPClassifier(**GIVEN), GRID, n_jobs=2, cv=3)
            searches.append(search.fit(*cancer))
    mine, reference = searches
    assert mine.best_params_ == reference.best_params_
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(mine.cv_results_[name], reference.cv_results_[name], rtol=1e-9)
    pickle.loads(pickle.dumps(mine)).predict(cancer[0])


def threads_of_a_fit():
    """The threads that fit may take by default where this is called."""
    return ours.MLPClassifier()._threads()


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=slow), "threading", "multiprocessing"]
)
@pytest.mark.thread_unsafe(reason="the default is another outside of the main thread")
def test_workers_take_one_thread(backend):
    from joblib import Parallel, delayed

    assert ours.MLPClassifier()._threads() is None
    assert ours.MLPClassifier(n_threads=2)._threads() == 2
    with parallel_config(backend=backend):
        assert Parallel(n_jobs=2)(delayed(threads_of_a_fit)() for _ in range(2)) == [1, 1]
        assert Parallel(n_jobs=1)(delayed(threads_of_a_fit)() for _ in range(1)) == [None]


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda e: make_pipeline(StandardScaler(), e),
        pytest.param(
            lambda e: CalibratedClassifierCV(e, cv=3),
            marks=pytest.mark.slow(reason="9 trainings of each library"),
        ),
        pytest.param(
            lambda e: BaggingClassifier(e, 3, random_state=0),
            marks=pytest.mark.slow(reason="9 trainings of each library"),
        ),
    ],
    ids=["Pipeline", "CalibratedClassifierCV", "BaggingClassifier"],
)
def test_meta_estimators(wrap, cancer):
    X, y = cancer
    mine, reference = (wrap(library.MLPClassifier(**GIVEN)) for library in (ours, theirs))
    np.testing.assert_allclose(
        cross_val_score(mine, X, y, cv=3), cross_val_score(reference, X, y, cv=3)
    )
    for estimator in (mine, reference):
        estimator.fit(X, y)
    np.testing.assert_allclose(mine.predict_proba(X), reference.predict_proba(X), rtol=1e-8)


@pytest.mark.slow
def test_metadata_routing(cancer):
    X, y = cancer
    weight = np.random.default_rng(0).uniform(0, 3, len(X))
    results = []
    with sklearn.config_context(enable_metadata_routing=True):
        for library in (ours, theirs):
            estimator = library.MLPClassifier(**GIVEN)
            estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            pipeline = make_pipeline(StandardScaler(), estimator)
            pipeline[0].set_fit_request(sample_weight=False)
            results.append(
                cross_validate(pipeline, X, y, cv=3, params={"sample_weight": weight})["test_score"]
            )
    np.testing.assert_allclose(*results)
    plain = cross_val_score(
        make_pipeline(StandardScaler(), ours.MLPClassifier(**GIVEN)), X, y, cv=3
    )
    assert not np.allclose(plain, results[0])


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    frames = pytest.importorskip(library)
    X, y = load_iris(return_X_y=True)
    names = ["a", "b", "c", "d"]
    frame = frames.DataFrame({name: X[:, j] for j, name in enumerate(names)})
    labels = frames.Series(name="kind", **{"data" if library == "pandas" else "values": y})
    mine, reference = (e.fit(frame, labels) for e in (ours.MLPClassifier(**GIVEN),
                                                      theirs.MLPClassifier(**GIVEN)))  # fmt: skip
    np.testing.assert_array_equal(mine.feature_names_in_, names)
    np.testing.assert_allclose(mine.predict_proba(frame), reference.predict_proba(frame))
    assert mine.score(frame, labels) == reference.score(frame, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="X does not have valid feature names"):
            mine.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        mine.predict(frame.rename(columns={"a": "z"}) if library == "pandas"
                     else frame.rename({"a": "z"}))  # fmt: skip


def test_a_clone_is_unfitted_and_equal(cancer):
    network = ours.MLPClassifier(**GIVEN, dropout=[0.1, 0.2]).fit(*cancer)
    twin = clone(network)
    assert not hasattr(twin, "network_")
    assert twin.get_params() == network.get_params()
