"""Several networks that answer as one: `fcnn.Ensemble`."""

# Annotations stay text, as in network.py.
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _format
from fcnn import _validation as check
from fcnn._attributes import Checked, Checks
from fcnn._dispatch import core
from fcnn._sparse import is_sparse
from fcnn.metrics._equations import score
from fcnn.network import Network, as_networks
from fcnn.reference import loss_of

__all__ = ["Ensemble"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


class Ensemble(Checked):
    """Several networks whose mean answers better than each, and whose spread says how sure it is.

    Train them by `fcnn.fit_many`, from other weights (``rng``), or on other draws of the samples.
    B. Lakshminarayanan, A. Pritzel, C. Blundell: Simple and scalable predictive uncertainty
    estimation using deep ensembles, NIPS 2017.

    Parameters
    ----------
    networks : sequence of fcnn.Network
        All different objects, with the same numbers of inputs and outputs, output activation, loss,
        dtype, `features` and `classes`; hidden layers may differ. They are not copied.

    Attributes
    ----------
    networks : tuple of fcnn.Network
    loss : str
    dtype : numpy.dtype
    num_inputs, num_outputs, num_targets : int
        n_0, n_L and columns of y.
    features, classes : list or None
        As of each network.

    Raises
    ------
    TypeError, ValueError
        If they are not as described.

    Examples
    --------
    >>> import numpy as np, fcnn
    >>> X = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    >>> y = X.sum(axis=1, keepdims=True)
    >>> networks = [fcnn.Network((3, 8, 1), loss="squared_error", rng=i) for i in range(4)]
    >>> histories = fcnn.fit_many(networks, X, y, epochs=5)
    >>> ensemble = fcnn.Ensemble(networks)
    >>> ensemble.predict(X).shape, ensemble.std(X).shape
    ((200, 1), (200, 1))
    """

    networks: tuple[Network, ...]

    _checks: ClassVar[Checks] = {"networks": lambda _, networks: _as_alike(networks)}

    def __init__(self, networks: Sequence[Network]) -> None:
        self.__dict__["networks"] = _as_alike(networks)

    @property
    def loss(self) -> str:
        """The loss that all of them have."""
        return self.networks[0].loss

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.networks[0].dtype

    @property
    def num_inputs(self) -> int:
        """n_0."""
        return self.networks[0].sizes[0]

    @property
    def num_outputs(self) -> int:
        """n_L."""
        return self.networks[0].sizes[-1]

    @property
    def num_targets(self) -> int:
        """Columns of y."""
        return self.networks[0].num_targets

    @property
    def features(self) -> list[str] | None:
        """Names of the inputs, if the networks have them."""
        return self.networks[0].features

    @property
    def classes(self) -> list[Any] | None:
        """The classes, if the networks have them."""
        return self.networks[0].classes

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[Network]:
        return iter(self.networks)

    def __getitem__(self, i: int) -> Network:
        return self.networks[i]

    def __repr__(self) -> str:
        sizes = {network.sizes: None for network in self.networks}
        shown = ", ".join("-".join(map(str, one)) for one in [*sizes][:3])
        more = ", ..." if len(sizes) > 3 else ""
        return f"<Ensemble of {len(self)}: {shown}{more}, loss {self.loss}, {self.dtype}>"

    # --- Answers ---------------------------------------------------------------------------------

    def outputs(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Return what each network predicts.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        n_threads : int, optional
            As for `fcnn.Network.predict`.

        Returns
        -------
        numpy.ndarray, shape (networks, s, n_L) or (networks, n_L)
        """
        first = self.networks[0].predict(X, n_threads=n_threads)
        outputs = np.empty((len(self), *first.shape), self.dtype)
        outputs[0] = first
        for network, out in zip(self.networks[1:], outputs[1:], strict=True):
            network.predict(X, out=out, n_threads=n_threads)
        return outputs

    def predict(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Return the answer of all: the mean of the outputs.

        Of probabilities that is the mean of the distributions. So it is with the loss gaussian_nll:
        mean and logarithm of the variance of the mixture of all normal distributions. Quantiles are
        averaged level by level.

        Parameters
        ----------
        X, n_threads
            As for `outputs`.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,)
            What a network returns.
        """
        return self._mean(self.outputs(X, n_threads))

    def __call__(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Return the mean of the outputs; the same as predict."""
        return self.predict(X, n_threads)

    def _mean(self, outputs: Array) -> Array:
        if core.split_loss(self.loss)[0] != "gaussian_nll":
            return outputs.mean(axis=0, dtype=np.float64).astype(self.dtype)
        return np.concatenate(self._mixture(outputs), axis=-1).astype(self.dtype)

    def _mixture(self, outputs: Array) -> tuple[Array, Array]:
        """Return mean and logarithm of the variance of the mixture of normal distributions.

        The variance is the mean of the variances and the variance of the means.
        """
        means, logarithms = np.split(outputs.astype(np.float64), 2, axis=-1)
        with np.errstate(divide="ignore"):
            apart = np.log(means.var(axis=0))
        return means.mean(axis=0), np.logaddexp(_log_mean(logarithms), apart)

    def std(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Return how far the answers are apart: the standard deviation over the networks.

        It divides by the number of networks. With the loss gaussian_nll the standard deviation of
        the mixture, which has the networks' own in it, for each target.

        Parameters
        ----------
        X, n_threads
            As for `outputs`.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,); (s, num_targets) of gaussian_nll
        """
        outputs = self.outputs(X, n_threads)
        if core.split_loss(self.loss)[0] == "gaussian_nll":
            return np.exp(self._mixture(outputs)[1] / 2).astype(self.dtype)
        return outputs.std(axis=0, dtype=np.float64).astype(self.dtype)

    def quantiles(
        self, X: ArrayLike, q: float | Sequence[float], n_threads: int | None = None
    ) -> Array:
        """Return quantiles of the networks' answers, interpolated linearly between two of them.

        Parameters
        ----------
        X, n_threads
            As for `outputs`.
        q : float or sequence of float
            From 0 to 1; 0.5 is the median.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,), of several q with one dimension more before
        """
        levels = check.as_numeric("q", q)
        if not (levels.ndim < 2 and levels.size and ((levels >= 0) & (levels <= 1)).all()):
            raise ValueError(f"q: expected numbers from 0 to 1, got {q!r}")
        found: Array = np.quantile(self.outputs(X, n_threads).astype(np.float64), levels, axis=0)
        return found.astype(self.dtype)

    def votes(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Return the share of the networks that are for each class.

        Parameters
        ----------
        X, n_threads
            As for `outputs`.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,)
            With the loss cross_entropy the shares of the classes that are most probable. With
            binary_cross_entropy those of networks that say more than 1/2, for each output.

        Raises
        ------
        ValueError
            If the networks do not predict classes, or X is not finite.
        """
        targets = check.TARGETS[self.loss]
        if targets not in ("classes", "probabilities"):
            raise ValueError(
                f"votes: of the losses cross_entropy and binary_cross_entropy, got {self.loss}"
            )
        inputs: Any = self.networks[0]._as_inputs(X)
        check.refuse_nonfinite("X", inputs)  # the class of NaN would be the first
        outputs = self.outputs(X if is_sparse(X) else inputs, n_threads)
        chosen = outputs > 0.5
        if targets == "classes":
            chosen = np.arange(self.num_outputs) == outputs.argmax(axis=-1)[..., np.newaxis]
        return chosen.mean(axis=0).astype(self.dtype)

    def evaluate(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> dict[str, float]:
        """Return the loss and the usual score of `predict` on some data.

        Parameters
        ----------
        X, y, sample_weight, n_threads
            As for `fcnn.Network.evaluate`.

        Returns
        -------
        dict
            As of `fcnn.Network.evaluate`, computed in float64. With the entropies the loss is the
            log loss of the mean probabilities, of their logarithms: finite where a probability is
            too small for a number.
        """
        inputs, targets, weight = self.networks[0]._as_batch(X, y, sample_weight)
        check.refuse_nonfinite("X", inputs)
        if is_sparse(X):
            inputs = X
        outputs = self.predict(inputs, n_threads)
        rows = _rows(targets, self.num_outputs)
        if check.TARGETS[self.loss] == "numbers":
            a = outputs.astype(np.float64)
            costs = loss_of(self.loss).cost(a, a, rows)
        else:
            costs = self._costs(inputs, rows, n_threads)
        name, value = score(self.loss, outputs, targets, weight)
        return {"loss": float(np.average(costs.sum(axis=1), weights=weight)), name: value}

    def _costs(self, X: Any, y: Array, n_threads: int | None) -> Array:
        """Return the cost of each output, with a loss that takes logarithms of a."""
        z = np.array([_input_sums(network, X, n_threads) for network in self.networks])
        if check.TARGETS[self.loss] == "classes":
            return _entropy(y, _log_mean(z - np.logaddexp.reduce(z, axis=-1, keepdims=True)))
        if check.TARGETS[self.loss] == "probabilities":
            return _entropy(y, _log_mean(-_softplus(-z))) + _entropy(
                1 - y, _log_mean(-_softplus(z))
            )
        log_a = z if self.networks[0].activations[-1] == "exp" else _log_softplus(z)
        mean = _log_mean(log_a)
        with np.errstate(over="ignore"):
            return np.exp(mean) + _entropy(y, mean)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all networks to one file in the safetensors format; `fcnn.load` gives them back.

        Tensors 0.W1, 0.b1, ... are those of the first network, and so on, as `fcnn.Network.save`
        has them; architectures and a checksum are in its metadata. The generators are not saved.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        _format.save_ensemble(self.networks, path)


# What all networks of an ensemble have in common.
_ALIKE: dict[str, Callable[[Network], Any]] = {
    "number of inputs": lambda network: network.sizes[0],
    "number of outputs": lambda network: network.sizes[-1],
    "loss": lambda network: network.loss,
    "output activation": lambda network: network.activations[-1],
    "dtype": lambda network: network.dtype.name,
    "features": lambda network: network.features,
    "classes": lambda network: network.classes,
}


def _as_alike(networks: Any) -> tuple[Network, ...]:
    """Return networks that may answer as one."""
    given = tuple(as_networks(networks))
    for i, network in enumerate(given):
        for name, of in _ALIKE.items():
            if of(network) != of(given[0]):
                raise ValueError(
                    f"networks[{i}]: expected the {name} of networks[0], {of(given[0])!r}, got "
                    f"{of(network)!r}"
                )
        if any(network is other for other in given[:i]):
            raise ValueError(f"networks[{i}]: it is in the list twice; it would count twice")
    return given


def _rows(y: Array, n_out: int) -> Array:
    """Return targets as rows, those of labels with 1 for the class."""
    if y.ndim == 1 and y.dtype == np.int64:
        return (y[:, np.newaxis] == np.arange(n_out)).astype(np.float64)
    return y.reshape(len(y), -1).astype(np.float64)


def _input_sums(network: Network, X: Any, n_threads: int | None) -> Array:
    """Return z^L in float64."""
    hidden = network.activations[:-1]
    twin = Network(network.sizes, hidden, "identity", "squared_error", network.dtype, init="zeros")
    twin.parameters[...] = network.parameters
    return twin.predict(X, n_threads=n_threads).astype(np.float64)


def _log_mean(logarithms: Array) -> Array:
    """Return the logarithm of the mean over the networks, of logarithms."""
    found: Array = np.logaddexp.reduce(logarithms, axis=0)
    return found - np.log(len(logarithms))


def _softplus(z: Array) -> Array:
    """Return log(1 + e^z), which is -log(1 - sigmoid(z))."""
    return np.logaddexp(0, z)


def _log_softplus(z: Array) -> Array:
    """Return log log(1 + e^z); below the numbers that e^z changes 1 by, that is z."""
    return np.where(z < -40, z, np.log(_softplus(np.maximum(z, -40))))


def _entropy(y: Array, log_a: Array) -> Array:
    """Return -y log a, with 0 log 0 = 0."""
    with np.errstate(invalid="ignore"):
        return np.where(y == 0, 0, -y * log_a)
