# Derivatives with respect to the inputs.
#
# Where z and a of a sample are known, sigma' is a number for each node, and what is left are the
# passes of the lecture without biases and losses. Tangents go forward and deltas go back:
#
#     t^l_k     = sigma'(z^l_k)     sum_j W^l_kj t^(l-1)_j        t^0 = u;            J u = t^L
#     d^(l-1)_j = sigma'(z^(l-1)_j) sum_k d^l_k W^l_kj            d^L = v sigma'(z^L)
#                                                                 v J: without the last sigma'
#
# The Jacobian is n_0 tangents or n_L deltas of each sample, those of unit vectors, whose first
# product is a row of W^1 or a column of W^L. What sigma' of the output does to them comes last, and
# is the same for both.
#
# All of them stand as rows: sample after sample, and of each its tangents one after the other. A
# tile takes rows for its rows and nodes for its lanes, as in core/in_place.pxi; for Jacobians of
# one sample or of many it is the other way round: core/jacobian.pxi. Sums are added up as in the
# passes of a training, from 0.

cdef enum:
    # Rows of tangents that share a panel of weights: enough that its copy is a small part, and few
    # enough that two layers of them stay in a core's own cache. By calculation, not measured.
    ROWS_OF_TANGENTS = 128
    # Up to so many rows are multiplied one by one: a tile of them would wait for its few sums.
    ROWS_ALONE = 2

# Which way a Jacobian goes: 0 back, 1 forward, -1 as is cheaper. For tests: see diagnostics.pxi.
cdef int direction = -1

cdef struct Tangents:           # what one thread writes
    # Of a block of samples, z[1..L] and so on: rows (., row_width), or panels (n_l, width) as
    # core/jacobian.pxi says.
    void** z
    void** a
    void** slope                # sigma'(z),
    void** second               # and of second derivatives sigma''(z),
    void** Dz                   # D z of each tangent,
    void* g[2]                  # and rows of two layers in turn, one for each sample
    void* rows[2]               # tangents of two layers in turn
    void* unit                  # columns of W^L
    void* packed                # a panel of weights
    void* zeros                 # in place of a bias; v J has none
    void* before                # see row_product


cdef bint goes_forward(const Model* model) noexcept nogil:
    """Which way a Jacobian takes fewer multiplications."""
    cdef double forward = 0, back = 0
    cdef Py_ssize_t l
    if direction >= 0:
        return direction == 1
    for l in range(1, model.L + 1):
        if l > 1:
            forward += <double> model.layers[l].n_in * model.layers[l].n_out
        if l < model.L:
            back += <double> model.layers[l].n_in * model.layers[l].n_out
    return forward * model.layers[1].n_in < back * model.layers[model.L].n_out


cdef inline Py_ssize_t tangents_in_all(const Model* model, bint forward) noexcept nogil:
    """How many a Jacobian has of each sample."""
    return model.layers[1].n_in if forward else model.layers[model.L].n_out


cdef inline Py_ssize_t row_width(const Model* model, Py_ssize_t n) noexcept nogil:
    """From row to row: a panel more, lest they be a power of two apart."""
    return whole_panels(model, n) + model.lanes


cdef inline Py_ssize_t widest_row(const Model* model) noexcept nogil:
    return row_width(model, max(model.widest, model.layers[1].n_in))


cdef inline Py_ssize_t few_of_a_panel(const Model* model) noexcept nogil:
    """Up to so many samples are too few for the lanes of a Jacobian's register."""
    return 3 * BYTES // (4 * model.itemsize)


cdef void begin_derivation(
    Derivation* d, const Model* model, Derivative what, Py_ssize_t rows,
) noexcept nogil:
    """Which way, and how many samples and tangents at a time."""
    cdef Py_ssize_t each = 1, most, parts
    memset(d, 0, sizeof(Derivation))
    d.what = what
    if what == JACOBIAN or what == SOBOLEV:
        d.forward = goes_forward(model)
        each = tangents_in_all(model, d.forward)
    elif what == HESSIAN:
        each = model.layers[1].n_in
    d.each = min(each, <Py_ssize_t> ROWS_OF_TANGENTS)
    d.samples = min(rows, ROWS_OF_TANGENTS // d.each)
    if what == JACOBIAN and rows > few_of_a_panel(model):
        d.samples = BYTES // model.itemsize
        if rows >= 2 * MOST_SAMPLE_VECTORS * d.samples:     # else the blocks are shared by threads
            d.samples *= MOST_SAMPLE_VECTORS
        most = max(ROWS_OF_TANGENTS // d.samples, 1)
        parts = (each + most - 1) // most
        d.each = (each + parts - 1) // parts


cdef double passes_of(const Derivation* d, const Model* model) noexcept nogil:
    """How many forward passes it takes beside the first, near enough."""
    if d.what == JACOBIAN:
        return tangents_in_all(model, d.forward)
    if d.what == HESSIAN:
        return 2 * model.layers[1].n_in + 1
    if d.what == SOBOLEV:       # two passes, and an outer product for each weight
        return 3 * tangents_in_all(model, d.forward) + 2
    return 3 if d.what == HVP else 1


cdef Py_ssize_t lay_out_tangents(
    const Model* model, const Derivation* d, void* memory, Tangents* t,
) noexcept nogil:
    """Place what one thread writes, or count its bytes alone where memory is NULL."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t l, L = model.L, size = model.itemsize, deepest = 0
    cdef Py_ssize_t rows = (max(d.samples * d.each, d.each + 3 * model.lanes)
                            * widest_row(model) * size)
    cdef Py_ssize_t block
    cdef bint twice = d.what == HVP or d.what == HESSIAN or d.what == SOBOLEV
    cdef char* first
    t.z = <void**> place(&position, 5 * (L + 1) * sizeof(void*))
    t.a = t.z + L + 1
    t.slope = t.a + L + 1
    t.second = t.slope + L + 1
    t.Dz = t.second + L + 1
    for l in range(1, L + 1):
        block = d.samples * row_width(model, model.layers[l].n_out) * size  # whole cache lines
        first = <char*> place(&position, (4 + d.each if twice else 3) * block)
        if memory != NULL:
            t.z[l] = first
            t.a[l] = first + block
            t.slope[l] = first + 2 * block
            t.second[l] = first + 3 * block
            t.Dz[l] = first + 4 * block
        deepest = max(deepest, max(model.layers[l].n_in, model.layers[l].n_out))
    t.rows[0] = place(&position, rows)
    t.rows[1] = place(&position, rows)
    t.g[0] = place(&position, rows // d.each if twice else 0)
    t.g[1] = place(&position, rows // d.each if twice else 0)
    t.unit = place(&position, d.each * row_width(model, model.layers[L].n_in) * size)
    t.packed = place(&position, deepest * model.lanes * size)
    t.zeros = place(&position, (widest_row(model) + SLACK) * size)
    t.before = place(&position, (widest_row(model) + SLACK) * size)
    if memory != NULL and d.what != VJP:
        memset(t.zeros, 0, (widest_row(model) + SLACK) * size)
    return <Py_ssize_t> (<uintptr_t> place(&position, 0) - <uintptr_t> memory)


# --- Products of rows -------------------------------------------------------------------------

cdef void pack_columns(
    const real* W, Py_ssize_t n_out, Py_ssize_t n_in,   # IN, some columns of (n_in, n_out)
    real* packed,               # OUT (n_in, lanes)
) noexcept nogil:
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, j
    for j in range(n_in):
        memcpy(packed + j * lanes, W + j * n_out, lanes * sizeof(real))


cdef void transpose_columns(
    const real* W, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t columns,  # IN (rows, columns)
    real* transposed, Py_ssize_t transposed_stride,     # OUT (columns, rows)
) noexcept nogil:
    cdef const real* row[NR]
    cdef Py_ssize_t i, first = 0, count
    while first < rows:
        count = min(rows - first, <Py_ssize_t> NR)
        for i in range(count):
            row[i] = W + (first + i) * stride
        transpose(row, count, columns, transposed + first, transposed_stride)
        first += count


cdef void rows_product(
    Worker* w, const Layer* layer, bint back,
    bint biased,                # forward
    const real* A, Py_ssize_t A_stride, Py_ssize_t rows,    # IN rows of a layer
    real* C, Py_ssize_t C_stride,   # OUT rows of the next one, or of the one before
    const Tangents* t,
) noexcept nogil:
    """C_k = [b_k +] sum_j W_kj A_j of each row, or back C_j = sum_k A_k W_kj."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, n_out = layer.n_out
    cdef Py_ssize_t depth = n_out if back else layer.n_in
    cdef Py_ssize_t columns = layer.n_in if back else n_out, first = 0, i, k, height
    cdef const real* W = <const real*> w.call.model.parameters + layer.W
    cdef const real* bias = <const real*> w.call.model.parameters + layer.b
    cdef const real* none = <const real*> t.zeros
    cdef real* packed = <real*> t.packed
    cdef Tiles tiles
    if rows <= ROWS_ALONE and not back:
        for i in range(rows):
            row_product(A + i * A_stride, W, bias if biased else none, C + i * C_stride,
                        <real*> t.before, columns, depth, w)
    elif rows <= ROWS_ALONE:
        transposed_rows(w, A, A_stride, rows, W, C, C_stride, columns, depth)
    else:
        tiles = shared_by_tiles(rows)
        while first < columns:
            if back:
                transpose_columns(W + first * n_out, n_out, min(lanes, columns - first), depth,
                                  packed, lanes)
            else:
                pack_columns(W + first, n_out, depth, packed)
            i = 0
            for k in range(tiles.count):
                height = tiles.low + 1 if k < tiles.more else tiles.low
                micro_tile(A_ROWS, height, columns - first <= lanes // 2, A + i * A_stride,
                           A_stride, BLOCK_TERMS, 0, <const real*> packed,
                           C + i * C_stride + first, C_stride, depth,
                           bias + first if biased else <const real*> NULL, STORE, 0, 0)
                i += height
            first += lanes
            if should_stop(w, rows * lanes * depth):
                return


cdef void transposed_rows(
    Worker* w, const real* A, Py_ssize_t A_stride, Py_ssize_t rows, const real* W,
    real* C, Py_ssize_t C_stride, Py_ssize_t columns, Py_ssize_t depth,
) noexcept nogil:
    """transposed_row_products, piece by piece: whole registers of it."""
    cdef Py_ssize_t first = 0, count, most = max(WORK_PER_LOOK // (rows * depth) // NR, 1) * NR
    while first < columns:
        count = min(most, columns - first)
        transposed_row_products(A, A_stride, rows, W + first * depth, C + first, C_stride, count,
                                depth)
        first += count
        if should_stop(w, rows * count * depth):
            return


cdef inline void multiply_rows(
    const real* factors, Py_ssize_t factors_stride, Py_ssize_t samples,     # IN a row for each
    real* rows, Py_ssize_t stride, Py_ssize_t each,     # `each` rows for each sample
    Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t _i, _u
    for _i in range(samples):
        for _u in range(each):
            multiply(factors, rows, n)
            rows += stride
        factors += factors_stride


# --- Forward pass, and sigma' -----------------------------------------------------------------

cdef inline void nan_slopes(const real* a, real* slope, Py_ssize_t count) noexcept nogil:
    """Some derivatives of a NaN are numbers; those of an output that is one are not."""
    cdef Py_ssize_t k
    for k in range(count):
        slope[k] = a[k] if a[k] != a[k] else slope[k]


cdef void forward_slopes(
    Worker* w, const Tangents* t, const real* x, Py_ssize_t rows,
) noexcept nogil:
    """z, a and sigma'(z) of all layers."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t l, i, k, n, whole, width, stride = model.layers[1].n_in
    cdef const Layer* layer
    cdef real* z
    cdef real* a
    cdef real* slope
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n = layer.n_out
        whole = (n + FLOATS - 1) // FLOATS * FLOATS
        width = row_width(model, n)
        rows_product(w, layer, False, True, x, stride, rows, <real*> t.z[l], width, t)
        if w.stop:
            return
        for i in range(rows):
            z = <real*> t.z[l] + i * width
            a = <real*> t.a[l] + i * width
            slope = <real*> t.slope[l] + i * width
            if layer.activation == SOFTMAX:
                memcpy(a, z, whole * sizeof(real))
                softmax_row(a, n, whole)
                continue
            if layer.activation == ASCENDING:
                ascending(<const real*> z, a, n, <Py_ssize_t> layer.alpha, 1)
                ascending_slopes(<const real*> z, slope, n, <Py_ssize_t> layer.alpha)
            else:
                activate(layer, <const real*> z, a, whole)
                for k in range(whole):
                    slope[k] = 1
                multiply_by_derivative(layer, <const real*> z, <const real*> a, slope, whole)
            if l == model.L:
                nan_slopes(a, slope, n)
        x = <const real*> t.a[l]
        stride = width


cdef void multiply_by_output_derivative(
    const Model* model,
    const real* a, const real* slope,   # IN (n_L,) of a sample
    real* dz,                   # IN dz^L, OUT da^L: (n_L, columns); or,
    bint back,                  # IN dC/da^L, OUT delta^L, which of most activations is alike
    Py_ssize_t columns,
) noexcept nogil:
    """da_k = sigma'(z_k) dz_k, or of a softmax a_k (dz_k - sum_m a_m dz_m)."""
    cdef const Layer* layer = &model.layers[model.L]
    cdef Py_ssize_t n = layer.n_out, k, j, first = 0, count, begun, last
    cdef real mean[NR]
    cdef real some[NR]
    if layer.activation != SOFTMAX:
        if layer.activation == ASCENDING and back:
            sum_from_above(dz, n, <Py_ssize_t> layer.alpha, columns)
        if columns == 1:
            multiply(slope, dz, n)
        else:
            for k in range(n):
                for j in range(columns):
                    dz[k * columns + j] *= slope[k]
        if layer.activation == ASCENDING and not back:
            for k in range(<Py_ssize_t> layer.alpha, n):
                for j in range(columns):
                    dz[k * columns + j] += dz[(k - <Py_ssize_t> layer.alpha) * columns + j]
        return
    while first < columns:
        count = min(columns - first, <Py_ssize_t> NR)
        memset(mean, 0, sizeof(mean))
        begun = 0
        while begun < n:
            last = min(begun + BLOCK_TERMS, n)
            memset(some, 0, sizeof(some))
            for k in range(begun, last):
                for j in range(count):
                    some[j] += dz[k * columns + first + j] * a[k]
            for j in range(count):
                mean[j] += some[j]
            begun = last
        for k in range(n):
            for j in range(count):
                dz[k * columns + first + j] = a[k] * (dz[k * columns + first + j] - mean[j])
        first += count


# --- What is asked for ------------------------------------------------------------------------

cdef void vjp_block(
    Worker* w, const Tangents* t, Py_ssize_t samples,
    const real* v,              # IN (samples, n_L)
    real* out,                  # OUT (samples, n_0)
) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out, i, l
    cdef Py_ssize_t width = widest_row(model), n
    cdef real* delta = <real*> t.rows[0]
    cdef real* other = <real*> t.rows[1]
    for i in range(samples):
        memcpy(delta + i * width, v + i * n_L, n_L * sizeof(real))
        multiply_by_output_derivative(
            model, <const real*> t.a[L] + i * row_width(model, n_L),
            <const real*> t.slope[L] + i * row_width(model, n_L), delta + i * width, True,
            1)
    for l in range(L, 0, -1):
        n = model.layers[l].n_in
        if l == 1 and samples == 1:
            other = out         # of which whole registers beyond n_0 are not written
        rows_product(w, &model.layers[l], True, False, <const real*> delta, width, samples, other,
                     width, t)
        delta, other = other, delta
        if l > 1:
            multiply_rows(<const real*> t.slope[l - 1], row_width(model, n), samples, delta, width,
                          1, n)
        if w.stop:
            return
    for i in range(samples if delta != out else 0):
        memcpy(out + i * n_0, delta + i * width, n_0 * sizeof(real))


cdef void jvp_block(
    Worker* w, const Tangents* t, Py_ssize_t samples,
    const real* u,              # IN (samples, n_0)
    real* out,                  # OUT (samples, n_L)
) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef Py_ssize_t L = model.L, n_L = model.layers[L].n_out, i, l, n
    cdef Py_ssize_t width = widest_row(model), stride = model.layers[1].n_in
    cdef const real* emitting = u
    cdef real* tangent = NULL
    for l in range(1, L + 1):
        n = model.layers[l].n_out
        tangent = <real*> t.rows[l % 2]
        rows_product(w, &model.layers[l], False, False, emitting, stride, samples, tangent, width,
                     t)
        if l < L:
            multiply_rows(<const real*> t.slope[l], row_width(model, n), samples, tangent, width,
                          1, n)
        if w.stop:
            return
        emitting = tangent
        stride = width
    for i in range(samples):
        multiply_by_output_derivative(
            model, <const real*> t.a[L] + i * row_width(model, n_L),
            <const real*> t.slope[L] + i * row_width(model, n_L), tangent + i * width,
            False, 1)
        memcpy(out + i * n_L, tangent + i * width, n_L * sizeof(real))


cdef void differentiate_block(
    Worker* w, const Tangents* t, Py_ssize_t first, Py_ssize_t rows, const real* tag,
) noexcept nogil:
    """Derivatives of a block of samples, and a^L where it is wanted, too."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef const Derivation* d = call.derivation
    cdef Py_ssize_t n_0 = model.layers[1].n_in, n_L = model.layers[model.L].n_out, i
    cdef const real* x = <const real*> call.data.x + first * n_0
    if d.what == JACOBIAN:
        jacobian_block(w, d, t, x, rows, <real*> call.out + first * n_L * n_0)
        return
    forward_slopes(w, t, x, rows)
    if w.stop:
        return
    if d.a != NULL:
        for i in range(rows):
            memcpy(<real*> d.a + (first + i) * n_L,
                   <const real*> t.a[model.L] + i * row_width(model, n_L), n_L * sizeof(real))
    if d.what == VJP:
        vjp_block(w, t, rows, <const real*> d.v + first * n_L, <real*> call.out + first * n_0)
    elif d.what == JVP:
        jvp_block(w, t, rows, <const real*> d.u + first * n_0, <real*> call.out + first * n_L)
    elif d.what == HVP:
        second_slopes(model, t, rows, tag)
        hessian_block(w, d, t, rows, <const real*> d.v + first * n_L,
                      <const real*> d.u + first * n_0, <real*> call.out + first * n_0)
    elif d.what == HESSIAN:
        second_slopes(model, t, rows, tag)
        hessian_block(w, d, t, rows, <const real*> NULL, <const real*> NULL,
                      <real*> call.out + first * n_0 * n_0)
    else:
        trap()


cdef void differentiate(Worker* w, const real* tag) noexcept nogil:
    """Blocks of samples, as many as this thread comes to."""
    cdef Call* call = w.call
    cdef const Derivation* d = call.derivation
    cdef Py_ssize_t first
    cdef Tangents t
    if d.what == SOBOLEV:
        sobolev_blocks(w, tag)
        return
    lay_out_tangents(
        call.model, d, <char*> call.workspace.scratch + w.index * call.workspace.scratch_bytes, &t)
    while not w.stop:
        first = next_item(w.team) * d.samples
        if first >= call.data.rows:
            return
        differentiate_block(w, &t, first, min(d.samples, call.data.rows - first), tag)
