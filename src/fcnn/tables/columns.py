"""How a column of each kind becomes numbers: fitted to data, applied to others, kept in files.

Each class has the fields of its JSON, `fit`, and `encode`, which returns float64 of shape
(s, width) and tells a `Report` what it could not read, filled or did not know.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcnn.tables import dates
from fcnn.tables.kinds import FALSE, NO_NUMBERS, TRUE, ColumnKind
from fcnn.tables.numbers import (
    MOST_SHARES,
    PLAIN,
    NumberRule,
    example,
    other_readings,
    possible_shares,
    read_numbers,
)
from fcnn.tables.table import MISSING, MOST_PROBLEMS, Column, Table, TableError, quoted

Array = NDArray[Any]

# A "missing" flag is worth a column from so many rows on, and from this share of them.
LEAST_FLAGGED = 5
LEAST_FLAGGED_SHARE = 0.01

# Numbers beyond training's, and so many deviations from its mean, are taken for the bound.
MOST_DEVIATIONS = 5.0


class Report:
    """What is told of a transformation: problems, by line and cell, notes and warnings.

    What is found out of the table, one `beside` it of the same table has found out, too.
    """

    def __init__(self, table: Table, beside: Report | None = None) -> None:
        self.table = table
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._problems: list[tuple[int, str]] = []
        self.count = 0
        self._marks: dict[int, set[str]] = {} if beside is None else beside._marks

    def decimal_mark(self, beside: Column) -> str:
        """Return the decimal mark that other columns have for certain, empty if in doubt."""
        if not self._marks:
            self._marks.update((id(c), _decimal_marks(c)) for c in self.table.columns)
        found = [marks for key, marks in self._marks.items() if key != id(beside)]
        marks = set().union(*found)
        return marks.pop() if len(marks) == 1 else ""

    def warn(self, text: str) -> None:
        """Note what is said aloud where nobody takes notes."""
        self.notes.append(text)
        self.warnings.append(text)

    def refuse(self, rows: Array, column: Column, named: str, expected: str) -> None:
        """Note cells that cannot be read."""
        self.count += len(rows)
        for row in rows[:MOST_PROBLEMS].tolist():
            self._problems.append(
                (row, f"{self.table.where(row)}, {named}: {shown(column, row)}; {expected}")
            )

    def refuse_column(self, problem: str) -> None:
        """Note a column that cannot be read at all."""
        self.count += 1
        self._problems.append((-1, problem))

    def raise_problems(self) -> None:
        """Raise what has been noted, in the order of the rows."""
        if not self.count:
            return
        problems = [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]
        if self.count == 1:
            raise TableError(f"{self.table.source}: {problems[0]}")
        what = f"{self.count:,} problems"
        raise TableError(f"{self.table.source}: {what}", problems, self.count)


def _decimal_marks(column: Column) -> set[str]:
    """Return the marks by which the first texts of a column are numbers, and otherwise none."""
    marks: set[str] = set()
    if not column.is_text:
        return marks
    first = column.texts_at(np.arange(min(len(column), 1000)))
    texts = [text for text in first if text not in MISSING]
    joined = "".join(texts)
    for mark, group in ((",", "."), (".", ",")):
        if mark in joined and not NumberRule(group, mark).reads_all(texts):
            marks |= {mark} if NumberRule(mark, group).reads_all(texts) else set()
    return marks


def shown(column: Column, row: int) -> str:
    """Return a cell for a message."""
    value = column.values[row]
    if column.is_text:
        return quoted(value) if value else "an empty cell"
    if column.missing is not None and column.missing[row]:
        return "a missing value"
    return str(column.take([row]).written()[0] if column.dtype.kind == "M" else value)


def numbers_of(
    column: Column, rule: NumberRule, stray: Sequence[str], named: str, report: Report
) -> Array:
    """Return a column as float64, NaN where a cell is missing."""
    if column.is_mixed and rule != PLAIN:
        report.refuse_column(
            f"{named}: has texts and numbers; expected one or the other, since texts are read like "
            f"{example(rule)}"
        )
        return np.zeros(len(column))
    if column.is_text:
        values = column.numbers(rule).copy()
        bad = _unreadable(column, values, stray)
        if len(bad):
            like = "a number" if rule == PLAIN else f"a number like {example(rule)}"
            report.refuse(bad, column, named, f"expected {like}")
        return values
    if column.dtype.kind == "M":
        report.refuse_column(f"{named}: expected numbers, got dates")
        return np.zeros(len(column))
    values = column.values.astype(np.float64)
    if np.isinf(values).any():
        report.refuse(np.flatnonzero(np.isinf(values)), column, named, "expected a finite number")
    if column.missing is not None:
        values[column.missing] = np.nan
    return values


def _unreadable(column: Column, values: Array, stray: Sequence[str]) -> Array:
    """Return the rows of texts that are neither numbers nor missing."""
    rows = np.flatnonzero(np.isnan(values))
    none = MISSING.union(stray)
    is_bad = [text not in none for text in column.texts_at(rows)]
    return rows[np.array(is_bad, bool)]


@dataclass(frozen=True)
class Encoder(abc.ABC):
    """What all columns have: their name, and what stands for a missing cell."""

    kind: ClassVar[str]
    name: str

    @property
    @abc.abstractmethod
    def outputs(self) -> list[str]:
        """A name for each number that the column becomes."""

    @property
    @abc.abstractmethod
    def is_quantity(self) -> Array:
        """Which of these are quantities, to be standardized, not indicators: bool (width,)."""

    @abc.abstractmethod
    def encode(self, column: Column, named: str, report: Report) -> Array:
        """Return a column as numbers, shape (s, width)."""

    @abc.abstractmethod
    def told(self, mean: Array, scale: Array) -> str:
        """Return what becomes of the column, as a text; mean and scale are those of its numbers."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields, without those that have their default."""
        value: dict[str, Any] = {"name": self.name, "kind": self.kind}
        for one in fields(self):
            content = getattr(self, one.name)
            if content != one.default:
                value[one.name] = content.to_json() if isinstance(content, NumberRule) else content
        return value


@dataclass(frozen=True)
class _Filled(Encoder):
    """A column whose missing cells take a number, and where there were enough of them a flag.

    `low` and `high` are bounds, for which numbers beyond them are taken: a network goes on linearly
    where it has learned nothing, so that of a mistyped length of 58.9 the answer is far off.
    """

    fill: float | None = None
    flag: bool = False
    low: float | None = None
    high: float | None = None

    def _shown(self, value: float) -> str:
        return f"{value:.6g}"

    def _told_bounds(self) -> list[str]:
        return [self._shown(bound) for bound in (self.low, self.high) if bound is not None]

    def _bounded(self, values: Array, named: str, report: Report) -> Array:
        """Return numbers within the bounds; warn of those beyond."""
        if self.low is None or self.high is None:
            return values
        beyond = np.flatnonzero((values < self.low) | (values > self.high))
        if not len(beyond):
            return values
        shown = ", ".join(map(self._shown, values[beyond[:3]]))
        report.warn(
            f"{named}: {len(beyond):,} of {len(values):,} far beyond the {self.kind}s of training "
            f"({shown}{', ...' * (len(beyond) > 3)}), taken for {' or '.join(self._told_bounds())}"
        )
        return np.clip(values, self.low, self.high)

    def _with_flag(
        self, values: Array, named: str, column: Column, report: Report, told: str
    ) -> tuple[Array, list[Array]]:
        missing = np.isnan(values)
        flags = [missing[:, np.newaxis].astype(np.float64)] if self.flag else []
        if missing.any():
            rows = np.flatnonzero(missing)
            if self.fill is None:
                report.refuse(rows, column, named, "expected a value: the model fills none in")
            else:
                values = np.where(missing, self.fill, values)
                report.notes.append(f"{named}: {len(rows):,} missing, filled with {told}")
        return values, flags

    def _told_missing(self, fill: str) -> str:
        if self.fill is None:
            return ""
        return f"; missing: {fill}{' and a flag' * self.flag}"

    def _flag_name(self) -> list[str]:
        return [f"{self.name} missing"] if self.flag else []


def _has_flag(missing: Array) -> bool:
    count = np.count_nonzero(missing)
    return bool(count >= max(LEAST_FLAGGED, LEAST_FLAGGED_SHARE * len(missing)))


@dataclass(frozen=True)
class NumberColumn(_Filled):
    """Numbers. A missing one takes the median of the training data.

    Attributes
    ----------
    name : str
    fill : float or None
        For a missing cell; None refuses it.
    flag : bool
        A second number says whether the cell was missing.
    rule : NumberRule
        How texts are read.
    stray : tuple of str
        Texts that count as missing.
    bare : bool
        Some texts of training were numbers without the unit of the others.
    low, high : float or None
        See `_Filled`.
    """

    kind: ClassVar[str] = "number"
    rule: NumberRule = PLAIN
    stray: tuple[str, ...] = ()
    bare: bool = False

    @classmethod
    def fit(cls, kind: ColumnKind, column: Column, named: str, report: Report) -> NumberColumn:
        """Return the column's encoder; `column` has the training rows."""
        values = numbers_of(column, kind.rule, kind.stray, named, report)
        missing = np.isnan(values)
        fill = float(np.median(values[~missing])) if not missing.all() else 0.0
        unit = kind.rule.unit
        texts = column.values[~missing].tolist() if unit and column.is_text else []
        bare = not all(unit in text for text in texts)
        bounds = _bounds(values[~missing])
        return cls(kind.name, fill, _has_flag(missing), *bounds, kind.rule, kind.stray, bare)

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        return [self.name, *self._flag_name()]

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        return np.array([True, False][: 1 + self.flag])

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        as_written = "" if self.rule == PLAIN else f", written like {example(self.rule)}"
        fill = "" if self.fill is None else f"{self.fill:.6g}"
        bounds = "" if self.low is None else f", v from {' to '.join(self._told_bounds())}"
        how = f"(v - {mean[0]:.6g}) / {scale[0]:.6g}{bounds}"
        return f"{how}{as_written}{self._told_missing(fill)}"

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        stray = (*NO_NUMBERS, *self.stray)
        values = numbers_of(column, self.rule, stray, named, report)
        self._doubt(column, values, stray, named, report)
        if report.count:
            values = np.nan_to_num(values)
        told = "" if self.fill is None else f"{self.fill:.6g}"
        values, flags = self._with_flag(values, named, column, report, told)
        values = self._bounded(values, named, report)
        return np.hstack([values[:, np.newaxis], *flags])

    def _doubt(
        self, column: Column, values: Array, stray: Sequence[str], named: str, report: Report
    ) -> None:
        """Refuse numbers that seem to be written otherwise than in training; warn of a doubt."""
        mark = report.decimal_mark(column) if column.is_text else ""
        if self.rule == PLAIN and (mark or report.table.decimal) != ",":
            return  # plain numbers are read as such, however else they could be
        present = ~np.isnan(values)
        given = values[present]
        texts = column.values[present].tolist() if column.is_text else []
        if not len(given) or (column.is_text and len(_unreadable(column, values, stray))):
            return
        unit = "" if self.bare else self.rule.unit
        if unit and (shares := possible_shares(texts, self.rule)):
            rows = np.flatnonzero(present)[[text in shares for text in texts]]
            report.refuse(rows, column, named, "expected percent with their sign, as others have")
            return
        if unit and (texts or unit == "%") and not any(unit in text for text in texts):
            told = (
                f"{named}: no cell has the unit {unit} that training's have; "
                f"{texts[0] if texts else f'{given[0]:.15g}'} is taken for {given[0]:.15g} {unit}"
            )
            # A few larger ones, or some below 0, do not make shares percent.
            are_shares = np.abs(given[given != 0]) <= 1
            is_share = unit == "%" and len(are_shares) and are_shares.mean() >= MOST_SHARES
            if is_share and self.fill is not None and abs(self.fill) > 1:
                report.refuse_column(
                    f"{told}, where training's median is {self.fill:.6g}; expected percent, got "
                    "numbers from 0 to 1"
                )
                return
            report.warn(told)
        if not texts:
            return
        other = other_readings(texts, self.rule)
        if not other:
            return
        reading = read_numbers(texts, mark or report.table.decimal)
        differs = reading.values != given
        if reading.share < 1 or reading.rule not in other or not differs.any():
            return
        at = int(np.argmax(differs))
        told = (
            f"{named}: {quoted(texts[at])} is {given[at]:.15g} written like training's "
            f"{example(self.rule)}, but {reading.values[at]:.15g} written like "
            f"{example(reading.rule)}"
        )
        if mark == reading.rule.decimal:
            report.refuse_column(f"{told}, as other columns are; expected training's way")
        elif reading.doubt:
            report.notes.append(f"{told}; taken for {given[at]:.15g}")
        else:
            report.warn(f"{told}; taken for {given[at]:.15g}")


def _bounds(values: Array) -> tuple[float | None, float | None]:
    """Return the bounds of numbers like these; None where there is nothing to go by."""
    if not len(values):
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, reach = values.mean(), MOST_DEVIATIONS * values.std()
        low, high = min(values.min(), mean - reach), max(values.max(), mean + reach)
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (None, None)


@dataclass(frozen=True)
class BooleanColumn(_Filled):
    """True and false as 1 and 0. A missing cell takes what is more frequent."""

    kind: ClassVar[str] = "boolean"

    @classmethod
    def fit(cls, kind: ColumnKind, column: Column, named: str, report: Report) -> BooleanColumn:
        """Return the column's encoder; `column` has the training rows."""
        values = truths_of(column, named, report)
        missing = np.isnan(values)
        fill = float(np.mean(values[~missing]) >= 0.5) if not missing.all() else 0.0
        return cls(kind.name, fill, _has_flag(missing))

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        return [self.name, *self._flag_name()]

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        return np.zeros(1 + self.flag, bool)

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        return f"1 or 0{self._told_missing('true' if self.fill else 'false')}"

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        values = truths_of(column, named, report)
        if report.count:
            values = np.nan_to_num(values)
        told = "true" if self.fill else "false"
        values, flags = self._with_flag(values, named, column, report, told)
        return np.hstack([values[:, np.newaxis], *flags])


def truths_of(column: Column, named: str, report: Report) -> Array:
    """Return a column as 1 and 0, NaN where a cell is missing."""
    if column.is_text:
        codes, texts = column.factorize()
        known = [
            np.nan if text in MISSING
            else 1.0 if (low := text.lower()) in TRUE or low == "1"
            else 0.0 if low in FALSE or low == "0" else -1.0
            for text in texts
        ]  # fmt: skip
        values = np.array(known, np.float64)[codes]
    elif column.dtype.kind == "M":
        report.refuse_column(f"{named}: expected true or false, got dates")
        return np.zeros(len(column))
    else:
        values = column.values.astype(np.float64)
        if column.missing is not None:
            values[column.missing] = np.nan
    bad = np.flatnonzero((values != 0) & (values != 1) & ~np.isnan(values))
    if len(bad):
        report.refuse(bad, column, named, "expected true or false")
    return values


@dataclass(frozen=True)
class DateColumn(_Filled):
    """Dates and times, taken apart: see `fcnn.tables.dates.PERIODS`.

    Attributes
    ----------
    name : str
    fill : float or None
        Seconds since 1970 for a missing cell: the median of the training data.
    flag : bool
        A last number says whether the cell was missing.
    form : str
        How texts are read: a key of `fcnn.tables.dates.FORMATS`.
    parts : tuple of str
        Keys of `fcnn.tables.dates.PERIODS`.
    low, high : float or None
        Of the seconds that become days: see `_Filled`.
    """

    kind: ClassVar[str] = "date"
    form: str = ""
    parts: tuple[str, ...] = ("days",)

    @classmethod
    def fit(cls, kind: ColumnKind, column: Column, named: str, report: Report) -> DateColumn:
        """Return the column's encoder; `column` has the training rows."""
        seconds = seconds_of(column, kind.form, named, report)
        missing = np.isnan(seconds)
        present = seconds[~missing]
        return cls(
            kind.name, float(np.median(present)) if len(present) else 0.0, _has_flag(missing),
            *_bounds(present), kind.form, dates.useful_parts(present, kind.form),
        )  # fmt: skip

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        return [f"{self.name} {part}" for part in dates.part_names(self.parts)] + self._flag_name()

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        cyclic = [bool(dates.PERIODS[p]) for p in self.parts for _ in dates.part_names([p])]
        return np.array([not c for c in cyclic] + [False] * self.flag)

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        fill = "" if self.fill is None else str(np.datetime64(int(self.fill), "s"))
        return f"{', '.join(dates.part_names(self.parts))}{self._told_missing(fill)}"

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        seconds = seconds_of(column, self.form, named, report)
        if report.count:
            seconds = np.nan_to_num(seconds)
        told = "" if self.fill is None else str(np.datetime64(int(self.fill), "s"))
        seconds, flags = self._with_flag(seconds, named, column, report, told)
        parts = dates.take_apart(seconds, self.parts)
        if "days" in self.parts:
            j = dates.part_names(self.parts).index("days")
            parts[:, j] = self._bounded(seconds, named, report) / dates.DAY
        return np.hstack([parts, *flags])

    def _shown(self, value: float) -> str:
        return str(np.datetime64(int(value), "s"))


def seconds_of(column: Column, form: str, named: str, report: Report) -> Array:
    """Return a column as seconds since 1970, NaN where a cell is missing."""
    if column.is_text:
        form = form or "ymd"
        values = column.read(form, lambda: dates.read_dates(column.values.tolist(), form))
        bad = _unreadable(column, values, ())
        if len(bad):
            report.refuse(bad, column, named, f"expected a date of the form {form!r}")
        return values
    if column.dtype.kind != "M":
        report.refuse_column(f"{named}: expected dates, got {column.kind}")
        return np.zeros(len(column))
    if form == "time":
        first = shown(column, int(np.argmin(column.is_missing())))
        if not column.is_missing().all():
            report.refuse_column(f"{named}: expected times of day, got dates like {first}")
        return np.full(len(column), np.nan)
    seconds = column.values.astype("datetime64[us]").astype(np.int64) / 1e6
    if column.missing is not None:
        seconds[column.missing] = np.nan
    return np.asarray(seconds)


@dataclass(frozen=True)
class IgnoredColumn(Encoder):
    """A column of data without names that nothing becomes of: it keeps the others' positions."""

    kind: ClassVar[str] = "ignored"

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        return []

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        return np.zeros(0, bool)

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        return "nothing"

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        return np.zeros((len(column), 0))
