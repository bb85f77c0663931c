"""Anthropic's Messages.

Source of the format: `anthropic.types` (`message`, `raw_message_stream_event`, `shared`) of the
official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmspell.providers.messages import ToolCall, Unknown
from llmspell.providers.strict_json import read_json
from llmspell.testing.fakes.answers import Answer, Part, Reasoning, arguments_of, ids
from llmspell.testing.fakes.openai_chat import missing
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import sse

Body = dict[str, Any]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


class Anthropic:
    name = "anthropic"

    def answers(self, path: str) -> bool:
        return path.endswith("/messages")

    def streams(self, request: Received) -> bool:
        return bool(request.json.get("stream"))

    def key(self, request: Received) -> str | None:
        return request.headers.get("x-api-key") or request.bearer

    def problem(self, request: Received) -> str | None:
        if "anthropic-version" not in request.headers:
            return "anthropic-version: header is required"
        return missing(request.json, "model", "max_tokens", "messages")

    def body(self, answer: Answer, request: Received) -> Body:
        return {
            **_message(request),
            "content": [block for block, _ in _blocks(answer)],
            "stop_reason": _reason(answer),
            "stop_details": _details(answer),
            "usage": _usage(answer),
        } | answer.fields

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        return [sse(event, event["type"]) for event in _events(answer, request)]

    def error(self, status: int, message: str, code: str | None = None) -> Body:
        kind = code or _TYPES.get(status, "api_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": "req_018EeWyXxfu5pfWkrYcMdjWG",
        }

    def error_event(self, status: int, message: str) -> bytes:
        return sse(self.error(status, message), "error")

    def unknown_event(self) -> bytes:
        return sse({"type": "hologram", "beam": 1}, "hologram")


def _message(request: Received) -> Body:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": request.json["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _reason(answer: Answer) -> str:
    if answer.refusal is not None and answer.finish_reason is None:
        return "refusal"
    return _REASONS.get(answer.reason, answer.reason)


def _details(answer: Answer) -> Body | None:
    if answer.refusal is None:
        return None
    return {"type": "refusal", "category": None, "explanation": answer.refusal}


def _usage(answer: Answer) -> Body:
    """Return the usage; unlike in `Usage`, input tokens here exclude cached ones."""
    return {
        "input_tokens": answer.usage.input_tokens - answer.usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.usage.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.usage.output_tokens,
        "service_tier": "standard",
    }


def _blocks(answer: Answer) -> Iterator[tuple[Body, Part]]:
    named = ids(answer.parts, "toolu_")
    for at, part in enumerate(answer.parts):
        if isinstance(part, str):
            yield {"type": "text", "text": part, "citations": None}, part
        elif isinstance(part, Reasoning):
            yield {"type": "thinking", "thinking": part.text, "signature": part.signature}, part
        elif isinstance(part, ToolCall):
            yield (
                {"type": "tool_use", "id": named[at], "name": part.name, "input": _input(part)},
                part,
            )
        elif isinstance(part, Unknown):
            yield part.data, part
        # The refusal's text goes into stop_details.


def _input(call: ToolCall) -> Any:
    if call.raw is None:
        return call.arguments
    try:
        return read_json(call.raw)
    except ValueError:
        return call.raw


def _events(answer: Answer, request: Received) -> Iterator[Body]:
    usage = _usage(answer)
    yield {
        "type": "message_start",
        "message": {**_message(request), "usage": usage | {"output_tokens": 1}} | answer.fields,
    }
    yield {"type": "ping"}
    for index, (block, part) in enumerate(_blocks(answer)):
        start, deltas = _streamed(block, part, answer)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": _reason(answer),
            "stop_sequence": None,
            "stop_details": _details(answer),
        },
        "usage": {"output_tokens": answer.usage.output_tokens},
    }
    yield {"type": "message_stop"}


def _streamed(block: Body, part: Part, answer: Answer) -> tuple[Body, list[Body]]:
    """Return the start of a streamed block, and its deltas."""
    if isinstance(part, str):
        deltas = [{"type": "text_delta", "text": piece} for piece in answer.cut(part)]
        return block | {"text": ""}, deltas
    if isinstance(part, Reasoning):
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in answer.cut(part.text)]
        deltas.append({"type": "signature_delta", "signature": part.signature})
        return block | {"thinking": "", "signature": ""}, deltas
    if isinstance(part, ToolCall):
        pieces = ["", *answer.cut(arguments_of(part))]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        return block | {"input": {}}, deltas
    return block, []
