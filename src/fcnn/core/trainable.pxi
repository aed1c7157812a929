# Which parameters move, and how fast: a rate for each W^l and b^l, a factor of the learning rate.
#
# What has the rate 0 keeps its bits, and so does its state: no update goes there. Below the lowest
# layer that moves nobody asks for a delta or a gradient, so none is computed.

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
    own[0] = at_rate(&constants[0], rate_of(options, l, False))
    own[1] = at_rate(&constants[1], rate_of(options, l, True))
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


cdef object read_rates(Options* into, const Model* model, trainable):
    """Fill in the rates of W^1, b^1, W^2, ..., if there are any; return what must stay alive."""
    cdef Py_ssize_t i
    cdef bint sound = True
    if trainable is None:
        return None
    rates = np.array(trainable, np.float64)
    into.rates = <const double*> data_of(rates, cnp.NPY_FLOAT64, 2 * model.L, "trainable")
    into.highest = 0
    for i in range(2 * model.L - 1, -1, -1):
        sound = sound and 0 <= into.rates[i] < INFINITY
        into.highest = max(into.highest, into.rates[i])
        if into.rates[i] > 0:
            into.lowest = i // 2 + 1
    if not sound or into.highest == 0:
        raise ValueError("trainable: expected rates, at least 0, finite and not all 0")
    return rates
