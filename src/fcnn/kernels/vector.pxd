"""Vector registers as numbers: what the register tile is written in.

GCC and Clang have arithmetic on such types. Plain loops over the lanes gave the same code for wide
tiles only: of a tile with one or two vectors a row GCC unrolls the lanes before its vectorizer sees
them and keeps the sums in memory (float64: 2 GFLOP/s instead of 50, without a warning).
"""

from fcnn.kernels.isa cimport BYTES, FLOATS
from fcnn.kernels.real cimport real

cdef extern from "vector.h" nogil:
    # Declared as numbers, so that Cython lets them be computed with.
    ctypedef float float_vector "fcnn_f"
    ctypedef double double_vector "fcnn_d"
    float_vector fma_f "fcnn_fma_f"(float_vector a, float_vector b, float_vector c)
    double_vector fma_d "fcnn_fma_d"(double_vector a, double_vector b, double_vector c)
    float_vector half_fma_f "fcnn_half_fma_f"(float_vector a, float_vector b, float_vector c)
    double_vector half_fma_d "fcnn_half_fma_d"(double_vector a, double_vector b, double_vector c)
    float_vector sqrt_f "fcnn_sqrt_f"(float_vector x)
    double_vector sqrt_d "fcnn_sqrt_d"(double_vector x)
    float_vector load_f "fcnn_load_f"(const void* p)
    double_vector load_d "fcnn_load_d"(const void* p)
    void store_f "fcnn_store_f"(void* p, float_vector v)
    void store_d "fcnn_store_d"(void* p, double_vector v)
    float_vector spread_f "fcnn_spread_f"(double x)
    double_vector spread_d "fcnn_spread_d"(double x)
    void prefetch "__builtin_prefetch"(const void* p)
    void prefetch_later "FCNN_PREFETCH_LATER"(const void* p)
    void opaque "FCNN_OPAQUE"(Py_ssize_t n)
    void in_register_f "FCNN_IN_REGISTER"(float_vector v)
    void in_register_d "FCNN_IN_REGISTER"(double_vector v)
    void transpose_4x4_f "fcnn_transpose_4x4_f"(
        const float* a, const float* b, const float* c, const float* d, float* t, Py_ssize_t stride)
    void transpose_4x4_d "fcnn_transpose_4x4_d"(
        const double* a, const double* b, const double* c, const double* d, double* t,
        Py_ssize_t stride)
    float_vector unless_less_f "fcnn_unless_less_f"(float_vector x, float_vector y)
    double_vector unless_less_d "fcnn_unless_less_d"(double_vector x, double_vector y)
    float_vector is_above_f "fcnn_is_above_f"(float_vector x, float_vector y)
    double_vector is_above_d "fcnn_is_above_d"(double_vector x, double_vector y)
    enum:
        HAS_HALVES "FCNN_HAS_HALVES"
        BLOCK_f "FCNN_BLOCK_f"
        BLOCK_d "FCNN_BLOCK_d"
    void rows_to_columns_f "fcnn_rows_to_columns_f"(
        const float* rows, Py_ssize_t stride, float* columns, Py_ssize_t lanes)
    void rows_to_columns_d "fcnn_rows_to_columns_d"(
        const double* rows, Py_ssize_t stride, double* columns, Py_ssize_t lanes)
    void columns_to_rows_f "fcnn_columns_to_rows_f"(
        const float* columns, Py_ssize_t lanes, float* rows, Py_ssize_t stride)
    void columns_to_rows_d "fcnn_columns_to_rows_d"(
        const double* columns, Py_ssize_t lanes, double* rows, Py_ssize_t stride)
    void transpose_f "fcnn_transpose_f"(
        const void* rows, Py_ssize_t j, void* t, Py_ssize_t stride, float_vector* total)
    void transpose_d "fcnn_transpose_d"(
        const void* rows, Py_ssize_t j, void* t, Py_ssize_t stride, double_vector* total)
    void load_columns_f "fcnn_load_columns_f"(
        const void* rows, Py_ssize_t stride, float_vector* columns)
    void load_columns_d "fcnn_load_columns_d"(
        const void* rows, Py_ssize_t stride, double_vector* columns)


ctypedef fused vector:
    float_vector
    double_vector


cdef inline vector load(const real* p, const vector* tag) noexcept nogil:
    if vector is float_vector:
        return load_f(p)
    else:
        return load_d(p)


cdef inline vector load_once(const real* p, const vector* tag) noexcept nogil:
    """load, for several uses."""
    cdef vector v = load(p, tag)
    if vector is float_vector:
        in_register_f(v)
    else:
        in_register_d(v)
    return v


cdef inline void store(real* p, vector v) noexcept nogil:
    if vector is float_vector:
        store_f(p, v)
    else:
        store_d(p, v)


cdef inline vector spread(real x, const vector* tag) noexcept nogil:
    """x in every lane."""
    if vector is float_vector:
        return spread_f(x)
    else:
        return spread_d(x)


cdef inline vector vector_multiply_add(vector a, vector b, vector c) noexcept nogil:
    """a b + c, rounded as multiply_add rounds it."""
    if vector is float_vector:
        return fma_f(a, b, c)
    else:
        return fma_d(a, b, c)


cdef inline vector half_multiply_add(vector a, vector b, vector c) noexcept nogil:
    """The first half of vector_multiply_add."""
    if vector is float_vector:
        return half_fma_f(a, b, c)
    else:
        return half_fma_d(a, b, c)


cdef inline vector vector_square_root(vector x) noexcept nogil:
    if vector is float_vector:
        return sqrt_f(x)
    else:
        return sqrt_d(x)


cdef inline vector unless_less(vector x, vector y) noexcept nogil:
    """0 where x < y, else x, NaN too."""
    if vector is float_vector:
        return unless_less_f(x, y)
    else:
        return unless_less_d(x, y)


cdef inline vector is_above(vector x, vector y) noexcept nogil:
    """0 where x <= y, else 1."""
    if vector is float_vector:
        return is_above_f(x, y)
    else:
        return is_above_d(x, y)


cdef inline double sum_of_lanes(vector v) noexcept nogil:
    """By four sums: one would wait for itself as often as there are lanes."""
    cdef float f[FLOATS]
    cdef double d[FLOATS]
    cdef double total[4]
    cdef Py_ssize_t i, j
    total[0] = total[1] = total[2] = total[3] = 0
    if vector is float_vector:
        store(&f[0], v)
        for i in range(0, FLOATS, 4):
            for j in range(4):
                total[j] += f[i + j]
    else:
        store(&d[0], v)
        for i in range(FLOATS // 2):
            total[i % 4] += d[i]
    return (total[0] + total[1]) + (total[2] + total[3])


cdef inline void transpose_block(
    const real** source, Py_ssize_t j, real* target, Py_ssize_t stride, vector* squares,
) noexcept nogil:
    if vector is float_vector:
        transpose_f(source, j, target, stride, squares)
    else:
        transpose_d(source, j, target, stride, squares)


cdef inline void load_columns(
    const real* rows, Py_ssize_t stride,    # IN a register full of rows, 16 bytes of each
    vector* columns,            # OUT
) noexcept nogil:
    if vector is float_vector:
        load_columns_f(rows, stride, columns)
    else:
        load_columns_d(rows, stride, columns)


cdef inline double transpose_rows(
    const real** source, Py_ssize_t m, Py_ssize_t n, real* target, Py_ssize_t stride,
    const vector* tag,
) noexcept nogil:
    """transpose by registers: the rows that fill them, from end to end. All rows at once would be
    more streams than a CPU follows, and where a row is a power of two, they would push each other
    out of the cache (256 x 1024, Zen 3: 89 us by 16 rows, 47 by 8).
    """
    cdef Py_ssize_t rows = BYTES // <Py_ssize_t> sizeof(real), columns = 16 // sizeof(real)
    cdef Py_ssize_t _i, j, k
    cdef vector squares[2]
    cdef real rest = 0
    squares[0] = squares[1] = spread(<real> 0, tag)
    for _i in range(m // rows):
        j = 0
        while j + columns <= n:
            transpose_block(source, j, target + j * stride, stride, &squares[0])
            j += columns
        while j < n:
            for k in range(rows):
                target[j * stride + k] = source[k][j]
                rest += source[k][j] * source[k][j]
            j += 1
        source += rows
        target += rows
    return sum_of_lanes(squares[0] + squares[1]) + rest


cdef inline double transpose(
    const real** source,        # IN m rows of n entries
    Py_ssize_t m, Py_ssize_t n,
    real* target, Py_ssize_t stride,    # OUT target[j * stride + i] = source[i][j]
) noexcept nogil:
    """Return the sum of squares of the rows that fill registers."""
    cdef Py_ssize_t first, i, j
    cdef const real** s
    cdef real* t
    cdef double squares
    if real is float:
        first = m // FLOATS * FLOATS
        squares = transpose_rows(source, m, n, target, stride, <float_vector*> NULL)
    else:
        first = m // (FLOATS // 2) * (FLOATS // 2)
        squares = transpose_rows(source, m, n, target, stride, <double_vector*> NULL)
    while first + 4 <= m:
        s = source + first
        t = target + first
        j = 0
        while j + 4 <= n:
            if real is float:
                transpose_4x4_f(s[0] + j, s[1] + j, s[2] + j, s[3] + j, t + j * stride, stride)
            else:
                transpose_4x4_d(s[0] + j, s[1] + j, s[2] + j, s[3] + j, t + j * stride, stride)
            j += 4
        while j < n:
            for i in range(4):
                t[j * stride + i] = s[i][j]
            j += 1
        first += 4
    for i in range(first, m):
        for j in range(n):
            target[j * stride + i] = source[i][j]
    return squares
