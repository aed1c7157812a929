"""Updates: one pass over parameters, gradient and the optimizer's state.

The rules are those of torch.optim.SGD, Adam and AdamW; every parameter, W and b, is treated alike.
What there is to say of a rule stands here: its numbers and their bounds, its state, the constants
of a step, when no number of it can overflow, and its arithmetic.
"""

from libc cimport math
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcpy

from fcnn.kernels.isa cimport BYTES, FLOATS
from fcnn.kernels.real cimport SPECIALIZED, real, trap
from fcnn.kernels.vector cimport (
    double_vector, float_vector, load, spread, store, vector, vector_multiply_add,
    vector_square_root,
)

cdef enum RuleName:             # names in Python: core/model.pxi; the same numbers: fcnn.h
    SGD
    ADAM
    ADAMW
    NUM_RULES


cdef struct Rule:
    RuleName name
    double lr
    double weight_decay
    double momentum             # SGD
    bint nesterov               # SGD
    double beta1                # Adam, AdamW
    double beta2                # Adam, AdamW
    double epsilon              # Adam, AdamW
    bint epsilon_hat            # p <- p - lr_t m / (sqrt(v) + epsilon): Adam, end of section 2
    void* first                 # velocity of SGD with momentum, first moment of Adam
    void* second                # second moment of Adam
    Py_ssize_t step             # updates made so far,
    const int64_t* missed       # and how many of them W^1, b^1, W^2, ... had no part in; or NULL


cdef inline bint valid_rule(const Rule* rule) noexcept nogil:
    """Whether fcnn.SGD, Adam and AdamW would take these numbers; each comparison refuses NaN."""
    if not (rule.lr > 0 and math.isfinite(rule.lr) and rule.weight_decay >= 0
            and math.isfinite(rule.weight_decay) and 0 <= rule.step < INT64_MAX):
        return False
    if rule.name == SGD:
        return 0 <= rule.momentum < 1 and (rule.momentum > 0 or not rule.nesterov)
    if rule.name == ADAM or rule.name == ADAMW:
        return (0 <= rule.beta1 < 1 and 0 <= rule.beta2 < 1 and rule.epsilon >= 1e-30
                and math.isfinite(rule.epsilon))
    trap()
    return False


cdef inline int state_vectors(const Rule* rule) noexcept nogil:
    """How many vectors, each as long as the parameters, the rule keeps: first, second."""
    if rule.name == SGD:
        return 1 if rule.momentum > 0 else 0
    if rule.name == ADAM or rule.name == ADAMW:
        return 2
    trap()
    return 0


cdef inline bint cannot_overflow(
    const Rule* rule, double l1, double l2, double a_squares, double delta_squares,
) noexcept nogil:
    """Whether no entry of gradient or weights can become infinite in this step.

    By Cauchy and Schwarz |dC/dW_kj| = |sum_s delta_k a_j| <= ||a|| ||delta||, partial sums too.
    """
    # Numbers of this size are multiplied at most twice in an update: float32 ends at 3e38.
    cdef double large = 1e15
    cdef double bound = math.sqrt(a_squares) * math.sqrt(delta_squares) + math.fabs(l1)
    cdef double decay = math.fabs(rule.weight_decay) + math.fabs(l2)
    if not (rule.name == SGD or rule.name == ADAM or rule.name == ADAMW):
        trap()                  # the bound of another rule would be another one
    return (bound * max(rule.lr, 1.0) < large and rule.lr < large
            and decay < 1e5 and rule.lr * decay <= 1)


cdef enum:                      # constants of an update, each in every lane of a register
    DESCENT                     # -lr
    DECAY                       # joins the gradient
    MOMENTUM
    DECAY_FACTOR                # what AdamW's decay leaves of a parameter
    STEP_SIZE                   # Adam: -lr / (1 - beta1^t)
    FACTOR                      # Adam: 1 / sqrt(1 - beta2^t)
    BETA1
    BETA2
    ONE_MINUS_BETA1
    ONE_MINUS_BETA2
    EPSILON
    NUM_CONSTANTS


cdef struct RuleConstants:      # of one update of weights, or of biases
    const Rule* rule
    double rate                 # a factor of lr; of 0 nothing is updated
    double t                    # which update it is, from 1 on
    double c[NUM_CONSTANTS]


cdef inline void correct_bias(RuleConstants* constants) noexcept nogil:
    """Set the constants of a rule with moments that depend on t."""
    cdef const Rule* rule = constants.rule
    cdef double* c = constants.c
    # 1 - beta^t. Not by pow: that of the GNU C library is a new one since 2.29, and alone would
    # keep wheels from the systems that are older.
    c[STEP_SIZE] = -c[DESCENT] / math.expm1(constants.t * math.log1p(rule.beta1 - 1))
    c[FACTOR] = 1 / math.sqrt(-math.expm1(constants.t * math.log1p(rule.beta2 - 1)))
    if rule.epsilon_hat:
        c[STEP_SIZE] /= c[FACTOR]
        c[FACTOR] = 1


cdef inline RuleConstants rule_constants(
    const Rule* rule, double l2,        # what joins the gradient beside the weight decay
) noexcept nogil:
    cdef RuleConstants constants
    cdef double* c = constants.c
    constants.rule = rule
    constants.rate = 1
    constants.t = <double> (rule.step + 1)
    c[DESCENT] = -rule.lr
    c[DECAY] = l2
    c[DECAY_FACTOR] = 1
    if rule.name == SGD or rule.name == ADAM:
        c[DECAY] += rule.weight_decay
    elif rule.name == ADAMW:
        c[DECAY_FACTOR] = 1 - rule.lr * rule.weight_decay
    else:
        trap()
    c[MOMENTUM] = rule.momentum
    c[BETA1] = rule.beta1
    c[BETA2] = rule.beta2
    # Rounded once, from double: in float32 1 - beta2 would lose half its digits.
    c[ONE_MINUS_BETA1] = 1 - rule.beta1
    c[ONE_MINUS_BETA2] = 1 - rule.beta2
    c[EPSILON] = rule.epsilon
    c[STEP_SIZE] = c[FACTOR] = 0
    if rule.name == ADAM or rule.name == ADAMW:
        correct_bias(&constants)
    return constants


cdef inline RuleConstants at_rate(
    const RuleConstants* constants, double rate,
    Py_ssize_t part,            # 0, 1, 2, ... of W^1, b^1, W^2, ...
) noexcept nogil:
    """Those of parameters whose learning rate is another one, or that have missed updates."""
    cdef RuleConstants own = constants[0]
    cdef const Rule* rule = constants.rule
    own.rate = rate
    if rule.missed != NULL and rule.missed[part] > 0 and (
            rule.name == ADAM or rule.name == ADAMW):
        own.t = max(1.0, own.t - <double> rule.missed[part])
        correct_bias(&own)
    own.c[DESCENT] *= rate
    own.c[STEP_SIZE] *= rate
    if rule.name == ADAMW:
        # Not of rule.lr, which is the step's alone where the rule is: a tiny network has a copy.
        own.c[DECAY_FACTOR] = 1 + own.c[DESCENT] * rule.weight_decay
    elif not (rule.name == SGD or rule.name == ADAM):
        trap()                  # lr may be in other constants of another rule
    return own


cdef inline void read_constants(
    const RuleConstants* constants, vector* c, const real* real_tag, const vector* tag,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(NUM_CONSTANTS):
        c[i] = spread(<real> constants.c[i], tag)


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


cdef inline void store_lanes(real* target, vector v, Py_ssize_t n, bint whole) noexcept nogil:
    if whole:
        store(target, v)
    else:
        store_few(target, v, n)


cdef enum:
    # Rows of weights between a load and a store of the sums: with one row these take as long again.
    ROWS_AHEAD = 4


cdef enum Form:                 # of a rule: what an update needs to know at compile time
    PLAIN
    VELOCITY
    NESTEROV
    MOMENTS


cdef inline Form form_of(const Rule* rule) noexcept nogil:
    if rule.name == SGD:
        if rule.first == NULL:
            return PLAIN
        return NESTEROV if rule.nesterov else VELOCITY
    if rule.name == ADAM or rule.name == ADAMW:
        return MOMENTS
    trap()
    return PLAIN


cdef inline vector update_vector(
    Form form, const vector* c,
    real* parameter, vector g, real* first, real* second,
    Py_ssize_t n, bint whole,   # how many entries to keep, and whether they are a register full
    const vector* tag,
) noexcept nogil:
    """Update a parameter for each lane; return them."""
    cdef vector p = load(parameter, tag)
    cdef vector m, v
    if form == PLAIN:
        p = descended(p, g, c[DESCENT], c[DECAY])
    elif form == MOMENTS:
        # m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
        # p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), t = 1, 2, ...
        #
        # D. P. Kingma, J. Ba: Adam, ICLR 2015, algorithm 1. Weight decay is added to g (Adam) or
        # taken off p beforehand (AdamW: I. Loshchilov, F. Hutter, ICLR 2019, algorithm 2). With
        # epsilon_hat, the form at the end of Adam's section 2, epsilon counts sqrt(1 - beta2^t)
        # times as much.
        g = vector_multiply_add(c[DECAY], p, g)
        m = vector_multiply_add(c[BETA1], load(first, tag), c[ONE_MINUS_BETA1] * g)
        v = vector_multiply_add(c[BETA2], load(second, tag), c[ONE_MINUS_BETA2] * g * g)
        store_lanes(first, m, n, whole)
        store_lanes(second, v, n, whole)
        p = vector_multiply_add(
            c[DECAY_FACTOR], p,
            c[STEP_SIZE] * m / vector_multiply_add(vector_square_root(v), c[FACTOR], c[EPSILON]))
    elif form == VELOCITY or form == NESTEROV:
        # v <- momentum v + g + weight_decay p;  p <- p - lr v, or after Nesterov
        # p <- p - lr (g + weight_decay p + momentum v)
        g = vector_multiply_add(c[DECAY], p, g)
        v = vector_multiply_add(c[MOMENTUM], load(first, tag), g)
        store_lanes(first, v, n, whole)
        if form == NESTEROV:
            v = vector_multiply_add(c[MOMENTUM], v, g)
        p = vector_multiply_add(c[DESCENT], v, p)
    else:
        trap()
    store_lanes(parameter, p, n, whole)
    return p


cdef inline vector gradient_vector(
    Py_ssize_t samples, const real* a, Py_ssize_t a_stride,
    const real* gradient, Py_ssize_t stride, const vector* tag,
) noexcept nogil:
    """A part of the gradient; of samples > 0 the sum of a_s times their deltas."""
    cdef Py_ssize_t s
    cdef vector g = load(gradient, tag)
    if samples > 0:
        g = spread(a[0], tag) * g
        for s in range(1, samples):
            g = vector_multiply_add(spread(a[s * a_stride], tag),
                                    load(gradient + s * stride, tag), g)
    return g


cdef inline void update_block(
    Form form, const RuleConstants* constants,
    real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples, const real* a, Py_ssize_t a_stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* tag,
) noexcept nogil:
    """See update_rows and update_outer, which is meant where samples > 0."""
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), _i, j
    cdef Py_ssize_t full = columns // lanes * lanes
    cdef real* parameter = parameters + offset
    cdef real* first = NULL
    cdef real* second = NULL
    cdef vector c[NUM_CONSTANTS]
    cdef vector g
    read_constants(constants, c, parameters, tag)
    if form != PLAIN:
        first = <real*> constants.rule.first + offset
    if form == MOMENTS:
        second = <real*> constants.rule.second + offset
    for _i in range(rows):
        j = 0
        while j < full:
            g = gradient_vector(samples, a, a_stride, gradient + j, gradient_stride, tag)
            update_vector(form, c, parameter + j, g, first + j, second + j, lanes, True, tag)
            j += lanes
        if full < columns:
            # What lies behind a row is read, too, but never written: it may be another thread's.
            g = gradient_vector(samples, a, a_stride, gradient + full, gradient_stride,
                                tag)
            update_vector(form, c, parameter + full, g, first + full, second + full,
                          columns - full, False, tag)
        parameter += stride
        if samples > 0:
            a += 1
        else:
            gradient += gradient_stride
        if form != PLAIN:
            first += stride
        if form == MOMENTS:
            second += stride


cdef inline void update_and_multiply_vector(
    Form form, Py_ssize_t height, bint whole,   # constant at every call
    const vector* c, real* parameter, real* first, real* second, Py_ssize_t stride,
    const vector* emitted, const vector* emitting, const real* delta, real* sums, Py_ssize_t n,
    const vector* tag,
) noexcept nogil:
    """See update_ahead: n columns, which are a register full where `whole`."""
    cdef Py_ssize_t i, at = 0
    cdef vector d = load(delta, tag)
    cdef vector total = load(sums, tag)
    for i in range(height):
        total = vector_multiply_add(
            emitting[i],
            update_vector(form, c, parameter + at, emitted[i] * d, first + at, second + at, n,
                          whole, tag),
            total)
        at += stride
    store(sums, total)


cdef inline void update_and_multiply(
    Form form, Py_ssize_t height,       # constant at every call
    const vector* c, real* parameter, real* first, real* second, Py_ssize_t stride,
    const real* a, const real* delta, const real* next, real* sums, Py_ssize_t columns,
    const vector* tag,
) noexcept nogil:
    """See update_ahead."""
    cdef Py_ssize_t lanes = BYTES // <Py_ssize_t> sizeof(real), i, j = 0
    cdef vector emitted[ROWS_AHEAD]
    cdef vector emitting[ROWS_AHEAD]
    for i in range(height):
        emitted[i] = spread(a[i], tag)
        emitting[i] = spread(next[i], tag)
    while j + lanes <= columns:
        update_and_multiply_vector(form, height, True, c, parameter + j, first + j, second + j,
                                   stride, emitted, emitting, delta + j, sums + j, lanes, tag)
        j += lanes
    if j < columns:
        update_and_multiply_vector(form, height, False, c, parameter + j, first + j, second + j,
                                   stride, emitted, emitting, delta + j, sums + j, columns - j, tag)


cdef inline void update_block_ahead(
    Form form, const RuleConstants* constants, real* parameters, Py_ssize_t offset,
    const real* a, const real* delta, const real* next, real* sums,
    Py_ssize_t rows, Py_ssize_t columns, const vector* tag,
) noexcept nogil:
    """See update_ahead."""
    cdef Py_ssize_t i = 0, height, at
    cdef real* first = <real*> constants.rule.first if form != PLAIN else NULL
    cdef real* second = <real*> constants.rule.second if form == MOMENTS else NULL
    cdef vector c[NUM_CONSTANTS]
    read_constants(constants, c, parameters, tag)
    while i < rows:
        # Moments take their time anyway, and four rows of three arrays at once a fourth more.
        height = ROWS_AHEAD if form != MOMENTS and i + ROWS_AHEAD <= rows else 1
        at = offset + i * columns
        if form != MOMENTS and height == ROWS_AHEAD:
            update_and_multiply(form, ROWS_AHEAD, c, parameters + at, first + at, second + at,
                                columns, a + i, delta, next + i, sums, columns, tag)
        else:
            update_and_multiply(form, 1, c, parameters + at, first + at, second + at, columns,
                                a + i, delta, next + i, sums, columns, tag)
        i += height


cdef inline void update_any_form(
    const RuleConstants* constants, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples, const real* a, Py_ssize_t a_stride,
    const real* gradient, Py_ssize_t gradient_stride, Py_ssize_t rows, Py_ssize_t columns,
    const vector* tag,
) noexcept nogil:
    """Name the form of the rule, which makes it a constant."""
    cdef Form form = form_of(constants.rule)
    if not SPECIALIZED:
        update_block(form, constants, parameters, offset, stride, samples, a, a_stride,
                     gradient, gradient_stride, rows, columns, tag)
    elif form == PLAIN:
        update_block(PLAIN, constants, parameters, offset, stride, samples, a, a_stride,
                     gradient, gradient_stride, rows, columns, tag)
    elif form == VELOCITY:
        update_block(VELOCITY, constants, parameters, offset, stride, samples, a, a_stride,
                     gradient, gradient_stride, rows, columns, tag)
    elif form == NESTEROV:
        update_block(NESTEROV, constants, parameters, offset, stride, samples, a, a_stride,
                     gradient, gradient_stride, rows, columns, tag)
    elif form == MOMENTS:
        update_block(MOMENTS, constants, parameters, offset, stride, samples, a, a_stride,
                     gradient, gradient_stride, rows, columns, tag)
    else:
        trap()


cdef inline void update_rows(
    const RuleConstants* constants,
    # IN, OUT where the rows are, and their state; each followed by readable entries
    real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    const real* gradient, Py_ssize_t gradient_stride,   # IN, followed by readable entries
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update some rows of parameters with as many of the gradient."""
    if real is float:
        update_any_form(constants, parameters, offset, stride, 0, gradient, 0, gradient,
                        gradient_stride, rows, columns, <float_vector*> NULL)
    else:
        update_any_form(constants, parameters, offset, stride, 0, gradient, 0, gradient,
                        gradient_stride, rows, columns, <double_vector*> NULL)


cdef inline void update_outer(
    const RuleConstants* constants, real* parameters, Py_ssize_t offset, Py_ssize_t stride,
    Py_ssize_t samples,                                 # constant at every call, 1 to 3
    const real* a, Py_ssize_t a_stride,                 # IN (samples, rows)
    const real* delta, Py_ssize_t delta_stride,         # IN (samples, columns)
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update with the gradient sum_s a_is delta_sj, which never leaves the registers."""
    if real is float:
        update_any_form(constants, parameters, offset, stride, samples, a, a_stride,
                        delta, delta_stride, rows, columns, <float_vector*> NULL)
    else:
        update_any_form(constants, parameters, offset, stride, samples, a, a_stride,
                        delta, delta_stride, rows, columns, <double_vector*> NULL)


cdef inline void update_ahead_any_form(
    const RuleConstants* constants, real* parameters, Py_ssize_t offset,
    const real* a, const real* delta, const real* next, real* sums,
    Py_ssize_t rows, Py_ssize_t columns, const vector* tag,
) noexcept nogil:
    """Name the form of the rule, which makes it a constant."""
    cdef Form form = form_of(constants.rule)
    if not SPECIALIZED:
        update_block_ahead(form, constants, parameters, offset, a, delta, next, sums,
                           rows, columns, tag)
    elif form == PLAIN:
        update_block_ahead(PLAIN, constants, parameters, offset, a, delta, next, sums,
                           rows, columns, tag)
    elif form == VELOCITY:
        update_block_ahead(VELOCITY, constants, parameters, offset, a, delta, next, sums,
                           rows, columns, tag)
    elif form == NESTEROV:
        update_block_ahead(NESTEROV, constants, parameters, offset, a, delta, next, sums,
                           rows, columns, tag)
    elif form == MOMENTS:
        update_block_ahead(MOMENTS, constants, parameters, offset, a, delta, next, sums,
                           rows, columns, tag)
    else:
        trap()


cdef inline void update_ahead(
    const RuleConstants* constants, real* parameters, Py_ssize_t offset,
    const real* a,              # IN (rows,)
    const real* delta,          # IN (columns,), followed by readable entries
    const real* next,           # IN (rows,)
    real* sums,                 # IN, OUT (columns,), followed by writable entries
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Update with the gradient a_i delta_j, and add next_i times the new parameters to sums_j."""
    if real is float:
        update_ahead_any_form(constants, parameters, offset, a, delta, next, sums, rows, columns,
                              <float_vector*> NULL)
    else:
        update_ahead_any_form(constants, parameters, offset, a, delta, next, sums, rows, columns,
                              <double_vector*> NULL)
