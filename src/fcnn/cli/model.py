"""``fcnn predict`` and ``fcnn inspect``: what is done with a saved model."""

import argparse
import csv
import io
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn._format.container import opened
from fcnn._validation import TARGETS
from fcnn.cli.data import CommandError, check_writable, read_for_prediction, refusals, say
from fcnn.cli.output import ENDING
from fcnn.cli.results import of_numbers
from fcnn.cli.terminal import columns_of, cut, padded, visible
from fcnn.metrics import NumberScores
from fcnn.tables import ColumnKind, Preparation, Table, TableError, Target
from fcnn.tables.table import some
from fcnn.tables.target import most_probable

Array = NDArray[Any]


def load(path: str, data: str = "") -> tuple[fcnn.Model, bool]:
    """Return the model in a file, and whether it is more than a network; `data` is beside it."""
    try:
        with refusals():
            return _as_model(fcnn.load(path), path)
    except CommandError as error:
        if data.endswith(ENDING) and not path.endswith(ENDING):
            error.args = (f"{path}: not a model file; did you mean {data} {path}?",)
        raise


def _as_model(
    loaded: fcnn.Model | fcnn.Network | fcnn.Ensemble, path: str
) -> tuple[fcnn.Model, bool]:
    if isinstance(loaded, fcnn.Ensemble):
        raise CommandError(
            f"{path}: expected a model or a network, got an ensemble of {len(loaded)} networks; in "
            "Python fcnn.load gives it back"
        )
    if isinstance(loaded, fcnn.Model):
        return loaded, True
    n_in, n_out = loaded.sizes[0], loaded.sizes[-1]
    yes_or_no = TARGETS[loaded.loss] == "probabilities" and n_out == 1
    n_classes = n_out if TARGETS[loaded.loss] == "classes" else 2 * yes_or_no
    preparation = Preparation.of_numbers(np.zeros(n_in), np.ones(n_in))
    return fcnn.Model(loaded, preparation, Target((), range(n_classes))), False


def predict(options: argparse.Namespace) -> int:
    """Run ``fcnn predict`` and return its exit code."""
    if options.output is not None:
        check_writable("--output", Path(options.output), options.model, options.data)
    model, is_whole = load(options.model, options.data)
    classes = model.target.class_texts
    if options.probabilities and not classes:
        raise CommandError(f"--probabilities: {options.model} predicts numbers, not classes")
    table, y, part = read_for_prediction(
        options.data, not options.no_header, options.sheet, are_classes=bool(model.classes)
    )
    notes = list(table.notes)
    if not is_whole:
        notes.append(f"{options.model} holds no scaling: the inputs are taken as they are")
    with refusals():
        X = model.prepare(table, notes)
    for note in notes:
        say(f"note: {note}")
    outputs = model.network.predict(X)

    header: list[str]
    columns: list[Any]
    if options.probabilities:
        header = list(classes)
        shares = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
        columns = list(shares.T)
    elif classes:
        header, columns = ["prediction"], [_texts(model, outputs)]
    else:
        header, columns = _numbers(model, outputs)
    if options.append:
        if not table.is_named:
            raise CommandError(f"--append: is for tables; {options.data} has no named columns")
        header = [_free(name, table.names) for name in header]
        header = [*table.names, *header]
        columns = [*(column.written() for column in table.columns), *columns]
    if options.output is None:
        if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding="utf-8")  # a table is the same wherever it goes
        _write_csv(sys.stdout, header, columns)
    else:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            _write_csv(file, header, columns)
    _report_score(model, X, outputs, table, y, part)
    return 0


def _numbers(model: fcnn.Model, outputs: Array) -> tuple[list[str], list[Any]]:
    """Return names and columns of what a model predicts: target by target."""
    n = model.network.num_targets
    names = model.targets or tuple(map(str, range(1, n + 1)))
    answers = model.decode(outputs).reshape(len(outputs), n, -1)
    kinds, parts = ["prediction"], [answers[:, :, 0]]
    if model.levels[1:]:
        kinds = [f"quantile_{level:g}" for level in model.levels]
        parts = list(np.moveaxis(answers, 2, 0))
    elif model.has_std:
        kinds, parts = [*kinds, "std"], [*parts, model.deviations(outputs)]
    header, columns = [], []
    for k, name in enumerate(names):
        for kind, part in zip(kinds, parts, strict=True):
            header.append(kind if n == 1 else f"{kind}_{name}")
            columns.append(part[:, k])
    return header, columns


def _texts(model: fcnn.Model, outputs: Array) -> Array:
    """Return the class of each row as a text."""
    with refusals():
        return np.array(model.target.class_texts)[most_probable(outputs)]


def _free(name: str, taken: Sequence[str]) -> str:
    """Return a name, with _2, _3, ... behind it if a column has it."""
    candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _write_csv(file: IO[str], header: list[str], columns: list[Any]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    # NumPy's str of a float is the shortest text that reads back as the same number of its type.
    writer.writerows([str(cell) for cell in row] for row in zip(*columns, strict=True))
    file.flush()  # the score is said after them, and not at all if nobody reads them


def _report_score(
    model: fcnn.Model, X: Array, outputs: Array, table: Table, y: Table | None, part: str
) -> None:
    """Say how good the answers are, where targets are known."""
    target = model.target
    if y is None:
        if not model.targets or not all(name in table for name in model.targets):
            return
        y = Table([table[name] for name in model.targets], table.source, line=table.where_line)
    known = np.all([target.has_value(column) for column in y.columns], axis=0)
    rows = np.flatnonzero(known)
    if not len(rows):
        return  # not known yet
    where = f" ({part})" if part else ""
    some = y.take(rows)
    try:
        if len(some.columns) != (1 if target.is_classes else model.network.num_targets):
            raise TableError(f"{len(some.columns)} columns of targets")
        values = target.encode_columns((some.columns, some))
    except TableError as error:
        say("; ".join([f"no score: {error.heading}", *error.problems[:1]]))
        return
    answers = outputs[rows]

    def tell(some: Any, where: str) -> None:
        if target.is_classes:
            with refusals():
                right = int(np.count_nonzero(most_probable(answers[some]) == values[some]))
            count = len(values[some])
            say(f"accuracy {right / count:.4f}, {right:,} of {count:,} samples{where}")
            return
        scores = model.scores(answers[some], values[some])
        assert isinstance(scores, NumberScores)
        say(f"{of_numbers(scores)}{where}")

    held_out = None if model.training is None else model.training.held_out
    held = held_out.find(X[rows], values) if held_out is not None and not part else None
    if held is None:
        tell(slice(None), where)
    else:
        tell(slice(None), f" (the model was made of {len(values) - len(held):,} of them)")
        tell(held, " (those that were held out)")


def _inspect_file(path: str) -> None:
    with opened(Path(path)) as file:
        found = f"{file.checksum} is right" if file.checksum else "none: the file is not verified"
        print(f"{path}: {file.size:,} bytes\nchecksum   {found}\n")


def _inspect_ensemble(ensemble: fcnn.Ensemble, path: str) -> int:
    _inspect_file(path)
    print(f"an ensemble of {len(ensemble)} networks")
    summaries = [network.summary() for network in ensemble]
    for summary in dict.fromkeys(summaries):
        same = [str(i) for i, other in enumerate(summaries) if other == summary]
        print(f"\nnetwork{'s' * (len(same) > 1)} {', '.join(same)}\n{summary}")
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Run ``fcnn inspect`` and return its exit code."""
    with refusals():
        loaded = fcnn.load(options.model)
    if isinstance(loaded, fcnn.Ensemble):
        return _inspect_ensemble(loaded, options.model)
    model, is_whole = _as_model(loaded, options.model)
    net = model.network
    _inspect_file(options.model)
    print(net.summary())
    if model.classes:
        print(visible(f"\nclasses    {some(model.target.class_texts)}"))
    if model.targets:
        print(visible(f"target     {', '.join(model.targets)}"))
    if not is_whole:
        print("inputs     as they are: the file holds no scaling")
    else:
        _inspect_inputs(model)
    rows: list[tuple[str, ...]] = [
        ("weights", "mean", "deviation", "lowest", "highest", "biases", "lowest", "highest")
    ]
    for l, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        numbers = (W.mean(dtype=float), W.std(dtype=float), W.min(), W.max())
        rows.append(
            (f"W{l}", *(f"{v:.4g}" for v in numbers), f"b{l}", f"{b.min():.4g}", f"{b.max():.4g}")
        )
    print()
    _print_table(rows, left=(0, 5))
    return 0


def _inspect_inputs(model: fcnn.Model, most: int = 50) -> None:
    mean, scale = model.preparation.mean, model.preparation.scale
    if not model.features and (mean == mean[0]).all() and (scale == scale[0]).all():
        print(f"inputs     (v - {mean[0]:.6g}) / {scale[0]:.6g}, the same for all {len(mean):,}")
        return
    rows = [("column", "kind", "becomes"), *model.rows()]
    print()
    _print_table(rows[: most + 1], left=(0, 1, 2))
    if len(rows) > most + 1:
        print(f"... and {len(rows) - most - 1:,} more")


def print_columns(kinds: Sequence[ColumnKind], most: int = 40) -> None:
    """Print what kind each column is, and what is left out and why; lines fit the terminal."""
    width = max(os.get_terminal_size().columns, 40) if sys.stdout.isatty() else 100
    names = [cut(kind.name, 24) for kind in kinds[:most]]
    wide = max(map(columns_of, names))
    for i, (name, kind) in enumerate(zip(names, kinds, strict=False)):
        said = kind.said if kind.kind else kind.why
        line = f"{padded(name, wide)}  {kind.kind or 'left out':8}  {said}"
        print(cut(f"{'columns' if i == 0 else '':11}{line}".rstrip(), width))
    if len(kinds) > most:
        gone = sum(not kind.kind for kind in kinds[most:])
        print(f"{'':11}... and {len(kinds) - most:,} more, {gone:,} of them left out")


def _print_table(rows: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> None:
    rows = [tuple(map(visible, row)) for row in rows]
    wide = [max(columns_of(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            padded(c, w, right=i not in left)
            for i, (c, w) in enumerate(zip(row, wide, strict=True))
        ]
        print("  ".join(cells).rstrip())
