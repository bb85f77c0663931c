"""Parses responses of the Gemini API.

Source of the format: `google.genai.types.GenerateContentResponse` of the official Python SDK.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, string, tool_call
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.gemini_content import ABOUT, BESIDE
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
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

_BLOCKED = {
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"),
    "PUP_LIMITED_DISABLED",
}
_MALFORMED = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"}


def response_from(data: Body, request: ModelRequest, endpoint: Endpoint) -> ModelResponse:
    """Parse a response.

    Raises:
        ProviderError: It is an error object, or malformed; or Gemini itself could not parse what
            the model wrote.
    """
    check_error(data, endpoint)
    candidate = _candidate(data, endpoint)
    reason = string(candidate.get("finishReason"))
    parts = _parts(candidate.get("content"), endpoint)
    if reason in _MALFORMED and not parts:
        message = string(candidate.get("finishMessage"))
        raise malformed_answer(
            endpoint, f"the model's answer cannot be read ({reason})", body=message
        )
    blocks: list[Block] = []
    for part in parts:
        blocks += _blocks(part, blocks, request, endpoint)
    if about := {name: candidate[name] for name in ABOUT if candidate.get(name)}:
        blocks.append(Extra(endpoint.name, about))
    if reason in _BLOCKED:
        message = string(candidate.get("finishMessage"))
        blocks.append(Refusal(message or f"The answer was withheld ({reason})."))
    model = data.get("modelVersion")
    return ModelResponse(
        message=Message("assistant", tuple(blocks)),
        usage=_usage(data.get("usageMetadata")),
        finish_reason=_finish_reason(reason, blocks),
        model=f"{endpoint.name}/{model}" if isinstance(model, str) and model else request.model,
        id=string(data.get("responseId")),
    )


def check_error(data: Body, endpoint: Endpoint) -> None:
    """Raise ProviderError if `data` is a `google.rpc.Status`."""
    if error := data.get("error"):
        raise failed_inside(endpoint, error)


def _candidate(data: Body, endpoint: Endpoint) -> Body:
    candidates = data.get("candidates")
    candidate = candidates[0] if isinstance(candidates, list) and candidates else None
    if isinstance(candidate, dict):
        return candidate
    feedback = data.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not isinstance(feedback, dict) or not isinstance(reason, str):
        raise malformed_answer(endpoint, "the answer has no candidates")
    message = string(feedback.get("blockReasonMessage"))
    message = message or f"The prompt was refused ({reason})."
    return {"finishReason": "SAFETY", "finishMessage": message}


def _parts(content: Any, endpoint: Endpoint) -> list[Body]:
    parts = content.get("parts") if isinstance(content, dict) else None
    if parts is None:
        return []
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise malformed_answer(endpoint, "the answer's parts are not a list of objects")
    return parts


def _blocks(
    part: Body, before: list[Block], request: ModelRequest, endpoint: Endpoint
) -> list[Block]:
    """Convert a part of the answer, with an `Extra` before it for fields we have no place for."""
    beside = {name: value for name, value in part.items() if name in BESIDE}
    text = part.get("text")
    if part.get("thought") and isinstance(text, str):
        return [Reasoning(endpoint.name, text, beside)]
    fields: list[Block] = [Extra(endpoint.name, beside)] if beside else []
    if isinstance(text, str):
        if text:
            return [*fields, Text(text)]
        return [Extra(endpoint.name, part)] if beside else []
    if isinstance(call := part.get("functionCall"), dict):
        name, args = call.get("name"), call.get("args")
        return [*fields, tool_call(call.get("id"), name, args, request, before)]
    media = _media(part.get("inlineData"))
    return [*fields, media] if media is not None else [Extra(endpoint.name, part)]


def _media(blob: Any) -> Image | File | None:
    media_type = blob.get("mimeType") if isinstance(blob, dict) else None
    if not isinstance(media_type, str):
        return None
    try:
        data = base64.b64decode(string(blob.get("data")), validate=True)
    except binascii.Error:
        return None
    kind = Image if media_type.startswith("image/") else File
    return kind(data, media_type)


def _finish_reason(reason: str, blocks: list[Block]) -> str:
    if reason in ("STOP", ""):
        return "tool_calls" if any(isinstance(block, ToolCall) for block in blocks) else "stop"
    if reason in ("MAX_TOKENS", "CONTINUATION"):
        return "length"
    return "content_filter" if reason in _BLOCKED else reason


def _usage(usage: Any) -> Usage:
    thoughts = count(usage, "thoughtsTokenCount")
    return Usage(
        input_tokens=count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount"),
        output_tokens=count(usage, "candidatesTokenCount") + thoughts,
        cached_tokens=count(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )
