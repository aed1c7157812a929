"""Excel files: which of their sheets is read, and what its columns are called in the file."""

from __future__ import annotations

import inspect
import io
from typing import Any

from fcnn.tables.table import TableError, quoted, some

_UNNAMED = "__UNNAMED__"  # how polars calls columns without a name


def read_sheet(
    data: bytes, source: str, sheet: str | None, *, header: bool, notes: list[str]
) -> tuple[Any, list[str]]:
    """Return a sheet as a frame of polars, and the names that the file has for its columns.

    Raises
    ------
    ValueError
        If there is no sheet of that name; if several have cells and none is named.
    """
    import polars as pl

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


def _of(names: Any) -> str:
    return some([quoted(name) for name in names], 10)


def _written(name: str, head: str | None) -> str:
    """Return the name that the file has for a column which polars calls by a name of its own."""
    if name.startswith(_UNNAMED) and not head:
        return ""
    return head if head and name.startswith(f"{head}_") else name
