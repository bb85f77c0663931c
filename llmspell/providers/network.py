"""TCP and TLS for httpcore2, directly on asyncio.

httpcore2's own backend goes through anyio, whose cancel scopes and checkpoints around each read and
write take a third of the time of a request to a local server.
"""
# ruff: noqa: ASYNC109 - httpcore2's interface passes timeouts

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import httpcore2

from llmspell.providers.request_limiter import before_request

if TYPE_CHECKING:
    import ssl

BUFFERED = 256 << 10
"""Bytes that are received ahead of their being read."""

_NEXT_ADDRESS = 0.25  # seconds until a host's next address is tried too: RFC 8305, section 5


class AsyncioStream(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._readable, self._writable = asyncio.Event(), asyncio.Event()
        self._writable.set()

    # What httpcore2 calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, waiting for it if need be; nothing at the end."""
        if not self._readable.is_set():
            await _wait(self._readable, timeout, httpcore2.ReadTimeout)
        if not self._received and self._error:
            raise httpcore2.ReadError(str(self._error)) from self._error
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if not self._received and not self._ended:
            self._readable.clear()
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._transport.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        self._transport.write(buffer)
        if not self._writable.is_set():
            await _wait(self._writable, timeout, httpcore2.WriteTimeout)

    async def aclose(self) -> None:
        """Close the connection at once; never suspends, so that it cannot be cancelled."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with before_request():
                async with asyncio.timeout(timeout):
                    encrypted = await asyncio.get_running_loop().start_tls(
                        self._transport, self, ssl_context, server_hostname=server_hostname
                    )
        except BaseException as error:
            self._transport.abort()
            if isinstance(error, OSError):
                raise _connect_error(error) from error
            raise
        self._transport = cast("asyncio.Transport", encrypted)
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._readable.is_set()
        return self._transport.get_extra_info(_ASYNCIO_NAMES.get(info, info))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._readable.set()
        if len(self._received) > BUFFERED:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._ended = True
        self._readable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


_ASYNCIO_NAMES = {"client_addr": "sockname", "server_addr": "peername"}


class AsyncioBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            with before_request():
                async with asyncio.timeout(timeout):
                    _, stream = await loop.create_connection(
                        AsyncioStream,
                        host,
                        port,
                        local_addr=(local_address, 0) if local_address else None,
                        happy_eyeballs_delay=_NEXT_ADDRESS,
                    )
        except OSError as error:
            raise _connect_error(error) from error
        for option in socket_options or ():
            stream.get_extra_info("socket").setsockopt(*option)
        return stream


async def _wait(event: asyncio.Event, timeout: float | None, late: type[Exception]) -> None:
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError as error:
        raise late(str(error)) from error


def _connect_error(error: OSError) -> Exception:
    kind = httpcore2.ConnectTimeout if isinstance(error, TimeoutError) else httpcore2.ConnectError
    return kind(str(error))
