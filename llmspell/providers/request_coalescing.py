"""Coalesces identical concurrent requests to a model into one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmspell.concurrency import CancelledBeforeRequest

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


@dataclass
class SharedRequest:
    """A request that is in flight.

    Attributes:
        content: What requests that share the answer have in common.
        waiting: How many callers wait for its answer.
        payers: How many of them have not joined it, and so have reserved what it may cost.
        paid: Whether one of the callers has got the answer with its usage.
    """

    content: str
    answer: asyncio.Task[ModelResponse]
    waiting: int = 0
    payers: int = 0
    paid: bool = False


class RequestCoalescer:
    """Sends identical requests that are in flight at the same time only once.

    The first caller gets the answer as it is, the others with zero usage, as it was paid for once.
    The request is cancelled when no caller waits for it any more.
    """

    def __init__(self) -> None:
        self._asked: dict[str, SharedRequest] = {}
        self._joined: dict[str, SharedRequest] = {}

    @contextmanager
    def join(self, request: ModelRequest) -> Iterator[SharedRequest | None]:
        """Join an identical request that is in flight, for a `complete` in the body; or yield None.

        That `complete` gets its answer even if it has come meanwhile, and sends nothing.
        """
        asked, key = self._asked.get(_content(request)), request.key
        if asked is None or key is None or key in self._joined:
            yield None
            return
        asked.waiting += 1
        self._joined[key] = asked
        try:
            yield asked
        finally:
            if self._joined.pop(key, None):
                self._leave(asked)

    async def complete(
        self, ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
    ) -> ModelResponse:
        """Return the answer to the request. Raises what `ask` raises."""
        content = _content(request)
        joined = self._joined.get(request.key or "")
        if joined is not None and joined.content == content:
            del self._joined[request.key or ""]
            return await self._answer_of(joined)
        asked = self._asked_for(ask, request, content)
        asked.waiting += 1
        asked.payers += 1
        try:
            return await self._answer_of(asked)
        except asyncio.CancelledError:
            asked.payers -= 1
            raise

    def _asked_for(
        self,
        ask: Callable[[ModelRequest], Awaitable[ModelResponse]],
        request: ModelRequest,
        content: str,
    ) -> SharedRequest:
        """Return the identical request that is in flight, or send this one."""
        found = self._asked.get(content)
        if found is not None:
            return found
        asked = SharedRequest(content, asyncio.ensure_future(_answer(ask, request)))
        asked.answer.add_done_callback(lambda _: self._forget(asked))
        self._asked[content] = asked
        return asked

    def _forget(self, asked: SharedRequest) -> None:
        if self._asked.get(asked.content) is asked:
            del self._asked[asked.content]

    def _leave(self, asked: SharedRequest) -> None:
        asked.waiting -= 1
        if not asked.waiting and not asked.answer.done():
            self._forget(asked)
            asked.answer.cancel()

    async def _answer_of(self, asked: SharedRequest) -> ModelResponse:
        """Return the answer, for one of those who are `waiting`."""
        try:
            response = await asyncio.shield(asked.answer)
        except asyncio.CancelledError as error:
            if asked.waiting > 1:  # another caller pays
                raise CancelledBeforeRequest(*error.args) from error
            raise
        finally:
            self._leave(asked)
        if asked.paid:
            return replace(response, usage=type(response.usage)(usd=0.0))
        asked.paid = True
        return response


def _content(request: ModelRequest) -> str:
    """Return what identical requests have in common."""
    return repr(replace(request, key=None, patience=None))


async def _answer(
    ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
) -> ModelResponse:
    return await ask(request)
