"""Ctrl-C in long calls without the GIL: a look every few milliseconds of work."""

from cpython.exc cimport PyErr_CheckSignals

cdef enum:
    # Multiplications between two looks: 2 ms at 20 GFLOP/s.
    WORK_PER_LOOK = 20000000


cdef inline int count_work(
    Py_ssize_t* work,           # IN, OUT multiplications since the last look; NULL to not look
    Py_ssize_t more,
) except -1 nogil:
    if work != NULL:
        work[0] += more
        if work[0] >= WORK_PER_LOOK:
            work[0] = 0
            with gil:
                PyErr_CheckSignals()
    return 0
