"""Chat completions as they are streamed.

Source of the format: `openai.types.chat.chat_completion_chunk` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmspell.providers.failures import failed_inside, nonsense
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.strict_json import read_json

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.catalogue import Endpoint

_END = "[DONE]"
_REASONING = ("reasoning_content", "reasoning")  # DeepSeek's and vLLM's name; OpenRouter's, Groq's


class ChatAssembly:
    """See `Assembly`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._answer: Body = {}
        self._message: Body = {}
        self._calls: dict[int, Body] = {}
        self._finish_reason: Any = None
        self._ended = False

    def feed(self, event: httpx2.ServerSentEvent) -> Iterator[Delta]:
        if event.data == _END:
            self._ended = True
            return
        chunk = self._chunk(event.data)
        if error := chunk.get("error"):
            raise failed_inside(self._endpoint, error)
        self._answer |= {n: v for n, v in chunk.items() if n != "choices" and v is not None}
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from self._add(delta)

    def _chunk(self, data: str) -> Body:
        try:
            chunk = read_json(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise nonsense(self._endpoint, "a piece of the answer is not a JSON object")
        return chunk

    def _add(self, delta: Body) -> Iterator[Delta]:
        for name, value in delta.items():
            if name == "tool_calls":
                for call in value if isinstance(value, list) else ():
                    yield from self._add_call(call)
            elif isinstance(value, str) and name != "role":
                self._message[name] = (self._message.get(name) or "") + value
                if value and name == "content":
                    yield TextDelta(value)
                elif value and name in _REASONING:
                    yield ReasoningDelta(value)
            elif value is not None:
                self._message[name] = value

    def _add_call(self, part: Any) -> Iterator[Delta]:
        if not isinstance(part, dict):
            return
        index = part.get("index")
        if not isinstance(index, int):  # some servers send each call whole, and do not count
            index = len(self._calls)
        function = part.get("function") or {}
        call = self._calls.setdefault(index, {"type": "function", "id": "", "function": {}})
        call["id"] = call["id"] or part.get("id") or ""
        known = call["function"]
        known["name"] = known.get("name") or function.get("name")
        arguments = function.get("arguments") or ""
        known["arguments"] = known.get("arguments", "") + arguments
        yield ToolCallDelta(index, part.get("id") or "", function.get("name") or "", arguments)

    def answer(self) -> Body:
        if not self._ended and self._finish_reason is None:
            raise nonsense(self._endpoint, "the answer ended in the middle")
        message = self._message
        if self._calls:
            message = message | {"tool_calls": [c for _, c in sorted(self._calls.items())]}
        choice = {"message": message, "finish_reason": self._finish_reason}
        return self._answer | {"choices": [choice]}
