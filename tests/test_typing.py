"""Types of the installed package: against its modules, and as a type checker sees them.

.ci/run installs mypy for this.
"""

import inspect
import pkgutil
import subprocess
import sys
import typing
from importlib import util
from pathlib import Path

import pytest
import typed_example

import fcnn
from fcnn import _dispatch
from fcnn._cpu import BUILDS

TESTS = Path(__file__).parent
CLASSES = [
    fcnn.Network, fcnn.SGD, fcnn.Adam, fcnn.AdamW, fcnn.EarlyStopping, fcnn.ModelCheckpoint,
    fcnn.schedules.Schedule, fcnn.schedules.Plateau, fcnn.training.Progress, fcnn.training.History,
]  # fmt: skip


def run(folder, *command):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,  # not the repository, or it would be read instead of what is installed
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def mypy():
    pytest.importorskip("mypy")
    if fcnn.__file__.startswith(str(TESTS.parent / "src")):
        pytest.skip("fcnn is not installed, but run from its source tree")


def test_the_example_runs(tmp_path):
    typed_example.program(str(tmp_path / "network.safetensors"))


@pytest.mark.usefixtures("mypy")
def test_the_example_has_the_types_it_says(tmp_path):
    run(tmp_path, "mypy", "--strict", "--config-file=", TESTS / "typed_example.py")


@pytest.mark.usefixtures("mypy")
@pytest.mark.skipif(util.find_spec("fcnn._core_v3") is None, reason="other builds: other modules")
def test_the_stubs_are_those_of_the_modules(tmp_path):
    for package in ("matplotlib", "sklearn", "tqdm"):  # imported by modules of fcnn
        pytest.importorskip(package)
    config = tmp_path / "mypy.ini"
    untyped = (
        "anywidget", "matplotlib", "mpi4py", "pandas", "polars", "pyarrow", "torch", "tqdm",
        "traitlets",
    )  # fmt: skip
    names = ",".join(f"{package}.*" for package in untyped)
    config.write_text(f"[mypy-{names}]\nignore_missing_imports = True\nfollow_imports = skip\n")
    modules = ["fcnn"]
    # stubtest imports what it checks, and a build that this CPU cannot run would end it.
    left_out = {module for _, module, _ in BUILDS} - set(_dispatch.available().values())
    if left_out:
        names = (module.name for module in pkgutil.iter_modules(fcnn.__path__))
        modules = [f"fcnn.{name}" for name in names if name not in left_out | {"__main__"}]
    run(
        tmp_path, "mypy.stubtest", *modules, "--mypy-config-file", config,
        "--allowlist", TESTS / "stubtest_allowlist.txt", "--ignore-unused-allowlist",
    )  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_annotations_can_be_evaluated(cls):
    typing.get_type_hints(cls)
    methods = [value for value in vars(cls).values() if inspect.isfunction(value)]
    assert methods
    for method in methods:
        typing.get_type_hints(method)
