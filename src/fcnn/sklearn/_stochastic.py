"""The stochastic solvers: epochs of the core, with scikit-learn's draws and decisions."""
# scikit-learn and SciPy have no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from fcnn._validation import StepOptions
from fcnn.errors import DivergenceError
from fcnn.optimizers import SGD, Adam, AdamW, Optimizer

if TYPE_CHECKING:
    from fcnn.network import Network
    from fcnn.sklearn._monitor import Monitor
    from fcnn.sklearn._perceptron import Perceptron

Array = NDArray[Any]

NONFINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


def _sgd(estimator: Perceptron) -> tuple[Any, SGD]:
    lr, momentum = estimator.learning_rate_init, estimator.momentum
    nesterov = estimator.nesterovs_momentum and momentum > 0
    schedule = SGDOptimizer([], lr, estimator.learning_rate, momentum, nesterov, estimator.power_t)
    rule = SGD(lr, min(momentum, 0.5), nesterov)
    object.__setattr__(rule, "momentum", float(momentum))  # 1 is allowed here
    return schedule, rule


def _adam(estimator: Perceptron) -> tuple[Any, Adam]:
    lr, betas = estimator.learning_rate_init, (estimator.beta_1, estimator.beta_2)
    rule = Adam(lr, betas, max(estimator.epsilon, 1e-30))
    rule._epsilon_hat = True
    return AdamOptimizer([], lr, *betas, estimator.epsilon), rule


def _adamw(estimator: Perceptron) -> tuple[Any, AdamW]:
    schedule, adam = _adam(estimator)
    return schedule, AdamW(adam.lr, adam.betas, adam.eps, estimator.weight_decay)


# Each returns scikit-learn's object for the schedule of the learning rate, and fcnn's rule.
SOLVERS: dict[str, Callable[[Perceptron], tuple[Any, Optimizer]]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}


class Epoch(NamedTuple):
    """The updates of an epoch, to be made by whoever drives the training."""

    network: Network
    X: Any
    y: Array
    rule: Optimizer
    size: int
    order: Array
    weight: Array | None
    options: StepOptions
    seed: int
    losses: Array  # (batches, 2), written: cost and penalty of each

    def make(self, threads: int | None) -> None:
        """Make them."""
        self.network._train_epoch(
            self.X, self.y, self.rule, self.size, self.order, self.weight, threads, self.options,
            batch_losses=self.losses, seed=self.seed,
        )  # fmt: skip

    def among_many(self) -> tuple[Any, ...]:
        """Return what the core is given of it, where it makes those of several networks."""
        return (
            self.network, self.X, self.y, self.rule, self.size, self.order, self.weight,
            self.options, None, np.zeros((1, 4)), self.seed, self.losses,
        )  # fmt: skip


def train(
    estimator: Perceptron,
    X: Any,
    y: Array,
    weight: Array | None,
    incremental: bool,
    monitor: Monitor,
) -> Iterator[Epoch]:
    """Fit by stochastic gradient descent, with scikit-learn's order of draws and decisions.

    Yields each epoch; what ends it is to be thrown.
    """
    network = estimator.network_
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer, estimator._rule = SOLVERS[estimator.solver](estimator)
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    X_held = y_held = weight_held = None
    if estimator.early_stopping:
        if monitor.held_out is not None:
            X_held, y_held, weight_held = monitor.held_out
        else:
            X, X_held, y, y_held, weight, weight_held = _split(estimator, X, y, weight)
        if is_classifier(estimator):
            y_held = estimator._label_binarizer.inverse_transform(y_held)

    n_samples = X.shape[0]
    size = _batch_size(estimator, n_samples)
    constants = estimator._constants(y)
    X, y, weight = estimator._prepared(X, y, weight, estimator._label_smoothing)
    starts = np.arange(0, n_samples, size)
    lengths = np.diff(starts, append=n_samples)
    losses = np.empty((len(starts), 2))
    order = np.arange(n_samples, dtype=np.int64)
    estimator._was_interrupted = False
    try:
        estimator.n_iter_ = 0
        for _ in range(estimator.max_iter):
            if estimator.shuffle:
                # The draws of sklearn.utils.shuffle, whose checks take as long as a batch.
                drawn = np.arange(n_samples)
                estimator._random_state.shuffle(drawn)
                order = order[drawn]
            yield _epoch(estimator, X, y, weight, order, size, losses)
            batch_losses = losses[:, 0] * estimator._scale() + losses[:, 1]
            if constants is not None:
                batch_losses += _batch_means(constants, weight, order, starts)
            estimator.n_iter_ += 1
            estimator.loss_ = float(batch_losses @ lengths) / n_samples
            estimator.t_ += n_samples
            estimator.loss_curve_.append(estimator.loss_)
            if estimator.verbose:
                print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
            estimator._update_no_improvement_count(
                estimator.early_stopping, X_held, y_held, weight_held
            )
            stop = monitor.iteration_ended()
            estimator._optimizer.iteration_ends(estimator.t_)
            if estimator._no_improvement_count > estimator.n_iter_no_change:
                curve = "Validation score" if estimator.early_stopping else "Training loss"
                message = (
                    f"{curve} did not improve more than tol={estimator.tol:f} for "
                    f"{estimator.n_iter_no_change:d} consecutive epochs."
                )
                if estimator._optimizer.trigger_stopping(message, estimator.verbose):
                    break
                estimator._no_improvement_count = 0
            if isinstance(estimator._rule, SGD):
                _set_learning_rate(estimator._rule, network, estimator._optimizer.learning_rate)
            if incremental or stop:
                break
            if estimator.n_iter_ == estimator.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and "
                    "the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=6,
                )
    except KeyboardInterrupt:
        estimator._was_interrupted = True
        warnings.warn("Training interrupted by user.", stacklevel=6)
    except DivergenceError as error:
        if not estimator.early_stopping:
            raise ValueError(NONFINITE) from error
        # From here on every loss and score would be NaN: the best weights are known.
        estimator.n_iter_ += 1
        estimator.loss_ = np.nan
        estimator.loss_curve_.append(estimator.loss_)
        estimator.validation_scores_.append(np.nan)  # type: ignore[union-attr]
        warnings.warn(
            f"Stochastic Optimizer: the loss is not finite after {estimator.n_iter_} iterations; "
            "the weights are those with the best validation score.",
            ConvergenceWarning,
            stacklevel=6,
        )
    if estimator.early_stopping:
        estimator.coefs_ = estimator._best_coefs
        estimator.intercepts_ = estimator._best_intercepts


def epoch_after(epochs: Iterator[Epoch], error: BaseException | None) -> Epoch | None:
    """Say what has ended an epoch, if anything; return the next, None if there is none."""
    try:
        return next(epochs) if error is None else epochs.throw(error)  # type: ignore[attr-defined]
    except StopIteration:
        return None


def _batch_size(estimator: Perceptron, n_samples: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, n_samples)
    if estimator.batch_size > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=7,
        )
    return min(int(estimator.batch_size), n_samples)


def _split(estimator: Perceptron, X: Any, y: Array, weight: Array | None) -> tuple[Any, ...]:
    """Return training and validation part of X, y and the weights, as scikit-learn splits."""
    data = (X, y) if weight is None else (X, y, weight)
    halves = train_test_split(
        *data,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None,
    )
    if halves[1].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of "
            "your dataset."
        )
    return (*halves, None, None)[:6]


def _epoch(
    estimator: Perceptron,
    X: Any,
    y: Array,
    weight: Array | None,
    order: Array,
    size: int,
    losses: Array,
) -> Epoch:
    """Return one update per batch, which write cost and penalty of each to `losses`."""
    network = estimator.network_
    dropout = estimator._dropout(len(network.sizes) - 2)
    seed = 0 if dropout is None else int(estimator._random_state.randint(2**31))
    rates = estimator._rates(len(network.sizes) - 2)
    options = StepOptions(
        l2=estimator.alpha, clip_norm=estimator.clip_norm, dropout=dropout,
        penalty_per_sample=True, trainable=rates,
    )  # fmt: skip
    return Epoch(network, X, y, estimator._rule, size, order, weight, options, seed, losses)


def _batch_means(values: Array, weight: Array | None, order: Array, starts: Array) -> Array:
    """Return the weighted mean of the values of each batch."""
    weights = np.ones(len(values)) if weight is None else weight.astype(np.float64)
    sums = np.add.reduceat((weights * values)[order], starts)
    means: Array = sums / np.add.reduceat(weights[order], starts)
    return means


def _set_learning_rate(rule: SGD, network: Network, lr: float) -> None:
    """Change the learning rate as scikit-learn does, whose velocity has it in it."""
    if lr != rule.lr:
        for velocity in rule.state(network):
            velocity *= rule.lr / lr
        rule.lr = lr
