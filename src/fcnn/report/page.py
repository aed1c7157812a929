"""HTML from elements, so that every text is escaped, and the style of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

from fcnn.report.pictures import drawable

Child = Element | str

# Nothing is loaded and nothing runs, whatever a name in the data would have a browser do.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --pale: #59616b;
  --line: #d5dae0; --band: #f3f5f8; --warn: #fff3d6; --warn-line: #d9a400; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e7eaee; --pale: #a3acb7; --line: #3a4149; --band: #1e2328;
    --warn: #3a2f10; --warn-line: #b98a00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0 0.2rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.4rem; border-bottom: 1px solid var(--line); }
p { margin: 0.5rem 0; max-width: 46rem; }
.pale, figcaption { color: var(--pale); font-size: 0.92rem; }
.warning { background: var(--warn); border-left: 4px solid var(--warn-line);
  padding: 0.6rem 0.9rem; margin: 0.8rem 0; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.92rem; margin: 0.5rem 0; }
caption { text-align: left; color: var(--pale); padding: 0.2rem 0; }
th, td { padding: 0.28rem 0.7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 7rem; max-width: 22rem; }
thead th { background: var(--band); vertical-align: bottom; }
thead th.number { white-space: normal; min-width: 5rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.text { overflow-wrap: anywhere; min-width: 4rem; }
#columns-table td:nth-child(2) { white-space: nowrap; }
#columns-table td:last-child { min-width: 18rem; }
figure { margin: 0.8rem 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figure svg.wide { min-width: 34rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
.pictures figure { flex: 0 1 auto; max-width: 100%; min-width: 0; }
code { font: 0.88rem ui-monospace, "DejaVu Sans Mono", monospace; background: var(--band);
  padding: 0.1rem 0.3rem; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; }
@media (max-width: 40rem) { th, td { padding: 0.25rem 0.35rem; } tbody th { min-width: 5.5rem; }
  thead th.number { min-width: 3.6rem; } }
@media print { body { max-width: none; } details > * { display: revert; } }
"""


def tag(element_name: str, /, *children: Child, **attributes: str) -> Element:
    """Return an element; `class_` is its class."""
    element = Element(element_name, {key.rstrip("_"): value for key, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + drawable(child)
        else:
            last.tail = (last.tail or "") + drawable(child)
    return element


def section(name: str, heading: str, *children: Child) -> Element:
    """Return a section with its heading."""
    title = tag("h2", heading, id=f"{name}-heading")
    return tag("section", title, *children, id=name, **{"aria-labelledby": f"{name}-heading"})


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    name: str = "",
) -> Element:
    """Return a table whose rows begin with their heading, in a frame that scrolls.

    Parameters
    ----------
    caption : str
    heads : sequence of str
    rows : iterable of sequences of str
    numbers : sequence of int
        Which columns are aligned as numbers.
    name : str
        Its id.
    """
    styles = ["number" if j in numbers else "text" for j in range(len(heads))]
    head = tag(
        "tr",
        *(
            tag("th", text, scope="col", class_=style)
            for text, style in zip(heads, styles, strict=True)
        ),
    )
    body = []
    for first, *rest in rows:
        cells = [
            tag("td", text, class_=style) for text, style in zip(rest, styles[1:], strict=True)
        ]
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    if name:
        made.set("id", name)
    return tag("div", made, class_="scroll", tabindex="0", role="region", **{"aria-label": caption})


def document(title: str, *children: Child) -> str:
    """Return a whole page."""
    style = Element("style")
    style.text = _CSS
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", content=_POLICY, **{"http-equiv": "Content-Security-Policy"}),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        style,
    )
    page = tag("html", head, tag("body", tag("main", *children)), lang="en")
    text = tostring(page, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n"
