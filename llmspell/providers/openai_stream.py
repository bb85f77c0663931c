"""Assembles streamed chat completions.

Source of the format: `openai.types.chat.chat_completion_chunk` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import piece_of, string
from llmspell.providers.chunk_template import ChunkTemplate
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.openai_answer import REASONING, thought_in
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.server_events import ServerEvent

_END = "[DONE]"


class ChatAssembly:
    """See `Assembly`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._answer: Body = {}
        self._texts: list[str] = []
        self._parts: list[Any] = []
        self._message: Body = {}
        self._calls = _Calls()
        self._template = ChunkTemplate("content", _text_alone)
        self._finish_reason: Any = None
        self._begun = self.ended = False

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        if event.data == _END:
            self.ended = True
            return ()
        text = self._template.text(event.data)
        if text is not None:
            return self._add_text(text)
        chunk = piece_of(event.data, self._endpoint)
        self._note(chunk)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):
            return ()
        self._begun = True
        if choice.get("error"):
            raise failed_inside(self._endpoint, choice["error"])
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta") or choice.get("message")  # some send it all at once
        if not isinstance(delta, dict):
            return ()
        text = _text_alone(chunk)
        if text is not None:
            self._template.learn(event.data, text)
        return self._add(delta)

    def _add_text(self, text: str) -> tuple[Delta, ...]:
        self._texts.append(text)
        return (TextDelta(text),) if text else ()

    def answer(self) -> Body:
        if not self.ended and self._finish_reason is None:
            raise malformed_answer(self._endpoint, "the answer was cut off")
        if not self._begun:
            raise malformed_answer(self._endpoint, "the answer has no choices")
        message = dict(self._message)
        message["content"] = "".join(self._texts)
        if self._parts:
            self._end_text()
            message["content"] = self._parts
        if self._calls.begun:
            message["tool_calls"] = self._calls.begun
        choice = {"message": message, "finish_reason": self._finish_reason}
        return self._answer | {"choices": [choice]}

    def _note(self, chunk: Body) -> None:
        """Note a chunk's usage, id and model. Raises ProviderError if it reports an error."""
        if isinstance(groq := chunk.get("x_groq"), dict):
            chunk = groq | {name: value for name, value in chunk.items() if value}
        if error := chunk.get("error"):
            raise failed_inside(self._endpoint, error)
        if usage := chunk.get("usage"):
            self._answer["usage"] = usage
        if "id" not in self._answer:
            self._answer |= {name: chunk[name] for name in ("id", "model") if chunk.get(name)}

    def _add(self, delta: Body) -> Iterable[Delta]:
        deltas: list[Delta] = []
        shown = False
        for name, value in delta.items():
            if value is None or name == "role":
                continue
            if name == "tool_calls":
                deltas += self._calls.add(value if isinstance(value, list) else [value])
            elif name == "content" and isinstance(value, str):
                deltas += self._add_text(value)
            elif name == "content":
                deltas += self._add_parts(value)
            else:
                self._message[name] = _merged(self._message.get(name), value)
                if name in REASONING and value and isinstance(value, str) and not shown:
                    deltas.append(ReasoningDelta(value))
                    shown = True  # some servers send it in both fields
        return deltas

    def _add_parts(self, parts: Any) -> Iterable[Delta]:
        """Add content in Mistral's form: a list of parts if it is more than text."""
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict):
                continue
            kind = part.get("type")
            if kind == "text":
                text = string(part.get("text"))
                self._texts.append(text)
                yield TextDelta(text)
                continue
            if kind == "thinking":
                yield ReasoningDelta(thought_in(part))
            self._end_text()
            last = self._parts[-1] if self._parts else {}
            if kind == "thinking" and last.get("type") == kind:
                self._parts[-1] = _merged(last, part)
            else:
                self._parts.append(part)

    def _end_text(self) -> None:
        """Turn the text since the last part into a part."""
        if text := "".join(self._texts):
            self._parts.append({"type": "text", "text": text})
        self._texts = []


def _text_alone(chunk: Body) -> str | None:
    """Return the text of a chunk that has nothing else to say, or None."""
    match chunk.get("choices"):
        case [{"delta": {"content": str(text), **more}, **choice}, *_] if not more:
            others = (chunk.get("usage"), chunk.get("error"), chunk.get("x_groq"), *choice.values())
            return None if any(others) else text
    return None


class _Calls:
    """Assembles the tool calls of an answer, each sent whole or in parts.

    Attributes:
        begun: The calls so far.
    """

    def __init__(self) -> None:
        self.begun: list[Body] = []
        self._places: dict[Any, int] = {}

    def add(self, parts: list[Any]) -> Iterable[Delta]:
        for part in parts:
            if not isinstance(part, dict):
                continue
            function = part.get("function")
            function = function if isinstance(function, dict) else {}
            id_, name = string(part.get("id")), string(function.get("name"))
            arguments = function.get("arguments")
            if arguments is None:
                arguments = ""
            elif not isinstance(arguments, str):
                arguments = write_json(arguments)
            place = self._place(
                part.get("index"), id_, "" if self._repeats_id(id_, arguments) else name
            )
            call = self.begun[place]
            call["id"] = call["id"] or id_
            call["function"]["name"] = call["function"]["name"] or name
            call["function"]["arguments"] += arguments
            yield ToolCallDelta(place, id_, name, arguments)

    def _repeats_id(self, id_: str, more: str) -> bool:
        """Whether a part merely repeats the id of an earlier call."""
        return bool(id_) and not more and any(call["id"] == id_ for call in self.begun)

    def _place(self, index: Any, id_: str, name: str) -> int:
        """Return the index of a part's call; some servers send no index, or 0 for every call."""
        if not isinstance(index, int):
            index = None
        place = self._places.get(index) if index is not None else len(self.begun) - 1
        if place is None or place < 0 or _another(self.begun[place], id_, name):
            place = len(self.begun)
            function = {"name": "", "arguments": ""}
            self.begun.append({"id": "", "type": "function", "function": function})
            if index is not None:
                self._places[index] = place
        return place


def _another(call: Body, id_: str, name: str) -> bool:
    """Whether a part with this id and name begins a new call rather than continues `call`."""
    function = call["function"]
    if not name or not function["name"]:
        return False
    if id_ and call["id"] and id_ != call["id"]:
        return True
    try:
        return isinstance(read_json(function["arguments"]), dict)
    except ValueError:
        return False  # its arguments are incomplete, so the name is just repeated


def _merged(before: Any, more: Any) -> Any:
    """Merge two deltas: strings are concatenated, objects merged by field, lists by `index`."""
    if before is None:
        return more
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    if isinstance(before, list) and isinstance(more, list):
        return _merged_lists(before, more)
    if isinstance(before, dict) and isinstance(more, dict):
        names = {**before, **more}
        return {n: _merged_field(n, before.get(n), more.get(n)) for n in names}
    return more


_LABELS = {"type", "id", "index", "format", "role", "name"}


def _merged_field(name: str, before: Any, more: Any) -> Any:
    if more is None:
        return before
    return more if name in _LABELS else _merged(before, more)


def _merged_lists(before: list[Any], more: list[Any]) -> list[Any]:
    """Merge two lists: an entry continues the last one if type and `index` are the same.

    Without an index, only text entries continue.
    """
    merged = list(before)
    for entry in more:
        last = merged[-1] if merged else None
        if _continues(last, entry):
            merged[-1] = _merged(last, entry)
        else:
            merged.append(entry)
    return merged


def _continues(last: Any, entry: Any) -> bool:
    if not isinstance(last, dict) or not isinstance(entry, dict):
        return False
    if last.get("type") != entry.get("type") or last.get("index") != entry.get("index"):
        return False
    return "index" in entry or "text" in entry
