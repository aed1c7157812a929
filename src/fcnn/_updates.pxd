"""Updates: one pass over parameters, gradient and the optimizer's state.

The rules are those of torch.optim.SGD, Adam and AdamW; every parameter, W and b, is treated alike.
"""

from libc cimport math

from fcnn._real cimport real, square_root

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


cdef inline void sgd(
    real* parameter, const real* gradient, Py_ssize_t n, const Update* update,
) noexcept nogil:
    """p <- p - lr (g + weight_decay p)."""
    cdef real lr = <real> update.lr
    cdef real decay = <real> update.weight_decay
    cdef Py_ssize_t i
    for i in range(n):
        parameter[i] -= lr * (gradient[i] + decay * parameter[i])


cdef inline void sgd_momentum(
    real* parameter, const real* gradient, Py_ssize_t n, const Update* update,
) noexcept nogil:
    """g' = g + weight_decay p;  v <- momentum v + g';  p <- p - lr v.

    Nesterov: p <- p - lr (g' + momentum v).
    """
    cdef real lr = <real> update.lr
    cdef real decay = <real> update.weight_decay
    cdef real momentum = <real> update.momentum
    cdef real* velocity = <real*> update.first
    cdef real g, v
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + decay * parameter[i]
        v = momentum * velocity[i] + g
        velocity[i] = v
        parameter[i] -= lr * (g + momentum * v if update.nesterov else v)


cdef inline void adam(
    real* parameter, const real* gradient, Py_ssize_t n, const Update* update,
) noexcept nogil:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;

    p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), t = 1, 2, ...

    D. P. Kingma, J. Ba: Adam, ICLR 2015, algorithm 1. Weight decay is added to g (Adam) or taken
    off p beforehand (AdamW: I. Loshchilov, F. Hutter, ICLR 2019, algorithm 2).
    """
    cdef double t = <double> (update.step + 1)
    cdef real step_size = <real> (update.lr / (1 - math.pow(update.beta1, t)))
    cdef real root = <real> math.sqrt(1 - math.pow(update.beta2, t))
    cdef real beta1 = <real> update.beta1
    cdef real beta2 = <real> update.beta2
    # Rounded once from double: in float32 1 - beta2 would lose half its digits.
    cdef real rest1 = <real> (1 - update.beta1)
    cdef real rest2 = <real> (1 - update.beta2)
    cdef real epsilon = <real> update.epsilon
    cdef bint decoupled = update.rule == ADAMW
    cdef real added = 0 if decoupled else <real> update.weight_decay
    cdef real kept = <real> (1 - update.lr * update.weight_decay) if decoupled else 1
    cdef real* first = <real*> update.first
    cdef real* second = <real*> update.second
    cdef real g, m, v, p
    cdef Py_ssize_t i
    for i in range(n):
        p = parameter[i]
        g = gradient[i] + added * p
        m = beta1 * first[i] + rest1 * g
        v = beta2 * second[i] + rest2 * g * g
        first[i] = m
        second[i] = v
        parameter[i] = kept * p - step_size * m / (square_root(v) / root + epsilon)


cdef inline void apply_update(
    real* parameter,            # IN, OUT (n,)
    const real* gradient,       # IN (n,)
    Py_ssize_t n,
    Update* update,             # IN, OUT: the state it points to, and the step
) noexcept nogil:
    if update.rule != SGD:
        adam(parameter, gradient, n, update)
    elif update.first != NULL:
        sgd_momentum(parameter, gradient, n, update)
    else:
        sgd(parameter, gradient, n, update)
    update.step += 1
