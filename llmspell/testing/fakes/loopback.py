"""Serves a fake server on this machine: HTTP/1.1 over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import Drop, Pause, Wire

if TYPE_CHECKING:
    from llmspell.testing.fakes.server import FakeServer


class Loopback:
    """Listens on a free port of 127.0.0.1 from `open` to `close`."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Start listening; return the address, such as `http://127.0.0.1:49152`."""
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._listening.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._listening.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None  # noqa: S101 - it runs in a task
        self._connections.add(connection)
        self._server.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the server closes
        finally:
            self._connections.discard(connection)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request. Return whether the connection can be reused."""
        wire = await self._server.answer(await _read(reader))
        gone = asyncio.ensure_future(
            reader.read(1)
        )  # done if the client sends early or disconnects
        sending = asyncio.ensure_future(_send(wire, writer))
        try:
            await asyncio.wait((gone, sending), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            self._server.note_hang_up()
            return False
        finally:
            for part in (gone, sending):
                part.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)


async def _send(wire: Wire, writer: asyncio.StreamWriter) -> bool:
    """Send an answer. Return whether the connection can be reused."""
    await asyncio.sleep(wire.before)
    if wire.status is None:
        return False
    writer.write(_head(wire))
    await writer.drain()
    for step in wire.steps:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Drop):
            writer.transport.abort()
            return False
        elif step:
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if wire.streams else step)
            await writer.drain()
    if wire.streams:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _head(wire: Wire) -> bytes:
    try:
        phrase = HTTPStatus(wire.status or 0).phrase
    except ValueError:
        phrase = "Unknown"
    framing = "transfer-encoding: chunked" if wire.streams else f"content-length: {wire.length}"
    headers = [f"{name}: {value}" for name, value in wire.headers.items()]
    lines = [f"HTTP/1.1 {wire.status} {phrase}", *headers, framing, "", ""]
    return "\r\n".join(lines).encode("latin-1")
