"""Numba, by hand: the loops of a tiny network as one writes them, compiled; one row at a time."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, UnsupportedError


class Numba:
    name = "Numba"

    def __init__(self, threads: int) -> None:
        self.numba = importlib.import_module("numba")
        self.version = self.numba.__version__
        self.limited = "Numba: one thread"

    def trainer(self, task: Task, lr: float) -> Any:
        raise UnsupportedError("written for predictions alone")

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        if x.ndim != 1:
            raise UnsupportedError("written for one row")
        forward = self._compiled()
        weights = tuple(np.ascontiguousarray(W.T) for W in network.weights)
        biases = tuple(b.copy() for b in network.biases)
        out = np.empty(network.sizes[-1], x.dtype)
        if len(weights) == 2:
            a = np.empty(network.sizes[1], x.dtype)
            (W1, W2), (b1, b2) = weights, biases
            return lambda: forward(x, W1, b1, W2, b2, a, out)
        raise UnsupportedError("written for one hidden layer")

    def _compiled(self) -> Any:
        njit = self.numba.njit

        @njit(fastmath={"contract"})
        def layer(x: Any, W: Any, b: Any, z: Any) -> None:
            z[:] = b
            for j in range(len(x)):
                for k in range(len(z)):
                    z[k] += x[j] * W[j, k]

        @njit
        def forward(x: Any, W1: Any, b1: Any, W2: Any, b2: Any, a: Any, out: Any) -> Any:
            layer(x, W1, b1, a)
            for k in range(len(a)):
                if a[k] < 0:
                    a[k] = 0
            layer(a, W2, b2, out)
            largest = out[0]
            for k in range(1, len(out)):
                largest = max(largest, out[k])
            total = out[0] * 0
            for k in range(len(out)):
                out[k] = np.exp(out[k] - largest)
                total += out[k]
            for k in range(len(out)):
                out[k] /= total
            return out

        return forward
