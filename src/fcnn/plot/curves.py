"""The curves of a training."""

import math
import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fcnn.history import History
from fcnn.plot._figure import Picture, as_text, require_matplotlib

# Colours of M. Okabe and K. Ito's palette, which colour-blind readers tell apart; the dashes tell
# the curves apart in print.
_TRAINING = {"color": "#0072B2", "linestyle": "-"}
_VALIDATION = {"color": "#D55E00", "linestyle": "--"}
_LEARNING_RATE = {"color": "#009E73", "linestyle": "-"}


def plot_history(
    history: History,
    *,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    loss_label: str = "loss",
    ax: Any = None,
) -> Any:
    """Draw the curves of a training: losses, validation score and learning rate.

    The score has axes of its own if there are validation data, and so has the learning rate if it
    varied. Losses and learning rates have a logarithmic scale where they are positive and span more
    than a factor of 10. A dotted line marks the best epoch: that of the lowest validation loss, or
    of the highest score where there is a score alone.

    Parameters
    ----------
    history : fcnn.history.History
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
        A new one; with `ax` the axes that were given.

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
    require_matplotlib()
    if not isinstance(history, History):
        raise TypeError(f"history: expected what Network.fit returns, got {history!r}")
    as_text("loss_label", loss_label)
    if not history.loss:
        raise ValueError("history: expected at least one epoch, got none")
    wanted = {"loss": _draw_losses}
    if history.validation_score:
        wanted["score"] = _draw_scores
    if len(set(history.learning_rate)) > 1:
        wanted["rate"] = _draw_rates
    picture = Picture(ax, path, title, most=len(wanted))
    panels = picture.open(8, 4.8 if "rate" in wanted else 3.4, lambda own: _arrange(own, wanted))
    best = _best_epoch(history)
    epochs = len(history.loss)
    for draw, panel in zip(wanted.values(), panels, strict=False):
        if best is not None:
            panel.axvline(best, color="0.5", linestyle=":", linewidth=1, zorder=1)
        draw(panel, history, best)
        _style_of_curves(panel, epochs)
    panels[0].set_ylabel(loss_label)
    if "rate" in wanted and not picture.is_given:
        panels[0].set_xlabel("")
        panels[0].tick_params(labelbottom=False)
    return picture.finish()


def _arrange(figure: Any, names: Collection[str]) -> list[Any]:
    """Return new axes in the order of the names."""
    # The learning rate stands below the losses, epoch below epoch.
    columns = [[name for name in ("loss", "rate") if name in names]]
    if "score" in names:
        columns.append(["score"] * len(columns[0]))
    rows = [list(row) for row in zip(*columns, strict=True)]
    made = figure.subplot_mosaic(rows, height_ratios=[5, 2][: len(rows)])
    return [made[name] for name in names]


def _best_epoch(history: History) -> int | None:
    """Return the epoch, counted from 1, that the validation data find best, if there are any."""
    values = np.asarray(history.validation_loss or history.validation_score, np.float64)
    if not np.isfinite(values).any():
        return None
    worst = math.inf if history.validation_loss else -math.inf
    values = np.where(np.isfinite(values), values, worst)
    return 1 + int(values.argmin() if history.validation_loss else values.argmax())


def _draw_losses(panel: Any, history: History, best: int | None) -> None:
    label = "training, with penalty" if history.penalty else "training"
    _curve(panel, history.loss, label, _TRAINING)
    if history.validation_loss:
        _curve(panel, history.validation_loss, "validation", _VALIDATION)
        if best is not None:
            _dot(panel, history.validation_loss, best, f"lowest: {{:.4g}}, epoch {best}")
    _choose_scale(panel, [*history.loss, *history.validation_loss])
    _add_legend(panel, len(history.loss))


def _draw_scores(panel: Any, history: History, best: int | None) -> None:
    scores = history.validation_score
    name = {"r2": "R²", "d2": "D²", "": "score"}.get(history.score_name, history.score_name)
    _curve(panel, scores, "validation", _VALIDATION)
    panel.set_ylabel(f"validation {name}")
    # R² has no lower bound: the first epochs would flatten all that matters.
    finite = list(filter(math.isfinite, scores))
    if history.score_name in ("r2", "d2") and finite and min(finite) < -1 < max(finite):
        panel.set_ylim(-1, max(finite) + 0.05 * (max(finite) + 1))
    if best is not None and best <= len(scores):
        _dot(panel, scores, best, f"{{:.4g}}, epoch {best}")
        _add_legend(panel, len(scores))


def _draw_rates(panel: Any, history: History, best: int | None) -> None:
    rates = history.learning_rate
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
