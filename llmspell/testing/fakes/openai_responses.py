"""OpenAI's Responses API.

Source of the format: `openai.types.responses.response` and `response_stream_event` of the
official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import count
from typing import Any

from llmspell.providers.messages import Refusal, ToolCall, Unknown
from llmspell.testing.fakes.answers import Answer, Part, Reasoning, arguments_of, ids
from llmspell.testing.fakes.openai_chat import error_body, missing
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import sse

Body = dict[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FINISHED = ("stop", "tool_calls")


class OpenAIResponses:
    name = "openai-responses"

    def answers(self, path: str) -> bool:
        return path.endswith("/responses")

    def streams(self, request: Received) -> bool:
        return bool(request.json.get("stream"))

    def key(self, request: Received) -> str | None:
        return request.bearer

    def problem(self, request: Received) -> str | None:
        return missing(request.json, "model", "input")

    def body(self, answer: Answer, request: Received) -> Body:
        items = [_item(part, id_) for part, id_ in _with_ids(answer, request)]
        return _finished(answer, request, items) | answer.fields

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        number = count()
        return [
            sse({**event, "sequence_number": next(number)}, event["type"])
            for event in _events(answer, request)
        ]

    def error(self, status: int, message: str, code: str | None = None) -> Body:
        return error_body(status, message, code)

    def error_event(self, status: int, message: str) -> bytes:
        event = {
            "type": "error",
            "code": error_body(status, message, None)["error"]["type"],
            "message": message,
            "param": None,
            "sequence_number": 99,
        }
        return sse(event, "error")

    def unknown_event(self) -> bytes:
        return sse({"type": "response.hologram", "sequence_number": 99}, "response.hologram")


def _response(request: Received, **fields: Any) -> Body:
    body = request.json
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "created_at": 1790000000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    } | fields


def _finished(answer: Answer, request: Received, items: list[Body]) -> Body:
    """Return the final response; it is incomplete unless the finish reason is a normal end."""
    usage = answer.usage
    why = None if answer.reason in _FINISHED else _INCOMPLETE.get(answer.reason, answer.reason)
    return _response(
        request,
        status="incomplete" if why else "completed",
        incomplete_details={"reason": why} if why else None,
        output=items,
        usage={
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    )


def _with_ids(answer: Answer, request: Received) -> Iterator[tuple[Part, str]]:
    """Yield the parts, each with an id that is unique among the answers to all requests."""
    answered = blake2b(request.body, digest_size=8).hexdigest()
    calls = ids(answer.parts, "call_")
    for at, part in enumerate(answer.parts):
        yield part, calls.get(at, f"item_{answered}{at + 1:08}")


def _item(part: Part, id_: str) -> Body:
    if isinstance(part, ToolCall):
        return {
            "type": "function_call",
            "id": f"fc_{id_}",
            "call_id": id_,
            "name": part.name,
            "arguments": arguments_of(part),
            "status": "completed",
        }
    if isinstance(part, Reasoning):
        return {
            "type": "reasoning",
            "id": id_,
            "summary": [{"type": "summary_text", "text": part.text}],
            "encrypted_content": part.signature,
        }
    if isinstance(part, Unknown):
        return part.data
    return {
        "type": "message",
        "id": id_,
        "role": "assistant",
        "status": "completed",
        "content": [_content(part)],
    }


def _content(part: str | Refusal) -> Body:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part, "annotations": [], "logprobs": []}


def _events(answer: Answer, request: Received) -> Iterator[Body]:
    begun = _response(request) | answer.fields
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    items: list[Body] = []
    for index, (part, id_) in enumerate(_with_ids(answer, request)):
        item = _item(part, id_)
        yield {"type": "response.output_item.added", "output_index": index, "item": _empty(item)}
        if not isinstance(part, Unknown):
            place = {"item_id": item["id"], "output_index": index}
            for event in _streamed(part, item, answer):
                yield event | place
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
        items.append(item)
    finished = _finished(answer, request, items) | answer.fields
    yield {"type": f"response.{finished['status']}", "response": finished}


def _empty(item: Body) -> Body:
    """Return the empty item that is announced before its contents."""
    begun = item | ({"status": "in_progress"} if "status" in item else {})
    blank: dict[str, Body] = {"message": {"content": []}, "reasoning": {"summary": []}}
    return begun | blank.get(item["type"], {"arguments": ""} if "arguments" in item else {})


def _streamed(part: str | Refusal | Reasoning | ToolCall, item: Body, answer: Answer) -> list[Body]:
    """Return the events between the start and the end of an item."""
    if isinstance(part, ToolCall):
        kind, whole = "response.function_call_arguments", item["arguments"]
        return [*_deltas(kind, whole, answer), {"type": f"{kind}.done", "arguments": whole}]
    if isinstance(part, Reasoning):
        kind, at = "response.reasoning_summary_text", {"summary_index": 0}
        shown = {"type": "summary_text", "text": part.text}
        added: Body = {
            "type": "response.reasoning_summary_part.added",
            "part": shown | {"text": ""},
        }
        deltas = _deltas(kind, part.text, answer)
        done: list[Body] = [
            {"type": f"{kind}.done", "text": part.text},
            {"type": "response.reasoning_summary_part.done", "part": shown},
        ]
        return [event | at for event in (added, *deltas, *done)]
    content: Body = item["content"][0]
    more: Body = {}
    if isinstance(part, Refusal):
        kind, name = "response.refusal", "refusal"
    else:
        kind, name, more = "response.output_text", "text", {"logprobs": []}
    added = {"type": "response.content_part.added", "part": content | {name: ""}}
    deltas = [delta | more for delta in _deltas(kind, content[name], answer)]
    done = [
        {"type": f"{kind}.done", name: content[name]} | more,
        {"type": "response.content_part.done", "part": content},
    ]
    return [event | {"content_index": 0} for event in (added, *deltas, *done)]


def _deltas(kind: str, text: str, answer: Answer) -> list[Body]:
    return [{"type": f"{kind}.delta", "delta": piece} for piece in answer.cut(text)]
