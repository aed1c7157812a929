"""
A pass as a film
================

`fcnn.plot.animate_trace` shows a sample going forward and its deltas coming back, as a GIF or as a page
with buttons.
"""

import fcnn

xor = fcnn.Network((2, 3, 1), activation="tanh", loss="binary_cross_entropy")
film = fcnn.plot.animate_trace(xor, [1, 0], 1)
