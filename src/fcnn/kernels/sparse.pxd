"""Products with inputs that are mostly zero: of each sample the nonzero entries, as a list.

Layer 1 alone has such inputs. A zero adds nothing to a sum, so what is left out changes no bit but
the sign of a sum that is zero; the weights are finite. The lanes are over the nodes of layer 1:

    forward pass    z_k  = b_k + sum_j x_j W_jk         a list's j ascending, the sums in registers
    gradient        dW_jk = sum_s x_sj delta_sk         likewise, over j's list of samples

W may be stored row by row or by panels of NR nodes: W_kj stands at

    k // NR * panel_stride + j * row_stride + k % NR

where rows have n_1 entries with panel_stride NR and row_stride n_1. Whole panels are read; what
lies behind the last node is computed with and never used.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t

from fcnn.kernels.isa cimport BYTES, FLOATS, NR, VECTORS
from fcnn.kernels.products cimport BLOCK_TERMS
from fcnn.kernels.real cimport SPECIALIZED, real, trap
from fcnn.kernels.updates cimport descended, store_lanes
from fcnn.kernels.vector cimport (
    double_vector, float_vector, load, prefetch, spread, store, vector, vector_multiply_add,
)

cdef extern from "sparse.h" nogil:
    Py_ssize_t compress_f "fcnn_compress_f"(
        const float* x, Py_ssize_t n, int first, int32_t* numbers, float* values)
    Py_ssize_t compress_d "fcnn_compress_d"(
        const double* x, Py_ssize_t n, int first, int32_t* numbers, double* values)


cdef enum:
    # Sums of a list in registers at a time: as many as hide the latency of a multiply-add ...
    LIST_VECTORS = 8
    # ... and entries of a row that are listed at a time, where the list is not kept.
    LIST_ENTRIES = 256
    # Entries of a list whose weights are asked for before they are updated.
    LISTED_AHEAD = 8


cdef struct List:               # the nonzero entries of a sample, or of an input
    const int32_t* nodes        # j, ascending; or the samples
    const void* values          # x_j
    Py_ssize_t count


cdef inline Py_ssize_t compress(
    const real* x, Py_ssize_t n, Py_ssize_t first,
    int32_t* nodes, real* values,       # OUT (n,)
) noexcept nogil:
    """List the nonzero x_j, j = first, first + 1, ...; return how many there are."""
    if real is float:
        return compress_f(x, n, <int> first, nodes, values)
    else:
        return compress_d(x, n, <int> first, nodes, values)


cdef inline Py_ssize_t count_nonzero(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    cdef int count = 0
    for j in range(n):
        count += x[j] != 0
    return count


# --- Forward pass ----------------------------------------------------------------------------

cdef inline Py_ssize_t list_kernel(
    Py_ssize_t vectors,         # constant at every call: of a row, and of a panel
    Py_ssize_t width,           # likewise
    const List* entries, Py_ssize_t e, Py_ssize_t end,  # IN from entry e on, those with j < end
    const real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride,
    const real* bias,           # IN, or NULL for 0
    real* z, bint add,          # OUT, or IN, OUT
    const vector* tag,
) noexcept nogil:
    """Return the first entry that is left."""
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), v
    cdef const int32_t* nodes = entries.nodes
    cdef const real* values = <const real*> entries.values
    cdef Py_ssize_t count = entries.count
    cdef const real* row
    cdef vector total[LIST_VECTORS]
    cdef vector x
    for v in range(vectors):
        total[v] = load(bias + v * one, tag) if bias != NULL else spread(<real> 0, tag)
    while e < count and nodes[e] < end:
        x = spread(values[e], tag)
        row = W + nodes[e] * row_stride
        for v in range(vectors):
            total[v] = vector_multiply_add(
                x, load(row + v // width * panel_stride + v % width * one, tag), total[v])
        e += 1
    for v in range(vectors):
        if add:
            total[v] += load(z + v * one, tag)
        store(z + v * one, total[v])
    return e


cdef inline Py_ssize_t most_panels(const real* tag) noexcept nogil:
    """Panels of NR nodes whose sums are in registers at a time."""
    return LIST_VECTORS * BYTES // (NR * <Py_ssize_t> sizeof(real))


cdef inline Py_ssize_t list_ladder(
    Py_ssize_t panels,
    Py_ssize_t width,           # constant at every call
    const List* entries, Py_ssize_t e, Py_ssize_t end,
    const real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, const real* bias, real* z,
    bint add, const vector* tag,
) noexcept nogil:
    """Name the number of panels, which makes it a constant."""
    if not SPECIALIZED:
        return list_kernel(panels * width, width, entries, e, end, W, panel_stride, row_stride,
                           bias, z, add, tag)
    elif panels == 1:
        return list_kernel(width, width, entries, e, end, W, panel_stride, row_stride, bias, z,
                           add, tag)
    elif LIST_VECTORS // width > 1 and panels == 2:
        return list_kernel(2 * width, width, entries, e, end, W, panel_stride, row_stride, bias,
                           z, add, tag)
    elif LIST_VECTORS // width > 2 and panels == 3:
        return list_kernel(3 * width, width, entries, e, end, W, panel_stride, row_stride, bias,
                           z, add, tag)
    elif LIST_VECTORS // width > 3 and panels == 4:
        return list_kernel(4 * width, width, entries, e, end, W, panel_stride, row_stride, bias,
                           z, add, tag)
    trap()
    return e


cdef inline Py_ssize_t add_listed(
    Py_ssize_t panels, const List* entries, Py_ssize_t e, Py_ssize_t end,
    const real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, const real* bias, real* z,
    bint add,
) noexcept nogil:
    """list_kernel for up to most_panels panels of nodes."""
    if real is float:
        return list_ladder(panels, NR // FLOATS, entries, e, end, W, panel_stride, row_stride,
                           bias, z, add, <float_vector*> NULL)
    else:
        return list_ladder(panels, NR // (FLOATS // 2), entries, e, end, W, panel_stride,
                           row_stride, bias, z, add, <double_vector*> NULL)


cdef inline void list_product(
    const List* entries, Py_ssize_t first,      # where j begin: a multiple of BLOCK_TERMS
    const real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, Py_ssize_t n_out,
    const real* bias,           # IN (n_out,), or NULL for 0
    real* z, bint add,          # OUT (n_out,), or IN, OUT; both are followed by SLACK entries
) noexcept nogil:
    """z_k = b_k + sum_j x_j W_jk, by blocks of BLOCK_TERMS j whose sums are then added up."""
    cdef Py_ssize_t left = (n_out + NR - 1) // NR, most = most_panels(W)
    cdef Py_ssize_t parts = (left + most - 1) // most
    cdef Py_ssize_t panels, e, end
    cdef const real* start
    cdef bint later
    while left > 0:
        panels = (left + parts - 1) // parts    # of each part as many, or one more
        start = bias
        later = add
        e = 0
        end = first
        while True:
            end += BLOCK_TERMS
            e = add_listed(panels, entries, e, end, W, panel_stride, row_stride, start, z, later)
            if e == entries.count:
                break
            start = NULL
            later = True
        left -= panels
        parts -= 1
        W += panels * panel_stride
        z += panels * NR
        if bias != NULL:
            bias += panels * NR


cdef inline void product_without_zeros(
    const real* x, Py_ssize_t n_in,     # IN (n_in,)
    const real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, Py_ssize_t n_out,
    const real* bias, real* z,          # as there
) noexcept nogil:
    """list_product of a row whose list is not kept."""
    cdef int32_t nodes[LIST_ENTRIES]
    cdef real values[LIST_ENTRIES]
    cdef Py_ssize_t first = 0, n
    cdef List entries
    entries.nodes = nodes
    entries.values = values
    while first < n_in:
        n = min(<Py_ssize_t> LIST_ENTRIES, n_in - first)
        entries.count = compress(x + first, n, first, &nodes[0], &values[0])
        # A part goes on with the sums of the one before, but for the first of a block.
        if first % BLOCK_TERMS > 0:
            list_product(&entries, first, W, panel_stride, row_stride, n_out, z, z, False)
        else:
            list_product(&entries, first, W, panel_stride, row_stride, n_out,
                         bias if first == 0 else <const real*> NULL, z, first > 0)
        first += n


# --- Gradient and update ---------------------------------------------------------------------

cdef inline Py_ssize_t list_columns(
    const List* entries, Py_ssize_t e,  # IN of sample s from entry e on,
    Py_ssize_t first, Py_ssize_t end,   # those with first <= j < end, none of them before e
    Py_ssize_t s,
    int64_t* ends,              # IN, OUT (end - first,): for each j where the next one goes
    int32_t* samples, real* x,  # OUT
) noexcept nogil:
    """Return the first entry that is left."""
    cdef const int32_t* nodes = entries.nodes
    cdef const real* values = <const real*> entries.values
    cdef Py_ssize_t count = entries.count, at
    while e < count and nodes[e] < first:
        e += 1
    while e < count and nodes[e] < end:
        # All that is read of a column: of a list's pointers and count as well a step with images
        # of digits took 1 to 2 % longer.
        at = ends[nodes[e] - first]
        ends[nodes[e] - first] = at + 1
        samples[at] = <int32_t> s
        x[at] = values[e]
        e += 1
    return e


cdef inline void column_product(
    Py_ssize_t panels, const List* column,
    const real* delta, Py_ssize_t panel_stride,     # IN panels of nodes (samples, lanes)
    real* sums,                 # OUT LIST_VECTORS registers
) noexcept nogil:
    """dW_jk = sum_s x_sj delta_sk, for up to LIST_VECTORS // VECTORS panels of k."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    if real is float:
        list_ladder(panels, VECTORS, column, 0, INT32_MAX, delta, panel_stride, lanes,
                    <const real*> NULL, sums, False, <float_vector*> NULL)
    else:
        list_ladder(panels, VECTORS, column, 0, INT32_MAX, delta, panel_stride, lanes,
                    <const real*> NULL, sums, False, <double_vector*> NULL)


cdef inline void descend_listed_nodes(
    const List* entries, Py_ssize_t e, Py_ssize_t end,  # IN from entry e on, those with j < end
    real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, Py_ssize_t n_out,  # IN, OUT
    const real* delta, Py_ssize_t delta_stride,         # IN panels of nodes
    real descent, real decay, const vector* tag,
) noexcept nogil:
    """W_jk <- W_jk - lr (x_j delta_k + decay W_jk) for the nodes j of a list.

    Panel after panel: delta stays in registers, and the rows of a panel come in ascending order,
    which the CPU foresees. Row after row took twice as long.
    """
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), v, k = 0, i, last = e, most
    cdef Py_ssize_t lanes = VECTORS * one
    cdef const int32_t* nodes = entries.nodes
    cdef const real* values = <const real*> entries.values
    cdef real* panel
    cdef real* row
    cdef vector x, p
    cdef vector d[VECTORS]
    while last < entries.count and nodes[last] < end:
        last += 1
    while k < n_out:
        panel = W + k // NR * panel_stride + k % NR
        most = n_out - k
        for v in range(VECTORS):
            d[v] = load(delta + v * one, tag)
        for i in range(e, last):
            x = spread(values[i], tag)
            row = panel + nodes[i] * row_stride
            prefetch(panel + nodes[min(i + LISTED_AHEAD, last - 1)] * row_stride)
            for v in range(VECTORS):
                if most >= lanes:
                    store(row + v * one, descended(load(row + v * one, tag), x * d[v],
                                                   spread(descent, tag), spread(decay, tag)))
                elif v * one < most:
                    p = descended(load(row + v * one, tag), x * d[v], spread(descent, tag),
                                  spread(decay, tag))
                    # What lies behind the last node may be another thread's.
                    store_lanes(row + v * one, p, most - v * one, (v + 1) * one <= most)
        delta += delta_stride
        k += lanes


cdef inline void descend_listed(
    const List* entries, Py_ssize_t e, Py_ssize_t end,
    real* W, Py_ssize_t panel_stride, Py_ssize_t row_stride, Py_ssize_t n_out,
    const real* delta, Py_ssize_t delta_stride, real descent, real decay,
) noexcept nogil:
    """The plain update with one sample's gradient, of the rows of W that it changes."""
    if real is float:
        descend_listed_nodes(entries, e, end, W, panel_stride, row_stride, n_out, delta,
                             delta_stride, descent, decay, <float_vector*> NULL)
    else:
        descend_listed_nodes(entries, e, end, W, panel_stride, row_stride, n_out, delta,
                             delta_stride, descent, decay, <double_vector*> NULL)
