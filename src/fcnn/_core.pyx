"""The core of fcnn: forward pass, delta recursion, gradients and updates.

Layers l = 1..L of sizes n_0..n_L. In W^l_kj, k is the receiving node and j the emitting node; s is
the number of samples in a batch; C is the loss, summed over outputs and averaged over samples.

    forward pass       a^0 = x
                       z^l_k = sum_j W^l_kj a^(l-1)_j + b^l_k
                       a^l = sigma(z^l)
    output delta       delta^L = dC/da^L sigma'(z^L)            with the 1/s of the average
    delta recursion    delta^l_j = sigma'(z^l_j) sum_k delta^(l+1)_k W^(l+1)_kj
    gradients          dC/dW^l_kj = sum_s delta^l_k a^(l-1)_j
                       dC/db^l_k  = sum_s delta^l_k
    update             W <- W - eta dC/dW,  b <- b - eta dC/db

One flat vector holds all parameters, layer after layer: W^l, stored (n_(l-1), n_l) row-major, then
b^l. Stored so, all three products run over outputs or over samples with unit stride:

    z     (s, n_l)         = a (s, n_(l-1))           times W (n_(l-1), n_l)
    dC/da (n_(l-1), s)     = W (n_(l-1), n_l)         times delta transposed (n_l, s)
    dW    (n_(l-1), n_l)   = a transposed, by strides, times delta (s, n_l)

The kernels, by concept, are in _products.pxd, _activations.pxd, _losses.pxd and _updates.pxd. This
source is compiled once per instruction set; _dispatch.py chooses. reference.py does the same in
NumPy, with the same names and signatures.
"""

cimport cython
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cimport numpy as cnp

from fcnn._activations cimport (
    ELU, EXP, GELU, IDENTITY, LEAKY_RELU, RELU, SIGMOID, SILU, SOFTMAX, SOFTPLUS, TANH,
    Activation, activate, derivative_reads_z, multiply_by_derivative,
)
from fcnn._losses cimport (
    ABSOLUTE_ERROR, BINARY_CROSS_ENTROPY, CROSS_ENTROPY, HUBER, POISSON, SQUARED_ERROR,
    Loss, output_pass,
)
from fcnn._products cimport PACKED_ROWS, SLACK, TILE_COLUMNS, product, transpose
from fcnn._real cimport real
from fcnn._signals cimport count_work
from fcnn._updates cimport ADAM, ADAMW, SGD, Update, apply_update

import numpy as np

from fcnn.errors import DivergenceError

cnp.import_array()

cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define FCNN_ISA_NAME "v4"
    #elif defined(__AVX2__)
    #define FCNN_ISA_NAME "v3"
    #elif defined(__SSE4_2__)
    #define FCNN_ISA_NAME "v2"
    #elif defined(__aarch64__)
    #define FCNN_ISA_NAME "neon"
    #else
    #define FCNN_ISA_NAME "generic"
    #endif
    """
    const char* FCNN_ISA_NAME

# What the compiler was told to build, not what the file is called.
ISA = FCNN_ISA_NAME.decode()

cdef dict activation_codes = {
    "identity": IDENTITY, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU,
    "leaky_relu": LEAKY_RELU, "elu": ELU, "gelu": GELU, "silu": SILU, "softplus": SOFTPLUS,
    "softmax": SOFTMAX, "exp": EXP,
}
cdef dict loss_codes = {
    "squared_error": SQUARED_ERROR, "absolute_error": ABSOLUTE_ERROR, "huber": HUBER,
    "poisson": POISSON, "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "cross_entropy": CROSS_ENTROPY,
}
cdef dict rule_codes = {"sgd": SGD, "adam": ADAM, "adamw": ADAMW}

cdef enum:
    # A batch goes through the network in blocks of at most this many rows, their gradients added
    # up: the workspace stays bounded when a batch is a whole data set.
    MOST_ROWS = 512
    # Blocks of layers wider than about 2,000 are smaller: while a block of activations is computed
    # nobody looks for Ctrl-C.
    ACTIVATIONS_PER_BLOCK = 1048576
    LEAST_ROWS = 64
    # Prediction keeps two hidden layers of a block of rows, in about this much cache (bytes) ...
    PREDICTION_CACHE = 131072
    # ... or, if they fit, on the stack: one row then needs no allocation.
    STACK_ENTRIES = 2048
    # Multiplications of a call that make up for releasing the lock (about 100 ns).
    WORTH_RELEASING = 100000
    # What an activation and a training step count for beside multiplications, between two looks for
    # Ctrl-C.
    WORK_PER_ACTIVATION = 50
    WORK_PER_STEP = 1000

cdef struct Layer:
    Py_ssize_t n_in             # n_(l-1)
    Py_ssize_t n_out            # n_l
    Py_ssize_t W                # where W^l begins in the flat vector
    Py_ssize_t b                # where b^l begins
    Activation activation

cdef struct Model:
    Py_ssize_t L
    Layer* layers               # layers[1..L]; layers[0] is not used, as in the formulas
    Loss loss
    Py_ssize_t n_parameters
    Py_ssize_t widest_hidden    # the largest of n_1..n_(L-1)
    Py_ssize_t widest           # the largest of n_1..n_L
    Py_ssize_t deepest          # the largest of n_0..n_L
    void* parameters

cdef struct Batch:              # inputs and targets of some samples
    const void* x               # (rows, n_0)
    const void* y               # (rows, n_L), or NULL where labels are given
    const int64_t* labels       # (rows,), or NULL
    const void* weight          # (rows,), or NULL for 1
    Py_ssize_t rows

cdef struct Pass:               # the arrays that one pass through the network writes
    void** z                    # z[1..L]: (rows, n_l); a[l] itself where z is not needed later
    void** a                    # a[1..L]: (rows, n_l)
    void** delta                # delta[1..L]: (rows, n_l), two arrays in turn; followed by SLACK
    void* delta_T               # (n_l, rows): delta^l transposed; followed by SLACK
    void* previous_T            # (n_(l-1), rows): dC/da^(l-1) transposed
    void* db                    # (n_l,): the bias gradient of a block
    void* packed                # a panel of the product's right factor
    void* gradient              # (n_parameters,)
    void* x                     # (rows, n_0) gathered samples, and their targets
    void* y
    int64_t* labels
    void* weight
    void* memory                # the one allocation behind all of them
    Py_ssize_t work             # since the last look for Ctrl-C


# --- The passes ------------------------------------------------------------------------------

cdef int forward(
    const Model* model, const real* x, Py_ssize_t rows, void** z, void** a, real* packed,
    Py_ssize_t* work,
) except -1 nogil:
    """a^0 = x;  z^l = W^l a^(l-1) + b^l;  a^l = sigma(z^l)."""
    cdef const real* parameters = <const real*> model.parameters
    cdef const real* emitting = x
    cdef const Layer* layer
    cdef Py_ssize_t l
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        product(emitting, layer.n_in, 1, parameters + layer.W, parameters + layer.b,
                <real*> z[l], rows, layer.n_out, layer.n_in, False, packed, work)
        activate(layer.activation, <const real*> z[l], <real*> a[l], rows, layer.n_out)
        emitting = <const real*> a[l]
        count_work(work, rows * layer.n_out * WORK_PER_ACTIVATION)
    return 0


cdef int layer_gradient(
    const Layer* layer,
    const real* a_previous,     # IN a^(l-1): (rows, n_(l-1))
    const real* delta,          # IN delta^l: (rows, n_l)
    real* gradient,             # OUT the flat gradient: W and b of this layer
    Py_ssize_t rows, bint add, real* packed,
    double* db,                 # scratch: n_l
    Py_ssize_t* work,
) except -1 nogil:
    """dW^l_kj = sum_s delta^l_k a^(l-1)_j;  db^l_k = sum_s delta^l_k."""
    cdef Py_ssize_t i, k
    product(a_previous, 1, layer.n_in, delta, <const real*> NULL, gradient + layer.W,
            layer.n_in, layer.n_out, rows, add, packed, work)
    # In double: a running float32 sum over 600,000 rows is wrong in the third digit.
    for k in range(layer.n_out):
        db[k] = 0
    for i in range(rows):
        for k in range(layer.n_out):
            db[k] += delta[i * layer.n_out + k]
    for k in range(layer.n_out):
        gradient[layer.b + k] = <real> (gradient[layer.b + k] + db[k] if add else db[k])
    return 0


cdef int delta_recursion(
    const Layer* layer,         # layer l
    Activation activation,      # of layer l - 1
    const real* parameters,
    const real* delta,          # IN delta^l: (rows, n_l)
    const real* z_previous,     # IN z^(l-1): (rows, n_(l-1)), read only where sigma' needs it
    const real* a_previous,     # IN a^(l-1)
    real* delta_previous,       # OUT delta^(l-1)
    real* delta_T, real* previous_T, real* packed,
    Py_ssize_t rows, Py_ssize_t* work,
) except -1 nogil:
    """delta^(l-1)_j = sigma'(z^(l-1)_j) sum_k delta^l_k W^l_kj.

    Computed transposed, dC/da^T = W delta^T: the lanes then run over samples. Over k they would
    have to add up across a register, six times slower; and delta is much smaller than W.
    """
    transpose(delta, delta_T, rows, layer.n_out)
    product(parameters + layer.W, layer.n_out, 1, <const real*> delta_T, <const real*> NULL,
            previous_T, layer.n_in, rows, layer.n_out, False, packed, work)
    transpose(<const real*> previous_T, delta_previous, layer.n_in, rows)
    multiply_by_derivative(activation, z_previous, a_previous, delta_previous, rows * layer.n_in)
    return count_work(work, rows * layer.n_in * WORK_PER_ACTIVATION)


cdef int forward_and_backward(
    const Model* model, const real* x, const Batch* batch, double scale, bint add, Pass* p,
    double* total,              # OUT sum of the weighted costs
) except -1 nogil:
    """One block: all z, a, delta and the gradient."""
    cdef Py_ssize_t l = model.L
    cdef const Layer* layer
    cdef const real* a_previous
    forward(model, x, batch.rows, p.z, p.a, <real*> p.packed, &p.work)
    total[0] = output_pass(
        model.loss, model.layers[l].activation, <const real*> p.z[l], <const real*> p.a[l],
        <const real*> batch.y, batch.labels, <const real*> batch.weight, scale,
        <real*> p.delta[l], batch.rows, model.layers[l].n_out)
    while l >= 1:
        layer = &model.layers[l]
        a_previous = <const real*> p.a[l - 1] if l > 1 else x
        layer_gradient(layer, a_previous, <const real*> p.delta[l], <real*> p.gradient,
                       batch.rows, add, <real*> p.packed, <double*> p.db, &p.work)
        if l > 1:               # the input layer has no delta
            delta_recursion(layer, model.layers[l - 1].activation,
                            <const real*> model.parameters, <const real*> p.delta[l],
                            <const real*> p.z[l - 1], a_previous, <real*> p.delta[l - 1],
                            <real*> p.delta_T, <real*> p.previous_T, <real*> p.packed,
                            batch.rows, &p.work)
        l -= 1
    return 0


# --- Batches and blocks ----------------------------------------------------------------------

# `typed`, here and below, is never read: its type says which of float32 and float64 is meant, where
# everything else comes as void* out of a struct.

cdef Batch rows_of(
    const Model* model, const Batch* batch, Py_ssize_t first, Py_ssize_t rows, const real* typed,
) noexcept nogil:
    """Rows first, first + 1, ... of a batch, as a batch."""
    cdef Batch part
    part.rows = rows
    part.x = <const real*> batch.x + first * model.layers[1].n_in
    part.y = (<const real*> batch.y + first * model.layers[model.L].n_out
              if batch.y != NULL else NULL)
    part.labels = batch.labels + first if batch.labels != NULL else NULL
    part.weight = <const real*> batch.weight + first if batch.weight != NULL else NULL
    return part


cdef double total_weight(const Batch* data, const int64_t* order, const real* typed) noexcept nogil:
    """The sum of the weights of the samples order[0..rows-1], or of all in their order."""
    cdef const real* weight = <const real*> data.weight
    cdef double total = 0
    cdef Py_ssize_t i
    if weight == NULL:
        return <double> data.rows
    for i in range(data.rows):
        total += weight[order[i]] if order != NULL else weight[i]
    return total


cdef Py_ssize_t block_rows(const Model* model, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t most = ACTIVATIONS_PER_BLOCK // model.widest
    return min(rows, max(<Py_ssize_t> LEAST_ROWS, min(most, <Py_ssize_t> MOST_ROWS)))


cdef int batch_gradient(
    const Model* model,
    const Batch* batch,         # IN the batch; or with order, all data and the batch's rows
    const int64_t* order,       # IN the batch's samples, or NULL for rows 0, 1, ...
    Pass* p, const real* typed,
    bint keep,                  # whether z, a and delta have room for all rows, and keep them
    double* loss,               # OUT weighted mean of the costs
    double* weight,             # OUT sum of the weights
) except -1 nogil:
    """Loss and gradient of a batch, block by block."""
    cdef Py_ssize_t first = 0, l, rows, most = block_rows(model, batch.rows)
    cdef Batch block
    cdef double scale, costs, total = 0
    weight[0] = total_weight(batch, order, typed)
    scale = 1 / weight[0] if weight[0] > 0 else 0
    while first < batch.rows:
        rows = min(most, batch.rows - first)
        if order != NULL:
            block = gather(model, batch, order + first, rows, p, typed)
        else:
            block = rows_of(model, batch, first, rows, typed)
        forward_and_backward(
            model, <const real*> block.x, &block, scale, first > 0, p, &costs)
        total += costs
        first += rows
        if keep:
            for l in range(1, model.L + 1):
                p.z[l] = <real*> p.z[l] + rows * model.layers[l].n_out
                p.a[l] = <real*> p.a[l] + rows * model.layers[l].n_out
                p.delta[l] = <real*> p.delta[l] + rows * model.layers[l].n_out
    loss[0] = total * scale
    return 0


cdef bint finite(const real* values, Py_ssize_t n) noexcept nogil:
    # x - x is 0, or NaN for NaN and infinities; eight sums, since one would wait for every addition
    cdef real sums[8]
    cdef Py_ssize_t i, j, full = n // 8
    for j in range(8):
        sums[j] = 0
    for i in range(full):
        for j in range(8):
            sums[j] += values[i * 8 + j] - values[i * 8 + j]
    for i in range(full * 8, n):
        sums[0] += values[i] - values[i]
    for j in range(1, 8):
        sums[0] += sums[j]
    return sums[0] == 0


cdef Batch gather(
    const Model* model, const Batch* data, const int64_t* order, Py_ssize_t rows, Pass* p,
    const real* typed,
) noexcept nogil:
    """The samples order[0..rows-1], copied into the workspace, as a batch."""
    cdef Py_ssize_t n_in = model.layers[1].n_in
    cdef Py_ssize_t n_out = model.layers[model.L].n_out
    cdef Py_ssize_t i
    cdef Batch batch
    for i in range(rows):
        memcpy(<real*> p.x + i * n_in, <const real*> data.x + order[i] * n_in,
               n_in * sizeof(real))
        if data.labels != NULL:
            p.labels[i] = data.labels[order[i]]
        else:
            memcpy(<real*> p.y + i * n_out, <const real*> data.y + order[i] * n_out,
                   n_out * sizeof(real))
        if data.weight != NULL:
            (<real*> p.weight)[i] = (<const real*> data.weight)[order[i]]
    batch.rows = rows
    batch.x = p.x
    batch.y = p.y if data.y != NULL else NULL
    batch.labels = p.labels if data.labels != NULL else NULL
    batch.weight = p.weight if data.weight != NULL else NULL
    return batch


cdef int run_epoch(
    const Model* model, const Batch* data, const int64_t* order, Py_ssize_t batch_size,
    Update* update, Pass* p, const real* typed,
    double* loss,               # OUT weighted mean over the epoch, each cost before its update
    bint* diverged,             # OUT
) except -1 nogil:
    """For every batch: gather, forward, deltas, gradient, update."""
    cdef Py_ssize_t first = 0
    cdef Batch batch
    cdef double batch_loss, batch_weight, total = 0, weight = 0
    diverged[0] = False
    while first < data.rows:
        if order != NULL:
            batch = data[0]
            batch.rows = min(batch_size, data.rows - first)
            batch_gradient(model, &batch, order + first, p, typed, False, &batch_loss,
                           &batch_weight)
        else:
            batch = rows_of(model, data, first, min(batch_size, data.rows - first), typed)
            batch_gradient(model, &batch, NULL, p, typed, False, &batch_loss, &batch_weight)
        if not isfinite(batch_loss) or not finite(<const real*> p.gradient, model.n_parameters):
            diverged[0] = True
            loss[0] = batch_loss
            return 0
        apply_update(<real*> model.parameters, <const real*> p.gradient, model.n_parameters,
                     update)
        total += batch_loss * batch_weight
        weight += batch_weight
        first += batch.rows
        count_work(&p.work, WORK_PER_STEP + model.n_parameters)
    loss[0] = total / weight if weight > 0 else 0
    return 0


cdef Py_ssize_t prediction_rows(
    const Model* model, Py_ssize_t rows, size_t itemsize,
) noexcept nogil:
    cdef Py_ssize_t fitting = PREDICTION_CACHE // (
        2 * max(model.widest_hidden, <Py_ssize_t> 1) * <Py_ssize_t> itemsize)
    # At least 32 rows share each read of the weights; a multiple of 8 keeps the tiles full.
    return min(rows, max(<Py_ssize_t> 32, min(fitting // 8 * 8, <Py_ssize_t> 512)))


cdef int predict_rows(
    const Model* model, const real* x, Py_ssize_t rows, real* out, bint release,
) except -1 nogil:
    """a^L of every row, block by block; two buffers hold the hidden layers in turn."""
    cdef Py_ssize_t block = prediction_rows(model, rows, sizeof(real))
    cdef Py_ssize_t half = block * model.widest_hidden
    cdef Py_ssize_t n_in = model.layers[1].n_in
    cdef Py_ssize_t n_out = model.layers[model.L].n_out
    cdef Py_ssize_t first = 0, count, l, work = 0
    cdef Py_ssize_t* counted = &work if release else NULL
    cdef const real* parameters = <const real*> model.parameters
    cdef const real* emitting
    cdef real* receiving
    cdef const Layer* layer
    cdef real on_stack[STACK_ENTRIES]
    cdef real* hidden = on_stack
    cdef Py_ssize_t entries = 2 * half
    if block >= PACKED_ROWS:
        entries += model.deepest * TILE_COLUMNS
    if entries > STACK_ENTRIES:
        hidden = <real*> malloc(entries * sizeof(real))
        if hidden == NULL:
            with gil:
                raise MemoryError
    try:
        while first < rows:
            count = min(block, rows - first)
            emitting = x + first * n_in
            for l in range(1, model.L + 1):
                layer = &model.layers[l]
                receiving = hidden + (l % 2) * half if l < model.L else out + first * n_out
                product(emitting, layer.n_in, 1, parameters + layer.W, parameters + layer.b,
                        receiving, count, layer.n_out, layer.n_in, False, hidden + 2 * half,
                        counted)
                activate(layer.activation, <const real*> receiving, receiving, count, layer.n_out)
                emitting = receiving
                count_work(counted, count * layer.n_out * WORK_PER_ACTIVATION)
            first += count
    finally:
        if hidden != on_stack:
            free(hidden)
    return 0


cdef int evaluate_rows(
    const Model* model, const Batch* batch, Pass* p, real* out, double* loss,
) except -1 nogil:
    """The loss of a batch, and its a^L in out."""
    cdef Py_ssize_t n_out = model.layers[model.L].n_out
    cdef Py_ssize_t first = 0, rows, most = block_rows(model, batch.rows)
    cdef Batch block
    cdef double total = 0, weight = total_weight(batch, NULL, <const real*> out)
    cdef double scale = 1 / weight if weight > 0 else 0
    while first < batch.rows:
        rows = min(most, batch.rows - first)
        block = rows_of(model, batch, first, rows, <const real*> out)
        p.a[model.L] = out + first * n_out
        forward(model, <const real*> block.x, rows, p.z, p.a, <real*> p.packed,
                &p.work)
        total += output_pass(
            model.loss, model.layers[model.L].activation, <const real*> p.z[model.L],
            <const real*> p.a[model.L], <const real*> block.y, block.labels,
            <const real*> block.weight, 0, <real*> NULL, rows, n_out)
        first += rows
    loss[0] = total * scale
    return 0


# --- Memory ----------------------------------------------------------------------------------

cdef void* place(void** position, Py_ssize_t bytes_) noexcept:
    """The next part of an allocation, on a cache line; only its size is counted if it is NULL."""
    cdef uintptr_t begin = (<uintptr_t> position[0] + 63) // 64 * 64
    position[0] = <void*> (begin + <uintptr_t> bytes_)
    return <void*> begin


cdef void lay_out(
    const Model* model, Pass* p, void** position, Py_ssize_t rows, bint backward, bint gathering,
    Py_ssize_t size,
) noexcept:
    cdef Py_ssize_t l, L = model.L, n
    cdef bint own_z
    cdef void* turns[2]
    for l in range(1, L + 1):
        n = model.layers[l].n_out
        p.a[l] = place(position, rows * n * size)
        # The loss is computed from the output's z; a hidden z is kept where sigma' reads it.
        own_z = l == L or (backward and derivative_reads_z(model.layers[l].activation))
        p.z[l] = place(position, rows * n * size) if own_z else p.a[l]
    # A panel is as deep as the sums are long: over nodes, or over the samples of a block.
    p.packed = place(position, max(model.deepest, rows) * TILE_COLUMNS * size)
    if not backward:
        return
    turns[0] = place(position, (rows * model.widest + SLACK) * size)
    turns[1] = place(position, (rows * model.widest + SLACK) * size)
    for l in range(1, L + 1):
        p.delta[l] = turns[l % 2]
    p.delta_T = place(position, (rows * model.widest + SLACK) * size)
    p.previous_T = place(position, rows * model.widest * size)
    p.db = place(position, model.widest * sizeof(double))
    p.gradient = place(position, model.n_parameters * size)
    if gathering:
        p.x = place(position, rows * model.layers[1].n_in * size)
        p.y = place(position, rows * model.layers[L].n_out * size)
        p.weight = place(position, rows * size)
        p.labels = <int64_t*> place(position, rows * sizeof(int64_t))


cdef int open_pass(
    const Model* model, Pass* p, Py_ssize_t rows, bint backward, bint gathering, Py_ssize_t size,
) except -1:
    """Allocate what a pass over the blocks of a batch writes, and room to gather a block."""
    cdef void* position = NULL
    rows = block_rows(model, rows)
    p.memory = NULL
    p.work = 0
    p.z = <void**> malloc(3 * (model.L + 1) * sizeof(void*))
    if p.z == NULL:
        raise MemoryError
    p.a = p.z + model.L + 1
    p.delta = p.a + model.L + 1
    lay_out(model, p, &position, rows, backward, gathering, size)
    # Zeros, because a tile also reads the slack: a rare bit pattern there would be a slow denormal.
    p.memory = calloc(<size_t> (<uintptr_t> position + 64), 1)
    if p.memory == NULL:
        close_pass(p)
        raise MemoryError(f"cannot allocate {<uintptr_t> position} bytes of workspace")
    position = p.memory
    lay_out(model, p, &position, rows, backward, gathering, size)
    return 0


cdef void close_pass(Pass* p) noexcept:
    free(p.memory)
    free(p.z)


def empty_with_slack(shape, dtype):
    """Return an uninitialized array that kernels may read a little past its end."""
    size = int(np.prod(shape, dtype=np.int64))
    storage = np.zeros(size + SLACK, dtype)
    return storage[:size].reshape(shape)


# --- The extension type ----------------------------------------------------------------------

cdef void* data_of(object array, int kind, Py_ssize_t size, name, bint write=False) except? NULL:
    """The address of a C-contiguous, aligned, native array of `size` entries; nothing else passes.

    Users' arrays were made so before they came here: this is the core's own guard against reading
    memory that is not theirs.
    """
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name}: expected an array, got {type(array).__name__}")
    cdef cnp.ndarray a = array
    if (not cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(a), kind)
            or not cnp.PyArray_ISCARRAY_RO(a) or cnp.PyArray_SIZE(a) != size
            or (write and not cnp.PyArray_ISCARRAY(a))):
        raise ValueError(f"{name}: the core expects {size} contiguous entries of its dtype")
    return cnp.PyArray_DATA(a)


@cython.no_gc_clear             # model.parameters points into `vector` until the end
cdef class Network:
    """The arithmetic of a network, on arrays that have been checked: the base of fcnn.Network.

    A subclass brings two methods for what predict cannot take as it is: _as_inputs, which converts
    inputs or refuses them, and _refuse_out.

    Parameters
    ----------
    sizes : sequence of int
        n_0, ..., n_L.
    activations : sequence of str
        One name for each layer 1..L.
    loss : str
    dtype : numpy.dtype
        float32 or float64.
    """

    cdef object __weakref__     # an optimizer remembers whose state it holds
    cdef Model model
    cdef int kind               # NumPy's number of the dtype
    cdef Py_ssize_t itemsize
    cdef cnp.ndarray vector     # the flat parameter vector
    cdef readonly tuple sizes
    cdef readonly tuple activations
    cdef readonly str loss

    def __init__(self, sizes, activations, loss, dtype):
        cdef Py_ssize_t l, offset = 0
        cdef Layer* layer
        cdef Layer* layers
        if self.model.layers != NULL:
            raise RuntimeError("the network exists already")
        self.sizes = tuple(sizes)
        self.activations = tuple(activations)
        self.loss = loss
        self.kind = cnp.NPY_FLOAT32 if np.dtype(dtype) == np.float32 else cnp.NPY_FLOAT64
        self.itemsize = 4 if self.kind == cnp.NPY_FLOAT32 else 8
        self.model.L = len(self.sizes) - 1
        self.model.loss = loss_codes[loss]
        layers = <Layer*> calloc(self.model.L + 1, sizeof(Layer))
        if layers == NULL:
            raise MemoryError
        try:
            for l in range(1, self.model.L + 1):
                layer = &layers[l]
                layer.n_in = self.sizes[l - 1]
                layer.n_out = self.sizes[l]
                layer.activation = activation_codes[self.activations[l - 1]]
                layer.W = offset
                layer.b = offset + layer.n_in * layer.n_out
                offset = layer.b + layer.n_out
                self.model.widest = max(self.model.widest, layer.n_out)
                if l < self.model.L:
                    self.model.widest_hidden = max(self.model.widest_hidden, layer.n_out)
            self.model.n_parameters = offset
            self.vector = empty_with_slack((offset,), dtype)
        except BaseException:
            free(layers)
            raise
        self.model.deepest = max(self.sizes)
        self.model.parameters = cnp.PyArray_DATA(self.vector)
        self.model.layers = layers  # last: it marks the network as whole

    def __dealloc__(self):
        free(self.model.layers)

    @property
    def dtype(self):
        """numpy.dtype of parameters, inputs and outputs."""
        return np.dtype(np.float32 if self.itemsize == 4 else np.float64)

    @property
    def parameters(self):
        """The flat vector of all parameters, layer after layer: W (n_(l-1), n_l), then b (n_l,)."""
        return self.vector[:]   # a view: reshaping it must not reshape the network's own array

    cdef int describe(self, X, y, sample_weight, Batch* batch) except -1:
        """Point a Batch at arrays that stay alive as long as the caller holds them."""
        cdef Py_ssize_t n_in, n_out
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        n_in = self.model.layers[1].n_in
        n_out = self.model.layers[self.model.L].n_out
        batch.rows = len(X)
        batch.x = data_of(X, self.kind, batch.rows * n_in, "X")
        batch.y = NULL
        batch.labels = NULL
        batch.weight = NULL
        if y.dtype == np.int64:
            batch.labels = <const int64_t*> data_of(y, cnp.NPY_INT64, batch.rows, "y")
        else:
            batch.y = data_of(y, self.kind, batch.rows * n_out, "y")
        if sample_weight is not None:
            batch.weight = data_of(sample_weight, self.kind, batch.rows, "sample_weight")
        return 0

    def __call__(self, X, out=None):
        """Return a^L; the same as predict."""
        return self.predict(X, out)

    def predict(self, X, out=None):
        """Return the activations a^L of the output layer.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,)
            Inputs. NaN flows through.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,)
            `out`, if it was given. Row i has the same bits whether it is predicted alone or in a
            batch.

        Raises
        ------
        ValueError, TypeError
            If X has the wrong shape or is not numeric, or out cannot take the answer.
        """
        cdef cnp.ndarray inputs, outputs
        cdef cnp.npy_intp shape[2]
        cdef Py_ssize_t rows
        cdef int ndim
        cdef char* begin
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        inputs = X if self.fits(X) else self._as_inputs(X)
        ndim = cnp.PyArray_NDIM(inputs)
        rows = cnp.PyArray_DIM(inputs, 0) if ndim == 2 else 1
        shape[0] = rows
        shape[ndim - 1] = self.model.layers[self.model.L].n_out
        if out is None:
            outputs = cnp.PyArray_SimpleNew(ndim, shape, self.kind)
        else:
            if not (cnp.PyArray_Check(out)
                    and cnp.PyArray_TYPE(<cnp.ndarray> out) == self.kind
                    and cnp.PyArray_ISCARRAY(<cnp.ndarray> out)
                    and cnp.PyArray_NDIM(<cnp.ndarray> out) == ndim
                    and cnp.PyArray_DIM(<cnp.ndarray> out, 0) == shape[0]
                    and cnp.PyArray_DIM(<cnp.ndarray> out, ndim - 1) == shape[ndim - 1]):
                self._refuse_out(out, (*np.shape(inputs)[:ndim - 1], self.sizes[self.model.L]))
            outputs = out
            begin = <char*> cnp.PyArray_DATA(inputs)
            if (begin < <char*> cnp.PyArray_DATA(outputs) + cnp.PyArray_NBYTES(outputs)
                    and <char*> cnp.PyArray_DATA(outputs) < begin + cnp.PyArray_NBYTES(inputs)):
                inputs = inputs.copy()      # or the first rows would overwrite later inputs
        if rows * self.model.n_parameters < WORTH_RELEASING:
            if self.kind == cnp.NPY_FLOAT32:
                predict_rows[float](&self.model, <float*> cnp.PyArray_DATA(inputs), rows,
                                    <float*> cnp.PyArray_DATA(outputs), False)
            else:
                predict_rows[double](&self.model, <double*> cnp.PyArray_DATA(inputs), rows,
                                     <double*> cnp.PyArray_DATA(outputs), False)
        else:
            if self.kind == cnp.NPY_FLOAT32:
                with nogil:
                    predict_rows[float](&self.model, <float*> cnp.PyArray_DATA(inputs), rows,
                                        <float*> cnp.PyArray_DATA(outputs), True)
            else:
                with nogil:
                    predict_rows[double](&self.model, <double*> cnp.PyArray_DATA(inputs), rows,
                                         <double*> cnp.PyArray_DATA(outputs), True)
        return outputs

    cdef bint fits(self, X) noexcept:
        """Whether X can be read as it is."""
        cdef int ndim
        if not cnp.PyArray_CheckExact(X):
            return False
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> X)
        return (cnp.PyArray_TYPE(<cnp.ndarray> X) == self.kind
                and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> X)
                and (ndim == 2 and cnp.PyArray_DIM(<cnp.ndarray> X, 0) > 0 or ndim == 1)
                and cnp.PyArray_DIM(<cnp.ndarray> X, ndim - 1) == self.model.layers[1].n_in)

    def loss_and_outputs(self, X, y, sample_weight=None):
        """Return (loss, a^L): the weighted mean of the costs, and the outputs they belong to."""
        cdef Batch batch
        cdef Pass p
        cdef double loss = 0
        cdef cnp.ndarray out
        cdef void* target
        self.describe(X, y, sample_weight, &batch)
        out = np.empty((batch.rows, self.sizes[self.model.L]), self.dtype)
        target = cnp.PyArray_DATA(out)
        open_pass(&self.model, &p, batch.rows, False, False, self.itemsize)
        try:
            with nogil:
                if self.itemsize == 4:
                    evaluate_rows(&self.model, &batch, &p, <float*> target, &loss)
                else:
                    evaluate_rows(&self.model, &batch, &p, <double*> target, &loss)
        finally:
            close_pass(&p)
        return loss, out

    def gradients(self, X, y, sample_weight=None):
        """Return (loss, gradient), the gradient flat and in the order of `parameters`."""
        cdef Batch batch
        cdef Pass p
        cdef double loss = 0, weight = 0
        cdef cnp.ndarray gradient
        self.describe(X, y, sample_weight, &batch)
        gradient = np.empty(self.model.n_parameters, self.dtype)
        open_pass(&self.model, &p, batch.rows, True, False, self.itemsize)
        try:
            p.gradient = cnp.PyArray_DATA(gradient)
            with nogil:
                if self.itemsize == 4:
                    batch_gradient(&self.model, &batch, NULL, &p, <float*> NULL, False, &loss,
                                   &weight)
                else:
                    batch_gradient(&self.model, &batch, NULL, &p, <double*> NULL, False, &loss,
                                   &weight)
        finally:
            close_pass(&p)
        return loss, gradient

    def backpropagate(self, X, y, sample_weight=None):
        """Return (z, a, delta, loss, gradient): lists indexed by l = 0..L, None where undefined."""
        cdef Batch batch
        cdef Pass p
        cdef double loss = 0, weight = 0
        cdef Py_ssize_t l
        cdef cnp.ndarray gradient
        self.describe(X, y, sample_weight, &batch)
        z, a, delta = [None], [X], [None]
        gradient = np.empty(self.model.n_parameters, self.dtype)
        open_pass(&self.model, &p, batch.rows, True, False, self.itemsize)
        try:
            p.gradient = cnp.PyArray_DATA(gradient)
            for l in range(1, self.model.L + 1):
                for arrays in (z, a, delta):
                    arrays.append(empty_with_slack((batch.rows, self.sizes[l]), self.dtype))
                p.z[l] = cnp.PyArray_DATA(<cnp.ndarray> z[l])
                p.a[l] = cnp.PyArray_DATA(<cnp.ndarray> a[l])
                p.delta[l] = cnp.PyArray_DATA(<cnp.ndarray> delta[l])
            with nogil:
                if self.itemsize == 4:
                    batch_gradient(&self.model, &batch, NULL, &p, <float*> NULL, True, &loss,
                                   &weight)
                else:
                    batch_gradient(&self.model, &batch, NULL, &p, <double*> NULL, True, &loss,
                                   &weight)
        finally:
            close_pass(&p)
        return z, a, delta, loss, gradient

    def train_step(self, X, y, optimizer, sample_weight=None):
        """Make one update with the gradient of the batch; return the loss before it."""
        return self.train_epoch(X, y, optimizer, len(X), None, sample_weight)

    def train_epoch(self, X, y, optimizer, batch_size, order=None, sample_weight=None):
        """Make one update for every `batch_size` samples; return the mean loss.

        Parameters
        ----------
        X : numpy.ndarray, shape (s, n_0)
        y : numpy.ndarray, shape (s, n_L), or int64 labels (s,)
        optimizer : fcnn.optimizers.Optimizer
        batch_size : int
            The last batch takes the samples that are left.
        order : numpy.ndarray of int64, shape (s,), optional
            The samples in the order in which they are to be used.
        sample_weight : numpy.ndarray, shape (s,), optional

        Raises
        ------
        fcnn.DivergenceError
            If the loss or the gradient of a batch is not finite. That update is not made.
        KeyboardInterrupt
            Between two updates; the parameters are those of the last completed one.
        """
        cdef Batch batch
        cdef Pass p
        cdef Update update
        cdef double loss = 0
        cdef bint diverged = False
        cdef const int64_t* sequence = NULL
        cdef Py_ssize_t size = batch_size, first_step
        self.describe(X, y, sample_weight, &batch)
        size = min(size, batch.rows)
        if size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if order is not None:
            sequence = <const int64_t*> data_of(order, cnp.NPY_INT64, batch.rows, "order")
            if batch.rows and not (order.min() >= 0 and order.max() < batch.rows):
                raise ValueError("order: expected indices of samples")
        state = optimizer.state(self)
        self.read_update(optimizer, state, &update)
        first_step = update.step
        open_pass(&self.model, &p, size, True, order is not None, self.itemsize)
        try:
            with nogil:
                if self.itemsize == 4:
                    run_epoch(&self.model, &batch, sequence, size, &update, &p,
                              <float*> NULL, &loss, &diverged)
                else:
                    run_epoch(&self.model, &batch, sequence, size, &update, &p,
                              <double*> NULL, &loss, &diverged)
        finally:
            close_pass(&p)
            # Not by assignment, which enters the optimizer's __setattr__: a pending Ctrl-C would be
            # raised there, and the steps be lost that the weights have made.
            object.__setattr__(optimizer, "steps", update.step)
        if diverged:
            what = f"the loss became {loss}" if loss - loss != 0 else "the gradient became infinite"
            raise DivergenceError(
                f"{what} in step {update.step - first_step + 1}; the weights are those before that "
                "step. Lower the learning rate, or scale inputs and targets to about 1")
        return loss

    cdef int read_update(self, optimizer, tuple state, Update* update) except -1:
        update.rule = rule_codes[optimizer.rule]
        update.lr = optimizer.lr
        update.weight_decay = optimizer.weight_decay
        update.step = optimizer.steps
        update.momentum = 0
        update.nesterov = False
        update.beta1 = update.beta2 = update.epsilon = 0
        if update.rule == SGD:
            update.momentum = optimizer.momentum
            update.nesterov = optimizer.nesterov
        else:
            update.beta1, update.beta2 = optimizer.betas
            update.epsilon = optimizer.eps
        update.first = update.second = NULL
        if len(state) > 0:
            update.first = data_of(
                state[0], self.kind, self.model.n_parameters, "state", write=True)
        if len(state) > 1:
            update.second = data_of(
                state[1], self.kind, self.model.n_parameters, "state", write=True)
        if update.rule != SGD and update.second == NULL:
            raise ValueError("state: expected two moments")
        return 0


def all_finite(array):
    """Return whether no entry of a contiguous float32 or float64 array is NaN or infinite."""
    cdef Py_ssize_t size = array.size
    cdef void* data
    cdef bint answer
    if array.dtype == np.float32:
        data = data_of(array, cnp.NPY_FLOAT32, size, "array")
        with nogil:
            answer = finite(<const float*> data, size)
    else:
        data = data_of(array, cnp.NPY_FLOAT64, size, "array")
        with nogil:
            answer = finite(<const double*> data, size)
    return answer
