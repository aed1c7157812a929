# The order of an epoch's samples.

# Not cimported from numpy.random: that would import it with fcnn.
cdef extern from "numpy/random/bitgen.h" nogil:
    ctypedef struct bitgen_t:
        void* state
        uint32_t (*next_uint32)(void* state) nogil

cdef void shuffle(bitgen_t* source, int64_t* numbers, Py_ssize_t n) noexcept nogil:
    """R. Durstenfeld, Algorithm 235: Random permutation, CACM 7 (1964).

    Each j from 0 to i is as likely: of as many bits as i has, those that make more are refused.
    Then the number changes place with itself: whether one is refused no CPU foresees.
    """
    cdef Py_ssize_t i = n - 1, j
    cdef uint32_t mask = UINT32_MAX
    cdef int64_t one
    cdef bint taken
    while i > 0:
        while <Py_ssize_t> (mask >> 1) >= i:
            mask >>= 1
        j = source.next_uint32(source.state) & mask
        taken = j <= i
        j = j if taken else i
        one = numbers[i]
        numbers[i] = numbers[j]
        numbers[j] = one
        i -= taken


def shuffled(generator, n):
    """Return 0, ..., n - 1 in random order, int64: what `generator` makes of them by `shuffle`.

    NumPy moves entries of any size, by three calls each: with 4-16-3 that took 40 % of what the
    core's part of an epoch does.
    """
    cdef Py_ssize_t count = n
    cdef cnp.ndarray numbers = np.arange(count, dtype=np.int64)
    cdef bitgen_t* source
    if count > <Py_ssize_t> UINT32_MAX:
        generator.shuffle(numbers)
        return numbers
    bits = generator.bit_generator
    source = <bitgen_t*> PyCapsule_GetPointer(bits.capsule, "BitGenerator")
    with bits.lock, nogil:
        shuffle(source, <int64_t*> cnp.PyArray_DATA(numbers), count)
    return numbers
