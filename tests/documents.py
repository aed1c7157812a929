"""The code blocks of README.md and docs/, and what a comment beside a block says of it.

A block of Python runs, and so does one of the shell, in the order of the page and in one folder. A
block of Python that imports fcnn starts anew, as whoever copies it does; another goes on. Comments,
which no reader sees, say what is different:

    <!-- before        code of Python that runs before the next block, for what it takes for granted
    frame = ...
    -->
    <!-- after         code of Python that runs after the last block: what it must have come to
    assert ...
    -->
    <!-- not run: why it cannot be -->
    <!-- run elsewhere: where -->
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

PART = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ \t]*$"
    r"|^<!-- (?P<when>before|after)\n(?P<hidden>.*?)^-->$"
    r"|^<!-- (?P<way>not run|run elsewhere): (?P<reason>[^\n]+?) -->$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A block of code, and what is said of it."""

    language: str
    code: str
    line: int  # of the document, that the code begins in
    before: str = ""
    after: str = ""
    way: str = ""  # "not run" or "run elsewhere"
    reason: str = ""

    @property
    def starts_anew(self):
        """Whether it is a program of its own."""
        return bool(re.search(r"^(import fcnn$|from fcnn\b)", self.code, re.MULTILINE))


def is_generated(path):
    """Whether a page is one that building the site has made of another document."""
    return path.parent == ROOT / "docs" / "project" and path.name != "cite.md"


def documents():
    """Return the paths of all documents with blocks, as from the root."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    paths += sorted(ROOT.glob("docs/**/*.md"))
    paths += [ROOT / "benchmarks" / "README.md"]
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.exists() and not is_generated(path)
    ]


def blocks(document):
    """Return the blocks of a document, with its comments in them."""
    text = (ROOT / document).read_text("utf-8")
    found, said = [], {}
    for part in PART.finditer(text):
        if part["way"]:
            said |= {"way": part["way"], "reason": part["reason"]}
        elif part["when"] == "before":
            said["before"] = part["hidden"]
        elif part["when"] == "after":
            found[-1] = found[-1]._replace(after=part["hidden"])
        else:
            code = re.sub(rf"^{part['indent']}", "", part["code"], flags=re.MULTILINE)
            line = text.count("\n", 0, part.start()) + 2
            found.append(Block(part["language"].strip(), code, line, **said))
            said = {}
    if said:
        raise ValueError(f"{document}: a comment without a block behind it")
    return found


def lessons():
    """Return the paths of the lessons, in their order."""
    return sorted(path for path in ROOT.glob("docs/learn/[0-9]*.md"))


def cells(path):
    """Return the code cells of a MyST notebook, joined: what its kernel runs."""
    text = path.read_text("utf-8")
    found = re.findall(r"^```\{code-cell\}[^\n]*\n((?::[^\n]*\n)*)(.*?)^```$", text, re.M | re.S)
    return "\n".join(code for _, code in found)
