"""What a model is told of the tools it may call, which includes those that end its turn."""

from __future__ import annotations

from typing import Any

from llmspell.agents.agent import Agent
from llmspell.providers.messages import ToolCall, ToolSpec
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool

ANSWER = "give_answer"

_HANDOFF_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "Why, in a few words."}},
    "additionalProperties": False,
}


def specs(agent: Agent, tools: Tools) -> tuple[ToolSpec, ...]:
    """All that the agent's model may call, always in the same order."""
    found = [tools.find(tool) if isinstance(tool, str) else tool for tool in agent.tools]
    return (
        *[_spec(tool) for tool in found],
        *[ToolSpec(transfer(other), _about(other), _HANDOFF_SCHEMA) for other in agent.handoff],
        *([_answer_spec(agent.output)] if agent.output_tool and agent.output else []),
    )


def tool_choice(agent: Agent, given: tuple[ToolSpec, ...]) -> str | None:
    """What the model must call, if its answer is a call."""
    if not (agent.output_tool and agent.output):
        return None
    return "required" if len(given) > 1 else ANSWER


def transfer(other: Agent) -> str:
    """The name of the tool that hands over to another agent."""
    return f"transfer_to_{other.name}"


def handed_over(agent: Agent, call: ToolCall) -> Agent | None:
    """The agent a call hands over to, if it does."""
    return next((other for other in agent.handoff if transfer(other) == call.name), None)


def answer_in(agent: Agent, calls: list[ToolCall]) -> ToolCall | None:
    """The call that is the answer, if there is one."""
    if not agent.output_tool:
        return None
    return next((call for call in calls if call.name == ANSWER), None)


def answered(agent: Agent, call: ToolCall) -> Any:
    """What was answered by a call."""
    return call.arguments.get("answer") if _wrapped(agent.output or {}) else call.arguments


def _spec(tool: Tool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description, tool.schema)


def _about(other: Agent) -> str:
    does = f" {other.system}" if other.system else ""
    return f"Hand the conversation over to the agent {other.name}.{does}"


def _answer_spec(schema: dict[str, Any]) -> ToolSpec:
    if _wrapped(schema):
        schema = {"type": "object", "properties": {"answer": schema}, "required": ["answer"]}
    return ToolSpec(ANSWER, "Give your answer. This ends your work.", schema)


def _wrapped(schema: dict[str, Any]) -> bool:
    """Whether an answer has to be put into an object, as the arguments of a call are one."""
    return schema.get("type") != "object"
