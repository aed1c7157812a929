"""The losses of the estimators: which of the core's each is made of, and what differs."""
# SciPy has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Array = NDArray[Any]


def _poisson_constants(y: Array) -> Array:
    y = y.astype(np.float64)
    constants: Array = (xlogy(y, y) - y).sum(axis=1)
    return constants


# The mean loss and its derivative with respect to outputs, of outputs, targets and sample weights.
OwnLoss = Callable[[Array, Array, Array | None], tuple[float, Array]]


def pinball(outputs: Array, y: Array, weight: Array | None, quantile: float) -> tuple[float, Array]:
    """Return the mean quantile loss, and its derivative with respect to the outputs.

    C = q (y - a) if a < y, (1 - q) (a - y) otherwise; R. Koenker, G. Bassett: Regression
    quantiles, Econometrica 46, 1978.
    """
    weight = np.ones(len(y), y.dtype) if weight is None else weight
    factor = weight / (weight.sum() or 1)
    error = outputs - y
    slope = np.where(error > 0, 1 - quantile, np.where(error < 0, -quantile, 0))
    dCda = np.ascontiguousarray(factor[:, np.newaxis] * slope, dtype=y.dtype)
    return float((dCda * error).sum(dtype=np.float64)), dCda


class Loss(NamedTuple):
    """What scikit-learn's loss is of one of the core's, whose natural output activation it has."""

    core: str
    averaged: bool = False  # over outputs, of which the core has the sum
    # What scikit-learn adds to the cost of each sample, and the core does not.
    constants: Callable[[Array], Array] | None = None
    # A loss that the core does not know, in place of its: an `OwnLoss` that takes these parameters
    # of the estimator, too.
    own: Callable[..., tuple[float, Array]] | None = None
    parameters: tuple[str, ...] = ()


# By the type of target that scikit-learn's LabelBinarizer has found.
CLASSIFICATION = {
    "binary": Loss("binary_cross_entropy"),
    "multiclass": Loss("cross_entropy"),
    "multilabel-indicator": Loss("binary_cross_entropy"),
}

# By the parameter `loss`.
REGRESSION = {
    "squared_error": Loss("squared_error", averaged=True),
    "poisson": Loss("poisson", constants=_poisson_constants),
    "absolute_error": Loss("absolute_error"),
    "huber": Loss("huber"),
    "quantile": Loss("squared_error", own=pinball, parameters=("quantile",)),
}
