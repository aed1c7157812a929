"""
What a network answers all over the plane
=========================================

`fcnn.plot.plot_boundary` takes a network of two inputs.
"""

import fcnn

X, y = fcnn.datasets.make_moons()
net = fcnn.Network((2, 8, 2), activation="tanh")
net.fit(X, y, epochs=200)
figure = fcnn.plot.plot_boundary(net, X, y)

# %%
# Three classes, with names.

X3, y3 = fcnn.datasets.make_spirals()
spirals = fcnn.Network((2, 32, 32, int(y3.max()) + 1), activation="tanh")
spirals.fit(X3, y3, epochs=300)
names = ["inner", "outer", "third"][: int(y3.max()) + 1]
figure = fcnn.plot.plot_boundary(spirals, X3, y3, class_names=names)

# %%
# With ``node=(l, k)``: what one node responds to. Of a hidden layer it is a fold, of which the outputs
# make the boundary.

figure = fcnn.plot.plot_boundary(net, X, y, node=(1, 0))

# %%
# A network of numbers.

Xr, yr = fcnn.datasets.make_circles()
numbers = fcnn.Network((2, 16, 1), activation="tanh", loss="squared_error")
numbers.fit(Xr, yr, epochs=200)
figure = fcnn.plot.plot_boundary(numbers, Xr, yr, title="squared error")
