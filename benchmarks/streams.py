"""The cost of a streamed answer of 50 pieces in Python and in Lua, against httpx2 and pydantic."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from pydantic import BaseModel

from benchmarks.agent import mock_server
from llmspell import Limits, Runtime
from llmspell.config import Project, Settings
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.settings import ProviderSettings
from llmspell.state import MemoryStore

CALLS = 50
ROUNDS = 12
PIECES = 50
KEY = "sk-benchmark-0123456789abcdef"


def chunk(delta: dict[str, str], finish_reason: str | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "mock",
        "system_fingerprint": "fp_1",
        "choices": [choice],
        **fields,
    }
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


USAGE = {"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59}
ANSWER = b"".join(
    [
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": "word "})] * PIECES,
        chunk({}, "stop"),
        chunk({}, choices=[], usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)


class Delta(BaseModel):
    content: str | None = None


class Choice(BaseModel):
    delta: Delta
    finish_reason: str | None = None


class Chunk(BaseModel):
    id: str
    model: str
    choices: list[Choice]
    usage: dict[str, int] | None = None


async def bare(client: httpx2.AsyncClient, url: str) -> None:
    for _ in range(CALLS):
        body = {
            "model": "mock",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        pieces = 0
        async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            async for event in httpx2.EventSource(response):
                if event.data != "[DONE]":
                    read = Chunk.model_validate_json(event.data)
                    pieces += sum(bool(choice.delta.content) for choice in read.choices)
        assert pieces == PIECES


async def provider(chat: OpenAIChat) -> None:
    request = ModelRequest("mock/mock", (Message.of("user", "Hello"),))
    for _ in range(CALLS):
        async with aclosing(chat.stream(request)) as parts:
            assert len([part async for part in parts]) == PIECES + 1


async def spell(runtime: Runtime) -> None:
    await runtime.execute(f"""
        local agent = Agent.create{{}}
        for i = 1, {CALLS} do
            local pieces = 0
            for piece in agent:stream("Hello") do pieces = pieces + 1 end
            assert(pieces == {PIECES})
            agent:reset()
        end
    """)


async def measure(url: str) -> None:
    settings = Settings(providers={"mock": ProviderSettings(base_url=url)}, model="mock/mock")
    headers = {"authorization": f"Bearer {KEY}"}
    chat = OpenAIChat(Endpoint("mock", url, key=KEY))
    with TemporaryDirectory() as folder:
        given = {"project": Project(Path(folder), settings), "limits": Limits()}
        async with (
            httpx2.AsyncClient(trust_env=False, headers=headers) as client,
            Runtime(store=MemoryStore(), record=False, **given) as plain,
            Runtime(store=MemoryStore(), **given) as recording,
        ):
            works = {
                "bare httpx2 + pydantic": lambda: bare(client, url),
                "a provider's stream": lambda: provider(chat),
                "agent:stream and agent:reset": lambda: spell(plain),
                "the same, recorded": lambda: spell(recording),
            }
            times: dict[str, list[float]] = {name: [] for name in works}
            for _ in range(ROUNDS):
                for name, work in works.items():
                    begin = time.process_time()
                    await work()
                    times[name].append((time.process_time() - begin) / CALLS * 1e3)
            await chat.close()
    base = min(times["bare httpx2 + pydantic"])
    print(f"an answer of {PIECES} pieces, CPU")
    for name, taken in times.items():
        print(f"{name:30} {min(taken):6.3f} ms   {min(taken) / base:4.2f} x")


def main() -> None:
    with mock_server(ANSWER, "text/event-stream") as url:
        asyncio.run(measure(url))


if __name__ == "__main__":
    main()
