/* What reads or writes the exponent of a number. t = 1.5 2^width + 2 bias + n holds the integer n:
   the lowest bits of its pattern are those of n + 2 bias. Such sums stand for conversions of 64 bit
   integers, which have no vector instruction before AVX-512. */
#ifndef FCNN_ELEMENTARY_H
#define FCNN_ELEMENTARY_H

#include <stdint.h>
#include <string.h>

#define FCNN_EXPONENTS(real, word, f, width, bias, sqrt_half)                                      \
    static inline word fcnn_word##f(real x)                                                        \
    {                                                                                              \
        word u;                                                                                    \
        memcpy(&u, &x, sizeof u);                                                                  \
        return u;                                                                                  \
    }                                                                                              \
    static inline real fcnn_real##f(word u)                                                        \
    {                                                                                              \
        real x;                                                                                    \
        memcpy(&x, &u, sizeof x);                                                                  \
        return x;                                                                                  \
    }                                                                                              \
    static inline real fcnn_scale##f(real y, real t)                                               \
    {                                                                                              \
        word u = fcnn_word##f(t), v = u >> 1;                                                      \
        return y * fcnn_real##f(v << width) * fcnn_real##f((u - v) << width);                      \
    }                                                                                              \
    static inline real fcnn_half_power##f(real t)                                                  \
    {                                                                                              \
        return fcnn_real##f((fcnn_word##f(t) - (bias + 1)) << width);                              \
    }                                                                                              \
    static inline word fcnn_over_sqrt_half##f(real x)                                              \
    {                                                                                              \
        return fcnn_word##f(x) + (((word) bias << width) - sqrt_half);                             \
    }                                                                                              \
    static inline real fcnn_exponent##f(real x)                                                    \
    {                                                                                              \
        word u = fcnn_over_sqrt_half##f(x) >> width | (word) (bias + width) << width;              \
        return fcnn_real##f(u) - (real) (((word) 1 << width) + bias);                              \
    }                                                                                              \
    static inline real fcnn_mantissa##f(real x)                                                    \
    {                                                                                              \
        word u = fcnn_over_sqrt_half##f(x) & (((word) 1 << width) - 1);                            \
        return fcnn_real##f(u + sqrt_half);                                                        \
    }
FCNN_EXPONENTS(float, uint32_t, f, 23, 127, UINT32_C(0x3f3504f3))
FCNN_EXPONENTS(double, uint64_t, , 52, 1023, UINT64_C(0x3fe6a09e667f3bcd))

#endif
