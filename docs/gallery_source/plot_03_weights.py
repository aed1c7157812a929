"""
What the first layer looks for
==============================

`fcnn.plot.plot_weights` draws each row of W of layer 1 as an image.
"""

import fcnn

X, y = fcnn.datasets.load_digits()
X = X / 16
net = fcnn.Network((64, 40, 10))
net.fit(X, y, epochs=30, l2=1e-3)
figure = fcnn.plot.plot_weights(net)

# %%
# Of many nodes the first ``max_nodes``; ``image_shape`` where the inputs are no square.

figure = fcnn.plot.plot_weights(net, image_shape=(4, 16), max_nodes=6)
