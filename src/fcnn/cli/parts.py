"""Parts of the data for training, validation and testing, and what a network is given of them."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _validation as check
from fcnn.cli.data import (
    DEFAULT_LOSSES,
    SCALABLE_LOSSES,
    SHIFTABLE_LOSSES,
    CommandError,
    Data,
    refusals,
    split,
)
from fcnn.metrics import accuracy, r2
from fcnn.tables import Preparation, Table, Target

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows and targets for training, validation and testing, split by an option's shares."""

    rows: Array
    validation_rows: Array
    test_table: Table
    test_rows: Array
    y: Array
    y_validation: Array
    y_test: Array

    @classmethod
    def of(cls, options: argparse.Namespace, data: Data) -> "Parts":
        """Split data, each class in proportion."""
        # Not the stream of the initial weights.
        rng = np.random.default_rng((options.seed, 1))
        targets = data.targets
        n = data.table.rows
        trained = np.flatnonzero(targets.rows < n)
        share = 0.2 if options.test is None else options.test
        n_held = (options.validation > 0) + (data.test is None and share > 0)
        if len(trained) <= n_held:
            raise CommandError(
                f"{data.source}: {len(trained)} row{'s' * (len(trained) != 1)} with a target, of "
                f"which {n_held} would be held out; expected more, or --test 0 --validation 0"
            )
        labels = targets.y if targets.target.is_classes else None
        if data.test is not None:
            if options.test is not None:
                raise CommandError(f"--test: {data.source} has a test part of its own")
            test_table: Table = data.test
            stay, tested = trained, np.flatnonzero(targets.rows >= n)
            test_rows = targets.rows[tested] - n
        else:
            stay, tested = split("--test", share, len(trained), labels, rng)
            test_table, test_rows = data.table, targets.rows[tested]
        left = None if labels is None else labels[stay]
        kept, held = split("--validation", options.validation, len(stay), left, rng)
        return cls(
            targets.rows[stay[kept]], targets.rows[stay[held]], test_table, test_rows,
            targets.y[stay[kept]], targets.y[stay[held]], targets.y[tested],
        )  # fmt: skip


def network_for(options: argparse.Namespace, data: Data, n_in: int) -> fcnn.Network:
    """Return a new network of the options for the inputs and the targets of data."""
    targets = data.targets
    loss = options.loss or DEFAULT_LOSSES[targets.task]
    if targets.target.is_classes:
        n_out = len(targets.target.classes)
        if check.TARGETS[loss] == "probabilities" and n_out == 2:
            n_out = 1
    else:
        n_out = targets.y.shape[1]
        if check.TARGETS[loss] == "classes":
            others = [name for name, kind in check.TARGETS.items() if kind != "classes"]
            raise CommandError(
                f"--loss: {loss} is for classes, but {data.whose} is for regression "
                f"({targets.reason}); expected {check.listed(others)}, or --task classification"
            )
    with refusals(
        activation="--activation", output_activation="--output-activation", sizes="--layers"
    ):
        return fcnn.Network(
            (n_in, *options.layers, n_out), options.activation,
            options.output_activation, loss, options.dtype, options.init, options.seed,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model that is not trained yet, and what it is trained with.

    Attributes
    ----------
    model : fcnn.Model
    how : str
        What is done with the inputs, a key of STANDARDIZATIONS.
    X, y : numpy.ndarray
        For `Network.fit`, as is `validation`.
    validation : (numpy.ndarray, numpy.ndarray)
        Without a row where nothing is held out.
    X_test : numpy.ndarray
    batch_size : int
    score : callable or None
        The validation score of the task, where `Network.evaluate` has another one.
    """

    model: fcnn.Model
    how: str
    X: Array
    y: Array
    validation: tuple[Array, Array]
    X_test: Array
    batch_size: int
    score: Callable[[fcnn.Network], tuple[str, float]] | None


def prepared(options: argparse.Namespace, data: Data, parts: Parts) -> Prepared:
    """Return a model for data, and the parts as its network takes them."""
    how = options.standardize
    if how == "auto":
        how = "together" if data.is_images else "features"
    with refusals():
        preparation = Preparation.fit(data.table, data.kinds, parts.rows, how)
    net = network_for(options, data, preparation.width)
    model = fcnn.Model(net, preparation, _scaled(data, parts, net))
    with refusals():
        X, X_validation, X_test = (
            # What is new in the rows held out is what they are held out for: no note of it.
            model.prepare(table.take(rows), [])
            if len(rows)
            else np.empty((0, net.sizes[0]), net.dtype)
            for table, rows in (
                (data.table, parts.rows), (data.table, parts.validation_rows),
                (parts.test_table, parts.test_rows),
            )
        )  # fmt: skip
    y, y_validation = model.scaled(parts.y), model.scaled(parts.y_validation)
    batch_size = options.batch_size or min(max(len(X) // 100, 16), 128)
    score = _validation_score(model, X_validation, parts.y_validation)
    return Prepared(model, how, X, y, (X_validation, y_validation), X_test, batch_size, score)


def _scaled(data: Data, parts: Parts, net: fcnn.Network) -> Target:
    """Return the target, of numbers with the scale that they are trained in."""
    target = data.targets.target
    if target.is_classes:
        return target
    if net.activations[-1] == "identity" and net.loss in (*SCALABLE_LOSSES, *SHIFTABLE_LOSSES):
        with refusals(y=data.whose):
            scaled = target.scaled(parts.y)
        if net.loss in SCALABLE_LOSSES:
            return scaled
        return Target(target.names, (), scaled.mean, np.ones(parts.y.shape[1]), target.rules)
    for y in (parts.y, parts.y_validation, parts.y_test):
        if len(y):
            with refusals(y=data.whose):
                check.as_targets("y", y, len(y), net.sizes[-1], net.loss, net.dtype)
    return target


def _validation_score(
    model: fcnn.Model, X: Array, y: Array
) -> Callable[[fcnn.Network], tuple[str, float]] | None:
    """Return the score of the task where `Network.evaluate` has another one for the loss."""
    net = model.network
    if model.classes:
        if check.TARGETS[net.loss] == "classes" or net.sizes[-1] == 1:
            return None
        return lambda net: ("accuracy", accuracy(net.predict(X), y))
    if check.TARGETS[net.loss] == "probabilities":
        return lambda net: ("r2", r2(net.predict(X), y))
    return None
