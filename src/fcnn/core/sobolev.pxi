# Training on derivatives: the gradient, by the parameters, of how far the Jacobian is from a given
# one,
#
#     P = w / (2 sum_s w_s) sum_s w_s sum_kj (J_kj - dY_kj)^2             w_s: sample weights
#
# With R = dP/dJ of a sample, dP is the change of sum_e v_e J u_e with v_e and u_e held fixed, where
# the pairs are a column of R and the unit vector of an input, or the unit vector of an output and a
# row of R: as many as the Jacobian has tangents or deltas. Of both passes of a pair z and W are the
# variables:
#
#     S^l_k = sum_j W^l_kj T^(l-1)_j      T^l = sigma'(z^l) S^l           T^0 = u
#     G^(l-1)_j = sum_k D^l_k W^l_kj      D^l = sigma'(z^l) G^l           G^L = v
#
#     dP/dW^l_kj = sum_e D^l_k T^(l-1)_j + delta^l_k a^(l-1)_j            dP/db^l_k = delta^l_k
#     delta^l_k  = sigma'(z^l_k) sum_m delta^(l+1)_m W^(l+1)_mk + sum_e G^l_k sigma''(z^l_k) S^l_k
#
# W. M. Czarnecki et al.: Sobolev training for neural networks, NeurIPS 2017.
#
# One pass makes the Jacobian, and the other follows with R; so both ways are one code. A thread has
# a block of samples of its own and adds up its gradient there. The gradients of the blocks are
# added in their order, whoever made them, so that the number of threads changes no bit.

cdef struct Pairs:              # what one thread writes, beside its Tangents
    double* cost                # of the block,
    void* gradient              # and (n_parameters,)
    void** S                    # S[1..L] of each pair, rows (., row_width); S[0] is T^0
    void** G                    # G[1..L]
    void** bend                 # bend[1..L]: what sigma'' adds to delta, a row for each sample
    void* packed                # lanes of D: (ROWS_OF_TANGENTS, lanes)


cdef Py_ssize_t lay_out_pairs(
    const Model* model, const Derivation* d, void* memory, Tangents* t, Pairs* p,
) noexcept nogil:
    """Place what one thread writes, or count its bytes alone where memory is NULL."""
    cdef uintptr_t position = <uintptr_t> memory
    cdef Py_ssize_t l, L = model.L, size = model.itemsize, block
    cdef void* part[2]
    p.cost = <double*> place(&position, sizeof(double))
    p.gradient = place(&position, model.n_parameters * size)
    p.S = <void**> place(&position, 3 * (L + 1) * sizeof(void*))
    p.G = p.S + L + 1
    p.bend = p.G + L + 1
    p.packed = place(&position, ROWS_OF_TANGENTS * model.lanes * size)
    part[0] = place(&position, d.samples * d.each * row_width(model, model.layers[1].n_in) * size)
    if memory != NULL:
        p.S[0] = part[0]
    for l in range(1, L + 1):
        block = d.samples * row_width(model, model.layers[l].n_out) * size
        part[0] = place(&position, d.each * block)
        part[1] = place(&position, block)
        if memory != NULL:
            p.G[l] = part[0]
            p.bend[l] = part[1]
    position = <uintptr_t> place(&position, 0)
    block = lay_out_tangents(model, d, <void*> position if memory != NULL else NULL, t)
    if memory != NULL:
        for l in range(1, L + 1):
            p.S[l] = t.Dz[l]
    return <Py_ssize_t> (position - <uintptr_t> memory) + block


# --- Both passes of the pairs -----------------------------------------------------------------

cdef void times_slope(
    const Model* model, const Tangents* t, Py_ssize_t l,
    const real* rows,           # IN `each` rows for each sample
    real* product,              # OUT may be the same
    bint back, Py_ssize_t samples, Py_ssize_t each,
) noexcept nogil:
    """T^l of S^l, or back D^l of G^l."""
    cdef Py_ssize_t n = model.layers[l].n_out, width = row_width(model, n), i, e, at
    for i in range(samples):
        at = i * width
        for e in range(i * each, (i + 1) * each):
            if product != rows:
                memcpy(product + e * width, rows + e * width, n * sizeof(real))
            if l == model.L:
                multiply_by_output_derivative(
                    model, <const real*> t.a[l] + at, <const real*> t.slope[l] + at,
                    product + e * width, back, 1)
            else:
                multiply(<const real*> t.slope[l] + at, product + e * width, n)


cdef void tangents_forward(
    Worker* w, const Tangents* t, const Pairs* p, Py_ssize_t samples, Py_ssize_t each,
    const real* tag,
) noexcept nogil:
    """All S of T^0."""
    cdef const Model* model = w.call.model
    cdef const real* emitting = <const real*> p.S[0]
    cdef Py_ssize_t l
    for l in range(1, model.L + 1):
        if l > 1:
            emitting = <const real*> t.rows[0]
            times_slope(model, t, l - 1, <const real*> p.S[l - 1], <real*> t.rows[0], False,
                        samples, each)
        rows_product(w, &model.layers[l], False, False, emitting,
                     row_width(model, model.layers[l].n_in), samples * each, <real*> p.S[l],
                     row_width(model, model.layers[l].n_out), t)
        if w.stop:
            return


cdef void deltas_back(
    Worker* w, const Tangents* t, const Pairs* p, Py_ssize_t samples, Py_ssize_t each,
    real* G_0,                  # OUT rows of inputs, or NULL
) noexcept nogil:
    """All G of G^L."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t l
    for l in range(model.L, 0 if G_0 != NULL else 1, -1):
        times_slope(model, t, l, <const real*> p.G[l], <real*> t.rows[0], True, samples, each)
        rows_product(w, &model.layers[l], True, False, <const real*> t.rows[0],
                     row_width(model, model.layers[l].n_out), samples * each,
                     <real*> p.G[l - 1] if l > 1 else G_0,
                     row_width(model, model.layers[l].n_in), t)
        if w.stop:
            return


cdef void unit_rows(
    real* rows, Py_ssize_t width, Py_ssize_t n, Py_ssize_t first,
    Py_ssize_t samples, Py_ssize_t each,
) noexcept nogil:
    """The unit vectors first, first + 1, ... for each sample."""
    cdef Py_ssize_t i
    for i in range(samples * each):
        memset(rows + i * width, 0, n * sizeof(real))
        rows[i * width + first + i % each] = 1


cdef double residuals(
    const real* J, Py_ssize_t n,    # IN `each` rows or columns of the Jacobian of each sample,
    Py_ssize_t width,               # n numbers each, (., width)
    const real* targets, Py_ssize_t of_sample, Py_ssize_t of_row, Py_ssize_t of_entry,  # strides
    const real* weight, double scale,
    real* R,                        # OUT (., width)
    Py_ssize_t samples, Py_ssize_t each,
) noexcept nogil:
    """R = scale w_s (J - dY); return sum_s w_s (J - dY)^2."""
    cdef double total = 0, cost
    cdef real factor, error
    cdef const real* target
    cdef Py_ssize_t i, e, k
    for i in range(samples):
        factor = <real> (scale * weight[i] if weight != NULL else scale)
        cost = 0
        for e in range(each):
            target = targets + i * of_sample + e * of_row
            for k in range(n):
                error = J[k] - target[k * of_entry]
                cost += <double> error * error
                R[k] = factor * error
            J += width
            R += width
        total += cost * (weight[i] if weight != NULL else 1)
    return total


# --- What follows for the parameters ----------------------------------------------------------

cdef void add_bend(
    const Layer* layer, const real* a, const real* second,  # IN (n_l,) of a sample
    const real* S, const real* G,   # IN (each, width)
    Py_ssize_t width, Py_ssize_t each,
    real* bend,                 # OUT (n_l,), added to
    real* of_a,                 # scratch (n_l,)
) noexcept nogil:
    """sum_e of the derivative of G^l D a^l by z^l, D a^l in the direction S^l."""
    cdef Py_ssize_t n = layer.n_out, k, e
    cdef real mean_S, mean_G, mean = 0
    cdef const real* of_node
    if layer.activation != SOFTMAX:
        for e in range(each):
            of_node = G
            if layer.activation == ASCENDING:
                memcpy(of_a, G, n * sizeof(real))
                sum_from_above(of_a, n, <Py_ssize_t> layer.alpha, 1)
                of_node = of_a
            for k in range(n):
                bend[k] += of_node[k] * second[k] * S[k]
            S += width
            G += width
        return
    # sum_e (sum_k G_k a_k S_k - sum_k a_k G_k sum_k a_k S_k), by a and then by z.
    memset(of_a, 0, n * sizeof(real))
    for e in range(each):
        mean_S = mean_G = 0
        for k in range(n):
            mean_S += a[k] * S[k]
            mean_G += a[k] * G[k]
        for k in range(n):
            of_a[k] += G[k] * (S[k] - mean_S) - mean_G * S[k]
        S += width
        G += width
    for k in range(n):
        mean += a[k] * of_a[k]
    for k in range(n):
        bend[k] += a[k] * (of_a[k] - mean)


cdef void add_outer_products(
    Worker* w, const Layer* layer, const Tangents* t, const Pairs* p,
    const real* T, Py_ssize_t T_width,  # IN (rows, n_(l-1))
    const real* D, Py_ssize_t D_width,  # IN (rows, n_l)
    Py_ssize_t rows,            # ROWS_OF_TANGENTS at most
) noexcept nogil:
    """dW^l_kj += sum_r D_rk T_rj."""
    cdef Py_ssize_t lanes = NR if real is float else NR // 2, n_in = layer.n_in
    cdef Py_ssize_t n_out = layer.n_out, k = 0, j, i, c, columns, height, tile
    cdef Tiles tiles = shared_by_tiles(n_in)
    cdef real sums[MR * NR]
    cdef real* packed = <real*> p.packed
    cdef real* dW
    while k < n_out:
        columns = min(lanes, n_out - k)
        memset(packed, 0, rows * lanes * sizeof(real))
        for i in range(rows):
            memcpy(packed + i * lanes, D + i * D_width + k, columns * sizeof(real))
        j = 0
        for tile in range(tiles.count):
            height = tiles.low + 1 if tile < tiles.more else tiles.low
            micro_tile(A_COLUMNS, height, columns <= lanes // 2, T + j, T_width, 0, 0,
                       <const real*> packed, &sums[0], lanes, rows, <const real*> t.zeros, STORE,
                       0, 0)
            dW = <real*> p.gradient + layer.W + j * n_out + k
            for i in range(height):
                for c in range(columns):
                    dW[i * n_out + c] += sums[i * lanes + c]
            j += height
        k += lanes
    should_stop(w, rows * n_in * n_out)


cdef void parameters_of_pairs(
    Worker* w, const Tangents* t, const Pairs* p, Py_ssize_t samples, Py_ssize_t each,
    const real* tag,
) noexcept nogil:
    """What S and G of some pairs are to dW and to delta."""
    cdef const Model* model = w.call.model
    cdef Py_ssize_t l, i, at, width
    for l in range(1, model.L + 1):
        width = row_width(model, model.layers[l].n_out)
        for i in range(samples):
            at = i * width
            add_bend(&model.layers[l], <const real*> t.a[l] + at, <const real*> t.second[l] + at,
                     <const real*> p.S[l] + at * each, <const real*> p.G[l] + at * each, width,
                     each, <real*> p.bend[l] + at, <real*> t.before)
    for l in range(1, model.L + 1):
        if l > 1:
            times_slope(model, t, l - 1, <const real*> p.S[l - 1], <real*> p.S[l - 1], False,
                        samples, each)
        times_slope(model, t, l, <const real*> p.G[l], <real*> p.G[l], True, samples, each)
        add_outer_products(w, &model.layers[l], t, p, <const real*> p.S[l - 1],
                           row_width(model, model.layers[l].n_in), <const real*> p.G[l],
                           row_width(model, model.layers[l].n_out), samples * each)
        if w.stop:
            return


cdef void parameters_of_deltas(
    Worker* w, const Tangents* t, const Pairs* p,
    const real* x,              # IN (samples, n_0)
    Py_ssize_t samples,
) noexcept nogil:
    """The delta recursion, with what sigma'' adds on the way."""
    cdef const Model* model = w.call.model
    cdef const Layer* layer
    cdef Py_ssize_t l, i, k, n, width, L = model.L
    cdef real* delta = <real*> t.g[0]
    cdef real* before = <real*> t.g[1]
    cdef real* bend
    cdef real* db
    for l in range(L, 0, -1):
        layer = &model.layers[l]
        n = layer.n_out
        width = row_width(model, n)
        db = <real*> p.gradient + layer.b
        for i in range(samples):
            bend = <real*> p.bend[l] + i * width
            if l == L:
                memcpy(delta + i * width, bend, n * sizeof(real))
            else:
                multiply(<const real*> t.slope[l] + i * width, delta + i * width, n)
                for k in range(n):
                    delta[i * width + k] += bend[k]
            for k in range(n):
                db[k] += delta[i * width + k]
        if l == 1:
            add_outer_products(w, layer, t, p, x, layer.n_in, <const real*> delta, width, samples)
            return
        add_outer_products(w, layer, t, p, <const real*> t.a[l - 1],
                           row_width(model, layer.n_in), <const real*> delta, width, samples)
        rows_product(w, layer, True, False, <const real*> delta, width, samples, before,
                     row_width(model, layer.n_in), t)
        delta, before = before, delta
        if w.stop:
            return


cdef void sobolev_block(
    Worker* w, const Derivation* d, const Tangents* t, const Pairs* p,
    Py_ssize_t begin, Py_ssize_t samples, const real* tag,
) noexcept nogil:
    """Cost and gradient of some samples."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out, l
    cdef Py_ssize_t units = n_0 if d.forward else n_L, first = 0, each
    cdef Py_ssize_t in_width = row_width(model, n_0), out_width = row_width(model, n_L)
    cdef const real* x = <const real*> call.data.x + begin * n_0
    cdef const real* targets = <const real*> d.targets + begin * n_L * n_0
    cdef const real* weight = NULL
    if call.data.weight != NULL:
        weight = <const real*> call.data.weight + begin
    p.cost[0] = 0
    memset(p.gradient, 0, model.n_parameters * sizeof(real))
    for l in range(1, L + 1):
        memset(p.bend[l], 0, samples * row_width(model, model.layers[l].n_out) * sizeof(real))
    forward_slopes(w, t, x, samples)
    if w.stop:
        return
    second_slopes(model, t, samples, tag)
    while first < units:
        each = min(d.each, units - first)
        if d.forward:
            unit_rows(<real*> p.S[0], in_width, n_0, first, samples, each)
            tangents_forward(w, t, p, samples, each, tag)
            times_slope(model, t, L, <const real*> p.S[L], <real*> t.rows[0], False, samples,
                        each)
            p.cost[0] += residuals(
                <const real*> t.rows[0], n_L, out_width, targets + first, n_L * n_0, 1, n_0,
                weight, d.scale, <real*> p.G[L], samples, each)
            deltas_back(w, t, p, samples, each, <real*> NULL)
        else:
            unit_rows(<real*> p.G[L], out_width, n_L, first, samples, each)
            deltas_back(w, t, p, samples, each, <real*> t.rows[1])
            p.cost[0] += residuals(
                <const real*> t.rows[1], n_0, in_width, targets + first * n_0, n_L * n_0, n_0, 1,
                weight, d.scale, <real*> p.S[0], samples, each)
            tangents_forward(w, t, p, samples, each, tag)
        if w.stop:
            return
        parameters_of_pairs(w, t, p, samples, each, tag)
        if w.stop:
            return
        first += each
    parameters_of_deltas(w, t, p, x, samples)


cdef void sobolev_blocks(Worker* w, const real* tag) noexcept nogil:
    """Rounds of a block for each thread; between them their gradients are added up."""
    cdef Call* call = w.call
    cdef const Model* model = call.model
    cdef const Derivation* d = call.derivation
    cdef Py_ssize_t bytes_ = call.workspace.scratch_bytes, size = w.team.size, begun = 0, begin
    cdef Py_ssize_t n = model.n_parameters, i, k
    cdef ptrdiff_t away         # what another thread wrote, from what this one did
    cdef Tangents t
    cdef Pairs p
    cdef real* gradient = <real*> call.out
    cdef const real* part
    lay_out_pairs(model, d, <char*> call.workspace.scratch + w.index * bytes_, &t, &p)
    while begun < call.data.rows:
        begin = begun + w.index * d.samples
        if begin < call.data.rows:
            sobolev_block(w, d, &t, &p, begin, min(d.samples, call.data.rows - begin), tag)
        if stop_at_barrier(w):
            return
        for i in range(size):
            if begun + i * d.samples >= call.data.rows:
                break
            away = (i - w.index) * bytes_
            part = <const real*> (<char*> p.gradient + away)
            for k in range(n * w.index // size, n * (w.index + 1) // size):
                gradient[k] += part[k]
            if w.index == 0:
                call.loss += (<double*> (<char*> p.cost + away))[0]
        begun += size * d.samples
        if stop_at_barrier(w):
            return


def add_jacobian_gradient(
    Network network not None, X, targets, double weight, sample_weight, n_threads, gradient,
):
    """Return the loss of a Jacobian's distance from another, and add its gradient to one.

    Parameters
    ----------
    network : Network
    X : numpy.ndarray, shape (s, n_0)
    targets : numpy.ndarray, shape (s, n_L, n_0)
        dY.
    weight : float
        w of the loss w/2 |J - dY|^2, which is summed over the entries of a Jacobian and averaged
        over samples.
    sample_weight : numpy.ndarray, shape (s,), or None
    n_threads : int or None
        It changes no bit.
    gradient : numpy.ndarray, shape (num_parameters,)
        To which that of the loss, by the parameters, is added.
    """
    cdef Call call
    cdef Workspace ws
    cdef Derivation d
    cdef Tangents t
    cdef Pairs p
    cdef Model* model = &network.model
    cdef Py_ssize_t rows, work
    cdef int threads = 1
    cdef double total
    memset(&call, 0, sizeof(Call))
    memset(&ws, 0, sizeof(Workspace))
    network.describe(&network.model, X, None, sample_weight, &call.data)
    rows = call.data.rows
    if call.data.begins != NULL or rows == 0:
        raise TypeError("X: expected an array with a sample")
    if model.itemsize == 4:
        total = total_weight(&call.data, <const float*> NULL)
    else:
        total = total_weight(&call.data, <const double*> NULL)
    begin_derivation(&d, model, SOBOLEV, rows)
    d.targets = data_of(
        targets, network.kind, rows * network.sizes[model.L] * network.sizes[0], "targets")
    d.scale = weight / total if total > 0 else 0
    call.model = model
    call.workspace = &ws
    call.derivation = &d
    call.out = data_of(gradient, network.kind, model.n_parameters, "gradient", write=True)
    work = <Py_ssize_t> min(
        <double> network.multiplications(rows) * (1 + passes_of(&d, model)), 1e18)
    if (n_threads is not None and not is_1(n_threads)) or (
            n_threads is None and work >= WORTH_THREADS):
        threads = most_threads(
            network._threads(n_threads), n_threads is None, 2 * work // WORTH_THREADS)
        threads = min(<Py_ssize_t> threads, (rows + d.samples - 1) // d.samples)
    ws.scratch_bytes = lay_out_pairs(model, &d, NULL, &t, &p)
    ws.memory = workspace_of(network.kept, threads * ws.scratch_bytes + 64)
    ws.scratch = aligned(<Kept*> ws.memory + 1)
    try:
        run(&call, threads, work)
    finally:
        keep(network.kept, ws.memory)
    return call.loss * d.scale / 2
