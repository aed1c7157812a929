"""Small formulas, each written as text that Python evaluates and as LaTeX."""

import math
from typing import NamedTuple

# How strongly a formula holds together: what binds less gets parentheses.
_SUM, _PRODUCT, _ATOM = range(3)


class Formula(NamedTuple):
    """A formula in both writings.

    Attributes
    ----------
    text : str
        Arithmetic as Python has it, with exp, log, log1p, tanh, Phi, ... for functions.
    latex : str
    rank : int
        How strongly it holds together.
    is_negative : bool
        Whether it begins with a minus.
    """

    text: str
    latex: str
    rank: int = _ATOM
    is_negative: bool = False


def symbol(text: str, latex: str = "") -> Formula:
    """Return a name as it stands."""
    return Formula(text, latex or text)


def number(value: float, digits: int, mark: str = "") -> Formula:
    r"""Return a number with so many significant digits.

    With a mark its LaTeX is ``\htmlClass{mark}{...}``, which a page can colour.
    """
    text = f"{value or 0.0:.{digits}g}"  # 0 has no sign to tell
    mantissa, e, exponent = text.partition("e")
    latex = rf"{mantissa} \times 10^{{{int(exponent)}}}" if e else text
    if not math.isfinite(value):
        latex = {"nan": r"\mathrm{nan}", "inf": r"\infty", "-inf": r"-\infty"}[text]
    is_negative = text.startswith("-")
    if mark:
        latex = rf"\htmlClass{{{mark}}}{{{latex}}}"
    return Formula(text, latex, _PRODUCT if is_negative or e else _ATOM, is_negative)


def in_parentheses(part: Formula) -> Formula:
    """Return a formula in parentheses."""
    # Plain ones where nothing is tall: a line that is too long can be broken inside them.
    is_tall = r"\frac" in part.latex or r"\sum" in part.latex or r"\underbrace" in part.latex
    around = (r"\left(", r"\right)") if is_tall else ("(", ")")
    return Formula(f"({part.text})", part.latex.join(around))


def _held(part: Formula, rank: int) -> Formula:
    return part if part.rank >= rank and not part.is_negative else in_parentheses(part)


def plus(*terms: Formula) -> Formula:
    """Return a sum; a negative number in it is written as a difference."""
    if len(terms) == 1:
        return terms[0]
    text, latex = terms[0].text, terms[0].latex
    for term in terms[1:]:
        if term.is_negative:
            text += f" - {term.text[1:]}"
            latex += f" - {term.latex.replace('-', '', 1)}"
        else:
            text += f" + {term.text}"
            latex += f" + {term.latex}"
    return Formula(text, latex, _SUM, terms[0].is_negative)


def minus(a: Formula, b: Formula) -> Formula:
    """Return a - b."""
    b = _held(b, _PRODUCT)
    return Formula(f"{a.text} - {b.text}", f"{a.latex} - {b.latex}", _SUM, a.is_negative)


def times(*factors: Formula) -> Formula:
    """Return a product, a factor that is a sum or negative in parentheses."""
    if len(factors) == 1:
        return factors[0]
    held = [_held(factor, _PRODUCT) for factor in factors]
    return Formula(
        " * ".join(part.text for part in held), r" \cdot ".join(p.latex for p in held), _PRODUCT
    )


def over(a: Formula, b: Formula) -> Formula:
    """Return a fraction."""
    text = f"{_held(a, _PRODUCT).text} / {_held(b, _ATOM).text}"
    return Formula(text, rf"\frac{{{a.latex}}}{{{b.latex}}}", _PRODUCT)


def square(a: Formula) -> Formula:
    """Return a^2."""
    # A symbol with its layer above has no room for another power.
    held = in_parentheses(a) if "^" in a.latex else _held(a, _ATOM)
    return Formula(f"{_held(a, _ATOM).text}**2", f"{held.latex}^2", _PRODUCT)


def exp(a: Formula, sign: str = "") -> Formula:
    """Return e^a, or e^-a."""
    if not sign:
        return Formula(f"exp({a.text})", f"e^{{{a.latex}}}")
    held = _held(a, _PRODUCT)
    return Formula(f"exp(-{held.text})", f"e^{{-{held.latex}}}")


def call(name: str, *arguments: Formula) -> Formula:
    """Return a function of something."""
    known = {"log": r"\ln", "max": r"\max", "tanh": r"\tanh", "Phi": r"\Phi", "phi": r"\varphi"}
    latex = known.get(name, rf"\operatorname{{{name}}}")
    inside = in_parentheses(
        Formula(", ".join(a.text for a in arguments), ", ".join(a.latex for a in arguments))
    )
    return Formula(f"{name}{inside.text}", f"{latex}{inside.latex}")


def log_of_1_plus(a: Formula) -> Formula:
    """Return log(1 + a), in text as the function that keeps the digits of a small a."""
    return Formula(f"log1p({a.text})", call("log", plus(ONE, a)).latex)


ZERO = Formula("0", "0")
ONE = Formula("1", "1")
TWO = Formula("2", "2")


def logistic(z: Formula) -> Formula:
    """Return 1 / (1 + e^-z)."""
    return over(ONE, plus(ONE, exp(z, "-")))
