"""Lines for people: as wide as their terminal, and with colours where it is one."""

import io
import os
import sys
import textwrap
import unicodedata
from typing import IO

LABEL = 11  # columns of what stands before a line's text
_LEAST = 40


def open_streams(speaks: bool = True) -> None:
    """Make standard output and error take any text: not all are open, or take all letters.

    They are dropped where another process speaks for this one.
    """
    if not speaks:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed when the process began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten(stream: IO[str]) -> None:
    """Forget what a stream cannot write: it must not fail again when the interpreter ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def width(stream: IO[str]) -> int:
    """Return the columns of a terminal; 0 where it is none, or does not know."""
    if not stream.isatty():
        return 0
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0
    return max(columns, _LEAST) if columns else 0


def visible(text: str) -> str:
    """Return a text without what would move the cursor or cannot be printed; lines stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" or unicodedata.category(letter) == "Zs"
        else "?" for letter in text
    )  # fmt: skip


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide letters take two."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) != 0 for letter in text)


def cut(text: str, most: int) -> str:
    """Return a text in one line that takes at most so many columns."""
    text = visible(text).replace("\n", "?")
    if columns_of(text) <= most:
        return text
    while columns_of(text) > most - 3:
        text = text[:-1]
    return f"{text}..."


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Return a text with blanks behind it, or before it, so that it takes so many columns."""
    blanks = " " * (columns - columns_of(text))
    return blanks + text if right else text + blanks


def tell(line: str) -> None:
    """Print a line whose text starts behind a label, on a terminal wrapped under itself."""
    line = visible(line)
    columns = width(sys.stdout)
    if columns and len(line) > columns:
        line = textwrap.fill(line, columns, subsequent_indent=" " * LABEL)
    print(line, flush=True)


def red(text: str, stream: IO[str]) -> str:
    """Return a text in red on a terminal that has colours: see https://no-color.org."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_plain or not stream.isatty() else f"\x1b[1;31m{text}\x1b[0m"
