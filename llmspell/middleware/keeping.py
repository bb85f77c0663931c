from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.kept import Kept
from llmspell.values import Value


class Keeping:
    """Counts what leaves make the host keep, also those that are answered from the record."""

    name = "keeping"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        keeps = handler.keeps
        if keeps is None:
            return call
        kept = run[Kept]

        def counted(effect: Effect, result: Value) -> Value:
            if what := keeps(effect, result):
                kept.keep(*what)
            return result

        async def awaited(effect: Effect, answer: Awaitable[Value]) -> Value:
            return counted(effect, await answer)

        def performed(effect: Effect) -> Answer[Value]:
            answer = call(effect)
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(awaited, effect))
            return counted(effect, answer)

        return performed
