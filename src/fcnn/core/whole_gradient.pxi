# Updates that need the whole gradient first: with a penalty, clipped, or checked because a weight
# might not stay finite.

cdef bint finish_gradient(
    const Model* model, real* gradient, double l1, double l2, const Options* options,
) noexcept nogil:
    """Add the derivative of the penalty and shorten what is too long; False if it is not finite."""
    cdef const real* W
    cdef real* dW
    cdef real size, decay
    cdef double length
    cdef Py_ssize_t l, i
    if l1 != 0 or l2 != 0:
        size = <real> l1
        decay = <real> l2
        for l in range(1, model.L + 1):
            W = <const real*> model.parameters + model.layers[l].W
            dW = gradient + model.layers[l].W
            if rate_of(options, l, False) == 0:
                continue
            for i in range(model.layers[l].b - model.layers[l].W):
                dW[i] += decay * W[i] + (size if W[i] > 0 else (-size if W[i] < 0 else 0))
    if options.clip_norm > 0:
        length = sqrt(norm(model, gradient, 1, model.L, True, False))
        if not isfinite(length):
            return False
        if length > options.clip_norm:
            size = <real> (options.clip_norm / length)
            for i in range(model.n_parameters):
                gradient[i] *= size
    return True


cdef Outcome update_with(
    const Model* model, Rule* rule, real* gradient,
    double l1, double l2,       # of the batch; of the options there are others
    const Options* options,
    bint checked, void* memory,     # as in update_all
) noexcept nogil:
    """Update with the whole gradient of the costs; it may be changed."""
    clear_frozen(model, options, gradient)
    if l1 == 0 and options.clip_norm == 0:
        return update_all(model, rule, gradient, l2, options, checked, memory)
    if not finish_gradient(model, gradient, l1, l2, options):
        return OVERFLOW
    return update_all(model, rule, gradient, 0, options, checked, memory)


cdef Outcome update_all(
    const Model* model, Rule* rule, const real* gradient,
    double l2,                  # joins the gradient as in the update of a fused step: same bits
    const Options* options,
    bint checked,
    void* memory,               # for copies of parameters and state, or NULL to allocate it
) noexcept nogil:
    """Update with the whole gradient; if numbers overflow, nothing is changed."""
    cdef Py_ssize_t n = model.n_parameters, i, l, end
    cdef RuleConstants[2] constants
    cdef RuleConstants[2] own
    cdef const RuleConstants* of_layer
    cdef const Layer* layer
    cdef void* changed[3]
    cdef real* copies = <real*> memory
    cdef bint fine = True
    # The state, too: from an infinite second moment Adam would never move a weight again.
    changed[0] = model.parameters
    changed[1] = rule.first
    changed[2] = rule.second
    if checked:
        if not finite(gradient, n):
            return OVERFLOW
        if memory == NULL:
            copies = <real*> malloc(
                (1 + (rule.first != NULL) + (rule.second != NULL)) * n * sizeof(real))
        if copies == NULL:
            return NO_MEMORY
        for i in range(3):
            if changed[i] != NULL:
                memcpy(copies + i * n, changed[i], n * sizeof(real))
    constants[0], constants[1] = rule_constants(rule, l2), rule_constants(rule, 0)
    if l2 == 0 and options.rates == NULL:
        apply_or_accumulate(0, 0, gradient, 1, n, 0, <real*> model.parameters, &constants[0],
                            <real*> NULL, False)
    else:
        for l in range(1, model.L + 1):
            layer = &model.layers[l]
            end = model.layers[l + 1].W if l < model.L else n
            of_layer = constants_of(options, l, constants, own)
            apply_or_accumulate(layer.W, 0, gradient + layer.W, 1, layer.b - layer.W, 0,
                                <real*> model.parameters, of_layer, <real*> NULL, False)
            apply_or_accumulate(layer.b, 0, gradient + layer.b, 1, end - layer.b, 0,
                                <real*> model.parameters, of_layer + 1, <real*> NULL, False)
    if checked:
        for i in range(3):
            fine = fine and (changed[i] == NULL or finite(<const real*> changed[i], n))
        if not fine:
            for i in range(3):
                if changed[i] != NULL:
                    memcpy(changed[i], copies + i * n, n * sizeof(real))
        if memory == NULL:
            free(copies)
    if not fine:
        return OVERFLOW
    rule.step += 1
    return FINE


cdef Outcome update_given(
    const Model* model, Rule* rule, const real* gradient, const Options* options,
    real* own,                  # as long as the parameters, followed by readable entries
    void* memory,               # as in update_all
) noexcept nogil:
    """Update with a gradient that comes from elsewhere: it stays what it is, and may end anywhere,
    where the kernels read a register full."""
    cdef Rule of_bound = fastest(rule, options)
    # By the whole gradient's norm: |g_i| <= ||g||.
    cdef double length = norm(model, gradient, 1, model.L, True, False)
    cdef bint checked = not cannot_overflow(&of_bound, options.l1, options.l2, length, 1)
    memcpy(own, gradient, model.n_parameters * sizeof(real))
    return update_with(model, rule, own, options.l1, options.l2, options, checked, memory)
