"""A server of OpenAI's chat completions that says the same to all: at once, in pieces, or trickling.

Run it: it prints its port. The model's name says how it answers: `plain`; `pieces`, 50 of them at once;
`trickle`, 20 of them, each the time in seconds when it is written.
"""

from __future__ import annotations

import asyncio
import json
import time

PIECES = 50
TRICKLED = 20
PAUSE = 0.02  # seconds between two trickled pieces

_USAGE = {"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59}


def _whole() -> bytes:
    message = {"role": "assistant", "content": "Hello there."}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "mock",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
    ).encode()


def _chunk(delta: dict[str, str], finish_reason: str | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    return b"data: " + json.dumps({**chunk, "choices": [choice], **fields}).encode() + b"\n\n"


def _http(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_FIRST = _chunk({"role": "assistant", "content": ""})
_LAST = _chunk({}, "stop") + _chunk({}, choices=[], usage=_USAGE) + b"data: [DONE]\n\n"
_PLAIN = _http(_whole(), "application/json")
_IN_PIECES = _http(
    b"".join([_FIRST, *[_chunk({"content": "word "})] * PIECES, _LAST]), "text/event-stream"
)
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    def send(part: bytes) -> None:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    writer.write(_CHUNKED)
    send(_FIRST)
    for _ in range(TRICKLED):
        await asyncio.sleep(PAUSE)
        send(_chunk({"content": f"{time.monotonic()} "}))
    send(_LAST)
    writer.write(b"0\r\n\r\n")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if b'"trickle"' in body:
                await _trickle(writer)
            else:
                writer.write(_IN_PIECES if b'"pieces"' in body else _PLAIN)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
