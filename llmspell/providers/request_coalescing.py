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
        self._in_flight: dict[str, SharedRequest] = {}
        self._joined: dict[str, SharedRequest] = {}

    @contextmanager
    def join(self, request: ModelRequest) -> Iterator[SharedRequest | None]:
        """Join an identical request that is in flight, for a `complete` in the body; or yield None.

        That `complete` gets its answer even if it has come meanwhile, and sends nothing.
        """
        shared, key = self._in_flight.get(_content(request)), request.key
        if shared is None or key is None or key in self._joined:
            yield None
            return
        shared.waiting += 1
        self._joined[key] = shared
        try:
            yield shared
        finally:
            if self._joined.pop(key, None):
                self._leave(shared)

    async def complete(
        self, ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
    ) -> ModelResponse:
        """Return the answer to the request. Raises what `ask` raises."""
        content = _content(request)
        joined = self._joined.get(request.key or "")
        if joined is not None and joined.content == content:
            del self._joined[request.key or ""]
            return await self._answer_of(joined)
        shared = self._send_or_share(ask, request, content)
        shared.waiting += 1
        shared.payers += 1
        try:
            return await self._answer_of(shared)
        except asyncio.CancelledError:
            shared.payers -= 1
            raise

    def _send_or_share(
        self,
        ask: Callable[[ModelRequest], Awaitable[ModelResponse]],
        request: ModelRequest,
        content: str,
    ) -> SharedRequest:
        """Return the identical request that is in flight, or send this one."""
        existing = self._in_flight.get(content)
        if existing is not None:
            return existing
        shared = SharedRequest(content, asyncio.ensure_future(_answer(ask, request)))
        shared.answer.add_done_callback(lambda _: self._forget(shared))
        self._in_flight[content] = shared
        return shared

    def _forget(self, shared: SharedRequest) -> None:
        if self._in_flight.get(shared.content) is shared:
            del self._in_flight[shared.content]

    def _leave(self, shared: SharedRequest) -> None:
        shared.waiting -= 1
        if not shared.waiting and not shared.answer.done():
            self._forget(shared)
            shared.answer.cancel()

    async def _answer_of(self, shared: SharedRequest) -> ModelResponse:
        """Return the answer, for one of those who are `waiting`."""
        try:
            response = await asyncio.shield(shared.answer)
        except asyncio.CancelledError as error:
            if shared.waiting > 1:  # another caller pays
                raise CancelledBeforeRequest(*error.args) from error
            raise
        finally:
            self._leave(shared)
        if shared.paid:
            return replace(response, usage=type(response.usage)(usd=0.0))
        shared.paid = True
        return response


def _content(request: ModelRequest) -> str:
    """Return what identical requests have in common."""
    return repr(replace(request, key=None, patience=None))


async def _answer(
    ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
) -> ModelResponse:
    return await ask(request)
