"""predict: arrays of other types and layouts, and lists, become the network's numbers in the core.

NumPy's own casts are the truth: the same bits, the same refusals, and no Python in between.
"""

import sys

import numpy as np
import pytest

import fcnn

from .helpers import as_bits, dtypes, network, read_only, unaligned, unchanged

TYPES = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "longlong", "ulonglong", "?"]
# Of 4 inputs: on the stack, in a workspace, and row by row or by panels.
ROWS = [1, 2, 3, 4, 17, 600]


def values(rows, kind, n=4):
    """Return (rows, n) numbers of a type, its least and its largest among them."""
    kind, random = np.dtype(kind), np.random.default_rng(rows)
    if kind.kind == "f":
        return random.normal(size=(rows, n)).astype(kind)
    if kind.kind == "b":
        return random.random((rows, n)) < 0.5
    info = np.iinfo(kind)
    X = random.integers(info.min, info.max, (rows, n), kind, endpoint=True)
    X.flat[0], X.flat[1] = info.min, info.max
    # What float32 rounds, to either side.
    X.flat[2], X.flat[3] = info.max // 2 + 1, info.max // 3
    return X


def spread(X):
    wide = np.zeros([3 * n for n in X.shape], X.dtype)
    wide[tuple(slice(None, None, 3) for _ in X.shape)] = X
    return wide[tuple(slice(None, None, 3) for _ in X.shape)]


def of_records(X):
    """Return a field of a structured array: rows whose distance is no multiple of an entry's."""
    records = np.zeros(len(X), np.dtype([("x", X.dtype, X.shape[1:]), ("n", "u1")], align=False))
    records["x"] = X
    return records["x"]


LAYOUTS = {
    "contiguous": lambda X: X,
    "Fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "spread": spread,
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda X: read_only(X.copy()),
    "columns of more": lambda X: np.hstack([X, X])[:, : X.shape[1]],
    "one row many times": lambda X: np.broadcast_to(X[:1], X.shape),
}


def entered(call):
    """Return what a call returns, and whether it entered Python."""
    seen = []

    def look(frame, event, _):
        if event == "call":
            seen.append(frame.f_code.co_name)

    sys.setprofile(look)
    try:
        answer = call()
    finally:
        sys.setprofile(None)
    return answer, seen[1:]


@dtypes
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_have_the_bits_of_numpys_cast(kind, layout, dtype):
    net = network(dtype=dtype)
    for rows in ROWS:
        X = LAYOUTS[layout](values(rows, kind))
        cast = np.ascontiguousarray(X).astype(dtype)
        expected = net.predict(cast)
        answer, seen = entered(lambda X=X: net.predict(X))
        assert answer.tobytes() == expected.tobytes(), rows
        assert answer.dtype == dtype
        assert seen == []
        out = np.empty_like(expected)
        assert net.predict(X, out) is out
        assert out.tobytes() == expected.tobytes()
        # A row alone: of one dimension, whatever its stride.
        for i in {0, rows - 1}:
            assert net.predict(X[i]).tobytes() == expected[i].tobytes()
            assert net.predict(X[i : i + 1]).tobytes() == expected[i].tobytes()


@dtypes
@pytest.mark.parametrize("kind", ["f4", "f8", "i2"])
def test_rows_of_records(kind, dtype):
    net = network(dtype=dtype)
    X = of_records(values(9, kind))
    expected = net.predict(np.array(X, dtype))
    assert net.predict(X).tobytes() == expected.tobytes()
    aligned = np.zeros(9, np.dtype([("x", kind, 4), ("n", "f8")], align=True))
    aligned["x"] = X
    answer, seen = entered(lambda: net.predict(aligned["x"]))
    assert answer.tobytes() == expected.tobytes()
    assert seen == []


@dtypes
def test_truth_values_of_any_bits(dtype):
    net = network(dtype=dtype)
    X = np.array([[0, 1, 2, 255]], np.uint8).view(bool)
    assert as_bits(net.predict(X)) == as_bits(net.predict(np.array([[0, 1, 1, 1]], dtype)))
    assert as_bits(net.predict(X[0])) == as_bits(net.predict(np.array([0, 1, 1, 1], dtype)))


@dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
def test_special_numbers(layout, dtype):
    net = network(dtype=dtype, activation="relu")
    X = values(20, "f8")
    X.flat[::7] = [np.nan, np.inf, -np.inf, -0.0, 1e-320, -1e-46, 2.0**-149 * 1.5, 1e-40, 5e-324,
                   1e-38, -1e-30, 0.1]  # fmt: skip
    X = LAYOUTS[layout](X)
    with np.errstate(all="ignore"):
        expected = net.predict(np.ascontiguousarray(X).astype(dtype))
    np.testing.assert_array_equal(net.predict(X), expected)


LARGEST = float(np.finfo(np.float32).max)
# Half a unit above it: what is less is rounded to it.
BOUND = float.fromhex("0x1.ffffffp127")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 3, 40, 5000])
def test_overflow_is_refused(layout, rows):
    net = network(activation="relu")
    for value, fits in (
        (LARGEST, True), (-LARGEST, True), (np.nextafter(BOUND, 0), True), (BOUND, False),
        (-BOUND, False), (-np.nextafter(BOUND, 0), True), (1e39, False), (1.7e308, False),
        (np.inf, True), (-np.inf, True), (np.nan, True),
    ):  # fmt: skip
        for place in {0, 2, 4 * rows - 1}:
            X = values(rows, "f8")
            X.flat[place] = value
            X = LAYOUTS[layout](X)
            if fits or value not in X:
                net.predict(X)
                continue
            out = np.full((rows, 3), 7, np.float32)
            with (
                unchanged(net, X, out),
                pytest.raises(ValueError, match=r"^X: holds numbers too large for float32"),
            ):
                net.predict(X, out)
    assert np.isfinite(network(dtype="float64").predict(np.full((2, 4), 1e39))).all()


@dtypes
@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "f2", "O", "g"])
def test_what_the_core_does_not_read_is_converted_elsewhere(kind, dtype):
    net = network(dtype=dtype)
    plain = np.random.default_rng(0).integers(-9, 9, (10, 4)).astype(kind)
    expected = net.predict(plain.astype(dtype)).tobytes()
    odd = [plain]
    if kind != "O":
        other = unaligned(plain.shape, plain.dtype)
        other[...] = plain
        odd += [plain.astype(plain.dtype.newbyteorder()), other, plain.view(np.memmap)]
    for X in odd:
        assert net.predict(X).tobytes() == expected
        assert net.predict(X[::-1]).tobytes() == net.predict(plain[::-1].astype(dtype)).tobytes()


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((10, 4), "m8[s]"), np.zeros((10, 4), "M8[s]"), np.zeros((10, 4), complex),
        np.zeros((10, 3)), np.zeros((0, 4)), np.zeros((2, 2, 4)), np.zeros(3), np.zeros(()),
        np.zeros((4, 10)), np.broadcast_to(np.int8(1), (2**40, 3)),
    ],
    ids=lambda X: f"{X.dtype} {X.shape}",
)  # fmt: skip
def test_what_is_wrong_is_refused_as_before(X):
    net = network()
    with pytest.raises((ValueError, TypeError), match=r"^X: "):
        net.predict(X)


def test_more_rows_than_any_memory_holds():
    with pytest.raises((MemoryError, ValueError)):
        network().predict(np.broadcast_to(np.int8(1), (2**60, 4)))


@dtypes
@pytest.mark.parametrize("shift", [0, 1, 3, 8, 40, 79])
def test_out_may_overlap_what_is_converted(shift, dtype):
    """X strided, or of the other type, in the memory of out."""
    net = fcnn.Network((4, 9, 4), "tanh", loss="squared_error", dtype=dtype)
    values_of = np.random.default_rng(2).normal(size=(10, 4)).astype(dtype)
    expected = net.predict(values_of)
    item = np.dtype(dtype).itemsize
    memory = np.zeros(400, dtype)
    X = memory[:80].reshape(10, 8)[:, ::2]
    X[:] = values_of
    out = memory[shift : shift + 40].reshape(10, 4)
    assert net.predict(X, out).tobytes() == expected.tobytes()
    other = np.dtype("f8" if item == 4 else "f4")
    memory = np.zeros(1000, np.uint8)
    X = memory[: 40 * other.itemsize].view(other).reshape(10, 4)
    X[:] = values_of
    expected = net.predict(X.astype(dtype))
    out = memory[shift * 8 : shift * 8 + 40 * item]
    if out.size == 40 * item:
        out = out.view(dtype).reshape(10, 4)
        assert net.predict(X, out).tobytes() == expected.tobytes()


@dtypes
def test_many_rows_are_converted_in_parts(dtype):
    """More than are converted at a time, and `out` in their midst: then all of them first."""
    n, rows = 2500, 2000
    net = fcnn.Network((n, 3), loss="squared_error", dtype=dtype)
    X = np.random.default_rng(0).integers(-100, 100, (rows, n), np.int8)
    expected = net.predict(X.astype(dtype))
    assert net.predict(X).tobytes() == expected.tobytes()
    assert net.predict(X[::-1, ::-1]).tobytes() == net.predict(
        X[::-1, ::-1].astype(dtype)).tobytes()  # fmt: skip
    size = rows * 3 * np.dtype(dtype).itemsize
    for begin in (0, X.size // 2, X.size - size):  # of the last rows, which are read last
        bits = X.copy()
        out = bits.reshape(-1)[begin : begin + size].view(dtype).reshape(rows, 3)
        assert net.predict(bits, out).tobytes() == expected.tobytes()
    wrong = np.ones((rows, n))
    wrong[-1, -1] = 1e39
    if dtype == "float32":
        out = np.full((rows, 3), 7, dtype)
        with pytest.raises(ValueError, match="too large"):
            net.predict(wrong, out)
        assert (out == 7).all()


# --- Lists ----------------------------------------------------------------------------------------


LISTS = [
    [0.5, -1.0, 2.0, 3.25],
    (0.5, -1.0, 2.0, 3.25),
    [1, 2, 3, 4],
    [1, 2.5, -3, 4],
    [0.1, 1e-46, -1e-320, 1e38],
    [float("nan"), float("inf"), -float("inf"), 0.0],
    [2**53, -(2**53), 2**24 + 1, 1],
    [2**53 + 1, 1, 2, 3],
    [2**53 + 1, 1, 2, 3.0],
    [2**63, 1, 2, 3],
    [-(2**63), 1, 2, 3],
    [10**30, 1.0, 2.0, 3.0],
    [True, 1.0, 2.0, 3.0],
    [True, 0, 2, 3],
    [np.float64(0.1), 1.0, 2.0, 3.0],
    [np.float32(0.1), 1.0, 2.0, 3.0],
    [np.int64(5), 1, 2, 3],
]


@dtypes
@pytest.mark.parametrize("row", LISTS, ids=str)
def test_lists_have_the_bits_of_numpys_arrays(row, dtype):
    net = network(dtype=dtype, activation="relu")
    forms = [row, [row], (row,), [row, row], [tuple(row), list(row)] * 20, [row] * 3000]
    for X in forms:
        with np.errstate(all="ignore"):
            array = np.asarray(X)
            if array.dtype == object:
                array = array.astype(float)
            expected = net.predict(array.astype(dtype))
        answer, seen = entered(lambda X=X: net.predict(X))
        np.testing.assert_array_equal(answer, expected)
        assert answer.shape == expected.shape
        plain = all(type(v) in (int, float) and not abs(v) > 2**53 for v in row)
        plain |= all(type(v) is float for v in row)
        assert (seen == []) == plain, row


@pytest.mark.parametrize(
    "X",
    [
        [], [[]], [1.0, 2.0, 3.0], [[1.0, 2.0, 3.0, 4.0], [1.0]], [[1.0] * 4, 5.0], [1.0] * 5,
        [[1.0] * 4, "abcd"], [1.0, 2.0, 3.0, "4"], [1.0, 2.0, 3.0, None, 5.0], [[[1.0] * 4]],
        [1e39, 0.0, 0.0, 0.0], [[0.0] * 4, [0.0, 0.0, 0.0, -1e39]], [10**400, 1, 2, 3],
        [1j, 1.0, 2.0, 3.0], [10**39, 1, 2, 3], [2**64, 1, 2, 3], [b"a", 1.0, 2.0, 3.0],
        [[1.0] * 4, [1.0] * 3 + [""]],
    ],
    ids=str,
)  # fmt: skip
def test_lists_are_refused_as_before(X):
    net, out = network(), np.full((2, 3), 7, np.float32)
    with unchanged(net, out), pytest.raises((ValueError, TypeError), match=r"^X: "):
        net.predict(X, out)


def test_missing_entries_of_a_list_are_nan():
    net = network()
    X = [1.0, None, 2.0, 3.0]
    np.testing.assert_array_equal(net.predict(X), net.predict(np.array([1, np.nan, 2, 3], "f")))


def test_the_answer_of_a_list_goes_to_out():
    net = network()
    out = np.empty((2, 3), np.float32)
    X = [[1.0, 2.0, 3.0, 4.0], [0, 0, 0, 1]]
    assert net.predict(X, out) is out
    assert out.tobytes() == net.predict(np.array(X, "f")).tobytes()
    with pytest.raises(ValueError, match=r"^out: .*\(2, 3\), got float32 of shape \(3,\)"):
        net.predict(X, out[0])


# --- Derivatives ----------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("kind", TYPES)
def test_derivatives_of_converted_inputs(kind, dtype):
    net = network(dtype=dtype)
    X = spread(values(6, kind))
    cast = np.ascontiguousarray(X).astype(dtype)
    v, u = np.ones((6, 3), dtype), np.ones((6, 4), dtype)
    for name, more in (("jacobian", ()), ("vjp", (v,)), ("jvp", (u,)), ("hvp", (v, u))):
        call = getattr(net, name)
        answer, seen = entered(lambda X=X, call=call, more=more: call(X, *more))
        assert as_bits(answer) == as_bits(call(cast, *more))
        assert seen == []
    assert as_bits(net.hessian(X, 1)) == as_bits(net.hessian(cast, 1))
    if dtype == "float32":
        with pytest.raises(ValueError, match=r"^X: .*too large"):
            net.jacobian(np.full(4, 1e39))
