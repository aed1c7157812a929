"""A neural network: the formulas of the lecture, and nothing else.

In W^l_kj, k is the receiving node and j the emitting node; layers are l = 1..L.
"""

import numpy as np


def sigma(z):
    return 1 / (1 + np.exp(-z))


def sigma_prime(z):
    return sigma(z) * (1 - sigma(z))


class Network:
    def __init__(self, sizes, rng):
        self.L = len(sizes) - 1
        self.W, self.b = [None], [None]  # so that W[l] and b[l] are those of layer l
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            self.W.append(rng.normal(size=(n_out, n_in)) / np.sqrt(n_in))
            self.b.append(np.zeros(n_out))

    def forward(self, x):
        z, a = [None], [x]
        for l in range(1, self.L + 1):
            z.append(self.W[l] @ a[l - 1] + self.b[l])  # z_k = sum_j W_kj a_j + b_k
            a.append(sigma(z[l]))
        return z, a

    def backward(self, z, a, y):
        delta = [None] * (self.L + 1)
        delta[self.L] = (a[self.L] - y) * sigma_prime(z[self.L])  # C = |a - y|^2 / 2
        for l in range(self.L - 1, 0, -1):  # delta_j = sigma'(z_j) sum_k delta_k W_kj
            delta[l] = sigma_prime(z[l]) * (delta[l + 1] @ self.W[l + 1])
        return delta

    def learn(self, x, y, eta):
        z, a = self.forward(x)
        delta = self.backward(z, a, y)
        for l in range(1, self.L + 1):  # W <- W - eta dC/dW, dC/dW_kj = delta_k a_j
            self.W[l] -= eta * np.outer(delta[l], a[l - 1])
            self.b[l] -= eta * delta[l]


def main():
    rng = np.random.default_rng(1)
    net = Network((2, 4, 1), rng)
    samples = [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)]  # y is whether they differ
    for _ in range(4000):
        x, y = samples[rng.integers(4)]
        net.learn(np.array(x), y, eta=2.0)
    for x, y in samples:
        print(f"x = {x}: a = {net.forward(np.array(x))[1][-1][0]:.3f}, y = {y}")
    return net


if __name__ == "__main__":
    main()
