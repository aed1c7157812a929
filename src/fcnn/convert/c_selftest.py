"""The self-test of a file of C: it compares the answers for recorded rows, and takes the time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.convert.c_weights import Weights
from fcnn.convert.c_words import Words
from fcnn.model import Model
from fcnn.network import Network
from fcnn.tables import Table, as_table
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import (
    BooleanColumn,
    DateColumn,
    NumberColumn,
    Report,
    numbers_of,
    seconds_of,
    truths_of,
)
from fcnn.tables.table import MISSING

Array = NDArray[Any]

ROWS = 16  # of random numbers, where none are given
# Of an answer's size; sums are added up in another order than in the core.
MOST_ERROR = {"float": 1e-5, "double": 1e-13}

_TEST = """\
/* Compares with the answers that fcnn gave for some rows, and prints the worst error, relative to
   the largest output in all rows (in each answer's unit), and the time of a row. 0, or 1 if an
   error is too large. */
int NAME_test({given_alone})
{{
    static {kind} a[MACRO_{answers}];
    volatile {kind} used;
    double worst = 0, seconds = 0;
    long calls, done = 0;
    int i, k;
    for (i = 0; i < {rows}; i++) {{
        {call}
        for (k = 0; k < MACRO_{answers}; k++) {{
            const double wanted = NAME_test_answers[i * MACRO_{answers} + k];
            const double off = a[k] < wanted ? wanted - a[k] : a[k] - wanted;
            const double error = off / NAME_test_sizes[k];
            worst = error <= worst ? worst : error; /* NaN stays */
        }}
    }}
    for (calls = {rows}; seconds < 0.1; calls *= 2) {{
        const clock_t begin = clock();
        for (done = 0; done < calls; done += {rows})
            for (i = 0; i < {rows}; i++) {{
                {timed}
                used = a[0];
            }}
        seconds = (double)(clock() - begin) / (double)CLOCKS_PER_SEC;
    }}
    (void)used;
    printf("NAME_test: {rows} rows, worst relative error %.1e (at most {most:g}), %.1f ns a row\\n",
        worst, 1e9 * seconds / (double)done);
{changed}    return worst <= {most!r} ? 0 : 1;
}}
"""

# The answers are those of the parameters that were written, and of no others.
_CHANGED = """\
    if (NAME_checksum({source}) != {checksum}ul) {{
        printf("NAME_test: the parameters are not those that the answers were recorded with: "
            "trained since, or others\\n");
        return 1;
    }}
"""

_MAIN = """\
#ifdef MACRO_MAIN /* a program of its own */
int main(void)
{
    return NAME_test();
}
#endif
"""


def recorded(net: Network | Model, rows: Any) -> tuple[Array, Array, Array | None, Array]:
    """Return inputs and answers for a self-test, the numbers of the classes, if any, and sizes.

    Of a network inputs (rows, n_0), of a model raw columns (rows, columns), double. `rows` is True
    or what `predict` takes. Sizes (answers,) are by what errors are divided: the largest output in
    all rows, in each answer's unit. An answer's own would be no measure: where its terms cancel to
    nearly nothing, the last digit of a term is a large part of it.
    """
    classes = None
    mean, unit = np.zeros(1), np.ones(1)
    if isinstance(net, Model):
        if rows is True:
            raise ValueError("self_test: of a model give it rows of data, as for model.predict")
        table = as_table(rows)
        inputs = _raw(net, table)
        # Its notes are for those who want the answers.
        outputs = net.network.predict(net.prepare(table, []))
        answers = outputs.astype(np.float64)
        if not net.classes and net.output_scaling is not None:
            mean, unit = net.output_scaling
            answers = answers * unit + mean
        elif net.classes and outputs.shape[1] == 1 and net.network.activations[-1] == "sigmoid":
            answers = np.hstack([1 - outputs, outputs]).astype(np.float64)
        if net.classes:
            classes = np.array(
                [net.classes.index(label) for label in net.target.decode(outputs).tolist()]
            )
    else:
        if rows is True:
            rows = np.random.default_rng(0).normal(size=(ROWS, net.sizes[0]))
        inputs = np.atleast_2d(check.as_inputs("self_test", rows, net.sizes[0], net.dtype))
        check.refuse_nonfinite("self_test", inputs)
        answers = outputs = net.predict(inputs)
    check.refuse_nonfinite("self_test: answers", answers)
    # Of two classes by one output the other's probability may be all that is not tiny.
    largest = float(np.abs(outputs if classes is None else answers).max()) or 1.0
    # A mean of many units rounds their sum: to a digit of its own, or the next one.
    most = MOST_ERROR["float" if outputs.dtype == np.float32 else "double"]
    sizes = largest * unit + 2 * np.finfo(float).eps / most * np.abs(mean)
    return inputs, answers, classes, np.broadcast_to(sizes, answers.shape[1:])


def _raw(model: Model, table: Table) -> Array:
    """Return rows of a table as the numbers that a file of C takes."""
    report = Report(table)
    columns = model.preparation.used(table)
    raw = np.zeros((table.rows, len(columns)))
    for j, (column, encoder) in enumerate(zip(columns, model.preparation.columns, strict=True)):
        named = f"column {encoder.name!r}"
        if isinstance(encoder, NumberColumn):
            raw[:, j] = numbers_of(column, encoder.rule, encoder.stray, named, report)
        elif isinstance(encoder, BooleanColumn):
            raw[:, j] = truths_of(column, named, report)
        elif isinstance(encoder, DateColumn):
            raw[:, j] = seconds_of(column, encoder.form, named, report)
        elif isinstance(encoder, (CategoryColumn, OrdinalColumn)):
            texts = encoder.codes.texts
            codes = {text: code for code, text in reversed([*enumerate(texts)])}
            none = dict.fromkeys(MISSING, np.nan)
            found = column.texts_at(np.arange(table.rows))
            missing = column.is_missing()
            raw[:, j] = [
                np.nan if is_missing else codes.get(text, none.get(text, -1))
                for text, is_missing in zip(found, missing, strict=True)
            ]
    report.raise_problems()
    return raw


def declare_test(given: str) -> str:
    """Return the template of the declaration."""
    return (
        "\n/* Prints error and time of recorded rows; 0 if all is well. With MACRO_MAIN defined\n"
        "   the file is a program that does so. */\n"
        f"int NAME_test({given.rstrip(', ') or 'void'});\n"
    )


def write_test(
    words: Words,
    weights: Weights,
    inputs: Array,
    answers: Array,
    classes: Array | None,
    sizes: Array,
    *,
    of_model: bool,
) -> str:
    """Return the template of the self-test."""
    given, passed = weights.given, weights.passed
    kind = "double" if of_model else "REAL"
    x = f"NAME_test_rows + i * MACRO_{'COLUMNS' if of_model else 'INPUTS'}"
    timed = call = f"NAME_predict({passed}{x}, a);"
    if of_model:
        timed = f"(void){timed}"
        wanted = "0" if classes is None else "NAME_test_classes[i]"
        call = f"if (NAME_predict({passed}{x}, a) != {wanted})\n            worst = 1;"
    array = words.doubles if of_model else words.array
    parts = ["#include <stdio.h>\n#include <time.h>\n"]
    parts += [array("test_rows", inputs), array("test_answers", answers)]
    parts.append(words.doubles("test_sizes", sizes))
    if classes is not None:
        numbers = ", ".join(map(str, classes.tolist()))
        parts.append(f"static const int NAME_test_classes[{len(classes)}] = {{{numbers}}};\n")
    parts.append(
        _TEST.format(
            given_alone=given.rstrip(", ") or "void", rows=len(inputs), kind=kind, call=call,
            timed=timed, answers="ANSWERS" if of_model else "OUTPUTS",
            most=MOST_ERROR[words.real],
            changed="" if weights.checksum is None else _CHANGED.format(
                source=weights.source, checksum=weights.checksum
            ),
        )
    )  # fmt: skip
    if not given:  # whose parameters a program would not have
        parts.append(_MAIN)
    if np.isnan(inputs).any():
        parts.insert(0, "#include <math.h>\n")
    return "\n".join(parts)
