"""The command latency.py: what it prints and what it puts into a document."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, Path(__file__).with_name("latency.py"), "--calls", "40", "--peers"]
BEGIN, END = "<!-- latency begin -->\n", "<!-- latency end -->\n"


def run(*words):
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=300, check=False
    )


def test_the_tables_go_into_a_document(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}former\n{END}after\n")
    done = run("fcnn", "NumPy", "--networks", "4-16-3", "2-3-2", "--readme", file)
    assert done.returncode == 0, done.stderr
    before, _, rest = file.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    assert (before, after) == ("before\n", "after\n")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        first for network in ("4-16-3", "2-3-2")
        for first in (network, "an empty call", "fcnn", "NumPy")
    ]  # fmt: skip
    printed = [line.split() for line in done.stdout.splitlines()]
    for head, *numbers in (row for row in rows if row[1] != "p50"):
        assert 0 <= float(numbers[0]) <= float(numbers[-1])
        assert [*head.split(), *numbers] in printed
    file.write_text("without a place for it")
    done = run("fcnn", "--readme", file)
    assert done.returncode == 2
    assert "README.md has no place for this table" in done.stderr


def test_the_document_has_a_place():
    text = Path(__file__).with_name("README.md").read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


@pytest.mark.parametrize("calls", ["0", "-1"])
def test_calls_that_are_none_are_refused(calls):
    assert "--calls: expected at least 1" in run("fcnn", "--calls", calls).stderr
