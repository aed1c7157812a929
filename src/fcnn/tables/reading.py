"""Files of tables: text by way of `fcnn.tables.text`, all others by polars."""

from __future__ import annotations

import functools
import gzip
import io
import operator
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._packed import most_unpacked, too_large
from fcnn._validation import as_flag
from fcnn.tables.conversion import as_column
from fcnn.tables.rectangle import Texts
from fcnn.tables.sheets import read_sheet
from fcnn.tables.table import Column, Table, TableError, quoted
from fcnn.tables.text import Cells, decoded, distinct_names, ending_note, read_cells

Array = NDArray[Any]

# Endings of names; what a file is, its first bytes say.
KINDS = "CSV (.gz), TSV, Parquet, JSON lines or Excel"
STDIN = "-"


def read_table(
    path: str | os.PathLike[str], *, header: bool = True, sheet: str | None = None
) -> Table:
    """Read a table from a file.

    Parameters
    ----------
    path : str or os.PathLike
        A text file, packed with gzip or not, whose cells are separated by commas, semicolons, tabs
        or bars: UTF-8, UTF-16 or Windows-1252; or Parquet, JSON lines or a sheet of Excel (these
        need polars: ``pip install fcnn[cli]``). "-" is standard input. The content decides which it
        is, not the name.
    header : bool, default True
        The first line of a text file or a sheet names the columns. Otherwise they are column_1,
        column_2, ... The columns of other files always have names.
    sheet : str, optional
        Which sheet of an Excel file; None takes the only one that has rows.

    Returns
    -------
    Table
        Cells of a text file are texts, without the blanks around them. Columns without a name are
        "Unnamed: 0" and so on, by their position; of columns of the same name the second is
        "name.1": both as in pandas. Rows without any value are kept, so that answers stand beside
        them, but for empty ones at the end of text and of sheets: `without_empty_rows`.

    Raises
    ------
    FileNotFoundError
        There is no such file, or it is a folder.
    ValueError
        The file is none of these, or is damaged; rows do not have the cells that the header names
        (up to ten are listed; the error's `rest` is the table of the others); no sheet is of that
        name, or several have rows and none is named; an option is not for files of its kind.
    ImportError
        polars is needed and not there.
    """
    header = as_flag("header", header)
    if sheet is not None and not isinstance(sheet, str):
        raise TypeError(f"sheet: expected a name, got {sheet!r}")
    if isinstance(path, str) and path == STDIN:
        if sys.stdin is None:  # closed when the process began
            raise TableError("standard input is closed")
        return table_of(sys.stdin.buffer.read(), "standard input", header=header, sheet=sheet)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a str or os.PathLike, got {type(path).__name__}")
    file = Path(path)
    if file.is_dir():
        raise FileNotFoundError(f"path: {str(file)!r} is a folder, expected a file")
    if not file.exists():
        raise FileNotFoundError(f"path: there is no file {str(file)!r}")
    # /dev/zero has no end. A pipe may have one, as those of a shell's <(...).
    if file.is_char_device() or file.is_block_device():
        raise TableError(f"path: {str(file)!r} is a device, expected a file; - is standard input")
    return table_of(file.read_bytes(), str(file), header=header, sheet=sheet)


def table_of(data: bytes, source: str, *, header: bool = True, sheet: str | None = None) -> Table:
    """Return the table that the bytes of a file hold: see `read_table`."""
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, source)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return _of_polars(data, source, "Excel file", header, sheet)
    if sheet is not None:
        raise TableError(f"sheet: {source} is no Excel file, it has no sheets")
    if data.startswith(b"PAR1"):
        _refuse_headless(header, source, "a Parquet file")
        return _of_polars(data, source, "Parquet file")
    for magic, what in (
        (b"\x93NUMPY", "a NumPy array"), (b"%PDF", "a PDF"), (b"SQLite format 3", "SQLite"),
        (b"\x89HDF", "HDF5"), (b"ARROW1", "an Arrow file"), (b"BZh", "packed with bzip2"),
        (b"\xfd7zXZ", "packed with xz"), (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    ):  # fmt: skip
        if data.startswith(magic):
            raise TableError(f"{source}: is {what}; expected {KINDS}")
    notes: list[str] = []
    text = decoded(data, source, notes)
    first = text.lstrip()[:1]
    if first == "{" or (first == "[" and text.lstrip()[1:].lstrip()[:1] == "{"):
        _refuse_headless(header, source, "JSON")
        return _of_polars(text.encode(), source, "JSON file" if first == "[" else "JSON lines")
    cells = read_cells(text, source, header)
    table = Table(
        [Column(n, _texts(c)) for n, c in zip(cells.names, cells.columns, strict=True)], source,
        notes=notes + cells.notes, decimal="," if cells.separator == ";" else "",
        line=cells.lines.__getitem__, renamed=cells.renamed,
    )  # fmt: skip
    if cells.wrong:
        _refuse_lengths(table, cells, header)
    return table


def _refuse_headless(header: bool, source: str, what: str) -> None:
    if not header:
        raise TableError(f"header: {source} is {what}, which has the names of its columns")


def _unpacked(data: bytes, source: str) -> bytes:
    """Return what gzip packed, piece by piece: no more than is to be expected."""
    left = most_unpacked(len(data))
    pieces = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read(1 << 20):
                pieces.append(piece)
                left -= len(piece)
                if left < 0:
                    raise TableError(too_large(source, len(data)))
    except (EOFError, OSError, zlib.error) as error:
        raise TableError(f"{source} cannot be read as an intact gzip file: {error}") from None
    return b"".join(pieces)


def _refuse_lengths(table: Table, cells: Cells, header: bool) -> None:
    count, n = len(cells.wrong), len(cells.names)
    raise TableError(
        f"{table.source}: {count:,} row{'s have' if count > 1 else ' has'} not {n} cells, as "
        f"{'the header' if header else 'the others'}",
        [f"line {line}: {wide} cell{'s' * (wide != 1)}" for line, wide in cells.wrong[:10]],
        count, table if table.rows else None,
    )  # fmt: skip


def _texts(cells: Sequence[str]) -> Any:
    if isinstance(cells, Texts):
        return cells
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


def _of_polars(
    data: bytes, source: str, what: str, header: bool = True, sheet: str | None = None
) -> Table:
    """Return a table that polars reads."""
    try:
        import polars as pl
    except ImportError:
        raise ImportError(f"{source}: a {what} needs polars: pip install fcnn[cli]") from None
    stream = io.BytesIO(data)
    notes: list[str] = []
    names: list[str] = []
    try:
        frame: Any
        if what == "Parquet file":
            frame = _of_parquet(stream)
        elif what == "Excel file":
            frame, names = read_sheet(data, source, sheet, header=header, notes=notes)
        elif what == "JSON file":
            frame = pl.read_json(stream, infer_schema_length=None)
        else:
            frame = pl.read_ndjson(stream, infer_schema_length=None)
    except ImportError as error:
        raise ImportError(f"{source}: an {what} needs another package: {error}") from None
    except TableError:
        raise
    except BaseException as error:  # polars', its readers' and the operating system's own
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        raise _not_intact(source, what, error) from None
    nested = [s.name for s in frame.get_columns() if s.dtype.is_nested()]
    if nested:
        listed = ", ".join(map(quoted, nested[:10]))
        raise TableError(f"{source}: expected one value in each cell, got lists or objects in "
                         f"{listed}")  # fmt: skip
    distinct = distinct_names(names, notes) if names else frame.columns
    renamed = {new: old for new, old in zip(distinct, names, strict=False) if old and new != old}
    try:
        columns = [
            as_column(series, called, source)
            for series, called in zip(frame.get_columns(), distinct, strict=True)
        ]
    except BaseException as error:
        if _is_panic(error):  # some damage is met when cells are read
            raise _not_intact(source, what, error) from None
        raise
    line: Callable[[int], int] | None = None
    if what == "Excel file":
        # Spreadsheets keep empty rows at the end, and columns that were only formatted.
        filled = np.flatnonzero(~_empty(columns)) if columns else np.zeros(0, int)
        rest = int(filled[-1]) + 1 if len(filled) else 0
        notes.extend(ending_note(len(columns[0]) - rest if rest else 0))
        columns = [
            column.take(slice(rest))
            for column, name in zip(columns, names, strict=True)
            if name or not column.is_missing().all()
        ]
        line = functools.partial(operator.add, 1 + header)
    elif what == "JSON lines":
        lines = [i for i, text in enumerate(data.split(b"\n"), start=1) if text.strip()]
        line = lines.__getitem__ if len(lines) == frame.height else None
    if not columns or not len(columns[0]):
        raise TableError(f"{source}: has no rows; expected at least one")
    return Table(columns, source, line=line, notes=notes, renamed=renamed)


def _is_panic(error: BaseException) -> bool:
    """Whether polars panicked, as some damaged files make it, which is no Exception."""
    return type(error).__name__ == "PanicException"


def _not_intact(source: str, what: str, error: BaseException) -> TableError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return TableError(f"{source}: cannot be read as an intact {what}: {said[0]}")


def _of_parquet(stream: io.BytesIO) -> Any:
    """Return a frame of polars, read by pyarrow where that is there.

    On some damaged files polars' own reader ends the process, where there is nothing to catch: in
    one of a thousand that tests/soak/fuzz.py makes, and in none of them pyarrow's.
    """
    import polars as pl

    try:
        from pyarrow import parquet
    except ImportError:
        return pl.read_parquet(stream)
    return pl.from_arrow(parquet.read_table(stream))


def _empty(columns: Sequence[Column]) -> Array:
    """Return which rows have no value in any column."""
    empty = np.ones(len(columns[0]), bool)
    for column in columns:
        empty &= column.is_empty()
        if not empty.any():
            break
    return empty


def without_empty_rows(table: Table) -> Table:
    """Return a table to train on without the rows that have no value at all; a note says which.

    Raises
    ------
    ValueError
        If that is all of them.
    """
    if table.matrix is not None:
        return table
    empty = _empty(table.columns)
    gone = np.flatnonzero(empty)
    if not len(gone):
        return table
    if len(gone) == table.rows:
        raise TableError(f"{table.source}: all cells of its {table.rows:,} "
                         f"row{'s' * (table.rows > 1)} are empty; expected values")  # fmt: skip
    kept = table.take(np.flatnonzero(~empty))
    where = ", ".join(table.where(row) for row in gone[:3].tolist()) + ", ..." * (len(gone) > 3)
    kept.notes.append(f"{len(gone):,} empty row{'s' * (len(gone) > 1)} left out: {where}")
    return kept
