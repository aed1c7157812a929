"""Fully connected neural networks, trained and served on CPUs."""

from typing import TYPE_CHECKING

from fcnn._dispatch import show_config
from fcnn.errors import DivergenceError
from fcnn.network import Network
from fcnn.optimizers import SGD, Adam, AdamW
from fcnn.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "DivergenceError",
    "EarlyStopping",
    "Ensemble",
    "LevenbergMarquardt",
    "Model",
    "ModelCheckpoint",
    "Network",
    "__version__",
    "c_functions",
    "callbacks",
    "convert",
    "datasets",
    "errors",
    "fit_many",
    "get_include",
    "get_num_threads",
    "learn",
    "load",
    "metrics",
    "names",
    "parallel",
    "plot",
    "reference",
    "report",
    "schedules",
    "search",
    "set_num_threads",
    "show_config",
    "tables",
]


def get_include() -> str:
    """Return the folder of ``fcnn.h``, the C interface."""
    import os

    return os.path.join(os.path.dirname(__file__), "include")


if TYPE_CHECKING:
    from fcnn import (
        callbacks,
        convert,
        datasets,
        errors,
        learn,
        metrics,
        names,
        parallel,
        plot,
        reference,
        report,
        schedules,
        tables,
    )  # fmt: skip
    from fcnn._ctypes_table import c_functions
    from fcnn.callbacks import EarlyStopping, ModelCheckpoint
    from fcnn.ensemble import Ensemble
    from fcnn.files import load
    from fcnn.halving import search
    from fcnn.many import fit_many
    from fcnn.model import Model
    from fcnn.second_order import LBFGS, LevenbergMarquardt
else:
    # Imported at first use, for a quick start: with what they import (json, pathlib, regular
    # expressions) they take longer than the rest of fcnn, and many programs use none of them.
    _SUBMODULES = (
        "callbacks", "convert", "datasets", "ensemble", "errors", "explanation", "files",
        "gradient_check", "halving", "history", "initializers", "learn", "many", "metrics", "model",
        "names", "optimizers", "parallel", "plot", "reference", "report", "schedules",
        "second_order", "sklearn", "tables", "threads", "trace", "training",
    )  # fmt: skip
    _HOMES = {
        "EarlyStopping": "callbacks",
        "Ensemble": "ensemble",
        "LBFGS": "second_order",
        "LevenbergMarquardt": "second_order",
        "ModelCheckpoint": "callbacks",
        "Model": "model",
        "c_functions": "_ctypes_table",
        "fit_many": "many",
        "load": "files",
        "search": "halving",
    }

    def __getattr__(name):
        if name == "_C_API":  # what fcnn_import() of fcnn.h asks for
            from fcnn._dispatch import core

            return core.c_api(lambda source: __getattr__("files").load_network(source))
        if name in _SUBMODULES or name in _HOMES:
            import importlib

            module = importlib.import_module(f"fcnn.{_HOMES.get(name, name)}")
            if name not in _HOMES:
                return module
            globals()[name] = value = getattr(module, name)  # found at once the next time
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        # Without what may fail to import: tools walk through these.
        return sorted({*__all__, *_SUBMODULES} - {"sklearn"})
