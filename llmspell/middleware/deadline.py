from __future__ import annotations

import asyncio
import math

from llmspell.concurrency import cancel, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import EffectTimeout, InvalidArguments
from llmspell.journal.leaves import Leaves
from llmspell.journal.recording import Recording
from llmspell.values import Value


class Deadline:
    """Cancels an effect that takes longer than its handler says it may."""

    name = "deadline"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        if handler.deadline is None:
            return call
        deadline, recording = handler.deadline, run[Recording]

        async def limited(effect: Effect) -> Value:
            seconds = deadline(effect)
            if seconds is None:
                return await settled(call(effect))
            if not isinstance(seconds, (int, float)) or math.isnan(seconds):
                raise InvalidArguments(
                    effect.name, [f"timeout: {seconds!r} is no number of seconds"]
                )
            if recording and not handler.is_leaf(effect):
                return await _within_recorded(recording, effect, call, seconds)
            from anyio import move_on_after

            with move_on_after(seconds):
                return await settled(call(effect))
            raise _timeout(effect, seconds)

        return limited


async def _within_recorded(
    recording: Recording, effect: Effect, call: Perform, seconds: float
) -> Value:
    """The same for an effect that is made of others: whether its time was up is a leaf."""
    from anyio import CancelScope

    async def sleep(_: Effect) -> None:
        await asyncio.sleep(seconds)

    async def wait() -> None:
        place = Effect("deadline", {"seconds": seconds}, effect.mark("time"), effect.run)
        await settled(Leaves(recording, sleep).perform(place))
        scope.cancel()

    clock = asyncio.create_task(wait())
    try:
        with CancelScope() as scope:
            return await settled(call(effect))
        raise _timeout(effect, seconds)
    finally:
        await cancel([clock])


def _timeout(effect: Effect, seconds: float) -> EffectTimeout:
    return EffectTimeout(f"{effect.name} took more than {seconds:g} seconds", seconds=seconds)
