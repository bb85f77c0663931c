"""Looks after the workers that compute."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

INTERVAL = 0.005  # seconds from look to look
LONG = 0.005  # seconds of CPU that make a turn a long one
SHARE = 0.05  # seconds of CPU until one in a long turn lets another go on, if there is one
GRACE = 0.5  # seconds of CPU beyond its limit in which a worker should have ended by itself


class Computing(Protocol):
    """A worker, as far as it is watched.

    Attributes:
        pid: Its process id.
        time: Seconds of CPU a turn of it may take.
    """

    pid: int
    time: float

    def pause(self) -> None: ...

    def go_on(self) -> None: ...

    def overdue(self) -> None:
        """It has gone beyond its limit: end it."""
        ...


class Watchdog:
    """Knows which workers compute, and looks at them every 5 ms.

    So that a crowd of spells that never stop does not hold up those that wait for effects, only as
    many workers are in their first turn at once as there are cores, and of those whose turn has
    become a long one only as many run; these take turns. One that goes beyond its time limit, at
    which it should have ended by itself, is ended.
    """

    def __init__(self) -> None:
        self._room = os.cpu_count() or 1
        self._computing: dict[Computing, float] = {}  # with the CPU it had used when it began
        self._new: set[Computing] = set()
        self._waiting: deque[tuple[Computing, Callable[[], None]]] = deque()
        self._long: dict[Computing, float] = {}  # with the CPU it had used when it went on
        self._paused: deque[Computing] = deque()
        self._next_look: asyncio.TimerHandle | None = None

    def begin(self, worker: Computing, start: Callable[[], None], *, new: bool) -> None:
        """A worker is to compute: call `start`, now or, if it is `new`, when there is room."""
        if new and len(self._new) >= self._room:
            self._waiting.append((worker, start))
            return
        if new:
            self._new.add(worker)
        self._computing[worker] = _cpu(worker.pid)
        start()
        if self._next_look is None:
            self._look_later()

    def end(self, worker: Computing) -> None:
        """It does not compute any more, or not at all."""
        self._computing.pop(worker, None)
        self._long.pop(worker, None)
        if worker in self._paused:
            self._paused.remove(worker)
        self._new.discard(worker)
        self._admit()

    def close(self) -> None:
        if self._next_look:
            self._next_look.cancel()

    def _admit(self) -> None:
        while self._waiting and len(self._new) < self._room:
            self.begin(*self._waiting.popleft(), new=True)

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def _look(self) -> None:
        for worker, since in list(self._computing.items()):
            now = _cpu(worker.pid)
            if now - since > LONG and worker not in self._long and worker not in self._paused:
                self._long[worker] = now
                self._new.discard(worker)
            if now - since > worker.time + GRACE:
                worker.overdue()
        self._share_out()
        self._admit()
        self._next_look = None
        if self._computing:
            self._look_later()

    def _share_out(self) -> None:
        """Let as many of those in long turns run as there are cores, one after the other."""
        for worker in list(self._long)[self._room :]:
            self._pause(worker)
        for worker, since in list(self._long.items()):
            if self._paused and _cpu(worker.pid) - since > SHARE:
                self._pause(worker)
        while self._paused and len(self._long) < self._room:
            worker = self._paused.popleft()
            self._long[worker] = _cpu(worker.pid)
            worker.go_on()

    def _pause(self, worker: Computing) -> None:
        del self._long[worker]
        self._paused.append(worker)
        worker.pause()


def _cpu(pid: int) -> float:
    """Seconds of CPU a process has used; where that is not to be had, seconds on the clock."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as in Linux's posix-timers.h
    except OSError:
        return 0  # it has just ended
