# Up to FEW_ROWS samples, row by row: the same passes with the lanes over nodes.

cdef inline void row_product(
    const real* A,              # IN (depth,)
    const real* B,              # IN (depth, columns), followed by SLACK entries
    const real* bias,           # IN (columns,), followed by SLACK entries
    real* C,                    # OUT (columns,), followed by SLACK entries
    real* before,               # (columns,) for sums of earlier blocks
    Py_ssize_t columns, Py_ssize_t depth,
    Worker* w,                  # who may look for Ctrl-C meanwhile, or NULL
) noexcept nogil:
    """C_j = bias_j + sum_k A_k B_kj, the lanes over j."""
    cdef Py_ssize_t first = 0, last
    if columns * <Py_ssize_t> sizeof(real) <= MOST_NARROW_BYTES:
        narrow_row_product(A, B, columns, bias, C, columns, depth)
        if w != NULL:
            should_stop(w, columns * depth)
        return
    # Wide rows are read from end to end: parts would read some of each and come back later for
    # the rest (1 x 1024 x 1024, Zen 3: 6 GFLOP/s by parts, 31 so).
    memcpy(C, bias, columns * sizeof(real))
    while first < depth:
        last = min(first + BLOCK_TERMS, depth)
        add_wide_rows(A + first, B + first * columns, C, columns, last - first)
        end_of_block(last, depth, C, before, columns)
        first = last
        if w != NULL and should_stop(w, BLOCK_TERMS * columns):
            return


cdef inline void layer_of_row(
    const Layer* layer, const real* a_previous, const real* parameters,
    real* z,                    # OUT (n_l,), followed by SLACK entries
    real* before, Worker* w,    # as there
) noexcept nogil:
    """z^l_k = b^l_k + sum_j W^l_kj a^(l-1)_j of one sample."""
    row_product(a_previous, parameters + layer.W, parameters + layer.b, z, before, layer.n_out,
                layer.n_in, w)


cdef void forward_rows(
    const Model* model, const Samples* block, Workspace* ws, const Scratch* scratch,
    bint ahead,                 # whether z^1 is there already
    Worker* w, const real* tag,
) noexcept nogil:
    """The forward pass of a few samples, row by row: a^0 as rows, the rest into a panel."""
    cdef const real* parameters = <const real*> model.parameters
    cdef Py_ssize_t lanes = model.lanes, n_in = model.layers[1].n_in, l, s, k, n
    cdef const real* emitting = NULL
    cdef real* receiving
    cdef const Layer* layer
    cdef real* z
    cdef real* a
    for s in range(block.rows):
        if ws.inputs == PANELS:
            emitting = <const real*> block.x + row_of(block, s) * n_in
            # A panel of the inputs would be mostly empty and fill the cache.
            memcpy(<real*> ws.a[0] + s * n_in, emitting, n_in * sizeof(real))
        for l in range(1, model.L + 1):
            layer = &model.layers[l]
            n = layer.n_out
            z = <real*> ws.z[l] + s
            a = <real*> ws.a[l] + s
            if l == 1 and ahead:
                receiving = <real*> scratch.ahead[0]
            else:
                receiving = <real*> scratch.row[l % 2]
                if l == 1 and ws.inputs != PANELS:
                    list_sample(ws, block, s, layer.n_in, <Scratch*> scratch, tag)
                    list_row_product(layer, &ws.lists[s], parameters, receiving, tag)
                else:
                    layer_of_row(layer, emitting, parameters, receiving, <real*> scratch.before, w)
                    if w.stop:
                        return
            if ws.z[l] != ws.a[l] or is_together(layer):
                for k in range(n):
                    z[k * lanes] = receiving[k]
            if not is_together(layer):
                activate(layer, <const real*> receiving, receiving, n)
                for k in range(n):
                    a[k * lanes] = receiving[k]
            emitting = receiving
    if is_together(&model.layers[model.L]):
        activate_together(&model.layers[model.L], <const real*> ws.z[model.L],
                          <real*> ws.a[model.L], <real*> ws.normalizer)


cdef void predict_row(
    const Model* model, const real* x, real* out, real* buffer, Worker* w,
) noexcept nogil:
    """a^L of one row; w, who may look for Ctrl-C meanwhile, or NULL."""
    cdef const real* parameters = <const real*> model.parameters
    cdef const Layer* layer
    cdef real* receiving
    cdef Py_ssize_t l, n = 0, whole
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n = layer.n_out
        # Whole registers: what is left over would be computed one by one.
        whole = (n + FLOATS - 1) // FLOATS * FLOATS
        receiving = buffer + (l % 2) * (model.widest + SLACK)
        if l == 1 and mostly_zero(x, layer.n_in, 1, PERCENT_LISTED):
            row_product_without_zeros(layer, x, parameters, receiving)
        else:
            layer_of_row(layer, x, parameters, receiving, buffer + 2 * (model.widest + SLACK), w)
            if w != NULL and w.stop:
                return
        if is_together(layer):
            activate_row(layer, receiving, whole)
        else:
            activate(layer, <const real*> receiving, receiving, whole)
        x = receiving
    memcpy(out, x, n * sizeof(real))


cdef void outer_products(
    const Layer* layer,
    const real* a_previous,     # IN a^(l-1)
    Py_ssize_t node_stride, Py_ssize_t row_stride,      # from node to node, from sample to sample
    const real* delta_rows,     # IN delta^l: panels of nodes (block, lanes)
    Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer l - 1
    real* parameters, const RuleConstants* constants, real* gradient,   # as there
    const real* next, real* sums, real* before,     # see below
    real* scratch,              # (rows + 1, widest + SLACK)
) noexcept nogil:
    """gradient_tiles for a few samples: a tile's sums would be of a few numbers.

    Of one sample the update is all reading and writing, and so is the forward pass of the next one:
    where its inputs are given as `next`, the new weights are multiplied with them as they appear,
    and `sums` (n_l,) become its z; `before` are those of earlier blocks of terms.
    """
    cdef Py_ssize_t n_out = layer.n_out, k, s, some, at = layer.W + j * n_out
    cdef Py_ssize_t stride = (n_out + SLACK) // lanes * lanes
    a_previous += j * node_stride
    for s in range(rows):       # from panels of nodes to rows
        k = 0
        while k < n_out:
            memcpy(scratch + s * stride + k, delta_rows + k * block + s * lanes,
                   lanes * sizeof(real))
            k += lanes
    if j == 0:
        memset(scratch + rows * stride, 0, stride * sizeof(real))
        for s in range(rows):
            for k in range(n_out):
                scratch[rows * stride + k] += scratch[s * stride + k]
        apply_or_accumulate(layer.b, 0, scratch + rows * stride, 1, n_out, 0, parameters,
                            constants + 1 if constants != NULL else NULL, gradient, False)
        if next != NULL:
            memcpy(sums, parameters + layer.b, n_out * sizeof(real))
    if constants == NULL:
        for k in range(count):
            for s in range(rows):
                add_multiple(a_previous[k * node_stride + s * row_stride], scratch + s * stride,
                             gradient + at + k * n_out, n_out, s > 0)
    elif next != NULL:
        k = 0
        while k < count:
            some = min(count - k, BLOCK_TERMS - (j + k) % BLOCK_TERMS)
            update_ahead_alone(constants, parameters, at + k * n_out, a_previous + k, scratch,
                               next + j + k, sums, some, n_out)
            k += some
            end_of_block(j + k, layer.n_in, sums, before, n_out)
    elif not SPECIALIZED:
        update_outer(constants, parameters, at, n_out, rows, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)
    elif rows == 1:
        update_outer(constants, parameters, at, n_out, 1, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)
    elif rows == 2:
        update_outer(constants, parameters, at, n_out, 2, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)
    elif rows == FEW_ROWS:
        update_outer(constants, parameters, at, n_out, FEW_ROWS, a_previous, node_stride,
                     row_stride, scratch, stride, count, n_out)
    else:
        trap()


cdef void update_ahead_alone(
    const RuleConstants* constants, real* parameters, Py_ssize_t offset,
    const real* a, const real* delta, const real* next, real* sums,
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """update_ahead in a function of its own, where its constants have all registers."""
    update_ahead(constants, parameters, offset, a, delta, next, sums, rows, columns)


cdef inline void add_multiple(
    real factor, const real* x, real* sums, Py_ssize_t n, bint add,
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        sums[k] = multiply_add(factor, x[k], sums[k] if add else 0)
