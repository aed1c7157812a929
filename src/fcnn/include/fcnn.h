/* The C interface of fcnn: predictions, derivatives and training steps from any thread, without the
   interpreter's lock and without allocation.

       #include <Python.h>
       #include "fcnn.h"                        (in the folder that fcnn.get_include() names)

       const fcnn_api *fcnn = fcnn_import();    (NULL: a Python exception is set)
       fcnn_network *net = fcnn->load("net.safetensors", message, sizeof message);
       size_t bytes = fcnn->workspace_bytes(net, FCNN_FORWARD, rows);
       void *workspace = calloc(1, bytes);      (one for each thread)
       fcnn->forward_f32(net, x, rows, out, workspace, bytes);

   Nothing is linked against: the functions are in a table that a Python capsule holds.

   Locking. Functions take no lock. forward, backward, jacobian and vjp only read the network: any
   number of threads may run them on one network at the same time, each with a workspace of its own.
   What writes its parameters (train_step, update, a write through `parameters`, fit in Python)
   needs the network for itself.

   Values. Shapes and labels are checked, values are not: NaN flows through. y must be a target that
   the loss is defined for, sample weights at least 0. Arrays are C-contiguous and aligned as their
   type is; out and gradient may not overlap the inputs. */

#ifndef FCNN_H
#define FCNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Another ABI has another table. A newer version has more functions at its end, and nothing else
   that is different: what was compiled for an older one runs. */
#define FCNN_ABI 1
#define FCNN_VERSION 4

#define FCNN_CAPSULE "fcnn._C_API"

/* What a function returns that can fail. Then nothing is written, but the loss that diverged. */
enum {
    FCNN_OK = 0,
    FCNN_BAD_ARGUMENT = 1,    /* NULL, or a number out of its range */
    FCNN_WRONG_DTYPE = 2,     /* _f32 for a float64 network, or _f64 for a float32 one */
    FCNN_SMALL_WORKSPACE = 3, /* smaller than workspace_bytes or state_bytes says */
    FCNN_BAD_LABEL = 4,       /* not from 0 to n_L - 1, or the loss is not cross_entropy */
    FCNN_DIVERGED = 5         /* loss, gradient or a weight would not be finite: no update made */
};

enum { FCNN_FLOAT32 = 4, FCNN_FLOAT64 = 8 }; /* dtypes: bytes of a number */
/* Purposes of a workspace. */
enum {
    FCNN_FORWARD = 0,
    FCNN_BACKWARD = 1,
    FCNN_TRAIN = 2,
    FCNN_JACOBIAN = 3, /* this and the next since version 2 */
    FCNN_VJP = 4,
    FCNN_UPDATE = 5 /* since version 3; for any number of rows */
};
enum { FCNN_SGD = 0, FCNN_ADAM = 1, FCNN_ADAMW = 2 }; /* rules of an optimizer */

struct _object; /* PyObject, whether Python.h was included or not */

typedef struct fcnn_network fcnn_network;

/* The parameters are those of fcnn.SGD, fcnn.Adam and fcnn.AdamW; each rule reads its own. */
typedef struct fcnn_optimizer {
    int rule;
    int nesterov;
    double lr;
    double weight_decay;
    double momentum;
    double beta1;
    double beta2;
    double epsilon;
    int64_t steps; /* updates made so far; train_step and update count */
    void *state;   /* of one network, state_bytes long, zeros at first */
    size_t state_bytes;
} fcnn_optimizer;

typedef struct fcnn_api {
    int abi; /* FCNN_ABI and FCNN_VERSION of the fcnn that is installed */
    int version;

    /* The handle of a fcnn.Network, valid as long as the caller holds a reference to the object,
       also when that is trained or given new parameters. With the interpreter's lock. NULL with a
       TypeError set: not a network. */
    fcnn_network *(*borrow)(struct _object *network);
    /* The network of a file, the caller's until its release. NULL: `message`, if it is not NULL,
       says why. Takes the interpreter's lock itself; Python must be initialized. */
    fcnn_network *(*load)(const char *path, char *message, size_t message_bytes);
    /* End a handle of `load`, once; not one of `borrow`. NULL is nothing. Takes the interpreter's
       lock itself; Python must be initialized. */
    void (*release)(fcnn_network *network);

    int (*dtype)(const fcnn_network *network);
    ptrdiff_t (*n_inputs)(const fcnn_network *network);
    ptrdiff_t (*n_outputs)(const fcnn_network *network);
    ptrdiff_t (*n_parameters)(const fcnn_network *network);
    /* The flat vector net.parameters: for each layer W, (n_(l-1), n_l) row-major, then b. */
    void *(*parameters)(fcnn_network *network);

    /* Bytes that a call with up to `rows` rows takes; 0 for wrong arguments, as are more rows than
       there can be bytes for. What a workspace
       contains changes no result, but zeros at first keep rare bit patterns (denormals) from
       slowing a call. */
    size_t (*workspace_bytes)(const fcnn_network *network, int purpose, ptrdiff_t rows);
    /* Bytes of an optimizer's state; 0 for SGD without momentum and for wrong arguments. */
    size_t (*state_bytes)(const fcnn_network *network, const fcnn_optimizer *optimizer);

    /* x (rows, n_0); out (rows, n_L): what net.predict returns, bit for bit. */
    int (*forward_f32)(const fcnn_network *network, const float *x, ptrdiff_t rows, float *out,
                       void *workspace, size_t workspace_bytes);
    int (*forward_f64)(const fcnn_network *network, const double *x, ptrdiff_t rows, double *out,
                       void *workspace, size_t workspace_bytes);

    /* The mean loss and its gradient, (n_parameters,), as net.gradients returns them. Of y (rows,
       n_targets) and labels (rows,) one is NULL; sample_weight (rows,) may be. */
    int (*backward_f32)(const fcnn_network *network, const float *x, const float *y,
                        const int64_t *labels, const float *sample_weight, ptrdiff_t rows,
                        double *loss, float *gradient, void *workspace, size_t workspace_bytes);
    int (*backward_f64)(const fcnn_network *network, const double *x, const double *y,
                        const int64_t *labels, const double *sample_weight, ptrdiff_t rows,
                        double *loss, double *gradient, void *workspace, size_t workspace_bytes);

    /* One update, as net.train_step makes it; the loss is that before it. */
    int (*train_step_f32)(fcnn_network *network, const float *x, const float *y,
                          const int64_t *labels, const float *sample_weight, ptrdiff_t rows,
                          fcnn_optimizer *optimizer, double *loss, void *workspace,
                          size_t workspace_bytes);
    int (*train_step_f64)(fcnn_network *network, const double *x, const double *y,
                          const int64_t *labels, const double *sample_weight, ptrdiff_t rows,
                          fcnn_optimizer *optimizer, double *loss, void *workspace,
                          size_t workspace_bytes);

    /* What a code means, in English. */
    const char *(*error_text)(int code);

    /* Since version 2. Derivatives with respect to the inputs: x (rows, n_0); jacobian (rows, n_L,
       n_0), what net.jacobian returns, bit for bit. */
    int (*jacobian_f32)(const fcnn_network *network, const float *x, ptrdiff_t rows,
                        float *jacobian, void *workspace, size_t workspace_bytes);
    int (*jacobian_f64)(const fcnn_network *network, const double *x, ptrdiff_t rows,
                        double *jacobian, void *workspace, size_t workspace_bytes);
    /* Since version 2. v (rows, n_L); out (rows, n_L), what forward writes, may be NULL; product
       (rows, n_0): what net.vjp returns. */
    int (*vjp_f32)(const fcnn_network *network, const float *x, const float *v, ptrdiff_t rows,
                   float *out, float *product, void *workspace, size_t workspace_bytes);
    int (*vjp_f64)(const fcnn_network *network, const double *x, const double *v, ptrdiff_t rows,
                   double *out, double *product, void *workspace, size_t workspace_bytes);

    /* Since version 3. One update with a gradient, (n_parameters,), from wherever: what
       optimizer.update makes of it in Python, bit for bit, and of that of backward what train_step
       makes. l1 and l2 are those of fit; a gradient longer than clip_norm is shortened, 0 leaves
       any. The gradient is not changed. */
    int (*update_f32)(fcnn_network *network, const float *gradient, fcnn_optimizer *optimizer,
                      double l1, double l2, double clip_norm, void *workspace,
                      size_t workspace_bytes);
    int (*update_f64)(fcnn_network *network, const double *gradient, fcnn_optimizer *optimizer,
                      double l1, double l2, double clip_norm, void *workspace,
                      size_t workspace_bytes);

    /* Since version 3. Columns of y: n_L, or a part of it of a loss with several outputs for each.
     */
    ptrdiff_t (*n_targets)(const fcnn_network *network);

    /* Since version 4. L, the layers behind the inputs; and n_0, ..., n_L, 0 of any other layer. */
    ptrdiff_t (*n_layers)(const fcnn_network *network);
    ptrdiff_t (*layer_size)(const fcnn_network *network, ptrdiff_t layer);
    /* Since version 4. `load` of a file's content, which is read and then no longer needed. */
    fcnn_network *(*load_bytes)(const void *content, size_t bytes, char *message,
                                size_t message_bytes);
} fcnn_api;

#ifdef Py_PYTHON_H
/* Imports fcnn and returns its table, which is valid until the interpreter ends. With the
   interpreter's lock. NULL with an exception set: there is no fcnn, it cannot be imported (the
   exception is that of the import: no numpy, ...), or it is an older one. */
static inline const fcnn_api *fcnn_import(void)
{
    /* Not by PyCapsule_Import, which puts "could not import module" in the place of any error. */
    PyObject *module = PyImport_ImportModule("fcnn");
    PyObject *capsule = module == NULL ? NULL : PyObject_GetAttrString(module, "_C_API");
    const fcnn_api *api =
        capsule == NULL ? NULL : (const fcnn_api *) PyCapsule_GetPointer(capsule, FCNN_CAPSULE);
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    if (api != NULL && (api->abi != FCNN_ABI || api->version < FCNN_VERSION)) {
        PyErr_Format(PyExc_ImportError,
                     "compiled for the C interface %d.%d of fcnn, which is installed with %d.%d",
                     FCNN_ABI, FCNN_VERSION, api->abi, api->version);
        return NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
