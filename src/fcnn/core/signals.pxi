# Ctrl-C, and waiting for the other threads of a call.

cdef void look_for_signals(Worker* w) noexcept nogil:
    if w.stop:                  # one is on its way already
        return
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            Py_INCREF(error)
            w.call.error = <PyObject*> error
            w.stop = True
    if w.stop:
        request_stop(w.team)


cdef inline bint should_stop(Worker* w, Py_ssize_t work) noexcept nogil:
    """Whether the call is to end; looked for once in a while, and by the calling thread alone."""
    if w.index == 0:
        w.work += work
        if w.work >= WORK_PER_LOOK:
            if w.call.watched:
                w.work = 0
                look_for_signals(w)
            elif w.call.among != NULL:      # the calling thread has a call of its own
                w.work = 0
                w.stop = w.stop or stop_requested(w.call.among)
    elif stop_requested(w.team):
        w.stop = True
    return w.stop


cdef inline bint should_stop_in_vector(Worker* w, Py_ssize_t entries) noexcept nogil:
    """should_stop behind some entries of a vector that is as long as the parameters."""
    return should_stop(w, entries * WORK_PER_ENTRY)


cdef inline bint stop_at_barrier(Worker* w) noexcept nogil:
    """Wait for all threads of the call; return whether it is to end."""
    return barrier(w.team, w.index, &w.barriers, w.stop)
