"""Options of ``fcnn train``: what a run leaves behind, names that are nearly right, and more."""

import numpy as np
import pytest

from fcnn.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here, capsys):
    """A call of the command line: exit code, stdout, stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def points(here):
    """A table of two classes, which a line tells apart."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    rows = [f"{a:.5f},{b:.5f},{'hi' if a > b else 'lo'}" for a, b in X]
    path = here / "points.csv"
    path.write_text("\n".join(["a,b,y", *rows]) + "\n")
    return path.name


def test_too_few_rows_are_called_so(run, here):
    (here / "two.csv").write_text("a,y\n1,2.5\n2,3.5\n")
    code, out, err = run("train", "two.csv", "--target", "y")
    assert (code, out) == (2, "")
    assert err == (
        "fcnn train: error: two.csv: 2 rows with a target, of which 2 would be held out; expected "
        "more, or --test 0 --validation 0\n"
    )
