"""A mock server for OpenAI's chat completions that gives every request the same answer.

It prints its port. The name of the model selects the answer: `plain`, or streamed in 50 `pieces`.
"""

from __future__ import annotations

import asyncio
import json

PIECES = 50

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


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            writer.write(_IN_PIECES if b'"pieces"' in body else _PLAIN)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
