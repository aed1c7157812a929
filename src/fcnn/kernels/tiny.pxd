"""The products of small matrices that stay in the first cache, with the lanes over nodes.

    product     C_ik = bias + sum_j A_ij M_jk       forward pass, and delta recursion without a bias
    gradient    C_jk = sum_i A_ij B_ik
    listed      C_k  = bias_k + sum_j A_j M_jk      one row of either, of the A_j that are not zero
    bias_sums   C_k  = sum_i B_ik

Rows have whole registers, so there are no narrow tiles; a last tile that would be short begins
earlier instead and computes some rows again. Each sum adds its terms in the order of
kernels/products.pxd; there are no more of them than a block has there.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from fcnn.kernels.isa cimport BYTES, NR
from fcnn.kernels.real cimport real, trap
from fcnn.kernels.vector cimport (
    BLOCK_d, BLOCK_f, columns_to_rows_d, columns_to_rows_f, double_vector, float_vector, is_above,
    load, rows_to_columns_d, rows_to_columns_f, spread, store, unless_less, vector,
    vector_multiply_add,
)

cdef enum:
    # Sums of a tile: two vectors of four rows, or one of eight. So many hide the time of a
    # multiply-add, and fit all register files; their shapes are few, which the compiler pays for:
    # one vector of four rows for half a panel of outputs, two of two for the gradient's last nodes.
    TWO_WIDE = 4
    ONE_WIDE = 8
    # Of a list, whose rows have one only: so many hide that time, and more than one part has fewer.
    FEWEST_LISTED_VECTORS = 6
    MOST_LISTED_VECTORS = 8


cdef enum Finish:               # what becomes of the sums, beside being stored
    OUTPUTS                     # the rows are nodes: a bias for each
    ACTIVATIONS                 # 0 below `threshold`,
    DELTAS                      # or where a <= threshold; and their squares are added up


cdef inline void product_tile(
    Finish finish, Py_ssize_t rows, Py_ssize_t vectors,     # constant at every call
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C,
    const real* a, Py_ssize_t width, Py_ssize_t depth, vector threshold, vector* squares,
    const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i, v, j
    cdef vector total[ONE_WIDE][2]
    cdef vector m[2]
    cdef vector some[2]         # sums of squares: of one, each would wait for the one before
    cdef vector x
    for v in range(2):
        some[v] = spread(<real> 0, tag)
    for v in range(vectors):
        for i in range(rows):
            if finish == OUTPUTS:
                total[i][v] = spread(bias[i], tag)
            elif finish == ACTIVATIONS:
                total[i][v] = load(bias + v * one, tag)
            else:
                total[i][v] = spread(<real> 0, tag)
    for j in range(depth):
        for v in range(vectors):
            m[v] = load(M + v * one, tag)
        for i in range(rows):
            x = spread(A[i * A_stride + j], tag)
            for v in range(vectors):
                total[i][v] = vector_multiply_add(x, m[v], total[i][v])
        M += width
    for i in range(rows):
        for v in range(vectors):
            x = total[i][v]
            if finish == ACTIVATIONS:
                x = unless_less(x, threshold)
            elif finish == DELTAS:
                x = x * is_above(load(a + v * one, tag), threshold)
            if finish != OUTPUTS:
                some[i % 2] = vector_multiply_add(x, x, some[i % 2])
            store(C + v * one, x)
        C += width
        if finish == DELTAS:
            a += width
    if finish != OUTPUTS:
        squares[0] += some[0] + some[1]


cdef inline void product_columns(
    Finish finish, Py_ssize_t most, Py_ssize_t vectors,     # constant at every call
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C, const real* a,
    Py_ssize_t width, Py_ssize_t rows, Py_ssize_t depth, vector threshold, vector* squares,
    const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t back
    while rows >= most:
        product_tile(finish, most, vectors, A, A_stride, M, bias, C, a, width, depth, threshold,
                     squares, tag)
        rows -= most
        if rows == 0:
            return
        back = most - rows if rows < most else 0
        A += (most - back) * A_stride
        C += (most - back) * width
        if finish == OUTPUTS:
            bias += most - back
        elif finish == DELTAS:
            a += (most - back) * width
        rows += back
    while rows > 0:
        product_tile(finish, 1, vectors, A, A_stride, M, bias, C, a, width, depth, threshold,
                     squares, tag)
        A += A_stride
        C += width
        if finish == OUTPUTS:
            bias += 1
        elif finish == DELTAS:
            a += width
        rows -= 1


cdef inline void any_product(
    Finish finish, const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C,
    const real* a, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t depth, real threshold,
    real* squares, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), k = 0
    cdef vector t = spread(threshold, tag)
    cdef vector total = spread(<real> 0, tag)
    if finish != OUTPUTS:
        total = load(squares, tag)
    while k + one < width:
        product_columns(finish, TWO_WIDE, 2, A, A_stride, M + k, bias, C + k, a + k, width, rows,
                        depth, t, &total, tag)
        k += 2 * one
        if finish == ACTIVATIONS:
            bias += 2 * one
    if k < width and finish == OUTPUTS:     # half a panel: of four outputs or fewer, most times
        product_columns(finish, TWO_WIDE, 1, A, A_stride, M + k, bias, C + k, a + k, width, rows,
                        depth, t, &total, tag)
    elif k < width:
        product_columns(finish, ONE_WIDE, 1, A, A_stride, M + k, bias, C + k, a + k, width, rows,
                        depth, t, &total, tag)
    if finish != OUTPUTS:
        store(squares, total)


cdef inline void product(
    Finish finish,              # constant at every call
    const real* A, Py_ssize_t A_stride,     # IN (rows, depth)
    const real* M,              # IN (depth, width), width a multiple of a register's entries
    const real* bias,           # IN (width,), (rows,) of OUTPUTS; not of DELTAS
    real* C,                    # OUT (rows, width)
    const real* a,              # IN (rows, width) of DELTAS
    Py_ssize_t width, Py_ssize_t rows, Py_ssize_t depth, real threshold,
    real* squares,              # IN, OUT a register of sums
) noexcept nogil:
    if real is float:
        any_product(finish, A, A_stride, M, bias, C, a, width, rows, depth, threshold, squares,
                    <float_vector*> NULL)
    else:
        any_product(finish, A, A_stride, M, bias, C, a, width, rows, depth, threshold, squares,
                    <double_vector*> NULL)


cdef inline void gradient_tile(
    Py_ssize_t nodes, Py_ssize_t vectors, bint with_bias,   # constant at every call
    const real* A, Py_ssize_t A_stride, const real* B, real* C, real* bias, Py_ssize_t width,
    Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), j, v, _i, some
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef vector total[ONE_WIDE][2]
    cdef vector b[2]
    cdef vector of_panel[2]
    cdef vector sums[2]
    cdef vector a
    for v in range(2):
        sums[v] = of_panel[v] = spread(<real> 0, tag)
    for j in range(nodes):
        for v in range(vectors):
            total[j][v] = sums[0]
    while rows > 0:
        some = min(lanes, rows) if with_bias else rows
        for _i in range(some):
            for v in range(vectors):
                b[v] = load(B + v * one, tag)
                if with_bias:
                    of_panel[v] += b[v]
            for j in range(nodes):
                a = spread(A[j], tag)
                for v in range(vectors):
                    total[j][v] = vector_multiply_add(a, b[v], total[j][v])
            A += A_stride
            B += width
        if with_bias:
            for v in range(vectors):
                sums[v] += of_panel[v]
                of_panel[v] = spread(<real> 0, tag)
        rows -= some
    if with_bias:
        for v in range(vectors):
            store(bias + v * one, sums[v])
    for j in range(nodes):
        for v in range(vectors):
            store(C + v * one, total[j][v])
        C += width


cdef inline void gradient_columns(
    Py_ssize_t most, Py_ssize_t vectors, bint with_bias,    # constant at every call
    const real* A, Py_ssize_t A_stride, Py_ssize_t nodes, const real* B, real* C, real* bias,
    Py_ssize_t width, Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    """Tiles of `most` nodes; then one of TWO_WIDE for three or more, one of two for fewer."""
    cdef Py_ssize_t j = 0
    if with_bias:
        gradient_tile(most, vectors, True, A, A_stride, B, C, bias, width, rows, tag)
        j = most
    while j + most <= nodes:
        gradient_tile(most, vectors, False, A + j, A_stride, B, C + j * width, bias, width, rows,
                      tag)
        j += most
    while j + 2 < nodes:
        gradient_tile(TWO_WIDE, vectors, False, A + j, A_stride, B, C + j * width, bias, width,
                      rows, tag)
        j += TWO_WIDE
    if vectors == 2 and j < nodes:      # else they are whole fours
        gradient_tile(2, vectors, False, A + j, A_stride, B, C + j * width, bias, width, rows, tag)


cdef inline void any_gradient(
    bint with_bias, const real* A, Py_ssize_t A_stride, Py_ssize_t nodes, const real* B, real* C,
    real* bias, Py_ssize_t width, Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), k = 0
    while k + one < width:
        gradient_columns(TWO_WIDE, 2, with_bias, A, A_stride, nodes, B + k, C + k, bias + k, width,
                         rows, tag)
        k += 2 * one
    nodes = (nodes + 3) // 4 * 4    # sums of one register each: two would not hide their time
    if k < width and nodes >= ONE_WIDE:
        gradient_columns(ONE_WIDE, 1, with_bias, A, A_stride, nodes, B + k, C + k, bias + k, width,
                         rows, tag)
    elif k < width:
        gradient_columns(TWO_WIDE, 1, with_bias, A, A_stride, nodes, B + k, C + k, bias + k, width,
                         rows, tag)


cdef inline void gradient(
    bint with_bias,             # constant at every call
    const real* A, Py_ssize_t A_stride,     # IN (rows, nodes), readable up to a multiple of 4 nodes
    Py_ssize_t nodes,
    const real* B,              # IN (rows, width), width a multiple of a register's entries
    real* C,                    # OUT (nodes, width), followed by 3 rows that are written, too
    real* bias,                 # OUT (width,) the bias sums of B, which cost nothing here
    Py_ssize_t width, Py_ssize_t rows,
) noexcept nogil:
    if real is float:
        any_gradient(with_bias, A, A_stride, nodes, B, C, bias, width, rows, <float_vector*> NULL)
    else:
        any_gradient(with_bias, A, A_stride, nodes, B, C, bias, width, rows, <double_vector*> NULL)


cdef inline void listed_kernel(
    Py_ssize_t vectors,         # constant at every call
    const int32_t* numbers, const real* values, Py_ssize_t count,
    const real* M, const real* bias, real* C, Py_ssize_t width, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), v, e
    cdef vector total[MOST_LISTED_VECTORS]
    cdef vector x
    cdef const real* row
    for v in range(vectors):
        total[v] = load(bias + v * one, tag) if bias != NULL else spread(<real> 0, tag)
    for e in range(count):
        x = spread(values[e], tag)
        row = M + numbers[e] * width
        for v in range(vectors):
            total[v] = vector_multiply_add(x, load(row + v * one, tag), total[v])
    for v in range(vectors):
        store(C + v * one, total[v])


cdef inline void any_listed(
    const int32_t* numbers, const real* values, Py_ssize_t count, const real* M,
    const real* bias, real* C, Py_ssize_t width, const vector* tag,
) noexcept nogil:
    """In parts, the last two alike, whose number of registers is a constant where it is named."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), left = width // one, some
    while left > 0:
        some = left
        if left >= 2 * MOST_LISTED_VECTORS:
            some = MOST_LISTED_VECTORS
        elif left > MOST_LISTED_VECTORS:
            some = (left + 1) // 2
        if some == 4:
            listed_kernel(4, numbers, values, count, M, bias, C, width, tag)
        elif some == 5:
            listed_kernel(5, numbers, values, count, M, bias, C, width, tag)
        elif some == 6:
            listed_kernel(6, numbers, values, count, M, bias, C, width, tag)
        elif some == 7:
            listed_kernel(7, numbers, values, count, M, bias, C, width, tag)
        elif some == 8:
            listed_kernel(8, numbers, values, count, M, bias, C, width, tag)
        else:
            trap()
        left -= some
        M += some * one
        C += some * one
        if bias != NULL:
            bias += some * one


cdef inline void listed(
    const int32_t* numbers, const real* values,     # IN (count,) j, ascending, and A_j
    Py_ssize_t count,
    const real* M,              # IN (., width)
    const real* bias,           # IN (width,), or NULL for 0; may be C
    real* C,                    # OUT (width,)
    Py_ssize_t width,           # FEWEST_LISTED_VECTORS whole registers or more
) noexcept nogil:
    if real is float:
        any_listed(numbers, values, count, M, bias, C, width, <float_vector*> NULL)
    else:
        any_listed(numbers, values, count, M, bias, C, width, <double_vector*> NULL)


cdef inline void bias_tile(
    Py_ssize_t vectors,         # constant at every call
    const real* B, real* C, Py_ssize_t width, Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), v, _s
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef vector total[2]
    cdef vector some[2]
    for v in range(vectors):
        total[v] = spread(<real> 0, tag)
    while rows > 0:
        for v in range(vectors):
            some[v] = load(B + v * one, tag)
        B += width
        for _s in range(1, min(lanes, rows)):
            for v in range(vectors):
                some[v] += load(B + v * one, tag)
            B += width
        for v in range(vectors):
            total[v] += some[v]
        rows -= lanes
    for v in range(vectors):
        store(C + v * one, total[v])


cdef inline void any_bias_sums(
    const real* B, real* C, Py_ssize_t width, Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), k = 0
    while k + one < width:
        bias_tile(2, B + k, C + k, width, rows, tag)
        k += 2 * one
    if k < width:
        bias_tile(1, B + k, C + k, width, rows, tag)


cdef inline void bias_sums(
    const real* B,              # IN (rows, width), width a multiple of a register's entries
    real* C,                    # OUT (width,)
    Py_ssize_t width, Py_ssize_t rows,
) noexcept nogil:
    """By panels of samples, as the gradient of a bias is."""
    if real is float:
        any_bias_sums(B, C, width, rows, <float_vector*> NULL)
    else:
        any_bias_sums(B, C, width, rows, <double_vector*> NULL)


# --- Transposes --------------------------------------------------------------------------------
#
# By blocks in a fixed stride: by kernels/vector.pxd's transpose, which takes rows from anywhere, a
# step of 4-16-3 would take 0.57 us instead of 0.47.

cdef inline void to_columns(
    const real* rows, Py_ssize_t width,     # IN (count, width), width a multiple of 4
    real* columns, Py_ssize_t count,        # OUT (width, count), count a multiple of a register's
) noexcept nogil:
    cdef Py_ssize_t block = BLOCK_f if real is float else BLOCK_d, k = 0, s
    while k < width:
        s = 0
        while s < count:
            if real is float:
                rows_to_columns_f(rows + s * width + k, width, columns + k * count + s, count)
            else:
                rows_to_columns_d(rows + s * width + k, width, columns + k * count + s, count)
            s += block
        k += 4


cdef inline void to_rows(
    const real* columns, Py_ssize_t n, Py_ssize_t count,    # IN (n, count), likewise
    real* rows, Py_ssize_t width,           # OUT (count, width)
) noexcept nogil:
    cdef Py_ssize_t block = BLOCK_f if real is float else BLOCK_d, k = 0, s
    while k < n:
        s = 0
        while s < count:
            if real is float:
                columns_to_rows_f(columns + k * count + s, count, rows + s * width + k, width)
            else:
                columns_to_rows_d(columns + k * count + s, count, rows + s * width + k, width)
            s += block
        k += 4


# --- Inputs, and how large the numbers are -----------------------------------------------------

cdef inline void copy_rows(
    Py_ssize_t rest,            # n % 4, constant at every call
    const real* x, const int64_t* order, Py_ssize_t rows, Py_ssize_t n, real* a, Py_ssize_t width,
) noexcept nogil:
    cdef Py_ssize_t i, j, whole = n // 4 * 4
    cdef const real* row
    cdef real last[4]
    for i in range(rows):
        row = x + (order[i] if order != NULL else i) * n
        for j in range(0, whole, 4):
            memcpy(a + j, row + j, 4 * sizeof(real))
        if rest > 0:
            last[0] = row[whole]
            last[1] = row[whole + 1] if rest > 1 else <real> 0
            last[2] = row[whole + 2] if rest > 2 else <real> 0
            last[3] = 0
            memcpy(a + whole, last, 4 * sizeof(real))
        for j in range((n + 3) // 4 * 4, width):
            a[j] = 0
        a += width


cdef inline void padded_rows(
    const real* x, const int64_t* order,    # IN (., n), and which of them, or NULL
    Py_ssize_t rows, Py_ssize_t n,
    real* a, Py_ssize_t width,  # OUT (rows, width), padded with zeros
) noexcept nogil:
    """Name what is left of a row by fours, which makes it a constant."""
    if n % 4 == 0:
        copy_rows(0, x, order, rows, n, a, width)
    elif n % 4 == 1:
        copy_rows(1, x, order, rows, n, a, width)
    elif n % 4 == 2:
        copy_rows(2, x, order, rows, n, a, width)
    else:
        copy_rows(3, x, order, rows, n, a, width)


cdef inline void add_squares_of(
    const real* x, Py_ssize_t count, real* squares, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i = 0, j
    cdef vector total[4]
    cdef vector v
    total[0] = load(squares, tag)
    for j in range(1, 4):
        total[j] = spread(<real> 0, tag)
    while i + 4 * one <= count:
        for j in range(4):
            v = load(x + i + j * one, tag)
            total[j] = vector_multiply_add(v, v, total[j])
        i += 4 * one
    while i < count:
        v = load(x + i, tag)
        total[0] = vector_multiply_add(v, v, total[0])
        i += one
    store(squares, (total[0] + total[1]) + (total[2] + total[3]))


cdef inline void add_squares(
    const real* x, Py_ssize_t count,    # IN (count,), read up to whole registers
    real* squares,              # IN, OUT a register of sums
) noexcept nogil:
    if real is float:
        add_squares_of(x, count, squares, <float_vector*> NULL)
    else:
        add_squares_of(x, count, squares, <double_vector*> NULL)


cdef inline double total_of(const real* squares) noexcept nogil:
    """Of a register; in four sums, or each term would wait for the one before."""
    cdef Py_ssize_t i, count = BYTES // <Py_ssize_t> sizeof(real)
    cdef double a = squares[0], b = squares[1], c = 0, d = 0
    if count > 2:
        c = squares[2]
        d = squares[3]
    for i in range(4, count, 4):
        a += squares[i]
        b += squares[i + 1]
        c += squares[i + 2]
        d += squares[i + 3]
    return (a + b) + (c + d)
