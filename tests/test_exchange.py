"""Steps whose gradient is summed over processes, of one process: shards, and what it hands over.

The truth is the epoch without them. What several processes make of it: test_mpi.py.
"""

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, random_problem, slow_but

import fcnn
from fcnn._dispatch import core as chosen
from fcnn._validation import StepOptions

HEAD, SCALARS = 64, 3  # in front of a gradient, and behind these what all have to know
SIZES, BATCH, STEPS = (6, 20, 9, 3), 24, 5
SHARDS = {
    "one": [24],
    "two": [12, 12],
    "uneven": [3, 21],
    "four": [6, 6, 6, 6],
    "some empty": [0, 11, 0, 13],
    "eight": [3, 1, 4, 1, 5, 2, 6, 2],
}


class Alone:
    """The sum over one process: it is there already."""

    weights = None

    def __init__(self, vector, asked_in=None):
        self.vector, self.asked_in = vector, asked_in
        self.is_broken, self.parts, self.steps = False, [], 0

    def start(self, first, end):
        self.parts.append((first, end, self.vector[first:end].copy()))

    def finish(self):
        """Each entry was handed over once, and as it is now."""
        end = HEAD - SCALARS
        for first, after, values in sorted(self.parts, key=lambda part: part[0]):
            if first >= HEAD and end == HEAD:
                end = first  # below are layers that stay
            assert first == end
            np.testing.assert_array_equal(values, self.vector[first:after])
            end = after
        assert end == len(self.vector)
        self.parts, self.steps = [], self.steps + 1
        self.told = self.vector[HEAD - SCALARS : HEAD].copy()
        return self.steps == self.asked_in


class Others(Alone):
    """The sum over this process and others, which in its third step add something."""

    def finish(self):
        """As of one process."""
        asked = super().finish()
        if self.steps == 3:
            self.vector[HEAD - SCALARS : HEAD] += np.array(self.others, self.vector.dtype)
        return asked


def exchanged(core, network, batch, optimizer, rows, buckets=(3, 2, 1), in_panels=False,
              asked_in=None, first_step=0, steps=STEPS, others=None, **given):  # fmt: skip
    """Make the steps; return (updates made, whether stopped, costs, penalties, what was told)."""
    X, y, weight = batch
    vectors = [core.exchange_vector(network, in_panels)
               for _ in range(1 if len(rows) == 1 else 1 + len(rows).bit_length())]  # fmt: skip
    own = (Alone if others is None else Others)(vectors[0], asked_in)
    own.others, rows = others, np.tile(rows, (steps, 1))
    costs, penalties = np.zeros(rows.shape), np.zeros(steps)
    weights = (np.full(steps, float(BATCH)) if weight is None
               else weight.reshape(steps, BATCH).sum(axis=1, dtype=np.float64))  # fmt: skip
    made, stopped = core.exchange_steps(
        network, X, y, optimizer, own, vectors, rows, np.zeros(steps, np.int64), weights,
        costs, penalties, sample_weight=weight, first_step=first_step,
        buckets=np.array(buckets), in_panels=in_panels, **given,
    )  # fmt: skip
    return made, stopped, costs, penalties, own


def problem(dtype, loss="cross_entropy", rows=STEPS * BATCH, weighted=True):
    output = {"cross_entropy": "softmax"}.get(loss, "identity")
    return random_problem(
        np.random.default_rng(0), SIZES, ("tanh", "relu", output), loss, dtype, rows, weighted
    )


def near(one, other, tolerance):
    scale = max(np.abs(other).max(), 1e-30)
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


OPTIONS = [
    {},
    {"l1": 0.01, "l2": 0.1},
    {"clip_norm": 0.05},
    {"dropout": (0.2, 0.4, 0.3)},
    {"trainable": (0.0, 0.0, 0.0, 1.0, 1.0, 0.5)},
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shards", slow_but(["some empty", "uneven"], SHARDS))
def test_shards_come_to_the_epoch_without_them(core, shards, options, dtype):
    twin, (X, y, weight) = problem(dtype)
    options = StepOptions(**options)
    rates = np.linspace(0.1, 0.3, STEPS)
    truth, losses = core_twin(core, twin), np.empty((STEPS, 2))
    state = fcnn.SGD(9.0, momentum=0.5)
    truth._train_epoch(X, y, state, BATCH, None, weight, 1, options, lr_curve=rates,
                       batch_losses=losses, seed=7)  # fmt: skip
    buckets = (3, 2) if options.trainable else (3, 2, 1)
    moved = truth.parameters - twin.parameters
    for threads, in_panels in ((1, False), (2, True), (2, False)):
        network, optimizer = core_twin(core, twin), fcnn.SGD(9.0, momentum=0.5)
        made, stopped, costs, penalties, _ = exchanged(
            core, network, (X, y, weight), optimizer, SHARDS[shards], buckets, in_panels,
            n_threads=threads, options=options, lr_curve=rates, seed=7,
        )  # fmt: skip
        assert (made, stopped, optimizer.steps) == (STEPS, False, STEPS)
        near(network.parameters - twin.parameters, moved, 20 * TOLERANCE[dtype])
        near(optimizer.state(network)[0], state.state(truth)[0], 20 * TOLERANCE[dtype])
        total = weight.reshape(STEPS, BATCH).sum(axis=1)
        near(costs.sum(axis=1) / total, losses[:, 0], 10 * TOLERANCE[dtype])
        near(penalties, losses[:, 1], 10 * TOLERANCE[dtype])


@pytest.mark.parametrize("buckets", [(1,), (3, 1), (2, 1), (3, 2, 1)], ids=str)
def test_the_sum_does_not_depend_on_who_is_told_when(core, buckets):
    twin, batch = problem("float32")
    found = []
    for given in ((1,), buckets):
        network = core_twin(core, twin)
        exchanged(core, network, batch, fcnn.Adam(0.01), [24], given, in_panels=True)
        found.append(network.parameters.tobytes())
    assert found[0] == found[1]


def test_calls_that_follow_each_other_have_the_masks_of_one(core):
    twin, (X, y, weight) = problem("float64")
    options = StepOptions(dropout=(0.2, 0.4, 0.3))
    whole, parts = core_twin(core, twin), core_twin(core, twin)
    one, other = fcnn.SGD(0.3), fcnn.SGD(0.3)
    exchanged(core, whole, (X, y, weight), one, [10, 14], options=options, seed=3)
    for first, end in ((0, 2), (2, STEPS)):
        rows = slice(first * BATCH, end * BATCH)
        exchanged(core, parts, (X[rows], y[rows], weight[rows]), other, [10, 14], options=options,
                  seed=3, first_step=first, steps=end - first)  # fmt: skip
    assert parts.parameters.tobytes() == whole.parameters.tobytes()


@pytest.mark.parametrize("shards", ["two", "four"])
@pytest.mark.parametrize("shard", [0, 1])
@pytest.mark.parametrize("kind", ["cost", "gradient"])
def test_what_is_too_large_in_one_shard_is_no_step(core, kind, shard, shards):
    """A cost, whose derivative is a number; a gradient, of an input that is not multiplied."""
    twin, (X, y, _) = random_problem(
        np.random.default_rng(0), SIZES, ("identity",) * 3, "squared_error", "float32", 5 * BATCH
    )
    rows, third = SHARDS[shards], 2 * BATCH
    at = third + shard * rows[0] + 1
    X[:, 0] = twin.W[1][:, 0] = 0
    if kind == "cost":
        y[at] = 1e25
    else:
        X[at, 0], y[at] = 1e30, 1e18
    network, optimizer, truth = core_twin(core, twin), fcnn.SGD(1e-3), core_twin(core, twin)
    with np.errstate(all="ignore"), pytest.raises(fcnn.DivergenceError, match="in step 3;"):
        exchanged(core, network, (X, y, None), optimizer, rows)
    truth._train_epoch(X[:third], y[:third], fcnn.SGD(1e-3), BATCH)
    near(network.parameters, truth.parameters, 1e-5)
    assert optimizer.steps == 2


def test_what_is_told_to_others(core):
    """Whether this process ends, has an infinite cost, and a bound of its gradient."""
    twin, (X, y, _) = problem("float32", "squared_error", weighted=False)
    network = core_twin(core, twin)
    *_, own = exchanged(core, network, (X, y, None), fcnn.SGD(1e-6), [12, 12])
    _, gradient = twin.gradients(X[-BATCH:], y[-BATCH:])
    assert own.told[:2].tolist() == [0, 0]
    assert np.linalg.norm(gradient) <= own.told[2] < np.inf
    *_, own = exchanged(core, network, (X, y, None), fcnn.SGD(1e-6), [12, 12], asked_in=2)
    assert own.told[0] == 1
    y[0] = 1e25
    told = []

    class Listening(Alone):
        def finish(self):
            super().finish()
            told.append(self.told)

    vector = core.exchange_vector(network, False)
    with np.errstate(all="ignore"), pytest.raises(fcnn.DivergenceError, match="in step 1;"):
        core.exchange_steps(
            network, X, y, fcnn.SGD(1e-6), Listening(vector), [vector], np.full((STEPS, 1), BATCH),
            np.zeros(STEPS, np.int64), np.full(STEPS, float(BATCH)), np.zeros((STEPS, 1)),
            np.zeros(STEPS), buckets=np.array([1]), in_panels=False,
        )  # fmt: skip
    assert len(told) == 1
    assert told[0][1] == 1


def test_what_others_tell(core):
    twin, (X, y, weight) = problem("float64")
    two, ends = core_twin(core, twin), 2 * BATCH
    two._train_epoch(X[:ends], y[:ends], fcnn.SGD(0.3), BATCH, None, weight[:ends])
    network, optimizer = core_twin(core, twin), fcnn.SGD(0.3)
    made, stopped, *_ = exchanged(core, network, (X, y, weight), optimizer, [24], others=(1, 0, 0))
    assert (made, stopped, optimizer.steps) == (2, True, 2)
    near(network.parameters, two.parameters, 1e-12)
    network, optimizer = core_twin(core, twin), fcnn.SGD(0.3)
    with pytest.raises(fcnn.DivergenceError, match="in step 3;"):
        exchanged(core, network, (X, y, weight), optimizer, [24], others=(0, 1, 0))
    near(network.parameters, two.parameters, 1e-12)
    # A gradient that may be too large is looked at; it is not.
    found = []
    for others in ((0, 0, 0), (0, 0, np.inf)):
        network = core_twin(core, twin)
        exchanged(core, network, (X, y, weight), fcnn.Adam(), [24], others=others)
        found.append(network.parameters.tobytes())
    assert found[0] == found[1]


def test_vectors_of_another_length_are_refused(core):
    twin, (X, y, _) = problem("float32", weighted=False)
    for more, shards in ((-1, 1), (1, 1), (-1, 2), (1, 2)):
        network, optimizer = core_twin(core, twin), fcnn.SGD(0.1)
        vectors = [core.exchange_vector(network, False) for _ in range(2 * shards - 1)]
        vectors[-1] = np.zeros(len(vectors[-1]) + more, np.float32)
        with pytest.raises(ValueError, match="vectors: the core expects"):
            core.exchange_steps(
                network, X, y, optimizer, Alone(vectors[0]), vectors,
                np.full((STEPS, shards), BATCH // shards), np.zeros(STEPS, np.int64),
                np.full(STEPS, float(BATCH)), np.zeros((STEPS, shards)), np.zeros(STEPS),
                buckets=np.array([1]), in_panels=False,
            )  # fmt: skip
        assert optimizer.steps == 0


@pytest.mark.parametrize("asked_in", [1, 3, STEPS])
def test_who_is_asked_to_end_makes_the_step_and_no_more(core, asked_in):
    twin, (X, y, weight) = problem("float64")
    network, optimizer = core_twin(core, twin), fcnn.SGD(0.3)
    made, stopped, *_, own = exchanged(
        core, network, (X, y, weight), optimizer, [12, 12], asked_in=asked_in
    )
    assert made == optimizer.steps == asked_in
    assert stopped == (asked_in < STEPS)
    assert own.steps == asked_in + stopped  # in the last sum it says so to the others
    truth, end = core_twin(core, twin), asked_in * BATCH
    truth._train_epoch(X[:end], y[:end], fcnn.SGD(0.3), BATCH, None, weight[:end])
    near(network.parameters, truth.parameters, 1e-12)


@pytest.mark.parametrize(
    ("rows", "words"), [([8, 8, 8], "vectors: "), ([12, 11], "rows: "), ([-1, 25], "rows: ")]
)
def test_shards_that_do_not_fit_are_refused(core, rows, words):
    twin, batch = problem("float32")
    network, optimizer = core_twin(core, twin), fcnn.SGD(0.1)
    with pytest.raises(ValueError, match=words):
        exchanged(core, network, batch, optimizer, rows)
    assert network.parameters.tobytes() == twin.parameters.tobytes()
    assert optimizer.steps == 0


def test_a_sum_that_fails_is_what_the_call_raises(core):
    twin, batch = problem("float32")
    for name in ("start", "finish"):
        network, optimizer = core_twin(core, twin), fcnn.SGD(0.1)
        vectors = [core.exchange_vector(network, False)]
        own = Alone(vectors[0])

        def fail(*_):
            raise ConnectionError("nobody answers")

        setattr(own, name, fail)
        with pytest.raises(ConnectionError, match="nobody answers"):
            core.exchange_steps(
                network, *batch[:2], optimizer, own, vectors, np.full((STEPS, 1), BATCH),
                np.zeros(STEPS, np.int64), np.full(STEPS, float(BATCH)), np.zeros((STEPS, 1)),
                np.zeros(STEPS), buckets=np.array([1]), in_panels=False,
            )  # fmt: skip
        assert own.is_broken
        assert network.parameters.tobytes() == twin.parameters.tobytes()
        assert optimizer.steps == 0


def test_a_loss_that_exchanges_is_refused():
    """The rest of the step that waits for it would be of other weights than its outputs."""
    _, (X, y, _) = problem("float32", "squared_error", weighted=False)
    network, optimizer = fcnn.Network(SIZES, loss="squared_error", rng=0), fcnn.SGD(0.1)
    before = network.parameters.copy()

    def own(a, y):
        exchanged(chosen, network, (X, y, None), optimizer, [24])

    with pytest.raises(RuntimeError, match="may call it, but not train it"):
        network.gradients(X, y, loss=own)
    assert network.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0


class Sharing(Alone):
    """A process whose weights stand where others could read them; no other is there."""

    rank = 0

    def __init__(self, vector, size):
        super().__init__(vector)
        memory = np.zeros(size + 64, np.uint8)
        self.weights = memory[-memory.ctypes.data % 64 :][:size]
        self.outcome = np.zeros(1, np.int64)
        self.addresses = np.array([vector.ctypes.data], np.int64)

    def finish(self):
        return False

    def updated(self):
        """There is nobody to wait for."""


@pytest.mark.parametrize(("rate", "diverges"), [(0.1, False), (3e38, True)])
def test_shared_weights_are_bounded_as_others(core, rate, diverges):
    """Of a rate of 3e38 the gradients are finite, and what they would make of weights is not."""
    twin, (X, y, _) = problem("float32", weighted=False)
    twin.parameters[...] *= 10
    found = []
    for shares in (False, True):
        network, optimizer = core_twin(core, twin), fcnn.SGD(rate)
        vector = core.exchange_vector(network, True)
        size = core.weights_bytes(network, optimizer)
        own = Sharing(vector, size) if shares else Alone(vector)
        call = (
            network, X, y, optimizer, own, [vector],
            np.full((STEPS, 1), BATCH), np.zeros(STEPS, np.int64), np.full(STEPS, float(BATCH)),
            np.zeros((STEPS, 1)), np.zeros(STEPS),
        )  # fmt: skip
        if diverges:
            with pytest.raises(fcnn.DivergenceError, match="in step 1;"):
                core.exchange_steps(*call, buckets=np.array([1]), in_panels=True)
        else:
            core.exchange_steps(*call, buckets=np.array([1]), in_panels=True)
        assert optimizer.steps == (0 if diverges else STEPS)
        found.append(network.parameters.tobytes())
    assert found[0] == found[1]
    assert (found[0] == twin.parameters.tobytes()) == diverges
