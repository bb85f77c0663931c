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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
GRACE = 0.1  # seconds

_CLEAR_LINE, _SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


def answer_interrupts() -> None:
    """From now on, SIGINT ends the process at once. A SIGINT that is ignored stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def say_interrupted() -> None:
    """Say so, where the cursor, and what a progress display left, are put in order."""
    tidy = f"{_SHOW_CURSOR}{_CLEAR_LINE}" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{tidy}interrupted\n")
    sys.stderr.flush()


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT cancel what runs, in good order if it can, and raise KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    import threading

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stopped, speaking = threading.Event(), threading.Lock()

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] == signal.SIGINT and not stopped.wait(GRACE) and speaking.acquire(False):
                _end()

    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # asyncio puts its own handler in the place of Python's, and of no other.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=watch, name="interrupt", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
        speaking.acquire()  # never returns if the thread is about to end the process
        signal.signal(signal.SIGINT, _end)
        signal.set_wakeup_fd(before)
        os.close(writing)


def _end(*_: Any) -> None:
    say_interrupted()
    os._exit(INTERRUPTED)
