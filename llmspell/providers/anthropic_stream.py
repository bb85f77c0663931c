"""Assembles streamed responses of Anthropic's Messages API.

Source of the format: `anthropic.types.raw_message_stream_event` of the official Python SDK, and how
`anthropic.lib.streaming` accumulates the events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import piece_of, string
from llmspell.providers.anthropic_answer import check_error
from llmspell.providers.chunk_template import ChunkTemplate
from llmspell.providers.failures import malformed_answer
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.server_events import ServerEvent

_NO_NEWS = ("ping", "content_block_stop")


class MessageAssembly:
    """See `Assembly`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._message: Body = {}
        self._blocks: dict[int, _Block] = {}
        self._latest: _Block | None = None
        self._calls = 0
        self.ended = False

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        if event.name in _NO_NEWS:
            return ()
        if self._latest and (text := self._latest.template.text(event.data)) is not None:
            return self._latest.add_text(text)
        data = piece_of(event.data, self._endpoint)
        kind = data.get("type")
        if kind == "content_block_delta":
            block = self._open_block(data)
            if (text := _text_alone(data)) is not None:
                block.template.learn(event.data, text)
            return block.add(_table(data, "delta"))
        if kind == "content_block_start":
            return self._begin(data.get("index"), _table(data, "content_block"))
        if kind == "message_start":
            self._message = dict(_table(data, "message"))
        elif kind == "message_delta":
            self._change(data)
        elif kind == "message_stop":
            self.ended = True
        else:
            check_error(data, self._endpoint)
        return ()

    def _begin(self, index: Any, body: Body) -> Iterable[Delta]:
        if not isinstance(index, int):
            index = len(self._blocks)
        called = body.get("type") == "tool_use"
        self._latest = self._blocks[index] = _Block(body, self._calls if called else None)
        if not called:
            return _begun(body)
        number, self._calls = self._calls, self._calls + 1
        whole = write_json(body["input"]) if body.get("input") else ""
        return (ToolCallDelta(number, string(body.get("id")), string(body.get("name")), whole),)

    def _open_block(self, data: Body) -> _Block:
        index = data.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            raise malformed_answer(
                self._endpoint, "a piece of the answer belongs to none of its blocks"
            )
        return block

    def _change(self, data: Body) -> None:
        """Merge a `message_delta` event; its usage counts are cumulative."""
        others = {n: v for n, v in data.items() if n not in ("type", "delta", "usage")}
        usage = {n: v for n, v in _table(data, "usage").items() if v is not None}
        self._message |= others | _table(data, "delta")
        self._message["usage"] = _table(self._message, "usage") | usage

    def answer(self) -> Body:
        ended = self.ended or self._message.get("stop_reason") is not None
        if not self._message or not ended:
            raise malformed_answer(self._endpoint, "the answer was cut off")
        content = [block.whole() for _, block in sorted(self._blocks.items())]
        return self._message | {"content": content}


class _Block:
    """A content block still being streamed; `call` is its index among the tool calls.

    Attributes:
        template: Matches events that only add text to it.
    """

    def __init__(self, body: Body, call: int | None) -> None:
        self.template = ChunkTemplate("text", _text_alone)
        self._body = dict(body)
        self._call = call
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: Body) -> Iterable[Delta]:
        kind = delta.get("type")
        if kind == "text_delta":
            return self.add_text(delta.get("text"))
        if kind == "thinking_delta":
            return (ReasoningDelta(self._more("thinking", delta.get("thinking"))),)
        if kind == "input_json_delta":
            text = self._more("input", delta.get("partial_json"))
            if self._call is None or not text:
                return ()
            return (ToolCallDelta(self._call, arguments=text),)
        if kind == "citations_delta":
            cited = self._body.get("citations") or []
            self._body["citations"] = [*cited, delta.get("citation")]
            return ()
        for name, value in delta.items():
            if isinstance(value, str) and name != "type":
                self._more(name, value)
        return ()

    def add_text(self, text: Any) -> Iterable[Delta]:
        return (TextDelta(self._more("text", text)),)

    def _more(self, name: str, text: Any) -> str:
        piece = string(text)
        self._pieces.setdefault(name, []).append(piece)
        return piece

    def whole(self) -> Body:
        body = self._body
        for name, pieces in self._pieces.items():
            text = "".join(pieces)
            if name == "input":  # it may have come complete in the first event, without deltas
                body[name] = _parsed(text) if text else body.get(name)
            else:
                body[name] = string(body.get(name)) + text
        return body


def _text_alone(event: Body) -> str | None:
    """Return the text of an event that has nothing else to say, or None."""
    match event:
        case {"type": "content_block_delta", "index": int(), "delta": dict(delta), **more}:
            match delta:
                case {"type": "text_delta", "text": str(text), **others} if not (more or others):
                    return text
    return None


def _begun(body: Body) -> Iterable[Delta]:
    """Return what a block that is not a call already has at its start; usually that is nothing."""
    kind = body.get("type")
    if kind == "text" and (text := string(body.get("text"))):
        return (TextDelta(text),)
    if kind == "thinking" and (thought := string(body.get("thinking"))):
        return (ReasoningDelta(thought),)
    return ()


def _parsed(text: str) -> Any:
    """Parse the arguments; return invalid JSON as text, for the response parser to report."""
    try:
        return read_json(text)
    except ValueError:
        return text


def _table(data: Body, name: str) -> Body:
    value = data.get(name)
    return value if isinstance(value, dict) else {}
