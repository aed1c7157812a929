"""The package's structure: imports run one way, files stay short, the core's parts keep apart.

The layers are in structure.py. Each rule is also seen to fail, on a package made for it.
"""

import ast
import collections
import functools
import itertools
import os
import re

import pytest
from structure import LAYERS, ROOT, graph, imports, layer, modules, package, room

MOST_LINES = 600
SOURCE = ROOT / "src" / "fcnn"

CIMPORT = re.compile(r"\s*(?:from\s+([\w.]+)\s+)?cimport\s+([\w.]+|\()")
INCLUDE = re.compile(r"\s*include\s+[\"'](.+?)[\"']")

needs_source = pytest.mark.skipif(
    not SOURCE.is_dir(), reason="an installed package has no Cython sources"
)


def place(path, line=None):
    """A file and line for a message."""
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"{shown}:{line}" if line else str(shown)


def homeless(folder):
    """Modules that stand in no layer."""
    return [
        f"{place(path)}: {name} stands in no layer. Give {room(name)!r} its place in LAYERS of "
        "tests/structure.py"
        for name, path in modules(folder).items()
        if layer(name) is None
    ]


@functools.cache
def imports_of_the_package():
    return imports(package())


def upward(every):
    """Those of some imports that are against the direction."""
    names = list(LAYERS)
    found = []
    for one in every:
        ends = layer(one.importer), layer(one.imported)
        if None not in ends and ends[0] < ends[1]:
            found.append(
                f"{place(one.path, one.line)}: {one.importer} ({names[ends[0]]}) imports "
                f"{one.imported} ({names[ends[1]]}), which LAYERS of tests/structure.py has later. "
                "Hand it over as an argument, or move what both need to an earlier module; a name "
                "for annotations alone goes under `if TYPE_CHECKING:`"
            )
    return found


def circles(every):
    """The shortest circle of some imports through each module, and each room, that is in one."""
    found = {}
    for edges in (graph(every), graph(every, of_rooms=True)):
        for start in sorted(edges):
            paths, reached = [[start]], {start}
            while paths and start not in edges.get(paths[0][-1], {}):
                path = paths.pop(0)
                for name in sorted({*edges.get(path[-1], {})} - reached):
                    reached.add(name)
                    paths.append([*path, name])
            if paths:
                path = [*paths[0], start]
                steps = [edges[a][b] for a, b in itertools.pairwise(path)]
                found.setdefault(frozenset(path), (path, steps))
    return [
        f"a circle of imports: {' -> '.join(path)} "
        f"({', '.join(place(one.path, one.line) for one in steps)}). Move what two of them need "
        "to a third, which imports neither"
        for path, steps in found.values()
    ]


def too_long(folder):
    """Source files above the limit."""
    counts = {
        path: path.read_bytes().count(b"\n")
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd", ".h")
    }
    return [
        f"{place(path)}: {count} lines, the most are {MOST_LINES}. Split it by concept, into files "
        "that say in their names what is in them"
        for path, count in counts.items()
        if count > MOST_LINES
    ]


def cython_lines(path):
    """Number and text of each line."""
    return enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)


def strangers_in_kernels(folder):
    """What kernels cimport beside kernels and what is not fcnn's."""
    found = []
    for path in sorted(folder.glob("kernels/*.pxd")):
        for line, text in cython_lines(path):
            if match := CIMPORT.match(text):
                source = match[1] or match[2]
                if source == "fcnn":
                    source = f"fcnn.{match[2]}"
                is_ours = source.startswith(("fcnn.", ".."))
                if is_ours and not source.startswith("fcnn.kernels"):
                    found.append(
                        f"{place(path, line)}: a kernel cimports {source}. Kernels know nothing "
                        "of the core: hand over what it needs as an argument, or move it to "
                        "kernels/"
                    )
    return found


def wrong_includes(folder):
    """Includes of core/*.pxi that are not one each, by _core.pyx."""
    found = []
    included = {path: [] for path in sorted(folder.glob("core/*.pxi"))}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".pyx", ".pxi", ".pxd")):
        for line, text in cython_lines(path):
            if match := INCLUDE.match(text):
                # Cython looks beside the file, and then as for a cimport.
                beside = path.parent / match[1]
                target = beside if beside.exists() else folder / match[1]
                included.setdefault(target, []).append((path, line))
                if path != folder / "_core.pyx":
                    found.append(
                        f"{place(path, line)}: includes {match[1]}. Only _core.pyx includes, so "
                        "that it shows the order of all parts: move the include there"
                    )
    for path, where in included.items():
        if not where:
            found.append(f"{place(path)}: not included by _core.pyx. Include it there or delete it")
        if len(where) > 1:
            places = ", ".join(place(*one) for one in where)
            found.append(f"{place(path)}: included more than once ({places}). Keep one")
    return found


def docstrings(path):
    """Line and text of each docstring of a file, of Cython's each text in triple quotes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, kinds) and (found := ast.get_docstring(node)):
                yield node.body[0].lineno, found
        return
    for match in re.finditer(r'"""(.*?)"""', text, re.DOTALL):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def said_twice(text):
    """Sentences, and parts of them up to a colon, that are twice in one docstring."""
    counts = collections.Counter()
    # What is indented alike is one paragraph.
    for _, lines in itertools.groupby(
        text.splitlines(), lambda line: len(line) - len(line.lstrip()) if line.strip() else -1
    ):
        parts = re.split(r"(?<=[.:;])\s+", " ".join(" ".join(lines).split()))
        counts.update(part for part in parts if len(part.split()) > 4 and part[-1] in ".:;")
    return [part for part, count in counts.items() if count > 1]


def badly_merged(folder):
    """Docstrings that say something twice: two commits' lines stand beside each other."""
    return [
        f"{place(path, line)}: the docstring says twice: {part}"
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".pyx", ".pxi")
        for line, text in docstrings(path)
        for part in said_twice(text)
    ]


# --- The package ---------------------------------------------------------------------------------


def test_every_module_has_a_layer_and_every_room_one():
    assert not (wrong := homeless(package())), "\n".join(wrong)
    rooms = [name for rooms in LAYERS.values() for name in rooms]
    assert len(rooms) == len(set(rooms))


def test_imports_run_one_way():
    assert not (wrong := upward(imports_of_the_package())), "\n".join(wrong)


def test_no_circle_of_imports():
    assert not (wrong := circles(imports_of_the_package())), "\n".join(wrong)


def test_imports_of_the_package_are_seen():
    # What finds nothing finds nothing wrong.
    edges = graph(imports_of_the_package())
    assert {"_dispatch", "_validation", "optimizers"} <= edges["network"].keys()
    assert {"network", "optimizers"} <= edges["fcnn"].keys()
    assert len(edges) > 15


@needs_source
def test_files_are_short():
    assert not (wrong := too_long(ROOT / "src")), "\n".join(wrong)


@needs_source
def test_kernels_know_nothing_of_the_core():
    assert len(list(SOURCE.glob("kernels/*.pxd"))) > 5
    assert not (wrong := strangers_in_kernels(SOURCE)), "\n".join(wrong)


@needs_source
def test_core_is_put_together_in_one_place():
    assert len(list(SOURCE.glob("core/*.pxi"))) > 5
    assert not (wrong := wrong_includes(SOURCE)), "\n".join(wrong)


@needs_source
def test_no_docstring_says_something_twice():
    assert len([*docstrings(SOURCE / "core" / "checked.pxi")]) > 5
    assert len([*docstrings(SOURCE / "network.py")]) > 10
    assert not (wrong := badly_merged(SOURCE)), "\n".join(wrong)


# --- Each rule, seen to fail ---------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """A function that writes a package: names of files, without suffix .py, and their texts."""

    def write(files):
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / (name if "." in name else f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


UPWARD = {
    "module": "from fcnn.network import Network",
    "module of the package": "from fcnn import network",
    "several in parentheses": "from fcnn import (\n    errors,\n    network as n,\n)",
    "import": "import fcnn.network",
    "import as": "import fcnn.network as n",
    "relative": "from .network import Network",
    "relative module": "from . import network",
    "in a function": "def f():\n    from fcnn.network import Network",
    "in a method of a class": "class A:\n    def f(self):\n        import fcnn.network",
    "in try": "try:\n    import fcnn.network\nexcept ImportError:\n    pass",
    "public name": "from fcnn import Network",
    "public name of a lazy module": "from fcnn import load",
    "attribute": "import fcnn\ndef f():\n    return fcnn.Network",
    "attribute of a module": "import fcnn\ndef f():\n    return fcnn.network.Network((1, 1))",
    "attribute under another name": "import fcnn as f\ng = lambda: f.load('x')",
    "the package's own": "from fcnn import get_include",
    "by name": "import importlib\nimportlib.import_module('fcnn.network')",
    "else of type checking": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n"
        "    from fcnn.network import Network"
    ),
    "not type checking": (
        "import typing\nif not typing.TYPE_CHECKING:\n    from fcnn.network import Network"
    ),
    "default of an argument": "import fcnn\ndef f(a=fcnn.Network):\n    pass",
    "folder": "from fcnn.plot.curves import plot_history",
}
ALLOWED = {
    "left": "from fcnn.errors import DivergenceError\nfrom fcnn._validation import as_count",
    "beside": "from fcnn.trace import Trace",
    "public name from the left": "from fcnn import DivergenceError",
    "type checking": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fcnn.network import Network"
    ),
    "typing.TYPE_CHECKING": "import typing\nif typing.TYPE_CHECKING:\n    import fcnn.network",
    "annotations": (
        "from __future__ import annotations\nimport fcnn\nx: fcnn.Network\n"
        "def f(a: fcnn.Network, *b: fcnn.Network) -> fcnn.network.Network:\n    c: fcnn.Network = 1"
    ),
    "text": '"""from fcnn.network import Network"""\nx = "import fcnn.network"',
    "version": "import fcnn\nprint(fcnn.__version__)\nfrom fcnn import __version__",
    "others": "import fcnn2, networks, numpy.network",
}
PACKAGE = {
    "__init__": (
        "from typing import TYPE_CHECKING\nfrom fcnn.errors import DivergenceError\n"
        "from fcnn.network import Network\nif TYPE_CHECKING:\n    from fcnn.files import load\n"
        "def get_include(): pass\n"
    ),
    "errors": "", "_validation": "", "trace": "", "network": "", "files": "",
    "plot/__init__": "", "plot/curves": "",
}  # fmt: skip


@pytest.mark.parametrize("text", UPWARD.values(), ids=UPWARD)
def test_import_against_the_direction_is_seen(tree, text):
    (message,) = upward(imports(tree({**PACKAGE, "optimizers": f"import os\n\n{text}\n"})))
    found = re.search(r"optimizers\.py:(\d+): optimizers \(parts\) imports [\w.]+ \(", message)
    # The line of the import, or of what is used of the package.
    used = [
        i for i, line in enumerate(text.splitlines(), 3) if re.search(r"fcnn|f\.|from \.", line)
    ]
    assert int(found[1]) == used[-1]


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_import_along_the_direction_passes(tree, text):
    folder = tree({**PACKAGE, "optimizers": text})
    assert upward(imports(folder)) == circles(imports(folder)) == []


def test_module_in_a_folder_stands_where_the_folder_stands(tree):
    (message,) = upward(imports(tree(
        {**PACKAGE, "plot/curves": "def f():\n    import fcnn.cli.main\n"
         "    from fcnn.files import load", "cli/main": ""}
    )))  # fmt: skip
    assert f"plot{os.sep}curves.py:2: plot.curves (around the network) imports cli.main" in message


def test_module_without_a_layer_is_seen(tree):
    (message,) = homeless(tree({"network": "", "novelty/one": ""}))
    assert "novelty.one stands in no layer" in message
    assert "'novelty'" in message


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        (
            {"trace": "import fcnn.history", "history": "def f():\n    from fcnn import trace"},
            "history -> trace -> history",
        ),
        (
            {
                "trace": "import fcnn.history",
                "history": "from fcnn.metrics import f\nimport fcnn.errors",
                "metrics": "from fcnn.trace import Trace\nimport fcnn.errors",
                "errors": "",
            },
            "history -> metrics -> trace -> history",
        ),
        (
            {
                "plot/__init__": "from fcnn.plot.curves import f",
                "plot/curves": "from fcnn.plot import colour",
            },
            "plot -> plot.curves -> plot",
        ),
        (
            {"plot/a": "from . import b", "plot/b": "from .a import f", "plot/__init__": ""},
            "plot.a -> plot.b -> plot.a",
        ),
        # An import of a folder's module runs the folder's __init__ first.
        (
            {
                "convert/__init__": "from fcnn.files import load",
                "convert/names": "",
                "files": "from fcnn.convert.names import f",
            },
            "convert -> files -> convert",
        ),
        # Two rooms may not import each other, even where no two of their modules do.
        (
            {
                "convert/c": "from fcnn.files import load",
                "convert/names": "",
                "files": "from fcnn.convert.names import f",
            },
            "convert -> files -> convert",
        ),
        (
            {"convert/__init__": "from .names import f", "convert/names": "", "files": ""},
            None,
        ),
        (
            {"__init__": "from fcnn.errors import E", "errors": "from fcnn import f"},
            "errors -> fcnn -> errors",
        ),
    ],
)
def test_circle_is_seen(tree, files, circle):
    messages = circles(imports(tree(files)))
    if circle is None:
        assert messages == []
    else:
        assert len(messages) == 1
        assert f"a circle of imports: {circle}" in messages[0]
        assert re.search(r"\(\S+\.py:\d+, \S+\.py:\d+", messages[0])


@pytest.mark.parametrize(
    "line",
    [
        "from fcnn.files import load", "from fcnn.files import (", "from fcnn import files",
        "import fcnn.files", "import fcnn.files as g", "from .files import load",
    ],
)  # fmt: skip
def test_an_import_of_the_core_counts(tree, line):
    text = f"def load():\n    {line}\n"
    (message,) = upward(imports(tree({"core/c_interface.pxi": text, "files": "", "errors": ""})))
    assert re.search(r"c_interface\.pxi:2: ", message)
    assert not upward(
        imports(tree({"core/c_interface.pxi": "from fcnn.errors import E", "errors": ""}))
    )


@pytest.mark.parametrize("name", ["a.py", "b.pyx", "core/c.pxi", "kernels/d.pxd", "include/e.h"])
def test_long_file_is_seen(tree, name):
    folder = tree({name: "\n" * MOST_LINES, "data/README.md": "\n" * 2 * MOST_LINES})
    assert too_long(folder) == []
    (message,) = too_long(tree({name: "\n" * (MOST_LINES + 1)}))
    assert f"{name.replace('/', os.sep)}: 601 lines" in message


@pytest.mark.parametrize(
    "text",
    [
        "from fcnn._core cimport Network", "from fcnn cimport _core", "cimport fcnn._core",
        "from ..core cimport model", "from .._core cimport (\n    Network,\n)",
        "    from fcnn.core.model cimport Call",
    ],
)  # fmt: skip
def test_kernel_that_cimports_the_core_is_seen(tree, text):
    (message,) = strangers_in_kernels(tree({"kernels/losses.pxd": f"# Losses\n{text}\n"}))
    assert f"kernels{os.sep}losses.pxd:2: a kernel cimports " in message


def test_kernel_may_cimport_kernels_and_the_c_library(tree):
    text = (
        "from fcnn.kernels.real cimport real\nfrom fcnn.kernels cimport real\ncimport cython\n"
        "from libc.math cimport sqrt\nfrom . cimport isa\nfrom .real cimport real\n"
        "# cimport fcnn._core\n"
    )
    assert strangers_in_kernels(tree({"kernels/losses.pxd": text})) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"core/run.pxi": '\ninclude "model.pxi"\n', "_core.pyx": 'include "core/run.pxi"'},
            r"core\Wrun\.pxi:2: includes model\.pxi",
        ),
        (
            {"kernels/a.pxd": "include 'core/run.pxi'", "_core.pyx": 'include "core/model.pxi"'},
            r"kernels\Wa\.pxd:1: includes core/run\.pxi",
        ),
        (
            {"_core.pyx": 'include "core/model.pxi"'},
            r"core\Wrun\.pxi: not included by _core\.pyx",
        ),
        (
            {"_core.pyx": 'include "core/run.pxi"\ninclude "core/model.pxi"\n' * 2},
            r"model\.pxi: included more than once \(\S+_core\.pyx:2, \S+_core\.pyx:4\)",
        ),
    ],
)
def test_include_elsewhere_is_seen(tree, files, message):
    assert re.search(
        message,
        "\n".join(wrong_includes(tree({"core/model.pxi": "", "core/run.pxi": "", **files}))),
    )


def test_one_include_each_passes(tree):
    core = '"""Text."""\ninclude "core/model.pxi"\n\ninclude "core/run.pxi"\n'
    files = {"core/model.pxi": "# include 'x'", "core/run.pxi": "", "_core.pyx": core}
    assert wrong_includes(tree(files)) == []


MERGED = '''def f():
    """Do it.

    Parameters
    ----------
    loss
        A loss of your own: see `gradients`.
    trainable
        Which layers move, and how fast: see `fit`.
        {}
    """
'''


@pytest.mark.parametrize("name", ["one.py", "core/one.pxi"])
def test_a_docstring_that_says_something_twice_is_seen(tree, name):
    moved = MERGED.format("A loss of your own: see `gradients`. It may\n        call the network.")
    (message,) = badly_merged(tree({name: moved}))
    assert message.endswith(":2: the docstring says twice: A loss of your own:")
    assert not badly_merged(tree({name: MERGED.format("It is what nothing else is.")}))
