"""Structured output through a tool call, for models that follow tools better than a schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmspell.providers.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
)
from llmspell.providers.strict_json import write_json

if TYPE_CHECKING:
    from llmspell.providers.messages import Block, Delta
    from llmspell.providers.provider import Provider

_NAME = "final_answer"


class ToolOutput:
    """Replaces the output schema of requests to a provider by a tool.

    To the caller it looks as if the model had answered with the tool's arguments as JSON.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def complete(self, request: ModelRequest) -> ModelResponse:
        tool_request = _ToolRequest(request)
        return tool_request.converted(await self._provider.complete(tool_request.request))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        tool_request = _ToolRequest(request)
        async with aclosing(self._provider.stream(tool_request.request)) as parts:
            async for part in parts:
                for converted in tool_request.converted_part(part):
                    yield converted


class _ToolRequest:
    """A request with a tool in place of its output schema.

    A tool's arguments are an object, so a schema of another type is wrapped in one.
    """

    def __init__(self, request: ModelRequest) -> None:
        schema: dict[str, Any] = request.output or {}
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            schema = {"type": "object", "properties": {"answer": schema}, "required": ["answer"]}
        self._name = _NAME
        while any(tool.name == self._name for tool in request.tools):
            self._name += "_"
        tool = ToolSpec(self._name, "Call this to give the answer, once it is known.", schema)
        self.request = replace(
            request,
            output=None,
            tools=(*request.tools, tool),
            tool_choice=self._choice(request),
        )
        self._hidden: set[int] = set()

    def _choice(self, request: ModelRequest) -> str:
        """Return the tool choice: the answer's tool, unless the request allows others."""
        wanted = request.tool_choice
        if not request.tools or wanted == "none":
            return self._name
        return "required" if wanted in (None, "auto") else wanted

    def converted(self, response: ModelResponse) -> ModelResponse:
        """Turn the tool call into text. With other calls, it came too early and is dropped."""
        content, calls = response.message.content, response.message.tool_calls
        final = [call for call in calls if call.name == self._name]
        if not final:
            return response
        kept: list[Block] = [block for block in content if block not in final]
        if len(final) == len(calls):
            kept = [block for block in kept if not isinstance(block, Text)]
            kept.append(Text(self._json(final[0])))
            response = replace(response, finish_reason="stop")
        return replace(response, message=Message("assistant", tuple(kept)))

    def converted_part(self, part: Delta | ModelResponse) -> list[Delta | ModelResponse]:
        """Convert a part of a stream. The answer's JSON, which may be wrapped, is shown whole."""
        if isinstance(part, ModelResponse):
            response = self.converted(part)
            final = response.message.content[-1:] if response.finish_reason == "stop" else ()
            texts = [TextDelta(b.text) for b in final if isinstance(b, Text) and self._hidden]
            return [*texts, response]
        if isinstance(part, ToolCallDelta) and part.name == self._name:
            self._hidden.add(part.index)
        hidden = isinstance(part, ToolCallDelta) and part.index in self._hidden
        return [] if hidden else [part]

    def _json(self, call: ToolCall) -> str:
        if call.raw is not None:
            return call.raw  # the agent reports what is wrong with it
        return write_json(call.arguments.get("answer") if self._wrapped else call.arguments)
