"""The examples in Python are short, and do what they say."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "python"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= 60


def test_reinforce(capsys):
    # At random half of the episodes are won.
    assert load("reinforce").main() > 0.85
    assert "update  59: mean return" in capsys.readouterr().out


@pytest.mark.slow
def test_q_learning(capsys):
    # A pendulum that hangs has -1; pushed at random they have -0.6, at the top 1.
    assert load("q_learning").main() > 0.2
    assert "step 5000" in capsys.readouterr().out
