"""Arrays of more than 2^31 entries: their last rows are where they are to be.

Zeros that nobody has written take no memory, so that this needs less of it than it counts.
"""

import numpy as np

import fcnn

from .common import Lacking, goes_on

ROWS = 2**31 // 512 + 1000
NEEDED = 6 * 2**30


def available():
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024


def run(size, seed):
    if available() < NEEDED:
        raise Lacking(f"needs {NEEDED >> 30} GB of memory")
    goes_on(3600)
    rng = np.random.default_rng(seed)
    net = fcnn.Network((512, 3, 2), "tanh", loss="squared_error", rng=1)
    X = np.zeros((ROWS, 512), np.float32)
    tail = rng.normal(size=(700, 512)).astype(np.float32)
    X[-700:] = tail
    out = net.predict(X)
    np.testing.assert_array_equal(out[-700:], net.predict(tail))
    np.testing.assert_array_equal(out[:-700], np.broadcast_to(net.predict(X[0]), (ROWS - 700, 2)))
    y = np.zeros((ROWS, 2), np.float32)
    weight = np.zeros(ROWS, np.float32)
    weight[-700:] = 1
    loss, gradient = net.gradients(X, y, weight)
    wanted, of_tail = net.gradients(tail, y[-700:])
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    np.testing.assert_allclose(gradient, of_tail, rtol=1e-4, atol=1e-6)
    del out
    wide = fcnn.Network((2**15, 2**16 + 8), loss="squared_error", init="zeros")
    assert wide.num_parameters > 2**31
    wide.weights[0][-1, -1] = 3
    wide.biases[0][-1] = 1
    x = np.zeros(2**15, np.float32)
    x[-1] = 2
    a = wide.predict(x)
    assert a[-1] == 7
    assert not a[:-1].any()
    return (f"{X.size:,} inputs predicted and differentiated, a network of {wide.num_parameters:,} "
            "parameters: right to the last")  # fmt: skip
