"""Texts whose rows are all alike, column by column: a small part of the time of reading by rows.

Plain numbers are converted while their texts are in the cache, and of their texts only the places
are kept: few are ever asked for, and a million of them are slow to make and to look at again.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fcnn.tables.numbers import PLAIN

Array = NDArray[Any]

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_BLANKS = " \t\v\f\x1c\x1d\x1e\x1f"  # of ASCII, those that str.strip takes away and are in cells
_BLOCK = 10_000  # cells that become parts of columns at a time: they stay in the cache


def lines_of(text: str) -> Iterator[str]:
    """Yield lines with their ends; unlike io.StringIO, which takes four bytes each, no copy."""
    return (match[0] for match in _LINE.finditer(text))


def reader_of(lines: Iterable[str], separator: str, strict: bool = True) -> Any:
    """Return csv's reader; strict: an unclosed quote is an error, not a cell up to the end."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=strict)


class _Places:
    """Where the cells of a text stand: row i from begins[i] to ends[i], marks between its cells.

    Attributes
    ----------
    text : str or bytes
        In whose letters the places are counted; bytes if they are not all ASCII.
    has_blanks : bool
        There are some to be taken away around cells.
    """

    def __init__(self, body: str, data: bytes, begins: Array, ends: Array, marks: Array) -> None:
        self.text = body if body.isascii() else data
        self.has_blanks = not body.isascii() or any(blank in body for blank in _BLANKS)
        self.begins, self.ends, self.marks = begins, ends, marks

    def lines(self, begin: int, end: int) -> str:
        """Return the text of some rows."""
        return _decoded(self.text[self.begins[begin] : self.ends[end - 1]])

    def cells(self, rows: Any, j: int) -> list[str]:
        """Return the cells of some rows in column j."""
        n = self.marks.shape[1]
        begins = self.marks[rows, j - 1] + 1 if j else self.begins[rows]
        ends = self.marks[rows, j] if j < n else self.ends[rows]
        text = self.text
        cells: list[Any] = [text[b:e] for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]
        texts = [*map(_decoded, cells)] if isinstance(text, bytes) else cells
        return [one.strip() for one in texts] if self.has_blanks else texts


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(errors="surrogatepass")


class Texts(Sequence[str]):
    """The texts of a column, some of which are made when they are asked for.

    Attributes
    ----------
    numbers : numpy.ndarray of float64, or None
        What they are as plain numbers, NaN where one is none; None if most are none.
    """

    def __init__(
        self, texts: list[str] | None, numbers: Array | None, places: _Places | None, first: int,
        j: int,
    ) -> None:  # fmt: skip
        self.numbers = numbers
        self._texts = texts
        self._places = places
        self._first = first
        self._j = j

    def at(self, rows: Array) -> list[str]:
        """Return the texts of some rows."""
        if self._texts is not None:
            return [self._texts[row] for row in rows.tolist()]
        assert self._places is not None
        return self._places.cells(rows + self._first, self._j)

    def __len__(self) -> int:
        some: Any = self.numbers if self._texts is None else self._texts
        return len(some)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        rows = np.arange(len(self))[at]
        return self.at(rows) if isinstance(at, slice) else self.at(np.array([rows]))[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.at(np.arange(len(self))))


class _Growing:
    """A column that is read a block of rows at a time."""

    def __init__(self, places: _Places | None, first: int, j: int) -> None:
        self._places, self._first, self._j = places, first, j
        self._texts: list[str] = []
        self._numbers: list[Array] | None = []

    def add(self, cells: list[str]) -> None:
        """Take some rows more."""
        if self._numbers is not None:
            numbers = PLAIN.numbers(cells)
            if not self._numbers and 2 * np.count_nonzero(np.isnan(numbers)) > len(cells):
                self._numbers = None
            else:
                self._numbers.append(numbers)
        if self._numbers is None or self._places is None:
            self._texts += cells

    def texts(self) -> Texts:
        """Return what was taken."""
        is_kept = self._numbers is None or self._places is None
        numbers = np.concatenate(self._numbers) if self._numbers else None
        return Texts(self._texts if is_kept else None, numbers, self._places, self._first, self._j)


def rectangle(
    text: str, skipped: int, separator: str, header: bool
) -> tuple[list[str], list[Texts]] | None:
    """Return the cells of the header and the columns below it; None where a row is not as others.

    Rows that are comments, or empty at the end, are not as others; so are those with an end of a
    line within a cell. Without a header there are no names.
    """
    body = text.rstrip("\r\n")
    for line in itertools.islice(lines_of(text), skipped):
        body = body[len(line) :]
    first = int(header)
    found = _split(body, separator, first) if '"' not in body else _parsed(body, separator, first)
    if found is None:
        return None
    names, columns = found
    heads = names if header else [column[0] for column in columns]
    if not any(heads) or heads[0].startswith("#"):
        return None
    if "#" in body and any(cell.startswith("#") for cell in columns[0]):
        return None
    return found if any(column[-1] for column in columns) else None


def _split(body: str, separator: str, first: int) -> tuple[list[str], list[Texts]] | None:
    """Return the names and columns of lines without quotes; None unless they have as many cells."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    if not separator.isascii() or separator == "\r":
        return None
    encoded = body.encode(errors="surrogatepass")
    data = np.frombuffer(encoded, np.uint8)
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    begins = np.append(0, ends[:-1] + 1)
    marks: Array = np.flatnonzero(data == ord(separator))
    lengths = ends - begins
    if lengths.max() > csv.field_size_limit():  # csv refuses such cells
        return _parsed(body, separator, first)
    rows = len(ends)
    if rows == first or not lengths.min() or len(marks) % rows:  # an empty line is no row
        return None
    marks = marks.reshape(rows, -1)
    n = marks.shape[1] + 1
    if n > 1 and not ((marks[:, 0] >= begins) & (marks[:, -1] < ends)).all():
        return None
    places = _Places(body, encoded, begins, ends, marks)
    names = [places.cells(np.arange(first), j)[0] for j in range(n)] if first else []
    columns = [_Growing(places, first, j) for j in range(n)]
    step = max(_BLOCK // n, 1)
    for begin in range(first, rows, step):
        block = places.lines(begin, min(begin + step, rows))
        cells = block.replace("\n", separator).split(separator)
        if places.has_blanks:
            cells = [*map(str.strip, cells)]
        for j, column in enumerate(columns):
            column.add(cells[j::n])
    return names, [column.texts() for column in columns]


def _parsed(body: str, separator: str, first: int) -> tuple[list[str], list[Texts]] | None:
    """Return what `_split` does, of lines with quotes; None if a cell has several lines."""
    reader = reader_of(lines_of(body), separator)
    columns: list[_Growing] = []
    names: list[str] = []
    rows = 0
    try:
        if first:
            names = [cell.strip() for cell in next(reader, [])]
        n = len(names)
        while block := list(itertools.islice(reader, max(_BLOCK // max(n, 1), 1))):
            n = n or len(block[0])
            columns = columns or [_Growing(None, 0, j) for j in range(n)]
            if {*map(len, block)} != {n} or not n:
                return None
            for column, cells in zip(columns, zip(*block, strict=True), strict=True):
                column.add([*map(str.strip, cells)])
            rows += len(block)
    except csv.Error:
        return None  # reading by rows says the line
    if not rows or reader.line_num != rows + first:
        return None
    return names, [column.texts() for column in columns]
