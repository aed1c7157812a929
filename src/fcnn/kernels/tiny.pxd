"""The products of small matrices that stay in the first cache, with the lanes over nodes.

    product     C_ik = bias_k + sum_j A_ij M_jk     forward pass, and delta recursion without a bias
    gradient    C_jk = sum_i A_ij B_ik
    bias_sums   C_k  = sum_i B_ik

Rows have whole registers, so there are no narrow tiles; a last tile that would be short begins
earlier instead and computes some rows again. Each sum adds its terms in the order, and in the
blocks, of kernels/products.pxd.
"""

from fcnn.kernels.isa cimport BYTES, FLOATS, NR
from fcnn.kernels.real cimport real
from fcnn.kernels.vector cimport (
    double_vector, float_vector, load, spread, store, vector, vector_multiply_add,
)

cdef enum:
    # Sums of a tile: two vectors of four rows, or one of eight. So many hide the time of a
    # multiply-add, and fit all register files; their shapes are few, which the compiler pays for.
    TWO_WIDE = 4
    ONE_WIDE = 8


cdef inline void product_tile(
    Py_ssize_t rows, Py_ssize_t vectors,                # constant at every call
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C, Py_ssize_t width,
    Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i, v, j
    cdef vector total[ONE_WIDE][2]
    cdef vector m[2]
    cdef vector a
    for v in range(vectors):
        m[v] = load(bias + v * one, tag) if bias != NULL else spread(<real> 0, tag)
        for i in range(rows):
            total[i][v] = m[v]
    for j in range(depth):
        for v in range(vectors):
            m[v] = load(M + v * one, tag)
        for i in range(rows):
            a = spread(A[i * A_stride + j], tag)
            for v in range(vectors):
                total[i][v] = vector_multiply_add(a, m[v], total[i][v])
        M += width
    for i in range(rows):
        for v in range(vectors):
            store(C + i * width + v * one, total[i][v])


cdef inline void product_columns(
    Py_ssize_t most, Py_ssize_t vectors,                # constant at every call
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C, Py_ssize_t width,
    Py_ssize_t rows, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t i = 0
    if rows < most:
        for i in range(rows):
            product_tile(1, vectors, A + i * A_stride, A_stride, M, bias, C + i * width, width,
                         depth, tag)
        return
    while i < rows:
        i = min(i, rows - most)
        product_tile(most, vectors, A + i * A_stride, A_stride, M, bias, C + i * width, width,
                     depth, tag)
        i += most


cdef inline void any_product(
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C, Py_ssize_t width,
    Py_ssize_t rows, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), k = 0
    while k + one < width:
        product_columns(TWO_WIDE, 2, A, A_stride, M + k, bias + k if bias != NULL else NULL, C + k,
                        width, rows, depth, tag)
        k += 2 * one
    if k < width:
        product_columns(ONE_WIDE, 1, A, A_stride, M + k, bias + k if bias != NULL else NULL, C + k,
                        width, rows, depth, tag)


cdef inline void product(
    const real* A, Py_ssize_t A_stride,     # IN (rows, depth)
    const real* M,              # IN (depth, width), width a multiple of a register's entries
    const real* bias,           # IN (width,), or NULL for 0
    real* C,                    # OUT (rows, width)
    Py_ssize_t width, Py_ssize_t rows, Py_ssize_t depth,
) noexcept nogil:
    if real is float:
        any_product(A, A_stride, M, bias, C, width, rows, depth, <float_vector*> NULL)
    else:
        any_product(A, A_stride, M, bias, C, width, rows, depth, <double_vector*> NULL)


cdef inline void gradient_tile(
    Py_ssize_t nodes, Py_ssize_t vectors,               # constant at every call
    const real* A, Py_ssize_t A_stride, const real* B, real* C, Py_ssize_t width, Py_ssize_t rows,
    const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), j, v, _i
    cdef vector total[TWO_WIDE][2]
    cdef vector b[2]
    cdef vector a
    for j in range(nodes):
        for v in range(vectors):
            total[j][v] = spread(<real> 0, tag)
    for _i in range(rows):
        for v in range(vectors):
            b[v] = load(B + v * one, tag)
        for j in range(nodes):
            a = spread(A[j], tag)
            for v in range(vectors):
                total[j][v] = vector_multiply_add(a, b[v], total[j][v])
        A += A_stride
        B += width
    for j in range(nodes):
        for v in range(vectors):
            store(C + j * width + v * one, total[j][v])


cdef inline void any_gradient(
    const real* A, Py_ssize_t A_stride, Py_ssize_t nodes, const real* B, real* C, Py_ssize_t width,
    Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), j = 0, k
    while j < nodes:
        k = 0
        while k + one < width:
            gradient_tile(TWO_WIDE, 2, A + j, A_stride, B + k, C + j * width + k, width, rows, tag)
            k += 2 * one
        if k < width:
            gradient_tile(TWO_WIDE, 1, A + j, A_stride, B + k, C + j * width + k, width, rows, tag)
        j += TWO_WIDE


cdef inline void gradient(
    const real* A, Py_ssize_t A_stride,     # IN (rows, nodes), readable up to a multiple of 4 nodes
    Py_ssize_t nodes,
    const real* B,              # IN (rows, width), width a multiple of a register's entries
    real* C,                    # OUT (nodes, width), followed by 3 rows that are written, too
    Py_ssize_t width, Py_ssize_t rows,
) noexcept nogil:
    if real is float:
        any_gradient(A, A_stride, nodes, B, C, width, rows, <float_vector*> NULL)
    else:
        any_gradient(A, A_stride, nodes, B, C, width, rows, <double_vector*> NULL)


cdef inline void any_bias_sums(
    const real* B, real* C, Py_ssize_t width, Py_ssize_t rows, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), k = 0, i, s
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef vector total, some
    while k < width:
        total = spread(<real> 0, tag)
        i = 0
        while i < rows:
            some = load(B + i * width + k, tag)
            for s in range(i + 1, min(i + lanes, rows)):
                some += load(B + s * width + k, tag)
            total += some
            i += lanes
        store(C + k, total)
        k += one


cdef inline void bias_sums(
    const real* B,              # IN (rows, width), width a multiple of a register's entries
    real* C,                    # OUT (width,)
    Py_ssize_t width, Py_ssize_t rows,
) noexcept nogil:
    if real is float:
        any_bias_sums(B, C, width, rows, <float_vector*> NULL)
    else:
        any_bias_sums(B, C, width, rows, <double_vector*> NULL)


cdef inline vector squares(const real* x, Py_ssize_t count, const vector* tag) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i = 0, j
    cdef vector total[4]
    cdef vector v
    for j in range(4):
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
    return (total[0] + total[1]) + (total[2] + total[3])


cdef inline double sum_of_squares(
    const real* x, Py_ssize_t count,    # IN (count,), read up to whole registers
) noexcept nogil:
    cdef real lanes[FLOATS]
    cdef double total = 0
    cdef Py_ssize_t i
    if real is float:
        store(&lanes[0], squares(x, count, <float_vector*> NULL))
    else:
        store(&lanes[0], squares(x, count, <double_vector*> NULL))
    for i in range(BYTES // <Py_ssize_t> sizeof(real)):
        total += lanes[i]
    return total
