#!/usr/bin/env python3
"""What a call costs: inputs of other types, frames, callers without Python, loading a model.

    python benchmarks/calls.py [--seconds 2] [--cpu 1] [--sizes 4 16 3]

Microseconds, the best and the median of short laps in turns. `NumPy's cast first` is what a user
would otherwise write: the array converted beforehand, then predict. Packages that are absent
(pandas, Numba, safetensors) are named.
"""

import importlib
import tempfile
from pathlib import Path

import numpy as np
from laps import bind, measure, parser_of

import fcnn


def optional(name):
    """Return a module, or None and say so."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is absent: its rows are left out")
        return None


def conversions(net):
    """One row in other forms, each into `out`."""
    n = net.sizes[0]
    x, out = np.linspace(-1, 1, n).astype(net.dtype), np.empty(net.sizes[-1], net.dtype)
    wide = np.zeros((n, 2), net.dtype)
    forms = {
        "the network's dtype": x,
        "float64": x.astype(np.float64),
        "float32": x.astype(np.float32),
        "strided": wide[:, 0],
        "float64, strided": wide.astype(np.float64)[:, 0],
        "int64": np.arange(n),
        "uint8": np.arange(n).astype(np.uint8),
        "bool": x > 0,
        "list": x.tolist(),
        "float16": x.astype(np.float16),
    }
    calls = {name: lambda v=v: net.predict(v, out) for name, v in forms.items()}
    given = forms["float64"]
    calls["NumPy's cast first, float64"] = lambda: net.predict(given.astype(net.dtype), out)
    return calls


def frames(net, rows=1000):
    """A thousand rows in frames of pandas, beside their array."""
    pandas = optional("pandas")
    if pandas is None:
        return {}
    X = np.random.default_rng(0).normal(size=(rows, net.sizes[0]))
    frame = pandas.DataFrame(X)
    made = {"array, float64": X, "pandas": frame, "pandas, Float64": frame.astype("Float64")}
    try:
        made["pandas, Arrow"] = frame.astype("double[pyarrow]")
    except ImportError:
        print("pyarrow is absent: its row is left out")
    return {f"{rows:,} rows: {name}": lambda v=v: net.predict(v) for name, v in made.items()}


def by_numba(net, rows=1000):
    """A thousand rows, one call of the C interface each, in a compiled loop."""
    numba = optional("numba")
    if numba is None:
        return {}
    c = fcnn.c_functions()
    forward = c.forward_f32 if net.dtype == np.float32 else c.forward_f64

    @numba.njit
    def loop(network, X, out, workspace):
        code = 0
        for i in range(len(X)):
            code |= forward(
                network, X[i].ctypes, 1, out[i].ctypes, workspace.ctypes, workspace.size
            )
        return code

    X = np.random.default_rng(0).normal(size=(rows, net.sizes[0])).astype(net.dtype)
    out = np.empty((rows, net.sizes[-1]), net.dtype)
    workspace = np.zeros(c.workspace_bytes(net.address, c.FORWARD, 1), np.uint8)
    if loop(net.address, X, out, workspace) != c.OK or (out != net.predict(X)).any():
        raise ArithmeticError("the loop's answers are not predict's")
    calls = {f"{rows:,} rows one by one: Numba": lambda: loop(net.address, X, out, workspace)}
    places = list(zip(X, out, strict=True))

    def python():
        for x, place in places:
            net.predict(x, place)

    return {**calls, f"{rows:,} rows one by one: Python": python}


def loading(folder, sizes):
    """A model's file, beside the package whose format it has."""
    net = fcnn.Network(sizes)
    file = Path(folder, "-".join(map(str, sizes)))
    net.save(file)
    content, name = file.read_bytes(), "-".join(map(str, sizes))
    calls = {
        f"{name}: fcnn.load": lambda: fcnn.load(file),
        f"{name}: fcnn.load of bytes": lambda: fcnn.load(content),
    }
    theirs = optional("safetensors.numpy")
    if theirs is not None:
        calls[f"{name}: safetensors"] = lambda: theirs.load_file(file)
    return calls


def show(title, calls, seconds):
    """Print the best and the median lap of each call, and what the best is to the first's."""
    if not calls:
        return
    times = measure(calls, seconds)
    first = next(iter(times.values()))[0]
    print(f"\n{title:44}{'best':>10}{'median':>10}{'of first':>10}")
    for name, (best, median) in times.items():
        print(f"{name:44}{best:10.3f}{median:10.3f}{best / first:10.2f}", flush=True)


def main():
    """Print a table of each kind of call."""
    parser = parser_of(__doc__, 2.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 16, 3])
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    options = parser.parse_args()
    bind(options.cpu)
    net = fcnn.Network(options.sizes, dtype=options.dtype)
    shape = "-".join(map(str, options.sizes))
    print(f"fcnn {fcnn.__version__}, {fcnn.show_config('dicts')['instruction set']}, us")
    show(f"{shape}, {options.dtype}: one row", conversions(net), options.seconds)
    show(f"{shape}: frames", frames(net), options.seconds)
    show(f"{shape}: the C interface", by_numba(net), options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for sizes in ((32, 64, 64, 8), (784, 128, 10)):
            show("loading", loading(folder, sizes), options.seconds)


if __name__ == "__main__":
    main()
