"""The numbers of docs/speed.md and benchmarks/README.md, so that nobody copies them.

They stand between two comments: a table, and what an idle and a noisy run printed.
"""

import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence

from fcnn import _dispatch, bench
from peers import images, report
from peers.report import threads_text
from peers.timing import Row, Session
from peers.workloads import CORE, MNIST_EPOCHS

PEERS = ("NumPy", "PyTorch", "JAX", "scikit-learn", "ONNX Runtime")
SECTIONS = {
    "training": "one training step, SGD, by `fit`",
    "train_step in a loop": "one call of `train_step`, Adam",
    "prediction of one row": "prediction of one row",
    "prediction of 1,000 rows": "prediction of 1,000 rows",
    "fit of MLPClassifier": "`MLPClassifier.fit`",
}


def renewed(text: str, session: Session) -> str:
    """Return a document with this run in the place of a former one."""
    parts = {"table": _lines(session), session.load.kind: _run(session)}
    found = False
    for what, lines in parts.items():
        placed = put(text, f"benchmarks/peers {what}", lines)
        if placed is not None:
            text, found = placed, True
    if not found:
        raise ValueError(f"no place for a {' or '.join(parts)} of benchmarks/peers")
    return text


def put(text: str, what: str, lines: Iterable[str]) -> str | None:
    """Return a document with lines between the comments "... begin" and "... end"; None without."""
    before, begin, rest = text.partition(f"<!-- {what} begin -->\n")
    _, end, after = rest.partition(f"<!-- {what} end -->")
    if not (begin and end):
        return None
    return "".join((before, begin, *(f"{line}\n" for line in lines), end, after))


def _run(session: Session) -> Iterator[str]:
    """Yield what the run printed, without each peer's own times."""
    yield "```"
    yield f"{time.strftime('%Y-%m-%d')}, {report.heading(session)}"
    yield ""
    yield report.text(session, brief=True)
    yield "```"


def _lines(session: Session) -> Iterator[str]:
    yield _wrapped(
        f"{threads_text(session).capitalize()} each, {session.dtype}, {bench.cpu_name()}, "
        f"instruction set {_dispatch.core.ISA}: the time of a peer over fcnn's in each turn, "
        "medians, the same numbers checked beforehand. In bold, fcnn loses. Of limit: "
        "multiplications and additions, zeros included, over what the registers alone can do."
    )
    yield ""
    load = session.load.note().replace("load", "Load", 1)
    yield _wrapped(f"{load}. {images.note(session.folder)}.")
    yield ""
    yield f"| | | fcnn, us | its core, us | of limit | {' | '.join(PEERS)} |"
    yield f"|---|---|---:|---:|---:|{'---:|' * len(PEERS)}"
    section = ""
    for row in session.rows:
        if row.section in SECTIONS and "fcnn" in row.timings:
            title = "" if row.section == section else SECTIONS[row.section]
            section = row.section
            yield _line(title, row, session.share_of_limit(row, "fcnn"))
    yield ""
    yield from _sentences(session.rows)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False)


def _line(title: str, row: Row, share: float) -> str:
    def microseconds(name: str) -> str:
        return bench.microseconds(row.timings[name].median) if name in row.timings else ""

    def ratio(name: str) -> str:
        if name not in row.timings:
            return ""
        text = bench.three_digits(row.ratio(name))
        return f"**{text}**" if row.ratio(name) < 1 else text

    cells = [microseconds("fcnn"), microseconds(CORE), f"{share:.0%}", *map(ratio, PEERS)]
    return f"| {title} | {row.name} | {' | '.join(cells)} |"


def _sentences(rows: Sequence[Row]) -> Iterator[str]:
    scaled = [row for row in rows if row.section == "threads" and row.facts]
    if scaled:
        _, more, _ = scaled[0].timings
        gains = "; ".join(
            f"{row.name}: {row.facts['gain']}, {row.facts['gain of None']}" for row in scaled
        )
        yield _wrapped(f"Speed over one thread's with `{more}` and with None: {gains}.")
        yield ""
    for row in rows:
        if row.section == "MNIST":
            times = ", ".join(
                f"{name} {timing.median:.2f} s ({row.facts[name]} right)"
                for name, timing in row.timings.items()
            )
            yield _wrapped(
                f"A whole training, {row.name}, {MNIST_EPOCHS} epochs, shuffled: {times}."
            )
