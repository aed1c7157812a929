"""scikit-learn's multi-layer perceptrons, computed by fcnn: one import line to change.

The classes are scikit-learn's own, with the arithmetic replaced: parameters, validation, labels,
the stopping rule and the prediction methods are inherited; an epoch and a prediction on dense data
are each one call of the core. With the same ``random_state`` the draws come in the same order, so
that weights, curves and predictions are scikit-learn's to rounding. See ``docs/sklearn.md``.

From scikit-learn's private side this builds on the hooks between its public methods and its
arithmetic (`_fit`, `_validate_input`, `_forward_pass_fast`, `_initialize`, `_score`,
`_update_no_improvement_count`, `_check_solver`) and on its learning-rate schedules.
"""
# scikit-learn has no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

try:
    import sklearn.neural_network
except ImportError as error:
    raise ImportError("fcnn.sklearn needs scikit-learn: pip install 'fcnn[sklearn]'") from error
if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
    raise ImportError(f"fcnn.sklearn needs scikit-learn 1.9 or newer, got {sklearn.__version__}")
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from fcnn._architecture import with_levels
from fcnn._dispatch import core
from fcnn._validation import TARGETS
from fcnn.metrics import d2_quantile
from fcnn.names import EstimatorActivation, EstimatorLoss, LearningRate, Solver
from fcnn.sklearn._losses import CLASSIFICATION, REGRESSION, Loss
from fcnn.sklearn._perceptron import CONSTRAINTS, Array, Number, Perceptron

__all__ = ["MLPClassifier", "MLPRegressor", "register_onnx"]


def __dir__() -> list[str]:
    return __all__


class MLPClassifier(Perceptron, sklearn.neural_network.MLPClassifier):
    """scikit-learn's multi-layer perceptron classifier, several times faster.

    Parameters, attributes and methods are those of
    :class:`sklearn.neural_network.MLPClassifier`, and with the same ``random_state`` the results
    are the same to rounding. What follows is in addition; left out, nothing differs.

    Parameters
    ----------
    activation : str or list of str, default="relu"
        Also leaky_relu, elu, gelu, silu and softplus, and leaky_relu(0.2) and elu(0.5) with another
        slope and alpha; a list has one name for each hidden layer.
    solver : {"lbfgs", "sgd", "adam", "adamw"}, default="adam"
        "adamw" is Adam with decoupled weight decay. The penalty of ``alpha`` applies to every
        solver; ``alpha=0`` leaves the decay alone.
    dropout : float or list of float, default=0.0
        Probability that a node of the hidden layers is dropped in an update; a list has one number
        for the inputs and each hidden layer. Not with "lbfgs".
    label_smoothing : float, default=0.0
        Training targets become (1 - e) y + e / K, with K the number of classes, 2 for an output of
        its own (binary and multi-label).
    class_weight : dict, list of dict, "balanced" or None, default=None
        As in scikit-learn's other classifiers: multiplies the sample weights.
    weight_decay : float, default=0.01
        Of the solver "adamw" alone, for weights and biases.
    clip_norm : float or None, default=None
        A gradient longer than this, over all parameters, is scaled down to it. Not with "lbfgs".
    trainable : dict or None, default=None
        Which layers move, and how fast: ``{1: False, 2: 0.1}`` keeps the first as it is and trains
        the second with a tenth of the learning rate; see `fcnn.Network.fit`. With ``warm_start`` or
        `partial_fit` it fine-tunes a network. Not with "lbfgs".
    callbacks : list of callable or None, default=None
        Each is called after each iteration with a `fcnn.history.Progress`; one that returns True
        ends the training.
    max_time : float or None, default=None
        Seconds after which the training ends with the iteration at hand and a ConvergenceWarning.
    n_threads : int or None, default=None
        At most so many threads. None takes as many as gain in the main thread of the main process
        (`fcnn.set_num_threads`), and one in the workers of a pool of threads or processes.
    n_networks : int, default=1
        From 2 on an ensemble: so many networks, each fitted as one is, from a ``random_state`` of
        its own that is drawn from this one. Predictions are those of their mean, see
        `fcnn.Ensemble`; ``max_time`` is for all together.

    Attributes
    ----------
    network_ : fcnn.Network
        Whose ``parameters`` ``coefs_`` and ``intercepts_`` are views of. None of the three is there
        in an ensemble.
    estimators_ : list
        Of an ensemble, the fitted estimator of each network; the estimator's own curves and counts
        are those of the first.
    ensemble_ : fcnn.Ensemble
        The networks of these.
    validation_loss_curve_ : list of float or None
        Loss on the ``eval_set`` of `fit` after each iteration, without the penalty.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **sklearn.neural_network.MLPClassifier._parameter_constraints,
        **CONSTRAINTS,
        "label_smoothing": [Number(Real, 0, 1, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: EstimatorActivation | Sequence[EstimatorActivation] = "relu",
        *,
        solver: Solver = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: LearningRate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float]
        | Sequence[Mapping[Any, float]]
        | Literal["balanced"]
        | None = None,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        trainable: dict[Any, float] | None = None,
        callbacks: Sequence[Any] | None = None,
        max_time: float | None = None,
        n_threads: int | None = None,
        n_networks: int = 1,
    ) -> None:
        self._store(locals())
        self.loss = "log_loss"

    def _loss(self) -> Loss:
        return CLASSIFICATION[self._label_binarizer.y_type_]

    _score_name = "accuracy"

    def _targets(self, y: Array, smoothing: float) -> Array:
        targets = TARGETS[self.network_.loss]
        if targets == "classes" and not smoothing:
            return y.argmax(axis=1).astype("int64")
        rows: Array = y.astype(self.network_.dtype, order="C")  # a frame's columns may be in a row
        if not smoothing:
            return rows
        classes = {"classes": y.shape[1], "probabilities": 2}[targets]
        return rows * (1 - smoothing) + smoothing / classes


class MLPRegressor(Perceptron, sklearn.neural_network.MLPRegressor):
    """scikit-learn's multi-layer perceptron regressor, several times faster.

    Parameters, attributes and methods are those of
    :class:`sklearn.neural_network.MLPRegressor`, and with the same ``random_state`` the results
    are the same to rounding. What follows is in addition; left out, nothing differs.

    Parameters
    ----------
    loss : str, default="squared_error"
        Also, of an output a and its target y, and summed over outputs:

        - absolute_error: abs(a - y)
        - huber: (a - y)^2 / 2 up to an error of 1, abs(a - y) - 1/2 beyond
        - quantile: ``quantile`` (y - a) if a < y, (1 - ``quantile``) (a - y) otherwise
        - gaussian_nll: (s + (a - y)^2 e^-s) / 2, with s the logarithm of the variance, which the
          network has outputs for, too
    activation : str or list of str, default="relu"
        Also leaky_relu, elu, gelu, silu and softplus, and leaky_relu(0.2) and elu(0.5) with another
        slope and alpha; a list has one name for each hidden layer.
    solver : {"lbfgs", "sgd", "adam", "adamw"}, default="adam"
        "adamw" is Adam with decoupled weight decay. The penalty of ``alpha`` applies to every
        solver; ``alpha=0`` leaves the decay alone.
    quantile : float, default=0.5
        Of the loss "quantile", between 0 and 1.
    quantiles : list of float or None, default=None
        Several of them in one network, in ascending order, in place of ``quantile``: its
        predictions never cross.
    dropout, weight_decay, clip_norm, trainable, callbacks, max_time, n_threads, n_networks
        As for `MLPClassifier`.

    Attributes
    ----------
    network_, estimators_, ensemble_, validation_loss_curve_
        As for `MLPClassifier`.
    quantiles_ : tuple of float or None
        The ``quantiles`` of the fit.
    """

    quantiles_: tuple[float, ...] | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **sklearn.neural_network.MLPRegressor._parameter_constraints,
        **CONSTRAINTS,
        "loss": [StrOptions(set(REGRESSION))],
        "quantile": [Number(Real, 0, 1, closed="neither")],
        "quantiles": ["array-like", None],
    }

    def __init__(
        self,
        loss: EstimatorLoss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: EstimatorActivation | Sequence[EstimatorActivation] = "relu",
        *,
        solver: Solver = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: LearningRate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        quantile: float = 0.5,
        quantiles: Sequence[float] | None = None,
        dropout: float | Sequence[float] = 0.0,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        trainable: dict[Any, float] | None = None,
        callbacks: Sequence[Any] | None = None,
        max_time: float | None = None,
        n_threads: int | None = None,
        n_networks: int = 1,
    ) -> None:
        self._store(locals())

    def _loss(self) -> Loss:
        found = REGRESSION[self.loss]
        if self.loss != "quantile":
            return found
        levels = (self.quantile,) if self.quantiles is None else self.quantiles
        return found._replace(core=with_levels("", "quantile", [*map(float, levels)], levels))

    def _check_additions(self, n_hidden: int, incremental: bool) -> None:
        super()._check_additions(n_hidden, incremental)
        if self._is_given("quantile") and self.loss != "quantile":
            self._refuse("quantile", f"left out with loss={self.loss!r}", self.quantile)
        if self._is_given("quantile") and self.quantiles is not None:
            self._refuse("quantile", "left out with quantiles", self.quantile)
        if self.quantiles is None:
            return
        if self.loss != "quantile":
            self._refuse("quantiles", f"None with loss={self.loss!r}", self.quantiles)
        try:
            self._loss()
        except (TypeError, ValueError):
            self._refuse("quantiles", "numbers between 0 and 1 in ascending order", self.quantiles)

    def _initialize(self, y: Array, layer_units: list[int], dtype: Any) -> None:
        super()._initialize(y, layer_units, dtype)
        self._keep_quantiles()

    def _adopt_loss(self) -> None:
        super()._adopt_loss()
        self._keep_quantiles()

    def _keep_quantiles(self) -> None:
        self.quantiles_ = None if self.quantiles is None else tuple(map(float, self.quantiles))

    @property
    def _score_name(self) -> str:
        return "d2" if self._levels else "r2"

    @property
    def _levels(self) -> tuple[float, ...]:
        """The levels of a network of quantiles."""
        return core.split_loss(self._a_network.loss)[1]

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict using the multi-layer perceptron model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        return_std : bool, default=False
            Return the standard deviations, too: with ``n_networks`` from 2 on those of the answers
            of all networks, and with the loss "gaussian_nll" the predicted ones, of an ensemble
            those of the mixture: see `fcnn.Ensemble.std`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted values. With ``quantiles`` these are the last dimension, in their order.
        std : ndarray of the same shape
            With ``return_std``.
        """
        check_is_fitted(self)
        is_normal = self._a_network.loss == "gaussian_nll"
        if return_std and not is_normal and not hasattr(self, "estimators_"):
            raise ValueError(
                "return_std: one network has standard deviations with the loss 'gaussian_nll' "
                f"alone, got {self._a_network.loss!r}; several have, with n_networks"
            )
        if not return_std:
            return self._answers(self._forward_pass_fast(X))
        m = self.n_outputs_
        if hasattr(self, "estimators_"):
            outputs, std = self._mean_and_std(X)
            std = std if is_normal else self._answers(std)
        else:
            outputs = self._forward_pass_fast(X)
            std = np.exp(outputs[:, m:] / 2)
        return self._answers(outputs), std[:, 0] if is_normal and m == 1 else std

    def _predict(self, X: Any, check_input: bool = True) -> Array:
        return self._answers(self._forward_pass_fast(X, check_input))

    def _answers(self, outputs: Array) -> Array:
        """Return what is predicted, of the outputs of the network."""
        m = self._a_network.num_targets
        if self.quantiles_ is None:
            return outputs[:, 0] if m == 1 else outputs[:, :m]
        several = outputs.reshape(len(outputs), -1, m).transpose(0, 2, 1)
        answers: Array = several[:, 0] if m == 1 else several
        return answers

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on test data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
            R^2; of the loss "quantile" D^2, 1 - (quantile loss / that of the best constants), as
            `fcnn.metrics.d2_quantile` has it.
        """
        check_is_fitted(self)
        if not self._levels:
            return float(super().score(X, y, sample_weight))
        return self._d2(self._forward_pass_fast(X), y, sample_weight)

    def _score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        if not self._levels:
            return float(super()._score(X, y, sample_weight))
        return self._d2(self._forward_pass_fast(X, check_input=False), y, sample_weight)

    def _d2(self, outputs: Array, y: Any, sample_weight: Any) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        y = check_array(y, ensure_2d=False).reshape(len(outputs), -1)
        weight = None if sample_weight is None else np.asarray(sample_weight)
        return d2_quantile(outputs, y, self._levels, weight)


def register_onnx() -> None:
    """Have skl2onnx convert the estimators of `fcnn.sklearn`, alone and in pipelines.

    Once before ``skl2onnx.to_onnx`` or ``convert_sklearn``; a second call changes nothing. The
    network is computed in its own dtype, that of the data of the fit, whatever the type of the
    ONNX model's inputs, but for activations that ONNX Runtime has for float32 alone: leaky_relu,
    elu, gelu and softplus. Probabilities and predictions are float64 for inputs of doubles, unless
    a ZipMap takes them, else float32. Labels are integers (also of boolean and whole float classes)
    or texts, those of several at once an array of 0 and 1. The options ``zipmap``,
    ``output_class_labels`` and ``nocl`` are those of skl2onnx's own classifiers.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    from fcnn.sklearn._onnx import register

    register(MLPClassifier, MLPRegressor)
