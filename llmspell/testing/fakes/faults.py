"""What goes wrong with a model's server, each as an answer a `FakeServer` can give.

Most take the reply they spoil: a text, a call, a list of both, an `Answer` or another fault. Where
one begins is told by `after`: an integer counts the events of a stream (an answer that is no
stream is one), a fraction is a share of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from llmspell.providers.messages import ToolCall, Unknown
from llmspell.testing.fakes.answers import Answer, Part
from llmspell.testing.fakes.dialect import Dialect
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.wire import Drop, Pause, Wire, in_pieces, sse


@dataclass(frozen=True)
class Fault:
    """An answer that goes wrong: `wire` makes it for a request."""

    wire: Callable[[Dialect, Received], Wire]


Said: TypeAlias = Part | list[Part] | Answer | Fault | Wire
"""One reply of a script; a `Wire` goes out as it is."""


def wire_of(said: Said, dialect: Dialect, request: Received) -> Wire:
    """The reply as it goes over the wire, streamed if that was asked for."""
    if isinstance(said, Wire):
        return said
    if isinstance(said, Fault):
        return said.wire(dialect, request)
    if not isinstance(said, Answer):
        said = Answer(*said) if isinstance(said, list) else Answer(said)
    if dialect.streams(request):
        return Wire.stream(dialect.events(said, request))
    return Wire.json(dialect.body(said, request))


def _spoiled(said: Said, spoil: Callable[[Wire], Wire]) -> Fault:
    return Fault(lambda dialect, request: spoil(wire_of(said, dialect, request)))


def _parts(said: Said) -> list[Part]:
    if isinstance(said, list):
        return said
    if isinstance(said, (Answer, Fault, Wire)):
        raise TypeError("only what a model says can be left unstreamed")
    return [said]


def refused(
    status: int,
    message: str = "the fake server was told to refuse",
    *,
    code: str | None = None,
    retry_after: float | str | None = None,
    **headers: str,
) -> Fault:
    """An error of that HTTP status; `_` in the names of headers stands for `-`."""
    if retry_after is not None:
        headers["retry_after"] = str(retry_after)
    return Fault(
        lambda dialect, _: Wire.json(dialect.error(status, message, code), status, **headers)
    )


def slow(seconds: float, said: Said = "Hello.") -> Fault:
    """Nothing is heard for a while, then all of it."""
    return _spoiled(said, lambda wire: replace(wire, before=wire.before + seconds))


def stalled(said: Said = "Hello.", *, after: float = 0.5, seconds: float = math.inf) -> Fault:
    """The answer stops; it goes on after that time, if ever."""

    def spoil(wire: Wire) -> Wire:
        before, rest = wire.split(after)
        return wire.with_steps(*before, Pause(seconds), *rest)

    return _spoiled(said, spoil)


def cut_off(said: Said = "Hello.", *, after: float = 0.5) -> Fault:
    """The answer ends in order, and too early: half of a JSON text, a stream without its end."""

    def spoil(wire: Wire) -> Wire:
        cut = wire.with_steps(*wire.split(after)[0])
        return cut if cut.streams else replace(cut, length=len(cut.body))

    return _spoiled(said, spoil)


def dropped(said: Said = "Hello.", *, after: float | None = None) -> Fault:
    """The connection is lost: before a word of the answer, or in the middle of it."""

    def spoil(wire: Wire) -> Wire:
        if after is None:
            return replace(wire, status=None, steps=())
        return wire.with_steps(*wire.split(after)[0], Drop())

    return _spoiled(said, spoil)


def trickled(said: Said = "Hello.", *, size: int = 1, every: float = 0.0) -> Fault:
    """The answer comes in bits of so many bytes, with so many seconds in between."""

    def spoil(wire: Wire) -> Wire:
        bits = in_pieces(wire.body, size)
        return wire.with_steps(*(step for bit in bits for step in (bit, Pause(every))))

    return _spoiled(said, spoil)


def page(
    body: str = "<html><body>Welcome to nginx</body></html>",
    content_type: str = "text/html; charset=utf-8",
    status: int = 200,
) -> Fault:
    """Something of another type, such as the page of a proxy."""
    return Fault(lambda _dialect, _request: Wire.whole(body.encode(), content_type, status))


def not_streamed(said: Said = "Hello.") -> Fault:
    """A whole answer, also where a stream was asked for."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        answer = said if isinstance(said, Answer) else Answer(*_parts(said))
        return Wire.json(dialect.body(answer, request))

    return Fault(wire)


def breaking_inside(
    said: Said = "Hello.", *, after: float = 2, status: int = 503, message: str = "no GPU is free"
) -> Fault:
    """An error within an answer whose status was 200: an event in a stream, or in place of it."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        begun = wire_of(said, dialect, request)
        if not begun.streams:
            return Wire.json(dialect.error(status, message))
        return begun.with_steps(*begun.split(after)[0], dialect.error_event(status, message))

    return Fault(wire)


def invalid_sse(said: Said = "Hello.", *, after: int = 2) -> Fault:
    """An event in the stream whose data is not JSON. An answer that is no stream is not JSON."""

    def spoil(wire: Wire) -> Wire:
        if not wire.streams:
            return Wire.whole(b'{"oops', "application/json")
        before, rest = wire.split(after)
        return wire.with_steps(*before, sse('{"oops'), *rest)

    return _spoiled(said, spoil)


def odd_sse(said: Said = "Hello.") -> Fault:
    """A stream as the standard allows it and few write it, in bits of seven bytes.

    Comments, lines that end in CR LF, fields `id` and `retry`, no space after the colon. Source:
    the HTML standard, section 9.2.6.
    """

    def spoil(plain: Wire) -> Wire:
        if not plain.streams:
            return plain
        whole = b": ready\r\n\r\n"
        for number, step in enumerate(plain.steps):
            event = step if isinstance(step, bytes) else b""
            written = event.replace(b"data: ", b"data:").replace(b"\n", b"\r\n")
            whole += f"id: {number}\r\nretry: 500\r\n".encode() + written + b": keep-alive\n\n"
        return plain.with_steps(*in_pieces(whole, 7))

    return _spoiled(said, spoil)


def unknown_event(said: Said = "Hello.", *, after: int = 2) -> Fault:
    """An event of a kind no client knows in the stream."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        plain = wire_of(said, dialect, request)
        if not plain.streams:
            return plain
        before, rest = plain.split(after)
        return plain.with_steps(*before, dialect.unknown_event(), *rest)

    return Fault(wire)


def unknown_block(*said: Part) -> Fault:
    """An answer with a part of a kind no client knows, before what is said."""
    blocks: dict[str, dict[str, object]] = {
        "openai": {"hologram": {"beam": 1}},
        "openai-responses": {"type": "hologram", "id": "holo_1", "beam": 1},
        "anthropic": {"type": "hologram", "beam": 1},
        "gemini": {"hologram": {"beam": 1}},
    }

    def wire(dialect: Dialect, request: Received) -> Wire:
        block = Unknown(dict(blocks[dialect.name]))
        return wire_of(Answer(block, *(said or ("Hello.",))), dialect, request)

    return Fault(wire)


def huge(size: int = 10_000_000) -> Fault:
    """A text of so many characters."""
    return Fault(lambda dialect, request: wire_of(Answer("x" * size), dialect, request))


FAULTS: dict[str, Said] = {
    "401": refused(401, "Incorrect API key provided."),
    "403": refused(403, "You may not use this model."),
    "404": refused(404, "There is no such model."),
    "429": refused(429, "Slow down."),
    "429 with Retry-After": refused(429, "Slow down.", retry_after=2),
    "500": refused(500, "out of memory"),
    "503": refused(503, "overloaded"),
    "slow first byte": slow(3600),
    "stall in the answer": stalled(),
    "truncated JSON": cut_off(),
    "stream without its end": cut_off(after=3),
    "invalid SSE": invalid_sse(),
    "odd SSE": odd_sse(),
    "wrong content type": page(),
    "not streamed": not_streamed(),
    "dropped before the answer": dropped(),
    "dropped in the answer": dropped(after=0.5),
    "error in the answer": breaking_inside(),
    "no choices": Answer(),
    "unknown finish reason": Answer("Hello.", finish_reason="tired"),
    "unknown block": unknown_block(),
    "unknown event": unknown_event(),
    "broken tool arguments": ToolCall("call_1", "weather", raw='{"city": "Os'),
    "duplicate ids": [
        ToolCall("call_1", "weather", {"city": "Oslo"}),
        ToolCall("call_1", "weather", {"city": "Rome"}),
    ],
    "10 MB": huge(),
    "trickling bytes": trickled(),
}
"""Everything that goes wrong, by name: for tests that go through all of it."""
