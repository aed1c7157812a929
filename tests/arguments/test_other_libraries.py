"""X, y and sample_weight of pandas, polars, PyTorch, JAX and of what else holds numbers."""

import copy
import datetime
import subprocess
import sys
from importlib import util

import numpy as np
import pytest

import fcnn
from fcnn import _validation
from fcnn.tables.conversion import as_table

from .helpers import (
    DLPack,
    Framelike,
    Interface,
    calls,
    dtypes,
    everything,
    inputs,
    labels,
    network,
    refused,
)


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


def columns_of(*kinds):
    """Return a maker of frames whose columns take turns with some types."""

    def make(a):
        pandas = pytest.importorskip("pandas")
        if any("pyarrow" in kind for kind in kinds):
            pytest.importorskip("pyarrow")
        frame = pandas.DataFrame(a, columns=list("abcd")[: a.shape[1]])
        return frame.astype(dict(zip(frame.columns, kinds * 4, strict=False)))

    return make


OTHERS = {
    "pandas": pandas_of(""),
    "pandas, with missing values": pandas_of("Float{}"),
    "pandas, Arrow": pandas_of("float{}[pyarrow]"),
    "polars": polars_of,
    "PyTorch": torch_of,
}


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("kinds", "as_type"),
    [
        (("Float64", "float64"), "f8"), (("Float32", "Int64"), "f8"), (("Int8", "UInt32"), "i8"),
        (("int64[pyarrow]", "Int16"), "i8"), (("float[pyarrow]", "double[pyarrow]"), "f8"),
        (("boolean", "Int64"), "i8"), (("bool", "float64"), "f8"), (("bool", "Float32"), "f8"),
        (("bool[pyarrow]",), "i8"), (("uint8[pyarrow]", "float64"), "f8"), (("UInt64",), "i8"),
        (("Float64", "category"), "f8"), (("Float64", "object"), "f8"),
    ],
    ids=str,
)  # fmt: skip
@dtypes
def test_columns_of_several_types(kinds, as_type, dtype):
    X = np.random.default_rng(0).integers(0, 2, (7, 4)).astype(float)
    frame = columns_of(*kinds)(X)
    expected = network(dtype=dtype).predict(X)
    assert network(dtype=dtype).predict(frame).tobytes() == expected.tobytes()
    array = _validation.as_numeric("X", frame)
    assert array.dtype == as_type
    assert array.tolist() == X.tolist()


@pytest.mark.parametrize("kinds", [("Float64",), ("Int64",), ("double[pyarrow]", "int64[pyarrow]")])
def test_a_block_is_converted_as_one(kinds, monkeypatch):
    X = np.arange(40.0).reshape(10, 4)
    frame, expected = columns_of(*kinds)(X), network().predict(X)
    monkeypatch.setattr(_validation, "_from_objects", None)  # one by one
    assert network().predict(frame).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("kinds", "value"),
    [(("Float64",), None), (("Int64",), None), (("double[pyarrow]",), None),
     (("int64[pyarrow]", "float64"), None), (("boolean", "Int8"), None)],
    ids=str,
)  # fmt: skip
def test_missing_values_in_columns_of_several_types(kinds, value):
    frame = columns_of(*kinds)(np.ones((5, 4)))
    frame.iloc[3, 2] = value
    with pytest.raises(TypeError, match=r"^X: expected numbers, got <NA> at \[3, 2\]"):
        network().predict(frame)


def test_integers_that_int64_does_not_hold():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: pandas.array([2**63 + 2**40, 1], "UInt64") for name in "abcd"})
    with pytest.raises(ValueError, match=r"^X: holds numbers too large"):
        network().predict(frame)
    frame = pandas.DataFrame({name: pandas.array([2**62 + 1, 1], "Int64") for name in "abcd"})
    expected = network().predict(np.full((2, 4), [[2**62 + 1], [1]]))
    assert network().predict(frame).tobytes() == expected.tobytes()


def lazy_frame():
    return pytest.importorskip("polars").from_numpy(inputs(), list("abcd")).lazy()


def in_duckdb(of):
    """A relation, or a connection that has executed a query."""
    columns = ", ".join("abcd")
    rows = ", ".join(str(tuple(row)) for row in inputs().tolist())
    text = f"select {columns} from (values {rows}) t({columns})"
    return of(pytest.importorskip("duckdb").connect(), text)


def arrow(make):
    """What of Arrow's is read piece by piece, of a table and its module for such."""
    dataset, pyarrow = pytest.importorskip("pyarrow.dataset"), pytest.importorskip("pyarrow")
    return make(pyarrow.table(dict(zip("abcd", inputs().T, strict=True))), dataset)


QUERIES = {
    "LazyFrame": (lazy_frame, ["collect"]),
    "DuckDBPyRelation": (
        lambda: in_duckdb(lambda c, text: c.sql(text)), ["df", "pl", "to_arrow_table"]
    ),
    "DuckDBPyConnection": (lambda: in_duckdb(lambda c, text: c.execute(text)), ["df"]),
    "RecordBatchReader": (lambda: arrow(lambda t, _: t.to_reader()), ["read_all"]),
    "InMemoryDataset": (lambda: arrow(lambda t, dataset: dataset.dataset(t)), ["to_table"]),
    "Scanner": (lambda: arrow(lambda t, dataset: dataset.dataset(t).scanner()), ["to_table"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind, (_, ways) in QUERIES.items() for way in ways]
)
def test_what_queries_are_said_to_become_is_a_table(kind, way):
    for module in ("pandas", "pyarrow"):
        pytest.importorskip(module)
    query, expected = QUERIES[kind][0](), network().predict(inputs())
    with pytest.raises(TypeError, match=rf"expected a table, got a {kind}; .*\.{way}\(\)"):
        network().predict(query)
    np.testing.assert_allclose(network().predict(getattr(query, way)()), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["LazyFrame", "DuckDBPyRelation"])
def test_queries_say_how_to_make_a_table(kind):
    query, message = QUERIES[kind][0](), rf"expected a table, got a {kind}; \."
    refused(network(), query, labels(), TypeError, "X: ", [f"got a {kind}; "])
    with pytest.raises(TypeError, match=f"^X: {message}"):
        network().predict(query)
    with pytest.raises(TypeError, match=f"^y: {message}"):
        network().evaluate(inputs(), query)
    with pytest.raises(TypeError, match=f"^X: {message}"):
        as_table(query)


def lists_of_polars(a):
    polars = pytest.importorskip("polars")
    return polars.DataFrame({"e": polars.Series(a), "n": range(len(a))}), lambda t: t["e"].to_list()


def lists_of_arrow(a):
    return lists_of_polars(a)[0].to_arrow(), lambda t: t["e"].to_pylist()


def lists_of_pandas(a):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = lists_of_arrow(a)[0].to_pandas(types_mapper=pandas.ArrowDtype)
    return frame, lambda t: t["e"].to_list()


@pytest.mark.parametrize("make", [lists_of_polars, lists_of_arrow, lists_of_pandas])
def test_columns_of_lists_say_what_to_do(make):
    """What Arrow calls FixedSizeList: embeddings beside other columns."""
    pytest.importorskip("pyarrow")
    frame, entries = make(inputs(dtype="float32"))
    for X in (frame, frame[["e"]] if make is lists_of_pandas else frame.select(["e"])):
        with pytest.raises(TypeError, match=r"^X: .* at \[0, 0\]; numpy.stack\(column.to_list"):
            network().predict(X)
    with pytest.raises(TypeError, match=r"^X: column 'e': .* make a column for each entry"):
        as_table(frame)
    # What the message says:
    expected = network().predict(inputs(dtype="float32"))
    assert network().predict(np.stack(entries(frame))).tobytes() == expected.tobytes()


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


def times_of_polars():
    polars = pytest.importorskip("polars")
    day = datetime.date(2020, 1, 2)
    return {
        "Date": polars.Series([day]),
        "Datetime": polars.Series([datetime.datetime(2020, 1, 2)], dtype=polars.Datetime("ms")),
        "Time": polars.Series([datetime.time(1)]),
        "Duration": polars.Series([datetime.timedelta(1)]),
    }


@pytest.mark.parametrize("kind", ["Date", "Datetime", "Time", "Duration"])
def test_times_among_polars_numbers_are_refused(kind):
    """Its own to_numpy makes numbers of them, in the unit of the column."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"t": times_of_polars()[kind], "a": [1], "b": [2], "c": [3]})
    with pytest.raises(TypeError, match=rf"^X: expected real numbers, got column 't' of {kind}"):
        network().predict(frame)
    with pytest.raises(TypeError, match=rf"^X: expected real numbers, got column 't' of {kind}"):
        network().fit(frame, [0])
    with pytest.raises(TypeError, match=rf"^y: expected real numbers, got column 't' of {kind}"):
        network().evaluate(np.zeros((1, 4)), frame[["t", "a", "b"]])


@pytest.mark.parametrize("kind", ["Int128", "UInt128"])
def test_integers_that_numpy_does_not_have(kind):
    polars = pytest.importorskip("polars")
    if not hasattr(polars, kind):
        pytest.skip(f"this polars has no {kind}")
    wide = polars.Series("t", [0, 1], dtype=getattr(polars, kind))
    frame = polars.DataFrame([wide, *(polars.Series(c, [1.0, 2.0]) for c in "abc")])
    with pytest.raises(TypeError, match=rf"^X: expected real numbers, got column 't' of {kind}"):
        network().predict(frame)
    with pytest.raises(TypeError, match=rf"^y: expected real numbers, got column 't' of {kind}"):
        network().fit(frame.drop("t").with_columns(d=1), wide)
    table = fcnn.tables.as_table(frame.with_columns(n=polars.Series([None, 2], dtype=wide.dtype)))
    np.testing.assert_array_equal(table["t"].values, [0, 1])
    assert table["n"].is_missing().tolist() == [True, False]


def frame_of(library, columns):
    module = pytest.importorskip(library)
    return (module.table if library == "pyarrow" else module.DataFrame)(columns)


CALLS = {
    "predict": lambda net, X, y: net.predict(X),
    "evaluate": lambda net, X, y: net.evaluate(X, y),
    "gradients": lambda net, X, y: net.gradients(X, y),
    "trace": lambda net, X, y: net.trace(X, y),
    "jacobian": lambda net, X, y: net.jacobian(X),
    "train_step": lambda net, X, y: net.train_step(X, y, fcnn.SGD(0.1)),
    "fit": lambda net, X, y: net.fit(X, y, epochs=1),
    "validation": lambda net, X, y: net.fit(np.zeros((2, 4)), y, epochs=1, validation=(X, y)),
    "batches": lambda net, X, y: net.fit(lambda: iter([(X, y)]), epochs=1),
    "Sobolev": lambda net, X, y: net.fit(
        X, y, epochs=1, jacobian_targets=np.zeros((2, 3, 4)), jacobian_weight=1.0
    ),
    "Ensemble": lambda net, X, y: fcnn.Ensemble([net, copy.copy(net)]).predict(X),
}


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("call", CALLS)
def test_a_frame_has_the_features_of_the_network(library, call):
    net, y = network(), np.array([0, 1])
    net.features = ["a", "b", "c", "d"]
    columns = {name: np.array([i, 2.0]) for i, name in enumerate("abcd")}
    CALLS[call](net, frame_of(library, columns), y)
    for names, said in (
        ("abdc", "their order is another"), ("abce", "'d' is missing"), ("abcde", "'e' is none"),
    ):  # fmt: skip
        wrong = frame_of(library, {name: columns.get(name, columns["d"]) for name in names})
        parameters = net.parameters.copy()
        with pytest.raises(ValueError, match=rf"features as columns.*'a', 'b', 'c', 'd'; {said}"):
            CALLS[call](net, wrong, y)
        assert net.parameters.tobytes() == parameters.tobytes()


def test_names_that_are_no_text_are_no_features():
    pandas = pytest.importorskip("pandas")
    net = network()
    net.features = ["a", "b", "c", "d"]
    net.predict(pandas.DataFrame(np.zeros((2, 4))))
