"""Activations: a = sigma(z), and sigma'(z).

Definitions and constants are PyTorch's defaults (torch.nn.LeakyReLU, ELU, GELU, SiLU, Softplus).
A comparison is written so that NaN takes the branch that keeps it NaN. A bare 1 is a double in C,
and would turn the arithmetic of floats into that of doubles: hence <real> 1.
"""

from fcnn._elementary cimport (
    error_function, exponential, exponential_minus_1, hyperbolic_tangent, logarithm,
    logarithm_of_1_plus, sigmoid,
)
from fcnn._real cimport real

cdef enum:
    MOST_LANES = 32             # of a panel, whatever the build

cdef enum Activation:
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
    SOFTMAX


cdef inline real sigma(Activation activation, real z) noexcept nogil:
    """a = sigma(z), for every activation that acts on each input sum alone."""
    if activation == SIGMOID:
        return sigmoid(z)
    if activation == TANH:
        return hyperbolic_tangent(z)
    if activation == RELU:
        return 0 if z < 0 else z
    if activation == LEAKY_RELU:
        return <real> 0.01 * z if z < 0 else z
    if activation == ELU:
        return exponential_minus_1(z) if z < 0 else z
    if activation == GELU:
        return <real> 0.5 * z * (<real> 1 + error_function(z * <real> 0.7071067811865476))
    if activation == SILU:
        return z * sigmoid(z)
    if activation == SOFTPLUS:
        return z if z > 20 else logarithm_of_1_plus(exponential(z))
    if activation == EXP:
        return exponential(z)
    return z


cdef inline bint derivative_reads_z(Activation activation) noexcept nogil:
    """Whether sigma'(z) cannot be had from a alone, so that z must be kept."""
    return activation == GELU or activation == SILU


cdef inline real sigma_derivative(Activation activation, real z, real a) noexcept nogil:
    """sigma'(z), from a = sigma(z) where that is possible: no second exponential."""
    cdef real s
    if activation == SIGMOID:
        return a * (<real> 1 - a)
    if activation == TANH:
        return <real> 1 - a * a
    if activation == RELU:
        return 0 if a <= 0 else 1
    if activation == LEAKY_RELU:
        return <real> 0.01 if a <= 0 else 1
    if activation == ELU:
        return a + <real> 1 if a < 0 else 1
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
    return 1


cdef inline void activate_each(
    Activation activation, const real* z, real* a, Py_ssize_t count,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        a[i] = sigma(activation, z[i])


cdef inline void softmax(
    const real* z,              # IN (n, lanes) a panel
    real* a,                    # OUT (n, lanes)
    real* normalizer,           # OUT (lanes,): log sum_j e^z_j, so that log a_k = z_k - normalizer;
                                # or NULL
    Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    """a_k = e^(z_k - max z) / sum_j e^(z_j - max z): the shift keeps e^z from overflowing."""
    cdef Py_ssize_t k, s
    cdef real largest[MOST_LANES]
    cdef real total[MOST_LANES]
    for s in range(lanes):
        largest[s] = z[s]
        total[s] = 0
    for k in range(1, n):
        for s in range(lanes):
            largest[s] = z[k * lanes + s] if z[k * lanes + s] > largest[s] else largest[s]
    for k in range(n):
        for s in range(lanes):
            a[k * lanes + s] = exponential(z[k * lanes + s] - largest[s])
            total[s] += a[k * lanes + s]
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
    cdef Py_ssize_t k
    cdef real largest = a[0], total = 0
    for k in range(1, n):
        largest = a[k] if a[k] > largest else largest
    for k in range(whole):
        a[k] = exponential(a[k] - largest)
    for k in range(n):
        total += a[k]
    total = <real> 1 / total
    for k in range(n):
        a[k] *= total


cdef inline void activate(
    Activation activation,
    const real* z,              # IN (count,)
    real* a,                    # OUT (count,); may be z itself
    Py_ssize_t count,
) noexcept nogil:
    """a = sigma(z) for all but the softmax."""
    # One loop; naming the activation at each call makes it a constant there, so every loop is
    # compiled for its one activation instead of choosing anew for every entry.
    if activation == IDENTITY:
        if a != z:
            activate_each(IDENTITY, z, a, count)
    elif activation == SIGMOID:
        activate_each(SIGMOID, z, a, count)
    elif activation == TANH:
        activate_each(TANH, z, a, count)
    elif activation == RELU:
        activate_each(RELU, z, a, count)
    elif activation == LEAKY_RELU:
        activate_each(LEAKY_RELU, z, a, count)
    elif activation == ELU:
        activate_each(ELU, z, a, count)
    elif activation == GELU:
        activate_each(GELU, z, a, count)
    elif activation == SILU:
        activate_each(SILU, z, a, count)
    elif activation == SOFTPLUS:
        activate_each(SOFTPLUS, z, a, count)
    elif activation == EXP:
        activate_each(EXP, z, a, count)


cdef inline void scale_each(
    Activation activation, const real* z, const real* a, real* delta, Py_ssize_t count,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        delta[i] *= sigma_derivative(activation, z[i], a[i])


cdef inline void multiply_by_derivative(
    Activation activation,
    const real* z,              # IN (count,); read only where derivative_reads_z
    const real* a,              # IN (count,)
    real* delta,                # IN dC/da, OUT dC/dz = dC/da sigma'(z)
    Py_ssize_t count,
) noexcept nogil:
    if activation == SIGMOID:
        scale_each(SIGMOID, z, a, delta, count)
    elif activation == TANH:
        scale_each(TANH, z, a, delta, count)
    elif activation == RELU:
        scale_each(RELU, z, a, delta, count)
    elif activation == LEAKY_RELU:
        scale_each(LEAKY_RELU, z, a, delta, count)
    elif activation == ELU:
        scale_each(ELU, z, a, delta, count)
    elif activation == GELU:
        scale_each(GELU, z, a, delta, count)
    elif activation == SILU:
        scale_each(SILU, z, a, delta, count)
    elif activation == SOFTPLUS:
        scale_each(SOFTPLUS, z, a, delta, count)
    elif activation == EXP:
        scale_each(EXP, z, a, delta, count)
