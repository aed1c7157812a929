"""Draw docs/deltas.gif, the README's picture: one sample goes forward and its deltas come back."""

from pathlib import Path

import numpy as np

import fcnn

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (400, 3))
y = np.stack([X[:, 0] * X[:, 1] > 0, X[:, 2] > 0], axis=1).astype(float)
net = fcnn.Network((3, 5, 4, 2), activation="tanh", loss="binary_cross_entropy", rng=3)
net.fit(X, y, epochs=15, optimizer=fcnn.Adam(lr=0.01))
# A sample that it gets half wrong, so that something comes back.
losses = [net.evaluate(X[i], y[i])["loss"] for i in range(len(X))]
sample = int(np.argsort(losses)[-30])
place = Path(__file__).resolve().parent.parent / "docs" / "deltas.gif"
fcnn.plot.animate_trace(net, X[sample], y[sample], path=place)
