"""Fully connected neural networks, trained and served on CPUs at the speed of the hardware."""

from fcnn import datasets, reference
from fcnn._dispatch import show_config
from fcnn.errors import DivergenceError
from fcnn.files import load
from fcnn.network import Network
from fcnn.optimizers import SGD, Adam, AdamW

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "DivergenceError",
    "Network",
    "__version__",
    "datasets",
    "load",
    "reference",
    "show_config",
]
