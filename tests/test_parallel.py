"""The same bits on any number of threads, with and without fusion, alone and in a batch."""

import multiprocessing
import os

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn
from fcnn._validation import StepOptions

pytestmark = pytest.mark.usefixtures("general_way")

THREADS = (2, 3, 4, 8)


def problem(dtype, sizes=(21, 50, 33, 5), rows=300, weighted=True, loss="cross_entropy"):
    rng = np.random.default_rng(5)
    activations = (*["relu", "gelu", "tanh"][: len(sizes) - 2], "softmax")
    if loss != "cross_entropy":
        activations = (*activations[:-1], "identity")
    return random_problem(rng, sizes, activations, loss, dtype, rows, weighted)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 64, 100, 300])
@pytest.mark.parametrize(
    "make",
    [
        lambda: fcnn.SGD(0.1),
        lambda: fcnn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda: fcnn.Adam(0.01, weight_decay=0.01),
        lambda: fcnn.AdamW(0.01),
    ],
    ids=["sgd", "nesterov", "adam", "adamw"],
)
def test_an_epoch_has_the_same_bits_on_any_number_of_threads(core, dtype, batch_size, make):
    # Threads that share a CPU wait long for each other, twice a batch: 12 batches are enough.
    network, batch = problem(dtype)
    X, y, weight = (v[: 12 * batch_size] for v in batch)
    order = np.random.default_rng(1).permutation(len(X))
    results = []
    for threads in (1, *THREADS):
        twin, optimizer = core_twin(core, network), make()
        losses = [
            twin._train_epoch(X, y, optimizer, batch_size, order, weight, threads) for _ in range(2)
        ]
        results.append((losses, twin.parameters.tobytes(), [v.tobytes() for v in optimizer._state]))
    assert all(result == results[0] for result in results[1:])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dropout", [None, (0.1, 0.2, 0.0)])
@pytest.mark.parametrize("batch_size", [20, 150])
def test_a_thread_with_nodes_of_its_own(core, dtype, dropout, batch_size):
    # Weights in panels, several of samples, and a first layer of 4 panels: two threads and four
    # share it out by nodes, three by samples; with 20 rows some threads have no samples at all.
    network, (X, y, weight) = problem(dtype, sizes=(70, 64, 33, 5), rows=12 * batch_size)
    options = StepOptions(dropout=dropout)
    results = []
    for threads in (1, 2, 3, 4):
        twin, optimizer = core_twin(core, network), fcnn.Adam(0.01)
        loss = twin._train_epoch(X, y, optimizer, batch_size, None, weight, threads, options)
        results.append((loss, twin.parameters.tobytes()))
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: fcnn.SGD(0.1, weight_decay=0.01),
        lambda: fcnn.SGD(0.1, momentum=0.9),
        lambda: fcnn.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: fcnn.Adam(0.01),
    ],
    ids=["sgd", "momentum", "nesterov", "adam"],
)
def test_one_sample_at_a_time_is_the_same_in_an_epoch_and_alone(core, dtype, make):
    # An epoch multiplies the next sample with the first layer's weights while it updates them.
    network, (X, y, weight) = problem(dtype, sizes=(205, 37, 21, 5), rows=12)
    order = np.random.default_rng(1).permutation(len(X))
    epoch, steps = core_twin(core, network), core_twin(core, network)
    epoch_optimizer, step_optimizer = make(), make()
    epoch._train_epoch(X, y, epoch_optimizer, 1, order, weight, 1)
    for i in order:
        one = slice(i, i + 1)
        steps.train_step(X[one], y[one], step_optimizer, weight[one], 1)
    assert epoch.parameters.tobytes() == steps.parameters.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 3, 4, 17, 300, 777])
def test_other_calls_have_the_same_bits_on_any_number_of_threads(core, dtype, rows):
    network, (X, y, weight) = problem(dtype, rows=rows)
    twin = core_twin(core, network)

    def answers(threads):
        loss, gradient = twin.gradients(X, y, weight, threads)
        evaluated, outputs = twin._loss_and_outputs(X, y, weight, threads)
        predicted = twin.predict(X, None, threads)
        assert outputs.tobytes() == predicted.tobytes()
        return loss, evaluated, gradient.tobytes(), predicted.tobytes()

    alone = answers(1)
    for threads in THREADS:
        assert answers(threads) == alone


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "output", "targets"),
    [
        ("squared_error", "softmax", 240),
        ("absolute_error", "identity", 240),
        ("huber", "tanh", 240),
        ("poisson", "exp", 240),
        ("binary_cross_entropy", "sigmoid", 240),
        ("cross_entropy", "softmax", None),
        ("gaussian_nll", None, 120),
        ("quantile(0.2, 0.5, 0.7, 0.9)", None, 60),
    ],
)
def test_no_delta_is_written_behind_a_thread_s_own(loss, output, targets, dtype):
    """There stand the first ones of the other thread, which has more of them and is still at it."""
    rng = np.random.default_rng(3)
    net = fcnn.Network((2, 240), loss=loss, output_activation=output, dtype=dtype, rng=1)
    rows = 7 * 16  # panels: three and four, or seven and seven of float64
    X = rng.normal(size=(rows, 2)).astype(dtype)
    y = rng.integers(240, size=rows)
    if targets is not None:
        y = rng.uniform(0, 1, (rows, targets)).astype(dtype)
    alone = net.gradients(X, y, n_threads=1)[1].tobytes()
    assert all(net.gradients(X, y, n_threads=2)[1].tobytes() == alone for _ in range(8))


@pytest.mark.parametrize("rows", [8193, 25_000])
def test_gradients_of_many_blocks_have_the_same_bits_on_any_number_of_threads(core, rows):
    """Behind 8,192 rows those of some blocks are put to those of earlier ones, by all threads."""
    network, (X, y, weight) = problem("float32", sizes=(5, 6, 3), rows=rows)
    twin, found = core_twin(core, network), []
    for threads in (1, 2, 3):
        twin.gradients(2 * X, y, weight, threads)  # whose sums are left in the same memory
        loss, gradient = twin.gradients(X, y, weight, threads)
        found.append((loss, gradient.tobytes()))
    assert all(one == found[0] for one in found)
    assert distance(gradient, network.gradients(X, y, weight)[1]) < TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_has_the_same_bits_alone_and_in_a_batch(core, dtype):
    network, (X, _, _) = problem(dtype, sizes=(37, 150, 29, 3), rows=70)
    twin = core_twin(core, network)
    whole = twin.predict(X)
    for rows in (1, 2, 3, 4, 8, 9, 16, 17, 33):
        for first in range(0, 70 - rows, rows):
            part = twin.predict(X[first : first + rows])
            assert part.tobytes() == whole[first : first + rows].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [200, 700])
@pytest.mark.parametrize(
    "make",
    [lambda: fcnn.SGD(0.1), lambda: fcnn.SGD(0.1, momentum=0.9), lambda: fcnn.Adam(0.01)],
    ids=["sgd", "momentum", "adam"],
)
def test_updates_fused_with_the_gradient_and_after_it(core, dtype, rows, make):
    """700 samples are several blocks, whose gradient is complete before the update."""
    network, batch = problem(dtype, rows=rows)
    twin = core_twin(core, network)
    before = network.parameters.copy()
    pair = [(twin, make()), (network, make())]
    for net, optimizer in pair:
        for state in optimizer.state(net):
            state[...] = 0.1  # not 0, from which Adam's first step is the sign of the gradient
        optimizer.steps = 3
        net.train_step(*batch[:2], optimizer, batch[2])
    assert distance(twin.parameters - before, network.parameters - before) < 10 * TOLERANCE[dtype]
    for ours, theirs in zip(pair[0][1]._state, pair[1][1]._state, strict=True):
        assert distance(ours, theirs) < TOLERANCE[dtype]


def test_fit_and_predict_take_n_threads():
    X = np.random.default_rng(0).normal(size=(500, 30))
    y = X[:, 0] > 0
    nets = []
    for n_threads in (None, 1, 2, 64):
        net = fcnn.Network((30, 40, 1), loss="binary_cross_entropy")
        net.fit(X, y, epochs=2, rng=0, n_threads=n_threads)
        nets.append(net.parameters.tobytes())
        assert net.predict(X, n_threads=n_threads).tobytes() == net.predict(X).tobytes()
    assert len(set(nets)) == 1


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_wrong_n_threads_are_refused(wrong):
    net = fcnn.Network((3, 4, 2))
    X, y = np.zeros((5, 3)), np.zeros(5, int)
    before = net.parameters.copy()
    for call in (
        lambda: net.fit(X, y, n_threads=wrong),
        lambda: net.predict(X, n_threads=wrong),
        lambda: net.predict(X[0], n_threads=wrong),
    ):
        with pytest.raises((TypeError, ValueError), match="n_threads"):
            call()
    np.testing.assert_array_equal(net.parameters, before)


def _train_in_child(sender):
    net = fcnn.Network((64, 128, 10))
    X = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    y = np.arange(2000) % 10
    net.fit(X, y, epochs=1, rng=0, n_threads=2)
    sender.send_bytes(net.parameters.tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking where threads once were
@pytest.mark.thread_unsafe(reason="a fork beside other threads may wait for a lock for ever")
def test_a_forked_child_trains_like_its_parent():
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    _train_in_child(sender)
    expected = receiver.recv_bytes()
    child = context.Process(target=_train_in_child, args=(sender,))
    child.start()
    sender.close()  # so that a child that dies is an EOFError, and no wait without an end
    assert receiver.poll(60)
    answer = receiver.recv_bytes()
    child.join(60)
    assert child.exitcode == 0
    assert answer == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [255, 256, 257, 258, 259, 260, 513])
def test_a_few_rows_behind_a_block_of_a_batch(core, dtype, rows):
    # What is left behind blocks of 256 is too little for a panel, and no batch of its own.
    network, (X, y, weight) = problem(dtype, sizes=(70, 64, 33, 5), rows=rows)
    results = []
    for threads in (1, 2, 3):
        twin = core_twin(core, network)
        loss, gradient = twin.gradients(X, y, weight, threads)
        twin.train_step(X, y, fcnn.SGD(0.1), weight, threads)
        results.append((loss, gradient.tobytes(), twin.parameters.tobytes()))
    assert all(result == results[0] for result in results[1:])
