/* A multiply-add of a number, in one rounding where the CPU has an instruction for it.

   Named, instead of left to the compiler's contraction of a * b + c: Clang contracts a vector loop
   and not its remainder, and a row would have other bits alone than in a batch. Without the
   instruction fma() is a call of the C library, fifty times slower. */
#ifndef FCNN_REAL_H
#define FCNN_REAL_H

#include "isa.h"

#if FCNN_HAS_FMA
#define fcnn_fmaf(a, b, c) __builtin_fmaf(a, b, c)
#define fcnn_fma(a, b, c) __builtin_fma(a, b, c)
#else
#define fcnn_fmaf(a, b, c) ((a) * (b) + (c))
#define fcnn_fma(a, b, c) ((a) * (b) + (c))
#endif

/* 0 compiles each loop once for all activations, losses, rules and tile heights, which then choose
   in every turn: the same bits, in half the time to compile and a multiple of the time to run. For
   development installs: see CONTRIBUTING.md. */
#ifndef FCNN_SPECIALIZED
#define FCNN_SPECIALIZED 1
#endif

/* Where every case of a table has been named and none was meant: a new activation, loss or rule
   that a ladder lacks ends the process instead of computing something else. Behind constants the
   compiler drops it. */
#define fcnn_trap() __builtin_trap()

#endif
