"""Scores of a training's outputs, and of numbers in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn._architecture import as_loss
from fcnn._dispatch import core
from fcnn.metrics import _equations as equations
from fcnn.metrics._checks import (
    as_alike,
    as_baseline,
    as_columns,
    as_finite,
    as_pair,
    as_probabilities,
    as_quantiles,
    as_sequence,
    as_weight,
    or_nan,
)

__all__ = [
    "NumberScores",
    "accuracy",
    "coverage",
    "d2_quantile",
    "mae",
    "pinball",
    "r2",
    "rmse",
    "score",
]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


def accuracy(outputs: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of samples whose every output is right.

    Parameters
    ----------
    outputs : array-like, shape (s, n) or (s,)
        Probabilities: of each class, or each of a "yes". Of classes they may be any numbers of
        which the largest is the answer.
    y : array-like
        Integer labels (s,) where there are several outputs, for which the most probable class
        counts; or one number from 0 to 1 for each output, which counts as "yes" above 1/2.
    sample_weight : array-like, shape (s,), optional

    Raises
    ------
    ValueError, TypeError
        If shapes do not agree, a label is none of 0 to n - 1, or what is to be a probability is not
        from 0 to 1: labels of three classes and more in one column would be.
    """
    columns = as_columns("outputs", outputs)
    given = check.as_numeric("y", y)
    rows, n = columns.shape
    if n > 1 and given.ndim == 1:
        given = check.as_targets("y", given, rows, n, "cross_entropy", np.dtype(np.float64))
    else:
        given = as_finite(given)
        columns = as_alike("outputs", columns, given)
        given, columns = as_probabilities("y", given), as_probabilities("outputs", columns)
    weight = as_weight(sample_weight, given)
    return or_nan(columns, equations.accuracy(columns, given, weight))


def r2(outputs: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return 1 - (squared error / variance of y), averaged over the outputs.

    An output whose targets are all alike scores 1 if it is exact and 0 if not, as in
    ``sklearn.metrics.r2_score``.

    Parameters
    ----------
    outputs, y : array-like, shape (s, n) or (s,)
    sample_weight : array-like, shape (s,), optional
    """
    columns, targets = as_pair(outputs, y)
    return equations.r2(columns, targets, as_weight(sample_weight, targets))


def pinball(outputs: ArrayLike, y: ArrayLike, levels: Sequence[float]) -> Array:
    """Return q (y - a) where a < y, (1 - q) (a - y) elsewhere, for each output a of level q.

    Parameters
    ----------
    outputs : array-like, shape (s, q m)
        As networks of the loss quantile have them: all m first ones, then all second ones.
    y : array-like, shape (s, m) or (s,)
    levels : sequence of float, length q
        Between 0 and 1.

    Returns
    -------
    numpy.ndarray, shape (s, q m)
    """
    return equations.pinball(*as_quantiles(outputs, y, levels))


def d2_quantile(
    outputs: ArrayLike,
    y: ArrayLike,
    levels: Sequence[float],
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return 1 - (quantile loss / that of the best constant), averaged over levels and targets.

    The constants are quantiles of y itself. A target that is always alike scores 1 where it is
    exact and 0 where not. R. Koenker, J. Machado: Goodness of fit and related inference processes
    for quantile regression, Journal of the American Statistical Association 94, 1999.

    Parameters
    ----------
    outputs, y, levels
        As for `pinball`.
    sample_weight : array-like, shape (s,), optional
    """
    columns, targets, q = as_quantiles(outputs, y, levels)
    return equations.d2_quantile(columns, targets, q, as_weight(sample_weight, targets))


def coverage(
    low: ArrayLike, high: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Return the share of targets that lie in their interval, ends included.

    Parameters
    ----------
    low, high, y : array-like, shape (s, m) or (s,)
    sample_weight : array-like, shape (s,), optional
    """
    targets = as_finite(y)
    ends = [as_alike(name, end, targets) for name, end in (("low", low), ("high", high))]
    inside = (ends[0] <= targets) & (targets <= ends[1])
    share = np.average(inside, axis=0, weights=as_weight(sample_weight, targets))
    return or_nan(np.stack(ends), float(np.mean(share)))


def score(
    loss: str, outputs: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[str, float]:
    """Return the name and the value of the usual score for a loss.

    Parameters
    ----------
    loss : str
        As of `fcnn.Network`.
    outputs : array-like, shape (s, n_L) or (s,)
        What `fcnn.Network.predict` returns.
    y, sample_weight : array-like
        What `fcnn.Network.evaluate` takes.
    """
    loss = as_loss(loss)
    columns, each = as_columns("outputs", outputs), core.outputs_per_target(loss)
    rows, n_L = columns.shape
    if n_L % each:
        raise ValueError(f"outputs: expected {each} for each target of {loss}, got {n_L}")
    kind = np.dtype(np.float64)
    targets = check.as_targets("y", y, rows, n_L // each, loss, kind)
    weight = as_weight(sample_weight, targets)
    if check.TARGETS[loss] == "probabilities":
        columns = as_probabilities("outputs", columns)
    name, value = equations.score(loss, columns, targets, weight)
    return name, or_nan(columns, value)


def _errors(outputs: Any, y: Any) -> Array:
    columns, targets = as_pair(outputs, y)
    errors: Array = columns.astype(np.float64) - targets
    return errors


def rmse(outputs: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return the root mean square error of each output, sqrt(mean((outputs - y)^2)), shape (n,).

    Parameters
    ----------
    outputs, y : array-like, shape (s, n) or (s,)
    """
    return np.asarray(np.sqrt(np.mean(_errors(outputs, y) ** 2, axis=0)))


def mae(outputs: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return the mean absolute error of each output, mean(|outputs - y|), shape (n,).

    Parameters
    ----------
    outputs, y : array-like, shape (s, n) or (s,)
    """
    return np.asarray(np.mean(np.abs(_errors(outputs, y)), axis=0))


@dataclass(frozen=True, eq=False)
class NumberScores:
    """Scores of numbers in their own units, for each of n outputs.

    Attributes
    ----------
    names : tuple of str
        Of the outputs; empty if they have none.
    rows : int
    r2, rmse, mae : numpy.ndarray of float64, shape (n,)
        See `fcnn.metrics.r2`, `rmse` and `mae`.
    baseline : numpy.ndarray of float64, shape (n,)
        The trivial answers: the means.
    baseline_r2, baseline_rmse, baseline_mae : numpy.ndarray of float64, shape (n,)
        Their scores.
    alike : numpy.ndarray of float64, shape (n,)
        The value of all targets, where there is no other; else NaN.
    levels : tuple of float
        Of quantiles: which ones there are; else empty.
    coverage : float or None
        The share of the targets from the lowest to the highest of several quantiles.
    d2 : numpy.ndarray of float64, shape (n,), or None
        Of quantiles, see `fcnn.metrics.d2_quantile`: what tells whether they are of use.
    """

    names: tuple[str, ...]
    rows: int
    r2: NDArray[np.float64]
    rmse: NDArray[np.float64]
    mae: NDArray[np.float64]
    baseline: NDArray[np.float64]
    baseline_r2: NDArray[np.float64]
    baseline_rmse: NDArray[np.float64]
    baseline_mae: NDArray[np.float64]
    alike: NDArray[np.float64]
    levels: tuple[float, ...] = ()
    coverage: float | None = None
    d2: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        outputs: ArrayLike,
        y: ArrayLike,
        names: Sequence[str] = (),
        baseline: ArrayLike | None = None,
        levels: tuple[float, ...] = (),
        coverage: float | None = None,
        d2: ArrayLike | None = None,
    ) -> NumberScores:
        """Return the scores of numbers.

        Parameters
        ----------
        outputs, y : array-like, shape (s, n) or (s,)
        names : sequence of str, optional
        baseline : array-like, shape (n,), optional
            The trivial answers; None takes the means of y.
        levels, coverage, d2
            See `NumberScores`.
        """
        answers, y = (part.astype(np.float64, copy=False) for part in as_pair(outputs, y))
        n = y.shape[1]
        names = as_sequence("names", names, n)
        means = y.mean(axis=0) if baseline is None else as_baseline(baseline, n)
        trivial = np.broadcast_to(means, y.shape)
        each = range(n)
        # The mean of equal numbers can miss them by a rounding error: its r2 is 0, not computed.
        of_trivial = [
            0.0 if baseline is None else equations.r2(trivial[:, [k]], y[:, [k]]) for k in each
        ]
        return cls(
            names, len(y),
            np.array([equations.r2(answers[:, [k]], y[:, [k]]) for k in each]), rmse(answers, y),
            mae(answers, y),
            means, np.array(of_trivial), rmse(trivial, y), mae(trivial, y),
            np.where((y == y[:1]).all(axis=0), y[:1].mean(axis=0), np.nan), levels, coverage,
            None if d2 is None else _of_each("d2", d2, n),
        )  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should keep a reader from trusting the answers; empty if nothing does."""
        found = []
        for k, error in enumerate(self.rmse):
            of = f"{self.names[k]!r}: " if len(self.names) > 1 else ""
            if not np.isnan(self.alike[k]):
                found.append(
                    f"{of}all targets are {self.alike[k]:.6g}: the scores do not tell a good model"
                )
            elif self.d2 is not None:  # a right quantile may be farther off than the mean
                if not self.d2[k] > 0:
                    found.append(
                        f"{of}the network is no better than always answering the same quantiles: "
                        f"d2 {self.d2[k]:.4g}"
                    )
            elif not error < self.baseline_rmse[k]:
                found.append(
                    f"{of}the network is no better than always answering the mean, "
                    f"{self.baseline[k]:.6g}: r2 {self.r2[k]:.4g}, root mean square error "
                    f"{error:.4g}, that has {self.baseline_rmse[k]:.4g}"
                )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all scores: what `fcnn.Model.evaluate` returns.

        r2 is the mean over the outputs, the others are lists of several outputs.
        """

        def plain(values: Array) -> Any:
            return values.tolist() if len(values) > 1 else float(values[0])

        return {
            "r2": float(self.r2.mean()),
            "rmse": plain(self.rmse),
            "mae": plain(self.mae),
            **({} if self.d2 is None else {"d2": float(self.d2.mean())}),
            **({} if self.coverage is None else {"coverage": self.coverage}),
            "baseline": {
                "answer": plain(self.baseline),
                "r2": float(self.baseline_r2.mean()),
                "rmse": plain(self.baseline_rmse),
                "mae": plain(self.baseline_mae),
            },
            "warnings": list(self.warnings),
        }


def _of_each(name: str, values: Any, n: int) -> NDArray[np.float64]:
    array = check.as_numeric(name, values).astype(np.float64)
    if array.shape not in ((), (n,)):
        raise ValueError(f"{name}: expected shape ({n},), got {array.shape}")
    return np.broadcast_to(array, (n,))
