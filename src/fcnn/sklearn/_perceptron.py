"""The arithmetic of the estimators."""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator"

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, validate_data

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn.errors import DivergenceError
from fcnn.network import Network, _Views
from fcnn.optimizers import SGD, Adam, AdamW, Optimizer
from fcnn.trace import layer_views
from fcnn.training import History, Progress

Array = NDArray[Any]

# scikit-learn's name of an activation, and fcnn's.
_ACTIVATIONS = {
    "logistic" if name == "sigmoid" else name: name
    for name in check.ACTIVATIONS
    if name not in check.OUTPUT_ONLY
}
_STOCHASTIC = ("sgd", "adam", "adamw")

# What is dense at a time of a sparse matrix, where a batch is smaller (bytes).
_DENSE_BYTES = 4 << 20

# Of both estimators, in addition to scikit-learn's.
CONSTRAINTS: dict[str, list[Any]] = {
    "activation": [StrOptions(set(_ACTIVATIONS)), list, tuple],
    "solver": [StrOptions({"lbfgs", *_STOCHASTIC})],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "callbacks": [list, tuple, None],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
}


class Perceptron(BaseEstimator):
    """The arithmetic of the estimators: stands before scikit-learn's class among their bases."""

    network_: Network

    # --- Parameters ------------------------------------------------------------------------------

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer, shape (n_(l-1), n_l): views of ``network_.parameters``."""
        weights, _ = self._parameter_views("coefs_")
        return _Views("coefs_", (W.T for W in weights))

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        self._layers("coefs_").assign(values)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer, shape (n_l,): views of ``network_.parameters``."""
        return _Views("intercepts_", self._parameter_views("intercepts_")[1])

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        self._layers("intercepts_").assign(values)

    def _parameter_views(self, name: str) -> tuple[list[Array], list[Array]]:
        if not hasattr(self, "network_"):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r} before fit"
            )
        return layer_views(self.network_.parameters, self.network_.sizes)

    def _layers(self, name: str) -> Any:
        if not hasattr(self, "network_"):
            raise NotFittedError(f"{name}: there is no network to assign to before fit")
        return getattr(self, name)

    def _store(self, parameters: dict[str, Any]) -> None:
        """Keep the arguments of __init__, under their names."""
        self.__dict__.update({name: value for name, value in parameters.items() if name != "self"})

    def _refuse(self, name: str, expected: str, got: object) -> None:
        raise InvalidParameterError(
            f"The {name!r} parameter of {type(self).__name__} must be {expected}. Got {got!r} "
            "instead."
        )

    def _hidden_activations(self, n_hidden: int) -> list[str]:
        if isinstance(self.activation, str):
            return [self.activation] * n_hidden
        names = list(self.activation)
        if len(names) != n_hidden or not all(
            isinstance(name, str) and name in _ACTIVATIONS for name in names
        ):
            expected = f"a name or {n_hidden} of them, one for each hidden layer, among "
            self._refuse("activation", expected + ", ".join(_ACTIVATIONS), self.activation)
        return names

    def _dropout(self, n_hidden: int) -> tuple[float, ...] | None:
        """Return the probability for each of layers 0..L-1, or None."""
        try:
            return check.as_dropout(self.dropout, n_hidden + 1)
        except (TypeError, ValueError) as error:
            raise InvalidParameterError(str(error)) from None

    def _check_additions(self, n_hidden: int, incremental: bool) -> None:
        self._hidden_activations(n_hidden)
        dropout = self._dropout(n_hidden)
        if self.solver == "lbfgs" and dropout is not None:
            self._refuse("dropout", "0 with solver='lbfgs', whose loss may not vary", self.dropout)
        if self.solver == "lbfgs" and self.clip_norm is not None:
            self._refuse("clip_norm", "None with solver='lbfgs'", self.clip_norm)
        if any(not callable(one) or isinstance(one, type) for one in self.callbacks or ()):
            self._refuse("callbacks", "a list of functions, or of objects", self.callbacks)
        if incremental and self._class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit: a batch need not have "
                "every class. Give the weights of compute_class_weight('balanced', ...) as a dict."
            )

    def _threads(self) -> int | None:
        """Return n_threads; by default one where other threads or processes work beside this one.

        That is outside the main thread of the main process: in the pools of joblib (GridSearchCV),
        concurrent.futures and multiprocessing. A bare fork cannot be told from the main process.
        """
        if self.n_threads is not None:
            return int(self.n_threads)
        alone = (
            threading.current_thread() is threading.main_thread()
            and multiprocessing.parent_process() is None
        )
        return None if alone else 1

    @property
    def _class_weight(self) -> Any:
        return getattr(self, "class_weight", None)  # a regressor has none

    def _whole_class_weight(self) -> Any:
        """Return class_weight with a weight for every class: a batch need not have all of them."""
        given = self._class_weight
        if not isinstance(given, dict):
            return given
        unknown = [label for label in given if label not in self.classes_]
        if unknown:
            raise ValueError(f"class_weight has classes that are not in y: {unknown}")
        weights = list(given.values())
        if not all(isinstance(w, Real) and 0 <= float(w) < np.inf for w in weights):
            self._refuse("class_weight", "a dict of finite numbers, at least 0", given)
        whole = {**dict.fromkeys(self.classes_, 1), **given}
        if not any(whole.values()):
            self._refuse("class_weight", "a dict with a weight above 0", given)
        return whole

    def _check_solver(self) -> bool:
        return self.solver in _STOCHASTIC or super()._check_solver()

    # --- The network -----------------------------------------------------------------------------

    def _initialize(self, y: Array, layer_units: list[int], dtype: Any) -> None:
        """Set what a first call of fit starts from: the network, and empty curves."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(layer_units)
        self.out_activation_, loss = self._output()
        hidden = self._hidden_activations(len(layer_units) - 2)
        self.network_ = Network(
            layer_units,
            [_ACTIVATIONS[name] for name in hidden],
            _ACTIVATIONS.get(self.out_activation_, self.out_activation_),
            loss,
            dtype,
            init="zeros",
        )
        # X. Glorot, Y. Bengio, AISTATS 2010, with scikit-learn's factors and order of the draws.
        names = [*hidden, *(hidden[-1:] or ["identity"])]
        if isinstance(self.activation, str):
            names[-1] = self.activation
        for name, W, b in zip(names, self.coefs_, self.intercepts_, strict=True):
            bound = np.sqrt((2.0 if name == "logistic" else 6.0) / sum(W.shape))
            W[...] = self._random_state.uniform(-bound, bound, W.shape)
            b[...] = self._random_state.uniform(-bound, bound, b.shape)
        self._best_coefs = [W.copy() for W in self.coefs_]
        self._best_intercepts = [b.copy() for b in self.intercepts_]
        self.validation_loss_curve_: list[float] | None = None
        if self.solver in _STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _output(self) -> tuple[str, str]:
        """Return scikit-learn's name of the output activation, and fcnn's of the loss."""
        raise NotImplementedError

    def _targets(self, y: Array, smoothing: float = 0.0) -> Array:
        """Return what the core compares the outputs with."""
        return check.cast("y", y, self.network_.dtype)

    def _inputs(self, X: Any) -> Any:
        """Return inputs as the core takes them, or CSR, whose rows are at hand."""
        return X.tocsr() if issparse(X) else check.cast("X", X, self.network_.dtype)

    def _weights(self, weight: Array | None) -> Array | None:
        return None if weight is None else check.cast("sample_weight", weight, self.network_.dtype)

    def _parts(self, X: Any, order: Array | None = None, batch: int = 1) -> Iterator[Any]:
        """Yield (where, rows of X as a dense array): all at once, or whole batches if sparse."""
        n_samples = X.shape[0]
        if not issparse(X):
            yield slice(0, n_samples), X if order is None else X[order]
            return
        row = X.shape[1] * self.network_.dtype.itemsize
        step = max(_DENSE_BYTES // row // batch, 1) * batch
        for begin in range(0, n_samples, step):
            part = slice(begin, min(begin + step, n_samples))
            rows = X[part if order is None else order[part]]
            yield part, check.cast("X", rows.toarray(), self.network_.dtype)

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> Array:
        """Return the activations of the output layer, shape (n_samples, n_outputs)."""
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        network, threads = self.network_, self._threads()
        if not issparse(X):
            return network.predict(X, n_threads=threads)
        outputs = np.empty((X.shape[0], network.sizes[-1]), network.dtype)
        for part, rows in self._parts(X.tocsr()):
            outputs[part] = network.predict(rows, n_threads=threads)
        return outputs

    # --- Losses ----------------------------------------------------------------------------------

    def _scale(self) -> float:
        """Return what scikit-learn's loss is of the core's: one is not a sum over outputs."""
        return 1 / self.network_.sizes[-1] if self.loss == "squared_error" else 1.0

    def _constants(self, y: Array) -> Array | None:
        """Return what scikit-learn adds to the cost of each sample, and the core does not."""
        if self.loss != "poisson":
            return None
        y = y.astype(np.float64)
        constants: Array = (xlogy(y, y) - y).sum(axis=1)
        return constants

    def _pinball(self, outputs: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
        """Return the mean quantile loss, and its derivative with respect to the outputs.

        C = q (y - a) if a < y, (1 - q) (a - y) otherwise; R. Koenker, G. Bassett: Regression
        quantiles, Econometrica 46, 1978.
        """
        weight = np.ones(len(y), y.dtype) if weight is None else weight
        factor = weight / (weight.sum() or 1)
        error = outputs - y
        slope = np.where(error > 0, 1 - self.quantile, np.where(error < 0, -self.quantile, 0))
        dCda = np.ascontiguousarray(factor[:, np.newaxis] * slope, dtype=y.dtype)
        return float((dCda * error).sum(dtype=np.float64)), dCda

    def _mean_loss(self, X: Any, y: Array, weight: Array | None) -> float:
        """Return the loss without its penalty, as scikit-learn defines it."""
        threads, total, loss = self._threads(), 0.0, 0.0
        for part, rows in self._parts(X):
            some = None if weight is None else weight[part]
            share = float(len(rows) if some is None else some.sum())
            mean, outputs = self.network_.loss_and_outputs(rows, y[part], some, threads)
            if self.loss == "quantile":
                mean, _ = self._pinball(outputs, y[part], some)
            loss += share * mean
            total += share
        constants = self._constants(y)
        offset = 0.0 if constants is None else np.average(constants, weights=weight)
        return float(loss / total * self._scale() + offset)

    def _gradients(self, X: Any, y: Array, weight: Array | None) -> tuple[float, Array]:
        """Return the core's mean loss and its gradient, part by part."""
        network, threads, loss, total = self.network_, self._threads(), 0.0, 0.0
        gradient = np.zeros(network.num_parameters)
        for part, rows in self._parts(X):
            some = None if weight is None else weight[part]
            share = float(len(rows) if some is None else some.sum())
            if self.loss == "quantile":
                outputs = network.predict(rows, n_threads=threads)
                mean, dCda = self._pinball(outputs, y[part], some)
                # The squared error's derivative with respect to a is a - y, over the samples.
                pseudo = outputs - len(rows) * dCda
                _, slope = core.Network.gradients(network, rows, pseudo, None, threads)
            else:
                mean, slope = core.Network.gradients(network, rows, y[part], some, threads)
            if len(rows) == X.shape[0]:
                return mean, slope
            loss += share * mean
            gradient += share * slope
            total += share
        return loss / total, gradient / total

    # --- Training --------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: Any = None) -> Any:
        """Fit the model to data matrix X and target(s) y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or real numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
        eval_set : (X, y) or (X, y, sample_weight), default=None
            Held-out data, whose loss is kept in ``validation_loss_curve_``. With ``early_stopping``
            the score on them decides, and nothing is split off the training data.

        Returns
        -------
        self : object
        """
        return self._fit(X, y, sample_weight, incremental=False, eval_set=eval_set)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        eval_set: Any = None,
    ) -> Any:
        began = time.perf_counter()
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) for size in hidden):
            self._refuse("hidden_layer_sizes", "a sequence of int", sizes)
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        self._check_additions(len(hidden), incremental)
        first_pass = not hasattr(self, "network_") or not (self.warm_start or incremental)

        labels = y
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if self._class_weight is not None:
            weight = compute_sample_weight(self._whole_class_weight(), labels).astype(X.dtype)
            sample_weight = weight if sample_weight is None else weight * sample_weight
        if y.ndim == 1:
            y = y[:, np.newaxis]
        if not first_pass and y.shape[1] != self.network_.sizes[-1]:
            raise ValueError(
                f"y has {y.shape[1]} outputs, the network has {self.network_.sizes[-1]}"
            )
        self.n_outputs_ = y.shape[1]
        held_out = None if eval_set is None else self._validate_eval_set(eval_set)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize(y, [X.shape[1], *hidden, self.n_outputs_], X.dtype)

        monitor = _Monitor(self, held_out, began)
        if self.solver == "lbfgs":
            self._minimize(X, y, sample_weight, monitor)
        else:
            self._train(X, y, sample_weight, incremental, monitor)
        monitor.tell("on_end")
        if not core.all_finite(self.network_.parameters):
            raise ValueError(_NONFINITE)
        return self

    def _validate_eval_set(self, eval_set: Any) -> tuple[Any, Array, Array | None]:
        """Return (X, y, sample_weight), y as `_validate_input` returns it, with two dimensions."""
        if not isinstance(eval_set, (tuple, list)) or len(eval_set) not in (2, 3):
            got = type(eval_set).__name__
            raise ValueError(f"eval_set: expected (X, y) or (X, y, sample_weight), got a {got}")
        X, y, weight = (*eval_set, None)[:3]
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
            y_numeric=not is_classifier(self), dtype=(np.float64, np.float32), reset=False,
        )  # fmt: skip
        if is_classifier(self):
            unknown = np.setdiff1d(unique_labels(y), self.classes_)
            if unknown.size:
                raise ValueError(f"eval_set has classes that are not in y: {unknown}")
            y = self._label_binarizer.transform(y).astype(bool)
        if y.ndim == 1:
            y = y[:, np.newaxis]
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"eval_set has {y.shape[1]} outputs, y has {self.n_outputs_}")
        return X, y, None if weight is None else _check_sample_weight(weight, X)

    def _minimize(self, X: Any, y: Array, weight: Array | None, monitor: _Monitor) -> None:
        """Fit by L-BFGS."""
        network = self.network_
        constants = self._constants(y)
        offset = 0.0 if constants is None else float(np.average(constants, weights=weight))
        X, y = self._inputs(X), self._targets(y, getattr(self, "label_smoothing", 0.0))
        weight = self._weights(weight)
        decay = np.ones(network.num_parameters)  # of weights, not of biases
        for b in layer_views(decay, network.sizes)[1]:
            b[...] = 0
        decay *= self.alpha / (X.shape[0] if weight is None else weight.sum())

        def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
            network.parameters[:] = parameters
            loss, gradient = self._gradients(X, y, weight)
            pull = decay * parameters
            loss = loss * self._scale() + offset + 0.5 * float(pull @ parameters)
            return loss, gradient + pull

        def after_iteration(intermediate_result: Any) -> None:
            network.parameters[:] = intermediate_result.x
            self.n_iter_ += 1
            self.loss_ = intermediate_result.fun
            if monitor.iteration_ended():
                raise StopIteration

        self.n_iter_ = 0
        result = scipy.optimize.minimize(
            loss_and_gradient,
            network.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
            callback=after_iteration if monitor.wanted else None,
        )
        network.parameters[:] = result.x
        self.loss_ = result.fun
        if monitor.stopped:
            self.n_iter_ = result.nit
        else:
            self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)

    def _train(
        self, X: Any, y: Array, weight: Array | None, incremental: bool, monitor: _Monitor
    ) -> None:
        """Fit by stochastic gradient descent, with scikit-learn's order of draws and decisions."""
        network = self.network_
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer, self._rule = self._new_optimizer()
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        X_held = y_held = weight_held = None
        if self.early_stopping:
            if monitor.held_out is not None:
                X_held, y_held, weight_held = monitor.held_out
            else:
                X, X_held, y, y_held, weight, weight_held = self._split(X, y, weight)
            if is_classifier(self):
                y_held = self._label_binarizer.inverse_transform(y_held)

        n_samples = X.shape[0]
        size = min(200, n_samples)
        if self.batch_size != "auto":
            if self.batch_size > n_samples:
                warnings.warn(
                    "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                    "clipped",
                    stacklevel=5,
                )
            size = min(int(self.batch_size), n_samples)
        constants = self._constants(y)
        X, y = self._inputs(X), self._targets(y, getattr(self, "label_smoothing", 0.0))
        weight = self._weights(weight)
        starts = np.arange(0, n_samples, size)
        lengths = np.diff(starts, append=n_samples)
        losses = np.empty((len(starts), 2))
        order = np.arange(n_samples, dtype=np.int64)
        try:
            self.n_iter_ = 0
            for _ in range(self.max_iter):
                if self.shuffle:
                    # The draws of sklearn.utils.shuffle, whose checks take as long as a batch.
                    drawn = np.arange(n_samples)
                    self._random_state.shuffle(drawn)
                    order = order[drawn]
                self._epoch(X, y, weight, order, size, losses)
                batch_losses = losses[:, 0] * self._scale() + losses[:, 1]
                if constants is not None:
                    batch_losses += _batch_means(constants, weight, order, starts)
                self.n_iter_ += 1
                self.loss_ = float(batch_losses @ lengths) / n_samples
                self.t_ += n_samples
                self.loss_curve_.append(self.loss_)
                if self.verbose:
                    print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                self._update_no_improvement_count(self.early_stopping, X_held, y_held, weight_held)
                stop = monitor.iteration_ended()
                self._optimizer.iteration_ends(self.t_)
                if self._no_improvement_count > self.n_iter_no_change:
                    curve = "Validation score" if self.early_stopping else "Training loss"
                    message = (
                        f"{curve} did not improve more than tol={self.tol:f} for "
                        f"{self.n_iter_no_change:d} consecutive epochs."
                    )
                    if self._optimizer.trigger_stopping(message, self.verbose):
                        break
                    self._no_improvement_count = 0
                if isinstance(self._rule, SGD):
                    _set_learning_rate(self._rule, network, self._optimizer.learning_rate)
                if incremental or stop:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and "
                        "the optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=5,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        except DivergenceError as error:
            if not self.early_stopping:
                raise ValueError(_NONFINITE) from error
            # From here on every loss and score would be NaN: the best weights are known.
            self.n_iter_ += 1
            self.loss_ = np.nan
            self.loss_curve_.append(self.loss_)
            self.validation_scores_.append(np.nan)  # type: ignore[union-attr]
            warnings.warn(
                f"Stochastic Optimizer: the loss is not finite after {self.n_iter_} iterations; "
                "the weights are those with the best validation score.",
                ConvergenceWarning,
                stacklevel=5,
            )
        if self.early_stopping:
            self.coefs_ = self._best_coefs
            self.intercepts_ = self._best_intercepts

    def _new_optimizer(self) -> tuple[Any, Optimizer]:
        """Return scikit-learn's object for the schedule of the learning rate, and fcnn's rule."""
        lr = self.learning_rate_init
        if self.solver == "sgd":
            nesterov = self.nesterovs_momentum and self.momentum > 0
            schedule = SGDOptimizer(
                [], lr, self.learning_rate, self.momentum, nesterov, self.power_t
            )
            rule = SGD(lr, min(self.momentum, 0.5), nesterov)
            object.__setattr__(rule, "momentum", float(self.momentum))  # 1 is allowed here
            return schedule, rule
        schedule = AdamOptimizer([], lr, self.beta_1, self.beta_2, self.epsilon)
        betas, eps = (self.beta_1, self.beta_2), max(self.epsilon, 1e-30)
        if self.solver == "adamw":
            return schedule, AdamW(lr, betas, eps, self.weight_decay)
        adam = Adam(lr, betas, eps)
        adam._epsilon_hat = True
        return schedule, adam

    def _split(self, X: Any, y: Array, weight: Array | None) -> tuple[Any, ...]:
        """Return training and validation part of X, y and the weights, as scikit-learn splits."""
        data = (X, y) if weight is None else (X, y, weight)
        parts = train_test_split(
            *data,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=y if is_classifier(self) and self.n_outputs_ == 1 else None,
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        return (*parts, None, None)[:6]

    def _epoch(
        self, X: Any, y: Array, weight: Array | None, order: Array, size: int, losses: Array
    ) -> None:
        """Make one update per batch; write cost and penalty of each to `losses`."""
        network, rule, threads = self.network_, self._rule, self._threads()
        dropout = self._dropout(len(network.sizes) - 2)
        options: dict[str, Any] = {"clip_norm": self.clip_norm, "dropout": dropout}
        if dropout is not None:
            options["seed"] = int(self._random_state.randint(2**31))
        if self.loss == "quantile":
            for i, begin in enumerate(range(0, len(order), size)):
                self._quantile_step(X, y, weight, order[begin : begin + size], losses[i], options)
                options["seed"] = options.get("seed", 0) + 1
            return
        options |= {"l2": self.alpha, "penalty_per_sample": True}
        if not issparse(X):
            network.train_epoch(
                X, y, rule, size, order, weight, threads, batch_losses=losses, **options
            )
            return
        for part, rows in self._parts(X, order, size):
            chosen = order[part]
            some = None if weight is None else weight[chosen]
            some_losses = losses[part.start // size : -(-part.stop // size)]
            network.train_epoch(
                rows, y[chosen], rule, size, None, some, threads,
                batch_losses=some_losses, **options,
            )  # fmt: skip
            options["seed"] = options.get("seed", 0) + 1

    def _quantile_step(
        self,
        X: Any,
        y: Array,
        weight: Array | None,
        rows: Array,
        losses: Array,
        options: dict[str, Any],
    ) -> None:
        """Make the update of one batch with a loss that the core does not know."""
        network, threads = self.network_, self._threads()
        inputs = X[rows]
        if issparse(inputs):
            inputs = check.cast("X", inputs.toarray(), network.dtype)
        some = None if weight is None else weight[rows]
        l2 = self.alpha / (len(rows) if some is None else float(some.sum()) or 1)
        masks = {key: options[key] for key in ("dropout", "seed") if key in options}
        outputs = network.outputs(inputs, threads, **masks)
        losses[0], dCda = self._pinball(outputs, y[rows], some)
        losses[1] = l2 / 2 * sum(np.vdot(W, W) for W in self.coefs_)
        network.train_given(inputs, dCda, self._rule, threads, l2=l2, **options)


_NONFINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class _Progress(Progress):
    """What a callback is given after each iteration."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network: an estimator's training cannot be resumed from a file."""
        self.network.save(path)


class _Monitor:
    """What is done after each iteration: validation loss, callbacks, the limit of time."""

    def __init__(self, estimator: Any, held_out: Any, began: float) -> None:
        self.estimator, self.held_out = estimator, held_out
        self.began = self.ended = began
        self.history = History()
        self.callbacks = list(estimator.callbacks or ())
        self.stopped = False
        self.wanted = held_out is not None or self.callbacks or estimator.max_time is not None
        self.curves: tuple[str, ...] = ("loss",)
        if held_out is not None:
            X, y, weight = held_out
            self.X, self.y = estimator._inputs(X), estimator._targets(y)
            self.weight = estimator._weights(weight)
            self.curves += ("validation_loss",)
            if estimator.validation_loss_curve_ is None:
                estimator.validation_loss_curve_ = []
        if estimator.early_stopping and estimator.solver != "lbfgs":
            self.curves += ("validation_score",)
        self.tell("on_begin")

    def tell(self, method: str) -> list[Any]:
        """Call a method of the callbacks that have it; return the answers."""
        estimator = self.estimator
        progress = _Progress(
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
            loss = estimator._mean_loss(self.X, self.y, self.weight)
            estimator.validation_loss_curve_.append(loss)
            history.validation_loss.append(loss)
            if estimator.verbose:
                print(f"Validation loss: {loss:.8f}")
        if "validation_score" in self.curves:
            history.score_name = "accuracy" if is_classifier(estimator) else "r2"
            history.validation_score.append(estimator.validation_scores_[-1])
        answers = self.tell("__call__")
        self.stopped = any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers)
        self.ended = time.perf_counter()
        if estimator.max_time is not None and self.ended - self.began > estimator.max_time:
            self.stopped = True
            warnings.warn(
                f"Maximum time ({estimator.max_time} s) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=6,
            )
        return self.stopped


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
