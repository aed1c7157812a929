"""The examples and the C driver are built against the installed package and run."""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import util
from pathlib import Path

import numpy as np
import pytest

import fcnn

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "examples" / "c" / "build.py"


def missing():
    """Return what this machine lacks to build a program that embeds Python, or None."""
    if fcnn.get_include().startswith(str(ROOT / "src")):
        return "fcnn is not installed, but run from its source tree"
    if shutil.which("cc") is None:
        return "no C compiler (cc)"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no headers of Python (Python.h)"
    return None


def no_library():
    """Return why no program can be linked with this Python, or None."""
    if os.name == "nt":
        return "the C programs use POSIX threads"
    files = [sysconfig.get_config_var(name) for name in ("LDLIBRARY", "LIBRARY")]
    folders = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")]
    if not any(Path(f, n).is_file() for f in folders for n in files if f and n):
        return f"no library of Python to link with: {files}"
    return None


needs_compiler = pytest.mark.skipif(missing() is not None, reason=str(missing()))
needs_library = pytest.mark.skipif(
    (missing() or no_library()) is not None, reason=str(missing() or no_library())
)


# Where programs find the packages of this Python.
PATHS = [Path(module.__file__).parents[1] for module in (fcnn, np)]


def run(*command, **settings):
    """Run a program that finds the packages of this Python; return what it printed."""
    path = os.pathsep.join(map(str, PATHS))
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source, program, *flags):
    run(sys.executable, BUILD, source, "-o", program, "-Werror", *flags)
    return program


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    counted = platform.libc_ver()[0] == "glibc"
    flags = ["-DCOUNT_ALLOCATIONS"] if counted else []
    program = tmp_path_factory.mktemp("driver") / "driver"
    return build(ROOT / "tests" / "c_driver.c", program, *flags), counted


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    """The C example."""
    return build(
        ROOT / "examples" / "c" / "predict.c", tmp_path_factory.mktemp("predict") / "predict"
    )


@pytest.fixture(params=["float32", "float64"])
def saved(request, tmp_path):
    """A network in a file."""
    file = tmp_path / "network.safetensors"
    fcnn.Network((21, 50, 33, 5), ["relu", "gelu"], dtype=request.param).save(file)
    return file


def test_the_header_is_in_the_package():
    folder = Path(fcnn.get_include())
    assert (folder / "fcnn.h").is_file()
    assert (folder.parent / "__init__.pxd").is_file()


@pytest.mark.slow
@needs_library
def test_no_call_allocates(driver, saved):
    program, counted = driver
    if not counted:
        pytest.skip("the counter is before the allocator of glibc")
    assert run(program, "allocations", saved) == "102 calls, 0 allocations\n"


@needs_library
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes",
    [
        (4, 16, 3),
        pytest.param((21, 50, 33, 5), marks=pytest.mark.slow),
        pytest.param((300, 64, 10), marks=pytest.mark.slow),  # many rows: inputs in place
        pytest.param((6, 900, 4), marks=pytest.mark.slow),  # one row is too wide for the stack
        pytest.param(
            (1024, 1024, 1024, 10),
            marks=[pytest.mark.slow, pytest.mark.long(reason="3000 rows in float64")],
        ),
    ],
    ids=str,
)
def test_steady_predictions_allocate_nothing(driver, tmp_path, sizes, dtype):
    program, counted = driver
    if not counted:
        pytest.skip("the counter is before the allocator of glibc")
    fcnn.Network(sizes, "tanh", dtype=dtype).save(tmp_path / "network.safetensors")
    printed = run(program, "predict", tmp_path / "network.safetensors")
    assert printed == "198 calls, 0 allocations\n"


@pytest.mark.slow
@needs_library
def test_threads_get_the_same_bits_as_one(driver, saved):
    assert run(driver[0], "threads", saved, 8) == "8 threads, 3840 calls, 0 different\n"


@needs_library
@pytest.mark.parametrize("threads", [1, 3, 50])
def test_the_c_example_predicts(predict, tmp_path, threads):
    network = fcnn.Network((4, 16, 3), activation="tanh")
    network.save(tmp_path / "network.safetensors")
    X = np.random.default_rng(0).normal(size=(37, 4)).astype(np.float32)
    rows = "\n".join(" ".join(f"{v:.9g}" for v in x) for x in X.tolist())
    printed = run(predict, tmp_path / "network.safetensors", threads, input=rows)
    answer = np.array([line.split() for line in printed.splitlines()], np.float32)
    assert answer.tobytes() == network.predict(X).tobytes()


@needs_library
def test_import_says_why_it_failed(imports, tmp_path, monkeypatch):
    """Not that a capsule could not be imported, but what Python would have said."""
    for package in ("fcnn", "numpy"):
        (tmp_path / f"broken {package}" / package).mkdir(parents=True)
        (tmp_path / f"broken {package}" / package / "__init__.py").write_text(
            f"raise RuntimeError('this {package} is broken')\n"
        )
    for paths, said in (
        ([tmp_path / "broken fcnn", *PATHS], "RuntimeError: this fcnn is broken"),
        ([tmp_path / "broken numpy", *PATHS], "RuntimeError: this numpy is broken"),
        ([tmp_path / "none"], "ModuleNotFoundError: No module named 'fcnn'"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(sys.modules[__name__], "PATHS", paths)
            with pytest.raises(AssertionError, match=said):
                run(imports)


@needs_library
def test_the_c_example_says_what_is_wrong(predict, tmp_path):
    network = fcnn.Network((4, 3), dtype="float64")
    network.save(tmp_path / "network.safetensors")
    with pytest.raises(AssertionError, match="the network has the other dtype"):
        run(predict, tmp_path / "network.safetensors", 1, input="1 2 3 4")
    with pytest.raises(AssertionError, match=r"FileNotFoundError: .*no such file"):
        run(predict, tmp_path / "none.safetensors", 1, input="")
    fcnn.Network((4, 3)).save(tmp_path / "network.safetensors")
    for rows, said in (
        ("1 2 3 4 5", "got 5 numbers\n"), ("1 2 3 4\n5 x 7 8", "got 5 numbers, and")
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=f"expected rows of 4 numbers, {said}"):
            run(predict, tmp_path / "network.safetensors", 1, input=rows)


@needs_compiler
def test_the_header_is_cplusplus_and_strict_c(tmp_path):
    source = tmp_path / "header.c"
    source.write_text('#include "fcnn.h"\nint main(void) { fcnn_api *api = 0; return api != 0; }\n')
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{fcnn.get_include()}"]
    run("cc", "-std=c99", *flags, source, "-o", tmp_path / "c")
    run(tmp_path / "c")
    if shutil.which("c++"):
        run("c++", "-x", "c++", "-std=c++11", *flags, source, "-o", tmp_path / "cpp")


IMPORTS = """\
#include <Python.h>
static int more(const char *name)
{
    const char *number = getenv(name);
    return number == NULL ? 0 : atoi(number);
}
#include "fcnn.h"
int main(void)
{
    Py_Initialize();
    if (fcnn_import() == NULL) {
        PyErr_Print();
        return 1;
    }
    return Py_FinalizeEx() < 0;
}
"""


@pytest.fixture(scope="module")
def imports(tmp_path_factory):
    """A program whose header's numbers are larger by the environment's: one for all of them."""
    folder = tmp_path_factory.mktemp("imports")
    text, count = re.subn(
        r"(#define FCNN_(ABI|VERSION)) (\d+)",
        r'\1 (\3 + more("\2"))',
        Path(fcnn.get_include(), "fcnn.h").read_text("utf-8"),
    )
    assert count == 2
    (folder / "fcnn.h").write_text(text)
    (folder / "imports.c").write_text(IMPORTS)
    return build(folder / "imports.c", folder / "imports")


@pytest.mark.slow
@needs_library
@pytest.mark.parametrize(
    ("abi", "version", "runs"),
    [(0, 0, True), (0, -1, True), (0, 1, False), (1, 0, False), (-1, 0, False), (-1, 1, False)],
    ids=["same", "older program", "older fcnn", "next ABI", "last ABI", "last ABI, newer version"],
)
def test_a_program_runs_with_its_version_and_newer_ones(imports, monkeypatch, abi, version, runs):
    """The numbers that the program is compiled with, relative to those of the installed fcnn."""
    monkeypatch.setenv("ABI", str(abi))
    monkeypatch.setenv("VERSION", str(version))
    if runs:
        run(imports)
    else:
        with pytest.raises(AssertionError, match="ImportError: compiled for the C interface"):
            run(imports)


@needs_compiler
@pytest.mark.skipif(util.find_spec("Cython") is None, reason="no Cython")
@pytest.mark.skipif(util.find_spec("setuptools") is None, reason="no setuptools")
@pytest.mark.slow(reason="Cython and a C compiler")
def test_the_cython_example_rolls_out(tmp_path, monkeypatch):
    for file in (ROOT / "examples" / "cython").glob("*.py*"):
        shutil.copy(file, tmp_path)
    # Optimized, it takes more than twice as long.
    monkeypatch.setenv("CFLAGS", "-O0")
    run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path)
    (module,) = [*tmp_path.glob("rollout.*.so"), *tmp_path.glob("rollout.*.pyd")]
    spec = util.spec_from_file_location("rollout", module)
    rollout = util.module_from_spec(spec)
    spec.loader.exec_module(rollout)
    network = fcnn.Network((3, 20, 3), activation="tanh", loss="squared_error")
    network.parameters *= 1.5
    state = np.array([0.1, -0.2, 0.3], np.float32)
    expected = state
    for _ in range(100):
        expected = network.predict(expected)
    rollout.rollout(network, state, 100)
    assert state.tobytes() == expected.tobytes()
    with pytest.raises(TypeError, match=r"expected a fcnn.Network, got str"):
        rollout.rollout("network", state, 1)
    with pytest.raises(ValueError, match="state: expected as many"):
        rollout.rollout(network, np.zeros(4, np.float32), 1)
    with pytest.raises(ValueError, match="the network has the other dtype"):
        rollout.rollout(fcnn.Network((3, 3), dtype="float64"), state, 1)


@needs_library
@pytest.mark.slow(reason="2,000 laps of five networks")
def test_the_benchmark_runs():
    printed = run(sys.executable, ROOT / "benchmarks" / "c_interface.py", "--rows", 5)
    assert "64-100-10, softmax" in printed


@pytest.mark.parametrize(
    ("language", "example"),
    [("cython", "examples/cython/rollout.pyx"), ("c", "examples/c/predict.c")],
)
@pytest.mark.parametrize("document", ["docs/embedding.md"])
def test_what_the_documents_show_is_in_an_example(document, language, example):
    text = (ROOT / document).read_text("utf-8")
    blocks = re.findall(rf"(?<!<!-- stand-alone -->\n)```{language}\n(.*?)```", text, re.DOTALL)
    assert blocks
    lines = {line.strip() for line in (ROOT / example).read_text("utf-8").splitlines()}
    assert {line.strip() for block in blocks for line in block.splitlines()} - {""} <= lines
