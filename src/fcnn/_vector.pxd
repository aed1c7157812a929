"""Vector registers as numbers: what the register tile is written in.

GCC and Clang have arithmetic on such types. Plain loops over the lanes gave the same code for wide
tiles only: of a tile with one or two vectors a row GCC unrolls the lanes before its vectorizer sees
them and keeps the sums in memory (float64: 2 GFLOP/s instead of 50, without a warning).
"""

from fcnn._real cimport real

cdef extern from * nogil:
    """
    #if defined(__AVX512F__)
      #include <immintrin.h>
      #define FCNN_BYTES 64
      #define fcnn_fma_f(a, b, c) _mm512_fmadd_ps(a, b, c)
      #define fcnn_fma_d(a, b, c) _mm512_fmadd_pd(a, b, c)
      #define fcnn_sqrt_f(x) _mm512_sqrt_ps(x)
      #define fcnn_sqrt_d(x) _mm512_sqrt_pd(x)
    #elif defined(__FMA__)
      #include <immintrin.h>
      #define FCNN_BYTES 32
      #define fcnn_fma_f(a, b, c) _mm256_fmadd_ps(a, b, c)
      #define fcnn_fma_d(a, b, c) _mm256_fmadd_pd(a, b, c)
      #define fcnn_sqrt_f(x) _mm256_sqrt_ps(x)
      #define fcnn_sqrt_d(x) _mm256_sqrt_pd(x)
    #elif defined(__aarch64__)
      #include <arm_neon.h>
      #define FCNN_BYTES 16
      #define fcnn_fma_f(a, b, c) \
          (fcnn_f) vfmaq_f32((float32x4_t) (c), (float32x4_t) (a), (float32x4_t) (b))
      #define fcnn_fma_d(a, b, c) \
          (fcnn_d) vfmaq_f64((float64x2_t) (c), (float64x2_t) (a), (float64x2_t) (b))
      #define fcnn_sqrt_f(x) (fcnn_f) vsqrtq_f32((float32x4_t) (x))
      #define fcnn_sqrt_d(x) (fcnn_d) vsqrtq_f64((float64x2_t) (x))
    #elif defined(__SSE2__)
      #include <immintrin.h>
      #define FCNN_BYTES 16
      #define fcnn_fma_f(a, b, c) ((a) * (b) + (c))
      #define fcnn_fma_d(a, b, c) ((a) * (b) + (c))
      #define fcnn_sqrt_f(x) _mm_sqrt_ps(x)
      #define fcnn_sqrt_d(x) _mm_sqrt_pd(x)
    #else
      #include <math.h>
      #define FCNN_BYTES 16
      #define fcnn_sqrt_f(x) (fcnn_f) {sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])}
      #define fcnn_sqrt_d(x) (fcnn_d) {sqrt((x)[0]), sqrt((x)[1])}
      #define fcnn_fma_f(a, b, c) ((a) * (b) + (c))
      #define fcnn_fma_d(a, b, c) ((a) * (b) + (c))
    #endif
    typedef float fcnn_f __attribute__((vector_size(FCNN_BYTES)));
    typedef double fcnn_d __attribute__((vector_size(FCNN_BYTES)));
    /* The same in memory, where they may stand anywhere. */
    typedef fcnn_f fcnn_f_in_memory __attribute__((aligned(4), may_alias));
    typedef fcnn_d fcnn_d_in_memory __attribute__((aligned(8), may_alias));
    #define fcnn_load_f(p) (*(const fcnn_f_in_memory*) (p))
    #define fcnn_load_d(p) (*(const fcnn_d_in_memory*) (p))
    #define fcnn_store_f(p, v) (*(fcnn_f_in_memory*) (p) = (v))
    #define fcnn_store_d(p, v) (*(fcnn_d_in_memory*) (p) = (v))
    /* x - 0 is x for every x, so nothing is computed; x + 0 would lose the sign of -0. */
    #define fcnn_spread_f(x) ((float) (x) - (fcnn_f) {0})
    #define fcnn_spread_d(x) ((double) (x) - (fcnn_d) {0})

    /* target[j * stride + i] = source[i][j] for 4 x 4 entries: four times as fast as one by one. */
    typedef float fcnn_4f __attribute__((vector_size(16), aligned(4), may_alias));
    typedef double fcnn_2d __attribute__((vector_size(16), aligned(8), may_alias));
    static inline __attribute__((always_inline)) void fcnn_turn_f(
        const float* a, const float* b, const float* c, const float* d, float* t, Py_ssize_t stride)
    {
        fcnn_4f r = *(const fcnn_4f*) a, s = *(const fcnn_4f*) b;
        fcnn_4f u = *(const fcnn_4f*) c, v = *(const fcnn_4f*) d;
        fcnn_4f rs = __builtin_shufflevector(r, s, 0, 4, 1, 5);
        fcnn_4f uv = __builtin_shufflevector(u, v, 0, 4, 1, 5);
        fcnn_4f RS = __builtin_shufflevector(r, s, 2, 6, 3, 7);
        fcnn_4f UV = __builtin_shufflevector(u, v, 2, 6, 3, 7);
        *(fcnn_4f*) t = __builtin_shufflevector(rs, uv, 0, 1, 4, 5);
        *(fcnn_4f*) (t + stride) = __builtin_shufflevector(rs, uv, 2, 3, 6, 7);
        *(fcnn_4f*) (t + 2 * stride) = __builtin_shufflevector(RS, UV, 0, 1, 4, 5);
        *(fcnn_4f*) (t + 3 * stride) = __builtin_shufflevector(RS, UV, 2, 3, 6, 7);
    }
    static inline __attribute__((always_inline)) void fcnn_turn_d(
        const double* a, const double* b, const double* c, const double* d, double* t,
        Py_ssize_t stride)
    {
        int j;
        for (j = 0; j < 4; j += 2) {
            fcnn_2d r = *(const fcnn_2d*) (a + j), s = *(const fcnn_2d*) (b + j);
            fcnn_2d u = *(const fcnn_2d*) (c + j), v = *(const fcnn_2d*) (d + j);
            *(fcnn_2d*) (t + j * stride) = __builtin_shufflevector(r, s, 0, 2);
            *(fcnn_2d*) (t + j * stride + 2) = __builtin_shufflevector(u, v, 0, 2);
            *(fcnn_2d*) (t + (j + 1) * stride) = __builtin_shufflevector(r, s, 1, 3);
            *(fcnn_2d*) (t + (j + 1) * stride + 2) = __builtin_shufflevector(u, v, 1, 3);
        }
    }
    """
    enum:
        BYTES "FCNN_BYTES"
        FLOATS "(FCNN_BYTES / 4)"
    # Declared as numbers, so that Cython lets them be computed with.
    ctypedef float float_vector "fcnn_f"
    ctypedef double double_vector "fcnn_d"
    float_vector fma_f "fcnn_fma_f"(float_vector a, float_vector b, float_vector c)
    double_vector fma_d "fcnn_fma_d"(double_vector a, double_vector b, double_vector c)
    float_vector sqrt_f "fcnn_sqrt_f"(float_vector x)
    double_vector sqrt_d "fcnn_sqrt_d"(double_vector x)
    float_vector load_f "fcnn_load_f"(const void* p)
    double_vector load_d "fcnn_load_d"(const void* p)
    void store_f "fcnn_store_f"(void* p, float_vector v)
    void store_d "fcnn_store_d"(void* p, double_vector v)
    float_vector spread_f "fcnn_spread_f"(double x)
    double_vector spread_d "fcnn_spread_d"(double x)
    void prefetch "__builtin_prefetch"(const void* p)
    void turn_f "fcnn_turn_f"(
        const float* a, const float* b, const float* c, const float* d, float* t, Py_ssize_t stride)
    void turn_d "fcnn_turn_d"(
        const double* a, const double* b, const double* c, const double* d, double* t,
        Py_ssize_t stride)


ctypedef fused vector:
    float_vector
    double_vector


cdef inline vector load(const real* p, const vector* typed) noexcept nogil:
    if vector is float_vector:
        return load_f(p)
    else:
        return load_d(p)


cdef inline void store(real* p, vector v) noexcept nogil:
    if vector is float_vector:
        store_f(p, v)
    else:
        store_d(p, v)


cdef inline vector spread(real x, const vector* typed) noexcept nogil:
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


cdef inline vector vector_square_root(vector x) noexcept nogil:
    if vector is float_vector:
        return sqrt_f(x)
    else:
        return sqrt_d(x)


cdef inline void transpose(
    const real** source,        # IN m rows of n entries
    Py_ssize_t m, Py_ssize_t n,
    real* target, Py_ssize_t stride,    # OUT target[j * stride + i] = source[i][j]
) noexcept nogil:
    """In blocks of 16 columns: a cache line of each row is read once, one of the target written."""
    cdef Py_ssize_t i, j, first = 0, last, quads = m // 4
    cdef const real** s
    cdef real* t
    while first < n:
        last = min(first + 16, n)
        # Many rows at once are more than a CPU's prefetcher follows.
        for i in range(m):
            prefetch(source[i] + first + 64)
        for i in range(quads):
            s = source + 4 * i
            t = target + 4 * i
            j = first
            while j + 4 <= last:
                if real is float:
                    turn_f(s[0] + j, s[1] + j, s[2] + j, s[3] + j, t + j * stride, stride)
                else:
                    turn_d(s[0] + j, s[1] + j, s[2] + j, s[3] + j, t + j * stride, stride)
                j += 4
            while j < last:
                t[j * stride] = s[0][j]
                t[j * stride + 1] = s[1][j]
                t[j * stride + 2] = s[2][j]
                t[j * stride + 3] = s[3][j]
                j += 1
        for i in range(4 * quads, m):
            for j in range(first, last):
                target[j * stride + i] = source[i][j]
        first = last
