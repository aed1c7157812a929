"""The loss of all samples as a function of the parameters, for `fcnn.second_order`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcnn._data import Arrays
from fcnn._dispatch import core
from fcnn._sobolev import JacobianTerm
from fcnn._views import layer_views
from fcnn.threads import resolve

if TYPE_CHECKING:
    from fcnn.network import Network

Array = NDArray[Any]

Point = tuple[NDArray[np.float64], list[Array], float]

# Multiplications of the normal equations that make up for other threads' start.
_WORTH_THREADS = 20_000_000


class _Twin(core.Network):
    """Where trial steps are made: the user's network changes at the end of an iteration alone."""

    def _threads(self, n_threads: int | None) -> int:
        return resolve(n_threads)


class Objective:
    """Weighted mean of the costs of all samples, and l2 / 2 sum W^2.

    Parameters
    ----------
    network : fcnn.Network
        Its parameters are where it begins; they are not changed.
    data : Arrays
    l2 : float
    n_threads : int or None
    jacobian : JacobianTerm or None
        What joins the loss; in `gradient` alone.
    """

    def __init__(
        self,
        network: Network,
        data: Arrays,
        l2: float,
        n_threads: int | None,
        jacobian: JacobianTerm | None = None,
    ) -> None:
        self.network = network
        self._jacobian = jacobian
        self._data = data
        self._n_threads = n_threads
        self._twin = _Twin(network.sizes, network.activations, network.loss, network.dtype)
        self._vector = self._twin.parameters
        self._decay = np.zeros(network.num_parameters)
        for W in layer_views(self._decay, network.sizes)[0]:
            W[...] = l2
        weight = data.weight
        self._total = float(data.samples if weight is None else weight.sum(dtype=np.float64))
        self.move_to(network.parameters)

    def move_to(self, parameters: Array) -> NDArray[np.float64]:
        if self._vector.dtype == np.float64:
            self._vector[...] = parameters
        else:
            with np.errstate(over="ignore"):  # the loss says so
                self._vector[...] = parameters
        self.parameters = self._vector.astype(np.float64)
        # What `loss` found here, for `normal_equations` and `change`.
        self._outputs: list[Array] = []
        self._value = math.nan
        return self.parameters

    def make_step(self, optimizer: object, state: dict[str, Any]) -> None:
        """Move the user's network here, and its optimizer on to a state: all of it or nothing."""
        core.make_step(self.network, self._vector, optimizer, state)

    def point(self) -> Point:
        """Return where it is, for `return_to`."""
        return self.parameters, self._outputs, self._value

    def return_to(self, point: Point) -> None:
        self._vector[...] = point[0]  # which it has rounded already
        self.parameters, self._outputs, self._value = point

    def decay(self) -> NDArray[np.float64]:
        return self._decay

    def penalty(self) -> float:
        with np.errstate(invalid="ignore"):  # of an infinite parameter: the loss says so
            return float(self._decay @ (self.parameters * self.parameters)) / 2

    def loss(self) -> float:
        self._outputs, total = [], 0.0
        for X, y, weight in self._blocks():
            mean, a = self._twin._loss_and_outputs(X, y, weight, self._n_threads)
            self._outputs.append(a)
            total += mean * _share(X, weight)
        self._value = total / self._total + self.penalty()
        return self._value

    def gradient(self) -> tuple[float, NDArray[np.float64]]:
        with np.errstate(invalid="ignore"):  # as for the penalty
            total, gradient = 0.0, self._decay * self.parameters
        done = 0
        for X, y, weight in self._blocks():
            share = _share(X, weight)
            mean, part = self._twin.gradients(X, y, weight, self._n_threads)
            if self._jacobian is not None:
                rows = slice(done, done + len(X))
                mean += self._jacobian.add(self._twin, X, rows, weight, part, self._n_threads)
            done += len(X)
            total += mean * share
            gradient += part * (share / self._total)
        return total / self._total + self.penalty(), gradient

    def normal_equations(self, sums: NDArray[np.float64]) -> float:
        sums[...] = 0
        if not self._outputs:  # else the loss of this point is known
            self.loss()
        for (X, y, weight), a in zip(self._blocks(), self._outputs, strict=True):
            residual = a - y.reshape(a.shape)
            root = np.sqrt(self._weights(residual, weight))
            residual *= root
            for k in range(a.shape[1]):
                dC_da = np.zeros_like(a)
                dC_da[:, k] = root[:, k]
                core.add_normal_equations(
                    self._twin, X, dC_da, np.ascontiguousarray(residual[:, k]), sums,
                    self._threads_of(len(X)),
                )  # fmt: skip
        return self._value

    def change(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        point = self.point()
        self.move_to(self.parameters + step)
        moved = [self._twin._outputs(X, self._n_threads) for X, _, _ in self._blocks()]
        self.return_to(point)
        total = np.zeros(step.size)
        for (X, y, weight), here, there in zip(self._blocks(), self._outputs, moved, strict=True):
            there -= here
            there *= self._weights(here - y.reshape(here.shape), weight)
            total += core.gradient_given(self._twin, X, there, self._n_threads)
        return total

    def _weights(self, residual: Array, weight: Array | None) -> Array:
        """Return what each squared residual counts in the mean, shape (s, n_L)."""
        weights = np.full_like(residual, 1 / self._total)
        if self._twin.loss == "huber":
            weights /= np.maximum(np.abs(residual), 1)
        if weight is not None:
            weights *= weight[:, np.newaxis]
        return weights

    def _threads_of(self, rows: int) -> int:
        """Return how many threads a call for the normal equations has."""
        if self._n_threads is None and rows * self._decay.size**2 < 2 * _WORTH_THREADS:
            return 1
        return resolve(self._n_threads)

    def _blocks(self) -> Iterator[tuple[Any, Array, Array | None]]:
        for block in self._data.blocks(None, 1):
            yield block.X, block.y, block.weight


def _share(X: Any, weight: Array | None) -> float:
    return len(X) if weight is None else float(weight.sum(dtype=np.float64))
