"""Checks of arguments: each returns what the core takes, or says what came and was expected."""

# Annotations stay text: np.random.Generator, evaluated, would import numpy.random, which takes
# longer than all of fcnn.
from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn._dispatch import core
from fcnn._frames import block_of, is_list, library_of, refuse_columns, refuse_plan
from fcnn._pieces import converted
from fcnn._sparse import SparseRows, canonical, is_sparse

Array = NDArray[Any]

# The core's tables: names of activations, those for the output alone, and for each loss the output
# activations that it is defined for, its natural one first.
ACTIVATIONS = core.ACTIVATIONS
OUTPUT_ONLY = core.OUTPUT_ONLY
HIDDEN_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name not in OUTPUT_ONLY)
OUTPUT_ACTIVATIONS = core.OUTPUT_ACTIVATIONS
# What each loss is defined for: numbers, counts, probabilities or classes.
TARGETS = core.TARGETS


def listed(names: Sequence[str]) -> str:
    """Return names for a message: a, b or c."""
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]


# What else losses and activations are called, without capitals and underscores. Left out is what
# means two of them, as log loss does.
SYNONYMS = {
    "mse": "squared_error",
    "l2loss": "squared_error",
    "meansquarederror": "squared_error",
    "mae": "absolute_error",
    "l1loss": "absolute_error",
    "meanabsoluteerror": "absolute_error",
    "bce": "binary_cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "ce": "cross_entropy",
    "poissonnll": "poisson",
    "smoothl1": "huber",
    "pinball": "quantile",
    "linear": "identity",
    "logistic": "sigmoid",
    "exponential": "exp",
}


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" of the choice that is nearest to a text, or an empty text."""
    import difflib

    given = {_plain(choice): choice for choice in choices}
    near = difflib.get_close_matches(_plain(value), given, n=1)
    return f"; did you mean {given[near[0]]!r}?" if near else ""


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "_- ")


def as_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return a value that is one of the choices, also as ReLU, leaky-relu or mse."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {listed(choices)}, got {value!r}")
    if value in choices:
        return value
    plain = {_plain(choice): choice for choice in choices}
    found = plain.get(_plain(value)) or SYNONYMS.get(_plain(value), "")
    if found in choices:
        return found
    hint = did_you_mean(value, choices)
    raise ValueError(f"{name}: expected {listed(choices)}, got {value!r}{hint}")


def as_count(name: str, value: Any, least: int = 1) -> int:
    """Return a value as an int."""
    if type(value) is int and value >= least:
        return value
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if count < least:
        raise ValueError(f"{name}: expected at least {least}, got {count}")
    return count


def as_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return a value as a finite float within bounds."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None
    if (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (below is None or number < below)
        and (most is None or number <= most)
    ):
        return number
    bounds = (("at least", least), ("greater than", above), ("less than", below), ("at most", most))
    texts = " and ".join(f"{text} {bound:g}" for text, bound in bounds if bound is not None)
    wanted = f"a finite number {texts}".strip()
    raise ValueError(f"{name}: expected {wanted}, got {value!r}")


def as_flag(name: str, value: Any) -> bool:
    """Return a value that is True or False; a text like "no" would count as True."""
    if value is True or value is False:
        return value
    if not isinstance(value, np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_generator(rng: Any) -> np.random.Generator:
    """Return a random generator for a seed or a generator."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(
            f"rng: expected a non-negative integer, None or a numpy.random.Generator, got {rng!r}"
        ) from None


# --- Data ----------------------------------------------------------------------------------------


_REALS = np.dtype(np.float32), np.dtype(np.float64)


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64 as a numpy.dtype."""
    try:
        given = None if dtype is None else np.dtype(dtype)
    except Exception:  # NumPy's parser raises TypeError, ValueError, SyntaxError, ...
        given = None
    # `is None` first: np.dtype(np.float64) == None is True.
    if given is None or given not in _REALS:
        raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}")
    return given


def as_numeric(name: str, values: Any) -> Array:
    """Return any array-like of real numbers as an array, uncopied where possible.

    Array-likes are sequences, buffers, data frames and what has `__array__`, `__array_interface__`
    or, in the CPU's memory, `__dlpack__`.
    """
    array = values if type(values) is np.ndarray else _as_array(name, values)
    if array.dtype.kind == "O":  # a data frame of several types, Fractions, ...
        array = _from_objects(name, array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def _as_array(name: str, values: Any) -> Array:
    if library_of(values):
        refuse_plan(name, values)
        refuse_columns(name, values)
        block = block_of(values)
        if block is not None:
            return block
    # NumPy does not ask for it, and may take the object for a sequence.
    only_dlpack = hasattr(values, "__dlpack__") and not hasattr(values, "__array__")
    try:
        array = np.from_dlpack(values) if only_dlpack else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected a rectangular array of numbers ({error})") from None
    # Of tensors on other devices, that require a gradient, of types that NumPy does not have.
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(
            f"{name}: expected numbers in the CPU's memory that NumPy can read, got "
            f"{type(values).__name__} ({error})"
        ) from error
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: expected an array without masked entries")
    return array


def _from_objects(name: str, array: Array) -> Array:
    for place, value in np.ndenumerate(array):
        try:
            if isinstance(value, (str, bytes)):  # which float() would read
                raise TypeError
            if value is not None:  # NaN to NumPy
                float(value)
        except OverflowError:
            raise ValueError(f"{name}: holds numbers too large for float64") from None
        except (TypeError, ValueError):
            got = f"{value!r} at [{', '.join(map(str, place))}]" if place else type(value).__name__
            if place and is_list(value):
                got += "; numpy.stack(column.to_list()) makes an array of lists (Arrow: to_pylist)"
            raise TypeError(f"{name}: expected numbers, got {got}") from None
    # Integers stay integers: class labels of a data frame of several types.
    whole = all(isinstance(v, (int, np.integer)) for v in array.flat)
    try:
        return array.astype(np.int64 if whole and array.size else np.float64)
    except OverflowError:
        raise ValueError(f"{name}: holds numbers too large for float64") from None


def cast(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return a C-contiguous, aligned, native array of the dtype; refuse overflow."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array  # numpy.require would say the same in 4 us, as long as a small training step
    try:
        with np.errstate(over="raise"):
            return converted(array, dtype)
    except FloatingPointError:
        raise ValueError(f"{name}: holds numbers too large for {dtype}") from None


def as_inputs(name: str, X: Any, n_in: int, dtype: np.dtype[Any]) -> Array:
    """Return inputs, shape (s, n_in) or (n_in,), as the core takes them."""
    array = as_numeric(name, X)
    if array.ndim not in (1, 2) or array.shape[-1] != n_in:
        message = f"{name}: expected shape (samples, {n_in}) or ({n_in},), got {array.shape}"
        if array.ndim == 1 and n_in == 1:
            message += f"; {name}[:, None] makes samples of one feature"
        raise ValueError(message)
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one sample, got shape {array.shape}")
    return cast(name, array, dtype)


def as_any_inputs(name: str, X: Any, n_in: int, dtype: np.dtype[Any]) -> Array | SparseRows:
    """Return inputs like `as_inputs`, or a sparse matrix of shape (s, n_in) by its rows."""
    if not is_sparse(X):
        return as_inputs(name, X, n_in, dtype)
    values, columns, begins, shape = canonical(name, X)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {values.dtype}")
    if shape[1] != n_in:
        raise ValueError(f"{name}: expected shape (samples, {n_in}), got {shape}")
    if shape[0] == 0:
        raise ValueError(f"{name}: expected at least one sample, got shape {shape}")
    return SparseRows(cast(name, values, dtype), columns, begins, n_in)


def refuse_nonfinite(name: str, array: Array | SparseRows, rows: Array | None = None) -> None:
    """Raise ValueError naming the first NaN or infinity.

    `rows` are the indices that the rows of the array have for the user, if not 0, 1, 2, ...
    """
    if isinstance(array, SparseRows):
        if not core.all_finite(array.values):
            array.refuse_nonfinite(name)
        return
    if not core.all_finite(array):
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        named = first if rows is None else (int(rows[first[0]]), *first[1:])
        place = ", ".join(map(str, named))
        raise ValueError(f"{name}: expected finite numbers, got {array[first]} at [{place}]")


def as_batch(
    X: Any, y: Any, sample_weight: Any, sizes: Sequence[int], loss: str, dtype: np.dtype[Any]
) -> tuple[Any, Array, Array | None]:
    """Return (X, y, sample_weight) of one call, as the core takes them: see `as_targets`.

    A single sample, X of shape (n_0,), may have a y without its dimension of samples, too.
    """
    inputs = as_any_inputs("X", X, sizes[0], dtype)
    n_out = sizes[-1] // core.outputs_per_target(loss)
    targets = _numeric_targets("y", y, loss)
    if not isinstance(inputs, SparseRows) and inputs.ndim == 1:
        inputs = inputs[np.newaxis]
        if targets.ndim == 0 or (targets.ndim == 1 and targets.shape == (n_out,) and n_out > 1):
            targets = targets[np.newaxis]
    rows = len(inputs)
    return (
        inputs,
        as_targets("y", targets, rows, n_out, loss, dtype),
        as_sample_weight(sample_weight, rows, dtype),
    )


def as_targets(
    name: str,
    y: Any,
    rows: int,
    n_out: int,
    loss: str | None,
    dtype: np.dtype[Any],
    rows_of_user: Array | None = None,
) -> Array:
    """Return targets of `rows` samples as int64 labels (rows,) or as rows (rows, n_out).

    n_out: the outputs, but of a loss that has several for each target the targets.

    Those of a loss of the user's own, None here, are left as they are but for being numbers.
    `rows_of_user`: see `refuse_nonfinite`.
    """
    array = _numeric_targets(name, y, loss)
    if loss is None:
        if array.ndim == 0 or len(array) != rows:
            raise ValueError(f"{name}: expected {rows} rows, got shape {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        return array
    if TARGETS[loss] == "classes":
        if array.shape == (rows,):
            return _labels(name, array, n_out)
        shapes = f"({rows},) for labels or ({rows}, {n_out}) for one-hot rows"
    else:
        if n_out == 1 and array.shape == (rows,):
            array = array[:, np.newaxis]
        shapes = f"({rows}, {n_out})" + (f" or ({rows},)" if n_out == 1 else "")
    if array.shape != (rows, n_out):
        message = f"{name}: expected shape {shapes}, got {array.shape}"
        if array.shape == (rows, 1):
            message += "; y.ravel() makes one dimension of it"
        elif array.shape == (rows,) and array.dtype.kind in "iu":
            message += f"; numpy.eye({n_out})[y] makes one-hot rows of labels"
        raise ValueError(message)
    floats = cast_exactly(name, array, dtype)
    refuse_nonfinite(name, floats, rows_of_user)
    _check_range(name, floats, loss, rows_of_user)
    return floats


def cast_exactly(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `cast`'s array; refuse integers that change by it."""
    floats = cast(name, array, dtype)
    if array.dtype.kind in "iu" and not _is_exact(floats, array):
        raise ValueError(f"{name}: holds integers that {dtype} cannot represent")
    return floats


def _is_exact(floats: Array, integers: Array) -> bool:
    """Return whether a conversion of integers to floats was exact.

    Compared as integers: NumPy compares int64 with floats in float64, which rounds likewise.
    """
    limit = 2.0 ** (64 if integers.dtype.kind == "u" else 63)
    return bool((floats < limit).all()) and np.array_equal(floats.astype(integers.dtype), integers)


def _numeric_targets(name: str, y: Any, loss: str | None) -> Array:
    """Return targets as an array of numbers; say it in terms of labels where labels are meant."""
    try:
        return as_numeric(name, y)
    except TypeError as error:
        if loss is None or TARGETS[loss] != "classes":
            raise
        raise TypeError(
            f"{error}; class labels are integers from 0: numpy.unique(y, return_inverse=True) "
            "numbers names"
        ) from None


def _labels(name: str, array: Array, n_out: int) -> Array:
    if array.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(array))  # they make floats of integers
        found = f", nan at [{missing[0]}]" if missing.size else ""
        raise TypeError(
            f"{name}: class labels must be integers, got dtype {array.dtype}{found}; "
            "y.astype(int) converts whole numbers"
        )
    labels = cast(name, array, np.dtype(np.int64))
    if not core.all_indices(labels, n_out):
        low, high = array.min(), array.max()
        raise ValueError(
            f"{name}: class labels must be from 0 to {n_out - 1}, got {low if low < 0 else high}; "
            "numpy.unique(y, return_inverse=True) numbers any labels from 0"
        )
    return labels


def _check_range(name: str, y: Array, loss: str, rows: Array | None) -> None:
    targets = TARGETS[loss]
    if targets == "probabilities" and not (y.min() >= 0 and y.max() <= 1):
        bad = y.min() if y.min() < 0 else y.max()
        raise ValueError(f"{name}: {loss} takes targets from 0 to 1, got {bad}")
    if targets == "counts" and not y.min() >= 0:
        raise ValueError(f"{name}: {loss} takes targets of at least 0, got {y.min()}")
    if targets == "classes":
        sums = y.sum(axis=1, dtype=np.float64)
        # A row of float32 probabilities misses 1 by about 1e-7 for each entry.
        wrong = np.flatnonzero((np.abs(sums - 1) > 1e-4) | (y.min(axis=1) < 0))
        if wrong.size:
            row = wrong[0] if rows is None else rows[wrong[0]]
            raise ValueError(
                f"{name}: one-hot rows must be probabilities that sum to 1, got "
                f"{y[wrong[0]]} in row {row}"
            )


def as_sample_weight(
    sample_weight: Any, rows: int, dtype: np.dtype[Any], name: str = "sample_weight"
) -> Array | None:
    """Return sample weights, shape (rows,), or None."""
    if sample_weight is None:
        return None
    array = as_numeric(name, sample_weight)
    if array.ndim == 0 and rows == 1:
        array = array[np.newaxis]
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected shape ({rows},), got {array.shape}")
    weight = cast(name, array, dtype)
    refuse_nonfinite(name, weight)
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError(
            f"{name}: expected weights of at least 0, not all 0, got "
            f"{weight.min()} to {weight.max()}"
        )
    return weight


# --- Options of a training -----------------------------------------------------------------------


def as_dropout(dropout: Any, L: int) -> tuple[float, ...] | None:
    """Return the probabilities of the layers 0..L-1; None if nothing is dropped."""
    if type(dropout) is float or (
        np.ndim(dropout) == 0 and not isinstance(dropout, (str, bytes, set, dict))
    ):
        rate = as_number("dropout", dropout, least=0, below=1)
        if rate and L == 1:
            raise ValueError(
                f"dropout: there is no hidden layer to drop nodes of; [{rate:g}] drops inputs"
            )
        rates = (0.0, *[rate] * (L - 1))
    else:
        try:
            given = list(() if isinstance(dropout, (str, bytes)) else dropout)
        except TypeError:
            given = []
        if len(given) != L:
            raise ValueError(
                f"dropout: expected one number, or {L}, for the inputs and each hidden layer; "
                f"got {dropout!r}"
            )
        rates = tuple(
            as_number(f"dropout[{l}]", rate, least=0, below=1) for l, rate in enumerate(given)
        )
    return rates if any(rates) else None


class StepOptions(NamedTuple):
    """What an update is given beside its batch: checked by `as_step_options`, read by the core.

    Attributes
    ----------
    l1, l2 : float
        The penalty l1 sum |W| + l2 / 2 sum W^2 (weights, not biases) joins the loss.
    clip_norm : float or None
        A longer gradient is shortened to this Euclidean norm.
    dropout : tuple of float, length L, or None
        Probability that a node of layer 0..L-1 is dropped.
    label_smoothing : float
        e in y <- (1 - e) y + e / n_L for the cross entropy, + e / 2 for the binary one.
    penalty_per_sample : bool
        Divide the penalty by the samples of the batch (their weights), as scikit-learn does.
    trainable : tuple of float, length 2 L, or None
        Factors of the learning rate of W^1, b^1, W^2, ...; what has 0 stays as it is.
    """

    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    dropout: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    penalty_per_sample: bool = False
    trainable: tuple[float, ...] | None = None


_NO_OPTIONS = StepOptions()


def as_step_options(
    L: int,
    loss: str | None,
    l1: Any,
    l2: Any,
    clip_norm: Any,
    dropout: Any,
    label_smoothing: Any,
    trainable: Any,
) -> StepOptions:
    """Return the options of an update.

    `loss` is the network's, None a loss of the user's own.
    """
    if (
        type(l1) is type(l2) is type(dropout) is type(label_smoothing) is float
        and clip_norm is trainable is None
        and not (l1 or l2 or dropout or label_smoothing)
    ):
        return _NO_OPTIONS  # at once: the checks below take as long as a small training step
    l1, l2 = as_number("l1", l1, least=0), as_number("l2", l2, least=0)
    if clip_norm is not None:
        clip_norm = as_number("clip_norm", clip_norm, above=0)
    rates = as_dropout(dropout, L)
    smoothing = as_number("label_smoothing", label_smoothing, least=0, below=1)
    if smoothing and (loss is None or TARGETS[loss] not in ("classes", "probabilities")):
        given = "a loss of your own" if loss is None else repr(loss)
        raise ValueError(
            "label_smoothing: it goes with the loss cross_entropy or binary_cross_entropy, "
            f"got {smoothing:g} with {given}"
        )
    moving = as_trainable(trainable, L)
    return StepOptions(l1, l2, clip_norm, rates, smoothing, trainable=moving)


def as_trainable(trainable: Any, L: int) -> tuple[float, ...] | None:
    """Return the rates of W^1, b^1, W^2, ...; None if all of them are 1."""
    if trainable is None:
        return None
    if not isinstance(trainable, Mapping):
        raise TypeError(
            "trainable: expected a dict such as {1: False, 2: 0.1, (3, 'W'): False} from layers to "
            f"True, False or factors of the learning rate, got {trainable!r}"
        )
    rates = [1.0] * (2 * L)
    # A layer's W or b says more than the layer.
    for key, value in sorted(trainable.items(), key=lambda item: isinstance(item[0], tuple)):
        of_part = isinstance(key, tuple) and len(key) == 2
        l, name = key if of_part else (key, None)
        try:
            layer = 0 if isinstance(l, (bool, np.bool_)) else operator.index(l)
        except TypeError:
            layer = 0
        if not 1 <= layer <= L or (of_part and name not in ("W", "b")):
            raise ValueError(
                f"trainable: expected layers 1 to {L}, (layer, 'W') or (layer, 'b'), got {key!r}"
            )
        if isinstance(value, (bool, np.bool_)):
            value = float(value)
        rate = as_number(f"trainable[{key!r}]", value, least=0)
        if name != "b":
            rates[2 * layer - 2] = rate
        if name != "W":
            rates[2 * layer - 1] = rate
    if not any(rates):
        raise ValueError(f"trainable: nothing would be trained, got {trainable!r}")
    return None if all(rate == 1 for rate in rates) else tuple(rates)


def named_rates(rates: Sequence[float] | None) -> dict[Any, Any] | None:
    """Return rates as users give them: see `as_trainable`."""
    if rates is None:
        return None
    shown: dict[Any, Any] = {}
    for layer, (of_W, of_b) in enumerate(zip(rates[::2], rates[1::2], strict=True), start=1):
        pairs = {layer: of_W} if of_W == of_b else {(layer, "W"): of_W, (layer, "b"): of_b}
        shown.update((key, rate or False) for key, rate in pairs.items() if rate != 1)
    return shown


def as_class_weight(class_weight: Any, K: int) -> Array | None:
    """Return the weight of each class 0..K-1, shape (K,); None for "balanced"."""
    if isinstance(class_weight, str):
        as_choice("class_weight", class_weight, ["balanced"])
        return None
    if not isinstance(class_weight, dict):
        raise TypeError(
            f'class_weight: expected a dict from labels to weights or "balanced", got '
            f"{class_weight!r}"
        )
    weights = np.ones(K)
    for label, weight in class_weight.items():
        try:
            index = operator.index(label)
        except TypeError:
            index = -1
        if not 0 <= index < K:
            raise ValueError(f"class_weight: expected labels from 0 to {K - 1}, got {label!r}")
        weights[index] = as_number(f"class_weight[{label!r}]", weight, least=0)
    if not weights.any():
        raise ValueError("class_weight: expected at least one weight greater than 0, got none")
    return weights
