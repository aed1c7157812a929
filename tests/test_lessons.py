"""The lessons of docs/learn run as they stand, and their checks see a mistake in their code."""

import ast
import re

import numpy as np
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


# What a learner gets wrong in lesson 6, and what its own check says: what is named first is what
# is computed first, of what is wrong.
MISTAKES = {
    "sigma' left out": ("sigma_prime(z[l]) * ", "", "dW of layer 1 is off by"),
    "sigma' of another layer": ("sigma_prime(z[l])", "sigma_prime(z[l][::-1])", "dW of layer 1"),
    "sigma for sigma'": ("sigma_prime(z[l]) *", "sigma(z[l]) *", "dW of layer 1 is off by"),
    "the sum forgotten": (
        "(delta[l + 1] @ self.W[l + 1])", "(delta[l + 1][:, :1] * self.W[l + 1][0])",
        "dW of layer 1 is off by",
    ),
    "W transposed": ("@ self.W[l + 1])", "@ self.W[l + 1].T)", "matmul"),
    "1/s left out": (" / len(y)", "", "dW of layer 1 is off by"),
    "y - a": ("(a[self.L] - y)", "(y - a[self.L])", "dW of layer 1 is off by"),
    "b left out": (" + self.b[l]", "", "the loss"),
    "the slopes of b averaged": ("delta[l].sum(axis=0)", "delta[l].mean(axis=0)", "db of layer 1"),
    "a of the wrong layer": ("delta[l].T @ a[l - 1]", "delta[l].T @ a[l]", "broadcast"),
    "no softmax": ("softmax(z[l]) if l == self.L", "sigma(z[l]) if l == self.L", "the loss"),
}  # fmt: skip


def lesson_6():
    """The code of lesson 6 in two parts: up to its check, and the training beside the engine."""
    (path,) = (path for path in LESSONS if path.stem.startswith("6"))
    before, between, after = re.split(r"(?m)^(?=X, labels = )|^(?=# 1\. Layer 2)", cells(path))
    return path, before, between, after


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_of_lesson_6_sees_a_mistake(mistake, monkeypatch):
    right, wrong, message = MISTAKES[mistake]
    path, before, _, _ = lesson_6()
    run(path, before, monkeypatch)
    assert before.count(right) == 1
    with pytest.raises((AssertionError, ValueError), match=message), np.errstate(divide="ignore"):
        run(path, before.replace(right, wrong), monkeypatch)


@pytest.mark.slow(reason="trains")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("self.W[l] -= lr * dW[l]", "self.W[l] += lr * dW[l]"),
        ("self.b[l] -= lr * db[l]", "pass"), ("-= lr * db[l]", "-= 2 * lr * db[l]"),
    ],
)  # fmt: skip
def test_the_training_of_lesson_6_sees_a_wrong_update(right, wrong, monkeypatch):
    path, before, between, _ = lesson_6()
    data, _, training = re.split(r"(?m)^(?=figure, axes)|^(?=sizes, lr)", between)
    training = training.partition("assert accuracy")[0].replace("range(50)", "range(1)")
    code = before + data + training
    assert code.count(right) == 1
    assert code.count("assert difference < 1e-9") == 1
    run(path, code, monkeypatch)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        run(path, code.replace(right, wrong), monkeypatch)


def test_all_but_what_is_no_mistake_is_tried():
    # Each lesson that makes deltas has one or more.
    tried = {param.id[0] for param in MUTANTS}
    assert tried == set("123456")
    assert len(MUTANTS) >= 12
