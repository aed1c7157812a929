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
        some.y = <const real*> samples.y + first * model.layers[model.L].n_out
    if samples.labels != NULL:
        some.labels = samples.labels + first
    if samples.weight != NULL:
        some.weight = <const real*> samples.weight + first
    return some


cdef inline Py_ssize_t row_of(const Samples* samples, Py_ssize_t i) noexcept nogil:
    """The row of sample i; beyond the last one the last: a panel's empty lanes repeat it."""
    i = min(i, samples.rows - 1)
    return samples.order[i] if samples.order != NULL else i


cdef inline bint row_by_row(const Call* call, Py_ssize_t rows) noexcept nogil:
    """Whether a block's samples are computed one after the other."""
    return rows <= FEW_ROWS and call.options.dropout == NULL


cdef double total_weight(const Samples* samples, const real* tag) noexcept nogil:
    cdef const real* weight = <const real*> samples.weight
    cdef double total = 0
    cdef Py_ssize_t i
    if weight == NULL:
        return <double> samples.rows
    for i in range(samples.rows):
        total += weight[row_of(samples, i)]
    return total


cdef void panel_of(
    const real* data, Py_ssize_t n,     # IN (., n)
    const Samples* samples, Py_ssize_t first,
    real* panel,                # OUT (n, lanes): samples first, first + 1, ...
    Py_ssize_t lanes,
) noexcept nogil:
    cdef const real* rows[NR]
    cdef Py_ssize_t s
    for s in range(lanes):
        rows[s] = data + row_of(samples, first + s) * n
    transpose_panel(rows, n, panel)


cdef void transpose_panel(const real** rows, Py_ssize_t n, real* panel) noexcept nogil:
    """Transpose with constants for lanes: their multiples then need no registers."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2
    transpose(rows, lanes, n, panel, lanes)


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
    const Call* call, Py_ssize_t block_rows, Py_ssize_t i, const real* tag,
) noexcept nogil:
    """Panel i of the deltas by panels of nodes, and how large its numbers are."""
    cdef const Model* model = call.model
    cdef Workspace* ws = call.workspace
    cdef Py_ssize_t lanes = model.lanes, l, k, n, n_in, c
    cdef Py_ssize_t rows = min(lanes, block_rows - i * lanes)
    cdef const real* nodes[NR]
    cdef const real* delta
    cdef double a_squares = 0, delta_squares = 0
    for l in range(1, model.L + 1):
        n = model.layers[l].n_out
        delta = <const real*> ws.delta[l] + i * n * lanes
        k = 0
        while k < n:
            for c in range(lanes):
                nodes[c] = delta + min(k + c, n - 1) * lanes
            transpose_panel(nodes, rows,
                            <real*> ws.delta_rows[l] + k * ws.rows + i * lanes * lanes)
            k += lanes
        n_in = model.layers[l].n_in
        if l == 1 and row_by_row(call, block_rows):
            n_in = (rows * n_in + lanes - 1) // lanes
        if l == 1 and ws.inputs != PANELS:
            for c in range(rows):
                a_squares += list_squares(&ws.lists[i * lanes + c], tag)
        else:
            a_squares += sum_of_squares(<const real*> ws.a[l - 1] + i * n_in * lanes, n_in)
        delta_squares += sum_of_squares(delta, n)
    ws.squares[2 * i] = a_squares
    ws.squares[2 * i + 1] = delta_squares


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
            rows_of(<const real*> ws.a[model.L] + i * n * lanes, n,
                    <real*> call.out + (done + i * lanes) * n, rows, lanes)
        if call.trace[0] != NULL:
            for l in range(1, model.L + 1):
                n = model.layers[l].n_out
                for what in range(3):
                    source = ws.z if what == 0 else ws.a if what == 1 else ws.delta
                    rows_of(<const real*> source[l] + i * n * lanes, n,
                            <real*> call.trace[what][l] + (done + i * lanes) * n, rows, lanes)
