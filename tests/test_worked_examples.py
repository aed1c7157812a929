"""Examples computed by hand: every z, a, delta, gradient and updated weight.

The weights are chosen so that every z is 0 or ln 3, for which sigmoid is 1/2 or 3/4 and its
derivative a (1 - a) is 1/4 or 3/16. All the rest is fractions.
"""

from math import log

import numpy as np
import pytest

import fcnn

LN3 = log(3)


def sigmoid_network(sizes, weights, biases, dtype="float64"):
    net = fcnn.Network(
        sizes, activation="sigmoid", output_activation="sigmoid", loss="squared_error", dtype=dtype
    )
    for W, b, given_W, given_b in zip(net.weights, net.biases, weights, biases, strict=True):
        W[...] = given_W
        b[...] = given_b
    return net


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-15)


def test_one_node_per_layer_in_series():
    """The first lesson: x = 1, W^1 = ln 3, b^1 = 0, W^2 = 4, b^2 = -3, y = 1."""
    net = sigmoid_network((1, 1, 1), [[[LN3]], [[4]]], [[0], [-3]])
    trace = net.trace([1.0], [1.0])
    close(trace.a[0], [[1]])
    close(trace.z[1], [[LN3]])
    close(trace.a[1], [[3 / 4]])
    close(trace.z[2], [[0]])  # 4 * 3/4 - 3
    close(trace.a[2], [[1 / 2]])
    assert trace.loss == pytest.approx(1 / 8)  # (1/2 - 1)^2 / 2
    close(trace.delta[2], [[-1 / 8]])  # (1/2 - 1) * 1/4
    close(trace.delta[1], [[-3 / 32]])  # 3/16 * 4 * -1/8
    close(trace.dW[2], [[-3 / 32]])  # -1/8 * 3/4
    close(trace.db[2], [-1 / 8])
    close(trace.dW[1], [[-3 / 32]])  # -3/32 * 1
    close(trace.db[1], [-3 / 32])
    assert trace.z[0] is trace.dW[0] is trace.db[0] is None

    loss = net.train_step([1.0], [1.0], fcnn.SGD(lr=2.0))
    assert loss == pytest.approx(1 / 8)
    close(net.weights[0], [[LN3 + 3 / 16]])
    close(net.biases[0], [3 / 16])
    close(net.weights[1], [[4 + 3 / 16]])
    close(net.biases[1], [-3 + 1 / 4])


def two_two_two(dtype="float64"):
    return sigmoid_network(
        (2, 2, 2),
        [[[LN3, 0], [1, -1 / 2]], [[4, -6], [4, -2]]],
        [[0, 0], [0, LN3 - 2]],
        dtype,
    )


def test_the_chain_rule_sums_over_every_receiving_node():
    """x = (1, 2), y = (1, 0): each hidden node sends to two receiving nodes."""
    net = two_two_two()
    trace = net.trace([1.0, 2.0], [1.0, 0.0])
    close(trace.z[1], [[LN3, 0]])
    close(trace.a[1], [[3 / 4, 1 / 2]])
    close(trace.z[2], [[0, LN3]])  # 3 - 3, 3 - 1 + ln 3 - 2
    close(trace.a[2], [[1 / 2, 3 / 4]])
    assert trace.loss == pytest.approx(13 / 32)  # (1/4 + 9/16) / 2
    close(trace.delta[2], [[-1 / 8, 9 / 64]])  # -1/2 * 1/4, 3/4 * 3/16
    # 3/16 (-1/8 * 4 + 9/64 * 4) and 1/4 (-1/8 * -6 + 9/64 * -2)
    close(trace.delta[1], [[3 / 256, 15 / 128]])
    # dC/dx: ln 3 * 3/256 + 1 * 15/128 and -1/2 * 15/128
    close(trace.delta[0], [[LN3 * 3 / 256 + 15 / 128, -15 / 256]])
    close(trace.dW[2], [[-3 / 32, -1 / 16], [27 / 256, 9 / 128]])
    close(trace.db[2], [-1 / 8, 9 / 64])
    close(trace.dW[1], [[3 / 256, 3 / 128], [15 / 128, 15 / 64]])
    close(trace.db[1], [3 / 256, 15 / 128])

    net.train_step([1.0, 2.0], [1.0, 0.0], fcnn.SGD(lr=1.0))
    close(net.weights[0], [[LN3 - 3 / 256, -3 / 128], [1 - 15 / 128, -1 / 2 - 15 / 64]])
    close(net.biases[0], [-3 / 256, -15 / 128])
    close(net.weights[1], [[4 + 3 / 32, -6 + 1 / 16], [4 - 27 / 256, -2 - 9 / 128]])
    close(net.biases[1], [1 / 8, LN3 - 2 - 9 / 64])


def test_a_batch_averages_its_samples():
    """The same sample twice: the same gradient, each delta with half of it."""
    net = two_two_two()
    once = net.trace([1.0, 2.0], [1.0, 0.0])
    twice = net.trace([[1.0, 2.0]] * 2, [[1.0, 0.0]] * 2)
    close(twice.delta[2], [[-1 / 16, 9 / 128]] * 2)
    close(twice.delta[1], [[3 / 512, 15 / 256]] * 2)
    close(twice.dW[1], once.dW[1])
    assert twice.loss == pytest.approx(once.loss)


def test_softmax_and_cross_entropy():
    """z = (0, ln 3): a = (1/4, 3/4), C = -ln a_y, delta = a - y."""
    net = fcnn.Network((1, 2), dtype="float64")
    net.weights[0][:] = [[0], [LN3]]
    for y in (0, [1, 0]):
        trace = net.trace([1.0], y)
        close(trace.a[1], [[1 / 4, 3 / 4]])
        assert trace.loss == pytest.approx(log(4))
        close(trace.delta[1], [[-3 / 4, 3 / 4]])
        close(trace.dW[1], [[-3 / 4], [3 / 4]])


def test_the_flat_vector_is_layer_after_layer():
    net = fcnn.Network((2, 3, 1), loss="squared_error", dtype="float64")
    net.parameters[:] = range(13)
    close(net.weights[0], [[0, 3], [1, 4], [2, 5]])  # stored (n_0, n_1), shown (n_1, n_0)
    close(net.biases[0], [6, 7, 8])
    close(net.weights[1], [[9, 10, 11]])
    close(net.biases[1], [12])


def test_the_printed_trace_shows_the_numbers():
    text = str(two_two_two().trace([1.0, 2.0], [1.0, 0.0]))
    rows = [line.split() for line in text.splitlines()]
    assert rows[1] == ["layer", "node", "z", "a", "delta"]
    assert rows[2] == ["input", "0", "1", "0.130062"]
    assert rows[4] == ["1", "sigmoid", "0", "1.09861", "0.75", "0.0117188"]
    assert rows[7][1:] == ["1.09861", "0.75", "0.140625"]
