"""The pass of one sample, frame by frame."""

import os
import re
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from fcnn import _validation as check
from fcnn.network import Network
from fcnn.plot._figure import (
    Picture,
    as_network,
    as_text,
    ending_of,
    figures,
    hide_frame,
    inches,
    require_matplotlib,
)
from fcnn.plot.diagram import Diagram, one_sample, output_targets

ENDINGS = ("gif", "html")
_SIGNS = {
    "fa-minus": "&minus;", "fa-plus": "+", "fa-pause": "&#10074;&#10074;", "fa-play": "&#9654;",
    "fa-play fa-flip-horizontal": "&#9664;", "fa-step-forward": "&#9654;&#10072;",
    "fa-step-backward": "&#10072;&#9664;", "fa-fast-forward": "&#9654;&#9654;&#10072;",
    "fa-fast-backward": "&#10072;&#9664;&#9664;",
}  # fmt: skip


def animate_trace(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    seconds: float = 1.0,
    max_nodes: int = 6,
    path: str | os.PathLike[str] | None = None,
    title: str = "",
) -> Any:
    """Show one sample go forward and its deltas come back, layer after layer.

    The frames are those of `Network.trace`: the input, z and a of each layer, the loss, delta of
    each layer, the last one first, and dW of all. Colours and numbers are as in `plot_network`.

    Parameters
    ----------
    network : fcnn.Network
    X : array-like, shape (n_0,) or (1, n_0)
        One sample.
    y : array-like
        Its target.
    seconds : float, default 1
        Duration of a frame.
    max_nodes : int, default 6
        Of a larger layer those with the largest activations are shown.
    path : str or path-like, optional
        Where to write it: .gif, or .html, a page with buttons that needs no other file.
    title : str, optional

    Returns
    -------
    matplotlib.animation.FuncAnimation
        For changes and other formats, and for notebooks: ``HTML(animation.to_jshtml())``.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.animation import FuncAnimation, PillowWriter

    as_network(network)
    seconds = check.as_number("seconds", seconds, above=0)
    as_text("title", title)
    ending = "" if path is None else ending_of(path)
    if path is not None and ending not in ENDINGS:
        raise ValueError(f"path: {str(path)!r} does not end in .gif or .html")
    trace, drawn, slots = one_sample(network, X, y, max_nodes)
    picture = Picture(None, None)
    (panel,) = picture.open(
        min(2.2 * len(drawn) + 1, 9), min(max(4.0 / slots, 0.5), 1) * slots + 1.4
    )
    width, height = inches(panel)
    pitch = 72 * height / slots
    size = min(0.62 * pitch, 0.42 * 72 * width / len(drawn), 36)
    diagram = Diagram(network, drawn, size, width, pitch)
    L = len(network.sizes) - 1
    frames = [
        *(("forward", l) for l in range(L + 1)), ("loss", L),
        *(("back", l) for l in range(L, 0, -1)), ("gradient", 1),
    ]  # fmt: skip

    def draw(i: int) -> list[Any]:
        kind, l = frames[i]
        panel.clear()
        _draw_frame(panel, diagram, trace, kind, l)
        panel.set_title(_caption(trace, network, kind, l), fontsize=10, parse_math=False)
        panel.set_ylim(-slots / 2, slots / 2)
        panel.set_yticks([])
        hide_frame(panel)
        return []

    figure = panel.figure
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    animation: Any = FuncAnimation(
        figure, draw, frames=len(frames), interval=1000 * seconds, cache_frame_data=False
    )
    # Until it is drawn, matplotlib would warn of an animation that nobody has seen.
    animation._draw_was_started = True
    if path is not None and ending == "gif":
        per_second: Any = 1 / seconds
        animation.save(path, writer=PillowWriter(fps=per_second), dpi=100)
    elif path is not None:
        page = animation.to_jshtml(fps=1 / seconds, embed_frames=True, default_mode="loop")
        # The signs on its buttons are from a font elsewhere.
        page = re.sub(r"<link[^>]*>", "", page)
        for name, sign in _SIGNS.items():
            page = page.replace(f'<i class="fa {name}"></i>', sign)
        Path(path).write_text(f"<!doctype html>\n<meta charset='utf-8'>\n{page}", encoding="utf-8")
    return animation


def _draw_frame(panel: Any, diagram: Diagram, trace: Any, kind: str, l: int) -> None:
    L = len(trace.a) - 1
    layers = range(L + 1)
    if kind in ("forward", "loss"):
        nodes = [trace.a[i] if i <= l else None for i in layers]
        edges = [None, *(trace.W[i] if i <= l else None for i in layers[1:])]
        diagram.draw_edges(panel, edges, True)
        diagram.draw_nodes(panel, nodes)
        diagram.write_sums(panel, [z if i <= l else None for i, z in enumerate(trace.z)])
        shown = ("a", nodes), ("W", edges)
    else:
        nodes = [trace.delta[i] if i >= l and i else None for i in layers]
        # The edges that delta of this layer came along; of the last, all dW.
        edges = [None] * (L + 1)
        if kind == "gradient":
            edges = [None, *trace.dW[1:]]
        elif l < L:
            edges[l + 1] = trace.W[l + 1]
        diagram.draw_edges(panel, edges, False)
        diagram.draw_nodes(panel, nodes)
        name = "dW" if kind == "gradient" else "W"
        shown = ("\N{GREEK SMALL LETTER DELTA}", nodes), (name, edges)
    texts = [f"y {figures(v)}" for v in output_targets(trace)[diagram.drawn[-1]]]
    column = diagram.write_outputs(panel, texts)
    diagram.write_layers(panel, *shown, column)


def _caption(trace: Any, network: Network, kind: str, l: int) -> str:
    delta, sigma, total = "\N{GREEK SMALL LETTER DELTA}", "\N{GREEK SMALL LETTER SIGMA}", "\u03a3"
    if kind == "forward" and l == 0:
        return "forward: the input, a\u2070 = x"
    if kind == "forward":
        return f"forward: layer {l}, z = W a + b, a = {network.activations[l - 1]}(z)"
    if kind == "loss":
        return f"the loss, {network.loss}: C = {figures(trace.loss)}"
    if kind == "gradient":
        return f"every weight: dC/dW_kj = {delta}_k a_j"
    if l == len(network.sizes) - 1:
        return f"backward: the output layer, {delta} = dC/da {sigma}'(z)"
    return f"backward: layer {l}, {delta}_j = {sigma}'(z_j) {total}_k {delta}_k W_kj"
