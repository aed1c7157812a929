# Layer 1 of inputs that are mostly zero, by lists of the nonzero entries: kernels/sparse.pxd.

cdef enum:
    # A guess of how many entries of the data are zero looks at some rows, and some parts of each.
    ROWS_PROBED = 8
    PARTS_PROBED = 8
    ENTRIES_PROBED = 8          # in a part
    # Lists are faster where less than this part of the entries is not zero (784-128-10, 128
    # samples, Zen 3, AVX2: an entry takes a list 4 ns, a product of panels 1.7) ...
    PERCENT_LISTED = 35
    # ... but not worth a look for fewer inputs than these, and in a row that is predicted alone.
    FEWEST_LISTED = 32
    FEWEST_LISTED_ALONE = 128

# Whether lists are made: 0 never, 1 always, -1 where it is faster. For tests: see diagnostics.pxi.
cdef int listing = -1


cdef bint mostly_zero(
    const real* x, Py_ssize_t n_in, Py_ssize_t rows,    # IN (rows, n_in)
) noexcept nogil:
    """Whether some entries, from all over the data, are zero but for a few."""
    cdef Py_ssize_t some_rows = min(rows, <Py_ssize_t> ROWS_PROBED), s, i
    cdef Py_ssize_t parts = min(n_in // ENTRIES_PROBED, <Py_ssize_t> PARTS_PROBED), nonzero = 0
    cdef const real* row
    if listing >= 0 or n_in < (FEWEST_LISTED if rows > 1 else FEWEST_LISTED_ALONE):
        return listing > 0
    for s in range(some_rows):
        row = x + rows * s // some_rows * n_in
        for i in range(parts):
            nonzero += count_nonzero(row + (n_in - ENTRIES_PROBED) * i // (parts - 1),
                                     ENTRIES_PROBED)
    return 100 * nonzero < PERCENT_LISTED * some_rows * parts * ENTRIES_PROBED


cdef void choose_inputs(Call* call, Workspace* ws, bint tiny) noexcept nogil:
    """How layer 1 reads the inputs of a call, before its workspace is laid out."""
    cdef const Model* model = call.model
    cdef Py_ssize_t entries
    cdef bint some
    ws.inputs = PANELS
    ws.nodes_per_item = NODES_PER_ITEM
    ws.share = 1
    if tiny or call.options.dropout != NULL and call.options.dropout[0] > 0:
        return
    if call.data.begins != NULL:
        ws.inputs = STORED
        entries = call.data.begins[call.data.rows] - call.data.begins[0]
        ws.share = <double> entries / (<double> call.data.rows * model.layers[1].n_in)
        # So that a sample has some entries in an item, and the item's sums fit in the cache.
        ws.nodes_per_item = <Py_ssize_t> min(
            max(<double> NODES_PER_ITEM, ENTRIES_PER_ITEM / max(ws.share, 1e-9)),
            <double> MOST_NODES_PER_ITEM)
    elif call.batch_size > FEW_ROWS or descends_alone(call):
        if model.itemsize == 4:
            some = mostly_zero(<const float*> call.data.x, model.layers[1].n_in, call.data.rows)
        else:
            some = mostly_zero(<const double*> call.data.x, model.layers[1].n_in, call.data.rows)
        ws.inputs = LISTS if some else PANELS


cdef inline bint descends_alone(const Call* call) noexcept nogil:
    """Whether weights change only by their gradient: of a node that is 0 they stay."""
    return (call.rule != NULL and form_of(call.rule) == PLAIN and call.rule.weight_decay == 0
            and call.options.l1 == 0 and call.options.l2 == 0 and call.options.clip_norm == 0)


cdef int describe_stored(X, int kind, Py_ssize_t n_in, Samples* samples) except -1:
    """Point samples at the entries of CSR (fcnn._sparse.SparseRows) that are stored."""
    cdef Py_ssize_t entries = X.values.size, i, e
    cdef bint sound
    samples.x = data_of(X.values, kind, entries, "X.values")
    samples.nodes = <const int32_t*> data_of(X.columns, cnp.NPY_INT32, entries, "X.columns")
    samples.begins = <const int64_t*> data_of(
        X.begins, cnp.NPY_INT64, samples.rows + 1, "X.begins")
    # The core's own guard, as in data_of; and sums are of ascending columns.
    with nogil:
        sound = samples.begins[0] >= 0 and samples.begins[samples.rows] <= entries
        for i in range(samples.rows):
            sound = sound and samples.begins[i] <= samples.begins[i + 1] <= entries
            if not sound:
                break
            for e in range(samples.begins[i], samples.begins[i + 1]):
                sound = sound and 0 <= samples.nodes[e] < n_in and (
                    e == samples.begins[i] or samples.nodes[e - 1] < samples.nodes[e])
    if not sound:
        raise ValueError("X: expected rows of CSR with ascending columns, each once")
    return 0


cdef void stored_panel(
    const Samples* samples, Py_ssize_t n_in, Py_ssize_t first,
    real* panel,                # OUT (n_in, lanes): samples first, first + 1, ...
) noexcept nogil:
    """panel_of for CSR."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, s, e
    cdef List entries
    memset(panel, 0, n_in * lanes * sizeof(real))
    for s in range(lanes):
        entries = stored_list(samples, row_of(samples, first + s), <real*> NULL)
        for e in range(entries.count):
            panel[entries.nodes[e] * lanes + s] = (<const real*> entries.values)[e]


cdef inline List stored_list(
    const Samples* samples, Py_ssize_t i, const real* tag,
) noexcept nogil:
    """The entries of row i of CSR."""
    cdef List entries
    entries.nodes = samples.nodes + samples.begins[i]
    entries.values = <const real*> samples.x + samples.begins[i]
    entries.count = samples.begins[i + 1] - samples.begins[i]
    return entries


cdef void begin_lists(
    const Workspace* ws, Scratch* scratch, Py_ssize_t n_in, Py_ssize_t first, const real* tag,
) noexcept nogil:
    """Where a thread's lists are put: one after the other, so that they stay in the cache."""
    if ws.inputs == STORED:
        return
    scratch.nodes = ws.nodes + first * n_in
    scratch.values = <real*> ws.a[0] + first * n_in


cdef void list_sample(
    Workspace* ws, const Samples* block, Py_ssize_t s, Py_ssize_t n_in, Scratch* scratch,
    const real* tag,
) noexcept nogil:
    """The list of sample s of a block, behind that of s - 1."""
    cdef List* entries = &ws.lists[s]
    cdef Py_ssize_t i = row_of(block, s)
    if ws.inputs == STORED:
        entries[0] = stored_list(block, i, tag)
        return
    entries.nodes = scratch.nodes
    entries.values = scratch.values
    entries.count = compress(<const real*> block.x + i * n_in, n_in, 0, scratch.nodes,
                             <real*> scratch.values)
    scratch.nodes += entries.count
    scratch.values = <real*> scratch.values + entries.count


cdef double list_squares(const List* entries, const real* tag) noexcept nogil:
    """sum x_j^2 of a sample."""
    cdef const real* values = <const real*> entries.values
    cdef double sums[SUMS_OF_NORM]
    cdef Py_ssize_t i, j, full = entries.count // SUMS_OF_NORM
    for j in range(SUMS_OF_NORM):
        sums[j] = 0
    for i in range(full):
        for j in range(SUMS_OF_NORM):
            sums[j] += (<double> values[j]) * (<double> values[j])
        values += SUMS_OF_NORM
    for j in range(entries.count - full * SUMS_OF_NORM):
        sums[j] += (<double> values[j]) * (<double> values[j])
    for j in range(1, SUMS_OF_NORM):
        sums[0] += sums[j]
    return sums[0]


cdef void list_row_product(
    const Layer* layer, const List* entries, const real* parameters, real* z, const real* tag,
) noexcept nogil:
    """z^1 of one sample, with SLACK entries behind it."""
    list_product(entries, 0, parameters + layer.W, layer.panel_stride, layer.row_stride,
                 layer.n_out, parameters + layer.b, z, False)


cdef void row_product_without_zeros(
    const Layer* layer, const real* x, const real* parameters, real* z,
) noexcept nogil:
    product_without_zeros(x, layer.n_in, parameters + layer.W, layer.panel_stride, layer.row_stride,
                          layer.n_out, parameters + layer.b, z)


cdef void rows_to_panel(
    const Layer* layer, real* rows, Py_ssize_t count,   # IN (lanes, n_1 + SLACK), `count` of them
    real* z, real* a,           # OUT panels (n_1, lanes); may be the same
) noexcept nogil:
    """The z^1 of some samples as a panel, and a^1 = sigma(z^1); empty lanes repeat the last."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, s
    cdef const real* row[NR]
    for s in range(lanes):
        row[s] = rows + min(s, count - 1) * (layer.n_out + SLACK)
    transpose_panel(row, layer.n_out, z)
    if layer.activation != SOFTMAX:
        activate(layer, <const real*> z, a, layer.n_out * lanes)


cdef void forward_lists(
    Worker* w, const Samples* block, Scratch* scratch, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """forward_layer for layer 1 and panels first .. last - 1 of a block."""
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, n_out = layer.n_out, stride = n_out + SLACK, i, s, count
    cdef Py_ssize_t entries
    cdef real* rows = <real*> scratch.list_z
    for i in range(first, last):
        count = min(lanes, block.rows - i * lanes)
        entries = 0
        for s in range(count):
            list_sample(ws, block, i * lanes + s, layer.n_in, scratch, tag)
            list_row_product(layer, &ws.lists[i * lanes + s], <const real*> model.parameters,
                             rows + s * stride, tag)
            entries += ws.lists[i * lanes + s].count
        rows_to_panel(layer, rows, count, <real*> ws.z[1] + i * n_out * lanes,
                      <real*> ws.a[1] + i * n_out * lanes)
        if layer.activation == SOFTMAX:
            softmax(<const real*> ws.z[1] + i * n_out * lanes,
                    <real*> ws.a[1] + i * n_out * lanes, <real*> ws.normalizer + i * lanes, n_out,
                    lanes)
        if should_stop(w, (entries + lanes * WORK_PER_ACTIVATION) * n_out):
            return


cdef bint predict_lists(
    Worker* w, const Samples* block, real* rows, real* a,
) noexcept nogil:
    """a^1 of a block of rows that are not kept, as panels; return whether the call is to end."""
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, n_in = layer.n_in, n_out = layer.n_out, i, s, count
    for i in range((block.rows + lanes - 1) // lanes):
        count = min(lanes, block.rows - i * lanes)
        for s in range(count):
            row_product_without_zeros(
                layer, <const real*> block.x + (i * lanes + s) * n_in,
                <const real*> model.parameters, rows + s * (n_out + SLACK))
        rows_to_panel(layer, rows, count, a + i * n_out * lanes, a + i * n_out * lanes)
        if layer.activation == SOFTMAX:
            softmax(<const real*> a + i * n_out * lanes, a + i * n_out * lanes, <real*> NULL, n_out,
                    lanes)
        # As many as there may be, which is enough to stop in time.
        if should_stop(w, count * (n_in + WORK_PER_ACTIVATION) * n_out):
            return True
    return False


cdef void clear_list_sums(const Model* model, const Workspace* ws, int threads) noexcept nogil:
    """What list_gradient expects of its thread's memory, and leaves behind."""
    cdef Scratch scratch
    cdef int index
    if ws.inputs == PANELS:
        return
    for index in range(threads):
        scratch = scratch_of(ws, model, index)
        memset(scratch.list_sums, 0, ws.nodes_per_item * LIST_VECTORS * BYTES)
        memset(scratch.touched, 0, ws.nodes_per_item)


cdef void list_gradient(
    Worker* w, const Scratch* scratch, Py_ssize_t rows,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer 0
    const RuleConstants* constants, bint add, const real* tag,  # as in gradient_tiles
) noexcept nogil:
    """gradient_tiles for layer 1, over all of its nodes.

    For each group of them and each sample in turn, the sample's entries times its delta are added
    to sums that stay in the cache. That takes a load and a store for each multiply-add, but no
    second list of the entries, by columns.
    """
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, n_out = layer.n_out, k = 0, s, columns, r, last
    cdef Py_ssize_t c, some
    cdef Py_ssize_t width = LIST_VECTORS * BYTES // <Py_ssize_t> sizeof(real), e = 0
    cdef real* parameters = <real*> model.parameters
    cdef real* sums = <real*> scratch.list_sums
    cdef const real* delta = <const real*> ws.delta_rows[1]
    # Whether something changes where the gradient is 0.
    cdef bint every = not add if constants == NULL else (
        form_of(constants.rule) != PLAIN or constants.c[DECAY] != 0)
    for s in range(rows):       # of lists whose entries before j were another thread's
        while scratch.begun[s] < ws.lists[s].count and ws.lists[s].nodes[scratch.begun[s]] < j:
            scratch.begun[s] += 1
    if rows == 1 and not every and constants != NULL:
        descend_listed(&ws.lists[0], scratch.begun[0], j + count, parameters + layer.W,
                       layer.panel_stride, layer.row_stride, n_out, delta, ws.rows * lanes,
                       <real> constants.c[DESCENT], <real> constants.c[DECAY])
        k = n_out               # the biases are left
    while k < n_out:
        columns = min(width, n_out - k)
        for s in range(rows):
            e = add_outer((columns + lanes - 1) // lanes, &ws.lists[s], scratch.begun[s], j,
                          j + count, delta + k * ws.rows + s * lanes, ws.rows * lanes, sums,
                          scratch.touched)
            if k + columns == n_out:
                scratch.begun[s] = e
        r = 0
        while r < count:
            while not every and r < count and not scratch.touched[r]:
                r += 1
            last = r
            while last < count and (every or scratch.touched[last]):
                last += 1
            c = 0               # in rows of W at once, in panels one after the other
            while c < columns:
                some = min(columns - c, <Py_ssize_t> NR) if layer.row_stride == NR else columns
                apply_or_accumulate(
                    weight_at(layer, j + r, k + c), layer.row_stride, sums + r * width + c,
                    last - r, some, width, parameters, constants, <real*> ws.gradient, add)
                c += some
            memset(sums + r * width, 0, (last - r) * width * sizeof(real))
            r = last
        k += columns
    memset(scratch.touched, 0, count)
    if j == 0:
        k = 0
        while k < n_out:
            bias_gradient(layer, delta, rows, ws.rows, lanes, k, parameters, constants,
                          <real*> ws.gradient, add)
            k += lanes
