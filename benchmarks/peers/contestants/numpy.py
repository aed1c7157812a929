"""NumPy: fcnn.reference, whose numbers everyone is held to."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fcnn
from fcnn import reference
from peers.workloads import Task, make_optimizer


class NumPy:
    name = "NumPy"
    version = np.__version__

    def __init__(self, threads: int) -> None:
        self.limited = (
            f"NumPy, scikit-learn: OPENBLAS_NUM_THREADS={threads}, OMP_NUM_THREADS and the like"
        )

    def trainer(self, task: Task, lr: float) -> Any:
        return NumPyTrainer(task, lr)

    def stepper(self, task: Task, lr: float) -> Any:
        return self.trainer(task, lr)  # which makes its steps in a loop of Python

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        return partial(reference.Network.like(network).predict, x)


class NumPyTrainer:
    def __init__(self, task: Task, lr: float) -> None:
        self.twin = reference.Network.like(task.network)
        optimizer = make_optimizer(task.workload.optimizer, lr)
        self.epoch = partial(self.twin.train_epoch, task.X, task.y, optimizer, task.workload.batch)

    def parameters(self) -> np.ndarray:
        return self.twin.parameters
