"""The two number types of the core, and a multiply-add of both."""

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
