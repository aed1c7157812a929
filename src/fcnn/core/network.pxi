# The extension type: arrays that have been checked in, the core's calls, arrays out.

@cython.no_gc_clear             # model.parameters points into `vector` until the end
cdef class Network:
    """The arithmetic of a network, on arrays that have been checked: the base of fcnn.Network.

    A subclass brings three methods for what predict cannot take as it is: _as_inputs, which
    converts inputs or refuses them, _refuse_out, and _threads: how many threads there may be.

    Parameters
    ----------
    sizes : sequence of int
        n_0, ..., n_L.
    activations : sequence of str
        One name for each layer 1..L, some with a number: leaky_relu(0.2).
    loss : str
    dtype : numpy.dtype
        float32 or float64.
    """

    cdef object __weakref__     # an optimizer remembers whose state it holds
    cdef Model model
    cdef int kind               # NumPy's number of the dtype
    cdef cnp.ndarray vector     # the flat parameter vector
    cdef Py_ssize_t asking      # losses of the caller's own that are being asked: core/own.pxi
    cdef cnp.ndarray levels     # of quantiles
    cdef readonly tuple sizes
    cdef readonly tuple activations
    cdef readonly str loss
    cdef void* kept[MOST_KEPT]  # memory for its next calls: core/workspace.pxi

    def __init__(self, sizes, activations, loss, dtype):
        cdef Py_ssize_t l
        cdef Layer* layer
        cdef Layer* layers
        if self.model.layers != NULL:
            raise RuntimeError("the network exists already")
        self.sizes = tuple(sizes)
        self.activations = tuple(activations)
        self.loss = loss
        self.kind = cnp.NPY_FLOAT32 if np.dtype(dtype) == np.float32 else cnp.NPY_FLOAT64
        self.model.itemsize = 4 if self.kind == cnp.NPY_FLOAT32 else 8
        self.model.owner = <PyObject*> self
        self.model.L = len(self.sizes) - 1
        self.levels = describe_loss(&self.model, loss, self.sizes[self.model.L])
        layers = <Layer*> calloc(2 * (self.model.L + 1), sizeof(Layer))
        if layers == NULL:
            raise MemoryError
        try:
            for l in range(1, self.model.L + 1):
                layer = &layers[l]
                layer.n_in = self.sizes[l - 1]
                layer.n_out = self.sizes[l]
                name, alpha = split_activation(self.activations[l - 1])
                layer.activation, _, layer.derivative_reads_z = activation_table[name]
                layer.alpha = self.model.n_targets if layer.activation == ASCENDING else alpha or 0
                self.model.widest = max(self.model.widest, layer.n_out)
            self.model.layers = layers
            self.model.n_parameters = place_layers(&self.model, layers, False)
            self.model.n_in_panels = place_layers(&self.model, layers + self.model.L + 1, True)
            self.model.layers = NULL    # until the network is whole
            self.vector = zeros_with_slack((self.model.n_parameters,), dtype)
        except BaseException:
            free(layers)
            raise
        self.model.lanes = NR if self.model.itemsize == 4 else NR // 2
        self.model.parameters = cnp.PyArray_DATA(self.vector)
        self.model.layers = layers  # last: it marks the network as whole

    def __dealloc__(self):
        free(self.model.layers)
        free_kept(self.kept)

    def free_workspace(self):
        """Free the memory that the network keeps for its next calls.

        What a batch is computed in, at most 32 MB for each call that was made at the same time as
        others, is kept from call to call, since to allocate it takes longer than many a step. It is
        neither copied nor pickled with the network, and freed with it.
        """
        free_kept(self.kept)

    @property
    def dtype(self):
        """numpy.dtype of parameters, inputs and outputs."""
        return np.dtype(np.float32 if self.model.itemsize == 4 else np.float64)

    @property
    def parameters(self):
        """The flat vector of all parameters, layer after layer: W (n_(l-1), n_l), then b (n_l,)."""
        return self.vector[:]   # a view: reshaping it must not reshape the network's own array

    def _read_layers(self, numbers):
        """Take all parameters from an array in the order of files: W^l as (n_l, n_(l-1)), b^l."""
        cdef Py_ssize_t l
        cdef const void* data = data_of(numbers, self.kind, self.model.n_parameters, "numbers")
        for l in range(1, self.model.L + 1):
            if self.kind == cnp.NPY_FLOAT32:
                read_layer(&self.model.layers[l], <const float*> data,
                           <float*> self.model.parameters)
            else:
                read_layer(&self.model.layers[l], <const double*> data,
                           <double*> self.model.parameters)

    @property
    def address(self):
        """Where the functions of `fcnn.c_functions` find the network: an int, valid as long as it.

        It stays the same when the network is trained or its parameters are assigned; a copy or an
        unpickled network has one of its own.
        """
        return <uintptr_t> borrow(self)

    cdef int describe(
        self, const Model* model, X, y, sample_weight, Samples* samples,
    ) except -1:
        """Point samples at arrays that stay alive as long as the caller holds them."""
        cdef Py_ssize_t n_in
        if model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        n_in = model.layers[1].n_in
        samples.rows = len(X)
        if cnp.PyArray_Check(X):
            samples.x = data_of(X, self.kind, samples.rows * n_in, "X")
            samples.begins = NULL
            samples.nodes = NULL
        else:
            describe_stored(X, self.kind, n_in, samples)
        samples.y = NULL
        samples.labels = NULL
        samples.weight = NULL
        samples.order = NULL
        if y is None:
            pass
        elif cnp.PyArray_Check(y) and cnp.PyArray_EquivTypenums(
                cnp.PyArray_TYPE(<cnp.ndarray> y), cnp.NPY_INT64):
            samples.labels = <const int64_t*> data_of(y, cnp.NPY_INT64, samples.rows, "y")
        else:
            n_out = columns_of_y(model)
            if cnp.PyArray_Check(y) and n_out > 1 and not (
                    cnp.PyArray_NDIM(<cnp.ndarray> y) == 2
                    and cnp.PyArray_DIM(<cnp.ndarray> y, 1) == n_out):
                raise ValueError(f"y: expected shape {samples.rows, n_out}, got {y.shape}")
            samples.y = data_of(y, self.kind, samples.rows * n_out, "y")
        if sample_weight is not None:
            samples.weight = data_of(sample_weight, self.kind, samples.rows, "sample_weight")
        return 0

    def __call__(self, X, out=None, n_threads=None):
        """Return a^L; the same as predict."""
        return self.predict(X, out, n_threads)

    # A plain method descriptor: Cython's own function object makes a tuple of the arguments, which
    # costs more than a small network (4-16-3, one row: 270 ns instead of 215).
    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def predict(self, X, out=None, n_threads=None):
        """Return the activations a^L of the output layer.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
            Inputs. NaN flows through.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.
        n_threads : int, optional
            At most so many threads. None takes as many as gain by it (`fcnn.set_num_threads`).
            The answer has the same bits whatever their number.

        Returns
        -------
        numpy.ndarray, shape (s, n_L) or (n_L,)
            `out`, if it was given. Row i has the same bits whether it is predicted alone or in a
            batch.

        Raises
        ------
        ValueError, TypeError
            If X has the wrong shape or is not numeric, or out cannot take the answer.
        """
        if self.is_direct(X):
            return predict_array(self, X, out, n_threads)
        return predict_converted(self, X, out, n_threads)

    cdef bint takes(self, out, int ndim, const cnp.npy_intp* shape) noexcept:
        """Whether predict can write outputs of this shape to out, apart from the parameters."""
        cdef Py_ssize_t size = self.model.itemsize
        cdef int i
        for i in range(ndim):       # NumPy's own functions take longer
            size *= shape[i]
        return (cnp.PyArray_Check(out)
                and cnp.PyArray_TYPE(<cnp.ndarray> out) == self.kind
                and cnp.PyArray_ISCARRAY(<cnp.ndarray> out)
                and cnp.PyArray_NDIM(<cnp.ndarray> out) == ndim
                and cnp.PyArray_DIM(<cnp.ndarray> out, 0) == shape[0]
                and cnp.PyArray_DIM(<cnp.ndarray> out, ndim - 1) == shape[ndim - 1]
                and not share_bytes(cnp.PyArray_DATA(<cnp.ndarray> out), size,
                                    self.model.parameters,
                                    self.model.n_parameters * self.model.itemsize))

    cdef Py_ssize_t multiplications(self, Py_ssize_t rows) noexcept:
        """Multiplications of a forward pass, near enough; without overflow."""
        return min(rows, <Py_ssize_t> 1 << 30) * min(self.model.n_parameters, <Py_ssize_t> 1 << 30)

    cdef int team_size(
        self, n_threads, Py_ssize_t rows, Py_ssize_t batch_size, bint backward, bint in_panels,
    ) except -1:
        """How many threads: as many as were asked for, or as many as gain by it."""
        cdef Py_ssize_t block = min(batch_size, block_rows(&self.model, batch_size, backward))
        cdef Py_ssize_t each = self.model.lanes
        if in_panels:
            each = min(each, WORTH_SHARING)
        cdef Py_ssize_t gaining = min(
            self.multiplications(block) // WORTH_WAITING, (block + each - 1) // each)
        if is_1(n_threads) or n_threads is None and self.multiplications(rows) < WORTH_THREADS:
            return 1
        # In panels no two threads write to one cache line, and layer 1 stays where it is.
        if not in_panels and self.model.n_parameters > EXCHANGED_AT_LEISURE:
            gaining = min(gaining, block // WORTH_EXCHANGING)
        return most_threads(self._threads(n_threads), n_threads is None, gaining)

    def _threads(self, n_threads):
        """Return how many threads a call may have; None is one here."""
        return 1 if n_threads is None else int(n_threads)

    cdef bint is_direct(self, X) noexcept:
        """Whether X can be read as it is."""
        cdef int ndim
        if not cnp.PyArray_CheckExact(X) or self.model.layers == NULL:
            return False
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> X)
        return (cnp.PyArray_TYPE(<cnp.ndarray> X) == self.kind
                and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> X)
                and (ndim == 2 and cnp.PyArray_DIM(<cnp.ndarray> X, 0) > 0 or ndim == 1)
                and cnp.PyArray_DIM(<cnp.ndarray> X, ndim - 1) == self.model.layers[1].n_in)

    cdef int pass_once(
        self, X, y, sample_weight, n_threads, Call* call, bint backward, Py_ssize_t batch_size=0,
        order=None,
    ) except -1:
        """Run a call over arrays: once over all of them, or batch by batch with its update."""
        cdef Opened opened
        self.open_call(
            X, y, sample_weight, n_threads, call, backward, batch_size, order, &opened)
        if opened.moved.count > 0:
            with nogil:
                begin_in_panels(call, &opened)
        try:
            run(call, opened.needs.threads,
                (3 if backward else 1) * self.multiplications(opened.needs.rows))
        finally:
            if opened.moved.count > 0:
                with nogil:
                    end_in_panels(call, &opened)
            keep(self.kept, opened.workspace.memory)
        return 0

    cdef int open_call(
        self, X, y, sample_weight, n_threads, Call* call, bint backward, Py_ssize_t batch_size,
        order, Opened* opened,  # OUT, which the call points into: it stays where it is
    ) except -1:
        """Point a call at its arrays, choose its ways and give it a workspace."""
        cdef Workspace* ws = &opened.workspace
        cdef Needs* needs = &opened.needs
        cdef Moved* moved = &opened.moved
        cdef bint shares_weights
        if call.model == NULL:
            call.model = &self.model
        self.describe(call.model, X, y, sample_weight, &call.data)
        if order is not None:
            call.data.order = <const int64_t*> data_of(
                order, cnp.NPY_INT64, len(order), "order")
            if not are_indices(call.data.order, len(order), call.data.rows):
                raise ValueError("order: expected indices of samples")
            call.data.rows = len(order)
        call.batch_size = max(<Py_ssize_t> 1, min(batch_size or call.data.rows, call.data.rows))
        needs.rows = call.data.rows
        needs.batch_size = call.batch_size
        moved.count = vectors_in_panels(call)
        needs.threads = self.team_size(
            n_threads, call.data.rows, call.batch_size, backward, moved.count > 0)
        needs.tiny = backward and takes_tiny(call, &self.model) and (
            needs.threads == 1 or self.multiplications(call.batch_size) < WORTH_LEAVING_TINY)
        if needs.tiny:
            needs.threads = 1
            moved.count = 0
        needs.backward = backward
        needs.every_z = call.trace[0] != NULL
        choose_inputs(call, ws, needs.tiny)
        if moved.count > 0:
            moved.model = seen_in_panels(call.model)
            call.model = &moved.model
        shares_weights = call.exchange != NULL and call.exchange.shared_weights != NULL
        needs.in_panels = 0 if shares_weights else moved.count
        open_workspace(call.model, self.kept, ws, needs, call.options.dropout)
        if shares_weights:
            ws.weights = call.exchange.shared_weights
        call.workspace = ws
        call.backward = backward
        if call.rule == NULL and call.out != NULL and backward:
            ws.gradient = call.out       # computed in place
            call.out = NULL
        return 0

    def _loss_and_outputs(self, X, y, sample_weight=None, n_threads=None):
        """Return (loss, a^L): the weighted mean of the costs, and the outputs they belong to."""
        cdef Call call
        cdef cnp.ndarray out = self.new_outputs(X)
        memset(&call, 0, sizeof(Call))
        call.out = cnp.PyArray_DATA(out)
        self.pass_once(X, y, sample_weight, n_threads, &call, False)
        return call.loss, out

    cdef cnp.ndarray new_outputs(self, X):
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        cdef cnp.npy_intp shape[2]
        shape[0] = len(X)
        shape[1] = self.model.layers[self.model.L].n_out
        return cnp.PyArray_SimpleNew(2, shape, self.kind)

    def gradients(self, X, y, sample_weight=None, n_threads=None):
        """Return (loss, gradient), the gradient flat and in the order of `parameters`."""
        return self.loss_and_gradient(X, y, sample_weight, n_threads, None)

    cdef tuple loss_and_gradient(self, X, y, sample_weight, n_threads, gradient):
        cdef Call call
        cdef cnp.npy_intp size = self.model.n_parameters
        if gradient is None:
            gradient = cnp.PyArray_SimpleNew(1, &size, self.kind)
        memset(&call, 0, sizeof(Call))
        call.out = cnp.PyArray_DATA(<cnp.ndarray> gradient)
        self.pass_once(X, y, sample_weight, n_threads, &call, True)
        return call.loss, gradient

    def _backpropagate(self, X, y, sample_weight=None, *, bint summed=False):
        """Return (z, a, delta, loss, gradient): lists indexed by l = 0..L, None where undefined."""
        cdef Call call
        cdef Py_ssize_t l, what
        cdef cnp.ndarray gradient = np.empty(self.model.n_parameters, self.dtype)
        cdef void** places
        memset(&call, 0, sizeof(Call))
        arrays = ([None], [X], [None])
        places = <void**> malloc(3 * (self.model.L + 1) * sizeof(void*))
        if places == NULL:
            raise MemoryError
        try:
            for what in range(3):
                call.trace[what] = places + what * (self.model.L + 1)
                for l in range(1, self.model.L + 1):
                    array = np.empty((len(X), self.sizes[l]), self.dtype)
                    arrays[what].append(array)
                    call.trace[what][l] = cnp.PyArray_DATA(<cnp.ndarray> array)
            call.out = cnp.PyArray_DATA(gradient)
            call.options.summed = summed
            self.pass_once(X, y, sample_weight, 1, &call, True)
        finally:
            free(places)
        return (*arrays, call.loss, gradient)

    def _outputs(self, X, n_threads=None, dropout=None, seed=0):
        """Return a^L, shape (s, n_L), with the dropout of the first batch of a call with `seed`."""
        cdef Call call
        cdef cnp.ndarray out = self.new_outputs(X)
        memset(&call, 0, sizeof(Call))
        call.out = cnp.PyArray_DATA(out)
        call.options.seed = seed
        _alive = read_dropout(&call.options, &self.model, dropout)
        self.pass_once(X, None, None, n_threads, &call, False)
        return out

    cdef pass_given(
        self, X, derivative, optimizer, n_threads, Call* call, options, gradient, seed,
        sample_weight=None,
    ):
        """Return the gradient of a derivative of the caller's own; or update: the penalty."""
        cdef cnp.npy_intp size = self.model.n_parameters
        if optimizer is not None:
            return self.train(X, derivative, optimizer, len(X), None, None, n_threads, call,
                              options, None, None, seed)
        if gradient is None:
            gradient = cnp.PyArray_SimpleNew(1, &size, self.kind)
        _alive = self.read_options(&call.options, options, seed)
        call.out = data_of(gradient, self.kind, size, "out", write=True)
        self.pass_once(X, derivative, sample_weight, n_threads, call, True)
        if call.outcome == OVERFLOW:
            raise DivergenceError(f"the loss is {call.loss}, or its derivative is not finite")
        clear_frozen_of(&self.model, &call.options, cnp.PyArray_DATA(<cnp.ndarray> gradient))
        return gradient

    def train_step(
        self, X, y, optimizer, sample_weight=None, n_threads=None, options=None, *,
        batch_losses=None, seed=0,
    ):
        """Make one update with the gradient of the batch; return the loss before it."""
        cdef Call call
        memset(&call, 0, sizeof(Call))
        return self.train(X, y, optimizer, len(X), None, sample_weight, n_threads, &call, options,
                          None, batch_losses, seed)

    def _train_epoch(
        self, X, y, optimizer, batch_size, order=None, sample_weight=None, n_threads=None,
        options=None, *, lr_curve=None, batch_losses=None, totals=None, seed=0,
    ):
        """Make one update for every `batch_size` samples; return the mean loss.

        Parameters
        ----------
        X : numpy.ndarray, shape (s, n_0)
        y : numpy.ndarray, shape (s, num_targets), or int64 labels (s,)
        optimizer : fcnn.optimizers.Optimizer
        batch_size : int
            The last batch takes the samples that are left.
        order : numpy.ndarray of int64, shape (s,), optional
            The samples in the order in which they are to be used.
        sample_weight : numpy.ndarray, shape (s,), optional
        n_threads : int, optional
        options : fcnn._validation.StepOptions, optional
        lr_curve : numpy.ndarray of float64, shape (batches,), optional
            Learning rate of each update, in place of the optimizer's.
        batch_losses : numpy.ndarray of float64, shape (batches, 2), optional
            Written: mean cost and penalty of each batch, before its update.
        totals : numpy.ndarray of float64, shape (4,), optional
            Costs and weights of all samples, penalties and number of all batches, to which this
            call adds its own: the loss is then that of all of them. Zeros at first. So the parts of
            an epoch, one call each, come to the loss of the whole, bit for bit.
        seed : int
            Of the dropout of this call, 0 to 2^63 - 1.

        Raises
        ------
        fcnn.DivergenceError
            If the loss, the gradient of a batch or a weight would not be finite. That update is not
            made.
        KeyboardInterrupt
            Between two updates; the parameters are those of the last completed one.
        """
        cdef Call call
        memset(&call, 0, sizeof(Call))
        if totals is not None:
            call.options.totals = <double*> data_of(
                totals, cnp.NPY_FLOAT64, 4, "totals", write=True)
        return self.train(X, y, optimizer, batch_size, order, sample_weight, n_threads, &call,
                          options, lr_curve, batch_losses, seed)

    cdef train(
        self, X, y, optimizer, Py_ssize_t batch_size, order, sample_weight, n_threads, Call* call,
        options, lr_curve, batch_losses, seed,
    ):
        cdef Rule rule
        cdef Py_ssize_t first_step
        # By the samples are lr_curve and batch_losses as long.
        if order is not None and len(order) != len(X):
            raise ValueError(f"order: {len(order)} indices for {len(X)} samples")
        _alive = self.read_training(
            len(X), optimizer, batch_size, n_threads, call, &rule, options, lr_curve, 1, seed)
        if batch_losses is not None:
            call.options.batch_losses = <double*> data_of(
                batch_losses, cnp.NPY_FLOAT64, 2 * ((len(X) + batch_size - 1) // batch_size),
                "batch_losses", write=True)
        first_step = rule.step
        try:
            self.pass_once(X, y, sample_weight, n_threads, call, True, batch_size, order)
        finally:
            # Not by assignment, which enters the optimizer's __setattr__: a pending Ctrl-C would be
            # raised there, and the steps be lost that the weights have made.
            PyObject_GenericSetAttr(optimizer, "steps", rule.step)
            count_missed(&call.options, &rule, &self.model, optimizer, rule.step - first_step)
        failure = failure_of(self, call, rule.step - first_step)
        if failure is not None:
            raise failure
        return call.loss

    cdef object read_training(
        self, Py_ssize_t rows, optimizer, Py_ssize_t batch_size, n_threads, Call* call, Rule* rule,
        options, lr_curve, Py_ssize_t epochs, seed,
    ):
        """Fill in what trains; return what must stay alive with it."""
        if self.asking:
            refuse_while_asked(self)
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if n_threads is not None and not is_1(n_threads):
            self._threads(n_threads)    # refused, if at all, before the optimizer is touched
        of_options = self.read_options(&call.options, options, seed)
        if lr_curve is not None:
            call.options.lr_curve = <const double*> data_of(
                lr_curve, cnp.NPY_FLOAT64, epochs * ((rows + batch_size - 1) // batch_size),
                "lr_curve")
            if not (lr_curve.min() >= 0 and lr_curve.max() < np.inf):
                raise ValueError("lr_curve: expected learning rates, at least 0 and finite")
        call.rule = rule
        state = read_rule(self, optimizer, rule)
        return of_options, state, read_missed(&call.options, rule, &self.model, optimizer)

    cdef object read_options(self, Options* into, options, seed):
        """Fill in what an update is given; return what must stay alive with it."""
        into.seed = seed
        if options is None:
            return None
        into.l1 = options.l1
        into.l2 = options.l2
        into.penalty_per_sample = options.penalty_per_sample
        into.clip_norm = options.clip_norm or 0
        into.label_smoothing = options.label_smoothing
        if not (into.l1 >= 0 and into.l2 >= 0 and into.clip_norm >= 0
                and 0 <= into.label_smoothing <= 1):
            raise ValueError("l1, l2, clip_norm, label_smoothing: out of range")
        if (into.label_smoothing > 0 and self.model.targets != losses.CLASSES
                and self.model.targets != losses.PROBABILITIES):
            raise ValueError(f"label_smoothing: {self.loss} has no labels to smooth")
        return (read_dropout(into, &self.model, options.dropout),
                read_rates(into, &self.model, options.trainable))
