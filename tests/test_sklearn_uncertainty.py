"""The estimators' quantiles and standard deviations, and whether their intervals hold."""

import pickle

import numpy as np
import pytest

import fcnn
from fcnn import metrics

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_diabetes  # noqa: E402
from sklearn.metrics import d2_pinball_score, r2_score  # noqa: E402
from sklearn.model_selection import KFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from fcnn import convert  # noqa: E402
from fcnn.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
LEVELS = [0.05, 0.5, 0.95]
X, Y = load_diabetes(return_X_y=True)
X, Y = X / X.std(axis=0), (Y - Y.mean()) / Y.std()
TWO = np.column_stack([Y, -2 * Y])


def quantiles(levels=LEVELS, **options):
    return MLPRegressor(
        "quantile", (8,), quantiles=levels, max_iter=20, random_state=0, **options
    )  # fmt: skip


def gaussian(**options):
    return MLPRegressor("gaussian_nll", (8,), max_iter=20, random_state=0, **options)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_quantiles_are_the_last_dimension_and_never_cross(solver):
    one = quantiles(solver=solver).fit(X, Y)
    assert one.network_.loss == "quantile"
    assert one.quantiles_ == tuple(LEVELS)
    assert one.predict(X).shape == (442, 3)
    np.testing.assert_array_equal(one.predict(X), one.network_.predict(X))
    both = quantiles(solver=solver).fit(X, TWO)
    answers = both.predict(X)
    assert answers.shape == (442, 2, 3)
    assert (np.diff(answers, axis=-1) >= 0).all()
    for k in range(2):
        np.testing.assert_array_equal(answers[:, k], both.network_.predict(X)[:, k::2])
    assert quantiles([0.9]).fit(X, Y).predict(X).shape == (442, 1)
    alone = MLPRegressor("quantile", (8,), quantile=0.9, max_iter=20, random_state=0).fit(X, Y)
    assert (alone.network_.loss, alone.out_activation_) == ("quantile(0.9)", "identity")
    assert alone.quantiles_ is None
    assert alone.predict(X).shape == (442,)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_mean_and_its_standard_deviation(solver):
    one = gaussian(solver=solver).fit(X, Y)
    mean, std = one.predict(X, return_std=True)
    outputs = one.network_.predict(X)
    np.testing.assert_array_equal(mean, outputs[:, 0])
    np.testing.assert_allclose(std, np.exp(outputs[:, 1] / 2))
    np.testing.assert_array_equal(one.predict(X), mean)
    mean, std = gaussian(solver=solver).fit(X, TWO).predict(X, return_std=True)
    assert mean.shape == std.shape == (442, 2)
    assert (std > 0).all()
    assert one.score(X, Y) == pytest.approx(r2_score(Y, one.predict(X)))
    with pytest.raises(ValueError, match="return_std: one network has standard deviations"):
        quantiles().fit(X, Y).predict(X, return_std=True)


def test_the_loss_of_the_fit_is_the_core_s():
    weight = np.random.default_rng(0).uniform(0, 2, len(Y))
    for estimator in (quantiles(alpha=0), gaussian(alpha=0)):
        estimator.set_params(solver="lbfgs").fit(X, TWO, sample_weight=weight)
        value = estimator.network_.evaluate(X, TWO, weight)["loss"]
        assert estimator.loss_ == pytest.approx(value, rel=1e-9)
        estimator.fit(X, TWO, eval_set=(X, TWO, weight))
        value = estimator.network_.evaluate(X, TWO, weight)["loss"]
        assert estimator.validation_loss_curve_[-1] == pytest.approx(value, rel=1e-9)


@pytest.mark.slow
def test_scores():
    estimator = quantiles().fit(X, Y)
    expected = [
        d2_pinball_score(Y, a, alpha=q)
        for q, a in zip(LEVELS, estimator.predict(X).T, strict=True)
    ]  # fmt: skip
    assert estimator.score(X, Y) == pytest.approx(np.mean(expected), abs=5e-3)
    assert estimator.score(X, Y) == pytest.approx(estimator.network_.evaluate(X, Y)["d2"])
    scores = cross_val_score(quantiles(), X, Y, cv=3)
    assert np.isfinite(scores).all()
    seen = []
    stopped = quantiles(early_stopping=True, callbacks=[lambda p: seen.append(p.history)])
    stopped.fit(X, Y)
    assert seen[-1].score_name == "d2"
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)
    gaussian(early_stopping=True, callbacks=[lambda p: seen.append(p.history)]).fit(X, Y)
    assert seen[-1].score_name == "r2"


def test_clones_pickles_and_saved_networks(tmp_path):
    for made in (quantiles(), gaussian()):
        assert clone(made).get_params() == made.get_params()
        fitted = made.fit(X, Y)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
        fitted.network_.save(tmp_path / "net.safetensors")
        loaded = fcnn.load(tmp_path / "net.safetensors")
        assert loaded.loss == fitted.network_.loss
        np.testing.assert_array_equal(loaded.predict(X), fitted.network_.predict(X))
        converted = convert.from_sklearn(fitted)
        assert (converted.loss, converted.num_targets) == (loaded.loss, 1)
        np.testing.assert_array_equal(converted.predict(X), fitted.network_.predict(X))
        pipeline = make_pipeline(StandardScaler(), clone(made)).fit(X, Y)
        model = convert.from_sklearn(pipeline)
        np.testing.assert_allclose(model.predict(X), pipeline.predict(X), rtol=1e-6)


def test_warm_starts_and_batches():
    estimator = quantiles(warm_start=True).fit(X, Y)
    before = estimator.network_.parameters.copy()
    estimator.set_params(quantiles=[0.1, 0.5, 0.9], max_iter=1).fit(X, Y)
    assert estimator.network_.loss == "quantile(0.1, 0.5, 0.9)"
    assert estimator.quantiles_ == (0.1, 0.5, 0.9)
    moved = np.abs(estimator.network_.parameters - before).max()
    assert 0 < moved < 0.1
    with pytest.raises(ValueError, match="loss: the fitted network cannot go on with another"):
        estimator.set_params(quantiles=[0.1, 0.9]).fit(X, Y)
    single = MLPRegressor("quantile", (8,), quantile=0.2, warm_start=True, max_iter=1).fit(X, Y)
    single.set_params(quantile=0.8).fit(X, Y)
    assert single.network_.loss == "quantile(0.8)"
    batches = gaussian()
    for _ in range(3):
        batches.partial_fit(X, TWO)
    assert batches.predict(X).shape == (442, 2)
    with pytest.raises(ValueError, match="y has 1 outputs, the network has 2"):
        batches.partial_fit(X, Y)


@pytest.mark.parametrize(
    "options",
    [
        {"quantiles": []}, {"quantiles": [0.5, 0.1]}, {"quantiles": [0, 0.5]},
        {"quantiles": [0.5, 1]}, {"quantiles": ["a"]}, {"quantiles": 0.5},
        {"quantiles": [0.1, 0.9], "loss": "squared_error"}, {"quantiles": [[0.1, 0.9]]},
    ],
)  # fmt: skip
def test_refused_quantiles(options):
    with pytest.raises(ValueError, match="'quantiles' parameter of MLPRegressor must be"):
        MLPRegressor(**{"loss": "quantile", **options}).fit(X, Y)


def test_a_loss_that_changes_between_fits_counts():
    """Of a warm start with scikit-learn's own losses, too."""
    estimator = MLPRegressor("squared_error", (8,), warm_start=True, max_iter=1, random_state=0)
    estimator.fit(X, Y).set_params(loss="huber").fit(X, Y)
    assert estimator.network_.loss == "huber"
    classifier = MLPClassifier((8,), warm_start=True, max_iter=1).fit(X, Y > 0)
    assert classifier.fit(X, Y > 0).network_.loss == "binary_cross_entropy"


# --- Coverage of held-out data --------------------------------------------------------------------


def ink():
    """How much ink the lower half of a digit has, from its upper half: the bundled digits."""
    images, _ = fcnn.datasets.load_digits()
    upper, lower = images[:, :32] / 16, images[:, 32:].sum(axis=1) / 16
    return upper, (lower - lower.mean()) / lower.std()


SETS = {"diabetes": lambda: (X, Y), "digits": ink}


@pytest.mark.slow(reason="five trainings of each")
@pytest.mark.parametrize("loss", ["quantile", "gaussian_nll"])
@pytest.mark.parametrize("name", SETS)
def test_ninety_percent_of_held_out_data_lie_in_intervals_of_90_percent(name, loss):
    """All rows, each predicted by a network that did not see it."""
    inputs, y = SETS[name]()
    inputs = StandardScaler().fit_transform(inputs)
    options = {
        "hidden_layer_sizes": (16,), "activation": "tanh", "alpha": 10.0, "dropout": 0.2,
        "learning_rate_init": 0.01, "random_state": 0,
    }  # fmt: skip
    low, high = np.empty(len(y)), np.empty(len(y))
    for train, test in KFold(5, shuffle=True, random_state=0).split(inputs):
        if loss == "quantile":
            model = MLPRegressor(loss, quantiles=LEVELS, **options).fit(inputs[train], y[train])
            low[test], _, high[test] = model.predict(inputs[test]).T
        else:
            model = MLPRegressor(loss, **options).fit(inputs[train], y[train])
            mean, std = model.predict(inputs[test], return_std=True)
            low[test], high[test] = mean - 1.645 * std, mean + 1.645 * std
    assert (low <= high).all()
    assert 0.87 < metrics.coverage(low, high, y) < 0.93
