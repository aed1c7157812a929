"""What the commands share: refusals; data sets by name or path, their targets and their parts."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn import datasets
from fcnn.preprocessing import Preprocessing

Array = NDArray[Any]

KINDS = "digits, a CSV file with a header, an .npz file or a folder of IDX files"

# Exit codes.
FAILED = 1  # of what was asked for: training diverged, bench found two different answers
REFUSED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended

# The tasks, and the loss of each unless --loss names another.
DEFAULT_LOSSES = {"classification": "cross_entropy", "regression": "squared_error"}

# Errors that grow with the unit of the target: a network for the standardized target becomes one
# for the target itself by scaling its last layer.
SCALABLE_LOSSES = ("squared_error", "absolute_error")

# What can be done with the inputs, and how that is told.
STANDARDIZATIONS = {
    "features": "(x - mean) / deviation, each feature by itself",
    "together": "(x - mean) / deviation, the same two for all features",
    "none": "as they are",
}

# Beyond, texts are taken for names and whole numbers for quantities, not for classes.
MOST_CLASSES = 100
MOST_NUMBERS = 20


class CommandError(Exception):
    """A refusal: its message is the one line that the user sees."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def refusals(**renamed: str) -> Iterator[None]:
    """Turn what the library refuses into a CommandError.

    The library's messages start with an argument's name and a colon; `renamed` says what that
    argument is to the user.
    """
    try:
        yield
    except (ValueError, TypeError, FileNotFoundError, IsADirectoryError) as error:
        name, colon, rest = " ".join(str(error).split()).partition(":")
        # "activation[0]" is about activation.
        argument, bracket, index = name.partition("[")
        known = renamed.get(argument.replace(" ", "_"))
        if colon and known is not None:
            name = f"{known}{bracket}{index}"
        raise CommandError(f"{name}{colon}{rest}") from None


def say(line: str) -> None:
    """Print a line on stderr, where it is not part of the answer."""
    print(line, file=sys.stderr, flush=True)


def check_writable(option: str, path: Path, *inputs: str) -> None:
    """Refuse a file that cannot be written, before the work whose answer it is to hold."""
    if path.is_dir():
        raise CommandError(f"{option}: {path} is a folder; expected a file")
    for source in inputs:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise CommandError(f"{option}: {path} would replace what is read")
    if path.exists() and not path.is_file():
        return  # a device or a pipe: opening it would already mean something
    try:
        if path.exists():
            with open(path, "ab"):
                pass
        # A rehearsal that leaves nothing behind: Network.save writes beside the file.
        if not path.exists() or path.suffix == ".safetensors":
            rehearsal = Path(os.path.realpath(path)).with_name(f".fcnn-{os.urandom(8).hex()}")
            with open(rehearsal, "xb"):
                pass
            rehearsal.unlink()
    except OSError as error:
        raise CommandError(f"{option}: {path} cannot be written: {error.strerror}") from None


# --- Data sets -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples and targets; the test part is None if the data have none of their own."""

    source: str
    X: Array
    y: Array
    X_test: Array | None = None
    y_test: Array | None = None
    features: tuple[str, ...] = ()
    target: str = ""
    is_images: bool = False

    @property
    def whose(self) -> str:
        """How messages call the targets."""
        return (
            f"{self.source}, column {self.target!r}" if self.target else f"{self.source}, targets"
        )


def _kind(source: str) -> str:
    path = Path(source)
    if source == "digits":
        return "digits"
    if path.is_dir():
        return "idx"
    if not path.exists():
        raise CommandError(f"DATA: there is no file or folder {source!r}; expected {KINDS}")
    if path.suffix.lower() == ".npz":
        return "npz"
    if path.suffix.lower() in (".gz", ".npy", ".safetensors") or path.name.endswith("-ubyte"):
        raise CommandError(f"DATA: {source!r} is not a kind of file that is read; expected {KINDS}")
    return "csv"


def read_for_training(source: str, target: str | None, ignored: Sequence[str] = ()) -> DataSet:
    """Read a data set with its targets, a table without its ignored columns."""
    kind = _kind(source)
    with refusals(path="DATA", target="--target"):
        if kind == "csv":
            return _read_table(source, target, ignored)
        if target is not None:
            raise CommandError(
                f"--target: is for CSV files; {source} has targets of its own, without a name"
            )
        if ignored:
            raise CommandError(f"--ignore: is for CSV files; {source} has no named columns")
        X, y, X_test, y_test = _read_arrays(source, kind)
        if y is None:
            raise CommandError(f"{source}: holds no y; expected targets to train on")
        return DataSet(source, X, y, X_test, y_test, is_images=kind in ("digits", "idx"))


def read_for_prediction(
    source: str, model: str, n_in: int, preparation: Preprocessing | None
) -> tuple[Array, Array | None, str]:
    """Read inputs, in the order that a model expects.

    Returns
    -------
    X : numpy.ndarray, shape (s, n_in)
    y : numpy.ndarray or None
        Targets, if the data have them.
    part : str
        Which samples these are.
    """
    kind = _kind(source)
    part = ""
    with refusals(path="DATA"):
        if kind == "csv":
            X, y = _read_columns(source, model, n_in, preparation)
        else:
            X, y, X_test, y_test = _read_arrays(source, kind)
            if X_test is not None:
                X, y, part = X_test, y_test, "the test part"
            elif kind == "digits":
                part = "all of digits, those the model was trained on among them"
    if X.shape[1] != n_in:
        raise CommandError(f"{source}: {X.shape[1]} features; {model} expects {n_in}")
    return X, y, part


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


# --- CSV columns by name --------------------------------------------------------------------------


def _read_table(source: str, target: str | None, ignored: Sequence[str]) -> DataSet:
    columns = datasets.csv_columns(source)
    if target is None:
        raise CommandError(
            f"--target: a CSV file needs it; the columns of {source} are: {', '.join(columns)}"
        )
    # A name may hold a comma; a list of names has them between.
    ignored = [
        name for text in ignored for name in ([text] if text in columns else text.split(","))
    ]
    for name in ignored:
        if name not in columns or name == target:
            others = ", ".join(c for c in columns if c != target)
            raise CommandError(f"--ignore: got {name!r}, expected columns out of {others}")
    features = [name for name in columns if name != target and name not in ignored]
    try:
        table = datasets.load_csv(source, target, features)
    except ValueError as error:
        if ", column " in str(error):
            raise CommandError(f"{error} (--ignore leaves out a column)") from None
        raise
    assert table.y is not None
    return DataSet(source, table.X, table.y, features=tuple(table.features), target=target)


def _read_columns(
    source: str, model: str, n_in: int, preparation: Preprocessing | None
) -> tuple[Array, Array | None]:
    columns = datasets.csv_columns(source)
    features = preparation.features if preparation is not None else ()
    target = preparation.target if preparation is not None else ""
    missing = [name for name in features if name not in columns]
    if missing:
        raise CommandError(
            f"{source}: lacks the column{'s' * (len(missing) > 1)} "
            f"{', '.join(map(repr, missing))}; {model} was trained on {', '.join(features)}"
        )
    if target in columns:
        # Targets that are not known yet must not be in the way of predicting them.
        with contextlib.suppress(ValueError):
            table = datasets.load_csv(source, target, features or None)
            return table.X, table.y
    others = [name for name in columns if name != target]
    return datasets.load_csv(source, features=features or others).X, None


# --- Targets --------------------------------------------------------------------------------------


def class_names(values: Array) -> NDArray[np.str_]:
    """Return labels as text: 3, 3.0 and "3" are the same class."""
    if values.dtype.kind == "f":
        texts = [str(int(v)) if v.is_integer() else repr(v) for v in values.tolist()]
        return np.array(texts, dtype=np.str_)
    return np.asarray(values, dtype=np.str_)


def as_labels(y: Array) -> Array:
    """Return targets with one label or number for each sample in one dimension, if they allow it.

    Columns of one-hot rows become the labels 0, 1, ...; other rows are returned as they are.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "biuf":
        is_one_hot = ((y == 0) | (y == 1)).all() and (np.count_nonzero(y, axis=1) == 1).all()
        if is_one_hot:
            return np.asarray(y.argmax(axis=1))
    return y


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of a task: labels 0..n-1 and what they stand for, or numbers and no classes."""

    y: Array
    y_test: Array | None
    classes: tuple[str, ...]
    reason: str

    @property
    def task(self) -> str:
        """The word that ``--task`` takes."""
        return "classification" if self.classes else "regression"


def choose_task(data: DataSet, task: str) -> Targets:
    """Make a data set's targets labels or numbers, as the task says or as they look like."""
    whose = data.whose
    parts = [as_labels(part) for part in (data.y, data.y_test) if part is not None]
    if len({part.shape[1:] for part in parts}) != 1:
        raise CommandError(
            f"{whose}: shape {data.y.shape} for training but {parts[1].shape} for testing"
        )
    try:
        everything = np.concatenate([class_names(p) if _has_text(p) else p for p in parts])
    except (TypeError, ValueError):
        raise CommandError(
            f"{whose}: {data.y.dtype} for training but {parts[1].dtype} for testing"
        ) from None
    reason = f"--task {task}"
    if task == "auto":
        task, reason = _guess_task(data, everything)
    convert = {"classification": _as_classes, "regression": _as_numbers}[task]
    return convert(whose, parts, everything, reason)


def _as_numbers(whose: str, parts: list[Array], everything: Array, reason: str) -> Targets:
    if _has_text(everything):
        raise CommandError(
            f"{whose}: {str(everything[0])!r} is text; --task regression expects numbers"
        )
    y, *test = (np.asarray(p, dtype=np.float64 if p.dtype.kind == "b" else None) for p in parts)
    return Targets(y, test[0] if test else None, (), reason)


def _as_classes(whose: str, parts: list[Array], everything: Array, reason: str) -> Targets:
    if everything.ndim == 2:
        raise CommandError(
            f"{whose}: rows of {everything.shape[1]} numbers that are not one-hot; "
            "--task classification expects a label for each sample"
        )
    values, labels = np.unique(everything, return_inverse=True)
    names = tuple(class_names(values).tolist())
    if len(names) < 2:
        raise CommandError(
            f"{whose}: only {names[0]!r}; classification expects two classes or more"
        )
    labels = labels.astype(np.int64)
    return Targets(
        labels[: len(parts[0])],
        labels[len(parts[0]) :] if len(parts) > 1 else None,
        names,
        reason,
    )


def _has_text(y: Array) -> bool:
    return y.dtype.kind in "US"


def _guess_task(data: DataSet, y: Array) -> tuple[str, str]:
    if y.ndim == 2:
        return "regression", f"{y.shape[1]} numbers for each sample"
    if y.dtype.kind == "f" and not (y == np.floor(y)).all():
        return "regression", "the targets are decimal numbers"
    distinct = len(np.unique(y))
    count = f"{distinct:,} distinct value{'s' * (distinct != 1)}"
    if _has_text(y):
        if distinct > MOST_CLASSES:
            raise CommandError(
                f"{data.whose}: text with {count}; is it the right column? "
                "--task classification takes each for a class"
            )
        return "classification", f"the targets are text with {count}"
    if y.dtype.kind == "b":
        return "classification", "the targets are true or false"
    # Whole numbers most of which occur once are measurements: a class has several samples.
    if not data.is_images and (distinct > MOST_NUMBERS or 2 * distinct > len(y)):
        return "regression", f"the targets are whole numbers with {count}"
    return "classification", (
        f"the targets are whole numbers with {count} (--task regression takes them for quantities)"
    )


def split(
    option: str,
    share: float,
    rows: int,
    labels: Array | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the shuffled indices of what stays, and of a share that is held out.

    With labels, each class gives its share, to within one sample.
    """
    order = rng.permutation(rows)
    if share == 0:
        return order, order[:0]
    if rows < 2:
        raise CommandError(f"{option}: {share:g} of {rows} sample cannot be held out; expected 0")
    count = min(max(round(share * rows), 1), rows - 1)
    by_class = order
    if labels is not None:
        by_class = order[np.argsort(labels[order], kind="stable")]
    # Evenly spaced in the order of the classes.
    held = by_class[((np.arange(count) + 0.5) * rows / count).astype(np.intp)]
    is_held = np.zeros(rows, dtype=bool)
    is_held[held] = True
    return order[~is_held[order]], order[is_held[order]]


def prepared(
    preparation: Preprocessing | None, X: Array, dtype: np.dtype[Any], whose: str
) -> Array:
    """Return inputs as the network takes them, without a copy of all of them in float64."""
    if preparation is None:
        with refusals(X=whose):
            return check.cast("X", X, dtype)
    inputs = np.empty(X.shape, dtype)
    for begin in range(0, len(X), 4096):
        block = slice(begin, begin + 4096)
        with refusals(X=whose):
            inputs[block] = check.cast("X", preparation(X[block]), dtype)
    return inputs


def standardization(
    X: Array,
    how: str,
    whose: str,
    features: tuple[str, ...],
    target: str,
    classes: tuple[str, ...],
) -> Preprocessing:
    """Return the preprocessing that ``--standardize`` asks for."""
    if how == "none":
        n = X.shape[1]
        return Preprocessing(np.zeros(n), np.ones(n), features, target, classes)
    per_feature = {"features": True, "together": False}[how]
    try:
        with np.errstate(over="raise", invalid="raise"):
            return Preprocessing.of(
                X, per_feature=per_feature,
                features=features, target=target, classes=classes,
            )  # fmt: skip
    except FloatingPointError:
        raise CommandError(f"{whose}: holds numbers too large to be standardized") from None
