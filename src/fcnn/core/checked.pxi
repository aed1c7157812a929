# What users call with data of any kind. Arrays that are right as they are go straight to the core:
# they are checked here, in less time than the smallest step takes. Everything else goes through
# Python (_validation.py), which converts it or says what is wrong with it.

cdef enum:
    # In millionths, how far a one-hot row's sum may be from 1; beyond, and up to 1e-4, Python adds
    # it up once more, in its own order.
    SURELY_1 = 90


cdef bint all_within(const real* x, Py_ssize_t n, double low, double high) noexcept nogil:
    """Whether low <= x <= high for each x; NaN is not, and no infinity is within real's range."""
    cdef Py_ssize_t i
    cdef real first = <real> low, last = <real> high
    cdef bint fine = True
    for i in range(n):
        fine &= (x[i] >= first) & (x[i] <= last)
    return fine


cdef bint add_up_to_1(const real* y, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef double total
    for i in range(rows):
        total = 0
        for k in range(n):
            total += y[i * n + k]
        if fabs(total - 1) > SURELY_1 * 1e-6:
            return False
    return True


cdef bint are_targets(const Model* model, const real* y, Py_ssize_t rows) noexcept nogil:
    """Whether rows of targets are what the loss is defined for."""
    cdef Py_ssize_t n = model.n_targets
    cdef double most = FLT_MAX if real is float else DBL_MAX
    if model.targets == losses.CLASSES:
        return all_within(y, rows * n, 0, most) and add_up_to_1(y, rows, n)
    return all_within(y, rows * n, -most if model.targets == losses.NUMBERS else 0,
                      1 if model.targets == losses.PROBABILITIES else most)


cdef bint are_weights(const real* weight, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint some = False
    for i in range(rows):
        some |= weight[i] > 0
    return some and all_within(weight, rows, 0, FLT_MAX if real is float else DBL_MAX)


cdef inline bint is_0(number) noexcept:
    return PyFloat_CheckExact(number) and PyFloat_AsDouble(number) == 0


cdef inline bint is_plain(number, double* into) noexcept:
    """Whether it is a float that is at least 0 and finite, which is read."""
    if not PyFloat_CheckExact(number):
        return False
    into[0] = PyFloat_AsDouble(number)
    return 0 <= into[0] < INFINITY


cdef object place_apart(out, X, y, weight):
    """`out`, or None where a batch is read that shares its memory: its gradient is added up while
    later blocks are still to be read."""
    if out is None:
        return None
    for given in (X if cnp.PyArray_Check(X) else X.values, y, weight):
        if given is not None and overlap(out, given):
            return None
    return out


cdef object moved_to(out, gradient):
    """A gradient, where the caller wants it."""
    if out is None or gradient is out:
        return gradient
    memcpy(cnp.PyArray_DATA(<cnp.ndarray> out), cnp.PyArray_DATA(<cnp.ndarray> gradient),
           cnp.PyArray_NBYTES(<cnp.ndarray> out))
    return out


cdef class CheckedNetwork(Network):
    """A network whose calls take what users have; the base of fcnn.Network.

    A subclass brings, beside Network's, _optimizer_type, _sobolev_gradients and _sobolev_step,
    which have targets of the Jacobian, too, and methods for what is not right as it is: _as_batch,
    _as_given, _as_answer and _as_update return it as the core takes it, or refuse it;
    _refuse_vector and _refuse_loss refuse it; _score evaluates outputs; _refuse_nonfinite looks for
    what made a step diverge.
    """

    @property
    def num_targets(self):
        """Columns of y: n_L, or a part of it where the loss has several outputs for each."""
        return self.model.n_targets

    cdef bint is_batch(self, X, y, sample_weight) except -1:
        """Whether the core can read these samples as they are."""
        cdef Py_ssize_t rows, n = self.model.n_targets
        cdef Py_ssize_t first = 0, count = max(<Py_ssize_t> 1, ENTRIES_PER_LOOK // n)
        cdef void* data
        if not self.is_direct(X) or cnp.PyArray_NDIM(<cnp.ndarray> X) != 2:
            return False
        rows = cnp.PyArray_DIM(<cnp.ndarray> X, 0)
        if self.model.targets == losses.CLASSES and is_array(y, cnp.NPY_INT64, 1, rows, 1):
            if not are_indices(<const int64_t*> cnp.PyArray_DATA(<cnp.ndarray> y), rows, n):
                return False
        elif is_array(y, self.kind, 2, rows, n) or (
                n == 1 and is_array(y, self.kind, 1, rows, 1)):
            data = cnp.PyArray_DATA(<cnp.ndarray> y)
            while first < rows:
                count = min(count, rows - first)
                if not (are_targets(&self.model, <const float*> data + first * n, count)
                        if self.model.itemsize == 4
                        else are_targets(&self.model, <const double*> data + first * n, count)):
                    return False
                first += count
                if first < rows:
                    PyErr_CheckSignals()
        else:
            return False
        if sample_weight is None:
            return True
        if not is_array(sample_weight, self.kind, 1, rows, 1):
            return False
        data = cnp.PyArray_DATA(<cnp.ndarray> sample_weight)
        if self.model.itemsize == 4:
            return are_weights(<const float*> data, rows)
        return are_weights(<const double*> data, rows)

    cdef tuple batch(self, X, y, sample_weight):
        """Return (X, y, sample_weight) as the core takes them."""
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        if self.is_batch(X, y, sample_weight):
            return X, y, sample_weight
        return self._as_batch(X, y, sample_weight)

    # As for predict: a plain method descriptor costs less.
    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def gradients(
        self, X, y=None, sample_weight=None, n_threads=None, *,
        loss=None, of="a", delta=None, out=None, jacobian_targets=None, jacobian_weight=None,
    ):
        """Return the loss and its gradient.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        y : array-like
            Targets, shape (s, num_targets), (s,) for labels or a single one. With a loss of your
            own anything that it takes, and without need.
        sample_weight : array-like, shape (s,), optional
            The loss is the weighted mean, sum_i w_i C_i / sum_i w_i.
        n_threads : int, optional
            As for `fit`.
        loss : callable, optional
            A loss of your own instead of the network's: ``loss(a, y)``, or ``loss(a, y,
            sample_weight)`` if there are weights, is given the outputs a, shape (s, n_L), and
            returns its value, a number, and its derivative dC/da, of the same shape. It may call
            the network, and must change neither X nor the parameters; to train the network in it
            is refused.
        of : {"a", "z"}, default "a"
            What `loss` is a function of: the activations a^L, or the input sums z^L (logits), and
            its derivative then dC/dz.
        delta : array-like, shape (s, n_L), optional
            delta^L = dC/dz^L of a loss of your own, instead of `y` and `loss`.
        out : numpy.ndarray, shape (num_parameters,), optional
            Where to write the gradient: contiguous, of the network's dtype. It may be the memory
            of the other arguments.
        jacobian_targets, jacobian_weight
            What the Jacobian is to be, and how much that counts: see `fit`.

        Returns
        -------
        loss : float, or None with `delta`
        gradient : numpy.ndarray, shape (num_parameters,)
            In the order of `parameters`.

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described.
        fcnn.DivergenceError
            If the value or the derivative of a loss of your own is not finite.
        """
        if out is not None and not (
                self.is_vector(out) and cnp.PyArray_ISCARRAY(<cnp.ndarray> out)):
            self._refuse_vector("out", out)
        if jacobian_targets is not None or jacobian_weight is not None:
            return self._sobolev_gradients(X, y, sample_weight, n_threads, loss, of, delta, out,
                                           jacobian_targets, jacobian_weight)
        if delta is not None:
            if y is not None or sample_weight is not None or loss is not None:
                raise TypeError("delta: it stands for y, sample_weight and loss, give it alone")
            X, delta = self._as_given(X, delta)
            gradient = given_gradient(
                self, X, delta, n_threads, place_apart(out, X, delta, None))
            return None, moved_to(out, gradient)
        if loss is not None:
            return self.own(X, y, sample_weight, n_threads, loss, of, None, None, out, 0)
        if of != "a":
            raise ValueError(f"of: it says what a loss of your own is of, got {of!r} without one")
        X, y, sample_weight = self.batch(X, y, sample_weight)
        value, gradient = self.loss_and_gradient(
            X, y, sample_weight, n_threads, place_apart(out, X, y, sample_weight))
        return value, moved_to(out, gradient)

    cdef bint is_vector(self, vector) noexcept:
        """Whether it can be a gradient: as long as the parameters, and apart from them."""
        cdef char* begin = <char*> self.model.parameters
        cdef char* other
        cdef Py_ssize_t size = self.model.n_parameters * self.model.itemsize
        if self.model.layers == NULL or not is_array(
                vector, self.kind, 1, self.model.n_parameters, 1):
            return False
        other = <char*> cnp.PyArray_DATA(<cnp.ndarray> vector)
        return other + size <= begin or begin + size <= other

    cdef object plain_options(
        self, Options* into, l1, l2, clip_norm, dropout, label_smoothing, trainable, bint any_,
    ):
        """Fill in the options of an update that need no look of Python's; None if they do.

        What is returned otherwise must stay alive. To check and hand on the least of them by
        Python takes four times as long as a small step. Not `any_`: where all are as by default.
        """
        if not (is_0(dropout) and is_0(label_smoothing) and is_plain(l1, &into.l1)
                and is_plain(l2, &into.l2)):
            return None
        if clip_norm is not None and not (
                is_plain(clip_norm, &into.clip_norm) and into.clip_norm > 0):
            return None
        if not any_ and (
                into.l1 != 0 or into.l2 != 0 or clip_norm is not None or trainable is not None):
            return None
        return True if trainable is None else plain_rates(into, &self.model, trainable)

    cdef tuple own(
        self, X, y, sample_weight, n_threads, loss, of, optimizer, options, gradient, seed,
    ):
        """own_step with what users give."""
        cdef bint of_z = of == "z"
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        if not callable(loss) or not (of_z or of == "a"):
            self._refuse_loss(loss, of)
        if not self.is_direct(X) or cnp.PyArray_NDIM(<cnp.ndarray> X) != 2:
            X, _ = self._as_given(X, None)
        try:
            value, other = own_step(
                self, X, y, sample_weight, loss, of_z, optimizer, n_threads, options,
                place_apart(gradient, X, None, None), seed)
            return value, moved_to(gradient, other)
        except DivergenceError:
            self._refuse_nonfinite(X)
            raise

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def evaluate(self, X, y, sample_weight=None, n_threads=None):
        """Return the loss and the usual score on some data.

        Parameters
        ----------
        X, y, sample_weight, n_threads
            As for `gradients`.

        Returns
        -------
        dict
            "loss", and "accuracy" (share of samples whose every output is right) for the entropies,
            "d2" (`fcnn.metrics.d2_quantile`) for quantiles or "r2" (coefficient of determination,
            averaged over targets) for the other losses.

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described, or X is not finite.
        """
        X, y, sample_weight = self.batch(X, y, sample_weight)
        loss, outputs = self._loss_and_outputs(X, y, sample_weight, n_threads)
        if not isfinite(<double> loss):
            self._refuse_nonfinite(X)   # whose class would be the first: NaN is no maximum
        name, value = self._score(outputs, y, sample_weight)
        return {"loss": loss, name: value}

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def train_step(
        self, X, y, optimizer, sample_weight=None, n_threads=None, *,
        l1=0.0, l2=0.0, clip_norm=None, dropout=0.0, label_smoothing=0.0, loss=None, of="a",
        trainable=None, jacobian_targets=None, jacobian_weight=None,
    ):
        """Make one update with the gradient of a batch; return the loss before it.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        y : array-like
            Targets, shape (s, num_targets), (s,) for labels or a single one.
        optimizer : fcnn.SGD, fcnn.Adam or fcnn.AdamW
        sample_weight : array-like, shape (s,), optional
        n_threads, l1, l2, clip_norm, dropout, label_smoothing
            As for `fit`. What is dropped is drawn from ``net.rng``.
        loss, of
            A loss of your own: see `gradients`. It may call the network, and must not train it.
        trainable
            Which layers move, and how fast: see `fit`.
        jacobian_targets, jacobian_weight
            What the Jacobian is to be, and how much that counts: see `fit`.

        Returns
        -------
        float
            The loss, with the penalty of l1 and l2.

        Raises
        ------
        fcnn.DivergenceError
            If loss, gradient or a weight would not be finite; the parameters are unchanged.
        ValueError, TypeError
            If an argument is not as described or X is not finite; nothing is changed.
        """
        cdef Call call
        if jacobian_targets is not None or jacobian_weight is not None:
            return self._sobolev_step(
                X, y, optimizer, sample_weight, n_threads,
                (l1, l2, clip_norm, dropout, label_smoothing, trainable), loss, of,
                jacobian_targets, jacobian_weight)
        if loss is None:
            if of != "a":
                raise ValueError(
                    f"of: it says what a loss of your own is of, got {of!r} without one")
            X, y, sample_weight = self.batch(X, y, sample_weight)
        options, seed = None, 0
        memset(&call, 0, sizeof(Call))
        _rates = self.plain_options(
            &call.options, l1, l2, clip_norm, dropout, label_smoothing, trainable, loss is None)
        if _rates is None or not isinstance(optimizer, self._optimizer_type):
            memset(&call, 0, sizeof(Call))
            options, seed = self._as_update(
                optimizer, n_threads, loss is not None, l1, l2, clip_norm, dropout, label_smoothing,
                trainable)
        if loss is not None:
            value, penalty = self.own(
                X, y, sample_weight, n_threads, loss, of, optimizer, options, None, seed)
            return value + penalty
        try:
            return self.train(X, y, optimizer, len(X), None, sample_weight, n_threads, &call,
                              options, None, None, seed)
        except DivergenceError:
            # Looked for only now, because a NaN always ends here and a look costs as much as a
            # small step.
            self._refuse_nonfinite(X)
            raise


def are_samples(CheckedNetwork network not None, X, y, sample_weight):
    """Return whether the core can read samples as they are, X is finite and y has a row for each.

    With one output y may also have the shape (s,) elsewhere: here it is to be labels then.
    """
    cdef Py_ssize_t size
    cdef void* data
    if network.model.layers == NULL or not network.is_batch(X, y, sample_weight) or (
            cnp.PyArray_NDIM(<cnp.ndarray> y) == 1
            and cnp.PyArray_TYPE(<cnp.ndarray> y) != cnp.NPY_INT64):
        return False
    data = cnp.PyArray_DATA(<cnp.ndarray> X)
    size = cnp.PyArray_SIZE(<cnp.ndarray> X)
    return finite_or_raise(data, size, network.model.itemsize == 4)
