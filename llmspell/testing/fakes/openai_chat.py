"""OpenAI's chat completions.

Source of the format: `openai.types.chat.chat_completion` and `chat_completion_chunk` of the
official Python SDK; errors as api.openai.com sends them.
"""

from __future__ import annotations

from typing import Any

from llmspell.providers.messages import ToolCall, Usage
from llmspell.testing.fakes.answers import Answer, arguments_of, ids
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import sse

Body = dict[str, Any]

_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_exceeded",
}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class OpenAIChat:
    name = "openai"

    def answers(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def streams(self, request: Received) -> bool:
        return bool(request.json.get("stream"))

    def key(self, request: Received) -> str | None:
        return request.bearer

    def problem(self, request: Received) -> str | None:
        return missing(request.json, "model", "messages")

    def body(self, answer: Answer, request: Received) -> Body:
        said = answer.text
        message: Body = {
            "role": "assistant",
            "content": said if said or not answer.calls else None,
            "refusal": answer.refusal,
            "annotations": [],
        }
        if answer.refusal is not None:
            message["content"] = None
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = _calls(answer)
        choice = {
            "index": 0,
            "message": message | answer.unknown,
            "logprobs": None,
            "finish_reason": answer.reason,
        }
        return {
            **_head("chat.completion", request),
            "choices": [choice] if answer.parts else [],
            "usage": usage_of(answer.usage),
        } | answer.fields

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        chunks = [_chunk(request, delta) for delta in _deltas(answer)]
        chunks.append(_chunk(request, {}, answer.reason))
        if not answer.parts:
            chunks = [_chunk(request, None)]
        if (request.json.get("stream_options") or {}).get("include_usage"):
            chunks = [{**chunk, "usage": None} for chunk in chunks]
            chunks.append({**_chunk(request, None), "usage": usage_of(answer.usage)})
        return [*(sse(chunk | answer.fields) for chunk in chunks), sse("[DONE]")]

    def error(self, status: int, message: str, code: str | None = None) -> Body:
        return error_body(status, message, code)

    def error_event(self, status: int, message: str) -> bytes:
        return sse(error_body(status, message, None))

    def unknown_event(self) -> bytes:
        return sse({"type": "hologram", "beam": 1}, "hologram")


def error_body(status: int, message: str, code: str | None) -> Body:
    """Return an error in the form that both of OpenAI's protocols use."""
    return {
        "error": {
            "message": message,
            "type": _TYPES.get(status, "server_error"),
            "param": None,
            "code": code or _CODES.get(status),
        }
    }


def missing(body: Any, *fields: str) -> str | None:
    """Return what is wrong with a body that lacks a required field, or None."""
    if not isinstance(body, dict):
        return "the body is not a JSON object"
    lacking = [name for name in fields if body.get(name) is None]
    return f"Missing required parameter: '{lacking[0]}'." if lacking else None


def usage_of(usage: Usage) -> Body:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(kind: str, request: Received) -> Body:
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": kind,
        "created": 1790000000,
        "model": request.json["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _calls(answer: Answer) -> list[Body]:
    named = ids(answer.parts, "call_")
    return [
        {
            "id": named[at],
            "type": "function",
            "function": {"name": part.name, "arguments": arguments_of(part)},
        }
        for at, part in enumerate(answer.parts)
        if isinstance(part, ToolCall)
    ]


def _chunk(request: Received, delta: Body | None, reason: str | None = None) -> Body:
    """Return a chunk; one without a delta, such as the last one with the usage, has no choices."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    head = _head("chat.completion.chunk", request)
    return {**head, "choices": [choice] if delta is not None else []}


def _deltas(answer: Answer) -> list[Body]:
    deltas: list[Body] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"reasoning_content": piece} for piece in answer.cut(answer.reasoning)]
    deltas += [{"content": piece} for piece in answer.cut(answer.text)]
    deltas += [{"refusal": piece} for piece in answer.cut(answer.refusal or "")]
    if answer.unknown:
        deltas.append(answer.unknown)
    for index, call in enumerate(_calls(answer)):
        whole = call["function"]["arguments"]
        first = call | {"index": index, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in answer.cut(whole)
        ]
    return deltas
