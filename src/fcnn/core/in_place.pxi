# Prediction of many rows whose inputs are read where they are.
#
# A tile takes samples for its rows and nodes for its lanes, C_ij = b_j + sum_k x_ik W_kj, so
# nothing is transposed: not the inputs, which of a wide first layer cost as much as a tenth of the
# products, nor the outputs. In exchange W is copied into panels of nodes (n_in, lanes), once for
# the call, and a layer's last panel may compute nodes that there are not. The sums are those of the
# other way.

cdef bint reads_in_place(const Model* model, Py_ssize_t rows) noexcept nogil:
    """Whether that is faster: see WIDE_INPUTS. Of the lanes at most a fifth may be empty."""
    cdef Py_ssize_t n_in = model.layers[1].n_in, n_out = model.layers[1].n_out
    cdef Py_ssize_t half = model.lanes // 2
    return (rows >= MANY_ROWS and n_in >= WIDE_INPUTS and n_out <= MOST_NODES_IN_PLACE
            and (n_out + half - 1) // half * half * 4 <= 5 * n_out)


cdef inline Py_ssize_t whole_panels(const Model* model, Py_ssize_t n) noexcept nogil:
    # They are a power of two: a derivative of one row asks so often that divisions took 0.15 us.
    return (n + model.lanes - 1) & -model.lanes


cdef inline Py_ssize_t layer_stride(const Model* model) noexcept nogil:
    """Of a layer's rows: a panel more, lest they be a power of two apart."""
    return whole_panels(model, model.widest) + model.lanes


cdef Py_ssize_t weights_in_panels_bytes(const Model* model) noexcept nogil:
    cdef Py_ssize_t entries = 0, l
    for l in range(1, model.L + 1):
        entries += model.layers[l].n_in * whole_panels(model, model.layers[l].n_out)
    return entries * model.itemsize


cdef void copy_weights(
    const Model* model, int index, int threads,     # each takes some panels
    real* panel,                # OUT
) noexcept nogil:
    """Four panels at a time: every visit to a row of W costs a page of the address table."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, l, j, k, p, n_in, n_out, size
    cdef Py_ssize_t whole, number = 0
    cdef const real* W
    for l in range(1, model.L + 1):
        n_in = model.layers[l].n_in
        n_out = model.layers[l].n_out
        k = 0
        while k < n_out:
            size = min(4 * lanes, n_out - k)
            whole = size // lanes
            if number % threads == index:
                W = <const real*> model.parameters + model.layers[l].W + k
                for j in range(n_in):
                    for p in range(whole):
                        memcpy(panel + (p * n_in + j) * lanes, W + p * lanes, lanes * sizeof(real))
                    for p in range(whole * lanes, size):
                        panel[whole * n_in * lanes + j * lanes + p - whole * lanes] = W[p]
                    for p in range(size, whole_panels(model, size)):
                        panel[whole * n_in * lanes + j * lanes + p - whole * lanes] = 0
                    W += n_out
            panel += whole_panels(model, size) * n_in
            number += 1
            k += size


cdef void predict_rows(
    Worker* w, const real* x, Py_ssize_t rows,
    const real* panel,          # IN copy_weights
    real* receiving, real* other,       # two layers in turn, (rows, layer_stride)
    real* out,                  # OUT (rows, n_L)
) noexcept nogil:
    """a^L of a block of rows."""
    cdef const Model* model = w.call.model
    cdef const real* parameters = <const real*> model.parameters
    cdef Py_ssize_t lanes = model.lanes, stride = model.layers[1].n_in, width = layer_stride(model)
    cdef Py_ssize_t l, k, t, i, n_in, n_out = 0, height, whole
    cdef Tiles tiles = shared_by_tiles(rows)
    cdef const Layer* layer
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n_in = layer.n_in
        n_out = layer.n_out
        k = 0
        while k < n_out:
            i = 0
            for t in range(tiles.count):
                height = tiles.low + 1 if t < tiles.more else tiles.low
                micro_tile(A_ROWS, height, n_out - k <= lanes // 2, x + i * stride, stride,
                           BLOCK_TERMS, 0, panel, receiving + i * width + k, width, n_in,
                           parameters + layer.b + k, STORE, 0, 0)
                i += height
            panel += n_in * lanes
            k += lanes
        whole = (n_out + FLOATS - 1) // FLOATS * FLOATS
        for i in range(rows):
            if is_together(layer):
                activate_row(layer, receiving + i * width, whole)
            else:
                activate(layer, <const real*> receiving + i * width,
                         receiving + i * width, n_out)
        x = receiving
        stride = width
        receiving = other
        other = <real*> x
        if should_stop(w, rows * n_out * (n_in + WORK_PER_ACTIVATION)):
            return
    for i in range(rows):
        memcpy(out + i * n_out, x + i * stride, n_out * sizeof(real))


cdef void predict_in_place(Worker* w, const real* tag) noexcept nogil:
    """predict_blocks for wide inputs."""
    cdef Call* call = w.call
    cdef Workspace* ws = call.workspace
    cdef const Model* model = call.model
    cdef Py_ssize_t most = call.batch_size, first
    cdef real* a = <real*> (<char*> ws.scratch + w.index * ws.scratch_bytes)
    copy_weights(model, w.index, w.team.size, <real*> ws.weights)
    if stop_at_barrier(w):
        return
    while not w.stop:
        first = next_item(w.team) * most
        if first >= call.data.rows:
            return
        predict_rows(w, <const real*> call.data.x + first * model.layers[1].n_in,
                     min(most, call.data.rows - first), <const real*> ws.weights,
                     a, a + most * layer_stride(model),
                     <real*> call.out + first * model.layers[model.L].n_out)


cdef Py_ssize_t lay_out_in_place(
    const Model* model, int threads, void* memory, Workspace* ws,
) noexcept nogil:
    """Place what a call writes, or count its bytes alone."""
    cdef uintptr_t position = <uintptr_t> memory
    ws.scratch_bytes = (2 * IN_PLACE_ROWS * layer_stride(model) * model.itemsize + 63) // 64 * 64
    ws.weights = place(&position, weights_in_panels_bytes(model))
    ws.scratch = place(&position, threads * ws.scratch_bytes)
    return <Py_ssize_t> (position - <uintptr_t> memory) + 64
