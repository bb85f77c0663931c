"""HTTP with one endpoint: its connections, kept for further requests, and its proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpcore2
import httpx2

from llmspell.errors import ProviderError
from llmspell.providers.failures import is_local
from llmspell.providers.network import AsyncioBackend

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_Connection = httpcore2.AsyncConnectionInterface

MAX_REQUESTS = 256
"""Requests to an endpoint at once; others wait."""
MAX_STREAMS = 64
"""Requests at once on a connection of HTTP/2; servers rarely allow fewer than 100."""
KEPT_SECONDS = 60.0
"""How long an idle connection is kept."""

_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)


class EndpointTransport(httpx2.AsyncBaseTransport):
    """Sends requests to one endpoint.

    httpcore2's pool examines all its connections twice with each request, so it only makes new ones
    here. A request takes the connection with room that was used last.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = _pool_of(endpoint)
        self._free = asyncio.Semaphore(MAX_REQUESTS)
        self._requests: dict[_Connection, int] = {}
        self._with_room: dict[_Connection, None] = {}  # in the order of their last use

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await self._free.acquire()
        try:
            connection, response = await self._exchange(_for_httpcore(request))
        except BaseException as error:
            self._free.release()
            if isinstance(error, _ERRORS):
                raise _for_httpx(error) from error
            raise
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(self, connection, response),
            extensions=response.extensions,
        )

    async def release(self, connection: _Connection) -> None:
        """End a request whose answer was read or given up."""
        self._free.release()
        await self._end(connection)

    async def aclose(self) -> None:
        self._with_room.clear()
        for connection in list(self._requests):
            await connection.aclose()
            await self._close_unused(connection)

    async def _exchange(self, request: httpcore2.Request) -> tuple[_Connection, httpcore2.Response]:
        while True:
            connection = await self._connection(request.url.origin)
            self._requests[connection] += 1
            self._note_room(connection)
            try:
                response = await connection.handle_async_request(request)
            except BaseException as error:
                await self._end(connection)
                if isinstance(error, httpcore2.ConnectionNotAvailable):
                    continue  # it has served as many requests as HTTP/2 can number
                raise
            self._note_room(connection)
            return connection, response

    async def _connection(self, origin: httpcore2.Origin) -> _Connection:
        while self._with_room:
            connection = next(reversed(self._with_room))
            if connection.is_available() and not connection.has_expired():
                return connection
            del self._with_room[connection]
            await self._close_unused(connection)
        connection = self._pool.create_connection(origin)
        self._requests[connection] = 0
        return connection

    async def _end(self, connection: _Connection) -> None:
        """End a request on a connection; never suspends, so that it cannot be cancelled."""
        self._requests[connection] -= 1
        self._note_room(connection)
        await self._close_unused(connection)
        oldest = next(iter(self._with_room), connection)
        if oldest is not connection and oldest.has_expired():
            del self._with_room[oldest]
            await self._close_unused(oldest)

    def _note_room(self, connection: _Connection) -> None:
        self._with_room.pop(connection, None)
        room = MAX_STREAMS if connection.can_multiplex() else 1
        if self._requests[connection] < room and connection.is_available():
            self._with_room[connection] = None

    async def _close_unused(self, connection: _Connection) -> None:
        """Close a connection without requests that can take no more."""
        if not self._requests[connection] and connection not in self._with_room:
            del self._requests[connection]
            await connection.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of a response; its end releases the connection."""

    def __init__(
        self,
        transport: EndpointTransport,
        connection: _Connection,
        response: httpcore2.Response,
    ) -> None:
        self._transport, self._connection, self._response = transport, connection, response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(cast("AsyncIterable[bytes]", self._response.stream))
        try:
            async with aclosing(cast("AsyncGenerator[bytes, None]", pieces)) as pieces:
                async for piece in pieces:
                    yield piece
        except _ERRORS as error:
            raise _for_httpx(error) from error

    async def aclose(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()
        finally:
            await self._transport.release(self._connection)


def _for_httpcore(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=cast("AsyncIterable[bytes]", request.stream),
        extensions=request.extensions,
    )


def _for_httpx(error: Exception) -> httpx2.TransportError:
    """Return httpx2's error of the same name."""
    return cast("httpx2.TransportError", getattr(httpx2, type(error).__name__)(str(error)))


def _pool_of(endpoint: Endpoint) -> httpcore2.AsyncConnectionPool:
    encrypted = endpoint.base_url.startswith("https:")
    proxy = _proxy(endpoint)
    return httpcore2.AsyncConnectionPool(
        ssl_context=httpx2.create_ssl_context() if encrypted else None,
        proxy=httpcore2.Proxy(str(proxy.url), auth=proxy.raw_auth) if proxy else None,
        keepalive_expiry=KEPT_SECONDS,
        http2=encrypted and _speaks_http2(),
        network_backend=AsyncioBackend(),
    )


def _speaks_http2() -> bool:
    """Whether the extra `http2` is installed."""
    return find_spec("h2") is not None


def _proxy(endpoint: Endpoint) -> httpx2.Proxy | None:
    """Return the proxy of the environment; None for servers on this machine.

    Raises:
        ProviderError: It cannot be used.
    """
    url = urlsplit(endpoint.base_url)
    if is_local(endpoint) or proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    given = proxies.get(url.scheme) or proxies.get("all")
    if not given:
        return None
    try:
        proxy = httpx2.Proxy(given if "://" in given else f"http://{given}")
    except (ValueError, httpx2.InvalidURL):  # the text may contain a password
        what = (
            "the environment's proxy is not a URL that begins with http, https, socks5 or socks5h"
        )
        hint = f"check {url.scheme.upper()}_PROXY and ALL_PROXY in the environment"
        raise ProviderError(f"{endpoint.name}: {what}", hint=hint) from None
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        what = "the environment's proxy needs the package socksio"
        raise ProviderError(f"{endpoint.name}: {what}", hint="run: pip install 'httpx2[socks]'")
    return proxy
