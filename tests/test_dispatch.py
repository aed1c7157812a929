"""Which build of the core runs, and that every build is what it says."""

import os
import re
import subprocess
import sys
import sysconfig
import time
from importlib import util
from pathlib import Path

import pytest
from conftest import VARIANTS

import fcnn
from fcnn import _dispatch


def check_module(module):
    spec = util.find_spec(f"fcnn.{module}")
    assert spec is not None
    if os.name != "nt":
        # Free-threaded CPython has none before 3.15.
        free = sysconfig.get_config_var("Py_GIL_DISABLED")
        suffix = sysconfig.get_config_var("EXT_SUFFIX") if free else ".abi3.so"
        assert Path(spec.origin).name == module + suffix


def test_every_build_is_installed_and_uses_the_stable_abi(isa):
    check_module(VARIANTS[isa])


def test_the_module_that_asks_the_cpu_uses_the_stable_abi():
    check_module("_cpu")


def test_a_build_has_the_instruction_set_of_its_name(core, isa):
    assert isa == core.ISA


def test_a_build_has_the_tile_of_its_row(core):
    table = Path(__file__).parent.parent / "src" / "fcnn" / "kernels" / "isa.h"
    if not table.exists():
        pytest.skip("the source is not here")
    row = re.search(rf"ISA\({core.ISA}, \w+, \d, (\d+), (\w+), (\d),", table.read_text())
    octets, vectors = int(row[1]), int(row[3])
    rows = {2, 3} if row[2] == "FCNN_V2_MR" else {int(row[2])}  # v2: by the compiler
    assert core.micro_tile_shape()[::2] == (octets, vectors * octets // 4)
    assert core.micro_tile_shape()[1] in rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_limit_of_a_build_counts_what_it_computes(core, dtype):
    def timed(turns):
        begin = time.perf_counter()
        operations[turns] = core.multiply_adds(turns, dtype)
        return time.perf_counter() - begin

    operations = {}
    assert min(timed(40) for _ in range(9)) * 4 < timed(30_000)
    assert operations[30_000] == 750 * operations[40] > 0
    # A register has half as many of them.
    assert core.multiply_adds(40, "float32") == 2 * core.multiply_adds(40, "float64")


def test_the_fastest_available_build_is_chosen():
    if "FCNN_ISA" in os.environ:
        pytest.skip("FCNN_ISA overrides the choice")
    assert _dispatch.core.ISA == _dispatch.isa == next(iter(_dispatch.available()))


def imported(isa):
    """Import fcnn in a new process under FCNN_ISA; print the core's instruction set."""
    return subprocess.run(
        [sys.executable, "-c", "import fcnn; print(fcnn.show_config('dicts')['instruction set'])"],
        env={**os.environ, "FCNN_ISA": isa},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_fcnn_isa_overrides(isa):
    run = imported(isa)
    if isa in _dispatch.available():
        assert run.stdout.strip() == isa
    else:
        assert run.returncode == 1
        assert f"'{isa}' is not available" in run.stderr


@pytest.mark.slow
def test_an_unknown_fcnn_isa_is_refused():
    run = imported("v9")
    assert run.returncode == 1
    assert "FCNN_ISA: 'v9' is not available here; this CPU can run" in run.stderr


def test_show_config(capsys):
    fcnn.show_config()
    printed = capsys.readouterr().out
    config = fcnn.show_config(mode="dicts")
    assert config["fcnn"] == fcnn.__version__
    assert config["core module"] == f"fcnn.{_dispatch.available()[_dispatch.isa]}"
    for value in (fcnn.__version__, _dispatch.core.ISA, config["NumPy"]):
        assert value in printed
    with pytest.raises(ValueError, match="mode: expected"):
        fcnn.show_config(mode="json")
