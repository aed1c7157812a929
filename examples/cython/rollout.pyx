# cython: language_level=3
"""A network as a simulator: its outputs are its next inputs, in a loop without the GIL.

    python setup.py build_ext --inplace
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fcnn cimport FCNN_FORWARD, FCNN_OK, fcnn_api, fcnn_import, fcnn_network


def rollout(network, float[::1] state, int steps):
    """Replace `state` by what the network makes of it, `steps` times.

    Parameters
    ----------
    network : fcnn.Network
        float32, with as many outputs as inputs. Its handle is borrowed: `network` stays alive as
        long as the call.
    state : writable float32 buffer, shape (n_0,)
    steps : int
    """
    cdef const fcnn_api* fcnn = fcnn_import()
    cdef fcnn_network* net = fcnn.borrow(network)
    cdef size_t n = fcnn.n_inputs(net), size = fcnn.workspace_bytes(net, FCNN_FORWARD, 1)
    cdef float* x = &state[0]
    cdef float* y
    cdef void* workspace
    cdef int code = FCNN_OK
    if fcnn.n_outputs(net) != <Py_ssize_t> n or state.shape[0] != <Py_ssize_t> n:
        raise ValueError("state: expected as many numbers as the network has inputs and outputs")
    workspace = calloc(1, size)
    y = <float*> calloc(n, sizeof(float))
    if workspace == NULL or y == NULL:
        free(workspace)
        free(y)
        raise MemoryError
    with nogil:
        for _ in range(steps):
            code = fcnn.forward_f32(net, x, 1, y, workspace, size)
            if code != FCNN_OK:
                break
            memcpy(x, y, n * sizeof(float))
    free(workspace)
    free(y)
    if code != FCNN_OK:
        raise ValueError(fcnn.error_text(code).decode())
