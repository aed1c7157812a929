"""The solver lbfgs: SciPy's L-BFGS-B on the core's loss and gradient over all samples."""
# scikit-learn and SciPy have no type annotations.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from sklearn.utils.optimize import _check_optimize_result

from fcnn._dispatch import core
from fcnn._views import layer_views

if TYPE_CHECKING:
    from fcnn.sklearn._monitor import Monitor
    from fcnn.sklearn._perceptron import Perceptron

Array = NDArray[Any]


def minimize(
    estimator: Perceptron, X: Any, y: Array, weight: Array | None, monitor: Monitor
) -> None:
    """Fit by L-BFGS."""
    network = estimator.network_
    offset = estimator._mean_constant(y, weight)
    X, y, weight = estimator._prepared(X, y, weight, estimator._label_smoothing)
    decay = np.ones(network.num_parameters)  # of weights, not of biases
    for b in layer_views(decay, network.sizes)[1]:
        b[...] = 0
    decay *= estimator.alpha / (X.shape[0] if weight is None else weight.sum())

    def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
        network.parameters[:] = parameters
        loss, gradient = core.Network.gradients(network, X, y, weight, estimator._threads())
        pull = decay * parameters
        loss = loss * estimator._scale() + offset + 0.5 * float(pull @ parameters)
        return loss, gradient + pull

    def after_iteration(intermediate_result: Any) -> None:
        network.parameters[:] = intermediate_result.x
        estimator.n_iter_ += 1
        estimator.loss_ = intermediate_result.fun
        if monitor.iteration_ended():
            raise StopIteration

    estimator.n_iter_ = 0
    result = scipy.optimize.minimize(
        loss_and_gradient,
        network.parameters.astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        options={
            "maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol,
        },
        callback=after_iteration if monitor.wanted else None,
    )  # fmt: skip
    network.parameters[:] = result.x
    estimator.loss_ = result.fun
    if monitor.stopped:
        estimator.n_iter_ = result.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
