#!/usr/bin/env python3
"""Trains random networks and prints a hash of each, to compare two commits to the bit.

    python scripts/hash_training.py > before.txt    # with the package of one commit installed
    python scripts/hash_training.py > after.txt     # with that of the other
    diff before.txt after.txt

A line is: instruction set, dtype, number of the network, hash, and what kind of network it is. The
hash is of all that training and prediction give: parameters, states of optimizers, curves, outputs,
gradients, traces, scores and the saved file. Only public names are used, so one copy of this script
fits both commits.

The same bits are promised on one machine with one Python and one NumPy: data are drawn by NumPy,
and scores and schedules are computed by it.

The values of every option are dealt out like cards: each occurs whatever the seed, and which of
them meet in a network is random. With fewer networks than the default some are left out.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import fcnn
from fcnn import schedules

# Written out instead of read from the package: both commits must train the same networks.
HIDDEN = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus",
)  # fmt: skip
ENTROPIES = [("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")]
# Losses of several outputs for each target, and how many.
SEVERAL = {
    ("gaussian_nll", "identity"): 2, ("quantile", "ascending"): 3,
    ("quantile(0.1, 0.9)", "ascending"): 2, ("quantile(0.8)", "identity"): 1,
}  # fmt: skip
PAIRS = [
    *((loss, output) for loss in ("squared_error", "absolute_error", "huber")
      for output in (*HIDDEN, "softmax", "exp")),
    ("poisson", "exp"), ("poisson", "softplus"), *ENTROPIES,
    # They take options that the others do not.
    *ENTROPIES, ENTROPIES[0],
    *SEVERAL,
]  # fmt: skip
# Activations, loss and sizes go by the network's number, not at random: the entropies meet the
# last five sizes, and a softmax needs more than one output.
SIZES = [
    (3, 3), (1, 7, 1), (2, 3, 1), (1, 1), (5, 9, 5), (4, 1, 2), (13, 31, 17, 1), (8, 8, 8),
    (200, 130, 70, 10), (16, 33), (40, 640, 7), (7, 15, 16, 17, 3), (21, 50, 33, 5), (9, 23, 11),
    (64, 48, 24, 12), (17, 65, 3), (30, 29, 2), (33, 64, 5), (6, 19, 10, 1), (100, 37, 10),
]  # fmt: skip
INITS = (
    "auto", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal",
    "lecun_uniform", "zeros",
)  # fmt: skip
NETWORKS = len(PAIRS)
FITS = 3  # of each network

OPTIMIZERS = {
    "plain": lambda lr: fcnn.SGD(lr),
    "momentum": lambda lr: fcnn.SGD(lr, momentum=0.9),
    "nesterov": lambda lr: fcnn.SGD(lr, momentum=0.8, nesterov=True),
    "decay": lambda lr: fcnn.SGD(lr, weight_decay=0.01),
    "all of SGD": lambda lr: fcnn.SGD(lr, momentum=0.7, nesterov=True, weight_decay=0.001),
    "Adam": lambda lr: fcnn.Adam(lr),
    "Adam with decay": lambda lr: fcnn.Adam(lr, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01),
    "AdamW": lambda lr: fcnn.AdamW(lr),
}
# 300 is more than a block of the core; None takes all samples.
BATCH_SIZES = (1, 2, 3, 5, 32, 33, 300, None)
THREADS = (1, 2, 3)
ROWS = 640  # of the training: the last batch is whole for some sizes, and not for others
PREDICTED = (1, 3, 4, 33, 1000)
CURVES = ("loss", "validation_loss", "validation_score", "learning_rate", "penalty")
OF_DATA = ("weighted", "validated")
OF_STEPS = ("l1", "l2", "clip_norm", "dropout", "label_smoothing")


def own_loss(a, y, sample_weight=None):
    """Half the squared error, and its derivative with respect to a."""
    target = np.eye(a.shape[1], dtype=a.dtype)[y] if y.dtype.kind == "i" else y.reshape(len(a), -1)
    target = np.tile(target, a.shape[1] // target.shape[1])
    weight = np.full(len(a), 1 / len(a), a.dtype)
    if sample_weight is not None:
        weight = (sample_weight / sample_weight.sum()).astype(a.dtype)
    error = (a - target) * weight[:, None]
    return float((error * (a - target)).sum()) / 2, error


def falling(rate):
    """Return what makes a dropout for each of the layers 0..L-1."""
    return lambda L: tuple(rate / (l + 1) for l in range(L))


# What a fit may have beside optimizer, batch size, threads and shuffling: arguments of fit, the
# dropout of some and every schedule made anew each time, and whether there are sample weights and
# validation data.
EXTRAS = [
    {},
    {"l1": 1e-3},
    {"l2": 1e-2},
    {"l1": 1e-4, "l2": 1e-3, "clip_norm": 0.5},
    {"clip_norm": 0.05},
    {"clip_norm": 1e6},
    {"dropout": 0.3},
    {"dropout": falling(0.2)},
    {"dropout": falling(0.1), "clip_norm": 0.3, "weighted": True},
    {"weighted": True},
    {"weighted": True, "l2": 1e-3, "validated": True},
    {"validated": True},
    {"schedule": lambda: schedules.Step(1, factor=0.5)},
    {"schedule": lambda: schedules.Step([0.3, 1.2], factor=0.7)},
    {"schedule": lambda: [schedules.WarmUp(0.5), schedules.Cosine(final=0.1)]},
    {"schedule": lambda: lambda t: 1 / (1 + t), "dropout": 0.2},
    {"schedule": lambda: schedules.Plateau(0.5, patience=1, min_delta=1e3), "validated": True},
    {"loss": own_loss},
    {"loss": own_loss, "weighted": True, "dropout": 0.25, "l1": 1e-4, "validated": True},
    {"loss": own_loss, "clip_norm": 0.2, "schedule": lambda: schedules.Cosine()},
    {"l1": 1e-4, "l2": 1e-3, "clip_norm": 1.0, "dropout": 0.1, "weighted": True,
     "validated": True, "schedule": lambda: schedules.WarmUp(1, start=0)},
]  # fmt: skip


OF_FITS = (tuple(OPTIMIZERS), BATCH_SIZES, THREADS, (True, False), EXTRAS)


def deal(deck, values, count):
    """Return so many values in random order, each as often as any other or once more."""
    cards = [values[i % len(values)] for i in range(count)]
    deck.shuffle(cards)
    return cards


class Hash:
    """SHA-256 of arrays and numbers, shapes and dtypes included."""

    def __init__(self):
        self._sha = hashlib.sha256()

    def add(self, *values):
        """Add arrays, numbers, texts, bytes, None, or lists of them."""
        for value in values:
            if isinstance(value, (list, tuple)):
                self._sha.update(f"list {len(value)};".encode())
                self.add(*value)
            elif value is None or isinstance(value, (str, bytes)):
                self._sha.update(f"{type(value).__name__};".encode())
                self._sha.update(value if isinstance(value, bytes) else str(value).encode())
            else:
                # A Python float is a float64.
                array = np.ascontiguousarray(value)
                self._sha.update(f"{array.dtype.str} {np.shape(value)};".encode())
                self._sha.update(array.tobytes())

    def hexdigest(self):
        """Return the hash of all that was added."""
        return self._sha.hexdigest()


def sizes_of(sizes, loss, output):
    """Return a network's sizes; those given end with the number of targets."""
    return (*sizes[:-1], sizes[-1] * SEVERAL.get((loss, output), 1))


def make_data(rng, sizes, loss, rows):
    """Return X of about unit length, y as the loss takes it, and sample weights."""
    X = rng.standard_normal((rows, sizes[0])) / np.sqrt(sizes[0])
    shape = rows, sizes[-1]
    if loss == "cross_entropy":
        y = rng.integers(sizes[-1], size=rows)
    elif loss == "binary_cross_entropy":
        y = rng.integers(2, size=shape).astype(np.float64)
    elif loss == "poisson":
        y = rng.poisson(1.5, size=shape).astype(np.float64)
    else:
        y = rng.normal(1, 1, shape)  # around 0, an output of ReLU would die
    return X, y, rng.uniform(0.2, 3, rows)


def fit_arguments(extra, number, network, one_hot):
    """Return the arguments of a network's fit but for its data."""
    arguments = {name: value for name, value in extra.items() if name not in OF_DATA}
    is_entropy = (network.loss, network.activations[-1]) in ENTROPIES
    if is_entropy and number > 0:  # there are few of them for the options that only they take
        arguments.pop("loss", None)
        arguments["label_smoothing"] = 0.1
    if callable(arguments.get("dropout")):
        arguments["dropout"] = arguments["dropout"](len(network.sizes) - 1)
    elif len(network.sizes) == 2:  # a number is of hidden nodes
        arguments.pop("dropout", None)
    if "schedule" in arguments:
        arguments["schedule"] = arguments["schedule"]()
    has_labels = network.loss == "cross_entropy" and not one_hot
    is_binary = network.loss == "binary_cross_entropy" and network.sizes[-1] == 1
    if (has_labels or is_binary) and "loss" not in arguments:
        arguments["class_weight"] = [None, "balanced", {0: 0.5, 1: 2.5}][number]
    return arguments


def hash_network(sizes, activation, output, loss, init, dtype, seed, fits):
    """Return the hash of a network's life; `sizes` end with the number of targets."""
    rng = np.random.default_rng(seed)
    network = fcnn.Network(
        sizes_of(sizes, loss, output), activation, output, loss=loss, dtype=dtype, init=init,
        rng=int(rng.integers(2**31)),
    )  # fmt: skip
    # Of zeros alone, a ReLU's gradient would stay zero.
    network.parameters += 0.05 * rng.standard_normal(network.num_parameters)
    X, y, weight = (array[:ROWS] for array in make_data(rng, sizes, loss, ROWS))
    held_out = make_data(rng, sizes, loss, 57)
    wide = rng.standard_normal((max(PREDICTED), sizes[0]))
    wide[::7] *= 30  # tails of the activations
    seen = Hash()
    seen.add(network.parameters)

    for number, (kind, batch_size, n_threads, shuffle, extra) in enumerate(fits):
        one_hot = loss == "cross_entropy" and number == 0
        targets = np.eye(sizes[-1])[y] if one_hot else y
        lr = rng.uniform(0.5, 1.5) * (2e-3 if "Adam" in kind else 1e-2)
        optimizer = OPTIMIZERS[kind](lr)
        arguments = fit_arguments(extra, number, network, one_hot)
        if "weighted" in extra:
            arguments["sample_weight"] = weight
        if "validated" in extra:
            arguments["validation"] = held_out[: 3 if "weighted" in extra else 2]
        history = network.fit(
            X, targets, epochs=2, batch_size=batch_size, optimizer=optimizer, shuffle=shuffle,
            n_threads=n_threads, rng=[None, 5, None][number], **arguments,
        )  # fmt: skip
        state = optimizer.state_dict()
        seen.add(network.parameters, state["rule"], state["steps"], state["vectors"])
        # Not the seconds; all curves are of float64.
        seen.add(*(np.array(getattr(history, name), np.float64) for name in CURVES))
        seen.add(history.score_name)

        arguments = {k: v for k, v in arguments.items() if k in OF_STEPS}
        for rows in (1, 4, 37):
            seen.add(
                network.train_step(
                    X[:rows], targets[:rows], optimizer, weight[:rows], n_threads, **arguments
                )
            )
        seen.add(network.parameters, optimizer.state_dict()["vectors"])

    for rows in PREDICTED:
        seen.add(network.predict(wide[:rows]), network.predict(wide[:rows], n_threads=2))
    seen.add(network.predict(wide[0]))
    for rows in (1, 33, 300):
        seen.add(*network.gradients(X[:rows], y[:rows]))
        seen.add(*network.gradients(X[:rows], y[:rows], weight[:rows], n_threads=2))
    for rows in (1, 5, 40):
        trace = network.trace(X[:rows], y[:rows], weight[:rows])
        seen.add(trace.z, trace.a, trace.delta, trace.dW, trace.db, trace.loss)
    for given in (held_out[:2], held_out):
        seen.add(*map(list, network.evaluate(*given).items()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.safetensors")
        network.save(path)
        seen.add(path.read_bytes(), fcnn.load(path).predict(wide[:3]))
    return seen.hexdigest()


def train_here(networks, seed):
    """Print the table of the build of the core that runs here."""
    deck = random.Random(seed)
    inits = deal(deck, INITS, networks)
    fits = [deal(deck, values, FITS * networks) for values in OF_FITS]
    isa = fcnn.show_config("dicts")["instruction set"]
    for i in range(networks):
        sizes, (loss, output) = SIZES[i % len(SIZES)], PAIRS[i % len(PAIRS)]
        activation = [HIDDEN[(4 * i + l) % len(HIDDEN)] for l in range(len(sizes) - 2)]
        its_fits = [[dealt[FITS * i + k] for dealt in fits] for k in range(FITS)]
        for dtype in ("float32", "float64"):
            result = hash_network(
                sizes, activation, output, loss, inits[i], dtype, [seed, i], its_fits
            )
            kind = f"{'-'.join(map(str, sizes))} {output}, {loss}"
            print(f"{isa} {dtype} {i + 1:2} {result[:32]}  {kind}", flush=True)


def main():
    """Train for each instruction set in a process of its own; print the tables and the total."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--isa", help="like v2,v3 (default: all that this CPU can run)")
    parser.add_argument("--networks", type=int, default=NETWORKS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        train_here(given.networks, given.seed)
        return
    isas = given.isa.split(",") if given.isa else fcnn.show_config("dicts")["available"]
    command = [
        sys.executable, __file__, "--here",
        "--networks", str(given.networks), "--seed", str(given.seed),
    ]  # fmt: skip
    total = hashlib.sha256()
    for isa in isas:
        environment = {**os.environ, "FCNN_ISA": isa}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout:
                print(line, end="", flush=True)
                total.update(line.encode())
        if child.returncode:
            sys.exit(f"{isa}: failed")
    print(f"total {total.hexdigest()}")


if __name__ == "__main__":
    main()
