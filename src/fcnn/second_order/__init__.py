"""Optimizers of all samples at once: each epoch of `fit` is one iteration of theirs."""

from __future__ import annotations

import abc
import math
import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fcnn import _cgroups
from fcnn._attributes import Checks, number
from fcnn._dispatch import core
from fcnn._validation import as_count
from fcnn.errors import DivergenceError, nonfinite_parameter
from fcnn.optimizers import OPTIMIZERS, Optimizer
from fcnn.second_order import _line_search

__all__ = ["LBFGS", "LevenbergMarquardt"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[np.float64]


class Objective(Protocol):
    """The loss of all samples as a function of the parameters: see `fcnn.second_order._objective`.

    Its point is what the network's dtype makes of the parameters given.
    """

    network: Any
    parameters: Array

    def move_to(self, parameters: Array) -> Array:
        """Set the parameters; return them as the network's dtype has them."""

    def point(self) -> Any:
        """Return where it is, for `return_to`."""

    def return_to(self, point: Any) -> None:
        """Go back to a point."""

    def loss(self) -> float:
        """Return the loss, penalty included."""

    def gradient(self) -> tuple[float, Array]:
        """Return the loss and its gradient."""

    def normal_equations(self, sums: Array) -> float:
        """Write the upper half of (J r)^T (J r); return the loss."""

    def change(self, step: Array) -> Array:
        """Return J^T (r(x + step) - r(x)), where the loss is known."""

    def decay(self) -> Array:
        """Return the penalty's second derivative by each parameter."""


class SecondOrder(Optimizer, abc.ABC):
    """What the optimizers of all samples at once share."""

    losses: ClassVar[tuple[str, ...] | None] = None  # that it can train; None: all
    reads_sparse: ClassVar[bool] = True
    reads_gradients: ClassVar[bool] = True  # of any loss, in place of residuals

    def refuse(self, network: Any) -> None:
        """Refuse a network that the optimizer cannot train."""
        if self.losses is not None and network.loss not in self.losses:
            raise ValueError(
                f"optimizer: {type(self).__name__} trains with the loss "
                f"{' or '.join(self.losses)}, got {network.loss}"
            )

    def state(self, network: Any) -> tuple[NDArray[Any], ...]:
        """Return the state vectors; refuse those of another network."""
        begun = self.steps > 0 or len(self._state) > 0
        if begun and self._owner is not None and self._owner() is not network:
            raise ValueError(
                "optimizer: it holds the state of another network; make a new one for each "
                "network, or call optimizer.reset()"
            )
        if any(v.shape != network.parameters.shape for v in self._state):
            raise ValueError(
                f"optimizer: it holds state vectors of {self._state[0].size} numbers, the network "
                f"has {network.num_parameters} parameters; call optimizer.reset()"
            )
        if not begun or self._owner is None:
            self._owner = weakref.ref(network)
        return self._state

    @abc.abstractmethod
    def iterate(self, objective: Objective) -> tuple[float, dict[str, Any] | None]:
        """Move the objective to a point with less loss.

        Returns
        -------
        loss : float
            At the point where the objective is now.
        state : dict of str to object, or None
            The optimizer's attributes behind the step, which is not made yet: interrupted, it is
            that of the step before. None if there was no such point.
        """


def _finite(loss: float, objective: Objective) -> float:
    if not math.isfinite(loss):
        advice = nonfinite_parameter(objective) or ". Scale inputs and targets to about 1"
        raise DivergenceError(f"the loss is {loss} before the iteration{advice}")
    return loss


class LevenbergMarquardt(SecondOrder):
    """Levenberg-Marquardt: a Gauss-Newton step h, damped until it lowers the loss.

    (J^T J + mu I) h = -J^T r, with the residuals r = a^L - y of all samples and outputs and their
    Jacobian J by the parameters. mu follows the ratio of the loss's fall to what the equations
    promised (K. Madsen, H. B. Nielsen, O. Tingleff: Methods for non-linear least squares problems,
    2004, algorithm 3.16). Half the acceleration along the geodesic is added to h where it is small
    beside it (M. K. Transtrum, J. P. Sethna: Improvements to the Levenberg-Marquardt algorithm for
    nonlinear least-squares minimization, arXiv:1201.5885, 2012, section 4). With the loss huber,
    residuals have the weights min(1, 1 / |r|), so that J^T r is its gradient.

    For small networks: an iteration takes s n_L P^2 / 2 multiplications and 16 P^2 bytes, P the
    number of parameters and s that of samples. Best with dtype float64.

    Parameters
    ----------
    damping : float, default 1e-3
        The first mu, as a share of the largest diagonal entry of J^T J.

    Notes
    -----
    For `fit` with the loss squared_error or huber. An epoch is an iteration over all samples.
    """

    rule = "lm"
    losses = ("squared_error", "huber")
    reads_sparse = False
    reads_gradients = False
    _checks: ClassVar[Checks] = {
        **Optimizer._checks,
        "damping": number(above=0),
        "_mu": number(least=0),
    }

    def __init__(self, damping: float = 1e-3) -> None:
        super().__init__()
        self.damping = damping

    def reset(self) -> None:
        """Forget the damping, the count of steps and the network."""
        super().reset()
        self._mu = 0.0  # before the first iteration
        self._sums: Array | None = None

    def _num_states(self) -> int:
        return 0

    def _hyperparameters(self) -> dict[str, Any]:
        return {name: v for name, v in super()._hyperparameters().items() if name != "_sums"}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_sums": None}

    def refuse(self, network: Any) -> None:
        """Refuse a network with another loss, or more parameters than memory has room for."""
        super().refuse(network)
        # The equations, their factor, and three blocks of its rows.
        needed = 8 * (network.num_parameters + 1) * (2 * network.num_parameters + 2 + 3 * _BLOCK)
        memory = _memory()
        if memory is not None and needed > memory:
            raise ValueError(
                f"optimizer: LevenbergMarquardt needs {needed:,} bytes for the "
                f"{network.num_parameters:,} parameters' normal equations, this process may "
                f"have {memory:,}; fcnn.LBFGS needs a few vectors"
            )

    def iterate(self, objective: Objective) -> tuple[float, dict[str, Any] | None]:
        """Find a step: see `SecondOrder.iterate`."""
        at = objective.parameters
        n = at.size
        if self._sums is None or self._sums.shape != (n + 1, n + 1):
            self._sums = np.empty((n + 1, n + 1))
        sums = self._sums
        loss = _finite(objective.normal_equations(sums), objective)
        begin = objective.point()
        decay = objective.decay()
        gradient = sums[:n, n] + decay * at
        diagonal = sums.diagonal()[:n] + decay
        # The parameters' scale is that of the largest entry (ibid., equation 3.14).
        mu, nu = self._mu or self.damping * float(diagonal.max(initial=0.0)), 2.0
        if not mu > 0 or not gradient.any():
            return loss, None
        if self._mu == 0:
            self._refuse_damping(at, gradient, diagonal)
        while math.isfinite(mu):
            step = -gradient
            factor = _factor(sums, diagonal + mu)
            promised = 0.0
            if factor is not None:
                core.solve_factored(factor, step)
                promised = float(step @ (mu * step - gradient)) / 2
            if not (promised > 0 and math.isfinite(promised)):
                mu, nu = mu * nu, nu * 2
                continue
            assert factor is not None
            # J^T of the residuals' second derivative along h, by a difference: J^T J h is known.
            bend = objective.change(_PROBE * step) / _PROBE + gradient + (mu + decay) * step
            bend *= -2 / _PROBE
            core.solve_factored(factor, bend)
            ratio, reached = -1.0, math.inf
            if np.linalg.norm(bend) <= _MOST_BEND * np.linalg.norm(step):
                objective.move_to(at + step + bend / 2)
                reached = objective.loss()
                ratio = (loss - reached) / promised
            if ratio > 0:
                return reached, {"_mu": mu * max(1 / 3, 1 - (2 * ratio - 1) ** 3)}
            if np.linalg.norm(step) <= _LEAST_STEP * np.linalg.norm(at):
                break  # it would soon be lost in rounding
            objective.return_to(begin)
            mu, nu = mu * nu, nu * 2
        objective.return_to(begin)
        return loss, None

    def _refuse_damping(self, at: Array, gradient: Array, diagonal: Array) -> None:
        """Refuse a first mu beside which no step is left, where there would be one."""
        largest = float(diagonal.max())
        least = _LEAST_STEP * float(np.linalg.norm(at)) * largest
        length = float(np.linalg.norm(gradient))
        if length > least and not length > least * self.damping:
            raise ValueError(
                f"optimizer: with damping={self.damping:g} no step would change the parameters; "
                "expected a share of the largest entry of J^T J, such as 1e-3"
            )

    def __repr__(self) -> str:
        return f"LevenbergMarquardt(damping={self.damping:g})"


# The step of that difference, as a share of h, and how long the acceleration may be beside h: the
# values of section 4 of Transtrum and Sethna.
_PROBE, _MOST_BEND = 0.1, 0.75
# And beside the parameters the least step that is worth trying.
_LEAST_STEP = 1e-15


# Columns that are factored in one call, during which nobody hears Ctrl-C: more go block by block.
_BLOCK = 256


def _factor(sums: Array, diagonal: Array) -> Array | None:
    """Return the Cholesky factor R, R^T R = A, of equations with another diagonal.

    The upper half of A, `sums` but for its last row and column, is read, and that of R is its upper
    half; None if A is not positive definite. G. H. Golub, C. F. van Loan: Matrix computations, 4th
    ed., 2013, section 4.2.9.
    """
    n = diagonal.size
    R = np.empty((n, n))
    for begin in range(0, n, _BLOCK):
        R[begin : begin + _BLOCK, begin:] = sums[begin : min(begin + _BLOCK, n), begin:n]
    np.fill_diagonal(R, diagonal)
    for begin in range(0, n, _BLOCK):
        end = min(begin + _BLOCK, n)
        if not core.factor_block(R, begin, end):
            return None
        if end == n:
            break
        rest = R[begin:end, end:]
        rest[...] = np.linalg.inv(np.triu(R[begin:end, begin:end])).T @ rest
        for k in range(end, n, _BLOCK):
            R[k : k + _BLOCK, k:] -= rest[:, k - end : k - end + _BLOCK].T @ rest[:, k - end :]
    return R


def _memory() -> int | None:
    """Return the bytes of the machine, or of the container; None where they are not known."""
    allowed = _cgroups.least("memory", _cgroups.memory_of)
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return allowed
    return machine if allowed is None else min(machine, allowed)


class LBFGS(SecondOrder):
    """Limited-memory BFGS: a quasi-Newton step of all samples, with a line search.

    J. Nocedal, S. J. Wright: Numerical optimization, 2006, algorithms 7.4 and 7.5; the step length
    meets the strong Wolfe conditions (J. J. More, D. J. Thuente, ACM TOMS 20, 1994).

    Parameters
    ----------
    history : int, default 10
        Steps whose change of parameters and gradient are kept: 2 history vectors.

    Notes
    -----
    For `fit`, with any loss of the network. An epoch is an iteration over all samples.
    """

    rule = "lbfgs"
    _checks: ClassVar[Checks] = {**Optimizer._checks, "history": as_count}

    def __init__(self, history: int = 10) -> None:
        super().__init__()
        self.history = history

    if not TYPE_CHECKING:  # as Checked's

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "history" and vars(self).get("_state"):
                self._state = self._state[-2 * self.history :]

    def _num_states(self) -> int:
        return 2 * self.history  # at most

    def _takes(self, count: int) -> bool:
        return count % 2 == 0 and count <= 2 * self.history

    def iterate(self, objective: Objective) -> tuple[float, dict[str, Any] | None]:
        """Find a step: see `SecondOrder.iterate`."""
        at = objective.parameters
        loss, gradient = objective.gradient()
        _finite(loss, objective)
        if not gradient.any():
            return loss, None
        state = self._state
        found = None
        while found is None:
            direction = -_times_inverse(state, gradient)
            slope = float(gradient @ direction)
            if slope < 0 and math.isfinite(slope):
                # The first step of all has the length of no other: at most 1.
                t = 1.0 if state else min(1.0, 1 / float(np.linalg.norm(direction)))
                found = self._search(objective, at, direction, loss, slope, t)
            if found is None:
                if not state:
                    objective.move_to(at)
                    return loss, None
                state = ()  # the way of the gradient is left
        reached, there, there_gradient = found
        change, of_gradient = there - at, there_gradient - gradient
        # Below this the curvature is rounding.
        if change @ of_gradient > 2.3e-16 * (of_gradient @ of_gradient):
            state = (*state, change, of_gradient)[-2 * self.history :]
        return reached, {"_state": state}

    def _search(
        self,
        objective: Objective,
        at: Array,
        direction: Array,
        loss: float,
        slope: float,
        first: float,
    ) -> tuple[float, Array, Array] | None:
        """Return loss, parameters and gradient of a better point in a direction."""
        seen: dict[float, tuple[Array, Array]] = {}

        def phi(t: float) -> tuple[float, float]:
            there = objective.move_to(at + t * direction)
            value, gradient = objective.gradient()
            seen.clear()
            seen[t] = there, gradient
            return value, float(gradient @ direction)

        found = _line_search.search(phi, _line_search.Point(0.0, loss, slope), first)
        if found is None or not found.f < loss:  # as the slopes of rounding have it
            return None
        if found.t not in seen:
            phi(found.t)
        return found.f, *seen[found.t]

    def __repr__(self) -> str:
        return f"LBFGS(history={self.history})"


def _times_inverse(state: tuple[Array, ...], gradient: Array) -> Array:
    """Return the inverse Hessian that a state of LBFGS stands for, times a gradient."""
    pairs = list(zip(state[::2], state[1::2], strict=True))
    q = gradient.copy()
    factors = []
    for change, of_gradient in reversed(pairs):
        factors.append(float(change @ q) / float(change @ of_gradient))
        q -= factors[-1] * of_gradient
    if pairs:
        change, of_gradient = pairs[-1]
        q *= float(change @ of_gradient) / float(of_gradient @ of_gradient)
    for change, of_gradient in pairs:
        share = float(of_gradient @ q) / float(change @ of_gradient)
        q += (factors.pop() - share) * change
    return q


SECOND_ORDER: dict[str, type[SecondOrder]] = {
    kind.rule: kind for kind in (LevenbergMarquardt, LBFGS)
}

# Every optimizer of `fit`, by the name that a checkpoint has.
ALL_OPTIMIZERS: dict[str, type[Optimizer]] = {**OPTIMIZERS, **SECOND_ORDER}
