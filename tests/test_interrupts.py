"""Ctrl-C is heard soon in every call that takes long: between two looks for it little is computed.

By the processor's time of the process: what else the machine does counts for nothing.
tests/soak/latency.py measures more calls, by the clock as well, tests/soak/interrupts.py what is
left behind.
"""

import functools
import os
import signal
import time

import numpy as np
import pytest
from soak.interrupts import TRAININGS, check_training, interrupted, longest_wait, looks, raised_at

import fcnn

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="POSIX timers"),
    pytest.mark.thread_unsafe(reason="signals are the main thread's"),
]
MOST = 0.1  # seconds


def wide_step(**options):
    net = fcnn.Network((5000, 5000, 10), rng=0)
    X = np.random.default_rng(0).normal(size=(32, 5000)).astype(np.float32)
    y, optimizer = np.arange(32) % 10, fcnn.SGD(1e-6)
    return lambda: net.fit(
        X, y, epochs=1, batch_size=32, optimizer=optimizer, n_threads=1, **options
    )


def wide_update():
    net, optimizer = fcnn.Network((5000, 5000, 10), rng=0), fcnn.SGD(1e-6)
    gradient = np.full(net.num_parameters, 1e-3, np.float32)
    return lambda: [optimizer.update(net, gradient, clip_norm=1.0, l1=1e-9) for _ in range(3)]


def few_rows(call):
    net = fcnn.Network((12000, 12000, 2), init="zeros")
    X = np.ones((3, 12000), np.float32)
    return lambda: call(net, X)


def rows(dtype):
    X = np.random.default_rng(0).integers(-9, 9, (60_000, 784)).astype(dtype)
    return fcnn.Network((784, 8, 10), rng=0), X, np.arange(60_000) % 10


def predict(dtype, **options):
    net, X, _ = rows(dtype)
    return lambda: net.predict(X, **options)


def evaluate(dtype):
    net, X, y = rows(dtype)
    return lambda: net.evaluate(X, y)


def targets():
    net = fcnn.Network((4, 400), loss="squared_error", rng=0)
    X, y = np.ones((100_000, 4), np.float32), np.ones((100_000, 400), np.float32)
    optimizer = fcnn.SGD(1e-6)
    return lambda: net.fit(X, y, epochs=1, batch_size=1000, optimizer=optimizer)


def jacobian():
    net, X = fcnn.Network((784, 600, 200), rng=0), rows("float32")[1][:40]
    return lambda: net.jacobian(X)


def all_samples():
    net = fcnn.Network((20, 60, 1), "tanh", loss="squared_error", rng=0, dtype="float64")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1500, 20)), rng.normal(size=1500)
    return lambda: net.fit(X, y, epochs=2, optimizer=fcnn.LevenbergMarquardt())


def a_file(path, call):
    net = fcnn.Network((4000, 4000, 10), rng=0)
    net.save(path)
    return (lambda: net.save(path)) if call == "save" else (lambda: fcnn.load(path))


CALLS = {
    "a wide step, clipped": lambda: wide_step(clip_norm=1.0),
    "a wide step, l1": lambda: wide_step(l1=1e-9),
    "a wide update": wide_update,
    "three rows of a wide network": lambda: few_rows(lambda net, X: net.predict(X)),
    "derivatives of three wide rows": lambda: few_rows(
        lambda net, X: net.vjp(X, np.ones((3, 2), np.float32))
    ),
    "prediction of float64": lambda: predict("float64"),
    "prediction of int64": lambda: predict("int64"),
    "prediction of float32": lambda: predict("float32"),
    "prediction on two threads": lambda: predict("float32", n_threads=2),
    "evaluation of float64": lambda: evaluate("float64"),
    "many targets": targets,
    "a large Jacobian": jacobian,
    "Levenberg-Marquardt": all_samples,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_is_heard_soon(name):
    call = CALLS[name]()
    call()
    took, wait = longest_wait(call)
    assert wait < MOST, f"{wait:.3f} s of {took:.3f}"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["save", "load"])
def test_ctrl_c_is_heard_soon_by_files(what, tmp_path):
    call = a_file(tmp_path / "m", what)
    took, wait = longest_wait(call)
    assert wait < MOST, f"{wait:.3f} s of {took:.3f}"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["save", "load"])
def test_an_interrupted_file_is_whole(what, tmp_path):
    call = a_file(tmp_path / "m", what)
    before, opened = (tmp_path / "m").read_bytes(), os.listdir("/proc/self/fd")
    begin = time.process_time()
    call()
    took, came = time.process_time() - begin, 0
    for share in np.linspace(0.02, 0.9, 12):
        came += interrupted(call, share * took, signal.ITIMER_PROF)
        assert os.listdir(tmp_path) == ["m"]
        assert len(os.listdir("/proc/self/fd")) == len(opened)
    assert came >= 6
    assert (tmp_path / "m").read_bytes() == before
    assert fcnn.load(tmp_path / "m").num_parameters == 4000 * 4001 + 4001 * 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a large Jacobian", "evaluation of float64"])
def test_what_was_interrupted_is_computed_again(name):
    call = CALLS[name]()
    begin = time.process_time()
    wanted = call()
    took, came = time.process_time() - begin, 0
    for share in (0.2, 0.6):
        came += interrupted(call, share * took, signal.ITIMER_PROF)
        np.testing.assert_equal(call(), wanted)
    assert came


@pytest.mark.slow
def test_what_an_interrupt_raises_in_an_update_comes_out():
    """Of one long call: nothing but the core can hear it."""
    # Ten times as long as the 4 ms in which the system counts what a process takes.
    net, optimizer = fcnn.Network((4000, 4000, 2), loss="squared_error", rng=0), fcnn.Adam()
    before, gradient = net.parameters.copy(), np.full(net.num_parameters, 1e-3, np.float32)

    def call():
        optimizer.update(net, gradient, clip_norm=0.1, l1=1e-6, l2=1e-6)

    for _ in range(2):  # the first one makes the optimizer's state
        begin = time.process_time()
        call()
        took = time.process_time() - begin
        net.parameters[:] = before
        optimizer.reset()
    assert interrupted(call, took / 10, signal.ITIMER_PROF)
    assert optimizer.steps == 0
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(TRAININGS)))
def test_a_training_that_was_interrupted_is_at_a_whole_step(number):
    """What one thread hears in a phase, no other one goes on from into the next."""
    for seed in range(3 if TRAININGS[number].options.get("n_threads") else 1):
        check_training(TRAININGS[number], seed, np.random.default_rng(seed))


@pytest.mark.slow
def test_the_other_threads_of_a_call_end_with_it():
    """Not only the one that hears Ctrl-C: what they compute nobody will see."""
    _, X, _ = rows("float32")
    net = fcnn.Network((784, 512, 10), rng=0)

    def call():
        return net.predict(X, n_threads=2)

    call()
    begin = time.process_time()
    call()
    took, begin = time.process_time() - begin, time.process_time()
    assert interrupted(call, took / 20, signal.ITIMER_PROF)
    assert time.process_time() - begin < took / 2


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["LevenbergMarquardt", "LBFGS"])
def test_steps_of_all_samples_are_whole_or_not_made(rule):
    """Interrupted at any line of Python: parameters, state and count are of one moment."""
    X, y = np.linspace(-1, 1, 30).reshape(15, 2), np.linspace(0, 2, 15) ** 2
    make_rule = getattr(fcnn, rule)

    def make():
        return fcnn.Network((2, 3, 1), "tanh", loss="squared_error", dtype="float64", rng=3)

    seen, number = set(), 1
    while True:
        net, optimizer = make(), make_rule()
        if not raised_at(lambda: net.fit(X, y, epochs=2, optimizer=optimizer), number):  # noqa: B023
            break
        twin, other = make(), make_rule()
        if optimizer.steps:
            twin.fit(X, y, epochs=optimizer.steps, optimizer=other)
        assert other.steps == optimizer.steps
        np.testing.assert_array_equal(net.parameters, twin.parameters)
        # What the next steps are made of, too.
        net.fit(X, y, epochs=1, optimizer=optimizer)
        twin.fit(X, y, epochs=1, optimizer=other)
        np.testing.assert_array_equal(net.parameters, twin.parameters)
        seen.add(optimizer.steps - 1)
        number += 3  # more lines than that stood between two parts of a step
    assert seen == {0, 1, 2}


def test_ctrl_c_is_looked_for_in_each_pass_over_inputs_of_other_numbers():
    """One that checks whether they are in the range of float32, and one that converts them."""
    net, v = fcnn.Network((784, 1), loss="squared_error", rng=0), np.ones((12_800, 1), np.float32)

    def looks_at(dtype):
        X = np.ones((12_800, 784), dtype)
        return looks(functools.partial(net.vjp, X, v, n_threads=1))

    pieces = 12_800 * 784 // 2_500_000
    assert looks_at("float64") - looks_at("float32") >= 2 * pieces


def test_a_long_wait_is_seen():
    matrix = np.ones((600, 600))

    def call():
        return np.linalg.svd(matrix)  # which hears nothing

    took, wait = longest_wait(call)
    assert wait > took / 2
