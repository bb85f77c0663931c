from __future__ import annotations

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import EffectTimeout, InvalidArguments
from llmspell.values import Value


class Deadline:
    """Cancels an effect that takes longer than its handler says it may."""

    name = "deadline"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if handler.deadline is None:
            return call
        deadline = handler.deadline

        async def limited(effect: Effect) -> Value:
            seconds = deadline(effect)
            if seconds is None:
                return await settled(call(effect))
            if not isinstance(seconds, (int, float)) or seconds != seconds:  # noqa: PLR0124 - NaN
                raise InvalidArguments(
                    effect.name, [f"timeout: {seconds!r} is no number of seconds"]
                )
            from anyio import move_on_after

            with move_on_after(seconds):
                return await settled(call(effect))
            raise EffectTimeout(
                f"{effect.name} took more than {seconds:g} seconds", seconds=seconds
            )

        return limited
