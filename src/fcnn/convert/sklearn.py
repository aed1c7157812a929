"""scikit-learn's multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn.convert.pipeline import is_pipeline, model_from
from fcnn.convert.steps import (
    OTHER_WRITERS,
    Activation,
    Step,
    imported,
    layers_from,
    layers_of,
    linear,
    network_from,
    refuse,
)
from fcnn.model import Model
from fcnn.network import Network

# scikit-learn's name of an activation of hidden layers, None for those that it does not have.
HIDDEN: dict[str, str | None] = {
    "identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu",
    "leaky_relu": None, "elu": None, "gelu": None, "silu": None, "softplus": None,
    "softmax": None, "exp": None, "ascending": None,
}  # fmt: skip
# And of an output.
OUTPUT = {"identity": "identity", "sigmoid": "logistic", "softmax": "softmax", "exp": "exp"}
# The losses that it has, each with its natural output: the estimator, and what it is told.
LOSSES: dict[str, tuple[str, dict[str, str]]] = {
    "squared_error": ("MLPRegressor", {}),
    "poisson": ("MLPRegressor", {"loss": "poisson"}),
    "binary_cross_entropy": ("MLPClassifier", {}),
    "cross_entropy": ("MLPClassifier", {}),
}


def from_sklearn(estimator: Any, dtype: DTypeLike | None = None) -> Network | Model:
    """Return the network of a fitted multi-layer perceptron of scikit-learn, or a pipeline's model.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted; also those of `fcnn.sklearn`. Or a Pipeline that ends with one, of StandardScaler,
        MinMaxScaler, OneHotEncoder, OrdinalEncoder, SimpleImputer, ColumnTransformer and Pipelines
        of them; with or without a TransformedTargetRegressor with a StandardScaler around it, or
        around its last step.
    dtype : str or numpy.dtype, optional
        float32 or float64; None keeps the estimator's.

    Returns
    -------
    fcnn.Network
        With a copy of its parameters. `predict` returns an array of shape (s, n_L): for a
        regressor what `predict` returns, for a classifier what `predict_proba` returns. For two
        classes it has one column, the probability of ``classes_[1]``. With the losses gaussian_nll
        and quantile there are several columns for each target: see `fcnn.Network`. Its features
        and classes are the estimator's ``feature_names_in_`` and ``classes_``.
    fcnn.Model
        For a pipeline: it takes the raw data that the pipeline takes, and predicts what that
        predicts. What the pipeline refuses, it refuses: a missing cell that nothing fills in, an
        unknown category.

    Raises
    ------
    TypeError
        If it is another estimator.
    ValueError
        If it has not been fitted, or the dtype cannot hold its parameters; or a step of a pipeline
        has no counterpart: the message has its name and kind.
    """
    if is_pipeline(estimator):
        return model_from(estimator, lambda last, source: _network_from(last, dtype, source))
    return _network_from(estimator, dtype, "estimator")


def _network_from(estimator: Any, dtype: DTypeLike | None, source: str) -> Network:
    neural = imported("sklearn.neural_network", "sklearn")
    if not isinstance(estimator, (neural.MLPClassifier, neural.MLPRegressor)):
        raise TypeError(
            f"{source}: expected an MLPClassifier or MLPRegressor, got {type(estimator).__name__}"
        )
    if (members := getattr(estimator, "estimators_", None)) is not None:
        raise ValueError(
            f"{source}: an ensemble of {len(members)} networks; its ensemble_ is an fcnn.Ensemble, "
            "and each of its estimators_ has one network"
        )
    network = getattr(estimator, "network_", None)  # that of fcnn.sklearn
    if isinstance(network, Network):
        made = network_from(layers_of(network), network.loss, dtype)
        made.features, made.classes = network.features, network.classes
        return made
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator: this {type(estimator).__name__} has not been fitted")
    pairs = (*HIDDEN.items(), *OUTPUT.items())
    names = {theirs: ours for ours, theirs in pairs if theirs is not None}
    steps: list[Step] = []
    hidden = [estimator.activation] * (len(estimator.coefs_) - 1)
    activations = [*hidden, estimator.out_activation_]
    parameters = zip(estimator.coefs_, estimator.intercepts_, activations, strict=True)
    for l, (coef, intercept, name) in enumerate(parameters, start=1):
        steps.append(linear(f"coefs_[{l - 1}]", np.transpose(coef), intercept))
        source = f"the activation of layer {l}"
        if name not in names:
            refuse(source, f"fcnn has no {name}")
        steps.append(Activation(source, names[name]))
    made = network_from(layers_from(steps, None), None, dtype)
    made.features = getattr(estimator, "feature_names_in_", None)
    made.classes = getattr(estimator, "classes_", None)
    return made


def to_sklearn(net: Network) -> Any:
    """Return scikit-learn's estimator with the parameters of a network.

    Parameters
    ----------
    net : fcnn.Network
        With hidden layers that are all identity, all sigmoid, all tanh or all relu.

    Returns
    -------
    sklearn.neural_network.MLPClassifier
        For cross_entropy (`net.classes`, else 0..n_L-1) and binary_cross_entropy (`net.classes`,
        else 0 and 1; or n_L labels that are each 0 or 1).
    sklearn.neural_network.MLPRegressor
        For squared_error with identity outputs, and poisson with exp.

    Its ``feature_names_in_`` are `net.features`, if there are these.

    Raises
    ------
    TypeError
        If net is not a network.
    ValueError
        If scikit-learn has no such estimator: also for cross_entropy with two outputs, and for
        classes that do not ascend or are no texts or whole numbers.
    """
    layers = layers_of(net)
    neural = imported("sklearn.neural_network", "sklearn")
    hidden, output = {layer.activation for layer in layers[:-1]}, layers[-1].activation
    its_own = [name for name, theirs in HIDDEN.items() if theirs is not None]
    if len(hidden) > 1 or not hidden <= set(its_own):
        raise ValueError(
            "net: scikit-learn has one activation for all hidden layers, "
            f"{check.listed(its_own)}; got {check.listed(sorted(hidden))}{OTHER_WRITERS}"
        )
    natural = core.output_activations(net.loss)[0]
    if net.loss not in LOSSES or output != natural:
        raise ValueError(
            f"net: scikit-learn has no {output} outputs with loss {net.loss}{OTHER_WRITERS}"
        )
    n_out, labels = net.sizes[-1], check.TARGETS[net.loss] == "classes"
    if labels and n_out == 2:
        raise ValueError(
            "net: scikit-learn's classifier of two classes has one output, got 2; one output goes "
            f"with binary_cross_entropy{OTHER_WRITERS}"
        )
    # A step on a row of zeros makes all that an estimator has after a fit; what it says of that
    # step is taken back then.
    name, options = LOSSES[net.loss]
    estimator = getattr(neural, name)(
        hidden_layer_sizes=net.sizes[1:-1],
        activation=HIDDEN[hidden.pop()] if hidden else "identity",
        random_state=0,
        **options,
    )
    classifies = isinstance(estimator, neural.MLPClassifier)
    X = np.zeros((1, net.sizes[0]), net.dtype)
    y = np.zeros(1 if labels or n_out == 1 else (1, n_out), int if classifies else net.dtype)
    classes = np.arange(max(n_out, 2))
    if classifies and y.ndim == 1:
        classes = _classes_of(net, classes)
        y = classes[:1]
    estimator.partial_fit(X, y, **({"classes": classes} if classifies else {}))
    if net.features is not None:
        estimator.feature_names_in_ = np.array(net.features, dtype=object)
    estimator.set_params(random_state=None)
    estimator.coefs_ = [np.ascontiguousarray(layer.W.T) for layer in layers]
    estimator.intercepts_ = [layer.b for layer in layers]
    estimator.n_iter_ = estimator.t_ = 0
    estimator.loss_curve_, estimator.best_loss_ = [], np.inf
    del estimator._optimizer, estimator.loss_
    return estimator


def _classes_of(net: Network, numbers: NDArray[Any]) -> NDArray[Any]:
    """Return the classes of a network that tells classes apart, `numbers` where it has no names."""
    if net.classes is None or len(net.classes) != len(numbers):  # the one class of one output
        return numbers
    classes = np.array(net.classes)
    known = classes.dtype.kind in "biufU" and np.unique(classes).tolist() == net.classes
    if known and classes.dtype.kind == "f":  # others are measurements to scikit-learn
        known = bool((np.abs(classes) < 2**53).all() and (classes % 1 == 0).all())
    if not known:
        raise ValueError(
            "net: scikit-learn has classes of one type that ascend, texts or whole numbers; got "
            f"{net.classes}; without them (net.classes = None) they are numbered{OTHER_WRITERS}"
        )
    return classes
