"""What the core asks of its subclass: arguments that it cannot take as they are."""

# Annotations stay text, or help() shows ArrayLike as the union of all its types.
from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _sobolev
from fcnn import _validation as check
from fcnn._attributes import unknown
from fcnn._dispatch import core
from fcnn._frames import library_of, names_of
from fcnn._own_loss import as_answer, as_exactly, as_own_loss
from fcnn._sparse import SparseRows
from fcnn.metrics._equations import score
from fcnn.optimizers import Optimizer, as_optimizer
from fcnn.threads import resolve

Array = NDArray[Any]

_ASSIGNED = ["parameters", "weights", "biases", "rng", "features", "classes"]


class ConvertingNetwork(core.DifferentiatedNetwork):
    """The base of fcnn.Network: each method converts what the core hands on, or refuses it."""

    if not TYPE_CHECKING:  # as Checked's

        def __setattr__(self, name: str, value: Any) -> None:
            # A class that a user derives may have attributes of its own.
            kind = type(self)
            if (
                kind.__module__.startswith("fcnn.") and name[:1] != "_" and name not in _ASSIGNED
                and (not hasattr(kind, name) or hasattr(type(getattr(kind, name)), "__set__"))
            ):  # fmt: skip
                raise unknown(kind, name, _ASSIGNED)
            super().__setattr__(name, value)

    @property
    def features(self) -> list[str] | None:
        """Names of the n_0 inputs, or None: a data frame must have these columns, in this order."""
        names: list[str] | None = self.__dict__.get("features")
        return names

    @features.setter
    def features(self, names: Iterable[str] | None) -> None:
        self.__dict__["features"] = _as_names("features", names, self.sizes[0], "inputs")

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of the outputs, one or two of a single output, or None."""
        names: list[Any] | None = self.__dict__.get("classes")
        return names

    @classes.setter
    def classes(self, names: Iterable[Any] | None) -> None:
        self.__dict__["classes"] = _as_names("classes", names, self.sizes[-1], "outputs")

    @property
    def rng(self) -> np.random.Generator:
        """Of `fit`'s shuffling and dropout; a seed may be assigned, too.

        Of a network from a file it is made when it is asked for, of the seed 0.
        """
        if "rng" not in self.__dict__:
            self.rng = 0
        generator: np.random.Generator = self.__dict__["rng"]
        return generator

    @rng.setter
    def rng(self, value: int | np.random.Generator | None) -> None:
        self.__dict__["rng"] = check.as_generator(value)

    def _as_inputs(self, X: Any) -> Array | SparseRows:
        """Return the core's input for what is not a plain array of the right type already."""
        self._refuse_columns("X", X)
        return check.as_any_inputs("X", X, self.sizes[0], self.dtype)

    def _refuse_columns(self, name: str, X: Any) -> None:
        """Raise ValueError if a frame's columns are not the features, in their order."""
        features = self.features
        given = None if features is None else names_of(X)
        if features is None or given is None or given == features:
            return
        said = ", ".join(map(repr, features[:8])) + (", ..." if len(features) > 8 else "")
        wrong = next(
            itertools.chain(
                (f"{one!r} is missing" for one in features if one not in given),
                (f"{one!r} is none of them" for one in given if one not in features),
            ),
            "their order is another",
        )
        raise ValueError(
            f"{name}: expected the network's features as columns, in this order: {said}; {wrong}"
        )

    def _as_vectors(self, name: str, values: Any, shape: tuple[int, ...]) -> Array:
        """Return the v or u of derivatives, one vector for each row of inputs."""
        array = check.as_numeric(name, values)
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        return check.cast(name, array, self.dtype)

    def _as_output(self, output: Any) -> int:
        """Return which output is meant."""
        n_L = self.sizes[-1]
        if output is None:
            if n_L == 1:
                return 0
            raise ValueError(f"output: expected one of 0 to {n_L - 1}, got None")
        index = check.as_count("output", output, least=0)
        if index >= n_L:
            raise ValueError(f"output: expected 0 to {n_L - 1}, got {index}")
        return index

    def _threads(self, n_threads: int | None) -> int:
        """Return how many threads the core may take."""
        return resolve(n_threads)

    def _refuse_out(self, out: object, shape: tuple[int, ...], name: str = "out") -> None:
        """Raise what is wrong with an array that the core cannot write to."""
        if type(out) is np.ndarray and np.may_share_memory(out, self.parameters):
            raise ValueError(f"{name}: expected an array apart from the network's parameters")
        wanted = f"{name}: expected a writable, C-contiguous {self.dtype} array of shape {shape}"
        if type(out) is not np.ndarray:
            raise TypeError(f"{wanted}, got {type(out).__name__}")
        if out.dtype != self.dtype or out.shape != shape:
            raise ValueError(f"{wanted}, got {out.dtype} of shape {out.shape}")
        state = "one that is not contiguous"
        if not out.flags.writeable:
            state = "a read-only one"
        elif not out.flags.aligned:
            state = "one that is not aligned"
        raise ValueError(f"{wanted}, got {state}")

    def _as_batch(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Any, Array, Array | None]:
        """Return samples that are not plain arrays of the right types already."""
        self._refuse_columns("X", X)
        return check.as_batch(X, y, sample_weight, self.sizes, self.loss, self.dtype)

    _optimizer_type = Optimizer
    _sobolev_gradients = _sobolev.gradients
    _sobolev_step = _sobolev.train_step

    def _as_given(self, X: Any, delta: Any) -> tuple[Any, Array | None]:
        """Return samples, and what of delta^L is given with them."""
        inputs = self._as_inputs(X)
        if isinstance(inputs, np.ndarray) and inputs.ndim == 1:
            inputs = inputs[np.newaxis]
        if delta is None:
            return inputs, None
        return inputs, as_exactly("delta", delta, (len(inputs), self.sizes[-1]), self.dtype)

    def _as_answer(self, answer: Any, outputs: Array) -> tuple[float, Array]:
        return as_answer(answer, outputs)

    def _refuse_vector(self, name: str, vector: Any) -> None:
        """Raise what is wrong with a gradient, or a place for one."""
        self._refuse_out(vector, self.parameters.shape, name)

    def _refuse_loss(self, loss: Any, of: Any) -> None:
        """Raise what is wrong with a loss of the user's own."""
        as_own_loss(loss)
        check.as_choice("of", of, ("a", "z"))

    def _as_update(
        self, optimizer: Any, n_threads: int | None, own_loss: bool, *options: Any
    ) -> tuple[check.StepOptions, int]:
        """Return the options of an update that is not a plain one, and the seed of its dropout."""
        as_optimizer(optimizer)
        loss = None if own_loss else self.loss
        checked = check.as_step_options(len(self.sizes) - 1, loss, *options)
        resolve(n_threads)  # refused, if at all, before a seed is drawn
        return checked, int(self.rng.integers(2**63 - 1)) if checked.dropout else 0

    def _refuse_nonfinite(self, X: Array) -> None:
        check.refuse_nonfinite("X", X)

    def _score(self, outputs: Array, y: Array, sample_weight: Array | None) -> tuple[str, float]:
        if y.ndim == 1 and y.dtype == self.dtype:  # of a single output
            y = y[:, np.newaxis]
        return score(self.loss, outputs, y, sample_weight)


def _as_names(name: str, values: Any, count: int, whose: str) -> list[Any] | None:
    """Return a list of names in their order, which a set has not: those of inputs are texts."""
    if values is None:
        return None
    is_list = isinstance(values, Iterable) and getattr(values, "ndim", 1) == 1
    if not is_list or isinstance(values, (str, bytes, Mapping, Set)):
        raise TypeError(f"{name}: expected a list of names or None, got {values!r}")
    if library_of(values) == "pyarrow" and hasattr(values, "to_pylist"):
        values = values.to_pylist()  # of its own scalars
    names = [one.item() if isinstance(one, np.generic) else one for one in values]
    for one in names:
        if whose == "inputs" and not isinstance(one, str):
            raise TypeError(f"{name}: expected names as str, got {one!r}")
        if one.__hash__ is None:  # a list, an array, a dict
            raise TypeError(f"{name}: expected a name for each, got {one!r}")
    expected = f"a name for each of {count} {whose}"
    if (count, whose) == (1, "outputs"):
        count, expected = min(max(len(names), 1), 2), "one or two for one output"
    if len(names) != count:
        raise ValueError(f"{name}: expected {expected}, got {len(names)}")
    return names
