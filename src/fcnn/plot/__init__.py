"""Pictures of a training and of a network. They need matplotlib: ``pip install fcnn[cli]``.

Each function returns a figure that no window and no pyplot knows of: a notebook shows it, and
``figure.savefig`` or the argument ``path`` writes it. With ``ax`` it draws on axes of yours and
returns them. A figure of its own is at most 800 pixels wide at its 100 dots per inch; a file
has 150, sharp also on dense screens.
"""

from fcnn.plot.animation import animate_trace
from fcnn.plot.bands import plot_bands
from fcnn.plot.boundary import plot_boundary
from fcnn.plot.confusion import plot_confusion_matrix
from fcnn.plot.curves import plot_history
from fcnn.plot.descent import plot_descent
from fcnn.plot.diagram import plot_network
from fcnn.plot.importance import plot_importance
from fcnn.plot.predictions import plot_predictions
from fcnn.plot.weights import plot_weights

__all__ = [
    "animate_trace",
    "plot_bands",
    "plot_boundary",
    "plot_confusion_matrix",
    "plot_descent",
    "plot_history",
    "plot_importance",
    "plot_network",
    "plot_predictions",
    "plot_weights",
]


def __dir__() -> list[str]:
    return __all__
