# Steps of several tiny networks of one shape at once, each in its own lane: kernels/lockstep.pxd.
#
# Alone, a tiny network leaves lanes empty where a layer is no multiple of a register, waits for the
# end of each short sum, and turns its samples from rows to columns and back. Here nothing is left
# of that. Parameters and state of all networks are in memory of the call's own meanwhile, and put
# back wherever anybody else may look at them.
#
# A step that one of them could not make as it is, since numbers might overflow, none of them makes
# here: each goes on alone from there, by the ways of core/run.pxi, which have the same bits.

# Whether networks that could go together do so: 0 never, 1 however few, -1 where it is faster.
# For tests: see diagnostics.pxi.
cdef int together_forced = -1


cdef struct Lockstep:           # what such steps write
    Py_ssize_t samples          # of a batch, at most, rounded up to whole tiles
    void* vectors[3]            # (n_parameters, networks) parameters and state,
    void* gradient              # and the gradient
    void* a[TINY_LAYERS + 1]    # panels of VECTORS samples: (n_l, lanes) each
    void* z[TINY_LAYERS + 1]    # a[l] itself where z is not needed later
    void* delta[TINY_LAYERS + 1]
    void* targets               # (n_targets, lanes) of a panel
    void* normalizer            # (lanes,) of its softmax
    void* constants             # (NUM_CONSTANTS, networks) of an update
    void* squares[2]            # (networks,) of all a and of all delta
    const Call** of_lane        # (networks,) whose lane it is: the last's, too, where there is none
    int64_t* rows               # (samples, networks) of the data that a batch takes


cdef struct Sums:               # of a batch, of each lane
    double weight[FLOATS]
    double scale[FLOATS]
    double costs[FLOATS]


cdef bint can_go_together(const Call* call) noexcept nogil:
    """Whether the steps of a call are those of core/lockstep.pxi, given others like it."""
    cdef const Options* options = &call.options
    return (together_forced != 0 and call.workspace.tiny != NULL and call.rule != NULL
            and call.model.n_parameters <= TOGETHER_PARAMETERS
            and call.batch_size <= call.workspace.rows and not is_given(call.model.loss)
            and options.l1 == 0 and options.l2 == 0 and options.clip_norm == 0
            and options.label_smoothing == 0 and options.rates == NULL and not options.summed
            and options.batch_losses == NULL and options.totals != NULL)


cdef bint is_like(const Call* call, const Call* other) noexcept nogil:
    """Whether two of them can go together: all but numbers is the same."""
    cdef const Model* one = call.model
    cdef const Model* two = other.model
    cdef Py_ssize_t l, i
    if (one.L != two.L or one.itemsize != two.itemsize or one.loss != two.loss
            or one.n_targets != two.n_targets or call.data.rows != other.data.rows
            or call.batch_size != other.batch_size or call.data.x != other.data.x
            or call.data.y != other.data.y or call.data.labels != other.data.labels
            or form_of(call.rule) != form_of(other.rule)):
        return False
    for l in range(1, one.L + 1):
        if (one.layers[l].n_in != two.layers[l].n_in or one.layers[l].n_out != two.layers[l].n_out
                or one.layers[l].activation != two.layers[l].activation
                or one.layers[l].alpha != two.layers[l].alpha):
            return False
    if one.loss == losses.QUANTILE:
        for i in range(one.layers[one.L].n_out // one.n_targets):
            if one.levels[i] != two.levels[i]:
                return False
    return True


cdef inline Py_ssize_t networks_together(const Model* model) noexcept nogil:
    return BYTES // model.itemsize


cdef bint are_worth_it(const Model* model, Py_ssize_t count) noexcept nogil:
    """Whether so many networks are faster together: what is left empty counts, too."""
    return count > 1 and (
        together_forced == 1 or count * 100 >= networks_together(model) * WORTH_LANES)


cdef Py_ssize_t lay_out_lockstep(
    const Model* model, Py_ssize_t batch_size, void* memory, Lockstep* t,
) noexcept nogil:
    """Place what the steps write, or count its bytes alone where memory is NULL."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t size = model.itemsize, lanes = VECTORS * BYTES, l, i, n
    memset(t, 0, sizeof(Lockstep))
    t.samples = (batch_size + lockstep.TILE_SAMPLES - 1) // lockstep.TILE_SAMPLES
    t.samples *= lockstep.TILE_SAMPLES
    for i in range(3):
        t.vectors[i] = place(&position, model.n_parameters * BYTES)
    t.gradient = place(&position, model.n_parameters * BYTES)
    for l in range(model.L + 1):
        n = (model.layers[l].n_out if l > 0 else model.layers[1].n_in) * t.samples * BYTES
        t.a[l] = t.z[l] = place(&position, n)
        if l > 0:
            t.delta[l] = place(&position, n)
            if l == model.L or model.layers[l].derivative_reads_z:
                t.z[l] = place(&position, n)
    t.targets = place(&position, model.n_targets * lanes)
    t.normalizer = place(&position, lanes)
    t.constants = place(&position, NUM_CONSTANTS * BYTES)
    t.squares[0] = place(&position, BYTES)
    t.squares[1] = place(&position, BYTES)
    t.of_lane = <const Call**> place(&position, BYTES // size * sizeof(Call*))
    t.rows = <int64_t*> place(&position, t.samples * (BYTES // size) * sizeof(int64_t))
    return <Py_ssize_t> (position - <uintptr_t> memory) + 64


# --- Parameters and state in and out ----------------------------------------------------------

cdef inline void* vector_of(const Call* call, Py_ssize_t i) noexcept nogil:
    return (call.model.parameters if i == 0 else call.rule.first if i == 1
            else call.rule.second)


cdef void load_lanes(Lockstep* t, const real* tag) noexcept nogil:
    cdef const real* flat[FLOATS]
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), i, lane
    for i in range(3):
        if vector_of(t.of_lane[0], i) == NULL:
            continue
        for lane in range(networks):
            flat[lane] = <const real*> vector_of(t.of_lane[lane], i)
        transpose(flat, networks, t.of_lane[0].model.n_parameters, <real*> t.vectors[i], networks)


cdef void unload_lanes(const Lockstep* t, Py_ssize_t count, const real* tag) noexcept nogil:
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), i, lane, n
    cdef real* flat
    cdef const real* own
    for i in range(3):
        own = <const real*> t.vectors[i]
        for lane in range(count):
            flat = <real*> vector_of(t.of_lane[lane], i)
            if flat == NULL:
                break
            for n in range(t.of_lane[lane].model.n_parameters):
                flat[n] = own[n * networks + lane]


# --- A step -----------------------------------------------------------------------------------

cdef void rows_of_lanes(
    const Lockstep* t, Py_ssize_t networks, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t samples,
) noexcept nogil:
    """One network after the other: their orders may stand a multiple of 4 KB apart, and what of all
    is read at once pushes itself out of the cache (8-16-16-1: 6 % of a step).
    """
    cdef Py_ssize_t lane, s, row
    cdef const int64_t* order
    for lane in range(networks):
        order = t.of_lane[lane].data.order
        for s in range(samples):
            row = first + min(s, rows - 1)
            t.rows[s * networks + lane] = order[row] if order != NULL else row


cdef double inputs_of_lanes(Lockstep* t, Py_ssize_t samples, const real* tag) noexcept nogil:
    """a^0 of a batch; return the sum of its squares, over all networks."""
    cdef const real* rows_of_lane[FLOATS]
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * networks
    cdef Py_ssize_t n = t.of_lane[0].model.layers[1].n_in, s, lane
    cdef const real* x = <const real*> t.of_lane[0].data.x
    cdef double squares = 0
    for s in range(samples):
        for lane in range(networks):
            rows_of_lane[lane] = x + t.rows[s * networks + lane] * n
        squares += transpose(rows_of_lane, networks, n,
                             <real*> t.a[0] + s // VECTORS * n * lanes + s % VECTORS * networks,
                             lanes)
    return squares


cdef void forward_lanes(Lockstep* t, Py_ssize_t samples, const real* tag) noexcept nogil:
    """z^l and a^l of all layers."""
    cdef const Model* model = t.of_lane[0].model
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * networks, l, p
    cdef Py_ssize_t panels = samples // VECTORS, n
    cdef const real* parameters = <const real*> t.vectors[0]
    cdef const Layer* layer
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n = layer.n_out
        lanes_sums(
            <const real*> t.a[l - 1], layer.n_in, parameters + layer.W * networks, n * networks,
            parameters + layer.b * networks, <real*> t.z[l], n, samples,
            threshold_of(layer.activation, tag), <real*> t.squares[0])
        if l == model.L:        # the loss has its panels
            return
        if layer.activation != activations.RELU:
            activate(layer, <const real*> t.z[l], <real*> t.a[l], panels * n * lanes)
            lockstep.add_squares(<const real*> t.a[l], panels * n, <real*> t.squares[0])


# Compiled once. The squares of other sums than those of ReLU are a bound that is too high, no more;
# those of the output are one, too.
cdef void lanes_sums(
    const real* A, Py_ssize_t depth, const real* W, Py_ssize_t term, const real* bias, real* C,
    Py_ssize_t nodes, Py_ssize_t samples, real threshold, real* squares,
) noexcept nogil:
    lockstep.product(lockstep.CUT, True, A, depth, W, term, BYTES // <Py_ssize_t> sizeof(real),
                     bias, C, nodes, <const real*> NULL, samples, threshold, squares)


cdef void lanes_deltas(
    const real* A, Py_ssize_t depth, const real* W, Py_ssize_t node, real* C, Py_ssize_t nodes,
    const real* a, Py_ssize_t samples, real threshold, real* squares,
) noexcept nogil:
    lockstep.product(lockstep.MASKED, False, A, depth, W, BYTES // <Py_ssize_t> sizeof(real), node,
                     <const real*> NULL, C, nodes, a, samples, threshold, squares)


cdef void losses_of_lanes(
    Lockstep* t, Py_ssize_t rows, Py_ssize_t samples, Sums* sums, const real* tag,
) noexcept nogil:
    """a^L, costs and delta^L of a batch."""
    cdef const Model* model = t.of_lane[0].model
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, networks = lanes // VECTORS
    cdef Py_ssize_t n = model.layers[model.L].n_out, m = model.n_targets, p, r, lane, at, k
    cdef int32_t labels[NR]
    cdef real factor[NR]
    cdef real costs[NR]
    cdef real weight[NR]
    cdef double some[FLOATS]    # costs of as many samples as a panel has elsewhere
    cdef real cost
    cdef const Call* call
    cdef const Layer* output = &model.layers[model.L]
    cdef const real* z = <const real*> t.z[model.L]
    cdef real* a = <real*> t.a[model.L]
    cdef real* delta = <real*> t.delta[model.L]
    cdef real* targets = <real*> t.targets
    cdef const int64_t* given_labels = t.of_lane[0].data.labels
    cdef const real* y = <const real*> t.of_lane[0].data.y
    cdef const real* weights[FLOATS]
    cdef const int64_t* row
    cdef bint weighted = False
    for lane in range(networks):
        call = t.of_lane[lane]
        weights[lane] = <const real*> call.data.weight
        weighted = weighted or weights[lane] != NULL
        sums.costs[lane] = 0
        some[lane] = 0
        for r in range(VECTORS):
            factor[r * networks + lane] = <real> sums.scale[lane]
            weight[r * networks + lane] = 1
    for p in range(samples // VECTORS):
        for r in range(VECTORS):
            # One thing after the other for all lanes: one lane after the other, this was 8 % of a
            # step of 8-16-16-1.
            at = r * networks
            row = t.rows + p * lanes + at
            if given_labels != NULL:            # see output_panel
                for lane in range(networks):
                    labels[at + lane] = <int32_t> min(max(given_labels[row[lane]], 0), n - 1)
            else:
                for k in range(m):
                    for lane in range(networks):
                        targets[k * lanes + at + lane] = y[row[lane] * m + k]
            if weighted:
                for lane in range(networks):
                    if weights[lane] != NULL:
                        weight[at + lane] = weights[lane][row[lane]]
                        factor[at + lane] = <real> (sums.scale[lane] * weight[at + lane])
        if is_together(output):
            activate_together(output, z, a, <real*> t.normalizer, lanes)
        else:
            activate(output, z, a, n * lanes)
        loss_of_panel(model, z, <const real*> a, <const real*> targets,
                      labels if given_labels != NULL else NULL, <const real*> t.normalizer, factor,
                      costs, delta, lanes)
        for r in range(min(<Py_ssize_t> VECTORS, rows - p * VECTORS)):
            for lane in range(networks):
                cost = costs[r * networks + lane] * weight[r * networks + lane]
                some[lane] += cost
            if (p * VECTORS + r + 1) % lanes == 0 or p * VECTORS + r + 1 == rows:
                for lane in range(networks):
                    sums.costs[lane] += some[lane]
                    some[lane] = 0
        z += n * lanes
        a += n * lanes
        delta += n * lanes


cdef void deltas_of_lanes(Lockstep* t, Py_ssize_t samples, const real* tag) noexcept nogil:
    """delta^l of the hidden layers."""
    cdef const Model* model = t.of_lane[0].model
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), panels = samples // VECTORS, l, n
    cdef const Layer* layer
    cdef const Layer* previous
    lockstep.add_squares(<const real*> t.delta[model.L], panels * model.layers[model.L].n_out,
                         <real*> t.squares[1])
    for l in range(model.L, 1, -1):
        layer = &model.layers[l]
        previous = &model.layers[l - 1]
        n = previous.n_out
        lanes_deltas(
            <const real*> t.delta[l], layer.n_out,
            <const real*> t.vectors[0] + layer.W * networks, layer.n_out * networks,
            <real*> t.delta[l - 1], n, <const real*> t.a[l - 1], samples,
            threshold_of(previous.activation, tag), <real*> t.squares[1])
        if previous.activation != activations.RELU:
            multiply_by_derivative(previous, <const real*> t.z[l - 1], <const real*> t.a[l - 1],
                                   <real*> t.delta[l - 1], panels * n * VECTORS * networks)
            lockstep.add_squares(<const real*> t.delta[l - 1], panels * n, <real*> t.squares[1])


cdef void gradient_of_lanes(Lockstep* t, Py_ssize_t rows, const real* tag) noexcept nogil:
    cdef const Model* model = t.of_lane[0].model
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), l
    cdef real* gradient = <real*> t.gradient
    cdef const Layer* layer
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        lockstep.gradient(<const real*> t.a[l - 1], layer.n_in, <const real*> t.delta[l],
                          layer.n_out, rows, gradient + layer.W * networks)
        lockstep.bias_sums(<const real*> t.delta[l], layer.n_out, rows,
                           gradient + layer.b * networks)


cdef inline bint have_one_pace(const Rule* rule, const Rule* other) noexcept nogil:
    """Whether their updates have the same constants."""
    return (rule.lr == other.lr and rule.step == other.step and rule.beta1 == other.beta1
            and rule.beta2 == other.beta2 and rule.epsilon == other.epsilon
            and rule.weight_decay == other.weight_decay and rule.momentum == other.momentum
            and rule.name == other.name and rule.epsilon_hat == other.epsilon_hat)


cdef void update_lanes(Lockstep* t, Py_ssize_t count, const real* tag) noexcept nogil:
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), lane, i
    cdef real* constants = <real*> t.constants
    cdef Rule* rule
    cdef RuleConstants of_rule
    for lane in range(networks):
        rule = t.of_lane[lane].rule
        if lane == 0 or not have_one_pace(rule, t.of_lane[lane - 1].rule):
            of_rule = rule_constants(rule, 0)
        for i in range(NUM_CONSTANTS):
            constants[i * networks + lane] = <real> of_rule.c[i]
    lockstep.descend(form_of(t.of_lane[0].rule), <const real*> constants, <real*> t.vectors[0],
                     <const real*> t.gradient, <real*> t.vectors[1], <real*> t.vectors[2],
                     t.of_lane[0].model.n_parameters)
    for lane in range(count):
        t.of_lane[lane].rule.step += 1


cdef bint step_lanes(
    Lockstep* t, Py_ssize_t count, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t batch,
    Sums* sums, const real* tag,
) noexcept nogil:
    """A step of all networks; False, and nothing has changed, if one of them needs more care."""
    cdef Py_ssize_t samples = (rows + lockstep.TILE_SAMPLES - 1) // lockstep.TILE_SAMPLES, lane
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real)
    cdef double inputs
    cdef const Call* call
    cdef Samples some
    samples *= lockstep.TILE_SAMPLES
    for lane in range(networks):
        call = t.of_lane[lane]
        if call.options.lr_curve != NULL:
            call.rule.lr = call.options.lr_curve[batch]
        sums.weight[lane] = <double> rows
        if call.data.weight != NULL:
            some = subset(call.model, &call.data, first, rows, tag)
            sums.weight[lane] = total_weight(&some, tag)
        sums.scale[lane] = 1 / sums.weight[lane] if sums.weight[lane] != 0 else 0
    memset(t.squares[0], 0, BYTES)
    memset(t.squares[1], 0, BYTES)
    rows_of_lanes(t, networks, first, rows, samples)
    inputs = inputs_of_lanes(t, samples, tag) + rows
    forward_lanes(t, samples, tag)
    losses_of_lanes(t, rows, samples, sums, tag)
    deltas_of_lanes(t, samples, tag)
    for lane in range(count):
        if not isfinite(sums.costs[lane]) or not cannot_overflow(
                t.of_lane[lane].rule, 0, 0, inputs + (<const real*> t.squares[0])[lane],
                (<const real*> t.squares[1])[lane]):
            return False
    gradient_of_lanes(t, rows, tag)
    update_lanes(t, count, tag)
    return True


cdef Py_ssize_t run_together(
    Worker* w,                  # whose call is the first of them
    Call** calls, Py_ssize_t count, void* memory, const real* tag,
) noexcept nogil:
    """The batches of an epoch; return behind how many samples each network goes on alone."""
    cdef Lockstep t
    cdef Sums sums
    cdef Call* call = calls[0]
    cdef Py_ssize_t networks = BYTES // <Py_ssize_t> sizeof(real), first = 0, rows, lane, batch = 0
    cdef double* totals
    if ways_counted:
        ways[3] += count
    lay_out_lockstep(call.model, call.batch_size, memory, &t)
    for lane in range(networks):
        t.of_lane[lane] = calls[min(lane, count - 1)]
    load_lanes(&t, tag)
    while first < call.data.rows:
        rows = min(call.batch_size, call.data.rows - first)
        if not step_lanes(&t, count, first, rows, batch, &sums, tag):
            break
        for lane in range(count):
            totals = calls[lane].options.totals
            totals[0] += sums.costs[lane]
            totals[1] += sums.weight[lane]
            totals[3] += 1
        first += rows
        batch += 1
        w.work += networks * (WORK_PER_TINY_STEP + 4 * rows * call.model.n_parameters)
        if w.work >= WORK_PER_LOOK:
            # Whoever handles a signal may look at the networks, and change them.
            unload_lanes(&t, count, tag)
            if should_stop(w, 0):
                return first
            load_lanes(&t, tag)
    if batch > 0:
        unload_lanes(&t, count, tag)
    for lane in range(count):
        call = calls[lane]
        call.data = subset(call.model, &call.data, first, call.data.rows - first, tag)
        if call.options.lr_curve != NULL:
            call.options.lr_curve += batch
    return first
