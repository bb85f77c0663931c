"""Calls of a spell's functions by host code, from the message to Lua until the outcome is known."""

from __future__ import annotations

import asyncio
from typing import cast

from llmspell.errors import EffectError, SpellEnded
from llmspell.values import Value


class Call:
    """One call; usually it is answered before anyone has to wait.

    Attributes:
        outcome: The function's result in a 1-tuple, or the error it failed with; None until then.
        waiting: What is to be woken then, if somebody has to wait.
    """

    # Defaults of the class, as a constructor would take long.
    outcome: tuple[Value] | EffectError | None = None
    waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(None)

    async def settled(self) -> None:
        self.waiting = asyncio.get_running_loop().create_future()
        await self.waiting

    def result(self) -> Value:
        """Return the result. Raises EffectError if the function failed."""
        if type(self.outcome) is tuple:
            return self.outcome[0]
        raise cast("EffectError", self.outcome)


class Calls:
    """The calls in progress, by number.

    Attributes:
        refused: Whether no function can be called any more.
    """

    def __init__(self) -> None:
        self.refused = False
        self._open: dict[int, Call] = {}
        self._unclaimed: dict[int, Call] = {}
        self._last = 0

    def __bool__(self) -> bool:
        return bool(self._open)

    def new_number(self, unclaimed: bool = False) -> int:
        """Allocate a number.

        With `unclaimed`, the outcome of that call is kept for a caller that comes later.
        """
        self._last += 1
        if unclaimed:
            self._unclaimed[self._last] = Call()
        return self._last

    def open(self, number: int) -> Call:
        unclaimed = self._unclaimed.pop(number, None) if self._unclaimed else None
        self._open[number] = call = unclaimed or Call()
        return call

    def close(self, number: int) -> None:
        del self._open[number]

    def settle(self, number: int, outcome: tuple[Value] | EffectError) -> None:
        """Note the outcome of a call, unless nobody waits for it any more."""
        if call := self._open.get(number) or self._unclaimed.get(number):
            call.outcome = outcome
            if call.waiting:
                call.wake()

    def refuse(self) -> None:
        """Fail the calls in progress; later ones are to be refused too."""
        self.refused = True
        for call in self._open.values():
            if call.outcome is None:
                call.outcome = refusal()
                call.wake()


def refusal() -> EffectError:
    """Return the error of a call that comes too late."""
    return SpellEnded("the spell has ended, so its functions can no longer be called")
