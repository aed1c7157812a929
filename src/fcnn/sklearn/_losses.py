"""The losses of the estimators: which of the core's each is made of, and what differs."""
# SciPy has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from fcnn.names import Name

Array = NDArray[Any]


def _poisson_constants(y: Array) -> Array:
    y = y.astype(np.float64)
    constants: Array = (xlogy(y, y) - y).sum(axis=1)
    return constants


class Loss(NamedTuple):
    """What scikit-learn's loss is of one of the core's, whose natural output activation it has."""

    core: Name
    averaged: bool = False  # over outputs, of which the core has the sum
    # What scikit-learn adds to the cost of each sample, and the core does not.
    constants: Callable[[Array], Array] | None = None


# By the type of target that scikit-learn's LabelBinarizer has found.
CLASSIFICATION = {
    "binary": Loss(Name("binary_cross_entropy")),
    "multiclass": Loss(Name("cross_entropy")),
    "multilabel-indicator": Loss(Name("binary_cross_entropy")),
}

# By the parameter `loss`.
REGRESSION = {
    "squared_error": Loss(Name("squared_error"), averaged=True),
    "poisson": Loss(Name("poisson"), constants=_poisson_constants),
    "absolute_error": Loss(Name("absolute_error")),
    "huber": Loss(Name("huber")),
    "gaussian_nll": Loss(Name("gaussian_nll")),
    "quantile": Loss(Name("quantile")),  # with the estimator's levels
}
