# cython: language_level=3
"""Which builds of the core there are, and which of them this CPU can run."""

cdef extern from "cpu.h":
    ctypedef struct fcnn_build:
        const char* isa
        const char* module
        int level
    enum:
        FCNN_NUM_BUILDS
    const fcnn_build* fcnn_builds
    bint fcnn_is_built(const fcnn_build* build)
    int fcnn_level()

# (name, module, level) of each build for this kind of CPU that was made, fastest first.
BUILDS = tuple(
    (fcnn_builds[i].isa.decode(), fcnn_builds[i].module.decode(), fcnn_builds[i].level)
    for i in range(FCNN_NUM_BUILDS) if fcnn_is_built(&fcnn_builds[i])
)


def x86_64_level():
    """Return the CPU's x86-64 micro-architecture level, 1 to 4; 0 on other CPUs.

    Levels as in the System V x86-64 psABI, section 3.1.1.
    """
    return fcnn_level()
