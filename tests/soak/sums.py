"""How exact sums are: errors in units of u sum |A_ik B_kj|, beside those of NumPy's products.

The truth is `math.fsum` of exact products: of float32 they are float64 numbers, and those of
float64 are split in two.
"""

import math

import numpy as np

import fcnn

from .common import goes_on

MOST = 16  # of random positive numbers
LIKE_NUMPY = 1.4  # of constants, whose roundings all go one way
U = {"float32": 2.0**-24, "float64": 2.0**-53}


def exact_sum(a, b):
    """Return sum a_i b_i, rounded once."""
    if a.dtype == np.float32:
        return math.fsum(a.astype(float) * b)
    high_a, low_a = halves(a)
    high_b, low_b = halves(b)
    product = a * b
    # Dekker's: the product and its own rounding error.
    error = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    return math.fsum(np.concatenate([product, error]))


def halves(a):
    """Return a as a sum of two numbers of 26 bits."""
    scaled = a * 134217729.0
    high = scaled - (scaled - a)
    return high, a - high


def error(computed, a, b):
    """Return the error of a sum of products in units of u sum |a_i b_i|."""
    size = math.fsum(np.abs(a.astype(float) * b))
    return abs(float(computed) - exact_sum(a, b)) / (U[a.dtype.name] * size)


def forward(X, W):
    net = fcnn.Network((W.shape[0], W.shape[1]), loss="squared_error", dtype=X.dtype, init="zeros")
    net.weights[0][:] = W.T
    return net.predict(X)


def gradient(X, delta):
    """Return sum_s x_s delta_s, (n_0, n_1)."""
    n, k = X.shape[1], delta.shape[1]
    net = fcnn.Network((n, k), loss="squared_error", dtype=X.dtype, init="zeros")
    return net.gradients(X, None, delta=delta)[1][: n * k].reshape(n, k)


def data(kind, rng, terms, columns, dtype):
    """Return as many terms in each column: random ones, or one constant."""
    if kind == "constant":
        return np.repeat(rng.uniform(1, 2, (1, columns)), terms, axis=0).astype(dtype)
    return rng.uniform(0, 1, (terms, columns)).astype(dtype)


def errors(kind, dtype, terms, product, rng, columns=(6, 12)):
    """Return the largest error of our sums of so many terms, and of NumPy's."""
    A, B = (data(kind, rng, terms, n, dtype) for n in columns)
    ours, numpys = product(A, B), A.T @ B
    worst = [0.0, 0.0]
    for i in range(columns[0]):
        for j in range(columns[1]):
            for which, computed in enumerate((ours, numpys)):
                worst[which] = max(worst[which], error(computed[i, j], A[:, i], B[:, j]))
    return worst


PRODUCTS = {
    "forward": (lambda A, B: forward(np.ascontiguousarray(A.T), B), (784, 4096, 65536)),
    "gradient": (gradient, (4096, 65536, 262_144)),
}


def table(seed):
    """Yield (name, kind, dtype, terms, our error, NumPy's)."""
    for name, (product, all_terms) in PRODUCTS.items():
        for kind in ("random", "constant"):
            for dtype in U:
                for terms in all_terms:
                    goes_on()
                    rng = np.random.default_rng(seed)
                    ours, numpys = errors(kind, dtype, terms, product, rng)
                    yield name, kind, dtype, terms, ours, numpys


def run(size, seed):
    wrong = []
    for name, kind, dtype, terms, ours, numpys in table(seed):
        print(f"{name:<9} {kind:<9} {dtype} {terms:>7} terms: {ours:6.1f} u, NumPy {numpys:6.1f}",
              flush=True)  # fmt: skip
        if ours > (MOST if kind == "random" else max(LIKE_NUMPY * numpys, MOST)):
            wrong.append((name, kind, dtype, terms))
    assert not wrong, wrong
    return f"at most {MOST} u of random sums, at most {LIKE_NUMPY} times NumPy's of constants"
