"""A provider with scripted replies, for testing spells and agents without a network."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from llmspell.errors import ConfigError, EffectError, ProviderError
from llmspell.providers.deltas import deltas_of
from llmspell.providers.messages import (
    Delta,
    Message,
    ModelRequest,
    ModelResponse,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)

Said: TypeAlias = str | ToolCall | list[str | ToolCall] | Message | ModelResponse | EffectError
"""Text, tool calls, both, a whole message or response, or an error to raise."""

Reply: TypeAlias = Said | Callable[[ModelRequest], Said | Awaitable[Said]]
"""A reply, or a function that returns it when given the request."""


class ScriptedProvider:
    """Answers requests with the given replies in turn; a single function answers all of them.

    If a reply has no usage, it is estimated at four characters per token.

    Attributes:
        requests: The requests received so far.
    """

    def __init__(
        self, replies: Iterable[Reply] | Callable[[ModelRequest], Any], *, name: str = "scripted"
    ) -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self._always = replies if callable(replies) else None
        replies = [replies] if isinstance(replies, str) else replies
        self._replies = [] if callable(replies) else list(replies)

    @classmethod
    def from_file(cls, path: str | Path, *, name: str = "scripted") -> ScriptedProvider:
        """Read replies from a JSON file: a list of strings and objects.

        An object is `{"text": …, "tool_calls": [{"name": …, "arguments": {…}}]}` with either or
        both, or `{"error": …, "status": …, "retryable": …}`.

        Raises:
            ConfigError: The file cannot be read, or is malformed.
        """
        try:
            items = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(str(path), [f"it cannot be read: {error}"]) from error
        if not isinstance(items, list):
            raise ConfigError(str(path), ["it must hold a list of replies"])
        problems = [f"reply {n}: {p}" for n, i in enumerate(items, 1) if (p := _problem(i))]
        if problems:
            raise ConfigError(str(path), problems)
        return cls([_from_json(item) for item in items], name=name)

    @property
    def remaining(self) -> int:
        """The number of replies that have not been used."""
        return max(len(self._replies) - len(self.requests), 0)

    def assert_done(self) -> None:
        """Raise AssertionError unless every reply was used."""
        if self.remaining:
            given = len(self._replies) - self.remaining
            raise AssertionError(f"{given} of {len(self._replies)} replies were used")

    async def complete(self, request: ModelRequest) -> ModelResponse:
        number = len(self.requests)
        self.requests.append(request)
        reply: Any = self._always or self._reply(number)
        if callable(reply):
            reply = reply(request)
            if inspect.isawaitable(reply):
                reply = await reply
        if isinstance(reply, EffectError):
            raise reply
        return _response(reply, request)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        """Stream the reply word by word, as models do, and each tool call at once."""
        response = await self.complete(request)
        for delta in deltas_of(response):
            if isinstance(delta, TextDelta):
                for piece in re.findall(r"\s*\S+\s*$|\s*\S+|\s+", delta.text):
                    yield TextDelta(piece)
            else:
                yield delta
        yield response

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def _reply(self, number: int) -> Reply:
        if number < len(self._replies):
            return self._replies[number]
        raise ProviderError(
            f"the script has no reply for request {number + 1}; there are {len(self._replies)}",
            hint="add a reply to the script, or find out why the model is asked so often",
            details={"provider": self.name},
        )


def _response(reply: Any, request: ModelRequest) -> ModelResponse:
    if isinstance(reply, ModelResponse):
        return reply
    if isinstance(reply, (str, ToolCall)):
        reply = [reply]
    message = reply if isinstance(reply, Message) else Message.of("assistant", *reply)
    message = _with_ids(message, request)
    reason = "tool_calls" if message.tool_calls else "stop"
    return ModelResponse(message, _usage(request, message), reason, model=request.model)


def _with_ids(message: Message, request: ModelRequest) -> Message:
    """Give calls with the id "" one that is unique in the conversation."""
    number = sum(len(m.tool_calls) for m in request.messages)
    blocks = []
    for block in message.content:
        if isinstance(block, ToolCall):
            number += 1
            if not block.id:
                block = replace(block, id=f"call{number:05}")  # noqa: PLW2901
        blocks.append(block)
    return Message(message.role, tuple(blocks))


def _usage(request: ModelRequest, answer: Message) -> Usage:
    asked = len(request.system or "") + sum(map(_length, request.messages))
    return Usage(input_tokens=-(-asked // 4), output_tokens=-(-_length(answer) // 4))


def _length(message: Message) -> int:
    """Return the length of its text, tool arguments and tool results in characters."""
    length = 0
    for block in message.content:
        if isinstance(block, Text):
            length += len(block.text)
        elif isinstance(block, ToolCall):
            length += len(block.name) + len(block.raw or str(block.arguments))
        elif isinstance(block, ToolResult):
            length += _length(Message("tool", block.content))
    return length


def _problem(item: Any) -> str | None:
    """Return what is wrong with a reply in a file, or None."""
    if isinstance(item, str):
        return None
    if not isinstance(item, dict):
        return "it must be a string or an object"
    if not item or not (item.keys() <= {"text", "tool_calls"} or "error" in item):
        return "it needs text, tool_calls or error"
    calls = item.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(c, dict) and "name" in c for c in calls):
        return "tool_calls must be a list of objects with a name"
    return None


def _from_json(item: Any) -> Said:
    if isinstance(item, str):
        return item
    if "error" in item:
        retryable = item.get("retryable", False)
        return ProviderError(item["error"], status=item.get("status"), retryable=retryable)
    calls = [
        ToolCall(c.get("id", ""), c["name"], c.get("arguments", {}))
        for c in item.get("tool_calls", [])
    ]
    return [*([item["text"]] if "text" in item else []), *calls]
