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
    STANDARDIZATIONS,
    CommandError,
    DataSet,
    Targets,
    check_writable,
    choose_task,
    prepared,
    read_for_training,
    refusals,
    say,
    split,
    standardization,
)
from fcnn.cli.model import most_probable, regression_score
from fcnn.history import History, Progress
from fcnn.metrics import accuracy, r2
from fcnn.optimizers import OPTIMIZERS, Optimizer
from fcnn.preprocessing import Preprocessing

Array = NDArray[Any]

# Loss, validation loss and score fit into 80 columns, unlike with tqdm's own form.
_BAR = "{n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}"

# Of the optimizers; each is an option.
_HYPERPARAMETERS = ("lr", "weight_decay", "momentum", "nesterov")
_LR = 0.1  # of an optimizer without a default of its own


def _output_paths(options: argparse.Namespace) -> tuple[Path, Path | None, str]:
    """Return where model and picture go, and why there is no picture."""
    if options.output is not None:
        output = Path(options.output)
    elif options.data == "digits":
        output = Path("digits.safetensors")
    else:
        data = Path(options.data).resolve()
        output = Path(f"{data.name if data.is_dir() else data.stem}.safetensors")
    check_writable("--output", output, options.data)
    if options.no_plot:
        if options.plot is not None:
            raise CommandError("--plot: a file is given, but also --no-plot")
        return output, None, ""
    picture = output.with_name(f"{output.name.removesuffix('.safetensors')}.png")
    if options.plot is not None:
        picture = Path(options.plot)
    try:
        from fcnn.plot import check_ending

        with refusals(path="--plot"):
            check_ending(picture)
    except ImportError:
        return output, None, "not drawn, that needs matplotlib: pip install fcnn[cli]"
    check_writable("--plot", picture, options.data)
    if picture.resolve() == output.resolve():
        raise CommandError(f"--plot: {picture} is also the model's file")
    return output, picture, ""


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


def _encoded(labels: Array, n_out: int, loss: str, dtype: str) -> Array:
    """Return labels as the targets of a loss: themselves, 0 or 1, or one-hot rows."""
    if check.TARGETS[loss] == "classes":
        return labels
    if n_out == 1:
        return labels.astype(dtype)
    rows = np.zeros((len(labels), n_out), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows


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


def _network(options: argparse.Namespace, data: DataSet, targets: Targets) -> fcnn.Network:
    loss = options.loss or DEFAULT_LOSSES[targets.task]
    if targets.classes:
        n_out = len(targets.classes)
        if check.TARGETS[loss] == "probabilities" and n_out == 2:
            n_out = 1
    else:
        n_out = 1 if targets.y.ndim == 1 else targets.y.shape[1]
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
            (data.X.shape[1], *options.layers, n_out), options.activation,
            options.output_activation, loss, options.dtype, options.init, options.seed,
        )  # fmt: skip


class _Parts:
    """Training, validation and test samples of a data set, split by an option's shares."""

    def __init__(self, options: argparse.Namespace, data: DataSet, targets: Targets) -> None:
        # Not the stream of the initial weights.
        rng = np.random.default_rng((options.seed, 1))
        labels = targets.y if targets.classes else None
        every = np.arange(len(targets.y))
        if data.X_test is not None:
            if options.test is not None:
                raise CommandError(f"--test: {data.source} has a test part of its own")
            assert targets.y_test is not None
            self.X_test, self.y_test = data.X_test, targets.y_test
        else:
            share = 0.2 if options.test is None else options.test
            every, held = split("--test", share, len(every), labels, rng)
            self.X_test, self.y_test = data.X[held], targets.y[held]
        left = None if labels is None else labels[every]
        stay, held = split("--validation", options.validation, len(every), left, rng)
        self.X, self.y = data.X[every[stay]], targets.y[every[stay]]
        self.X_validation, self.y_validation = data.X[every[held]], targets.y[every[held]]


def train(options: argparse.Namespace) -> int:
    """Run ``fcnn train`` and return its exit code."""
    output, picture, no_picture = _output_paths(options)
    optimizer = _optimizer(options)
    data = read_for_training(options.data, options.target, options.ignore)
    targets = choose_task(data, options.task)
    net = _network(options, data, targets)
    parts = _Parts(options, data, targets)
    how = options.standardize
    if how == "auto":
        how = "together" if data.is_images else "features"
    net.preprocessing = standardization(
        parts.X, how, data.source, data.features, data.target, targets.classes
    )
    X, X_validation, X_test = (
        prepared(net.preprocessing, part, net.dtype, f"{data.source}, inputs")
        for part in (parts.X, parts.X_validation, parts.X_test)
    )
    y, y_validation, scaling = _training_targets(parts, targets, net, data.whose)
    batch_size = options.batch_size or min(max(len(X) // 100, 16), 128)
    if not options.quiet:
        _describe(
            options, data, targets, parts, how, net, optimizer, batch_size, scaling is not None
        )
    score = _validation_score(net, targets, X_validation, parts.y_validation)
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
    if scaling is not None:
        _fold(net, *scaling)
    net.save(output)
    if code:
        best = "best model" if len(X_validation) else "model of the last completed epoch"
        say(f"{end}: saved the {best} so far (epoch {epoch}) to {output}")
        return code

    if len(X_test):
        _report_test(net, targets, X_test, parts.y_test)
    else:
        print("test       none (--test 0)")
    which = "the lowest validation loss" if len(X_validation) else "the last"
    print(f"time       {seconds:.3g} s for {options.epochs} epochs; kept epoch {epoch}, {which}")
    print(f"model      {output}")
    if picture is not None:
        from fcnn.plot import plot_history

        on = " of the standardized target" if scaling is not None else ""
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
        print(f'in Python  net = fcnn.load("{output}"); net.predict(net.preprocessing(X))')
    return 0


def _fit(
    net: fcnn.Network,
    X: Array,
    y: Array,
    kept: _Kept,
    data: DataSet,
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
    return "DATA" if source == "digits" else source


def _training_targets(
    parts: _Parts, targets: Targets, net: fcnn.Network, whose: str
) -> tuple[Array, Array, tuple[Array, Array] | None]:
    """Return targets for training and validation, and mean and scale if they are standardized."""
    if targets.classes:
        n_out, dtype = net.sizes[-1], net.dtype.name
        y = _encoded(parts.y, n_out, net.loss, dtype)
        return y, _encoded(parts.y_validation, n_out, net.loss, dtype), None
    scalable = net.loss in SCALABLE_LOSSES and net.activations[-1] == "identity"
    for X, y in (
        (parts.X, parts.y), (parts.X_validation, parts.y_validation), (parts.X_test, parts.y_test)
    ):  # fmt: skip
        if len(X):
            # As the saved network is to predict them: in the original units.
            numbers = y.astype(np.float64) if scalable else y
            with refusals(y=whose):
                check.as_targets("y", numbers, len(X), net.sizes[-1], net.loss, net.dtype)
    if not scalable:
        return parts.y, parts.y_validation, None
    with refusals(X=whose):
        standardize = Preprocessing.of(parts.y.reshape(len(parts.y), -1))
    scaling = standardize.mean, standardize.scale
    return standardize(parts.y), standardize(parts.y_validation), scaling


def _fold(net: fcnn.Network, mean: Array, scale: Array) -> None:
    """Make a network that predicts (y - mean) / scale one that predicts y."""
    W, b = net.weights[-1], net.biases[-1]
    W[...] = W.astype(np.float64) * scale.reshape(-1, 1)
    b[...] = b.astype(np.float64) * scale + mean


def _validation_score(
    net: fcnn.Network, targets: Targets, X: Array, y: Array
) -> Callable[[fcnn.Network], tuple[str, float]] | None:
    """Return the score of the task where `Network.evaluate` has another one for the loss."""
    if targets.classes:
        if check.TARGETS[net.loss] == "classes" or net.sizes[-1] == 1:
            return None
        return lambda net: ("accuracy", accuracy(net.predict(X), y))
    if check.TARGETS[net.loss] == "probabilities":
        return lambda net: ("r2", r2(net.predict(X), y.reshape(len(y), -1)))
    return None


def _shape(net: fcnn.Network) -> str:
    return "-".join(map(str, net.sizes))


def _describe(
    options: argparse.Namespace,
    data: DataSet,
    targets: Targets,
    parts: _Parts,
    how: str,
    net: fcnn.Network,
    optimizer: Optimizer,
    batch_size: int,
    scaled: bool,
) -> None:
    samples = len(data.X) + (0 if data.X_test is None else len(data.X_test))
    classes = f", {len(targets.classes):,} classes" if targets.classes else ""
    print(f"data       {data.source}: {samples:,} samples, {net.sizes[0]:,} features{classes}")
    print(f"task       {targets.task}: {targets.reason}")
    print(
        f"parts      {len(parts.X):,} training, {len(parts.X_validation):,} validation, "
        f"{len(parts.X_test):,} test"
    )
    print(
        f"inputs     {STANDARDIZATIONS[how]}"
        f"{'; target standardized for training' if scaled else ''}"
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


def _report_test(net: fcnn.Network, targets: Targets, X: Array, y: Array) -> None:
    outputs = net.predict(X)
    if targets.classes:
        right = int(np.count_nonzero(most_probable(outputs) == y))
        print(f"test       accuracy {right / len(y):.4f} ({right:,} of {len(y):,})")
        return
    print(f"test       {regression_score(outputs, y)}")
