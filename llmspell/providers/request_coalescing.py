"""Coalesces identical concurrent requests to a model into one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llmspell.concurrency import CancelledBeforeRequest, new_task
from llmspell.providers.request_limiter import waits_to_send

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class Caller:
    """One who wants the answer to a request, which others may share.

    Attributes:
        pays: Whether it pays for the request, or gets the answer that another one pays for.
    """

    def __init__(self) -> None:
        self.pays = True

    def give_up(self) -> None:
        """Stop paying, so that another one can `take_over`."""
        self.pays = False

    def take_over(self) -> bool:
        """Start to pay, if possible; return whether it is."""
        self.pays = True
        return True

    def take_back(self) -> None:
        """Pay after all, as nobody has taken over."""
        self.pays = True


@dataclass(eq=False)
class SharedRequest:
    """A request that is in flight.

    Attributes:
        content: What requests that share the answer have in common.
        waiting: How many callers have joined it or await its answer.
        awaiting: Those that await its answer.
        paid: Whether one of the callers has paid, or is sure to.
        begun: Whether the task has run at all.
    """

    content: str
    answer: asyncio.Task[ModelResponse]
    waiting: int = 0
    awaiting: list[Caller] = field(default_factory=list)
    paid: bool = False
    begun: bool = False

    @property
    def is_unsent(self) -> bool:
        """Whether nothing has been sent yet."""
        return not self.begun or waits_to_send(self.answer)

    def end(self, caller: Caller) -> None:
        """Decide whether a caller pays, now that the request has ended: one of them does."""
        caller.pays = caller.pays and not self.paid
        self.paid = self.paid or caller.pays

    def pass_on(self, caller: Caller) -> None:
        """Decide who pays in place of a caller that stops waiting; it does if nobody else can."""
        if caller.pays and not self.paid:
            others = [other for other in self.awaiting if other is not caller]
            caller.give_up()
            if not any(one.pays for one in others) and not any(one.take_over() for one in others):
                caller.take_back()
        self.end(caller)


class RequestCoalescer:
    """Sends identical requests that are in flight at the same time only once.

    The caller who pays gets the answer as it is, the others with zero usage. The request is
    cancelled when no caller waits for it any more.
    """

    def __init__(self) -> None:
        self._in_flight: dict[str, SharedRequest] = {}
        self._callers: dict[str, Caller] = {}
        self._joined: dict[str, SharedRequest] = {}

    @contextmanager
    def join(self, request: ModelRequest, caller: Caller) -> Iterator[None]:
        """Announce the caller of a `complete` in the body; if it is not to pay, tell it.

        It joins an identical request that is in flight. Its `complete` then gets the answer even
        if that has come meanwhile, and sends nothing.
        """
        key = request.key
        if key is None or key in self._callers:
            yield
            return
        self._callers[key] = caller
        shared = self._in_flight.get(_content(request))
        if shared is not None:
            caller.pays = False
            shared.waiting += 1
            self._joined[key] = shared
        try:
            yield
        finally:
            del self._callers[key]
            if shared is not None and key in self._joined:
                del self._joined[key]  # it has not asked
                self._leave(shared)

    async def complete(
        self, ask: Callable[[ModelRequest], Awaitable[ModelResponse]], request: ModelRequest
    ) -> ModelResponse:
        """Return the answer to the request. Raises what `ask` raises."""
        content, key = _content(request), request.key or ""
        caller = self._callers.get(key) or Caller()
        shared = self._joined.get(key)
        if shared is not None and shared.content == content:
            del self._joined[key]
        else:
            caller.pays = True
            shared = self._send_or_share(ask, request, content)
            shared.waiting += 1
        return await self._answer_of(shared, caller)

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

        async def answer() -> ModelResponse:
            shared.begun = True
            return await ask(request)

        shared = SharedRequest(content, new_task(answer()))
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

    async def _answer_of(self, shared: SharedRequest, caller: Caller) -> ModelResponse:
        """Return the answer, for one of those who are `waiting`."""
        shared.awaiting.append(caller)
        try:
            response = await asyncio.shield(shared.answer)
        except asyncio.CancelledError as error:
            if shared.answer.cancelled():
                shared.end(caller)
            else:
                shared.pass_on(caller)
            if shared.waiting == 1 and shared.is_unsent:
                raise CancelledBeforeRequest(*error.args) from error
            raise
        except BaseException:
            shared.end(caller)
            raise
        finally:
            shared.awaiting.remove(caller)
            self._leave(shared)
        shared.end(caller)
        return response if caller.pays else replace(response, usage=type(response.usage)(usd=0.0))


def _content(request: ModelRequest) -> str:
    """Return what identical requests have in common."""
    return repr(replace(request, key=None, patience=None))
