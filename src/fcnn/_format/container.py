"""The container of files: named tensors and texts, in the format of safetensors.

Eight bytes hold the header's length n (little-endian), n bytes the header: JSON with the name,
dtype, shape and place of each tensor, and the texts under "__metadata__". The rest are the tensors'
numbers, little-endian, end to end (https://huggingface.co/docs/safetensors). The first text of ours
is a CRC-32 of all bytes of the file, numbers first, with eight zeros in its own place.

Both directions go in pieces of at most a megabyte: a file needs no memory beside the arrays that it
comes from or goes to, and Ctrl-C is heard between two pieces.
"""

import contextlib
import io
import json
import math
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring_ascii as encoded
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._format.replacing import replaced

Array = NDArray[Any]
Tensor = tuple[np.dtype[Any], tuple[int, ...]]
# And where its numbers begin and end.
Entry = tuple[np.dtype[Any], tuple[int, ...], int, int]

# As objects of Python JSON takes up to 23 times its length ("[],[],...").
MOST_HEADER = 1 << 19
# A longer text (the columns of a very wide table) stands among the tensors, its name in its place.
LONG_TEXT = 1 << 16
MOST_TEXT = 1 << 24
_PIECE = 1 << 20
# Bytes that are brought to the disk at a time: the system's call for it hears no Ctrl-C, and takes
# half a second for 250 MB.
_SYNCED = 1 << 24

_CHECKSUM = "checksum"
_DIGITS = "crc32:%08x"
_BEFORE_TEXTS = '{"__metadata__":'
_BEFORE_DIGITS = f'{_BEFORE_TEXTS}{{"{_CHECKSUM}":"crc32:'.encode()
_TEXT = "text."

_NAMES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1",
}  # fmt: skip
_DTYPES = {code: np.dtype(name) for code, name in _NAMES.items()}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_KEYS = {"dtype", "shape", "data_offsets"}
_INTEGERS = {int}  # and not bool


def holds(dtype: np.dtype[Any]) -> bool:
    """Whether a file can have numbers of a type."""
    return dtype.newbyteorder("<") in _CODES


def as_path(path: Any, name: str = "path") -> Path:
    """Return a path, or refuse what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def as_source(path: Any) -> str | memoryview:
    """Return a path, or the bytes that a file would have."""
    if type(path) is str:
        return path
    if isinstance(path, (str, os.PathLike)):
        given = os.fspath(path)
        return given if isinstance(given, str) else os.fsdecode(given)
    try:
        return memoryview(path).cast("B")
    except TypeError:
        raise TypeError(
            f"path: expected a str, an os.PathLike or a file's bytes, got {type(path).__name__}"
        ) from None


def named(source: str | os.PathLike[str] | memoryview) -> str:
    """Return how messages call what is read."""
    return f"{len(source)} bytes" if isinstance(source, memoryview) else str(source)


def brief(text: str, most: int = 400) -> str:
    """Return a text, its middle left out where a file made it long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice")
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def parsed(text: str) -> Any:
    """Return what JSON says, in which no name stands twice."""
    if text.startswith("{"):  # as all of ours do, with nothing around it
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return _DECODER.decode(text)


def pieces(array: Array) -> Iterable[Array]:
    """Return views of an array, a megabyte at most each, in row-major order."""
    return (array,) if array.nbytes <= _PIECE or not array.ndim else _pieces(array)


def _pieces(array: Array) -> Iterator[Array]:
    if array[0].nbytes > _PIECE:
        for row in array:
            yield from pieces(row)
        return
    rows = _PIECE // array[0].nbytes
    for begin in range(0, len(array), rows):
        yield array[begin : begin + rows]


# --- Writing -------------------------------------------------------------------------------------


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file, or replace it at once: see `replaced`."""
    texts, arrays = {_CHECKSUM: _DIGITS % 0}, dict(tensors)
    for key, text in metadata.items():
        texts[key] = text
        if len(text) > LONG_TEXT:
            encoded = text.encode()
            if len(encoded) > MOST_TEXT:  # which nobody could read again
                raise ValueError(f"{path}: {key} takes {len(encoded)} bytes, at most {MOST_TEXT}")
            arrays[_TEXT + key] = np.frombuffer(encoded, np.uint8)
            texts[key] = json.dumps({"tensor": _TEXT + key})
    found = {name: (array.dtype.newbyteorder("<"), array.shape) for name, array in arrays.items()}
    entries, _, behind = _layout(wide_first(found))
    head = (_BEFORE_TEXTS + json.dumps(texts, separators=(",", ":")) + behind).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > MOST_HEADER:
        raise ValueError(f"{path}: its names would take {len(head)} bytes, at most {MOST_HEADER}")
    head = struct.pack("<Q", len(head)) + head
    with replaced(path) as file:
        # The numbers first, each piece a copy: what is written is what was counted, whoever
        # changes it meanwhile.
        file.seek(len(head))
        checksum = unsynced = 0
        for name in entries:
            for piece in pieces(arrays[name]):
                numbers = np.array(piece, piece.dtype.newbyteorder("<"), order="C")
                content = numbers.reshape(-1).view(np.uint8).data
                checksum = zlib.crc32(content, checksum)
                file.write(content)
                unsynced += len(content)
                if unsynced >= _SYNCED:
                    unsynced = 0
                    file.flush()
                    with contextlib.suppress(io.UnsupportedOperation):  # of memory
                        os.fsync(file.fileno())
        checksum = zlib.crc32(head, checksum)
        file.seek(0)
        file.write(head.replace((_DIGITS % 0).encode(), (_DIGITS % checksum).encode(), 1))


def wide_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the order of a file, so that who maps it finds all numbers aligned."""
    return dict(sorted(tensors.items(), key=lambda item: -item[1][0].itemsize))


def _layout(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Entry], int, str]:
    """Return where tensors are, end to end, all their bytes, and the header's end that says so."""
    entries, said, end = {}, [], 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        entries[name] = dtype, shape, begin, end
        said.append(
            f',{encoded(name)}:{{"dtype":"{_CODES[dtype]}","shape":[{",".join(map(str, shape))}],'
            f'"data_offsets":[{begin},{end}]}}'
        )
    return entries, end, "".join(said) + "}"


# --- Reading -------------------------------------------------------------------------------------


class _Memory:
    """The bytes of a file in memory: what is read is a part of them."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._at = content, 0

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, count: int) -> memoryview:
        some = self._content[self._at : self._at + count]
        if len(some) < count:
            raise ValueError("it ends too early: truncated")
        self._at += count
        return some


# A pipe that nobody writes to would block; what was opened is asked, not what the name meant.
_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
    _FLAGS |= getattr(os, _flag, 0)


class _File:
    """An open file, which is read from its beginning to its end."""

    def __init__(self, path: str | Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, _FLAGS)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close  # whenever an interrupt comes

    def seek(self, at: int) -> None:
        os.lseek(self.descriptor, at, os.SEEK_SET)

    def read(self, count: int) -> memoryview:
        """Return the next bytes, a megabyte at most."""
        content = os.read(self.descriptor, count)
        while len(content) < count:
            more = os.read(self.descriptor, count - len(content))
            if not more:
                raise ValueError("it ends too early: truncated")
            content += more
        return memoryview(content)


class Container:
    """An open file, its header read and checked, its numbers not yet read.

    Attributes
    ----------
    metadata : dict of str to str
        Its texts, without the checksum.
    size : int
        The bytes of the file.
    checksum : str or None
        "crc32:" and eight hexadecimal digits, or None of a file without one.
    """

    def __init__(self, file: _File | _Memory, size: int, source: str | Path | memoryview) -> None:
        self._file, self.size, self._source = file, size, source
        first = bytes(file.read(8))
        (length,) = struct.unpack("<Q", first)
        if b"\0" not in first:  # the length of no header that could be
            raise ValueError(f"it begins with {first!r}, as texts and other kinds of files do")
        if length > min(size - 8, MOST_HEADER):
            raise ValueError(
                f"its header would take {length} bytes; the file has {size}, a header at most "
                f"{MOST_HEADER}"
            )
        head = bytes(file.read(length))
        self._begin = 8 + length
        self._text, self._behind = head.decode(), ""
        self._entries: dict[str, Entry] | None = None
        self._is_in_order = False  # that of `has`, which then has found our own words
        if self._text.startswith(_BEFORE_TEXTS + "{"):
            texts, end = _DECODER.raw_decode(self._text, len(_BEFORE_TEXTS))
            self._behind = self._text[end:].rstrip(" ")
        else:
            texts = self._read_header().get("__metadata__", {})
        self.metadata = _texts(texts)
        self.checksum = self.metadata.pop(_CHECKSUM, None)
        if self.checksum is not None:
            begin = len(_BEFORE_DIGITS)
            digits = head[begin : begin + 8].decode()
            if not head.startswith(_BEFORE_DIGITS) or self.checksum != f"crc32:{digits}":
                raise ValueError(f"its checksum is none: {self.checksum!r}")
            head = head[:begin] + b"00000000" + head[begin + 8 :]
        self._head = first + head
        self._long: dict[str, bytes] = {}
        # A tensor whose name begins with it, unless its letters are written as numbers.
        if not self._behind or _TEXT in self._behind or "\\" in self._behind:
            for key in self.metadata:
                if _TEXT + key in self._read_entries():
                    self._long[_TEXT + key] = content = self._long_text(_TEXT + key)
                    self.metadata[key] = content.decode()

    def _read_header(self) -> dict[str, Any]:
        header = parsed(self._text)
        if not isinstance(header, dict):
            raise ValueError("its header is no object of JSON")
        return header

    def _read_entries(self) -> dict[str, Entry]:
        if self._entries is None:
            header = self._read_header()
            header.pop("__metadata__", None)
            self._entries = _entries(header, self.size - self._begin)
        return self._entries

    @property
    def entries(self) -> dict[str, Entry]:
        """The tensors, in the order of their numbers."""
        try:
            return self._read_entries()
        except (ValueError, RecursionError) as error:
            raise _unreadable(self._source, error) from None

    def has(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether its tensors are these and no others, texts left out.

        Files of ours say so in the very words of `write`, which need not be taken apart then, if
        the tensors are given wide ones first.
        """
        if self._entries is None and self._behind:
            entries, end, behind = _layout(tensors)
            if self._behind == behind and self._begin + end == self.size:
                self._entries, self._is_in_order = entries, True
                return True
        return self.tensors == tensors

    def _bytes(self, count: int) -> bytes:
        if count <= _PIECE:
            return bytes(self._file.read(count))
        sizes = [min(_PIECE, count - begin) for begin in range(0, count, _PIECE)]
        return b"".join([bytes(self._file.read(size)) for size in sizes])

    def _long_text(self, name: str) -> bytes:
        """Return the bytes of a text that stands among the tensors."""
        dtype, _, begin, end = self.entries[name]
        if dtype != np.uint8 or end - begin > MOST_TEXT:
            raise ValueError(f"expected {name} as bytes, {MOST_TEXT} at most")
        self._file.seek(self._begin + begin)
        return self._bytes(end - begin)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Dtype and shape of the tensors that are no texts."""
        return {
            name: (dtype, shape) for name, (dtype, shape, _, _) in self.entries.items()
            if name not in self._long
        }  # fmt: skip

    def read(self, into: Mapping[str, Array]) -> None:
        """Read all numbers, once and in their order, and compare the checksum.

        Parameters
        ----------
        into : dict of str to ndarray
            Where tensors go, in the shapes of their entries; others are only counted.

        Raises
        ------
        ValueError
            If the file is shorter than its header says, or its checksum is another.
        """
        texts = {}
        if self._long:
            texts = {name: np.empty(len(text), np.uint8) for name, text in self._long.items()}
            into = {**into, **texts}
        self._file.seek(self._begin)
        checksum = self._read_whole(into) if self.size <= _PIECE else self._read_pieces(into)
        self._compare(checksum)
        if texts and any(text.tobytes() != self._long[name] for name, text in texts.items()):
            raise ValueError("it was changed while it was read")

    def numbers(self, dtype: np.dtype[Any]) -> Array | None:
        """Return all numbers of a small file as one array, and compare the checksum.

        In the order of the tensors that `has` was asked for, all of this dtype; None where they
        stand in another, or not as the core reads them.
        """
        if not self._is_in_order or self.size > _PIECE or not dtype.isnative:
            return None
        self._file.seek(self._begin)
        content = self._file.read(self.size - self._begin)
        self._compare(zlib.crc32(content))
        array = np.frombuffer(content, dtype)
        return array if array.flags.aligned else None

    def _compare(self, checksum: int) -> None:
        """Refuse the file if its checksum is another than that of all numbers and the header."""
        checksum = zlib.crc32(self._head, checksum)
        if self.checksum is not None and self.checksum != _DIGITS % checksum:
            raise ValueError("its checksum is another: damaged, or changed by another program")

    def _read_whole(self, places: Mapping[str, Array]) -> int:
        content, entries = self._file.read(self.size - self._begin), self.entries
        for name, place in places.items():
            dtype, shape, begin, end = entries[name]
            if dtype.kind == "b":
                _refuse_others(name, content[begin:end])
            place[...] = np.ndarray(shape, dtype, content, begin)
        return zlib.crc32(content)

    def _read_pieces(self, places: Mapping[str, Array]) -> int:
        checksum, read = 0, self._file.read
        for name, (dtype, _, begin, end) in self.entries.items():
            if name not in places:
                for at in range(begin, end, _PIECE):
                    checksum = zlib.crc32(read(min(_PIECE, end - at)), checksum)
                continue
            for piece in pieces(places[name]):
                content = read(piece.size * dtype.itemsize)
                checksum = zlib.crc32(content, checksum)
                if dtype.kind == "b":
                    _refuse_others(name, content)
                piece[...] = np.ndarray(piece.shape, dtype, content)
        return checksum


def _refuse_others(name: str, truths: memoryview) -> None:
    if np.frombuffer(truths, np.uint8).max(initial=0) > 1:
        raise ValueError(f"{name}: a truth value that is neither 0 nor 1")


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not {*map(type, value.values())} <= {str}:
        raise ValueError("its metadata are no texts")
    return value


def _entries(header: dict[str, Any], size: int) -> dict[str, Entry]:
    """Return the tensors of a header, which fill the rest of the file, `size` bytes, end to end."""
    entries = {}
    for name, described in header.items():
        if not isinstance(described, dict) or described.keys() != _KEYS:
            raise ValueError(f"expected dtype, shape and data_offsets of {name}, found {described}")
        code, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
        if not isinstance(code, str) or code not in _DTYPES:
            raise ValueError(f"{name}: of a dtype that this fcnn does not read, {code!r}")
        # Bounded, so that a product of them is no work.
        if (
            not isinstance(shape, list)
            or not isinstance(offsets, list)
            or len(shape) > 32
            or len(offsets) != 2
            or {*map(type, counts := [*shape, *offsets])} != _INTEGERS
            or not 0 <= min(counts) <= max(counts) < 2**63
        ):
            raise ValueError(
                f"{name}: expected shape and two data_offsets as whole numbers, found {shape} and "
                f"{offsets}"
            )
        dtype, (begin, end) = _DTYPES[code], offsets
        if end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name}: {code} of shape {shape} does not take bytes {offsets}")
        entries[name] = dtype, tuple(shape), begin, end
    entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
    last = 0
    for name, (_, _, begin, end) in entries.items():
        if begin != last:
            raise ValueError(f"{name}: begins at {begin}, what stands before ends at {last}")
        last = end
    if last != size:
        raise ValueError(f"its tensors take {last} bytes, the file has {size} for them")
    return entries


class opened:  # noqa: N801 (called as a function, like `open`; a generator takes longer)
    """Open a file, or the bytes of one, to read it: a context that gives a `Container`.

    Parameters
    ----------
    source : str, Path or memoryview
    expected : str, optional
        What its content should be: errors that reading it as such leads to become a ValueError that
        says so and begins with the path.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        As `open` does.
    ValueError
        If it is no regular file, or its header is not sound; all begin with the path.
    """

    def __init__(self, source: str | Path | memoryview, expected: str | None = None) -> None:
        self._file: _File | None = None
        self._source, self._expected = source, expected
        if isinstance(source, memoryview):
            self._container = _container(_Memory(source), len(source), source)
            return
        try:
            file = self._file = _File(source)
        except FileNotFoundError:
            raise FileNotFoundError(f"{source}: no such file") from None
        except PermissionError:
            _refuse_folder(source, os.stat(source).st_mode)  # which Windows does not open
            raise
        try:
            status = os.fstat(file.descriptor)
            if not stat.S_ISREG(status.st_mode):
                _refuse_folder(source, status.st_mode)
                raise ValueError(f"{source}: expected a regular file, got a device or a pipe")
            self._container = _container(file, status.st_size, source)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Container:
        return self._container

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._file is not None:
            self._file.close()
        if error is not None and self._expected is not None:
            refuse_nonsense(error, self._source, self._expected)


# What reading nonsense as if it were what it should be leads to.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def refuse_nonsense(
    error: BaseException, source: str | os.PathLike[str] | memoryview, expected: str
) -> None:
    """Turn what a file's content has led to into one error that begins with its path."""
    name = named(source)
    if isinstance(error, _NONSENSE) and not str(error).startswith(f"{name}: "):
        raise ValueError(f"{name}: not {expected} ({brief(str(error))})") from None


def _refuse_folder(path: str | Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path}: expected a model file, got a folder")


def _container(file: _File | _Memory, size: int, source: str | Path | memoryview) -> Container:
    try:
        if isinstance(file, _File) and size <= _PIECE:
            file = _Memory(file.read(size))  # in one call, and of one moment
        return Container(file, size, source)
    except (ValueError, RecursionError) as error:
        raise _unreadable(source, error) from None


def _unreadable(source: str | Path | memoryview, error: Exception) -> ValueError:
    return ValueError(
        f"{named(source)}: not a model file, or a truncated one ({brief(str(error))})"
    )
