"""The watchdog: limits and shares the CPU time of the workers that are computing."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

INTERVAL = 0.005  # seconds between checks
LONG = 0.005  # seconds of CPU time after which a turn counts as long
SHARE = 0.05  # seconds of CPU time per slice, when workers in long turns have to alternate
GRACE = 0.5  # seconds of CPU time beyond the limit, in which a worker should end by itself


class Computing(Protocol):
    """A worker, as the watchdog sees it.

    Attributes:
        pid: Its process id.
        time: The CPU time limit of one turn, in seconds.
    """

    pid: int
    time: float

    def pause(self) -> None: ...

    def unpause(self) -> None: ...

    def overdue(self) -> None:
        """End the worker, which has exceeded its limit."""
        ...


class Watchdog:
    """Tracks the workers that are computing, and checks them every 5 ms.

    Spells that never stop must not delay those that wait for effects. So at most as many workers
    are in their first turn at once as there are cores, and of those whose turn has become long, at
    most as many run at a time; they alternate. A worker that exceeds its time limit, at which it
    should have ended by itself, is killed.
    """

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._computing: dict[Computing, float] = {}  # with the CPU time used before the turn
        self._new: set[Computing] = set()
        self._waiting: deque[tuple[Computing, Callable[[], None]]] = deque()
        self._long: dict[Computing, float] = {}  # with the CPU time used before the slice
        self._paused: deque[Computing] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, worker: Computing, start: Callable[[], None], *, new: bool) -> None:
        """Start a turn of a worker: call `start` now or, if it is `new`, when there is room."""
        if new and len(self._new) >= self._cores:
            self._waiting.append((worker, start))
            return
        if new:
            self._new.add(worker)
        self._computing[worker] = _cpu(worker.pid)
        start()
        if self._timer is None:
            self._schedule_check()

    def end(self, worker: Computing) -> None:
        """End a worker's turn, whether it was computing or still waiting."""
        self._computing.pop(worker, None)
        self._long.pop(worker, None)
        if worker in self._paused:
            self._paused.remove(worker)
            worker.unpause()  # it answered before the signal reached it, which would stop its next turn
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not worker)
        self._new.discard(worker)
        self._admit()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _admit(self) -> None:
        while self._waiting and len(self._new) < self._cores:
            self.begin(*self._waiting.popleft(), new=True)

    def _schedule_check(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._check)

    def _check(self) -> None:
        for worker, since in list(self._computing.items()):
            now = _cpu(worker.pid)
            if now - since > LONG and worker not in self._long and worker not in self._paused:
                self._long[worker] = now
                self._new.discard(worker)
            if now - since > worker.time + GRACE:
                worker.overdue()
        self._alternate()
        self._admit()
        self._timer = None
        if self._computing:
            self._schedule_check()

    def _alternate(self) -> None:
        """Let as many workers in long turns run as there are cores, in alternation."""
        for worker in list(self._long)[self._cores :]:
            self._pause(worker)
        for worker, since in list(self._long.items()):
            if self._paused and _cpu(worker.pid) - since > SHARE:
                self._pause(worker)
        while self._paused and len(self._long) < self._cores:
            worker = self._paused.popleft()
            self._long[worker] = _cpu(worker.pid)
            worker.unpause()

    def _pause(self, worker: Computing) -> None:
        del self._long[worker]
        self._paused.append(worker)
        worker.pause()


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, or wall time where that is not available."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)  # see posix-timers.h in Linux
    except OSError:
        return 0  # it has just ended
