"""A training that several ranks share: what each of them does in `Network.fit`."""

from __future__ import annotations

import functools
import itertools
import math
import os
import platform
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _format
from fcnn._checkpoint import Loaded, fingerprint_of, shared_fingerprint
from fcnn._data import Arrays, Block, joined
from fcnn._dispatch import core
from fcnn.errors import DivergenceError
from fcnn.history import History
from fcnn.parallel._parts import Part, Parts, added
from fcnn.parallel._ranks import RankError, Ranks, interruptible, refuse_differences, uninterrupted
from fcnn.parallel._sums import Sum, SystemSum, best_sum
from fcnn.threads import get_num_threads
from fcnn.training import EpochRunner

if TYPE_CHECKING:
    from fcnn.network import Network

Array = NDArray[Any]

# As in the core: weights go to panels for a call of so many steps, of at least so many rows, and
# take at most so much memory there.
_STEPS_IN_PANELS = 8
_FEW_ROWS = 3
_MOST_PANEL_BYTES = 1 << 28


class Sharing(NamedTuple):
    """How ranks share a batch: see `fcnn.parallel.Reducer`."""

    deterministic: bool
    replicated: bool
    shards: int  # 0 unless deterministic
    shared_memory: bool


class Session:
    """One call of `fit` on all ranks.

    Parameters
    ----------
    ranks : Ranks
    sharing : Sharing
    network : Network
    arguments : dict
        Those of `Network.fit`, but for X, y, comm and reduce.
    """

    def __init__(
        self, ranks: Ranks, sharing: Sharing, network: Network, arguments: dict[str, Any]
    ) -> None:
        self.ranks = ranks
        self.sharing = sharing
        self._network = network
        self._arguments = arguments
        self._runner: SharedRunner | None = None

    def run(self, X: Any, y: Any) -> History:
        """Train; whatever ends it on one rank ends it on all."""
        given, is_first = self._arguments, self.ranks.rank == 0
        try:
            resume = self._loaded(given["resume"])
            own = {} if is_first else {"callbacks": (), "progress": False}
            history = self._network.fit(X, y, **{**given, **own, "reduce": self, "resume": resume})
            assert self._runner is not None
            self._runner.end()
            return history
        except BaseException as error:
            with uninterrupted():  # who presses Ctrl-C twice would leave the others waiting
                if self._runner is not None and self._runner.is_broken:
                    # Others wait for this rank in the middle of a sum, where nothing can be told.
                    traceback.print_exc()
                    self.ranks.comm.Abort(1)
                self.ranks.fail(error)
                if self._runner is not None:
                    self._runner.free()
            raise

    def _loaded(self, resume: Any) -> Loaded | None:
        """Return the checkpoint that rank 0 reads."""
        saved = None
        if self.ranks.rank == 0 and resume is not None:
            saved = _format.load_checkpoint(self._network, resume)
        saved = self.ranks.from_first(saved)
        if saved is None:
            return None
        if self.ranks.rank > 0:
            saved = ({**saved[0], "callbacks": []}, saved[1])
        return Loaded(os.fspath(resume) if resume is not None else "rank 0's file", saved)

    def __call__(self, gradient: Array) -> None:  # which makes it what `fit` takes for `reduce`
        raise AssertionError

    def runner(self, *given: Any) -> SharedRunner:
        """Return what makes the epochs: see `fcnn.training.EpochRunner`."""
        self._runner = SharedRunner(self, self._arguments, *given)
        return self._runner


class _Plan(NamedTuple):
    """Some steps that all ranks make, alike on all but for `rows` and `places`."""

    steps: int
    rows: NDArray[np.int64]  # (steps, shards) of this rank
    places: NDArray[np.int64]  # (steps,) of its first row in each batch
    totals: NDArray[np.int64]  # (steps,) rows of each batch
    in_panels: bool


class SharedRunner(EpochRunner):
    """The epochs of one rank.

    Parameters
    ----------
    session : Session
    arguments : dict
        Of `Network.fit`.
    given
        As for `EpochRunner`.
    """

    def __init__(self, session: Session, arguments: dict[str, Any], *given: Any) -> None:
        super().__init__(*given)
        self._session = session
        self._ranks, self._sharing = session.ranks, session.sharing
        self._refuse(arguments)
        own = self._described(arguments)
        found = self._ranks.agree(own)
        refuse_differences([one["same"] for one in found])
        counts = [one["samples"] for one in found]
        replicated = self._sharing.replicated
        self.training.claim(
            None if None in counts else counts[0] if replicated else sum(counts),
            shared_fingerprint([one["data"] for one in found]),
        )
        batches = [one["batches"] for one in found]
        self._batches = None if None in batches else max(batches)
        self._most_threads = 1
        if arguments["n_threads"] is None:
            self._most_threads = self.threads = _fair_share(
                own["place"], [one["place"] for one in found]
            )
        with uninterrupted():
            self._kind_of_sum = best_sum(
                self._ranks.comm, self._sharing.deterministic, self._sharing.shared_memory
            )
        self._vectors: dict[tuple[bool, int], tuple[Sum, list[Array]]] = {}

    @property
    def is_broken(self) -> bool:
        """Whether a sum has failed."""
        return any(adder.is_broken for adder, _ in self._vectors.values())

    # --- Checks ----------------------------------------------------------------------------------

    def _refuse(self, arguments: dict[str, Any]) -> None:
        """Refuse what ranks cannot share."""
        sharing, data = self._sharing, self.data
        if self.loss is not None or self.jacobian is not None:
            name = "loss" if self.loss is not None else "jacobian_targets"
            raise ValueError(f"{name}: not with several ranks, whose steps are the core's own")
        if sharing.replicated and not isinstance(data, Arrays):
            raise ValueError("X: replicated=True needs all samples at once, got batches")
        if sharing.deterministic and not sharing.replicated and isinstance(data, Arrays) and (
            self.shuffle
        ):  # fmt: skip
            raise ValueError(
                "shuffle: the bits would depend on the number of ranks, each of which shuffles "
                "its own rows; expected shuffle=False with deterministic=True, or "
                "Reducer(comm, deterministic=True, replicated=True)"
            )
        if arguments["class_weight"] == "balanced" and not sharing.replicated:
            raise ValueError(
                'class_weight: "balanced" would count the labels of one rank; expected a dict, or '
                "Reducer(comm, replicated=True)"
            )

    def _described(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what the other ranks have to know of this one."""
        training, data, network = self.training, self.data, self.training.network
        same: dict[str, Any] = {
            "fcnn.__version__": fcnn.__version__,
            "FCNN_ISA": core.ISA,
            **{name: getattr(network, name) for name in ("sizes", "activations", "loss")},
            "dtype": network.dtype.name,
            "reduce": self._sharing,
            "optimizer": (type(training.optimizer).__name__, training.optimizer._hyperparameters()),
            "schedule": [_name_of(one) for one in training.schedules],
            "rng": type(training.generator.bit_generator).__name__,
            **{name: arguments[name] for name in ("epochs", "batch_size", "shuffle")},
            **self.options._asdict(),
            "class_weight": arguments["class_weight"],
            **{name: arguments[name] is not None for name in ("validation", "resume")},
        }
        known = fingerprint_of(*training.sources, whole=False)
        if self._sharing.replicated:
            for name in ("X", "y", "sample_weight"):
                same[name] = f"rows with the checksum {' '.join(known[name].values())}"
        return {
            "same": same,
            "data": known,
            "samples": data.samples,
            "batches": data.batches(self._size()) if data.samples is None else self._own_batches(),
            "place": _place(),
        }

    # --- Epochs ----------------------------------------------------------------------------------

    def _size(self) -> int:
        """Return how many rows this rank brings to a whole batch."""
        if self.data.samples is None:
            return 1
        return min(self.data.samples, self.batch_size or self.data.samples)

    def _whole_batch(self) -> int:
        """Return how many rows a batch of replicated data has."""
        samples = self.data.samples
        assert samples is not None
        if self.batch_size is None:
            return samples
        return min(samples, self.batch_size * self._ranks.size)

    def _own_batches(self) -> int:
        samples = self.data.samples
        assert samples is not None
        whole = self._whole_batch() if self._sharing.replicated else self._size()
        return -(-samples // whole)

    def _own_order(self) -> tuple[Array | None, int]:
        """Return the rows of an epoch that this rank takes, in order, and those of a batch."""
        training, data, ranks = self.training, self.data, self._ranks
        if data.samples is None:
            return None, 1
        order = None
        if self.shuffle and (self._sharing.replicated or ranks.size == 1):
            order = core.shuffled(training.generator, data.samples)
        elif self.shuffle:
            # All draw the same number; what they make of it is their own.
            seed = int(training.generator.integers(2**63 - 1))
            order = core.shuffled(np.random.default_rng([seed, ranks.rank]), data.samples)
        if not self._sharing.replicated:
            return order, self._size()
        whole = self._whole_batch()
        begins = np.arange(0, data.samples, whole)
        rows = np.minimum(whole, data.samples - begins)
        first, last = (begins + self._bound(rows, ranks.rank + i) for i in range(2))
        mine = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        return mine if order is None else order[mine], max(int(last[0] - first[0]), 1)

    def _bound(self, rows: Any, rank: int) -> Any:
        """Return where the part of a rank begins in batches of so many rows."""
        shards = self._sharing.shards or self._ranks.size
        return rank * (shards // self._ranks.size) * rows // shards

    def make_epoch(self, epochs: int, bar: Any) -> None:
        """Make the updates of an epoch, and the entries of its history but for the seconds."""
        training, ranks = self.training, self._ranks
        order, size = self._own_order()
        seed, made = self.seed(), 0
        rates = None
        costs: list[Array] = []
        weights: list[Array] = []
        penalties: list[Array] = []
        network = training.network
        parts = Parts(
            self._blocks(order, size), self._own_batches_of(order, size), network.sizes[0],
            network.dtype,
        )  # fmt: skip
        while True:
            parts.advance()
            # From here on the others count on this rank.
            with uninterrupted() as heard:
                answers = ranks.agree(
                    (parts.rows, parts.is_last, parts.is_dense, parts.is_weighted)
                )
                plan = self._plan([answer[0] for answer in answers], all(a[1] for a in answers),
                                  all(a[2] for a in answers))  # fmt: skip
                if plan.steps == 0:
                    break
                part = parts.take(plan.steps)
                of_batches = plan.totals.astype(np.float64)
                if training.schedules or any(answer[3] for answer in answers):
                    own = part.weights(plan.rows)
                    rates = None
                    if training.schedules and ranks.rank == 0:
                        rates = self.rates(made, plan.steps, self._batches, epochs)
                    told = ranks.agree((own, rates))
                    of_batches = added([weight for weight, _ in told])
                    rates = told[0][1]
                cost, of_weights, stopped = self._make_steps_together(
                    plan, part, of_batches, rates, seed, made, heard
                )
            if stopped:
                ranks.agree()  # which says who stopped, and why
                raise RankError("a rank has ended the training")
            costs.append(cost)
            weights.append(of_batches)
            penalties.append(of_weights)
            made += plan.steps
            if bar is not None and self._batches and made < self._batches:
                bar.update(training.epoch + made / self._batches - bar.n)
            if all(answer[1] for answer in answers):
                break
        total = math.fsum(added(ranks.agree(np.concatenate(costs))))
        loss = total / (math.fsum(np.concatenate(weights)) or 1)
        history = training.history
        penalty = math.fsum(np.concatenate(penalties)) / made
        history.loss.append(loss + penalty)
        if self.options.l1 or self.options.l2:
            history.append("penalty", penalty)
        history.learning_rate.append(training.optimizer.lr if rates is None else float(rates[-1]))

    def _blocks(self, order: Array | None, size: int) -> Iterator[Block]:
        return iter(()) if order is not None and len(order) == 0 else iter(
            self.data.blocks(order, size)
        )  # fmt: skip

    def _own_batches_of(self, order: Array | None, size: int) -> int | None:
        if self.data.samples is None:
            return None
        return -(-(self.data.samples if order is None else len(order)) // size)

    def _plan(self, rows_of: list[Array], are_last: bool, are_dense: bool) -> _Plan:
        """Return the next steps: as many as nobody needs another block for."""
        ranks, network = self._ranks, self.training.network
        counts = [len(rows) for rows in rows_of if len(rows)]
        steps = (max if are_last else min)(counts, default=0)
        rows = np.zeros((ranks.size, steps), np.int64)
        for rank, given in enumerate(rows_of):
            some = given[:steps]
            rows[rank, : len(some)] = some
        places = np.zeros((ranks.size + 1, steps), np.int64)
        np.cumsum(rows, axis=0, out=places[1:])
        totals = places[-1]
        shards = self._sharing.shards
        own = rows[ranks.rank][:, np.newaxis]
        if shards:
            for rank in range(ranks.size):
                expected = self._bound(totals, rank)
                wrong = np.flatnonzero(places[rank] != expected)
                if len(wrong):
                    at, before = wrong[0], rank - 1
                    raise ValueError(
                        f"deterministic: of a batch of {totals[at]} rows ranks 0 to {before} have "
                        f"to bring the first {expected[at]}, got {places[rank, at]}; rank k has "
                        "the k-th part of each batch"
                    )
            each = shards // ranks.size
            first = ranks.rank * each
            bounds = [(first + i) * totals // shards for i in range(each + 1)]
            own = np.ascontiguousarray(np.diff(bounds, axis=0).T)
        most = -(-int(rows.max(initial=0)) // (shards // ranks.size if shards else 1))
        in_panels = (
            are_dense and steps >= _STEPS_IN_PANELS and most > _FEW_ROWS
            and network.parameters.nbytes <= _MOST_PANEL_BYTES
        )  # fmt: skip
        return _Plan(steps, own, np.ascontiguousarray(places[ranks.rank]), totals, in_panels)

    def _make_steps_together(
        self,
        plan: _Plan,
        part: Part,
        weights: Array,
        rates: Array | None,
        seed: int,
        made: int,
        heard: list[Any],
    ) -> tuple[Array, Array, bool]:
        """Make the steps of a plan.

        Return costs of this rank's shards, penalties, and whether a rank wanted to end.
        """
        training, network = self.training, self.training.network
        shards = plan.rows.shape[1]
        # Behind a callback that has given SGD a momentum there is more of a state.
        kind = plan.in_panels, core.weights_bytes(network, training.optimizer)
        if kind not in self._vectors:
            adder = self._kind_of_sum(self._ranks.comm, network, training.optimizer, plan.in_panels)
            levels = 0 if shards == 1 else shards.bit_length()
            more = [core.exchange_vector(network, plan.in_panels) for _ in range(levels)]
            self._vectors[kind] = adder, [adder.vector, *more]
        adder, vectors = self._vectors[kind]
        costs, penalties = np.zeros(plan.rows.shape), np.zeros(plan.steps)
        threads = self.threads
        if self._most_threads > 1:
            threads = min(self._most_threads, core.chosen_threads(
                network, max(len(part), 1), max(int(plan.rows.max()), 1), True, plan.in_panels
            ))  # fmt: skip
        steps = functools.partial(
            core.exchange_steps, network, part.X, part.y, training.optimizer, adder, vectors,
            plan.rows, plan.places, weights, costs, penalties, order=part.order,
            sample_weight=part.weight, n_threads=threads, options=self.options, lr_curve=rates,
            seed=seed, first_step=made, buckets=self._buckets(), in_panels=plan.in_panels,
        )  # fmt: skip
        begun, adder.heard = adder.sums, heard
        try:
            _, stopped = interruptible(steps)
        except DivergenceError as error:
            if made:
                error.add_note(f"counted after the first {made} steps of the epoch")
            raise
        except BaseException:
            # Before the first sum: the others wait in it, where nothing can be told to them.
            adder.is_broken = adder.is_broken or adder.sums == begun
            raise
        return costs, penalties, stopped

    def _buckets(self) -> NDArray[np.int64]:
        """Return the lowest layer of each part of the gradient that is sent by itself."""
        lowest = 1
        if self.options.trainable is not None:
            lowest = next(i for i, rate in enumerate(self.options.trainable) if rate) // 2 + 1
        if issubclass(self._kind_of_sum, SystemSum):  # whose messages go while others are computed
            return np.arange(len(self.training.network.activations), lowest - 1, -1)
        return np.array([lowest], np.int64)

    # --- Around the epochs -----------------------------------------------------------------------

    def end(self) -> None:
        """End the training on all ranks."""
        self._ranks.agree()
        self.free()

    def free(self) -> None:
        """Give back what the ranks have together, on all of them."""
        held, self._vectors = sorted(self._vectors.items()), {}
        with uninterrupted():
            for _, (adder, vectors) in held:
                vectors.clear()
                adder.free()

    def begin(self) -> None:
        """Give all ranks what rank 0 begins with."""
        training, ranks = self.training, self._ranks
        network, optimizer = training.network, training.optimizer
        told = ranks.from_first(
            {
                "optimizer": optimizer.state_dict(),
                "generator": training.generator.bit_generator.state,
                "epoch": training.epoch,
                "stopped": training.stopped,
                "history": asdict(training.history),
                "parameters": network.parameters,
            }
        )
        if ranks.rank > 0:
            training.generator.bit_generator.state = told["generator"]
            self._follow(told)

    def let(self, call: Callable[[], None]) -> None:
        """Call callbacks, and give all ranks what they have changed on rank 0."""
        training, ranks = self.training, self._ranks
        before = self._digest()
        told: dict[str, Any] = {}
        digests = ranks.agree(before)
        wrong = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
        if wrong:
            raise RuntimeError(
                f"after epoch {training.epoch} rank {wrong[0]} has other parameters than rank 0: "
                "the sums of the MPI are not alike on all ranks; Reducer(comm, "
                "deterministic=True) makes its own"
            )
        call()  # of schedules on all ranks, of callbacks on rank 0, which alone has some
        if ranks.rank == 0:
            told = {"stopped": training.stopped, "history": asdict(training.history)}
            told["optimizer"] = training.optimizer.state_dict()
            if self._digest() == before:
                told["optimizer"]["vectors"] = None
            else:
                told["parameters"] = training.network.parameters
        told = ranks.from_first(told)
        if ranks.rank > 0:
            self._follow(told)

    def _digest(self) -> tuple[int, ...]:
        optimizer = self.training.optimizer
        vectors = [self.training.network.parameters, *optimizer._state]
        return (optimizer.steps, *(zlib.crc32(vector.data) for vector in vectors))

    def _follow(self, told: dict[str, Any]) -> None:
        """Take what rank 0 has."""
        training = self.training
        network, optimizer = training.network, training.optimizer
        if told["optimizer"]["vectors"] is None:
            told["optimizer"]["vectors"] = list(optimizer._state)
        optimizer.load_state_dict(told["optimizer"])
        optimizer.state(network)
        if "parameters" in told:
            network.parameters[...] = told["parameters"]
        training.stopped = told["stopped"]
        training.epoch = told.get("epoch", training.epoch)
        for name, curve in told["history"].items():
            setattr(training.history, name, curve)

    def evaluate(self, held_out: Arrays) -> tuple[float, tuple[str, float] | None]:
        """Return loss and score of the validation rows of all ranks."""
        ranks, rows = self._ranks, held_out.samples
        places: list[Any] = [None]
        if self._sharing.replicated:
            each = (self._sharing.shards or ranks.size) // ranks.size
            shards = each * ranks.size
            bounds = [(ranks.rank * each + i) * rows // shards for i in range(each + 1)]
            places = [np.arange(a, b) for a, b in itertools.pairwise(bounds)]
        elif self._sharing.deterministic:
            places = self._shards_of_validation(rows)
        found = [held_out.outputs(place, self.threads) for place in places]
        with uninterrupted():
            ranks.agree()
            everyone = ranks.comm.gather(found, root=0) if ranks.size > 1 else [found]
        answer = None
        if ranks.rank == 0:
            all_found = [one for some in everyone for one in some]
            answer = joined(all_found).scored(self.training.network.loss)
        return ranks.from_first(answer)

    def _shards_of_validation(self, rows: int) -> list[Any]:
        counts = self._ranks.agree(rows)
        total, before = sum(counts), 0
        for rank, count in enumerate(counts):
            if before != self._bound(total, rank):
                raise ValueError(
                    f"validation: deterministic=True needs the k-th part of its {total} rows on "
                    f"rank k, but ranks 0 to {rank - 1} have {before}"
                )
            before += count
        each = self._sharing.shards // self._ranks.size
        first = self._ranks.rank * each
        bounds = [(first + i) * total // self._sharing.shards for i in range(each + 1)]
        return [np.arange(a, b) - bounds[0] for a, b in itertools.pairwise(bounds)]


def _name_of(schedule: Any) -> str:
    return getattr(schedule, "__qualname__", type(schedule).__qualname__)


def _place() -> tuple[str, tuple[int, ...]]:
    """Return the machine that this rank runs on, and the CPUs that it may use there."""
    cpus: Any = range(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
    return platform.node(), tuple(cpus)


def _fair_share(
    mine: tuple[str, tuple[int, ...]], places: Sequence[tuple[str, tuple[int, ...]]]
) -> int:
    """Return how many threads a rank may have, where others may be on the same CPUs."""
    beside = [set(cpus) for node, cpus in places if node == mine[0]]
    own = set(mine[1])
    sharing = sum(bool(own & cpus) for cpus in beside)
    together = set().union(*(cpus for cpus in beside if own & cpus))
    return max(1, min(get_num_threads(), len(together) // max(sharing, 1)))
