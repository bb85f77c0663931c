"""Ctrl-C at once, also while Lua computes; and SIGTERM in the same way.

Python runs its signal handlers only between its own instructions, and none of those happen while
the main thread is inside Lua. The signal's number, however, is written to a pipe at once; a
thread that reads it gives the main thread a moment to stop in good order, and ends the process
if that moment passes. What a store has acknowledged is on disk by then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143
GRACE = 0.1  # seconds

_CLEAR_LINE, _SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


def answer_interrupts() -> None:
    """From now on, SIGINT ends the process at once. A SIGINT that is ignored stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_signal)


def set_way_back(command: str | None) -> None:
    """From now on, whoever interrupts is told how to go on, if there is something left to do."""
    _ending.way_back = command


def keep_line_if(unfinished: Callable[[], bool]) -> None:
    """From now on, what stands on the terminal's last line is kept if that is unfinished."""
    _ending.line_is_unfinished = unfinished


class _Ending:
    """How the process ends when a signal ends it."""

    way_back: str | None = None
    line_is_unfinished: Callable[[], bool] = staticmethod(lambda: False)
    word, code = "interrupted", INTERRUPTED

    def by(self, number: int) -> None:
        """It is the signal of that number."""
        if number == signal.SIGTERM:
            self.word, self.code = "terminated", TERMINATED


_ending = _Ending()


def end_interrupted() -> NoReturn:
    """Say so, put the terminal in order, and end the process without waiting for anything."""
    new_line = "\n" if _ending.line_is_unfinished() else _CLEAR_LINE
    tidy = f"{_SHOW_CURSOR}{new_line}" if os.isatty(2) else ""
    hint = f"hint: go on with: {_ending.way_back}\n" if _ending.way_back else ""
    with suppress(OSError):
        os.write(2, f"{tidy}{_ending.word}\n{hint}".encode())
    os._exit(_ending.code)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT and SIGTERM cancel what runs, and end the process when that is done or takes too long."""
    if signal.getsignal(signal.SIGINT) is not _end_at_signal:
        yield
        return
    import threading

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stopped, speaking = threading.Event(), threading.Lock()

    def watch() -> None:
        while number := os.read(reading, 1):
            if (
                number[0] in (signal.SIGINT, signal.SIGTERM)
                and not stopped.wait(GRACE)
                and speaking.acquire(False)
            ):
                _ending.by(number[0])
                end_interrupted()

    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # asyncio puts its own handler in the place of Python's, and of no other.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    terminated = signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=watch, name="interrupt", daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        speaking.acquire()  # does not return if the thread is about to end the process
        end_interrupted()
    finally:
        stopped.set()
        signal.signal(signal.SIGINT, _end_at_signal)
        signal.signal(signal.SIGTERM, terminated)
        signal.set_wakeup_fd(before)
        os.close(writing)


def _terminate(number: int, _frame: FrameType | None) -> None:
    """End as at SIGINT, which asyncio knows how to."""
    _ending.by(number)
    signal.raise_signal(signal.SIGINT)


def _end_at_signal(_number: int, _frame: FrameType | None) -> None:
    end_interrupted()
