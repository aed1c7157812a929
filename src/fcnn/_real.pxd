"""The two number types of the core, and the elementary functions of both."""

from libc cimport math

ctypedef fused real:
    float
    double


cdef inline real exponential(real x) noexcept nogil:
    return math.expf(x) if real is float else math.exp(x)


cdef inline real exponential_minus_1(real x) noexcept nogil:
    return math.expm1f(x) if real is float else math.expm1(x)


cdef inline real logarithm(real x) noexcept nogil:
    return math.logf(x) if real is float else math.log(x)


cdef inline real logarithm_of_1_plus(real x) noexcept nogil:
    return math.log1pf(x) if real is float else math.log1p(x)


cdef inline real hyperbolic_tangent(real x) noexcept nogil:
    return math.tanhf(x) if real is float else math.tanh(x)


cdef inline real error_function(real x) noexcept nogil:
    return math.erff(x) if real is float else math.erf(x)


cdef inline real square_root(real x) noexcept nogil:
    return math.sqrtf(x) if real is float else math.sqrt(x)
