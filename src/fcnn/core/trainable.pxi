# Which parameters move, and how fast: a rate for each W^l and b^l, a factor of the learning rate.
#
# What has the rate 0 keeps its bits, and so does its state: no update goes there. Below the lowest
# layer that moves nobody asks for a delta or a gradient, so none is computed.
#
# The bias correction of Adam counts the updates that a W or b had part in: without that, the first
# steps of a layer that is freed after a thousand updates would be up to six times as long.

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact


cdef inline double rate_of(const Options* options, Py_ssize_t l, bint biases) noexcept nogil:
    return 1 if options.rates == NULL else options.rates[2 * (l - 1) + biases]


cdef inline Py_ssize_t lowest_trainable(const Options* options) noexcept nogil:
    return max(<Py_ssize_t> 1, options.lowest)


cdef inline const RuleConstants* constants_of(
    const Options* options, Py_ssize_t l,
    const RuleConstants* constants,     # of weights and biases, or NULL
    RuleConstants* own,         # where those of W^l and b^l have room
) noexcept nogil:
    if constants == NULL or options.rates == NULL:
        return constants
    own[0] = at_rate(&constants[0], rate_of(options, l, False), 2 * (l - 1))
    own[1] = at_rate(&constants[1], rate_of(options, l, True), 2 * (l - 1) + 1)
    return own


cdef inline Rule fastest(const Rule* rule, const Options* options) noexcept nogil:
    """The rule of the parameters that move fastest, for bounds."""
    cdef Rule of_all = rule[0]
    if options.rates != NULL:
        of_all.lr *= options.highest
    return of_all


cdef void clear_frozen(const Model* model, const Options* options, real* gradient) noexcept nogil:
    """Zeros where nothing moves: there the passes leave what they find, or what nobody asked for.

    So a norm counts what moves alone, in the order in which it counts all.
    """
    cdef Py_ssize_t l, end
    cdef const Layer* layer
    if options.rates == NULL:
        return
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        end = model.layers[l + 1].W if l < model.L else model.n_parameters
        if rate_of(options, l, False) == 0:
            memset(gradient + layer.W, 0, (layer.b - layer.W) * sizeof(real))
        if rate_of(options, l, True) == 0:
            memset(gradient + layer.b, 0, (end - layer.b) * sizeof(real))


cdef void clear_frozen_of(const Model* model, const Options* options, void* gradient) noexcept:
    if model.itemsize == 4:
        clear_frozen(model, options, <float*> gradient)
    else:
        clear_frozen(model, options, <double*> gradient)


cdef void bias_gradients(
    const Layer* layer, const Workspace* ws, Py_ssize_t rows, const real* delta_rows,
    real* parameters, const RuleConstants* constants, bint add,
) noexcept nogil:
    """db^l of a layer whose W^l stays."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, k = 0
    while k < layer.n_out:
        bias_gradient(layer, delta_rows, rows, ws.rows, lanes, k, parameters, constants,
                      <real*> ws.gradient, add)
        k += lanes


cdef bint describe_rates(Options* into, const Model* model, const double* rates) noexcept:
    """Fill in what rates are; return whether they can be."""
    cdef Py_ssize_t i
    cdef bint sound = True
    into.rates = rates
    into.highest = 0
    for i in range(2 * model.L - 1, -1, -1):
        sound = sound and 0 <= rates[i] < INFINITY
        into.highest = max(into.highest, rates[i])
        if rates[i] > 0:
            into.lowest = i // 2 + 1
    return sound and into.highest > 0


cdef object read_rates(Options* into, const Model* model, trainable):
    """Fill in the rates of W^1, b^1, W^2, ..., if there are any; return what must stay alive."""
    if trainable is None:
        return None
    rates = np.array(trainable, np.float64)
    if not describe_rates(into, model, <const double*> data_of(
            rates, cnp.NPY_FLOAT64, 2 * model.L, "trainable")):
        raise ValueError("trainable: expected rates, at least 0, finite and not all 0")
    return rates


cdef object plain_rates(Options* into, const Model* model, trainable):
    """read_rates of what users write; None where as_trainable has to look at it."""
    cdef Py_ssize_t l
    cdef bint of_parts, of_part, moves_all = True
    cdef double rate
    cdef double* rates
    if not PyDict_CheckExact(trainable):
        return None
    memory = ones(2 * model.L)
    rates = <double*> PyBytes_AsString(memory)
    for of_parts in range(2):   # a layer's W or b says more than the layer
        for key, value in (<dict> trainable).items():
            part = None
            of_part = PyTuple_CheckExact(key) and len(<tuple> key) == 2
            if of_part:
                key, part = <tuple> key
            if of_part != of_parts:
                continue
            if not PyLong_CheckExact(key) or not 1 <= key <= model.L or not (
                    value is True or value is False or PyFloat_CheckExact(value)):
                return None
            if of_part and not (PyUnicode_CheckExact(part) and (part == "W" or part == "b")):
                return None
            l = key
            rate = value
            if part != "b":
                rates[2 * l - 2] = rate
            if part != "W":
                rates[2 * l - 1] = rate
    if not describe_rates(into, model, rates):
        return None
    for l in range(2 * model.L):
        moves_all = moves_all and rates[l] == 1
    if moves_all:
        into.rates = NULL
    return memory


# --- Updates that a part has missed ------------------------------------------------------------

cdef object read_missed(Options* into, Rule* rule, const Model* model, optimizer):
    """Fill in the updates that each part has missed, if any; return what must stay alive."""
    cdef Py_ssize_t n = 2 * model.L
    if rule.name != updates.ADAM and rule.name != updates.ADAMW or optimizer._missed is None:
        return None
    missed = optimizer._missed
    rule.missed = <const int64_t*> data_of(missed, cnp.NPY_INT64, n, "optimizer")
    rates = None
    if into.rates == NULL:      # or nobody would ask for a layer's own constants
        rates = ones(n)
        describe_rates(into, model, <const double*> PyBytes_AsString(rates))
    return missed, rates


cdef bytes ones(Py_ssize_t n):
    """As many rates, in less time than an array takes."""
    cdef Py_ssize_t i
    memory = PyBytes_FromStringAndSize(NULL, n * sizeof(double))
    for i in range(n):
        (<double*> PyBytes_AsString(memory))[i] = 1
    return memory


cdef int count_missed(
    const Options* options, const Rule* rule, const Model* model, optimizer, Py_ssize_t made,
) except -1:
    """Take note that what was frozen had no part in some updates."""
    cdef Py_ssize_t i
    cdef bint some = False
    cdef int64_t* missed
    if made == 0 or options.rates == NULL or (
            rule.name != updates.ADAM and rule.name != updates.ADAMW):
        return 0
    for i in range(2 * model.L):
        some = some or options.rates[i] == 0
    if not some:
        return 0
    if optimizer._missed is None:       # see train, of the number of steps
        PyObject_GenericSetAttr(optimizer, "_missed", np.zeros(2 * model.L, np.int64))
    missed = <int64_t*> data_of(
        optimizer._missed, cnp.NPY_INT64, 2 * model.L, "optimizer", write=True)
    for i in range(2 * model.L):
        if options.rates[i] == 0:
            missed[i] += made
    return 0
