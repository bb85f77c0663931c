"""Immediate Ctrl-C, even while Lua computes; and SIGTERM and SIGHUP in the same way.

Python runs signal handlers only between its own instructions, of which there are none while the
main thread is inside Lua. The number of the signal, however, is written to a pipe at once. A
thread that reads the pipe gives the main thread a short grace period to stop in order, and ends the
process when that has passed. What a store has acknowledged is on disk by then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

ENDINGS = {
    signal.SIGINT: ("interrupted", 130),
    signal.SIGTERM: ("terminated", 143),
    signal.SIGHUP: ("hung up", 129),
}
"""What is said of each signal, and the exit code."""

GRACE = 0.1  # seconds

_CLEAR_LINE, _SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


def answer_interrupts() -> None:
    """Make SIGINT end the process at once, from now on. If it is ignored, it stays ignored."""
    handler = signal.getsignal(signal.SIGINT)
    _ending.ignores_interrupts = handler is signal.SIG_IGN
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_signal)


def set_way_back(command: str | None) -> None:
    """Set the command that an interrupted user is told to continue with; None for none."""
    _ending.way_back = command


def keep_line_if(unfinished: Callable[[], bool]) -> None:
    """Set a function that tells whether the terminal's last line is unfinished, and so is kept."""
    _ending.line_is_unfinished = unfinished


class _Ending:
    """How the process ends at a signal."""

    ignores_interrupts = False
    way_back: str | None = None
    line_is_unfinished: Callable[[], bool] = staticmethod(lambda: False)
    word, code = ENDINGS[signal.SIGINT]

    def by(self, number: int) -> None:
        """Set the signal that ends the process."""
        self.word, self.code = ENDINGS[signal.Signals(number)]


_ending = _Ending()


def end_interrupted() -> NoReturn:
    """Report the interruption, restore the terminal, and end the process without waiting."""
    new_line = "\n" if _ending.line_is_unfinished() else _CLEAR_LINE
    tidy = f"{_SHOW_CURSOR}{new_line}" if os.isatty(2) else ""
    hint = f"hint: continue with: {_ending.way_back}\n" if _ending.way_back else ""
    with suppress(OSError):
        os.write(2, f"{tidy}{_ending.word}\n{hint}".encode())
    os._exit(_ending.code)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make these signals cancel the work, and end the process when it stops or is overdue.

    Where SIGINT is ignored, as for a job in the background of a script, the others still do so.
    SIGHUP that is ignored, as after nohup, stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if not (_ending.ignores_interrupts or before is _end_at_signal):
        yield
        return
    import threading

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stopped, speaking = threading.Event(), threading.Lock()

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] in ENDINGS and not stopped.wait(GRACE) and speaking.acquire(False):
                _ending.by(number[0])
                end_interrupted()

    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if _ending.ignores_interrupts:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # asyncio replaces Python's default SIGINT handler, but no other.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    others = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        others.append(signal.SIGHUP)
    replaced = {number: signal.signal(number, _terminate) for number in others}
    threading.Thread(target=watch, name="interrupt", daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        speaking.acquire()  # does not return if the thread is about to end the process
        end_interrupted()
    finally:
        stopped.set()
        signal.signal(signal.SIGINT, before)
        if _ending.ignores_interrupts:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in replaced.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writing)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Handle another signal like SIGINT, for which asyncio has a handler."""
    _ending.by(number)
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def _end_at_signal(_number: int, _frame: FrameType | None) -> None:
    end_interrupted()
