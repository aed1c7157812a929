"""How good a model is, for the terminal: scores beside the trivial answer's, a table of classes."""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from fcnn.cli.terminal import columns_of, cut, padded
from fcnn.metrics import ClassScores, NumberScores, precision_recall_f1

_INDENT = 11  # of what `fcnn train` says, beyond the word that it begins with
_MOST_CLASSES = 20
_LEAST_WIDTH = 40
_LEAST_NAME = 12

_BOLD, _YELLOW, _OFF = "\x1b[1m", "\x1b[33m", "\x1b[0m"


def uses_color(stream: IO[Any]) -> bool:
    """Return whether a stream is a terminal that is to have colours: see no-color.org."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def print_results(
    scores: ClassScores | NumberScores, *, label: str = "test", short: bool = False
) -> None:
    """Print scores as `results` has them, as wide as the terminal."""
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    color = uses_color(sys.stdout)
    for line in results(scores, label=label, width=width, color=color, short=short):
        print(line)


def results(
    scores: ClassScores | NumberScores,
    *,
    label: str = "test",
    width: int = 100,
    color: bool = False,
    short: bool = False,
) -> list[str]:
    """Return scores as lines.

    Parameters
    ----------
    scores : fcnn.metrics.ClassScores or fcnn.metrics.NumberScores
    label : str, default "test"
        The word that the first line begins with.
    width : int, default 100
        Letters in a line, at least 40.
    color : bool, default False
        Emphasize with the codes of terminals.
    short : bool, default False
        The first line and the warnings alone.
    """
    width = max(width, _LEAST_WIDTH)
    if isinstance(scores, ClassScores):
        texts, table = _of_classes(scores, width)
    else:
        texts, table = _of_numbers(scores, width)
    lines = []
    for k, text in enumerate(texts[:1] if short else texts):
        lines += _wrapped(label if k == 0 else "", text, width)
    for k, row in enumerate(() if short else table):
        lines.append(f"{_BOLD}{row}{_OFF}" if color and k == 0 else row)
    for text in scores.warnings:
        told = _wrapped("warning", text, width)
        lines += [f"{_YELLOW}{line}{_OFF}" for line in told] if color else told
    return lines


def _of_classes(scores: ClassScores, width: int) -> tuple[list[str], list[str]]:
    names = scores.texts
    trivial = cut(repr(names[scores.baseline]), 30)
    texts = [
        f"accuracy {scores.accuracy:.4f} ({scores.right:,} of {scores.rows:,}); always {trivial} "
        f"has {scores.baseline_accuracy:.4f}",
        f"balanced accuracy {scores.balanced_accuracy:.4f}",
    ]
    if scores.roc_auc is not None and np.isfinite(scores.roc_auc):
        texts[1] += f", ROC AUC {scores.roc_auc:.4f}"
    precision, recall, f1, support = precision_recall_f1(scores.confusion_matrix)
    shown = np.arange(len(names))
    if len(names) > _MOST_CLASSES:  # the worst, those without a row last
        worst = np.argsort(np.where(np.isnan(recall), 2.0, recall), kind="stable")
        shown = np.sort(worst[:_MOST_CLASSES])
    rows = [
        (names[k], *(_share(column[k]) for column in (precision, recall, f1)), f"{support[k]:,}")
        for k in shown
    ]
    table = _table([("class", "precision", "recall", "F1", "rows"), *rows], width)
    if len(shown) < len(names):
        more = f"the {len(shown)} of {len(names):,} classes with the lowest recall"
        table += _wrapped("", more, width)
    return texts, table


def of_numbers(scores: NumberScores) -> str:
    """Return the scores of numbers as a line."""
    inside = "" if scores.d2 is None else f", d2 of the quantiles {scores.d2.mean():.4f}"
    if scores.coverage is not None:
        low, high = scores.levels[0], scores.levels[-1]
        inside += (
            f", {scores.coverage:.1%} of the samples between the quantiles {low:g} and {high:g} "
            f"(of {high - low:.0%})"
        )
    return (
        f"r2 {scores.r2.mean():.4f}, root mean square error "
        f"{', '.join(f'{e:.4g}' for e in scores.rmse)} on {scores.rows:,} samples{inside}"
    )


def _of_numbers(scores: NumberScores, width: int) -> tuple[list[str], list[str]]:
    texts = [of_numbers(scores)]
    if len(scores.rmse) == 1:
        texts.append(
            f"mean absolute error {scores.mae[0]:.4g}; always the mean, {scores.baseline[0]:.6g}, "
            f"has {scores.baseline_mae[0]:.4g}, and root mean square error "
            f"{scores.baseline_rmse[0]:.4g}"
        )
        return texts, []
    names = scores.names or tuple(f"target {k + 1}" for k in range(len(scores.rmse)))
    columns = scores.rmse, scores.baseline_rmse, scores.mae, scores.baseline_mae
    rows = [
        (name, f"{scores.r2[k]:.4f}", *(f"{column[k]:.4g}" for column in columns))
        for k, name in enumerate(names)
    ]
    heads = ("target", "r2", "rmse", "of mean", "mae", "of mean")
    return texts, _table([heads, *rows], width)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _wrapped(label: str, text: str, width: int) -> list[str]:
    """Return a text in lines of a width, which counts columns, not letters."""
    lines = [f"{label:{_INDENT}}"]
    room = width - _INDENT
    for word in text.split():
        word = cut(word, room)
        if columns_of(lines[-1]) + columns_of(word) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * _INDENT)
        lines[-1] += f"{word} "
    return [line.rstrip() for line in lines]


def _table(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Return rows as lines: the first column to the left, as wide as there is room for it."""
    numbers = [max(len(row[j]) for row in rows) for j in range(1, len(rows[0]))]
    room = width - sum(numbers) - 2 * len(numbers)
    indent = _INDENT if room - _INDENT >= _LEAST_NAME else 2
    room = max(room - indent, 5)
    wide = min(max(columns_of(row[0]) for row in rows), room)
    made = []
    for first, *rest in rows:
        name = cut(first, wide)
        cells = [cell.rjust(n) for cell, n in zip(rest, numbers, strict=True)]
        made.append(" " * indent + "  ".join([padded(name, wide), *cells]))
    return made
