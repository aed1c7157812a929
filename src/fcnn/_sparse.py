"""Sparse inputs: the rows of a CSR matrix as the core takes them."""

# Annotations stay text, as in _validation.py.
from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class SparseRows:
    """Samples of which only some entries are stored; the others are zero.

    Parameters
    ----------
    values : numpy.ndarray of float32 or float64
    columns : numpy.ndarray of int32
        Of each value, ascending within a row.
    begins : numpy.ndarray of int64, shape (s + 1,)
        The entries of row i are begins[i] to begins[i + 1] - 1.
    n_in : int
        Columns of the matrix.
    """

    ndim = 2

    def __init__(self, values: Array, columns: Array, begins: Array, n_in: int) -> None:
        self.values = values
        self.columns = columns
        self.begins = begins
        self.shape = len(begins) - 1, n_in

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __getitem__(self, rows: slice | Array) -> SparseRows:
        """Return some rows, by a slice or an array of indices."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step != 1:
                return self[np.arange(first, last, step)]
            begins = self.begins[first : max(first, last) + 1]
            part = slice(int(begins[0]), int(begins[-1]))
            return SparseRows(
                self.values[part], self.columns[part], begins - begins[0], self.shape[1]
            )
        starts, lengths = self.begins[rows], np.diff(self.begins)[rows]
        begins = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(begins[-1]) + np.repeat(starts - begins[:-1], lengths)
        return SparseRows(self.values[entries], self.columns[entries], begins, self.shape[1])

    def toarray(self) -> Array:
        """Return all entries, shape (s, n_in)."""
        dense = np.zeros(self.shape, self.dtype)
        dense[np.repeat(np.arange(len(self)), np.diff(self.begins)), self.columns] = self.values
        return dense

    def refuse_nonfinite(self, name: str) -> NoReturn:
        """Raise ValueError naming the first NaN or infinity, which there is."""
        entry = int(np.flatnonzero(~np.isfinite(self.values))[0])
        row = int(np.searchsorted(self.begins, entry, side="right")) - 1
        raise ValueError(
            f"{name}: expected finite numbers, got {self.values[entry]} at "
            f"[{row}, {self.columns[entry]}]"
        )


def is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix or array of SciPy's, which is not imported for that."""
    return hasattr(X, "tocsr") and hasattr(X, "nnz")


def _refuse_unsound(name: str, csr: Any) -> None:
    """Raise ValueError unless a CSR matrix's rows are parts of its entries."""
    begins, columns = csr.indptr, csr.indices
    if (
        len(begins) != csr.shape[0] + 1
        or begins[0] != 0
        or begins[-1] > min(len(columns), len(csr.data))
        or (np.diff(begins) < 0).any()
    ):
        raise ValueError(f"{name}: expected a sparse matrix whose rows are parts of its entries")
    used = columns[: begins[-1]]
    if used.size and not (used.min() >= 0 and used.max() < csr.shape[1]):
        raise ValueError(
            f"{name}: expected columns of 0 to {csr.shape[1] - 1}, got {used.min()} to {used.max()}"
        )


def canonical(name: str, X: Any) -> tuple[Array, Array, Array, tuple[int, ...]]:
    """Return values, columns and begins of a sparse matrix, each row ascending; and its shape."""
    if len(X.shape) != 2:
        raise ValueError(f"{name}: expected a sparse matrix of two dimensions, got shape {X.shape}")
    csr = X.tocsr()
    _refuse_unsound(name, csr)  # SciPy's own C code would trust it
    if csr.shape[1] > np.iinfo(np.int32).max:
        raise ValueError(f"{name}: expected less than 2^31 columns, got {csr.shape[1]}")
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()  # which sorts, too
    # Copies of the indices: whoever writes to his own while the core reads spoils nothing.
    end = csr.indptr[-1]
    columns = csr.indices[:end].astype(np.int32)
    return csr.data[:end], columns, csr.indptr.astype(np.int64), csr.shape
