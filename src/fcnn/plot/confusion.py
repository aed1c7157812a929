"""The confusion matrix."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.plot._figure import (
    Picture,
    as_names,
    color_bar,
    colormap,
    hide_frame,
    inches,
    ink_on,
    require_matplotlib,
    shortened,
    write,
)

Array = NDArray[Any]

# Shares go from white to dark in one hue.
_SHARES = "Blues"
_MOST_CLASSES = 200


def plot_confusion_matrix(
    predictions: ArrayLike,
    y: ArrayLike,
    class_names: Sequence[Any] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw how many samples of each class were predicted as which class.

    The row is the true class, the column the predicted one. The colour is the count's share of its
    row; up to 10 classes it also stands below the count.

    Parameters
    ----------
    predictions : array-like, shape (s,), (s, classes) or (s, 1)
        The predicted classes, or the outputs of a network: probabilities of each class, of which
        the largest counts, or of class 1, which counts above 1/2.
    y : array-like, shape (s,) or (s, classes)
        The true classes: labels, integers or names, or one-hot rows. They stand second, as in
        `fcnn.metrics`.
    class_names : sequence, optional
        A name for each class, in the order of the labels 0, 1, ... None shows the labels: all that
        outputs or one-hot rows have a column for, or else those that occur.
    path : str or path-like, optional
        Where to write the picture; its ending decides the format.
    title : str, optional
        Put above the line with the accuracy.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
        A new one; with `ax` the axes that were given.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, the numbers of samples differ, or there are more than
        200 classes.
    ImportError, OSError
        As for `plot_history`.
    """
    require_matplotlib()
    from matplotlib.colors import PowerNorm

    counts, names = _confusion(y, predictions, class_names)
    picture = Picture(ax, path, title, clears=True)
    n = len(names)
    texts = [shortened(name, 20) for name in names]
    longest = max(map(len, texts))
    side = min(max(0.62 * n, 2.4), 5.6)
    beside = 1.7 + 0.08 * longest
    side = min(side, 8 - beside)
    (panel,) = picture.open(side + beside, side + 1.4 + 0.04 * longest)

    samples = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_invalid(counts / np.where(samples, samples, np.nan))
    # Among many classes a confusion has a share of a few percent, white on a linear scale.
    norm = PowerNorm(0.5 if n > 10 else 1, vmin=0, vmax=1)
    image = panel.imshow(shares, cmap=colormap(_SHARES), norm=norm)
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1] if n > 10 else [0, 0.2, 0.4, 0.6, 0.8, 1]
    bar = color_bar([panel], image, shrink=0.8, ticks=ticks, format="{x:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    cell = (min(inches(panel)) if picture.is_given else side) / n
    width = len(f"{counts.max():,}") if n > 10 else max(5, len(f"{counts.max():,}"))
    size = min(10, 72 * cell * (0.6 if n > 10 else 0.3), 72 * cell * 1.4 / width)
    if size >= 4.5:
        for (row, column), count in np.ndenumerate(counts):
            if not count and n > 10:
                continue  # the zeros of many classes would hide the rest
            text = f"{count:,}"
            if count and n <= 10:
                text += f"\n{_percent(count, samples[row, 0])}"
            ink = ink_on(image.to_rgba(shares[row, column])) if count else "0.5"
            write(panel, column, row, text, fontsize=size, color=ink)
    slanted = longest > 3 and longest * 0.1 > cell
    # Many classes have no room for a label at each.
    room = 0.13 if slanted else 0.1 + 0.06 * longest
    step = next((k for k in (1, 2, 5, 10) if k * cell >= room), 20)
    panel.set_xticks(range(0, n, step), texts[::step], parse_math=False)
    panel.set_yticks(range(0, n, step), texts[::step], parse_math=False)
    hide_frame(panel, labelsize=min(10, max(6, 72 * cell * step * 0.7)))
    if slanted:
        for label in panel.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class")
    right, total = int(counts.trace()), int(counts.sum())
    panel.set_title(f"accuracy {_percent(right, total)}: {right:,} of {total:,}", fontsize=10)
    return picture.finish()


def _confusion(y: Any, predictions: Any, class_names: Any) -> tuple[Array, list[str]]:
    """Return the counts, shape (true, predicted), and the names of the classes."""
    names = None
    if class_names is not None:
        names = as_names("class_names", class_names)
        twice = next((name for name in names if names.count(name) > 1), None)
        if not names or twice is not None:
            came = "none" if twice is None else f"{twice!r} twice"
            raise ValueError(f"class_names: expected a name of its own for each class, got {came}")
    given = {"y": y, "predictions": predictions}
    labels, columns = {}, {}
    for name, values in given.items():
        labels[name], columns[name] = _class_labels(name, values, is_target=name == "y")
    if len(labels["y"]) != len(labels["predictions"]):
        raise ValueError(
            f"predictions: expected one for each of the {len(labels['y'])} samples of y, "
            f"got {len(labels['predictions'])}"
        )
    n = len(names) if names is not None else max(columns.values())
    for name, count in columns.items():
        if count not in (0, n):
            wanted = "a column for each class name" if names is not None else "as many columns as y"
            raise ValueError(f"{name}: expected {wanted}, {n}, got {count}")
    texts = [name for name, values in labels.items() if values.dtype.kind == "U"]
    if names is None and not n:
        if len(texts) == 1:
            raise TypeError(
                f"class_names: needed where {texts[0]} alone holds names, "
                "to tell which of them the numbers mean"
            )
        known = np.unique(np.concatenate(list(labels.values())))
        names = [str(value) for value in known]
        labels = {name: np.searchsorted(known, values) for name, values in labels.items()}
    else:
        if names is None:
            if texts:
                raise TypeError(
                    f"class_names: needed where {texts[0]} holds names, to tell the column of each"
                )
            names = [str(k) for k in range(n)]
        labels = {name: _class_numbers(name, values, names) for name, values in labels.items()}
    n = len(names)
    if n > _MOST_CLASSES:
        raise ValueError(f"y: expected at most {_MOST_CLASSES} classes, got {n}")
    flat = np.bincount(labels["y"] * n + labels["predictions"], minlength=n * n)
    return flat.reshape(n, n), names


def _class_labels(name: str, values: Any, is_target: bool) -> tuple[Array, int]:
    """Return one label per sample, int64 or text, and how many columns the values had, or 0."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: expected an array without masked entries")
    array = np.asarray(values)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected shape (samples,) or (samples, classes), got {array.shape}"
        )
    if not array.size:
        raise ValueError(f"{name}: expected at least one sample, got shape {array.shape}")
    if array.dtype.kind in "UT" or (
        array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat)
    ):
        if array.ndim == 2:
            raise ValueError(f"{name}: expected names of shape (samples,), got {array.shape}")
        return array.astype(str), 0
    array = check.as_numeric(name, array)
    check.refuse_nonfinite(name, np.ascontiguousarray(array, np.float64))
    if array.ndim == 1:
        with np.errstate(invalid="ignore"):
            labels = array.astype(np.int64)
        if (labels != array).any():
            raise ValueError(
                f"{name}: expected labels, or rows of probabilities; got fractions of shape "
                f"{array.shape}, of which {name}[:, None] makes rows"
            )
        return labels, 0
    if array.shape[1] == 1:
        if array.min() < 0 or array.max() > 1:
            bad = array.min() if array.min() < 0 else array.max()
            raise ValueError(
                f"{name}: expected probabilities from 0 to 1 in a single column, got {bad}; "
                f"{name}.ravel() makes labels of it"
            )
        if is_target and not ((array == 0) | (array == 1)).all():
            raise ValueError(f"{name}: expected 0 or 1 in a single column, got fractions")
        return (array[:, 0] > 0.5).astype(np.int64), 2
    if is_target:
        wrong = np.flatnonzero(((array != 0) & (array != 1)).any(axis=1) | (array.sum(axis=1) != 1))
        if wrong.size:
            raise ValueError(
                f"{name}: expected labels or one-hot rows, got {array[wrong[0]]} in row {wrong[0]}"
            )
    return array.argmax(axis=1), array.shape[1]


def _class_numbers(name: str, labels: Array, names: list[str]) -> Array:
    """Return labels as numbers 0..n-1, names by their place among the names."""
    if labels.dtype.kind != "U":
        bad = labels[(labels < 0) | (labels >= len(names))]
        if bad.size:
            raise ValueError(f"{name}: expected labels from 0 to {len(names) - 1}, got {bad[0]}")
        return labels
    place = {text: k for k, text in enumerate(names)}
    try:
        return np.array([place[str(text)] for text in labels], np.int64)
    except KeyError as error:
        raise ValueError(f"{name}: {error} is not among the class names") from None


def _percent(part: int, whole: int) -> str:
    # 99.96 % is not all of them.
    rounded = round(1000 * part / whole)
    if rounded == 1000 and part < whole:
        return "> 99.9%"
    if rounded == 0 and part:
        return "< 0.1%"
    return f"{rounded / 10:g}%"
