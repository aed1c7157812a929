"""The kinds of columns by their names, and columns from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnn.tables import dates
from fcnn.tables.categories import UNSEEN, CategoryColumn, OrdinalColumn
from fcnn.tables.columns import BooleanColumn, DateColumn, IgnoredColumn, NumberColumn
from fcnn.tables.numbers import NumberRule
from fcnn.tables.table import described

ENCODERS: dict[str, Any] = {
    one.kind: one
    for one in (
        NumberColumn, BooleanColumn, CategoryColumn, DateColumn, OrdinalColumn, IgnoredColumn,
    )
}  # fmt: skip


def from_json(value: Any) -> Any:
    """Return the encoder that `to_json` described, checked."""
    value = dict(value)
    cls = ENCODERS[value.pop("kind")]
    for key in ("stray", "categories", "rare", "parts"):
        if key in value:
            value[key] = tuple(described(value[key], key, str))
    if "rule" in value:
        value["rule"] = NumberRule.from_json(value["rule"])
    is_ordinal, is_category = cls is OrdinalColumn, cls is CategoryColumn
    if is_ordinal:
        value["values"] = tuple(described(value["values"], "values", int, float))
    numbers = ("unseen", "missing") if is_ordinal else () if is_category else (
        "fill", "low", "high",
    )  # fmt: skip
    found = [(key, value.get(key)) for key in numbers]
    found += [("values", number) for number in value.get("values", ())]
    for key, number in found:
        if number is not None and not (type(number) in (int, float) and np.isfinite(number)):
            raise ValueError(f"expected {key} as a number, found {number!r}")
    if (is_ordinal or is_category) and not isinstance(value.get("fill", ""), str):
        raise ValueError(f"expected fill as text, found {value['fill']!r}")
    for key in ("flag", "bare", "other", *(["missing"] if is_category else [])):
        if not isinstance(value.get(key, False), bool):
            raise ValueError(f"expected {key} as true or false, found {value[key]!r}")
    encoder = cls(**value)
    if isinstance(encoder, (NumberColumn, DateColumn)):
        bounds = [bound for bound in (encoder.low, encoder.high) if bound is not None]
        if len(bounds) == 1 or bounds != sorted(bounds):
            raise ValueError(f"expected bounds of numbers, found {value!r}")
    if not isinstance(encoder.name, str):
        raise ValueError(f"expected a name as text, found {encoder.name!r}")
    if isinstance(encoder, DateColumn) and not (
        encoder.form in ("", *dates.FORMATS) and encoder.parts
        and {*encoder.parts} <= {*dates.PERIODS}
    ):  # fmt: skip
        raise ValueError(f"expected a form and parts of dates, found {value!r}")
    if isinstance(encoder, CategoryColumn) and encoder.unseen not in UNSEEN:
        raise ValueError(f"expected unseen as one of {UNSEEN}, found {encoder.unseen!r}")
    if isinstance(encoder, OrdinalColumn) and len(encoder.values) != len(encoder.categories):
        raise ValueError(f"expected a value for each category, found {value!r}")
    if isinstance(encoder, (CategoryColumn, OrdinalColumn)):
        texts = encoder.codes.texts
        if len({*texts}) != len(texts):
            raise ValueError(f"expected different categories, found {texts!r}")
    return encoder
