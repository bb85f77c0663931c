"""Which hooks an effect has, and that it has the same when its run is done again.

It has those there are when it begins. When something begins on behalf of what the spell asked for,
some turns of the event loop after what led to that, is chance. So wherever it then has others than
there were as the spell asked, that is noted beside it.
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
    """As of when an effect, or a point, has hooks, see `Hooks.seen`."""
    now, then = hooks.seen, effect.seen
    recording = effect.run[Recording]
    if then is None or then == now or not recording or recording.over:
        return now
    if recording.follows_record:
        return _noted(effect, then) if recording.has_recorded(effect.mark(_MARK)) else then
    if hooks.matching(effect.name, then) == hooks.matching(effect.name):
        return now
    return _noted(effect, now)


async def _noted(effect: Effect, seen: Seen) -> Seen:
    from llmspell.hooks.decisions import learned

    def tell() -> Value:
        return list(seen)

    return tuple(await learned(effect, _MARK, tell))
