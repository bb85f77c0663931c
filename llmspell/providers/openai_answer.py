"""Answers as OpenAI's chat completions give them, and as others do who claim to.

Source of the format: `openai.types.chat.chat_completion` of the official Python SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, string, tool_call
from llmspell.providers.failures import failed_inside, nonsense
from llmspell.providers.messages import (
    Block,
    Extra,
    Message,
    ModelRequest,
    ModelResponse,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from llmspell.providers.catalogue import Endpoint

Body = dict[str, Any]

_KNOWN = {"role", "content", "refusal", "tool_calls"}


def response_from(data: Body, request: ModelRequest, endpoint: Endpoint) -> ModelResponse:
    """What the answer says.

    Raises:
        ProviderError: It is an error after all, or not of the format.
    """
    choice = _first_choice(data, endpoint)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise nonsense(endpoint, "the answer's choice has no message")
    blocks = _blocks(message, request, endpoint)
    called = any(type(block) is ToolCall for block in blocks)
    model = data.get("model")
    return ModelResponse(
        message=Message("assistant", tuple(blocks)),
        usage=_usage(data.get("usage")),
        finish_reason=_finish_reason(choice.get("finish_reason"), called=called),
        model=f"{endpoint.name}/{model}" if isinstance(model, str) and model else request.model,
        id=string(data.get("id")),
    )


def _first_choice(data: Body, endpoint: Endpoint) -> Body:
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    # OpenRouter reports the failures of those it asks inside an answer of 200.
    error = data.get("error") or (isinstance(choice, dict) and choice.get("error"))
    if error:
        raise failed_inside(endpoint, error)
    if not isinstance(choice, dict):
        raise nonsense(endpoint, "the answer has no choices")
    return choice


def _blocks(message: Body, request: ModelRequest, endpoint: Endpoint) -> list[Block]:
    blocks: list[Block] = []
    extra = {name: v for name, v in message.items() if name not in _KNOWN and v not in (None, [])}
    content = message.get("content")
    if isinstance(content, list):
        others = [part for part in content if not _is_text(part)]
        content = "".join([part["text"] for part in content if _is_text(part)])
        if others:
            extra["content"] = others
    if extra:
        blocks.append(Extra(endpoint.name, extra))
    if content and isinstance(content, str):
        blocks.append(Text(content))
    if refusal := message.get("refusal"):
        blocks.append(Refusal(string(refusal)))
    if calls := message.get("tool_calls"):
        blocks += _tool_calls(calls, request, endpoint)
    return blocks


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _tool_calls(calls: Any, request: ModelRequest, endpoint: Endpoint) -> list[ToolCall]:
    found: list[ToolCall] = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise nonsense(endpoint, "the answer holds a tool call without a function's name")
        arguments = function.get("arguments")
        found.append(tool_call(call.get("id"), function["name"], arguments, request, found))
    return found


def _finish_reason(reason: Any, *, called: bool) -> str:
    # Some servers stop "normally" after calling a tool, and some say nothing at all.
    if called and reason in ("stop", "function_call", None, ""):
        return "tool_calls"
    return reason if reason and isinstance(reason, str) else "stop"


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=prompt,
        # xAI leaves the reasoning tokens out of the completion's, but not out of the total.
        output_tokens=max(completion, count(usage, "total_tokens") - prompt),
        cached_tokens=count(read, "cached_tokens"),
        reasoning_tokens=count(written, "reasoning_tokens"),
    )
