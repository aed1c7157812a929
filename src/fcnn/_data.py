"""Samples of a training: arrays, memory maps that are read in blocks, iterables of batches."""

# Annotations stay text, as in _validation.py.
from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._checkpoint import Fingerprint, checksum
from fcnn._dispatch import core
from fcnn._memmap import Rows, is_mapped
from fcnn._own_loss import value_of
from fcnn._sparse import SparseRows, is_sparse
from fcnn.metrics._equations import score

if TYPE_CHECKING:
    from fcnn.network import Network

Array = NDArray[Any]

# Samples of a memory map are copied in blocks of about this size.
BLOCK_BYTES = 32 << 20

# Samples of an update where nothing else is said.
BATCH_SIZE = 32

# And so many of its rows tell it from another.
MOST_COMPARED = 1024


class Block(NamedTuple):
    """Samples in memory, checked, for one call of the core."""

    X: Any  # an array or SparseRows
    y: Array
    weight: Array | None
    order: Array | None  # None: as they come
    batch_size: int
    numbers: Array | None = None  # of its samples among all; None: their places here


class Arrays:
    """Samples in arrays.

    Small ones are converted and checked once and for all. Those of a large memory map, or with
    `in_blocks` of any large array, are copied, converted and checked block by block, in the order
    of each epoch.

    Parameters
    ----------
    network : fcnn.Network
    X, y, sample_weight
        As for `Network.fit`.
    own_loss : bool
        y is for a function of the user's, and left as it is.
    whose : str
        Before the arguments' names in messages.
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        own_loss: bool = False,
        in_blocks: bool = False,
        whose: str = "",
    ) -> None:
        self.X: Any
        self._network = network
        self._loss = None if own_loss else network.loss
        self._names = f"{whose}X", f"{whose}y"
        X_is_mapped = is_mapped(X)
        # Labels are small beside their inputs.
        y_is_mapped = is_mapped(y) and np.ndim(y) > 1
        self._is_large = False
        if (in_blocks or X_is_mapped or y_is_mapped) and not is_sparse(X):
            X = check.as_numeric(self._names[0], X)
            self._is_large = X.ndim == 2 and len(X) > self._rows
        self._y_is_mapped = self._is_large and y_is_mapped
        if not (own_loss or self._is_large) and core.are_samples(network, X, y, sample_weight):
            self.X, self.y, self.weight = X, y, sample_weight
            self.samples = len(X)
            return
        if self._is_large and X_is_mapped:
            self.X = _stored(self._names[0], X, network.sizes[0])
        else:
            self.X = self._inputs(X)
        self.samples = len(self.X)
        if not self._y_is_mapped:
            self.y = self._targets(self.samples, y)
        else:
            self.y = _stored(self._names[1], y, None)
            if len(self.y) != self.samples:
                raise ValueError(
                    f"{self._names[1]}: expected {self.samples} rows, got shape {self.y.shape}"
                )
            self._targets(1, self.y[:1])  # refuses other wrong shapes and dtypes
        self.weight = check.as_sample_weight(
            sample_weight, self.samples, network.dtype, f"{whose}sample_weight"
        )

    def for_network(self, network: Network) -> Arrays:
        """Return the same samples for another network, to which they are the same."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), _network=network)  # copy.copy takes three times as long
        return other

    @property
    def in_memory(self) -> bool:
        """Whether all samples are one block."""
        return not self._is_large

    @property
    def _rows(self) -> int:
        """Rows of a block, the same whatever is mapped: validation and dropout see the blocks."""
        sizes, dtype = self._network.sizes, self._network.dtype
        return max(BLOCK_BYTES // ((sizes[0] + sizes[-1]) * dtype.itemsize), 1)

    def _inputs(self, X: Any) -> Array | SparseRows:
        name, n_in = self._names[0], self._network.sizes[0]
        self._network._refuse_columns(name, X)
        inputs = check.as_any_inputs(name, X, n_in, self._network.dtype)
        if inputs.ndim == 1:
            raise ValueError(
                f"{name}: expected shape (samples, {n_in}), got {inputs.shape}; X[None] makes it "
                "one sample"
            )
        check.refuse_nonfinite(name, inputs)
        return inputs

    def _targets(self, rows: int, y: Any, numbers: Array | None = None) -> Array:
        n_out, dtype = self._network.num_targets, self._network.dtype
        return check.as_targets(self._names[1], y, rows, n_out, self._loss, dtype, numbers)

    def weigh_classes(self, class_weight: Any) -> None:
        """Multiply the weight of each sample by that of its class."""
        classes = _num_classes(self._network.sizes[-1], self._loss)
        weights = check.as_class_weight(class_weight, classes)
        if weights is None:
            counts = sum(_memberships(y, classes).sum(axis=0) for y in self._target_blocks())
            # sklearn.utils.class_weight.compute_class_weight; an absent class weighs nothing.
            present = np.maximum(counts, 1e-300)
            weights = np.where(counts > 0, self.samples / (np.count_nonzero(counts) * present), 0)
        of_classes = [_class_factors(y, weights) for y in self._target_blocks()]
        self.weight = _product(np.concatenate(of_classes), self.weight, self._network.dtype)
        if not self.weight.any():
            raise ValueError("class_weight: expected a weight greater than 0 for a class of y")

    def batches(self, batch_size: int) -> int:
        """Return how many batches an epoch has."""
        return -(-self.samples // batch_size)

    def blocks(self, order: Array | None, batch_size: int) -> Iterable[Block]:
        """Return the samples of an epoch; a block holds whole batches."""
        if self._is_large:
            return self._copied_blocks(order, batch_size)
        return (Block(self.X, self.y, self.weight, order, batch_size),)

    def _copied_blocks(self, order: Array | None, batch_size: int) -> Iterator[Block]:
        rows = max(self._rows // batch_size, 1) * batch_size
        X = np.empty((min(rows, self.samples), self.X.shape[1]), self._network.dtype)
        samples = self.samples if order is None else len(order)
        with Rows(self._names[0], self.X) as source, self._stored_targets() as stored_y:
            for begin in range(0, samples, rows):
                end = min(begin + rows, samples)
                # Without an order a slice, which is copied faster than as many numbers.
                index: Any = slice(begin, end) if order is None else order[begin:end]
                numbers = np.arange(begin, end) if order is None else order[begin:end]
                inputs = X[: end - begin]
                source.copy(index, inputs)
                check.refuse_nonfinite(self._names[0], inputs, numbers)
                y = self._some_targets(stored_y, index, numbers)
                weight = None if self.weight is None else self.weight[index]
                yield Block(inputs, y, weight, None, batch_size, numbers)

    def _stored_targets(self) -> Any:
        """Return what reads the targets from their file, as a context, or an empty context."""
        return Rows(self._names[1], self.y) if self._y_is_mapped else contextlib.nullcontext()

    def _some_targets(self, stored: Rows | None, index: Any, numbers: Array) -> Array:
        if stored is None:
            return self.y[index]
        y = np.empty((len(numbers), *self.y.shape[1:]), self.y.dtype)
        stored.copy(index, y)
        return self._targets(len(numbers), y, numbers)

    def _target_blocks(self) -> Iterator[Array]:
        with self._stored_targets() as stored:
            for begin in range(0, self.samples, self._rows):
                part = slice(begin, min(begin + self._rows, self.samples))
                yield self._some_targets(stored, part, np.arange(part.start, part.stop))

    def evaluate(
        self, loss: Callable[..., Any] | None, n_threads: int | None
    ) -> tuple[float, tuple[str, float] | None]:
        """Return the loss, and the name and value of the score that goes with it.

        Outputs and targets of all samples are held in memory, inputs are not. A `loss` of the
        user's own has no score.
        """
        found = self.outputs(None, n_threads, with_losses=loss is None)
        if loss is not None:
            return value_of(loss, found.a, found.y, self.weight)[0], None
        return found.scored(self._network.loss)

    def outputs(
        self, order: Array | None, n_threads: int | None, *, with_losses: bool = True
    ) -> Outputs:
        """Return the network's outputs for some samples, or all, and what they are to be."""
        network, rows = self._network, self._rows
        losses, shares, outputs, targets = [], [], [], []
        for large in self.blocks(order, rows) if order is None or len(order) else ():
            # In memory they are cut like those of a memory map, for the same bits.
            samples = len(large.X) if large.order is None else len(large.order)
            for begin in range(0, samples, rows):
                part: Any = slice(begin, begin + rows)
                if large.order is not None:
                    part = large.order[part]
                X, y = large.X[part], large.y[part]
                weight = None if large.weight is None else large.weight[part]
                targets.append(y)
                if not with_losses:
                    outputs.append(network._outputs(X, n_threads))
                    continue
                mean, a = network._loss_and_outputs(X, y, weight, n_threads)
                losses.append(mean)
                shares.append(len(X) if weight is None else float(weight.sum(dtype=np.float64)))
                outputs.append(a)
        if not outputs:
            outputs.append(np.empty((0, network.sizes[-1]), network.dtype))
            targets.append(np.asarray(self.y[:0]))
        weight = self.weight if order is None or self.weight is None else self.weight[order]
        return Outputs(losses, shares, _joined(outputs), _joined(targets), weight)

    def fingerprint(self, whole: bool = True) -> Fingerprint:
        """Return checksums of samples, targets and weights as the network has them.

        Of all where they are in memory, and of some rows, which is all that is read of a map, and
        of any X unless `whole`.
        """
        few = np.arange(min(self.samples, MOST_COMPARED))
        few = few * (self.samples - 1) // max(len(few) - 1, 1)
        X, y = self.X, self.y
        of_X, of_y = {}, {}
        if self._is_large and is_mapped(X):
            rows = np.empty((len(few), X.shape[1]), self._network.dtype)
            with Rows(self._names[0], X) as source:
                source.copy(few, rows)
        elif isinstance(X, SparseRows):
            rows = X[few].toarray()
            if whole:
                of_X["entries"] = checksum(X.values, X.columns, X.begins)
        else:
            rows = X[few]
            if whole:
                of_X["all"] = checksum(X)
        if not self._y_is_mapped:
            of_y["all"] = checksum(_as_compared(y))
        with self._stored_targets() as stored:
            of_y["rows"] = checksum(_as_compared(self._some_targets(stored, few, few)))
        return {
            "X": {"rows": checksum(rows + rows.dtype.type(0)), **of_X},  # a sparse one has no -0
            "y": of_y,
            "sample_weight": {"all": "none" if self.weight is None else checksum(self.weight)},
        }


class Outputs(NamedTuple):
    """Outputs for some samples; and of parts of them the losses and what these count."""

    losses: list[float]
    shares: list[float]
    a: Array
    y: Array
    weight: Array | None

    def scored(self, loss: str) -> tuple[float, tuple[str, float]]:
        """Return the loss of all, and the name and value of the score that goes with it."""
        losses = self.losses
        mean = losses[0] if len(losses) == 1 else float(np.average(losses, weights=self.shares))
        return mean, score(loss, self.a, self.y, self.weight)


def joined(parts: list[Outputs]) -> Outputs:
    """Return the outputs of several processes as one."""
    weight = None
    if any(part.weight is not None for part in parts):
        weight = np.concatenate(
            [np.ones(len(p.a), p.a.dtype) if p.weight is None else p.weight for p in parts]
        )
    targets = [part.y for part in parts]
    if len({y.ndim for y in targets}) > 1:  # labels and one-hot rows
        targets = [y if y.ndim == 1 else y.argmax(axis=1) for y in targets]
    return Outputs(
        list(itertools.chain(*(part.losses for part in parts))),
        list(itertools.chain(*(part.shares for part in parts))),
        _joined([part.a for part in parts]), _joined(targets), weight,
    )  # fmt: skip


def _as_compared(y: Array) -> Array:
    """Return targets for a checksum: the same labels, whatever integers they come as."""
    return y.astype("<i8") if y.dtype.kind in "biu" else y


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class Batches:
    """Samples that come in batches, from an iterable or a function that returns an iterator.

    Parameters
    ----------
    network : fcnn.Network
    source : iterable, or callable without arguments
        Gives (X, y) or (X, y, sample_weight) for each update.
    epochs : int
        One pass over the source is made for each.
    own_loss : bool
        y is for a function of the user's.
    """

    samples = None
    weight = None

    def __init__(self, network: Network, source: Any, epochs: int, own_loss: bool) -> None:
        self._network = network
        self._loss = None if own_loss else network.loss
        self._class_weight: Array | None = None
        try:
            length: int | None = len(source)
        except TypeError:
            length = None
        self._length = length
        self._is_list = type(source) in (list, tuple)
        self._source: Callable[[], Iterable[Any]]
        if callable(source):
            self._source = source
            return
        try:
            is_iterator = iter(source) is source
        except TypeError:
            raise TypeError(
                "X: without y, expected an iterable of batches (X, y) or a function that returns "
                f"one, got {type(source).__name__}"
            ) from None
        if is_iterator and epochs > 1:
            raise ValueError(
                f"X: an iterator ends after one pass, epochs={epochs} need as many; expected an "
                "iterable that can begin anew (a list, an object with __iter__) or a function "
                "that returns an iterator"
            )
        self._source = lambda: source

    def weigh_classes(self, class_weight: Any) -> None:
        """Multiply the weight of each sample by that of its class."""
        classes = _num_classes(self._network.sizes[-1], self._loss)
        self._class_weight = check.as_class_weight(class_weight, classes)
        if self._class_weight is None:
            raise ValueError(
                'class_weight: "balanced" needs all targets at once, got batches; expected a dict'
            )

    def batches(self, batch_size: int) -> int | None:
        """Return how many batches an epoch has, None if that is not known."""
        return self._length

    def fingerprint(self, whole: bool = True) -> Fingerprint:
        """Return what is known of the batches without making them: of a list all, or their number.

        A list's are those that it holds now.
        """
        known = {} if self._length is None else {"number": str(self._length)}
        if self._is_list and whole:
            parts = [part for one in self.blocks(None, 1) for part in _parts_of(one)]
            known["all"] = checksum(*parts)
        return {"batches": known, "class_weight": {"all": checksum(self._class_weight)}}

    def blocks(self, order: Array | None, batch_size: int) -> Iterator[Block]:
        """Yield the batches of an epoch."""
        number = 0
        source = self._source()
        try:
            batches = iter(source)  # also of what has __getitem__ alone
        except TypeError:
            raise TypeError(
                f"X: expected a function that returns an iterator, got one that returns {source!r}"
            ) from None
        for number, batch in enumerate(batches, start=1):
            yield self._block(batch, f" of batch {number}")
        if number == 0:
            raise ValueError(
                "X: expected an iterable of batches, got one without any; one that is spent after "
                "an epoch must begin anew in the next"
            )

    def _block(self, batch: Any, which: str) -> Block:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            got = type(batch).__name__
            if isinstance(batch, (tuple, list)):
                got += f" of {len(batch)}"
            raise TypeError(
                f"X: expected batches (X, y) or (X, y, sample_weight), got {got} as{which[3:]}"
            )
        name, network = f"X{which}", self._network
        X, y, weight = (*batch, None)[:3]
        network._refuse_columns(name, X)
        X = check.as_any_inputs(name, X, network.sizes[0], network.dtype)
        if X.ndim == 1:
            raise ValueError(f"{name}: expected shape (samples, {network.sizes[0]}), got {X.shape}")
        check.refuse_nonfinite(name, X)
        y = check.as_targets(f"y{which}", y, len(X), network.num_targets, self._loss, network.dtype)
        weight = check.as_sample_weight(weight, len(X), network.dtype, f"sample_weight{which}")
        if self._class_weight is not None:
            weight = _product(_class_factors(y, self._class_weight), weight, network.dtype)
        return Block(X, y, weight, None, len(X))


def as_batch_size(value: Any) -> int | Literal["auto"] | None:
    """Return the samples of an update; None: all, "auto": as many as suit the optimizer."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return value  # type: ignore[return-value] # which is that string
    return check.as_count("batch_size", value)


def size_of_updates(
    batch_size: int | str | None, data: Arrays | Batches, shared: bool
) -> int | None:
    """Return the samples of an update, None for all, by an optimizer of mini-batches.

    `shared` is whether several ranks train, which are given the same, whatever data each has.
    """
    if isinstance(batch_size, int) and isinstance(data, Batches) and not shared:
        raise ValueError(
            'batch_size: expected "auto" or None with batches of an iterable, which bring their '
            f"own sizes, got {batch_size}"
        )
    return BATCH_SIZE if isinstance(batch_size, str) else batch_size


def as_whole(data: Arrays | Batches, batch_size: int | str | None, kind: str) -> Arrays:
    """Return data for an optimizer of all samples at once, whose kind is for messages."""
    if isinstance(data, Batches):
        raise ValueError(f"X: fcnn.{kind} needs all samples at once, got batches of an iterable")
    if isinstance(batch_size, int) and batch_size < data.samples:
        raise ValueError(
            f'batch_size: expected "auto" or None with fcnn.{kind}, which takes all '
            f"{data.samples:,} samples at once, got {batch_size}"
        )
    return data


def _parts_of(block: Block) -> tuple[Any, ...]:
    X = block.X.toarray() if isinstance(block.X, SparseRows) else block.X
    return X, _as_compared(block.y), block.weight


def as_samples(
    network: Network,
    X: Any,
    y: Any,
    sample_weight: Any,
    epochs: int,
    *,
    own_loss: bool,
    in_blocks: bool,
) -> Arrays | Batches:
    """Return the samples of a training: see `Network.fit` and `Arrays`."""
    if y is not None:
        return Arrays(network, X, y, sample_weight, own_loss=own_loss, in_blocks=in_blocks)
    # A data frame, too, can be gone through.
    if hasattr(X, "__array__") or hasattr(X, "__array_interface__") or is_sparse(X):
        raise TypeError(
            "y: expected targets, got None; without y, X is an iterable of batches (X, y)"
        )
    if sample_weight is not None:
        raise ValueError(
            "sample_weight: expected None with batches, which bring their own as (X, y, "
            "sample_weight)"
        )
    return Batches(network, X, epochs, own_loss)


def as_validation(network: Network, validation: Any, *, own_loss: bool) -> Arrays | None:
    """Return what is evaluated after each epoch, if anything."""
    if validation is None:
        return None
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        got = type(validation).__name__
        if isinstance(validation, (tuple, list)):
            got += f" of {len(validation)}"
        raise TypeError(f"validation: expected (X, y) or (X, y, sample_weight), got {got}")
    return Arrays(network, *(*validation, None)[:3], own_loss=own_loss, whose="validation ")


# --- Targets -------------------------------------------------------------------------------------


def _num_classes(n_out: int, loss: str | None) -> int:
    targets = None if loss is None else check.TARGETS[loss]
    if not (targets == "classes" or (targets == "probabilities" and n_out == 1)):
        given = "a loss of your own" if loss is None else f"{loss} of {n_out} outputs"
        raise ValueError(
            "class_weight: it goes with the loss cross_entropy, or binary_cross_entropy of one "
            f"output; got {given}"
        )
    return max(n_out, 2)


def _memberships(y: Array, classes: int) -> Array:
    """Return how far each sample belongs to each class, shape (s, classes)."""
    if y.ndim == 1:
        return y[:, np.newaxis] == np.arange(classes)
    return y if y.shape[1] == classes else np.hstack([1 - y, y])


def _class_factors(y: Array, weights: Array) -> Array:
    """Return the weight of each sample's class, shape (s,)."""
    # Of labels by an index: their memberships would be a large array.
    return weights[y] if y.ndim == 1 else _memberships(y, len(weights)) @ weights


def _product(factors: Array, weight: Array | None, dtype: np.dtype[Any]) -> Array:
    return check.cast("class_weight", factors if weight is None else factors * weight, dtype)


def _stored(name: str, array: Any, columns: int | None) -> Array:
    """Return an array whose rows can be copied one by one, not converted yet."""
    stored = check.as_numeric(name, array)
    if columns is not None and stored.shape[1:] != (columns,):
        raise ValueError(f"{name}: expected shape (samples, {columns}), got {stored.shape}")
    if any(abs(a) < abs(b) for a, b in itertools.pairwise(stored.strides)):
        raise ValueError(
            f"{name}: expected a memory map with its samples one after the other (C order), got "
            "one that is stored column by column"
        )
    return stored
