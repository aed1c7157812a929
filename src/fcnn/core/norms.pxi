# How large numbers are: what clipping, penalties and the checked update ask.

cdef enum:
    # Sums that one pass keeps: with a single one each addition would wait for the one before.
    SUMS_OF_FINITE = 32
    SUMS_OF_NORM = 16


cdef bint finite(const real* values, Py_ssize_t n) noexcept nogil:
    # x - x is 0, or NaN for NaN and infinities
    cdef real sums[SUMS_OF_FINITE]
    cdef Py_ssize_t i, j, full = n // SUMS_OF_FINITE
    for j in range(SUMS_OF_FINITE):
        sums[j] = 0
    for i in range(full):
        for j in range(SUMS_OF_FINITE):
            sums[j] += values[i * SUMS_OF_FINITE + j] - values[i * SUMS_OF_FINITE + j]
    for i in range(full * SUMS_OF_FINITE, n):
        sums[0] += values[i] - values[i]
    for j in range(1, SUMS_OF_FINITE):
        sums[0] += sums[j]
    return sums[0] == 0


cdef double norm(const real* x, Py_ssize_t n, bint of_magnitudes) noexcept nogil:
    """sum |x| or sum x^2."""
    cdef double sums[SUMS_OF_NORM]
    cdef Py_ssize_t i, j, full = n // SUMS_OF_NORM
    for j in range(SUMS_OF_NORM):
        sums[j] = 0
    for i in range(full):
        if of_magnitudes:
            for j in range(SUMS_OF_NORM):
                sums[j] += fabs(<double> x[i * SUMS_OF_NORM + j])
        else:
            for j in range(SUMS_OF_NORM):
                sums[j] += (<double> x[i * SUMS_OF_NORM + j]) * (<double> x[i * SUMS_OF_NORM + j])
    for i in range(full * SUMS_OF_NORM, n):
        sums[0] += fabs(<double> x[i]) if of_magnitudes else <double> x[i] * <double> x[i]
    for j in range(1, SUMS_OF_NORM):
        sums[0] += sums[j]
    return sums[0]


cdef double penalty(const Model* model, double l1, double l2, const real* tag) noexcept nogil:
    """l1 sum |W| + l2 / 2 sum W^2."""
    cdef double total = 0
    cdef const real* W
    cdef Py_ssize_t l, n
    for l in range(1, model.L + 1):
        W = <const real*> model.parameters + model.layers[l].W
        n = model.layers[l].n_in * model.layers[l].n_out
        if l1 != 0:
            total += l1 * norm(W, n, True)
        if l2 != 0:
            total += l2 / 2 * norm(W, n, False)
    return total
