"""predict: the array `out`, which the caller owns."""

import array

import numpy as np
import pytest

import fcnn

from .helpers import dtypes, inputs, network, read_only, unaligned, unchanged


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


@pytest.mark.parametrize("shape", [(1, 3), (4,), (2,), (), (3, 1)], ids=str)
def test_out_of_one_sample_is_refused(shape):
    net = network()
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
