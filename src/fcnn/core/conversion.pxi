# Inputs that are not what the core computes with: arrays of other numbers and layouts, and lists.
#
# They become numbers of the network's dtype here, by C's conversions, which are NumPy's: in tens of
# ns, where _validation.py takes as many microseconds. What is not read here (other bytes' order,
# float16, objects, frames, subclasses), and what is wrong, goes there: it is converted or refused.

from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int8_t, int16_t, uint8_t, uint16_t

cdef enum:
    # Integers of a list up to this power of two are the same numbers as float64.
    EXACT_BITS = 53

cdef inline bint overflows(double x) noexcept nogil:
    """Whether a finite number becomes infinite as float32: half a unit above its largest, or more.
    """
    return (fabs(x) >= 3.4028235677973366e+38) & (fabs(x) <= DBL_MAX)

ctypedef fused number:
    float
    double
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t

cdef struct Given:              # inputs of a caller, as an array
    const char* x
    int kind                    # NumPy's number of a type that `number` has, or of bool
    Py_ssize_t rows
    Py_ssize_t n                # entries of a row
    Py_ssize_t row_stride       # bytes
    Py_ssize_t stride


cdef int plain_kind(cnp.ndarray a) noexcept:
    """NumPy's number of the type that the core reads an array as, -1 where it cannot."""
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a)
    if not (cnp.PyArray_ISALIGNED(a) and cnp.PyArray_ISNOTSWAPPED(a)):
        return -1
    if kind == cnp.NPY_BOOL or kind == cnp.NPY_FLOAT32 or kind == cnp.NPY_FLOAT64:
        return kind
    # C has several names for integers of one size.
    if cnp.PyTypeNum_ISSIGNED(kind) and cnp.PyTypeNum_ISINTEGER(kind):
        return (cnp.NPY_INT8 if size == 1 else cnp.NPY_INT16 if size == 2
                else cnp.NPY_INT32 if size == 4 else cnp.NPY_INT64)
    if cnp.PyTypeNum_ISUNSIGNED(kind):
        return (cnp.NPY_UINT8 if size == 1 else cnp.NPY_UINT16 if size == 2
                else cnp.NPY_UINT32 if size == 4 else cnp.NPY_UINT64)
    return -1


cdef bint describe_given(X, Py_ssize_t n_in, Given* given) noexcept:
    """Whether X is an array, shape (s, n_in) or (n_in,), that convert_rows reads."""
    cdef cnp.ndarray a
    cdef int ndim
    if not cnp.PyArray_CheckExact(X):
        return False
    a = X
    ndim = cnp.PyArray_NDIM(a)
    if not (ndim == 1 or ndim == 2) or cnp.PyArray_DIM(a, ndim - 1) != n_in:
        return False
    given.kind = plain_kind(a)
    given.x = <const char*> cnp.PyArray_DATA(a)
    given.rows = cnp.PyArray_DIM(a, 0) if ndim == 2 else 1
    given.n = n_in
    given.row_stride = cnp.PyArray_STRIDE(a, 0) if ndim == 2 else 0
    given.stride = cnp.PyArray_STRIDE(a, ndim - 1)
    # A broadcast array may have more rows than any memory has bytes for.
    return given.kind >= 0 and 0 < given.rows <= (<Py_ssize_t> 1 << 56) // n_in


cdef void convert_row(
    const number* x, Py_ssize_t stride, real* to, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
    if stride == sizeof(number):
        for i in range(n):
            to[i] = <real> x[i]
    else:
        for i in range(n):
            to[i] = <real> x[0]
            x = <const number*> (<const char*> x + stride)


cdef void convert_truths(const char* x, Py_ssize_t stride, real* to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = 1 if x[i * stride] != 0 else 0


cdef void convert_rows(
    const Given* given, Py_ssize_t first, Py_ssize_t rows, real* to,
) noexcept nogil:
    """Some rows as (rows, n), contiguous."""
    cdef const char* x = given.x + first * given.row_stride
    cdef Py_ssize_t n = given.n, stride = given.stride, i
    if stride * n == given.row_stride:      # one behind the other
        n *= rows
        rows = 1
    for i in range(rows):
        if given.kind == cnp.NPY_FLOAT64:
            convert_row(<const double*> x, stride, to, n)
        elif given.kind == cnp.NPY_FLOAT32:
            convert_row(<const float*> x, stride, to, n)
        elif given.kind == cnp.NPY_INT64:
            convert_row(<const int64_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_INT32:
            convert_row(<const int32_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_UINT8:
            convert_row(<const uint8_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_INT8:
            convert_row(<const int8_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_INT16:
            convert_row(<const int16_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_UINT16:
            convert_row(<const uint16_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_UINT32:
            convert_row(<const uint32_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_UINT64:
            convert_row(<const uint64_t*> x, stride, to, n)
        elif given.kind == cnp.NPY_BOOL:
            convert_truths(x, stride, to, n)
        else:
            trap()
        x += given.row_stride
        to += n


cdef bint row_fits(const double* x, Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Whether no finite entry becomes infinite as float32."""
    cdef Py_ssize_t i
    cdef bint overflow = False
    if stride == sizeof(double):
        for i in range(n):
            overflow |= overflows(x[i])
    else:
        for i in range(n):
            overflow |= overflows(x[0])
            x = <const double*> (<const char*> x + stride)
    return not overflow


cdef bint rows_fit(
    const Given* given, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t itemsize,
) noexcept nogil:
    """Whether some rows can be numbers of so many bytes: integers always can."""
    cdef const char* x = given.x + first * given.row_stride
    cdef Py_ssize_t n = given.n, i
    if given.kind != cnp.NPY_FLOAT64 or itemsize == sizeof(double):
        return True
    if given.stride * n == given.row_stride:
        return row_fits(<const double*> x, given.stride, n * rows)
    for i in range(rows):
        if not row_fits(<const double*> x, given.stride, n):
            return False
        x += given.row_stride
    return True


cdef int all_fit(const Given* given, Py_ssize_t itemsize) except -1:
    """Whether all rows can be; Ctrl-C is heard between two pieces."""
    cdef Py_ssize_t first = 0, most = max(<Py_ssize_t> 1, ENTRIES_PER_LOOK // given.n), rows
    cdef bint fit = True
    while fit and first < given.rows:
        rows = min(most, given.rows - first)
        if rows * given.n < WORTH_RELEASING:
            fit = rows_fit(given, first, rows, itemsize)
        else:
            with nogil:
                fit = rows_fit(given, first, rows, itemsize)
        first += rows
        if first < given.rows:
            PyErr_CheckSignals()
    return fit


cdef inline void convert_to(
    const Given* given, Py_ssize_t first, Py_ssize_t rows, void* to, Py_ssize_t itemsize,
) noexcept nogil:
    if itemsize == sizeof(float):
        convert_rows(given, first, rows, <float*> to)
    else:
        convert_rows(given, first, rows, <double*> to)


cdef int convert(
    const Given* given, Py_ssize_t first, Py_ssize_t rows, void* to, Py_ssize_t itemsize,
) except -1:
    """Some rows as numbers of so many bytes, likewise."""
    cdef Py_ssize_t end = first + rows, most = max(<Py_ssize_t> 1, ENTRIES_PER_LOOK // given.n)
    while first < end:
        rows = min(most, end - first)
        if rows * given.n < WORTH_RELEASING:
            convert_to(given, first, rows, to, itemsize)
        else:
            with nogil:
                convert_to(given, first, rows, to, itemsize)
        to = <char*> to + rows * given.n * itemsize
        first += rows
        if first < end:
            PyErr_CheckSignals()
    return 0


# --- Lists -----------------------------------------------------------------------------------

cdef inline bint is_list(X) noexcept:
    return PyList_CheckExact(X) or PyTuple_CheckExact(X)


cdef Py_ssize_t rows_of_list(X, Py_ssize_t n_in, int* ndim) except -1:
    """Rows of a list of n_in numbers, or of lists of them, by their lengths alone; 0 of others."""
    cdef Py_ssize_t n
    if not is_list(X):
        return 0
    n = len(X)
    if n == 0:
        return 0
    ndim[0] = 2 if is_list(X[0]) else 1
    if ndim[0] == 1:
        return 1 if n == n_in else 0
    for row in X:
        if not is_list(row) or len(row) != n_in:
            return 0
    return n


cdef int read_numbers(X, Py_ssize_t n_in, real* to) except -1:
    """Whether X holds n_in plain floats, or integers that float64 has, all in the range of real."""
    cdef double value
    cdef long long whole
    cdef int overflow
    cdef Py_ssize_t count = 0
    for entry in X:
        if count == n_in:
            return False        # another thread has added to it
        if PyFloat_CheckExact(entry):
            value = PyFloat_AsDouble(entry)
            if real is float and overflows(value):
                return False
        elif PyLong_CheckExact(entry):
            whole = PyLong_AsLongLongAndOverflow(entry, &overflow)
            if overflow != 0 or not -(1LL << EXACT_BITS) <= whole <= 1LL << EXACT_BITS:
                return False
            value = <double> whole
        else:
            return False
        to[count] = <real> value
        count += 1
    return count == n_in


cdef int read_list(X, Py_ssize_t n_in, int ndim, Py_ssize_t rows, real* to) except -1:
    """Whether X holds such numbers alone: (rows, n_in)."""
    cdef Py_ssize_t count = 0
    if ndim == 1:
        return read_numbers(X, n_in, to)
    for row in X:
        if count == rows or not is_list(row) or not read_numbers(row, n_in, to + count * n_in):
            return False
        count += 1
        if count * n_in % ENTRIES_PER_LOOK < n_in:
            PyErr_CheckSignals()
    return count == rows
