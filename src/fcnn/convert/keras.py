"""Keras's Sequential models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import DTypeLike

from fcnn._architecture import named
from fcnn.convert.steps import (
    Activation,
    Step,
    activation_step,
    expect,
    layers_from,
    linear,
    network_from,
    normalization,
    refuse,
)
from fcnn.names import Loss
from fcnn.network import Network

# Keras's names of an activation: none for one that it does not have. By its name leaky_relu has a
# slope of 0.2.
NAMES: dict[str, tuple[str, ...]] = {
    "identity": ("linear",), "sigmoid": ("sigmoid",), "tanh": ("tanh",), "relu": ("relu",),
    "leaky_relu": ("leaky_relu",), "elu": ("elu",), "gelu": ("gelu",), "silu": ("silu", "swish"),
    "softplus": ("softplus",), "softmax": ("softmax",), "exp": ("exponential",),
    "ascending": (),
}  # fmt: skip
# The layers that are an activation, and the constants that make them fcnn's; or what Keras calls
# the number that fcnn's has, too (alpha was the slope's name in Keras 2).
LAYERS: dict[str, tuple[str, dict[str, tuple[Any, ...]] | tuple[str, ...]]] = {
    "relu": ("ReLU", {"max_value": (None,), "negative_slope": (0,), "threshold": (0,)}),
    "leaky_relu": ("LeakyReLU", ("negative_slope", "alpha")),
    "elu": ("ELU", ("alpha",)),
    "softmax": ("Softmax", {"axis": (-1,)}),
}
# The same by Keras's names, and what is read beside them.
_NAMED = {theirs: name for name, names in NAMES.items() for theirs in names} | {
    "log_softmax": "log_softmax", "leaky_relu": named("leaky_relu", 0.2),
}  # fmt: skip
_LAYERS = {kind: (name, constants) for name, (kind, constants) in LAYERS.items()}


def from_keras(model: Any, loss: Loss | None = None, dtype: DTypeLike | None = None) -> Network:
    """Return the network of a Keras model.

    It is read through `get_config` and `get_weights`; Keras itself is not imported.

    Parameters
    ----------
    model : keras.Sequential
        Of Dense, Flatten, Dropout, BatchNormalization (what it does in a prediction is folded into
        the layer beside it), Activation, ReLU, LeakyReLU, ELU, Softmax, and Sequentials of them.
        Activations by name: linear, sigmoid, tanh, relu, leaky_relu (whose slope is 0.2), elu,
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
    if _kind(model) != "Sequential" or not hasattr(model, "layers"):
        raise TypeError(
            f"model: expected a keras.Sequential, got {type(model).__name__}; from_onnx reads more "
            'of what model.export(path, format="onnx") makes of it'
        )
    _expect_flat(model)
    return network_from(layers_from(_keras_steps(model), loss), loss, dtype)


def _kind(layer: Any) -> str:
    """Return the name of a class of Keras; of another, which may have the same, none."""
    module = type(layer).__module__.partition(".")[0]
    return type(layer).__name__ if module in ("keras", "tf_keras", "tensorflow") else ""


def _expect_flat(model: Any) -> None:
    """Refuse inputs of several axes, of which layers would take the last alone."""
    shape = getattr(model, "input_shape", None)
    skipped = ("InputLayer", "Dropout")
    first = next((layer for layer in model.layers if _kind(layer) not in skipped), None)
    if _kind(first) == "Sequential":
        _expect_flat(first)
    elif isinstance(shape, tuple) and len(shape) > 2 and _kind(first) != "Flatten":
        refuse("model", f"expected a Flatten at first for inputs of shape {shape}")


def _keras_steps(model: Any) -> Iterator[Step]:
    for layer in model.layers:
        kind, config = _kind(layer), layer.get_config()
        source = f"layer {layer.name!r} ({type(layer).__name__})"
        if kind == "Sequential":
            yield from _keras_steps(layer)
        elif kind in ("InputLayer", "Dropout"):
            continue
        elif kind == "Flatten":
            expect(source, config, {"data_format": ("channels_last",)})
        elif kind in ("Dense", "Activation"):
            if kind == "Dense":
                arrays = layer.get_weights()
                if len(arrays) != 1 + config["use_bias"]:
                    refuse(source, f"expected weights and biases, got {len(arrays)} arrays")
                yield linear(source, arrays[0].T, *arrays[1:])
            name = config["activation"]
            if not isinstance(name, str) or name not in _NAMED:
                refuse(source, f"expected the name of an activation of fcnn, got {name!r}")
            if name != "linear":
                yield Activation(source, _NAMED[name])
        elif kind == "BatchNormalization":
            *shape, mean, variance = layer.get_weights()
            gamma = shape.pop(0) if config["scale"] else None
            beta = shape.pop(0) if config["center"] else None
            yield normalization(source, gamma, beta, mean, variance, config["epsilon"])
        elif kind in _LAYERS:
            name, constants = _LAYERS[kind]
            if isinstance(constants, tuple):
                known = next((given for given in constants if given in config), constants[0])
                yield activation_step(source, name, known, config.get(known))
            else:
                expect(source, config, constants)
                yield Activation(source, name)
        else:
            refuse(
                source,
                "not one of the layers that can be converted; from_onnx reads more of what "
                'model.export(path, format="onnx") makes of it',
            )
