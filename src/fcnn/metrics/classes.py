"""Scores of classes: the confusion matrix and what is of it, the ROC curve's area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.metrics._checks import (
    MOST_CLASSES,
    as_alike,
    as_counts,
    as_finite,
    as_labels,
    as_sequence,
)

__all__ = [
    "ClassScores",
    "balanced_accuracy",
    "confusion_matrix",
    "precision_recall_f1",
    "roc_auc",
]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


def confusion_matrix(
    predictions: ArrayLike, y: ArrayLike, n_classes: int | None = None
) -> NDArray[np.int64]:
    """Return how many samples of each class were taken for which: C[k, j] of class k for class j.

    Parameters
    ----------
    predictions, y : array-like of integers, shape (s,)
        Predicted and true labels, from 0 on.
    n_classes : int, optional
        K; None takes the largest label + 1.

    Returns
    -------
    numpy.ndarray of int64, shape (K, K)
        Its sum is s, its trace the number of right answers.

    Raises
    ------
    ValueError, TypeError
        If the shapes differ, or a label is not one of 0 to K - 1.
    """
    answers, labels = as_labels("predictions", predictions), as_labels("y", y)
    if answers.shape != labels.shape:
        raise ValueError(
            f"predictions: expected a label for each of y, shape {labels.shape}, got "
            f"{answers.shape}"
        )
    n = None if n_classes is None else check.as_count("n_classes", n_classes)
    if n is None:
        n = max(int(part.max()) for part in (answers, labels)) + 1
    if n > MOST_CLASSES:
        raise ValueError(
            f"n_classes: expected at most {MOST_CLASSES:,}, got {n:,}; numpy.unique(y, "
            "return_inverse=True) numbers any labels from 0"
        )
    for name, part in (("predictions", answers), ("y", labels)):
        least, most = int(part.min()), int(part.max())
        if least < 0 or most >= n:
            wrong = least if least < 0 else most
            raise ValueError(f"{name}: expected labels from 0 to {n - 1}, got {wrong}")
    flat = np.bincount(labels.astype(np.int64) * n + answers, minlength=n * n)
    return flat.reshape(n, n).astype(np.int64)


def precision_recall_f1(
    confusion: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return precision, recall, F1 and support of each class, shape (K,) each.

    With C the confusion matrix: precision C_kk / sum_j C_jk, the share of the answers k that are
    right; recall C_kk / sum_j C_kj, the share of class k that is found; F1 their harmonic mean,
    2 C_kk / (sum_j C_jk + sum_j C_kj); support sum_j C_kj, the samples of class k. NaN where the
    divisor is 0: of a class that is never answered, or has no sample (scikit-learn's
    ``zero_division=nan``).

    Parameters
    ----------
    confusion : array-like, shape (K, K)
        As `confusion_matrix` returns it.
    """
    counts = as_counts(confusion)
    right = counts.diagonal().astype(np.float64)
    answered, support = counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return right / answered, right / support, 2 * right / (answered + support), support


def balanced_accuracy(confusion: ArrayLike) -> float:
    """Return the mean recall of the classes that have samples; NaN if none has.

    1 / their number is what always answering the same class scores, and what guessing does.

    Parameters
    ----------
    confusion : array-like, shape (K, K)
        As `confusion_matrix` returns it.
    """
    counts = as_counts(confusion)
    support = counts.sum(axis=1)
    present = support > 0
    if not present.any():
        return float("nan")
    return float(np.mean(counts.diagonal()[present] / support[present]))


def roc_auc(scores: ArrayLike, y: ArrayLike) -> float:
    """Return the area under the ROC curve of two classes.

    It is the probability that a random sample of class 1 has a higher score than one of class 0;
    equal scores count one half (the statistic of Mann and Whitney over n_1 n_0).

    Parameters
    ----------
    scores : array-like, shape (s,) or (s, 1)
        The higher, the more class 1: its probabilities, or any increasing function of them.
    y : array-like, shape (s,) or (s, 1)
        0 or 1.

    Returns
    -------
    float
        NaN if one of the classes has no sample, or a score is NaN.
    """
    labels = as_finite(y)
    if labels.shape[1] > 1:
        raise ValueError(f"y: expected one label for each sample, got shape {labels.shape}")
    column = as_alike("scores", scores, labels).ravel()
    positive = (labels == 1).ravel()
    if not (positive | (labels == 0).ravel()).all():
        wrong = labels[(labels != 0) & (labels != 1)][0]
        raise ValueError(f"y: expected labels 0 and 1, got {wrong:g}")
    n_1 = int(np.count_nonzero(positive))
    n_0 = len(positive) - n_1
    if not n_0 or not n_1 or np.isnan(column).any():
        return float("nan")
    _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
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
        predictions: ArrayLike,
        y: ArrayLike,
        classes: Sequence[Any],
        *,
        probabilities: ArrayLike | None = None,
        loss: float | None = None,
        baseline: int | None = None,
        texts: Sequence[str] = (),
    ) -> ClassScores:
        """Return the scores of labels.

        Parameters
        ----------
        predictions, y : array-like of integers, shape (s,)
        classes : sequence, length K
        probabilities : array-like, shape (s,), optional
            Of class 1 where there are two, for `roc_auc`.
        loss : float, optional
        baseline : int, optional
            Label of the trivial answer; None takes the most frequent of y.
        texts : sequence of str, optional
            How the classes are written; empty takes Python's way.
        """
        values = as_sequence("classes", classes)
        confusion = confusion_matrix(predictions, y, len(values))
        if baseline is None:
            baseline = int(confusion.sum(axis=1).argmax())
        elif check.as_count("baseline", baseline, least=0) >= len(values):
            raise ValueError(f"baseline: expected 0 to {len(values) - 1}, got {baseline}")
        auc = None
        if probabilities is not None and len(values) == 2:
            auc = roc_auc(probabilities, y)
        written = as_sequence("texts", texts, len(values)) or tuple(map(str, values))
        return cls(values, written, confusion, baseline, loss, auc)

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
                f"it never answers {check.listed(never[:5])}{more}, which "
                f"occur{'s' * (len(never) == 1)}"
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
