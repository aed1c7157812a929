"""Whatever data come as, as tables: data frames, dicts, records, arrays."""

from __future__ import annotations

import datetime
import decimal
import numbers
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._frames import is_declared_category, is_list, is_wide, library_of, refuse_plan
from fcnn.tables.table import Column, Table, number_text, quoted, some

Array = NDArray[Any]


def as_table(data: Any, name: str = "X") -> Table:
    """Return data as a table.

    Parameters
    ----------
    data : Table, data frame of pandas or polars, pyarrow.Table or RecordBatch, dict, list, array
        A dict, or a named tuple, holds a sequence for each column, or a single value for each: one
        row. So does a list of dicts, of named tuples, records, pandas.Series or rows of sqlite3,
        one for each row, and a pandas.Series with names in its index: one row. Of anything else
        that NumPy can read, shape (rows, columns) or (columns,), the columns are known by their
        position only.
    name : str
        The argument, for messages.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, has masked entries, or columns of different lengths.
    """
    if isinstance(data, Table):
        return data
    refuse_plan(name, data)
    frame = _from_frame(data, name)
    if frame is not None:
        return frame
    if (record := as_record(data)) is not None:
        return _from_mapping(record, name)
    if has_records(data):
        return _from_records(data, name)
    if getattr(getattr(data, "dtype", None), "names", None):
        _refuse_masked(data, name)
        rows = np.atleast_1d(np.asarray(data))
        columns = [as_column(rows[key], key, name) for key in rows.dtype.names or ()]
        return Table(columns, name, is_single=np.ndim(data) == 0)
    array = as_cells(data, name)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected a table, shape (rows, columns), or a row, got shape {array.shape}"
        )
    cells = array[np.newaxis] if array.ndim == 1 else array
    if array.dtype.kind in "biuf":
        return Table([], name, matrix=cells, is_named=False, is_single=array.ndim == 1)
    return Table(
        [as_column(cells[:, j], "", name) for j in range(cells.shape[1])], name, rows=len(cells),
        is_named=False, is_single=array.ndim == 1,
    )  # fmt: skip


def as_record(data: Any) -> Mapping[Any, Any] | None:
    """Return what names its entries as a mapping, None if it does not: by position it goes then.

    A dict, a named tuple (`DataFrame.itertuples`), a Series (`DataFrame.iterrows`), a row of a
    structured array or of sqlite3.
    """
    if isinstance(data, Mapping):
        return data
    if isinstance(data, np.void) and data.dtype.names:
        return dict(zip(data.dtype.names, data.item(), strict=True))
    if not _names_entries(type(data)):
        return None
    if hasattr(data, "_fields"):
        return dict(zip(data._fields, data, strict=True))
    if hasattr(data, "keys") and not hasattr(data, "index"):
        return dict(zip(data.keys(), data, strict=True))
    return dict(zip(data.index, data.tolist(), strict=True))


def _names_entries(kind: type) -> bool:
    if issubclass(kind, tuple):
        return hasattr(kind, "_fields")
    return any(
        (base.__module__.partition(".")[0], base.__name__) in _ROWS
        for base in kind.__mro__ if base.__module__
    )  # fmt: skip


_ROWS = (("sqlite3", "Row"), ("pandas", "Series"))


def has_records(data: Any) -> bool:
    """Return whether data are a list with rows that name their entries."""
    return isinstance(data, (list, tuple)) and any(
        issubclass(kind, (Mapping, np.void)) or _names_entries(kind) for kind in {*map(type, data)}
    )


def as_cells(data: Any, name: str) -> Array:
    """Return an array-like as an array of numbers, or of any cells as objects."""
    if isinstance(data, (str, bytes)) or data is None:
        raise TypeError(f"{name}: expected a table, got {data!r}")
    _refuse_masked(data, name)
    if isinstance(data, (list, tuple)):
        # Of numbers beside texts NumPy would make texts.
        array = np.array(data, object)
        flat = array.ravel()
        kinds = {type(cell) for cell in flat.tolist()}
        if kinds <= {int, float} and kinds:
            return np.array(data, float if float in kinds else None)
        return array
    if isinstance(data, np.ndarray):
        return np.asarray(data)  # a column of numpy.matrix has two dimensions
    return check.as_numeric(name, data)


def _refuse_masked(data: Any, whose: str) -> None:
    """Refuse masked entries: of an array, of a list's arrays, or of the lists in it."""
    if isinstance(data, (list, tuple)):
        for row in data:
            if isinstance(row, np.ma.MaskedArray) or (
                isinstance(row, (list, tuple))
                and any(isinstance(cell, np.ma.MaskedArray) for cell in row)
            ):
                _refuse_masked(row, whose)
    elif isinstance(data, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(data)
        if (np.ma.flatten_mask(mask) if mask.dtype.names else mask).any():
            raise ValueError(f"{whose}: expected an array without masked entries")


def _from_frame(data: Any, name: str) -> Table | None:
    """Return a data frame as a table, None if it is none."""
    library = library_of(data)
    if library not in sys.modules or library not in ("pandas", "polars", "pyarrow"):
        return None
    if library == "pandas" and hasattr(data, "iloc") and data.ndim == 2:
        return Table(
            [as_column(data.iloc[:, j], str(key), name) for j, key in enumerate(data.columns)],
            name, rows=len(data),
        )  # fmt: skip
    if library == "polars" and hasattr(data, "get_columns"):
        return Table([as_column(s, s.name, name) for s in data.get_columns()], name,
                     rows=data.height)  # fmt: skip
    if library == "pyarrow" and hasattr(data, "column_names"):
        columns = zip(data.column_names, data.columns, strict=True)
        return Table([as_column(c, key, name) for key, c in columns], name, rows=data.num_rows)
    return None


def _from_mapping(data: Mapping[Any, Any], name: str) -> Table:
    if not data:
        raise ValueError(f"{name}: expected columns, got an empty dict")
    single = [np.ndim(v) == 0 if not hasattr(v, "__len__") else isinstance(v, (str, bytes))
              for v in data.values()]  # fmt: skip
    if any(single) and not all(single):
        one = next(key for key, is_one in zip(data, single, strict=True) if is_one)
        raise ValueError(
            f"{name}: expected a sequence for each column, or one value for each; {str(one)!r} is "
            f"{data[one]!r}"
        )
    columns = [
        as_column([values] if all(single) else values, str(key), name)
        for key, values in data.items()
    ]
    lengths = {column.name: len(column) for column in columns}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"{name}: expected columns of the same length, got {lengths}")
    return Table(columns, name, is_single=all(single))


def _from_records(data: Sequence[Any], name: str) -> Table:
    records = [as_record(row) for row in data]
    keys = list(next((record for record in records if record is not None), ()))
    for row, record in enumerate(records):
        if record is None or record.keys() != {*keys}:
            raise ValueError(
                f"{name}: expected for each row the names {some(list(map(str, keys)))}; row {row} "
                f"is {quoted(data[row])}"
            )
    return Table(
        [as_column([record[key] for record in records if record], str(key), name) for key in keys],
        name, rows=len(data),
    )  # fmt: skip


# --- Columns -------------------------------------------------------------------------------------


def as_column(values: Any, name: str, source: str) -> Column:
    """Return a sequence, a series, or an array of one dimension as a column."""
    column = _as_column(values, name, source)
    column.is_declared = is_declared_category(values)
    return column


def _as_column(values: Any, name: str, source: str) -> Column:
    whose = f"{source}: column {name!r}" if name else source
    library = library_of(values) if not isinstance(values, np.ndarray) else ""
    if library in ("pandas", "polars", "pyarrow"):
        values = {"pandas": _of_pandas, "polars": _of_polars, "pyarrow": _of_arrow}[library](
            values, whose
        )
    _refuse_masked(values, whose)
    if isinstance(values, np.ndarray):
        array = np.asarray(values)
    elif isinstance(values, (list, tuple, range)):
        array = _objects(values)
    else:
        array = check.as_numeric(whose, values)
    if array.ndim != 1:
        raise ValueError(f"{whose}: expected one dimension, got shape {array.shape}")
    kind = array.dtype.kind
    if kind == "f":
        values = array.astype(np.float64, copy=False)
        return Column(name, values, np.isnan(values), precision=array.dtype)
    if kind in "biu":
        return Column(name, array)
    if kind == "M":
        return Column(name, array.astype("datetime64[us]"), np.isnat(array))
    if kind == "m":
        raise TypeError(
            f"{whose}: expected numbers, texts, booleans or dates, got durations, {array.dtype}; "
            "divided by a unit of time they are numbers"
        )
    if kind in "OUTS":
        return _of_objects(array.astype(object) if kind != "O" else array, name, whose)
    raise TypeError(f"{whose}: expected numbers, texts, booleans or dates, got {array.dtype}")


def _objects(values: Sequence[Any]) -> Array:
    """Return a list as an array of one dimension, of objects unless all are numbers or booleans."""
    kinds = {*map(type, values)}
    if kinds in ({int}, {float}, {bool}, {int, float}):
        try:
            return np.array(values)
        except OverflowError:
            pass
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _of_pandas(values: Any, whose: str) -> Any:
    import pandas as pd

    if isinstance(values, pd.DataFrame) or not hasattr(values, "dtype"):
        raise _not_a_column(whose, values)
    series = values if isinstance(values, pd.Series) else pd.Series(values)  # an array, an index
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return series.astype(object).to_numpy()
    if isinstance(dtype, pd.SparseDtype):
        return series.sparse.to_dense().to_numpy()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if not series.isna().any():
            kind = bool if pd.api.types.is_bool_dtype(dtype) else None
            return np.asarray(series.to_numpy(dtype=kind or getattr(dtype, "numpy_dtype", None)))
        if not pd.api.types.is_bool_dtype(dtype):
            given = getattr(dtype, "numpy_dtype", None)
            if given is not None and given.kind in "iu":
                return _with_missing(
                    series.to_numpy(dtype=given, na_value=0), series.isna().to_numpy()
                )
            floats = given if given is not None and given.kind == "f" else np.float64
            return series.to_numpy(dtype=floats, na_value=np.nan)
    return series.astype(object).to_numpy()


def _not_a_column(whose: str, values: Any) -> TypeError:
    return TypeError(f"{whose}: expected a column, got a {type(values).__name__}")


def _of_polars(series: Any, whose: str) -> Any:
    import polars as pl

    if not isinstance(series, pl.Series):
        raise _not_a_column(whose, series)
    dtype = series.dtype
    if dtype.is_numeric() and not dtype.is_decimal() and not is_wide(dtype):
        if series.null_count() and dtype.is_integer():
            return _with_missing(series.fill_null(0).to_numpy(), series.is_null().to_numpy())
        return series.to_numpy()
    if dtype == pl.Boolean and not series.null_count():
        return series.to_numpy()
    if dtype == pl.Datetime and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if dtype in (pl.Date, pl.Datetime, pl.Duration):
        return series.to_numpy()
    return _objects(series.to_list())


def _of_arrow(column: Any, whose: str) -> Any:
    import pyarrow as pa

    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        raise _not_a_column(whose, column)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if hasattr(column, "combine_chunks"):
            column = column.combine_chunks()
        if pa.types.is_integer(kind) and column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            return _with_missing(column.fill_null(0).to_numpy(zero_copy_only=False), missing)
        return column.to_numpy(zero_copy_only=False)
    return _objects(column.to_pylist())


def _with_missing(integers: Array, missing: Array) -> Array:
    """Return integers some of which are missing: float64 with NaN, objects where that rounds."""
    if (np.abs(integers.astype(np.float64)) >= 2.0**53).any():
        values = integers.astype(object)
        values[missing] = None
        return values
    return np.where(missing, np.nan, integers.astype(np.float64))


def _of_objects(array: Array, name: str, whose: str) -> Column:
    """Return cells of any types as a column of the one kind that fits them all."""
    cells = array.tolist()
    missing = np.array([_is_nothing(cell) for cell in cells], bool)
    present = [cell for cell, nothing in zip(cells, missing.tolist(), strict=True) if not nothing]
    kinds = {*map(type, present)}
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        values: Array = np.zeros(len(cells), bool)
        values[~missing] = present
        return Column(name, values, missing)
    if all(_is_number(kind) for kind in kinds):
        if all(issubclass(kind, numbers.Integral) for kind in kinds) and (
            not missing.any() or max(map(abs, present), default=0) >= 2**53
        ):
            try:
                integers = np.zeros(len(cells), np.int64)
                integers[~missing] = present
                return Column(name, integers, missing)
            except OverflowError:
                pass
        values = np.full(len(cells), np.nan)
        try:
            values[~missing] = [float(cell) for cell in present]
        except OverflowError:
            raise ValueError(f"{whose}: holds numbers too large for float64") from None
        return Column(name, values, missing)
    if all(issubclass(kind, (datetime.date, np.datetime64)) for kind in kinds):
        values = np.full(len(cells), "NaT", "datetime64[us]")
        values[~missing] = [_in_utc(cell) for cell in present]
        return Column(name, values, missing)
    texts = np.empty(len(cells), object)
    for i, cell in enumerate(cells):
        texts[i] = "" if missing[i] else _as_text(cell, whose)
    return Column(name, texts, missing, any(map(_is_number, kinds)))


def _is_nothing(cell: Any) -> bool:
    if cell is None:
        return True
    if isinstance(cell, float):
        return cell != cell
    if isinstance(cell, np.datetime64):
        return bool(np.isnat(cell))
    # pandas.NA compares to NA, pandas.NaT and a NumPy NaN unequal to themselves.
    return type(cell).__name__ in ("NAType", "NaTType", "float16", "float32") and (
        type(cell).__name__ in ("NAType", "NaTType") or bool(cell != cell)
    )


def _is_number(kind: type) -> bool:
    return issubclass(kind, (numbers.Real, decimal.Decimal, np.number)) and not issubclass(
        kind, (bool, np.bool_, np.complexfloating)
    )


def _in_utc(cell: Any) -> Any:
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        return cell.astimezone(datetime.UTC).replace(tzinfo=None)
    return cell


def _as_text(cell: Any, whose: str) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bytes):
        return cell.decode(errors="replace").strip()
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if _is_number(type(cell)):
        return (
            number_text(float(cell)) if not isinstance(cell, numbers.Integral) else str(int(cell))
        )
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    message = f"{whose}: expected numbers, texts, booleans or dates, got {quoted(repr(cell))}"
    if is_list(cell):
        message += "; of a column of lists make a column for each entry"
    raise TypeError(message)
