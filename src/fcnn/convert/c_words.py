"""How numbers, texts and names are written in a file of C."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn.convert.steps import refuse

FLOATS = ("hexadecimal", "decimal")


class Words:
    """The words of a file of C, and its numbers.

    In templates NAME_ begins the names in the file, MACRO_ those of macros; REAL is float or
    double, WORD an unsigned integer of the same size, F the f of sqrtf or nothing, {0.5} a number.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], floats: str = FLOATS[0]) -> None:
        self.name, self.floats = name, floats
        self.dtype, self.itemsize = dtype, dtype.itemsize
        self.is_float = dtype == np.float32
        self.real, self._suffix = ("float", "f") if self.is_float else ("double", "")
        self._words = {
            "NAME": name, "MACRO": name.upper(), "REAL": self.real, "F": self._suffix,
            "WORD": "uint32_t" if self.is_float else "uint64_t",
        }  # fmt: skip

    def filled(self, template: str) -> str:
        """Return a template with the words in it; what users called something is never in one."""
        template = re.sub(
            r"\b(NAME|MACRO)(?=_|: )|\bREAL\b|\bWORD\b|(?<=[a-z0-9])F(?=\()",
            lambda m: self._words[m[1] or m[0]],
            template,
        )
        # With a point: {0} is an initializer.
        return re.sub(r"\{(-?\d+\.\d*(?:e-?\d+)?)\}", lambda m: self.rounded(m[1]), template)

    def rounded(self, number: str | float) -> str:
        """Return a constant of a formula in the network's dtype."""
        return self.literal(self.dtype.type(number))

    def literal(self, value: Any, suffix: str | None = None) -> str:
        """Return a number, exactly: of the network's dtype, or with the suffix "" a double."""
        if math.isnan(value):
            return "NAN"
        suffix = self._suffix if suffix is None else suffix
        if self.floats == "decimal":
            # The shortest digits that are read as the same number again.
            return f"{np.float32(value) if suffix else np.float64(value)!s}{suffix}"
        digits, exponent = float(value).hex().split("p")
        digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
        return f"{digits}p{exponent}{suffix}"

    def array(self, what: str, values: NDArray[Any], kind: str = "static const") -> str:
        """Return the template of an array of the network's dtype."""
        return self._array(f"{kind} REAL NAME_{what}", values, None)

    def doubles(self, what: str, values: NDArray[Any]) -> str:
        """Return the template of an array of double."""
        return self._array(f"static const double NAME_{what}", values, "")

    def _array(self, declared: str, values: NDArray[Any], suffix: str | None) -> str:
        numbers = [self.literal(value, suffix) for value in values.ravel().tolist()]
        lines = [", ".join(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
        body = ",\n    ".join(lines)
        return f"{declared}[{values.size}] = {{\n    {body}\n}};\n"


def text_literal(text: str) -> str:
    """Return a text as a string of C: ASCII, and nothing in it that ends a comment."""
    if "\0" in text:
        refuse(f"text {text!r}", "holds a NUL, at which texts of C end")
    written = []
    for byte in text.encode("utf-8", "surrogateescape"):
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?*'
        written.append(chr(byte) if plain else f"\\{byte:03o}")
    return f'"{"".join(written)}"'
