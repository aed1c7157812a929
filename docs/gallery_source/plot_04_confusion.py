"""
Which classes are taken for which
=================================

`fcnn.plot.plot_confusion_matrix` takes labels or one-hot rows, and predicted labels or the outputs of a
network. The row is the true class.
"""

import fcnn

X, y = fcnn.datasets.load_digits()
X = X / 16
net = fcnn.Network((64, 16, 10))
net.fit(X[:600], y[:600], epochs=30)
figure = fcnn.plot.plot_confusion_matrix(net.predict(X[600:]), y[600:])

# %%
# Two classes, with names: a single output counts as class 1 above 1/2.

even = fcnn.Network((64, 8, 1), loss="binary_cross_entropy")
even.fit(X[:600], y[:600] % 2, epochs=20)
figure = fcnn.plot.plot_confusion_matrix(even.predict(X[600:]), y[600:] % 2, ["even", "odd"])
