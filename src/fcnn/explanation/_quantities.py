"""What the formulas of a network are made of: its quantities, sigma and sigma'."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fcnn.explanation import _formula as f
from fcnn.explanation._formula import Formula

# --- Symbols --------------------------------------------------------------------------------------


def quantity(name: str, l: int | str, *indices: Any) -> Formula:
    greek = {"delta": r"\delta"}.get(name, name)
    at = ",".join(map(str, indices))
    return f.symbol(f"{name}^{l}_{at}", f"{greek}^{{{l}}}_{{{at}}}")


def target_symbol(k: int) -> Formula:
    return f.symbol(f"y_{k}", f"y_{{{k}}}")


def partial(of: Formula) -> Formula:
    return f.symbol(f"dC/d{of.text}", rf"\frac{{\partial C}}{{\partial {of.latex}}}")


def sigma_prime(slope: Formula, z: Formula) -> Formula:
    """Return sigma'(z) as what it is of z and a, named below."""
    held = f.in_parentheses(slope) if slope.rank == f._SUM else slope
    latex = rf"\underbrace{{{slope.latex}}}_{{\sigma'({z.latex})}}"
    return Formula(held.text, latex, f._PRODUCT)


# --- Activations ----------------------------------------------------------------------------------


class _Sigma(NamedTuple):
    """sigma and sigma' as formulas of z and a, and what decides a case."""

    sigma: Callable[[Formula, Formula, Formula], Formula]
    slope: Callable[[Formula, Formula, Formula], Formula]
    cases: str = ""  # of z: "z > 0"


def _number_of(name: str, default: str) -> Formula:
    given = name.partition("(")[2].removesuffix(")") or default
    return f.symbol(given)


# Each takes z, a and the activation's own number; a pair of functions for z > 0 and for the rest,
# where these differ.
_ALPHAS = {"leaky_relu": "0.01", "elu": "1"}
_PLAIN: dict[str, _Sigma] = {
    "identity": _Sigma(lambda z, a, c: z, lambda z, a, c: f.ONE),
    "sigmoid": _Sigma(
        lambda z, a, c: f.logistic(z), lambda z, a, c: f.times(a, f.minus(f.ONE, a))
    ),
    "tanh": _Sigma(
        lambda z, a, c: f.call("tanh", z), lambda z, a, c: f.minus(f.ONE, f.square(a))
    ),
    "gelu": _Sigma(
        lambda z, a, c: f.times(z, f.call("Phi", z)),
        lambda z, a, c: f.plus(f.call("Phi", z), f.times(z, f.call("phi", z))),
    ),
    "silu": _Sigma(
        lambda z, a, c: f.over(z, f.plus(f.ONE, f.exp(z, "-"))),
        lambda z, a, c: f.times(
            f.logistic(z), f.plus(f.ONE, f.times(z, f.minus(f.ONE, f.logistic(z))))
        ),
    ),
    "softplus": _Sigma(
        lambda z, a, c: f.log_of_1_plus(f.exp(z)), lambda z, a, c: f.logistic(z)
    ),
    "exp": _Sigma(lambda z, a, c: f.exp(z), lambda z, a, c: a),
}  # fmt: skip
_BELOW: dict[str, _Sigma] = {
    "relu": _Sigma(lambda z, a, c: f.ZERO, lambda z, a, c: f.ZERO),
    "leaky_relu": _Sigma(lambda z, a, c: f.times(c, z), lambda z, a, c: c),
    "elu": _Sigma(
        lambda z, a, c: f.times(c, f.minus(f.exp(z), f.ONE)),
        lambda z, a, c: f.times(c, f.exp(z)),
    ),
}  # fmt: skip


# Where e^-z leaves what floats hold.
_FAR_BELOW: dict[str, _Sigma] = {
    "sigmoid": _Sigma(lambda z, a, c: f.exp(z), _PLAIN["sigmoid"].slope),
    "silu": _Sigma(
        lambda z, a, c: f.times(z, f.exp(z)),
        lambda z, a, c: f.times(f.exp(z), f.plus(f.ONE, f.times(z, f.minus(f.ONE, f.exp(z))))),
    ),
    "softplus": _Sigma(_PLAIN["softplus"].sigma, lambda z, a, c: f.exp(z)),
}  # fmt: skip


def activation_formulas(name: str, z: float) -> tuple[_Sigma, Formula, str]:
    """Return the formulas of an activation at z, its own number, and the case, if there are two."""
    base = name.partition("(")[0]
    constant = _number_of(name, _ALPHAS.get(base, "0"))
    if base in _BELOW:
        if z > 0 or (base == "elu" and z == 0):
            return _PLAIN["identity"], constant, "as z > 0" if z > 0 else "as z >= 0"
        return _BELOW[base], constant, "as z < 0" if base == "elu" else "as z <= 0"
    if base == "softplus" and z > 20:  # beyond, e^-z is below the last digit
        return _PLAIN["identity"], constant, "as z > 20, where ln(1 + e^z) is z"
    if base in _FAR_BELOW and z < -700:
        return _FAR_BELOW[base], constant, "as z < -700, where 1 + e^-z is e^-z"
    return _PLAIN[base], constant, ""
