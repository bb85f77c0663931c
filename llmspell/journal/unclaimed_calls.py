"""Calls made from the record on behalf of leaves that have to be performed again.

Such a leaf had not ended when the run stopped. The spell is called as recorded; only later does the
leaf reach the point where it makes the call, and receives its outcome. Until then, whatever the
called function does beyond the record would run without its caller: a hook, for example, would see
its own effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmspell.concurrency import Answer, settled
from llmspell.effect_paths import all_above, is_on_behalf
from llmspell.effects import Effect, Perform
from llmspell.values import Value


class UnclaimedCalls:
    """The unclaimed calls of one run, by path."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Future[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, path: str) -> None:
        """Add a call that is made before its leaf has reached it."""
        self._calls[path] = asyncio.get_running_loop().create_future()

    def claim(self, path: str) -> None:
        """Remove a call that its leaf has reached, or will not make."""
        if call := self._calls.pop(path, None):
            call.set_result(None)

    def ended(self, leaf: str) -> None:
        """Remove the calls of a leaf that has ended."""
        for path in [path for path in self._calls if is_on_behalf(path, leaf)]:
            self.claim(path)

    def gated(self, call: Perform, *, beyond: Callable[[], bool]) -> Perform:
        """Wrap `call`: once the run is `beyond` its record, effects of unclaimed calls wait for the
        leaf.
        """

        def perform(effect: Effect) -> Answer[Value]:
            waits_for = self._around(effect.path) if self._calls and beyond() else None
            return call(effect) if waits_for is None else later(waits_for, effect)

        async def later(waits_for: asyncio.Future[None], effect: Effect) -> Value:
            await asyncio.shield(waits_for)
            return await settled(call(effect))

        return perform

    def _around(self, path: str) -> asyncio.Future[None] | None:
        return next((self._calls[above] for above in all_above(path) if above in self._calls), None)
