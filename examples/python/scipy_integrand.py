"""A network as the integrand of SciPy's quadrature, called in C: scipy.LowLevelCallable.

SciPy calls a C function of its own signature; Numba makes one that calls the network. What it
needs, the network's address and memory, goes along as user_data.
"""

import ctypes

import numpy as np
from numba import carray, cfunc, types
from scipy import LowLevelCallable
from scipy.integrate import dblquad

import fcnn

c = fcnn.c_functions()
forward = c.forward_f64
MOST_BYTES = 1 << 16  # of a workspace: enough for one row of this network


@cfunc(types.double(types.intc, types.CPointer(types.double), types.voidptr))
def integrand(n, x, data):
    """Return the network's output at x; data: its address, then memory for it."""
    memory = carray(data, (2 + MOST_BYTES // 8,), np.uint64)
    out = memory[1:2].view(np.float64)
    code = forward(memory[0], carray(x, (2,)).ctypes, 1, out.ctypes, memory[2:].ctypes, MOST_BYTES)
    return out[0] if code == 0 else np.nan


def integral(net):
    """Return the integral of a network with two inputs and one output over the unit square."""
    if (net.sizes[0], net.sizes[-1]) != (2, 1):
        raise ValueError(f"expected two inputs and one output, got {net.sizes}")
    if c.workspace_bytes(net.address, c.FORWARD, 1) > MOST_BYTES:
        raise ValueError("the network needs more memory than MOST_BYTES")
    data = np.zeros(2 + MOST_BYTES // 8, np.uint64)
    data[0] = net.address
    function = LowLevelCallable(integrand.ctypes, data.ctypes.data_as(ctypes.c_void_p))
    return dblquad(function, 0, 1, 0, 1)[0]


def main():
    """Learn a function with a known integral; return the network's and the true one."""
    X = np.random.default_rng(0).uniform(0, 1, (500, 2))
    y = np.exp(-X[:, 0]) * np.cos(X[:, 1])
    net = fcnn.Network((2, 12, 1), "tanh", loss="squared_error", dtype="float64", rng=0)
    net.fit(X, y, epochs=60, optimizer="lm")
    found, truth = integral(net), (1 - np.exp(-1)) * np.sin(1)
    print(f"integral of the network {found:.6f}, of the function {truth:.6f}")
    return net, found, truth


if __name__ == "__main__":
    main()
