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
    # Constants: of these the loops over lanes are vector instructions alone.
    cdef Py_ssize_t whole = NR if real is float else NR // 2
    if lanes == whole:
        loss_of_lanes(model, z, a, targets, labels, normalizer, factor, costs, delta, whole)
    else:
        loss_of_lanes(model, z, a, targets, labels, normalizer, factor, costs, delta, whole // 2)


cdef inline void loss_of_lanes(
    const Model* model, const real* z, const real* a, const real* targets, const int32_t* labels,
    const real* normalizer, const real* factor, real* costs, real* delta, Py_ssize_t lanes,
) noexcept nogil:
    cdef Py_ssize_t n = model.layers[model.L].n_out
    cdef const Layer* output = &model.layers[model.L]
    if labels != NULL:
        label_loss(z, a, labels, normalizer, factor, costs, delta, n, lanes)
        return
    any_loss(model.loss, output.activation, z, a, targets, model.levels, normalizer, factor, costs,
             delta, n, model.n_targets, lanes)
    if delta != NULL and not gives_dC_dz(model.loss):
        if is_together(output):
            delta_together(output, z, a, delta, lanes)
        else:
            multiply_by_derivative(output, z, a, delta, n * lanes)
