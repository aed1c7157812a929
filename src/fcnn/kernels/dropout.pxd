"""Dropout: in training a node is dropped with probability p, and the others count 1 / (1 - p).

Then the mean of a layer's activations is what it is without dropout, and prediction needs nothing
of this (inverted dropout; N. Srivastava et al., JMLR 15, 2014). Whether a node is dropped is a hash
of the call's seed, the batch, the layer, the sample's place in the batch and the node: no state
that threads would share, and the same masks whatever their number.
"""

from libc.stdint cimport uint32_t, uint64_t

from fcnn.kernels.isa cimport NR
from fcnn.kernels.real cimport real


cdef inline uint64_t scramble(uint64_t x) noexcept nogil:
    """A bijection after which every bit depends on every bit (the finalizer of splitmix64)."""
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64_t layer_key(
    uint64_t seed, Py_ssize_t batch, Py_ssize_t l,
) noexcept nogil:
    return scramble(scramble(seed + <uint64_t> 0x9E3779B97F4A7C15 * <uint64_t> (batch + 1)) + l)


cdef inline void drop(
    double p, uint64_t key,
    Py_ssize_t first,           # place in the batch of the panel's first sample
    real* a,                    # IN, OUT (n, lanes) a panel
    real* mask,                 # OUT (n, lanes) 0 or 1 / (1 - p)
    Py_ssize_t n, Py_ssize_t lanes,
) noexcept nogil:
    cdef uint32_t keys[NR]
    cdef uint32_t bits, node, least = <uint32_t> (p * 4294967296.0)
    cdef real kept = <real> (1 / (1 - p))
    cdef Py_ssize_t k, s
    for s in range(lanes):
        keys[s] = <uint32_t> (scramble(key + <uint64_t> (first + s)) >> 32)
    for k in range(n):
        node = <uint32_t> k * <uint32_t> 0x9E3779B9
        for s in range(lanes):
            # The 32-bit finalizer of MurmurHash3: multiplications that vectors have.
            bits = keys[s] + node
            bits = (bits ^ (bits >> 16)) * <uint32_t> 0x85EBCA6B
            bits = (bits ^ (bits >> 13)) * <uint32_t> 0xC2B2AE35
            bits = bits ^ (bits >> 16)
            mask[k * lanes + s] = kept if bits >= least else <real> 0
        for s in range(lanes):
            a[k * lanes + s] *= mask[k * lanes + s]
