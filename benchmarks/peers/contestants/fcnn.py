"""fcnn: fit, with its checks of the data, and predict."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, make_optimizer


class Fcnn:
    name = "fcnn"
    version = fcnn.__version__

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.limited = f"fcnn: n_threads={threads}"

    def trainer(self, task: Task, lr: float) -> Any:
        return FcnnTrainer(task, lr, self.threads)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        threads, out = self.threads, np.empty((*x.shape[:-1], network.sizes[-1]), x.dtype)
        if x.ndim == 1:
            return lambda: network.predict(x, out=out)
        return lambda: network.predict(x, n_threads=threads)


class FcnnTrainer:
    def __init__(self, task: Task, lr: float, threads: int) -> None:
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
