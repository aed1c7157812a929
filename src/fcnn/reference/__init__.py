"""The NumPy twin of the core: the same operations, names and signatures, written to be read.

Layers l = 1..L of sizes n_0..n_L. In W^l_kj, k is the receiving node and j the emitting node; s is
the number of samples in a batch; C is the loss, summed over outputs and averaged over samples.
Arrays of a batch have one row per sample.

==============================================================  ==================================
formula                                                         here
==============================================================  ==================================
a^0 = x                                                         ``a[0] = X``
z^l_k = sum_j W^l_kj a^(l-1)_j + b^l_k                          ``z[l] = a[l-1] @ W[l].T + b[l]``
a^l = sigma(z^l)                                                ``a[l] = sigma(z[l])``
delta^L = dC/da^L sigma'(z^L)                                   ``output_delta``
delta^l_j = sigma'(z^l_j) sum_k delta^(l+1)_k W^(l+1)_kj        ``sigma' * (delta[l+1] @ W[l+1])``
dC/dW^l_kj = delta^l_k a^(l-1)_j                                ``dW[l] = delta[l].T @ a[l-1]``
dC/db^l_k = delta^l_k                                           ``db[l] = delta[l].sum(axis=0)``
W <- W - eta dC/dW                                              ``sgd``
==============================================================  ==================================

The tests hold the compiled core against this module, and the benchmarks measure it against this
module. Data are what `fcnn.Network` takes, and are refused as it refuses them.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._sparse import SparseRows
from fcnn.errors import DivergenceError
from fcnn.reference import _checks as given
from fcnn.reference._derivatives import Differentiated

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "Loss",
    "Network",
    "activation_of",
    "adam",
    "ascending",
    "elu",
    "gelu",
    "identity",
    "leaky_relu",
    "loss_of",
    "output_delta",
    "relu",
    "sgd",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]

# --- Activations: a = sigma(z), and sigma'(z) ---------------------------------------------------


def identity(z: Array) -> Array:
    """Return z."""
    return z.copy()


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z)."""
    with np.errstate(over="ignore"):  # e^-z = inf gives 0, the limit
        return 1 / (1 + np.exp(-z))


def relu(z: Array) -> Array:
    """Return max(0, z)."""
    return np.maximum(z, 0)


def leaky_relu(z: Array, slope: float = 0.01) -> Array:
    """Return z where z > 0, slope z elsewhere."""
    return np.where(z < 0, z.dtype.type(slope) * z, z)


def elu(z: Array, alpha: float = 1.0) -> Array:
    """Return z where z > 0, alpha (e^z - 1) elsewhere."""
    return np.where(z < 0, z.dtype.type(alpha) * np.expm1(np.minimum(z, 0)), z)


def _normal_distribution(z: Array) -> Array:
    """Return Phi(z) = (1 + erf(z / sqrt 2)) / 2."""
    # NumPy has no erf of its own, and math.erf takes one number.
    phi = [0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z.ravel().tolist()]
    return np.array(phi, z.dtype).reshape(z.shape)


def _normal_density(z: Array) -> Array:
    """Return phi(z) = e^(-z^2/2) / sqrt(2 pi)."""
    return np.exp(-z * z / 2) / z.dtype.type(math.sqrt(2 * math.pi))


def gelu(z: Array) -> Array:
    """Return z Phi(z), with the normal distribution function Phi."""
    return z * _normal_distribution(z)


def silu(z: Array) -> Array:
    """Return z sigmoid(z)."""
    return z * sigmoid(z)


def softplus(z: Array) -> Array:
    """Return log(1 + e^z); z itself above 20, as PyTorch does."""
    return np.where(z > 20, z, np.log1p(np.exp(np.minimum(z, 20))))


def softmax(z: Array) -> Array:
    """Return e^(z_k) / sum_j e^(z_j) of each row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ascending(z: Array, m: int) -> Array:
    """Return z of the first m nodes; of each further one the node m before it + softplus(z)."""
    rises = np.hstack([z[:, :m], softplus(z[:, m:])])
    return rises.reshape(len(z), -1, m).cumsum(axis=1).reshape(z.shape)


def _rise(z: Array, m: int) -> Array:
    """Return what each z moves its own node of ascending outputs by: 1, or softplus'(z)."""
    slope = activation_of("softplus").derivative(z, z)
    slope[:, :m] = 1
    return slope


def _from_above(dC_da: Array, m: int) -> Array:
    """Return the sums of dC/da over each node and those m, 2m, ... behind it."""
    of_targets = dC_da.reshape(len(dC_da), -1, m)
    return of_targets[:, ::-1].cumsum(axis=1)[:, ::-1].reshape(dC_da.shape)


class Activation(NamedTuple):
    """An activation and its derivatives; all take its number, if it has one, as last argument."""

    sigma: Callable[..., Array]  # given z
    derivative: Callable[..., Array]  # sigma'(z), given z and a = sigma(z)
    second: Callable[..., Array]  # sigma''(z), likewise; at a kink that of z < 0


def _step(z: Array, below: float) -> Array:
    return np.where(z > 0, z.dtype.type(1), z.dtype.type(below))


def _zero(z: Array, a: Array, slope: float = 0.0) -> Array:
    return np.zeros_like(z)


def _elu_below(z: Array, alpha: float) -> Array:
    return z.dtype.type(alpha) * np.exp(np.minimum(z, 0))


def _silu_second(z: Array, a: Array) -> Array:
    s = sigmoid(z)
    return s * (1 - s) * (2 + z * (1 - 2 * s))


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, lambda z, a: np.ones_like(z), _zero),
    "sigmoid": Activation(
        sigmoid, lambda z, a: a * (1 - a), lambda z, a: a * (1 - a) * (1 - 2 * a)
    ),
    "tanh": Activation(np.tanh, lambda z, a: 1 - a * a, lambda z, a: -2 * a * (1 - a * a)),
    "relu": Activation(relu, lambda z, a: _step(z, 0), _zero),
    "leaky_relu": Activation(leaky_relu, lambda z, a, slope=0.01: _step(z, slope), _zero),
    "elu": Activation(
        elu,
        lambda z, a, alpha=1.0: np.where(z < 0, _elu_below(z, alpha), z.dtype.type(1)),
        lambda z, a, alpha=1.0: np.where(z > 0, z.dtype.type(0), _elu_below(z, alpha)),
    ),
    "gelu": Activation(
        gelu,
        lambda z, a: _normal_distribution(z) + z * _normal_density(z),
        # (Phi + z phi)' = 2 phi + z phi', and phi' = -z phi
        lambda z, a: _normal_density(z) * (2 - z * z),
    ),
    "silu": Activation(
        silu, lambda z, a: sigmoid(z) * (1 + z * (1 - sigmoid(z))), _silu_second
    ),
    "softplus": Activation(
        softplus,
        lambda z, a: np.where(z > 20, z.dtype.type(1), sigmoid(z)),
        lambda z, a: np.where(z > 20, z.dtype.type(0), sigmoid(z) * (1 - sigmoid(z))),
    ),
    "exp": Activation(np.exp, lambda z, a: a, lambda z, a: a),
}  # fmt: skip


def activation_of(name: str) -> Activation:
    """Return the activation of a name, with its number: leaky_relu(0.2)."""
    base, _, number = name.partition("(")
    sigma, derivative, second = ACTIVATIONS[base]
    if not number:
        return ACTIVATIONS[base]
    constant = float(number.removesuffix(")"))
    return Activation(
        lambda z: sigma(z, constant),
        lambda z, a: derivative(z, a, constant),
        lambda z, a: second(z, a, constant),
    )


# --- Losses: C, and dC/da -----------------------------------------------------------------------


def _entropy(y: Array, log_a: Array) -> Array:
    """Return -y log a, with 0 log 0 = 0."""
    return np.where(y == 0, 0, -y * log_a)


class Loss(NamedTuple):
    """A loss: one cost for each output, or each target, and its derivative with respect to a."""

    cost: Callable[..., Array]  # given z, a and y; and levels, if it has some
    derivative: Callable[..., Array] | None  # dC/da, given a and y, and likewise


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _poisson(z: Array, a: Array, y: Array) -> Array:
    with np.errstate(divide="ignore"):
        return a + _entropy(y, np.where(a > 0, np.log(a), z))


def _huber(z: Array, a: Array, y: Array) -> Array:
    error = np.abs(a - y)
    return np.where(error > 1, error - 0.5, 0.5 * error**2)


def _gaussian_nll(z: Array, a: Array, y: Array) -> Array:
    mean, log_variance = np.split(a, 2, axis=1)
    return (log_variance + (mean - y) ** 2 * np.exp(-log_variance)) / 2


def _gaussian_nll_derivative(a: Array, y: Array) -> Array:
    mean, log_variance = np.split(a, 2, axis=1)
    error, precision = mean - y, np.exp(-log_variance)
    return np.hstack([error * precision, (1 - error**2 * precision) / 2])


def _pinball(a: Array, y: Array, levels: Array) -> Array:
    """Return q (y - a) where a < y, (1 - q) (a - y) elsewhere: all targets for each level q."""
    error, q = a - np.tile(y, len(levels)), np.repeat(levels, y.shape[1]).astype(a.dtype)
    return error * np.where(error < 0, -q, 1 - q)


def _pinball_derivative(a: Array, y: Array, levels: Array) -> Array:
    error, q = a - np.tile(y, len(levels)), np.repeat(levels, y.shape[1]).astype(a.dtype)
    return np.where(error < 0, -q, np.where(error > 0, 1 - q, (1 - q - q) / 2)).astype(a.dtype)


DEFAULT_LEVELS = np.array([0.05, 0.5, 0.95])

LOSSES: dict[str, Loss] = {
    "squared_error": Loss(lambda z, a, y: 0.5 * (a - y) ** 2, lambda a, y: a - y),
    "absolute_error": Loss(lambda z, a, y: np.abs(a - y), lambda a, y: np.sign(a - y)),
    "huber": Loss(_huber, lambda a, y: np.clip(a - y, -1, 1)),
    "poisson": Loss(_poisson, lambda a, y: 1 - y / a),
    # -y log a - (1 - y) log(1 - a) for a = sigmoid(z), from z
    "binary_cross_entropy": Loss(
        lambda z, a, y: np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z))), None
    ),
    # -y log a for a = softmax(z), from z
    "cross_entropy": Loss(lambda z, a, y: _entropy(y, _log_softmax(z)), None),
    # The outputs are all means, then all logarithms of variances.
    "gaussian_nll": Loss(_gaussian_nll, _gaussian_nll_derivative),
    # And likewise the quantiles of each level.
    "quantile": Loss(
        lambda z, a, y, levels=DEFAULT_LEVELS: _pinball(a, y, levels),
        lambda a, y, levels=DEFAULT_LEVELS: _pinball_derivative(a, y, levels),
    ),
}


def loss_of(name: str) -> Loss:
    """Return the loss of a name, with its levels: quantile(0.1, 0.9)."""
    base, _, numbers = name.partition("(")
    cost, derivative = LOSSES[base]
    if not numbers:
        return LOSSES[base]
    assert derivative is not None
    levels = np.array(numbers.removesuffix(")").split(","), np.float64)
    return Loss(lambda z, a, y: cost(z, a, y, levels), lambda a, y: derivative(a, y, levels))


# Pairs for which dC/da sigma'(z) = a - y. The derivation, for the sigmoid: dC/da = (a - y) /
# (a (1 - a)) and sigma' = a (1 - a); for the others alike. Divided and multiplied in floating
# point, a (1 - a) would be 0 / 0 for a saturated node.
_DELTA_IS_ERROR = {
    ("identity", "squared_error"),
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "cross_entropy"),
    ("exp", "poisson"),
}


def output_delta(activation: str, loss: str, z: Array, a: Array, y: Array) -> Array:
    """Return delta^L = dC/da^L sigma'(z^L) of every sample, shape (s, n_L).

    The softmax's activations all depend on every z: there sigma' is a matrix, da_j/dz_k =
    a_j ([j = k] - a_k). Of ascending outputs each depends on those below.
    """
    m = given.num_targets(a.shape[1], loss)
    z, y = given.as_shape("z", z, a.shape, "a"), given.as_shape("y", y, (len(a), m), "targets")
    if (activation, loss) in _DELTA_IS_ERROR:
        return a - y
    derivative = loss_of(loss).derivative
    assert derivative is not None
    dC_da = derivative(a, y)
    if activation == "softmax":
        return a * (dC_da - (dC_da * a).sum(axis=1, keepdims=True))
    if activation == "ascending":
        return _from_above(dC_da, m) * _rise(z, m)
    return dC_da * activation_of(activation).derivative(z, a)


# --- Updates: each changes the parameters and the optimizer's state in place --------------------


def sgd(parameters: Array, gradient: Array, optimizer: Any, state: tuple[Array, ...]) -> None:
    """W <- W - eta g, with g = dC/dW + weight_decay W; or with momentum, through a velocity."""
    g = given.as_shape("gradient", gradient, parameters.shape, "parameters")
    g = g + optimizer.weight_decay * parameters
    if state:
        (velocity,) = state
        velocity *= optimizer.momentum
        velocity += g
        g = g + optimizer.momentum * velocity if optimizer.nesterov else velocity
    parameters -= optimizer.lr * g


def adam(parameters: Array, gradient: Array, optimizer: Any, state: tuple[Array, ...]) -> None:
    """Update as algorithm 1 of D. P. Kingma, J. Ba: Adam, ICLR 2015.

    The weight decay of AdamW is taken off the weights, that of Adam is added to the gradient
    (I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, algorithm 2).
    """
    m, v = state
    beta1, beta2 = optimizer.betas
    t = optimizer.steps + 1
    g = given.as_shape("gradient", gradient, parameters.shape, "parameters")
    if optimizer.rule == "adamw":
        parameters *= 1 - optimizer.lr * optimizer.weight_decay
    else:
        g = g + optimizer.weight_decay * parameters
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    parameters -= optimizer.lr * m_hat / (np.sqrt(v_hat) + optimizer.eps)


UPDATES = {"sgd": sgd, "adam": adam, "adamw": adam}

# --- The network ----------------------------------------------------------------------------------


class Network(Differentiated):
    """A fully connected network in NumPy, with the core's methods.

    Parameters
    ----------
    sizes : sequence of int
        n_0, ..., n_L.
    activations : sequence of str
        One name for each layer 1..L, some with a number: leaky_relu(0.2).
    loss, dtype : str
        As of `fcnn.Network`.

    Attributes
    ----------
    parameters : numpy.ndarray, shape (num_parameters,)
        The flat vector: W^1 as (n_0, n_1), b^1, W^2, ...; zero at first.
    W, b : list of numpy.ndarray
        Views of it, indexed by l = 1..L: W[l] is (n_l, n_(l-1)), b[l] is (n_l,).
    """

    def __init__(self, sizes: Any, activations: Any, loss: str, dtype: Any = "float64") -> None:
        self.sizes, self.activations, self.loss = given.as_architecture(sizes, activations, loss)
        self.L = len(self.sizes) - 1
        counts = [(n_in + 1) * n_out for n_in, n_out in itertools.pairwise(self.sizes)]
        self.parameters: Array = np.zeros(sum(counts), check.as_dtype(dtype))
        self.W, self.b = self._views(self.parameters)

    @classmethod
    def like(cls, network: Any) -> "Network":
        """Return a twin of an `fcnn.Network`: the same architecture, a copy of its parameters."""
        twin = cls(network.sizes, network.activations, network.loss, network.dtype)
        twin.parameters[:] = network.parameters
        return twin

    @property
    def num_targets(self) -> int:
        """Columns of y: n_L, or a part of it where the loss has several outputs for each."""
        return given.num_targets(self.sizes[-1], self.loss)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters, inputs and outputs."""
        return self.parameters.dtype

    def _views(self, flat: Array) -> tuple[list[Any], list[Any]]:
        """Return W[l] and b[l] as views of a flat vector; index 0 is not used."""
        W: list[Any] = [None]
        b: list[Any] = [None]
        begin = 0
        for n_in, n_out in itertools.pairwise(self.sizes):
            end = begin + n_in * n_out
            W.append(flat[begin:end].reshape(n_in, n_out).T)
            b.append(flat[end : end + n_out])
            begin = end + n_out
        return W, b

    def _targets(self, y: Array) -> Array:
        """Return labels as rows with a 1 for the label, and other targets as they are."""
        return np.eye(self.sizes[-1], dtype=self.dtype)[y] if y.ndim == 1 else y

    def _inputs(self, X: Any) -> Array:
        """Return inputs as an array, of one sample (n_0,)."""
        if (  # what is right as it is costs no time
            type(X) is np.ndarray
            and X.dtype == self.dtype
            and X.ndim == 2
            and X.shape[1] == self.sizes[0]
            and len(X) > 0
        ):
            return X
        return check.as_inputs("X", X, self.sizes[0], self.dtype)

    def _batch(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array | None]:
        """Return samples in rows; y as rows or, of labels, int64 (s,)."""
        X, y, weight = check.as_batch(X, y, sample_weight, self.sizes, self.loss, self.dtype)
        return X.toarray() if isinstance(X, SparseRows) else X, y, weight

    def forward(self, X: Any) -> tuple[list[Any], list[Any]]:
        """Return all z[l] and a[l], l = 0..L."""
        z: list[Any] = [None]
        a: list[Any] = [np.atleast_2d(self._inputs(X))]
        for l in range(1, self.L + 1):
            z.append(a[l - 1] @ self.W[l].T + self.b[l])
            a.append(self._sigma(self.activations[l - 1], z[l]))
        return z, a

    def _sigma(self, name: str, z: Array) -> Array:
        if name == "softmax":
            return softmax(z)
        return (
            ascending(z, self.num_targets) if name == "ascending" else activation_of(name).sigma(z)
        )

    def backward(
        self, z: list[Any], a: list[Any], y: Array, sample_weight: Array | None = None
    ) -> tuple[list[Any], float]:
        """Return all delta[l], l = 1..L, last layer first, and the loss, of what `forward` returns.

        The average over samples is in delta^L, once: every delta and gradient then has it.
        """
        rows = len(a[-1])
        y = check.as_targets("y", y, rows, self.num_targets, self.loss, self.dtype)
        return self._backward(z, a, y, check.as_sample_weight(sample_weight, rows, self.dtype))

    def _backward(
        self, z: list[Any], a: list[Any], y: Array, sample_weight: Array | None
    ) -> tuple[list[Any], float]:
        L = self.L
        weight = np.ones(len(y), self.dtype) if sample_weight is None else sample_weight
        total = float(weight.sum(dtype=np.float64))
        share = (weight / total if total > 0 else 0 * weight).astype(self.dtype)[:, np.newaxis]
        y = self._targets(y)
        costs = loss_of(self.loss).cost(z[L], a[L], y).sum(axis=1, keepdims=True)
        delta: list[Any] = [None] * (L + 1)
        delta[L] = share * output_delta(self.activations[-1], self.loss, z[L], a[L], y)
        for l in range(L - 1, 0, -1):
            sigma_derivative = activation_of(self.activations[l - 1]).derivative(z[l], a[l])
            delta[l] = sigma_derivative * (delta[l + 1] @ self.W[l + 1])
        return delta, float((share * costs).sum(dtype=np.float64))

    def backpropagate(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> tuple[list[Any], list[Any], list[Any], float, Array]:
        """Return (z, a, delta, loss, gradient), the lists indexed by l = 0..L."""
        return self._backpropagate(*self._batch(X, y, sample_weight))

    def _backpropagate(
        self, X: Array, y: Array, sample_weight: Array | None
    ) -> tuple[list[Any], list[Any], list[Any], float, Array]:
        z, a = self.forward(X)
        delta, loss = self._backward(z, a, y, sample_weight)
        gradient = np.empty_like(self.parameters)
        dW, db = self._views(gradient)
        for l in range(1, self.L + 1):
            dW[l][:] = delta[l].T @ a[l - 1]
            db[l][:] = delta[l].sum(axis=0)
        return z, a, delta, loss, gradient

    def gradients(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, Array]:
        """Return (loss, gradient), the gradient flat and in the order of `parameters`."""
        _, _, _, loss, gradient = self.backpropagate(X, y, sample_weight)
        return loss, gradient

    def predict(self, X: Any, out: Array | None = None) -> Array:
        """Return a^L, shape (s, n_L), or (n_L,) for one sample."""
        X = self._inputs(X)
        _, a = self.forward(np.atleast_2d(X))
        answer: Array = a[-1] if X.ndim == 2 else a[-1][0]
        if out is None:
            return answer
        given.as_out(out, answer.shape)[...] = answer
        return out

    __call__ = predict

    def _derivative(
        self, l: int, z: list[Any], a: list[Any], dz: Array, back: bool = False
    ) -> Array:
        """Return da^l for dz^l, or `back` dC/dz^l for dC/da^l: of most da_k/dz_m is symmetric."""
        name = self.activations[l - 1]
        if name == "softmax":
            return a[l] * (dz - (dz * a[l]).sum(axis=1, keepdims=True))
        if name == "ascending":
            m = self.num_targets
            if back:
                return _from_above(dz, m) * _rise(z[l], m)
            rises = (dz * _rise(z[l], m)).reshape(len(dz), -1, m)
            return rises.cumsum(axis=1).reshape(dz.shape)
        return dz * activation_of(name).derivative(z[l], a[l])

    def _second(self, l: int, z: list[Any], a: list[Any], g: Array, dz: Array) -> Array:
        """Return how `_derivative` of g changes when z^l moves by dz."""
        name = self.activations[l - 1]
        if name == "softmax":
            da = self._derivative(l, z, a, dz)
            mean, dmean = ((g * b).sum(axis=1, keepdims=True) for b in (a[l], da))
            return da * (g - mean) - a[l] * dmean
        if name == "ascending":
            rise = _rise(z[l], self.num_targets)
            return _from_above(g, self.num_targets) * rise * (1 - rise) * dz
        return g * activation_of(name).second(z[l], a[l]) * dz

    def loss_and_outputs(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, Array]:
        """Return (loss, a^L)."""
        X, y, sample_weight = self._batch(X, y, sample_weight)
        z, a = self.forward(X)
        costs = loss_of(self.loss).cost(z[-1], a[-1], self._targets(y)).sum(axis=1)
        return float(np.average(costs, weights=sample_weight)), a[-1]

    def train_step(self, X: Any, y: Any, optimizer: Any, sample_weight: Any = None) -> float:
        """Make one update with the gradient of the batch; return the loss before it."""
        return self._step(*self._batch(X, y, sample_weight), optimizer)

    def _step(self, X: Array, y: Array, sample_weight: Array | None, optimizer: Any) -> float:
        _, _, _, loss, gradient = self._backpropagate(X, y, sample_weight)
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            raise DivergenceError(f"the loss became {loss}")
        UPDATES[optimizer.rule](self.parameters, gradient, optimizer, optimizer.state(self))
        optimizer.steps += 1
        return loss

    def train_epoch(
        self,
        X: Any,
        y: Any,
        optimizer: Any,
        batch_size: int,
        order: Array | None = None,
        sample_weight: Any = None,
    ) -> float:
        """Make one update for every `batch_size` samples, in order; return the mean loss."""
        X, y, sample_weight = self._batch(X, y, sample_weight)
        order, batch_size = given.as_order(order, len(X)), check.as_count("batch_size", batch_size)
        total = weight = 0.0
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            w = None if sample_weight is None else sample_weight[batch]
            share = float(len(batch) if w is None else w.sum(dtype=np.float64))
            # The data were checked as a whole: benchmarks measure the mathematics.
            total += share * self._step(X[batch], y[batch], w, optimizer)
            weight += share
        return total / weight if weight > 0 else 0.0
