"""One answer for all who ask the same of a model at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmspell.concurrency import CancelledBeforeRequest

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


@dataclass
class _Asked:
    answer: asyncio.Task[ModelResponse]
    waiting: int = 0
    paid: bool = False


class RequestCoalescer:
    """Asks once for identical requests that are in flight together.

    The first of those who still wait gets the answer as it is. The others get it as one that used
    nothing: it was paid for once. The request ends when nobody waits for it any more.
    """

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    async def complete(
        self, ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
    ) -> ModelResponse:
        """The answer to the request; raises what `ask` raises."""
        same = repr(replace(request, key=None, patience=None))
        asked = self._asked.get(same)
        if asked is None:
            asked = self._asked[same] = _Asked(asyncio.ensure_future(_answer(ask, request)))
            asked.answer.add_done_callback(lambda _: self._asked.pop(same, None))
        asked.waiting += 1
        try:
            response = await asyncio.shield(asked.answer)
        except asyncio.CancelledError as error:
            if asked.waiting > 1:  # one of the others pays
                raise CancelledBeforeRequest(*error.args) from error
            raise
        finally:
            asked.waiting -= 1
            if not asked.waiting and not asked.answer.done():
                self._asked.pop(same, None)
                asked.answer.cancel()
        if asked.paid:
            return replace(response, usage=type(response.usage)(usd=0.0))
        asked.paid = True
        return response


async def _answer(
    ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
) -> ModelResponse:
    return await ask(request)
