"""Runs the long tests.

    python -m tests.soak                    a short part of each that is cheap, in under a minute
    python -m tests.soak --whole            all of them, hours
    python -m tests.soak forks kills        these, whole
    python -m tests.soak forks --size 100   with another number of cases
    python -m tests.soak --list             what there is

From the repository's folder, with the Python that has fcnn. Each part runs in a process of its own:
one that crashes, or hangs for minutes, is an error like others, and the rest goes on. The seed is
printed, and ``--seed`` repeats what failed. Linux; `kills` needs strace, `sanitizers` and `races`
build fcnn and need CMake, Cython and GCC, `valgrind` needs valgrind. What a part lacks is said, and
is no error.
"""

import argparse
import faulthandler
import importlib
import subprocess
import sys
import time
from typing import NamedTuple

from .common import ROOT, Lacking, goes_on

SKIPPED = 77  # exit code


class Part(NamedTuple):
    """Of the long tests."""

    quick: int  # the size of its short part; 0 leaves it out
    whole: int
    unit: str
    says: str


PARTS = {
    "same": Part(20, 10_000, "networks", "the same bits alone, in batches, on any threads, ..."),
    "interrupts": Part(27, 500, "interrupts", "Ctrl-C leaves the state of a completed step"),
    "latency": Part(0, 100, "interrupts of each call", "and is heard soon, whatever runs"),
    "forks": Part(30, 1000, "forks", "children go on like their parent, beside its threads"),
    "concurrent": Part(2, 60, "seconds", "fit, predict, save and load at once"),
    "kills": Part(3, 0, "calls of the system", "a save that is killed or refused loses no file"),
    "fuzz": Part(1200, 1_000_000, "files", "every reader refuses what it cannot read"),
    "generated": Part(400, 10_000, "calls", "any argument is taken or refused by name"),
    "leaks": Part(1000, 100_000, "cycles", "no memory is lost"),
    "memory": Part(0, 1, "passes", "an allocation that fails is a MemoryError"),
    "sums": Part(0, 1, "passes", "errors of long sums, beside NumPy's"),
    "large": Part(0, 1, "passes", "arrays of more than 2^31 entries"),
    "together": Part(0, 5, "rounds", "two trainings at once take no longer than in turn"),
    "races": Part(0, 8, "threads", "none on one network: ThreadSanitizer"),
    "sanitizers": Part(0, 1, "passes", "the tests under AddressSanitizer and UBSan"),
    "valgrind": Part(0, 1, "passes", "a short run under valgrind"),
    "peers": Part(0, 100, "interrupts", "the same figures of others"),
}


def run_alone(name, size, seed):
    """Run a part in this process; return the exit code."""
    faulthandler.enable()
    goes_on()
    module = importlib.import_module(f"tests.soak.{name}")
    try:
        print(module.run(size, seed))
    except Lacking as lacking:
        print(lacking)
        return SKIPPED
    return 0


def main():
    """Run what was asked for; return 1 if anything failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--size", type=int)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:<12}{part.whole or 'all':>9} {part.unit}: {part.says}")
        return 0
    if options.alone:
        return run_alone(options.parts[0], options.size, options.seed)
    failed = []
    for name in options.parts or PARTS:
        part = PARTS[name]
        size = part.whole if options.parts or options.whole else part.quick
        if options.size is not None:
            size = options.size
        elif not size and not (options.parts or options.whole):
            continue
        begin = time.monotonic()
        command = [
            sys.executable, "-m", "tests.soak", name, "--alone", f"--size={size}",
            f"--seed={options.seed}",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
        took = f"{name:<12}{time.monotonic() - begin:6.1f} s"
        said = done.stdout.strip().replace("\n", "\n" + 21 * " ")
        if done.returncode not in (0, SKIPPED):
            failed.append(name)
            print(f"{took}  FAILED (exit code {done.returncode}, --seed={options.seed}) {said}")
        else:
            print(f"{took}  {'LEFT OUT: ' if done.returncode else ''}{said}", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all well", f"(seed {options.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
