"""Parts of samples that are held out, and how they are found again in the same data."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check

Array = NDArray[Any]


def generator(seed: int) -> np.random.Generator:
    """Return the random numbers of a split, which are not those of the initial weights."""
    return np.random.default_rng((seed, 1))


def split(
    name: str,
    share: float,
    rows: int,
    labels: Array | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the shuffled indices of what stays, and of a share that is held out.

    With labels, each class gives its share, to within one sample. `name` is the share's.
    """
    order = rng.permutation(rows)
    if share == 0:
        return order, order[:0]
    if rows < 2:
        raise ValueError(f"{name}: {share:g} of {rows} sample cannot be held out; expected 0")
    count = min(max(round(share * rows), 1), rows - 1)
    by_class = order
    if labels is not None:
        by_class = order[np.argsort(labels[order], kind="stable")]
    # Evenly spaced in the order of the classes.
    held = by_class[((np.arange(count) + 0.5) * rows / count).astype(np.intp)]
    is_held = np.zeros(rows, dtype=bool)
    is_held[held] = True
    return order[~is_held[order]], order[is_held[order]]


@dataclass(frozen=True)
class HeldOut:
    """Rows that a model was tested on, as its file remembers them.

    Attributes
    ----------
    seed, share
        Of the split of all rows that have a target: the generator's seed, and the share held out.
    rows : int
        How many rows there were in all.
    digest : str
        Of the inputs and the targets of those held out, in the order of the split: rows found by
        the split are theirs if they have the same.
    """

    seed: int
    share: float
    rows: int
    digest: str

    @classmethod
    def of(cls, seed: int, share: float, rows: int, X: Array, values: Array) -> HeldOut:
        """Return what is remembered of inputs of the network and values of the target."""
        return cls(seed, share, rows, _digest(X, values))

    def find(self, X: Array, values: Array) -> NDArray[np.intp] | None:
        """Return the indices of the same rows, ascending; None where these are other data.

        Parameters
        ----------
        X : numpy.ndarray, shape (s, n_0)
            All rows, as inputs of the network.
        values : numpy.ndarray
            Labels, shape (s,), or numbers in their own units, (s, n_L).
        """
        if len(X) != self.rows:
            return None
        labels = values if values.ndim == 1 else None
        _, held = split("share", self.share, len(X), labels, generator(self.seed))
        return np.sort(held) if _digest(X[held], values[held]) == self.digest else None

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> HeldOut:
        """Return what `to_json` made, checked."""
        digest = value["digest"]
        if not isinstance(digest, str):
            raise ValueError(f"expected the digest of held-out rows as a text, found {digest!r}")
        return cls(
            check.as_count("seed", value["seed"], 0),
            check.as_number("share", value["share"], above=0, below=1),
            check.as_count("rows", value["rows"], 2), digest,
        )  # fmt: skip


def _digest(X: Array, values: Array) -> str:
    found = hashlib.sha256(np.ascontiguousarray(X, X.dtype.newbyteorder("<")).tobytes())
    found.update(np.ascontiguousarray(values, "<f8").tobytes())
    return found.hexdigest()
