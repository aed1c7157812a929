"""Data for the playground: toys, digits, and a table of one's own, which `fcnn.tables` reads."""

import csv
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import datasets
from fcnn.tables.columns import Report, numbers_of
from fcnn.tables.numbers import PLAIN, read_numbers
from fcnn.tables.reading import table_of, without_empty_rows
from fcnn.tables.table import MISSING, Column, Table

Array = NDArray[Any]

MOST_SAMPLES, MOST_CLASSES = 2000, 10

TOYS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "xor": datasets.make_xor, "circles": datasets.make_circles, "moons": datasets.make_moons,
    "spirals": datasets.make_spirals,
}  # fmt: skip


class Data(NamedTuple):
    """Samples as the page draws them.

    Attributes
    ----------
    X : numpy.ndarray, (s, n_0)
        The rows in their own units, less `centre`, over `span`.
    y : numpy.ndarray of int, (s,)
    classes, features : list of str
    centre, span : numpy.ndarray, (n_0,)
    notes : list of str
        How a table was read, where that is not plain.
    """

    X: Array
    y: Array
    classes: list[str]
    features: list[str]
    centre: Array
    span: Array
    notes: list[str]


def toy(name: str, samples: int, noise: float, seed: int) -> Data:
    """Return two classes of points, the farthest 1 from the middle."""
    # The arms of a spiral are closer to each other than the parts of the others.
    X, y = TOYS[name](samples, 0.2 * noise if name == "spirals" else noise, rng=seed)
    centre = (X.max(axis=0) + X.min(axis=0)) / 2
    span = np.full(2, np.abs(X - centre).max())
    return Data((X - centre) / span, y, ["0", "1"], ["x", "y"], centre, span, [])


def digits() -> Data:
    """Return the digits that come with fcnn, their pixels from 0 to 1."""
    X, y = datasets.load_digits()
    n = X.shape[1]
    names = [str(k) for k in range(10)], [f"pixel {j}" for j in range(n)]
    return Data(X / 16, y, *names, np.zeros(n), np.full(n, 16.0), [])


def read_file(data: bytes, source: str) -> str:
    """Return a file of any kind that holds a table of the page as CSV.

    Raises
    ------
    ValueError
        If it cannot be read, or is no such table.
    """
    table = _three_columns(data, source)
    _parted(table)
    lines = [[column.name for column in table.columns]]
    lines += map(list, zip(*(column.texts().tolist() for column in table.columns), strict=True))
    text = io.StringIO()
    csv.writer(text, delimiter=";" if table.decimal == "," else ",", lineterminator="\n").writerows(
        lines
    )
    return text.getvalue()


def read_csv(text: Any) -> Data:
    """Return the samples of a table: two columns of numbers, and a third of 2 to 10 classes.

    Cells are separated, and numbers written, in any way that `fcnn.tables.read_table` knows. The
    first line is a header unless one of its first two cells is a number.

    Raises
    ------
    ValueError, TypeError
        If it is not so; the message names lines and cells.
    """
    if not isinstance(text, str):
        raise TypeError(f"csv: expected text, got {type(text).__name__}")
    return _parted(_three_columns(text.encode(errors="surrogatepass"), "csv"))


def _three_columns(data: bytes, source: str) -> Table:
    table = table_of(data, source, header=False)
    if len(table.columns) == 3 and not _begins_with_numbers(table.columns[:2]):
        table = table_of(data, source)
    if len(table.columns) != 3:
        count = len(table.columns)
        raise ValueError(
            f"{source}: expected two columns of numbers and one of classes, got {count} "
            f"column{'s' * (count != 1)}; commas, semicolons, tabs or bars separate cells"
        )
    return without_empty_rows(table)


def _begins_with_numbers(columns: list[Column]) -> bool:
    """Whether the first row that is not empty has a number, and so is no header."""
    for cells in zip(*(column.texts().tolist() for column in columns), strict=True):
        if there := [cell for cell in cells if cell not in MISSING]:
            return any(read_numbers([cell]).share == 1 for cell in there)
    return True


def _parted(table: Table) -> Data:
    """Return the samples of a table of three columns, checked and scaled to -1 to 1."""
    report = Report(table)
    numbers = []
    for column in table.columns[:2]:
        values = _numbers(column, table, report)
        tall = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        report.refuse(tall, column, _named(column), "expected a number that float32 can hold")
        numbers.append(values)
    last = table.columns[2]
    nameless = np.flatnonzero([text in MISSING for text in last.texts().tolist()])
    report.refuse(nameless, last, _named(last), "expected a class")
    report.raise_problems()
    codes, names = last.factorize()
    if not 4 <= table.rows <= MOST_SAMPLES:
        raise ValueError(
            f"{table.source}: expected 4 to {MOST_SAMPLES} rows of data, got {table.rows}"
        )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"{table.source}: expected 2 to {MOST_CLASSES} classes in the last column, got "
            f"{len(names)}"
        )
    rows = np.column_stack(numbers)
    low, high = rows.min(axis=0), rows.max(axis=0)
    centre, span = (low + high) / 2, np.where(high > low, (high - low) / 2, 1)
    with np.errstate(all="ignore"):
        X = (rows - centre) / span
    for j in np.flatnonzero(~np.isfinite(X).all(axis=0)):
        raise ValueError(
            f"{table.source}: {_named(table.columns[j])}: expected numbers further apart, got "
            f"{low[j]} to {high[j]}"
        )
    classes = sorted(names)
    y = np.array([classes.index(name) for name in names])[codes]
    features = [column.name for column in table.columns[:2]]
    return Data(X, y, classes, features, centre, span, [*table.notes, *report.notes])


def _named(column: Column) -> str:
    return f"column {column.name!r}"


def _numbers(column: Column, table: Table, report: Report) -> Array:
    """Return a column as numbers, none of them missing; what is none is told to the report."""
    reading = None
    if column.is_text:
        decimal = table.decimal or report.decimal_mark(column)
        reading = read_numbers([t for t in column.values.tolist() if t not in MISSING], decimal)
        if reading.doubt:
            report.notes.append(f"{_named(column)}: {reading.doubt}")
    rule = reading.rule if reading else PLAIN
    values = numbers_of(column, rule, (), _named(column), report)
    report.refuse(np.flatnonzero(column.is_missing()), column, _named(column), "expected a number")
    return np.where(np.isnan(values), 0, values)
