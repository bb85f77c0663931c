"""Answers of Gemini's as they are streamed: each event holds more parts.

Source of the format: `google.genai.types.GenerateContentResponse` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmspell.providers.answer_parts import string
from llmspell.providers.failures import nonsense
from llmspell.providers.gemini_answer import check_error
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.catalogue import Endpoint


class ContentAssembly:
    """See `Assembly`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._answer: Body = {}
        self._candidate: Body = {}
        self._parts: list[Body] = []
        self._texts: list[str] = []  # of the last part, which is plain text or a plain thought
        self._calls = 0

    def feed(self, event: httpx2.ServerSentEvent) -> Iterator[Delta]:
        data = self._read(event.data)
        check_error(data, self._endpoint)
        self._answer |= {n: v for n, v in data.items() if n != "candidates"}
        candidates = data.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            return
        self._candidate |= {n: v for n, v in candidate.items() if n != "content"}
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict):
                raise nonsense(self._endpoint, "a piece of the answer is not a JSON object")
            yield from self._add(part)

    def _read(self, text: str) -> Body:
        try:
            data = read_json(text)
        except ValueError:
            data = None
        if isinstance(data, list) and data:  # as errors may come
            data = data[0]
        if not isinstance(data, dict):
            raise nonsense(self._endpoint, "a piece of the answer is not a JSON object")
        return data

    def _add(self, part: Body) -> Iterator[Delta]:
        text = part.get("text")
        if isinstance(text, str):
            if text:
                yield ReasoningDelta(text) if part.get("thought") else TextDelta(text)
            elif part.keys() == {"text"}:
                return
        elif isinstance(call := part.get("functionCall"), dict):
            number, self._calls = self._calls, self._calls + 1
            written = write_json(call.get("args") or {})
            yield ToolCallDelta(number, string(call.get("id")), string(call.get("name")), written)
        if self._texts and _joins(self._parts[-1], part):
            self._texts.append(part["text"])
            return
        self._end_text()
        self._parts.append(part)
        # Parts with a signature are not joined with others: it is for just this one.
        self._texts = [part["text"]] if _is_plain(part) else []

    def _end_text(self) -> None:
        if self._texts:
            self._parts[-1] = self._parts[-1] | {"text": "".join(self._texts)}
            self._texts = []

    def answer(self) -> Body:
        self._end_text()
        if not self._candidate and not self._parts:
            return self._answer  # which may say that the question is blocked
        if self._candidate.get("finishReason") is None:
            raise nonsense(self._endpoint, "the answer ended in the middle")
        candidate = self._candidate | {"content": {"role": "model", "parts": self._parts}}
        return self._answer | {"candidates": [candidate]}


def _is_plain(part: Body) -> bool:
    return part.keys() <= {"text", "thought"} and isinstance(part.get("text"), str)


def _joins(last: Body, part: Body) -> bool:
    return _is_plain(part) and bool(last.get("thought")) == bool(part.get("thought"))
