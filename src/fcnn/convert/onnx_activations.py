"""Activations in ONNX graphs: operators, ONNX Runtime's fusions, and formulas of several nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fcnn.convert.onnx import OPERATORS
from fcnn.convert.onnx_flow import CHAIN, Flow
from fcnn.convert.onnx_operators import Node, fail, gemm, with_constants
from fcnn.convert.steps import Activation, Array, Scale, Step, activation_step

# Operators that are one of fcnn's activations, and the attributes that make them so. The axis of a
# softmax, and numbers that activations of fcnn have too, are looked at apart.
_ELEMENTWISE: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    **{made.name: (name, made.attributes) for name, made in OPERATORS.items() if made is not None},
    "Celu": ("elu", {"alpha": (1.0,)}),  # of another alpha it is no elu
    "Erf": ("erf", {}),
    "com.microsoft.Gelu": ("gelu", {}),
    "com.microsoft.QuickGelu": ("silu", {"alpha": (1.0,)}),  # z sigmoid(alpha z), alpha 1.702
}
del _ELEMENTWISE["Softmax"], _ELEMENTWISE["Identity"]
_OPSET_OF_SOFTMAX = 13  # where it became one of an axis, not of all axes from one on

OTHERS = (
    "fcnn has no such activation; train the network with one of fcnn's (docs/convert.md lists them)"
)


def _elementwise(node: Node, flow: Flow) -> Flow:
    name, attributes = _ELEMENTWISE[node.op]
    given = node.attributes
    if node.op == "com.microsoft.QuickGelu":
        given = {"alpha": 1.702, **given}
    if node.op in ("LeakyRelu", "Elu"):
        alpha = shortest(np.float32(given.get("alpha", 0.01 if node.op == "LeakyRelu" else 1.0)))
        return _with_alpha(node, flow, name, "alpha", alpha)
    for attribute, valid in attributes.items():
        if (value := given.get(attribute, valid[0])) not in valid:
            fail(node, f"expected {attribute}={valid[0]!r}, got {value!r}; {OTHERS}")
    return flow.then(Activation(node.source, name))


def _with_alpha(node: Node, flow: Flow, name: str, what: str, alpha: float) -> Flow:
    if alpha == 0:
        return flow.then(Activation(node.source, "relu"))
    if alpha == 1 and name == "leaky_relu":
        return flow
    return flow.then(activation_step(node.source, name, what, alpha))


def shortest(number: Any) -> float:
    """Return the number of the fewest digits that rounds to this one: 0.2 of the float32 of 0.2."""
    return float(str(number))


def _prelu(node: Node, flow: Flow) -> Flow:
    flow, slopes = flow.row(node.source, node.constant(1))
    if not (slopes == slopes[0]).all():
        fail(node, f"has a slope for each node; {OTHERS}")
    slope = shortest(node.constant(1).ravel()[0])
    return _with_alpha(node, flow, "leaky_relu", "a slope of", slope)


def _softmax(node: Node, flow: Flow) -> Flow:
    """Return a softmax over all numbers of a row."""
    name = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[node.op]
    at = flow.where_rows_are(node.source)
    by_axis = node.version >= _OPSET_OF_SOFTMAX
    axis = node.attributes.get("axis", -1 if by_axis else 1)
    rank = len(flow.shape)
    if not -rank <= axis < rank:
        fail(node, f"expected an axis of {flow.shown}, got {axis}; {CHAIN}")
    axis %= rank
    size = flow.shape[axis] if by_axis else math.prod(flow.shape[axis:])
    if size != flow.width or (axis == at if by_axis else axis <= at):
        fail(
            node,
            f"expected axis=-1, over the outputs of a layer, got {axis} of {flow.shown}; {CHAIN}",
        )
    return flow.then(Activation(node.source, name))


def _clip(node: Node, flow: Flow) -> Flow:
    bounds = []
    for i, name, limit in ((1, "min", -math.inf), (2, "max", math.inf)):
        value = limit
        if name in node.attributes:
            value = float(node.attributes[name])
        elif node.is_given(i):
            value = float(node.constant(i).reshape(()))
        # Before version 11 the largest float32 stands for no bound.
        bounds.append(limit if abs(value) >= np.finfo(np.float32).max else value)
    if bounds == [0, math.inf]:
        return flow.then(Activation(node.source, "relu"))
    if bounds == [-math.inf, math.inf]:
        return flow
    return fail(node, f"clips to {bounds[0]:g} and {bounds[1]:g}; {OTHERS}")


def _max(node: Node, flow: Flow) -> Flow:
    if len(node.values) == 1:
        return flow
    if len(node.values) > 2:
        fail(node, f"cannot be converted; {OTHERS}")
    flow, numbers, _ = with_constants(node)
    if numbers.any():
        fail(node, f"is of other numbers than 0; {OTHERS}")
    return flow.then(Activation(node.source, "relu"))


def _greater(node: Node, flow: Flow) -> Flow:
    """Z > 20, of PyTorch's softplus, and z > 0, of slopes."""
    flow, numbers, first = with_constants(node)
    if first and numbers.size == 1 and numbers[0] in (0, 20):
        return replace(
            flow.then(Activation(node.source, f"z > {numbers[0]:g}")), dtype=np.dtype(bool)
        )
    return fail(node, f"cannot be converted; {OTHERS}")


def _fused_gemm(node: Node, flow: Flow) -> Flow:
    made = gemm(node, flow)
    op = node.attributes.get("activation", b"").decode()
    attributes = {
        name.removeprefix("activation_"): value
        for name, value in node.attributes.items()
        if name.startswith("activation_")
    }
    if op not in ("Elu", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Tanh"):
        fail(node, f"is fused with {op or 'no activation'}; {OTHERS}")
    return _elementwise(replace(node, op=op, attributes=attributes, values=[made]), made)


def _bias_gelu(node: Node, flow: Flow) -> Flow:
    flow, numbers, _ = with_constants(node)
    return flow.then(Scale(node.source, None, numbers), Activation(node.source, "gelu"))


ACTIVATIONS: dict[str, Callable[[Node, Flow], Any]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Clip": _clip, "Greater": _greater, "LogSoftmax": _softmax, "Max": _max, "PRelu": _prelu,
    "Softmax": _softmax, "com.microsoft.BiasGelu": _bias_gelu,
    "com.microsoft.FusedGemm": _fused_gemm,
}  # fmt: skip


# --- Formulas ------------------------------------------------------------------------------------


def joined_activation(node: Node) -> Flow:
    """Return what tensors of a common origin make, which must be an activation."""
    flows = [value for value in node.values if isinstance(value, Flow)]
    first = flows[0]
    alike = all(
        flow.inputs is first.inputs and (flow.shape, flow.outer) == (first.shape, first.outer)
        for flow in flows
    )
    made: Sequence[Step] | None = None
    if alike and node.op == "Where" and isinstance(node.values[0], Flow):
        made = _chosen(node)
    elif alike and node.op == "Mul" and len(flows) == len(node.values) == 2:
        made = _product_of(node.source, *flows)
    elif alike and node.op == "Max" and len(flows) == len(node.values) == 2:
        made = _larger(node.source, *flows)
    if made is None:
        return fail(node, f"joins tensors to what is not one of fcnn's activations; {CHAIN}")
    return replace(flows[-1], steps=tuple(made))


def _common(a: Sequence[Step], b: Sequence[Step]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] is b[n]:
        n += 1
    return n


def _chosen(node: Node) -> Sequence[Step] | None:
    """Z where z > 20, softplus(z) elsewhere; or z where z > 0, alpha z elsewhere."""
    if not all(isinstance(value, Flow) for value in node.values):
        return None
    above, z, other = (value.steps for value in node.values)
    if not above or above[:-1] != z or not isinstance(above[-1], Activation):
        return None
    if above[-1].name == "z > 20":
        is_softplus = other[:-1] == z and getattr(other[-1], "name", None) == "softplus"
        return other if is_softplus else None
    return _leaky(node.source, z, other, node.values[1].dtype)


def _leaky(
    source: str, z: Sequence[Step], other: Sequence[Step], dtype: Any
) -> Sequence[Step] | None:
    """Return the larger of z and alpha z, alpha being at most 1."""
    n = _common(z, other)
    numbers = numbers_of(other[n:])
    if n < len(z) or numbers is None or numbers[1]:
        return None
    kind = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    return (*z, activation_step(source, "leaky_relu", "a slope of", shortest(kind(numbers[0]))))


def _larger(source: str, a: Flow, b: Flow) -> Sequence[Step] | None:
    z, other = sorted((a.steps, b.steps), key=len)
    numbers = numbers_of(other[len(z) :])
    if numbers is None or not 0 < numbers[0] < 1:
        return None
    return _leaky(source, z, other, a.dtype)


def _product_of(source: str, first: Flow, second: Flow) -> Sequence[Step] | None:
    a, b = first.steps, second.steps
    n = _common(a, b)
    for z, gate in ((a[n:], b[n:]), (b[n:], a[n:])):
        if steps := _gated(source, z, gate, precision(first.dtype)):
            return (*a[:n], *steps)
    return None


def precision(dtype: Any) -> float:
    """Return the distance of 1 to the next number."""
    names = {"float16": 2**-10, "bfloat16": 2**-7}
    return names.get(np.dtype(dtype).name) or float(np.finfo(dtype).eps)


def _gated(source: str, z: Sequence[Step], gate: Sequence[Step], eps: float) -> list[Step]:
    """Return z (1 + erf(z / sqrt 2)) as 2 gelu(z), and z sigmoid(z) as silu(z), times a number."""
    at = next((i for i, step in enumerate(gate) if isinstance(step, Activation)), None)
    if at is None:
        return []
    numbers = [numbers_of(steps) for steps in (z, gate[:at], gate[at + 1 :])]
    if None in numbers:
        return []
    (s, shift), (inner, inner_shift), (outer, outer_shift) = (pair or (1, 0) for pair in numbers)
    name = getattr(gate[at], "name", None)
    if shift or inner_shift:
        return []
    if name == "erf" and abs(inner - math.sqrt(0.5)) <= 2 * eps and outer_shift == outer:
        name, multiple = "gelu", 2 * s * outer
    elif name == "sigmoid" and inner == 1 and not outer_shift:
        name, multiple = "silu", s * outer
    else:
        return []
    steps: list[Step] = [Activation(source, name)]
    return steps if multiple == 1 else [*steps, Scale(source, np.array([multiple]), None)]


def numbers_of(steps: Sequence[Step]) -> tuple[Any, Any] | None:
    """Return s and t of steps that are s z + t with the same numbers for all nodes."""
    s: Any = 1
    t: Array | Any = 0
    for step in steps:
        if not isinstance(step, Scale):
            return None
        if step.s is not None:
            s, t = s * step.s, t * step.s
        if step.t is not None:
            t = t + step.t
    return (np.ravel(s)[0], np.ravel(t)[0]) if np.size(s) == np.size(t) == 1 else None
