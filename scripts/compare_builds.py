#!/usr/bin/env python3
"""Whether a build of the core computes what the reference and another build do.

    FCNN_ISA=v2 python scripts/compare_builds.py record FILE    # what is expected, on any CPU
    FCNN_ISA=v4 python scripts/compare_builds.py compare FILE   # where that build runs

scripts/test_v4.sh runs the second line in an emulator. That is some hundred times slower than a
CPU, so whatever is not of the build itself is computed beforehand: the references, and the values
of the elementary functions. These need x87's long doubles, whose logarithms have in Bochs 2.7 no
more digits than float64.
"""

import importlib
import sys
from pathlib import Path

import numpy as np

# Activations, losses, sizes, optimizers, and data that fit them.
from hash_training import HIDDEN, OPTIMIZERS, PAIRS, SIZES, make_data, sizes_of

import fcnn

DTYPES = ("float32", "float64")
# Relative Euclidean distances. Roundings of one step are within the tests' tolerances, and those
# of a training grow: here v3 is up to 1.1e-7 and 2.5e-16 from v2.
OF_STEP = {"float32": 1e-5, "float64": 1e-12}
OF_TRAINING = {"float32": 1e-6, "float64": 1e-14}
UNITS = 2  # in the last place, of an elementary function
ROWS = (1, 2, 3, 4, 5, 8, 9, 33, 300)
# Widths around the tiles' edges of every build; 513 rows are more than a block.
TILES = [
    ((3, 2), 513), ((2, 12, 13, 11), 9), ((7, 24, 25, 23, 1), 3), ((65, 31, 33, 32, 10), 67),
    ((5, 96, 97, 2), 11), ((9, 47, 48, 49, 7), 8), ((9, 63, 64, 65, 8), 5), ((16, 127, 129, 15), 4),
]  # fmt: skip
EXTRAS = {
    "alone": {},
    "dropout": {"dropout": 0.3},
    "penalties, clipping and dropout": {
        "l1": 1e-4, "l2": 1e-3, "clip_norm": 0.5, "dropout": (0.1, 0.2, 0.3)
    },
}  # fmt: skip


def problems():
    """Yield a name, a network, and a batch, as X, y and sample weights or None."""
    shapes = [(SIZES[i % len(SIZES)], ROWS[i % len(ROWS)], *pair) for i, pair in enumerate(PAIRS)]
    shapes += [(sizes, rows, "squared_error", "identity") for sizes, rows in TILES]
    for i, (sizes, rows, loss, output) in enumerate(shapes):
        hidden = [HIDDEN[(4 * i + l) % len(HIDDEN)] for l in range(len(sizes) - 2)]
        for dtype in DTYPES:
            rng = np.random.default_rng(i)
            network = fcnn.Network(
                sizes_of(sizes, loss, output), hidden, output, loss=loss, dtype=dtype, rng=i
            )
            network.parameters += 0.05 * rng.standard_normal(network.num_parameters)
            X, y, weight = make_data(rng, sizes, loss, rows)
            y = np.eye(sizes[-1])[y] if loss == "cross_entropy" else y
            if i >= len(SIZES):  # the same sizes again: layer 1 by lists of the nonzero inputs
                X[np.random.default_rng(i).random(X.shape) < 0.8] = 0
            batch = X.astype(dtype), y.astype(dtype), weight.astype(dtype) if i % 2 else None
            yield f"{'-'.join(map(str, sizes))} {output}, {loss}", network, batch


def computed(network, X, y, weight):
    """Return what a network, or its twin of the reference, computes of a batch, by name."""
    loss, gradient = network.gradients(X, y, weight)
    few, some = X[:5], X[:33]
    v, u = (
        np.cos(np.arange(len(some) * n)).reshape(len(some), n).astype(X.dtype)
        for n in (network.sizes[-1], network.sizes[0])
    )
    return {
        "outputs": network.predict(X), "loss": loss, "gradient": gradient,
        "Jacobians": network.jacobian(few), "Jacobian": network.jacobian(X[0]),
        "v J": network.vjp(some, v)[1], "v J of a row": network.vjp(X[0], v[0])[1],
        "J u": network.jvp(some, u)[1], "products with Hessians": network.hvp(some, v, u),
    }  # fmt: skip


def steps():
    """Yield names, what this build computes, and the network that it is of."""
    for name, network, batch in problems():
        for what, value in computed(network, *batch).items():
            yield f"{what} of {name}, {network.dtype}", np.asarray(value), network


def references():
    """Yield what fcnn.reference gives for each of steps()."""
    for _, network, batch in problems():
        twin = fcnn.reference.Network(
            network.sizes, network.activations, network.loss, network.dtype
        )
        twin.parameters[:] = network.parameters
        yield from computed(twin, *batch).values()


def trainings():
    """Yield names, dtypes, and the parameters that this build trains."""
    sizes = (20, 33, 17, 3)
    for kind, optimizer in OPTIMIZERS.items():
        for extra, arguments in EXTRAS.items():
            for dtype in DTYPES:
                X, y, weight = make_data(np.random.default_rng(0), sizes, "cross_entropy", 70)
                network = fcnn.Network(sizes, ("gelu", "tanh"), dtype=dtype, rng=0)
                network.fit(
                    X, y, epochs=2, batch_size=32, optimizer=optimizer(0.01), rng=5,
                    sample_weight=weight, **arguments,
                )  # fmt: skip
                yield f"{kind}, {extra}, {dtype}", dtype, network.parameters
    sizes = (20, 140, 3)
    X, y, _ = make_data(np.random.default_rng(0), sizes, "cross_entropy", 1024)
    network = fcnn.Network(sizes, "tanh", dtype="float64", rng=0)
    network.fit(X, y, epochs=1, batch_size=128, optimizer=fcnn.SGD(0.01), rng=5, n_threads=1)
    # Of float32 the weights would have to be larger than an emulator has time for.
    yield "SGD, panels that share copies of W", "float64", network.parameters


def functions():
    """Yield the names and dtypes of the elementary functions."""
    names = ("exp", "expm1", "log", "log1p", "tanh", "erf", "sigmoid")
    yield from ((name, dtype) for name in names for dtype in DTYPES)


def values():
    """Yield for each of functions() arguments, and the values rounded from a wider type."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    tests = importlib.import_module("test_elementary")
    for name, dtype in functions():
        all_of_them = tests.sample(dtype)
        chosen = np.random.default_rng(0).permutation(len(all_of_them))[:20_000]
        with np.errstate(over="ignore"):
            yield all_of_them[chosen], tests.truth(name, dtype)[chosen].astype(dtype)


def record(path):
    """Write what is expected, the trainings by this build."""
    expected = {}
    for i, value in enumerate(references()):
        expected[f"step {i}"] = value
    for i, (_, _, parameters) in enumerate(trainings()):
        expected[f"training {i}"] = parameters
    for i, pair in enumerate(values()):
        expected[f"function {i}"] = np.stack(pair)
    np.savez(path, **expected)


def distance(a, b):
    """Return the Euclidean norm of a - b relative to that of b."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300)


def is_off(y, true):
    """Return where y is neither near true nor NaN like it, or has another sign."""
    low = high = true
    with np.errstate(over="ignore"):
        for _ in range(UNITS):
            low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
    near = (low <= y) & (y <= high) & (np.signbit(y) == np.signbit(true))
    return ~(near | np.isnan(y) & np.isnan(true))


def compare(path):
    """Print what of this build is not as expected, and return how many things that are."""
    expected = np.load(path)
    isa = fcnn.show_config("dicts")["instruction set"]
    wrong = []

    def report(what, count, largest):
        off = ", ".join(f"{dtype} {largest[dtype]:.1e}" for dtype in DTYPES)
        print(f"{isa}: {count} {what}, at most off by {off}", flush=True)

    count, largest = 0, dict.fromkeys(DTYPES, 0)
    for i, (name, value, network) in enumerate(steps()):
        off = distance(value, expected[f"step {i}"])
        dtype = str(network.dtype)
        count, largest[dtype] = count + 1, max(largest[dtype], off)
        if not off < OF_STEP[dtype]:  # NaN included
            wrong.append(f"{name}: {off:.1e} from the reference")
    report("outputs, losses, gradients and derivatives", count, largest)

    count, largest = 0, dict.fromkeys(DTYPES, 0)
    for i, (name, dtype, parameters) in enumerate(trainings()):
        off = distance(parameters, expected[f"training {i}"])
        count, largest[dtype] = count + 1, max(largest[dtype], off)
        if not off < OF_TRAINING[dtype]:
            wrong.append(f"training by {name}: {off:.1e} from the other build")
    report("trainings", count, largest)

    for i, (name, dtype) in enumerate(functions()):
        x, true = expected[f"function {i}"]
        y = fcnn._dispatch.core.elementary(name, x)
        outside = is_off(y, true)
        if outside.any():
            k = outside.argmax()
            wrong.append(
                f"{name}, {dtype}: {outside.sum()} of {len(x)}, the first {name}({x[k]!r}) = "
                f"{y[k]!r}, not {true[k]!r}"
            )
    print(f"{isa}: {i + 1} elementary functions")

    for line in wrong:
        print(f"WRONG: {line}")
    print(f"{isa}: {f'{len(wrong)} WRONG' if wrong else 'all as expected'}")
    return len(wrong)


if __name__ == "__main__":
    command, path = sys.argv[1:]
    sys.exit({"record": record, "compare": compare}[command](path) and 1)
