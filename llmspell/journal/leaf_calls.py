"""The calls of leaves into the spell, for as long as somebody may ask about them.

A leaf that had not ended when the run stopped is performed again. The spell is called as recorded;
only later does the leaf reach the point where it makes the call, claims it, and receives its outcome.
Until then, whatever the called function does beyond the record would run without its caller: a hook,
for example, would see its own effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llmspell.concurrency import Answer, settled
from llmspell.effect_paths import all_above, is_on_behalf
from llmspell.effects import Effect, Perform
from llmspell.values import Value


class LeafCalls:
    """The calls that leaves have made into the spell, by path.

    A call is forgotten once it has ended and its leaf has, too: until then, what the called function
    has begun may go on.
    """

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._running: dict[str, str | None] = {}  # the leaf of each call in progress
        self._ended: dict[str, set[str]] = {}  # the other calls of each leaf in progress
        self._unclaimed: dict[str, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def add(self, path: str, leaf: str | None) -> None:
        """Note a call by the leaf at a path; None for a leaf that is answered from the record."""
        self._paths.add(path)
        self._running.setdefault(path, leaf)
        if leaf is not None:
            self._ended.setdefault(leaf, set())
            self._claim(path)

    def add_unclaimed(self, path: str) -> None:
        """Note a call that is made from the record before its leaf has reached it."""
        self._paths.add(path)
        self._unclaimed[path] = asyncio.get_running_loop().create_future()

    def call_ended(self, path: str) -> None:
        if path not in self._running:
            return
        leaf = self._running.pop(path)
        if leaf in self._ended:
            self._ended[leaf].add(path)
        else:
            self._paths.discard(path)

    def leaf_ended(self, leaf: str) -> None:
        """Note that a leaf makes no more calls, not even those that it has not claimed."""
        for path in [path for path in self._unclaimed if is_on_behalf(path, leaf)]:
            self._claim(path)
        self._paths -= self._ended.pop(leaf, set())

    def _claim(self, path: str) -> None:
        if claimed := self._unclaimed.pop(path, None):
            claimed.set_result(None)

    def gated(self, call: Perform, *, beyond: Callable[[], bool]) -> Perform:
        """Wrap `call`: once the run is `beyond` its record, effects of unclaimed calls wait for the
        leaf.
        """

        def perform(effect: Effect) -> Answer[Value]:
            waits_for = None
            if self._unclaimed and beyond():
                waits_for = self._unclaimed_around(effect.path)
            return call(effect) if waits_for is None else later(waits_for, effect)

        async def later(waits_for: asyncio.Future[None], effect: Effect) -> Value:
            await asyncio.shield(waits_for)
            return await settled(call(effect))

        return perform

    def _unclaimed_around(self, path: str) -> asyncio.Future[None] | None:
        unclaimed = self._unclaimed
        return next((unclaimed[above] for above in all_above(path) if above in unclaimed), None)
