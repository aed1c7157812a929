"""Importing fcnn is quick, and what it leaves out is there when it is asked for."""

import functools
import json
import subprocess
import sys

import pytest

import fcnn

# Each takes about as long as the rest of fcnn, or longer.
HEAVY = {
    "argparse",
    "csv",
    "fcnn.bench",
    "fcnn.cli",
    "fcnn.convert",
    "fcnn.datasets",
    "fcnn.files",
    "fcnn.gradient_check",
    "fcnn.learn",
    "fcnn.model",
    "fcnn.plot",
    "fcnn.reference",
    "fcnn.report",
    "fcnn.tables",
    "fcnn.training",
    "gzip",
    "importlib.resources",
    "json",
    "logging",
    "matplotlib",
    "numpy.random",
    "pathlib",
    "subprocess",
    "tqdm",
    "zipfile",
}
LATE = [
    "callbacks", "convert", "datasets", "files", "gradient_check", "history", "learn", "model",
    "plot", "reference", "report", "schedules", "tables", "training",
]  # fmt: skip


def printed(code):
    """Run code in a new process; return what it printed, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_import_is_light():
    # NumPy itself imports some of them, which ones depends on its version.
    added = printed(
        "import sys, numpy; before = set(sys.modules); import fcnn; "
        "added = sorted(set(sys.modules) - before); import json; print(json.dumps(added))"
    )
    assert "fcnn.network" in added
    assert not HEAVY & set(added)


@functools.cache
def first_attributes():
    """Return by name what each of LATE is where nothing of fcnn has been imported before.

    One process imports fcnn again and again, with the same compiled modules: NumPy's import, which
    is the most of it, is made once.
    """
    return printed(f"""
import importlib, json, sys
def first(name):
    for module in [m for m in sys.modules if m.partition(".")[0] == "fcnn"]:
        if not module.startswith(("fcnn._core", "fcnn._cpu")):
            del sys.modules[module]
    try:
        return getattr(importlib.import_module("fcnn"), name).__name__
    except Exception as error:
        return repr(error)
print(json.dumps({{name: first(name) for name in {LATE}}}))
""")


@pytest.mark.slow
@pytest.mark.parametrize("name", LATE)
def test_a_submodule_is_an_attribute_without_its_import(name):
    assert first_attributes()[name] == f"fcnn.{name}"


@pytest.mark.slow
def test_load_is_an_attribute():
    assert fcnn.load is fcnn.files.load
    assert printed("from fcnn import load; print('\"' + load.__module__ + '\"')") == "fcnn.files"


@pytest.mark.slow
def test_all_and_dir_are_complete():
    listed, star = printed(
        "import fcnn; listed = dir(fcnn); star = {}; exec('from fcnn import *', star); "
        "import json; print(json.dumps([listed, sorted(star)]))"
    )
    assert {*fcnn.__all__, *LATE} <= set(listed)
    assert set(fcnn.__all__) <= set(star)


def test_an_unknown_attribute_is_refused():
    with pytest.raises(AttributeError, match="module 'fcnn' has no attribute 'nonsense'"):
        fcnn.nonsense  # noqa: B018
