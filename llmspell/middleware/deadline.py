from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import EffectTimeout, InvalidArguments
from llmspell.values import Value

if TYPE_CHECKING:
    from anyio import CancelScope

    from llmspell.journal.timeouts import Expiry


class Deadline:
    """Cancels an effect that exceeds the timeout given by its handler."""

    name = "deadline"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if handler.deadline is None:
            return call
        deadline, target = handler.deadline, handler.target

        async def limited(effect: Effect) -> Value:
            seconds = deadline(effect)
            if seconds is None:
                return await settled(call(effect))
            if not isinstance(seconds, (int, float)) or math.isnan(seconds):
                raise InvalidArguments(
                    effect.name, [f"timeout: {seconds!r} is not a number of seconds"]
                )
            with _clock(effect, seconds, recorded=not handler.is_leaf(effect)) as clock:
                result = await settled(call(effect))
            if clock.cancelled_caught:
                raise _timeout(target(effect) if target else effect.name, seconds)
            return result

        return limited


def _clock(
    effect: Effect, seconds: float, *, recorded: bool
) -> AbstractContextManager[Expiry | CancelScope]:
    """Return a scope with a timeout, whose expiry is recorded for composite effects."""
    if recorded:
        from llmspell.journal.timeouts import moving_on

        return moving_on(effect, "time", seconds)
    from anyio import move_on_after

    return move_on_after(seconds)


def _timeout(what: str, seconds: float) -> EffectTimeout:
    return EffectTimeout(f"{what} took more than {seconds:g} seconds", seconds=seconds)
