"""Training on derivatives: what a network's Jacobian is to be, and how much that counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._checkpoint import checksum
from fcnn._dispatch import core
from fcnn._sparse import SparseRows
from fcnn.errors import DivergenceError, nonfinite_parameter
from fcnn.optimizers import as_optimizer

Array = NDArray[Any]


class JacobianTerm:
    """w/2 |J - dY|^2, summed over the entries of a Jacobian, averaged over samples by weight.

    Parameters
    ----------
    targets : numpy.ndarray, shape (s, n_L, n_0)
        dY of all samples.
    weight : float
        w.
    """

    def __init__(self, targets: Array, weight: float) -> None:
        self._targets = targets
        self._weight = weight

    def fingerprint(self) -> dict[str, str]:
        """Return what tells it from another."""
        return {"all": checksum(self._targets, np.float64(self._weight))}

    def add(
        self,
        network: core.Network,
        X: Any,
        rows: slice | Array,
        sample_weight: Array | None,
        gradient: Array,
        n_threads: int | None,
    ) -> float:
        """Return the loss of some samples, and add its gradient to one.

        Parameters
        ----------
        X : numpy.ndarray or SparseRows, shape (., n_0)
            Theirs alone.
        rows : slice or array of int
            Which of all samples they are.
        """
        if isinstance(X, SparseRows):
            X = X.toarray()  # each input has a derivative, a zero, too
        targets = np.ascontiguousarray(self._targets[rows])
        return core.add_jacobian_gradient(
            network, X, targets, self._weight, sample_weight, n_threads, gradient
        )


def as_term(
    network: core.DifferentiatedNetwork,
    targets: Any,
    weight: Any,
    rows: int | None,
    *,
    of_one_row: bool = False,
) -> JacobianTerm | None:
    """Return what `jacobian_targets` and `jacobian_weight` are, None without both.

    Parameters
    ----------
    rows : int or None
        Samples; None is an iterable of batches.
    of_one_row : bool
        X is a single sample without its dimension, and so may be the targets.
    """
    if targets is None and weight is None:
        return None
    if weight is None:
        raise ValueError("jacobian_weight: expected a number with jacobian_targets, got None")
    w = check.as_number("jacobian_weight", weight, least=0)
    if targets is None:
        raise ValueError("jacobian_targets: expected derivatives with jacobian_weight, got None")
    if rows is None:
        raise ValueError(
            "jacobian_targets: they go with X and y as arrays, got an iterable of batches"
        )
    sizes = network.sizes[0], network.sizes[-1]
    return JacobianTerm(as_targets(targets, rows, *sizes, network.dtype, of_one_row), w)


def as_targets(
    targets: Any,
    rows: int,
    n_0: int,
    n_L: int,
    dtype: np.dtype[Any],
    of_one_row: bool = False,
    name: str = "jacobian_targets",
) -> Array:
    """Return what Jacobians are to be, shape (rows, n_L, n_0): see `as_term`."""
    shapes: list[tuple[int, ...]] = [(rows, n_L, n_0)]
    if of_one_row:
        shapes.append((n_L, n_0))
    elif n_L == 1:
        shapes.append((rows, n_0))
    array = check.as_numeric(name, targets)
    if array.shape not in shapes:
        wanted = check.listed([str(shape) for shape in shapes])
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
    array = check.cast_exactly(name, array, dtype)
    check.refuse_nonfinite(name, array)
    return array.reshape(shapes[0])


def refuse_dropout(options: check.StepOptions) -> None:
    """Refuse dropout beside targets of a Jacobian."""
    if options.dropout is not None:
        raise ValueError(
            "dropout: not with jacobian_targets, which are of the network without dropped nodes"
        )


def gradients(
    network: core.DifferentiatedNetwork,
    X: Any,
    y: Any,
    sample_weight: Any,
    n_threads: int | None,
    loss: Any,
    of: Any,
    delta: Any,
    out: Array | None,
    targets: Any,
    weight: Any,
) -> tuple[float, Array]:
    """Return the loss and its gradient: see `Network.gradients`, whose arguments they are."""
    if delta is not None:
        raise TypeError("delta: it has no place for jacobian_targets, give it alone")
    inputs, term, of_samples = _with_term(network, X, sample_weight, targets, weight)
    value, gradient = network.gradients(X, y, sample_weight, n_threads, loss=loss, of=of, out=out)
    value += term.add(network, inputs, slice(None), of_samples, gradient, n_threads)
    return value, gradient


def train_step(
    network: core.DifferentiatedNetwork,
    X: Any,
    y: Any,
    optimizer: Any,
    sample_weight: Any,
    n_threads: int | None,
    given: tuple[Any, ...],
    loss: Any,
    of: Any,
    targets: Any,
    weight: Any,
) -> float:
    """Make an update: see `Network.train_step`; `given` are l1 and those behind it."""
    as_optimizer(optimizer)
    name = network.loss if loss is None else None
    options = check.as_step_options(len(network.sizes) - 1, name, *given)
    refuse_dropout(options)
    inputs, term, of_samples = _with_term(network, X, sample_weight, targets, weight)
    value: float
    if loss is not None:
        value, gradient = network.gradients(X, y, sample_weight, n_threads, loss=loss, of=of)
    elif of != "a":
        raise ValueError(f"of: it says what a loss of your own is of, got {of!r} without one")
    else:
        _, y, _ = check.as_batch(X, y, None, network.sizes, network.loss, network.dtype)
        of_batch = options._replace(l1=0.0, l2=0.0, clip_norm=None)
        value, gradient = core.step_gradient(network, inputs, y, of_samples, n_threads, of_batch)
    value += term.add(network, inputs, slice(None), of_samples, gradient, n_threads)
    penalty = core.penalty_of(network, options)
    try:
        refuse_infinite(value, network)
        core.update(network, optimizer, gradient, options)
    except DivergenceError:
        check.refuse_nonfinite("X", inputs)
        raise
    return value + penalty


def refuse_infinite(value: float, network: Any) -> None:
    """Refuse a step of a network whose loss is not finite."""
    if not math.isfinite(value):
        raise DivergenceError(
            f"the loss became {value} in step 1; the weights are those before that step"
            + nonfinite_parameter(network)
        )


def _with_term(
    network: Any, X: Any, sample_weight: Any, targets: Any, weight: Any
) -> tuple[Any, JacobianTerm, Array | None]:
    """Return inputs as rows, what is asked of their Jacobians, and what each sample counts."""
    inputs = network._as_inputs(X)
    is_one = inputs.ndim == 1
    if is_one:
        inputs = inputs[np.newaxis]
    term = as_term(network, targets, weight, len(inputs), of_one_row=is_one)
    assert term is not None
    return inputs, term, check.as_sample_weight(sample_weight, len(inputs), network.dtype)
