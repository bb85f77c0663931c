"""The tools offered to an agent's model, including those for handoffs."""

from __future__ import annotations

from collections.abc import Sequence

from llmspell.agents.agent import Agent
from llmspell.providers.messages import ToolCall, ToolSpec
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool

_HANDOFF_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "Why, in a few words."}},
    "additionalProperties": False,
}


def available(agent: Agent, tools: Tools) -> list[Tool]:
    """Return the agent's tools as they are now. Raises UnknownEffect if one is no longer there."""
    return [tools.find(tool) if isinstance(tool, str) else tool for tool in agent.tools]


def specs(agent: Agent, offered: Sequence[Tool]) -> tuple[ToolSpec, ...]:
    """Return everything the agent's model may call, in a stable order."""
    return (
        *[_spec(tool) for tool in offered],
        *[ToolSpec(transfer(other), _about(other), _HANDOFF_SCHEMA) for other in agent.handoff],
    )


def transfer(other: Agent) -> str:
    """Return the name of the tool that hands over to another agent."""
    return f"transfer_to_{other.name}"


def handed_over(agent: Agent, call: ToolCall) -> Agent | None:
    """Return the agent that a call hands over to, or None if it is no handoff."""
    return next((other for other in agent.handoff if transfer(other) == call.name), None)


def _spec(tool: Tool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description, tool.schema)


def _about(other: Agent) -> str:
    does = f" {other.system}" if other.system else ""
    return f"Hand the conversation over to the agent {other.name}.{does}"
