"""What kind of column each is: number, boolean, category, date, or one to leave out, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn._validation import did_you_mean, listed
from fcnn.tables import dates
from fcnn.tables.conversion import as_table
from fcnn.tables.numbers import PLAIN, NumberRule, are_codes, possible_shares, read_numbers
from fcnn.tables.table import (
    MISSING,
    MOST_PROBLEMS,
    Column,
    Table,
    TableError,
    as_names,
    quoted,
    some,
)

Array = NDArray[Any]

# What a user may ask for; the last two are the orders of day and month in texts.
KINDS = ("number", "boolean", "category", "date", "date:dmy", "date:mdy")

TRUE = frozenset(("true", "yes", "y", "t", "on"))
FALSE = frozenset(("false", "no", "n", "f", "off"))

# Among numbers these texts stand for no value, too.
NO_NUMBERS = frozenset(("?", "-", "--", ".", "..", "*", "\u2013", "\u2014"))

# A column with so few cells that are no numbers is one of numbers.
MOST_STRAY = 0.05
MOST_CATEGORIES = 50
_FIRST = 100  # rows by which a column is taken for one of plain numbers, until others show
_INDEX_NAMES = frozenset(("", "id", "index", "row", "rowid", "rownames", "rowname", "obs"))


@dataclass(frozen=True)
class ColumnKind:
    """What is made of a column.

    Attributes
    ----------
    position : int
        Which column of the table it is.
    name : str
    kind : str
        number, boolean, category or date; empty if it is left out.
    rule : NumberRule
        Of numbers in texts.
    form : str
        Of dates in texts: a key of `fcnn.tables.dates.FORMATS`; empty for dates as such.
    stray : tuple of str
        Texts among numbers that count as missing.
    why : str
        Why it is left out.
    said : str
        What else there is to say of it: range, missing cells, doubts.
    """

    position: int
    name: str
    kind: str
    rule: NumberRule = PLAIN
    form: str = ""
    stray: tuple[str, ...] = ()
    why: str = ""
    said: str = ""


@dataclass
class _Cells:
    """The distinct texts of a column that are not missing, and how often each occurs."""

    column: Column
    codes: Array
    present: list[int]
    texts: list[str] = field(default_factory=list)
    counts: Array = field(default_factory=lambda: np.zeros(0, int))
    missing: int = 0

    @classmethod
    def of(cls, column: Column) -> _Cells:
        codes, texts = column.factorize()
        counts = np.bincount(codes, minlength=len(texts))
        present = [i for i, text in enumerate(texts) if text not in MISSING]
        return cls(
            column, codes, present, [texts[i] for i in present], counts[present],
            int(counts.sum() - counts[present].sum()),
        )  # fmt: skip

    def spread(self, numbers: Array) -> Array:
        """Return the numbers of the rows from those of the texts, NaN where a cell is missing."""
        of_all = np.full(int(self.codes.max(initial=-1)) + 1, np.nan)
        of_all[self.present] = numbers
        return np.asarray(of_all[self.codes])


def infer_columns(
    table: Any,
    targets: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    ignored: Sequence[str] = (),
) -> list[ColumnKind]:
    """Return the kind of each column of a table but its targets.

    Parameters
    ----------
    table : table-like
        See `fcnn.tables.as_table`.
    targets : sequence of str, or a str
        Names of the columns to predict.
    given : dict from str to str, optional
        Kinds of some columns, instead of what they look like: number, boolean, category, date,
        date:dmy or date:mdy.
    ignored : sequence of str, or a str
        Names of columns to leave out.

    Raises
    ------
    TypeError
        If an argument is not as described.
    ValueError
        If a name is not in the table, a column does not have the kind that was given, or no column
        is left.
    """
    table = as_table(table, "table")
    targets, ignored = as_names("targets", targets), as_names("ignored", ignored)
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"given: expected a dict from names to kinds, got {given!r}")
    given = dict(given or {})
    for argument, names in (("given", given), ("ignored", ignored)):
        for name in names:
            if name not in table or name in targets:
                others = [n for n in table.names if n not in targets]
                is_target = name in table and name in targets
                hint = ", which is a target" if is_target else ""
                near = "" if is_target else did_you_mean(name, others)
                raise TableError(
                    f"{argument}: got {name!r}{hint}, expected columns out of {some(others)}{near}"
                )
    if table.matrix is not None:  # columns by position: none is left out
        return [ColumnKind(j, "", "number") for j in range(table.matrix.shape[1])]
    for name, kind in given.items():
        if kind not in KINDS:
            raise TableError(f"given: expected {name!r} to be {listed(KINDS)}, got {kind!r}")
    decimal = table.decimal or _decimal_mark(table)
    kinds, errors = [], []
    for position, column in enumerate(table.columns):
        name = column.name
        if table.is_named and name in targets:
            continue
        if name in ignored:
            kinds.append(ColumnKind(position, name, "", why="ignored"))
        elif name in given:
            try:
                kinds.append(_as_given(table, position, column, given[name], decimal))
            except TableError as error:
                errors.append(error)
        elif table.renamed.get(name) in targets:
            same = f"has the name of the target, {table.renamed[name]!r}"
            kinds.append(ColumnKind(position, name, "", why=same))
        elif (again := _target_again(table, column, targets)) is not None:
            why = f"is the target {again!r} again; it is taken where it is given a kind"
            kinds.append(ColumnKind(position, name, "", why=why))
        else:
            kinds.append(_inferred(position, column, decimal))
            if column.is_declared and kinds[-1].kind == "number":
                cells = _Cells.of(column)
                said = _missing_said(cells.missing)
                kinds[-1] = _as_category(position, column, cells, len(column), said)
        if kinds and kinds[-1].position == position and kinds[-1].kind:
            errors += _not_finite(table, column)
    if errors:
        raise TableError.joined(table.source, errors)
    if not table.is_named and not all(kind.kind for kind in kinds):
        raise TableError(
            f"{table.source}: columns without names cannot be left out",
            [f"column {k.position + 1}: {k.why}" for k in kinds if not k.kind],
        )
    if not any(kind.kind for kind in kinds):
        raise TableError(
            f"{table.source}: no column is left to learn from",
            [f"{k.name or '(unnamed)'}: {k.why}" for k in kinds],
        )
    return kinds


def _not_finite(table: Table, column: Column) -> list[TableError]:
    """Return an error that lists infinite numbers."""
    if column.dtype.kind != "f" or not np.isinf(column.values).any():
        return []
    rows = np.flatnonzero(np.isinf(column.values)).tolist()
    cells = [f"{table.where(row)}: {column.values[row]}" for row in rows[:MOST_PROBLEMS]]
    whose = f"column {column.name!r}" if column.name else "a column"
    heading = f"{table.source}: {whose} has {len(rows):,} infinite numbers"
    return [TableError(heading, cells, len(rows))]


def _target_again(table: Table, column: Column, targets: Sequence[str]) -> str | None:
    """Return the target that a column is a copy of, by a name that pandas or polars made of it."""
    for target in targets:
        pattern = rf"{re.escape(target)}(\.\d+|_duplicated_\d+|_\d+)"
        if re.fullmatch(pattern, column.name):
            same = column.texts() == table[target].texts()
            if np.mean(same) > 0.5:  # some may have been changed since
                return target
    return None


def _decimal_mark(table: Table) -> str:
    """Return the comma if some column has numbers with a decimal comma for certain."""
    for column in table.columns:
        if column.is_text:
            texts = [
                text
                for text in column.texts_at(np.arange(min(len(column), 1000)))
                if text not in MISSING
            ]
            reading = read_numbers(texts) if any("," in text for text in texts) else None
            if reading and reading.share == 1 and reading.rule.decimal == "," and not reading.doubt:
                return ","
    return ""


def _inferred(position: int, column: Column, decimal: str) -> ColumnKind:
    name, rows = column.name, len(column)
    if not column.is_text:
        return _typed(position, column)
    if decimal != "," and (kind := _plain_number(position, column)) is not None:
        return kind
    cells = _Cells.of(column)
    said = _missing_said(cells.missing)
    if not cells.texts:
        return ColumnKind(position, name, "", why="all cells are empty")
    if len(cells.texts) == 1 and not cells.missing:
        return _constant(position, name, cells.texts[0])
    lower = {text.lower() for text in cells.texts} if len(cells.texts) <= 20 else set()
    if len(lower) > 1 and (lower <= TRUE | FALSE) and lower & TRUE and lower & FALSE:
        return ColumnKind(position, name, "boolean", said=_joined(" or ".join(cells.texts), said))
    # No date is a number by any rule, nor the reverse, and few texts look like dates.
    found = dates.find_dates(cells.texts)
    if not found.form and not are_codes(cells.texts):
        number = _as_number(position, name, cells, decimal, MOST_STRAY)
        if number is not None:
            is_index = number.kind and _is_index(number, cells, column)
            return _index(position, name) if is_index else number
    if found.form and found.is_ambiguous:
        hint = f"columns {name}=date:dmy or {name}=date:mdy says"
        return ColumnKind(
            position,
            name,
            "",
            why=f"dates like {cells.texts[0]!r}, whose day and month may be either: {hint}",
        )
    if found.form:
        column.read(found.form, lambda: cells.spread(found.seconds))
        return ColumnKind(
            position, name, "date", form=found.form, said=_joined(_range(found), said)
        )
    return _as_category(position, column, cells, rows, said)


def _plain_number(position: int, column: Column) -> ColumnKind | None:
    """Return what `_inferred` finds of plain numbers, some missing; None where it has to look.

    Without telling the texts apart, which takes most of the time.
    """
    first = column.texts_at(np.arange(min(len(column), _FIRST)))
    first = [text for text in first if text not in MISSING]
    if np.isnan(PLAIN.numbers(first)).any():
        return None
    values = column.plain
    missing = np.isnan(values)
    if missing.all() or not all(
        text in MISSING for text in column.texts_at(np.flatnonzero(missing))
    ):
        return None
    count = int(missing.sum())
    low, high = (float(end(values[~missing])) for end in (np.min, np.max))
    if low == high or are_codes(column.texts_at(np.flatnonzero(values == np.floor(values)))):
        return None
    if not count and _counts_rows(values, column.name):
        return _index(position, column.name)
    said = _joined(f"{low:.6g} to {high:.6g}", _missing_said(count))
    return ColumnKind(position, column.name, "number", said=said)


def _typed(position: int, column: Column) -> ColumnKind:
    """Return the kind of a column that is not texts."""
    name = column.name
    missing = 0 if column.missing is None else int(column.missing.sum())
    present = column.values if column.missing is None else column.values[~column.missing]
    if not len(present):
        return ColumnKind(position, name, "", why="all cells are empty")
    low, high = present.min(), present.max()
    if low == high and not missing:
        return _constant(position, name, column.take([0]).written()[0])
    said = _missing_said(missing)
    if column.dtype.kind == "b":
        return ColumnKind(position, name, "boolean", said=said)
    if column.dtype.kind == "M":
        said = _joined(" to ".join(dates.date_texts(np.array([low, high]))), said)
        return ColumnKind(position, name, "date", said=said)
    if not missing and _counts_rows(column.values, name):
        return _index(position, name)
    return ColumnKind(position, name, "number", said=_joined(f"{low:.6g} to {high:.6g}", said))


def _as_number(
    position: int, name: str, cells: _Cells, decimal: str, most_stray: float
) -> ColumnKind | None:
    """Return the kind of a column of numbers in texts, None if it is none."""
    kept = [i for i, text in enumerate(cells.texts) if text not in NO_NUMBERS]
    texts, counts = [cells.texts[i] for i in kept], cells.counts[kept]
    if not texts:
        return None
    reading = read_numbers(texts, decimal)
    bad = np.isnan(reading.values)
    stray = int(counts[bad].sum())
    if stray > most_stray * counts.sum() or bad.all():
        return None
    shares = possible_shares(texts, reading.rule)
    if shares and most_stray:
        return ColumnKind(
            position, name, "", why=f"has percent, and {quoted(shares[0])}, which may be a share: "
            f"columns {name}=number takes it for {shares[0]} %",
        )  # fmt: skip
    unclear = [texts[i] for i in np.flatnonzero(bad)]
    signs = [text for text in cells.texts if text in NO_NUMBERS]
    missing = cells.missing + int(cells.counts.sum() - counts.sum()) + stray
    good = reading.values[~bad]
    said = f"{good.min():.6g} to {good.max():.6g}"
    if reading.rule.unit:
        said += f" {reading.rule.unit}"
    bare = [t for t in texts if reading.rule.unit not in t]
    if bare:
        said += f" ({quoted(bare[0])} taken for {bare[0]} {reading.rule.unit})"
    if reading.doubt:
        said += f" ({reading.doubt})"
    if unclear or signs:
        shown = ", ".join(quoted(text) for text in (unclear + signs)[:3])
        said += f"; {shown}{', ...' * (len(unclear) + len(signs) > 3)} taken as missing"
    return ColumnKind(
        position, name, "number", rule=reading.rule, stray=tuple(unclear + signs),
        said=_joined(said, _missing_said(missing)),
    )  # fmt: skip


def _is_index(kind: ColumnKind, cells: _Cells, column: Column) -> bool:
    """Return whether the numbers of a column count its rows."""
    if cells.missing or kind.stray or len(cells.texts) != len(column):
        return False
    # All different: in the order of appearance they are in that of the rows.
    return _counts_rows(kind.rule.numbers(cells.texts), kind.name)


def _index(position: int, name: str) -> ColumnKind:
    return ColumnKind(position, name, "", why="counts the rows, an index")


def _counts_rows(values: Array, name: str) -> bool:
    if name.lower() not in _INDEX_NAMES and not name.startswith("Unnamed: "):
        return False
    if len(values) < 3 or values[0] not in (0, 1):
        return False
    return bool((values == np.arange(len(values)) + values[0]).all())


def _as_category(position: int, column: Column, cells: _Cells, rows: int, said: str) -> ColumnKind:
    """Return the kind of a column of texts: category, or a text to leave out."""
    name, distinct = column.name, len(cells.texts)
    count = int(cells.counts.sum())
    if distinct == count and distinct > 2:
        return ColumnKind(
            position, name, "", why=f"text, a different one in each of {count:,} cells: an "
            "identifier",
        )  # fmt: skip
    repeated = int(cells.counts[cells.counts > 1].sum())
    if repeated < count / 2 and distinct > 20:
        return ColumnKind(
            position, name, "", why=f"text, {distinct:,} different ones in {count:,} cells"
        )
    return _category(position, cells, said)


def _category(position: int, cells: _Cells, said: str) -> ColumnKind:
    texts = sorted(cells.texts)
    shown = ", ".join(quoted(text, 15) for text in texts[:3]) + ", ..." * (len(texts) > 3)
    what = f"{len(texts):,}: {shown}"
    if len(texts) > MOST_CATEGORIES:
        what += f"; the {MOST_CATEGORIES} most frequent, the others together"
    return ColumnKind(position, cells.column.name, "category", said=_joined(what, said))


def _constant(position: int, name: str, text: str) -> ColumnKind:
    return ColumnKind(position, name, "", why=f"constant, {quoted(text)} everywhere")


def _as_given(table: Table, position: int, column: Column, wanted: str, decimal: str) -> ColumnKind:
    """Return a column as the kind that a user asks for, or refuse it by its cells."""
    kind, _, order = wanted.partition(":")
    name = column.name
    cells = _Cells.of(column)
    said = _missing_said(cells.missing)
    if kind == "category":
        return _category(position, cells, said)
    problems: list[str]
    if kind == "number":
        if column.dtype.kind in "biuf":
            return ColumnKind(position, name, kind, said=said)
        if column.is_text:
            read = _as_number(position, name, cells, decimal, 0.0)
            if read is not None:
                return read
        values = read_numbers(cells.texts, decimal).values if column.is_text else np.zeros(0)
        problems = [t for t, v in zip(cells.texts, values, strict=False) if np.isnan(v)]
    elif kind == "boolean":
        if column.dtype.kind == "b":
            return ColumnKind(position, name, kind, said=said)
        known = TRUE | FALSE | {"0", "1"}
        problems = [text for text in cells.texts if text.lower() not in known]
        if not problems:
            return ColumnKind(position, name, kind, said=said)
    else:
        if column.dtype.kind == "M":
            return ColumnKind(position, name, kind, said=said)
        form = order or dates.find_dates(cells.texts).form
        if form and column.is_text:
            seconds = dates.read_dates(cells.texts, form)
            problems = [t for t, v in zip(cells.texts, seconds, strict=True) if np.isnan(v)]
            if not problems and cells.texts:
                return ColumnKind(position, name, kind, form=form, said=said)
        else:
            problems = cells.texts
    first = column.texts().tolist()
    raise TableError(
        f"{table.source}: column {name!r} is not {'an' if kind[0] in 'aeiou' else 'a'} {wanted}",
        [f"{table.where(first.index(text))}: {quoted(text)}" for text in problems[:10]]
        or [f"it has {column.kind}"],
        len(problems) or None,
    )


def _missing_said(count: int) -> str:
    return f"{count:,} missing" if count else ""


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _range(found: dates.Reading) -> str:
    low, high = (np.datetime64(int(v), "s") for v in (found.seconds.min(), found.seconds.max()))
    if found.form == "time":
        return f"{str(low)[11:]} to {str(high)[11:]}"
    return f"{str(low)[:10]} to {str(high)[:10]}"
