/* Vector registers as numbers, and the few instructions that C has no operator for. */
#ifndef FCNN_VECTOR_H
#define FCNN_VECTOR_H

#include "isa.h"

#if defined(FCNN_IS_V4)
#include <immintrin.h>
#define fcnn_fma_f(a, b, c) _mm512_fmadd_ps(a, b, c)
#define fcnn_fma_d(a, b, c) _mm512_fmadd_pd(a, b, c)
#define fcnn_sqrt_f(x) _mm512_sqrt_ps(x)
#define fcnn_sqrt_d(x) _mm512_sqrt_pd(x)
#elif defined(FCNN_IS_V3)
#include <immintrin.h>
#define fcnn_fma_f(a, b, c) _mm256_fmadd_ps(a, b, c)
#define fcnn_fma_d(a, b, c) _mm256_fmadd_pd(a, b, c)
#define fcnn_sqrt_f(x) _mm256_sqrt_ps(x)
#define fcnn_sqrt_d(x) _mm256_sqrt_pd(x)
#elif defined(FCNN_IS_NEON)
#include <arm_neon.h>
#define fcnn_fma_f(a, b, c)                                                                        \
    (fcnn_f) vfmaq_f32((float32x4_t) (c), (float32x4_t) (a), (float32x4_t) (b))
#define fcnn_fma_d(a, b, c)                                                                        \
    (fcnn_d) vfmaq_f64((float64x2_t) (c), (float64x2_t) (a), (float64x2_t) (b))
#define fcnn_sqrt_f(x) (fcnn_f) vsqrtq_f32((float32x4_t) (x))
#define fcnn_sqrt_d(x) (fcnn_d) vsqrtq_f64((float64x2_t) (x))
#elif defined(FCNN_IS_V2)
#include <immintrin.h>
#define fcnn_fma_f(a, b, c) ((a) * (b) + (c))
#define fcnn_fma_d(a, b, c) ((a) * (b) + (c))
#define fcnn_sqrt_f(x) _mm_sqrt_ps(x)
#define fcnn_sqrt_d(x) _mm_sqrt_pd(x)
#else
#include <math.h>
#define fcnn_sqrt_f(x)                                                                             \
    (fcnn_f)                                                                                       \
    {                                                                                              \
        sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])                                 \
    }
#define fcnn_sqrt_d(x)                                                                             \
    (fcnn_d)                                                                                       \
    {                                                                                              \
        sqrt((x)[0]), sqrt((x)[1])                                                                 \
    }
#define fcnn_fma_f(a, b, c) ((a) * (b) + (c))
#define fcnn_fma_d(a, b, c) ((a) * (b) + (c))
#endif

typedef float fcnn_f __attribute__((vector_size(FCNN_BYTES)));
typedef double fcnn_d __attribute__((vector_size(FCNN_BYTES)));
/* The same in memory, where they may stand anywhere. */
typedef fcnn_f fcnn_f_in_memory __attribute__((aligned(4), may_alias));
typedef fcnn_d fcnn_d_in_memory __attribute__((aligned(8), may_alias));
#define fcnn_load_f(p) (*(const fcnn_f_in_memory *) (p))
#define fcnn_load_d(p) (*(const fcnn_d_in_memory *) (p))
#define fcnn_store_f(p, v) (*(fcnn_f_in_memory *) (p) = (v))
#define fcnn_store_d(p, v) (*(fcnn_d_in_memory *) (p) = (v))
/* x - 0 is x for every x, so nothing is computed; x + 0 would lose the sign of -0. */
#define fcnn_spread_f(x) ((float) (x) - (fcnn_f) {0})
#define fcnn_spread_d(x) ((double) (x) - (fcnn_d) {0})

/* a b + c of the first half of a register: where 512 bits are done in two halves, in half the time.
   The other half is left undefined. */
#if defined(FCNN_IS_V4)
#define FCNN_HAS_HALVES 1
#define fcnn_half_fma_f(a, b, c)                                                                   \
    _mm512_castps256_ps512(_mm256_fmadd_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(b),   \
                                           _mm512_castps512_ps256(c)))
#define fcnn_half_fma_d(a, b, c)                                                                   \
    _mm512_castpd256_pd512(_mm256_fmadd_pd(_mm512_castpd512_pd256(a), _mm512_castpd512_pd256(b),   \
                                           _mm512_castpd512_pd256(c)))
#else
#define FCNN_HAS_HALVES 0
#define fcnn_half_fma_f(a, b, c) fcnn_fma_f(a, b, c)
#define fcnn_half_fma_d(a, b, c) fcnn_fma_d(a, b, c)
#endif

/* In each lane x, or 0 where x < y; and 1, or 0 where x <= y. NaN is neither. */
#define fcnn_unless_less_f(x, y) ((fcnn_f) (~((x) < (y)) & (__typeof__((x) < (y))) (x)))
#define fcnn_unless_less_d(x, y) ((fcnn_d) (~((x) < (y)) & (__typeof__((x) < (y))) (x)))
#define fcnn_is_above_f(x, y)                                                                      \
    ((fcnn_f) (~((x) <= (y)) & (__typeof__((x) < (y))) (1 - (fcnn_f) {0})))
#define fcnn_is_above_d(x, y)                                                                      \
    ((fcnn_d) (~((x) <= (y)) & (__typeof__((x) < (y))) (1 - (fcnn_d) {0})))

/* Keeps a number from the compiler's knowledge. */
#define FCNN_OPAQUE(n) __asm__("" : "+r"(n))

/* With AVX-512 has what depends on it computed anew: of sixteen rows GCC keeps all distances in
   memory else, and loads one for each 16 bytes. Of eight or fewer that is no loss. */
#if defined(FCNN_IS_V4)
#define FCNN_ANEW(n) FCNN_OPAQUE(n)
#else
#define FCNN_ANEW(n)
#endif

/* Has a register in a register, once: GCC would read it from memory again for each of its uses. */
#if defined(FCNN_IS_V4)
#define FCNN_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define FCNN_IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(FCNN_IS_NEON)
#define FCNN_IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define FCNN_IN_REGISTER(v) ((void) 0)
#endif

/* Into the second-level cache, for later. */
#define FCNN_PREFETCH_LATER(p) __builtin_prefetch(p, 0, 2)

/* target[j * stride + i] = source[i][j] for 4 x 4 entries: four times as fast as one by one. */
typedef float fcnn_4f __attribute__((vector_size(16), aligned(4), may_alias));
typedef double fcnn_2d __attribute__((vector_size(16), aligned(8), may_alias));

static inline __attribute__((always_inline)) void
fcnn_transpose_4x4_f(const float *a, const float *b, const float *c, const float *d, float *t,
                     Py_ssize_t stride)
{
    fcnn_4f r = *(const fcnn_4f *) a, s = *(const fcnn_4f *) b;
    fcnn_4f u = *(const fcnn_4f *) c, v = *(const fcnn_4f *) d;
    fcnn_4f rs = __builtin_shufflevector(r, s, 0, 4, 1, 5);
    fcnn_4f uv = __builtin_shufflevector(u, v, 0, 4, 1, 5);
    fcnn_4f RS = __builtin_shufflevector(r, s, 2, 6, 3, 7);
    fcnn_4f UV = __builtin_shufflevector(u, v, 2, 6, 3, 7);
    *(fcnn_4f *) t = __builtin_shufflevector(rs, uv, 0, 1, 4, 5);
    *(fcnn_4f *) (t + stride) = __builtin_shufflevector(rs, uv, 2, 3, 6, 7);
    *(fcnn_4f *) (t + 2 * stride) = __builtin_shufflevector(RS, UV, 0, 1, 4, 5);
    *(fcnn_4f *) (t + 3 * stride) = __builtin_shufflevector(RS, UV, 2, 3, 6, 7);
}

static inline __attribute__((always_inline)) void
fcnn_transpose_4x4_d(const double *a, const double *b, const double *c, const double *d, double *t,
                     Py_ssize_t stride)
{
    int j;
    for (j = 0; j < 4; j += 2) {
        fcnn_2d r = *(const fcnn_2d *) (a + j), s = *(const fcnn_2d *) (b + j);
        fcnn_2d u = *(const fcnn_2d *) (c + j), v = *(const fcnn_2d *) (d + j);
        *(fcnn_2d *) (t + j * stride) = __builtin_shufflevector(r, s, 0, 2);
        *(fcnn_2d *) (t + j * stride + 2) = __builtin_shufflevector(u, v, 0, 2);
        *(fcnn_2d *) (t + (j + 1) * stride) = __builtin_shufflevector(r, s, 1, 3);
        *(fcnn_2d *) (t + (j + 1) * stride + 2) = __builtin_shufflevector(u, v, 1, 3);
    }
}

/* Some rows of four entries to four columns, and back: eight rows of float, four of double (half as
   many where registers are small). Columns are moved a register at a time: a register that is read
   where two halves have just been written waits for both. */
#if defined(FCNN_IS_V3) || defined(FCNN_IS_V4)
enum { FCNN_BLOCK_f = 8, FCNN_BLOCK_d = 4 };
typedef float fcnn_8f __attribute__((vector_size(32), aligned(4), may_alias));
typedef double fcnn_4d __attribute__((vector_size(32), aligned(8), may_alias));

/* Both halves of four registers, each a 4 x 4 block. */
static inline __attribute__((always_inline)) void fcnn_turn_f(fcnn_8f *r)
{
    fcnn_8f a = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13);
    fcnn_8f b = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13);
    fcnn_8f c = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
    fcnn_8f d = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
    r[0] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    r[1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    r[2] = __builtin_shufflevector(c, d, 0, 1, 8, 9, 4, 5, 12, 13);
    r[3] = __builtin_shufflevector(c, d, 2, 3, 10, 11, 6, 7, 14, 15);
}

static inline __attribute__((always_inline)) void
fcnn_rows_to_columns_f(const float *rows, Py_ssize_t stride, float *columns, Py_ssize_t lanes)
{
    fcnn_8f r[4];
    int i;
    for (i = 0; i < 4; i++)
        r[i] = __builtin_shufflevector(*(const fcnn_4f *) (rows + i * stride),
                                       *(const fcnn_4f *) (rows + (i + 4) * stride), 0, 1, 2, 3, 4,
                                       5, 6, 7);
    fcnn_turn_f(r);
    for (i = 0; i < 4; i++) *(fcnn_8f *) (columns + i * lanes) = r[i];
}

static inline __attribute__((always_inline)) void
fcnn_columns_to_rows_f(const float *columns, Py_ssize_t lanes, float *rows, Py_ssize_t stride)
{
    fcnn_8f r[4];
    int i;
    for (i = 0; i < 4; i++) r[i] = *(const fcnn_8f *) (columns + i * lanes);
    fcnn_turn_f(r);
    for (i = 0; i < 4; i++) {
        *(fcnn_4f *) (rows + i * stride) = __builtin_shufflevector(r[i], r[i], 0, 1, 2, 3);
        *(fcnn_4f *) (rows + (i + 4) * stride) = __builtin_shufflevector(r[i], r[i], 4, 5, 6, 7);
    }
}

static inline __attribute__((always_inline)) void
fcnn_rows_to_columns_d(const double *rows, Py_ssize_t stride, double *columns, Py_ssize_t lanes)
{
    int j;
    for (j = 0; j < 4; j += 2, rows += 2, columns += 2 * lanes) {
        fcnn_4d r = __builtin_shufflevector(*(const fcnn_2d *) rows,
                                            *(const fcnn_2d *) (rows + 2 * stride), 0, 1, 2, 3);
        fcnn_4d s = __builtin_shufflevector(*(const fcnn_2d *) (rows + stride),
                                            *(const fcnn_2d *) (rows + 3 * stride), 0, 1, 2, 3);
        *(fcnn_4d *) columns = __builtin_shufflevector(r, s, 0, 4, 2, 6);
        *(fcnn_4d *) (columns + lanes) = __builtin_shufflevector(r, s, 1, 5, 3, 7);
    }
}

static inline __attribute__((always_inline)) void
fcnn_columns_to_rows_d(const double *columns, Py_ssize_t lanes, double *rows, Py_ssize_t stride)
{
    int j;
    for (j = 0; j < 4; j += 2, rows += 2, columns += 2 * lanes) {
        fcnn_4d r = *(const fcnn_4d *) columns, s = *(const fcnn_4d *) (columns + lanes);
        fcnn_4d t = __builtin_shufflevector(r, s, 0, 4, 2, 6);
        fcnn_4d u = __builtin_shufflevector(r, s, 1, 5, 3, 7);
        *(fcnn_2d *) rows = __builtin_shufflevector(t, t, 0, 1);
        *(fcnn_2d *) (rows + stride) = __builtin_shufflevector(u, u, 0, 1);
        *(fcnn_2d *) (rows + 2 * stride) = __builtin_shufflevector(t, t, 2, 3);
        *(fcnn_2d *) (rows + 3 * stride) = __builtin_shufflevector(u, u, 2, 3);
    }
}
#else
enum { FCNN_BLOCK_f = 4, FCNN_BLOCK_d = 2 };
#define fcnn_rows_to_columns_f(rows, stride, columns, lanes)                                       \
    fcnn_transpose_4x4_f(rows, (rows) + (stride), (rows) + 2 * (stride), (rows) + 3 * (stride),    \
                         columns, lanes)
#define fcnn_columns_to_rows_f(columns, lanes, rows, stride)                                       \
    fcnn_rows_to_columns_f(columns, lanes, rows, stride)

static inline __attribute__((always_inline)) void
fcnn_rows_to_columns_d(const double *rows, Py_ssize_t stride, double *columns, Py_ssize_t lanes)
{
    int j;
    for (j = 0; j < 4; j += 2, rows += 2, columns += 2 * lanes) {
        fcnn_2d r = *(const fcnn_2d *) rows, s = *(const fcnn_2d *) (rows + stride);
        *(fcnn_2d *) columns = __builtin_shufflevector(r, s, 0, 2);
        *(fcnn_2d *) (columns + lanes) = __builtin_shufflevector(r, s, 1, 3);
    }
}

static inline __attribute__((always_inline)) void
fcnn_columns_to_rows_d(const double *columns, Py_ssize_t lanes, double *rows, Py_ssize_t stride)
{
    int j;
    for (j = 0; j < 4; j += 2, rows += 2, columns += 2 * lanes) {
        fcnn_2d r = *(const fcnn_2d *) columns, s = *(const fcnn_2d *) (columns + lanes);
        *(fcnn_2d *) rows = __builtin_shufflevector(r, s, 0, 2);
        *(fcnn_2d *) (rows + stride) = __builtin_shufflevector(r, s, 1, 3);
    }
}
#endif

/* A register whose parts are 16 bytes, from column j on, of every fourth row (float64: second); of
   rows that stand anywhere, or `stride` apart. */
#define FCNN_PART_F(p, rows, j) *(const fcnn_4f *) ((rows)[4 * (p)] + (j))
#define FCNN_PART_D(p, rows, j) *(const fcnn_2d *) ((rows)[2 * (p)] + (j))
#define FCNN_APART_F(p, rows, stride) *(const fcnn_4f *) ((rows) + 4 * (p) * (stride))
#define FCNN_APART_D(p, rows, stride) *(const fcnn_2d *) ((rows) + 2 * (p) * (stride))
#if defined(FCNN_IS_V4)
#define FCNN_PARTS 4
#define FCNN_EACH_PART(X, ...)                                                                     \
    X(0, __VA_ARGS__), X(1, __VA_ARGS__), X(2, __VA_ARGS__), X(3, __VA_ARGS__)
/* By intrinsics, or GCC loads what it then inserts (12 % of a row's v J). */
#define FCNN_PAIR(u, v)                                                                            \
    _mm256_insertf128_pd(_mm256_castpd128_pd256((__m128d) (u)), (__m128d) (v), 1)
#define FCNN_JOIN(PART, rows, j)                                                                   \
    _mm512_insertf64x4(_mm512_castpd256_pd512(FCNN_PAIR(PART(0, rows, j), PART(1, rows, j))),      \
                       FCNN_PAIR(PART(2, rows, j), PART(3, rows, j)), 1)
#define FCNN_JOIN_F(PART, rows, j) (fcnn_f) FCNN_JOIN(PART, rows, j)
#define FCNN_JOIN_D(PART, rows, j) (fcnn_d) FCNN_JOIN(PART, rows, j)
#elif defined(FCNN_IS_V3)
#define FCNN_PARTS 2
#define FCNN_EACH_PART(X, ...) X(0, __VA_ARGS__), X(1, __VA_ARGS__)
#define FCNN_JOIN_F(PART, rows, j)                                                                 \
    __builtin_shufflevector(PART(0, rows, j), PART(1, rows, j), 0, 1, 2, 3, 4, 5, 6, 7)
#define FCNN_JOIN_D(PART, rows, j)                                                                 \
    __builtin_shufflevector(PART(0, rows, j), PART(1, rows, j), 0, 1, 2, 3)
#else
#define FCNN_PARTS 1
#define FCNN_EACH_PART(X, ...) X(0, __VA_ARGS__)
#define FCNN_JOIN_F(PART, rows, j) PART(0, rows, j)
#define FCNN_JOIN_D(PART, rows, j) PART(0, rows, j)
#endif
_Static_assert(FCNN_PARTS * 16 == FCNN_BYTES, "a register has parts of 16 bytes");

/* Entry k of part p: of the first register, or, from n on, of the second; n are in a part. */
#define FCNN_ENTRY(n, p, k) ((k) + (p) * (n) + ((k) < (n) ? 0 : (FCNN_PARTS - 1) * (n)))
#define FCNN_ENTRIES_4(p, a, b, c, d)                                                              \
    FCNN_ENTRY(4, p, a), FCNN_ENTRY(4, p, b), FCNN_ENTRY(4, p, c), FCNN_ENTRY(4, p, d)
#define FCNN_ENTRIES_2(p, a, b) FCNN_ENTRY(2, p, a), FCNN_ENTRY(2, p, b)
#define FCNN_SHUFFLE_F(u, v, ...)                                                                  \
    __builtin_shufflevector(u, v, FCNN_EACH_PART(FCNN_ENTRIES_4, __VA_ARGS__))
#define FCNN_SHUFFLE_D(u, v, ...)                                                                  \
    __builtin_shufflevector(u, v, FCNN_EACH_PART(FCNN_ENTRIES_2, __VA_ARGS__))

/* The same for as many rows as a register has entries, and 16 bytes of each. Each of a register's
   16-byte parts is filled from rows of its own and transposed within itself, which is all that AVX
   can do in one instruction; what comes out are whole registers of the target, whatever their
   width. */
static inline __attribute__((always_inline)) void fcnn_columns_of_f(fcnn_f r, fcnn_f s, fcnn_f u,
                                                                    fcnn_f v, fcnn_f *columns)
{
    fcnn_f rs = FCNN_SHUFFLE_F(r, s, 0, 4, 1, 5), uv = FCNN_SHUFFLE_F(u, v, 0, 4, 1, 5);
    fcnn_f RS = FCNN_SHUFFLE_F(r, s, 2, 6, 3, 7), UV = FCNN_SHUFFLE_F(u, v, 2, 6, 3, 7);
    columns[0] = FCNN_SHUFFLE_F(rs, uv, 0, 1, 4, 5);
    columns[1] = FCNN_SHUFFLE_F(rs, uv, 2, 3, 6, 7);
    columns[2] = FCNN_SHUFFLE_F(RS, UV, 0, 1, 4, 5);
    columns[3] = FCNN_SHUFFLE_F(RS, UV, 2, 3, 6, 7);
}

/* Of rows that stand `stride` apart, into registers. */
static inline __attribute__((always_inline)) void
fcnn_load_columns_f(const void *first, Py_ssize_t stride, fcnn_f *columns)
{
    const float *rows = first;
    FCNN_ANEW(stride);
    fcnn_columns_of_f(FCNN_JOIN_F(FCNN_APART_F, rows, stride),
                      FCNN_JOIN_F(FCNN_APART_F, rows + stride, stride),
                      FCNN_JOIN_F(FCNN_APART_F, rows + 2 * stride, stride),
                      FCNN_JOIN_F(FCNN_APART_F, rows + 3 * stride, stride), columns);
}

static inline __attribute__((always_inline)) void
fcnn_load_columns_d(const void *first, Py_ssize_t stride, fcnn_d *columns)
{
    const double *rows = first;
    fcnn_d r, s;
    FCNN_ANEW(stride);
    r = FCNN_JOIN_D(FCNN_APART_D, rows, stride);
    s = FCNN_JOIN_D(FCNN_APART_D, rows + stride, stride);
    columns[0] = FCNN_SHUFFLE_D(r, s, 0, 2);
    columns[1] = FCNN_SHUFFLE_D(r, s, 1, 3);
}

/* Of rows that stand anywhere, into memory. `total`, two registers, gains the squares of all
   entries. */
static inline __attribute__((always_inline)) void
fcnn_transpose_f(const void *source, Py_ssize_t j, void *target, Py_ssize_t stride, fcnn_f *total)
{
    const float *const *rows = source;
    float *t = target;
    fcnn_f columns[4];
    fcnn_f r = FCNN_JOIN_F(FCNN_PART_F, rows, j), s = FCNN_JOIN_F(FCNN_PART_F, rows + 1, j);
    fcnn_f u = FCNN_JOIN_F(FCNN_PART_F, rows + 2, j), v = FCNN_JOIN_F(FCNN_PART_F, rows + 3, j);
    total[0] = fcnn_fma_f(u, u, fcnn_fma_f(r, r, total[0]));
    total[1] = fcnn_fma_f(v, v, fcnn_fma_f(s, s, total[1]));
    fcnn_columns_of_f(r, s, u, v, columns);
    fcnn_store_f(t, columns[0]);
    fcnn_store_f(t + stride, columns[1]);
    fcnn_store_f(t + 2 * stride, columns[2]);
    fcnn_store_f(t + 3 * stride, columns[3]);
}

static inline __attribute__((always_inline)) void
fcnn_transpose_d(const void *source, Py_ssize_t j, void *target, Py_ssize_t stride, fcnn_d *total)
{
    const double *const *rows = source;
    double *t = target;
    fcnn_d r = FCNN_JOIN_D(FCNN_PART_D, rows, j), s = FCNN_JOIN_D(FCNN_PART_D, rows + 1, j);
    total[0] = fcnn_fma_d(r, r, total[0]);
    total[1] = fcnn_fma_d(s, s, total[1]);
    fcnn_store_d(t, FCNN_SHUFFLE_D(r, s, 0, 2));
    fcnn_store_d(t + stride, FCNN_SHUFFLE_D(r, s, 1, 3));
}

#endif
