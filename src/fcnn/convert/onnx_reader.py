"""Networks and models from ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fcnn.convert.onnx_answers import Answer, is_linear, outermost
from fcnn.convert.onnx_flow import Flow
from fcnn.convert.onnx_graph import Graph, load
from fcnn.convert.steps import (
    Activation,
    Array,
    Cast,
    Layer,
    Linear,
    Scale,
    Step,
    imported,
    layers_from,
    network_from,
    refuse,
)
from fcnn.model import Model
from fcnn.names import Loss
from fcnn.network import Network
from fcnn.tables import Preparation, Target
from fcnn.tables.numbers import PLAIN


def from_onnx(
    model: Any,
    loss: Loss | None = None,
    dtype: DTypeLike | None = None,
    *,
    output: str | None = None,
) -> Network | Model:
    """Return the network of an ONNX model; a Model, if it scales its inputs or answers with labels.

    Parameters
    ----------
    model : str, path-like, bytes or onnx.ModelProto
        One input, the first axis of which is that of the samples. Layers are Gemm, or MatMul and
        Add; activations are Sigmoid, Tanh, Relu (or Clip or Max with 0), LeakyRelu (or PRelu with
        one slope), Elu, Gelu (or its parts with Erf), Swish (or Sigmoid and Mul), Softplus, Exp,
        Softmax and LogSoftmax; ONNX Runtime's FusedGemm and the like are read, too.
        BatchNormalization, and Add, Sub, Mul and Div with constants, are folded into the layer
        beside them. What changes shapes alone, Identity, Dropout and a Cast that loses nothing are
        left out. Constants may be computed from others. Weights of 16 bits become the same numbers
        in float32, in which the network computes.
    loss, dtype
        As for `from_torch`.
    output : str, optional
        A tensor of the graph that is to be the output: what comes after it is left out. None takes
        the model's outputs.

    Returns
    -------
    fcnn.Network
        Its outputs have shape (s, n_L), whatever a last Reshape, Squeeze or Flatten makes of them.
    fcnn.Model
        If inputs are shifted before the first layer (a Scaler, Sub, a normalization), so that this
        is computed as exactly as there: folded into weights it loses digits. If outputs are scaled
        behind an activation, or in a wider type than the network's. And if there are labels, or
        the probabilities of both of two classes: labels are found again as the most probable class.

    Warns
    -----
    UserWarning
        If several labels for each row are left out, which a Model does not have.

    Raises
    ------
    TypeError
        If model is none of these.
    OSError
        If the file cannot be read.
    ValueError
        If it is not a sound ONNX model, or something in it has no counterpart; the message has the
        node's name and type, and a way out.
    """
    onnx = imported("onnx", "onnx")
    graph = Graph(onnx, load(onnx, model))
    names = [value.name for value in graph.graph.output] if output is None else [output]
    values = graph.follow(names)
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, (Flow, Answer)):
            raise ValueError(
                f"model: its output {name!r} does not depend on the input; output=NAME converts "
                "another"
            )
    flow = outermost(values)
    # But for labels, they say the outputs themselves.
    tensors = [value for value in values if _is_of_outputs(value)]
    if flow is None or any(_steps(one) != _steps(flow) for one in tensors):
        raise ValueError(
            f"model: expected one output, got {', '.join(map(repr, names))}; output=NAME converts "
            "one of them"
        )
    if not any(isinstance(step, Linear) for step in flow.steps):
        raise ValueError(
            f"model: no layer with weights leads to its output {names[0]!r}; output=NAME converts "
            "what leads to another tensor"
        )
    return _Ending(graph, dict(zip(names, values, strict=True)), flow).converted(loss, dtype)


def _is_of_outputs(value: Flow | Answer) -> bool:
    """Return whether it says the numbers of a network's outputs, not labels alone."""
    return isinstance(value, Flow) or value.kind in ("named", "both")


def _steps(value: Flow | Answer) -> list[Step]:
    """Return the steps to it, but for casts."""
    flow = value if isinstance(value, Flow) else value.flow
    return [step for step in flow.steps if not isinstance(step, Cast)]


class _Ending:
    """The outputs of a graph, and the network before them."""

    def __init__(self, graph: Graph, outputs: dict[str, Any], flow: Flow) -> None:
        self.graph = graph
        self.answers = {n: v for n, v in outputs.items() if isinstance(v, Answer)}
        self.tensors = [name for name, value in outputs.items() if _is_of_outputs(value)]
        self.flow = flow

    def converted(self, loss: Loss | None, dtype: DTypeLike | None) -> Network | Model:
        steps = _without_harmless_casts(self.flow.steps, self.graph.floats)
        if is_linear(steps):
            steps += self._after_logits(loss)
        steps, target_scale = _split_off(steps)
        layers = layers_from(steps, loss)
        first, preparation = self._prepared(layers[0])
        layers[0] = first
        if target_scale is not None:
            layers[-1], target_scale = _upright(layers[-1], target_scale)
        net = network_from(layers, loss, dtype)
        classes = self._classes(net)
        if classes and target_scale is not None:
            refuse(
                target_scale.source,
                "scales what labels are made of; output=NAME of its input leaves it out",
            )
        if preparation is None and target_scale is None and not classes:
            return net
        n_0, n_L = net.sizes[0], net.sizes[-1]
        if preparation is None:
            preparation = Preparation.of_numbers(np.zeros(n_0), np.ones(n_0))
        if classes:
            return Model(net, preparation, Target((), classes))
        if target_scale is None:
            return Model(net, preparation, Target(rules=[PLAIN] * n_L))
        mean: Any = 0.0 if target_scale.t is None else target_scale.t
        scale: Any = 1.0 if target_scale.s is None else target_scale.s
        mean, scale = np.broadcast_to(mean, n_L), np.broadcast_to(scale, n_L)
        return Model(net, preparation, Target((), (), mean, scale, [PLAIN] * n_L))

    def _after_logits(self, loss: str | None) -> list[Activation]:
        """Return the activation that makes probabilities of linear outputs, if labels ask for it.

        But where the graph returns the outputs themselves, beside labels, they stay what they are.
        """
        names = {answer.from_logits for answer in self.answers.values()} - {""}
        if len(names) > 1 or (
            self.tensors and "sigmoid" in names and loss != "binary_cross_entropy"
        ):
            raise ValueError(
                f"model: its outputs {', '.join(map(repr, (*self.tensors, *self.answers)))} are "
                "those of a layer and what is told of their probabilities; output=NAME converts one"
            )
        return [] if self.tensors else [Activation("output", name) for name in names]

    def _prepared(self, layer: Layer) -> tuple[Layer, Preparation | None]:
        """Return the first layer as it reads all inputs, and what is to be done with them."""
        W, b, _ = layer
        inputs = self.flow.inputs.of_width(W.shape[1])
        columns, mean, scale = inputs
        assert columns is not None
        if len(columns) != W.shape[1]:  # one number that a row of constants is added to
            raise ValueError(
                f"model: has {len(columns)} inputs, its first layer reads {W.shape[1]}; export the "
                "model with as many"
            )
        n = self.graph.num_features or W.shape[1]
        is_shifted = bool((mean != 0).any())
        if len({*columns.tolist()}) != len(columns):
            raise ValueError(
                "model: reads inputs more than once, which a network's first layer does not; "
                "convert the part behind that by output=NAME, or add the weights"
            )
        wide = np.zeros((len(W), n), np.float64)
        wide[:, columns] = W * np.sign(scale) if is_shifted else W / scale
        layer = Layer(wide.astype(W.dtype), b, layer.activation)
        if not is_shifted:
            return layer, None
        means, scales = np.zeros(n), np.ones(n)
        means[columns], scales[columns] = mean, np.abs(scale)
        return layer, Preparation.of_numbers(means, scales)

    def _classes(self, net: Network) -> tuple[Any, ...]:
        """Return the classes that the outputs tell of; warn of what is left out."""
        kinds = {answer.kind for answer in self.answers.values()}
        for name, answer in self.answers.items():
            if answer.kind == "several":
                warnings.warn(
                    f"output {name!r} is left out: it has a label for each output, which is 1 "
                    "where predict(X) is above 0.5",
                    UserWarning,
                    stacklevel=4,
                )
        if "several" in kinds:
            return ()
        found = {answer.classes for answer in self.answers.values() if answer.classes}
        if not found and "both" in kinds:
            found = {(0, 1)}
        if len(found) > 1:
            names = ", ".join(map(repr, self.answers))
            raise ValueError(
                f"model: its outputs {names} have different classes; output=NAME converts one"
            )
        return found.pop() if found else ()


def _without_harmless_casts(steps: Sequence[Step], floats: set[np.dtype[Any]]) -> list[Step]:
    """Leave out conversions to the type that all layers of a graph compute in.

    That they compute in 16 bits is a loss of the graph's, which the network does not have.
    """
    only = next(iter(floats)) if len(floats) == 1 else None
    return [step for step in steps if not (isinstance(step, Cast) and step.dtype == only)]


def _split_off(steps: Sequence[Step]) -> tuple[list[Step], Scale | None]:
    """Return the steps of the network, and the scaling of its outputs that is none of a layer.

    It is behind an activation, or in a wider type: folded into weights, digits would be lost.
    """
    at = len(steps)
    while at and isinstance(steps[at - 1], (Scale, Cast)):
        at -= 1
    if not at:
        return list(steps), None
    last, rest = steps[at - 1], steps[at:]
    if isinstance(last, Linear):
        is_wide = [
            isinstance(step, Cast) and step.dtype.itemsize > last.W.dtype.itemsize for step in rest
        ]
        wide = is_wide.index(True) if any(is_wide) else None
        if wide is None:
            return list(steps), None
        at += wide
    elif not isinstance(last, Activation) or last.name in ("softmax", "log_softmax"):
        return list(steps), None
    scales = [step for step in steps[at:] if isinstance(step, Scale)]
    if not scales:
        return list(steps), None
    s: Array = np.ones(1)
    t: Array = np.zeros(1)
    for step in scales:
        if step.s is not None:
            s, t = s * step.s, t * step.s
        if step.t is not None:
            t = t + step.t
    casts = [step for step in steps[at:] if isinstance(step, Cast)]
    if (s == 1).all() and (t == 0).all():
        return [*steps[:at], *casts], None
    return [*steps[:at], *casts], Scale(scales[-1].source, s, t)


def _upright(layer: Layer, scale: Scale) -> tuple[Layer, Scale]:
    """Return a positive scale of outputs, its sign put into the layer."""
    assert scale.s is not None
    if not scale.s.all():
        refuse(scale.source, "multiplies an output by 0; output=NAME of its input leaves it out")
    if (scale.s > 0).all():
        return layer, scale
    if layer.activation != "identity":
        refuse(
            scale.source,
            f"multiplies what {layer.activation} returns by a negative number; output=NAME of its "
            "input leaves it out",
        )
    sign = np.broadcast_to(np.sign(scale.s), len(layer.b)).astype(layer.W.dtype)
    turned = layer._replace(W=layer.W * sign[:, np.newaxis], b=layer.b * sign)
    return turned, Scale(scale.source, np.abs(scale.s), scale.t)
