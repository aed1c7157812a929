#!/usr/bin/env python3
"""Times one row through the C interface: ns per row, beside the same call from Python.

    python benchmarks/c_interface.py [--rows N] [--dtype float64] [--cpu 1]

Builds benchmarks/c_interface.c against the installed package and runs it. A lap is 0.1 ms of calls;
the best of 2,000 laps is what the machine does undisturbed, the median what it did. Needs a C
compiler and Python's headers.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path

import numpy as np

import fcnn
from fcnn import bench

HERE = Path(__file__).resolve().parent
# Sizes, the output activation with its loss, and the ns that one float32 row may take.
NETWORKS = (
    ((4, 16, 3), "identity", "squared_error", 60),
    ((4, 16, 3), "softmax", "cross_entropy", 60),
    ((64, 100, 10), "identity", "squared_error", 250),
    ((64, 100, 10), "softmax", "cross_entropy", 250),
    ((784, 128, 10), "softmax", "cross_entropy", None),
)


def build(folder):
    """Compile the program; return its path."""
    program = folder / "c_interface"
    command = [
        sys.executable, HERE.parent / "examples/c/build.py", HERE / "c_interface.c", "-o", program,
        "-D_POSIX_C_SOURCE=200809L",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return program


def measure(program, network, rows, folder):
    """Return the best and the median lap of C and the best of Python, ns per row."""
    file = folder / "network.safetensors"
    network.save(file)
    path = os.pathsep.join(filter(None, sys.path))
    text = subprocess.run(
        [program, file, str(rows)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ).stdout
    best, median = map(float, text.split())
    shape = (network.sizes[0],) if rows == 1 else (rows, network.sizes[0])
    x = np.ones(shape, network.dtype)
    out = network.predict(x)
    calls = max(1, int(1e5 / median / rows))
    laps = timeit.repeat(lambda: network.predict(x, out), number=calls, repeat=100)
    return best, median, 1e9 * min(laps) / calls / rows


def main():
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1, help="rows of a call (1)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--cpu", type=int, help="bind everything to this CPU")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    config = fcnn.show_config("dicts")
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"fcnn {config['fcnn']}, {config['instruction set']}, {options.dtype}{load}")
    print(f"{'ns per row':28}{'C, best':>9}{'median':>9}{'limit':>8}{'Python, best':>14}")
    with tempfile.TemporaryDirectory() as name:
        program = build(Path(name))
        for sizes, output, loss, limit in NETWORKS:
            network = fcnn.Network(sizes, output_activation=output, loss=loss, dtype=options.dtype)
            best, median, python = measure(program, network, options.rows, Path(name))
            wanted = limit if options.rows == 1 and options.dtype == "float32" else None
            title = f"{bench.dashed(sizes)}, {output}"
            print(f"{title:28}{best:9.1f}{median:9.1f}{wanted or '':>8}{python:14.1f}", flush=True)


if __name__ == "__main__":
    main()
