"""Texts that are numbers: 1234.5, 1.234,5, $1,234.50, 45%; the one rule that fits a column."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

UNITS = "$€£¥₹%"

# From so many numbers up to 1 on, those without % are shares.
MOST_SHARES = 0.9

# Decimal mark and thousands separator, the likeliest first. Spaces: also those that do not break.
_MARKS = (
    (".", ""),
    (",", ""),
    (".", ","),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
)
_SPACES = "[ \u00a0\u202f]"
_PLAIN_CHARACTERS = b"0123456789eE+-.\n"
_LAST = frozenset("0123456789.")  # with which plain numbers end
_CODE = re.compile(r"\n[+-]?0[0-9]+(?=\n)")  # begins with a character that is quickly found


class NumberRule(NamedTuple):
    """How texts are read as numbers.

    Attributes
    ----------
    decimal : str
        The decimal mark.
    thousands : str
        What separates groups of three digits, where something does.
    unit : str
        A sign before or behind the number, where there is one; the number is in its unit.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def numbers(self, texts: Sequence[str]) -> Array:
        """Return texts as float64, NaN where one is no number by this rule.

        What float64 does not hold, such as 1e999, is no number; "nan" and "inf" are none.
        """
        if self == PLAIN:
            return _plain_numbers(texts)
        if (plain := self._as_plain(texts)) is not None:
            return _plain_numbers(plain)
        pattern = _pattern(self)
        return np.array([self._number(pattern, text) for text in texts], np.float64)

    def _as_plain(self, texts: Sequence[str]) -> Sequence[str] | None:
        """Return texts without groups and unit, all at once, with a point for the decimal mark."""
        joined = "\n".join(texts)
        if self.unit or joined.count("\n") != len(texts) - 1:
            return None
        if self.thousands and re.search(_SPACES if self.thousands == " " else re.escape(
            self.thousands
        ), joined):  # fmt: skip
            return None
        if self.decimal == ".":
            return texts
        return None if "." in joined else joined.replace(self.decimal, ".").split("\n")

    def reads_all(self, texts: Sequence[str]) -> bool:
        """Return whether all texts are numbers by this rule; the first that is none ends it."""
        pattern = _pattern(self)
        return not any(math.isnan(self._number(pattern, text)) for text in texts)

    def _number(self, pattern: re.Pattern[str], text: str) -> float:
        match = pattern.fullmatch(text)
        if match is None:
            return math.nan
        digits = match["digits"]
        if self.thousands == " ":
            digits = re.sub(_SPACES, "", digits)
        elif self.thousands:
            digits = digits.replace(self.thousands, "")
        if self.decimal != ".":
            digits = digits.replace(self.decimal, ".")
        sign = match["sign"] + match["inner"]
        value = float(sign + digits) if len(sign) < 2 else math.nan
        return value if math.isfinite(value) else math.nan

    def to_json(self) -> dict[str, str]:
        """Return what is unlike plain numbers."""
        default = self._field_defaults
        return {name: v for name, v in self._asdict().items() if v != default[name]}

    @classmethod
    def from_json(cls, value: Any) -> NumberRule:
        """Return the rule of `to_json`, checked."""
        rule = cls(**value)
        if (rule.decimal, rule.thousands) not in _MARKS or rule.unit not in ("", *UNITS):
            raise ValueError(f"expected a rule of numbers, found {value!r}")
        return rule


PLAIN = NumberRule()


def _plain_numbers(texts: Sequence[str]) -> Array:
    """Return texts as float64 all at once, in a tenth of the time; those that fail one by one."""
    for is_whole in (True, False):
        given = texts if is_whole else [text if text[-1:] in _LAST else "" for text in texts]
        try:
            read = given if is_whole else [text or "nan" for text in given]
            values = np.fromiter(map(float, read), np.float64, len(texts))
        except ValueError:
            continue
        # What else float takes: blanks, underscores, inf, nan, other digits.
        joined = "\n".join(given)
        if joined.isascii() and not joined.encode().translate(None, _PLAIN_CHARACTERS):
            return np.where(np.isinf(values), np.nan, values)
    fits = _pattern(PLAIN).fullmatch
    values = np.array([float(text) if fits(text) else math.nan for text in texts], np.float64)
    return np.where(np.isinf(values), np.nan, values)


@functools.cache
def _pattern(rule: NumberRule) -> re.Pattern[str]:
    mark = re.escape(rule.decimal)
    group = {"": "", " ": _SPACES}.get(rule.thousands, re.escape(rule.thousands))
    whole = r"[0-9]+" if not group else rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    # Blanks stand in one place of the pattern for each place of a text: behind the number in two, a
    # cell of 100,000 of them took minutes.
    sign = re.escape(rule.unit)
    unit = rf"(?:{sign})?\s*" if rule.unit else ""
    return re.compile(
        rf"(?P<sign>[+-]?){unit}(?P<inner>{'[+-]?' if unit else ''})"
        rf"(?P<digits>{whole}(?:{mark}[0-9]*)?(?:[eE][+-]?[0-9]+)?|{mark}[0-9]+(?:[eE][+-]?[0-9]+)?)"
        + (rf"\s*(?:{sign}\s*)?" if unit else "")
    )


class Reading(NamedTuple):
    """Texts read as numbers by the rule that fits most of them.

    Attributes
    ----------
    rule : NumberRule
    values : numpy.ndarray of float64
        NaN where a text is no number.
    share : float
        How many are numbers, of all.
    doubt : str
        How a text is read that another rule would read otherwise; empty if there is none.
    """

    rule: NumberRule
    values: Array
    share: float
    doubt: str = ""


def read_numbers(texts: Sequence[str], decimal: str = "") -> Reading:
    """Return texts, none of them missing, as numbers.

    Parameters
    ----------
    texts : sequence of str
    decimal : str
        The mark that is more likely where all could be read either way, as in "1,234".
    """
    plain = PLAIN.numbers(texts)
    best = Reading(PLAIN, plain, _share(plain))
    if best.share == 1:
        if decimal == ",":
            dotted = NumberRule(",", ".").numbers(texts)
            if _share(dotted) == 1 and (dotted != plain).any():
                example = texts[int(np.argmax(dotted != plain))]
                rule = NumberRule(",", ".")
                return Reading(rule, dotted, 1.0, _doubt(example, rule))
        return best
    if not texts or not any(re.search(r"[0-9]", text) for text in texts):
        return best
    joined = "\n".join(texts)
    units = [unit for unit in UNITS if unit in joined]
    unit = units[0] if len(units) == 1 else ""
    read = {
        marks: NumberRule(*marks, unit).numbers(texts)
        for marks in _MARKS
        if not marks[1] or (marks[1] in joined or (marks[1] == " " and re.search(_SPACES, joined)))
    }
    shares = {marks: _share(values) for marks, values in read.items()}
    # Of rules that fit as many, the first; those two may both fit all: "1,234".
    chosen = max(shares, key=lambda marks: shares[marks])
    doubt = ""
    comma, thousands = (",", ""), (".", ",")
    if chosen == comma and shares.get(thousands, 0) == shares[comma]:
        if decimal != ",":
            chosen = thousands
        example = next((t for t in texts if "," in t), texts[0])
        doubt = _doubt(example, NumberRule(*chosen, unit))
    if shares[chosen] <= best.share:
        return best
    return Reading(NumberRule(*chosen, unit), read[chosen], shares[chosen], doubt)


def other_readings(texts: Sequence[str], rule: NumberRule) -> list[NumberRule]:
    """Return the rules that read some numbers of a rule otherwise, by the first few of them."""
    first = list(itertools.islice((text for text in texts if "." in text or "," in text), 20))
    candidates = [NumberRule(*marks, rule.unit) for marks in _MARKS if marks[1] in ("", ".", ",")]
    return [
        other for other in candidates
        if first and other != rule and not np.isnan(other.numbers(first)).any()
    ]  # fmt: skip


def possible_shares(texts: Sequence[str], rule: NumberRule) -> list[str]:
    """Return texts that may be shares, as 0.45, where others are percent, as 45%."""
    bare = [text for text in texts if "%" not in text] if rule.unit == "%" else []
    if len(bare) == len(texts):
        return []
    values = np.abs(rule.numbers(bare))
    return [text for text, value in zip(bare, values, strict=True) if 0 < value <= 1]


def _doubt(example: str, rule: NumberRule) -> str:
    return f"{example!r} is read as {rule.numbers([example])[0]:.15g}"


def _share(values: Array) -> float:
    return float(np.mean(~np.isnan(values))) if len(values) else 0.0


def are_codes(texts: Sequence[str]) -> bool:
    """Return whether some are digits with zeros before them, as in 0123: names, not quantities."""
    return _CODE.search("\n".join(["", *texts, ""])) is not None


def example(rule: NumberRule) -> str:
    """Return a number as a rule has it."""
    text = f"1{rule.thousands}234{rule.decimal}5"
    return text + rule.unit if rule.unit == "%" else rule.unit + text
