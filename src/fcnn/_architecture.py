"""What a network is made of: sizes, activations and their numbers, the loss that goes with them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn.names import Name

# Of a leaky slope or an alpha: float32 has to hold it, and sums times it.
MOST_CONSTANT = 1e30


def as_sizes(sizes: Any) -> tuple[int, ...]:
    """Return n_0..n_L as a tuple of at least two positive ints."""
    try:
        values = () if isinstance(sizes, str) else tuple(sizes)
    except TypeError:
        raise TypeError(
            f"sizes: expected one sequence of all sizes, like (4, 16, 3), got {sizes!r}"
        ) from None
    if len(values) < 2:
        raise ValueError(
            f"sizes: expected two or more, inputs to outputs, like (4, 16, 3), got {sizes!r}"
        )
    if {*map(type, values)} == {int} and min(values) > 0:
        counts = values
    else:
        counts = tuple(check.as_count(f"sizes[{l}]", n) for l, n in enumerate(values))
    # The core counts bytes in signed 64-bit numbers, and must not wrap around.
    if sum(map(operator.mul, counts, counts[1:])) + sum(counts[1:]) > 2**58:
        raise ValueError(f"sizes: more parameters than any memory holds, got {sizes!r}")
    return counts


def is_of_numbers(loss: str) -> bool:
    """Return whether the outputs are quantiles or moments, of which none stands for a class."""
    return bool(core.split_loss(loss)[1]) or core.outputs_per_target(loss) > 1


def named(activation: str, constant: float | None) -> Name:
    """Return an activation with its number, as networks spell it: `leaky_relu(0.2)`.

    The default is not written; None is the default, too.
    """
    default = core.ACTIVATION_CONSTANTS.get(activation, (None, None))[1]
    if constant is None or constant == default:
        return Name(activation)
    # The shortest digits that are read as the same number again; + 0.0 makes 0 of -0.
    return Name(f"{activation}({repr(float(constant) + 0.0).removesuffix('.0')})")


def as_activation(name: str, value: Any, choices: Sequence[str]) -> Name:
    """Return one of the choices, with its number if one was given, in the spelling of networks."""
    if not isinstance(value, str) or "(" not in value:
        return Name(check.as_choice(name, value, choices))
    given, _, number = value.partition("(")
    activation = check.as_choice(name, given.strip(), choices)
    if activation not in core.ACTIVATION_CONSTANTS:
        of = check.listed([*core.ACTIVATION_CONSTANTS])
        raise ValueError(f"{name}: a number goes with {of} alone, got {value!r}")
    what, _ = core.ACTIVATION_CONSTANTS[activation]
    try:
        constant = float(number.rstrip().removesuffix(")"))
        if not number.rstrip().endswith(")"):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{name}: expected the {what} of {activation} as a number, like {activation}(0.2), "
            f"got {value!r}"
        ) from None
    what = f"{name}: the {what} of {activation}"
    return named(activation, check.as_number(what, constant, least=0, most=MOST_CONSTANT))


def as_loss(value: Any, argument: str = "loss") -> Name:
    """Return a loss by its name, with its levels if they are not the default."""
    if isinstance(value, str) and value in check.OUTPUT_ACTIVATIONS:
        return Name(value)
    choices = list(check.OUTPUT_ACTIVATIONS)
    if not isinstance(value, str) or "(" not in value:
        return Name(check.as_choice(argument, value, choices))
    given, _, numbers = value.partition("(")
    name = check.as_choice(argument, given.strip(), choices)
    if name not in core.LOSS_LEVELS:
        raise ValueError(
            f"{argument}: levels go with {check.listed([*core.LOSS_LEVELS])} alone, got {value!r}"
        )
    try:
        levels = [float(number) for number in numbers.rstrip().removesuffix(")").split(",")]
        if not numbers.rstrip().endswith(")"):
            raise ValueError
    except ValueError:
        levels = []
    return with_levels(argument, name, levels, value)


def with_levels(argument: str, name: str, levels: Sequence[float], given: Any) -> Name:
    """Return a loss with its levels, as networks spell it; the default is not written."""
    bounds = [0.0, *levels, 1.0]
    if not levels or not all(low < high for low, high in itertools.pairwise(bounds)):
        raise ValueError(
            f"{argument}: expected levels between 0 and 1 in ascending order, like "
            f"{name}(0.1, 0.5, 0.9), got {given!r}"
        )
    if tuple(levels) == core.LOSS_LEVELS[name]:
        return Name(name)
    return Name(f"{name}({', '.join(map(repr, levels))})")


def as_activations(activation: Any, output_activation: Any, loss: str, L: int) -> tuple[Name, ...]:
    """Return one name for each layer 1..L."""
    if isinstance(activation, str):
        hidden = [as_activation("activation", activation, check.HIDDEN_ACTIVATIONS)] * (L - 1)
    else:
        try:
            given = list(activation)
        except TypeError:
            raise TypeError(
                f"activation: expected a name or a list of names, got {activation!r}"
            ) from None
        if len(given) != L - 1:
            raise ValueError(
                f"activation: expected one name or a list of {L - 1}, one for each hidden layer; "
                f"got {len(given)} names"
            )
        hidden = [
            Name(name)
            if type(name) is str and name in check.HIDDEN_ACTIVATIONS
            else as_activation(f"activation[{i}]", name, check.HIDDEN_ACTIVATIONS)
            for i, name in enumerate(given)
        ]
    usual = check.OUTPUT_ACTIVATIONS.get(loss, ())
    if type(output_activation) is str and output_activation in usual:
        return (*hidden, Name(output_activation))
    valid = core.output_activations(loss)
    if output_activation is None:
        return (*hidden, Name(valid[0]))
    output_activation = as_activation("output_activation", output_activation, check.ACTIVATIONS)
    if core.split_activation(output_activation)[0] not in valid:
        raise ValueError(
            f"output_activation: {output_activation!r} does not go with loss {loss!r}; "
            f"valid: {check.listed(valid)}"
        )
    return (*hidden, output_activation)


def as_architecture(
    sizes: Any, activation: Any, output_activation: Any, loss: Any
) -> tuple[tuple[int, ...], tuple[Name, ...], Name]:
    """Return sizes, activations and loss of a network, by their own names."""
    sizes = as_sizes(sizes)
    return sizes, *of_sizes(sizes, activation, output_activation, loss)


def of_sizes(
    sizes: tuple[int, ...], activation: Any, output_activation: Any, loss: Any
) -> tuple[tuple[Name, ...], Name]:
    """Return activations and loss of a network whose sizes have been checked."""
    loss = as_loss(loss)
    activations = as_activations(activation, output_activation, loss, len(sizes) - 1)
    if check.TARGETS[loss] == "classes" and sizes[-1] == 1:
        raise ValueError(
            "loss: cross_entropy needs an output for each class, got 1 output; one output for "
            "two classes goes with binary_cross_entropy"
        )
    outputs = core.outputs_per_target(loss)
    if sizes[-1] % outputs:
        raise ValueError(
            f"sizes: the loss {loss} has {outputs} outputs for each target, expected a multiple of "
            f"{outputs} at the end, got {sizes[-1]}"
        )
    return activations, loss
