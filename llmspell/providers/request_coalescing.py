"""Coalesces identical concurrent requests to a model into one."""

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
    """Sends identical requests that are in flight at the same time only once.

    The first caller gets the answer as it is, the others with zero usage, as it was paid for once.
    The request is cancelled when no caller waits for it any more.
    """

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    async def complete(
        self, ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
    ) -> ModelResponse:
        """Return the answer to the request. Raises what `ask` raises."""
        same = repr(replace(request, key=None, patience=None))
        asked = self._asked.get(same)
        if asked is None:
            asked = self._asked[same] = _Asked(asyncio.ensure_future(_answer(ask, request)))
            asked.answer.add_done_callback(lambda _: self._asked.pop(same, None))
        asked.waiting += 1
        try:
            response = await asyncio.shield(asked.answer)
        except asyncio.CancelledError as error:
            if asked.waiting > 1:  # another caller pays
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
