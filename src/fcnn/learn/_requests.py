"""What the page asks for, computed by the core: one function for each name, JSON in and out.

Everything that comes in is checked here, and refused with a ValueError or TypeError that names it.
"""

import base64
import itertools
import math
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._descent import as_descent, default_optimizers, parameter_name
from fcnn._dispatch import core
from fcnn.explanation import explain
from fcnn.learn._data import MOST_SAMPLES, TOYS, Data, digits, read_csv, read_file, toy
from fcnn.network import Network
from fcnn.optimizers import SGD, Adam, AdamW
from fcnn.reference import activation_of
from fcnn.trace import Trace

Array = NDArray[Any]
Json = dict[str, Any]

# What one request may take of this machine.
MOST_LAYERS, MOST_NODES, MOST_PARAMETERS = 8, 64, 20_000
MOST_EPOCHS, MOST_SESSIONS, MOST_GRID = 100, 8, 64

BREAKS = ("sigma", "transpose", "sum")


def answer(name: str, request: Any) -> Json:
    """Return the answer to a request of the page.

    Raises
    ------
    ValueError, TypeError
        If there is no such request, or what it holds is not as it should be.
    """
    if not isinstance(request, dict):
        raise TypeError(f"request: expected an object, got {type(request).__name__}")
    function = _FUNCTIONS[check.as_choice("request", name, tuple(_FUNCTIONS))]
    with np.errstate(all="ignore"):
        return {key: _plain(value) for key, value in function(request).items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; None for what is not finite."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- Networks -------------------------------------------------------------------------------------


def _get(request: Json, name: str, default: Any = None) -> Any:
    value = request.get(name, default)
    if value is None and default is None:
        raise ValueError(f"{name}: is missing")
    return value


def _whole(name: str, value: Any, least: int, most: int) -> int:
    count = check.as_count(name, value, least)
    if count > most:
        raise ValueError(f"{name}: expected at most {most}, got {count}")
    return count


def _network(request: Json) -> Network:
    """Return the network of a request, with its weights or, without any, drawn from its seed."""
    sizes = _get(request, "sizes")
    if not isinstance(sizes, list) or not 2 <= len(sizes) <= MOST_LAYERS:
        raise ValueError(f"sizes: expected 2 to {MOST_LAYERS} numbers of nodes, got {sizes!r}")
    sizes = [_whole(f"sizes[{l}]", n, 1, MOST_NODES) for l, n in enumerate(sizes)]
    if sum((a + 1) * b for a, b in itertools.pairwise(sizes)) > MOST_PARAMETERS:
        raise ValueError(f"sizes: expected at most {MOST_PARAMETERS} parameters in all")
    rng = np.random.default_rng(_whole("seed", request.get("seed", 0), 0, 2**31))
    net = Network(
        sizes, _get(request, "activation", "sigmoid"), request.get("output"),
        _get(request, "loss", "squared_error"), _get(request, "dtype", "float64"), rng=rng,
    )  # fmt: skip
    W, b = request.get("W"), request.get("b")
    if W is None and b is None:
        # Two decimals, to follow by hand; and biases that are seen.
        for l, (weights, biases) in enumerate(zip(net.weights, net.biases, strict=True)):
            weights[...] = np.round(rng.normal(0, 1.2 / math.sqrt(sizes[l]), weights.shape), 2)
            biases[...] = np.round(rng.uniform(-0.5, 0.5, biases.shape), 2)
        return net
    for name, views, values in (("W", net.weights, W), ("b", net.biases, b)):
        if not isinstance(values, list) or len(values) != len(views):
            raise ValueError(f"{name}: expected {len(views)} of them, one for each layer")
        for l, (view, value) in enumerate(zip(views, values, strict=True)):
            array = check.as_numeric(f"{name}[{l}]", value)
            if array.shape != view.shape:
                raise ValueError(f"{name}[{l}]: expected shape {view.shape}, got {array.shape}")
            check.refuse_nonfinite(f"{name}[{l}]", array.astype(np.float64))
            view[...] = check.cast(f"{name}[{l}]", array, net.dtype)
    return net


def _sample(request: Json, net: Network) -> tuple[Any, Any]:
    """Return x and y of a request; without any, numbers that are easy to follow."""
    n, m = net.sizes[0], net.num_targets
    x = request.get("x")
    x = [round(0.5 - 0.75 * j * (-1) ** j, 2) for j in range(n)] if x is None else x
    y = request.get("y")
    if y is None:
        y = [1.0] + [0.0] * (m - 1)
    return _one_sample(x, net), [y] if isinstance(y, list) and m == 1 and len(y) != 1 else y


def _one_sample(value: Any, net: Network) -> Array:
    """Return x of a request; of many rows one request would take as long as it likes."""
    x = check.as_inputs("x", value, net.sizes[0], net.dtype)
    if x.ndim != 1:
        raise ValueError(f"x: expected one sample, got shape {x.shape}")
    check.refuse_nonfinite("x", x)
    return x


def _described(net: Network, trace: Trace) -> Json:
    return {
        "sizes": list(net.sizes), "activations": list(net.activations), "loss": net.loss,
        "dtype": str(net.dtype), "W": [W.tolist() for W in net.weights],
        "b": [b.tolist() for b in net.biases], "x": trace.a[0][0], "y": trace.y[0],
        "z": [None, *(z[0].tolist() for z in trace.z[1:])], "a": [a[0].tolist() for a in trace.a],
        "delta": [d[0].tolist() for d in trace.delta],
        "dW": [None, *(d.tolist() for d in trace.dW[1:])],
        "db": [None, *(d.tolist() for d in trace.db[1:])], "C": trace.loss,
        "slope": [None, *(_slope(trace, l) for l in range(1, len(net.sizes)))],
    }  # fmt: skip


def _slope(trace: Trace, l: int) -> list[float] | None:
    """Return sigma'(z^l); None of an activation of a whole layer."""
    name = trace.activations[l - 1]
    if name in ("softmax", "ascending"):
        return None
    return activation_of(name).derivative(trace.z[l], trace.a[l])[0].tolist()


def _trace(request: Json) -> Json:
    net = _network(request)
    return _described(net, net.trace(*_sample(request, net)))


def _explain(request: Json) -> Json:
    net = _network(request)
    trace = net.trace(*_sample(request, net))
    digits = _whole("digits", request.get("digits", 4), 2, 17)
    told = explain(
        trace, _get(request, "l"), _get(request, "k"), request.get("j"), 0, digits, 8, marked=True
    )
    found: Json = {"title": told.title, "steps": [_step(step) for step in told.steps]}
    l, k = request["l"], request["k"]
    if l < len(net.sizes) - 1 and request.get("j") is None:
        # The sum over the receiving nodes as it grows, term by term.
        W, delta = trace.W[l + 1][:, k].astype(np.float64), trace.delta[l + 1][0]
        sums = np.cumsum(W * delta)
        found["terms"] = [
            {"k": i, "delta": float(delta[i]), "W": float(W[i]), "sum": float(sums[i])}
            for i in range(len(W))
        ]
    return found


def _step(step: Any) -> Json:
    return {
        "name": step.name, "symbol": step.symbol.latex, "general": step.general.latex,
        "numbers": step.numbers.latex, "result": step.result.latex, "value": step.value,
        "why": step.why, "text": f"{step.symbol.text} = {step.numbers.text} = {step.result.text}",
    }  # fmt: skip


def _curve(request: Json) -> Json:
    """Return C over one parameter, for its picture, and the slope at where it is."""
    net = _network(request)
    x, y = _sample(request, net)
    i = _whole("parameter", _get(request, "parameter"), 0, net.num_parameters - 1)
    half = check.as_number("half", request.get("half", 3.0), above=0, most=100)
    loss, gradient = net.gradients(x, y)
    here = float(net.parameters[i])
    values = np.linspace(here - half, here + half, 81)
    losses = []
    for value in values:
        net.parameters[i] = value
        losses.append(net.gradients(x, y)[0])
    return {
        "name": parameter_name(net, i), "at": here, "C": loss, "slope": float(gradient[i]),
        "values": values, "losses": losses,
    }  # fmt: skip


# --- The check of a gradient ----------------------------------------------------------------------


def _check(request: Json) -> Json:
    """Return the quotient of differences and dC/dW of every parameter, and of one in full."""
    net = _network(request)
    x, y = _sample(request, net)
    epsilon = check.as_number("epsilon", request.get("epsilon", 1e-4), above=0, most=10)
    broken = request.get("broken") or ""
    if broken:
        check.as_choice("broken", broken, BREAKS)
    i = _whole("parameter", request.get("parameter", 0), 0, net.num_parameters - 1)
    if broken:
        gradient = broken_gradient(net, net.trace(x, y), broken)
    else:
        gradient = net.gradients(x, y)[1].astype(np.float64)
    rows = []
    # In the network's own arithmetic: of float32 a small epsilon leaves no digits.
    for place in range(net.num_parameters):
        kept = net.parameters[place]
        both = []
        for sign in (1, -1):
            net.parameters[place] = kept + sign * epsilon
            moved = float(net.parameters[place]) - float(kept)
            both.append((moved, net.gradients(x, y)[0]))
        net.parameters[place] = kept
        (up, C_up), (down, C_down) = both
        quotient = (C_up - C_down) / (up - down) if up != down else math.nan
        rows.append([parameter_name(net, place), C_up, C_down, quotient, gradient[place]])
    quotients = np.array([row[3] for row in rows])
    size = np.linalg.norm(quotients) + np.linalg.norm(gradient)
    error = float(np.linalg.norm(quotients - gradient) / size) if size else 0.0
    limit = 1e-6 if net.dtype == np.float64 else 1e-2
    return {
        "rows": rows, "parameter": i, "C": net.gradients(x, y)[0], "error": error, "limit": limit,
        "passed": error <= limit, "weight": float(net.parameters[i]),
    }  # fmt: skip


def broken_gradient(net: Network, trace: Trace, broken: str) -> Array:
    """Return the gradient that comes of one mistake in the recursion.

    Parameters
    ----------
    net : fcnn.Network
    trace : fcnn.trace.Trace
        Of one sample.
    broken : str
        "sigma" leaves out sigma' in the hidden layers, "transpose" takes W_jk for W_kj, in the
        order in which it is stored, and "sum" only the first receiving node.
    """
    L = len(net.sizes) - 1
    delta: list[Any] = [None] * (L + 1)
    delta[L] = trace.delta[L][0].astype(np.float64)
    for l in range(L - 1, 0, -1):
        W = trace.W[l + 1].astype(np.float64)
        if broken == "transpose":
            # Of a square W this is its transpose; of others the memory read in the wrong order.
            W = np.ascontiguousarray(W.T).reshape(W.shape)
        back = delta[l + 1] @ W
        if broken == "sum":
            back = delta[l + 1][0] * W[0]
        name = trace.activations[l - 1]
        slope = activation_of(name).derivative(trace.z[l], trace.a[l])[0]
        delta[l] = back if broken == "sigma" else slope * back
    parts = []
    for l in range(1, L + 1):
        parts += [np.outer(trace.a[l - 1][0], delta[l]).ravel(), delta[l]]
    return np.concatenate(parts)


# --- Descending -----------------------------------------------------------------------------------


def _descend(request: Json) -> Json:
    data = _data(request)
    X, y = data.X, data.y
    net = _network({**request, "sizes": [2, *_hidden(request), 1], "loss": "squared_error",
                    "output": "tanh", "dtype": "float64"})  # fmt: skip
    lr = check.as_number("lr", _get(request, "lr"), above=0, most=1e6)
    steps = _whole("steps", request.get("steps", 60), 1, 500)
    pair = _get(request, "parameters", [0, 1])
    if not isinstance(pair, list):
        raise TypeError(f"parameters: expected two places, got {pair!r}")
    start = request.get("start")
    if start is not None:
        if not isinstance(start, list) or len(start) != 2:
            raise ValueError(f"start: expected two numbers, got {start!r}")
        for place, value in zip(pair, start, strict=False):
            i = _whole("parameters", place, 0, net.num_parameters - 1)
            net.parameters[i] = check.as_number("start", value, least=-1e3, most=1e3)
    span = check.as_number("span", request.get("span", 6.0), above=0, most=100)
    targets = 2.0 * y[:, np.newaxis] - 1
    found = as_descent(net, X, targets, default_optimizers(lr), pair, steps, 41, span)
    return {
        "names": found.names, "across": found.across, "down": found.down, "loss": found.loss,
        "paths": found.paths, "steps": steps, "count": net.num_parameters,
        "all": [parameter_name(net, i) for i in range(net.num_parameters)],
    }  # fmt: skip


def _hidden(request: Json) -> list[int]:
    hidden = _get(request, "hidden", [3])
    if not isinstance(hidden, list) or len(hidden) > MOST_LAYERS - 2:
        raise ValueError(f"hidden: expected at most {MOST_LAYERS - 2} sizes, got {hidden!r}")
    return [_whole(f"hidden[{i}]", n, 1, MOST_NODES) for i, n in enumerate(hidden)]


# --- Data -----------------------------------------------------------------------------------------


def _data(request: Json) -> Data:
    name = check.as_choice("data", _get(request, "data", "moons"), (*TOYS, "digits", "csv"))
    if name == "digits":
        return digits()
    if name == "csv":
        return read_csv(_get(request, "csv"))
    samples = _whole("samples", request.get("samples", 200), 4, MOST_SAMPLES)
    noise = check.as_number("noise", request.get("noise", 0.1), least=0, most=2)
    return toy(name, samples, noise, _whole("seed", request.get("seed", 0), 0, 2**31))


def _table(request: Json) -> Json:
    """Return a file as the text of a table."""
    name, file = _get(request, "name"), _get(request, "file")
    if not isinstance(name, str) or not isinstance(file, str):
        raise TypeError("name, file: expected texts")
    try:
        data = base64.b64decode(file, validate=True)
    except ValueError:
        raise ValueError("file: expected base64") from None
    return {"csv": read_file(data, name)}


# --- Training -------------------------------------------------------------------------------------


class Session(NamedTuple):
    """A network that is being trained on the page."""

    net: Network
    X: Array
    y: Array
    held_out: tuple[Array, Array]
    optimizer: Any
    data: Data
    batch_size: int
    lock: Any


_sessions: OrderedDict[str, Session] = OrderedDict()
_guard = threading.Lock()
_OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "SGD": SGD, "momentum": lambda lr: SGD(lr, momentum=0.9), "Adam": Adam, "AdamW": AdamW,
}  # fmt: skip


def _start(request: Json) -> Json:
    data = _data(request)
    X, y = data.X, data.y
    sizes = [X.shape[1], *_hidden(request), len(data.classes)]
    net = _network({**request, "sizes": sizes, "loss": "cross_entropy", "output": None,
                    "dtype": "float32", "W": None, "b": None})  # fmt: skip
    # As a training of one's own would begin; two decimals are for the eye.
    net = Network(sizes, net.activations[0] if len(sizes) > 2 else "relu", rng=net.rng)
    name = check.as_choice("optimizer", request.get("optimizer", "Adam"), tuple(_OPTIMIZERS))
    lr = check.as_number("lr", request.get("lr", 0.03), above=0, most=1e6)
    grid = _grid(request)
    order = np.random.default_rng(1).permutation(len(X))
    cut = max(len(X) * 4 // 5, 1)
    train, test = order[:cut], order[cut:]
    session = Session(
        net, X[train].astype(np.float32), y[train], (X[test].astype(np.float32), y[test]),
        _OPTIMIZERS[name](lr), data, _whole("batch_size", request.get("batch_size", 16), 1, 512),
        threading.Lock(),
    )  # fmt: skip
    key = base64.urlsafe_b64encode(np.random.default_rng().bytes(12)).decode()
    with _guard:
        _sessions[key] = session
        while len(_sessions) > MOST_SESSIONS:
            _sessions.popitem(last=False)
    X_test, y_test = session.held_out
    shown = {"X": session.X, "y": session.y, "X_test": X_test, "y_test": y_test}
    if X.shape[1] != 2:
        shown = {}
    frame = _frame(session, request, grid, [])
    told = {"classes": data.classes, "features": data.features, "notes": data.notes}
    return {"id": key, "sizes": sizes, **told, **shown, **frame}


def _session(request: Json) -> Session:
    key = _get(request, "id")
    with _guard:
        if not isinstance(key, str) or key not in _sessions:
            raise ValueError("id: there is no such training any more; start a new one")
        _sessions.move_to_end(key)
        return _sessions[key]


def _run(request: Json) -> Json:
    session = _session(request)
    epochs = _whole("epochs", request.get("epochs", 1), 1, MOST_EPOCHS)
    grid = _grid(request)
    from fcnn.errors import DivergenceError

    with session.lock:
        if request.get("lr") is not None:
            session.optimizer.lr = check.as_number("lr", request["lr"], above=0, most=1e6)
        try:
            history = session.net.fit(
                session.X, session.y, epochs=epochs, batch_size=session.batch_size,
                optimizer=session.optimizer,
            )  # fmt: skip
        except DivergenceError as error:
            return {"diverged": str(error), **_frame(session, request, grid, [])}
        return _frame(session, request, grid, history.loss)


def _grid(request: Json) -> int:
    """Return the points across the plane, 0 of a request without it: checked before a training."""
    return _whole("grid", request["grid"], 2, MOST_GRID) if request.get("grid") else 0


def _frame(session: Session, request: Json, grid: int, losses: list[float]) -> Json:
    """Return how far a training is: scores, deltas, and the plane or a node's part of it."""
    net = session.net
    X_test, y_test = session.held_out
    some = slice(0, 256)
    trace = net.trace(session.X[some], session.y[some])
    answers = net.predict(X_test) if len(X_test) else np.empty((0, 1))
    whole = net.evaluate(session.X, session.y)
    result: Json = {
        "losses": losses, "loss": whole["loss"], "accuracy": whole["accuracy"],
        "test_accuracy": float((answers.argmax(axis=1) == y_test).mean()) if len(X_test) else None,
        # Of each sample alone, without the 1/s of the average.
        "deltas": [float(np.abs(d).mean() * len(d)) for d in trace.delta[1:]],
    }  # fmt: skip
    if net.sizes[0] == 2 and grid:
        from fcnn.plot.boundary import node_values

        side = np.linspace(-1.3, 1.3, grid)
        result["plane"] = np.round(node_values(net, side, side, len(net.sizes) - 1), 4)
        hidden = request.get("nodes")
        if hidden:
            small = np.linspace(-1.3, 1.3, 16)
            result["nodes"] = [
                np.round(node_values(net, small, small, l), 3) for l in range(1, len(net.sizes) - 1)
            ]
    if net.sizes[0] == 64 and request.get("nodes"):
        result["images"] = np.round(net.weights[0][:24], 3)
    return result


def _predict(request: Json) -> Json:
    session = _session(request)
    with session.lock:
        return {"a": session.net.predict(_one_sample(_get(request, "x"), session.net))}


def _save(request: Json) -> Json:
    session = _session(request)
    with session.lock:
        net = _in_units_of_the_data(session)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        net.save(path)
        return {"file": base64.b64encode(path.read_bytes()).decode(), "name": path.name}


def _in_units_of_the_data(session: Session) -> Network:
    """Return the network for rows as they were before they were scaled for the page.

    W (x - centre) / span + b is another W and b; in float64, since a centre may be far from 0.
    """
    net, data = session.net, session.data
    whole = Network(net.sizes, net.activations[:-1], net.activations[-1], net.loss, "float64")
    whole.parameters = net.parameters.astype(np.float64)
    whole.weights[0][...] /= data.span
    whole.biases[0][...] -= whole.weights[0] @ data.centre
    whole.features, whole.classes = data.features, data.classes
    return whole


def _options(request: Json) -> Json:
    return {
        "activations": list(check.HIDDEN_ACTIVATIONS),
        "losses": {
            loss: list(core.output_activations(loss))
            for loss in check.OUTPUT_ACTIVATIONS
            if core.outputs_per_target(loss) == 1
        },
        "data": [*TOYS, "digits", "csv"], "optimizers": list(_OPTIMIZERS),
        "most": {"layers": MOST_LAYERS, "nodes": MOST_NODES},
    }  # fmt: skip


def _exercises(request: Json) -> Json:
    from fcnn.learn._exercises import described

    return {"exercises": described()}


_FUNCTIONS: dict[str, Callable[[Json], Json]] = {
    "trace": _trace, "explain": _explain, "curve": _curve, "check": _check, "descend": _descend,
    "start": _start, "run": _run, "predict": _predict, "save": _save, "options": _options,
    "exercises": _exercises, "table": _table,
}  # fmt: skip
