"""Exceptions of fcnn."""

from typing import Any

import numpy as np

__all__ = ["DivergenceError"]

ADVICE = ". Lower the learning rate, or scale inputs and targets to about 1"


def __dir__() -> list[str]:
    return __all__


class DivergenceError(ArithmeticError):
    """Training produced a loss, a gradient or a weight that is not finite."""


def nonfinite_parameter(network: Any) -> str:
    """Return, of a step that diverged, the parameter that was NaN or infinite before it; or "".

    No step leaves such a one: the network was given it.
    """
    parameters = network.parameters
    for i in np.flatnonzero(~np.isfinite(parameters)).tolist():
        value = f"parameters[{i}] is {parameters[i]}"
        return f". The network was given a parameter that is not finite: {value}"
    return ""
