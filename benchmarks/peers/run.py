"""A run: its rows, what each of them times, and what is done with the results."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fcnn import bench
from peers import fits, readme, report, workloads
from peers.checks import check_prediction, check_trainer, check_training
from peers.contestants import Fcnn, FcnnCore, load_peers
from peers.mnist import run_mnist
from peers.threads import unbound
from peers.timing import Row, Session, Timing
from peers.workloads import (
    CORE,
    MNIST,
    PREDICTION_ROWS,
    WITH_ADAM,
    Task,
    Workload,
    make_task,
    products,
)


def time_training(session: Session, row: Row, contestants: Sequence[tuple[str, Any, Task]]) -> None:
    """Time the epoch of everyone whose numbers are right."""
    epochs, steps = {}, contestants[0][2].workload.steps
    for name, peer, task in contestants:
        with session.judging(row, name):
            cold = check_training(peer, task)
            epochs[name] = peer.trainer(task, bench.TIMING_LR).epoch
            row.timings[name] = Timing(cold)
    session.time(row, epochs, steps)


def task_of(session: Session, workload: Workload) -> Task:
    return make_task(workload, session.dtype, session.images if workload.images else None)


def run_training(session: Session, row: Row, workload: Workload) -> None:
    task = task_of(session, workload)
    contestants = [(peer.name, peer, task) for peer in session.peers]
    contestants.insert(1, (CORE, FcnnCore(session.threads), task))
    if workload.optimizer == "sgd" and workload.batch >= workloads.LEAST_BATCH_FOR_ADAM:
        adam = replace(task, workload=replace(workload, optimizer="adam"))
        contestants.insert(1, (WITH_ADAM, session.peers[0], adam))
    time_training(session, row, contestants)


def run_steps(session: Session, row: Row, workload: Workload) -> None:
    """Time steps that are calls of their own, beside a step of the core's epoch."""
    task = task_of(session, workload)
    epochs = {}
    ways = {peer.name: (peer, peer.stepper) for peer in session.peers if hasattr(peer, "stepper")}
    core = FcnnCore(session.threads)
    for name, (peer, make) in {**ways, CORE: (core, core.trainer)}.items():
        with session.judging(row, name):
            row.timings[name] = Timing(check_trainer(peer, make, task))
            epochs[name] = make(task, bench.TIMING_LR).epoch
    session.time(row, epochs, workload.steps)


def run_scaling(session: Session, row: Row, workload: Workload) -> None:
    """Time fcnn alone: on one thread, on more, and on as many as it chooses itself."""
    if session.more == 1:
        return
    task = task_of(session, workload)
    counts = {"1": 1, f"{session.more}": session.more, "None": None}
    with unbound():
        time_training(
            session, row, [(f"n_threads={text}", Fcnn(n), task) for text, n in counts.items()]
        )
    if len(row.timings) == len(counts):
        one, more, chosen = row.timings
        row.facts["gain"] = f"{row.ratio(one, more):.2f}"
        row.facts["gain of None"] = f"{row.ratio(one, chosen):.2f}"


def run_prediction(
    session: Session, row: Row, sizes: tuple[int, ...], rows: int, images: bool
) -> None:
    pair = bench.make_pair(sizes, rows, session.dtype)
    X = session.images.X[:rows] if images else pair.X
    x = X[0] if rows == 1 else X
    expected = pair.twin.predict(x)
    calls = {}
    for peer in session.peers:
        with session.judging(row, peer.name):
            call = peer.predictor(pair.network, x)
            row.timings[peer.name] = Timing(check_prediction(call, expected))
            calls[peer.name] = call
    session.time(row, calls)


# --- Run ------------------------------------------------------------------------------------------


def planned(options: argparse.Namespace) -> list[tuple[Row, Callable[[Session, Row], None]]]:
    """Return the rows that were asked for, and what times each."""
    plan: list[tuple[Row, Callable[[Session, Row], None]]] = []
    for workload in workloads.TRAINING:
        row = Row("training", workload.name, workload.flops)
        plan.append((row, partial(run_training, workload=workload)))
    for workload in workloads.STEPS:
        row = Row("train_step in a loop", workload.name, workload.flops)
        plan.append((row, partial(run_steps, workload=workload)))
    predictions = [(sizes, n, False) for n in PREDICTION_ROWS for sizes in workloads.PREDICTION]
    predictions.append((*workloads.PREDICTION_OF_IMAGES, True))
    for sizes, rows, images in predictions:
        name = bench.dashed(sizes) + ", MNIST" * images
        flops = 2 * rows * sum(products(sizes))
        row = Row(workloads.prediction_section(rows), name, flops)
        plan.append((row, partial(run_prediction, sizes=sizes, rows=rows, images=images)))
    plan += fits.planned()
    for workload in workloads.SCALED:
        row = Row("threads", workload.name, workload.flops)
        plan.append((row, partial(run_scaling, workload=workload)))
    plan.append((Row("MNIST", MNIST.name, MNIST.flops), run_mnist))

    def wanted(row: Row) -> bool:
        return any(part in f"{row.section}: {row.name}" for part in options.rows)

    return [(row, run) for row, run in plan if wanted(row)]


def main(options: argparse.Namespace, bound: str) -> int:
    plan = planned(options)
    if not plan:
        sys.exit(f"--rows: no row holds one of {options.rows}")
    peers, absent = load_peers(options.threads)
    share = options.seconds / len(plan)
    session = Session(options.dtype, options.threads, share, peers, absent, bound, options.mnist)
    print(report.heading(session), end="\n\n", flush=True)
    for row, run in plan:
        print(f"{row.section}: {row.name}", file=sys.stderr)
        run(session, row)
    session.limit.measure()
    print(report.text(session))
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(session), indent=1) + "\n")
    for file in options.readme:
        file.write_text(readme.renewed(file.read_text(), session))
    if options.chart is not None:
        report.draw(session, options.chart)
    return 1 if session.errors else 0
