"""Network's own surface: parameters and views, initial weights, predict, trace, texts."""

import copy
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, fitting

import fcnn
from fcnn.initializers import INITIALIZERS


def test_public_names():
    """Each is documented; what the core's class has beside them is for the package alone."""
    names = {name for name in dir(fcnn.Network) if not name.startswith("_")}
    assert names == {
        "sizes", "activations", "loss", "dtype", "features", "classes", "rng", "address",
        "parameters", "weights", "biases", "num_parameters", "num_targets", "summary", "copy",
        "save", "predict", "trace", "evaluate", "fit", "train_step", "gradients",
        "sample_gradients",
        "check_gradients", "jacobian", "vjp", "jvp", "hvp", "hessian", "free_workspace",
    }  # fmt: skip
    described = fcnn.Network.__doc__
    for name in names:
        attribute = getattr(fcnn.Network, name)
        assert f"\n    {name} :" in described or getattr(attribute, "__doc__", None), name


def test_views_share_memory_with_the_flat_vector():
    net = fcnn.Network((3, 5, 2))
    x = np.ones(3, np.float32)
    before = net.predict(x)
    assert [W.shape for W in net.weights] == [(5, 3), (2, 5)]
    assert [b.shape for b in net.biases] == [(5,), (2,)]
    assert net.parameters.shape == (net.num_parameters,) == (3 * 5 + 5 + 5 * 2 + 2,)
    for view in (*net.weights, *net.biases):
        assert np.shares_memory(view, net.parameters)
    net.biases[1][:] += [1, 0]
    assert net.predict(x)[0] > before[0]
    net.weights[1][1] += 100
    assert net.predict(x)[1] > 0.99
    net.parameters[:] = 0
    np.testing.assert_array_equal(net.predict(x), [0.5, 0.5])


def test_parameters_can_be_assigned():
    net = fcnn.Network((3, 5, 2), dtype="float64")
    vector = net.parameters
    net.parameters -= 0.5
    net.parameters = np.arange(net.num_parameters)
    assert np.shares_memory(net.parameters, vector)
    np.testing.assert_array_equal(vector, np.arange(net.num_parameters))
    with pytest.raises(ValueError, match=r"parameters: expected shape \(32,\), got \(3,\)"):
        net.parameters = [1, 2, 3]
    with pytest.raises(ValueError, match="too large for float32"):
        fcnn.Network((1, 2)).parameters = [1e300, 0, 0, 0]


def test_entries_of_the_lists_can_be_assigned():
    net = fcnn.Network((2, 3, 1), loss="squared_error", dtype="float64")
    net.weights[0] = [[1, 2], [3, 4], [5, 6]]
    net.biases[-1] = [7]
    net.weights[1] *= 0
    assert net.parameters.tolist() == [1, 3, 5, 2, 4, 6, 0, 0, 0, 0, 0, 0, 7]
    net.weights = [np.zeros((3, 2)), np.ones((1, 3))]
    net.biases = [[0, 1, 2], [3]]
    assert net.parameters.tolist() == [0] * 6 + [0, 1, 2] + [1, 1, 1] + [3]
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"weights\[0\]: expected shape \(3, 2\), got \(2, 3\)"):
        net.weights[0] = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"biases\[1\]: expected shape \(1,\), got \(2,\)"):
        net.biases = [[9, 9, 9], [9, 9]]
    with pytest.raises(ValueError, match="weights: expected 2 arrays, got 1"):
        net.weights = [np.ones((3, 2))]
    with pytest.raises(TypeError, match="weights: expected 2 arrays, got 5"):
        net.weights = 5
    with pytest.raises(TypeError, match="number of layers is fixed"):
        del net.weights[0]
    with pytest.raises(TypeError, match="number of layers is fixed"):
        net.biases.append([1])
    with pytest.raises(TypeError, match="weights"):
        net.weights[0:1] = [np.ones((3, 2))]
    np.testing.assert_array_equal(net.parameters, before)


def test_assigned_lists_may_be_the_networks_own_in_another_order():
    net = fcnn.Network((3, 3, 3))
    first, second = (W.copy() for W in net.weights)
    net.weights = net.weights[::-1]
    np.testing.assert_array_equal(net.weights[0], second)
    np.testing.assert_array_equal(net.weights[1], first)


# NumPy 2.5 deprecates what this must withstand.
@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_what_is_done_to_the_view_does_not_reach_the_vector():
    net = fcnn.Network((2, 3, 1), loss="squared_error")
    view = net.parameters
    view.shape = (13, 1)
    view.setflags(write=False)
    assert net.parameters.shape == (13,)
    net.parameters -= 1
    assert net.dtype == np.float32


@pytest.mark.parametrize("init", INITIALIZERS)
def test_initial_weights_have_the_variance_of_their_scheme(init):
    n_in, n_out = 300, 500
    net = fcnn.Network((n_in, n_out, 2), "tanh", dtype="float64", init=init, rng=1)
    scheme = {"auto": "glorot_normal"}.get(init, init)
    variance = {"he": 2 / n_in, "glorot": 2 / (n_in + n_out), "lecun": 1 / n_in, "zeros": 0}[
        scheme.split("_")[0]
    ]
    W = net.weights[0]
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) <= 4 * np.sqrt(variance / W.size)
    if scheme.endswith("uniform"):
        assert abs(W).max() <= np.sqrt(3 * variance)
    elif scheme.endswith("normal"):
        assert abs(W).max() > 3.5 * np.sqrt(variance)
    assert not any(b.any() for b in net.biases)


@pytest.mark.parametrize("activation", HIDDEN)
def test_auto_picks_by_activation(activation):
    schemes = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "identity": "lecun_normal"}
    expected = schemes.get(activation, "he_normal")
    auto = fcnn.Network((20, 30, 2), activation)
    named = fcnn.Network((20, 30, 2), activation, init=expected)
    np.testing.assert_array_equal(auto.weights[0], named.weights[0])


def test_rng_takes_a_seed_or_a_generator():
    by_seed = fcnn.Network((3, 5, 2), rng=7)
    by_generator = fcnn.Network((3, 5, 2), rng=np.random.default_rng(7))
    np.testing.assert_array_equal(by_seed.parameters, by_generator.parameters)
    assert not np.array_equal(by_seed.parameters, fcnn.Network((3, 5, 2), rng=8).parameters)
    np.testing.assert_array_equal(
        fcnn.Network((3, 5, 2)).parameters, fcnn.Network((3, 5, 2), rng=0).parameters
    )
    unseeded = [fcnn.Network((3, 5, 2), rng=None).parameters for _ in range(2)]
    assert not np.array_equal(*unseeded)


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_every_valid_pair_can_be_made(loss, output):
    net = fcnn.Network((3, 4, fitting(2, loss)), output_activation=output, loss=loss)
    assert net.activations == ("relu", output)


@pytest.mark.parametrize(
    ("loss", "natural"),
    [("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid"), ("poisson", "exp"),
     ("squared_error", "identity"), ("absolute_error", "identity"), ("huber", "identity")],
)  # fmt: skip
def test_the_loss_has_a_natural_output_activation(loss, natural):
    assert fcnn.Network((3, 2), loss=loss).activations == (natural,)


def test_one_activation_per_hidden_layer():
    net = fcnn.Network((3, 4, 5, 2), ["tanh", "silu"], loss="huber")
    assert net.activations == ("tanh", "silu", "identity")


def test_predict_shapes_and_out():
    net = fcnn.Network((3, 5, 2))
    X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert net.predict(X).shape == (4, 2)
    assert net.predict(X[0]).shape == (2,)
    np.testing.assert_array_equal(net(X), net.predict(X))
    out = np.empty((4, 2), np.float32)
    assert net.predict(X, out=out) is out
    np.testing.assert_array_equal(out, net.predict(X))
    row = np.empty(2, np.float32)
    assert net(X[0], out=row) is row
    np.testing.assert_array_equal(row, out[0])


def test_predict_where_out_overlaps_the_input():
    net = fcnn.Network((3, 5, 3), loss="squared_error")
    memory = np.random.default_rng(0).normal(size=(900, 3)).astype(np.float32)
    expected = net.predict(memory[:-100].copy())
    net.predict(memory[:-100], out=memory[100:])
    np.testing.assert_array_equal(memory[100:], expected)


def test_predictions_side_by_side():
    """Threads predict on one network at once, without the lock, and each gets its own answer."""
    net = fcnn.Network((50, 300, 200, 7), "tanh")
    X = np.random.default_rng(0).normal(size=(2000, 50)).astype(np.float32)
    twin = fcnn.reference.Network.like(net)
    np.testing.assert_allclose(net.predict(X), twin.predict(X), rtol=1e-4, atol=1e-6)
    parts = [X[i : i + 250] for i in range(0, 2000, 250)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            np.testing.assert_array_equal(
                np.concatenate(list(pool.map(net.predict, parts))), net.predict(X)
            )


def test_no_python_frame_stands_before_a_prediction():
    net = fcnn.Network((4, 16, 3), "tanh")
    X, out = np.zeros((1, 4), np.float32), np.empty((1, 3), np.float32)
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append((event, getattr(arg, "__name__", None))))
    try:
        net.predict(X, out)
        net.predict(X, out=out)
    finally:
        sys.setprofile(None)
    assert seen.count(("c_call", "predict")) == 2
    assert "call" not in [event for event, _ in seen]


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="the interval of switches is the process's")
def test_a_long_prediction_lets_other_threads_run():
    net = fcnn.Network((200, 600, 600, 10), "tanh")
    X = np.zeros((20000, 200), np.float32)
    running, counted = threading.Event(), []

    def count():
        running.set()
        while running.is_set():
            counted.append(None)
            time.sleep(0)

    thread = threading.Thread(target=count)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e3)  # the lock changes hands only where it is released
    try:
        thread.start()
        running.wait()
        at_start = len(counted)
        net.predict(X)
        during = len(counted) - at_start
    finally:
        running.clear()
        sys.setswitchinterval(before)
        thread.join()
    assert during > 100


def test_trace_agrees_with_gradients_and_predict():
    rng = np.random.default_rng(0)
    net = fcnn.Network((4, 6, 5, 3), ["gelu", "relu"], dtype="float64")
    X, y, weight = rng.normal(size=(7, 4)), rng.integers(3, size=7), rng.uniform(size=7)
    trace = net.trace(X, y, weight)
    loss, gradient = net.gradients(X, y, weight)
    assert trace.loss == pytest.approx(loss, rel=1e-14)
    flat = np.concatenate(
        [part.ravel() for l in (1, 2, 3) for part in (trace.dW[l].T, trace.db[l])]
    )
    np.testing.assert_allclose(flat, gradient, rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(trace.a[3], net.predict(X))
    np.testing.assert_array_equal(trace.a[0], X)
    assert not np.shares_memory(trace.a[0], X)
    for l in (1, 2, 3):  # the formulas, from the trace's own numbers
        W, b = net.weights[l - 1], net.biases[l - 1]
        np.testing.assert_allclose(trace.z[l], trace.a[l - 1] @ W.T + b, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(trace.dW[l], trace.delta[l].T @ trace.a[l - 1], atol=1e-15)
        np.testing.assert_allclose(trace.db[l], trace.delta[l].sum(axis=0), atol=1e-15)
    summed = trace.delta[3] @ net.weights[2]
    np.testing.assert_allclose(trace.delta[2], (trace.z[2] > 0) * summed, atol=1e-15)
    np.testing.assert_allclose(trace.delta[0], trace.delta[1] @ net.weights[0], atol=1e-15)
    np.testing.assert_array_equal(trace.a[2], np.maximum(trace.z[2], 0))
    assert "7 samples through 4-6-5-3" in repr(trace)


def test_a_single_sample_needs_no_batch_dimension():
    net = fcnn.Network((4, 6, 3), dtype="float64")
    x = np.arange(4.0)
    alone, batch = net.trace(x, 2), net.trace(x[None], [2])
    np.testing.assert_array_equal(alone.delta[2], batch.delta[2])
    assert net.gradients(x, 2)[0] == net.gradients(x, [0, 0, 1])[0] == batch.loss
    one = fcnn.Network((4, 1), loss="squared_error")
    assert one.evaluate(x, 0.5)["loss"] == pytest.approx(one.evaluate(x[None], [0.5])["loss"])


def test_summary_and_repr():
    net = fcnn.Network((784, 128, 10))
    lines = [line.split() for line in net.summary().splitlines()]
    assert lines[2] == ["input", "784"]
    assert lines[3] == ["1", "128", "relu", "(128,", "784)", "100,480"]
    assert lines[4] == ["2", "10", "softmax", "(10,", "128)", "1,290"]
    assert lines[5] == ["total", "101,770"]
    copy = eval(repr(net), {"Network": fcnn.Network})
    assert (copy.sizes, copy.activations, copy.loss) == (net.sizes, net.activations, net.loss)
    mixed = fcnn.Network((2, 3, 3, 1), ["tanh", "elu"], loss="huber", dtype="float64")
    assert eval(repr(mixed), {"Network": fcnn.Network}).activations == mixed.activations
    assert "activation" not in repr(fcnn.Network((2, 2))).replace("output_activation", "")


def test_a_copy_of_the_list_of_weights_is_a_plain_list():
    net = fcnn.Network((3, 4, 2))
    for copied in (copy.deepcopy(net.weights), pickle.loads(pickle.dumps(net.weights))):
        assert type(copied) is list
        assert all((a == b).all() for a, b in zip(copied, net.weights, strict=True))
        copied[0][...] = 0
        assert net.weights[0].any()


def test_dropout_without_a_hidden_layer_is_refused():
    X, y = np.eye(3), [0, 1, 0]
    net = fcnn.Network((3, 2))
    before = net.parameters.tobytes()
    many = lambda **options: fcnn.fit_many([net], X, y, **options)  # noqa: E731
    step = lambda **options: net.train_step(X, y, fcnn.Adam(), **options)  # noqa: E731
    for train in (lambda **options: net.fit(X, y, **options), many, step):
        with pytest.raises(ValueError, match=r"^dropout: there is no hidden layer to drop nodes"):
            train(dropout=0.5)
        assert net.parameters.tobytes() == before
    net.fit(X, y, dropout=0.0)
    net.fit(X, y, dropout=[0.5])  # of the inputs
    fcnn.Network((3, 4, 2)).fit(X, y, dropout=0.5)


def test_a_seed_may_be_assigned_as_it_may_be_given():
    X = np.random.default_rng(0).normal(size=(40, 3))
    given, assigned, loaded = (fcnn.Network((3, 4, 2), rng=1) for _ in range(3))
    assigned.rng = 5
    assert isinstance(assigned.rng, np.random.Generator)
    loaded = pickle.loads(pickle.dumps(assigned))
    y = (X[:, 0] > 0).astype(int)
    given.fit(X, y, epochs=2, rng=5)
    for network in (assigned, loaded):
        network.fit(X, y, epochs=2)
        np.testing.assert_array_equal(network.parameters, given.parameters)
    generator = np.random.default_rng(3)
    assigned.rng = generator
    assert assigned.rng is generator
    for wrong in ("5", -1, 2.5):
        with pytest.raises(TypeError, match=r"^rng: expected a non-negative integer"):
            assigned.rng = wrong
    assert assigned.rng is generator


@pytest.mark.parametrize("name", ["lr", "learning_rate", "optimizer", "clases", "W", "dtype_"])
def test_an_attribute_that_there_is_not_is_refused(name):
    net = fcnn.Network((3, 4, 2))
    with pytest.raises(AttributeError, match=f"has no attribute '{name}' to set; expected "):
        setattr(net, name, 1)
    assert not hasattr(net, name)


@pytest.mark.parametrize("name", ["sizes", "activations", "loss", "dtype", "num_parameters"])
def test_what_a_network_is_made_with_is_not_set_later(name):
    net = fcnn.Network((3, 4, 2))
    before = getattr(net, name)
    with pytest.raises(AttributeError, match=f"^Network has no attribute '{name}' to set; exp"):
        setattr(net, name, before)
    assert getattr(net, name) == before


def test_names_of_inputs_and_classes_are_lists_whatever_they_were():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"b": [1.0, 2.0], "a": [3.0, 4.0]})
    net = fcnn.Network((2, 3))
    expected = net.predict(frame.to_numpy())
    for names in (frame.columns, ("b", "a"), np.array(["b", "a"]), iter(["b", "a"])):
        net.features = names
        assert net.features == ["b", "a"]
        assert all(type(name) is str for name in net.features)
        np.testing.assert_array_equal(net.predict(frame), expected)
        with pytest.raises(ValueError, match="order"):
            net.predict(frame[["a", "b"]])
    net.classes = np.unique([7, 3, 5])
    assert net.classes == [3, 5, 7]
    assert all(type(name) is int for name in net.classes)
    twins = [net.copy() for _ in range(2)]
    assert fcnn.Ensemble(twins).classes == [3, 5, 7]
    net.features = net.classes = None
    assert (net.features, net.classes) == (None, None)
    net.predict(frame[["a", "b"]])
    one = fcnn.Network((2, 1), loss="binary_cross_entropy")
    for names in (["yes"], ["no", "yes"]):
        one.classes = names
        assert one.classes == names


def test_names_in_an_array_of_arrow_are_texts():
    pa = pytest.importorskip("pyarrow")
    net = fcnn.Network((2, 2))
    for names in (pa.array(["b", "a"]), pa.chunked_array([["b"], ["a"]])):
        net.features = net.classes = names
        assert net.features == net.classes == ["b", "a"]
        assert all(type(name) is str for name in [*net.features, *net.classes])


@pytest.mark.parametrize(
    ("name", "value", "kind", "text"),
    [
        ("features", 3, TypeError, "expected a list of names or None, got 3"),
        ("features", "abc", TypeError, "expected a list of names or None, got 'abc'"),
        ("features", {"a", "b", "c"}, TypeError, "expected a list of names or None, got {"),
        ("features", [1, 2, 3], TypeError, "expected names as str, got 1"),
        ("features", ["a", "b"], ValueError, "expected a name for each of 3 inputs, got 2"),
        ("classes", "ab", TypeError, "expected a list of names or None, got 'ab'"),
        ("classes", {0: "a", 1: "b"}, TypeError, "expected a list of names or None, got {"),
        ("classes", [[1], [2]], TypeError, r"expected a name for each, got \[1\]"),
        ("classes", [{"a"}, {"b"}], TypeError, "expected a name for each, got {'a'}"),
        ("classes", np.eye(2), TypeError, "expected a list of names or None, got array"),
        ("classes", np.array(2), TypeError, "expected a list of names or None, got array"),
        ("classes", ["a"], ValueError, "expected a name for each of 2 outputs, got 1"),
        ("classes", ["a", "b", "c"], ValueError, "expected a name for each of 2 outputs, got 3"),
    ],
)
def test_names_that_are_none_are_refused_where_they_are_set(name, value, kind, text):
    net = fcnn.Network((3, 4, 2))
    with pytest.raises(kind, match=f"^{name}: {text}"):
        setattr(net, name, value)
    assert getattr(net, name) is None
    one = fcnn.Network((3, 1), loss="squared_error")
    for names in ([], ["a", "b", "c"]):
        with pytest.raises(ValueError, match=r"^classes: expected one or two for one output, got"):
            one.classes = names


def test_attributes_that_there_are_and_those_of_a_class_of_ones_own_are_taken():
    net = fcnn.Network((3, 4, 2))
    net.classes, net.features, net.rng = ["a", "b"], ["x", "y", "z"], 3
    net.parameters = 2 * net.parameters
    net.weights, net.biases = net.weights, net.biases
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert (twin.classes, twin.features) == (net.classes, net.features)
        np.testing.assert_array_equal(twin.parameters, net.parameters)

    class Own(fcnn.Network):
        pass

    own = Own((3, 4, 2))
    own.anything = 1
    assert own.anything == 1
