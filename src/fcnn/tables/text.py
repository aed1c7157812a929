"""Text files of cells: encoding, separator, comments, header; rows that do not fit, by their line.

The cells are read by Python's csv module. Here is only what it must be told, and what it does not
say.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fcnn.tables.numbers import PLAIN
from fcnn.tables.rectangle import lines_of, reader_of, rectangle
from fcnn.tables.table import MISSING, TableError, quoted

SEPARATORS = ",;\t|"
_SAMPLE = 200  # lines that the separator is chosen by


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
    columns: list[Sequence[str]]
    lines: Sequence[int]
    skipped, separator = _preface(text, header)
    separator = separator or _separator(text, skipped)
    try:
        found = rectangle(text, skipped, separator, header)
        if found is None:
            names, columns, lines, wrong = _by_rows(text, skipped, separator, source, header, notes)
        else:
            names, columns, wrong = found[0] or _numbered(len(found[1])), [*found[1]], []
            begin = skipped + header + 1
            lines = range(begin, begin + len(columns[0]))
    except csv.Error as error:
        raise TableError(f"{source}, {error}; expected well-formed CSV") from None
    if header:
        _point_at_data(names, columns, notes)
    distinct = distinct_names(names, notes)
    renamed = {new: old for new, old in zip(distinct, names, strict=True) if old and new != old}
    return Cells(distinct, columns, lines, separator, notes, renamed, wrong)


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
    rest = len(body)
    while rest and not (body[rest - 1][1] if is_one else any(body[rest - 1][1])):
        rest -= 1
    if not rest:
        raise TableError(f"{source}: has a header but no rows; expected at least one")
    # Lines without anything, as many a file has at its end, are none.
    notes.extend(ending_note(sum(len(cells) > 1 for _, cells in body[rest:])))
    del body[rest:]
    names, wrong = _fitted(names, body, header, notes)
    sound = [(line, cells) for line, cells in body if len(cells) == len(names)]
    columns: list[Sequence[str]] = list(zip(*(cells for _, cells in sound), strict=True)) or [
        ()
    ] * len(names)
    return names, columns, [line for line, _ in sound], wrong


def ending_note(count: int) -> list[str]:
    """Return what is said of empty rows behind the last one with a value."""
    return [f"{count:,} empty row{'s' * (count > 1)} at the end left out"] * (count > 0)


def _rows(text: str, skipped: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each row begins, and its cells without the blanks around them."""
    reader = reader_of(itertools.islice(lines_of(text), skipped, None), separator)
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
    for line in lines_of(text):
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
    lines = [*itertools.islice(lines_of(text), skipped, skipped + _SAMPLE)]
    lines = [line for line in lines if not line.startswith("#")] or lines
    best, chosen = (0.0, 0, 0), ","
    for separator in SEPARATORS:
        widths = []
        # Not strict: the sample may end within quotes.
        reader = reader_of(lines, separator, strict=False)
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
    names: list[str], body: list[tuple[int, list[str]]], header: bool, notes: list[str]
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
            # But a name may be missing elsewhere, or a decimal comma without quotes be two cells.
            notes.append(
                f"rows have {n + 1} cells, the header {n}: the first of a row is taken for its "
                f"name, the second for {names[0]!r}"
            )
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
