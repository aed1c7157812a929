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
b^l. Samples go through the network by panels (see _products.pxd): z, a and delta of a layer are
(n_l, lanes) for each panel of `lanes` samples, so that one register holds one node of many samples.

A step has two phases. First the samples: each thread takes some panels through the forward pass,
the loss and the delta recursion. Then the weights: each thread takes some tiles of the weight
gradients, over all samples, and updates the weights of a tile while its gradient is at hand. No sum
is split between threads, so their number changes no bit of the result.

The kernels, by concept, are in _products.pxd, _activations.pxd, _losses.pxd and _updates.pxd. This
source is compiled once per instruction set; _dispatch.py chooses. reference.py does the same in
NumPy, with the same names and signatures.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF, Py_DECREF, PyObject
from libc.math cimport fabs, isfinite, sqrt
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport INT64_MAX, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fcnn cimport (
    FCNN_ABI, FCNN_ADAM, FCNN_ADAMW, FCNN_BACKWARD, FCNN_BAD_ARGUMENT, FCNN_BAD_LABEL, FCNN_CAPSULE,
    FCNN_DIVERGED, FCNN_FORWARD, FCNN_OK, FCNN_SGD, FCNN_SMALL_WORKSPACE, FCNN_TRAIN, FCNN_VERSION,
    FCNN_WRONG_DTYPE, fcnn_api, fcnn_network, fcnn_optimizer,
)
from fcnn._activations cimport (
    ELU, EXP, GELU, IDENTITY, LEAKY_RELU, MOST_LANES, RELU, SIGMOID, SILU, SOFTMAX, SOFTPLUS, TANH,
    Activation, activate, derivative_reads_z, multiply_by_derivative, softmax, softmax_row,
)
from fcnn._dropout cimport drop, layer_key
from fcnn._elementary cimport (
    error_function, exponential, exponential_minus_1, hyperbolic_tangent, logarithm,
    logarithm_of_1_plus, sigmoid,
)
from fcnn._limit cimport limit_entries, multiply_adds as limit_loop
from fcnn._losses cimport (
    ABSOLUTE_ERROR, BINARY_CROSS_ENTROPY, CROSS_ENTROPY, GIVEN, HUBER, POISSON, SQUARED_ERROR,
    Loss, output_pass,
)
from fcnn._products cimport (
    ACROSS, ALONG, DESCEND, GROUP_BYTES, KEEP, LANES, PANELS, ROWS, SLACK,
    any_tile, row_product, sum_of_squares, tiles_of,
)
from fcnn._real cimport multiply_add, real
from fcnn._threads cimport Team, hurry, in_hurry, meet, run_team, take
from fcnn._updates cimport (
    ADAM, ADAMW, DECAY, DESCENT, SGD, Step, Update, begin_step, update_ahead, update_outer,
    update_rows,
)
from fcnn._vector cimport BYTES, FLOATS, prefetch, transpose

import os

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
ELEMENTARY = ["exp", "expm1", "log", "log1p", "tanh", "erf", "sigmoid"]

cdef dict rule_codes = {"sgd": SGD, "adam": ADAM, "adamw": ADAMW}

# What is chosen by size, and why. Times are of Zen 3, AVX2.
cdef enum:
    # A batch goes through the network in blocks of at most this many rows, their gradients added
    # up: the workspace stays bounded when a batch is a whole data set ...
    MOST_ROWS = 256
    # ... and smaller where layers are wide (bytes).
    WORKSPACE = 33554432
    # Up to this many samples are computed one by one, with the lanes over nodes: of a panel most
    # lanes would be empty.
    FEW_ROWS = 3
    # The gradient updates the weights as it appears, unless that takes more multiplications than
    # these for each lane of a register (50 ms): it cannot be interrupted. The update is a small
    # part of such a step, but needs a place for the whole gradient.
    MOST_FUSED_WORK = 268435456
    # Nodes of layer l - 1 in an item of the second phase: their a, over all samples, stay in the
    # cache while the nodes of l go by.
    NODES_PER_ITEM = 96
    # What fits here is on the stack: one row then needs no allocation.
    STACK_ENTRIES = 2048
    # Multiplications of a call that make up for releasing the lock (about 100 ns) ...
    WORTH_RELEASING = 100000
    # ... for making threads (20 to 50 us), and, in a step, for each thread that meets the others
    # (1 us).
    WORTH_THREADS = 20000000
    WORTH_MEETING = 250000
    # Multiplications between two looks for Ctrl-C: 2 ms at 20 GFLOP/s.
    WORK_PER_LOOK = 20000000
    # What an activation counts for beside them.
    WORK_PER_ACTIVATION = 20

# Numbers of this size are multiplied at most twice in an update: float32 ends at 3e38. Above it an
# update is made with care.
cdef double LARGE = 1e15

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
    Py_ssize_t widest           # the largest of n_1..n_L
    Py_ssize_t deepest          # the largest of n_0..n_(L-1)
    Py_ssize_t lanes            # samples of a panel
    Py_ssize_t itemsize
    void* parameters
    PyObject* owner             # the Network that holds all this

cdef struct Batch:              # some samples: rows order[0..rows-1] of the data, or rows 0, 1, ...
    const void* x               # (., n_0)
    const void* y               # (., n_L), or NULL where labels are given
    const int64_t* labels       # (.,), or NULL
    const void* weight          # (.,), or NULL for 1
    const int64_t* order        # or NULL
    Py_ssize_t rows

cdef struct Options:            # of a training call; see train_epoch
    const double* lr_curve      # (batches,), or NULL
    double* batch_losses        # (batches, 2), or NULL
    double l1
    double l2
    bint penalty_per_sample
    double clip_norm            # 0: any length
    double label_smoothing
    const double* dropout       # (L,) of layers 0..L-1, or NULL
    uint64_t seed

cdef struct Pass:               # what one block of samples writes, by panels
    Py_ssize_t rows             # of a block, at most
    void** z                    # z[1..L]; a[l] itself where z is not needed later
    void** a                    # a[0..L]
    void** delta                # delta[1..L]
    void** delta_rows           # delta[1..L] again, by panels of nodes: (rows, lanes) for each
    void** mask                 # mask[0..L-1] of the layers with dropout
    void* normalizer            # (rows,) of the softmax
    double* costs               # for each panel of samples: sum of the weighted costs,
    double* squares             # and of the squares of all a, and of all delta
    void* gradient              # (n_parameters,)
    void* copies                # three times as long, or NULL
    void* scratch               # of the threads
    Py_ssize_t scratch_bytes    # of each
    void* memory                # the one allocation behind all of them

cdef struct Scratch:            # of one thread
    void* packed                # weights of a group of nodes
    void* y                     # (n_L, lanes)
    void* row[2]                # a layer of one sample; the second is followed by two more
    void* ahead                 # z^1 of the next sample

cdef enum Outcome:
    FINE
    OVERFLOW                    # of the loss, the gradient or the update: the step was not made
    NO_MEMORY

cdef struct Task:               # one call, for all its threads
    const Model* model
    Batch data
    Py_ssize_t batch_size
    Pass* p
    Update* update              # NULL to compute without updating
    Options options
    bint backward
    void* out                   # (rows, n_L) or NULL: a^L of all rows
    void** keep[3]              # NULL or z, a, delta of all rows, as (rows, n_l) for each l
    bint watched                # whether the calling thread looks for Ctrl-C
    double loss
    Outcome outcome
    PyObject* error             # what Ctrl-C raised

cdef struct Worker:             # a thread's view of the call
    Task* task
    Team* team
    int index                   # 0 is the thread that made the call
    int meetings
    bint stop
    Py_ssize_t work             # since the last look for Ctrl-C
    Py_ssize_t batch            # which one it is,
    Py_ssize_t begun            # and how many of its samples were in earlier blocks


# `typed`, here and below, is never read: its type says which of float32 and float64 is meant, where
# everything else comes as void* out of a struct.

# --- Ctrl-C ----------------------------------------------------------------------------------

cdef void look_for_signals(Worker* w) noexcept nogil:
    if w.stop:                  # one is on its way already
        return
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            Py_INCREF(error)
            w.task.error = <PyObject*> error
            w.stop = True
    if w.stop:
        hurry(w.team)


cdef inline bint stopped(Worker* w, Py_ssize_t work) noexcept nogil:
    """Whether the call is to end; looked for once in a while, and by the calling thread alone."""
    if w.index == 0:
        w.work += work
        if w.work >= WORK_PER_LOOK and w.task.watched:
            w.work = 0
            look_for_signals(w)
    elif in_hurry(w.team):
        w.stop = True
    return w.stop


cdef inline bint all_meet(Worker* w) noexcept nogil:
    """Wait for all threads of the call; return whether it is to end."""
    return meet(w.team, w.index, &w.meetings, w.stop)


# --- Samples ---------------------------------------------------------------------------------

cdef Batch part(
    const Model* model, const Batch* batch, Py_ssize_t first, Py_ssize_t rows, const real* typed,
) noexcept nogil:
    """Samples first, first + 1, ... of a batch, as a batch."""
    cdef Batch some = batch[0]
    some.rows = rows
    if batch.order != NULL:
        some.order = batch.order + first
        return some
    some.x = <const real*> batch.x + first * model.layers[1].n_in
    if batch.y != NULL:
        some.y = <const real*> batch.y + first * model.layers[model.L].n_out
    if batch.labels != NULL:
        some.labels = batch.labels + first
    if batch.weight != NULL:
        some.weight = <const real*> batch.weight + first
    return some


cdef inline Py_ssize_t sample(const Batch* batch, Py_ssize_t i) noexcept nogil:
    """The row of sample i; beyond the last one the last: a panel's empty lanes repeat it."""
    i = min(i, batch.rows - 1)
    return batch.order[i] if batch.order != NULL else i


cdef inline bint one_by_one(const Task* task, Py_ssize_t rows) noexcept nogil:
    """Whether a block's samples are computed one by one."""
    return rows <= FEW_ROWS and task.options.dropout == NULL


cdef double total_weight(const Batch* batch, const real* typed) noexcept nogil:
    cdef const real* weight = <const real*> batch.weight
    cdef double total = 0
    cdef Py_ssize_t i
    if weight == NULL:
        return <double> batch.rows
    for i in range(batch.rows):
        total += weight[sample(batch, i)]
    return total


cdef void panel_of(
    const real* data, Py_ssize_t n,     # IN (., n)
    const Batch* batch, Py_ssize_t first,
    real* panel,                # OUT (n, lanes): samples first, first + 1, ... of the batch
    Py_ssize_t lanes,
) noexcept nogil:
    cdef const real* rows[MOST_LANES]
    cdef Py_ssize_t s
    for s in range(lanes):
        rows[s] = data + sample(batch, first + s) * n
    turn(rows, n, panel)


cdef void turn(const real** rows, Py_ssize_t n, real* panel) noexcept nogil:
    """Transpose with constants for lanes: their multiples then need no registers."""
    cdef Py_ssize_t lanes = LANES if real is float else LANES // 2
    transpose(rows, lanes, n, panel, lanes)


cdef void rows_of(
    const real* panel, Py_ssize_t n,    # IN (n, lanes)
    real* data, Py_ssize_t rows,        # OUT (rows, n)
    Py_ssize_t lanes,
) noexcept nogil:
    cdef const real* nodes[MOST_LANES]
    cdef Py_ssize_t k = 0, i, count
    while k < n:
        count = min(<Py_ssize_t> MOST_LANES, n - k)
        for i in range(count):
            nodes[i] = panel + (k + i) * lanes
        transpose(nodes, count, rows, data + k, n)
        k += count


# --- The passes ------------------------------------------------------------------------------

cdef void forward_layer(
    const Layer* layer, const real* parameters,
    const real* a_previous,     # IN a^(l-1): panels (n_(l-1), lanes)
    real* z, real* a,           # OUT panels (n_l, lanes); may be the same
    real* normalizer,           # OUT (rows,) of the softmax, or NULL
    Py_ssize_t rows, Py_ssize_t lanes, real* packed, Worker* w,
) noexcept nogil:
    """z^l = W^l a^(l-1) + b^l;  a^l = sigma(z^l)."""
    cdef Py_ssize_t most = GROUP_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t n_in = layer.n_in, n_out = layer.n_out, panels = (rows + lanes - 1) // lanes
    cdef Py_ssize_t first = 0, size, p, t, i, k, at, stride, tiles, low, more, height
    cdef bint second = False    # of two groups that were copied together
    cdef const real* W
    while first < n_out:
        size = min(most, n_out - first)
        tiles = tiles_of(size)
        low = size // tiles
        more = size % tiles
        W = parameters + layer.W + first
        stride = n_out
        if panels > 1 and n_out > 2 * most:
            # Two groups at a time: every visit to a row of W costs a page of the address table.
            # Whole groups, whatever is left: moves of constant size.
            if not second:
                for k in range(n_in):
                    memcpy(packed + k * most, W + k * n_out, most * sizeof(real))
                    memcpy(packed + (n_in + k) * most, W + k * n_out + most, most * sizeof(real))
            W = packed + most * n_in if second else packed
            stride = most
            second = not second
        for p in range(panels):
            at = (p * n_out + first) * lanes
            i = 0
            for t in range(tiles):
                height = low + 1 if t < more else low
                any_tile(ACROSS, height, rows - p * lanes <= lanes // 2, W + i, stride,
                         a_previous + p * n_in * lanes, z + at + i * lanes, lanes, n_in,
                         parameters + layer.b + first + i, KEEP, 0, 0)
                i += height
            if layer.activation != SOFTMAX:
                activate(layer.activation, <const real*> z + at, a + at, size * lanes)
        first += size
        if stopped(w, rows * size * (n_in + WORK_PER_ACTIVATION)):
            return
    if layer.activation == SOFTMAX:
        for p in range(panels):
            softmax(<const real*> z + p * n_out * lanes, a + p * n_out * lanes,
                    normalizer + p * lanes if normalizer != NULL else NULL, n_out, lanes)


cdef void delta_layer(
    const Layer* layer,         # layer l
    Activation activation,      # of layer l - 1
    const real* parameters,
    const real* delta,          # IN delta^l: panels (n_l, lanes)
    const real* z_previous,     # IN z^(l-1): panels, read only where sigma' needs it
    const real* a_previous,     # IN a^(l-1)
    real* delta_previous,       # OUT delta^(l-1): panels (n_(l-1), lanes)
    Py_ssize_t rows, Py_ssize_t lanes, Worker* w,
) noexcept nogil:
    """delta^(l-1)_j = sigma'(z^(l-1)_j) sum_k delta^l_k W^l_kj."""
    cdef Py_ssize_t most = 2 * GROUP_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t n_in = layer.n_in, n_out = layer.n_out, panels = (rows + lanes - 1) // lanes
    cdef Py_ssize_t first = 0, size, p, t, i, at, tiles, low, more, height
    while first < n_in:
        size = min(most, n_in - first)
        tiles = tiles_of(size)
        low = size // tiles
        more = size % tiles
        for p in range(panels):
            at = (p * n_in + first) * lanes
            i = 0
            for t in range(tiles):
                height = low + 1 if t < more else low
                any_tile(ALONG, height, rows - p * lanes <= lanes // 2,
                         parameters + layer.W + (first + i) * n_out, n_out,
                         delta + p * n_out * lanes, delta_previous + at + i * lanes, lanes,
                         n_out, <const real*> NULL, KEEP, 0, 0)
                i += height
            multiply_by_derivative(activation, z_previous + at, a_previous + at,
                                   delta_previous + at, size * lanes)
        first += size
        if stopped(w, rows * size * (n_out + WORK_PER_ACTIVATION)):
            return


cdef void gradient_tiles(
    const Layer* layer,
    const real* a_previous,     # IN a^(l-1): panels of samples (n_(l-1), lanes)
    const real* delta_rows,     # IN delta^l: panels of nodes (block, lanes)
    Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer l - 1,
    Py_ssize_t k,               # and from which node of l on, a panel of them
    real* parameters, const Step* step,     # OUT, updated by step[0], biases by step[1]; or
    real* gradient, bint add,   # OUT where step is NULL
) noexcept nogil:
    """dW^l_kj = sum_s delta^l_k a^(l-1)_j;  db^l_k = sum_s delta^l_k;  and their update."""
    cdef real sums[ROWS * LANES]
    cdef real some[LANES]
    cdef Py_ssize_t columns = min(lanes, layer.n_out - k), n_out = layer.n_out
    cdef Py_ssize_t t, i, first = j, height, s, c, at
    cdef Py_ssize_t tiles = tiles_of(count), low = count // tiles, more = count % tiles
    cdef const real* delta = delta_rows + k * block
    cdef bint whole = columns == lanes or columns == lanes // 2
    cdef const Update* update = step.update if step != NULL else NULL
    cdef real descent = <real> step.c[DESCENT] if step != NULL else 0
    cdef real decay = <real> step.c[DECAY] if step != NULL else 0
    for t in range(tiles):
        height = low + 1 if t < more else low
        at = layer.W + first * n_out + k
        if step != NULL:
            # A tile's weights, and what the optimizer keeps of them, are a row of W apart, which no
            # CPU foresees; they come from memory while the sums are computed.
            for i in range(height):
                prefetch(parameters + at + i * n_out)
                if update.first != NULL:
                    prefetch(<real*> update.first + at + i * n_out)
                if update.second != NULL:
                    prefetch(<real*> update.second + at + i * n_out)
        if whole and step != NULL and update.rule == SGD and update.first == NULL:
            any_tile(PANELS, height, columns < lanes, a_previous + first * lanes,
                     layer.n_in * lanes, delta, parameters + at, n_out, rows, <const real*> NULL,
                     DESCEND, descent, decay)
        else:
            any_tile(PANELS, height, columns <= lanes // 2, a_previous + first * lanes,
                     layer.n_in * lanes, delta, &sums[0], lanes, rows, <const real*> NULL,
                     KEEP, 0, 0)
            put(at, n_out, &sums[0], height, columns, lanes, parameters, step, gradient, add)
        first += height
    if j == 0:
        # Panel by panel: one running sum over all rows loses a digit for every ten-fold of them.
        for c in range(lanes):
            sums[c] = 0
        i = 0
        while i < rows:
            for c in range(lanes):
                some[c] = delta[i * lanes + c]
            for s in range(i + 1, min(i + lanes, rows)):
                for c in range(lanes):
                    some[c] += delta[s * lanes + c]
            for c in range(lanes):
                sums[c] += some[c]
            i += lanes
        put(layer.b + k, n_out, &sums[0], 1, columns, lanes, parameters,
            step + 1 if step != NULL else NULL, gradient, add)


cdef void outer_products(
    const Layer* layer,
    const real* a_previous,     # IN a^(l-1)
    Py_ssize_t node_stride, Py_ssize_t row_stride,      # from node to node, from sample to sample
    const real* delta_rows,     # IN delta^l: panels of nodes (block, lanes)
    Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer l - 1
    real* parameters, const Step* step,     # OUT, updated by step[0], biases by step[1]; or
    real* gradient, bint add,   # OUT where step is NULL
    const real* next, real* sums,       # see below
    real* scratch,              # (rows + 1, widest + SLACK)
) noexcept nogil:
    """The same for a few samples: a tile's sums would be of a few numbers.

    Of one sample the update is all reading and writing, and so is the forward pass of the next one:
    where its inputs are given as `next`, the new weights are multiplied with them as they appear,
    and `sums` (n_l,) become its z.
    """
    cdef Py_ssize_t n_out = layer.n_out, k, s, at = layer.W + j * n_out
    cdef Py_ssize_t stride = (n_out + SLACK) // lanes * lanes
    a_previous += j * node_stride
    for s in range(rows):       # from panels of nodes to rows
        k = 0
        while k < n_out:
            memcpy(scratch + s * stride + k, delta_rows + k * block + s * lanes,
                   lanes * sizeof(real))
            k += lanes
    if j == 0:
        memset(scratch + rows * stride, 0, stride * sizeof(real))
        for s in range(rows):
            for k in range(n_out):
                scratch[rows * stride + k] += scratch[s * stride + k]
        put(layer.b, 0, scratch + rows * stride, 1, n_out, 0, parameters,
            step + 1 if step != NULL else NULL, gradient, add)
        if next != NULL:
            memcpy(sums, parameters + layer.b, n_out * sizeof(real))
    if step == NULL:
        for k in range(count):
            for s in range(rows):
                add_multiple(a_previous[k * node_stride + s * row_stride], scratch + s * stride,
                             gradient + at + k * n_out, n_out, add or s > 0)
    elif next != NULL:
        update_ahead(step, parameters, at, a_previous, scratch, next + j, sums, count, n_out)
    elif rows == 1:
        update_outer(step, parameters, at, n_out, 1, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)
    elif rows == 2:
        update_outer(step, parameters, at, n_out, 2, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)
    else:
        update_outer(step, parameters, at, n_out, FEW_ROWS, a_previous, node_stride, row_stride,
                     scratch, stride, count, n_out)


cdef inline void add_multiple(
    real factor, const real* x, real* sums, Py_ssize_t n, bint add,
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        sums[k] = multiply_add(factor, x[k], sums[k] if add else 0)


cdef inline void put(
    Py_ssize_t at, Py_ssize_t stride,   # where in the flat vectors, and how far to the next row
    const real* sums, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lanes,
    real* parameters, const Step* step, real* gradient, bint add,
) noexcept nogil:
    cdef Py_ssize_t _i, c
    if step != NULL:
        update_rows(step, parameters, at, stride, sums, lanes, rows, columns)
        return
    for _i in range(rows):
        if add:
            for c in range(columns):
                gradient[at + c] += sums[c]
        else:
            memcpy(gradient + at, sums, columns * sizeof(real))
        at += stride
        sums += lanes


# --- The first phase: samples ----------------------------------------------------------------

cdef Scratch scratch_of(
    const Model* model, const Pass* p, int index, const real* typed,
) noexcept nogil:
    cdef Scratch s
    cdef real* begin = <real*> (<char*> p.scratch + index * p.scratch_bytes)
    cdef Py_ssize_t most = GROUP_BYTES // <Py_ssize_t> sizeof(real)
    s.packed = begin
    begin += 2 * most * model.deepest
    s.y = begin
    begin += model.layers[model.L].n_out * model.lanes
    s.row[0] = begin
    s.row[1] = begin + model.widest + SLACK
    s.ahead = begin + (FEW_ROWS + 1) * (model.widest + SLACK)
    return s


cdef Py_ssize_t scratch_entries(const Model* model) noexcept nogil:
    cdef Py_ssize_t entries = (
        2 * GROUP_BYTES // model.itemsize * model.deepest
        + model.layers[model.L].n_out * model.lanes + (FEW_ROWS + 2) * (model.widest + SLACK))
    return (entries + 15) // 16 * 16


cdef void forward_rows(
    const Model* model, const Batch* batch, Pass* p, const Scratch* scratch,
    bint ahead,                 # whether z^1 is there already
    const real* typed,
) noexcept nogil:
    """The forward pass of a few samples one by one: a^0 as rows, the rest into a panel."""
    cdef const real* parameters = <const real*> model.parameters
    cdef Py_ssize_t lanes = model.lanes, n_in = model.layers[1].n_in, l, s, k, n
    cdef const real* emitting
    cdef real* receiving
    cdef const Layer* layer
    cdef real* z
    cdef real* a
    for s in range(batch.rows):
        emitting = <const real*> batch.x + sample(batch, s) * n_in
        # A panel of the inputs would be mostly empty and fill the cache.
        memcpy(<real*> p.a[0] + s * n_in, emitting, n_in * sizeof(real))
        for l in range(1, model.L + 1):
            layer = &model.layers[l]
            n = layer.n_out
            z = <real*> p.z[l] + s
            a = <real*> p.a[l] + s
            if l == 1 and ahead:
                receiving = <real*> scratch.ahead
            else:
                receiving = <real*> scratch.row[l % 2]
                row_product(emitting, parameters + layer.W, parameters + layer.b, receiving, n,
                            layer.n_in)
            if p.z[l] != p.a[l] or layer.activation == SOFTMAX:
                for k in range(n):
                    z[k * lanes] = receiving[k]
            if layer.activation != SOFTMAX:
                activate(layer.activation, <const real*> receiving, receiving, n)
                for k in range(n):
                    a[k * lanes] = receiving[k]
            emitting = receiving
    if model.layers[model.L].activation == SOFTMAX:
        softmax(<const real*> p.z[model.L], <real*> p.a[model.L], <real*> p.normalizer,
                model.layers[model.L].n_out, lanes)


cdef void propagate(
    Worker* w, const Batch* batch, double scale,
    Py_ssize_t done,            # rows before the batch, in what is kept
    Py_ssize_t first, Py_ssize_t last,  # panels
    bint ahead,                 # see forward_rows
    const real* typed,
) noexcept nogil:
    """Forward pass, loss and delta recursion of some panels of a block."""
    cdef const Model* model = w.task.model
    cdef Pass* p = w.task.p
    cdef Py_ssize_t lanes = model.lanes, L = model.L, l, i
    cdef Py_ssize_t rows = min(batch.rows, last * lanes) - first * lanes
    cdef const real* parameters = <const real*> model.parameters
    cdef const Layer* layer
    cdef Scratch scratch = scratch_of(model, p, w.index, typed)
    if rows <= 0:
        return
    if one_by_one(w.task, batch.rows):
        forward_rows(model, batch, p, &scratch, ahead, typed)
    else:
        for i in range(first, last):
            panel_of(<const real*> batch.x, model.layers[1].n_in, batch, i * lanes,
                     <real*> p.a[0] + i * model.layers[1].n_in * lanes, lanes)
        drop_layer(w, 0, first, last, typed)
        for l in range(1, L + 1):
            layer = &model.layers[l]
            forward_layer(
                layer, parameters, <const real*> p.a[l - 1] + first * layer.n_in * lanes,
                <real*> p.z[l] + first * layer.n_out * lanes,
                <real*> p.a[l] + first * layer.n_out * lanes,
                <real*> p.normalizer + first * lanes, rows, lanes, <real*> scratch.packed, w)
            if l < L:
                drop_layer(w, l, first, last, typed)
            if w.stop:
                return
    for i in range(first, last):
        output_panel(w.task, batch, scale, i, <real*> scratch.y)
    if w.task.backward:
        for l in range(L, 1, -1):
            layer = &model.layers[l]
            delta_layer(
                layer, model.layers[l - 1].activation, parameters,
                <const real*> p.delta[l] + first * layer.n_out * lanes,
                <const real*> p.z[l - 1] + first * layer.n_in * lanes,
                <const real*> (p.a[l - 1] if p.mask[l - 1] == NULL else p.z[l - 1])
                + first * layer.n_in * lanes,
                <real*> p.delta[l - 1] + first * layer.n_in * lanes, rows, lanes, w)
            if p.mask[l - 1] != NULL:
                multiply(
                    <const real*> p.mask[l - 1] + first * layer.n_in * lanes,
                    <real*> p.delta[l - 1] + first * layer.n_in * lanes,
                    (last - first) * layer.n_in * lanes)
            if w.stop:
                return
        for i in range(first, last):
            turn_deltas(w.task, batch.rows, i, typed)
    keep(w.task, batch, done, first, last, typed)


cdef void drop_layer(
    Worker* w, Py_ssize_t l, Py_ssize_t first, Py_ssize_t last, const real* typed,
) noexcept nogil:
    """Drop some nodes of layer l, in some panels."""
    cdef const Model* model = w.task.model
    cdef Pass* p = w.task.p
    cdef Py_ssize_t n = model.layers[l + 1].n_in, lanes = model.lanes, i
    cdef uint64_t key
    if p.mask[l] == NULL:
        return
    if l > 0 and not derivative_reads_z(model.layers[l].activation):
        # sigma' is computed from the activation as it was.
        memcpy(<real*> p.z[l] + first * n * lanes, <real*> p.a[l] + first * n * lanes,
               (last - first) * n * lanes * sizeof(real))
    key = layer_key(w.task.options.seed, w.batch, l)
    for i in range(first, last):
        drop(w.task.options.dropout[l], key, w.begun + i * lanes, <real*> p.a[l] + i * n * lanes,
             <real*> p.mask[l] + i * n * lanes, n, lanes)


cdef void multiply(const real* factors, real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        x[i] *= factors[i]


cdef void output_panel(
    Task* task, const Batch* batch, double scale, Py_ssize_t i, real* targets,
) noexcept nogil:
    """Costs and output delta of panel i, with the 1/s of the average."""
    cdef const Model* model = task.model
    cdef Pass* p = task.p
    cdef Py_ssize_t lanes = model.lanes, s, n = model.layers[model.L].n_out
    cdef Py_ssize_t at = i * n * lanes
    cdef int64_t labels[MOST_LANES]
    cdef real costs[MOST_LANES]
    cdef real factor[MOST_LANES]
    cdef double total = 0
    cdef real smoothing = <real> task.options.label_smoothing
    cdef real smoothed = smoothing / <real> (n if model.loss == CROSS_ENTROPY else 2)
    cdef const real* weight = <const real*> batch.weight
    for s in range(lanes):
        factor[s] = <real> scale
        if weight != NULL:
            factor[s] = <real> (scale * weight[sample(batch, i * lanes + s)])
    if batch.labels != NULL:
        for s in range(lanes):
            # They were checked before the call; whoever writes to them during it spoils the result,
            # but not foreign memory.
            labels[s] = min(max(batch.labels[sample(batch, i * lanes + s)], 0), n - 1)
    elif batch.y != NULL:
        panel_of(<const real*> batch.y, n, batch, i * lanes, targets, lanes)
    else:                       # outputs alone are wanted
        p.costs[i] = 0
        return
    if smoothing > 0:
        if batch.labels != NULL:
            memset(targets, 0, n * lanes * sizeof(real))
            for s in range(lanes):
                targets[labels[s] * lanes + s] = 1
        for s in range(n * lanes):
            targets[s] = (1 - smoothing) * targets[s] + smoothed
    output_pass(
        model.loss, model.layers[model.L].activation, <const real*> p.z[model.L] + at,
        <const real*> p.a[model.L] + at, <const real*> targets,
        labels if batch.labels != NULL and smoothing == 0 else NULL,
        <const real*> p.normalizer + i * lanes, <const real*> factor, costs,
        <real*> p.delta[model.L] + at if task.backward else <real*> NULL, n, lanes)
    for s in range(min(lanes, batch.rows - i * lanes)):
        total += costs[s] * (weight[sample(batch, i * lanes + s)] if weight != NULL else 1)
    p.costs[i] = total


cdef void turn_deltas(
    const Task* task, Py_ssize_t batch_rows, Py_ssize_t i, const real* typed,
) noexcept nogil:
    """Panel i of the deltas as rows of samples, and how large its numbers are."""
    cdef const Model* model = task.model
    cdef Pass* p = task.p
    cdef Py_ssize_t lanes = model.lanes, l, k, n, n_in, c, rows
    rows = min(lanes, batch_rows - i * lanes)
    cdef const real* nodes[MOST_LANES]
    cdef const real* delta
    cdef double a_squares = 0, delta_squares = 0
    for l in range(1, model.L + 1):
        n = model.layers[l].n_out
        delta = <const real*> p.delta[l] + i * n * lanes
        k = 0
        while k < n:
            for c in range(lanes):
                nodes[c] = delta + min(k + c, n - 1) * lanes
            turn(nodes, rows, <real*> p.delta_rows[l] + k * p.rows + i * lanes * lanes)
            k += lanes
        n_in = model.layers[l].n_in
        if l == 1 and one_by_one(task, batch_rows):
            n_in = (rows * n_in + lanes - 1) // lanes
        a_squares += sum_of_squares(<const real*> p.a[l - 1] + i * n_in * lanes, n_in)
        delta_squares += sum_of_squares(delta, n)
    p.squares[2 * i] = a_squares
    p.squares[2 * i + 1] = delta_squares


cdef void keep(
    Task* task, const Batch* batch, Py_ssize_t done, Py_ssize_t first, Py_ssize_t last,
    const real* typed,
) noexcept nogil:
    """Copy what the caller asked for out of the panels."""
    cdef const Model* model = task.model
    cdef Pass* p = task.p
    cdef Py_ssize_t lanes = model.lanes, i, l, n, what, rows
    cdef void** source
    if task.out == NULL and task.keep[0] == NULL:
        return
    for i in range(first, last):
        rows = min(lanes, batch.rows - i * lanes)
        if task.out != NULL:
            n = model.layers[model.L].n_out
            rows_of(<const real*> p.a[model.L] + i * n * lanes, n,
                    <real*> task.out + (done + i * lanes) * n, rows, lanes)
        if task.keep[0] != NULL:
            for l in range(1, model.L + 1):
                n = model.layers[l].n_out
                for what in range(3):
                    source = p.z if what == 0 else p.a if what == 1 else p.delta
                    rows_of(<const real*> source[l] + i * n * lanes, n,
                            <real*> task.keep[what][l] + (done + i * lanes) * n, rows, lanes)


# --- The second phase: weights ---------------------------------------------------------------

cdef void gradient_phase(
    Worker* w, Py_ssize_t rows, const Step* step, bint add,
    const real* next,           # IN (n_0,) what outer_products may multiply in advance, or NULL
    const real* typed,
) noexcept nogil:
    """Gradients of all layers over a block of samples, with their update unless step is NULL."""
    cdef const Model* model = w.task.model
    cdef Pass* p = w.task.p
    cdef Py_ssize_t lanes = model.lanes, l, j, k, index = 0, mine = take(w.team), count
    cdef const Layer* layer
    cdef Scratch scratch = scratch_of(model, p, w.index, typed)
    for l in range(model.L, 0, -1):
        layer = &model.layers[l]
        j = 0
        while j < layer.n_in:
            count = min(<Py_ssize_t> NODES_PER_ITEM, layer.n_in - j)
            k = 0
            if one_by_one(w.task, rows):
                if index == mine:
                    outer_products(
                        layer, <const real*> p.a[l - 1], lanes if l > 1 else 1,
                        1 if l > 1 else layer.n_in, <const real*> p.delta_rows[l], rows, p.rows,
                        lanes, j, count, <real*> model.parameters, step, <real*> p.gradient, add,
                        next if l == 1 else <const real*> NULL, <real*> scratch.ahead,
                        <real*> scratch.row[0])
                    mine = take(w.team)
                index += 1
                j += count
                continue
            while k < layer.n_out:
                if index == mine:
                    gradient_tiles(
                        layer, <const real*> p.a[l - 1], <const real*> p.delta_rows[l], rows,
                        p.rows, lanes, j, count, k, <real*> model.parameters, step,
                        <real*> p.gradient, add)
                    mine = take(w.team)
                    if step == NULL and stopped(w, rows * count * lanes):
                        return
                index += 1
                k += lanes
            j += count


cdef bint finite(const real* values, Py_ssize_t n) noexcept nogil:
    # x - x is 0, or NaN for NaN and infinities; many sums, since one would wait for every addition
    cdef real sums[32]
    cdef Py_ssize_t i, j, full = n // 32
    for j in range(32):
        sums[j] = 0
    for i in range(full):
        for j in range(32):
            sums[j] += values[i * 32 + j] - values[i * 32 + j]
    for i in range(full * 32, n):
        sums[0] += values[i] - values[i]
    for j in range(1, 32):
        sums[0] += sums[j]
    return sums[0] == 0


cdef bint harmless(
    const Update* update, double l1, double l2, double a_squares, double delta_squares,
) noexcept nogil:
    """Whether no entry of gradient or weights can become infinite in this step.

    By Cauchy and Schwarz |dC/dW_kj| = |sum_s delta_k a_j| <= ||a|| ||delta||, partial sums too.
    """
    cdef double bound = sqrt(a_squares) * sqrt(delta_squares) + fabs(l1)
    cdef double decay = fabs(update.weight_decay) + fabs(l2)
    return (bound * max(update.lr, 1.0) < LARGE and update.lr < LARGE
            and decay < 1e5 and update.lr * decay <= 1)


cdef double norm(const real* x, Py_ssize_t n, bint of_magnitudes) noexcept nogil:
    """sum |x| or sum x^2."""
    cdef double sums[16]
    cdef Py_ssize_t i, j, full = n // 16
    for j in range(16):
        sums[j] = 0
    for i in range(full):
        if of_magnitudes:
            for j in range(16):
                sums[j] += fabs(<double> x[i * 16 + j])
        else:
            for j in range(16):
                sums[j] += <double> x[i * 16 + j] * <double> x[i * 16 + j]
    for i in range(full * 16, n):
        sums[0] += fabs(<double> x[i]) if of_magnitudes else <double> x[i] * <double> x[i]
    for j in range(1, 16):
        sums[0] += sums[j]
    return sums[0]


cdef double penalty(const Model* model, double l1, double l2, const real* typed) noexcept nogil:
    """l1 sum |W| + l2 / 2 sum W^2."""
    cdef double total = 0
    cdef const real* W
    cdef Py_ssize_t l, n
    for l in range(1, model.L + 1):
        W = <const real*> model.parameters + model.layers[l].W
        n = model.layers[l].n_in * model.layers[l].n_out
        if l1 != 0:
            total += l1 * norm(W, n, True)
        if l2 != 0:
            total += l2 / 2 * norm(W, n, False)
    return total


cdef bint finish_gradient(
    const Model* model, real* gradient, double l1, double l2, double clip_norm,
) noexcept nogil:
    """Add the derivative of the penalty and shorten what is too long; False if it is not finite."""
    cdef const real* W
    cdef real* dW
    cdef real size, decay
    cdef double length
    cdef Py_ssize_t l, i
    if l1 != 0 or l2 != 0:
        size = <real> l1
        decay = <real> l2
        for l in range(1, model.L + 1):
            W = <const real*> model.parameters + model.layers[l].W
            dW = gradient + model.layers[l].W
            for i in range(model.layers[l].n_in * model.layers[l].n_out):
                dW[i] += decay * W[i] + (size if W[i] > 0 else (-size if W[i] < 0 else 0))
    if clip_norm > 0:
        length = sqrt(norm(gradient, model.n_parameters, False))
        if not isfinite(length):
            return False
        if length > clip_norm:
            size = <real> (clip_norm / length)
            for i in range(model.n_parameters):
                gradient[i] *= size
    return True


cdef Outcome update_all(
    const Model* model, Update* update, const real* gradient, bint careful,
    void* memory,               # for copies of parameters and state, or NULL to allocate it
) noexcept nogil:
    """Update with the whole gradient; if numbers overflow, nothing is changed."""
    cdef real* parameters = <real*> model.parameters
    cdef Py_ssize_t n = model.n_parameters
    cdef Step step = begin_step(update, 0)
    cdef real* copies = <real*> memory
    cdef Py_ssize_t vectors
    cdef bint fine = True
    if careful:
        if not finite(gradient, n):
            return OVERFLOW
        vectors = 1 + (update.first != NULL) + (update.second != NULL)
        if memory == NULL:
            copies = <real*> malloc(vectors * n * sizeof(real))
        if copies == NULL:
            return NO_MEMORY
        memcpy(copies, parameters, n * sizeof(real))
        if update.first != NULL:
            memcpy(copies + n, update.first, n * sizeof(real))
        if update.second != NULL:
            memcpy(copies + 2 * n, update.second, n * sizeof(real))
    update_rows(&step, parameters, 0, 0, gradient, 0, 1, n)
    if careful:
        # The state, too: from an infinite second moment Adam would never move a weight again.
        fine = (finite(<const real*> parameters, n)
                and (update.first == NULL or finite(<const real*> update.first, n))
                and (update.second == NULL or finite(<const real*> update.second, n)))
        if not fine:
            memcpy(parameters, copies, n * sizeof(real))
            if update.first != NULL:
                memcpy(update.first, copies + n, n * sizeof(real))
            if update.second != NULL:
                memcpy(update.second, copies + 2 * n, n * sizeof(real))
        if memory == NULL:
            free(copies)
    if not fine:
        return OVERFLOW
    update.step += 1
    return FINE


# --- A call ----------------------------------------------------------------------------------

cdef void run_batches(Worker* w, const real* typed) noexcept nogil:
    """Every batch: samples, then weights. All threads of the call go through this together."""
    cdef Task* task = w.task
    cdef const Model* model = task.model
    cdef Update* update = task.update
    cdef Pass* p = task.p
    cdef Py_ssize_t first = 0, begun, panels, i
    cdef Batch batch, block
    cdef Step step[2]
    cdef const real* next = NULL        # inputs of the sample whose z^1 is computed in advance
    cdef bint fused = False, safe
    cdef double weight, scale, costs, a_squares, delta_squares, total = 0, all_weight = 0
    cdef double l1, l2, charge, charges = 0
    cdef const Options* options = &task.options
    while first < task.data.rows:
        batch = part(model, &task.data, first, min(task.batch_size, task.data.rows - first), typed)
        weight = total_weight(&batch, typed)
        scale = 1 / weight if weight != 0 else 0
        l1 = options.l1 * scale if options.penalty_per_sample else options.l1
        l2 = options.l2 * scale if options.penalty_per_sample else options.l2
        charge = 0
        if w.index == 0:
            if options.lr_curve != NULL:
                update.lr = options.lr_curve[w.batch]
            if l1 != 0 or l2 != 0:
                charge = penalty(model, l1, l2, typed)
        costs = 0
        # The bias is a weight of a node that is always 1.
        a_squares = <double> batch.rows
        delta_squares = 0
        begun = 0
        safe = True
        while begun < batch.rows:
            block = part(model, &batch, begun, min(p.rows, batch.rows - begun), typed)
            panels = (block.rows + model.lanes - 1) // model.lanes
            w.begun = begun
            propagate(w, &block, 1 if model.loss == GIVEN else scale, first + begun,
                      panels * w.index // w.team.size, panels * (w.index + 1) // w.team.size,
                      next != NULL, typed)
            if all_meet(w):
                return
            for i in range(panels):
                costs += p.costs[i]
            if task.backward:
                for i in range(panels):
                    a_squares += p.squares[2 * i]
                    delta_squares += p.squares[2 * i + 1]
                if update != NULL:
                    safe = harmless(update, l1, l2, a_squares, delta_squares)
                    fused = (safe and isfinite(costs) and block.rows == batch.rows
                             and l1 == 0 and options.clip_norm == 0
                             and model.n_parameters * batch.rows // (BYTES // model.itemsize)
                             <= MOST_FUSED_WORK)
                    if fused:
                        step[0] = begin_step(update, l2)
                        step[1] = begin_step(update, 0)
                next = NULL
                if (fused and task.batch_size == 1 and one_by_one(task, 1) and w.team.size == 1
                        and first + 1 < task.data.rows):
                    next = (<const real*> task.data.x
                            + sample(&task.data, first + 1) * model.layers[1].n_in)
                gradient_phase(w, block.rows, step if fused else NULL, begun > 0, next, typed)
            begun += block.rows
            if all_meet(w):
                return
        if update != NULL:
            if fused:
                if w.index == 0:
                    update.step += 1
            else:
                if w.index == 0:
                    task.outcome = OVERFLOW
                    if (isfinite(costs * scale) and finish_gradient(
                            model, <real*> p.gradient, l1, l2, options.clip_norm)):
                        task.outcome = update_all(
                            model, update, <const real*> p.gradient, not safe, p.copies)
                if all_meet(w):
                    return
                if task.outcome != FINE:
                    total = costs * scale
                    all_weight = 1
                    break
        total += costs
        all_weight += weight
        charges += charge
        if w.index == 0 and options.batch_losses != NULL:
            options.batch_losses[2 * w.batch] = costs * scale
            options.batch_losses[2 * w.batch + 1] = charge
        first += batch.rows
        w.batch += 1
        if stopped(w, model.n_parameters) and w.team.size == 1:
            break
    if w.index == 0:
        task.loss = ((total / all_weight if all_weight != 0 else 0)
                     + (charges / w.batch if w.batch > 0 else 0))


cdef void predict_row(
    const Model* model, const real* x, real* out, real* buffer,
) noexcept nogil:
    """a^L of one row."""
    cdef const real* parameters = <const real*> model.parameters
    cdef const Layer* layer
    cdef real* receiving
    cdef Py_ssize_t l, n = 0, whole
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n = layer.n_out
        # Whole registers: what is left over would be computed one by one.
        whole = (n + FLOATS - 1) // FLOATS * FLOATS
        receiving = buffer + (l % 2) * (model.widest + SLACK)
        row_product(x, parameters + layer.W, parameters + layer.b, receiving, n, layer.n_in)
        if layer.activation == SOFTMAX:
            softmax_row(receiving, n, whole)
        else:
            activate(layer.activation, <const real*> receiving, receiving, whole)
        x = receiving
    memcpy(out, x, n * sizeof(real))


cdef Py_ssize_t prediction_rows(const Model* model, Py_ssize_t rows) noexcept nogil:
    """Rows of a block: enough to share each copy of the weights (128 rows are 10 % slower)."""
    cdef Py_ssize_t per_row = (model.layers[1].n_in + 2 * model.widest) * model.itemsize
    cdef Py_ssize_t fitting = min(<Py_ssize_t> MOST_ROWS, WORKSPACE // per_row)
    return min(max(fitting // model.lanes, <Py_ssize_t> 4),
               (rows - 1) // model.lanes + 1) * model.lanes


cdef Py_ssize_t prediction_entries(const Model* model, Py_ssize_t rows) noexcept nogil:
    return (rows * (model.layers[1].n_in + 2 * model.widest)
            + 2 * GROUP_BYTES // model.itemsize * model.deepest + 2 * SLACK + 15) // 16 * 16


cdef void begin_prediction(
    Task* task, Pass* p, const Model* model, const void* x, Py_ssize_t rows, void* out,
) noexcept nogil:
    memset(task, 0, sizeof(Task))
    memset(p, 0, sizeof(Pass))
    task.model = model
    task.p = p
    task.data.x = x
    task.data.rows = rows
    task.out = out
    task.batch_size = prediction_rows(model, rows)


cdef void predict_blocks(Worker* w, const real* typed) noexcept nogil:
    """a^L of blocks of rows; the layers of a block take two buffers in turn."""
    cdef Task* task = w.task
    cdef const Model* model = task.model
    cdef Py_ssize_t lanes = model.lanes, most = task.batch_size, n_in = model.layers[1].n_in
    cdef Py_ssize_t n_out = model.layers[model.L].n_out, first, l, i
    cdef real* inputs = (<real*> task.p.scratch
                         + w.index * prediction_entries(model, most))
    cdef real* hidden = inputs + most * n_in
    cdef real* packed = hidden + 2 * most * model.widest
    cdef const real* emitting
    cdef real* receiving
    cdef Batch block
    while True:
        first = take(w.team) * most
        if first >= task.data.rows:
            return
        block = part(model, &task.data, first, min(most, task.data.rows - first), typed)
        if block.rows <= FEW_ROWS:
            for i in range(block.rows):
                predict_row(model, <const real*> block.x + i * n_in,
                            <real*> task.out + (first + i) * n_out, hidden)
            continue
        for i in range((block.rows + lanes - 1) // lanes):
            panel_of(<const real*> block.x, n_in, &block, i * lanes, inputs + i * n_in * lanes,
                     lanes)
        emitting = inputs
        for l in range(1, model.L + 1):
            receiving = hidden + (l % 2) * most * model.widest
            forward_layer(&model.layers[l], <const real*> model.parameters, emitting, receiving,
                          receiving, <real*> NULL, block.rows, lanes, packed, w)
            if w.stop:
                return
            emitting = receiving
        for i in range((block.rows + lanes - 1) // lanes):
            rows_of(emitting + i * n_out * lanes, n_out,
                    <real*> task.out + (first + i * lanes) * n_out,
                    min(lanes, block.rows - i * lanes), lanes)


cdef void work(void* task, Team* team, int index) noexcept nogil:
    """What each thread of a call runs."""
    cdef Worker w
    w.task = <Task*> task
    w.team = team
    w.index = index
    w.meetings = 0
    w.stop = False
    w.work = 0
    w.batch = 0
    w.begun = 0
    if w.task.p.a == NULL:
        if w.task.model.itemsize == 4:
            predict_blocks(&w, <float*> NULL)
        else:
            predict_blocks(&w, <double*> NULL)
    elif w.task.model.itemsize == 4:
        run_batches(&w, <float*> NULL)
    else:
        run_batches(&w, <double*> NULL)


cdef int run(Task* task, int threads) except -1:
    """Run a task without the GIL; raise what Ctrl-C raised in it."""
    task.watched = True
    task.error = NULL
    with nogil:
        run_team(work, task, threads)
    if task.error != NULL:
        error = <object> task.error
        Py_DECREF(error)
        raise error
    return 0


# --- Memory ----------------------------------------------------------------------------------

cdef void* place(uintptr_t* position, Py_ssize_t bytes_) noexcept nogil:
    """The next part of a piece of memory, on a cache line."""
    cdef uintptr_t begin = (position[0] + 63) // 64 * 64
    position[0] = begin + <uintptr_t> bytes_
    return <void*> begin


cdef Py_ssize_t lay_out(
    const Model* model, Pass* p,
    void* memory,               # NULL to count its bytes alone
    bint backward, bint every_z, const double* dropout, int threads,
    int vectors,                # as long as the parameters: the gradient, and copies of three
) noexcept nogil:
    """Give a pass, whose rows are known, the memory that it writes; return how many bytes."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t l, n, L = model.L, rows = p.rows, lanes = model.lanes, size = model.itemsize
    cdef void** a = <void**> place(&position, 5 * (L + 1) * sizeof(void*))
    cdef void** z = a + L + 1
    cdef void** delta = z + L + 1
    cdef void** delta_rows = delta + L + 1
    cdef void** mask = delta_rows + L + 1
    cdef void* part[5]
    cdef bint own_z
    for l in range(L + 1):
        n = model.layers[l].n_out if l > 0 else model.layers[1].n_in
        memset(part, 0, sizeof(part))
        if l < L and dropout != NULL and dropout[l] > 0:
            part[4] = place(&position, rows * n * size)
        part[0] = part[1] = place(&position, rows * n * size)
        if l > 0:
            # The loss is computed from the output's z; a hidden z is kept where sigma' reads it.
            own_z = l == L or every_z or part[4] != NULL or (
                backward and derivative_reads_z(model.layers[l].activation))
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
    p.a = a
    p.z = z
    p.delta = delta
    p.delta_rows = delta_rows
    p.mask = mask
    p.normalizer = place(&position, rows * size)
    p.costs = <double*> place(&position, rows // lanes * sizeof(double))
    p.squares = <double*> place(&position, 2 * (rows // lanes) * sizeof(double))
    p.scratch_bytes = scratch_entries(model) * size
    p.scratch = place(&position, threads * p.scratch_bytes)
    # Last: where they are not used, they are never touched and take no memory.
    p.gradient = place(&position, vectors * (model.n_parameters + SLACK) * size)
    p.copies = <char*> p.gradient + (model.n_parameters + SLACK) * size if vectors > 1 else NULL
    return <Py_ssize_t> (position - <uintptr_t> memory) + 64


cdef Py_ssize_t block_rows(const Model* model, Py_ssize_t rows, bint backward) noexcept nogil:
    """Rows of a block, as many as a pass has memory for."""
    cdef Py_ssize_t l, most, per_row = model.layers[1].n_in * model.itemsize
    for l in range(1, model.L + 1):
        per_row += (4 if backward else 2) * model.layers[l].n_out * model.itemsize
    most = max(min(<Py_ssize_t> MOST_ROWS, WORKSPACE // per_row), 4 * model.lanes)
    return (min(most, rows) + model.lanes - 1) // model.lanes * model.lanes


cdef int open_pass(
    const Model* model, Pass* p, Py_ssize_t rows, bint backward, bint every_z,
    const double* dropout, int threads,
) except -1:
    """Allocate what a pass over the blocks of a batch writes."""
    cdef Py_ssize_t size
    p.rows = block_rows(model, rows, backward)
    size = lay_out(model, p, NULL, backward, every_z, dropout, threads, backward)
    # Zeros, because half a panel may be computed with and never written: a rare bit pattern there
    # would be a slow denormal.
    p.memory = calloc(size, 1)
    if p.memory == NULL:
        raise MemoryError(f"cannot allocate {size} bytes of workspace")
    lay_out(model, p, p.memory, backward, every_z, dropout, threads, backward)
    return 0


def zeros_with_slack(shape, dtype):
    """Return zeros that kernels may read a little past their end."""
    size = int(np.prod(shape, dtype=np.int64))
    storage = np.zeros(size + SLACK + 64, dtype)
    # On a cache line, as far as the layers' widths allow.
    begin = (64 - <uintptr_t> cnp.PyArray_DATA(<cnp.ndarray> storage) % 64) // storage.itemsize
    return storage[begin:begin + size].reshape(shape)


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

    A subclass brings three methods for what predict cannot take as it is: _as_inputs, which
    converts inputs or refuses them, _refuse_out, and _threads: how many threads there may be.

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
        self.model.itemsize = 4 if self.kind == cnp.NPY_FLOAT32 else 8
        self.model.owner = <PyObject*> self
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
            self.model.n_parameters = offset
            self.vector = zeros_with_slack((offset,), dtype)
        except BaseException:
            free(layers)
            raise
        self.model.deepest = max(self.sizes[:self.model.L])
        self.model.lanes = LANES if self.model.itemsize == 4 else LANES // 2
        self.model.parameters = cnp.PyArray_DATA(self.vector)
        self.model.layers = layers  # last: it marks the network as whole

    def __dealloc__(self):
        free(self.model.layers)

    @property
    def dtype(self):
        """numpy.dtype of parameters, inputs and outputs."""
        return np.dtype(np.float32 if self.model.itemsize == 4 else np.float64)

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
        batch.order = NULL
        if y is None:
            pass
        elif y.dtype == np.int64:
            batch.labels = <const int64_t*> data_of(y, cnp.NPY_INT64, batch.rows, "y")
        else:
            batch.y = data_of(y, self.kind, batch.rows * n_out, "y")
        if sample_weight is not None:
            batch.weight = data_of(sample_weight, self.kind, batch.rows, "sample_weight")
        return 0

    def __call__(self, X, out=None, n_threads=None):
        """Return a^L; the same as predict."""
        return self.predict(X, out, n_threads)

    # A plain method descriptor: Cython's own function object makes a tuple of the arguments, which
    # costs more than a small network (4-16-3, one row: 270 ns instead of 215).
    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def predict(self, X, out=None, n_threads=None):
        """Return the activations a^L of the output layer.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,)
            Inputs. NaN flows through.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.
        n_threads : int, optional
            At most so many threads. None takes as many as gain by it (`fcnn.set_num_threads`).
            The answer has the same bits whatever their number.

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
        if rows <= FEW_ROWS and 2 * (self.model.widest + SLACK) <= STACK_ENTRIES:
            if n_threads is not None:
                self._threads(n_threads)
            if self.work(rows) < WORTH_RELEASING:
                self.predict_few(inputs, outputs, rows)
            else:
                with nogil:
                    self.predict_few(inputs, outputs, rows)
        else:
            self.predict_many(inputs, outputs, rows, n_threads)
        return outputs

    cdef void predict_few(
        self, cnp.ndarray inputs, cnp.ndarray outputs, Py_ssize_t rows,
    ) noexcept nogil:
        cdef double on_stack[STACK_ENTRIES]
        cdef Py_ssize_t i
        cdef Py_ssize_t n_in = self.model.layers[1].n_in
        cdef Py_ssize_t n_out = self.model.layers[self.model.L].n_out
        cdef void* x = cnp.PyArray_DATA(inputs)
        cdef void* out = cnp.PyArray_DATA(outputs)
        for i in range(rows):
            if self.model.itemsize == 4:
                predict_row(&self.model, <float*> x + i * n_in, <float*> out + i * n_out,
                            <float*> on_stack)
            else:
                predict_row(&self.model, <double*> x + i * n_in, <double*> out + i * n_out,
                            on_stack)

    cdef int predict_many(
        self, cnp.ndarray inputs, cnp.ndarray outputs, Py_ssize_t rows, n_threads,
    ) except -1:
        cdef Task task
        cdef Pass p
        cdef Py_ssize_t entries
        cdef int threads = 1
        begin_prediction(&task, &p, &self.model, cnp.PyArray_DATA(inputs), rows,
                         cnp.PyArray_DATA(outputs))
        if n_threads is not None or self.work(rows) >= WORTH_THREADS:
            threads = self.team_size(n_threads, rows, task.batch_size)
            threads = min(<Py_ssize_t> threads, (rows + task.batch_size - 1) // task.batch_size)
        entries = prediction_entries(&self.model, task.batch_size)
        # Zeros: see open_pass.
        p.scratch = calloc(threads * entries * self.model.itemsize + 64, 1)
        if p.scratch == NULL:
            raise MemoryError
        p.memory = p.scratch
        p.scratch = <void*> ((<uintptr_t> p.scratch + 63) // 64 * 64)
        try:
            if self.work(rows) < WORTH_RELEASING:
                run_team(work, &task, 1)
            else:
                run(&task, threads)
        finally:
            free(p.memory)
        return 0

    cdef Py_ssize_t work(self, Py_ssize_t rows) noexcept:
        """Multiplications of a forward pass, near enough; without overflow."""
        return min(rows, <Py_ssize_t> 1 << 30) * min(self.model.n_parameters, <Py_ssize_t> 1 << 30)

    cdef int team_size(self, n_threads, Py_ssize_t rows, Py_ssize_t batch_size) except -1:
        """How many threads: as many as were asked for, or as many as gain by it."""
        cdef Py_ssize_t most, panels = (batch_size + self.model.lanes - 1) // self.model.lanes
        if n_threads is None and self.work(rows) < WORTH_THREADS:
            return 1
        most = self._threads(n_threads)
        if n_threads is None:
            most = min(most, self.work(batch_size) // WORTH_MEETING, panels)
        return <int> max(<Py_ssize_t> 1, min(most, <Py_ssize_t> 1024))

    def _threads(self, n_threads):
        """Return how many threads a call may have; None is one here."""
        return 1 if n_threads is None else int(n_threads)

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

    cdef int pass_once(
        self, X, y, sample_weight, n_threads, Task* task, bint backward, Py_ssize_t batch_size=0,
        order=None,
    ) except -1:
        """Run a task over arrays: once over all of them, or batch by batch with its update."""
        cdef Pass p
        cdef int threads
        self.describe(X, y, sample_weight, &task.data)
        task.batch_size = min(batch_size, task.data.rows) if batch_size > 0 else task.data.rows
        if order is not None:
            task.data.order = <const int64_t*> data_of(
                order, cnp.NPY_INT64, task.data.rows, "order")
            if task.data.rows and not (order.min() >= 0 and order.max() < task.data.rows):
                raise ValueError("order: expected indices of samples")
        threads = self.team_size(n_threads, task.data.rows, task.batch_size)
        open_pass(&self.model, &p, task.batch_size, backward, task.keep[0] != NULL,
                  task.options.dropout, threads)
        try:
            if task.model == NULL:
                task.model = &self.model
            task.p = &p
            task.backward = backward
            if task.update == NULL and task.out != NULL and backward:
                p.gradient = task.out       # computed in place
                task.out = NULL
            run(task, threads)
        finally:
            free(p.memory)
        return 0

    def loss_and_outputs(self, X, y, sample_weight=None, n_threads=None):
        """Return (loss, a^L): the weighted mean of the costs, and the outputs they belong to."""
        cdef Task task
        cdef cnp.ndarray out = np.empty((len(X), self.sizes[self.model.L]), self.dtype)
        memset(&task, 0, sizeof(Task))
        task.out = cnp.PyArray_DATA(out)
        self.pass_once(X, y, sample_weight, n_threads, &task, False)
        return task.loss, out

    def gradients(self, X, y, sample_weight=None, n_threads=None):
        """Return (loss, gradient), the gradient flat and in the order of `parameters`."""
        cdef Task task
        cdef cnp.ndarray gradient = np.empty(self.model.n_parameters, self.dtype)
        memset(&task, 0, sizeof(Task))
        task.out = cnp.PyArray_DATA(gradient)
        self.pass_once(X, y, sample_weight, n_threads, &task, True)
        return task.loss, gradient

    def backpropagate(self, X, y, sample_weight=None):
        """Return (z, a, delta, loss, gradient): lists indexed by l = 0..L, None where undefined."""
        cdef Task task
        cdef Py_ssize_t l, what
        cdef cnp.ndarray gradient = np.empty(self.model.n_parameters, self.dtype)
        cdef void** kept
        memset(&task, 0, sizeof(Task))
        arrays = ([None], [X], [None])
        kept = <void**> malloc(3 * (self.model.L + 1) * sizeof(void*))
        if kept == NULL:
            raise MemoryError
        try:
            for what in range(3):
                task.keep[what] = kept + what * (self.model.L + 1)
                for l in range(1, self.model.L + 1):
                    array = np.empty((len(X), self.sizes[l]), self.dtype)
                    arrays[what].append(array)
                    task.keep[what][l] = cnp.PyArray_DATA(<cnp.ndarray> array)
            task.out = cnp.PyArray_DATA(gradient)
            self.pass_once(X, y, sample_weight, 1, &task, True)
        finally:
            free(kept)
        return (*arrays, task.loss, gradient)

    def outputs(self, X, n_threads=None, dropout=None, seed=0):
        """Return a^L, shape (s, n_L), with the dropout of the first batch of a call with `seed`."""
        cdef Task task
        cdef cnp.ndarray out = np.empty((len(X), self.sizes[self.model.L]), self.dtype)
        memset(&task, 0, sizeof(Task))
        task.out = cnp.PyArray_DATA(out)
        _alive = self.read_options(
            &task.options, 1, {"dropout": dropout, "seed": seed})
        self.pass_once(X, None, None, n_threads, &task, False)
        return out

    def train_given(self, X, slopes, optimizer, n_threads=None, **options):
        """Make one update with dC/da^L of the caller's own loss, shape (s, n_L)."""
        cdef Model model = self.model
        cdef Task task
        model.loss = GIVEN
        memset(&task, 0, sizeof(Task))
        task.model = &model
        return self.train(X, slopes, optimizer, len(X), None, None, n_threads, &task, options)

    def train_step(self, X, y, optimizer, sample_weight=None, n_threads=None, **options):
        """Make one update with the gradient of the batch; return the loss before it."""
        return self.train_epoch(
            X, y, optimizer, len(X), None, sample_weight, n_threads, **options)

    def train_epoch(
        self, X, y, optimizer, batch_size, order=None, sample_weight=None, n_threads=None,
        **options,
    ):
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
        n_threads : int, optional
        **options
            lr_curve : numpy.ndarray of float64, shape (batches,)
                Learning rate of each update, in place of the optimizer's.
            batch_losses : numpy.ndarray of float64, shape (batches, 2)
                Written: mean cost and penalty of each batch, before its update.
            l1, l2 : float
                The penalty l1 sum |W| + l2 / 2 sum W^2 (weights, not biases) joins the loss.
            penalty_per_sample : bool
                Divide it by the samples of the batch (their weights).
            clip_norm : float
                A longer gradient is shortened to this Euclidean norm; 0 or None for any length.
            label_smoothing : float
                e in y <- (1 - e) y + e / n_L for the cross entropy, + e / 2 for the binary one.
            dropout : sequence of float, length L
                Probability that a node of layer 0..L-1 is dropped.
            seed : int
                Of the dropout of this call, 0 to 2^63 - 1.

        Raises
        ------
        fcnn.DivergenceError
            If the loss, the gradient of a batch or a weight would not be finite. That update is not
            made.
        KeyboardInterrupt
            Between two updates; the parameters are those of the last completed one.
        """
        cdef Task task
        memset(&task, 0, sizeof(Task))
        return self.train(
            X, y, optimizer, batch_size, order, sample_weight, n_threads, &task, options)

    cdef train(
        self, X, y, optimizer, Py_ssize_t batch_size, order, sample_weight, n_threads, Task* task,
        dict options,
    ):
        cdef Update update
        cdef Py_ssize_t first_step
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if n_threads is not None:
            self._threads(n_threads)    # refused, if at all, before the optimizer is touched
        _alive = self.read_options(
            &task.options, (len(X) + batch_size - 1) // batch_size, options)
        state = optimizer.state(self)
        self.read_update(optimizer, state, &update)
        first_step = update.step
        task.update = &update
        try:
            self.pass_once(X, y, sample_weight, n_threads, task, True, batch_size, order)
        finally:
            # Not by assignment, which enters the optimizer's __setattr__: a pending Ctrl-C would be
            # raised there, and the steps be lost that the weights have made.
            object.__setattr__(optimizer, "steps", update.step)
        if task.outcome == NO_MEMORY:
            raise MemoryError("cannot copy parameters and optimizer state before a risky step")
        if task.outcome == OVERFLOW:
            what = (f"the loss became {task.loss}" if task.loss - task.loss != 0
                    else "the gradient, a weight or the optimizer's state became infinite")
            raise DivergenceError(
                f"{what} in step {update.step - first_step + 1}; the weights are those before that "
                "step. Lower the learning rate, or scale inputs and targets to about 1")
        return task.loss

    cdef tuple read_options(self, Options* into, Py_ssize_t batches, dict options):
        """Fill in what a training call was given; return what must stay alive with it."""
        options = dict(options)
        lr_curve = options.pop("lr_curve", None)
        batch_losses = options.pop("batch_losses", None)
        dropout = options.pop("dropout", None)
        if lr_curve is not None:
            into.lr_curve = <const double*> data_of(
                lr_curve, cnp.NPY_FLOAT64, batches, "lr_curve")
            if not (lr_curve.min() >= 0 and lr_curve.max() < np.inf):
                raise ValueError("lr_curve: expected learning rates, at least 0 and finite")
        if batch_losses is not None:
            into.batch_losses = <double*> data_of(
                batch_losses, cnp.NPY_FLOAT64, 2 * batches, "batch_losses", write=True)
        into.l1 = options.pop("l1", 0)
        into.l2 = options.pop("l2", 0)
        into.penalty_per_sample = options.pop("penalty_per_sample", False)
        into.clip_norm = options.pop("clip_norm", None) or 0
        into.label_smoothing = options.pop("label_smoothing", 0)
        into.seed = options.pop("seed", 0)
        if not (into.l1 >= 0 and into.l2 >= 0 and into.clip_norm >= 0
                and 0 <= into.label_smoothing <= 1):
            raise ValueError("l1, l2, clip_norm, label_smoothing: out of range")
        if dropout is not None and any(dropout):
            dropout = np.array(dropout, np.float64)
            if not (dropout.min() >= 0 and dropout.max() < 1):
                raise ValueError("dropout: expected probabilities, at least 0 and less than 1")
            into.dropout = <const double*> data_of(
                dropout, cnp.NPY_FLOAT64, self.model.L, "dropout")
        if options:
            raise TypeError(f"unknown option {sorted(options)[0]}")
        return lr_curve, batch_losses, dropout

    cdef int read_update(self, optimizer, tuple state, Update* update) except -1:
        update.rule = rule_codes[optimizer.rule]
        update.lr = optimizer.lr
        update.weight_decay = optimizer.weight_decay
        update.step = optimizer.steps
        update.momentum = 0
        update.nesterov = False
        update.beta1 = update.beta2 = update.epsilon = 0
        update.epsilon_hat = getattr(optimizer, "_epsilon_hat", False)
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


def elementary(name, array):
    """Return an elementary function of each entry: exp, expm1, log, log1p, tanh, erf or sigmoid.

    They are within 2 units in the last place; the activations and losses are computed with them.
    """
    cdef Py_ssize_t size = array.size, function = ELEMENTARY.index(name)
    cdef cnp.ndarray result = np.empty_like(array)
    cdef void* y = cnp.PyArray_DATA(result)
    if array.dtype == np.float32:
        each(function, <float*> data_of(array, cnp.NPY_FLOAT32, size, "array"), <float*> y, size)
    else:
        each(function, <double*> data_of(array, cnp.NPY_FLOAT64, size, "array"), <double*> y, size)
    return result


cdef void each(Py_ssize_t function, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if function == 0:
        for i in range(n):
            y[i] = exponential(x[i])
    elif function == 1:
        for i in range(n):
            y[i] = exponential_minus_1(x[i])
    elif function == 2:
        for i in range(n):
            y[i] = logarithm(x[i])
    elif function == 3:
        for i in range(n):
            y[i] = logarithm_of_1_plus(x[i])
    elif function == 4:
        for i in range(n):
            y[i] = hyperbolic_tangent(x[i])
    elif function == 5:
        for i in range(n):
            y[i] = error_function(x[i])
    else:
        for i in range(n):
            y[i] = sigmoid(x[i])


def multiply_adds(count, dtype):
    """Make multiply-adds in the registers alone; return how many operations they were.

    That is the limit of this build on this machine, which benchmarks compare with.
    """
    cdef Py_ssize_t turns = count
    cdef bint single = np.dtype(dtype) == np.float32
    cdef Py_ssize_t entries = limit_entries(<float> 1) if single else limit_entries(<double> 1)
    # In memory that the compiler does not see: Clang drops a loop over numbers that it knows.
    cdef cnp.ndarray x = np.full(entries, 0.5, np.float32 if single else np.float64)
    cdef void* data = cnp.PyArray_DATA(x)
    with nogil:
        if single:
            register_loop(turns, <float*> data)
        else:
            register_loop(turns, <double*> data)
    return 2 * turns * entries


# In a function of its own, where the loop has all registers.
cdef void register_loop(Py_ssize_t turns, real* x) noexcept nogil:
    limit_loop(turns, x)


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


# --- The C interface: see include/fcnn.h -------------------------------------------------------

cdef inline void* aligned(void* memory) noexcept nogil:
    return <void*> ((<uintptr_t> memory + 63) // 64 * 64)


cdef inline Py_ssize_t row_bytes(const Model* model) noexcept nogil:
    """What predict_row takes, aligned."""
    return 2 * (model.widest + SLACK) * model.itemsize + 64


cdef Py_ssize_t lay_out_for(
    const Model* model, Pass* p, void* memory, int purpose, Py_ssize_t rows,
) noexcept nogil:
    p.rows = block_rows(model, rows, True)
    # Of a gradient alone the caller has the place.
    return lay_out(model, p, memory, True, False, NULL, 1, 4 if purpose == FCNN_TRAIN else 0)


cdef size_t workspace_bytes(
    const fcnn_network* network, int purpose, ptrdiff_t rows,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Pass p
    if network == NULL or rows < 1:
        return 0
    if purpose == FCNN_FORWARD:
        if rows <= FEW_ROWS:
            return row_bytes(model)
        return prediction_entries(model, prediction_rows(model, rows)) * model.itemsize + 64
    if purpose == FCNN_BACKWARD or purpose == FCNN_TRAIN:
        return lay_out_for(model, &p, NULL, purpose, rows)
    return 0


cdef inline int forward(
    const fcnn_network* network, const real* x, Py_ssize_t rows, real* out,
    void* workspace, size_t size,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Py_ssize_t i
    cdef Task task
    cdef Pass p
    if network == NULL or x == NULL or out == NULL or workspace == NULL or rows < 1:
        return FCNN_BAD_ARGUMENT
    if model.itemsize != sizeof(real):
        return FCNN_WRONG_DTYPE
    if rows <= FEW_ROWS:
        if size < <size_t> row_bytes(model):
            return FCNN_SMALL_WORKSPACE
        for i in range(rows):
            predict_row(model, x + i * model.layers[1].n_in,
                        out + i * model.layers[model.L].n_out, <real*> aligned(workspace))
        return FCNN_OK
    if size < workspace_bytes(network, FCNN_FORWARD, rows):
        return FCNN_SMALL_WORKSPACE
    begin_prediction(&task, &p, model, x, rows, out)
    p.scratch = aligned(workspace)
    run_team(work, &task, 1)
    return FCNN_OK


cdef int forward_f32(
    const fcnn_network* network, const float* x, ptrdiff_t rows, float* out,
    void* workspace, size_t size,
) noexcept nogil:
    return forward(network, x, rows, out, workspace, size)


cdef int forward_f64(
    const fcnn_network* network, const double* x, ptrdiff_t rows, double* out,
    void* workspace, size_t size,
) noexcept nogil:
    return forward(network, x, rows, out, workspace, size)


cdef int run_step(
    const fcnn_network* network, Py_ssize_t itemsize, const void* x, const void* y,
    const int64_t* labels, const void* sample_weight, Py_ssize_t rows, Update* update,
    void* gradient, double* loss, void* workspace, size_t size,
) noexcept nogil:
    """Loss and gradient of a batch; of update and gradient one is NULL."""
    cdef const Model* model = <const Model*> network
    cdef int purpose = FCNN_TRAIN if gradient == NULL else FCNN_BACKWARD
    cdef Py_ssize_t i
    cdef Task task
    cdef Pass p
    if (network == NULL or x == NULL or (y == NULL) == (labels == NULL) or rows < 1
            or loss == NULL or workspace == NULL):
        return FCNN_BAD_ARGUMENT
    if model.itemsize != itemsize:
        return FCNN_WRONG_DTYPE
    if size < workspace_bytes(network, purpose, rows):
        return FCNN_SMALL_WORKSPACE
    if labels != NULL:
        if model.loss != CROSS_ENTROPY:
            return FCNN_BAD_LABEL
        for i in range(rows):
            if labels[i] < 0 or labels[i] >= model.layers[model.L].n_out:
                return FCNN_BAD_LABEL
    memset(&task, 0, sizeof(Task))
    lay_out_for(model, &p, workspace, purpose, rows)
    if (rows - 1) % model.lanes < model.lanes // 2:
        # The last panel is half empty: see open_pass. The sums of squares read it, too.
        memset(p.a[0], 0, <char*> p.normalizer - <char*> p.a[0])
    if gradient != NULL:
        p.gradient = gradient
    task.model = model
    task.data.x = x
    task.data.y = y
    task.data.labels = labels
    task.data.weight = sample_weight
    task.data.rows = task.batch_size = rows
    task.p = &p
    task.update = update
    task.backward = True
    run_team(work, &task, 1)
    loss[0] = task.loss
    return FCNN_OK if task.outcome == FINE else FCNN_DIVERGED


cdef int backward_f32(
    const fcnn_network* network, const float* x, const float* y, const int64_t* labels,
    const float* sample_weight, ptrdiff_t rows, double* loss, float* gradient,
    void* workspace, size_t size,
) noexcept nogil:
    if gradient == NULL:
        return FCNN_BAD_ARGUMENT
    return run_step(network, sizeof(float), x, y, labels, sample_weight, rows, NULL, gradient, loss,
                    workspace, size)


cdef int backward_f64(
    const fcnn_network* network, const double* x, const double* y, const int64_t* labels,
    const double* sample_weight, ptrdiff_t rows, double* loss, double* gradient,
    void* workspace, size_t size,
) noexcept nogil:
    if gradient == NULL:
        return FCNN_BAD_ARGUMENT
    return run_step(network, sizeof(double), x, y, labels, sample_weight, rows, NULL, gradient,
                    loss, workspace, size)


cdef bint sound(const fcnn_optimizer* o) noexcept nogil:
    """Whether fcnn.SGD, Adam and AdamW would take these numbers; each comparison refuses NaN."""
    if not (o.lr > 0 and isfinite(o.lr) and o.weight_decay >= 0 and isfinite(o.weight_decay)
            and 0 <= o.steps < INT64_MAX):
        return False
    if o.rule == FCNN_SGD:
        return 0 <= o.momentum < 1 and (o.momentum > 0 or not o.nesterov)
    return ((o.rule == FCNN_ADAM or o.rule == FCNN_ADAMW) and 0 <= o.beta1 < 1 and 0 <= o.beta2 < 1
            and o.epsilon >= 1e-30 and isfinite(o.epsilon))


cdef size_t state_bytes(
    const fcnn_network* network, const fcnn_optimizer* optimizer,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef int vectors = 2
    if network == NULL or optimizer == NULL or not sound(optimizer):
        return 0
    if optimizer.rule == FCNN_SGD:
        vectors = 1 if optimizer.momentum > 0 else 0
    return vectors * (model.n_parameters + SLACK) * model.itemsize


cdef int train_step(
    fcnn_network* network, Py_ssize_t itemsize, const void* x, const void* y,
    const int64_t* labels, const void* sample_weight, Py_ssize_t rows, fcnn_optimizer* optimizer,
    double* loss, void* workspace, size_t size,
) noexcept nogil:
    cdef const Model* model = <const Model*> network
    cdef Update update
    cdef size_t state
    cdef int code
    if network == NULL or optimizer == NULL or not sound(optimizer):
        return FCNN_BAD_ARGUMENT
    state = state_bytes(network, optimizer)
    if state > 0 and optimizer.state == NULL:
        return FCNN_BAD_ARGUMENT
    if optimizer.state_bytes < state:
        return FCNN_SMALL_WORKSPACE
    memset(&update, 0, sizeof(Update))
    update.rule = (SGD if optimizer.rule == FCNN_SGD
                   else ADAM if optimizer.rule == FCNN_ADAM else ADAMW)
    update.lr = optimizer.lr
    update.weight_decay = optimizer.weight_decay
    update.momentum = optimizer.momentum
    update.nesterov = optimizer.nesterov
    update.beta1 = optimizer.beta1
    update.beta2 = optimizer.beta2
    update.epsilon = optimizer.epsilon
    update.step = optimizer.steps
    if state > 0:
        update.first = optimizer.state
    if update.rule != SGD:
        update.second = <char*> optimizer.state + (model.n_parameters + SLACK) * model.itemsize
    code = run_step(network, itemsize, x, y, labels, sample_weight, rows, &update, NULL, loss,
                    workspace, size)
    optimizer.steps = update.step
    return code


cdef int train_step_f32(
    fcnn_network* network, const float* x, const float* y, const int64_t* labels,
    const float* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
    void* workspace, size_t size,
) noexcept nogil:
    return train_step(network, sizeof(float), x, y, labels, sample_weight, rows, optimizer, loss,
                      workspace, size)


cdef int train_step_f64(
    fcnn_network* network, const double* x, const double* y, const int64_t* labels,
    const double* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
    void* workspace, size_t size,
) noexcept nogil:
    return train_step(network, sizeof(double), x, y, labels, sample_weight, rows, optimizer, loss,
                      workspace, size)


cdef int dtype_of(const fcnn_network* network) noexcept nogil:
    return <int> (<const Model*> network).itemsize


cdef ptrdiff_t n_inputs(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).layers[1].n_in


cdef ptrdiff_t n_outputs(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).layers[(<const Model*> network).L].n_out


cdef ptrdiff_t n_parameters(const fcnn_network* network) noexcept nogil:
    return (<const Model*> network).n_parameters


cdef void* parameters_of(fcnn_network* network) noexcept nogil:
    return (<Model*> network).parameters


cdef const char* error_text(int code) noexcept nogil:
    if code == FCNN_OK:
        return "no error"
    if code == FCNN_BAD_ARGUMENT:
        return "an argument is NULL or out of its range"
    if code == FCNN_WRONG_DTYPE:
        return "the network has the other dtype"
    if code == FCNN_SMALL_WORKSPACE:
        return "the workspace or the optimizer's state is too small"
    if code == FCNN_BAD_LABEL:
        return "a label is out of range, or the loss takes none"
    if code == FCNN_DIVERGED:
        return "the loss, the gradient or a weight would not be finite; no update was made"
    return "no code of this version"


cdef fcnn_network* borrow(object network) except NULL:
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fcnn.Network, got {type(network).__name__}")
    if (<Network> network).model.layers == NULL:
        raise RuntimeError("the network has not been initialized")
    return <fcnn_network*> &(<Network> network).model


cdef fcnn_network* load(const char* path, char* message, size_t size) noexcept with gil:
    cdef fcnn_network* handle
    try:
        if path == NULL:
            raise TypeError("path: expected a file's name, got NULL")
        from fcnn.files import load as load_file

        network = load_file(os.fsdecode(<bytes> path))
        handle = borrow(network)
        Py_INCREF(network)
        return handle
    except BaseException as error:
        if message != NULL and size > 0:
            text = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:size - 1]
            text = text.decode("utf-8", "ignore").encode()      # whole characters
            memcpy(message, <const char*> text, len(text))
            message[len(text)] = 0
        return NULL


cdef void release(fcnn_network* network) noexcept with gil:
    if network != NULL:
        Py_DECREF(<object> (<Model*> network).owner)


cdef fcnn_api table
table.abi = FCNN_ABI
table.version = FCNN_VERSION
table.borrow = borrow
table.load = load
table.release = release
table.dtype = dtype_of
table.n_inputs = n_inputs
table.n_outputs = n_outputs
table.n_parameters = n_parameters
table.parameters = parameters_of
table.workspace_bytes = workspace_bytes
table.state_bytes = state_bytes
table.forward_f32 = forward_f32
table.forward_f64 = forward_f64
table.backward_f32 = backward_f32
table.backward_f64 = backward_f64
table.train_step_f32 = train_step_f32
table.train_step_f64 = train_step_f64
table.error_text = error_text


def c_api():
    """Return the table of include/fcnn.h in a capsule."""
    return PyCapsule_New(&table, FCNN_CAPSULE, NULL)
