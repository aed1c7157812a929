"""Text files of cells: encoding, separator, comments, header; rows that do not fit, by their line.

The cells are read by Python's csv module. Here is only what it must be told, and what it does not
say.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fcnn.tables.numbers import PLAIN
from fcnn.tables.table import MISSING, TableError, quoted

SEPARATORS = ",;\t|"
_SAMPLE = 200  # lines that the separator is chosen by
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_BLANKS = " \t\v\f\x1c\x1d\x1e\x1f"  # of ASCII, those that str.strip takes away and are in cells
_BLOCK = 10_000  # cells that become parts of columns at a time: their rows stay in the cache


@dataclass
class Cells:
    """What a text file holds.

    Attributes
    ----------
    names : list of str
        All different, none empty.
    columns : list of sequences of str
        One for each of `names`, without the blanks around cells.
    lines : sequence of int
        The line of the file where each row begins; the first is 1.
    separator : str
    notes : list of str
    renamed : dict from str to str
        What the file calls the second and later columns of the same name.
    wrong : list of (int, int)
        Line and number of cells of rows that have others than `names`; they are not in `columns`.
    """

    names: list[str]
    columns: list[Sequence[str]]
    lines: Sequence[int]
    separator: str
    notes: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    wrong: list[tuple[int, int]] = field(default_factory=list)


def decoded(data: bytes, source: str, notes: list[str]) -> str:
    """Return the text of a file: UTF-8, UTF-16 with its mark, or else Windows-1252, said aloud."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if encoding == "utf-16" or b"\0" in data:
            raise TableError(f"{source}, line {line}: not a text file ({error.reason})") from None
        text = data.decode("cp1252", errors="replace")
        notes.append(
            f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8; the file is read as "
            "Windows-1252"
        )
    text = text.rstrip("\x1a")  # with which DOS ended files
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError(f"{source}, line {line}: a NUL byte; expected a text file")
    return text


def read_cells(text: str, source: str, header: bool = True) -> Cells:
    """Return the cells of a text file, those of the header as names.

    Raises
    ------
    ValueError
        If there are no rows, or a quote is not closed.
    """
    notes: list[str] = []
    skipped, separator = _preface(text, header)
    separator = separator or _separator(text, skipped)
    try:
        names, columns, lines, wrong = _rectangle(text, skipped, separator, header) or _by_rows(
            text, skipped, separator, source, header, notes
        )
    except csv.Error as error:
        raise TableError(f"{source}, {error}; expected well-formed CSV") from None
    if header:
        _point_at_data(names, columns, notes)
    distinct = distinct_names(names, notes)
    renamed = {new: old for new, old in zip(distinct, names, strict=True) if old and new != old}
    return Cells(distinct, columns, lines, separator, notes, renamed, wrong)


def _rectangle(
    text: str, skipped: int, separator: str, header: bool
) -> tuple[list[str], list[Sequence[str]], Sequence[int], list[tuple[int, int]]] | None:
    """Return what `_by_rows` does, column by column; None where a row is not like the others.

    In a small part of the time: most files are of this kind.
    """
    body = text.rstrip("\r\n")
    for line in itertools.islice(_lines(text), skipped):
        body = body[len(line) :]
    found = _split(body, separator) if '"' not in body else _parsed(body, separator)
    if found is None:
        return None
    columns = found
    if not body.isascii() or any(blank in body for blank in _BLANKS):
        columns = [[*map(str.strip, cells)] for cells in found]
    first = [column[0] for column in columns]
    if not any(first) or first[0].startswith("#"):
        return None
    if header:
        for column in columns:
            del column[0]
    # A comment; cells that are left out at the end.
    if (
        not columns[0]
        or ("#" in body and any(cell.startswith("#") for cell in columns[0]))
        or not any(column[-1] for column in columns)
    ):
        return None
    names = first if header else _numbered(len(first))
    begin = skipped + header + 1
    return names, [*columns], range(begin, begin + len(columns[0])), []


def _split(body: str, separator: str) -> list[list[str]] | None:
    """Return the columns of lines without quotes; None unless all have the same number of cells."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    if not separator.isascii() or separator == "\r":
        return None
    data = np.frombuffer(body.encode(errors="surrogatepass"), np.uint8)
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    begins = np.append(0, ends[:-1] + 1)
    marks = np.flatnonzero(data == ord(separator))
    lengths = ends - begins
    if lengths.max() > csv.field_size_limit():  # csv refuses such cells
        return _parsed(body, separator)
    if not lengths.min() or len(marks) % len(ends):  # an empty line is no row
        return None
    n = len(marks) // len(ends) + 1
    if n > 1 and not ((marks[:: n - 1] >= begins) & (marks[n - 2 :: n - 1] < ends)).all():
        return None
    cells = body.replace("\n", separator).split(separator)
    return [cells[j::n] for j in range(n)]


def _parsed(body: str, separator: str) -> list[list[str]] | None:
    """Return what `_split` does, of lines with quotes; None if a cell has several lines."""
    reader = _reader(_lines(body), separator)
    columns: list[list[str]] = []
    try:
        while rows := list(itertools.islice(reader, max(_BLOCK // max(len(columns), 1), 1))):
            columns = columns or [[] for _ in rows[0]]
            if {*map(len, rows)} != {len(columns)} or not columns:
                return None
            for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
                column += cells
    except csv.Error:
        return None  # `_by_rows` says the line
    return columns if columns and reader.line_num == len(columns[0]) else None


def _lines(text: str) -> Iterator[str]:
    """Yield lines with their ends; unlike io.StringIO, which takes four bytes each, no copy."""
    return (match[0] for match in _LINE.finditer(text))


def _reader(lines: Iterable[str], separator: str, strict: bool = True) -> Any:
    """Return csv's reader; strict: an unclosed quote is an error, not a cell up to the end."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=strict)


def _numbered(n: int) -> list[str]:
    return [f"column_{j}" for j in range(1, n + 1)]


def _by_rows(
    text: str, skipped: int, separator: str, source: str, header: bool, notes: list[str]
) -> tuple[list[str], list[Sequence[str]], Sequence[int], list[tuple[int, int]]]:
    """Return names, columns, the line of each row, and line and length of rows that do not fit."""
    rows = _without_comments(list(_rows(text, skipped, separator)), notes)
    if not rows:
        raise TableError(f"{source}: is empty; expected a header and rows")
    if not any(any(cells) for _, cells in rows):
        raise TableError(f"{source}: has no cells; expected a header and rows")
    if header:
        while not any(rows[0][1]):
            del rows[0]
    names = rows[0][1] if header else []
    body = rows[1:] if header else rows
    # Of one column, "" in quotes is a missing cell; of several, empty cells are a spreadsheet's.
    is_one = max(len(cells) for _, cells in rows) == 1
    while body and not (body[-1][1] if is_one else any(body[-1][1])):
        del body[-1]
    if not body:
        raise TableError(f"{source}: has a header but no rows; expected at least one")
    names, wrong = _fitted(names, body, header)
    sound = [(line, cells) for line, cells in body if len(cells) == len(names)]
    columns: list[Sequence[str]] = list(zip(*(cells for _, cells in sound), strict=True)) or [
        ()
    ] * len(names)
    return names, columns, [line for line, _ in sound], wrong


def _rows(text: str, skipped: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each row begins, and its cells without the blanks around them."""
    reader = _reader(itertools.islice(_lines(text), skipped, None), separator)
    line = skipped + 1
    try:
        for row in reader:
            yield line, [cell.strip() for cell in row]
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"line {line}: {error}") from None


def _preface(text: str, header: bool) -> tuple[int, str]:
    """Return how many lines stand before the table, and the separator if they name it.

    Without a header an empty line is a row of missing cells.
    """
    skipped, separator = 0, ""
    for line in _lines(text):
        content = line.strip("\r\n")
        if skipped == 0 and content.lower().startswith("sep=") and len(content) == 5:
            separator = content[4]
        elif content.strip() or not header:
            break
        skipped += 1
    return skipped, separator


def _without_comments(
    rows: list[tuple[int, list[str]]], notes: list[str]
) -> list[tuple[int, list[str]]]:
    """Return the rows but those that begin with # and have other cells than the rest."""
    marked = [len(cells) for _, cells in rows if cells and cells[0].startswith("#")]
    if not marked:
        return rows
    usual = Counter(len(cells) for _, cells in rows if not (cells and cells[0][:1] == "#"))
    width = usual.most_common(1)[0][0] if usual else 0
    kept, gone = [], []
    for line, cells in rows:
        is_comment = bool(cells) and cells[0].startswith("#") and len(cells) != width
        if is_comment:
            gone.append(line)
        else:
            kept.append((line, cells))
    if gone:
        lines = ", ".join(map(str, gone[:3])) + ", ..." * (len(gone) > 3)
        notes.append(
            f"{len(gone):,} comment line{'s' * (len(gone) > 1)} (#) left out: line {lines}"
        )
    return kept


def _separator(text: str, skipped: int) -> str:
    """Return what separates cells: what gives rows of the same length, as long as the header."""
    lines = [*itertools.islice(_lines(text), skipped, skipped + _SAMPLE)]
    lines = [line for line in lines if not line.startswith("#")] or lines
    best, chosen = (0.0, 0, 0), ","
    for separator in SEPARATORS:
        widths = []
        # Not strict: the sample may end within quotes.
        reader = _reader(lines, separator, strict=False)
        try:
            widths = [len(row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error:  # a cell beyond the reader's limit
            continue
        if not widths:
            continue
        width, count = Counter(widths[1:] or widths).most_common(1)[0]
        if width < 2:
            continue
        share = count / len(widths[1:] or widths)
        fits = {width: 2, width - 1: 1}.get(widths[0], 0)
        # A comma that is in every row may be a decimal one; the header has none.
        score = (round(share, 1) * (fits > 0), fits, width)
        if score > best:
            best, chosen = score, separator
    return chosen


def _fitted(
    names: list[str], body: list[tuple[int, list[str]]], header: bool
) -> tuple[list[str], list[tuple[int, int]]]:
    """Return names for the cells of the rows, which are cut where all have a blank one too many.

    And line and number of cells of the rows that have others.
    """
    given = [cells for _, cells in body if any(cells)]
    widths = Counter(len(cells) for cells in given or [names])
    width = widths.most_common(1)[0][0]
    if not header:
        names = _numbered(width)
    n = len(names)
    if set(widths) == {n + 1}:
        if all(not cells[-1] for cells in given):
            for cells in given:
                del cells[-1]
        else:  # as R writes tables: the names of rows have no name
            names = ["", *names]
            n += 1
    # Blank cells at the end are left out, or added, by spreadsheets.
    for _, cells in body:
        while len(cells) > n and not cells[-1]:
            del cells[-1]
        if not any(cells):  # an empty line is a row of missing cells
            cells[:] = [""] * n
    return names, [(line, len(cells)) for line, cells in body if len(cells) != n]


def _point_at_data(names: list[str], columns: Sequence[Sequence[str]], notes: list[str]) -> None:
    """Note where the header looks like a row of data."""
    if not all(names) or len({*names}) < len(names):
        return
    numbers = [
        j for j in range(len(names))
        if not np.isnan(PLAIN.numbers([c for c in columns[j][:20] if c not in MISSING])).any()
    ]  # fmt: skip
    heads = [names[j] for j in numbers]
    values = PLAIN.numbers(heads)
    if not heads or (values != values).any():
        return
    # Years and the like may well be names.
    whole = all(name.isdigit() for name in heads) and list(values) == sorted({*values.tolist()})
    if whole and len(heads) > 1:
        return
    notes.append(
        "the first line looks like data, not like names "
        f"({', '.join(quoted(name) for name in names[:4])}); if it is, say --no-header"
    )


def distinct_names(names: list[str], notes: list[str]) -> list[str]:
    """Return names that are all different, as pandas makes them."""
    taken: Counter[str] = Counter()
    given = {*names}
    result = []
    for j, name in enumerate(names):
        unique = name or f"Unnamed: {j}"
        while taken[unique] or (unique != name and unique in given):
            taken[name] += 1
            unique = f"{name}.{taken[name] - 1}"
        taken[unique] += 1
        result.append(unique)
        if name and unique != name:
            notes.append(f"columns named {name!r} twice: the one at {j + 1} is {unique!r} here")
    return result
