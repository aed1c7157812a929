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
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

Array = NDArray[Any]

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
_BEFORE_DIGITS = b'{"__metadata__":{"checksum":"crc32:'
_CHECKSUM_TEXT = re.compile(r"crc32:[0-9a-f]{8}")
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


class Entry(NamedTuple):
    """A tensor of a file, and where its numbers begin and end."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def as_path(path: Any, name: str = "path") -> Path:
    """Return a path, or refuse what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def as_source(path: Any) -> str | memoryview:
    """Return a path, or the bytes that a file would have."""
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
    return _DECODER.decode(text)


def pieces(array: Array) -> Iterator[Array]:
    """Yield views of an array, a megabyte at most each, in row-major order."""
    if array.nbytes <= _PIECE or not array.ndim:
        yield array
        return
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
    # Wide numbers first, so that a reader that maps the file finds all of them aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    header: dict[str, Any] = {"__metadata__": texts}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        code = _CODES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": (begin, end)}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > MOST_HEADER:
        raise ValueError(f"{path}: its names would take {len(head)} bytes, at most {MOST_HEADER}")
    head = struct.pack("<Q", len(head)) + head
    with replaced(path) as file:
        # The numbers first, each piece a copy: what is written is what was counted, whoever
        # changes it meanwhile.
        file.seek(len(head))
        checksum = unsynced = 0
        for array in arrays.values():
            for piece in pieces(array):
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file's content, or replace it at once: see `replaced`."""
    with replaced(path) as file:
        file.write(content)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Give a file to be written, which takes the place of another at once when it is complete.

    A reader, or whoever comes after a crash, finds the old content or the new one, and the
    permissions of before. What a process left behind that was killed in this is removed.
    """
    given = path
    if given.exists() and not given.is_file() and not given.is_dir():
        memory = io.BytesIO()  # a device or a pipe is written to, never replaced
        yield memory
        given.write_bytes(memory.getbuffer())
        return
    path = Path(os.path.realpath(path))  # a link stays a link
    temporary: Path | None = None
    try:
        _remove_abandoned(path.parent)
        temporary, descriptor = _temporary_beside(path)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(temporary, path)  # while it is locked
        if fcntl is None:
            os.replace(temporary, path)  # which Windows does to closed files
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            # Of the file that was asked for, not of the temporary one.
            raise type(error)(error.errno, error.strerror, str(given)) from None
        raise
    _sync_folder(path.parent)


# Not the names of versions that held no lock on theirs.
_TEMPORARY = re.compile(r"\.fcnn\.[0-9a-f]{16}")


def _temporary_beside(path: Path) -> tuple[Path, int]:
    """Return a new file in the folder of another, with its permissions, open and locked.

    In the same folder, because a rename is atomic only within one file system. The lock, which ends
    with its process, tells `_remove_abandoned` that somebody is at work.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0)
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
    while True:
        temporary = path.with_name(f".fcnn.{os.urandom(8).hex()}")
        descriptor = os.open(temporary, flags, 0o666 if mode is None else mode & 0o700)
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not os.fstat(descriptor).st_nlink:  # removed before it was locked
                    os.close(descriptor)
                    continue
                if mode is not None:
                    os.fchmod(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return temporary, descriptor


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of processes that are no more."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                if fcntl is None:
                    os.unlink(entry.path)  # refused by Windows while it is open
                    continue
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
                finally:
                    os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, without which a power cut may undo it."""
    if fcntl is None:
        return  # Windows opens no folder
    with contextlib.suppress(OSError):  # one that may be written and not read, or not synced
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


class _File:
    """An open file, which is read from its beginning to its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def seek(self, at: int) -> None:
        os.lseek(self._descriptor, at, os.SEEK_SET)

    def read(self, count: int) -> memoryview:
        """Return the next bytes, a megabyte at most."""
        content = os.read(self._descriptor, count)
        while len(content) < count:
            more = os.read(self._descriptor, count - len(content))
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
    entries : dict of str to Entry
        Its tensors, in the order of their numbers.
    size : int
        The bytes of the file.
    checksum : str or None
        "crc32:" and eight hexadecimal digits, or None of a file without one.
    """

    def __init__(self, file: _File | _Memory, size: int) -> None:
        self._file, self.size = file, size
        first = self._bytes(8)
        (length,) = struct.unpack("<Q", first)
        if length > min(size - 8, MOST_HEADER):
            raise ValueError(
                f"its header would take {length} bytes; the file has {size}, a header at most "
                f"{MOST_HEADER}"
            )
        head = self._bytes(length)
        header = parsed(head.decode())
        if not isinstance(header, dict):
            raise ValueError("its header is no object of JSON")
        self.metadata = _texts(header.pop("__metadata__", {}))
        self.entries = _entries(header, size - 8 - length)
        self._begin = 8 + length
        self.checksum = self.metadata.pop(_CHECKSUM, None)
        if self.checksum is not None:
            begin = len(_BEFORE_DIGITS)
            if not (
                _CHECKSUM_TEXT.fullmatch(self.checksum)
                and head.startswith(_BEFORE_DIGITS)
                and head[begin : begin + 8].decode() == self.checksum[6:]
            ):
                raise ValueError(f"its checksum is none: {self.checksum!r}")
            head = head[:begin] + b"00000000" + head[begin + 8 :]
        self._head = first + head
        self._long: dict[str, bytes] = {}
        for key in self.metadata:
            if _TEXT + key in self.entries:
                self._long[_TEXT + key] = content = self._long_text(_TEXT + key)
                self.metadata[key] = content.decode()

    def _bytes(self, count: int) -> bytes:
        if count <= _PIECE:
            return bytes(self._file.read(count))
        sizes = [min(_PIECE, count - begin) for begin in range(0, count, _PIECE)]
        return b"".join([bytes(self._file.read(size)) for size in sizes])

    def _long_text(self, name: str) -> bytes:
        """Return the bytes of a text that stands among the tensors."""
        entry = self.entries[name]
        if entry.dtype != np.uint8 or entry.end - entry.begin > MOST_TEXT:
            raise ValueError(f"expected {name} as bytes, {MOST_TEXT} at most")
        self._file.seek(self._begin + entry.begin)
        return self._bytes(entry.end - entry.begin)

    @property
    def tensors(self) -> dict[str, Entry]:
        """The tensors that are no texts."""
        return {name: entry for name, entry in self.entries.items() if name not in self._long}

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
        texts = {name: np.empty(len(text), np.uint8) for name, text in self._long.items()}
        places = {**into, **texts}
        checksum = 0

        def read(count: int) -> memoryview:
            nonlocal checksum
            content = self._file.read(count)
            checksum = zlib.crc32(content, checksum)
            return content

        self._file.seek(self._begin)
        for name, entry in self.entries.items():
            if name not in places:
                for begin in range(entry.begin, entry.end, _PIECE):
                    read(min(_PIECE, entry.end - begin))
                continue
            for piece in pieces(places[name]):
                content = read(piece.size * entry.dtype.itemsize)
                if entry.dtype.kind == "b" and np.frombuffer(content, np.uint8).max(initial=0) > 1:
                    raise ValueError(f"{name}: a truth value that is neither 0 nor 1")
                piece[...] = np.ndarray(piece.shape, entry.dtype, content)
        checksum = zlib.crc32(self._head, checksum)
        if self.checksum is not None and self.checksum != _DIGITS % checksum:
            raise ValueError("its checksum is another: damaged, or changed by another program")
        if any(text.tobytes() != self._long[name] for name, text in texts.items()):
            raise ValueError("it was changed while it was read")


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
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
        entries[name] = Entry(dtype, tuple(shape), begin, end)
    entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
    last = 0
    for name, (_, _, begin, end) in entries.items():
        if begin != last:
            raise ValueError(f"{name}: begins at {begin}, what stands before ends at {last}")
        last = end
    if last != size:
        raise ValueError(f"its tensors take {last} bytes, the file has {size} for them")
    return entries


@contextlib.contextmanager
def opened(source: str | Path | memoryview) -> Iterator[Container]:
    """Open a file, or the bytes of one, to read it.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        As `open` does.
    ValueError
        If it is no regular file, or its header is not sound, or what is done with it finds fault;
        all begin with the path.
    """
    if isinstance(source, memoryview):
        yield _container(_Memory(source), len(source), source)
        return
    # A pipe that nobody writes to would block; what was opened is asked, not what the name meant.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(source, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise FileNotFoundError(f"{source}: no such file") from None
    except PermissionError:
        _refuse_folder(source, os.stat(source).st_mode)  # which Windows does not open
        raise
    try:
        status = os.fstat(descriptor)
        _refuse_folder(source, status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{source}: expected a regular file, got a device or a pipe")
        yield _container(_File(descriptor), status.st_size, source)
    finally:
        os.close(descriptor)


def _refuse_folder(path: str | Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path}: expected a model file, got a folder")


def _container(file: _File | _Memory, size: int, source: str | Path | memoryview) -> Container:
    try:
        if isinstance(file, _File) and size <= _PIECE:
            file = _Memory(file.read(size))  # in one call, and of one moment
        return Container(file, size)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{named(source)}: not a model file, or a truncated one ({brief(str(error))})"
        ) from None
