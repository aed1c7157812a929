"""fit, train_step and train_epoch: the loop around the gradients."""

import contextlib
import functools
import os
import signal
import threading
import time

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem

import fcnn


def classification(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_an_epoch_equals_the_reference(core, loss, weighted, dtype):
    rng = np.random.default_rng(1)
    output = "softmax" if loss == "cross_entropy" else "identity"
    twin, (X, y, weight) = random_problem(
        rng, (6, 9, 4), ("tanh", output), loss, dtype, rows=53, weighted=weighted
    )
    if loss == "cross_entropy":
        y = y.argmax(axis=1)
    network = core_twin(core, twin)
    ours, theirs = fcnn.SGD(0.05, momentum=0.9), fcnn.SGD(0.05, momentum=0.9)
    for _ in range(3):
        order = rng.permutation(53)
        mean = network.train_epoch(X, y, ours, 10, order, weight)
        assert mean == pytest.approx(
            twin.train_epoch(X, y, theirs, 10, order, weight), rel=TOLERANCE[dtype]
        )
    assert ours.steps == theirs.steps == 18
    assert distance(network.parameters, twin.parameters) < TOLERANCE[dtype]


def test_fit_is_a_loop_of_train_steps():
    X, y = classification()
    fitted, stepped = fcnn.Network((4, 8, 3)), fcnn.Network((4, 8, 3))
    adam = fcnn.Adam(0.01)
    history = fitted.fit(X, y, epochs=3, batch_size=16, optimizer=fcnn.Adam(0.01), shuffle=False)
    means = []
    for _ in range(3):
        losses = [stepped.train_step(X[i : i + 16], y[i : i + 16], adam) for i in range(0, 60, 16)]
        means.append(np.average(losses, weights=[16, 16, 16, 12]))
    np.testing.assert_array_equal(fitted.parameters, stepped.parameters)
    np.testing.assert_allclose(history.loss, means, rtol=1e-12)


def test_the_default_batch_order_comes_from_the_networks_generator():
    X, y = classification()

    def train(seed, **options):
        net = fcnn.Network((4, 8, 3), rng=seed)
        net.fit(X, y, epochs=2, **options)
        return net.parameters

    np.testing.assert_array_equal(train(0), train(0))
    assert not np.array_equal(train(0), train(1))
    assert not np.array_equal(train(0, rng=5), train(0, rng=6))
    np.testing.assert_array_equal(train(0, rng=5), train(0, rng=np.random.default_rng(5)))
    # Two calls see different orders, as one call of two epochs does.
    once, twice = fcnn.Network((4, 8, 3)), fcnn.Network((4, 8, 3))
    adam = fcnn.Adam()
    once.fit(X, y, epochs=2)
    twice.fit(X, y, epochs=1, optimizer=adam)
    twice.fit(X, y, epochs=1, optimizer=adam)
    assert distance(twice.parameters, once.parameters) > 0
    assert adam.steps == 4


def test_every_sample_is_used_once_an_epoch():
    """One weight per sample, batches of one: the gradient of each reaches its own weight."""
    n = 23
    net = fcnn.Network((n, 1), loss="squared_error", dtype="float64", init="zeros")
    X, y = np.eye(n), np.ones(n)
    net.fit(X, y, epochs=1, batch_size=4, optimizer=fcnn.SGD(4.0))
    # A sample in a batch of 4 has gradient (a - 1) / 4, the bias included; full batches of 4 and a
    # last one of 3. Whatever the order, every weight has moved.
    assert (net.weights[0] != 0).all()
    assert (net.weights[0] == net.weights[0][0, 0]).sum() < n


def test_full_batch_is_the_gradient_of_all():
    X, y = classification(700)
    net = fcnn.Network((4, 8, 3), dtype="float64")
    before = net.parameters.copy()
    _, gradient = net.gradients(X, y)
    net.fit(X, y, epochs=1, batch_size=None, optimizer=fcnn.SGD(0.1), shuffle=False)
    np.testing.assert_allclose(net.parameters, before - 0.1 * gradient, rtol=1e-12, atol=1e-15)


def test_history_validation_and_callbacks():
    X, y = classification(200)
    seen = []

    def stop_after_three(state):
        seen.append((state.epoch, state.epochs, len(state.history.loss), state.network is net))
        return state.epoch == 3

    net = fcnn.Network((4, 8, 3))
    history = net.fit(
        X[:150], y[:150], epochs=9, validation=(X[150:], y[150:]), callbacks=[stop_after_three]
    )
    assert seen == [(1, 9, 1, True), (2, 9, 2, True), (3, 9, 3, True)]
    assert len(history.loss) == len(history.validation_loss) == len(history.seconds) == 3
    assert history.score_name == "accuracy"
    scores = net.evaluate(X[150:], y[150:])
    assert history.validation_loss[-1] == scores["loss"]
    assert history.validation_score[-1] == scores["accuracy"]
    assert scores["accuracy"] == np.mean(net.predict(X[150:]).argmax(axis=1) == y[150:])
    assert "3 epochs" in repr(history)
    assert fcnn.Network((4, 3)).fit(X, y, epochs=1).validation_loss == []


def test_a_callback_may_answer_with_numpys_true():
    X, y = classification()
    history = fcnn.Network((4, 3)).fit(
        X, y, epochs=9, callbacks=[lambda state: np.float64(state.epoch) >= 2]
    )
    assert len(history.loss) == 2


def test_a_shuffled_full_batch_needs_no_copy_of_the_data(core):
    """And goes through the same blocks: the gradient is that of the samples in that order."""
    rng = np.random.default_rng(1)
    twin, (X, y, weight) = random_problem(
        rng, (6, 9, 4), ("tanh", "identity"), "squared_error", "float64", 1300, True
    )
    network, order = core_twin(core, twin), rng.permutation(1300)
    network.train_epoch(X, y, fcnn.SGD(0.1), 1300, order, weight)
    twin.train_epoch(X, y, fcnn.SGD(0.1), 1300, order, weight)
    assert distance(network.parameters, twin.parameters) < 1e-12


def test_progress_bar_when_asked_and_silence_when_not(capsys):
    pytest.importorskip("tqdm")
    X, y = classification()
    fcnn.Network((4, 3)).fit(X, y, epochs=2)
    assert capsys.readouterr() == ("", "")
    fcnn.Network((4, 3)).fit(X, y, epochs=2, validation=(X, y), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "accuracy" in err


def test_learns_xor_and_a_sine():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    net = fcnn.Network((2, 8, 1), "tanh", loss="binary_cross_entropy")
    net.fit(X, [0, 1, 1, 0], epochs=500, batch_size=4, optimizer=fcnn.Adam(0.05))
    assert net.evaluate(X, [0, 1, 1, 0])["accuracy"] == 1
    x = np.linspace(-3, 3, 200)[:, None]
    net = fcnn.Network((1, 32, 1), "tanh", loss="squared_error")
    net.fit(x, np.sin(x), epochs=200, optimizer=fcnn.Adam(0.01))
    assert net.evaluate(x, np.sin(x))["r2"] > 0.995


def test_sample_weights_of_zero_remove_samples():
    X, y = classification()
    weight = np.ones(60)
    weight[30:] = 0
    with_zeros, without = fcnn.Network((4, 8, 3)), fcnn.Network((4, 8, 3))
    # Also whole batches of no weight: they have a gradient of 0, and SGD stays where it is.
    with_zeros.fit(
        X, y, epochs=1, batch_size=10, optimizer=fcnn.SGD(0.1), sample_weight=weight, shuffle=False
    )
    without.fit(X[:30], y[:30], epochs=1, batch_size=10, optimizer=fcnn.SGD(0.1), shuffle=False)
    np.testing.assert_array_equal(with_zeros.parameters, without.parameters)


def test_divergence_keeps_the_last_finite_weights():
    X = np.random.default_rng(0).normal(size=(50, 3))
    y = X.sum(axis=1)
    net = fcnn.Network((3, 16, 1), loss="squared_error")
    with pytest.raises(fcnn.DivergenceError, match="learning rate") as caught:
        net.fit(X, y, epochs=50, optimizer=fcnn.SGD(1e3))
    assert "in epoch" in caught.value.__notes__[0]
    assert np.isfinite(net.parameters).all()


def test_divergence_that_the_loss_hides_is_found():
    """An infinite weight under a saturated sigmoid has a finite loss."""
    net = fcnn.Network((1, 1), loss="squared_error", output_activation="sigmoid", init="zeros")
    before = net.parameters.copy()
    with pytest.raises(fcnn.DivergenceError, match="infinite"):
        net.fit([[1.0]], [1.0], epochs=1, optimizer=fcnn.SGD(3e39 / 1.1))
    np.testing.assert_array_equal(net.parameters, before)


def test_train_step_that_diverges_changes_nothing():
    net = fcnn.Network((2, 4, 1), loss="squared_error")
    net.weights[0][:] = 1e30
    before, optimizer = net.parameters.copy(), fcnn.Adam()
    with pytest.raises(fcnn.DivergenceError):
        net.train_step([[1.0, 1.0]], [0.0], optimizer)
    np.testing.assert_array_equal(net.parameters, before)
    assert optimizer.steps == 0


@pytest.mark.parametrize("make", [
    lambda: fcnn.SGD(1e38),
    lambda: fcnn.SGD(1e38, momentum=0.9),
    lambda: fcnn.SGD(1e30, weight_decay=1e30),
    lambda: fcnn.AdamW(1e38, weight_decay=1e20),
])  # fmt: skip
def test_a_step_that_would_make_a_weight_infinite_changes_nothing(make):
    """Loss and gradient are finite: only the update overflows."""
    net = fcnn.Network((2, 4, 1), loss="absolute_error")
    before, optimizer = net.parameters.copy(), make()
    with pytest.raises(fcnn.DivergenceError, match="became infinite in step 1"):
        net.train_step(np.full((3, 2), 1e3), np.full(3, 1e4), optimizer)
    np.testing.assert_array_equal(net.parameters, before)
    for v in optimizer.state(net):
        np.testing.assert_array_equal(v, 0)
    assert optimizer.steps == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "later", "scale"),
    [
        (lambda: fcnn.Adam(1e38), {}, 0.0),
        (lambda: fcnn.Adam(1e38), {}, 1e-9),
        (lambda: fcnn.SGD(1e300), {}, 0.0),
        (lambda: fcnn.SGD(1e-30, momentum=0.9), {"lr": 1e12}, 1e29),
        (lambda: fcnn.SGD(1e-31, weight_decay=1e30), {}, 1e-3),
        (lambda: fcnn.Adam(), {}, 1e25),
        (lambda: fcnn.Adam(), {}, 1e31),
    ],
)
def test_whatever_is_asked_for_weights_and_state_stay_finite(dtype, make, later, scale):
    """The gradient is `scale`: of the absolute error with respect to W^1."""
    net = fcnn.Network((1, 1), loss="absolute_error", dtype=dtype, init="zeros")
    net.biases[0][:] = 1
    net.weights[0][:] = 1e10 if "weight_decay" in repr(make()) else 0
    optimizer = make()
    for step, x in enumerate([scale, scale and 1e-3, 1.0]):
        if step == 1:
            for name, value in later.items():
                setattr(optimizer, name, value)
        with contextlib.suppress(fcnn.DivergenceError):
            net.train_step([[x]], [0.0], optimizer)
        assert np.isfinite(net.parameters).all()
        assert all(np.isfinite(v).all() for v in optimizer.state(net))


def test_a_refused_call_does_not_take_the_optimizer():
    first, second = fcnn.Network((2, 3, 2)), fcnn.Network((2, 3, 2))
    X, y = np.zeros((4, 2)), [0, 1, 0, 1]
    optimizer = fcnn.SGD(0.1, momentum=0.9)
    for call in (first.fit, functools.partial(first.train_step, optimizer=optimizer)):
        with pytest.raises(ValueError, match="n_threads"):
            call(X, y, optimizer=optimizer, n_threads=0)
    second.fit(X, y, epochs=1, optimizer=optimizer)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_keeps_the_weights_of_the_last_completed_step():
    # A shell that starts pytest in the background has SIGINT ignored: ask for the usual handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupt_a_fit()
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt_a_fit():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20000, 64)), rng.integers(10, size=20000)
    net, optimizer = fcnn.Network((64, 64, 10), dtype="float64"), fcnn.Adam()

    def interrupt():
        while optimizer.steps == 0:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # Every call of train_epoch lasts long enough to be interrupted in its middle.
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=1000, batch_size=20, optimizer=optimizer, shuffle=False)
    thread.join()
    assert np.isfinite(net.parameters).all()
    # The optimizer and the parameters agree on how many steps were made.
    twin, again = fcnn.Network((64, 64, 10), dtype="float64"), fcnn.Adam()
    epochs, steps = divmod(optimizer.steps, 1000)
    if epochs:
        twin.fit(X, y, epochs=epochs, batch_size=20, optimizer=again, shuffle=False)
    if steps:
        part = slice(0, steps * 20)
        twin.fit(X[part], y[part], epochs=1, batch_size=20, optimizer=again, shuffle=False)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_at_any_moment_leaves_as_many_steps_as_updates():
    """Also between the core's last look and its return: an optimizer must not lose steps."""
    rng = np.random.default_rng(0)
    X, y = np.zeros((3000, 1)), np.full((3000, 1), 1e6)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupted = 0
    try:
        for _ in range(60):
            # |a - y| with x = 0: every step adds lr to the bias, and nothing else.
            net = fcnn.Network((1, 1), loss="absolute_error", dtype="float64", init="zeros")
            sgd = fcnn.SGD(2.0**-10)
            timer = threading.Timer(rng.uniform(0, 2e-3), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                for _ in range(100):
                    net.train_epoch(X, y, sgd, 1)
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            assert sgd.steps == net.biases[0][0] * 2**10
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupted > 50


def test_evaluate_scores():
    net = fcnn.Network((2, 2), loss="squared_error", dtype="float64", init="zeros")
    net.weights[0][:] = np.eye(2)
    X = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]])
    y = X + np.array([[1, 0], [0, 0], [0, 0]])
    # Output 1: residual 1, variance sum((1, 1, 2) - 4/3)^2 = 2/3; output 2 is exact.
    assert net.evaluate(X, y) == pytest.approx({"loss": 0.5 / 3, "r2": 1 - 1 / (2 / 3) / 2})
    net = fcnn.Network((1, 2), output_activation="sigmoid", loss="binary_cross_entropy")
    net.parameters[:] = [1, -1, 0, 0]
    # Right in both outputs, in one, in none: only the first counts.
    X, y = [[3], [3], [3]], [[1, 0], [1, 1], [0, 1]]
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(1 / 3)
    assert net.evaluate(X, y, [2, 1, 1])["accuracy"] == pytest.approx(1 / 2)
