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
    """The forward pass of a few samples, row by row: the output into a panel, all else as rows
    (rows, n_l). Panels would be mostly empty, and fill the cache.
    """
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
            memcpy(<real*> ws.a[0] + s * n_in, emitting, n_in * sizeof(real))
        for l in range(1, model.L + 1):
            layer = &model.layers[l]
            n = layer.n_out
            z = <real*> ws.z[l] + (s * n if l < model.L else s)
            a = <real*> ws.a[l] + (s * n if l < model.L else s)
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
            if l == model.L:
                for k in range(n):
                    z[k * lanes] = receiving[k]
                if not is_together(layer):
                    activate(layer, <const real*> receiving, receiving, n)
                    for k in range(n):
                        a[k * lanes] = receiving[k]
                continue
            if z != a:
                memcpy(z, receiving, n * sizeof(real))
            activate(layer, <const real*> receiving, receiving, n)
            memcpy(a, receiving, n * sizeof(real))
            emitting = receiving
    if is_together(&model.layers[model.L]):
        activate_together(&model.layers[model.L], <const real*> ws.z[model.L],
                          <real*> ws.a[model.L], <real*> ws.normalizer, lanes)


cdef double squares_of_rows(real* data, Py_ssize_t count) noexcept nogil:
    """Sum of squares; what follows them up to whole panels is cleared."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    cdef Py_ssize_t panels = (count + lanes - 1) // lanes
    memset(data + count, 0, (panels * lanes - count) * sizeof(real))
    return sum_of_squares(<const real*> data, panels)


cdef void deltas_of_rows(
    Worker* w, Py_ssize_t rows, const Scratch* scratch, const real* tag,
) noexcept nogil:
    """The delta recursion of a few samples, row by row, and how large the numbers are."""
    cdef const Model* model = w.call.model
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t lanes = model.lanes, L = model.L, l, s, k, n, count
    cdef Py_ssize_t lowest = lowest_trainable(&w.call.options)
    cdef double a_squares = 0, delta_squares = 0
    cdef const Layer* layer
    cdef real* output = <real*> scratch.row[0]      # delta^L as rows
    cdef real* delta
    cdef real* panel
    n = model.layers[L].n_out
    for s in range(rows):
        for k in range(n):
            output[s * n + k] = (<const real*> ws.delta[L])[k * lanes + s]
    for l in range(L, lowest - 1, -1):
        layer = &model.layers[l]
        n = layer.n_out
        delta = output if l == L else <real*> ws.delta[l]
        for s in range(rows):
            k = 0
            while k < n:
                count = min(lanes, n - k)
                panel = <real*> ws.delta_rows[l] + k * ws.rows + s * lanes
                memcpy(panel, delta + s * n + k, count * sizeof(real))
                memset(panel + count, 0, (lanes - count) * sizeof(real))
                k += lanes
        if l > lowest:
            transposed_rows(w, <const real*> delta, n, rows,
                            <const real*> model.parameters + layer.W, <real*> ws.delta[l - 1],
                            layer.n_in, layer.n_in, n)
            multiply_by_derivative(
                &model.layers[l - 1], <const real*> ws.z[l - 1], <const real*> ws.a[l - 1],
                <real*> ws.delta[l - 1], rows * layer.n_in)
            if w.stop:
                return
        delta_squares += squares_of_rows(delta, rows * n)
        if l == 1 and ws.inputs != PANELS:
            for s in range(rows):
                a_squares += list_squares(&ws.lists[s], tag)
        else:
            a_squares += squares_of_rows(<real*> ws.a[l - 1], rows * layer.n_in)
    ws.squares[0] = a_squares
    ws.squares[1] = delta_squares


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
    const real* a_previous,     # IN a^(l-1): rows
    const real* delta_rows,     # IN delta^l: panels of nodes (block, lanes)
    Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer l - 1
    real* parameters, const RuleConstants* constants, real* gradient,   # as there
    const real* next,           # see below
    const Scratch* scratch,
) noexcept nogil:
    """gradient_tiles for a few samples: a tile's sums would be of a few numbers.

    Of one sample the update is all reading and writing, and so is the forward pass of the next one:
    where its inputs are given as `next`, the new weights are multiplied with them as they appear,
    and the scratch's `ahead` become its z, and the sums of earlier blocks of terms.
    """
    cdef real* deltas = <real*> scratch.row[0]      # (rows + 1, stride)
    cdef real* sums = <real*> scratch.ahead[0]
    cdef real* before = <real*> scratch.ahead[1]
    cdef Py_ssize_t n_out = layer.n_out, k, s, some, at = layer.W + j * n_out
    cdef Py_ssize_t stride = (n_out + SLACK) // lanes * lanes
    a_previous += j
    for s in range(rows):       # from panels of nodes to rows
        k = 0
        while k < n_out:
            memcpy(deltas + s * stride + k, delta_rows + k * block + s * lanes,
                   lanes * sizeof(real))
            k += lanes
    if j == 0:
        memset(deltas + rows * stride, 0, stride * sizeof(real))
        for s in range(rows):
            for k in range(n_out):
                deltas[rows * stride + k] += deltas[s * stride + k]
        apply_or_accumulate(layer.b, 0, deltas + rows * stride, 1, n_out, 0, parameters,
                            constants + 1 if constants != NULL else NULL, gradient, False)
        if next != NULL:
            memcpy(sums, parameters + layer.b, n_out * sizeof(real))
    if constants == NULL:
        for k in range(count):
            for s in range(rows):
                add_multiple(a_previous[k + s * layer.n_in], deltas + s * stride,
                             gradient + at + k * n_out, n_out, s > 0)
    elif next != NULL:
        k = 0
        while k < count:
            some = min(count - k, BLOCK_TERMS - (j + k) % BLOCK_TERMS)
            update_ahead_alone(constants, parameters, at + k * n_out, a_previous + k, deltas,
                               next + j + k, sums, some, n_out)
            k += some
            end_of_block(j + k, layer.n_in, sums, before, n_out)
    elif not SPECIALIZED:
        update_outer(constants, parameters, at, n_out, rows, a_previous, layer.n_in, deltas,
                     stride, count, n_out)
    elif rows == 1:
        update_outer(constants, parameters, at, n_out, 1, a_previous, layer.n_in, deltas, stride,
                     count, n_out)
    elif rows == 2:
        update_outer(constants, parameters, at, n_out, 2, a_previous, layer.n_in, deltas, stride,
                     count, n_out)
    elif rows == FEW_ROWS:
        update_outer(constants, parameters, at, n_out, FEW_ROWS, a_previous, layer.n_in, deltas,
                     stride, count, n_out)
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
