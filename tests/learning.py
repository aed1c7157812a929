"""Arithmetic with the numbers as they are printed: each stands for all that are rounded to it."""

import math
import re


class Interval:
    """All numbers from low to high; what is computed holds every result that they can have."""

    def __init__(self, low, high=None):
        self.low, self.high = low, low if high is None else high

    @classmethod
    def printed(cls, text, digits=None, eps=0.0):
        """Return what a printed number may have been: half a unit of its last digit, both ways.

        Of a number with so many significant digits the zeros at its end are left out. `eps` is the
        relative error of what was computed.
        """
        mantissa, _, exponent = text.lower().partition("e")
        decimals = len(mantissa.partition(".")[2])
        unit = 10.0 ** (int(exponent or 0) - decimals)
        value = float(text)
        if digits and value:
            unit = min(unit, 10.0 ** (math.floor(math.log10(abs(value))) + 1 - digits))
        half = 0.5 * unit + eps * abs(value)
        return cls(value - half, value + half)

    @staticmethod
    def of(value):
        return value if isinstance(value, Interval) else Interval(value)

    def _corners(self, other, operation):
        other = Interval.of(other)
        found = [operation(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(found), max(found))

    def __add__(self, other):
        other = Interval.of(other)
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other):
        return self + -Interval.of(other)

    def __neg__(self):
        return Interval(-self.high, -self.low)

    def __mul__(self, other):
        return self._corners(other, lambda a, b: a * b)

    def __truediv__(self, other):
        other = Interval.of(other)
        assert other.low > 0 or other.high < 0, "a denominator that may be 0"
        return self._corners(other, lambda a, b: a / b)

    def __pow__(self, two):
        assert two.low <= 2 <= two.high
        ends = sorted((abs(self.low), abs(self.high)))
        return Interval(0 if self.low <= 0 <= self.high else ends[0] ** 2, ends[1] ** 2)

    __radd__ = __add__
    __rmul__ = __mul__

    def rising(self, function):
        return Interval(function(self.low), function(self.high))


def normal_distribution(z):
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def normal_density(z):
    ends = [math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in (z.low, z.high)]
    top = 1 / math.sqrt(2 * math.pi) if z.low <= 0 <= z.high else max(ends)
    return Interval(min(ends), top)


FUNCTIONS = {
    "exp": lambda z: z.rising(math.exp),
    "log": lambda z: z.rising(math.log),
    "log1p": lambda z: z.rising(math.log1p),
    "tanh": lambda z: z.rising(math.tanh),
    "Phi": lambda z: z.rising(normal_distribution),
    "phi": normal_density,
}
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?")


def evaluated(text, digits=None, eps=0.0):
    """Return all that a formula can come to, given the digits in it."""

    def as_written(text):
        # 1 and 2 of the formulas themselves, counts and levels are exact; so is a number that is
        # printed whole though there was room for more.
        if re.fullmatch(r"\d+", text) and len(text) < (digits or math.inf):
            return Interval(float(text))
        return Interval.printed(text, digits, eps)

    # Of 1 + x with a small x floats have no digit left.
    text = text.replace("log(1 + ", "log1p(")
    wrapped = NUMBER.sub(lambda m: f"printed('{m[0]}')", text)
    names = {**FUNCTIONS, "printed": as_written, "__builtins__": {}}
    return Interval.of(eval(wrapped, names))


def agrees(text, result, digits=None, eps=0.0):
    """Whether a formula comes to a printed result, up to the digits of both.

    `digits` are those that numbers are rounded to; without them each stands for all that has the
    digits that are printed. `eps` is the relative error of the core's own arithmetic.
    """
    found = evaluated(text, digits, eps)
    told = Interval.printed(result.strip(), digits, eps) if digits else evaluated(result)
    slack = 1e-6 * max(abs(told.low), abs(told.high), 1e-30)  # float32's own rounding
    return found.low - slack <= told.high and told.low - slack <= found.high


# --- LaTeX ----------------------------------------------------------------------------------------

PLAIN = {
    r"\cdot": "*", r"\left": "", r"\right": "", r"\ln": "log", r"\tanh": "tanh", r"\Phi": "Phi",
    r"\varphi": "phi", r"\,": " ", r"\times": "@",
}  # fmt: skip


def _group(latex, i):
    """Return what stands in the braces that begin at i, and where they end."""
    assert latex[i] == "{", latex[i:]
    depth = 0
    for at in range(i, len(latex)):
        depth += {"{": 1, "}": -1}.get(latex[at], 0)
        if depth == 0:
            return latex[i + 1 : at], at + 1
    raise AssertionError(latex)


def python_of(latex):
    """Return the arithmetic of a formula without symbols."""
    text, i = "", 0
    while i < len(latex):
        if latex.startswith(r"\frac", i):
            above, i = _group(latex, i + 5)
            below, i = _group(latex, i)
            text += f"(({python_of(above)}) / ({python_of(below)}))"
        elif latex.startswith(r"\underbrace", i):  # the rest of a long sum, and how many there are
            inside, i = _group(latex, i + 11)
            _, i = _group(latex, i + 1)
            text += python_of(inside)
        elif latex.startswith(r"\htmlClass", i):
            _, i = _group(latex, i + 10)
            inside, i = _group(latex, i)
            text += python_of(inside)
        elif latex.startswith("e^{", i):
            power, i = _group(latex, i + 2)
            text += f"exp({python_of(power)})"
        elif latex.startswith("^{", i):  # of a power of ten
            power, i = _group(latex, i + 1)
            text += f"^{power}"
        elif latex[i] == "\\":
            name = re.match(r"\\(?:[a-zA-Z]+|,)", latex[i:])[0]
            text += PLAIN[name]
            i += len(name)
        elif latex[i] == "^":
            text += "**"
            i += 1
        else:
            text += latex[i]
            i += 1
    return re.sub(r"\s*@\s*10\^(-?\d+)", r"e\1", text)
