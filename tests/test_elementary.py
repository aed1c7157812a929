"""The elementary functions of every build: their errors, special values, and subnormal numbers.

An error is counted in units in the last place (ULP) that the true value has in the function's type.
"""

import decimal
import functools
import importlib
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

DTYPES = ("float32", "float64")
FUNCTIONS = ("exp", "expm1", "log", "log1p", "tanh", "erf", "sigmoid")
LARGEST_ERROR = 2
TWO_OVER_ROOT_PI = "1.12837916709551257389615890312154517168810125865799771368817144342128493688"

# Where a function changes its formula, or comes to a limit or a power of 2.
EDGES = (
    [1e-9, 1e-17, 2**-24, 2**-53, 0.375, 0.5, 0.625, 0.6875, 0.9, 1, 2, 6, 18, 20, 38]
    + [0.5**0.5, 2**0.5, 1 - 0.5**0.5, 2**0.5 - 1, -math.log(0.375)]
    + [3.92, 5.92, 9.01, 17.33, 19.06, 36.74, 37.43, 88.02, 87.3365, 88.7228, 89, 103.28, 103.98]
    + [708.3964, 709.0896, 709.7827, 744.44, 745.1332, 2.0**-126, 2.0**-1022]
    + [(n + 0.5) * math.log(2) for n in (0, 1, 2, 3, 10, 126, 127, 1022, 1023)]
    + [math.log(2**k - 1) for k in range(2, 12)]
)


@functools.cache
def sample(dtype):
    """Numbers of all magnitudes, of the ranges where most happens, and around the edges."""
    info = np.finfo(dtype)
    word = np.dtype(f"u{info.dtype.itemsize}")
    rng = np.random.default_rng(0)
    if dtype == "float32":
        patterns = np.arange(0, 2**32, 4001).astype(word)
    else:
        patterns = rng.integers(2**64, size=50_000, dtype=word)
    subnormal = rng.integers(2**info.nmant, size=1000).astype(word)
    edges = np.array(EDGES, dtype).view(word)[:, None] + np.arange(300, dtype=word) - word.type(150)
    small = 2.0 ** rng.uniform(-70, 0, 20_000)
    positive = [subnormal.view(dtype), edges.ravel().view(dtype), small]
    uniform = [rng.uniform(-limit, limit, 20_000) for limit in (0.4, 1, 4, 30, 110, 750)]
    parts = [patterns.view(dtype), *positive, *(-x for x in positive), *uniform]
    return np.concatenate([x.astype(dtype) for x in parts])


def erf_series(x, exp, two_over_root_pi, terms):
    """The error function of an array or a Decimal, |x| <= 7.

    2 / sqrt(pi) e^(-x^2) sum_k 2^k x^(2k + 1) / (1 3 ... (2k + 1)), DLMF 7.6.2. All terms have the
    sign of x, so nothing cancels. The error is mostly that of e^(-x^2), x^2 units: with x87's 64
    bits it stays below 2^-58 of the value, 1/30 of a unit in the last place of float64. What comes
    after 150 terms is below 1e-30 of the value, after 400 terms below 1e-160.
    """
    term = total = x
    for k in range(1, terms):
        term = term * (2 * x * x) / (2 * k + 1)
        total = total + term
    return two_over_root_pi * exp(-x * x) * total


@functools.cache
def truth(name, dtype):
    """The function of the sample, computed by NumPy and the C library in a wider type."""
    with np.errstate(all="ignore"):
        x = sample(dtype).astype("float64" if dtype == "float32" else "longdouble")
        if name == "sigmoid":
            e = np.exp(-abs(x))
            return np.where(x < 0, e, 1) / (1 + e)
        if name != "erf":
            return getattr(np, name)(x)
        if dtype == "float32":
            return np.fromiter(map(math.erf, x.tolist()), x.dtype, x.size)
        # erf 7 is 1 in any of the types
        return erf_series(np.clip(x, -7, 7), np.exp, np.longdouble(TWO_OVER_ROOT_PI), terms=150)


def units(y, true):
    """|y - true| in units in the last place of the true value, 0 for two NaN or two infinities."""
    info = np.finfo(y.dtype)
    one = true.dtype.type(1)
    with np.errstate(all="ignore"):
        exponent = np.where(true == 0, info.minexp, np.frexp(true)[1] - 1)
        unit = np.ldexp(one, np.maximum(exponent, info.minexp) - info.nmant)
        # An infinite y stands for the number that would follow the largest one.
        y_wide = np.where(np.isinf(y), np.copysign(np.ldexp(one, info.maxexp), y), y)
        same = (y == true.astype(y.dtype)) | np.isnan(y) & np.isnan(true)
        return np.where(same, 0, abs(y_wide - true) / unit)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_against_a_wider_type(core, name, dtype):
    if dtype == "float64" and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("longdouble has no more bits than float64 on this platform")
    x, true = sample(dtype), truth(name, dtype)
    y = core.elementary(name, x)
    assert y.dtype == dtype
    error = units(y, true)
    wrong = ~(error <= LARGEST_ERROR)  # NaN included
    assert not wrong.any(), f"{name}({x[wrong][0]!r}) = {y[wrong][0]!r}, not {true[wrong][0]!r}"
    number = ~np.isnan(true)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(true[number]))


def exact(name, x):
    """The function of a Decimal, to all digits of the context but those that cancel."""
    if name == "exp":
        return x.exp()
    if name == "expm1":
        return x.exp() - 1
    if name == "log":
        return x.ln()
    if name == "log1p":
        return (1 + x).ln()
    if name == "tanh":
        return 1 - 2 / ((2 * x).exp() + 1)
    if name == "erf":
        x = max(min(x, Decimal(7)), Decimal(-7))
        return erf_series(x, Decimal.exp, Decimal(TWO_OVER_ROOT_PI), terms=400)
    return 1 / (1 + (-x).exp())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_against_decimal_arithmetic(core, name, dtype):
    rng = np.random.default_rng(1)
    largest = 85 if dtype == "float32" else 700
    x = np.concatenate([2.0 ** rng.uniform(-40, 0, 40), rng.uniform(0, 4, 40), [5.5, 30, largest]])
    x = np.concatenate([x, -x]).astype(dtype)
    if name == "log":
        x = abs(x)
    elif name == "log1p":
        x = x[x > -1]
    bits = np.finfo(dtype).nmant
    # Of the 70 digits at most 13 cancel.
    with decimal.localcontext(prec=70):
        for argument, y in zip(x.tolist(), core.elementary(name, x).tolist(), strict=True):
            true = exact(name, Decimal(argument))
            unit = Decimal(2) ** (math.frexp(float(true))[1] - 1 - bits)
            assert abs(Decimal(y) - true) <= LARGEST_ERROR * unit, argument


INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": [(-INF, 0), (-1000, 0), (-0.0, 1), (0.0, 1), (1000, INF), (INF, INF)],
    "expm1": [(-INF, -1), (-1000, -1), (-0.0, -0.0), (0.0, 0.0), (1000, INF), (INF, INF)],
    "log": [(-INF, NAN), (-1, NAN), (-1e-40, NAN), (-0.0, -INF), (0.0, -INF), (1, 0), (INF, INF)],
    "log1p": [(-INF, NAN), (-2, NAN), (-1, -INF), (-0.0, -0.0), (0.0, 0.0), (INF, INF)],
    "tanh": [(-INF, -1), (-50, -1), (-0.0, -0.0), (0.0, 0.0), (50, 1), (INF, 1)],
    "erf": [(-INF, -1), (-50, -1), (-0.0, -0.0), (0.0, 0.0), (50, 1), (INF, 1)],
    "sigmoid": [(-INF, 0), (-1000, 0), (-0.0, 0.5), (0.0, 0.5), (1000, 1), (INF, 1)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(core, name, dtype):
    arguments, values = np.array([*SPECIAL[name], (NAN, NAN)], dtype).T.copy()
    y = core.elementary(name, arguments)
    np.testing.assert_array_equal(y, values)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(values[number]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_numbers_stay(core, dtype):
    """Results underflow gradually, and nothing has set the CPU to flush them to zero."""
    x = np.finfo(dtype).smallest_subnormal * np.arange(1, 40, dtype=dtype)
    for name in FUNCTIONS:
        core.elementary(name, x)
        np.testing.assert_array_equal(x * np.array(1, dtype) > 0, True)
    for name in ("expm1", "log1p", "tanh"):
        np.testing.assert_array_equal(core.elementary(name, x), x)
    lowest = np.linspace(-87.5, -103, 40) if dtype == "float32" else np.linspace(-709, -744.4, 40)
    for name in ("exp", "sigmoid"):
        y = core.elementary(name, lowest.astype(dtype))
        assert 0 < y.min() < y.max() < np.finfo(dtype).tiny


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_does_not_depend_on_its_place_in_the_array(core, name, dtype):
    x = np.random.default_rng(2).normal(0, 2, 80).astype(dtype)
    y = core.elementary(name, x)
    for first, length in ((0, 1), (1, 1), (2, 3), (3, 7), (4, 17), (5, 31), (40, 40)):
        part = core.elementary(name, x[first : first + length].copy())
        np.testing.assert_array_equal(part, y[first : first + length])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_emulators_comparison_notices_a_wrong_value(dtype, monkeypatch):
    """compare_builds.py of each value of log, half of which are NaN, and of one near it."""
    scripts = Path(__file__).parents[1] / "scripts"
    if not scripts.is_dir():
        pytest.skip("the scripts are not here")
    monkeypatch.syspath_prepend(scripts)
    is_off = importlib.import_module("compare_builds").is_off
    true = truth("log", dtype).astype(dtype)
    assert 0.4 < np.isnan(true).mean() < 0.6
    assert not is_off(true, true).any()
    assert is_off(np.where(np.isnan(true), 1, np.nan).astype(dtype), true).all()
    number = ~np.isnan(true)
    y = true[number]
    for factor in (-1, 1 + 8 * np.finfo(dtype).eps):
        with np.errstate(over="ignore"):
            other = y * y.dtype.type(factor)
        np.testing.assert_array_equal(is_off(other, y), (other != y) | (y == 0) & (factor < 0))
