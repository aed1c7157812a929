"""Any argument to any public method: a result, or a refusal that names it and changes nothing."""

import contextlib
import functools
import importlib
import inspect
import io
import re
import tempfile
import warnings

import numpy as np
import scipy.sparse

import fcnn

from .common import goes_on

ISSUED = (ValueError, TypeError, fcnn.DivergenceError, OverflowError)


def anything(rng):
    """Return a value of any kind."""
    shape = tuple(int(n) for n in rng.integers(0, 6, size=rng.integers(0, 4)))
    dtype = rng.choice(["f4", "f8", "f2", "i4", "i8", "u8", "?", ">f8", "c8", "U2", "O", "g"])
    values = [
        lambda: None, lambda: True, lambda: int(rng.integers(-3, 9)), lambda: 10**30,
        lambda: float(rng.normal()), lambda: np.nan, lambda: np.inf, lambda: -0.0, lambda: 1e-320,
        lambda: "relu", lambda: "", lambda: "x" * 40, lambda: b"ab", lambda: (), list,
        dict, lambda: {"a": 1}, lambda: object(), lambda: [[1, 2], [3]], lambda: {1, 2},
        lambda: np.float32(2), lambda: lambda *_: None, lambda: range(4), lambda: iter([1.0]),
        lambda: fcnn.Adam(), lambda: fcnn.SGD(0.1), lambda: np.random.default_rng(0),
        lambda: slice(None), lambda: Ellipsis, lambda: NotImplemented, lambda: 1j, lambda: "adam",
        lambda: np.ma.masked_array([1.0, 2.0], [True, False]), lambda: np.datetime64("now"),
        lambda: [rng.normal(size=4).tolist() for _ in range(3)], lambda: [0, 1, 2, 0, 1],
        lambda: _array(rng, shape, dtype), lambda: _array(rng, (5, 4), dtype),
        lambda: _array(rng, (5, 3), dtype), lambda: _array(rng, (5,), dtype),
        lambda: _array(rng, (5, 4), "f8") * 1e300, lambda: _array(rng, (5, 4), "f4").T,
        lambda: scipy.sparse.csr_array(_array(rng, (5, 4), "f4")),
        lambda: scipy.sparse.coo_array(_array(rng, (4, 4), "f8")),
        lambda: np.broadcast_to(np.float32(1), (5, 4)), lambda: np.array([[{}] * 4] * 5),
    ]  # fmt: skip
    return values[rng.integers(len(values))]()


def _array(rng, shape, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (rng.normal(size=shape) * rng.choice([1, 3, 1e5])).astype(dtype)


def right(rng, what):
    """Return a value that is right, so that what is wrong beside it is reached; None if unknown."""
    columns = {"a": [1.0, 2, 4, 8, 5], "b": ["x", "y", "x", "x", "y"]}
    maker = {
        "X": lambda: rng.normal(size=(5, 4)).astype("f4"), "y": lambda: rng.integers(3, size=5),
        "optimizer": lambda: fcnn.Adam(), "epochs": lambda: 1, "batch_size": lambda: 2,
        "v": lambda: np.ones((5, 3)), "u": lambda: np.ones((5, 4)), "output": lambda: 1,
        "gradient": lambda: np.ones(43, "f4"), "sizes": lambda: (4, 5, 3), "n_threads": lambda: 1,
        "network": lambda: fcnn.Network((4, 5, 3), rng=1), "networks": lambda: two_networks(),
        "net": lambda: fcnn.Network((4, 5, 3), rng=1), "path": lambda: "file", "t": lambda: columns,
        # Of metrics.
        "outputs": lambda: np.full((5, 1), 0.4), "low": lambda: np.zeros(5),
        "high": lambda: np.ones((5, 1)), "levels": lambda: [0.5], "scores": lambda: np.arange(5.0),
        "predictions": lambda: rng.integers(3, size=5), "classes": lambda: "abc",
        "confusion": lambda: [[1, 2], [0, 3]],
        # Of tables.
        "data": lambda: columns, "table": lambda: columns, "names": lambda: ["a", "b"],
        "network_": lambda: fcnn.Network((3, 5, 1), rng=1),
        # Of pictures.
        "history": lambda: fcnn.Network((4, 3)).fit(np.ones((5, 4)), np.ones(5, int), epochs=1),
        "importance": lambda: [0.1, 0.2], "x": lambda: np.arange(5.0),
        "quantiles": lambda: np.arange(10.0).reshape(5, 2),
        # Of a search.
        "make": lambda: lambda c, seed: fcnn.Network((4, 3, 3), rng=seed),
        "space": lambda: {"lr": (1e-3, 1e-1)},
        "validation": lambda: (np.ones((3, 4)), [0, 1, 2]), "model": a_model, "groups": lambda: 1,
        # Of schedules and callbacks.
        "step_size": lambda: 2, "gamma": lambda: 0.5, "steps": lambda: 3, "then": lambda: None,
        "rng": lambda: 1, "lr": lambda: 0.1, "activation": lambda: "tanh", "n_in": lambda: 3,
        "n_out": lambda: 2,
    }.get(what)  # fmt: skip
    return None if maker is None else maker()


def two_networks():
    return [fcnn.Network((4, 5, 3), rng=seed) for seed in (1, 2)]


@functools.cache
def a_model():
    preparation = fcnn.tables.Preparation.fit(right(np.random.default_rng(0), "data"))
    net = fcnn.Network((preparation.width, 3, 1), loss="squared_error", rng=1)
    return fcnn.Model(net, preparation, fcnn.tables.Target(["price"]))


# Where a name means something else.
RIGHT = {
    ("Model.scores", "outputs"): np.ones((5, 1)), ("Model.scores", "values"): np.ones((5, 1)),
    ("Model.target_values", "table"): fcnn.tables.as_table({"price": [1.0, 2, 4, 8, 5]}),
    ("initializers.initial_weights", "init"): "auto", ("convert.to_c", "name"): "predictor",
    ("reference.Network", "activations"): ["tanh", "softmax"],
    ("reference.Network", "loss"): "cross_entropy",
    ("metrics.accuracy", "y"): [0, 1, 1, 0, 1], ("metrics.r2", "y"): np.arange(5.0),
    ("metrics.roc_auc", "y"): [0, 1, 1, 0, 1], ("metrics.score", "loss"): "squared_error",
    ("Ensemble.save", "path"): "ensemble", ("Model.save", "path"): "model",
    ("Model.evaluate", "y"): np.arange(5.0), ("report.write_report", "y"): np.arange(5.0),
    ("report.permutation_importance", "y"): np.arange(5.0), ("tables.read_target", "names"): "a",
    ("plot.plot_boundary", "network"): fcnn.Network((2, 3, 2), rng=1),
    ("plot.plot_boundary", "X"): np.ones((5, 2)), ("plot.plot_boundary", "y"): [0, 1, 1, 0, 1],
    ("plot.plot_network", "X"): np.ones(4), ("plot.plot_network", "y"): 1,
    ("plot.animate_trace", "X"): np.ones(4), ("plot.animate_trace", "y"): 1,
}  # fmt: skip
# What would take as long as it says; and the text for messages.
AS_THEY_ARE = {("search", "seconds"), ("search", "epochs"), ("search", "groups"),
               ("fit_many", "epochs"), ("tables.as_table", "name")}  # fmt: skip
# What is given though it has a default.
ALWAYS = ("y", "output", "epochs", "groups", "batch_size")
MODULES = ("metrics", "tables", "convert", "reference", "plot", "report", "schedules", "callbacks",
           "datasets", "initializers")  # fmt: skip
# Public names that are not called here, and why.
LEFT_OUT = {
    "DivergenceError": "an exception", "tables.TableError": "an exception",
    "__version__": "a text", "tables.KINDS": "a tuple", "reference.ACTIVATIONS": "a table",
    "reference.LOSSES": "a table", "initializers.INITIALIZERS": "a table",
    "set_num_threads": "changes what other calls do", "parallel": "needs MPI: test_mpi.py",
    "schedules.Schedule": "the base of one's own", "errors": "exceptions", "names": "types alone",
    "learn": "serves until it is stopped: test_learn.py",
    # Records that are made by what is called here, and check nothing.
    **dict.fromkeys(
        ("metrics.ClassScores", "metrics.NumberScores", "tables.Column", "tables.ColumnKind",
         "tables.Table", "tables.TargetReading", "tables.Target", "tables.Preparation",
         "reference.Activation", "reference.Loss", "report.Importance", "report.Report", "Model"),
        "a record"),
    **dict.fromkeys(
        (f"convert.{name}" for name in ("from_keras", "from_sklearn", "from_torch", "to_sklearn",
                                        "to_torch")),
        "imports a library for seconds: test_convert.py"),
    # The equations alone, of arrays: what `reference.Network` hands them has been checked.
    **dict.fromkeys(
        (f"reference.{name}" for name in
         ("ascending", "elu", "gelu", "identity", "leaky_relu", "relu", "sigmoid", "silu",
          "softmax", "softplus", "activation_of", "loss_of", "sgd", "adam", "output_delta")),
        "an equation: test_reference.py"),
}  # fmt: skip
RECORDS = {"metrics.ClassScores.of": fcnn.metrics.ClassScores.of,
           "metrics.NumberScores.of": fcnn.metrics.NumberScores.of,
           "tables.Preparation.fit": fcnn.tables.Preparation.fit}  # fmt: skip
ATTRIBUTES = ("parameters", "weights", "biases", "rng", "features", "classes")


def methods_of(value, name):
    """Return the public methods of an object, by the name of its class and theirs."""
    public = [n for n in dir(type(value)) if not n.startswith("_")]
    return {f"{name}.{n}": getattr(value, n) for n in public
            if callable(getattr(type(value), n, None))}  # fmt: skip


def everything(net, optimizer):
    """Return all that is called, by name, in groups that are called equally often."""
    functions = {name: getattr(fcnn, name) for name in fcnn.__all__ if name not in LEFT_OUT
                 and not inspect.ismodule(getattr(fcnn, name))}  # fmt: skip
    groups = [methods_of(net, "Network"), {"Network.fit": net.fit}, functions,
              {"Optimizer.update": optimizer.update, "Network": fcnn.Network}]  # fmt: skip
    groups.append(methods_of(fcnn.Ensemble(two_networks()), "Ensemble"))
    groups.append(methods_of(a_model(), "Model"))
    for module in MODULES:
        names = importlib.import_module(f"fcnn.{module}").__all__
        group = {f"{module}.{name}": getattr(getattr(fcnn, module), name) for name in names
                 if f"{module}.{name}" not in LEFT_OUT}  # fmt: skip
        groups.append(group)
    groups.append(RECORDS)
    return [group for group in groups if group]


def attempt(rng, net, optimizer):
    """Return a call of which some arguments are wrong, what it is called, and its parameters."""
    if rng.integers(20) == 0:
        name = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]
        return f"net.{name} = ...", lambda: setattr(net, name, anything(rng)), [name]
    groups = everything(net, optimizer)
    group = groups[rng.integers(len(groups))]
    if any(name.startswith(("plot.", "report.")) for name in group) and rng.random() < 0.9:
        group = groups[0]  # a picture takes as long as a thousand other calls
    name = list(group)[rng.integers(len(group))]
    return call_of(rng, name, group[name], net)


def call_of(rng, name, function, net, share=(0.3, 0.1)):
    """Return a call; of what is needed one share is wrong, of what has a default another."""
    parameters = inspect.signature(function).parameters.values()
    given = {}
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        value = RIGHT.get((name, one.name), right(rng, one.name))
        if name == "Optimizer.update" and one.name == "network":
            value = net
        is_needed = one.default is one.empty
        if rng.random() < share[not is_needed] and (name, one.name) not in AS_THEY_ARE:
            given[one.name] = anything(rng)
        elif is_needed or (value is not None and one.name in ALWAYS):
            given[one.name] = value
    shown = ", ".join(f"{k}={v!r:.80}" for k, v in given.items())
    # Arguments that have no name are given by their places.
    alone = [given.pop(one.name) for one in parameters
             if one.kind is one.POSITIONAL_ONLY and one.name in given]  # fmt: skip
    names = [one.name for one in parameters]
    return f"{name}({shown:.400})", lambda: function(*alone, **given), names


def state_of(net, optimizer):
    state = [s.tobytes() for s in optimizer.state(net)]
    return net.parameters.tobytes(), optimizer.steps, state


def run(size, seed):
    # "adam" is a file to `save`.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return run_here(size, seed)


def run_here(size, seed):
    warnings.simplefilter("ignore")
    refused, unnamed = 0, []
    for i in range(size):
        goes_on()
        rng = np.random.default_rng([seed, i])
        net = fcnn.Network((4, 5, 3), ["tanh", "relu"][i % 2], rng=1,
                           dtype=["float32", "float64"][i // 2 % 2])  # fmt: skip
        optimizer = fcnn.Adam()
        optimizer.update(net, np.ones(net.num_parameters, net.dtype))
        before, error = state_of(net, optimizer), None
        what, call, names = attempt(rng, net, optimizer)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                call()
        except ISSUED as raised:
            error = raised
        except (OSError, ImportError):
            refused += 1
        except BaseException:
            print(f"call {i}: {what}", flush=True)
            raise
        if error is not None:
            refused += 1
            if not isinstance(error, fcnn.DivergenceError) and not is_named(str(error), names):
                unnamed.append(f"call {i}: {what}: {type(error).__name__}: {error}")
        # A training may have made some steps before a callback or a batch was wrong.
        if error is not None and not what.startswith("Network.fit("):
            assert state_of(net, optimizer) == before, f"call {i}: {what}: changed"
        assert np.isfinite(net.parameters).all() or "parameters" in what or "=" in what, what
    # Objects of kinds that nobody gives (a set among numbers, an array for a title) are refused in
    # NumPy's or Python's own words here and there: one call in some thousands.
    assert len(unnamed) <= 2 + size // 1000, "names no argument:\n" + "\n".join(unnamed)
    return (
        f"{size} calls of any kind: {refused} refused by a message, {size - refused} made; "
        f"{len(unnamed)} messages name no argument"
    )


def is_named(message, names):
    """Return whether a message names an argument, as NumPy's and Python's own do not.

    Of networks that are trained together it may be said of one; as_table has the argument's name as
    an argument; what is wrong in a file is said of the file.
    """
    known = ("X", "y", "file", "ignore", "columns", "predict_proba")
    names = [*names, *(name.removesuffix("s") for name in names), *known]
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) for name in names)
