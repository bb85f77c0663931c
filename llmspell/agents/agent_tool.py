"""Lets an agent call another one as a tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmspell.agents.agent import Agent, Agents
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.schema import schema_problems
from llmspell.tools.tool import Tool, check_tool_name
from llmspell.values import Value

_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "What to ask it."}},
    "required": ["input"],
    "additionalProperties": False,
}


class AgentTool(Tool):
    """Prompts the agent with `input`. Each call is a separate conversation."""

    leaf = False
    declares = True  # it needs no permission itself; the effects it performs are checked

    def __init__(self, agent: Agent, *, name: str | None = None, description: str = "") -> None:
        self.agent = agent
        self.name = check_tool_name(name or agent.name)
        self.description = (
            description or f"Ask the agent {agent.name}. {agent.system or ''}".strip()
        )
        self.category = "agent"

    @property
    def schema(self) -> dict[str, Any]:
        return _SCHEMA

    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        if problems := schema_problems(_SCHEMA, arguments):
            raise InvalidArguments(self.name, problems)
        return arguments

    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> Value:
        fork = await effect.perform("agent.fork", agent=self.agent.id)
        try:
            answer = await effect.perform("agent.run", agent=fork, input=bound["input"])
        finally:
            effect.run[Agents].forget(fork, effect.run)
        if not isinstance(answer, Mapping):  # None, as a hook skipped it
            return None
        data = answer.get("data")
        return answer.get("text") if data is None else data
