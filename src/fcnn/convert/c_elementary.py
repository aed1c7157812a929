"""The elementary functions of a file of C: within 2 units in the last place, and vectorizable.

They are those of kernels/elementary.pxd, which has the formulas, the sources and the errors of the
polynomials. Each is arithmetic and choices between two values by masks of bits, which GCC and Clang
vectorize in a loop over an array. A choice by ?: would do in Clang alone: GCC takes arithmetic that
one of the two values needs into a branch, and does not take it out again, because it could trap.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fcnn.convert.c_words import Words


class _Function(NamedTuple):
    """A function's template; one of float and double that differ has two bodies."""

    arguments: str
    body: str
    of_double: str = ""  # in place of body, if there is any
    said: str = ""
    result: str = "REAL"


_EXP_TAIL = """\
    const REAL z = r * r;
    return z * (NAME_cubic(r, z, {0.49999997}, {0.16666543}, {0.0416672}, {0.0083665475})
        + z * z * {0.0013882499});
"""
_EXP_TAIL_OF_DOUBLE = """\
    const REAL z = r * r, zz = z * z;
    REAL q = {2.7624864364445374e-07} + r * {2.505137735796501e-08};
    q = NAME_cubic(r, z, {0.0013888888927995528}, {0.00019841269716007923},
        {2.4801508756456077e-05}, {2.755741294882799e-06}) + zz * q;
    q = NAME_cubic(r, z, {0.5000000000000003}, {0.16666666666666594}, {0.041666666666591225},
        {0.008333333333389141}) + zz * q;
    return z * q;
"""
_LOG = """\
    const REAL s = f / (2 + f), z = s * s, half_square = {0.5} * f * f;
    const REAL p = ({0.2987146} * z + {0.39977568}) * z + {0.66666776};
    const REAL low = s * (p * z + half_square) + (n * {1.428606765330187e-06} + c);
    return n * {0.693145751953125} + (f - (half_square - low));
"""
_LOG_OF_DOUBLE = """\
    const REAL s = f / (2 + f), z = s * s, zz = z * z, half_square = {0.5} * f * f;
    REAL p = (z * {0.14798244441098182} + {0.1531383344985675}) * z + {0.18183572309284185};
    p = NAME_cubic(z, zz, {0.6666666666666735}, {0.3999999999940937}, {0.2857142874368025},
        {0.22222198429764528}) + zz * zz * p;
    c = s * (p * z + half_square) + (n * {-1.7239444525614835e-13} + c);
    return n * {0.6931471805601177} + (f - (half_square - c));
"""
_TANH = """\
    const REAL a = NAME_absolute(x), bounded = NAME_choose(a > 20, 20, a);
    const REAL t = NAME_whole(NAME_choose(a < SMALL, 0, bounded + bounded));
    const REAL h = NAME_rest(bounded, t, {0.5}), z = h * h;
"""
_TANH_QUOTIENT = """\
    const REAL u = z * ({-0.33333308} + z * {-0.0015415678}), q = 1 + z * {0.40461227};
"""
_TANH_QUOTIENT_OF_DOUBLE = """\
    const REAL zz = z * z;
    const REAL u = z * ((z * {-0.02049344248320766} + {-0.33333333333333304})
        + zz * {-0.00019894092668477684});
    const REAL q = NAME_cubic(z, zz, 1, {0.46148032744958434}, {0.023284191855678378},
        {0.0002062798076031493});
"""
_TANH_END = """\
    const REAL tangent = h * (q + u), d = q - tangent;
    const REAL divisor = NAME_half_power(t) * (q + tangent) + {0.5} * d;
    const REAL y = NAME_choose(a < SMALL, u, d) / divisor;
    return NAME_with_sign(NAME_choose(a < SMALL, a * y + a, 1 - y), x);
"""
_ERF = """\
    const REAL b = NAME_absolute(x), z = x * x, zz = z * z;
    const REAL a = NAME_choose(b > 6, 6, b), aa = a * a;
    const REAL p = NAME_cubic(z, zz, {0.12837915}, {-0.37612504}, {0.11281908}, {-0.026769552})
        + zz * zz * ({0.0049969982} + z * {-0.0006008231});
    const REAL q = NAME_cubic(a, aa, {-1.1285164}, {-0.63571185}, {-0.105269656}, {0.022894531})
        + aa * aa * ({-0.0032162436} + a * {0.000214124});
    return NAME_choose(a < {0.9}, x * p + x, NAME_with_sign(1 - NAME_bounded_exp(a * q), x));
"""
_ERF_OF_DOUBLE = """\
    const REAL b = NAME_absolute(x), z = x * x, zz = z * z;
    const REAL a = NAME_choose(b > 6, 6, b), aa = a * a;
    REAL p = NAME_cubic(z, zz, {1.644399138909309e-06}, {-1.618324096267738e-07},
        {1.3615600727312092e-08}, {-7.609839803730126e-10});
    REAL q = {-6.701307865888736e-11} + a * {1.5079074072578692e-12};
    p = NAME_cubic(z, zz, {0.0052239775959009695}, {-0.0008548325445166197},
        {0.00012055279414333614}, {-1.4924448334807377e-05}) + zz * zz * p;
    p = NAME_cubic(z, zz, {0.12837916709551256}, {-0.3761263890318334}, {0.11283791670936537},
        {-0.02686617064186861}) + zz * zz * p;
    q = NAME_cubic(a, aa, {-1.0740711061436805e-06}, {1.623151246864575e-07},
        {-1.8040088843882656e-08}, {1.3944240921942985e-09}) + aa * aa * q;
    q = NAME_cubic(a, aa, {-9.516400921947245e-05}, {5.588296425126103e-05},
        {-2.029224602244391e-05}, {5.367640592976327e-06}) + aa * aa * q;
    q = NAME_cubic(a, aa, {0.00021253824338307987}, {-0.0016932761687322804},
        {0.0005753331771970206}, {4.4791052530292317e-07}) + aa * aa * q;
    q = NAME_cubic(a, aa, {-1.128379108205757}, {-0.6366202771366916}, {-0.10277072243258852},
        {0.019124688796964825}) + aa * aa * q;
    return NAME_choose(a < {1.0}, x * p + x, NAME_with_sign(1 - NAME_bounded_exp(a * q), x));
"""

# In the order in which they stand in a file; MAGIC, WIDTH, BIAS and so on: see `_CONSTANTS`.
ELEMENTARY = {
    "bits": _Function("REAL x", """\
    WORD u;
    MACRO_COPY(&u, &x, sizeof u);
    return u;
""", result="WORD"),
    "number": _Function("WORD u", """\
    REAL x;
    MACRO_COPY(&x, &u, sizeof x);
    return x;
"""),
    "choose": _Function("WORD condition, REAL a, REAL b", """\
    const WORD mask = (WORD)0 - condition;
    return NAME_number((NAME_bits(a) & mask) | (NAME_bits(b) & ~mask));
""", said="a where the condition is 1, b where it is 0: masks, since no compiler has to trust that"
          "\n   arithmetic on the other side of a branch traps not"),
    "absolute": _Function("REAL x", "    return NAME_number(NAME_bits(x) & (~(WORD)0 >> 1));\n"),
    "with_sign": _Function("REAL x, REAL sign", """\
    return NAME_number(NAME_bits(x) | (NAME_bits(sign) & ~(~(WORD)0 >> 1)));
""", said="x of at least 0, with the sign of another number"),
    "cubic": _Function("REAL x, REAL z, REAL a, REAL b, REAL c, REAL d", """\
    return (a + b * x) + z * (c + d * x);
""", said="z = x^2"),
    "whole": _Function("REAL x", "    return x * {1.4426950408889634} + MAGIC;\n",
                       said="t, which is x / log 2 to the nearest integer n, and a large number"),
    "rest": _Function("REAL x, REAL t, REAL share", """\
    const REAL n = share * (t - MAGIC);
    return n * {-1.428606765330187e-06} + (n * {-0.693145751953125} + x);
""", """\
    const REAL n = share * (t - MAGIC);
    return n * {1.7239444525614835e-13} + (n * {-0.6931471805601177} + x);
""", said="x - share n log 2, of share 1 or 1/2"),
    "half_power": _Function("REAL t", """\
    return NAME_number((NAME_bits(t) - (BIAS + 1)) << WIDTH);
""", said="2^(n - 1)"),
    "exp_tail": _Function("REAL r", _EXP_TAIL, _EXP_TAIL_OF_DOUBLE, said="e^r - 1 - r"),
    "bounded_exp": _Function("REAL x", """\
    const REAL t = NAME_whole(x), r = NAME_rest(x, t, 1);
    const WORD u = NAME_bits(t), v = u >> 1;
    return (1 + (r + NAME_exp_tail(r)))
        * NAME_number(v << WIDTH) * NAME_number((u - v) << WIDTH);
""", said="e^x from LOWEST to HIGHEST, by two factors: 2^n alone may overflow"),
    "exp": _Function("REAL x", """\
    x = NAME_choose(x < LOWEST, LOWEST, x);
    return NAME_bounded_exp(NAME_choose(x > HIGHEST, HIGHEST, x));
"""),
    "exp_to_1": _Function("REAL x", """\
    return NAME_bounded_exp(NAME_choose(x < LOWEST, LOWEST, x));
""", said="e^x of x up to 0"),
    "expm1": _Function("REAL x", """\
    const REAL z = NAME_choose(x < NONE_LEFT, NONE_LEFT, NAME_choose(x > HIGHEST, HIGHEST, x));
    const REAL t = NAME_whole(z), r = NAME_rest(z, t, 1), h = NAME_half_power(t);
    const REAL y = h * NAME_exp_tail(r) + (h * r + (h - {0.5}));
    return NAME_choose(NAME_absolute(x) < TINY, x, y + y);
"""),
    "log_of_parts": _Function("REAL f, REAL n, REAL c", _LOG, _LOG_OF_DOUBLE,
                              said="n log 2 + log(1 + f) + c"),
    "log_of_normal": _Function("REAL x, REAL c", """\
    const WORD u = NAME_bits(x) + (((WORD)BIAS << WIDTH) - SQRT_HALF);
    const WORD mantissa = (u & (((WORD)1 << WIDTH) - 1)) + SQRT_HALF;
    const WORD exponent = u >> WIDTH | (WORD)(BIAS + WIDTH) << WIDTH;
    const REAL n = NAME_number(exponent) - (REAL)(((WORD)1 << WIDTH) + BIAS);
    return NAME_log_of_parts(NAME_number(mantissa) - 1, n, c);
""", said="log x + c"),
    "log": _Function("REAL x", """\
    if (x - x != 0)
        return x;
    if (!(x > 0))
        return x < 0 ? (x - x) / (x - x) : -1 / (x * x);
    return x < {SMALLEST} ? NAME_log_of_normal(x * POWER, 0) - SHIFT * {0.6931471805599453}
        : NAME_log_of_normal(x, 0);
"""),
    "log1p_of_unit": _Function("REAL x", """\
    const REAL u = 1 + x;
    return NAME_log_of_normal(u, (x - (u - 1)) / u);
""", said="log(1 + x) from 0 to 1"),
    "tanh": _Function("REAL x", _TANH + _TANH_QUOTIENT + _TANH_END,
                      _TANH + _TANH_QUOTIENT_OF_DOUBLE + _TANH_END),
    "erf": _Function("REAL x", _ERF, _ERF_OF_DOUBLE),
    "sigmoid": _Function("REAL x", """\
    const REAL e = NAME_exp_to_1(-NAME_absolute(x));
    const REAL y = e / (1 + e), small = NAME_choose(e < {0.375}, e - e * y, y);
    return NAME_choose(x > 0, 1 - small, small);
"""),
    "softplus": _Function("REAL x", """\
    const REAL e = NAME_exp_to_1(-NAME_absolute(x));
    return NAME_choose(x > 20, x, NAME_choose(x > 0, x, 0) + NAME_log1p_of_unit(e));
""", said="log(1 + e^x); x above 20"),
}  # fmt: skip

_CONSTANTS = {
    True: {
        "MAGIC": "{12583166.0}", "WIDTH": "23", "BIAS": "127u", "SQRT_HALF": "0x3f3504f3u",
        "LOWEST": "-104", "HIGHEST": "89", "NONE_LEFT": "-18", "TINY": "{1.0e-9}",
        "SMALL": "{0.625}",
        "SMALLEST": "1.1754943508222875e-38", "POWER": "{33554432.0}", "SHIFT": "25",
    },
    False: {
        "MAGIC": "{6755399441057790.0}", "WIDTH": "52", "BIAS": "1023u",
        "SQRT_HALF": "UINT64_C(0x3fe6a09e667f3bcd)",
        "LOWEST": "-746", "HIGHEST": "710", "NONE_LEFT": "-38", "TINY": "{1.0e-17}",
        "SMALL": "{0.6875}",
        "SMALLEST": "2.2250738585072014e-308", "POWER": "{18014398509481984.0}", "SHIFT": "54",
    },
}  # fmt: skip

# What the code relies on: rounding to REAL after each operation, and in the order that it says.
_HEAD = """\
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(_M_FP_FAST)
#error "NAME_predict: its sums and NaN need arithmetic as written: compile without -ffast-math"
#endif
#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "NAME_predict: needs arithmetic in REAL: compile with -msse2 -mfpmath=sse"
#endif
#include <stdint.h>
#ifdef __GNUC__ /* Clang, too: no library is needed, and at -O2 it is still one loop */
#define MACRO_COPY __builtin_memcpy
#define MACRO_INLINE static inline __attribute__((always_inline))
#else
#include <string.h>
#define MACRO_COPY memcpy
#define MACRO_INLINE static inline
#endif
"""


def write_elementary(text: str, words: Words) -> str:
    """Return the template of all functions that a template calls, and those that these call."""
    wanted: set[str] = set()
    queue = _called(text)
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue |= _called(_body(name, words))
    if not wanted:
        return ""
    parts = [_HEAD]
    for name, function in ELEMENTARY.items():
        if name in wanted:
            said = f"/* {_with_constants(function.said, words)} */\n" if function.said else ""
            parts.append(
                f"{said}MACRO_INLINE {function.result} NAME_{name}({function.arguments})\n"
                f"{{\n{_body(name, words)}}}\n"
            )
    return "\n".join(parts)


def _body(name: str, words: Words) -> str:
    function = ELEMENTARY[name]
    body = function.body if words.is_float or not function.of_double else function.of_double
    return _with_constants(body, words)


def _with_constants(text: str, words: Words) -> str:
    for name, value in _CONSTANTS[words.is_float].items():
        text = re.sub(rf"\b{name}\b", value, text)
    return text


def _called(text: str) -> set[str]:
    return {name for name in re.findall(r"\bNAME_(\w+)\(", text) if name in ELEMENTARY}
