"""Errors of long sums do not grow with their length: gradients of many rows, wide outputs.

Against exact arithmetic. tests/soak/sums.py has all lengths, and NumPy's errors beside them.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from conftest import core_twin, random_problem

import fcnn

U = {"float32": 2.0**-24, "float64": 2.0**-53}
dtypes = pytest.mark.parametrize("dtype", U)


def zeros(core, sizes, dtype, loss="squared_error", output="identity"):
    return core.Network(sizes, (output,), loss, np.dtype(dtype))


@dtypes
def test_gradients_of_many_rows(core, dtype):
    # Constants are the worst case: all roundings of a sum go one way.
    rng = np.random.default_rng(0)
    rows = 2**18
    x, delta = rng.uniform(1, 2, 6).astype(dtype), rng.uniform(1, 2, 4).astype(dtype)
    X, y = np.tile(x, (rows, 1)), np.tile(-delta, (rows, 1))
    _, gradient = zeros(core, (6, 4), dtype).gradients(X, y)
    # delta of a zero network is (0 - y) / s, s a power of two: exact.
    for j in range(6):
        for k in range(4):
            exact = Fraction(float(x[j])) * Fraction(float(delta[k]))
            error = abs(Fraction(float(gradient[j * 4 + k])) - exact) / exact
            assert float(error) < 70 * U[dtype]
    for k in range(4):
        assert abs(float(gradient[24 + k]) / float(delta[k]) - 1) < 70 * U[dtype]


@pytest.mark.slow
@dtypes
@pytest.mark.parametrize("rows", [8192, 8193, 8200, 16384, 20_000])
def test_sums_of_many_blocks_have_the_same_bits_whichever_way(core, dtype, rows, request):
    rng = np.random.default_rng(rows)
    network, (X, y, weight) = random_problem(
        rng, (20, 30, 3), ["tanh", "softmax"], "cross_entropy", dtype, rows, weighted=True
    )
    net = core_twin(core, network)
    loss, gradient = net.gradients(X, y, weight)  # a tiny network's way
    request.getfixturevalue("general_way")
    for n_threads in (1, 2, 3):
        again = net.gradients(X, y, weight, n_threads)
        assert again[0] == loss
        np.testing.assert_array_equal(again[1], gradient)
    core.force_lists(1)
    try:
        np.testing.assert_array_equal(net.gradients(X, y, weight)[1], gradient)
    finally:
        core.force_lists(-1)
    # The last rows count, too, wherever the groups of blocks end.
    parts = [net.gradients(X[i : i + 4000], y[i : i + 4000], weight[i : i + 4000])
             for i in range(0, rows, 4000)]  # fmt: skip
    shares = np.array([weight[i : i + 4000].sum(dtype=float) for i in range(0, rows, 4000)])
    mean = shares / shares.sum() @ np.array([part[1] for part in parts], float)
    assert np.linalg.norm(gradient - mean) < 100 * U[dtype] * np.linalg.norm(mean)


@pytest.mark.parametrize("make", [lambda: fcnn.SGD(0.1, momentum=0.9), lambda: fcnn.Adam(0.01)])
@pytest.mark.parametrize("options", [{}, {"l2": 0.01}, {"l1": 0.01}, {"clip_norm": 1e-3}])
def test_a_step_of_many_rows_is_an_update_with_their_gradient(make, options):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(9000, 60)).astype(np.float32), rng.integers(7, size=9000)
    nets = [fcnn.Network((60, 130, 7), rng=3) for _ in range(4)]
    for n_threads, net in zip((1, 2, 3), nets, strict=False):
        net.fit(X, y, epochs=1, batch_size=9000, optimizer=make(), shuffle=False,
                n_threads=n_threads, **options)  # fmt: skip
    make().update(nets[3], nets[3].gradients(X, y)[1], **options)
    for net in nets[1:]:
        np.testing.assert_array_equal(net.parameters, nets[0].parameters)


@dtypes
def test_wide_outputs(core, dtype):
    n = 60_000
    z = np.random.default_rng(0).uniform(-1, 1, n).astype(dtype)
    net = zeros(core, (1, n), dtype, "cross_entropy", "softmax")
    net.parameters[n:] = z
    X = np.zeros((40, 1), dtype)
    for a in (net.predict(X)[7], net.predict(X[0])):
        assert abs(math.fsum(a.tolist()) - 1) < 30 * U[dtype]


def test_sparse_rows_of_many_blocks():
    rng = np.random.default_rng(2)
    X = (rng.normal(size=(9000, 50)) * (rng.random((9000, 50)) < 0.1)).astype(np.float32)
    net, y = fcnn.Network((50, 20, 3), rng=1), rng.integers(3, size=9000)
    dense, sparse = net.gradients(X, y), net.gradients(scipy.sparse.csr_array(X), y)
    assert dense[0] == sparse[0]
    np.testing.assert_array_equal(dense[1], sparse[1])
