"""Parses responses of Anthropic's Messages API.

Source of the format: `anthropic.types.message` of the official Python SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, string, tool_call
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import (
    Block,
    Extra,
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def response_from(data: Body, request: ModelRequest, endpoint: Endpoint) -> ModelResponse:
    """Parse a response.

    Raises:
        ProviderError: It is an error object, or malformed.
    """
    check_error(data, endpoint)
    content = data.get("content")
    if not isinstance(content, list):
        raise malformed_answer(endpoint, "the answer has no content")
    blocks: list[Block] = []
    for block in content:
        blocks += _blocks(block, blocks, request, endpoint)
    reason = data.get("stop_reason")
    if reason == "refusal":
        blocks.append(_refusal(data.get("stop_details")))
    model = data.get("model")
    return ModelResponse(
        message=Message("assistant", tuple(blocks)),
        usage=_usage(data.get("usage")),
        finish_reason=_finish_reason(reason, blocks),
        model=f"{endpoint.name}/{model}" if isinstance(model, str) and model else request.model,
        id=string(data.get("id")),
    )


def check_error(data: Body, endpoint: Endpoint) -> None:
    """Raise ProviderError if `data` is an `anthropic.types.shared.error_response`."""
    error = data.get("error")
    if data.get("type") == "error" or error:
        raise failed_inside(endpoint, error)


def _blocks(
    block: Any, before: list[Block], request: ModelRequest, endpoint: Endpoint
) -> list[Block]:
    """Convert a block of the answer, with an `Extra` before it for fields we have no place for."""
    if not isinstance(block, dict):
        raise malformed_answer(endpoint, "the answer holds a block that is not an object")
    kind = block.get("type")
    if kind == "text":
        return [*_fields(block, ("text", "type"), endpoint), Text(string(block.get("text")))]
    if kind == "thinking":
        data = {name: value for name, value in block.items() if name != "thinking"}
        return [Reasoning(endpoint.name, string(block.get("thinking")), data)]
    if kind == "redacted_thinking":
        return [Reasoning(endpoint.name, data=block)]
    if kind != "tool_use":
        return [Extra(endpoint.name, block)]
    call = tool_call(block.get("id"), block.get("name"), block.get("input"), request, before)
    return [*_fields(block, ("id", "input", "name", "type"), endpoint), call]


def _fields(block: Body, ours: tuple[str, ...], endpoint: Endpoint) -> list[Block]:
    fields = {name: v for name, v in block.items() if name not in ours and v is not None}
    return [Extra(endpoint.name, fields)] if fields else []


def _refusal(details: Any) -> Refusal:
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return Refusal(
        explanation
        if explanation and isinstance(explanation, str)
        else "The model refuses to answer."
    )


def _finish_reason(reason: Any, blocks: list[Block]) -> str:
    stop_reason = string(reason) or "end_turn"
    ours = _FINISH_REASONS.get(stop_reason, stop_reason)
    called = any(isinstance(block, ToolCall) for block in blocks)
    if ours in ("stop", "tool_calls"):
        return "tool_calls" if called else "stop"
    return ours


def _usage(usage: Any) -> Usage:
    read = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    return Usage(
        input_tokens=count(usage, "input_tokens") + read + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=read,
        reasoning_tokens=count(details, "thinking_tokens"),
        cache_written_tokens=written,
    )
