"""``fcnn train``: reads, splits, standardizes, trains, keeps the best epoch, tests and saves."""

import argparse
import contextlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _validation as check
from fcnn.cli.data import (
    DEFAULT_LOSSES,
    FAILED,
    INTERRUPTED,
    SCALABLE_LOSSES,
    SHIFTABLE_LOSSES,
    STANDARDIZATIONS,
    CommandError,
    Data,
    read_for_training,
    refusals,
    say,
    split,
)
from fcnn.cli.model import print_columns, scores
from fcnn.cli.output import for_unfinished, new_name, output_paths, picture_of
from fcnn.history import History, Progress
from fcnn.metrics import accuracy, r2
from fcnn.optimizers import OPTIMIZERS, Optimizer
from fcnn.tables import Preparation, Target
from fcnn.tables.target import most_probable

Array = NDArray[Any]

# Loss, validation loss and score fit into 80 columns, unlike with tqdm's own form.
_BAR = "{n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}"

# Of the optimizers; each is an option.
_HYPERPARAMETERS = ("lr", "weight_decay", "momentum", "nesterov")
_LR = 0.1  # of an optimizer without a default of its own


class _Kept:
    """A callback of `Network.fit` that keeps the best epoch and moves the progress bar.

    Attributes
    ----------
    best : tuple or None
        Epoch, its loss as validation sees it, its parameters. One attribute, so that Ctrl-C
        finds it whole.
    """

    def __init__(self, score: Callable[[fcnn.Network], tuple[str, float]] | None, bar: Any) -> None:
        self.score = score
        self.bar = bar
        self.completed = 0
        self.history = History()
        self.best: tuple[int, float, Array] | None = None

    def __call__(self, progress: Progress) -> None:
        history = self.history = progress.history
        shown = {"loss": f"{history.loss[-1]:.3g}"}
        loss = -float(progress.epoch)  # without validation, the later the better
        if history.validation_loss:
            if self.score is not None:
                history.score_name, history.validation_score[-1] = self.score(progress.network)
            loss = history.validation_loss[-1]
            shown["validation"] = f"{loss:.3g}"
            shown[history.score_name] = f"{history.validation_score[-1]:.4f}"
        if self.best is None or loss < self.best[1] or not np.isfinite(self.best[1]):
            self.best = progress.epoch, loss, progress.network.parameters.copy()
        self.completed = progress.epoch
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update()


def _progress_bar(epochs: int, wanted: bool) -> Any:
    """Return a bar of tqdm's as a context, or an empty context."""
    if wanted and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            # Some terminals do not know their size; a bar of the width 0 would not be seen.
            if os.get_terminal_size(sys.stderr.fileno()).columns > 0:
                return tqdm(total=epochs, bar_format=_BAR, dynamic_ncols=True)
            return tqdm(total=epochs, bar_format=_BAR, ncols=80, nrows=24)
    return contextlib.nullcontext()


def _optimizer(options: argparse.Namespace) -> Optimizer:
    takes = {rule: inspect.signature(kind).parameters for rule, kind in OPTIMIZERS.items()}
    own = takes[options.optimizer]
    given = {name: getattr(options, name) for name in _HYPERPARAMETERS}
    for name, value in given.items():
        if value and name not in own:
            others = check.listed([rule for rule in OPTIMIZERS if name in takes[rule]])
            raise CommandError(
                f"--{name.replace('_', '-')}: belongs to --optimizer {others}, which is "
                f"{options.optimizer} here"
            )
    if given["lr"] is None and own["lr"].default is inspect.Parameter.empty:
        given["lr"] = _LR
    with refusals(nesterov="--nesterov"):
        return OPTIMIZERS[options.optimizer](
            **{name: v for name, v in given.items() if name in own and v is not None}
        )


def _network(options: argparse.Namespace, data: Data, n_in: int) -> fcnn.Network:
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


class _Parts:
    """Rows and targets for training, validation and testing, split by an option's shares."""

    def __init__(self, options: argparse.Namespace, data: Data) -> None:
        # Not the stream of the initial weights.
        rng = np.random.default_rng((options.seed, 1))
        targets = data.targets
        n = data.table.rows
        trained = np.flatnonzero(targets.rows < n)
        share = 0.2 if options.test is None else options.test
        held = (options.validation > 0) + (data.test is None and share > 0)
        if len(trained) <= held:
            raise CommandError(
                f"{data.source}: {len(trained)} row{'s' * (len(trained) != 1)} with a target, of "
                f"which {held} would be held out; expected more, or --test 0 --validation 0"
            )
        labels = targets.y if targets.target.is_classes else None
        if data.test is not None:
            if options.test is not None:
                raise CommandError(f"--test: {data.source} has a test part of its own")
            stay, tested = trained, np.flatnonzero(targets.rows >= n)
            self.test_table, self.test_rows = data.test, targets.rows[tested] - n
        else:
            stay, tested = split("--test", share, len(trained), labels, rng)
            self.test_table, self.test_rows = data.table, targets.rows[tested]
        left = None if labels is None else labels[stay]
        kept, held = split("--validation", options.validation, len(stay), left, rng)
        self.rows, self.y = targets.rows[stay[kept]], targets.y[stay[kept]]
        self.validation_rows, self.y_validation = targets.rows[stay[held]], targets.y[stay[held]]
        self.y_test = targets.y[tested]


def train(options: argparse.Namespace) -> int:
    """Run ``fcnn train`` and return its exit code."""
    output, picture, no_picture = output_paths(options)
    optimizer = _optimizer(options)
    data = read_for_training(
        options.data, options.target, options.task, ignored=options.ignore,
        given=options.columns, header=not options.no_header,
    )  # fmt: skip
    parts = _Parts(options, data)
    how = options.standardize
    if how == "auto":
        how = "together" if data.is_images else "features"
    with refusals():
        preparation = Preparation.fit(data.table, data.kinds, parts.rows, how)
    net = _network(options, data, preparation.width)
    target = _scaled(data, parts, net)
    model = fcnn.Model(net, preparation, target)
    with refusals():
        X, X_validation, X_test = (
            model.prepare(table.take(rows)) if len(rows) else np.empty((0, net.sizes[0]), net.dtype)
            for table, rows in (
                (data.table, parts.rows), (data.table, parts.validation_rows),
                (parts.test_table, parts.test_rows),
            )
        )  # fmt: skip
    y, y_validation = model.scaled(parts.y), model.scaled(parts.y_validation)
    batch_size = options.batch_size or min(max(len(X) // 100, 16), 128)
    if not options.quiet:
        _describe(options, data, parts, how, model, optimizer, batch_size)
    score = _validation_score(model, X_validation, parts.y_validation)
    began = time.perf_counter()
    with _progress_bar(options.epochs, not options.quiet) as bar:
        kept = _Kept(score, bar)
        end, code = _fit(
            net, X, y, kept, data, epochs=options.epochs, batch_size=batch_size,
            optimizer=optimizer, validation=(X_validation, y_validation),
        )  # fmt: skip
    seconds = time.perf_counter() - began

    if kept.best is None:
        say(f"{end}; no epoch was completed, nothing was saved")
        return code
    epoch, _, parameters = kept.best
    net.parameters = parameters
    if code:
        output, kept_file = for_unfinished(output)
        model.save(output)
        best = "best model" if len(X_validation) else "model of the last completed epoch"
        say(f"{end}: saved the {best} so far (epoch {epoch}) to {output}{kept_file}")
        return code
    if options.output is None and output.exists():  # of a run that has ended meanwhile
        output = new_name(output)
        if picture is not None and options.plot is None:
            picture = picture_of(output)
    model.save(output)

    if len(X_test):
        _report_test(model, X_test, parts.y_test)
    else:
        print("test       none (--test 0)")
    which = "the lowest validation loss" if len(X_validation) else "the last"
    print(f"time       {seconds:.3g} s for {options.epochs} epochs; kept epoch {epoch}, {which}")
    print(f"model      {output}")
    if picture is not None:
        from fcnn.plot import plot_history

        on = (
            " of the standardized target"
            if net.loss in SCALABLE_LOSSES and target.scale is not None
            else ""
        )
        loss = "half the squared error" if net.loss == "squared_error" else net.loss
        plot_history(
            kept.history, picture, title=f"{Path(data.source).name}, {_shape(net)}",
            loss_label=f"{loss.replace('_', ' ')}{on}",
        )  # fmt: skip
        print(f"picture    {picture}")
    elif no_picture:
        print(f"picture    {no_picture}")
    if not options.quiet:
        print(f"use it     fcnn predict {output} {_like(options.data)}")
        print(f'in Python  model = fcnn.load("{output}"); model.predict({_example(model)})')
    return 0


def _example(model: fcnn.Model) -> str:
    return "table" if model.features else "X"


def _fit(
    net: fcnn.Network,
    X: Array,
    y: Array,
    kept: _Kept,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    validation: tuple[Array, Array],
) -> tuple[str, int]:
    """Train; return why it ended early, if it did, and the exit code."""
    try:
        with refusals(y=data.whose, validation_y=data.whose):
            net.fit(
                X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer,
                validation=validation if len(validation[0]) else None, callbacks=[kept],
            )  # fmt: skip
    except KeyboardInterrupt:
        epoch = min(kept.completed + 1, epochs)
        return f"interrupted in epoch {epoch} of {epochs}", INTERRUPTED
    except fcnn.DivergenceError as error:
        reason = str(error).partition(";")[0]
        return (
            f"training diverged in epoch {kept.completed + 1} of {epochs}: {reason}; "
            f"try a smaller --lr than {optimizer.lr:g}"
        ), FAILED
    return "", 0


def _like(source: str) -> str:
    return "DATA" if source in ("digits", "-") else source


def _scaled(data: Data, parts: _Parts, net: fcnn.Network) -> Target:
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


def _is_standardized(model: fcnn.Model) -> bool:
    return model.network.loss in SCALABLE_LOSSES and model.target.scale is not None


def _shape(net: fcnn.Network) -> str:
    return "-".join(map(str, net.sizes))


def _describe(
    options: argparse.Namespace,
    data: Data,
    parts: _Parts,
    how: str,
    model: fcnn.Model,
    optimizer: Optimizer,
    batch_size: int,
) -> None:
    net, target, columns = model.network, model.target, model.preparation.columns
    classes = f", {len(target.classes):,} classes" if target.classes else ""
    samples = len(data.targets.rows)
    print(f"data       {data.source}: {samples:,} samples, {len(columns):,} features{classes}")
    if data.table.is_named:
        print_columns(data.kinds)
    print(f"task       {data.targets.task}: {data.targets.reason}")
    print(
        f"parts      {len(parts.rows):,} training, {len(parts.validation_rows):,} validation, "
        f"{len(parts.test_rows):,} test"
    )
    print(
        f"inputs     {STANDARDIZATIONS[how]}"
        f"{'; target standardized for training' if _is_standardized(model) else ''}"
    )
    hidden = ", ".join(dict.fromkeys(net.activations))
    print(
        f"network    {_shape(net)}, {hidden}; {net.num_parameters:,} parameters, {net.dtype}; "
        f"loss {net.loss}"
    )
    print(
        f"training   {options.epochs} epochs in batches of {batch_size}, "
        f"{options.optimizer} with lr {optimizer.lr:g}, seed {options.seed}",
        flush=True,
    )


def _report_test(model: fcnn.Model, X: Array, y: Array) -> None:
    outputs = model.network.predict(X)
    if model.classes:
        right = int(np.count_nonzero(most_probable(outputs) == y))
        print(f"test       accuracy {right / len(y):.4f} ({right:,} of {len(y):,})")
        return
    print(f"test       {scores(model.target.decode(outputs).reshape(y.shape), y)}")
