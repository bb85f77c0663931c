from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmspell.agents.agent import MAX_STEPS, Agent, Agents
from llmspell.agents.agent_tool import AgentTool
from llmspell.agents.input import message_from
from llmspell.agents.loop import prompt
from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.providers.models import Models
from llmspell.providers.plain import message_from_plain
from llmspell.schema import check_schema, schema_of
from llmspell.tools.lua_tool import LuaTool
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import LuaFunction, Value

bridge = Bridge("agent", __file__)


@bridge.effect(leaf=False)
def create(
    effect: Effect,
    name: str = "agent",
    model: str | None = None,
    system: str | None = None,
    tools: list[Value] | None = None,
    output: Value = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    max_steps: int = MAX_STEPS,
    timeout: float | None = None,
    history: list[Value] | None = None,
    extra_body: dict[str, Value] | None = None,
) -> str:
    """Make an agent; its id."""
    if max_steps < 1:
        raise InvalidArguments("Agent.create", ["max_steps: must be at least 1"])
    agent = Agent(
        id=f"agent-{effect.path}",
        name=name,
        model=model,
        system=system,
        tools=tuple(_tool(effect, entry) for entry in tools or []),
        output=_output(output),
        temperature=temperature,
        max_tokens=max_tokens,
        max_steps=max_steps,
        timeout=timeout,
        extra_body=extra_body or {},
        history=[message_from_plain(message) for message in history or []],
    )
    effect.run[Agents][agent.id] = agent
    return agent.id


def _tool(effect: Effect, entry: Value) -> str | Tool:
    if isinstance(entry, str):
        found = effect.run[Tools].find(entry)
        return found if "@" in entry else entry  # a model calls it by the plain name
    if isinstance(entry, Mapping) and isinstance(entry.get("run"), LuaFunction):
        return LuaTool(
            str(entry.get("name")),
            entry["run"],
            description=str(entry.get("description", "")),
            params=entry.get("params"),
            timeout=entry.get("timeout"),
        )
    if isinstance(entry, Mapping) and isinstance(entry.get("agent"), str):
        agent = effect.run[Agents].find(entry["agent"])
        return AgentTool(agent, name=entry.get("name"), description=entry.get("description", ""))
    raise InvalidArguments(
        "Agent.create",
        ["tools: each is a tool's name, an agent, or {name, description, params, run}"],
    )


def _output(shape: Value) -> dict[str, Any] | None:
    if shape is None:
        return None
    try:
        schema = schema_of(shape)
        check_schema(schema)
    except ValueError as error:
        raise InvalidArguments("Agent.create", [f"output: {error}"]) from error
    return schema


def _deadline(effect: Effect) -> float | None:
    seconds = effect.bound.get("timeout")
    return effect.run[Agents].find(effect.bound["agent"]).timeout if seconds is None else seconds


@bridge.effect(leaf=False, deadline=_deadline)
async def run(
    effect: Effect,
    agent: str,
    input: Value = "",
    timeout: float | None = None,  # noqa: ARG001, ASYNC109 - the middleware deadline takes it
) -> dict[str, Value]:
    """Put something to an agent: {text, data, usage, steps, tool_calls, finish_reason, model}."""
    found = effect.run[Agents].find(agent)
    model = found.model or (await effect.run[Models].default()).model
    answer = await prompt(effect, found, message_from(input), model=model)
    return answer.as_plain()


@bridge.effect(leaf=False)
def history(effect: Effect, agent: str) -> list[dict[str, Value]]:
    """An agent's conversation: a list of {role, content}."""
    return [message.as_plain() for message in effect.run[Agents].find(agent).history]


@bridge.effect(leaf=False)
def fork(effect: Effect, agent: str) -> str:
    """Another agent with the same conversation; its id."""
    twin = effect.run[Agents].find(agent).fork(f"agent-{effect.path}")
    effect.run[Agents][twin.id] = twin
    return twin.id


@bridge.effect(leaf=False)
def reset(effect: Effect, agent: str) -> None:
    """Forget the conversation."""
    effect.run[Agents].find(agent).history.clear()
