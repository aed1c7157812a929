# The sum of vectors of several processes that share their memory: one machine's ranks.
#
# Each process adds one part of all vectors, and copies the others' parts when they are done. The
# order of the terms is a tree over the processes, whatever their parts: every entry is added in one
# place, so all have the same bits. What is waited for are counters, one cache line of each process.

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
    while at < end:
        n = min(<Py_ssize_t> SUMMED_ENTRIES, end - at)
        for p in range(count):
            x = <const real*> vectors[p] + at
            if p & 1 == 0:
                memcpy(sums, x, n * sizeof(real))
            else:
                for i in range(n):
                    sums[i] = levels[0][i] + x[i]
                k = 1
                while p >> k & 1:
                    for i in range(n):
                        sums[i] = levels[k][i] + sums[i]
                    k += 1
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


def sum_shared(cnp.ndarray own not None, addresses, counters, Py_ssize_t rank,
               Py_ssize_t first, Py_ssize_t end, int64_t round_, look):
    """Replace entries first .. end - 1 of the vectors of all processes by their sum.

    Parameters
    ----------
    own : numpy.ndarray of float32 or float64
        The vector of this process.
    addresses : numpy.ndarray of int64, shape (processes,)
        Where the vectors of all are.
    counters : numpy.ndarray of int64, shape (8 processes,)
        Shared, zeros at first.
    rank : int
        Of this process.
    round_ : int
        How many sums there were before.
    look : callable
        Called now and then while others are waited for; may raise.
    """
    cdef Py_ssize_t count = len(addresses), n = end - first, p, begin, size
    cdef int64_t* all_counters = <int64_t*> data_of(
        counters, cnp.NPY_INT64, COUNTERS_APART * count, "counters", write=True)
    cdef void** vectors = <void**> data_of(addresses, cnp.NPY_INT64, count, "addresses")
    cdef int64_t* mine = all_counters + rank * COUNTERS_APART
    cdef bint single = cnp.PyArray_TYPE(own) == cnp.NPY_FLOAT32
    cdef char* into = <char*> cnp.PyArray_DATA(own)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(own)
    if not (0 <= rank < count <= MOST_PROCESSES and 0 <= first <= end <= cnp.PyArray_SIZE(own)
            and vectors[rank] == into):
        raise ValueError("addresses: they do not fit")
    store_release(mine, 3 * round_ + 1, RELEASE)
    wait_for_all(all_counters, count, 3 * round_ + 1, look)
    with nogil:
        begin, size = first + n * rank // count, first + n * (rank + 1) // count
        if single:
            add_vectors(vectors, count, begin, size, <float*> into, <float*> NULL)
        else:
            add_vectors(vectors, count, begin, size, <double*> into, <double*> NULL)
    store_release(mine, 3 * round_ + 2, RELEASE)
    wait_for_all(all_counters, count, 3 * round_ + 2, look)
    with nogil:
        for p in range(count):
            begin, size = n * p // count, n * (p + 1) // count
            if p != rank:
                memcpy(into + (first + begin) * itemsize,
                       <char*> vectors[p] + (first + begin) * itemsize, (size - begin) * itemsize)
    # Others may still read what the next gradient will overwrite.
    store_release(mine, 3 * round_ + 3, RELEASE)
    wait_for_all(all_counters, count, 3 * round_ + 3, look)
