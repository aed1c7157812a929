"""Weights and biases as views of the flat vector that holds all parameters."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check

Array = NDArray[Any]


def layer_views(flat: Array, sizes: tuple[int, ...]) -> tuple[list[Array], list[Array]]:
    """Return W^l as (n_l, n_(l-1)) and b^l as (n_l,), views of a flat vector, for l = 1..L."""
    weights, biases = [], []
    begin = 0
    for n_in, n_out in itertools.pairwise(sizes):
        end = begin + n_in * n_out
        weights.append(flat[begin:end].reshape(n_in, n_out).T)
        biases.append(flat[end : end + n_out])
        begin = end + n_out
    return weights, biases


class Views(list[Array]):
    """Views of the parameters; an assigned entry is copied into its view instead of lost."""

    def __init__(self, name: str, views: Iterable[Array]) -> None:
        super().__init__(views)
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # a copy or a pickle belongs to no network

    def _converted(self, index: int, values: Any) -> Array:
        name, shape = f"{self._name}[{index}]", self[index].shape
        array = check.as_numeric(name, values)
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        return check.cast(name, array, self[index].dtype)

    def __setitem__(self, index: Any, values: Any) -> None:
        if isinstance(index, slice):
            raise TypeError(f"{self._name}: assign one layer, or all of them; got a slice")
        self[index][...] = self._converted(index, values)

    def assign(self, values: Sequence[Any]) -> None:
        """Copy an array into each view, once all have been checked."""
        try:
            given = list(values)
        except TypeError:
            raise TypeError(f"{self._name}: expected {len(self)} arrays, got {values!r}") from None
        if len(given) != len(self):
            raise ValueError(f"{self._name}: expected {len(self)} arrays, got {len(given)}")
        # Copies, because the arrays may be these very views in another order.
        converted = [self._converted(i, array).copy() for i, array in enumerate(given)]
        for view, array in zip(self, converted, strict=True):
            view[...] = array

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(f"{self._name}: the number of layers is fixed")

    __delitem__ = __iadd__ = append = clear = extend = insert = _refuse
    __imul__ = pop = remove = reverse = sort = _refuse  # type: ignore[assignment]


def write_sample_gradients(a: Sequence[Array], delta: Sequence[Array], out: Array) -> None:
    """Write dC/dW and dC/db of each sample, (s, num_parameters), from all a^l and delta^l."""
    end = 0
    for l in range(1, len(delta)):
        n_in, n_out = a[l - 1].shape[1], delta[l].shape[1]
        begin_W, end_W = end, end + n_in * n_out
        end = end_W + n_out
        place = out[:, begin_W:end_W].reshape(-1, n_in, n_out)  # a view
        np.multiply(a[l - 1][:, :, np.newaxis], delta[l][:, np.newaxis, :], out=place)
        out[:, end_W:end] = delta[l]
