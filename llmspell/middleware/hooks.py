from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any

from llmspell.concurrency import Answer, Followed, settled
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.hooks import Hooks
from llmspell.hooks.points import UNHOOKED
from llmspell.hooks.visibility import Seen, seen_by
from llmspell.journal.recording import Recording
from llmspell.values import Value


class HookMiddleware:
    """Runs the hooks of an effect.

    Approvals have none: a spell's hook could answer for the person, or change what they are shown.
    """

    name = "hooks"

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        if handler.name == UNHOOKED:
            return call
        hooks = run[Hooks]
        now = _dispatch(handler, call, hooks, hooks.seen)
        recording = run[Recording]
        if recording and (recording.history or hooks.has_changed_for(handler.name)):
            return _ChangingHooks(handler, call, hooks, recording, now).perform
        return now


class _ChangingHooks:
    """Runs the hooks of an effect in a recorded run whose spell adds or removes hooks."""

    def __init__(
        self, handler: Handler, call: Perform, hooks: Hooks, recording: Recording, now: Perform
    ) -> None:
        self._handler, self._call, self._hooks, self._recording = handler, call, hooks, recording
        self._now = hooks.seen
        self._dispatches = {hooks.seen: now}

    def perform(self, effect: Effect) -> Answer[Value]:
        if effect.seen == self._now and not self._recording.follows_record:
            return self._dispatches[self._now](effect)
        seen: Any = seen_by(effect, self._hooks)
        if hasattr(seen, "__await__"):
            return Followed(seen, partial(self._later, effect))
        return self._dispatch_at(seen)(effect)

    async def _later(self, effect: Effect, seen: Awaitable[Seen]) -> Value:
        return await settled(self._dispatch_at(await seen)(effect))

    def _dispatch_at(self, seen: Seen) -> Perform:
        dispatch = self._dispatches.get(seen)
        if dispatch is None:
            dispatch = _dispatch(self._handler, self._call, self._hooks, seen)
            self._dispatches[seen] = dispatch
        return dispatch


def _dispatch(handler: Handler, call: Perform, hooks: Hooks, seen: Seen) -> Perform:
    """Return a function that performs the effect with the hooks selected by `seen`."""
    matching = hooks.matching(handler.name, seen)
    matching.pop("at", None)  # hooks at points of the life cycle
    if not matching:
        return call
    from llmspell.hooks.dispatch import Dispatch

    return Dispatch(handler, call, matching, hooks.guard).perform
