"""The two number types of the core, and the elementary functions of both."""

from libc cimport math

ctypedef fused real:
    float
    double


cdef extern from * nogil:
    """
    /* Named, instead of left to the compiler's contraction of a * b + c: Clang contracts a vector
       loop and not its remainder, and a row would have other bits alone than in a batch. Without
       the instruction fma() is a call of the C library, fifty times slower. */
    #if defined(__FMA__) || defined(__aarch64__)
    #define fcnn_fmaf(a, b, c) __builtin_fmaf(a, b, c)
    #define fcnn_fma(a, b, c) __builtin_fma(a, b, c)
    #else
    #define fcnn_fmaf(a, b, c) ((a) * (b) + (c))
    #define fcnn_fma(a, b, c) ((a) * (b) + (c))
    #endif
    """
    float fcnn_fmaf(float a, float b, float c)
    double fcnn_fma(double a, double b, double c)


cdef inline real multiply_add(real a, real b, real c) noexcept nogil:
    """a b + c, in one rounding where the CPU has an instruction for it."""
    return fcnn_fmaf(a, b, c) if real is float else fcnn_fma(a, b, c)


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
