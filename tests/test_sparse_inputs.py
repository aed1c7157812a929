"""Inputs that are mostly zero: the same bits by lists of the nonzero entries as by panels."""

import itertools

import numpy as np
import pytest
from conftest import in_a_last_page

import fcnn
from fcnn._dispatch import core
from fcnn._validation import StepOptions

pytestmark = pytest.mark.usefixtures("general_way")

DTYPES = ["float32", "float64"]
OPTIMIZERS = {
    "sgd": lambda: fcnn.SGD(0.05),
    "sgd_decay": lambda: fcnn.SGD(0.05, weight_decay=0.01),
    "momentum": lambda: fcnn.SGD(0.05, momentum=0.9),
    "nesterov": lambda: fcnn.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: fcnn.Adam(0.01),
    "adamw": lambda: fcnn.AdamW(0.01, weight_decay=0.1),
}
LOSSES = ["squared_error", "absolute_error", "huber", "poisson", "binary_cross_entropy",
          "cross_entropy"]  # fmt: skip


@pytest.fixture(autouse=True)
def restore():
    yield
    core.force_lists(-1)


def sparse_rows(rows, n_in, dtype, density=0.2, seed=0):
    """Rows with zeros of both signs, columns and rows of zeros alone, and some full ones."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, n_in))
    X[rng.random(X.shape) > density] = 0
    X[rng.random(X.shape) > 0.9] *= -0.0
    X[:, rng.random(n_in) > 0.8] = 0
    X[:: max(rows // 3, 1)] = 0
    X[1 :: max(rows // 4, 2)] = rng.normal(size=n_in)
    return X.astype(dtype)


def targets(rows, n_out, loss, dtype, seed=1):
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        return rng.integers(0, n_out, rows)
    if loss == "binary_cross_entropy":
        return rng.integers(0, 2, (rows, n_out)).astype(dtype)
    return rng.random((rows, n_out)).astype(dtype)


def by_both(function):
    """Return what a function gives without lists, and with them."""
    answers = []
    for force in (0, 1):
        core.force_lists(force)
        answers.append(function())
    core.force_lists(-1)
    return answers


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def trained(sizes, X, y, dtype, loss, optimizer, batch, *, threads=1, order=None, weight=None,
            options=None, epochs=2):  # fmt: skip
    """Return losses, parameters and the optimizer's state after some epochs."""
    net = fcnn.Network(sizes, loss=loss, dtype=dtype, rng=0, activation="tanh")
    rule = OPTIMIZERS[optimizer]()
    curves = [
        net._train_epoch(X, y, rule, batch, order, weight, threads, options, seed=7)
        for _ in range(epochs)
    ]
    return [np.array(curves), net.parameters.copy(), *(v.copy() for v in rule.state(net))]


# Widths of layer 1 about whole panels and groups of them, and inputs about a block of 256 terms.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 7, 8, 15, 17, 64, 100, 130])
@pytest.mark.parametrize("n_in", [1, 40, 255, 256, 257, 600])
@pytest.mark.parametrize("batch", [1, 33])
def test_widths(n_in, width, batch, dtype):
    X = sparse_rows(70, n_in, dtype)
    y = targets(70, 3, "cross_entropy", dtype)
    assert_equal(*by_both(lambda: trained(
        (n_in, width, 3), X, y, dtype, "cross_entropy", "sgd", batch)))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [1, 2, 3, 16, 33, 300])
@pytest.mark.parametrize("sizes", [(90, 5), (90, 20, 5), (90, 40, 17, 5)])
def test_rules_and_batches(sizes, batch, optimizer, dtype):
    X = sparse_rows(310, 90, dtype)
    y = targets(310, 5, "cross_entropy", dtype)
    order = np.random.default_rng(3).permutation(310)
    weight = np.random.default_rng(4).random(310).astype(dtype)
    assert_equal(*by_both(lambda: trained(
        sizes, X, y, dtype, "cross_entropy", optimizer, batch, order=order,
        weight=weight)))  # fmt: skip


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_losses(layers, loss, batch):
    sizes = (50, *(24, 9)[: layers - 1], 4)
    X, y = sparse_rows(50, 50, "float32"), targets(50, 4, loss, "float32")
    assert_equal(*by_both(lambda: trained(sizes, X, y, "float32", loss, "adam", batch)))


@pytest.mark.parametrize("options", [
    {"l1": 0.01}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.02, "penalty_per_sample": True},
    {"clip_norm": 0.1}, {"dropout": (0, 0.3)}, {"dropout": (0.2, 0.3)}, {"label_smoothing": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [1, 3, 32])
def test_options(options, optimizer, batch):
    X, y = sparse_rows(65, 70, "float32"), targets(65, 4, "cross_entropy", "float32")
    assert_equal(*by_both(lambda: trained(
        (70, 20, 4), X, y, "float32", "cross_entropy", optimizer, batch,
        options=StepOptions(**options))))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [1, 3, 64, 300])
def test_threads(batch, optimizer):
    X, y = sparse_rows(300, 500, "float32"), targets(300, 4, "cross_entropy", "float32")
    core.force_lists(0)
    expected = trained((500, 70, 4), X, y, "float32", "cross_entropy", optimizer, batch)
    core.force_lists(1)
    for threads in (1, 2, 3):
        assert_equal(expected, trained((500, 70, 4), X, y, "float32", "cross_entropy", optimizer,
                                       batch, threads=threads))  # fmt: skip


# In panels: each thread has nodes of layer 1, where there are enough of them for all, or samples.
@pytest.mark.parametrize("width", [40, 120, 410])
@pytest.mark.parametrize("options", [{}, {"l2": 0.02}, {"l1": 0.01}, {"dropout": (0, 0.3)},
                                     {"trainable": (0.0, 1.0, 1.0, 0.5)}])  # fmt: skip
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_threads_of_many_steps(optimizer, options, width):
    X, y = sparse_rows(190, 130, "float32"), targets(190, 4, "cross_entropy", "float32")
    order = np.random.default_rng(3).permutation(190)

    def after(threads, listed):
        core.force_lists(listed)
        return trained((130, width, 4), X, y, "float32", "cross_entropy", optimizer, 20,
                       order=order, threads=threads, options=StepOptions(**options))  # fmt: skip

    expected = after(1, 0)
    for threads in (1, 2, 3, 4):
        assert_equal(expected, after(threads, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(300, 5), (300, 33, 5), (40, 130, 20, 5)])
@pytest.mark.parametrize("rows", [1, 2, 3, 17, 257, 300])
def test_outputs_and_gradients(rows, sizes, dtype):
    X, y = sparse_rows(rows, sizes[0], dtype), targets(rows, 5, "cross_entropy", dtype)
    net = fcnn.Network(sizes, loss="cross_entropy", dtype=dtype, rng=0)
    assert_equal(*by_both(lambda: [
        net.predict(X, n_threads=2), net.predict(X[0]), *net.gradients(X, y),
        *net._loss_and_outputs(X, y),
    ]))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("density", "listed"), [(0.1, 1), (0.9, 0)])
def test_lists_are_for_what_is_mostly_zero(density, listed, dtype):
    """Nobody says so: a look at the data does."""
    X, y = sparse_rows(200, 64, dtype, density), targets(200, 5, "cross_entropy", dtype)
    net = fcnn.Network((64, 33, 5), loss="cross_entropy", dtype=dtype, rng=0)
    core.count_ways(True)
    net.gradients(X, y)
    assert core.count_ways(False)["lists"] == listed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_inputs_flow_through(bad):
    X = sparse_rows(20, 80, "float32")
    X[3, 7] = X[4, 79] = bad
    net = fcnn.Network((80, 33, 5), loss="cross_entropy", rng=0)
    assert_equal(*by_both(lambda: [net.predict(X), net.predict(X[3]), net.predict(X[4])]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_choice_is_by_the_zeros_and_changes_no_bit(dtype):
    for density, n_in in itertools.product((0, 0.05, 0.9), (40, 784)):
        X, y = sparse_rows(64, n_in, dtype, density), targets(64, 5, "cross_entropy", dtype)
        core.force_lists(0)
        expected = trained((n_in, 20, 5), X, y, dtype, "cross_entropy", "sgd", 16)
        core.force_lists(-1)
        assert_equal(expected, trained((n_in, 20, 5), X, y, dtype, "cross_entropy", "sgd", 16))


@pytest.mark.parametrize("batch", [1, 20])
def test_a_step_that_overflows_is_not_made(batch):
    X = sparse_rows(40, 50, "float32") * np.float32(1e25)
    y = targets(40, 3, "squared_error", "float32")

    def diverge():
        net = fcnn.Network((50, 8, 3), activation="identity", loss="squared_error", rng=0)
        before = net.parameters.copy()
        with pytest.raises(fcnn.DivergenceError):
            net._train_epoch(X, y, fcnn.SGD(0.1), batch)
        return [before, net.parameters.copy()]

    assert_equal(*by_both(diverge))


# --- Sparse matrices ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sparse():
    return pytest.importorskip("scipy.sparse")


def shuffled_entries(sparse, X):
    """A CSR matrix with unsorted columns, duplicates, explicit zeros and 64-bit indices."""
    parts = sparse.coo_matrix(X)
    zeros = np.flatnonzero(X.ravel() == 0)[::7]
    rows = np.concatenate([parts.row, parts.row, zeros // X.shape[1]])
    columns = np.concatenate([parts.col, parts.col, zeros % X.shape[1]])
    values = np.concatenate([parts.data / 2, parts.data / 2, np.zeros(len(zeros), X.dtype)])
    order = np.lexsort([-columns, rows])
    begins = np.searchsorted(rows[order], np.arange(len(X) + 1))
    csr = sparse.csr_matrix(X.shape, dtype=X.dtype)
    csr.data, csr.indices, csr.indptr = (
        values[order], columns[order].astype(np.int64), begins.astype(np.int64))  # fmt: skip
    return csr


KINDS = {
    "csr_matrix": lambda sparse, X: sparse.csr_matrix(X),
    "csr_array": lambda sparse, X: sparse.csr_array(X),
    "csc_array": lambda sparse, X: sparse.csc_array(X),
    "coo_matrix": lambda sparse, X: sparse.coo_matrix(X),
    "shuffled": shuffled_entries,
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_takes_a_sparse_matrix(sparse, kind, dtype):
    X, y = sparse_rows(40, 70, dtype), targets(40, 4, "cross_entropy", dtype)
    csr = KINDS[kind](sparse, X)
    before = csr.copy()

    def answers(X):
        net = fcnn.Network((70, 21, 4), loss="cross_entropy", dtype=dtype, rng=0)
        out = np.empty((40, 4), dtype)
        trace = net.trace(X, y)
        found = [net.predict(X), net(X, out), out, *net.gradients(X, y), *trace.z[1:],
                 *trace.dW[1:], *net.evaluate(X, y).values()]  # fmt: skip
        found.append(net.train_step(X, y, fcnn.Adam(), dropout=0.2))
        assert net.check_gradients(X, y).passed
        return [*found, net.parameters.copy()]

    assert_equal(answers(X), answers(csr))
    for name in ("data", "indices", "indptr") if hasattr(csr, "indptr") else ():
        np.testing.assert_array_equal(getattr(csr, name), getattr(before, name))


FITS = {
    "plain": {},
    "alone": {"batch_size": 1},
    "three": {"batch_size": 3, "shuffle": False},
    "all": {"batch_size": None},
    "weighted": {"sample_weight": np.linspace(0, 2, 50), "class_weight": "balanced"},
    "penalty": {"l1": 0.01, "l2": 0.01},
    "clip": {"clip_norm": 0.1},
    "dropout": {"dropout": 0.3},
    "dropout of inputs": {"dropout": (0.2, 0.3), "batch_size": 3},
    "threads": {"n_threads": 2},
    "own loss": {"loss": lambda a, y: (float(((a - np.eye(4)[y]) ** 2).sum()), 2 * a)},
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("arguments", FITS)
def test_fit(sparse, arguments, optimizer):
    X, y = sparse_rows(50, 300, "float32"), targets(50, 4, "cross_entropy", "float32")

    def fitted(X):
        net = fcnn.Network((300, 21, 4), loss="cross_entropy", rng=0)
        history = net.fit(X, y, epochs=3, optimizer=OPTIMIZERS[optimizer](),
                          validation=(X, y) if arguments != "own loss" else None,
                          **FITS[arguments])  # fmt: skip
        return [net.parameters, history.loss, history.validation_loss]

    core.force_lists(0)
    assert_equal(fitted(X), fitted(sparse.csr_array(X)))


def test_batches_of_sparse_matrices(sparse):
    X, y = sparse_rows(50, 30, "float32"), targets(50, 4, "cross_entropy", "float32")
    nets = [fcnn.Network((30, 9, 4), loss="cross_entropy", rng=0) for _ in range(2)]
    for net, kind in zip(nets, (np.asarray, sparse.csr_array), strict=True):
        net.fit([(kind(X[i : i + 10]), y[i : i + 10]) for i in range(0, 50, 10)], epochs=2)
    assert_equal([nets[0].parameters], [nets[1].parameters])


def test_rows_without_entries(sparse):
    X, y = np.zeros((9, 40), np.float32), targets(9, 4, "cross_entropy", "float32")
    nets = [fcnn.Network((40, 9, 4), loss="cross_entropy", rng=0) for _ in range(2)]
    for net, kind in zip(nets, (np.asarray, sparse.csr_array), strict=True):
        net.fit(kind(X), y, epochs=2, batch_size=4)
    assert_equal([nets[0].parameters], [nets[1].parameters])


@pytest.mark.parametrize("method", ["predict", "gradients", "train_step", "fit", "evaluate"])
def test_what_is_wrong_with_a_sparse_matrix_is_said(sparse, method):
    net = fcnn.Network((6, 5, 3), loss="cross_entropy", rng=0)
    before = net.parameters.copy()
    rest = {"predict": (), "train_step": (np.zeros(4, int), fcnn.SGD(0.1))}
    call = getattr(net, method)

    def refused(X, error, words):
        with pytest.raises(error, match=words):
            call(X, *rest.get(method, (np.zeros(X.shape[0], int),)))
        np.testing.assert_array_equal(net.parameters, before)

    refused(sparse.csr_array((4, 5)), ValueError, r"X: expected shape \(samples, 6\), got \(4, 5\)")
    refused(sparse.csr_array((0, 6)), ValueError, "X: expected at least one sample")
    refused(sparse.csr_array(np.full((4, 6), 1j)), TypeError, "X: expected real numbers")
    refused(sparse.csr_array(np.full((4, 6), 1e60)), ValueError, "X: holds numbers too large")
    refused(sparse.coo_array(np.ones(6)), ValueError, "X: expected a sparse matrix of two dim")
    for begins in ([0, 1, 10**6, 3, 4], [0, 1, 2, 3, 10**6], [0, 3, 1, 3, 4], [1, 1, 2, 3, 4]):
        X = sparse.csr_array(np.eye(4, 6))
        X.indptr[:] = begins
        refused(X, ValueError, "X: expected a sparse matrix whose rows are parts of its entries")
    for column in (6, -1):
        X = sparse.csr_array(np.eye(4, 6))
        X.indices[2] = column
        refused(X, ValueError, "X: expected columns of 0 to 5, got ")
    if method in ("train_step", "fit"):
        X = np.eye(4, 6)
        X[2, 5] = np.nan
        refused(
            sparse.csr_matrix(X), ValueError, r"X: expected finite numbers, got nan at \[2, 5\]"
        )


def test_predict_with_out_that_does_not_fit(sparse):
    net = fcnn.Network((6, 5, 3), loss="cross_entropy", rng=0)
    with pytest.raises(ValueError, match="out: expected"):
        net.predict(sparse.csr_array((4, 6)), np.empty((4, 2), np.float32))


def test_the_core_refuses_columns_that_are_not_there(sparse):
    from fcnn._sparse import SparseRows

    net = fcnn.Network((6, 5, 3), loss="cross_entropy", rng=0)
    ones = np.ones(2, np.float32)
    for columns, begins in (([0, 6], [0, 2]), ([-1, 0], [0, 2]), ([1, 0], [0, 2]), ([1, 1], [0, 2]),
                            ([0, 1], [0, 3]), ([0, 1], [-1, 2]), ([0, 1], [0, 2, 1])):  # fmt: skip
        rows = SparseRows(ones, np.array(columns, np.int32), np.array(begins), 6)
        with pytest.raises(ValueError, match="ascending columns"):
            net._outputs(rows)


@pytest.mark.parametrize("index", [slice(2, 7), slice(5, 5), slice(None), np.array([3, 0, 3, 9])])
def test_some_rows(sparse, index):
    from fcnn._validation import as_any_inputs

    X = sparse_rows(10, 20, "float32")
    rows = as_any_inputs("X", sparse.csr_array(X), 20, np.dtype("float32"))
    np.testing.assert_array_equal(rows[index].toarray(), X[index])
    assert len(rows[index]) == len(X[index])


def test_a_training_on_a_sparse_matrix_needs_no_dense_one(sparse):
    import tracemalloc

    X = sparse.random_array((2000, 20_000), density=0.001, format="csr", rng=0, dtype=np.float32)
    y = np.zeros(2000, int)
    net = fcnn.Network((20_000, 2, 2), loss="cross_entropy", rng=0)
    tracemalloc.start()
    try:
        net.fit(X, y, epochs=1, validation=(X, y))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6  # the whole is 160 MB, a block of 256 rows 20 MB


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 37])
def test_nothing_behind_the_arrays_of_a_call_is_read(rows, loss, dtype):
    """By what looks whether they are mostly zero, either."""
    net = fcnn.Network((67, 12, 3), "tanh", loss=loss, dtype=dtype, rng=1)
    for density in (0.05, 1):
        arrays = (sparse_rows(rows, 67, dtype, density), targets(rows, 3, loss, dtype),
                  np.linspace(1, 2, rows).astype(dtype))  # fmt: skip
        answers = []
        for X, y, weight in (arrays, [in_a_last_page(array) for array in arrays]):
            twin, optimizer = net.copy(), fcnn.SGD(0.1)
            twin.train_step(X, y, optimizer, sample_weight=weight)
            twin._train_epoch(X, y, optimizer, 4, None, weight, 2)
            gradient = twin.gradients(X, y, weight)[1]
            answers.append((gradient.tobytes(), twin.predict(X).tobytes(), twin.evaluate(X, y)))
        assert answers[0] == answers[1]
