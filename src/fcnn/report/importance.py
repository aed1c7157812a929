"""Permutation importance of the columns of a raw table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn.metrics import NumberScores
from fcnn.model import Model
from fcnn.tables import as_table

Array = NDArray[Any]

_MOST_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Importance:
    """How much worse a model is without what a column says.

    Attributes
    ----------
    names : tuple of str
        The columns that the model reads.
    score : str
        "balanced_accuracy" of classes, "r2" of numbers, "d2" of quantiles.
    baseline : float
        The score of the rows as they are.
    values : numpy.ndarray of float64, shape (columns, repeats)
        `baseline` minus the score with the column permuted.
    rows : int
        How many rows it was measured on.
    """

    names: tuple[str, ...]
    score: str
    baseline: float
    values: NDArray[np.float64]
    rows: int

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the repeats, shape (columns,)."""
        return np.asarray(self.values.mean(axis=1))

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation over the repeats, shape (columns,)."""
        return np.asarray(self.values.std(axis=1))


def permutation_importance(
    model: Model,
    data: Any,
    y: Any = None,
    *,
    repeats: int = 5,
    rng: int | np.random.Generator = 0,
    max_rows: int = _MOST_ROWS,
) -> Importance:
    """Return how much worse the answers are when the cells of a column change places.

    Each column of the raw table is permuted as a whole: a category with all its indicators, a date
    with all its parts (L. Breiman, Random Forests, 2001, section 10). Columns that say the same
    share their importance: each alone may seem to have none.

    Parameters
    ----------
    model : fcnn.Model
    data : table-like
        See `fcnn.Model.predict`; at best rows that the model was not trained on.
    y : array-like, optional
        As in `fcnn.Model.evaluate`; None takes the target's columns of `data`.
    repeats : int, default 5
        Permutations of each column.
    rng : int or numpy.random.Generator, default 0
        Of the permutations.
    max_rows : int, default 10,000
        Of more rows as many are taken at random.

    Returns
    -------
    Importance

    Raises
    ------
    ValueError, TypeError
        As `fcnn.Model.evaluate`.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model: expected a fcnn.Model, got {type(model).__name__}")
    table = as_table(data)
    values = model.target_values(table, y)
    return importance_of(model, model.prepare(table), values, repeats, rng, max_rows)


def importance_of(
    model: Model,
    X: Array,
    values: Array,
    repeats: int = 5,
    rng: int | np.random.Generator = 0,
    max_rows: int = _MOST_ROWS,
) -> Importance:
    """Return the permutation importance from inputs and targets of the network."""
    check.as_count("repeats", repeats)
    generator = check.as_generator(rng)
    if len(X) > check.as_count("max_rows", max_rows):
        chosen = np.sort(generator.choice(len(X), max_rows, replace=False))
        X, values = X[chosen], values[chosen]
    network, preparation = model.network, model.preparation

    def score(inputs: Array) -> float:
        scores = model.scores(network.predict(inputs), values)
        if isinstance(scores, NumberScores):
            return float((scores.r2 if scores.d2 is None else scores.d2).mean())
        return scores.balanced_accuracy

    name = "balanced_accuracy" if model.classes else "d2" if model.levels else "r2"
    baseline = score(X)
    found = np.empty((len(preparation.columns), repeats))
    changed = np.ascontiguousarray(X).copy()
    for j in range(len(found)):
        # A row's numbers depend on that row alone: those of the column go to another row together.
        part = slice(preparation.starts[j], preparation.starts[j + 1])
        for k in range(repeats):
            changed[:, part] = X[generator.permutation(len(X)), part]
            found[j, k] = baseline - score(changed)
        changed[:, part] = X[:, part]
    return Importance(column_names(model), name, baseline, found, len(X))


def column_names(model: Model) -> tuple[str, ...]:
    """Return a name for each column that a model reads."""
    return tuple(
        column.name or f"column {j}" for j, column in enumerate(model.preparation.columns, start=1)
    )
