"""PyTorch's modules and state dicts."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fcnn import _validation as check
from fcnn._architecture import as_activation
from fcnn.convert.steps import (
    OTHER_WRITERS,
    Activation,
    Linear,
    Step,
    activation_step,
    entry_of,
    expect,
    imported,
    layers_from,
    layers_of,
    linear,
    network_from,
    normalization,
    refuse,
)
from fcnn.model import Model
from fcnn.names import Loss, OutputActivation
from fcnn.network import Network

# PyTorch's class of an activation, and the constants that fcnn's have. One valid constant is
# PyTorch's default; of several the first is written. A text is what PyTorch calls the number that
# fcnn's has, too. None where PyTorch has no module.
MODULES: dict[str, tuple[str, dict[str, tuple[Any, ...]] | str] | None] = {
    "identity": ("Identity", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", "negative_slope"),
    "elu": ("ELU", "alpha"),
    "gelu": ("GELU", {"approximate": ("none",)}),
    "silu": ("SiLU", {}),
    "softplus": ("Softplus", {"beta": (1,), "threshold": (20,)}),
    "softmax": ("Softmax", {"dim": (-1, 1, None)}),
    "exp": None,
    "ascending": None,
}
# After so many beginnings of orders of layers, theirs is one that is not determined.
_MOST_ORDERS = 500
# What is read beside them.
_READ = {**MODULES, "log_softmax": ("LogSoftmax", {"dim": (-1, 1, None)})}


def from_torch(
    module_or_state_dict: Any,
    activations: OutputActivation | Sequence[OutputActivation] | None = None,
    loss: Loss | None = None,
    dtype: DTypeLike | None = None,
    layers: Sequence[str] | None = None,
) -> Network:
    """Return the network of a PyTorch module, or of a state dict.

    Parameters
    ----------
    module_or_state_dict : torch.nn.Module or mapping of str to array
        A Sequential, nested or not, of Linear, Flatten, Dropout, Identity, BatchNorm1d (what it
        does in eval mode is folded into the layer beside it) and the activations Sigmoid, Tanh,
        ReLU, LeakyReLU and ELU with any constant of at least 0, GELU, SiLU, Softplus, Softmax and
        LogSoftmax with their default constants. Or a mapping from names to arrays or tensors:
        ``"...weight"`` (n_l, n_(l-1)) and ``"...bias"`` (n_l,) of each layer, or no bias. The order
        of its keys counts for nothing, since a file need not keep it: see `layers`.
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
    layers : sequence of str, optional
        For a state dict, the names of its layers from inputs to outputs, without ``.weight``:
        ``["fc1", "fc2", "out"]``. None takes the one order in which numbers in the names ascend
        (0, 2, 10) and each layer has as many inputs as the one before has outputs. Where there are
        more such orders it is refused.

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
        steps = _state_dict_steps(module_or_state_dict, activations, layers)
    else:
        torch = imported("torch", "torch")
        if not isinstance(module_or_state_dict, torch.nn.Module):
            raise TypeError(
                "module_or_state_dict: expected a torch.nn.Module or a state dict, got "
                f"{type(module_or_state_dict).__name__}"
            )
        if activations is not None:
            raise ValueError("activations: a module has its own; they are for a state dict")
        if layers is not None:
            raise ValueError("layers: a module has its own order; they are for a state dict")
        steps = list(_module_steps(torch.nn, module_or_state_dict, ""))
    return network_from(layers_from(steps, loss), loss, dtype)


def _state_dict_steps(
    state: Mapping[Any, Any],
    activations: str | Sequence[str] | None,
    layers: Sequence[str] | None,
) -> list[Step]:
    matrices = {}  # by the names of the layers
    for key in state:
        name, dot, what = str(key).rpartition(".")
        if what == "weight":
            matrices[name] = (key, f"{name}{dot}bias")
    known = {key for keys in matrices.values() for key in keys}
    for key in state:
        if key not in known:
            refuse(f"tensor {key!r}", "expected the weights and biases of linear layers only")
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
    names = [
        as_activation(f"activations[{i}]", name, check.ACTIVATIONS) for i, name in enumerate(names)
    ]
    made = {
        name: linear(f"tensor {W!r}", state[W], state.get(b)) for name, (W, b) in matrices.items()
    }
    order = _in_order(made) if layers is None else _as_layers(layers, made)
    steps: list[Step] = []
    for i, (layer, name) in enumerate(zip(order, names, strict=True)):
        steps.append(made[layer])
        steps.append(Activation(f"activations[{i}]", name))
    return steps


def _as_layers(layers: Any, made: Mapping[str, Linear]) -> list[str]:
    """Return the names of all layers as given, or refuse them."""
    if not isinstance(layers, str) and isinstance(layers, Iterable):
        given = [str(name) for name in layers]
        if sorted(given) == sorted(made):
            return given
    raise ValueError(
        f"layers: expected a list of {list(made)}, each once, from inputs to outputs; got "
        f"{layers!r}"
    )


def _parts(name: str) -> list[tuple[str, list[str], list[int]]]:
    """Return the parts of a layer's name between dots; of each what is text in it, and numbers."""
    return [
        (part, re.split("[0-9]+", part), [int(n) for n in re.findall("[0-9]+", part)])
        for part in name.split(".")
    ]


def _precedes(parts: Any, others: Any) -> bool:
    """Return whether names of layers differ at first in a number, and this has the smaller one."""
    for (part, text, number), (its, its_text, its_number) in zip(parts, others, strict=False):
        if part != its:
            return bool(text == its_text and number < its_number)
    return False


def _in_order(made: Mapping[str, Linear]) -> list[str]:
    """Return the one order of layers in which numbers ascend and shapes fit, or refuse."""
    parts = {name: _parts(name) for name in made}
    before = {
        name: {other for other in made if _precedes(parts[other], parts[name])} for name in made
    }
    by_number = sorted(made, key=lambda name: len(before[name]))
    if all(len(before[name]) == l for l, name in enumerate(by_number)):
        return by_number  # where shapes do not fit, the layer will be named
    found: list[list[str]] = []
    looked = 0

    def extend(order: list[str]) -> None:
        nonlocal looked
        looked += 1
        if len(order) == len(made):
            found.append(order)
        for name, layer in made.items():
            if len(found) > 1 or looked > _MOST_ORDERS:
                return
            fits = not order or layer.W.shape[1] == len(made[order[-1]].W)
            if fits and name not in order and before[name] <= {*order}:
                extend([*order, name])

    extend([])
    if len(found) == 1 and looked <= _MOST_ORDERS:
        return found[0]
    return refuse(
        "layers",
        f"the names {list(made)} and their shapes do not say in which order the layers stand; "
        "expected layers=[...], all of them from inputs to outputs",
    )


def _computes_as(module: Any, kind: type) -> bool:
    """Return whether a module has the methods of its class: a subclass, or it, may have others."""
    names = ("forward", "__call__", "_call_impl", "__iter__")
    return not any(
        name in vars(module) or getattr(type(module), name, None) is not getattr(kind, name, None)
        for name in names
    )


def _module_steps(nn: Any, module: Any, path: str) -> Iterator[Step]:
    kind = type(module).__name__
    source = f"module {path!r} ({kind})" if path else f"module ({kind})"

    def is_a(*classes: Any) -> bool:
        return any(isinstance(module, c) and _computes_as(module, c) for c in classes)

    if module._forward_hooks or module._forward_pre_hooks:
        refuse(source, "has hooks, which may change what it computes")
    if is_a(nn.Sequential):
        # named_children() leaves out a module that stands in two places.
        for name, child in module._modules.items():
            yield from _module_steps(nn, child, f"{path}.{name}" if path else name)
        return
    if is_a(nn.Dropout, nn.AlphaDropout):
        return
    if is_a(nn.Flatten):
        if module.start_dim != 1 or module.end_dim != -1:
            refuse(source, "expected one that flattens all dimensions but the first")
        return
    if is_a(nn.Linear):
        yield linear(source, module.weight, module.bias)
        return
    if is_a(nn.BatchNorm1d):
        if module.running_mean is None:
            refuse(source, "has no running mean and variance")
        numbers = module.weight, module.bias, module.running_mean, module.running_var
        yield normalization(source, *numbers, module.eps)
        return
    for name, found in _READ.items():
        if found is not None and is_a(getattr(nn, found[0])):
            constants = found[1]
            if isinstance(constants, str):
                yield activation_step(source, name, constants, getattr(module, constants))
                return
            expect(
                source, {constant: getattr(module, constant) for constant in constants}, constants
            )
            if name != "identity":  # which may stand anywhere
                yield Activation(source, name)
            return
    refuse(
        source,
        "not one of the modules that can be converted; from_onnx reads more of what "
        "torch.onnx.export makes of it",
    )


def to_torch(net: Network | Model) -> Any:
    """Return a torch.nn.Sequential that computes what a network, or a model, computes.

    Parameters
    ----------
    net : fcnn.Network or fcnn.Model
        A model whose columns are all numbers and booleans: a tensor holds no texts.

    Returns
    -------
    torch.nn.Sequential
        A Linear for each layer, with copies of its weights and biases in the network's dtype, and
        its activation; that of the outputs is a module of its own, too, so ``module[:-1]`` of a
        classifier returns the logits that PyTorch's losses expect.

        Of a model the same between two more modules. The first takes raw columns (s, columns), in
        the order of `Model.features`, booleans as 1 and 0 and NaN for a missing cell, to the
        network's inputs. The last makes numbers in their own units of the outputs, float64
        (s, n_L), or of one probability those of both classes (s, 2); probabilities of more classes
        stay as they are. The classes in their order are the attribute ``classes``. Fills and
        scaling are buffers, float64: so give the columns in float64, and convert them with
        ``.double()`` only. A row that the model would refuse has NaN for an answer.

    Raises
    ------
    TypeError
        If net is not a network.
    ValueError
        If its outputs are exp, for which PyTorch has no module; or a column of the model is one of
        categories or dates.
    """
    model, network = (net, net.network) if isinstance(net, Model) else (None, net)
    layers = layers_of(network)
    torch = imported("torch", "torch")
    nn = torch.nn
    sequence = []
    for W, b, activation in layers:
        (kind, constants), number = entry_of(
            MODULES, activation, "PyTorch has no module", OTHER_WRITERS
        )
        n_out, n_in = W.shape
        dtype = getattr(torch, W.dtype.name)
        # Without the initial weights, which would be drawn from the global generator.
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            linear.bias.copy_(torch.from_numpy(b))
        sequence.append(linear)
        if activation != "identity":
            if isinstance(constants, str):
                chosen = {constants: number}
            else:
                chosen = {name: valid[0] for name, valid in constants.items() if len(valid) > 1}
            sequence.append(getattr(nn, kind)(**chosen))
    if model is None:
        return nn.Sequential(*sequence)
    around = importlib.import_module("fcnn.convert.torch_modules")
    sequence.insert(0, around.Columns(model.preparation, dtype))
    target = model.target
    if not target.is_classes:
        n_out = len(layers[-1].W)
        numbers = model.output_scaling or (np.zeros(n_out), np.ones(n_out))
        sequence.append(around.OwnUnits(*numbers))
    elif len(layers[-1].W) == 1 and layers[-1].activation == "sigmoid":
        sequence.append(around.BothClasses())
    module = nn.Sequential(*sequence)
    module.classes = model.classes
    return module
