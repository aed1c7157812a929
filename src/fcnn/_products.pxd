"""The one matrix product, for the forward pass, the delta recursion and the gradients.

    C_ij = bias_j + sum_k A_ik B_kj          (or C_ij += sum_k A_ik B_kj)

A is read with a stride for each of its two directions, so a transposed A costs nothing. B is
row-major and its lanes run over j, so no sum is reordered: entry ij adds its products in the order
of k whatever the tile, and a row has the same bits alone and in a batch.
"""

from fcnn._real cimport multiply_add, real
from fcnn._signals cimport count_work

cdef extern from * nogil:
    """
    /* A tile of sums that fills the vector registers and leaves room for one row of B and one entry
       of A: 16 of 32 registers (AVX-512), 12 of 16 (AVX2, SSE), 24 of 32 (NEON). More than there
       are registers costs a factor of four, silently. 24 columns, not 16: GCC unrolls 16 before it
       vectorizes. */
    #if defined(__AVX512F__)
    #define FCNN_TILE_ROWS 8
    #define FCNN_TILE_COLUMNS 32
    #elif defined(__AVX2__) || defined(__aarch64__)
    #define FCNN_TILE_ROWS 4
    #define FCNN_TILE_COLUMNS 24
    #else
    #define FCNN_TILE_ROWS 2
    #define FCNN_TILE_COLUMNS 24
    #endif
    """
    enum:
        TILE_ROWS "FCNN_TILE_ROWS"
        TILE_COLUMNS "FCNN_TILE_COLUMNS"


cdef enum:
    # From this many rows on, a panel of B is copied together before it is used: read in place, rows
    # of 128 or 1,024 numbers are a power of two apart and push each other out of the cache
    # (256 x 1024 x 1024 on Zen 3, AVX2: 39 GFLOP/s in place, 59 copied; float64 20 and 41). For
    # fewer rows the copy costs more than it brings.
    PACKED_ROWS = 48
    # A tile reads its columns of B whole, past the end of a row where the row ends first, and drops
    # what it should not have read. So every array that serves as B, and the bias, is followed by
    # this many readable entries.
    SLACK = 64


cdef inline void tile(
    Py_ssize_t rows,            # IN constant at every call: the loops over it are unrolled
    const real* A, Py_ssize_t A_row, Py_ssize_t A_column,   # IN
    const real* B, Py_ssize_t B_row,                        # IN
    const real* bias,           # IN or NULL
    real* C, Py_ssize_t C_row,  # OUT
    Py_ssize_t columns,         # how many of the tile's columns to store
    Py_ssize_t depth,
    bint add,
) noexcept nogil:
    cdef Py_ssize_t width = TILE_COLUMNS if real is float else TILE_COLUMNS // 2
    cdef Py_ssize_t i, j, k
    cdef real total[TILE_ROWS][TILE_COLUMNS]
    for i in range(rows):
        for j in range(width):
            total[i][j] = 0
    if bias != NULL:
        for i in range(rows):
            for j in range(width):
                total[i][j] = bias[j]
    for k in range(depth):
        for i in range(rows):
            for j in range(width):
                total[i][j] = multiply_add(
                    A[i * A_row + k * A_column], B[k * B_row + j], total[i][j])
    if add:
        for i in range(rows):
            for j in range(columns):
                C[i * C_row + j] += total[i][j]
    elif columns == width:
        for i in range(rows):
            for j in range(width):
                C[i * C_row + j] = total[i][j]
    else:
        for i in range(rows):
            for j in range(columns):
                C[i * C_row + j] = total[i][j]


cdef inline void row_product(
    const real* A, Py_ssize_t A_column,     # IN (depth,)
    const real* B,                          # IN (depth, columns)
    const real* bias,                       # IN (columns,) or NULL
    real* C,                                # OUT (columns,)
    Py_ssize_t columns, Py_ssize_t depth,
    bint add,
) noexcept nogil:
    """C_j = bias_j + sum_k A_k B_kj: B is read once, from its first entry to its last."""
    cdef Py_ssize_t j, k, quads = depth // 4
    cdef const real* row
    cdef real total, a_0, a_1, a_2, a_3
    if not add:
        for j in range(columns):
            C[j] = bias[j] if bias != NULL else 0
    for k in range(quads):
        row = B + 4 * k * columns
        a_0 = A[4 * k * A_column]
        a_1 = A[(4 * k + 1) * A_column]
        a_2 = A[(4 * k + 2) * A_column]
        a_3 = A[(4 * k + 3) * A_column]
        for j in range(columns):
            total = multiply_add(a_0, row[j], C[j])
            total = multiply_add(a_1, row[columns + j], total)
            total = multiply_add(a_2, row[2 * columns + j], total)
            C[j] = multiply_add(a_3, row[3 * columns + j], total)
    for k in range(4 * quads, depth):
        a_0 = A[k * A_column]
        for j in range(columns):
            C[j] = multiply_add(a_0, B[k * columns + j], C[j])


cdef inline int product(
    const real* A, Py_ssize_t A_row, Py_ssize_t A_column,   # IN (rows, depth)
    const real* B,              # IN (depth, columns), row-major, followed by SLACK entries
    const real* bias,           # IN (columns,), followed by SLACK entries, or NULL
    real* C,                    # OUT (rows, columns), row-major
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    bint add,                   # add to C instead of writing it
    real* packed,               # scratch: depth * TILE_COLUMNS entries
    Py_ssize_t* work,           # between two panels Ctrl-C is looked for; NULL to not look
) except -1 nogil:
    cdef Py_ssize_t width = TILE_COLUMNS if real is float else TILE_COLUMNS // 2
    cdef Py_ssize_t full_tiles = rows // TILE_ROWS
    cdef Py_ssize_t panel, i, j, k, stored
    cdef Py_ssize_t B_row = columns
    cdef const real* panel_B
    cdef const real* panel_bias
    if rows == 1 and columns > 2 * width:
        row_product(A, A_column, B, bias, C, columns, depth, add)
        return count_work(work, columns * depth)
    # Panels of B outside, rows inside: a panel (depth x width) stays in the cache for all rows.
    for panel in range((columns + width - 1) // width):
        j = panel * width
        stored = min(width, columns - j)
        panel_B = B + j
        panel_bias = bias + j if bias != NULL else NULL
        if rows >= PACKED_ROWS:
            B_row = width
            for k in range(depth):
                for i in range(width):
                    packed[k * width + i] = panel_B[k * columns + i]
            panel_B = packed
        for i in range(full_tiles):
            tile(TILE_ROWS, A + i * TILE_ROWS * A_row, A_row, A_column, panel_B, B_row,
                 panel_bias, C + i * TILE_ROWS * columns + j, columns, stored, depth, add)
        for i in range(full_tiles * TILE_ROWS, rows):
            tile(1, A + i * A_row, A_row, A_column, panel_B, B_row,
                 panel_bias, C + i * columns + j, columns, stored, depth, add)
        count_work(work, rows * width * depth)
    return 0


cdef inline void transpose(
    const real* source,         # IN (rows, columns)
    real* target,               # OUT (columns, rows)
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(columns):
        for i in range(rows):
            target[j * rows + i] = source[i * columns + j]
