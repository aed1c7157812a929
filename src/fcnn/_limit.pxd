"""The limit that speed is measured against: multiply-adds of numbers that stay in the registers.

As many independent numbers as hide the time that one multiply-add takes, nothing loaded, nothing
stored: the loop runs as fast as the CPU multiplies and adds. benchmarks/peers.py divides by it.
"""

from fcnn._real cimport multiply_add, real

cdef extern from * nogil:
    """
    /* Rows times columns of numbers: 24 of 32 registers (AVX-512, NEON), 12 of 16 (AVX2), 14 of 16
       (SSE, where a product waits for a sum and a sum for a product). GCC unrolls loops of at most
       8 turns (CMakeLists.txt): so many rows and vectors in a row at most, and more columns, or it
       unrolls them before it has vectorized. */
    #if defined(__AVX512F__)
    #define FCNN_LIMIT_ROWS 6
    #define FCNN_LIMIT_COLUMNS 64
    #elif defined(__AVX2__) || defined(__aarch64__)
    #define FCNN_LIMIT_ROWS 4
    #define FCNN_LIMIT_COLUMNS 24
    #else
    #define FCNN_LIMIT_ROWS 2
    #define FCNN_LIMIT_COLUMNS 28
    #endif
    #if defined(__FMA__) || defined(__aarch64__)
    #define FCNN_LIMIT_ADDS 1
    #else
    #define FCNN_LIMIT_ADDS 0
    #endif
    """
    enum:
        LIMIT_ROWS "FCNN_LIMIT_ROWS"
        LIMIT_COLUMNS "FCNN_LIMIT_COLUMNS"  # of float; half as many of double
        ADDS "FCNN_LIMIT_ADDS"


cdef inline Py_ssize_t limit_entries(real one) noexcept nogil:
    """How many numbers of the argument's type `multiply_adds` works on."""
    return LIMIT_ROWS * (LIMIT_COLUMNS if real is float else LIMIT_COLUMNS // 2)


cdef inline void multiply_adds(
    Py_ssize_t count,
    real* x,                    # IN: all 0.5, unknown to the compiler. OUT: so it has to compute
) noexcept nogil:
    """Make `count` multiply-adds with each of `limit_entries` numbers; none becomes denormal."""
    cdef Py_ssize_t width = LIMIT_COLUMNS if real is float else LIMIT_COLUMNS // 2
    cdef Py_ssize_t i, j, _turn
    cdef real total[LIMIT_ROWS][LIMIT_COLUMNS]
    cdef real half = x[0]
    cdef size_t chain = <size_t> count
    for i in range(LIMIT_ROWS):
        for j in range(width):
            total[i][j] = x[i * width + j]
    for _turn in range(count):
        # One integer that depends on the turn before: without it GCC exchanges the loops over turns
        # and rows, and then waits for each multiply-add.
        chain = 5 * chain + 1
        for i in range(LIMIT_ROWS):
            for j in range(width):
                # A fused one adds to x, as in a matrix product: Arm's has no other form without a
                # copy. Of two instructions the product would be the same in each turn.
                total[i][j] = (
                    multiply_add(half, half, total[i][j]) if ADDS
                    else multiply_add(total[i][j], half, half))
    for i in range(LIMIT_ROWS):
        for j in range(width):
            x[i * width + j] = total[i][j]
    if chain == 0:  # which the compiler cannot rule out, so it keeps the chain
        x[0] = 0
