"""What becomes of a prompt, told to the spell while it happens.

The loop of an agent and the model it asks put events into a `Stream`; the spell takes them out
one by one. A spell that is slow holds up the model: its answer is not read on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from llmspell.concurrency import Answer
from llmspell.errors import EffectError
from llmspell.values import Value

T = TypeVar("T")

ROOM = 256  # events that may wait for the spell before a model's answer is not read on

Event = dict[str, Value]


class Stopped(Exception):
    """The spell wants no more of a stream."""


class Stream:
    """The events of one prompt.

    Attributes:
        sent: How many parts of the answer to the current request were put in.
        stopped: Whether the spell wants no more.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.stopped = False
        self._events: deque[Event] = deque()
        self._ended = self._told_end = False
        self._asked = 0
        self._news, self._space = asyncio.Event(), asyncio.Event()
        self._interrupt: Callable[[], None] | None = None

    def put(self, event: Event) -> None:
        """Add an event; who adds many waits for `room` now and again."""
        if not self.stopped:
            self._events.append(event)
            self._news.set()

    async def room(self) -> None:
        """Wait until the spell has taken enough of what waits for it."""
        while len(self._events) >= ROOM:
            self._space.clear()
            await self._space.wait()

    def take(self, *, text: bool = False) -> Answer[Value]:
        """The next event, or None after the last; with `text`, the next piece of text."""
        item = self._next(text)
        if item is None and self._ended:
            self._tell_end()
        return self._wait(text) if item is None and not self._ended else item

    async def _wait(self, text: bool) -> Value:
        self._asked += 1
        try:
            while (item := self._next(text)) is None and not self._ended:
                self._space.set()
                self._news.clear()
                await self._news.wait()
        finally:
            self._asked -= 1
        if item is None:
            self._tell_end()
        return item

    def _next(self, text: bool) -> Value:
        while self._events:
            event = self._events.popleft()
            self._space.set()
            if not text:
                return event
            if event["type"] == "text":
                return event["text"]
        return None

    def _tell_end(self) -> None:
        self._told_end = True
        self._space.set()

    async def wanted(self) -> None:
        """Wait until all was taken and more is asked for, or no more is wanted.

        Nothing is begun before that. So what is done for a spell that takes no more after a certain
        event does not depend on how fast it was. Raises Stopped.
        """
        while (self._events or not self._asked) and not self.stopped:
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise Stopped

    async def end(self) -> None:
        """Say that nothing more comes, and wait until whoever takes the events knows.

        Raises Stopped.
        """
        self._ended = True
        self._news.set()
        while not (self._told_end or self.stopped):
            self._space.clear()
            await self._space.wait()
        if self.stopped:
            raise Stopped

    def stop(self) -> None:
        """The spell wants no more: leave what goes on, and forget what it did not take."""
        self.stopped = self._ended = True
        self._events.clear()
        self._news.set()
        self._space.set()
        if self._interrupt:
            self._interrupt()

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it. Raises Stopped when the spell wants no more before that."""
        from anyio import CancelScope

        with CancelScope() as scope:
            self._interrupt = scope.cancel
            try:
                return await work
            finally:
                self._interrupt = None
        raise Stopped


class Streams:
    """The streams of a run, by the id that the spell's side gave them."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._prompts: dict[str, Stream] = {}

    def find(self, id: str) -> Stream:  # noqa: A002 - it is the id
        """The stream of that id, which may not have begun."""
        stream = self._streams.get(id)
        if stream is None:
            stream = self._streams[id] = Stream()
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
            with suppress(Stopped):
                await stream.end()
            raise
        finally:
            del self._prompts[prompt]
            self.close(id)

    def around(self, request: str) -> Stream | None:
        """The stream of the prompt that made the request at a path."""
        return self._prompts.get(request.rpartition("/")[0])
