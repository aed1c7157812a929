"""Losses: the cost of each sample, and its derivative with respect to the input sums of the output.

    cost          C(a^L, y), summed over the outputs of a sample
    output delta  delta^L = dC/da^L sigma'(z^L) = dC/dz^L

Where sigma and C belong together (identity with the squared error, sigmoid with the binary cross
entropy, softmax with the cross entropy, exp with the Poisson loss) the product is a - y, exactly;
and the cost is computed from z, so that neither overflows nor takes the logarithm of a rounded 0.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy

from fcnn.kernels.activations cimport EXP, SIGMOID, SOFTMAX, SOFTPLUS, Activation, sigma_derivative
from fcnn.kernels.elementary cimport exponential, logarithm, logarithm_of_1_plus
from fcnn.kernels.isa cimport BYTES, NR
from fcnn.kernels.products cimport BLOCK_TERMS
from fcnn.kernels.real cimport SPECIALIZED, real, trap

cdef enum Loss:                 # their names: core/model.pxi
    SQUARED_ERROR
    ABSOLUTE_ERROR
    HUBER
    POISSON
    BINARY_CROSS_ENTROPY
    CROSS_ENTROPY
    GAUSSIAN_NLL                # of several outputs for each target: not in the ladders of one,
    QUANTILE                    # and likewise
    NUM_LOSSES
    GIVEN                       # dC/da is given in place of y; C is the caller's
    GIVEN_DELTA                 # and likewise dC/dz


cdef enum Targets:              # what a loss is defined for
    NUMBERS
    COUNTS                      # numbers of at least 0
    PROBABILITIES               # of each output, from 0 to 1
    CLASSES                     # labels, or probabilities of all outputs that sum to 1


cdef inline bint is_given(Loss loss) noexcept nogil:
    return loss == GIVEN or loss == GIVEN_DELTA


cdef inline real cost(
    Loss loss, Activation output, real z, real a, real y, real normalizer,
) noexcept nogil:
    """One output's share of C."""
    cdef real error = a - y
    cdef real size = -error if error < 0 else error
    cdef real log_a
    if is_given(loss):
        return 0
    if loss == SQUARED_ERROR:
        return <real> 0.5 * error * error
    if loss == ABSOLUTE_ERROR:
        return size
    if loss == HUBER:
        return size - <real> 0.5 if size > 1 else <real> 0.5 * error * error
    if loss == POISSON:
        # log a = z for a = e^z; and nearly so for a = softplus(z), where a has underflowed
        if output == EXP:
            return a - y * z
        # Before it is chosen, as there: see sigma of softplus.
        log_a = logarithm(a)
        return a - y * (z if a == 0 else log_a)
    if loss == CROSS_ENTROPY:
        # The test keeps 0 * infinity out of the sum.
        return y * (normalizer - z) if y != 0 else 0
    if loss == BINARY_CROSS_ENTROPY:
        # of a = sigmoid(z): log(1 + e^z) - y z, with e^-|z| against overflow
        return (0 if z < 0 else z) - y * z + logarithm_of_1_plus(exponential(z if z < 0 else -z))
    trap()
    return 0


cdef inline bint gives_dC_dz(Loss loss) noexcept nogil:
    """Whether dC_da, below, has sigma' in it already."""
    if (loss == CROSS_ENTROPY or loss == BINARY_CROSS_ENTROPY or loss == POISSON
            or loss == GIVEN_DELTA):
        return True
    if (loss == SQUARED_ERROR or loss == ABSOLUTE_ERROR or loss == HUBER or loss == GAUSSIAN_NLL
            or loss == QUANTILE or loss == GIVEN):
        return False
    trap()
    return False


cdef inline real dC_da(Loss loss, Activation output, real z, real a, real y) noexcept nogil:
    """dC/da of one output; dC/dz, where `gives_dC_dz`."""
    cdef real error = a - y
    cdef real rise
    if is_given(loss):
        return y
    if loss == SQUARED_ERROR or loss == CROSS_ENTROPY or loss == BINARY_CROSS_ENTROPY:
        return error
    if loss == ABSOLUTE_ERROR:
        return 1 if error > 0 else (-1 if error < 0 else error)
    if loss == HUBER:
        return 1 if error > 1 else (-1 if error < -1 else error)
    if loss == POISSON:
        if output == EXP:
            return error
        # (1 - y / a) sigma'(z), where sigma'(z) / a = (1 - e^-a) / a tends to 1 as a vanishes
        rise = sigma_derivative(output, <real> 0, z, a)   # softplus: no alpha
        return rise - y * (rise / a if a > 0 else 1)
    trap()
    return 0


cdef inline void one_loss(
    Loss loss, Activation output,   # constant at every call; the output counts for POISSON alone
    const real* z, const real* a, const real* y, const real* normalizer, const real* factor,
    real* costs, real* delta, Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    # A register at a time: so the compiler knows how long the loops over lanes are. What delta gets
    # is not copied there from an array, which GCC does in parts that a wider load would wait for.
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), first = 0, k, s, at
    cdef real some[NR]
    while first < lanes:
        for s in range(one):
            some[s] = 0
        for k in range(n):
            at = k * lanes + first
            for s in range(one):
                some[s] += cost(loss, output, z[at + s], a[at + s], y[at + s],
                                normalizer[first + s])
        memcpy(costs + first, some, BYTES)
        for k in range(n if delta != NULL else 0):
            at = k * lanes + first
            for s in range(one):
                delta[at + s] = factor[first + s] * dC_da(
                    loss, output, z[at + s], a[at + s], y[at + s])
        first += one


cdef inline void gaussian_loss(
    const real* a,              # IN (2 m, lanes) means, and behind them logarithms of variances
    const real* y,              # IN (m, lanes)
    const real* factor, real* costs, real* delta,   # as in any_loss
    Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """C = (s + (a - y)^2 e^-s) / 2, of a normal distribution of mean a and variance e^s."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), first = 0, k, s, at
    cdef const real* log_variance = a + m * lanes
    cdef real some[NR]
    cdef real error, precision, deviation
    while first < lanes:
        for s in range(one):
            some[s] = 0
        for k in range(m):
            at = k * lanes + first
            for s in range(one):
                error = a[at + s] - y[at + s]
                precision = exponential(-log_variance[at + s])
                deviation = error * precision * error
                some[s] += <real> 0.5 * (log_variance[at + s] + deviation)
                if delta != NULL:
                    delta[at + s] = factor[first + s] * (error * precision)
                    delta[m * lanes + at + s] = factor[first + s] * (
                        <real> 0.5 * (<real> 1 - deviation))
        memcpy(costs + first, some, BYTES)
        first += one


cdef inline void quantile_loss(
    const real* a,              # IN (n, lanes) quantiles: all first ones, then all second ones
    const real* y,              # IN (m, lanes)
    const double* levels,       # IN (n / m,)
    const real* factor, real* costs, real* delta,   # as in any_loss
    Py_ssize_t n, Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """C = q (y - a) if a < y, (1 - q) (a - y) otherwise, of a level q: its least mean is there.

    R. Koenker, G. Bassett: Regression quantiles, Econometrica 46, 1978. Where a = y the derivative
    is taken to be that between the two sides.
    """
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), first = 0, k, s, at
    cdef real some[NR]
    cdef real error, level, above
    while first < lanes:
        for s in range(one):
            some[s] = 0
        for k in range(n):
            level = <real> levels[k // m]
            above = <real> (1 - levels[k // m])
            at = k * lanes + first
            for s in range(one):
                error = a[at + s] - y[k % m * lanes + first + s]
                some[s] += error * (-level if error < 0 else above)
                if delta != NULL:
                    delta[at + s] = factor[first + s] * (
                        above if error > 0
                        else (-level if error < 0 else error + (above - level) / 2))
        memcpy(costs + first, some, BYTES)
        first += one


cdef inline void any_loss(
    Loss loss, Activation output,
    const real* z,              # IN (n, lanes) input sums of the output layer, a panel
    const real* a,              # IN (n, lanes) its activations
    const real* y,              # IN (m, lanes)
    const double* levels,       # IN (n / m,) of quantiles
    const real* normalizer,     # IN (lanes,) of the softmax
    const real* factor,         # IN (lanes,) what each sample's cost counts in the loss
    real* costs,                # OUT (lanes,) C of each sample
    real* delta,                # OUT (n, lanes) factor dC/da, or dC/dz: see dC_da; or NULL
    Py_ssize_t n, Py_ssize_t m, Py_ssize_t lanes,
) noexcept nogil:
    """Name the loss, which makes it a constant."""
    if loss == GAUSSIAN_NLL:
        gaussian_loss(a, y, factor, costs, delta, m, lanes)
    elif loss == QUANTILE:
        quantile_loss(a, y, levels, factor, costs, delta, n, m, lanes)
    elif not SPECIALIZED:
        one_loss(loss, output, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == SQUARED_ERROR:
        one_loss(SQUARED_ERROR, output, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == ABSOLUTE_ERROR:
        one_loss(ABSOLUTE_ERROR, output, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == HUBER:
        one_loss(HUBER, output, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == POISSON and output == EXP:
        one_loss(POISSON, EXP, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == POISSON and output == SOFTPLUS:
        one_loss(POISSON, SOFTPLUS, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == BINARY_CROSS_ENTROPY and output == SIGMOID:
        one_loss(BINARY_CROSS_ENTROPY, SIGMOID, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif loss == CROSS_ENTROPY and output == SOFTMAX:
        one_loss(CROSS_ENTROPY, SOFTMAX, z, a, y, normalizer, factor, costs, delta, n, lanes)
    elif is_given(loss):
        one_loss(GIVEN, output, z, a, y, normalizer, factor, costs, delta, n, lanes)
    else:
        trap()


cdef inline void label_loss(
    const real* z, const real* a,   # as in any_loss
    const int32_t* labels,      # IN (lanes,) index of the one output whose target is 1
    const real* normalizer, const real* factor, real* costs, real* delta,
    Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    """The cross entropy of labels: C = -log a_label, delta_k = a_k - y_k."""
    # Compared with each k instead of used as an index: so the loops over samples are vectors.
    cdef Py_ssize_t k, s
    for s in range(lanes):
        costs[s] = 0
    for k in range(n):
        for s in range(lanes):
            costs[s] = normalizer[s] - z[k * lanes + s] if labels[s] == <int32_t> k else costs[s]
    if delta == NULL:
        return
    for k in range(n):
        for s in range(lanes):
            delta[k * lanes + s] = factor[s] * (
                a[k * lanes + s] - (<real> 1 if labels[s] == <int32_t> k else <real> 0))


cdef inline void softmax_delta(
    const real* a, real* delta, Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    """dC/dz_k = sum_j dC/da_j da_j/dz_k = a_k (dC/da_k - sum_j dC/da_j a_j)."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), first = 0, k, s, begun, last
    cdef real mean[NR]
    cdef real some[NR]          # of BLOCK_TERMS nodes
    while first < lanes:
        for s in range(one):
            mean[s] = 0
        begun = 0
        while begun < n:
            last = min(begun + BLOCK_TERMS, n)
            for s in range(one):
                some[s] = 0
            for k in range(begun, last):
                for s in range(one):
                    some[s] += delta[k * lanes + s] * a[k * lanes + s]
            for s in range(one):
                mean[s] += some[s]
            begun = last
        for k in range(n):
            for s in range(one):
                delta[k * lanes + s] = a[k * lanes + s] * (delta[k * lanes + s] - mean[s])
        a += one
        delta += one
        first += one
