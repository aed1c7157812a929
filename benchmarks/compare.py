"""Two installed fcnn side by side, before and after a change: the ratio of their times, row by row.

    python benchmarks/compare.py --before OLD/bin/python --after NEW/bin/python --cpu 1

Each is the interpreter of an environment with an fcnn in it. In every lap both are started anew,
since where memory lies makes a few percent. They then take turns in short runs of the same row, one
waiting while the other works; the best run of each, per step or prediction on one thread, makes the
lap's ratio, and the median of all laps' is printed. FCNN_ISA=v2 (v3, v4) in the environment chooses
the instruction set of both.

Rows of the core are its `train_epoch` alone; rows of training are `fit`, as in benchmarks/peers.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from peers.threads import THREAD_VARIABLES, busy

HERE = Path(__file__).resolve().parent
SIDES = ("before", "after")
RUNS = 8  # of a row and a side in a lap
SECONDS_PER_RUN = 2e-3


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for side in SIDES:
        parser.add_argument(
            f"--{side}", required=True, metavar="PYTHON", help=f"with the fcnn {side} the change"
        )
    parser.add_argument("--laps", type=int, default=15, help="starts of each side (15)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[""],
        metavar="SUBSTRING",
        help="only rows whose section and name hold one of them",
    )
    parser.add_argument("--cpu", type=int, help="bind everything to this CPU")
    options = parser.parse_args(arguments)
    if options.laps < 2:
        parser.error(f"--laps: expected at least 2, got {options.laps}")
    return options


# --- A side: what runs with the interpreter that was given ----------------------------------------
#
# The fcnn there may be an older one: nothing is used but its public methods, the core's
# train_epoch, and of fcnn.bench what has been there since there was a benchmarks/peers.


def rows_of(dtype: str) -> dict[str, Callable[[], tuple[Callable[[], object], int]]]:
    """Return for each row what makes its call, and the steps of one call."""
    from peers import images, workloads
    from peers.contestants.fcnn import Fcnn

    from fcnn import bench

    peer = Fcnn(threads=1)
    stand_in = images.stand_in(dtype)  # as many zeros as MNIST has

    def core(workload: Any) -> tuple[Callable[[], object], int]:
        task = workloads.make_task(workload, dtype, stand_in)
        optimizer = workloads.make_optimizer(workload.optimizer, bench.TIMING_LR)
        epoch = getattr(task.network, "_train_epoch", None) or task.network.train_epoch
        call = partial(epoch, task.X, task.y, optimizer, workload.batch, n_threads=1)
        return call, workload.steps

    def training(workload: Any) -> tuple[Callable[[], object], int]:
        task = workloads.make_task(workload, dtype, stand_in)
        return peer.trainer(task, bench.TIMING_LR).epoch, workload.steps

    def prediction(sizes: tuple[int, ...], rows: int) -> tuple[Callable[[], object], int]:
        pair = bench.make_pair(sizes, rows, dtype)
        return peer.predictor(pair.network, pair.X[0] if rows == 1 else pair.X), 1

    made: dict[str, Any] = {}
    for section in (core, training):
        for workload in workloads.TRAINING:
            made[f"{section.__name__}: {workload.name}"] = partial(section, workload)
    for rows in workloads.PREDICTION_ROWS:
        for sizes in workloads.PREDICTION:
            name = f"{workloads.prediction_section(rows)}: {bench.dashed(sizes)}"
            made[name] = partial(prediction, sizes, rows)
    return made


def answer(dtype: str) -> None:
    """Print who is asked and which rows there are; then of each row named the seconds of a run."""
    import fcnn

    rows = rows_of(dtype)
    isa = fcnn.show_config("dicts")["instruction set"]
    who = f"fcnn {fcnn.__version__}, {isa}, {Path(fcnn.__file__).parent}"
    print(json.dumps({"who": who, "rows": list(rows)}), flush=True)
    current = None
    for line in sys.stdin:
        if line != current:
            current = line
            call, steps = rows[json.loads(line)]()
            timer = timeit.Timer(call)
            number = max(1, round(SECONDS_PER_RUN / min(timer.repeat(3, 1))))
        print(json.dumps(timer.timeit(number) / number / steps), flush=True)


# --- The comparison -------------------------------------------------------------------------------


def start(python: str, dtype: str) -> subprocess.Popen[str]:
    """Start a side: on one thread, with the fcnn of its own environment."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    environment.pop("PYTHONPATH", None)  # or both sides would find the same one
    return subprocess.Popen(
        [
            os.path.abspath(shutil.which(python) or python),
            "-c",
            f"import compare; compare.answer({dtype!r})",
        ],
        cwd=HERE,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def received(side: subprocess.Popen[str]) -> Any:
    """Return what a side says next."""
    line = side.stdout.readline()
    if not line:
        sys.exit(f"{side.args[0]} has ended without an answer")
    return json.loads(line)


def lap(options: argparse.Namespace, number: int) -> dict[str, tuple[float, float]]:
    """Start both sides and return for each row the seconds before and after."""
    times = {}
    with (
        start(options.before, options.dtype) as before,
        start(options.after, options.dtype) as after,
    ):
        sides = (before, after)
        greetings = [received(side) for side in sides]
        if number == 0:
            for name, greeting in zip(SIDES, greetings, strict=True):
                print(f"{name + ':':8}{greeting['who']}", flush=True)
        for row in greetings[0]["rows"]:
            if not any(part in row for part in options.rows):
                continue
            seconds = dict.fromkeys(sides, math.inf)
            for _ in range(RUNS):
                for side in sides if number % 2 == 0 else reversed(sides):
                    print(json.dumps(row), file=side.stdin, flush=True)
                    seconds[side] = min(seconds[side], received(side))
            times[row] = (seconds[before], seconds[after])
    return times


def report(laps: Sequence[dict[str, tuple[float, float]]]) -> str:
    """Return a table: median times, the median of the ratios of pairs, and their quartiles."""
    wide = max(map(len, laps[0]))
    lines = [f"{'':{wide}}{'before, us':>12}{'after, us':>12}{'ratio':>8}   half of the laps"]
    middles = []
    for row in laps[0]:
        pairs = [times[row] for times in laps]
        before, after = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [after / before for before, after in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        middles.append(middle)
        lines.append(
            f"{row:{wide}}{before:12,.2f}{after:12,.2f}{middle:8.3f}   {low:.3f} to {high:.3f}"
        )
    mean = statistics.geometric_mean(middles)
    lines.append(f"{'geometric mean of the rows':{wide}}{mean:32.3f}")
    return "\n".join(lines)


def main(options: argparse.Namespace) -> None:
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    for line in busy():
        print(line)
    laps = []
    for number in range(options.laps):
        laps.append(lap(options, number))
        if not laps[0]:
            sys.exit(f"--rows: no row holds one of {', '.join(options.rows)}")
        print(f"lap {number + 1} of {options.laps}", file=sys.stderr)
    print(f"{options.dtype}, time after over before: the median of {options.laps} laps")
    print(report(laps))


if __name__ == "__main__":
    main(parse_arguments())
