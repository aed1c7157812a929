"""Many threads at once: predictions on one network, trainings of separate ones."""

import os
import subprocess
import sys
import sysconfig
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import core_twin, random_problem

import fcnn
from fcnn._validation import StepOptions

THREADS = 8
DTYPES = ["float32", "float64"]


def at_once(work):
    """Call work(i) on every thread, all of them beginning together; return what they return."""
    barrier = threading.Barrier(THREADS)

    def one(i):
        barrier.wait(60)
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def beside(change, good):
    """Call change() on one thread; whether good() holds all the while on the others."""
    done = threading.Event()

    def work(i):
        if i == 0:
            try:
                change()
            finally:
                done.set()
            return True
        well = good()
        while not done.is_set():
            well &= good()
        return well

    return all(at_once(work))


def problem(dtype, rng=0):
    """Return a network, and data of which 1,000 rows are worth releasing the lock."""
    net = fcnn.Network((21, 50, 33, 5), ["relu", "gelu"], dtype=dtype, rng=rng)
    random = np.random.default_rng(rng)
    return net, random.normal(size=(1000, 21)).astype(dtype), random.integers(5, size=1000)


def all_answers(net, X, y):
    """Return the bytes of what every call that changes nothing returns."""
    out = np.empty(5, net.dtype)
    arrays = []
    for row in X[:20]:
        assert net.predict(row, out) is out
        arrays.append(out.copy())
    arrays += [net.predict(X[:rows]) for rows in (1, 3, 4, 7, 33, 1000)]
    arrays += [net(X), net.predict(X[:40].tolist()), net.predict(X, n_threads=2)]
    trace = net.trace(X[:40], y[:40])
    arrays += [*trace.z[1:], *trace.a, *trace.delta[1:], *trace.dW[1:], *trace.db[1:]]
    loss, gradient = net.gradients(X, y, n_threads=2)
    return [a.tobytes() for a in (*arrays, gradient)], trace.loss, loss, net.evaluate(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_on_one_network_get_the_bits_of_one_thread(dtype):
    net, X, y = problem(dtype)
    expected = all_answers(net, X, y)
    for answers in at_once(lambda i: [all_answers(net, X, y) for _ in range(10)]):
        assert all(answer == expected for answer in answers)


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_that_a_network_keeps_is_freed_beside_its_calls(dtype):
    # Some calls release the lock and some do not, and they need memory of different sizes.
    net, X, y = problem(dtype)

    def answers():
        some = [net.gradients(X[:rows], y[:rows])[1] for rows in (1, 16, 40, 300, 3)]
        some += [net.predict(X[:rows]) for rows in (5, 500)]
        return [a.tobytes() for a in some], net.evaluate(X, y)

    def free():
        for _ in range(3000):
            net.free_workspace()

    expected = answers()
    assert beside(free, lambda: answers() == expected)


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="all memory of the process is counted")
def test_of_many_calls_at_once_a_network_keeps_the_memory_of_a_few():
    net, X, y = problem("float32")
    tracemalloc.start()
    try:
        net.gradients(X, y)
        before = tracemalloc.get_traced_memory()[0]
        net.free_workspace()
        one = before - tracemalloc.get_traced_memory()[0]
        at_once(lambda i: [net.gradients(X, y) for _ in range(20)])
        before = tracemalloc.get_traced_memory()[0]
        net.free_workspace()
        assert one <= before - tracemalloc.get_traced_memory()[0] <= 4 * one + 10_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_on_one_network_with_every_build(core, dtype):
    rng = np.random.default_rng(3)
    network, (X, y, weight) = random_problem(
        rng, (21, 50, 5), ["tanh", "softmax"], "cross_entropy", dtype, 1000, weighted=True
    )
    twin = core_twin(core, network)

    def answers(_):
        loss, gradient = twin.gradients(X, y, weight)
        evaluated, outputs = twin._loss_and_outputs(X, y, weight)
        predicted = [twin.predict(X[:rows]) for rows in (1, 3, 1000)]
        return loss, evaluated, [a.tobytes() for a in (gradient, outputs, *predicted)]

    expected = answers(0)
    assert all(answer == expected for answer in at_once(answers))


def trained(i):
    """Return the bytes of a network that thread i trains, with state, dropout and a schedule."""
    net, X, y = problem("float32", rng=i)
    optimizer = [fcnn.SGD(0.05, momentum=0.9), fcnn.Adam(0.01), fcnn.AdamW(0.01)][i % 3]
    history = net.fit(
        X, y, epochs=3, batch_size=[1, 16, 300][i % 3], optimizer=optimizer, dropout=0.1,
        schedule=fcnn.schedules.Cosine(), validation=(X, y), n_threads=1 + i % 2,
    )  # fmt: skip
    net.train_step(X, y, optimizer)
    state = [v.tobytes() for v in optimizer.state(net)]
    return net.parameters.tobytes(), state, history.loss, history.validation_loss


@pytest.mark.slow
def test_threads_train_networks_of_their_own():
    assert at_once(trained) == [trained(i) for i in range(THREADS)]


@pytest.mark.slow
def test_predictions_beside_a_training_do_no_harm():
    """The rule forbids it: weights may be old and new ones, but nothing else happens."""

    def fit(net, X, y):
        net.fit(X, y, epochs=20, batch_size=50, optimizer=fcnn.Adam(0.01), rng=0)

    alone, X, y = problem("float32")
    fit(alone, X, y)
    net, *_ = problem("float32")

    def finite():
        answers = net.predict(X), net.predict(X[0]), net.gradients(X, y)[1]
        return all(np.isfinite(a).all() for a in answers)

    assert beside(lambda: fit(net, X, y), finite)
    assert net.parameters.tobytes() == alone.parameters.tobytes()


def test_parameters_assigned_beside_predictions_stay_where_they_are():
    net, X, _ = problem("float64")
    other, *_ = problem("float64", rng=1)
    weights, biases, flat = other.weights, other.biases, net.parameters.copy()
    address, expected = net.parameters.ctypes.data, net.predict(X).tobytes()

    def assign():
        for _ in range(200):
            net.weights, net.biases = weights, biases
            net.parameters = flat

    def finite():
        return np.isfinite(net.predict(X)).all() and np.isfinite(net.predict(X[0])).all()

    assert beside(assign, finite)
    assert net.parameters.ctypes.data == address
    assert net.predict(X).tobytes() == expected


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 40])
def test_labels_that_become_wrong_during_a_call_point_into_the_outputs(core, rows, smoothing):
    # They are checked before the call; what a thread writes to them then is as good as given here.
    network, (X, *_) = random_problem(
        np.random.default_rng(0), (4, 8, 3), ["relu", "softmax"], "cross_entropy", "float64", rows
    )

    options = StepOptions(label_smoothing=smoothing)

    def loss(label):
        twin = core_twin(core, network)
        y = np.full(rows, label)
        return twin.train_step(X, y, fcnn.SGD(1e-3), options=options)

    assert loss(3) == loss(2)
    assert loss(-1) == loss(0)


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="the interpreter has its lock"
)
def test_the_import_leaves_the_lock_off():
    code = (
        "import sys, fcnn; fcnn.Network((2, 1), loss='huber')([1, 2]); print(sys._is_gil_enabled())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
