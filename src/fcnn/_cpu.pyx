# cython: language_level=3
"""Which instruction sets this CPU and its operating system can run."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    static int fcnn_level(void) {
        __builtin_cpu_init();
        if (__builtin_cpu_supports("x86-64-v4")) return 4;
        if (__builtin_cpu_supports("x86-64-v3")) return 3;
        if (__builtin_cpu_supports("x86-64-v2")) return 2;
        return 1;
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
