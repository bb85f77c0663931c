"""256 concurrent agents, compared with as many bare calls; and memory growth over 20,000 calls."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from benchmarks import streams
from benchmarks.agent import ANSWER, Completion, mock_server
from llmspell import Limits, Runtime
from llmspell.config import Project, Settings
from llmspell.providers.settings import ProviderSettings
from llmspell.state import MemoryStore

AT_ONCE = 256
ROUNDS = 5
CALLS = 20_000
WARM = 4_000  # calls before the first memory measurement


async def _bare(client: httpx2.AsyncClient, url: str) -> None:
    body = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}
    answer = await client.post(f"{url}/chat/completions", json=body)
    Completion.model_validate_json(answer.content)


async def _bare_streamed(client: httpx2.AsyncClient, url: str) -> None:
    body = {"model": "mock", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
        async for event in httpx2.EventSource(response):
            if event.data != "[DONE]":
                streams.Chunk.model_validate_json(event.data)


async def bare(url: str, call: Callable[[httpx2.AsyncClient, str], Awaitable[None]]) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        await asyncio.gather(*(call(client, url) for _ in range(AT_ONCE)))


async def agents(runtime: Runtime, ask: str) -> None:
    await runtime.execute(f"""
        local list = {{}}
        for i = 1, {AT_ONCE} do list[i] = i end
        Task.map(list, function() local agent = Agent.create{{}} {ask} end)
    """)


async def _cost(work: Awaitable[None]) -> float:
    """Return the CPU time of this process in ms per call."""
    begin = time.process_time()
    await work
    return (time.process_time() - begin) / AT_ONCE * 1e3


def _resident() -> int:
    """Return the resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _grown(runtime: Runtime, ask: str) -> float:
    """Return the bytes per call that were not freed."""
    run = f"local agent = Agent.create{{}} for i = 1, 200 do {ask} agent:reset() end"
    for _ in range(WARM // 200):
        await runtime.execute(run)
    before = _resident()
    for _ in range((CALLS - WARM) // 200):
        await runtime.execute(run)
    return (_resident() - before) / (CALLS - WARM)


ASK = 'agent:prompt("Hello")'
STREAM = 'for _ in agent:stream("Hello") do end'


async def measure(what: str, url: str, ask: str, call: Callable[..., Awaitable[None]]) -> None:
    settings = Settings(providers={"mock": ProviderSettings(base_url=url)}, model="mock/mock")
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), settings)
        async with Runtime(project=project, store=MemoryStore(), limits=Limits()) as runtime:
            costs = [
                (await _cost(bare(url, call)), await _cost(agents(runtime, ask)))
                for _ in range(ROUNDS)
            ]
            base, cost = (min(each) for each in zip(*costs, strict=True))
            print(
                f"{AT_ONCE} at once, {what:<9} {base:6.3f} ms bare, {cost:6.3f} ms   {cost / base:4.2f} x"
            )
            grown = await _grown(runtime, ask)
            print(f"{CALLS:,} calls, {what:<10} {grown:6.1f} bytes of memory a call")


def main() -> None:
    with mock_server(json.dumps(ANSWER).encode()) as url:
        asyncio.run(measure("whole", url, ASK, _bare))
    with mock_server(streams.ANSWER, "text/event-stream") as url:
        asyncio.run(measure("streamed", url, STREAM, _bare_streamed))


if __name__ == "__main__":
    main()
