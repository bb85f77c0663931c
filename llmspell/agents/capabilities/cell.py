from __future__ import annotations

from collections.abc import Callable

from llmspell.effects import Effect
from llmspell.values import Value


class Cell:
    """A value in the project's state that allows concurrent updates."""

    def __init__(self, scope: str, key: str) -> None:
        self._place = {"scope": scope, "key": key}

    async def get(self, effect: Effect) -> Value:
        """Return the value, or None."""
        return await effect.perform("state.get", **self._place)

    async def change(self, effect: Effect, change: Callable[[Value], Value]) -> Value:
        """Replace the value by `change(value)`, and return the new value.

        `change` is called again if the value was changed concurrently.
        """
        while True:
            old = await self.get(effect)
            new = change(old)
            kept = {**self._place, "expected": old, "value": new}
            if await effect.perform("state.compare_and_set", **kept):
                return new
