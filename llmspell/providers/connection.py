"""JSON over HTTP with one provider: pooled, and tried again where that is safe.

The only place where the providers speak HTTP, so that a wire protocol is a matter of two tables:
what goes out and what comes in, which `llmspell.providers.answers` reads. It uses the transport of httpx2 without its client, which
looks at each request for cookies, redirects and ways to log in that no provider has.
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
from llmspell.errors import ConfigError, InvalidArguments, ProviderError
from llmspell.providers.answers import EVENTS, AnswerReader, Failure, as_table
from llmspell.providers.failures import interrupted, unreachable
from llmspell.providers.redaction import LOGGER, RedactingFilter
from llmspell.providers.request_deadline import RequestDeadline
from llmspell.providers.request_limiter import RequestLimiter
from llmspell.providers.server_events import ServerEvent
from llmspell.providers.strict_json import write_json
from llmspell.providers.transport import Pools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmspell.providers.endpoints import Endpoint

log = logging.getLogger(LOGGER)

MAX_WAIT = 60.0  # seconds; a server that asks for more is not waited for
FIRST_PAUSE = 0.5  # seconds; doubled each time
LONGEST_PAUSE = 8.0
LAST_WAIT = 0.5  # seconds for a connection to end after the last event of an answer

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is sent, as often as it takes; `key` and `patience` as `Connection.post` has them."""

    method: str
    path: str
    content: bytes = b""
    accept: bytes | None = None
    key: str | None = None
    patience: float | None = None


class Connection:
    """Asks an endpoint.

    Args:
        endpoint: Where to, and how long to wait.
        headers: The protocol's own, with the key; the endpoint's headers are added.
        transport: In place of the network, for tests.
        max_retries: How often a request no answer began for is sent again; by default as often
            as the endpoint says.
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
        self._transport = transport
        self._max_retries = endpoint.max_retries if max_retries is None else max_retries
        self._limiter = RequestLimiter(endpoint.concurrency, endpoint.requests_per_minute)
        self._urls: dict[str, httpx2.URL] = {}
        connect = min(endpoint.timeout, endpoint.connect_timeout)
        timeout = httpx2.Timeout(endpoint.timeout, connect=connect, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._pools: Pools | None = None

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        patience: float | None = None,
    ) -> dict[str, Any]:
        """The table a table is answered with.

        `key` names the request for servers that answer one sent twice only once; `patience` is
        how many seconds a pause before another attempt may last.

        Raises:
            InvalidArguments: The body holds something JSON has no words for.
            ConfigError: The base URL is none.
            ProviderError: See `llmspell.providers.failures`.
        """
        asked = _Asked("POST", path, _encode(body), key=key, patience=patience)
        return as_table(self._endpoint, await self._request(asked))

    async def get(self, path: str) -> Any:
        """What is answered there, as JSON gives it. Raises as `post` does."""
        return await self._request(_Asked("GET", path))

    async def stream(
        self,
        path: str,
        body: dict[str, Any],
        *,
        key: str | None = None,
        patience: float | None = None,
    ) -> AsyncGenerator[list[ServerEvent] | dict[str, Any], None]:
        """The events a table is answered with, those together that come at once. Raises as `post`.

        From a server that does not stream it is the table `post` gives, alone.
        """
        asked = _Asked(
            "POST", path, _encode(body), accept=EVENTS.encode(), key=key, patience=patience
        )
        deadline = RequestDeadline(self._endpoint)
        failure: Failure | None = None
        async with self._answered(asked, deadline) as response:
            try:
                async for events in deadline.keep(self._answers.events(response)):
                    yield events
            except httpx2.HTTPError as error:
                failure = Failure(interrupted(self._endpoint, error))
        if failure:
            raise failure.error

    async def _request(self, asked: _Asked) -> Any:
        deadline = RequestDeadline(self._endpoint, streams=False)
        async with self._answered(asked, deadline) as response:
            outcome = await deadline.of(self._answers.whole(response))
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    @asynccontextmanager
    async def _answered(
        self, asked: _Asked, deadline: RequestDeadline
    ) -> AsyncIterator[httpx2.Response]:
        """An answer that has begun, after as many attempts as it took."""
        async with self._limiter.request():
            with (self._pools or self._open()).one() as transport:
                response = await self._begun(asked, deadline, transport)
                try:
                    yield response
                finally:
                    await response.aclose()

    async def _begun(
        self, asked: _Asked, deadline: RequestDeadline, transport: httpx2.AsyncBaseTransport
    ) -> httpx2.Response:
        attempt = 0
        while True:
            await self._limiter.attempt()
            outcome = await deadline.of(self._send(asked, transport))
            if not isinstance(outcome, Failure):
                return outcome
            pause = _pause(attempt, outcome.error)
            longest = MAX_WAIT if asked.patience is None else asked.patience
            if not outcome.again or attempt >= self._max_retries or pause > longest:
                raise outcome.error
            await deadline.of(anyio.sleep(pause))
            attempt += 1

    async def close(self) -> None:
        pools, self._pools = self._pools, None
        if pools is not None:
            await pools.close()
            self._log_filter.end()

    # Failures are returned and raised elsewhere, so that no error drags the one it came from
    # along: those of the network may quote what was sent.
    async def _send(
        self, asked: _Asked, transport: httpx2.AsyncBaseTransport
    ) -> httpx2.Response | Failure:
        request = self._request_of(asked)
        try:
            response = await transport.handle_async_request(request)
        except httpx2.ReadTimeout as error:
            return Failure(unreachable(self._endpoint, error))
        except httpx2.HTTPError as error:
            return Failure(unreachable(self._endpoint, error), again=True)
        log.debug("%s %s: %d", asked.method, request.url, response.status_code)
        if response.status_code in _OK:
            return response
        try:
            return await self._answers.refusal(response)
        finally:
            await response.aclose()

    def _request_of(self, asked: _Asked) -> httpx2.Request:
        """What is sent as it is; given content, httpx2 would look for headers to add."""
        url = self._urls.get(asked.path) or self._url(asked.path)
        headers = {b"host": url.netloc, **self._headers}
        if asked.content:
            headers[b"content-length"] = b"%d" % len(asked.content)
        if asked.accept:
            headers[b"accept"] = asked.accept
        if asked.key:
            headers[b"idempotency-key"] = asked.key.encode()
        return httpx2.Request(
            asked.method,
            url,
            headers=headers,
            stream=httpx2.ByteStream(asked.content),
            extensions=self._extensions,
        )

    def _open(self) -> Pools:
        self._pools = Pools(self._endpoint, self._transport)
        self._log_filter.begin()
        return self._pools

    def _url(self, path: str) -> httpx2.URL:
        try:
            url = self._urls[path] = httpx2.URL(self._endpoint.base_url + path)
        except httpx2.InvalidURL as error:
            problem = f"the base URL is not a URL: {error}"
            raise ConfigError(f"[providers.{self._endpoint.name}]", [problem]) from None
        if url.userinfo:
            named = f"{url.username}:{url.password}".encode()
            self._headers[b"authorization"] = b"Basic " + b64encode(named)
        return url


async def let_end(events: AsyncGenerator[Any, None]) -> None:
    """Pass over what follows a whole answer, so that its connection can be used again.

    It is no harm if that is lost, or does not end soon.
    """
    with suppress(ProviderError, TookTooLong):
        await within(LAST_WAIT, _passed_over(events))


async def _passed_over(events: AsyncGenerator[Any, None]) -> None:
    async for _ in events:
        pass


def _pause(attempt: int, error: ProviderError) -> float:
    """Seconds before the next attempt: the server's wish, or a random part of a growing pause."""
    wish = error.details.get("retry_after")
    if wish is not None:
        return float(wish)
    longest = min(FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load, no more


def _encode(body: dict[str, Any]) -> bytes:
    try:
        return write_json(body).encode()
    except ValueError as error:
        raise InvalidArguments("model.request", [f"it cannot be sent as JSON: {error}"]) from None
