"""Pictures of a training and of a network. They need matplotlib: ``pip install fcnn[cli]``.

Each function returns a figure that no window and no pyplot knows of: a notebook shows it, and
``figure.savefig`` or the argument ``path`` writes it. With ``ax`` it draws on the axes of a figure
of yours instead. A figure of its own is at most 800 pixels wide at its 100 dots per inch; a file
has 150, sharp also on dense screens.
"""

import functools
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

# Colours of M. Okabe and K. Ito's palette, which colour-blind readers tell apart; the dashes tell
# the curves apart in print.
_TRAINING = {"color": "#0072B2", "linestyle": "-"}
_VALIDATION = {"color": "#D55E00", "linestyle": "--"}
_LEARNING_RATE = {"color": "#009E73", "linestyle": "-"}
# Negative numbers are blue and positive ones red in every picture: a pair that colour-blind readers
# tell apart. Shares go from white to dark in one hue.
_SIGNED = "RdBu_r"
_SHARES = "Blues"
_MINUS = "\N{MINUS SIGN}"
_MOST_CLASSES = 200


# --- The curves of a training ---------------------------------------------------------------------


def plot_history(
    history: History,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    loss_label: str = "loss",
    ax: Any = None,
) -> "Figure":
    """Draw the curves of a training: losses, validation score and learning rate.

    The score has axes of its own if there are validation data, and so has the learning rate if it
    varied. Losses and learning rates have a logarithmic scale where they are positive and span more
    than a factor of 10. A dotted line marks the best epoch: that of the lowest validation loss, or
    of the highest score where there is a score alone.

    Parameters
    ----------
    history : fcnn.training.History
        What `Network.fit` returns, of at least one epoch.
    path : str or path-like, optional
        Where to write the picture, 1,200 pixels wide; its ending decides the format.
    title : str, optional
    loss_label : str, default "loss"
        Label of the loss axis.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw the losses, the score and the learning rate, in this order; those for which
        there are no axes are left out.

    Returns
    -------
    matplotlib.figure.Figure
        For changes, and for notebooks.

    Raises
    ------
    ValueError
        If the history has no epoch, matplotlib does not know the ending, there are more axes than
        curves, or both `path` and `ax` are given.
    TypeError
        If the history is none, or `ax` holds something else than axes.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    _require_matplotlib()
    if not isinstance(history, History):
        raise TypeError(f"history: expected what Network.fit returns, got {history!r}")
    if not history.loss:
        raise ValueError("history: expected at least one epoch, got none")
    rates = list(getattr(history, "learning_rate", ()))
    wanted = [_draw_losses]
    if history.validation_score:
        wanted.append(_draw_scores)
    if len(set(rates)) > 1:
        wanted.append(_draw_rates)
    given = _given_axes(ax, path, most=len(wanted))

    figure, panels = None, given
    if not given:
        figure = _new_figure(8, 4.8 if _draw_rates in wanted else 3.4)
        # The learning rate stands below the losses, epoch below epoch.
        columns = [["loss", "rate"] if _draw_rates in wanted else ["loss"]]
        if _draw_scores in wanted:
            columns.append(["score"] * len(columns[0]))
        heights = [5, 2][: len(columns[0])]
        rows = [list(row) for row in zip(*columns, strict=True)]
        made = figure.subplot_mosaic(rows, height_ratios=heights)
        panels = [made[name] for name in ("loss", "score", "rate") if name in made]
    best = _best_epoch(history)
    epochs = len(history.loss)
    for draw, panel in zip(wanted, panels, strict=False):
        if best is not None:
            panel.axvline(best, color="0.5", linestyle=":", linewidth=1, zorder=1)
        draw(panel, history, best)
        _style_of_curves(panel, epochs)
    panels[0].set_ylabel(loss_label)
    if figure is not None and _draw_rates in wanted:
        panels[0].set_xlabel("")
        panels[0].tick_params(labelbottom=False)
    _write_title(figure, panels[0], title)
    return _finish(figure, panels[0], path)


def _best_epoch(history: History) -> int | None:
    """Return the epoch, counted from 1, that the validation data find best, if there are any."""
    values = np.asarray(history.validation_loss or history.validation_score, np.float64)
    if not np.isfinite(values).any():
        return None
    worst = math.inf if history.validation_loss else -math.inf
    values = np.where(np.isfinite(values), values, worst)
    return 1 + int(values.argmin() if history.validation_loss else values.argmax())


def _draw_losses(panel: Any, history: History, best: int | None) -> None:
    label = "training, with penalty" if getattr(history, "penalty", ()) else "training"
    _curve(panel, history.loss, label, _TRAINING)
    if history.validation_loss:
        _curve(panel, history.validation_loss, "validation", _VALIDATION)
        if best is not None:
            _dot(panel, history.validation_loss, best, f"lowest: {{:.4g}}, epoch {best}")
    _choose_scale(panel, [*history.loss, *history.validation_loss])
    _add_legend(panel, len(history.loss))


def _draw_scores(panel: Any, history: History, best: int | None) -> None:
    scores = history.validation_score
    name = {"r2": "R²", "": "score"}.get(history.score_name, history.score_name)
    _curve(panel, scores, "validation", _VALIDATION)
    panel.set_ylabel(f"validation {name}")
    # R² has no lower bound: the first epochs would flatten all that matters.
    finite = list(filter(math.isfinite, scores))
    if history.score_name == "r2" and finite and min(finite) < -1 < max(finite):
        panel.set_ylim(-1, max(finite) + 0.05 * (max(finite) + 1))
    if best is not None and best <= len(scores):
        _dot(panel, scores, best, f"{{:.4g}}, epoch {best}")
        _add_legend(panel, len(scores))


def _draw_rates(panel: Any, history: History, best: int | None) -> None:
    rates = list(getattr(history, "learning_rate", ()))
    _curve(panel, rates, "learning rate", _LEARNING_RATE)
    panel.get_lines()[-1].set_drawstyle("steps-mid")  # it has one value in an epoch
    # The end of a cosine is near 0: a logarithmic scale would show little else.
    if min(rates) * 1e4 >= max(rates):
        _choose_scale(panel, rates, is_low=True)
    panel.set_ylabel("learning rate")


def _curve(panel: Any, values: Sequence[float], label: str, style: dict[str, Any]) -> None:
    # One epoch makes no line to see.
    marker = "o" if len(values) <= 10 else ""
    panel.plot(range(1, len(values) + 1), values, marker=marker, markersize=4, label=label, **style)


def _dot(panel: Any, values: Sequence[float], epoch: int, label: str) -> None:
    value = values[epoch - 1]
    panel.plot(
        [epoch], [value], "o", color=_VALIDATION["color"], markersize=7, clip_on=False,
        label=label.format(value),
    )  # fmt: skip


def _add_legend(panel: Any, points: int) -> None:
    # To look for the best place takes time for each point, and matplotlib warns of it.
    place = "best" if points <= 10_000 else "upper right"
    panel.legend(frameon=False, fontsize=9, loc=place)


def _style_of_curves(panel: Any, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    margin = max(0.02 * epochs, 0.1)
    panel.set_xlim(1 - margin, epochs + margin)
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _choose_scale(panel: Any, values: Sequence[float], is_low: bool = False) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    shown = list(filter(math.isfinite, values))
    if not shown or min(shown) <= 0 or max(shown) <= 10 * min(shown):
        return
    panel.set_yscale("log")
    # Few decades would leave one or two labels at their powers of 10.
    few = max(shown) < (1e2 if is_low else 1e4) * min(shown)
    subs = (1, 2, 5) if few else (1,)
    panel.yaxis.set_major_locator(LogLocator(subs=subs, numticks=9))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


# --- The confusion matrix -------------------------------------------------------------------------


def plot_confusion_matrix(
    y: ArrayLike,
    predictions: ArrayLike,
    class_names: Sequence[Any] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> "Figure":
    """Draw how many samples of each class were predicted as which class.

    The row is the true class, the column the predicted one. The colour is the count's share of its
    row; up to 10 classes it also stands below the count.

    Parameters
    ----------
    y : array-like, shape (s,) or (s, classes)
        The true classes: labels, integers or names, or one-hot rows.
    predictions : array-like, shape (s,), (s, classes) or (s, 1)
        The predicted classes, or the outputs of a network: probabilities of each class, of which
        the largest counts, or of class 1, which counts above 1/2.
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

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, the numbers of samples differ, or there are more than
        200 classes.
    ImportError, OSError
        As for `plot_history`.
    """
    _require_matplotlib()
    from matplotlib.colors import PowerNorm

    counts, names = _confusion(y, predictions, class_names)
    given = _given_axes(ax, path)
    n = len(names)
    texts = [_shortened(name, 20) for name in names]
    longest = max(map(len, texts))
    side = min(max(0.62 * n, 2.4), 5.6)
    beside = 1.7 + 0.08 * longest
    side = min(side, 8 - beside)
    figure = None if given else _new_figure(side + beside, side + 1.4 + 0.04 * longest)
    panel = given[0] if given else figure.subplots()  # type: ignore[union-attr]

    samples = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_invalid(counts / np.where(samples, samples, np.nan))
    colormap = _colormap(_SHARES)
    # Among many classes a confusion has a share of a few percent, white on a linear scale.
    norm = PowerNorm(0.5 if n > 10 else 1, vmin=0, vmax=1)
    image = panel.imshow(shares, cmap=colormap, norm=norm)
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1] if n > 10 else [0, 0.2, 0.4, 0.6, 0.8, 1]
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.8, ticks=ticks, format="{x:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    cell = (min(_inches(panel)) if given else side) / n
    width = len(f"{counts.max():,}") if n > 10 else max(5, len(f"{counts.max():,}"))
    size = min(10, 72 * cell * (0.6 if n > 10 else 0.3), 72 * cell * 1.4 / width)
    if size >= 4.5:
        for (row, column), count in np.ndenumerate(counts):
            if not count and n > 10:
                continue  # the zeros of many classes would hide the rest
            text = f"{count:,}"
            if count and n <= 10:
                text += f"\n{_percent(count, samples[row, 0])}"
            ink = _ink(image.to_rgba(shares[row, column])) if count else "0.5"
            _write(panel, column, row, text, fontsize=size, color=ink)
    slanted = longest > 3 and longest * 0.1 > cell
    # Many classes have no room for a label at each.
    room = 0.13 if slanted else 0.1 + 0.06 * longest
    step = next((k for k in (1, 2, 5, 10) if k * cell >= room), 20)
    panel.set_xticks(range(0, n, step), texts[::step], parse_math=False)
    panel.set_yticks(range(0, n, step), texts[::step], parse_math=False)
    panel.tick_params(length=0, labelsize=min(10, max(6, 72 * cell * step * 0.7)))
    if slanted:
        for label in panel.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    panel.spines[:].set_visible(False)
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class")
    right, total = int(counts.trace()), int(counts.sum())
    panel.set_title(f"accuracy {_percent(right, total)}: {right:,} of {total:,}", fontsize=10)
    _write_title(figure, panel, title)
    return _finish(figure, panel, path)


def _confusion(y: Any, predictions: Any, class_names: Any) -> tuple[Array, list[str]]:
    """Return the counts, shape (true, predicted), and the names of the classes."""
    names = None
    if class_names is not None:
        if isinstance(class_names, str):
            raise TypeError(f"class_names: expected a sequence of names, got {class_names!r}")
        names = [str(name) for name in class_names]
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


# --- First-layer weights --------------------------------------------------------------------------


def plot_weights(
    network: Network,
    image_shape: tuple[int, int] | None = None,
    *,
    max_nodes: int = 40,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> "Figure":
    """Draw the first-layer weights as images: what each node of layer 1 looks for.

    Each image is a row of W^1, ``net.weights[0][k]``; red is positive, blue negative, white 0, on
    one scale for all. It ends at the 99.5th percentile of the magnitudes shown, so that a few large
    weights do not fade the rest.

    Parameters
    ----------
    network : fcnn.Network
    image_shape : (int, int), optional
        Height and width of the inputs as images. None takes a square.
    max_nodes : int, default 40
        Of a larger layer the first nodes are shown, and the title says so.
    path : str or path-like, optional
        Where to write the picture; its ending decides the format.
    title : str, optional
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or the inputs are no square and have no `image_shape`.
    ImportError, OSError
        As for `plot_history`.
    """
    _require_matplotlib()
    _as_network(network)
    height, width = _as_image_shape(image_shape, network.sizes[0])
    shown = min(check.as_count("max_nodes", max_nodes), network.sizes[1])
    given = _given_axes(ax, path)
    images = network.weights[0][:shown].astype(np.float64).reshape(shown, height, width)

    # Pixels of a flat image are drawn taller than wide, or nothing of it would be seen.
    wide, tall = max(width, height / 6), max(height, width / 6)
    # As many columns as make the whole about twice as wide as high, at most 10 to count by.
    columns = min(shown, 10, max(1, round(math.sqrt(2.5 * shown * tall / wide))))
    rows = math.ceil(shown / columns)
    gap = 0.12 * math.sqrt(wide * tall)
    across, down = columns * (wide + gap) - gap, rows * (tall + gap) - gap
    scale = min(6.2 / across, 6.2 / down, 2.5 / wide, 2.5 / tall)
    size = max(across * scale + 1.8, 5.5), max(down * scale, 1.6) + 0.8
    figure = None if given else _new_figure(*size)
    panel = given[0] if given else figure.subplots()  # type: ignore[union-attr]

    finite = np.abs(images[np.isfinite(images)])
    # "higher" takes the largest of fewer than 200.
    limit = float(np.percentile(finite, 99.5, method="higher")) if finite.size else 0.0
    limit = limit or _largest(images) or 1.0
    lefts = [(k % columns) * (wide + gap) for k in range(shown)]
    tops = [(k // columns) * (tall + gap) for k in range(shown)]
    for k, (left, top) in enumerate(zip(lefts, tops, strict=True)):
        image = panel.imshow(
            images[k], cmap=_colormap(_SIGNED), vmin=-limit, vmax=limit, gid=f"node {k}",
            extent=(left, left + wide, top + tall, top), interpolation="nearest",
        )  # fmt: skip
        panel.add_patch(_frame(left, top, wide, tall))
    margin = 0.02 * max(across, down)
    panel.set(xlim=(-margin, across + margin), ylim=(down + margin, -margin), aspect="equal")
    panel.set_xticks([])
    firsts = range(0, shown, columns)
    labels = [
        f"k = {k}" + (f" to {min(k + columns, shown) - 1}" if columns > 1 and k + 1 < shown else "")
        for k in firsts
    ]
    panel.set_yticks([tops[k] + tall / 2 for k in firsts], labels)
    panel.tick_params(length=0, labelsize=9)
    panel.spines[:].set_visible(False)
    beyond = "both" if _largest(images) > limit else "neither"
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.8, extend=beyond)
    bar.set_label("weight")
    bar.outline.set_visible(False)
    n = network.sizes[1]
    nodes = f"{shown:,} of {n:,} nodes" if shown < n else f"{n} node{'s' * (n > 1)}"
    panel.set_title(f"weights[0][k], {nodes},\n{height} x {width} inputs each", fontsize=10)
    _write_title(figure, panel, title)
    return _finish(figure, panel, path)


def _as_image_shape(image_shape: Any, inputs: int) -> tuple[int, int]:
    if image_shape is None:
        side = math.isqrt(inputs)
        if side * side != inputs:
            raise ValueError(
                f"image_shape: needed, (height, width), as the network's {inputs} inputs are no "
                "square image"
            )
        return side, side
    try:
        sizes = tuple(image_shape)
    except TypeError:
        raise TypeError(f"image_shape: expected (height, width), got {image_shape!r}") from None
    if isinstance(image_shape, str) or len(sizes) != 2:
        raise ValueError(f"image_shape: expected (height, width), got {image_shape!r}")
    height, width = (check.as_count(f"image_shape[{i}]", size) for i, size in enumerate(sizes))
    if height * width != inputs:
        raise ValueError(
            f"image_shape: {height} x {width} is {height * width}, but the network has {inputs} "
            "inputs"
        )
    return height, width


def _frame(left: float, top: float, width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left, top), width, height, fill=False, edgecolor="0.6", linewidth=0.6)


# --- The network with one sample ------------------------------------------------------------------


def plot_network(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    max_nodes: int = 10,
    class_names: Sequence[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> "Figure":
    """Draw the network with every a, W, delta and dW of one sample, as `Network.trace` has them.

    Two pictures: the forward pass, its nodes coloured by a and its edges by W, and the backward
    pass, its nodes coloured by delta and its edges by dW. Red is positive, blue negative. Each
    layer's nodes, and each layer's edges, have a scale of their own, the largest magnitude shown,
    which stands below them. Small networks show the numbers, too, and the biases b.

    Parameters
    ----------
    network : fcnn.Network
    X : array-like, shape (n_0,) or (1, n_0)
        One sample.
    y : array-like
        Its target: a label, or a row of shape (n_L,) or (1, n_L).
    max_nodes : int, default 10
        At most 100. Of a larger layer those nodes are shown whose activations have the largest
        magnitudes, in the order of the layer and numbered like its arrays, from 0; what stands
        below the layer says so.
    class_names : sequence, optional
        A name for each output, in place of its number.
    path : str or path-like, optional
        Where to write the picture; its ending decides the format.
    title : str, optional
    ax : matplotlib.axes.Axes or sequence of two, optional
        Where to draw the forward and the backward pass; one shows the forward pass alone.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    ImportError, OSError
        As for `plot_history`.
    """
    _require_matplotlib()
    _as_network(network)
    if check.as_count("max_nodes", max_nodes) > 100:
        raise ValueError(f"max_nodes: expected at most 100, got {max_nodes}")
    if class_names is not None and (
        isinstance(class_names, str) or len(class_names) != network.sizes[-1]
    ):
        raise ValueError(
            f"class_names: expected a name for each of the {network.sizes[-1]} outputs, got "
            f"{class_names!r}"
        )
    given = _given_axes(ax, path, most=2)
    inputs = check.as_inputs("X", X, network.sizes[0], network.dtype)
    if inputs.ndim == 2 and len(inputs) != 1:
        raise ValueError(f"X: expected one sample, got {len(inputs)}")
    trace = network.trace(inputs, y)
    drawn = [_most_active(a[0], max_nodes) for a in trace.a]
    slots = max(len(k) + (len(k) < n) for k, n in zip(drawn, network.sizes, strict=True))

    figure, panels = None, given
    stacked = len(drawn) > 4  # side by side, the layers of a deep network would touch
    width, height = 8.0 if stacked else 4.0, min(max(3.8 / slots, 0.38), 0.95) * slots
    if not given:
        figure = _new_figure(8, (height + 1.1) * (2 if stacked else 1) + 0.8)
        panels = list(figure.subplots(2, 1) if stacked else figure.subplots(1, 2))
        engine: Any = figure.get_layout_engine()
        engine.set(wspace=0.06)
    _add_key(panels)  # which takes room from the panels
    if given:
        width, height = _inches(given[0])
    size = 72 * min(0.62 * height / slots, 0.42 * width / len(drawn), 0.5)
    diagram = _Diagram(network, drawn, size, width)
    delta = "\N{GREEK SMALL LETTER DELTA}"
    passes = (
        (f"forward: nodes a, edges W; loss {_short(trace.loss)}", "a", trace.a,
         "W", [None, *network.weights]),
        (f"backward: nodes {delta}, edges dW", delta, trace.delta, "dW", trace.dW),
    )  # fmt: skip
    for panel, (heading, node, values, edge, weights) in zip(panels, passes, strict=False):
        diagram.draw_edges(panel, weights)
        diagram.draw_nodes(panel, values)
        texts = diagram.outputs(values[-1][0], class_names)
        if panel is panels[0]:
            diagram.write_biases(panel)
            texts = _with_targets(texts, _targets(network, inputs, y)[drawn[-1]], network.loss)
        column = diagram.write_outputs(panel, texts)
        diagram.write_layers(panel, (node, values), (edge, weights), column)
        panel.set_title(heading, fontsize=10)
        panel.set_ylim(-slots / 2, slots / 2)
        panel.set_yticks([])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    _write_title(figure, panels[0], title)
    return _finish(figure, panels[0], path)


def _most_active(a: Array, most: int) -> Array:
    """Return the numbers of the nodes to show, ascending."""
    if len(a) <= most:
        return np.arange(len(a))
    return np.sort(np.argsort(-np.abs(a), kind="stable")[:most])


def _targets(network: Network, inputs: Array, y: Any) -> Array:
    """Return the target of each output."""
    n_out = network.sizes[-1]
    _, rows = check.as_targets("y", y, inputs, n_out, network.loss, network.dtype)
    return np.eye(n_out)[rows[0]] if rows.ndim == 1 else rows[0]


def _with_targets(texts: list[str], targets: Array, loss: str) -> list[str]:
    """Return the texts of the outputs with their targets; of classes only the true one has one."""
    return [
        ", ".join(
            filter(None, (text, "" if loss == "cross_entropy" and not v else f"y {_short(v)}"))
        )
        for text, v in zip(texts, targets, strict=True)
    ]


def _largest(values: Array) -> float:
    """Return the largest finite magnitude."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def _relative(values: Array) -> Array:
    """Return values over the largest magnitude among them, NaN for what is not finite."""
    return np.where(np.isfinite(values), values, np.nan) / (_largest(values) or 1)


@dataclass(frozen=True)
class _Diagram:
    """A network: layer l stands at x = l, and the nodes of a layer below each other, 1 apart.

    Attributes
    ----------
    network : fcnn.Network
    drawn : list of numpy.ndarray
        The numbers of the nodes to draw, for layers 0..L.
    size : float
        Diameter of a node in points.
    width : float
        Width of the axes in inches.
    """

    network: Network
    drawn: list[Array]
    size: float
    width: float

    def is_cut(self, l: int) -> bool:
        return len(self.drawn[l]) < self.network.sizes[l]

    def heights(self, l: int) -> Array:
        """Return y of a layer's nodes, the first on top; an ellipsis below takes one more."""
        count = len(self.drawn[l])
        return (count + self.is_cut(l) - 1) / 2 - np.arange(count)

    @property
    def shows_numbers(self) -> bool:
        """Whether a node has room for its value, in place of its number in the layer."""
        return self.size >= 24

    def draw_edges(self, panel: Any, weights: Sequence[Any]) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.colors import LinearSegmentedColormap

        # Unlike a node, an edge without an outline would be lost in white.
        ends_of_scale = _colormap(_SIGNED)([0.05, 0.95])
        colors = LinearSegmentedColormap.from_list("", [ends_of_scale[0], "0.9", ends_of_scale[1]])
        # More numbers than those of 3 x 3 edges would hide each other.
        shows_numbers = (
            self.shows_numbers and len(self.drawn) <= 3 and max(map(len, self.drawn)) <= 3
        )
        for l in range(1, len(self.drawn)):
            values = np.asarray(weights[l], np.float64)[np.ix_(self.drawn[l], self.drawn[l - 1])]
            ends = [
                [(l - 1, below), (l, above)]
                for above in self.heights(l)
                for below in self.heights(l - 1)
            ]
            strength = _relative(values.ravel())
            thickness = np.nan_to_num(np.abs(strength))
            order = np.argsort(thickness, kind="stable")  # the strong ones on top
            panel.add_collection(
                LineCollection(
                    [ends[i] for i in order], array=strength[order], cmap=colors,
                    norm=_from_minus_to_plus(), zorder=1, gid=f"edges {l}",
                    linewidths=0.5 + 2 * thickness[order],
                )
            )  # fmt: skip
            if shows_numbers:
                self._number_edges(panel, ends, values.ravel())

    def _number_edges(self, panel: Any, ends: list[Any], values: Array) -> None:
        # Just beyond the emitting node, and before the edges of three cross, at a third.
        most = 0.28 if max(map(len, self.drawn)) > 2 else 0.45
        share = min(most, max(0.25, (self.size / 2 + 18) / 72 / self._column(0.6)))
        for ((x, y), (x_end, y_end)), value in zip(ends, values, strict=True):
            _write(
                panel, x + share * (x_end - x), y + share * (y_end - y), _short(value),
                fontsize=7.5, zorder=1.5,
                bbox={"facecolor": panel.get_facecolor(), "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip

    def draw_nodes(self, panel: Any, values: Sequence[Any]) -> None:
        """Draw nodes with their values in them, or their numbers where there is no room."""
        for l, k in enumerate(self.drawn):
            heights = self.heights(l)
            style = {"s": self.size**2, "edgecolors": "0.35", "linewidths": 0.8, "zorder": 2}
            texts, inks = [str(i) for i in k], ["0.35"] * len(k)
            if values[l] is None:  # the input has no delta
                panel.scatter([l] * len(k), heights, facecolors=panel.get_facecolor(), **style)
                shown = None
            else:
                shown = np.asarray(values[l][0], np.float64)[k]
                nodes = panel.scatter(
                    [l] * len(k), heights, c=_relative(shown), cmap=_colormap(_SIGNED),
                    norm=_from_minus_to_plus(), plotnonfinite=True, gid=f"nodes {l}", **style,
                )  # fmt: skip
                inks = [_ink(color) for color in nodes.to_rgba(_relative(shown))]
            if self.shows_numbers:
                if self.is_cut(l):
                    for i, y in zip(texts, heights, strict=True):
                        self._annotate(panel, i, (l, y), (0, self.size / 2 + 1), "bottom")
                texts = [""] * len(k) if shown is None else [_short(v) for v in shown]
            font = 0.28 * self.size if self.shows_numbers else 0.4 * self.size
            for y, text, ink in zip(heights, texts, inks, strict=True):
                _write(panel, l, y, text, fontsize=font, color=ink, zorder=3)
            if self.is_cut(l):
                _write(panel, l, heights[-1] - 1, "\N{VERTICAL ELLIPSIS}", fontsize=14)

    @staticmethod
    def _annotate(panel: Any, text: str, place: Any, points: Any, va: str) -> None:
        panel.annotate(
            text, place, points, textcoords="offset points", ha="center", va=va, fontsize=7.5
        )

    def write_biases(self, panel: Any) -> None:
        if not self.shows_numbers:
            return
        for l, b in enumerate(self.network.biases, 1):
            for k, y in zip(self.drawn[l], self.heights(l), strict=True):
                self._annotate(panel, f"b {_short(b[k])}", (l, y), (0, -self.size / 2 - 2), "top")

    def outputs(self, values: Array, names: Sequence[Any] | None) -> list[str]:
        """Return a text for each output: its name, and its value if that is not in the node."""
        texts = []
        for k in self.drawn[-1]:
            text = str(k) if names is None else _shortened(str(names[k]), 14)
            if not self.shows_numbers:
                text += f": {_short(values[k])}"
            elif names is None:
                text = ""
            texts.append(text)
        return texts

    def write_outputs(self, panel: Any, texts: list[str]) -> float:
        """Write texts beside the outputs and leave room for them; return inches a layer."""
        last = len(self.drawn) - 1
        for y, text in zip(self.heights(last), texts, strict=True):
            panel.annotate(
                text, (last, y), (self.size / 2 + 3, 0), textcoords="offset points", va="center",
                fontsize=8, parse_math=False,
            )  # fmt: skip
        room = max(0.3, (self.size / 2 + 3 + 4.8 * max(map(len, texts))) / 72)
        column = self._column(room)
        panel.set_xlim(-0.3 / column, last + room / column)
        return column

    def _column(self, room: float) -> float:
        """Return inches from layer to layer, where texts beside the outputs take some room."""
        return max(self.width - 0.3 - room, 0.3 * self.width) / (len(self.drawn) - 1)

    def write_layers(
        self,
        panel: Any,
        nodes: tuple[str, Sequence[Any]],
        edges: tuple[str, Sequence[Any]],
        column: float,
    ) -> None:
        """Write below each layer what it is, how much is shown, and the largest magnitudes."""
        labels = []
        for l, (k, n) in enumerate(zip(self.drawn, self.network.sizes, strict=True)):
            lines = ["input" if l == 0 else self.network.activations[l - 1]]
            lines.append(f"{len(k)} of {n:,}" if self.is_cut(l) else f"{n} node{'s' * (n > 1)}")
            name, values = nodes
            if values[l] is not None:
                lines.append(f"|{name}| {_short(_largest(values[l][0, k]))}")
            name, values = edges
            if values[l] is not None:
                largest = _largest(values[l][np.ix_(k, self.drawn[l - 1])])
                lines.append(f"|{name}| {_short(largest)}")
            labels.append("\n".join(lines))
        longest = max(len(line) for label in labels for line in label.splitlines())
        font = min(8.0, max(5.0, 72 * column / longest / 0.6))
        panel.set_xticks(range(len(labels)), labels, fontsize=font)


def _add_key(panels: Sequence[Any]) -> None:
    """Add the scale of colours that all layers have."""
    from matplotlib.cm import ScalarMappable

    figure = panels[0].figure
    # A layout engine makes room for what stands below the layers; without one it is asked for.
    pad = {} if figure.get_layout_engine() else {"pad": 0.35}
    bar = figure.colorbar(
        ScalarMappable(_from_minus_to_plus(), _colormap(_SIGNED)), ax=list(panels),
        location="bottom", shrink=0.5, aspect=40, ticks=[-1, 0, 1], **pad,
    )  # fmt: skip
    bar.ax.set_xticklabels([f"{_MINUS}largest", "0", "largest"])
    bar.set_label(
        "relative to the layer's largest magnitude shown, which stands below it", fontsize=9
    )
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


# --- Shared ---------------------------------------------------------------------------------------


def picture_endings() -> tuple[str, ...]:
    """Return the file endings that pictures can have, without their dots.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    return tuple(sorted(_new_figure(1, 1).canvas.get_supported_filetypes()))


def check_ending(path: str | os.PathLike[str]) -> None:
    """Refuse a picture file whose ending matplotlib does not know.

    Raises
    ------
    ValueError
        If the ending is unknown or absent.
    ImportError
        If matplotlib is not installed.
    """
    endings = picture_endings()
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in endings:
        came = f"the ending {ending!r}" if ending else "no ending"
        raise ValueError(f"path: {str(path)!r} has {came}; expected one of {', '.join(endings)}")


def _require_matplotlib() -> None:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install fcnn[cli]") from None


def _new_figure(width: float, height: float) -> "Figure":
    """Return a figure that no window and no pyplot knows of; sizes are in inches."""
    _require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    # Notebooks know how to show a figure only once pyplot has been imported.
    figure._repr_png_ = functools.partial(_png, figure)
    return figure


def _png(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _given_axes(ax: Any, path: Any, most: int = 1) -> list[Any]:
    """Return the axes to draw on, none for a figure of their own; check the path for that one."""
    if ax is None:
        if path is not None:
            check_ending(path)
        return []
    from matplotlib.axes import Axes

    if path is not None:
        raise ValueError("path: goes with a figure of its own; with ax, save the figure of ax")
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    for one in axes:
        if not isinstance(one, Axes):
            raise TypeError(f"ax: expected matplotlib axes, got {one!r}")
    if not 1 <= len(axes) <= most:
        raise ValueError(f"ax: expected {'1' if most == 1 else f'1 to {most}'}, got {len(axes)}")
    return axes


def _finish(figure: Any, panel: Any, path: str | os.PathLike[str] | None) -> Any:
    if path is not None:
        figure.savefig(path, dpi=150)
    return panel.figure if figure is None else figure


def _write_title(figure: Any, panel: Any, title: str) -> None:
    # The title of a figure; axes that were given share theirs with others.
    if not title:
        return
    if figure is not None:
        figure.suptitle(title, fontsize=12, parse_math=False)
    else:
        below = panel.get_title()
        panel.set_title(f"{title}\n{below}" if below else title, fontsize=10, parse_math=False)


def _write(panel: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text into axes, centred on a point."""
    # Inside the axes it needs no room of its own, and the layout need not measure it.
    panel.text(x, y, text, ha="center", va="center", in_layout=False, **style)


def _inches(panel: Any) -> tuple[float, float]:
    """Return width and height of axes."""
    box = panel.get_window_extent()
    return box.width / panel.figure.dpi, box.height / panel.figure.dpi


def _colormap(name: str) -> Any:
    """Return a colour map that shows what is not finite in grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="0.8")


def _from_minus_to_plus() -> Any:
    from matplotlib.colors import Normalize

    return Normalize(-1, 1)


def _ink(color: Any) -> str:
    """Return black or white, whichever can be read on a colour (its luma of ITU-R BT.601)."""
    red, green, blue = color[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _short(value: float) -> str:
    """Return a number in about five characters."""
    magnitude = abs(value)
    if magnitude and not 0.01 <= magnitude < 9999.5:
        mantissa, e, exponent = f"{value:.0e}".partition("e")  # no e in inf and nan
        text = mantissa + (f"e{int(exponent)}" if e else "")
    elif magnitude < 1:
        text = f"{value:.2f}" if value else "0"
    else:
        text = f"{value:.3g}" if magnitude < 999.5 else f"{value:.0f}"
    return text.replace("-", _MINUS)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _as_network(network: Any) -> Network:
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fcnn.Network, got {type(network).__name__}")
    return network
