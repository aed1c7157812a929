"""Training loops of the user's own: losses, gradients and updates that come from elsewhere."""

import ctypes
import mmap
import sys

import numpy as np
import pytest

import fcnn

DTYPES = ["float32", "float64"]
OPTIMIZERS = {
    "sgd": lambda: fcnn.SGD(0.1),
    "momentum": lambda: fcnn.SGD(0.1, momentum=0.9),
    "nesterov": lambda: fcnn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda: fcnn.Adam(0.01),
    "adamw": lambda: fcnn.AdamW(0.01, weight_decay=0.1),
}
OPTIONS = [{}, {"l2": 0.01}, {"l1": 0.003}, {"l1": 0.003, "l2": 0.01, "clip_norm": 0.05},
           {"clip_norm": 0.01}]  # fmt: skip
# Tiny networks and wide ones, a batch of several blocks, few rows.
SHAPES = [((4, 16, 3), 16), ((4, 16, 3), 600), ((70, 150, 40, 5), 33), ((70, 150, 5), 2),
          ((7, 1), 40)]  # fmt: skip


def problem(sizes, rows, dtype, **kwargs):
    net = fcnn.Network(sizes, activation="tanh", loss="squared_error", dtype=dtype, rng=3, **kwargs)
    rng = np.random.default_rng(4)
    X = rng.normal(size=(rows, sizes[0])).astype(dtype)
    return net, X, rng.normal(size=(rows, sizes[-1])).astype(dtype)


# --- A gradient that is given ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_gradients_and_update_are_a_train_step(rule, shape, options, dtype):
    net, X, y = problem(*shape, dtype)
    twin = net.copy()
    one, other = OPTIMIZERS[rule](), OPTIMIZERS[rule]()
    for _ in range(3):
        net.train_step(X, y, one, **options)
        _, gradient = twin.gradients(X, y)
        kept = gradient.copy()
        other.update(twin, gradient, **options)
        assert gradient.tobytes() == kept.tobytes()
        assert twin.parameters.tobytes() == net.parameters.tobytes()
    assert one.steps == other.steps == 3
    for mine, its in zip(one.state(net), other.state(twin), strict=True):
        assert mine.tobytes() == its.tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda g: g.astype("float64"),
            "gradient: expected a writable, C-contiguous float32 array",
        ),
        (lambda g: g[:-1], r"shape \(141,\), got float32 of shape \(140,\)"),
        (lambda g: g[:, np.newaxis], "shape"),
        (lambda g: np.repeat(g, 2)[::2], "not contiguous"),
        (lambda g: list(g), "got list"),
        (lambda g: np.ma.masked_array(g), "got MaskedArray"),
        (lambda g: None, "got NoneType"),
    ],
    ids=["dtype", "short", "2-D", "strided", "list", "masked", "None"],
)
def test_what_is_no_gradient(change, words):
    net, X, y = problem((8, 14, 1), 5, "float32")
    _, gradient = net.gradients(X, y)
    optimizer, before = fcnn.Adam(), net.parameters.copy()
    with pytest.raises((TypeError, ValueError), match=words):
        optimizer.update(net, change(gradient))
    assert net.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0


def test_the_parameters_are_no_gradient():
    net, X, y = problem((3, 2), 5, "float32")
    with pytest.raises(ValueError, match="gradient: expected an array apart"):
        fcnn.SGD(0.1).update(net, net.parameters)
    with pytest.raises(ValueError, match="out: expected an array apart from"):
        net.gradients(X, y, out=net.parameters)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_gradient_that_would_not_stay_finite(bad):
    net, _, _ = problem((3, 2), 5, "float32")
    gradient = np.zeros(net.num_parameters, np.float32)
    gradient[4] = bad
    for optimizer in (fcnn.SGD(100.0), fcnn.Adam(), fcnn.SGD(10.0, momentum=0.5)):
        before = net.parameters.copy()
        with pytest.raises(fcnn.DivergenceError, match="those before the update"):
            optimizer.update(net, gradient, clip_norm=None if bad == 3e38 else 1.0)
        assert net.parameters.tobytes() == before.tobytes()
        assert optimizer.steps == 0


def test_update_refuses():
    net, X, y = problem((3, 2), 5, "float32")
    _, gradient = net.gradients(X, y)
    with pytest.raises(TypeError, match=r"network: expected an fcnn\.Network, got int"):
        fcnn.SGD(0.1).update(3, gradient)
    with pytest.raises(ValueError, match="l2"):
        fcnn.SGD(0.1).update(net, gradient, l2=-1)
    other = fcnn.Adam()
    other.update(net, gradient)
    with pytest.raises(ValueError, match="state of another network"):
        other.update(net.copy(), gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_out(dtype):
    net, X, y = problem((4, 16, 3), 16, dtype)
    _, gradient = net.gradients(X, y)
    out = np.full(net.num_parameters, 7, dtype)
    _, same = net.gradients(X, y, out=out)
    assert same is out
    assert out.tobytes() == gradient.tobytes()
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"out: .* read-only"):
        net.gradients(X, y, out=out)
    with pytest.raises(ValueError, match="out: expected"):
        net.gradients(X, y, out=np.zeros(3, dtype))


@pytest.mark.skipif(sys.platform != "linux", reason="asks for pages as Linux does")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"l2": 0.01}, {"l1": 0.003}], ids=str)
def test_nothing_behind_a_gradient_is_read(rule, options, dtype):
    """Such as one in memory that processes share: behind it there may be none."""
    libc = ctypes.CDLL(None, use_errno=True)
    pages = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    behind = ctypes.c_void_p(begin + 2 * mmap.PAGESIZE)
    assert libc.mprotect(behind, mmap.PAGESIZE, 0) == 0
    for sizes in [(3, 1), (4, 16, 3), (5, 6, 7)]:
        net, X, y = problem(sizes, 5, dtype)
        twin = net.copy()
        _, gradient = net.gradients(X, y)
        at_end = np.frombuffer(pages, dtype, len(gradient), 2 * mmap.PAGESIZE - gradient.nbytes)
        net.gradients(X, y, out=at_end)
        OPTIMIZERS[rule]().update(net, at_end, **options)
        OPTIMIZERS[rule]().update(twin, gradient, **options)
        assert net.parameters.tobytes() == twin.parameters.tobytes()
    assert libc.mprotect(behind, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


WAYS = {
    "loss": lambda net, X, y, w, **out: net.gradients(X, y, w, **out)[1],
    "own": lambda net, X, y, w, **out: net.gradients(X, y, loss=mean_squared, **out)[1],
    "delta": lambda net, X, y, w, **out: net.gradients(X, delta=y, **out)[1],
    "samples": lambda net, X, y, w, **out: net.sample_gradients(X, y, **out),
}


@pytest.mark.parametrize("sizes", [(2, 300, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("which", range(3), ids=["X", "y", "sample_weight"])
@pytest.mark.parametrize("way", WAYS)
def test_out_may_be_the_memory_of_the_batch(way, which, sizes):
    """Its later blocks are read when there is something in `out` already."""
    net, X, y = problem(sizes, 600, "float64")
    batch = [X, y, np.random.default_rng(5).uniform(0.5, 1, 600)]
    expected = WAYS[way](net, *batch)
    given = batch[which]
    memory = np.zeros(max(given.size, expected.size))
    batch[which] = memory[: given.size].reshape(given.shape)
    batch[which][...] = given
    out = memory[: expected.size].reshape(expected.shape)
    assert WAYS[way](net, *batch, out=out) is out
    assert out.tobytes() == expected.tobytes()


# --- A loss that is given -------------------------------------------------------------------------


def mean_squared(a, y):
    error = a - y
    return 0.5 * float((error**2).sum()) / len(a), error / len(a)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_a_loss_of_ones_own(shape, dtype):
    net, X, y = problem(*shape, dtype)
    loss, gradient = net.gradients(X, y)
    seen = []

    def own(a, y):
        seen.append(a.copy())
        return mean_squared(a, y)

    value, same = net.gradients(X, y, loss=own)
    assert len(seen) == 1
    assert seen[0].tobytes() == net.predict(X).tobytes()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(value, loss, rtol=tolerance)
    np.testing.assert_allclose(same, gradient, rtol=tolerance, atol=tolerance)
    # From its own derivative in another pass: the same bits.
    trace = net.trace(X, y)
    _, again = net.gradients(X, delta=mean_squared(trace.a[-1], y)[1])
    assert again.tobytes() == same.tobytes()


def test_a_batch_whose_outputs_alone_are_one_block():
    """Its pass needs twice their memory, and so two blocks: the loss is asked once, for both."""
    net, X, y = problem((4, 9000, 3), 200, "float64")
    seen = []

    def own(a, y):
        seen.append(a.copy())
        return mean_squared(a, y)

    value, gradient = net.gradients(X, y, loss=own, n_threads=1)
    assert len(seen) == 1
    assert seen[0].tobytes() == net.predict(X).tobytes()
    loss, expected = net.gradients(X, y, n_threads=1)
    np.testing.assert_allclose(value, loss, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "exp", "identity", "tanh"])
def test_of_z(output):
    """The cross entropy of logits: delta = softmax(z) - y, whatever the output activation is."""
    net, X, _ = problem((5, 9, 3), 40, "float64", output_activation=output)
    labels = np.random.default_rng(1).integers(0, 3, 40)

    def own(z, y):
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        value = -np.log(p[np.arange(40), y]).mean()
        p[np.arange(40), y] -= 1
        return value, p / 40

    value, gradient = net.gradients(X, labels, loss=own, of="z")
    twin = fcnn.Network((5, 9, 3), "tanh", loss="cross_entropy", dtype="float64")
    twin.parameters = net.parameters
    loss, expected = twin.gradients(X, labels)
    np.testing.assert_allclose(value, loss, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"l2": 0.01, "clip_norm": 0.5}, {"dropout": 0.3}], ids=str)
def test_a_step_with_a_loss_of_ones_own(shape, options, dtype):
    net, X, y = problem(*shape, dtype)
    if "dropout" in options and len(net.sizes) == 2:
        options = {"dropout": [0.3]}  # of the inputs: there is no other layer
    twin = net.copy()
    one, other = fcnn.Adam(0.01), fcnn.Adam(0.01)
    for _ in range(3):
        # Their dropout has the same seeds: the generators are copies.
        value = net.train_step(X, y, one, loss=mean_squared, **options)
        expected = twin.train_step(X, y, other, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-4 if dtype == "float32" else 1e-11)
        # Adam's first steps are of a size, whichever way a gradient near 0 goes.
        np.testing.assert_allclose(
            net.parameters, twin.parameters, atol=5e-3 if dtype == "float32" else 1e-9
        )
    assert one.steps == 3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_threads_and_ways_change_no_bit(shape, general_way):
    net, X, y = problem(*shape, "float32")
    bits = {net.gradients(X, y, loss=mean_squared, n_threads=n)[1].tobytes() for n in (1, 2, 3)}
    assert len(bits) == 1


def test_weights_and_other_targets_go_to_the_loss():
    net, X, _ = problem((3, 8, 2), 6, "float32")
    given = []

    def own(a, y, w=None):
        given.append((y, w))
        return 0.0, np.zeros_like(a)

    weights = object()
    net.gradients(X, {"any": "thing"}, loss=own)
    net.gradients(X, loss=own)
    net.train_step(X, None, fcnn.SGD(0.1), weights, loss=own)
    assert given == [({"any": "thing"}, None), (None, None), (None, weights)]
    X1 = X[0].tolist()
    assert net.gradients(X1, loss=own)[1].shape == (net.num_parameters,)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (3.0, TypeError, r"loss: expected a function that returns \(value, dC/da\), got float"),
        ((1.0, 2.0, 3.0), TypeError, "value"),
        (("much", np.zeros((6, 2))), TypeError, "value a number"),
        ((1.0, np.zeros((6, 1))), ValueError, r"expected dC/da of shape \(6, 2\), got \(6, 1\)"),
        ((1.0, np.zeros(12)), ValueError, r"of shape \(6, 2\), got \(12,\)"),
        ((1.0, np.zeros((6, 2), complex)), TypeError, "dC/da"),
        ((1.0, None), (TypeError, ValueError), "dC/da"),
        ((np.nan, np.zeros((6, 2))), fcnn.DivergenceError, "loss"),
        ((np.inf, np.zeros((6, 2), np.float32)), fcnn.DivergenceError, "loss"),
        ((1.0, np.full((6, 2), np.nan, np.float32)), fcnn.DivergenceError, "became 1.0, or its"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [6, 1200])
def test_answers_that_are_none(answer, error, words, rows):
    net, X, y = problem((3, 8, 2), rows, "float32")
    if rows > 6 and isinstance(answer, tuple):
        answer = tuple(
            np.repeat(v, 200, axis=0) if isinstance(v, np.ndarray) else v for v in answer
        )
    words = words.replace("6,", f"{rows},").replace("12,", f"{2 * rows},") if rows > 6 else words
    optimizer, before = fcnn.Adam(), net.parameters.copy()
    for call in (
        lambda: net.train_step(X, y, optimizer, loss=lambda a, y: answer),
        lambda: net.gradients(X, y, loss=lambda a, y: answer),
    ):
        with pytest.raises(error, match=words):
            call()
    assert net.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0
    net.train_step(X, y, optimizer)  # it is as good as before


@pytest.mark.parametrize("rows", [6, 1200])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_loss_that_fails(error, rows):
    net, X, y = problem((3, 8, 2), rows, "float32")
    before = net.parameters.copy()

    def own(a, y):
        raise error("mine")

    for call in (
        lambda: net.train_step(X, y, fcnn.SGD(0.1), loss=own),
        lambda: net.gradients(X, y, loss=own),
    ):
        with pytest.raises(error, match="mine"):
            call()
    assert net.parameters.tobytes() == before.tobytes()


def test_a_loss_may_call_the_network():
    """As that of Q-learning does, for the values of the next states."""
    net, X, y = problem((3, 8, 2), 6, "float32")
    plain = net.gradients(X, y, loss=mean_squared)[1]

    def own(a, y):
        assert net.predict(X).tobytes() == a.tobytes()
        net.gradients(X[::-1].copy(), y)
        return mean_squared(a, y)

    assert net.gradients(X, y, loss=own)[1].tobytes() == plain.tobytes()


def training(net, X, y):
    """Every way to train a network, by name."""
    _, gradient = net.gradients(X, y)
    return {
        "fit": lambda: net.fit(X, y, epochs=1),
        "lbfgs": lambda: net.fit(X, y, epochs=1, optimizer="lbfgs"),
        "step": lambda: net.train_step(X, y, fcnn.SGD(0.1)),
        "own step": lambda: net.train_step(X, y, fcnn.SGD(0.1), loss=mean_squared),
        "update": lambda: fcnn.SGD(0.1).update(net, gradient),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("way", training(*problem((2, 1), 3, "float32")))
def test_a_loss_that_trains_the_network_is_refused(way, shape):
    """The rest of the step would be of other weights than its outputs."""
    net, X, y = problem(*shape, "float32")
    before, train, optimizer = net.parameters.copy(), training(net, X, y)[way], fcnn.Adam()

    def own(a, y):
        train()
        return mean_squared(a, y)

    for call in (
        lambda: net.gradients(X, y, loss=own),
        lambda: net.train_step(X, y, optimizer, loss=own),
        lambda: net.fit(X, y, loss=own, optimizer=optimizer),
    ):
        with pytest.raises(RuntimeError, match="may call it, but not train it"):
            call()
    assert net.parameters.tobytes() == before.tobytes()
    assert optimizer.steps == 0
    train()  # behind it, it is as before
    assert net.parameters.tobytes() != before.tobytes()


def test_a_loss_may_train_another_network():
    net, X, y = problem((3, 8, 2), 6, "float32")
    plain = net.gradients(X, y, loss=mean_squared)[1]
    critic = net.copy()

    def own(a, y):
        critic.train_step(X, y, fcnn.SGD(0.1))
        return mean_squared(a, y)

    assert net.gradients(X, y, loss=own)[1].tobytes() == plain.tobytes()
    assert critic.parameters.tobytes() != net.parameters.tobytes()


@pytest.mark.parametrize("rows", [6, 1200])
def test_what_a_loss_raises_is_not_taken_for_its_answer(rows):
    net, X, y = problem((3, 8, 2), rows, "float32")

    def own(a, y):
        raise fcnn.DivergenceError("mine")

    for _ in range(3):
        # What memory that nothing was written to may hold.
        for spoilt in [np.full((rows, 2), np.nan, np.float32) for _ in range(4)]:
            del spoilt
        with pytest.raises(fcnn.DivergenceError, match=r"^mine$"):
            net.gradients(X, y, loss=own)


def test_validation_of_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    net, X, y = problem((5, 9, 2), 40, "float32")
    X[X < 0.3] = 0
    twin = net.copy()
    stored = sparse.csr_array(X)
    mine = net.fit(stored, y, loss=mean_squared, validation=(stored, y), epochs=2, rng=1)
    its = twin.fit(X, y, loss=mean_squared, validation=(X, y), epochs=2, rng=1)
    assert mine.validation_loss == its.validation_loss


def test_refusals():
    net, X, y = problem((3, 8, 2), 6, "float32")
    with pytest.raises(TypeError, match="loss: expected a function of"):
        net.gradients(X, y, loss="squared_error")
    with pytest.raises(ValueError, match=r"of: .*'q'"):
        net.gradients(X, y, loss=mean_squared, of="q")
    for call in (net.gradients, lambda X, y, **kw: net.train_step(X, y, fcnn.SGD(0.1), **kw)):
        with pytest.raises(ValueError, match="of: it says what a loss of your own is of"):
            call(X, y, of="z")
    with pytest.raises(ValueError, match="X: expected shape"):
        net.gradients(X[:, :2], y, loss=mean_squared)
    with pytest.raises(ValueError, match="X: expected finite numbers, got nan"):
        net.train_step(X * np.nan, y, fcnn.SGD(0.1), loss=mean_squared)
    with pytest.raises(ValueError, match="label_smoothing"):
        net.train_step(X, y, fcnn.SGD(0.1), loss=mean_squared, label_smoothing=0.1)
    delta = np.zeros((6, 2), np.float32)
    for wrong in (delta[:5], delta[:, :1], delta.ravel(), delta[np.newaxis]):
        with pytest.raises(ValueError, match=r"delta: expected shape \(6, 2\), got"):
            net.gradients(X, delta=wrong)
    with pytest.raises(TypeError, match="delta: it stands for y"):
        net.gradients(X, y, delta=delta)
    with pytest.raises(TypeError, match="delta: expected"):
        net.gradients(X, delta=delta.astype(complex))
    with pytest.raises((TypeError, ValueError), match="y"):
        net.gradients(X)


# --- Between gradient and update ------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [*OPTIONS, {"dropout": 0.2}, {"l2": 0.1, "dropout": 0.2}], ids=str
)
@pytest.mark.parametrize("own", [None, mean_squared], ids=["loss", "own loss"])
def test_reduce(own, options):
    net, X, y = problem((4, 16, 3), 100, "float32")
    twin = net.copy()
    seen = []

    def look(gradient):
        assert gradient.shape == (net.num_parameters,)
        seen.append(gradient.copy())

    if own is None and "dropout" in options:
        pytest.skip("a call of many steps draws one seed, steps one by one draw one each")
    arguments = {"epochs": 2, "batch_size": 32, "loss": own, **options}
    mine = net.fit(X, y, reduce=look, optimizer=fcnn.Adam(0.01), **arguments)
    its = twin.fit(X, y, optimizer=fcnn.Adam(0.01), **arguments)
    assert len(seen) == 8
    assert net.parameters.tobytes() == twin.parameters.tobytes()
    np.testing.assert_allclose(mine.loss, its.loss, rtol=1e-6)
    np.testing.assert_allclose(mine.penalty or [0], its.penalty or [0], rtol=1e-6)


def test_reduce_changes_the_gradient():
    net, X, y = problem((4, 16, 3), 64, "float32")
    before = net.parameters.copy()
    net.fit(X, y, epochs=2, reduce=lambda gradient: gradient.fill(0), optimizer=fcnn.SGD(0.1))
    assert net.parameters.tobytes() == before.tobytes()
    with pytest.raises(TypeError, match="reduce: expected a function"):
        net.fit(X, y, reduce=3)

    with pytest.raises(TypeError, match=r"reduce: .* in place, it returned another ndarray"):
        net.fit(X, y, reduce=lambda gradient: gradient / 2)
    assert net.parameters.tobytes() == before.tobytes()
    net.copy().fit(X, y, epochs=1, reduce=lambda gradient: gradient.clip(-1, 1, out=gradient))

    def spoil(gradient):
        gradient[3] = np.nan

    with pytest.raises(fcnn.DivergenceError):
        net.fit(X, y, reduce=spoil)
    assert net.parameters.tobytes() == before.tobytes()


# --- Sample by sample -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [((4, 16, 3), 300), ((70, 150, 40, 5), 7), ((7, 1), 40)], ids=str)
def test_sample_gradients(shape, dtype):
    net, X, y = problem(*shape, dtype)
    gradients = net.sample_gradients(X, y)
    assert gradients.shape == (len(X), net.num_parameters)
    assert gradients.dtype == dtype
    for i in range(0, len(X), 13):
        assert gradients[i].tobytes() == net.gradients(X[i : i + 1], y[i : i + 1])[1].tobytes()
    np.testing.assert_allclose(gradients.mean(axis=0), net.gradients(X, y)[1], rtol=1e-4, atol=1e-6)
    out = np.empty_like(gradients)
    assert net.sample_gradients(X, y, out=out) is out
    assert out.tobytes() == gradients.tobytes()
    with pytest.raises(ValueError, match="out: expected"):
        net.sample_gradients(X, y, out=out[:, :-1])
    with pytest.raises(ValueError, match="y: "):
        net.sample_gradients(X, y[:-1])


def test_sample_gradients_of_labels_and_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    net = fcnn.Network((5, 6, 3), rng=1)
    X = np.random.default_rng(2).normal(size=(9, 5)).astype(np.float32) * (np.arange(5) % 2)
    y = np.arange(9) % 3
    dense = net.sample_gradients(X, y)
    np.testing.assert_array_equal(net.sample_gradients(sparse.csr_array(X), y), dense)
    np.testing.assert_allclose(dense.mean(axis=0), net.gradients(X, y)[1], atol=1e-6)
