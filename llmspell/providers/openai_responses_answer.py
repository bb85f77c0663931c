"""Parses responses of OpenAI's Responses API.

Source of the format: `openai.types.responses.response` of the official Python SDK.

Data that our blocks have no place for is kept in a `Reasoning` or `Extra`: the whole item, or, in
front of a message or call, its other fields. Ids of messages and calls are dropped: they refer to
what the server stored, and it stores nothing for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, entries, string, tool_call
from llmspell.providers.failures import failed_inside, malformed_answer
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

Body = dict[str, Any]

_OF_MESSAGES = {"id", "type", "status", "role", "content"}
_OF_CALLS = {"id", "type", "status", "call_id", "name", "arguments"}
_REASONS = {"max_output_tokens": "length"}


def response_from(data: Body, request: ModelRequest, endpoint: Endpoint) -> ModelResponse:
    """Parse a response.

    Raises:
        ProviderError: It is an error object, or malformed.
    """
    if data.get("error"):
        raise failed_inside(endpoint, data["error"])
    output, status = data.get("output"), data.get("status") or "completed"
    if not isinstance(output, list):
        raise malformed_answer(endpoint, "the answer has no output")
    if status not in ("completed", "incomplete"):
        raise malformed_answer(endpoint, f"the answer is {status}", retry=False)
    blocks: list[Block] = []
    for item in output:
        if not isinstance(item, dict):
            raise malformed_answer(
                endpoint, "the answer's output holds something that is not an item"
            )
        blocks += _blocks(item, request, endpoint, blocks)
    model = data.get("model")
    return ModelResponse(
        message=Message("assistant", tuple(blocks)),
        usage=_usage(data.get("usage")),
        finish_reason=_finish_reason(data, blocks),
        model=f"{endpoint.name}/{model}" if isinstance(model, str) and model else request.model,
        id=string(data.get("id")),
    )


def _blocks(
    item: Body, request: ModelRequest, endpoint: Endpoint, before: list[Block]
) -> list[Block]:
    kind = item.get("type")
    if kind == "message":
        return _message(item, endpoint.name)
    if kind == "function_call":
        name, arguments = item.get("name"), item.get("arguments")
        call = tool_call(item.get("call_id"), name, arguments, request, before)
        return [*_about(item, _OF_CALLS, endpoint.name), call]
    if kind == "reasoning":
        return [Reasoning(endpoint.name, _thought(item), item)]
    return [Extra(endpoint.name, {"type": "unknown"} | item)]


def _about(item: Body, known: set[str], provider: str) -> list[Block]:
    """Return an `Extra` with an item's unknown fields, and its type, which tells their place."""
    rest = {name: v for name, v in item.items() if name not in known and v not in (None, [])}
    return [Extra(provider, {"type": item["type"]} | rest)] if rest else []


def _message(item: Body, provider: str) -> list[Block]:
    blocks: list[Block] = []
    annotations: list[Any] = []
    for part in entries(item.get("content")):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "output_text":
            blocks.append(Text(string(part.get("text"))))
            annotations += entries(part.get("annotations"))
        elif kind == "refusal":
            blocks.append(Refusal(string(part.get("refusal"))))
        else:
            blocks.append(Extra(provider, {"type": "unknown", "part": part}))
    return [*_about(item | {"annotations": annotations}, _OF_MESSAGES, provider), *blocks]


def _thought(item: Body) -> str:
    """Return the reasoning text if the item has it, else its summary."""
    parts = entries(item.get("content")) or entries(item.get("summary"))
    return "\n\n".join([string(part.get("text")) for part in parts if isinstance(part, dict)])


def _finish_reason(data: Body, blocks: list[Block]) -> str:
    if data.get("status") == "incomplete":
        details = data.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _REASONS.get(reason, reason) if isinstance(reason, str) else "length"
    return "tool_calls" if any(isinstance(block, ToolCall) for block in blocks) else "stop"


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=count(read, "cached_tokens"),
        reasoning_tokens=count(written, "reasoning_tokens"),
        cache_written_tokens=count(read, "cache_write_tokens"),
    )
