"""What the commands share: refusals; data by name or path, their targets and their parts."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn import datasets
from fcnn._dispatch import core
from fcnn._format.replacing import refuse_unwritable
from fcnn.cli.terminal import drop_unwritten, visible
from fcnn.tables import (
    ColumnKind,
    Table,
    TableError,
    TargetReading,
    as_table,
    infer_columns,
    read_table,
    read_target,
)
from fcnn.tables.reading import without_empty_rows
from fcnn.tables.table import some

Array = NDArray[Any]

KINDS = (
    "digits, a table (CSV, TSV, Parquet, JSON lines, Excel; - for standard input), an .npz file or "
    "a folder of IDX files"
)

# Exit codes.
FAILED = 1  # of what was asked for: training diverged, bench found two different answers
REFUSED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended

# The tasks, and the loss of each unless --loss names another.
DEFAULT_LOSSES = {"classification": "cross_entropy", "regression": "squared_error"}

LOSSES = tuple(check.OUTPUT_ACTIVATIONS)

# Errors that grow with the unit of the target, and a spread that is in it: networks are trained on
# the standardized one. The unit of an error of huber's is that of its bend, so there the mean alone
# is taken out.
SCALABLE_LOSSES = ("squared_error", "absolute_error", "gaussian_nll", "quantile")
SHIFTABLE_LOSSES = ("huber",)


def is_scalable(loss: str) -> bool:
    """Whether a network of a loss is trained on the standardized target."""
    return core.split_loss(loss)[0] in SCALABLE_LOSSES


# What can be done with the inputs, and how that is told.
STANDARDIZATIONS = {
    "features": "(x - mean) / deviation, each feature by itself",
    "together": "(x - mean) / deviation, the same two for all features",
    "none": "as they are",
}


class CommandError(Exception):
    """A refusal: its message is what the user sees, one line, or one and a list."""

    def __init__(self, message: str, code: int = REFUSED, command: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.command = command  # where it is not known yet which one runs


@contextlib.contextmanager
def refusals(**renamed: str) -> Iterator[None]:
    """Turn what the library refuses into a CommandError.

    The library's messages start with an argument's name and a colon; `renamed` says what that
    argument is to the user.
    """
    try:
        yield
    except (ValueError, TypeError, FileNotFoundError, IsADirectoryError) as error:
        text = str(error) if isinstance(error, TableError) else " ".join(str(error).split())
        name, colon, rest = text.partition(":")
        # "activation[0]" is about activation.
        argument, bracket, index = name.partition("[")
        known = renamed.get(argument.replace(" ", "_"))
        if colon and known is not None:
            name = f"{known}{bracket}{index}"
        raise CommandError(f"{name}{colon}{rest}") from None


def say(line: str, head: str = "") -> None:
    """Print a line on stderr, where it is not part of the answer; its head may have colours."""
    try:
        print(head + visible(line), file=sys.stderr, flush=True)
    except OSError:  # nobody hears it, but the exit code
        drop_unwritten(sys.stderr)


def check_writable(option: str, path: Path, *inputs: str) -> None:
    """Refuse a file that cannot be written, before the work whose answer it is to hold."""
    for source in inputs:
        if path.is_file() and Path(source).exists() and path.samefile(source):
            raise CommandError(f"{option}: {path} would replace what is read")
    try:
        # Models are replaced, but for those that were made read-only.
        refuse_unwritable(path, option, in_place=True)
        if path.suffix == ".safetensors":
            refuse_unwritable(path, option)
    except OSError as error:
        raise CommandError(str(error)) from None


# --- Data sets -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Data:
    """Samples and their targets, to train on.

    Attributes
    ----------
    source : str
    table : Table
        All but the samples of `test`.
    kinds : list of ColumnKind
        Of its columns, without those of the targets.
    targets : TargetReading
        Of `table` and, behind it, of `test`.
    test : Table or None
        The samples to test with, where the data have some of their own.
    is_images : bool
    """

    source: str
    table: Table
    kinds: list[ColumnKind]
    targets: TargetReading
    test: Table | None = None
    is_images: bool = False

    @property
    def whose(self) -> str:
        """How messages call the targets."""
        names = self.targets.target.names
        if not names:
            return f"{self.source}, targets"
        return f"{self.source}, column{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"


def _kind(source: str) -> str:
    path = Path(source)
    if source == "digits":
        return "digits"
    if source == "-":
        return "table"
    if path.is_dir():
        return "idx"
    if not path.exists():
        raise CommandError(f"DATA: there is no file or folder {source!r}; expected {KINDS}")
    if path.suffix.lower() == ".npz":
        return "npz"
    if path.suffix.lower() in (".npy", ".safetensors") or "-ubyte" in path.name:
        raise CommandError(f"DATA: {source!r} is not a kind of file that is read; expected {KINDS}")
    return "table"


def read_for_training(
    source: str,
    target: str | None,
    task: str = "auto",
    *,
    ignored: Sequence[str] = (),
    given: Sequence[str] = (),
    header: bool = True,
    sheet: str | None = None,
    loss: str | None = None,
) -> Data:
    """Read data with their targets.

    Parameters
    ----------
    source, target, task, sheet, loss
        What DATA, --target, --task, --sheet and --loss say.
    ignored, given : sequence of str
        The texts of each --ignore and --columns.
    header : bool
        The first line of a text file names the columns.
    """
    kind = _kind(source)
    with refusals(
        path="DATA", names="--target", given="--columns", ignored="--ignore", sheet="--sheet",
        header="--no-header",
    ):  # fmt: skip
        if kind == "table":
            return _read_table(source, target, task, ignored, given, header, sheet, loss)
        for option, value in (
            ("--target", target), ("--ignore", ignored), ("--columns", given), ("--sheet", sheet),
            ("--no-header", not header),
        ):  # fmt: skip
            if value:
                raise CommandError(f"{option}: is for tables; {source} has no named columns")
        X, y, X_test, y_test = _read_arrays(source, kind)
        if y is None:
            raise CommandError(f"{source}: holds no y; expected targets to train on")
        is_images = kind in ("digits", "idx")
        table = as_table(X, source)
        targets = _read_targets(source, y, y_test, task, is_images)
        test = None if X_test is None else as_table(X_test, source)
        return Data(source, table, infer_columns(table), targets, test, is_images)


def read_for_prediction(
    source: str, header: bool = True, sheet: str | None = None, *, are_classes: bool
) -> tuple[Table, Table | None, str]:
    """Read inputs, and where they are apart from them, targets; `are_classes` says of what model.

    Returns
    -------
    table : Table
    y : Table or None
        Targets that are not columns of the table.
    part : str
        Which samples these are.
    """
    kind = _kind(source)
    part, task = "", "classification" if are_classes else "regression"
    with refusals(path="DATA", sheet="--sheet", header="--no-header"):
        if kind == "table":
            return _table(source, header, sheet), None, ""
        if sheet is not None:
            raise CommandError(f"--sheet: is for tables; {source} has no sheets")
        if not header:
            raise CommandError(f"--no-header: is for tables; {source} has no named columns")
        X, y, X_test, y_test = _read_arrays(source, kind)
        if X_test is not None:
            X, y, part = X_test, y_test, "the test part"
        elif kind == "digits":
            part = "all of digits, those the model was trained on among them"
        return as_table(X, source), None if y is None else _as_targets(source, y, task), part


def _read_arrays(source: str, kind: str) -> datasets.Split:
    """Read X, y, X_test, y_test; all but X may be None."""
    readers: dict[str, Callable[[], datasets.Split]] = {
        "digits": lambda: (*datasets.load_digits(), None, None),
        "npz": lambda: datasets.load_npz(source),
        "idx": lambda: datasets.load_idx_folder(source),
    }
    arrays = X, y, X_test, y_test = readers[kind]()
    for part, inputs, targets in (("", X, y), ("test ", X_test, y_test)):
        if inputs is None:
            continue
        if inputs.size == 0:
            raise CommandError(f"{source}: the {part}inputs are empty, of shape {inputs.shape}")
        _refuse_nonfinite(source, f"{part}inputs", inputs)
        if targets is None:
            continue
        if targets.ndim > 2 or targets.size == 0 or targets.dtype.kind not in "biufUS":
            raise CommandError(
                f"{source}: the {part}targets are {targets.dtype} of shape {targets.shape}; "
                "expected numbers or text, one for each sample, or rows of numbers"
            )
        _refuse_nonfinite(source, f"{part}targets", targets)
    return arrays


def _refuse_nonfinite(source: str, what: str, values: Array) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        raise CommandError(
            f"{source}: the {what} hold {values[tuple(place)]} at {place.tolist()}; "
            "expected finite numbers"
        )


def _as_targets(source: str, y: Array, task: str) -> Table:
    """Return targets as a table; one-hot rows become labels, unless numbers are asked for."""
    if task != "regression" and y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf":
        is_one_hot = ((y == 0) | (y == 1)).all() and (np.count_nonzero(y, axis=1) == 1).all()
        if is_one_hot:
            y = y.argmax(axis=1)
    return as_table(y[:, np.newaxis] if y.ndim == 1 else y, source)


def _read_targets(
    source: str, y: Array, y_test: Array | None, task: str, is_images: bool
) -> TargetReading:
    """Return targets of arrays, those of training and behind them those of testing."""
    parts = [_as_targets(source, part, task) for part in (y, y_test) if part is not None]
    if len({len(part.columns) for part in parts}) != 1:
        assert y_test is not None
        raise CommandError(
            f"{source}, targets: shape {y.shape} for training but {y_test.shape} for testing"
        )
    if len({part.columns[0].is_text for part in parts}) != 1:
        assert y_test is not None
        raise CommandError(
            f"{source}, targets: {y.dtype} for training but {y_test.dtype} for testing"
        )
    columns = [
        np.concatenate([part.columns[j].values for part in parts])
        for j in range(len(parts[0].columns))
    ]
    table = as_table(np.stack(columns, axis=1), source)
    # An image is of something, however many things there are; so are one-hot rows.
    whole = len(columns) == 1 and columns[0].dtype.kind in "iu"
    if whole and task == "auto" and (is_images or (y.ndim == 2 and y.shape[1] > 1)):
        found = read_target(table, (), "classification")
        return found._replace(
            reason=f"the targets are whole numbers with {len(found.target.classes):,} distinct "
            "values (--task regression takes them for numbers)"
        )
    return read_target(table, (), task, are_labels=whole)


# --- Tables: columns by name ----------------------------------------------------------------------


def _table(source: str, header: bool, sheet: str | None) -> Table:
    try:
        return read_table(source, header=header, sheet=sheet)
    except ImportError as error:  # of polars, or of what it needs
        raise CommandError(" ".join(str(error).split())) from None


def _read_table(
    source: str,
    target: str | None,
    task: str,
    ignored: Sequence[str],
    given: Sequence[str],
    header: bool,
    sheet: str | None,
    loss: str | None,
) -> Data:
    errors: list[TableError] = []
    try:
        table = _table(source, header, sheet)
    except TableError as error:
        if error.rest is None or target is None:
            raise
        errors.append(error)
        table = error.rest
    table = without_empty_rows(table)
    names = table.names
    for note in table.notes:
        say(f"note: {note}")
    if target is None:
        raise CommandError(
            f"--target: a table needs it; the columns of {source} are: {some(names)}"
        )
    targets = _listed_names(names, target)
    missing = [name for name in targets if name not in names]
    if missing:
        raise CommandError(
            f"--target: {source} has no column {', '.join(map(repr, missing))}; expected "
            f"{some(names)}{check.did_you_mean(missing[0], names)}"
        )
    ignore = [name for text in ignored for name in _unnamed(names, _listed_names(names, text))]
    columns = _given_kinds(names, given)
    if both := [name for name in ignore if name in columns]:
        raise CommandError(f"--ignore: {both[0]!r} has a kind by --columns; expected one or the "
                           "other")  # fmt: skip
    asked, kind = task, ""
    for name in targets:
        kind = columns.pop(name, "")
        task = _task_of(name, kind, task)
        if kind == "boolean":
            try:
                infer_columns(table, (), {name: kind}, [other for other in names if other != name])
            except TableError as error:
                errors.append(error)
    # The entropies are for classes.
    are_labels = loss is not None and check.TARGETS[loss] in ("classes", "probabilities")
    # What is wrong with the inputs and with the targets is listed at once.
    try:
        kinds = infer_columns(table, targets, columns, ignore)
    except TableError as error:
        if not error.heading.startswith(source):  # of the options, not of the file
            raise
        errors.append(error)
    try:
        reading = read_target(table, targets, task, are_labels=are_labels)
    except TableError as error:
        errors.append(error)
    if errors:
        raise TableError.joined(source, errors)
    if kind == "boolean" and len(classes := reading.target.class_texts) > 2:
        raise CommandError(
            f"--columns: expected two values of the target {name!r}, got "
            f"{some([*map(repr, classes)], 5)}; expected {name}=category, or one spelling each"
        )
    for note in reading.notes:
        say(f"note: {note}")
    if asked == "auto" and reading.reason == f"--task {task}":
        reading = reading._replace(reason=f"--columns {name}={kind}")
    return Data(source, table, kinds, reading)


def _task_of(name: str, kind: str, task: str) -> str:
    """Return the task that --columns says by the kind of a target."""
    if not kind:
        return task
    tasks = {"number": "regression", "category": "classification", "boolean": "classification"}
    if kind not in tasks:
        raise CommandError(
            f"--columns: expected the target {name!r} to be {check.listed(list(tasks))}, got "
            f"{kind!r}"
        )
    if task not in ("auto", tasks[kind]):
        raise CommandError(f"--columns: {name}={kind} contradicts --task {task}")
    return tasks[kind]


def _listed_names(names: Sequence[str], text: str) -> list[str]:
    """Return names that a comma separates; a name may hold one itself."""
    return [text] if text in names else [part.strip() for part in text.split(",")]


def _unnamed(names: Sequence[str], wanted: list[str]) -> list[str]:
    """Return names, instead of an empty one those that columns without a name have."""
    unnamed = [name for name in names if name.startswith("Unnamed: ")]
    return [n for name in wanted for n in (unnamed if not name and unnamed else [name])]


def _given_kinds(names: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """Return the kinds that --columns gives, as in age=number,zip=category."""
    kinds: dict[str, str] = {}
    for text in texts:
        whole = text.rpartition("=")[0] in names
        for part in [text] if whole else text.split(","):
            name, equals, kind = part.rpartition("=")
            if not equals:
                raise CommandError(
                    f"--columns: expected NAME=KIND, as in zip=category, got {part!r}"
                )
            name, kind = name if name in names else name.strip(), kind.strip()
            if kinds.setdefault(name, kind) != kind:
                raise CommandError(
                    f"--columns: {name!r} is to be {kinds[name]} and {kind}; expected one kind"
                )
    return kinds
