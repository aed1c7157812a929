#!/usr/bin/env python3
"""Draws the map of the package, docs/map.svg, from its source.

    python scripts/draw_map.py            # draw it (needs matplotlib)
    python scripts/draw_map.py --check    # fail if the picture is no longer the package's

Rooms, modules and folders, stand in the layers of tests/structure.py, with their lines of code. An
arrow is an import; what a longer way of arrows says already is left out.

The picture holds what it was drawn from. The check compares that, not the drawing, which depends on
matplotlib's version; and line counts may drift by a fifth, or not every change would need a new
picture.
"""

import argparse
import itertools
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from structure import LAYERS, graph, imports, layer  # noqa: E402

SOURCE = ROOT / "src" / "fcnn"
MAP = ROOT / "docs" / "map.svg"
MOST_DRIFT = 0.2, 20  # of lines, whichever is more

CORE, KERNELS = "the core", "kernels"
INCLUDE = re.compile(r"^include\s+\"(.+)\"", re.MULTILINE)
CIMPORT = re.compile(r"^from\s+fcnn\.kernels\.\w+\s+cimport", re.MULTILINE)

# --- What there is -------------------------------------------------------------------------------


def lines_of(path):
    """Return how many lines a file has."""
    return path.read_bytes().count(b"\n")


def python_room(name):
    """Return the files of a room and their lines; None if there is no such room."""
    if name == "fcnn":
        return {"__init__": lines_of(SOURCE / "__init__.py")}
    for suffix in (".py", ".pyx"):
        if (path := SOURCE / f"{name}{suffix}").exists():
            return {name: lines_of(path)}
    files = {path.stem: lines_of(path) for path in sorted(SOURCE.glob(f"{name}/*.py"))}
    return files or None


def read_facts():
    """Return the layers with their rooms and files, and the arrows between rooms."""
    core = (SOURCE / "_core.pyx").read_text(encoding="utf-8")
    layers = {}
    for title, names in LAYERS.items():
        rooms = {}
        if title == "core":
            files = ["_core.pyx", *INCLUDE.findall(core)]
            rooms[CORE] = {name: lines_of(SOURCE / name) for name in files}
        elif title == "kernels":
            paths = [p for p in sorted(SOURCE.glob("kernels/*")) if p.suffix in (".pxd", ".h")]
            rooms[KERNELS] = {p.name: lines_of(p) for p in paths if p.stem != "__init__"}
        else:
            found = ((name, python_room(name)) for name in names)
            rooms = {name: files for name, files in found if files}
        if rooms:
            layers[title] = rooms
    every = imports(SOURCE)
    for one in every:
        ends = layer(one.importer), layer(one.imported)
        if None in ends or ends[0] < ends[1]:
            sys.exit(f"{one.path}:{one.line}: an import that tests/test_structure.py refuses")
    edges = {}
    for importer, imported in graph(every, of_rooms=True).items():
        importer = CORE if importer in LAYERS["core"] else importer
        edges[importer] = {CORE if name in LAYERS["core"] else name for name in imported}
    # Its name is put together while it runs.
    edges["_dispatch"].add(CORE)
    if CIMPORT.search(core):
        edges.setdefault(CORE, set()).add(KERNELS)
    return {"layers": layers, "arrows": sorted(without_detours(edges))}


def without_detours(edges):
    """Yield the edges that no longer way stands for; there must be no circle."""
    below = {name: set(imported) for name, imported in edges.items()}
    for _ in edges:
        for name in below:
            below[name].update(*(below.get(other, ()) for other in below[name]))
    for importer, imported in edges.items():
        if importer in below[importer]:
            sys.exit(f"{importer} is in a circle of imports: see tests/test_structure.py")
        further = set().union(*(below.get(name, ()) for name in imported))
        yield from ([importer, name] for name in imported - further)


def differences(drawn, now):
    """Yield what a picture says otherwise than the source."""
    if drawn["arrows"] != now["arrows"]:
        arrows = [{" -> ".join(arrow) for arrow in facts["arrows"]} for facts in (drawn, now)]
        yield from (f"arrow {arrow} is gone" for arrow in sorted(arrows[0] - arrows[1]))
        yield from (f"arrow {arrow} is new" for arrow in sorted(arrows[1] - arrows[0]))
    files = [
        {
            (title, name, file): lines
            for title, rooms in facts["layers"].items()
            for name, counts in rooms.items()
            for file, lines in counts.items()
        }
        for facts in (drawn, now)
    ]
    share, least = MOST_DRIFT
    for key in sorted(files[0].keys() | files[1].keys()):
        before, after = (counts.get(key) for counts in files)
        shown = " / ".join(dict.fromkeys(key))
        if before is None or after is None:
            yield f"{shown} is {'new' if before is None else 'gone'}"
        elif abs(after - before) > max(share * before, least):
            yield f"{shown} has {after} lines, drawn with {before}"


def drawn_facts():
    """Return what docs/map.svg was drawn from."""
    if not MAP.exists():
        sys.exit("docs/map.svg is missing: python scripts/draw_map.py draws it")
    for element in ElementTree.parse(MAP).iter("{http://purl.org/dc/elements/1.1/}description"):
        return json.loads(element.text)
    sys.exit(f"{MAP.relative_to(ROOT)}: holds no facts")


# --- Where it stands -----------------------------------------------------------------------------

# One unit is a pixel of a picture of this width; where a row needs more, all becomes smaller.
WIDTH = 900
LEFT = 100  # of the titles
LINE, PAD, GAP = 13, 6, 12  # of text; around it; between rooms
LAYER_GAP = 34
LETTER = 0.62  # widest average of the usual fonts, in sizes
BIG, SMALL = 11, 9.5


class Room:
    """A box, or in a layer between an arrow's ends the place where it passes."""

    def __init__(self, name, files=None, columns=1):
        self.name, self.files, self.columns = name, files or {}, columns
        self.passes = files is None
        self.width, self.height = 4, 0
        if self.passes:
            return
        self.title = {"fcnn": "__init__"}.get(name, name)
        if len(self.files) > 1:
            self.title += "/" if name != CORE else ": _core.pyx and what it includes"
        self.lines = f"{sum(self.files.values()):,} lines"
        widest = max(len(self.title) * BIG, (len(self.lines) + 1) * SMALL)
        self.width = widest * LETTER + 2 * PAD
        self.height = 2 * LINE + 2 * PAD
        if len(self.files) > 1:
            self.files = {name.removeprefix("core/"): n for name, n in self.files.items()}
            widest = max(len(f"{name} {n}") for name, n in self.files.items())
            self.entry = widest * SMALL * LETTER + 3 * PAD
            self.rows = -(-len(self.files) // columns)
            self.columns = -(-len(self.files) // self.rows)
            self.width = max(self.width, self.columns * self.entry)
            self.height = 2 * LINE + self.rows * LINE + 2 * PAD


def with_passages(facts):
    """Return the rows of rooms and passages from the top, and the links between neighbours.

    Arrows to the same room share their passages. A link is (upper, lower, arrow's end).
    """
    rows, places = [], {}
    for i, rooms in enumerate(facts["layers"].values()):
        many = sum(len(files) > 1 for files in rooms.values()) > 1
        columns = 1 if many else 5
        rows.append([Room(n, f, min(columns, len(f))) for n, f in rooms.items()])
        places.update({one.name: (i, one) for one in rows[-1]})
    links, beside, passages = {}, [], {}
    for importer, imported in facts["arrows"]:
        (i, start), (j, end) = places[importer], places[imported]
        if i == j:
            beside.append((start, end))
            continue
        above = start
        for k in range(i - 1, j, -1):
            if (k, imported) not in passages:
                passages[k, imported] = Room(imported)
                rows[k].append(passages[k, imported])
            links[above, passages[k, imported]] = end
            above = passages[k, imported]
        links[above, end] = end
    return rows[::-1], links, beside


def crossings(rows, links):
    """Return how often links cross."""
    at = {one: i for row in rows for i, one in enumerate(row)}
    row_of = {one: i for i, row in enumerate(rows) for one in row}
    return sum(
        (at[a] - at[c]) * (at[b] - at[d]) < 0
        for (a, b), (c, d) in itertools.combinations(links, 2)
        if row_of[a] == row_of[c]
    )


def order(rows, links, beside):
    """Sort each row by the mean place of its neighbours in the rows around it, again and again."""
    near = {one: [] for row in rows for one in row}
    for a, b in [*links, *beside, *beside]:
        near[a].append(b)
        near[b].append(a)
    best = crossings(rows, links), [list(row) for row in rows]
    for sweep in range(40):
        for row in rows if sweep % 2 else rows[::-1]:
            at = {one: (i + 0.5) / len(r) for r in rows for i, one in enumerate(r)}
            row.sort(key=lambda one: sum(at[o] for o in [*near[one], one]) / (len(near[one]) + 1))
        best = min(best, (crossings(rows, links), [list(row) for row in rows]), key=lambda b: b[0])
    rows[:] = best[1]
    return near


def spread(rows, near):
    """Place the rooms of each row near their neighbours; return the picture's width."""
    totals = [sum(one.width for one in row) + GAP * (len(row) - 1) for row in rows]
    width = max(WIDTH, LEFT + max(totals) + PAD)
    for row, total in zip(rows, totals, strict=True):
        x = LEFT + (width - LEFT - total) / 2
        for one in row:
            one.x = x + one.width / 2
            x += one.width + GAP
    for sweep in range(60):
        for row in rows if sweep % 2 else rows[::-1]:
            offsets = [0.0]
            for a, b in itertools.pairwise(row):
                offsets.append(offsets[-1] + (a.width + b.width) / 2 + GAP)
            low = LEFT + row[0].width / 2
            high = width - PAD - row[-1].width / 2 - offsets[-1]
            # Least squares under x[i + 1] - x[i] >= the offsets' difference: pool what violates it.
            pools = []
            for one, offset in zip(row, offsets, strict=True):
                # Passages count more, or their arrows run zigzag.
                pull = [(o.x, 8 if o.passes and one.passes else 1) for o in near[one]]
                pull = pull or [(one.x, 1)]
                wanted = sum(x * weight for x, weight in pull) / sum(weight for _, weight in pull)
                pools.append([wanted - offset, 1])
                while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                    (a, n), (b, m) = pools[-2:]
                    pools[-2:] = [[(a * n + b * m) / (n + m), n + m]]
            bases = [base for base, count in pools for _ in range(count)]
            for one, base, offset in zip(row, bases, offsets, strict=True):
                one.x = min(max(base, low), high) + offset
    return width


def stack(rows):
    """Place the rows below each other; return the picture's height."""
    y = 2 * LINE + 3 * PAD
    for row in rows:
        height = max(one.height for one in row)
        for one in row:
            one.row_top, one.row_bottom = y, y + height
            one.top = y + (0 if one.passes else (height - one.height) / 2)
            one.bottom = y + height if one.passes else one.top + one.height
        y += height + LAYER_GAP
    return y - LAYER_GAP + 2 * PAD


# --- The drawing ---------------------------------------------------------------------------------

COLOURS = ("#1f5fa8", "#b3541e", "#3b7d3b", "#8a3b8f", "#9a7d0a", "#a8324a", "#2b7f86", "#5b5b9a")
INK, PALE = "#222222", "#5f5f5f"
BAND, EDGE, PYTHON_FACE, CORE_FACE = "#f5f5f2", "#8899aa", "#e6effa", "#fbecd9"
EXPLANATION = (
    "A module may import from its own layer and from lower ones, never from a higher one. "
    "Arrows are imports;\none that a longer way implies is left out. Arrows to the same room "
    "share their way and their colour."
)


class Picture:
    """Axes whose unit is a pixel, downwards."""

    def __init__(self, width, height):
        from matplotlib.figure import Figure

        self.figure = Figure((width / 72, height / 72), facecolor="white")
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(0, width), ylim=(height, 0))
        self.ax.axis("off")

    def write(self, x, y, text, size=BIG, colour=INK, **more):
        """Write a text around a height."""
        self.ax.text(x, y, text, size=size, color=colour, va="center", **more)

    def box(self, left, top, width, height, face, edge="none"):
        """Draw a box with round corners."""
        from matplotlib.patches import FancyBboxPatch

        form = "round,pad=0,rounding_size=4"
        self.ax.add_patch(
            FancyBboxPatch(
                (left, top), width, height, boxstyle=form, facecolor=face, edgecolor=edge, lw=0.8
            )
        )

    def line(self, points, colour, head=True):
        """Draw a line through points, curved where a pair of them goes sideways."""
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path as Line

        path, codes = [points[0]], [Line.MOVETO]
        for (x, y), (u, v) in itertools.pairwise(points):
            if (x, y) == (u, v):
                continue  # a head at the end of it would have no direction
            if x == u or y == v:
                path.append((u, v))
                codes.append(Line.LINETO)
            else:
                path += [(x, (y + v) / 2), (u, (y + v) / 2), (u, v)]
                codes += [Line.CURVE4] * 3
        form = "-|>,head_length=3.5,head_width=1.7" if head else "-"
        self.ax.add_patch(
            FancyArrowPatch(path=Line(path, codes), arrowstyle=form, color=colour, lw=0.9)
        )

    def room(self, one):
        """Draw a room."""
        left = one.x - one.width / 2
        face = CORE_FACE if one.name in (CORE, KERNELS) else PYTHON_FACE
        self.box(left, one.top, one.width, one.height, face, EDGE)
        y = one.top + PAD + LINE / 2
        self.write(one.x, y, one.title, weight="bold", ha="center")
        self.write(one.x, y + LINE, one.lines, SMALL, PALE, ha="center")
        if len(one.files) == 1:
            return
        free = one.width / one.columns
        for i, (file, count) in enumerate(one.files.items()):
            column, line = divmod(i, one.rows)
            x, at = left + column * free, y + (line + 2) * LINE
            self.write(x + PAD, at, file, SMALL)
            self.write(x + free - PAD, at, f"{count}", SMALL, PALE, ha="right")


def draw(facts):
    """Draw docs/map.svg."""
    import matplotlib as mpl

    rows, links, beside = with_passages(facts)
    width = spread(rows, order(rows, links, beside))
    height = stack(rows)
    targets = sorted({end.name for end in links.values()} | {end.name for _, end in beside})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(targets)}

    fonts = ["DejaVu Sans", "Verdana", "sans-serif"]
    style = {"svg.fonttype": "none", "svg.hashsalt": "fcnn", "font.sans-serif": fonts}
    with mpl.rc_context(style):
        picture = Picture(width, height)
        picture.write(PAD, 2 * LINE - PAD, EXPLANATION, SMALL, PALE)
        for row, title in zip(rows, reversed(facts["layers"]), strict=True):
            top, bottom = row[0].row_top, row[0].row_bottom
            picture.box(2, top - PAD, width - 4, bottom - top + 2 * PAD, BAND)
            shown = title.replace(" a ", " a\n").replace(" the ", " the\n")
            picture.write(PAD, (top + bottom) / 2, shown, SMALL, PALE)
        for (above, below), end in links.items():
            points = [(above.x, above.bottom), (above.x, above.row_bottom)]
            points += [(below.x, below.row_top), (below.x, below.bottom)]
            if not below.passes:
                points[-1] = below.x, below.top
            picture.line(points, colours[end.name], head=not below.passes)
        for start, end in beside:
            side = 1 if end.x > start.x else -1
            left, right = sorted((start, end), key=lambda one: one.x)
            between = [one for row in rows for one in row if left.x < one.x < right.x]
            y = (max(start.top, end.top) + min(start.bottom, end.bottom)) / 2
            points = [(start.x + side * start.width / 2, y), (end.x - side * end.width / 2, y)]
            if any(one.row_top == start.row_top and not one.passes for one in between):
                x, u = start.x + side * start.width / 4, end.x - side * end.width / 4
                low = start.row_bottom + LAYER_GAP / 3
                points = [(x, start.bottom), (x, low), (u, low), (u, end.bottom)]
            picture.line(points, colours[end.name])
        for one in itertools.chain(*rows):
            if not one.passes:
                picture.room(one)
        picture.figure.savefig(
            MAP,
            format="svg",
            metadata={
                "Date": None,
                "Creator": None,
                "Title": "The rooms of fcnn and their imports",
                "Description": json.dumps(facts),
            },
        )


def main():
    """Draw or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of draw")
    facts = read_facts()
    if not parser.parse_args().check:
        draw(facts)
        return
    wrong = list(differences(drawn_facts(), facts))
    if wrong:
        print(*wrong, sep="\n")
        sys.exit("docs/map.svg is out of date: python scripts/draw_map.py draws it anew")


if __name__ == "__main__":
    main()
