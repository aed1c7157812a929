"""Build yours: six functions, each compared with the core."""

import runpy
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as arguments
from fcnn.network import Network
from fcnn.trace import Trace

Array = NDArray[Any]

SIZES = ((1, 1), (2, 3, 2), (3, 4, 3, 2))
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Verdict:
    """What a check found; true if the function is right.

    Attributes
    ----------
    exercise : str
    passed : bool
    message : str
        Of a wrong one the first number that is wrong, and by how much.
    """

    exercise: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"{self.exercise}: {'right' if self.passed else 'not yet'}. {self.message}"

    __repr__ = __str__


class _WrongError(Exception):
    """The first thing that is wrong, in words."""


class Exercise(NamedTuple):
    """One function to write.

    Attributes
    ----------
    signature, task : str
    formula : str
        LaTeX.
    check : callable
        Given the function, returns what is right about it; raises what is wrong.
    """

    signature: str
    task: str
    formula: str
    check: Callable[[Callable[..., Any]], str]


def check(exercise: str, function: Callable[..., Any]) -> Verdict:
    """Compare a function of your own with the engine.

    Parameters
    ----------
    exercise : str
        forward, output_delta, hidden_delta, gradient, update or train, in the order in which they
        are best written; `fcnn learn` says what each is to do, and so does
        ``print(fcnn.learn.check.__doc__)`` in short:

        - ``forward(W, b, x)``: lists z and a, one array for each layer 1..L, of a network of
          sigmoids; ``W[0]`` is W^1, shape (n_1, n_0).
        - ``output_delta(z, a, y)``: delta^L of the half squared error, from z^L and a^L.
        - ``hidden_delta(W, z, delta)``: delta^l from W^(l+1), z^l and delta^(l+1).
        - ``gradient(delta, a)``: dC/dW^l, shape (n_l, n_(l-1)), from delta^l and a^(l-1).
        - ``update(W, dW, eta)``: the new W, shape as W.
        - ``train(X, y)``: a function that gives for samples their digits; X has rows of 64 pixels
          from 0 to 1, y the digits.
    function : callable

    Returns
    -------
    Verdict
        Print it: it names the first node that is wrong, and by how much.

    Raises
    ------
    ValueError, TypeError
        If there is no such exercise, or no function.

    Examples
    --------
    >>> import numpy as np, fcnn.learn
    >>> print(fcnn.learn.check("update", lambda W, dW, eta: W + eta * dW))  # doctest: +ELLIPSIS
    update: not yet. W[0, 0] is ... That is what comes of + for -: ...
    """
    name = arguments.as_choice("exercise", exercise, tuple(EXERCISES))
    if not callable(function):
        raise TypeError(f"function: expected a function, got {function!r}")
    try:
        message = EXERCISES[name].check(function)
    except _WrongError as wrong:
        return Verdict(name, False, str(wrong))
    return Verdict(name, True, message)


def check_file(path: str) -> list[Verdict]:
    """Return the verdicts on a file of one's own: on those functions that it has.

    Raises
    ------
    ValueError
        If it has none of them, or cannot be run; the message names the file.
    """
    before = sys.path.copy()
    # As `python FILE` has it: a file imports its neighbours, when it is run or when it is called.
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        found = _run(path)
        names = [name for name in EXERCISES if callable(found.get(name))]
        if not names:
            raise ValueError(f"{path}: expected functions {arguments.listed(list(EXERCISES))}")
        return [check(name, found[name]) for name in names]
    finally:
        sys.path[:] = before


def _run(path: str) -> dict[str, Any]:
    try:
        return runpy.run_path(path, run_name="fcnn_exercises")
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path}: {_told(error, path)}") from None


def _told(error: BaseException, path: str) -> str:
    """Return what was raised, and in which line of a file if it passed through it."""
    text = ": ".join(filter(None, (type(error).__name__, str(error))))
    lines = [
        line for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == path
    ]  # fmt: skip
    return f"{text}, in line {lines[-1]}" if lines else text


def described() -> list[dict[str, str]]:
    """Return what the page shows of them."""
    return [
        {"name": name, "signature": one.signature, "task": one.task, "formula": one.formula}
        for name, one in EXERCISES.items()
    ]


# --- How it is compared ---------------------------------------------------------------------------


def _problem(sizes: tuple[int, ...], seed: int) -> tuple[Network, Trace, Array, Array]:
    """Return a network, its trace of one sample, and the sample."""
    rng = np.random.default_rng(seed)
    net = Network(sizes, "sigmoid", "sigmoid", "squared_error", "float64", rng=rng)
    net.parameters = np.round(rng.normal(size=net.num_parameters), 2)
    x, y = np.round(rng.normal(size=sizes[0]), 2), np.round(rng.random(sizes[-1]), 2)
    return net, net.trace([x], [y]), x, y


def _called(function: Callable[..., Any], *values: Any) -> Any:
    """Call the learner's function, on copies; what it raises is told, not raised."""
    copies = [
        [v.copy() for v in value] if isinstance(value, list) else np.copy(value) if isinstance(
            value, np.ndarray) else value
        for value in values
    ]  # fmt: skip
    try:
        return function(*copies)
    except (Exception, SystemExit) as error:
        where = getattr(getattr(function, "__code__", None), "co_filename", "")
        raise _WrongError(f"it raised {_told(error, where)}") from None


def _as_array(value: Any, shape: tuple[int, ...], what: str) -> Array:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _WrongError(f"{what}: expected numbers of shape {shape}, got {value!r:.80}") from None
    if array.shape != shape:
        raise _WrongError(f"{what}: expected shape {shape}, got {array.shape}")
    return array


def _compare(
    found: Array, right: Array, name: Callable[..., str], mistakes: dict[str, Array], where: str
) -> None:
    """Name the first number that is wrong, and the mistake that it comes of if that is known."""
    # Of the largest number: a delta is small, and so is what is wrong with it.
    wrong = ~(np.abs(found - right) <= TOLERANCE * np.abs(right).max())
    if not wrong.any():
        return
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    yours, engines = float(found[at]), float(right[at])
    text = (
        f"{name(*at)} is {yours:.6g} with you and {engines:.6g} in the engine, {where}: "
        f"off by {yours - engines:+.3g}."
    )
    for mistake, value in mistakes.items():
        if value.shape == found.shape and np.allclose(found, value, rtol=1e-9, atol=1e-12):
            text += f" That is what comes of {mistake}."
            break
    raise _WrongError(text)


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _forward(function: Callable[..., Any]) -> str:
    for seed, sizes in enumerate(SIZES):
        net, trace, x, _ = _problem(sizes, seed)
        answer = _called(function, list(net.weights), list(net.biases), x)
        try:
            z, a = answer
            z, a = list(z), list(a)
        except (TypeError, ValueError):
            raise _WrongError("expected two lists, z and a") from None
        L = len(sizes) - 1
        if len(z) == len(a) == L + 1:  # with the input, as in the lecture
            z, a = z[1:], a[1:]
        if not len(z) == len(a) == L:
            raise _WrongError(f"expected z and a of {L} layers, got {len(z)} and {len(a)}")
        for l in range(1, L + 1):
            W, b, before = net.weights[l - 1], net.biases[l - 1], trace.a[l - 1][0]
            where = f"in a network {'-'.join(map(str, sizes))}"
            _compare(
                _as_array(z[l - 1], trace.z[l][0].shape, f"z of layer {l}"), trace.z[l][0],
                lambda k, l=l: f"z of node {k} in layer {l}",
                {"a b that is left out": W @ before, "- for + before b": W @ before - b}
                | ({"W transposed": W.T @ before + b} if W.shape[0] == W.shape[1] else {}), where,
            )  # fmt: skip
            _compare(
                _as_array(a[l - 1], trace.a[l][0].shape, f"a of layer {l}"), trace.a[l][0],
                lambda k, l=l: f"a of node {k} in layer {l}",
                {"a sigma that is left out": trace.z[l][0],
                 "tanh for the sigmoid": np.tanh(trace.z[l][0]),
                 "+z for -z in the exponent": _sigmoid(-trace.z[l][0])}, where,
            )  # fmt: skip
    return "Every z and a is the engine's."


def _output_delta(function: Callable[..., Any]) -> str:
    for seed, sizes in enumerate(SIZES):
        _, trace, _, y = _problem(sizes, seed)
        z, a = trace.z[-1][0], trace.a[-1][0]
        _compare(
            _as_array(_called(function, z, a, y), z.shape, "delta"), trace.delta[-1][0],
            lambda k: f"delta of output {k}",
            {"a sigma' that is left out": a - y, "y - a for a - y": -trace.delta[-1][0],
             "a factor 2, of a loss without the half": 2 * trace.delta[-1][0],
             "sigma'(a) for sigma'(z)": (a - y) * _sigmoid(a) * (1 - _sigmoid(a))},
            f"in a network {'-'.join(map(str, sizes))}",
        )  # fmt: skip
    return "dC/da times sigma'(z), at every output."


def _hidden_delta(function: Callable[..., Any]) -> str:
    for seed, sizes in enumerate(SIZES[1:]):
        net, trace, _, _ = _problem(sizes, seed)
        for l in range(len(sizes) - 2, 0, -1):
            W, z, after = net.weights[l], trace.z[l][0], trace.delta[l + 1][0]
            slope = trace.a[l][0] * (1 - trace.a[l][0])
            mistakes = {
                "a sigma' that is left out": after @ W,
                "the first receiving node alone, without the sum": slope * after[0] * W[0],
                "the last receiving node alone, without the sum": slope * after[-1] * W[-1],
            }
            if W.shape[0] == W.shape[1]:
                mistakes["W transposed"] = slope * (W @ after)
            _compare(
                _as_array(_called(function, W, z, after), z.shape, "delta"), trace.delta[l][0],
                lambda j, l=l: f"delta of node {j} in layer {l}", mistakes,
                f"in a network {'-'.join(map(str, sizes))}",
            )  # fmt: skip
    return "Back along every outgoing edge, summed over the receiving nodes."


def _gradient(function: Callable[..., Any]) -> str:
    for seed, sizes in enumerate(SIZES):
        _, trace, _, _ = _problem(sizes, seed)
        for l in range(1, len(sizes)):
            delta, a = trace.delta[l][0], trace.a[l - 1][0]
            right = trace.dW[l]
            _compare(
                _as_array(_called(function, delta, a), right.shape, f"dW of layer {l}"), right,
                lambda k, j, l=l: f"dC/dW of the edge from node {j} to node {k} of layer {l}",
                {"the transpose": np.outer(a, delta), "a minus too many": -right},
                f"in a network {'-'.join(map(str, sizes))}",
            )  # fmt: skip
    return "delta_k a_j on every edge."


def _update(function: Callable[..., Any]) -> str:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 2)):
        net = Network(shape[::-1], loss="squared_error", dtype="float64", rng=rng)
        x, y = rng.normal(size=shape[1]), rng.normal(size=shape[0])
        W: Array = net.weights[0].copy()
        dW = net.trace([x], [y]).dW[1]
        from fcnn.optimizers import SGD

        net.train_step([x], [y], SGD(0.25))
        _compare(
            _as_array(_called(function, W, dW, 0.25), W.shape, "W"), net.weights[0],
            lambda k, j: f"W[{k}, {j}]",
            {"+ for -: it climbs": W + 0.25 * dW, "an eta that is left out": W - dW,
             "the gradient alone": -0.25 * dW}, "after a step of SGD with eta 0.25",
        )  # fmt: skip
    return "One step downhill."


def _train(function: Callable[..., Any]) -> str:
    from fcnn.datasets import load_digits

    images, y = load_digits()
    X = images.astype(np.float64) / 16
    predict = _called(function, X[:1400], y[:1400])
    if not callable(predict):
        raise _WrongError(
            f"expected a function that gives samples their digits, got {predict!r:.80}"
        )
    answers = _called(predict, X[1400:])
    try:
        found = np.asarray(answers)
    except ValueError:
        raise _WrongError("expected one digit for each sample") from None
    if found.dtype.kind not in "biuf":
        first = found.flat[0] if found.size else None
        raise _WrongError(f"expected digits as numbers, got {first!r}")
    if found.shape == (397, 10):
        found = found.argmax(axis=1)
    if found.shape != (397,):
        raise _WrongError(f"expected 397 digits, or rows of 10 outputs, got shape {found.shape}")
    right = found == y[1400:]
    if right.mean() < 0.85:
        first = int(np.flatnonzero(~right)[0])
        raise _WrongError(
            f"{right.mean():.1%} of 397 new digits are right, expected at least 85%; the first "
            f"that is wrong is number {first}, a {y[1400 + first]} taken for {found[first]}"
        )
    net = Network((64, 30, 10), rng=0)
    net.fit(X[:1400], y[:1400], epochs=20)
    engine = net.evaluate(X[1400:], y[1400:])["accuracy"]
    return (
        f"{right.mean():.1%} of 397 new digits are right; a network of 30 nodes of the engine's "
        f"has {engine:.1%}."
    )


EXERCISES = {
    "forward": Exercise(
        "forward(W, b, x)",
        "Return two lists, z and a, with an array for each layer 1..L. Every node is a sigmoid. "
        "W[0] is W^1 of shape (n_1, n_0), b[0] is b^1, x the input.",
        r"\begin{gathered} z^l_k = \sum_j W^l_{kj}\, a^{l-1}_j + b^l_k \\ "
        r"a^l_k = \sigma(z^l_k) = \frac{1}{1 + e^{-z^l_k}} \end{gathered}",
        _forward,
    ),
    "output_delta": Exercise(
        "output_delta(z, a, y)",
        "Return delta of the output layer, an array, from its z, its a and the target y, for the "
        "loss C, half the squared error.",
        r"\begin{gathered} C = \tfrac12 \sum_k (a_k - y_k)^2 \\ "
        r"\delta^L_k = (a^L_k - y_k)\, \sigma'(z^L_k) \\ \sigma' = \sigma (1 - \sigma) "
        r"\end{gathered}",
        _output_delta,
    ),
    "hidden_delta": Exercise(
        "hidden_delta(W, z, delta)",
        "Return delta of layer l, from W and delta of layer l + 1 and z of layer l: back along "
        "every outgoing edge, summed over the receiving nodes k.",
        r"\delta^l_j = \sigma'(z^l_j) \sum_k \delta^{l+1}_k\, W^{l+1}_{kj}",
        _hidden_delta,
    ),
    "gradient": Exercise(
        "gradient(delta, a)",
        "Return dC/dW of layer l, of shape (n_l, n_(l-1)), from its delta and from a of layer "
        "l - 1.",
        r"\frac{\partial C}{\partial W^l_{kj}} = \delta^l_k\, a^{l-1}_j",
        _gradient,
    ),
    "update": Exercise(
        "update(W, dW, eta)",
        "Return W after one step of gradient descent with the learning rate eta.",
        r"W \leftarrow W - \eta\, \frac{\partial C}{\partial W}",
        _update,
    ),
    "train": Exercise(
        "train(X, y)",
        "Put them together: train a network of your own on 1,400 handwritten digits (rows of 64 "
        "pixels from 0 to 1) and return a function that gives new rows their digits. 85% of digits "
        "that it has not seen should be right.",
        r"64 \to 30 \to 10",
        _train,
    ),
}  # fmt: skip
