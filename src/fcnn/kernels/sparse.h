/* The nonzero entries of a row, one after the other: what C and Cython have no operator for. */
#ifndef FCNN_SPARSE_H
#define FCNN_SPARSE_H

#include "isa.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Both write the numbers, counted from `first`, and the values of the entries of x[0..n-1] that are
   not zero (NaN is not), and return how many. A vector at a time is moved together and stored
   whole: never behind entry n - 1 of either target, since no entry moves up. */

#if defined(__AVX512F__)

#define FCNN_COMPRESS_VECTORS_F                                                                    \
    for (; j + 16 <= n; j += 16) {                                                                 \
        __m512 v = _mm512_loadu_ps(x + j);                                                         \
        __mmask16 mask = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);                  \
        __m512i number = _mm512_add_epi32(                                                         \
            _mm512_set1_epi32(first + (int32_t) j),                                                \
            _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));               \
        _mm512_storeu_ps(values + count, _mm512_maskz_compress_ps(mask, v));                       \
        _mm512_storeu_si512(numbers + count, _mm512_maskz_compress_epi32(mask, number));           \
        count += __builtin_popcount(mask);                                                         \
    }
#define FCNN_COMPRESS_VECTORS_D                                                                    \
    for (; j + 8 <= n; j += 8) {                                                                   \
        __m512d v = _mm512_loadu_pd(x + j);                                                        \
        __mmask8 mask = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ);                   \
        __m256i number = _mm256_add_epi32(_mm256_set1_epi32(first + (int32_t) j),                  \
                                          _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));               \
        _mm512_storeu_pd(values + count, _mm512_maskz_compress_pd(mask, v));                       \
        _mm256_storeu_si256((__m256i *) (numbers + count),                                         \
                            _mm256_maskz_compress_epi32(mask, number));                            \
        count += __builtin_popcount(mask);                                                         \
    }

#elif defined(__AVX2__)

/* Byte i of places[mask] is the place of the i-th bit that is set in the mask. By pext it would
   need no table, but that takes some CPUs of this kind a hundred cycles. */
#define FCNN_BIT(m, i) (((m) >> (i)) & 1)
#define FCNN_BELOW(m, i)                                                                           \
    ((i > 0 ? FCNN_BIT(m, 0) : 0) + (i > 1 ? FCNN_BIT(m, 1) : 0) + (i > 2 ? FCNN_BIT(m, 2) : 0) +  \
     (i > 3 ? FCNN_BIT(m, 3) : 0) + (i > 4 ? FCNN_BIT(m, 4) : 0) + (i > 5 ? FCNN_BIT(m, 5) : 0) +  \
     (i > 6 ? FCNN_BIT(m, 6) : 0))
#define FCNN_PLACE(m, i)                                                                           \
    (FCNN_BIT(m, i) ? (unsigned long long) (i) << (8 * FCNN_BELOW(m, i)) : 0ULL)
#define FCNN_PLACES(m)                                                                             \
    FCNN_PLACE(m, 0) | FCNN_PLACE(m, 1) | FCNN_PLACE(m, 2) | FCNN_PLACE(m, 3) | FCNN_PLACE(m, 4) | \
        FCNN_PLACE(m, 5) | FCNN_PLACE(m, 6) | FCNN_PLACE(m, 7)
#define FCNN_PLACES_4(m)                                                                           \
    FCNN_PLACES(m), FCNN_PLACES((m) + 1), FCNN_PLACES((m) + 2), FCNN_PLACES((m) + 3)
#define FCNN_PLACES_16(m)                                                                          \
    FCNN_PLACES_4(m), FCNN_PLACES_4((m) + 4), FCNN_PLACES_4((m) + 8), FCNN_PLACES_4((m) + 12)
#define FCNN_PLACES_64(m)                                                                          \
    FCNN_PLACES_16(m), FCNN_PLACES_16((m) + 16), FCNN_PLACES_16((m) + 32), FCNN_PLACES_16((m) + 48)
static const unsigned long long fcnn_places[256] = {FCNN_PLACES_64(0), FCNN_PLACES_64(64),
                                                    FCNN_PLACES_64(128), FCNN_PLACES_64(192)};

#define FCNN_COMPRESS_VECTORS_F                                                                    \
    for (; j + 8 <= n; j += 8) {                                                                   \
        __m256 v = _mm256_loadu_ps(x + j);                                                         \
        int mask = _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ));         \
        __m256i place =                                                                            \
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) &fcnn_places[mask]));           \
        _mm256_storeu_ps(values + count, _mm256_permutevar8x32_ps(v, place));                      \
        _mm256_storeu_si256((__m256i *) (numbers + count),                                         \
                            _mm256_add_epi32(place, _mm256_set1_epi32(first + (int32_t) j)));      \
        count += __builtin_popcount(mask);                                                         \
    }
#define FCNN_COMPRESS_VECTORS_D                                                                    \
    for (; j + 4 <= n; j += 4) {                                                                   \
        __m256d v = _mm256_loadu_pd(x + j);                                                        \
        int mask = _mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_NEQ_UQ));         \
        __m128i place = _mm_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) &fcnn_places[mask]));  \
        __m256i half = _mm256_slli_epi64(_mm256_cvtepi32_epi64(place), 1);                         \
        __m256i halves = _mm256_or_si256(                                                          \
            half, _mm256_slli_epi64(_mm256_or_si256(half, _mm256_set1_epi64x(1)), 32));            \
        _mm256_storeu_pd(values + count,                                                           \
                         _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(v), halves))); \
        _mm_storeu_si128((__m128i *) (numbers + count),                                            \
                         _mm_add_epi32(place, _mm_set1_epi32(first + (int32_t) j)));               \
        count += __builtin_popcount(mask);                                                         \
    }

#else

#define FCNN_COMPRESS_VECTORS_F
#define FCNN_COMPRESS_VECTORS_D

#endif

#define FCNN_COMPRESS(name, real, VECTORS)                                                         \
    static inline Py_ssize_t name(const real *x, Py_ssize_t n, int32_t first, int32_t *numbers,    \
                                  real *values)                                                    \
    {                                                                                              \
        Py_ssize_t j = 0, count = 0;                                                               \
        VECTORS                                                                                    \
        for (; j < n; j++) { /* without a branch that no CPU foresees */                           \
            numbers[count] = first + (int32_t) j;                                                  \
            values[count] = x[j];                                                                  \
            count += x[j] != 0;                                                                    \
        }                                                                                          \
        return count;                                                                              \
    }
FCNN_COMPRESS(fcnn_compress_f, float, FCNN_COMPRESS_VECTORS_F)
FCNN_COMPRESS(fcnn_compress_d, double, FCNN_COMPRESS_VECTORS_D)

#endif
