"""Data sets: the digits shipped with fcnn, points on a plane, readers for IDX and NumPy archives.

Every reader returns arrays with one sample per row, ready for ``Network.fit``. A file that is not
what its reader expects is refused with a ``ValueError`` that names the file, what it holds and what
was expected; a file that is not there, with a ``FileNotFoundError``.
"""

# gzip, zipfile and importlib.resources are imported where they are used: together they take
# longer than all of fcnn's own modules, and most programs never read a data set.
from __future__ import annotations

import math
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._packed import most_unpacked, too_large

if TYPE_CHECKING:
    import gzip

__all__ = [
    "load_digits",
    "load_idx",
    "load_idx_folder",
    "load_npz",
    "make_circles",
    "make_moons",
    "make_spirals",
    "make_xor",
]


def __dir__() -> list[str]:
    return __all__


Array: TypeAlias = NDArray[Any]
PathArgument: TypeAlias = str | os.PathLike[str]
Split: TypeAlias = tuple[Array, Array | None, Array | None, Array | None]


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the 1,797 handwritten digits that come with fcnn.

    Returns
    -------
    X : float32 array of shape (1797, 64)
        Images of 8 x 8 pixels, row by row, with values from 0 (blank) to 16 (full).
    y : int64 array of shape (1797,)
        The digits, 0 to 9.

    Notes
    -----
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, doi 10.24432/C50P49, test part; CC BY 4.0.
    """
    from importlib import resources

    packed = resources.files("fcnn").joinpath("data", "digits.npz")
    with packed.open("rb") as stream, np.load(stream) as archive:
        images, labels = archive["images"], archive["labels"]
    return images.reshape(len(images), -1).astype(np.float32), labels.astype(np.int64)


# --- IDX, the format of MNIST ---------------------------------------------------------------------

_IDX_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_IDX_NAME = re.compile(
    r"(?P<prefix>.+-)?(?P<part>train|t10k|test)-(?P<content>images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?"
)
_IDX_ROLES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}


def load_idx(path: PathArgument) -> Array:
    """Read one IDX file, the format of MNIST, packed with gzip or not.

    Parameters
    ----------
    path : str or os.PathLike
        The file. Whether it is packed is decided by its content, not by its name.

    Returns
    -------
    ndarray
        The shape the file announces; uint8, int8, int16, int32, float32 or float64 in native byte
        order; C-contiguous and writable.

    Raises
    ------
    FileNotFoundError
        There is no such file, or `path` is a directory.
    ValueError
        The file is not an IDX file, is damaged, or holds less or more than its header announces.

    Notes
    -----
    Source: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/. Two zero bytes,
    one for the element type, one for the number of dimensions, the dimensions as big-endian 32-bit
    integers, then the elements, big-endian, last dimension fastest.
    """
    import gzip

    path = _file(path)
    with open(path, "rb") as stream:
        if stream.peek(2)[:2] != b"\x1f\x8b":
            return _read_idx(stream, path)
        status = os.fstat(stream.fileno())
        packed = status.st_size if stat.S_ISREG(status.st_mode) else None
        with _intact(path, "gzip file", gzip.BadGzipFile), gzip.open(stream) as unpacked:
            return _read_idx(unpacked, path, packed)


def load_idx_folder(path: PathArgument) -> Split:
    """Read the four files of MNIST, or of a data set published in the same form, from a folder.

    Parameters
    ----------
    path : str or os.PathLike
        A folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and, unless there is
        no test set, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. Each may end in
        ``.gz``, have a dot before ``idx``, say ``test`` for ``t10k`` and start with the name of the
        data set and a dash, as in ``emnist-digits-train-images-idx3-ubyte.gz``. Of a file and its
        ``.gz`` the unpacked one is read.

    Returns
    -------
    X_train : array of shape (n_train, pixels)
        Images as flat rows, in the element type of the file.
    y_train : int64 array of shape (n_train,)
    X_test : array of shape (n_test, pixels), or None without test files
    y_test : int64 array of shape (n_test,), or None without test files

    Raises
    ------
    FileNotFoundError
        There is no such folder, or one of the files is missing.
    ValueError
        Two files have the same role, the files belong to different data sets, images and labels
        differ in number, or a file is not what `load_idx` accepts.
    """
    folder = _path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"path: expected a folder, there is none at {str(folder)!r}")

    found: dict[tuple[str, str], Path] = {}
    prefixes: set[str] = set()
    for file in sorted(folder.iterdir()):
        match = _IDX_NAME.fullmatch(file.name)
        # Tools that download MNIST leave the packed file beside the unpacked one: not a second set.
        unpacked_beside = file.suffix == ".gz" and file.with_suffix("").is_file()
        if match is None or unpacked_beside or not file.is_file():
            continue
        role = "train" if match["part"] == "train" else "test", match["content"][:6]
        if role in found:
            raise ValueError(
                f"{folder} holds both {found[role].name} and {file.name}; "
                f"expected one file with the {role[0]} {role[1]}"
            )
        found[role] = file
        prefixes.add(match["prefix"] or "")

    names = ", ".join(file.name for file in found.values()) or "none"
    needed = list(_IDX_ROLES)[: 4 if any(part == "test" for part, _ in found) else 2]
    missing = [_IDX_ROLES[role] for role in needed if role not in found]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {' and '.join(missing)} (looked for with and without .gz); "
            f"IDX files found: {names}"
        )
    if len(prefixes) > 1:
        raise ValueError(f"{folder} holds files of different data sets ({names}); expected one set")

    arrays: list[tuple[str, Array]] = []
    for role in needed:
        values = load_idx(found[role])
        if role[1] == "labels":
            if values.ndim != 1 or values.dtype.kind not in "iu":
                raise ValueError(
                    f"{found[role]} holds {values.dtype} values of shape {values.shape}; "
                    "expected integer labels in one dimension"
                )
            values = values.astype(np.int64)
        arrays.append((found[role].name, values))
    return _split(folder, arrays)


def _read_idx(stream: BinaryIO | gzip.GzipFile, path: Path, packed: int | None = None) -> Array:
    magic = _read(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or magic[3] == 0:
        raise ValueError(
            f"{path} is not an IDX file: it starts with [{magic.hex(' ')}]; expected two zero "
            "bytes, an element type (08, 09, 0b, 0c, 0d or 0e) and the number of dimensions"
        )
    header = _read(stream, 4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError(
            f"{path} announces {magic[3]} dimensions, {4 * magic[3]} bytes, "
            f"but ends after {len(header)} of them"
        )
    dtype = _IDX_TYPES[magic[2]]
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    most = expected if packed is None else min(expected, most_unpacked(packed))
    data = _read(stream, most + 1)
    if packed is not None and most < expected and len(data) > most:
        raise ValueError(too_large(path, packed))
    if len(data) != expected:
        raise ValueError(
            f"{path} announces {' x '.join(map(str, shape))} values of type {dtype.name}, "
            f"that is {expected} bytes of data, but holds "
            f"{len(data) if len(data) < expected else 'more'}"
        )
    native = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    try:
        return native.reshape(shape)
    except ValueError as error:
        raise ValueError(
            f"{path} announces the shape {shape}, which NumPy cannot hold: {error}"
        ) from error


def _read(stream: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    # In pieces, because read(count) allocates count bytes before it looks at the file, and count
    # may come from a damaged header.
    data = bytearray()
    while piece := stream.read(min(count - len(data), 1 << 20)):
        data += piece
    return data


# --- NumPy archives -------------------------------------------------------------------------------


def load_npz(path: PathArgument) -> Split:
    """Read training data, and test data if there is any, from a NumPy archive.

    Parameters
    ----------
    path : str or os.PathLike
        A file written by ``numpy.savez`` or ``numpy.savez_compressed`` with the keys ``X`` and
        ``y``, or ``X_train`` and ``y_train``, and optionally ``X_test`` and ``y_test``, in upper or
        lower case; or ``X`` alone. Other keys are not read. Pickled objects are refused.

    Returns
    -------
    X_train : array of shape (n_train, features)
        With more than two dimensions, all but the first are flattened.
    y_train : array with n_train rows, or None where the archive holds `X` alone
    X_test : array of shape (n_test, features), or None without test data
    y_test : array with n_test rows, or None without test data

    Raises
    ------
    FileNotFoundError
        There is no such file, or `path` is a directory.
    ValueError
        The file is not a NumPy archive or is damaged, keys are missing or ambiguous, an array has
        the wrong shape or type, or `X` and `y` differ in the number of samples.
    """
    path = _file(path)
    import zipfile

    # Opened first, because is_zipfile takes a file that it may not read for one that is no archive.
    with open(path, "rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(
                f"{path}, {path.stat().st_size} bytes, is not an .npz archive or not a complete "
                "one; expected a file written by numpy.savez"
            )
        stream.seek(0)
        # Exception: of damage zipfile and NumPy raise a dozen kinds, those of tokenize, too.
        with _intact(path, ".npz archive", Exception):
            archive = np.load(stream, allow_pickle=False)
        keys = _npz_keys(path, archive.files)
        with _intact(path, ".npz archive", Exception):
            arrays = [(key, _npz_array(archive, key)) for key in keys]
    if len(arrays) == 1:
        return _flattened(path, *arrays[0]), None, None, None
    return _split(path, arrays)


def _npz_array(archive: Any, key: str) -> NDArray[Any]:
    """Return an array; refuse one that its file has no numbers for before memory is asked for."""
    info = archive.zip.getinfo(key if key in archive.zip.namelist() else f"{key}.npy")
    form = np.lib.format
    with archive.zip.open(info) as stream:
        if stream.read(len(form.MAGIC_PREFIX)) == form.MAGIC_PREFIX:
            stream.seek(0)
            # Version 3 is of records, whose names are not Latin.
            readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
            shape, _, dtype = readers[form.read_magic(stream)](stream)
            needed = math.prod(shape) * dtype.itemsize
            if needed > info.file_size:
                raise ValueError(
                    f"{key} of shape {shape} needs {needed} bytes, there are {info.file_size}"
                )
    # asarray: a member that is no array comes as bytes.
    return np.asarray(archive[key])


def _npz_keys(path: Path, keys: Sequence[str]) -> list[str]:
    """Return the keys of X and y for training and, if there are any, for testing; or of X alone."""
    by_lower = {key.lower(): key for key in keys}
    if by_lower.keys() & {"x", "y", "x_train", "y_train", "x_test", "y_test"} == {"x"}:
        return [by_lower["x"]]
    train = [names for names in ("x y", "x_train y_train") if set(names.split()) & by_lower.keys()]
    test = ["x_test y_test"] if {"x_test", "y_test"} & by_lower.keys() else []
    wanted = " ".join(train + test).split()
    if len(train) != 1 or len(by_lower) != len(keys) or not by_lower.keys() >= set(wanted):
        raise ValueError(
            f"{path} holds the keys {list(keys)}; expected X, X and y, or X_train and y_train, "
            "optionally with both X_test and y_test"
        )
    return [by_lower[name] for name in wanted]


# --- Shared ---------------------------------------------------------------------------------------


def _path(path: PathArgument) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: got {type(path).__name__}, expected a str or os.PathLike")
    return Path(path)


def _file(path: PathArgument) -> Path:
    file = _path(path)
    if file.is_dir():
        raise FileNotFoundError(f"path: {str(file)!r} is a directory, expected a file")
    if not file.exists():
        raise FileNotFoundError(f"path: there is no file {str(file)!r}")
    return file


@contextmanager
def _intact(path: Path, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what an unpacker raises on damaged content into a ValueError that names the file."""
    damaged: tuple[type[Exception], ...] = (EOFError, zlib.error, *errors)
    try:
        yield
    except MemoryError:
        raise
    except damaged as error:
        raise ValueError(f"{path} cannot be read as an intact {kind}: {error}") from error


def _flattened(path: Path, name: str, x: Array) -> Array:
    if x.ndim < 2 or x.dtype.kind not in "buif":
        raise ValueError(
            f"{path}: {name} holds {x.dtype} values of shape {x.shape}; "
            "expected real numbers in at least two dimensions, samples first"
        )
    # The product instead of -1, which is undefined for an array without samples.
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _split(path: Path, arrays: Sequence[tuple[str, Array]]) -> Split:
    """Check and flatten [(name, X), (name, y)] for training, optionally followed by the test's."""
    checked: list[Array] = []
    for (x_name, x), (y_name, y) in zip(arrays[::2], arrays[1::2], strict=True):
        flat = _flattened(path, x_name, x)
        if y.ndim == 0 or len(x) != len(y):
            raise ValueError(
                f"{path}: {x_name} has shape {x.shape} but {y_name} has shape {y.shape}; "
                "expected the same number of samples"
            )
        checked += [flat, y]
    if len(checked) == 2:
        return checked[0], checked[1], None, None
    x_train, y_train, x_test, y_test = checked
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(
            f"{path}: {arrays[0][0]} has {x_train.shape[1]} values per sample but {arrays[2][0]} "
            f"has {x_test.shape[1]}; expected the same number"
        )
    return x_train, y_train, x_test, y_test


# --- Two classes on a plane -----------------------------------------------------------------------


MOST_SAMPLES = 100_000_000  # of a toy: 1.6 GB


def make_xor(
    samples: int = 200, noise: float = 0.1, rng: int | np.random.Generator | None = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return points around the corners of a square: opposite corners are of one class.

    No straight line parts the classes: the smallest task that needs a hidden layer.

    Parameters
    ----------
    samples : int, default 200
        Points, as many of each corner as possible.
    noise : float, default 0.1
        Standard deviation that is added to both coordinates.
    rng : int, numpy.random.Generator or None, default 0
        Seed or generator.

    Returns
    -------
    X : float64 array of shape (samples, 2)
        The corners are (0, 0), (0, 1), (1, 0) and (1, 1).
    y : int64 array of shape (samples,)
        1 where the coordinates of the corner differ, else 0.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    """
    samples, noise, generator = _as_toy(samples, noise, rng)
    corner = np.arange(samples) % 4
    X = np.column_stack([corner // 2, corner % 2]).astype(np.float64)
    return _scattered(X, (corner // 2) ^ (corner % 2), noise, generator)


def make_circles(
    samples: int = 200,
    noise: float = 0.1,
    factor: float = 0.5,
    rng: int | np.random.Generator | None = 0,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two circles around the origin, one inside the other.

    Parameters
    ----------
    samples, noise, rng
        As for `make_xor`.
    factor : float, default 0.5
        Radius of the inner circle, from 0 to 1; that of the outer one is 1.

    Returns
    -------
    X : float64 array of shape (samples, 2)
    y : int64 array of shape (samples,)
        0 on the outer circle, 1 on the inner one.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    """
    factor = check.as_number("factor", factor, least=0, below=1)
    samples, noise, generator = _as_toy(samples, noise, rng)
    y, turns = _two_curves(samples)
    angle = 2 * math.pi * turns
    radius = np.where(y == 1, factor, 1.0)
    X = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return _scattered(X, y, noise, generator)


def make_moons(
    samples: int = 200, noise: float = 0.1, rng: int | np.random.Generator | None = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two half circles that reach into each other.

    Parameters
    ----------
    samples, noise, rng
        As for `make_xor`.

    Returns
    -------
    X : float64 array of shape (samples, 2)
    y : int64 array of shape (samples,)
        0 on the upper half circle, around (0, 0); 1 on the lower one, around (1, 0.5).

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    """
    samples, noise, generator = _as_toy(samples, noise, rng)
    y, turns = _two_curves(samples, closed=False)
    c, s = np.cos(math.pi * turns), np.sin(math.pi * turns)
    X = np.column_stack([np.where(y == 0, c, 1 - c), np.where(y == 0, s, 0.5 - s)])
    return _scattered(X, y, noise, generator)


def make_spirals(
    samples: int = 200,
    noise: float = 0.02,
    turns: float = 1.5,
    rng: int | np.random.Generator | None = 0,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two spirals that wind around each other.

    Parameters
    ----------
    samples, noise, rng
        As for `make_xor`; `noise` is 0.02 by default.
    turns : float, default 1.5
        How often they go around the origin.

    Returns
    -------
    X : float64 array of shape (samples, 2)
        Their radius grows with the angle, up to 1.
    y : int64 array of shape (samples,)

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    """
    turns = check.as_number("turns", turns, above=0)
    samples, noise, generator = _as_toy(samples, noise, rng)
    y, along = _two_curves(samples, closed=False)
    radius = 0.08 + 0.92 * along  # from a gap in the middle, where they would touch
    angle = 2 * math.pi * turns * along + math.pi * y
    X = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return _scattered(X, y, noise, generator)


def _as_toy(samples: Any, noise: Any, rng: Any) -> tuple[int, float, np.random.Generator]:
    count = check.as_count("samples", samples)
    if count > MOST_SAMPLES:
        raise ValueError(f"samples: expected at most {MOST_SAMPLES:,}, got {count:,}")
    return count, check.as_number("noise", noise, least=0), check.as_generator(rng)


def _two_curves(samples: int, closed: bool = True) -> tuple[Any, Any]:
    """Return classes 0 and 1 in turn, and for each point its place from 0 to 1 along its curve."""
    y = np.arange(samples) % 2
    counts = np.array([(samples + 1) // 2, samples // 2])
    steps = counts if closed else np.maximum(counts - 1, 1)
    return y, (np.arange(samples) // 2) / steps[y]


def _scattered(X: Array, y: Array, noise: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return noisy points in random order."""
    order = rng.permutation(len(X))
    return (X + noise * rng.normal(size=X.shape))[order], y[order].astype(np.int64)
