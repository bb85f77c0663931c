"""Streams the events of a prompt to the spell.

The agent loop and the model put events into a `Stream`, and the spell takes them out one by one.
There is back-pressure: while the spell is slow, no more of the model's answer is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from llmspell.concurrency import Answer
from llmspell.effect_paths import is_within
from llmspell.errors import EffectError
from llmspell.values import Value

T = TypeVar("T")

GROUP = 64  # pieces per group
ROOM = 4  # groups that may be queued before reading the model's answer pauses

Event = dict[str, Value]

Piece = Value
"""A part of an answer: a text, or {reasoning}."""

_Group = list[Event | Piece]  # pieces become events when they are taken


class StreamStopped(Exception):
    """The spell has stopped reading a stream."""


class Stream:
    """The queue of one prompt's events, in groups.

    Pieces of an answer that arrive while others are queued join their group, which is cheaper. The
    grouping is recorded, since a replay must not depend on timing.

    Attributes:
        pieces: The answer to the current request so far, in groups of pieces.
        stopped: Whether the spell has stopped reading.
    """

    def __init__(self, reader: str) -> None:
        """Create a stream read by the task with the path `reader`."""
        self._reader = reader
        self.pieces: list[list[Piece]] = []
        self.stopped = False
        self._groups: deque[_Group] = deque()
        self._open: _Group | None = None
        self._ended = self._end_delivered = False
        self._waiting_readers = 0
        self._arrival, self._space = asyncio.Event(), asyncio.Event()
        self._interrupt: Callable[[], None] | None = None

    def holds_up(self, path: str) -> bool:
        """Whether the stream's reader waits for an effect at this path."""
        return is_within(path, self._reader)

    def put(self, *events: Event | Piece) -> None:
        """Add a complete group of events or pieces."""
        self._open = None
        self._add(list(events))

    def begin_answer(self) -> None:
        """Start a new answer: the pieces that follow belong to it."""
        self.pieces, self._open = [], None

    def push(self, piece: Piece) -> None:
        """Add a piece of an answer; when the stream `is_full`, the caller should `wait_for_room`."""
        if self._open and len(self._open) < GROUP:
            self._open.append(piece)
        else:
            self._open = [piece]
            self.pieces.append(self._open)
            self._add(self._open)

    def catch_up(self, pieces: Iterable[list[Piece]]) -> None:
        """Add the pieces of an answer that was not streamed live, such as a replayed one."""
        if not self.pieces:
            self.pieces = list(pieces)
            for group in self.pieces:
                self.put(*group)

    def delivered(self) -> list[list[Piece]]:
        """Return the groups of the current answer that the spell has taken."""
        return self.pieces[: len(self.pieces) - len(self._groups)]

    def _add(self, group: _Group) -> None:
        if not self.stopped:
            self._groups.append(group)
            self._arrival.set()

    @property
    def is_full(self) -> bool:
        """Whether the spell has to take some events before more should be added."""
        return len(self._groups) >= ROOM

    async def wait_for_room(self) -> None:
        """Wait until the stream is no longer full."""
        while self.is_full:
            self._space.clear()
            await self._space.wait()

    def take(self, *, text: bool = False) -> Answer[list[Value] | None]:
        """Return the next group, or None at the end; with `text`, only its pieces of text."""
        group = self._next(text)
        if group is None and self._ended:
            self._deliver_end()
        return self._wait(text) if group is None and not self._ended else group

    async def _wait(self, text: bool) -> list[Value] | None:
        self._waiting_readers += 1
        try:
            while (group := self._next(text)) is None and not self._ended:
                self._space.set()
                self._arrival.clear()
                await self._arrival.wait()
        finally:
            self._waiting_readers -= 1
        if group is None:
            self._deliver_end()
        return group

    def _next(self, text: bool) -> list[Value] | None:
        while self._groups:
            group = self._groups.popleft()
            if group is self._open:
                self._open = None
            self._space.set()
            if not text:
                return list(map(_event, group))
            if texts := [one for one in group if not isinstance(one, dict)]:
                return texts
        return None

    def _deliver_end(self) -> None:
        self._end_delivered = True
        self._space.set()

    async def wait_for_demand(self) -> None:
        """Wait until the spell has taken all events and asks for more, or stops reading.

        No request or tool call starts before that. So what has been done when a spell stops after
        a certain event does not depend on timing. Raises StreamStopped.
        """
        while (self._groups or not self._waiting_readers) and not self.stopped:
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise StreamStopped

    async def end(self) -> None:
        """Mark the end, and wait until the reader has seen it. Raises StreamStopped."""
        self._ended = True
        self._arrival.set()
        while not (self._end_delivered or self.stopped):
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise StreamStopped

    def stop(self) -> None:
        """Stop on behalf of the spell: cancel work in progress, and drop queued events."""
        self.stopped = self._ended = True
        self._groups.clear()
        self._open = None
        self._arrival.set()
        self._space.set()
        if self._interrupt:
            self._interrupt()

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, cancelling it when the spell stops reading. Raises StreamStopped."""
        from anyio import CancelScope

        if self.stopped:
            work.close()
            raise StreamStopped
        with CancelScope() as scope:
            self._interrupt = scope.cancel
            try:
                return await work
            finally:
                self._interrupt = None
        raise StreamStopped


class Streams:
    """The streams of a run, by the id that Lua gave them."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._prompts: dict[str, Stream] = {}

    def find(self, id: str) -> Stream:  # noqa: A002 - the natural name
        """Return the stream of that id, created if it does not exist yet.

        The id is the path of the task that runs the prompt, a child of the one that reads.
        """
        stream = self._streams.get(id)
        if stream is None:
            stream = self._streams[id] = Stream(id.rpartition(".")[0])
        return stream

    def close(self, id: str) -> None:  # noqa: A002 - the natural name
        """Stop a stream and remove it."""
        self.find(id).stop()
        del self._streams[id]

    @asynccontextmanager
    async def open(self, id: str, prompt: str) -> AsyncIterator[Stream]:  # noqa: A002
        """Yield the stream for the prompt at a path, and close it afterwards.

        An error is raised only once the spell has taken all events before it.
        """
        stream = self._prompts[prompt] = self.find(id)
        try:
            yield stream
        except EffectError:
            with suppress(StreamStopped):
                await stream.end()
            raise
        finally:
            del self._prompts[prompt]
            self.close(id)

    def of_request(self, request: str) -> Stream | None:
        """Return the stream of the prompt that made the request at this path, if any."""
        return self._prompts.get(request.rpartition("/")[0])


def _event(one: Event | Piece) -> Event:
    if not isinstance(one, dict):
        return {"type": "text", "text": one}
    return one if "type" in one else {"type": "reasoning", "text": one.get("reasoning")}
