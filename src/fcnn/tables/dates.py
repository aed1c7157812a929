"""Texts that are dates and times, and the numbers that dates are taken apart into."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_TIME = (
    r"(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2})(?P<f>[.,]\d{1,9})?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_CLOCK = rf"(?:(?:T| +|, ?){_TIME} ?(?P<zone>Z|UTC|[+-]\d{{2}}(?::?\d{{2}})?)?)?"
_D, _M, _NAME, _Y = (
    r"(?P<d>\d{1,2})",
    r"(?P<m>\d{1,2})",
    r"(?P<name>[A-Za-z]{3,9})\.?",
    r"(?P<y>\d{4})",
)

# The forms of dates; the first that fits all texts of a column counts. As in numbers, digits are
# those of ASCII.
FORMATS = {
    "ymd": re.compile(rf"{_Y}(?P<mark>[-/.]){_M}(?P=mark){_D}{_CLOCK}", re.ASCII),
    "dmy": re.compile(rf"{_D}(?P<mark>[-/.]){_M}(?P=mark){_Y}{_CLOCK}", re.ASCII),
    "mdy": re.compile(rf"{_M}(?P<mark>[-/]){_D}(?P=mark){_Y}{_CLOCK}", re.ASCII),
    "d name y": re.compile(rf"{_D}\.?[- ]{_NAME}[-, ] ?{_Y}{_CLOCK}", re.ASCII),
    "name d y": re.compile(rf"{_NAME}[- ]{_D},?[- ]{_Y}{_CLOCK}", re.ASCII),
    "ym": re.compile(rf"{_Y}-(?P<m>\d{{2}})", re.ASCII),
    "time": re.compile(_TIME, re.ASCII),
}
_DIGITS = str.maketrans(dict.fromkeys("123456789", "0"))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# Numbers that a date is taken apart into, and their periods in seconds: days since 1970 count on,
# of the others the sine and the cosine of the phase.
DAY = 86400.0
PERIODS = {"days": 0.0, "year": 365.2425 * 86400, "week": 7 * 86400.0, "day": 86400.0}


def date_texts(values: Array) -> list[str]:
    """Return datetime64 as ISO 8601 has it, all as short as they can be said alike.

    Dates alone where all are at midnight, else with seconds, and fractions where there are some.
    """
    known = values[~np.isnat(values)]
    for unit in ("D", "s"):
        if (known.astype(f"M8[{unit}]") == known).all():
            return [str(text) for text in values.astype(f"M8[{unit}]")]
    return [str(text) for text in values]


def read_dates(texts: Sequence[str], form: str) -> Array:
    """Return texts as seconds since 1970 (UTC where they say a zone), NaN where one is no date.

    Texts that differ in their digits alone are of one form: a pattern tells where the numbers of
    one of them stand, and those of all are taken from there at once, in a tenth of the time.
    """
    seconds = np.full(len(texts), np.nan)
    shapes = [text.translate(_DIGITS) for text in texts]
    distinct = dict.fromkeys(shapes)
    for k, shape in enumerate(distinct):
        distinct[shape] = k
    codes = np.fromiter(map(distinct.__getitem__, shapes), np.intp, len(shapes))
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(distinct) + 1))
    for k, shape in enumerate(distinct):
        match = FORMATS[form].fullmatch(shape)
        if match is None:
            continue
        rows = order[bounds[k] : bounds[k + 1]]
        joined = "".join([texts[row] for row in rows.tolist()])
        cells = np.frombuffer(joined.encode(), np.uint8).reshape(len(rows), len(shape))
        seconds[rows] = _seconds(match, cells)
    return seconds


def _seconds(match: re.Match[str], cells: Array) -> Array:
    """Return as `read_dates` does the texts that differ from that of a match in digits alone.

    `cells` has the bytes of their characters, shape (s, characters).
    """
    found = match.groupdict()

    def numbers(key: str, default: int = 0) -> Array:
        if found.get(key) is None:
            return np.full(len(cells), default, np.int64)
        value = np.zeros(len(cells), np.int64)
        begin, end = match.span(key)
        for at in range(begin, end):
            if match.string[at].isdigit():
                value = 10 * value + (cells[:, at] - ord("0"))
        return value

    year, month, day = numbers("y", 1970), numbers("m", 1), numbers("d", 1)
    if "name" in found:
        name = found["name"].lower()[:3]
        month[:] = _MONTHS.index(name) + 1 if name in _MONTHS else 0
    hour, minute, second = numbers("h"), numbers("min"), numbers("s")
    sound = (1 <= month) & (month <= 12) & (1 <= day) & (minute < 60) & (second < 60) & (hour < 24)
    if found.get("half"):
        sound &= (1 <= hour) & (hour <= 12)
        hour = hour % 12 + 12 * (found["half"] in "pP")
    month = np.where(sound, month, 1)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    sound &= days.astype("datetime64[M]") == months  # no 30 February
    fraction = numbers("f") / 10.0 ** max(len(found.get("f") or ".") - 1, 0)
    zone = found.get("zone") or ""
    offset = numbers("zone") * (1 if zone.count("0") > 2 else 100)  # hours, or hours and minutes
    offset = (offset // 100 * 3600 + offset % 100 * 60) * (-1 if zone[:1] == "-" else 1)
    values = (
        days.astype(np.int64) * 86400.0 + (hour * 3600 + minute * 60 + second - offset) + fraction
    )
    return np.where(sound, values, np.nan)


class Reading(NamedTuple):
    """Texts read as dates by the form that fits all of them.

    Attributes
    ----------
    form : str
        Empty if none fits.
    seconds : numpy.ndarray of float64
    is_ambiguous : bool
        True if day and month could change places.
    """

    form: str
    seconds: Array
    is_ambiguous: bool = False


def find_dates(texts: Sequence[str]) -> Reading:
    """Return texts, none of them missing, as dates."""
    for form, pattern in FORMATS.items():
        if not texts or not pattern.fullmatch(texts[0]):
            continue
        seconds = read_dates(texts, form)
        if np.isnan(seconds).any():
            continue
        ambiguous = False
        # With dots between them the day stands first.
        if form == "dmy" and not any("." in text.split(" ")[0] for text in texts):
            other = read_dates(texts, "mdy")
            ambiguous = not np.isnan(other).any() and bool((other != seconds).any())
        return Reading(form, seconds, ambiguous)
    return Reading("", np.full(len(texts), np.nan))


def useful_parts(seconds: Array, form: str) -> tuple[str, ...]:
    """Return which parts of dates say something about these, as keys of PERIODS."""
    span = float(np.ptp(seconds)) if len(seconds) else 0.0
    clock = seconds % 86400.0
    parts = ["days"]
    if form != "time":
        if span > 180 * 86400:
            parts.append("year")
        # Of months or weeks the weekday is chance.
        weekdays = np.unique((seconds // 86400.0) % 7)
        if len(weekdays) > 1 and form != "ym" and len(np.unique(seconds)) > 7:
            parts.append("week")
    if np.ptp(clock) > 0 if len(clock) else False:
        parts.append("day")
    return tuple(parts)


def part_names(parts: Sequence[str]) -> list[str]:
    """Return a name for each number that dates are taken apart into."""
    return [
        name for part in parts
        for name in ([part] if not PERIODS[part] else [f"{part} sine", f"{part} cosine"])
    ]  # fmt: skip


def take_apart(seconds: Array, parts: Sequence[str]) -> Array:
    """Return the parts of dates as numbers, shape (s, len(part_names(parts)))."""
    columns: list[Array] = []
    for part in parts:
        if not PERIODS[part]:
            columns.append(seconds / DAY)
            continue
        phase = 2 * np.pi * ((seconds % PERIODS[part]) / PERIODS[part])
        columns += [np.sin(phase), np.cos(phase)]
    return np.stack(columns, axis=1)
