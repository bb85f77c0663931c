"""Google's Gemini: `generateContent` and `streamGenerateContent`.

Source of the format: `google.genai.types.GenerateContentResponse` and `google.genai.errors` of
the official Python SDK; errors are `google.rpc.Status`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from llmspell.providers.messages import Refusal, ToolCall, Unknown
from llmspell.providers.strict_json import read_json
from llmspell.testing.fakes.answers import Answer, Part, Reasoning
from llmspell.testing.fakes.openai_chat import missing
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import sse

Body = dict[str, Any]

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}


class Gemini:
    name = "gemini"

    def answers(self, path: str) -> bool:
        return path.endswith((":generateContent", ":streamGenerateContent"))

    def streams(self, request: Received) -> bool:
        return request.path.endswith(":streamGenerateContent")

    def key(self, request: Received) -> str | None:
        return request.headers.get("x-goog-api-key") or request.query.get("key")

    def problem(self, request: Received) -> str | None:
        if self.streams(request) and request.query.get("alt") != "sse":
            return "this server streams with alt=sse only"
        return missing(request.json, "contents")

    def body(self, answer: Answer, request: Received) -> Body:
        parts = [_part(part) for part in answer.parts if not isinstance(part, Refusal)]
        return _response(answer, request, parts, _reason(answer)) | answer.fields

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        if not answer.parts:
            return [sse(self.body(answer, request))]
        chunks = [_response(answer, request, [part]) for part in _streamed(answer)]
        last = _response(answer, request, [{"text": ""}], _reason(answer))
        return [sse(chunk | answer.fields) for chunk in (*chunks, last)]

    def error(self, status: int, message: str, code: str | None = None) -> Body:
        named = code or _STATUSES.get(status, "UNKNOWN")
        return {"error": {"code": status, "message": message, "status": named}}

    def error_event(self, status: int, message: str) -> bytes:
        return sse(self.error(status, message))

    def unknown_event(self) -> bytes:
        return sse({"hologram": {"beam": 1}}, "hologram")


def _reason(answer: Answer) -> str:
    if answer.refusal is not None and answer.finish_reason is None:
        return "SAFETY"
    return _REASONS.get(answer.reason, answer.reason)


def _part(part: Part) -> Body:
    if isinstance(part, str):
        return {"text": part}
    if isinstance(part, Reasoning):
        return {"text": part.text, "thought": True}
    if isinstance(part, ToolCall):
        call: Body = {"name": part.name, "args": _args(part)}
        if part.id:
            call["id"] = part.id
        signature = base64.b64encode(b"thought " + part.name.encode()).decode()
        return {"functionCall": call, "thoughtSignature": signature}
    if isinstance(part, Unknown):
        return part.data
    raise TypeError(f"Gemini has no part for {part!r}")


def _args(call: ToolCall) -> Any:
    if call.raw is None:
        return call.arguments
    try:
        return read_json(call.raw)
    except ValueError:
        return call.raw


def _streamed(answer: Answer) -> Iterator[Body]:
    """Yield the parts of a stream: texts in pieces, calls whole."""
    for part in answer.parts:
        if isinstance(part, (str, Reasoning)):
            whole = _part(part)
            yield from ({**whole, "text": piece} for piece in answer.cut(whole["text"]))
        elif not isinstance(part, Refusal):
            yield _part(part)


def _response(
    answer: Answer, request: Received, parts: list[Body], reason: str | None = None
) -> Body:
    model = request.path.rpartition("/")[2].partition(":")[0]
    candidate: Body = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
        if answer.refusal is not None:
            candidate["finishMessage"] = answer.refusal
    return {
        "candidates": [candidate] if answer.parts else [],
        "usageMetadata": _usage(answer),
        "modelVersion": model,
        "responseId": "mR0yaMqxN4-_xN8P1rCyoQ0",
    }


def _usage(answer: Answer) -> Body:
    """Return the usage; unlike in `Usage`, output tokens here exclude thinking."""
    usage = answer.usage
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input_tokens}],
    }
