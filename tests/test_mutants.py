"""scripts/mutate.py: its list is of the sources as they are, and its faults are made and seen."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "mutate.py"

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="no source tree with scripts/")


@pytest.fixture(scope="module")
def mutate():
    spec = importlib.util.spec_from_file_location("mutate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mutants(mutate, tmp_path):
    """A function that makes mutants of the lines of a list."""

    def make(*lines):
        path = tmp_path / "mutants.txt"
        path.write_text("\n".join(lines))
        return mutate.read_list(path)

    return make


def test_every_mutant_is_somewhere_in_the_sources_once(mutate):
    listed = mutate.read_list()
    assert len(listed) >= 100
    for mutant in listed:
        source = (ROOT / "src" / "fcnn" / mutant.file).read_text()
        begin, end = mutate.span_of(mutant, source)  # which refuses what is not there once
        assert " ".join(source[begin:end].split()) != " ".join(mutant.new.split()), mutant.text
    assert len({(m.file, m.function, m.text) for m in listed}) == len(listed)
    for file in {m.file for m in listed}:
        for name in mutate.NEAR[file]:
            assert (ROOT / mutate.file_of(name)).exists(), name


def test_the_document_has_the_list_s_numbers(mutate):
    listed = mutate.read_list()
    text = " ".join((ROOT / "docs" / "mutants.md").read_text().split())
    said = re.search(r"The list has (\d+) mutants, .*?; for (\d+) of them no test can tell", text)
    assert [int(number) for number in said.groups()] == [
        len(listed),
        sum(bool(mutant.why_unseen) for mutant in listed),
    ]


# What Cython has and Python has not: casts, addresses and C's kinds of numbers.
OF_CYTHON = re.compile(
    r"<[\w. ]+\**>(?=[ \w&(*-])|(?<=else )&|(?<![\w)\]])(?<![\w)\]] )&(?=\w)|(?<=\d)LL\b"
)


def test_what_becomes_of_an_expression_is_one(mutate):
    """Or the copy with all faults would not compile, and none of them could run."""
    for mutant in mutate.read_list():
        if mutant.is_statement or mutant.file.endswith(".h"):
            continue
        source = (ROOT / "src" / "fcnn" / mutant.file).read_text()
        begin, end = mutate.span_of(mutant, source)
        for text in (source[begin:end], mutant.new):
            try:
                ast.parse(OF_CYTHON.sub("", " ".join(text.split())).strip(), mode="eval")
            except SyntaxError:
                pytest.fail(f"mutant {mutant.number}, {mutant.text}: {text!r} is no expression")


SOURCE = """\
cdef int first(int a, int b) noexcept nogil:
    if (a > 0
            and b > 1):
        a += b
    return a


cdef int second(int a) noexcept nogil:
    return a
"""


def test_changes_of_expressions_and_statements(mutate, mutants):
    found = mutants(
        "@ f.pxd first", "{{a > 0 and b > 1 => False}}", "{{a > 0 => a >= 0}}", "{{a += b -> }}",
        "return {{a => b}}", "@ f.pxd second", "return {{a => a + 1}}",
    )  # fmt: skip
    text = mutate.mutated(SOURCE, found, is_c=False)
    for number, expected in {0: (3, 0, 7), 1: (1, 0, 7), 2: (3, 2, 7), 3: (1, 0, 7), 4: (2, 2, 7),
                             5: (3, 0, 8)}.items():  # fmt: skip
        # As Python it is the same.
        python = text.replace("cdef int", "def").replace("int ", "").replace(" noexcept nogil", "")
        names = {"MUTANT": number}
        exec(python, names)
        assert (names["first"](1, 2), names["first"](0, 2), names["second"](7)) == expected, number


def test_changes_of_c(mutate, mutants):
    found = mutants("@ f.h f", "a = {{1 => 2}};", "{{b = 3; -> }} return")
    source = "static int f(int b)\n{ int a = 1; b = 3; return a + b; }\n"
    assert mutate.mutated(source, found, is_c=True) == (
        "static int f(int b)\n{ int a = (fcnn_mutant == 1 ? (2) : (1)); "
        "if (fcnn_mutant == 2) {  } else { b = 3; } return a + b; }\n"
    )


@pytest.mark.parametrize("line", ["{{a => b}}", "{{c => b}}", "{{a += -> }}"])
def test_what_is_not_there_once_or_no_whole_statement_is_refused(mutate, mutants, line):
    found = mutants("@ f.pxd first", line)
    with pytest.raises(SystemExit, match="mutant 1"):
        mutate.mutated(SOURCE, found, is_c=False)


def test_the_overlapping_are_refused(mutate, mutants):
    found = mutants("@ f.pxd first", "{{(a > 0 and b => (b}}", "{{b > 1) => b)}}")
    with pytest.raises(SystemExit, match="overlaps"):
        mutate.mutated(SOURCE, found, is_c=False)


TOOLS = sysconfig.get_path("scripts")


@pytest.mark.slow(reason="compiles the core")
@pytest.mark.skipif(
    not all(shutil.which(tool, path=TOOLS) for tool in ("cmake", "ninja", "cython")),
    reason="needs what make dev installs: cmake, ninja, cython",
)
def test_ten_mutants_are_seen_and_one_that_changes_nothing_is_not(mutate, tmp_path):
    listed = mutate.read_list()
    chosen = [m for m in listed if m.function in ("cannot_overflow", "rule_constants")
              and not m.why_unseen][:10]  # fmt: skip
    harmless = [m for m in listed if "sums[0] += 0" in m.new]
    assert len(chosen) == 10
    assert len(harmless) == 1
    only = [str(m.number) for m in [*chosen, *harmless]]
    subprocess.run(
        [sys.executable, SCRIPT, "--stage", "quick", "--only", *only],
        env={**os.environ, "FCNN_MUTANTS": str(tmp_path)}, check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    caught = [record["caught"] for record in records]
    assert len(caught) == 11
    assert caught.count(None) == 1
    assert all("test_" in what for what in caught if what)
