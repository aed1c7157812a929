"""Name the repository in what is published: project URLs, and whole links in the README.

    python scripts/name_home.py https://forge/owner/fcnn v1.2.3 [FOLDER]

A package page shows the README and resolves no relative link; a clone has no need of whole ones,
which would name one home of many and the wrong version. So the release writes them, into the tree
that it builds from: the repository is where the workflow runs, the version is the tag.
"""

import re
import sys
from pathlib import Path

PICTURES = (".gif", ".png", ".svg")
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s]+)(?=\))")
SOURCE = re.compile(r'(<(?:img|source)\s[^>]*?(?:src|srcset)=")(?!https?:)([^"]+)')


def whole_links(text: str, home: str, version: str) -> str:
    """Return a document of the repository's root with links that work everywhere."""

    def whole(path: str) -> str:
        way = "raw" if path.endswith(PICTURES) else "blob"
        return f"{home}/{way}/{version}/{path}"

    text = LINK.sub(lambda match: whole(match[1]), text)
    return SOURCE.sub(lambda match: match[1] + whole(match[2]), text)


def urls(home: str, version: str) -> str:
    """Return the table of pyproject.toml."""
    places = {
        "Homepage": home,
        "Source": home,
        "Documentation": f"{home}/tree/{version}/docs",
        "Changelog": f"{home}/blob/{version}/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
    lines = "".join(f'{name} = "{place}"\n' for name, place in places.items())
    return f"[project.urls]\n{lines}\n"


def main(home: str, version: str, folder: str = ".") -> None:
    """Write README.md and pyproject.toml of a folder anew."""
    readme, project = Path(folder, "README.md"), Path(folder, "pyproject.toml")
    settings = project.read_text("utf-8")
    if "[project.urls]" in settings:
        raise SystemExit(f"{project} has a home already")
    before = "[project.optional-dependencies]"
    if settings.count(before) != 1:
        raise SystemExit(f"{project}: no place for project URLs")
    home = home.rstrip("/")
    project.write_text(settings.replace(before, urls(home, version) + before), "utf-8")
    readme.write_text(whole_links(readme.read_text("utf-8"), home, version), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
