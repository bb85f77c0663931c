"""Blocking work in threads, whose number is bounded even where nobody waits for the result any more.

A thread cannot be stopped. anyio frees the slot of one whose caller was cancelled, so a spell that gives
up call after call would start thread after thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

THREADS = 40  # at a time, in one event loop


class Threads:
    """The threads of one event loop.

    Attributes:
        limiter: Slots that all share who have none of their own.
        busy: How many slots are taken, of whatever limiter.
    """

    def __init__(self) -> None:
        self.limiter = CapacityLimiter(THREADS)
        self.busy = 0


_threads: RunVar[Threads] = RunVar("llmspell.threads")


def current_threads() -> Threads:
    """Return those of the running event loop."""
    try:
        return _threads.get()
    except LookupError:
        threads = Threads()
        _threads.set(threads)
        return threads


async def in_thread(work: Callable[[], T], limiter: CapacityLimiter | None = None) -> T:
    """Run a blocking function in a thread, once there is a slot for it.

    If the caller is cancelled, a function that has begun runs on, and keeps its slot until it ends;
    one that has not does not begin.

    Args:
        work: The function.
        limiter: Whose slots to use instead of the shared ones.
    """
    slot = _Slot(limiter)
    await slot.acquire()
    try:
        run = partial(slot.run, work)
        # The slot is the limit; anyio's would be free again too early.
        return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    finally:
        slot.leave()


class _Slot:
    """The slot of one function. It is released when that has ended, or cannot begin any more."""

    def __init__(self, limiter: CapacityLimiter | None) -> None:
        self._threads, self._loop = current_threads(), asyncio.get_running_loop()
        self._limiter = limiter or self._threads.limiter
        self._lock = Lock()
        self._begun = self._left = False

    async def acquire(self) -> None:
        await self._limiter.acquire_on_behalf_of(self)
        self._threads.busy += 1

    def run(self, work: Callable[[], T]) -> T:
        """Call the function, in the thread."""
        with self._lock:
            if self._left:
                raise asyncio.CancelledError
            self._begun = True
        try:
            return work()
        finally:
            with suppress(RuntimeError):  # the event loop is closed, and its slots are gone
                self._loop.call_soon_threadsafe(self._release)

    def leave(self) -> None:
        """Say that the caller does not wait any more."""
        with self._lock:
            if self._begun:
                return
            self._left = True
        self._release()

    def _release(self) -> None:
        self._threads.busy -= 1
        self._limiter.release_on_behalf_of(self)
