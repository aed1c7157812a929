"""Conversion of large arrays, during which Ctrl-C is heard."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Entries that are converted at a time, some milliseconds.
ENTRIES_PER_LOOK = 1 << 21


def converted(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a C-contiguous, aligned, native array of the dtype."""
    if array.size <= ENTRIES_PER_LOOK:
        return np.require(array, dtype, ["C", "A"])
    copy = np.empty(array.shape, dtype)
    rows = max(ENTRIES_PER_LOOK * len(array) // array.size, 1)
    for first in range(0, len(array), rows):  # between two pieces the interpreter looks for Ctrl-C
        copy[first : first + rows] = array[first : first + rows]
    return copy
