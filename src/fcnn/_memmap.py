"""Rows of memory maps, read from their files, so that no page of the map is ever touched.

A page that is touched belongs to the process's memory until it is released, and with it what the
system maps around it: 64 kB under most kernels, 2 MB under Linux 6.18. To release pages in time and
to map them again took twice the time of reading each row from the file (3 kB a row, all of the file
in the system's cache).
"""

# Annotations stay text, as in _validation.py.
from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check

Array = NDArray[Any]

# What is converted at a time.
_PART_BYTES = 1 << 20

# Rows in the system's cache take 2 us each, from a disk 200 us, but 20 us if the disk is told of
# them all beforehand. That takes 1 us, so it is only done once reading has been slow.
_TIMED_ROWS = 256
_SLOW_ROW = 50e-6  # seconds


def is_mapped(array: Any) -> bool:
    """Return whether an array is a numpy.memmap, or a view of one."""
    while array is not None:
        if isinstance(array, np.memmap) and getattr(array, "_mmap", None) is not None:
            return True
        array = getattr(array, "base", None)
    return False


class Rows:
    """Reads rows of an array in any order; a context manager that keeps the file open.

    Where there is no file to read, the rows are copied from the array itself: elsewhere than on
    Linux, if the file was deleted or replaced, or if the map is a private copy (mode "c").

    Parameters
    ----------
    name : str
        Of the array in messages.
    array : numpy.ndarray, shape (s, ...)
        Its numbers may be of any type.
    """

    def __init__(self, name: str, array: Array) -> None:
        self.name = name
        self.array = array
        self.file: int | None = None
        self.place = 0  # of row 0 in the file
        self.is_slow = False

    def __enter__(self) -> Rows:
        # Within a row the numbers must be side by side.
        if is_mapped(self.array) and self.array[:1].flags.c_contiguous:
            self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def _open(self) -> None:
        """Open the file that the array is a map of, if the system says which it is."""
        address = self.array.__array_interface__["data"][0]
        try:
            with open("/proc/self/maps", errors="surrogateescape") as maps:
                for line in maps:
                    span, mode, offset, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
                    begin, end = (int(number, 16) for number in span.split("-"))
                    if begin <= address < end:
                        break
                else:
                    return
            if mode[3] != "s" or not path:
                return
            file = os.open(path[0], os.O_RDONLY)
        except OSError:
            return
        # Another file may have its name by now.
        if os.fstat(file).st_ino != int(inode):
            os.close(file)
            return
        self.file = file
        self.place = int(offset, 16) + address - begin

    def copy(self, index: slice | Array, out: Array) -> None:
        """Copy rows, by a slice or by their numbers, and convert them to out's dtype.

        Raises
        ------
        ValueError
            If a number is too large for it.
        OSError
            If the file cannot be read, or has become shorter than the map.
        """
        if self.file is not None and self.array.dtype == out.dtype:
            self._read(index, out)
            return
        row_bytes = max(self.array[:1].nbytes, 1)
        step = max(_PART_BYTES // row_bytes, 1)
        for i in range(0, len(out), step):
            count = min(step, len(out) - i)
            part: slice | Array
            if isinstance(index, slice):
                part = slice(index.start + i, index.start + i + count)
            else:
                part = index[i : i + count]
            if self.file is None:
                rows = self.array[part]
            else:
                rows = np.empty((count, *self.array.shape[1:]), self.array.dtype)
                self._read(part, rows)
            out[i : i + count] = check.cast(self.name, rows, out.dtype)

    def _read(self, index: slice | Array, out: Array) -> None:
        assert self.file is not None
        octets: Any = out.reshape(-1).view(np.uint8)
        view = memoryview(octets)
        stride, count = self.array.strides[0], len(out)
        size = len(view) // count
        if isinstance(index, slice):
            if stride == size:
                self._read_all(view, self.place + index.start * stride)
                return
            index = np.arange(index.start, index.stop)
        places = (self.place + index * stride).tolist()
        at, file, read, announced = 0, self.file, os.preadv, False
        for i in range(0, count, _TIMED_ROWS):
            if self.is_slow and not announced:
                for place in places[i:]:
                    os.posix_fadvise(file, place, size, os.POSIX_FADV_WILLNEED)
                announced = True
            began = time.perf_counter()
            for place in places[i : i + _TIMED_ROWS]:
                row = view[at : at + size]
                if read(file, (row,), place) != size:
                    self._read_all(row, place)
                at += size
            self.is_slow |= time.perf_counter() - began > _SLOW_ROW * _TIMED_ROWS

    def _read_all(self, view: memoryview, place: int) -> None:
        """Read as often as it takes: one call reads 2 GB at most."""
        assert self.file is not None
        while view:
            count = os.preadv(self.file, (view,), place)
            if count == 0:
                raise OSError(f"{self.name}: the file of the memory map is shorter than the map")
            view = view[count:]
            place += count
