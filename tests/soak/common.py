"""What the long tests share."""

import faulthandler
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUCK = int(os.environ.get("FCNN_SOAK_STUCK", "300"))  # seconds


class Lacking(Exception):  # noqa: N818
    """What a part needs is not here."""


def goes_on(seconds=STUCK):
    """Say that a part goes on.

    If it does not say so again within this time its process is ended, with the stack of each thread
    on standard error: where it hangs.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
