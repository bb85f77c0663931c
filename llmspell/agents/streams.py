"""What becomes of a prompt, told to the spell while it happens.

The loop of an agent and the model it asks put events into a `Stream`; the spell takes them out
one by one. A spell that is slow holds up the model: its answer is not read on.
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

GROUP = 32  # pieces that are taken at once, at most
ROOM = 8  # groups that may wait for the spell before a model's answer is not read on

Event = dict[str, Value]

Piece = Value
"""A part of an answer: a text, or {reasoning}."""

_Group = list[Event | Piece]  # pieces become events when they are taken


class StreamStopped(Exception):
    """The spell wants no more of a stream."""


class Stream:
    """The events of one prompt, in groups.

    Pieces of an answer that come while others wait to be taken join their group, so that they cost
    less. Which ones did is remembered, as what the spell does next must not depend on timing.

    Attributes:
        pieces: What came so far of the answer to the current request, in its groups.
        stopped: Whether the spell wants no more.
    """

    def __init__(self, reader: str) -> None:
        """Make one for the task of the spell that has this path."""
        self._reader = reader
        self.pieces: list[list[Piece]] = []
        self.stopped = False
        self._groups: deque[_Group] = deque()
        self._open: _Group | None = None
        self._ended = self._told_end = False
        self._asked = 0
        self._news, self._space = asyncio.Event(), asyncio.Event()
        self._interrupt: Callable[[], None] | None = None

    def holds_up(self, path: str) -> bool:
        """Whether whoever takes the events waits for what is done at a path."""
        return is_within(path, self._reader)

    def put(self, *events: Event | Piece) -> None:
        """Add a group of events, or of pieces that nothing is added to."""
        self._open = None
        self._add(list(events))

    def begin_answer(self) -> None:
        """What comes next are pieces of another answer."""
        self.pieces, self._open = [], None

    def tell(self, piece: Piece) -> None:
        """Add a piece of an answer; who adds many waits for `room` when it `is_full`."""
        if self._open and len(self._open) < GROUP:
            self._open.append(piece)
        else:
            self._open = [piece]
            self.pieces.append(self._open)
            self._add(self._open)

    def catch_up(self, pieces: Iterable[list[Piece]]) -> None:
        """Add the pieces of an answer that came from elsewhere than a model just now."""
        if not self.pieces:
            self.pieces = list(pieces)
            for group in self.pieces:
                self.put(*group)

    def _add(self, group: _Group) -> None:
        if not self.stopped:
            self._groups.append(group)
            self._news.set()

    @property
    def is_full(self) -> bool:
        """Whether the spell has to take some of what waits for it before more is read."""
        return len(self._groups) >= ROOM

    async def room(self) -> None:
        """Wait until it has."""
        while self.is_full:
            self._space.clear()
            await self._space.wait()

    def take(self, *, text: bool = False) -> Answer[list[Value] | None]:
        """The next group, or None after the last; with `text`, the next pieces of text."""
        group = self._next(text)
        if group is None and self._ended:
            self._tell_end()
        return self._wait(text) if group is None and not self._ended else group

    async def _wait(self, text: bool) -> list[Value] | None:
        self._asked += 1
        try:
            while (group := self._next(text)) is None and not self._ended:
                self._space.set()
                self._news.clear()
                await self._news.wait()
        finally:
            self._asked -= 1
        if group is None:
            self._tell_end()
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

    def _tell_end(self) -> None:
        self._told_end = True
        self._space.set()

    async def wanted(self) -> None:
        """Wait until all was taken and more is asked for, or no more is wanted.

        Nothing is begun before that. So what is done for a spell that takes no more after a certain
        event does not depend on how fast it was. Raises StreamStopped.
        """
        while (self._groups or not self._asked) and not self.stopped:
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise StreamStopped

    async def end(self) -> None:
        """Say that nothing more comes, and wait until whoever takes the events knows.

        Raises StreamStopped.
        """
        self._ended = True
        self._news.set()
        while not (self._told_end or self.stopped):
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise StreamStopped

    def stop(self) -> None:
        """The spell wants no more: leave what goes on, and forget what it did not take."""
        self.stopped = self._ended = True
        self._groups.clear()
        self._open = None
        self._news.set()
        self._space.set()
        if self._interrupt:
            self._interrupt()

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it. Raises StreamStopped when the spell wants no more before that."""
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
    """The streams of a run, by the id that the spell's side gave them."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._prompts: dict[str, Stream] = {}

    def find(self, id: str) -> Stream:  # noqa: A002 - it is the id
        """The stream of that id, which may not have begun.

        The id is the path of the task that has the prompt done, a child of the one that reads.
        """
        stream = self._streams.get(id)
        if stream is None:
            stream = self._streams[id] = Stream(id.rpartition(".")[0])
        return stream

    def close(self, id: str) -> None:  # noqa: A002 - it is the id
        """Stop a stream, and forget it."""
        self.find(id).stop()
        del self._streams[id]

    @asynccontextmanager
    async def telling(self, id: str, prompt: str) -> AsyncIterator[Stream]:  # noqa: A002
        """The stream for the prompt at a path. An error is raised once all before it was taken."""
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

    def around(self, request: str) -> Stream | None:
        """The stream of the prompt that made the request at a path."""
        return self._prompts.get(request.rpartition("/")[0])


def _event(one: Event | Piece) -> Event:
    if not isinstance(one, dict):
        return {"type": "text", "text": one}
    return one if "type" in one else {"type": "reasoning", "text": one.get("reasoning")}
