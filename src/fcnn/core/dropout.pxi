# Dropout in the passes: what is dropped is kernels/dropout.pxd's.

cdef void drop_layer(
    Worker* w, Py_ssize_t l, Py_ssize_t first, Py_ssize_t last, const real* tag,
) noexcept nogil:
    """Drop some nodes of layer l, in some panels."""
    cdef const Model* model = w.call.model
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t n = model.layers[l + 1].n_in, lanes = model.lanes, i
    cdef uint64_t key
    if ws.mask[l] == NULL:
        return
    if l > 0 and not model.layers[l].derivative_reads_z:
        # sigma' is computed from the activation as it was.
        memcpy(<real*> ws.z[l] + first * n * lanes, <real*> ws.a[l] + first * n * lanes,
               (last - first) * n * lanes * sizeof(real))
    key = layer_key(w.call.options.seed, batch_number(w), l)
    for i in range(first, last):
        drop(w.call.options.dropout[l], key, w.place + w.begun + i * lanes,
             <real*> ws.a[l] + i * n * lanes, <real*> ws.mask[l] + i * n * lanes, n, lanes)


cdef void multiply(const real* factors, real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] *= factors[i]


cdef object read_dropout(Options* into, const Model* model, dropout):
    """Fill in the probabilities of layers 0..L-1, if there are any; return what must stay alive."""
    if dropout is None or not any(dropout):
        return None
    rates = np.array(dropout, np.float64)
    if not (rates.min() >= 0 and rates.max() < 1):
        raise ValueError("dropout: expected probabilities, at least 0 and less than 1")
    into.dropout = <const double*> data_of(rates, cnp.NPY_FLOAT64, model.L, "dropout")
    return rates
