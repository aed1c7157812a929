"""What is printed, written and drawn: tables, JSON, a chart."""

import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fcnn import _dispatch, bench
from peers import contestants, images
from peers.threads import busy, too_many_threads
from peers.timing import Row, Session, Timing
from peers.workloads import CORE, MNIST_EPOCHS, MNIST_RUNS, OWN, WITH_ADAM

EXPLANATION = """\
Above 1, fcnn is faster: the median of the ratios of the laps of each turn. Times are medians of
laps in turns: of a step in an epoch that is one call (fcnn's is the public fit, with its checks),
or of one prediction. The spread is the interquartile range over the median. The share of the limit
is that of the best lap, since the limit is a best lap, too; it counts the multiplications and
additions of the products alone, those with zeros of the images too. The first call is that of a
new network in this process, with what a library compiles or sets up for it. core is fcnn's core
alone, in an epoch, over what is timed as fcnn; Adam/SGD is fcnn's own step with Adam over its step
with SGD."""

LABELS = {WITH_ADAM: "Adam/SGD", CORE: "core"}

# M. Okabe and K. Ito's colours, which colour-blind readers tell apart, and shapes for print.
MARKS = {
    "NumPy": ("#0072B2", "o"),
    "PyTorch": ("#D55E00", "s"),
    "JAX": ("#009E73", "^"),
    "scikit-learn": ("#CC79A7", "D"),
    "ONNX Runtime": ("#E69F00", "v"),
    "generated C": ("#56B4E9", "P"),
    "Numba": ("#000000", "X"),
}


# --- The tables -----------------------------------------------------------------------------------


def table(title: str, rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """Return a table with a line for each row; a cell that cannot be computed is a dash."""
    lines = [[title, *columns]]
    lines += [["  " + row.name, *(cell(row) for cell in columns.values())] for row in rows]
    wide = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        line[0].ljust(wide[0])
        + "".join(cell.rjust(w + 2) for cell, w in zip(line[1:], wide[1:], strict=True))
        for line in lines
    ]
    return "\n".join(texts)


def _cell(name: str, text: Callable[[Row, Timing], str]) -> Callable[[Row], str]:
    return lambda row: text(row, row.timings[name]) if name in row.timings else "-"


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return the peers of some rows, in the order of the contestants."""
    order = ["fcnn", *reversed(OWN), *(peer.name for peer in contestants.PEERS)]
    present = dict.fromkeys(name for row in rows for name in row.timings)
    return sorted(present, key=lambda name: order.index(name) if name in order else len(order))


def section_tables(session: Session, rows: Sequence[Row], brief: bool) -> str:
    """Return what there is to say about one section: ratios, times, first calls."""
    names = names_of(rows)
    ratios = {
        "fcnn us": _cell("fcnn", lambda _, t: bench.microseconds(t.median)),
        "spread": _cell("fcnn", lambda _, t: f"{t.spread:.0%}"),
        "of limit": _cell("fcnn", lambda row, _: f"{session.share_of_limit(row, 'fcnn'):.1%}"),
    }
    times: dict[str, Callable[[Row], str]] = {}
    least: dict[str, Callable[[Row], str]] = {}
    first: dict[str, Callable[[Row], str]] = {}
    for name in names:
        if name != "fcnn":
            label = LABELS.get(name, name)
            ratios[label] = _cell(name, lambda row, _, n=name: bench.three_digits(row.ratio(n)))
        times[name] = _cell(name, lambda _, t: f"{bench.microseconds(t.median)} {t.spread:4.0%}")
        least[name] = _cell(name, lambda _, t: bench.microseconds(t.least))
        first[name] = _cell(name, lambda _, t: bench.three_digits(1e3 * t.cold))
    tables = [table(f"{rows[0].section}: time over fcnn's", rows, ratios)]
    if brief:
        return tables[0]
    tables += [
        table("  median, us, and its spread", rows, times),
        table("  least, us", rows, least),
    ]
    if not math.isnan(rows[0].timings["fcnn"].cold):
        what = "a prediction" if "prediction" in rows[0].section else "an epoch"
        tables.append(table(f"  first call of {what}, ms", rows, first))
    return "\n\n".join(tables)


def scaling_table(rows: Sequence[Row]) -> str:
    columns = {
        name: _cell(name, lambda _, t: f"{bench.microseconds(t.median)} {t.spread:4.0%}")
        for name in names_of(rows)
    }
    columns |= {name: _fact(name) for name in ("gain", "gain of None")}
    return table("threads: a training step of fcnn's, us", rows, columns)


def _fact(name: str) -> Callable[[Row], str]:
    return lambda row: row.facts.get(name, "-")


def mnist_table(rows: Sequence[Row]) -> str:
    columns: dict[str, Callable[[Row], str]] = {}
    for name in names_of(rows):
        columns[f"{name}, s"] = _cell(name, lambda _, t: f"{t.median:.2f} {t.spread:4.0%}")
        columns[f"{name}, right"] = _fact(name)
    for name in names_of(rows):
        if name.startswith("fcnn"):
            columns[f"PyTorch / {name}"] = lambda row, n=name: f"{row.ratio('PyTorch', n):.2f}"
    return table(f"MNIST, {MNIST_EPOCHS} epochs, median of {MNIST_RUNS} runs", rows, columns)


def text(session: Session, brief: bool = False) -> str:
    """Return all tables, or but the ratios, and below them where fcnn loses."""
    by_section: dict[str, list[Row]] = {}
    for row in session.rows:
        by_section.setdefault(row.section, []).append(row)
    parts = []
    for section, rows in by_section.items():
        if section == "threads":
            parts.append(scaling_table(rows))
        elif section == "MNIST":
            parts.append(mnist_table(rows))
        else:
            parts.append(section_tables(session, rows, brief))
    if not brief:
        parts.append(EXPLANATION)
    parts.append(limit_text(session))
    parts.append(session.load.note())
    losses = [sentence for row in session.rows for sentence in row.losses()]
    parts.append("\n".join(losses) or "fcnn loses: nowhere in this run")
    if session.errors:
        parts.append("\n".join(f"error: {message}" for message in session.errors))
    return "\n\n".join(parts)


def threads_text(session: Session) -> str:
    return "1 thread" if session.threads == 1 else f"{session.threads} threads"


def limit_text(session: Session) -> str:
    if not session.limit.best:
        return "limit: not measured, this build of fcnn has no multiply_adds"
    rates = [f"{isa} {dtype} {rate / 1e9:.1f}" for (isa, dtype), rate in session.limit.best.items()]
    return f"limit, GFLOP/s of one core: {', '.join(rates)}"


def heading(session: Session) -> str:
    """Return what is compared, where, and what limits the threads."""
    lines = [
        ", ".join(f"{peer.name} {peer.version}" for peer in session.peers),
        f"{bench.cpu_name()}, fcnn's instruction set {_dispatch.core.ISA}, {session.dtype}, "
        f"Python {platform.python_version()}",
        f"at most {threads_text(session)} for each, the process {session.bound}:",
        *(f"  {peer.limited}" for peer in session.peers if peer.limited),
        images.note(session.folder),
        *session.absent,
        *busy(),
        *too_many_threads(session.threads),
    ]
    return "\n".join(lines)


# --- Files ----------------------------------------------------------------------------------------


def number_or_none(number: float) -> float | None:
    return None if math.isnan(number) else number


def as_json(session: Session) -> dict[str, Any]:
    rows = [
        {
            "section": row.section,
            "name": row.name,
            "flops": row.flops,
            "facts": row.facts,
            "peers": {
                name: {
                    "median": timing.median,
                    "least": timing.least,
                    "spread": timing.spread,
                    "first_call": number_or_none(timing.cold),
                    "laps": len(timing.laps),
                    "ratio_to_fcnn": number_or_none(row.ratio(name)),
                    "share_of_limit": number_or_none(session.share_of_limit(row, name)),
                }
                for name, timing in row.timings.items()
            },
        }
        for row in session.rows
    ]
    return {
        "unit": "seconds of one training step, prediction or (MNIST) training",
        "date": time.strftime("%Y-%m-%d"),
        "cpu": bench.cpu_name(),
        "isa": _dispatch.core.ISA,
        "dtype": session.dtype,
        "threads": session.threads,
        "bound": session.bound,
        "images": images.note(session.folder),
        "load": session.load.note(),
        "python": platform.python_version(),
        "versions": {peer.name: peer.version for peer in session.peers},
        "limited": [peer.limited for peer in session.peers if peer.limited],
        "absent": session.absent,
        "limit_flops_per_core": {" ".join(k): v for k, v in session.limit.best.items()},
        "rows": rows,
        "errors": session.errors,
    }


def _heading(section: str) -> str:
    """Return a section with a capital, unless it begins with a name of the code."""
    first = section.split()[0]
    return section if "_" in first else section[0].upper() + section[1:]


def draw(session: Session, path: Path) -> None:
    """Draw every ratio, a mark for each peer, on a logarithmic axis."""
    from matplotlib.figure import Figure

    rows = [row for row in session.rows if MARKS.keys() & row.timings and row.section != "MNIST"]
    figure = Figure(figsize=(8, 2 + 0.25 * len(rows)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    ticks, y, section = {}, 0.0, ""
    for row in rows:
        if row.section != section:
            section = row.section
            ticks[y] = _heading(section)
            y += 1
        ticks[y] = row.name
        _draw_row(axes, row, y)
        y += 1
    _finish(axes, ticks, {_heading(row.section) for row in rows}, y)
    axes.set_title(
        f"Time of a peer over fcnn's: {bench.cpu_name()}, {session.dtype}, {threads_text(session)}",
        fontsize=10,
    )
    figure.savefig(path)


def _draw_row(axes: Any, row: Row, y: float) -> None:
    ratios = {name: row.ratio(name) for name in row.timings if name in MARKS}
    axes.hlines(y, min(1, *ratios.values()), max(1, *ratios.values()), color="0.85", zorder=1)
    for i, name in enumerate(MARKS):
        if name in ratios:
            color, marker = MARKS[name]
            # A little apart, so that equal ratios do not hide each other.
            where = ratios[name], y + 0.12 * (i - len(MARKS) // 2)
            axes.plot(*where, marker, color=color, markersize=6, mec="white", mew=0.5, label=name)


def _finish(axes: Any, ticks: Mapping[float, str], sections: set[str], bottom: float) -> None:
    axes.set_xscale("log")
    axes.set_ylim(bottom, -1)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.5), right)
    axes.axvspan(axes.get_xlim()[0], 1, color="0.95", zorder=0)
    axes.axvline(1, color="black", linewidth=1)
    marks = [m for m in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if left < m < right]
    axes.set_xticks(sorted({*marks, 0.5, 1}), [f"{m:g}" for m in sorted({*marks, 0.5, 1})])
    axes.minorticks_off()
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.tick_params(axis="y", length=0)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in sections else "normal")
    axes.set_xlabel("grey: the peer is faster          right of 1: fcnn is faster", fontsize=9)
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.figure.legend(
        unique.values(), unique.keys(), fontsize=9, loc="outside lower center", ncols=len(MARKS)
    )
