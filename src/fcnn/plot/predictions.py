"""Predicted against true numbers."""

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fcnn import _validation as check
from fcnn.plot._figure import Picture, as_text, require_matplotlib, shortened


def plot_predictions(
    predictions: ArrayLike,
    y: ArrayLike,
    *,
    name: str = "",
    max_points: int = 2000,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the predicted numbers against the true ones, with the line where they are equal.

    Parameters
    ----------
    predictions, y : array-like, shape (s,)
        As for `fcnn.metrics`: what was predicted first, the true numbers second.
    name : str, optional
        What they are, for the labels of the axes.
    max_points : int, default 2000
        Of more samples as many are drawn, evenly spaced in the order of y; the title says so.
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
    arrays = []
    for argument, given in (("y", y), ("predictions", predictions)):
        values = np.ascontiguousarray(check.as_numeric(argument, given), np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{argument}: expected shape (samples,), got {values.shape}")
        check.refuse_nonfinite(argument, values)
        arrays.append(values)
    true, predicted = arrays
    if len(true) != len(predicted):
        raise ValueError(
            f"predictions: expected one for each of the {len(true)} samples of y, got "
            f"{len(predicted)}"
        )
    as_text("name", name)
    most = check.as_count("max_points", max_points)
    picture = Picture(ax, path, title)
    (panel,) = picture.open(4.8, 4.8)
    shown = np.argsort(true, kind="stable")
    if len(true) > most:  # the lowest and the highest among them
        shown = shown[np.linspace(0, len(true) - 1, most).round().astype(np.intp)]
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    ends = [low - margin, high + margin]
    panel.plot(ends, ends, color="0.5", linewidth=1, zorder=1, gid="equal")
    alpha = float(np.clip(30 / np.sqrt(len(shown)), 0.25, 0.9))
    panel.plot(
        true[shown], predicted[shown], "o", color="#0072B2", markersize=4, markeredgewidth=0,
        alpha=alpha, gid="points",
    )  # fmt: skip
    panel.set(xlim=ends, ylim=ends, aspect="equal")
    of = f" {shortened(name, 30)}" if name else ""
    panel.set_xlabel(f"true{of}", parse_math=False)
    panel.set_ylabel(f"predicted{of}", parse_math=False)
    panel.locator_params(nbins=5)
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    if len(shown) < len(true):
        panel.set_title(f"{len(shown):,} of {len(true):,} samples", fontsize=10)
    return picture.finish()
