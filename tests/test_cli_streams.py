"""The command with streams and names that not everybody has: closed, full, ASCII, no UTF-8."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fcnn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and byte names")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.random((40, 2))
    names = np.where(X[:, 0] > 0.5, "gut", "böse")
    rows = [f"{x},{y},{name}" for (x, y), name in zip(X, names, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["größe,b,ziel", *rows, ""]), encoding="utf-8")
    fcnn.Network((2, 2), loss="cross_entropy", rng=0).save("m.safetensors")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    return tmp_path


def run(shell, **environment):
    """Run a command by the shell, where $FCNN is fcnn; return (code, stdout, stderr) as bytes."""
    done = subprocess.run(
        ["sh", "-c", shell],
        env={**os.environ, "FCNN": f"{sys.executable} -m fcnn", **environment},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert b"Exception ignored" not in done.stderr, done.stderr.decode(errors="replace")
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["--help", "inspect m.safetensors", "predict m.safetensors x.csv"]
)
def test_an_answer_that_nobody_can_have(here, words):
    code, _, said = run(f"$FCNN {words} > /dev/full")
    assert code == 2
    assert b"No space left on device" in said
    # Nobody can be told either, but by the exit code.
    assert run(f"$FCNN {words} > /dev/full 2> /dev/full")[0] == 2
    code, _, said = run(f"$FCNN {words} >&-")
    assert code == (0 if words == "--help" else 2)
    assert words == "--help" or b"standard output is closed" in said
    assert run(f"$FCNN {words} 2>&-")[0] == 0


@pytest.mark.slow
def test_a_training_does_not_need_its_streams(here):
    code, _, _ = run(
        "$FCNN train t.csv --target ziel --epochs 1 --no-plot --output a.safetensors >&- 2>&-"
    )
    assert code == 0
    assert fcnn.load("a.safetensors").classes == ("böse", "gut")


@pytest.mark.slow
def test_terminals_of_ascii(here):
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    code, said, _ = run(
        "$FCNN train t.csv --target ziel --epochs 1 --no-plot --output a.safetensors", **ascii_only
    )
    assert code == 0
    assert said.isascii()
    code, table, _ = run("$FCNN predict a.safetensors t.csv --append", **ascii_only)
    assert code == 0
    assert table.decode("utf-8").startswith("größe,b,ziel,prediction\n")


@pytest.mark.slow
def test_names_that_are_no_utf_8(here):
    os.rename(b"t.csv", b"t\xff.csv")
    train = r"$FCNN train $(printf 't\377.csv') --target ziel --epochs 1 --no-plot"
    assert run(rf"{train} --output $(printf 'm\377.safetensors')")[0] == 0
    code, table, _ = run(r"$FCNN predict $(printf 'm\377.safetensors') $(printf 't\377.csv')")
    assert code == 0
    assert len(table.splitlines()) == 41
    assert run(r"$FCNN inspect $(printf 'm\377.safetensors')")[0] == 0
    code, _, said = run(r"$FCNN inspect $(printf 'q\377.safetensors')")
    assert code == 2
    assert said


@pytest.mark.slow
def test_a_closed_standard_input(here):
    train = "$FCNN train - --target ziel --epochs 1 --no-plot --output a.safetensors"
    for command in ("$FCNN predict m.safetensors -", train):
        code, _, said = run(f"{command} <&-")
        assert code == 2
        assert b"standard input is closed" in said


@pytest.mark.slow
def test_a_full_standard_error(here):
    train = "$FCNN train t.csv --target ziel --epochs 1 --no-plot --output a.safetensors"
    assert run(f"{train} 2> /dev/full")[0] == 0
    assert fcnn.load("a.safetensors").classes == ("böse", "gut")
    assert run("$FCNN nonsense 2> /dev/full")[0] == 2
