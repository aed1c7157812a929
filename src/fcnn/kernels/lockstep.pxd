"""Steps of several small networks at once: the lanes of a register are networks.

Each lane has the arithmetic of its own network and nothing of the others', so a network has the
bits that it has alone. W^l is (n_(l-1), n_l, networks), as many networks as fill a register. What
there is of a layer's samples stands by panels of VECTORS samples, (n_l, VECTORS, networks): as wide
as a panel of samples is elsewhere, so that activations and losses are those of all other ways.

    product     z_sk = b_k + sum_j a_sj W_jk        forward pass, and delta recursion without a bias
    gradient    g_jk = sum_s a_sj delta_sk
    bias_sums   g_k  = sum_s delta_sk
    descend     the update, of which every lane has constants of its own

Sums add their terms in the order of kernels/products.pxd; there are no more than a block has there.
Nothing is padded but samples, to whole tiles of four.
"""

from fcnn.kernels.isa cimport BYTES, NR, VECTORS
from fcnn.kernels.products cimport squares as squares_of
from fcnn.kernels.real cimport SPECIALIZED, real, trap
from fcnn.kernels.updates cimport (
    MOMENTS, NESTEROV, NUM_CONSTANTS, PLAIN, VELOCITY, Form, update_vector,
)
from fcnn.kernels.vector cimport (
    double_vector, float_vector, is_above, load, load_once, spread, store, unless_less, vector,
    vector_multiply_add,
)

cdef enum:
    # Samples and nodes of a tile of the products: eight sums, enough to hide the time of a
    # multiply-add, and six numbers beside them fit all register files. Of 32 registers with
    # AVX-512 as many again leave the ends of half as many tiles.
    TILE_SAMPLES = 4
    TILE_NODES = 2
    WIDE_TILE_NODES = 4
    # Nodes of l - 1 in a tile of the gradient, beside as many of l.
    GRADIENT_NODES = 4


cdef enum:
    HAS_WIDE_TILES = BYTES == 64


cdef enum Ending:               # what becomes of the sums, beside being stored
    SUMS                        # nothing
    CUT                         # 0 below `threshold`,
    MASKED                      # or where a <= threshold; and their squares are added up


cdef inline void product_tile(
    Ending ending, bint with_bias, Py_ssize_t nodes,    # constant at every call
    const real* A, Py_ssize_t A_panel, const real* W, Py_ssize_t term, Py_ssize_t node,
    const real* bias, real* C, Py_ssize_t C_panel, const real* a, Py_ssize_t depth,
    vector threshold, vector* squares, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, i, k, _j, at
    cdef vector total[TILE_SAMPLES][WIDE_TILE_NODES]
    cdef vector w[WIDE_TILE_NODES]
    cdef vector some[TILE_SAMPLES]  # sums of squares: of one, each would wait for the one before
    cdef vector x
    for i in range(TILE_SAMPLES):
        for k in range(nodes):
            total[i][k] = load(bias + k * one, tag) if with_bias else spread(<real> 0, tag)
    for _j in range(depth):
        for k in range(nodes):
            w[k] = load(W + k * node, tag)
        for i in range(TILE_SAMPLES):
            x = load_once(A + i // VECTORS * A_panel + i % VECTORS * one, tag)
            for k in range(nodes):
                total[i][k] = vector_multiply_add(x, w[k], total[i][k])
        W += term
        A += lanes
    for i in range(TILE_SAMPLES):
        for k in range(nodes):
            at = i // VECTORS * C_panel + k * lanes + i % VECTORS * one
            x = total[i][k]
            if ending == CUT:
                x = unless_less(x, threshold)
            elif ending == MASKED:
                x = x * is_above(load(a + at, tag), threshold)
            if ending != SUMS:
                some[i] = x * x if k == 0 else vector_multiply_add(x, x, some[i])
            store(C + at, x)
    if ending != SUMS:
        squares[0] += (some[0] + some[1]) + (some[2] + some[3])


cdef inline void any_product(
    Ending ending, bint with_bias,      # constant at every call
    const real* A, Py_ssize_t depth, const real* W, Py_ssize_t term, Py_ssize_t node,
    const real* bias, real* C, Py_ssize_t nodes, const real* a, Py_ssize_t samples,
    real threshold, real* squares, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, i, k
    cdef Py_ssize_t A_panel = depth * lanes, C_panel = nodes * lanes, at
    cdef vector t = spread(threshold, tag)
    cdef vector sum_of_squares = spread(<real> 0, tag)
    i = 0
    while i < samples:
        at = i // VECTORS * C_panel
        k = 0
        while HAS_WIDE_TILES and k + WIDE_TILE_NODES <= nodes:
            product_tile(ending, with_bias, WIDE_TILE_NODES, A, A_panel, W + k * node, term, node,
                         bias + k * one, C + at + k * lanes, C_panel, a + at + k * lanes, depth, t,
                         &sum_of_squares, tag)
            k += WIDE_TILE_NODES
        while k + TILE_NODES <= nodes:
            product_tile(ending, with_bias, TILE_NODES, A, A_panel, W + k * node, term, node,
                         bias + k * one, C + at + k * lanes, C_panel, a + at + k * lanes, depth, t,
                         &sum_of_squares, tag)
            k += TILE_NODES
        if k < nodes:
            product_tile(ending, with_bias, 1, A, A_panel, W + k * node, term, node,
                         bias + k * one, C + at + k * lanes, C_panel, a + at + k * lanes, depth, t,
                         &sum_of_squares, tag)
        A += TILE_SAMPLES // VECTORS * A_panel
        i += TILE_SAMPLES
    if ending != SUMS:
        store(squares, load(squares, tag) + sum_of_squares)


cdef inline void product(
    Ending ending, bint with_bias,      # constant at every call
    const real* A, Py_ssize_t depth,    # IN panels (depth, lanes) of samples
    const real* W,                      # IN of term j and node k the networks' weights, which stand
    Py_ssize_t term, Py_ssize_t node,   # j * term + k * node behind
    const real* bias,                   # IN (nodes, networks), where there is one
    real* C, Py_ssize_t nodes,          # OUT panels (nodes, lanes) of samples
    const real* a,                      # IN likewise, of MASKED
    Py_ssize_t samples,                 # rounded up to whole tiles
    real threshold,
    real* squares,                      # IN, OUT (networks,) sums of squares, but of SUMS
) noexcept nogil:
    if real is float:
        any_product(ending, with_bias, A, depth, W, term, node, bias, C, nodes, a, samples,
                    threshold, squares, <float_vector*> NULL)
    else:
        any_product(ending, with_bias, A, depth, W, term, node, bias, C, nodes, a, samples,
                    threshold, squares, <double_vector*> NULL)


cdef inline void add_squares(
    const real* x, Py_ssize_t count,    # IN (count, lanes)
    real* sums,                 # IN, OUT (networks,)
) noexcept nogil:
    if real is float:
        store(sums, load(sums, <float_vector*> NULL) + squares_of(x, count, <float_vector*> NULL))
    else:
        store(sums, load(sums, <double_vector*> NULL) + squares_of(x, count, <double_vector*> NULL))


cdef inline void gradient_tile(
    Py_ssize_t emitting, Py_ssize_t receiving,      # constant at every call
    const real* A, Py_ssize_t A_panel, const real* D, Py_ssize_t D_panel, Py_ssize_t samples,
    real* G, Py_ssize_t G_row, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, j, k, s, r
    cdef vector total[GRADIENT_NODES * WIDE_TILE_NODES]
    for j in range(emitting):
        for k in range(receiving):
            total[j * WIDE_TILE_NODES + k] = spread(<real> 0, tag)
    s = VECTORS
    while s <= samples:
        for r in range(VECTORS):
            add_sample(emitting, receiving, A + r * one, D + r * one, lanes, &total[0], tag)
        A += A_panel
        D += D_panel
        s += VECTORS
    for r in range(samples % VECTORS):
        add_sample(emitting, receiving, A + r * one, D + r * one, lanes, &total[0], tag)
    for j in range(emitting):
        for k in range(receiving):
            store(G + j * G_row + k * one, total[j * WIDE_TILE_NODES + k])


cdef inline void add_sample(
    Py_ssize_t emitting, Py_ssize_t receiving,      # constant at every call
    const real* A, const real* D, Py_ssize_t lanes, vector* total, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef vector d[WIDE_TILE_NODES]
    cdef vector x
    for k in range(receiving):
        d[k] = load(D + k * lanes, tag)
    for j in range(emitting):
        x = load_once(A + j * lanes, tag)
        for k in range(receiving):
            total[j * WIDE_TILE_NODES + k] = vector_multiply_add(
                x, d[k], total[j * WIDE_TILE_NODES + k])


cdef inline void gradient_column(
    Py_ssize_t receiving,       # constant at every call
    const real* A, Py_ssize_t emitting, const real* D, Py_ssize_t D_panel, Py_ssize_t samples,
    real* G, Py_ssize_t G_row, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t lanes = VECTORS * (BYTES // <Py_ssize_t> sizeof(real)), j = 0
    cdef Py_ssize_t A_panel = emitting * lanes
    while j + GRADIENT_NODES <= emitting:
        gradient_tile(GRADIENT_NODES, receiving, A + j * lanes, A_panel, D, D_panel, samples,
                      G + j * G_row, G_row, tag)
        j += GRADIENT_NODES
    while j < emitting:
        gradient_tile(1, receiving, A + j * lanes, A_panel, D, D_panel, samples,
                      G + j * G_row, G_row, tag)
        j += 1


cdef inline void any_gradient(
    const real* A, Py_ssize_t emitting, const real* D, Py_ssize_t receiving, Py_ssize_t samples,
    real* G, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, k = 0
    while HAS_WIDE_TILES and k + WIDE_TILE_NODES <= receiving:
        gradient_column(WIDE_TILE_NODES, A, emitting, D + k * lanes, receiving * lanes, samples,
                        G + k * one, receiving * one, tag)
        k += WIDE_TILE_NODES
    while k + TILE_NODES <= receiving:
        gradient_column(TILE_NODES, A, emitting, D + k * lanes, receiving * lanes, samples,
                        G + k * one, receiving * one, tag)
        k += TILE_NODES
    if k < receiving:
        gradient_column(1, A, emitting, D + k * lanes, receiving * lanes, samples,
                        G + k * one, receiving * one, tag)


cdef inline void gradient(
    const real* A, Py_ssize_t emitting,     # IN panels (emitting, lanes) of samples,
    const real* D, Py_ssize_t receiving,    # IN (receiving, lanes)
    Py_ssize_t samples,
    real* G,                    # OUT (emitting, receiving, networks)
) noexcept nogil:
    if real is float:
        any_gradient(A, emitting, D, receiving, samples, G, <float_vector*> NULL)
    else:
        any_gradient(A, emitting, D, receiving, samples, G, <double_vector*> NULL)


cdef inline void bias_tile(
    Py_ssize_t nodes,           # constant at every call
    const real* D, Py_ssize_t D_panel, Py_ssize_t samples, real* G, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, k, s = 0, last
    cdef const real* at
    cdef vector total[GRADIENT_NODES]
    cdef vector some[GRADIENT_NODES]
    for k in range(nodes):
        total[k] = spread(<real> 0, tag)
    while s < samples:
        last = min(s + lanes, samples)
        for k in range(nodes):
            some[k] = load(D + s // VECTORS * D_panel + k * lanes, tag)
        s += 1
        while s < last:
            at = D + s // VECTORS * D_panel + s % VECTORS * one
            for k in range(nodes):
                some[k] += load(at + k * lanes, tag)
            s += 1
        for k in range(nodes):
            total[k] += some[k]
    for k in range(nodes):
        store(G + k * one, total[k])


cdef inline void any_bias_sums(
    const real* D, Py_ssize_t receiving, Py_ssize_t samples, real* G, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), lanes = VECTORS * one, k = 0
    while k + GRADIENT_NODES <= receiving:
        bias_tile(GRADIENT_NODES, D + k * lanes, receiving * lanes, samples, G + k * one, tag)
        k += GRADIENT_NODES
    while k < receiving:
        bias_tile(1, D + k * lanes, receiving * lanes, samples, G + k * one, tag)
        k += 1


cdef inline void bias_sums(
    const real* D, Py_ssize_t receiving,    # IN panels (receiving, lanes) of samples
    Py_ssize_t samples,
    real* G,                    # OUT (receiving, networks)
) noexcept nogil:
    """By as many samples as a panel has elsewhere, as the gradient of a bias is."""
    if real is float:
        any_bias_sums(D, receiving, samples, G, <float_vector*> NULL)
    else:
        any_bias_sums(D, receiving, samples, G, <double_vector*> NULL)


cdef inline void descend_in_form(
    Form form,                  # constant at every call
    const real* constants, real* p, const real* g, real* first, real* second, Py_ssize_t count,
    const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t one = BYTES // <Py_ssize_t> sizeof(real), i, _i, at = 0
    cdef vector c[NUM_CONSTANTS]
    for i in range(NUM_CONSTANTS):
        c[i] = load(constants + i * one, tag)
    for _i in range(count):
        update_vector(form, c, p + at, load(g + at, tag), first + at, second + at, one, True, tag)
        at += one


cdef inline void descend_any(
    Form form, const real* constants, real* p, const real* g, real* first, real* second,
    Py_ssize_t count, const vector* tag,
) noexcept nogil:
    """Name the form of the rule, which makes it a constant."""
    if not SPECIALIZED:
        descend_in_form(form, constants, p, g, first, second, count, tag)
    elif form == PLAIN:
        descend_in_form(PLAIN, constants, p, g, first, second, count, tag)
    elif form == VELOCITY:
        descend_in_form(VELOCITY, constants, p, g, first, second, count, tag)
    elif form == NESTEROV:
        descend_in_form(NESTEROV, constants, p, g, first, second, count, tag)
    elif form == MOMENTS:
        descend_in_form(MOMENTS, constants, p, g, first, second, count, tag)
    else:
        trap()


cdef inline void descend(
    Form form,
    const real* constants,      # IN (NUM_CONSTANTS, networks)
    real* p,                    # IN, OUT (count, networks), and likewise
    const real* g,              # IN
    real* first, real* second,  # IN, OUT those of them that the form has
    Py_ssize_t count,
) noexcept nogil:
    if real is float:
        descend_any(form, constants, p, g, first, second, count, <float_vector*> NULL)
    else:
        descend_any(form, constants, p, g, first, second, count, <double_vector*> NULL)
