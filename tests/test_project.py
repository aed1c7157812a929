"""The files that a package is expected to carry say what is so: versions, packages, links."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fcnn

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci").is_dir(), reason="not the repository: files are left out"
)


def text(path):
    return (ROOT / path).read_text("utf-8")


@pytest.fixture
def clone():
    if "[project.urls]" in text("pyproject.toml"):
        pytest.skip("a release has named its home in this tree")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(text("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def yaml():
    return pytest.importorskip("yaml")


def test_the_files_are_there():
    for name in (
        "LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md", "SECURITY.md",
    ):  # fmt: skip
        assert (ROOT / name).stat().st_size > 500, name


@pytest.mark.parametrize("path", ["CITATION.cff", "conda/recipe.yaml"])
def test_the_version_is_the_package_s(path):
    (version,) = re.findall(r'^\s*version: "?([\d.]+)"?$', text(path), re.MULTILINE)
    assert version == fcnn.__version__


def test_the_classifiers_name_each_python(project):
    said = [line.rpartition(" :: ")[2] for line in project["classifiers"]]
    minors = [int(one.partition(".")[2]) for one in said if re.fullmatch(r"3\.\d+", one)]
    oldest = int(project["requires-python"].removeprefix(">=3."))
    assert minors == list(range(oldest, max(minors) + 1))
    built = tomllib.loads(text("pyproject.toml"))["tool"]["cibuildwheel"]["build"]
    assert max(minors) >= max(int(one) for one in re.findall(r"cp3(\d+)", " ".join(built)))


def test_the_classifiers_exist(project):
    known = pytest.importorskip("trove_classifiers").classifiers
    assert {*project["classifiers"]} <= known


def test_the_recipe_needs_what_the_package_needs(project, yaml):
    # `${{ ... }}` is YAML's own flow mapping; the recipe's tool replaces it first.
    recipe = yaml.safe_load(re.sub(r"\$\{\{(.*?)\}\}", r"<\1>", text("conda/recipe.yaml")))
    needs = recipe["requirements"]

    def plain(lines):
        return {line.replace(" ", "") for line in lines}

    assert plain(needs["run"]) == {"python", *plain(project["dependencies"])}
    system = tomllib.loads(text("pyproject.toml"))["build-system"]["requires"]
    assert plain(system) <= plain(needs["host"])
    assert recipe["about"]["license"] == project["license"]
    for file in (*recipe["about"]["license_file"], *recipe["tests"][1]["files"]["source"]):
        assert (ROOT / file).exists()
    extras = project["optional-dependencies"]
    tested = plain(recipe["tests"][1]["requirements"]["run"])
    wanted = [*extras["cli"], *extras["sklearn"], *extras["test"][1:]]
    wanted = {one.replace("matplotlib>", "matplotlib-base>") for one in plain(wanted)}
    assert {one for one in wanted if not one.startswith("scipy")} == tested


@pytest.mark.parametrize("form", ["bug", "idea", "slow"])
def test_a_form_asks_what_it_needs(form, yaml):
    asked = yaml.safe_load(text(f".github/ISSUE_TEMPLATE/{form}.yml"))
    assert {"name", "description", "body"} <= asked.keys()
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    ids = [part["id"] for part in asked["body"] if part["type"] != "markdown"]
    assert len({*ids}) == len(ids) > 0
    for part in asked["body"]:
        assert part["type"] in kinds
        assert "value" in part["attributes"] or part["attributes"]["label"]
        assert part["type"] != "dropdown" or part["attributes"]["options"]
    assert any(part.get("validations", {}).get("required") for part in asked["body"])


@pytest.mark.usefixtures("clone")
def test_a_release_says_where_its_home_is(tmp_path):
    """Relative links lead nowhere on a package page, so what is published has the whole ones."""
    for name in ("README.md", "pyproject.toml"):
        (tmp_path / name).write_text(text(name), "utf-8")
    home = "https://forge.example/somebody/fcnn"
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "name_home.py", home, "v1.2.3", tmp_path], check=True
    )
    readme = (tmp_path / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert links
    for link in links:
        assert link.startswith(("https://", "#")), link
        if link.startswith(home):
            way, _, path = link.removeprefix(f"{home}/").partition("/v1.2.3/")
            assert (ROOT / path.partition("#")[0]).exists(), path
            is_image = f"!{link}" in readme or path.endswith((".png", ".svg", ".gif"))
            assert way == ("raw" if is_image else "blob")
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert {"Homepage", "Source", "Changelog", "Issues", "Documentation"} == {*urls}
    assert all(url.startswith(home) for url in urls.values())
    again = subprocess.run(
        [sys.executable, ROOT / "scripts" / "name_home.py", home, "v1.2.3", tmp_path], check=False
    )
    assert again.returncode != 0  # it is done once


def test_the_release_names_its_home():
    flow = text(".github/workflows/release.yml")
    assert flow.count("scripts/name_home.py") == 2  # wheels, and the source distribution


@pytest.mark.usefixtures("clone")
def test_there_is_no_home_that_nobody_knows(project):
    assert "urls" not in project, "see scripts/name_home.py"
    assert json.dumps(project).count("://") == 0


# Files of this repository, as documents, scripts and tests name them.
NAMED = re.compile(
    r"(?<![\w/])(?:tests|scripts|benchmarks|docs|examples)/[\w./-]*\w\.(?:py|md|sh|txt)\b"
)
TEXTS = ("*.md", "*.py", "*.pyx", "*.pxi", "*.pxd", "*.sh", "*.toml", "*.yml", "*.txt")


def texts():
    for folder in ("tests", "scripts", "benchmarks", "docs", "examples", "src/fcnn", ".github"):
        for pattern in TEXTS:
            yield from (ROOT / folder).rglob(pattern)
    yield from (ROOT / name for name in (".ci/run", "Makefile", "README.md", "CONTRIBUTING.md"))
    yield from ROOT.glob("*.toml")


def missing(content):
    """Return what a text names and is not there."""
    return [name for name in {*NAMED.findall(content)} if not (ROOT / name).exists()]


def test_files_that_are_named_are_there():
    found = {}
    for path in texts():
        if absent := missing(path.read_text("utf-8")):
            found[str(path.relative_to(ROOT))] = absent
    assert not found
    gone = "/".join(["tests", "test_readme.py"])
    assert missing(f"see {gone}, tests/test_project.py") == [gone]


@pytest.mark.parametrize(
    ("path", "constant"),
    [("scripts/mutate.py", "NOT_OF_THE_CORE"), ("tests/soak/sanitizers.py", "OF_OTHER_PROGRAMS")],
)
def test_tests_that_are_left_out_are_there(path, constant):
    (names,) = re.findall(rf"^{constant} = (\(.*?\))", text(path), re.MULTILINE | re.DOTALL)
    names = re.findall(r'"(\w+)"', names)
    assert len(names) > 4
    for name in names:
        assert (ROOT / "tests" / f"test_{name}.py").exists(), name


def test_every_benchmark_is_in_the_table_of_them():
    table = text("benchmarks/README.md").partition("## What there is")[2].partition("\n## ")[0]
    named = {name.rstrip("/") for name in re.findall(r"`([\w.]+/?)`", table)}
    there = {path.name for path in (ROOT / "benchmarks").iterdir()}
    there -= {"README.md", "__pycache__"}
    assert there - named == set()
    assert {name for name in named if name.endswith((".py", ".c", ".json"))} <= there
