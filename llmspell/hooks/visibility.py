"""Determines which hooks apply to an effect, so that a replay applies the same ones.

An effect has the hooks that exist when it begins. Work on behalf of an effect of the spell begins
some turns of the event loop later, at a moment that depends on timing. If the hooks have changed
since the spell requested the effect, that is recorded beside the effect.
"""

from __future__ import annotations

from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.hooks.registry import Hooks
from llmspell.journal.recording import Recording
from llmspell.values import Value

Seen = tuple[int, ...]

_MARK = "hooks"


def seen_by(effect: Effect, hooks: Hooks) -> Answer[Seen]:
    """Return the value of `Hooks.seen` that determines the hooks of an effect or point."""
    now, then = hooks.seen, effect.seen
    recording = effect.run[Recording]
    if then is None or not recording or recording.over:
        return now
    if recording.follows_record:
        is_noted = recording.has_recorded(effect.path_beside(_MARK))
        return _noted(effect, hooks, then) if is_noted else then
    if then == now or hooks.matching(effect.name, then) == hooks.matching(effect.name):
        return now
    return _noted(effect, hooks, now)


async def _noted(effect: Effect, hooks: Hooks, seen: Seen) -> Seen:
    from llmspell.hooks.decisions import learned

    def tell() -> Value:
        return list(seen)

    then = tuple(await learned(effect, _MARK, tell))
    await hooks.reached(then)
    return then
