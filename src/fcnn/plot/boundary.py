"""What a network of two inputs answers all over the plane."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.plot._figure import (
    SIGNED,
    Picture,
    as_names,
    as_network,
    color_bar,
    largest_magnitude,
    require_matplotlib,
)

Array = NDArray[Any]

# M. Okabe and K. Ito's palette, and markers that tell the classes apart in print.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_SAMPLES = {"s": 18, "edgecolors": "white", "linewidths": 0.6, "zorder": 2}


def plot_boundary(
    network: Network,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    node: tuple[int, int] | None = None,
    resolution: int = 200,
    class_names: Sequence[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw what a network of two inputs answers all over the plane, and the samples on it.

    Of classes, which are what cross_entropy and binary_cross_entropy of one output learn, each
    point has the colour of the class with the largest output, the stronger the surer, and a line
    where the class changes; of one output for two classes that is where it is 1/2. Of one output
    of another loss, or of a node, the colours are its numbers, red positive and blue negative, with
    a line at 0. Of several outputs that are no classes choose one with `node`.

    Parameters
    ----------
    network : fcnn.Network
        With two inputs.
    X : array-like, shape (s, 2)
        Samples; the picture shows the plane around them.
    y : array-like, optional
        Targets, as for `Network.fit`. Labels of classes are the colour of the samples, beside any
        node; numbers have the colours of the plane, beside the output that they are of.
    node : (int, int), optional
        l and k: draw a^l_k, what a node responds to, in place of the output.
    resolution : int, default 200
        Points across and down, at most 1000.
    class_names : sequence, optional
        A name for each class, in place of its number.
    path, title, ax
        As for `plot_weights`.

    Returns
    -------
    matplotlib.figure.Figure
        A new one; with `ax` the axes that were given.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    ImportError, OSError
        As for `plot_history`.
    """
    require_matplotlib()
    as_network(network)
    if network.sizes[0] != 2:
        raise ValueError(f"network: expected 2 inputs, one for each axis, got {network.sizes[0]}")
    n = check.as_count("resolution", resolution, least=2)
    if n > 1000:
        raise ValueError(f"resolution: expected at most 1000, got {n}")
    points = np.atleast_2d(check.as_inputs("X", X, 2, np.dtype(np.float64)))
    check.refuse_nonfinite("X", points)
    is_output, outputs = node is None, network.sizes[-1]
    classes = _num_classes(network)
    if is_output and outputs > 1 and not classes:
        raise ValueError(
            f"network: its {outputs} outputs of {network.loss} are no classes; "
            f"node=({len(network.sizes) - 1}, k) draws one of them"
        )
    l, k = _as_node(node, network)
    if class_names is not None and not classes:
        raise ValueError(f"class_names: {network.loss} has no classes")
    names = _as_names(class_names, classes)
    colors = None if y is None else _as_colors(y, len(points), network, classes, l, k)
    picture = Picture(ax, path, title, clears=True)

    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.15 * (high - low), 1.0)
    sides = [np.linspace(a, b, n) for a, b in zip(low - margin, high + margin, strict=True)]
    values = node_values(network, sides[0], sides[1], l)
    (panel,) = picture.open(5.2, 4.4)
    if is_output and classes:
        _draw_classes(panel, sides, values)
        scale = {}
    else:
        shown = values[..., k]
        everything = shown if classes or colors is None else np.append(shown, colors)
        limit = largest_magnitude(everything) or 1.0
        scale = {"cmap": SIGNED, "vmin": -limit, "vmax": limit}
        _draw_numbers(panel, sides, shown, scale, "a" if is_output else f"a^{l}_{k}")
    if colors is None:
        panel.scatter(*points.T, color="0.2", **_SAMPLES)
    elif classes:
        _draw_labels(panel, points, colors, names)
    else:
        panel.scatter(*points.T, c=colors, **scale, **_SAMPLES)
    panel.set(xlabel="$x_0$", ylabel="$x_1$", xlim=sides[0][[0, -1]], ylim=sides[1][[0, -1]])
    if not is_output:
        panel.set_title(f"node {k} of layer {l}, {network.activations[l - 1]}", fontsize=10)
    return picture.finish()


def node_values(network: Network, across: Array, down: Array, l: int) -> Array:
    """Return a^l on a grid, shape (len(down), len(across), n_l)."""
    x, y = np.meshgrid(across, down)
    grid = np.column_stack([x.ravel(), y.ravel()])
    if l == len(network.sizes) - 1:
        a = network.predict(grid)
    else:
        # The first l layers by themselves; they have no loss, and any will do.
        part = Network(
            network.sizes[: l + 1], list(network.activations[: l - 1]),
            network.activations[l - 1], "squared_error", network.dtype, init="zeros",
        )  # fmt: skip
        part.parameters = network.parameters[: part.num_parameters]
        a = part.predict(grid)
    return np.asarray(a).reshape(len(down), len(across), -1)


def _as_node(node: Any, network: Network) -> tuple[int, int]:
    L = len(network.sizes) - 1
    if node is None:
        return L, 0
    try:
        l, k = node
    except (TypeError, ValueError):
        raise ValueError(f"node: expected (l, k), got {node!r}") from None
    l, k = check.as_count("node[0]", l), check.as_count("node[1]", k, least=0)
    if l > L or k >= network.sizes[l]:
        raise ValueError(f"node: expected a layer 1 to {L} and one of its nodes, got {node!r}")
    return l, k


def _num_classes(network: Network) -> int:
    """Return the number of classes; 0 of numbers, and of several outputs each with its own two."""
    targets, outputs = check.TARGETS[network.loss], network.sizes[-1]
    if targets == "classes":
        return outputs
    return 2 if targets == "probabilities" and outputs == 1 else 0


def _as_names(names: Any, classes: int) -> list[str]:
    if names is None:
        return [str(k) for k in range(classes)]
    texts = as_names("class_names", names)
    if len(texts) != classes:
        raise ValueError(f"class_names: expected a name for each of the {classes} classes")
    return texts


def _as_colors(y: Any, rows: int, network: Network, classes: int, l: int, k: int) -> Array:
    """Return the label of each sample or, of numbers, those that belong to node k of layer l."""
    m = network.num_targets
    array = check.as_targets("y", y, rows, m, network.loss, np.dtype(np.float64))
    if classes and m > 1:
        return array if array.ndim == 1 else array.argmax(axis=1)
    if classes:
        labels = array.ravel()
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("y: expected the labels 0 and 1, got a probability between them")
        return labels
    if l < len(network.sizes) - 1:
        raise ValueError(
            f"y: numbers have no colour beside a node of layer {l}, whose own are others; leave "
            "it out"
        )
    return array[:, k % m]


def _draw_classes(panel: Any, sides: Sequence[Array], values: Array) -> None:
    from matplotlib.colors import to_rgb

    if values.shape[2] == 1:
        values = np.concatenate([1 - values, values], axis=-1)
    best = values.argmax(axis=-1)
    ordered = np.sort(values, axis=-1)
    # How far the best is before the next: 0 at the line, 1 where nothing else has a share.
    sure = np.clip(ordered[..., -1] - ordered[..., -2], 0, 1)[..., np.newaxis]
    colors = np.array([to_rgb(_COLORS[k % len(_COLORS)]) for k in range(values.shape[2])])
    strength = 0.12 + 0.45 * sure
    panel.imshow(
        1 - strength * (1 - colors[best]), origin="lower", aspect="auto", zorder=0,
        extent=(*sides[0][[0, -1]], *sides[1][[0, -1]]), gid="plane", interpolation="bilinear",
    )  # fmt: skip
    for k in range(values.shape[2] - (values.shape[2] == 2)):
        others = np.delete(values, k, axis=-1).max(axis=-1)
        ahead = values[..., k] - others
        if ahead.min() < 0 < ahead.max():
            panel.contour(*sides, ahead, levels=[0], colors="0.25", linewidths=1.2)


def _draw_numbers(
    panel: Any, sides: Sequence[Array], values: Array, scale: dict[str, Any], name: str
) -> None:
    image = panel.imshow(
        values, origin="lower", aspect="auto", zorder=0, **scale,
        extent=(*sides[0][[0, -1]], *sides[1][[0, -1]]), gid="plane",
    )  # fmt: skip
    if values.min() < 0 < values.max():
        panel.contour(*sides, values, levels=[0], colors="0.25", linewidths=1.2)
    bar = color_bar([panel], image, shrink=0.85)
    bar.set_label(name)
    bar.outline.set_visible(False)


def _draw_labels(panel: Any, points: Array, labels: Array, names: Sequence[str]) -> None:
    for k in np.unique(labels).astype(int):
        panel.scatter(
            *points[labels == k].T, color=_COLORS[k % len(_COLORS)],
            marker=_MARKERS[k % len(_MARKERS)], label=names[k], gid=f"class {k}", **_SAMPLES,
        )  # fmt: skip
    panel.legend(loc="upper right", fontsize=9)
