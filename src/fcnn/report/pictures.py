"""Pictures of matplotlib as elements of a page: SVG that takes the page's colour of text."""

from __future__ import annotations

import contextlib
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, fromstring

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"

# A colour that no picture has otherwise; the page's own takes its place, dark or light.
_INK = "#0a0b0c"
_FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "fcnn", "font.family": "sans-serif",
    "font.sans-serif": _FONTS, "font.size": 10, "text.color": _INK, "axes.labelcolor": _INK,
    "axes.edgecolor": _INK, "axes.titlecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "legend.facecolor": "none",
}  # fmt: skip


@contextlib.contextmanager
def page_style() -> Iterator[None]:
    """Draw as a page is to show it."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The browser has other fonts than matplotlib.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def drawable(text: str) -> str:
    """Return a text without what XML has no character for."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def as_svg(figure: Figure, name: str, title: str, description: str) -> Element:
    """Return a figure as an svg element.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn in `page_style`, in which this is called, too.
    name : str
        Begins the ids of all its elements, which are the page's.
    title, description : str
        For those who do not see it.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue().decode().replace(_INK, "currentColor")
    drawn = fromstring(text)
    for element in drawn.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None
        for key in [*element.attrib]:
            value = element.attrib.pop(key)
            value = re.sub(r"url\(#", f"url(#{name}-", value)
            if key == "id":
                value = f"{name}-{value}"
            elif key == f"{_XLINK}href":
                key, value = "href", re.sub(r"^#", f"#{name}-", value)
            elif key in ("x", "y"):
                value = re.sub(r"(\.\d\d)\d+$", r"\1", value)
            element.set(key, value)
    for group in drawn.iter("g"):  # of thousands of points each says its colour
        uses = group.findall("use")
        if len(uses) > 1 and len({use.attrib.get("style", "") for use in uses}) == 1:
            group.set("style", uses[0].attrib.get("style", ""))
            for use in uses:
                use.attrib.pop("style", None)
    for metadata in drawn.findall("metadata"):
        drawn.remove(metadata)
    left, top, width, height = map(float, drawn.attrib["viewBox"].split())
    beyond = max((_excess(one) for one in drawn.iter("text")), default=0.0)
    turned = max((_excess(one) for one in drawn.iter("text") if _is_turned(one)), default=0.0)
    box = left - beyond, top, width + beyond, height + turned
    drawn.attrib.clear()
    drawn.set("viewBox", " ".join(f"{value:g}" for value in box))
    # In CSS pixels, a point of the figure being one: its 10 point letters are 10 pixels high.
    drawn.set("width", f"{box[2] * 4 / 3:.0f}")
    drawn.set("role", "img")
    drawn.set("aria-labelledby", f"{name}-title {name}-description")
    for tag, content in (("desc", description), ("title", title)):
        element = Element(tag, {"id": f"{name}-{'description' if tag == 'desc' else tag}"})
        element.text = drawable(content)
        drawn.insert(0, element)
    return drawn


def _excess(text: Element) -> float:
    """Return how much more room wide characters take than matplotlib's font has for them."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text.text or "")
    size = re.search(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", text.attrib.get("style", ""))
    return 0.42 * wide * float(size[1]) if size else 0.0


def _is_turned(text: Element) -> bool:
    turn = re.search(r"rotate\(([-\d.]+)", text.attrib.get("transform", ""))
    return turn is not None and float(turn[1]) != 0


def scrolled(svg: Element, caption: str) -> Element:
    """Return a picture with its caption; where it is too wide for the screen, it can be moved."""
    figure = Element("figure")
    SubElement(figure, "div", {"class": "scroll"}).append(svg)
    SubElement(figure, "figcaption").text = drawable(caption)
    return figure
