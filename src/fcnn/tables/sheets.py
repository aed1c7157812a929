"""Excel files: which of their sheets is read, and what its columns are called in the file."""

from __future__ import annotations

import inspect
import io
import zipfile
from typing import IO, Any
from xml.parsers import expat

from fcnn._packed import most_unpacked, too_large
from fcnn.tables.table import TableError, quoted, some

_UNNAMED = "__UNNAMED__"  # how polars calls columns without a name
_MOST_DIGITS, _MOST_LETTERS = 7, 3  # of Excel's 1,048,576 rows and 16,384 columns
_PIECE = 1 << 20  # bytes of a sheet that are looked at together
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

    if zipfile.is_zipfile(io.BytesIO(data)):  # whatever it begins with
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
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > most_unpacked(len(data)):
            raise TableError(too_large(source, len(data)))
        for part in parts:
            with archive.open(part) as stream:
                cells = _Cells(stream)
            if cells.rows * cells.columns > _FEW_PLACES + _MOST_PLACES * cells.count:
                raise TableError(
                    f"{source}: the {cells.count:,} cells of a sheet ({quoted(part.filename)}) are "
                    f"in {cells.rows:,} rows and {cells.columns:,} columns; expected a table, "
                    "without cells far from it, or save it as CSV"
                )


class _Cells:
    """The rectangle of a worksheet's cells that are not empty; of another part there are none."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.count = 0
        self._row = self._column = 0
        self._first, self._last = [2**63, 2**63], [0, 0]
        self._is_sheet: bool | None = None  # not known yet
        self._is_new = False  # the last cell, of which nothing was seen
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._begin
        try:
            while self._is_sheet is not False and (piece := stream.read(_PIECE)):
                parser.Parse(piece)
        except expat.ExpatError:
            if self._is_sheet:
                raise

    @property
    def rows(self) -> int:
        return max(self._last[0] - self._first[0] + 1, 0)

    @property
    def columns(self) -> int:
        return max(self._last[1] - self._first[1] + 1, 0)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        name = name[name.rfind(" ") + 1 :]
        if self._is_sheet is None:
            self._is_sheet = name == "worksheet"
        elif name == "c":
            self._is_new = True
            self._column += 1
            if at := attributes.get("r"):
                letters = at.rstrip("0123456789")
                self._column = _number_of(letters)
                self._row = int(at[len(letters) :][: _MOST_DIGITS + 1])
        elif name in ("v", "is") and self._is_new:
            self._is_new = False
            self.count += 1
            for i, number in enumerate((self._row, self._column)):
                self._first[i] = min(self._first[i], number)
                self._last[i] = max(self._last[i], number)
        elif name == "row":
            self._row = int(attributes.get("r", self._row + 1))
            self._column = 0


def _number_of(column: str) -> int:
    """Return which column A, Z, AA, ... is; far behind all, of what is none."""
    if not (column.isascii() and column.isalpha() and len(column) <= _MOST_LETTERS):
        return 2**32
    number = 0
    for letter in column.upper():
        number = 26 * number + ord(letter) - 64
    return number


def _of(names: Any) -> str:
    return some([quoted(name) for name in names], 10)


def _written(name: str, head: str | None) -> str:
    """Return the name that the file has for a column which polars calls by a name of its own."""
    if name.startswith(_UNNAMED) and not head:
        return ""
    return head if head and name.startswith(f"{head}_") else name
