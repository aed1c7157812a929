"""What `fcnn.reference` is given and `fcnn.Network` checks elsewhere, or has no argument for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _architecture as architecture
from fcnn import _validation as check
from fcnn._dispatch import core

Array = NDArray[Any]


def as_architecture(
    sizes: Any, activations: Any, loss: Any
) -> tuple[tuple[int, ...], tuple[str, ...], str]:
    """Return sizes, one activation for each layer 1..L, and the loss."""
    sizes = architecture.as_sizes(sizes)
    try:
        given = () if isinstance(activations, str) else tuple(activations)
    except TypeError:
        given = ()
    if len(given) != len(sizes) - 1:
        raise ValueError(
            f"activations: expected {len(sizes) - 1} names, one for each layer, got {activations!r}"
        )
    # Of one level, too: there is nothing that could rise, and it is the same mathematics.
    is_ascending = given[-1] == "ascending"
    output = None if is_ascending else given[-1]
    names, loss = architecture.of_sizes(sizes, given[:-1], output, loss)
    return sizes, (*names[:-1], "ascending") if is_ascending else names, loss


def num_targets(n_L: int, loss: str) -> int:
    """Return the columns of y: n_L, or a part of it where the loss has several outputs for each."""
    each: int = core.outputs_per_target(loss)
    return n_L // each


def as_shape(name: str, values: Any, shape: tuple[int, ...], of: str) -> Array:
    """Return an array of the shape that another has: NumPy would broadcast others, or fail."""
    array = check.as_numeric(name, values)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, that of {of}, got {array.shape}")
    return array


def as_out(out: Any, shape: tuple[int, ...]) -> Array:
    """Return a place for an answer."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array of shape {shape}, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out: expected an array of shape {shape}, got shape {out.shape}")
    return out


def as_order(order: Any, rows: int) -> Array:
    """Return which samples an epoch takes; None is all of them, as they stand."""
    if order is None:
        return np.arange(rows)
    array = check.as_numeric("order", order)
    if array.dtype.kind not in "iu" or array.ndim != 1 or not array.size:
        raise ValueError(
            f"order: expected indices of samples, got {array.dtype} of shape {array.shape}"
        )
    if array.min() < 0 or array.max() >= rows:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"order: expected indices from 0 to {rows - 1}, got {wrong}")
    return array


def as_output(output: Any, n_L: int) -> int:
    """Return which output is meant."""
    index = check.as_count("output", output, least=0)
    if index >= n_L:
        raise ValueError(f"output: expected 0 to {n_L - 1}, got {index}")
    return index
