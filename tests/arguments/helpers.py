"""What the tests of arguments share: small networks and data, and checks that nothing changed."""

import contextlib
import re
import warnings

import numpy as np
import pytest

import fcnn

HIDDEN = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus")
OUTPUT = (*HIDDEN, "softmax", "exp")  # and ascending, of quantile alone
EACH = {"gaussian_nll": 2, "quantile": 3}  # outputs for each target
VALID = {
    "squared_error": OUTPUT,
    "absolute_error": OUTPUT,
    "huber": OUTPUT,
    "poisson": ("exp", "softplus"),
    "binary_cross_entropy": ("sigmoid",),
    "cross_entropy": ("softmax",),
    "gaussian_nll": ("identity",),
    "quantile": ("ascending",),
}
ISSUED = (ValueError, TypeError)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(loss="cross_entropy", n_out=3, dtype="float32", activation="tanh", seed=0):
    """Return a network with 4 inputs, its biases not 0."""
    n_out *= EACH.get(loss, 1)
    net = fcnn.Network((4, 6, n_out), activation, loss=loss, dtype=dtype, rng=seed)
    for b in net.biases:
        b[:] = np.linspace(-0.3, 0.4, len(b))
    return net


def inputs(rows=10, dtype="float64", seed=1):
    """Return inputs (rows, 4)."""
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(dtype)


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
        seen = [frozen(net.parameters), net.rng.bit_generator.state]
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


one_hot = np.eye(3)[labels()]


def read_only(a):
    a.flags.writeable = False
    return a


def unaligned(shape, dtype):
    raw = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    return raw[1:].view(dtype).reshape(shape)


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


def spread(a):
    """Return a copy with other entries in between."""
    wide = np.full([2 * n for n in a.shape], 99, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


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
