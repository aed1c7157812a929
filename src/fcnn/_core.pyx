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
b^l. A call of many steps moves it into panels first (core/weights.pxi). Samples go through the
network by panels (kernels/products.pxd): z, a and delta of a layer are (n_l, lanes) for each panel
of `lanes` samples, so that one register holds one node of many samples (of up to 3 rows: rows.pxi).

A step has two phases. First the samples: each thread takes some panels through the forward pass,
the loss and the delta recursion. Then the weights: each thread takes some tiles of the weight
gradients, over all samples, and updates the weights of a tile while its gradient is at hand. No sum
is split between threads, so their number changes no bit of the result.

Who calls whom, from the outside in:

    Network.predict > compute               core/prediction.pxi
      predict_row                           core/rows.pxi       up to 3 rows, on the stack
      predict_many > run > thread_main      core/run.pxi
        predict_blocks > forward_layer        or predict_in_place     core/in_place.pxi
    DifferentiatedNetwork.jacobian, ...     core/differentiated.pxi
      run > differentiate                   core/derivatives.pxi, jacobian, ..., sobolev
    CheckedNetwork.train_step, ...          core/checked.pxi    what users give
    Network._train_epoch, gradients, ...     core/network.pxi
      pass_once > run > thread_main         core/run.pxi
        run_batches                         core/run.pxi        or run_exchange, core/exchange.pxi
          tiny_block                        core/tiny.pxi       all that follows, of a tiny network
          sample_phase                      here
            forward_layer                   or forward_rows, forward_lists
            output_panel                core/loss.pxi
            delta_layer                     or deltas_of_rows
          weight_phase                      here
            gradient_tiles                  or outer_products   core/rows.pxi
                                            or list_gradient    core/sparse.pxi
              apply_or_accumulate
          finish_gradient, update_all       core/whole_gradient.pxi
    train_many > run_team > share_out       core/many.pxi       many networks, by the same ways, or
      run_together                          core/lockstep.pxi   several at once
    fcnn_api (include/fcnn.h)               core/c_interface.pxi, by the same ways

This file holds what the lecture derives; its includes hold the rest, all in one module: they are
text, put in where they are named. The kernels, by concept, are in kernels/. The whole is compiled
once per instruction set (kernels/isa.h); _dispatch.py chooses. reference/ does the same in NumPy,
with the same names and signatures.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_AsDouble, PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.object cimport PyObject_GenericSetAttr
from cpython.ref cimport Py_INCREF, Py_DECREF, PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GetItem
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport UINT32_MAX, int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fcnn.kernels cimport activations, lockstep, losses, tiny, updates
from fcnn.kernels.activations cimport Activation, any_activation
from fcnn.kernels.dropout cimport drop, layer_key
from fcnn.kernels.elementary cimport (
    error_function, exponential, exponential_minus_1, hyperbolic_tangent, logarithm,
    logarithm_of_1_plus, sigmoid,
)
from fcnn.kernels.isa cimport BYTES, FLOATS, ISA_NAME, MR, NR, PACKED_NODES, SLACK, VECTORS
from fcnn.kernels.limit cimport limit_entries, multiply_adds as limit_loop, per_turn
from fcnn.kernels.losses cimport (
    GIVEN, GIVEN_DELTA, Loss, any_loss, gives_dC_dz, is_given, label_loss,
)
from fcnn.kernels.pages cimport large_pages
from fcnn.kernels.products cimport (
    A_COLUMNS, A_PANELS, A_ROWS, BLOCK_TERMS, MOST_NARROW_BYTES, SGD_UPDATE, STORE, Tiles,
    add_wide_rows, end_of_block, micro_tile, narrow_row_product, shared_by_tiles, sum_of_squares,
    transposed_row_products,
)
from fcnn.kernels.real cimport SPECIALIZED, multiply_add, real, trap
from fcnn.kernels.sparse cimport (
    LIST_VECTORS, List, add_listed, column_product, compress, count_nonzero, descend_listed,
    list_columns, list_product, most_panels, product_without_zeros,
)
from fcnn.kernels.threads cimport (
    BARRIERS_PER_LOOK, Team, barrier, current_cpu, may_use_cpu, next_item, others_run, request_stop,
    run_team, stop_requested,
)
from fcnn.kernels.updates cimport (
    DECAY, DESCENT, NUM_CONSTANTS, PLAIN, Rule, RuleConstants, at_rate, cannot_overflow, form_of,
    rule_constants, state_vectors, update_ahead, update_outer, update_rows, valid_rule,
)
from fcnn.kernels.vector cimport prefetch, prefetch_later, transpose

import os

import numpy as np

from fcnn.errors import ADVICE as _ADVICE, DivergenceError, nonfinite_parameter

cnp.import_array()

include "core/model.pxi"
include "core/signals.pxi"
include "core/trainable.pxi"
include "core/panels.pxi"
include "core/workspace.pxi"
include "core/weights.pxi"
include "core/norms.pxi"
include "core/arrays.pxi"
include "core/conversion.pxi"
include "core/together.pxi"
include "core/loss.pxi"

# --- Activations: a = sigma(z) ---------------------------------------------------------------
#
# Compiled once, not into each of their callers: the eleven loops were a fourth of the core's code.

cdef void activate(
    const Layer* layer, const real* z, real* a, Py_ssize_t count,
) noexcept nogil:
    """a = sigma(z) of each node alone: see core/together.pxi; a may be z itself."""
    any_activation(layer.activation, False, <real> layer.alpha, z, a, <real*> NULL, count)


cdef void multiply_by_derivative(
    const Layer* layer, const real* z, const real* a, real* delta, Py_ssize_t count,
) noexcept nogil:
    """delta <- delta sigma'(z), likewise."""
    any_activation(layer.activation, True, <real> layer.alpha, z, <real*> a, delta, count)


# --- Forward pass ----------------------------------------------------------------------------

cdef void forward_layer(
    const Layer* layer, const real* parameters,
    const real* a_previous,     # IN a^(l-1): panels (n_(l-1), lanes)
    real* z, real* a,           # OUT panels (n_l, lanes); may be the same
    real* normalizer,           # OUT (rows,) of the softmax, or NULL
    Py_ssize_t rows, Py_ssize_t lanes,
    Py_ssize_t first, Py_ssize_t end,   # nodes of l; all of them if they go together
    real* packed, Worker* w,
) noexcept nogil:
    """z^l = W^l a^(l-1) + b^l;  a^l = sigma(z^l)."""
    cdef Py_ssize_t n_in = layer.n_in, n_out = layer.n_out, panels = (rows + lanes - 1) // lanes
    cdef Py_ssize_t size, p, t, i, at, height, stride = layer.row_stride
    cdef bint copied = is_copied(layer, panels, sizeof(real))
    cdef Py_ssize_t most = NR if stride == NR and not copied else PACKED_NODES
    cdef Tiles tiles
    cdef const real* W
    cdef const real* A
    while first < end:
        size = min(most, end - first)
        tiles = shared_by_tiles(size)
        W = parameters + weight_at(layer, 0, first)
        if copied:
            copy_strips(layer, W, &tiles, packed)
        for p in range(panels):
            at = (p * n_out + first) * lanes
            i = 0
            for t in range(tiles.count):
                height = tiles.low + 1 if t < tiles.more else tiles.low
                A = W + i
                if copied:
                    A = packed + i * (n_in + 1)
                micro_tile(A_COLUMNS, height, rows - p * lanes <= lanes // 2, A,
                           height if copied else stride, 0, 0, a_previous + p * n_in * lanes,
                           z + at + i * lanes, lanes, n_in, parameters + layer.b + first + i,
                           STORE, 0, 0)
                i += height
            if not is_together(layer):
                activate(layer, <const real*> z + at, a + at, size * lanes)
        first += size
        if should_stop(w, rows * size * (n_in + WORK_PER_ACTIVATION)):
            return
    if is_together(layer):
        for p in range(panels):
            activate_together(layer, <const real*> z + p * n_out * lanes, a + p * n_out * lanes,
                              normalizer + p * lanes if normalizer != NULL else NULL, lanes)


# --- Delta recursion -------------------------------------------------------------------------

cdef void delta_layer(
    const Layer* layer,         # layer l
    const Layer* previous,      # layer l - 1
    const real* parameters,
    const real* delta,          # IN delta^l: panels (n_l, lanes)
    const real* z_previous,     # IN z^(l-1): panels, read only where sigma' needs it
    const real* a_previous,     # IN a^(l-1)
    real* delta_previous,       # OUT delta^(l-1): panels (n_(l-1), lanes)
    Py_ssize_t rows, Py_ssize_t lanes, real* packed, Worker* w,
) noexcept nogil:
    """delta^(l-1)_j = sigma'(z^(l-1)_j) sum_k delta^l_k W^l_kj."""
    cdef Py_ssize_t n_in = layer.n_in, n_out = layer.n_out, panels = (rows + lanes - 1) // lanes
    cdef Py_ssize_t first = 0, size, p, t, i, at, height, stride = layer.row_stride
    cdef Py_ssize_t run = NR, jump = layer.panel_stride - NR
    cdef bint copied = stride == NR and n_out > NR and is_copied(layer, panels, sizeof(real))
    cdef Tiles tiles
    cdef const real* W
    if copied:
        stride = (n_out + NR - 1) // NR * NR + NR   # no multiple of 4 KB
    if copied or jump == 0:
        run = BLOCK_TERMS
        jump = 0
    while first < n_in:
        size = min(<Py_ssize_t> NODES_OF_DELTA, n_in - first)
        tiles = shared_by_tiles(size)
        W = parameters + weight_at(layer, first, 0)
        if copied:
            copy_rows(layer, W, size, packed, stride)
            W = packed
        for p in range(panels):
            at = (p * n_in + first) * lanes
            i = 0
            for t in range(tiles.count):
                height = tiles.low + 1 if t < tiles.more else tiles.low
                micro_tile(A_ROWS, height, rows - p * lanes <= lanes // 2, W + i * stride, stride,
                           run, jump, delta + p * n_out * lanes,
                           delta_previous + at + i * lanes, lanes, n_out, <const real*> NULL,
                           STORE, 0, 0)
                i += height
            multiply_by_derivative(previous, z_previous + at, a_previous + at,
                                   delta_previous + at, size * lanes)
        first += size
        if should_stop(w, rows * size * (n_out + WORK_PER_ACTIVATION)):
            return


# --- Gradients -------------------------------------------------------------------------------

cdef void gradient_tiles(
    const Layer* layer,
    const real* a_previous,     # IN a^(l-1): panels of samples (n_(l-1), lanes)
    const real* delta_rows,     # IN delta^l: panels of nodes (block, lanes)
    Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t j, Py_ssize_t count,     # which nodes of layer l - 1,
    Py_ssize_t k,               # and from which node of l on, a panel of them
    real* parameters,           # OUT, W updated by constants[0] and b by constants[1]; or,
    const RuleConstants* constants,     # where these are NULL,
    real* gradient, bint add,   # OUT
    Ahead* ahead,
) noexcept nogil:
    """dW^l_kj = sum_s delta^l_k a^(l-1)_j;  db^l_k = sum_s delta^l_k;  and their update."""
    cdef real sums[MR * NR]
    cdef Py_ssize_t columns = min(lanes, layer.n_out - k), stride = layer.row_stride
    cdef Py_ssize_t t, i, first = j, height, at
    cdef Py_ssize_t from_panel = (layer.n_in - 1) * lanes
    cdef Tiles tiles = shared_by_tiles(count)
    cdef const real* delta = delta_rows + k * block
    cdef const Rule* rule = constants.rule if constants != NULL else NULL
    cdef real descent = <real> constants.c[DESCENT] if constants != NULL else 0
    cdef real decay = <real> constants.c[DECAY] if constants != NULL else 0
    cdef bint plain, large = is_large(layer, sizeof(real))
    if stride == NR:            # in panels the padding makes whole tiles
        columns = lanes // 2 if columns <= lanes // 2 else lanes
    plain = (constants != NULL and form_of(rule) == PLAIN
             and (columns == lanes or columns == lanes // 2))
    for t in range(tiles.count):
        height = tiles.low + 1 if t < tiles.more else tiles.low
        at = weight_at(layer, first, k)
        prefetch_rows(ahead)
        if constants != NULL and (stride != NR or large):
            # A tile's weights, and what the optimizer keeps of them, come from memory while its
            # sums are computed. In rows they are a row of W apart, which no CPU foresees; in panels
            # a tile's are too short a piece (1024 x 1024, 256 samples: 3 to 4 %).
            for i in range(height):
                prefetch(parameters + at + i * stride)
                if rule.first != NULL:
                    prefetch(<real*> rule.first + at + i * stride)
                if rule.second != NULL:
                    prefetch(<real*> rule.second + at + i * stride)
        if plain:
            micro_tile(A_PANELS, height, columns < lanes, a_previous + first * lanes, lanes, lanes,
                       from_panel, delta, parameters + at, stride, rows, <const real*> NULL,
                       SGD_UPDATE, descent, decay)
        else:
            micro_tile(A_PANELS, height, columns <= lanes // 2, a_previous + first * lanes, lanes,
                       lanes, from_panel, delta, &sums[0], lanes, rows, <const real*> NULL,
                       STORE, 0, 0)
            apply_or_accumulate(at, stride, &sums[0], height, columns, lanes, parameters,
                                constants, gradient, add)
        first += height
    if j == 0:
        bias_gradient(layer, delta_rows, rows, block, lanes, k, parameters, constants, gradient,
                      add)


cdef void bias_gradient(
    const Layer* layer, const real* delta_rows, Py_ssize_t rows, Py_ssize_t block, Py_ssize_t lanes,
    Py_ssize_t k, real* parameters, const RuleConstants* constants, real* gradient, bint add,
) noexcept nogil:
    """db^l_k = sum_s delta^l_k of a panel of nodes, and its update: see gradient_tiles."""
    cdef real sums[NR]
    cdef real some[NR]
    cdef Py_ssize_t i = 0, s, c
    cdef const real* delta = delta_rows + k * block
    # Panel by panel: one running sum over all rows loses a digit for every ten-fold of them.
    for c in range(lanes):
        sums[c] = 0
    while i < rows:
        for c in range(lanes):
            some[c] = delta[i * lanes + c]
        for s in range(i + 1, min(i + lanes, rows)):
            for c in range(lanes):
                some[c] += delta[s * lanes + c]
        for c in range(lanes):
            sums[c] += some[c]
        i += lanes
    apply_or_accumulate(layer.b + k, 0, &sums[0], 1, min(lanes, layer.n_out - k), lanes,
                        parameters, constants + 1 if constants != NULL else NULL, gradient, add)


cdef void apply_or_accumulate(
    Py_ssize_t at, Py_ssize_t stride,   # where in the flat vectors, and how far to the next row
    const real* sums, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lanes,
    real* parameters, const RuleConstants* constants, real* gradient, bint add,
) noexcept nogil:
    """Update parameters with some sums of the gradient, or keep these where constants is NULL."""
    cdef Py_ssize_t _i, c
    if constants != NULL:
        if constants.rate != 0:
            update_rows(constants, parameters, at, stride, sums, lanes, rows, columns)
        return
    for _i in range(rows):
        if add:
            for c in range(columns):
                gradient[at + c] += sums[c]
        else:
            memcpy(gradient + at, sums, columns * sizeof(real))
        at += stride
        sums += lanes


# --- The two phases of a step ----------------------------------------------------------------

cdef void sample_phase(
    Worker* w, const Samples* block, double scale,
    Py_ssize_t done,            # rows of the call before the block
    Py_ssize_t first, Py_ssize_t last,  # panels
    bint ahead,                 # see forward_rows
    const real* tag,
) noexcept nogil:
    """Forward pass, loss and delta recursion of some panels of a block."""
    cdef const Model* model = w.call.model
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t lanes = model.lanes, L = model.L, l, i, at
    cdef Py_ssize_t rows = min(block.rows, last * lanes) - first * lanes
    cdef const real* parameters = <const real*> model.parameters
    cdef const Layer* layer
    cdef Scratch scratch = scratch_of(ws, model, w.index)
    cdef bint by_nodes = first_layer_by_nodes(w, block.rows), begun     # with layer 1
    if rows <= 0 and not by_nodes:
        return
    if ws.inputs != PANELS:
        begin_lists(ws, &scratch, model.layers[1].n_in, first * lanes, tag)
    if row_by_row(w, block.rows):
        forward_rows(model, block, ws, &scratch, ahead, w, tag)
        if w.stop:
            return
    else:
        if ws.inputs == PANELS:
            panels_of_inputs(model, block, ws, first, last, tag)
            drop_layer(w, 0, first, last, tag)
        elif by_nodes:
            list_samples(w, block, &scratch, first, last, tag)
        else:
            forward_lists(w, block, &scratch, first, last, tag)
        if by_nodes:
            if stop_at_barrier(w):
                return
            if ws.inputs == PANELS:
                forward_layer(
                    &model.layers[1], parameters, <const real*> ws.a[0], <real*> ws.z[1],
                    <real*> ws.a[1], <real*> NULL, block.rows, lanes, nodes_from(w, w.index),
                    nodes_from(w, w.index + 1), <real*> scratch.packed, w)
            else:
                forward_together(w, block, &scratch, 0, (block.rows + lanes - 1) // lanes,
                                 nodes_from(w, w.index), nodes_from(w, w.index + 1), tag)
            if stop_at_barrier(w) or rows <= 0:
                return
        if w.stop:
            return
        begun = ws.inputs != PANELS or by_nodes
        if begun and L > 1:
            drop_layer(w, 1, first, last, tag)
        for l in range(2 if begun else 1, L + 1):
            layer = &model.layers[l]
            forward_layer(
                layer, parameters, <const real*> ws.a[l - 1] + first * layer.n_in * lanes,
                <real*> ws.z[l] + first * layer.n_out * lanes,
                <real*> ws.a[l] + first * layer.n_out * lanes,
                <real*> ws.normalizer + first * lanes, rows, lanes, 0, layer.n_out,
                <real*> scratch.packed, w)
            if l < L:
                drop_layer(w, l, first, last, tag)
            if w.stop:
                return
    if w.call.own != NULL and ask_at_outputs(w, block, first, last, tag):
        return
    for i in range(first, last):
        at = i * model.layers[L].n_out * lanes
        ws.costs[i] = output_panel(
            w.call, block, scale, i * lanes, lanes, <const real*> ws.z[L] + at,
            <const real*> ws.a[L] + at, <const real*> ws.normalizer + i * lanes,
            <real*> ws.delta[L] + at if w.call.backward else <real*> NULL, <real*> scratch.y)
    if w.call.backward and row_by_row(w, block.rows):
        deltas_of_rows(w, rows, &scratch, tag)
    elif w.call.backward:
        for l in range(L, lowest_trainable(&w.call.options), -1):
            layer = &model.layers[l]
            delta_layer(
                layer, &model.layers[l - 1], parameters,
                <const real*> ws.delta[l] + first * layer.n_out * lanes,
                <const real*> ws.z[l - 1] + first * layer.n_in * lanes,
                <const real*> (ws.a[l - 1] if ws.mask[l - 1] == NULL else ws.z[l - 1])
                + first * layer.n_in * lanes,
                <real*> ws.delta[l - 1] + first * layer.n_in * lanes, rows, lanes,
                <real*> scratch.packed, w)
            if ws.mask[l - 1] != NULL:
                multiply(
                    <const real*> ws.mask[l - 1] + first * layer.n_in * lanes,
                    <real*> ws.delta[l - 1] + first * layer.n_in * lanes,
                    (last - first) * layer.n_in * lanes)
            if w.stop:
                return
        if w.call.equations == NULL:
            for i in range(first, last):
                deltas_to_rows(w, block.rows, i, tag)
    copy_out(w.call, block, done, first, last, tag)


cdef void weight_phase(
    Worker* w, Py_ssize_t rows, const RuleConstants* constants, bint add,
    const real* next,           # IN (n_0,) what outer_products may multiply in advance, or NULL
    Py_ssize_t top, Py_ssize_t lowest,  # which layers
    Ahead* ahead,
    const real* tag,
) noexcept nogil:
    """Gradients of layers over a block of samples, updates unless constants is NULL."""
    cdef const Model* model = w.call.model
    cdef const Options* options = &w.call.options
    cdef Workspace* ws = w.call.workspace
    cdef Py_ssize_t lanes = model.lanes, l, j, k, index = 0, mine = next_item(w.team), count
    cdef Py_ssize_t k_end
    cdef const Layer* layer
    cdef Scratch scratch = scratch_of(ws, model, w.index)
    cdef RuleConstants own[2]
    cdef const RuleConstants* of_layer
    cdef bint by_nodes = (
        lowest == 1 and first_layer_by_nodes(w, rows) and rate_of(options, 1, False) > 0)
    cdef bint by_row = row_by_row(w, rows), by_lists, of_biases
    if by_row:
        prefetch_rows(ahead)
    if ws.inputs != PANELS:
        memset(scratch.begun, 0, rows * sizeof(int64_t))
    if by_nodes:
        layer = &model.layers[1]
        of_layer = constants_of(options, 1, constants, own)
        j = 0
        while j < layer.n_in:
            count = min(ws.nodes_per_item, layer.n_in - j)
            k = nodes_from(w, w.index)
            k_end = nodes_from(w, w.index + 1)
            if ws.inputs != PANELS:
                list_gradient(w, &scratch, rows, j, count, k, k_end, of_layer, add, ahead, tag)
                if constants == NULL and should_stop(w, rows * count * (k_end - k)):
                    return
                k = k_end
            while k < k_end:
                gradient_tiles(
                    layer, <const real*> ws.a[0], <const real*> ws.delta_rows[1], rows,
                    ws.rows, lanes, j, count, k, <real*> model.parameters,
                    of_layer, <real*> ws.gradient, add, ahead)
                if constants == NULL and should_stop(w, rows * count * lanes):
                    return
                k += lanes
            j += count
    for l in range(top, max(lowest_trainable(options), lowest + by_nodes) - 1, -1):
        layer = &model.layers[l]
        of_layer = constants_of(options, l, constants, own)
        of_biases = rate_of(options, l, False) == 0
        by_lists = l == 1 and ws.inputs != PANELS
        j = 0
        while j < layer.n_in:
            k = 0
            count = (layer.n_in if of_biases else
                     min(ws.nodes_per_item if by_lists else NODES_PER_ITEM, layer.n_in - j))
            if of_biases or by_lists or by_row:
                if index == mine:
                    if of_biases:
                        bias_gradients(layer, ws, rows, <const real*> ws.delta_rows[l],
                                       <real*> model.parameters, of_layer, add)
                    elif by_lists:
                        list_gradient(w, &scratch, rows, j, count, 0, layer.n_out, of_layer, add,
                                      ahead, tag)
                    else:
                        outer_products(
                            layer, <const real*> ws.a[l - 1], <const real*> ws.delta_rows[l],
                            rows, ws.rows, lanes, j, count, <real*> model.parameters, of_layer,
                            <real*> ws.gradient, next if l == 1 else <const real*> NULL,
                            &scratch)
                    mine = next_item(w.team)
                    if constants == NULL and should_stop(w, rows * count * lanes):
                        return
                index += 1
                k = layer.n_out
            while k < layer.n_out:
                if index == mine:
                    gradient_tiles(
                        layer, <const real*> ws.a[l - 1], <const real*> ws.delta_rows[l], rows,
                        ws.rows, lanes, j, count, k, <real*> model.parameters,
                        of_layer, <real*> ws.gradient, add, ahead)
                    mine = next_item(w.team)
                    if constants == NULL and should_stop(w, rows * count * lanes):
                        return
                index += 1
                k += lanes
            j += count


include "core/sparse.pxi"
include "core/rows.pxi"
include "core/whole_gradient.pxi"
include "core/dropout.pxi"
include "core/in_place.pxi"
include "core/derivatives.pxi"
include "core/jacobian.pxi"
include "core/second_derivatives.pxi"
include "core/sobolev.pxi"
include "core/normal_equations.pxi"
include "core/run.pxi"
include "core/exchange.pxi"
include "core/shared_sum.pxi"
include "core/tiny.pxi"
include "core/network.pxi"
include "core/prediction.pxi"
include "core/rule.pxi"
include "core/second_order.pxi"
include "core/checked.pxi"
include "core/own.pxi"
include "core/differentiated.pxi"
include "core/shuffle.pxi"
include "core/lockstep.pxi"
include "core/many.pxi"
include "core/c_interface.pxi"
include "core/diagnostics.pxi"
