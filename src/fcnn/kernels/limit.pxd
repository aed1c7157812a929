"""The limit that speed is measured against: multiply-adds of numbers that stay in the registers.

As many independent numbers as hide the time that one multiply-add takes, nothing loaded, nothing
stored: the loop runs as fast as the CPU multiplies and adds. benchmarks/peers divides by it.
"""

from fcnn.kernels.isa cimport LIMIT_COLUMNS, LIMIT_ROWS
from fcnn.kernels.real cimport HAS_FMA, multiply_add, real


cdef inline Py_ssize_t per_turn() noexcept nogil:
    """How many multiply-adds of each number a turn of the loop makes.

    A fused one is an instruction, and one of each number are 12 (AVX2), beside five of the loop's
    own: these took up to 5 % of the time. Of two instructions each the loop has enough.
    """
    return 2 if HAS_FMA else 1


cdef inline Py_ssize_t limit_entries(real one) noexcept nogil:
    """How many numbers of the argument's type `multiply_adds` works on."""
    return LIMIT_ROWS * (LIMIT_COLUMNS if real is float else LIMIT_COLUMNS // 2)


cdef inline void multiply_adds(
    Py_ssize_t turns,
    real* x,                    # IN: all 0.5, unknown to the compiler. OUT: so it has to compute
) noexcept nogil:
    """Make turns * per_turn() multiply-adds with each number; none becomes denormal."""
    cdef Py_ssize_t width = LIMIT_COLUMNS if real is float else LIMIT_COLUMNS // 2
    cdef Py_ssize_t i, j, _turn, _again
    cdef real total[LIMIT_ROWS][LIMIT_COLUMNS]
    cdef real half = x[0]
    cdef size_t chain = <size_t> turns
    for i in range(LIMIT_ROWS):
        for j in range(width):
            total[i][j] = x[i * width + j]
    for _turn in range(turns):
        # One integer that depends on the turn before: without it GCC exchanges the loops over turns
        # and rows, and then waits for each multiply-add.
        chain = 5 * chain + 1
        for _again in range(per_turn()):
            for i in range(LIMIT_ROWS):
                for j in range(width):
                    # A fused one adds to x, as in a matrix product: Arm's has no other form without
                    # a copy. Of two instructions the product would be the same in each turn.
                    total[i][j] = (
                        multiply_add(half, half, total[i][j]) if HAS_FMA
                        else multiply_add(total[i][j], half, half))
    for i in range(LIMIT_ROWS):
        for j in range(width):
            x[i * width + j] = total[i][j]
    if chain == 0:  # which the compiler cannot rule out, so it keeps the chain
        x[0] = 0
