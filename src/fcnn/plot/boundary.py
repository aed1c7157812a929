"""What a network of two inputs answers all over the plane."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.plot._figure import SIGNED, Picture, as_network, color_bar, require_matplotlib

Array = NDArray[Any]

# M. Okabe and K. Ito's palette, and markers that tell the classes apart in print.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


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

    Of classes each point has the colour of the class with the largest output, the stronger the
    surer, and a line where the class changes; of one sigmoid or tanh output the line is where it is
    in the middle, 1/2 or 0. Of one other output, or of a node, the colours are its numbers, red
    positive and blue negative, with a line at 0.

    Parameters
    ----------
    network : fcnn.Network
        With two inputs.
    X : array-like, shape (s, 2)
        Samples; the picture shows the plane around them.
    y : array-like, optional
        Labels, shape (s,), or one-hot rows: the colour of the samples. Numbers of a single output
        other than sigmoid and tanh have the colours of the plane.
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
    l, k = _as_node(node, network)
    picture = Picture(ax, path, clears=True)
    is_output = node is None
    outputs = network.sizes[-1]
    classes = max(outputs, 2)
    middle = {"sigmoid": 0.5, "tanh": 0.0}.get(network.activations[-1])
    has_classes = is_output and (outputs > 1 or middle is not None)
    labels = None if y is None else _as_colors(y, len(points), classes, has_classes)
    names = _as_names(class_names, classes)

    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.15 * (high - low), 1.0)
    sides = [np.linspace(a, b, n) for a, b in zip(low - margin, high + margin, strict=True)]
    values = node_values(network, sides[0], sides[1], l)
    (panel,) = picture.open(5.2, 4.4)
    if has_classes:
        _draw_classes(panel, sides, values, middle)
    else:
        _draw_numbers(panel, sides, values[..., k], "a" if is_output else f"a^{l}_{k}")
    _draw_samples(panel, points, labels, names, has_classes)
    panel.set(xlabel="$x_0$", ylabel="$x_1$", xlim=sides[0][[0, -1]], ylim=sides[1][[0, -1]])
    if not is_output:
        panel.set_title(f"node {k} of layer {l}, {network.activations[l - 1]}", fontsize=10)
    return picture.finish(title)


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


def _as_names(names: Any, classes: int) -> list[str]:
    if names is None:
        return [str(k) for k in range(classes)]
    if isinstance(names, str) or len(names) != classes:
        raise ValueError(f"class_names: expected a name for each of the {classes} classes")
    return [str(name) for name in names]


def _as_colors(y: Any, rows: int, classes: int, has_classes: bool) -> Array:
    array = check.as_numeric("y", y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[1] == classes:
        array = array.argmax(axis=1)
    if array.shape != (rows,):
        raise ValueError(f"y: expected one for each of the {rows} samples, got {array.shape}")
    if has_classes and not np.isin(array, range(classes)).all():
        raise ValueError(f"y: expected labels from 0 to {classes - 1}")
    return array


def _draw_classes(panel: Any, sides: Sequence[Array], values: Array, middle: float | None) -> None:
    from matplotlib.colors import to_rgb

    if values.shape[2] == 1:
        assert middle is not None
        one = values[..., 0]
        share = one if middle else (1 + one) / 2
        values = np.stack([1 - share, share], axis=-1)
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


def _draw_numbers(panel: Any, sides: Sequence[Array], values: Array, name: str) -> None:
    limit = float(np.abs(values).max()) or 1.0
    image = panel.imshow(
        values, origin="lower", aspect="auto", cmap=SIGNED, vmin=-limit, vmax=limit, zorder=0,
        extent=(*sides[0][[0, -1]], *sides[1][[0, -1]]), gid="plane",
    )  # fmt: skip
    if values.min() < 0 < values.max():
        panel.contour(*sides, values, levels=[0], colors="0.25", linewidths=1.2)
    bar = color_bar([panel], image, shrink=0.85)
    bar.set_label(name)
    bar.outline.set_visible(False)


def _draw_samples(
    panel: Any, points: Array, labels: Array | None, names: Sequence[str], has_classes: bool
) -> None:
    style = {"s": 18, "edgecolors": "white", "linewidths": 0.6, "zorder": 2}
    is_label = labels is not None and (has_classes or np.isin(labels, (0, 1)).all())
    if labels is None or not is_label:
        colors = {"color": "0.2"} if labels is None else {"c": labels, "cmap": SIGNED}
        panel.scatter(*points.T, **colors, **style)
        return
    for k in np.unique(labels).astype(int):
        panel.scatter(
            *points[labels == k].T, color=_COLORS[k % len(_COLORS)],
            marker=_MARKERS[k % len(_MARKERS)], label=names[k], gid=f"class {k}", **style,
        )  # fmt: skip
    panel.legend(loc="upper right", fontsize=9)
