"""Random networks as files of C, for tests that compile and run them."""

import itertools
import shutil
import subprocess

import numpy as np
from conftest import HIDDEN, PAIRS, fitting

import fcnn

WARNINGS = ["-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"]
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


def random_network(rng, dtype, number, most=24):
    """Return a network; those with consecutive numbers have all activations, losses and outputs."""
    L = 1 + number % 4
    sizes = [int(n) for n in rng.integers(1, most, L + 1)]
    names = itertools.islice(itertools.cycle(HIDDEN), number, number + L - 1)
    loss, output = PAIRS[number % len(PAIRS)]
    sizes[-1] = fitting(sizes[-1], loss)
    net = fcnn.Network(sizes, list(names), output, loss, dtype)
    for W, b in zip(net.weights, net.biases, strict=True):
        W[...] = rng.normal(0, 1 / np.sqrt(W.shape[1]), W.shape)
        b[...] = rng.normal(0, 0.5, b.shape)
    return net


def worst_error(got, wanted):
    """The largest error, relative to the largest number of its row."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    scale = np.abs(wanted).max(axis=-1, keepdims=True)
    return (np.abs(got - wanted) / np.where(scale == 0, 1, scale)).max()
