"""Assembles streamed responses of OpenAI's Responses API.

Source of the format: `openai.types.responses.response_stream_event` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from llmspell.providers.answer_parts import count, piece_of, string
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.server_events import ServerEvent


class ResponsesAssembly:
    """See `Assembly`. The last event holds the whole answer; the others are shown as deltas."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._response: Body | None = None
        self._items: list[Body] = []
        self._calls: dict[int, _Call] = {}
        self._readers: dict[str, Callable[[Body], Iterable[Delta]]] = {
            "response.output_text.delta": self._text,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.reasoning_summary_part.added": self._next_thought,
            "response.output_item.added": self._begun,
            "response.output_item.done": self._ended,
            "response.function_call_arguments.delta": self._arguments,
            "response.completed": self._whole,
            "response.incomplete": self._whole,
            "response.failed": self._failed,
            "error": self._failed,
        }

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        if event.name in _REDUNDANT_EVENTS or event.data == "[DONE]":
            return ()
        data = piece_of(event.data, self._endpoint)
        read = self._readers.get(string(data.get("type")))
        if read is not None:
            return read(data)
        if data.get("error"):
            raise failed_inside(self._endpoint, data["error"])
        return ()

    @property
    def ended(self) -> bool:
        return self._response is not None

    def answer(self) -> Body:
        if self._response is None:
            raise malformed_answer(self._endpoint, "the answer was cut off")
        if self._response.get("output"):
            return self._response
        return self._response | {"output": self._items}  # the last event may lack the items

    def _text(self, data: Body) -> Iterable[Delta]:
        text = string(data.get("delta"))
        return (TextDelta(text),) if text else ()

    def _thought(self, data: Body) -> Iterable[Delta]:
        text = string(data.get("delta"))
        return (ReasoningDelta(text),) if text else ()

    def _next_thought(self, data: Body) -> Iterable[Delta]:
        return (ReasoningDelta("\n\n"),) if data.get("summary_index") else ()

    def _begun(self, data: Body) -> Iterable[Delta]:
        item = data.get("item")
        if not isinstance(item, dict) or item.get("type") != "function_call":
            return ()
        call = self._calls[count(data, "output_index")] = _Call(len(self._calls))
        first = string(item.get("arguments"))
        call.written += first
        return (
            ToolCallDelta(call.index, string(item.get("call_id")), string(item.get("name")), first),
        )

    def _arguments(self, data: Body) -> Iterable[Delta]:
        call = self._calls.get(count(data, "output_index"))
        if call is None:
            return ()
        more = string(data.get("delta"))
        call.written += more
        return (ToolCallDelta(call.index, arguments=more),)

    def _ended(self, data: Body) -> Iterable[Delta]:
        item = data.get("item")
        if not isinstance(item, dict):
            return ()
        self._items.append(item)
        call = self._calls.get(count(data, "output_index"))
        whole = string(item.get("arguments"))
        if call is None or call.written or not whole:
            return ()
        return (ToolCallDelta(call.index, arguments=whole),)  # without argument deltas

    def _whole(self, data: Body) -> Iterable[Delta]:
        response = data.get("response")
        if not isinstance(response, dict):
            raise malformed_answer(self._endpoint, "the answer ended without a response")
        self._response = response
        return ()

    def _failed(self, data: Body) -> Iterable[Delta]:
        response = data.get("response")
        error = response.get("error") if isinstance(response, dict) else data.get("error")
        raise failed_inside(self._endpoint, error or data)


class _Call:
    """A call that is still being streamed."""

    __slots__ = ("index", "written")

    def __init__(self, index: int) -> None:
        self.index = index
        self.written = ""


_REDUNDANT_EVENTS = {
    *("response.created", "response.in_progress", "response.output_text.done"),
    *("response.content_part.added", "response.content_part.done"),
    *("response.function_call_arguments.done", "response.reasoning_summary_text.done"),
}
"""Redundant events, which are not parsed; the first two repeat the request, with all its tools."""
