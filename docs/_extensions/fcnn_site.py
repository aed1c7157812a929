"""What the site needs beside well-kept extensions: documents of the root as pages, and pictures."""

import posixpath
import re
import zlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent.parent
log = logging.getLogger(__name__)

LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:|<)([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^( *```.*?^ *```[^\n]*$)", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"^<!-- (?:before|after)\n.*?^-->\n", re.DOTALL | re.MULTILINE)


def relinked(text: str, source: str, docname: str, app: Sphinx) -> str:
    """Return a document with links that lead somewhere from its page.

    Its links are relative to `source`, its path in the repository. Those to another document lead
    to that one's page, those to a folder to the page that shows it; a file is copied and offered.
    """
    documents, folders = app.config.fcnn_site_documents, app.config.fcnn_site_folders
    folder, page = posixpath.dirname(source), posixpath.dirname(docname)

    def there(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        anchor = match[2] or ""
        if path in documents:
            target = documents[path] + ".md"
        elif path in folders:
            target = folders[path] + ".md"
        elif path.startswith("docs/"):
            target = path.removeprefix("docs/")
        else:
            target = f"../{path}"
        if not (ROOT / path).exists():
            log.warning("%s: no %s", source, path)
        return posixpath.relpath(target, page or ".") + anchor

    # Not in blocks of code: an index behind a bracket is no link.
    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(there, part) for part in parts[::2]]
    return "".join(parts)


def write_documents(app: Sphinx) -> None:
    """Make pages of the documents that stand elsewhere; they are written anew where they change."""
    for source, docname in app.config.fcnn_site_documents.items():
        text = (ROOT / source).read_text("utf-8")
        page = Path(app.srcdir, f"{docname}.md")
        page.parent.mkdir(exist_ok=True)
        text = relinked(text, source, docname, app)
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Relink a document of docs/ and leave out what its comments have tests do."""
    if Path(app.env.doc2path(docname)).suffix != ".md":
        return
    text = COMMENT.sub("", content[0])
    if docname not in app.config.fcnn_site_documents.values():
        text = relinked(text, f"docs/{docname}.md", docname, app)
    content[0] = text


def figures(block, block_vars, gallery_conf):
    """Save the figures that an example of the gallery has made, and no window knows of.

    fcnn.plot returns them; matplotlib's own scraper asks pyplot.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    made = []
    for value in list(block_vars["example_globals"].values()):
        if not isinstance(value, Figure | FuncAnimation) or hasattr(value, "_fcnn_site_saved"):
            continue
        path = Path(next(block_vars["image_path_iterator"]))
        if isinstance(value, FuncAnimation):
            path = path.with_suffix(".gif")
            value.save(path, writer=PillowWriter(fps=1))
        else:
            value.savefig(path, dpi=150)
        value._fcnn_site_saved = True
        made.append(str(path))
    return figure_rst(made, gallery_conf["src_dir"])


def inventory(table: Path) -> Path:
    """Make an inventory, as Sphinx reads it, of a table of docs/inventories; return its path."""
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {table.stem}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    path = ROOT / "build" / "site-inventories" / f"{table.stem}.inv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head.encode() + zlib.compress(table.read_bytes()))
    return path


def escape_bars(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]):
    """Keep |a - y| of a docstring what it is: reStructuredText takes it for a substitution."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``[^`]*``)", line)
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[i] = "".join(parts)


def write_math(app: Sphinx, config: Config) -> None:
    """Write the script that renders formulas: KaTeX, as it comes with sphinxcontrib-katex.

    Its MathML is what browsers draw by themselves: no fonts, no style sheet, and readers of screens
    know it. A classic script, since pages that are opened as files may not load modules.
    """
    import sphinxcontrib.katex

    folder = ROOT / "build" / "site-static"
    folder.mkdir(parents=True, exist_ok=True)
    katex = Path(sphinxcontrib.katex.__file__).with_name("katex.min.js").read_text("utf-8")
    own = Path(app.confdir, "_extensions", "math.js").read_text("utf-8")
    Path(folder, "math.js").write_text(f"{katex}\n{own}", "utf-8")
    config.html_static_path.append(str(folder))


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_config_value("fcnn_site_documents", {}, "env")
    app.add_config_value("fcnn_site_folders", {}, "env")
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", write_math)
    app.connect("builder-inited", write_documents)
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
