"""Columns of categories: an indicator for each, or a number for each."""

from __future__ import annotations

from collections import Counter
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

# So many rare categories are kept, to tell them from unseen ones.
MOST_RARE = 1000


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

    def look_up(
        self, column: Column, named: str, report: Report, *, is_complete: bool = True
    ) -> Array:
        """Return the code of each cell as float64; warn of unseen ones.

        Not `is_complete`: there were others in training, rare ones, that are not among the texts.
        """
        codes, texts = column.factorize()
        found = places(column, texts, self.texts)
        if found is not None and column.missing is not None and "" in self.texts:
            # Then an empty text is a category, but None is none.
            codes, texts, found = (
                np.where(column.missing, len(texts), codes),
                [*texts, ""],
                [*found, -1],
            )
        if found is None:
            report.refuse_column(
                f"{named}: expected texts, got numbers, and of {some(self.texts, 5)} several are "
                "the same number"
            )
            return np.zeros(len(codes))
        if column.is_text:
            found = self._with_numbers(texts, found)
        present = [(t, k) for t, k in zip(texts, found, strict=True) if k >= 0 or t not in MISSING]
        unseen = [t for t, k in present if k < 0]
        all_unseen = bool(unseen) and len(unseen) == len(present)
        # Numbers may be new ones; true, false and dates are no numbers.
        could_be_new = column.dtype.kind in "iuf" and self._has_numbers()
        if not column.is_text and all_unseen and not could_be_new:
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
        if unseen and self.unseen is not None:
            hint = self._differs_in_case(unseen)
            # Training may have had none: then there is none to expect.
            if all_unseen and self.texts and len(codes) > 1 and (is_complete or hint):
                report.refuse_column(
                    f"{named}: has none of the categories of training, but "
                    f"{some([quoted(text) for text in unseen], 3)}{hint}; expected some of "
                    f"{some(self.texts, 10)}"
                )
                return np.zeros(len(codes))
            pairs = enumerate(zip(texts, found, strict=True))
            where = [i for i, (text, k) in pairs if k < 0 and text not in MISSING]
            count = np.count_nonzero(np.isin(codes, where))
            what = ", ".join(quoted(text) for text in unseen[:3]) + ", ..." * (len(unseen) > 3)
            report.warn(
                f"{named}: {count:,} of {len(codes):,} ({count / len(codes):.1%}) with {what}, "
                f"{'' if is_complete else 'rare or '}not seen in training{hint}"
            )
        pairs = enumerate(zip(texts, found, strict=True))
        empty = [i for i, (text, k) in pairs if text in MISSING and k < 0]
        count = np.count_nonzero(np.isin(codes, empty))
        if count and self.fill is not None:
            report.notes.append(f"{named}: {count:,} missing, filled with {quoted(self.fill)}")
        elif count and self.missing is not None and self.missing == self.unseen:
            report.notes.append(f"{named}: {count:,} missing, as none was in training")
        values = np.array([np.nan if value is None else value for value in known], np.float64)
        return values[codes]

    def _has_numbers(self) -> bool:
        return bool((~np.isnan(PLAIN.numbers(self.texts))).any())

    def _with_numbers(self, texts: Sequence[str], found: list[int]) -> list[int]:
        """Return where texts are found, also as the one known text that is the same number."""
        if all(k >= 0 or text in MISSING for text, k in zip(texts, found, strict=True)):
            return found
        numbers = PLAIN.numbers(self.texts).tolist()
        counts = Counter(numbers)
        index = {number: k for k, number in enumerate(numbers) if counts[number] == 1}
        return [
            index.get(number, -1) if k < 0 else k
            for number, k in zip(PLAIN.numbers(texts).tolist(), found, strict=True)
        ]

    def _differs_in_case(self, texts: Sequence[str]) -> str:
        """Return a hint to the first text that is written like a known one but for its case."""
        known = {text.casefold(): text for text in reversed(self.texts)}
        text = next((text for text in texts if text.casefold() in known), None)
        if text is None:
            return ""
        return f" ({quoted(text)} differs only in case from {quoted(known[text.casefold()])})"


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
        rare = sorted(found.keys() - kept)
        return cls(
            kind.name, tuple(sorted(kept)), bool(rare), len(found) < len(texts),
            tuple(rare) if len(rare) <= MOST_RARE else (),
        )  # fmt: skip

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
        is_complete = bool(self.rare) or not self.other
        at = self.codes.look_up(column, named, report, is_complete=is_complete)
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
