"""The README's examples run as printed, and its commands are the ones that CI runs."""

import os
import re
import warnings
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(
    r"<!-- example -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL
)


# What an example needs that has this word in it.
NEEDED = {
    "sklearn": "sklearn",
    "plot": "matplotlib",
    "torch": "torch",
    "onnx": "onnx",
    "keras": "keras",
}
EMBEDDINGS = [
    "Where a microsecond matters", "In Cython", "In C", "In C, without Python",
    "From and to scikit-learn", "From and to PyTorch", "From and to ONNX", "From Keras",
]  # fmt: skip


@pytest.mark.parametrize("heading", EMBEDDINGS)
def test_a_way_of_embedding_is_a_few_lines(heading):
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)^## ", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    blocks = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert blocks
    assert sum(len(block.splitlines()) for block in blocks) < 15


def test_there_are_examples():
    assert len(EXAMPLES) == 12


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        if "keras" in code:
            warnings.simplefilter("ignore")  # its own
            if "KERAS_BACKEND" not in os.environ:
                pytest.importorskip("torch")
                monkeypatch.setenv("KERAS_BACKEND", "torch")
        for word, package in NEEDED.items():
            if word in code:
                pytest.importorskip(package)
        exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out or list(tmp_path.iterdir())
    if "sklearn" in code:
        return
    if "digits" in code:
        X, y = names["X"], names["y"]
        assert names["net"].evaluate(X[1500:], y[1500:])["accuracy"] > 0.92
    if "binary" in code:
        assert (names["net"].predict(names["X"]).round().ravel() == names["y"]).all()
