"""What the providers that are asked over HTTP have in common; each says its protocol's part."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlencode

from llmspell.providers.connection import Connection, let_end
from llmspell.providers.deltas import deltas_of
from llmspell.providers.failures import missing_key
from llmspell.providers.provider import ModelName
from llmspell.providers.stream_redaction import StreamRedactor
from llmspell.providers.tool_output import ToolOutput

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.messages import Delta, ModelRequest, ModelResponse
    from llmspell.providers.server_events import ServerEvent

Body = dict[str, Any]

_VERSION = re.compile(r"/v\d\w*$")


class Assembly(Protocol):
    """Puts a streamed answer together."""

    @property
    def ended(self) -> bool:
        """Whether the protocol's last event has come: what follows it does not matter."""
        ...

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """What an event adds to the answer. Raises ProviderError for an error among the events."""
        ...

    def answer(self) -> Body:
        """What the same answer would have been without streaming; the events have ended.

        Raises ProviderError when they ended too early.
        """
        ...


class HttpProvider(ABC):
    """A provider at an endpoint. See `Provider`.

    Args:
        endpoint: Where it is, its key and its quirks.
        transport: In place of the network, for tests.
        max_retries: How often a request no answer began for is sent again; by default as often
            as the endpoint says.
    """

    models_path: ClassVar[str] = "/models"
    version: ClassVar[str] = ""
    """What paths begin with, unless the base URL ends in a version of its own."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        max_retries: int | None = None,
    ) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        self._connection = Connection(
            endpoint, self.headers(), transport=transport, max_retries=max_retries
        )

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self._check_key()
        if request.output is not None and self.answers_by_tool(request):
            return await ToolOutput(self).complete(request)
        model = ModelName.parse(request.model).model
        data = await self._connection.post(
            self._at(self.path(model, stream=False)),
            self.body(request, model, stream=False),
            key=request.key,
            patience=request.patience,
        )
        return self.response(data, request)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        self._check_key()
        if request.output is not None and self.answers_by_tool(request):
            async with aclosing(ToolOutput(self).stream(request)) as parts:
                async for part in parts:
                    yield part
            return
        model = ModelName.parse(request.model).model
        assembly, redactor = self.assembly(request), StreamRedactor(self._connection.secrets)
        events = self._connection.stream(
            self._at(self.path(model, stream=True)),
            self.body(request, model, stream=True),
            key=request.key,
            patience=request.patience,
        )
        async with aclosing(events):
            async for came in events:
                if isinstance(came, dict):
                    response = self.response(came, request)
                    for delta in deltas_of(response):
                        yield delta
                    yield response
                    return
                for shown in _shown(came, assembly, redactor):
                    yield shown
                if assembly.ended:
                    await let_end(events)
                    break
        for shown in redactor.rest():
            yield shown
        yield self.response(redactor.cleaned(assembly.answer()), request)

    def as_sent(self, request: ModelRequest) -> ModelRequest:
        """The request with all that bounds its answer: what the endpoint adds counts as asked for."""
        if not self.endpoint.extra_body:
            return request
        return replace(request, extra_body={**self.endpoint.extra_body, **request.extra_body})

    async def list_models(self) -> list[str]:
        """The models the server says it has. Raises ProviderError."""
        self._check_key()
        return self.model_names(await self._connection.get(self._at(self.models_path)))

    async def close(self) -> None:
        await self._connection.close()

    def _check_key(self) -> None:
        if self.endpoint.key_env is not None and self.endpoint.key is None:
            raise missing_key(self.endpoint)

    def _at(self, path: str) -> str:
        """The path, with all that belongs around it."""
        if not _VERSION.search(self.endpoint.base_url):
            path = self.version + path
        if not self.endpoint.query:
            return path
        return f"{path}{'&' if '?' in path else '?'}{urlencode(self.endpoint.query)}"

    # What a protocol says.

    def answers_by_tool(self, request: ModelRequest) -> bool:  # noqa: ARG002 - some look at it
        """Whether a model is made to call a tool where an output schema is asked for."""
        return self.endpoint.quirks.output == "tool"

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Those of every request, with the key."""

    @abstractmethod
    def path(self, model: str, *, stream: bool) -> str:
        """What a model is asked at, after the base URL and the version."""

    @abstractmethod
    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        """What is posted; `model` is the request's without the provider's name.

        Raises:
            InvalidArguments: The request holds something the protocol has no words for.
        """

    @abstractmethod
    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        """What an answer says.

        Raises:
            ProviderError: It is an error after all, or not of the format.
        """

    @abstractmethod
    def assembly(self, request: ModelRequest) -> Assembly:
        """For one streamed answer."""

    def model_names(self, listed: Any) -> list[str]:
        """The names in what `models_path` answers."""
        entries = listed.get("data") if isinstance(listed, dict) else listed
        found = [e.get("id") for e in entries or () if isinstance(e, dict)]
        return [name for name in found if isinstance(name, str)]


def _shown(
    events: Iterable[ServerEvent], assembly: Assembly, redactor: StreamRedactor
) -> Iterator[Delta]:
    """What these events add to the answer, as far as it can be shown."""
    for event in events:
        for delta in assembly.feed(event):
            yield from redactor.let_through(delta)
