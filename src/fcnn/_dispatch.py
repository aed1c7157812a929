"""Picks the build of the core for this CPU.

`_core.pyx` is compiled once for each instruction set. The environment variable ``FCNN_ISA`` (v2,
v3, v4, or neon on aarch64) overrides the choice; a build that is absent or that the CPU cannot run
is refused, never replaced silently.
"""

import importlib
import os
import platform
from typing import TYPE_CHECKING, Any

from fcnn._cpu import BUILDS, x86_64_level

__all__ = ["available", "core", "isa", "show_config"]


def available() -> dict[str, str]:
    """Return the builds that this CPU can run, fastest first: instruction set and module."""
    level = x86_64_level()
    return {isa: module for isa, module, needed in BUILDS if needed <= level}


def _choose() -> str:
    modules = available()
    wanted = os.environ.get("FCNN_ISA", "").strip().lower()
    if not modules:
        made = ", ".join(isa for isa, _, _ in BUILDS)
        raise ImportError(
            "fcnn needs an x86-64-v2 CPU (SSE4.2, from about 2009) or newer; it was built for "
            f"{made}, and this CPU can run none of them"
        )
    if not wanted:
        return next(iter(modules))
    if wanted not in modules:
        raise ImportError(
            f"FCNN_ISA: {wanted!r} is not available here; this CPU can run "
            f"{', '.join(modules)}. Unset it to take the fastest"
        )
    return wanted


isa = _choose()
if TYPE_CHECKING:
    import fcnn._core as core
else:
    try:
        core = importlib.import_module(f"fcnn.{available()[isa]}")
    except ModuleNotFoundError as error:
        raise ImportError(f"the {isa} build of fcnn's core is missing ({error})") from None


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print which build of the core runs, and on what.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print the configuration, or return it as a dictionary.
    """
    if not isinstance(mode, str) or mode not in ("stdout", "dicts"):
        raise ValueError(f"mode: expected 'stdout' or 'dicts', got {mode!r}")
    import numpy as np

    import fcnn

    config = {
        "fcnn": fcnn.__version__,
        "instruction set": core.ISA,
        "core module": core.__name__,
        "available": list(available()),
        "FCNN_ISA": os.environ.get("FCNN_ISA", ""),
        "machine": platform.machine(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        print(f"{key:16}{', '.join(value) if isinstance(value, list) else value or '-'}")
    return None
