"""What each operator of ONNX makes of a tensor that the input leads to: its shape, its layers.

A table of functions by operator. Each takes a node and its first such tensor, asks for every
attribute that would make it something else, and returns what the tensor is then. Activations stand
in `onnx_activations`, labels and probabilities in `onnx_answers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcnn.convert.onnx_flow import CHAIN, ROWS, Flow, as_real, is_float, joined
from fcnn.convert.steps import Array, Cast, Scale, linear, normalization, refuse

_TAKES_INTEGERS = ("ai.onnx.ml.Scaler",)  # and makes real numbers of them


@dataclass(frozen=True)
class Node:
    """A node, with what its inputs are."""

    source: str  # its name and operator, for messages
    op: str
    attributes: dict[str, Any]
    values: Sequence[Any]  # an array of constants, None if left out, or what the input leads to
    version: int  # of the set of operators that it is from
    num_outputs: int
    to_dtype: Callable[[int], Any]
    takes_rows: bool = False  # whether a constant is computed from the number of rows

    def is_given(self, i: int) -> bool:
        """Return whether it has an input."""
        return i < len(self.values) and self.values[i] is not None

    def constant(self, i: int) -> Array:
        """Return an input that is constant."""
        value = self.values[i] if self.is_given(i) else None
        if not isinstance(value, np.ndarray):
            refuse(self.source, f"expected constants as its input {i + 1}; {CHAIN}")
        return value

    def integers(self, i: int, attribute: str) -> list[int] | None:
        """Return integers that are an attribute, or since a later version an input."""
        if attribute in self.attributes:
            return [int(n) for n in np.ravel(self.attributes[attribute])]
        return [int(n) for n in self.constant(i).ravel()] if self.is_given(i) else None

    @property
    def flow(self) -> Flow:
        """The tensor that the input leads to, of one alone."""
        flows = [value for value in self.values if isinstance(value, Flow)]
        if len(flows) != 1:
            refuse(
                self.source,
                f"joins tensors to what is not one of fcnn's activations; {CHAIN}",
            )
        if not is_float(flows[0].dtype) and self.op not in _TAKES_INTEGERS:
            refuse(self.source, f"computes with {flows[0].dtype}, not with real numbers; {CHAIN}")
        return flows[0]


_NO_END = 2**31 - 1  # what exporters write for an end that is none, or more


def fail(node: Node, why: str) -> Any:
    """Refuse a node."""
    refuse(node.source, why)


# --- Shapes --------------------------------------------------------------------------------------


def _same(node: Node, flow: Flow) -> Flow:
    return flow


def _dropout(node: Node, flow: Flow) -> Flow:
    if len(node.values) > 2 and node.is_given(2) and np.any(node.constant(2)):
        fail(node, "is in training mode; export the model for inference")
    return flow


def _cast(node: Node, flow: Flow) -> Any:
    if node.op == "CastLike":
        dtype = np.dtype(node.values[1].dtype)
        if isinstance(node.values[0], np.ndarray):  # constants, like what the input leads to
            return node.values[0].astype(dtype)
    else:
        dtype = np.dtype(node.to_dtype(node.attributes["to"]))
    if dtype == flow.dtype:
        return flow
    return replace(flow.then(Cast(node.source, dtype)), dtype=dtype)


def _flatten(node: Node, flow: Flow) -> Flow:
    axis = node.attributes.get("axis", 1)
    axis += len(flow.shape) if axis < 0 else 0
    sizes = flow.shape[:axis], flow.shape[axis:]
    return flow.reshaped([math.prod(part) for part in sizes], node.source)


def _reshape(node: Node, flow: Flow) -> Flow:
    shape = [int(n) for n in node.constant(1).ravel()]
    if not node.attributes.get("allowzero", 0):
        if any(n == 0 and i >= len(flow.shape) for i, n in enumerate(shape)):
            fail(node, f"the shape {shape} does not fit {flow.shown}; {CHAIN}")
        shape = [flow.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return flow.reshaped(shape, node.source)


def _squeeze(node: Node, flow: Flow) -> Flow:
    axes = node.integers(1, "axes")
    if axes is None:
        return flow.reshaped([n for n in flow.shape if n != 1], node.source)
    axes = [a % len(flow.shape) for a in axes]
    if any(flow.shape[a] != 1 for a in axes):
        fail(node, f"expected axes of size 1 of {flow.shown}, got {axes}; {CHAIN}")
    return flow.reshaped([n for a, n in enumerate(flow.shape) if a not in axes], node.source)


def _unsqueeze(node: Node, flow: Flow) -> Flow:
    axes = node.integers(1, "axes") or []
    rank = len(flow.shape) + len(axes)
    axes = [a % rank for a in axes]
    sizes = iter(flow.shape)
    return flow.reshaped([1 if a in axes else next(sizes) for a in range(rank)], node.source)


def _transpose(node: Node, flow: Flow) -> Flow:
    order = node.attributes.get("perm")
    return flow.rearranged(lambda given: np.transpose(given, order), node.source)


def _gather(node: Node, flow: Flow) -> Flow:
    if not isinstance(node.values[0], Flow):
        fail(node, f"looks constants up; {CHAIN}")
    indices, axis = node.constant(1), node.attributes.get("axis", 0)
    if node.op == "ai.onnx.ml.ArrayFeatureExtractor":
        indices, axis = indices.ravel(), -1
    return flow.rearranged(lambda given: np.take(given, indices, axis), node.source)


def _slice(node: Node, flow: Flow) -> Flow:
    starts, ends = node.integers(1, "starts") or [], node.integers(2, "ends") or []
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4, "steps") or [1] * len(starts)
    at, rank = flow.where_rows_are(node.source), len(flow.shape)
    if not all(-rank <= axis < rank for axis in axes):
        fail(node, f"expected axes of {flow.shown}, got {axes}")
    parts = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= rank
        size = flow.shape[axis]
        # Of negative steps an end before the first is one that no index reaches.
        part = slice(start, None if step < 0 and end < -size else end, step)
        if axis == at:
            # Of all rows, as many as there are: an end that few rows do not reach is none.
            reached = end >= _NO_END or end == size or (end > size and size != ROWS)
            if not (reached and step == 1 and part.indices(size)[0] == 0):
                fail(node, f"takes some of the rows alone; {CHAIN}")
            part = slice(None)
        elif node.takes_rows and any(size < abs(n) < _NO_END for n in (start, end)):
            fail(node, f"takes as many numbers of a row as there are rows; {CHAIN}")
        parts[axis] = part

    def change(given: Array) -> Array:
        return given[tuple(parts)]

    return flow.rearranged(change, node.source)


def _split(node: Node, flow: Flow) -> list[Flow]:
    axis = node.attributes.get("axis", 0) % len(flow.shape)
    if axis == flow.where_rows_are(node.source) and node.num_outputs > 1:
        fail(node, f"takes some of the rows alone; {CHAIN}")
    sizes = node.integers(1, "split")
    if sizes is None:
        part = -(-flow.shape[axis] // node.num_outputs)
        sizes = [part] * (node.num_outputs - 1)
    ends = np.cumsum(sizes)[: node.num_outputs - 1]

    def part_of(i: int) -> Flow:
        return flow.rearranged(lambda given: np.split(given, ends, axis)[i], node.source)

    return [part_of(i) for i in range(node.num_outputs)]


def _concat(node: Node, flow: Flow) -> Flow:
    if len(node.values) == 1:
        return flow
    if all(isinstance(value, Flow) for value in node.values):
        together = joined(list(node.values), node.source, node.attributes["axis"])
        if together is not None:
            return together
    return fail(node, f"joins tensors to what is not one of fcnn's activations; {CHAIN}")


# --- Layers --------------------------------------------------------------------------------------


def _linear(node: Node, flow: Flow, W: Array) -> Flow:
    """Return W x of x, the last axis of a tensor, whose others have one number of each row."""
    W = as_real(node.source, W)
    flow = flow.bound(W.shape[1])
    axis = flow.where_rows_are(node.source)
    n_in = flow.shape[-1]
    if axis == len(flow.shape) - 1 or n_in != flow.width:
        fail(
            node,
            f"expected shape (samples, features), got {flow.shown}, of which it multiplies the "
            "last axis alone; export the model with a Flatten before it, which makes one row of a "
            "sample",
        )
    if n_in != W.shape[1]:
        fail(node, f"expected {W.shape[1]} numbers a row, got {n_in}; {CHAIN}")
    shape = (*flow.shape[:-1], len(W))
    made = replace(flow, shape=shape, outer=math.prod(shape[:axis]))
    return made.then(linear(node.source, W))


def _matrix(node: Node, i: int) -> Array:
    W = node.constant(i)
    if W.ndim == 1 and i == 1:
        W = W[:, np.newaxis]  # a vector behind a tensor, which then loses the axis
    if W.ndim < 2 or max(W.shape[:-2], default=1) > 1:
        fail(node, f"expected a matrix of weights, got shape {W.shape}; {CHAIN}")
    return W


def _transposed(flow: Flow, node: Node) -> Flow:
    return flow.rearranged(lambda given: np.swapaxes(given, -1, -2), node.source)


def _product(node: Node, transposes: Sequence[bool]) -> Flow:
    """Return the product of two matrices, one of which is constant."""
    flow = node.flow
    first = isinstance(node.values[0], Flow)
    W = _matrix(node, 1 if first else 0)
    if len(flow.shape) < 2:
        fail(node, f"expected shape (samples, features), got {flow.shown}; {CHAIN}")
    # A product with matrices of a further axis has it, too.
    further = (1,) * (W.ndim - len(flow.shape))
    flow = flow.reshaped((*further, *flow.shape), node.source)
    W = W.reshape(W.shape[-2:])
    if transposes[first]:
        W = W.T
    if transposes[not first]:
        flow = _transposed(flow, node)
    if first:
        made = _linear(node, flow, W.T)
        is_vector = node.constant(1).ndim == 1
        return made.reshaped(made.shape[:-1], node.source) if is_vector else made
    return _transposed(_linear(node, _transposed(flow, node), W), node)


def _matmul(node: Node, flow: Flow) -> Flow:
    if node.op == "MatMul":
        return _product(node, (False, False))
    given = node.attributes  # FusedMatMul
    if given.get("transBatchA", 0) or given.get("transBatchB", 0):
        fail(node, f"transposes its batches; {CHAIN}")
    made = _product(node, (bool(given.get("transA", 0)), bool(given.get("transB", 0))))
    alpha = given.get("alpha", 1.0)
    return made if alpha == 1 else made.then(Scale(node.source, np.array([alpha]), None))


def gemm(node: Node, flow: Flow) -> Flow:
    """Return alpha A B + beta C."""
    given = node.attributes
    if not all(isinstance(value, (Flow, np.ndarray)) for value in node.values[:2]):
        fail(node, f"expected a matrix of weights; {CHAIN}")
    if isinstance(node.values[2] if len(node.values) > 2 else None, Flow):
        fail(node, f"joins tensors to what is not one of fcnn's activations; {CHAIN}")
    made = _product(node, (bool(given.get("transA", 0)), bool(given.get("transB", 0))))
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    if alpha != 1:
        made = made.then(Scale(node.source, np.array([alpha]), None))
    if node.is_given(2) and beta != 0:
        shape = made.shape
        made, C = made.row(node.source, node.constant(2))
        if made.shape != shape:
            fail(
                node,
                f"expected a number for each node, got shape {node.constant(2).shape}; {CHAIN}",
            )
        made = made.then(Scale(node.source, None, C if beta == 1 else beta * C))
    return made


def with_constants(node: Node) -> tuple[Flow, Array, bool]:
    """Return the tensor, the constants that it is computed with, and if the tensor comes first."""
    flow = node.flow
    first = isinstance(node.values[0], Flow)
    flow, numbers = flow.row(node.source, node.constant(1 if first else 0))
    return flow, numbers, first


def _add(node: Node, flow: Flow) -> Flow:
    if len(node.values) == 1:
        return flow
    if len(node.values) > 2:
        fail(node, f"joins tensors to what is not one of fcnn's activations; {CHAIN}")
    flow, numbers, _ = with_constants(node)
    return flow.then(Scale(node.source, None, numbers))


def _sub(node: Node, flow: Flow) -> Flow:
    flow, numbers, first = with_constants(node)
    if first:
        return flow.then(Scale(node.source, None, -numbers))
    return flow.then(Scale(node.source, np.array([-1.0]), numbers))


def _mul(node: Node, flow: Flow) -> Flow:
    flow, numbers, _ = with_constants(node)
    return flow.then(Scale(node.source, numbers, None))


def _div(node: Node, flow: Flow) -> Flow:
    flow, numbers, first = with_constants(node)
    if not first:
        fail(node, f"divides by what a layer returns; {CHAIN}")
    if not numbers.all():
        fail(node, f"divides by 0; {CHAIN}")
    return flow.then(Scale(node.source, 1 / numbers, None))


def _neg(node: Node, flow: Flow) -> Flow:
    return flow.then(Scale(node.source, np.array([-1.0]), None))


def _batch_normalization(node: Node, flow: Flow) -> Flow:
    # Before version 14 further outputs are those of a training.
    if node.attributes.get("training_mode", 0) or (node.version < 14 and node.num_outputs > 1):
        fail(node, "is in training mode; export the model for inference")
    if not node.attributes.get("spatial", 1):
        fail(node, f"expected spatial=1, got 0; {CHAIN}")
    if len(flow.shape) < 2:
        fail(node, f"expected shape (samples, features), got {flow.shown}; {CHAIN}")
    rows = []
    for i in range(1, 5):  # gamma, beta, mean, variance
        shape = (1, -1, *(1,) * (len(flow.shape) - 2))
        flow, numbers = flow.row(node.source, node.constant(i).reshape(shape))
        rows.append(numbers)
    gamma, beta, mean, variance = rows
    epsilon = node.attributes.get("epsilon", 1e-5)
    return flow.then(normalization(node.source, gamma, beta, mean, variance, epsilon))


def _scaler(node: Node, flow: Flow) -> Flow:
    """(x - offset) scale."""
    dtype = np.float32
    for name, scale in (("offset", False), ("scale", True)):
        values = np.array(node.attributes.get(name, [1.0 if scale else 0.0]), dtype)
        if values.size == 1:
            values = values.reshape(())
        flow, numbers = flow.row(node.source, values)
        step = (numbers, None) if scale else (None, -numbers)
        flow = flow.then(Scale(node.source, *step))
    return replace(flow, dtype=np.dtype(dtype))


SHAPES: dict[str, Callable[[Node, Flow], Any]] = {
    "Cast": _cast, "CastLike": _cast, "Concat": _concat, "Dropout": _dropout,
    "Flatten": _flatten, "Gather": _gather, "Identity": _same, "Reshape": _reshape,
    "Slice": _slice, "Split": _split, "Squeeze": _squeeze, "Transpose": _transpose,
    "Unsqueeze": _unsqueeze, "ai.onnx.ml.ArrayFeatureExtractor": _gather,
}  # fmt: skip
LAYERS: dict[str, Callable[[Node, Flow], Any]] = {
    "Add": _add, "BatchNormalization": _batch_normalization, "Div": _div, "Gemm": gemm,
    "MatMul": _matmul, "Mul": _mul, "Neg": _neg, "Sub": _sub, "Sum": _add,
    "ai.onnx.ml.Scaler": _scaler, "com.microsoft.FusedMatMul": _matmul,
}  # fmt: skip


def tensor_shape(node: Node, flow: Flow) -> Array:
    """Return what Shape returns: of rows whose number is not known, ROWS."""
    begin, end = node.attributes.get("start", 0), node.attributes.get("end", None)
    return np.array(flow.shape[begin:end], np.int64)
