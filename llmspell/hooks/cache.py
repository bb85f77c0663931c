"""A cache for the results of effects, used by hooks."""

from __future__ import annotations

from llmspell.clock import monotonic
from llmspell.values import NotPlain, Value, plain

SIZE = 1024

Place = tuple[str, str | bytes]
"""The name of an effect, and a cache key."""


class HookCache:
    """A bounded LRU cache whose entries may expire."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._results: dict[Place, tuple[float, Value]] = {}

    def get(self, place: Place) -> tuple[Value] | None:
        """Return a copy of the cached result in a 1-tuple, or None."""
        entry = self._results.pop(place, None)
        if entry is None or entry[0] <= monotonic():
            return None
        self._results[place] = entry  # most recently used entries come last
        return (plain(entry[1]),)

    def has_expiry(self, place: Place) -> bool:
        """Return whether the entry has an expiry time."""
        return place in self._results and self._results[place][0] != float("inf")

    def drop(self, place: Place) -> None:
        """Remove the entry, if any."""
        self._results.pop(place, None)

    def put(self, place: Place, result: Value, ttl: float | None) -> None:
        """Store a copy, for `ttl` seconds if given, unless the result is not a plain value."""
        try:
            copy = plain(result)
        except NotPlain:
            return
        self._results.pop(place, None)
        until = float("inf") if ttl is None else monotonic() + ttl
        self._results[place] = until, copy
        if len(self._results) > self._size:
            del self._results[next(iter(self._results))]

    def __len__(self) -> int:
        return len(self._results)
