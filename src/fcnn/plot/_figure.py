"""What the pictures share: figures and their files, axes, colours, texts."""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcnn.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

# Negative numbers are blue and positive ones red in every picture: a pair that colour-blind readers
# tell apart.
SIGNED = "RdBu_r"
MINUS = "\N{MINUS SIGN}"


def picture_endings() -> tuple[str, ...]:
    """Return the file endings that pictures can have, without their dots."""
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
    endings, ending = picture_endings(), ending_of(path)
    if ending not in endings:
        came = f"the ending {ending!r}" if ending else "no ending"
        raise ValueError(f"path: {str(path)!r} has {came}; expected one of {', '.join(endings)}")


def ending_of(path: str | os.PathLike[str]) -> str:
    """Return the ending of a file's name in small letters, without its dot."""
    try:
        return Path(path).suffix.lower().removeprefix(".")
    except TypeError:
        raise TypeError(f"path: expected a path, got {path!r}") from None


def as_text(argument: str, text: Any) -> str:
    """Return a text."""
    if not isinstance(text, str):
        raise TypeError(f"{argument}: expected a text, got {text!r}")
    return text


def as_names(argument: str, names: Any) -> list[str]:
    """Return names as texts; a text alone would be a name for each of its letters."""
    try:
        given = None if isinstance(names, str) else list(names)
    except TypeError:
        given = None
    if given is None:
        raise TypeError(f"{argument}: expected a sequence of names, got {names!r}")
    return [str(name) for name in given]


def require_matplotlib() -> None:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install fcnn[cli]") from None


class Picture:
    """Where a picture is drawn: on axes that were given, or in a figure of its own.

    Attributes
    ----------
    is_given : bool
        Whether axes were given.
    panels : list of matplotlib.axes.Axes
        The axes to draw on; those of a figure of its own are there after `open`.
    """

    def __init__(
        self,
        ax: Any,
        path: str | os.PathLike[str] | None,
        title: str = "",
        most: int = 1,
        clears: bool = False,
    ) -> None:
        """Check the arguments of a picture that takes up to `most` axes.

        One that fills its axes `clears` given ones: what it drew there before would show through.
        """
        as_text("title", title)
        if path is not None and ax is not None:
            raise ValueError("path: goes with a figure of its own; with ax, save the figure of ax")
        if path is not None:
            check_ending(path)
        self._path = path
        self._title = title
        self._ax = ax
        self._clears = clears
        self.is_given = ax is not None
        self.panels = _as_axes(ax, most) if self.is_given else []

    def open(
        self, width: float, height: float, arrange: Callable[[Any], list[Any]] | None = None
    ) -> list[Any]:
        """Return the axes to draw on.

        Without given ones `arrange` makes them in a new figure, or there is one that fills it;
        sizes are in inches.
        """
        if not self.is_given:
            figure = _new_figure(width, height)
            self.panels = [figure.subplots()] if arrange is None else arrange(figure)
        elif self._clears:
            for panel in self.panels:
                panel.clear()
        return self.panels

    def finish(self) -> Any:
        """Write title and file; return the figure, or the axes that were given."""
        first, title = self.panels[0], self._title
        figure: Figure = first.figure
        if title and self.is_given:  # axes that were given share their figure's title with others
            below = first.get_title()
            first.set_title(f"{title}\n{below}" if below else title, fontsize=10, parse_math=False)
        elif title:
            figure.suptitle(title, fontsize=12, parse_math=False)
        if self._path is not None:
            figure.savefig(self._path, dpi=150)
        return self._ax if self.is_given else figure


def color_bar(panels: list[Any], mappable: Any, **options: Any) -> Any:
    """Return the colour bar of panels: a new one, or in place of that of the picture before."""
    from matplotlib.colorbar import Colorbar

    first = panels[0]
    before = getattr(first, "_fcnn_color_bar", None)
    if before is not None and before.ax in first.figure.axes:
        before.ax.clear()
        kept = {name: options[name] for name in ("ticks", "format", "extend") if name in options}
        bar = Colorbar(before.ax, mappable, orientation=before.orientation, **kept)
    else:
        bar = first.figure.colorbar(mappable, ax=panels, **options)
    first._fcnn_color_bar = bar
    return bar


def _as_axes(ax: Any, most: int) -> list[Any]:
    from matplotlib.axes import Axes

    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    for one in axes:
        if not isinstance(one, Axes):
            raise TypeError(f"ax: expected matplotlib axes, got {one!r}")
    if not 1 <= len(axes) <= most:
        raise ValueError(f"ax: expected {'1' if most == 1 else f'1 to {most}'}, got {len(axes)}")
    return axes


def _new_figure(width: float, height: float) -> "Figure":
    """Return a figure that no window and no pyplot knows of; sizes are in inches."""
    require_matplotlib()
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


def write(panel: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text into axes, centred on a point."""
    # Inside the axes it needs no room of its own, and the layout need not measure it.
    panel.text(x, y, text, ha="center", va="center", in_layout=False, **style)


def hide_frame(panel: Any, **ticks: Any) -> None:
    """Take frame and tick marks from axes and leave their labels, in the style of `ticks`."""
    panel.tick_params(length=0, **ticks)
    panel.spines[:].set_visible(False)


def inches(panel: Any) -> tuple[float, float]:
    """Return width and height of axes."""
    box = panel.get_window_extent()
    return box.width / panel.figure.dpi, box.height / panel.figure.dpi


def colormap(name: str) -> Any:
    """Return a colour map that shows what is not finite in grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="0.8")


def ink_on(color: Any) -> str:
    """Return black or white, whichever can be read on a colour (its luma of ITU-R BT.601)."""
    red, green, blue = color[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def largest_magnitude(values: Array) -> float:
    """Return the largest finite magnitude."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def short(value: float) -> str:
    """Return a number in about five characters."""
    magnitude = abs(value)
    if magnitude and not 0.01 <= magnitude < 9999.5:
        mantissa, e, exponent = f"{value:.0e}".partition("e")  # no e in inf and nan
        text = mantissa + (f"e{int(exponent)}" if e else "")
    elif magnitude < 1:
        text = f"{value:.2f}" if value else "0"
    else:
        text = f"{value:.3g}" if magnitude < 999.5 else f"{value:.0f}"
    return text.replace("-", MINUS)


def figures(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits, enough to follow a sum by hand."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return (mantissa + (f"e{int(exponent)}" if e else "")).replace("-", MINUS)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def shortened_inside(text: str, most: int) -> str:
    """Return a text with its beginning and its end, where names that are alike differ."""
    end = most // 3
    if len(text) <= most:
        return text
    return f"{text[: most - 1 - end].rstrip()}\N{HORIZONTAL ELLIPSIS}{text[-end:].lstrip()}"


def as_network(network: Any) -> Network:
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fcnn.Network, got {type(network).__name__}")
    return network
