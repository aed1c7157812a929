"""fcnn: fit and train_step, with their checks of the data, and predict; and the core under them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fcnn
from fcnn._dispatch import core
from peers.workloads import CORE, Task, make_optimizer


class Fcnn:
    name = "fcnn"
    version = fcnn.__version__

    def __init__(self, threads: int | None) -> None:
        self.threads = threads
        self.limited = f"fcnn: n_threads={threads}"

    def trainer(self, task: Task, lr: float) -> Any:
        return FcnnTrainer(task, lr, self.threads)

    def stepper(self, task: Task, lr: float) -> Any:
        return FcnnStepper(task, lr, self.threads)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        threads, out = self.threads, np.empty((*x.shape[:-1], network.sizes[-1]), x.dtype)
        if x.ndim == 1:
            return lambda: network.predict(x, out=out)
        return lambda: network.predict(x, n_threads=threads)


class FcnnTrainer:
    def __init__(self, task: Task, lr: float, threads: int | None) -> None:
        self.network = task.network.copy()
        self.fit = partial(
            self.network.fit,
            task.X,
            task.y,
            epochs=1,
            batch_size=task.workload.batch,
            optimizer=make_optimizer(task.workload.optimizer, lr),
            shuffle=False,
            n_threads=threads,
        )

    def epoch(self) -> float:
        return self.fit().loss[0]

    def parameters(self) -> np.ndarray:
        return self.network.parameters


class FcnnStepper:
    """An epoch as a loop of `train_step`, over batches that were cut beforehand."""

    def __init__(self, task: Task, lr: float, threads: int | None) -> None:
        self.network = task.network.copy()
        self.optimizer = make_optimizer(task.workload.optimizer, lr)
        self.batches, self.threads = task.batches(), threads

    def epoch(self) -> float:
        step, optimizer, threads, total = self.network.train_step, self.optimizer, self.threads, 0.0
        for x, y in self.batches:
            total += step(x, y, optimizer, n_threads=threads)
        return total / len(self.batches)

    def parameters(self) -> np.ndarray:
        return self.network.parameters


class FcnnCore:
    """An epoch by the core alone, on arrays that nobody checks."""

    name = CORE

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def trainer(self, task: Task, lr: float) -> Any:
        return FcnnCoreTrainer(task, lr, self.threads)


class FcnnCoreTrainer:
    def __init__(self, task: Task, lr: float, threads: int) -> None:
        self.network = task.network.copy()
        optimizer = make_optimizer(task.workload.optimizer, lr)
        self.epoch = partial(
            core.Network._train_epoch,
            self.network,
            task.X,
            task.y,
            optimizer,
            task.workload.batch,
            n_threads=threads,
        )

    def parameters(self) -> np.ndarray:
        return self.network.parameters
