"""Activations: a = sigma(z), and sigma'(z).

Each ladder names every activation and ends in a trap: one that was forgotten cannot become another.

Definitions and constants are PyTorch's (torch.nn.LeakyReLU, ELU, GELU, SiLU, Softplus). `alpha` is
the leaky slope, or ELU's alpha, and at least 0: so the sign of a tells that of z, and sigma' can be
had from a. The others do not read it.
A comparison is written so that NaN takes the branch that keeps it NaN. A bare 1 is a double in C,
and would turn the arithmetic of floats into that of doubles: hence <real> 1.
"""

from libc.string cimport memcpy

from fcnn.kernels.elementary cimport (
    error_function, exponential, exponential_minus_1, hyperbolic_tangent, logarithm,
    logarithm_of_1_plus, sigmoid,
)
from fcnn.kernels.isa cimport NR
from fcnn.kernels.products cimport BLOCK_TERMS
from fcnn.kernels.real cimport SPECIALIZED, real, trap

cdef enum Activation:           # their names: core/model.pxi
    IDENTITY
    SIGMOID
    TANH
    RELU
    LEAKY_RELU
    ELU
    GELU
    SILU
    SOFTPLUS
    EXP
    SOFTMAX                     # of a whole layer: not in the ladders below,
    ASCENDING                   # and likewise
    NUM_ACTIVATIONS


cdef inline real sigma(Activation activation, real alpha, real z) noexcept nogil:
    """a = sigma(z), for every activation that acts on each input sum alone."""
    cdef real s
    if activation == IDENTITY:
        return z
    if activation == SIGMOID:
        return sigmoid(z)
    if activation == TANH:
        return hyperbolic_tangent(z)
    if activation == RELU:
        return 0 if z < 0 else z
    if activation == LEAKY_RELU:
        return alpha * z if z < 0 else z
    if activation == ELU:
        return alpha * exponential_minus_1(z) if z < 0 else z
    if activation == GELU:
        return <real> 0.5 * z * (<real> 1 + error_function(z * <real> 0.7071067811865476))
    if activation == SILU:
        return z * sigmoid(z)
    if activation == SOFTPLUS:
        # Before it is chosen: in a branch GCC leaves the loop one of single numbers, of which each
        # took 12 ns instead of 1.
        s = logarithm_of_1_plus(exponential(z))
        return z if z > 20 else s
    if activation == EXP:
        return exponential(z)
    trap()
    return z


cdef inline real sigma_derivative(
    Activation activation, real alpha, real z, real a,
) noexcept nogil:
    """sigma'(z), from a = sigma(z) where that is possible: no second exponential."""
    cdef real s
    if activation == IDENTITY:
        return 1
    if activation == SIGMOID:
        return a * (<real> 1 - a)
    if activation == TANH:
        return <real> 1 - a * a
    if activation == RELU:
        return 0 if a <= 0 else 1
    if activation == LEAKY_RELU:
        return alpha if a <= 0 else 1
    if activation == ELU:
        # alpha e^z. Of a small alpha, a is -0 where it underflows: not on the side of z > 0.
        return a + alpha if a <= 0 else 1
    if activation == GELU:
        # (z Phi(z))' = Phi(z) + z phi(z), with the normal distribution's Phi and phi
        return (<real> 0.5 * (<real> 1 + error_function(z * <real> 0.7071067811865476))
                + z * <real> 0.3989422804014327 * exponential(<real> -0.5 * z * z))
    if activation == SILU:
        s = sigmoid(z)
        return s * (<real> 1 + z * (<real> 1 - s))
    if activation == SOFTPLUS:
        # a = log(1 + e^z), so sigma'(z) = e^z / (1 + e^z) = 1 - e^-a
        return 1 if a > 20 else -exponential_minus_1(-a)
    if activation == EXP:
        return a
    trap()
    return 1


cdef inline real sigma_second_derivative(
    Activation activation, real alpha, real z, real a,
) noexcept nogil:
    """sigma''(z), from a where that is possible; at a kink that of z < 0."""
    cdef real s
    if activation == IDENTITY or activation == RELU or activation == LEAKY_RELU:
        return 0
    if activation == SIGMOID:
        return a * (<real> 1 - a) * (<real> 1 - 2 * a)
    if activation == TANH:
        return -2 * a * (<real> 1 - a * a)
    if activation == ELU:
        return a + alpha if a <= 0 else 0
    if activation == GELU:
        # (Phi(z) + z phi(z))' = 2 phi(z) - z^2 phi(z)
        return (<real> 0.3989422804014327 * exponential(<real> -0.5 * z * z)
                * (<real> 2 - z * z))
    if activation == SILU:
        s = sigmoid(z)
        return s * (<real> 1 - s) * (<real> 2 + z * (<real> 1 - 2 * s))
    if activation == SOFTPLUS:
        s = -exponential_minus_1(-a)
        return 0 if a > 20 else s * (<real> 1 - s)
    if activation == EXP:
        return a
    trap()
    return 0


cdef inline void one_second_derivative(
    Activation activation, real alpha, const real* z, const real* a, real* second,
    Py_ssize_t count,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        second[i] = sigma_second_derivative(activation, alpha, z[i], a[i])


cdef inline void any_second_derivative(
    Activation activation, real alpha,
    const real* z, const real* a,   # IN (count,)
    real* second,               # OUT sigma''(z)
    Py_ssize_t count,
) noexcept nogil:
    """Name the activation, which makes it a constant."""
    if not SPECIALIZED:
        one_second_derivative(activation, alpha, z, a, second, count)
    elif activation == IDENTITY or activation == RELU or activation == LEAKY_RELU:
        one_second_derivative(IDENTITY, alpha, z, a, second, count)
    elif activation == SIGMOID:
        one_second_derivative(SIGMOID, alpha, z, a, second, count)
    elif activation == TANH:
        one_second_derivative(TANH, alpha, z, a, second, count)
    elif activation == ELU:
        one_second_derivative(ELU, alpha, z, a, second, count)
    elif activation == GELU:
        one_second_derivative(GELU, alpha, z, a, second, count)
    elif activation == SILU:
        one_second_derivative(SILU, alpha, z, a, second, count)
    elif activation == SOFTPLUS:
        one_second_derivative(SOFTPLUS, alpha, z, a, second, count)
    elif activation == EXP:
        one_second_derivative(EXP, alpha, z, a, second, count)
    else:
        trap()


cdef inline void one_activation(
    Activation activation, bint backward,   # constant at every call, so that no entry chooses anew
    real alpha, const real* z, real* a, real* delta, Py_ssize_t count,
) noexcept nogil:
    cdef Py_ssize_t i
    if backward:
        for i in range(count):
            delta[i] *= sigma_derivative(activation, alpha, z[i], a[i])
    else:
        # In place: of two arrays that are the same GCC believes that they overlap, and computes one
        # entry after the other (one row of 64-100-10: 720 ns instead of 690).
        for i in range(count):
            a[i] = sigma(activation, alpha, a[i])


cdef inline void any_activation(
    Activation activation, bint backward, real alpha,
    const real* z,              # IN (count,); backward: read only where sigma' needs it
    real* a,                    # OUT sigma(z), may be z itself; backward: IN
    real* delta,                # backward: IN dC/da, OUT dC/dz = dC/da sigma'(z)
    Py_ssize_t count,
) noexcept nogil:
    """Name the activation, which makes it a constant."""
    if not backward and a != z:
        memcpy(a, z, count * sizeof(real))
    if activation == IDENTITY:
        return
    if not SPECIALIZED:
        one_activation(activation, backward, alpha, z, a, delta, count)
    elif activation == SIGMOID:
        one_activation(SIGMOID, backward, alpha, z, a, delta, count)
    elif activation == TANH:
        one_activation(TANH, backward, alpha, z, a, delta, count)
    elif activation == RELU:
        one_activation(RELU, backward, alpha, z, a, delta, count)
    elif activation == LEAKY_RELU:
        one_activation(LEAKY_RELU, backward, alpha, z, a, delta, count)
    elif activation == ELU:
        one_activation(ELU, backward, alpha, z, a, delta, count)
    elif activation == GELU:
        one_activation(GELU, backward, alpha, z, a, delta, count)
    elif activation == SILU:
        one_activation(SILU, backward, alpha, z, a, delta, count)
    elif activation == SOFTPLUS:
        one_activation(SOFTPLUS, backward, alpha, z, a, delta, count)
    elif activation == EXP:
        one_activation(EXP, backward, alpha, z, a, delta, count)
    else:
        trap()


cdef inline void softmax(
    const real* z,              # IN (n, lanes) a panel
    real* a,                    # OUT (n, lanes)
    real* normalizer,           # OUT (lanes,): log sum_j e^z_j, so that log a_k = z_k - normalizer;
                                # or NULL
    Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    """a_k = e^(z_k - max z) / sum_j e^(z_j - max z): the shift keeps e^z from overflowing."""
    cdef Py_ssize_t k, s, first = 0, last
    cdef real largest[NR]
    cdef real total[NR]
    cdef real some[NR]          # of BLOCK_TERMS nodes
    for s in range(lanes):
        largest[s] = z[s]
        total[s] = 0
    for k in range(1, n):
        for s in range(lanes):
            largest[s] = z[k * lanes + s] if z[k * lanes + s] > largest[s] else largest[s]
    for k in range(n):
        for s in range(lanes):
            a[k * lanes + s] = exponential(z[k * lanes + s] - largest[s])
    while first < n:
        last = min(first + BLOCK_TERMS, n)
        for s in range(lanes):
            some[s] = 0
        for k in range(first, last):
            for s in range(lanes):
                some[s] += a[k * lanes + s]
        for s in range(lanes):
            total[s] += some[s]
        first = last
    if normalizer != NULL:
        for s in range(lanes):
            normalizer[s] = largest[s] + logarithm(total[s])
    for s in range(lanes):
        total[s] = <real> 1 / total[s]
    for k in range(n):
        for s in range(lanes):
            a[k * lanes + s] *= total[s]


cdef inline void softmax_row(
    real* a,                    # IN z (n,), OUT a
    Py_ssize_t n, Py_ssize_t whole,     # whole registers, whose entries beyond n may be anything
) noexcept nogil:
    """The softmax of one sample: the same numbers, with the exponentials of all nodes at once."""
    cdef Py_ssize_t k, first = 0, last
    cdef real largest = a[0], total = 0, some
    for k in range(1, n):
        largest = a[k] if a[k] > largest else largest
    for k in range(whole):
        a[k] = exponential(a[k] - largest)
    while first < n:
        last = min(first + BLOCK_TERMS, n)
        some = 0
        for k in range(first, last):
            some += a[k]
        total += some
        first = last
    total = <real> 1 / total
    for k in range(n):
        a[k] *= total


cdef inline void ascending(
    const real* z,              # IN (n, lanes) a panel; or a row, of one lane
    real* a,                    # OUT (n, lanes), may be z itself
    Py_ssize_t n, Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """a_k = z_k of the first m nodes, a_k = a_(k-m) + softplus(z_k) of the others."""
    cdef Py_ssize_t k, s
    if a != z:
        memcpy(a, z, n * lanes * sizeof(real))
    one_activation(SOFTPLUS, False, <real> 0, a, a + m * lanes, <real*> NULL, (n - m) * lanes)
    for k in range(m, n):
        for s in range(lanes):
            a[k * lanes + s] += a[(k - m) * lanes + s]


cdef inline void ascending_slopes(
    const real* z, real* slope, Py_ssize_t n, Py_ssize_t m,     # of one sample
) noexcept nogil:
    """What z_k moves: 1 of the first m nodes, softplus'(z_k) of the others."""
    cdef Py_ssize_t k
    for k in range(n):
        slope[k] = 1 if k < m or z[k] > 20 else sigmoid(z[k])


cdef inline void sum_from_above(
    real* delta, Py_ssize_t n, Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """dC/da_k of ascending outputs becomes sum_i dC/da_(k+im): of all outputs that z_k moves."""
    cdef Py_ssize_t k, s
    for k in range(n - m - 1, -1, -1):
        for s in range(lanes):
            delta[k * lanes + s] += delta[(k + m) * lanes + s]


cdef inline void ascending_delta(
    const real* z,              # IN (n, lanes)
    real* delta,                # IN dC/da, OUT dC/dz
    Py_ssize_t n, Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """dC/dz_k = softplus'(z_k) sum_i dC/da_(k+im); without softplus' of the first m."""
    cdef Py_ssize_t i
    sum_from_above(delta, n, m, lanes)
    for i in range(m * lanes, n * lanes):
        delta[i] *= <real> 1 if z[i] > 20 else sigmoid(z[i])
