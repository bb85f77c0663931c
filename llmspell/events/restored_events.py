"""Gives a resumed run the events that it published before, as far as it had not received them."""

from __future__ import annotations

from llmspell.events.event import Event
from llmspell.events.subscriptions import Subscription
from llmspell.values import Value

_Content = tuple[int, str, Value]  # number, topic and data


class RestoredEvents:
    """The events of one run, as its record tells of them.

    Other subscribers had them when they were published. An event that waited for room may have been
    received before its publication is recorded as done.
    """

    def __init__(self) -> None:
        self._received_early: list[tuple[Subscription, _Content]] = []

    def published(self, event: Event, subscription: Subscription) -> None:
        """Add an event to the backlog of a subscription of the run, unless it has received it."""
        received = subscription, (event.number, event.topic, event.data)
        if received in self._received_early:
            self._received_early.remove(received)
        elif subscription.matches(event.topic):
            subscription.push(event)

    def received(self, subscription: Subscription, number: int, topic: str, data: Value) -> None:
        """Remove an event from the backlog of a subscription, now or once it is published."""
        content = number, topic, data
        if not subscription.discard(lambda e: (e.number, e.topic, e.data) == content):
            self._received_early.append((subscription, content))
