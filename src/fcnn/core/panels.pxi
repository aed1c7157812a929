# Samples in and out of panels.

cdef Samples subset(
    const Model* model, const Samples* samples, Py_ssize_t first, Py_ssize_t rows, const real* tag,
) noexcept nogil:
    """Samples first, first + 1, ... of some samples."""
    cdef Samples some = samples[0]
    some.rows = rows
    if samples.order != NULL:
        some.order = samples.order + first
        return some
    if samples.begins != NULL:
        some.begins = samples.begins + first
    else:
        some.x = <const real*> samples.x + first * model.layers[1].n_in
    if samples.y != NULL:
        some.y = <const real*> samples.y + first * columns_of_y(model)
    if samples.labels != NULL:
        some.labels = samples.labels + first
    if samples.weight != NULL:
        some.weight = <const real*> samples.weight + first
    return some


cdef inline Py_ssize_t row_of(const Samples* samples, Py_ssize_t i) noexcept nogil:
    """The row of sample i; beyond the last one the last: a panel's empty lanes repeat it."""
    i = min(i, samples.rows - 1)
    return samples.order[i] if samples.order != NULL else i


cdef inline bint row_by_row(const Worker* w, Py_ssize_t rows) noexcept nogil:
    """Whether a block's samples are computed one after the other.

    Not what is left of a batch behind other blocks: their gradients would go on with the sums of
    those, where a block by panels makes sums of its own and adds them. Nor where somebody reads the
    panels of hidden layers.
    """
    return (rows <= FEW_ROWS and w.begun == 0 and w.call.options.dropout == NULL
            and not w.call.model.in_panels and w.call.equations == NULL
            and w.call.trace[0] == NULL)


cdef double total_weight(const Samples* samples, const real* tag) noexcept nogil:
    cdef const real* weight = <const real*> samples.weight
    cdef double total = 0
    cdef Py_ssize_t i
    if weight == NULL:
        return <double> samples.rows
    for i in range(samples.rows):
        total += weight[row_of(samples, i)]
    return total


cdef double panel_of(
    const real* data, Py_ssize_t n,     # IN (., n)
    const Samples* samples, Py_ssize_t first,
    real* panel,                # OUT (n, lanes): samples first, first + 1, ...
    Py_ssize_t lanes,           # of a panel, or half of them
) noexcept nogil:
    """Return its sum of squares."""
    cdef const real* rows[NR]
    cdef Py_ssize_t whole = NR if real is float else NR // 2, s
    for s in range(lanes):
        rows[s] = data + row_of(samples, first + s) * n
    if lanes == whole:
        return transpose_panel(rows, n, panel)
    return transpose(rows, lanes, n, panel, lanes)


cdef double transpose_panel(const real** rows, Py_ssize_t n, real* panel) noexcept nogil:
    """Transpose with constants for lanes: their multiples then need no registers."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    return transpose(rows, lanes, n, panel, lanes)


cdef void panels_of_inputs(
    const Model* model, const Samples* block, Workspace* ws, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """a^0, panels first .. last - 1 of a block."""
    cdef Py_ssize_t lanes = model.lanes, n_in = model.layers[1].n_in, i
    for i in range(first, last):
        if block.begins == NULL:
            ws.squares[2 * i] = panel_of(<const real*> block.x, n_in, block, i * lanes,
                                         <real*> ws.a[0] + i * n_in * lanes, lanes)
        else:
            stored_panel(block, n_in, i * lanes, <real*> ws.a[0] + i * n_in * lanes)


cdef void rows_of(
    const real* panel, Py_ssize_t n,    # IN (n, lanes)
    real* data, Py_ssize_t rows,        # OUT (rows, n)
    Py_ssize_t lanes,
) noexcept nogil:
    cdef const real* nodes[NR]
    cdef Py_ssize_t k = 0, i, count
    while k < n:
        count = min(<Py_ssize_t> NR, n - k)
        for i in range(count):
            nodes[i] = panel + (k + i) * lanes
        transpose(nodes, count, rows, data + k, n)
        k += count


cdef void deltas_to_rows(
    const Worker* w, Py_ssize_t block_rows, Py_ssize_t i, const real* tag,
) noexcept nogil:
    """Panel i of the deltas by panels of nodes, and how large its numbers are."""
    cdef const Model* model = w.call.model
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t lanes = model.lanes, l, k, n, n_in, c
    cdef Py_ssize_t rows = min(lanes, block_rows - i * lanes)
    cdef Py_ssize_t lowest = lowest_trainable(&w.call.options)
    cdef const real* nodes[NR]
    cdef const real* delta
    cdef bint known = ws.inputs == PANELS and ws.mask[0] == NULL
    # Those of the inputs are known from their transposition, if they are still the same.
    cdef double a_squares = ws.squares[2 * i] if known else 0, delta_squares = 0
    cdef real zeros[NR]         # of nodes that are not there: their weights in panels stay 0
    memset(zeros, 0, sizeof(zeros))
    for l in range(lowest, model.L + 1):
        n = model.layers[l].n_out
        delta = <const real*> ws.delta[l] + i * n * lanes
        k = 0
        while k < n:
            for c in range(lanes):
                nodes[c] = delta + (k + c) * lanes if k + c < n else &zeros[0]
            delta_squares += transpose_panel(
                nodes, rows, <real*> ws.delta_rows[l] + k * ws.rows + i * lanes * lanes)
            k += lanes
        if l == 1 and known:
            continue
        n_in = model.layers[l].n_in
        if l == 1 and ws.inputs != PANELS:
            for c in range(rows):
                a_squares += list_squares(&ws.lists[i * lanes + c], tag)
        else:
            a_squares += sum_of_squares(<const real*> ws.a[l - 1] + i * n_in * lanes, n_in)
    ws.squares[2 * i] = a_squares
    ws.squares[2 * i + 1] = delta_squares


# --- The next block's rows, on their way into the cache ---------------------------------------

cdef struct Ahead:
    const Samples* data
    Py_ssize_t row              # the next one, in their order,
    Py_ssize_t end              # and behind the last
    const char* x               # where in the row,
    const char* x_end           # and its end
    Py_ssize_t row_bytes
    Py_ssize_t lines            # of the cache that are asked for at a time


cdef void look_ahead(Worker* w, Py_ssize_t first, Ahead* ahead) noexcept nogil:
    """Find the rows of the block from row `first` on that this thread will gather."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t lanes = model.lanes, rows, panels, tiles = 0, l
    cdef Py_ssize_t first_layer = lowest_trainable(&w.call.options)
    ahead.data = &w.call.data
    ahead.row = ahead.end = ahead.lines = 0
    ahead.x = ahead.x_end = NULL
    ahead.row_bytes = model.layers[1].n_in * model.itemsize
    rows = min(w.call.workspace.rows, w.call.batch_size, ahead.data.rows - first)
    if (rows <= 0 or ahead.data.begins != NULL
            or ahead.data.rows * ahead.row_bytes < WORTH_PREFETCHING):
        return
    panels = (rows + lanes - 1) // lanes
    ahead.row = first + panels * w.index // w.team.size * lanes
    ahead.end = first + min(rows, panels * (w.index + 1) // w.team.size * lanes)
    if row_by_row(w, rows):
        tiles = 1
    else:
        # Of inputs that are mostly zero half of the nodes may have no entry.
        if first_layer == 1 and w.call.workspace.inputs != PANELS:
            tiles = model.layers[1].n_in // 2
            first_layer = 2
        for l in range(first_layer, model.L + 1):
            tiles += ((model.layers[l].n_in + MR - 1) // MR
                      * ((model.layers[l].n_out + lanes - 1) // lanes))
    ahead.lines = (rows * ((ahead.row_bytes + 63) // 64) + tiles - 1) // tiles


cdef inline void prefetch_rows(Ahead* ahead) noexcept nogil:
    """A few lines, with each tile of the gradient: more at once would have to wait."""
    cdef Py_ssize_t _i
    cdef const char* x = ahead.x
    for _i in range(ahead.lines):
        if x >= ahead.x_end:
            if ahead.row >= ahead.end:
                ahead.lines = 0
                return
            x = <const char*> ahead.data.x + row_of(ahead.data, ahead.row) * ahead.row_bytes
            ahead.x_end = x + ahead.row_bytes
            ahead.row += 1
        prefetch_later(x)
        x += 64
    ahead.x = x


cdef void copy_out(
    Call* call, const Samples* block, Py_ssize_t done, Py_ssize_t first, Py_ssize_t last,
    const real* tag,
) noexcept nogil:
    """Copy what the caller asked for out of panels first .. last - 1, behind `done` rows."""
    cdef const Model* model = call.model
    cdef Workspace* ws = call.workspace
    cdef Py_ssize_t lanes = model.lanes, i, l, n, what, rows
    cdef void** source
    if call.out == NULL and call.trace[0] == NULL:
        return
    for i in range(first, last):
        rows = min(lanes, block.rows - i * lanes)
        if call.out != NULL:
            n = model.layers[model.L].n_out
            source = ws.z if call.out_is_z else ws.a
            rows_of(<const real*> source[model.L] + i * n * lanes, n,
                    <real*> call.out + (done + i * lanes) * n, rows, lanes)
        if call.trace[0] != NULL:
            for l in range(1, model.L + 1):
                n = model.layers[l].n_out
                for what in range(3):
                    source = ws.z if what == 0 else ws.a if what == 1 else ws.delta
                    rows_of(<const real*> source[l] + i * n * lanes, n,
                            <real*> call.trace[what][l] + (done + i * lanes) * n, rows, lanes)
