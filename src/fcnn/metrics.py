"""Scores of predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._validation import TARGETS

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
    return "r2", r2(outputs, y, sample_weight)
