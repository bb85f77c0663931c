"""Following what changes in a store."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from re import compile as compile_pattern
from typing import NamedTuple

from llmspell.errors import StateError
from llmspell.state.encoding import decode
from llmspell.values import Value

log = logging.getLogger("llmspell.state")

WAITING = 1000
"""How many changes wait for a watcher; the oldest is dropped for one more."""
ROOM = 16 * 1024 * 1024
"""How many bytes of values wait for a watcher, and how many a watch of a file keeps, about."""
LOOK_SECONDS = 0.2
"""How often is looked for what nobody tells: keys that expired, and writes of other processes."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key had one value and has another; None is absence."""

    scope: str
    key: str
    new: Value
    old: Value


class StoredChange(NamedTuple):
    """A change as a store tells of it: values as their text, see encoding.py; None is absence."""

    key: str
    new: str | None
    old: str | None

    @property
    def weight(self) -> int:
        return len(self.new or "") + len(self.old or "")


class Watch:
    """The changes of a scope's keys that match a pattern, in the order in which they were made.

        async for change in watch:
            print(change.key, change.old, change.new)

    It belongs to the event loop it was made in.

    Attributes:
        scope: Whose keys it sees.
        matches: Whether it sees a key of that scope.
        closed: Whether it sees no more.
        missed: How many changes were dropped, because more than `WAITING`, or than there is `ROOM`
            for, had not been taken.
    """

    def __init__(self, scope: str, pattern: str, look: Callable[[], None] | None = None) -> None:
        """Made by a store's `watch`. `look` finds changes that are not offered by themselves."""
        self.scope, self._pattern, self._look = scope, pattern, look
        self.matches = compile_pattern(translate(pattern)).match
        self._seen: deque[StoredChange] = deque()
        self._weight = 0
        self._news = asyncio.Event()
        self._error: StateError | None = None
        self.closed = False
        self.missed = 0

    def sees(self, scope: str, key: str) -> bool:
        return scope == self.scope and self.matches(key) is not None

    def offer(self, changes: list[StoredChange]) -> None:
        """Tell of changes that it sees, in order. Called by the store, in the watch's loop."""
        if self.closed:
            return
        for change in changes:
            self._seen.append(change)
            self._weight += change.weight
            while len(self._seen) > WAITING or (self._weight > ROOM and len(self._seen) > 1):
                self._drop()
        self._news.set()

    def _drop(self) -> None:
        if not self.missed:
            log.warning("a watch of %r falls behind and misses changes", self._pattern)
        self.missed += 1
        self._weight -= self._seen.popleft().weight

    def fail(self, error: StateError) -> None:
        """End with an error, which is raised after the changes that came before."""
        self._error = error
        self.close()

    def close(self) -> None:
        """See no more changes. Those that came before can still be taken."""
        self.closed = True
        self._news.set()

    async def next(self) -> list[Change]:
        """The changes since the last time, at least one: waits for it. [] once it is closed.

        Raises:
            StateError: When the store can no longer be followed.
        """
        while not self._seen and not self.closed:
            self._news.clear()
            await self._wait()
        if self._error is not None and not self._seen:
            raise self._error
        seen, self._seen, self._weight = self._seen, deque(), 0
        try:
            return [Change(self.scope, s.key, _value(s.new), _value(s.old)) for s in seen]
        except StateError:  # somebody has stored what is no value
            self.close()
            raise

    async def __aiter__(self) -> AsyncIterator[Change]:
        while changes := await self.next():
            for change in changes:
                yield change

    async def _wait(self) -> None:
        if self._look is None:
            await self._news.wait()
            return
        self._look()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return  # to look again


def _value(text: str | None) -> Value:
    return None if text is None else decode(text)


class Watches:
    """Those who watch a store. It does not keep them: a watch that nobody holds any more is gone."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Watch]] = []

    def __bool__(self) -> bool:
        """Whether somebody may be watching."""
        return bool(self._all)

    def add(self, watch: Watch) -> None:
        self._all.append(weakref.ref(watch))

    def of(self, scope: str, key: str) -> Iterator[Watch]:
        """Those that see a key. Forgets those that are closed or gone."""
        for reference in tuple(self._all):
            watch = reference()
            if watch is None or watch.closed:
                self._all.remove(reference)
            elif watch.sees(scope, key):
                yield watch

    def close(self) -> None:
        for reference in self._all:
            if watch := reference():
                watch.close()
        self._all = []
