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
    assert len(EXAMPLES) == 14


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


ROOT = README.parent


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="not the repository: files are left out")
@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text("utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


def test_documents_that_the_source_names_exist():
    named = {
        document
        for folder in ("src", "docs", "scripts", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd", ".h", ".md")
        for document in re.findall(r"docs/[\w-]+\.md", path.read_text("utf-8"))
    }
    assert not [document for document in named if not (ROOT / document).exists()]
