/* Which instruction sets this CPU and its operating system can run.

   Levels as in the System V x86-64 psABI, section 3.1.1; 0 on other CPUs. */
#ifndef FCNN_CPU_H
#define FCNN_CPU_H

#include <string.h>

#include "isa.h"

#if defined(_WIN32) && defined(__x86_64__)
/* __builtin_cpu_supports is a function of a library that clang-cl does not link. */
#include <cpuid.h>
#include <windows.h>
static int fcnn_level(void)
{
    unsigned a, b1, b, c, d1, c7, d7;
    if (!__get_cpuid(1, &a, &b1, &c, &d1) || !(c & bit_SSE4_2) || !(c & bit_POPCNT)) return 1;
    /* 40 and 41 are AVX2 and AVX512F, the registers saved by the operating system included. */
    if (!IsProcessorFeaturePresent(40) || !__get_cpuid_count(7, 0, &a, &b, &c7, &d7) ||
        !(c & bit_FMA) || !(b & bit_BMI) || !(b & bit_BMI2))
        return 2;
    return IsProcessorFeaturePresent(41) && (b & bit_AVX512BW) && (b & bit_AVX512CD) &&
                   (b & bit_AVX512DQ) && (b & bit_AVX512VL)
               ? 4
               : 3;
}
#elif defined(__x86_64__)
static int fcnn_level(void)
{
    __builtin_cpu_init();
    /* By features, because GCC knows the names of the levels since 12 and Clang since 18. The rest
       of level 3 (F16C, LZCNT, MOVBE) came with or before these in every CPU. */
    int v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    int v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    return v4 ? 4 : v3 ? 3 : v2 ? 2 : 1;
}
#else
static int fcnn_level(void)
{
    return 0;
}
#endif

/* The builds of the core, fastest first. */
typedef struct {
    const char *isa;
    const char *module;
    int level;
} fcnn_build;

#if defined(__x86_64__)
#define FCNN_IS_OF_KIND(name, level) (level > 0)
#elif defined(__aarch64__)
#define FCNN_IS_OF_KIND(name, level) (strcmp(name, "neon") == 0)
#else
#define FCNN_IS_OF_KIND(name, level) (strcmp(name, "generic") == 0)
#endif
#ifndef FCNN_ONLY
#define FCNN_ONLY ""
#endif

#define FCNN_ROW(name, module, level, ...) {#name, #module, level},
static const fcnn_build fcnn_builds[] = {FCNN_ISAS(FCNN_ROW)};
#undef FCNN_ROW
enum { FCNN_NUM_BUILDS = sizeof fcnn_builds / sizeof fcnn_builds[0] };

/* Whether a build is one for this kind of CPU, and was made: FCNN_ONLY names the one that was. */
static int fcnn_is_built(const fcnn_build *build)
{
    return FCNN_IS_OF_KIND(build->isa, build->level) &&
           (FCNN_ONLY[0] == 0 || strcmp(FCNN_ONLY, build->isa) == 0);
}

#endif
