"""
The way down
============

`fcnn.plot.plot_descent` draws the loss over two parameters, and the paths of optimizers down it.
"""

import fcnn

X, y = fcnn.datasets.make_xor()
net = fcnn.Network((2, 4, 2), activation="tanh", rng=1)
figure = fcnn.plot.plot_descent(net, X, y, parameters=(0, 5))

# %%
# With optimizers of your own, and more steps.

optimizers = {"slow": fcnn.SGD(lr=0.05), "fast": fcnn.SGD(lr=1.0), "AdamW": fcnn.AdamW(lr=0.1)}
figure = fcnn.plot.plot_descent(net, X, y, optimizers, steps=100, span=3.0)
