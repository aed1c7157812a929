"""Data frames of other libraries as one block of numbers, and what is no table yet.

None of these libraries is imported: what is given has been made by one that is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# What is only the plan of a table, by library and class, and how its user makes one of it.
_PLANS = {
    ("polars", "LazyFrame"): ".collect() makes one of it",
    ("duckdb", "DuckDBPyRelation"): ".df(), .pl() or .to_arrow_table() makes one of it",
    ("duckdb", "DuckDBPyConnection"): ".df() makes one of what was executed",
    ("pyarrow", "RecordBatchReader"): ".read_all() makes one of it",
    ("pyarrow", "Dataset"): ".to_table() makes one of it",
    ("pyarrow", "Scanner"): ".to_table() makes one of it",
    ("ibis", "Table"): ".to_pandas() or .to_polars() makes one of it",
}


_LIBRARIES = ("pandas", "polars", "pyarrow", "duckdb", "ibis")


def library_of(values: Any) -> str:
    """Return the library of tables that a value's class, or one it inherits from, is of.

    Rows of `DataFrame.itertuples` have a class that pandas made, and are named tuples.
    """
    if isinstance(values, tuple):
        return ""
    # Classes of ctypes have no module.
    modules = ((kind.__module__ or "").partition(".")[0] for kind in type(values).__mro__)
    return next((name for name in (m.lstrip("_") for m in modules) if name in _LIBRARIES), "")


def refuse_plan(name: str, values: Any) -> None:
    """Raise TypeError if it is a query that has not been made: NumPy would see one object."""
    library = library_of(values)
    for kind in type(values).__mro__ if library else ():
        way_out = _PLANS.get((library, kind.__name__))
        if way_out is not None:
            raise TypeError(f"{name}: expected a table, got a {type(values).__name__}; {way_out}")


def names_of(values: Any) -> list[str] | None:
    """Return the names of a frame's columns; None of what has none, or names that are no text."""
    if not library_of(values) or not hasattr(values, "__array__"):  # as queries have not
        return None
    names = getattr(values, "column_names", None)  # of Arrow, whose columns are the data
    names = list(getattr(values, "columns", ()) if names is None else names)
    return names if names and all(isinstance(name, str) for name in names) else None


def refuse_columns(name: str, values: Any) -> None:
    """Raise TypeError if polars has no way to numbers of NumPy, or a wrong one.

    Dates among numbers would be integers, in the column's unit; NumPy has none of 128 bits.
    """
    if library_of(values) != "polars" or not hasattr(values, "to_numpy"):
        return
    is_frame = hasattr(values, "get_columns")
    for one in values.get_columns() if is_frame else [values]:
        if (is_frame and one.dtype.is_temporal()) or is_wide(one.dtype):
            raise TypeError(
                f"{name}: expected real numbers, got column {one.name!r} of {one.dtype}"
            )


def is_wide(dtype: Any) -> bool:
    """Return whether a type of polars' columns is an integer of 128 bits."""
    return str(dtype) in ("Int128", "UInt128")


def is_declared_category(values: Any) -> bool:
    """Return whether the type of a column says that it is one of categories."""
    # Of pandas `type` may be a row's name.
    dtype = str(getattr(values, "type" if library_of(values) == "pyarrow" else "dtype", None))
    return dtype.startswith(("category", "Categorical", "Enum", "dictionary"))


def is_list(cell: Any) -> bool:
    """Return whether a cell of a column is a list itself, of whatever library."""
    return isinstance(cell, (list, tuple, np.ndarray)) or (
        library_of(cell) in ("polars", "pyarrow", "pandas") and hasattr(cell, "__len__")
    )


def block_of(values: Any) -> NDArray[Any] | None:
    """Return a pandas frame or series by one conversion, None where that is not the way.

    Columns that are nullable or Arrow's become objects in NumPy's hands, one by one. Not here:
    what NumPy reads as it is, what is no number, and what has missing values, each of which is to
    be named.
    """
    if library_of(values) != "pandas" or not hasattr(values, "isna"):
        return None
    dtypes = list(values.dtypes) if getattr(values, "ndim", 0) == 2 else [values.dtype]
    kinds = {dtype.kind for dtype in dtypes}
    mixed = "b" in kinds and len(kinds) > 1  # objects, of NumPy's own types, too
    if not kinds <= {*"biuf"} or (all(isinstance(d, np.dtype) for d in dtypes) and not mixed):
        return None
    if any(dtype.kind == "u" and dtype.itemsize == 8 for dtype in dtypes):
        return None  # int64 may not hold them
    if np.asarray(values.isna()).any():
        return None
    return values.to_numpy(dtype=np.float64 if "f" in kinds else np.int64)
