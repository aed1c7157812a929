"""Excel files: which of their sheets is read, and what its columns are called in the file."""

from __future__ import annotations

import inspect
import io
import re
import zipfile
from typing import Any

from fcnn._packed import most_unpacked, too_large
from fcnn.tables.table import TableError, quoted, some

_UNNAMED = "__UNNAMED__"  # how polars calls columns without a name
# Where a cell is that is not said to be empty.
_CELL = re.compile(rb" r=[\"']([A-Za-z]+)([0-9]+)[\"'][^>]*(?<!/)>")
_MOST_DIGITS, _MOST_LETTERS = 7, 3  # of Excel's 1,048,576 rows and 16,384 columns
# Places of a sheet, 24 bytes of fastexcel's for each: so many, and so many more for each cell.
_FEW_PLACES, _MOST_PLACES = 4_000_000, 20


def read_sheet(
    data: bytes, source: str, sheet: str | None, *, header: bool, notes: list[str]
) -> tuple[Any, list[str]]:
    """Return a sheet as a frame of polars, and the names that the file has for its columns.

    Raises
    ------
    ValueError
        If there is no sheet of that name; if several have cells and none is named; if cells of a
        sheet are too far apart.
    """
    import polars as pl

    if data.startswith(b"PK"):
        _refuse_far_apart(data, source)
    known = inspect.signature(pl.read_excel).parameters
    options: dict[str, Any] = {
        # Otherwise a text below the first rows with numbers would be a missing cell, unsaid.
        "infer_schema_length": None, "has_header": header, "raise_if_empty": False,
        # polars of 2024 has no such choices.
        **{key: False for key in ("drop_empty_rows", "drop_empty_cols") if key in known},
    }  # fmt: skip
    frames: dict[str, Any] = pl.read_excel(io.BytesIO(data), sheet_id=0, **options)
    filled = [name for name, frame in frames.items() if frame.height]
    if sheet is not None:
        if sheet not in frames:
            raise TableError(f"sheet: {source} has no sheet {quoted(sheet)}, only {_of(frames)}")
    elif len(filled) > 1:
        raise TableError(f"sheet: {source} has several sheets with rows, {_of(filled)}; expected "
                         "the name of one")  # fmt: skip
    else:
        sheet = (filled or list(frames))[0]
        if len(frames) > 1:
            others = _of([name for name in frames if name != sheet])
            notes.append(f"sheet {quoted(sheet)} is read, the only one with rows; not {others}")
    frame = frames[sheet]
    if not header or not frame.width:
        return frame, [f"column_{j}" for j in range(1, frame.width + 1)]
    options |= {"has_header": False, "read_options": {"n_rows": 1, "dtypes": "string"}}
    first = pl.read_excel(io.BytesIO(data), sheet_name=sheet, **options)
    heads = first.row(0) if first.height and first.width == frame.width else frame.columns
    return frame, [_written(name, head) for name, head in zip(frame.columns, heads, strict=True)]


def _refuse_far_apart(data: bytes, source: str) -> None:
    """Refuse what fastexcel would end the process for: a rectangle that memory has no place for."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [part for part in archive.infolist() if part.filename.lower().endswith(".xml")]
        if sum(part.file_size for part in parts) > most_unpacked(len(data)):
            raise TableError(too_large(source, len(data)))
        for part in parts:
            cells = _CELL.findall(archive.read(part))
            names, numbers = {name for name, _ in cells}, {number for _, number in cells}
            columns = _span([_number_of(name) for name in names])
            rows = _span([int(number[: _MOST_DIGITS + 1]) for number in numbers])
            if rows * columns > _FEW_PLACES + _MOST_PLACES * len(cells):
                raise TableError(
                    f"{source}: the {len(cells):,} cells of {quoted(part.filename)} are in "
                    f"{rows:,} rows and {columns:,} columns; expected a table, without cells far "
                    "from it"
                )


def _span(numbers: list[int]) -> int:
    return max(numbers) - min(numbers) + 1 if numbers else 0


def _number_of(column: bytes) -> int:
    """Return which column A, Z, AA, ... is; far behind all, of what is none."""
    number = 0
    for letter in column.upper()[:_MOST_LETTERS]:
        number = 26 * number + letter - 64
    return number if len(column) <= _MOST_LETTERS else 2**32


def _of(names: Any) -> str:
    return some([quoted(name) for name in names], 10)


def _written(name: str, head: str | None) -> str:
    """Return the name that the file has for a column which polars calls by a name of its own."""
    if name.startswith(_UNNAMED) and not head:
        return ""
    return head if head and name.startswith(f"{head}_") else name
