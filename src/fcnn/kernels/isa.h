#ifndef FCNN_ISA_H
#define FCNN_ISA_H

/* The instruction sets that the core is built for: THE table.

   A row is a build. C reads its numbers here; CMakeLists.txt, the dispatch (through _cpu) and the
   checks of the machine code read the rows too, as text: one row a line, fastest first.

       name       what FCNN_ISA, show_config and the tests call it
       module     of the package
       level      what a CPU must reach: see cpu.h; 0 on what is not x86
       bytes      of a vector register
       MR         rows of the register tile, and
       vectors    registers of one of its rows. MR x vectors of sums must fill the registers and
                  leave room for a row of B and an entry of A: 16 of 32 (AVX-512), 12 of 16 (AVX2),
                  24 of 32 (NEON), 12 of 16 (SSE, which multiplies and adds by two instructions that
                  overwrite what they read: most of the rest are copies, fewest for 3 x 4, with 75 %
                  of the limit; 2 x 4, 4 x 2 and 6 x 2 reach 68, 63 and 67 %). More than there are
                  registers costs a factor of four, silently; so do more rows than CMakeLists.txt
                  lets GCC peel
       limit      rows and float columns of the numbers of limit.pxd's loop: 24 of 32 registers
                  (AVX-512, NEON), 12 of 16 (AVX2), 14 of 16 (SSE, where a product waits for a sum
                  and a sum for a product). As many rows and vectors in a row as GCC peels at most,
                  and more columns, or it unrolls them before it has vectorized
       flags      of GCC and Clang. Without its preference v4 would use 256-bit vectors, half of
                  what the machine has */
#define FCNN_ISAS(ISA)                                                                             \
    ISA(v4, _core_v4, 4, 64, 8, 2, 6, 64, "-march=x86-64-v4 -mprefer-vector-width=512")            \
    ISA(v3, _core_v3, 3, 32, 6, 2, 4, 24, "-march=x86-64-v3")                                      \
    ISA(v2, _core, 2, 16, FCNN_V2_MR, 4, 2, 28, "-march=x86-64-v2")                                \
    ISA(neon, _core, 0, 16, 6, 4, 4, 24, "")                                                       \
    ISA(generic, _core, 0, 16, 3, 4, 2, 28, "")

#if defined(__clang__) /* It keeps 3 of 3 x 4 in memory: 1.7 times as long as 2 x 4. */
#define FCNN_V2_MR 2
#else
#define FCNN_V2_MR 3
#endif

/* What the compiler was told to build, not what the file is called. Nothing else asks the compiler:
   the instructions of vector.h follow from FCNN_IS_..., those of real.h from FCNN_HAS_FMA. */
#if defined(__AVX512F__)
#define FCNN_ISA v4
#define FCNN_IS_V4 1
#define FCNN_HAS_FMA 1
#elif defined(__AVX2__)
#define FCNN_ISA v3
#define FCNN_IS_V3 1
#define FCNN_HAS_FMA 1
#elif defined(__SSE4_2__)
#define FCNN_ISA v2
#define FCNN_IS_V2 1
#define FCNN_HAS_FMA 0
#elif defined(__aarch64__)
#define FCNN_ISA neon
#define FCNN_IS_NEON 1
#define FCNN_HAS_FMA 1
#else
#define FCNN_ISA generic
#define FCNN_HAS_FMA 0
#endif

#define FCNN_ROW(name, module, level, bytes, MR, vectors, limit_rows, limit_columns, flags)        \
    FCNN_##name##_BYTES = bytes, FCNN_##name##_MR = MR, FCNN_##name##_VECTORS = vectors,           \
    FCNN_##name##_LIMIT_ROWS = limit_rows, FCNN_##name##_LIMIT_COLUMNS = limit_columns,
enum { FCNN_ISAS(FCNN_ROW) FCNN_ISA_ROWS_END };
#undef FCNN_ROW

#define FCNN_OF_ISA(isa, what) FCNN_##isa##_##what
#define FCNN_OF(isa, what) FCNN_OF_ISA(isa, what)
#define FCNN_TEXT_OF(isa) #isa
#define FCNN_TEXT(isa) FCNN_TEXT_OF(isa)

#define FCNN_ISA_NAME FCNN_TEXT(FCNN_ISA)
#define FCNN_BYTES FCNN_OF(FCNN_ISA, BYTES)
#define FCNN_MR FCNN_OF(FCNN_ISA, MR)
#define FCNN_VECTORS FCNN_OF(FCNN_ISA, VECTORS)
#define FCNN_FLOATS (FCNN_BYTES / 4)
#define FCNN_NR (FCNN_VECTORS * FCNN_FLOATS) /* of float32; float64 has half as many */
#define FCNN_LIMIT_ROWS FCNN_OF(FCNN_ISA, LIMIT_ROWS)
#define FCNN_LIMIT_COLUMNS FCNN_OF(FCNN_ISA, LIMIT_COLUMNS)

/* Nodes whose weights the forward pass copies together, since where W is in rows every visit to one
   of them costs a page of the address table: 48, and whole panels, since there W may be in those.
 */
#define FCNN_PACKED_NODES ((48 + FCNN_NR - 1) / FCNN_NR * FCNN_NR)

/* Readable entries behind the parameters, their state and what is computed from a row at a time: a
   vector is read whole where a row of W ends inside it. */
#define FCNN_SLACK 64

_Static_assert(FCNN_MR <= 8, "micro_tile names up to 8 rows, and GCC peels as many");
_Static_assert(FCNN_VECTORS % 2 == 0, "a narrow tile is half of one");
_Static_assert(FCNN_FLOATS <= 16, "store_few moves at most 8 + 4 + 2 + 1 entries");
_Static_assert(FCNN_PACKED_NODES % FCNN_NR == 0, "copies of W begin where a panel does");
_Static_assert(FCNN_NR % 8 == 0, "panels of float64 are transposed by four");
_Static_assert(FCNN_SLACK >= FCNN_NR, "a panel of nodes is read whole where a row of W ends");

#endif
