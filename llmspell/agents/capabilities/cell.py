from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmspell.effects import Effect
from llmspell.errors import AgentError
from llmspell.values import Value


class Cell:
    """A value in the project's state that allows concurrent updates.

    Spells and people can write it, too, so what is read is checked.
    """

    def __init__(self, scope: str, key: str, holds: str, fits: Callable[[Any], bool]) -> None:
        """Create the cell; `holds` says in words of which values `fits` is true."""
        self._place = {"scope": scope, "key": key}
        self._holds, self._fits = holds, fits

    async def get(self, effect: Effect) -> Any:
        """Return the value, or None. Raises AgentError if it does not fit."""
        value = await effect.perform("state.get", **self._place)
        if value is None or self._fits(value):
            return value
        raise AgentError(
            "the key {key!r} in the scope {scope!r} of the state is not ".format_map(self._place)
            + self._holds,
            hint="delete the key, or set it to such a value",
        )

    async def change(self, effect: Effect, change: Callable[[Any], Value]) -> Value:
        """Replace the value by `change(value)`, and return the new value.

        `change` is called again if the value was changed concurrently.
        """
        while True:
            old = await self.get(effect)
            new = change(old)
            kept = {**self._place, "expected": old, "value": new}
            if await effect.perform("state.compare_and_set", **kept):
                return new
