"""A run: its rows, what each of them times, and what is done with the results."""

import argparse
import json
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fcnn
from fcnn import bench
from peers import report, workloads
from peers.checks import check_prediction, check_training
from peers.contestants import Fcnn, Torch, load_peers
from peers.timing import PAUSE, Row, Session, Timing
from peers.workloads import (
    MNIST,
    MNIST_EPOCHS,
    MNIST_LR,
    MNIST_PEERS,
    MNIST_RUNS,
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


def run_training(session: Session, row: Row, workload: Workload) -> None:
    task = make_task(workload, session.dtype)
    contestants = [(peer.name, peer, task) for peer in session.peers]
    if workload.optimizer == "sgd" and workload.batch >= workloads.LEAST_BATCH_FOR_ADAM:
        adam = replace(task, workload=replace(workload, optimizer="adam"))
        contestants.insert(1, (WITH_ADAM, session.peers[0], adam))
    time_training(session, row, contestants)


def run_scaling(session: Session, row: Row, workload: Workload) -> None:
    """Time fcnn alone, on one thread and on all."""
    task = make_task(workload, session.dtype)
    counts = (1, session.threads)
    time_training(session, row, [(f"fcnn, n_threads={n}", Fcnn(n), task) for n in counts])
    if len(row.timings) == len(counts):
        row.facts["gain"] = f"{row.ratio(*row.timings):.2f}"


def run_prediction(session: Session, row: Row, sizes: tuple[int, ...], rows: int) -> None:
    pair = bench.make_pair(sizes, rows, session.dtype)
    x = pair.X[0] if rows == 1 else pair.X
    expected = pair.twin.predict(x)
    calls = {}
    for peer in session.peers:
        with session.judging(row, peer.name):
            call = peer.predictor(pair.network, x)
            row.timings[peer.name] = Timing(check_prediction(call, expected))
            calls[peer.name] = call
    session.time(row, calls)


# --- MNIST ----------------------------------------------------------------------------------------


def _fcnn_training(session: Session, task: Task) -> tuple[Callable[[], Any], Callable[..., Any]]:
    """Return what trains on a task's data, shuffled, and what then predicts."""
    network = task.network.copy()
    training = partial(
        network.fit,
        task.X,
        task.y,
        epochs=MNIST_EPOCHS,
        batch_size=task.workload.batch,
        optimizer=fcnn.Adam(MNIST_LR),
        n_threads=session.threads,
    )
    return training, network.predict


def _torch_training(peer: Torch, task: Task) -> tuple[Callable[[], Any], Callable[..., Any]]:
    trainer = peer.trainer(task, MNIST_LR)
    torch, X, y, batch = peer.torch, trainer.X, trainer.y, task.workload.batch

    def train() -> None:
        for _ in range(MNIST_EPOCHS):
            order = torch.randperm(len(X))
            for i in range(0, len(X), batch):
                rows = order[i : i + batch]
                trainer.step(X[rows], y[rows])

    def outputs(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return trainer.model(torch.from_numpy(X)).numpy()

    return train, outputs


def run_mnist(session: Session, row: Row, folder: Path) -> None:
    """Train some times from the start, in turns; the accuracy is that on the test images."""
    X, y, X_test, y_test = fcnn.datasets.load_idx_folder(folder)
    X, X_test = (np.asarray(v / 255, session.dtype) for v in (X, X_test))
    task = make_task(MNIST, session.dtype)
    row.flops *= MNIST_EPOCHS * len(X) / MNIST.batch
    accuracies: dict[str, list[float]] = {}
    for peer in session.peers:
        if peer.name in MNIST_PEERS:
            with session.judging(row, peer.name):
                row.timings[peer.name] = Timing(check_training(peer, task))
                accuracies[peer.name] = []
    task = replace(task, X=X, y=y)
    for _ in range(MNIST_RUNS):
        for peer in session.peers:
            if peer.name not in accuracies:
                continue
            train, outputs = (
                _fcnn_training(session, task)
                if peer.name == "fcnn"
                else _torch_training(peer, task)
            )
            time.sleep(PAUSE)
            row.timings[peer.name].laps.append(timeit.timeit(train, number=1))
            right = np.asarray(outputs(X_test)).argmax(axis=1) == y_test
            accuracies[peer.name].append(100 * right.mean())
    for name, values in accuracies.items():
        row.facts[name] = f"{statistics.median(values):.2f} %"
    session.rows.append(row)


# --- Run ------------------------------------------------------------------------------------------


def planned(options: argparse.Namespace) -> list[tuple[Row, Callable[[Session, Row], None]]]:
    """Return the rows that were asked for, and what times each."""
    plan = []
    for workload in workloads.TRAINING:
        row = Row("training", workload.name, workload.flops)
        plan.append((row, partial(run_training, workload=workload)))
    for rows in workloads.PREDICTION_ROWS:
        for sizes in workloads.PREDICTION:
            row = Row(
                workloads.prediction_section(rows),
                bench.dashed(sizes),
                2 * rows * sum(products(sizes)),
            )
            plan.append((row, partial(run_prediction, sizes=sizes, rows=rows)))
    for workload in workloads.SCALED if options.threads > 1 else ():
        row = Row("threads", workload.name, workload.flops)
        plan.append((row, partial(run_scaling, workload=workload)))
    if options.mnist is not None:
        row = Row("MNIST", MNIST.name, MNIST.flops)
        plan.append((row, partial(run_mnist, folder=options.mnist)))
    return [(row, run) for row, run in plan if options.rows in f"{row.section}: {row.name}"]


def main(options: argparse.Namespace, bound: str) -> int:
    plan = planned(options)
    if not plan:
        sys.exit(f"--rows: no row holds {options.rows!r}")
    peers, absent = load_peers(options.threads)
    share = options.seconds / len(plan)
    session = Session(options.dtype, options.threads, share, peers, absent, bound)
    print(report.heading(session), end="\n\n", flush=True)
    for row, run in plan:
        print(f"{row.section}: {row.name}", file=sys.stderr)
        run(session, row)
    session.limit.measure()
    print(report.text(session))
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(session), indent=1) + "\n")
    if options.chart is not None:
        report.draw(session, options.chart)
    return 1 if session.errors else 0
