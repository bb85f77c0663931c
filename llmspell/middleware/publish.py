from __future__ import annotations

from collections.abc import Callable

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.events import Events
from llmspell.events.lifecycle import publish_lifecycle
from llmspell.values import Value

CHANGED = "state.changed"


class Publish:
    """Publishes tool calls and state changes as events."""

    name = "events"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        events = run[Events]
        if handler.name == "tool.call":
            return _with_tool_events(call, events)
        if handler.name in _CHANGES:
            return _with_change_events(_CHANGES[handler.name], call, events)
        return call


def _with_tool_events(call: Perform, events: Events) -> Perform:
    async def published(effect: Effect) -> Value:
        about = {"tool": str(effect.args.get("name")), "run": effect.run.id, "path": effect.path}
        with publish_lifecycle(events, "tool", about):
            return await settled(call(effect))

    return published


def _with_change_events(changed: Callable[[Value], bool], call: Perform, events: Events) -> Perform:
    def published(effect: Effect) -> Answer[Value]:
        if not events.wants(CHANGED):
            return call(effect)
        return published_change(effect)

    async def published_change(effect: Effect) -> Value:
        result = await settled(call(effect))
        if changed(result):
            data = {
                "scope": effect.args.get("scope") or "",
                "key": effect.args.get("key"),
                "effect": effect.name,
                "run": effect.run.id,
            }
            events.tell(CHANGED, data)
        return result

    return published


def _always(_: Value) -> bool:
    return True


# The effects that change the state, and functions that say whether one did, by its result.
_CHANGES: dict[str, Callable[[Value], bool]] = {
    "state.set": _always,
    "state.update": _always,
    "state.increment": _always,
    "state.delete": bool,
    "state.compare_and_set": bool,
}
