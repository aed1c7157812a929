# The Jacobian: tangents of unit vectors.
#
# Of several samples they are the rows of a tile, whose lanes are nodes, and W is copied into panels
# for all of them. Of one sample they are the lanes, and nodes are the rows: so W is read where it
# stands, both ways. Its copies took as long as a fifth of the products, and going back, where they
# are transposed, as a third.

from fcnn.kernels.tangents cimport MOST_TANGENT_VECTORS, scaled_tangents, tangents


cdef struct Lanes:              # tangents of one sample, in panels of some registers
    Py_ssize_t vectors          # of a panel,
    Py_ssize_t width            # its numbers,
    Py_ssize_t panels
    bint half                   # whether the last one needs but half of its last register


cdef inline Lanes lanes_of(Py_ssize_t count, const real* tag) noexcept nogil:
    """As evenly as can be."""
    cdef Lanes t
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), vectors = (count + one - 1) // one
    cdef Py_ssize_t panels = (vectors + MOST_TANGENT_VECTORS - 1) // MOST_TANGENT_VECTORS
    t.vectors = (vectors + panels - 1) // panels
    t.width = t.vectors * one
    t.panels = (count + t.width - 1) // t.width
    t.half = 2 * (t.panels * t.width - count) >= one
    return t


cdef void tangents_product(
    Worker* w, const Layer* layer, bint back, const Lanes* lanes,
    const real* B,              # IN panels of tangents (depth, width)
    const real* slope,          # IN sigma' of the nodes, or NULL for 1
    real* C,                    # OUT panels (nodes, width)
) noexcept nogil:
    """C_k = sigma'(z_k) sum_j W_kj B_j, or back C_j = sigma'(z_j) sum_k B_k W_kj, of one sample."""
    cdef Py_ssize_t n_out = layer.n_out, p, done = 0, i, some
    cdef Py_ssize_t depth = n_out if back else layer.n_in, nodes = layer.n_in if back else n_out
    cdef bint half
    cdef Py_ssize_t most = max(WORK_PER_LOOK // (depth * lanes.width * lanes.panels), 1)
    cdef const real* W = <const real*> w.call.model.parameters + layer.W
    if lanes.panels > 1:        # which meet some nodes before the next ones: a W may be large
        most = min(most, <Py_ssize_t> NODES_OF_DELTA)
    while done < nodes:
        some = min(most, nodes - done)
        done += some
        i = nodes - done        # from the last one on, as they go
        for p in range(lanes.panels):
            half = lanes.half and p == lanes.panels - 1
            if back:
                tangents(True, lanes.vectors, half, W + i * n_out, n_out, some,
                         B + p * depth * lanes.width, slope + i if slope != NULL else slope,
                         C + (p * nodes + i) * lanes.width, depth)
            else:
                tangents(False, lanes.vectors, half, W + i, n_out, some,
                         B + p * depth * lanes.width, slope + i if slope != NULL else slope,
                         C + (p * nodes + i) * lanes.width, depth)
        if should_stop(w, some * depth * lanes.width * lanes.panels):
            return


cdef void jacobian_of_one(
    Worker* w, const Derivation* d, const Tangents* t, Py_ssize_t first, Py_ssize_t count,
    real* out,                  # OUT of (n_L, n_0) some rows or, forward, columns
) noexcept nogil:
    """What jacobian_block computes of one sample: the tangents of some unit vectors."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out
    cdef Py_ssize_t l, p, j, s, some
    cdef const Layer* layer = &model.layers[1 if d.forward else L]
    cdef Py_ssize_t n = layer.n_out if d.forward else layer.n_in
    cdef const real* W = <const real*> model.parameters + layer.W
    cdef const real* slope = <const real*> t.slope[1 if d.forward else L - 1]
    cdef const real* rows[MOST_TANGENT_VECTORS * FLOATS]
    cdef real* panel
    cdef real* B = <real*> t.rows[0]
    cdef real* C = <real*> t.rows[1]
    cdef Lanes lanes = lanes_of(count, <const real*> out)
    if L == 1:
        slope = NULL
    for p in range(lanes.panels):
        panel = B + p * n * lanes.width
        if d.forward:
            for s in range(lanes.width):    # the last one fills up the panel
                rows[s] = W + (first + min(p * lanes.width + s, count - 1)) * n
            transpose(rows, lanes.width, n, panel, lanes.width)
            scaled_tangents(lanes.vectors, slope, <const real*> panel, lanes.width, panel, n)
        else:
            scaled_tangents(lanes.vectors, slope, W + first + p * lanes.width, n_L, panel, n)
    if d.forward:
        for l in range(2, L + 1):
            slope = <const real*> t.slope[l] if l < L else <const real*> NULL
            tangents_product(w, &model.layers[l], False, &lanes, <const real*> B, slope, C)
            B, C = C, B
            if w.stop:
                return
    else:
        for l in range(L - 1, 0, -1):
            slope = <const real*> t.slope[l - 1] if l > 1 else <const real*> NULL
            tangents_product(w, &model.layers[l], True, &lanes, <const real*> B, slope, C)
            B, C = C, B
            if w.stop:
                return
    for p in range(lanes.panels):
        some = min(lanes.width, count - p * lanes.width)
        if d.forward:
            for j in range(n_L):
                memcpy(out + j * n_0 + first + p * lanes.width, B + (p * n_L + j) * lanes.width,
                       some * sizeof(real))
        else:
            rows_of(<const real*> B + p * n_0 * lanes.width, n_0,
                    out + (first + p * lanes.width) * n_0, some, lanes.width)


cdef void jacobian_block(
    Worker* w, const Derivation* d, const Tangents* t, Py_ssize_t samples,
    real* out,                  # OUT (samples, n_L, n_0)
) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef const real* parameters = <const real*> model.parameters
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out
    cdef const Layer* layer = &model.layers[1 if d.forward else L]
    cdef Py_ssize_t units = n_0 if d.forward else n_L, first = 0, each, i, u, k, l
    cdef Py_ssize_t width = widest_row(model), unit_stride, slope_stride
    cdef Py_ssize_t n = layer.n_out if d.forward else layer.n_in
    cdef Py_ssize_t at = 1 if d.forward else L - 1      # the layer whose sums `unit` are
    cdef Py_ssize_t last = L if d.forward else 0
    cdef const real* unit
    cdef const real* slope
    cdef real* rows = <real*> t.rows[0]
    cdef real* other = <real*> t.rows[1]
    while first < units:
        each = min(d.each, units - first)
        if samples == 1 and each > ROWS_ALONE:
            jacobian_of_one(w, d, t, first, each, out)
            if w.stop:
                return
            first += each
            continue
        if d.forward:
            unit = parameters + layer.W + first * n
            unit_stride = n
        else:
            unit_stride = row_width(model, n)
            transpose_columns(parameters + layer.W + first, n_L, n, each, <real*> t.unit,
                              unit_stride)
            unit = <const real*> t.unit
        slope_stride = row_width(model, n)
        for i in range(samples):
            slope = <const real*> t.slope[at] + i * slope_stride if at != last else NULL
            for u in range(each):
                if slope == NULL:
                    memcpy(rows, unit + u * unit_stride, n * sizeof(real))
                else:
                    for k in range(n):
                        rows[k] = unit[u * unit_stride + k] * slope[k]
                rows += width
        rows -= samples * each * width
        l = at
        while l != last:
            rows_product(w, &model.layers[l + 1 if d.forward else l], not d.forward, False,
                         <const real*> rows, width, samples * each, other, width, t)
            l += 1 if d.forward else -1
            rows, other = other, rows
            if l != last:
                multiply_rows(<const real*> t.slope[l], row_width(model, model.layers[l].n_out),
                              samples, rows, width, each, model.layers[l].n_out)
            if w.stop:
                return
        for i in range(samples):
            if not d.forward:
                for u in range(each):
                    memcpy(out + (i * n_L + first + u) * n_0, rows + (i * each + u) * width,
                           n_0 * sizeof(real))
                continue
            transpose_columns(<const real*> rows + i * each * width, width, each, n_L,
                              out + i * n_L * n_0 + first, n_0)
        first += each
    for i in range(samples):
        multiply_by_output_derivative(
            model, <const real*> t.a[L] + i * row_width(model, n_L),
            <const real*> t.slope[L] + i * row_width(model, n_L), out + i * n_L * n_0, False,
            n_0)
