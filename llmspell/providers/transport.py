"""Connection pools and the proxy for one endpoint."""

from __future__ import annotations

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
"""Connections per pool; idle ones are kept for a while."""


class Pool:
    """A pool: a context manager around each of its requests, which counts those that are running."""

    __slots__ = ("busy", "transport")

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self.transport, self.busy = transport, 0

    def __enter__(self) -> httpx2.AsyncBaseTransport:
        self.busy += 1
        return self.transport

    def __exit__(self, *_: object) -> None:
        self.busy -= 1


class Pools:
    """Several small connection pools: each request scans all connections of its pool."""

    def __init__(self, endpoint: Endpoint, transport: httpx2.AsyncBaseTransport | None) -> None:
        """Prepare the pools; a given `transport` is the only pool."""
        self._endpoint = endpoint
        self._given = transport
        self._pools: list[Pool] = []
        self._tls: ssl.SSLContext | None = None

    def choose(self) -> Pool:
        """Return the first pool that is not full, which keeps pools few, else the least full."""
        for pool in self._pools:
            if pool.busy < AT_ONCE:
                return pool
        if len(self._pools) < (1 if self._given else POOLS):
            self._pools.append(Pool(self._given or self._opened()))
            return self._pools[-1]
        return min(self._pools, key=lambda pool: pool.busy)

    def _opened(self) -> httpx2.AsyncHTTPTransport:
        encrypted = self._endpoint.base_url.startswith("https:")
        if encrypted and self._tls is None:
            # Loading the system's certificates takes longer than a local request.
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
    """Return the proxy of the environment; None for servers on this machine."""
    url = urlsplit(endpoint.base_url)
    if is_local(endpoint) or proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
