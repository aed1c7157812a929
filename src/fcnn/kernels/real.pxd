"""The two number types of the core, a multiply-add of both, and what no table may reach."""

ctypedef fused real:
    float
    double


cdef extern from "real.h" nogil:
    enum:
        HAS_FMA "FCNN_HAS_FMA"
        SPECIALIZED "FCNN_SPECIALIZED"      # whether what a ladder names becomes a constant
    float fcnn_fmaf(float a, float b, float c)
    double fcnn_fma(double a, double b, double c)
    # Ends the process: behind the last named case of a table, where none is left.
    void trap "fcnn_trap"()


cdef inline real multiply_add(real a, real b, real c) noexcept nogil:
    """a b + c, in one rounding where the CPU has an instruction for it."""
    return fcnn_fmaf(a, b, c) if real is float else fcnn_fma(a, b, c)
