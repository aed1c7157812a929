"""Options of ``fcnn train``: what a run leaves behind, names that are nearly right, and more."""

import numpy as np
import pytest

import fcnn
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


# --- What a run leaves behind ---------------------------------------------------------------------


def test_each_run_has_a_name_of_its_own(run, here, points):
    (here / "points.tsv").write_text((here / points).read_text().replace(",", "\t"))
    (here / "points-2.png").write_bytes(b"somebody's own")
    words = ("--target", "y", "--epochs", 1, "--quiet", "--no-plot")
    for data, name in ((points, "points"), (points, "points-3"), ("points.tsv", "points.tsv")):
        code, out, err = run("train", data, *words)
        assert code == 0, err
        assert f"model      {name}.safetensors\n" in out
    assert sorted(path.name for path in here.glob("*.safetensors")) == [
        "points-3.safetensors", "points.safetensors", "points.tsv.safetensors",
    ]  # fmt: skip
    assert (here / "points-2.png").read_bytes() == b"somebody's own"


@pytest.mark.parametrize("how", ["diverged", "interrupted"])
def test_a_run_that_ends_badly_leaves_the_model_of_yesterday(how, run, here, points, monkeypatch):
    """It has got through an epoch, so it has something to save: beside the file, not over it."""
    words = ("train", points, "--target", "y", "--output", "m.safetensors", "--no-plot", "--quiet")
    assert run(*words, "--epochs", 2)[0] == 0
    before = (here / "m.safetensors").read_bytes()

    def fit(self, X, y, *, callbacks, **options):
        real(self, X, y, callbacks=callbacks, **{**options, "epochs": 1})
        raise fcnn.DivergenceError("the loss is nan") if how == "diverged" else KeyboardInterrupt

    real = fcnn.Network.fit
    monkeypatch.setattr(fcnn.Network, "fit", fit)
    code, out, err = run(*words, "--epochs", 9)
    assert (code, out) == (1 if how == "diverged" else 130, "")
    assert "so far (epoch 1) to m-2.safetensors; m.safetensors is as it was" in err
    assert (here / "m.safetensors").read_bytes() == before
    assert fcnn.load("m-2.safetensors").classes == ("hi", "lo")
    assert sorted(path.name for path in here.iterdir()) == [
        "m-2.safetensors", "m.safetensors", points,
    ]  # fmt: skip
