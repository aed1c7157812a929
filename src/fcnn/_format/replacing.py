"""A file takes another's place at once, when it is complete."""

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


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


def refuse_unwritable(
    path: str | os.PathLike[str], name: str = "path", *, in_place: bool = False
) -> None:
    """Refuse where no file can be written, before the work that it is to hold.

    It is tried, and nothing is left behind. A file that is written in place, not by `replaced`,
    needs no room beside it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{name}: {path} is a folder; expected a file")
    if path.exists() and not path.is_file():
        return  # a device or a pipe: opening it would already mean something
    try:
        if in_place and path.exists():
            with open(path, "ab"):
                pass
            return
        temporary, descriptor = _temporary_beside(Path(os.path.realpath(path)))
        os.close(descriptor)
        temporary.unlink()
    except OSError as error:
        raise type(error)(f"{name}: {path} cannot be written: {error.strerror}") from None


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
