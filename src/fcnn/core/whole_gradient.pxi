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


cdef Outcome update_all(
    const Model* model, Rule* rule, const real* gradient, bint checked,
    void* memory,               # for copies of parameters and state, or NULL to allocate it
) noexcept nogil:
    """Update with the whole gradient; if numbers overflow, nothing is changed."""
    cdef Py_ssize_t n = model.n_parameters, i
    cdef RuleConstants constants = rule_constants(rule, 0)
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
    apply_or_accumulate(
        0, 0, gradient, 1, n, 0, <real*> model.parameters, &constants, <real*> NULL, False)
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
