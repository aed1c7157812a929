# What tests, checks and benchmarks look at, beside the passes.

ELEMENTARY = ["exp", "expm1", "log", "log1p", "tanh", "erf", "sigmoid"]


def elementary(name, array):
    """Return an elementary function of each entry: exp, expm1, log, log1p, tanh, erf or sigmoid.

    They are within 2 units in the last place; the activations and losses are computed with them.
    """
    cdef Py_ssize_t size = array.size, function = ELEMENTARY.index(name)
    cdef cnp.ndarray result = np.empty_like(array)
    cdef void* y = cnp.PyArray_DATA(result)
    if array.dtype == np.float32:
        each(function, <float*> data_of(array, cnp.NPY_FLOAT32, size, "array"), <float*> y, size)
    else:
        each(function, <double*> data_of(array, cnp.NPY_FLOAT64, size, "array"), <double*> y, size)
    return result


cdef void each(Py_ssize_t function, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if function == 0:
        for i in range(n):
            y[i] = exponential(x[i])
    elif function == 1:
        for i in range(n):
            y[i] = exponential_minus_1(x[i])
    elif function == 2:
        for i in range(n):
            y[i] = logarithm(x[i])
    elif function == 3:
        for i in range(n):
            y[i] = logarithm_of_1_plus(x[i])
    elif function == 4:
        for i in range(n):
            y[i] = hyperbolic_tangent(x[i])
    elif function == 5:
        for i in range(n):
            y[i] = error_function(x[i])
    elif function == 6:
        for i in range(n):
            y[i] = sigmoid(x[i])
    else:
        trap()


def multiply_adds(count, dtype):
    """Make multiply-adds in the registers alone; return how many operations they were.

    That is the limit of this build on this machine, which benchmarks compare with.
    """
    cdef Py_ssize_t turns = count
    cdef bint single = np.dtype(dtype) == np.float32
    cdef Py_ssize_t entries = limit_entries(<float> 1) if single else limit_entries(<double> 1)
    # In memory that the compiler does not see: Clang drops a loop over numbers that it knows.
    cdef cnp.ndarray x = np.full(entries, 0.5, np.float32 if single else np.float64)
    cdef void* data = cnp.PyArray_DATA(x)
    with nogil:
        if single:
            register_loop(turns, <float*> data)
        else:
            register_loop(turns, <double*> data)
    return 2 * turns * entries


# In a function of its own, where the loop has all registers.
cdef void register_loop(Py_ssize_t turns, real* x) noexcept nogil:
    limit_loop(turns, x)


def all_finite(array):
    """Return whether no entry of a contiguous float32 or float64 array is NaN or infinite."""
    cdef Py_ssize_t size = array.size
    cdef void* data
    cdef bint answer
    if array.dtype == np.float32:
        data = data_of(array, cnp.NPY_FLOAT32, size, "array")
        with nogil:
            answer = finite(<const float*> data, size)
    else:
        data = data_of(array, cnp.NPY_FLOAT64, size, "array")
        with nogil:
            answer = finite(<const double*> data, size)
    return answer


def force_lists(force):
    """Make lists of nonzero inputs never (0), always (1), or again where it is faster (-1).

    Of dense inputs, by all calls of the process: so tests compare the two ways.
    """
    global listing
    listing = force


def micro_tile_shape():
    """Return what kernels/isa.h says of this build: bytes of a register, MR, and NR of float32."""
    return BYTES, MR, NR
