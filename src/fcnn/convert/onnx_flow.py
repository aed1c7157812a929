"""Tensors of an ONNX graph as the input leads to them: rows of numbers, in some shape.

A graph reshapes, transposes and squeezes what a network keeps as rows: a tensor is followed as its
steps from the input, and apart from them as the places of rows and of their numbers in its shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fcnn.convert.steps import Array, Cast, Scale, Select, Step, real, refuse

# In the place of numbers that are not known: of rows, and of features. Primes that no size is a
# multiple of by chance.
ROWS, FEATURES = 1_000_003, 1_000_033

CHAIN = "a network is a chain of layers; output=NAME converts the chain that leads to a tensor"


class Inputs(NamedTuple):
    """(x[columns] - mean) / scale, in float64; columns is None for all of an unknown number."""

    columns: Array | None
    mean: Array
    scale: Array

    def then(self, scale: Scale) -> Inputs:
        """Return s u + t of what this is."""
        s = np.ones(1) if scale.s is None else scale.s
        if not (s != 0).all():
            refuse(scale.source, "multiplies an input by 0; export the model without that input")
        t = np.zeros(1) if scale.t is None else scale.t
        return Inputs(self.columns, self.mean - t / s * self.scale, self.scale / s)

    def of_width(self, n: int) -> Inputs:
        """Return one number for each of n columns."""
        columns = np.arange(n) if self.columns is None else self.columns
        return Inputs(columns, *(np.broadcast_to(v, len(columns)) for v in self[1:]))


@dataclass(frozen=True, eq=False)
class Flow:
    """A tensor of `rows` rows, that the input leads to.

    Read in the order of memory, its numbers are `outer` groups, in each of which every row has the
    same number of them. Reshaping leaves that as it is.
    """

    shape: tuple[int, ...]
    rows: int
    outer: int
    dtype: np.dtype[Any]
    inputs: Inputs
    steps: tuple[Step, ...] = ()  # casts only, until the first layer

    @property
    def axis(self) -> int | None:
        """Where the rows are in the shape; None if they share an axis with their numbers."""
        for i, size in enumerate(self.shape):
            if size == self.rows and math.prod(self.shape[:i]) == self.outer:
                return i
        return None

    @property
    def width(self) -> int:
        """How many numbers each row has."""
        return math.prod(self.shape) // self.rows

    @property
    def shown(self) -> str:
        """The shape, for messages."""
        names = {ROWS: "rows", FEATURES: "features"}
        return f"({', '.join(names.get(n, str(n)) for n in self.shape)})"

    @property
    def is_raw(self) -> bool:
        """Whether no layer and no activation stands before it."""
        return all(isinstance(step, Cast) for step in self.steps)

    def then(self, *steps: Step) -> Flow:
        """Return what steps make of it, in the same shape."""
        flow = self
        for step in steps:
            if isinstance(step, Scale) and flow.is_raw:
                flow = replace(flow, inputs=flow.inputs.then(step))
            else:
                flow = replace(flow, steps=(*flow.steps, step))
        return flow

    def where_rows_are(self, source: str) -> int:
        """Return `axis`, or refuse."""
        if self.axis is None:
            refuse(source, f"rows and their numbers are one axis of {self.shown}; {CHAIN}")
        return self.axis

    def expect_features(self, source: str) -> None:
        """Refuse an unknown number of features."""
        if FEATURES in self.shape:
            refuse(
                source,
                f"the number of features of {self.shown} is not known; export the model with it",
            )

    def bound(self, n: int) -> Flow:
        """Return it with n features, if their number was not known."""
        if FEATURES not in self.shape:
            return self
        shape = tuple(n if size == FEATURES else size for size in self.shape)
        outer = n if self.outer == FEATURES else self.outer
        return replace(self, shape=shape, outer=outer, inputs=self.inputs.of_width(n))

    # --- Shapes ----------------------------------------------------------------------------------

    def reshaped(self, shape: Sequence[int], source: str) -> Flow:
        """Return it in another shape, -1 in which is what remains."""
        size, known = math.prod(self.shape), math.prod(n for n in shape if n != -1)
        if -1 in shape and known > 0 and size % known == 0:
            shape = [size // known if n == -1 else n for n in shape]
        if math.prod(shape) != size or min(shape, default=1) < 1:
            refuse(
                source,
                f"the shape {list(shape)} does not follow from {self.shown} for every number of "
                "rows; export the model with a shape that does, or give output=NAME",
            )
        return replace(self, shape=tuple(shape))

    def rearranged(self, change: Callable[[Array], Array], source: str) -> Flow:
        """Return what a function that moves or chooses numbers of a row makes of it.

        It is told where the numbers are by an array of the tensor's shape, with a single row; the
        axis of rows must come through it.
        """
        axis = self.where_rows_are(source)
        self.expect_features(source)
        given = np.arange(self.width).reshape([*self.shape[:axis], 1, *self.shape[axis + 1 :]])
        # A second row, to see where the rows are then.
        both = np.concatenate([given, given + self.width], axis)
        try:
            chosen, two = change(given), change(both)
        except (IndexError, ValueError) as error:  # NumPy's, of axes and places that are not there
            refuse(source, f"does not fit {self.shown} ({error}); {CHAIN}")
        places = [i for i, (a, b) in enumerate(zip(chosen.shape, two.shape, strict=True)) if a != b]
        if len(places) != 1 or two.shape[places[0]] != 2:
            refuse(source, f"changes the number of rows; {CHAIN}")
        at = places[0]
        if not (np.take(two, [0], at) == chosen).all():
            refuse(source, f"changes the order of rows; {CHAIN}")
        shape = (*chosen.shape[:at], self.rows, *chosen.shape[at + 1 :])
        moved = replace(self, shape=shape, outer=math.prod(shape[:at]))
        indices = chosen.reshape(-1)
        if np.array_equal(indices, np.arange(self.width)):
            return moved
        if not self.is_raw:
            return moved.then(Select(source, indices))
        columns, mean, scale = self.inputs.of_width(self.width)
        assert columns is not None
        return replace(moved, inputs=Inputs(columns[indices], mean[indices], scale[indices]))

    # --- Constants -------------------------------------------------------------------------------

    def row(self, source: str, values: Array) -> tuple[Flow, Array]:
        """Return constants that are broadcast with it as float64 of shape (1,) or (width,).

        The flow is returned as its shape is then: with further axes, or features that are known.
        """
        numbers = as_real(source, values)
        flow = self.bound(numbers.shape[-1]) if numbers.ndim and numbers.size > 1 else self
        if numbers.ndim > len(flow.shape):
            shape = (*(1,) * (numbers.ndim - len(flow.shape)), *flow.shape)
            flow = replace(flow, shape=shape)
        numbers = numbers.reshape((*(1,) * (len(flow.shape) - numbers.ndim), *numbers.shape))
        if any(n not in (1, size) for n, size in zip(numbers.shape, flow.shape, strict=True)):
            refuse(
                source,
                f"expected a number for each node: numbers that fit {flow.shown}, got shape "
                f"{values.shape}; {CHAIN}",
            )
        if numbers.size == 1:
            return flow, numbers.reshape(1).astype(np.float64)
        axis = flow.where_rows_are(source)
        if numbers.shape[axis] != 1:
            refuse(
                source,
                f"expected the same numbers for every row, got shape {values.shape}; {CHAIN}",
            )
        shape = (*flow.shape[:axis], 1, *flow.shape[axis + 1 :])
        return flow, np.broadcast_to(numbers, shape).reshape(-1).astype(np.float64)


def is_float(dtype: Any) -> bool:
    """Return whether it is a floating-point type, one of 16 bits or less included."""
    return np.dtype(dtype).kind == "f" or "float" in np.dtype(dtype).name


def as_real(source: str, values: Array) -> Array:
    """Return constants as float32 or float64; those of 16 bits become the same in float32."""
    if values.dtype.name in ("float16", "bfloat16"):
        return values.astype(np.float32)
    return real(source, values)


def joined(flows: Sequence[Flow], source: str, axis: int) -> Flow | None:
    """Return inputs side by side, as Concat makes them; None if these are not all inputs."""
    first = flows[0]
    if not all(flow.is_raw and flow.rows == first.rows for flow in flows):
        return None
    for flow in flows:
        flow.expect_features(source)
    at = first.where_rows_are(source)
    alike = {(len(flow.shape), flow.axis, flow.dtype, len(flow.steps)) for flow in flows}
    if len(alike) > 1 or axis % len(first.shape) == at:
        refuse(source, f"puts together what are not features of the same rows; {CHAIN}")
    parts: list[list[Array]] = [[], [], []]
    for flow in flows:
        shape = (*flow.shape[:at], 1, *flow.shape[at + 1 :])
        for part, values in zip(parts, flow.inputs.of_width(flow.width), strict=True):
            part.append(np.reshape(values, shape))  # type: ignore[arg-type]
    together = [np.concatenate(part, axis) for part in parts]
    made = together[0].shape
    shape = (*made[:at], first.rows, *made[at + 1 :])
    inputs = Inputs(*(values.reshape(-1) for values in together))
    return replace(first, shape=shape, outer=math.prod(shape[:at]), inputs=inputs)
