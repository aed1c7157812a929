# Losses of the caller's own, and updates with gradients that come from elsewhere.
#
# A pass stops behind the outputs of its batch and asks for their derivative: one forward pass, not
# two. Where the batch has several blocks, or is worth several threads, the outputs are computed
# first, and once more in the pass: a smaller part of it there.

cdef extern from *:
    Py_ssize_t add_to "__atomic_add_fetch"(Py_ssize_t* place, Py_ssize_t n, int order) nogil


def refuse_while_asked(Network network not None):
    """Raise RuntimeError in a loss of the caller's own that a pass of the network waits for.

    The rest of that pass, and its update, would be of other weights than its outputs.
    """
    if network.asking:
        raise RuntimeError(
            "the network is in the middle of a step, whose loss may call it, but not train it")


cdef class Asked:
    """A loss of the caller's own, and the arrays of the call that it stands in."""

    cdef Network network
    cdef object loss
    cdef object y
    cdef object weight
    cdef cnp.ndarray outputs    # (s, n_L), a^L or z^L
    cdef cnp.ndarray derivative  # of the loss with respect to these
    cdef double value
    cdef bint answered          # whether these two are the loss's

    cdef int ask(self) except -1:
        cdef Py_ssize_t rows = cnp.PyArray_DIM(self.outputs, 0)
        cdef Py_ssize_t n = cnp.PyArray_DIM(self.outputs, 1)
        cdef cnp.ndarray given
        add_to(&self.network.asking, 1, ACQUIRE_RELEASE)
        try:
            if self.weight is None:
                answer = self.loss(self.outputs, self.y)
            else:
                answer = self.loss(self.outputs, self.y, self.weight)
        finally:
            add_to(&self.network.asking, -1, ACQUIRE_RELEASE)
        if not (PyTuple_CheckExact(answer) and len(<tuple> answer) == 2
                and PyFloat_Check((<tuple> answer)[0])
                and is_array((<tuple> answer)[1], self.network.kind, 2, rows, n)):
            answer = self.network._as_answer(answer, self.outputs)
        self.value, given = <tuple> answer
        memcpy(cnp.PyArray_DATA(self.derivative), cnp.PyArray_DATA(given),
               cnp.PyArray_NBYTES(self.derivative))
        self.answered = True
        return 0

    cdef bint is_finite(self) except -1:
        """Whether it is not the loss's answer that made a step diverge."""
        return not self.answered or (isfinite(self.value) and all_finite(self.derivative))

    cdef str why(self):
        return (f"the loss became {self.value}, or its derivative is not finite, in step 1; the "
                f"weights are those before that step{nonfinite_parameter(self.network)}")


cdef bint ask_own(Call* call, const real* tag) noexcept nogil:
    """Ask for the derivative at the outputs; return whether the call is to end."""
    cdef Py_ssize_t n = call.data.rows * call.model.layers[call.model.L].n_out
    with gil:
        asked = <Asked> call.own
        try:
            asked.ask()
        except BaseException as error:
            Py_INCREF(error)
            call.error = <PyObject*> error
            return True
        call.loss = asked.value
    if isfinite(call.loss) and finite(<const real*> call.data.y, n):
        return False
    call.outcome = OVERFLOW
    return True


cdef bint ask_at_outputs(
    Worker* w, const Samples* block, Py_ssize_t first, Py_ssize_t last, const real* tag,
) noexcept nogil:
    """ask_own, once the outputs are where the caller sees them."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Py_ssize_t lanes = model.lanes, n = model.layers[model.L].n_out, i
    cdef void** source = (call.workspace.z if model.loss == GIVEN_DELTA else call.workspace.a)
    for i in range(first, last):
        rows_of(<const real*> source[model.L] + i * n * lanes, n,
                <real*> call.asked_at + i * lanes * n, min(lanes, block.rows - i * lanes), lanes)
    w.stop = ask_own(call, tag)
    return w.stop


cdef bint is_asked_at_once(Network network, Py_ssize_t rows, n_threads) except -1:
    """Whether a batch is one block that one thread computes."""
    return (block_rows(&network.model, rows, True) >= rows and network.team_size(
        n_threads, rows, rows, True, False) == 1)


def own_step(
    Network network not None, X, y, sample_weight, loss, bint of_z, optimizer=None, n_threads=None,
    options=None, gradient=None, seed=0,
):
    """Compute a gradient, or make an update, with a loss of the caller's own.

    Parameters
    ----------
    network : Network
    X : numpy.ndarray, shape (s, n_0), or SparseRows
    y, sample_weight
        For the loss, as they are.
    loss : callable
        loss(a, y), or loss(a, y, sample_weight) where that is not None, returns (C, dC/da), the
        second of shape (s, n_L).
    of_z : bool
        Of z^L instead of a^L.
    optimizer : fcnn.optimizers.Optimizer, optional
        Without one the gradient is returned.
    n_threads : int, optional
    options : fcnn._validation.StepOptions, optional
    gradient : numpy.ndarray, shape (num_parameters,), optional
        Where it goes.
    seed : int
        Of the dropout.

    Returns
    -------
    value : float
        What the loss returned.
    other : numpy.ndarray, or float
        The gradient, without optimizer; otherwise the penalty.
    """
    cdef Model model = network.model
    cdef Call call
    cdef Asked asked = Asked.__new__(Asked)
    cdef bint at_once
    memset(&call, 0, sizeof(Call))
    asked.network, asked.loss, asked.y, asked.weight = network, loss, y, sample_weight
    asked.outputs, asked.derivative = network.new_outputs(X), network.new_outputs(X)
    at_once = is_asked_at_once(network, len(X), n_threads)
    model.loss = GIVEN_DELTA if of_z else GIVEN
    call.model = &model
    if at_once:
        n_threads = 1
        call.own = <PyObject*> asked
        call.asked_at = cnp.PyArray_DATA(asked.outputs)
    else:
        compute_outputs(network, &model, X, asked.outputs, n_threads, options, seed)
        asked.ask()
        if not asked.is_finite():
            raise DivergenceError(asked.why())
    try:
        other = network.pass_given(
            X, asked.derivative, optimizer, n_threads, &call, options, gradient, seed)
    except DivergenceError:
        if not asked.is_finite():
            raise DivergenceError(asked.why()) from None
        raise
    return asked.value, other


cdef compute_outputs(
    Network network, const Model* model, X, cnp.ndarray outputs, n_threads, options, seed,
):
    """a^L, or z^L where the loss is of that, with the dropout of a call with `seed`."""
    cdef Call call
    memset(&call, 0, sizeof(Call))
    call.model = model
    call.out = cnp.PyArray_DATA(outputs)
    call.out_is_z = model.loss == GIVEN_DELTA
    call.options.seed = seed
    _alive = read_dropout(
        &call.options, model, None if options is None else options.dropout)
    network.pass_once(X, None, None, n_threads, &call, False)


def given_gradient(Network network not None, X, delta, n_threads=None, gradient=None):
    """Return the gradient that belongs to delta^L = dC/dz^L, shape (s, n_L)."""
    cdef Model model = network.model
    cdef Call call
    memset(&call, 0, sizeof(Call))
    model.loss = GIVEN_DELTA
    call.model = &model
    return network.pass_given(X, delta, None, n_threads, &call, None, gradient, 0)


def step_gradient(
    Network network not None, X, y, sample_weight=None, n_threads=None, options=None, *, seed=0,
    gradient=None, bint summed=False,
):
    """Return (loss, gradient) as a training step computes them: with dropout and smoothing.

    `summed` is of the sum over samples instead of the mean.
    """
    cdef Call call
    memset(&call, 0, sizeof(Call))
    call.options.summed = summed
    gradient = network.pass_given(
        X, y, None, n_threads, &call, options, gradient, seed, sample_weight)
    return call.loss, gradient


def penalty_of(Network network not None, options):
    """Return what l1 and l2 add to the loss."""
    cdef double l1 = options.l1, l2 = options.l2
    if network.model.itemsize == 4:
        return penalty(&network.model, l1, l2, <const float*> NULL)
    return penalty(&network.model, l1, l2, <const double*> NULL)


def update(CheckedNetwork network not None, optimizer, gradient, options=None):
    """Make an update with a gradient, (num_parameters,), as train_step makes it with its own."""
    cdef Rule rule
    cdef Options given
    cdef Outcome outcome
    cdef Model* model = &network.model
    cdef cnp.ndarray own
    cdef Call call
    cdef Team team
    cdef Worker w
    cdef void* g
    cdef void* copy
    memset(&call, 0, sizeof(Call))
    memset(&team, 0, sizeof(Team))
    call.watched = True
    begin_worker(&w, &call, &team, 0)
    memset(&given, 0, sizeof(Options))
    refuse_while_asked(network)
    _alive = network.read_options(&given, options, 0)
    if not network.is_vector(gradient):
        network._refuse_vector("gradient", gradient)
    own = np.empty(model.n_parameters + SLACK, network.dtype)
    _state = read_rule(network, optimizer, &rule)    # alive
    _missed = read_missed(&given, &rule, model, optimizer)
    first_step = rule.step
    g = cnp.PyArray_DATA(<cnp.ndarray> gradient)
    copy = cnp.PyArray_DATA(own)
    with nogil:
        if model.itemsize == 4:
            outcome = update_given(
                &w, model, &rule, <const float*> g, &given, <float*> copy, NULL)
        else:
            outcome = update_given(
                &w, model, &rule, <const double*> g, &given, <double*> copy, NULL)
    PyObject_GenericSetAttr(optimizer, "steps", rule.step)
    count_missed(&given, &rule, model, optimizer, rule.step - first_step)
    raise_error(&call)
    if outcome == NO_MEMORY:
        raise MemoryError("cannot copy parameters and optimizer state before a risky step")
    if outcome == OVERFLOW:
        raise DivergenceError(
            "the gradient, a weight or the optimizer's state is infinite or NaN; the weights are "
            "those before the update")
