"""
Predicted against true numbers
==============================

`fcnn.plot.plot_predictions`, of a regression: on the line the two are equal.
"""

import numpy as np

import fcnn

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (3000, 2))
y = np.sin(2 * X[:, 0]) * X[:, 1] + 0.15 * rng.normal(size=3000)
net = fcnn.Network((2, 32, 1), activation="tanh", loss="squared_error")
net.fit(X[:2000], y[:2000], epochs=40)
figure = fcnn.plot.plot_predictions(net.predict(X[2000:])[:, 0], y[2000:], name="y")

# %%
# Of many samples ``max_points`` are drawn, evenly spaced.

figure = fcnn.plot.plot_predictions(
    net.predict(X[2000:])[:, 0], y[2000:], name="y", max_points=150, title="every seventh"
)
