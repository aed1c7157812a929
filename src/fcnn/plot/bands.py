"""Quantiles as bands: what a network knows of how far it may be wrong."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn.plot._figure import Picture, as_text, require_matplotlib, shortened

Array = NDArray[Any]


def plot_bands(
    x: ArrayLike,
    quantiles: ArrayLike,
    y: ArrayLike | None = None,
    *,
    levels: Sequence[float] | None = None,
    name: str = "",
    x_name: str = "x",
    max_points: int = 2000,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw quantiles over a feature as bands, and the targets as points.

    The first and the last quantile are the edges of the outermost band, the second and the last but
    one those of the next; the middle one of an odd number is a line.

    Parameters
    ----------
    x : array-like, shape (s,)
        A feature, or anything else to draw over; in any order.
    quantiles : array-like, shape (s, q)
        Two or more for each sample, ascending: what an estimator with ``quantiles`` predicts, or a
        network of one target and the loss quantile. Of the loss gaussian_nll
        ``mean[:, None] + std[:, None] * [-1.645, 0, 1.645]`` are those of 5, 50 and 95 %.
    y : array-like, shape (s,), optional
        The targets.
    levels : sequence of float, length q, optional
        Which quantiles they are, between 0 and 1, for a legend.
    name, x_name : str, optional
        What y and x are, for the labels of the axes.
    max_points : int, default 2000
        Of more targets as many are drawn, evenly spaced in the order of x.
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
        If an argument is not as described, or a number is not finite.
    ImportError, OSError
        As for `plot_history`.
    """
    require_matplotlib()
    along = _finite("x", x)
    if along.ndim != 1 or not along.size:
        raise ValueError(f"x: expected shape (samples,), got {along.shape}")
    bands = _finite("quantiles", quantiles)
    if bands.ndim != 2 or len(bands) != len(along) or bands.shape[1] < 2:
        raise ValueError(
            f"quantiles: expected two or more for each of the {len(along)} samples of x, got "
            f"{bands.shape}"
        )
    if (np.diff(bands, axis=1) < 0).any():
        row = int((np.diff(bands, axis=1) < 0).any(axis=1).argmax())
        raise ValueError(f"quantiles: expected ascending ones, got {bands[row]} in row {row}")
    points = None if y is None else _finite("y", y)
    if points is not None and points.shape != along.shape:
        raise ValueError(f"y: expected shape {along.shape}, got {points.shape}")
    q = bands.shape[1]
    if levels is not None:
        levels = check.as_numeric("levels", levels).tolist()
        if (
            not isinstance(levels, list) or len(levels) != q or levels != sorted(levels)
            or not all(0 < level < 1 for level in levels)
        ):  # fmt: skip
            raise ValueError(f"levels: expected {q} between 0 and 1, ascending, got {levels!r}")
    as_text("name", name)
    as_text("x_name", x_name)
    most = check.as_count("max_points", max_points)
    picture = Picture(ax, path, title)
    (panel,) = picture.open(6.4, 4.2)
    order = np.argsort(along, kind="stable")
    if points is not None:
        shown = order
        if len(shown) > most:
            shown = shown[np.linspace(0, len(shown) - 1, most).round().astype(np.intp)]
        panel.plot(
            along[shown], points[shown], "o", color="0.35", markersize=3, markeredgewidth=0,
            alpha=float(np.clip(30 / np.sqrt(len(shown)), 0.25, 0.9)), gid="points",
        )  # fmt: skip
    along, bands = along[order], bands[order]
    for i in range(q // 2):
        panel.fill_between(
            along, bands[:, i], bands[:, q - 1 - i], color="#0072B2", alpha=0.22, linewidth=0,
            gid=f"band {i + 1}", label=None if levels is None else
            f"{_percent(levels[i])} to {_percent(levels[q - 1 - i])}",
        )  # fmt: skip
    if q % 2:
        label = None if levels is None else _percent(levels[q // 2])
        panel.plot(along, bands[:, q // 2], color="#0072B2", gid="middle", label=label)
    panel.set_xlabel(shortened(x_name, 30), parse_math=False)
    if name:
        panel.set_ylabel(shortened(name, 30), parse_math=False)
    if levels is not None:
        panel.legend(fontsize=9, frameon=False)
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    return picture.finish()


def _finite(name: str, values: ArrayLike) -> Array:
    array = check.as_numeric(name, values).astype(np.float64)
    check.refuse_nonfinite(name, array)
    return array


def _percent(level: float) -> str:
    return f"{100 * level:.4g} %"
