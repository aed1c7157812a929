"""``fcnn train``: reads, splits, standardizes, trains, keeps the best epoch, tests and saves."""

import argparse
import datetime
import json
import shlex
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import fcnn
from fcnn.cli.crossvalidation import cross_validate
from fcnn.cli.data import (
    STANDARDIZATIONS,
    Data,
    is_scalable,
    read_for_training,
    say,
)
from fcnn.cli.fitting import (
    Kept,
    checkpoint_arguments,
    fit,
    fit_arguments,
    optimizer_of,
    progress_bar,
)
from fcnn.cli.model import print_columns
from fcnn.cli.output import ENDING, for_unfinished, new_name, output_paths, picture_of
from fcnn.cli.parts import Parts, Prepared, prepared
from fcnn.cli.ranks import from_first, refuse_together, rows_of_each, sharing, together
from fcnn.cli.results import print_results
from fcnn.cli.resumption import adopt, asked, state_of
from fcnn.cli.search import refuse, save, search, tell_trials
from fcnn.cli.terminal import tell
from fcnn.halving import Trial
from fcnn.history import TrainingRecord
from fcnn.optimizers import Optimizer
from fcnn.second_order import SecondOrder

Array = NDArray[Any]


def train(options: argparse.Namespace) -> int:
    """Run ``fcnn train`` and return its exit code."""
    ranks = options.ranks
    is_first = ranks is None or ranks.rank == 0
    with together(ranks):
        if ranks is not None:
            refuse_together(options)
        output, picture, no_picture = output_paths(options) if is_first else (Path(), None, "")
        optimizer_of(options)  # refused before anything is read
        if options.search is not None:
            refuse(options)
        data = read_for_training(
            options.data, options.target, options.task, ignored=options.ignore,
            given=options.columns, header=not options.no_header, sheet=options.sheet,
            loss=options.loss,
        )  # fmt: skip
        arguments = fit_arguments(options, data)
        parts = Parts.of(options, data)
        ready = prepared(options, data, parts)
        model, net, target = ready.model, ready.model.network, ready.model.target
        optimizer = optimizer_of(options, ready.updates)
        rows = rows_of_each(ready.batch_size, options)
        wanted = asked(options, batch_size=ready.batch_size, test=parts.share)
        resumes = options.search is None and options.resume is not None and (
            Path(options.resume).exists()
        )  # fmt: skip
        begun = state_of(options, wanted) if resumes and is_first else None
        adopt(optimizer, from_first(ranks, begun))
        if not options.quiet:
            _describe(options, data, parts, ready, optimizer, rows)
    arguments |= sharing(ranks)
    if options.cv is not None:
        cross_validate(options, data, parts, arguments)
    if options.search is None:
        arguments = checkpoint_arguments(options, arguments, from_first(ranks, resumes))
    began = time.perf_counter()
    end, code = "", 0
    trials: list[Trial] = []
    if options.search is not None:
        model, kept, trials = search(options, data, ready, arguments)
        net = model.network
    else:
        with progress_bar(options.epochs, not options.quiet) as bar:
            kept = Kept(ready.score, bar, wanted)
            end, code = fit(
                net, ready.X, ready.y, kept, data, epochs=options.epochs,
                batch_size=rows, optimizer=optimizer, validation=ready.validation,
                **arguments,
            )  # fmt: skip
    seconds = time.perf_counter() - began
    if not is_first:
        return code
    if options.resume is not None and options.search is None and kept.resumed:
        left = "" if kept.completed > kept.resumed else ", of which none is left to make"
        say(f"note: goes on behind epoch {kept.resumed} of {options.resume}: --epochs "
            f"{options.epochs}{left}")  # fmt: skip

    if kept.best is None:
        say(f"{end}; no epoch was completed, nothing was saved")
        return code
    epoch, _, parameters = kept.best
    net.parameters = parameters
    model.training = TrainingRecord(
        kept.history, shlex.join(["fcnn", *options.words]), data.source, _now(),
        *parts.record(ready.X_test, target.is_classes),
    )  # fmt: skip
    if code:
        output, kept_file = for_unfinished(output)
        model.save(output)
        best = "best model" if len(ready.validation[0]) else "model of the last completed epoch"
        say(f"{end}: saved the {best} so far (epoch {epoch}) to {output}{kept_file}")
        return code
    if options.output is None and output.exists():  # of a run that has ended meanwhile
        output = new_name(output)
        if picture is not None and options.plot is None:
            picture = picture_of(output)
    model.save(output)
    if trials:
        found = output.with_name(f"{output.name.removesuffix(ENDING)}.search.json")
        save(trials, found)
        tell_trials(trials, seconds)
        print(f"search     the configurations are in {found}")

    if len(ready.X_test):
        scores = model.scores(net.predict(ready.X_test), parts.y_test)
        print_results(scores, short=options.quiet)
    else:
        print("test       none (--test 0)")
    which = "the lowest validation loss" if len(ready.validation[0]) else "the last"
    before = kept.resumed if options.search is None else 0  # a search resumes its own trials
    made = _epochs(kept.completed - before)
    if before:
        made += f" behind the {before:,} of {options.resume}"
    print(f"time       {seconds:.3g} s for {made}; kept epoch {epoch}, {which}")
    print(f"model      {output}")
    if picture is not None:
        from fcnn.plot import plot_history

        on = " of the standardized target" if _is_standardized(model) else ""
        loss = "half the squared error" if net.loss == "squared_error" else net.loss
        plot_history(
            kept.history, path=picture, title=f"{Path(data.source).name}, {_shape(net)}",
            loss_label=f"{loss.replace('_', ' ')}{on}",
        )  # fmt: skip
        print(f"picture    {picture}")
    elif no_picture:
        print(f"picture    {no_picture}")
    if not options.quiet:
        print(f"use it     {shlex.join(['fcnn', 'predict', str(output), _like(options.data)])}")
        path = json.dumps(str(output), ensure_ascii=False)
        print(f"in Python  model = fcnn.load({path}); model.predict({_example(model)})")
    return 0


def _example(model: fcnn.Model) -> str:
    return "table" if model.features else "X"


def _like(source: str) -> str:
    return "DATA" if source in ("digits", "-") else source


def _is_standardized(model: fcnn.Model) -> bool:
    return is_scalable(model.network.loss) and model.target.scale is not None


def _shape(net: fcnn.Network) -> str:
    return "-".join(map(str, net.sizes))


def _describe(
    options: argparse.Namespace,
    data: Data,
    parts: Parts,
    ready: Prepared,
    optimizer: Optimizer,
    rows: int | None,
) -> None:
    model = ready.model
    net, target, columns = model.network, model.target, model.preparation.columns
    classes = f", {len(target.classes):,} classes" if target.classes else ""
    samples = len(data.targets.rows)
    tell(f"data       {data.source}: {samples:,} samples, {len(columns):,} features{classes}")
    if data.table.is_named:
        print_columns(data.kinds)
    tell(f"task       {data.targets.task}: {data.targets.reason}")
    tell(
        f"parts      {len(parts.rows):,} training, {len(parts.validation_rows):,} validation, "
        f"{len(parts.test_rows):,} test"
    )
    tell(
        f"inputs     {STANDARDIZATIONS[ready.how]}"
        f"{'; target standardized for training' if _is_standardized(model) else ''}"
    )
    hidden = ", ".join(dict.fromkeys(net.activations))
    tell(
        f"network    {_shape(net)}, {hidden}; {net.num_parameters:,} parameters, {net.dtype}; "
        f"loss {net.loss}"
    )
    how = f"of all rows at once, {options.optimizer}"
    if not isinstance(optimizer, SecondOrder):
        size = str(rows)
        if options.ranks is not None:
            size = f"{rows * options.ranks.size}, {rows} on each of {options.ranks.size} ranks"
        how = (
            f"in batches of {size}, {options.optimizer} with lr {optimizer.lr:g}"
            f"{_further(options, optimizer)}"
        )
    tell(f"training   {_epochs(options.epochs)} {how}, seed {options.seed}")


def _further(options: argparse.Namespace, optimizer: Optimizer) -> str:
    """Return what else is said of the updates."""
    decay = f", weight decay {optimizer.weight_decay:.2g}" if optimizer.weight_decay else ""
    return decay + (", cosine" if options.schedule is None else "")


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'s' * (count != 1)}"


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
