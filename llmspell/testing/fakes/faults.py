"""Faults of a model's server, as answers a `FakeServer` can give.

Most take the reply they apply to: a text, a call, a list of both, an `Answer` or another fault.
`after` says where the fault begins: an integer counts the events of a stream (an answer that is not
streamed is one event), a fraction is a share of its bytes.
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
    """A faulty answer; `wire` creates it for a request."""

    wire: Callable[[Dialect, Received], Wire]


Said: TypeAlias = Part | list[Part] | Answer | Fault | Wire
"""One reply of a script; a `Wire` is sent as it is."""


def wire_of(said: Said, dialect: Dialect, request: Received) -> Wire:
    """Convert a reply to what is sent, streamed if the request asks for that."""
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
    """An error with an HTTP status; `_` in header names stands for `-`."""
    if retry_after is not None:
        headers["retry_after"] = str(retry_after)
    return Fault(
        lambda dialect, _: Wire.json(dialect.error(status, message, code), status, **headers)
    )


def slow(seconds: float, said: Said = "Hello.") -> Fault:
    """The whole answer, after a delay."""
    return _spoiled(said, lambda wire: replace(wire, before=wire.before + seconds))


def stalled(said: Said = "Hello.", *, after: float = 0.5, seconds: float = math.inf) -> Fault:
    """An answer that stalls, and continues after `seconds`, if ever."""

    def spoil(wire: Wire) -> Wire:
        before, rest = wire.split(after)
        return wire.with_steps(*before, Pause(seconds), *rest)

    return _spoiled(said, spoil)


def cut_off(said: Said = "Hello.", *, after: float = 0.5) -> Fault:
    """A truncated answer on an orderly closed connection: half of a JSON text or of a stream."""

    def spoil(wire: Wire) -> Wire:
        cut = wire.with_steps(*wire.split(after)[0])
        return cut if cut.streams else replace(cut, length=len(cut.body))

    return _spoiled(said, spoil)


def dropped(said: Said = "Hello.", *, after: float | None = None) -> Fault:
    """A lost connection, before the answer or in the middle of it."""

    def spoil(wire: Wire) -> Wire:
        if after is None:
            return replace(wire, status=None, steps=())
        return wire.with_steps(*wire.split(after)[0], Drop())

    return _spoiled(said, spoil)


def trickled(said: Said = "Hello.", *, size: int = 1, every: float = 0.0) -> Fault:
    """An answer in pieces of `size` bytes, with pauses of `every` seconds."""

    def spoil(wire: Wire) -> Wire:
        bits = in_pieces(wire.body, size)
        return wire.with_steps(*(step for bit in bits for step in (bit, Pause(every))))

    return _spoiled(said, spoil)


def page(
    body: str = "<html><body>Welcome to nginx</body></html>",
    content_type: str = "text/html; charset=utf-8",
    status: int = 200,
) -> Fault:
    """A response of another type, such as a proxy's error page."""
    return Fault(lambda _dialect, _request: Wire.whole(body.encode(), content_type, status))


def not_streamed(said: Said = "Hello.") -> Fault:
    """An answer that is not streamed, even if the request asks for a stream."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        answer = said if isinstance(said, Answer) else Answer(*_parts(said))
        return Wire.json(dialect.body(answer, request))

    return Fault(wire)


def breaking_inside(
    said: Said = "Hello.", *, after: float = 2, status: int = 503, message: str = "no GPU is free"
) -> Fault:
    """An error in an answer with status 200: an event in a stream, or the whole body."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        begun = wire_of(said, dialect, request)
        if not begun.streams:
            return Wire.json(dialect.error(status, message))
        return begun.with_steps(*begun.split(after)[0], dialect.error_event(status, message))

    return Fault(wire)


def invalid_sse(said: Said = "Hello.", *, after: int = 2) -> Fault:
    """A stream with an event that is not JSON; or an answer that is not JSON, if not streamed."""

    def spoil(wire: Wire) -> Wire:
        if not wire.streams:
            return Wire.whole(b'{"oops', "application/json")
        before, rest = wire.split(after)
        return wire.with_steps(*before, sse('{"oops'), *rest)

    return _spoiled(said, spoil)


def odd_sse(said: Said = "Hello.") -> Fault:
    """A stream that uses rare features of the standard, in pieces of seven bytes.

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
    """A stream with an event of a type that no client knows."""

    def wire(dialect: Dialect, request: Received) -> Wire:
        plain = wire_of(said, dialect, request)
        if not plain.streams:
            return plain
        before, rest = plain.split(after)
        return plain.with_steps(*before, dialect.unknown_event(), *rest)

    return Fault(wire)


def unknown_block(*said: Part) -> Fault:
    """An answer that begins with a part of a type that no client knows."""
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
    """An answer of `size` characters."""
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
"""All faults by name, for tests that go through them."""
