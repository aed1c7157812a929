# Updates that need the whole gradient first: with a penalty, clipped, or checked because a weight
# might not stay finite.

cdef bint finish_gradient(
    const Model* model, real* gradient, double l1, double l2, double clip_norm,
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
            for i in range(model.layers[l].b - model.layers[l].W):
                dW[i] += decay * W[i] + (size if W[i] > 0 else (-size if W[i] < 0 else 0))
    if clip_norm > 0:
        length = sqrt(norm(model, gradient, 1, model.L, True, False))
        if not isfinite(length):
            return False
        if length > clip_norm:
            size = <real> (clip_norm / length)
            for i in range(model.n_parameters):
                gradient[i] *= size
    return True


cdef Outcome update_with(
    const Model* model, Rule* rule, real* gradient, double l1, double l2, double clip_norm,
    bint checked, void* memory,     # as in update_all
) noexcept nogil:
    """Update with the whole gradient of the costs; it may be changed."""
    if l1 == 0 and clip_norm == 0:
        return update_all(model, rule, gradient, l2, checked, memory)
    if not finish_gradient(model, gradient, l1, l2, clip_norm):
        return OVERFLOW
    return update_all(model, rule, gradient, 0, checked, memory)


cdef void update_vector_of(
    const RuleConstants* constants, real* parameters, Py_ssize_t at, Py_ssize_t n,
    const real* gradient,       # IN (n,), as `at` entries behind the beginning of the vectors
) noexcept nogil:
    """Update n parameters. The last ones of a gradient that is the caller's own are read from a
    copy: kernels read whole registers, and what follows it may be no memory at all."""
    cdef real rest[FLOATS]
    cdef Py_ssize_t whole = n // FLOATS * FLOATS
    apply_or_accumulate(at, 0, gradient, 1, whole, 0, parameters, constants, <real*> NULL, False)
    memset(rest, 0, sizeof(rest))
    memcpy(rest, gradient + whole, (n - whole) * sizeof(real))
    apply_or_accumulate(at + whole, 0, &rest[0], 1, n - whole, 0, parameters, constants,
                        <real*> NULL, False)


cdef Outcome update_all(
    const Model* model, Rule* rule, const real* gradient,
    double l2,                  # joins the gradient as in the update of a fused step: same bits
    bint checked,
    void* memory,               # for copies of parameters and state, or NULL to allocate it
) noexcept nogil:
    """Update with the whole gradient; if numbers overflow, nothing is changed."""
    cdef Py_ssize_t n = model.n_parameters, i, l, end
    cdef RuleConstants[2] constants
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
    if l2 == 0:
        update_vector_of(&constants[0], <real*> model.parameters, 0, n, gradient)
    else:
        for l in range(1, model.L + 1):
            layer = &model.layers[l]
            end = model.layers[l + 1].W if l < model.L else n
            update_vector_of(&constants[0], <real*> model.parameters, layer.W,
                             layer.b - layer.W, gradient + layer.W)
            update_vector_of(&constants[1], <real*> model.parameters, layer.b, end - layer.b,
                             gradient + layer.b)
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
