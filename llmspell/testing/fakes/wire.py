"""An answer as sent: a status, headers, and steps of bytes and pauses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from llmspell.providers.strict_json import write_json


class Pause(NamedTuple):
    """A pause in the middle of an answer; an endless one ends when the client hangs up."""

    seconds: float = math.inf


class Drop(NamedTuple):
    """A lost connection."""


Step: TypeAlias = bytes | Pause | Drop


@dataclass(frozen=True)
class Wire:
    """An answer as sent to the client.

    Attributes:
        length: The Content-Length header; None for a chunked answer.
        status: The HTTP status; None to close the connection without an answer.
        before: Seconds until the status is sent.
    """

    steps: tuple[Step, ...]
    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    before: float = 0.0

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> Wire:
        """Create a complete answer of JSON; `_` in header names stands for `-`."""
        return cls.whole(write_json(value).encode(), "application/json", status, **headers)

    @classmethod
    def whole(cls, body: bytes, content_type: str, status: int = 200, **headers: str) -> Wire:
        """Create a complete answer with a Content-Length."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls((body,), status, {"content-type": content_type} | named, len(body))

    @classmethod
    def stream(cls, events: list[bytes]) -> Wire:
        """Create a stream of server-sent events, one per step."""
        return cls(tuple(events), headers={"content-type": "text/event-stream; charset=utf-8"})

    @property
    def body(self) -> bytes:
        return b"".join([step for step in self.steps if isinstance(step, bytes)])

    @property
    def streams(self) -> bool:
        return self.length is None

    def split(self, after: float) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """Split the steps at a place: see `llmspell.testing.fakes.faults`."""
        if isinstance(after, int):
            return self.steps[:after], self.steps[after:]
        left = int(len(self.body) * after)
        before: list[Step] = []
        steps = list(self.steps)
        while steps and left > 0:
            step = steps.pop(0)
            if isinstance(step, bytes):
                if len(step) > left:
                    step, rest = step[:left], step[left:]
                    steps.insert(0, rest)
                left -= len(step)
            before.append(step)
        return tuple(before), tuple(steps)

    def with_steps(self, *steps: Step) -> Wire:
        return replace(self, steps=steps)


def sse(data: object, event: str | None = None) -> bytes:
    """Encode a server-sent event; data that is not text is written as JSON."""
    text = data if isinstance(data, str) else write_json(data)
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {text}\n\n".encode()


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
