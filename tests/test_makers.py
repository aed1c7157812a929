"""Networks of other makers, in and out, against their own runtimes: right, or refused by name."""

import re

import pytest
from makers import cases


def of(case):
    """A case, skipped where its maker is not installed."""
    absent = cases.missing(case.maker)
    marks = [pytest.mark.slow]
    if absent:
        marks.append(pytest.mark.skip(reason=f"needs {', '.join(absent)}"))
    return pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", [of(case) for case in cases.CASES if not case.refused])
def test_right(case):
    assert case.worst() <= cases.TOLERANCE


@pytest.mark.parametrize("case", [of(case) for case in cases.CASES if case.refused])
def test_refused(case):
    message = case.message()
    # What it is of, and the way out.
    assert re.match(r"(node '.*' \(\w+\)|model): ", message), message
    assert re.search(
        r"output=NAME|train the network|from_sklearn|before its quant|export the", message
    )
