# Epochs of many networks in one call: the networks are shared out among threads, one thread each.

cdef struct Training:           # of one network
    Call call
    Opened opened
    Rule rule
    Py_ssize_t first_step
    Samples data                # as the call is given it, in each epoch
    const double* lr_curve
    double* totals              # (epochs, 4)
    bitgen_t* source            # of the order of each epoch, or NULL
    Py_ssize_t completed        # epochs

cdef struct Many:
    Training** trainings
    Py_ssize_t* begins          # of each item of work: one training, or several that go together,
    Py_ssize_t items            # up to the next
    Py_ssize_t epochs
    char* memory                # of each thread: the orders of an item, what steps together write
    Py_ssize_t memory_bytes
    Py_ssize_t order_entries    # of one order
    Call waiting                # of the calling thread, which has no more work of its own


cdef void begin_epoch(const Many* many, Training* one, int64_t* order) noexcept nogil:
    """Give a call the samples of its next epoch."""
    cdef Call* call = &one.call
    cdef Py_ssize_t i, batches = (one.data.rows + call.batch_size - 1) // call.batch_size
    call.data = one.data
    call.options.totals = one.totals + 4 * one.completed
    if one.lr_curve != NULL:
        call.options.lr_curve = one.lr_curve + one.completed * batches
    if one.source != NULL:
        for i in range(one.data.rows):
            order[i] = i
        shuffle(one.source, order, one.data.rows)
        call.data.order = order


cdef Py_ssize_t work_of_epoch(const Call* call) noexcept nogil:
    """What `should_stop` counts in an epoch of a small network, near enough."""
    return call.data.rows * (
        4 * call.model.n_parameters + WORK_PER_TINY_STEP // max(call.batch_size, 1))


cdef void train_some(
    const Many* many, Training** some, Py_ssize_t count, Team* team, int index, Py_ssize_t* work,
) noexcept nogil:
    """All epochs of one network, or of several that go together.

    `work` is what the thread has done since it looked for Ctrl-C: an epoch alone may be too short
    to look in.
    """
    cdef Team alone
    cdef Worker w
    cdef Training* going[FLOATS]
    cdef Call* calls[FLOATS]
    cdef char* memory = many.memory + index * many.memory_bytes
    cdef Py_ssize_t i, _epoch, begun, left, order_bytes = many.order_entries * sizeof(int64_t)
    memset(&alone, 0, sizeof(Team))
    alone.size = 1
    for i in range(count):
        going[i] = some[i]
        some[i].call.among = team
        some[i].call.watched = index == 0
        begin_in_panels(&some[i].call, &some[i].opened)
    left = count
    begin_worker(&w, &some[0].call, &alone, 0)
    w.work = work[0]
    for _epoch in range(many.epochs):
        for i in range(left):
            calls[i] = &going[i].call
            begin_epoch(many, going[i], <int64_t*> (memory + i * order_bytes))
        begun = 0
        if left > 1:
            w.call = calls[0]
            if calls[0].model.itemsize == 4:
                begun = run_together(&w, calls, left, memory + count * order_bytes, <float*> NULL)
            else:
                begun = run_together(&w, calls, left, memory + count * order_bytes, <double*> NULL)
        for i in range(left):
            if begun < going[i].data.rows and not w.stop:
                thread_main(calls[i], &alone, 0)
                w.call = calls[i]
                should_stop(&w, work_of_epoch(calls[i]))
            w.stop = w.stop or calls[i].error != NULL or stop_requested(team)
        if w.stop:
            request_stop(team)
            break
        count_epoch(going, &left)
    work[0] = w.work
    for i in range(count):
        end_in_panels(&some[i].call, &some[i].opened)


cdef void count_epoch(Training** going, Py_ssize_t* left) noexcept nogil:
    """Take note of who has made an epoch; who has failed does not go on."""
    cdef Py_ssize_t i, fine = 0
    for i in range(left[0]):
        if going[i].call.outcome == FINE:
            going[i].completed += 1
            going[fine] = going[i]
            fine += 1
    left[0] = fine


cdef void share_out(void* given, Team* team, int index) noexcept nogil:
    """What each thread runs."""
    cdef Many* many = <Many*> given
    cdef Worker w
    cdef Py_ssize_t i, work = 0
    while not stop_requested(team):
        i = next_item(team)
        if i >= many.items:
            break
        train_some(many, many.trainings + many.begins[i], many.begins[i + 1] - many.begins[i],
                   team, index, &work)
    if index == 0:              # it alone can look for Ctrl-C, which the others wait for
        begin_worker(&w, &many.waiting, team, 0)
        while others_run(team):
            if not stop_requested(team):
                look_for_signals(&w)


cdef Py_ssize_t group(Many* many, Training** given, Py_ssize_t count, int threads) noexcept:
    """Make items of work, those of several networks first; return what their steps write, at most.

    `given` has NULL behind it for each that has a place.
    """
    cdef Py_ssize_t picks[FLOATS]
    cdef Py_ssize_t i, j, most, found, placed = 0, size = 0
    cdef Lockstep t
    cdef Call* call
    for i in range(count):
        if given[i] == NULL or not can_go_together(&given[i].call):
            continue
        call = &given[i].call
        most = networks_together(call.model)
        if threads > 1 and together_forced != 1 and count < most * threads:
            continue            # some threads would have nothing to do
        found = 0
        j = i
        while j < count and found < most:
            if (given[j] != NULL and can_go_together(&given[j].call)
                    and is_like(call, &given[j].call)):
                picks[found] = j
                found += 1
            j += 1
        if not are_worth_it(call.model, found):
            continue
        size = max(size, lay_out_lockstep(call.model, call.batch_size, NULL, &t))
        many.begins[many.items] = placed
        many.items += 1
        for j in range(found):
            many.trainings[placed] = given[picks[j]]
            given[picks[j]] = NULL
            placed += 1
    for i in range(count):
        if given[i] != NULL:
            many.trainings[placed] = given[i]
            many.begins[many.items] = placed
            many.items += 1
            placed += 1
    many.begins[many.items] = placed
    return size


cdef object open_training(Training* one, tuple given, Py_ssize_t epochs):
    """Point a training at what `train_many` is given of it; return what must stay alive."""
    cdef Network network
    (network, X, y, optimizer, batch_size, source, sample_weight, options, lr_curve, totals,
     seed, batch_losses) = given
    _alive = network.read_training(len(X), optimizer, batch_size, 1, &one.call, &one.rule, options,
                                   lr_curve, epochs, seed)
    one.totals = <double*> data_of(totals, cnp.NPY_FLOAT64, 4 * epochs, "totals", write=True)
    one.call.options.totals = one.totals
    one.lr_curve = one.call.options.lr_curve
    if batch_losses is not None:
        if epochs != 1:
            raise ValueError("batch_losses: of one epoch alone")
        one.call.options.batch_losses = <double*> data_of(
            batch_losses, cnp.NPY_FLOAT64, 2 * ((len(X) + batch_size - 1) // batch_size),
            "batch_losses", write=True)
    one.first_step = one.rule.step
    order = None
    if isinstance(source, np.random.BitGenerator):
        if len(X) > <Py_ssize_t> UINT32_MAX:
            raise ValueError(f"X: at most {UINT32_MAX} samples are shuffled here, got {len(X)}")
        one.source = <bitgen_t*> PyCapsule_GetPointer(source.capsule, "BitGenerator")
    else:
        order = source
    network.open_call(X, y, sample_weight, 1, &one.call, True, batch_size, order, &one.opened)
    one.data = one.call.data
    return _alive


def train_many(list trainings, Py_ssize_t epochs, n_threads):
    """Make some epochs of many networks, one thread for each network.

    Each network ends with the bits of as many calls of `_train_epoch`, whatever the others do.

    Parameters
    ----------
    trainings : list of tuple
        (network, X, y, optimizer, batch_size, source, sample_weight, options, lr_curve, totals,
        seed, batch_losses) as for `Network._train_epoch`; no network, optimizer or source twice.
        `source` is an order as there, which all epochs have, or a NumPy BitGenerator, which draws
        that of each as `shuffled` does, or None. `lr_curve` has the rates of all epochs, one after
        the other; `totals` is (epochs, 4), each row as for one epoch; `batch_losses`, or None, is
        of one epoch alone. All epochs have the same dropout.
    epochs : int
        At least 1.
    n_threads : int or None
        None takes as many as gain by it.

    Returns
    -------
    list of (int, Exception or None)
        How many epochs each has completed, and what ended it before the others.

    Raises
    ------
    KeyboardInterrupt
        Between two updates of every network.
    """
    cdef Py_ssize_t count = len(trainings), i, work = 0, networks = 1
    cdef Training* all_trainings = <Training*> PyMem_Calloc(count + 1, sizeof(Training))
    cdef Training** places = <Training**> PyMem_Calloc(2 * count + 1, sizeof(Training*))
    cdef Many many
    cdef Network network
    cdef int threads
    memset(&many, 0, sizeof(Many))
    many.epochs = epochs
    many.trainings = places
    many.begins = <Py_ssize_t*> PyMem_Calloc(count + 1, sizeof(Py_ssize_t))
    alive, opened, held = [], 0, []
    try:
        if all_trainings == NULL or places == NULL or many.begins == NULL:
            raise MemoryError
        for i in range(count):
            alive.append(open_training(&all_trainings[i], trainings[i], epochs))
            opened += 1
            network = trainings[i][0]
            places[count + i] = &all_trainings[i]
            many.order_entries = max(many.order_entries, all_trainings[i].data.rows)
            work += 3 * epochs * network.multiplications(all_trainings[i].data.rows)
        threads = most_threads(
            network._threads(n_threads) if count else 1, n_threads is None, work // WORTH_THREADS)
        threads = <int> min(<Py_ssize_t> threads, max(<Py_ssize_t> 1, count))
        many.memory_bytes = group(&many, places + count, count, threads)
        for i in range(many.items):
            networks = max(networks, many.begins[i + 1] - many.begins[i])
        many.memory_bytes += networks * many.order_entries * sizeof(int64_t)
        many.memory_bytes += 128 - many.memory_bytes % 64   # no two threads write to a cache line
        many.memory = <char*> PyMem_Malloc(threads * many.memory_bytes)
        if many.memory == NULL:
            raise MemoryError(f"cannot allocate {threads * many.memory_bytes} bytes of workspace")
        # In one order, whatever that of the networks: two calls then never wait for each other.
        locks = sorted((one[5].lock for one in trainings
                        if isinstance(one[5], np.random.BitGenerator)), key=id)
        try:
            for lock in locks:
                lock.acquire()      # where Ctrl-C may be heard
                held.append(lock)
            with nogil:
                run_team(share_out, &many, threads)
        finally:
            for lock in held:
                lock.release()
        raise_error(&many.waiting)
        for i in range(count):
            raise_error(&all_trainings[i].call)
        return [(all_trainings[i].completed,
                 failure_of(trainings[i][0], &all_trainings[i].call,
                            all_trainings[i].rule.step - all_trainings[i].first_step))
                for i in range(count)]
    finally:
        for i in range(opened):
            network = trainings[i][0]
            keep(network.kept, all_trainings[i].opened.workspace.memory)
            PyObject_GenericSetAttr(trainings[i][3], "steps", all_trainings[i].rule.step)
            count_missed(&all_trainings[i].call.options, &all_trainings[i].rule, &network.model,
                         trainings[i][3], all_trainings[i].rule.step - all_trainings[i].first_step)
        PyMem_Free(many.memory)
        PyMem_Free(many.begins)
        PyMem_Free(places)
        PyMem_Free(all_trainings)
