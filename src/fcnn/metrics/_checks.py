"""What metrics take: any array-like of numbers, of which those that belong together agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check

Array = NDArray[Any]

# The counts of more classes would take over 2 GB.
MOST_CLASSES = 2**14


def as_columns(name: str, values: Any) -> Array:
    """Return numbers of each sample as floats, shape (s, n)."""
    array = check.as_numeric(name, values)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape (samples,) or (samples, n), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one sample, got shape {array.shape}")
    # Differences of unsigned integers, or of bool, would not be those of the numbers.
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def as_finite(y: Any) -> Array:
    """Return finite numbers of each sample, shape (s, m)."""
    columns = as_columns("y", y)
    if not np.isfinite(columns).all():
        row, column = np.argwhere(~np.isfinite(columns))[0]
        raise ValueError(
            f"y: expected finite numbers, got {columns[row, column]} at [{row}, {column}]"
        )
    return columns


def as_alike(name: str, values: Any, y: Array) -> Array:
    """Return numbers of each sample that belong to those of y."""
    columns = as_columns(name, values)
    if columns.shape != y.shape:
        raise ValueError(f"{name}: expected shape {y.shape}, that of y, got {columns.shape}")
    return columns


def as_pair(outputs: Any, y: Any) -> tuple[Array, Array]:
    """Return answers and finite targets of the same shape (s, n)."""
    targets = as_finite(y)
    return as_alike("outputs", outputs, targets), targets


def as_weight(sample_weight: Any, y: Array) -> Array | None:
    """Return the weight of each sample of y, shape (s,), or None."""
    return check.as_sample_weight(sample_weight, len(y), np.dtype(np.float64))


def as_probabilities(name: str, columns: Array) -> Array:
    """Return what counts as yes above 1/2; numbers of other kinds would, too."""
    low, high = np.nanmin(columns, initial=0), np.nanmax(columns, initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"{name}: expected probabilities, from 0 to 1, got {low if low < 0 else high}"
        )
    return columns


def as_sequence(name: str, values: Any, length: int | None = None) -> tuple[Any, ...]:
    """Return the values of a sequence: at least one, or so many or none."""
    try:
        given = tuple(values)
    except TypeError:
        raise TypeError(f"{name}: expected a sequence, got {values!r}") from None
    if not given and length is not None:
        return ()
    if not given or length not in (None, len(given)):
        wanted = "at least one" if length is None else f"{length}"
        raise ValueError(f"{name}: expected {wanted}, got {len(given)}")
    return given


def as_baseline(baseline: Any, n: int) -> Array:
    """Return one finite answer for each of n targets, shape (n,)."""
    array = check.as_numeric("baseline", baseline)
    if array.shape != (n,):
        raise ValueError(f"baseline: expected shape ({n},), got {array.shape}")
    check.refuse_nonfinite("baseline", array.astype(np.float64))
    return array.astype(np.float64)


def as_levels(levels: Any) -> tuple[float, ...]:
    """Return one or more levels between 0 and 1."""
    try:
        given = () if isinstance(levels, (str, bytes)) else tuple(levels)
    except TypeError:
        given = ()
    if not given:
        raise ValueError(f"levels: expected one or more numbers, like (0.1, 0.9), got {levels!r}")
    return tuple(check.as_number(f"levels[{i}]", q, above=0, below=1) for i, q in enumerate(given))


def as_quantiles(outputs: Any, y: Any, levels: Any) -> tuple[Array, Array, tuple[float, ...]]:
    """Return outputs (s, q m), targets (s, m) and q levels."""
    targets, q = as_finite(y), as_levels(levels)
    columns = as_columns("outputs", outputs)
    expected = (len(targets), len(q) * targets.shape[1])
    if columns.shape != expected:
        raise ValueError(
            f"outputs: expected shape {expected}, {len(q)} levels of y's shape {targets.shape}, "
            f"got {columns.shape}"
        )
    return columns, targets, q


def or_nan(columns: Array, score: float) -> float:
    """Return a score that is made by comparing, in which NaN does not show."""
    return float("nan") if np.isnan(columns).any() else score


def as_labels(name: str, values: Any) -> Array:
    """Return integer labels, shape (s,)."""
    array = check.as_numeric(name, values)
    if array.dtype.kind not in "biu":
        raise TypeError(f"{name}: expected integer labels, got dtype {array.dtype}")
    if array.ndim != 1 or not array.size:
        hint = f"; {name}.ravel() makes one dimension of it" if array.shape[1:] == (1,) else ""
        raise ValueError(
            f"{name}: expected a label for each sample, shape (samples,), got {array.shape}{hint}"
        )
    return array


def as_counts(confusion: Any) -> Array:
    """Return a square matrix of counts."""
    array = check.as_numeric("confusion", confusion)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ValueError(f"confusion: expected shape (classes, classes), got {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("confusion: expected counts, got NaN or infinity")
    if array.min() < 0:
        raise ValueError(f"confusion: expected counts of at least 0, got {array.min()}")
    return array
