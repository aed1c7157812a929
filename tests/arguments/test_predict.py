"""predict: its inputs; NaN and infinity; a row alone and in a batch."""

import array
import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest

import fcnn
from fcnn import reference

from .helpers import HIDDEN, OUTPUT, as_bits, bad_x, dtypes, inputs, network, unchanged


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


def test_one_feature_says_how_to_make_samples():
    net = fcnn.Network((1, 3), loss="squared_error")
    with pytest.raises(ValueError, match=r"^X: .*\(5,\); X\[:, None\]"):
        net.predict(np.ones(5))


@dtypes
def test_overflow_of_longdouble_is_refused(dtype):
    if np.finfo(np.longdouble).max <= np.finfo(np.float64).max:
        pytest.skip("longdouble is float64 here")
    X = inputs(dtype=np.longdouble)
    X[0, 0] = np.longdouble(10) ** 400
    with pytest.raises(ValueError, match=f"^X: .*too large.*{dtype}"):
        network(dtype=dtype).predict(X)


def test_a_buffer_of_one_sample():
    net = network()
    expected = net.predict(np.arange(4.0)).tobytes()
    for typecode in "fdbHq":
        assert net.predict(array.array(typecode, range(4))).tobytes() == expected
    assert net.predict(bytearray(range(4))).tobytes() == expected


def test_fractions_and_other_numbers():
    net = network(dtype="float64")
    X = [[Fraction(1, 4), True, np.float32(2), 3]]
    assert as_bits(net.predict(X)) == as_bits(net.predict(np.array([[0.25, 1, 2, 3]])))


# --- NaN and infinity -----------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("hidden", "high", "low"),
    [("sigmoid", 1, 0), ("tanh", 1, -1), ("relu", np.inf, 0), ("leaky_relu", np.inf, -np.inf),
     ("elu", np.inf, -1), ("softplus", np.inf, 0), ("identity", np.inf, -np.inf)],
)  # fmt: skip
def test_the_limits_of_saturating_activations(hidden, high, low):
    net = fcnn.Network((1, 1), output_activation=hidden, loss="squared_error", dtype="float64")
    net.parameters[:] = [1, 0]
    assert net.predict([[np.inf], [-np.inf]]).ravel().tolist() == [high, low]


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
