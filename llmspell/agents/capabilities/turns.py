"""Turns of the changes of one agent's capabilities."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from anyio import Lock

from llmspell.effect_paths import is_within
from llmspell.effects import Effect

_turns: ContextVar[tuple[object, ...]] = ContextVar("llmspell_capability_turns", default=())


class Turns:
    """Lets changes take turns, in the order in which they were asked for.

    A change that is made within another one, such as by its `attach`, does not wait for it.
    """

    def __init__(self) -> None:
        self._lock = Lock(fast_acquire=True)
        self._current: object = None
        self._path = ""

    @asynccontextmanager
    async def turn(self, effect: Effect) -> AsyncIterator[None]:
        """Hold the turn for a change that an effect makes."""
        if self._is_within_current(effect.path):
            yield
            return
        async with self._lock:
            self._current, self._path = object(), effect.path
            outer = _turns.set((*_turns.get(), self._current))
            try:
                yield
            finally:
                _turns.reset(outer)
                self._current = None

    def _is_within_current(self, path: str) -> bool:
        if self._current is None:
            return False
        return self._current in _turns.get() or is_within(path, self._path)
