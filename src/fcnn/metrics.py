"""Scores of predictions: of a training, of classes, of numbers.

Answers come first and targets second, as in PyTorch's losses. Classes are labels 0, 1, ..., K - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._dispatch import core
from fcnn._validation import TARGETS, listed

__all__ = [
    "ClassScores",
    "NumberScores",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "coverage",
    "d2_quantile",
    "mae",
    "pinball",
    "precision_recall_f1",
    "r2",
    "rmse",
    "roc_auc",
    "score",
]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


def accuracy(outputs: Array, y: Array, sample_weight: Array | None = None) -> float:
    """Return the share of samples whose every output is right.

    Parameters
    ----------
    outputs : numpy.ndarray, shape (s, n)
        Probabilities: of each class, or each of a "yes".
    y : numpy.ndarray
        int64 labels (s,), for which the most probable class counts; or rows (s, n), for which each
        output counts as "yes" above 1/2.
    """
    if y.ndim == 1:
        right = outputs.argmax(axis=1) == y
    else:
        right = ((outputs > 0.5) == (y > 0.5)).all(axis=1)
    if sample_weight is None:
        return int(np.count_nonzero(right)) / len(right)  # a sixth of numpy.average's time
    return float(np.average(right, weights=sample_weight))


def r2(outputs: Array, y: Array, sample_weight: Array | None = None) -> float:
    """Return 1 - (squared error / variance of y), averaged over the outputs.

    An output whose targets are all alike scores 1 if it is exact and 0 if not, as in
    ``sklearn.metrics.r2_score``.
    """
    y = y.astype(np.float64)
    mean = np.average(y, axis=0, weights=sample_weight)
    residual = np.average((outputs - y) ** 2, axis=0, weights=sample_weight)
    variance = np.average((y - mean) ** 2, axis=0, weights=sample_weight)
    constant = variance == 0
    ratio = np.where(constant, residual != 0, residual / np.where(constant, 1, variance))
    return float(np.mean(1 - ratio))


def pinball(outputs: Array, y: Array, levels: Sequence[float]) -> Array:
    """Return q (y - a) where a < y, (1 - q) (a - y) elsewhere, for each output a of level q.

    Parameters
    ----------
    outputs : numpy.ndarray, shape (s, q m)
        As networks of the loss quantile have them: all m first ones, then all second ones.
    y : numpy.ndarray, shape (s, m)
    levels : sequence of float, length q
    """
    error = outputs.reshape(len(y), len(levels), -1) - y[:, np.newaxis, :]
    q = np.asarray(levels)[:, np.newaxis]
    costs: Array = error * np.where(error < 0, -q, 1 - q)
    return costs.reshape(outputs.shape)


def d2_quantile(
    outputs: Array, y: Array, levels: Sequence[float], sample_weight: Array | None = None
) -> float:
    """Return 1 - (quantile loss / that of the best constant), averaged over levels and targets.

    The constants are quantiles of y itself. A target that is always alike scores 1 where it is
    exact and 0 where not. R. Koenker, J. Machado: Goodness of fit and related inference processes
    for quantile regression, Journal of the American Statistical Association 94, 1999.
    """
    y = y.astype(np.float64)
    order, rows = np.argsort(y, axis=0, kind="stable"), len(y)
    weight = np.ones(rows) if sample_weight is None else sample_weight.astype(np.float64)
    below = np.cumsum(weight[order], axis=0)  # (s, m): the weight up to each of the sorted y
    constants = []
    for level in levels:
        first = (below >= level * below[-1]).argmax(axis=0)
        constants.append(np.take_along_axis(np.sort(y, axis=0), first[np.newaxis], axis=0))
    trivial = np.broadcast_to(np.hstack(constants), outputs.shape)
    loss, least = (
        np.average(pinball(a, y, levels), axis=0, weights=weight) for a in (outputs, trivial)
    )
    constant = least == 0
    ratio = np.where(constant, loss != 0, loss / np.where(constant, 1, least))
    return float(np.mean(1 - ratio))


def coverage(low: Array, high: Array, y: Array, sample_weight: Array | None = None) -> float:
    """Return the share of targets that lie in their interval, ends included.

    Parameters
    ----------
    low, high, y : numpy.ndarray, of the same shape (s,) or (s, m)
    sample_weight : numpy.ndarray, shape (s,), optional
    """
    inside = (low <= y) & (y <= high)
    return float(np.mean(np.average(inside, axis=0, weights=sample_weight)))


def score(
    loss: str, outputs: Array, y: Array, sample_weight: Array | None = None
) -> tuple[str, float]:
    """Return the name and the value of the usual score for a loss."""
    targets = TARGETS[loss]
    if targets == "classes":
        return "accuracy", accuracy(outputs, y if y.ndim == 1 else y.argmax(axis=1), sample_weight)
    if targets == "probabilities":
        return "accuracy", accuracy(outputs, y, sample_weight)
    assert targets in ("numbers", "counts"), targets
    name, levels = core.split_loss(loss)
    if name == "quantile":
        return "d2", d2_quantile(outputs, y, levels, sample_weight)
    # Of several outputs for each target the first are the means.
    return "r2", r2(outputs[:, : y.shape[1]], y, sample_weight)


# --- Classes -------------------------------------------------------------------------------------


def confusion_matrix(
    predictions: Array, y: Array, n_classes: int | None = None
) -> NDArray[np.int64]:
    """Return how many samples of each class were taken for which: C[k, j] of class k for class j.

    Parameters
    ----------
    predictions, y : numpy.ndarray of integers, shape (s,)
        Predicted and true labels, from 0 on.
    n_classes : int, optional
        K; None takes the largest label + 1.

    Returns
    -------
    numpy.ndarray of int64, shape (K, K)
        Its sum is s, its trace the number of right answers.

    Raises
    ------
    ValueError
        If the shapes differ, or a label is not one of 0 to K - 1.
    """
    if predictions.shape != y.shape or y.ndim != 1:
        raise ValueError(
            "predictions: expected a label for each of y, shape (samples,), got "
            f"{predictions.shape} for {y.shape}"
        )
    least = min((int(part.min()) for part in (predictions, y) if part.size), default=0)
    most = max((int(part.max()) for part in (predictions, y) if part.size), default=-1)
    n = most + 1 if n_classes is None else n_classes
    if least < 0 or most >= n:
        wrong = least if least < 0 else most
        raise ValueError(f"expected labels from 0 to {n - 1}, got {wrong}")
    flat = np.bincount(y.astype(np.int64) * n + predictions, minlength=n * n)
    return flat.reshape(n, n).astype(np.int64)


def precision_recall_f1(
    confusion: Array,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return precision, recall, F1 and support of each class, shape (K,) each.

    With C the confusion matrix: precision C_kk / sum_j C_jk, the share of the answers k that are
    right; recall C_kk / sum_j C_kj, the share of class k that is found; F1 their harmonic mean,
    2 C_kk / (sum_j C_jk + sum_j C_kj); support sum_j C_kj, the samples of class k. NaN where the
    divisor is 0: of a class that is never answered, or has no sample (scikit-learn's
    ``zero_division=nan``).
    """
    right = confusion.diagonal().astype(np.float64)
    answered, support = confusion.sum(axis=0), confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return right / answered, right / support, 2 * right / (answered + support), support


def balanced_accuracy(confusion: Array) -> float:
    """Return the mean recall of the classes that have samples.

    1 / their number is what always answering the same class scores, and what guessing does.
    """
    support = confusion.sum(axis=1)
    present = support > 0
    if not present.any():
        return float("nan")
    return float(np.mean(confusion.diagonal()[present] / support[present]))


def roc_auc(scores: Array, y: Array) -> float:
    """Return the area under the ROC curve of two classes.

    It is the probability that a random sample of class 1 has a higher score than one of class 0;
    equal scores count one half (the statistic of Mann and Whitney over n_1 n_0).

    Parameters
    ----------
    scores : numpy.ndarray, shape (s,)
        The higher, the more class 1: its probabilities, or any increasing function of them.
    y : numpy.ndarray, shape (s,)
        0 or 1.

    Returns
    -------
    float
        NaN if one of the classes has no sample, or a score is NaN.
    """
    positive = np.asarray(y, dtype=bool)
    n_1 = int(np.count_nonzero(positive))
    n_0 = len(positive) - n_1
    if not n_0 or not n_1 or np.isnan(scores).any():
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    above = ranks[place[positive]].sum() - n_1 * (n_1 + 1) / 2
    return float(above / (n_0 * n_1))


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Scores of classes, all from the confusion matrix but `loss` and `roc_auc`.

    Attributes
    ----------
    classes : tuple
        What the labels stand for.
    texts : tuple of str
        How they are written.
    confusion_matrix : numpy.ndarray of int64, shape (K, K)
        Row: true class; column: answer.
    baseline : int
        Label of the trivial answer, the most frequent class.
    loss : float or None
        Mean loss of the network.
    roc_auc : float or None
        Of two classes whose outputs are known.
    """

    classes: tuple[Any, ...]
    texts: tuple[str, ...]
    confusion_matrix: NDArray[np.int64]
    baseline: int
    loss: float | None = None
    roc_auc: float | None = None

    @classmethod
    def of(
        cls,
        predictions: Array,
        y: Array,
        classes: Sequence[Any],
        *,
        probabilities: Array | None = None,
        loss: float | None = None,
        baseline: int | None = None,
        texts: Sequence[str] = (),
    ) -> ClassScores:
        """Return the scores of labels.

        Parameters
        ----------
        predictions, y : numpy.ndarray of integers, shape (s,)
        classes : sequence, length K
        probabilities : numpy.ndarray, shape (s,), optional
            Of class 1 where there are two, for `roc_auc`.
        loss : float, optional
        baseline : int, optional
            Label of the trivial answer; None takes the most frequent of y.
        texts : sequence of str, optional
            How the classes are written; empty takes Python's way.
        """
        confusion = confusion_matrix(predictions, y, len(classes))
        if baseline is None:
            baseline = int(confusion.sum(axis=1).argmax())
        auc = None
        if probabilities is not None and len(classes) == 2:
            auc = roc_auc(probabilities, y)
        return cls(
            tuple(classes), tuple(texts) or tuple(map(str, classes)), confusion, baseline, loss, auc
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return int(self.confusion_matrix.sum())

    @property
    def right(self) -> int:
        """How many answers are right."""
        return int(self.confusion_matrix.trace())

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / self.rows

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have samples."""
        return balanced_accuracy(self.confusion_matrix)

    @property
    def baseline_accuracy(self) -> float:
        """The accuracy of always answering `baseline`."""
        return int(self.confusion_matrix[self.baseline].sum()) / self.rows

    @property
    def baseline_balanced_accuracy(self) -> float:
        """The balanced accuracy of always answering `baseline`."""
        support = self.confusion_matrix.sum(axis=1)
        return float(support[self.baseline] > 0) / int(np.count_nonzero(support))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should keep a reader from trusting the accuracy; empty if nothing does."""
        confusion, names = (
            self.confusion_matrix,
            [
                repr(text) if isinstance(value, str) else text
                for value, text in zip(self.classes, self.texts, strict=True)
            ],
        )
        present = np.flatnonzero(confusion.sum(axis=1))
        if len(present) == 1:
            return (f"all rows are {names[present[0]]}: the scores do not tell a good model",)
        trivial = f"always answering {names[self.baseline]}"
        answered = np.flatnonzero(confusion.sum(axis=0))
        found = []
        if self.accuracy <= self.baseline_accuracy:
            text = (
                f"the network is no better than {trivial}: accuracy {self.accuracy:.4g}, that has "
                f"{self.baseline_accuracy:.4g}"
            )
            if self.balanced_accuracy > self.baseline_balanced_accuracy:
                text += (
                    f"; its balanced accuracy is, {self.balanced_accuracy:.4g} to "
                    f"{self.baseline_balanced_accuracy:.4g}"
                )
            found.append(text)
        elif self.balanced_accuracy <= 1 / len(present):
            found.append(
                f"the network is no better than {trivial} when classes count alike: balanced "
                f"accuracy {self.balanced_accuracy:.4g}"
            )
        never = [names[k] for k in present if k not in answered]
        if len(answered) == 1:
            found.append(f"it answers {names[answered[0]]} for every row")
        elif never:
            more = f" and {len(never) - 5:,} more" if len(never) > 5 else ""
            found.append(
                f"it never answers {listed(never[:5])}{more}, which occur{'s' * (len(never) == 1)}"
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as numbers, lists and dicts: what `fcnn.Model.evaluate` returns."""
        scores: dict[str, Any] = {} if self.loss is None else {"loss": self.loss}
        scores.update(accuracy=self.accuracy, balanced_accuracy=self.balanced_accuracy)
        if self.roc_auc is not None:
            scores["roc_auc"] = self.roc_auc
        columns = [column.tolist() for column in precision_recall_f1(self.confusion_matrix)]
        names = "precision", "recall", "f1", "support"
        return {
            **scores,
            "baseline": {
                "answer": self.classes[self.baseline],
                "accuracy": self.baseline_accuracy,
                "balanced_accuracy": self.baseline_balanced_accuracy,
            },
            "per_class": {
                value: dict(zip(names, row, strict=True))
                for value, *row in zip(self.classes, *columns, strict=True)
            },
            "confusion_matrix": self.confusion_matrix.tolist(),
            "warnings": list(self.warnings),
        }


# --- Numbers -------------------------------------------------------------------------------------


def rmse(outputs: Array, y: Array) -> NDArray[np.float64]:
    """Return the root mean square error of each output, sqrt(mean((outputs - y)^2)), shape (n,)."""
    error = np.asarray(outputs, np.float64) - y
    return np.asarray(np.sqrt(np.mean(error**2, axis=0)))


def mae(outputs: Array, y: Array) -> NDArray[np.float64]:
    """Return the mean absolute error of each output, mean(|outputs - y|), shape (n,)."""
    return np.asarray(np.mean(np.abs(np.asarray(outputs, np.float64) - y), axis=0))


@dataclass(frozen=True, eq=False)
class NumberScores:
    """Scores of numbers in their own units, for each of n outputs.

    Attributes
    ----------
    names : tuple of str
        Of the outputs; empty if they have none.
    rows : int
    r2, rmse, mae : numpy.ndarray of float64, shape (n,)
        See `fcnn.metrics.r2`, `rmse` and `mae`.
    baseline : numpy.ndarray of float64, shape (n,)
        The trivial answers: the means.
    baseline_r2, baseline_rmse, baseline_mae : numpy.ndarray of float64, shape (n,)
        Their scores.
    alike : numpy.ndarray of float64, shape (n,)
        The value of all targets, where there is no other; else NaN.
    levels : tuple of float
        Of quantiles: which ones there are; else empty.
    coverage : float or None
        The share of the targets from the lowest to the highest of several quantiles.
    """

    names: tuple[str, ...]
    rows: int
    r2: NDArray[np.float64]
    rmse: NDArray[np.float64]
    mae: NDArray[np.float64]
    baseline: NDArray[np.float64]
    baseline_r2: NDArray[np.float64]
    baseline_rmse: NDArray[np.float64]
    baseline_mae: NDArray[np.float64]
    alike: NDArray[np.float64]
    levels: tuple[float, ...] = ()
    coverage: float | None = None

    @classmethod
    def of(
        cls,
        outputs: Array,
        y: Array,
        names: Sequence[str] = (),
        baseline: Array | None = None,
        levels: tuple[float, ...] = (),
        coverage: float | None = None,
    ) -> NumberScores:
        """Return the scores of numbers.

        Parameters
        ----------
        outputs, y : numpy.ndarray, shape (s, n)
        names : sequence of str, optional
        baseline : numpy.ndarray, shape (n,), optional
            The trivial answers; None takes the means of y.
        levels, coverage
            See `NumberScores`.
        """
        y = np.asarray(y, np.float64)
        means = y.mean(axis=0) if baseline is None else np.asarray(baseline, np.float64)
        trivial = np.broadcast_to(means, y.shape)
        answers = np.asarray(outputs, np.float64)
        each = range(y.shape[1])
        # The mean of equal numbers can miss them by a rounding error: its r2 is 0, not computed.
        of_trivial = [0.0 if baseline is None else r2(trivial[:, [k]], y[:, [k]]) for k in each]
        return cls(
            tuple(names), len(y),
            np.array([r2(answers[:, [k]], y[:, [k]]) for k in each]), rmse(answers, y),
            mae(answers, y),
            means, np.array(of_trivial), rmse(trivial, y), mae(trivial, y),
            np.where((y == y[:1]).all(axis=0), y[:1].mean(axis=0), np.nan), levels, coverage,
        )  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should keep a reader from trusting the answers; empty if nothing does."""
        found = []
        for k, error in enumerate(self.rmse):
            of = f"{self.names[k]!r}: " if len(self.names) > 1 else ""
            if not np.isnan(self.alike[k]):
                found.append(
                    f"{of}all targets are {self.alike[k]:.6g}: the scores do not tell a good model"
                )
            elif not error < self.baseline_rmse[k]:
                found.append(
                    f"{of}the network is no better than always answering the mean, "
                    f"{self.baseline[k]:.6g}: r2 {self.r2[k]:.4g}, root mean square error "
                    f"{error:.4g}, that has {self.baseline_rmse[k]:.4g}"
                )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all scores: what `fcnn.Model.evaluate` returns.

        r2 is the mean over the outputs, the others are lists of several outputs.
        """

        def plain(values: Array) -> Any:
            return values.tolist() if len(values) > 1 else float(values[0])

        return {
            "r2": float(self.r2.mean()),
            "rmse": plain(self.rmse),
            "mae": plain(self.mae),
            **({} if self.coverage is None else {"coverage": self.coverage}),
            "baseline": {
                "answer": plain(self.baseline),
                "r2": float(self.baseline_r2.mean()),
                "rmse": plain(self.baseline_rmse),
                "mae": plain(self.baseline_mae),
            },
            "warnings": list(self.warnings),
        }
