"""What a notebook shows of a network, a trace and the curves of a training."""

# Annotations stay text: what they name imports this module.
from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcnn.history import History
    from fcnn.network import Network
    from fcnn.trace import Trace

# The colours of fcnn.plot; text has the page's own, light or dark.
_COLORS = {"loss": "#0072B2", "validation_loss": "#D55E00"}
_LABELS = {"loss": "loss", "validation_loss": "validation loss"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Return a table whose first two columns are text and whose others are numbers."""

    def align(i: int) -> str:
        return "left" if i < 2 else "right"

    def line(cells: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "<tr>" + "".join(
            f'<{tag}{scope} style="text-align:{align(i)}">{escape(cell)}</{tag}>'
            for i, cell in enumerate(cells)
        ) + "</tr>"  # fmt: skip

    body = "".join(line(row, "td") for row in rows)
    return (
        f'<table><caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
    )


def of_network(network: Network) -> str:
    """Return a table of the layers."""
    rows = [["input", "", f"{network.sizes[0]:,}", "", ""]]
    for l, (W, name) in enumerate(zip(network.weights, network.activations, strict=True), start=1):
        n_out, n_in = W.shape
        rows.append([str(l), name, f"{n_out:,}", f"({n_out}, {n_in})", f"{n_out * (n_in + 1):,}"])
    rows.append(["total", "", "", "", f"{network.num_parameters:,}"])
    caption = f"{type(network).__name__}: {network.dtype}, loss {network.loss}"
    return _table(["layer", "activation", "nodes", "W", "parameters"], rows, caption)


def of_trace(trace: Trace) -> str:
    """Return z, a and delta of the first sample, at most 12 nodes a layer."""
    rows = []
    for l, a in enumerate(trace.a):
        label = "input" if l == 0 else f"{l} {trace.activations[l - 1]}"
        for k in range(min(a.shape[1], 12)):
            z = "" if l == 0 else f"{trace.z[l][0, k]:.6g}"
            rows.append(
                [
                    label if k == 0 else "",
                    str(k),
                    z,
                    f"{a[0, k]:.6g}",
                    f"{trace.delta[l][0, k]:.6g}",
                ]
            )
        if a.shape[1] > 12:
            rows.append(["", f"... {a.shape[1]} nodes", "", "", ""])
    s = len(trace.a[0])
    first = f"; the first sample (every delta has the 1/{s} of the average)" if s > 1 else ""
    caption = repr(trace).strip("<>") + first
    return _table(["layer", "node", "z", "a", "\N{GREEK SMALL LETTER DELTA}"], rows, caption)


def of_history(history: History) -> str:
    """Return what the training came to, and its losses as a small picture."""
    text = f"<p>{escape(repr(history).strip('<>'))}</p>"
    curves = {name: getattr(history, name) for name in _COLORS if getattr(history, name)}
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    if len(history.loss) < 2 or not values:
        return text
    # A logarithmic scale where plot_history has one.
    is_log = min(values) > 0 and max(values) > 10 * min(values)
    low, high = (_scaled(v, is_log) for v in (min(values), max(values)))
    span = (high - low) or 1.0
    shapes = []
    for name, curve in curves.items():
        points = " ".join(
            f"{10 + 380 * i / (len(curve) - 1 or 1):.1f},"
            f"{110 - 100 * (_scaled(v, is_log) - low) / span:.1f}"
            for i, v in enumerate(curve)
            if math.isfinite(v)
        )
        dashes = ' stroke-dasharray="6 3"' if name != "loss" else ""
        shapes.append(
            f'<polyline points="{points}" fill="none" stroke="{_COLORS[name]}" '
            f'stroke-width="2"{dashes}><title>{_LABELS[name]}</title></polyline>'
        )
    legend = ", ".join(
        f'<span style="color:{_COLORS[name]}">{_LABELS[name]}</span> '
        f"{curve[0]:.4g} to {curve[-1]:.4g}"
        for name, curve in curves.items()
    )
    scale = ", logarithmic" if is_log else ""
    return (
        f'{text}<svg role="img" aria-label="{escape(repr(history).strip("<>"))}" width="400" '
        f'height="120" viewBox="0 0 400 120">{"".join(shapes)}</svg><p>{legend}{scale}</p>'
    )


def _scaled(value: Any, is_log: bool) -> float:
    return math.log(value) if is_log else float(value)
