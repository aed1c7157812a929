# Updates that need the whole gradient first: with a penalty, clipped, or checked because a weight
# might not stay finite.
#
# Nothing that Python sees has changed before the update itself, so all that comes before it looks
# for Ctrl-C. The update does not: it is made whole, and a signal's handler sees whole steps alone.

cdef enum:
    # Entries of an update that are made, and looked at, at a time.
    CHECKED_ENTRIES = 4096

cdef bint finish_gradient(
    Worker* w, const Model* model, real* gradient, double l1, double l2, const Options* options,
) noexcept nogil:
    """Add the derivative of the penalty and shorten what is too long; False if it is not finite."""
    cdef const real* W
    cdef real* dW
    cdef real size, decay
    cdef double length
    cdef Py_ssize_t l, i, first, last, n
    if l1 != 0 or l2 != 0:
        size = <real> l1
        decay = <real> l2
        for l in range(1, model.L + 1):
            W = <const real*> model.parameters + model.layers[l].W
            dW = gradient + model.layers[l].W
            n = model.layers[l].b - model.layers[l].W if rate_of(options, l, False) != 0 else 0
            last = 0
            while last < n:
                first = last
                last = min(first + ENTRIES_PER_LOOK, n)
                for i in range(first, last):
                    dW[i] += decay * W[i] + (size if W[i] > 0 else (-size if W[i] < 0 else 0))
                if should_stop_in_vector(w, last - first):
                    return True
    if options.clip_norm > 0:
        length = sqrt(norm(model, gradient, 1, model.L, True, False, w))
        if w.stop:
            return True
        if not isfinite(length):
            return False
        if length > options.clip_norm:
            size = <real> (options.clip_norm / length)
            last = 0
            while last < model.n_parameters:
                first = last
                last = min(first + ENTRIES_PER_LOOK, model.n_parameters)
                for i in range(first, last):
                    gradient[i] *= size
                if should_stop_in_vector(w, last - first):
                    return True
    return True


cdef Outcome update_with(
    Worker* w, const Model* model, Rule* rule, real* gradient,
    double l1, double l2,       # of the batch; of the options there are others
    const Options* options,
    bint checked, void* memory,     # as in update_all
) noexcept nogil:
    """Update with the whole gradient of the costs; it may be changed."""
    clear_frozen(model, options, gradient)
    if l1 == 0 and options.clip_norm == 0:
        return update_all(w, model, rule, gradient, l2, options, checked, memory)
    if not finish_gradient(w, model, gradient, l1, l2, options):
        return OVERFLOW
    return update_all(w, model, rule, gradient, 0, options, checked, memory)


cdef void copy_until_stop(
    Worker* w, const real* values, Py_ssize_t n,
    real* copy,                 # OUT
) noexcept nogil:
    cdef Py_ssize_t i = 0, count
    while i < n and not w.stop:
        count = min(<Py_ssize_t> ENTRIES_PER_LOOK, n - i)
        memcpy(copy + i, values + i, count * sizeof(real))
        i += count
        should_stop_in_vector(w, count)


cdef void update_entries(
    const Model* model, const RuleConstants* constants,     # of weights, and of biases
    double l2,                  # which is in those of weights
    const Options* options, const real* gradient, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    """A part of the update of all parameters, whichever layers it is in."""
    cdef RuleConstants[2] own
    cdef const RuleConstants* of_layer
    cdef Py_ssize_t l, part, last
    if l2 == 0 and options.rates == NULL:
        apply_or_accumulate(first, 0, gradient + first, 1, end - first, 0,
                            <real*> model.parameters, constants, <real*> NULL, False)
        return
    for l in range(1, model.L + 1):
        of_layer = constants_of(options, l, constants, own)
        for part in range(2):
            last = end
            if part == 0:
                last = min(end, model.layers[l].b)
            elif l < model.L:
                last = min(end, model.layers[l + 1].W)
            if first < last:
                apply_or_accumulate(
                    first, 0, gradient + first, 1, last - first, 0, <real*> model.parameters,
                    of_layer + part, <real*> NULL, False)
                first = last


cdef Outcome update_all(
    Worker* w, const Model* model, Rule* rule, const real* gradient,
    double l2,                  # joins the gradient as in the update of a fused step: same bits
    const Options* options,
    bint checked,
    void* memory,               # for copies of parameters and state, or NULL to allocate it
) noexcept nogil:
    """Update with the whole gradient; nothing is changed if numbers overflow or the call is to end.
    """
    cdef Py_ssize_t n = model.n_parameters, i, done = 0, count
    cdef RuleConstants[2] constants
    cdef real* changed[3]
    cdef real* copies = <real*> memory
    cdef bint fine = True
    # The state, too: from an infinite second moment Adam would never move a weight again.
    changed[0] = <real*> model.parameters
    changed[1] = <real*> rule.first
    changed[2] = <real*> rule.second
    if checked:
        if not finite_until_stop(w, gradient, n):
            return OVERFLOW
        if memory == NULL:
            copies = <real*> malloc(
                (1 + (rule.first != NULL) + (rule.second != NULL)) * n * sizeof(real))
        if copies == NULL:
            return NO_MEMORY
        for i in range(3):
            if changed[i] != NULL:
                copy_until_stop(w, <const real*> changed[i], n, copies + i * n)
    constants[0], constants[1] = rule_constants(rule, l2), rule_constants(rule, 0)
    while done < n and fine and not w.stop:
        count = n - done
        if checked:             # piece by piece, looked at while it is in the cache
            count = min(<Py_ssize_t> CHECKED_ENTRIES, count)
        update_entries(model, constants, l2, options, gradient, done, done + count)
        if checked:
            for i in range(3):
                fine = fine and (
                    changed[i] == NULL or finite(<const real*> changed[i] + done, count))
        done += count
    if checked:
        if not fine:
            for i in range(3):
                if changed[i] != NULL:
                    memcpy(changed[i], copies + i * n, done * sizeof(real))
        if memory == NULL:
            free(copies)
    if not fine:
        return OVERFLOW
    if not w.stop:
        rule.step += 1
    return FINE


cdef Outcome update_given(
    Worker* w, const Model* model, Rule* rule, const real* gradient, const Options* options,
    real* own,                  # as long as the parameters, followed by readable entries
    void* memory,               # as in update_all
) noexcept nogil:
    """Update with a gradient that comes from elsewhere: it stays what it is, and may end anywhere,
    where the kernels read a register full."""
    cdef Rule of_bound = fastest(rule, options)
    # By the whole gradient's norm: |g_i| <= ||g||.
    cdef double length = norm(model, gradient, 1, model.L, True, False, w)
    cdef bint checked = not cannot_overflow(&of_bound, options.l1, options.l2, length, 1)
    copy_until_stop(w, gradient, model.n_parameters, own)
    return update_with(w, model, rule, own, options.l1, options.l2, options, checked, memory)
