"""Arguments: every wrong one is refused by name and changes nothing; odd but good ones work."""

import array
import contextlib
import copy
import itertools
import re
import subprocess
import sys
import warnings
from fractions import Fraction
from importlib import util

import numpy as np
import pytest

import fcnn
from fcnn import _validation, reference
from fcnn.initializers import INITIALIZERS, initial_weights

HIDDEN = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus")
OUTPUT = (*HIDDEN, "softmax", "exp")
VALID = {
    "squared_error": OUTPUT,
    "absolute_error": OUTPUT,
    "huber": OUTPUT,
    "poisson": ("exp", "softplus"),
    "binary_cross_entropy": ("sigmoid",),
    "cross_entropy": ("softmax",),
}
ISSUED = (ValueError, TypeError)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(loss="cross_entropy", n_out=3, dtype="float32", activation="tanh", seed=0):
    """Return a network with 4 inputs, its biases not 0."""
    net = fcnn.Network((4, 6, n_out), activation, loss=loss, dtype=dtype, rng=seed)
    for b in net.biases:
        b[:] = np.linspace(-0.3, 0.4, len(b))
    return net


def inputs(rows=10, dtype="float64", seed=1):
    """Return inputs (rows, 4)."""
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(dtype)


def read_once(values):
    """Return a parameter of a test: an iterator, which one thread alone can read."""
    mark = pytest.mark.thread_unsafe(reason="an iterator is read once")
    return pytest.param(iter(values), marks=mark)


def labels(rows=10):
    """Return labels 0, 1, 2."""
    return np.arange(rows) % 3


def frozen(value):
    """Return anything as a value that compares bit for bit."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return tuple(value.shape), repr(value.tolist())
        return value.shape, value.strides, value.dtype.str, value.tobytes(), str(value.flags)
    if isinstance(value, (list, tuple)):
        return type(value), [frozen(v) for v in value]
    return repr(value)


@contextlib.contextmanager
def unchanged(net, *others):
    """Check that parameters, generator, optimizers and arrays are the same afterwards."""

    def look():
        seen = [frozen(net.parameters), net.rng.bit_generator.state, net.preprocessing]
        for other in others:
            if isinstance(other, fcnn.optimizers.Optimizer):
                seen.append((repr(other), other.steps, frozen(other._state)))
            elif isinstance(other, np.random.Generator):
                seen.append(other.bit_generator.state)
            else:
                seen.append(frozen(other))
        return seen

    before = look()
    yield
    assert look() == before


# --- Constructor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sizes": ()}, ValueError, ["sizes: expected", "got ()"]),
        ({"sizes": (4,)}, ValueError, ["sizes: expected", "got (4,)"]),
        ({"sizes": 4}, ISSUED, ["sizes: expected", "got 4"]),
        ({"sizes": None}, ISSUED, ["sizes: expected", "got None"]),
        ({"sizes": "43"}, ISSUED, ["sizes: expected", "got '43'"]),
        ({"sizes": (4, 0, 3)}, ValueError, ["sizes[1]: expected at least 1, got 0"]),
        ({"sizes": (0, 3)}, ValueError, ["sizes[0]: expected at least 1, got 0"]),
        ({"sizes": (4, -3)}, ValueError, ["sizes[1]: expected at least 1, got -3"]),
        ({"sizes": (4, 3.0)}, TypeError, ["sizes[1]: expected an integer, got 3.0"]),
        ({"sizes": (4, "3")}, TypeError, ["sizes[1]: expected an integer, got '3'"]),
        ({"sizes": (4, None)}, TypeError, ["sizes[1]: expected an integer, got None"]),
        ({"sizes": (True, 3)}, TypeError, ["sizes[0]: expected an integer, got True"]),
        ({"sizes": (4, (5, 3))}, TypeError, ["sizes[1]: expected an integer, got (5, 3)"]),
        ({"sizes": np.array([4.0, 3.0])}, TypeError, ["sizes[0]: expected an integer", "4.0"]),
        ({"sizes": np.ones((2, 2), int)}, TypeError, ["sizes[0]: expected an integer"]),
        ({"loss": "mse"}, ValueError, ["loss: expected", *VALID, "got 'mse'"]),
        ({"loss": ""}, ValueError, ["loss: expected", "got ''"]),
        ({"loss": None}, TypeError, ["loss: expected", *VALID, "got None"]),
        ({"loss": ["huber"]}, TypeError, ["loss: expected", "got ['huber']"]),
        ({"activation": "swish"}, ValueError, ["activation: expected", *HIDDEN, "got 'swish'"]),
        ({"activation": "ReLU"}, ValueError, ["activation: expected", "got 'ReLU'"]),
        ({"activation": "softmax"}, ValueError, ["activation: expected", "got 'softmax'"]),
        ({"activation": "exp"}, ValueError, ["activation: expected", "got 'exp'"]),
        ({"activation": None}, TypeError, ["activation: expected", "got None"]),
        ({"activation": 3}, TypeError, ["activation: expected", "got 3"]),
        ({"activation": []}, ValueError, ["activation: expected", "list of 1", "got 0 names"]),
        ({"activation": ["relu"] * 2}, ValueError, ["activation: ", "list of 1", "got 2 names"]),
        ({"activation": ["swish"]}, ValueError, ["activation[0]: expected", "got 'swish'"]),
        ({"activation": ["softmax"]}, ValueError, ["activation[0]: expected", "got 'softmax'"]),
        ({"activation": [None]}, TypeError, ["activation[0]: expected", "got None"]),
        ({"output_activation": "max"}, ValueError, ["output_activation: ", *OUTPUT, "got 'max'"]),
        ({"output_activation": 1}, TypeError, ["output_activation: expected", "got 1"]),
        ({"output_activation": ["tanh"]}, TypeError, ["output_activation: ", "got ['tanh']"]),
        ({"sizes": (4, 6, 1)}, ValueError, ["loss: cross_entropy", "1 output", "binary_cross"]),
        ({"init": "xavier"}, ValueError, ["init: expected", *INITIALIZERS, "got 'xavier'"]),
        ({"init": None}, TypeError, ["init: expected", "got None"]),
        ({"init": 0.1}, TypeError, ["init: expected", "got 0.1"]),
        ({"init": np.zeros(3)}, TypeError, ["init: expected"]),
        ({"rng": -1}, ISSUED, ["rng: expected", "got -1"]),
        ({"rng": 1.5}, TypeError, ["rng: expected", "got 1.5"]),
        ({"rng": "0"}, TypeError, ["rng: expected", "got '0'"]),
        ({"rng": {}}, TypeError, ["rng: expected", "got {}"]),
        ({"rng": np.random}, TypeError, ["rng: expected"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[5:45] if isinstance(v, dict) else "",
)
def test_constructor_refuses(arguments, error, words):
    with pytest.raises(error) as caught:
        fcnn.Network(**{"sizes": (4, 6, 3), **arguments})
    message = str(caught.value)
    assert message.startswith(words[0])
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "dtype",
    ["float16", "int32", "complex64", "bool", "f2", ">f4", ">f8", "floats",
     "", "x", "f4,,", "f4,f4", "(", "3)f4", int, object, str, None, 3, 1.5, (), [], {}, {"a": 1},
     {"names": ["a"]}, [("a",)], [[]], object(), np.zeros(2), np.integer, (np.float32, 2)],
    ids=lambda d: repr(d)[:20],
)  # fmt: skip
def test_constructor_refuses_dtype(dtype):
    with pytest.raises(ISSUED, match=r"^dtype: expected float32 or float64, got "):
        fcnn.Network((4, 3), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "f4", "f", np.float32, np.dtype("float32"), "single"])
def test_every_way_to_say_float32(dtype):
    assert fcnn.Network((4, 3), dtype=dtype).dtype == np.float32
    assert fcnn.Network((4, 3), dtype=dtype).dtype.isnative


@pytest.mark.parametrize("dtype", ["float64", "f8", "d", float, np.float64, np.dtype("float64")])
def test_every_way_to_say_float64(dtype):
    assert fcnn.Network((4, 3), dtype=dtype).predict(np.ones(4)).dtype == np.float64


@pytest.mark.parametrize(
    "sizes",
    [(10**30, 3), (3, 2**63), (2**62, 4), (2**32, 2**32), (1, 2**62), (2**62, 2, 3),
     (2**31, 2**31, 2), (4, 2**33, 2**33, 3), (2**63 - 1, 2)],
    ids=str,
)  # fmt: skip
def test_sizes_beyond_any_memory_are_refused(sizes):
    # The count of parameters must not wrap around to something that can be allocated.
    with pytest.raises((ValueError, MemoryError), match=r"sizes|allocate") as caught:
        fcnn.Network(sizes, init="zeros")
    assert not isinstance(caught.value, ValueError) or str(caught.value).startswith("sizes")


def test_a_network_whose_constructor_failed_refuses_to_work():
    # In a process of its own: half a network in the core is a crash.
    program = """
import fcnn, numpy
for sizes in [(4, 3, 10**30), (10**30, 3), (4, 2**50, 3)]:
    net = fcnn.Network.__new__(fcnn.Network)
    try:
        net.__init__(sizes, init="zeros")
    except (ValueError, OverflowError, MemoryError):
        try:
            net.predict(numpy.ones(4, numpy.float32))
        except RuntimeError as error:
            assert "not been initialized" in str(error)
            print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 3


def test_a_network_without_constructor_refuses_to_work():
    net = fcnn.Network.__new__(fcnn.Network)
    for call in (lambda: net.predict(np.ones(4, np.float32)), lambda: net([1.0, 2, 3, 4])):
        with pytest.raises(RuntimeError, match="not been initialized"):
            call()


def test_a_network_is_not_built_twice():
    net = network()
    with unchanged(net), pytest.raises(RuntimeError, match="exists already"):
        net.__init__((4, 6, 3), rng=5)
    assert net.sizes == (4, 6, 3)


@pytest.mark.parametrize(
    "arguments",
    [{"sizes": (4, 0)}, {"loss": "x"}, {"activation": "x"}, {"output_activation": "x"},
     {"init": "x"}, {"dtype": "x"}, {"output_activation": "tanh"}],
    ids=str,
)  # fmt: skip
def test_a_refused_constructor_does_not_draw(arguments):
    rng = np.random.default_rng(5)
    before = copy.deepcopy(rng.bit_generator.state)
    with pytest.raises((ValueError, TypeError, AttributeError)):
        fcnn.Network(**{"sizes": (4, 6, 3), "rng": rng, **arguments})
    assert rng.bit_generator.state == before


def test_too_large_networks_do_not_draw():
    rng = np.random.default_rng(5)
    before = copy.deepcopy(rng.bit_generator.state)
    with pytest.raises((ValueError, OverflowError, MemoryError)):
        fcnn.Network((2**45, 2**10), rng=rng)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize(
    ("loss", "output"), list(itertools.product(VALID, OUTPUT)), ids=lambda v: v
)
def test_loss_and_output_pairs(loss, output):
    if output in VALID[loss]:
        net = fcnn.Network((4, 6, 3), output_activation=output, loss=loss)
        assert net.activations == ("relu", output)
        loss_value, gradient = net.gradients(inputs(), np.eye(3)[labels()])
        assert np.isfinite(loss_value)
        assert np.isfinite(gradient).all()
        return
    with pytest.raises(ValueError, match=f"^output_activation: '{output}'") as caught:
        fcnn.Network((4, 6, 3), output_activation=output, loss=loss)
    message = str(caught.value)
    assert repr(loss) in message
    named = message.split("valid: ")[1]
    assert sorted(re.split(", | or ", named)) == sorted(VALID[loss])


def test_the_natural_output_activations():
    natural = {
        "squared_error": "identity", "absolute_error": "identity", "huber": "identity",
        "poisson": "exp", "binary_cross_entropy": "sigmoid", "cross_entropy": "softmax",
    }  # fmt: skip
    assert {loss: network(loss).activations[-1] for loss in VALID} == natural


@pytest.mark.parametrize(
    "sizes",
    [[4, 6, 3], np.array([4, 6, 3]), np.array([4, 6, 3], np.uint8), (np.int64(4), np.int8(6), 3),
     read_once([4, 6, 3]), range(4, 7)],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_sizes_of_every_kind(sizes):
    net = fcnn.Network(sizes)
    assert net.sizes in ((4, 6, 3), (4, 5, 6))
    assert {type(n) for n in net.sizes} == {int}


@pytest.mark.parametrize(
    "activation",
    ["gelu", ["gelu", "gelu"], ("gelu",) * 2, np.array(["gelu", "gelu"]), np.str_("gelu"),
     read_once(["gelu", "gelu"])],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_activations_of_every_kind(activation):
    net = fcnn.Network((4, 6, 5, 3), activation)
    assert net.activations == ("gelu", "gelu", "softmax")
    assert net.predict(np.ones(4)).shape == (3,)


# --- Initializers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("init", INITIALIZERS)
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_initializer(init, activation):
    net = fcnn.Network((300, 200, 3), activation, init=init, dtype="float64")
    W = net.weights[0]
    assert all((b == 0).all() for b in net.biases)
    if init == "zeros":
        assert (W == 0).all()
        return
    scheme = init
    if init == "auto":
        scheme = {"identity": "lecun", "sigmoid": "glorot", "tanh": "glorot"}.get(activation, "he")
        scheme += "_normal"
    variance = {"he": 2 / 300, "glorot": 2 / 500, "lecun": 1 / 300}[scheme.split("_")[0]]
    assert W.var() == pytest.approx(variance, rel=0.05)  # four deviations of 60,000 draws
    assert abs(W.mean()) < 5 * np.sqrt(variance / W.size)
    largest = np.abs(W).max() / np.sqrt(variance)
    assert largest <= np.sqrt(3) if scheme.endswith("uniform") else largest > 3


def test_initial_weights_depend_on_the_seed_alone():
    first, again = fcnn.Network((4, 6, 3), rng=5), fcnn.Network((4, 6, 3), rng=5)
    given = fcnn.Network((4, 6, 3), rng=np.random.default_rng(5))
    other = fcnn.Network((4, 6, 3), rng=6)
    assert first.parameters.tobytes() == again.parameters.tobytes() == given.parameters.tobytes()
    assert first.parameters.tobytes() != other.parameters.tobytes()
    assert initial_weights("zeros", "relu", 3, 2, np.random.default_rng()).shape == (2, 3)


def test_a_given_generator_is_used_not_copied():
    rng = np.random.default_rng(5)
    net = fcnn.Network((4, 6, 3), rng=rng)
    assert net.rng is rng
    assert rng.bit_generator.state != np.random.default_rng(5).bit_generator.state


# --- Inputs: refused ------------------------------------------------------------------------------

BAD_X = [
    (np.ones((10, 5)), ValueError, ["shape (samples, 4) or (4,)", "(10, 5)"]),
    (np.ones((10, 3)), ValueError, ["shape (samples, 4)", "(10, 3)"]),
    (np.ones((4, 10)), ValueError, ["shape (samples, 4)", "(4, 10)"]),
    (np.ones(5), ValueError, ["(4,)", "(5,)"]),
    (np.ones((2, 2, 4)), ValueError, ["(samples, 4)", "(2, 2, 4)"]),
    (1.0, ValueError, ["(samples, 4)", "()"]),
    (np.float32(3), ValueError, ["(samples, 4)", "()"]),
    ([], ValueError, ["(samples, 4)", "(0,)"]),
    (np.empty((0, 4)), ValueError, ["at least one sample", "(0, 4)"]),
    (np.empty((0, 4), np.float32), ValueError, ["at least one sample", "(0, 4)"]),
    (np.empty((10, 0)), ValueError, ["(samples, 4)", "(10, 0)"]),
    ([[1, 2, 3, 4], [1, 2]], ValueError, ["rectangular"]),
    ([[1, 2, 3, "four"]], TypeError, ["numbers"]),
    (np.array([["a", "b", "c", "d"]]), TypeError, ["numbers", "<U1"]),
    (np.array([[b"a", b"b", b"c", b"d"]]), TypeError, ["numbers", "S1"]),
    (np.array([["a", 2, 3, 4]], dtype=object), TypeError, ["numbers", "'a' at [0, 0]"]),
    (np.array([[1, 2, 3, "4"]], dtype=object), TypeError, ["numbers", "'4' at [0, 3]"]),
    (np.ones((10, 4), np.complex64), TypeError, ["real numbers", "complex64"]),
    (np.array([[1j, 2, 3, 4]], dtype=object), TypeError, ["numbers"]),
    (np.zeros((10, 4), "M8[s]"), TypeError, ["numbers", "datetime64"]),
    (np.zeros((10, 4), "m8[s]"), TypeError, ["numbers", "timedelta64"]),
    (np.zeros(4, [("a", "f4")]), TypeError, ["numbers"]),
    ("abcd", TypeError, ["numbers"]),
    (b"abcd", TypeError, ["numbers"]),
    ({}, TypeError, ["numbers", "dict"]),
    ({1, 2, 3, 4}, TypeError, ["numbers", "set"]),
    (object(), TypeError, ["numbers", "object"]),
    ((v for v in range(4)), TypeError, ["numbers", "generator"]),
    (np.array([[10**400, 1, 2, 3]], dtype=object), ValueError, ["too large"]),
    ([[10**400, 1, 2, 3]], ValueError, ["too large"]),
]
bad_x = pytest.mark.parametrize(
    ("X", "error", "words"), BAD_X, ids=[re.sub(r"\s+", " ", str(b[0]))[:20] for b in BAD_X]
)


def calls(net, X, y, optimizer, **options):
    """Return every method that takes X and y, by name."""
    return {
        "trace": lambda: net.trace(X, y, **options),
        "gradients": lambda: net.gradients(X, y, **options),
        "check_gradients": lambda: net.check_gradients(X, y, **options),
        "evaluate": lambda: net.evaluate(X, y, **options),
        "train_step": lambda: net.train_step(X, y, optimizer, **options),
        "fit": lambda: net.fit(X, y, optimizer=optimizer, **options),
    }


def refused(net, X, y, error, start, words=(), **options):
    """Check that every method refuses the data, saying so, and changes nothing."""
    optimizer = fcnn.Adam()
    net.train_step(np.ones((2, 4)), np.ones((2, net.sizes[-1])) / net.sizes[-1], optimizer)
    messages = {}
    for name, call in calls(net, X, y, optimizer, **options).items():
        with unchanged(net, optimizer, X, y, *options.values()):
            with pytest.raises(error) as caught:
                call()
            assert type(caught.value) in (error if isinstance(error, tuple) else (error,)), name
        messages[name] = str(caught.value)
    for name, message in messages.items():
        assert message.startswith(start), (name, message)
        assert [word for word in words if word not in message] == [], (name, message)


@bad_x
@dtypes
def test_predict_refuses(X, error, words, dtype):
    net = network(dtype=dtype)
    out = np.full((10, 3), 7, dtype)
    with unchanged(net, X, out):
        for call in (lambda: net.predict(X), lambda: net(X), lambda: net.predict(X, out=out)):
            with pytest.raises(error) as caught:
                call()
            assert type(caught.value) is error
            assert str(caught.value).startswith("X: ")
            assert [word for word in words if word not in str(caught.value)] == []


@bad_x
def test_training_refuses_inputs(X, error, words):
    # fit wants (samples, 4) alone; its message need not offer (4,).
    refused(network(), X, [1], error, "X: ", [w.replace(" or (4,)", "") for w in words[-1:]])


def test_one_feature_says_how_to_make_samples():
    net = fcnn.Network((1, 3), loss="squared_error")
    with pytest.raises(ValueError, match=r"^X: .*\(5,\); X\[:, None\]"):
        net.predict(np.ones(5))


def test_fit_refuses_a_single_sample_without_its_dimension():
    net = network()
    expected = r"^X: .*\(samples, 4\).*\(4,\).*X\[None\]"
    with unchanged(net), pytest.raises(ValueError, match=expected):
        net.fit(np.ones(4), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@dtypes
def test_training_refuses_nonfinite_inputs(value, dtype):
    net, optimizer = network(dtype=dtype), fcnn.Adam()
    X = inputs(dtype=dtype)
    net.train_step(X, labels(), optimizer)
    for row, column in [(0, 0), (3, 2), (9, 3)]:
        X = inputs(dtype=dtype)
        X[row, column] = value
        expected = rf"^X: expected finite numbers, got {value} at \[{row}, {column}\]"
        with unchanged(net, optimizer, X):
            with pytest.raises(ValueError, match=expected):
                net.fit(X, labels(), optimizer=optimizer)
            with pytest.raises(ValueError, match=expected):
                net.train_step(X, labels(), optimizer)
            with pytest.raises(ValueError, match="^validation " + expected[1:]):
                net.fit(inputs(), labels(), optimizer=optimizer, validation=(X, labels()))


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_activation_hides_a_nonfinite_input_from_a_step(activation, value):
    # The check is made after the pass: no saturation and no dead node may let it through.
    for loss, n_out in [("cross_entropy", 3), ("squared_error", 2), ("binary_cross_entropy", 1)]:
        net, optimizer = network(loss, n_out, activation=activation), fcnn.SGD(0.1)
        net.weights[0][:, 1] = np.abs(net.weights[0][:, 1])
        y = labels() if loss == "cross_entropy" else np.ones((10, n_out))
        X = inputs()
        X[4, 1] = value
        with unchanged(net, optimizer), pytest.raises(ValueError, match=r"^X: .*\[4, 1\]"):
            net.train_step(X, y, optimizer)


@pytest.mark.parametrize("big", [1e39, -1e39, 3.5e38, np.finfo(np.float64).max])
def test_overflow_of_the_conversion_is_refused(big):
    net = network()
    X = inputs()
    X[7, 1] = big
    with unchanged(net, X), pytest.raises(ValueError, match=r"^X: .*too large.*float32"):
        net.predict(X)
    refused(net, X, labels(), ValueError, "X: ", ["too large", "float32"])
    assert np.isfinite(network(dtype="float64").predict(X)).all()  # there it fits


def test_overflow_of_longdouble_is_refused():
    if np.finfo(np.longdouble).max <= np.finfo(np.float64).max:
        pytest.skip("longdouble is float64 here")
    X = inputs(dtype=np.longdouble)
    X[0, 0] = np.longdouble(10) ** 400
    for dtype in ("float32", "float64"):
        with pytest.raises(ValueError, match=f"^X: .*too large.*{dtype}"):
            network(dtype=dtype).predict(X)


def test_overflow_of_targets_weights_and_parameters_is_refused():
    net = network("squared_error")
    y = np.ones((10, 3))
    y[2, 1] = 1e39
    refused(net, inputs(), y, ValueError, "y: ", ["too large", "float32"])
    weight = np.ones(10)
    weight[3] = 1e39
    refused(
        net, inputs(), np.ones((10, 3)), ValueError, "sample_weight: ", ["too large"],
        sample_weight=weight,
    )  # fmt: skip
    with unchanged(net), pytest.raises(ValueError, match=r"^parameters: .*too large.*float32"):
        net.parameters = np.full(net.num_parameters, 1e39)


# --- Targets: refused -----------------------------------------------------------------------------

one_hot = np.eye(3)[labels()]


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        (labels(9), ValueError, ["shape (10,)", "(10, 3)", "got (9,)"]),
        (labels(11), ValueError, ["shape (10,)", "got (11,)"]),
        (np.eye(3)[labels(9)], ValueError, ["(10, 3)", "got (9, 3)"]),
        (np.eye(4)[labels()], ValueError, ["(10, 3)", "got (10, 4)"]),
        (labels()[:, None], ValueError, ["(10,)", "got (10, 1)"]),
        (np.ones((10, 3, 1)), ValueError, ["(10,)", "got (10, 3, 1)"]),
        ([], ValueError, ["(10,)", "got (0,)"]),
        (np.empty((10, 0)), ValueError, ["(10,)", "got (10, 0)"]),
        (1, ValueError, ["(10,)", "got ()"]),
        (labels() + 1, ValueError, ["from 0 to 2", "got 3"]),
        (labels() - 1, ValueError, ["from 0 to 2", "got -1"]),
        (labels().astype("u8") + np.uint64(2**63), ValueError, ["from 0 to 2", str(2**63 + 2)]),
        (np.full(10, -(2**63)), ValueError, ["from 0 to 2", str(-(2**63))]),
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, 10**30], ISSUED, []),
        (labels().astype(float), TypeError, ["integers", "float64"]),
        (labels().astype(np.float16), TypeError, ["integers", "float16"]),
        (np.full(10, np.nan), TypeError, ["integers", "float64"]),
        (labels() + 0.5, TypeError, ["integers", "float64"]),
        (labels().astype(complex), TypeError, ["complex"]),
        (labels().astype(str), TypeError, ["unique", "<U"]),
        (["yes", "no"] * 5, TypeError, ["integers from 0", "unique"]),
        (np.array(["yes", "no"] * 5, dtype=object), TypeError, ["integers from 0", "unique"]),
        (np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0.5], dtype=object), TypeError, ["integers"]),
        (np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, None], dtype=object), ISSUED, []),
        (None, ISSUED, []),
        ({}, TypeError, ["dict"]),
        ([[0], [1, 2]], ValueError, ["rectangular"]),
        (one_hot * 2, ValueError, ["sum to 1", "row 0"]),
        (one_hot * 0, ValueError, ["sum to 1", "row 0"]),
        (one_hot - 1 / 3, ValueError, ["sum to 1"]),
        (one_hot + np.eye(3)[labels()[::-1]] * [[0.001]], ValueError, ["sum to 1"]),
        (np.where(one_hot == 1, 2, -0.5), ValueError, ["probabilities", "row 0"]),
        (np.where(one_hot == 1, np.nan, 0), ValueError, ["finite", "nan", "[0, 0]"]),
        (np.where(one_hot == 1, np.inf, 0), ValueError, ["finite", "inf", "[0, 0]"]),
        (one_hot.astype(int) * 2, ValueError, ["sum to 1"]),
        (np.ones((10, 3), bool), ValueError, ["sum to 1"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:24] if not isinstance(v, type) else v.__name__,
)
def test_classes_are_refused(y, error, words):
    refused(network(), inputs(), y, error, "y: ", words)


@pytest.mark.parametrize(
    ("loss", "n_out", "y", "error", "words"),
    [
        ("squared_error", 2, np.ones((9, 2)), ValueError, ["(10, 2)", "got (9, 2)"]),
        ("squared_error", 2, np.ones((2, 10)), ValueError, ["(10, 2)", "got (2, 10)"]),
        ("squared_error", 2, np.ones(10), ValueError, ["(10, 2)", "got (10,)"]),
        ("squared_error", 2, np.ones(20), ValueError, ["(10, 2)", "got (20,)"]),
        ("squared_error", 1, np.ones(9), ValueError, ["(10, 1) or (10,)", "got (9,)"]),
        ("squared_error", 1, np.ones((1, 10)), ValueError, ["(10, 1)", "got (1, 10)"]),
        ("squared_error", 1, np.ones((10, 2)), ValueError, ["(10, 1)", "got (10, 2)"]),
        ("squared_error", 1, 1.0, ValueError, ["(10, 1)", "got ()"]),
        ("squared_error", 1, [], ValueError, ["(10, 1)", "got (0,)"]),
        ("squared_error", 3, labels(), ValueError, ["(10, 3)", "got (10,)", "numpy.eye(3)[y]"]),
        ("squared_error", 1, np.full(10, np.nan), ValueError, ["finite", "nan", "[0, 0]"]),
        ("absolute_error", 1, np.full(10, -np.inf), ValueError, ["finite", "-inf"]),
        ("huber", 1, np.ones(10, complex), TypeError, ["real", "complex128"]),
        ("huber", 1, ["a"] * 10, TypeError, ["numbers"]),
        ("huber", 1, [None] * 10, ISSUED, []),
        ("squared_error", 1, np.full(10, 2**24 + 1), ValueError, ["float32", "integers"]),
        ("squared_error", 1, np.full(10, 2**53 + 1), ValueError, ["float32", "integers"]),
        ("squared_error", 1, np.full(10, 2**64 - 1, np.uint64), ValueError, ["float32"]),
        ("binary_cross_entropy", 1, np.full(10, 1.5), ValueError, ["0 to 1", "got 1.5"]),
        ("binary_cross_entropy", 1, np.full(10, -0.5), ValueError, ["0 to 1", "got -0.5"]),
        ("binary_cross_entropy", 1, labels(), ValueError, ["0 to 1", "got 2"]),
        ("binary_cross_entropy", 1, np.full(10, np.nan), ValueError, ["finite"]),
        ("poisson", 1, np.full(10, -1), ValueError, ["at least 0", "got -1"]),
        ("poisson", 1, np.full(10, -1e-30), ValueError, ["at least 0", "got -1"]),
        ("poisson", 1, np.full(10, np.inf), ValueError, ["finite", "inf"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_targets_are_refused(loss, n_out, y, error, words):
    refused(network(loss, n_out), inputs(), y, error, "y: ", words)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_integers_that_float64_cannot_hold_are_refused(number):
    # A comparison of int64 with float64 is itself made in float64, and sees nothing.
    net = network("squared_error", 1, "float64")
    refused(net, inputs(), np.full(10, number), ValueError, "y: ", ["float64", "integers"])
    exact = np.full(10, 2**62)
    assert net.gradients(inputs(), exact)[0] == net.gradients(inputs(), exact.astype(float))[0]


# --- Sample weights: refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        (np.ones(9), ValueError, ["(10,)", "got (9,)"]),
        (np.ones((10, 1)), ValueError, ["(10,)", "got (10, 1)"]),
        (1.0, ValueError, ["(10,)", "got ()"]),
        ([], ValueError, ["(10,)", "got (0,)"]),
        (np.zeros(10), ValueError, ["at least 0", "not all 0"]),
        (np.full(10, 1e-60), ValueError, ["not all 0"]),
        (np.r_[np.ones(9), -1], ValueError, ["at least 0", "-1"]),
        (np.r_[np.ones(9), np.nan], ValueError, ["finite", "nan", "[9]"]),
        (np.r_[np.ones(9), np.inf], ValueError, ["finite", "inf", "[9]"]),
        (["1"] * 10, TypeError, ["numbers"]),
        (np.ones(10, complex), TypeError, ["complex128"]),
        ("balanced", TypeError, ["numbers"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_sample_weights_are_refused(weight, error, words):
    refused(
        network(), inputs(), labels(), error, "sample_weight: ", words, sample_weight=weight
    )  # fmt: skip


# --- Out ------------------------------------------------------------------------------------------


def read_only(a):
    a.flags.writeable = False
    return a


def unaligned(shape, dtype):
    raw = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    return raw[1:].view(dtype).reshape(shape)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: np.zeros((10, 2), np.float32), ValueError, ["(10, 3)", "(10, 2)"]),
        (lambda: np.zeros((9, 3), np.float32), ValueError, ["(10, 3)", "(9, 3)"]),
        (lambda: np.zeros((11, 3), np.float32), ValueError, ["(10, 3)", "(11, 3)"]),
        (lambda: np.zeros((3, 10), np.float32), ValueError, ["(10, 3)", "(3, 10)"]),
        (lambda: np.zeros(30, np.float32), ValueError, ["(10, 3)", "(30,)"]),
        (lambda: np.zeros((1, 10, 3), np.float32), ValueError, ["(10, 3)", "(1, 10, 3)"]),
        (lambda: np.zeros((), np.float32), ValueError, ["(10, 3)", "()"]),
        (lambda: np.zeros((0, 3), np.float32), ValueError, ["(10, 3)", "(0, 3)"]),
        (lambda: np.zeros((10, 3), np.float64), ValueError, ["float32", "float64"]),
        (lambda: np.zeros((10, 3), np.float16), ValueError, ["float32", "float16"]),
        (lambda: np.zeros((10, 3), np.int32), ValueError, ["float32", "int32"]),
        (lambda: np.zeros((10, 3), object), ValueError, ["float32", "object"]),
        (lambda: np.zeros((10, 3), ">f4"), ValueError, ["float32", ">f4"]),
        (lambda: read_only(np.zeros((10, 3), np.float32)), ValueError, ["writable", "read-only"]),
        (lambda: np.zeros((10, 3), np.float32, "F"), ValueError, ["not contiguous"]),
        (lambda: np.zeros((10, 6), np.float32)[:, ::2], ValueError, ["not contiguous"]),
        (lambda: np.zeros((20, 3), np.float32)[::2], ValueError, ["not contiguous"]),
        (lambda: np.zeros((10, 3), np.float32)[::-1], ValueError, ["not contiguous"]),
        (lambda: np.broadcast_to(np.float32(1), (10, 3)), ValueError, ["read-only"]),
        (lambda: unaligned((10, 3), np.float32), ValueError, ["aligned"]),
        (lambda: [[0.0] * 3] * 10, TypeError, ["list"]),
        (lambda: bytearray(120), TypeError, ["bytearray"]),
        (lambda: array.array("f", [0] * 30), TypeError, ["array"]),
        (lambda: "out", TypeError, ["str"]),
        (lambda: False, TypeError, ["bool"]),
        (lambda: np.float32(0), TypeError, ["float32"]),
    ],
)
def test_out_is_refused(make, error, words):
    net = network()
    for X in (inputs(), inputs(dtype="float32")):
        out = make()
        with unchanged(net, X, out):
            for call in (lambda: net.predict(X, out=out), lambda: net(X, out)):  # noqa: B023
                with pytest.raises(error, match=r"^out: .* shape \(10, 3\), got ") as caught:
                    call()
                assert [word for word in words if word not in str(caught.value)] == []


def test_out_of_one_sample_is_refused():
    net = network()
    for shape in [(1, 3), (4,), (2,), (), (3, 1)]:
        out = np.full(shape, 7, np.float32)
        with unchanged(net, out), pytest.raises(ValueError, match=r"^out: expected .*\(3,\), got"):
            net.predict(np.ones(4), out=out)
    with pytest.raises(ValueError, match=r"^out: expected .*\(1, 3\), got .*\(3,\)"):
        net.predict(np.ones((1, 4)), out=np.zeros(3, np.float32))


@dtypes
def test_out_is_written_and_returned(dtype):
    net = network(dtype=dtype)
    for X in (inputs(), inputs(dtype=dtype), inputs()[0], inputs().tolist(), inputs(200)):
        expected = net.predict(X)
        out = np.full(expected.shape, 7, dtype)
        assert net.predict(X, out=out) is out
        assert out.tobytes() == expected.tobytes()
        out[:] = 7
        assert net(X, out) is out
        assert out.tobytes() == expected.tobytes()


def test_out_may_be_part_of_a_larger_array():
    net = network()
    whole = np.full((30, 3), 7, np.float32)
    net.predict(inputs(), out=whole[10:20])
    assert whole[10:20].tobytes() == net.predict(inputs()).tobytes()
    assert (whole[:10] == 7).all()
    assert (whole[20:] == 7).all()


def test_out_may_be_a_memory_map(tmp_path):
    net = network()
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(10, 3))
    assert net.predict(inputs(), out=out) is out
    assert out.tobytes() == net.predict(inputs()).tobytes()


@dtypes
@pytest.mark.parametrize("rows", [1, 2, 7, 33, 300])
@pytest.mark.parametrize("sizes", [(4, 4), (4, 9, 4), (4, 5, 5, 2), (2, 6, 5)])
def test_out_may_overlap_the_inputs(sizes, rows, dtype):
    net = fcnn.Network(sizes, "tanh", loss="squared_error", dtype=dtype)
    n_in, n_out = sizes[0], sizes[-1]
    X = np.random.default_rng(2).normal(size=(rows, n_in)).astype(dtype)
    expected = net.predict(X)
    for shift in (0, 1, 3, n_in, rows * n_in - 1):
        for X_first in (True, False):
            memory = np.zeros(shift + rows * (n_in + n_out), dtype)
            x_at, out_at = (0, shift) if X_first else (shift, 0)
            x = memory[x_at : x_at + X.size].reshape(X.shape)
            out = memory[out_at : out_at + expected.size].reshape(expected.shape)
            x[:] = X
            assert net.predict(x, out=out) is out
            assert out.tobytes() == expected.tobytes(), (shift, X_first)


@dtypes
def test_out_may_be_the_input_itself(dtype):
    net = fcnn.Network((4, 9, 4), loss="squared_error", dtype=dtype)
    X = inputs(50, dtype)
    expected = net.predict(X)
    net.predict(X, out=X)
    assert X.tobytes() == expected.tobytes()
    x = inputs(1, dtype)[0]
    expected = net.predict(x)
    assert net.predict(x, out=x).tobytes() == expected.tobytes()


# --- The arguments of the training methods --------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"epochs": 0}, ValueError, ["epochs: expected at least 1", "got 0"]),
        ({"epochs": -1}, ValueError, ["epochs: expected at least 1", "got -1"]),
        ({"epochs": 1.0}, TypeError, ["epochs: expected an integer", "got 1.0"]),
        ({"epochs": None}, TypeError, ["epochs: expected an integer", "got None"]),
        ({"epochs": "3"}, TypeError, ["epochs: expected an integer", "got '3'"]),
        ({"epochs": True}, TypeError, ["epochs: expected an integer", "got True"]),
        ({"batch_size": 0}, ValueError, ["batch_size: expected at least 1", "got 0"]),
        ({"batch_size": -5}, ValueError, ["batch_size: expected at least 1", "got -5"]),
        ({"batch_size": 2.5}, TypeError, ["batch_size: expected an integer", "got 2.5"]),
        ({"batch_size": "auto"}, TypeError, ["batch_size: expected an integer", "got 'auto'"]),
        ({"batch_size": False}, TypeError, ["batch_size: expected an integer", "got False"]),
        ({"optimizer": "adam"}, TypeError, ["optimizer: expected fcnn.SGD", "got 'adam'"]),
        ({"optimizer": fcnn.Adam}, TypeError, ["optimizer: expected fcnn.SGD", "Adam"]),
        ({"optimizer": 0.1}, TypeError, ["optimizer: expected fcnn.SGD", "got 0.1"]),
        ({"rng": -1}, ISSUED, ["rng: expected", "got -1"]),
        ({"rng": "x"}, TypeError, ["rng: expected", "got 'x'"]),
        ({"rng": 0.5}, TypeError, ["rng: expected", "got 0.5"]),
        ({"validation": 5}, TypeError, ["validation: expected (X, y)", "int"]),
        ({"validation": 0.1}, TypeError, ["validation: expected (X, y)", "float"]),
        ({"validation": ()}, ISSUED, ["validation: expected (X, y)", "0"]),
        ({"validation": (inputs(),)}, ISSUED, ["validation: expected (X, y)", "1"]),
        ({"validation": (inputs(), labels(), None, 1)}, ISSUED, ["validation: expected", "4"]),
        ({"validation": inputs()}, TypeError, ["validation: expected (X, y)", "ndarray"]),
        ({"validation": (inputs()[:, :3], labels())}, ValueError, ["validation X: ", "(10, 3)"]),
        ({"validation": (inputs()[0], 0)}, ValueError, ["validation X: ", "(4,)"]),
        ({"validation": (inputs() * np.inf, labels())}, ValueError, ["validation X: ", "inf"]),
        ({"validation": (inputs(0), [])}, ValueError, ["validation X: ", "(0, 4)"]),
        ({"validation": (inputs(), labels(9))}, ValueError, ["validation y: ", "(9,)"]),
        ({"validation": (inputs(), labels() + 1)}, ValueError, ["validation y: ", "got 3"]),
        ({"validation": (inputs(), labels() * 1.0)}, TypeError, ["validation y: ", "float64"]),
        (
            {"validation": (inputs(), labels(), np.ones(9))},
            ValueError, ["validation sample_weight: ", "(10,)", "(9,)"],
        ),
        ({"callbacks": print}, TypeError, ["callbacks: expected", "print"]),
        ({"callbacks": 5}, TypeError, ["callbacks: expected", "5"]),
        ({"callbacks": None}, TypeError, ["callbacks: expected", "None"]),
        ({"callbacks": [None]}, TypeError, ["callbacks: expected", "None"]),
        ({"callbacks": [print, "stop"]}, TypeError, ["callbacks: expected", "'stop'"]),
        ({"l1": -1}, ValueError, ["l1: expected a finite number at least 0", "got -1"]),
        ({"l1": "a"}, TypeError, ["l1: expected a number", "got 'a'"]),
        ({"l2": np.nan}, ValueError, ["l2: expected a finite number at least 0", "got nan"]),
        ({"l2": None}, TypeError, ["l2: expected a number", "got None"]),
        ({"clip_norm": 0}, ValueError, ["clip_norm: expected a finite number greater than 0"]),
        ({"clip_norm": np.inf}, ValueError, ["clip_norm: expected a finite number", "got inf"]),
        ({"clip_norm": "1"}, TypeError, ["clip_norm: expected a number", "got '1'"]),
        ({"dropout": 1}, ValueError, ["dropout: expected", "at least 0 and less than 1", "got 1"]),
        ({"dropout": -0.1}, ValueError, ["dropout: expected", "got -0.1"]),
        ({"dropout": None}, TypeError, ["dropout: expected a number", "got None"]),
        ({"dropout": "0.5"}, ValueError, ["dropout: expected one number, or 2", "got '0.5'"]),
        ({"dropout": {0.1}}, ValueError, ["dropout: expected one number, or 2", "got {0.1}"]),
        ({"dropout": (0.5,)}, ValueError, ["dropout: expected one number, or 2", "got (0.5,)"]),
        ({"dropout": (0, 0.5, 0)}, ValueError, ["dropout: expected one number, or 2"]),
        ({"dropout": (0, 1.5)}, ValueError, ["dropout[1]: expected", "got 1.5"]),
        ({"dropout": (None, 0)}, TypeError, ["dropout[0]: expected a number", "got None"]),
        ({"label_smoothing": 1}, ValueError, ["label_smoothing: expected", "less than 1", "got 1"]),
        ({"label_smoothing": "x"}, TypeError, ["label_smoothing: expected a number"]),
        ({"class_weight": "balance"}, ValueError, ["class_weight: expected balanced", "'balance'"]),
        ({"class_weight": [1, 2, 3]}, TypeError, ["class_weight: expected a dict", "[1, 2, 3]"]),
        ({"class_weight": {3: 1}}, ValueError, ["class_weight: expected labels from 0 to 2", "3"]),
        ({"class_weight": {"a": 1}}, ValueError, ["class_weight: expected labels", "got 'a'"]),
        ({"class_weight": {1: -1}}, ValueError, ["class_weight[1]: expected", "got -1"]),
        ({"class_weight": {1: "x"}}, TypeError, ["class_weight[1]: expected a number"]),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, ["class_weight: expected at least one"]),
        ({"loss": "huber"}, TypeError, ["loss: expected a function", "got 'huber'"]),
        ({"loss": print, "label_smoothing": 0.1}, ValueError, ["label_smoothing: ", "your own"]),
        ({"loss": print, "class_weight": "balanced"}, ValueError, ["class_weight: ", "your own"]),
        ({"schedule": "cosine"}, TypeError, ["schedule: expected one of fcnn.schedules", "cosine"]),
        ({"resume": "/absent/file"}, FileNotFoundError, ["/absent/file: no such file"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[5:40] if isinstance(v, dict) else "",
)  # fmt: skip
def test_fit_refuses(arguments, error, words):
    net, optimizer = network(), fcnn.Adam()
    X, y = inputs(), labels()
    net.train_step(X, y, optimizer)
    rng = np.random.default_rng(3)
    with unchanged(net, optimizer, rng, X, y):
        with pytest.raises(error) as caught:
            net.fit(X, y, **{"optimizer": optimizer, "rng": rng, "epochs": 1, **arguments})
        message = str(caught.value)
        assert message.startswith(words[0])
        assert [word for word in words if word not in message] == []


def test_options_that_do_not_go_with_the_loss_are_refused():
    net = network("squared_error")
    y = np.zeros((10, 3))
    for options, words in (
        ({"label_smoothing": 0.1}, "label_smoothing: .*got 0.1 with 'squared_error'"),
        ({"class_weight": {0: 2}}, "class_weight: .*got squared_error of 3 outputs"),
    ):
        with unchanged(net), pytest.raises(ValueError, match=f"^{words}"):
            net.fit(inputs(), y, **options)
    several = network("binary_cross_entropy")
    with pytest.raises(ValueError, match=r"^class_weight: .*binary_cross_entropy of 3 outputs"):
        several.fit(inputs(), y, class_weight="balanced")
    nothing = network()
    with unchanged(nothing), pytest.raises(ValueError, match=r"^class_weight: .*for a class of y"):
        nothing.fit(inputs(), np.zeros(10, int), class_weight={0: 0})
    with unchanged(net), pytest.raises(ValueError, match=r"^label_smoothing: .*squared_error"):
        net.train_step(inputs(), y, fcnn.Adam(), label_smoothing=0.1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"l1": -1}, ValueError, "l1: expected a finite number at least 0, got -1"),
        ({"l2": "x"}, TypeError, "l2: expected a number, got 'x'"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected a finite number greater than 0, got 0"),
        ({"dropout": 1}, ValueError, "dropout: expected a finite number at least 0 and less than"),
        ({"dropout": (0.1,)}, ValueError, "dropout: expected one number, or 2, for the inputs and"),
        ({"label_smoothing": -1}, ValueError, "label_smoothing: expected a finite number at least"),
    ],
)  # fmt: skip
def test_train_step_refuses_options(options, error, words):
    net, optimizer = network(), fcnn.Adam()
    with unchanged(net, optimizer), pytest.raises(error, match=f"^{re.escape(words)}"):
        net.train_step(inputs(), labels(), optimizer, **options)


def test_fit_takes_no_positional_options():
    with pytest.raises(TypeError, match="positional"):
        network().fit(inputs(), labels(), 5)


@pytest.mark.parametrize("size", [10, 11, 10**6, 2**63 - 1, 10**30, None, np.int64(10)])
def test_a_batch_of_everything(size):
    net, whole = network(), network()
    net.fit(inputs(), labels(), epochs=1, batch_size=size, shuffle=False)
    whole.fit(inputs(), labels(), epochs=1, batch_size=10, shuffle=False)
    assert net.parameters.tobytes() == whole.parameters.tobytes()


@pytest.mark.parametrize("count", [0, -1, 1.5, "x", True])
def test_check_gradients_refuses(count):
    net = network()
    with unchanged(net), pytest.raises(ISSUED, match=rf"^max_parameters: expected .*{count}"):
        net.check_gradients(inputs(), labels(), max_parameters=count)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros(5), ValueError, ["(51,)", "(5,)"]),
        (0.0, ValueError, ["(51,)", "()"]),
        (np.zeros((51, 1)), ValueError, ["(51,)", "(51, 1)"]),
        ("zeros", TypeError, ["numbers"]),
        (None, ISSUED, []),
        (np.zeros(51, complex), TypeError, ["complex128"]),
    ],
    ids=lambda v: re.sub(r"\s+", " ", str(v))[:20] if not isinstance(v, type) else v.__name__,
)
def test_parameters_refuse(values, error, words):
    net = network()
    with unchanged(net):
        with pytest.raises(error, match=r"^parameters: ") as caught:
            net.parameters = values
        assert [word for word in words if word not in str(caught.value)] == []


def test_parameters_are_assigned_in_place():
    net = network()
    vector, W = net.parameters, net.weights[0]
    net.parameters = np.arange(51, dtype=">i2")[::-1]
    assert np.shares_memory(net.parameters, vector)
    assert vector.tolist() == list(range(50, -1, -1))
    assert W[0, 0] == 50
    net.parameters -= 1
    assert vector[0] == 49
    net.parameters = vector[::-1]
    assert vector.tolist() == list(range(-1, 50))


@pytest.mark.parametrize("name", ["sizes", "activations", "loss", "dtype"])
def test_the_architecture_is_read_only(name):
    net = network()
    with pytest.raises(AttributeError):
        setattr(net, name, getattr(net, name))


# --- Odd but good inputs --------------------------------------------------------------------------


class Framelike:
    """What a data frame is to NumPy: something with __array__."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


class Interface:
    """An object that shows its memory by the array interface alone."""

    def __init__(self, values):
        self.values = values
        self.__array_interface__ = values.__array_interface__


class DLPack:
    """A tensor that NumPy can read by DLPack alone."""

    def __init__(self, values):
        # NumPy does not export what others cannot read.
        self.values = np.require(values, requirements=["A", "W"])

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        raise AssertionError("read one by one")

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Subclass(np.ndarray):
    """A subclass whose operators must not be used."""

    def __mul__(self, other):
        raise AssertionError

    __add__ = __sub__ = __getitem__ = __array_ufunc__ = __mul__


def spread(a):
    """Return a copy with other entries in between."""
    wide = np.full([2 * n for n in a.shape], 99, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a):
    """Return a copy with negative strides."""
    turned = tuple(slice(None, None, -1) for _ in a.shape)
    return a[turned].copy()[turned]


def off_alignment(a):
    out = unaligned(a.shape, a.dtype)
    out[...] = a
    assert not out.flags.aligned or a.dtype.itemsize == 1
    return out


FORMS = {
    "strided": spread,
    "negative strides": backwards,
    "Fortran": np.asfortranarray,
    "read-only": lambda a: read_only(a.copy()),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "big-endian, strided": lambda a: spread(a.astype(a.dtype.newbyteorder(">"))),
    "unaligned": off_alignment,
    "broadcastable base": lambda a: np.lib.stride_tricks.as_strided(a, a.shape, a.strides),
    "list": lambda a: a.tolist(),
    "nested tuples": lambda a: tuple(tuple(r) if isinstance(r, list) else r for r in a.tolist()),
    "list of rows": lambda a: list(a),
    "data frame": Framelike,
    "read-only data frame": lambda a: Framelike(read_only(a.copy())),
    "array interface": Interface,
    "DLPack": DLPack,
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "ctypes": lambda a: np.ctypeslib.as_ctypes(np.array(a)),
    "object": lambda a: a.astype(object),
    "subclass": lambda a: a.copy().view(Subclass),
    "matrix-like memmap": lambda a: np.asarray(a).view(np.memmap),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def as_bits(result):
    """Return what a method returned as comparable bits."""
    if isinstance(result, np.ndarray):
        return result.shape, result.dtype.str, result.tobytes()
    if isinstance(result, fcnn.trace.Trace):
        lists = (result.z, result.a, result.delta, result.dW, result.db)
        return [as_bits(v) for group in lists for v in group], result.loss
    if isinstance(result, tuple):
        return [as_bits(v) for v in result]
    if isinstance(result, fcnn.training.History):
        return result.loss, result.validation_loss, result.validation_score
    return repr(result)


def everything(loss, n_out, dtype, X, y, weight):
    """Return the bits of what every method makes of the data, and of the trained parameters."""
    net = network(loss, n_out, dtype)
    results = [as_bits(net.predict(X)), as_bits(net(X))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("trace", "gradients", "check_gradients", "evaluate"):
            results.append(as_bits(getattr(net, name)(X, y, sample_weight=weight)))
        results.append(net.train_step(X, y, fcnn.SGD(0.1), sample_weight=weight))
        history = net.fit(
            X, y, epochs=2, batch_size=4, sample_weight=weight, validation=(X, y, weight)
        )
    return [*results, as_bits(history), net.parameters.tobytes()]


@forms
@dtypes
def test_inputs_in_every_form(form, dtype):
    plain = inputs(dtype=dtype)
    y = np.random.default_rng(2).random((10, 2)).astype(dtype)
    weight = np.random.default_rng(3).random(10).astype(dtype)
    expected = everything("squared_error", 2, dtype, plain, y, weight)
    X, targets, weights = form(plain), form(y), form(weight)
    before = [frozen(getattr(v, "values", v)) for v in (X, targets, weights)]
    assert everything("squared_error", 2, dtype, X, targets, weights) == expected
    assert [frozen(getattr(v, "values", v)) for v in (X, targets, weights)] == before


@forms
def test_labels_in_every_form(form):
    y = labels()
    weight = np.ones(10)
    expected = everything("cross_entropy", 3, "float32", inputs(), y, weight)
    odd = form(y)
    before = frozen(getattr(odd, "values", odd))
    assert everything("cross_entropy", 3, "float32", inputs(), odd, weight) == expected
    assert frozen(getattr(odd, "values", odd)) == before


def test_a_buffer_of_one_sample():
    net = network()
    expected = net.predict(np.arange(4.0)).tobytes()
    for typecode in "fdbHq":
        assert net.predict(array.array(typecode, range(4))).tobytes() == expected
    assert net.predict(bytearray(range(4))).tobytes() == expected


def pandas_of(kind):
    def make(a):
        pandas = pytest.importorskip("pandas")
        if "pyarrow" in kind:
            pytest.importorskip("pyarrow")
        frame = pandas.DataFrame(a) if a.ndim == 2 else pandas.Series(a)
        return frame.astype(kind.format(8 * a.itemsize)) if kind else frame

    return make


def polars_of(a):
    polars = pytest.importorskip("polars")
    return polars.DataFrame(a) if a.ndim == 2 else polars.Series(a)


def torch_of(a):
    return pytest.importorskip("torch").from_numpy(a.copy())


OTHERS = {
    "pandas": pandas_of(""),
    "pandas, with missing values": pandas_of("Float{}"),
    "pandas, Arrow": pandas_of("float{}[pyarrow]"),
    "polars": polars_of,
    "PyTorch": torch_of,
}


@dtypes
@pytest.mark.parametrize("other", OTHERS)
def test_data_of_other_libraries(other, dtype):
    make = OTHERS[other]
    X, weight = inputs(dtype=dtype), np.random.default_rng(3).random(10).astype(dtype)
    y = np.random.default_rng(2).random((10, 2)).astype(dtype)
    theirs = [make(a) for a in (X, y, weight)]
    expected = everything("squared_error", 2, dtype, X, y, weight)
    assert everything("squared_error", 2, dtype, *theirs) == expected


@pytest.mark.parametrize(
    "make",
    [pandas_of(""), pandas_of("Int64"), pandas_of("int64[pyarrow]"), polars_of, torch_of],
    ids=["pandas", "pandas, Int64", "pandas, Arrow", "polars", "PyTorch"],
)
def test_labels_of_other_libraries(make):
    y, weight = labels(), np.ones(10)
    expected = everything("cross_entropy", 3, "float32", inputs(), y, weight)
    assert everything("cross_entropy", 3, "float32", inputs(), make(y), weight) == expected


@pytest.mark.skipif(util.find_spec("jax") is None, reason="no jax")
def test_arrays_of_jax():
    # In a process of its own: once JAX is imported, it warns of every fork.
    code = (
        "import fcnn, jax, numpy; net = fcnn.Network((4, 3)); X = numpy.ones((5, 4), 'f');"
        "y = numpy.zeros(5, int); theirs = jax.numpy.asarray(X), jax.numpy.asarray(y);"
        "assert (net.predict(theirs[0]) == net.predict(X)).all();"
        "assert net.gradients(*theirs)[0] == net.gradients(X, y)[0]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@dtypes
@pytest.mark.parametrize(
    ("make", "memory"),
    [
        (DLPack, lambda v: v.values),
        (Framelike, lambda v: v.values),
        (Interface, lambda v: v.values),
        (memoryview, np.asarray),
        (np.ctypeslib.as_ctypes, np.ctypeslib.as_array),
        (lambda a: pytest.importorskip("torch").from_numpy(a), lambda v: v.numpy()),
        (lambda a: pytest.importorskip("pandas").DataFrame(a, copy=False), lambda v: v.values),
    ],
    ids=["DLPack", "__array__", "array interface", "memoryview", "ctypes", "PyTorch", "pandas"],
)
def test_nothing_is_copied_that_need_not_be(make, memory, dtype):
    theirs = make(inputs(dtype=dtype))
    array = _validation.as_inputs("X", theirs, 4, np.dtype(dtype))
    assert np.shares_memory(array, memory(theirs))


def test_missing_values_are_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(inputs()).astype("Float64")
    frame.iloc[3, 2] = pandas.NA
    refused(network(), frame, labels(), TypeError, "X: ", ["<NA> at [3, 2]"])
    y = pandas.Series(labels(), dtype="Int64")
    y[7] = pandas.NA
    refused(network(), inputs(), y, TypeError, "y: ", ["nan at [7]"])
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: [1, 2, None if name == "c" else 3] for name in "abcd"})
    with pytest.raises(ValueError, match=r"X: .* nan at \[2, 2\]"):
        network().fit(frame, labels(3))


def test_tensors_that_are_elsewhere_are_refused():
    class Elsewhere(DLPack):
        def __dlpack__(self, **options):
            raise BufferError("the tensor is on device cuda:0")

    X = Elsewhere(inputs())
    refused(network(), X, labels(), TypeError, "X: ", ["Elsewhere", "device cuda:0"])
    refused(network(), inputs(), Elsewhere(labels()), TypeError, "y: ", ["device cuda:0"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.requires_grad_(), ["requires grad", "detach()"]),
        (lambda t: t.to("meta"), ["meta", "cpu()"]),
        (lambda t: t.bfloat16(), ["BFloat16"]),
        (lambda t: t.to_sparse(), ["to_dense()"]),
    ],
)
def test_tensors_of_pytorch_that_are_refused(change, words):
    X = change(torch_of(inputs()))
    optimizer, net = fcnn.SGD(0.1), network()
    for call in (lambda: net.predict(X), *calls(net, X, labels(), optimizer).values()):
        with pytest.raises(TypeError, match="X: expected numbers in the CPU's memory") as caught:
            call()
        assert all(word in str(caught.value) for word in words)
    with pytest.raises(TypeError, match="sample_weight: expected numbers in the CPU's memory"):
        net.evaluate(inputs(), labels(), change(torch_of(np.ones(10))))
    with pytest.raises(TypeError, match="out: expected a writable"):
        net.predict(inputs(dtype="float32"), out=torch_of(np.ones((10, 3), np.float32)))


NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "f2", "f4", "f8", "g"]
numbers = pytest.mark.parametrize("kind", NUMBERS)


@numbers
@dtypes
def test_inputs_of_every_dtype(kind, dtype):
    X = (np.random.default_rng(1).integers(0, 2 if kind == "?" else 100, (10, 4))).astype(kind)
    y = (np.random.default_rng(2).integers(0, 2, (10, 2))).astype(kind)
    weight = (np.random.default_rng(3).integers(0, 2, 10)).astype(kind)
    weight[0] = 1
    before = frozen([X, y, weight])
    plain = [v.astype(dtype) for v in (X, y, weight)]
    assert everything("squared_error", 2, dtype, X, y, weight) == everything(
        "squared_error", 2, dtype, *plain
    )
    assert frozen([X, y, weight]) == before


@pytest.mark.parametrize("kind", [k for k in NUMBERS if k not in ("f2", "f4", "f8", "g", "?")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_labels_of_every_integer_dtype(kind, order):
    y = labels().astype(np.dtype(kind).newbyteorder(order))
    before = frozen(y)
    weight = np.ones(10)
    expected = everything("cross_entropy", 3, "float32", inputs(), labels(), weight)
    assert everything("cross_entropy", 3, "float32", inputs(), y, weight) == expected
    assert everything("cross_entropy", 3, "float32", inputs(), spread(y), weight) == expected
    assert frozen(y) == before


def test_labels_of_two_classes_may_be_truth_values():
    net = network(n_out=2)
    y = labels() > 0
    assert as_bits(net.gradients(inputs(), y)) == as_bits(net.gradients(inputs(), y.astype(int)))


@dtypes
def test_one_hot_rows_are_labels(dtype):
    net = network(dtype=dtype)
    weight = np.random.default_rng(0).random(10)
    expected = as_bits(net.trace(inputs(), labels(), weight))
    for kind in ("f2", "f4", "f8", ">f8", "i1", "u8", "?", object):
        rows = np.eye(3)[labels()].astype(kind)
        assert as_bits(net.trace(inputs(), rows, weight)) == expected
        assert net.evaluate(inputs(), rows, weight) == net.evaluate(inputs(), labels(), weight)
    assert as_bits(net.trace(inputs(), np.asfortranarray(one_hot), weight)) == expected


def test_soft_targets_are_accepted():
    net = network(dtype="float64")
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 10)
    for y in (rows, rows.astype(np.float32)):  # whose sums miss 1 by rounding
        loss, gradient = net.gradients(inputs(), y)
        expected_loss, expected = reference.Network.like(net).gradients(inputs(), y.astype(float))
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)


def test_fractions_and_other_numbers():
    net = network(dtype="float64")
    X = [[Fraction(1, 4), True, np.float32(2), 3]]
    assert as_bits(net.predict(X)) == as_bits(net.predict(np.array([[0.25, 1, 2, 3]])))


def test_memory_maps(tmp_path):
    for name, values in [("X", inputs(dtype="float32")), ("y", labels())]:
        np.save(tmp_path / f"{name}.npy", values)
    X, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")
    assert everything("cross_entropy", 3, "float32", X, y, np.ones(10)) == everything(
        "cross_entropy", 3, "float32", inputs(dtype="float32"), labels(), np.ones(10)
    )


@pytest.mark.parametrize(
    ("loss", "n_out", "single", "batch"),
    [
        ("cross_entropy", 3, 2, [2]),
        ("cross_entropy", 3, np.int8(2), [2]),
        ("cross_entropy", 3, np.array(2), [2]),
        ("cross_entropy", 3, [2], [2]),
        ("cross_entropy", 3, [0, 0, 1], [[0, 0, 1]]),
        ("squared_error", 2, [0.5, 2], [[0.5, 2]]),
        ("squared_error", 2, [[0.5, 2]], [[0.5, 2]]),
        ("squared_error", 1, 0.5, [[0.5]]),
        ("squared_error", 1, [0.5], [[0.5]]),
        ("binary_cross_entropy", 1, True, [[1]]),
    ],
)
def test_one_sample_without_its_dimension(loss, n_out, single, batch):
    net = network(loss, n_out, "float64")
    x = inputs()[0]
    assert as_bits(net.trace(x, single)) == as_bits(net.trace(x[None], batch))
    assert as_bits(net.gradients(x, single)) == as_bits(net.gradients(x[None], batch))
    assert net.evaluate(x, single) == net.evaluate(x[None], batch)
    assert repr(net.check_gradients(x, single)) == repr(net.check_gradients(x[None], batch))
    assert net.predict(x).tobytes() == net.predict(x[None]).tobytes()
    other = net.copy()
    assert net.train_step(x, single, fcnn.SGD(0.1)) == other.train_step(
        x[None], batch, fcnn.SGD(0.1), sample_weight=2.0
    )
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_one_output_takes_targets_with_and_without_their_dimension():
    for loss in ("squared_error", "absolute_error", "huber", "poisson", "binary_cross_entropy"):
        net = network(loss, 1)
        y = np.random.default_rng(0).random(10)
        expected = as_bits(net.trace(inputs(), y[:, None]))
        assert as_bits(net.trace(inputs(), y)) == expected
        assert as_bits(net.trace(inputs(), spread(y))) == expected


def test_integers_that_fit_exactly_are_targets():
    net = network("squared_error", 1)
    for y in (np.full(10, 2**24), np.full(10, -(2**24)), np.full(10, 2**63, np.uint64)):
        assert as_bits(net.gradients(inputs(), y)) == as_bits(
            net.gradients(inputs(), y.astype(np.float32))
        )


def test_results_are_the_callers_own():
    net = network()
    X = inputs(dtype="float32")
    kept = X.copy()
    first = net.predict(X)
    again = net.predict(X)
    assert not np.shares_memory(first, again)
    assert first.flags.writeable
    assert first.flags.c_contiguous
    trace = net.trace(X, labels())
    for group in (trace.z, trace.a, trace.delta, trace.dW, trace.db):
        for v in group:
            if v is not None:
                v[...] = 0
    gradient = net.gradients(X, labels())[1]
    assert not np.shares_memory(gradient, net.parameters)
    assert X.tobytes() == kept.tobytes()
    assert net.predict(X).tobytes() == again.tobytes()


# --- NaN and infinity in predict ------------------------------------------------------------------


def special(value, rows, dtype):
    """Return inputs with the value in row 2."""
    X = inputs(rows, dtype, seed=8)
    X[2, 1] = value
    return X


nonfinite = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])


@nonfinite
@dtypes
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("output", OUTPUT)
def test_nan_flows_through(hidden, output, value, dtype):
    net = fcnn.Network((4, 9, 3), hidden, output, "squared_error", dtype)
    for rows in (5, 40):
        X = special(value, rows, dtype)
        a = net.predict(X)
        clean = np.delete(np.arange(rows), 2)
        assert a[clean].tobytes() == net.predict(X[clean]).tobytes()
        assert np.isfinite(a[clean]).all()
        # NaN has no bits of its own: its sign is that of whichever operand the compiler put first.
        np.testing.assert_array_equal(a[2], net.predict(X[2]))
        if np.isnan(value):
            assert np.isnan(a[2]).all()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.Network.like(net).predict(X)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(expected))
    np.testing.assert_allclose(a, expected, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)


@nonfinite
def test_nonfinite_numbers_convert_silently(value):
    # Infinity is no overflow of the conversion, and no warning (warnings are errors here).
    net = network(activation="relu")
    X = special(value, 5, "float64")
    assert as_bits(net.predict(X)) == as_bits(net.predict(X.astype(np.float32)))
    assert as_bits(net.predict(X.tolist())) == as_bits(net.predict(X))
    assert as_bits(net.predict(X.astype(np.float16))) is not None


def test_the_limits_of_saturating_activations():
    for hidden, high, low in [("sigmoid", 1, 0), ("tanh", 1, -1), ("relu", np.inf, 0),
                              ("leaky_relu", np.inf, -np.inf), ("elu", np.inf, -1),
                              ("softplus", np.inf, 0), ("identity", np.inf, -np.inf)]:  # fmt: skip
        net = fcnn.Network((1, 1), output_activation=hidden, loss="squared_error", dtype="float64")
        net.parameters[:] = [1, 0]
        assert net.predict([[np.inf], [-np.inf]]).ravel().tolist() == [high, low], hidden


# --- A row alone and in a batch -------------------------------------------------------------------

ROWS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 129, 513, 600)
SHAPES = [
    (1, 1), (3, 2), (4, 8, 3), (5, 33, 17, 2), (24, 24, 24), (7, 65, 1), (2, 16, 31, 10),
    (64, 130, 5),
]  # fmt: skip


@dtypes
@pytest.mark.parametrize("sizes", SHAPES, ids=lambda s: "-".join(map(str, s)))
def test_rows_are_the_same_alone_and_in_a_batch(sizes, dtype):
    rng = np.random.default_rng(6)
    pairs = itertools.islice(itertools.cycle(zip(HIDDEN, OUTPUT[::-1], strict=False)), len(SHAPES))
    for hidden, output in {("relu", "softmax"), *pairs}:
        net = fcnn.Network(sizes, hidden, output, "squared_error", dtype, rng=rng)
        for b in net.biases:
            b[:] = rng.normal(size=b.shape)
        X = rng.normal(size=(max(ROWS), sizes[0])).astype(dtype) * 3
        whole = net.predict(X)
        for rows in ROWS:
            assert net.predict(X[:rows]).tobytes() == whole[:rows].tobytes(), (hidden, rows)
            assert net.predict(X[-rows:]).tobytes() == whole[-rows:].tobytes(), (hidden, rows)
        for i in (*range(40), *range(505, 520), 599):
            assert net.predict(X[i]).tobytes() == whole[i].tobytes(), (hidden, i)
            assert net.predict(X[i : i + 1]).tobytes() == whole[i].tobytes(), (hidden, i)


@dtypes
def test_trace_and_predict_agree_bit_for_bit(dtype):
    for hidden, output in itertools.product(HIDDEN, ("identity", "softmax", "sigmoid")):
        net = fcnn.Network((4, 37, 5), hidden, output, "squared_error", dtype)
        X = inputs(45, dtype)
        assert net.trace(X, np.ones((45, 5))).a[-1].tobytes() == net.predict(X).tobytes()


# --- The checks themselves ------------------------------------------------------------------------


def test_the_table_of_pairs_is_the_documented_one():
    assert {k: sorted(v) for k, v in _validation.OUTPUT_ACTIVATIONS.items()} == {
        k: sorted(v) for k, v in VALID.items()
    }
    for loss in VALID:
        assert loss in fcnn.Network.__doc__
    for name in OUTPUT:
        assert name in fcnn.Network.__doc__


@pytest.mark.parametrize("mode", ["json", None, 1])
def test_show_config_refuses(mode):
    with pytest.raises(ValueError, match=r"^mode: expected 'stdout' or 'dicts', got "):
        fcnn.show_config(mode)
