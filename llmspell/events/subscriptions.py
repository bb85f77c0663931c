from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import MethodType
from typing import Any, Literal, Self

from llmspell.concurrency import as_failure, new_task, settled
from llmspell.eager_steps import TookTooLong, within
from llmspell.events.event import Backlog, Event
from llmspell.events.topics import Pattern
from llmspell.values import Value

log = logging.getLogger("llmspell.events")

Handler = Callable[[Event], Awaitable[Any] | Any]

Overflow = Literal["drop_oldest", "wait"]
"""What a full backlog does: drop its oldest event, or make publishers wait (back-pressure)."""

FAILED = "subscriber.failed"  # the topic for failures of handlers

Tell = Callable[[str, Value], None]
"""Publishes an event of the runtime, see `Events.tell`."""

_BATCH = 64  # events handled before yielding to other tasks


class Subscription:
    """A backlog of the events that match a pattern, until they are taken or it is closed.

    Attributes:
        pattern: Selects the topics.
        size: The most events in the backlog.
        overflow: What to do when the backlog is full.
        delivered: The number of events taken, or passed to the handler.
        dropped: The number of events lost because the backlog was full.
        failed: The number of events for which the handler failed.
        ended: Whether it receives no more events.
    """

    def __init__(self, pattern: str, *, size: int, overflow: Overflow) -> None:
        """Create a subscription. Raises ValueError for an invalid pattern, size or overflow."""
        self._pattern = Pattern(pattern)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size: must be a whole number of at least 1, not {size}")
        if overflow not in ("drop_oldest", "wait"):
            raise ValueError(f'overflow: must be "drop_oldest" or "wait", not {overflow!r}')
        self.size, self.overflow = size, overflow
        self.delivered = self.dropped = self.failed = 0
        self.ended = False
        self.on_close: Callable[[], None] | None = None
        self._backlog = Backlog(size)
        self._publishers: deque[tuple[asyncio.Future[None], Event]] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()

    @property
    def pattern(self) -> str:
        return self._pattern.text

    @property
    def waiting(self) -> int:
        """The number of events in the backlog."""
        return len(self._backlog)

    def matches(self, topic: str) -> bool:
        return self._pattern.matches(topic)

    def replay(self, events: Iterable[Event]) -> None:
        """Put past events into the backlog."""
        for event in events:
            self._backlog.put(event)

    def offer(self, event: Event) -> asyncio.Future[None] | None:
        """Add an event; if its publisher has to wait, return a future for when there is room."""
        if self.ended:
            return None
        if self.overflow == "wait" and not self._has_room(event):
            room = asyncio.get_running_loop().create_future()
            self._publishers.append((room, event))
            return room
        self._put(event)
        return None

    def push(self, event: Event) -> None:
        """Add an event without waiting. With overflow "wait", it is dropped if the backlog is full."""
        if self.ended:
            return
        if self.overflow == "wait" and not self._has_room(event):
            self._count_dropped(1)
        else:
            self._put(event)

    def take(self) -> Event | None:
        """Remove and return the oldest event, or None."""
        if not self._backlog:
            return None
        event = self._backlog.take()
        self._admit_publishers()
        return event

    def discard(self, is_it: Callable[[Event], bool]) -> bool:
        """Remove the oldest event of which `is_it` is true; return whether there was one."""
        return self._backlog.discard(is_it)

    async def receive(self, timeout: float | None = None) -> Event | None:  # noqa: ASYNC109 - a poll
        """Remove and return the oldest event, waiting for one if necessary.

        Returns None after `timeout` seconds without an event, or when the subscription has ended.
        """
        if not (self._backlog or self.ended):
            try:
                async with asyncio.timeout(timeout):
                    while not (self._backlog or self.ended):
                        await self._wait_for_event()
            except TimeoutError:
                return None
        event = self.take()
        self.delivered += event is not None
        return event

    def end(self) -> None:
        """Stop receiving events; those in the backlog can still be taken."""
        self.ended = True
        for room, _ in self._publishers:
            _settle(room)
        self._publishers.clear()
        for receiver in self._receivers:
            _settle(receiver)

    def close(self) -> None:
        """Stop receiving events, and discard the backlog."""
        self.end()
        self._backlog.clear()
        if self.on_close:
            self.on_close()
            self.on_close = None

    def report(self, topic: str, subscriber: str, what: str, tell: Tell) -> None:
        """Count, log and publish a failure of the handler."""
        self.failed += 1
        log.warning("the subscriber %s failed at the event %s: %s", subscriber, topic, what)
        if topic != FAILED:
            tell(FAILED, {"subscriber": subscriber, "topic": topic, "error": what})

    def _has_room(self, event: Event) -> bool:
        return not self._publishers and self._backlog.fits(event)

    def _put(self, event: Event) -> None:
        if dropped := self._backlog.put(event):
            self._count_dropped(dropped)
        self._notify()

    def _count_dropped(self, number: int) -> None:
        if not self.dropped:
            log.warning("the subscription to %s is too slow: events are dropped", self.pattern)
        self.dropped += number

    def _admit_publishers(self) -> None:
        """Admit waiting publishers in order, as far as there is room."""
        while self._publishers:
            room, event = self._publishers[0]
            if not room.cancelled():
                if not self._backlog.fits(event):
                    break
                self._put(event)
                _settle(room)
            self._publishers.popleft()

    def _notify(self) -> None:
        """Wake one waiting receiver."""
        for receiver in self._receivers:
            if not receiver.done():
                receiver.set_result(None)
                break

    async def _wait_for_event(self) -> None:
        receiver = asyncio.get_running_loop().create_future()
        self._receivers.append(receiver)
        try:
            await receiver
        except asyncio.CancelledError:
            if self._backlog:
                self._notify()  # wake another receiver instead
            raise
        finally:
            self._receivers.remove(receiver)


class HandlerSubscription(Subscription):
    """A subscription that passes its events to a handler, one at a time.

    Its task exists only while there are events.
    """

    def __init__(
        self,
        pattern: str,
        handler: Handler,
        *,
        tell: Tell,
        size: int,
        overflow: Overflow,
        weak: bool,
        timeout: float | None,
    ) -> None:
        super().__init__(pattern, size=size, overflow=overflow)
        if not callable(handler):
            raise TypeError(f"handler: must be a function, not {handler!r}")
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
            raise ValueError(f"timeout: must be a number of seconds above 0, not {timeout!r}")
        self.timeout, self._tell = timeout, tell
        self._handler = self._weak_handler(handler) if weak else lambda: handler
        self._name = getattr(handler, "__qualname__", type(handler).__qualname__)
        self._task: asyncio.Task[None] | None = None

    def _weak_handler(self, handler: Handler) -> Callable[[], Handler | None]:
        def gone(_: object) -> None:
            self.close()

        if isinstance(handler, MethodType):
            return weakref.WeakMethod(handler, gone)
        return weakref.ref(handler, gone)

    def replay(self, events: Iterable[Event]) -> None:
        super().replay(events)
        if self._backlog:
            self._notify()

    @property
    def busy(self) -> asyncio.Task[None] | None:
        """The task that calls the handler, if it is running."""
        return None if self._task is None or self._task.done() else self._task

    def close(self) -> None:
        super().close()
        if (task := self.busy) and task is not _current_task():
            task.cancel()

    def _notify(self) -> None:
        if self._task is None or self._task.done():
            self._task = new_task(self._hand_over())

    async def _hand_over(self) -> None:
        while True:
            for _ in range(_BATCH):
                event = self.take()
                if event is None:
                    self._task = None
                    return
                await self._handle(event)
            await asyncio.sleep(0)

    async def _handle(self, event: Event) -> None:
        handler = self._handler()
        if handler is None:
            return
        self.delivered += 1
        try:
            answer = handler(event)
            if hasattr(answer, "__await__"):
                await within(self.timeout, settled(answer))
        except (asyncio.CancelledError, SystemExit) as error:
            self._failed(event, str(as_failure(error)))
        except TookTooLong:
            self._failed(event, f"it took more than {self.timeout:g} s")
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            self._failed(event, repr(error))

    def _failed(self, event: Event, what: str) -> None:
        self.report(event.topic, self._name, what, self._tell)


class Stream:
    """A subscription to iterate over: `async for event in stream`.

    It ends when it is closed, at the end of its `with` block, or when it is garbage-collected.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        weakref.finalize(self, subscription.close).atexit = False

    async def receive(self, timeout: float | None = None) -> Event | None:  # noqa: ASYNC109 - a poll
        """Return the next event; None after `timeout` seconds, or if the stream has ended."""
        return await self.subscription.receive(timeout)

    def close(self) -> None:
        self.subscription.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.receive()
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # garbage collection may run without an event loop
        return None
