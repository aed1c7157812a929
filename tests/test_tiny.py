"""Tiny networks: their own way through a step has the bits of the general one, and is taken."""

import contextlib
import os
import random
import signal

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, TOLERANCE, core_twin, distance, fitting, random_problem, targets

import fcnn
from fcnn._sparse import SparseRows
from fcnn._validation import StepOptions

OPTIMIZERS = (
    lambda: fcnn.SGD(0.01),
    lambda: fcnn.SGD(0.02, weight_decay=0.1),
    lambda: fcnn.SGD(0.01, momentum=0.9),
    lambda: fcnn.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda: fcnn.Adam(0.01),
    lambda: fcnn.AdamW(0.01, weight_decay=0.1),
)
BATCHES = (1, 2, 3, 7, 8, 16, 33, 300)  # 300: more than a block


@contextlib.contextmanager
def the_way(core, *, tiny, calls):
    """Allow tiny networks their own way, or not; so many of the block's calls must take it."""
    core.force_tiny(int(tiny))
    core.count_ways(True)
    try:
        yield
    finally:
        made = core.count_ways(False)["tiny"]
        core.force_tiny(-1)
    assert made == (calls if tiny else 0)


def deal(values, rng):
    """Yield values for ever; in each round every one of them, in another order."""
    while True:
        cards = list(values)
        rng.shuffle(cards)
        yield from cards


def configurations(seed, count):
    """Yield random trainings: what there is of each option occurs, whatever meets."""
    rng = random.Random(seed)
    pair, hidden, optimizer, batch = (deal(v, rng) for v in (PAIRS, HIDDEN, OPTIMIZERS, BATCHES))
    nodes, outputs = deal(range(1, 34), rng), deal(range(1, 10), rng)
    inputs = deal((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 31, 64, 200), rng)
    layers, threads = deal((0, 1, 1, 2, 2, 3), rng), deal((None, 1, 2, 8), rng)
    for number in range(count):
        loss, output = next(pair)
        sizes = [next(inputs), *(next(nodes) for _ in range(next(layers))), next(outputs)]
        sizes[-1] = fitting(sizes[-1] + (output == "softmax"), loss)
        rows = next(batch)
        yield {
            "sizes": tuple(sizes),
            "activations": (*(next(hidden) for _ in sizes[2:]), output),
            "loss": loss,
            "optimizer": next(optimizer),
            "batch": rows,
            "samples": max(4, rng.choice((rows, 2 * rows, 3 * rows + 1, 2 * rows + rows // 2))),
            "weighted": rng.random() < 0.3,
            "labels": loss == "cross_entropy" and rng.random() < 0.6,
            "ordered": rng.random() < 0.5,
            "curve": rng.random() < 0.3,
            "own_loss": rng.random() < 0.1,
            "threads": next(threads),
            "options": StepOptions(
                l1=rng.choice((0.0,) * 7 + (0.01,)),
                l2=rng.choice((0.0,) * 3 + (0.02,)),
                clip_norm=rng.choice((None,) * 5 + (0.3,)),
                label_smoothing=(
                    rng.choice((0.0, 0.0, 0.1)) if loss.endswith("cross_entropy") else 0.0
                ),
                penalty_per_sample=rng.random() < 0.5,
            ),
            "number": number,
        }


def outcome(core, c, dtype):
    """All that a training gives: parameters, state, curves, loss, gradient, message."""
    rng = np.random.default_rng(c["number"])
    twin, (X, y, weight) = random_problem(
        rng, c["sizes"], c["activations"], c["loss"], dtype, c["samples"], c["weighted"]
    )
    network, optimizer = core_twin(core, twin), c["optimizer"]()
    if c["labels"]:
        y = y.argmax(axis=1)
    batches = -(-len(X) // c["batch"])
    curve = rng.uniform(0.001, 0.02, batches) if c["curve"] else None
    losses = np.full((2 * batches + 1, 2), np.nan)
    order = rng.permutation(len(X)) if c["ordered"] else None
    values, message = [], None
    try:
        for i in range(2):
            part = np.ascontiguousarray(losses[i * batches : (i + 1) * batches])
            try:
                values.append(
                    network._train_epoch(
                        X, y, optimizer, c["batch"], order, weight, c["threads"], c["options"],
                        lr_curve=curve, batch_losses=part,
                    )
                )  # fmt: skip
            finally:
                losses[i * batches : (i + 1) * batches] = part
        values.append(network.train_step(X, y, optimizer, weight, c["threads"], c["options"]))
        if c["own_loss"]:
            dC_da = rng.normal(size=(len(X), c["sizes"][-1])).astype(dtype)
            core.own_step(
                network, X, None, None, lambda *_: (0.0, dC_da), False, optimizer, c["threads"],
                c["options"],
            )  # fmt: skip
    except fcnn.DivergenceError as error:
        message = str(error)
    loss, gradient = network.gradients(X, y, weight, c["threads"])
    return (
        network.parameters.copy(), *(v.copy() for v in optimizer.state(network)), losses,
        np.array(values), np.array(loss), gradient, np.array(optimizer.steps),
    ), message  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_bits_are_those_of_the_general_way(core, dtype):
    diverged = 0
    for c in configurations(dtype, 150):
        found = []
        for tiny in (True, False):
            core.force_tiny(int(tiny))
            try:
                found.append(outcome(core, c, dtype))
            finally:
                core.force_tiny(-1)
        (arrays, message), (others, expected) = found
        assert message == expected, c
        diverged += message is not None
        for one, other in zip(arrays, others, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=str(c))
    assert diverged < 15


@pytest.mark.parametrize("sizes", [(4, 16, 3), (5, 33, 18, 3), (100, 37, 10), (6, 3), (7, 9, 8, 2)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_against_the_reference(core, dtype, sizes):
    for rows, batch in ((50, 16), (300, 300), (6, 1)):
        twin, (X, y, weight) = random_problem(
            np.random.default_rng(1), sizes, ("tanh",) * (len(sizes) - 2) + ("softmax",),
            "cross_entropy", dtype, rows, weighted=True,
        )  # fmt: skip
        network = core_twin(core, twin)
        with the_way(core, tiny=True, calls=1):
            loss = network._train_epoch(X, y, fcnn.SGD(0.05, momentum=0.5), batch, None, weight)
        expected = twin.train_epoch(X, y, fcnn.SGD(0.05, momentum=0.5), batch, None, weight)
        assert loss == pytest.approx(expected, rel=10 * TOLERANCE[dtype])
        assert distance(network.parameters, twin.parameters) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("sizes", "loss"),
    [((4, 16, 3), "cross_entropy"), ((5, 18, 5), "squared_error"), ((3, 2, 6), "gaussian_nll"),
     ((2, 9, 1), "binary_cross_entropy"), ((6, 7), "cross_entropy")],
)  # fmt: skip
def test_panels_and_halves_of_panels_have_the_same_bits(core, sizes, loss, dtype):
    """The general way has whole ones alone; here a short batch follows long ones, and one it."""
    output = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(loss, "identity")
    lanes = core.micro_tile_shape()[2] // (1 if dtype == np.float32 else 2)
    some = (1, lanes // 2 - 1, lanes // 2, lanes // 2 + 1, lanes, lanes + 1, 3 * lanes // 2, 70)
    twin, (X, y, weight) = random_problem(
        np.random.default_rng(3), sizes, ("relu",) * (len(sizes) - 2) + (output,), loss, dtype,
        2 * max(some), weighted=True,
    )  # fmt: skip
    labels = y.argmax(axis=1) if loss == "cross_entropy" else y
    wanted = np.random.default_rng(4).normal(size=(len(X), sizes[-1])).astype(dtype)
    found = []
    parts = [
        (batch, rows)
        for batch in some
        for rows in (slice(2 * batch), slice(batch, 2 * batch), slice(batch // 2 + 1))
    ]
    calls = 3 * sum(len(X[rows]) > 3 for _, rows in parts)
    for tiny in (True, False):
        network, adam = core_twin(core, twin), fcnn.Adam(0.01)
        with the_way(core, tiny=tiny, calls=calls):
            for batch, rows in parts:
                found.append(
                    network._train_epoch(X[rows], labels[rows], adam, batch, None, weight[rows], 1)
                )
                found.append(
                    network._train_epoch(
                        X[rows], y[rows], adam, batch, None, None, 1,
                        StepOptions(label_smoothing=0.1 * loss.endswith("entropy")),
                    )
                )  # fmt: skip
                core.own_step(
                    network, X[rows], None, None, lambda a, *_, r=rows: (0.0, a - wanted[r]),
                    False, adam, 1, StepOptions(),
                )  # fmt: skip
                found.append(network.parameters.copy())
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [5, 33, 64, 65, 150])
@pytest.mark.parametrize(
    "sizes", [(32, 81, 3), (45, 96, 5, 2), (33, 90, 10), (70, 99, 1), (40, 128, 2)]
)
def test_zeros_of_the_inputs_are_left_out_and_change_no_bit(core, sizes, rows, dtype):
    """Columns and rows without an entry, blocks of samples whole and not, whatever the order."""
    rng = np.random.default_rng(rows)
    loss, output = ("squared_error", "identity") if sizes[-1] == 1 else ("cross_entropy", "softmax")
    hidden = ("relu", "tanh", "gelu")[len(sizes) + rows % 2 - 3]
    twin, (X, y, weight) = random_problem(
        rng, sizes, (hidden,) * (len(sizes) - 2) + (output,), loss, dtype, rows, weighted=True
    )
    X[rng.random(X.shape) < 0.6] = 0
    X[:, [0, 7]] = 0
    X[3] = 0
    orders, found = (None, rng.permutation(rows)), []
    for listed in (True, False):
        core.force_lists(int(listed))
        core.force_tiny(1)
        core.count_ways(True)
        try:
            for order in orders:
                network, adam = core_twin(core, twin), fcnn.Adam(0.01)
                loss_of = network._train_epoch(X, y, adam, rows, order, weight)
                found.append((network.parameters.copy(), loss_of))
        finally:
            made = core.count_ways(False)
            core.force_tiny(-1)
            core.force_lists(-1)
        assert (made["tiny"], made["lists"]) == (2, 2 * listed)
    for one, other in zip(found[:2], found[2:], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]


@pytest.mark.slow
def test_which_calls_take_it(core):
    """And which do not: a gate that has closed would leave nothing to compare."""

    def calls(sizes, rows=400, batch=8, threads=None, dtype="float32", **options):
        rng = np.random.default_rng(0)
        network = core.Network(sizes, ["relu"] * (len(sizes) - 2) + ["identity"], "squared_error",
                               np.dtype(dtype))  # fmt: skip
        X = rng.normal(size=(rows, sizes[0])).astype(dtype)
        y = targets(rng, "squared_error", rows, sizes[-1], dtype)
        core.count_ways(True)
        network._train_epoch(X, y, fcnn.SGD(0.01), batch, None, None, threads,
                            StepOptions(**options))  # fmt: skip
        return core.count_ways(False)["tiny"]

    assert calls((4, 16, 3)) == calls((1, 1)) == calls((64, 100, 10)) == 1
    assert calls((4, 128, 3)) == calls((256, 8, 2)) == calls((2, 9, 8, 7, 2)) == 1
    assert calls((4, 16, 3), threads=8) == calls((4, 16, 3), batch=1) == 1
    assert calls((4, 16, 3), rows=4) == calls((4, 16, 3), l1=0.1, l2=0.1, clip_norm=1.0) == 1
    assert calls((4, 129, 3)) == calls((257, 8, 2)) == calls((2, 9, 8, 7, 6, 2)) == 0
    assert calls((100, 100, 65, 3)) == calls((100, 100, 3), dtype="float64") == 0
    assert calls((4, 16, 3), rows=3) == calls((4, 16, 3), dropout=(0.5, 0)) == 0
    # Few samples do not pay for moving parameters and state.
    assert calls((64, 100, 10), rows=51) == 1
    assert calls((64, 100, 10), rows=50) == 0
    # Many threads have more to gain by panels than one has without.
    assert calls((2, 32, 2), rows=40_000, batch=40_000, threads=4) == 0
    assert calls((2, 32, 2), rows=40_000, batch=40_000, threads=1) == 1


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("large", ["y", "x", "lr", "xy"])
def test_a_step_that_overflows_is_not_made(core, dtype, optimizer, large):
    """The same number of steps, parameters, state and message as by panels; all finite."""
    factor = 1e30 if dtype == "float32" else 1e290
    found = []
    for tiny in (True, False):
        rng = np.random.default_rng(3)
        twin, (X, y, _) = random_problem(
            rng, (3, 9, 2), ("relu", "identity"), "squared_error", dtype, 40
        )
        if "y" in large:
            y[21] *= 1e20 if dtype == "float32" else 1e160
        if "x" in large:
            X[21] *= factor
        network, sgd = core_twin(core, twin), optimizer()
        if large == "lr":
            sgd.lr = factor
        message = None
        with the_way(core, tiny=tiny, calls=1):
            try:
                network._train_epoch(X, y, sgd, 4)
            except fcnn.DivergenceError as error:
                message = str(error)
        state = [v.copy() for v in sgd.state(network)]
        assert all(np.isfinite(v).all() for v in (network.parameters, *state))
        found.append((message, sgd.steps, network.parameters.copy(), *state))
    assert found[0][:2] == found[1][:2]
    for one, other in zip(found[0][2:], found[1][2:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert large in ("x", "lr") or found[0][0] is not None


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
def test_whoever_handles_a_signal_sees_the_weights_and_may_change_them():
    # |a - y| with x = 0: every step adds lr to the bias, and nothing else.
    network = fcnn.Network((1, 1), loss="absolute_error", dtype="float64", init="zeros")
    X, y = np.zeros((1_000_000, 1)), np.full((1_000_000, 1), 1e9)
    seen = []

    def handler(*_):
        seen.append(network.biases[0][0])
        network.biases[0][:] = 0
        signal.setitimer(signal.ITIMER_REAL, 0.05)  # not before: a second one would come in here

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(20):
            sgd = fcnn.SGD(2.0**-10)
            network.parameters = np.zeros(2)
            seen.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            network._train_epoch(X, y, sgd, 1)
            signal.setitimer(signal.ITIMER_REAL, 0)
            made = [*seen, network.biases[0][0]]
            assert sum(made) * 2**10 == sgd.steps
            if len(seen) > 1 and seen[0] > 0:
                return
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pytest.fail("no signal came during a call")


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
def test_a_large_batch_is_interrupted_before_its_update():
    network, adam = fcnn.Network((2, 32, 2), dtype="float64", rng=0), fcnn.Adam()
    X, y = np.zeros((2_000_000, 2)), np.zeros(2_000_000, np.int64)
    expected = network.parameters.copy()

    def interrupt(*_):
        raise KeyboardInterrupt

    def train():
        signal.setitimer(signal.ITIMER_REAL, 0.005)  # on a busy machine it rings before the call
        network._train_epoch(X, y, adam, len(X), n_threads=1)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            train()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert adam.steps == 0
    np.testing.assert_array_equal(network.parameters, expected)


@pytest.mark.parametrize("bits", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_the_order_of_an_epoch_is_numpy_s(core, bits):
    ours, numpys = (np.random.Generator(getattr(np.random, bits)(7)) for _ in range(2))
    for n in (0, 1, 2, 3, 1000, 70_000):
        expected = np.arange(n)
        numpys.shuffle(expected)
        order = core.shuffled(ours, n)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(order, expected)
        assert ours.integers(2**62) == numpys.integers(2**62)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n_in", [4, 8, 16, 32])
def test_nothing_behind_the_inputs_is_read_or_written(core, dtype, n_in):
    """Rows of whole registers are read where the caller has them; a panel's empty lanes repeat the
    last one, which would be written behind them.
    """
    rng = np.random.default_rng(0)
    for sizes in ((n_in, 3), (n_in, 5, 3)):
        for rows in (4, 5, 8, 12, 13, 16, 29):
            whole, found = rng.normal(size=(rows + 40, n_in)).astype(dtype), []
            y = rng.normal(size=(rows, 3)).astype(dtype)
            for behind in (3.0, np.nan):
                whole[rows:] = behind
                before = whole.tobytes()
                net = core.Network(sizes, ("identity",) * (len(sizes) - 1), "squared_error", dtype)
                net.parameters[:] = np.linspace(-1, 1, net.parameters.size)
                with the_way(core, tiny=True, calls=2):
                    net._train_epoch(whole[:rows], y, fcnn.Adam(), rows)
                    _, gradient = net.gradients(whole[:rows], y)
                assert whole.tobytes() == before
                found.append((gradient.tobytes(), net.parameters.tobytes()))
            assert found[0] == found[1]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_stored_rows_do_not_go_this_way(core, dtype):
    """Which reads rows in full: sparse samples of a tiny network are trained on as lists."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)).astype(dtype), np.arange(200) % 3
    X[abs(X) < 0.7] = 0
    rows, columns = np.nonzero(X)
    begins = np.searchsorted(rows, np.arange(201)).astype(np.int64)
    found = []
    for samples in (X, SparseRows(X[rows, columns], columns.astype(np.int32), begins, 4)):
        net = core_twin(core, fcnn.Network((4, 6, 3), dtype=dtype, rng=0))
        net._train_epoch(samples, y, fcnn.Adam(), 16)
        found.append(net.parameters.copy())
    np.testing.assert_array_equal(*found)
