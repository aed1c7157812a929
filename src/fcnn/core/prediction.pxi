# Predictions: inputs of any kind, the answer's place, few rows on the stack or many by blocks.

cdef object predict_array(Network network, cnp.ndarray inputs, out, n_threads):
    """a^L of an array that is direct."""
    cdef int ndim = cnp.PyArray_NDIM(inputs)
    cdef Py_ssize_t rows = cnp.PyArray_DIM(inputs, 0) if ndim == 2 else 1
    cdef cnp.ndarray outputs = place_for(network, out, ndim, rows)
    cdef void* x = cnp.PyArray_DATA(inputs)
    cdef void* apart
    cdef Py_ssize_t size
    if out is None or not overlap(inputs, outputs):
        compute(network, x, rows, cnp.PyArray_DATA(outputs), n_threads)
        return outputs
    # The first rows would overwrite later inputs.
    size = cnp.PyArray_NBYTES(inputs)
    apart = workspace_of(network.kept, size)
    try:
        memcpy(<Kept*> apart + 1, x, size)
        compute(network, <Kept*> apart + 1, rows, cnp.PyArray_DATA(outputs), n_threads)
    finally:
        keep(network.kept, apart)
    return outputs


cdef object predict_converted(Network network, X, out, n_threads):
    """a^L of inputs that are not direct."""
    cdef Given given
    cdef int ndim
    cdef Py_ssize_t rows, itemsize = network.model.itemsize
    if network.model.layers == NULL:
        raise RuntimeError("the network has not been initialized")
    if describe_given(X, network.model.layers[1].n_in, &given):
        if all_fit(&given, itemsize):
            return predict_given(network, X, &given, out, n_threads)
    else:
        rows = rows_of_list(X, network.model.layers[1].n_in, &ndim)
        if rows > 0:
            answer = predict_list(network, X, rows, ndim, out, n_threads)
            if answer is not None:
                return answer
    X = network._as_inputs(X)
    if cnp.PyArray_Check(X):
        return predict_array(network, X, out, n_threads)
    return predict_stored(network, X, out, n_threads)


cdef object predict_given(Network network, X, const Given* given, out, n_threads):
    """a^L of an array that has to be converted: as much of it at a time as memory is kept for."""
    cdef double on_stack[STACK_ENTRIES]
    cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray> X)
    cdef cnp.ndarray outputs = place_for(network, out, ndim, given.rows)
    cdef char* to = <char*> cnp.PyArray_DATA(outputs)
    cdef Py_ssize_t itemsize = network.model.itemsize, n_in = given.n, first = 0, rows
    cdef Py_ssize_t most = max(<Py_ssize_t> 1, MOST_CONVERTED_BYTES // (n_in * itemsize))
    cdef void* apart = NULL
    cdef void* x = on_stack
    if given.rows > most and out is not None and may_share(<cnp.ndarray> X, outputs):
        most = given.rows       # or the answers of some rows would overwrite later ones
    most = min(most, given.rows)
    if most * n_in > STACK_ENTRIES:
        apart = workspace_of(network.kept, most * n_in * itemsize)
        x = <Kept*> apart + 1
    try:
        while first < given.rows:
            rows = min(most, given.rows - first)
            convert(given, first, rows, x, itemsize)
            compute(network, x, rows, to, n_threads)
            to += rows * network.model.layers[network.model.L].n_out * itemsize
            first += rows
    finally:
        if apart != NULL:
            keep(network.kept, apart)
    return outputs


cdef object predict_list(Network network, X, Py_ssize_t rows, int ndim, out, n_threads):
    """a^L of a list, None if it holds what is not read here."""
    cdef double on_stack[STACK_ENTRIES]
    cdef Py_ssize_t itemsize = network.model.itemsize, n_in = network.model.layers[1].n_in
    cdef cnp.ndarray outputs
    cdef void* apart = NULL
    cdef void* x = on_stack
    if rows * n_in > STACK_ENTRIES:
        apart = workspace_of(network.kept, rows * n_in * itemsize)
        x = <Kept*> apart + 1
    try:
        if not (read_list(X, n_in, ndim, rows, <float*> x) if itemsize == sizeof(float)
                else read_list(X, n_in, ndim, rows, <double*> x)):
            return None
        outputs = place_for(network, out, ndim, rows)
        compute(network, x, rows, cnp.PyArray_DATA(outputs), n_threads)
    finally:
        if apart != NULL:
            keep(network.kept, apart)
    return outputs


cdef object predict_stored(Network network, X, out, n_threads):
    """a^L of rows of CSR: by the passes of a training."""
    cdef cnp.npy_intp shape[2]
    shape[0] = len(X)
    shape[1] = network.model.layers[network.model.L].n_out
    if out is None:
        return network._outputs(X, n_threads)
    if not network.takes(out, 2, shape):
        network._refuse_out(out, (shape[0], shape[1]))
    out[...] = network._outputs(X, n_threads)
    return out


cdef cnp.ndarray place_for(Network network, out, int ndim, Py_ssize_t rows):
    """Where the answer to `rows` rows goes: a new array, or the caller's, checked."""
    cdef cnp.npy_intp shape[2]
    shape[0] = rows
    shape[ndim - 1] = network.model.layers[network.model.L].n_out
    if out is None:
        return cnp.PyArray_SimpleNew(ndim, shape, network.kind)
    if not network.takes(out, ndim, shape):
        network._refuse_out(out, tuple([n for n in shape[:ndim]]))
    return out


cdef bint may_share(cnp.ndarray strided, cnp.ndarray contiguous) noexcept:
    """Whether any memory between the first and the last entry of one is the other's."""
    cdef char* low = <char*> cnp.PyArray_DATA(strided)
    cdef char* high = low + cnp.PyArray_ITEMSIZE(strided)
    cdef char* other = <char*> cnp.PyArray_DATA(contiguous)
    cdef Py_ssize_t span
    cdef int i
    for i in range(cnp.PyArray_NDIM(strided)):
        span = (cnp.PyArray_DIM(strided, i) - 1) * cnp.PyArray_STRIDE(strided, i)
        if span < 0:
            low += span
        else:
            high += span
    return low < other + cnp.PyArray_NBYTES(contiguous) and other < high


cdef int compute(
    Network network, const void* x, Py_ssize_t rows, void* out, n_threads,
) except -1:
    """a^L of rows (rows, n_0) that stand apart from out (rows, n_L)."""
    cdef const Model* model = &network.model
    if (rows > FEW_ROWS or few_entries(model) > STACK_ENTRIES
            or network.multiplications(rows) >= WORK_PER_LOOK):
        return predict_many(network, x, rows, out, n_threads)
    if n_threads is not None and not is_1(n_threads):
        network._threads(n_threads)
    if network.multiplications(rows) < WORTH_RELEASING:
        predict_few(model, x, rows, out)
    else:
        with nogil:
            predict_few(model, x, rows, out)
    return 0


cdef void predict_few(
    const Model* model, const void* x, Py_ssize_t rows, void* out,
) noexcept nogil:
    cdef double on_stack[STACK_ENTRIES]
    cdef Py_ssize_t i, n_in = model.layers[1].n_in, n_out = model.layers[model.L].n_out
    for i in range(rows):
        if model.itemsize == 4:
            predict_row(model, <const float*> x + i * n_in, <float*> out + i * n_out,
                        <float*> on_stack, NULL)
        else:
            predict_row(model, <const double*> x + i * n_in, <double*> out + i * n_out,
                        on_stack, NULL)


cdef int predict_many(
    Network network, const void* x, Py_ssize_t rows, void* out, n_threads,
) except -1:
    cdef Call call
    cdef Workspace ws
    cdef Prediction parts
    cdef const Model* model = &network.model
    cdef int threads = 1
    cdef bint in_place
    cdef Py_ssize_t size
    begin_prediction(&call, &ws, model, x, rows, out)
    choose_inputs(&call, &ws, False)
    in_place = ws.inputs == PANELS and reads_in_place(model, rows)
    # Blocks need no barrier between them.
    if n_threads is not None or network.multiplications(rows) >= WORTH_THREADS:
        threads = most_threads(
            network._threads(n_threads), n_threads is None,
            2 * network.multiplications(rows) // WORTH_THREADS)
    if in_place:
        call.batch_size = IN_PLACE_ROWS
    threads = min(<Py_ssize_t> threads, (rows + call.batch_size - 1) // call.batch_size)
    if in_place:
        size = lay_out_in_place(model, threads, NULL, &ws)
    else:
        ws.scratch_bytes = lay_out_prediction(model, call.batch_size, NULL, &parts)
        size = threads * ws.scratch_bytes + 64
    ws.memory = workspace_of(network.kept, size)
    if in_place:
        lay_out_in_place(model, threads, <Kept*> ws.memory + 1, &ws)
    else:
        ws.scratch = aligned(<Kept*> ws.memory + 1)
    try:
        run(&call, threads, network.multiplications(rows))
    finally:
        # Of every thread, and of a network as wide as it needs: predictions of many rows that
        # follow each other allocate nothing.
        keep_up_to(
            network.kept, ws.memory,
            max(threads * <Py_ssize_t> MOST_KEPT_BYTES, 2 * vector_bytes(model)))
    return 0
