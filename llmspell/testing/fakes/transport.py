"""An httpx2 transport to a fake server, without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import anyio
import httpx2

from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import Pause, Wire

if TYPE_CHECKING:
    from llmspell.testing.fakes.server import FakeServer


class FakeTransport(httpx2.AsyncBaseTransport):
    """Passes requests to a fake server, and applies the client's read timeout as a socket would."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        received = Received(
            request.method,
            request.url.raw_path.decode("ascii"),
            {name.lower(): value for name, value in request.headers.items()},
            await request.aread(),
        )
        wire = await self._server.answer(received)
        await _silence(wire.before, request)
        if wire.status is None:
            raise httpx2.RemoteProtocolError(
                "Server disconnected without sending a response.", request=request
            )
        headers = dict(wire.headers)
        if wire.length is not None:
            headers["content-length"] = str(wire.length)
        body = _Body(wire, request, self._server)
        return httpx2.Response(wire.status, headers=headers, stream=body, request=request)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, wire: Wire, request: httpx2.Request, server: FakeServer) -> None:
        self._wire, self._request, self._server = wire, request, server
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._wire.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Pause):
                await _silence(step.seconds, self._request)
            else:
                raise httpx2.ReadError("connection reset by peer", request=self._request)
        self._whole = True

    async def aclose(self) -> None:
        if not self._whole:
            self._server.note_hang_up()


async def _silence(seconds: float, request: httpx2.Request) -> None:
    longest = request.extensions.get("timeout", {}).get("read")
    if longest is not None and seconds > longest:
        await anyio.sleep(longest)
        raise httpx2.ReadTimeout("nothing came in time", request=request)
    await anyio.sleep(seconds)
