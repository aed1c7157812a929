"""Arithmetic with the numbers as they are printed: each stands for all that are rounded to it."""

import math
import re


class Interval:
    """All numbers from low to high; what is computed holds every result that they can have."""

    def __init__(self, low, high=None):
        self.low, self.high = low, low if high is None else high

    @classmethod
    def printed(cls, text):
        """Return what a printed number may have been: half a unit of its last digit, both ways."""
        mantissa, _, exponent = text.lower().partition("e")
        decimals = len(mantissa.partition(".")[2])
        # An integer is one as it stands, or was rounded by %g: 5 digits at least decide.
        unit = 10.0 ** (int(exponent or 0) - decimals)
        value = float(text)
        return cls(value - 0.5 * unit, value + 0.5 * unit)

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
    "tanh": lambda z: z.rising(math.tanh),
    "Phi": lambda z: z.rising(normal_distribution),
    "phi": normal_density,
}
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?")


def evaluated(text):
    """Return all that a formula can come to, given the digits in it."""
    wrapped = NUMBER.sub(lambda m: f"printed('{m[0]}')", text)
    names = {**FUNCTIONS, "printed": _as_written, "__builtins__": {}}
    return Interval.of(eval(wrapped, names))


def _as_written(text):
    # 1 and 2 of the formulas themselves, counts and levels are exact; so is no printed number,
    # which has a fraction unless it is a whole number to all of its digits.
    return Interval(float(text)) if re.fullmatch(r"\d+", text) else Interval.printed(text)


def agrees(text, result):
    """Whether a formula comes to a printed result, up to the digits of both."""
    found, told = evaluated(text), Interval.of(evaluated(result))
    slack = 1e-6 * max(abs(told.low), abs(told.high), 1e-30)  # float32's own rounding
    return found.low - slack <= told.high and told.low - slack <= found.high
