"""Preparation: what stands before a network, from the columns of a table to its inputs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcnn import _validation as check
from fcnn.tables.columns import NumberColumn, Report
from fcnn.tables.conversion import as_table
from fcnn.tables.encoders import ENCODERS, from_json
from fcnn.tables.kinds import ColumnKind, infer_columns
from fcnn.tables.numbers import PLAIN
from fcnn.tables.table import Column, Table, TableError, described, some

Array = NDArray[Any]

_BLOCK = 4096  # rows that are standardized at a time: a float64 copy of all is large and slow

STANDARDIZATIONS = ("features", "together", "none")


class Preparation:
    """How tables become the inputs of a network; fitted to training data, kept in a model's file.

    Attributes
    ----------
    columns : tuple
        Of NumberColumn, BooleanColumn, DateColumn, CategoryColumn and OrdinalColumn. Each becomes
        one or more numbers, in this order: `fcnn.tables.columns`, `fcnn.tables.categories`.
    left_out : tuple of (str, str)
        Columns of the training data that are not used, and why.
    mean, scale : numpy.ndarray of float64, shape (n_0,)
        A number v becomes (v - mean) / scale; of indicators and flags these are 0 and 1.
    is_named : bool
        False if columns are known by their position only.
    starts : list of int
        Column j becomes the numbers starts[j] to starts[j + 1] - 1.
    """

    def __init__(
        self,
        columns: Sequence[Any],
        mean: Array,
        scale: Array,
        left_out: Sequence[tuple[str, str]] = (),
        *,
        is_named: bool = True,
    ) -> None:
        self.columns = tuple(columns)
        self.mean = np.array(mean, np.float64)
        self.scale = np.array(scale, np.float64)
        self.left_out = tuple((name, why) for name, why in left_out)
        self.is_named = is_named
        widths = [len(column.outputs) for column in self.columns]
        if self.mean.shape != (sum(widths),) or self.scale.shape != self.mean.shape:
            raise ValueError(
                f"expected {sum(widths)} means and scales, got shapes {self.mean.shape} and "
                f"{self.scale.shape}"
            )
        sound = np.isfinite(self.mean).all() and np.isfinite(self.scale).all()
        if not sound or not (self.scale > 0).all():
            raise ValueError("expected finite means and positive scales of the inputs")
        names = [column.name for column in self.columns]
        if is_named and len({*names}) != len(names):
            raise ValueError(f"columns: expected different names, got {some(names)}")
        self.starts = np.cumsum([0, *widths]).tolist()
        # Then an array is standardized as it is, in blocks of rows.
        self._is_plain = all(
            isinstance(c, NumberColumn) and not c.flag and c.fill is c.low is c.high is None
            for c in self.columns
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that are used, in order; empty if they have none."""
        return tuple(column.name for column in self.columns) if self.is_named else ()

    @property
    def width(self) -> int:
        """n_0: how many numbers a row becomes."""
        return int(self.mean.size)

    @property
    def output_names(self) -> list[str]:
        """A name for each of these numbers, as "color=red"; x1, x2, ... of columns without one."""
        if not self.is_named and self._is_plain:
            return [f"x{j}" for j in range(1, self.width + 1)]
        return [name for column in self.columns for name in column.outputs]

    def __repr__(self) -> str:
        names = some(self.features) if self.is_named else "without names"
        return f"Preparation({len(self.columns)} columns -> {self.width} numbers: {names})"

    # --- Fitting ---------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        data: Any,
        kinds: Sequence[ColumnKind] | None = None,
        rows: Array | None = None,
        standardize: str = "features",
    ) -> Preparation:
        """Return the preparation for data like these.

        Parameters
        ----------
        data : table-like
            See `fcnn.tables.as_table`.
        kinds : sequence of ColumnKind
            Of `fcnn.tables.infer_columns`.
        rows : numpy.ndarray, optional
            Indices of the rows that means, medians and categories are taken from: those of the
            training. None takes all.
        standardize : str, default "features"
            "features": each column of numbers gets mean 0 and deviation 1; "together": all with the
            same mean and deviation, which keeps an image's pixels in proportion; "none".

        Raises
        ------
        TypeError
            If an argument is not as described.
        ValueError
            If numbers are too large for their squares to be added up, or differ by so little that
            the squares are 0, or `kinds` or `rows` are not of these data.
        """
        check.as_choice("standardize", standardize, STANDARDIZATIONS)
        table = as_table(data, "data")
        kinds = infer_columns(table) if kinds is None else _as_kinds(kinds, table)
        rows = None if rows is None else _as_rows(rows, table)
        if not table.rows:
            raise TableError(f"{table.source}: expected at least one row")
        used = [kind for kind in kinds if kind.kind]
        left_out = [(kind.name, kind.why) for kind in kinds if not kind.kind]
        if table.matrix is not None and len(used) == table.matrix.shape[1]:
            X = table.matrix if rows is None else table.matrix[rows]
            if X.dtype.kind == "f" and not np.isfinite(X).all():
                at, j = np.argwhere(~np.isfinite(X))[0].tolist()
                where = table.where(at if rows is None else int(rows[at]))
                raise TableError(
                    f"{table.source}: {where}, column {j + 1}: {X[at, j]}; expected a finite number"
                )
            mean, scale = _statistics(X, standardize, table, rows, "")
            encoders = [NumberColumn("")] * X.shape[1]
            return cls(encoders, mean, scale, is_named=False)
        training = table if rows is None else table.take(rows)
        report = Report(training)
        columns, means, scales, pooled = [], [], [], []
        errors: list[TableError] = []
        for kind in used:
            column = training.columns[kind.position]
            named = _named(column, kind.position)
            before = report.count
            encoder = ENCODERS[kind.kind].fit(kind, column, named, report)
            if report.count > before:
                continue
            values = encoder.encode(column, named, Report(training, report))
            quantity = encoder.is_quantity
            try:
                mean, scale = _statistics(values, "features", table, rows, named)
            except TableError as error:
                errors.append(error)
                continue
            if standardize != "features":
                pooled.append(values[:, quantity])
                mean, scale = np.zeros_like(mean), np.ones_like(scale)
            means.append(np.where(quantity, mean, 0.0))
            scales.append(np.where(quantity, scale, 1.0))
            columns.append(encoder)
        report.raise_problems()
        if errors:
            raise TableError.joined(table.source, errors)
        mean, scale = np.concatenate(means), np.concatenate(scales)
        if standardize == "together":
            quantities = np.concatenate([column.is_quantity for column in columns])
            if quantities.any():
                together = _statistics(np.hstack(pooled), standardize, table, rows, "")
                mean[quantities], scale[quantities] = together
        return cls(columns, mean, scale, left_out, is_named=table.is_named)

    # --- Applying --------------------------------------------------------------------------------

    def transform(
        self, data: Any, dtype: DTypeLike = np.float64, notes: list[str] | None = None
    ) -> Array:
        """Return data as the inputs of the network.

        Parameters
        ----------
        data : table-like
            See `fcnn.tables.as_table`: columns by their names, in any order and among others; those
            of an array by their position, in the order of `features`.
        dtype : numpy.dtype, default float64
        notes : list, optional
            Takes a text for each column that had missing cells filled or unseen categories. None
            warns of unseen categories, and of several rows with no cell at all in a column, once
            for each column.

        Returns
        -------
        numpy.ndarray, shape (s, n_0)

        Raises
        ------
        TypeError, ValueError
            If columns are missing, or cells are not of the column's kind: all that is wrong is
            listed, up to ten lines.
        """
        table = as_table(data)
        kind = check.as_dtype(dtype)
        if not table.rows:
            raise TableError(f"{table.source}: expected at least one row")
        if self._is_plain and table.matrix is not None:
            return self._standardized(table, kind)
        report = Report(table)
        columns = self.used(table)
        X = np.empty((table.rows, self.width), kind)
        for j, (column, encoder) in enumerate(zip(columns, self.columns, strict=True)):
            part = slice(self.starts[j], self.starts[j + 1])
            named = _named(column, j)
            values = encoder.encode(_without_kind(column), named, report)
            if table.rows > 1 and encoder.outputs and _is_missing(column):
                report.warn(f"{named}: missing in all {table.rows:,} rows")
            if report.count:
                continue  # what stands for the cells that are refused may be too large
            values = (values - self.mean[part]) / self.scale[part]
            too_large = _too_large(values, kind)
            if too_large.any():
                large = np.flatnonzero(too_large.any(axis=1))
                report.refuse(large, column, named, f"expected a number that {kind} can hold")
                continue
            X[:, part] = values
        report.raise_problems()
        if notes is not None:
            notes += report.notes
        else:
            for text in report.warnings:
                warnings.warn(f"{table.source}: {text}", UserWarning, stacklevel=_outside())
        return X

    def used(self, table: Table) -> list[Column]:
        """Return the columns of a table that are used, in order."""
        n = len(self.columns)
        if not (table.is_named and self.is_named):
            if len(table.columns) != n:
                names = f": {some(self.features)}" if self.is_named else ""
                got = (
                    f"({len(table.columns)},)"
                    if table.is_single
                    else (f"({table.rows}, {len(table.columns)})")
                )
                raise TableError(
                    f"{table.source}: expected shape (samples, {n}) or ({n},), got {got}; the "
                    f"model has {n} columns{names}"
                )
            # pandas numbers columns without names: by them it is seen that they changed places.
            counted = [str(j) for j in range(n)]
            if table.is_named and table.names != counted and sorted(table.names) == sorted(counted):
                raise TableError(
                    f"{table.source}: expected the columns in their order, got {some(table.names)}"
                )
            return table.columns
        by_name: dict[str, list[Column]] = {}
        for column in table.columns:
            by_name.setdefault(column.name, []).append(column)
        stripped: dict[str, list[Column]] = {}
        for column in table.columns:  # " b" where "b" is wanted, as some readers leave it
            stripped.setdefault(column.name.strip(), []).append(column)
        by_name = {**stripped, **by_name}
        absent = [name for name in self.features if name not in by_name]
        if absent:
            raise TableError(
                f"{table.source}: lacks the column{'s' * (len(absent) > 1)} "
                f"{some([repr(name) for name in absent])}; it has {some(table.names)}"
            )
        twice = [name for name in self.features if len(by_name[name]) > 1]
        if twice:
            found = [repr(column.name) for name in twice for column in by_name[name]]
            raise TableError(
                f"{table.source}: has {some(twice)} more than once, as {', '.join(found[:10])}; "
                "expected one column of each name"
            )
        return [by_name[name][0] for name in self.features]

    def _standardized(self, table: Table, dtype: np.dtype[Any]) -> Array:
        """Return an array of numbers, standardized in blocks of rows."""
        X = table.matrix
        assert X is not None
        if X.shape[1] != len(self.columns):
            self.used(table)
        # One way for one row and for many; NaN and infinity are refused by row and column.
        inputs = np.empty(X.shape, dtype)
        for begin in range(0, len(X), _BLOCK):
            block = X[begin : begin + _BLOCK].astype(np.float64)
            if not np.isfinite(block).all():
                row, j = np.argwhere(~np.isfinite(block))[0].tolist()
                named = _named(Column(self.columns[j].name, block[:, j]), j)
                raise TableError(
                    f"{table.source}: {table.where(begin + row)}, {named}: {block[row, j]}; "
                    "expected a finite number"
                )
            values = (block - self.mean) / self.scale
            if _too_large(values, dtype).any():
                row, j = np.argwhere(_too_large(values, dtype))[0].tolist()
                named = _named(Column(self.columns[j].name, block[:, j]), j)
                raise TableError(
                    f"{table.source}: {table.where(begin + row)}, {named}: {block[row, j]}; "
                    f"expected a number that {dtype} can hold"
                )
            inputs[begin : begin + _BLOCK] = values
        return inputs

    # --- In files --------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return all but mean and scale, as JSON has it."""
        return {
            "named": self.is_named,
            "columns": [column.to_json() for column in self.columns],
            "left_out": [list(pair) for pair in self.left_out],
        }

    @classmethod
    def from_json(cls, value: Any, mean: Array, scale: Array) -> Preparation:
        """Return the preparation of `to_json`, checked."""
        columns = [from_json(one) for one in described(value["columns"], "columns", dict)]
        named = value["named"]
        if not isinstance(named, bool) or not columns:
            raise ValueError("expected columns, named or not")
        left_out = [
            tuple(described(pair, "a name and a reason", str))
            for pair in described(value["left_out"], "left_out", list)
        ]
        if not all(len(pair) == 2 for pair in left_out):
            raise ValueError(f"expected names and reasons, found {value['left_out']!r}")
        return cls(columns, mean, scale, left_out, is_named=named)

    @classmethod
    def of_numbers(cls, mean: Array, scale: Array, names: Sequence[str] = ()) -> Preparation:
        """Return a preparation of numbers alone, none of which may be missing."""
        columns = [NumberColumn(name, rule=PLAIN) for name in names or [""] * len(mean)]
        return cls(columns, mean, scale, is_named=bool(names))


def _as_kinds(kinds: Any, table: Table) -> list[ColumnKind]:
    """Return the kinds of columns of a table."""
    try:
        given = list(kinds)
    except TypeError:
        given = [kinds]
    if not given:
        raise ValueError("kinds: expected at least one column, got none")
    count = len(table.columns) if table.matrix is None else table.matrix.shape[1]
    for kind in given:
        if not isinstance(kind, ColumnKind):
            raise TypeError(f"kinds: expected what infer_columns returns, got {kind!r}")
        if kind.kind:
            fitted = [name for name, encoder in ENCODERS.items() if hasattr(encoder, "fit")]
            check.as_choice("kinds", kind.kind, fitted)
        if not 0 <= kind.position < count:
            raise ValueError(
                f"kinds: expected columns of these data, which have {count}, got one at "
                f"{kind.position}"
            )
    if not any(kind.kind for kind in given):
        raise ValueError("kinds: expected at least one column that is not left out, got none")
    return given


def _as_rows(rows: Any, table: Table) -> Array:
    """Return indices of rows of a table, or True for each that is meant."""
    given = check.as_numeric("rows", rows)
    if given.ndim != 1 or given.dtype.kind not in "biu" or not given.size:
        raise ValueError(
            f"rows: expected indices of rows, got {given.dtype} of shape {given.shape}"
        )
    if given.dtype.kind == "b":
        if len(given) != table.rows or not given.any():
            raise ValueError(
                f"rows: expected True for some of {table.rows:,} rows, got {len(given):,} in all, "
                f"{np.count_nonzero(given):,} of them True"
            )
        return np.flatnonzero(given)
    if given.min() < 0 or given.max() >= table.rows:
        wrong = given.min() if given.min() < 0 else given.max()
        raise ValueError(f"rows: expected indices from 0 to {table.rows - 1:,}, got {wrong}")
    return given


def _outside() -> int:
    """Return the `stacklevel` of the first caller that is none of fcnn's modules."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fcnn."):
        frame, level = frame.f_back, level + 1
    return level


def _is_missing(column: Column) -> bool:
    """Return whether a column has no cell at all, which takes long to see of texts."""
    return bool(column.take([0]).is_missing().all() and column.is_missing().all())


def _without_kind(column: Column) -> Column:
    """Return a column of missing cells only as one of texts, which fits every kind.

    What type None or NaN come in says nothing: one row may lack its date, and that is a float.
    """
    if column.missing is None or not column.missing.all():
        return column
    return Column(column.name, np.full(len(column), "", object), column.missing)


def _named(column: Column, position: int) -> str:
    return f"column {column.name!r}" if column.name else f"column {position + 1}"


def _too_large(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return which numbers the type cannot hold."""
    return np.asarray(np.abs(values) > np.finfo(dtype).max)


def _statistics(
    X: Array, standardize: str, table: Table, rows: Array | None, named: str
) -> tuple[Array, Array]:
    """Return mean and deviation of each column of numbers, or of all together, shape (n,) each.

    X has some rows of a table, and of its columns the one named, or all.
    """
    shape = X.shape[1:]
    if standardize == "none":
        return np.zeros(shape), np.ones(shape)
    if X.dtype == bool:
        X = X.astype(np.uint8)
    axis = 0 if standardize == "features" else None
    # float64 sums, whatever X is: the mean of 60,000 images is not for uint8 or float32. In blocks,
    # because a float64 copy of all of X is large and slow.
    blocks = [X[i : i + 1024] for i in range(0, len(X), 1024)]
    count = X.size / np.size(np.sum(X[:1], axis=axis))
    try:
        with np.errstate(over="raise", invalid="raise"):
            mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks) / count
            squares = (np.square(block - mean).sum(axis=axis) for block in blocks)
            scale = np.sqrt(sum(squares) / count)
    except FloatingPointError:
        row, j = np.unravel_index(np.argmax(np.abs(X)), X.shape)
        where = table.where(int(row if rows is None else np.arange(table.rows)[rows][row]))
        raise TableError(
            f"{table.source}: {where}, {named or f'column {j + 1}'}: {X[row, j]}; too large to be "
            "standardized"
        ) from None
    # The deviation of equal numbers can be a rounding error instead of 0.
    varies = np.asarray(X.max(axis=axis) > X.min(axis=axis))
    vanish = np.flatnonzero(varies & (scale == 0))
    if len(vanish):
        raise TableError(
            f"{table.source}: {named or f'column {vanish[0] + 1}'}: the squares of its deviations "
            "are 0 in float64, too small to be standardized"
        )
    scale = np.where(varies, scale, 1.0)
    return np.broadcast_to(mean, shape).copy(), np.broadcast_to(scale, shape).copy()
