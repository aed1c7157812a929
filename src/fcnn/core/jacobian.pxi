# The Jacobian: tangents of unit vectors.
#
# Of many samples these are the lanes, as in a training: one or two registers of them have z, a and
# sigma' as a panel for each layer, and each tangent is a panel more. Of one sample its tangents are
# the lanes. Both ways nodes are the rows of a tile, so W is read where it stands, and no layer is
# too narrow. Of a few samples tangents are rows and nodes the lanes, as for v J and J u: W is
# copied into panels once for all of them, where its copies for one took as long as a fifth of the
# products, and going back, where they are transposed, as a third.

from fcnn.kernels.tangents cimport (
    Ends, MOST_SAMPLE_VECTORS, MOST_TANGENT_VECTORS, scaled_tangents, tangents,
)


cdef struct Lanes:              # tangents in panels of some registers
    Py_ssize_t vectors          # of a panel,
    Py_ssize_t width            # and its numbers
    Py_ssize_t panels
    bint half                   # whether the last one needs but half of its last register
    bint of_samples             # whether a panel is one tangent of many samples, or many of one


cdef inline Lanes lanes_of(Py_ssize_t count, const real* tag) noexcept nogil:
    """Tangents of one sample, as evenly as can be."""
    cdef Lanes t
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), vectors = (count + one - 1) // one
    cdef Py_ssize_t panels = (vectors + MOST_TANGENT_VECTORS - 1) // MOST_TANGENT_VECTORS
    t.vectors = (vectors + panels - 1) // panels
    t.width = t.vectors * one
    t.panels = (count + t.width - 1) // t.width
    t.half = 2 * (t.panels * t.width - count) >= one
    t.of_samples = False
    return t


cdef void tangents_product(
    Worker* w, const Layer* layer, bint back, const Lanes* lanes,
    const real* B,              # IN panels (depth, width)
    const real* bias,           # IN (nodes,), or NULL for 0
    const real* slope,          # IN sigma' at the nodes, (nodes,) or of samples (nodes, width), or
    bint of_panels,             # a factor for each panel, the same at all nodes (panels, width);
                                # NULL for 1
    real* C,                    # OUT panels (nodes, width)
) noexcept nogil:
    """C_k = sigma'(z_k) [b_k +] sum_j W_kj B_j, or back C_j = sigma'(z_j) sum_k B_k W_kj."""
    cdef Py_ssize_t n_out = layer.n_out, p, done = 0, i, some
    cdef Py_ssize_t depth = n_out if back else layer.n_in, nodes = layer.n_in if back else n_out
    cdef Py_ssize_t most = max(WORK_PER_LOOK // (depth * lanes.width * lanes.panels), 1)
    cdef const real* W = <const real*> w.call.model.parameters + layer.W
    cdef bint half
    cdef Ends ends
    ends.bias = bias
    ends.factors = slope
    ends.of_lanes = lanes.of_samples
    ends.stride = 0 if of_panels else lanes.width
    if lanes.panels > 1:        # which meet some nodes before the next ones: a W may be large
        most = min(most, <Py_ssize_t> NODES_OF_DELTA)
    while done < nodes:
        some = min(most, nodes - done)
        done += some
        i = nodes - done        # from the last one on, as they go
        for p in range(lanes.panels):
            half = lanes.half and p == lanes.panels - 1
            if of_panels:
                ends.factors = slope + p * lanes.width
            if back:
                tangents(True, lanes.vectors, half, W + i * n_out, n_out, some,
                         B + p * depth * lanes.width, &ends, i,
                         C + (p * nodes + i) * lanes.width, depth)
            else:
                tangents(False, lanes.vectors, half, W + i, n_out, some,
                         B + p * depth * lanes.width, &ends, i,
                         C + (p * nodes + i) * lanes.width, depth)
        if should_stop(w, some * depth * lanes.width * lanes.panels):
            return


cdef const real* tangents_of_output(
    Worker* w, const Derivation* d, const Tangents* t, const Lanes* lanes,
    const real* ends,           # IN sigma' of the outputs; NULL where it comes later
) noexcept nogil:
    """From the first product, in rows[0], through all layers; return where the last one's are."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t l = 1 if d.forward else model.L - 1, last = model.L if d.forward else 0
    cdef real* B = <real*> t.rows[0]
    cdef real* C = <real*> t.rows[1]
    cdef bint ended
    while l != last and not w.stop:
        l += 1 if d.forward else -1
        ended = l == last
        tangents_product(w, &model.layers[l if d.forward else l + 1], not d.forward, lanes,
                         <const real*> B, <const real*> NULL,
                         ends if ended else <const real*> t.slope[l],
                         ended and ends != NULL and not d.forward, C)
        B, C = C, B
    return B


# --- One sample -------------------------------------------------------------------------------

cdef void tangents_of_one(
    Worker* w, const Derivation* d, const Tangents* t, Py_ssize_t first, Py_ssize_t count,
    real* out,                  # OUT of (n_L, n_0) some rows or, forward, columns
) noexcept nogil:
    """The tangents of some unit vectors of one sample, as lanes."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out
    cdef Py_ssize_t p, j, s, some
    cdef const Layer* layer = &model.layers[1 if d.forward else L]
    cdef Py_ssize_t n = layer.n_out if d.forward else layer.n_in
    cdef const real* W = <const real*> model.parameters + layer.W
    cdef const real* slope = <const real*> t.slope[1 if d.forward else L - 1]
    cdef const real* rows[MOST_TANGENT_VECTORS * FLOATS]
    cdef const real* B
    cdef real* panel
    cdef Lanes lanes = lanes_of(count, <const real*> out)
    if L == 1:
        slope = NULL
    for p in range(lanes.panels):
        panel = <real*> t.rows[0] + p * n * lanes.width
        if d.forward:
            for s in range(lanes.width):    # the last one fills up the panel
                rows[s] = W + (first + min(p * lanes.width + s, count - 1)) * n
            transpose(rows, lanes.width, n, panel, lanes.width)
            scaled_tangents(lanes.vectors, slope, 1, <const real*> panel, lanes.width, panel, n)
        else:
            scaled_tangents(lanes.vectors, slope, 1, W + first + p * lanes.width, n_L, panel, n)
    B = tangents_of_output(w, d, t, &lanes, <const real*> NULL)
    for p in range(lanes.panels if not w.stop else 0):
        some = min(lanes.width, count - p * lanes.width)
        if d.forward:
            for j in range(n_L):
                memcpy(out + j * n_0 + first + p * lanes.width, B + (p * n_L + j) * lanes.width,
                       some * sizeof(real))
        else:
            rows_of(B + p * n_0 * lanes.width, n_0, out + (first + p * lanes.width) * n_0, some,
                    lanes.width)


cdef void jacobians_of_rows(
    Worker* w, const Derivation* d, const Tangents* t, const real* x, Py_ssize_t samples,
    real* out,                  # OUT (samples, n_L, n_0)
) noexcept nogil:
    """Of one sample its tangents are the lanes, where there are some; else they are rows."""
    cdef const Model* model = w.call.model
    cdef const real* parameters = <const real*> model.parameters
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out
    cdef const Layer* layer = &model.layers[1 if d.forward else L]
    cdef Py_ssize_t units = tangents_in_all(model, d.forward), first = 0, each, i, u, k, l
    cdef Py_ssize_t width = widest_row(model), unit_stride, slope_stride
    cdef Py_ssize_t n = layer.n_out if d.forward else layer.n_in
    cdef Py_ssize_t at = 1 if d.forward else L - 1      # the layer whose sums `unit` are
    cdef Py_ssize_t last = L if d.forward else 0
    cdef const real* unit
    cdef const real* slope
    cdef real* rows = <real*> t.rows[0]
    cdef real* other = <real*> t.rows[1]
    forward_slopes(w, t, x, samples)
    if w.stop:
        return
    while first < units:
        each = min(d.each, units - first)
        if samples == 1 and each > ROWS_ALONE:
            tangents_of_one(w, d, t, first, each, out)
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


# --- Many samples -----------------------------------------------------------------------------

cdef void forward_slopes_of_panel(
    Worker* w, const Tangents* t, const Lanes* lanes, const real* x, Py_ssize_t rows,
) noexcept nogil:
    """forward_slopes with a panel (n_l, width) for each layer. Where outputs go together, their a
    and sigma' are rows (rows, n_L)."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t width = lanes.width, L = model.L, l, i, k, count = 0
    cdef const Layer* layer = &model.layers[L]
    cdef const real* emitting = <const real*> t.rows[0]
    cdef const real* of_sample
    cdef real* z = NULL
    cdef real* a = NULL
    cdef real* slope = NULL
    if rows < width:
        memset(t.rows[0], 0, model.layers[1].n_in * width * sizeof(real))
    transpose_columns(x, model.layers[1].n_in, rows, model.layers[1].n_in, <real*> t.rows[0],
                      width)
    for l in range(1, L + 1):
        layer = &model.layers[l]
        count = layer.n_out * width
        a = <real*> t.a[l]
        z = <real*> t.z[l] if layer.derivative_reads_z else a
        slope = <real*> t.slope[l]
        tangents_product(w, layer, False, lanes, emitting,
                         <const real*> model.parameters + layer.b, <const real*> NULL, False, z)
        if w.stop:
            return
        if is_together(layer):
            break
        activate(layer, <const real*> z, a, count)
        for k in range(count):
            slope[k] = 1
        multiply_by_derivative(layer, <const real*> z, <const real*> a, slope, count)
        emitting = a
    if not is_together(layer):
        nan_slopes(a, slope, count)
        return
    rows_of(<const real*> z, layer.n_out, <real*> t.rows[1], rows, width)
    for i in range(rows):
        of_sample = <const real*> t.rows[1] + i * layer.n_out
        memcpy(a, of_sample, layer.n_out * sizeof(real))
        activate_row(layer, a, (layer.n_out + FLOATS - 1) // FLOATS * FLOATS)
        if layer.activation == ASCENDING:
            ascending_slopes(of_sample, slope, layer.n_out, <Py_ssize_t> layer.alpha)
            nan_slopes(a, slope, layer.n_out)
        a += layer.n_out
        slope += layer.n_out


cdef void unit_panels(
    const Model* model, bint forward, Py_ssize_t first, const Lanes* lanes,
    const real* slope,          # IN sigma' where it arrives: (nodes, width), or NULL for 1; or
    bint of_panels,             # (panels, width), the same for all nodes
    real* panels,               # OUT (panels, nodes, width)
) noexcept nogil:
    """The first product of unit vectors: a row of W^1 or a column of W^L, times sigma'."""
    cdef const Layer* layer = &model.layers[1 if forward else model.L]
    cdef Py_ssize_t n = layer.n_out if forward else layer.n_in, step = 1 if forward else layer.n_out
    cdef Py_ssize_t stride = 0 if of_panels or slope == NULL else lanes.width, u
    cdef const real* W = <const real*> model.parameters + layer.W
    cdef real ones[NR]
    if slope == NULL:
        for u in range(NR if real is float else NR // 2):
            ones[u] = 1
        slope = &ones[0]
        of_panels = False
    for u in range(first, first + lanes.panels):
        scaled_tangents(lanes.vectors, W + u * (n if forward else 1), step, slope, stride, panels,
                        n)
        panels += n * lanes.width
        slope += lanes.width if of_panels else 0


cdef void some_of_jacobians(
    const Model* model, bint forward, Py_ssize_t first, const Lanes* lanes,
    const real* panels,         # IN back (panels, n_0, width), or forward (panels, n_L, width)
    real* out,                  # OUT of (rows, n_L, n_0) some rows or, forward, columns
    Py_ssize_t rows,
) noexcept nogil:
    cdef Py_ssize_t n_0 = model.layers[1].n_in, n_L = model.layers[model.L].n_out, k
    if not forward:
        transpose_columns(panels, lanes.width, lanes.panels * n_0, rows, out + first * n_0,
                          n_L * n_0)
        return
    for k in range(n_L):
        transpose_columns(panels + k * lanes.width, n_L * lanes.width, lanes.panels, rows,
                          out + k * n_0 + first, n_L * n_0)


cdef void jacobians_of_panel(
    Worker* w, const Derivation* d, const Tangents* t, Py_ssize_t vectors,
    const real* x, Py_ssize_t rows,     # at most vectors full
    real* out,                  # OUT (rows, n_L, n_0)
) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out, i
    cdef Py_ssize_t units = tangents_in_all(model, d.forward), first = 0
    cdef Py_ssize_t begin = 1 if d.forward else L - 1
    cdef bint together = is_together(&model.layers[L])
    cdef const real* slope = <const real*> t.slope[L]
    cdef const real* ends
    cdef const real* panels
    cdef Lanes lanes
    lanes.vectors = vectors
    lanes.width = vectors * (BYTES // <Py_ssize_t> sizeof(real))
    lanes.panels = 1
    lanes.half = False
    lanes.of_samples = True
    forward_slopes_of_panel(w, t, &lanes, x, rows)
    while first < units and not w.stop:
        lanes.panels = min(d.each, units - first)
        ends = <const real*> NULL
        if not together:
            ends = slope if d.forward else slope + first * lanes.width
        if L > 1:
            unit_panels(model, d.forward, first, &lanes, <const real*> t.slope[begin], False,
                        <real*> t.rows[0])
        else:
            unit_panels(model, d.forward, first, &lanes, ends, not d.forward, <real*> t.rows[0])
        panels = tangents_of_output(w, d, t, &lanes, ends)
        if w.stop:
            return
        some_of_jacobians(model, d.forward, first, &lanes, panels, out, rows)
        first += lanes.panels
    for i in range(rows if together and not w.stop else 0):
        multiply_by_output_derivative(model, <const real*> t.a[L] + i * n_L, slope + i * n_L,
                                      out + i * n_L * n_0, False, n_0)


cdef void jacobian_block(
    Worker* w, const Derivation* d, const Tangents* t, const real* x, Py_ssize_t rows,
    real* out,                  # OUT (rows, n_L, n_0)
) noexcept nogil:
    cdef const Model* model = w.call.model
    if rows <= few_of_a_panel(model):
        jacobians_of_rows(w, d, t, x, rows, out)
    else:
        jacobians_of_panel(
            w, d, t, 1 if rows <= BYTES // <Py_ssize_t> sizeof(real) else MOST_SAMPLE_VECTORS,
            x, rows, out)
