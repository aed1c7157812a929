"""The matrix products of the three passes, all by one register tile.

A batch is stored by panels of NR samples, within a panel node after node:

    panel p of a layer with n nodes     (n, NR), sample p NR + lane in column `lane`

so the lanes of a register are samples (in the gradient: outputs), and no layer is too narrow. The
tile keeps MR x NR sums in registers and runs over k:

                     C_ij = bias_i + sum_k A_ik B_kj    rows i            lanes j     sum over k
    forward pass     z    = b + W^T a                   nodes of l        samples     nodes of l - 1
    delta recursion  dC/da = W delta                    nodes of l - 1    samples     nodes of l
    gradient         dW   = a delta                     nodes of l - 1    nodes of l  samples

B is always a panel. A is W, read where it is stored, or the panels of a. Every C_ij adds its
products one after the other in the order of k, whatever the tile: a sample has the same bits alone,
in a batch, and on any number of threads.
"""

from libc.string cimport memcpy

from fcnn.kernels.isa cimport BYTES, FLOATS, HAS_FMA, MR, NR, VECTORS
from fcnn.kernels.real cimport SPECIALIZED, multiply_add, real, trap
from fcnn.kernels.updates cimport descended
from fcnn.kernels.vector cimport (
    double_vector, float_vector, load, load_columns, opaque, spread, store, transpose_block,
    vector, vector_multiply_add,
)


cdef enum:
    # After so many terms a sum is added to those before and starts anew: its error grows with the
    # length of a block and the number of blocks, instead of their product (n_0 = 100,000, float32:
    # 6e-6 of the sum instead of 2e-4). Panels of nodes and of samples divide it.
    BLOCK_TERMS = 256
    # Rows that transposed_row_products takes at once, and its sums: fewer than hide the time of a
    # multiply-add, which transposing hides, and few enough for all register files.
    MOST_TRANSPOSED_ROWS = 3
    TRANSPOSED_SUMS = 6


cdef enum Layout:               # of A
    A_COLUMNS                   # A[k * stride + i]: W in the forward pass
    # A[k + k / run * jump + i * stride]: W in the delta recursion, and samples in place
    A_ROWS
    A_PANELS                    # the same with a stride of `lanes`: a in the gradient

cdef enum Finish:
    STORE                       # C = the sums
    SGD_UPDATE                  # C <- C + descent (sums + decay C): the plain update of weights


cdef inline void add_products(
    Layout layout, Py_ssize_t rows, Py_ssize_t vectors, const real* A, Py_ssize_t stride,
    const real* B, vector (*total)[VECTORS], const vector* tag,
) noexcept nogil:
    """One turn of micro_kernel: the products of one k."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef Py_ssize_t one = lanes // VECTORS, i, j
    cdef vector b[VECTORS]
    cdef vector a
    for j in range(vectors):
        b[j] = load(B + j * one, tag)
    for i in range(rows):
        if layout == A_COLUMNS:
            a = spread(A[i], tag)
        elif layout == A_ROWS:
            a = spread(A[i * stride], tag)
        elif layout == A_PANELS:
            a = spread(A[i * lanes], tag)
        else:
            trap()
        for j in range(vectors):
            total[i][j] = vector_multiply_add(a, b[j], total[i][j])


cdef inline void micro_kernel(
    Layout layout, Py_ssize_t rows, Py_ssize_t vectors,   # constant at every call
    const real* A, Py_ssize_t stride,                   # IN
    Py_ssize_t run, Py_ssize_t jump,    # see Layout; they do not matter to A_COLUMNS
    const real* B,              # IN (depth, lanes)
    real* C, Py_ssize_t C_stride,       # OUT (rows, lanes)
    Py_ssize_t depth, const real* bias,
    Finish finish, real descent, real decay, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef Py_ssize_t one = lanes // VECTORS
    cdef Py_ssize_t i, j, block, span, _k
    cdef bint later = False     # whether there were blocks before
    cdef vector total[MR][VECTORS]
    cdef vector before[MR][VECTORS]
    for i in range(rows):
        for j in range(vectors):
            if layout == A_ROWS and bias != NULL:
                total[i][j] = load(bias + j * one, tag)
            else:
                total[i][j] = spread(bias[i] if layout == A_COLUMNS else <real> 0, tag)
    while True:
        block = min(depth, <Py_ssize_t> BLOCK_TERMS)
        depth -= block
        if layout == A_COLUMNS and HAS_FMA:
            for _k in range(block // 2):
                # Two terms in a turn; four would spill, and so would two products of their own
                # register. The stride is hidden from GCC, which would keep its multiples, too.
                add_products(layout, rows, vectors, A, stride, B, total, tag)
                opaque(stride)
                A += stride
                add_products(layout, rows, vectors, A, stride, B + lanes, total, tag)
                A += stride
                B += 2 * lanes
            if block % 2 == 1:
                add_products(layout, rows, vectors, A, stride, B, total, tag)
                A += stride
                B += lanes
        elif layout == A_COLUMNS:
            for _k in range(block):
                add_products(layout, rows, vectors, A, stride, B, total, tag)
                A += stride
                B += lanes
        else:
            while block > 0:
                span = min(block, run)
                opaque(span)    # of a loop of at most 8 turns GCC would make 8 copies that spill
                for _k in range(span):
                    add_products(layout, rows, vectors, A, stride, B, total, tag)
                    A += 1
                    B += lanes
                A += jump
                block -= span
        if depth == 0:
            break
        for i in range(rows):
            for j in range(vectors):
                before[i][j] = total[i][j] + (before[i][j] if later else spread(<real> 0, tag))
                total[i][j] = spread(<real> 0, tag)
        later = True
    for i in range(rows):
        for j in range(vectors):
            if later:
                total[i][j] = before[i][j] + total[i][j]
            if finish == SGD_UPDATE:
                total[i][j] = descended(load(C + j * one, tag), total[i][j],
                                        spread(descent, tag), spread(decay, tag))
            store(C + j * one, total[i][j])
        C += C_stride


cdef inline void micro_tile_rows(
    Layout layout, Py_ssize_t rows, Py_ssize_t vectors,
    const real* A, Py_ssize_t stride, Py_ssize_t run, Py_ssize_t jump, const real* B,
    real* C, Py_ssize_t C_stride, Py_ssize_t depth, const real* bias,
    Finish finish, real descent, real decay, const vector* tag,
) noexcept nogil:
    """Name the number of rows, which makes it a constant."""
    if not SPECIALIZED:
        micro_kernel(layout, rows, vectors, A, stride, run, jump, B, C, C_stride, depth, bias,
                     finish, descent, decay, tag)
    elif rows == MR:
        micro_kernel(layout, MR, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif rows == 1:
        micro_kernel(layout, 1, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 2 and rows == 2:
        micro_kernel(layout, 2, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 3 and rows == 3:
        micro_kernel(layout, 3, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 4 and rows == 4:
        micro_kernel(layout, 4, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 5 and rows == 5:
        micro_kernel(layout, 5, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 6 and rows == 6:
        micro_kernel(layout, 6, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    elif MR > 7 and rows == 7:
        micro_kernel(layout, 7, vectors, A, stride, run, jump, B, C, C_stride, depth, bias, finish,
                     descent, decay, tag)
    else:
        trap()


cdef inline void micro_tile(
    Layout layout, Py_ssize_t rows, bint narrow,
    const real* A, Py_ssize_t stride, Py_ssize_t run, Py_ssize_t jump, const real* B,
    real* C, Py_ssize_t C_stride, Py_ssize_t depth, const real* bias,
    Finish finish, real descent, real decay,
) noexcept nogil:
    """A tile of up to MR rows; a narrow one computes the first half of the lanes."""
    if real is float:
        if narrow:
            micro_tile_rows(layout, rows, VECTORS // 2, A, stride, run, jump, B, C, C_stride, depth,
                            bias, finish, descent, decay, <float_vector*> NULL)
        else:
            micro_tile_rows(layout, rows, VECTORS, A, stride, run, jump, B, C, C_stride, depth,
                            bias, finish, descent, decay, <float_vector*> NULL)
    else:
        if narrow:
            micro_tile_rows(layout, rows, VECTORS // 2, A, stride, run, jump, B, C, C_stride, depth,
                            bias, finish, descent, decay, <double_vector*> NULL)
        else:
            micro_tile_rows(layout, rows, VECTORS, A, stride, run, jump, B, C, C_stride, depth,
                            bias, finish, descent, decay, <double_vector*> NULL)


cdef struct Tiles:              # how rows are shared among tiles
    Py_ssize_t count
    Py_ssize_t low              # rows of a tile, at least
    Py_ssize_t more             # tiles with one row more


cdef inline Tiles shared_by_tiles(Py_ssize_t rows) noexcept nogil:
    """As evenly as can be: no tile is left with one or two rows, which would wait for its few sums
    (128 rows by 6 are 18 tiles of 6 and 4 of 5).
    """
    cdef Tiles tiles
    tiles.count = (rows + MR - 1) // MR
    tiles.low = rows // tiles.count
    tiles.more = rows % tiles.count
    return tiles


# --- One sample at a time ---------------------------------------------------------------------

cdef inline void row_kernel(
    Py_ssize_t vectors,         # constant at every call
    const real* A,              # IN (depth,)
    const real* B, Py_ssize_t stride,   # IN (depth, vectors full of columns)
    const real* bias,           # IN
    real* C,                    # OUT
    Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), j, _k, block
    cdef bint later = False     # as in micro_kernel
    cdef vector total[8]
    cdef vector a
    for j in range(vectors):
        total[j] = load(bias + j * one, tag)
    while True:
        block = min(depth, <Py_ssize_t> BLOCK_TERMS)
        depth -= block
        for _k in range(block):
            a = spread(A[0], tag)
            for j in range(vectors):
                total[j] = vector_multiply_add(a, load(B + j * one, tag), total[j])
            A += 1
            B += stride
        for j in range(vectors):    # sums of blocks before wait in C: see tangent_kernel
            if later:
                total[j] += load(C + j * one, tag)
            elif depth > 0:
                total[j] += spread(<real> 0, tag)
            store(C + j * one, total[j])
            total[j] = spread(<real> 0, tag)
        if depth == 0:
            return
        later = True


cdef inline void narrow_row_parts(
    const real* A, const real* B, Py_ssize_t stride, const real* bias, real* C, Py_ssize_t columns,
    Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """One or two parts alike: each waits for its sums."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t vectors = (columns + one - 1) // one, first = 0, _part
    # Without a division, which takes as long as a small layer.
    cdef Py_ssize_t parts = 1 if vectors <= 8 else 2
    cdef Py_ssize_t width = vectors if vectors <= 8 else (vectors + 1) // 2
    for _part in range(parts):
        if not SPECIALIZED:
            row_kernel(width, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 1:
            row_kernel(1, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 2:
            row_kernel(2, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 3:
            row_kernel(3, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 4:
            row_kernel(4, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 5:
            row_kernel(5, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 6:
            row_kernel(6, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 7:
            row_kernel(7, A, B + first, stride, bias + first, C + first, depth, tag)
        elif width == 8:
            row_kernel(8, A, B + first, stride, bias + first, C + first, depth, tag)
        else:
            trap()
        first += width * one
        width = min(width, vectors - width)


cdef enum:
    # Of a row that is computed in registers.
    MOST_NARROW_BYTES = 16 * BYTES


cdef inline void narrow_row_product(
    const real* A,              # IN (depth,)
    const real* B, Py_ssize_t stride,   # IN (depth, columns), followed by SLACK entries
    const real* bias,           # IN (columns,), followed by SLACK entries
    real* C,                    # OUT (columns,), followed by SLACK entries; it may be bias itself
    Py_ssize_t columns, Py_ssize_t depth,
) noexcept nogil:
    """C_j = bias_j + sum_k A_k B_kj, the lanes over j, of at most MOST_NARROW_BYTES."""
    if real is float:
        narrow_row_parts(A, B, stride, bias, C, columns, depth, <float_vector*> NULL)
    else:
        narrow_row_parts(A, B, stride, bias, C, columns, depth, <double_vector*> NULL)


cdef inline void end_of_block(
    Py_ssize_t done, Py_ssize_t depth,  # terms in the sums so far, and in all
    real* sums, real* before,   # IN, OUT (n,)
    Py_ssize_t n,
) noexcept nogil:
    """Where a block of terms is at its end: sums that are kept in memory, see BLOCK_TERMS."""
    cdef Py_ssize_t j
    if depth <= BLOCK_TERMS:
        return
    if done == depth:
        for j in range(n):
            sums[j] += before[j]
    elif done == BLOCK_TERMS:
        for j in range(n):
            before[j] = sums[j] + 0     # as in a tile: not -0
            sums[j] = 0
    elif done % BLOCK_TERMS == 0:
        for j in range(n):
            before[j] += sums[j]
            sums[j] = 0


cdef inline void columns_of_rows(
    const real* W, Py_ssize_t stride, const real** few,     # IN: see transposed_row_kernel
    Py_ssize_t k, vector* columns, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), c
    cdef real memory[4 * FLOATS]        # what GCC keeps in registers
    cdef vector squares[2]
    if few == NULL:
        load_columns(W + k, stride, columns)
        return
    squares[0] = squares[1] = spread(<real> 0, tag)
    transpose_block(few, k, &memory[0], one, &squares[0])
    for c in range(16 // <Py_ssize_t> sizeof(real)):
        columns[c] = load(&memory[c * one], tag)


cdef inline void add_transposed(
    Py_ssize_t rows, const real* W, Py_ssize_t stride, const real** few, const real* A,
    Py_ssize_t A_stride, Py_ssize_t k, vector* total, const vector* tag,
) noexcept nogil:
    """A turn of transposed_row_kernel: 16 bytes of each row of W."""
    cdef vector columns[4]      # what GCC keeps in registers
    cdef Py_ssize_t c, s
    columns_of_rows(W, stride, few, k, &columns[0], tag)
    for c in range(16 // <Py_ssize_t> sizeof(real)):
        for s in range(rows):
            total[s] = vector_multiply_add(spread(A[s * A_stride + k + c], tag), columns[c],
                                           total[s])


cdef inline void transposed_row_kernel(
    Py_ssize_t groups, Py_ssize_t rows,     # constant at every call
    Py_ssize_t last,            # where the last of these registers begins, the others end to end
    const real* W, Py_ssize_t stride,   # IN (columns that fill them, depth),
    const real** few,           # or, where there are not so many, NULL else, those of one
    const real* A, Py_ssize_t A_stride,     # IN (rows, depth)
    real* C, Py_ssize_t C_stride,           # OUT (rows, columns)
    Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t some = 16 // <Py_ssize_t> sizeof(real), g, c, s, k = 0, end, at, first
    # All of a cache line at once: where rows of W are a power of two long, those of the other
    # registers push it out (512 x 512, Zen 4: 157 us; so 60). Where the first cache takes all of
    # them, the registers would but wait for their sums (v J of 64-100-10: 0.2 us).
    cdef bint by_lines = groups * depth * BYTES > 32768
    cdef bint later = False     # as in micro_kernel
    cdef vector total[TRANSPOSED_SUMS]
    cdef vector rest[4]         # what GCC keeps in registers
    for g in range(groups * rows):
        total[g] = spread(<real> 0, tag)
    while True:
        end = min(k + BLOCK_TERMS, depth)
        while by_lines and k + some <= end:
            first = k
            for g in range(groups):
                at = (g * one if g < groups - 1 else last) * stride
                opaque(at)      # or GCC keeps the addresses of all rows, in memory
                k = first
                while k + some <= end and k < first + 4 * some:
                    add_transposed(rows, W + at, stride, few, A, A_stride, k, &total[g * rows], tag)
                    k += some
        while k + some <= end:
            for g in range(groups):
                at = (g * one if g < groups - 1 else last) * stride
                opaque(at)
                add_transposed(rows, W + at, stride, few, A, A_stride, k, &total[g * rows], tag)
            k += some
        if k < end:             # with entries behind the row, which are not used
            for g in range(groups):
                at = g * one if g < groups - 1 else last
                columns_of_rows(W + at * stride, stride, few, k, &rest[0], tag)
                for c in range(end - k):
                    for s in range(rows):
                        total[g * rows + s] = vector_multiply_add(
                            spread(A[s * A_stride + k + c], tag), rest[c], total[g * rows + s])
            k = end
        # Sums of blocks before wait in C: see tangent_kernel.
        for g in range(groups):
            at = g * one if g < groups - 1 else last
            for s in range(rows):
                if later:
                    total[g * rows + s] += load(C + s * C_stride + at, tag)
                elif k < depth:
                    total[g * rows + s] += spread(<real> 0, tag)
        for g in range(groups):     # once all of them, which may overlap, are read
            at = g * one if g < groups - 1 else last
            for s in range(rows):
                store(C + s * C_stride + at, total[g * rows + s])
                total[g * rows + s] = spread(<real> 0, tag)
        if k == depth:
            return
        later = True


cdef inline void transposed_row_parts(
    Py_ssize_t rows, Py_ssize_t most,       # constant at every call: of A, and registers at a time
    const real* A, Py_ssize_t A_stride, const real* B, real* C, Py_ssize_t C_stride,
    Py_ssize_t columns, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """By some registers, alike, each of which waits for its sums; the last register computes some
    of the one before once more. The last rows of B come first: see kernels/tangents.pxd."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i
    cdef Py_ssize_t left = (columns + one - 1) // one, parts = (left + most - 1) // most
    cdef Py_ssize_t j = left * one, groups, last
    cdef const real* few[FLOATS]
    cdef real sums[MOST_TRANSPOSED_ROWS * FLOATS]
    if columns < one:
        for i in range(one):
            few[i] = B + min(i, columns - 1) * depth
        transposed_row_kernel(1, rows, 0, B, depth, few, A, A_stride, &sums[0], one, depth, tag)
        for i in range(rows):
            memcpy(C + i * C_stride, &sums[i * one], columns * sizeof(real))
        return
    while parts > 0:
        groups = (left + parts - 1) // parts
        j -= groups * one
        last = min((groups - 1) * one, columns - one - j)
        if not SPECIALIZED:
            transposed_row_kernel(groups, rows, last, B + j * depth, depth, <const real**> NULL, A,
                                  A_stride, C + j, C_stride, depth, tag)
        elif groups == 1:
            transposed_row_kernel(1, rows, last, B + j * depth, depth, <const real**> NULL, A,
                                  A_stride, C + j, C_stride, depth, tag)
        elif groups == 2:
            transposed_row_kernel(2, rows, last, B + j * depth, depth, <const real**> NULL, A,
                                  A_stride, C + j, C_stride, depth, tag)
        elif most > 2 and groups == 3:
            transposed_row_kernel(3, rows, last, B + j * depth, depth, <const real**> NULL, A,
                                  A_stride, C + j, C_stride, depth, tag)
        elif most > 2 and groups == 4:
            transposed_row_kernel(4, rows, last, B + j * depth, depth, <const real**> NULL, A,
                                  A_stride, C + j, C_stride, depth, tag)
        else:
            trap()
        left -= groups
        parts -= 1


cdef inline void transposed_rows_by_count(
    const real* A, Py_ssize_t A_stride, Py_ssize_t rows, const real* B, real* C,
    Py_ssize_t C_stride, Py_ssize_t columns, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """Name the number of rows, which makes it a constant."""
    if not SPECIALIZED:
        transposed_row_parts(rows, TRANSPOSED_SUMS // MOST_TRANSPOSED_ROWS, A, A_stride, B, C,
                             C_stride, columns, depth, tag)
    elif rows == 1:
        transposed_row_parts(1, 4, A, A_stride, B, C, C_stride, columns, depth, tag)
    elif rows == 2:
        transposed_row_parts(2, 2, A, A_stride, B, C, C_stride, columns, depth, tag)
    elif rows == MOST_TRANSPOSED_ROWS:
        transposed_row_parts(MOST_TRANSPOSED_ROWS, 2, A, A_stride, B, C, C_stride, columns, depth,
                             tag)
    else:
        trap()


cdef inline void transposed_row_products(
    const real* A, Py_ssize_t A_stride, Py_ssize_t rows,    # IN (rows, depth), 1 to 3
    const real* B,              # IN (columns, depth), followed by SLACK entries
    real* C, Py_ssize_t C_stride,           # OUT (rows, columns)
    Py_ssize_t columns, Py_ssize_t depth,
) noexcept nogil:
    """C_sj = sum_k A_sk B_jk, the lanes over j: B is transposed by registers."""
    if real is float:
        transposed_rows_by_count(A, A_stride, rows, B, C, C_stride, columns, depth,
                                 <float_vector*> NULL)
    else:
        transposed_rows_by_count(A, A_stride, rows, B, C, C_stride, columns, depth,
                                 <double_vector*> NULL)


cdef inline void add_wide_rows(
    const real* A, const real* B, real* C, Py_ssize_t columns, Py_ssize_t depth,
) noexcept nogil:
    """C_j <- C_j + sum_k A_k B_kj."""
    cdef Py_ssize_t j, k, quads = depth // 4
    cdef const real* row
    cdef real total, a_0, a_1, a_2, a_3
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

cdef inline vector squares(const real* x, Py_ssize_t rows, const vector* tag) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), _i, j
    cdef vector total[VECTORS]
    cdef vector v
    for j in range(VECTORS):
        total[j] = spread(<real> 0, tag)
    for _i in range(rows):
        for j in range(VECTORS):
            v = load(x + j * one, tag)
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
