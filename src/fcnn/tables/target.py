"""Target: what a model predicts, classes or numbers, and how the network's outputs become them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.tables.conversion import as_cells, as_column, as_table, has_records
from fcnn.tables.kinds import NO_NUMBERS
from fcnn.tables.numbers import (
    MOST_SHARES,
    PLAIN,
    NumberRule,
    possible_shares,
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

NO_VALUE = MISSING | NO_NUMBERS


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
    bare : tuple of bool
        Whether some texts of training were numbers without the unit of the others, of each column.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        classes: Sequence[Any] = (),
        mean: Array | None = None,
        scale: Array | None = None,
        rules: Sequence[NumberRule] = (),
        class_texts: Sequence[str] = (),
        bare: Sequence[bool] = (),
    ) -> None:
        if isinstance(names, str):
            raise TypeError(f"names: expected a sequence of names, got {names!r}")
        self.names = tuple(names)
        if len({*self.names}) != len(self.names):
            raise ValueError(f"names: expected different ones, got {some(self.names)}")
        self.classes = tuple(v.item() if isinstance(v, np.generic) else v for v in classes)
        for value in self.classes:
            if not isinstance(value, (str, int, float)) or value != value:
                raise TypeError(f"classes: expected texts or numbers, got {value!r}")
        self.mean = None if mean is None else np.array(mean, np.float64)
        self.scale = None if scale is None else np.array(scale, np.float64)
        self.rules = tuple(rules)
        self.bare = tuple(bare) or (False,) * len(self.rules)
        if len(self.bare) != len(self.rules):
            raise ValueError(f"bare: expected one for each rule, got {self.bare!r}")
        self.class_texts = tuple(class_texts) or tuple(map(class_text, self.classes))
        if (mean is None) != (scale is None) or (self.classes and mean is not None):
            raise ValueError("expected a mean and a scale of numbers, or neither")
        if self.mean is not None and self.scale is not None:
            sound = np.isfinite(self.mean).all() and np.isfinite(self.scale).all()
            if not sound or self.mean.shape != self.scale.shape or not (self.scale > 0).all():
                raise ValueError("expected finite means and positive scales of numbers")
        if len(self.class_texts) != len(self.classes):
            raise ValueError(f"class_texts: expected one for each class, got {self.class_texts!r}")
        if not len({*self.class_texts}) == len({*self.classes}) == len(self.classes):
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
        varies = y.max(axis=0) > y.min(axis=0)
        if (varies & (deviation == 0)).any():
            raise ValueError("y: expected numbers whose squares float64 holds, got smaller ones")
        scale = np.where(varies, deviation, 1.0)
        return Target(self.names, (), mean, scale, self.rules, bare=self.bare)

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
        return np.array([text not in NO_VALUE for text in column.values.tolist()], bool)

    def encode_columns(self, given: tuple[list[Column], Table]) -> Array:
        """Return columns of a table as `encode` does."""
        columns, table = given
        if self.is_classes:
            codes, texts = columns[0].factorize()
            if columns[0].missing is not None:
                refuse_cells(
                    table, columns[0], np.flatnonzero(columns[0].missing), "expected a class"
                )
            found = places(columns[0], texts, self.class_texts)
            if found is None:
                raise TableError(
                    f"{table.source}: expected texts, got numbers, and of the classes "
                    f"{some(self.class_texts, 5)} several are the same number"
                )
            labels = np.array(found, np.int64)[codes]
            expected = f"expected one of the classes {some(self.class_texts, 10)}"
            refuse_cells(table, columns[0], np.flatnonzero(labels < 0), expected)
            return labels
        rules = self.rules or (PLAIN,) * len(columns)
        for j, column in enumerate(columns):
            self._refuse_shares(table, column, j)
        values = [
            finite_numbers(column, rule, table) for column, rule in zip(columns, rules, strict=True)
        ]
        return np.stack(values, axis=1)

    def _refuse_shares(self, table: Table, column: Column, j: int) -> None:
        """Refuse what may be shares, as 0.45, where training had percent, each with its sign."""
        rule = self.rules[j] if self.rules else PLAIN
        if rule.unit != "%" or self.bare[j]:
            return
        texts = column.values.tolist() if column.is_text else []
        shares = {*possible_shares(texts, rule)}
        rows = np.flatnonzero([text in shares for text in texts])
        refuse_cells(table, column, rows, "expected percent with their sign, as others have")
        if self.mean is None or any("%" in text for text in texts):
            return
        given = column.numbers(rule) if column.is_text else finite_numbers(column, rule, table)
        given = np.abs(given[given != 0])
        if abs(self.mean[j]) > 1 and len(given) and np.mean(given <= 1) >= MOST_SHARES:
            whose = f"the target {column.name!r}" if column.name else "the target"
            raise TableError(
                f"{table.source}: {whose} is in percent, of which training's mean is "
                f"{self.mean[j]:.6g}; expected percent, got numbers from 0 to 1"
            )

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
            **({"bare": list(self.bare)} if any(self.bare) else {}),
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
        texts = described(value.get("class_texts", []), "class_texts", str)
        bare = described(value.get("bare", []), "bare", bool)
        return cls(names, classes, mean, scale, rules, texts, bare)


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


def refuse_cells(table: Table, column: Column, rows: Array, expected: str) -> None:
    """Refuse the cells of some rows, if there are any, by row and column."""
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


def finite_numbers(column: Column, rule: NumberRule, table: Table) -> Array:
    """Return a column as finite float64."""
    if column.dtype.kind == "M":
        raise TableError(f"{table.source}: column {column.name!r} has dates, expected numbers")
    if column.is_text:
        values = rule.numbers(column.values.tolist())
    else:
        values = column.values.astype(np.float64)
        if column.dtype.kind in "iu" and not check._is_exact(values, column.values):
            raise TableError(
                f"{table.source}: {column.name or 'the target'} holds integers that float64 "
                "cannot represent"
            )
    missing = ~np.isfinite(values)
    if column.missing is not None:
        missing |= column.missing
    refuse_cells(table, column, np.flatnonzero(missing), "expected a finite number")
    return values


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
