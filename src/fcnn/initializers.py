"""Initial weights: scaled so that activations and deltas neither vanish nor explode.

========  ==========================  ===========================================================
scheme    variance of W^l             source
========  ==========================  ===========================================================
he        2 / n_(l-1)                 K. He et al.: Delving deep into rectifiers, ICCV 2015
          2 / ((1 + s^2) n_(l-1))     the same, equation 14, of leaky_relu(s)
glorot    2 / (n_(l-1) + n_l)         X. Glorot, Y. Bengio: Understanding the difficulty of
                                      training deep feedforward neural networks, AISTATS 2010
lecun     1 / n_(l-1)                 Y. LeCun et al.: Efficient BackProp, 1998
========  ==========================  ===========================================================

Each scheme draws from a normal distribution ("he_normal") or from a uniform one of the same
variance ("he_uniform"). Biases start at 0. Of `leaky_relu` without a number, He takes s = 0: a
variance 1e-4 larger than with its slope of 0.01.
"""

# Annotations stay text: np.random.Generator, evaluated, would import numpy.random.
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._architecture import as_activation
from fcnn._dispatch import core

__all__ = ["INITIALIZERS", "initial_weights"]


def __dir__() -> list[str]:
    return __all__


_VARIANCES: dict[str, Callable[[int, int], float]] = {
    "he": lambda n_in, n_out: 2 / n_in,
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),
    "lecun": lambda n_in, n_out: 1 / n_in,
}

INITIALIZERS = (
    "auto",
    *(f"{s}_{d}" for s in _VARIANCES for d in ("normal", "uniform")),
    "zeros",
)

# "auto": rectifiers, which lose about half of the variance, take He; activations with a slope of
# about 1 (tanh) or saturation on both sides take Glorot; the ones that pass z on take LeCun.
_AUTO = {
    "relu": "he_normal",
    "leaky_relu": "he_normal",
    "elu": "he_normal",
    "gelu": "he_normal",
    "silu": "he_normal",
    "softplus": "he_normal",
    "sigmoid": "glorot_normal",
    "tanh": "glorot_normal",
    "softmax": "glorot_normal",
    "identity": "lecun_normal",
    "exp": "lecun_normal",
    "ascending": "lecun_normal",
}


def initial_weights(
    init: str, activation: str, n_in: int, n_out: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Return initial weights of one layer, float64, shape (n_out, n_in).

    Parameters
    ----------
    init : str
        One of `INITIALIZERS`.
    activation : str
        Of the layer, which "auto" chooses by.
    n_in, n_out : int
        n_(l-1) and n_l.
    rng : numpy.random.Generator or int
    """
    init = check.as_choice("init", init, INITIALIZERS)
    activation = as_activation("activation", activation, check.ACTIVATIONS)
    n_in, n_out = check.as_count("n_in", n_in), check.as_count("n_out", n_out)
    if n_in * n_out > 2**58:
        raise ValueError(f"n_in, n_out: more weights than any memory holds, {n_in} x {n_out}")
    rng = check.as_generator(rng)
    base, constant = core.split_activation(activation)
    scheme = _AUTO[base] if init == "auto" else init
    if scheme == "zeros":
        return np.broadcast_to(0.0, (n_out, n_in))  # which takes no memory
    name, distribution = scheme.split("_")
    deviation = math.sqrt(_VARIANCES[name](n_in, n_out))
    if name == "he" and base == "leaky_relu" != activation and constant is not None:
        deviation /= math.hypot(1, constant)
    if distribution == "normal":
        return rng.normal(0, deviation, (n_out, n_in))
    bound = math.sqrt(3) * deviation
    return rng.uniform(-bound, bound, (n_out, n_in))
