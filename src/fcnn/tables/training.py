"""Targets of training data: classes or numbers, which rows have one, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.tables import dates
from fcnn.tables.conversion import as_table
from fcnn.tables.kinds import MOST_STRAY
from fcnn.tables.numbers import (
    PLAIN,
    NumberRule,
    Reading,
    are_codes,
    example,
    possible_shares,
    read_numbers,
)
from fcnn.tables.table import Column, Table, TableError, as_names, quoted, some
from fcnn.tables.target import NO_VALUE, Target, classes_of, finite_numbers, refuse_cells

Array = NDArray[Any]

TASKS = ("auto", "classification", "regression")

# Beyond, texts are taken for names and whole numbers for quantities, not for classes.
MOST_CLASSES = 100
MOST_NUMBERS = 20
_LARGEST = 1e150


class TargetReading(NamedTuple):
    """The target of training data.

    Attributes
    ----------
    target : Target
    y : numpy.ndarray
        int64 labels (s,) or float64 (s, n) in own units, of the rows that are kept.
    rows : numpy.ndarray
        Indices of the rows that have a target.
    reason : str
        Why they are classes or numbers.
    notes : tuple of str
        What was left out, and how texts were read.
    """

    target: Target
    y: Array
    rows: Array
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """Classification or regression."""
        return "classification" if self.target.is_classes else "regression"


def read_target(
    table: Any, names: Sequence[str], task: str = "auto", *, are_labels: bool = False
) -> TargetReading:
    """Return the target of a table to train on.

    Parameters
    ----------
    table : table-like
        See `fcnn.tables.as_table`. Without names, all its columns are the target.
    names : sequence of str, or a str
        The target's columns; several are numbers.
    task : str, default "auto"
        "classification", "regression" or "auto": by what they look like. By "auto" numbers are
        numbers, but for two whole ones, such as 0 and 1; with a few texts among them, too.
    are_labels : bool, default False
        By "auto", whole numbers of few values are classes: they come from where labels are numbers.

    Raises
    ------
    ValueError
        If cells are not what the rest of the target is: all are listed, up to ten lines.
    """
    check.as_choice("task", task, TASKS)
    are_labels = check.as_flag("are_labels", are_labels)
    table, names = as_table(table, "table"), as_names("names", names)
    for name in names:
        if name not in table:
            raise TableError(
                f"names: {table.source} has no column {name!r}, only {some(table.names)}"
            )
    if len({*names}) < len(names):
        raise TableError(f"names: expected different columns, got {some(names)}")
    columns = [table[name] for name in names] if names else table.columns
    if not columns:
        raise TableError(f"table: {table.source} has no columns")
    if len(columns) == 1:
        if task != "auto" or not columns[0].is_declared:
            return _read_one(table, columns[0], names, task, are_labels)
        one = _read_one(table, columns[0], names, "classification")
        _refuse_many(_whose(table, columns[0]), "is of categories", len(one.target.classes))
        return one._replace(reason="its column is one of categories")
    if task == "classification":
        raise TableError(
            f"{table.source}: {len(columns)} targets; classification expects one with a class "
            "for each row"
        )
    read, errors = [], []
    for column in columns:
        try:
            hint = "; of several targets each is a number"
            read.append(_read_one(table, column, (column.name,), "regression", hint=hint))
        except TableError as error:
            errors.append(error)
    if errors:
        raise TableError.joined(table.source, errors)
    rows = read[0].rows
    for one in read[1:]:
        rows = np.intersect1d(rows, one.rows)
    y = np.hstack([one.y[np.searchsorted(one.rows, rows)] for one in read])
    target = Target(
        names, rules=[one.target.rules[0] for one in read],
        bare=[one.target.bare[0] for one in read],
    )  # fmt: skip
    notes = tuple(note for one in read for note in one.notes)
    return TargetReading(target, y, rows, f"{len(columns)} numbers for each row", notes)


def _whose(table: Table, column: Column) -> str:
    return f"{table.source}: the target {column.name!r}" if column.name else (
        f"{table.source}: the target"
    )  # fmt: skip


def _read_one(
    table: Table, column: Column, names: tuple[str, ...], task: str, are_labels: bool = False,
    hint: str = "",
) -> TargetReading:  # fmt: skip
    if column.is_text:
        return _read_texts(table, column, names, task, are_labels, hint)
    whose = _whose(table, column)
    if column.dtype.kind == "M":
        raise TableError(f"{whose} has dates; expected numbers or classes")
    rows, notes = _present(table, column, column.missing)
    values = column.values[rows]
    if values.dtype.kind == "b" and task != "regression":
        classes = np.unique(values).tolist()
        return _as_classes(whose, names, values, classes, rows, _reason(task, "true or false"),
                           notes)  # fmt: skip
    unique = np.unique(values)
    guessed, reason, said = _guess(column.name, whose, values, task, len(unique), are_labels)
    notes = (*notes, *said)
    if guessed == "classification":
        classes = [int(v) if float(v).is_integer() else float(v) for v in unique.tolist()]
        return _as_classes(whose, names, values, classes, rows, reason, notes)
    numbers = finite_numbers(column.take(rows), PLAIN, table.take(rows))
    _refuse_large(table, column, rows, numbers)
    return TargetReading(Target(names, rules=[PLAIN]), numbers[:, np.newaxis], rows, reason, notes)


def _refuse_large(table: Table, column: Column, rows: Array, y: Array) -> None:
    large = rows[np.flatnonzero(np.abs(y.ravel()) > _LARGEST)]
    refuse_cells(table, column, large, "expected a number whose square float64 can hold")


def _reason(task: str, what: str) -> str:
    return f"the targets are {what}" if task == "auto" else f"--task {task}"


def _present(table: Table, column: Column, missing: Array | None) -> tuple[Array, tuple[str, ...]]:
    """Return the rows with a target, and what is said of the others."""
    if missing is None or not missing.any():
        return np.arange(table.rows), ()
    rows = np.flatnonzero(~missing)
    if not len(rows):
        raise TableError(f"{_whose(table, column)} is empty in all rows")
    gone = np.flatnonzero(missing)
    places = ", ".join(table.where(row) for row in gone[:3].tolist())
    cells = sorted({*column.take(gone).texts().tolist()} - {""})
    with_what = f" ({', '.join(quoted(cell) for cell in cells[:3])})" if cells else ""
    named = f"target {column.name!r}" if column.name else "target"
    return rows, (
        f"{named}: {len(gone):,} row{'s' * (len(gone) > 1)} without a value{with_what} left out: "
        f"{places}{', ...' * (len(gone) > 3)}",
    )


def _read_texts(
    table: Table, column: Column, names: tuple[str, ...], task: str, are_labels: bool, hint: str
) -> TargetReading:
    """Return a target of texts: numbers if most of them are, else classes, as they are.

    `hint` says why all of them have to be numbers where that is not --task.
    """
    found = _read_plain(table, column, names, task, are_labels)
    if found is not None:
        return found
    codes, texts = column.factorize()
    counts = np.bincount(codes, minlength=len(texts))
    given = [i for i, text in enumerate(texts) if text not in NO_VALUE]
    reading = read_numbers([texts[i] for i in given], table.decimal)
    bad = np.isnan(reading.values)
    total, stray = int(counts[given].sum()), int(counts[given][bad].sum())
    # Few classes that occur again and again, as in 1, 2, 3, 4+, are classes.
    repeated = stray > MOST_STRAY * max(total, 1) and len(given) <= MOST_NUMBERS
    are_numbers = stray <= total / 2 and not repeated and not are_codes([texts[i] for i in given])
    if task == "regression" or (task == "auto" and given and are_numbers):
        if stray:
            whose = _whose(table, column)
            rows = np.flatnonzero(np.isin(codes, np.array(given)[bad]))
            cells = [f"{table.where(r)}: {quoted(texts[codes[r]])}" for r in rows[:10].tolist()]
            hint = " (--task classification takes each for a class)" if task == "auto" else hint
            what = f"{total - stray:,} cells are numbers, {stray:,} {_is(stray)} not{hint}"
            raise TableError(f"{whose}: {what}", cells, len(rows))
        absent = np.isin(codes, [i for i, text in enumerate(texts) if text in NO_VALUE])
        rows, notes = _present(table, column, absent)
        values = np.full(len(texts), np.nan)
        values[given] = reading.values
        guessed, reason, said = _guess(
            column.name, _whose(table, column), values[codes[rows]], task, len(given), are_labels,
            reading.rule,
        )  # fmt: skip
        if guessed == "regression":
            unit = reading.rule.unit
            bare = not all(unit in texts[i] for i in given)
            target = Target(names, rules=[reading.rule], bare=[bare])
            shares = possible_shares([texts[i] for i in given], reading.rule)
            if shares and task == "auto":
                bare_shares = {*shares}
                at = [i for i, text in enumerate(texts) if text in bare_shares]
                where = np.flatnonzero(np.isin(codes, at))
                cells = [
                    f"{table.where(r)}: {quoted(texts[codes[r]])}" for r in where[:10].tolist()
                ]
                what = "cells have no %, as others have (--task regression takes them for percent)"
                raise TableError(
                    f"{_whose(table, column)}: {len(where):,} {what}", cells, len(where)
                )
            how = _how_read(column.name, reading)
            if shares:
                how.append(f"target {column.name!r}: {shares[0]!r} is taken for {shares[0]} %")
            y = values[codes[rows]][:, np.newaxis]
            _refuse_large(table, column, rows, y)
            return TargetReading(target, y, rows, reason, (*notes, *said, *how))
        found = _texts_as_classes(table, column, names, reason, absent)
        return found._replace(notes=(*found.notes, *said))
    return _texts_as_classes(table, column, names, "" if task == "auto" else f"--task {task}")


def _read_plain(
    table: Table, column: Column, names: tuple[str, ...], task: str, are_labels: bool
) -> TargetReading | None:
    """Return what `_read_texts` finds of plain numbers, some missing; None where it has to look.

    Without telling the texts apart, which takes most of the time.
    """
    if task == "classification" or table.decimal == ",":
        return None
    values = column.plain
    absent = np.isnan(values)
    if not all(text in NO_VALUE for text in column.texts_at(np.flatnonzero(absent))):
        return None
    numbers, whole = values[~absent], np.flatnonzero(values == np.floor(values))
    if np.unique(numbers).size <= MOST_NUMBERS or are_codes(column.texts_at(whole)):
        return None
    rows, notes = _present(table, column, absent)
    guessed = _guess(column.name, _whose(table, column), numbers, task, len(numbers), are_labels)
    y = numbers[:, np.newaxis]
    _refuse_large(table, column, rows, y)
    return TargetReading(Target(names, rules=[PLAIN]), y, rows, guessed[1], notes)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _how_read(name: str, reading: Reading) -> list[str]:
    said = [f"target {name!r}: {reading.doubt}"] if reading.doubt else []
    if reading.rule.unit:
        said.append(f"target {name!r}: in {reading.rule.unit}, as written")
    return said


def _texts_as_classes(
    table: Table, column: Column, names: tuple[str, ...], reason: str, absent: Array | None = None
) -> TargetReading:
    """Return texts as classes, as they are; without a reason, if they look like classes.

    Rows are left out where `absent` says so, by default those with empty cells.
    """
    whose = _whose(table, column)
    if absent is None:
        absent = column.values == ""
        if column.missing is not None:
            absent = absent | column.missing
    rows, notes = _present(table, column, absent)
    cells = column.values[rows]
    found = sorted({*cells.tolist()})
    if not reason:
        named = [text for text in found if text not in NO_VALUE]
        if dates.find_dates(named).form:
            raise TableError(f"{whose} has dates like {named[0]!r}; expected numbers or classes")
        _refuse_many(whose, "is text", len(found))
        reason = f"the targets are text with {_count(len(found))}"
    odd = [text for text in found if text in NO_VALUE]
    if odd:
        what = f"{', '.join(map(quoted, odd))} {_is(len(odd))} taken for a class, as the others"
        notes = (*notes, f"target {column.name!r}: {what}")
    value = dict(zip(found, classes_of(found), strict=True))
    values = np.array([value[text] for text in cells.tolist()], object)
    found = sorted(found, key=value.__getitem__)
    classes = [value[text] for text in found]
    return _as_classes(whose, names, values, classes, rows, reason, notes, found)


def _refuse_many(whose: str, what: str, distinct: int) -> None:
    if distinct > MOST_CLASSES:
        raise TableError(
            f"{whose} {what} with {distinct:,} distinct values; is it the right column? "
            "--task classification takes each for a class"
        )


def _as_classes(
    whose: str,
    names: tuple[str, ...],
    values: Array,
    classes: list[Any],
    rows: Array,
    reason: str,
    notes: tuple[str, ...],
    texts: Sequence[str] = (),
) -> TargetReading:
    if len(classes) < 2:
        raise TableError(
            f"{whose} is {quoted(classes[0])} in all rows; classification expects two classes or "
            "more"
        )
    index = {value: k for k, value in enumerate(classes)}
    labels = np.array([index[value] for value in values.tolist()], np.int64)
    target = Target(names, classes, class_texts=texts)
    return TargetReading(target, labels, rows, reason, notes)


def _count(distinct: int) -> str:
    return f"{distinct:,} distinct value{'s' * (distinct != 1)}"


def _guess(
    name: str, whose: str, values: Array, task: str, written: int, are_labels: bool,
    rule: NumberRule = PLAIN,
) -> tuple[str, str, list[str]]:  # fmt: skip
    """Return whether numbers are classes or quantities, why, and what is to be said of it.

    `written` is how many different texts they are: 1 and 1.0 would be two classes.
    """
    if task != "auto":
        return task, f"--task {task}", []
    unique = np.unique(values)
    distinct = len(unique)
    if distinct == 1:
        raise TableError(f"{whose} is {values[0]:g} in all rows; there is nothing to learn")
    if rule != PLAIN:
        return "regression", f"the targets are numbers like {example(rule)}", []
    if values.dtype.kind == "f" and not (values == np.floor(values)).all():
        return "regression", "the targets are decimal numbers", []
    reason = f"the targets are whole numbers with {_count(distinct)}"
    # Whole numbers most of which occur once are measurements: a class has several samples.
    if distinct > MOST_NUMBERS or 2 * distinct > len(values) or written != distinct:
        return "regression", reason, []
    named = f"target {name!r}" if name else "target"
    if distinct == 2 or are_labels:
        said = [
            f"{named}: {unique[0]:.15g} and {unique[1]:.15g} alone, taken for two classes; "
            "--task regression takes them for numbers"
        ] if distinct == 2 and not are_labels else []  # fmt: skip
        return "classification", f"{reason} (--task regression takes them for numbers)", said
    return "regression", f"{reason} (--task classification takes each for a class)", [
        f"{named}: {distinct} whole values, {unique[0]:.15g} to {unique[-1]:.15g}, trained as a "
        "number; --task classification makes them classes"
    ]  # fmt: skip
