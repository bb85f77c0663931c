from __future__ import annotations

import logging

from llmspell.callback_tasks import CallbackTasks
from llmspell.errors import InvalidArguments
from llmspell.events.event import Event
from llmspell.events.restored_events import RestoredEvents
from llmspell.events.subscriptions import Stream, Subscription
from llmspell.values import Value

MAX_SUBSCRIPTIONS = 64  # concurrent subscriptions of one run: each may hold ROOM bytes
FINISH_TIMEOUT = 30.0  # seconds to deliver remaining events at the end of a run

log = logging.getLogger("llmspell.events")


def id_of(path: str) -> str:
    """Return the id of the subscription that the effect at a path opens."""
    return f"subscription-{path}"


class RunSubscriptions:
    """The subscriptions of one run by id; they end with the run.

    Attributes:
        callers: The tasks that call the spell with the events of subscriptions.
    """

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._restored = RestoredEvents()
        self.callers = CallbackTasks()

    def check_room(self) -> None:
        """Raise InvalidArguments if the run has as many subscriptions as allowed."""
        if len(self._streams) >= MAX_SUBSCRIPTIONS:
            raise InvalidArguments(
                "Event",
                [f"the spell already has {MAX_SUBSCRIPTIONS} subscriptions"],
                hint="end those it no longer needs: subscription:unsubscribe()",
            )

    def open(self, id: str, stream: Stream) -> None:  # noqa: A002 - it is the id
        self._streams[id] = stream

    def __contains__(self, id: object) -> bool:  # noqa: A002
        return id in self._streams

    def find(self, id: str) -> Stream:  # noqa: A002
        """Return the subscription with an id. Raises InvalidArguments."""
        if id not in self._streams:
            raise InvalidArguments("Event", [f"there is no subscription {id!r}, or it has ended"])
        return self._streams[id]

    def close(self, id: str) -> bool:  # noqa: A002
        """End a subscription; return whether it existed. A call in progress continues."""
        stream = self._streams.pop(id, None)
        if stream is not None:
            stream.close()
        return stream is not None

    def end_opened_at(self, path: str) -> None:
        """End the subscription that the effect at a path has opened, and its call in progress."""
        self.close(id_of(path))
        self.callers.stop(id_of(path))

    def all(self) -> dict[str, Subscription]:
        return {id_: stream.subscription for id_, stream in self._streams.items()}

    def restore_published(self, event: Event) -> None:
        """Deliver an event again that the run published before it was resumed."""
        for subscription in self.all().values():
            self._restored.published(event, subscription)

    def restore_received(self, id: str, number: int, topic: str, data: Value) -> None:  # noqa: A002
        """Note that a subscription received an event before the run was resumed."""
        if id in self._streams:
            self._restored.received(self._streams[id].subscription, number, topic, data)

    async def finish(self) -> None:
        """Deliver the events published so far to the spell, and no later ones."""
        for stream in self._streams.values():
            stream.subscription.end()
        if await self.callers.finish(FINISH_TIMEOUT):
            log.warning(
                "the run ends although its subscribers have not finished after %g s", FINISH_TIMEOUT
            )

    async def end(self) -> None:
        """End all subscriptions, and cancel calls in progress."""
        await self.callers.cancel()
        for stream in self._streams.values():
            stream.close()
