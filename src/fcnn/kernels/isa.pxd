"""The numbers of the instruction set that is compiled for: isa.h has the table."""

cdef extern from "isa.h" nogil:
    const char* ISA_NAME "FCNN_ISA_NAME"
    enum:
        BYTES "FCNN_BYTES"      # of a vector register
        FLOATS "FCNN_FLOATS"    # that fill it
        MR "FCNN_MR"            # rows of the register tile, and
        VECTORS "FCNN_VECTORS"  # registers of one of its rows,
        NR "FCNN_NR"            # which are so many lanes of float32, half as many of float64
        HAS_FMA "FCNN_HAS_FMA"  # whether it has multiply-add instructions
        PACKED_NODES "FCNN_PACKED_NODES"    # copied together
        SLACK "FCNN_SLACK"      # readable entries behind the parameters
        LIMIT_ROWS "FCNN_LIMIT_ROWS"
        LIMIT_COLUMNS "FCNN_LIMIT_COLUMNS"
