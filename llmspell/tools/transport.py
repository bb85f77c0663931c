"""Connections to judged addresses only.

A name is looked up once; what it leads to is judged; and exactly such an address is connected to.
So a name server that gives another answer at the next question gains nothing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import anyio
import httpx2

_PORTS = {"http": 80, "https": 443}


class Judge(Protocol):
    """Knows where a host may be reached: at which address and port."""

    def leads_well(self, host: str, address: str, port: int) -> bool: ...

    async def obtain(self, host: str, address: str, port: int) -> None:
        """Have it allowed after all. Raises PermissionDenied."""
        ...


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, best first. Raises OSError when it has none."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system's resolver orders them."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(address for *_, (address, *_) in found))


class JudgedTransport(httpx2.AsyncBaseTransport):
    """Sends each request to the first address of its host that `judge` allows and that answers.

    The header Host and the name in TLS stay those of the URL. Proxies are not used: they would
    look the name up themselves. `patience` are the seconds an address has to answer when there
    are others to try.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        tls: ssl.SSLContext,
        resolve: Resolve = resolve,
        patience: float = 5,
    ) -> None:
        self._judge, self._resolve, self._patience = judge, resolve, patience
        # No connection is kept: by its address it would be found for another name as well.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or _PORTS[request.url.scheme]
        *others, last = await self._allowed(host, port)
        for address in others:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await self._send(request, host, address, self._patience)
        return await self._send(request, host, last, None)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _allowed(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached; at least one."""
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} is not found: {error.strerror}") from error
        if allowed := [a for a in addresses if self._judge.leads_well(host, a, port)]:
            return allowed
        await self._judge.obtain(host, addresses[0], port)
        return addresses[:1]

    async def _send(
        self, request: httpx2.Request, host: str, address: str, patience: float | None
    ) -> httpx2.Response:
        there = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={"sni_hostname": host, "timeout": {"connect": patience}},
        )
        return await self._inner.handle_async_request(there)
