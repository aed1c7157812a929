"""MNIST's images, or, where there are none, others with as many zeros."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnn import datasets

ROWS = 60_000
TEST_ROWS = 10_000
SIDE = 28
# MNIST has 81 % zeros: no pixel outside of 20 x 20 is much used, and of those inside a third.
FRAME = 4
INSIDE = 0.375


@dataclass(frozen=True)
class Images:
    """Rows of pixels from 0 to 1, and what they show."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


def note(folder: Path | None) -> str:
    """Return what the rows named after MNIST have."""
    if folder is None:
        return "MNIST: absent (--mnist DIR); images with as many zeros (81 %) in its place"
    return "MNIST: the images themselves"


def load(folder: Path | None, dtype: str) -> Images:
    """Read a folder with MNIST's IDX files; without one, make a stand-in."""
    if folder is None:
        return stand_in(dtype)
    X, y, X_test, y_test = datasets.load_idx_folder(folder)
    X, X_test = (np.asarray(v / 255, dtype) for v in (X, X_test))
    return Images(X, y, X_test, y_test)


def stand_in(dtype: str) -> Images:
    """Return ten classes of blots: the same share of zeros, not the same difficulty."""
    rng = np.random.default_rng(0)
    rows = ROWS + TEST_ROWS
    # A pixel is inked where a class's smooth field and a little noise of the sample are high.
    size = SIDE - 2 * FRAME
    fields = rng.standard_normal((10, size + 4, size + 4))
    smooth = sum(fields[:, i : i + size, j : j + size] for i in range(5) for j in range(5)) / 5
    y = rng.integers(0, 10, rows)
    inside = smooth.reshape(10, -1).astype("f4")[y]
    inside += 0.5 * rng.standard_normal(inside.shape, "f4")
    inside -= np.quantile(inside[:1000], 1 - INSIDE)
    X = np.zeros((rows, SIDE, SIDE), dtype)
    X[:, FRAME:-FRAME, FRAME:-FRAME] = np.clip(inside, 0, 1).reshape(-1, size, size)
    X = X.reshape(rows, -1)
    return Images(X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:])
