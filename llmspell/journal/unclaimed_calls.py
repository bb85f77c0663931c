"""Calls that are made from the record on behalf of leaves which have to be done again.

Such a leaf had not ended when the run stopped. The spell is called as it was, and only later comes
the leaf to where it makes the call, and is given what came of it. Until then, what the spell does
beyond the record would be done without whoever calls it: a hook, say, would see its own work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmspell.concurrency import Answer, settled
from llmspell.effect_paths import all_above, is_on_behalf
from llmspell.effects import Effect, Perform
from llmspell.values import Value


class UnclaimedCalls:
    """Those of one run, by path."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Future[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, path: str) -> None:
        """One is made, and its leaf is not there yet."""
        self._calls[path] = asyncio.get_running_loop().create_future()

    def claim(self, path: str) -> None:
        """Its leaf is there, or will not make it."""
        if call := self._calls.pop(path, None):
            call.set_result(None)

    def ended(self, leaf: str) -> None:
        """A leaf has ended."""
        for path in [path for path in self._calls if is_on_behalf(path, leaf)]:
            self.claim(path)

    def gated(self, call: Perform, *, beyond: Callable[[], bool]) -> Perform:
        """Has effects of such calls wait for the leaf, once the run is `beyond` its record."""

        def perform(effect: Effect) -> Answer[Value]:
            waits_for = self._around(effect.path) if self._calls and beyond() else None
            return call(effect) if waits_for is None else later(waits_for, effect)

        async def later(waits_for: asyncio.Future[None], effect: Effect) -> Value:
            await asyncio.shield(waits_for)
            return await settled(call(effect))

        return perform

    def _around(self, path: str) -> asyncio.Future[None] | None:
        return next((self._calls[above] for above in all_above(path) if above in self._calls), None)
