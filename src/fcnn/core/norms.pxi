# How large numbers are: what clipping, penalties and the checked update ask.

cdef enum:
    # Sums that one pass keeps: with a single one each addition would wait for the one before.
    SUMS_OF_FINITE = 32
    SUMS_OF_NORM = 16
    # Entries of panels that are put in order at a time.
    NORM_ENTRIES = 512


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


cdef bint finite_until_stop(Worker* w, const real* values, Py_ssize_t n) noexcept nogil:
    """finite, piece by piece; anything if the call is to end."""
    cdef Py_ssize_t i = 0, count
    while i < n:
        count = min(<Py_ssize_t> ENTRIES_PER_LOOK, n - i)
        if not finite(values + i, count):
            return False
        i += count
        if should_stop_in_vector(w, count):
            break
    return True


cdef bint finite_or_raise(const void* data, Py_ssize_t size, bint single) except -1:
    """finite, with the GIL between the pieces; raise what Ctrl-C raises."""
    cdef Py_ssize_t first = 0, count
    cdef bint answer = True
    while first < size and answer:
        count = min(<Py_ssize_t> ENTRIES_PER_LOOK, size - first)
        with nogil:
            if single:
                answer = finite(<const float*> data + first, count)
            else:
                answer = finite(<const double*> data + first, count)
        first += count
        if first < size:
            PyErr_CheckSignals()
    return answer


cdef void add_magnitudes(
    const real* x, Py_ssize_t full,     # IN so many times SUMS_OF_NORM entries
    bint of_magnitudes, double* total,  # IN, OUT (SUMS_OF_NORM,)
) noexcept nogil:
    cdef double sums[SUMS_OF_NORM]
    cdef Py_ssize_t i, j
    for j in range(SUMS_OF_NORM):
        sums[j] = total[j]
    for i in range(full):
        if of_magnitudes:
            for j in range(SUMS_OF_NORM):
                sums[j] += fabs(<double> x[i * SUMS_OF_NORM + j])
        else:
            for j in range(SUMS_OF_NORM):
                sums[j] += (<double> x[i * SUMS_OF_NORM + j]) * (<double> x[i * SUMS_OF_NORM + j])
    for j in range(SUMS_OF_NORM):
        total[j] = sums[j]


cdef double all_magnitudes(
    const real* x, Py_ssize_t n, bint of_magnitudes, double* sums,
) noexcept nogil:
    """Add what is left, x of n entries, to the first sum, and that to the others."""
    cdef Py_ssize_t i
    for i in range(n):
        sums[0] += fabs(<double> x[i]) if of_magnitudes else <double> x[i] * <double> x[i]
    for i in range(1, SUMS_OF_NORM):
        sums[0] += sums[i]
    return sums[0]


cdef double norm(
    const Model* model, const real* x,  # IN as long as the parameters
    Py_ssize_t from_layer, Py_ssize_t to_layer, bint biases,    # what of it
    bint of_magnitudes,
    Worker* w,                  # who may look for Ctrl-C meanwhile, or NULL
) noexcept nogil:
    """sum |x| or sum x^2, the entries in the order in which Python sees them; anything if the
    call is to end.
    """
    cdef double sums[SUMS_OF_NORM]
    cdef real row[NORM_ENTRIES + NR]
    cdef Py_ssize_t l, j, k, n = 0, full, count
    cdef const Layer* layer = &model.layers[from_layer]
    memset(sums, 0, sizeof(sums))
    if not model.in_panels:
        x += layer.W
        n = ((model.layers[to_layer].b + model.layers[to_layer].n_out if biases
              else model.layers[to_layer].b) - layer.W)
        while n >= SUMS_OF_NORM:
            count = min(n, <Py_ssize_t> ENTRIES_PER_LOOK) // SUMS_OF_NORM * SUMS_OF_NORM
            add_magnitudes(x, count // SUMS_OF_NORM, of_magnitudes, sums)
            x += count
            n -= count
            if w != NULL and should_stop_in_vector(w, count):
                return 0
        return all_magnitudes(x, n, of_magnitudes, sums)
    for l in range(from_layer, to_layer + 1):
        layer = &model.layers[l]
        for j in range(layer.n_in + biases):
            k = 0
            while k < layer.n_out:
                memcpy(row + n, x + (weight_at(layer, j, k) if j < layer.n_in else layer.b + k),
                       NR * sizeof(real))
                n += min(<Py_ssize_t> NR, layer.n_out - k)
                k += NR
                if n >= NORM_ENTRIES:
                    add_magnitudes(row, NORM_ENTRIES // SUMS_OF_NORM, of_magnitudes, sums)
                    n -= NORM_ENTRIES
                    memcpy(row, &row[NORM_ENTRIES], NR * sizeof(real))
                    if w != NULL and should_stop_in_vector(w, NORM_ENTRIES):
                        return 0
    full = n // SUMS_OF_NORM
    add_magnitudes(row, full, of_magnitudes, sums)
    return all_magnitudes(
        row + full * SUMS_OF_NORM, n - full * SUMS_OF_NORM, of_magnitudes, sums)


cdef double penalty(const Model* model, double l1, double l2, const real* tag) noexcept nogil:
    """l1 sum |W| + l2 / 2 sum W^2."""
    cdef double total = 0
    cdef const real* W = <const real*> model.parameters
    cdef Py_ssize_t l
    for l in range(1, model.L + 1):
        if l1 != 0:
            total += l1 * norm(model, W, l, l, False, True, NULL)
        if l2 != 0:
            total += l2 / 2 * norm(model, W, l, l, False, False, NULL)
    return total
