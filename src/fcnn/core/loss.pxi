# The loss of a panel of outputs, and their delta.

cdef void loss_of_panel(
    const Model* model,
    const real* z, const real* a,   # IN (n_L, lanes) of the output layer
    const real* targets,        # IN (n_targets, lanes); or, where they are not NULL,
    const int32_t* labels,      # IN (lanes,)
    const real* normalizer,     # IN (lanes,) of the softmax
    const real* factor,         # IN (lanes,) what each sample's cost counts in the loss
    real* costs,                # OUT (lanes,)
    real* delta,                # OUT (n_L, lanes) dC/dz times the factor, or NULL
    Py_ssize_t lanes,           # of a panel, or half of them
) noexcept nogil:
    cdef Py_ssize_t n = model.layers[model.L].n_out
    cdef const Layer* output = &model.layers[model.L]
    # Constants: of these the loops over lanes are vector instructions alone.
    cdef Py_ssize_t whole = NR if real is float else NR // 2
    if labels != NULL and lanes == whole:
        label_loss(z, a, labels, normalizer, factor, costs, delta, n, whole)
        return
    if labels != NULL:
        label_loss(z, a, labels, normalizer, factor, costs, delta, n, whole // 2)
        return
    any_loss(model.loss, output.activation, z, a, targets, model.levels, normalizer, factor, costs,
             delta, n, model.n_targets, lanes)
    if delta != NULL and not gives_dC_dz(model.loss):
        if is_together(output):
            delta_together(output, z, a, delta, lanes)
        else:
            multiply_by_derivative(output, z, a, delta, n * lanes)


cdef double output_panel(
    Call* call, const Samples* block, double scale,
    Py_ssize_t first,           # sample of the block
    Py_ssize_t lanes,           # of a panel, or half of them
    const real* z, const real* a, const real* normalizer,   # IN of the output layer
    real* delta,                # OUT, or NULL
    real* targets,              # scratch (n_L + 1, lanes)
) noexcept nogil:
    """Output delta of a panel, with the 1/s of the average; return the sum of its costs."""
    # Constants: of these the loops over lanes are vector instructions alone.
    cdef Py_ssize_t whole = NR if real is float else NR // 2
    if lanes == whole:
        return output_lanes(call, block, scale, first, whole, z, a, normalizer, delta, targets)
    return output_lanes(call, block, scale, first, whole // 2, z, a, normalizer, delta, targets)


cdef inline double output_lanes(
    Call* call, const Samples* block, double scale, Py_ssize_t first, Py_ssize_t lanes,
    const real* z, const real* a, const real* normalizer, real* delta, real* targets,
) noexcept nogil:
    cdef const Model* model = call.model
    cdef Py_ssize_t n = model.layers[model.L].n_out, k, s
    cdef int32_t labels[NR]
    cdef real factor[NR]
    cdef real* costs = targets + n * lanes
    cdef double total = 0
    cdef real smoothing = <real> call.options.label_smoothing
    cdef real smoothed = smoothing / <real> (n if model.targets == losses.CLASSES else 2)
    cdef const real* weight = <const real*> block.weight
    cdef bint is_label = block.labels != NULL and smoothing == 0
    for s in range(lanes):
        factor[s] = <real> scale
        if weight != NULL:
            factor[s] = <real> (scale * weight[row_of(block, first + s)])
    if block.labels != NULL:
        # They were checked before the call; whoever writes to them during it spoils the result, but
        # not foreign memory.
        if block.order == NULL and first + lanes <= block.rows:
            for s in range(lanes):
                labels[s] = <int32_t> min(max(block.labels[first + s], 0), n - 1)
        else:
            for s in range(lanes):
                labels[s] = <int32_t> min(max(block.labels[row_of(block, first + s)], 0), n - 1)
    elif block.y != NULL:
        panel_of(<const real*> block.y, columns_of_y(model), block, first, targets, lanes)
    else:                       # outputs alone are wanted
        return 0
    if smoothing > 0:
        if block.labels != NULL:
            for k in range(n):
                for s in range(lanes):
                    targets[k * lanes + s] = 1 if labels[s] == <int32_t> k else 0
        for s in range(n * lanes):
            targets[s] = (1 - smoothing) * targets[s] + smoothed
    loss_of_panel(model, z, a, targets, labels if is_label else NULL, normalizer, factor, costs,
                  delta, lanes)
    for s in range(min(lanes, block.rows - first)):
        total += costs[s] * (weight[row_of(block, first + s)] if weight != NULL else 1)
    return total
