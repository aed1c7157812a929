"""Scores: scikit-learn's on random answers, ties and absent classes included; what is warned of."""

import json

import numpy as np
import pytest

import fcnn
from fcnn import metrics
from fcnn.metrics import ClassScores, NumberScores

LABELS = {
    "usual": lambda rng: rng.integers(4, size=(2, 200)),
    "a class without samples": lambda rng: np.stack(
        [rng.integers(4, size=200), rng.integers(3, size=200)]
    ),
    "a class without answers": lambda rng: np.stack(
        [rng.integers(1, 4, size=200), rng.integers(4, size=200)]
    ),
    "two samples": lambda rng: np.array([[0, 2], [0, 1]]),
    "uint8": lambda rng: rng.integers(4, size=(2, 2000)).astype(np.uint8),
}


@pytest.fixture
def peer():
    return pytest.importorskip("sklearn.metrics")


# --- Classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", LABELS.values(), ids=LABELS)
def test_of_labels_as_scikit_learn(make, peer):
    predictions, y = make(np.random.default_rng(3))
    confusion = metrics.confusion_matrix(predictions, y, 4)
    np.testing.assert_array_equal(confusion, peer.confusion_matrix(y, predictions, labels=range(4)))
    expected = peer.precision_recall_fscore_support(
        y, predictions, labels=range(4), zero_division=np.nan
    )
    for ours, theirs in zip(metrics.precision_recall_f1(confusion), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)
    recall = peer.recall_score(y, predictions, labels=np.unique(y), average="macro")
    assert metrics.balanced_accuracy(confusion) == pytest.approx(recall, rel=1e-14)
    if {*predictions.tolist()} <= {*y.tolist()}:  # else it warns
        assert recall == pytest.approx(peer.balanced_accuracy_score(y, predictions), rel=1e-14)
    scores = ClassScores.of(predictions, y, "abcd")
    assert scores.accuracy == peer.accuracy_score(y, predictions)
    most = np.bincount(y).argmax()
    trivial = np.full(len(y), most)
    assert scores.baseline == most
    assert scores.baseline_accuracy == peer.accuracy_score(y, trivial)
    assert scores.baseline_balanced_accuracy == peer.balanced_accuracy_score(y, trivial)


@pytest.mark.parametrize("levels", [2, 3, 10, None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roc_auc_with_ties_as_scikit_learn(levels, dtype, peer):
    rng = np.random.default_rng(5)
    for _ in range(20):
        y = rng.integers(2, size=60)
        y[:2] = 0, 1
        scores = rng.uniform(size=60) * 0.7 + 0.3 * y
        if levels:
            scores = np.round(scores * levels) / levels
        scores = scores.astype(dtype)
        assert metrics.roc_auc(scores, y) == pytest.approx(peer.roc_auc_score(y, scores), rel=1e-13)


def test_roc_auc_by_hand():
    y = np.array([0, 0, 1, 1])
    assert metrics.roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), y) == 0.75
    assert metrics.roc_auc(np.array([0.1, 0.4, 0.4, 0.8]), y) == 3.5 / 4
    assert metrics.roc_auc(np.full(4, 0.3), y) == 0.5
    assert metrics.roc_auc(np.arange(4), 1 - y) == 0
    assert np.isnan(metrics.roc_auc(np.arange(4), np.ones(4)))
    assert np.isnan(metrics.roc_auc(np.array([0.1, np.nan, 0.2, 0.3]), y))


def test_labels_that_are_none_are_refused():
    with pytest.raises(ValueError, match="labels from 0 to 2, got 3"):
        metrics.confusion_matrix(np.array([0, 3]), np.array([0, 1]), 3)
    with pytest.raises(ValueError, match="got -1"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([-1, 1]))
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([1, 1, 0]))


def test_two_percent_fraud_is_warned_of():
    y = (np.arange(1000) % 50 == 0).astype(np.int64)
    nothing = ClassScores.of(np.zeros(1000, np.int64), y, ["good", "fraud"])
    assert nothing.accuracy == 0.98
    first, second = nothing.warnings
    assert "no better than always answering 'good': accuracy 0.98, that has 0.98" in first
    assert "it answers 'good' for every row" in second
    # It finds half of the fraud, at the price of 15 wrong alarms: accuracy alone misleads.
    predictions = y * (np.arange(1000) % 100 == 0) + (np.arange(1000) % 66 == 1) * (1 - y)
    useful = ClassScores.of(predictions, y, ["good", "fraud"])
    (text,) = useful.warnings
    assert "its balanced accuracy is, 0.74" in text
    assert "to 0.5" in text
    # Found all: nothing to warn of.
    assert ClassScores.of(y, y, ["good", "fraud"]).warnings == ()


def test_more_that_is_warned_of():
    y = np.array([0, 0, 0, 1, 1, 2])
    never = ClassScores.of(np.array([0, 0, 0, 1, 1, 0]), y, "abc")
    assert never.warnings == ("it never answers 'c', which occurs",)
    alone = ClassScores.of(np.array([0, 1]), np.zeros(2, np.int64), "abc")
    assert "all rows are 'a'" in alone.warnings[0]
    # Of eight rows six are right, one more than always "a"; of b and c none is.
    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    wrong = ClassScores.of(np.array([0, 0, 0, 0, 0, 2, 2, 1]), y, "abc", baseline=1)
    assert "when classes count alike: balanced accuracy 0.3333" in wrong.warnings[0]


# --- Numbers -------------------------------------------------------------------------------------


def test_of_numbers_as_scikit_learn(peer):
    rng = np.random.default_rng(7)
    y = rng.normal(size=(150, 3)) * [1, 1000, 1e-3] + [0, 1.7e9, 5]
    outputs = y + rng.normal(size=y.shape) * [0.3, 400, 2e-3]
    scores = NumberScores.of(outputs, y, ["a", "b", "c"])
    trivial = np.broadcast_to(y.mean(axis=0), y.shape)
    for name, function in (
        ("r2", peer.r2_score), ("rmse", peer.root_mean_squared_error),
        ("mae", peer.mean_absolute_error),
    ):  # fmt: skip
        raw = function(y, outputs, multioutput="raw_values")
        np.testing.assert_allclose(getattr(scores, name), raw, rtol=1e-12)
        of_mean = function(y, trivial, multioutput="raw_values")
        np.testing.assert_allclose(
            getattr(scores, f"baseline_{name}"), of_mean, rtol=1e-9, atol=1e-12
        )
    assert len(scores.warnings) == 1
    assert scores.warnings[0].startswith("'c': the network is no better than always answering the")
    assert scores.to_dict()["r2"] == pytest.approx(peer.r2_score(y, outputs), rel=1e-12)
    assert scores.to_dict()["mae"] == scores.mae.tolist()


def test_numbers_without_a_difference_are_warned_of():
    y = np.full((5, 1), 0.1)
    (text,) = NumberScores.of(y + 0.01, y).warnings
    assert text == "all targets are 0.1: the scores do not tell a good model"
    mean = NumberScores.of(np.full((3, 1), 2.0), np.array([[1.0], [2.0], [3.0]]))
    assert mean.r2[0] == 0
    assert "no better than always answering the mean, 2" in mean.warnings[0]


# --- Of a model ----------------------------------------------------------------------------------


def model_of(classes, n_out, output_activation, loss):
    """Return a model of three numbers whose network is as it was made."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(400, 3))
    preparation = fcnn.tables.Preparation.fit({name: X[:, j] for j, name in enumerate("abc")})
    network = fcnn.Network((3, 5, n_out), "tanh", output_activation, loss, "float64", rng=2)
    target = fcnn.tables.Target(["kind"], classes)
    return fcnn.Model(network, preparation, target), X, rng


@pytest.mark.parametrize(
    ("n_out", "activation", "loss"),
    [
        (1, "sigmoid", "binary_cross_entropy"), (2, "softmax", "cross_entropy"),
        (2, "sigmoid", "squared_error"), (2, "identity", "squared_error"),
    ],
)  # fmt: skip
def test_evaluate_two_classes(n_out, activation, loss, peer):
    model, X, rng = model_of(["no", "yes"], n_out, activation, loss)
    y = np.array(["no", "yes"])[rng.integers(2, size=400)]
    scores = model.evaluate(X, y)
    answers, outputs = model.predict(X), model.outputs(X)
    certain = outputs[:, -1] - (outputs[:, 0] if activation == "identity" else 0)
    if (n_out, activation) == (2, "sigmoid"):
        certain = outputs[:, 1] - outputs[:, 0]
    assert scores["roc_auc"] == pytest.approx(peer.roc_auc_score(y == "yes", certain), rel=1e-13)
    assert scores["accuracy"] == peer.accuracy_score(y, answers)
    assert scores["balanced_accuracy"] == pytest.approx(peer.balanced_accuracy_score(y, answers))
    report = peer.classification_report(y, answers, output_dict=True, zero_division=np.nan)
    for name in ("no", "yes"):
        expected = report[name]
        expected["f1"] = expected.pop("f1-score")
        assert scores["per_class"][name] == pytest.approx(expected, nan_ok=True)
    assert scores["confusion_matrix"] == peer.confusion_matrix(y, answers).tolist()
    most = max(["no", "yes"], key=y.tolist().count)
    assert scores["baseline"] == {
        "answer": most, "accuracy": np.mean(y == most), "balanced_accuracy": 0.5,
    }  # fmt: skip
    assert scores["loss"] == pytest.approx(
        model.network.evaluate(model.prepare(X), model.encode(y))["loss"]
    )
    assert bool(scores["warnings"]) == (scores["accuracy"] <= np.mean(y == most))
    json.dumps(scores)


def test_evaluate_three_classes_has_no_roc_auc():
    model, X, rng = model_of([1, 2, 3], 3, "softmax", "cross_entropy")
    scores = model.evaluate(X, rng.integers(1, 3, size=400))  # class 3 does not occur
    assert "roc_auc" not in scores
    assert scores["per_class"][3]["support"] == 0
    assert np.isnan(scores["per_class"][3]["recall"])
