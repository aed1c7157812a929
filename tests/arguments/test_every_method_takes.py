"""X, y and sample_weight in odd but good forms: every method makes the same bits of them."""

import numpy as np
import pytest

import fcnn

from .helpers import (
    DLPack,
    Framelike,
    Interface,
    as_bits,
    dtypes,
    everything,
    frozen,
    inputs,
    labels,
    network,
    one_hot,
    read_only,
    spread,
    unaligned,
)


class Subclass(np.ndarray):
    """A subclass whose operators must not be used."""

    def __mul__(self, other):
        raise AssertionError

    __add__ = __sub__ = __getitem__ = __array_ufunc__ = __mul__


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


@dtypes
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f8", "i1", "u8", "?", object])
def test_one_hot_rows_are_labels(kind, dtype):
    net = network(dtype=dtype)
    weight = np.random.default_rng(0).random(10)
    expected = as_bits(net.trace(inputs(), labels(), weight))
    rows = np.eye(3)[labels()].astype(kind)
    assert as_bits(net.trace(inputs(), rows, weight)) == expected
    assert net.evaluate(inputs(), rows, weight) == net.evaluate(inputs(), labels(), weight)
    assert as_bits(net.trace(inputs(), np.asfortranarray(one_hot), weight)) == expected


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
