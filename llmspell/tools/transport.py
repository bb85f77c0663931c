"""An HTTP transport that connects only to permitted addresses.

A name is resolved once, its addresses are checked, and the connection goes to exactly one of
those. This prevents DNS rebinding: a different answer to a second query has no effect.
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


class AddressPolicy(Protocol):
    """Decides at which addresses and ports a host may be reached."""

    def allows_address(self, host: str, address: str, port: int) -> bool: ...

    async def obtain(self, host: str, address: str, port: int) -> None:
        """Obtain permission for an address. Raises PermissionDenied."""
        ...


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Resolves a host to its addresses, best first. Raises OSError if it has none."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host in the order of the system's resolver."""
    infos = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(address for *_, (address, *_) in infos))


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Sends each request to the first address of its host that `policy` allows and that answers.

    The Host header and the TLS server name are those of the URL. Proxies are not used, as they
    would resolve the name themselves. `patience` is how many seconds connecting to an address may
    take if there are others to try.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        tls: ssl.SSLContext,
        resolve: Resolve = resolve,
        patience: float = 5,
    ) -> None:
        self._policy, self._resolve, self._patience = policy, resolve, patience
        # No keep-alive: a connection is pooled by address, so another name would reuse it.
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
        """Return the permitted addresses of a host, at least one. Raises PermissionDenied."""
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} is not found: {error.strerror}") from error
        if allowed := [a for a in addresses if self._policy.allows_address(host, a, port)]:
            return allowed
        await self._policy.obtain(host, addresses[0], port)
        return addresses[:1]

    async def _send(
        self, request: httpx2.Request, host: str, address: str, patience: float | None
    ) -> httpx2.Response:
        direct = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={"sni_hostname": host, "timeout": {"connect": patience}},
        )
        return await self._inner.handle_async_request(direct)
