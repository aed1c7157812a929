"""Updates: one pass over parameters, gradient and the optimizer's state.

The rules are those of torch.optim.SGD, Adam and AdamW; every parameter, W and b, is treated alike.
"""

from libc cimport math

from libc.string cimport memcpy

from fcnn._real cimport real
from fcnn._vector cimport (
    BYTES, FLOATS, double_vector, float_vector, load, spread, store, vector, vector_multiply_add,
    vector_square_root,
)

cdef enum Rule:
    SGD
    ADAM
    ADAMW


cdef struct Update:
    Rule rule
    double lr
    double weight_decay
    double momentum             # SGD
    bint nesterov               # SGD
    double beta1                # Adam, AdamW
    double beta2                # Adam, AdamW
    double epsilon              # Adam, AdamW
    bint epsilon_hat            # whether epsilon joins the root before its bias is corrected
    void* first                 # velocity of SGD with momentum, first moment of Adam
    void* second                # second moment of Adam
    Py_ssize_t step             # updates made so far


cdef enum:                      # constants of an update, each in every lane of a register
    DESCENT                     # -lr
    DECAY                       # joins the gradient
    MOMENTUM
    KEPT                        # what AdamW's decay leaves of a parameter
    SIZE                        # Adam: -lr / (1 - beta1^t)
    FACTOR                      # Adam: 1 / sqrt(1 - beta2^t)
    BETA1
    BETA2
    REST1
    REST2
    EPSILON
    CONSTANTS


cdef struct Step:               # one update of weights, or of biases
    const Update* update
    double c[CONSTANTS]


cdef inline Step begin_step(
    const Update* update, double l2,    # what joins the gradient beside the weight decay
) noexcept nogil:
    cdef Step step
    cdef double t = <double> (update.step + 1)
    step.update = update
    step.c[DESCENT] = -update.lr
    step.c[DECAY] = l2 + (0 if update.rule == ADAMW else update.weight_decay)
    step.c[MOMENTUM] = update.momentum
    step.c[KEPT] = 1 - update.lr * update.weight_decay if update.rule == ADAMW else 1
    step.c[BETA1] = update.beta1
    step.c[BETA2] = update.beta2
    # Rounded once, from double: in float32 1 - beta2 would lose half its digits.
    step.c[REST1] = 1 - update.beta1
    step.c[REST2] = 1 - update.beta2
    step.c[EPSILON] = update.epsilon
    if update.rule != SGD:
        # 1 - beta^t. Not by pow: that of the GNU C library is a new one since 2.29, and alone would
        # keep wheels from the systems that are older.
        step.c[SIZE] = update.lr / math.expm1(t * math.log1p(update.beta1 - 1))
        step.c[FACTOR] = 1 / math.sqrt(-math.expm1(t * math.log1p(update.beta2 - 1)))
        if update.epsilon_hat:
            step.c[SIZE] /= step.c[FACTOR]
            step.c[FACTOR] = 1
    else:
        step.c[SIZE] = step.c[FACTOR] = 0
    return step


cdef inline void read_constants(
    const Step* step, vector* c, const real* typed_real, const vector* typed,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(CONSTANTS):
        c[i] = spread(<real> step.c[i], typed)


cdef inline vector descended(vector p, vector g, vector descent, vector decay) noexcept nogil:
    """p - lr (g + weight_decay p)."""
    return vector_multiply_add(descent, vector_multiply_add(decay, p, g), p)


cdef inline void store_few(real* target, vector v, Py_ssize_t n) noexcept nogil:
    """The first n lanes of a register, by moves of constant size: a call costs as much as a row."""
    cdef real lanes[FLOATS]
    cdef Py_ssize_t done = 0
    store(&lanes[0], v)
    if FLOATS > 8 and n & 8:
        memcpy(target, &lanes[0], 8 * sizeof(real))
        done = 8
    if FLOATS > 4 and n & 4:
        memcpy(target + done, &lanes[done], 4 * sizeof(real))
        done += 4
    if n & 2:
        memcpy(target + done, &lanes[done], 2 * sizeof(real))
        done += 2
    if n & 1:
        target[done] = lanes[done]


cdef inline void keep(real* target, vector v, Py_ssize_t n, bint whole) noexcept nogil:
    if whole:
        store(target, v)
    else:
        store_few(target, v, n)


cdef enum:
    # Rows of weights between a load and a store of the sums: with one row these take as long again.
    ROWS_AHEAD = 4


cdef enum Kind:                 # what an update needs to know at compile time
    PLAIN
    VELOCITY
    NESTEROV
    MOMENTS


cdef inline vector update_vector(
    Kind kind, const vector* c,
    real* parameter, vector g, real* first, real* second,
    Py_ssize_t n, bint whole,   # how many entries to keep, and whether they are a register full
    const vector* typed,
) noexcept nogil:
    """Update a parameter for each lane; return them."""
    cdef vector p = load(parameter, typed)
    cdef vector m, v
    if kind == PLAIN:
        p = descended(p, g, c[DESCENT], c[DECAY])
    elif kind == MOMENTS:
        # m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
        # p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), t = 1, 2, ...
        #
        # D. P. Kingma, J. Ba: Adam, ICLR 2015, algorithm 1. Weight decay is added to g (Adam) or
        # taken off p beforehand (AdamW: I. Loshchilov, F. Hutter, ICLR 2019, algorithm 2). With
        # epsilon_hat, the form at the end of Adam's section 2, epsilon counts sqrt(1 - beta2^t)
        # times as much.
        g = vector_multiply_add(c[DECAY], p, g)
        m = vector_multiply_add(c[BETA1], load(first, typed), c[REST1] * g)
        v = vector_multiply_add(c[BETA2], load(second, typed), c[REST2] * g * g)
        keep(first, m, n, whole)
        keep(second, v, n, whole)
        p = vector_multiply_add(
            c[KEPT], p,
            c[SIZE] * m / vector_multiply_add(vector_square_root(v), c[FACTOR], c[EPSILON]))
    else:
        # v <- momentum v + g + weight_decay p;  p <- p - lr v, or after Nesterov
        # p <- p - lr (g + weight_decay p + momentum v)
        g = vector_multiply_add(c[DECAY], p, g)
        v = vector_multiply_add(c[MOMENTUM], load(first, typed), g)
        keep(first, v, n, whole)
        if kind == NESTEROV:
            v = vector_multiply_add(c[MOMENTUM], v, g)
        p = vector_multiply_add(c[DESCENT], v, p)
    keep(parameter, p, n, whole)
    return p


cdef inline vector gradient_vector(
    Py_ssize_t samples, const real* a, Py_ssize_t a_stride,
    const real* gradient, Py_ssize_t stride, const vector* typed,
) noexcept nogil:
    """A part of the gradient; of samples > 0 the sum of a_s times their deltas."""
    cdef Py_ssize_t s
    cdef vector g = load(gradient, typed)
    if samples > 0:
        g = spread(a[0], typed) * g
        for s in range(1, samples):
            g = vector_multiply_add(spread(a[s * a_stride], typed),
                                    load(gradient + s * stride, typed), g)
    return g


cdef inline void update_block(
    Kind kind, const Step* step, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples, const real* a, Py_ssize_t node_stride, Py_ssize_t row_stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* typed,
) noexcept nogil:
    """See update_rows and update_outer, which is meant where samples > 0."""
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), _i, j
    cdef Py_ssize_t full = columns // lanes * lanes
    cdef real* parameter = parameters + offset
    cdef real* first = NULL
    cdef real* second = NULL
    cdef vector c[CONSTANTS]
    cdef vector g
    read_constants(step, c, parameters, typed)
    if kind != PLAIN:
        first = <real*> step.update.first + offset
    if kind == MOMENTS:
        second = <real*> step.update.second + offset
    for _i in range(rows):
        j = 0
        while j < full:
            g = gradient_vector(samples, a, row_stride, gradient + j, gradient_stride, typed)
            update_vector(kind, c, parameter + j, g, first + j, second + j, lanes, True, typed)
            j += lanes
        if full < columns:
            # What lies behind a row is read, too, but never written: it may be another thread's.
            g = gradient_vector(samples, a, row_stride, gradient + full, gradient_stride,
                                typed)
            update_vector(kind, c, parameter + full, g, first + full, second + full,
                          columns - full, False, typed)
        parameter += stride
        if samples > 0:
            a += node_stride
        else:
            gradient += gradient_stride
        if kind != PLAIN:
            first += stride
        if kind == MOMENTS:
            second += stride


cdef inline void update_and_multiply(
    Kind kind, Py_ssize_t height,       # constant at every call
    const vector* c, real* parameter, real* first, real* second, Py_ssize_t stride,
    const real* a, const real* delta, const real* next, real* sums, Py_ssize_t columns,
    const vector* typed,
) noexcept nogil:
    """See update_ahead."""
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), i, j = 0, at
    cdef vector emitted[ROWS_AHEAD]
    cdef vector emitting[ROWS_AHEAD]
    cdef vector d, total
    for i in range(height):
        emitted[i] = spread(a[i], typed)
        emitting[i] = spread(next[i], typed)
    while j < columns:
        d = load(delta + j, typed)
        total = load(sums + j, typed)
        for i in range(height):
            at = i * stride + j
            total = vector_multiply_add(
                emitting[i],
                update_vector(kind, c, parameter + at, emitted[i] * d, first + at, second + at,
                              columns - j, j + lanes <= columns, typed),
                total)
        store(sums + j, total)
        j += lanes


cdef inline void update_block_ahead(
    Kind kind, const Step* step, real* parameters, Py_ssize_t offset,
    const real* a, const real* delta, const real* next, real* sums,
    Py_ssize_t rows, Py_ssize_t columns, const vector* typed,
) noexcept nogil:
    """See update_ahead."""
    cdef Py_ssize_t i = 0, height, at
    cdef real* first = <real*> step.update.first if kind != PLAIN else NULL
    cdef real* second = <real*> step.update.second if kind == MOMENTS else NULL
    cdef vector c[CONSTANTS]
    read_constants(step, c, parameters, typed)
    while i < rows:
        # Moments take their time anyway, and four rows of three arrays at once a fourth more.
        height = ROWS_AHEAD if kind != MOMENTS and i + ROWS_AHEAD <= rows else 1
        at = offset + i * columns
        if kind != MOMENTS and height == ROWS_AHEAD:
            update_and_multiply(kind, ROWS_AHEAD, c, parameters + at, first + at, second + at,
                                columns, a + i, delta, next + i, sums, columns, typed)
        else:
            update_and_multiply(kind, 1, c, parameters + at, first + at, second + at, columns,
                                a + i, delta, next + i, sums, columns, typed)
        i += height


cdef inline void update_typed(
    const Step* step, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples, const real* a, Py_ssize_t node_stride, Py_ssize_t row_stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* typed,
) noexcept nogil:
    """Name the kind of update, which makes it a constant."""
    cdef const Update* update = step.update
    if update.rule != SGD:
        update_block(MOMENTS, step, parameters, offset, stride, samples, a, node_stride, row_stride,
                     gradient, gradient_stride, rows, columns, typed)
    elif update.first == NULL:
        update_block(PLAIN, step, parameters, offset, stride, samples, a, node_stride, row_stride,
                     gradient, gradient_stride, rows, columns, typed)
    elif update.nesterov:
        update_block(NESTEROV, step, parameters, offset, stride, samples, a, node_stride,
                     row_stride, gradient, gradient_stride, rows, columns, typed)
    else:
        update_block(VELOCITY, step, parameters, offset, stride, samples, a, node_stride,
                     row_stride, gradient, gradient_stride, rows, columns, typed)


cdef inline void update_rows(
    const Step* step,
    # IN, OUT where the rows are, and their state; each followed by readable entries
    real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    const real* gradient, Py_ssize_t gradient_stride,   # IN, followed by readable entries
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update some rows of parameters with as many of the gradient."""
    if real is float:
        update_typed(step, parameters, offset, stride, 0, gradient, 0, 0, gradient,
                     gradient_stride, rows, columns, <float_vector*> NULL)
    else:
        update_typed(step, parameters, offset, stride, 0, gradient, 0, 0, gradient,
                     gradient_stride, rows, columns, <double_vector*> NULL)


cdef inline void update_outer(
    const Step* step, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples,                                 # constant at every call, 1 to 3
    const real* a,                                      # IN (rows, samples)
    Py_ssize_t node_stride, Py_ssize_t row_stride,      # from row to row, from sample to sample
    const real* delta, Py_ssize_t delta_stride,         # IN (samples, columns)
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update with the gradient sum_s a_is delta_sj, which never leaves the registers."""
    if real is float:
        update_typed(step, parameters, offset, stride, samples, a, node_stride, row_stride,
                     delta, delta_stride, rows, columns, <float_vector*> NULL)
    else:
        update_typed(step, parameters, offset, stride, samples, a, node_stride, row_stride,
                     delta, delta_stride, rows, columns, <double_vector*> NULL)


cdef inline void update_ahead_typed(
    const Step* step, real* parameters, Py_ssize_t offset,
    const real* a, const real* delta, const real* next, real* sums,
    Py_ssize_t rows, Py_ssize_t columns, const vector* typed,
) noexcept nogil:
    """Name the kind of update, which makes it a constant."""
    cdef const Update* update = step.update
    if update.rule != SGD:
        update_block_ahead(MOMENTS, step, parameters, offset, a, delta, next, sums, rows, columns,
                           typed)
    elif update.first == NULL:
        update_block_ahead(PLAIN, step, parameters, offset, a, delta, next, sums, rows, columns,
                           typed)
    elif update.nesterov:
        update_block_ahead(NESTEROV, step, parameters, offset, a, delta, next, sums, rows, columns,
                           typed)
    else:
        update_block_ahead(VELOCITY, step, parameters, offset, a, delta, next, sums, rows, columns,
                           typed)


cdef inline void update_ahead(
    const Step* step, real* parameters, Py_ssize_t offset,
    const real* a,              # IN (rows,)
    const real* delta,          # IN (columns,), followed by readable entries
    const real* next,           # IN (rows,)
    real* sums,                 # IN, OUT (columns,), followed by writable entries
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update with the gradient a_i delta_j, and add next_i times the new parameters to sums_j."""
    if real is float:
        update_ahead_typed(step, parameters, offset, a, delta, next, sums, rows, columns,
                           <float_vector*> NULL)
    else:
        update_ahead_typed(step, parameters, offset, a, delta, next, sums, rows, columns,
                           <double_vector*> NULL)
