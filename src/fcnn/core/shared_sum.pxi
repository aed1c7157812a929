# Sums of vectors of several processes that share their memory: one machine's ranks.
#
# The order of the terms is a tree over the processes, and every entry is added in one place, so all
# have the same bits. Where parameters stand in panels (core/weights.pxi) these and the optimizer's
# state are in shared memory, too, once for all: each process adds a part of the gradients and
# updates that part, while it is in its cache. Of a large network this is half of what the memory
# has to move, and there is nothing to be sent back. Elsewhere each process adds a part and copies
# the others' parts.
#
# What is waited for are counters, one cache line of each process: how often it has arrived.

cdef extern from *:
    int64_t load_acquire "__atomic_load_n"(const int64_t* place, int order) noexcept nogil
    void store_release "__atomic_store_n"(int64_t* place, int64_t value, int order) noexcept nogil
    int ACQUIRE "__ATOMIC_ACQUIRE"
    int RELEASE "__ATOMIC_RELEASE"

cdef extern from "threads.h" nogil:
    void cpu_pause "fcnn_pause"()
    void give_way "fcnn_give_way"()

cdef enum:
    # Entries that are added at a time, in the first cache.
    SUMMED_ENTRIES = 1024
    # Turns of a waiting loop until the processor is offered to others, as in threads.h; and of
    # these offers, each a microsecond or a turn of another process, between two looks at who lives.
    SPINS = 2000
    OFFERS_PER_LOOK = 50000
    COUNTERS_APART = 8
    MOST_PROCESSES = 4096


cdef void add_vectors(
    void** vectors, Py_ssize_t count, Py_ssize_t first, Py_ssize_t end,
    real* into,                 # OUT, may be one of the vectors
    const real* tag,
) noexcept nogil:
    """into = the sum of the vectors: ((0 + 1) + (2 + 3)) + ..., what is left over at the end."""
    cdef real sums[SUMMED_ENTRIES]
    cdef real levels[MOST_LEVELS][SUMMED_ENTRIES]
    cdef Py_ssize_t at = first, n, p, k, i
    cdef const real* x
    cdef const real* before
    while at < end:
        n = min(<Py_ssize_t> SUMMED_ENTRIES, end - at)
        for p in range(count):
            x = <const real*> vectors[p] + at
            if p & 1:
                before = <const real*> vectors[p - 1] + at
                for i in range(n):
                    sums[i] = before[i] + x[i]
                k = 1
                while p >> k & 1:
                    for i in range(n):
                        sums[i] = levels[k][i] + sums[i]
                    k += 1
            elif p + 1 < count:     # the next one reads it
                continue
            else:
                memcpy(sums, x, n * sizeof(real))
            if p + 1 < count:
                k = 0
                while p >> k & 1:
                    k += 1
                memcpy(levels[k], sums, n * sizeof(real))
        p = count - 1           # whose sum is whole up to its lowest bit that is 0
        k = 0
        while p >> k & 1:
            k += 1
        while p >> k:
            if p >> k & 1:
                for i in range(n):
                    sums[i] = levels[k][i] + sums[i]
            k += 1
        memcpy(into + at, sums, n * sizeof(real))
        at += n


cdef bint is_fused(const Worker* w, const BatchState* b) noexcept nogil:
    """Whether each entry of an update needs its own gradient alone."""
    cdef const Options* options = &w.call.options
    return (b.cannot_overflow and isfinite(b.costs) and b.l1 == 0 and options.clip_norm == 0
            and options.rates == NULL)


cdef void update_part(
    Worker* w, const BatchState* b, Py_ssize_t first, Py_ssize_t end, const real* tag,
) noexcept nogil:
    """Add the gradients of all processes, and update what they are of."""
    cdef Call* call = w.call
    cdef Exchange* e = call.exchange
    cdef RuleConstants[2] constants
    cdef Py_ssize_t last
    constants[0], constants[1] = rule_constants(call.rule, b.l2), rule_constants(call.rule, 0)
    while first < end:
        last = min(first + SUMMED_ENTRIES, end)
        add_vectors(e.sums, e.processes, first, last, <real*> e.sum, tag)
        update_entries(call.model, constants, b.l2, &call.options, <const real*> e.sum, first,
                       last)
        first = last


cdef bint update_shared(Worker* w, const BatchState* b, const real* tag) noexcept nogil:
    """finish_update of weights that all processes share; return whether the call is to end."""
    cdef Call* call = w.call
    cdef Exchange* e = call.exchange
    cdef Py_ssize_t n = call.model.n_parameters, parts = e.processes * w.team.size
    cdef Py_ssize_t part = e.rank * w.team.size + w.index
    cdef bint fused = is_fused(w, b)
    if fused:
        update_part(w, b, n * part // parts, n * (part + 1) // parts, tag)
    elif part == 0:
        add_vectors(e.sums, e.processes, 0, n, <real*> e.sum, tag)
        e.outcome[0] = OVERFLOW
        if isfinite(b.costs):
            e.outcome[0] = update_with(
                w, call.model, call.rule, <real*> e.sum, b.l1, b.l2, &call.options,
                not b.cannot_overflow, call.workspace.copies)
    if stop_at_barrier(w):
        return True
    if w.index == 0:
        wait_for_updates(w)
        call.outcome = FINE if fused else <Outcome> e.outcome[0]
        # update_with has counted its step.
        if call.outcome == FINE and (fused or e.rank > 0):
            call.rule.step += 1
    return stop_at_barrier(w)


cdef int wait_for_all(const int64_t* counters, Py_ssize_t count, int64_t value, look) except -1:
    """Wait until every counter is at least `value`; call look() once in a while."""
    cdef Py_ssize_t p, spins, offers
    for p in range(count):
        spins = offers = 0
        while load_acquire(counters + p * COUNTERS_APART, ACQUIRE) < value:
            spins += 1
            if spins < SPINS:
                cpu_pause()
                continue
            with nogil:
                while (load_acquire(counters + p * COUNTERS_APART, ACQUIRE) < value
                       and offers < OFFERS_PER_LOOK):
                    give_way()
                    offers += 1
            if offers >= OFFERS_PER_LOOK:
                offers = 0
                look()
    return 0


def meet_shared(counters, Py_ssize_t rank, int64_t meeting, look):
    """Wait for all processes.

    Parameters
    ----------
    counters : numpy.ndarray of int64, shape (8 processes,)
        Shared, zeros at first.
    rank : int
        Of this process.
    meeting : int
        Its number: one more than that of the last.
    look : callable
        Called now and then while others are waited for; may raise.
    """
    cdef Py_ssize_t count = len(counters) // COUNTERS_APART
    cdef int64_t* all_counters = <int64_t*> data_of(
        counters, cnp.NPY_INT64, COUNTERS_APART * count, "counters", write=True)
    if not 0 <= rank < count:
        raise ValueError(f"rank: expected one of {count}, got {rank}")
    store_release(all_counters + rank * COUNTERS_APART, meeting, RELEASE)
    wait_for_all(all_counters, count, meeting, look)


def sum_shared(cnp.ndarray own not None, addresses, counters, Py_ssize_t rank,
               Py_ssize_t first, Py_ssize_t end, int64_t meetings, look):
    """Replace entries first .. end - 1 of the vectors of all processes by their sum.

    Parameters
    ----------
    own : numpy.ndarray of float32 or float64
        The vector of this process.
    addresses : numpy.ndarray of int64, shape (processes,)
        Where the vectors of all are.
    counters, rank, look
        As for `meet_shared`.
    meetings : int
        How many there were before; these are three.
    """
    cdef Py_ssize_t count = len(addresses), n = end - first, p, begin, size
    cdef void** vectors = <void**> data_of(addresses, cnp.NPY_INT64, count, "addresses")
    cdef bint single = cnp.PyArray_TYPE(own) == cnp.NPY_FLOAT32
    cdef char* into = <char*> cnp.PyArray_DATA(own)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(own)
    if not (0 <= rank < count <= MOST_PROCESSES and 0 <= first <= end <= cnp.PyArray_SIZE(own)
            and vectors[rank] == into and len(counters) == COUNTERS_APART * count):
        raise ValueError("addresses: they do not fit")
    meet_shared(counters, rank, meetings + 1, look)
    with nogil:
        begin, size = first + n * rank // count, first + n * (rank + 1) // count
        if single:
            add_vectors(vectors, count, begin, size, <float*> into, <float*> NULL)
        else:
            add_vectors(vectors, count, begin, size, <double*> into, <double*> NULL)
    meet_shared(counters, rank, meetings + 2, look)
    with nogil:
        for p in range(count):
            begin, size = n * p // count, n * (p + 1) // count
            if p != rank:
                memcpy(into + (first + begin) * itemsize,
                       <char*> vectors[p] + (first + begin) * itemsize, (size - begin) * itemsize)
    # Others may still read what the next gradient will overwrite.
    meet_shared(counters, rank, meetings + 3, look)
