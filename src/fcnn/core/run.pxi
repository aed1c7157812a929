# Batches, blocks, predictions, and the threads that run them.

cdef struct BatchState:         # of the batch at hand; each thread has its own, all the same
    Samples samples
    double weight               # of all its samples
    double scale                # 1 / weight: the 1/s of the average
    double l1
    double l2
    double penalty
    double costs                # weighted sum over the blocks so far
    double a_squares            # and sums of squares of all a and of all delta
    double delta_squares
    bint cannot_overflow        # its step
    bint fused                  # whether the gradient updates the weights as it appears
    RuleConstants constants[2]  # if so: of weights and of biases
    const void* next            # inputs of the sample whose z^1 is computed in advance, or NULL


cdef void begin_batch(
    Worker* w, Py_ssize_t first, Py_ssize_t rows, BatchState* b, const real* tag,
) noexcept nogil:
    """Which samples, what they weigh, learning rate and penalty."""
    cdef Call* call = w.call
    cdef const Options* options = &call.options
    b.samples = subset(call.model, &call.data, first, rows, tag)
    b.weight = (total_weight(&b.samples, tag) if call.exchange == NULL
                else call.exchange.weights[w.batch])
    b.scale = 1 if options.summed else 1 / b.weight if b.weight != 0 else 0
    b.l1 = options.l1 * b.scale if options.penalty_per_sample else options.l1
    b.l2 = options.l2 * b.scale if options.penalty_per_sample else options.l2
    b.penalty = 0
    if w.index == 0:
        if options.lr_curve != NULL:
            call.rule.lr = options.lr_curve[w.batch]
        if b.l1 != 0 or b.l2 != 0:
            b.penalty = penalty(call.model, b.l1, b.l2, tag)
            w.work += call.model.n_parameters * WORK_PER_ENTRY
    b.costs = 0
    # The bias is a weight of a node that is always 1.
    b.a_squares = <double> rows
    b.delta_squares = 0
    b.cannot_overflow = True
    b.fused = False


cdef void choose_update(
    Worker* w, Py_ssize_t first, Py_ssize_t block_rows, BatchState* b, const real* tag,
) noexcept nogil:
    """Whether the gradient of a block may update the weights as it appears."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Rule of_bound = fastest(call.rule, &call.options)
    b.cannot_overflow = cannot_overflow(&of_bound, b.l1, b.l2, b.a_squares, b.delta_squares)
    b.fused = (b.cannot_overflow and isfinite(b.costs) and block_rows == b.samples.rows
               and b.l1 == 0 and call.options.clip_norm == 0
               and gradient_work(call, b.samples.rows) // (BYTES // model.itemsize)
               <= MOST_FUSED_WORK)
    if b.fused:
        b.constants[0] = rule_constants(call.rule, b.l2)
        b.constants[1] = rule_constants(call.rule, 0) if b.l2 != 0 else b.constants[0]
    b.next = NULL
    if (b.fused and call.batch_size == 1 and row_by_row(w, 1) and w.team.size == 1
            and call.workspace.inputs == PANELS and first + 1 < call.data.rows
            and call.options.rates == NULL):
        b.next = (<const real*> call.data.x
                  + row_of(&call.data, first + 1) * model.layers[1].n_in)


cdef bint run_block(
    Worker* w, Py_ssize_t first, BatchState* b, const real* tag,
) noexcept nogil:
    """Both phases of a block; return whether the call is to end."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Workspace* ws = call.workspace
    cdef Samples block = subset(
        model, &b.samples, w.begun, min(ws.rows, b.samples.rows - w.begun), tag)
    cdef Py_ssize_t panels = (block.rows + model.lanes - 1) // model.lanes, i
    cdef Ahead ahead
    sample_phase(w, &block, 1 if is_given(model.loss) else b.scale, first + w.begun,
                 panels * w.index // w.team.size, panels * (w.index + 1) // w.team.size,
                 b.next != NULL, tag)
    if stop_at_barrier(w):
        return True
    for i in range(panels):
        b.costs += ws.costs[i]
    if call.equations != NULL:
        add_equations(w, &block, first + w.begun, tag)
    elif call.backward:
        for i in range(panels):
            b.a_squares += ws.squares[2 * i]
            b.delta_squares += ws.squares[2 * i + 1]
        if call.rule != NULL and call.exchange == NULL:
            choose_update(w, first, block.rows, b, tag)
        look_ahead(w, first + w.begun + block.rows + (b.next != NULL), &ahead)
        if call.exchange != NULL:
            if weights_to_exchange(w, b, block.rows, &ahead, tag):
                return True
        else:
            weight_phase(w, block.rows, b.constants if b.fused else NULL, adds_to_gradient(w),
                         <const real*> b.next, model.L, 1, &ahead, tag)
    w.begun += block.rows
    return stop_at_barrier(w) or carry_gradient(w, b.samples.rows, tag)


cdef inline bint adds_to_gradient(const Worker* w) noexcept nogil:
    """Whether the gradient of the next block is added to that of blocks before it."""
    return w.begun % (BLOCKS_SUMMED * w.call.workspace.rows) > 0


cdef bint carry_gradient(Worker* w, Py_ssize_t rows, const real* tag) noexcept nogil:
    """Behind a block of a batch: put the gradient of some blocks to those of earlier ones, and at
    the end all together; return whether the call is to end.
    """
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t n = w.call.model.n_parameters, some = BLOCKS_SUMMED * ws.rows
    cdef Py_ssize_t i = n * w.index // w.team.size, end = n * (w.index + 1) // w.team.size, last
    cdef real* gradient = <real*> ws.gradient
    cdef real* earlier = <real*> ws.earlier
    if (earlier == NULL or w.call.equations != NULL or rows <= some
            or w.begun < rows and w.begun % some > 0):
        return False
    while i < end and not w.stop:
        last = min(i + ENTRIES_PER_LOOK, end)
        should_stop_in_vector(w, last - i)
        if w.begun == some:
            memcpy(earlier + i, gradient + i, (last - i) * sizeof(real))
            i = last
        elif w.begun < rows:
            while i < last:
                earlier[i] += gradient[i]
                i += 1
        else:
            while i < last:
                gradient[i] += earlier[i]
                i += 1
    return stop_at_barrier(w)


cdef bint finish_update(Worker* w, BatchState* b, const real* tag) noexcept nogil:
    """Make the update of a batch, unless it is made already; return whether the call is to end."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Workspace* ws = call.workspace
    if b.fused:
        if w.index == 0:
            call.rule.step += 1
        return False
    if w.team.size > 1 and b.cannot_overflow and call.options.rates == NULL:
        return update_together(w, b, tag)
    if w.index == 0:
        call.outcome = OVERFLOW
        if isfinite(b.costs * b.scale):
            call.outcome = update_with(
                w, model, call.rule, <real*> ws.gradient, b.l1, b.l2, &call.options,
                not b.cannot_overflow, ws.copies)
    return stop_at_barrier(w)


cdef bint update_together(Worker* w, const BatchState* b, const real* tag) noexcept nogil:
    """An update with the whole gradient that needs no check: each thread makes a part of it."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef real* gradient = <real*> call.workspace.gradient
    cdef Py_ssize_t n = model.n_parameters
    # Added by the update itself, unless the gradient has to be whole first: see update_with.
    cdef double l2 = b.l2 if b.l1 == 0 and call.options.clip_norm == 0 else 0
    cdef RuleConstants[2] constants
    constants[0], constants[1] = rule_constants(call.rule, l2), rule_constants(call.rule, 0)
    if w.index == 0:
        call.outcome = OVERFLOW
        if isfinite(b.costs * b.scale) and finish_gradient(
                w, model, gradient, b.l1, b.l2 if l2 == 0 else 0, &call.options):
            call.outcome = FINE
    if stop_at_barrier(w):
        return True
    if call.outcome == FINE:
        update_entries(model, constants, l2, &call.options, gradient,
                       n * w.index // w.team.size, n * (w.index + 1) // w.team.size)
        if stop_at_barrier(w):
            return True
        if w.index == 0:
            call.rule.step += 1
    return False


# How many calls went which way, while that is counted: see diagnostics.pxi.
cdef bint ways_counted = False
cdef Py_ssize_t ways[4]

cdef void count_way(const Worker* w, const Tiny* t) noexcept nogil:
    if ways_counted and w.index == 0:
        ways[0] += t != NULL
        ways[1] += w.call.model.in_panels
        ways[2] += w.call.workspace.inputs != PANELS or t != NULL and t.listed


cdef void run_batches(Worker* w, const real* tag) noexcept nogil:
    """Every batch: samples, then weights. All threads of the call go through this together."""
    cdef Call* call = w.call
    cdef double total = 0, all_weight = 0, penalties = 0
    cdef Py_ssize_t first = 0
    cdef double batches = 0
    cdef double* before = call.options.totals if w.index == 0 else NULL
    cdef BatchState b
    cdef Tiny* t = begin_tiny(w, tag)
    count_way(w, t)
    b.next = NULL
    if before != NULL:
        total, all_weight, penalties, batches = before[0], before[1], before[2], before[3]
    while first < call.data.rows:
        if call.options.l1 != 0 or call.options.l2 != 0:
            put_back_parameters(call, t, tag)   # the penalty reads the flat vector
        begin_batch(w, first, min(call.batch_size, call.data.rows - first), &b, tag)
        w.begun = 0
        while w.begun < b.samples.rows:
            if (tiny_block(w, t, first, &b, tag) if t != NULL else run_block(w, first, &b, tag)):
                return
        if call.rule != NULL:
            if finish_update(w, &b, tag):
                return
            if call.outcome != FINE:
                total = b.costs * b.scale
                all_weight = 1
                break
        total += b.costs
        all_weight += b.weight
        penalties += b.penalty
        if w.index == 0 and call.options.batch_losses != NULL:
            call.options.batch_losses[2 * w.batch] = b.costs * b.scale
            call.options.batch_losses[2 * w.batch + 1] = b.penalty
        first += b.samples.rows
        w.batch += 1
        if should_stop(w, call.model.n_parameters) and w.team.size == 1:
            break
    put_back(call, t, tag)
    batches += w.batch
    if before != NULL:
        before[0], before[1], before[2], before[3] = total, all_weight, penalties, batches
    if w.index == 0:
        call.loss = ((total / all_weight if all_weight != 0 else 0)
                     + (penalties / batches if batches > 0 else 0))


cdef inline Py_ssize_t gradient_work(const Call* call, Py_ssize_t rows) noexcept nogil:
    """Multiplications of the gradients and their updates, near enough."""
    cdef Py_ssize_t n_parameters = call.model.n_parameters, listed
    if call.workspace.inputs != STORED:
        return n_parameters * rows
    listed = call.model.layers[1].n_in * call.model.layers[1].n_out
    return (n_parameters - listed) * rows + <Py_ssize_t> (
        listed * (1 + rows * call.workspace.share))


# --- Predictions -----------------------------------------------------------------------------

cdef void begin_prediction(
    Call* call, Workspace* ws, const Model* model, const void* x, Py_ssize_t rows, void* out,
) noexcept nogil:
    memset(call, 0, sizeof(Call))
    memset(ws, 0, sizeof(Workspace))
    call.model = model
    call.workspace = ws
    call.data.x = x
    call.data.rows = rows
    call.out = out
    call.batch_size = prediction_rows(model, rows)


cdef void predict_blocks(Worker* w, const real* tag) noexcept nogil:
    """a^L of blocks of rows; the layers of a block take two places in turn."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Py_ssize_t lanes = model.lanes, most = call.batch_size, n_in = model.layers[1].n_in
    cdef Py_ssize_t n_out = model.layers[model.L].n_out, first, l, i, n
    cdef Prediction p
    cdef const real* emitting
    cdef real* receiving
    cdef Samples block
    lay_out_prediction(
        model, most, <char*> call.workspace.scratch + w.index * call.workspace.scratch_bytes, &p)
    while True:
        first = next_item(w.team) * most
        if first >= call.data.rows:
            return
        block = subset(model, &call.data, first, min(most, call.data.rows - first), tag)
        if block.rows <= FEW_ROWS:
            for i in range(block.rows):
                predict_row(model, <const real*> block.x + i * n_in,
                            <real*> call.out + (first + i) * n_out, <real*> p.a[0], w)
                if w.stop:
                    return
            continue
        emitting = <const real*> p.x
        if call.workspace.inputs == PANELS:
            for i in range((block.rows + lanes - 1) // lanes):
                panel_of(<const real*> block.x, n_in, &block, i * lanes,
                         <real*> p.x + i * n_in * lanes, lanes)
        else:
            emitting = <const real*> p.a[1]
            if predict_lists(w, &block, <real*> p.list_z, <real*> p.a[1]):
                return
        for l in range(1 if call.workspace.inputs == PANELS else 2, model.L + 1):
            receiving = <real*> p.a[l % 2]
            if (block.rows - 1) % lanes < lanes // 2:   # see clear_empty_lanes
                n = model.layers[l].n_out * lanes
                memset(receiving + (block.rows - 1) // lanes * n, 0, n * sizeof(real))
            forward_layer(&model.layers[l], <const real*> model.parameters, emitting, receiving,
                          receiving, <real*> NULL, block.rows, lanes, 0, model.layers[l].n_out,
                          <real*> p.packed, w)
            if w.stop:
                return
            emitting = receiving
        for i in range((block.rows + lanes - 1) // lanes):
            rows_of(emitting + i * n_out * lanes, n_out,
                    <real*> call.out + (first + i * lanes) * n_out,
                    min(lanes, block.rows - i * lanes), lanes)


# --- Threads ---------------------------------------------------------------------------------

cdef int most_threads(Py_ssize_t allowed, bint chosen, Py_ssize_t gaining) noexcept:
    """As many as are allowed, but no more than gain where the number is for us to choose."""
    if chosen:
        allowed = min(allowed, gaining)
    return <int> max(<Py_ssize_t> 1, min(allowed, <Py_ssize_t> 1024))


cdef inline bint is_1(n_threads) noexcept:
    """Whether it is 1 itself, which needs no look at the CPUs."""
    return PyLong_CheckExact(n_threads) and n_threads == 1


cdef inline void begin_worker(Worker* w, Call* call, Team* team, int index) noexcept nogil:
    memset(w, 0, sizeof(Worker))
    w.call = call
    w.team = team
    w.index = index


cdef void thread_main(void* call, Team* team, int index) noexcept nogil:
    """What each thread of a call runs."""
    cdef Worker w
    begin_worker(&w, <Call*> call, team, index)
    if w.call.derivation != NULL:
        if w.call.model.itemsize == 4:
            differentiate(&w, <float*> NULL)
        else:
            differentiate(&w, <double*> NULL)
    elif w.call.workspace.a == NULL:
        if w.call.workspace.weights != NULL:
            if w.call.model.itemsize == 4:
                predict_in_place(&w, <float*> NULL)
            else:
                predict_in_place(&w, <double*> NULL)
        elif w.call.model.itemsize == 4:
            predict_blocks(&w, <float*> NULL)
        else:
            predict_blocks(&w, <double*> NULL)
    elif w.call.exchange != NULL:
        if w.call.model.itemsize == 4:
            run_exchange(&w, <float*> NULL)
        else:
            run_exchange(&w, <double*> NULL)
    elif w.call.model.itemsize == 4:
        run_batches(&w, <float*> NULL)
    else:
        run_batches(&w, <double*> NULL)


cdef int run(Call* call, int threads, Py_ssize_t multiplications) except -1:
    """Run a call, without the GIL unless it is small; raise what Ctrl-C raised in it."""
    call.error = NULL
    if threads == 1 and multiplications < WORTH_RELEASING:
        run_team(thread_main, call, 1)
    else:
        call.watched = True
        with nogil:
            run_team(thread_main, call, threads)
    return raise_error(call)


cdef int raise_error(Call* call) except -1:
    """Raise what Ctrl-C, or a loss of the caller's own, raised in a call."""
    if call.error != NULL:
        error = <object> call.error
        Py_DECREF(error)
        raise error
    return 0
