"""Estimators of several networks: each is what it is alone, and all of them answer together."""

import pickle
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="fcnn.sklearn needs scikit-learn")

from interrupting import interrupted
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

import fcnn
import fcnn.sklearn as ours
import fcnn.sklearn._ensemble

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.slow(reason="test_sklearn_conformance.py has them for one network")
@parametrize_with_checks(
    [ours.MLPClassifier(n_networks=2), ours.MLPRegressor(n_networks=2)],
    # Its loss in the next call is compared with the mean of two networks.
    expected_failed_checks=lambda estimator: {},
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X / X.std(axis=0), y / 77


def seeds(random_state, n):
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n)


def test_each_is_fitted_as_one_is(iris):
    X, y = iris
    options = {"hidden_layer_sizes": (8,), "max_iter": 12, "dropout": 0.1}
    several = ours.MLPClassifier(n_networks=3, random_state=5, **options).fit(X, y)
    alone = [ours.MLPClassifier(random_state=int(s), **options).fit(X, y) for s in seeds(5, 3)]
    for one, other in zip(several.estimators_, alone, strict=True):
        np.testing.assert_array_equal(one.network_.parameters, other.network_.parameters)
        assert one.loss_curve_ == other.loss_curve_
    mean = np.mean([one.predict_proba(X) for one in alone], axis=0)
    np.testing.assert_allclose(several.predict_proba(X), mean, rtol=1e-12)
    np.testing.assert_array_equal(several.predict(X), mean.argmax(axis=1))
    assert several.loss_curve_ == alone[0].loss_curve_
    assert several.n_iter_ == 12
    assert isinstance(several.ensemble_, fcnn.Ensemble)
    assert several.ensemble_.classes == [0, 1, 2]
    again = pickle.loads(pickle.dumps(several))
    np.testing.assert_array_equal(again.predict_proba(X), several.predict_proba(X))
    same = clone(several).fit(X, y)
    np.testing.assert_array_equal(same.predict_proba(X), several.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "together"),
    [
        ({}, True), ({"solver": "sgd", "learning_rate": "adaptive", "n_threads": 2}, True),
        ({"early_stopping": True, "n_iter_no_change": 2, "batch_size": 17}, True),
        ({"solver": "adamw", "alpha": 0, "max_iter": 60, "tol": 0.01, "n_iter_no_change": 2,
          "learning_rate_init": 0.05}, True),
        ({"verbose": True}, False), ({"callbacks": [print]}, False), ({"max_time": 60}, False),
        ({"solver": "lbfgs"}, False),
    ],
)  # fmt: skip
def test_epochs_of_all_are_one_call_of_the_core(iris, monkeypatch, options, together):
    """With the same bits; but not where somebody sees the order."""
    X, y = iris
    options = {"hidden_layer_sizes": (8,), "max_iter": 6, **options}
    calls, train_many = [], fcnn.sklearn._ensemble.core.train_many

    def counted(trainings, *rest):
        calls.append(len(trainings))
        return train_many(trainings, *rest)

    monkeypatch.setattr(fcnn.sklearn._ensemble.core, "train_many", counted)
    several = ours.MLPClassifier(n_networks=3, random_state=5, **options).fit(X, y)
    assert bool(calls) == together
    assert max(calls, default=3) == 3
    for one, seed in zip(several.estimators_, seeds(5, 3), strict=True):
        other = ours.MLPClassifier(random_state=int(seed), **options).fit(X, y)
        np.testing.assert_array_equal(one.network_.parameters, other.network_.parameters)
        for name in ("loss_curve_", "n_iter_", "t_", "validation_scores_", "best_loss_"):
            assert getattr(one, name, None) == getattr(other, name, None), name
    if options.get("tol"):
        assert len({one.n_iter_ for one in several.estimators_}) > 1, "each ends by its own"


def test_one_network_that_diverges_is_an_error_of_all(iris):
    X, y = iris
    with pytest.raises(ValueError, match="Solver produced non-finite"):
        ours.MLPClassifier(n_networks=3, solver="sgd", learning_rate_init=1e30, max_iter=9).fit(
            X * 1e6, y
        )


def test_two_classes_and_several_labels(iris):
    X, y = iris
    for targets in (y == 1, np.eye(3, dtype=int)[y]):
        model = ours.MLPClassifier((8,), n_networks=3, random_state=0, max_iter=30).fit(X, targets)
        mean = np.mean([one.predict_proba(X) for one in model.estimators_], axis=0)
        np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-12)
        assert model.predict(X).shape == targets.shape


@pytest.mark.slow(reason="eight trainings")
def test_standard_deviations(diabetes):
    X, y = diabetes
    for targets in (y, np.column_stack([y, -y])):
        options = {"hidden_layer_sizes": (8,), "max_iter": 12, "random_state": 0}
        model = ours.MLPRegressor(n_networks=4, **options).fit(X, targets)
        each = np.array([one.predict(X) for one in model.estimators_])
        mean, std = model.predict(X, return_std=True)
        np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(std, each.std(axis=0), rtol=1e-9)
        np.testing.assert_array_equal(model.predict(X), mean)
        normal = ours.MLPRegressor("gaussian_nll", n_networks=3, **options).fit(X, targets)
        pairs = [one.predict(X, return_std=True) for one in normal.estimators_]
        means, deviations = np.array(pairs).swapaxes(0, 1)
        mean, std = normal.predict(X, return_std=True)
        np.testing.assert_allclose(mean, means.mean(axis=0), rtol=1e-9)
        variance = (deviations**2).mean(axis=0) + means.var(axis=0)
        np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-9)
    quantiles = ours.MLPRegressor("quantile", (8,), quantiles=[0.1, 0.5, 0.9], n_networks=2,
                                  max_iter=5).fit(X, y)  # fmt: skip
    mean, std = quantiles.predict(X, return_std=True)
    assert mean.shape == std.shape == (len(X), 3)
    assert (np.diff(mean, axis=1) >= 0).all()
    with pytest.raises(ValueError, match="return_std: one network has standard deviations with"):
        ours.MLPRegressor(max_iter=2).fit(X, y).predict(X, return_std=True)
    # By what was fitted, not by parameters set since.
    one = ours.MLPRegressor(max_iter=2).fit(X, y).set_params(n_networks=3)
    with pytest.raises(ValueError, match="return_std: one network has standard deviations with"):
        one.predict(X, return_std=True)
    two = ours.MLPRegressor(max_iter=2, n_networks=2, random_state=0).fit(X, y)
    before = two.predict(X, return_std=True)
    after = two.set_params(n_networks=1).predict(X, return_std=True)
    np.testing.assert_array_equal(before, after)


def test_one_and_several_and_one_again(iris):
    X, y = iris
    model = ours.MLPClassifier((4,), max_iter=5, random_state=0)
    model.fit(X, y).set_params(n_networks=2).fit(X, y)
    assert not hasattr(model, "network_")
    with pytest.raises(AttributeError, match="it is an ensemble, and each of its estimators_"):
        _ = model.coefs_
    assert not hasattr(model, "intercepts_")
    model.set_params(n_networks=1).fit(X, y)
    assert not hasattr(model, "ensemble_")
    one = ours.MLPClassifier((4,), max_iter=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.network_.parameters, one.network_.parameters)


@pytest.mark.parametrize(
    "wrong", [{"n_networks": n} for n in (0, -1, True, 2.0, "2", None)] + [
        {"n_threads": True}, {"max_time": True}, {"weight_decay": True}, {"clip_norm": True},
        {"dropout": True}, {"label_smoothing": False}],
)  # fmt: skip
def test_what_is_no_number_is_refused(iris, wrong):
    (name,) = wrong
    with pytest.raises((TypeError, ValueError), match=name):
        ours.MLPClassifier((4,), max_iter=2, **wrong).fit(*iris)


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_networks_does_not_go_on(iris, first, then):
    X, y = iris

    def fitted(**options):
        return ours.MLPClassifier((4,), max_iter=2, random_state=0, n_networks=first, **options)

    for model in (
        fitted().fit(X, y), fitted(solver="sgd").partial_fit(X, y, classes=[0, 1, 2]),
    ):  # fmt: skip
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match=f"n_networks: .* cannot go on as {then}"):
            model.set_params(n_networks=then).partial_fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), before)
    model = fitted(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=f"n_networks: .* cannot go on as {then}"):
        model.set_params(n_networks=then).fit(X, y)
    # Without warm_start it begins anew, with nothing left of what was.
    anew = model.set_params(warm_start=False).fit(X, y)
    other = ours.MLPClassifier((4,), max_iter=2, random_state=0, n_networks=then).fit(X, y)
    np.testing.assert_array_equal(anew.predict_proba(X), other.predict_proba(X))
    assert {*vars(anew)} == {*vars(other)}


def test_partial_fit_and_warm_start(iris):
    X, y = iris
    several = ours.MLPClassifier((4,), n_networks=2, random_state=1)
    alone = [ours.MLPClassifier((4,), random_state=int(s)) for s in seeds(1, 2)]
    for _ in range(3):
        several.partial_fit(X, y, classes=[0, 1, 2])
        for one in alone:
            one.partial_fit(X, y, classes=[0, 1, 2])
    for one, other in zip(several.estimators_, alone, strict=True):
        np.testing.assert_array_equal(one.network_.parameters, other.network_.parameters)
    warm = ours.MLPClassifier((4,), n_networks=2, random_state=1, max_iter=3, warm_start=True)
    first = warm.fit(X, y).estimators_[0].network_.parameters.copy()
    assert warm.fit(X, y).estimators_[0].n_iter_ == 3
    assert (warm.estimators_[0].network_.parameters != first).any()
    with pytest.raises(
        ValueError, match="n_networks: the ensemble has 2 networks, which cannot go on as 3"
    ):
        warm.set_params(n_networks=3).fit(X, y)


@pytest.mark.slow(reason="ends after a second and a half")
def test_options_reach_each(iris, diabetes):
    X, y = iris
    seen = []
    model = ours.MLPClassifier(
        (4,), n_networks=2, max_iter=4, random_state=0, class_weight="balanced",
        callbacks=[lambda progress: seen.append(progress.network)], early_stopping=True,
    ).fit(X, y, eval_set=(X[::3], y[::3]))  # fmt: skip
    assert len(seen) == 8
    assert {*map(id, seen)} == {id(network) for network in model.ensemble_}
    assert len(model.validation_loss_curve_) == 4
    X, y = diabetes
    began = time.perf_counter()
    timed = ours.MLPRegressor("squared_error", (400, 400), n_networks=3, max_iter=10**6, tol=0,
                              n_iter_no_change=10**6, max_time=1.5).fit(X, y)  # fmt: skip
    assert len(timed.estimators_) == 3
    assert time.perf_counter() - began < 6


@pytest.mark.slow(reason="is interrupted after half a second")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
@pytest.mark.filterwarnings("ignore:Training interrupted")
def test_ctrl_c_ends_all(diabetes, monkeypatch):
    X, y = diabetes
    train_many, calls = fcnn.sklearn._ensemble.core.train_many, []

    def timed(*given):
        calls.append(time.perf_counter())
        return train_many(*given)

    monkeypatch.setattr(fcnn.sklearn._ensemble.core, "train_many", timed)
    with interrupted(0.5, begun=lambda: calls):
        model = ours.MLPRegressor("squared_error", (200, 200), n_networks=8, max_iter=10**6, tol=0,
                                  n_iter_no_change=10**6).fit(X, y)  # fmt: skip
    assert time.perf_counter() - calls[0] < 10
    assert len(model.estimators_) == 8
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.slow(reason="imports ONNX Runtime")
def test_conversions(iris, diabetes):
    X, y = iris
    model = ours.MLPClassifier((4,), n_networks=2, max_iter=3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="an ensemble of 2 networks; its ensemble_ is"):
        fcnn.convert.from_sklearn(model)
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    ours.register_onnx()

    def outputs(model, X):
        proto = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False} if hasattr(
            model, "classes_") else None)  # fmt: skip
        session = runtime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {session.get_inputs()[0].name: X})

    labels, probabilities = outputs(model, X)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-6)
    X, y = diabetes
    for loss in ("squared_error", "gaussian_nll"):
        model = ours.MLPRegressor(loss, (4,), n_networks=3, max_iter=3).fit(X, y)
        (found,) = outputs(model, X)
        np.testing.assert_allclose(found.ravel(), model.predict(X), rtol=1e-6)
