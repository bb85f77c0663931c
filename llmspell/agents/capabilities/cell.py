from __future__ import annotations

from collections.abc import Callable

from llmspell.effects import Effect
from llmspell.values import Value


class Cell:
    """A value in the state of the project, that several may change at once."""

    def __init__(self, scope: str, key: str) -> None:
        self._place = {"scope": scope, "key": key}

    async def get(self, effect: Effect) -> Value:
        """The value, or None."""
        return await effect.perform("state.get", **self._place)

    async def change(self, effect: Effect, change: Callable[[Value], Value]) -> Value:
        """Put what a function makes of the value in its place; what that is.

        It is called again if somebody else was faster.
        """
        while True:
            old = await self.get(effect)
            new = change(old)
            kept = {**self._place, "expected": old, "value": new}
            if await effect.perform("state.compare_and_set", **kept):
                return new
