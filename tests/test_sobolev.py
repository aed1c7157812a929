"""Training on derivatives: against the reference, central differences and PyTorch."""

import _thread
import functools
import threading
import time

import numpy as np
import pytest
from conftest import HIDDEN, TOLERANCE, distance
from differentiation import (
    KINKS,
    SIZES,
    differentiated,
    near,
    needs_torch,
    problem,
    public_network,
    torch_function,
)  # fmt: skip

import fcnn
from fcnn._dispatch import core as own_core
from fcnn._validation import ACTIVATIONS
from fcnn.reference import Network as Reference


@functools.cache
def answers(sizes, hidden, output, dtype="float64", rows=5):
    """A problem, targets and weights, and the reference's loss and gradient: for all builds."""
    network, X, _, _ = problem(sizes, hidden, output, dtype, rows)
    rng = np.random.default_rng(3)
    dY = rng.normal(size=(rows, sizes[-1], sizes[0])).astype(dtype)
    weight = rng.uniform(0.2, 2, rows).astype(dtype)
    return network, X, dY, weight, network.jacobian_loss(X, dY, 0.7, weight)


def added(core, twin, X, dY, w, weight=None, n_threads=1):
    """Value and gradient of the core."""
    gradient = np.zeros(twin.parameters.size, twin.dtype)
    return core.add_jacobian_gradient(twin, X, dY, w, weight, n_threads, gradient), gradient


# --- The gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_core_equals_reference(core, direction, hidden, output, dtype):
    """Every activation x output activation, both dtypes and ways, one row and many."""
    for rows in (1, 5):
        network, X, dY, weight, (value, expected) = answers(SIZES[0], hidden, output, dtype, rows)
        got, gradient = added(core, differentiated(core, network), X, dY, 0.7, weight)
        assert got == pytest.approx(value, rel=10 * TOLERANCE[dtype])
        assert near(gradient, expected, 5 * TOLERANCE[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [*SIZES, (140, 6, 3), (3, 6, 140), (2, 270, 5)])
@pytest.mark.parametrize("output", ["tanh", "softmax", "ascending"])
def test_sizes(core, direction, sizes, output, dtype):
    """Odd sizes, more rows than a block has, more pairs than a block of tangents."""
    if output == "softmax" and sizes[-1] == 1:
        output = "exp"
    network, X, dY, weight, (value, expected) = answers(sizes, "tanh", output, dtype, 70)
    got, gradient = added(core, differentiated(core, network), X, dY, 0.7, weight)
    assert got == pytest.approx(value, rel=10 * TOLERANCE[dtype])
    assert near(gradient, expected, 5 * TOLERANCE[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("output", ["identity", "softmax", "ascending"])
def test_threads_change_no_bit(core, direction, dtype, output):
    for sizes, rows in (((4, 33, 17, 3), 300), ((3, 5, 40), 41), ((30, 9, 20), 2)):
        network, X, dY, weight, _ = answers(sizes, "gelu", output, dtype, rows)
        twin = differentiated(core, network)
        results = [added(core, twin, X, dY, 2.0, weight, n) for n in (1, 2, 3, 7)]
        for value, gradient in results[1:]:
            assert value == results[0][0]
            np.testing.assert_array_equal(gradient, results[0][1])


def test_it_is_added(core):
    network, X, dY, weight, _ = answers((5, 7, 2), "silu", "tanh")
    twin = differentiated(core, network)
    value, gradient = added(core, twin, X, dY, 0.5, weight)
    other = np.arange(gradient.size, dtype=float)
    again = core.add_jacobian_gradient(twin, X, dY, 0.5, weight, 1, other)
    assert again == value
    np.testing.assert_allclose(other, np.arange(gradient.size) + gradient, rtol=1e-13)


def test_the_core_reads_no_foreign_memory(core):
    network, X, dY, weight, _ = answers((5, 7, 2), "silu", "tanh")
    twin = differentiated(core, network)
    for name, arguments in (
        ("targets", (X, dY[:4], 1.0, None)),
        ("targets", (X, dY.astype("float32"), 1.0, None)),
        ("X", (X[:, :4], dY, 1.0, None)),
        ("sample_weight", (X, dY, 1.0, weight[:2])),
    ):
        with pytest.raises(ValueError, match=f"{name}: the core expects"):
            added(core, twin, *arguments)
    with pytest.raises(ValueError, match="gradient: the core expects"):
        core.add_jacobian_gradient(twin, X, dY, 1.0, None, 1, np.zeros(3))


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_reference_equals_central_differences(hidden, output):
    """What the core is compared with: along some directions in the space of parameters."""
    network, X, dY, weight, (value, gradient) = answers(SIZES[0], hidden, output)
    J = network.jacobian(X)
    distances = ((J - dY) ** 2).sum(axis=(1, 2))
    assert value == pytest.approx(0.7 / 2 * np.average(distances, weights=weight), rel=1e-12)
    moved = Reference(network.sizes, network.activations, network.loss)
    rng = np.random.default_rng(5)

    def at(step):
        moved.parameters[:] = network.parameters + step
        return moved.jacobian_loss(X, dY, 0.7, weight)[0]

    def difference(step, h):
        return (at(h * step) - at(-h * step)) / (2 * h)

    for _ in range(3):
        step = rng.normal(size=gradient.size)
        numerical = (4 * difference(step, 1e-4) - difference(step, 2e-4)) / 3
        scale = np.linalg.norm(gradient) * np.linalg.norm(step)
        assert abs(step @ gradient - numerical) < 1e-9 * scale


@needs_torch
@pytest.mark.slow(reason="a second to load PyTorch, and to trace its functions")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_torch(hidden, output):
    """1e-10 from PyTorch's autograd, the loss included, random sizes."""
    import torch

    rng = np.random.default_rng([HIDDEN.index(hidden), list(ACTIVATIONS).index(output)])
    sizes = tuple(int(n) for n in rng.integers(2, 12, size=rng.integers(2, 5)))
    net = public_network(sizes, hidden, output, rng)
    X, dY = rng.normal(size=(7, sizes[0])), rng.normal(size=(7, sizes[-1], sizes[0]))
    m = net.num_targets
    y, weight = np.eye(m)[rng.integers(m, size=7)], rng.uniform(0.1, 2, 7)
    value, gradient = net.gradients(X, y, weight, jacobian_targets=dY, jacobian_weight=0.3)
    function, leaves = torch_function(net, with_leaves=True)
    x, of_sample = torch.from_numpy(X), torch.from_numpy(weight / weight.sum())
    a = torch.func.vmap(function)(x)
    error = torch.func.vmap(torch.func.jacrev(function))(x) - torch.from_numpy(dY)
    targets = torch.from_numpy(y)
    if net.loss == "cross_entropy":
        costs = -(targets * torch.log(a)).sum(1)
    elif output == "ascending":
        levels = torch.tensor(own_core.split_loss(net.loss)[1], dtype=torch.float64)
        over = targets.repeat(1, sizes[-1] // m) - a
        costs = torch.maximum(levels.repeat_interleave(m) * over,
                              (levels - 1).repeat_interleave(m) * over).sum(1)  # fmt: skip
    else:
        costs = ((a - targets) ** 2).sum(1) / 2
    total = (of_sample * (costs + 0.15 * (error**2).sum((1, 2)))).sum()
    total.backward()
    expected = np.concatenate([np.ravel(leaf.grad.numpy().T) for leaf in leaves])
    assert value == pytest.approx(total.item(), rel=1e-10)
    assert distance(gradient, expected) < 1e-10


@pytest.mark.parametrize(("hidden", "slope"), KINKS.items())
def test_kinks(hidden, slope):
    """At z = 0 the derivative of z < 0, as in `jacobian`: P is that of the slopes below."""
    net = fcnn.Network((2, 3, 1), hidden, loss="squared_error", dtype="float64")
    X, dY = np.zeros((4, 2)), np.ones((4, 1, 2))
    J = slope * net.weights[1] @ net.weights[0]
    value, _ = added(own_core, net, X, dY, 1.0)
    assert value == pytest.approx(((J - 1) ** 2).sum() / 2, rel=1e-13)


# --- gradients and train_step ---------------------------------------------------------------------


def samples(rows=30, sizes=(4, 9, 3), dtype="float64", seed=0):
    net = fcnn.Network(sizes, "tanh", loss="squared_error", dtype=dtype, rng=1)
    rng = np.random.default_rng(seed)
    X, y = (rng.normal(size=(rows, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
    return net, X, y, rng.normal(size=(rows, sizes[-1], sizes[0])).astype(dtype)


def twice_squared(a, y, weight=None):
    """A loss of one's own."""
    share = 1 / len(a) if weight is None else (weight / weight.sum())[:, None]
    error = a - y
    return float((share * error**2).sum()), 2 * share * error


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [None, twice_squared])
def test_gradients(loss, weighted):
    net, X, y, dY = samples()
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X)) if weighted else None
    plain, of_plain = net.gradients(X, y, weight, loss=loss)
    value, of_jacobian = Reference.like(net).jacobian_loss(X, dY, 0.4, weight)
    out = np.full(net.num_parameters, 9.0)
    given = {"jacobian_targets": dY, "jacobian_weight": 0.4, "loss": loss}
    got, gradient = net.gradients(X, y, weight, out=out, **given)
    assert gradient is out
    assert got == pytest.approx(plain + value, rel=1e-13)
    assert distance(gradient, of_plain + of_jacobian) < 1e-13
    for rows in (X.tolist(), np.asfortranarray(X)):
        again, same = net.gradients(rows, y, weight, 2, **given)
        assert again == got
        np.testing.assert_array_equal(same, gradient)


def test_shapes_of_targets():
    """Of one output without its dimension; of one sample without that of samples."""
    net, X, y, dY = samples(sizes=(4, 9, 1))
    w = {"jacobian_weight": 1.0}
    expected = net.gradients(X, y, jacobian_targets=dY, **w)[1]
    got = net.gradients(X, y, jacobian_targets=dY[:, 0], **w)[1]
    np.testing.assert_array_equal(got, expected)
    net, X, y, dY = samples()
    expected = net.gradients(X[:1], y[:1], jacobian_targets=dY[:1], **w)[1]
    for targets in (dY[0], dY[:1]):
        got = net.gradients(X[0], y[0], jacobian_targets=targets, **w)[1]
        np.testing.assert_array_equal(got, expected)
    whole = np.arange(12).reshape(3, 4)
    got = net.gradients(X[0], y[0], jacobian_targets=whole, **w)[1]
    assert (got == net.gradients(X[0], y[0], jacobian_targets=whole * 1.0, **w)[1]).all()


def test_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    net, X, y, dY = samples()
    X[np.abs(X) < 0.7] = 0
    given = {"jacobian_targets": dY, "jacobian_weight": 0.4}
    expected = net.gradients(X, y, **given)[1]
    assert distance(net.gradients(sparse.csr_matrix(X), y, **given)[1], expected) < 1e-13
    nets = [net.copy() for _ in range(2)]
    for one, inputs in zip(nets, (X, sparse.csr_array(X)), strict=True):
        one.fit(inputs, y, epochs=2, batch_size=7, **given)
    assert distance(nets[0].parameters, nets[1].parameters) < 1e-12


@pytest.mark.parametrize(
    "options",
    [{}, {"l2": 0.1}, {"l1": 0.02, "l2": 0.1, "clip_norm": 0.5}, {"loss": twice_squared}],
    ids="-".join,
)
def test_train_step(options):
    """The step of the summed gradient, whatever comes behind it."""
    net, X, y, dY = samples()
    twin, one, other = net.copy(), fcnn.Adam(0.01), fcnn.Adam(0.01)
    loss = options.get("loss")
    rest = {name: v for name, v in options.items() if name != "loss"}
    for _ in range(3):
        value, gradient = twin.gradients(
            X, y, loss=loss, jacobian_targets=dY, jacobian_weight=0.4
        )  # fmt: skip
        squares = sum(float((W**2).sum()) for W in twin.weights)
        sizes = sum(float(np.abs(W).sum()) for W in twin.weights)
        value += rest.get("l2", 0) / 2 * squares + rest.get("l1", 0) * sizes
        other.update(twin, gradient, **rest)
        got = net.train_step(X, y, one, jacobian_targets=dY, jacobian_weight=0.4, **options)
        assert got == pytest.approx(value, rel=1e-12)
        np.testing.assert_array_equal(net.parameters, twin.parameters)
    assert one.steps == 3


def test_labels_and_smoothing():
    """Of a classifier: both terms are what they are alone."""
    net = fcnn.Network((4, 9, 3), "tanh", dtype="float64")
    _, X, _, dY = samples()
    labels = np.arange(len(X)) % 3
    twin = net.copy()
    rows = 0.9 * np.eye(3)[labels] + 0.1 / 3
    given = {"jacobian_targets": dY, "jacobian_weight": 0.4}
    got = net.train_step(X, labels, fcnn.SGD(0.1), label_smoothing=0.1, **given)
    assert got == pytest.approx(twin.train_step(X, rows, fcnn.SGD(0.1), **given), rel=1e-12)
    assert distance(net.parameters, twin.parameters) < 1e-13


# --- fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"l2": 0.01, "clip_norm": 1.0}, {"loss": twice_squared}], ids="-".join
)
def test_fit_is_its_steps(options, weighted):
    """Each sample with its own derivatives, in the order of the epoch."""
    net, X, y, dY = samples(rows=50)
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X)) if weighted else None
    twin, optimizer = net.copy(), fcnn.Adam(0.01)
    given = {"jacobian_weight": 0.4, **options}
    history = net.fit(
        X, y, epochs=3, batch_size=16, optimizer=fcnn.Adam(0.01), sample_weight=weight, rng=7,
        jacobian_targets=dY, **given,
    )  # fmt: skip
    generator, losses = np.random.default_rng(7), []
    for _ in range(3):
        order, total, count = own_core.shuffled(generator, len(X)), 0.0, 0.0
        for begin in range(0, len(X), 16):
            rows = order[begin : begin + 16]
            w = None if weight is None else weight[rows]
            share = len(rows) if w is None else w.sum()
            total += share * twin.train_step(
                X[rows], y[rows], optimizer, w, jacobian_targets=dY[rows], **given
            )
            count += share
        losses.append(total / count)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    # The penalty is averaged over batches, not over samples.
    np.testing.assert_allclose(history.loss, losses, rtol=1e-3 if "l2" in options else 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_fit_on_a_memory_map(tmp_path, monkeypatch, both, shuffle):
    """Read in blocks, whose rows have their own numbers; the derivatives in memory, or mapped."""
    net, X, y, dY = samples(rows=50)
    given = {"epochs": 3, "batch_size": 8, "jacobian_weight": 0.4, "shuffle": shuffle}
    twin = net.copy()
    net.fit(X, y, jacobian_targets=dY, **given)
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 16 * 7 * 8)
    maps = []
    for name, array in (("X", X), ("dY", dY)):
        array.tofile(tmp_path / name)
        maps.append(np.memmap(tmp_path / name, array.dtype, "r", shape=array.shape))
    twin.fit(maps[0], y, jacobian_targets=maps[1] if both else dY, **given)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def test_validation_and_reduce():
    """Validation has no derivatives, and no part of theirs; `reduce` sees the whole gradient."""
    net, X, y, dY = samples()
    seen = []
    twin = net.copy()
    history = net.fit(
        X, y, epochs=1, batch_size=None, jacobian_targets=dY, jacobian_weight=0.4,
        validation=(X, y), reduce=lambda gradient: seen.append(gradient.copy()), shuffle=False,
    )  # fmt: skip
    value, gradient = twin.gradients(X, y, jacobian_targets=dY, jacobian_weight=0.4)
    np.testing.assert_array_equal(seen[0], gradient)
    assert history.loss[0] == pytest.approx(value, rel=1e-13)
    assert history.validation_loss[0] == pytest.approx(net.evaluate(X, y)["loss"], rel=1e-13)


def test_weight_0_adds_nothing():
    net, X, y, dY = samples()
    twin = net.copy()
    net.fit(X, y, epochs=2, jacobian_targets=dY, jacobian_weight=0)
    twin.fit(X, y, epochs=2)
    assert distance(net.parameters, twin.parameters) < 1e-12


def test_resumed(tmp_path):
    """An interrupted training ends as one that was not, bit for bit."""
    net, X, y, dY = samples()
    given = {"batch_size": 8, "jacobian_targets": dY, "jacobian_weight": 0.4}
    whole = net.copy()
    whole.fit(X, y, epochs=4, **given)
    path = tmp_path / "checkpoint"
    net.fit(X, y, epochs=2, callbacks=[fcnn.ModelCheckpoint(path)], **given)
    again = fcnn.Network((4, 9, 3), "tanh", loss="squared_error", dtype="float64", rng=9)
    again.fit(X, y, epochs=4, resume=path, **given)
    np.testing.assert_array_equal(again.parameters, whole.parameters)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_threads_of_fit(dtype):
    net, X, y, dY = samples(rows=100, sizes=(6, 40, 30, 4), dtype=dtype)
    bits = set()
    for n in (1, 2, 3):
        one = net.copy()
        one.fit(X, y, epochs=2, jacobian_targets=dY, jacobian_weight=0.4, n_threads=n)
        bits.add(one.parameters.tobytes())
    assert len(bits) == 1


@pytest.mark.slow
def test_lbfgs(tmp_path, monkeypatch):
    """It finds where the gradient of the whole loss is 0, in blocks of a memory map as well."""
    net, X, y, dY = samples(rows=12, sizes=(2, 4, 1))
    given = {"jacobian_targets": dY, "jacobian_weight": 0.4}
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", X.dtype, "r", shape=X.shape)
    monkeypatch.setattr("fcnn._data.BLOCK_BYTES", 5 * 3 * 8)
    for inputs in (X, mapped):
        one = net.copy()
        history = one.fit(inputs, y, optimizer=fcnn.LBFGS(), epochs=500, l2=0.1, **given)
        value, gradient = one.gradients(X, y, **given)
        begin = 0
        for W in one.weights:
            gradient[begin : begin + W.size] += 0.1 * W.T.ravel()
            begin += W.size + len(W)
        assert np.linalg.norm(gradient) < 1e-6
        squares = sum(float((W**2).sum()) for W in one.weights)
        assert history.loss[-1] == pytest.approx(value + 0.1 / 2 * squares, rel=1e-12)


@pytest.mark.slow
def test_derivatives_stand_for_samples():
    """A surrogate of few points is several times as near where it knows their slopes."""

    def function(X):
        inner = 3 * X[:, 0] + np.sin(4 * X[:, 1])
        slopes = np.stack([3 * np.cos(inner), 4 * np.cos(4 * X[:, 1]) * np.cos(inner)], axis=1)
        return np.sin(inner), slopes

    rng = np.random.default_rng(0)
    X, far = rng.uniform(-1, 1, (40, 2)), rng.uniform(-1, 1, (2000, 2))
    (y, slopes), truth = function(X), function(far)[0]
    errors = []
    for given in ({}, {"jacobian_targets": slopes, "jacobian_weight": 0.1}):
        net = fcnn.Network((2, 32, 32, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
        net.fit(X, y, optimizer=fcnn.LBFGS(), epochs=400, **given)
        errors.append(np.sqrt(np.mean((net.predict(far)[:, 0] - truth) ** 2)))
    assert errors[1] < errors[0] / 3


# --- Refused --------------------------------------------------------------------------------------


def refusals():
    _, _, _, dY = samples()
    w = {"jacobian_weight": 1.0}
    shape = r"jacobian_targets: expected shape \(30, 3, 4\), got"
    bad = dY.copy()
    bad[7, 1, 2] = np.nan
    infinite = dY.copy()
    infinite[0, 0, 0] = -np.inf
    for targets in (dY[:29], dY[:, :2], dY[..., :3], dY.transpose(0, 2, 1), dY[:, 0], dY[0],
                    dY.reshape(30, 12), dY[np.newaxis], np.zeros(0), 1.0):  # fmt: skip
        yield {"jacobian_targets": targets, **w}, ValueError, shape
    yield (
        {"jacobian_targets": bad, **w},
        ValueError,
        (r"jacobian_targets: expected finite numbers, got nan at \[7, 1, 2\]"),
    )
    yield {"jacobian_targets": infinite, **w}, ValueError, r"got -inf at \[0, 0, 0\]"
    yield {"jacobian_targets": dY * 1e39, **w}, ValueError, "jacobian_targets: holds numbers too"
    yield {"jacobian_targets": dY.astype(complex), **w}, TypeError, "jacobian_targets: expected"
    yield {"jacobian_targets": "dY", **w}, TypeError, "jacobian_targets: expected"
    yield (
        {"jacobian_targets": np.full(dY.shape, 2**24 + 1), **w},
        ValueError,
        ("jacobian_targets: holds integers"),
    )
    yield {"jacobian_targets": dY}, ValueError, "jacobian_weight: expected a number with"
    yield w, ValueError, "jacobian_targets: expected derivatives with jacobian_weight"
    for weight in (-1, np.nan, np.inf):
        given = {"jacobian_targets": dY, "jacobian_weight": weight}
        yield given, ValueError, "jacobian_weight: expected a finite number at least 0"
    yield {"jacobian_targets": dY, "jacobian_weight": "1"}, TypeError, "jacobian_weight: expected"


@pytest.mark.parametrize(("given", "error", "words"), list(refusals()))
def test_refused_by_name(given, error, words):
    net, X, y, _ = samples(dtype="float32")
    before, state, optimizer = net.parameters.tobytes(), repr(net.rng.bit_generator), fcnn.Adam()
    for call in (
        lambda: net.fit(X, y, optimizer=optimizer, **given),
        lambda: net.train_step(X, y, optimizer, **given),
        lambda: net.gradients(X, y, **given),
    ):
        with pytest.raises(error, match=words):
            call()
    assert net.parameters.tobytes() == before
    assert repr(net.rng.bit_generator) == state
    assert optimizer.steps == 0


def test_what_it_does_not_go_with():
    net, X, y, dY = samples()
    given = {"jacobian_targets": dY, "jacobian_weight": 1.0}
    before, optimizer = net.parameters.tobytes(), fcnn.Adam()
    for call, error, words in (
        (lambda: net.fit(X, y, dropout=0.1, **given), ValueError, "dropout: not with jacobian_t"),
        (
            lambda: net.fit(X, y, optimizer="lbfgs", dropout=0.1, **given), ValueError, "dropout",
        ),
        (
            lambda: net.train_step(X, y, optimizer, dropout=0.1, **given), ValueError,
            "dropout: not with jacobian_targets",
        ),
        (
            lambda: net.fit(X, y, optimizer="lm", **given), ValueError,
            r"jacobian_targets: not with fcnn\.LevenbergMarquardt",
        ),
        (
            lambda: net.fit([(X, y)], **given), ValueError,
            "jacobian_targets: .* got an iterable of batches",
        ),
        (lambda: net.gradients(X, delta=y, **given), TypeError, "delta: it has no place for"),
        (lambda: net.gradients(X, y, of="z", **given), ValueError, "of: it says what a loss"),
        (lambda: net.train_step(X, y, optimizer, of="z", **given), ValueError, "of: it says"),
        (lambda: net.train_step(X, y, 0.1, **given), TypeError, "optimizer: expected"),
        (lambda: net.train_step(X, y, fcnn.LBFGS(), **given), TypeError, "optimizer: "),
        (lambda: net.train_step(X, y[:3], optimizer, **given), ValueError, "y: expected shape"),
        (lambda: net.gradients(X[:, :2], y, **given), ValueError, "X: expected shape"),
        (lambda: net.gradients(X, y, n_threads=0, **given), ValueError, "n_threads: expected"),
        (
            lambda: net.train_step(X * np.nan, y, optimizer, **given), ValueError,
            "X: expected finite",
        ),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
    assert net.parameters.tobytes() == before
    assert optimizer.steps == 0


def test_divergence_keeps_the_weights():
    net, X, y, dY = samples(dtype="float32")
    before, optimizer = net.parameters.tobytes(), fcnn.SGD(0.1)
    for weight, words in ((1e300, "the loss became inf"), (1e30, "the gradient")):
        given = {"jacobian_targets": np.full_like(dY, 3e38), "jacobian_weight": weight}
        for call in (net.train_step, net.fit):
            with pytest.raises(fcnn.DivergenceError, match=f"{words}.* weights are those before"):
                call(X, y, optimizer=optimizer, **given)
    assert net.parameters.tobytes() == before
    assert optimizer.steps == 0


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c(n_threads):
    """Within a step of seconds; the weights are those before it."""
    net, X, y, dY = samples(rows=4000, sizes=(100, 300, 300, 50), dtype="float32")
    before = net.parameters.tobytes()
    given = {"jacobian_targets": dY, "jacobian_weight": 1.0, "n_threads": n_threads}

    def gradients():
        for _ in range(1000):
            net.gradients(X, y, **given)

    def fit():
        net.fit(X, y, epochs=1000, batch_size=None, **given)

    for call in (gradients, fit):
        timer = threading.Timer(0.5, _thread.interrupt_main)
        began = time.perf_counter()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        timer.join()
        assert time.perf_counter() - began < 3  # a call takes longer
    assert net.parameters.tobytes() == before


@pytest.mark.parametrize("loss", [None, twice_squared])
def test_frozen_layers_keep_their_bits(loss):
    """Whatever the term's gradient has for them; the others move as if it were 0 there."""
    net, X, y, dY = samples()
    given = {"jacobian_targets": dY, "jacobian_weight": 0.4, "trainable": {1: False}, "loss": loss}
    kept, twin = net.weights[0].copy(), net.copy()
    net.train_step(X, y, fcnn.SGD(0.1), **given)
    np.testing.assert_array_equal(net.weights[0], kept)
    _, gradient = twin.gradients(X, y, jacobian_targets=dY, jacobian_weight=0.4, loss=loss)
    gradient[: kept.size + len(kept)] = 0
    fcnn.SGD(0.1).update(twin, gradient)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    net.fit(X, y, epochs=2, **given)
    np.testing.assert_array_equal(net.weights[0], kept)
