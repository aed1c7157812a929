"""Losses: the cost of one sample, and its derivative with respect to the input sums of the output.

    cost          C(a^L, y), summed over the outputs of a sample
    output delta  delta^L = dC/da^L sigma'(z^L) = dC/dz^L

Where sigma and C belong together (identity with the squared error, sigmoid with the binary cross
entropy, softmax with the cross entropy, exp with the Poisson loss) the product is a - y, exactly;
and the cost is computed from z, so that neither overflows nor takes the logarithm of a rounded 0.
"""

from libc.stdint cimport int64_t

from fcnn._activations cimport (
    Activation, EXP, IDENTITY, SOFTMAX, sigma_derivative,
)
from fcnn._real cimport exponential, exponential_minus_1, logarithm, logarithm_of_1_plus, real

cdef enum Loss:
    SQUARED_ERROR
    ABSOLUTE_ERROR
    HUBER
    POISSON
    BINARY_CROSS_ENTROPY
    CROSS_ENTROPY


cdef inline real cost(Loss loss, Activation output, real z, real a, real y) noexcept nogil:
    """One output's share of C, for the losses that are a sum over outputs."""
    cdef real error = a - y
    cdef real size = -error if error < 0 else error
    if loss == SQUARED_ERROR:
        return <real> 0.5 * error * error
    if loss == ABSOLUTE_ERROR:
        return size
    if loss == HUBER:
        return size - <real> 0.5 if size > 1 else <real> 0.5 * error * error
    if loss == POISSON:
        # log a = z for a = e^z; and nearly so for a = softplus(z), where a has underflowed
        return a - y * (z if output == EXP or a == 0 else logarithm(a))
    # binary cross entropy of a = sigmoid(z): log(1 + e^z) - y z, with e^-|z| against overflow
    return (0 if z < 0 else z) - y * z + logarithm_of_1_plus(exponential(z if z < 0 else -z))


cdef inline real delta_of_output(
    Loss loss, Activation output, real z, real a, real y,
) noexcept nogil:
    """dC/dz = dC/da sigma'(z) of one output, for the losses that are a sum over outputs."""
    cdef real error = a - y
    cdef real slope
    if loss == BINARY_CROSS_ENTROPY:
        return error
    if loss == POISSON:
        if output == EXP:
            return error
        # (1 - y / a) sigma'(z), where sigma'(z) / a = (1 - e^-a) / a tends to 1 as a vanishes
        slope = sigma_derivative(output, z, a)
        return slope - y * (slope / a if a > 0 else 1)
    if loss == ABSOLUTE_ERROR:
        error = 1 if error > 0 else (-1 if error < 0 else error)
    elif loss == HUBER:
        error = 1 if error > 1 else (-1 if error < -1 else error)
    if output == IDENTITY or output == SOFTMAX:
        return error            # dC/da; softmax_delta multiplies by the softmax's derivative
    return error * sigma_derivative(output, z, a)


cdef inline void softmax_delta(const real* a, real* delta, Py_ssize_t n) noexcept nogil:
    """dC/dz_k = sum_j dC/da_j da_j/dz_k = a_k (dC/da_k - sum_j dC/da_j a_j)."""
    cdef Py_ssize_t k
    cdef real mean = 0
    for k in range(n):
        mean += delta[k] * a[k]
    for k in range(n):
        delta[k] = a[k] * (delta[k] - mean)


cdef inline real log_sum_exp(const real* z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k
    cdef real largest = z[0]
    cdef real total = 0
    for k in range(1, n):
        largest = z[k] if z[k] > largest else largest
    for k in range(n):
        total += exponential(z[k] - largest)
    return largest + logarithm(total)


cdef inline double output_pass(
    Loss loss, Activation output,
    const real* z,              # IN (rows, n) input sums of the output layer
    const real* a,              # IN (rows, n) its activations
    const real* y,              # IN (rows, n) targets, or NULL where labels are given
    const int64_t* labels,      # IN (rows,) index of the one output whose target is 1, or NULL
    const real* weight,         # IN (rows,) sample weights, or NULL for 1
    double scale,               # 1 / (sum of the weights of the whole batch)
    real* delta,                # OUT (rows, n) or NULL: delta^L, with weight and scale in it
    Py_ssize_t rows, Py_ssize_t n,
) noexcept nogil:
    """Return the sum over the rows of weight times cost, and write the output deltas."""
    cdef Py_ssize_t i, k
    cdef double total = 0, sample
    cdef real target, normalizer, factor
    for i in range(rows):
        sample = 0
        normalizer = log_sum_exp(z, n) if loss == CROSS_ENTROPY else 0
        for k in range(n):
            target = y[k] if labels == NULL else (1 if labels[i] == k else 0)
            if loss == CROSS_ENTROPY:
                # The test keeps 0 * infinity out of the sum; -log a_k = log sum e^z - z_k
                if target != 0:
                    sample += target * (normalizer - z[k])
                if delta != NULL:
                    delta[k] = a[k] - target
            else:
                sample += cost(loss, output, z[k], a[k], target)
                if delta != NULL:
                    delta[k] = delta_of_output(loss, output, z[k], a[k], target)
        if delta != NULL:
            if output == SOFTMAX and loss != CROSS_ENTROPY:
                softmax_delta(a, delta, n)
            factor = <real> (scale * weight[i] if weight != NULL else scale)
            for k in range(n):
                delta[k] *= factor
            delta += n
        total += sample * weight[i] if weight != NULL else sample
        z += n
        a += n
        if y != NULL:
            y += n
    return total
