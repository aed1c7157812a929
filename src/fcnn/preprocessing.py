"""How the inputs of a saved model were prepared, and what its outputs are called."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Standardization of the inputs, and the names of a table's columns and classes.

    Attributes
    ----------
    mean, scale : numpy.ndarray of float64, shape (n_0,)
        Inputs become (X - mean) / scale.
    features : tuple of str
        Names of the columns, in order; empty if the data had none.
    target : str
        Name of the target's column; empty if it had none.
    classes : tuple of str
        What each output of a classifier stands for; empty for a regression.
    """

    mean: Array
    scale: Array
    features: tuple[str, ...] = ()
    target: str = ""
    classes: tuple[str, ...] = ()

    def __call__(self, X: ArrayLike) -> Array:
        """Return standardized inputs, float64, the shape of X."""
        standardized: Array = (np.asarray(X, dtype=np.float64) - self.mean) / self.scale
        return standardized

    @classmethod
    def of(cls, X: Array, *, per_feature: bool = True, **names: Any) -> "Preprocessing":
        """Return the standardization that gives X mean 0 and deviation 1.

        Parameters
        ----------
        X : numpy.ndarray, shape (s, n_0)
        per_feature : bool, default True
            Each column by itself, a constant column unscaled; or all entries together, which keeps
            an image's pixels in proportion.
        names
            `features`, `target` and `classes`.
        """
        if X.dtype == bool:
            X = X.astype(np.uint8)
        axis = 0 if per_feature else None
        # float64 sums, whatever X is: the mean of 60,000 images is not for uint8 or float32. In
        # blocks, because a float64 copy of all of X is large and slow.
        blocks = [X[i : i + 1024] for i in range(0, len(X), 1024)]
        count = X.size / np.size(np.sum(X[:1], axis=axis))
        mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks) / count
        squares = (np.square(block - mean).sum(axis=axis) for block in blocks)
        scale = np.sqrt(sum(squares) / count)
        # The deviation of equal numbers can be a rounding error instead of 0.
        varies = (X.max(axis=axis) > X.min(axis=axis)) & (scale > 0)
        scale = np.where(varies, scale, 1.0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError("X: expected numbers whose squares can be added up, got larger ones")
        shape = X.shape[1:]
        return cls(
            np.broadcast_to(mean, shape).copy(), np.broadcast_to(scale, shape).copy(), **names
        )
