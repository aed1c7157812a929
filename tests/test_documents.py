"""Every block of code in README.md and docs/ runs as printed; links lead somewhere.

documents.py says what the comments beside blocks mean.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from documents import ROOT, blocks, documents, is_generated

import fcnn

pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci").is_dir(), reason="not the repository: files are left out"
)

DOCUMENTS = documents() if (ROOT / ".ci").is_dir() else []
# What is done in them takes less than a second.
QUICK = {"docs/derivatives.md", "docs/formulas.md"}
# What a block needs that has this word in it.
PACKAGES = {
    "sklearn": "sklearn", "skl2onnx": "skl2onnx", "plot": "matplotlib", "report": "matplotlib",
    "torch": "torch", "onnx": "onnx", "keras": "keras",
}  # fmt: skip

# So that leaving out a block is a decision: those that run nowhere, and those that run in other
# tests, or in .ci/run.
NOT_RUN = 9
RUN_ELSEWHERE = 12


def packages(block):
    """Return what a block needs beside fcnn."""
    code = block.before + block.code
    return sorted({package for word, package in PACKAGES.items() if word in code})


def parameters():
    for document in DOCUMENTS:
        found = blocks(document)
        if not any(block.language in ("python", "sh") and not block.way for block in found):
            continue
        needed = sorted({package for block in found for package in packages(block)})
        yield pytest.param(
            document, id="-".join([document, *needed]),
            marks=() if document in QUICK else pytest.mark.slow(reason="trains networks"),
        )  # fmt: skip


def write_idx(path, array):
    """Write bytes as the IDX file of MNIST."""
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    with gzip.open(path, "wb") as stream:
        stream.write(bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What documents take for granted: files of the reader's own, and the command `fcnn`."""
    rng = np.random.default_rng(0)
    area, rooms = rng.uniform(40, 160, 200), rng.integers(1, 6, 200)
    street = rng.choice(["Elm", "Oak", "Ash"], 200)
    price = (1500 * area + 9000 * rooms + 20000 * (street == "Oak")).round(-2)
    rows = [f"{a:.1f},{n},{s}" for a, n, s in zip(area, rooms, street, strict=True)]
    lines = [
        "area,rooms,street,price",
        *(f"{row},{y:.0f}" for row, y in zip(rows, price, strict=True)),
    ]
    (tmp_path / "houses.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "new.csv").write_text("\n".join(lines[:21]) + "\n")
    petals = np.repeat([[1.4, 0.2], [4.3, 1.3], [5.6, 2.0]], 50, axis=0)
    petals = petals + rng.normal(scale=0.2, size=petals.shape)
    species = np.repeat(["setosa", "versicolor", "virginica"], 50)
    order = rng.permutation(150)
    flowers = [f"{petals[i, 0]:.1f},{petals[i, 1]:.1f},{species[i]}" for i in order]
    (tmp_path / "iris.csv").write_text("\n".join(["length,width,species", *flowers]) + "\n")
    X, y = fcnn.datasets.load_digits()
    (tmp_path / "mnist").mkdir()
    for part, rows_of in (("train", slice(500)), ("t10k", slice(500, 600))):
        write_idx(tmp_path / "mnist" / f"{part}-images-idx3-ubyte.gz", X[rows_of].reshape(-1, 8, 8))
        write_idx(tmp_path / "mnist" / f"{part}-labels-idx1-ubyte.gz", y[rows_of])
    commands = tmp_path / ".commands"
    commands.mkdir()
    for name, arguments in (("fcnn", "-m fcnn"), ("python", ""), ("python3", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lacking(block):
    for package in packages(block):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                __import__(package)
        except ImportError:
            return package
    return None


def run_python(block, document, names):
    for text, line in (
        (block.before, block.line),
        (block.code, block.line),
        (block.after, block.line),
    ):
        code = compile("\n" * (line - 1) + text, str(ROOT / document), "exec")
        with warnings.catch_warnings():
            if "keras" in packages(block):
                warnings.simplefilter("ignore")  # its own
            exec(code, names)


@pytest.mark.parametrize("document", [*parameters()])
def test_its_blocks_run(document, folder, monkeypatch):
    if "KERAS_BACKEND" not in os.environ:
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    if document == "docs/report.md":
        (folder / "new.csv").write_text((folder / "iris.csv").read_text())
    names, absent, passed_over = {}, None, []
    for block in blocks(document):
        if block.way:
            continue
        if block.language == "sh":
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", block.code], cwd=folder,
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{document}:{block.line}: {done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
        elif block.language == "python":
            if block.starts_anew:
                names, absent = {}, None
            absent = absent or lacking(block)
            if absent:
                passed_over.append(f"line {block.line} needs {absent}")
            else:
                run_python(block, document, names)
    if passed_over:
        pytest.skip(f"all others ran: {', '.join(passed_over)}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_blocks_are_of_a_kind_that_is_checked(document):
    for block in blocks(document):
        # Without a language: what a program prints. C and Cython: test_embedding.py and
        # test_convert_c.py hold them against programs that are built and run.
        # In braces: what Sphinx does, and the cells of lessons (test_lessons.py).
        is_directive = block.language.startswith("{")
        kinds = ("", "python", "sh", "json", "c", "cython")
        assert is_directive or block.language in kinds, block
        if block.language == "json":
            json.loads(f"{{{block.code}}}")


def test_blocks_that_are_left_out_are_counted():
    ways = Counter(block.way for document in DOCUMENTS for block in blocks(document))
    assert (ways["not run"], ways["run elsewhere"]) == (NOT_RUN, RUN_ELSEWHERE)
    assert ways[""] > 60


def test_a_block_that_is_wrong_is_seen(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport fcnn\nx = 1\n```\n\n<!-- after\nassert x == 2\n-->\n\n"
        "<!-- not run: needs a machine -->\n```sh\nfalse\n```\n"
    )
    monkeypatch.setattr("documents.ROOT", tmp_path)
    first, second = blocks("page.md")
    assert (first.code, first.line, second.reason) == ("import fcnn\nx = 1\n", 2, "needs a machine")
    with pytest.raises(AssertionError):
        run_python(first, "page.md", {})
    page.write_text("<!-- not run: nothing behind it -->\n")
    with pytest.raises(ValueError, match="without a block"):
        blocks("page.md")


def test_the_start_has_the_commands_of_the_readme():
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert len(commands) == 2
    start = (ROOT / "docs" / "start.md").read_text("utf-8").splitlines()
    assert {*commands} <= {*start}


# --- The README -----------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


WAYS = {
    "docs/embedding.md": ["Python", "C", "Cython", "C, without Python"],
    "docs/convert.md": ["scikit-learn", "PyTorch", "ONNX", "Keras"],
}


@pytest.mark.parametrize(("document", "heading"), [(d, h) for d in WAYS for h in WAYS[d]])
def test_a_way_of_embedding_is_a_few_lines(document, heading):
    text = (ROOT / document).read_text("utf-8")
    (section,) = re.findall(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert shown
    assert sum(len(block.splitlines()) for block in shown) < 15


# --- Links ----------------------------------------------------------------------------------------


def anchors(path):
    """Return what the headings of a page are called in links, as GitHub and MyST call them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def pages():
    skipped = (".", "build", "node_modules")
    return [
        path
        for pattern in ("*.md", "*/*.md", "docs/**/*.md", "src/**/*.md", ".github/*.md")
        for path in ROOT.glob(pattern)
        if not path.relative_to(ROOT).parts[0].startswith(skipped)
        or path.relative_to(ROOT).parts[0] == ".github"
    ]


@pytest.mark.parametrize(
    "path",
    sorted(path for path in {*pages()} if not is_generated(path)) if DOCUMENTS else [],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    missing = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        place = path.parent / target if target else path
        if not place.exists() or (
            anchor and place.suffix == ".md" and anchor not in anchors(place)
        ):
            missing.append(link)
    assert not missing


def test_documents_that_the_source_names_exist():
    named = {
        document
        for folder in ("src", "docs", "scripts", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd", ".h", ".md")
        for document in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))
    }
    assert not [document for document in named if not (ROOT / document).exists()]
