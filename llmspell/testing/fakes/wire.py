"""An answer as it goes over the wire: a status, headers, and steps of bytes and silence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from llmspell.providers.strict_json import write_json


class Pause(NamedTuple):
    """Silence in the middle of an answer; an endless one ends when the client hangs up."""

    seconds: float = math.inf


class Drop(NamedTuple):
    """The connection is lost."""


Step: TypeAlias = bytes | Pause | Drop


@dataclass(frozen=True)
class Wire:
    """What a client gets to see.

    Attributes:
        length: What the header Content-Length says; None for an answer sent in chunks.
        status: None when the connection is closed without a word.
        before: Seconds until the status is sent.
    """

    steps: tuple[Step, ...]
    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    before: float = 0.0

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> Wire:
        """A whole answer of JSON; `_` in the names of headers stands for `-`."""
        return cls.whole(write_json(value).encode(), "application/json", status, **headers)

    @classmethod
    def whole(cls, body: bytes, content_type: str, status: int = 200, **headers: str) -> Wire:
        """An answer that says how long it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls((body,), status, {"content-type": content_type} | named, len(body))

    @classmethod
    def stream(cls, events: list[bytes]) -> Wire:
        """Server-sent events, one a step."""
        return cls(tuple(events), headers={"content-type": "text/event-stream; charset=utf-8"})

    @property
    def body(self) -> bytes:
        return b"".join([step for step in self.steps if isinstance(step, bytes)])

    @property
    def streams(self) -> bool:
        return self.length is None

    def split(self, after: float) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """The steps before and after a place: see `llmspell.testing.fakes.faults`."""
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
    """One server-sent event; data that is no text is written as JSON."""
    text = data if isinstance(data, str) else write_json(data)
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {text}\n\n".encode()


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
