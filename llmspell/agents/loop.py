"""The agent loop: ask the model, do the tool calls it asks for, until it answers."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from llmspell.agents.agent import Agent
from llmspell.concurrency import gather
from llmspell.effects import Effect
from llmspell.errors import AgentError, EffectError
from llmspell.events import Events
from llmspell.events.life import told
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from llmspell.providers.plain import response_from_plain
from llmspell.schema import schema_problems
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import Value, legible


@dataclass
class Answer:
    """What a prompt came to.

    Attributes:
        text: The model's last words.
        data: The decoded answer of an agent with an output schema.
        usage: Tokens of all steps together.
        steps: Model requests it took.
        tool_calls: Every call made: name, arguments, and result or error.
    """

    text: str
    data: Value
    usage: Usage
    steps: int
    tool_calls: list[dict[str, Value]]
    finish_reason: str
    model: str

    def as_plain(self) -> dict[str, Value]:
        return {
            "text": self.text,
            "data": self.data,
            "usage": self.usage.as_plain(),
            "steps": self.steps,
            "tool_calls": self.tool_calls,
            "finish_reason": self.finish_reason,
            "model": self.model,
        }


async def prompt(effect: Effect, agent: Agent, message: Message, *, model: str) -> Answer:
    """Put a message to an agent. Its history grows only when that succeeds.

    Raises:
        AgentError: Too many steps, or an answer that does not fit the agent's output schema.
        ProviderError: The model could not be asked.
    """
    agent.check_not_inside(effect.path)
    about = {"agent": agent.name, "run": effect.run.id, "path": effect.path}
    async with agent.lock:
        agent.active.add(effect.path)
        try:
            with told(effect.run[Events], "agent", about):
                return await _Turn(effect, agent, model).take(message)
        finally:
            agent.active.discard(effect.path)


class _Turn:
    """One prompt in progress."""

    def __init__(self, effect: Effect, agent: Agent, model: str) -> None:
        self.effect, self.agent, self.model = effect, agent, model
        self.messages = list(agent.history)
        self.tools = tuple(_spec(effect.run[Tools], tool) for tool in agent.tools)
        self.usage = Usage()
        self.calls: list[dict[str, Value]] = []

    async def take(self, message: Message) -> Answer:
        self.messages.append(message)
        for step in range(1, self.agent.max_steps + 1):
            response = await self._ask()
            if not response.message.tool_calls:
                answer = self._answer(response, step)
                self.agent.history[:] = self.messages
                return answer
            self.messages.append(await self._do(response.message.tool_calls))
        raise AgentError(
            f"agent {self.agent.name!r} had no answer after {self.agent.max_steps} steps",
            hint="raise max_steps, or look at what its tools give back",
            details={"max_steps": self.agent.max_steps, "tool_calls": self.calls},
        )

    async def _ask(self) -> ModelResponse:
        agent = self.agent
        request = ModelRequest(
            model=self.model,
            messages=tuple(self.messages),
            system=agent.system,
            tools=self.tools,
            output=agent.output,
            temperature=agent.temperature,
            max_tokens=agent.max_tokens,
            extra_body=agent.extra_body,
        )
        plain = await self.effect.perform("model.request", **request.as_plain())
        response = response_from_plain(plain)
        self.usage += response.usage
        self.messages.append(response.message)
        return response

    async def _do(self, calls: list[ToolCall]) -> Message:
        """The results of tool calls that run at the same time, in the order of the calls."""
        records: list[dict[str, Value]] = [
            {"name": c.name, "arguments": c.arguments} for c in calls
        ]
        self.calls += records
        # Performed here, in order, so that the paths do not depend on timing.
        performed = [self._perform(call) for call in calls]
        results = await gather(
            [_result(*each) for each in zip(calls, performed, records, strict=True)]
        )
        return Message("tool", tuple(results))

    def _perform(self, call: ToolCall) -> Coroutine[Any, Any, Value] | None:
        if call.problem is not None:
            return None
        arguments = {"name": call.name, "args": call.arguments, "agent": self.agent.id}
        return self.effect.perform("tool.call", **arguments)

    def _answer(self, response: ModelResponse, steps: int) -> Answer:
        message = response.message
        data = None
        if message.refusal is None and self.agent.output is not None:
            data = self._decoded(message.text, response.finish_reason)
        return Answer(
            text=message.refusal or message.text,
            data=data,
            usage=self.usage,
            steps=steps,
            tool_calls=self.calls,
            finish_reason=response.finish_reason,
            model=response.model or self.model,
        )

    def _decoded(self, text: str, finish_reason: str) -> Value:
        try:
            data = json.loads(text)
            problems = schema_problems(self.agent.output or {}, data)
        except (ValueError, RecursionError) as error:
            problems = [f"it is no JSON: {error}"]
            if finish_reason == "length":
                problems.append("it was cut off: raise max_tokens")
        if problems:
            raise AgentError(
                f"the answer of agent {self.agent.name!r} does not fit its output: "
                f"{'; '.join(problems)}",
                details={"text": text, "problems": problems},
            )
        return data


async def _result(
    call: ToolCall, performed: Coroutine[Any, Any, Value] | None, record: dict[str, Value]
) -> ToolResult:
    """The result of one call, or what went wrong with it, for the model and for the record."""
    try:
        if performed is None:
            raise AgentError(f"the arguments cannot be read: {call.problem}")
        value = await performed
    except EffectError as error:
        record["error"] = error.message
        hint = f" ({error.hint})" if error.hint else ""
        return ToolResult(call.id, (Text(f"{error.message}{hint}"),), is_error=True)
    record["result"] = value
    return ToolResult(call.id, (Text(as_text(value)),))


def _spec(tools: Tools, tool: str | Tool) -> ToolSpec:
    found = tools.find(tool) if isinstance(tool, str) else tool
    return ToolSpec(found.name, found.description, found.schema)


def as_text(value: Value) -> str:
    """A tool's result as a model reads it: text as it is, anything else as JSON."""
    readable = legible(value)
    return readable if isinstance(readable, str) else json.dumps(readable, ensure_ascii=False)
