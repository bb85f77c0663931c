"""Watches, which receive the changes in a store."""

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
"""The most changes that wait for a watcher; beyond that, the oldest is dropped."""
ROOM = 16 * 1024 * 1024
"""The approximate bytes of values that wait for a watcher, and that a watch of a file keeps."""
LOOK_SECONDS = 0.2
"""The interval of checks for expired keys and for writes of other processes."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a key's value; None stands for absence."""

    scope: str
    key: str
    new: Value
    old: Value


class StoredChange(NamedTuple):
    """A change as reported by a store, with encoded values (see encoding.py) or None for absence."""

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

    It belongs to the event loop in which it was created.

    Attributes:
        scope: The scope of the keys.
        matches: Returns whether it watches a key of that scope.
        closed: Whether it receives no more changes.
        missed: The number of changes dropped because more than `WAITING` changes or `ROOM` bytes
            were waiting.
    """

    def __init__(self, scope: str, pattern: str, refresh: Callable[[], None] | None = None) -> None:
        """Created by a store's `watch`; `refresh` looks for changes that the store does not offer."""
        self.scope, self._pattern, self._refresh = scope, pattern, refresh
        self.matches = compile_pattern(translate(pattern)).match
        self._seen: deque[StoredChange] = deque()
        self._weight = 0
        self._arrival = asyncio.Event()
        self._error: StateError | None = None
        self.closed = False
        self.missed = 0

    def sees(self, scope: str, key: str) -> bool:
        return scope == self.scope and self.matches(key) is not None

    def offer(self, changes: list[StoredChange]) -> None:
        """Add changes that it watches, in order. Called by the store, in the watch's event loop."""
        if self.closed:
            return
        for change in changes:
            self._seen.append(change)
            self._weight += change.weight
            while len(self._seen) > WAITING or (self._weight > ROOM and len(self._seen) > 1):
                self._drop()
        self._arrival.set()

    def _drop(self) -> None:
        if not self.missed:
            log.warning("a watch of %r falls behind and misses changes", self._pattern)
        self.missed += 1
        self._weight -= self._seen.popleft().weight

    def fail(self, error: StateError) -> None:
        """End with an error, which is raised after the changes that came before it."""
        self._error = error
        self.close()

    def close(self) -> None:
        """Stop receiving changes. Those received before can still be taken."""
        self.closed = True
        self._arrival.set()

    async def next(self) -> list[Change]:
        """Return the changes since the last call, waiting for at least one; [] once it is closed.

        Raises:
            StateError: The store can no longer be watched.
        """
        while not self._seen and not self.closed:
            self._arrival.clear()
            await self._wait()
        if self._error is not None and not self._seen:
            raise self._error
        seen, self._seen, self._weight = self._seen, deque(), 0
        try:
            return [Change(self.scope, s.key, _value(s.new), _value(s.old)) for s in seen]
        except StateError:  # a stored value is damaged
            self.close()
            raise

    async def __aiter__(self) -> AsyncIterator[Change]:
        while changes := await self.next():
            for change in changes:
                yield change

    async def _wait(self) -> None:
        if self._refresh is None:
            await self._arrival.wait()
            return
        self._refresh()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._arrival.wait()
        except TimeoutError:
            return  # the caller checks again


def _value(text: str | None) -> Value:
    return None if text is None else decode(text)


class Watches:
    """The watches of a store, held weakly: a watch without other references disappears."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Watch]] = []

    def __bool__(self) -> bool:
        """Whether there may be watches."""
        return bool(self._all)

    def add(self, watch: Watch) -> None:
        self._all.append(weakref.ref(watch))

    def of(self, scope: str, key: str) -> Iterator[Watch]:
        """Yield the watches of a key, and remove those that are closed or gone."""
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
