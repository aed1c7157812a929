"""The layers of the package, and who imports whom.

tests/test_structure.py checks it; scripts/draw_map.py draws it.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

# Imports run one way: a module may import what stands above it here, or beside it. A folder counts
# as one: its modules stand where it stands.
LAYERS = {
    "errors": ("errors", "names"),
    "kernels": ("kernels",),
    "core": ("core", "_core"),
    "choice of a build": ("_dispatch", "_cpu"),
    "arguments": ("_validation", "_architecture", "_own_loss", "_packed", "_pieces",
                  "_sparse", "_frames", "_cgroups", "_attributes", "threads"),
    "parts": (
        "_split", "_views", "metrics", "initializers", "trace", "gradient_check", "history",
        "optimizers", "reference", "tables", "_checkpoint", "_sobolev", "explanation", "_html",
        "_looked",
    ),
    "parts of a training": ("callbacks", "schedules", "_format", "_progress_bar"),
    "data": ("_memmap", "_data"),
    "training": ("training", "second_order", "parallel"),
    "network": ("network", "_conversion"),
    "public names": ("fcnn",),  # __init__.py
    "around the network": (
        "files", "model", "many", "ensemble", "halving", "datasets", "convert", "plot", "report",
        "sklearn", "bench", "learn", "_descent", "_ctypes_table",
    ),
    "commands": ("cli", "__main__"),
}  # fmt: skip


class Import(NamedTuple):
    """That a module imports another; modules are named without `fcnn.`, but for fcnn itself."""

    importer: str
    imported: str
    path: Path
    line: int


def package():
    """Return the package's folder: of the source tree, or where there is none the installed one."""
    if (source := ROOT / "src" / "fcnn").is_dir():
        return source
    import fcnn

    return Path(fcnn.__file__).parent


def room(module):
    """Return the room of a module: the module or, of a module in a folder, the folder."""
    return module.partition(".")[0]


def layer(module):
    """Return the number of the layer that a module stands in, None if it stands in none."""
    return next((i for i, rooms in enumerate(LAYERS.values()) if room(module) in rooms), None)


def modules(folder):
    """Return the Python files of a package by the names of their modules."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts) or "fcnn"] = path
    return found


def imports(folder):
    """Return all imports inside a package that run, those inside functions included.

    Left out is what only a type checker reads: under `if TYPE_CHECKING:` and in annotations.
    `import fcnn` alone counts for nothing, since a package is there before its modules are; each
    `fcnn.X` that is used counts as an import of X, or for a public name of the module that it is
    from. So does `from fcnn import X`.
    """
    found = modules(folder)
    homes = _homes(found["fcnn"]) if "fcnn" in found else {}
    return [
        one for name, path in found.items() for one in _Reader(name, path, folder, homes).imports()
    ] + [one for path in _cython_files(folder) for one in _python_imports(path, folder, homes)]


def _cython_files(folder):
    endings = (".pyx", ".pxi", ".pxd")
    return sorted(path for path in folder.rglob("*") if path.suffix in endings)


def _python_imports(path, folder, homes):
    """Return the Python imports in a file of the core, which ast does not read: line by line."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if re.match(r"\s*(?:from\s+(?:fcnn|\.)\S*\s+import|import\s+fcnn)\b", line):
            # What goes on in the next line names more of the same module.
            text = line.strip().rstrip("(\\").rstrip(", ") + (
                " X" if line.strip()[-1] == "(" else ""
            )
            for one in _Reader("_core", folder / "_core.pyx", folder, homes).read(text):
                yield one._replace(path=path, line=number)


def graph(all_imports, of_rooms=False):
    """Return the first import of each pair of modules, or rooms: {importer: {imported: Import}}.

    A module in a folder is imported after the folder's `__init__`, which counts for importers
    outside.
    """
    result = {}
    for one in all_imports:
        importer, names = one.importer, [one.imported]
        if of_rooms:
            importer, names = room(importer), {room(one.imported)} - {room(importer)}
        else:
            parts = one.imported.split(".")
            folders = (".".join(parts[:i]) for i in range(1, len(parts)))
            names += [name for name in folders if not f"{importer}.".startswith(f"{name}.")]
        for name in names:
            result.setdefault(importer, {}).setdefault(name, one)
    return result


def _is_type_checking(test):
    return getattr(test, "attr", getattr(test, "id", "")) == "TYPE_CHECKING"


def _homes(path):
    """Return what __init__.py imports from other modules: {name: module}."""
    return {
        alias.asname or alias.name: node.module.removeprefix("fcnn.")
        for node in ast.walk(ast.parse(path.read_bytes(), str(path)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fcnn.")
        for alias in node.names
    }


class _Reader(ast.NodeVisitor):
    """Reads the imports of a module."""

    def __init__(self, name, path, folder, homes):
        self.name, self.path, self.folder, self.homes = name, path, folder, homes
        self.found = []
        self.packages = set()  # names that stand for fcnn
        self.uses = []

    def imports(self):
        return self.read(self.path.read_bytes())

    def read(self, text):
        self.visit(ast.parse(text, str(self.path)))
        for node, names in self.uses:
            if names[0] in self.packages:
                self.take(node, names[1:])
        return self.found

    def take(self, node, names):
        """Take note of fcnn.names[0].names[1]...: of the module that is farthest along."""
        target = None
        if not names:
            target = "fcnn"
        elif self.is_module(names[0]):
            while not self.is_module(".".join(names)):
                names = names[:-1]
            target = ".".join(names)
        # __version__ and its like are facts about the package, not what a room is made for.
        elif not names[0].startswith("__"):
            target = self.homes.get(names[0], "fcnn")
        if target is not None:
            self.found.append(Import(self.name, target, self.path, node.lineno))

    def is_module(self, name):
        place = self.folder.joinpath(*name.split("."))
        return place.is_dir() or any(
            place.with_name(place.name + suffix).exists() for suffix in (".py", ".pyi", ".pyx")
        )

    def visit_Import(self, node):
        for alias in node.names:
            names = alias.name.split(".")
            if names[0] == "fcnn":
                if len(names) == 1 or alias.asname is None:
                    self.packages.add(alias.asname or "fcnn")
                if len(names) > 1:
                    self.take(node, names[1:])

    def visit_ImportFrom(self, node):
        names = node.module.split(".") if node.module else []
        if node.level:  # one dot is the folder that the file is in
            folders = ["fcnn", *self.path.relative_to(self.folder).parts[:-1]]
            names = folders[: len(folders) + 1 - node.level] + names
        if names[:1] == ["fcnn"]:
            for alias in node.names:
                self.take(node, [*names[1:], alias.name])

    def visit_Call(self, node):
        text = node.args and getattr(node.args[0], "value", None)
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in ("import_module", "__import__") and isinstance(text, str):
            names = text.split(".")
            if names[0] == "fcnn":
                self.take(node, names[1:])
        self.generic_visit(node)

    def visit_Attribute(self, node):
        names, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            names.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self.uses.append((node, [value.id, *reversed(names)]))
        else:
            self.visit(value)

    def visit_If(self, node):
        test, branches = node.test, [*node.body, *node.orelse]
        if _is_type_checking(test):
            branches = node.orelse
        elif isinstance(test, ast.UnaryOp) and _is_type_checking(test.operand):
            branches = node.body
        for child in (test, *branches):
            self.visit(child)

    def visit_arg(self, node):
        pass  # an annotation

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node):
        for child in (*node.decorator_list, node.args, *node.body):
            self.visit(child)

    visit_AsyncFunctionDef = visit_FunctionDef
