"""Parses `text/event-stream` as the HTML standard specifies it, in batches as data arrives."""

from __future__ import annotations

import codecs
import io
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """A server-sent event."""

    data: str
    name: str = "message"


class EventReader:
    """Parses the events of one stream; an incomplete event at its end is dropped.

    Attributes:
        pending: Number of characters of the incomplete event so far.
    """

    def __init__(self) -> None:
        utf_8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = io.IncrementalNewlineDecoder(utf_8, translate=True)
        self._parts: list[str] = []  # of the incomplete event
        self._line_end = ""  # held back, as a second one would end the event
        self.pending = 0

    def feed(self, data: bytes, *, final: bool = False) -> list[ServerEvent]:
        """Return the events that end in these bytes; `final` says that no more bytes follow."""
        first, *others = (self._line_end + self._text.decode(data, final)).split("\n\n")
        if not others:
            self._keep(first)
            return []
        blocks = ["".join([*self._parts, first]), *others]
        self._parts, self.pending = [], 0
        self._keep(blocks.pop())
        return [event for event in map(_event, blocks) if event]

    def _keep(self, text: str) -> None:
        self._line_end = "\n" if text.endswith("\n") else ""
        self._parts.append(text.removesuffix("\n"))
        self.pending += len(text)


def _event(block: str) -> ServerEvent | None:
    """Parse the lines of an event; None if it has no data."""
    if block.startswith("data: ") and "\n" not in block:  # the fast path
        return ServerEvent(block[6:])
    name, data = "", []
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    return ServerEvent("\n".join(data), name or "message") if data else None
