"""Fully connected neural networks, trained and served on CPUs at the speed of the hardware."""

from typing import TYPE_CHECKING

from fcnn._dispatch import show_config
from fcnn.errors import DivergenceError
from fcnn.network import Network
from fcnn.optimizers import SGD, Adam, AdamW
from fcnn.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "DivergenceError",
    "Network",
    "__version__",
    "datasets",
    "get_num_threads",
    "load",
    "reference",
    "set_num_threads",
    "show_config",
]

if TYPE_CHECKING:
    from fcnn import datasets, reference
    from fcnn.files import load
else:
    # Imported at first use, for a quick start: with what they import (json, pathlib, regular
    # expressions) they take longer than the rest of fcnn, and many programs use none of them.
    _SUBMODULES = (
        "datasets", "files", "gradient_check", "preprocessing", "reference", "training",
    )  # fmt: skip

    def __getattr__(name):
        if name == "load":
            from fcnn.files import load

            return load
        if name in _SUBMODULES:
            import importlib

            return importlib.import_module(f"fcnn.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__, *_SUBMODULES})
