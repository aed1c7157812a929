"""Ctrl-C for tests of what is interrupted."""

import contextlib
import os
import signal
import threading
import time


@contextlib.contextmanager
def interrupted(seconds=0.0, begun=lambda: True):
    """Send SIGINT so long after something has begun; give the list of when it was sent.

    And again every three seconds, until the block is left: one that comes within a callback of
    weakref, where Python collects garbage, is swallowed, and the test would go on for hours.
    """
    is_left, sent = threading.Event(), []

    def send():
        while not begun():
            if is_left.wait(0.01):
                return
        wait = seconds
        while not is_left.wait(wait):
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
            wait = 3.0

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield sent
    finally:
        is_left.set()
        sender.join()
