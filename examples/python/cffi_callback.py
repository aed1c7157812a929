"""A network handed to a C library as cffi hands it on: a function pointer and a handle.

Nothing is compiled: `fcnn.c_functions` has the functions' addresses, cffi their types.
"""

import ctypes

import numpy as np
from cffi import FFI

import fcnn

ffi = FFI()
# As in fcnn.h; a network is opaque.
ffi.cdef("""
    typedef struct fcnn_network fcnn_network;
    typedef int (*forward_f32)(const fcnn_network *network, const float *x, ptrdiff_t rows,
                               float *out, void *workspace, size_t workspace_bytes);
""")


class Predictor:
    """Predictions of up to so many rows by a C function; its memory is made once."""

    def __init__(self, net, rows):
        c = fcnn.c_functions()
        self.net = net  # whose address is valid as long as it lives
        self.handle = ffi.cast("fcnn_network *", net.address)
        self.function = ffi.cast("forward_f32", ctypes.cast(c.forward_f32, ctypes.c_void_p).value)
        self.workspace = ffi.new("char[]", c.workspace_bytes(net.address, c.FORWARD, rows))
        self.out = np.empty((rows, net.sizes[-1]), np.float32)

    def __call__(self, X):
        """Return the outputs for the rows of X, shape (s, n_0): a part of `out`."""
        X = np.ascontiguousarray(X, np.float32)  # C sees bytes, whatever they mean
        if X.ndim != 2 or X.shape[1] != self.net.sizes[0] or len(X) > len(self.out):
            n, most = self.net.sizes[0], len(self.out)
            raise ValueError(f"expected {n} numbers in each of at most {most} rows, got {X.shape}")
        code = self.function(
            self.handle, ffi.from_buffer("float[]", X), len(X),
            ffi.from_buffer("float[]", self.out), self.workspace, len(self.workspace),
        )  # fmt: skip
        if code != fcnn.c_functions().OK:
            raise ValueError(fcnn.c_functions().error_text(code).decode())
        return self.out[: len(X)]


def main():
    """Predict by cffi; return the answer and that of `predict`."""
    net = fcnn.Network((4, 16, 3), "tanh", rng=0)
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    answer = Predictor(net, rows=100)(X)
    print(answer)
    return answer, net.predict(X)


if __name__ == "__main__":
    main()
