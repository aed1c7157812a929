"""The C interface, for Cython: include/fcnn.h says what each of these does."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t


cdef extern from "fcnn.h":
    enum:
        FCNN_ABI
        FCNN_VERSION

    const char* FCNN_CAPSULE

    enum:
        FCNN_OK
        FCNN_BAD_ARGUMENT
        FCNN_WRONG_DTYPE
        FCNN_SMALL_WORKSPACE
        FCNN_BAD_LABEL
        FCNN_DIVERGED

    enum:
        FCNN_FLOAT32
        FCNN_FLOAT64

    enum:
        FCNN_FORWARD
        FCNN_BACKWARD
        FCNN_TRAIN
        FCNN_JACOBIAN
        FCNN_VJP
        FCNN_UPDATE

    enum:
        FCNN_SGD
        FCNN_ADAM
        FCNN_ADAMW

    ctypedef struct fcnn_network:
        pass

    ctypedef struct fcnn_optimizer:
        int rule
        int nesterov
        double lr
        double weight_decay
        double momentum
        double beta1
        double beta2
        double epsilon
        int64_t steps
        void* state
        size_t state_bytes

    ctypedef struct fcnn_api:
        int abi
        int version
        fcnn_network* (*borrow)(object network) except NULL
        fcnn_network* (*load)(
            const char* path, char* message, size_t message_bytes) noexcept nogil
        void (*release)(fcnn_network* network) noexcept nogil
        int (*dtype)(const fcnn_network* network) noexcept nogil
        ptrdiff_t (*n_inputs)(const fcnn_network* network) noexcept nogil
        ptrdiff_t (*n_outputs)(const fcnn_network* network) noexcept nogil
        ptrdiff_t (*n_parameters)(const fcnn_network* network) noexcept nogil
        void* (*parameters)(fcnn_network* network) noexcept nogil
        size_t (*workspace_bytes)(
            const fcnn_network* network, int purpose, ptrdiff_t rows) noexcept nogil
        size_t (*state_bytes)(
            const fcnn_network* network, const fcnn_optimizer* optimizer) noexcept nogil
        int (*forward_f32)(
            const fcnn_network* network, const float* x, ptrdiff_t rows, float* out,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*forward_f64)(
            const fcnn_network* network, const double* x, ptrdiff_t rows, double* out,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*backward_f32)(
            const fcnn_network* network, const float* x, const float* y, const int64_t* labels,
            const float* sample_weight, ptrdiff_t rows, double* loss, float* gradient,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*backward_f64)(
            const fcnn_network* network, const double* x, const double* y, const int64_t* labels,
            const double* sample_weight, ptrdiff_t rows, double* loss, double* gradient,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*train_step_f32)(
            fcnn_network* network, const float* x, const float* y, const int64_t* labels,
            const float* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*train_step_f64)(
            fcnn_network* network, const double* x, const double* y, const int64_t* labels,
            const double* sample_weight, ptrdiff_t rows, fcnn_optimizer* optimizer, double* loss,
            void* workspace, size_t workspace_bytes) noexcept nogil
        const char* (*error_text)(int code) noexcept nogil
        int (*jacobian_f32)(
            const fcnn_network* network, const float* x, ptrdiff_t rows, float* jacobian,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*jacobian_f64)(
            const fcnn_network* network, const double* x, ptrdiff_t rows, double* jacobian,
            void* workspace, size_t workspace_bytes) noexcept nogil
        int (*vjp_f32)(
            const fcnn_network* network, const float* x, const float* v, ptrdiff_t rows, float* out,
            float* product, void* workspace, size_t workspace_bytes) noexcept nogil
        int (*vjp_f64)(
            const fcnn_network* network, const double* x, const double* v, ptrdiff_t rows,
            double* out, double* product, void* workspace, size_t workspace_bytes) noexcept nogil
        int (*update_f32)(
            fcnn_network* network, const float* gradient, fcnn_optimizer* optimizer, double l1,
            double l2, double clip_norm, void* workspace, size_t workspace_bytes) noexcept nogil
        int (*update_f64)(
            fcnn_network* network, const double* gradient, fcnn_optimizer* optimizer, double l1,
            double l2, double clip_norm, void* workspace, size_t workspace_bytes) noexcept nogil
        ptrdiff_t (*n_targets)(const fcnn_network* network) noexcept nogil
        ptrdiff_t (*n_layers)(const fcnn_network* network) noexcept nogil
        ptrdiff_t (*layer_size)(const fcnn_network* network, ptrdiff_t layer) noexcept nogil
        fcnn_network* (*load_bytes)(
            const void* content, size_t bytes, char* message, size_t message_bytes) noexcept nogil

    const fcnn_api* fcnn_import() except NULL
