"""Data races: many threads predict and differentiate on one network, under ThreadSanitizer.

tests/c_driver.c with so many threads: forward and backward on one network, in float32 and float64,
must be 0 races and the same bits as alone. Then one thread trains while others predict, which the
interface forbids: a detector that does not see that one sees nothing, and fails the check, too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fcnn
from fcnn._dispatch import isa

from .common import ROOT
from .instrumented import build

RACES = 66  # exit status


def make_driver(folder, flags):
    driver = folder / "driver"
    subprocess.run(
        [sys.executable, ROOT / "examples/c/build.py", ROOT / "tests/c_driver.c", "-o", driver,
         *flags.split()],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return driver


def run_driver(driver, path, *arguments, at_first=False):
    """Run the driver, if wanted up to the first race; return how many there are, and the report."""
    # TSan's shadow memory has no room for the addresses of newer kernels' randomization.
    quiet = ["setarch", "-R"] if shutil.which("setarch") else []
    done = subprocess.run(
        [*quiet, driver, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "FCNN_ISA": isa,
             "TSAN_OPTIONS": f"exitcode={RACES},halt_on_error={int(at_first)}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    races = done.stderr.count("WARNING: ThreadSanitizer: data race")
    assert done.returncode == (RACES if races else 0), done.stdout + done.stderr
    return races, done.stderr


def run(size, seed):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = build(folder, flags := "-fsanitize=thread -g")
        driver = make_driver(folder, flags)
        path = [str(package.parent), *filter(None, sys.path[1:])]
        for dtype in ("float32", "float64"):
            file = folder / f"{dtype}.safetensors"
            fcnn.Network((21, 50, 33, 5), ["relu", "gelu"], dtype=dtype).save(file)
            races, report = run_driver(driver, path, "threads", file, str(size))
            assert not races, report
        races, _ = run_driver(driver, path, "race", file, str(size), at_first=True)
        assert races, "the race that the interface forbids was not seen"
    return f"{size} threads on one network, both dtypes: no race; a forbidden one is seen"
