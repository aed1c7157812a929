# Steps of tiny networks: everything in the first caches, lanes over nodes, no panels and no phases.
#
# What a step of a tiny network costs is not its multiplications (a tenth of the time, 4-16-3, 16
# samples) but turning its samples into panels and back, starting tiles and the barriers. Here all
# rows are padded to whole registers instead, in memory of the call's own: the weights and the
# optimizer's state are in it for the duration of a call, and put back into the flat vectors
# wherever anybody else may look at these. Only the loss has its lanes over samples.
#
# The same bits as by panels: each sum adds the same terms in the same order, by the same kernels.

# Whether calls take this way: 0 never, 1 always, -1 where it is faster. For tests: see
# diagnostics.pxi.
cdef int tiny_forced = -1


cdef enum:
    # Samples whose inputs are listed by columns at a time, for the gradient, times the size of a
    # number: fewer have short lists, and the deltas of more leave the first cache (64-100-10, 200
    # samples, float32, Zen 4: 16 samples 77 us a step, 32 70, 64 68, 96 71, 200 76).
    LISTED_BYTES = 256


if TINY_INPUTS > BLOCK_TERMS or TINY_NODES > BLOCK_TERMS:
    raise ImportError("core/tiny.pxi: its sums have no blocks of terms")


cdef bint is_tiny(const Model* model) noexcept nogil:
    return (model.L <= TINY_LAYERS and model.widest <= TINY_NODES
            and model.layers[1].n_in <= TINY_INPUTS
            and model.n_parameters * model.itemsize <= TINY_BYTES)


cdef bint takes_tiny(const Call* call, const Model* model) noexcept nogil:
    """Whether a call of one thread, which is backward, goes this way.

    Dropout has its masks by panels. Few samples do not make up for moving parameters and state into
    memory of the call's own and back: see WORTH_MOVING.
    """
    cdef Py_ssize_t moved = model.n_parameters
    if call.rule != NULL:
        moved *= 1 + state_vectors(call.rule)
    return (tiny_forced != 0 and is_tiny(model) and call.data.rows > FEW_ROWS
            and (tiny_forced == 1 or moved <= WORTH_MOVING * call.data.rows)
            and call.data.begins == NULL and call.options.dropout == NULL
            and call.trace[0] == NULL and call.equations == NULL and call.exchange == NULL)


cdef Py_ssize_t padded(const Model* model, Py_ssize_t n) noexcept nogil:
    """Whole registers, and whole blocks of transpose."""
    cdef Py_ssize_t whole = max(BYTES // model.itemsize, 4)
    return (n + whole - 1) // whole * whole


cdef bint can_list(const Model* model, Py_ssize_t width) noexcept nogil:
    """Whether zeros of the inputs may be left out: else a product of whole rows is faster."""
    return (model.L > 1 and model.layers[1].n_in >= FEWEST_LISTED
            and width * model.itemsize >= tiny.FEWEST_LISTED_VECTORS * BYTES)


cdef Tiny* lay_out_tiny(
    const Model* model, Py_ssize_t rows, uintptr_t* position, bint write,
) noexcept nogil:
    """Place what the steps of a tiny network write, or count its bytes alone."""
    cdef Tiny* place_of_all = <Tiny*> place(position, sizeof(Tiny))
    cdef Tiny t
    cdef Py_ssize_t l, i, L = model.L, size = model.itemsize, vector_size, most
    cdef Py_ssize_t outputs = (model.layers[L].n_out + 3) // 4 * 4
    memset(&t, 0, sizeof(Tiny))
    t.width[0] = ((model.layers[1].n_in + 3) // 4 * 4 if L > 1
                  else padded(model, model.layers[1].n_in))
    for l in range(1, L + 1):
        t.width[l] = padded(model, model.layers[l].n_out)
        t.W[l] = t.entries
        # The transposes take four nodes at a time. Of the last layer what pads W^L may be anything.
        t.entries += (model.layers[1].n_in * t.width[1] if l == 1 and L > 1
                      else t.width[l - 1] * model.layers[l].n_out if l == L
                      else t.width[l - 1] * ((model.layers[l].n_out + 3) // 4 * 4))
    t.weights = t.entries
    for l in range(1, L + 1):
        t.b[l] = t.entries
        t.entries += t.width[l]
    t.size = t.entries + 4 * t.width[L - 1]     # behind the last row of W^L, by fours
    vector_size = t.size * size
    t.vectors[0] = place(position, vector_size)
    t.gradient = place(position, vector_size)
    t.bias_sums = place(position, t.width[1] * size)
    if can_list(model, t.width[1]):
        most = max(model.layers[1].n_in, LISTED_BYTES // size)
        t.columns = place(position, t.width[0] * LISTED_BYTES)
        t.numbers = <int32_t*> place(position, most * sizeof(int32_t))
        t.values = place(position, most * size)
    # The BYTES behind a^l before no other part of l: these are gone through together, their sizes
    # are often powers of 2, and on some pages with Zen 4 a load waits for the store before to what
    # is just 4 KB away (5-18-3: 0.75 us instead of 0.5 in one process of five).
    for l in range(L + 1):
        if l > 0:
            t.delta[l] = place(position, rows * t.width[l] * size)
        if 0 < l < L and model.layers[l].derivative_reads_z:
            t.z[l] = place(position, rows * t.width[l] * size)
        if 1 < l < L:
            t.forward_W[l] = place(position, t.width[l - 1] * t.width[l] * size)
        if l < L:
            t.a[l] = place(position, rows * t.width[l] * size + BYTES)
            if t.z[l] == NULL:
                t.z[l] = t.a[l]
    t.a_squares = place(position, BYTES)
    t.delta_squares = place(position, BYTES)
    t.emitting = place(position, t.width[L - 1] * model.lanes * size)
    for i in range(4):
        t.panel[i] = place(position, (outputs + 1) * model.lanes * size)
    t.normalizer = place(position, model.lanes * size)
    for i in range(1, 3):       # last: not of all rules
        t.vectors[i] = place(position, vector_size)
    if write:
        place_of_all[0] = t
    return place_of_all


cdef Tiny* begin_tiny(Worker* w, const real* tag) noexcept nogil:
    """Where the steps of a call take place; NULL if they go by panels."""
    cdef Call* call = w.call
    cdef Tiny* t = call.workspace.tiny
    cdef const Model* model = call.model
    cdef Py_ssize_t l, rows
    if t == NULL or w.team.size > 1 or not call.backward or not takes_tiny(call, model):
        return NULL
    t.loaded = t.changed = False
    t.listed = can_list(model, t.width[1]) and mostly_zero(
        <const real*> call.data.x, model.layers[1].n_in, call.data.rows, PERCENT_LISTED_TINY)
    # What pads rows and is never written: all sums over it stay 0.
    for l in range(2, model.L):
        memset(t.forward_W[l], 0, t.width[l - 1] * t.width[l] * sizeof(real))
    rows = (call.batch_size + model.lanes - 1) // model.lanes * model.lanes
    rows = min(rows, call.workspace.rows)
    memset(t.delta[model.L], 0, rows * t.width[model.L] * sizeof(real))
    memset(t.panel[2], 0, (model.layers[model.L].n_out + 3) // 4 * 4 * model.lanes * sizeof(real))
    return t


# --- Parameters and state in and out ----------------------------------------------------------

cdef enum Move:
    FROM_FLAT
    TO_FLAT
    ADD_TO_FLAT


cdef inline void move_entries(
    Move move, real* flat, real* own, Py_ssize_t rows, Py_ssize_t columns,
    Py_ssize_t row_stride, Py_ssize_t column_stride,    # of own
) noexcept nogil:
    cdef Py_ssize_t j, k
    for j in range(rows):
        if column_stride == 1 and move == FROM_FLAT:
            memcpy(own + j * row_stride, flat + j * columns, columns * sizeof(real))
            continue
        if column_stride == 1 and move == TO_FLAT:
            memcpy(flat + j * columns, own + j * row_stride, columns * sizeof(real))
            continue
        for k in range(columns):
            if move == FROM_FLAT:
                own[j * row_stride + k * column_stride] = flat[j * columns + k]
            elif move == TO_FLAT:
                flat[j * columns + k] = own[j * row_stride + k * column_stride]
            else:
                flat[j * columns + k] += own[j * row_stride + k * column_stride]


cdef void move_vector(
    const Model* model, const Tiny* t, Move move, real* flat, real* own,
) noexcept nogil:
    """Parameters, gradient or a state between the flat vector and the padded one."""
    cdef Py_ssize_t l
    cdef const Layer* layer
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        if l == 1 and model.L > 1:
            move_entries(move, flat + layer.W, own + t.W[l], layer.n_in, layer.n_out,
                         t.width[1], 1)
        else:
            move_entries(move, flat + layer.W, own + t.W[l], layer.n_in, layer.n_out,
                         1, t.width[l - 1])
        move_entries(move, flat + layer.b, own + t.b[l], 1, layer.n_out, 0, 1)


cdef void transpose_weights(const Model* model, Tiny* t, const real* tag) noexcept nogil:
    """W^l, 1 < l < L, as the forward pass reads it, from as the delta recursion does."""
    cdef Py_ssize_t l
    for l in range(2, model.L):
        tiny.to_rows(<const real*> t.vectors[0] + t.W[l], (model.layers[l].n_out + 3) // 4 * 4,
                     t.width[l - 1], <real*> t.forward_W[l], t.width[l])


cdef void load_tiny(const Call* call, Tiny* t, const real* tag) noexcept nogil:
    cdef const Model* model = call.model
    cdef void* flat[3]
    cdef Py_ssize_t i
    flat[0] = model.parameters
    flat[1] = call.rule.first if call.rule != NULL else NULL
    flat[2] = call.rule.second if call.rule != NULL else NULL
    if call.rule != NULL:
        t.rule = call.rule[0]
        t.rule.first = t.vectors[1] if flat[1] != NULL else NULL
        t.rule.second = t.vectors[2] if flat[2] != NULL else NULL
    for i in range(3):
        if flat[i] != NULL:
            memset(t.vectors[i], 0, t.size * sizeof(real))
            move_vector(model, t, FROM_FLAT, <real*> flat[i], <real*> t.vectors[i])
    transpose_weights(model, t, tag)
    t.loaded = True


cdef void put_back_parameters(const Call* call, const Tiny* t, const real* tag) noexcept nogil:
    if t != NULL and t.changed:
        move_vector(call.model, t, TO_FLAT, <real*> call.model.parameters, <real*> t.vectors[0])


cdef void put_back(const Call* call, Tiny* t, const real* tag) noexcept nogil:
    """Parameters and state into the flat vectors, if they have changed."""
    if t == NULL or not t.changed:
        return
    put_back_parameters(call, t, tag)
    if t.rule.first != NULL:
        move_vector(call.model, t, TO_FLAT, <real*> call.rule.first, <real*> t.vectors[1])
    if t.rule.second != NULL:
        move_vector(call.model, t, TO_FLAT, <real*> call.rule.second, <real*> t.vectors[2])
    t.changed = False


# --- A block of samples -----------------------------------------------------------------------

cdef const real* tiny_inputs(
    const Model* model, Tiny* t, const Samples* block, const real* tag,
) noexcept nogil:
    """a^0, its rows padded, and what follows it 0 up to a whole register."""
    cdef Py_ssize_t n = model.layers[1].n_in, width = t.width[0]
    cdef real* a = <real*> t.a[0]
    if (not t.listed and block.order == NULL and n == width and block.rows * n % FLOATS == 0
            and (model.L > 1 or block.rows % model.lanes == 0)):
        return <const real*> block.x
    tiny.padded_rows(<const real*> block.x, block.order, block.rows, n, a, width)
    memset(a + block.rows * width, 0, BYTES)
    return a


cdef void ask_for_inputs(const Call* call, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    """Of the next block, on their way while the gradient is computed, if they are anywhere."""
    cdef Py_ssize_t bytes_ = call.model.layers[1].n_in * call.model.itemsize, i, at
    cdef const char* row
    if call.data.order == NULL:         # the CPU sees where it goes
        return
    for i in range(first, min(first + rows, call.data.rows)):
        row = <const char*> call.data.x + call.data.order[i] * bytes_
        at = 0
        while at < bytes_:
            prefetch(row + at)
            at += 64


cdef void tiny_forward(
    const Model* model, Tiny* t, const real* x, Py_ssize_t rows,
) noexcept nogil:
    """z^l and a^l of the hidden layers."""
    cdef const real* parameters = <const real*> t.vectors[0]
    cdef const real* a = x
    cdef const real* W = parameters + t.W[1]
    cdef const Layer* layer
    cdef Py_ssize_t l
    cdef bint listed
    cdef real* z
    for l in range(1, model.L):
        layer = &model.layers[l]
        z = <real*> t.z[l]
        listed = l == 1 and t.listed
        if listed:
            listed_rows(layer, t, a, W, parameters + t.b[1], z, rows)
        else:
            tiny_activations(a, t.width[l - 1], W, parameters + t.b[l], z, t.width[l], rows,
                             layer.n_in, threshold_of(layer.activation, a), <real*> t.a_squares)
        a = <const real*> t.a[l]
        W = <const real*> t.forward_W[l + 1]
        if layer.activation == activations.RELU and not listed:
            continue
        # What pads a row is sigma(0), and so learns like a node; no sum of a real one takes it.
        activate(layer, <const real*> z, <real*> t.a[l], rows * t.width[l])
        tiny.add_squares(a, rows * t.width[l], <real*> t.a_squares)


cdef void listed_rows(
    const Layer* layer, const Tiny* t, const real* x, const real* W, const real* bias, real* z,
    Py_ssize_t rows,
) noexcept nogil:
    """z^1 from the inputs of each sample that are not zero."""
    cdef Py_ssize_t i, count
    for i in range(rows):
        count = compress(x + i * t.width[0], layer.n_in, 0, t.numbers, <real*> t.values)
        listed_row(t, count, W, bias, z + i * t.width[1])


cdef void listed_gradient(
    const Layer* layer, const Tiny* t, const real* x, const real* delta, Py_ssize_t rows,
    real* gradient,
) noexcept nogil:
    """dW^1_kj from the samples whose input j is not zero, some samples at a time."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, width = t.width[1]
    cdef Py_ssize_t most = LISTED_BYTES // <Py_ssize_t> sizeof(real)   # whole panels
    cdef Py_ssize_t first = 0, j, some, stride, count
    cdef real* columns = <real*> t.columns
    cdef real* sums
    while first < rows:
        some = min(most, rows - first)
        stride = (some + lanes - 1) // lanes * lanes
        tiny.to_columns(x + first * t.width[0], t.width[0], columns, stride)
        for j in range(layer.n_in):
            sums = gradient + j * width
            count = compress(columns + j * stride, some, 0, t.numbers, <real*> t.values)
            listed_row(t, count, delta + first * width, sums if first > 0 else NULL, sums)
        first += some


# Compiled once.
cdef void listed_row(
    const Tiny* t, Py_ssize_t count, const real* M, const real* bias, real* C,
) noexcept nogil:
    tiny.listed(t.numbers, <const real*> t.values, count, M, bias, C, t.width[1])


cdef inline real threshold_of(Activation activation, const real* tag) noexcept nogil:
    """Of ReLU, the one activation and derivative that are made of the sums in their registers."""
    return 0 if activation == activations.RELU else <real> -INFINITY


# Compiled once.
cdef void tiny_activations(
    const real* A, Py_ssize_t A_stride, const real* M, const real* bias, real* C, Py_ssize_t width,
    Py_ssize_t rows, Py_ssize_t depth, real threshold, real* squares,
) noexcept nogil:
    tiny.product(tiny.ACTIVATIONS, A, A_stride, M, bias, C, <const real*> NULL, width, rows, depth,
                 threshold, squares)


cdef inline Py_ssize_t lanes_for(Py_ssize_t rows, const real* tag) noexcept nogil:
    """Of a panel, or half of them, if that is enough for `rows` samples.

    The loss of 16 samples in a panel of 32 was a third of a step of 4-16-3 (float32, Zen 4).
    """
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    return lanes if rows > lanes // 2 else lanes // 2


cdef void repeat_last_sample(
    real* a_previous, Py_ssize_t rows, Py_ssize_t width,
) noexcept nogil:
    """In the empty lanes of a panel, or of half of one."""
    cdef Py_ssize_t lanes = lanes_for(rows, a_previous), s
    for s in range(rows, (rows - 1 + lanes) // lanes * lanes):
        memcpy(a_previous + s * width, a_previous + (rows - 1) * width, width * sizeof(real))


cdef void tiny_outputs(
    const Model* model, Tiny* t, const real* a_previous, Py_ssize_t lanes, real* z, real* a,
) noexcept nogil:
    """z^L and a^L of a panel of samples, (n_L, lanes), or of half of one."""
    cdef Py_ssize_t whole = NR if real is float else NR // 2
    if lanes == whole:
        outputs_of_lanes(model, t, a_previous, whole, z, a)
    else:
        outputs_of_lanes(model, t, a_previous, whole // 2, z, a)


cdef inline void outputs_of_lanes(
    const Model* model, Tiny* t, const real* a_previous, Py_ssize_t lanes, real* z, real* a,
) noexcept nogil:
    cdef Py_ssize_t L = model.L
    cdef Py_ssize_t width = t.width[L - 1], n = model.layers[L].n_out, rows = (n + 3) // 4 * 4
    tiny.to_columns(a_previous, width, <real*> t.emitting, lanes)
    tiny.product(tiny.OUTPUTS, <const real*> t.vectors[0] + t.W[L], width,
                 <const real*> t.emitting, <const real*> t.vectors[0] + t.b[L], z,
                 <const real*> NULL, lanes, rows, model.layers[L].n_in, <real> 0, <real*> NULL)
    if is_together(&model.layers[L]):
        activate_together(&model.layers[L], <const real*> z, a, <real*> t.normalizer, lanes)
    else:
        activate(&model.layers[L], <const real*> z, a, n * lanes)


cdef bint tiny_ask(
    Call* call, Tiny* t, const Samples* block, const real* a_previous,
) noexcept nogil:
    """ask_own, once the outputs are where the caller sees them."""
    cdef const Model* model = call.model
    cdef Py_ssize_t n = model.layers[model.L].n_out, width = t.width[model.L - 1]
    cdef Py_ssize_t first = 0, lanes
    cdef real* z = <real*> t.panel[0]
    cdef real* a = <real*> t.panel[1]
    while first < block.rows:
        lanes = lanes_for(block.rows - first, a_previous)
        tiny_outputs(model, t, a_previous + first * width, lanes, z, a)
        rows_of(<const real*> (z if model.loss == GIVEN_DELTA else a), n,
                <real*> call.asked_at + first * n, min(lanes, block.rows - first), lanes)
        first += lanes
    return ask_own(call, a_previous)


cdef double tiny_loss(
    Call* call, Tiny* t, const Samples* block,
    const real* a_previous,     # IN a^(L-1)
    double scale, double costs,
) noexcept nogil:
    """Output layer, costs and delta^L, by panels of samples; return `costs` with theirs."""
    cdef const Model* model = call.model
    cdef Py_ssize_t L = model.L, n = model.layers[L].n_out, rows = (n + 3) // 4 * 4
    cdef Py_ssize_t width = t.width[L - 1], first = 0, lanes
    cdef real* z = <real*> t.panel[0]
    cdef real* a = <real*> t.panel[1]
    cdef real* delta = <real*> t.panel[2]
    while first < block.rows:
        lanes = lanes_for(block.rows - first, a_previous)
        tiny_outputs(model, t, a_previous + first * width, lanes, z, a)
        costs += output_panel(call, block, scale, first, lanes, <const real*> z, <const real*> a,
                              <const real*> t.normalizer, delta, <real*> t.panel[3])
        if lanes < model.lanes:     # where the rows of a whole panel may have been
            memset(delta + n * lanes, 0, (rows - n) * lanes * sizeof(real))
        tiny.to_rows(<const real*> delta, rows, lanes, <real*> t.delta[L] + first * t.width[L],
                     t.width[L])
        tiny.add_squares(<const real*> delta, n * lanes, <real*> t.delta_squares)
        first += lanes
    return costs


cdef void tiny_deltas(
    const Model* model, Tiny* t, Py_ssize_t rows,
    Py_ssize_t lowest,          # the last one
    const real* tag,
) noexcept nogil:
    """delta^l of the hidden layers."""
    cdef Py_ssize_t l
    cdef Activation activation
    for l in range(model.L, lowest, -1):
        activation = model.layers[l - 1].activation
        tiny_deltas_of_layer(
            <const real*> t.delta[l], t.width[l], <const real*> t.vectors[0] + t.W[l],
            <real*> t.delta[l - 1], <const real*> t.a[l - 1], t.width[l - 1], rows,
            model.layers[l].n_out, threshold_of(activation, tag),
            <real*> t.delta_squares)
        if activation == activations.RELU:
            continue
        multiply_by_derivative(
            &model.layers[l - 1], <const real*> t.z[l - 1], <const real*> t.a[l - 1],
            <real*> t.delta[l - 1], rows * t.width[l - 1])
        tiny.add_squares(<const real*> t.delta[l - 1], rows * t.width[l - 1],
                         <real*> t.delta_squares)


cdef void tiny_deltas_of_layer(
    const real* A, Py_ssize_t A_stride, const real* M, real* C, const real* a, Py_ssize_t width,
    Py_ssize_t rows, Py_ssize_t depth, real threshold, real* squares,
) noexcept nogil:
    tiny.product(tiny.DELTAS, A, A_stride, M, <const real*> NULL, C, a, width, rows, depth,
                 threshold, squares)


cdef void tiny_gradient(
    const Model* model, Tiny* t, const real* x, Py_ssize_t rows, Py_ssize_t lowest,
) noexcept nogil:
    """dW^l_kj = sum_s delta^l_k a^(l-1)_j;  db^l_k = sum_s delta^l_k."""
    cdef real* gradient = <real*> t.gradient
    cdef Py_ssize_t l, first = lowest, n_out
    # In the order of their places: each writes over the beginning of the next.
    if model.L > 1 and lowest == 1 and t.listed:
        listed_gradient(&model.layers[1], t, x, <const real*> t.delta[1], rows,
                        gradient + t.W[1])
        tiny.bias_sums(<const real*> t.delta[1], <real*> t.bias_sums, t.width[1], rows)
        first = 2
    elif model.L > 1 and lowest == 1:
        tiny_first_gradient(x, t.width[0], model.layers[1].n_in, <const real*> t.delta[1],
                            gradient + t.W[1], <real*> t.bias_sums, t.width[1], rows)
        first = 2
    for l in range(first, model.L + 1):
        n_out = model.layers[l].n_out       # and, but of the last, what pads W^l
        tiny_other_gradient(
            <const real*> t.delta[l], t.width[l], n_out if l == model.L else (n_out + 3) // 4 * 4,
            <const real*> t.a[l - 1] if l > 1 else x, gradient + t.W[l], t.width[l - 1], rows)
    if model.L > 1 and lowest == 1:
        memcpy(gradient + t.b[1], t.bias_sums, t.width[1] * sizeof(real))
    for l in range(first, model.L + 1):
        tiny.bias_sums(<const real*> t.delta[l], gradient + t.b[l], t.width[l], rows)


# Compiled once.
cdef void tiny_first_gradient(
    const real* A, Py_ssize_t A_stride, Py_ssize_t nodes, const real* B, real* C, real* bias,
    Py_ssize_t width, Py_ssize_t rows,
) noexcept nogil:
    tiny.gradient(True, A, A_stride, nodes, B, C, bias, width, rows)


cdef void tiny_other_gradient(
    const real* A, Py_ssize_t A_stride, Py_ssize_t nodes, const real* B, real* C, Py_ssize_t width,
    Py_ssize_t rows,
) noexcept nogil:
    tiny.gradient(False, A, A_stride, nodes, B, C, <real*> NULL, width, rows)


cdef void tiny_update(
    const Model* model, Tiny* t, BatchState* b, const Options* options, const real* tag,
) noexcept nogil:
    cdef real* gradient = <real*> t.gradient
    cdef real* parameters = <real*> t.vectors[0]
    cdef Py_ssize_t all_alike = t.entries if b.l2 == 0 else t.weights, l, end
    cdef RuleConstants own[2]
    cdef const RuleConstants* of_layer
    b.constants[0].rule = b.constants[1].rule = &t.rule
    if options.rates == NULL:
        apply_or_accumulate(0, 0, gradient, 1, all_alike, 0, parameters, &b.constants[0],
                            <real*> NULL, False)
        if all_alike < t.entries:
            apply_or_accumulate(all_alike, 0, gradient + all_alike, 1, t.entries - all_alike, 0,
                                parameters, &b.constants[1], <real*> NULL, False)
    else:
        for l in range(1, model.L + 1):
            of_layer = constants_of(options, l, b.constants, own)
            end = t.W[l + 1] if l < model.L else t.weights
            apply_or_accumulate(t.W[l], 0, gradient + t.W[l], 1, end - t.W[l], 0, parameters,
                                of_layer, <real*> NULL, False)
            apply_or_accumulate(t.b[l], 0, gradient + t.b[l], 1, t.width[l], 0, parameters,
                                of_layer + 1, <real*> NULL, False)
    transpose_weights(model, t, tag)
    t.changed = True


cdef bint tiny_block(
    Worker* w, Tiny* t, Py_ssize_t first, BatchState* b, const real* tag,
) noexcept nogil:
    """run_block for a tiny network; return whether the call is to end."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Workspace* ws = call.workspace
    cdef Samples block = subset(
        model, &b.samples, w.begun, min(ws.rows, b.samples.rows - w.begun), tag)
    cdef Py_ssize_t lowest = lowest_trainable(&call.options)
    cdef const real* x
    cdef real* a_previous
    if not t.loaded:
        load_tiny(call, t, tag)
    memset(t.a_squares, 0, BYTES)
    memset(t.delta_squares, 0, BYTES)
    x = tiny_inputs(model, t, &block, tag)
    tiny_forward(model, t, x, block.rows)
    a_previous = <real*> t.a[model.L - 1] if model.L > 1 else <real*> x
    repeat_last_sample(a_previous, block.rows, t.width[model.L - 1])
    if call.own != NULL and tiny_ask(call, t, &block, <const real*> a_previous):
        return True
    b.costs = tiny_loss(
        call, t, &block, <const real*> a_previous, 1 if is_given(model.loss) else b.scale, b.costs)
    tiny_deltas(model, t, block.rows, lowest, tag)
    tiny.add_squares(x, block.rows * t.width[0], <real*> t.a_squares)
    b.a_squares += tiny.total_of(<const real*> t.a_squares)
    b.delta_squares += tiny.total_of(<const real*> t.delta_squares)
    ask_for_inputs(call, first + w.begun + block.rows, block.rows)
    tiny_gradient(model, t, x, block.rows, lowest)
    if call.rule != NULL:
        choose_update(w, first, block.rows, b, tag)
    if b.fused:
        tiny_update(model, t, b, &call.options, tag)
    else:
        put_back(call, t, tag)
        move_vector(model, t, ADD_TO_FLAT if adds_to_gradient(w) else TO_FLAT, <real*> ws.gradient,
                    <real*> t.gradient)
        t.loaded = call.rule == NULL        # the update is made in the flat vectors
    w.begun += block.rows
    if carry_gradient(w, b.samples.rows, tag):
        return True
    w.work += WORK_PER_TINY_STEP + 4 * block.rows * model.n_parameters
    if w.work + model.n_parameters >= WORK_PER_LOOK and call.watched:
        # Whoever handles a signal may look at the network, and change it.
        put_back(call, t, tag)
        t.loaded = False
    return w.begun < b.samples.rows and should_stop(w, 0)
