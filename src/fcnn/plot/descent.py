"""The paths of optimizers on the loss."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fcnn._descent import as_descent
from fcnn.network import Network
from fcnn.optimizers import Optimizer
from fcnn.plot._figure import Picture, as_network, color_bar, figures, require_matplotlib

# Colours of M. Okabe and K. Ito's palette that stand out from viridis; dashes and ends tell the
# paths apart in print.
_STYLES = (
    ("#D55E00", "-", "o"), ("#FFFFFF", "--", "s"), ("#E69F00", "-.", "D"), ("#CC79A7", ":", "^"),
    ("#F0E442", "-", "v"), ("#000000", "--", "P"),
)  # fmt: skip


def plot_descent(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    optimizers: Mapping[str, Optimizer] | None = None,
    *,
    parameters: tuple[int, int] = (0, 1),
    steps: int = 50,
    resolution: int = 60,
    span: float | None = None,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the loss over two parameters, and the paths of optimizers down it, side by side.

    All other parameters stay as they are, so that the paths lie on the surface that is drawn. Each
    step takes all samples. The network and the optimizers are not changed.

    Parameters
    ----------
    network : fcnn.Network
        The paths begin at its parameters.
    X, y
        As for `Network.gradients`.
    optimizers : dict of str to optimizer, optional
        By their names in the legend; None takes SGD, SGD with momentum 0.9, and Adam, each with
        lr=0.1.
    parameters : (int, int), default (0, 1)
        Which two move, by their places in ``net.parameters``.
    steps : int, default 50
    resolution : int, default 60
        Points across and down where the loss is computed.
    span : float, optional
        Width of the part of the plane that is drawn around the beginning. None shows the paths,
        but for those that run away.
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
    if isinstance(optimizers, Mapping) and len(optimizers) > len(_STYLES):
        raise ValueError(f"optimizers: expected at most {len(_STYLES)}, got {len(optimizers)}")
    picture = Picture(ax, path, title, clears=True)
    found = as_descent(network, X, y, optimizers, parameters, steps, resolution, span)
    (panel,) = picture.open(5.6, 4.6)
    surface = _draw_surface(panel, found.across, found.down, found.loss)
    bar = color_bar([panel], surface, shrink=0.85)
    bar.set_label("loss")
    for (name, way), (color, dashes, mark) in zip(found.paths.items(), _STYLES, strict=False):
        ended = len(way) <= steps
        last = way[-1, 2]
        label = f"{name}: diverged" if ended else f"{name}: {figures(last, 3)}"
        panel.plot(
            way[:, 0], way[:, 1], dashes, color=color, linewidth=1.6, label=label, marker=mark,
            markersize=6, markevery=[len(way) - 1], markeredgecolor="black", gid=name,
        )  # fmt: skip
    start = next(iter(found.paths.values()))[0]
    panel.plot([start[0]], [start[1]], "*", color="white", markersize=13, markeredgecolor="black",
               label=f"start: {figures(start[2], 3)}")  # fmt: skip
    panel.set(
        xlabel=_set(found.names[0]), ylabel=_set(found.names[1]), xlim=found.across[[0, -1]],
        ylim=found.down[[0, -1]],
    )  # fmt: skip
    panel.legend(fontsize=8, loc="best", facecolor="0.7", framealpha=0.8)
    panel.set_title(f"loss after {steps} steps", fontsize=10)
    return picture.finish()


def _set(name: str) -> str:
    head, _, at = name.partition("_")
    return f"${head}_{{{at}}}$"


def _draw_surface(panel: Any, across: Any, down: Any, loss: Any) -> Any:
    from matplotlib.colors import LogNorm

    finite = loss[np.isfinite(loss)]
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 10 * low:
        levels, norm = np.geomspace(low, high, 16), LogNorm(low, high)
    else:
        levels, norm = np.linspace(low, high + (high == low), 16), None
    shown = np.where(np.isfinite(loss), loss, high)
    surface = panel.contourf(across, down, shown, levels=levels, norm=norm, cmap="viridis")
    panel.contour(across, down, shown, levels=levels, norm=norm, colors="white", linewidths=0.3)
    return surface
