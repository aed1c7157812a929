"""``fcnn predict`` and ``fcnn inspect``: what is done with a saved network."""

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn._validation import TARGETS
from fcnn.cli.data import (
    CommandError,
    as_labels,
    check_writable,
    class_names,
    prepared,
    read_for_prediction,
    refusals,
    say,
)
from fcnn.metrics import r2

Array = NDArray[Any]


def most_probable(outputs: Array) -> Array:
    """Return the label of each row: of one output, whether it is above 1/2."""
    if outputs.shape[1] == 1:
        return np.asarray(outputs[:, 0] > 0.5, dtype=np.int64)
    return np.asarray(outputs.argmax(axis=1))


def regression_score(outputs: Array, y: Array) -> str:
    """Return the scores of a regression, in the units of y, as a line."""
    rows = y.reshape(len(y), -1).astype(np.float64)
    error = np.sqrt(np.mean((outputs - rows) ** 2, axis=0))
    return (
        f"r2 {r2(outputs, rows):.4f}, root mean square error "
        f"{', '.join(f'{e:.4g}' for e in error)} on {len(y):,} samples"
    )


def _load(path: str) -> fcnn.Network:
    with refusals():
        return fcnn.load(path)


def _classes(net: fcnn.Network) -> tuple[str, ...]:
    """Return the names of the classes; none if the outputs are numbers."""
    n_out = net.sizes[-1]
    if net.preprocessing is None:
        yes_or_no = TARGETS[net.loss] == "probabilities" and n_out == 1
        n_classes = n_out if TARGETS[net.loss] == "classes" else 2 * yes_or_no
        return tuple(str(k) for k in range(n_classes))
    return net.preprocessing.classes


def predict(options: argparse.Namespace) -> int:
    """Run ``fcnn predict`` and return its exit code."""
    if options.output is not None:
        check_writable("--output", Path(options.output), options.model, options.data)
    net = _load(options.model)
    classes = _classes(net)
    if options.probabilities and not classes:
        raise CommandError(f"--probabilities: {options.model} predicts numbers, not classes")
    X, y, part = read_for_prediction(options.data, options.model, net.sizes[0], net.preprocessing)
    if net.preprocessing is None:
        say(f"{options.model} holds no scaling: the inputs are taken as they are")
    outputs = net.predict(prepared(net.preprocessing, X, net.dtype, f"{options.data}, inputs"))

    header: list[str]
    columns: list[Any]
    answers = np.array(classes)[most_probable(outputs)] if classes else None
    if options.probabilities:
        header = list(classes)
        if outputs.shape[1] == 1:
            outputs = np.hstack([1 - outputs, outputs])
        columns = list(outputs.T)
    elif answers is not None:
        header, columns = ["prediction"], [answers]
    else:
        n = outputs.shape[1]
        header = ["prediction"] if n == 1 else [f"prediction_{k}" for k in range(1, n + 1)]
        columns = list(outputs.T)
    if options.output is None:
        _write_csv(sys.stdout, header, columns)
    else:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            _write_csv(file, header, columns)
    if y is not None:
        _report_score(outputs, answers, classes, y, part)
    return 0


def _write_csv(file: IO[str], header: list[str], columns: list[Any]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    # NumPy's str of a float is the shortest text that reads back as the same number of its type.
    writer.writerows([str(cell) for cell in row] for row in zip(*columns, strict=True))
    file.flush()  # the score is said after them, and not at all if nobody reads them


def _report_score(
    outputs: Array, answers: Array | None, classes: tuple[str, ...], y: Array, part: str
) -> None:
    y = as_labels(y) if answers is not None else y
    where = f" ({part})" if part else ""
    if answers is not None:
        if y.ndim == 1:
            names = class_names(y)
            if not np.isin(names, classes).any():
                say(f"no score: targets like {str(names[0])!r} are not among the model's classes")
                return
            right = int(np.count_nonzero(answers == names))
            say(f"accuracy {right / len(y):.4f}, {right:,} of {len(y):,} samples{where}")
            return
    elif y.dtype.kind in "biuf" and y.size == outputs.size:
        say(f"{regression_score(outputs, y)}{where}")
        return
    say(f"no score: the targets are {y.dtype} of shape {y.shape}, not what the model predicts")


def inspect(options: argparse.Namespace) -> int:
    """Run ``fcnn inspect`` and return its exit code."""
    net = _load(options.model)
    classes = _classes(net)
    print(f"{options.model}: {os.path.getsize(options.model):,} bytes")
    print(net.summary())
    if classes:
        print(f"\nclasses    {_some(classes)}")
    preparation = net.preprocessing
    if preparation is None:
        print("inputs     as they are: the file holds no scaling")
    else:
        if preparation.target:
            print(f"target     {preparation.target}")
        _inspect_inputs(preparation.features, preparation.mean, preparation.scale)
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


def _some(names: tuple[str, ...], most: int = 20) -> str:
    more = f", ... ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _inspect_inputs(features: tuple[str, ...], mean: Array, scale: Array, most: int = 50) -> None:
    if (mean == mean[0]).all() and (scale == scale[0]).all():
        print(f"inputs     (x - {mean[0]:.6g}) / {scale[0]:.6g}, the same for all {len(mean):,}")
        if features:
            print(f"features   {_some(features)}")
        return
    print("inputs     (x - mean) / scale, each by itself\n")
    names = features or tuple(f"feature {j}" for j in range(1, len(mean) + 1))
    rows: list[tuple[str, ...]] = [("feature", "mean", "scale")]
    rows += [(n, f"{m:.6g}", f"{s:.6g}") for n, m, s in zip(names, mean, scale, strict=True)][:most]
    _print_table(rows, left=(0,))
    if len(names) > most:
        print(f"... and {len(names) - most:,} more")


def _print_table(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> None:
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            c.ljust(w) if i in left else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, wide, strict=True))
        ]
        print("  ".join(cells).rstrip())
