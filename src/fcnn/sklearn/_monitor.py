"""What is done after each iteration: validation loss, callbacks, the limit of time."""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fcnn.history import History, Progress

if TYPE_CHECKING:
    from fcnn.sklearn._perceptron import Perceptron


class EstimatorProgress(Progress):
    """What a callback is given after each iteration."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network: an estimator's training cannot be resumed from a file."""
        self.network.save(path)


class Monitor:
    """What is done after each iteration, and its history; `scored`: early stopping has scores."""

    def __init__(self, estimator: Perceptron, held_out: Any, began: float, scored: bool) -> None:
        self.estimator, self.held_out = estimator, held_out
        self.began = self.ended = began
        self.history = History()
        self.callbacks = list(estimator.callbacks or ())
        self.stopped = False
        self.wanted = held_out is not None or self.callbacks or estimator.max_time is not None
        self.curves: tuple[str, ...] = ("loss",)
        if held_out is not None:
            self.prepared = estimator._prepared(*held_out)
            self.curves += ("validation_loss",)
            if estimator.validation_loss_curve_ is None:
                estimator.validation_loss_curve_ = []
        if scored:
            self.curves += ("validation_score",)
        self.tell("on_begin")

    def tell(self, method: str) -> list[Any]:
        """Call a method of the callbacks that have it; return the answers."""
        estimator = self.estimator
        progress = EstimatorProgress(
            estimator.network_,
            getattr(estimator, "_rule", None),  # type: ignore[arg-type]
            self.history,
            len(self.history.loss),
            estimator.max_iter,
            self.curves,
        )
        return [getattr(c, method)(progress) for c in self.callbacks if hasattr(c, method)]

    def iteration_ended(self) -> bool:
        """Return whether the training is to stop."""
        if not self.wanted:
            return False
        estimator, history = self.estimator, self.history
        history.loss.append(estimator.loss_)
        history.seconds.append(time.perf_counter() - self.ended)
        if self.held_out is not None:
            loss = estimator._mean_loss(*self.prepared)
            estimator.validation_loss_curve_.append(loss)  # type: ignore[union-attr]
            history.validation_loss.append(loss)
            if estimator.verbose:
                print(f"Validation loss: {loss:.8f}")
        if "validation_score" in self.curves:
            history.score_name = estimator._score_name
            history.validation_score.append(estimator.validation_scores_[-1])  # type: ignore[index]
        answers = self.tell("__call__")
        self.stopped = any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers)
        self.ended = time.perf_counter()
        if estimator.max_time is not None and self.ended - self.began > estimator.max_time:
            self.stopped = True
            warnings.warn(
                f"Maximum time ({estimator.max_time} s) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=7,
            )
        return self.stopped
