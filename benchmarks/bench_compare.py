"""That compare.py asks both sides and divides the right way round. No time is looked at."""

import sys

import compare
import pytest


def test_the_ratio_is_after_over_before():
    laps = [{"core: a": (1.0, 2.0)}, {"core: a": (4.0, 2.0)}, {"core: a": (1.0, 1.5)}]
    _, row, mean = compare.report(laps).splitlines()
    assert row.split()[-4:] == ["1.500", "1.000", "to", "1.750"]
    assert mean.split()[-1] == "1.500"


def test_it_runs(capsys):
    sides = ["--before", sys.executable, "--after", sys.executable, "--laps", "2"]
    compare.main(compare.parse_arguments([*sides, "--rows", "4-16-3, batch", "row: 4-16-3"]))
    rows = capsys.readouterr().out.splitlines()[-4:-1]
    names = (
        "core: 4-16-3, batch 16",
        "training: 4-16-3, batch 16",
        "prediction of one row: 4-16-3",
    )
    for row, name in zip(rows, names, strict=True):
        assert row.startswith(name)
    with pytest.raises(SystemExit, match="no row holds one of 5-5"):
        compare.main(compare.parse_arguments([*sides, "--rows", "5-5"]))
