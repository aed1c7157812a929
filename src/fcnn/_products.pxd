"""The matrix products of the three passes, all by one register tile.

A batch is stored by panels of LANES samples, within a panel node after node:

    panel p of a layer with n nodes     (n, LANES), sample p LANES + lane in column `lane`

so the lanes of a register are samples (in the gradient: outputs), and no layer is too narrow. The
tile keeps ROWS x LANES sums in registers and runs over k:

                     C_ij = bias_i + sum_k A_ik B_kj    rows i            lanes j     sum over k
    forward pass     z    = b + W^T a                   nodes of l        samples     nodes of l - 1
    delta recursion  dC/da = W delta                    nodes of l - 1    samples     nodes of l
    gradient         dW   = a delta                     nodes of l - 1    nodes of l  samples

B is always a panel. A is W, read where it is stored, or the panels of a. Every C_ij adds its
products one after the other in the order of k, whatever the tile: a sample has the same bits alone,
in a batch, and on any number of threads.
"""

from libc.string cimport memcpy

from fcnn._real cimport multiply_add, real
from fcnn._updates cimport descended
from fcnn._vector cimport (
    BYTES, FLOATS, double_vector, float_vector, load, spread, store, vector, vector_multiply_add,
)

cdef extern from * nogil:
    """
    /* Vectors of sums (ROWS x 2 or 4) must fill the registers and leave room for a row of B and an
       entry of A: 16 of 32 (AVX-512), 12 of 16 (AVX2), 24 of 32 (NEON), 12 of 16 (SSE, which
       multiplies and adds by two instructions that overwrite what they read: most of the rest are
       copies, fewest for 3 x 4, with 75 % of the limit; 2 x 4, 4 x 2 and 6 x 2 reach 68, 63 and
       67 %). More than there are registers costs a factor of four, silently; so do more rows than
       FCNN_FLAGS' max-completely-peel-times. */
    #if defined(__AVX512F__)
    #define FCNN_ROWS 8
    #define FCNN_VECTORS 2
    #elif defined(__AVX2__)
    #define FCNN_ROWS 6
    #define FCNN_VECTORS 2
    #elif defined(__aarch64__)
    #define FCNN_ROWS 6
    #define FCNN_VECTORS 4
    #elif defined(__clang__)    /* It keeps 3 of 3 x 4 in memory: 1.7 times as long as 2 x 4. */
    #define FCNN_ROWS 2
    #define FCNN_VECTORS 4
    #else
    #define FCNN_ROWS 3
    #define FCNN_VECTORS 4
    #endif
    /* Keeps a number from the compiler's knowledge. */
    #define FCNN_OPAQUE(n) __asm__("" : "+r"(n))
    #define FCNN_LANES (FCNN_VECTORS * FCNN_BYTES / 4)
    """
    enum:
        ROWS "FCNN_ROWS"
        VECTORS "FCNN_VECTORS"
        LANES "FCNN_LANES"      # of float32; float64 has half as many

    void opaque "FCNN_OPAQUE"(Py_ssize_t n)


cdef enum:
    # Nodes whose weights are copied together before the forward pass multiplies with them: read in
    # place, a node's weights are a row of W apart, and where that is a power of two they push each
    # other out of the cache (784-1024, 256 samples, Zen 3, AVX2: 39 GFLOP/s in place, 94 copied).
    GROUP_BYTES = 96
    # A vector is read whole where a row of W ends inside it: so the parameters, and what is
    # computed from a row at a time, are followed by this many readable entries.
    SLACK = 64


cdef enum Layout:               # of A
    ACROSS                      # A[k * stride + i]: W in the forward pass
    ALONG                       # A[i * stride + k]: W in the delta recursion
    PANELS                      # A[panel * stride + i * lanes + k]: a in the gradient

cdef enum Finish:
    KEEP                        # C = the sums
    DESCEND                     # C <- C + descent (sums + decay C): the plain update of weights


cdef inline void tile(
    Layout layout, Py_ssize_t rows, Py_ssize_t vectors,   # constant at every call
    const real* A, Py_ssize_t stride,                   # IN
    const real* B,              # IN (depth, lanes)
    real* C, Py_ssize_t C_stride,       # OUT (rows, lanes)
    Py_ssize_t depth, const real* bias,
    Finish finish, real descent, real decay, const vector* typed,
) noexcept nogil:
    cdef Py_ssize_t lanes = LANES if real is float else LANES // 2
    cdef Py_ssize_t one = lanes // VECTORS
    cdef Py_ssize_t i, j, _k, span, most = lanes
    cdef vector total[ROWS][VECTORS]
    cdef vector b[VECTORS]
    cdef vector a
    for i in range(rows):
        for j in range(vectors):
            total[i][j] = spread(bias[i] if layout == ACROSS else <real> 0, typed)
    opaque(most)        # of a loop of at most 8 turns GCC would make 8 copies that spill
    while depth > 0:
        span = min(depth, most) if layout == PANELS else depth
        for _k in range(span):
            for j in range(vectors):
                b[j] = load(B + j * one, typed)
            for i in range(rows):
                if layout == ACROSS:
                    a = spread(A[i], typed)
                elif layout == ALONG:
                    a = spread(A[i * stride], typed)
                else:
                    a = spread(A[i * lanes], typed)
                for j in range(vectors):
                    total[i][j] = vector_multiply_add(a, b[j], total[i][j])
            A += stride if layout == ACROSS else 1
            B += lanes
        if layout == PANELS:
            A += stride - lanes
        depth -= span
    for i in range(rows):
        for j in range(vectors):
            if finish == DESCEND:
                total[i][j] = descended(load(C + j * one, typed), total[i][j],
                                        spread(descent, typed), spread(decay, typed))
            store(C + j * one, total[i][j])
        C += C_stride


cdef inline void any_rows(
    Layout layout, Py_ssize_t rows, Py_ssize_t vectors,
    const real* A, Py_ssize_t stride, const real* B, real* C, Py_ssize_t C_stride,
    Py_ssize_t depth, const real* bias, Finish finish, real descent, real decay,
    const vector* typed,
) noexcept nogil:
    """Name the number of rows, which makes it a constant."""
    if rows == ROWS:
        tile(layout, ROWS, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif rows == 1:
        tile(layout, 1, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 2 and rows == 2:
        tile(layout, 2, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 3 and rows == 3:
        tile(layout, 3, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 4 and rows == 4:
        tile(layout, 4, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 5 and rows == 5:
        tile(layout, 5, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 6 and rows == 6:
        tile(layout, 6, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)
    elif ROWS > 7:
        tile(layout, 7, vectors, A, stride, B, C, C_stride, depth, bias, finish, descent, decay,
             typed)


cdef inline void any_tile(
    Layout layout, Py_ssize_t rows, bint narrow,
    const real* A, Py_ssize_t stride, const real* B, real* C, Py_ssize_t C_stride,
    Py_ssize_t depth, const real* bias, Finish finish, real descent, real decay,
) noexcept nogil:
    """A tile of up to ROWS rows; a narrow one computes the first half of the lanes."""
    if real is float:
        if narrow:
            any_rows(layout, rows, VECTORS // 2, A, stride, B, C, C_stride, depth, bias, finish,
                     descent, decay, <float_vector*> NULL)
        else:
            any_rows(layout, rows, VECTORS, A, stride, B, C, C_stride, depth, bias, finish,
                     descent, decay, <float_vector*> NULL)
    else:
        if narrow:
            any_rows(layout, rows, VECTORS // 2, A, stride, B, C, C_stride, depth, bias, finish,
                     descent, decay, <double_vector*> NULL)
        else:
            any_rows(layout, rows, VECTORS, A, stride, B, C, C_stride, depth, bias, finish,
                     descent, decay, <double_vector*> NULL)


cdef inline Py_ssize_t tiles_of(Py_ssize_t rows) noexcept nogil:
    """How many tiles share the rows. They share them evenly: no tile is left with one or two, which
    would wait for its few sums (128 rows by 6 are 18 tiles of 6 and 4 of 5).
    """
    return (rows + ROWS - 1) // ROWS


# --- One sample at a time ---------------------------------------------------------------------

cdef inline void row_panel(
    Py_ssize_t vectors,         # constant at every call
    const real* A,              # IN (depth,)
    const real* B, Py_ssize_t stride,   # IN (depth, vectors full of columns)
    const real* bias,           # IN
    real* C,                    # OUT
    Py_ssize_t depth, const vector* typed,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), j, k
    cdef vector total[8]
    cdef vector a
    for j in range(vectors):
        total[j] = load(bias + j * one, typed)
    for k in range(depth):
        a = spread(A[k], typed)
        for j in range(vectors):
            total[j] = vector_multiply_add(a, load(B + j * one, typed), total[j])
        B += stride
    for j in range(vectors):
        store(C + j * one, total[j])


cdef inline void row_panels(
    const real* A, const real* B, const real* bias, real* C, Py_ssize_t columns, Py_ssize_t depth,
    const vector* typed,
) noexcept nogil:
    """At most 16 vectors of columns, in one or two panels alike: each waits for its sums."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t vectors = (columns + one - 1) // one, first = 0, _pass
    # Without a division, which takes as long as a small layer.
    cdef Py_ssize_t passes = 1 if vectors <= 8 else 2
    cdef Py_ssize_t width = vectors if vectors <= 8 else (vectors + 1) // 2
    for _pass in range(passes):
        if width == 1:
            row_panel(1, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 2:
            row_panel(2, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 3:
            row_panel(3, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 4:
            row_panel(4, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 5:
            row_panel(5, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 6:
            row_panel(6, A, B + first, columns, bias + first, C + first, depth, typed)
        elif width == 7:
            row_panel(7, A, B + first, columns, bias + first, C + first, depth, typed)
        else:
            row_panel(8, A, B + first, columns, bias + first, C + first, depth, typed)
        first += width * one
        width = min(width, vectors - width)


cdef inline void row_product(
    const real* A,              # IN (depth,)
    const real* B,              # IN (depth, columns), followed by SLACK entries
    const real* bias,           # IN (columns,), followed by SLACK entries
    real* C,                    # OUT (columns,), followed by SLACK entries
    Py_ssize_t columns, Py_ssize_t depth,
) noexcept nogil:
    """C_j = bias_j + sum_k A_k B_kj, the lanes over j."""
    cdef Py_ssize_t j, k, quads = depth // 4
    cdef const real* row
    cdef real total, a_0, a_1, a_2, a_3
    if columns * <Py_ssize_t> sizeof(real) <= 16 * BYTES:
        if real is float:
            row_panels(A, B, bias, C, columns, depth, <float_vector*> NULL)
        else:
            row_panels(A, B, bias, C, columns, depth, <double_vector*> NULL)
        return
    # Wide rows are read from end to end: panels would read a part of each and come back later for
    # the next (1 x 1024 x 1024, Zen 3: 6 GFLOP/s by panels, 31 so).
    memcpy(C, bias, columns * sizeof(real))
    for k in range(quads):
        row = B + 4 * k * columns
        a_0 = A[4 * k]
        a_1 = A[4 * k + 1]
        a_2 = A[4 * k + 2]
        a_3 = A[4 * k + 3]
        for j in range(columns):
            total = multiply_add(a_0, row[j], C[j])
            total = multiply_add(a_1, row[columns + j], total)
            total = multiply_add(a_2, row[2 * columns + j], total)
            C[j] = multiply_add(a_3, row[3 * columns + j], total)
    for k in range(4 * quads, depth):
        a_0 = A[k]
        for j in range(columns):
            C[j] = multiply_add(a_0, B[k * columns + j], C[j])


# --- How large the numbers are ----------------------------------------------------------------

cdef inline vector squares(const real* x, Py_ssize_t rows, const vector* typed) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), _i, j
    cdef vector total[VECTORS]
    cdef vector v
    for j in range(VECTORS):
        total[j] = spread(<real> 0, typed)
    for _i in range(rows):
        for j in range(VECTORS):
            v = load(x + j * one, typed)
            total[j] = vector_multiply_add(v, v, total[j])
        x += VECTORS * one
    for j in range(1, VECTORS):
        total[0] += total[j]
    return total[0]


cdef inline double sum_of_squares(
    const real* x, Py_ssize_t rows,     # IN (rows, lanes) a panel
) noexcept nogil:
    cdef real lanes[FLOATS]
    cdef double total = 0
    cdef Py_ssize_t i
    if real is float:
        store(&lanes[0], squares(x, rows, <float_vector*> NULL))
    else:
        store(&lanes[0], squares(x, rows, <double_vector*> NULL))
    for i in range(BYTES // <Py_ssize_t> sizeof(real)):
        total += lanes[i]
    return total
