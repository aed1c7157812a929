"""Derivatives with respect to inputs: against the reference, central differences and PyTorch."""

import functools
import itertools
import math
import signal
import sys
import tracemalloc

import numpy as np
import pytest
from conftest import HIDDEN, TOLERANCE, distance, in_a_last_page
from differentiation import (
    KINKS,
    SIZES,
    differentiated,
    near,
    needs_torch,
    problem,
    public_network,
    torch_function,
)  # fmt: skip

import fcnn
from fcnn._dispatch import core as own_core
from fcnn._validation import ACTIVATIONS


@functools.cache
def second_answers(sizes, hidden, output, dtype, rows):
    """A problem, and the reference's second derivatives; v, the unit vector of the last output."""
    network, X, v, u = problem(sizes, hidden, output, dtype, rows)
    return network, X, v, u, network.hvp(X, v, u), network.hessian(X, sizes[-1] - 1)


@functools.cache
def answers(sizes, hidden, output, dtype, rows):
    """A problem, and the reference's derivatives: once for all builds."""
    network, X, v, u = problem(sizes, hidden, output, dtype, rows)
    return network, X, v, u, network.jacobian(X), network.vjp(X, v), network.jvp(X, u)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_core_equals_reference(core, direction, hidden, output, dtype):
    """Every activation x output activation, both dtypes and ways, one row and many."""
    tolerance = TOLERANCE[dtype]
    for rows in (1, 2, 5):
        network, X, v, u, J, (a, vJ), (_, Ju) = answers(SIZES[0], hidden, output, dtype, rows)
        twin = differentiated(core, network)
        got = twin.jacobian(X)
        assert got.shape == J.shape
        assert got.dtype == dtype
        assert distance(got, J) < tolerance
        for (outputs, product), expected in ((twin.vjp(X, v), vJ), (twin.jvp(X, u), Ju)):
            assert distance(product, expected) < tolerance
            assert distance(outputs, a) < tolerance
            np.testing.assert_array_equal(outputs, twin.predict(X))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_second_derivatives_equal_reference(core, hidden, output, dtype):
    for rows in (1, 2, 5):
        network, X, v, u, Hu, H = second_answers(SIZES[0], hidden, output, dtype, rows)
        twin = differentiated(core, network)
        assert near(twin.hvp(X, v, u), Hu, 5 * TOLERANCE[dtype])
        got = twin.hessian(X, SIZES[0][-1] - 1)
        assert got.shape == H.shape
        assert got.dtype == dtype
        assert near(got, H, 5 * TOLERANCE[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("output", ["tanh", "softmax", "ascending"])
def test_sizes(core, direction, sizes, output, dtype):
    """Odd sizes, more rows than a block has, and sums of several blocks of terms."""
    if output == "softmax" and sizes[-1] == 1:
        output = "exp"
    tolerance = TOLERANCE[dtype]
    network, X, v, u = problem(sizes, "tanh", output, dtype, rows=150)
    twin = differentiated(core, network)
    assert distance(twin.jacobian(X), network.jacobian(X)) < tolerance
    assert distance(twin.vjp(X, v)[1], network.vjp(X, v)[1]) < tolerance
    assert distance(twin.jvp(X, u)[1], network.jvp(X, u)[1]) < tolerance
    assert near(twin.hvp(X, v, u), network.hvp(X, v, u), 5 * tolerance)
    assert near(twin.hessian(X, 0), network.hessian(X, 0), 5 * tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("output", ["tanh", "softmax", "ascending"])
@pytest.mark.parametrize("sizes", [(2, 9), (23, 3), (3, 5, 23), (23, 6, 5, 3), (2, 300, 5)])
def test_jacobians_of_two_registers_of_samples_and_of_one(core, direction, sizes, output, dtype):
    """And of the last few alone; more tangents than go together, and a layer of more terms than a
    block has."""
    network, X, *_ = problem(sizes, "tanh", output, dtype, rows=69)
    twin, J = differentiated(core, network), network.jacobian(X)
    for rows in (69, 41, 7):
        assert distance(twin.jacobian(X[:rows]), J[:rows]) < TOLERANCE[dtype]


@pytest.mark.parametrize("output", ["tanh", "softmax"])
@pytest.mark.parametrize("sizes", [(3, 4, 129), (3, 4, 130), (129, 4, 3), (130, 4, 3), (2, 300)])
def test_units_that_are_left_behind_a_block_of_them(core, direction, sizes, output):
    """One or two beside 128, which go by rows; and a softmax's sum of more than a block."""
    network, X, v, u = problem(sizes, "tanh", output, rows=2)
    twin = differentiated(core, network)
    for some in (X, X[:1]):
        n = len(some)
        assert distance(twin.jacobian(some), network.jacobian(some)) < 1e-12
        assert distance(twin.vjp(some, v[:n])[1], network.vjp(some, v[:n])[1]) < 1e-12
        assert distance(twin.jvp(some, u[:n])[1], network.jvp(some, u[:n])[1]) < 1e-12


@pytest.mark.slow
def test_long_sums(core, direction):
    """More terms than a block of a sum has, and more tangents than a block of rows."""
    network, X, v, u = problem((300, 520, 290), "silu", "identity", rows=2)
    twin = differentiated(core, network)
    assert distance(twin.jacobian(X), network.jacobian(X)) < 1e-12
    assert distance(twin.vjp(X, v)[1], network.vjp(X, v)[1]) < 1e-12
    assert distance(twin.jvp(X, u)[1], network.jvp(X, u)[1]) < 1e-12
    assert distance(twin.hvp(X, v, u), network.hvp(X, v, u)) < 1e-12
    v[:], v[:, 7] = 0, 1
    assert distance(twin.hessian(X, 7)[:, :, 5], network.hvp(X, v, np.eye(300)[[5, 5]])) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("output", ["identity", "softmax", "ascending"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_same_bits_alone_and_in_a_batch(core, direction, dtype, output):
    """Alone, in a batch of any size, on any number of threads."""
    for sizes in ((300, 270, 5), (4, 32, 32, 3), (3, 50, 80)):
        network, X, v, u = problem(sizes, "gelu", output, dtype, rows=140)
        twin = differentiated(core, network)
        J, (a, vJ), (_, Ju) = twin.jacobian(X), twin.vjp(X, v), twin.jvp(X, u)
        Hu, H = twin.hvp(X, v, u), twin.hessian(X[:20], 2)
        np.testing.assert_array_equal(a, twin.predict(X))
        for n_threads in (2, 3):
            np.testing.assert_array_equal(twin.jacobian(X, n_threads=n_threads), J)
            np.testing.assert_array_equal(twin.vjp(X, v, n_threads=n_threads)[1], vJ)
            np.testing.assert_array_equal(twin.jvp(X, u, n_threads=n_threads)[1], Ju)
            np.testing.assert_array_equal(twin.hvp(X, v, u, n_threads=n_threads), Hu)
            np.testing.assert_array_equal(twin.hessian(X[:20], 2, n_threads=n_threads), H)
        for i in (0, 77, 139):
            np.testing.assert_array_equal(twin.jacobian(X[i]), J[i])
            np.testing.assert_array_equal(twin.vjp(X[i], v[i])[1], vJ[i])
            np.testing.assert_array_equal(twin.jvp(X[i], u[i])[1], Ju[i])
            np.testing.assert_array_equal(twin.hvp(X[i], v[i], u[i]), Hu[i])
        np.testing.assert_array_equal(twin.hessian(X[13], 2), H[13])
        for rows in (2, 3, 7, 33):
            np.testing.assert_array_equal(twin.jacobian(X[:rows]), J[:rows])
            np.testing.assert_array_equal(twin.vjp(X[:rows], v[:rows])[1], vJ[:rows])
            np.testing.assert_array_equal(twin.jvp(X[:rows], u[:rows])[1], Ju[:rows])
            np.testing.assert_array_equal(twin.hvp(X[:rows], v[:rows], u[:rows]), Hu[:rows])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products_of_one_row_of_any_width(core, dtype):
    """Registers end anywhere in a layer: each width has the bits and numbers of a batch."""
    for n_in in (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 25, 31, 33, 47, 64, 65, 100, 129):
        sizes = (n_in, 1 + n_in % 11, 3 + 2 * n_in % 13, 1 + n_in % 5)
        network, X, v, _ = problem(sizes, "tanh", "identity", dtype, rows=5)
        twin = differentiated(core, network)
        J, vJ = twin.jacobian(X), twin.vjp(X, v)[1]
        assert distance(vJ, network.vjp(X, v)[1]) < TOLERANCE[dtype]
        for i in (0, 4):
            np.testing.assert_array_equal(twin.vjp(X[i], v[i])[1], vJ[i])
            np.testing.assert_array_equal(twin.jacobian(X[i]), J[i])
        np.testing.assert_array_equal(twin.vjp(X[:2], v[:2])[1], vJ[:2])


def central_differences(network, X, h=3e-4):
    """(a(x + h) - a(x - h)) / 2h, twice, so that what is left is of order h^4."""

    def difference(j, h):
        step = np.zeros(X.shape[1])
        step[j] = h
        return (network.predict(X + step) - network.predict(X - step)) / (2 * h)

    columns = range(X.shape[1])
    return np.stack(
        [(4 * difference(j, h) - difference(j, 2 * h)) / 3 for j in columns], axis=2
    )  # fmt: skip


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_reference_equals_central_differences(hidden, output):
    """What the core is compared with; J holds what v J and J u are."""
    network, X, v, u, J, (_, vJ), (_, Ju) = answers(SIZES[0], hidden, output, "float64", 5)
    assert distance(J, central_differences(network, X)) < 1e-10
    assert distance(vJ, np.einsum("sk,skj->sj", v, J)) < 1e-13
    assert distance(Ju, np.einsum("skj,sj->sk", J, u)) < 1e-13


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_second_derivatives_of_the_reference_equal_central_differences(hidden, output):
    """Those of v J; what the core is compared with."""
    network, X, v, u, Hu, H = second_answers(SIZES[0], hidden, output, "float64", 5)

    def difference(h):
        return (network.vjp(X + h * u, v)[1] - network.vjp(X - h * u, v)[1]) / (2 * h)

    numerical = (4 * difference(2e-4) - difference(4e-4)) / 3
    norm = max(np.linalg.norm(Hu), 1e-3 * np.linalg.norm(network.vjp(X, v)[1]))
    assert np.linalg.norm(Hu - numerical) < 1e-8 * norm
    last = np.broadcast_to(np.eye(SIZES[0][-1])[-1], v.shape)
    assert near(np.einsum("sij,sj->si", H, u), network.hvp(X, last, u), 1e-12)
    assert near(H, np.swapaxes(H, 1, 2), 1e-12)


@needs_torch
@pytest.mark.slow(reason="a second to load PyTorch, and to trace its functions")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_torch(hidden, output):
    """1e-10 from torch.func, one row and many, random sizes."""
    import torch

    rng = np.random.default_rng([HIDDEN.index(hidden), list(ACTIVATIONS).index(output)])
    sizes = tuple(int(n) for n in rng.integers(2, 20, size=rng.integers(2, 5)))
    net = public_network(sizes, hidden, output, rng)
    function = torch_function(net)
    X, v, u = (rng.normal(size=(7, n)) for n in (sizes[0], sizes[-1], sizes[0]))
    x, weights, directions = map(torch.from_numpy, (X, v, u))
    J = torch.func.vmap(torch.func.jacrev(function))(x).numpy()
    assert distance(net.jacobian(X), J) < 1e-10
    assert distance(net.jacobian(X[3]), J[3]) < 1e-10
    a, vJ = net.vjp(X, v)
    expected = torch.func.vmap(lambda x, v: torch.func.vjp(function, x)[1](v)[0])(x, weights)
    assert distance(vJ, expected.numpy()) < 1e-10
    a, Ju = net.jvp(X, u)
    expected = torch.func.vmap(lambda x, u: torch.func.jvp(function, (x,), (u,))[1])(x, directions)
    assert distance(Ju, expected.numpy()) < 1e-10
    assert distance(a, torch.func.vmap(function)(x).numpy()) < 1e-10
    k = int(rng.integers(sizes[-1]))
    expected = torch.func.vmap(torch.func.hessian(lambda x: function(x)[k]))(x).numpy()
    assert near(net.hessian(X, k), expected, 1e-10)
    assert near(net.hessian(X[2], k), expected[2], 1e-10)
    expected = torch.func.vmap(
        lambda x, v, u: torch.func.jvp(torch.func.grad(lambda x: v @ function(x)), (x,), (u,))[1]
    )(x, weights, directions)
    assert near(net.hvp(X, v, u), expected.numpy(), 1e-10)


def test_cheaper_direction():
    """Fewer multiplications: few inputs go forward, few outputs back."""
    few_inputs = fcnn.Network((2, 50, 50, 40), "tanh", loss="squared_error", dtype="float64")
    few_outputs = fcnn.Network((40, 50, 50, 2), "tanh", loss="squared_error", dtype="float64")
    for net, cheap in ((few_inputs, 1), (few_outputs, 0)):
        X = np.random.default_rng(0).normal(size=(20, net.sizes[0]))
        chosen = net.jacobian(X)
        try:
            own_core.force_direction(cheap)
            np.testing.assert_array_equal(net.jacobian(X), chosen)
            own_core.force_direction(1 - cheap)
            other = net.jacobian(X)
        finally:
            own_core.force_direction(-1)
        assert (other != chosen).any()  # the sums of the other way are others
        assert distance(other, chosen) < 1e-13


@pytest.mark.parametrize("output", ["identity", "relu", "softmax", "ascending"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_nan_flows_through(core, direction, hidden, output):
    """Where a^L is NaN, so are its derivatives; other rows keep their bits."""
    network, X, v, u = problem((3, 6, 4), hidden, output, rows=6)
    twin = differentiated(core, network)
    spoilt = X.copy()
    spoilt[2, 1] = np.nan
    for before, after in (
        (twin.jacobian(X), twin.jacobian(spoilt)),
        (twin.vjp(X, v)[1], twin.vjp(spoilt, v)[1]),
        (twin.jvp(X, u)[1], twin.jvp(spoilt, u)[1]),
        (twin.hvp(X, v, u), twin.hvp(spoilt, v, u)),
        (twin.hessian(X, 1), twin.hessian(spoilt, 1)),
    ):
        assert np.isnan(after[2]).all()
        np.testing.assert_array_equal(np.delete(after, 2, 0), np.delete(before, 2, 0))
    assert np.isnan(twin.jacobian(spoilt[2])).all()


@pytest.mark.parametrize(("hidden", "slope"), KINKS.items())
def test_kinks(hidden, slope):
    """At z = 0 the derivative of z < 0."""
    net = fcnn.Network((2, 3, 1), hidden, loss="squared_error", dtype="float64")
    expected = slope * net.weights[1] @ net.weights[0]
    for X in (np.zeros(2), np.zeros((9, 2))):
        np.testing.assert_allclose(
            net.jacobian(X), np.broadcast_to(expected, (*X.shape[:-1], 1, 2)), atol=1e-18
        )


def test_out_and_other_inputs():
    """What users have: lists, other dtypes, sparse matrices, views; out, also over the inputs."""
    net = fcnn.Network((3, 5, 3), "tanh", loss="squared_error", rng=0)
    X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    v, J = X[::-1].copy(), net.jacobian(X)
    assert J.shape == (4, 3, 3)
    out = np.full(J.shape, 9, "float32")
    assert net.jacobian(X, out=out) is out
    np.testing.assert_array_equal(out, J)
    row = np.empty((3, 3), "float32")
    assert net.jacobian(X[1], row) is row
    np.testing.assert_array_equal(row, J[1])
    for other in (X.tolist(), X.astype("float64"), np.asfortranarray(X)):
        np.testing.assert_array_equal(net.jacobian(other), J)
        for got, expected in zip(net.vjp(other, v.tolist()), net.vjp(X, v), strict=True):
            np.testing.assert_array_equal(got, expected)
        for got, expected in zip(net.jvp(other, v.tolist()), net.jvp(X, v), strict=True):
            np.testing.assert_array_equal(got, expected)
    bytes_ = np.zeros(X.nbytes + 1, np.uint8)
    unaligned = np.frombuffer(bytes_, "float32", X.size, 1).reshape(X.shape)
    unaligned[...] = X
    locked = X.copy()
    locked.flags.writeable = False
    for other in (unaligned, locked, X.astype(">f4"), X[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(net.hvp(other, other, other), net.hvp(X, X, X))
    both = np.zeros((4, 3, 3), "float32")
    both.ravel()[:12] = X.ravel()
    net.jacobian(both.ravel()[:12].reshape(4, 3), out=both)
    np.testing.assert_array_equal(both, J)


def of_all_kinds(net):
    """Each method by its name: what it is given beside X, and the shapes of its answers."""
    n_0, n_L = net.sizes[0], net.sizes[-1]
    return {
        "vjp": (("v",), ((n_L,), (n_0,))), "jvp": (("u",), ((n_L,), (n_L,))),
        "hvp": (("v", "u"), ((n_0,),)), "hessian": ((), ((n_0, n_0),)),
        "jacobian": ((), ((n_L, n_0),)),
    }  # fmt: skip


def test_out_of_every_method():
    """The same bits as without, one row and many, on several threads; both or one of a pair."""
    net = fcnn.Network((4, 5, 3), "tanh", loss="squared_error", rng=0)
    rng = np.random.default_rng(1)
    for rows in ((), (1,), (300,)):
        X, v, u = (rng.normal(size=(*rows, n)).astype("float32") for n in (4, 3, 4))
        for name, (factors, shapes) in of_all_kinds(net).items():
            method = getattr(net, name)
            given = [X, *({"v": v, "u": u}[factor] for factor in factors)]
            more = {"output": 2} if name == "hessian" else {}
            expected = method(*given, **more)
            pair = isinstance(expected, tuple)
            out = [np.full((*rows, *shape), 9, "float32") for shape in shapes]
            for n_threads in (1, 2):
                answer = method(*given, out=tuple(out) if pair else out[0], n_threads=n_threads,
                                **more)  # fmt: skip
                for got, wanted, place in zip(
                    answer if pair else [answer], expected if pair else [expected], out, strict=True
                ):
                    assert got is place
                    assert got.tobytes() == wanted.tobytes(), name
                    place[...] = 9
            if pair:
                for one in (0, 1):
                    some = tuple(place if i == one else None for i, place in enumerate(out))
                    answer = method(*given, out=some)
                    assert answer[one] is out[one]
                    assert [a.tobytes() for a in answer] == [a.tobytes() for a in expected]


@pytest.mark.parametrize("rows", [1, 9])
def test_out_may_be_the_memory_of_what_is_given(rows):
    """Which is read as it was, by each of the two answers, whole or shifted."""
    net = fcnn.Network((4, 5, 4), "tanh", loss="squared_error", dtype="float64", rng=0)
    rng = np.random.default_rng(1)
    for name, (factors, shapes) in of_all_kinds(net).items():
        names = ["X", *factors]
        values = {one: rng.normal(size=(rows, 4)) for one in names}
        more = {"output": 2} if name == "hessian" else {}
        expected = getattr(net, name)(*values.values(), **more)
        for written, shape in enumerate(shapes):
            for shared, shift in itertools.product(names, (0, 3)):
                size = rows * math.prod(shape)
                memory = np.zeros(size + 4 * rows + shift)
                given = {one: array.copy() for one, array in values.items()}
                given[shared] = memory[shift : shift + 4 * rows].reshape(rows, 4)
                given[shared][...] = values[shared]
                out = memory[:size].reshape(rows, *shape)
                if len(shapes) > 1:
                    pair = tuple(out if i == written else None for i in range(2))
                    answer = getattr(net, name)(*given.values(), out=pair)
                else:
                    answer = [getattr(net, name)(*given.values(), out=out, **more)]
                assert answer[written] is out
                for got, wanted in zip(
                    answer, expected if len(shapes) > 1 else [expected], strict=True
                ):
                    assert got.tobytes() == wanted.tobytes(), (name, written, shared, shift)


def test_refused_out():
    """By name, before anything is written."""
    net = fcnn.Network((3, 5, 2), "tanh", loss="squared_error", rng=0)
    X, v, u = (np.ones((4, n), "float32") for n in (3, 2, 3))
    a, vJ = np.full((4, 2), 7, "float32"), np.full((4, 3), 7, "float32")
    both = np.full(20, 7, "float32")
    locked = vJ.copy()
    locked.flags.writeable = False
    at = net.parameters[:12].reshape(4, 3)
    before = net.parameters.copy()
    for call, error, words in (
        (lambda: net.vjp(X, v, out=a), TypeError, "out: expected a tuple of two arrays, got nd"),
        (lambda: net.vjp(X, v, (a,)), TypeError, "out: expected a tuple of two .* got 1 of them"),
        (lambda: net.vjp(X, v, 1), TypeError, "out: expected a tuple of two arrays, got int"),
        (lambda: net.vjp(X, v, [a, vJ]), TypeError, "out: expected a tuple of two arrays, got li"),
        (lambda: net.vjp(X, v, (a, a)), ValueError, r"out\[1\]: .* shape \(4, 3\), got .*\(4, 2\)"),
        (lambda: net.vjp(X, v, (vJ, vJ)), ValueError, r"out\[0\]: .* shape \(4, 2\)"),
        (lambda: net.vjp(X, v, (a, 5)), TypeError, r"out\[1\]: expected a writable"),
        (lambda: net.vjp(X, v, (a.astype("f8"), vJ)), ValueError, r"out\[0\]: .* got float64"),
        (lambda: net.vjp(X, v, (a, locked)), ValueError, r"out\[1\]: .* a read-only one"),
        (lambda: net.vjp(X, v, (a, at)), ValueError, r"out\[1\]: expected an array apart from"),
        (lambda: net.vjp(X, v, (both[:8].reshape(4, 2), both[7:19].reshape(4, 3))), ValueError,
         "out: expected two arrays apart from each other"),
        (lambda: net.jvp(X, u, (a, a)), ValueError, "out: expected two arrays apart from each"),
        (lambda: net.jvp(X, u, (a, vJ)), ValueError, r"out\[1\]: .* shape \(4, 2\)"),
        (lambda: net.hvp(X, v, u, a), ValueError, r"out: .* shape \(4, 3\), got .*\(4, 2\)"),
        (lambda: net.hvp(X, v, u, (a, vJ)), TypeError, "out: expected a writable"),
        (lambda: net.hvp(X, v, u, at), ValueError, "out: expected an array apart from"),
        (lambda: net.hessian(X, 0, vJ), ValueError, r"out: .* shape \(4, 3, 3\)"),
        (lambda: net.hessian(X, 0, np.ones((4, 2, 3), "f4")), ValueError, r"out: .*\(4, 3, 3\)"),
    ):  # fmt: skip
        with pytest.raises(error, match=f"^{words}"):
            call()
    assert all((array == 7).all() for array in (a, vJ, both, locked))
    assert net.parameters.tobytes() == before.tobytes()


def test_sparse_inputs():
    """A sparse matrix is made dense: what is computed has a place for each of its zeros."""
    sparse = pytest.importorskip("scipy.sparse")
    net = fcnn.Network((60, 5, 3), "tanh", loss="squared_error", rng=0)
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(9, 60)) * (rng.random((9, 60)) < 0.1)).astype("float32")
    v, u = rng.normal(size=(9, 3)), rng.normal(size=(9, 60))
    np.testing.assert_array_equal(net.jacobian(sparse.csr_matrix(X)), net.jacobian(X))
    np.testing.assert_array_equal(net.vjp(sparse.csr_matrix(X), v)[1], net.vjp(X, v)[1])
    np.testing.assert_array_equal(net.jvp(sparse.csr_matrix(X), u)[1], net.jvp(X, u)[1])
    np.testing.assert_array_equal(net.hvp(sparse.csr_matrix(X), v, u), net.hvp(X, v, u))
    np.testing.assert_array_equal(net.hessian(sparse.csr_matrix(X), 2), net.hessian(X, 2))


def test_refused_by_name():
    """Wrong shapes, dtypes and kinds; nothing is written."""
    net = fcnn.Network((3, 5, 2), "tanh", loss="squared_error", rng=0)
    X = np.ones((4, 3), "float32")
    for call, name in (
        (lambda: net.jacobian(np.ones((4, 2))), "X: expected shape"),
        (lambda: net.jacobian(np.ones((0, 3))), "X: expected at least one"),
        (lambda: net.jacobian(np.ones((1, 4, 3))), "X: expected shape"),
        (lambda: net.vjp(X, np.ones((4, 3))), r"v: expected shape \(4, 2\), got \(4, 3\)"),
        (lambda: net.vjp(X, np.ones(2)), r"v: expected shape \(4, 2\)"),
        (lambda: net.vjp(X[0], np.ones((1, 2))), r"v: expected shape \(2,\)"),
        (lambda: net.vjp(X, np.full((4, 2), 1e300)), "v: holds numbers too large"),
        (lambda: net.jvp(X, np.ones((4, 2))), r"u: expected shape \(4, 3\), got \(4, 2\)"),
        (lambda: net.jvp(X, np.ones((3, 3))), r"u: expected shape \(4, 3\)"),
        (lambda: net.jvp(X[0], 1.0), r"u: expected shape \(3,\), got \(\)"),
        (lambda: net.hvp(X, np.ones((4, 3)), X), r"v: expected shape \(4, 2\)"),
        (lambda: net.hvp(X, np.ones((4, 2)), X[0]), r"u: expected shape \(4, 3\)"),
        (lambda: net.hessian(X), "output: expected one of 0 to 1, got None"),
        (lambda: net.hessian(X, 2), "output: expected 0 to 1, got 2"),
        (lambda: net.hessian(X, -1), "output: expected at least 0"),
    ):
        with pytest.raises(ValueError, match=name):
            call()
    with pytest.raises(TypeError, match="v: expected real numbers"):
        net.vjp(X, [["a", "b"]] * 4)
    with pytest.raises(TypeError, match="output: expected an integer"):
        net.hessian(X, "first")
    for out in (
        np.full((4, 3, 2), 7, "float32"), np.full((4, 2, 3), 7, "float64"),
        np.full((2, 3), 7, "float32"), np.full((3, 2, 4), 7, "float32").T,
        np.full((4, 6), 7, "float32"), np.full((4, 3, 3), 7, "float32"),
        np.full((4, 2, 4), 7, "float32"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"out: expected .* of shape \(4, 2, 3\)"):
            net.jacobian(X, out=out)
        assert (out == 7).all()
    with pytest.raises(TypeError, match="out: expected"):
        net.jacobian(X, out=[1])
    with pytest.raises(ValueError, match="n_threads"):
        net.jacobian(X, n_threads=0)


@pytest.mark.skipif(sys.platform != "linux", reason="asks for pages as Linux does")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [1, 2, 5, 70])
def test_nothing_behind_what_is_given_is_read(core, direction, rows, dtype):
    for sizes in SIZES:
        network, *arrays = problem(sizes, "tanh", "identity", dtype, rows)
        net = differentiated(core, network)
        given = arrays, [in_a_last_page(array) for array in arrays]
        answers = [(net.jacobian(X), *net.vjp(X, v), *net.jvp(X, u), net.hvp(X, v, u),
                    net.hessian(X, 0)) for X, v, u in given]  # fmt: skip
        for one, other in zip(*answers, strict=True):
            assert one.tobytes() == other.tobytes()


def test_out_apart_from_the_parameters():
    """Which are read until the last row is written."""
    net = fcnn.Network((5, 7, 3), "tanh", loss="squared_error", dtype="float64", rng=1)
    X, before = np.ones((4, 5)), net.parameters.copy()
    for call, size in ((net.predict, (4, 3)), (net.jacobian, (4, 3, 5))):
        out = net.parameters[3 : 3 + math.prod(size)].reshape(size)
        with pytest.raises(ValueError, match="out: expected an array apart from the network's"):
            call(X, out=out)
    with pytest.raises(ValueError, match="out: expected an array apart from the network's"):
        net.sample_gradients(X[:1], np.ones((1, 3)), out=net.parameters[np.newaxis])
    assert net.parameters.tobytes() == before.tobytes()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals")
@pytest.mark.thread_unsafe(reason="signals come to the main thread")
def test_ctrl_c_is_heard_within_a_layer():
    """A product of two layers takes seconds where they are wide."""
    net = fcnn.Network((1500, 1500, 4), "tanh", loss="squared_error", rng=1)
    X, v = np.ones((128, 1500), np.float32), np.ones((128, 4), np.float32)
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(None))
    try:
        for call in (lambda: net.vjp(X, v), lambda: net.jvp(X, X), lambda: net.hvp(X, v, X)):
            heard.clear()
            signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert len(heard) > 10
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_one_row_allocates_nothing_and_enters_no_python():
    """With `out`, after the first call."""
    net = fcnn.Network((4, 32, 32, 3), "tanh", loss="squared_error", dtype="float64", rng=0)
    x, v, u = np.ones(4), np.ones(3), np.ones(4)
    J, H, Hu, backward = np.empty((3, 4)), np.empty((4, 4)), np.empty(4), (np.empty(3), np.empty(4))
    forward = (np.empty(3), np.empty(3))
    calls = {
        "jacobian": lambda: net.jacobian(x, J), "hessian": lambda: net.hessian(x, 1, H),
        "vjp": lambda: net.vjp(x, v, backward), "jvp": lambda: net.jvp(x, u, forward),
        "hvp": lambda: net.hvp(x, v, u, Hu),
    }  # fmt: skip
    for name, call in calls.items():
        call()
        entered = []
        sys.setprofile(
            lambda frame, event, _, entered=entered: (
                entered.append(frame.f_code) if event == "call" else None
            )
        )
        call()
        sys.setprofile(None)
        assert entered == [call.__code__], name
        tracemalloc.start()
        try:
            call()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(100):
                call()
            assert tracemalloc.get_traced_memory()[1] - before < 200, name
        finally:
            tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_networks(core, direction, seed):
    """Random sizes, activations, rows and dtypes."""
    rng = np.random.default_rng(seed)
    for _ in range(10):
        sizes = tuple(int(n) for n in rng.integers(1, 45, size=rng.integers(2, 6)))
        output = str(rng.choice(ACTIVATIONS))
        if output == "softmax" and sizes[-1] == 1:
            output = "sigmoid"
        dtype = str(rng.choice(list(TOLERANCE)))
        rows = int(rng.integers(1, 40))
        network, X, v, u = problem(
            sizes, str(rng.choice(HIDDEN)), output, dtype, rows, int(rng.integers(1000))
        )
        twin = differentiated(core, network)
        tolerance = 10 * TOLERANCE[dtype]
        assert distance(twin.jacobian(X), network.jacobian(X)) < tolerance
        assert distance(twin.vjp(X, v)[1], network.vjp(X, v)[1]) < tolerance
        assert distance(twin.jvp(X, u)[1], network.jvp(X, u)[1]) < tolerance
        assert near(twin.hvp(X, v, u), network.hvp(X, v, u), 10 * tolerance)
        k = int(rng.integers(sizes[-1]))
        assert near(twin.hessian(X, k), network.hessian(X, k), 10 * tolerance)
