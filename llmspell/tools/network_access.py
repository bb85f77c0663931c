"""Checks where a request may go: by its host, and by the addresses the host resolves to."""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import TYPE_CHECKING

from llmspell.addresses import is_public
from llmspell.effects import Effect
from llmspell.errors import PermissionDenied, ToolError
from llmspell.permissions import Need, Permissions

if TYPE_CHECKING:
    import anyio
    import httpx2

MAX_PORT = 65535


def check_url(url: httpx2.URL, text: str) -> None:
    """Raise ToolError unless a URL is one of HTTP with a host. `text` is how it was written."""
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > MAX_PORT:
        raise ToolError(
            f"{text!r} is not a URL with http:// or https://, a host and optionally a port",
            hint="write it as https://example.com/" if "://" not in text else None,
            details={"url": text},
        )


class NetworkAccess:
    """Checks what an effect may reach.

    What is not granted may be asked of a person; the deadline of `time` is suspended meanwhile.
    """

    def __init__(self, effect: Effect, time: anyio.CancelScope, *, by: str) -> None:
        self._permissions = effect.run[Permissions]
        self._time, self._by = time, by

    async def check(self, url: httpx2.URL) -> None:
        """Check the host of a request's URL, as parsed by the client that will send it.

        Raises:
            ToolError: The URL is not an acceptable one.
            PermissionDenied: The host is not granted.
        """
        check_url(url, str(url))
        if url.userinfo:
            raise ToolError(
                f"the URL for {url.host} contains a user name",
                hint="send credentials in the header Authorization",
            )
        await self._obtain(Need("net", f"{url.scheme}://{url.netloc.decode('ascii')}"))

    def allows_address(self, host: str, address: str, port: int) -> bool:
        """Whether a granted host may be reached at this address.

        A host's grant covers public addresses; others, except localhost, need their own grant.
        """
        place, need = ip_address(address), _network_need(address, port)
        local = place.is_loopback and f".{host}".rstrip(".").endswith(".localhost")
        if (local or is_public(place)) and not self._permissions.denies(need):
            return True
        try:
            self._permissions.check(need, by=self._by)
        except PermissionDenied:
            return False
        return True

    async def obtain(self, host: str, address: str, port: int) -> None:
        """Obtain permission to reach a host at an address. Raises PermissionDenied."""
        try:
            await self._obtain(_network_need(address, port))
        except PermissionDenied as error:
            if host == address:
                raise
            raise PermissionDenied(
                f"{error.message}, where {host} leads", hint=error.hint, details=error.details
            ) from error

    async def _obtain(self, need: Need) -> None:
        import anyio

        left = self._time.deadline - anyio.current_time()
        self._time.deadline = math.inf
        try:
            await self._permissions.obtain(need, by=self._by)
        finally:
            self._time.deadline = anyio.current_time() + left


def _network_need(address: str, port: int) -> Need:
    shown = f"[{address}]" if ":" in address else address
    return Need("net", f"//{shown}:{port}")
