"""Lines for people: as wide as their terminal, and with colours where it is one."""

import os
import sys
import textwrap
from typing import IO

LABEL = 11  # columns of what stands before a line's text
_LEAST = 40


def width(stream: IO[str]) -> int:
    """Return the columns of a terminal; 0 where it is none, or does not know."""
    if not stream.isatty():
        return 0
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0
    return max(columns, _LEAST) if columns else 0


def tell(line: str) -> None:
    """Print a line whose text starts behind a label, on a terminal wrapped under itself."""
    columns = width(sys.stdout)
    if columns and len(line) > columns:
        line = textwrap.fill(line, columns, subsequent_indent=" " * LABEL)
    print(line, flush=True)


def red(text: str, stream: IO[str]) -> str:
    """Return a text in red on a terminal that has colours: see https://no-color.org."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_plain or not stream.isatty() else f"\x1b[1;31m{text}\x1b[0m"
