"""The cost of a streamed answer of 50 pieces in each protocol, against httpx2 and pydantic."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack, aclosing
from importlib import import_module

import httpx2
from pydantic import BaseModel

from benchmarks.agent import mock_server
from llmspell.providers.catalogue import KINDS
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.http_provider import HttpProvider
from llmspell.providers.messages import Message, ModelRequest, TextDelta
from llmspell.testing.fakes import Answer
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.server import DIALECTS

CALLS = 50
ROUNDS = 10
PIECES = 50
KEY = "sk-benchmark-0123456789abcdef"


class Text(BaseModel):
    content: str | None = None
    text: str | None = None


class Content(BaseModel):
    parts: list[Text] = []


class Choice(BaseModel):
    delta: Text | None = None
    content: Content | None = None


class Event(BaseModel):
    """What a client of any of the protocols has to parse of a piece, as typed fields."""

    type: str | None = None
    delta: Text | str | None = None
    choices: list[Choice] = []
    candidates: list[Choice] = []


def answer(kind: str) -> bytes:
    body = {"model": "mock", "messages": [], "input": "hi", "max_tokens": 9, "stream": True}
    path = "/v1/models/mock:streamGenerateContent"
    dialect = next(dialect for dialect in DIALECTS if dialect.name == kind)
    said = Answer("word " * PIECES, pieces=PIECES)
    return b"".join(dialect.events(said, Received("POST", path, {}, json.dumps(body).encode())))


async def bare(url: str) -> None:
    body = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    async with httpx2.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as client:
        for _ in range(CALLS):
            events = 0
            async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
                async for event in httpx2.EventSource(response):
                    if event.data != "[DONE]":
                        Event.model_validate_json(event.data)
                        events += 1
            assert events >= PIECES


async def ours(kind: str, url: str) -> None:
    module, _, name = KINDS[kind].partition(":")
    provider: HttpProvider = getattr(import_module(module), name)(Endpoint("mock", url, key=KEY))
    request = ModelRequest("mock/mock", (Message.of("user", "Hello"),))
    for _ in range(CALLS):
        async with aclosing(provider.stream(request)) as parts:
            pieces = [part async for part in parts if isinstance(part, TextDelta)]
        assert len(pieces) == PIECES
    await provider.close()


async def measure(urls: dict[str, str]) -> None:
    bares: dict[str, list[float]] = {kind: [] for kind in urls}
    taken: dict[str, list[float]] = {kind: [] for kind in urls}
    for _ in range(ROUNDS):
        for kind, url in urls.items():
            for work, times in ((bare(url), bares), (ours(kind, url), taken)):
                begin = time.process_time()
                await work
                times[kind].append((time.process_time() - begin) / CALLS * 1e3)
    print(f"an answer of {PIECES} pieces, CPU; beside bare httpx2 + pydantic")
    for kind, times in taken.items():
        base, best = min(bares[kind]), min(times)
        print(f"{kind:20} {base:6.3f} ms {best:6.3f} ms   {best / base:4.2f} x")


def main() -> None:
    with ExitStack() as stack:
        urls = {
            kind: stack.enter_context(mock_server(answer(kind), "text/event-stream"))
            for kind in KINDS
        }
        asyncio.run(measure(urls))


if __name__ == "__main__":
    main()
