"""Every metric, whatever it is given: the score of those numbers, or a refusal that names them."""

import inspect
import itertools

import numpy as np
import pytest

import fcnn
from fcnn import metrics

ROWS = 7
RNG = np.random.default_rng(4)
Y = RNG.uniform(size=ROWS)
P = np.clip(Y + RNG.normal(scale=0.2, size=ROWS), 0, 1)
YES = np.array([0, 1, 1, 0, 1, 0, 1])
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])
ANSWERS = np.array([0, 1, 1, 1, 0, 2, 0])
WEIGHT = RNG.uniform(1, 2, size=ROWS)
LEVELS = (0.1, 0.9)

# How a column may come: all of them mean the same.
COLUMN = {
    "(s,)": lambda values: values,
    "(s, 1)": lambda values: values[:, None],
    "list": lambda values: values.tolist(),
    "list of lists": lambda values: values[:, None].tolist(),
    "not contiguous": lambda values: np.repeat(values, 2)[::2],
}
# What is no column of as many rows.
OTHERS = {
    "a row more": lambda values: np.append(values, values[0]),
    "a column more": lambda values: np.stack([values, values], axis=1),
    "a row": lambda values: values[None],
    "a dimension more": lambda values: values[:, None, None],
    "a number": lambda values: float(values[0]),
    "none": lambda values: values[:0],
    "one sample": lambda values: values[:1],
    "text": lambda values: values.astype(str),
    "ragged": lambda values: [values.tolist(), [0.0]],
    "None": lambda values: None,
    "complex": lambda values: values + 1j,
}


def d2_by_hand(a, y, w):
    """D^2 of two levels for one target, all constants tried."""
    total = np.zeros(2)
    for k, q in enumerate(LEVELS):

        def loss(answers, q=q):
            return sum(
                wi * (q * (yi - ai) if ai < yi else (1 - q) * (ai - yi))
                for ai, yi, wi in zip(answers, y, w, strict=True)
            )  # fmt: skip

        total[k] = 1 - loss(a[k]) / min(loss([c] * ROWS) for c in y)
    return total.mean()


def r2_by_hand(a, y, w):
    mean = sum(w * y) / sum(w)
    return 1 - sum(w * (a - y) ** 2) / sum(w * (y - mean) ** 2)


# Each metric of columns: its columns by name, other arguments, and what it is by plain sums.
METRICS = {
    "accuracy": ({"outputs": P, "y": YES}, {}, np.mean((P > 0.5) == (YES == 1))),
    "r2": ({"outputs": P, "y": Y}, {}, r2_by_hand(P, Y, np.ones(ROWS))),
    "rmse": ({"outputs": P, "y": Y}, {}, sum((P - Y) ** 2 / ROWS) ** 0.5),
    "mae": ({"outputs": P, "y": Y}, {}, sum(abs(P - Y)) / ROWS),
    "pinball": (
        {"outputs": P, "y": Y}, {"levels": [0.3]},
        np.array([[0.3 * (y - a) if a < y else 0.7 * (a - y)] for a, y in zip(P, Y, strict=True)]),
    ),
    "coverage": (
        {"low": P - 0.1, "high": P + 0.1, "y": Y}, {},
        sum(a - 0.1 <= y <= a + 0.1 for a, y in zip(P, Y, strict=True)) / ROWS,
    ),
    "roc_auc": (
        {"scores": P, "y": YES}, {},
        np.mean([(p > n) + (p == n) / 2 for p in P[YES == 1] for n in P[YES == 0]]),
    ),
    "score": ({"outputs": P, "y": Y}, {"loss": "squared_error"}, r2_by_hand(P, Y, np.ones(ROWS))),
    "NumberScores.of": ({"outputs": P, "y": Y}, {}, sum((P - Y) ** 2 / ROWS) ** 0.5),
    "d2_quantile": (
        {"outputs": P, "y": Y}, {"levels": [0.5]},
        1 - sum(abs(P - Y)) / min(sum(abs(c - Y)) for c in Y),
    ),
}  # fmt: skip


def call(name, *arguments, **words):
    function = metrics
    for part in name.split("."):
        function = getattr(function, part)
    result = function(*arguments, **words)
    if name == "score":
        return result[1]
    return result.rmse if name == "NumberScores.of" else result


def test_every_metric_is_here():
    of_labels = {"ClassScores", "balanced_accuracy", "confusion_matrix", "precision_recall_f1"}
    assert {name.partition(".")[0] for name in METRICS} | of_labels == {*metrics.__all__}


@pytest.mark.parametrize("name", METRICS)
def test_columns_in_any_way_are_the_same(name):
    columns, words, expected = METRICS[name]
    expected = np.asarray(expected)
    if name in ("rmse", "mae", "NumberScores.of"):
        expected = expected[None]  # one for each output
    for ways in itertools.product(COLUMN.values(), repeat=len(columns)):
        given = {k: way(v) for way, (k, v) in zip(ways, columns.items(), strict=True)}
        result = np.asarray(call(name, **given, **words))
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-13)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", METRICS)
def test_what_does_not_agree_is_refused_by_name(name, other):
    columns, words, _ = METRICS[name]
    for wrong in columns:
        for shape in ("(s,)", "(s, 1)"):
            if (name, other, wrong, shape) == ("accuracy", "a column more", "outputs", "(s,)"):
                continue  # of two classes, and their labels
            way = COLUMN[shape]
            given = {k: way(v) for k, v in columns.items()}
            given[wrong] = OTHERS[other](columns[wrong].astype(float))
            with pytest.raises((ValueError, TypeError), match=rf"^({'|'.join(columns)}): ") as it:
                call(name, **given, **words)
            assert "broadcast" not in str(it.value)


@pytest.mark.parametrize("name", METRICS)
def test_targets_that_are_not_finite_are_refused(name):
    columns, words, _ = METRICS[name]
    for bad in (np.nan, np.inf):
        y = columns["y"].astype(float)
        y[3] = bad
        with pytest.raises(ValueError, match=r"^y: expected (finite|labels)"):
            call(name, **{**columns, "y": y}, **words)


@pytest.mark.parametrize("name", METRICS)
def test_an_answer_that_is_nan_makes_the_score_nan(name):
    columns, words, _ = METRICS[name]
    for wrong in [k for k in columns if k != "y"]:
        values = columns[wrong].copy()
        values[2] = np.nan
        result = call(name, **{**columns, wrong: values}, **words)
        assert np.isnan(result).any()


@pytest.mark.parametrize(
    "name", [n for n in METRICS if "." not in n
             and "sample_weight" in inspect.signature(getattr(metrics, n)).parameters],
)  # fmt: skip
def test_weights(name):
    columns, words, _ = METRICS[name]
    # A sample of weight 3 counts as three of it.
    counts = np.array([1, 3, 1, 2, 1, 1, 2])
    several = {k: np.repeat(v, counts) for k, v in columns.items()}
    assert call(name, **columns, **words, sample_weight=counts) == pytest.approx(
        call(name, **several, **words), rel=1e-13
    )
    bad = {
        "(s, 1)": WEIGHT[:, None], "a row more": np.append(WEIGHT, 1), "a number": 2.0,
        "NaN": np.full(ROWS, np.nan), "less than 0": -WEIGHT, "all 0": WEIGHT * 0,
        "text": WEIGHT.astype(str),
    }  # fmt: skip
    for weight in bad.values():
        with pytest.raises((ValueError, TypeError), match=r"^sample_weight: "):
            call(name, **columns, **words, sample_weight=weight)


# --- Several outputs -----------------------------------------------------------------------------


def test_accuracy_of_several_outputs():
    outputs = np.eye(3)[ANSWERS] * 0.4 + 0.1
    expected = sum(a == y for a, y in zip(ANSWERS, LABELS, strict=True)) / ROWS
    for y in (LABELS, LABELS.tolist(), LABELS.astype(np.uint8)):
        assert metrics.accuracy(outputs, y) == expected
        assert metrics.accuracy(outputs.tolist(), y) == expected
    several = np.stack([YES, 1 - YES], axis=1)  # yes or no twice
    sure = np.stack([YES, np.ones(ROWS)], axis=1)
    assert metrics.accuracy(sure, several) == np.mean(YES == 0)
    # Labels of three classes in one column would count as yes or no.
    for answers, y in ((ANSWERS, LABELS), (P, LABELS), (ANSWERS, YES)):
        with pytest.raises(ValueError, match=r"^(outputs|y): expected probabilities, .* got 2"):
            metrics.accuracy(answers, y)
    assert metrics.accuracy(YES, YES[::-1].copy()) == np.mean(YES == YES[::-1])  # as they are
    for y, message in (
        (LABELS[:, None], r"^outputs: expected shape \(7, 1\)"), (LABELS + 1, "from 0 to 2"),
        (LABELS * 1.0, "integers"), (LABELS[1:], r"^y: expected shape \(7,\)"),
        (np.eye(4)[LABELS], r"^outputs: expected shape \(7, 4\)"), (LABELS[:0], "^y: "),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=message):
            metrics.accuracy(outputs, y)


def test_several_targets_of_quantiles():
    y = np.stack([Y, 2 * Y[::-1]], axis=1)
    low, high = y - 0.1, y + RNG.uniform(0, 0.3, size=y.shape)
    outputs = np.hstack([low, high])
    by_hand = np.mean([d2_by_hand((low[:, j], high[:, j]), y[:, j], WEIGHT) for j in range(2)])
    assert metrics.d2_quantile(outputs, y, LEVELS, WEIGHT) == pytest.approx(by_hand, rel=1e-12)
    assert metrics.score("quantile(0.1, 0.9)", outputs, y, WEIGHT)[1] == pytest.approx(by_hand)
    for function in (metrics.pinball, metrics.d2_quantile):
        for wrong in (outputs[:, :3], outputs[1:], np.hstack([outputs, outputs]), outputs[0]):
            with pytest.raises(ValueError, match=r"^outputs: expected shape \(7, 4\), 2 levels"):
                function(wrong, y, LEVELS)
        for levels in ((), 0.5, None, "0.1", (0, 0.5), (0.1, 1), (0.1, "x"), (np.nan, 0.5)):
            with pytest.raises((ValueError, TypeError), match=r"^levels"):
                function(outputs, y, levels)


def test_score_takes_what_evaluate_takes():
    X = RNG.normal(size=(ROWS, 3))
    for loss, n_L, y in (
        ("squared_error", 1, Y), ("squared_error", 1, Y[:, None]), ("poisson", 1, Y),
        ("binary_cross_entropy", 1, YES), ("cross_entropy", 3, LABELS),
        ("cross_entropy", 3, np.eye(3)[LABELS]), ("gaussian_nll", 2, Y), ("quantile", 3, Y),
        ("gaussian_nll", 4, np.stack([Y, P], axis=1)),
    ):  # fmt: skip
        net = fcnn.Network((3, 4, n_L), loss=loss, dtype="float64", rng=1)
        name, value = metrics.score(net.loss, net.predict(X), y, WEIGHT)
        assert net.evaluate(X, y, WEIGHT)[name] == pytest.approx(value, rel=1e-13)
    with pytest.raises(ValueError, match=r"^loss: expected .* did you mean"):
        metrics.score("squared_eror", P, Y)
    with pytest.raises(ValueError, match=r"^outputs: expected 2 for each target"):
        metrics.score("gaussian_nll", P, Y)
    with pytest.raises(ValueError, match=r"^outputs: expected probabilities"):
        metrics.score("binary_cross_entropy", P * 3, YES)


# --- Labels and their counts ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["confusion_matrix", "ClassScores.of"])
def test_labels(name):
    words = {} if name == "confusion_matrix" else {"classes": "abc"}

    def matrix(predictions, y):
        found = call(name, predictions, y, **words)
        return found if name == "confusion_matrix" else found.confusion_matrix

    expected = np.zeros((3, 3), np.int64)
    for a, k in zip(ANSWERS, LABELS, strict=True):
        expected[k, a] += 1
    for first, second in itertools.product((np.asarray, list, np.uint8, np.int16), repeat=2):
        np.testing.assert_array_equal(matrix(first(ANSWERS), second(LABELS)), expected)
    for wrong in (
        ANSWERS[:, None], ANSWERS[None], ANSWERS[1:], ANSWERS[:0], ANSWERS * 1.0, "abc", None, 1,
        ANSWERS - 1, ANSWERS.astype(str), [[0], [1, 2]],
    ):  # fmt: skip
        for given in ((wrong, LABELS), (LABELS, wrong)):
            with pytest.raises((ValueError, TypeError), match=r"^(predictions|y): "):
                call(name, *given, **words)


def test_a_matrix_of_more_classes_than_memory_holds_is_refused():
    with pytest.raises(ValueError, match=r"^n_classes: .* got 1,000,000,001; numpy.unique"):
        metrics.confusion_matrix([0, 10**9], [0, 1])
    for n in (0, -1, 2.5, "3", True):
        with pytest.raises((ValueError, TypeError), match=r"^n_classes: "):
            metrics.confusion_matrix([0, 1], [0, 1], n)


@pytest.mark.parametrize("function", [metrics.balanced_accuracy, metrics.precision_recall_f1])
def test_counts(function):
    counts = [[2, 1], [0, 3]]
    expected = function(np.array(counts))
    np.testing.assert_array_equal(function(counts), expected)
    for wrong in ([1, 2], [[1, 2]], [[1, -1], [0, 2]], [[1.0, np.nan], [0, 1]], [], "ab", None, 3):
        with pytest.raises((ValueError, TypeError), match=r"^confusion: "):
            function(wrong)


def test_what_belongs_to_the_scores_of_labels():
    good = {"probabilities": P, "baseline": 1, "texts": ("no", "yes")}
    scores = metrics.ClassScores.of(YES, YES, ["n", "y"], **good)
    assert scores.roc_auc == metrics.roc_auc(P[:, None], YES)
    for name, values in {
        "probabilities|scores": (P[1:], np.stack([P, P], axis=1), "x"),
        "baseline": (2, -1, 0.5, "n"), "texts": (("no",), "abc"),
    }.items():  # fmt: skip
        for value in values:
            given = {**good, name.partition("|")[0]: value}
            with pytest.raises((ValueError, TypeError), match=f"^({name}): "):
                metrics.ClassScores.of(YES, YES, ["n", "y"], **given)
    for classes in ((), 2, None):
        with pytest.raises((ValueError, TypeError), match=r"^classes: "):
            metrics.ClassScores.of(YES, YES, classes)


def test_what_belongs_to_the_scores_of_numbers():
    y = np.stack([Y, P], axis=1)
    assert metrics.NumberScores.of(y, y, ["a", "b"], [0.5, 0.5]).baseline.tolist() == [0.5, 0.5]
    for names in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match=r"^names: expected 2"):
            metrics.NumberScores.of(y, y, names)
    for baseline in ([0.5], 0.5, [[0.5, 0.5]], [np.nan, 1], "x"):
        with pytest.raises((ValueError, TypeError), match=r"^baseline: "):
            metrics.NumberScores.of(y, y, baseline=baseline)


def test_unsigned_and_boolean_numbers_are_numbers():
    a, y = np.array([0, 3, 5], np.uint8), np.array([1, 1, 1], np.uint8)
    assert metrics.mae(a, y).tolist() == [7 / 3]
    np.testing.assert_array_equal(metrics.pinball(a, y, [0.5]), [[0.5], [1], [2]])
    assert metrics.rmse([True, False], [False, False])[0] == 0.5**0.5
    assert metrics.coverage(a, a, y) == 0
