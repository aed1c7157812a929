# Steps whose gradient is summed over processes: see fcnn/parallel/.
#
# Each process has a part of a batch, cut into shards. The gradient of each shard, with the scale of
# the whole batch, is a vector of its own; those of a process are added in a tree, and the sums of
# all processes by `own`, which is given parts of the vector as soon as they are whole: layer L
# before the layers below it are computed. Then every process makes the same update.
#
# What all processes have to know of a step stands in SCALARS entries before the gradient, and goes
# with the part that is given last: whether one of them wants to end, whether a cost is infinite,
# and a bound of the gradient.
#
# Processes of one machine may have one vector of weights: core/shared_sum.pxi.

cdef inline Py_ssize_t batch_number(const Worker* w) noexcept nogil:
    """Which batch of an epoch it is, for dropout's masks."""
    return w.batch + (0 if w.call.exchange == NULL else w.call.exchange.first_step)


cdef void keep_error(Worker* w, error) noexcept:
    """What a call raises when it has ended: the first error; of a sum, which then is broken."""
    (<object> w.call.exchange.own).is_broken = True
    if w.call.error == NULL:
        Py_INCREF(error)
        w.call.error = <PyObject*> error
    w.stop = True
    request_stop(w.team)


cdef void hand_over(Worker* w, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Some entries are whole: the processes may add them."""
    with gil:
        try:
            (<object> w.call.exchange.own).start(EXCHANGE_HEAD + first, EXCHANGE_HEAD + end)
        except BaseException as error:
            keep_error(w, error)


cdef void finish_sum(Worker* w) noexcept nogil:
    with gil:
        try:
            w.call.exchange.asked = (<object> w.call.exchange.own).finish()
        except BaseException as error:
            keep_error(w, error)


cdef void wait_for_updates(Worker* w) noexcept nogil:
    """Wait until all processes have updated their parts."""
    with gil:
        try:
            (<object> w.call.exchange.own).updated()
        except BaseException as error:
            keep_error(w, error)


cdef void hand_over_bucket(Worker* w, Py_ssize_t i) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef const Exchange* e = w.call.exchange
    cdef Py_ssize_t first = model.layers[e.buckets[i]].W
    cdef Py_ssize_t end = model.n_parameters if i == 0 else model.layers[e.buckets[i - 1]].W
    if i < e.number_of_buckets - 1:
        hand_over(w, first, end)
    elif first == 0:
        hand_over(w, -SCALARS, end)
    else:                       # layers below stay as they are
        hand_over(w, first, end)
        hand_over(w, -SCALARS, 0)


cdef bint weights_to_exchange(
    Worker* w, const BatchState* b, Py_ssize_t rows, Ahead* ahead, const real* tag,
) noexcept nogil:
    """weight_phase of a block whose gradient is summed over processes; return whether to end."""
    cdef const Model* model = w.call.model
    cdef Workspace* ws = w.call.workspace
    cdef const Exchange* e = w.call.exchange
    cdef bint add = adds_to_gradient(w)
    cdef Py_ssize_t i, top = model.L
    # Nothing is to be added to the gradient of this block.
    if (e.shards == 1 and w.begun + rows == b.samples.rows
            and (ws.earlier == NULL or b.samples.rows <= BLOCKS_SUMMED * ws.rows)):
        for i in range(e.number_of_buckets - 1):
            weight_phase(w, rows, NULL, add, <const real*> NULL, top, e.buckets[i], ahead, tag)
            if stop_at_barrier(w):
                return True
            if w.index == 0:
                hand_over_bucket(w, i)
            w.handed = i + 1
            top = e.buckets[i] - 1
    weight_phase(w, rows, NULL, add, <const real*> NULL, top, 1, ahead, tag)
    return False


cdef bint add_shard(Worker* w, Py_ssize_t j, const real* tag) noexcept nogil:
    """Put the gradient of shard j, in levels[0], to those before it; return whether to end.

    levels[k + 1] has the sum of 2^k shards. The last sum is e.sum.
    """
    cdef Exchange* e = w.call.exchange
    cdef Py_ssize_t n = w.call.model.n_parameters, k = 0, i
    cdef Py_ssize_t first = n * w.index // w.team.size, end = n * (w.index + 1) // w.team.size
    cdef real* sums = <real*> e.levels[0]
    cdef const real* before
    while j >> k & 1:
        before = <const real*> e.levels[k + 1]
        k += 1
        if j + 1 == e.shards and j >> k == 0:
            for i in range(first, end):
                (<real*> e.sum)[i] = before[i] + sums[i]
        else:
            for i in range(first, end):
                sums[i] = before[i] + sums[i]
    if stop_at_barrier(w):
        return True
    if w.index == 0 and j + 1 < e.shards:
        e.levels[0] = e.levels[k + 1]
        e.levels[k + 1] = sums
        w.call.workspace.gradient = e.levels[0]
    return stop_at_barrier(w)


cdef bint shard_gradients(
    Worker* w, Py_ssize_t first, BatchState* b, const real* tag,
) noexcept nogil:
    """The sum of the gradients of a process's shards; return whether the call is to end."""
    cdef Call* call = w.call
    cdef Exchange* e = call.exchange
    cdef Py_ssize_t j, rows, at = 0
    cdef double bound = 0
    cdef BatchState shard
    if w.index == 0:
        call.workspace.gradient = e.sum if e.shards == 1 else e.levels[0]
    if stop_at_barrier(w):
        return True
    for j in range(e.shards):
        rows = e.rows[w.batch * e.shards + j]
        shard = b[0]
        shard.samples = subset(call.model, &b.samples, at, rows, tag)
        shard.costs = 0
        shard.a_squares = <double> rows
        w.begun = 0
        w.place = e.places[w.batch] + at
        if rows == 0 and w.index == 0:
            memset(call.workspace.gradient, 0, call.model.n_parameters * sizeof(real))
        while w.begun < rows:
            if run_block(w, first + at, &shard, tag):
                return True
        if e.shards > 1 and add_shard(w, j, tag):
            return True
        if w.index == 0:
            e.costs[w.batch * e.shards + j] = shard.costs
        b.costs += shard.costs
        bound += sqrt(shard.a_squares) * sqrt(shard.delta_squares)
        at += rows
    b.a_squares = b.delta_squares = bound
    return False


cdef bint sum_over_processes(
    Worker* w, BatchState* b, bint stopped, const real* tag,
) noexcept nogil:
    """Sum the gradient, and what is to be known of the step; return whether the call is to end."""
    cdef Exchange* e = w.call.exchange
    cdef Py_ssize_t i
    cdef real* scalars = <real*> e.sum - SCALARS
    # Where others read this process's, their sum is in another place.
    cdef real* told = scalars if e.shared_weights == NULL else <real*> e.sum - EXCHANGE_HEAD
    if w.index == 0:
        scalars[0] = 1 if stopped else 0
        scalars[1] = 0 if isfinite(b.costs * b.scale) else 1
        scalars[2] = <real> (b.a_squares * 1.0001)      # of which it is a bound in float32, too
        for i in range(w.handed, 0 if e.shared_weights != NULL else e.number_of_buckets):
            hand_over_bucket(w, i)
        finish_sum(w)
        if e.shared_weights != NULL:
            add_vectors(e.sums, e.processes, -SCALARS, 0, told + SCALARS, tag)
        e.stopped = not told[0] == 0
        w.call.workspace.gradient = e.sum
    if stop_at_barrier(w) or e.stopped:
        return True
    if told[1] != 0:
        b.costs = INFINITY
    b.a_squares = b.delta_squares = told[2]
    b.cannot_overflow = cannot_overflow_of(w.call, b)
    return False


cdef inline bint cannot_overflow_of(const Call* call, const BatchState* b) noexcept nogil:
    cdef Rule of_bound = fastest(call.rule, &call.options)
    return cannot_overflow(&of_bound, b.l1, b.l2, b.a_squares, b.delta_squares)


cdef void run_exchange(Worker* w, const real* tag) noexcept nogil:
    """run_batches, of batches that several processes share."""
    cdef Call* call = w.call
    cdef Exchange* e = call.exchange
    cdef Py_ssize_t first = 0, rows, j
    cdef bint stopped = False, watched = call.watched
    cdef BatchState b
    count_way(w, NULL)
    while w.batch < e.steps:
        rows = 0
        for j in range(e.shards):
            rows += e.rows[w.batch * e.shards + j]
        begin_batch(w, first, rows, &b, tag)
        b.next = NULL
        w.handed = 0
        if not stopped:
            stopped = shard_gradients(w, first, &b, tag)
        if sum_over_processes(w, &b, stopped, tag):
            return
        # Nobody may stop alone between the sum and its update.
        call.watched = False
        if (finish_update(w, &b, tag) if e.shared_weights == NULL else update_shared(w, &b, tag)):
            return
        call.watched = watched
        if call.outcome == OVERFLOW:    # of all processes
            return
        stopped = call.outcome == NO_MEMORY or e.asked
        if w.index == 0 and call.outcome != NO_MEMORY:
            e.penalties[w.batch] = b.penalty
            e.made += 1
        first += rows
        w.batch += 1
        should_stop(w, call.model.n_parameters)


cdef object share_weights(Network network, own, vector, const Rule* rule, Exchange* e):
    """Point at what `own` shares, if it does; return what must stay alive with it."""
    cdef Model model = seen_in_panels(&network.model)
    cdef Py_ssize_t p, rank, processes
    cdef int64_t* addresses
    if own.weights is None:
        return None
    rank = own.rank
    processes = len(own.addresses)
    addresses = <int64_t*> data_of(own.addresses, cnp.NPY_INT64, processes, "addresses")
    sums = np.empty(processes, np.int64)
    if not (e.in_panels and 0 <= rank < processes <= MOST_PROCESSES
            and <char*> <uintptr_t> addresses[rank] == cnp.PyArray_DATA(<cnp.ndarray> vector)):
        raise ValueError("own: what it shares does not fit")
    e.shared_weights = data_of(
        own.weights, cnp.NPY_UINT8, (1 + state_vectors(rule)) * vector_bytes(&model), "weights",
        write=True)
    e.outcome = <int64_t*> data_of(own.outcome, cnp.NPY_INT64, 1, "outcome", write=True)
    e.sums = <void**> cnp.PyArray_DATA(<cnp.ndarray> sums)
    for p in range(processes):
        e.sums[p] = <char*> <uintptr_t> addresses[p] + EXCHANGE_HEAD * network.model.itemsize
    e.processes, e.rank = processes, rank
    return sums


def weights_bytes(Network network not None, optimizer):
    """Return how long parameters and state of an optimizer are in panels."""
    cdef Rule rule
    cdef Model model = seen_in_panels(&network.model)
    _state = read_rule(network, optimizer, &rule)   # which refuses what is none
    return (1 + state_vectors(&rule)) * vector_bytes(&model)


def exchange_vector(Network network not None, bint in_panels):
    """Return zeros, as long as a gradient, in rows or in panels, and what stands before it."""
    cdef Py_ssize_t entries = network.model.n_parameters
    if in_panels:
        entries = network.model.n_in_panels
    return zeros_with_slack((EXCHANGE_HEAD + entries,), network.dtype)


def exchange_steps(
    Network network not None, X, y, optimizer, own, vectors, rows, places, weights, costs,
    penalties, *, order=None, sample_weight=None, n_threads=None, options=None, lr_curve=None,
    seed=0, first_step=0, buckets, in_panels,
):
    """Make updates with gradients that are summed over processes.

    Parameters
    ----------
    X, y, optimizer, order, sample_weight, n_threads, options, lr_curve, seed
        As for `Network._train_epoch`; an order may leave samples out, or all of them.
    own : object
        Its start(first, end) is called once entries first .. end - 1 of vectors[0] are whole, and
        finish() where all are, which returns once these hold the sum over all processes: whether
        this process is to end behind the step. What they raise sets own.is_broken. If own.weights
        is not None, it is in memory that all share, as is what own.addresses (of the vectors of
        all) and own.outcome (a number) say; finish() only waits for all then, and so does
        updated(), called once this process, own.rank, has updated its part.
    vectors : list of numpy.ndarray
        Of `exchange_vector`: what is summed; and of 2^k shards, k > 0, k + 1 more.
    rows : numpy.ndarray of int64, shape (steps, shards)
        How many of the samples, in their order, each shard of each batch has; a power of two
        shards.
    places : numpy.ndarray of int64, shape (steps,)
        Of each batch, how many of its samples are in processes before this one.
    weights : numpy.ndarray of float64, shape (steps,)
        What the samples of each batch weigh in all processes.
    costs, penalties : numpy.ndarray of float64, shapes (steps, shards) and (steps,)
        Written: the weighted costs of this process, and what l1 and l2 add.
    first_step : int
        How many batches of the epoch were in earlier calls.
    buckets : numpy.ndarray of int64
        The lowest layer of each part that is given to `own`, descending.
    in_panels : bool
        Whether the gradient stands in panels: alike in all processes.

    Returns
    -------
    made : int
        Updates.
    stopped : bool
        Whether a process wanted to end.
    """
    cdef Call call
    cdef Exchange e
    cdef Rule rule
    cdef Py_ssize_t k, size
    cdef char* begin
    cdef Py_ssize_t entries = (
        network.model.n_in_panels if in_panels else network.model.n_parameters)
    memset(&call, 0, sizeof(Call))
    memset(&e, 0, sizeof(Exchange))
    refuse_while_asked(network)
    e.steps = len(rows)
    e.shards = rows.shape[1]
    e.own = <PyObject*> own
    size = e.steps * e.shards
    e.rows = <const int64_t*> data_of(rows, cnp.NPY_INT64, size, "rows")
    e.places = <const int64_t*> data_of(places, cnp.NPY_INT64, e.steps, "places")
    e.weights = <const double*> data_of(weights, cnp.NPY_FLOAT64, e.steps, "weights")
    e.costs = <double*> data_of(costs, cnp.NPY_FLOAT64, size, "costs", write=True)
    e.penalties = <double*> data_of(penalties, cnp.NPY_FLOAT64, e.steps, "penalties", write=True)
    e.first_step = first_step
    e.number_of_buckets = len(buckets)
    e.buckets = <const int64_t*> data_of(buckets, cnp.NPY_INT64, len(buckets), "buckets")
    e.in_panels = in_panels
    for k in range(e.number_of_buckets):
        if not 1 <= e.buckets[k] < (network.model.L + 1 if k == 0 else e.buckets[k - 1]):
            raise ValueError(f"buckets: expected layers, descending, got {buckets}")
    needed = 1 if e.shards == 1 else 1 + int(e.shards).bit_length()
    if e.shards & (e.shards - 1) or not needed <= len(vectors) <= MOST_LEVELS:
        raise ValueError(f"vectors: {len(vectors)} do not do for {e.shards} shards")
    for k, vector in enumerate(vectors):
        begin = <char*> data_of(
            vector, network.kind, EXCHANGE_HEAD + entries, "vectors", write=True)
        begin += EXCHANGE_HEAD * network.model.itemsize
        if k == 0:
            e.sum = begin
        else:
            e.levels[k - 1] = begin
    if (rows < 0).any() or rows.sum() != (len(X) if order is None else len(order)):
        raise ValueError("rows: expected what adds up to the samples")
    _alive = network.read_options(&call.options, options, seed)
    if lr_curve is not None:
        call.options.lr_curve = <const double*> data_of(
            lr_curve, cnp.NPY_FLOAT64, e.steps, "lr_curve")
    _state = read_rule(network, optimizer, &rule)   # alive
    _shared = share_weights(network, own, vectors[0], &rule, &e)     # alive
    _missed = read_missed(&call.options, &rule, &network.model, optimizer)
    step = rule.step
    call.rule = &rule
    call.exchange = &e
    try:
        network.pass_once(X, y, sample_weight, n_threads, &call, True, max(1, rows.max()), order)
    finally:
        PyObject_GenericSetAttr(optimizer, "steps", rule.step)
        count_missed(&call.options, &rule, &network.model, optimizer, rule.step - step)
    if call.outcome == NO_MEMORY:
        raise MemoryError("cannot copy parameters and optimizer state before a risky step")
    if call.outcome == OVERFLOW:
        raise DivergenceError(
            "the loss, the gradient, a weight or the optimizer's state became infinite or NaN in "
            f"step {e.made + 1}; the weights are those before that step"
            + (nonfinite_parameter(network) or _ADVICE))
    return e.made, e.stopped
