"""Pictures of a training. They need matplotlib: ``pip install fcnn[cli]``."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcnn.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Two colours of M. Okabe and K. Ito's palette, which colour-blind readers tell apart; the dashes
# tell the curves apart in print.
_TRAINING = {"color": "#0072B2", "linestyle": "-"}
_VALIDATION = {"color": "#D55E00", "linestyle": "--"}


def _new_figure(width: float, height: float) -> "Figure":
    """Return a figure that no window and no pyplot knows of."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install fcnn[cli]") from None
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture_endings() -> tuple[str, ...]:
    """Return the file endings that `plot_history` can write, without their dots.

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


def plot_history(
    history: History,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    loss_label: str = "loss",
) -> "Figure":
    """Draw the curves of a training: the losses, and beside them the validation score.

    The loss axis is logarithmic where the losses are positive and span more than a factor of 10. A
    dot marks the epoch of the lowest validation loss.

    Parameters
    ----------
    history : fcnn.training.History
        What `Network.fit` returns, of at least one epoch.
    path : str or path-like, optional
        Where to write the picture, 1,200 pixels wide; its ending decides the format.
    title : str, optional
    loss_label : str, default "loss"
        Label of the loss axis.

    Returns
    -------
    matplotlib.figure.Figure
        For changes, and for notebooks.

    Raises
    ------
    ValueError
        If the history has no epoch, or matplotlib does not know the ending.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    # Refuses its absence with a hint how to get it, before matplotlib is used here.
    figure = _new_figure(8, 3.4)
    from matplotlib.ticker import MaxNLocator

    if not history.loss:
        raise ValueError("history: expected at least one epoch, got none")
    if path is not None:
        check_ending(path)
    panels = figure.subplots(1, 2 if history.validation_score else 1, squeeze=False)[0]
    if title:
        figure.suptitle(title, fontsize=12)

    losses = panels[0]
    _curve(losses, history.loss, "training", _TRAINING)
    if history.validation_loss:
        _curve(losses, history.validation_loss, "validation", _VALIDATION)
        lowest = min(filter(math.isfinite, history.validation_loss), default=None)
        if lowest is not None:
            best = history.validation_loss.index(lowest) + 1
            losses.plot(
                [best], [lowest], "o", color=_VALIDATION["color"], markersize=7, clip_on=False,
                label=f"lowest, epoch {best}",
            )  # fmt: skip
    _choose_scale(losses, [*history.loss, *history.validation_loss])
    losses.set_ylabel(loss_label)
    losses.legend(frameon=False)

    if history.validation_score:
        name = {"r2": "R²"}.get(history.score_name, history.score_name)
        _curve(panels[1], history.validation_score, "validation", _VALIDATION)
        panels[1].set_ylabel(f"validation {name}")
        # R² has no lower bound: the first epochs would flatten all that matters.
        highest = max(history.validation_score)
        if history.score_name == "r2" and min(history.validation_score) < -1 < highest:
            panels[1].set_ylim(-1, highest + 0.05 * (highest + 1))
    epochs = len(history.loss)
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        panel.set_xlim(1 - max(0.02 * epochs, 0.1), epochs + max(0.02 * epochs, 0.1))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(path, dpi=150)  # sharp also on dense screens
    return figure


def _curve(panel: Any, values: Sequence[float], label: str, style: dict[str, Any]) -> None:
    # One epoch makes no line to see.
    marker = "o" if len(values) <= 10 else ""
    panel.plot(range(1, len(values) + 1), values, marker=marker, markersize=4, label=label, **style)


def _choose_scale(panel: Any, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    shown = list(filter(math.isfinite, values))
    if not shown or min(shown) <= 0 or max(shown) <= 10 * min(shown):
        return
    panel.set_yscale("log")
    # Few decades would leave one or two labels at their powers of 10.
    few = max(shown) < 1e4 * min(shown)
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
