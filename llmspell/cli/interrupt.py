"""Ctrl-C at once, also while Lua computes.

Python runs its signal handlers only between its own instructions, and none of those happen while
the main thread is inside Lua. The signal's number, however, is written to a pipe at once; a
thread that reads it gives the main thread a moment to stop in good order, and ends the process
if that moment passes. What a store has acknowledged is on disk by then.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llmspell.cli.report import INTERRUPTED

GRACE = 0.15  # seconds

_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT end the process with 130, in good order if it can."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stopped = threading.Event()

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] == signal.SIGINT and not stopped.wait(GRACE):
                sys.stderr.write(f"{_SHOW_CURSOR if sys.stderr.isatty() else ''}interrupted\n")
                sys.stderr.flush()
                os._exit(INTERRUPTED)

    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="interrupt", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
