"""The fake server: its script, the requests it received, and the ways to reach it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeAlias

import anyio
from anyio.from_thread import start_blocking_portal

from llmspell.testing.fakes.anthropic import Anthropic
from llmspell.testing.fakes.dialect import Dialect
from llmspell.testing.fakes.faults import Fault, Said, refused, wire_of
from llmspell.testing.fakes.gemini import Gemini
from llmspell.testing.fakes.loopback import Loopback
from llmspell.testing.fakes.offers import Offer, Vectors, letters, offer_of
from llmspell.testing.fakes.openai_chat import OpenAIChat
from llmspell.testing.fakes.openai_responses import OpenAIResponses
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import Wire

if TYPE_CHECKING:
    from llmspell.testing.fakes.transport import FakeTransport

DIALECTS: tuple[Dialect, ...] = (OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini())

Reply: TypeAlias = Said | Callable[[Received], Said | Awaitable[Said]]
"""A reply, or a function that returns it when given the request."""


class FakeServer:
    """Speaks every protocol, chosen by the path of the request.

    It is reached through `transport` without a network, or at `url` while inside `async with
    server:`, or `with server:`, which runs it in a thread.

    Args:
        script: Replies, in turn; one that is not in a list answers every request.
        key: The only accepted API key; None accepts any.
        models: The models it lists; or a fault of the list, such as `refused(503)`. Listing uses up
            no reply of the script.
        vectors: Embeds a text; or a fault of embeddings, which use up no reply either.

    Attributes:
        requests: Every request so far.
        url: Its address. OpenAI's base URL is this plus `/v1`.
        connections: Number of connections opened to `url`.
        hang_ups: How often a client disconnected before the end of an answer.
    """

    url: str

    def __init__(
        self,
        script: Reply | Iterable[Reply] = "Hello.",
        *,
        key: str | None = None,
        models: Iterable[str] | Fault | Wire = ("some-model",),
        vectors: Vectors | Fault | Wire = letters,
    ) -> None:
        whole = isinstance(script, str) or not isinstance(script, Iterable)
        self._always = script if whole else None
        self._replies = [] if whole else list(script)  # type: ignore[arg-type]
        self._key = key
        self._models = models if isinstance(models, (Fault, Wire)) else tuple(models)
        self._vectors = vectors
        self._given = 0
        self.requests: list[Received] = []
        self.connections = 0
        self.hang_ups = 0
        self._hang_up: anyio.Event | None = None

    async def answer(self, request: Received) -> Wire:
        """Return the answer to a request."""
        self.requests.append(request)
        offer = offer_of(request)
        dialect = _dialect(request, offer)
        if dialect is None:
            return _nothing_there(request)
        if self._key is not None and dialect.key(request) != self._key:
            return refused(401, "Incorrect API key provided.").wire(dialect, request)
        try:
            problem = (offer or dialect).problem(request)
        except ValueError as error:
            problem = f"We could not parse the JSON body of your request: {error}"
        if problem:
            return refused(400, problem).wire(dialect, request)
        if offer is None:
            return wire_of(await self._next(request), dialect, request)
        has = self._models if offer.lists else self._vectors
        if isinstance(has, (Fault, Wire)):
            return wire_of(has, dialect, request)
        return Wire.json(offer.body(request, has))

    async def _next(self, request: Received) -> Said:
        number, self._given = self._given, self._given + 1
        if self._always is not None:
            reply: Reply = self._always  # type: ignore[assignment]
        elif number < len(self._replies):
            reply = self._replies[number]
        else:
            asked = f"no reply for request {number + 1}; there are {len(self._replies)}"
            return refused(400, f"the fake server has {asked}")
        if not callable(reply):
            return reply
        said = reply(request)
        return await said if inspect.isawaitable(said) else said

    def note_hang_up(self) -> None:
        """Note that a client has hung up; called by `Loopback` or the transport."""
        self.hang_ups += 1
        if self._hang_up is not None:
            self._hang_up.set()

    async def hung_up(self) -> None:
        """Wait until a client has disconnected before the end of an answer."""
        if not self.hang_ups:
            self._hang_up = anyio.Event()
            await self._hang_up.wait()

    def transport(self) -> FakeTransport:
        """A transport that replaces the network, for `httpx2.AsyncClient(transport=…)`."""
        from llmspell.testing.fakes.transport import FakeTransport

        return FakeTransport(self)

    async def __aenter__(self) -> Self:
        self._loopback = Loopback(self)
        self.url = await self._loopback.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._loopback.close()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self))
            self._thread = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.close()


def _dialect(request: Received, offer: Offer | None) -> Dialect | None:
    if offer is not None:
        return next(d for d in DIALECTS if d.name == offer.protocol)
    return next((d for d in DIALECTS if d.answers(request.path)), None)


def _nothing_there(request: Received) -> Wire:
    return Wire.json({"error": {"message": f"nothing is at {request.path}", "code": 404}}, 404)
