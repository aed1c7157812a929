"""scikit-learn: partial_fit is one epoch, in order with shuffle=False."""

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, flat


class Sklearn:
    name = "scikit-learn"

    def __init__(self, threads: int) -> None:
        self.module = importlib.import_module("sklearn.neural_network")
        self.version = importlib.import_module("sklearn").__version__
        self.limited = ""  # by NumPy's variables

    def trainer(self, task: Task, lr: float) -> Any:
        return SklearnTrainer(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        n_in, n_out = network.sizes[0], network.sizes[-1]
        model = self.module.MLPClassifier(network.sizes[1:-1], max_iter=1, batch_size=n_out)
        _ignoring_warnings(model.fit, np.zeros((n_out, n_in), x.dtype), np.arange(n_out))
        model.n_outputs_, model.out_activation_ = n_out, "softmax"  # also for two classes
        model.coefs_ = [np.ascontiguousarray(W.T) for W in network.weights]
        model.intercepts_ = [b.copy() for b in network.biases]
        return partial(model.predict_proba, np.atleast_2d(x))


def _ignoring_warnings(call: Callable[..., Any], *arguments: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(*arguments)


class SklearnTrainer:
    def __init__(self, peer: Sklearn, task: Task, lr: float) -> None:
        workload = task.workload
        self.classes = workload.sizes[-1] if workload.loss == "cross_entropy" else 0
        model = peer.module.MLPClassifier if self.classes else peer.module.MLPRegressor
        self.model = model(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=workload.activation,
            solver=workload.optimizer,
            alpha=0,
            batch_size=workload.batch,
            learning_rate_init=lr,
            momentum=0,
            shuffle=False,
        )
        # Of two classes it makes one logistic output; rows of 0 and 1 are two, for which the output
        # activation and the loss that belongs to it can be set.
        two = self.classes == 2
        self.X, self.y = task.X, np.eye(2, dtype=int)[task.y] if two else task.y
        self._start(task.network)
        if two:
            self.model.out_activation_ = "softmax"

    def _start(self, network: fcnn.Network) -> None:
        """Let it allocate; then take the network's parameters and Adam's first state."""
        labels = () if not self.classes else (np.arange(self.classes),)
        first = slice(0, max(self.model.batch_size, self.classes))
        self.epoch_of(self.X[first], self.y[first], *labels)
        for array, W in zip(self.model.coefs_, network.weights, strict=True):
            array[...] = W.T
        for array, b in zip(self.model.intercepts_, network.biases, strict=True):
            array[...] = b
        del self.model._optimizer  # partial_fit makes a new one

    def epoch_of(self, X: Any, y: Any, classes: Any = None) -> None:
        if classes is None:
            _ignoring_warnings(self.model.partial_fit, X, y)
        else:
            _ignoring_warnings(partial(self.model.partial_fit, classes=classes), X, y)

    def epoch(self) -> float:
        self.model.partial_fit(self.X, self.y)
        # Its squared error is a mean over the outputs, too; its gradient is not.
        return self.model.loss_ * (1 if self.classes else self.model.n_outputs_)

    def parameters(self) -> np.ndarray:
        return flat([W.T for W in self.model.coefs_], self.model.intercepts_)
