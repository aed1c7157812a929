"""Parts of the data for training, validation and testing, and what a network is given of them."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _validation as check
from fcnn._architecture import is_of_numbers
from fcnn._dispatch import core
from fcnn._split import HeldOut, generator, split
from fcnn.cli.data import (
    DEFAULT_LOSSES,
    LOSSES,
    SHIFTABLE_LOSSES,
    CommandError,
    Data,
    is_scalable,
    refusals,
)
from fcnn.metrics import accuracy, r2
from fcnn.names import Name
from fcnn.second_order import SECOND_ORDER
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
    seed: int
    share: float  # of the samples, for testing; 0 where these have a part of their own

    @classmethod
    def of(cls, options: argparse.Namespace, data: Data) -> "Parts":
        """Split data, each class in proportion."""
        rng = generator(options.seed)
        targets = data.targets
        n = data.table.rows
        trained = np.flatnonzero(targets.rows < n)
        share = 0.0 if data.test is not None else 0.2 if options.test is None else options.test
        n_held = (options.validation > 0) + (share > 0)
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
            with refusals():
                stay, tested = split("--test", share, len(trained), labels, rng)
            test_table, test_rows = data.table, targets.rows[tested]
        left = None if labels is None else labels[stay]
        with refusals():
            kept, held = split("--validation", options.validation, len(stay), left, rng)
        return cls(
            targets.rows[stay[kept]], targets.rows[stay[held]], test_table, test_rows,
            targets.y[stay[kept]], targets.y[stay[held]], targets.y[tested], options.seed, share,
        )  # fmt: skip

    def record(
        self, X_test: Array, is_classes: bool
    ) -> tuple[dict[str, int], int | list[float], HeldOut | None]:
        """Return for a `TrainingRecord` the numbers of rows, the trivial answer, the rows held out.

        `X_test` are the inputs of the network for the test part.
        """
        counts = {
            "training": len(self.rows), "validation": len(self.validation_rows),
            "test": len(self.test_rows),
        }  # fmt: skip
        trivial: int | list[float] = (
            int(np.bincount(self.y).argmax()) if is_classes else self.y.mean(axis=0).tolist()
        )
        if not self.share:
            return counts, trivial, None
        rows = sum(counts.values())
        return counts, trivial, HeldOut.of(self.seed, self.share, rows, X_test, self.y_test)


def network_for(options: argparse.Namespace, data: Data, n_in: int) -> fcnn.Network:
    """Return a new network of the options for the inputs and the targets of data."""
    if not options.layers and options.activation != "relu":  # which is said of no layer
        raise CommandError(
            f"--activation: there is no hidden layer that {options.activation} could be of; "
            "--output-activation is that of the output layer"
        )
    targets = data.targets
    loss = Name(options.loss or DEFAULT_LOSSES[targets.task])
    if targets.target.is_classes:
        if is_of_numbers(loss):
            others = [name for name in LOSSES if not is_of_numbers(name)]
            classes = targets.target.classes
            or_numbers = "" if isinstance(classes[0], (str, bool)) else ", or --task regression"
            raise CommandError(
                f"--loss: {loss} is for numbers, but {data.whose} is for classification "
                f"({targets.reason}); expected {check.listed(others)}{or_numbers}"
            )
        n_out = len(targets.target.classes)
        if check.TARGETS[loss] == "probabilities" and n_out == 2:
            n_out = 1
    else:
        n_out = targets.y.shape[1] * core.outputs_per_target(loss)
        if check.TARGETS[loss] == "classes":
            others = [name for name in LOSSES if check.TARGETS[name] != "classes"]
            raise CommandError(
                f"--loss: {loss} is for classes, but {data.whose} is for regression "
                f"({targets.reason}); expected {check.listed(others)}, or --task classification"
            )
    with refusals(
        activation="--activation", output_activation="--output-activation", sizes="--layers"
    ):
        net = fcnn.Network(
            (n_in, *options.layers, n_out), options.activation,
            options.output_activation, loss, options.dtype, options.init, options.seed,
        )  # fmt: skip
    if options.init == "auto":
        # The answers begin with the mean, or with classes that are equally probable. Random ones
        # are noise that a few epochs on some hundred rows do not unlearn: the r2 of 152 birth
        # weights was -0.36 instead of -0.02.
        net.weights[-1][...] = 0
    return net


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
    batch_size : int or None
        Samples in an update; None: all.
    updates : int
        Of all epochs.
    score : callable or None
        The validation score of the task, where `Network.evaluate` has another one.
    """

    model: fcnn.Model
    how: str
    X: Array
    y: Array
    validation: tuple[Array, Array]
    X_test: Array
    batch_size: int | None
    updates: int
    score: Callable[[fcnn.Network], tuple[str, float]] | None


def prepared(options: argparse.Namespace, data: Data, parts: Parts) -> Prepared:
    """Return a model for data, and the parts as its network takes them."""
    how = options.standardize
    if how == "auto":
        how = "together" if data.is_images else "features"
    with refusals():
        preparation = Preparation.fit(data.table, data.kinds, parts.rows, how)
    net = network_for(options, data, preparation.width)
    with refusals():
        model = fcnn.Model(net, preparation, _scaled(data, parts, net))
    together = [parts.rows, parts.validation_rows]
    if parts.test_table is data.table:
        together.append(parts.test_rows)
    # What is new in the rows held out is what they are held out for: no note of it. A few of them
    # alone, without a category that is known, would be taken for another table.
    with refusals():
        whole = model.prepare(data.table.take(np.concatenate(together)), [])
        X, X_validation, X_test = np.split(whole, np.cumsum([len(rows) for rows in together[:2]]))
        if parts.test_table is not data.table:
            X_test = model.prepare(parts.test_table.take(parts.test_rows), [])
    y, y_validation = model.scaled(parts.y), model.scaled(parts.y_validation)
    batch_size = None
    if options.optimizer not in SECOND_ORDER:
        batch_size = options.batch_size or min(max(len(X) // 100, 16), 128)
    score = _validation_score(model, X_validation, parts.y_validation)
    updates = options.epochs * math.ceil(len(X) / (batch_size or len(X)))
    return Prepared(
        model, how, X, y, (X_validation, y_validation), X_test, batch_size, updates, score
    )


def _scaled(data: Data, parts: Parts, net: fcnn.Network) -> Target:
    """Return the target, of numbers with the scale that they are trained in."""
    target = data.targets.target
    if target.is_classes:
        return target
    scalable = is_scalable(net.loss) and net.activations[-1] in ("identity", "ascending")
    if scalable or (net.activations[-1] == "identity" and net.loss in SHIFTABLE_LOSSES):
        with refusals(y=data.whose):
            scaled = target.scaled(parts.y)
        if scalable:
            return scaled
        return Target(target.names, (), scaled.mean, np.ones(parts.y.shape[1]), target.rules,
                      bare=target.bare)  # fmt: skip
    for y in (parts.y, parts.y_validation, parts.y_test):
        if len(y):
            with refusals(y=data.whose):
                check.as_targets("y", y, len(y), net.num_targets, net.loss, net.dtype)
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
