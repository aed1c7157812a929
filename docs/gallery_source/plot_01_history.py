"""
Curves of a training
====================

`fcnn.plot.plot_history` draws the losses of an epoch, with validation data the scores, and the best
epoch as a dotted line.
"""

import fcnn

X, y = fcnn.datasets.load_digits()
X = X / 16
net = fcnn.Network((64, 32, 10))
history = net.fit(X[:1400], y[:1400], epochs=30, validation=(X[1400:], y[1400:]))
figure = fcnn.plot.plot_history(history, title="Digits, 64-32-10")

# %%
# A learning rate that varies has axes of its own, below the losses; ``loss_label`` names the loss.

schedule = [fcnn.schedules.WarmUp(3), fcnn.schedules.Cosine()]
net = fcnn.Network((64, 32, 10))
history = net.fit(X[:1400], y[:1400], epochs=30, validation=(X[1400:], y[1400:]), schedule=schedule)
figure = fcnn.plot.plot_history(history, loss_label="cross-entropy")

# %%
# On axes of your own: one has the losses, a list of two the scores, too.

import matplotlib.pyplot as plt

own, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
figure = fcnn.plot.plot_history(history, ax=[left, right])
