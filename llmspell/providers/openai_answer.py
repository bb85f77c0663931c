"""Answers as OpenAI's chat completions give them, and as others do who claim to.

Source of the format: `openai.types.chat.chat_completion` of the official Python SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from llmspell.providers.strict_json import read_json, write_json

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
        id=_string(data.get("id")),
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
        blocks.append(Refusal(_string(refusal)))
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
        id_ = call.get("id")
        if not id_ or not isinstance(id_, str) or any(id_ == other.id for other in found):
            id_ = _made_up_id(request, len(found))
        arguments, problem, raw = _arguments(function.get("arguments"))
        found.append(ToolCall(id_, function["name"], arguments, problem, raw))
    return found


def _made_up_id(request: ModelRequest, index: int) -> str:
    """Unique in the conversation, and the same whenever the same is answered to the same."""
    before = sum([len(message.tool_calls) for message in request.messages])
    return f"call{before + index + 1:05}"


def _arguments(written: Any) -> tuple[Body, str | None, str | None]:
    """The arguments; or none, what is wrong with them, and what the model wrote."""
    if isinstance(written, dict):
        return written, None, None
    if written is None or written == "":
        return {}, None, None
    raw = written if isinstance(written, str) else write_json(written)
    try:
        value = read_json(raw)
    except ValueError as error:
        return {}, f"the arguments are not valid JSON: {error}", raw
    if value is None:
        return {}, None, None
    if not isinstance(value, dict):
        return {}, "the arguments are not a JSON object", raw
    return value, None, None


def _finish_reason(reason: Any, *, called: bool) -> str:
    # Some servers stop "normally" after calling a tool, and some say nothing at all.
    if called and reason in ("stop", "function_call", None, ""):
        return "tool_calls"
    return reason if reason and isinstance(reason, str) else "stop"


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=prompt,
        # xAI leaves the reasoning tokens out of the completion's, but not out of the total.
        output_tokens=max(completion, _count(usage, "total_tokens") - prompt),
        cached_tokens=_count(read, "cached_tokens"),
        reasoning_tokens=_count(written, "reasoning_tokens"),
    )


def _count(table: Any, name: str) -> int:
    count = table.get(name) if isinstance(table, dict) else None
    return count if type(count) is int and count > 0 else 0


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
