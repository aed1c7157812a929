"""Samples as the core takes them: dense rows of one dtype, a part of a sparse matrix at a time."""
# SciPy has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fcnn import _validation as check

Array = NDArray[Any]

# What is dense at a time of a sparse matrix, where a batch is smaller (bytes).
DENSE_BYTES = 4 << 20


def inputs(X: Any, dtype: np.dtype[Any]) -> Any:
    """Return inputs as the core takes them, or CSR, whose rows are at hand."""
    return X.tocsr() if issparse(X) else check.cast("X", X, dtype)


def dense(rows: Any, dtype: np.dtype[Any]) -> Array:
    """Return rows of `inputs` as the core takes them."""
    return check.cast("X", rows.toarray(), dtype) if issparse(rows) else rows


def parts(X: Any, dtype: np.dtype[Any], batch: int = 1) -> Iterator[slice]:
    """Yield what is dense at a time: all samples, or whole batches of a sparse matrix."""
    n_samples, n_features = X.shape
    step = n_samples
    if issparse(X):
        step = max(DENSE_BYTES // (n_features * dtype.itemsize) // batch, 1) * batch
    for begin in range(0, n_samples, step):
        yield slice(begin, min(begin + step, n_samples))
