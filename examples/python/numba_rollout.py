"""A network inside a loop that Numba compiles: a state that it moves, by the C interface.

A learned model of a system is followed for as long as the system itself, no step in Python.
"""

import numpy as np
from numba import njit

import fcnn

c = fcnn.c_functions()
# Numba takes functions of ctypes as globals; it wants them one by one, as names of their own.
forward = c.forward_f64
OK = c.OK


@njit
def follow(network, states, change, workspace):
    """Fill the rows of states: each is the one before and what the network adds to it."""
    for i in range(1, len(states)):
        code = forward(
            network, states[i - 1].ctypes, 1, change.ctypes, workspace.ctypes, workspace.size
        )
        if code != OK:
            return code
        states[i] = states[i - 1] + change
    return OK


def roll_out(net, start, steps):
    """Return the states (steps + 1, n) that follow a first one."""
    if not net.sizes[0] == net.sizes[-1] == len(start):
        raise ValueError(f"expected a network from {len(start)} numbers to as many: {net.sizes}")
    states = np.tile(np.asarray(start, float), (steps + 1, 1))
    workspace = np.zeros(c.workspace_bytes(net.address, c.FORWARD, 1), np.uint8)
    code = follow(net.address, states, np.empty(len(start)), workspace)
    if code != OK:
        raise ValueError(c.error_text(code).decode())
    return states


def main():
    """Learn a pendulum with friction from single steps; return where it and the network end."""
    X = np.random.default_rng(0).uniform(-2, 2, (2000, 2))
    step = 0.02
    Y = step * np.stack([X[:, 1], -np.sin(X[:, 0]) - 0.2 * X[:, 1]], axis=1)
    net = fcnn.Network((2, 16, 2), "tanh", loss="squared_error", dtype="float64")
    net.fit(X, Y / step, epochs=40, optimizer="lm")
    net.weights[-1] *= step
    net.biases[-1] *= step
    states = roll_out(net, [1.5, 0.0], 1000)
    truth = np.array([1.5, 0.0])
    for _ in range(1000):
        truth = truth + step * np.array([truth[1], -np.sin(truth[0]) - 0.2 * truth[1]])
    print(f"after 1000 steps: {states[-1].round(4)}, the pendulum itself {truth.round(4)}")
    return net, states, truth


if __name__ == "__main__":
    main()
