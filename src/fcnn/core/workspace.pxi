# Every memory layout, said once: what counts its bytes is what places its parts.

cdef void* place(uintptr_t* position, Py_ssize_t bytes_) noexcept nogil:
    """The next part of a piece of memory, on a cache line."""
    cdef uintptr_t begin = (position[0] + 63) // 64 * 64
    position[0] = begin + <uintptr_t> bytes_
    return <void*> begin


cdef inline void* aligned(void* memory) noexcept nogil:
    """The first cache line of a piece of memory that has 64 bytes more than it needs."""
    cdef uintptr_t position = <uintptr_t> memory
    return place(&position, 0)


cdef inline Py_ssize_t packed_entries(const Model* model) noexcept nogil:
    """What copy_strips writes, a little past the last strip."""
    return PACKED_NODES * (model.deepest + 1) + MR


cdef Py_ssize_t lay_out_scratch(
    const Workspace* ws, const Model* model, void* memory, Scratch* s,
) noexcept nogil:
    """Place what one thread writes, or count its bytes alone where memory is NULL."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t size = model.itemsize, row = (model.widest + SLACK) * size
    s.packed = place(&position, packed_entries(model) * size)
    s.y = place(&position, model.layers[model.L].n_out * model.lanes * size)
    s.row[0] = place(&position, (FEW_ROWS + 1) * row)
    s.row[1] = <char*> s.row[0] + row
    s.before = <char*> s.row[1] + row
    s.ahead[0] = place(&position, 2 * row)
    s.ahead[1] = <char*> s.ahead[0] + row
    if ws.inputs != PANELS:
        s.list_z = place(&position, model.lanes * (model.layers[1].n_out + SLACK) * size)
        s.list_sums = place(&position, ws.nodes_per_item * LIST_VECTORS * BYTES)
        s.touched = <char*> place(&position, ws.nodes_per_item)
        s.begun = <int64_t*> place(&position, ws.rows * sizeof(int64_t))
    return <Py_ssize_t> (<uintptr_t> place(&position, 0) - <uintptr_t> memory)


cdef Scratch scratch_of(const Workspace* ws, const Model* model, int index) noexcept nogil:
    cdef Scratch s
    lay_out_scratch(ws, model, <char*> ws.scratch + index * ws.scratch_bytes, &s)
    return s


cdef inline Py_ssize_t vector_bytes(const Model* model) noexcept nogil:
    """Of a vector as long as the parameters, which kernels may read a little past its end."""
    return (model.n_parameters + SLACK) * model.itemsize


cdef Py_ssize_t lay_out(
    const Model* model, Workspace* ws,
    void* memory,               # NULL to count its bytes alone
    bint backward, bint every_z, const double* dropout, int threads,
    int in_panels,              # vectors as long as the parameters: what the call moves there,
    int vectors,                # and the gradient, and copies of three
) noexcept nogil:
    """Give a workspace, whose rows and inputs are known, its memory; return how many bytes."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t l, n, L = model.L, rows = ws.rows, lanes = model.lanes, size = model.itemsize
    cdef void** a = <void**> place(&position, 5 * (L + 1) * sizeof(void*))
    cdef void** z = a + L + 1
    cdef void** delta = z + L + 1
    cdef void** delta_rows = delta + L + 1
    cdef void** mask = delta_rows + L + 1
    cdef void* part[5]
    cdef Scratch scratch
    cdef bint own_z
    for l in range(L + 1):
        n = model.layers[l].n_out if l > 0 else model.layers[1].n_in
        memset(part, 0, sizeof(part))
        if l < L and dropout != NULL and dropout[l] > 0:
            part[4] = place(&position, rows * n * size)
        part[0] = part[1] = place(
            &position, rows * n * size if l > 0 or ws.inputs != STORED else 0)
        if l > 0:
            # The loss is computed from the output's z; a hidden z is kept where sigma' reads it.
            own_z = l == L or every_z or part[4] != NULL or (
                backward and model.layers[l].derivative_reads_z)
            if own_z:
                part[1] = place(&position, rows * n * size)
            if backward:
                part[2] = place(&position, rows * n * size)
                part[3] = place(&position, rows * ((n + lanes - 1) // lanes * lanes) * size)
        if memory != NULL:
            a[l] = part[0]
            z[l] = part[1]
            delta[l] = part[2]
            delta_rows[l] = part[3]
            mask[l] = part[4]
    ws.a = a
    ws.z = z
    ws.delta = delta
    ws.delta_rows = delta_rows
    ws.mask = mask
    ws.normalizer = place(&position, rows * size)
    ws.costs = <double*> place(&position, rows // lanes * sizeof(double))
    ws.squares = <double*> place(&position, 2 * (rows // lanes) * sizeof(double))
    if ws.inputs != PANELS:
        ws.lists = <List*> place(&position, rows * sizeof(List))
    if ws.inputs == LISTS:
        ws.nodes = <int32_t*> place(&position, rows * model.layers[1].n_in * sizeof(int32_t))
    ws.scratch_bytes = lay_out_scratch(ws, model, NULL, &scratch)
    ws.scratch = place(&position, threads * ws.scratch_bytes)
    ws.weights = place(&position, in_panels * vector_bytes(model)) if in_panels > 0 else NULL
    # Last: where they are not used, they are never touched and take no memory.
    ws.gradient = place(&position, vectors * vector_bytes(model))
    ws.copies = <char*> ws.gradient + vector_bytes(model) if vectors > 1 else NULL
    return <Py_ssize_t> (position - <uintptr_t> memory) + 64


cdef Py_ssize_t block_rows(const Model* model, Py_ssize_t rows, bint backward) noexcept nogil:
    """Rows of a block, as many as a workspace has memory for."""
    cdef Py_ssize_t l, most, per_row = model.layers[1].n_in * model.itemsize
    for l in range(1, model.L + 1):
        per_row += (4 if backward else 2) * model.layers[l].n_out * model.itemsize
    most = max(min(<Py_ssize_t> MOST_ROWS, WORKSPACE_BYTES // per_row), 4 * model.lanes)
    return (min(most, rows) + model.lanes - 1) // model.lanes * model.lanes


cdef int open_workspace(
    const Model* model, Workspace* ws, Py_ssize_t rows, bint backward, bint every_z,
    const double* dropout, int threads, int in_panels,
) except -1:
    """Allocate what the blocks of a batch write."""
    cdef Py_ssize_t size
    ws.rows = block_rows(model, rows, backward)
    size = lay_out(model, ws, NULL, backward, every_z, dropout, threads, in_panels,
                   backward)
    # Zeros, because half a panel may be computed with and never written: a rare bit pattern there
    # would be a slow denormal.
    ws.memory = calloc(size, 1)
    if ws.memory == NULL:
        raise MemoryError(f"cannot allocate {size} bytes of workspace")
    lay_out(model, ws, ws.memory, backward, every_z, dropout, threads, in_panels, backward)
    return 0


# --- Of predictions --------------------------------------------------------------------------

cdef inline Py_ssize_t few_entries(const Model* model) noexcept nogil:
    """What predict_row writes: two layers in turn, and sums of earlier blocks of terms."""
    return 3 * (model.widest + SLACK)


cdef Py_ssize_t prediction_rows(const Model* model, Py_ssize_t rows) noexcept nogil:
    """Rows of a block: enough to share each copy of the weights (128 rows are 10 % slower)."""
    cdef Py_ssize_t per_row = (model.layers[1].n_in + 2 * model.widest) * model.itemsize
    cdef Py_ssize_t fitting = min(<Py_ssize_t> MOST_ROWS, WORKSPACE_BYTES // per_row)
    return min(max(fitting // model.lanes, <Py_ssize_t> 4),
               (rows - 1) // model.lanes + 1) * model.lanes


cdef Py_ssize_t lay_out_prediction(
    const Model* model, Py_ssize_t rows, void* memory, Prediction* p,
) noexcept nogil:
    """Place what one thread writes for blocks of `rows`, or count its bytes alone."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t size = model.itemsize
    p.x = place(&position, rows * model.layers[1].n_in * size)
    # A last block of few rows goes row by row, in the same place.
    p.a[0] = place(&position, max(2 * rows * model.widest, few_entries(model)) * size)
    p.a[1] = <char*> p.a[0] + rows * model.widest * size
    p.packed = place(&position, packed_entries(model) * size)
    p.list_z = place(&position, model.lanes * (model.layers[1].n_out + SLACK) * size)
    return <Py_ssize_t> (<uintptr_t> place(&position, 0) - <uintptr_t> memory)


def zeros_with_slack(shape, dtype):
    """Return zeros that kernels may read a little past their end."""
    size = int(np.prod(shape, dtype=np.int64))
    storage = np.zeros(size + SLACK + 64, dtype)
    # On a cache line, as far as the layers' widths allow.
    begin = (64 - <uintptr_t> cnp.PyArray_DATA(<cnp.ndarray> storage) % 64) // storage.itemsize
    return storage[begin:begin + size].reshape(shape)
