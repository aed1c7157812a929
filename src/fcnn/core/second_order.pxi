# What fcnn/second_order/ asks of a network beside its gradients.

def add_normal_equations(Network network, X, dC_da, residual, sums, n_threads=None):
    """Add the upper half of (J r)^T (J r) to sums, J and r of one combination of the outputs.

    Parameters
    ----------
    network : Network
    X : numpy.ndarray, shape (s, n_0)
    dC_da : numpy.ndarray, shape (s, n_L)
        Row s of J is the gradient of ``dC_da[s] @ a^L`` of sample s.
    residual : numpy.ndarray, shape (s,)
    sums : numpy.ndarray of float64, shape (num_parameters + 1, num_parameters + 1)
    n_threads : int, optional
        As many, which changes no bit.
    """
    cdef Model model = network.model
    cdef Call call
    cdef Equations e
    cdef Py_ssize_t n = model.n_parameters + 1, size, lanes = model.lanes
    cdef uintptr_t position
    cdef void* memory
    e.sums = <double*> data_of(sums, cnp.NPY_FLOAT64, n * n, "sums", write=True)
    e.residual = data_of(residual, network.kind, len(X), "residual")
    if not cnp.PyArray_Check(X):
        raise TypeError(f"X: expected an array, got {type(X).__name__}")
    size = (n + lanes - 1) // lanes * lanes * JACOBIAN_ROWS * model.itemsize
    memory = PyMem_Malloc(2 * size + 2 * 64)
    if memory == NULL:
        raise MemoryError(f"cannot allocate {2 * size} bytes of workspace")
    position = <uintptr_t> memory
    e.by_samples = place(&position, size)
    e.by_parameters = place(&position, size)
    model.loss = GIVEN
    memset(&call, 0, sizeof(Call))
    call.model = &model
    call.equations = &e
    try:
        network.pass_once(X, dC_da, None, n_threads, &call, True)
    finally:
        PyMem_Free(memory)


def gradient_given(Network network, X, dC_da, n_threads=None):
    """Return the gradient, with respect to the parameters, of sum_s dC_da[s] @ a^L of sample s."""
    cdef Model model = network.model
    cdef Call call
    model.loss = GIVEN
    memset(&call, 0, sizeof(Call))
    call.model = &model
    return network.pass_given(X, dC_da, None, n_threads, &call, None, None, 0)


cdef bint factor_rows(
    double* R,                  # IN A, OUT R: (n, stride), zeros behind the rows
    Py_ssize_t n, Py_ssize_t stride,
    double* column,             # (n,)
) noexcept nogil:
    """R^T R = A, the upper halves, row by row; return whether A is positive definite."""
    cdef Py_ssize_t i, j, k, most = MOST_NARROW_BYTES // <Py_ssize_t> sizeof(double)
    cdef double* row = R
    cdef double root
    for i in range(n):
        # R_ij = (A_ij - sum_k R_ki R_kj) / R_ii, with the lanes over j
        for k in range(i):
            column[k] = -R[k * stride + i]
        j = i
        while i > 0 and j < n:
            narrow_row_product(column, <const double*> R + j, stride, <const double*> row + j,
                               row + j, min(most, n - j), i)
            j += most
        if not row[i] > 0:
            return False
        root = sqrt(row[i])
        row[i] = root
        for j in range(i + 1, n):
            row[j] /= root
        row += stride
    return True


def factor_block(factor, Py_ssize_t begin, Py_ssize_t end):
    """Put the Cholesky factor R, R^T R = A, in the place of a block A on the diagonal.

    LAPACK's takes five times as long for some hundred rows, and NumPy copies them four times.

    Parameters
    ----------
    factor : numpy.ndarray of float64, shape (n, n)
        Of rows and columns begin .. end - 1 the upper half is read and written, the lower one left.

    Returns
    -------
    bool
        Whether the block is positive definite; if not, it is left as it was.
    """
    cdef Py_ssize_t n = len(factor), count = end - begin, stride, i
    cdef double* A = <double*> data_of(factor, cnp.NPY_FLOAT64, n * n, "factor", write=True)
    cdef double* R
    cdef bint found
    if not 0 <= begin < end <= n:
        raise ValueError(f"begin, end: expected a block of {n} rows, got {begin} to {end}")
    # Not a power of two: a column's numbers would push each other out of the cache.
    stride = (count + SLACK) // SLACK * SLACK + SLACK // 4
    R = <double*> PyMem_Malloc((count + 1) * stride * sizeof(double))
    if R == NULL:
        raise MemoryError(f"cannot allocate {(count + 1) * stride * sizeof(double)} bytes")
    A += begin * n + begin
    with nogil:
        for i in range(count):  # of the lower half no entry counts
            memcpy(R + i * stride + i, A + i * n + i, (count - i) * sizeof(double))
            memset(R + i * stride + count, 0, (stride - count) * sizeof(double))
        found = factor_rows(R, count, stride, R + count * stride)
        if found:
            for i in range(count):
                memcpy(A + i * n + i, R + i * stride + i, (count - i) * sizeof(double))
    PyMem_Free(R)
    return found


cdef enum:
    PARTIAL_SUMS = 8            # of a dot product, that it is no chain of additions


cdef void solve_rows(
    const double* R, double* x, Py_ssize_t n, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    """Some rows of R^T y = b, in place."""
    cdef Py_ssize_t i, j
    for i in range(first, end):
        x[i] /= R[i * n + i]
        for j in range(i + 1, n):
            x[j] -= R[i * n + j] * x[i]


cdef void solve_rows_back(
    const double* R, double* x, Py_ssize_t n, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    """Some rows of R x = y, in place, the last one first."""
    cdef Py_ssize_t i, j, c
    cdef double sums[PARTIAL_SUMS]
    for i in range(end - 1, first - 1, -1):
        memset(sums, 0, sizeof(sums))
        j = i + 1
        while j + PARTIAL_SUMS <= n:
            for c in range(PARTIAL_SUMS):
                sums[c] += R[i * n + j + c] * x[j + c]
            j += PARTIAL_SUMS
        while j < n:
            sums[0] += R[i * n + j] * x[j]
            j += 1
        for c in range(PARTIAL_SUMS):
            x[i] -= sums[c]
        x[i] /= R[i * n + i]


def solve_factored(factor, vector):
    """Solve R^T R x = b in place, R the upper triangle of `factor`, both float64."""
    cdef Py_ssize_t n = len(vector), first = 0, rows = max(<Py_ssize_t> 1, ENTRIES_PER_LOOK // n)
    cdef const double* R = <const double*> data_of(factor, cnp.NPY_FLOAT64, n * n, "factor")
    cdef double* x = <double*> data_of(vector, cnp.NPY_FLOAT64, n, "vector", write=True)
    while first < n:
        with nogil:
            solve_rows(R, x, n, first, min(first + rows, n))
        first += rows
        PyErr_CheckSignals()
    while first > 0:
        first -= rows
        with nogil:
            solve_rows_back(R, x, n, first, min(first + rows, n))
        PyErr_CheckSignals()


def make_step(Network network, parameters, optimizer, dict state):
    """Set parameters and an optimizer's attributes, and count its step: all of it or nothing.

    No signal is heard and no other thread runs meanwhile.

    Parameters
    ----------
    network : Network
    parameters : numpy.ndarray, shape (num_parameters,)
        Of the network's dtype.
    optimizer : fcnn.optimizers.Optimizer
    state : dict of str to object
        Attributes of the optimizer.
    """
    cdef Py_ssize_t n = network.model.n_parameters
    cdef const void* source = data_of(parameters, network.kind, n, "parameters")
    steps = optimizer.steps + 1
    memcpy(network.model.parameters, source, n * network.model.itemsize)
    for name, value in state.items():
        PyObject_GenericSetAttr(optimizer, name, value)
    PyObject_GenericSetAttr(optimizer, "steps", steps)
