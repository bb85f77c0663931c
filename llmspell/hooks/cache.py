"""Results that hooks keep for later."""

from __future__ import annotations

from llmspell.clock import monotonic
from llmspell.values import NotPlain, Value, plain

SIZE = 1024

Place = tuple[str, str | bytes]
"""The name of an effect, and a key."""


class HookCache:
    """A bounded number of results, each until its time is over; the least used makes room."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._results: dict[Place, tuple[float, Value]] = {}

    def find(self, place: Place) -> tuple[Value] | None:
        """A copy of the result kept there, in a tuple."""
        entry = self._results.pop(place, None)
        if entry is None or entry[0] <= monotonic():
            return None
        self._results[place] = entry  # last in the order: used last
        return (plain(entry[1]),)

    def is_dated(self, place: Place) -> bool:
        """Whether it is a matter of time what is found there."""
        return place in self._results and self._results[place][0] != float("inf")

    def drop(self, place: Place) -> None:
        """Forget what is kept there."""
        self._results.pop(place, None)

    def keep(self, place: Place, result: Value, ttl: float | None) -> None:
        """Keep a copy, for `ttl` seconds if given. What is no plain value is not kept."""
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
