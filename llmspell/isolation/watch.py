"""Looks after the workers that compute."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

INTERVAL = 0.005  # seconds from look to look
LONG = 0.005  # seconds of CPU that make a turn a long one
GRACE = 0.5  # seconds of CPU beyond its limit in which a worker should have ended by itself
_LOWEST_PRIORITY = 19


class Computing(Protocol):
    """A worker, as far as it is watched.

    Attributes:
        pid: Its process id.
        time: Seconds of CPU a turn of it may take.
        known: Whether it has shown how long its turns are.
    """

    pid: int
    time: float
    known: bool

    def overdue(self) -> None:
        """It has gone beyond its limit: end it."""
        ...


class Watch:
    """Knows which workers compute, and looks at them every 5 ms.

    One that takes long gives way to every other process from then on, and one that goes beyond its
    time limit, at which it should have ended by itself, is ended. Of workers nobody knows yet, only
    as many compute at once as there are cores; so a crowd of new spells that never stop does not
    hold up the others until each is known for what it is.
    """

    def __init__(self) -> None:
        self._computing: dict[Computing, float] = {}
        self._unknown: set[Computing] = set()
        self._queue: deque[tuple[Computing, Callable[[], None]]] = deque()
        self._room = os.cpu_count() or 1
        self._next_look: asyncio.TimerHandle | None = None

    def begin(self, worker: Computing, start: Callable[[], None]) -> None:
        """A worker is to compute: call `start`, now or when there is room for one more."""
        if not worker.known:
            if len(self._unknown) >= self._room:
                self._queue.append((worker, start))
                return
            self._unknown.add(worker)
        self._computing[worker] = _cpu(worker.pid)
        start()
        if self._next_look is None:
            self._look_later()

    def end(self, worker: Computing) -> None:
        """It does not compute any more, or not at all."""
        self._computing.pop(worker, None)
        self._learn(worker)

    def close(self) -> None:
        if self._next_look:
            self._next_look.cancel()

    def _learn(self, worker: Computing) -> None:
        if worker.known:
            return
        worker.known = True
        self._unknown.discard(worker)
        while self._queue and len(self._unknown) < self._room:
            other, start = self._queue.popleft()
            if not other.known:  # it may have been ended while it waited
                self.begin(other, start)

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def _look(self) -> None:
        for worker, since in list(self._computing.items()):
            used = _cpu(worker.pid) - since
            if used > LONG:
                _give_way(worker.pid)
                self._learn(worker)
            if used > worker.time + GRACE:
                worker.overdue()
        self._next_look = None
        if self._computing:
            self._look_later()


def _cpu(pid: int) -> float:
    """Seconds of CPU a process has used; where that is not to be had, seconds on the clock."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as in Linux's posix-timers.h
    except OSError:
        return 0  # it has just ended


def _give_way(pid: int) -> None:
    with suppress(OSError):  # it has just ended
        if sys.platform == "linux":
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.setpriority(os.PRIO_PROCESS, pid, _LOWEST_PRIORITY)
