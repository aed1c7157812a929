"""Derivatives of `fcnn.reference.Network`: by its inputs, and of a Jacobian's distance."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._own_loss import as_exactly
from fcnn._sobolev import as_targets
from fcnn.reference._checks import as_output

Array = NDArray[Any]


class Differentiated(abc.ABC):
    """The base of `fcnn.reference.Network`, whose layers and parameters it differentiates."""

    sizes: tuple[int, ...]
    L: int
    W: list[Any]
    parameters: Array

    @abc.abstractmethod
    def forward(self, X: Array) -> tuple[list[Any], list[Any]]:
        """Return all z[l] and a[l], l = 0..L."""

    @abc.abstractmethod
    def _inputs(self, X: Any) -> Array:
        """Return inputs as an array, of one sample (n_0,)."""

    @abc.abstractmethod
    def _views(self, flat: Array) -> tuple[list[Any], list[Any]]:
        """Return all W[l] and b[l] of a flat vector, l = 0..L."""

    @abc.abstractmethod
    def _derivative(
        self, l: int, z: list[Any], a: list[Any], dz: Array, back: bool = False
    ) -> Array:
        """Return da^l for dz^l, or with `back` delta^l for dC/da^l."""

    @abc.abstractmethod
    def _second(self, l: int, z: list[Any], a: list[Any], g: Array, dz: Array) -> Array:
        """Return how `_derivative` of g changes when z^l moves by dz."""

    def jvp(self, X: Array, u: Array) -> tuple[Array, Array]:
        """Return (a^L, J u): tangents go forward as samples do, without biases."""
        return self._of_rows(self._jvp, X, u=u)

    def vjp(self, X: Array, v: Array) -> tuple[Array, Array]:
        """Return (a^L, v J): the delta recursion, down to the inputs."""
        return self._of_rows(self._vjp, X, v=v)

    def jacobian(self, X: Array) -> Array:
        """Return d a^L_k / d x_j, shape (s, n_L, n_0), of one sample (n_L, n_0)."""
        (J,) = self._of_rows(self._jacobian, X)
        return J

    def hvp(self, X: Array, v: Array, u: Array) -> Array:
        """Return the Hessian of v . a^L with respect to x, times u, shape (s, n_0)."""
        (products,) = self._of_rows(self._hvp, X, v=v, u=u)
        return products

    def hessian(self, X: Array, output: int = 0) -> Array:
        """Return the second derivatives of a^L_k, k = output, shape (s, n_0, n_0)."""
        output = as_output(output, self.sizes[-1])
        (H,) = self._of_rows(lambda rows: self._hessian(rows, output), X)
        return H

    def _of_rows(
        self, compute: Callable[..., tuple[Array, ...]], X: Any, **directions: Any
    ) -> tuple[Any, ...]:
        """Return what is computed of samples and directions; of one sample without its axis."""
        X = self._inputs(X)
        rows = []
        for name, direction in directions.items():
            expected = (*X.shape[:-1], self.sizes[-1 if name == "v" else 0])
            array = as_exactly(name, direction, expected, self.parameters.dtype)
            rows.append(np.atleast_2d(array))
        results = compute(np.atleast_2d(X), *rows)
        return results if X.ndim == 2 else tuple(result[0] for result in results)

    def _jvp(self, X: Array, u: Array) -> tuple[Array, Array]:
        z, a = self.forward(X)
        tangent = u
        for l in range(1, self.L + 1):
            tangent = self._derivative(l, z, a, tangent @ self.W[l].T)
        return a[-1], tangent

    def _vjp(self, X: Array, v: Array) -> tuple[Array, Array]:
        z, a = self.forward(X)
        dC_da = v
        for l in range(self.L, 0, -1):
            dC_da = self._derivative(l, z, a, dC_da, back=True) @ self.W[l]
        return a[-1], dC_da

    def _jacobian(self, X: Array) -> tuple[Array]:
        # A row of v J for each output, v its unit vector.
        rows = [self._vjp(X, np.broadcast_to(v, (len(X), len(v))))[1] for v in self._units(-1)]
        return (np.stack(rows, axis=1),)

    def _hvp(self, X: Array, v: Array, u: Array) -> tuple[Array]:
        # Both passes are differentiated in the direction u: d stands for that derivative.
        z, a = self.forward(X)
        dz: list[Any] = [None]
        da: list[Any] = [u]
        for l in range(1, self.L + 1):
            dz.append(da[l - 1] @ self.W[l].T)
            da.append(self._derivative(l, z, a, dz[l]))
        g, dg = v, np.zeros_like(v)  # of v . a^L with respect to a^l
        for l in range(self.L, 0, -1):
            ddelta = self._derivative(l, z, a, dg, back=True) + self._second(l, z, a, g, dz[l])
            g, dg = self._derivative(l, z, a, g, back=True) @ self.W[l], ddelta @ self.W[l]
        return (dg,)

    def _hessian(self, X: Array, output: int) -> tuple[Array]:
        v = np.broadcast_to(self._units(-1)[output], (len(X), self.sizes[-1]))
        columns = [self._hvp(X, v, np.broadcast_to(u, X.shape))[0] for u in self._units(0)]
        return (np.stack(columns, axis=2),)

    def jacobian_loss(
        self, X: Array, targets: Array, weight: float, sample_weight: Array | None = None
    ) -> tuple[float, Array]:
        """Return w/2 |J - dY|^2, averaged over samples, and its gradient by the parameters.

        With R = dC/dJ that is the gradient of sum_k R_k . d a^L_k / dx, R held fixed: of the
        derivative of each output in a direction. Tangents go forward from R_k, deltas back from the
        unit vector of output k; W is in both, and so is z, through sigma'. W. M. Czarnecki et al.:
        Sobolev training for neural networks, NeurIPS 2017.

        dY is (s, n_L, n_0), of one output (s, n_0) will do, and of one sample (n_L, n_0).
        """
        X = self._inputs(X)
        of_one_row, X, dtype = X.ndim == 1, np.atleast_2d(X), self.parameters.dtype
        rows, sizes = len(X), (self.sizes[0], self.sizes[-1])
        targets = as_targets(targets, rows, *sizes, dtype, of_one_row, name="targets")
        weight = check.as_number("weight", weight, least=0)
        sample_weight = check.as_sample_weight(sample_weight, rows, dtype)
        z, a = self.forward(X)
        distance = self._jacobian(X)[0] - targets
        counts = np.ones(len(X)) if sample_weight is None else sample_weight
        share = (counts / counts.sum()).astype(self.parameters.dtype)[:, np.newaxis, np.newaxis]
        R = weight * share * distance
        gradient = np.zeros_like(self.parameters)
        dW, db = self._views(gradient)
        bend = [np.zeros_like(z[l]) for l in range(1, self.L + 1)]  # what sigma'' adds to delta
        for k, v in enumerate(self._units(-1)):
            dz: list[Any] = [None]
            da: list[Any] = [R[:, k]]
            for l in range(1, self.L + 1):
                dz.append(da[l - 1] @ self.W[l].T)
                da.append(self._derivative(l, z, a, dz[l]))
            g = np.broadcast_to(v, z[-1].shape)
            for l in range(self.L, 0, -1):
                d = self._derivative(l, z, a, g, back=True)
                dW[l] += d.T @ da[l - 1]
                bend[l - 1] += self._second(l, z, a, g, dz[l])
                g = d @ self.W[l]
        dC_da = np.zeros_like(z[-1])
        for l in range(self.L, 0, -1):
            delta = self._derivative(l, z, a, dC_da, back=True) + bend[l - 1]
            dW[l] += delta.T @ a[l - 1]
            db[l] += delta.sum(axis=0)
            dC_da = delta @ self.W[l]
        return float((R * distance).sum(dtype=np.float64) / 2), gradient

    def _units(self, l: int) -> Array:
        """Return a unit vector for each node of a layer."""
        return np.eye(self.sizes[l], dtype=self.parameters.dtype)
