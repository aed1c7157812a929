"""Many networks in one call, on one data set: `fcnn.fit_many`.

Each network has a training of its own (`fcnn.training`). What they share is the data, checked once,
and the calls of the core: one makes an epoch of all networks, or several where nothing has to be
done between them.
"""

# Annotations stay text, as in network.py.
from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcnn import _validation as check
from fcnn._data import Arrays, as_batch_size, as_samples, as_validation
from fcnn._dispatch import core
from fcnn._progress_bar import progress_bar
from fcnn.callbacks import ModelCheckpoint
from fcnn.errors import DivergenceError
from fcnn.history import CURVES, History, Progress
from fcnn.network import Network, as_networks
from fcnn.optimizers import Optimizer, as_optimizer
from fcnn.schedules import Schedule, as_schedules
from fcnn.threads import resolve
from fcnn.training import (
    EpochRunner,
    IterationRunner,
    TrainingState,
    as_callbacks,
    runner_of,
)
from fcnn.training import validate as note_validation

__all__ = ["fit_many"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]

DIVERGED = ("raise", "stop")
MOST_EPOCHS = 100  # of a call of the core, so that all networks get on


def fit_many(
    networks: Sequence[Network],
    X: Any,
    y: ArrayLike,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int | Literal["auto"] | Sequence[Any] | None = "auto",
    optimizers: Optimizer | str | Sequence[Optimizer | str | None] | None = None,
    sample_weights: Any = None,
    validation: Sequence[Any] | None = None,
    callbacks: Sequence[Any] = (),
    shuffle: bool = True,
    rngs: int | Sequence[int | np.random.Generator] | None = None,
    progress: bool = False,
    n_threads: int | None = None,
    schedules: Any = None,
    l1: float | Sequence[float] = 0.0,
    l2: float | Sequence[float] = 0.0,
    clip_norm: float | Sequence[float | None] | None = None,
    dropout: float | tuple[float, ...] | Sequence[Any] = 0.0,
    label_smoothing: float | Sequence[float] = 0.0,
    class_weight: dict[int, float] | str | None = None,
    trainable: Any = None,
    diverged: str = "raise",
) -> list[History]:
    """Train many networks on one data set, each as its own `fcnn.Network.fit` would.

    The networks are spread over threads, one thread each. Each ends with the bits of ``networks[i]
    .fit(X, y, ...)`` with its own options, whatever the others and the number of threads are; its
    history is the same, too, but for the seconds. Small networks of the same sizes, activations,
    loss, batch size and kind of optimizer are trained several at once, in the lanes of a register.

    Of an option of each network a list (or array, or range) has one entry for each; anything else
    is for all of them. So has a tuple, but for `dropout` and `schedules`.

    Parameters
    ----------
    networks : sequence of fcnn.Network
        All different, with the same number of inputs and of targets; sizes, losses and dtypes may
        differ.
    X, y
        Samples for all, as for `fit`; no iterables of batches. Memory maps larger than memory are
        read once for each network.
    epochs : int or list of int, default 10
    batch_size : int, "auto", None or list of them, default "auto"
        As for `fit`.
    optimizers : list of optimizers, or one for all, optional
        As for `fit`: None is a new ``fcnn.Adam()`` for each. Those of a list keep their state, one
        for each network, all different. One alone, which must be new, is copied for each.
    sample_weights : list of arrays of shape (s,), or one for all, optional
        Rows of an array of shape (networks, s), or a list, which may have None: as bootstrap, how
        often each sample was drawn.
    validation : (X, y) or (X, y, sample_weight), optional
        For all.
    callbacks : list of lists, or a list for all, optional
        As for `fit`. Those for all are copied for each network. A list of lists has those of each
        network, which keep what they found; all with a state are different then.
    shuffle : bool, default True
    rngs : list of int or numpy.random.Generator, or int, optional
        Of shuffling and dropout; a number alone gives network i
        ``numpy.random.default_rng((rngs, i))``. None goes on with ``networks[i].rng``. No two may
        be the same, since each is drawn from as if it were alone.
    progress : bool, default False
        Show a progress bar.
    n_threads : int, optional
        As for `fit`.
    schedules : list of schedules, or one for all, optional
        As for `fit`; those whose factors are multiplied are a tuple. One for all is copied for
        each.
    l1, l2, clip_norm, label_smoothing : float or list of float, optional
        As for `fit`.
    dropout : float, tuple of float or list of them, default 0
        As for `fit`; one number for each layer is a tuple.
    class_weight : dict or "balanced", optional
        As for `fit`, for all.
    trainable : dict or list of them, optional
        As for `fit`.
    diverged : {"raise", "stop"}, default "raise"
        What a network does whose loss stops being finite: end all trainings behind the epoch at
        hand, or its own alone, with a warning.

    Returns
    -------
    list of fcnn.history.History
        Of each network. The seconds of an epoch are those of all networks together.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; nothing is changed. Of an entry of a list, or where
        networks differ, the message names the network.
    fcnn.DivergenceError
        With ``diverged="raise"``, for the first such network; all keep their last finite
        parameters.
    KeyboardInterrupt
        On Ctrl-C; the parameters of each are those of its last completed update.

    Warns
    -----
    RuntimeWarning
        With ``diverged="stop"``, for each network whose training ended so.

    Examples
    --------
    >>> import numpy as np, fcnn
    >>> X = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    >>> networks = [fcnn.Network((3, 8, 1), loss="squared_error", rng=i) for i in range(4)]
    >>> histories = fcnn.fit_many(networks, X, X.sum(axis=1, keepdims=True), epochs=5)
    >>> [len(history.loss) for history in histories]
    [5, 5, 5, 5]
    """
    networks = _as_networks(networks)
    check.as_flag("shuffle", shuffle)
    check.as_flag("progress", progress)
    check.as_choice("diverged", diverged, DIVERGED)
    threads = None if n_threads is None else resolve(n_threads)
    if y is None:
        raise TypeError("y: expected targets, got None; batches of an iterable are for fit")
    n = len(networks)
    given = {
        name: _of_each(name, value, n)
        for name, value in {
            "epochs": epochs, "batch_size": batch_size, "l1": l1, "l2": l2,
            "clip_norm": clip_norm, "dropout": dropout, "label_smoothing": label_smoothing,
            "trainable": trainable, "schedules": _schedules(schedules, n),
            "optimizers": _optimizers(optimizers, n), "callbacks": _callbacks(callbacks, n),
            "rngs": _generators(rngs, n),
        }.items()
    }  # fmt: skip
    data = _Data(X, y, sample_weights, validation, class_weight, n)
    trainings = []
    for i, network in enumerate(networks):
        with _Named(f"networks[{i}]"):
            own = {name: values[i] for name, values in given.items()}
            trainings.append(_Training(i, network, data, own, shuffle, threads))
    if any(one.draws for one in trainings):
        _refuse_shared(
            "rngs", [one.state.generator.bit_generator for one in trainings if one.draws],
            "the same generator", "rngs=0 gives each its own",
            [one.number for one in trainings if one.draws],
        )  # fmt: skip
    bar = progress_bar(0, max(one.epochs for one in trainings), progress)
    for one in trainings:
        core.refuse_while_asked(one.network)
        if one.state.optimizer._state:  # which refuses one that is another network's
            with _Named(f"networks[{one.number}]"):
                one.state.optimizer.state(one.network)
    for one in trainings:
        one.state.begin(one.state_now)
    with bar() as shown:
        _run(trainings, threads, diverged, shown)
    for one in trainings:
        one.end()
    return [one.state.history for one in trainings]


# --- Arguments -----------------------------------------------------------------------------------


class _Named:
    """Says whose it is that is refused."""

    def __init__(self, whose: str) -> None:
        self.whose = whose

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (TypeError, ValueError)):
            raise type(error)(f"{error} ({self.whose})") from None


def _as_networks(networks: Any) -> list[Network]:
    given = as_networks(networks)
    _refuse_shared("networks", given, "the same network", "network.copy() makes another", None)
    first = given[0]
    for i, network in enumerate(given):
        for what, mine, wanted in (
            ("inputs", network.sizes[0], first.sizes[0]),
            ("targets", network.num_targets, first.num_targets),
        ):
            if mine != wanted:
                raise ValueError(
                    f"networks[{i}]: expected {wanted} {what}, as networks[0] has, got {mine}"
                )
    return given


def _refuse_shared(
    name: str, objects: Sequence[Any], what: str, instead: str, numbers: Sequence[int] | None
) -> None:
    """Refuse one object in the place of two, None aside."""
    seen: dict[int, int] = {}
    for i, one in enumerate(objects):
        number = i if numbers is None else numbers[i]
        if one is not None and seen.setdefault(id(one), number) != number:
            raise ValueError(
                f"{name}: entries {seen[id(one)]} and {number} are {what}, expected one for each "
                f"network; {instead}"
            )


def _of_each(name: str, value: Any, n: int) -> list[Any]:
    """Return the value of each network: a list, an array or a range has one for each.

    So has a tuple, where it does not stand for one value.
    """
    is_one = name in ("dropout", "schedules")
    if isinstance(value, range) or (isinstance(value, tuple) and not is_one):
        value = list(value)
    if isinstance(value, np.ndarray) and value.ndim > 0:
        value = value.tolist() if value.ndim == 1 else list(value)
    if not isinstance(value, list):
        return [value] * n
    if len(value) != n:
        raise ValueError(
            f"{name}: expected one for all, or a list with one for each of {n} networks, got a "
            f"list of {len(value)}"
        )
    return value


def _optimizers(given: Any, n: int) -> list[Any]:
    if isinstance(given, Optimizer):
        if given.steps or given._state:
            raise ValueError(
                f"optimizers: {given!r} has made {given.steps} steps; expected a new one, of which "
                "each network gets a copy, or a list with one for each"
            )
        return [copy.deepcopy(given) for _ in range(n)]
    each = _of_each("optimizers", given, n)
    for one in each:  # before two of them are compared: a class for all is no optimizer
        if one is not None and not isinstance(one, str):
            as_optimizer(one)
    _refuse_shared(
        "optimizers", [one for one in each if not isinstance(one, str)], "the same optimizer",
        "it has the state of one", [i for i, one in enumerate(each) if not isinstance(one, str)],
    )  # fmt: skip
    return each


def _keeps_state(schedule: Schedule) -> bool:
    return type(schedule).on_epoch is not Schedule.on_epoch


def _schedules(given: Any, n: int) -> list[list[Schedule]]:
    if not isinstance(given, list):
        for_all = as_schedules(given)
        return [copy.deepcopy(for_all) for _ in range(n)]
    each = []
    for i, one in enumerate(_of_each("schedules", given, n)):
        with _Named(f"schedules[{i}]"):
            each.append(as_schedules(one))
    pairs = [(i, one) for i, some in enumerate(each) for one in some if _keeps_state(one)]
    _refuse_shared(
        "schedules", [one for _, one in pairs], "the same schedule", "it keeps a state",
        [i for i, _ in pairs],
    )  # fmt: skip
    return each


def _callbacks(given: Any, n: int) -> list[list[Any]]:
    try:
        given = list(given)
    except TypeError:
        raise TypeError(f"callbacks: expected a list, got {given!r}") from None
    if not any(isinstance(one, (list, tuple)) for one in given):
        given = as_callbacks(given)
        if any(isinstance(one, ModelCheckpoint) for one in given):
            raise ValueError(
                "callbacks: a ModelCheckpoint for all networks would write them to one file; "
                "expected a list of callbacks for each network"
            )
        return [[copy.deepcopy(one) for one in given] for _ in range(n)]
    each = []
    for i, some in enumerate(_of_each("callbacks", given, n)):
        if not isinstance(some, (list, tuple)):
            raise TypeError(f"callbacks[{i}]: expected a list, as the others have, got {some!r}")
        with _Named(f"callbacks[{i}]"):
            each.append(as_callbacks(some))
    files: dict[str, int] = {}
    for i, some in enumerate(each):
        for one in some:
            if not isinstance(one, ModelCheckpoint):
                continue
            other = files.setdefault(os.path.realpath(one.path), i)
            if other != i:
                raise ValueError(
                    f"callbacks: the ModelCheckpoints of networks[{other}] and networks[{i}] write "
                    f"to one file, {os.fspath(one.path)}; expected one for each network"
                )
    # A plain function may serve all: it keeps nothing that fit would begin anew.
    pairs = [
        (i, one) for i, some in enumerate(each) for one in some
        if hasattr(one, "state_dict") or hasattr(one, "on_begin")
    ]  # fmt: skip
    _refuse_shared(
        "callbacks", [one for _, one in pairs], "the same callback", "it keeps a state",
        [i for i, _ in pairs],
    )  # fmt: skip
    return each


def _generators(rngs: Any, n: int) -> list[Any]:
    if rngs is None or isinstance(rngs, (list, tuple, range, np.ndarray)):
        return _of_each("rngs", rngs, n)
    if isinstance(rngs, np.random.Generator):
        raise ValueError(
            "rngs: expected a number, or a list with a generator for each network, got one for all"
        )
    seed = check.as_count("rngs", rngs, 0)
    return [np.random.default_rng((seed, i)) for i in range(n)]


class _Data:
    """The samples of all networks: converted and checked once for networks that read them alike."""

    def __init__(
        self, X: Any, y: Any, sample_weights: Any, validation: Any, class_weight: Any, n: int
    ) -> None:
        self.X, self.y, self.validation, self.class_weight = X, y, validation, class_weight
        self.weights = _weights_of_each(sample_weights, n)
        self.for_all = None if self.weights is not None else sample_weights
        self._known: dict[Any, tuple[Arrays, Arrays | None]] = {}

    def of(
        self, number: int, network: Network, epochs: int, in_blocks: bool
    ) -> tuple[Arrays, Arrays | None]:
        """Return the samples of a network, and what is held out."""
        names = None if network.features is None else tuple(network.features)
        key = network.sizes[0], network.sizes[-1], network.loss, network.dtype, in_blocks, names
        if key not in self._known:
            samples = as_samples(
                network, self.X, self.y, self.for_all, epochs, own_loss=False, in_blocks=in_blocks
            )
            assert isinstance(samples, Arrays)
            if self.class_weight is not None and self.weights is None:
                samples.weigh_classes(self.class_weight)
            held_out = as_validation(network, self.validation, own_loss=False)
            self._known[key] = samples, held_out
        samples, held_out = self._known[key]
        samples = samples.for_network(network)
        if self.weights is not None:
            samples.weight = check.as_sample_weight(
                self.weights[number], samples.samples, network.dtype, f"sample_weights[{number}]"
            )
            if self.class_weight is not None:
                samples.weigh_classes(self.class_weight)
        return samples, None if held_out is None else held_out.for_network(network)


def _weights_of_each(given: Any, n: int) -> list[Any] | None:
    """Return the weights of each network, None if all have the same or none."""
    if given is None:
        return None
    if isinstance(given, (list, tuple)):
        if not any(one is None or np.ndim(one) > 0 for one in given):
            return None
        return _of_each("sample_weights", list(given), n)
    dimensions = np.ndim(given)
    if dimensions > 2:
        raise ValueError(
            f"sample_weights: expected shape (samples,) or ({n}, samples), got {np.shape(given)}"
        )
    return _of_each("sample_weights", list(np.asanyarray(given)), n) if dimensions == 2 else None


# --- Training ------------------------------------------------------------------------------------


class _Training:
    """The training of one network among many."""

    def __init__(
        self,
        number: int,
        network: Network,
        data: _Data,
        given: dict[str, Any],
        shuffle: bool,
        threads: int | None,
    ) -> None:
        self.number, self.network = number, network
        self.epochs = check.as_count("epochs", given["epochs"])
        size = as_batch_size(given["batch_size"])
        options = check.as_step_options(
            len(network.sizes) - 1, network.loss, given["l1"], given["l2"], given["clip_norm"],
            given["dropout"], given["label_smoothing"], given["trainable"],
        )  # fmt: skip
        self.samples, self.held_out = data.of(
            number, network, self.epochs, options.dropout is not None
        )
        self.state = TrainingState(
            network, given["optimizers"], given["schedules"], given["callbacks"], given["rngs"],
            self.samples, None, options.trainable, self.held_out,
        )  # fmt: skip
        self.runner: EpochRunner | IterationRunner = runner_of(
            self.state, self.samples, size, shuffle, options, None, None, threads, None
        )
        stochastic = isinstance(self.runner, EpochRunner)
        own_size = self.runner.batch_size if isinstance(self.runner, EpochRunner) else None
        self.size = min(self.samples.samples, own_size or self.samples.samples)
        self.draws = stochastic and (shuffle or options.dropout is not None)
        self.is_joint = stochastic and self.samples.in_memory
        self.curves = CURVES[:1] if self.held_out is None else CURVES
        self.has_failed = False
        self._rates: NDArray[np.float64] | None = None
        self._totals = np.zeros((0, 4))

    @property
    def is_going(self) -> bool:
        """Whether there is another epoch to make."""
        return not (self.state.stopped or self.has_failed) and self.state.epoch < self.epochs

    @property
    def is_watched(self) -> bool:
        """Whether something has to be done after each epoch."""
        state, runner = self.state, self.runner
        return bool(
            not self.is_joint or self.held_out is not None or state.schedules or state.callbacks
            or (isinstance(runner, EpochRunner) and runner.options.dropout)
        )  # fmt: skip

    def state_now(self) -> Progress:
        """Return what callbacks are given."""
        state = self.state
        return Progress(
            self.network, state.optimizer, state.history, state.epoch, self.epochs, self.curves,
            state,
        )  # fmt: skip

    def order(self, count: int) -> tuple[Any, ...]:
        """Return what the core is given for so many epochs."""
        state, runner, samples = self.state, self.runner, self.samples
        assert isinstance(runner, EpochRunner)
        batches = samples.batches(self.size)
        source: Any = state.generator.bit_generator if runner.shuffle else None
        if runner.shuffle and runner.options.dropout:  # the seed is drawn behind the order
            source = core.shuffled(state.generator, samples.samples)
        self._totals = np.zeros((count, 4))
        self._rates = None
        if state.schedules:
            self._rates = runner.rates(0, batches, batches, self.epochs)
        return (
            self.network, samples.X, samples.y, state.optimizer, self.size, source, samples.weight,
            runner.options, self._rates, self._totals, runner.seed(), None,
        )  # fmt: skip

    def take(self, completed: int, seconds: float) -> None:
        """Take note of epochs that the core has completed."""
        assert isinstance(self.runner, EpochRunner)
        for totals in self._totals[:completed].tolist():
            costs, weights, penalties, batches = totals
            loss = (costs / weights if weights else 0.0) + (penalties / batches if batches else 0.0)
            self.runner.note(loss, totals, self._rates)
        self.state.history.seconds += [seconds] * completed
        self.state.epoch += completed

    def make_alone(self) -> Exception | None:
        """Make an epoch by calls of its own; return what ended it."""
        began = time.perf_counter()
        try:
            self.runner.make_epoch(self.epochs, None)
        except DivergenceError as error:
            return error
        self.state.history.seconds.append(time.perf_counter() - began)
        self.state.epoch += 1
        return None

    def epoch_ended(self) -> None:
        """Evaluate what is held out, and tell who wants to know."""
        if self.held_out is not None:
            found = self.held_out.evaluate(None, self.runner.threads)
            note_validation(self.state.history, found)
        self.state.tell(self.state_now)

    def fail(self, error: Exception, diverged: str) -> None:
        """End the training for an error, or all of them."""
        self.has_failed = True
        where = f"networks[{self.number}], in epoch {self.state.epoch + 1} of {self.epochs}"
        if diverged == "raise" or not isinstance(error, DivergenceError):
            error.add_note(where)
            raise error
        warnings.warn(f"{where}: {error}; its training has ended", RuntimeWarning, stacklevel=4)

    def end(self) -> None:
        """Tell the callbacks that all is done, unless an error has ended it."""
        for callback in () if self.has_failed else self.state.callbacks:
            if hasattr(callback, "on_end"):
                callback.on_end(self.state_now())


def _run(trainings: list[_Training], threads: int | None, diverged: str, bar: Any) -> None:
    """Make all epochs."""
    while going := [one for one in trainings if one.is_going]:
        # Where nobody looks between epochs a call makes several.
        count = 1
        if bar is None and not any(one.is_watched for one in going):
            count = min(MOST_EPOCHS, *(one.epochs - one.state.epoch for one in going))
        began = time.perf_counter()
        failures: list[tuple[_Training, Exception]] = []
        joint = [one for one in going if one.is_joint]
        made = core.train_many([one.order(count) for one in joint], count, threads)
        seconds = (time.perf_counter() - began) / count
        for one, (completed, failure) in zip(joint, made, strict=True):
            one.take(completed, seconds)
            if failure is not None:
                failures.append((one, failure))
        for one in going:
            if not one.is_joint and (failure := one.make_alone()) is not None:
                failures.append((one, failure))
        for one, failure in failures:
            one.fail(failure, diverged)
        for one in going:
            if not one.has_failed:
                one.epoch_ended()
        if bar is not None:
            _show(bar, trainings, going)


def _show(bar: Any, trainings: list[_Training], going: list[_Training]) -> None:
    losses = [one.state.history.loss[-1] for one in going if one.state.history.loss]
    left = sum(one.is_going for one in trainings)
    shown = {"networks": left, "mean loss": f"{np.mean(losses):.4g}" if losses else "none"}
    bar.set_postfix(shown, refresh=False)
    bar.update(max(one.state.epoch for one in trainings) - bar.n)
