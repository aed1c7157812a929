"""The table of README.md, so that nobody copies numbers: what stands between two comments there."""

import textwrap
from collections.abc import Iterator, Sequence

from fcnn import _dispatch, bench
from peers import images
from peers.report import threads_text
from peers.timing import Row, Session
from peers.workloads import CORE, MNIST_EPOCHS

BEGIN, END = "<!-- benchmarks/peers begin -->", "<!-- benchmarks/peers end -->"
PEERS = ("NumPy", "PyTorch", "JAX", "scikit-learn", "ONNX Runtime")
SECTIONS = {
    "training": "one training step, SGD, by `fit`",
    "train_step in a loop": "one call of `train_step`, Adam",
    "prediction of one row": "prediction of one row",
    "prediction of 1,000 rows": "prediction of 1,000 rows",
    "fit of MLPClassifier": "`MLPClassifier.fit`",
}


def renewed(text: str, session: Session) -> str:
    """Return a README with the table of this run in it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README: expected {BEGIN} and {END}")
    return "".join((before, begin, "\n", "\n".join(_lines(session)), "\n", end, after))


def _lines(session: Session) -> Iterator[str]:
    yield _wrapped(
        f"{threads_text(session).capitalize()} each, {session.dtype}, {bench.cpu_name()}, "
        f"instruction set {_dispatch.core.ISA}: the time of a peer over fcnn's, medians of laps in "
        "turns, the same numbers checked beforehand. In bold, fcnn loses. Of limit: "
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
            yield _line(title, row, session.limit.of(_dispatch.core.ISA, session.dtype))
    yield ""
    yield from _sentences(session.rows)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False)


def _line(title: str, row: Row, limit: float) -> str:
    def microseconds(name: str) -> str:
        return bench.microseconds(row.timings[name].median) if name in row.timings else ""

    def ratio(name: str) -> str:
        if name not in row.timings:
            return ""
        text = bench.three_digits(row.ratio(name))
        return f"**{text}**" if row.ratio(name) < 1 else text

    share = f"{row.share('fcnn', limit):.0%}" if row.section != "fit of MLPClassifier" else ""
    cells = [microseconds("fcnn"), microseconds(CORE), share, *map(ratio, PEERS)]
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
