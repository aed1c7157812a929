# Where weights stand: in rows, as Python sees them, or in panels for the time of a call.
#
# In the flat vector a row of W^l is n_l long, and what a tile reads or writes of it, NR nodes of
# layer l, is a row away from the next. A call of many steps moves parameters and optimizer state
# into panels first, and back at its end, whatever ends it:
#
#     W^l      (panels of NR nodes of l, n_(l-1), NR), the last panel filled up with zeros
#     b^l      (panels, NR)
#
# so that the forward pass needs no copy, tiles of the gradient are whole whatever n_l is, and both
# go through memory in order. Zeros stay zeros: their delta is 0, and without a gradient every rule
# leaves a zero. What treats all parameters alike takes the padding for more of them.

cdef inline Py_ssize_t weight_at(const Layer* layer, Py_ssize_t j, Py_ssize_t k) noexcept nogil:
    """Where W^l_kj stands in the vector of parameters."""
    return layer.W + k // NR * layer.panel_stride + j * layer.row_stride + k % NR


cdef void read_layer(
    const Layer* layer, const real* numbers, real* parameters,
) noexcept nogil:
    """W^l and b^l from where numbers have W^l as (n_l, n_(l-1))."""
    rows_of(numbers + layer.W, layer.n_out, parameters + layer.W, layer.n_in, layer.n_in)
    memcpy(parameters + layer.b, numbers + layer.b, layer.n_out * sizeof(real))


cdef inline bint is_large(const Layer* layer, Py_ssize_t itemsize) noexcept nogil:
    """Whether W^l comes from afar in each pass."""
    return layer.n_in * layer.n_out >= LARGE_BYTES // itemsize


cdef inline bint is_copied(
    const Layer* layer, Py_ssize_t panels, Py_ssize_t itemsize,
) noexcept nogil:
    """Whether the forward pass copies W^l into strips, one for each tile, before it multiplies.

    In rows a node's weights are a row apart, and where that is a power of two they push each other
    out of the cache (784-1024, 256 samples, AVX2: 39 GFLOP/s in place, 94 copied). In panels the
    copy pays where enough panels of samples share it, since all tiles are then of MR nodes and read
    nothing beside them (784-128, float64, AVX2: 128 samples 9 % faster, 32 samples 5 % slower);
    half as many where W is large (784-1024-1024-10, two threads with 128 samples each: 5 %).
    """
    if layer.row_stride == NR:
        return panels * itemsize >= (
            WORTH_STRIPS // 2 if is_large(layer, itemsize) else WORTH_STRIPS)
    return panels > 1 and layer.n_out > PACKED_NODES


cdef void copy_rows(
    const Layer* layer, const real* W, Py_ssize_t rows,
    real* packed, Py_ssize_t stride,    # OUT (rows, stride)
) noexcept nogil:
    """Rows of W^l out of its panels, for the delta recursion: one run each, instead of one for each
    panel of nodes, which are 64 KB apart where n_(l-1) is 1024.
    """
    cdef Py_ssize_t i, k
    for k in range((layer.n_out + NR - 1) // NR):
        for i in range(rows):
            memcpy(packed + i * stride + k * NR, W + i * NR, NR * sizeof(real))
        W += layer.panel_stride


cdef enum:
    # In rows, those of the next nodes are a row apart, which no CPU foresees: they are asked for so
    # many rows ahead.
    ROWS_AHEAD = 8


cdef void copy_whole_strips_of_rows(const Layer* layer, const real* W, real* packed) noexcept nogil:
    """copy_whole_strips of W in rows, where a strip's nodes stand end to end."""
    cdef Py_ssize_t j, t, n_in = layer.n_in, line = 64 // sizeof(real)
    cdef const real* later = W + ROWS_AHEAD * layer.row_stride
    cdef real* strip
    for j in range(n_in):
        for t in range(PACKED_NODES // line + 1):
            prefetch(later + t * line)
        strip = packed + j * MR
        for t in range(PACKED_NODES // MR):
            memcpy(strip, W + t * MR, MR * sizeof(real))
            strip += MR * (n_in + 1)
        W += layer.row_stride
        later += layer.row_stride


cdef void copy_whole_strips(const Layer* layer, const real* W, real* packed) noexcept nogil:
    """What copy_strips does where PACKED_NODES nodes make tiles of MR: each node's number is a
    constant, which takes a third of the time.
    """
    cdef Py_ssize_t j, t, n_in = layer.n_in, between = layer.panel_stride, within
    cdef const real* row
    cdef real* strip
    for j in range(n_in):
        row = W + j * layer.row_stride
        strip = packed + j * MR
        for t in range(PACKED_NODES // MR):
            # Moves of constant size; what is too much the next row overwrites.
            within = t * MR % NR
            memcpy(strip, row + t * MR // NR * between + within, MR * sizeof(real))
            if within > NR - MR:
                memcpy(strip + NR - within, row + (t * MR // NR + 1) * between, MR * sizeof(real))
            strip += MR * (n_in + 1)


cdef void copy_strips(
    const Layer* layer, const real* W, const Tiles* tiles,
    real* packed,               # OUT (n_in, height) for each tile, and a row's length between
) noexcept nogil:
    """The weights of some nodes, at most PACKED_NODES."""
    cdef Py_ssize_t j, k, t, height, n_in = layer.n_in
    cdef real nodes[PACKED_NODES + NR]
    cdef const real* row
    cdef real* strip
    if PACKED_NODES % MR == 0 and tiles.low == MR and tiles.count == PACKED_NODES // MR:
        if layer.panel_stride == NR:
            copy_whole_strips_of_rows(layer, W, packed)
        else:
            copy_whole_strips(layer, W, packed)
        return
    for j in range(n_in):
        row = W + j * layer.row_stride
        if layer.panel_stride != NR:
            for k in range((tiles.count * tiles.low + tiles.more + NR - 1) // NR):
                memcpy(&nodes[k * NR], row + k * layer.panel_stride, NR * sizeof(real))
            row = &nodes[0]
        strip = packed
        for t in range(tiles.count):
            height = tiles.low + 1 if t < tiles.more else tiles.low
            # Moves of constant size; what is too much the next row overwrites.
            memcpy(strip + j * height, row, MR * sizeof(real))
            row += height
            strip += height * (n_in + 1)


cdef Py_ssize_t place_layers(const Model* model, Layer* layers, bint in_panels) noexcept nogil:
    """Give each layer its places; return how long the vector is."""
    cdef Py_ssize_t l, n_out, end = 0
    cdef Layer* layer
    for l in range(1, model.L + 1):
        layer = &layers[l]
        layer[0] = model.layers[l]
        layer.W = end
        if in_panels:
            n_out = (layer.n_out + NR - 1) // NR
            layer.row_stride = NR
            # A row more, where panels would stand a multiple of 4 KB apart and push each other out
            # of the cache.
            layer.panel_stride = (layer.n_in + (layer.n_in % 64 == 0)) * NR
            layer.b = end + n_out * layer.panel_stride
            end = layer.b + n_out * NR
        else:
            layer.row_stride = layer.n_out
            layer.panel_stride = NR
            layer.b = end + layer.n_in * layer.n_out
            end = layer.b + layer.n_out
    return end


cdef int vectors_in_panels(const Call* call) noexcept nogil:
    """How many vectors a call moves: parameters and state, or 0 where they stay where they are."""
    cdef const Model* model = call.model
    if call.exchange != NULL:
        return 1 + state_vectors(call.rule) if call.exchange.in_panels else 0
    # Few rows are computed with the lanes over nodes, and read whole rows of W; so do lists of wide
    # and sparse inputs, here and there.
    if (call.rule == NULL or call.batch_size <= FEW_ROWS or call.data.begins != NULL
            or call.data.rows < WORTH_PANELS * call.batch_size
            or model.n_parameters > MOST_PANEL_BYTES // model.itemsize):
        return 0
    return 1 + state_vectors(call.rule)


cdef void move_rows(
    const Model* model, real* flat, real* panels, bint back,
) noexcept nogil:
    """A vector from rows to panels, whose padding becomes 0; or back."""
    cdef Py_ssize_t l, j, k, count
    cdef const Layer* layer
    cdef real* panel
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        for j in range(layer.n_in + 1):     # the bias is one row more
            k = 0
            while k < layer.n_out:
                panel = panels + (weight_at(layer, j, k) if j < layer.n_in else layer.b + k)
                count = min(layer.n_out - k, <Py_ssize_t> NR)
                if count == NR:     # a move of constant size
                    if back:
                        memcpy(flat + k, panel, NR * sizeof(real))
                    else:
                        memcpy(panel, flat + k, NR * sizeof(real))
                elif back:
                    memcpy(flat + k, panel, count * sizeof(real))
                else:
                    memcpy(panel, flat + k, count * sizeof(real))
                k += NR
            flat += layer.n_out
    if not back:
        fill_padding(model, panels)


cdef void fill_padding(const Model* model, real* panels) noexcept nogil:
    """Zeros, where nodes are not there and between panels."""
    cdef Py_ssize_t l, j, k, last, rows
    cdef const Layer* layer
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        rows = layer.panel_stride // NR
        last = (layer.n_out - 1) // NR * NR
        if layer.n_out % NR > 0:
            for j in range(layer.n_in):
                for k in range(layer.n_out, last + NR):
                    panels[weight_at(layer, j, k)] = 0
            for k in range(layer.n_out, last + NR):
                panels[layer.b + k] = 0
        if rows > layer.n_in:
            for k in range(last // NR + 1):
                memset(panels + layer.W + k * layer.panel_stride + layer.n_in * NR, 0,
                       NR * sizeof(real))


cdef void move_all(
    const Model* model, const Workspace* ws, void** vectors, int count, bint back, const real* tag,
) noexcept nogil:
    """Parameters and state into panels, or back."""
    cdef Py_ssize_t i, step = vector_bytes(model) // <Py_ssize_t> sizeof(real)
    for i in range(count):
        move_rows(model, <real*> vectors[i], <real*> ws.weights + i * step, back)
    if not back:
        fill_padding(model, <real*> ws.gradient)


cdef struct Moved:              # what a call has moved, to find it again
    Model model                 # as the call sees it
    void* vectors[3]            # where parameters and state are at home
    int count


cdef struct Opened:             # what a call has beside what it is given, while it runs
    Workspace workspace
    Needs needs
    Moved moved


cdef void begin_in_panels(Call* call, Opened* opened) noexcept nogil:
    """Move into panels what the call works on, if it works there, and point it there."""
    cdef Moved* moved = &opened.moved
    cdef Workspace* ws = &opened.workspace
    cdef Rule* rule = call.rule
    cdef Py_ssize_t step
    if moved.count == 0:
        return
    step = vector_bytes(&moved.model)
    moved.vectors[0] = moved.model.parameters
    moved.vectors[1] = rule.first
    moved.vectors[2] = rule.second
    if moved.model.itemsize == 4:
        move_all(&moved.model, ws, moved.vectors, moved.count, False, <float*> NULL)
    else:
        move_all(&moved.model, ws, moved.vectors, moved.count, False, <double*> NULL)
    moved.model.parameters = ws.weights
    if moved.count > 1:
        rule.first = <char*> ws.weights + step
    if moved.count > 2:
        rule.second = <char*> ws.weights + 2 * step


cdef void end_in_panels(Call* call, Opened* opened) noexcept nogil:
    """Put back what begin_in_panels moved."""
    cdef Moved* moved = &opened.moved
    if moved.count == 0:
        return
    if moved.model.itemsize == 4:
        move_all(&moved.model, &opened.workspace, moved.vectors, moved.count, True, <float*> NULL)
    else:
        move_all(&moved.model, &opened.workspace, moved.vectors, moved.count, True, <double*> NULL)
    call.rule.first = moved.vectors[1]
    call.rule.second = moved.vectors[2]
    # As before the call, which may be made once more.
    moved.model.parameters = moved.vectors[0]


cdef Model seen_in_panels(const Model* model) noexcept nogil:
    """A model whose parameters stand in panels, once they have been moved."""
    cdef Model seen = model[0]
    seen.in_panels = True
    seen.layers = model.layers + model.L + 1    # both are made with the network
    seen.n_parameters = model.n_in_panels
    return seen


cdef bint first_layer_by_nodes(const Worker* w, Py_ssize_t rows) noexcept nogil:
    """Whether each thread has nodes of layer 1 of its own, instead of samples."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t panels = (model.layers[1].n_out + NR - 1) // NR
    return (w.team.size > 1 and model.L > 1 and model.in_panels and rows > FEW_ROWS
            and w.call.workspace.inputs != STORED
            and (panels % w.team.size == 0 or panels >= 4 * w.team.size))


cdef Py_ssize_t nodes_from(const Worker* w, int index) noexcept nogil:
    """The first node of layer 1 that a thread has."""
    cdef const Layer* layer = &w.call.model.layers[1]
    return min((layer.n_out + NR - 1) // NR * index // w.team.size * NR, layer.n_out)
