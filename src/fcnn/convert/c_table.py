"""A model's columns before the network in C, and its answers behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn.convert.c_weights import Weights
from fcnn.convert.c_words import Words, text_literal
from fcnn.convert.steps import refuse
from fcnn.model import Model
from fcnn.tables import Preparation, Target
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import BooleanColumn, DateColumn, IgnoredColumn, NumberColumn
from fcnn.tables.dates import PERIODS
from fcnn.tables.table import MISSING

Array = NDArray[Any]

_TEXTS = (CategoryColumn, OrdinalColumn)


def _texts(what: str, texts: Sequence[str]) -> str:
    lines = ",\n    ".join(text_literal(text) for text in texts)
    return f"const char *const {what}[{len(texts)}] = {{\n    {lines}\n}};\n"


class TableHead(NamedTuple):
    """What stands above a model's functions, with the words in it."""

    comment: str  # what they read and answer
    declared: str
    includes: str


def table_head(model: Model, words: Words, scratch: int, weights: Weights) -> TableHead:
    """Return the comment, the declarations and the includes of a model's functions."""
    columns, target = model.preparation.columns, model.target
    coded = any(isinstance(column, _TEXTS) for column in columns)
    shape = "-".join(map(str, model.network.sizes))
    is_classes = target.is_classes
    if is_classes:
        what = "probabilities" if _are_probabilities(model) else "outputs"
        answer = f"""\
   It returns the number of the class, whose text is NAME_classes[number], and writes the
   {what} to {what}[MACRO_ANSWERS], unless that is 0.
"""
    else:
        answer = """\
   It writes numbers in their own units to answers[MACRO_ANSWERS], and returns 0.
"""
    head = f"""\
NAME: a model of {len(columns)} columns; its network, {shape}, is computed in REAL

   NAME_predict reads row[MACRO_COLUMNS]. Any number of threads may call it: besides its answer
   it writes to its stack only, of which it takes MACRO_SCRATCH_BYTES and a few variables.

{answer}
   NAN is a missing cell. Of a row that the model refuses it returns -1 and writes NAN: one with
   an infinite number, a boolean that is neither 0 nor 1, a cell that is missing where none is
   filled in, or an unknown category where these are refused.

"""
    told = []
    for j, column in enumerate(columns):
        name = f" {text_literal(column.name)}" if column.name else ""
        told.append(f"row[{j}]{name}: {_described(column, words, j)}")
    if not is_classes:
        told += [
            f"answers[{k}] {text_literal(name)}" for k, name in enumerate(target.names)
        ]  # fmt: skip
    comment = words.filled(head) + "\n".join(f"   {line}" for line in told)
    n_out = model.network.sizes[-1]
    answers = max(n_out, len(target.classes)) if _are_probabilities(model) else n_out
    lines = [
        f"#define MACRO_COLUMNS {len(columns)}",
        f"#define MACRO_ANSWERS {answers}",
        *([f"#define MACRO_CLASSES {len(target.classes)}"] if is_classes else []),
        f"#define MACRO_SCRATCH_BYTES {scratch + _scratch(model)}",
    ]
    if is_classes:
        lines.append("extern const char *const NAME_classes[MACRO_CLASSES];")
    if coded:
        lines += [
            "/* The code of a text of a column of categories: NAN of a missing cell's, -1 of an",
            "   unknown one, and in any other column. */",
            "double NAME_code(int column, const char *text);",
        ]
    lines.append(f"{_predict(model, weights)};")
    includes = ["#include <math.h>", *(["#include <string.h>"] if coded else [])]
    return TableHead(
        f"/* {comment} */\n", words.filled("\n".join([*lines, ""])), "\n".join([*includes, ""])
    )


def _predict(model: Model, weights: Weights) -> str:
    """Return the template of the head of NAME_predict."""
    what = "answers"
    if model.target.is_classes:
        what = "probabilities" if _are_probabilities(model) else "outputs"
    return f"int NAME_predict({weights.given}const double *row, double *{what})"


def _scratch(model: Model) -> int:
    """Return how many bytes of the stack the numbers around the network take."""
    sizes = model.network.sizes
    return 8 * sizes[0] + model.network.dtype.itemsize * (sizes[0] + sizes[-1])


def _are_probabilities(model: Model) -> bool:
    return bool(model.classes) and model.network.activations[-1] in ("softmax", "sigmoid")


def _described(column: Any, words: Words, j: int) -> str:
    if isinstance(column, _TEXTS):
        return words.filled(f"a category: NAME_code({j}, its text), the place in NAME_texts{j}")
    if isinstance(column, IgnoredColumn):
        return "not read"
    kind = {
        "number": "a number", "boolean": "1 for true, 0 for false",
        "date": "seconds since 1970-01-01 UTC",
    }[column.kind]  # fmt: skip
    return kind if column.fill is None else f"{kind}; missing: {column.fill!r}"


# --- Before the network --------------------------------------------------------------------------

_FILLED = """\
static double NAME_filled(double value, double fill)
{
    return isnan(value) ? fill : value;
}
"""

_TRUTH = """\
/* 1, 0, or NAN: a missing cell, or what is neither. */
static double NAME_truth(double value)
{
    return value == 0 || value == 1 ? value : NAN;
}
"""

_TURN = """\
/* Sine and cosine of the phase of t. */
static void NAME_turn(double t, double period, double *v)
{
    double phase = TWO_PI * (fmod(t, period) / period);
    v[0] = sin(phase);
    v[1] = cos(phase);
}
"""

_CODED = """\
/* What a code stands for; NAN is refused. */
static double NAME_coded(double code, const double *values, int n, double unseen, double missing)
{
    if (isnan(code))
        return missing;
    if (!(code >= 0 && code < n && code == floor(code)))
        return unseen;
    return values[(int)code];
}
"""

_INDICATE = """\
static void NAME_indicate(double at, double *v, int n)
{
    int k;
    for (k = 0; k < n; k++)
        v[k] = isnan(at) ? at : k == at;
}
"""

_PLACE = """\
static double NAME_place(const char *text, const char *const *texts, int n)
{
    int k;
    for (k = 0; k < n; k++)
        if (strcmp(text, texts[k]) == 0)
            return k;
    for (k = 0; k < N_MISSING; k++)
        if (strcmp(text, NAME_missing[k]) == 0)
            return NAN;
    return -1;
}
"""


_BOUNDED = """\
/* value within its bounds; what is no finite number stays none */
static double NAME_bounded(double value, double low, double high)
{
    if (value < low && isfinite(value))
        return low;
    return value > high && isfinite(value) ? high : value;
}
"""


def write_columns(preparation: Preparation, words: Words) -> str:
    """Return the functions that make the network's inputs of a row."""
    parts: list[str] = []
    lines: list[str] = []
    codes: dict[int, int] = {}
    columns, starts = preparation.columns, preparation.starts
    j = 0
    while j < len(columns):
        column, at, end = columns[j], starts[j], j + 1
        if isinstance(column, (NumberColumn, BooleanColumn)):
            end = _end_of_run(columns, j)
            lines += _numbers(columns[j:end], j, at, words, parts)
        elif isinstance(column, DateColumn):
            lines += _date(column, j, at, words)
        elif isinstance(column, _TEXTS):
            if not (texts := column.codes.texts):
                refuse(f"column {column.name!r}", "has no categories")
            codes[j] = len(texts)
            parts.append("static " + _texts(words.filled(f"NAME_texts{j}"), texts))
            parts.append(words.filled(words.doubles(f"values{j}", np.array(column.codes.values))))
            lines += _category(column, j, at, starts[end] - at, words)
        elif not isinstance(column, IgnoredColumn):
            refuse(f"column {column.name!r}", f"columns of kind {column.kind} cannot be written")
        j = end
    if codes:
        parts += _code_functions(codes, words)
    width = preparation.width
    body = "\n".join(lines)
    templates = [
        words.doubles("mean", preparation.mean),
        words.doubles("scale", preparation.scale),
        _FILLED if "NAME_filled" in body else "",
        _BOUNDED if "NAME_bounded" in body else "",
        _TRUTH if "NAME_truth" in body else "",
        _TURN.replace("TWO_PI", words.literal(2 * np.pi, "")) if "NAME_turn" in body else "",
        _CODED if "NAME_coded" in body else "",
        _INDICATE if "NAME_indicate" in body else "",
        "/* x of row; whether all of it is finite */\n"
        "static int NAME_prepare(const double *row, REAL *x)\n"
        "{\n"
        f"    double v[{width}]{', t' if 't = ' in body else ''};\n"
        "    int j;\n"
        f"{body}\n"
        f"    for (j = 0; j < {width}; j++) {{\n"
        "        x[j] = (REAL)((v[j] - NAME_mean[j]) / NAME_scale[j]);\n"
        "        if (!isfinite(x[j]))\n"
        "            return 0;\n"
        "    }\n"
        "    return 1;\n"
        "}\n",
    ]
    return "\n".join([*parts, *(words.filled(text) for text in templates if text)])


def _end_of_run(columns: Sequence[Any], begin: int) -> int:
    """Return the end of columns that are treated alike: fill, bounds or none, and no flag."""

    def treatment(column: Any) -> Any:
        if not isinstance(column, (NumberColumn, BooleanColumn)) or column.flag:
            return None
        return column.kind, column.fill is None, _bounds(column) is None

    end = begin + 1
    wanted = treatment(columns[begin])
    while wanted is not None and end < len(columns) and treatment(columns[end]) == wanted:
        end += 1
    return end


def _numbers(columns: Sequence[Any], j: int, at: int, words: Words, parts: list[str]) -> list[str]:
    column, n = columns[0], len(columns)
    checked = "NAME_truth({})" if isinstance(column, BooleanColumn) else "{}"
    if n > 1:
        value = f"row[{j} + j]"
        if column.fill is not None:
            fills = np.array([one.fill for one in columns], np.float64)
            parts.append(words.filled(words.doubles(f"fills{j}", fills)))
            value = f"NAME_filled({value}, NAME_fills{j}[j])"
        if _bounds(column) is not None:
            for k, name in enumerate(("lows", "highs")):
                bounds = np.array([_bounds(one)[k] for one in columns], np.float64)
                parts.append(words.filled(words.doubles(f"{name}{j}", bounds)))
            value = f"NAME_bounded({value}, NAME_lows{j}[j], NAME_highs{j}[j])"
        value = checked.format(value)
        return [f"    for (j = 0; j < {n}; j++)", f"        v[{at} + j] = {value};"]
    value = f"row[{j}]"
    if column.fill is not None:
        value = f"NAME_filled({value}, {words.literal(column.fill, '')})"
    value = _within(value, column, words)
    flag = [f"    v[{at + 1}] = isnan(row[{j}]) ? 1 : 0;"] if column.flag else []
    return [f"    v[{at}] = {checked.format(value)};", *flag]


def _bounds(column: Any) -> Any:
    """Return the bounds of a column's numbers, None if there are none."""
    bounds = getattr(column, "low", None), getattr(column, "high", None)
    return None if bounds == (None, None) else bounds


def _within(value: str, column: Any, words: Words) -> str:
    """Return a value within the bounds of its column, as C has it."""
    if (bounds := _bounds(column)) is None:
        return value
    return f"NAME_bounded({value}, {', '.join(words.literal(bound, '') for bound in bounds)})"


def _date(column: DateColumn, j: int, at: int, words: Words) -> list[str]:
    fill = f"NAME_filled(row[{j}], {words.literal(column.fill, '')})"
    lines = [f"    t = {f'row[{j}]' if column.fill is None else fill};"]
    for part in column.parts:
        if period := PERIODS[part]:
            lines.append(f"    NAME_turn(t, {words.literal(period, '')}, v + {at});")
            at += 2
        else:
            value = _within("t", column, words)
            lines.append(f"    v[{at}] = {value} / 86400;")
            at += 1
    return lines + ([f"    v[{at}] = isnan(row[{j}]) ? 1 : 0;"] if column.flag else [])


def _category(column: Any, j: int, at: int, width: int, words: Words) -> list[str]:
    codes = column.codes
    unseen, missing = (
        words.literal(np.nan if value is None else value, "")
        for value in (codes.unseen, codes.missing)
    )
    coded = f"NAME_coded(row[{j}], NAME_values{j}, {len(codes.texts)}, {unseen}, {missing})"
    if isinstance(column, OrdinalColumn):
        return [f"    v[{at}] = {coded};"]
    return [f"    NAME_indicate({coded}, v + {at}, {width});"]


def _code_functions(codes: dict[int, int], words: Words) -> list[str]:
    """Return the functions from texts to codes; `codes` has the number of texts by the column."""
    missing = sorted(MISSING)
    cases = [
        f"    case {j}:\n        return NAME_place(text, NAME_texts{j}, {n});"
        for j, n in codes.items()
    ]
    return [
        "/* Texts of missing cells, unless they are categories. */\nstatic "
        + _texts(words.filled("NAME_missing"), missing),
        words.filled(_PLACE.replace("N_MISSING", str(len(missing)))),
        words.filled(
            "double NAME_code(int column, const char *text)\n"
            "{\n"
            "    switch (column) {\n" + "\n".join(cases) + "\n"
            "    default:\n"
            "        return -1;\n"
            "    }\n"
            "}\n"
        ),
    ]


# --- Behind it -----------------------------------------------------------------------------------


def write_answers(model: Model, words: Words, weights: Weights) -> str:
    """Return the function from a row to the answers."""
    if model.target.is_classes:
        return _classes(model, words, weights)
    n_out = model.network.sizes[-1]
    value, parts = "a[k]", []
    if model.output_scaling is not None:
        mean, scale = model.output_scaling
        parts = [
            words.doubles("target_mean", mean),
            words.doubles("target_scale", scale),
        ]
        value = "a[k] * NAME_target_scale[k] + NAME_target_mean[k]"
    parts.append(
        f"{_predict(model, weights)}\n"
        "{\n"
        f"    REAL x[{model.network.sizes[0]}], a[{n_out}];\n"
        "    int k, is_sound = NAME_prepare(row, x);\n"
        "\n"
        "    if (is_sound)\n"
        f"        NAME_network({weights.passed}x, a);\n"
        f"    for (k = 0; k < {n_out}; k++)\n"
        f"        answers[k] = is_sound ? {value} : NAN;\n"
        "    return is_sound ? 0 : -1;\n"
        "}\n"
    )
    return words.filled("\n".join(parts))


def _classes(model: Model, words: Words, weights: Weights) -> str:
    n_out, target = model.network.sizes[-1], model.target
    sure = _are_probabilities(model)
    what = "probabilities" if sure else "outputs"
    n = 2 if sure and n_out == 1 else n_out
    if n_out == 1:
        best = "    best = a[0] > (REAL)0.5;\n"
    else:
        best = (
            f"    for (k = 1; k < {n_out}; k++)\n"
            "        if (a[k] > a[best])\n"
            "            best = k;\n"
        )
    written = (
        f"    {what}[0] = 1 - a[0];\n    {what}[1] = a[0];\n" if n > n_out
        else f"    for (k = 0; k < {n_out}; k++)\n        {what}[k] = a[k];\n"
    )  # fmt: skip
    written = "".join(f"    {line}\n" for line in written.splitlines())
    return "\n".join(
        [
            _names(target, words),
            words.filled(
                f"{_predict(model, weights)}\n"
                "{\n"
                f"    REAL x[{model.network.sizes[0]}], a[{n_out}];\n"
                "    int k, best = 0;\n"
                "\n"
                "    if (!NAME_prepare(row, x)) {\n"
                f"        for (k = 0; {what} && k < {n}; k++)\n"
                f"            {what}[k] = NAN;\n"
                "        return -1;\n"
                "    }\n"
                f"    NAME_network({weights.passed}x, a);\n"
                f"{best}"
                f"    if ({what}) {{\n"
                f"{written}"
                "    }\n"
                "    return best;\n"
                "}\n"
            ),
        ]
    )


def _names(target: Target, words: Words) -> str:
    return _texts(words.filled("NAME_classes"), target.class_texts)
