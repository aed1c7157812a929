"""
How far an answer may be wrong
==============================

`fcnn.plot.plot_bands` draws quantiles over a feature as bands, and the targets as points.
"""

import numpy as np

import fcnn

rng = np.random.default_rng(0)
x = rng.uniform(-2, 2, (1500, 1))
y = np.sin(2 * x) + (0.1 + 0.3 * np.abs(x)) * rng.normal(size=x.shape)
levels = [0.05, 0.25, 0.5, 0.75, 0.95]
net = fcnn.Network((1, 32, 5), "tanh", loss="quantile(0.05, 0.25, 0.5, 0.75, 0.95)")
net.fit(x, y, epochs=60, optimizer=fcnn.Adam(0.01))
figure = fcnn.plot.plot_bands(x[:, 0], net.predict(x), y[:, 0], levels=levels, x_name="x", name="y")

# %%
# Of the loss gaussian_nll mean and deviation make the quantiles. Without ``y`` the bands alone.

gaussian = fcnn.Network((1, 32, 2), "tanh", loss="gaussian_nll")
gaussian.fit(x, y, epochs=60, optimizer=fcnn.Adam(0.01))
mean, log_variance = gaussian.predict(x).T
quantiles = mean[:, None] + np.exp(log_variance / 2)[:, None] * [-1.645, 0, 1.645]
figure = fcnn.plot.plot_bands(x[:, 0], quantiles, levels=[0.05, 0.5, 0.95])
