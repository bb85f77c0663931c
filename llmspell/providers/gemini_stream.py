"""Assembles streamed responses of the Gemini API: each event adds parts.

Source of the format: `google.genai.types.GenerateContentResponse` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import entries, string
from llmspell.providers.failures import malformed_answer
from llmspell.providers.gemini_answer import check_error
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.server_events import ServerEvent

_PLAIN = frozenset({"text", "thought"})


class ContentAssembly:
    """See `Assembly`. The protocol has no final event."""

    ended = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._answer: Body = {}
        self._candidate: Body = {}
        self._parts: list[Body] = []
        self._texts: list[str] = []  # of the last part, if it is text or a thought and nothing more
        self._calls = 0

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        data = self._read(event.data)
        if "error" in data:
            check_error(data, self._endpoint)
        candidates = data.pop("candidates", None)
        self._answer.update(data)
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            return ()
        content = candidate.pop("content", None)
        self._candidate.update(candidate)
        parts = content.get("parts") if isinstance(content, dict) else None
        return [delta for part in entries(parts) for delta in self._add(part)]

    def _read(self, text: str) -> Body:
        try:
            data = read_json(text)
        except ValueError:
            data = None
        if isinstance(data, list) and data:  # errors may be wrapped in a list
            data = data[0]
        if not isinstance(data, dict):
            raise malformed_answer(self._endpoint, "a piece of the answer is not a JSON object")
        return data

    def _add(self, part: Any) -> Iterable[Delta]:
        if not isinstance(part, dict):
            raise malformed_answer(self._endpoint, "a piece of the answer is not a JSON object")
        text = part.get("text")
        if text == "" and len(part) == 1:
            return ()
        plain = text if isinstance(text, str) and part.keys() <= _PLAIN else None
        if (
            plain is not None
            and self._texts
            and self._parts[-1].get("thought") == part.get("thought")
        ):
            self._texts.append(plain)
        else:
            # A signature covers just its own part, so a part with one is not merged.
            self._end_text()
            self._parts.append(part)
            self._texts = [] if plain is None else [plain]
        if not isinstance(text, str):
            return self._called(part.get("functionCall"))
        if not text:
            return ()
        return (ReasoningDelta(text) if part.get("thought") else TextDelta(text),)

    def _called(self, call: Any) -> Iterable[Delta]:
        if not isinstance(call, dict):
            return ()
        number, self._calls = self._calls, self._calls + 1
        written = write_json(call.get("args") or {})
        return (ToolCallDelta(number, string(call.get("id")), string(call.get("name")), written),)

    def _end_text(self) -> None:
        if self._texts:
            self._parts[-1] = self._parts[-1] | {"text": "".join(self._texts)}
            self._texts = []

    def answer(self) -> Body:
        self._end_text()
        if not self._candidate and not self._parts:
            return self._answer  # it may say that the prompt is blocked
        if self._candidate.get("finishReason") is None:
            raise malformed_answer(self._endpoint, "the answer was cut off")
        candidate = self._candidate | {"content": {"role": "model", "parts": self._parts}}
        return self._answer | {"candidates": [candidate]}
