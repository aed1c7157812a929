"""A whole training on MNIST, with shuffling: fcnn's fit and PyTorch's loop over indexed tensors."""

import statistics
import time
import timeit
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import fcnn
from peers.checks import check_training
from peers.contestants import Torch
from peers.threads import unbound
from peers.timing import PAUSE, Row, Session, Timing
from peers.workloads import MNIST, MNIST_EPOCHS, MNIST_LR, MNIST_PEERS, MNIST_RUNS, Task, make_task


def _fcnn_training(threads: int, task: Task) -> tuple[Callable[[], Any], Callable[..., Any]]:
    """Return what trains on a task's data, shuffled, and what then predicts."""
    network = task.network.copy()
    training = partial(
        network.fit,
        task.X,
        task.y,
        epochs=MNIST_EPOCHS,
        batch_size=task.workload.batch,
        optimizer=fcnn.Adam(MNIST_LR),
        n_threads=threads,
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


def run_mnist(session: Session, row: Row) -> None:
    """Train some times from the start, in turns; the accuracy is that on the test images."""
    images = session.images
    task = make_task(MNIST, session.dtype, images)
    row.flops *= MNIST_EPOCHS * len(images.X) / MNIST.batch
    # Who trains, and on how many threads; PyTorch's second one is no gain in such a loop.
    entries: dict[str, tuple[Any, int]] = {}
    for peer in session.peers:
        if peer.name in MNIST_PEERS:
            with session.judging(row, peer.name):
                cold = check_training(peer, task)
                for n in {session.threads, session.more} if peer.name == "fcnn" else {1}:
                    name = peer.name if n in (1, session.threads) else f"{peer.name}, {n} threads"
                    entries[name] = (peer, n)
                    row.timings[name] = Timing(cold)
    whole = replace(task, X=images.X, y=images.y)
    accuracies: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(MNIST_RUNS):
        for name, (peer, n) in entries.items():
            if peer.name == "fcnn":
                train, outputs = _fcnn_training(n, whole)
            else:
                train, outputs = _torch_training(peer, whole)
            time.sleep(PAUSE)
            with unbound() if n > session.threads else nullcontext():
                row.timings[name].laps.append(timeit.timeit(train, number=1))
            right = np.asarray(outputs(images.X_test)).argmax(axis=1) == images.y_test
            accuracies[name].append(100 * right.mean())
    for name, values in accuracies.items():
        row.facts[name] = f"{statistics.median(values):.2f} %"
    session.rows.append(row)
