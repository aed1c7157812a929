"""fit, train_step and train_epoch: the loop around the gradients."""

import contextlib
import functools
import os
import signal
import threading

import numpy as np
import pytest
from conftest import TOLERANCE, core_twin, distance, random_problem
from interrupting import interrupted

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
        mean = network._train_epoch(X, y, ours, 10, order, weight)
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
    # Two calls see the two orders of one call: an order depends on the generator's state alone.
    once, twice = fcnn.Network((4, 8, 3)), fcnn.Network((4, 8, 3))
    adam = fcnn.Adam()
    once.fit(X, y, epochs=2)
    twice.fit(X, y, epochs=1, optimizer=adam)
    twice.fit(X, y, epochs=1, optimizer=adam)
    np.testing.assert_array_equal(twice.parameters, once.parameters)
    assert adam.steps == 4


def test_every_epoch_has_another_order():
    batches = []

    def seen(a, y):
        batches.append(y[:, 0].tolist())
        return 0.0, np.zeros_like(a)

    X = np.zeros((6, 1))
    fcnn.Network((1, 1), loss="squared_error").fit(
        X, np.arange(6.0)[:, None], epochs=3, batch_size=6, loss=seen, rng=1
    )
    generator = np.random.default_rng(1)
    expected = []
    for _ in range(3):
        order = np.arange(6)
        generator.shuffle(order)
        expected.append(order.tolist())
    assert batches == expected


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
    network._train_epoch(X, y, fcnn.SGD(0.1), 1300, order, weight)
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


# --- Options of the updates -----------------------------------------------------------------------


def regression(rows=24, n_out=2, dtype="float64", loss="squared_error", activation="tanh"):
    rng = np.random.default_rng(3)
    net = fcnn.Network((4, 6, n_out), activation, loss=loss, dtype=dtype, rng=2)
    X = rng.normal(size=(rows, 4))
    return net, X, rng.normal(size=(rows, n_out))


def penalty_and_gradient(net, l1, l2):
    """The definition: l1 sum |W| + l2 / 2 sum W^2, over the weights alone."""
    penalty, twin = 0.0, net.copy()
    for W, b in zip(twin.weights, twin.biases, strict=True):
        penalty += l1 * np.abs(W).sum() + l2 / 2 * (W**2).sum()
        W[...] = l1 * np.sign(W) + l2 * W
        b[...] = 0
    return penalty, twin.parameters


@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0), (0, 0.3), (0.02, 0.05)])
def test_penalties(l1, l2):
    net, X, y = regression()
    net.biases[0][:] = 0.3
    twin, start = net.copy(), net.parameters.copy()
    loss, gradient = net.gradients(X, y)
    penalty, of_penalty = penalty_and_gradient(net, l1, l2)
    stepped = net.train_step(X, y, fcnn.SGD(0.1), l1=l1, l2=l2)
    expected = start - 0.1 * (gradient + of_penalty)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-12, atol=1e-15)
    assert stepped == pytest.approx(loss + penalty, rel=1e-12)
    history = twin.fit(X, y, epochs=1, batch_size=None, optimizer=fcnn.SGD(0.1), l1=l1, l2=l2)
    np.testing.assert_allclose(twin.parameters, expected, rtol=1e-12, atol=1e-15)
    assert history.loss == pytest.approx([loss + penalty], rel=1e-12)
    assert history.penalty == pytest.approx([penalty], rel=1e-12)
    assert history.validation_loss == []


def test_the_curves_are_means_over_the_batches():
    net, X, y = regression(rows=10)
    weight = np.arange(1.0, 11)
    twin = net.copy()
    history = net.fit(X, y, epochs=1, batch_size=4, optimizer=fcnn.SGD(0.1), sample_weight=weight,
                      l2=0.1, rng=5)  # fmt: skip
    costs, penalties = [], []
    order = np.arange(10)
    np.random.default_rng(5).shuffle(order)
    for i in range(0, 10, 4):
        part = order[i : i + 4]
        penalties.append(penalty_and_gradient(twin, 0, 0.1)[0])
        costs.append(
            twin.train_step(X[part], y[part], fcnn.SGD(0.1), weight[part], l2=0.1) - penalties[-1]
        )
    assert history.penalty == pytest.approx([np.mean(penalties)], rel=1e-12)
    mean = np.average(costs, weights=[weight[order[i : i + 4]].sum() for i in (0, 4, 8)])
    assert history.loss == pytest.approx([mean + np.mean(penalties)], rel=1e-12)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


@pytest.mark.parametrize("share", [0.3, 0.999, 1.001, 5])
def test_clipping(share):
    net, X, y = regression()
    start = net.parameters.copy()
    _, gradient = net.gradients(X, y)
    norm = np.linalg.norm(gradient)
    net.train_step(X, y, fcnn.SGD(0.1), clip_norm=share * norm)
    expected = start - 0.1 * gradient * min(share, 1)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-12, atol=1e-15)
    # What is clipped is the gradient with the penalty, as in every other library.
    net, X, y = regression()
    gradient = gradient + penalty_and_gradient(net, 0, 0.5)[1]
    norm = np.linalg.norm(gradient)
    net.fit(X, y, epochs=1, batch_size=24, optimizer=fcnn.SGD(0.1), l2=0.5, clip_norm=share * norm)
    expected = start - 0.1 * gradient * min(share, 1)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-12, atol=1e-15)


def test_clipping_and_penalties_are_pytorchs():
    torch = pytest.importorskip("torch")
    net, X, y = regression()
    tensors = [
        torch.tensor(np.array(v), requires_grad=True)
        for pair in zip(net.weights, net.biases, strict=True) for v in pair
    ]  # fmt: skip
    net.fit(X, y, epochs=5, batch_size=8, optimizer=fcnn.SGD(0.3, momentum=0.9), shuffle=False,
            clip_norm=0.2, l2=0.05)  # fmt: skip
    optimizer = torch.optim.SGD(tensors, lr=0.3, momentum=0.9)
    for _ in range(5):
        for i in range(0, 24, 8):
            W1, b1, W2, b2 = tensors
            a = torch.tanh(torch.tensor(X[i : i + 8]) @ W1.T + b1) @ W2.T + b2
            loss = 0.5 * ((a - torch.tensor(y[i : i + 8])) ** 2).sum(dim=1).mean()
            loss = loss + 0.025 * ((W1**2).sum() + (W2**2).sum())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tensors, 0.2)
            optimizer.step()
    for ours, theirs in zip(
        (*net.weights, *net.biases), (tensors[0], tensors[2], tensors[1], tensors[3]), strict=True
    ):
        # clip_grad_norm_ adds 1e-6 to the norm that it divides by.
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("labels", [True, False])
def test_label_smoothing_is_training_on_smoothed_targets(loss, labels):
    X, y = classification()
    if loss == "cross_entropy":
        rows = np.eye(3)[y]
        smoothed, targets = 0.9 * rows + 0.1 / 3, y if labels else rows
    else:
        targets = (y[:, None] == [0, 1, 2]).astype(float)
        smoothed = 0.9 * targets + 0.05
    net = fcnn.Network((4, 6, 3), "tanh", loss=loss, dtype="float64")
    twin = net.copy()
    history = net.fit(X, targets, epochs=3, label_smoothing=0.1)
    its = twin.fit(X, smoothed, epochs=3)
    np.testing.assert_allclose(history.loss, its.loss, rtol=1e-12)
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-9, atol=1e-12)
    adam = fcnn.Adam()
    assert net.train_step(X, targets, adam, label_smoothing=0.1) == pytest.approx(
        twin.train_step(X, smoothed, adam.__class__()), rel=1e-9
    )


def test_label_smoothing_and_class_weights_are_pytorchs():
    torch = pytest.importorskip("torch")
    X, y = classification()
    net = fcnn.Network((4, 3), dtype="float64")
    logits = torch.tensor(X.astype(float)) @ torch.tensor(np.array(net.weights[0])).T
    labels = torch.tensor(y)
    smoothing = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert net.copy().fit(X, y, epochs=1, batch_size=60, label_smoothing=0.2).loss == pytest.approx(
        [smoothing.item()], rel=1e-12
    )
    weights = torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64)
    weighted = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    history = net.fit(X, y, epochs=1, batch_size=60, class_weight={0: 2, 1: 0.5, 2: 3})
    assert history.loss == pytest.approx([weighted.item()], rel=1e-12)


@pytest.mark.parametrize("targets", ["labels", "rows", "yes or no"])
def test_class_weights_are_sample_weights(targets):
    X, y = classification()
    net = fcnn.Network((4, 6, 3), "tanh")
    weights = np.array([2.0, 1, 0.25])
    if targets == "yes or no":
        net = fcnn.Network((4, 6, 1), "tanh", loss="binary_cross_entropy")
        y, weights = np.minimum(y, 1), np.array([2.0, 0.5])
    given = {k: w for k, w in enumerate(weights) if w != 1}
    shape = {"labels": y, "rows": np.eye(3)[y], "yes or no": y[:, None]}[targets]
    count = np.bincount(y)
    for class_weight, of_sample in ((given, weights[y]), ("balanced", 60 / len(count) / count[y])):
        for more in (None, np.linspace(0.5, 2, 60)):
            ours, twin = net.copy(), net.copy()
            ours.fit(X, shape, epochs=2, class_weight=class_weight, sample_weight=more)
            twin.fit(X, shape, epochs=2, sample_weight=of_sample * (1 if more is None else more))
            np.testing.assert_allclose(ours.parameters, twin.parameters, rtol=1e-4, atol=1e-6)


@pytest.mark.slow(reason="imports scikit-learn")
def test_balanced_weights_are_scikit_learns():
    class_weight = pytest.importorskip("sklearn.utils.class_weight")
    y = np.repeat([0, 1, 3], [40, 15, 5])  # class 2 is absent
    X = np.random.default_rng(0).normal(size=(60, 4))
    theirs = class_weight.compute_sample_weight("balanced", y)
    net = fcnn.Network((4, 4))
    twin = net.copy()
    net.fit(X, y, epochs=1, class_weight="balanced")
    twin.fit(X, y, epochs=1, sample_weight=theirs)
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-5)


# --- Dropout --------------------------------------------------------------------------------------


def test_dropout_drops_and_scales():
    """A sum over 1,000 nodes of ones: what comes out counts those that stayed."""
    net = fcnn.Network((1, 1000, 1), "identity", loss="squared_error", dtype="float64", rng=0)
    net.parameters = np.concatenate([np.ones(1000), np.zeros(1000), np.full(1000, 1e-3), [0]])
    seen = []

    def look(a, y):
        seen.append(a[:, 0].copy())
        return 0.0, np.zeros_like(a)

    X, y = np.ones((50, 1)), np.zeros(50)
    net.fit(X, y, epochs=2, batch_size=25, loss=look, dropout=0.2, validation=(X, y))
    validations = [a for a in seen if len(a) == 50]
    np.testing.assert_allclose(validations, 1, rtol=1e-12)  # nothing is dropped there
    stayed = np.concatenate([a for a in seen if len(a) == 25]) * 1000 * 0.8
    np.testing.assert_allclose(stayed, np.round(stayed), atol=1e-9)
    assert len(np.unique(stayed)) > 20  # every sample of every batch has a mask of its own
    # Binomial: 800 of 1,000 with a deviation of 12.6, the mean of 100 samples one of 1.26.
    assert abs(stayed.mean() - 800) < 6
    assert 9 < stayed.std() < 17


def test_the_gradient_is_that_of_the_masked_network():
    """One hidden node, dropped or not: its weights move only if it stayed."""
    net = fcnn.Network((1, 1, 1), "identity", loss="squared_error", dtype="float64")
    net.parameters = [1, 0, 1, 0]
    stayed = []

    def look(a, y):
        stayed.append(a[0, 0])
        return 0.0, np.ones_like(a)

    X, y = np.ones((40, 1)), np.zeros(40)
    before = np.array([1.0, 0, 1, 0])
    for _ in range(40):
        net.parameters = before
        net.fit(X[:1], y[:1], epochs=1, loss=look, dropout=0.5, optimizer=fcnn.SGD(0.125))
        # a = W2 m (W1 x + b1) / (1 - p) + b2 with m 0 or 1: dC/da is 1, the other factors are 1.
        moved = (before - net.parameters) / 0.125
        np.testing.assert_allclose(moved, [stayed[-1], stayed[-1], stayed[-1], 1], atol=1e-12)
    assert set(stayed) == {0.0, 2.0}
    assert 8 <= stayed.count(2.0) <= 32


def test_dropout_depends_on_the_generator_alone():
    X, y = classification()

    def train(dropout, seed=1, **options):
        net = fcnn.Network((4, 8, 6, 3), rng=seed)
        start = net.copy()
        net.fit(X, y, epochs=2, dropout=dropout, **options)
        assert not np.array_equal(net.parameters, start.parameters)
        return net.parameters.tobytes()

    assert train(0.5) == train(0.5, n_threads=2) == train((0, 0.5, 0.5)) == train([0, 0.5, 0.5])
    assert train(0.0) == train((0, 0, 0)) == train(np.float32(0))
    different = [train(0.5), train(0), train(0.4), train((0.5, 0.5, 0.5)), train((0, 0.5, 0)),
                 train(0.5, rng=3), train(0.5, rng=4)]  # fmt: skip
    assert len(set(different)) == len(different)
    # Without a hidden layer a number would drop nothing.
    with pytest.raises(ValueError, match=r"^dropout: there is no hidden layer to drop"):
        fcnn.Network((4, 3)).fit(X, y, epochs=1, dropout=0.5)


def test_dropout_of_a_step_comes_from_the_networks_generator():
    X, y = classification()
    ends = []
    for seed in (0, 0, 1):
        net = fcnn.Network((4, 50, 3), rng=5)
        net.rng = np.random.default_rng(seed)
        for _ in range(2):
            net.train_step(X, y, fcnn.SGD(0.1), dropout=0.5)
        ends.append(net.parameters.tobytes())
    assert ends[0] == ends[1] != ends[2]
    net = fcnn.Network((4, 50, 3), rng=5)
    state = repr(net.rng.bit_generator.state)
    net.train_step(X, y, fcnn.SGD(0.1))
    assert repr(net.rng.bit_generator.state) == state


def test_dropout_learns():
    X, y = classification(400)
    net = fcnn.Network((4, 64, 64, 3))
    net.fit(X, y, epochs=40, dropout=0.3, optimizer=fcnn.Adam(0.005))
    assert net.evaluate(X, y)["accuracy"] > 0.93


# --- A loss of the user's own ---------------------------------------------------------------------


def half_square(a, y, weight=None):
    y = y.reshape(a.shape)
    weight = np.ones(len(a)) if weight is None else weight
    share = (weight / weight.sum())[:, None]
    return float((share * (a - y) ** 2).sum()) / 2, share * (a - y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"l2": 0.1, "clip_norm": 0.2}, {"dropout": 0.3}])
def test_ones_own_loss_trains_as_the_built_in_one(weighted, options):
    net, X, y = regression()
    if "dropout" in options:  # whose masks are drawn for each batch, or for an epoch: one batch
        options = {**options, "batch_size": 24}
    options = {"batch_size": 7, **options, "epochs": 4, "validation": (X, y)}
    if weighted:
        options["sample_weight"] = np.linspace(0.2, 3, 24)
        options["validation"] = X, y, options["sample_weight"]
    twin = net.copy()
    schedule = fcnn.schedules.WarmUp(2)
    adam, its = fcnn.Adam(0.01), fcnn.Adam(0.01)
    history = net.fit(X, y, loss=half_square, optimizer=adam, schedule=schedule, **options)
    expected = twin.fit(X, y, optimizer=its, schedule=schedule, **options)
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-10)
    np.testing.assert_allclose(history.validation_loss, expected.validation_loss, rtol=1e-10)
    np.testing.assert_allclose(history.penalty, expected.penalty, rtol=1e-10)
    np.testing.assert_allclose(history.learning_rate, expected.learning_rate, rtol=1e-12)
    assert history.validation_score == []
    assert (adam.lr, adam.steps) == (0.01, its.steps)


def test_ones_own_cross_entropy_goes_through_the_softmax():
    X, y = classification()
    net = fcnn.Network((4, 6, 3), "tanh", dtype="float64")
    twin = net.copy()

    def cross_entropy(a, y):
        p = a[np.arange(len(a)), y]
        slopes = np.zeros_like(a)
        slopes[np.arange(len(a)), y] = -1 / p / len(a)
        return -np.log(p).mean(), slopes

    history = net.fit(X, y, epochs=3, loss=cross_entropy)
    np.testing.assert_allclose(history.loss, twin.fit(X, y, epochs=3).loss, rtol=1e-12)
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-9, atol=1e-12)


def test_a_quantile_is_learned():
    """The pinball loss of the 0.9 quantile has its minimum there."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=4000)

    def pinball(a, y):
        error = y - a[:, 0]
        slopes = np.where(error > 0, -0.9, 0.1) / len(a)
        return float(np.maximum(0.9 * error, -0.1 * error).mean()), slopes[:, None]

    net = fcnn.Network((1, 1), loss="squared_error")
    schedule = fcnn.schedules.Cosine()
    net.fit(np.zeros((4000, 1)), y, epochs=30, batch_size=100, loss=pinball,
            optimizer=fcnn.SGD(0.3), schedule=schedule)  # fmt: skip
    assert net.biases[0][0] == pytest.approx(np.quantile(y, 0.9), abs=0.03)


def test_targets_of_ones_own_loss_may_be_anything_of_numbers():
    X = np.zeros((10, 4))
    seen = []

    def loss(a, y):
        seen.append((y.shape, y.dtype))
        return 0.0, np.zeros_like(a)

    net = fcnn.Network((4, 2), loss="squared_error")
    for y in (np.zeros((10, 3, 5), np.float32), np.arange(10, dtype=np.uint8)):
        net.fit(X, y, epochs=1, batch_size=5, loss=loss)
        assert seen[-1] == ((5, *y.shape[1:]), y.dtype)
    for y, words in (
        (np.zeros(9), "y: expected 10 rows"), (0.0, "y: expected 10 rows"),
        (["a"] * 10, "y: expected real"), ([np.nan] * 10, "y: expected finite"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=f"^{words}"):
            net.fit(X, y, loss=loss)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda a: None, TypeError, r"loss: expected a function that returns .*got NoneType"),
        (lambda a: 0.5, TypeError, r"loss: expected a function that returns .*dC/da\), got float"),
        (lambda a: (0.5,), TypeError, "loss: expected a function that returns"),
        (lambda a: ("x", a), TypeError, r"loss: expected .* the value a number; got 'x' as"),
        (lambda a: (a, a), TypeError, r"loss: expected .*; got an array of shape \(10, 2\) as"),
        (lambda a: ("0.5", a), TypeError, r"loss: expected .* the value a number; got '0.5' as"),
        (lambda a: ([[1], [1, 2]], a), TypeError, r"loss: expected .*; got \[\[1\], \[1, 2\]\] as"),
        (lambda a: (10**400, a), TypeError, r"loss: expected .*; got 10{16,}\.\.\.0+ as"),
        (lambda a: ([0.5] * 999, a), TypeError, r"loss: expected .{,99}; got \[0.5, .{,40}\] as"),
        (lambda a: (0.5, a[1:]), ValueError, r"loss: expected dC/da of shape \(10, 2\), got \(9"),
        (lambda a: (0.5, 1.0), ValueError, r"loss: expected dC/da of shape \(10, 2\), got \(\)"),
        (lambda a: (0.5, a.astype(str)), TypeError, "loss: dC/da: expected real numbers"),
        (lambda a: (0.5, a + np.full(1, 1e300)), ValueError, "loss: dC/da: holds numbers"),
        (lambda a: (np.nan, a), fcnn.DivergenceError, "the loss became nan"),
        (lambda a: (0.5, a + np.inf), fcnn.DivergenceError, "the loss became 0.5, or its"),
    ],
)  # fmt: skip
def test_what_ones_own_loss_may_not_return(answer, error, words):
    net = fcnn.Network((4, 2), loss="squared_error")
    before, adam = net.parameters.copy(), fcnn.Adam()
    X = np.ones((10, 4))
    with pytest.raises(error, match=f"^{words}"):
        net.fit(X, X[:, :2], loss=lambda a, y: answer(a), optimizer=adam)
    np.testing.assert_array_equal(net.parameters, before)
    assert adam.steps == 0
    with pytest.raises(ZeroDivisionError):
        net.fit(X, X[:, :2], loss=lambda a, y: 1 / 0)


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
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
def test_ctrl_c_keeps_the_weights_of_the_last_completed_step():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20000, 64)), rng.integers(10, size=20000)
    net, optimizer = fcnn.Network((64, 64, 10), dtype="float64"), fcnn.Adam()

    # Every call of train_epoch lasts long enough to be interrupted in its middle.
    with interrupted(begun=lambda: optimizer.steps), pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=1000, batch_size=20, optimizer=optimizer, shuffle=False)
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


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.thread_unsafe(reason="signals are the main thread's")
def test_ctrl_c_at_any_moment_leaves_as_many_steps_as_updates():
    """Also between the core's last look and its return: an optimizer must not lose steps."""
    rng = np.random.default_rng(0)
    X, y = np.zeros((3000, 1)), np.full((3000, 1), 1e6)
    interrupted = 0
    for _ in range(60):
        # |a - y| with x = 0: every step adds lr to the bias, and nothing else.
        net = fcnn.Network((1, 1), loss="absolute_error", dtype="float64", init="zeros")
        sgd = fcnn.SGD(2.0**-10)
        timer = threading.Timer(rng.uniform(0, 2e-3), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            for _ in range(100):
                net._train_epoch(X, y, sgd, 1)
            timer.join()  # a busy machine's timer may be later than that
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        assert sgd.steps == net.biases[0][0] * 2**10
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


def test_the_curves_are_columns_of_one_length():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)), rng.integers(3, size=20)
    history = fcnn.Network((4, 5, 3)).fit(X, y, epochs=3)
    assert set(history.to_dict()) == {"loss", "seconds", "learning_rate"}
    history = fcnn.Network((4, 5, 3)).fit(X, y, epochs=3, validation=(X, y), l2=0.1)
    curves = history.to_dict()
    assert {"validation_loss", "validation_score", "penalty"} < set(curves)
    assert {len(curve) for curve in curves.values()} == {3}


def test_a_divergence_with_a_loss_of_ones_own_names_its_step():
    X, y = np.ones((40, 4)), np.zeros((40, 1))
    net = fcnn.Network((4, 1), loss="squared_error")
    calls = []

    def loss(a, y):
        calls.append(1)
        return 1.0, np.full(a.shape, 1e38 if len(calls) == 3 else 1e-3)

    with pytest.raises(fcnn.DivergenceError, match="in step 3;"):
        net.fit(X, y, epochs=1, batch_size=8, loss=loss, optimizer=fcnn.SGD(1e5))
    assert len(calls) == 3
    assert np.isfinite(net.parameters).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_were_not_finite_are_named_as_the_cause(value):
    """Not the learning rate: no step leaves such parameters, so they were given."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, :1] * 2

    def broken():
        net = fcnn.Network((3, 4, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
        net.biases[1][0] = value
        return net

    def half(outputs, y):
        return float(((outputs - y) ** 2).sum()), 2 * (outputs - y)

    for train in (
        lambda net: net.fit(X, y, epochs=1), lambda net: net.train_step(X, y, fcnn.SGD(0.1)),
        lambda net: net.fit(X, y, epochs=1, optimizer="lm"),
        lambda net: net.fit(X, y, epochs=1, optimizer="lbfgs"),
        lambda net: net.fit(X, y, epochs=1, loss=half),
        lambda net: net.fit(X, y, epochs=1, reduce=lambda gradient: None),
        lambda net: fcnn.fit_many([net], X, y, epochs=1, diverged="raise"),
    ):  # fmt: skip
        net = broken()
        with pytest.raises(fcnn.DivergenceError) as raised:
            train(net)
        assert str(raised.value).endswith(
            f"The network was given a parameter that is not finite: parameters[20] is {value}"
        )
        assert "learning rate" not in str(raised.value)
        assert not np.isfinite(net.parameters[20])
    # Of a step that is too long the advice is as before.
    net = fcnn.Network((3, 4, 1), "relu", loss="squared_error", rng=0)
    with pytest.raises(fcnn.DivergenceError, match="Lower the learning rate"):
        net.fit(1e4 * X, 1e4 * y, epochs=50, optimizer=fcnn.SGD(1e6))


def test_a_generator_is_left_alone_where_there_is_nothing_to_draw():
    """What the documents say of shuffle and rng: they have no effect there."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, :1] * 2
    batches = [(X[:20], y[:20]), (X[20:], y[20:])]
    for arguments in (
        {"optimizer": "lm"}, {"optimizer": "lbfgs"}, {"shuffle": False}, {"X": batches, "y": None},
    ):  # fmt: skip
        trained = []
        for seed, shuffle in ((1, True), (2, False)):
            net = fcnn.Network((3, 4, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
            rng = np.random.default_rng(seed)
            before = rng.bit_generator.state
            net.fit(**{"X": X, "y": y, "epochs": 2, "rng": rng, "shuffle": shuffle} | arguments)
            assert rng.bit_generator.state == before
            trained.append(net.parameters.copy())
        np.testing.assert_array_equal(*trained)


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_an_infinite_loss_of_finite_gradients_makes_no_step(rows):
    """Two errors of 1.5e308 have an infinite sum, and a gradient of 1 and 1."""
    network = fcnn.Network((3, 4, 2), loss="absolute_error", dtype="float64", rng=0)
    X = np.random.default_rng(0).normal(size=(rows, 3))
    before, optimizer = network.parameters.copy(), fcnn.SGD(0.1)
    with pytest.raises(fcnn.DivergenceError, match="the loss became inf in step 1"):
        network.train_step(X, np.full((rows, 2), 1.5e308), optimizer)
    np.testing.assert_array_equal(network.parameters, before)
    assert optimizer.steps == 0
