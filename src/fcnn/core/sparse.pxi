# Layer 1 of inputs that are mostly zero, by lists of the nonzero entries: kernels/sparse.pxd.

cdef enum:
    # A guess of how many entries of the data are zero looks at some rows, and some parts of each.
    ROWS_PROBED = 8
    PARTS_PROBED = 8
    ENTRIES_PROBED = 8          # in a part
    # Lists are faster where less than this part of the entries is not zero (784-128-10, 128
    # samples, Zen 3, AVX2: an entry takes a list 4 ns, a product of panels 1.7) ...
    PERCENT_LISTED = 35
    # ... or than this in the steps of core/tiny.pxi,
    PERCENT_LISTED_TINY = 55
    # ... but not worth a look for fewer inputs than these, and in a row that is predicted alone.
    FEWEST_LISTED = 32
    FEWEST_LISTED_ALONE = 128

# Whether lists are made: 0 never, 1 always, -1 where it is faster. For tests: see diagnostics.pxi.
cdef int listing = -1


cdef bint mostly_zero(
    const real* x, Py_ssize_t n_in, Py_ssize_t rows,    # IN (rows, n_in)
    Py_ssize_t percent,
) noexcept nogil:
    """Whether less than so many entries are not zero, of some from all over the data."""
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
    return 100 * nonzero < percent * some_rows * parts * ENTRIES_PROBED


cdef void choose_inputs(Call* call, Workspace* ws, bint tiny) noexcept nogil:
    """How layer 1 reads the inputs of a call, before its workspace is laid out."""
    cdef const Model* model = call.model
    cdef Py_ssize_t entries
    cdef bint some
    ws.inputs = PANELS
    ws.nodes_per_item = NODES_PER_ITEM
    ws.share = 1
    if (tiny or call.data.rows == 0
            or call.options.dropout != NULL and call.options.dropout[0] > 0):
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
            some = mostly_zero(<const float*> call.data.x, model.layers[1].n_in, call.data.rows,
                               PERCENT_LISTED)
        else:
            some = mostly_zero(<const double*> call.data.x, model.layers[1].n_in, call.data.rows,
                               PERCENT_LISTED)
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
    const Layer* layer, real* rows, Py_ssize_t stride, Py_ssize_t count,    # IN (count, columns)
    Py_ssize_t k, Py_ssize_t columns,   # which nodes of layer 1
    real* z, real* a,           # OUT panels (n_1, lanes); may be the same
) noexcept nogil:
    """Some z^1 of samples into a panel, and a^1 = sigma(z^1); empty lanes repeat the last."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, s
    cdef const real* row[NR]
    for s in range(lanes):
        row[s] = rows + min(s, count - 1) * stride
    transpose_panel(row, columns, z + k * lanes)
    if not is_together(layer):
        activate(layer, <const real*> z + k * lanes, a + k * lanes, columns * lanes)


cdef void list_samples(
    Worker* w, const Samples* block, Scratch* scratch, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """The lists of panels first .. last - 1 of a block."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t s
    for s in range(first * model.lanes, min(last * model.lanes, block.rows)):
        list_sample(w.call.workspace, block, s, model.layers[1].n_in, scratch, tag)


cdef void forward_lists(
    Worker* w, const Samples* block, Scratch* scratch, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """forward_layer for layer 1 and panels first .. last - 1 of a block."""
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, i, at
    if ws.inputs == STORED:
        forward_one_by_one(w, block, scratch, first, last, tag)
    else:
        list_samples(w, block, scratch, first, last, tag)
        forward_together(w, block, scratch, first, last, 0, layer.n_out, tag)
    if is_together(layer) and not w.stop:
        for i in range(first, last):
            at = i * layer.n_out * lanes
            activate_together(layer, <const real*> ws.z[1] + at, <real*> ws.a[1] + at,
                              <real*> ws.normalizer + i * lanes, lanes)


cdef void forward_one_by_one(
    Worker* w, const Samples* block, Scratch* scratch, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """Of few entries in many inputs: each sample's sums stay in the cache, W hardly could."""
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, stride = layer.n_out + SLACK, i, s, at, count, entries
    cdef real* rows = <real*> scratch.list_z
    for i in range(first, last):
        at = i * layer.n_out * lanes
        count = min(lanes, block.rows - i * lanes)
        entries = 0
        for s in range(count):
            list_sample(ws, block, i * lanes + s, layer.n_in, scratch, tag)
            list_row_product(layer, &ws.lists[i * lanes + s], <const real*> model.parameters,
                             rows + s * stride, tag)
            entries += ws.lists[i * lanes + s].count
        rows_to_panel(layer, rows, stride, count, 0, layer.n_out, <real*> ws.z[1] + at,
                      <real*> ws.a[1] + at)
        if should_stop(w, (entries + lanes * WORK_PER_ACTIVATION) * layer.n_out):
            return


cdef void forward_together(
    Worker* w, const Samples* block, const Scratch* scratch, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t k, Py_ssize_t k_end,     # which nodes of layer 1
    const real* tag,
) noexcept nogil:
    """All samples go through a block of terms before the next: its weights, for as many nodes as
    have their sums in registers, stay in the cache.
    """
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, n_out = layer.n_out, i, s, j, at, columns
    cdef Py_ssize_t begin = first * lanes, end = min(last * lanes, block.rows), entries = 0
    cdef Py_ssize_t panels = (k_end - k + NR - 1) // NR, most = most_panels(tag), some
    cdef Py_ssize_t parts = (panels + most - 1) // most, width = most * NR
    cdef const real* parameters = <const real*> model.parameters
    cdef real* rows = <real*> scratch.list_z
    cdef const real* bias
    for s in range(begin, end):
        entries += ws.lists[s].count
    while k < k_end:
        some = (panels + parts - 1) // parts    # of each part as many, or one more
        panels -= some
        parts -= 1
        columns = min(some * NR, k_end - k)
        bias = parameters + layer.b + k
        memset(scratch.begun, 0, (end - begin) * sizeof(int64_t))
        j = 0
        while j < layer.n_in:
            for s in range(begin, end):
                if j == 0 or scratch.begun[s - begin] < ws.lists[s].count:
                    scratch.begun[s - begin] = add_listed(
                        some, &ws.lists[s], scratch.begun[s - begin], j + BLOCK_TERMS,
                        parameters + weight_at(layer, 0, k), layer.panel_stride, layer.row_stride,
                        bias, rows + (s - begin) * width, j > 0)
            bias = NULL
            j += BLOCK_TERMS
        for i in range(first, last):
            at = i * n_out * lanes
            rows_to_panel(layer, rows + (i - first) * lanes * width, width,
                          min(lanes, block.rows - i * lanes), k, columns, <real*> ws.z[1] + at,
                          <real*> ws.a[1] + at)
        k += columns
        if should_stop(w, (entries + (end - begin) * WORK_PER_ACTIVATION) * columns):
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
        rows_to_panel(layer, rows, n_out + SLACK, count, 0, n_out, a + i * n_out * lanes,
                      a + i * n_out * lanes)
        if is_together(layer):
            activate_together(layer, <const real*> a + i * n_out * lanes, a + i * n_out * lanes,
                              <real*> NULL, lanes)
        # As many as there may be, which is enough to stop in time.
        if should_stop(w, count * (n_in + WORK_PER_ACTIVATION) * n_out):
            return True
    return False


cdef void list_gradient(
    Worker* w, const Scratch* scratch, Py_ssize_t rows,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer 0,
    Py_ssize_t k, Py_ssize_t k_end,     # and of layer 1
    const RuleConstants* constants, bint add, Ahead* ahead,     # as in gradient_tiles
    const real* tag,
) noexcept nogil:
    """gradient_tiles for layer 1, over some of its nodes.

    The samples' lists become lists of samples, one for each node of layer 0, so that its sums are
    in registers.
    """
    cdef Workspace* ws = w.call.workspace
    cdef const Model* model = w.call.model
    cdef const Layer* layer = &model.layers[1]
    cdef Py_ssize_t lanes = model.lanes, n_out = layer.n_out, s, columns, r, last
    cdef Py_ssize_t begin = k, most = entries_of_column(ws)
    cdef Py_ssize_t c, some
    cdef Py_ssize_t width = LIST_VECTORS * BYTES // <Py_ssize_t> sizeof(real)
    cdef real* parameters = <real*> model.parameters
    cdef real* sums = <real*> scratch.list_sums
    cdef const real* delta = <const real*> ws.delta_rows[1]
    cdef List* lists = scratch.columns
    # Whether something changes where the gradient is 0.
    cdef bint every = not add if constants == NULL else (
        form_of(constants.rule) != PLAIN or constants.c[DECAY] != 0)
    if rows == 1 and not every and constants != NULL:
        while scratch.begun[0] < ws.lists[0].count and ws.lists[0].nodes[scratch.begun[0]] < j:
            scratch.begun[0] += 1   # another thread's
        descend_listed(&ws.lists[0], scratch.begun[0], j + count, parameters + layer.W,
                       layer.panel_stride, layer.row_stride, n_out, delta, ws.rows * lanes,
                       <real> constants.c[DESCENT], <real> constants.c[DECAY])
        k = k_end               # the biases are left
    else:
        for r in range(count):
            scratch.ends[r] = r * most
        for s in range(rows):
            scratch.begun[s] = list_columns(
                &ws.lists[s], scratch.begun[s], j, j + count, s, scratch.ends,
                scratch.column_nodes, <real*> scratch.column_values)
        for r in range(count):
            lists[r].count = scratch.ends[r] - r * most
    while k < k_end:
        columns = min(width, k_end - k)
        r = 0
        while r < count:
            while not every and r < count and lists[r].count == 0:
                r += 1
            last = r
            while last < count and (every or lists[last].count > 0):
                if k == begin:
                    prefetch_rows(ahead)
                column_product((columns + lanes - 1) // lanes, &lists[last], delta + k * ws.rows,
                               ws.rows * lanes, sums + last * width)
                last += 1
            c = 0               # in rows of W at once, in panels one after the other
            while c < columns:
                some = min(columns - c, <Py_ssize_t> NR) if layer.row_stride == NR else columns
                apply_or_accumulate(
                    weight_at(layer, j + r, k + c), layer.row_stride, sums + r * width + c,
                    last - r, some, width, parameters, constants, <real*> ws.gradient, add)
                c += some
            r = last
        k += columns
    if j == 0:
        k = begin
        while k < k_end:
            bias_gradient(layer, delta, rows, ws.rows, lanes, k, parameters, constants,
                          <real*> ws.gradient, add)
            k += lanes
