#!/usr/bin/env python3
"""Times what to_c writes: ns per row of each compiler, beside fcnn's C interface.

    python benchmarks/generated_c.py [--cpu 1] [--flags "-O3"] [--before "OTHER/bin/python"]

All in one run, in turns: a lap is 50 us of calls, and the best of all laps is what the machine does
undisturbed. `--before` is a command that runs Python with another fcnn, whose to_c stands beside
ours. A compiler that is absent is left out; the C interface needs Python's headers and library.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fcnn
from fcnn import bench

NETWORKS = (
    ((4, 16, 3), "relu", "cross_entropy"),
    ((4, 16, 3), "relu", "squared_error"),
    ((8, 32, 32, 1), "relu", "squared_error"),
    ((32, 64, 64, 8), "relu", "squared_error"),
    ((32, 64, 64, 8), "tanh", "squared_error"),
    ((32, 64, 64, 8), "sigmoid", "squared_error"),
    ((32, 64, 64, 8), "gelu", "squared_error"),
    ((32, 64, 64, 8), "softplus", "squared_error"),
    ((32, 64, 64, 8), "elu", "squared_error"),
    ((784, 128, 10), "relu", "cross_entropy"),
)
PROGRAM = """\
#include <stdio.h>
#include <time.h>
#include "net.c"

int main(void)
{
    /* Many rows, in the first two caches, in another order each lap: of a few, or of the same again
       and again, branches are foreseen that else are not. */
    enum { ROWS = NET_INPUTS > 64 ? 8 : NET_INPUTS > 16 ? 128 : 1024 };
    static REAL x[ROWS][NET_INPUTS], a[NET_OUTPUTS];
    double best = 1e9, sum = 0;
    unsigned random = 1, at = 0;
    int i, k, lap, calls = 10;
    for (i = 0; i < ROWS; i++)
        for (k = 0; k < NET_INPUTS; k++) {
            random = random * 1664525u + 1013904223u;
            x[i][k] = (REAL)(random >> 8) / (1 << 23) - 1;
        }
    for (lap = 0; lap < 300; lap++) {
        struct timespec t, u;
        double took;
        clock_gettime(CLOCK_MONOTONIC, &t);
        for (i = 0; i < calls; i++) {
            at = at * 5 + 1 + 2 * (unsigned)lap;
            net_predict(x[at % ROWS], a);
            sum += a[0];
            __asm__ volatile("" ::: "memory");
        }
        clock_gettime(CLOCK_MONOTONIC, &u);
        took = ((double)(u.tv_sec - t.tv_sec) * 1e9 + (double)(u.tv_nsec - t.tv_nsec)) / calls;
        if (lap < 3)
            calls = 1 + (int)(5e4 / (took + 1));
        else if (took < best)
            best = took;
    }
    printf("%.1f\\n", best);
    return sum == 12345;
}
"""
WRITE = (
    "import sys, fcnn; fcnn.convert.to_c(fcnn.Network({!r}, {!r}, loss={!r}, dtype={!r}, rng=0), "
    "'net', sys.argv[1])"
)
TURNS = 3


def build(compiler, flags, real, folder):
    """Compile the program of a folder that has net.c; return its path."""
    (folder / "main.c").write_text(PROGRAM.replace("REAL", real))
    made = folder / compiler
    words = [compiler, "-std=gnu11", *flags, "main.c", "-o", made, "-lm"]
    subprocess.run(words, check=True, cwd=folder)
    return made


def c_interface(folder, network):
    """Return a function that times a row through the C interface, or None."""
    import c_interface as interface

    try:
        program = interface.build(folder)
    except (OSError, subprocess.CalledProcessError):
        return None
    return lambda: interface.measure(program, network, 1, folder)[0]


def main():
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--cpu", type=int, help="bind everything to this CPU")
    parser.add_argument("--flags", default="-O3 -march=x86-64-v3", help="of both compilers")
    parser.add_argument("--before", metavar="COMMAND", help="Python with another fcnn")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    commands = {"": [sys.executable]}
    if options.before:
        commands["before, "] = shlex.split(options.before)
    columns = [f"{kind}{name}" for name in compilers for kind in reversed(commands)]
    print(f"{options.dtype}, {options.flags}; ns per row")
    print(f"{'':32}" + "".join(f"{name:>15}" for name in [*columns, "C interface"]))
    real = "float" if options.dtype == "float32" else "double"
    for sizes, activation, loss in NETWORKS:
        with tempfile.TemporaryDirectory() as name:
            timed = {}
            for kind, command in commands.items():
                folder = Path(name, kind.strip(", ") or "now")
                folder.mkdir()
                text = WRITE.format(sizes, activation, loss, options.dtype)
                subprocess.run([*command, "-c", text, folder / "net.c"], check=True)
                for compiler in compilers:
                    program = build(compiler, options.flags.split(), real, folder)
                    timed[f"{kind}{compiler}"] = lambda program=program: float(
                        subprocess.run([program], capture_output=True, check=True).stdout
                    )
            network = fcnn.Network(sizes, activation, loss=loss, dtype=options.dtype, rng=0)
            timed["C interface"] = c_interface(Path(name), network)
            best = dict.fromkeys(timed, float("inf"))
            for _ in range(TURNS):
                for one, time in timed.items():
                    if time is not None:
                        best[one] = min(best[one], time())
        shown = [f"{best[one]:15.1f}" for one in [*columns, "C interface"]]
        title = f"{bench.dashed(sizes)}, {activation}{', softmax' * (loss == 'cross_entropy')}"
        print(f"{title:32}" + "".join(shown), flush=True)


if __name__ == "__main__":
    main()
