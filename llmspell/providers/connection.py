"""JSON over HTTP with one provider: pooled connections, and retries where they are safe.

This is the only place where providers speak HTTP, so a wire protocol only converts between JSON
objects; `llmspell.providers.answers` reads the responses. It has a transport of httpx2's kind, but
no client, which checks each request for cookies, redirects and authentication that no provider has.
"""

from __future__ import annotations

import logging
import random
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import httpx2

from llmspell.eager_steps import TookTooLong, within
from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.answers import EVENTS, AnswerReader, Failure, as_table
from llmspell.providers.failures import interrupted, unreachable
from llmspell.providers.redaction import LOGGER, RedactingFilter
from llmspell.providers.request_deadline import RequestDeadline
from llmspell.providers.request_limiter import RequestLimiter
from llmspell.providers.server_events import ServerEvent
from llmspell.providers.strict_json import write_json
from llmspell.providers.transport import EndpointTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmspell.providers.endpoints import Endpoint

log = logging.getLogger(LOGGER)

MAX_WAIT = 60.0  # seconds; if a server asks for a longer pause, the request fails
FIRST_PAUSE = 0.5  # seconds; doubled with each retry
LONGEST_PAUSE = 8.0
LAST_WAIT = 0.5  # seconds for a connection to end after the last event of an answer

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class _RequestSpec:
    """A request, sent once per attempt; for `key` and `patience` see `Connection.post`."""

    method: str
    path: str
    content: bytes = b""
    accept: bytes | None = None
    key: str | None = None
    patience: float | None = None


class Connection:
    """Sends requests to an endpoint.

    Args:
        endpoint: The address, timeouts and limits.
        headers: The protocol's headers, with the key; the endpoint's headers are added.
        transport: Replaces the network in tests.
        max_retries: How often a request is retried if no answer to it began; defaults to the
            endpoint's setting.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        max_retries: int | None = None,
    ) -> None:
        self._endpoint = endpoint
        given = httpx2.Headers(
            {
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",
                "content-type": "application/json",
                "user-agent": "llmspell",
                **headers,
            }
        )
        given.update(endpoint.headers)
        self._headers = {name.lower(): value for name, value in given.raw}
        self.secrets = endpoint.secrets
        self._log_filter = RedactingFilter(self.secrets)
        self._answers = AnswerReader(endpoint, self.secrets)
        self._given = transport
        self._transport: httpx2.AsyncBaseTransport | None = None
        self._max_retries = endpoint.max_retries if max_retries is None else max_retries
        self._limiter = RequestLimiter(endpoint.concurrency, endpoint.requests_per_minute)
        self._urls: dict[str, httpx2.URL] = {}
        connect = min(endpoint.timeout, endpoint.connect_timeout)
        timeout = httpx2.Timeout(endpoint.timeout, connect=connect, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        patience: float | None = None,
    ) -> dict[str, Any]:
        """Post a JSON object and return the JSON object of the answer.

        `key` is sent as the idempotency key; `patience` is the longest pause before a retry, in
        seconds.

        Raises:
            InvalidArguments: The body cannot be represented in JSON.
            ProviderError: See `llmspell.providers.failures`; or the base URL is not a URL.
        """
        spec = _RequestSpec("POST", path, _encode(body), key=key, patience=patience)
        return as_table(self._endpoint, await self._request(spec))

    async def get(self, path: str) -> Any:
        """Return the parsed JSON answer. Raises as `post` does."""
        return await self._request(_RequestSpec("GET", path))

    async def stream(
        self,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        patience: float | None = None,
    ) -> AsyncGenerator[list[ServerEvent] | dict[str, Any], None]:
        """Post a JSON object and yield the events of the answer, batched as they arrive.

        If the server does not stream, yields only the JSON object that `post` would return.
        Raises as `post` does.
        """
        spec = _RequestSpec(
            "POST", path, _encode(body), accept=EVENTS.encode(), key=key, patience=patience
        )
        deadline = RequestDeadline(self._endpoint)
        failure: Failure | None = None
        async with self._response(spec, deadline) as response:
            try:
                async for events in deadline.limit_stream(self._answers.events(response)):
                    yield events
            except httpx2.HTTPError as error:
                failure = Failure(interrupted(self._endpoint, error))
        if failure:
            raise failure.error

    async def _request(self, spec: _RequestSpec) -> Any:
        deadline = RequestDeadline(self._endpoint, streams=False)
        async with self._response(spec, deadline) as response:
            outcome = await deadline.limit(self._answers.read(response))
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    @asynccontextmanager
    async def _response(
        self, spec: _RequestSpec, deadline: RequestDeadline
    ) -> AsyncIterator[httpx2.Response]:
        """Send the request, with retries, and yield the response once it has begun."""
        async with self._limiter.request():
            transport = self._transport or self._open()
            response = await self._send_with_retries(spec, deadline, transport)
            try:
                yield response
            finally:
                await response.aclose()

    async def _send_with_retries(
        self, spec: _RequestSpec, deadline: RequestDeadline, transport: httpx2.AsyncBaseTransport
    ) -> httpx2.Response:
        attempt = 0
        while True:
            await self._limiter.attempt()
            outcome = await deadline.limit(self._send(spec, transport))
            if not isinstance(outcome, Failure):
                return outcome
            pause = _pause(attempt, outcome.error)
            longest = MAX_WAIT if spec.patience is None else spec.patience
            if not outcome.retry_safe or attempt >= self._max_retries or pause > longest:
                raise outcome.error
            await deadline.limit(anyio.sleep(pause))
            attempt += 1

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()
            self._log_filter.end()

    # Failures are returned and raised elsewhere, so that they carry no __context__: network
    # errors may quote what was sent.
    async def _send(
        self, spec: _RequestSpec, transport: httpx2.AsyncBaseTransport
    ) -> httpx2.Response | Failure:
        request = self._request_of(spec)
        try:
            response = await transport.handle_async_request(request)
        except httpx2.ReadTimeout as error:
            return Failure(unreachable(self._endpoint, error))
        except httpx2.HTTPError as error:
            return Failure(unreachable(self._endpoint, error), retry_safe=True)
        log.debug("%s %s: %d", spec.method, request.url, response.status_code)
        if response.status_code in _OK:
            return response
        try:
            return await self._answers.refusal(response)
        finally:
            await response.aclose()

    def _request_of(self, spec: _RequestSpec) -> httpx2.Request:
        """Build the request with a stream: for content, httpx2 would compute headers to add."""
        url = self._urls.get(spec.path) or self._url(spec.path)
        headers = {b"host": url.netloc, **self._headers}
        if spec.content:
            headers[b"content-length"] = b"%d" % len(spec.content)
        if spec.accept:
            headers[b"accept"] = spec.accept
        if spec.key:
            headers[b"idempotency-key"] = spec.key.encode()
        return httpx2.Request(
            spec.method,
            url,
            headers=headers,
            stream=httpx2.ByteStream(spec.content),
            extensions=self._extensions,
        )

    def _open(self) -> httpx2.AsyncBaseTransport:
        self._transport = self._given or EndpointTransport(self._endpoint)
        self._log_filter.begin()
        return self._transport

    def _url(self, path: str) -> httpx2.URL:
        try:
            url = self._urls[path] = httpx2.URL(self._endpoint.base_url + path)
        except httpx2.InvalidURL as error:
            what = f"[providers.{self._endpoint.name}]: the base URL is not a URL: {error}"
            raise ProviderError(what) from None
        if url.userinfo:
            named = f"{url.username}:{url.password}".encode()
            self._headers[b"authorization"] = b"Basic " + b64encode(named)
        return url


async def drain(events: AsyncGenerator[Any, None]) -> None:
    """Drain what follows a complete answer, so that its connection can be reused.

    Failing to do so in time does no harm.
    """
    with suppress(ProviderError, TookTooLong):
        await within(LAST_WAIT, _consume(events))


async def _consume(events: AsyncGenerator[Any, None]) -> None:
    async for _ in events:
        pass


def _pause(attempt: int, error: ProviderError) -> float:
    """Return the seconds before a retry: what the server asks for, else backoff with jitter."""
    wish = error.details.get("retry_after")
    if wish is not None:
        return float(wish)
    longest = min(FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not cryptography


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return write_json(body).encode()
    except ValueError as error:
        raise InvalidArguments("model.request", [f"it cannot be sent as JSON: {error}"]) from None
