"""Updates: one pass over parameters, gradient and the optimizer's state.

The rules are those of torch.optim.SGD, Adam and AdamW; every parameter, W and b, is treated alike.
"""

from libc cimport math

from libc.string cimport memcpy, memset

from fcnn._real cimport real
from fcnn._vector cimport (
    BYTES, FLOATS, double_vector, float_vector, load, spread, store, vector, vector_square_root,
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
    void* first                 # velocity of SGD with momentum, first moment of Adam
    void* second                # second moment of Adam
    Py_ssize_t step             # updates made so far


cdef struct Step:               # the constants of one update
    const Update* update
    double size                 # Adam: lr / (1 - beta1^t)
    double factor               # Adam: 1 / sqrt(1 - beta2^t)


cdef inline Step begin_step(const Update* update) noexcept nogil:
    cdef Step step
    cdef double t = <double> (update.step + 1)
    step.update = update
    step.size = step.factor = 0
    if update.rule != SGD:
        step.size = update.lr / (1 - math.pow(update.beta1, t))
        step.factor = 1 / math.sqrt(1 - math.pow(update.beta2, t))
    return step


cdef enum:                      # constants of an update, each in every lane of a register
    LR
    DECAY                       # joins the gradient
    MOMENTUM
    KEPT                        # what AdamW's decay leaves of a parameter
    SIZE
    FACTOR
    BETA1
    BETA2
    REST1
    REST2
    EPSILON
    CONSTANTS


cdef inline void read_constants(
    const Step* step, vector* c, const real* typed_real, const vector* typed,
) noexcept nogil:
    cdef const Update* update = step.update
    c[LR] = spread(<real> update.lr, typed)
    c[DECAY] = spread(<real> (0 if update.rule == ADAMW else update.weight_decay), typed)
    if update.rule == SGD:
        c[MOMENTUM] = spread(<real> update.momentum, typed)
        return
    c[KEPT] = spread(
        <real> (1 - update.lr * update.weight_decay if update.rule == ADAMW else 1), typed)
    c[SIZE] = spread(<real> step.size, typed)
    c[FACTOR] = spread(<real> step.factor, typed)
    c[BETA1] = spread(<real> update.beta1, typed)
    c[BETA2] = spread(<real> update.beta2, typed)
    # Rounded once from double: in float32 1 - beta2 would lose half its digits.
    c[REST1] = spread(<real> (1 - update.beta1), typed)
    c[REST2] = spread(<real> (1 - update.beta2), typed)
    c[EPSILON] = spread(<real> update.epsilon, typed)


cdef inline void sgd(
    const vector* c, real* parameter, const real* gradient, const vector* typed,
) noexcept nogil:
    """p <- p - lr (g + weight_decay p)."""
    cdef vector p = load(parameter, typed)
    store(parameter, p - c[LR] * (load(gradient, typed) + c[DECAY] * p))


cdef inline void sgd_momentum(
    const vector* c, bint nesterov, real* parameter, const real* gradient, real* velocity,
    const vector* typed,
) noexcept nogil:
    """g' = g + weight_decay p;  v <- momentum v + g';  p <- p - lr v.

    Nesterov: p <- p - lr (g' + momentum v).
    """
    cdef vector p = load(parameter, typed)
    cdef vector g = load(gradient, typed) + c[DECAY] * p
    cdef vector v = c[MOMENTUM] * load(velocity, typed) + g
    store(velocity, v)
    if nesterov:
        v = g + c[MOMENTUM] * v
    store(parameter, p - c[LR] * v)


cdef inline void adam(
    const vector* c, real* parameter, const real* gradient, real* first, real* second,
    const vector* typed,
) noexcept nogil:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;

    p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), t = 1, 2, ...

    D. P. Kingma, J. Ba: Adam, ICLR 2015, algorithm 1. Weight decay is added to g (Adam) or taken
    off p beforehand (AdamW: I. Loshchilov, F. Hutter, ICLR 2019, algorithm 2).
    """
    cdef vector p = load(parameter, typed)
    cdef vector g = load(gradient, typed) + c[DECAY] * p
    cdef vector m = c[BETA1] * load(first, typed) + c[REST1] * g
    cdef vector v = c[BETA2] * load(second, typed) + c[REST2] * g * g
    store(first, m)
    store(second, v)
    store(parameter,
          c[KEPT] * p - c[SIZE] * m / (vector_square_root(v) * c[FACTOR] + c[EPSILON]))


cdef enum Kind:                 # what an update needs to know at compile time
    PLAIN
    VELOCITY
    NESTEROV
    MOMENTS


cdef inline void update_vector(
    Kind kind, const vector* c, real* parameter, const real* gradient, real* first, real* second,
    const vector* typed,
) noexcept nogil:
    if kind == PLAIN:
        sgd(c, parameter, gradient, typed)
    elif kind == MOMENTS:
        adam(c, parameter, gradient, first, second, typed)
    else:
        sgd_momentum(c, kind == NESTEROV, parameter, gradient, first, typed)


cdef inline void copy_few(real* target, const real* source, Py_ssize_t n) noexcept nogil:
    """memcpy of less than a register: by moves of constant size, the calls cost as much as a row."""
    cdef Py_ssize_t part = FLOATS // 2
    while part > 0:
        if n >= part:
            if part == 8:
                memcpy(target, source, 8 * sizeof(real))
            elif part == 4:
                memcpy(target, source, 4 * sizeof(real))
            elif part == 2:
                memcpy(target, source, 2 * sizeof(real))
            else:
                target[0] = source[0]
            target += part
            source += part
            n -= part
        part //= 2


cdef inline void update_block(
    Kind kind, const Step* step, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* typed,
) noexcept nogil:
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), i, j
    cdef Py_ssize_t full = columns // lanes * lanes, rest = columns - full
    cdef real* parameter = parameters + offset
    cdef real* first = NULL
    cdef real* second = NULL
    cdef real few[4][FLOATS]
    cdef vector c[CONSTANTS]
    read_constants(step, c, parameters, typed)
    if kind != PLAIN:
        first = <real*> step.update.first + offset
    if kind == MOMENTS:
        second = <real*> step.update.second + offset
    if rest > 0:
        memset(&few[0][0], 0, sizeof(few))
    for i in range(rows):
        j = 0
        while j < full:
            update_vector(kind, c, parameter + j, gradient + j, first + j, second + j, typed)
            j += lanes
        if rest > 0:
            # In a register of their own: what lies behind them may be another thread's.
            copy_few(&few[0][0], parameter + full, rest)
            copy_few(&few[1][0], gradient + full, rest)
            if kind != PLAIN:
                copy_few(&few[2][0], first + full, rest)
            if kind == MOMENTS:
                copy_few(&few[3][0], second + full, rest)
            update_vector(kind, c, &few[0][0], &few[1][0], &few[2][0], &few[3][0], typed)
            copy_few(parameter + full, &few[0][0], rest)
            if kind != PLAIN:
                copy_few(first + full, &few[2][0], rest)
            if kind == MOMENTS:
                copy_few(second + full, &few[3][0], rest)
        parameter += stride
        gradient += gradient_stride
        if kind != PLAIN:
            first += stride
        if kind == MOMENTS:
            second += stride


cdef inline void update_typed(
    const Step* step, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* typed,
) noexcept nogil:
    """Name the kind of update, which makes it a constant."""
    cdef const Update* update = step.update
    if update.rule != SGD:
        update_block(MOMENTS, step, parameters, offset, stride, gradient, gradient_stride, rows,
                     columns, typed)
    elif update.first == NULL:
        update_block(PLAIN, step, parameters, offset, stride, gradient, gradient_stride, rows,
                     columns, typed)
    elif update.nesterov:
        update_block(NESTEROV, step, parameters, offset, stride, gradient, gradient_stride, rows,
                     columns, typed)
    else:
        update_block(VELOCITY, step, parameters, offset, stride, gradient, gradient_stride, rows,
                     columns, typed)


cdef inline void update_rows(
    const Step* step,
    real* parameters, Py_ssize_t offset, Py_ssize_t stride, # IN, OUT where the rows are, and their state
    const real* gradient, Py_ssize_t gradient_stride,       # IN
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    if real is float:
        update_typed(step, parameters, offset, stride, gradient, gradient_stride, rows, columns,
                     <float_vector*> NULL)
    else:
        update_typed(step, parameters, offset, stride, gradient, gradient_stride, rows, columns,
                     <double_vector*> NULL)
