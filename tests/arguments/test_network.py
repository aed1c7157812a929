"""Network(): sizes, activation, loss, dtype, init and rng."""

import copy
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

import fcnn
from fcnn import _validation
from fcnn.initializers import INITIALIZERS, initial_weights

from .helpers import EACH, HIDDEN, ISSUED, OUTPUT, VALID, inputs, labels, network, unchanged


def read_once(values):
    """Return a parameter of a test: an iterator, which one thread alone can read."""
    mark = pytest.mark.thread_unsafe(reason="an iterator is read once")
    return pytest.param(iter(values), marks=mark)


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
        ({"loss": "rmse"}, ValueError, ["loss: expected", *VALID, "got 'rmse'"]),
        ({"loss": ""}, ValueError, ["loss: expected", "got ''"]),
        ({"loss": None}, TypeError, ["loss: expected", *VALID, "got None"]),
        ({"loss": ["huber"]}, TypeError, ["loss: expected", "got ['huber']"]),
        ({"activation": "swish"}, ValueError, ["activation: expected", *HIDDEN, "got 'swish'"]),
        ({"activation": "relux"}, ValueError, ["activation: expected", "did you mean 'relu'?"]),
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


@pytest.mark.slow
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
    ("loss", "output"), list(itertools.product(VALID, (*OUTPUT, "ascending"))), ids=lambda v: v
)
def test_loss_and_output_pairs(loss, output):
    n_out = 3 * EACH.get(loss, 1)
    if output in VALID[loss]:
        net = fcnn.Network((4, 6, n_out), output_activation=output, loss=loss)
        assert net.activations == ("relu", output)
        loss_value, gradient = net.gradients(inputs(), np.eye(3)[labels()])
        assert np.isfinite(loss_value)
        assert np.isfinite(gradient).all()
        return
    with pytest.raises(ValueError, match=f"^output_activation: '{output}'") as caught:
        fcnn.Network((4, 6, n_out), output_activation=output, loss=loss)
    message = str(caught.value)
    assert repr(loss) in message
    named = message.split("valid: ")[1]
    assert sorted(re.split(", | or ", named)) == sorted(VALID[loss])


def test_the_natural_output_activations():
    natural = {
        "squared_error": "identity", "absolute_error": "identity", "huber": "identity",
        "poisson": "exp", "binary_cross_entropy": "sigmoid", "cross_entropy": "softmax",
        "gaussian_nll": "identity", "quantile": "ascending",
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


# --- init and rng ---------------------------------------------------------------------------------


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


def test_the_table_of_pairs_is_the_documented_one():
    assert {k: sorted(v) for k, v in _validation.OUTPUT_ACTIVATIONS.items()} == {
        k: sorted(v) for k, v in VALID.items()
    }
    for loss in VALID:
        assert loss in fcnn.Network.__doc__
    for name in (*OUTPUT, "ascending"):
        assert name in fcnn.Network.__doc__
