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


cdef inline Py_ssize_t packed_entries(const Model* model, bint from_inputs) noexcept nogil:
    """What copy_strips writes, a little past the last strip, if is_copied ever says so; copy_rows,
    half as many rows of W and up to 2 NR entries more.
    """
    cdef Py_ssize_t l, deepest = 0
    for l in range(1 if from_inputs else 2, model.L + 1):
        if model.layers[l].row_stride == NR or model.layers[l].n_out > PACKED_NODES:
            deepest = max(deepest, model.layers[l].n_in)
        if l > 1 and model.layers[l].row_stride == NR:
            deepest = max(deepest, model.layers[l].n_out // 2 + NR)
    return PACKED_NODES * (deepest + 1) + MR


cdef inline Py_ssize_t entries_of_column(const Workspace* ws) noexcept nogil:
    """Room for each sample. A little more, since powers of two apart they would push each other out
    of the cache."""
    return ws.rows + 16


cdef Py_ssize_t lay_out_scratch(
    const Workspace* ws, const Model* model, void* memory, Scratch* s,
) noexcept nogil:
    """Place what one thread writes, or count its bytes alone where memory is NULL."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t size = model.itemsize, row = (model.widest + SLACK) * size
    cdef Py_ssize_t column = entries_of_column(ws)
    s.packed = place(&position, packed_entries(model, ws.inputs == PANELS) * size)
    s.y = place(&position, (model.layers[model.L].n_out + 1) * model.lanes * size)
    s.row[0] = place(&position, (FEW_ROWS + 1) * row)
    s.row[1] = <char*> s.row[0] + row
    s.before = <char*> s.row[1] + row
    s.ahead[0] = place(&position, 2 * row)
    s.ahead[1] = <char*> s.ahead[0] + row
    if ws.inputs != PANELS:
        s.list_z = place(&position, max(ws.rows * LIST_VECTORS * BYTES, model.lanes * row))
        s.list_sums = place(&position, ws.nodes_per_item * LIST_VECTORS * BYTES)
        s.begun = <int64_t*> place(&position, ws.rows * sizeof(int64_t))
        s.ends = <int64_t*> place(&position, ws.nodes_per_item * sizeof(int64_t))
        s.columns = <List*> place(&position, ws.nodes_per_item * sizeof(List))
        s.column_nodes = <int32_t*> place(&position, ws.nodes_per_item * column * sizeof(int32_t))
        s.column_values = place(&position, ws.nodes_per_item * column * size)
    return <Py_ssize_t> (<uintptr_t> place(&position, 0) - <uintptr_t> memory)


cdef Scratch scratch_of(const Workspace* ws, const Model* model, int index) noexcept nogil:
    cdef Scratch s
    lay_out_scratch(ws, model, <char*> ws.scratch + index * ws.scratch_bytes, &s)
    return s


cdef void place_columns(const Model* model, const Workspace* ws, int threads) noexcept nogil:
    """Where list_gradient makes its lists."""
    cdef Scratch s
    cdef Py_ssize_t r
    cdef int index
    if ws.inputs == PANELS:
        return
    for index in range(threads):
        s = scratch_of(ws, model, index)
        for r in range(ws.nodes_per_item):
            s.columns[r].nodes = s.column_nodes + r * entries_of_column(ws)
            s.columns[r].values = (<char*> s.column_values
                                   + r * entries_of_column(ws) * model.itemsize)


cdef inline Py_ssize_t vector_bytes(const Model* model) noexcept nogil:
    """Of a vector as long as the parameters, which kernels may read a little past its end."""
    return (model.n_parameters + SLACK) * model.itemsize


cdef Py_ssize_t lay_out(
    const Model* model, Workspace* ws,
    void* memory,               # NULL to count its bytes alone
    bint backward, bint every_z, const double* dropout, int threads,
    bint tiny,                  # whether its steps go that way
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
    ws.tiny = lay_out_tiny(model, rows, &position, memory != NULL) if tiny else NULL
    ws.weights = place(&position, in_panels * vector_bytes(model)) if in_panels > 0 else NULL
    # Last: where they are not used, they are never touched and take no memory.
    ws.gradient = place(&position, vectors * vector_bytes(model))
    ws.copies = <char*> ws.gradient + vector_bytes(model) if vectors > 1 else NULL
    ws.earlier = NULL
    if backward and ws.blocks > BLOCKS_SUMMED:
        ws.earlier = place(&position, vector_bytes(model))
    return <Py_ssize_t> (position - <uintptr_t> memory) + 64


cdef Py_ssize_t block_rows(const Model* model, Py_ssize_t rows, bint backward) noexcept nogil:
    """Rows of a block, as many as a workspace has memory for."""
    cdef Py_ssize_t l, most, per_row = model.layers[1].n_in * model.itemsize
    for l in range(1, model.L + 1):
        per_row += (4 if backward else 2) * model.layers[l].n_out * model.itemsize
    most = max(min(<Py_ssize_t> MOST_ROWS, WORKSPACE_BYTES // per_row), 4 * model.lanes)
    return (min(most, rows) + model.lanes - 1) // model.lanes * model.lanes


cdef void choose_blocks(
    const Model* model, Workspace* ws, Py_ssize_t rows, bint backward,
) noexcept nogil:
    ws.rows = block_rows(model, rows, backward)
    ws.blocks = (rows - 1) // ws.rows + 1


cdef void clear_empty_lanes(
    const Model* model, Workspace* ws, Py_ssize_t rows, Py_ssize_t batch_size,
) noexcept nogil:
    """Clear what blocks of such batches may compute with and never write.

    Of a last panel that is half empty one half is never written: a rare bit pattern there would be
    a slow denormal. The sums of squares read it, too: rows that core/rows.pxi leaves there make a
    bound larger, no more.
    """
    cdef Py_ssize_t lanes = model.lanes
    if rows > 0 and (
            (batch_size - 1) % lanes < lanes // 2
            or rows % batch_size and (rows % batch_size - 1) % lanes < lanes // 2):
        memset(ws.a[0], 0, <char*> ws.normalizer - <char*> ws.a[0])


# --- Kept between calls ----------------------------------------------------------------------
#
# To allocate what a batch writes, to touch its pages and to place its parts takes longer than many
# a step. A network keeps it, in a few places of which a call takes what it finds: what is taken is
# the call's alone, so that calls at the same time have one each, without a lock (which a fork could
# leave locked).

cdef extern from *:
    void* exchange "__atomic_exchange_n"(void** place, void* value, int order) noexcept nogil
    int ACQUIRE_RELEASE "__ATOMIC_ACQ_REL"

cdef struct Needs:              # of a call, to its workspace
    Py_ssize_t rows
    Py_ssize_t batch_size
    int threads
    bint backward
    bint every_z
    bint tiny
    int in_panels               # vectors that it moves there

cdef struct Kept:               # before a workspace, in the same memory
    Py_ssize_t size             # of all of it
    Needs needs                 # of the call that it is laid out for; no threads: of none
    Workspace workspace


cdef void* take_kept(void** kept) noexcept nogil:
    """A piece of memory that was kept, no longer kept now, or NULL."""
    cdef void* memory
    cdef Py_ssize_t i
    for i in range(MOST_KEPT):
        memory = exchange(&kept[i], NULL, ACQUIRE_RELEASE)
        if memory != NULL:
            return memory
    return NULL


cdef void keep_up_to(void** kept, void* memory, Py_ssize_t most_bytes) noexcept:
    """Keep it for the next call, before those of earlier calls; too many or too large: free it."""
    cdef Py_ssize_t i
    if (<Kept*> memory).size <= most_bytes:
        for i in range(MOST_KEPT):
            memory = exchange(&kept[i], memory, ACQUIRE_RELEASE)
            if memory == NULL:
                return
    PyMem_Free(memory)


cdef inline void keep(void** kept, void* memory) noexcept:
    keep_up_to(kept, memory, MOST_KEPT_BYTES)


cdef void free_kept(void** kept) noexcept:
    cdef Py_ssize_t i
    for i in range(MOST_KEPT):
        PyMem_Free(exchange(&kept[i], NULL, ACQUIRE_RELEASE))


cdef void* enlarged(void* memory, Py_ssize_t size) except NULL:
    """Memory that was kept, or NULL, as memory of at least `size` bytes."""
    if memory == NULL or (<Kept*> memory).size < size:
        PyMem_Free(memory)
        memory = PyMem_Malloc(size)      # Python's, so that tracemalloc sees it
        if memory == NULL:
            raise MemoryError(f"cannot allocate {size} bytes of workspace")
        large_pages(memory, size)
        (<Kept*> memory).size = size
    (<Kept*> memory).needs.threads = 0
    return memory


cdef inline void* workspace_of(void** kept, Py_ssize_t size) except NULL:
    """Memory of `size` bytes behind its Kept; `keep` takes it back."""
    return enlarged(take_kept(kept), sizeof(Kept) + size)


cdef int open_workspace(
    const Model* model, void** kept, Workspace* ws, const Needs* needs, const double* dropout,
) except -1:
    """Give a call its workspace; `keep` takes back its memory."""
    cdef Kept* k = <Kept*> take_kept(kept)
    cdef Py_ssize_t size
    cdef double share = ws.share
    # Threads first: where they are none nothing else of it has been written.
    if (k != NULL and dropout == NULL and k.needs.threads == needs.threads
            and k.needs.rows == needs.rows and k.needs.batch_size == needs.batch_size
            and k.needs.backward == needs.backward and k.needs.every_z == needs.every_z
            and k.needs.tiny == needs.tiny and k.needs.in_panels == needs.in_panels
            and k.workspace.inputs == ws.inputs
            and k.workspace.nodes_per_item == ws.nodes_per_item):
        # As the call before left it: what that never wrote, and cleared, is not written now.
        ws[0] = k.workspace
        ws.share = share
        return 0
    choose_blocks(model, ws, needs.batch_size, needs.backward)
    size = sizeof(Kept) + lay_out(
        model, ws, NULL, needs.backward, needs.every_z, dropout, needs.threads, needs.tiny,
        needs.in_panels, needs.backward)
    k = <Kept*> enlarged(k, size)
    lay_out(model, ws, k + 1, needs.backward, needs.every_z, dropout, needs.threads, needs.tiny,
            needs.in_panels, needs.backward)
    clear_empty_lanes(model, ws, needs.rows, needs.batch_size)
    place_columns(model, ws, needs.threads)
    ws.memory = k
    if dropout == NULL:         # which has masks in some layers
        k.workspace = ws[0]
        k.needs = needs[0]
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
    p.packed = place(&position, packed_entries(model, True) * size)
    p.list_z = place(&position, model.lanes * (model.layers[1].n_out + SLACK) * size)
    return <Py_ssize_t> (<uintptr_t> place(&position, 0) - <uintptr_t> memory)


def zeros_with_slack(shape, dtype):
    """Return zeros that kernels may read a little past their end."""
    cdef Py_ssize_t size = 1, n
    for n in shape:
        size *= n
    storage = np.zeros(size + SLACK + 64, dtype)
    # On a cache line, as far as the layers' widths allow.
    begin = (64 - <uintptr_t> cnp.PyArray_DATA(<cnp.ndarray> storage) % 64) // storage.itemsize
    return storage[begin:begin + size].reshape(shape)
