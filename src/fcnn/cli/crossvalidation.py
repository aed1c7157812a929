"""``fcnn train --cv K``: mean and deviation of the scores over K parts."""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn._split import split
from fcnn.cli.data import CommandError, Data, refusals, say
from fcnn.cli.fitting import Kept, fit, optimizer_of
from fcnn.cli.parts import Parts, prepared
from fcnn.cli.ranks import rows_of_each, together
from fcnn.cli.terminal import tell
from fcnn.metrics import NumberScores
from fcnn.tables.target import most_probable

Array = NDArray[Any]


def folds(rows: int, K: int, labels: Array | None, seed: int) -> Array:
    """Return the fold 0..K-1 of each row, in which each class has its share to within a sample."""
    order = np.random.default_rng((seed, 2)).permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(rows, np.intp)
    fold[order] = np.arange(rows) % K
    return fold


def cross_validate(
    options: argparse.Namespace, data: Data, parts: Parts, arguments: dict[str, Any]
) -> None:
    """Train and test on each of K folds of the samples that are not the test part; print scores.

    Each network is that of the epoch with the lowest loss on a part held out from the others, as
    in the training that is saved: the fold it is tested on chooses nothing.
    """
    rows = np.concatenate([parts.rows, parts.validation_rows])
    y = np.concatenate([parts.y, parts.y_validation])
    labels = y if data.targets.target.is_classes else None
    if options.cv > len(rows):
        raise CommandError(f"--cv: {options.cv} folds of {len(rows)} samples; expected fewer")
    fold = folds(len(rows), options.cv, labels, options.seed)
    found: list[dict[str, float]] = []
    for k in range(options.cv):
        others, tested = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        rng = np.random.default_rng((options.seed, 3, k))
        left = None if labels is None else labels[others]
        with refusals():
            stay, held = split("--validation", options.validation, len(others), left, rng)
        stay, held = others[stay], others[held]
        part = Parts(
            rows[stay], rows[held], data.table, rows[tested], y[stay], y[held], y[tested],
            options.seed, 0.0,
        )  # fmt: skip
        with together(options.ranks):
            ready = prepared(options, data, part)
        kept = Kept(ready.score, None)
        end, code = fit(
            ready.model.network, ready.X, ready.y, kept, data, epochs=options.epochs,
            batch_size=rows_of_each(ready.batch_size, options),
            optimizer=optimizer_of(options, ready.updates), validation=ready.validation,
            **arguments,
        )  # fmt: skip
        if code:
            raise CommandError(f"--cv: fold {k + 1} of {options.cv}: {end}", code)
        if kept.best is None:  # of another rank than the first, which has the scores
            continue
        ready.model.network.parameters = kept.best[2]
        found.append(_scores(ready.model, ready.X_test, part.y_test))
        if not options.quiet:
            told = ", ".join(f"{name} {value:.4g}" for name, value in found[-1].items())
            say(f"fold {k + 1} of {options.cv}: {told}")
    if not found:
        return
    told = ", ".join(
        f"{name} {np.mean(values):.4g} +- {np.std(values, ddof=1):.2g}"
        for name in found[0]
        for values in [[scores[name] for scores in found if name in scores]]
        if len(values) == len(found)
    )
    tell(f"folds      {told}: mean and deviation of {options.cv}")


def _scores(model: fcnn.Model, X: Array, y: Array) -> dict[str, float]:
    outputs = model.network.predict(X)
    if model.classes:
        return {"accuracy": float(np.mean(most_probable(outputs) == y))}
    found = model.scores(outputs, y)
    assert isinstance(found, NumberScores)
    if found.d2 is not None:  # a right quantile may be farther off than the mean
        inside = {} if found.coverage is None else {"coverage": found.coverage}
        return {"d2": float(found.d2.mean()), **inside}
    varies = (y != y[0]).any(axis=0)  # of equal targets, as of a single one, r2 says nothing
    scores = {"r2": float(found.r2[varies].mean())} if varies.any() else {}
    names = found.names or tuple(f"target {k + 1}" for k in range(len(varies)))
    for k, name in enumerate(names):
        of = f" of {name}" if len(names) > 1 else ""
        scores[f"root mean square error{of}"] = float(found.rmse[k])
        scores[f"mean absolute error{of}"] = float(found.mae[k])
    return scores
