"""Networks from and to scikit-learn, PyTorch, ONNX and Keras, and as a file of C.

A reader turns what it is given into steps: matrices, factors and shifts of single nodes (a batch
normalization), activations. `_layers` folds the steps into a list of (W, b, activation), one for
each layer l = 1..L, and refuses what cannot be said so. Writers take that list.

The other packages are imported when they are needed: ``pip install 'fcnn[sklearn]'``, ``[torch]``
or ``[onnx]``. See ``docs/convert.md``.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcnn import _validation as check
from fcnn._format import as_path, write_whole
from fcnn.network import Network

__all__ = [
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "to_c",
    "to_onnx",
    "to_sklearn",
    "to_torch",
]

Array = NDArray[Any]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class _Layer(NamedTuple):
    W: Array  # (n_l, n_(l-1))
    b: Array  # (n_l,)
    activation: str


# --- Steps ---------------------------------------------------------------------------------------
# Compared by identity: two tensors of a graph that begin with the same steps have a common origin.


@dataclass(frozen=True, eq=False)
class _Linear:
    source: str  # what it came from, for messages
    W: Array
    b: Array | None


@dataclass(frozen=True, eq=False)
class _Scale:
    """Of every node: s z + t, each of shape (n,) or (1,); None is 1 or 0."""

    source: str
    s: Array | None
    t: Array | None


@dataclass(frozen=True, eq=False)
class _Activation:
    """One of fcnn's, log_softmax, or a part of one: erf, "z > 20"."""

    source: str
    name: str


@dataclass(frozen=True, eq=False)
class _Cast:
    source: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class _Unflattened:
    """Inputs of more dimensions than samples and features."""

    source: str


_Step = _Linear | _Scale | _Activation | _Cast | _Unflattened


def _refuse(source: str, why: str) -> NoReturn:
    raise ValueError(f"{source}: {why}")


def _real(source: str, values: Any) -> Array:
    """Return parameters as an array, uncopied where possible."""
    if hasattr(values, "detach"):  # PyTorch's; NumPy has no bfloat16 to convert it to
        if values.is_meta:
            _refuse(source, "its parameters are on the device meta, which holds no numbers")
        values = values.detach().cpu()
        if str(values.dtype) in ("torch.float32", "torch.float64"):
            values = values.numpy()
    dtype = getattr(values, "dtype", type(values).__name__)
    if dtype not in _FLOATS:
        _refuse(source, f"expected parameters in float32 or float64, got {dtype}")
    return np.asarray(values)


def _linear(source: str, W: Any, b: Any = None) -> _Linear:
    """Return a step from arrays or tensors, W of shape (n_out, n_in)."""
    W = _real(source, W)
    if W.ndim != 2 or not W.size:
        _refuse(source, f"expected a matrix of weights, got shape {W.shape}")
    if b is not None:
        b = _real(source, b)
        if b.shape != W.shape[:1]:
            _refuse(source, f"expected {len(W)} biases, got shape {b.shape}")
    return _Linear(source, W, b)


def _normalization(
    source: str, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float
) -> _Scale:
    """Return gamma (z - mean) / sqrt(variance + epsilon) + beta; gamma and beta may be None."""
    mean, variance = (_real(source, v).astype(np.float64) for v in (mean, variance))
    if not (variance + epsilon > 0).all():
        _refuse(source, "expected variances above 0")
    s = 1 / np.sqrt(variance + epsilon)
    if gamma is not None:
        s = s * _real(source, gamma)
    t = -mean * s
    return _Scale(source, s, t if beta is None else t + _real(source, beta))


def _then(first: _Scale | None, second: _Scale) -> _Scale | None:
    """Return the two as one; None if they cancel out."""
    if first is None:
        s, t = second.s, second.t
    else:
        sizes = {v.size for v in (first.s, first.t, second.s, second.t) if v is not None} - {1}
        if len(sizes) > 1:
            _refuse(second.source, f"expected as many numbers as nodes, got {sorted(sizes)}")
        s = second.s if first.s is None else first.s * (1 if second.s is None else second.s)
        t = first.t
        if t is not None and second.s is not None:
            t = t * second.s
        if second.t is not None:
            t = second.t if t is None else t + second.t
    if (s is None or (s == 1).all()) and (t is None or (t == 0).all()):
        return None
    return _Scale(second.source, s, t)


def _folded(layer: _Layer, scale: _Scale, into_inputs: bool) -> _Layer:
    """Return the layer with factors and shifts of its inputs, or of its input sums, put into it."""
    W, b, dtype = layer.W, layer.b, np.result_type(layer.W, layer.b)
    width = W.shape[1 if into_inputs else 0]
    if any(v is not None and v.size not in (1, width) for v in (scale.s, scale.t)):
        _refuse(scale.source, f"expected one number, or one for each of {width} nodes")
    if scale.t is not None and into_inputs:
        b = b + W.astype(np.float64) @ np.broadcast_to(scale.t, width)
    if scale.s is not None:
        s = np.broadcast_to(scale.s, width).astype(np.float64)
        W = W * s if into_inputs else W * s[:, np.newaxis]
        b = b if into_inputs else b * s
    if scale.t is not None and not into_inputs:
        b = b + np.broadcast_to(scale.t, width).astype(np.float64)
    W, b = check.cast(scale.source, W, dtype), check.cast(scale.source, b, dtype)
    return _Layer(W, b, layer.activation)


def _layers(steps: Iterable[_Step], loss: str | None) -> list[_Layer]:
    """Fold steps into layers; `loss` decides on a linear output, or a log-softmax."""
    layers: list[_Layer] = []
    pending: _Scale | None = None  # to be folded into the next layer
    last: _Activation | None = None  # of the layer at hand
    casts = []
    for step in steps:
        if isinstance(step, _Unflattened):
            _refuse(step.source, "expected shape (samples, features), or a Flatten at first")
        elif isinstance(step, _Cast):
            casts.append(step)
        elif isinstance(step, _Scale):
            if layers and last is None:
                layers[-1] = _folded(layers[-1], step, into_inputs=False)
            else:
                pending = _then(pending, step)
        elif isinstance(step, _Activation):
            if step.name not in (*check.ACTIVATIONS, "log_softmax"):
                _refuse(step.source, "not one of the operations that can be converted")
            if not layers or last is not None or pending is not None:
                _refuse(step.source, "an activation that does not come after a layer")
            last = step
            layers[-1] = layers[-1]._replace(activation=step.name)
        else:
            if last is not None and last.name in (*check.OUTPUT_ONLY, "log_softmax"):
                _refuse(last.source, f"{last.name} is for the output layer only")
            if layers and step.W.shape[1] != len(layers[-1].W):
                n_in, n_out = step.W.shape[1], len(layers[-1].W)
                _refuse(step.source, f"has {n_in} inputs, the layer before {n_out} outputs")
            # Not 0: z + -0 is z in every bit, and -0 + b is b, for a bias that is added later.
            b = np.full(len(step.W), -0.0, step.W.dtype) if step.b is None else step.b
            layers.append(_Layer(step.W, b, "identity"))
            last = None
            if pending is not None:
                layers[-1] = _folded(layers[-1], pending, into_inputs=True)
                pending = None
    if not layers:
        raise ValueError("expected one or more layers with weights, got none")
    if pending is not None:
        _refuse(pending.source, "there is no layer after it to fold it into")
    dtype = _common_dtype(layers)
    for cast in casts:
        if cast.dtype.kind != "f" or cast.dtype.itemsize < dtype.itemsize:
            _refuse(cast.source, f"a conversion to {cast.dtype} in a network of {dtype}")
    if layers[-1].activation == "log_softmax" and loss != "cross_entropy":
        assert last is not None
        _refuse(
            last.source,
            'fcnn has no log-softmax; loss="cross_entropy" makes a network that predicts the '
            "probabilities, not their logarithms",
        )
    if loss is not None:
        check.as_choice("loss", loss, list(check.OUTPUT_ACTIVATIONS))
        valid = check.OUTPUT_ACTIVATIONS[loss]
        if layers[-1].activation == "log_softmax" or (
            layers[-1].activation == "identity" and "identity" not in valid
        ):
            layers[-1] = layers[-1]._replace(activation=valid[0])
    return layers


def _common_dtype(layers: Sequence[_Layer]) -> np.dtype[Any]:
    return np.result_type(*(array for layer in layers for array in layer[:2]))


def _layers_of(net: Any) -> list[_Layer]:
    """Return copies of a network's weights and biases, and its activations."""
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a fcnn.Network, got {type(net).__name__}")
    return [
        _Layer(np.array(W, order="C"), b.copy(), name)
        for W, b, name in zip(net.weights, net.biases, net.activations, strict=True)
    ]


def _natural_loss(layers: Sequence[_Layer]) -> str:
    output, n_out = layers[-1].activation, len(layers[-1].W)
    losses = {valid[0]: loss for loss, valid in check.OUTPUT_ACTIVATIONS.items()}
    loss = losses.get(output, "squared_error")
    if output == "identity" or (loss == "cross_entropy" and n_out == 1):
        return "squared_error"
    return loss


def _network(layers: Sequence[_Layer], loss: str | None, dtype: DTypeLike | None) -> Network:
    sizes = (layers[0].W.shape[1], *(len(layer.W) for layer in layers))
    *hidden, output = (layer.activation for layer in layers)
    loss = _natural_loss(layers) if loss is None else loss
    dtype = _common_dtype(layers) if dtype is None else dtype
    net = Network(sizes, hidden, output, loss, dtype, init="zeros")
    net.weights = [layer.W for layer in layers]
    net.biases = [layer.b for layer in layers]
    return net


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"fcnn.convert needs {module.partition('.')[0]} for this: pip install 'fcnn[{extra}]'"
        ) from error


# --- scikit-learn --------------------------------------------------------------------------------

_SKLEARN_NAMES = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


def from_sklearn(estimator: Any, dtype: DTypeLike | None = None) -> Network:
    """Return the network of a fitted multi-layer perceptron of scikit-learn.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted; also those of `fcnn.sklearn`.
    dtype : str or numpy.dtype, optional
        float32 or float64; None keeps the estimator's.

    Returns
    -------
    fcnn.Network
        With a copy of its parameters. `predict` returns an array of shape (s, n_L): for a
        regressor what `predict` returns, for a classifier what `predict_proba` returns. For two
        classes it has one column, the probability of ``classes_[1]``.

    Raises
    ------
    TypeError
        If it is another estimator.
    ValueError
        If it has not been fitted, or the dtype cannot hold its parameters.
    """
    neural = _imported("sklearn.neural_network", "sklearn")
    if not isinstance(estimator, (neural.MLPClassifier, neural.MLPRegressor)):
        raise TypeError(
            f"estimator: expected an MLPClassifier or MLPRegressor, got {type(estimator).__name__}"
        )
    network = getattr(estimator, "network_", None)  # that of fcnn.sklearn
    if isinstance(network, Network):
        return _network(_layers_of(network), network.loss, dtype)
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator: this {type(estimator).__name__} has not been fitted")
    names = {theirs: ours for ours, theirs in _SKLEARN_NAMES.items()} | {
        "softmax": "softmax",
        "exp": "exp",
    }
    steps: list[_Step] = []
    hidden = [estimator.activation] * (len(estimator.coefs_) - 1)
    activations = [*hidden, estimator.out_activation_]
    parameters = zip(estimator.coefs_, estimator.intercepts_, activations, strict=True)
    for l, (coef, intercept, name) in enumerate(parameters, start=1):
        steps.append(_linear(f"coefs_[{l - 1}]", np.transpose(coef), intercept))
        steps.append(_Activation(f"the activation of layer {l}", names[name]))
    return _network(_layers(steps, None), None, dtype)


def to_sklearn(net: Network) -> Any:
    """Return scikit-learn's estimator with the parameters of a network.

    Parameters
    ----------
    net : fcnn.Network
        With hidden layers that are all identity, all sigmoid, all tanh or all relu.

    Returns
    -------
    sklearn.neural_network.MLPClassifier
        For cross_entropy (classes 0..n_L-1) and binary_cross_entropy (classes 0 and 1, or n_L
        labels that are each 0 or 1).
    sklearn.neural_network.MLPRegressor
        For squared_error with identity outputs, and poisson with exp.

    Raises
    ------
    TypeError
        If net is not a network.
    ValueError
        If scikit-learn has no such estimator: also for cross_entropy with two outputs.
    """
    layers = _layers_of(net)
    neural = _imported("sklearn.neural_network", "sklearn")
    hidden, output = {layer.activation for layer in layers[:-1]}, layers[-1].activation
    if len(hidden) > 1 or not hidden <= set(_SKLEARN_NAMES):
        raise ValueError(
            "net: scikit-learn has one activation for all hidden layers, "
            f"{check.listed(list(_SKLEARN_NAMES))}; got {check.listed(sorted(hidden))}"
        )
    natural = check.OUTPUT_ACTIVATIONS[net.loss][0]
    if net.loss in ("absolute_error", "huber") or output != natural:
        raise ValueError(f"net: scikit-learn has no {output} outputs with loss {net.loss}")
    n_out = net.sizes[-1]
    if net.loss == "cross_entropy" and n_out == 2:
        raise ValueError(
            "net: scikit-learn's classifier of two classes has one output, got 2; one output goes "
            "with binary_cross_entropy"
        )
    # A step on a row of zeros makes all that an estimator has after a fit; what it says of that
    # step is taken back then.
    options = {
        "hidden_layer_sizes": net.sizes[1:-1],
        "activation": _SKLEARN_NAMES[hidden.pop()] if hidden else "identity",
        "random_state": 0,
    }
    X = np.zeros((1, net.sizes[0]), net.dtype)
    if "entropy" in net.loss:
        estimator = neural.MLPClassifier(**options)
        multilabel = net.loss == "binary_cross_entropy" and n_out > 1
        y = np.zeros((1, n_out), int) if multilabel else np.zeros(1, int)
        estimator.partial_fit(X, y, classes=np.arange(max(n_out, 2)))
    else:
        if net.loss == "poisson":
            options["loss"] = "poisson"
        estimator = neural.MLPRegressor(**options)
        estimator.partial_fit(X, np.zeros(1 if n_out == 1 else (1, n_out), net.dtype))
    estimator.set_params(random_state=None)
    estimator.coefs_ = [np.ascontiguousarray(layer.W.T) for layer in layers]
    estimator.intercepts_ = [layer.b for layer in layers]
    estimator.n_iter_ = estimator.t_ = 0
    estimator.loss_curve_, estimator.best_loss_ = [], np.inf
    del estimator._optimizer, estimator.loss_
    return estimator


# --- PyTorch -------------------------------------------------------------------------------------


def from_torch(
    module_or_state_dict: Any,
    activations: str | Sequence[str] | None = None,
    loss: str | None = None,
    dtype: DTypeLike | None = None,
) -> Network:
    """Return the network of a PyTorch module, or of a state dict.

    Parameters
    ----------
    module_or_state_dict : torch.nn.Module or mapping of str to array
        A Sequential, nested or not, of Linear, Flatten, Dropout, Identity, BatchNorm1d (what it
        does in eval mode is folded into the layer beside it) and the activations Sigmoid, Tanh,
        ReLU, LeakyReLU, ELU, GELU, SiLU, Softplus, Softmax and LogSoftmax with their default
        constants. Or a mapping from names to arrays or tensors: ``"...weight"`` (n_l, n_(l-1)) and
        ``"...bias"`` (n_l,) of the layers in order.
    activations : str or sequence of str, optional
        For a state dict, which does not name them: one name for all hidden layers, or one for each
        hidden layer (the outputs are linear then), or one for each layer l = 1..L.
    loss : str, optional
        The network's loss. None keeps the outputs as they are and takes the loss that is natural
        for them. A loss that linear outputs do not go with makes its natural activation of them:
        with ``loss="cross_entropy"`` a module that returns logits, or log-probabilities by a
        LogSoftmax, becomes a network that predicts probabilities.
    dtype : str or numpy.dtype, optional
        float32 or float64; None keeps that of the parameters.

    Returns
    -------
    fcnn.Network
        With a copy of the parameters. Its inputs are flat, shape (s, n_0).

    Raises
    ------
    TypeError
        If it is neither a module nor a mapping.
    ValueError
        If something in it has no counterpart; the message names it.
    """
    if isinstance(module_or_state_dict, Mapping):
        steps = _state_dict_steps(module_or_state_dict, activations)
    else:
        torch = _imported("torch", "torch")
        if not isinstance(module_or_state_dict, torch.nn.Module):
            raise TypeError(
                "module_or_state_dict: expected a torch.nn.Module or a state dict, got "
                f"{type(module_or_state_dict).__name__}"
            )
        if activations is not None:
            raise ValueError("activations: a module has its own; they are for a state dict")
        steps = list(_module_steps(torch.nn, module_or_state_dict, ""))
    return _network(_layers(steps, loss), loss, dtype)


def _state_dict_steps(
    state: Mapping[Any, Any], activations: str | Sequence[str] | None
) -> list[_Step]:
    matrices = [key for key in state if str(key).split(".")[-1] == "weight"]
    biases = {key: f"{str(key).removesuffix('weight')}bias" for key in matrices}
    for key in state:
        if key not in biases and key not in biases.values():
            _refuse(f"tensor {key!r}", "expected the weights and biases of linear layers only")
    L = len(matrices)
    if isinstance(activations, str):
        names = [activations] * (L - 1)
    elif activations is not None:
        names = list(activations)
    elif L > 1:
        raise ValueError(
            "activations: expected a name or a list of names, because a state dict has none"
        )
    else:
        names = []
    if len(names) == L - 1:
        names.append("identity")
    if len(names) != L:
        raise ValueError(
            f"activations: expected {L - 1} names, one for each hidden layer, or {L} with the "
            f"output's, got {len(names)}"
        )
    steps: list[_Step] = []
    for i, (key, name) in enumerate(zip(matrices, names, strict=True)):
        check.as_choice(f"activations[{i}]", name, check.ACTIVATIONS)
        steps.append(_linear(f"tensor {key!r}", state[key], state.get(biases[key])))
        steps.append(_Activation(f"activations[{i}]", name))
    return steps


def _module_steps(nn: Any, module: Any, path: str) -> Iterator[_Step]:
    kind = type(module).__name__
    source = f"module {path!r} ({kind})" if path else f"module ({kind})"

    def is_a(*classes: Any) -> bool:  # a subclass may compute something else
        return any(isinstance(module, c) and type(module).forward is c.forward for c in classes)

    if module._forward_hooks or module._forward_pre_hooks:
        _refuse(source, "has hooks, which may change what it computes")
    if is_a(nn.Sequential):
        # named_children() leaves out a module that stands in two places.
        for name, child in module._modules.items():
            yield from _module_steps(nn, child, f"{path}.{name}" if path else name)
        return
    if is_a(nn.Identity, nn.Dropout, nn.AlphaDropout):
        return
    if is_a(nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            _refuse(source, "expected one that flattens all dimensions but the first")
        return
    if is_a(nn.Linear):
        yield _linear(source, module.weight, module.bias)
        return
    if is_a(nn.BatchNorm1d):
        if module.running_mean is None:
            _refuse(source, "has no running mean and variance")
        numbers = module.weight, module.bias, module.running_mean, module.running_var
        yield _normalization(source, *numbers, module.eps)
        return
    # Activations, and the constants that fcnn's have.
    choices: dict[Any, tuple[str, dict[str, tuple[Any, ...]]]] = {
        nn.Sigmoid: ("sigmoid", {}),
        nn.Tanh: ("tanh", {}),
        nn.ReLU: ("relu", {}),
        nn.LeakyReLU: ("leaky_relu", {"negative_slope": (0.01,)}),
        nn.ELU: ("elu", {"alpha": (1,)}),
        nn.GELU: ("gelu", {"approximate": ("none",)}),
        nn.SiLU: ("silu", {}),
        nn.Softplus: ("softplus", {"beta": (1,), "threshold": (20,)}),
        nn.Softmax: ("softmax", {"dim": (-1, 1, None)}),
        nn.LogSoftmax: ("log_softmax", {"dim": (-1, 1, None)}),
    }
    for c, (name, constants) in choices.items():
        if is_a(c):
            for constant, valid in constants.items():
                if (value := getattr(module, constant)) not in valid:
                    _refuse(source, f"expected {constant}={valid[0]!r}, got {value!r}")
            yield _Activation(source, name)
            return
    _refuse(source, "not one of the modules that can be converted")


def to_torch(net: Network) -> Any:
    """Return a torch.nn.Sequential that computes what a network computes.

    Parameters
    ----------
    net : fcnn.Network

    Returns
    -------
    torch.nn.Sequential
        A Linear for each layer, with copies of its weights and biases in the network's dtype, and
        its activation; that of the outputs is a module of its own, too, so ``module[:-1]`` of a
        classifier returns the logits that PyTorch's losses expect.

    Raises
    ------
    TypeError
        If net is not a network.
    ValueError
        If its outputs are exp, for which PyTorch has no module.
    """
    layers = _layers_of(net)
    torch = _imported("torch", "torch")
    nn = torch.nn
    modules = {
        "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "softplus": nn.Softplus,
        "softmax": lambda: nn.Softmax(dim=-1),
    }  # fmt: skip
    sequence = []
    for W, b, activation in layers:
        if activation != "identity" and activation not in modules:
            raise ValueError(f"net: PyTorch has no module for the output activation {activation}")
        n_out, n_in = W.shape
        dtype = getattr(torch, W.dtype.name)
        # Without the initial weights, which would be drawn from the global generator.
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            linear.bias.copy_(torch.from_numpy(b))
        sequence.append(linear)
        if activation != "identity":
            sequence.append(modules[activation]())
    return nn.Sequential(*sequence)


# --- ONNX ----------------------------------------------------------------------------------------


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
    onnx = _imported("onnx", "onnx")
    graph = _Graph(onnx, _as_model(onnx, model))
    net = _network(_layers(graph.steps(), loss), loss, dtype)
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
            model = _imported("onnx.inliner", "onnx").inline_local_functions(model)
    except (
        _imported("google.protobuf.message", "onnx").DecodeError,
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

# fcnn's name of an operator; what attributes must be, the default first.
_ONNX_ACTIVATIONS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Relu": ("relu", {}),
    "LeakyRelu": ("leaky_relu", {"alpha": (float(np.float32(0.01)),)}),
    "Elu": ("elu", {"alpha": (1.0,)}),
    "Gelu": ("gelu", {"approximate": (b"none",)}),
    "Swish": ("silu", {"alpha": (1.0,)}),
    "Softplus": ("softplus", {}),
    "Exp": ("exp", {}),
    "Softmax": ("softmax", {"axis": (-1, 1)}),
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
        start = () if flat else (_Unflattened(f"input {given.name!r} of shape {self.shape}"),)
        self.flows: dict[str, tuple[_Step, ...]] = {given.name: start}

    def steps(self) -> tuple[_Step, ...]:
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
                _refuse(source, f"operators of {node.domain} cannot be converted")
            for name in node.input:
                if name and name not in self.flows and name not in self.constants:
                    _refuse(source, f"the tensor {name!r} cannot be followed")
            if any(name in self.flows for name in node.input):
                self.flows[node.output[0]] = self._flow(node, source)
            elif node.op_type in _FOLDED:
                self.constants[node.output[0]] = self._computed(node, source)
            else:
                _refuse(source, "cannot be converted")
        if self.output not in self.flows:
            raise ValueError(f"model: its output {self.output!r} does not depend on the input")
        return self.flows[self.output]

    def _computed(self, node: Any, source: str) -> Array:
        onnx, reference = self.onnx, _imported("onnx.reference", "onnx")
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

    def _flow(self, node: Any, source: str) -> tuple[_Step, ...]:
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
            _refuse(source, "expected the data as its first input")
        numbers = [self.constants.get(name) for name in names[1:]]
        if op in ("Flatten", "Reshape"):
            if op == "Reshape":
                self._check_reshape(source, numbers[0])
            elif attributes.get("axis", 1) != 1:
                _refuse(source, f"expected axis 1, got {attributes['axis']}")
            if all(isinstance(step, (_Cast, _Scale, _Unflattened)) for step in x):
                return tuple(step for step in x if not isinstance(step, _Unflattened))
            if op == "Flatten":  # of what is flat already, or has never been
                return x
            _refuse(source, "expected one that flattens the inputs, not what a layer returns")
        return (*x, *self._steps_of(op, source, attributes, numbers))

    def _check_reshape(self, source: str, shape: Any) -> None:
        """Refuse what is not the flattening of inputs, as PyTorch exports it."""
        features = self.features
        flat = [(-1, features), (0, features), (0, -1)]
        if self.shape and self.shape[0]:
            flat += [(self.shape[0], features), (self.shape[0], -1)]
        if not features or shape is None or tuple(np.ravel(shape).tolist()) not in flat:
            _refuse(source, f"expected one that flattens the inputs, got shape {shape}")

    def _steps_of(
        self, op: str, source: str, attributes: dict[str, Any], numbers: list[Array | None]
    ) -> list[_Step]:
        """Return the steps of a node whose other inputs are constants, None if left out."""

        def number(i: int) -> Array:
            if i >= len(numbers) or numbers[i] is None:
                _refuse(source, "expected constants as its other inputs")
            return _real(source, numbers[i])

        def row(i: int) -> Array:
            array = number(i)
            if array.ndim > 2 or array.size != (array.shape or (1,))[-1]:
                _refuse(source, f"expected a number for each node, got shape {array.shape}")
            return array.reshape(-1)

        if op in ("Identity", "Dropout"):
            if len(numbers) > 1 and np.any(numbers[1]):
                _refuse(source, "is in training mode")
            return []
        if op == "Cast":
            return [_Cast(source, self.onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))]
        if op == "MatMul":
            return [_linear(source, number(0).T)]
        if op == "Gemm":
            if attributes.get("transA", 0):
                _refuse(source, "expected transA=0 for the data")
            W = number(0) if attributes.get("transB", 0) else number(0).T
            alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
            steps: list[_Step] = [_linear(source, W)]
            if alpha != 1:
                steps.append(_Scale(source, np.array([alpha]), None))
            if len(numbers) > 1 and numbers[1] is not None:
                steps.append(_Scale(source, None, row(1) if beta == 1 else beta * row(1)))
            return steps
        if op == "Add":
            return [_Scale(source, None, row(0))]
        if op == "Sub":
            return [_Scale(source, None, -row(0))]
        if op == "Mul":
            return [_Scale(source, row(0), None)]
        if op == "Div":
            if not row(0).all():
                _refuse(source, "divides by 0")
            return [_Scale(source, 1 / row(0), None)]
        if op == "BatchNormalization":
            if attributes.get("training_mode", 0):
                _refuse(source, "is in training mode")
            epsilon = attributes.get("epsilon", 1e-5)
            return [_normalization(source, row(0), row(1), row(2), row(3), epsilon)]
        if op == "Greater" and (row(0) == 20).all():
            return [_Activation(source, "z > 20")]
        if op == "PRelu" and (row(0) == row(0).dtype.type(0.01)).all():
            return [_Activation(source, "leaky_relu")]
        if op not in _ONNX_ACTIVATIONS:
            _refuse(source, "cannot be converted")
        name, constants = _ONNX_ACTIVATIONS[op]
        for constant, valid in constants.items():
            if (value := attributes.get(constant, valid[0])) not in valid:
                _refuse(source, f"expected {constant}={valid[0]!r}, got {value!r}")
        return [_Activation(source, name)]


def _joined(op: str, source: str, flows: Sequence[tuple[_Step, ...] | None]) -> tuple[_Step, ...]:
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
    _refuse(source, "joins tensors to what is not one of fcnn's activations")


def _gated(source: str, z: Sequence[_Step], gate: Sequence[_Step]) -> list[_Step]:
    """Return z (1 + erf(z / sqrt 2)) as 2 gelu(z), and z sigmoid(z) as silu(z), times a number."""
    at = next((i for i, step in enumerate(gate) if isinstance(step, _Activation)), None)
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
    return [_Activation(source, name), _Scale(source, np.array([multiple]), None)]


def _is_root_of_half(number: Any) -> bool:
    """Return whether a number is sqrt(1/2), or 1 / sqrt 2, in its precision."""
    return bool(abs(number - math.sqrt(0.5)) <= 2 * np.spacing(np.abs(number)))


def _numbers(steps: Sequence[_Step]) -> tuple[Any, Any] | None:
    """Return s and t of steps that are s z + t with the same numbers for all nodes."""
    s: Any = 1
    t: Any = 0
    for step in steps:
        if not isinstance(step, _Scale):
            return None
        if step.s is not None:
            s, t = s * step.s, t * step.s
        if step.t is not None:
            t = t + step.t
    return (np.ravel(s)[0], np.ravel(t)[0]) if np.size(s) == np.size(t) == 1 else None


def to_onnx(net: Network, path: str | os.PathLike[str] | None = None, opset: int = 17) -> Any:
    """Return an ONNX model that computes what a network computes.

    Parameters
    ----------
    net : fcnn.Network
    path : str or path-like, optional
        A file to write the model to; an existing one is replaced at once.
    opset : int, default 17
        Version of the operators, from 13 to the newest of the installed onnx package. From 20 on
        gelu is one node, before it is written with Erf.

    Returns
    -------
    onnx.ModelProto
        Of one input "x" (samples, n_0) and one output "a" (samples, n_L) in the network's dtype,
        with tensors W1 (n_1, n_0), b1 (n_1,), ..., WL, bL.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    OSError
        If the file cannot be written.
    """
    layers = _layers_of(net)
    onnx = _imported("onnx", "onnx")
    newest = onnx.defs.onnx_opset_version()
    if check.as_count("opset", opset) not in range(13, newest + 1):
        raise ValueError(f"opset: expected 13 to {newest}, got {opset}")
    file = None if path is None else as_path(path)
    make, from_array = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes, tensors = [], []
    a = "x"
    for l, (W, b, activation) in enumerate(layers, start=1):
        output = "a" if l == len(layers) else f"a{l}"
        z = output if activation == "identity" else f"z{l}"
        tensors += [from_array(W, f"W{l}"), from_array(b, f"b{l}")]
        nodes.append(make("Gemm", [a, f"W{l}", f"b{l}"], [z], f"layer{l}", transB=1))
        parts, constants = _onnx_activation(activation, W.dtype, opset)
        names = {"z": z, "a": output} | {key: f"{activation}{l}.{key}" for key in constants}
        tensors += [from_array(np.array(v, W.dtype), names[k]) for k, v in constants.items()]
        for op, inputs, result, attributes in parts:
            given = [names.get(name, f"{activation}{l}.{name}") for name in inputs]
            made = names.get(result, f"{activation}{l}.{result}")
            nodes.append(make(op, given, [made], f"{made}.{op}", **attributes))
        a = output
    number = onnx.helper.np_dtype_to_tensor_dtype(net.dtype)
    x, y = (
        onnx.helper.make_tensor_value_info(name, number, ["samples", n])
        for name, n in (("x", net.sizes[0]), ("a", net.sizes[-1]))
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "fcnn", [x], [y], tensors),
        opset_imports=opsets,
        producer_name="fcnn",
        ir_version=onnx.helper.find_min_ir_version_for(opsets),  # so that older runtimes read it
    )
    onnx.checker.check_model(model)
    if file is not None:
        write_whole(file, model.SerializeToString())
    return model


_Part = tuple[str, list[str], str, dict[str, Any]]


def _onnx_activation(
    name: str, dtype: np.dtype[Any], opset: int
) -> tuple[list[_Part], dict[str, float]]:
    """Return the nodes, (operator, inputs, output, attributes), and the constants they read."""
    if name == "identity":
        return [], {}
    if name == "leaky_relu" and dtype == np.float64:
        # LeakyRelu's slope is a float32, 2e-8 off.
        return [("PRelu", ["z", "slope"], "a", {})], {"slope": 0.01}
    if name == "softplus" and dtype == np.float64:
        # Softplus alone is 2e-9 off where z is a little above 20; in float32 that is nothing.
        parts: list[_Part] = [
            ("Greater", ["z", "limit"], "above", {}),
            ("Softplus", ["z"], "softplus", {}),
            ("Where", ["above", "z", "softplus"], "a", {}),
        ]
        return parts, {"limit": 20.0}
    if name == "silu":
        return [("Sigmoid", ["z"], "sigmoid", {}), ("Mul", ["z", "sigmoid"], "a", {})], {}
    if name == "gelu" and opset < 20:
        parts = [
            ("Mul", ["z", "scale"], "scaled", {}),
            ("Erf", ["scaled"], "erf", {}),
            ("Add", ["erf", "one"], "sum", {}),
            ("Mul", ["z", "sum"], "twice", {}),
            ("Mul", ["twice", "half"], "a", {}),
        ]
        return parts, {"scale": math.sqrt(0.5), "one": 1.0, "half": 0.5}
    op, constants = next(
        (op, constants) for op, (ours, constants) in _ONNX_ACTIVATIONS.items() if ours == name
    )
    return [(op, ["z"], "a", {key: valid[0] for key, valid in constants.items()})], {}


# --- Keras ---------------------------------------------------------------------------------------

_KERAS_NAMES = {
    "linear": "identity", "exponential": "exp", "swish": "silu",
    **{
        name: name
        for name in ("sigmoid", "tanh", "relu", "elu", "gelu", "silu", "softplus", "softmax",
                     "log_softmax")
    },
}  # fmt: skip


def from_keras(model: Any, loss: str | None = None, dtype: DTypeLike | None = None) -> Network:
    """Return the network of a Keras model.

    It is read through `get_config` and `get_weights`; Keras itself is not imported.

    Parameters
    ----------
    model : keras.Sequential
        Of Dense, Flatten, Dropout, BatchNormalization (what it does in a prediction is folded into
        the layer beside it), Activation, ReLU, LeakyReLU (with slope 0.01), ELU (with alpha 1),
        Softmax, and Sequentials of them. Activations by name: linear, sigmoid, tanh, relu, elu,
        gelu, silu, softplus, exponential, softmax, log_softmax.
    loss, dtype
        As for `from_torch`.

    Returns
    -------
    fcnn.Network
        With a copy of the parameters. Its inputs are flat, shape (s, n_0).

    Raises
    ------
    TypeError
        If it is not a Sequential.
    ValueError
        If something in it has no counterpart; the message names it.
    """
    if type(model).__name__ != "Sequential" or not hasattr(model, "layers"):
        raise TypeError(f"model: expected a keras.Sequential, got {type(model).__name__}")
    return _network(_layers(_keras_steps(model), loss), loss, dtype)


def _keras_steps(model: Any) -> Iterator[_Step]:
    for layer in model.layers:
        kind, config = type(layer).__name__, layer.get_config()
        source = f"layer {layer.name!r} ({kind})"

        def expect(source: str = source, config: Any = config, **valid: Any) -> None:
            for name, value in valid.items():
                if (given := config.get(name, value)) != value:
                    _refuse(source, f"expected {name}={value!r}, got {given!r}")

        if kind == "Sequential":
            yield from _keras_steps(layer)
        elif kind in ("InputLayer", "Dropout"):
            continue
        elif kind == "Flatten":
            expect(data_format="channels_last")
        elif kind in ("Dense", "Activation"):
            if kind == "Dense":
                arrays = layer.get_weights()
                if len(arrays) != 1 + config["use_bias"]:
                    _refuse(source, f"expected weights and biases, got {len(arrays)} arrays")
                yield _linear(source, arrays[0].T, *arrays[1:])
            name = config["activation"]
            if not isinstance(name, str) or name not in _KERAS_NAMES:
                _refuse(source, f"expected the name of an activation of fcnn, got {name!r}")
            if name != "linear":
                yield _Activation(source, _KERAS_NAMES[name])
        elif kind == "BatchNormalization":
            *shape, mean, variance = layer.get_weights()
            gamma = shape.pop(0) if config["scale"] else None
            beta = shape.pop(0) if config["center"] else None
            yield _normalization(source, gamma, beta, mean, variance, config["epsilon"])
        elif kind == "ReLU":
            expect(max_value=None, negative_slope=0, threshold=0)
            yield _Activation(source, "relu")
        elif kind == "LeakyReLU":
            expect(negative_slope=0.01, alpha=0.01)
            yield _Activation(source, "leaky_relu")
        elif kind == "ELU":
            expect(alpha=1)
            yield _Activation(source, "elu")
        elif kind == "Softmax":
            expect(axis=-1)
            yield _Activation(source, "softmax")
        else:
            _refuse(source, "not one of the layers that can be converted")


# --- C -------------------------------------------------------------------------------------------

_C_KEYWORDS = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|"
    "union|unsigned|void|volatile|while"
)

# NAME is the network's, REAL float or double, F the f of expf or nothing, {number} a constant.
_C_FUNCTIONS = {
    "sigmoid": """\
    /* e^-|z| does not overflow. */
    REAL e = expF(-fabsF(z));
    return (z < 0 ? e : 1) / (1 + e);
""",
    "tanh": "    return tanhF(z);\n",
    "relu": "    return z < 0 ? 0 : z;\n",
    "leaky_relu": "    return z < 0 ? {0.01} * z : z;\n",
    "elu": "    return z < 0 ? expm1F(z) : z;\n",
    "gelu": "    return {0.5} * z * (1 + erfF(z * {0.7071067811865476}));\n",
    "silu": "    return z * NAME_sigmoid(z);\n",
    "softplus": "    return z > 20 ? z : log1pF(expF(z));\n",
    "exp": "    return expF(z);\n",
}
_C_WITHOUT_MATH = ("identity", "relu", "leaky_relu")

_C_SOFTMAX = """\
static void NAME_softmax(REAL *a, int n)
{
    REAL largest = a[0], total = 0;
    int k;
    for (k = 1; k < n; k++)
        if (a[k] > largest)
            largest = a[k];
    for (k = 0; k < n; k++)
        total += a[k] = expF(a[k] - largest);
    total = 1 / total;
    for (k = 0; k < n; k++)
        a[k] *= total;
}
"""

_C_PREPARE = """\
/* x = (raw - mean) / scale: raw inputs to those of NAME_predict */
void NAME_prepare(const double *raw, REAL *x);
void NAME_prepare(const double *raw, REAL *x)
{
    int j;
    for (j = 0; j < MACRO_INPUTS; j++)
        x[j] = (REAL)((raw[j] - NAME_mean[j]) / NAME_scale[j]);
}
"""

# The sums are those of fcnn, in its order, and the loop over k is one that compilers vectorize.
_C_LAYER = """\
/* z = W x + b; row j of W has the weights from node j to all nodes k of the layer */
static void NAME_layer(const REAL *W, const REAL *b, const REAL *x, REAL *restrict z,
    int n_in, int n_out)
{
    int j, k;
    for (k = 0; k < n_out; k++)
        z[k] = b[k];
    for (j = 0; j < n_in; j++, W += n_out)
        for (k = 0; k < n_out; k++)
            z[k] += W[k] * x[j];
}
"""


def to_c(net: Network, name: str, path: str | os.PathLike[str] | None = None) -> str:
    """Return a file of C99 with a function that computes what `net.predict` does for one sample.

    It needs nothing but math.h, and that only for activations with an exponential; it allocates
    nothing, and any number of threads may call it. With T float or double, the network's dtype::

        #define NAME_INPUTS             n_0
        #define NAME_OUTPUTS            n_L
        #define NAME_SCRATCH_BYTES      of the stack, besides a few variables
        void NAME_predict(const T *x, T *a);                x (n_0,), a (n_L,), not overlapping
        void NAME_prepare(const double *raw, T *x);         both (n_0,), if there is a preprocessing

    Sums are added up in the same order as in `predict`. What differs is rounding: the instructions
    that the C compiler chooses, and the functions of its math library.

    As `predict` does not apply `net.preprocessing`, the function with its name does not, either.
    NAME_prepare does, with the same result as ``net.preprocessing(raw)``. Folded into the first
    layer instead, the standardization would be rounded differently.

    Parameters
    ----------
    net : fcnn.Network
    name : str
        What all names in the file begin with, those of macros in capitals: an identifier of C that
        does not begin with an underscore.
    path : str or path-like, optional
        A file to write the text to; an existing one is replaced at once.

    Returns
    -------
    str
        The text.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the network has parameters that are not finite.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import fcnn, fcnn.convert
    >>> net = fcnn.Network((4, 16, 3), rng=0)
    >>> print(fcnn.convert.to_c(net, "iris")[:61])
    /* iris: a fully connected network, 4-16-3, computed in float
    """
    layers = _layers_of(net)
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or _C_KEYWORDS.fullmatch(name):
        raise ValueError(
            "name: expected an identifier of C (letters, digits and underscores, a letter first, "
            f"no keyword), got {name!r}"
        )
    file = None if path is None else as_path(path)
    check.refuse_nonfinite("parameters", net.parameters)
    text = _c_text(net, layers, name)
    if file is not None:
        write_whole(file, text.encode())
    return text


def _c_text(net: Network, layers: Sequence[_Layer], name: str) -> str:
    real, suffix = ("float", "f") if net.dtype == np.float32 else ("double", "")
    sizes, L = net.sizes, len(layers)

    def literal(value: Any, suffix: str = suffix) -> str:
        digits, exponent = float(value).hex().split("p")
        return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}{suffix}"

    def array(what: str, values: Array, real: str = real, suffix: str = suffix) -> str:
        numbers = [literal(value, suffix) for value in values.ravel().tolist()]
        lines = [", ".join(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
        body = ",\n    ".join(lines)
        return f"static const {real} NAME_{what}[{values.size}] = {{\n    {body}\n}};\n"

    used = {layer.activation for layer in layers}
    functions = used & set(_C_FUNCTIONS) | ({"sigmoid"} if "silu" in used else set())
    # Hidden layers take turns with two arrays, each as wide as the widest of its layers.
    widths = [max(sizes[first:L:2], default=0) for first in (1, 2)]
    scratch = [f"{array}[{n}]" for array, n in zip(("odd", "even"), widths, strict=True) if n]
    shape = "-".join(map(str, sizes))
    parts = [
        f"/* NAME: a fully connected network, {shape}, computed in {real}\n"
        "\n"
        "   NAME_predict reads x[MACRO_INPUTS] and writes a[MACRO_OUTPUTS]; the two must not\n"
        "   overlap. Any number of threads may call it: besides a it writes to its stack only, of\n"
        "   which it takes MACRO_SCRATCH_BYTES and a few variables. */\n"
    ]
    if not used <= set(_C_WITHOUT_MATH):
        parts.append("#include <math.h>\n")
    parts.append(
        f"#define MACRO_INPUTS {sizes[0]}\n"
        f"#define MACRO_OUTPUTS {sizes[-1]}\n"
        f"#define MACRO_SCRATCH_BYTES {sum(widths) * net.dtype.itemsize}\n"
    )
    parts.append("void NAME_predict(const REAL *x, REAL *a);\n")
    if net.preprocessing is not None:
        for what in ("mean", "scale"):
            values = np.array(getattr(net.preprocessing, what), np.float64)
            check.refuse_nonfinite(f"preprocessing.{what}", values)
            parts.append(array(what, np.broadcast_to(values, sizes[0]), "double", ""))
        parts.append(_C_PREPARE)
    for l, (W, b, _) in enumerate(layers, start=1):
        parts += [array(f"W{l}", W.T), array(f"b{l}", b)]
    parts.append(_C_LAYER)
    for activation, body in _C_FUNCTIONS.items():
        if activation in functions:
            body = re.sub(r"\{([\d.]+)\}", lambda m: literal(net.dtype.type(m[1])), body)
            parts.append(f"static REAL NAME_{activation}(REAL z)\n{{\n{body}}}\n")
    if "softmax" in used:
        parts.append(_C_SOFTMAX)
    lines = [f"    REAL {', '.join(scratch)};"] if scratch else []
    if functions:
        lines.append("    int k;")
    lines += [""] if lines else []
    source = "x"
    for l, (_, b, activation) in enumerate(layers, start=1):
        target = "a" if l == L else ("odd" if l % 2 else "even")
        lines.append(
            f"    NAME_layer(NAME_W{l}, NAME_b{l}, {source}, {target}, {sizes[l - 1]}, {b.size});"
        )
        if activation == "softmax":
            lines.append(f"    NAME_softmax({target}, {b.size});")
        elif activation != "identity":
            lines.append(f"    for (k = 0; k < {b.size}; k++)")
            lines.append(f"        {target}[k] = NAME_{activation}({target}[k]);")
        source = target
    body = "\n".join(lines)
    parts.append(f"void NAME_predict(const REAL *x, REAL *a)\n{{\n{body}\n}}\n")
    words = {"NAME": name, "MACRO": name.upper(), "REAL": real, "F": suffix}
    return re.sub(
        r"\b(NAME|MACRO)(?=_|: )|\bREAL\b|(?<=[a-z0-9])F(?=\()",
        lambda m: words[m[1] or m[0]],
        "\n".join(parts),
    )
