"""A cache for the results of effects, used by hooks."""

from __future__ import annotations

from typing import NamedTuple

from llmspell.clock import monotonic
from llmspell.kept import Kept, size_of
from llmspell.values import NotPlain, Value, plain

SIZE = 1024
ROOM = 64 << 20  # bytes

Place = tuple[str, str | bytes]
"""The name of an effect, and a cache key."""


class _Entry(NamedTuple):
    until: float
    result: Value
    size: int


class HookCache:
    """An LRU cache bounded in entries and bytes, whose entries may expire."""

    def __init__(self, kept: Kept | None = None, *, size: int = SIZE, room: int = ROOM) -> None:
        """Create a cache; what it holds is charged to `kept`, if given."""
        self._kept, self._size, self._room = kept, size, room
        self._results: dict[Place, _Entry] = {}
        self._bytes = 0

    def get(self, place: Place) -> tuple[Value] | None:
        """Return a copy of the cached result in a 1-tuple, or None."""
        entry = self._results.get(place)
        if entry is None:
            return None
        if entry.until <= monotonic():
            self.drop(place)
            return None
        self._results[place] = self._results.pop(place)  # most recently used entries come last
        return (plain(entry.result),)

    def has_expiry(self, place: Place) -> bool:
        """Return whether the entry has an expiry time."""
        return place in self._results and self._results[place].until != float("inf")

    def drop(self, place: Place) -> None:
        """Remove the entry, if any."""
        if entry := self._results.pop(place, None):
            self._bytes -= entry.size
            if self._kept:
                self._kept.drop((HookCache, place))

    def clear(self) -> None:
        """Remove all entries."""
        for place in list(self._results):
            self.drop(place)

    def put(self, place: Place, result: Value, ttl: float | None) -> None:
        """Store a copy, for `ttl` seconds if given, unless it is not a plain value or too large.

        Raises:
            LimitExceeded: The run keeps too much.
        """
        self.drop(place)
        try:
            copy = plain(result)
        except NotPlain:
            return
        size = size_of(place) + size_of(copy)
        if size > self._room:
            return
        until = float("inf") if ttl is None else monotonic() + ttl
        self._results[place] = _Entry(until, copy, size)
        self._bytes += size
        while len(self._results) > self._size or self._bytes > self._room:
            self.drop(next(iter(self._results)))
        if self._kept:
            self._kept.keep((HookCache, place), size)

    def __len__(self) -> int:
        return len(self._results)
