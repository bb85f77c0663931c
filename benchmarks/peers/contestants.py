"""Measures one contestant: `contestants.py NAME URL MODEL AGENTS CALLS` prints CPU ms per call.

`AGENTS` agents run concurrently with `CALLS` calls each, after a warm-up. Of several repetitions
the fastest counts, since other processes may disturb the measurement.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

KEY = "sk-benchmark-0123456789abcdef"
ASK = "Hello"
STREAMED = "pieces"
PARTS = 5
PATIENCE = 600.0  # seconds; 256 concurrent requests wait long for each other on a busy machine

Call = Callable[[], Awaitable[None]]
"""Makes one request with one agent, to the end of its answer."""


async def bare(url: str, model: str) -> Call:
    """httpx2 and pydantic by hand: the least that any of the others could cost."""
    import httpx2
    from pydantic import BaseModel

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

    class Delta(BaseModel):
        content: str | None = None

    class ChunkChoice(BaseModel):
        delta: Delta
        finish_reason: str | None = None

    class Chunk(BaseModel):
        id: str
        model: str
        choices: list[ChunkChoice]
        usage: dict[str, int] | None = None

    limits = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
    headers = {"authorization": f"Bearer {KEY}"}
    client = httpx2.AsyncClient(trust_env=False, headers=headers, limits=limits, timeout=PATIENCE)
    body = {"model": model, "messages": [{"role": "user", "content": ASK}]}

    async def plain() -> None:
        answer = await client.post(f"{url}/chat/completions", json=body)
        assert Completion.model_validate_json(answer.content).choices[0].message.content

    async def streamed() -> None:
        asked = body | {"stream": True, "stream_options": {"include_usage": True}}
        pieces = 0
        async with client.stream("POST", f"{url}/chat/completions", json=asked) as response:
            async for event in httpx2.EventSource(response):
                if event.data != "[DONE]":
                    read = Chunk.model_validate_json(event.data)
                    pieces += sum(bool(choice.delta.content) for choice in read.choices)
        assert pieces == 50

    return streamed if model == STREAMED else plain


def _openai(url: str):
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=PATIENCE)


async def pydantic_ai(url: str, model: str) -> Call:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    agent = Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=_openai(url))))

    async def plain() -> None:
        assert (await agent.run(ASK)).output

    async def streamed() -> None:
        async with agent.run_stream(ASK) as answer:
            pieces = [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]
        assert len(pieces) == 50

    return streamed if model == STREAMED else plain


async def langgraph(url: str, model: str) -> Call:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    agent = create_agent(
        ChatOpenAI(model=model, base_url=url, api_key=KEY, timeout=PATIENCE, stream_usage=True)
    )
    asked = {"messages": [{"role": "user", "content": ASK}]}

    async def plain() -> None:
        assert (await agent.ainvoke(asked))["messages"][-1].content

    async def streamed() -> None:
        pieces = 0
        async for message, _ in agent.astream(asked, stream_mode="messages"):
            pieces += bool(message.content)
        assert pieces == 50

    return streamed if model == STREAMED else plain


async def openai_agents(url: str, model: str) -> Call:
    from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled

    set_tracing_disabled(True)
    chat = OpenAIChatCompletionsModel(model=model, openai_client=_openai(url))
    agent = Agent(name="agent", model=chat)

    async def plain() -> None:
        assert (await Runner.run(agent, ASK)).final_output

    async def streamed() -> None:
        pieces = 0
        async for event in Runner.run_streamed(agent, ASK).stream_events():
            if event.type == "raw_response_event":
                pieces += event.data.type == "response.output_text.delta"
        assert pieces == 50

    return streamed if model == STREAMED else plain


async def litellm(url: str, model: str) -> Call:
    import litellm as lite

    asked = {
        "model": f"openai/{model}",
        "api_base": url,
        "api_key": KEY,
        "timeout": PATIENCE,
        "messages": [{"role": "user", "content": ASK}],
    }

    async def plain() -> None:
        assert (await lite.acompletion(**asked)).choices[0].message.content

    async def streamed() -> None:
        pieces = 0
        async for chunk in await lite.acompletion(**asked, stream=True):
            pieces += bool(chunk.choices and chunk.choices[0].delta.content)
        assert pieces == 50

    return streamed if model == STREAMED else plain


PEERS = {
    "bare": bare,
    "pydantic-ai": pydantic_ai,
    "langgraph": langgraph,
    "openai-agents": openai_agents,
    "litellm": litellm,
}


async def _peer(name: str, url: str, model: str, agents: int, calls: int) -> float:
    call = await PEERS[name](url, model)

    async def one(times: int) -> None:
        for _ in range(times):
            await call()

    async def work(times: int) -> None:
        await asyncio.gather(*(one(times) for _ in range(agents)))

    return await _least(work, calls)


async def _least(work: Callable[[int], Awaitable[None]], calls: int) -> float:
    """Return the least CPU seconds for that many calls of each agent."""
    await work(max(1, calls // 10))
    taken = []
    for _ in range(PARTS):
        begin = time.process_time()
        await work(calls)
        taken.append(time.process_time() - begin)
    return min(taken)


SPELL = """
local agents, calls, streamed = params.agents, params.calls, params.streamed
local numbers = {}
for n = 1, agents do numbers[n] = n end
Task.map(numbers, function()
  local agent = Agent.create{}
  for _ = 1, calls do
    if streamed then
      local pieces = 0
      for piece in agent:stream("Hello") do pieces = pieces + 1 end
      assert(pieces == 50)
    else
      assert(agent:prompt("Hello") == "Hello there.")
    end
    agent:reset()
  end
end)
"""
HEAD = "--- /// spell\n--- [params]\n--- agents = 1\n--- calls = 1\n--- streamed = false\n--- ///\n"


async def _llmspell(url: str, model: str, agents: int, calls: int, *, record: bool) -> float:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from llmspell import Runtime
    from llmspell.config import Project, Settings
    from llmspell.providers.settings import ProviderSettings

    with TemporaryDirectory() as folder:
        spell = Path(folder) / "agents.lua"
        spell.write_text(HEAD + SPELL)
        settings = Settings(providers={"mock": ProviderSettings(base_url=url)})
        project = Project(Path(folder), settings)
        async with Runtime(project=project, model=f"mock/{model}", record=record) as runtime:

            async def work(times: int) -> None:
                given = {"agents": agents, "calls": times, "streamed": model == STREAMED}
                await runtime.run(spell, params=given)

            return await _least(work, calls)


async def main(name: str, url: str, model: str, agents: int, calls: int) -> None:
    if name.startswith("llmspell"):
        spent = await _llmspell(url, model, agents, calls, record=name.endswith("recorded"))
    else:
        spent = await _peer(name, url, model, agents, calls)
    print(json.dumps(spent / (agents * calls) * 1e3))


if __name__ == "__main__":
    name, url, model, agents, calls = sys.argv[1:]
    asyncio.run(main(name, url, model, int(agents), int(calls)))
