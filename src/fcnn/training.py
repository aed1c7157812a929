"""The training loop: epochs, validation, history. An epoch is one call of the core, or several."""

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcnn import _format
from fcnn import _validation as check
from fcnn._checkpoint import (
    Fingerprint,
    Loaded,
    equal,
    fingerprint_of,
    matched,
    refuse_other_data,
    samples_text,
    states_of,
)
from fcnn._data import Arrays, Batches, Block, as_whole, size_of_updates
from fcnn._dispatch import core
from fcnn._own_loss import OwnLoss
from fcnn._progress_bar import figures_of, progress_bar
from fcnn._sobolev import JacobianTerm, refuse_dropout, refuse_infinite
from fcnn._sparse import SparseRows
from fcnn.callbacks import ModelCheckpoint
from fcnn.errors import DivergenceError
from fcnn.history import CURVES, VALIDATION_LOSS, VALIDATION_SCORE, History, Progress
from fcnn.optimizers import SGD, Adam, Optimizer, as_optimizer
from fcnn.schedules import as_schedules, learning_rates
from fcnn.second_order import ALL_OPTIMIZERS, SecondOrder
from fcnn.second_order._objective import Objective
from fcnn.threads import resolve

if TYPE_CHECKING:
    from fcnn.network import Network

__all__ = ["History", "Progress"]  # which users know from here, too


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


def by_name(name: str) -> Optimizer:
    """Return a new optimizer with its defaults, of a name as in ALL_OPTIMIZERS."""
    kind = ALL_OPTIMIZERS[check.as_choice("optimizer", name, list(ALL_OPTIMIZERS))]
    if issubclass(kind, SGD):
        raise ValueError(f"optimizer: {name!r} needs a learning rate: fcnn.SGD(lr)")
    return kind()


class TrainingState:
    """What changes from epoch to epoch: all that a checkpoint has to hold.

    Parameters
    ----------
    network : fcnn.Network
    optimizer, schedule, callbacks, rng, resume
        As for `Network.fit`.
    data : fcnn._data.Arrays or fcnn._data.Batches
    rates : tuple of float or None
        Of the parameters: `StepOptions.trainable`.
    held_out : fcnn._data.Arrays or None
    jacobian : JacobianTerm or None
    """

    def __init__(
        self,
        network: "Network",
        optimizer: Optimizer | str | None,
        schedule: Any,
        callbacks: Any,
        rng: int | np.random.Generator | None,
        data: Arrays | Batches,
        resume: str | os.PathLike[str] | Loaded | None,
        rates: tuple[float, ...] | None = None,
        held_out: Arrays | None = None,
        jacobian: JacobianTerm | None = None,
    ) -> None:
        self.network = network
        self.samples = data.samples
        self.rates = rates
        self.sources = data, held_out, jacobian
        self._known: Fingerprint | None = None
        self._path = resume
        self._saved: tuple[dict[str, Any], NDArray[Any]] | None = None
        if isinstance(resume, Loaded):
            self._path, self._saved = resume
        elif resume is not None:
            self._saved = _format.load_checkpoint(network, resume)
        if optimizer is None:
            optimizer = self._saved_kind()
        elif isinstance(optimizer, str):
            optimizer = by_name(optimizer)
        self.optimizer = as_optimizer(optimizer)
        self.schedules = as_schedules(schedule)
        self.callbacks = as_callbacks(callbacks)
        self.generator = network.rng if rng is None else check.as_generator(rng)
        self.history = History()
        self.epoch = 0
        self.stopped = False
        if self._saved is not None:
            with self._refusals():
                state = self._saved[0]
                self.check(state)
                if not isinstance(resume, Loaded):  # whose samples are those of several ranks
                    self.claim(data.samples, self.fingerprint)
                self.epoch, self.stopped = state["epoch"], state["stopped"]
                self.history = History(**state["history"])

    def _saved_kind(self) -> Optimizer:
        """Return a new optimizer, of the kind that the checkpoint has."""
        if self._saved is None:
            return Adam()
        with self._refusals():
            kind = ALL_OPTIMIZERS[self._saved[0]["optimizer"]["rule"]]
        return kind(**{"lr": 1.0} if issubclass(kind, SGD) else {})

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say of which file it is that its state is nonsense."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"resume: {self._path} is not a sound checkpoint ({error!r})"
            ) from None

    def begin(self, state_now: Callable[[], Progress]) -> None:
        """Tell schedules and callbacks, then go on from the checkpoint, if there is one."""
        for one in (*self.schedules, *self.callbacks):
            if hasattr(one, "on_begin"):
                one.on_begin(state_now())
        self.optimizer.state(self.network)  # which refuses an optimizer that is another network's
        if self._saved is not None:
            with self._refusals():
                self.load_state_dict(*self._saved)
            self._saved = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: see `Progress.save`."""
        _format.save_checkpoint(self.network, self.state_dict(), path)

    @property
    def fingerprint(self) -> Fingerprint:
        """What tells the data from others: made where a checkpoint is written or read."""
        if self._known is None:
            self._known = fingerprint_of(*self.sources)
        return self._known

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "stopped": self.stopped,
            "samples": self.samples,
            "data": self.fingerprint,
            "trainable": self.rates,
            "history": asdict(self.history),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.bit_generator.state,
            "schedules": states_of("schedule", self.schedules),
            "callbacks": states_of("callbacks", self.callbacks),
        }

    def claim(self, samples: int | None, fingerprint: Fingerprint) -> None:
        """Take what is known of all samples; refuse a checkpoint of others."""
        self.samples, self._known = samples, fingerprint
        if self._saved is None:
            return
        state = self._saved[0]
        if (saved := state["samples"]) != samples:
            raise ValueError(
                f"resume: the checkpoint is of a training on {samples_text(saved)}, X has "
                f"{samples_text(samples)}"
            )
        refuse_other_data(self._path, state.get("data"), fingerprint)

    def check(self, state: dict[str, Any]) -> None:
        """Refuse the state of another training."""
        rates = state.get("trainable")  # None in earlier files, whose trainings moved all
        if rates is not None and len(rates) != 2 * len(self.network.activations):
            raise TypeError(f"rates of {rates!r}")
        if rates != (None if self.rates is None else list(self.rates)):
            saved, mine = map(check.named_rates, (rates, self.rates))
            raise ValueError(
                f"resume: the checkpoint is of a training with trainable={saved}, got {mine}"
            )
        if state["optimizer"]["rule"] != self.optimizer.rule:
            raise ValueError(
                f"resume: the checkpoint is of a training with {state['optimizer']['rule']}, "
                f"optimizer is {self.optimizer!r}"
            )
        shape = self.network.parameters.shape
        if any(v.shape != shape for v in state["optimizer"]["vectors"]):
            raise ValueError("resume: the checkpoint's optimizer is of a network of another size")
        probe = copy.copy(self.optimizer)  # which refuses nonsense
        probe.load_state_dict(state["optimizer"])
        probe.state(self.network)
        kind = state["generator"]["bit_generator"]
        if kind != type(self.generator.bit_generator).__name__:
            raise ValueError(
                f"rng: expected a generator with {kind}, as in the checkpoint, got "
                f"{type(self.generator.bit_generator).__name__}"
            )
        generator = type(self.generator.bit_generator)(0)
        generator.state = state["generator"]  # which refuses most of what is none
        if not equal(generator.state, state["generator"]):
            raise TypeError(f"a state that {kind} cannot have")
        matched("schedule", state["schedules"], self.schedules)
        matched("callbacks", state["callbacks"], self.callbacks)
        for name, curve in vars(History(**state["history"])).items():
            if name != "score_name" and not (
                isinstance(curve, list) and all(isinstance(v, (int, float)) for v in curve)
            ):
                raise ValueError(f"resume: the checkpoint's history has no curve {name!r}")

    def load_state_dict(self, state: dict[str, Any], parameters: NDArray[Any]) -> None:
        for name, given in (("schedules", self.schedules), ("callbacks", self.callbacks)):
            for one, its_state in matched(name, state[name], given):
                one.load_state_dict(its_state)
        # The caller's own objects last: what is left can no longer fail.
        self.generator.bit_generator.state = state["generator"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.state(self.network)
        self.network.parameters = parameters

    def tell(self, state_now: Callable[[], Progress]) -> None:
        """Tell schedules and callbacks of an epoch; one of these may end the training."""
        for schedule in self.schedules:
            schedule.on_epoch(state_now())
        for callback in self.callbacks:
            answer = callback(state_now())
            if isinstance(answer, (bool, np.bool_)) and answer:
                self.stopped = True

    def end(self, state_now: Callable[[], Progress]) -> None:
        """Tell callbacks that the training has ended."""
        for callback in self.callbacks:
            if hasattr(callback, "on_end"):
                callback.on_end(state_now())


def validate(history: History, found: tuple[float, tuple[str, float] | None]) -> None:
    """Put what an evaluation has found into an epoch's entries of the history."""
    value, score = found
    history.append(VALIDATION_LOSS, value)
    if score is not None:
        history.score_name, value = score
        history.append(VALIDATION_SCORE, value)


def run(
    training: TrainingState,
    runner: "EpochRunner | IterationRunner",
    held_out: Arrays | None,
    epochs: int,
    progress: bool,
) -> History:
    """Make the epochs that are left, each with its validation; return the history."""
    network, history = training.network, training.history
    curves: tuple[str, ...] = CURVES[:1]
    if held_out is not None:
        curves = CURVES if runner.loss is None else CURVES[:2]

    def state_now() -> Progress:
        return Progress(
            network, training.optimizer, history, training.epoch, epochs, curves, training
        )

    core.refuse_while_asked(network)
    new_bar = progress_bar(training.epoch, epochs, progress)
    training.begin(state_now)
    runner.begin()
    with new_bar() as bar:
        while training.epoch < epochs and not training.stopped:
            began = time.perf_counter()
            try:
                runner.make_epoch(epochs, bar)
            except DivergenceError as error:
                error.add_note(f"in epoch {training.epoch + 1} of {epochs}")
                raise
            history.seconds.append(time.perf_counter() - began)
            training.epoch += 1
            if held_out is not None:
                validate(history, runner.evaluate(held_out))
            history.level()
            if bar is not None:
                bar.set_postfix(figures_of(history, curves), refresh=False)
                bar.update(training.epoch - bar.n)
            runner.let(lambda: training.tell(state_now))
    runner.let(lambda: training.end(state_now))
    return history


class Runner:
    """What makes the epochs of a training, for `run`: several ranks do it together."""

    loss: OwnLoss | None = None
    threads: int | None = None

    def begin(self) -> None:
        """Begin the epochs."""

    def evaluate(self, held_out: Arrays) -> tuple[float, tuple[str, float] | None]:
        """Return loss and score of the validation: see `Arrays.evaluate`."""
        return held_out.evaluate(self.loss, self.threads)

    def let(self, call: Callable[[], None]) -> None:
        """Call what calls the callbacks."""
        call()


class EpochRunner(Runner):
    """The updates of an epoch.

    Parameters
    ----------
    training : TrainingState
    data : fcnn._data.Arrays or fcnn._data.Batches
    batch_size, shuffle, loss, reduce, n_threads
        As for `Network.fit`.
    options : fcnn._validation.StepOptions
    jacobian : JacobianTerm or None
    """

    def __init__(
        self,
        training: TrainingState,
        data: Arrays | Batches,
        batch_size: int | None,
        shuffle: bool,
        options: check.StepOptions,
        loss: OwnLoss | None,
        reduce: Callable[[Array], object] | None,
        n_threads: int | None,
        jacobian: JacobianTerm | None,
    ) -> None:
        self.training = training
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.options = options
        self.loss = loss
        self.reduce = reduce
        self.jacobian = jacobian
        self.threads = resolve(n_threads) if n_threads is not None else None

    def make_epoch(self, epochs: int, bar: Any) -> None:
        """Make the updates of an epoch, and the entries of its history but for the seconds."""
        training, data = self.training, self.data
        size, order = 1, None
        if data.samples is not None:
            size = min(data.samples, self.batch_size or data.samples)
            if self.shuffle:
                # Of the generator's state alone, not of the order before: a resumed training has
                # only the first.
                order = core.shuffled(training.generator, data.samples)
        batches, made = data.batches(size), 0
        # Of costs, weights, penalties and batches, over the blocks: the same bits as of one block.
        totals = np.zeros(4)
        rates, loss = None, 0.0
        for block in data.blocks(order, size):
            count = -(-len(block.X) // block.batch_size)
            if training.schedules:
                rates = self.rates(made, count, batches, epochs)
            try:
                loss = self._make_block(block, count, rates, totals)
            except DivergenceError as error:
                if made:
                    error.add_note(f"counted after the first {made} steps of the epoch")
                raise
            made += count
            if bar is not None and batches and made < batches:
                bar.update(training.epoch + made / batches - bar.n)
        self.note(loss, totals, rates)

    def note(
        self,
        loss: float,
        totals: Sequence[float] | NDArray[np.float64],
        rates: NDArray[np.float64] | None,
    ) -> None:
        """Make the entries of an epoch in the history, but for the seconds."""
        history, optimizer = self.training.history, self.training.optimizer
        history.loss.append(loss)
        if self.options.l1 or self.options.l2:
            history.append("penalty", float(totals[2] / totals[3]))
        history.learning_rate.append(optimizer.lr if rates is None else float(rates[-1]))

    def rates(self, made: int, count: int, batches: int | None, epochs: int) -> NDArray[np.float64]:
        """Return the learning rates of the next updates."""
        training = self.training
        times = np.full(count, float(training.epoch))
        if batches:
            times += np.minimum(np.arange(made, made + count), batches - 1) / batches
        return learning_rates(training.schedules, training.optimizer.lr, times, epochs)

    def _make_block(
        self,
        block: Block,
        count: int,
        rates: NDArray[np.float64] | None,
        totals: NDArray[np.float64],
    ) -> float:
        """Make the updates of a block; return the loss of the epoch so far."""
        if self.loss is not None or self.reduce is not None or self.jacobian is not None:
            return self._make_steps(block, count, rates, totals)
        training = self.training
        return training.network._train_epoch(
            block.X, block.y, training.optimizer, block.batch_size, block.order, block.weight,
            self.threads, self.options, lr_curve=rates, totals=totals, seed=self.seed(),
        )  # fmt: skip

    def _make_steps(
        self,
        block: Block,
        count: int,
        rates: NDArray[np.float64] | None,
        totals: NDArray[np.float64],
    ) -> float:
        """Make the updates of a block one by one: whole gradients have more to come."""
        training = self.training
        optimizer = training.optimizer
        lr = optimizer.lr
        try:
            for i in range(count):
                rows: Any = slice(i * block.batch_size, (i + 1) * block.batch_size)
                if block.order is not None:
                    rows = block.order[rows]
                X, y = block.X[rows], block.y[rows]
                weight = None if block.weight is None else block.weight[rows]
                if block.numbers is not None:
                    rows = block.numbers[rows]
                if rates is not None:
                    object.__setattr__(optimizer, "lr", float(rates[i]))  # which may be 0
                try:
                    value, penalty = self._step(X, y, weight, rows)
                except DivergenceError as error:
                    # The core counts the updates of its call, which is this one.
                    raise DivergenceError(
                        str(error).replace("in step 1;", f"in step {i + 1};")
                    ) from None
                share = len(X) if weight is None else weight.sum(dtype=np.float64)
                totals += value * share, share, penalty, 1
        finally:
            # Not by assignment: a pending Ctrl-C would be raised in the optimizer's __setattr__.
            object.__setattr__(optimizer, "lr", lr)
        return float(totals[0] / (totals[1] or 1) + totals[2] / totals[3])

    def _step(
        self, X: Any, y: Array, weight: Array | None, rows: slice | Array
    ) -> tuple[float, float]:
        """Make the update of one batch, some rows of all; return its loss and its penalty."""
        training, options, seed = self.training, self.options, self.seed()
        network, optimizer, threads = training.network, training.optimizer, self.threads
        if self.reduce is None and self.jacobian is None:
            assert self.loss is not None
            return core.own_step(
                network, X, y, weight, self.loss, False, optimizer, threads, options, seed=seed
            )
        of_batch = options._replace(l1=0.0, l2=0.0, clip_norm=None)
        if self.loss is not None:
            value, gradient = core.own_step(
                network, X, y, weight, self.loss, False, None, threads, of_batch, seed=seed
            )
        else:
            value, gradient = core.step_gradient(
                network, X, y, weight, threads, of_batch, seed=seed
            )
        if self.jacobian is not None:
            value += self.jacobian.add(network, X, rows, weight, gradient, threads)
        refuse_infinite(value, network)
        answer = None if self.reduce is None else self.reduce(gradient)
        if (
            isinstance(answer, np.ndarray) and answer.shape == gradient.shape
            and not np.may_share_memory(answer, gradient)
        ):  # fmt: skip
            raise TypeError(
                "reduce: expected a function that changes the gradient in place, it returned "
                f"another {type(answer).__name__}"
            )
        penalty = core.penalty_of(network, options)
        core.update(network, optimizer, gradient, options)
        return value, penalty

    def seed(self) -> int:
        """Return the seed of a call's dropout; drawn only where something is dropped."""
        return int(self.training.generator.integers(2**63 - 1)) if self.options.dropout else 0


class IterationRunner(Runner):
    """The epochs of an optimizer of all samples at once: one iteration each.

    Parameters
    ----------
    training : TrainingState
    data : fcnn._data.Arrays
    l2, n_threads
        As for `Network.fit`.
    jacobian : JacobianTerm or None
    """

    def __init__(
        self,
        training: TrainingState,
        data: Arrays,
        l2: float,
        n_threads: int | None,
        jacobian: JacobianTerm | None,
    ) -> None:
        self.training = training
        self.threads = resolve(n_threads) if n_threads is not None else None
        self._objective = Objective(training.network, data, l2, self.threads, jacobian)

    def make_epoch(self, epochs: int, bar: Any) -> None:
        """Make an iteration, and the entries of its history but for the seconds."""
        training, objective = self.training, self._objective
        optimizer = training.optimizer
        assert isinstance(optimizer, SecondOrder)
        if not np.array_equal(objective.parameters, training.network.parameters):
            objective.move_to(training.network.parameters)
        loss, state = optimizer.iterate(objective)
        if state is None:
            training.stopped = True
        else:
            objective.make_step(optimizer, state)
        training.history.loss.append(loss)
        if objective.decay().any():
            training.history.append("penalty", objective.penalty())


def runner_of(
    training: TrainingState,
    data: Arrays | Batches,
    batch_size: int | str | None,
    shuffle: bool,
    options: check.StepOptions,
    loss: OwnLoss | None,
    reduce: Callable[[Array], object] | None,
    n_threads: int | None,
    jacobian: JacobianTerm | None,
) -> EpochRunner | IterationRunner:
    """Return what makes the epochs of a training: see `EpochRunner`; `batch_size` as for `fit`."""
    optimizer = training.optimizer
    if jacobian is not None:
        refuse_dropout(options)
    if not isinstance(optimizer, SecondOrder):
        make = getattr(reduce, "runner", EpochRunner)  # of several ranks
        size = size_of_updates(batch_size, data, make is not EpochRunner)
        return make(training, data, size, shuffle, options, loss, reduce, n_threads, jacobian)
    kind = type(optimizer).__name__
    refused = {
        "schedule": training.schedules, "l1": options.l1, "clip_norm": options.clip_norm,
        "dropout": options.dropout, "label_smoothing": options.label_smoothing,
        "loss": loss is not None, "comm, reduce": reduce is not None,
        "trainable": options.trainable,
        "jacobian_targets": jacobian is not None and not optimizer.reads_gradients,
    }  # fmt: skip
    for name, given in refused.items():
        if given:
            raise ValueError(f"{name}: not with fcnn.{kind}, which minimizes the network's loss")
    samples = as_whole(data, batch_size, kind)
    if isinstance(samples.X, SparseRows) and not optimizer.reads_sparse:
        raise ValueError(f"X: fcnn.{kind} does not read sparse matrices; fcnn.LBFGS does")
    optimizer.refuse(training.network)
    return IterationRunner(training, samples, options.l2, n_threads, jacobian)


def as_callbacks(callbacks: Any) -> list[Callable[[Progress], object]]:
    """Return callbacks in the order in which they are called, or refuse what is none."""
    try:
        given = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks: expected a list of functions, got {callbacks!r}") from None
    for callback in given:
        if not callable(callback) or isinstance(callback, type):
            raise TypeError(f"callbacks: expected functions, got {callback!r}")
    # The file has the states of the others: they must have seen the epoch.
    return sorted(given, key=lambda callback: isinstance(callback, ModelCheckpoint))
