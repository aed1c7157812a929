"""Callbacks of `Network.fit`: stop early, keep checkpoints, or do something of your own.

A callback is a function that is called after each epoch with an `fcnn.history.Progress`; if it
returns True, the training ends. An object with ``__call__`` may have further methods, all optional:

``on_begin(progress)``
    Before the first epoch, once all arguments are checked. A training that is resumed has its
    `epoch` and `history` then, and gets its parameters after it.
``on_end(progress)``
    After the last epoch, but not if an exception (Ctrl-C, divergence) ends the training.
``state_dict()`` and ``load_state_dict(state)``
    A dict of numbers, texts, lists, dicts and NumPy arrays that checkpoints keep, and its return to
    a training that is resumed, after `on_begin`.
"""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._attributes import Checked, Checks
from fcnn._format.replacing import refuse_unwritable
from fcnn.history import Monitor, Monitoring, Progress, as_monitored

__all__ = ["EarlyStopping", "ModelCheckpoint"]


def __dir__() -> list[str]:
    return __all__


class EarlyStopping(Monitoring):
    """End a training that does not get better, and return to its best epoch.

    Parameters
    ----------
    monitor : str, optional
        "validation_loss", "validation_score" or "loss"; None is "validation_loss", or "loss" if
        there is no validation.
    patience : int, default 10
        End after so many epochs in a row without an improvement.
    min_delta : float, default 0
        An improvement is a change by more than this.
    restore_best : bool, default True
        At the end, give the network the parameters of the best epoch, also if all epochs were made.
        The optimizer's state stays that of the last one.

    Attributes
    ----------
    best : float or None
        Best value of the curve so far.
    best_epoch : int
        Its epoch, counted from 1.
    best_parameters : numpy.ndarray or None, shape (num_parameters,)
        Its parameters, if `restore_best`. After Ctrl-C or a divergence, when the network keeps its
        last ones, ``net.parameters = early_stopping.best_parameters`` returns to them.
    stopped_epoch : int
        The epoch that ended the training; 0 if none did.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; from `fit`, if there is no such curve.
    """

    best_parameters: NDArray[Any] | None
    stopped_epoch: int

    _checks: ClassVar[Checks] = {
        "patience": check.as_count, "restore_best": check.as_flag,
        "best_parameters": lambda name, value: value,
        "stopped_epoch": lambda name, value: check.as_count(name, value, 0),
    }  # fmt: skip

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.patience = patience
        self.restore_best = restore_best
        self.best_parameters = None
        self.stopped_epoch = 0
        self._monitor = Monitor(monitor, min_delta)

    @property
    def best(self) -> float | None:
        """Best value of the curve so far."""
        return self._monitor.best

    @property
    def best_epoch(self) -> int:
        """Epoch of the best value, counted from 1; 0 before there is one."""
        return self._monitor.best_epoch

    def on_begin(self, progress: Progress) -> None:
        """Start anew."""
        self._monitor.begin(progress)
        self.best_parameters = None
        self.stopped_epoch = 0

    def __call__(self, progress: Progress) -> bool:
        """Return whether the training is to end."""
        if self._monitor.improved(progress):
            if self.restore_best:
                self.best_parameters = progress.network.parameters.copy()
        elif self._monitor.waited >= self.patience:
            self.stopped_epoch = progress.epoch
            return True
        return False

    def on_end(self, progress: Progress) -> None:
        """Give the network its best parameters."""
        if self.best_parameters is not None:
            progress.network.parameters = self.best_parameters

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch, its parameters, and the epochs since."""
        state = {"stopped_epoch": self.stopped_epoch, **self._monitor.state_dict()}
        if self.best_parameters is not None:
            state["best_parameters"] = self.best_parameters
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._monitor.load_state_dict(state)
        best = state.get("best_parameters")
        if best is not None and not hasattr(best, "dtype"):
            raise TypeError(f"best_parameters: expected an array, got {best!r}")
        self.best_parameters = best
        self.stopped_epoch = int(state["stopped_epoch"])

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(monitor={self._monitor.asked!r}, patience={self.patience}, "
            f"min_delta={self._monitor.min_delta:g}, restore_best={self.restore_best})"
        )


def _as_path(name: str, value: Any) -> str | os.PathLike[str]:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a str or os.PathLike, got {type(value).__name__}")
    return value


class ModelCheckpoint(Checked):
    """Write a file after each epoch, or after each best one, from which a training goes on.

    The file is a model that `fcnn.load` reads, and holds the whole state of the training beside it:
    ``net.fit(..., resume=path)`` goes on from there, bit for bit as if it had never ended. It is
    replaced at once, when the new one is complete: a crash leaves the old one or the new one.

    `fit` calls it after the callbacks of other kinds, so that the file has what they know.

    Parameters
    ----------
    path : str or path-like
    monitor : str, optional
        For `save_best_only`: as for `EarlyStopping`.
    save_best_only : bool, default False
        Write only when the curve has improved. The network in the file is then the best one, and a
        resumed training goes on from that epoch.
    every : int, default 1
        Write after every so many epochs, and after the last.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; from `fit`, if there is no such curve.
    OSError
        From `fit`, if the file cannot be written.
    """

    _checks: ClassVar[Checks] = {
        "path": _as_path,
        "save_best_only": check.as_flag,
        "every": check.as_count,
    }

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        save_best_only: bool = False,
        every: int = 1,
    ) -> None:
        self._monitor = Monitor(None, 0.0)
        self.path = path
        self.save_best_only = save_best_only
        self.every = every
        self.monitor = monitor

    @property
    def monitor(self) -> str | None:
        """The curve that was asked for; another one counts from the next training on."""
        return self._monitor.asked

    @monitor.setter
    def monitor(self, value: str | None) -> None:
        asked = as_monitored("monitor", value)
        self._refuse_together({**vars(self), "monitor": asked})
        self._monitor.asked = asked

    def _refuse_together(self, values: Mapping[str, Any]) -> None:
        best, every = values.get("save_best_only", True), values.get("every", 1)
        monitor = values.get("monitor", self._monitor.asked)
        if best and every > 1:
            raise ValueError(f"every: expected 1 with save_best_only, got {every}")
        if monitor is not None and not best:
            raise ValueError(f"monitor: it needs save_best_only=True, got {monitor!r} without it")

    def on_begin(self, progress: Progress) -> None:
        """Start anew; refuse a path that cannot be written, rather than after an epoch."""
        self._monitor.begin(progress)
        refuse_unwritable(self.path)

    def __call__(self, progress: Progress) -> None:
        """Write the file, if it is time."""
        if self.save_best_only:
            due = self._monitor.improved(progress)
        else:
            due = progress.epoch % self.every == 0 or progress.is_last
        if due:
            progress.save(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, if it matters."""
        return self._monitor.state_dict() if self.save_best_only else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._monitor.load_state_dict(state)

    def __repr__(self) -> str:
        return (
            f"ModelCheckpoint({os.fspath(self.path)!r}, monitor={self._monitor.asked!r}, "
            f"save_best_only={self.save_best_only}, every={self.every})"
        )
