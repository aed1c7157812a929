"""Table and Column: columns of numbers, booleans, dates or texts; errors that list cells."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn.tables.dates import date_texts
from fcnn.tables.numbers import PLAIN, NumberRule
from fcnn.tables.rectangle import Texts

Array = NDArray[Any]

# Texts that stand for a cell without a value: those that pandas takes for it.
_WORDS = "NA N/A n/a <NA> NaN nan -NaN -nan NULL null None #N/A #NA"
_NOT_NUMBERS = "-1.#IND 1.#IND -1.#QNAN 1.#QNAN"
MISSING = frozenset(["", "#N/A N/A", *_WORDS.split(), *_NOT_NUMBERS.split()])

MOST_PROBLEMS = 10


class TableError(ValueError):
    """What is wrong with a table: a heading, and up to ten problems, each by line and cell.

    Attributes
    ----------
    heading : str
    problems : tuple of str
    rest : Table or None
        What could be read nevertheless, in which there may be further problems.
    """

    def __init__(
        self, heading: str, problems: Sequence[str] = (), count: int | None = None,
        rest: Table | None = None,
    ) -> None:  # fmt: skip
        shown = list(problems[:MOST_PROBLEMS])
        left = (len(problems) if count is None else count) - len(shown)
        if left > 0:
            shown.append(f"... and {left:,} more")
        super().__init__("\n  ".join([heading, *shown]))
        self.heading = heading
        self.problems = tuple(shown)
        self.rest = rest

    @classmethod
    def joined(cls, source: str, errors: Sequence[TableError]) -> TableError:
        """Return one error that says what several do, with ten problems of them at most."""
        if len(errors) == 1:
            return errors[0]
        most = max(MOST_PROBLEMS // len(errors), 1)
        lines = []
        for error in errors[:MOST_PROBLEMS]:
            lines.append(error.heading.removeprefix(f"{source}: ").removeprefix(f"{source}, "))
            lines += [f"  {problem}" for problem in error.problems[:most]]
            if len(error.problems) > most and not error.problems[most].startswith("..."):
                lines.append("  ...")
        told = cls(f"{source}: {len(errors):,} kinds of problems")
        told.problems = tuple(lines)
        told.args = ("\n  ".join([told.heading, *lines]),)
        return told


class Column:
    """A column: its name, its values, and which of them are missing.

    Attributes
    ----------
    name : str
        Empty if it has none.
    values : numpy.ndarray, shape (rows,)
        Numbers of any integer or float type, booleans, datetime64[us] (UTC), or objects that are
        all str, without blanks around them. These may come as `Texts`, an array of which is made
        when it is asked for.
    missing : numpy.ndarray of bool, shape (rows,), or None
        Where there is no value; None if there is one everywhere. Of texts only what was given as
        missing (None, NaN): whether "NA" is a value depends on the column.
    is_mixed : bool
        Some of the texts were numbers, which are written with a decimal point.
    precision : numpy.dtype
        The type that floats came in: 0.1 of float32 is "0.1".
    is_declared : bool
        Its type says that it is one of categories, whatever its values look like.
    """

    __slots__ = (
        "_factors", "_read", "_rows", "_values", "is_declared", "is_mixed", "missing", "name",
        "precision",
    )  # fmt: skip

    def __init__(
        self, name: str, values: Array | Texts, missing: Array | None = None,
        is_mixed: bool = False, precision: np.dtype[Any] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.missing = missing if missing is not None and missing.any() else None
        self.is_mixed = is_mixed
        self.is_declared = False
        self._values = values
        self._rows: Array | None = None  # those of _values, until they are asked for
        self._read: dict[Hashable, Array] = {}
        if isinstance(values, Texts) and values.numbers is not None:
            self._read[PLAIN] = values.numbers
        self.precision = precision or self.dtype
        self._factors: tuple[NDArray[np.intp], list[str]] | None = None

    def __len__(self) -> int:
        return len(self._values if self._rows is None else self._rows)

    @property
    def values(self) -> Array:  # noqa: D102
        if isinstance(self._values, Texts):
            texts = np.empty(len(self), object)
            texts[:] = self.texts_at(np.arange(len(self)))
            self._values, self._rows = texts, None
        elif self._rows is not None:
            self._values, self._rows = self._values[self._rows], None
        return self._values

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of its values."""
        return np.dtype(object) if isinstance(self._values, Texts) else self._values.dtype

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.dtype.kind == "O"

    @property
    def kind(self) -> str:
        """What its values are, for messages."""
        return {"b": "booleans", "M": "dates", "O": "texts"}.get(self.dtype.kind, "numbers")

    def take(self, rows: Any) -> Column:
        """Return some of its rows."""
        rows = np.arange(len(self))[rows]
        missing = None if self.missing is None else self.missing[rows]
        taken = Column(self.name, self._values, missing, self.is_mixed, self.precision)
        # To take texts takes long, and of numbers they are hardly asked for.
        taken.is_declared = self.is_declared
        taken._rows = rows if self._rows is None else self._rows[rows]
        taken._read = {way: numbers[rows] for way, numbers in self._read.items()}
        if self._factors is not None:
            codes, texts = self._factors
            taken._factors = _in_order(codes[rows], texts)
        return taken

    def read(self, way: Hashable, numbers: Callable[[], Array]) -> Array:
        """Return what was made of its texts in some way; made once, of rows taken, too."""
        if way not in self._read:
            self._read[way] = numbers()
        return self._read[way]

    @property
    def plain(self) -> Array:
        """Texts as float64, NaN where one is no plain number."""
        return self.numbers(PLAIN)

    def numbers(self, rule: NumberRule) -> Array:
        """Return texts as float64, NaN where one is no number by a rule."""
        return self.read(rule, lambda: rule.numbers(self.values.tolist()))

    def texts_at(self, rows: Array) -> list[str]:
        """Return the texts of some rows, without taking all."""
        rows = rows if self._rows is None else self._rows[rows]
        found = self._values.at(rows) if isinstance(self._values, Texts) else self._values[rows]
        return [*found]

    def is_empty(self) -> Array:
        """Return where there is nothing at all, not even a text that stands for a missing value."""
        empty = np.zeros(len(self), bool) if self.missing is None else self.missing.copy()
        if self.is_text:
            # A number is no empty text.
            rows = (
                np.flatnonzero(np.isnan(self.plain))
                if PLAIN in self._read
                else np.arange(len(self))
            )
            empty[rows] |= np.array([text == "" for text in self.texts_at(rows)], bool)
        return empty

    def is_missing(self) -> Array:
        """Return where there is no value; of texts also where one stands for none."""
        missing = np.zeros(len(self), bool) if self.missing is None else self.missing
        if self.is_text:
            return missing | np.array([text in MISSING for text in self.values.tolist()], bool)
        return missing

    def texts(self) -> Array:
        """Return its values as texts: 3, 3.0 and "3" are all "3"; a missing one is ""."""
        if self.is_text:
            texts = self.values
        elif self.values.dtype.kind == "M":
            texts = np.array([str(v) for v in self.values], object)
        elif self.precision.kind == "f" and self.precision.itemsize < 8:
            values = self.values.astype(self.precision)
            texts = np.array([number_text(float(str(v))) for v in values], object)
        else:
            texts = np.array([number_text(v) for v in self.values.tolist()], object)
        if self.missing is not None and not self.is_text:
            texts[self.missing] = ""
        return texts

    def written(self) -> Array:
        """Return `texts` as people write them: dates without a time where none has one."""
        if self.dtype.kind != "M":
            return self.texts()
        texts = np.array(date_texts(self.values), object)
        if self.missing is not None:
            texts[self.missing] = ""
        return texts

    def factorize(self) -> tuple[NDArray[np.intp], list[str]]:
        """Return the number of each row's text, and the texts in the order of appearance."""
        if self._factors is None:
            texts = self.texts().tolist()
            distinct = list(dict.fromkeys(texts))
            index = {text: k for k, text in enumerate(distinct)}
            codes = np.fromiter(map(index.__getitem__, texts), np.intp, len(texts))
            self._factors = codes, distinct
        return self._factors


def _in_order(codes: NDArray[np.intp], texts: list[str]) -> tuple[NDArray[np.intp], list[str]]:
    """Return the codes of some rows, and their texts alone, in the order of appearance."""
    first = np.full(len(texts), len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    renumbered = np.empty(len(texts), np.intp)
    renumbered[order] = np.arange(len(order))
    return renumbered[codes], [texts[k] for k in order.tolist()]


def number_text(value: bool | float) -> str:
    """Return a number as the text of a category: whole ones as integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return str(value)


class Table:
    """Columns of the same length.

    Attributes
    ----------
    columns : list of Column
    matrix : numpy.ndarray, shape (rows, columns), or None
        The numbers themselves where the data were an array of numbers.
    rows : int
    source : str
        The file, or the argument that the data came as, for messages.
    is_named : bool
        False if columns are known by their position only.
    is_single : bool
        True if the data were one row without a dimension of rows.
    notes : list of str
        What reading left out or decided.
    decimal : str
        The decimal mark that the source's form speaks for, if any: "," where ";" separates cells.
    where_line : callable or None
        From the number of a row to its line of the file.
    renamed : dict from str to str
        What the file calls columns whose name another one had before them.
    """

    def __init__(
        self,
        columns: Iterable[Column],
        source: str = "X",
        *,
        matrix: Array | None = None,
        rows: int | None = None,
        is_named: bool = True,
        is_single: bool = False,
        notes: Iterable[str] = (),
        decimal: str = "",
        line: Callable[[int], int] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self._columns = list(columns)
        self.matrix = matrix
        if matrix is not None:
            rows = len(matrix)
        self.rows = len(self._columns[0]) if self._columns else rows or 0
        self.source = source
        self.is_named = is_named
        self.is_single = is_single
        self.notes = list(notes)
        self.decimal = decimal
        self.where_line = line
        self.renamed = dict(renamed or {})

    @property
    def columns(self) -> list[Column]:
        """The columns; of an array they are made when they are asked for."""
        if self.matrix is not None and not self._columns:
            numbers = (
                self.matrix.astype(np.float64) if self.matrix.dtype.kind == "f" else self.matrix
            )
            self._columns = [
                Column(
                    "", values, np.isnan(values) if values.dtype.kind == "f" else None,
                    precision=self.matrix.dtype,
                )
                for values in numbers.T
            ]  # fmt: skip
        return self._columns

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        found = [column for column in self.columns if column.name == name]
        if not found:
            raise TableError(f"{self.source}: has no column {name!r}, only {some(self.names)}")
        if len(found) > 1:
            raise TableError(f"{self.source}: {len(found)} columns are named {name!r}")
        return found[0]

    def __repr__(self) -> str:
        return f"Table({self.source!r}: {self.rows:,} rows, {some(self.names)})"

    def where(self, row: int) -> str:
        """Return how messages name a row: by its line of the file, or by its number from 0."""
        return f"row {row}" if self.where_line is None else f"line {self.where_line(row)}"

    def take(self, rows: Any) -> Table:
        """Return some of the rows."""
        numbers = np.arange(self.rows)[rows]
        line, before = self.where_line, self.where
        taken = Table(
            [] if self.matrix is not None else [column.take(rows) for column in self.columns],
            self.source, matrix=None if self.matrix is None else self.matrix[rows],
            rows=len(numbers), is_named=self.is_named, notes=self.notes, decimal=self.decimal,
            line=None if line is None else lambda row: line(int(numbers[row])),
            renamed=self.renamed,
        )  # fmt: skip
        if line is None:
            taken.where = lambda row: before(int(numbers[row]))  # type: ignore[method-assign]
        return taken


def as_names(argument: str, names: Any) -> tuple[str, ...]:
    """Return names of columns; one alone may come as it is."""
    try:
        given = (names,) if isinstance(names, str) else tuple(names)
    except TypeError:
        given = (names,)
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{argument}: expected names of columns, got {name!r}")
    return given


def some(names: Sequence[str], most: int = 20) -> str:
    """Return names for a message, not too many of them."""
    shown = ", ".join(name or "(unnamed)" for name in names[:most])
    return shown + (f", ... ({len(names):,} in all)" if len(names) > most else "")


def quoted(cell: object, most: int = 40) -> str:
    """Return a cell for a message, shortened."""
    text = str(cell)
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def places(column: Column, texts: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Return where each text of a column stands among known ones, -1 if it is none of them.

    A column of numbers is compared as such, so that 501 is "00501" and 1.0 "1.0", in the precision
    that it came in: the known 0.30000000000000004 is 0.3 of float32. None if several of the known
    ones are the same number.
    """
    if column.dtype.kind not in "iuf":
        index = {text: k for k, text in enumerate(known)}
        return [index.get(text, -1) for text in texts]
    rounded = column.precision if column.precision.kind == "f" else None
    numbers = [_number(text, rounded) for text in known]
    index_of = {number: k for k, number in enumerate(numbers)}
    index_of.pop(None, None)
    if len(index_of) < len(numbers) - numbers.count(None):
        return None
    return [index_of.get(_number(text, rounded), -1) for text in texts]


def _number(text: str, dtype: np.dtype[Any] | None) -> float | None:
    """Return a text as a number, rounded to a type of floats where they are compared in it."""
    try:
        if dtype is None or dtype.itemsize >= 8:
            return int(text) if text.lstrip("+-").isdigit() else float(text)
        with np.errstate(over="ignore"):
            return float(dtype.type(text))
    except ValueError:
        return None


def described(value: Any, what: str, *kinds: type) -> list[Any]:
    """Return a list of a file's JSON, all of whose entries are of some types (bool is no int)."""
    if not isinstance(value, list) or not all(type(one) in kinds for one in value):
        raise ValueError(f"expected {what} as a list of {kinds[0].__name__}, found {value!r}")
    return value
