# Second derivatives with respect to the inputs.
#
# Both passes of v J are differentiated once more, in a direction u; D stands for that derivative:
#
#     D z^l_k     = sum_j W^l_kj D a^(l-1)_j                          D a^0 = u
#     D a^l_k     = sigma'(z^l_k) D z^l_k
#     D d^l_k     = sigma'(z^l_k) D g^l_k + sigma''(z^l_k) g^l_k D z^l_k      d^l = sigma'(z^l) g^l
#     D g^(l-1)_j = sum_k D d^l_k W^l_kj                              g^L = v, D g^L = 0
#
# and D g^0 is the Hessian of v . a^L times u. The whole Hessian has all unit vectors for u. B. A.
# Pearlmutter: Fast exact multiplication by the Hessian, Neural Computation 6, 1994.

cdef void second_slopes(
    const Model* model, const Tangents* t, Py_ssize_t samples, const real* tag,
) noexcept nogil:
    """sigma''(z) of all layers, behind forward_slopes."""
    cdef Py_ssize_t l, i, k, n, at
    cdef const Layer* layer
    cdef const real* a
    cdef const real* slope
    cdef real* second
    for l in range(1, model.L + 1):
        layer = &model.layers[l]
        n = layer.n_out
        if layer.activation == SOFTMAX:
            continue
        for i in range(samples):
            at = i * row_width(model, n)
            a = <const real*> t.a[l] + at
            second = <real*> t.second[l] + at
            if layer.activation == ASCENDING:
                # Of softplus: s (1 - s) where its slope is s; 0 where that is 1.
                slope = <const real*> t.slope[l] + at
                for k in range(n):
                    second[k] = slope[k] * (<real> 1 - slope[k])
            else:
                activations.any_second_derivative(
                    layer.activation, <real> layer.alpha, <const real*> t.z[l] + at, a, second, n)
            if l == model.L:
                for k in range(n):      # as in forward_slopes
                    second[k] = a[k] if a[k] != a[k] else second[k]


cdef inline real sum_of_products(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    """sum_k x_k y_k, in blocks as all long sums."""
    cdef Py_ssize_t k, first = 0, last
    cdef real total = 0, some
    while first < n:
        last = min(first + BLOCK_TERMS, n)
        some = 0
        for k in range(first, last):
            some += x[k] * y[k]
        total += some
        first = last
    return total


cdef void second_of_softmax(
    const real* a, const real* v,   # IN (n,)
    real* delta,                # OUT a (v - m), m = sum v a
    real* Dz,                   # IN (each, stride) D z, OUT D delta = D a (v - m) - a D m
    Py_ssize_t stride, Py_ssize_t each, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t k, e
    cdef real m = sum_of_products(v, a, n), mean, D_m
    for k in range(n):
        delta[k] = a[k] * (v[k] - m)
    for e in range(each):
        mean = sum_of_products(<const real*> Dz, a, n)
        for k in range(n):
            Dz[k] = a[k] * (Dz[k] - mean)       # D a
        D_m = sum_of_products(v, <const real*> Dz, n)
        for k in range(n):
            Dz[k] = Dz[k] * (v[k] - m) - a[k] * D_m
        Dz += stride


cdef inline void second_of_layer(
    const real* slope, const real* second,  # IN (n,)
    real* g,                    # IN g, OUT d
    const real* Dz,             # IN (each, Dz_stride)
    Py_ssize_t Dz_stride,
    real* Dg,                   # IN D g, OUT D d: (each, stride)
    Py_ssize_t stride, Py_ssize_t each, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t k, e
    for e in range(each):
        for k in range(n):
            Dg[k] = slope[k] * Dg[k] + second[k] * g[k] * Dz[k]
        Dg += stride
        Dz += Dz_stride
    for k in range(n):
        g[k] *= slope[k]


cdef void hessian_block(
    Worker* w, const Derivation* d, const Tangents* t, Py_ssize_t samples,
    const real* v,              # IN (samples, n_L), or NULL for the unit vector of d.output
    const real* u,              # IN (samples, n_0), or NULL for all unit vectors
    real* out,                  # OUT (samples, units, n_0)
) noexcept nogil:
    cdef const Model* model = w.call.model
    cdef const real* W_1 = <const real*> model.parameters + model.layers[1].W
    cdef Py_ssize_t L = model.L, n_0 = model.layers[1].n_in, n_L = model.layers[L].n_out
    cdef Py_ssize_t units = 1 if u != NULL else n_0, first = 0, each, i, e, l, n, at
    cdef Py_ssize_t width = widest_row(model), node_width
    cdef real* g = <real*> t.g[0]
    cdef real* next_g = <real*> t.g[1]
    cdef real* Dg = <real*> t.rows[0]
    cdef real* next_Dg = <real*> t.rows[1]
    while first < units:
        each = min(d.each, units - first)
        for l in range(1, L + 1):
            n = model.layers[l].n_out
            node_width = row_width(model, n)
            if l > 1:
                rows_product(w, &model.layers[l], False, False, <const real*> Dg, width,
                             samples * each, <real*> t.Dz[l], node_width, t)
            elif u != NULL:
                rows_product(w, &model.layers[1], False, False, u, n_0, samples, <real*> t.Dz[1],
                             node_width, t)
            else:
                for i in range(samples * each):
                    memcpy(<real*> t.Dz[1] + i * node_width, W_1 + (first + i % each) * n,
                           n * sizeof(real))
            for i in range(samples * each):
                memcpy(Dg + i * width, <const real*> t.Dz[l] + i * node_width, n * sizeof(real))
            if l < L:
                multiply_rows(<const real*> t.slope[l], node_width, samples, Dg, width, each, n)
            if w.stop:
                return
        for i in range(samples):
            if v != NULL:
                memcpy(g + i * width, v + i * n_L, n_L * sizeof(real))
            else:
                memset(g + i * width, 0, n_L * sizeof(real))
                g[i * width + d.output] = 1
        for l in range(L, 0, -1):
            n = model.layers[l].n_out
            node_width = row_width(model, n)
            for i in range(samples):
                at = i * node_width
                if model.layers[l].activation == SOFTMAX:
                    memcpy(t.before, g + i * width, n * sizeof(real))
                    second_of_softmax(<const real*> t.a[l] + at, <const real*> t.before,
                                      g + i * width, Dg + i * each * width, width, each, n)
                    continue
                if model.layers[l].activation == ASCENDING:
                    sum_from_above(g + i * width, n, <Py_ssize_t> model.layers[l].alpha, 1)
                if l == L:
                    for e in range(each):
                        memset(Dg + (i * each + e) * width, 0, n * sizeof(real))
                second_of_layer(<const real*> t.slope[l] + at, <const real*> t.second[l] + at,
                                g + i * width, <const real*> t.Dz[l] + at * each, node_width,
                                Dg + i * each * width, width, each, n)
            rows_product(w, &model.layers[l], True, False, <const real*> Dg, width, samples * each,
                         next_Dg, width, t)
            Dg, next_Dg = next_Dg, Dg
            if l > 1:
                rows_product(w, &model.layers[l], True, False, <const real*> g, width, samples,
                             next_g, width, t)
                g, next_g = next_g, g
            if w.stop:
                return
        for i in range(samples):
            for e in range(each):
                memcpy(out + (i * units + first + e) * n_0, Dg + (i * each + e) * width,
                       n_0 * sizeof(real))
        first += each
