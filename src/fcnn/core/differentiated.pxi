# What users call for derivatives with respect to the inputs.

cdef class DifferentiatedNetwork(CheckedNetwork):
    """A network with derivatives with respect to its inputs: the base of fcnn.Network.

    A subclass brings, beside CheckedNetwork's, _as_vectors and _as_output: they convert v and u,
    or which output is meant, or refuse them.
    """

    cdef cnp.ndarray dense_inputs(self, X):
        """X as the core reads it. What is computed has a place for each zero of a sparse one."""
        if self.model.layers == NULL:
            raise RuntimeError("the network has not been initialized")
        cdef Given given
        cdef cnp.ndarray inputs
        if self.is_direct(X):
            return X
        if describe_given(X, self.model.layers[1].n_in, &given) and all_fit(
                &given, self.model.itemsize):
            inputs = cnp.PyArray_SimpleNew(
                cnp.PyArray_NDIM(<cnp.ndarray> X), cnp.PyArray_DIMS(<cnp.ndarray> X), self.kind)
            convert(&given, 0, given.rows, cnp.PyArray_DATA(inputs), self.model.itemsize)
            return inputs
        X = self._as_inputs(X)
        return X if cnp.PyArray_Check(X) else X.toarray()

    cdef cnp.ndarray vectors(self, name, values, cnp.ndarray inputs, Py_ssize_t n):
        """One vector of n entries for each of the inputs."""
        cdef int ndim = cnp.PyArray_NDIM(inputs)
        cdef Py_ssize_t rows = cnp.PyArray_DIM(inputs, 0) if ndim == 2 else n
        if is_array(values, self.kind, ndim, rows, n):
            return values
        return self._as_vectors(name, values, (rows, n)[2 - ndim:])

    cdef cnp.ndarray place_of(self, out, int ndim, const cnp.npy_intp* shape, name):
        """Where an answer goes: a new array, or the caller's, checked."""
        cdef bint takes
        cdef int i
        if out is None:
            return cnp.PyArray_SimpleNew(ndim, shape, self.kind)
        takes = self.takes(out, ndim, shape)
        if takes and ndim == 3:
            takes = cnp.PyArray_DIM(<cnp.ndarray> out, 1) == shape[1]
        if not takes:
            self._refuse_out(out, tuple([shape[i] for i in range(ndim)]), name)
        return out

    cdef cnp.ndarray derive(
        self, Derivation* d, cnp.ndarray inputs, cnp.ndarray out, n_threads,
    ):
        """Fill `out` with derivatives of all rows."""
        cdef Call call
        cdef Workspace ws
        cdef Worker w
        cdef Tangents tangents
        cdef Py_ssize_t rows = cnp.PyArray_DIM(inputs, 0) if cnp.PyArray_NDIM(inputs) == 2 else 1
        cdef Py_ssize_t work = <Py_ssize_t> min(
            <double> self.multiplications(rows) * (1 + passes_of(d, &self.model)), 1e18)
        cdef int threads = 1
        memset(&call, 0, sizeof(Call))
        memset(&ws, 0, sizeof(Workspace))
        call.model = &self.model
        call.workspace = &ws
        call.derivation = d
        call.data.x = cnp.PyArray_DATA(inputs)
        call.data.rows = rows
        call.out = cnp.PyArray_DATA(out)
        if (n_threads is not None and not is_1(n_threads)) or (
                n_threads is None and work >= WORTH_THREADS):
            threads = most_threads(
                self._threads(n_threads), n_threads is None, 2 * work // WORTH_THREADS)
            # Blocks need no barrier between them.
            threads = min(<Py_ssize_t> threads, (rows + d.samples - 1) // d.samples)
        ws.scratch_bytes = lay_out_tangents(&self.model, d, NULL, &tangents)
        ws.memory = workspace_of(self.kept, threads * ws.scratch_bytes + 64)
        ws.scratch = aligned(<Kept*> ws.memory + 1)
        try:
            if threads == 1 and rows <= d.samples and work < WORTH_RELEASING:
                # No thread to be made, no signal to be looked for.
                lay_out_tangents(&self.model, d, ws.scratch, &tangents)
                begin_worker(&w, &call, NULL, 0)
                if self.model.itemsize == 4:
                    differentiate_block(&w, &tangents, 0, rows, <float*> NULL)
                else:
                    differentiate_block(&w, &tangents, 0, rows, <double*> NULL)
            else:
                run(&call, threads, work)
        finally:
            keep(self.kept, ws.memory)
        return out

    # As for predict: plain method descriptors cost less.
    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def jacobian(self, X, out=None, n_threads=None):
        """Return the derivatives of all outputs with respect to all inputs, d a^L_k / d x_j.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
            Inputs. Of one with a NaN or an infinity all that depends on it is NaN, as a^L is.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.
        n_threads : int, optional
            As for `predict`: the answer has the same bits whatever their number.

        Returns
        -------
        numpy.ndarray, shape (s, n_L, n_0) or (n_L, n_0)
            `out`, if it was given. That of row i has the same bits, but for the sign of a NaN,
            whether it is computed alone or in a batch. Where an activation has a kink (relu,
            leaky_relu, elu at z = 0), its derivative is that of z < 0.

        Raises
        ------
        ValueError, TypeError
            If X has the wrong shape or is not numeric, or out cannot take the answer.

        Notes
        -----
        Tangents of all inputs go forward, or deltas of all outputs back, whichever takes fewer
        multiplications. A. Griewank, A. Walther: Evaluating derivatives, 2nd ed., SIAM 2008,
        chapter 3.
        """
        cdef Derivation d
        cdef cnp.ndarray inputs = self.dense_inputs(X), outputs
        cdef int ndim = cnp.PyArray_NDIM(inputs)
        cdef cnp.npy_intp shape[3]
        shape[0] = cnp.PyArray_DIM(inputs, 0)
        shape[ndim - 1] = self.model.layers[self.model.L].n_out
        shape[ndim] = self.model.layers[1].n_in
        outputs = self.place_of(out, ndim + 1, shape, "out")
        begin_derivation(&d, &self.model, JACOBIAN, shape[0] if ndim == 2 else 1)
        return self.derive(&d, apart(inputs, outputs), outputs, n_threads)

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def vjp(self, X, v, out=None, n_threads=None):
        """Return the outputs, and the derivatives of their sums weighted with v: v J.

        With dC/da^L of a loss for v, that is dC/dx. One pass back, whatever n_0 and n_L are.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        v : array-like, shape (s, n_L) or (n_L,)
            A weight for each output of each row.
        out : (numpy.ndarray, numpy.ndarray), optional
            Where to write the two answers: the network's dtype, C-contiguous, the shapes below,
            apart from each other; either may be the memory of X or v. None in place of one makes a
            new array of it.
        n_threads : int, optional
            As for `predict`.

        Returns
        -------
        a : numpy.ndarray, shape (s, n_L) or (n_L,)
            What `predict` returns, bit for bit.
        numpy.ndarray, shape (s, n_0) or (n_0,)
            sum_k v_k d a^L_k / d x_j of each row. Kinks and NaN: see `jacobian`.

        Raises
        ------
        ValueError, TypeError
            If X or v has the wrong shape or is not numeric, or out cannot take the answers.
        """
        cdef cnp.ndarray inputs = self.dense_inputs(X)
        cdef cnp.ndarray weights = self.vectors(
            "v", v, inputs, self.model.layers[self.model.L].n_out)
        return self.product(VJP, inputs, weights, out, n_threads)

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def jvp(self, X, u, out=None, n_threads=None):
        """Return the outputs, and their derivatives in the direction u: J u.

        One pass forward, whatever n_0 and n_L are.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        u : array-like, shape (s, n_0) or (n_0,)
            A direction for each row.
        out : (numpy.ndarray, numpy.ndarray), optional
            Where to write the two answers: see `vjp`.
        n_threads : int, optional
            As for `predict`.

        Returns
        -------
        a : numpy.ndarray, shape (s, n_L) or (n_L,)
            What `predict` returns, bit for bit.
        numpy.ndarray, shape (s, n_L) or (n_L,)
            sum_j d a^L_k / d x_j u_j of each row. Kinks and NaN: see `jacobian`.

        Raises
        ------
        ValueError, TypeError
            If X or u has the wrong shape or is not numeric, or out cannot take the answers.
        """
        cdef cnp.ndarray inputs = self.dense_inputs(X)
        cdef cnp.ndarray directions = self.vectors("u", u, inputs, self.model.layers[1].n_in)
        return self.product(JVP, inputs, directions, out, n_threads)

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def hvp(self, X, v, u, out=None, n_threads=None):
        """Return the Hessian of the outputs' sum weighted with v, times u.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        v : array-like, shape (s, n_L) or (n_L,)
            A weight for each output of each row.
        u : array-like, shape (s, n_0) or (n_0,)
            A direction for each row.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.
        n_threads : int, optional
            As for `predict`.

        Returns
        -------
        numpy.ndarray, shape (s, n_0) or (n_0,)
            sum_i u_i d^2 (sum_k v_k a^L_k) / (dx_i dx_j) of each row. It is 0 where all activations
            are relu, leaky_relu and identity. Kinks and NaN: see `jacobian`.

        Raises
        ------
        ValueError, TypeError
            If X, v or u has the wrong shape or is not numeric, or out cannot take the answer.

        Notes
        -----
        About four forward passes, whatever n_0 and n_L are. B. A. Pearlmutter: Fast exact
        multiplication by the Hessian, Neural Computation 6, 1994.
        """
        cdef Derivation d
        cdef cnp.ndarray inputs = self.dense_inputs(X), products
        cdef cnp.ndarray weights = self.vectors(
            "v", v, inputs, self.model.layers[self.model.L].n_out)
        cdef cnp.ndarray directions = self.vectors("u", u, inputs, self.model.layers[1].n_in)
        cdef int ndim = cnp.PyArray_NDIM(inputs)
        begin_derivation(
            &d, &self.model, HVP, cnp.PyArray_DIM(inputs, 0) if ndim == 2 else 1)
        products = self.place_of(out, ndim, cnp.PyArray_DIMS(inputs), "out")
        weights = apart(weights, products)
        directions = apart(directions, products)
        d.v = cnp.PyArray_DATA(weights)
        d.u = cnp.PyArray_DATA(directions)
        return self.derive(&d, apart(inputs, products), products, n_threads)

    @cython.binding(False)
    @cython.embedsignature(True)
    @cython.embedsignature.format("clinic")
    def hessian(self, X, output=None, out=None, n_threads=None):
        """Return the second derivatives of one output, d^2 a^L_k / (dx_i dx_j).

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        output : int, optional
            k, from 0 to n_L - 1. A network with one output needs none.
        out : numpy.ndarray, optional
            Where to write: the network's dtype, C-contiguous, the shape of the answer.
        n_threads : int, optional
            As for `predict`.

        Returns
        -------
        numpy.ndarray, shape (s, n_0, n_0) or (n_0, n_0)
            Symmetric but for rounding. Kinks and NaN: see `jacobian`.

        Raises
        ------
        ValueError, TypeError
            If X has the wrong shape or is not numeric, output is not as described, or out cannot
            take the answer.
        """
        cdef Derivation d
        cdef cnp.ndarray inputs = self.dense_inputs(X), second
        cdef int ndim = cnp.PyArray_NDIM(inputs)
        cdef cnp.npy_intp shape[3]
        begin_derivation(
            &d, &self.model, HESSIAN, cnp.PyArray_DIM(inputs, 0) if ndim == 2 else 1)
        if not (PyLong_CheckExact(output) and 0 <= output < self.sizes[self.model.L]):
            output = self._as_output(output)
        d.output = output
        shape[0] = cnp.PyArray_DIM(inputs, 0)
        shape[ndim - 1] = shape[ndim] = self.model.layers[1].n_in
        second = self.place_of(out, ndim + 1, shape, "out")
        return self.derive(&d, apart(inputs, second), second, n_threads)

    cdef tuple product(
        self, Derivative what, cnp.ndarray inputs, cnp.ndarray factors, out, n_threads,
    ):
        """Return (a^L, v J) or (a^L, J u)."""
        cdef Derivation d
        cdef int ndim = cnp.PyArray_NDIM(inputs)
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray a, products
        cdef Py_ssize_t n_L = self.model.layers[self.model.L].n_out
        cdef Py_ssize_t n = self.model.layers[1].n_in if what == VJP else n_L
        first, second = None, None
        if out is not None:
            if not (PyTuple_CheckExact(out) and len(<tuple> out) == 2):
                got = f"{len(out)} of them" if isinstance(out, tuple) else type(out).__name__
                raise TypeError(f"out: expected a tuple of two arrays, got {got}")
            first, second = <object> PyTuple_GetItem(out, 0), <object> PyTuple_GetItem(out, 1)
        shape[0] = cnp.PyArray_DIM(inputs, 0)
        begin_derivation(&d, &self.model, what, shape[0] if ndim == 2 else 1)
        shape[ndim - 1] = n_L
        a = self.place_of(first, ndim, shape, "out[0]")
        shape[ndim - 1] = n
        products = self.place_of(second, ndim, shape, "out[1]")
        if first is not None and second is not None and overlap(a, products):
            raise ValueError("out: expected two arrays apart from each other, got shared memory")
        if first is not None:
            inputs, factors = apart(inputs, a), apart(factors, a)
        if second is not None:
            inputs, factors = apart(inputs, products), apart(factors, products)
        d.v = d.u = cnp.PyArray_DATA(factors)
        d.a = cnp.PyArray_DATA(a)
        self.derive(&d, inputs, products, n_threads)
        return (a, products) if first is None or second is None else out
