"""The progress bar of a training."""

import contextlib
from collections.abc import Callable
from typing import Any

from fcnn.history import VALIDATION_LOSS, VALIDATION_SCORE, History

_NO_BAR = contextlib.nullcontext()  # of None: to show nothing takes no time


def figures_of(history: History, curves: tuple[str, ...]) -> dict[str, str]:
    """Return what the progress bar says of the last epoch."""
    shown = {"loss": f"{history.loss[-1]:.4g}"}
    if VALIDATION_LOSS in curves:
        shown["validation"] = f"{history.validation_loss[-1]:.4g}"
    if VALIDATION_SCORE in curves:
        shown[history.score_name] = f"{history.validation_score[-1]:.4f}"
    return shown


def progress_bar(begun: int, epochs: int, wanted: bool) -> Callable[[], Any]:
    """Return what opens the progress bar, or refuse it: one that is open must be closed."""
    if not wanted:
        return lambda: _NO_BAR
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install fcnn[cli]") from None
    # Epochs as fractions: with large data one takes minutes.
    form = "{percentage:3.0f}%|{bar}| {n:.4g}/{total} epochs [{elapsed}<{remaining}{postfix}]"
    return lambda: tqdm(
        initial=begun, total=epochs, unit="epoch", bar_format=form, dynamic_ncols=True
    )
