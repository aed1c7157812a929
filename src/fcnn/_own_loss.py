"""Losses of the user's own: the function, and what it answers."""

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check

Array = NDArray[Any]
OwnLoss = Callable[..., tuple[float, ArrayLike]]


def as_own_loss(loss: Any) -> Any:
    """Return a loss of the user's own, or None for the network's."""
    if loss is not None and not callable(loss):
        raise TypeError(
            f"loss: expected a function of (a, y) that returns (value, dC/da), got {loss!r}; the "
            "losses with names are chosen in fcnn.Network(loss=...)"
        )
    return loss


def value_of(loss: OwnLoss, a: Array, y: Any, weight: Any) -> tuple[float, Array]:
    """Return what a loss gives for some outputs: its value and dC/da, checked."""
    return as_answer(loss(a, y) if weight is None else loss(a, y, weight), a)


def as_answer(answer: Any, a: Array) -> tuple[float, Array]:
    """Return what a loss answered for outputs `a`, as the core takes it."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise TypeError(
            f"loss: expected a function that returns (value, dC/da), got {type(answer).__name__}"
        )
    given = answer[0]
    try:
        if isinstance(given, (str, bytes)):  # which float would read
            raise TypeError
        value = float(given)
    except (OverflowError, TypeError, ValueError):
        shape = tuple(getattr(given, "shape", ()))
        got = f"an array of shape {shape}" if shape else reprlib.repr(given)
        raise TypeError(
            f"loss: expected (value, dC/da), the value a number; got {got} as the value"
        ) from None
    derivative = check.as_numeric("loss: dC/da", answer[1])
    if derivative.shape != a.shape:
        raise ValueError(f"loss: expected dC/da of shape {a.shape}, got {derivative.shape}")
    return value, check.cast("loss: dC/da", derivative, a.dtype)


def as_exactly(name: str, values: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return numbers of one shape alone, as the core takes them."""
    array = check.as_numeric(name, values)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return check.cast(name, array, dtype)
