"""What the core itself refuses: steps that would overflow, wherever, and memory that is not theirs.

Users' arrays are checked before they come here; these are the guards behind that.
"""

import ctypes
import itertools
import threading

import numpy as np
import pytest

import fcnn
from fcnn._validation import StepOptions

SIZES = (19, 21, 18, 5)
LAST = len(SIZES) - 1
# float32 and float64: a factor of a gradient that is large, and with which other it overflows.
# The second pair: where one is small, and its own square no sign of anything.
LARGE = {
    "float32": ((1e10, 1e32), (1e6, 1e36)),
    "float64": ((1e150, 1e200), (1e6, 1e306)),
}


# --- Steps that would overflow ------------------------------------------------------------------
#
# Whether a step may be made as its gradient appears is decided by the squares of all activations
# and of all deltas, which every way of computing adds up itself. So one number that is large, at
# every place of its own, must be seen by each of them.


WAYS = {"rows": 3, "listed-rows": 3, "blocks": 300, "tiny-blocks": 300, "in-panels": 88}


@pytest.fixture(params=[*WAYS, "tiny", "panels", "lists"])
def way(request, core):
    """How a step is computed: (rows, rows of a batch)."""
    core.force_tiny(int(request.param.startswith("tiny")))
    core.force_lists(int("list" in request.param))
    rows = WAYS.get(request.param, 37)
    yield rows, 11 if request.param == "in-panels" else rows
    core.force_tiny(-1)
    core.force_lists(-1)


def carrying_network(core, dtype, hidden="identity"):
    """A network whose node 0 of each hidden layer is input 0, where that is not negative."""
    activations = (hidden,) * (LAST - 1) + ("identity",)
    net = core.Network(SIZES, activations, "squared_error", dtype)
    rng = np.random.default_rng(0)
    at, W = 0, [None]
    for n_in, n_out in itertools.pairwise(SIZES):
        W.append(net.parameters[at : at + n_in * n_out].reshape(n_in, n_out).T)
        at += (n_in + 1) * n_out
        W[-1][...] = rng.uniform(0.1, 0.2, W[-1].shape)
        W[-1][0] = 0
        W[-1][0, 0] = 1
    W[LAST][:, 0] = 0
    return net, W


def refuses(core, net, X, y, batch_size, make=lambda: fcnn.SGD(0.1)):
    """Whether a step that overflows is not made, whatever was made before it in the call."""
    optimizer = make()
    truth = core.Network(net.sizes, net.activations, net.loss, net.dtype)
    truth.parameters[:] = net.parameters
    with np.errstate(all="ignore"), pytest.raises(fcnn.DivergenceError):
        net._train_epoch(X, y, optimizer, batch_size)
    other = make()
    for first in range(0, optimizer.steps * batch_size, batch_size):
        batch = slice(first, first + batch_size)
        truth.train_step(X[batch], y[batch], other)
    assert np.isfinite(net.parameters).all()
    return net.parameters.tobytes() == truth.parameters.tobytes()


@pytest.mark.parametrize("dtype", list(LARGE))
@pytest.mark.parametrize("hidden", ["identity", "relu"])
def test_one_large_activation_is_seen_wherever_it_is(core, way, hidden, dtype):
    """Those of relu are squared where they are cut."""
    rows, batch_size = way
    for l in range(LAST):
        for j in range(SIZES[l]):
            i, (small, large) = (7 * j + 5 * l) % rows, LARGE[dtype][j % 2]
            net, W = carrying_network(core, dtype, hidden)
            X = np.random.default_rng(j).normal(size=(rows, SIZES[0])).astype(dtype)
            if hidden == "relu":  # so that no node is cut, and all have a delta
                X = np.abs(X)
            X[:, 0] = 0
            if l == 0:
                X[i, j] = large
            else:
                X[i, 0] = 1
                W[l][j] = 0
                W[l][j, 0] = large
            W[l + 1][:, j] = 0
            y = net._outputs(X)
            y[i] -= small
            assert refuses(core, net, X, y, batch_size), (l, j, i)


@pytest.mark.parametrize("dtype", list(LARGE))
def test_one_large_delta_is_seen_wherever_it_is(core, way, dtype):
    rows, batch_size = way
    for l in range(1, LAST + 1):
        for j in range(SIZES[l]):
            i, (small, large) = (7 * j + 5 * l) % rows, LARGE[dtype][j % 2 if l < LAST else 0]
            net, W = carrying_network(core, dtype)
            X = np.random.default_rng(j).normal(size=(rows, SIZES[0])).astype(dtype)
            X[:, 0] = 0
            X[i, 0] = 1
            # Node 1 of the layer before is the activation that makes the gradient overflow.
            if l == 1:
                X[i, 1] = small
            else:
                W[l - 1][1] = 0
                W[l - 1][1, 0] = small
            W[l][:, 1] = 0
            if l < LAST:
                W[l][j] = 0  # the node itself is 0
                W[l + 1][:, j] = 0
                W[l + 1][1, j] = large
                y = net._outputs(X)
                y[i] -= 1
            else:  # the square of an output's error must be finite
                W[l - 1][1, 0] = large / small * 1e5 if dtype == "float32" else large
                y = net._outputs(X)
                y[i, j] -= 1e18 if dtype == "float32" else small
            assert refuses(core, net, X, y, batch_size), (l, j, i)


@pytest.mark.parametrize(
    ("weight", "make", "options"),
    [
        (0.0, lambda: fcnn.SGD(1e39), {}),  # infinite in float32, and the gradient is 0
        (1e-3, lambda: fcnn.SGD(1e-39, weight_decay=1e39), {}),
        (1e35, lambda: fcnn.SGD(1e3, weight_decay=1e4), {}),
        (1e35, lambda: fcnn.SGD(1e3), {"l2": 1e4}),
        (1e-3, lambda: fcnn.SGD(1e-39), {"l2": 1e39}),
        (1e-3, lambda: fcnn.SGD(1e3), {"l1": 1e37}),
        (1e35, lambda: fcnn.AdamW(1e3, weight_decay=1e4), {}),
    ],
    ids=["lr", "decay", "lr-decay", "lr-l2", "l2", "l1", "AdamW"],
)
@pytest.mark.parametrize("tiny", [0, 1])
def test_an_update_that_overflows_with_a_gradient_that_does_not(core, tiny, weight, make, options):
    core.force_tiny(tiny)
    try:
        net = core.Network((4, 3, 2), ("identity", "identity"), "squared_error", "float32")
        net.parameters[:12] = weight
        before, optimizer = net.parameters.copy(), make()
        X, y = np.zeros((8, 4), np.float32), np.zeros((8, 2), np.float32)
        with np.errstate(all="ignore"), pytest.raises(fcnn.DivergenceError, match="infinite"):
            net.train_step(X, y, optimizer, options=StepOptions(**options))
        np.testing.assert_array_equal(net.parameters, before)
        assert optimizer.steps == 0
    finally:
        core.force_tiny(-1)


def test_a_bias_alone_may_overflow(core, way):
    rows, batch_size = way
    net = core.Network((4, 3, 2), ("identity", "identity"), "squared_error", "float32")
    X, y = np.zeros((rows, 4), np.float32), np.full((rows, 2), 1e18, np.float32)
    assert refuses(core, net, X, y, batch_size, lambda: fcnn.SGD(1e14 * 1e7))
    net = core.Network((4, 3, 2), ("identity", "identity"), "absolute_error", "float32")
    assert refuses(core, net, X, y * np.float32(1e18), batch_size, lambda: fcnn.SGD(1e38 * 4))


@pytest.mark.parametrize("dtype", list(LARGE))
def test_a_length_beyond_numbers_is_no_update(core, way, dtype):
    """Each entry of the gradient is finite, and so is the loss: only the clipped length is not."""
    rows, batch_size = way
    net = core.Network((3, 2), ("identity",), "absolute_error", dtype)
    X = np.full((rows, 3), 1e200 if dtype == "float64" else 1e38).astype(dtype)
    y = np.ones((rows, 2), dtype)
    step = net._train_epoch, X, y, fcnn.SGD(1e-3), batch_size
    options = StepOptions(clip_norm=1.0)
    if dtype == "float32":  # whose squares are numbers of float64
        step[0](*step[1:], options=options)
        assert np.isfinite(net.parameters).all()
    else:
        with pytest.raises(fcnn.DivergenceError):
            step[0](*step[1:], options=options)
        assert not net.parameters.any()


def test_the_penalty_of_l1_leaves_zeros_where_they_are(core, way):
    """The derivative of |w| at 0 is taken for 0."""
    rows, batch_size = way
    net = core.Network((3, 4, 2), ("tanh", "identity"), "squared_error", "float64")
    net.parameters[[0, 5, 17]] = 1.0, -1.0, 0.5
    X, y = np.zeros((rows, 3)), np.zeros((rows, 2))
    before = net.parameters.copy()
    net._train_epoch(X, y, fcnn.SGD(0.1), batch_size, options=StepOptions(l1=0.01))
    np.testing.assert_array_equal(net.parameters[before == 0], 0)
    assert (np.abs(net.parameters[before != 0]) < np.abs(before[before != 0])).all()


@pytest.mark.parametrize("make", [lambda: fcnn.SGD(1e-3), lambda: fcnn.Adam(1e-3)])
def test_checked_steps_between_others(core, make):
    """A step of large numbers is checked, those around it are made as their gradient appears."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4)), rng.normal(size=(80, 2))
    X[24:32, 1] = 1e9  # the fourth batch of eight
    y[24:32] = 1e9
    results = []
    for tiny in (0, 1):
        core.force_tiny(tiny)
        net = core.Network((4, 6, 2), ("tanh", "identity"), "squared_error", "float64")
        net.parameters[:] = np.random.default_rng(1).normal(size=net.parameters.size)
        optimizer = make()
        try:
            net._train_epoch(X, y, optimizer, 8)
        finally:
            core.force_tiny(-1)
        results.append([net.parameters.tobytes(), *(v.tobytes() for v in optimizer.state(net))])
    alone = core.Network((4, 6, 2), ("tanh", "identity"), "squared_error", "float64")
    alone.parameters[:] = np.random.default_rng(1).normal(size=alone.parameters.size)
    optimizer = make()
    for first in range(0, 80, 8):
        alone.train_step(X[first : first + 8], y[first : first + 8], optimizer)
    results.append([alone.parameters.tobytes(), *(v.tobytes() for v in optimizer.state(alone))])
    assert results[0] == results[1] == results[2]


# --- Memory ---------------------------------------------------------------------------------------

ROWS, BATCH = 12, 5


def arguments(dtype, labels):
    """What an epoch takes, right as it is."""
    rng = np.random.default_rng(0)
    return {
        "X": rng.normal(size=(ROWS, 4)).astype(dtype),
        "y": rng.integers(3, size=ROWS) if labels else np.eye(3, dtype=dtype)[[0, 1, 2] * 4],
        "order": rng.permutation(ROWS),
        "sample_weight": rng.uniform(1, 2, ROWS).astype(dtype),
        "lr_curve": np.full(3, 0.1),
        "batch_losses": np.zeros((3, 2)),
        "totals": np.zeros(4),
    }


def a_row_more(array):
    return np.concatenate([array, array[-1:]])


def a_row_less(array):
    return np.ascontiguousarray(array[:-1])


def another_dtype(array):
    other = {"f4": np.float64, "f8": np.float32, "i8": np.int32}[array.dtype.str[1:]]
    return array.astype(other)


def with_gaps(array):
    return np.repeat(array, 2, axis=0)[::2]


def misaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


WRONG = (a_row_more, a_row_less, another_dtype, with_gaps, misaligned, swapped)
WRITTEN = ("batch_losses", "totals")


@pytest.mark.parametrize(("first", "end"), [(-1, 3), (2, 1), (0, 9), (9, 9), (8, 9)])
def test_no_sum_of_processes_is_beyond_the_vector(core, first, end):
    own, counters = np.ones(8, np.float32), np.zeros(8, np.int64)
    addresses = np.array([own.ctypes.data])
    with pytest.raises(ValueError, match="do not fit"):
        core.sum_shared(own, addresses, counters, 0, first, end, 0, lambda: None)
    assert not counters.any()
    core.sum_shared(own, addresses, counters, 0, 0, 8, 0, lambda: None)
    assert (own == 1).all()


class Together:
    """What two threads share, as two processes would: see `fcnn.parallel._sums.SharedSum`."""

    def __init__(self, core, rank, shared):
        self.core, self.rank, self.meetings, self.is_broken = core, rank, 0, False
        self.addresses, self.counters, self.outcome, self.weights = shared

    def finish(self):
        self.updated()
        return False

    def updated(self):
        self.meetings += 1
        self.core.meet_shared(self.counters, self.rank, self.meetings, lambda: None)


def steps_together(core, options, make, X, n_threads=1):
    """Make eight steps of 24 rows by two threads with one vector of weights, each with n_threads of
    its own; return what is left of networks and optimizers, and what was raised.
    """
    networks = [core.Network((6, 20, 3), ("tanh", "softmax"), "cross_entropy", "float32")
                for _ in range(2)]  # fmt: skip
    start = np.random.default_rng(1).normal(size=networks[0].parameters.size) / 4
    optimizers, raised = [make(), make()], [None, None]
    vectors = [core.exchange_vector(network, True) for network in networks]
    addresses = np.array([vector.ctypes.data for vector in vectors])
    weights = np.zeros(core.weights_bytes(networks[0], optimizers[0]) + 64, np.uint8)
    begin = -weights.ctypes.data % 64
    weights = weights[begin : begin + len(weights) - 64]
    shared = addresses, np.zeros(16, np.int64), np.zeros(1, np.int64), weights

    def run(rank):
        network = networks[rank]
        network.parameters[:] = start
        mine = np.concatenate([np.arange(12) + 24 * i + 12 * rank for i in range(8)])
        try:
            core.exchange_steps(
                network, X[mine], np.arange(96, dtype=np.int64) % 3, optimizers[rank],
                Together(core, rank, shared), [vectors[rank]], np.full((8, 1), 12),
                np.full(8, 12 * rank), np.full(8, 24.0), np.zeros((8, 1)), np.zeros(8),
                n_threads=n_threads, options=options, buckets=np.array([1]), in_panels=True,
            )  # fmt: skip
        except Exception as error:
            raised[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return start, networks, optimizers, raised


@pytest.mark.parametrize("options", [{}, {"l2": 0.1}, {"l1": 0.01}, {"clip_norm": 0.05}], ids=str)
@pytest.mark.parametrize(
    "make", [lambda: fcnn.SGD(0.2), lambda: fcnn.SGD(0.2, momentum=0.9), lambda: fcnn.Adam(0.01)],
    ids=["sgd", "momentum", "adam"],
)  # fmt: skip
@pytest.mark.parametrize("n_threads", [1, 2])
def test_processes_with_one_vector_of_weights(core, n_threads, make, options):
    X = np.random.default_rng(0).normal(size=(192, 6)).astype(np.float32)
    start, networks, optimizers, raised = steps_together(
        core, StepOptions(**options), make, X, n_threads
    )
    assert raised == [None, None]
    alone, optimizer = core.Network(networks[0].sizes, ("tanh", "softmax"), "cross_entropy",
                                    "float32"), make()  # fmt: skip
    alone.parameters[:] = start
    y = np.concatenate([np.tile(np.arange(12 * i, 12 * i + 12) % 3, 2) for i in range(8)])
    alone._train_epoch(X, y, optimizer, 24, options=StepOptions(**options), n_threads=1)
    for network, own in zip(networks, optimizers, strict=True):
        np.testing.assert_allclose(network.parameters, alone.parameters, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(network.parameters, networks[0].parameters)
        assert own.steps == optimizer.steps == 8
        for mine, first, other in zip(
            own._state, optimizers[0]._state, optimizer._state, strict=True
        ):
            np.testing.assert_allclose(mine, other, rtol=0, atol=2e-5)
            np.testing.assert_array_equal(mine, first)


def test_a_step_that_overflows_is_made_by_none_of_the_processes(core):
    X = np.random.default_rng(0).normal(size=(192, 6)).astype(np.float32)
    _, networks, optimizers, raised = steps_together(core, StepOptions(), lambda: fcnn.SGD(3e38), X)
    for network, optimizer, error in zip(networks, optimizers, raised, strict=True):
        assert isinstance(error, fcnn.DivergenceError), error
        assert np.isfinite(network.parameters).all()
        np.testing.assert_array_equal(network.parameters, networks[0].parameters)
        assert 0 <= optimizer.steps == optimizers[0].steps < 8


@pytest.mark.parametrize("wrong", ["rank", "addresses", "weights", "outcome", "rows"])
def test_no_weights_are_shared_that_do_not_fit(core, wrong):
    network = core.Network((6, 20, 3), ("tanh", "softmax"), "cross_entropy", "float32")
    optimizer, vector = fcnn.SGD(0.1, momentum=0.5), core.exchange_vector(network, wrong != "rows")
    weights = np.zeros(core.weights_bytes(network, optimizer), np.uint8)
    own = Together(core, 0, (np.array([vector.ctypes.data]), np.zeros(8, np.int64),
                             np.zeros(1, np.int64), weights))  # fmt: skip
    if wrong == "rank":
        own.rank = 1
    elif wrong == "addresses":
        own.addresses = own.addresses + 64
    elif wrong == "weights":
        own.weights = weights[:-1]
    elif wrong == "outcome":
        own.outcome = np.zeros(1, np.int32)
    with pytest.raises(ValueError, match=r"own: what it shares|the core expects"):
        core.exchange_steps(
            network, np.zeros((96, 6), np.float32), np.zeros(96, np.int64), optimizer, own,
            [vector], np.full((8, 1), 12), np.zeros(8, np.int64), np.full(8, 12.0),
            np.zeros((8, 1)), np.zeros(8), buckets=np.array([1]), in_panels=wrong != "rows",
        )  # fmt: skip
    with pytest.raises(ValueError, match="rank: expected one of 1"):
        core.meet_shared(np.zeros(8, np.int64), 1, 1, lambda: None)


@pytest.mark.parametrize("rate", [-1e-30, np.inf, -np.inf, np.nan])
def test_rates_that_are_none_are_refused(core, rate):
    """At any place of the curve: nothing is moved by the rates before it."""
    for i in range(3):
        right = arguments("float32", True)
        right["lr_curve"][i] = rate
        net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float32")
        with pytest.raises(ValueError, match="lr_curve: expected learning rates"):
            net._train_epoch(right.pop("X"), right.pop("y"), fcnn.SGD(0.1), BATCH, **right)
        assert not net.parameters.any()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("l1", (-1e-30, np.nan)),
        ("l2", (-1e-30, np.nan)),
        ("clip_norm", (-1e-30, np.nan)),
        ("label_smoothing", (-1e-30, np.nextafter(1, 2), np.nan)),
        ("dropout", ((0, 1), (-1e-30, 0.5), (0, np.nan), (0.5,), (0.5, 0.5, 0.5))),
        ("trainable", ((1, 1, 1, -1e-30), (-1e-30, 1, 1, 1), (0, 0, 0, 0), (1, np.nan, 1, 1),
                       (1, 1, np.inf, 1), (1, 1, 1), (1, 1, 1, 1, 1))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_options_that_are_none_are_refused(core, name, values):
    X, y = np.ones((ROWS, 4), np.float32), np.arange(ROWS) % 3
    for value in values:
        net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float32")
        optimizer, options = fcnn.SGD(0.1), StepOptions(**{name: value})
        for call in (
            lambda: net.train_step(X, y, optimizer, None, 1, options),  # noqa: B023
            lambda: net._train_epoch(X, y, optimizer, BATCH, options=options),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=name):
                call()
        assert optimizer.steps == 0
        assert not net.parameters.any()


def test_no_labels_are_smoothed_where_there_are_none(core):
    options = StepOptions(label_smoothing=0.1)
    for loss in ("squared_error", "huber", "poisson"):
        net = core.Network((4, 3), ("exp" if loss == "poisson" else "identity",), loss, "float32")
        with pytest.raises(ValueError, match="label_smoothing"):
            net.train_step(np.ones((5, 4), np.float32), np.ones((5, 3), np.float32),
                           fcnn.SGD(0.1), None, 1, options)  # fmt: skip
        assert not net.parameters.any()


@pytest.mark.parametrize("labels", [False, True], ids=["rows", "labels"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_that_the_core_may_not_read_are_refused(core, dtype, labels):
    """A longer one, too: where one row more is no fault of memory, its number is still wrong."""
    right = arguments(dtype, labels)
    for name, array in right.items():
        for spoil in (*WRONG, read_only) if name in WRITTEN else WRONG:
            if name == "X" and spoil in (a_row_more, a_row_less):
                continue  # its length is what all others are measured by
            net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", dtype)
            optimizer = fcnn.SGD(0.1)
            given = {**right, name: spoil(array)}
            with pytest.raises(ValueError, match=name):
                net._train_epoch(given.pop("X"), given.pop("y"), optimizer, BATCH, **given)
            assert optimizer.steps == 0, (name, spoil)
            assert not net.parameters.any(), (name, spoil)
    for columns in (3, 5):
        net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", dtype)
        with pytest.raises(ValueError, match="X"):
            net._train_epoch(np.zeros((ROWS, columns), dtype), right["y"], fcnn.SGD(0.1), BATCH)
    net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", dtype)
    net._train_epoch(right.pop("X"), right.pop("y"), fcnn.SGD(0.1), BATCH, **right)
    assert net.parameters.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimizers_state_is_of_the_parameters_length(core, dtype):
    right = arguments(dtype, True)
    for spoil in (*WRONG, read_only):
        for which in range(2):
            net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", dtype)
            optimizer = fcnn.Adam()
            optimizer.state(net)
            state = [np.zeros(net.parameters.size, dtype) for _ in range(2)]
            state[which] = spoil(state[which])
            optimizer._state = state
            with pytest.raises(ValueError, match="state"):
                net.train_step(right["X"], right["y"], optimizer)
            assert optimizer.steps == 0


def test_what_is_no_array_is_refused(core):
    net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float64")
    X = np.zeros((ROWS, 4))
    with pytest.raises(TypeError, match="y: expected an array, got list"):
        net.gradients(X, [0] * ROWS)
    with pytest.raises(TypeError, match="totals"):
        net._train_epoch(X, np.zeros(ROWS, np.int64), fcnn.SGD(0.1), BATCH, totals=[0.0] * 4)


@pytest.mark.parametrize("bad", [-1, ROWS, 2**62, -(2**63)])
def test_an_order_beyond_the_rows_is_refused(core, bad):
    right = arguments("float32", True)
    for place in (0, ROWS - 1):
        order = right["order"].copy()
        order[place] = bad
        net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float32")
        with pytest.raises(ValueError, match="order"):
            net._train_epoch(right["X"], right["y"], fcnn.SGD(0.1), BATCH, order)
        assert not net.parameters.any()


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_have_a_row(core, batch_size):
    net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float32")
    right = arguments("float32", True)
    with pytest.raises(ValueError, match="batch_size"):
        net._train_epoch(right["X"], right["y"], fcnn.SGD(0.1), batch_size)


@pytest.mark.parametrize("rows", [4, 70])
def test_nothing_behind_the_last_row_counts(core, way, rows):
    """Rows, labels, weights and order are slices of longer arrays; what follows is nonsense."""
    rng = np.random.default_rng(0)
    more = rows + 40
    X, weight = rng.normal(size=(more, 4)), rng.uniform(1, 2, more)
    labels, order = rng.integers(3, size=more), np.full(more, 2**60)
    order[:rows] = rng.permutation(rows)
    X[rows:], weight[rows:], labels[rows:] = np.nan, np.nan, 2**40
    results = []
    for copied in (False, True):
        net = core.Network((4, 6, 3), ("tanh", "softmax"), "cross_entropy", "float64")
        net.parameters[:] = np.random.default_rng(1).normal(size=net.parameters.size)
        part = [a[:rows].copy() if copied else a[:rows] for a in (X, labels, order, weight)]
        loss = net._train_epoch(part[0], part[1], fcnn.SGD(0.1), rows, part[2], part[3])
        again = net._train_epoch(part[0], part[1], fcnn.SGD(0.1), rows, None, part[3])
        results.append([loss, again, *net.parameters, *net._outputs(part[0]).ravel()])
    assert results[0] == results[1]
    assert np.isfinite(results[0]).all()


# --- predict's own ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_writes_to_nothing_but_what_it_was_given(dtype, rows):
    net = fcnn.Network((4, 6, 3), "tanh", loss="cross_entropy", dtype=dtype, rng=0)
    X = np.random.default_rng(0).normal(size=(rows, 4)).astype(dtype)
    truth = net.predict(X)
    right = np.zeros((rows, 3), dtype)
    wrong = [spoil(right) for spoil in (*WRONG, read_only)]
    wrong += [
        np.empty(shape, dtype)
        for shape in [(rows, 4), (rows, 2), (rows + 1, 3), (rows * 3,), (rows, 1, 3), (rows, 3, 1)]
    ]
    if rows == 1:
        wrong = [
            out
            for out in wrong
            if out.shape != (1, 3) or not out.flags.carray or out.dtype != right.dtype
        ]
    for out in wrong:
        before = out.tobytes()
        with pytest.raises((ValueError, TypeError), match="out"):
            net.predict(X, out)
        assert out.tobytes() == before
    assert net.predict(X, right) is right
    np.testing.assert_array_equal(right, truth)
    for bad in (np.zeros((rows, 5), dtype), np.zeros((rows, 3), dtype), np.zeros((0, 5), dtype)):
        with pytest.raises(ValueError, match="X"):
            net.predict(bad)


@pytest.mark.parametrize("begin", [-11, -1, 0, 7, 50])
def test_predict_does_not_write_to_the_parameters(begin):
    """Nor where the answer's last entry alone is their first one."""
    net = fcnn.Network((4, 6, 3), "tanh", loss="cross_entropy", dtype="float32", rng=0)
    assert net.parameters.size == 51
    memory = (ctypes.c_float * 12).from_address(net.parameters.ctypes.data + 4 * begin)
    out, before = np.frombuffer(memory, np.float32).reshape(4, 3), net.parameters.copy()
    with pytest.raises(ValueError, match="out"):
        net.predict(np.ones((4, 4), np.float32), out)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("spoil", [with_gaps, misaligned, swapped, another_dtype])
def test_predict_reads_other_arrays_by_way_of_a_copy(spoil):
    net = fcnn.Network((4, 6, 3), "tanh", loss="cross_entropy", dtype="float64", rng=0)
    for rows in (1, 3, 70):
        X = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32).astype(np.float64)
        np.testing.assert_array_equal(net.predict(spoil(X)), net.predict(X))


def test_predictions_of_layers_that_the_stack_does_not_take():
    for width in (600, 700, 2100, 8000):
        net = fcnn.Network((3, width, 2), "tanh", loss="squared_error", dtype="float64", rng=0)
        X = np.random.default_rng(0).normal(size=(40, 3))
        np.testing.assert_array_equal(net.predict(X[:2]), net.predict(X)[:2])
