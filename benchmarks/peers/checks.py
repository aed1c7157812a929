"""The same numbers: nobody is timed who computes something else than the reference."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fcnn import bench
from peers.contestants.numpy import NumPyTrainer
from peers.contestants.sklearn import Sklearn
from peers.workloads import Task, flat

# ||peer - reference|| / ||reference||, of the losses and of the parameters' change. The order of
# summation makes 1e-5 (Adam: 5e-5) and 1e-13; a learning rate that is wrong by 1 % makes 4e-3.
TRAINING_TOLERANCES = {"float32": 2e-4, "float64": 1e-11}
# scikit-learn's Adam adds epsilon before the bias of the root is corrected, a variant of the
# paper's algorithm 1 with the same operations. It makes 2e-4 in the row that it takes part in.
ADAM_VARIANT_TOLERANCE = 1e-3
# Of an epoch whose numbers are checked. Small, because a batch of one row has a large gradient.
CHECKED_LR = {"sgd": 1e-3, "adam": 1e-4}
# Of the weights after a fit's first epoch; later a path of ReLU leaves the other one.
FIT_TOLERANCES = {"float32": 1e-3, "float64": 1e-9}
# Updates that a check consists of at least: from its first one Adam's constants cannot be seen.
LEAST_UPDATES = 4


def require_same(what: str, theirs: Any, expected: Any, tolerance: float) -> None:
    error = bench.distance(theirs, expected)
    if not error <= tolerance:  # so that NaN fails
        raise ArithmeticError(
            f"{what} is {error:.1e} of the norm away from the reference's, more than "
            f"{tolerance:.0e}: not timed"
        )


def trained(trainer: Any, updates: int) -> tuple[list[float], np.ndarray, float]:
    """Return the losses of some epochs, the parameters' change, and the first epoch's seconds."""
    before = np.array(trainer.parameters(), np.float64)
    began = time.perf_counter()
    losses = [trainer.epoch()]
    cold = time.perf_counter() - began
    losses += [trainer.epoch() for _ in range(updates - 1)]
    return losses, np.asarray(trainer.parameters(), np.float64) - before, cold


def check_training(peer: Any, task: Task) -> float:
    """Raise unless a peer trains as the reference does; return its first epoch's seconds."""
    return check_trainer(peer, peer.trainer, task)


def check_trainer(peer: Any, make: Callable[[Task, float], Any], task: Task) -> float:
    """Do the same with another way of a peer to train."""
    lr = CHECKED_LR[task.workload.optimizer]
    epochs = math.ceil(LEAST_UPDATES / task.workload.steps)
    expected_losses, expected, _ = trained(NumPyTrainer(task, lr), epochs)
    losses, change, cold = trained(make(task, lr), epochs)
    tolerance = TRAINING_TOLERANCES[task.network.dtype.name]
    if isinstance(peer, Sklearn) and task.workload.optimizer == "adam":
        tolerance = ADAM_VARIANT_TOLERANCE
    require_same("the loss of an epoch", losses, expected_losses, tolerance)
    require_same("the change of the parameters by an epoch", change, expected, tolerance)
    return cold


def check_prediction(call: Callable[[], Any], expected: np.ndarray) -> float:
    """Raise unless a prediction is the reference's; return the first call's seconds."""
    began = time.perf_counter()
    answer = call()
    cold = time.perf_counter() - began
    require_same("the prediction", answer, expected, bench.TOLERANCES[expected.dtype.name])
    return cold


def check_fit(mine: Any, theirs: Any, X: Any, y: Any) -> None:
    """Raise unless two estimators of scikit-learn's kind have the same weights after an epoch."""
    weights = []
    for model in (mine, theirs):
        timed = model.max_iter
        model.set_params(max_iter=1).fit(X, y).set_params(max_iter=timed)
        weights.append(flat([W.T for W in model.coefs_], model.intercepts_))
    require_same("the weights after an epoch", *weights, FIT_TOLERANCES[X.dtype.name])
