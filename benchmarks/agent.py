"""The cost of an agent's prompt, compared with a bare HTTP call to the same mock server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from pydantic import BaseModel

from llmspell import Limits, Runtime
from llmspell.config import Project, Settings
from llmspell.providers.settings import ProviderSettings
from llmspell.state import MemoryStore

CALLS = 250
ROUNDS = 12

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}

SERVER = """
import asyncio, sys
body = sys.stdin.buffer.read()
head = f"HTTP/1.1 200 OK\\r\\ncontent-type: {sys.argv[1]}\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n"
async def serve(reader, writer):
    try:
        while True:
            request = await reader.readuntil(b"\\r\\n\\r\\n")
            length = int(request.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
            await reader.readexactly(length)
            writer.write(head.encode() + body)
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class Message(BaseModel):
    role: str
    content: str


class Choice(BaseModel):
    message: Message
    finish_reason: str


class Completion(BaseModel):
    model: str
    choices: list[Choice]
    usage: dict[str, int]


async def bare(url: str, calls: int) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(calls):
            body = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}
            answer = await client.post(f"{url}/chat/completions", json=body)
            Completion.model_validate_json(answer.content)


async def ours(runtime: Runtime, calls: int) -> None:
    await runtime.execute(f"""
        local agent = Agent.create{{}}
        for i = 1, {calls} do agent:prompt("Hello") agent:reset() end
    """)


async def measure(url: str) -> None:
    settings = Settings(providers={"mock": ProviderSettings(base_url=url)}, model="mock/mock")
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), settings)
        async with Runtime(
            project=project, store=MemoryStore(), limits=Limits(), record=False
        ) as runtime:
            times: dict[str, list[float]] = {"bare": [], "ours": []}
            for _ in range(ROUNDS):
                for name, work in (
                    ("bare", lambda: bare(url, CALLS)),
                    ("ours", lambda: ours(runtime, CALLS)),
                ):
                    begin = time.process_time()
                    await work()
                    times[name].append((time.process_time() - begin) / CALLS * 1e3)
    base, cost = min(times["bare"]), min(times["ours"])
    print(f"bare httpx2 + pydantic call    {base:6.3f} ms")
    print(f"agent:prompt and agent:reset   {cost:6.3f} ms   {cost / base:4.2f} x")


@contextmanager
def mock_server(answer: bytes, content_type: str = "application/json") -> Iterator[str]:
    """Run a server that gives every request the same answer; yield its base URL."""
    command = [sys.executable, "-c", SERVER, content_type]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        server.stdin.write(answer)
        server.stdin.close()
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def main() -> None:
    with mock_server(json.dumps(ANSWER).encode()) as url:
        asyncio.run(measure(url))


if __name__ == "__main__":
    main()
