# Activations of a whole layer, where each output depends on several input sums: the softmax, and
# the ascending outputs of quantiles. They stand in the output layer alone.

from fcnn.kernels.activations cimport (
    ASCENDING, SOFTMAX, ascending, ascending_delta, ascending_slopes, softmax, softmax_row,
    sum_from_above,
)
from fcnn.kernels.losses cimport softmax_delta


cdef inline bint is_together(const Layer* layer) noexcept nogil:
    return layer.activation == SOFTMAX or layer.activation == ASCENDING


cdef void activate_together(
    const Layer* layer,
    const real* z, real* a,     # IN, OUT panel (n_L, lanes); may be the same
    real* normalizer,           # OUT (lanes,) of the softmax, or NULL
    Py_ssize_t lanes,           # of a panel, or half of them
) noexcept nogil:
    # Constants: of these the loops over lanes are vector instructions alone.
    cdef Py_ssize_t whole = NR if real is float else NR // 2
    if layer.activation == SOFTMAX and lanes == whole:
        softmax(z, a, normalizer, layer.n_out, whole)
    elif layer.activation == SOFTMAX:
        softmax(z, a, normalizer, layer.n_out, whole // 2)
    elif layer.activation == ASCENDING:
        ascending(z, a, layer.n_out, <Py_ssize_t> layer.alpha, lanes)
    else:
        trap()


cdef void activate_row(
    const Layer* layer,
    real* a,                    # IN z (n,), OUT a
    Py_ssize_t whole,           # see softmax_row
) noexcept nogil:
    """The same numbers of one sample."""
    if layer.activation == SOFTMAX:
        softmax_row(a, layer.n_out, whole)
    elif layer.activation == ASCENDING:
        ascending(a, a, layer.n_out, <Py_ssize_t> layer.alpha, 1)
    else:
        trap()


cdef void delta_together(
    const Layer* layer, const real* z, const real* a,   # IN panels (n_L, lanes)
    real* delta,                # IN dC/da, OUT dC/dz
    Py_ssize_t lanes,
) noexcept nogil:
    if layer.activation == SOFTMAX:
        softmax_delta(a, delta, layer.n_out, lanes)
    elif layer.activation == ASCENDING:
        ascending_delta(z, delta, layer.n_out, <Py_ssize_t> layer.alpha, lanes)
    else:
        trap()
