"""The importance of columns."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fcnn import _validation as check
from fcnn.plot._figure import Picture, as_names, as_text, require_matplotlib, shortened_inside


def plot_importance(
    names: Sequence[str],
    importance: ArrayLike,
    deviation: ArrayLike | None = None,
    *,
    most: int = 30,
    label: str = "importance",
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the importance of columns as bars, the most important first.

    Parameters
    ----------
    names : sequence of str, length n
    importance : array-like, shape (n,)
        As of `fcnn.report.permutation_importance`.
    deviation : array-like, shape (n,), optional
        Standard deviations, drawn as a line at the end of each bar.
    most : int, default 30
        Of more columns the most important are drawn, and the title says so.
    label : str, default "importance"
        Label of the axis.
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
        If an argument is not as described.
    ImportError, OSError
        As for `plot_history`.
    """
    require_matplotlib()
    texts = as_names("names", names)
    values = check.as_numeric("importance", importance).astype(np.float64)
    spread = np.zeros_like(values)
    if deviation is not None:
        spread = check.as_numeric("deviation", deviation).astype(np.float64)
    for argument, array in (("importance", values), ("deviation", spread)):
        if array.shape != (len(texts),) or not texts:
            raise ValueError(
                f"{argument}: expected a number for each of {len(texts)} names, got {array.shape}"
            )
    if (spread < 0).any():
        raise ValueError(f"deviation: expected numbers of at least 0, got {spread.min()}")
    as_text("label", label)
    most = check.as_count("most", most)
    picture = Picture(ax, path, title, clears=True)
    # Of equal ones the first column first; what is not finite last.
    shown = np.argsort(np.where(np.isfinite(values), -values, np.inf), kind="stable")[:most]
    (panel,) = picture.open(5, 1.0 + 0.24 * len(shown))
    panel.barh(
        range(len(shown)), np.nan_to_num(values[shown]), xerr=np.nan_to_num(spread[shown]),
        color="#0072B2", ecolor="#D55E00", error_kw={"linewidth": 1.5}, height=0.7,
    )  # fmt: skip
    labels = [shortened_inside(texts[j], 28) for j in shown]
    panel.set_yticks(range(len(shown)), labels, parse_math=False)
    panel.tick_params(axis="y", length=0, labelsize=9)
    panel.tick_params(axis="x", labelsize=9)
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.set_xlabel(label)
    panel.locator_params(axis="x", nbins=6)
    panel.axvline(0, color="0.5", linewidth=1)
    panel.grid(axis="x", alpha=0.3)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    if len(shown) < len(texts):
        panel.set_title(f"the first {len(shown)} of {len(texts):,} columns", fontsize=10)
    return picture.finish()
