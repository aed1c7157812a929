#!/usr/bin/env python3
"""Looks for data races: many threads predict on one network, under ThreadSanitizer.

    python .ci/check_races.py [THREADS]

Builds the core that this machine runs once more, instrumented (two minutes), puts it into a copy of
the installed package, and runs tests/c_driver.c with 8 threads: forward and backward on one
network, in float32 and float64, must be 0 races and the same bits as alone. Then one thread trains
while others predict, which the interface forbids: a detector that does not see that one sees
nothing, and fails the check, too. Needs CMake, Cython, NumPy and GCC or Clang with ThreadSanitizer.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fcnn
from fcnn._dispatch import core, isa

ROOT = Path(__file__).resolve().parent.parent
FLAGS = "-fsanitize=thread -g"
RACES = 66  # exit status


def build(folder, package):
    """Return the instrumented driver; put the instrumented core into a copy of the package."""
    name = core.__name__.rpartition(".")[2]
    shutil.copytree(Path(fcnn.__file__).parent, package)
    configure = [
        "cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_FLAGS={FLAGS}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    for command in (configure, ["cmake", "--build", folder, "--target", name]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (module,) = folder.glob(f"{name}.*so")
    (installed,) = package.glob(f"{name}.*so")
    shutil.copyfile(module, installed)
    driver = folder / "driver"
    subprocess.run(
        [sys.executable, ROOT / "examples/c/build.py", ROOT / "tests/c_driver.c", "-o", driver,
         *FLAGS.split()],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return driver


def run(driver, path, *arguments, at_first=False):
    """Run the driver, if wanted up to the first race; return how many there are, and the report."""
    # TSan's shadow memory has no room for the addresses of newer kernels' randomization.
    quiet = ["setarch", "-R"] if shutil.which("setarch") else []
    done = subprocess.run(
        [*quiet, driver, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "FCNN_ISA": isa,
             "TSAN_OPTIONS": f"exitcode={RACES},halt_on_error={int(at_first)}"},
        capture_output=True, text=True,
    )  # fmt: skip
    races = done.stderr.count("WARNING: ThreadSanitizer: data race")
    if done.returncode != (RACES if races else 0):
        sys.exit(done.stdout + done.stderr)
    print(arguments[0], done.stdout.strip(), f"- {races} races", flush=True)
    return races, done.stderr


def main():
    """Build, run, report; return 1 if anything is wrong."""
    threads = sys.argv[1] if len(sys.argv) > 1 else "8"
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = build(folder / "build", folder / "path" / "fcnn")
        path = [str(folder / "path"), *filter(None, sys.path[1:])]
        for dtype in ("float32", "float64"):
            file = folder / f"{dtype}.safetensors"
            fcnn.Network((21, 50, 33, 5), ["relu", "gelu"], dtype=dtype).save(file)
            races, report = run(driver, path, "threads", file, threads)
            if races:
                print(report)
            wrong += races
        races, _ = run(driver, path, "race", file, threads, at_first=True)
        wrong += races == 0
    print(f"{wrong} wrong" if wrong else "all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
