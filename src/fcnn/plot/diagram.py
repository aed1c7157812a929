"""The network with one sample."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn.network import Network
from fcnn.plot._figure import (
    MINUS,
    SIGNED,
    Picture,
    as_names,
    as_network,
    color_bar,
    colormap,
    figures,
    hide_frame,
    inches,
    ink_on,
    largest_magnitude,
    require_matplotlib,
    short,
    shortened,
    write,
)
from fcnn.trace import Trace

Array = NDArray[Any]

# Whether the target 0 of an output is written out. Of classes only the true one has a target to
# tell, its 1; elsewhere 0 is a number like any other.
SHOWS_ZERO_TARGETS = {
    "squared_error": True,
    "absolute_error": True,
    "huber": True,
    "poisson": True,
    "binary_cross_entropy": True,
    "cross_entropy": False,
    "gaussian_nll": True,
    "quantile": True,
}


def plot_network(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    max_nodes: int = 10,
    class_names: Sequence[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the network with every a, W, delta and dW of one sample, as `Network.trace` has them.

    Two pictures: the forward pass, its nodes coloured by a and its edges by W, and the backward
    pass, its nodes coloured by delta, which of the inputs is dC/dx, and its edges by dW. Red is
    positive, blue negative. Each layer's nodes, and each layer's edges, have a scale of their own,
    the largest magnitude shown, which stands below them. Small networks show the numbers, too, to
    four significant digits: in the nodes, on the edges, and z and b below the nodes. Arrows go with
    the numbers: forward, and back.

    Parameters
    ----------
    network : fcnn.Network
    X : array-like, shape (n_0,) or (1, n_0)
        One sample.
    y : array-like
        Its target: a label, or a row of shape (n_L,) or (1, n_L).
    max_nodes : int, default 10
        At most 100. Of a larger layer those nodes are shown whose activations have the largest
        magnitudes, in the order of the layer and numbered like its arrays, from 0; what stands
        below the layer says so.
    class_names : sequence, optional
        A name for each output, in place of its number.
    path : str or path-like, optional
        Where to write the picture; its ending decides the format.
    title : str, optional
    ax : matplotlib.axes.Axes or sequence of two, optional
        Where to draw the forward and the backward pass; one shows the forward pass alone.

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
    n_L = network.sizes[-1]
    if class_names is not None and len(as_names("class_names", class_names)) != n_L:
        raise ValueError(
            f"class_names: expected a name for each of the {n_L} outputs, got {class_names!r}"
        )
    picture = Picture(ax, path, title, most=2, clears=True)
    trace, drawn, slots = one_sample(network, X, y, max_nodes)

    stacked = len(drawn) > 4  # side by side, the layers of a deep network would touch
    width, height = 8.0 if stacked else 4.0, min(max(3.8 / slots, 0.38), 0.95) * slots
    panels = picture.open(
        8, (height + 1.1) * (2 if stacked else 1) + 0.8, lambda own: _arrange(own, stacked)
    )
    _add_key(panels)  # which takes room from the panels
    if picture.is_given:
        width, height = inches(panels[0])
    pitch = 72 * height / slots
    size = min(0.62 * pitch, 0.42 * 72 * width / len(drawn), 36)
    diagram = Diagram(network, drawn, size, width, pitch)
    delta = "\N{GREEK SMALL LETTER DELTA}"
    passes = (
        (f"forward \N{RIGHTWARDS ARROW} nodes a, edges W; loss {short(trace.loss)}", "a", trace.a,
         "W", [None, *network.weights]),
        (f"backward \N{LEFTWARDS ARROW} nodes {delta}, edges dW", delta, trace.delta,
         "dW", trace.dW),
    )  # fmt: skip
    for panel, (heading, node, values, edge, weights) in zip(panels, passes, strict=False):
        is_forward = panel is panels[0]
        diagram.draw_edges(panel, weights, is_forward)
        diagram.draw_nodes(panel, values)
        texts = diagram.outputs(values[-1][0], class_names)
        if is_forward:
            diagram.write_sums(panel, trace.z)
            texts = _with_targets(texts, output_targets(trace)[drawn[-1]], network.loss)
        column = diagram.write_outputs(panel, texts)
        diagram.write_layers(panel, (node, values), (edge, weights), column)
        panel.set_title(heading, fontsize=10)
        panel.set_ylim(-slots / 2, slots / 2)
        panel.set_yticks([])
        hide_frame(panel)
    return picture.finish()


def _arrange(figure: Any, stacked: bool) -> list[Any]:
    """Return new axes for the forward and the backward pass."""
    figure.get_layout_engine().set(wspace=0.06)
    return list(figure.subplots(2, 1) if stacked else figure.subplots(1, 2))


def one_sample(network: Network, X: Any, y: Any, max_nodes: int) -> tuple[Trace, list[Array], int]:
    """Return the trace of one sample, the nodes to show of each layer, and the most of one."""
    if check.as_count("max_nodes", max_nodes) > 100:
        raise ValueError(f"max_nodes: expected at most 100, got {max_nodes}")
    inputs = check.as_inputs("X", X, network.sizes[0], network.dtype)
    if inputs.ndim == 2 and len(inputs) != 1:
        raise ValueError(f"X: expected one sample, got {len(inputs)}")
    trace = network.trace(inputs, y)
    drawn = [_most_active(a[0], max_nodes) for a in trace.a]
    return (
        trace,
        drawn,
        max(len(k) + (len(k) < n) for k, n in zip(drawn, network.sizes, strict=True)),
    )


def _most_active(a: Array, most: int) -> Array:
    """Return the numbers of the nodes to show, ascending."""
    if len(a) <= most:
        return np.arange(len(a))
    return np.sort(np.argsort(-np.abs(a), kind="stable")[:most])


def output_targets(trace: Trace) -> Array:
    """Return the target of each output, of the first sample."""
    return np.tile(trace.y[0], trace.a[-1].shape[1] // trace.y.shape[1])


def _with_targets(texts: list[str], targets: Array, loss: str) -> list[str]:
    """Return the texts of the outputs with their targets, where these say something."""
    shows_zero = SHOWS_ZERO_TARGETS[core.split_loss(loss)[0]]
    return [
        ", ".join(filter(None, (text, f"y {short(v)}" if v or shows_zero else "")))
        for text, v in zip(texts, targets, strict=True)
    ]


def _relative(values: Array) -> Array:
    """Return values over the largest magnitude among them, NaN for what is not finite."""
    return np.where(np.isfinite(values), values, np.nan) / (largest_magnitude(values) or 1)


def _from_minus_to_plus() -> Any:
    from matplotlib.colors import Normalize

    return Normalize(-1, 1)


@dataclass(frozen=True)
class Diagram:
    """A network: layer l stands at x = l, and the nodes of a layer below each other, 1 apart.

    Attributes
    ----------
    network : fcnn.Network
    drawn : list of numpy.ndarray
        The numbers of the nodes to draw, for layers 0..L.
    size : float
        Diameter of a node in points.
    width : float
        Width of the axes in inches.
    pitch : float
        From a node to the next of its layer, in points.
    """

    network: Network
    drawn: list[Array]
    size: float
    width: float
    pitch: float

    def is_cut(self, l: int) -> bool:
        """Whether a layer has more nodes than are drawn."""
        return len(self.drawn[l]) < self.network.sizes[l]

    def heights(self, l: int) -> Array:
        """Return y of a layer's nodes, the first on top; an ellipsis below takes one more."""
        count = len(self.drawn[l])
        return (count + self.is_cut(l) - 1) / 2 - np.arange(count)

    @property
    def shows_numbers(self) -> bool:
        """Whether a node has room for its value, in place of its number in the layer."""
        return self.size >= 24

    def draw_edges(self, panel: Any, weights: Sequence[Any], is_forward: bool) -> None:
        """Draw the edges of layers that have values, others in grey, as arrows where few."""
        from matplotlib.collections import LineCollection
        from matplotlib.colors import LinearSegmentedColormap

        # Unlike a node, an edge without an outline would be lost in white.
        ends_of_scale = colormap(SIGNED)([0.05, 0.95])
        colors = LinearSegmentedColormap.from_list("", [ends_of_scale[0], "0.9", ends_of_scale[1]])
        # More numbers than those of 3 x 3 edges would hide each other.
        shows_numbers = (
            self.shows_numbers and len(self.drawn) <= 3 and max(map(len, self.drawn)) <= 3
        )
        edges = sum(len(a) * len(b) for a, b in itertools.pairwise(self.drawn))
        for l in range(1, len(self.drawn)):
            if weights[l] is None:
                self._draw_plain_edges(panel, l)
                continue
            values = np.asarray(weights[l], np.float64)[np.ix_(self.drawn[l], self.drawn[l - 1])]
            ends = [
                [(l - 1, below), (l, above)]
                for above in self.heights(l)
                for below in self.heights(l - 1)
            ]
            strength = _relative(values.ravel())
            thickness = np.nan_to_num(np.abs(strength))
            order = np.argsort(thickness, kind="stable")  # the strong ones on top
            panel.add_collection(
                LineCollection(
                    [ends[i] for i in order], array=strength[order], cmap=colors,
                    norm=_from_minus_to_plus(), zorder=1, gid=f"edges {l}",
                    linewidths=0.5 + 2 * thickness[order],
                )
            )  # fmt: skip
            if self.shows_numbers and edges <= 60:  # heads of more would be a thicket
                for (begin, end), share in zip(ends, thickness, strict=True):
                    self._draw_head(panel, *((begin, end) if is_forward else (end, begin)), share)
            if shows_numbers:
                self._number_edges(panel, ends, values.ravel())

    def _draw_plain_edges(self, panel: Any, l: int) -> None:
        from matplotlib.collections import LineCollection

        ends = [
            [(l - 1, below), (l, above)]
            for above in self.heights(l)
            for below in self.heights(l - 1)
        ]
        panel.add_collection(LineCollection(ends, colors="0.8", linewidths=0.7, zorder=1))

    def _draw_head(self, panel: Any, begin: Any, end: Any, share: float) -> None:
        # A head without a shaft, which the edge is.
        panel.annotate(
            "", end, begin, annotation_clip=False, zorder=1.2, gid="head",
            arrowprops={
                "arrowstyle": "-|>,head_length=0.35,head_width=0.16", "color": "0.35",
                "shrinkA": 0, "shrinkB": self.size / 2, "linewidth": 0,
                "mutation_scale": 12 + 8 * float(share),
            },
        )  # fmt: skip

    def _number_edges(self, panel: Any, ends: list[Any], values: Array) -> None:
        # Just beyond the emitting node, and before the edges of three cross, at a third.
        most = 0.28 if max(map(len, self.drawn)) > 2 else 0.45
        share = min(most, max(0.25, (self.size / 2 + 18) / 72 / self._column(0.6)))
        for ((x, y), (x_end, y_end)), value in zip(ends, values, strict=True):
            write(
                panel, x + share * (x_end - x), y + share * (y_end - y), figures(value, 3),
                fontsize=7.5, zorder=1.5,
                bbox={"facecolor": panel.get_facecolor(), "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip

    def draw_nodes(self, panel: Any, values: Sequence[Any]) -> None:
        """Draw nodes with their values in them, or their numbers where there is no room."""
        for l, k in enumerate(self.drawn):
            heights = self.heights(l)
            style = {"s": self.size**2, "edgecolors": "0.35", "linewidths": 0.8, "zorder": 2}
            texts = [str(i) for i in k]
            if values[l] is None:
                panel.scatter([l] * len(k), heights, c="white", **style)
                continue
            shown = np.asarray(values[l][0], np.float64)[k]
            nodes = panel.scatter(
                [l] * len(k), heights, c=_relative(shown), cmap=colormap(SIGNED),
                norm=_from_minus_to_plus(), plotnonfinite=True, gid=f"nodes {l}", **style,
            )  # fmt: skip
            inks = [ink_on(color) for color in nodes.to_rgba(_relative(shown))]
            if self.shows_numbers:
                if self.is_cut(l):
                    for i, y in zip(texts, heights, strict=True):
                        self._annotate(panel, i, (l, y), (0, self.size / 2 + 1), "bottom")
                texts = [figures(v) for v in shown]
            for y, text, ink in zip(heights, texts, inks, strict=True):
                # A character is about 0.6 of the font wide.
                font = min(0.28, 1.5 / len(text)) if self.shows_numbers else 0.4
                write(panel, l, y, text, fontsize=font * self.size, color=ink, zorder=3)
            if self.is_cut(l):
                write(panel, l, heights[-1] - 1, "\N{VERTICAL ELLIPSIS}", fontsize=14)

    @staticmethod
    def _annotate(panel: Any, text: str, place: Any, points: Any, va: str) -> None:
        panel.annotate(
            text,
            place,
            points,
            textcoords="offset points",
            ha="center",
            va=va,
            fontsize=7.5,
            linespacing=1.05,
        )

    def write_sums(self, panel: Any, z: Sequence[Any]) -> None:
        """Write z and b below the nodes, in two lines where there is room."""
        if not self.shows_numbers:
            return
        gap = "\n" if self.pitch - self.size > 19 else "  "
        for l, b in enumerate(self.network.biases, 1):
            if z[l] is None:
                continue
            for k, y in zip(self.drawn[l], self.heights(l), strict=True):
                text = f"z {figures(z[l][0, k])}{gap}b {figures(b[k])}"
                self._annotate(panel, text, (l, y), (0, -self.size / 2 - 2), "top")

    def outputs(self, values: Array, names: Sequence[Any] | None) -> list[str]:
        """Return a text for each output: its name, and its value if that is not in the node."""
        texts = []
        for k in self.drawn[-1]:
            text = str(k) if names is None else shortened(str(names[k]), 14)
            if not self.shows_numbers:
                text += f": {short(values[k])}"
            elif names is None:
                text = ""
            texts.append(text)
        return texts

    def write_outputs(self, panel: Any, texts: list[str]) -> float:
        """Write texts beside the outputs and leave room for them; return inches a layer."""
        last = len(self.drawn) - 1
        for y, text in zip(self.heights(last), texts, strict=True):
            panel.annotate(
                text, (last, y), (self.size / 2 + 3, 0), textcoords="offset points", va="center",
                fontsize=8, parse_math=False,
            )  # fmt: skip
        room = max(0.3, (self.size / 2 + 3 + 4.8 * max(map(len, texts))) / 72)
        column = self._column(room)
        panel.set_xlim(-0.3 / column, last + room / column)
        return column

    def _column(self, room: float) -> float:
        """Return inches from layer to layer, where texts beside the outputs take some room."""
        return max(self.width - 0.3 - room, 0.3 * self.width) / (len(self.drawn) - 1)

    def write_layers(
        self,
        panel: Any,
        nodes: tuple[str, Sequence[Any]],
        edges: tuple[str, Sequence[Any]],
        column: float,
    ) -> None:
        """Write below each layer what it is, how much is shown, and the largest magnitudes."""
        labels = []
        for l, (k, n) in enumerate(zip(self.drawn, self.network.sizes, strict=True)):
            lines = ["input" if l == 0 else self.network.activations[l - 1]]
            lines.append(f"{len(k)} of {n:,}" if self.is_cut(l) else f"{n} node{'s' * (n > 1)}")
            name, values = nodes
            if values[l] is not None:
                lines.append(f"|{name}| {short(largest_magnitude(values[l][0, k]))}")
            name, values = edges
            if values[l] is not None:
                largest = largest_magnitude(values[l][np.ix_(k, self.drawn[l - 1])])
                lines.append(f"|{name}| {short(largest)}")
            labels.append("\n".join(lines))
        longest = max(len(line) for label in labels for line in label.splitlines())
        font = min(8.0, max(5.0, 72 * column / longest / 0.6))
        panel.set_xticks(range(len(labels)), labels, fontsize=font)


def _add_key(panels: Sequence[Any]) -> None:
    """Add the scale of colours that all layers have."""
    from matplotlib.cm import ScalarMappable

    figure = panels[0].figure
    # A layout engine makes room for what stands below the layers; without one it is asked for.
    pad = {} if figure.get_layout_engine() else {"pad": 0.35}
    bar = color_bar(
        list(panels), ScalarMappable(_from_minus_to_plus(), colormap(SIGNED)),
        location="bottom", shrink=0.5, aspect=40, ticks=[-1, 0, 1], **pad,
    )  # fmt: skip
    bar.ax.set_xticklabels([f"{MINUS}largest", "0", "largest"])
    bar.set_label(
        "relative to the layer's largest magnitude shown, which stands below it", fontsize=9
    )
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)
