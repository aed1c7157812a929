"""Ctrl-C at any moment of a training: the parameters are those of as many steps as were counted."""

import ctypes
import functools
import signal
import sys
import time
import warnings
import weakref
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import fcnn

from .common import goes_on


class Interrupted(BaseException):
    """What the handler raises, as Python's own raises KeyboardInterrupt."""


LOST = 20  # seconds of the process's own time, and as many of the clock's for the next signal


def interrupted(call, delay, timer=signal.ITIMER_REAL):
    """Call it, and raise Interrupted after a delay in seconds; return whether that came in time.

    A timer of the system's, not a thread's, which would wait for the interpreter's lock. It goes
    off once more where the call goes on nevertheless: then the signal was not heard, or what the
    handler raised was dropped on its way out, and either is an error.
    """
    is_inside = True
    calls = 0

    def interrupt(number, frame):
        nonlocal calls
        if is_inside:
            calls += 1
            raise Interrupted

    number = signal.SIGPROF if timer == signal.ITIMER_PROF else signal.SIGALRM
    before = signal.signal(number, interrupt)
    begin = time.process_time()
    try:
        signal.setitimer(timer, delay, LOST)
        call()
        is_inside = False
    except Interrupted:
        is_inside = False
        assert calls == 1, "what an interrupt raised was dropped"
        assert time.process_time() - begin < delay + LOST, "an interrupt was not heard"
        return True
    finally:
        is_inside = False
        signal.setitimer(timer, 0)
        signal.signal(number, before)
    return False


def longest_wait(call):
    """Return how long a call takes, and the longest part of it in which no signal is heard.

    In processor's seconds of the process, of all its threads. A handler that does not raise notes
    when it is called, so one call shows all of its parts.
    """
    heard = []
    before = signal.signal(signal.SIGPROF, lambda *_: heard.append(time.process_time()))
    try:
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, 0.004, 0.004)
        call()
        end = time.process_time()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return end - begin, max(np.diff([begin, *heard, end]))


class Answer:
    """What a handler of signals returns."""


def looks(call):
    """Return how often a call looks for signals, whatever time it takes.

    Every look finds one: the next is sent when what the handler has answered is no longer kept,
    which is behind the handler. What is called must enter no code of Python, which looks as well.
    """
    count, answers, sends = 0, [], True
    number = signal.SIGUSR1
    interrupt = ctypes.pythonapi.PyErr_SetInterruptEx
    interrupt.argtypes = [ctypes.c_int, ctypes.py_object]  # the second is the reference's own
    send = functools.partial(interrupt, number)

    def handler(*_):
        nonlocal count
        count += 1
        answer = Answer()
        answers[:] = [weakref.ref(answer, send)] if sends else []
        return answer

    before = signal.signal(number, handler)
    try:
        signal.raise_signal(number)
        first = count
        call()
        return count - first
    finally:
        sends = False
        signal.signal(number, before)


class Training(NamedTuple):
    """A way to train, each with its own path through the core."""

    sizes: tuple[int, ...]
    rows: int
    batch_size: int
    loss: str = "cross_entropy"
    optimizer: Any = lambda: fcnn.Adam(1e-3)
    options: Any = MappingProxyType({})
    dtype: str = "float32"


TRAININGS = [
    Training((4, 16, 3), 3000, 16),
    Training((64, 100, 10), 4000, 32, optimizer=lambda: fcnn.SGD(0.01, momentum=0.9)),
    Training((784, 128, 10), 2000, 64, options={"n_threads": 2}),
    Training((784, 128, 10), 200, 1, optimizer=lambda: fcnn.SGD(0.01)),
    Training((200, 300, 200, 1), 3000, 1500, "squared_error", options={"clip_norm": 0.1}),
    Training((100, 150, 2), 4000, 100, "huber", options={"l1": 1e-4, "l2": 1e-3}, dtype="float64"),
    Training((30, 40, 5), 9000, 9000, options={"n_threads": 2, "l2": 1e-3}),
    # A learning rate that takes the checked update, and stays finite for long in float64.
    Training((50, 60, 3), 500, 50, "squared_error", lambda: fcnn.Adam(2e15), dtype="float64"),
]


def make(training, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(training.rows, training.sizes[0])).astype(training.dtype)
    if training.loss == "cross_entropy":
        y = rng.integers(training.sizes[-1], size=training.rows)
    else:
        y = rng.normal(size=(training.rows, training.sizes[-1])).astype(training.dtype)
    net = fcnn.Network(training.sizes, loss=training.loss, dtype=training.dtype, rng=seed)
    return net, training.optimizer(), X, y


def fit(training, net, optimizer, X, y, epochs):
    net.fit(X, y, epochs=epochs, batch_size=training.batch_size, optimizer=optimizer,
            shuffle=False, **training.options)  # fmt: skip


def check_training(training, seed, rng):
    """Interrupt a fit, a loop of steps, and a loop of updates; compare with a twin."""
    steps = -(-training.rows // training.batch_size)
    delay = rng.uniform(1e-4, 0.08)
    net, optimizer, X, y = make(training, seed)
    came = interrupted(lambda: fit(training, net, optimizer, X, y, 10**6), delay)
    twin, again, *_ = make(training, seed)
    epochs, rest = divmod(optimizer.steps, steps)
    if epochs:
        fit(training, twin, again, X, y, epochs)
    if rest:
        part = slice(0, rest * training.batch_size)
        fit(training, twin, again, X[part], y[part], 1)
    assert came
    assert np.isfinite(net.parameters).all()
    assert again.steps == optimizer.steps
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    states = [o.state(n) if o.steps else [] for o, n in ((optimizer, net), (again, twin))]
    for state, other in zip(*states, strict=True):
        np.testing.assert_array_equal(state, other)
    # And what was interrupted goes on like its twin.
    fit(training, net, optimizer, X, y, 1)
    fit(training, twin, again, X, y, 1)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    return optimizer.steps


def check_update(rng, seed):
    """Interrupt updates with gradients from elsewhere."""
    options = [{}, {"clip_norm": 0.01}, {"l1": 1e-3, "l2": 1e-3}][rng.integers(3)]
    make_rule = [fcnn.Adam, lambda: fcnn.Adam(2e15)][rng.integers(2)]
    gradient = np.random.default_rng(seed).normal(size=300 * 401 + 401).astype(np.float32)
    nets = [fcnn.Network((300, 401), loss="squared_error", rng=seed) for _ in range(2)]
    rules = [make_rule(), make_rule()]

    def forever():
        while True:
            rules[0].update(nets[0], gradient, **options)

    interrupted(forever, rng.uniform(1e-4, 0.03))
    for _ in range(rules[0].steps):
        rules[1].update(nets[1], gradient, **options)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    return rules[0].steps


def calls_by_lines():
    """Return calls by name, whose Python is interrupted line by line."""
    X, y = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    net, optimizer = fcnn.Network((4, 5, 3), rng=0), fcnn.Adam()
    gradient = np.ones(net.num_parameters, np.float32)

    def fit():
        net.fit(X, y, epochs=2, batch_size=20, optimizer=fcnn.Adam(), validation=(X, y),
                callbacks=[fcnn.EarlyStopping(patience=3)])  # fmt: skip

    def fit_by(optimizer):
        other = fcnn.Network((4, 3, 1), loss="squared_error", rng=0)
        return other.fit(X, X[:, 0], epochs=2, optimizer=optimizer)

    return {
        "fit": fit,
        "update": lambda: optimizer.update(net, gradient, clip_norm=0.1, l1=1e-3),
        "evaluate": lambda: net.evaluate(X, y),
        "predict": lambda: net.predict(X.tolist()),
        "train_step": lambda: net.train_step(X, y, optimizer, clip_norm=1.0),
        "Levenberg-Marquardt": lambda: fit_by(fcnn.LevenbergMarquardt()),
        "L-BFGS": lambda: fit_by(fcnn.LBFGS()),
    }


def raised_at(call, number):
    """Call it and raise Interrupted at one of its lines, by their order; return if it has so many.

    Which must come out: nowhere may it be dropped, as CPython does it in destructors.
    """
    left, raised = number, False

    def look(frame, event, argument):
        nonlocal left, raised
        left -= 1
        if left == 0:
            raised = True
            raise Interrupted
        return look

    before = sys.gettrace()
    with warnings.catch_warnings():
        # Between the return of open() and the first line of a with statement no code of anybody
        # holds the file: Python closes it, and warns of it.
        warnings.simplefilter("ignore", ResourceWarning)
        sys.settrace(look)
        try:
            call()
        except Interrupted:
            return True
        finally:
            sys.settrace(before)
    assert not raised, "what an interrupt raised was dropped"
    return False


def check_lines(most):
    """Interrupt calls at all of their lines, or at so many of each; return how many."""
    count = 0
    for call in calls_by_lines().values():
        call()
        lines = 1
        while raised_at(call, lines):
            lines *= 2
        for number in range(1, lines, max(lines // most, 1)):
            goes_on()
            count += raised_at(call, number)
    return count


def run(size, seed):
    rng = np.random.default_rng(seed)
    steps = []
    for i in range(size):
        goes_on()
        kind = i % (len(TRAININGS) + 1)
        if kind == len(TRAININGS):
            steps.append(check_update(rng, i))
        else:
            steps.append(check_training(TRAININGS[kind], i, rng))
    lines = check_lines(4 * size)
    return (f"{lines:,} interrupts of Python's lines: all came out; {size} interrupts of "
            f"{len(TRAININGS)} trainings and of updates, after 0 to {max(steps):,} steps: all as "
            "after as many whole steps")  # fmt: skip
