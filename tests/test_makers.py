"""Networks of other makers, in and out, against their own runtimes: right, or refused by name."""

import re

import pytest
from makers import cases, matrix
from makers.random_graphs import WAY_OUT


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
    assert re.match(r"(node '.*' \(\w+\)|model|net|column '.*'): ", message), message
    assert WAY_OUT.search(message) or "; to_onnx and to_c write it" in message, message


def test_the_document_has_the_table():
    # But for the versions, which are those of who wrote it.
    told = [line.rpartition(" | ")[0] for line in matrix.written()]
    assert told == [line.rpartition(" | ")[0] for line in matrix.table(lambda maker: "")], (
        "docs/convert.md is out of date: python -m makers.matrix in tests/ writes it"
    )
