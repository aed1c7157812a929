"""The equations of scores, of arrays as the core has them: `fcnn.metrics` checks any others first.

Trainings and `evaluate` compute them after each epoch, of data that were checked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._dispatch import core
from fcnn._validation import TARGETS

Array = NDArray[Any]


def accuracy(outputs: Array, y: Array, sample_weight: Array | None = None) -> float:
    """Return the share of samples whose every output is right.

    Parameters
    ----------
    outputs : numpy.ndarray, shape (s, n)
    y : numpy.ndarray
        int64 labels (s,), or rows (s, n).
    """
    if y.ndim == 1:
        right = outputs.argmax(axis=1) == y
    else:
        right = ((outputs > 0.5) == (y > 0.5)).all(axis=1)
    if sample_weight is None:
        return int(np.count_nonzero(right)) / len(right)  # a sixth of numpy.average's time
    return float(np.average(right, weights=sample_weight))


def r2(outputs: Array, y: Array, sample_weight: Array | None = None) -> float:
    """Return 1 - (squared error / variance of y), averaged over the outputs, all (s, n)."""
    y = y.astype(np.float64)
    mean = np.average(y, axis=0, weights=sample_weight)
    residual = np.average((outputs - y) ** 2, axis=0, weights=sample_weight)
    variance = np.average((y - mean) ** 2, axis=0, weights=sample_weight)
    constant = variance == 0
    ratio = np.where(constant, residual != 0, residual / np.where(constant, 1, variance))
    return float(np.mean(1 - ratio))


def pinball(outputs: Array, y: Array, levels: Sequence[float]) -> Array:
    """Return q (y - a) where a < y, (1 - q) (a - y) elsewhere: (s, q m), of y (s, m)."""
    error = outputs.reshape(len(y), len(levels), -1) - y[:, np.newaxis, :]
    q = np.asarray(levels)[:, np.newaxis]
    costs: Array = error * np.where(error < 0, -q, 1 - q)
    return costs.reshape(outputs.shape)


def d2_quantile(
    outputs: Array, y: Array, levels: Sequence[float], sample_weight: Array | None = None
) -> float:
    """Return 1 - (quantile loss / that of the best constant), averaged over levels and targets."""
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
