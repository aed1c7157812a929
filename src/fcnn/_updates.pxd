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
    double factor               # Adam: sqrt(1 / (1 - beta2^t))
    double added                # Adam: weight decay that joins the gradient
    double kept                 # AdamW: what weight decay leaves of a parameter


cdef inline Step begin_step(const Update* update) noexcept nogil:
    cdef Step step
    cdef double t = <double> (update.step + 1)
    step.update = update
    step.size = step.factor = step.added = 0
    step.kept = 1
    if update.rule != SGD:
        step.size = update.lr / (1 - math.pow(update.beta1, t))
        step.factor = 1 / math.sqrt(1 - math.pow(update.beta2, t))
        if update.rule == ADAMW:
            step.kept = 1 - update.lr * update.weight_decay
        else:
            step.added = update.weight_decay
    return step


cdef inline void sgd(
    const Step* step, real* parameter, const real* gradient, const vector* typed,
) noexcept nogil:
    """p <- p - lr (g + weight_decay p)."""
    cdef vector lr = spread(<real> step.update.lr, typed)
    cdef vector decay = spread(<real> step.update.weight_decay, typed)
    cdef vector p = load(parameter, typed)
    store(parameter, p - lr * (load(gradient, typed) + decay * p))


cdef inline void sgd_momentum(
    const Step* step, real* parameter, const real* gradient, real* velocity, const vector* typed,
) noexcept nogil:
    """g' = g + weight_decay p;  v <- momentum v + g';  p <- p - lr v.

    Nesterov: p <- p - lr (g' + momentum v).
    """
    cdef vector lr = spread(<real> step.update.lr, typed)
    cdef vector decay = spread(<real> step.update.weight_decay, typed)
    cdef vector momentum = spread(<real> step.update.momentum, typed)
    cdef vector p = load(parameter, typed)
    cdef vector g = load(gradient, typed) + decay * p
    cdef vector v = momentum * load(velocity, typed) + g
    store(velocity, v)
    if step.update.nesterov:
        v = g + momentum * v
    store(parameter, p - lr * v)


cdef inline void adam(
    const Step* step, real* parameter, const real* gradient, real* first, real* second,
    const vector* typed,
) noexcept nogil:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;

    p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), t = 1, 2, ...

    D. P. Kingma, J. Ba: Adam, ICLR 2015, algorithm 1. Weight decay is added to g (Adam) or taken
    off p beforehand (AdamW: I. Loshchilov, F. Hutter, ICLR 2019, algorithm 2).
    """
    cdef const Update* update = step.update
    cdef vector size = spread(<real> step.size, typed)
    cdef vector factor = spread(<real> step.factor, typed)
    cdef vector beta1 = spread(<real> update.beta1, typed)
    cdef vector beta2 = spread(<real> update.beta2, typed)
    # Rounded once from double: in float32 1 - beta2 would lose half its digits.
    cdef vector rest1 = spread(<real> (1 - update.beta1), typed)
    cdef vector rest2 = spread(<real> (1 - update.beta2), typed)
    cdef vector epsilon = spread(<real> update.epsilon, typed)
    cdef vector added = spread(<real> step.added, typed)
    cdef vector kept = spread(<real> step.kept, typed)
    cdef vector p = load(parameter, typed)
    cdef vector g = load(gradient, typed) + added * p
    cdef vector m = beta1 * load(first, typed) + rest1 * g
    cdef vector v = beta2 * load(second, typed) + rest2 * g * g
    store(first, m)
    store(second, v)
    store(parameter, kept * p - size * m / (vector_square_root(v) * factor + epsilon))


cdef inline void update_vector(
    const Step* step, real* parameter, const real* gradient, real* first, real* second,
    const vector* typed,
) noexcept nogil:
    if step.update.rule != SGD:
        adam(step, parameter, gradient, first, second, typed)
    elif first != NULL:
        sgd_momentum(step, parameter, gradient, first, typed)
    else:
        sgd(step, parameter, gradient, typed)


cdef inline void update_vectors(
    const Step* step, real* parameters, Py_ssize_t offset, const real* gradient, Py_ssize_t n,
    const vector* typed,
) noexcept nogil:
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), i, rest
    cdef real* parameter = parameters + offset
    cdef real* first = <real*> step.update.first
    cdef real* second = <real*> step.update.second
    cdef real remainder[4][FLOATS]
    if first != NULL:
        first += offset
    if second != NULL:
        second += offset
    for i in range(n // lanes):
        update_vector(step, parameter, gradient, first, second, typed)
        parameter += lanes
        gradient += lanes
        if first != NULL:
            first += lanes
        if second != NULL:
            second += lanes
    rest = n % lanes
    if rest > 0:
        # Through a full vector of their own: what lies behind them may be another thread's.
        for i in range(4):
            memset(&remainder[i][0], 0, BYTES)
        memcpy(&remainder[0][0], parameter, rest * sizeof(real))
        memcpy(&remainder[1][0], gradient, rest * sizeof(real))
        if first != NULL:
            memcpy(&remainder[2][0], first, rest * sizeof(real))
        if second != NULL:
            memcpy(&remainder[3][0], second, rest * sizeof(real))
        update_vector(step, &remainder[0][0], &remainder[1][0],
                      &remainder[2][0] if first != NULL else <real*> NULL, &remainder[3][0], typed)
        memcpy(parameter, &remainder[0][0], rest * sizeof(real))
        if first != NULL:
            memcpy(first, &remainder[2][0], rest * sizeof(real))
        if second != NULL:
            memcpy(second, &remainder[3][0], rest * sizeof(real))


cdef inline void update_range(
    const Step* step,
    real* parameters, Py_ssize_t offset,    # IN, OUT n entries from offset on, and their state
    const real* gradient,                   # IN (n,)
    Py_ssize_t n,
) noexcept nogil:
    if real is float:
        update_vectors(step, parameters, offset, gradient, n, <float_vector*> NULL)
    else:
        update_vectors(step, parameters, offset, gradient, n, <double_vector*> NULL)
