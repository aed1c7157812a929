"""What the site needs beside well-kept extensions: documents of the root as pages, and pictures."""

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

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
    root = Path(app.srcdir).parent
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
        if not (root / path).exists():
            log.warning("%s: no %s", source, path)
        return posixpath.relpath(target, page or ".") + anchor

    # Not in blocks of code: an index behind a bracket is no link.
    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(there, part) for part in parts[::2]]
    return "".join(parts)


def write_documents(app: Sphinx) -> None:
    """Make pages of the documents that stand elsewhere; they are written anew where they change."""
    root = Path(app.srcdir).parent
    for source, docname in app.config.fcnn_site_documents.items():
        text = (root / source).read_text("utf-8")
        page = Path(app.srcdir, f"{docname}.md")
        page.parent.mkdir(exist_ok=True)
        text = relinked(text, source, docname, app)
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Relink a document of docs/ and leave out what its comments have tests do."""
    if not app.env.doc2path(docname).endswith(".md"):
        return
    text = COMMENT.sub("", content[0])
    if docname not in app.config.fcnn_site_documents.values():
        text = relinked(text, f"docs/{docname}.md", docname, app)
    content[0] = text


def figures(block, block_vars, gallery_conf):
    """Save the figures that an example of the gallery has made, and no window knows of.

    fcnn.plot returns them; matplotlib's own scraper asks pyplot.
    """
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    made = []
    names = block_vars["example_globals"]
    for value in list(names.values()):
        if isinstance(value, Figure) and not getattr(value, "_fcnn_site_saved", False):
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=150)
            value._fcnn_site_saved = True
            made.append(path)
    return figure_rst(made, gallery_conf["src_dir"])


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_config_value("fcnn_site_documents", {}, "env")
    app.add_config_value("fcnn_site_folders", {}, "env")
    app.connect("builder-inited", write_documents)
    app.connect("source-read", read_source)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
