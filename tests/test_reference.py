"""The reference takes and refuses the data that the network takes and refuses."""

import numpy as np
import pytest

import fcnn


def pair(loss, n_out=3):
    net = fcnn.Network((2, 4, n_out), "tanh", loss=loss, dtype="float64", rng=1)
    return net, fcnn.reference.Network.like(net)


X = [[0.5, -1], [2, 0.25], [-1, 1]]
FORMS = {
    "lists": ("squared_error", X, [[1, 2, 3], [0, 0, 1], [1, 1, 1]]),
    "integers": ("squared_error", [[1, 2], [3, 4]], np.array([[1, 2, 3], [0, 0, 1]])),
    "labels": ("cross_entropy", X, [0, 2, 1]),
    "small integers": ("cross_entropy", X, np.array([0, 2, 1], np.uint8)),
    "integer one-hot rows": ("cross_entropy", X, np.eye(3, dtype=np.int64)),
    "one-hot lists": ("cross_entropy", X, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "one sample and its label": ("cross_entropy", [0.5, -1], 2),
    "one sample and its row": ("cross_entropy", [0.5, -1], [0, 0, 1]),
    "one sample of numbers": ("squared_error", [0.5, -1], [1, 2, 3]),
    "float32": ("squared_error", np.float32(X), np.float32([[1, 2, 3]] * 3)),
}


@pytest.mark.parametrize("form", FORMS)
def test_takes_what_the_network_takes(form):
    loss, x, y = FORMS[form]
    net, twin = pair(loss)
    found, expected = twin.gradients(x, y), net.gradients(x, y)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-10, atol=1e-14)
    answer = net.predict(x)
    assert twin.predict(x).shape == answer.shape
    np.testing.assert_allclose(twin.predict(x), answer, rtol=1e-12)
    loss_of_all, outputs = twin.loss_and_outputs(x, y)
    assert loss_of_all == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(outputs, np.atleast_2d(answer), rtol=1e-12)
    assert twin.train_step(x, y, fcnn.SGD(0.1)) == pytest.approx(expected[0], rel=1e-12)
    net.train_step(x, y, fcnn.SGD(0.1))
    np.testing.assert_allclose(twin.parameters, net.parameters, rtol=1e-10)
    epoch = twin.train_epoch(x, y, fcnn.SGD(0.1), 2)
    history = net.fit(np.atleast_2d(x), np.asarray(y)[None] if np.ndim(x) == 1 else y, epochs=1,
                      batch_size=2, optimizer=fcnn.SGD(0.1), shuffle=False)  # fmt: skip
    assert epoch == pytest.approx(history.loss[0], rel=1e-12)
    np.testing.assert_allclose(twin.parameters, net.parameters, rtol=1e-10)


def test_weights_single_targets_and_sparse_rows():
    scipy = pytest.importorskip("scipy.sparse")
    net, twin = pair("squared_error", 1)
    rows = scipy.csr_array(np.array([[0, 1.5], [2, 0], [0, 0]]))
    for x, y, weight in ((X, [1, 2, 3], [1, 0.5, 2]), (rows, [[1], [2], [3]], None)):
        found, expected = twin.gradients(x, y, weight), net.gradients(x, y, weight)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-10)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([[1, 2, 3]], [0]), ([[1, 2]], [3]), ([[1, 2]], [-1]), ([[1, 2]], [0.5]),
        ([[1, 2]], [0, 1]), ([[1, 2]], [[1, 1, 0]]), ([["a", "b"]], [0]), ([], []),
        ([[1, 2]], [[0, 1]]),
        ([[1, 2]], [np.nan]),
    ],
)  # fmt: skip
def test_refuses_what_the_network_refuses(x, y):
    net, twin = pair("cross_entropy")
    with pytest.raises((ValueError, TypeError)) as expected:
        net.gradients(x, y)
    with pytest.raises(type(expected.value)) as found:
        twin.gradients(x, y)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("loss", "x", "y"),
    [
        ("cross_entropy", np.ones((3, 2)), np.array([0, 3, 1])),
        ("cross_entropy", np.ones((3, 2)), np.array([0, -1, 1])),
        ("cross_entropy", np.ones((3, 2)), np.array([0, 1])),
        ("cross_entropy", np.ones((3, 2)), np.array([[1.0, 1, 0]] * 3)),
        ("cross_entropy", np.ones((3, 3)), np.array([0, 1, 2])),
        ("squared_error", np.ones((3, 2)), np.ones((1, 3))),
        ("squared_error", np.ones((3, 2)), np.ones((3, 1))),
        ("squared_error", np.ones((3, 2)), np.full((3, 3), np.nan)),
        ("squared_error", np.ones((0, 2)), np.ones((0, 3))),
        ("poisson", np.ones((3, 2)), -np.ones((3, 3))),
    ],
)
def test_refuses_arrays_of_the_right_kind_and_not_of_the_network(loss, x, y):
    net, twin = pair(loss)
    with pytest.raises(ValueError, match=r"[Xy]: ") as expected:
        net.gradients(x, y)
    optimizer, before = fcnn.SGD(0.1), twin.parameters.copy()
    for call in (
        lambda: twin.gradients(x, y), lambda: twin.backpropagate(x, y),
        lambda: twin.loss_and_outputs(x, y), lambda: twin.train_step(x, y, optimizer),
        lambda: twin.train_epoch(x, y, optimizer, 1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"[Xy]: ") as found:
            call()
        assert str(found.value) == str(expected.value)
    np.testing.assert_array_equal(twin.parameters, before)
    if str(expected.value).startswith("X: "):
        for call in (twin.predict, twin.forward):
            with pytest.raises(ValueError, match="X: "):
                call(x)


def test_what_is_right_is_not_copied():
    _, twin = pair("squared_error")
    inputs = np.ones((5, 2))
    assert twin.forward(inputs)[1][0] is inputs


DERIVATIVES = {
    "jvp": lambda net, X, v, u: net.jvp(X, u),
    "vjp": lambda net, X, v, u: net.vjp(X, v),
    "jacobian": lambda net, X, v, u: [net.jacobian(X)],
    "hvp": lambda net, X, v, u: [net.hvp(X, v, u)],
    "hessian": lambda net, X, v, u: [net.hessian(X, 1)],
}


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("output", ["tanh", "softmax", "ascending"])
def test_derivatives_of_one_sample_are_those_of_a_row(name, output):
    loss = {"softmax": "cross_entropy", "ascending": "quantile(0.1, 0.9)"}.get(
        output, "squared_error"
    )
    rng = np.random.default_rng(0)
    network = fcnn.reference.Network((3, 4, 4), ("gelu", output), loss, "float64")
    network.parameters[:] = rng.normal(size=len(network.parameters))
    X, v, u = (rng.normal(size=(5, n)) for n in (3, 4, 3))
    several = DERIVATIVES[name](network, X, v, u)
    one = DERIVATIVES[name](network, X[2], v[2], u[2])
    for of_one, of_all in zip(one, several, strict=True):
        assert of_one.shape == of_all.shape[1:]
        np.testing.assert_allclose(of_one, of_all[2], rtol=1e-13, atol=1e-13)


def test_directions_of_another_shape_are_refused():
    network = fcnn.reference.Network((3, 4, 2), ("tanh", "identity"), "squared_error", "float64")
    X, v, u = np.ones((5, 3)), np.ones((5, 2)), np.ones((5, 3))
    for call in (
        lambda: network.vjp(X, v[0]), lambda: network.vjp(X, u), lambda: network.vjp(X[0], v),
        lambda: network.hvp(X, v[:4], u),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"^v: expected shape \(.*\), got \("):
            call()
    for call in (lambda: network.jvp(X, v), lambda: network.hvp(X, v, u[0])):
        with pytest.raises(ValueError, match=r"^u: expected shape \(5, 3\), got \("):
            call()
    with pytest.raises(ValueError, match=r"^X: "):
        network.jacobian(np.ones((5, 4)))


def test_derivatives_to_be_are_of_the_shapes_that_fit_takes():
    """One output: (s, 1, n_0) and (s, n_0) are the same, and nothing is broadcast."""
    rng = np.random.default_rng(3)
    network = fcnn.reference.Network((2, 4, 1), ("tanh", "identity"), "squared_error", "float64")
    network.parameters[:] = rng.normal(size=len(network.parameters))
    X, dY, weight = rng.normal(size=(40, 2)), rng.normal(size=(40, 2)), rng.uniform(size=40)
    J = network.jacobian(X)[:, 0]
    by_hand = sum(w * (d @ d) for w, d in zip(weight, J - dY, strict=True)) / weight.sum() * 0.3 / 2
    one = network.jacobian_loss(X, dY[:, None], 0.3, weight)
    for targets in (dY, dY.tolist()):
        value, gradient = network.jacobian_loss(X.tolist(), targets, 0.3, weight.tolist())
        assert value == pytest.approx(by_hand, rel=1e-12)
        np.testing.assert_array_equal(gradient, one[1])
    alone = network.jacobian_loss(X[3], dY[3][None], 0.3)
    assert alone[0] == pytest.approx(0.15 * ((J[3] - dY[3]) ** 2).sum(), rel=1e-12)
    for wrong in (dY[0], dY[1:], dY[:, :1], dY.T, 0.0, dY[None], dY * np.nan, "x", dY[:0]):
        with pytest.raises((ValueError, TypeError), match=r"^targets: "):
            network.jacobian_loss(X, wrong, 0.3)
    for name, given in {
        "weight": (X, dY, -1), "sample_weight": (X, dY, 1, weight[:, None]),
        "X": (X[:, :1], dY, 1),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"^{name}: "):
            network.jacobian_loss(*given)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (((3, 4, 2), float("nan"), "squared_error"), "activations"),
        (((3, 4, 2), "tanh", "squared_error"), "activations"),
        (((3, 4, 2), ["tanh"], "squared_error"), "activations"),
        (((3, 4, 2), ["softmax", "identity"], "squared_error"), r"activation\[0\]"),
        (((3, 4, 2), ["tanh", "tanh"], "cross_entropy"), "output_activation"),
        (((3, 4, 2), ["tanh", "tanh"], "mean"), "loss"), ((3, ["tanh"], "mse"), "sizes"),
        (((3, 0), ["tanh"], "mse"), r"sizes\[1\]"), (((3, 1), ["tanh"], "mse", "int8"), "dtype"),
    ],
)  # fmt: skip
def test_a_network_that_is_none_is_refused_by_name(given, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        fcnn.reference.Network(*given)


def test_arrays_that_do_not_belong_together_are_refused():
    """By name, where NumPy would broadcast them."""
    _, twin = pair("squared_error", 1)
    before = twin.parameters.copy()
    z, a = twin.forward(X)
    y = np.ones((3, 1))
    delta, loss = twin.backward(z, a, y)
    for one_column in (y[:, 0], [1, 1, 1]):
        found, value = twin.backward(z, a, one_column)
        np.testing.assert_array_equal(found[1], delta[1])
        assert value == loss
    sgd, adam = fcnn.SGD(0.1, momentum=0.9), fcnn.Adam()
    state = (np.zeros_like(before),)
    for name, call in {
        "y": lambda: twin.backward(z, a, y[:2]),
        "sample_weight": lambda: twin.backward(z, a, y, y),
        "out": lambda: twin.predict(X, np.zeros((5, 3, 1))),
        "out ": lambda: twin.predict(X, np.zeros((3, 4))),
        "out  ": lambda: twin.predict(X, [0.0] * 3),
        "order": lambda: twin.train_epoch(X, y, sgd, 2, [0, 3]),
        "order ": lambda: twin.train_epoch(X, y, sgd, 2, [-1, 0]),
        "order  ": lambda: twin.train_epoch(X, y, sgd, 2, [[0, 1]]),
        "batch_size": lambda: twin.train_epoch(X, y, sgd, 0),
        "output": lambda: twin.hessian(X, 1),
        "output ": lambda: twin.hessian(X, -1),
        "gradient": lambda: fcnn.reference.sgd(twin.parameters, np.ones(1), sgd, state),
        "gradient ": lambda: fcnn.reference.adam(twin.parameters, 1.0, adam, state * 2),
        "y ": lambda: fcnn.reference.output_delta("tanh", "squared_error", z[2], a[2], y[:, 0]),
        "z": lambda: fcnn.reference.output_delta("tanh", "squared_error", z[2][:1], a[2], y),
    }.items():
        with pytest.raises((ValueError, TypeError), match=f"^{name.strip()}: "):
            call()
    np.testing.assert_array_equal(twin.parameters, before)


def test_an_epoch_of_some_samples():
    _, twin = pair("squared_error")
    other = fcnn.reference.Network.like(twin)
    y = np.arange(9.0).reshape(3, 3)
    one = twin.train_epoch(X, y, fcnn.SGD(0.1), 2, np.array([2, 0]))
    assert one == other.train_step([X[2], X[0]], y[[2, 0]], fcnn.SGD(0.1))
    np.testing.assert_array_equal(twin.parameters, other.parameters)
