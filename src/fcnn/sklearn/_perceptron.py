"""What both estimators do beside their own labels and losses: parameters, network, data, fit."""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator"

from __future__ import annotations

import abc
import inspect
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_sample_weight, validate_data

from fcnn import _validation as check
from fcnn._architecture import as_activation
from fcnn._dispatch import core
from fcnn._views import Views, layer_views
from fcnn.ensemble import Ensemble
from fcnn.errors import DivergenceError
from fcnn.network import Network
from fcnn.sklearn._ensemble import fit_each, refuse_another_number
from fcnn.sklearn._lbfgs import minimize
from fcnn.sklearn._losses import Loss
from fcnn.sklearn._monitor import Monitor
from fcnn.sklearn._stochastic import NONFINITE, SOLVERS, Epoch, epoch_after, train

Array = NDArray[Any]


def _name(activation: str) -> str:
    """Return scikit-learn's name of an activation."""
    return "logistic" if activation == "sigmoid" else activation


# scikit-learn's name of an activation of the hidden layers, and fcnn's.
ACTIVATIONS = {_name(name): name for name in check.HIDDEN_ACTIVATIONS}


class ActivationOptions(StrOptions):
    """The names of ACTIVATIONS, some with a number behind them: leaky_relu(0.2)."""

    def __init__(self) -> None:
        super().__init__(set(ACTIVATIONS))

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether it is one of the names, by sklearn's spelling, and its number fits."""
        if not isinstance(val, str) or val.partition("(")[0] not in self.options:
            return False
        try:
            return "(" not in val or bool(as_activation("activation", val, [*ACTIVATIONS]))
        except ValueError:
            return False

    def __str__(self) -> str:
        with_number = check.listed([f"{name}(number)" for name in core.ACTIVATION_CONSTANTS])
        return f"{super().__str__()}, or {with_number} with a number of at least 0"


class Number(Interval):
    """As scikit-learn's, but True is no number."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether it is a number of the interval."""
        return not isinstance(val, (bool, np.bool_)) and bool(super().is_satisfied_by(val))


# Of both estimators, in addition to scikit-learn's.
CONSTRAINTS: dict[str, list[Any]] = {
    "activation": [ActivationOptions(), list, tuple],
    "solver": [StrOptions({"lbfgs", *SOLVERS})],
    "dropout": [Number(Real, 0, 1, closed="left"), list, tuple],
    "weight_decay": [Number(Real, 0, None, closed="left")],
    "clip_norm": [Number(Real, 0, None, closed="neither"), None],
    "trainable": [dict, None],
    "callbacks": [list, tuple, None],
    "max_time": [Number(Real, 0, None, closed="neither"), None],
    "n_threads": [Number(Integral, 1, None, closed="left"), None],
    "n_networks": [Number(Integral, 1, None, closed="left")],
}


class Perceptron(BaseEstimator, abc.ABC):
    """The arithmetic of the estimators: stands before scikit-learn's class among their bases."""

    network_: Network

    # --- Parameters ------------------------------------------------------------------------------

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer, shape (n_(l-1), n_l): views of ``network_.parameters``."""
        weights, _ = self._parameter_views("coefs_")
        return Views("coefs_", (W.T for W in weights))

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        self._layers("coefs_").assign(values)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer, shape (n_l,): views of ``network_.parameters``."""
        return Views("intercepts_", self._parameter_views("intercepts_")[1])

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        self._layers("intercepts_").assign(values)

    def _parameter_views(self, name: str) -> tuple[list[Array], list[Array]]:
        if not hasattr(self, "network_"):
            why = " before fit"
            if hasattr(self, "estimators_"):
                why = ": it is an ensemble, and each of its estimators_ has one"
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{why}")
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

    def _is_given(self, name: str) -> bool:
        """Return whether a parameter has another value than its default."""
        named = inspect.signature(type(self).__init__).parameters.get(name)
        return named is not None and bool(getattr(self, name) != named.default)

    def _hidden_activations(self, n_hidden: int) -> list[str]:
        if isinstance(self.activation, str):
            return [self.activation] * n_hidden
        names = list(self.activation)
        if len(names) != n_hidden or not all(
            ActivationOptions().is_satisfied_by(name) for name in names
        ):
            expected = f"a name or {n_hidden} of them, one for each hidden layer, among "
            self._refuse("activation", expected + ", ".join(ACTIVATIONS), self.activation)
        return names

    def _dropout(self, n_hidden: int) -> tuple[float, ...] | None:
        """Return the probability for each of layers 0..L-1, or None."""
        try:
            return check.as_dropout(self.dropout, n_hidden + 1)
        except (TypeError, ValueError) as error:
            raise InvalidParameterError(str(error)) from None

    def _rates(self, n_hidden: int) -> tuple[float, ...] | None:
        """Return the rates of each layer's weights and biases, or None."""
        try:
            return check.as_trainable(self.trainable, n_hidden + 1)
        except (TypeError, ValueError) as error:
            raise InvalidParameterError(str(error)) from None

    def _check_additions(self, n_hidden: int, incremental: bool) -> None:
        self._hidden_activations(n_hidden)
        dropout = self._dropout(n_hidden)
        if self._rates(n_hidden) is not None and self.solver == "lbfgs":
            self._refuse("trainable", "None with solver='lbfgs'", self.trainable)
        if self.solver == "lbfgs" and dropout is not None:
            self._refuse("dropout", "0 with solver='lbfgs', whose loss may not vary", self.dropout)
        if self.solver == "lbfgs" and self.clip_norm is not None:
            self._refuse("clip_norm", "None with solver='lbfgs'", self.clip_norm)
        if self.solver != "adamw" and self._is_given("weight_decay"):
            expected = f"left out with solver={self.solver!r}; alpha decays weights with any solver"
            self._refuse("weight_decay", expected, self.weight_decay)
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

    @property
    def _label_smoothing(self) -> float:
        return getattr(self, "label_smoothing", 0.0)  # a regressor has none

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
        return self.solver in SOLVERS or super()._check_solver()

    # --- The network -----------------------------------------------------------------------------

    def _initialize(self, y: Array, layer_units: list[int], dtype: Any) -> None:
        """Set what a first call of fit starts from: the network, and empty curves."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(layer_units)
        hidden = self._hidden_activations(len(layer_units) - 2)
        self.network_ = Network(
            layer_units,
            [ACTIVATIONS.get(name, name) for name in hidden],
            None,  # the loss's natural one, which is scikit-learn's
            self._loss().core,
            dtype,
            init="zeros",
        )
        self.out_activation_ = _name(self.network_.activations[-1])
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
        if self.solver in SOLVERS:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _adopt_loss(self) -> None:
        """Go on with the parameters there are and the loss that is asked for now."""
        network, loss = self.network_, self._loss().core
        if network.loss == loss:
            return
        hidden, output = network.activations[:-1], network.activations[-1]
        try:
            self.network_ = Network(
                network.sizes, hidden, output, loss, network.dtype, init="zeros"
            )
        except ValueError as error:
            raise ValueError(
                f"loss: the fitted network cannot go on with another: {error}"
            ) from None
        self.network_.parameters[:] = network.parameters

    def _targets(self, y: Array, smoothing: float) -> Array:
        """Return what the core compares the outputs with."""
        return check.cast("y", y, self.network_.dtype)

    def _prepared(
        self, X: Any, y: Array, weight: Array | None, smoothing: float = 0.0
    ) -> tuple[Any, Array, Array | None]:
        """Return samples, targets and sample weights as the core takes them."""
        dtype = self.network_.dtype
        if weight is not None:
            weight = check.cast("sample_weight", weight, dtype)
        return (
            check.as_any_inputs("X", X, self.network_.sizes[0], dtype),
            self._targets(y, smoothing),
            weight,
        )

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> Array:
        """Return the activations of the output layer, shape (n_samples, n_outputs)."""
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._predictor.predict(X, n_threads=self._threads())

    @property
    def _predictor(self) -> Network | Ensemble:
        """What answers: the network, or all of them."""
        return self.ensemble_ if hasattr(self, "estimators_") else self.network_

    @property
    def ensemble_(self) -> Ensemble:
        """The networks of an ensemble's estimators."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'ensemble_' before fit with "
                "n_networks of at least 2"
            )
        return Ensemble([one.network_ for one in self.estimators_])

    @property
    def _a_network(self) -> Network:
        """The network, or of an ensemble the first: what all of them have in common."""
        return self.estimators_[0].network_ if hasattr(self, "estimators_") else self.network_

    def _mean_and_std(self, X: Any) -> tuple[Array, Array]:
        """Return outputs of an ensemble and their standard deviations."""
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        ensemble, threads = self.ensemble_, self._threads()
        return ensemble.predict(X, threads), ensemble.std(X, threads)

    # --- The loss --------------------------------------------------------------------------------

    @abc.abstractmethod
    def _loss(self) -> Loss:
        """Return what the loss is of the core's."""

    def _scale(self) -> float:
        """Return what scikit-learn's loss is of the core's: one is not a sum over outputs."""
        return 1 / self.network_.sizes[-1] if self._loss().averaged else 1.0

    def _constants(self, y: Array) -> Array | None:
        """Return what scikit-learn adds to the cost of each sample, and the core does not."""
        constants = self._loss().constants
        return None if constants is None else constants(y)

    def _mean_constant(self, y: Array, weight: Array | None) -> float:
        constants = self._constants(y)
        return 0.0 if constants is None else float(np.average(constants, weights=weight))

    def _mean_loss(self, X: Any, y: Array, weight: Array | None) -> float:
        """Return the loss without its penalty, as scikit-learn defines it."""
        mean, _ = self.network_._loss_and_outputs(X, y, weight, self._threads())
        return float(mean * self._scale() + self._mean_constant(y, weight))

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
        refuse_another_number(self, incremental or self.warm_start)
        if self.n_networks > 1:
            return fit_each(self, X, y, sample_weight, incremental, eval_set)
        self.__dict__.pop("estimators_", None)
        epochs = self._epochs(X, y, sample_weight, incremental, eval_set)
        epoch = next(epochs, None)
        while epoch is not None:
            try:
                epoch.make(self._threads())
            except (DivergenceError, KeyboardInterrupt) as error:
                epoch = epoch_after(epochs, error)
            else:
                epoch = next(epochs, None)
        return self

    def _epochs(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, eval_set: Any
    ) -> Iterator[Epoch]:
        """Fit one network; yield each epoch of a stochastic solver, which is to be made then."""
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
        if not first_pass:
            self._adopt_loss()
            if y.shape[1] != self.network_.num_targets:
                raise ValueError(
                    f"y has {y.shape[1]} outputs, the network has {self.network_.num_targets}"
                )
        self.n_outputs_ = y.shape[1]
        held_out = None if eval_set is None else self._validate_eval_set(eval_set)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            n_out = self.n_outputs_ * core.outputs_per_target(self._loss().core)
            self._initialize(y, [X.shape[1], *hidden, n_out], X.dtype)

        stochastic = self.solver in SOLVERS
        monitor = Monitor(self, held_out, began, scored=stochastic and self.early_stopping)
        if stochastic:
            yield from train(self, X, y, sample_weight, incremental, monitor)
        else:  # "lbfgs": what else is given is refused before
            minimize(self, X, y, sample_weight, monitor)
        monitor.tell("on_end")
        if not core.all_finite(self.network_.parameters):
            raise ValueError(NONFINITE)
        self.network_.features = getattr(self, "feature_names_in_", None)
        self.network_.classes = getattr(self, "classes_", None)
        if not incremental:
            self.network_.free_workspace()  # a search keeps fitted estimators by the hundred

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
