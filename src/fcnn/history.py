"""The curves of a training, what a callback is given of them, and whether one improves."""

# Annotations stay text: `fcnn` is for them alone, and finds the network when one is evaluated.
from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import fcnn
from fcnn import _validation as check
from fcnn._attributes import Checked
from fcnn._split import HeldOut
from fcnn.optimizers import Optimizer

__all__ = ["History", "Progress"]


def __dir__() -> list[str]:
    return __all__


# The curves that can be monitored. The score is the higher the better; of the losses it is the
# lower. A training without validation has the first, one with a loss of the user's own the first
# two.
LOSS, VALIDATION_LOSS, VALIDATION_SCORE = CURVES = ("loss", "validation_loss", "validation_score")
MONITORED = (VALIDATION_LOSS, VALIDATION_SCORE, LOSS)  # as messages name them


@dataclass
class History:
    """The curves of a training, one entry for each completed epoch.

    A curve that only some epochs have, as of a training that goes on with validation data, is NaN
    in the others; one that none has is empty.

    Attributes
    ----------
    loss : list of float
        Mean loss of the epoch's batches, each before its update; the penalty is part of it. Of
        `fcnn.LBFGS` and `fcnn.LevenbergMarquardt` the loss after the iteration.
    validation_loss : list of float
        Loss on the validation data after the epoch, without penalty; empty without such data.
    validation_score : list of float
        Accuracy, r2 or d2 on the validation data; empty without them or with a loss of your own.
    score_name : str
        "accuracy", "r2" or "d2"; empty without scores.
    seconds : list of float
        Duration of each epoch, without validation.
    learning_rate : list of float
        Of the epoch's last update; empty where an optimizer has none.
    penalty : list of float
        Mean penalty of l1 and l2 over the epoch's batches; empty without them.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    score_name: str = ""
    seconds: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the curves that there are, by name: lists of one float an epoch, copied.

        They are what a data frame is made of: ``pandas.DataFrame(history.to_dict())``.
        """
        return {
            name: curve
            for name, curve in asdict(self).items()
            if isinstance(curve, list) and len(curve) == len(self.loss)
        }

    def __add__(self, later: History) -> History:
        """Return the curves of a training and, behind them, those of its continuation.

        Scores of another name than the continuation's are left out.
        """
        if not isinstance(later, History):
            return NotImplemented
        joined = History(score_name=later.score_name or self.score_name)
        for part in (self, later):
            before = len(joined.loss)
            joined.loss += part.loss
            for name, curve in vars(part).items():
                renamed = name == VALIDATION_SCORE and part.score_name != joined.score_name
                if isinstance(curve, list) and curve and name != LOSS and not renamed:
                    of_both = getattr(joined, name)
                    _level(of_both, before)
                    of_both.extend(curve)
        joined.level()
        return joined

    def append(self, name: str, value: float) -> None:
        """Make the entry of the epoch whose loss is the last."""
        curve = getattr(self, name)
        _level(curve, len(self.loss) - 1)
        curve.append(value)

    def level(self) -> None:
        """Give curves that have ended a NaN for each epoch since."""
        epochs = len(self.loss)
        for curve in vars(self).values():
            if curve and len(curve) < epochs and isinstance(curve, list):
                _level(curve, epochs)

    def __repr__(self) -> str:
        if not self.loss:
            return "<History: no epochs>"
        count = len(self.loss)
        text = f"{count} epoch{'s' if count > 1 else ''} in {sum(self.seconds):.3g} s"
        return f"<History: {text}, {', '.join(_figures(self))}>"

    def _repr_html_(self) -> str:
        from fcnn._html import of_history

        return of_history(self)


def _level(curve: list[float], epochs: int) -> None:
    if len(curve) < epochs:
        curve.extend([math.nan] * (epochs - len(curve)))


def _figures(history: History) -> list[str]:
    """Return what the last epoch came to, in words."""
    if not history.loss:
        return []
    texts = [f"loss {history.loss[-1]:.4g}"]
    if history.validation_loss and not math.isnan(history.validation_loss[-1]):
        texts.append(f"validation loss {history.validation_loss[-1]:.4g}")
    if history.validation_score and not math.isnan(history.validation_score[-1]):
        texts.append(f"{history.score_name} {history.validation_score[-1]:.4g}")
    return texts


class SavableTraining(Protocol):
    """What a `Progress` asks of the training that it is of."""

    stopped: bool

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint."""


@dataclass(frozen=True, eq=False, repr=False)
class Progress:
    """What a callback is given after each epoch.

    Attributes
    ----------
    network : fcnn.Network
    optimizer : fcnn.optimizers.Optimizer
    history : History
        Up to and with this epoch.
    epoch, epochs : int
        Epochs completed, those before a resumption included, and asked for.
    curves : tuple of str
        The curves that can be monitored: "loss", and with validation data "validation_loss" and
        "validation_score".
    """

    network: fcnn.Network
    optimizer: Optimizer
    history: History
    epoch: int
    epochs: int
    curves: tuple[str, ...] = CURVES[:1]
    _training: SavableTraining | None = None

    @property
    def is_last(self) -> bool:
        """Whether all epochs are made or a callback before this one has ended the training."""
        return self.epoch >= self.epochs or (self._training is not None and self._training.stopped)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, which ``fit(..., resume=path)`` goes on from.

        It holds the states of the callbacks as they are now: call it in the last one.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if self._training is None:
            raise ValueError("a Progress that is not of Network.fit has no training to save")
        self._training.save(path)

    def __repr__(self) -> str:
        texts = [f"epoch {self.epoch} of {self.epochs}", *_figures(self.history)]
        return f"<Progress: {', '.join(texts)}>"


def as_monitored(name: str, value: Any) -> str | None:
    """Return the name of a curve that can be monitored, or None."""
    return None if value is None else check.as_choice(name, value, MONITORED)


class Monitoring(Checked):
    """What looks at a curve: a callback or a schedule with `monitor` and `min_delta`."""

    _monitor: Monitor

    @property
    def monitor(self) -> str | None:
        """The curve that was asked for; another one counts from the next training on."""
        return self._monitor.asked

    @monitor.setter
    def monitor(self, value: str | None) -> None:
        self._monitor.asked = as_monitored("monitor", value)

    @property
    def min_delta(self) -> float:
        """An improvement is a change by more than this."""
        return self._monitor.min_delta

    @min_delta.setter
    def min_delta(self, value: float) -> None:
        self._monitor.min_delta = check.as_number("min_delta", value, least=0)


class Monitor:
    """Whether a curve of the history improves.

    Parameters
    ----------
    monitor : str or None
        "validation_loss", "validation_score" or "loss"; None is "validation_loss", or "loss" if
        there is no validation.
    min_delta : float
        An improvement is a change by more than this.

    Attributes
    ----------
    best : float or None
    best_epoch : int
        Counted from 1; 0 before there is a finite value.
    waited : int
        Epochs since.
    """

    def __init__(self, monitor: str | None, min_delta: float) -> None:
        self.asked = as_monitored("monitor", monitor)
        self.min_delta = check.as_number("min_delta", min_delta, least=0)
        self._start(monitor or LOSS)

    def _start(self, name: str) -> None:
        self.name = name
        self.best: float | None = None
        self.best_epoch = 0
        self.waited = 0

    def begin(self, progress: Progress) -> None:
        """Start anew; refuse a curve that this training will not have."""
        if self.asked is not None and self.asked not in progress.curves:
            raise ValueError(
                f"monitor: expected {check.listed(progress.curves)}, got {self.asked!r}; "
                "fit(validation=(X, y)) makes the curves of the validation"
            )
        self._start(self.asked or (VALIDATION_LOSS if VALIDATION_LOSS in progress.curves else LOSS))

    def improved(self, progress: Progress) -> bool:
        """Take note of the last epoch and return whether it is the best so far."""
        value = getattr(progress.history, self.name)[-1]
        gain = math.inf if self.best is None else self.best - value
        if self.name == VALIDATION_SCORE and self.best is not None:
            gain = -gain
        if not math.isfinite(value) or not gain > self.min_delta:
            self.waited += 1
            return False
        self.best, self.best_epoch, self.waited = value, progress.epoch, 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return best value, its epoch, and the epochs since."""
        return {
            "monitor": self.name, "best": self.best, "best_epoch": self.best_epoch,
            "waited": self.waited,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        if state["monitor"] != self.name:
            raise ValueError(
                f"monitor: expected {state['monitor']!r} as in the checkpoint, got {self.name!r}"
            )
        best = state["best"]
        self.best = None if best is None else check.as_number("best", best)
        self.best_epoch, self.waited = int(state["best_epoch"]), int(state["waited"])


@dataclass(frozen=True)
class TrainingRecord:
    """How a model came to be: what its file keeps of its training.

    Attributes
    ----------
    history : History
    command : str
        The command that was given; empty in a program.
    data : str
        Name of the data.
    date : str
        When it ended, as ISO 8601 has it.
    parts : dict of str to int
        How many rows trained, validated and tested it: "training", "validation", "test".
    trivial : int or list of float, optional
        What is always right to answer without looking at a row: the label of the most frequent
        class of the rows it was trained on, or the means of their numbers.
    held_out : HeldOut, optional
        How the rows that tested it are found in the data; None where these had a test part.
    """

    history: History = field(default_factory=History)
    command: str = ""
    data: str = ""
    date: str = ""
    parts: dict[str, int] = field(default_factory=dict)
    trivial: int | list[float] | None = None
    held_out: HeldOut | None = None

    def check(self, n_classes: int, n_out: int) -> None:
        """Raise ValueError if the trivial answer is none of a model's."""
        trivial = self.trivial
        if trivial is None:
            return
        if n_classes:
            if type(trivial) is int and 0 <= trivial < n_classes:
                return
            raise ValueError(
                f"training: expected a trivial answer from 0 to {n_classes - 1}, got {trivial!r}"
            )
        if not (
            isinstance(trivial, list)
            and len(trivial) == n_out
            and all(type(v) in (int, float) and math.isfinite(v) for v in trivial)
        ):
            raise ValueError(
                f"training: expected a trivial answer of {n_out} numbers, got {trivial!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON has it, the curves to six digits."""
        curves = {
            name: [float(f"{value:.6g}") for value in curve]
            for name, curve in self.history.to_dict().items()
        }
        return {
            "history": {**curves, "score_name": self.history.score_name},
            "command": self.command,
            "data": self.data,
            "date": self.date,
            "parts": dict(self.parts),
            **({} if self.trivial is None else {"trivial": self.trivial}),
            **({} if self.held_out is None else {"held_out": self.held_out.to_json()}),
        }

    @classmethod
    def from_json(cls, value: Any) -> TrainingRecord:
        """Return the record of `to_json`, checked."""
        curves = dict(value["history"])
        history = History(score_name=curves.pop("score_name"))
        for name, curve in curves.items():
            known = isinstance(getattr(history, name, None), list)
            if not known or not all(type(number) in (int, float) for number in curve):
                raise ValueError(f"expected curves of a training, found {name!r}")
            setattr(history, name, [float(number) for number in curve])
        command, data, date = texts = [value[name] for name in ("command", "data", "date")]
        parts = dict(value["parts"])
        if not all(isinstance(text, str) for text in (*texts, history.score_name, *parts)):
            raise ValueError("expected command, data and date of the training as texts")
        if not all(type(count) is int for count in parts.values()):
            raise ValueError(f"expected numbers of rows, found {parts!r}")
        held_out = value.get("held_out")
        return cls(
            history, command, data, date, parts, value.get("trivial"),
            None if held_out is None else HeldOut.from_json(held_out),
        )  # fmt: skip
