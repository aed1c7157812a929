"""The samples of an epoch, cut into the steps that several ranks make together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn._data import Block
from fcnn._sparse import SparseRows

Array = NDArray[Any]


class Part(NamedTuple):
    """Samples of some steps, for one call of the core."""

    X: Any
    y: Array | None
    order: Array | None
    weight: Array | None

    def __len__(self) -> int:
        return len(self.X) if self.order is None else len(self.order)

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the rows of each shard weigh."""
        if self.weight is None:
            return rows.astype(np.float64)
        weight = self.weight if self.order is None else self.weight[self.order]
        ends = np.cumsum(rows)
        sums = [
            weight[end - count : end].sum(dtype=np.float64)
            for end, count in zip(ends, rows.ravel(), strict=True)
        ]
        return np.array(sums, np.float64).reshape(rows.shape)


class Parts:
    """The blocks of an epoch, from which steps are taken.

    Parameters
    ----------
    blocks : iterator of Block
    batches : int or None
        How many they have; None if that is not known.
    n_in : int
        n_0.
    dtype : numpy.dtype

    Attributes
    ----------
    rows : numpy.ndarray of int64
        Of each batch that is left of the block at hand; empty behind the last block.
    is_last, is_dense, is_weighted : bool
        Of this block.
    """

    def __init__(self, blocks: Iterator[Block], batches: int | None, n_in: int, dtype: Any) -> None:
        self._blocks = blocks
        self._left = batches
        self._nothing = np.zeros((1, n_in), dtype)
        self._block: Block | None = None
        self._at = 0
        self.rows = np.zeros(0, np.int64)
        self.is_last, self.is_dense, self.is_weighted = False, True, False

    def advance(self) -> None:
        """Go to the next block, if all of this one is taken."""
        if len(self.rows) or self.is_last:
            return
        self._block, self._at = next(self._blocks, None), 0
        block = self._block
        self.is_last = block is None
        self.is_dense, self.is_weighted = True, False
        if block is None:
            return
        samples = len(block.X) if block.order is None else len(block.order)
        whole, rest = divmod(samples, block.batch_size)
        self.rows = np.array([block.batch_size] * whole + [rest] * (rest > 0), np.int64)
        self.is_dense = not isinstance(block.X, SparseRows)
        self.is_weighted = block.weight is not None
        if self._left is not None:
            self._left -= len(self.rows)
            self.is_last = self._left <= 0

    def take(self, steps: int) -> Part:
        """Return the samples of the next steps, none behind the last."""
        block, count = self._block, int(self.rows[:steps].sum())
        self.rows = self.rows[steps:]
        if block is None or count == 0:
            return Part(self._nothing, None, np.zeros(0, np.int64), None)
        begin, self._at = self._at, self._at + count
        if block.order is not None:
            return Part(block.X, block.y, block.order[begin : self._at], block.weight)
        if count == len(block.X):
            return Part(block.X, block.y, None, block.weight)
        some = slice(begin, self._at)
        weight = None if block.weight is None else block.weight[some]
        return Part(block.X[some], block.y[some], None, weight)


def added(of_ranks: Sequence[Array]) -> NDArray[np.float64]:
    """Return the sums over all shards of each step, (steps,), in the core's tree."""
    sums = np.concatenate(of_ranks, axis=1)
    while sums.shape[1] > 1:
        pairs = sums[:, : sums.shape[1] // 2 * 2]
        rest = sums[:, pairs.shape[1] :]
        sums = np.concatenate([pairs[:, ::2] + pairs[:, 1::2], rest], axis=1)
    return sums[:, 0]
