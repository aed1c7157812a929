"""The lessons of docs/learn run as they stand, and their checks see a mistake in their code."""

import ast
import re

import pytest
from documents import ROOT, cells, lessons

LESSONS = lessons() if (ROOT / "docs" / "learn").is_dir() else []
# The slope of an activation, where a delta is made with it.
SLOPE = re.compile(r"sigma_prime\([^()]*\) \* ")

pytestmark = pytest.mark.skipif(not LESSONS, reason="not the repository: files are left out")


def mutants(code):
    """The code without one of its slopes each, as (number of the line, code)."""
    for match in SLOPE.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        yield line, code[: match.start()] + code[match.end() :]


MUTANTS = [
    pytest.param(path, mutant, id=f"{path.stem}-line{line}")
    for path in LESSONS
    for line, mutant in mutants(cells(path))
]


def run(path, code, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    exec(compile(code, path.name, "exec"), {"__name__": path.stem})


def test_there_are_six():
    assert [int(path.stem[0]) for path in LESSONS] == [1, 2, 3, 4, 5, 6]
    for path in LESSONS:
        text = path.read_text("utf-8")
        assert text.count("## Exercise") == 1
        assert "$$" in text
        code = cells(path)
        assert "plt.show()" in code or "fcnn.plot." in code
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assert)]
        assert len(calls) >= 5


@pytest.mark.slow(reason="draws pictures")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs(path, monkeypatch, capsys):
    run(path, cells(path), monkeypatch)
    assert capsys.readouterr().out


@pytest.mark.slow(reason="runs lessons")
@pytest.mark.parametrize(("path", "code"), MUTANTS)
def test_a_lesson_without_a_slope_fails_its_check(path, code, monkeypatch):
    with pytest.raises(AssertionError):
        run(path, code, monkeypatch)


def test_all_but_what_is_no_mistake_is_tried():
    # Each lesson that makes deltas has one or more.
    tried = {param.id[0] for param in MUTANTS}
    assert tried == set("123456")
    assert len(MUTANTS) >= 12
