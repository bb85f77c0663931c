"""Base class of the providers that use HTTP; subclasses implement a wire protocol."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlencode

from llmspell.providers.answer_parts import entries
from llmspell.providers.connection import Connection, drain
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
    """Assembles a streamed answer."""

    @property
    def ended(self) -> bool:
        """Whether the protocol's final event has arrived; anything after it is ignored."""
        ...

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """Add an event and return its deltas. Raises ProviderError for an error event."""
        ...

    def answer(self) -> Body:
        """Return the answer as it would have been without streaming, once the events have ended.

        Raises ProviderError when they ended too early.
        """
        ...


class HttpProvider(ABC):
    """A provider at an endpoint. See `Provider`.

    Args:
        endpoint: Its address, key and quirks.
        transport: Replaces the network in tests.
        max_retries: How often a request is retried if no answer to it began; defaults to the
            endpoint's setting.
    """

    models_path: ClassVar[str] = "/models"
    version: ClassVar[str] = ""
    """Prefix of the paths, unless the base URL itself ends in a version."""

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
            async for batch in events:
                if isinstance(batch, dict):
                    response = self.response(batch, request)
                    for delta in deltas_of(response):
                        yield delta
                    yield response
                    return
                for delta in _redacted_deltas(batch, assembly, redactor):
                    yield delta
                if assembly.ended:
                    await drain(events)
                    break
        for delta in redactor.rest():
            yield delta
        yield self.response(redactor.cleaned(assembly.answer()), request)

    def as_sent(self, request: ModelRequest) -> ModelRequest:
        """Return the request with the endpoint's extra body, which may limit the answer too."""
        if not self.endpoint.extra_body:
            return request
        return replace(request, extra_body={**self.endpoint.extra_body, **request.extra_body})

    async def list_models(self) -> list[str]:
        """Return the models the server lists. Raises ProviderError."""
        self._check_key()
        return self.model_names(await self._connection.get(self._at(self.models_path)))

    async def close(self) -> None:
        await self._connection.close()

    def _check_key(self) -> None:
        if self.endpoint.key_env is not None and self.endpoint.key is None:
            raise missing_key(self.endpoint)

    def _at(self, path: str) -> str:
        """Return the path with the version and the endpoint's query."""
        if not _VERSION.search(self.endpoint.base_url):
            path = self.version + path
        if not self.endpoint.query:
            return path
        return f"{path}{'&' if '?' in path else '?'}{urlencode(self.endpoint.query)}"

    # The protocol's part, for subclasses to override.

    def answers_by_tool(self, request: ModelRequest) -> bool:  # noqa: ARG002 - some look at it
        """Whether structured output is requested through a tool call."""
        return self.endpoint.quirks.output == "tool"

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Return the headers of every request, with the key."""

    @abstractmethod
    def path(self, model: str, *, stream: bool) -> str:
        """Return the path to post to, after the base URL and the version."""

    @abstractmethod
    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        """Return the JSON body to post; `model` is the request's, without the provider's name.

        Raises:
            InvalidArguments: The request cannot be expressed in this protocol.
        """

    @abstractmethod
    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        """Parse a response.

        Raises:
            ProviderError: It is an error object, or malformed.
        """

    @abstractmethod
    def assembly(self, request: ModelRequest) -> Assembly:
        """Return a new assembly for one streamed answer."""

    def model_names(self, listed: Any) -> list[str]:
        """Return the model names in the answer at `models_path`."""
        models = entries(listed.get("data") if isinstance(listed, dict) else listed)
        names = [model.get("id") for model in models if isinstance(model, dict)]
        return [name for name in names if isinstance(name, str)]


def _redacted_deltas(
    events: Iterable[ServerEvent], assembly: Assembly, redactor: StreamRedactor
) -> Iterator[Delta]:
    """Yield the deltas of these events that the redactor lets through."""
    for event in events:
        for delta in assembly.feed(event):
            yield from redactor.feed(delta)
