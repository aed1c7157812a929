# cython: language_level=3
"""Which instruction sets this CPU and its operating system can run."""

cdef extern from *:
    """
    #if defined(_WIN32) && defined(__x86_64__)
    /* __builtin_cpu_supports is a function of a library that clang-cl does not link. */
    #include <windows.h>
    #include <cpuid.h>
    static int fcnn_level(void) {
        unsigned a, b1, b, c, d1, c7, d7;
        if (!__get_cpuid(1, &a, &b1, &c, &d1) || !(c & bit_SSE4_2) || !(c & bit_POPCNT)) return 1;
        /* 40 and 41 are AVX2 and AVX512F, the registers saved by the operating system included. */
        if (!IsProcessorFeaturePresent(40) || !__get_cpuid_count(7, 0, &a, &b, &c7, &d7)
            || !(c & bit_FMA) || !(b & bit_BMI) || !(b & bit_BMI2)) return 2;
        return IsProcessorFeaturePresent(41) && (b & bit_AVX512BW) && (b & bit_AVX512CD)
            && (b & bit_AVX512DQ) && (b & bit_AVX512VL) ? 4 : 3;
    }
    #elif defined(__x86_64__)
    static int fcnn_level(void) {
        __builtin_cpu_init();
        /* By features, because GCC knows the names of the levels since 12 and Clang since 18. The
           rest of level 3 (F16C, LZCNT, MOVBE) came with or before these in every CPU. */
        int v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
        int v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
        int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
        return v4 ? 4 : v3 ? 3 : v2 ? 2 : 1;
    }
    #else
    static int fcnn_level(void) { return 0; }
    #endif
    """
    int fcnn_level()


def x86_64_level():
    """Return the CPU's x86-64 micro-architecture level, 1 to 4; 0 on other CPUs.

    Levels as in the System V x86-64 psABI, section 3.1.1.
    """
    return fcnn_level()
