# What tests, checks and benchmarks look at, beside the passes.

ISA = ISA_NAME.decode()
ELEMENTARY = ["exp", "expm1", "log", "log1p", "tanh", "erf", "sigmoid"]


def elementary(name, array):
    """Return an elementary function of each entry: exp, expm1, log, log1p, tanh, erf or sigmoid.

    They are within 2 units in the last place; the activations and losses are computed with them.
    """
    cdef Py_ssize_t size = array.size, function = ELEMENTARY.index(name)
    cdef cnp.ndarray result = np.empty_like(array)
    cdef void* y = cnp.PyArray_DATA(result)
    if array.dtype == np.float32:
        each(function, <float*> data_of(array, cnp.NPY_FLOAT32, size, "array"), <float*> y, size)
    else:
        each(function, <double*> data_of(array, cnp.NPY_FLOAT64, size, "array"), <double*> y, size)
    return result


cdef void each(Py_ssize_t function, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if function == 0:
        for i in range(n):
            y[i] = exponential(x[i])
    elif function == 1:
        for i in range(n):
            y[i] = exponential_minus_1(x[i])
    elif function == 2:
        for i in range(n):
            y[i] = logarithm(x[i])
    elif function == 3:
        for i in range(n):
            y[i] = logarithm_of_1_plus(x[i])
    elif function == 4:
        for i in range(n):
            y[i] = hyperbolic_tangent(x[i])
    elif function == 5:
        for i in range(n):
            y[i] = error_function(x[i])
    elif function == 6:
        for i in range(n):
            y[i] = sigmoid(x[i])
    else:
        trap()


def multiply_adds(count, dtype):
    """Make multiply-adds in the registers alone; return how many operations they were.

    That is the limit of this build on this machine, which benchmarks compare with.
    """
    cdef Py_ssize_t turns = count
    cdef bint single = np.dtype(dtype) == np.float32
    cdef Py_ssize_t entries = limit_entries(<float> 1) if single else limit_entries(<double> 1)
    # In memory that the compiler does not see: Clang drops a loop over numbers that it knows.
    cdef cnp.ndarray x = np.full(entries, 0.5, np.float32 if single else np.float64)
    cdef void* data = cnp.PyArray_DATA(x)
    with nogil:
        if single:
            register_loop(turns, <float*> data)
        else:
            register_loop(turns, <double*> data)
    return 2 * turns * per_turn() * entries


# In a function of its own, where the loop has all registers.
cdef void register_loop(Py_ssize_t turns, real* x) noexcept nogil:
    limit_loop(turns, x)


def all_finite(array):
    """Return whether no entry of a contiguous float32 or float64 array is NaN or infinite."""
    cdef bint single = cnp.PyArray_Check(array) and (
        cnp.PyArray_TYPE(<cnp.ndarray> array) == cnp.NPY_FLOAT32)
    cdef Py_ssize_t size = array.size
    cdef void* data = data_of(
        array, cnp.NPY_FLOAT32 if single else cnp.NPY_FLOAT64, size, "array")
    return finite_or_raise(data, size, single)


def all_indices(array, end):
    """Return whether each entry of a contiguous int64 array is at least 0 and less than `end`."""
    cdef Py_ssize_t size = array.size, last = end
    cdef void* data = data_of(array, cnp.NPY_INT64, size, "array")
    cdef bint answer
    with nogil:
        answer = are_indices(<const int64_t*> data, size, last)
    return answer


def force_tiny(force):
    """Let tiny networks take their own way never (0), always (1), or where it is faster (-1)."""
    global tiny_forced
    tiny_forced = force


def force_together(force):
    """Train networks that can go together so never (0), always (1), or where it is faster (-1)."""
    global together_forced
    together_forced = force


def count_ways(counted):
    """Count from now on the calls that take each way, or no longer; return what was counted before.

    "tiny": core/tiny.pxi; "panels": with the weights in panels; "lists": of the nonzero inputs;
    "together": core/lockstep.pxi, each network once.
    """
    global ways_counted
    before = {"tiny": ways[0], "panels": ways[1], "lists": ways[2], "together": ways[3]}
    ways_counted = bool(counted)
    memset(ways, 0, sizeof(ways))
    return before


def force_lists(force):
    """Make lists of nonzero inputs never (0), always (1), or again where it is faster (-1).

    Of dense inputs, by all calls of the process: so tests compare the two ways.
    """
    global listing
    listing = force


def force_direction(force):
    """Let Jacobians be computed back (0), forward (1), or again as takes less (-1)."""
    global direction
    direction = force


def micro_tile_shape():
    """Return what kernels/isa.h says of this build: bytes of a register, MR, and NR of float32."""
    return BYTES, MR, NR


def chosen_threads(Network network, rows, batch_size, backward=True, in_panels=False):
    """Return how many threads a call on so many rows takes of those that `network` may have."""
    return network.team_size(None, rows, batch_size, backward, in_panels)


cdef enum:
    MOST_PLACES = 64            # CPUs and threads that `team_placement` knows

cdef struct Placement:
    PyObject* between
    int cpu[MOST_PLACES]
    bint allowed[MOST_PLACES][MOST_PLACES]


def team_placement(size, between):
    """Return (CPU, CPUs that it may use) for each thread of a team, the calling one first.

    The caller calls `between()` before the others look where it is. Of CPUs up to 63; (-1, set())
    where the system does not say, or where a thread could not be had.
    """
    cdef Placement p
    cdef int threads = min(size, MOST_PLACES)
    memset(&p, 0, sizeof(Placement))
    for i in range(MOST_PLACES):
        p.cpu[i] = -1
    p.between = <PyObject*> between
    with nogil:
        run_team(record_placement, &p, threads)
    return [(p.cpu[i], {c for c in range(MOST_PLACES) if p.allowed[i][c]}) for i in range(threads)]


cdef void record_placement(void* call, Team* team, int index) noexcept nogil:
    cdef Placement* p = <Placement*> call
    cdef int barriers = 0, i
    if index == 0:
        with gil:
            (<object> p.between)()
    for i in range(BARRIERS_PER_LOOK + 1):
        barrier(team, index, &barriers, False)
    p.cpu[index] = current_cpu()
    for i in range(MOST_PLACES):
        p.allowed[index][i] = may_use_cpu(i)
