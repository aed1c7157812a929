"""Tangents: the lanes are several of one sample, or one of several samples, the rows nodes, and W
is read in place.

One to three registers go with as many rows as have room for their sums. Twelve numbers of float64
are three registers by four rows, where the tile of products.pxd would take two by six and once more
one by six, which waits for its sums (12-64-64-12: 4.1 us instead of 2.7).
"""

from libc.string cimport memset

from fcnn.kernels.isa cimport BYTES, FLOATS, HAS_FMA, MR, VECTORS
from fcnn.kernels.products cimport BLOCK_TERMS
from fcnn.kernels.real cimport real, trap
from fcnn.kernels.vector cimport (
    HAS_HALVES, double_vector, float_vector, half_multiply_add, load, opaque, spread, store, vector,
    vector_multiply_add,
)

cdef enum:
    MOST_TANGENT_VECTORS = 3
    MOST_SAMPLE_VECTORS = 2
    MOST_TANGENT_ROWS = 8       # as many as GCC peels


cdef struct Ends:               # what becomes of the sums of a layer's nodes
    const void* factors         # (nodes,), or NULL for 1; or, where lanes are samples,
    bint of_lanes               # (nodes, vectors full)
    Py_ssize_t stride           # from node to node: 0 where they are the same for all
    const void* bias            # (nodes,), or NULL for 0; where lanes are samples


cdef inline void tangent_kernel(
    bint back, bint half, Py_ssize_t rows, Py_ssize_t vectors,  # constant at every call
    const real* W, Py_ssize_t stride,   # IN (nodes, depth), or forward (depth, nodes)
    const real* B,              # IN (depth, vectors full)
    const Ends* ends, Py_ssize_t node,  # IN, and which of its nodes is the first
    real* C,                    # OUT (rows, vectors full)
    Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i, j, block, _k
    cdef const real* bias = <const real*> ends.bias
    cdef const real* factors = <const real*> ends.factors
    # Sums of blocks before wait in C: in registers GCC would make room for them in the stack, and
    # copy it for each tile (300 cycles), though few sums are so long.
    cdef bint deep = depth > BLOCK_TERMS
    # Known where it is compiled: the code of what never is would be 20 KB of a wheel.
    cdef bint of_lanes = not half and vectors <= MOST_SAMPLE_VECTORS and ends.of_lanes
    cdef vector total[MOST_TANGENT_ROWS][MOST_TANGENT_VECTORS]
    cdef vector b[MOST_TANGENT_VECTORS]
    cdef vector a
    if deep:
        memset(C, 0, rows * vectors * BYTES)
    while True:
        block = min(depth, <Py_ssize_t> BLOCK_TERMS)
        depth -= block
        opaque(block)
        for i in range(rows):
            a = spread(bias[node + i] if of_lanes and bias != NULL else <real> 0, tag)
            for j in range(vectors):
                total[i][j] = a
        bias = NULL
        for _k in range(block):
            for j in range(vectors):
                b[j] = load(B + j * one, tag)
            for i in range(rows):
                a = spread(W[i * stride] if back else W[i], tag)
                for j in range(vectors):
                    if half and j == vectors - 1:
                        total[i][j] = half_multiply_add(a, b[j], total[i][j])
                    else:
                        total[i][j] = vector_multiply_add(a, b[j], total[i][j])
            B += vectors * one
            W += 1 if back else stride
        for i in range(rows if deep else 0):
            for j in range(vectors):
                total[i][j] = load(C + (i * vectors + j) * one, tag) + total[i][j]
        if depth == 0 and factors != NULL and of_lanes:
            for i in range(rows):
                for j in range(vectors):
                    total[i][j] *= load(factors + (node + i) * ends.stride + j * one, tag)
        elif depth == 0 and factors != NULL:
            for i in range(rows):
                a = spread(factors[node + i], tag)
                for j in range(vectors):
                    total[i][j] *= a
        for i in range(rows):
            for j in range(vectors):
                store(C + (i * vectors + j) * one, total[i][j])
        if depth == 0:
            return


cdef inline void tangent_rows(
    bint back, bint half, Py_ssize_t most, Py_ssize_t vectors,  # constant at every call
    const real* W, Py_ssize_t stride, Py_ssize_t first, Py_ssize_t nodes, const real* B,
    const Ends* ends, Py_ssize_t node, real* C, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """All nodes from `first` on by tiles of `most`; the last one may compute some once more.

    From the last node on: the forward pass has read that one last, and the next row's pass then
    finds the first ones in the cache.
    """
    cdef Py_ssize_t i = nodes - most, width = vectors * (BYTES // <Py_ssize_t> sizeof(real))
    while True:
        tangent_kernel(back, half, most, vectors, W + i * (stride if back else 1), stride, B,
                       ends, node + i, C + i * width, depth, tag)
        if i <= first:
            return
        i = max(i - most, first)


cdef inline void tangent_columns(
    bint back, bint half, Py_ssize_t most, Py_ssize_t vectors,  # constant at every call
    const real* W, Py_ssize_t stride, Py_ssize_t nodes, const real* B, const Ends* ends,
    Py_ssize_t node, real* C, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """Name the number of rows, which makes it a constant. Up to four that are left are a tile of
    four."""
    cdef Py_ssize_t whole = nodes // most * most
    if most > 4 and nodes >= 4 and (whole == 0 or 0 < nodes - whole <= 4):
        tangent_rows(back, half, 4, vectors, W, stride, whole, nodes, B, ends, node, C, depth, tag)
        nodes = whole
    if nodes >= most:
        tangent_rows(back, half, most, vectors, W, stride, 0, nodes, B, ends, node, C, depth, tag)
    elif most > 2 and nodes >= 2:
        tangent_rows(back, half, 2, vectors, W, stride, 0, nodes, B, ends, node, C, depth, tag)
    elif nodes > 0:
        tangent_rows(back, half, 1, vectors, W, stride, 0, nodes, B, ends, node, C, depth, tag)


cdef inline void any_tangents(
    bint back, bint half, Py_ssize_t vectors,   # the first two constant at every call
    const real* W, Py_ssize_t stride, Py_ssize_t nodes, const real* B, const Ends* ends,
    Py_ssize_t node, real* C, Py_ssize_t depth, const vector* tag,
) noexcept nogil:
    """Name the number of registers. Without a multiply-add, products take registers, too."""
    cdef Py_ssize_t sums = MR * VECTORS if HAS_FMA else 8
    if vectors == 1:
        tangent_columns(back, half, min(sums, <Py_ssize_t> MOST_TANGENT_ROWS), 1, W, stride,
                        nodes, B, ends, node, C, depth, tag)
    elif vectors == 2:
        tangent_columns(back, half, min(sums // 2, <Py_ssize_t> MOST_TANGENT_ROWS), 2, W, stride,
                        nodes, B, ends, node, C, depth, tag)
    elif vectors == 3:
        tangent_columns(back, half, min(sums // 3, <Py_ssize_t> MOST_TANGENT_ROWS), 3, W, stride,
                        nodes, B, ends, node, C, depth, tag)
    else:
        trap()


cdef inline void tangents(
    bint back,                  # constant at every call
    Py_ssize_t vectors,
    bint half,                  # whether no more than half of the last one is needed
    const real* W, Py_ssize_t stride, Py_ssize_t nodes,     # IN, as in tangent_kernel
    const real* B, const Ends* ends, Py_ssize_t node, real* C, Py_ssize_t depth,    # as there
) noexcept nogil:
    """C_i = factor_i (bias_i + sum_k W_ik B_k), or forward W_ki."""
    if real is float:
        if HAS_HALVES and half:
            any_tangents(back, True, vectors, W, stride, nodes, B, ends, node, C, depth,
                         <float_vector*> NULL)
        else:
            any_tangents(back, False, vectors, W, stride, nodes, B, ends, node, C, depth,
                         <float_vector*> NULL)
    elif HAS_HALVES and half:
        any_tangents(back, True, vectors, W, stride, nodes, B, ends, node, C, depth,
                     <double_vector*> NULL)
    else:
        any_tangents(back, False, vectors, W, stride, nodes, B, ends, node, C, depth,
                     <double_vector*> NULL)


cdef inline void scaled_registers(
    Py_ssize_t vectors,         # constant at every call
    const real* factors, Py_ssize_t step, const real* source, Py_ssize_t stride, real* target,
    Py_ssize_t nodes, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i, j
    cdef vector factor
    for i in range(nodes):
        factor = spread(factors[i * step] if factors != NULL else <real> 1, tag)
        for j in range(vectors):
            store(target + j * one, factor * load(source + j * one, tag))
        source += stride
        target += vectors * one


cdef inline void any_scaled(
    Py_ssize_t vectors, const real* factors, Py_ssize_t step, const real* source,
    Py_ssize_t stride, real* target, Py_ssize_t nodes, const vector* tag,
) noexcept nogil:
    """Name the number of registers, which makes it a constant."""
    if vectors == 1:
        scaled_registers(1, factors, step, source, stride, target, nodes, tag)
    elif vectors == 2:
        scaled_registers(2, factors, step, source, stride, target, nodes, tag)
    elif vectors == 3:
        scaled_registers(3, factors, step, source, stride, target, nodes, tag)
    else:
        trap()


cdef inline void scaled_tangents(
    Py_ssize_t vectors,
    const real* factors, Py_ssize_t step,   # IN one for each node, or NULL for 1
    const real* source, Py_ssize_t stride,  # IN of each node these registers full,
    real* target,               # OUT which may be the same
    Py_ssize_t nodes,
) noexcept nogil:
    if real is float:
        any_scaled(vectors, factors, step, source, stride, target, nodes, <float_vector*> NULL)
    else:
        any_scaled(vectors, factors, step, source, stride, target, nodes, <double_vector*> NULL)
