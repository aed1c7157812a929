"""First-layer weights."""

import math
import os
from typing import Any

import numpy as np

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.plot._figure import (
    SIGNED,
    Picture,
    as_network,
    color_bar,
    colormap,
    hide_frame,
    largest_magnitude,
    require_matplotlib,
)


def plot_weights(
    network: Network,
    image_shape: tuple[int, int] | None = None,
    *,
    max_nodes: int = 40,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
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
        A new one; with `ax` the axes that were given.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or the inputs are no square and have no `image_shape`.
    ImportError, OSError
        As for `plot_history`.
    """
    require_matplotlib()
    as_network(network)
    height, width = _as_image_shape(image_shape, network.sizes[0])
    shown = min(check.as_count("max_nodes", max_nodes), network.sizes[1])
    picture = Picture(ax, path, title, clears=True)
    images = network.weights[0][:shown].astype(np.float64).reshape(shown, height, width)

    # Pixels of a flat image are drawn taller than wide, or nothing of it would be seen.
    wide, tall = max(width, height / 6), max(height, width / 6)
    # As many columns as make the whole about twice as wide as high, at most 10 to count by.
    columns = min(shown, 10, max(1, round(math.sqrt(2.5 * shown * tall / wide))))
    rows = math.ceil(shown / columns)
    gap = 0.12 * math.sqrt(wide * tall)
    across, down = columns * (wide + gap) - gap, rows * (tall + gap) - gap
    scale = min(6.2 / across, 6.2 / down, 2.5 / wide, 2.5 / tall)
    (panel,) = picture.open(max(across * scale + 1.8, 5.5), max(down * scale, 1.6) + 0.8)

    finite = np.abs(images[np.isfinite(images)])
    # "higher" takes the largest of fewer than 200.
    limit = float(np.percentile(finite, 99.5, method="higher")) if finite.size else 0.0
    limit = limit or largest_magnitude(images) or 1.0
    lefts = [(k % columns) * (wide + gap) for k in range(shown)]
    tops = [(k // columns) * (tall + gap) for k in range(shown)]
    for k, (left, top) in enumerate(zip(lefts, tops, strict=True)):
        image = panel.imshow(
            images[k], cmap=colormap(SIGNED), vmin=-limit, vmax=limit, gid=f"node {k}",
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
    hide_frame(panel, labelsize=9)
    beyond = "both" if largest_magnitude(images) > limit else "neither"
    bar = color_bar([panel], image, shrink=0.8, extend=beyond)
    bar.set_label("weight")
    bar.outline.set_visible(False)
    n = network.sizes[1]
    nodes = f"{shown:,} of {n:,} nodes" if shown < n else f"{n} node{'s' * (n > 1)}"
    panel.set_title(f"weights[0][k], {nodes},\n{height} x {width} inputs each", fontsize=10)
    return picture.finish()


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
