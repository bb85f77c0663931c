from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

from llmspell import clock
from llmspell.events.event import ROOM, Backlog, Event, weight_of
from llmspell.events.subscriptions import (
    Handler,
    HandlerSubscription,
    Overflow,
    Stream,
    Subscription,
)
from llmspell.events.topics import check_topic
from llmspell.frozen import Frozen
from llmspell.values import Value, plain

SIZE = 1000  # events in a backlog
TIMEOUT = 30.0  # seconds for a handler
HISTORY = 256  # events
_ROUTES = 1024  # topics whose subscribers are cached
_PARTS = frozenset({"capability", "hook", "middleware", "plugin", "subscriber"})
_LONGEST_NAME, _MAX_COUNTS = 100, 1000


class Statistics(Frozen):
    """Counters of a bus.

    Attributes:
        published: Published events.
        delivered: Deliveries to subscribers.
        dropped: Deliveries lost because a backlog was full.
        failed: Failures of handlers.
        waiting: Events in backlogs, counted once per subscription.
        subscriptions: Current subscriptions.
    """

    published: int
    delivered: int
    dropped: int
    failed: int
    waiting: int
    subscriptions: int


class Events:
    """An event bus for one event loop; publishers do not know the subscribers.

    Each subscription has its own backlog and receives events in order. Handlers run concurrently; a
    slow or failing handler does not delay the others.

    Attributes:
        published_counts: How often the runtime published each topic, by topic and the name of the
            part of the runtime that failed, or "".
    """

    def __init__(self, *, history: int = HISTORY, outer: Events | None = None) -> None:
        """Create a bus.

        Args:
            history: The number of events kept for subscribers that ask for a replay.
            outer: A bus that also receives the runtime's own events, and nothing else.
        """
        self._outer = outer
        self._history = Backlog(history)
        self._numbers = count(1)
        self._published = 0
        self._subscriptions: tuple[Subscription, ...] = ()
        self._ended = [0, 0, 0]  # delivered, dropped and failed of subscriptions that are gone
        self._routes: dict[str, tuple[Subscription, ...]] = {}
        self.published_counts: Counter[tuple[str, str]] = Counter()

    async def publish(self, topic: str, data: Value = None, *, source: str = "host") -> Event:
        """Publish an event, waiting for room in full backlogs whose overflow is "wait".

        Raises:
            ValueError: The topic is invalid, or the data is too large.
            NotPlain: The data is not a plain value.
        """
        event = self._event(topic, data, source)
        rooms = [subscriber.offer(event) for subscriber in self._route(topic)]
        full = [room for room in rooms if room is not None]
        try:
            for room in full:
                await room
        except asyncio.CancelledError:
            for room in full:
                room.cancel()
            raise
        return event

    def publish_nowait(self, topic: str, data: Value = None, *, source: str = "host") -> Event:
        """Publish an event without waiting.

        A subscription with overflow "wait" misses it if its backlog is full. Raises like `publish`.
        """
        event = self._event(topic, data, source)
        for subscriber in self._route(topic):
            subscriber.push(event)
        return event

    def tell(self, topic: str, data: Value) -> None:
        """Publish an event of the runtime itself, here and on the outer buses."""
        what = topic, _who_failed(topic, data)
        self.published_counts[
            what
            if what in self.published_counts or len(self.published_counts) < _MAX_COUNTS
            else (topic, "")
        ] += 1
        self.publish_nowait(topic, data, source="runtime")
        if self._outer is not None:
            self._outer.tell(topic, data)

    def wants(self, topic: str) -> bool:
        """Return whether anybody has subscribed to a topic, here or on an outer bus."""
        if self._route(topic):
            return True
        return self._outer is not None and self._outer.wants(topic)

    def subscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        size: int = SIZE,
        overflow: Overflow = "drop_oldest",
        replay: int = 0,
        weak: bool = False,
        timeout: float | None = TIMEOUT,
    ) -> Subscription:
        """Subscribe a handler to the topics that match a pattern.

        Args:
            pattern: For example `order.*`; see `llmspell.events.topics.Pattern`.
            handler: Called with one event at a time; may be async. Its result is ignored;
                exceptions are logged, counted, and published as `subscriber.failed`.
            size: The most events in its backlog.
            overflow: What to do when the backlog is full: drop the oldest event, or make publishers
                wait.
            replay: The most past events it receives first.
            weak: Whether to hold the handler weakly: a bound method lives as long as its object,
                any other callable as long as something else refers to it.
            timeout: Seconds an async handler may take for one event.

        Raises:
            ValueError: The pattern or an option is invalid.
            TypeError: The handler is not callable.
        """
        subscription = HandlerSubscription(
            pattern,
            handler,
            tell=self.tell,
            size=size,
            overflow=overflow,
            weak=weak,
            timeout=timeout,
        )
        self._add(subscription, replay)
        return subscription

    def stream(
        self,
        pattern: str,
        *,
        size: int = SIZE,
        overflow: Overflow = "drop_oldest",
        replay: int = 0,
    ) -> Stream:
        """Return a stream of the events, from now on, whose topics match a pattern.

        Raises:
            ValueError: The pattern or an option is invalid.
        """
        subscription = Subscription(pattern, size=size, overflow=overflow)
        self._add(subscription, replay)
        return Stream(subscription)

    async def wait(
        self,
        pattern: str,
        timeout: float | None = None,  # noqa: ASYNC109 - on timeout it returns None
        *,
        replay: int = 0,
    ) -> Event | None:
        """Return the next event whose topic matches a pattern, or None after `timeout` seconds.

        With `replay` 1, the latest past event counts too.
        """
        with self.stream(pattern, replay=replay) as stream:
            return await stream.receive(timeout)

    def statistics(self) -> Statistics:
        now = self._subscriptions
        delivered, dropped, failed = self._ended
        return Statistics(
            published=self._published,
            delivered=delivered + sum(s.delivered for s in now),
            dropped=dropped + sum(s.dropped for s in now),
            failed=failed + sum(s.failed for s in now),
            waiting=sum(s.waiting for s in now),
            subscriptions=len(now),
        )

    async def close(self, *, within: float = 1.0) -> None:
        """End all subscriptions; handlers get `within` seconds to finish what has been published."""
        handlings = [s for s in self._subscriptions if isinstance(s, HandlerSubscription)]
        tasks = [task for s in handlings if (task := s.busy) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)
        for subscription in self._subscriptions:
            subscription.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _event(self, topic: str, data: Value, source: str) -> Event:
        if topic not in self._routes:
            check_topic(topic)
        data = plain(data)
        weight = weight_of(data)
        if weight > ROOM:
            raise ValueError(f"the data of an event may have at most {ROOM >> 20} MiB")
        self._published += 1
        event = Event(topic, data, source, next(self._numbers), clock.now(), weight)
        if self._history.size:
            self._history.put(event)
        return event

    def _route(self, topic: str) -> tuple[Subscription, ...]:
        """Return the subscriptions to a topic."""
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            route = tuple(s for s in self._subscriptions if s.matches(topic))
            self._routes[topic] = route
        return route

    def _add(self, subscription: Subscription, replay: int) -> None:
        if not isinstance(replay, int) or replay < 0:
            raise ValueError(f"replay: must be a whole number, not negative, not {replay}")
        if replay:
            matching = [e for e in self._history if subscription.matches(e.topic)]
            subscription.replay(matching[-replay:])
        subscription.on_close = lambda: self._remove(subscription)
        self._subscriptions = (*self._subscriptions, subscription)
        self._routes.clear()

    def _remove(self, subscription: Subscription) -> None:
        self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
        self._routes.clear()
        counts = (subscription.delivered, subscription.dropped, subscription.failed)
        self._ended = [sum(pair) for pair in zip(self._ended, counts, strict=True)]


def _who_failed(topic: str, data: Value) -> str:
    """Return the name of the failed part of the runtime, or "" for runs and agents, which vary."""
    kind, _, what = topic.partition(".")
    return str(data[kind])[:_LONGEST_NAME] if what == "failed" and kind in _PARTS else ""
