"""Target: what a model predicts, classes or numbers, and how the network's outputs become them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.tables import dates
from fcnn.tables.conversion import as_cells, as_column, as_table, has_records
from fcnn.tables.kinds import MOST_STRAY, NO_NUMBERS
from fcnn.tables.numbers import (
    PLAIN,
    NumberRule,
    Reading,
    are_codes,
    example,
    possible_shares,
    read_numbers,
)
from fcnn.tables.table import (
    MISSING,
    MOST_PROBLEMS,
    Column,
    Table,
    TableError,
    described,
    places,
    quoted,
    some,
)

Array = NDArray[Any]

TASKS = ("auto", "classification", "regression")

_NO_VALUE = MISSING | NO_NUMBERS

# Beyond, texts are taken for names and whole numbers for quantities, not for classes.
MOST_CLASSES = 100
MOST_NUMBERS = 20
_LARGEST = 1e150


class Target:
    """What a model predicts.

    Attributes
    ----------
    names : tuple of str
        Names of the target's columns; empty if the data had none.
    classes : tuple of str, int, float or bool
        What each output of a classifier stands for; empty for numbers. Integers or floats where all
        of them are written as such, else the texts as they are: "00" and "0" differ.
    class_texts : tuple of str
        How each class is written.
    mean, scale : numpy.ndarray of float64, shape (n_L,), or None
        Of numbers: an output a stands for a * scale + mean, computed in float64.
    rules : tuple of NumberRule
        How texts are read as numbers, one for each column; empty for classes.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        classes: Sequence[Any] = (),
        mean: Array | None = None,
        scale: Array | None = None,
        rules: Sequence[NumberRule] = (),
        class_texts: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.classes = tuple(v.item() if isinstance(v, np.generic) else v for v in classes)
        for value in self.classes:
            if not isinstance(value, (str, int, float)) or value != value:
                raise TypeError(f"classes: expected texts or numbers, got {value!r}")
        self.mean = None if mean is None else np.array(mean, np.float64)
        self.scale = None if scale is None else np.array(scale, np.float64)
        self.rules = tuple(rules)
        self.class_texts = tuple(class_texts) or tuple(map(class_text, self.classes))
        if len(self.class_texts) != len(self.classes):
            raise ValueError(f"class_texts: expected one for each class, got {self.class_texts!r}")
        if len({*self.class_texts}) != len(self.classes):
            raise ValueError(f"classes: expected different ones, got {self.classes!r}")

    @property
    def is_classes(self) -> bool:
        """Whether it is classes, not numbers."""
        return bool(self.classes)

    def __repr__(self) -> str:
        named = f"{', '.join(self.names)}: " if self.names else ""
        if self.is_classes:
            return f"Target({named}{len(self.classes)} classes: {some(self.class_texts)})"
        return f"Target({named}numbers)"

    def scaled(self, y: Array) -> Target:
        """Return the target of numbers whose mean and deviation, of y (s, n_L), are taken out."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = y.mean(axis=0), y.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise ValueError("y: expected numbers whose squares can be added up, got larger ones")
        varies = (y.max(axis=0) > y.min(axis=0)) & (deviation > 0)
        return Target(self.names, (), mean, np.where(varies, deviation, 1.0), self.rules)

    # --- Values and outputs ----------------------------------------------------------------------

    def encode(self, y: Any, name: str = "y") -> Array:
        """Return target values as labels 0, 1, ... or as numbers in their own units.

        Parameters
        ----------
        y : array-like, shape (s,) or (s, n)
            Class names, or numbers; a table with the target's columns.

        Returns
        -------
        numpy.ndarray
            int64 labels (s,), or float64 (s, n).

        Raises
        ------
        ValueError
            If a value is missing, no number, or none of the classes: all that is wrong is listed,
            up to ten lines.
        """
        return self.encode_columns(self._columns(y, name))

    def _columns(self, y: Any, name: str) -> tuple[list[Column], Table]:
        n = 1 if self.is_classes else max(len(self.rules), len(self.names), 1)
        if _has_columns(y):
            table = as_table(y, name)
            # Numbers from 0 on are what pandas calls columns without names.
            is_named = table.is_named and table.names != [str(j) for j in range(len(table.names))]
            absent = [repr(key) for key in self.names if key not in table]
            if is_named and absent:
                raise TableError(
                    f"{name}: lacks the target{'s' * (len(absent) > 1)} {some(absent)}; it has "
                    f"{some(table.names)}"
                )
            if self.names and not absent:
                return [table[key] for key in self.names], table
        elif (hasattr(y, "dtype") and not hasattr(y, "__array__")) or np.ndim(y) == 1:
            table = Table([as_column(y, "", name)], name)
        else:
            table = as_table(as_cells(y, name), name)
        if self.mean is not None:
            n = self.mean.size
        if len(table.columns) != n:
            raise ValueError(
                f"{name}: expected {n} column{'s' * (n > 1)}"
                f"{f' named {some(self.names)}' if self.names else ''}, got {len(table.columns)}"
            )
        return table.columns, table

    def has_value(self, column: Column) -> Array:
        """Return where a column of the target has a value; a class may be called NA."""
        if not column.is_text or self.is_classes:
            return ~column.is_missing() | np.isin(column.texts(), self.class_texts)
        return np.array([text not in _NO_VALUE for text in column.values.tolist()], bool)

    def encode_columns(self, given: tuple[list[Column], Table]) -> Array:
        """Return columns of a table as `encode` does."""
        columns, table = given
        if self.is_classes:
            codes, texts = columns[0].factorize()
            if columns[0].missing is not None:
                _refuse(table, columns[0], np.flatnonzero(columns[0].missing), "expected a class")
            found = places(columns[0], texts, self.class_texts)
            if found is None:
                raise TableError(
                    f"{table.source}: expected texts, got numbers, and of the classes "
                    f"{some(self.class_texts, 5)} several are the same number"
                )
            labels = np.array(found, np.int64)[codes]
            expected = f"expected one of the classes {some(self.class_texts, 10)}"
            _refuse(table, columns[0], np.flatnonzero(labels < 0), expected)
            return labels
        rules = self.rules or (PLAIN,) * len(columns)
        values = [
            _numbers(column, rule, table) for column, rule in zip(columns, rules, strict=True)
        ]
        return np.stack(values, axis=1)

    def decode(self, outputs: Array) -> Array:
        """Return outputs of the network, shape (s, n_L), as values of the target.

        Classes, shape (s,), in their own type; or float64 numbers in their own units, (s,) of one
        and (s, n_L) of several.
        """
        if self.is_classes:
            names = (
                np.array(self.classes)
                if len({*map(type, self.classes)}) == 1
                else np.array(self.classes, object)
            )
            return np.asarray(names[most_probable(outputs)])
        values = outputs.astype(np.float64)
        if self.mean is not None and self.scale is not None:
            values = values * self.scale + self.mean
        return values[:, 0] if values.shape[1] == 1 else values

    # --- In files --------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return all but mean and scale, as JSON has it."""
        written = list(self.class_texts) != [class_text(value) for value in self.classes]
        return {
            **({"class_texts": list(self.class_texts)} if written else {}),
            "names": list(self.names),
            "classes": list(self.classes),
            "rules": [rule.to_json() for rule in self.rules],
            "scaled": self.mean is not None,
        }

    @classmethod
    def from_json(cls, value: Any, mean: Array | None, scale: Array | None) -> Target:
        """Return the target of `to_json`, checked."""
        names = described(value["names"], "names of targets", str)
        classes = described(value["classes"], "classes", str, int, float, bool)
        rules = [NumberRule.from_json(rule) for rule in described(value["rules"], "rules", dict)]
        if type(value["scaled"]) is not bool or value["scaled"] != (mean is not None):
            raise ValueError(f"expected scaled as true or false, found {value['scaled']!r}")
        if rules and len(rules) != len(names or rules):
            raise ValueError(f"expected a rule for each of {names!r}, found {len(rules)}")
        if mean is not None and scale is not None:
            sound = np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()
            if not sound or classes:
                raise ValueError("expected finite means and positive scales of numbers")
        texts = described(value.get("class_texts", []), "class_texts", str)
        return cls(names, classes, mean, scale, rules, texts)


def _has_columns(y: Any) -> bool:
    """Return whether targets came with names of columns."""
    if isinstance(y, (list, tuple)):
        return has_records(y)
    named = getattr(getattr(y, "dtype", None), "names", None)
    return bool(named) or isinstance(y, (Table, Mapping)) or hasattr(y, "columns")


def classes_of(texts: Sequence[str]) -> list[Any]:
    """Return class texts as integers, floats or booleans where all are written as such."""
    if all(_is_integer(text) for text in texts):
        return [int(text) for text in texts]
    if all(_is_float(text) for text in texts):
        return [float(text) for text in texts]
    if {*texts} == {"False", "True"}:
        return [text == "True" for text in texts]
    return list(texts)


def class_text(value: Any) -> str:
    """Return a class as the text that stands for it."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def most_probable(outputs: Array) -> Array:
    """Return the label of each row: of one output, whether it is above 1/2; NaN is refused."""
    unsound = np.flatnonzero(np.isnan(outputs).any(axis=1))
    if len(unsound):
        raise ValueError(
            f"X: the network's outputs for row {unsound[0]} are {outputs[unsound[0]].tolist()}, no "
            "class; expected inputs nearer to those of the training"
        )
    if outputs.shape[1] == 1:
        return np.asarray(outputs[:, 0] > 0.5, dtype=np.int64)
    return np.asarray(outputs.argmax(axis=1))


def _refuse(table: Table, column: Column, rows: Array, expected: str) -> None:
    if len(rows):
        named = f", column {column.name!r}" if column.name else ""
        problems = []
        for row in rows[:MOST_PROBLEMS].tolist():
            missing = column.missing is not None and column.missing[row]
            cell = "a missing value" if missing else quoted(column.take([row]).texts()[0])
            problems.append(f"{table.where(row)}{named}: {cell}")
        if len(rows) == 1:
            raise TableError(f"{table.source}: {problems[0]}; {expected}")
        raise TableError(f"{table.source}: {len(rows):,} cells: {expected}", problems, len(rows))


def _numbers(column: Column, rule: NumberRule, table: Table) -> Array:
    """Return a column as finite float64."""
    if column.values.dtype.kind == "M":
        raise TableError(f"{table.source}: column {column.name!r} has dates, expected numbers")
    if column.is_text:
        values = rule.numbers(column.values.tolist())
    else:
        values = column.values.astype(np.float64)
        if column.values.dtype.kind in "iu" and not check._is_exact(values, column.values):
            raise TableError(
                f"{table.source}: {column.name or 'the target'} holds integers that float64 "
                "cannot represent"
            )
    missing = ~np.isfinite(values)
    if column.missing is not None:
        missing |= column.missing
    _refuse(table, column, np.flatnonzero(missing), "expected a finite number")
    return values


# --- Targets of training data --------------------------------------------------------------------


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
    table: Table, names: Sequence[str], task: str = "auto", *, are_labels: bool = False
) -> TargetReading:
    """Return the target of a table to train on.

    Parameters
    ----------
    table : Table
        Without names, all its columns are the target.
    names : sequence of str
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
    for name in names:
        if name not in table:
            raise TableError(
                f"target: {table.source} has no column {name!r}, only {some(table.names)}"
            )
    if len({*names}) < len(names):
        raise TableError(f"target: expected different columns, got {some(names)}")
    columns = [table[name] for name in names] if names else table.columns
    if len(columns) == 1:
        return _read_one(table, columns[0], tuple(names), task, are_labels)
    if task == "classification":
        raise TableError(
            f"{table.source}: {len(columns)} targets; classification expects one with a class "
            "for each row"
        )
    read, errors = [], []
    for column in columns:
        try:
            read.append(_read_one(table, column, (column.name,), "regression"))
        except TableError as error:
            errors.append(error)
    if errors:
        raise TableError.joined(table.source, errors)
    rows = read[0].rows
    for one in read[1:]:
        rows = np.intersect1d(rows, one.rows)
    y = np.hstack([one.y[np.searchsorted(one.rows, rows)] for one in read])
    target = Target(names, rules=[one.target.rules[0] for one in read])
    notes = tuple(note for one in read for note in one.notes)
    return TargetReading(target, y, rows, f"{len(columns)} numbers for each row", notes)


def _whose(table: Table, column: Column) -> str:
    return f"{table.source}: the target {column.name!r}" if column.name else (
        f"{table.source}: the target"
    )  # fmt: skip


def _read_one(
    table: Table, column: Column, names: tuple[str, ...], task: str, are_labels: bool = False
) -> TargetReading:
    if column.is_text:
        return _read_texts(table, column, names, task, are_labels)
    whose = _whose(table, column)
    if column.values.dtype.kind == "M":
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
    numbers = _numbers(column.take(rows), PLAIN, table.take(rows))
    _refuse_large(table, column, rows, numbers)
    return TargetReading(Target(names, rules=[PLAIN]), numbers[:, np.newaxis], rows, reason, notes)


def _refuse_large(table: Table, column: Column, rows: Array, y: Array) -> None:
    large = rows[np.flatnonzero(np.abs(y.ravel()) > _LARGEST)]
    _refuse(table, column, large, "expected a number whose square float64 can hold")


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
    table: Table, column: Column, names: tuple[str, ...], task: str, are_labels: bool
) -> TargetReading:
    """Return a target of texts: numbers if most of them are, else classes, as they are."""
    codes, texts = column.factorize()
    counts = np.bincount(codes, minlength=len(texts))
    given = [i for i, text in enumerate(texts) if text not in _NO_VALUE]
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
            hint = "" if task == "regression" else " (--task classification takes each for a class)"
            what = f"{total - stray:,} cells are numbers, {stray:,} {_is(stray)} not{hint}"
            raise TableError(f"{whose}: {what}", cells, len(rows))
        absent = np.isin(codes, [i for i, text in enumerate(texts) if text in _NO_VALUE])
        rows, notes = _present(table, column, absent)
        values = np.full(len(texts), np.nan)
        values[given] = reading.values
        guessed, reason, said = _guess(
            column.name, _whose(table, column), values[codes[rows]], task, len(given), are_labels,
            reading.rule,
        )  # fmt: skip
        if guessed == "regression":
            target = Target(names, rules=[reading.rule])
            shares = possible_shares([texts[i] for i in given], reading.rule)
            if shares and task == "auto":
                where = np.flatnonzero(np.isin(codes, [texts.index(text) for text in shares]))
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
        named = [text for text in found if text not in _NO_VALUE]
        if dates.find_dates(named).form:
            raise TableError(f"{whose} has dates like {named[0]!r}; expected numbers or classes")
        if len(found) > MOST_CLASSES:
            raise TableError(
                f"{whose} is text with {len(found):,} distinct values; is it the right column? "
                "--task classification takes each for a class"
            )
        reason = f"the targets are text with {_count(len(found))}"
    odd = [text for text in found if text in _NO_VALUE]
    if odd:
        what = f"{', '.join(map(quoted, odd))} {_is(len(odd))} taken for a class, as the others"
        notes = (*notes, f"target {column.name!r}: {what}")
    value = dict(zip(found, classes_of(found), strict=True))
    values = np.array([value[text] for text in cells.tolist()], object)
    found = sorted(found, key=value.__getitem__)
    classes = [value[text] for text in found]
    return _as_classes(whose, names, values, classes, rows, reason, notes, found)


def _is_integer(text: str) -> bool:
    try:
        return str(int(text)) == text and abs(int(text)) < 2**63
    except ValueError:
        return False


def _is_float(text: str) -> bool:
    try:
        return repr(float(text)) == text and float(text) - float(text) == 0
    except ValueError:
        return False


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
