"""What the converters share: steps, and the layers that they are folded into."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcnn import _validation as check
from fcnn._architecture import MOST_CONSTANT, as_activation, as_loss, named
from fcnn._dispatch import core
from fcnn.model import Model
from fcnn.names import Loss, Name
from fcnn.network import Network
from fcnn.tables.categories import CategoryColumn, OrdinalColumn

Array = NDArray[Any]
Entry = TypeVar("Entry")

OTHER_WRITERS = "; to_onnx and to_c write it"  # the way out of the writers that lack something
# The way out where what stands at the end has no counterpart.
_ALONE = "convert what is before it alone, of ONNX by output=NAME"
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def refuse_surrogates(model: Model) -> None:
    """Refuse texts of a model that no file can hold: those with half of a surrogate pair."""
    texts = [*model.target.names, *model.target.class_texts]
    for column in model.preparation.columns:
        known = column.codes.texts if isinstance(column, (CategoryColumn, OrdinalColumn)) else ()
        texts += [column.name, *known]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            refuse(f"text {text!r}", f"holds a lone surrogate at {error.start}, no character")


class Layer(NamedTuple):
    """W, b and the activation of a layer l."""

    W: Array  # (n_l, n_(l-1))
    b: Array  # (n_l,)
    activation: str


# Compared by identity: two tensors of a graph that begin with the same steps have a common origin.


@dataclass(frozen=True, eq=False)
class Linear:
    """z = W a + b."""

    source: str  # what it came from, for messages
    W: Array
    b: Array | None


@dataclass(frozen=True, eq=False)
class Scale:
    """Of every node: s z + t, each of shape (n,) or (1,); None is 1 or 0."""

    source: str
    s: Array | None
    t: Array | None


@dataclass(frozen=True, eq=False)
class Activation:
    """One of fcnn's, as networks spell it, log_softmax, or a part of one: erf, "z > 20"."""

    source: str
    name: str


@dataclass(frozen=True, eq=False)
class Cast:
    """A conversion to another dtype."""

    source: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Select:
    """Some of the nodes, by their numbers, in that order."""

    source: str
    indices: Array


Step = Linear | Scale | Activation | Cast | Select


def refuse(source: str, why: str) -> NoReturn:
    """Say what cannot be converted, and why."""
    raise ValueError(f"{source}: {why}")


def activation_step(source: str, name: str, what: str, constant: float) -> Activation:
    """Return the step of an activation with a number, which its maker calls `what`."""
    try:
        step = Activation(source, named(name, float(constant)))
        as_activation("", step.name, check.ACTIVATIONS)
    except (TypeError, ValueError):
        refuse(
            source,
            f"expected {what} from 0 to {MOST_CONSTANT:g}, got {constant!r}; train the network "
            "with one of these",
        )
    return step


def entry_of(
    table: Mapping[str, Entry | None], activation: str, lack: str, way_out: str = ""
) -> tuple[Entry, float | None]:
    """Return a writer's entry for an activation, and its number, None if it has none.

    Refused are None, and a name that the table lacks.
    """
    activation, constant = core.split_activation(activation)
    entry = table.get(activation)
    if entry is None:
        what = "output activation" if activation in check.OUTPUT_ONLY else "activation"
        refuse("net", f"{lack} for the {what} {activation}{way_out}")
    return entry, constant


def expect(source: str, given: Mapping[str, Any], valid: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse constants that are not fcnn's; one that is not given is the first valid one."""
    for name, values in valid.items():
        if (value := given.get(name, values[0])) not in values:
            refuse(source, f"expected {name}={values[0]!r}, got {value!r}")


def real(source: str, values: Any) -> Array:
    """Return parameters as an array, uncopied where possible."""
    if hasattr(values, "detach"):  # PyTorch's; NumPy has no bfloat16 to convert it to
        if values.is_meta:
            refuse(source, "its parameters are on the device meta, which holds no numbers")
        values = values.detach().cpu()
        if str(values.dtype) in ("torch.float32", "torch.float64"):
            values = values.numpy()
    dtype = getattr(values, "dtype", type(values).__name__)
    if dtype not in _FLOATS:
        refuse(source, f"expected parameters in float32 or float64, got {dtype}")
    return np.asarray(values)


def linear(source: str, W: Any, b: Any = None) -> Linear:
    """Return a step from arrays or tensors, W of shape (n_out, n_in)."""
    W = real(source, W)
    if W.ndim != 2 or not W.size:
        refuse(source, f"expected a matrix of weights, got shape {W.shape}")
    if b is not None:
        b = real(source, b)
        if b.shape != W.shape[:1]:
            refuse(source, f"expected {len(W)} biases, got shape {b.shape}")
    return Linear(source, W, b)


def normalization(
    source: str, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float
) -> Scale:
    """Return gamma (z - mean) / sqrt(variance + epsilon) + beta; gamma and beta may be None."""
    mean, variance = (real(source, v).astype(np.float64) for v in (mean, variance))
    if not (variance + epsilon > 0).all():
        refuse(source, "expected variances above 0")
    s = 1 / np.sqrt(variance + epsilon)
    if gamma is not None:
        s = s * real(source, gamma)
    t = -mean * s
    return Scale(source, s, t if beta is None else t + real(source, beta))


def _then(first: Scale | None, second: Scale) -> Scale | None:
    """Return the two as one; None if they cancel out."""
    if first is None:
        s, t = second.s, second.t
    else:
        sizes = {v.size for v in (first.s, first.t, second.s, second.t) if v is not None} - {1}
        if len(sizes) > 1:
            refuse(second.source, f"expected as many numbers as nodes, got {sorted(sizes)}")
        s = second.s if first.s is None else first.s * (1 if second.s is None else second.s)
        t = first.t
        if t is not None and second.s is not None:
            t = t * second.s
        if second.t is not None:
            t = second.t if t is None else t + second.t
    if (s is None or (s == 1).all()) and (t is None or (t == 0).all()):
        return None
    return Scale(second.source, s, t)


def _folded(layer: Layer, scale: Scale, into_inputs: bool) -> Layer:
    """Return the layer with factors and shifts of its inputs, or of its input sums, put into it."""
    W, b, dtype = layer.W, layer.b, np.result_type(layer.W, layer.b)
    width = W.shape[1 if into_inputs else 0]
    if any(v is not None and v.size not in (1, width) for v in (scale.s, scale.t)):
        refuse(scale.source, f"expected one number, or one for each of {width} nodes")
    if scale.t is not None and into_inputs:
        b = b + W.astype(np.float64) @ np.broadcast_to(scale.t, width)
    if scale.s is not None:
        s = np.broadcast_to(scale.s, width).astype(np.float64)
        W = W * s if into_inputs else W * s[:, np.newaxis]
        b = b if into_inputs else b * s
    if scale.t is not None and not into_inputs:
        b = b + np.broadcast_to(scale.t, width).astype(np.float64)
    W, b = check.cast(scale.source, W, dtype), check.cast(scale.source, b, dtype)
    return Layer(W, b, layer.activation)


def _selected(
    step: Select, layers: Sequence[Layer], pending: Scale | None
) -> tuple[Layer, Scale | None]:
    """Return the last layer, and what is to be folded into the next, for some nodes only."""
    if not layers or layers[-1].activation in ("softmax", "log_softmax"):
        refuse(step.source, f"chooses among what is not the nodes of a layer; {_ALONE}")
    layer = layers[-1]._replace(W=layers[-1].W[step.indices], b=layers[-1].b[step.indices])
    if pending is not None:
        chosen = [
            v if v is None or v.size == 1 else v[step.indices] for v in (pending.s, pending.t)
        ]
        pending = Scale(pending.source, *chosen)
    return layer, pending


def layers_from(steps: Iterable[Step], loss: str | None) -> list[Layer]:
    """Fold steps into layers; `loss` decides on a linear output, or a log-softmax."""
    layers: list[Layer] = []
    pending: Scale | None = None  # to be folded into the next layer
    last: Activation | None = None  # of the layer at hand
    casts = []
    for step in steps:
        if isinstance(step, Cast):
            casts.append(step)
        elif isinstance(step, Scale):
            if layers and last is None:
                layers[-1] = _folded(layers[-1], step, into_inputs=False)
            else:
                pending = _then(pending, step)
        elif isinstance(step, Select):
            layers[-1], pending = _selected(step, layers, pending)
        elif isinstance(step, Activation):
            if core.split_activation(step.name)[0] not in (*check.ACTIVATIONS, "log_softmax"):
                refuse(step.source, f"is no activation of its own; {_ALONE}")
            name, slope = core.split_activation(step.name)
            if last is not None and pending is None and name == "leaky_relu":
                # Behind an ELU, which keeps the sign of z, it multiplies alpha; so it is written
                # where an operator's own constant is a float32.
                before, alpha = core.split_activation(last.name)
                if before == "elu" and slope is not None and alpha is not None:
                    last = activation_step(step.source, "elu", "a slope", alpha * slope)
                    layers[-1] = layers[-1]._replace(activation=last.name)
                    continue
            if not layers or last is not None or pending is not None:
                refuse(step.source, f"an activation that does not come after a layer; {_ALONE}")
            last = step
            layers[-1] = layers[-1]._replace(activation=step.name)
        else:
            if last is not None and last.name in (*check.OUTPUT_ONLY, "log_softmax"):
                refuse(last.source, f"{last.name} is for the output layer only; {_ALONE}")
            if layers and step.W.shape[1] != len(layers[-1].W):
                n_in, n_out = step.W.shape[1], len(layers[-1].W)
                refuse(step.source, f"has {n_in} inputs, the layer before {n_out} outputs")
            # Not 0: z + -0 is z in every bit, and -0 + b is b, for a bias that is added later.
            b = np.full(len(step.W), -0.0, step.W.dtype) if step.b is None else step.b
            layers.append(Layer(step.W, b, "identity"))
            last = None
            if pending is not None:
                layers[-1] = _folded(layers[-1], pending, into_inputs=True)
                pending = None
    if not layers:
        raise ValueError("expected one or more layers with weights, got none")
    if pending is not None:
        refuse(pending.source, f"there is no layer after it to fold it into; {_ALONE}")
    dtype = _common_dtype(layers)
    for cast in casts:
        if cast.dtype.kind != "f" or cast.dtype.itemsize < dtype.itemsize:
            refuse(cast.source, f"a conversion to {cast.dtype} in a network of {dtype}; {_ALONE}")
    if layers[-1].activation == "log_softmax" and loss != "cross_entropy":
        assert last is not None
        refuse(
            last.source,
            'fcnn has no log-softmax; loss="cross_entropy" makes a network that predicts the '
            "probabilities, not their logarithms",
        )
    if loss is not None:
        loss = as_loss(loss)
        valid = core.output_activations(loss)
        if layers[-1].activation == "log_softmax" or (
            layers[-1].activation == "identity" and "identity" not in valid
        ):
            layers[-1] = layers[-1]._replace(activation=valid[0])
    return layers


def _common_dtype(layers: Sequence[Layer]) -> np.dtype[Any]:
    return np.result_type(*(array for layer in layers for array in layer[:2]))


def layers_of(net: Any) -> list[Layer]:
    """Return copies of a network's weights and biases, and its activations."""
    if not isinstance(net, Network):
        what = "a Model, whose .network has no scaling" if hasattr(net, "network") else None
        raise TypeError(f"net: expected a fcnn.Network, got {what or type(net).__name__}")
    return [
        Layer(np.array(W, order="C"), b.copy(), name)
        for W, b, name in zip(net.weights, net.biases, net.activations, strict=True)
    ]


def _natural_loss(layers: Sequence[Layer]) -> Name:
    output, n_out = layers[-1].activation, len(layers[-1].W)
    if output == "ascending":
        raise ValueError("loss: ascending outputs need one with levels, like quantile(0.1, 0.9)")
    # Of several losses with the same natural output the first.
    losses = {valid[0]: loss for loss, valid in reversed(check.OUTPUT_ACTIVATIONS.items())}
    loss = losses.get(output, "squared_error")
    return Name("squared_error" if loss == "cross_entropy" and n_out == 1 else loss)


def network_from(layers: Sequence[Layer], loss: Loss | None, dtype: DTypeLike | None) -> Network:
    """Return a network of some layers, by default with their dtype and natural loss."""
    sizes = (layers[0].W.shape[1], *(len(layer.W) for layer in layers))
    *hidden, output = (Name(layer.activation) for layer in layers)
    loss = _natural_loss(layers) if loss is None else loss
    dtype = _common_dtype(layers) if dtype is None else dtype
    net = Network(sizes, hidden, output, loss, dtype, init="zeros")
    net.weights = [layer.W for layer in layers]
    net.biases = [layer.b for layer in layers]
    return net


def imported(module: str, extra: str) -> Any:
    """Return another maker's package, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"fcnn.convert needs {module.partition('.')[0]} for this: pip install 'fcnn[{extra}]'"
        ) from error
