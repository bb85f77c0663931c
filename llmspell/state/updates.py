"""Atomic updates: read, compute the new value with the caller's function, write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar

from llmspell.concurrency import settled
from llmspell.effect_paths import is_within
from llmspell.errors import StateError
from llmspell.state.one_loop import OneLoop
from llmspell.state.store import Steps, Updater
from llmspell.values import Value

ATTEMPTS = 30
LONGEST_PAUSE = 0.05

TurnAmongProcesses = Callable[[str, str], AbstractAsyncContextManager[None]]
"""Returns a context in which other processes do not update the key of a scope."""


def _no_turn(scope: str, key: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG001
    return nullcontext()


class _KeyLock(asyncio.Lock):
    """The lock of a key, which exists only while the key is being updated."""

    def __init__(self) -> None:
        super().__init__()
        self.users = 0
        self.holder: _Turn | None = None


class _Turn:
    """One update, waiting for its key or holding it."""

    def __init__(self, lock: _KeyLock, caller: str) -> None:
        self.lock = lock
        self.caller = caller
        outer: _Turn | None = _current.get()
        while outer is not None and outer.lock.holder is not outer:
            outer = outer.outer  # has ended, but its task had started the current one
        self.outer: _Turn | None = outer

    def inside(self, other: _Turn) -> bool:
        """Return whether this update is made by the other's updater."""
        if other.caller and is_within(self.caller, other.caller):
            return True
        outer = self.outer
        return outer is not None and (outer is other or outer.inside(other))


_current: ContextVar[_Turn | None] = ContextVar("llmspell_update", default=None)


class Updates:
    """The updates of one store: who holds which key, and who waits for it.

    There is a lock per key rather than a fixed set of shared locks. An updater may update another
    key, which would deadlock whenever both keys shared a lock.
    """

    def __init__(self, turn_among_processes: TurnAmongProcesses = _no_turn) -> None:
        self._turn_among_processes = turn_among_processes
        self._loop = OneLoop()
        self._locks: dict[tuple[str, str], _KeyLock] = {}
        self._waiting: set[_Turn] = set()

    async def run(self, steps: Steps, scope: str, key: str, updater: Updater, caller: str) -> Value:
        """Update a key; see `Store.update`."""
        async with self._turn(scope, key, caller), self._turn_among_processes(scope, key):
            pause = 0.001
            for _ in range(ATTEMPTS):
                old, version = await settled(steps.read(scope, key))
                new = await updater(old)
                if await settled(steps.commit(scope, key, new, version)):
                    return new
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        raise StateError(
            f"cannot update {key!r}: it was written {ATTEMPTS} times while the update ran",
            hint="let the function return the new value; it must not set the key itself",
            details={"scope": scope, "key": key},
            retryable=True,
        )

    @asynccontextmanager
    async def _turn(self, scope: str, key: str, caller: str) -> AsyncIterator[None]:
        if self._loop.enter():
            self._locks, self._waiting = {}, set()
        locks = self._locks
        lock = locks.setdefault((scope, key), _KeyLock())
        turn = _Turn(lock, caller)
        lock.users += 1
        try:
            self._check_progress(turn, key)
            self._waiting.add(turn)
            try:
                await lock.acquire()
            finally:
                self._waiting.discard(turn)
            outer = _current.set(turn)
            lock.holder = turn
            try:
                yield
            finally:
                lock.holder = None
                lock.release()
                _current.reset(outer)
        finally:
            lock.users -= 1
            if not lock.users:
                del locks[scope, key]

    def _check_progress(self, turn: _Turn, key: str) -> None:
        """Raise StateError for an update that would deadlock.

        It waits for the lock's holder, which waits for whatever the updates nested in it wait for.
        The last update to join closes a cycle, so checking once, before waiting, detects it.
        """
        holder = turn.lock.holder
        if holder is not None and turn.inside(holder):
            raise StateError(
                f"an update of {key!r} inside an update of {key!r} would wait for itself",
                hint="let the outer function return the new value",
            )
        seen: set[_Turn] = set()
        ahead = [turn.lock]
        while ahead:
            holder = ahead.pop().holder
            if holder is None or holder in seen:
                continue
            if turn.inside(holder):
                raise StateError(
                    f"an update of {key!r} and another would wait for each other",
                    hint="nest updates of several keys in the same order everywhere",
                    retryable=True,
                )
            seen.add(holder)
            ahead += [other.lock for other in self._waiting if other.inside(holder)]
