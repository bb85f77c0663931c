"""The way to one endpoint: connections that are kept, and the proxy that leads there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from llmspell.providers.failures import is_local

if TYPE_CHECKING:
    import ssl

    from llmspell.providers.endpoints import Endpoint


POOLS = 32
AT_ONCE = 8
"""Connections of one pool; those that nobody uses are kept for a while."""


class _Pool:
    """`busy` is how many requests are under way in it."""

    __slots__ = ("busy", "transport")

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self.transport, self.busy = transport, 0


class Pools:
    """Several small pools of connections: with each request, all those of its pool are looked at."""

    def __init__(self, endpoint: Endpoint, transport: httpx2.AsyncBaseTransport | None) -> None:
        """Prepare; a `transport` that is given is the only one."""
        self._endpoint = endpoint
        self._given = transport
        self._pools: list[_Pool] = []
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def one(self) -> Iterator[httpx2.AsyncBaseTransport]:
        """That for the next request, until its answer has ended."""
        pool = self._next()
        pool.busy += 1
        try:
            yield pool.transport
        finally:
            pool.busy -= 1

    def _next(self) -> _Pool:
        """The first that is not full, so that few are used by few; the least full, if all are."""
        for pool in self._pools:
            if pool.busy < AT_ONCE:
                return pool
        if len(self._pools) < (1 if self._given else POOLS):
            self._pools.append(_Pool(self._given or self._opened()))
            return self._pools[-1]
        return min(self._pools, key=lambda pool: pool.busy)

    def _opened(self) -> httpx2.AsyncHTTPTransport:
        encrypted = self._endpoint.base_url.startswith("https:")
        if encrypted and self._tls is None:
            # Reading the system's certificates takes longer than a local answer does.
            self._tls = httpx2.create_ssl_context()
        return httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=AT_ONCE, keepalive_expiry=60.0),
            verify=self._tls or False,
            http2=encrypted and _speaks_http2(),
            proxy=_proxy(self._endpoint),
        )

    async def close(self) -> None:
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.transport.aclose()


def _speaks_http2() -> bool:
    """Whether the extra `http2` is installed."""
    return find_spec("h2") is not None


def _proxy(endpoint: Endpoint) -> str | None:
    """That of the environment; a proxy has no way to this machine."""
    url = urlsplit(endpoint.base_url)
    if is_local(endpoint) or proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
