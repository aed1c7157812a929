"""Random networks as files of C, for tests that compile and run them."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np
from conftest import HIDDEN, PAIRS, random_network

WARNINGS = ["-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"]
FLAGS = ["-std=c99", *WARNINGS]
COMPILERS = {
    "gcc": ["gcc"],
    "clang": ["clang", *(f"clang-{version}" for version in range(25, 10, -1))],
}


def find(name):
    """Return a compiler by its newest name here, or None."""
    return next(filter(shutil.which, COMPILERS[name]), None)


def cpp(compiler):
    """Return the C++ compiler that belongs to one of C."""
    return compiler.replace("gcc", "g++").replace("clang", "clang++")


def run(command, folder, **options):
    """Run a command that has to end well; return what it printed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=3600,
        **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(compiler, folder, text, *flags):
    """Compile a file of C without a warning; return what was made."""
    (folder / "net.c").write_text(text)
    libraries = [] if "-c" in flags else ["-lm"]
    run([compiler, *FLAGS, *flags, "net.c", "-o", "net.so", *libraries], folder)
    return folder / "net.so"


def compiled(compiler, folder, text, *flags):
    """Return what a file of C has, as a library."""
    made = build(compiler, folder, text, "-O1", "-fPIC", "-shared", *flags)
    # ctypes keeps what it has loaded from a path.
    return ctypes.CDLL(str(made.rename(folder / f"net{len(list(folder.iterdir()))}.so")))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def predicted(function, net, X, *before):
    """Return what a compiled function answers for each row."""
    function.restype = None
    X = np.ascontiguousarray(X, net.dtype)
    outputs = np.full((len(X), net.sizes[-1]), 7, net.dtype)
    for x, a in zip(X, outputs, strict=True):
        function(*before, pointer(x), pointer(a))
    return outputs


def numbered_network(rng, dtype, number, most=24):
    """Return a network; those with consecutive numbers have all activations, losses and outputs."""
    names = itertools.islice(itertools.cycle(HIDDEN), number, number + number % 4)
    return random_network(rng, dtype, list(names), [PAIRS[number % len(PAIRS)]], most=most)


def worst_error(got, wanted):
    """The largest error, relative to the largest number of its row."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    scale = np.abs(wanted).max(axis=-1, keepdims=True)
    return (np.abs(got - wanted) / np.where(scale == 0, 1, scale)).max()
