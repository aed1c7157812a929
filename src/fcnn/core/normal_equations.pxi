# J^T J and J^T r of a Gauss-Newton step, without J: see fcnn/second_order/.
#
# Row (s, k) of J is the derivative of output k of sample s with respect to all parameters, delta^l
# times a^(l-1) of a backward pass that began with 1 at that output. A block of such rows is made
# from the deltas and activations, multiplied by itself, and forgotten. The residuals are one column
# more, so that the same product gives J^T r and r^T r.

cdef enum:
    # Rows of J at a time, by panels of samples and again by panels of parameters: longer sums pay
    # for a tile's way to memory, more rows leave the second-level cache. A divisor of MOST_ROWS.
    JACOBIAN_ROWS = 128


cdef void jacobian_panel(
    const Model* model, const Workspace* ws, const Equations* e,
    const Samples* block, Py_ssize_t i,         # which panel of the block,
    Py_ssize_t done,            # and rows of the call before the block
    real* panel,                # OUT (n_parameters + 1, lanes)
) noexcept nogil:
    """dr/dW^l_kj = delta^l_k a^(l-1)_j and dr/db^l_k = delta^l_k of some samples; and r."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, l, j, k, s, n_in, n_out
    cdef const Layer* layer
    cdef const real* a
    cdef const real* delta
    cdef const real* residual = <const real*> e.residual + done
    cdef real* into
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n_in = layer.n_in
        n_out = layer.n_out
        delta = <const real*> ws.delta[l] + i * n_out * lanes
        if l > 1:
            a = <const real*> ws.a[l - 1] + i * n_in * lanes
        else:
            # Not ws.a[0], which has what the forward pass reads: lists or panels. They go
            # where the product with the last node will stand.
            into = panel + (layer.W + n_in * (n_out - 1)) * lanes
            panel_of(<const real*> block.x, n_in, block, i * lanes, into, lanes)
            a = into
        for j in range(n_in):
            into = panel + (layer.W + j * n_out) * lanes
            for k in range(n_out):
                for s in range(lanes):
                    into[k * lanes + s] = delta[k * lanes + s] * a[j * lanes + s]
        memcpy(panel + layer.b * lanes, delta, n_out * lanes * sizeof(real))
    for s in range(lanes):
        panel[model.n_parameters * lanes + s] = residual[min(i * lanes + s, block.rows - 1)]


cdef void panel_of_parameters(
    const real* J, Py_ssize_t n, Py_ssize_t rows,   # IN panels of samples (n, lanes)
    Py_ssize_t first,           # from which parameter on
    real* panel,                # OUT (rows, lanes)
) noexcept nogil:
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, p, c
    cdef real zeros[NR]
    cdef const real* nodes[NR]
    memset(zeros, 0, sizeof(zeros))
    for p in range((rows + lanes - 1) // lanes):
        for c in range(lanes):
            nodes[c] = J + (p * n + first + c) * lanes if first + c < n else &zeros[0]
        transpose_panel(nodes, min(lanes, rows - p * lanes), panel + p * lanes * lanes)


cdef void add_equations(
    Worker* w, const Samples* block, Py_ssize_t done, const real* tag,
) noexcept nogil:
    """sums += (J r)^T (J r) of a block, the upper half: each thread takes panels of columns."""
    cdef const Model* model = w.call.model
    cdef const Equations* e = w.call.equations
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, n = model.n_parameters + 1
    cdef Py_ssize_t begun = 0, rows, p, q, t, i, c, first, height, columns
    cdef Py_ssize_t panels = (n + lanes - 1) // lanes
    cdef real* J = <real*> e.by_samples
    cdef real* J_columns
    cdef real products[MR * NR]
    cdef double* into
    cdef Tiles tiles
    while begun < block.rows:
        rows = min(<Py_ssize_t> JACOBIAN_ROWS, block.rows - begun)
        p = w.index
        while p * lanes < rows:
            jacobian_panel(model, w.call.workspace, e, block, begun // lanes + p, done,
                           J + p * n * lanes)
            p += w.team.size
        if stop_at_barrier(w):
            return
        # In turns: a panel farther to the right has more rows above the diagonal.
        q = w.index
        while q < panels:
            J_columns = <real*> e.by_parameters + q * JACOBIAN_ROWS * lanes
            panel_of_parameters(J, n, rows, q * lanes, J_columns)
            columns = min(lanes, n - q * lanes)
            tiles = shared_by_tiles(q * lanes + columns)
            first = 0
            for t in range(tiles.count):
                height = tiles.low + 1 if t < tiles.more else tiles.low
                micro_tile(A_PANELS, height, columns <= lanes // 2, J + first * lanes, lanes, lanes,
                           (n - 1) * lanes, J_columns, &products[0], lanes, rows,
                           <const real*> NULL, STORE, 0, 0)
                for i in range(height):
                    into = e.sums + (first + i) * n + q * lanes
                    for c in range(columns):
                        into[c] += products[i * lanes + c]
                first += height
            q += w.team.size
            if should_stop(w, rows * n * lanes):
                break           # the others wait at the barrier
        if stop_at_barrier(w):
            return
        begun += rows
