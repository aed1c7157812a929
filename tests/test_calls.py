"""Calls cost what their work costs: what is right goes straight to the core, memory is kept."""

import copy
import functools
import itertools
import multiprocessing
import os
import pickle
import sys
import tracemalloc

import numpy as np
import pytest

import fcnn
from fcnn import _validation as check
from fcnn._dispatch import core
from fcnn._sparse import SparseRows
from fcnn.metrics._equations import score

DTYPES = ["float32", "float64"]
# A loss, its outputs, and whether its targets are labels.
KINDS = [
    ("cross_entropy", 3, True),
    ("cross_entropy", 3, False),
    ("binary_cross_entropy", 2, False),
    ("binary_cross_entropy", 1, False),
    ("squared_error", 2, False),
    ("squared_error", 1, False),
    ("poisson", 2, False),
]
OPTIMIZERS = [
    lambda: fcnn.SGD(0.1),
    lambda: fcnn.SGD(0.1, momentum=0.9, nesterov=True),
    lambda: fcnn.Adam(0.01),
    lambda: fcnn.AdamW(0.01),
]
kinds = pytest.mark.parametrize(("loss", "n_out", "labelled"), KINDS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
optimizers = pytest.mark.parametrize("make", OPTIMIZERS, ids=["sgd", "nesterov", "adam", "adamw"])


def problem(loss, n_out, labelled, dtype, rows=10, rng=0):
    """Return a network, and X, y and weights that the core can read as they are."""
    net = fcnn.Network((4, 6, n_out), "tanh", loss=loss, dtype=dtype, rng=rng)
    random = np.random.default_rng(rng)
    X = random.normal(size=(rows, 4)).astype(dtype)
    if loss == "cross_entropy":
        y = random.integers(n_out, size=rows)
        y = y if labelled else np.eye(n_out, dtype=dtype)[y]
    else:
        y = random.uniform(size=(rows, n_out)).astype(dtype)
    return net, X, y, random.uniform(0.1, 2, rows).astype(dtype)


def python_calls(call):
    """Return the Python functions that a call enters."""
    entered = []

    def look(frame, event, _):
        if event == "call":
            entered.append(frame.f_code.co_qualname)

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered[1:]  # the first is `call` itself


# --- Checks --------------------------------------------------------------------------------------


@dtypes
@kinds
@pytest.mark.parametrize("weighted", [False, True])
@optimizers
def test_arrays_that_are_right_enter_no_python(loss, n_out, labelled, dtype, weighted, make):
    net, X, y, weight = problem(loss, n_out, labelled, dtype)
    optimizer, last = make(), (weight,) if weighted else ()
    net.train_step(X, y, optimizer)  # from then on the optimizer has its state
    for targets in (y, y[:, 0]) if n_out == 1 else (y,):
        step = functools.partial(net.train_step, X, targets, optimizer, *last, n_threads=1)
        assert python_calls(lambda step=step: step()) == []
        assert python_calls(lambda y=targets: net.gradients(X, y, *last)) == []
        entered = python_calls(lambda y=targets: net.evaluate(X, y, *last))
        assert entered[0] == "ConvertingNetwork._score"
        assert not [name for name in entered if name.startswith("as_") or "Network._as" in name]


class Sub(np.ndarray):
    pass


def layouts(a):
    """Return an array in other dtypes, layouts and containers, some of them refused."""
    a = np.asarray(a)
    wide = np.repeat(a, 2, axis=0)
    raw = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    frozen = a.copy()
    frozen.flags.writeable = False
    masked = np.ma.masked_array(a, mask=np.zeros(a.shape, bool))
    hidden = np.ma.masked_array(a, mask=np.ones(a.shape, bool))
    others = ["f2", "f4", "f8", "g", "i1", "u1", "i4", "u4", "i8", "u8", "?", "O", "c8", "M8[s]"]
    return [
        a, a.tolist(), tuple(a.tolist()), np.asfortranarray(a), wide[::2], a[::-1], unaligned,
        frozen, a.view(Sub), masked, hidden, a.byteswap().view(a.dtype.newbyteorder()),
        *(np.abs(a).astype(kind) for kind in others), a[:0], a[:-1], a[0], a[..., np.newaxis],
        a[np.newaxis], np.concatenate([a, a], axis=-1), a.ravel()[0], None, "text", 1.5, object(),
    ]  # fmt: skip


def with_entries(a, *values):
    """Return copies of an array, each with another last entry."""
    copies = []
    for value in values:
        copies.append(a.copy())
        copies[-1].flat[-1] = value
    return copies


def neighbours(net, X, y, weight):
    """Return batches around a right one: each has one argument in other forms, or wrong."""
    special = [np.nan, np.inf, -np.inf, -1, -0.0, 0, 0.5, 1, 1.5, 1e30, 1e-40]
    special += [np.nextafter(np.float32(1), 2), -1e-30]
    Xs = [*layouts(X), *with_entries(X, *special)]
    if y.ndim == 1:
        ys = [*layouts(y), *with_entries(y, -1, 2, 3, 2**40, -(2**63), 2**63 - 1)]
    else:
        ys = [*layouts(y), *with_entries(y, *special)]
        for off in (1e-7, 2e-5, 8e-5, 9.5e-5, 1.05e-4, 1e-3, -8e-5, -1.05e-4):
            ys.append(y.copy())
            ys[-1][3, 0] += off
        ys += [y[:, 0], (y[:, 0] > 0.5).astype(np.int64), np.zeros(len(X), np.int64)]
    weights = [None, *layouts(weight), *with_entries(weight, *special)]
    weights += [np.zeros_like(weight), np.ones_like(weight)]
    batches = [(X, y, w) for w in weights]
    batches += [(X, v, weight) for v in ys] + [(X, v, None) for v in ys]
    batches += [(v, y, weight) for v in Xs] + [(v, y[0], None) for v in Xs]
    return batches


def outcome(call):
    """Return what a call gives, as bits, or its error, with all that is said in it."""
    try:
        answer = call()
    except Exception as error:
        return type(error), str(error), getattr(error, "__notes__", None)
    return [v.tobytes() if isinstance(v, np.ndarray) else repr(v) for v in np.atleast_1d(answer)]


@pytest.mark.slow
@dtypes
@kinds
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_what_is_checked_in_c_is_what_python_checks(loss, n_out, labelled, dtype):
    net, X, y, weight = problem(loss, n_out, labelled, dtype)
    before = net.parameters.copy()

    def checked(X, y, weight):
        return check.as_batch(X, y, weight, net.sizes, net.loss, net.dtype)

    def gradients(X, y, weight):
        loss, gradient = core.Network.gradients(net, *checked(X, y, weight))
        return [loss, *gradient]

    def evaluate(X, y, weight):
        X, y, weight = checked(X, y, weight)
        value, outputs = net._loss_and_outputs(X, y, weight)
        if not np.isfinite(value):
            check.refuse_nonfinite("X", X)
        name, number = score(net.loss, outputs, y, weight)
        return {"loss": value, name: number}

    def step(X, y, weight):
        X, y, weight = checked(X, y, weight)
        check.refuse_nonfinite("X", X)
        loss = core.Network.train_step(net, X, y, fcnn.SGD(0.1), weight)
        return [loss, *net.parameters]

    def public_gradients(X, y, weight):
        loss, gradient = net.gradients(X, y, weight)
        return [loss, *gradient]

    def public_step(X, y, weight):
        return [net.train_step(X, y, fcnn.SGD(0.1), weight), *net.parameters]

    refused = 0
    for batch in neighbours(net, X, y, weight):
        assert outcome(lambda b=batch: public_gradients(*b)) == outcome(
            lambda b=batch: gradients(*b)
        ), batch
        expected = outcome(lambda b=batch: evaluate(*b))
        assert outcome(lambda b=batch: net.evaluate(*b)) == expected, batch
        refused += isinstance(expected, tuple)
        steps = []
        for call in (public_step, step):
            net.parameters = before
            steps.append(outcome(lambda b=batch, call=call: call(*b)))
        assert steps[0] == steps[1], batch
    assert refused > 30


@pytest.mark.slow
@dtypes
@kinds
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_samples_of_a_fit_that_are_checked_in_c_are_what_python_checks(
    loss, n_out, labelled, dtype, monkeypatch
):
    net, X, y, weight = problem(loss, n_out, labelled, dtype)
    before, taken = net.parameters.copy(), []
    in_c = core.are_samples

    def fit(X, y, weight):
        net.parameters = before
        history = net.fit(X, y, sample_weight=weight, validation=(X, y, weight), epochs=1,
                          batch_size=4, optimizer=fcnn.SGD(0.1), rng=0)  # fmt: skip
        assert history.seconds.pop() >= 0
        return [history, *net.parameters]

    for batch in neighbours(net, X, y, weight):
        outcomes = []
        for are_samples in (in_c, lambda *_: False):
            monkeypatch.setattr(core, "are_samples", are_samples)
            outcomes.append(outcome(lambda b=batch: fit(*b)))
        assert outcomes[0] == outcomes[1], batch
        taken.append(in_c(net, *batch))
    assert taken[0]
    assert 5 < sum(taken) < len(taken) - 30


def test_a_network_that_is_not_whole_has_no_samples():
    net = fcnn.Network.__new__(fcnn.Network)
    assert not core.are_samples(net, np.zeros((3, 4), np.float32), np.zeros(3, np.int64), None)


def test_a_signalling_nan_is_a_nan():
    net, X, y, _ = problem("squared_error", 1, False, "float32")
    y[2] = np.uint32(0x7F800001).view(np.float32)
    with pytest.raises(ValueError, match=r"^y: .*nan at \[2, 0\]"):
        net.gradients(X, y)


def test_a_network_that_was_never_made_refuses_its_calls():
    net = fcnn.Network.__new__(fcnn.Network)
    X, y = np.zeros((2, 4), np.float32), np.zeros(2, np.int64)
    calls = (
        lambda: net.gradients(X, y),
        lambda: net.evaluate(X, y),
        lambda: net.train_step(X, y, fcnn.SGD(0.1)),
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="not been initialized"):
            call()
    net.free_workspace()


# --- Optimizers ----------------------------------------------------------------------------------


@optimizers
@pytest.mark.parametrize(
    "changes",
    [{"lr": 0.03}, {"weight_decay": 0.1}, {"betas": (0.5, 0.6)}, {"eps": 0.1}, {"momentum": 0.5}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_changed_between_steps_counts_in_the_next(make, changes):
    net, X, y, _ = problem("cross_entropy", 3, True, "float32")
    optimizer = make()
    if not all(hasattr(optimizer, name) for name in changes):
        pytest.skip("it has no such number")
    net.train_step(X, y, optimizer)
    twin, other = net.copy(), copy.deepcopy(optimizer)
    if not optimizer._state:
        other = make()
        other.steps = 1
    for name, value in changes.items():
        setattr(optimizer, name, value)
    made = type(other)(**{**other._hyperparameters(), **changes})
    made._state, made.steps = other._state, other.steps
    for _ in range(2):  # a velocity that begins with 0 shows in the second
        assert net.train_step(X, y, optimizer) == twin.train_step(X, y, made)
    assert net.parameters.tobytes() == twin.parameters.tobytes()
    plain = problem("cross_entropy", 3, True, "float32")[0]
    again = make()
    for _ in range(3):
        plain.train_step(X, y, again)
    assert plain.parameters.tobytes() != net.parameters.tobytes()
    assert optimizer.steps == made.steps == 3


def test_an_attribute_of_a_subclass_may_be_computed():
    class Decaying(fcnn.SGD):
        @property
        def lr(self):
            return 0.5 ** self.__dict__.get("steps", 0)

        @lr.setter
        def lr(self, value):
            pass

    net, X, y, _ = problem("squared_error", 2, False, "float64")
    twin, optimizer = net.copy(), Decaying(1.0)
    for i in range(4):
        net.train_step(X, y, optimizer)
        twin.train_step(X, y, fcnn.SGD(0.5**i))
    assert net.parameters.tobytes() == twin.parameters.tobytes()


def test_the_state_of_another_network_is_refused_and_that_of_none_is_taken():
    net, X, y, _ = problem("cross_entropy", 3, True, "float32")
    optimizer = fcnn.Adam()
    net.train_step(X, y, optimizer)
    with pytest.raises(ValueError, match=r"^optimizer: it holds the state of another network"):
        net.copy().train_step(X, y, optimizer)
    fresh = fcnn.Adam()
    fresh.load_state_dict(optimizer.state_dict())
    twin = net.copy()
    net.train_step(X, y, optimizer)
    twin.train_step(X, y, fresh)
    assert net.parameters.tobytes() == twin.parameters.tobytes()
    with pytest.raises(ValueError, match=r"^optimizer: it holds the state of another network"):
        net.train_step(X, y, fresh)
    for wrong in ("adam", fcnn.Adam, None, object()):
        with pytest.raises(TypeError, match=r"^optimizer: expected fcnn\.SGD"):
            net.train_step(X, y, wrong)
    with pytest.raises(TypeError, match=r"^use fcnn\.SGD"):
        net.train_step(X, y, fcnn.optimizers.Optimizer())


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_wrong_threads_draw_no_seed(wrong):
    net, X, y, _ = problem("cross_entropy", 3, True, "float32")
    before = net.rng.bit_generator.state
    for options in ({}, {"dropout": 0.5}):
        with pytest.raises((TypeError, ValueError), match="n_threads"):
            net.train_step(X, y, fcnn.Adam(), n_threads=wrong, **options)
    for call in (net.gradients, net.evaluate):
        with pytest.raises((TypeError, ValueError), match="n_threads"):
            call(X, y, n_threads=wrong)
    assert net.rng.bit_generator.state == before


# --- The workspace -------------------------------------------------------------------------------


@pytest.fixture
def traced():
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def wide(rows=64):
    """Return a network with data of which a workspace takes far more than all else of a call."""
    net = fcnn.Network((50, 200, 100, 3), rng=0)
    random = np.random.default_rng(0)
    return net, random.normal(size=(rows, 50)).astype("float32"), random.integers(3, size=rows)


# A workspace of `wide` takes more than this, and what else is left of a call less.
SURELY = 100_000

alone = pytest.mark.thread_unsafe(reason="all memory of the process is counted")


@alone
@pytest.mark.parametrize("make", OPTIMIZERS[::2], ids=["sgd", "adam"])
def test_calls_alike_allocate_once(traced, make):
    net, X, y = wide()
    optimizer = make()
    for call in (
        functools.partial(net.train_step, X, y, optimizer),
        functools.partial(net.evaluate, X, y),
        functools.partial(net.predict, X),
        functools.partial(net.fit, X, y, epochs=1, optimizer=optimizer),
    ):
        call()
        before = traced()
        tracemalloc.reset_peak()
        for _ in range(3):
            call()
        assert tracemalloc.get_traced_memory()[1] - before < SURELY
    before = traced()
    net.free_workspace()
    kept = before - traced()
    assert kept > SURELY
    net.free_workspace()
    vectors = 4 * net.num_parameters * (1 + len(optimizer._state))
    net.fit(X, y, epochs=1, optimizer=optimizer)
    before = traced()
    del net, call, optimizer
    assert before - traced() > vectors + SURELY


@alone
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_a_hidden_z_has_memory_where_it_is_read(traced, activation):
    net = fcnn.Network((5, 800, 3), activation, loss="squared_error", rng=0)
    X, y = np.ones((256, 5), "float32"), np.ones((256, 3), "float32")
    kept = []
    for call in (net.gradients, net.trace, net.gradients):
        answer = call(X, y)
        if call == net.trace:
            np.testing.assert_allclose(answer.z[1], X @ net.weights[0].T + net.biases[0], rtol=1e-5)
        before = traced()
        net.free_workspace()
        kept.append(before - traced())
    # The derivative of tanh is computed from a, but a trace shows z, too.
    z = X.itemsize * len(X) * 800 if activation == "tanh" else 0
    assert kept == pytest.approx([kept[1] - z, kept[1], kept[1] - z], abs=5000)


@pytest.mark.slow
@alone
def test_what_is_kept_is_bounded(traced):
    net, X, y = wide(256)
    net.gradients(X, y)
    net.free_workspace()
    base = traced()
    for rows in (1, 8, 16, 100, 256, 3, 40):
        net.gradients(X[:rows], y[:rows])
    one = traced() - base
    net.free_workspace()
    net.gradients(X, y)
    assert one == pytest.approx(traced() - base, abs=5000)  # the largest of them, and no more
    big = fcnn.Network((4, 3000, 3000, 3), rng=0, init="zeros")
    before = traced()
    big.gradients(X[:, :4].copy(), y)
    assert traced() - before < SURELY  # of more than 32 MB nothing is kept


@alone
def test_copies_and_pickles_have_none_of_it(traced):
    net, X, y = wide()
    net.train_step(X, y, fcnn.SGD(0.1))
    assert len(pickle.dumps(net)) < 4 * net.num_parameters + 10_000
    unpickled = lambda n: pickle.loads(pickle.dumps(n))  # noqa: E731
    for make in (copy.copy, copy.deepcopy, fcnn.Network.copy, unpickled):
        before = traced()
        other = make(net)
        assert traced() - before < 4 * net.num_parameters + SURELY // 2
        assert other.gradients(X, y)[1].tobytes() == net.gradients(X, y)[1].tobytes()
        other.free_workspace()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid", "gelu"])
def test_what_earlier_calls_left_changes_no_bit(dtype, activation):
    random = np.random.default_rng(7)
    net = fcnn.Network((21, 19, 7, 5), activation, dtype=dtype, rng=0)
    X, y = random.normal(size=(700, 21)).astype(dtype), random.integers(5, size=700)
    huge, bad = X * np.asarray(1e25, dtype), np.full_like(X, np.nan)

    def each(net, part, threads, dropout):
        """Yield the bytes of what every call makes of a network."""
        optimizer = fcnn.Adam(0.01)
        yield net.gradients(*part, None, threads)[1].tobytes()
        trace = net.trace(*part)
        yield [a.tobytes() for a in (*trace.z[1:], *trace.delta[1:])]
        yield net.evaluate(*part)
        yield net.train_step(*part, optimizer, n_threads=threads)
        yield net.train_step(*part, optimizer, n_threads=threads, dropout=dropout)
        yield net.train_step(*part, optimizer)
        yield net._train_epoch(*part, optimizer, 13, None, None, threads)
        yield net.gradients(*part, None, threads)[1].tobytes()
        yield net.predict(part[0], None, threads).tobytes()
        yield net.gradients(*part)[1].tobytes()
        yield [a.tobytes() for a in (net.parameters, *optimizer._state)]

    for turn, rows in enumerate([1, 2, 3, 4, 7, 8, 9, 16, 17, 24, 264, 700]):
        given = (X[:rows], y[:rows]), [1, 2][turn % 2], [0.5, (0, 0.5, 0), (0.3, 0, 0)][turn % 3]
        fresh = net.copy()
        spoilt = random.integers(1, 40)
        with np.errstate(all="ignore"):
            for data in (huge, bad):
                net.gradients(data[:spoilt], y[:spoilt])
                net.predict(data[:spoilt])
        pairs = zip(each(net, *given), each(fresh, *given), strict=True)
        for call, (ours, theirs) in enumerate(pairs):
            assert ours == theirs, (rows, call)
            fresh.free_workspace()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_what_calls_with_other_inputs_left_is_not_taken(dtype, density):
    """Rows in full, lists of what is not zero, and stored entries are laid out each in its way."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 64)).astype(dtype), np.arange(40) % 3
    X[rng.random(X.shape) >= density] = 0
    rows, columns = np.nonzero(X)
    begins = np.searchsorted(rows, np.arange(41)).astype(np.int64)
    stored = SparseRows(X[rows, columns], columns.astype(np.int32), begins, 64)
    dense = rng.normal(size=X.shape).astype(dtype)
    net = fcnn.Network((64, 130, 3), dtype=dtype, rng=0)
    for order in itertools.permutations([X, stored, dense]):
        net.free_workspace()
        for samples in (*order, order[0]):
            fresh = net.copy()
            _, gradient = core.Network.gradients(net, samples, y)
            _, expected = core.Network.gradients(fresh, samples, y)
            assert gradient.tobytes() == expected.tobytes()


def _steps(net, X, y):
    optimizer = fcnn.Adam()
    losses = [net.train_step(X, y, optimizer) for _ in range(3)]
    return losses, net.parameters.tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking where threads once were
@pytest.mark.thread_unsafe(reason="a fork beside other threads may wait for a lock for ever")
def test_a_forked_child_goes_on_with_what_its_parent_kept():
    net, X, y = wide()
    net.train_step(X, y, fcnn.SGD(0.1))
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(_steps(net, X, y)))
    child.start()
    sender.close()  # so that a child that dies is an EOFError, and no wait without an end
    assert receiver.poll(60)
    answer = receiver.recv()
    child.join(60)
    assert child.exitcode == 0
    assert answer == _steps(net, X, y)


@pytest.mark.parametrize("sizes", [(20, 30, 3), (4, 5, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_of_another_size_have_blocks_of_their_own(dtype, sizes):
    """What a call kept for small batches is none of large ones': other bits would come of it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, sizes[0])).astype(dtype), np.arange(600) % 3
    for first, then in ((8, 600), (32, 500), (500, 32)):
        net = fcnn.Network(sizes, dtype=dtype, rng=1)
        net.fit(X, y, epochs=1, batch_size=first, shuffle=False, n_threads=1)
        other = net.copy()  # which has kept nothing
        for one in (net, other):
            one.fit(X, y, epochs=1, batch_size=then, shuffle=False, n_threads=1)
        np.testing.assert_array_equal(net.parameters, other.parameters)
