"""How long something may take in a run that is recorded: that its time was up is known from then.

What is done again takes no time, so a clock would not say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from llmspell.concurrency import cancel
from llmspell.eager_steps import TookTooLong, in_time
from llmspell.effects import Effect
from llmspell.errors import EffectError
from llmspell.journal.leaves import noted
from llmspell.journal.recording import Recording

if TYPE_CHECKING:
    from anyio import CancelScope

T = TypeVar("T")


async def within_recorded(
    effect: Effect, mark: str, seconds: float, work: Coroutine[Any, Any, T]
) -> T:
    """What comes of a coroutine that may take so long; a timer is set only once it waits.

    Args:
        effect: On whose behalf it is done.
        mark: Tells it from what else is done on behalf of that.
        seconds: How many it may take.
        work: The coroutine.

    Raises:
        TookTooLong: When it did not end in time; it was cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return await in_recorded_time(effect, mark, seconds, work, waits_for)


async def in_recorded_time(
    effect: Effect, mark: str, seconds: float, work: Coroutine[Any, Any, T], waits_for: Any
) -> T:
    """The same of a coroutine that has begun, and yielded what it waits for."""
    recording = effect.run[Recording]
    if not recording or recording.over:
        return await in_time(seconds, work, waits_for)
    if recording.has_recorded(effect.mark(mark)):
        return await _until_recorded(effect, mark, seconds, work, waits_for)
    limit = asyncio.timeout(None if recording.is_replay else seconds)
    try:
        return await in_time(seconds, work, waits_for, limit)
    except TookTooLong:
        await noted(effect, mark)
        raise


async def _until_recorded(
    effect: Effect, mark: str, seconds: float, work: Coroutine[Any, Any, T], waits_for: Any
) -> T:
    limit, failures = asyncio.timeout(None), list[Exception]()
    ended = False

    async def expire() -> None:
        try:
            await noted(effect, mark)
        except Exception as error:  # noqa: BLE001 - who waits is to hear of it
            failures.append(error)
        if not ended:
            limit.reschedule(0)

    clock = asyncio.create_task(expire())
    try:
        # It may have ended then as well, just as its time was up: nobody heard what came of it.
        with suppress(EffectError, TookTooLong):
            await in_time(seconds, work, waits_for, limit)
        ended = True
        await clock
    finally:
        await cancel([clock])
    raise failures[0] if failures else TookTooLong(f"took more than {seconds:g} seconds")


class Expiry:
    """Whether the time of something was up: as anyio's scopes say it, though it may have ended
    then.
    """

    cancelled_caught = False


@contextmanager
def moving_on(effect: Effect, mark: str, seconds: float) -> Iterator[Expiry | CancelScope]:
    """The same as `anyio.move_on_after`, on behalf of an effect.

    That the time was up is recorded, and counts from then on: what is inside may end at that
    moment, or fail with an EffectError, and is too late.
    """
    from anyio import CancelScope, move_on_after

    recording = effect.run[Recording]
    if not recording or recording.over:
        with move_on_after(seconds) as scope:
            yield scope
        return
    expiry, failures = Expiry(), list[Exception]()
    expiry.cancelled_caught = known = recording.has_recorded(effect.mark(mark))

    async def expire() -> None:
        try:
            if not known:
                await (asyncio.Event().wait() if recording.is_replay else asyncio.sleep(seconds))
            await noted(effect, mark)
        except Exception as error:  # noqa: BLE001 - who waits is to hear of it
            failures.append(error)
        expiry.cancelled_caught = True
        scope.cancel()

    clock = asyncio.create_task(expire())
    try:
        with CancelScope() as scope:
            yield expiry
    except EffectError:
        if not expiry.cancelled_caught:
            raise
    finally:
        clock.cancel()
    if failures:
        raise failures[0]
