"""ONNX models, read as a graph; what each activation is in ONNX, for the writer, too."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fcnn._dispatch import core
from fcnn.convert.steps import (
    Activation,
    Array,
    Cast,
    Scale,
    Step,
    Unflattened,
    activation_step,
    expect,
    imported,
    layers_from,
    linear,
    network_from,
    normalization,
    real,
    refuse,
)
from fcnn.network import Network


def from_onnx(model: Any, loss: str | None = None, dtype: DTypeLike | None = None) -> Network:
    """Return the network of an ONNX model.

    Parameters
    ----------
    model : str, path-like, bytes or onnx.ModelProto
        One input, shape (samples, features) or flattened at first, and one output. Layers are Gemm,
        or MatMul and Add; activations are Sigmoid, Tanh, Relu, LeakyRelu (or PRelu), Elu, Gelu (or
        its parts with Erf), Swish (or Sigmoid and Mul), Softplus, Exp, Softmax and LogSoftmax, with
        the constants of PyTorch's defaults. BatchNormalization, and Add, Sub, Mul and Div with a
        constant, are folded into the layer beside them; Flatten, Identity, Dropout and a Cast
        that loses nothing are left out. Constants may be computed from others.
    loss, dtype
        As for `from_torch`.

    Returns
    -------
    fcnn.Network

    Raises
    ------
    TypeError
        If model is none of these.
    OSError
        If the file cannot be read.
    ValueError
        If it is not a sound ONNX model, or something in it has no counterpart; the message has the
        node's name and type.
    """
    onnx = imported("onnx", "onnx")
    graph = _Graph(onnx, _as_model(onnx, model))
    net = network_from(layers_from(graph.steps(), loss), loss, dtype)
    if graph.features not in (0, net.sizes[0]):  # one number that a row of constants is added to
        raise ValueError(
            f"model: has {graph.features} inputs, its first layer reads {net.sizes[0]}"
        )
    return net


def _as_model(onnx: Any, model: Any) -> Any:
    source = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "model"
    try:
        if isinstance(model, (str, os.PathLike)):
            model = onnx.load(os.fspath(model), "protobuf")
        elif isinstance(model, (bytes, bytearray, memoryview)):
            model = onnx.load_from_string(bytes(model))
        elif not isinstance(model, onnx.ModelProto):
            raise TypeError(
                f"model: expected a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
            )
        onnx.checker.check_model(model)
        if model.functions:
            model = imported("onnx.inliner", "onnx").inline_local_functions(model)
    except (
        imported("google.protobuf.message", "onnx").DecodeError,
        onnx.checker.ValidationError,
    ) as error:
        raise ValueError(f"{source}: not a sound ONNX model ({error})") from None
    return model


# What may be computed from constants: each gives the same in every runtime, and ends.
_FOLDED = {
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Expand", "Flatten", "Gather",
    "Identity", "MatMul", "Mul", "Neg", "Pow", "Reciprocal", "Reshape", "Shape", "Slice", "Sqrt",
    "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


class Nodes(NamedTuple):
    """Nodes from z to a, (operator, inputs, output), and the constants that they read."""

    nodes: tuple[tuple[str, tuple[str, ...], str], ...]
    constants: dict[str, float]
    dtypes: tuple[str, ...] = ("float32", "float64")  # where they are written
    before: float = math.inf  # the first opset where they are not


class Operator(NamedTuple):
    """The operator of an activation, and what is written in its place."""

    name: str
    # What they must be, the one to be written first; of an activation with a number, which is
    # alpha, where there is none.
    attributes: dict[str, tuple[Any, ...]]
    instead: Nodes | None = None


# None would be an activation that cannot be written.
OPERATORS: dict[str, Operator | None] = {
    "identity": Operator("Identity", {}, Nodes((), {})),
    "sigmoid": Operator("Sigmoid", {}),
    "tanh": Operator("Tanh", {}),
    "relu": Operator("Relu", {}),
    "leaky_relu": Operator(
        "LeakyRelu", {},
        # alpha is a float32, for a double up to 6e-8 off; what its number is, is a tensor here.
        Nodes((("PRelu", ("z", "slope"), "a"),), {"slope": 0.01}, dtypes=("float64",)),
    ),
    "elu": Operator("Elu", {}, Nodes((
        ("Elu", ("z",), "unit"),
        ("PRelu", ("unit", "slope"), "a"),
    ), {"slope": 1.0}, dtypes=("float64",))),
    "gelu": Operator("Gelu", {"approximate": (b"none",)}, Nodes((
        ("Mul", ("z", "scale"), "scaled"),
        ("Erf", ("scaled",), "erf"),
        ("Add", ("erf", "one"), "sum"),
        ("Mul", ("z", "sum"), "twice"),
        ("Mul", ("twice", "half"), "a"),
    ), {"scale": math.sqrt(0.5), "one": 1.0, "half": 0.5}, before=20)),
    "silu": Operator("Swish", {"alpha": (1.0,)}, Nodes((
        ("Sigmoid", ("z",), "sigmoid"),
        ("Mul", ("z", "sigmoid"), "a"),
    ), {})),
    "softplus": Operator("Softplus", {}, Nodes((
        # Softplus alone is 2e-9 off where z is a little above 20; in float32 that is nothing.
        ("Greater", ("z", "limit"), "above"),
        ("Softplus", ("z",), "softplus"),
        ("Where", ("above", "z", "softplus"), "a"),
    ), {"limit": 20.0}, dtypes=("float64",))),
    "softmax": Operator("Softmax", {"axis": (-1, 1)}),
    "exp": Operator("Exp", {}),
}  # fmt: skip
# The same by the operator, and what is read beside them.
_READ: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    **{made.name: (name, made.attributes) for name, made in OPERATORS.items() if made is not None},
    "LogSoftmax": ("log_softmax", {"axis": (-1, 1)}),
    "Erf": ("erf", {}),
}


class _Graph:
    """A graph, each of whose tensors is a constant, or what the steps to it make of the input."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self.onnx = onnx
        self.graph = model.graph
        self.opsets = model.opset_import
        for opset in self.opsets:
            if opset.domain in ("", "ai.onnx") and opset.version < 7:
                raise ValueError(f"model: expected opset 7 or newer, got {opset.version}")
        self.constants: dict[str, Array] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in self.graph.initializer
        }
        inputs = [v for v in self.graph.input if v.name not in self.constants]
        outputs = list(self.graph.output)
        for what, values in (("input", inputs), ("output", outputs)):
            if len(values) != 1:
                names = ", ".join(repr(v.name) for v in values) or "none"
                raise ValueError(f"model: expected one {what}, got {names}")
        (given,), (wanted,) = inputs, outputs
        self.output = wanted.name
        # Of the input; 0 where it is not known, as for the number of samples.
        self.shape = [dim.dim_value for dim in given.type.tensor_type.shape.dim]
        self.features = math.prod(self.shape[1:])
        flat = len(self.shape) == 2
        start = () if flat else (Unflattened(f"input {given.name!r} of shape {self.shape}"),)
        self.flows: dict[str, tuple[Step, ...]] = {given.name: start}

    def steps(self) -> tuple[Step, ...]:
        """Return what leads from the input to the output."""
        needed = {self.output}
        nodes = []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(filter(None, node.input))  # "" is an input that is left out
        for node in reversed(nodes):
            source = f"node {node.name or node.output[0]!r} ({node.op_type})"
            if node.domain not in ("", "ai.onnx"):
                refuse(source, f"operators of {node.domain} cannot be converted")
            for name in node.input:
                if name and name not in self.flows and name not in self.constants:
                    refuse(source, f"the tensor {name!r} cannot be followed")
            if any(name in self.flows for name in node.input):
                self.flows[node.output[0]] = self._flow(node, source)
            elif node.op_type in _FOLDED:
                self.constants[node.output[0]] = self._computed(node, source)
            else:
                refuse(source, "cannot be converted")
        if self.output not in self.flows:
            raise ValueError(f"model: its output {self.output!r} does not depend on the input")
        return self.flows[self.output]

    def _computed(self, node: Any, source: str) -> Array:
        onnx, reference = self.onnx, imported("onnx.reference", "onnx")
        names = [name for name in dict.fromkeys(node.input) if name]
        function = onnx.helper.make_function(
            "", "constant", names, [node.output[0]], [node], self.opsets
        )
        try:
            evaluator = reference.ReferenceEvaluator(function)
            (value,) = evaluator.run(None, {n: self.constants[n] for n in names}, attributes={})
        except Exception as error:  # whatever NumPy or the evaluator finds wrong
            raise ValueError(f"{source}: cannot be computed ({error})") from error
        return np.asarray(value)

    def _flow(self, node: Any, source: str) -> tuple[Step, ...]:
        """Return the steps to the output of a node that the input leads to."""
        op = node.op_type
        attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        flows = [self.flows.get(name) for name in node.input]
        if sum(flow is not None for flow in flows) > 1:
            return _joined(op, source, flows)
        names = list(node.input)
        if flows[0] is None and op in ("Add", "Mul"):
            names.reverse()
        x = self.flows.get(names[0])
        if x is None:
            refuse(source, "expected the data as its first input")
        numbers = [self.constants.get(name) for name in names[1:]]
        if op in ("Flatten", "Reshape"):
            if op == "Reshape":
                self._check_reshape(source, numbers[0])
            elif attributes.get("axis", 1) != 1:
                refuse(source, f"expected axis 1, got {attributes['axis']}")
            if all(isinstance(step, (Cast, Scale, Unflattened)) for step in x):
                return tuple(step for step in x if not isinstance(step, Unflattened))
            if op == "Flatten":  # of what is flat already, or has never been
                return x
            refuse(source, "expected one that flattens the inputs, not what a layer returns")
        return (*x, *self._steps_of(op, source, attributes, numbers))

    def _check_reshape(self, source: str, shape: Any) -> None:
        """Refuse what is not the flattening of inputs, as PyTorch exports it."""
        features = self.features
        flat = [(-1, features), (0, features), (0, -1)]
        if self.shape and self.shape[0]:
            flat += [(self.shape[0], features), (self.shape[0], -1)]
        if not features or shape is None or tuple(np.ravel(shape).tolist()) not in flat:
            refuse(source, f"expected one that flattens the inputs, got shape {shape}")

    def _steps_of(
        self, op: str, source: str, attributes: dict[str, Any], numbers: list[Array | None]
    ) -> list[Step]:
        """Return the steps of a node whose other inputs are constants, None if left out."""

        def number(i: int) -> Array:
            if i >= len(numbers) or numbers[i] is None:
                refuse(source, "expected constants as its other inputs")
            return real(source, numbers[i])

        def row(i: int) -> Array:
            array = number(i)
            if array.ndim > 2 or array.size != (array.shape or (1,))[-1]:
                refuse(source, f"expected a number for each node, got shape {array.shape}")
            return array.reshape(-1)

        if op in ("Identity", "Dropout"):
            if len(numbers) > 1 and np.any(numbers[1]):
                refuse(source, "is in training mode")
            return []
        if op == "Cast":
            return [Cast(source, self.onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))]
        if op == "MatMul":
            return [linear(source, number(0).T)]
        if op == "Gemm":
            if attributes.get("transA", 0):
                refuse(source, "expected transA=0 for the data")
            W = number(0) if attributes.get("transB", 0) else number(0).T
            alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
            steps: list[Step] = [linear(source, W)]
            if alpha != 1:
                steps.append(Scale(source, np.array([alpha]), None))
            if len(numbers) > 1 and numbers[1] is not None:
                steps.append(Scale(source, None, row(1) if beta == 1 else beta * row(1)))
            return steps
        if op == "Add":
            return [Scale(source, None, row(0))]
        if op == "Sub":
            return [Scale(source, None, -row(0))]
        if op == "Mul":
            return [Scale(source, row(0), None)]
        if op == "Div":
            if not row(0).all():
                refuse(source, "divides by 0")
            return [Scale(source, 1 / row(0), None)]
        if op == "BatchNormalization":
            if attributes.get("training_mode", 0):
                refuse(source, "is in training mode")
            epsilon = attributes.get("epsilon", 1e-5)
            return [normalization(source, row(0), row(1), row(2), row(3), epsilon)]
        if op == "Greater" and (row(0) == 20).all():
            return [Activation(source, "z > 20")]
        if op == "PRelu" and (row(0) == row(0).flat[0]).all():
            return [activation_step(source, "leaky_relu", "a slope", _shortest(row(0).flat[0]))]
        if op not in _READ:
            refuse(source, "cannot be converted")
        name, constants = _READ[op]
        if name in core.ACTIVATION_CONSTANTS:
            alpha = attributes.get("alpha", core.ACTIVATION_CONSTANTS[name][1])  # ONNX's, too
            return [activation_step(source, name, "alpha", _shortest(np.float32(alpha)))]
        expect(source, attributes, constants)
        return [Activation(source, name)]


def _joined(op: str, source: str, flows: Sequence[tuple[Step, ...] | None]) -> tuple[Step, ...]:
    """Return the steps to what tensors of a common origin make, which must be an activation."""
    if op == "Where" and len(flows) == 3 and all(flows):
        # z where z > 20, softplus(z) elsewhere
        above, z, softplus = (flow or () for flow in flows)
        named = [getattr(flow[-1], "name", None) for flow in (above, softplus)]
        if above[:-1] == z == softplus[:-1] and named == ["z > 20", "softplus"]:
            return softplus
    if op == "Mul":
        a, b = (flow or () for flow in flows)
        n = 0
        while n < min(len(a), len(b)) and a[n] is b[n]:
            n += 1
        for z, gate in ((a[n:], b[n:]), (b[n:], a[n:])):
            if steps := _gated(source, z, gate):
                return (*a[:n], *steps)
    return refuse(source, "joins tensors to what is not one of fcnn's activations")


def _gated(source: str, z: Sequence[Step], gate: Sequence[Step]) -> list[Step]:
    """Return z (1 + erf(z / sqrt 2)) as 2 gelu(z), and z sigmoid(z) as silu(z), times a number."""
    at = next((i for i, step in enumerate(gate) if isinstance(step, Activation)), None)
    if at is None:
        return []
    numbers = [_numbers(steps) for steps in (z, gate[:at], gate[at + 1 :])]
    if None in numbers:
        return []
    (s, shift), (inner, inner_shift), (outer, outer_shift) = (pair or (1, 0) for pair in numbers)
    name = getattr(gate[at], "name", None)
    if shift or inner_shift:
        return []
    if name == "erf" and _is_root_of_half(inner) and outer_shift == outer:
        name, multiple = "gelu", 2 * s * outer
    elif name == "sigmoid" and inner == 1 and not outer_shift:
        name, multiple = "silu", s * outer
    else:
        return []
    return [Activation(source, name), Scale(source, np.array([multiple]), None)]


def _shortest(number: Any) -> float:
    """Return the number of the fewest digits that rounds to this one: 0.2 of the float32 of 0.2."""
    return float(str(number))


def _is_root_of_half(number: Any) -> bool:
    """Return whether a number is sqrt(1/2), or 1 / sqrt 2, in its precision."""
    return bool(abs(number - math.sqrt(0.5)) <= 2 * np.spacing(np.abs(number)))


def _numbers(steps: Sequence[Step]) -> tuple[Any, Any] | None:
    """Return s and t of steps that are s z + t with the same numbers for all nodes."""
    s: Any = 1
    t: Any = 0
    for step in steps:
        if not isinstance(step, Scale):
            return None
        if step.s is not None:
            s, t = s * step.s, t * step.s
        if step.t is not None:
            t = t + step.t
    return (np.ravel(s)[0], np.ravel(t)[0]) if np.size(s) == np.size(t) == 1 else None
