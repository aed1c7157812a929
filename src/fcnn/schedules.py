"""Learning-rate schedules: factors of the optimizer's `lr`, for every update of a training.

``fit(..., schedule=...)`` takes one of the classes here, a function of your own, or a list of
them, whose factors are multiplied: ``schedule=[WarmUp(3), Cosine()]``. Time is counted in epochs
since the beginning of the training: update i = 0, 1, ... of the n updates of epoch e = 1, 2, ...
is at t = e - 1 + i / n. A function is called with t, for every update, and returns the factor. Of
batches from an iterable without a length, n is not known; all of an epoch are then at t = e - 1.

The optimizer's own `lr` is never changed: it is the learning rate that the factors are of, before a
training and after it. `History.learning_rate` has what was used.
"""

import abc
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn._attributes import Checked, Checks, number
from fcnn.history import Monitor, Monitoring, Progress

__all__ = ["Cosine", "Plateau", "Schedule", "Step", "WarmUp"]


def __dir__() -> list[str]:
    return __all__


Times = NDArray[np.float64]


class Schedule(Checked, abc.ABC):
    """What the schedules share. A schedule of your own may be a plain function instead."""

    # All but `factors` may be left out.

    @abc.abstractmethod
    def factors(self, times: Times, epochs: int) -> ArrayLike:
        """Return the factor of each update.

        Parameters
        ----------
        times : numpy.ndarray of float64, shape (updates,)
            In epochs since the beginning of the training.
        epochs : int
            Length of the training.

        Returns
        -------
        array-like, shape (updates,) or ()
            At least 0.
        """

    def on_begin(self, progress: Progress) -> None:
        """Start anew, before the first epoch."""

    def on_epoch(self, progress: Progress) -> None:
        """Take note of an epoch, after its validation."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to know."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""


AnySchedule = Schedule | Callable[[float], float]


def _as_times(name: str, value: Any) -> float | list[float]:
    if np.iterable(value) and not isinstance(value, (str, bytes)):
        return sorted(check.as_number(f"{name}[{i}]", t, above=0) for i, t in enumerate(value))
    return check.as_number(name, value, above=0)


class Step(Schedule):
    """Multiply the learning rate by a factor again and again.

    As ``torch.optim.lr_scheduler.StepLR`` and ``MultiStepLR``.

    Parameters
    ----------
    epochs : float or sequence of float
        One number: after each so many epochs. Several: at each of those times.
    factor : float, default 0.1
        Greater than 0.
    """

    _checks: ClassVar[Checks] = {"epochs": _as_times, "factor": number(above=0)}

    epochs: float | list[float]

    def __init__(self, epochs: float | Iterable[float], factor: float = 0.1) -> None:
        self.epochs = epochs  # type: ignore[assignment]  # as _as_times returns it
        self.factor = factor

    def factors(self, times: Times, epochs: int) -> ArrayLike:
        """Return factor^k after k steps: see `Schedule.factors`."""
        if isinstance(self.epochs, list):
            return self.factor ** np.searchsorted(self.epochs, times, side="right")
        return self.factor ** np.floor(times / self.epochs)

    def __repr__(self) -> str:
        return f"Step({self.epochs}, factor={self.factor:g})"


class Cosine(Schedule):
    """Lower the learning rate along half a period of a cosine.

    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017,
    equation 5, one period. As ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    Parameters
    ----------
    epochs : float, optional
        From a factor of 1 to `final` in so many epochs, and there it stays. None takes all epochs
        of the training.
    final : float, default 0
        At least 0.
    """

    _checks: ClassVar[Checks] = {
        "epochs": lambda name, t: None if t is None else check.as_number(name, t, above=0),
        "final": number(least=0),
    }

    def __init__(self, epochs: float | None = None, final: float = 0.0) -> None:
        self.epochs = epochs
        self.final = final

    def factors(self, times: Times, epochs: int) -> ArrayLike:
        """Return final + (1 - final) (1 + cos(pi t / epochs)) / 2: see `Schedule.factors`."""
        part = np.minimum(times / (self.epochs or epochs), 1)
        return self.final + (1 - self.final) * (1 + np.cos(np.pi * part)) / 2

    def __repr__(self) -> str:
        return f"Cosine({self.epochs}, final={self.final:g})"


class WarmUp(Schedule):
    """Raise the learning rate linearly at the beginning.

    P. Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, section 2.2.
    As ``torch.optim.lr_scheduler.LinearLR``.

    Parameters
    ----------
    epochs : float
        From a factor of `start` to 1 in so many epochs; half an epoch is 0.5.
    start : float, default 0.1
        From 0 to 1.
    """

    _checks: ClassVar[Checks] = {"epochs": number(above=0), "start": number(least=0, most=1)}

    def __init__(self, epochs: float, start: float = 0.1) -> None:
        self.epochs = epochs
        self.start = start

    def factors(self, times: Times, epochs: int) -> ArrayLike:
        """Return start + (1 - start) t / epochs, at most 1: see `Schedule.factors`."""
        return self.start + (1 - self.start) * np.minimum(times / self.epochs, 1)

    def __repr__(self) -> str:
        return f"WarmUp({self.epochs:g}, start={self.start:g})"


class Plateau(Monitoring, Schedule):
    """Multiply the learning rate by a factor whenever a curve has stopped to improve.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with ``threshold_mode="abs"`` and its
    `patience` one less: here the factor changes after the last of `patience` epochs.

    Parameters
    ----------
    factor : float, default 0.1
        Greater than 0 and less than 1.
    patience : int, default 10
        Epochs in a row without an improvement.
    min_delta : float, default 0
        An improvement is a change by more than this.
    lowest : float, default 0
        The product of the factors does not fall below it.
    monitor : str, optional
        As for `fcnn.EarlyStopping`.
    """

    _checks: ClassVar[Checks] = {
        "factor": number(above=0, below=1), "patience": check.as_count,
        "lowest": number(least=0, most=1), "current": number(least=0, most=1),
    }  # fmt: skip

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        lowest: float = 0.0,
        monitor: str | None = None,
    ) -> None:
        self.factor = factor
        self.patience = patience
        self.lowest = lowest
        self.current = 1.0
        self._monitor = Monitor(monitor, min_delta)

    def factors(self, times: Times, epochs: int) -> ArrayLike:
        """Return the same factor for a whole epoch: see `Schedule.factors`."""
        return self.current

    def on_begin(self, progress: Progress) -> None:
        """Start anew."""
        self._monitor.begin(progress)
        self.current = 1.0

    def on_epoch(self, progress: Progress) -> None:
        """Look whether the curve has improved."""
        self._monitor.improved(progress)
        if self._monitor.waited >= self.patience:
            self.current = max(self.current * self.factor, self.lowest)
            self._monitor.waited = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the factor, the best value so far and the epochs since."""
        return {"current": self.current, **self._monitor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._monitor.load_state_dict(state)
        self.current = float(state["current"])

    def __repr__(self) -> str:
        return (
            f"Plateau(factor={self.factor:g}, patience={self.patience}, "
            f"min_delta={self._monitor.min_delta:g}, lowest={self.lowest:g}, "
            f"monitor={self._monitor.asked!r})"
        )


class _Function(Schedule):
    """A user's function, called for each update."""

    def __init__(self, function: Callable[[float], float]) -> None:
        self._function = function

    def factors(self, times: Times, epochs: int) -> ArrayLike:
        return [
            check.as_number(f"schedule: factor at {t:g} epochs", self._function(t), least=0)
            for t in times.tolist()
        ]


def as_schedules(schedule: Any) -> list[Schedule]:
    """Return a list of schedules for what `Network.fit` was given."""
    if schedule is None:
        return []
    given = list(schedule) if isinstance(schedule, (list, tuple)) else [schedule]
    schedules = []
    for one in given:
        if not isinstance(one, Schedule):
            if not callable(one) or isinstance(one, type):
                raise TypeError(
                    "schedule: expected one of fcnn.schedules, a function of the time in epochs, "
                    f"or a list of them, got {one!r}"
                )
            one = _Function(one)
        schedules.append(one)
    return schedules


def told(schedules: list[Schedule], epochs: int) -> str:
    """Return what tells schedules from others, in every process the same."""
    texts = []
    for one in schedules:
        if isinstance(one, _Function):  # by what it does: a lambda has no name
            name = getattr(one._function, "__qualname__", type(one._function).__qualname__)
            texts.append(f"{name}: {one.factors(np.arange(epochs, dtype=np.float64), epochs)}")
        elif type(one).__repr__ is object.__repr__:
            texts.append(type(one).__qualname__)
        else:
            texts.append(repr(one))
    return "; ".join(texts)


def learning_rates(schedules: list[Schedule], lr: float, times: Times, epochs: int) -> Times:
    """Return the learning rate of each update, shape (updates,)."""
    rates = np.full(len(times), lr, np.float64)
    for schedule in schedules:
        rates *= np.asarray(schedule.factors(times, epochs), np.float64)
    if not (np.isfinite(rates).all() and (rates >= 0).all()):
        bad = int(np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))[0])
        raise ValueError(
            f"schedule: expected factors of at least 0, got a learning rate of {rates[bad]} at "
            f"{times[bad]:g} epochs"
        )
    return rates
