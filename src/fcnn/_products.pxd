"""The one matrix product, for the forward pass, the delta recursion and the gradients.

    C_ij = bias_j + sum_k A_ik B_kj          (or C_ij += sum_k A_ik B_kj)

A is read with a stride for each of its two directions, so a transposed A costs nothing. B is
row-major and its lanes run over j, so no sum is reordered: entry ij adds its products in the order
of k whatever the tile, and a row has the same bits alone and in a batch.
"""

from fcnn._real cimport real

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
                total[i][j] += A[i * A_row + k * A_column] * B[k * B_row + j]
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


cdef inline void product(
    const real* A, Py_ssize_t A_row, Py_ssize_t A_column,   # IN (rows, depth)
    const real* B,              # IN (depth, columns), row-major, followed by SLACK entries
    const real* bias,           # IN (columns,), followed by SLACK entries, or NULL
    real* C,                    # OUT (rows, columns), row-major
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    bint add,                   # add to C instead of writing it
) noexcept nogil:
    cdef Py_ssize_t width = TILE_COLUMNS if real is float else TILE_COLUMNS // 2
    cdef Py_ssize_t full_tiles = rows // TILE_ROWS
    cdef Py_ssize_t panel, i, j, stored
    cdef const real* panel_bias
    # Panels of B outside, rows inside: a panel (depth x width) stays in the cache for all rows.
    for panel in range((columns + width - 1) // width):
        j = panel * width
        stored = min(width, columns - j)
        panel_bias = bias + j if bias != NULL else NULL
        for i in range(full_tiles):
            tile(TILE_ROWS, A + i * TILE_ROWS * A_row, A_row, A_column, B + j, columns,
                 panel_bias, C + i * TILE_ROWS * columns + j, columns, stored, depth, add)
        for i in range(full_tiles * TILE_ROWS, rows):
            tile(1, A + i * A_row, A_row, A_column, B + j, columns,
                 panel_bias, C + i * columns + j, columns, stored, depth, add)


cdef inline void transpose(
    const real* source,         # IN (rows, columns)
    real* target,               # OUT (columns, rows)
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(columns):
        for i in range(rows):
            target[j * rows + i] = source[i * columns + j]
