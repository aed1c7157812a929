"""Columns of categories: an indicator for each, or a number for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn.tables.columns import Encoder, Report
from fcnn.tables.kinds import MOST_CATEGORIES, ColumnKind
from fcnn.tables.numbers import PLAIN
from fcnn.tables.table import MISSING, Column, places, quoted, some

Array = NDArray[Any]

# What becomes of an unseen category: the indicator of all others, none, or it is refused.
UNSEEN = ("other", "none", "refuse")


class Codes(NamedTuple):
    """A number for each text of a column; None refuses a cell."""

    texts: tuple[str, ...]
    values: tuple[float, ...]
    unseen: float | None
    missing: float | None
    fill: str | None

    @classmethod
    def of(
        cls, texts: Sequence[str], values: Sequence[float], unseen: float | None,
        missing: float | None, fill: str | None,
    ) -> Codes:  # fmt: skip
        """Return the codes with `missing` as that of the text `fill`, if there is one."""
        if fill is not None:
            missing = dict(zip(texts, values, strict=True)).get(fill, unseen)
        return cls(tuple(texts), tuple(values), unseen, missing, fill)

    def look_up(self, column: Column, named: str, report: Report, *, notes: bool = True) -> Array:
        """Return the code of each cell as float64; note unseen ones, if `notes`."""
        codes, texts = column.factorize()
        found = places(column, texts, self.texts)
        if found is None:
            report.refuse_column(
                f"{named}: expected texts, got numbers, and of {some(self.texts, 5)} several are "
                "the same number"
            )
            return np.zeros(len(codes))
        unseen = [t for t, k in zip(texts, found, strict=True) if k < 0 and t not in MISSING]
        if not column.is_text and unseen and len(unseen) == len(texts) and not self._has_numbers():
            report.refuse_column(
                f"{named}: expected texts like {', '.join(map(quoted, self.texts[:1]))}, got "
                f"{column.kind} like {unseen[0]}"
            )
            return np.zeros(len(codes))
        known = [
            self.values[k] if k >= 0 else self.missing if t in MISSING else self.unseen
            for t, k in zip(texts, found, strict=True)
        ]
        refused = [i for i, value in enumerate(known) if value is None]
        if refused:
            rows = np.flatnonzero(np.isin(codes, refused))
            report.refuse(rows, column, named, f"expected one of {some(self.texts, 10)}")
        if unseen and notes and self.unseen is not None:
            rows = np.flatnonzero(np.isin(codes, [texts.index(text) for text in unseen]))
            what = ", ".join(quoted(text) for text in unseen[:3]) + ", ..." * (len(unseen) > 3)
            report.notes.append(f"{named}: {len(rows):,} with {what}, not seen in training")
        if self.fill is not None:
            pairs = enumerate(zip(texts, found, strict=True))
            empty = [i for i, (text, k) in pairs if text in MISSING and k < 0]
            count = np.count_nonzero(np.isin(codes, empty))
            if count:
                filled = f"{count:,} missing, filled with {quoted(self.fill)}"
                report.notes.append(f"{named}: {filled}")
        values = np.array([np.nan if value is None else value for value in known], np.float64)
        return values[codes]

    def _has_numbers(self) -> bool:
        return bool((~np.isnan(PLAIN.numbers(self.texts))).any()) or bool(
            {"True", "False"} & {*self.texts}
        )


@dataclass(frozen=True)
class CategoryColumn(Encoder):
    """An indicator for each category, for all others together, and for missing cells.

    Attributes
    ----------
    name : str
    categories : tuple of str
    other : bool
        There is an indicator for the rare ones, which the unseen ones share. Without it all
        indicators of an unseen category are 0.
    missing : bool
        There is an indicator for missing cells. Without it they are like unseen ones.
    rare : tuple of str
        Known categories without an indicator of their own: they are `other`.
    unseen : str
        What becomes of an unseen one: "other", if there is such an indicator; "none" sets none,
        "refuse" refuses it.
    fill : str or None
        The category that a missing cell counts as.
    """

    kind: ClassVar[str] = "category"
    categories: tuple[str, ...] = ()
    other: bool = False
    missing: bool = False
    rare: tuple[str, ...] = ()
    unseen: str = "other"
    fill: str | None = None

    @classmethod
    def fit(cls, kind: ColumnKind, column: Column, named: str, report: Report) -> CategoryColumn:
        """Return the column's encoder; `column` has the training rows."""
        codes, texts = column.factorize()
        counts = np.bincount(codes, minlength=len(texts)).tolist()
        found = {t: n for t, n in zip(texts, counts, strict=True) if t not in MISSING}
        # Of a category that occurs once nothing can be learned.
        least = max(2, len(column) // 1000)
        frequent = sorted(found, key=lambda text: (-found[text], text))[:MOST_CATEGORIES]
        kept = [text for text in frequent if found[text] >= least] or frequent
        return cls(kind.name, tuple(sorted(kept)), len(kept) < len(found), len(found) < len(texts))

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        names = [f"{self.name}={text}" for text in self.categories]
        return names + [f"{self.name} other"] * self.other + [f"{self.name} missing"] * self.missing

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        return np.zeros(len(self.categories) + self.other + self.missing, bool)

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        some = ", ".join(self.categories[:5]) + ", ..." * (len(self.categories) > 5)
        more = [text for text in ("other", "missing") if getattr(self, text)]
        return f"1 or 0 for each of {', and for '.join([some, *more])}"

    @property
    def codes(self) -> Codes:
        """Which indicator is set, -1 for none."""
        n = len(self.categories)
        other = n if self.other else -1
        unseen = {"other": other, "none": -1, "refuse": None}[self.unseen]
        texts = (*self.categories, *self.rare)
        values = (*range(n), *[other] * len(self.rare))
        missing = n + self.other if self.missing else unseen
        return Codes.of(texts, values, unseen, missing, self.fill)

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        has_own = self.other and self.unseen == "other"
        at = self.codes.look_up(column, named, report, notes=not has_own)
        outputs = np.zeros((len(at), len(self.is_quantity)))
        rows = np.flatnonzero(at >= 0)
        outputs[rows, at[rows].astype(np.intp)] = 1
        return outputs


@dataclass(frozen=True)
class OrdinalColumn(Encoder):
    """A number for each category.

    Attributes
    ----------
    name : str
    categories : tuple of str
    values : tuple of float
        Of each category.
    unseen, missing : float or None
        Of a category that is none of these, and of a missing cell; None refuses it.
    fill : str or None
        The category that a missing cell counts as.
    """

    kind: ClassVar[str] = "ordinal"
    categories: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    unseen: float | None = None
    missing: float | None = None
    fill: str | None = None

    @property
    def outputs(self) -> list[str]:  # noqa: D102
        return [self.name]

    @property
    def is_quantity(self) -> Array:  # noqa: D102
        return np.ones(1, bool)

    def told(self, mean: Array, scale: Array) -> str:  # noqa: D102
        pairs = zip(self.categories[:5], self.values, strict=False)
        some = ", ".join(f"{value:g} for {text}" for text, value in pairs)
        return some + ", ..." * (len(self.categories) > 5)

    @property
    def codes(self) -> Codes:
        """The number of each text."""
        return Codes.of(self.categories, self.values, self.unseen, self.missing, self.fill)

    def encode(self, column: Column, named: str, report: Report) -> Array:  # noqa: D102
        return self.codes.look_up(column, named, report)[:, np.newaxis]
