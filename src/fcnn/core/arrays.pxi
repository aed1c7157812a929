# What Python objects must be for the core to read their memory.

cdef void* data_of(object array, int kind, Py_ssize_t size, name, bint write=False) except? NULL:
    """The address of a C-contiguous, aligned, native array of `size` entries; nothing else passes.

    Users' arrays were made so before they came here: this is the core's own guard against reading
    memory that is not theirs.
    """
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
    cdef cnp.ndarray a = array
    if (not cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(a), kind)
            or not cnp.PyArray_ISCARRAY_RO(a) or cnp.PyArray_SIZE(a) != size
            or (write and not cnp.PyArray_ISCARRAY(a))):
        raise ValueError(f"{name}: the core expects {size} contiguous entries of its dtype")
    return cnp.PyArray_DATA(a)


cdef inline bint is_array(
    array, int kind, int ndim, Py_ssize_t rows, Py_ssize_t columns,
) noexcept:
    """Whether the core can read it: a plain array of this dtype and shape."""
    if not cnp.PyArray_CheckExact(array):
        return False
    cdef cnp.ndarray a = array
    return (cnp.PyArray_TYPE(a) == kind and cnp.PyArray_ISCARRAY_RO(a)
            and cnp.PyArray_NDIM(a) == ndim and cnp.PyArray_DIM(a, 0) == rows
            and (ndim == 1 or cnp.PyArray_DIM(a, 1) == columns))


cdef bint are_indices(const int64_t* numbers, Py_ssize_t n, Py_ssize_t end) noexcept nogil:
    """Whether each number is at least 0 and less than `end`."""
    cdef Py_ssize_t i
    cdef bint fine = True
    for i in range(n):
        fine &= <uint64_t> numbers[i] < <uint64_t> end  # a negative number is a large one
    return fine


cdef inline bint share_bytes(
    const void* one, Py_ssize_t size, const void* other, Py_ssize_t other_size,
) noexcept nogil:
    """Whether two pieces of memory have a byte in common."""
    return (<const char*> one < <const char*> other + other_size
            and <const char*> other < <const char*> one + size)


cdef inline bint overlap(cnp.ndarray one, cnp.ndarray other) noexcept:
    """Whether two contiguous arrays share memory."""
    return share_bytes(cnp.PyArray_DATA(one), cnp.PyArray_NBYTES(one),
                       cnp.PyArray_DATA(other), cnp.PyArray_NBYTES(other))


cdef inline cnp.ndarray apart(cnp.ndarray array, cnp.ndarray written):
    """The array, or a copy where it has memory that is going to be written."""
    return array.copy() if overlap(array, written) else array
