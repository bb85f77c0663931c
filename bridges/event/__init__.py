from __future__ import annotations

import logging
from dataclasses import asdict
from itertools import count
from typing import Literal

from llmspell import clock
from llmspell.bridge import Bridge
from llmspell.callback_tasks import problem_in_call
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, LlmspellError
from llmspell.events import Events
from llmspell.events.bus import SIZE, TIMEOUT
from llmspell.events.event import Event, weight_of
from llmspell.events.run_subscriptions import RunSubscriptions, id_of
from llmspell.limits import NonNegativeSeconds, Seconds
from llmspell.values import LuaFunction, NotPlain, Value

log = logging.getLogger("llmspell.events")

bridge = Bridge("event", __file__)

MAX_BACKLOG = 10_000  # largest backlog of a subscription


def _restore_published(effect: Effect, number: Value, ago: float) -> None:
    if isinstance(number, int):
        topic, data = effect.bound["topic"], effect.bound.get("data")
        event = Event(topic, data, effect.run.id, number, clock.now() - ago, weight_of(data))
        effect.run[RunSubscriptions].restore_published(event)


def _restore_received(effect: Effect, event: Value, ago: float) -> None:  # noqa: ARG001
    if isinstance(event, dict):
        known = event["number"], event["topic"], event["data"]
        effect.run[RunSubscriptions].restore_received(effect.bound["id"], *known)


@bridge.effect(repeatable=True, restore=_restore_published)
async def publish(effect: Effect, topic: str, data: Value = None) -> int:
    """Publish an event; returns its number."""
    try:
        return (await effect.run[Events].publish(topic, data, source=effect.run.id)).number
    except (ValueError, NotPlain) as error:
        raise InvalidArguments("Event.publish", [str(error)]) from error


@bridge.effect(leaf=False)
def subscribe(
    effect: Effect,
    pattern: str,
    function: LuaFunction | None = None,
    size: int = SIZE,
    overflow: Literal["drop_oldest", "wait"] = "drop_oldest",
    replay: int = 0,
    timeout: Seconds = TIMEOUT,
) -> str:
    """Subscribe to the events that match a pattern, and return the subscription's id.

    Events are kept for `event.receive`, or passed to a Lua function if there is one.
    """
    subscriptions = effect.run[RunSubscriptions]
    subscriptions.check_room()
    if size > MAX_BACKLOG:
        raise InvalidArguments("Event.subscribe", [f"size: at most {MAX_BACKLOG}, not {size}"])
    try:
        stream = effect.run[Events].stream(pattern, size=size, overflow=overflow, replay=replay)
    except ValueError as error:
        raise InvalidArguments("Event.subscribe", [str(error)]) from error
    id_ = id_of(effect.path)
    subscriptions.open(id_, stream)
    if function is not None:
        function.retain()
        subscriptions.callers.start(id_, _call_with_each(effect, id_, function, timeout))
    return id_


@bridge.effect(repeatable=True, restore=_restore_received)
async def receive(
    effect: Effect,
    id: str,
    timeout: NonNegativeSeconds | None = None,  # noqa: ASYNC109 - for polling
    lasting: bool = True,
) -> dict[str, Value] | None:
    """The next event; nil after `timeout` seconds, or when the subscription has ended.

    A subscription that is not `lasting` ends if this effect is cancelled.
    """
    subscriptions = effect.run[RunSubscriptions]
    stream = subscriptions.find(id)
    try:
        event = await stream.receive(timeout)
    except BaseException:
        if not lasting:
            subscriptions.close(id)
        raise
    return None if event is None else event.as_plain()


@bridge.effect(repeatable=True)
async def wait(
    effect: Effect,
    pattern: str,
    timeout: NonNegativeSeconds | None = None,  # noqa: ASYNC109 - it returns nil
    replay: int = 0,
) -> dict[str, Value] | None:
    """The next event that matches a pattern, or nil after `timeout` seconds."""
    try:
        event = await effect.run[Events].wait(pattern, timeout, replay=replay)
    except ValueError as error:
        raise InvalidArguments("Event.wait", [str(error)]) from error
    return None if event is None else event.as_plain()


@bridge.effect(leaf=False)
def unsubscribe(effect: Effect, id: str) -> bool:
    """End a subscription of this run; returns whether it existed."""
    return effect.run[RunSubscriptions].close(id)


@bridge.effect("list", repeatable=True)
def listing(effect: Effect) -> list[dict[str, Value]]:
    """The subscriptions of this run."""
    return [
        {
            "id": id_,
            "pattern": subscription.pattern,
            "waiting": subscription.waiting,
            "delivered": subscription.delivered,
            "dropped": subscription.dropped,
            "failed": subscription.failed,
        }
        for id_, subscription in effect.run[RunSubscriptions].all().items()
    ]


@bridge.effect(repeatable=True)
def statistics(effect: Effect) -> dict[str, Value]:
    """Statistics of the event bus."""
    return asdict(effect.run[Events].statistics())


async def _call_with_each(effect: Effect, id_: str, function: LuaFunction, seconds: float) -> None:
    """Call a Lua function with each event in turn, until the subscription ends."""
    subscriptions, numbers = effect.run[RunSubscriptions], count()
    try:
        while id_ in subscriptions and (event := await effect.perform("event.receive", id=id_)):
            await _call(effect, id_, function, event, next(numbers), seconds)
    except LlmspellError as error:
        log.warning("the subscription %s has ended: %s", id_, error)
        subscriptions.close(id_)


async def _call(
    effect: Effect, id_: str, function: LuaFunction, event: Value, number: int, seconds: float
) -> None:
    subscription = effect.run[RunSubscriptions].find(id_).subscription
    if problem := await problem_in_call(effect, function, event, number, seconds):
        subscription.report(event["topic"], id_, problem, effect.run[Events].tell)
