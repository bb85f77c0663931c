from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

from llmspell import clock
from llmspell.events.event import ROOM, Backlog, Event, weight_of
from llmspell.events.subscriptions import (
    SIZE,
    TIMEOUT,
    Handler,
    HandlerSubscription,
    Overflow,
    Stream,
    Subscription,
)
from llmspell.events.topics import check_topic
from llmspell.frozen import Frozen
from llmspell.values import Value, plain

HISTORY = 256  # events
_ROUTES = 1024  # topics whose subscribers are remembered
_PARTS = frozenset({"capability", "hook", "middleware", "plugin", "subscriber"})
_LONGEST_NAME, _TOLD = 100, 1000


class Statistics(Frozen):
    """What a bus has done so far.

    Attributes:
        published: Events.
        delivered: How often a subscriber got one.
        dropped: How often one was lost to a subscriber that had no room for it.
        failed: How often a handler failed.
        waiting: Events not yet taken, counted once a subscriber.
        subscriptions: How many there are.
    """

    published: int
    delivered: int
    dropped: int
    failed: int
    waiting: int
    subscriptions: int


class Events:
    """A bus: who publishes an event does not know who subscribed to it. For one event loop.

    Each subscription has a backlog of its own, which keeps the order. Handlers run at the same
    time; one that fails or is slow does not hold up another.

    Attributes:
        told: How often the runtime said what, by topic, and by the name of the part of it that
            failed, or "".
    """

    def __init__(self, *, history: int = HISTORY, outer: Events | None = None) -> None:
        """Make a bus.

        Args:
            history: How many events are kept for subscribers that ask for a replay.
            outer: A bus that hears what the runtime says here, but nothing else.
        """
        self._outer = outer
        self._history = Backlog(history)
        self._numbers = count(1)
        self._published = 0
        self._subscriptions: tuple[Subscription, ...] = ()
        self._ended = [0, 0, 0]  # delivered, dropped and failed of subscriptions that are gone
        self._routes: dict[str, tuple[Subscription, ...]] = {}
        self.told: Counter[tuple[str, str]] = Counter()

    async def publish(self, topic: str, data: Value = None, *, source: str = "host") -> Event:
        """Publish an event, and wait for room where a subscriber wants that.

        Raises:
            ValueError: When the topic is none, or the data is too large.
            NotPlain: When the data has no counterpart in Lua.
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
        """Publish an event without waiting: a subscriber that publishers have to wait for misses
        it.

        Raises like `publish`.
        """
        event = self._event(topic, data, source)
        for subscriber in self._route(topic):
            subscriber.push(event)
        return event

    def tell(self, topic: str, data: Value) -> None:
        """Publish what the runtime has to say, here and on the buses around this one."""
        what = topic, _who_failed(topic, data)
        self.told[what if what in self.told or len(self.told) < _TOLD else (topic, "")] += 1
        self.publish_nowait(topic, data, source="runtime")
        if self._outer is not None:
            self._outer.tell(topic, data)

    def wants(self, topic: str) -> bool:
        """Whether anybody subscribed to a topic, here or on the buses around this one."""
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
        """Have a function called with each event of the topics a pattern stands for.

        Args:
            pattern: Such as `order.*`, see `llmspell.events.topics.Pattern`.
            handler: Called with one event after another; it may be async. What it returns does not
                matter; what it raises is logged, counted, and published as `subscriber.failed`.
            size: Events kept for it while it is busy, at most.
            overflow: What happens when there are more: the oldest is dropped, or publishers wait.
            replay: How many events of the past it gets first, at most.
            weak: Whether to hold it weakly: a bound method lasts as long as its object, any other
                object as long as somebody else holds it.
            timeout: Seconds it may take for one event if it is async.

        Raises:
            ValueError: When the pattern is none, or an option makes no sense.
            TypeError: When the handler cannot be called.
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
        """The events of the topics a pattern stands for, from now on, to be taken one by one.

        Raises:
            ValueError: When the pattern is none, or an option makes no sense.
        """
        subscription = Subscription(pattern, size=size, overflow=overflow)
        self._add(subscription, replay)
        return Stream(subscription)

    async def wait(
        self,
        pattern: str,
        timeout: float | None = None,  # noqa: ASYNC109 - None is an answer
        *,
        replay: int = 0,
    ) -> Event | None:
        """The next event of the topics a pattern stands for; None when `timeout` seconds pass.

        With `replay` 1 it may be one of the past, the last.
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
        """End all subscriptions. Handlers have `within` seconds for what was published so far."""
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
            raise ValueError(f"the data of an event is {ROOM >> 20} MiB at most")
        self._published += 1
        event = Event(topic, data, source, next(self._numbers), clock.now(), weight)
        if self._history.size:
            self._history.put(event)
        return event

    def _route(self, topic: str) -> tuple[Subscription, ...]:
        """Who subscribed to a topic."""
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
    """The name of a part of the runtime, "" of anything else: runs and agents come and go."""
    kind, _, what = topic.partition(".")
    return str(data[kind])[:_LONGEST_NAME] if what == "failed" and kind in _PARTS else ""
