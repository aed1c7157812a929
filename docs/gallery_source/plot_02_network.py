"""
A network and one sample
========================

`fcnn.plot.plot_network` draws every a and W of the forward pass and every delta and dW of the backward
pass. Red is positive, blue negative. Of a small network all numbers stand in the picture.
"""

import fcnn

xor = fcnn.Network((2, 2, 1), activation="tanh", loss="binary_cross_entropy")
figure = fcnn.plot.plot_network(xor, [1, 0], 1)

# %%
# Of a larger layer the most active nodes are shown, ``max_nodes`` of them, numbered like the arrays.
# ``class_names`` stand beside the outputs.

X, y = fcnn.datasets.load_digits()
X = X / 16
net = fcnn.Network((64, 20, 10), activation="tanh")
net.fit(X, y, epochs=20)
names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
figure = fcnn.plot.plot_network(net, X[3], y[3], max_nodes=8, class_names=names)

# %%
# A deep one has its passes below each other.

deep = fcnn.Network((4, 6, 6, 6, 6, 3), activation="silu")
figure = fcnn.plot.plot_network(deep, [0.2, -1.0, 0.7, 0.1], 2, title="4-6-6-6-6-3, not trained")

# %%
# With axes of your own one shows the forward pass alone.

import matplotlib.pyplot as plt

own, ax = plt.subplots(figsize=(4, 4), layout="constrained")
figure = fcnn.plot.plot_network(xor, [1, 1], 0, ax=ax)
