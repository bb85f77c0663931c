"""Timeouts whose expiry is recorded.

Repeating a recorded run takes no time, so a timer would not expire again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from llmspell.concurrency import cancel, new_task
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
    """Await a coroutine with a timeout; the timer starts only if the coroutine has to wait.

    Args:
        effect: The effect on whose behalf it runs.
        mark: Distinguishes it from other work on behalf of that effect.
        seconds: The timeout.
        work: The coroutine.

    Raises:
        TookTooLong: The timeout has expired, and the coroutine was cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return await in_recorded_time(effect, mark, seconds, work, waits_for)


async def in_recorded_time(
    effect: Effect, mark: str, seconds: float, work: Coroutine[Any, Any, T], waits_for: Any
) -> T:
    """Like `within_recorded`, for a coroutine that has started and yielded what it waits for."""
    recording = effect.run[Recording]
    if not recording or recording.over:
        return await in_time(seconds, work, waits_for)
    if recording.has_recorded(effect.path_beside(mark)):
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
        except Exception as error:  # noqa: BLE001 - raised again by the waiting side
            failures.append(error)
        if not ended:
            limit.reschedule(0)

    clock = new_task(expire())
    try:
        # The work may have ended at the very moment of the timeout, too late for anyone to see it.
        with suppress(EffectError, TookTooLong):
            await in_time(seconds, work, waits_for, limit)
        ended = True
        await clock
    finally:
        await cancel([clock])
    raise failures[0] if failures else TookTooLong(f"took more than {seconds:g} seconds")


class Expiry:
    """The outcome of a timeout, with the attribute of anyio's cancel scopes.

    The timeout counts as expired even if the work ended at the same moment.
    """

    cancelled_caught = False


@contextmanager
def moving_on(effect: Effect, mark: str, seconds: float) -> Iterator[Expiry | CancelScope]:
    """Like `anyio.move_on_after`, on behalf of an effect.

    The expiry is recorded and is final: if the body ends at that moment, or fails with an
    EffectError, it is too late.
    """
    from anyio import CancelScope, move_on_after

    recording = effect.run[Recording]
    if not recording or recording.over:
        with move_on_after(seconds) as scope:
            yield scope
        return
    expiry, failures = Expiry(), list[Exception]()
    expiry.cancelled_caught = known = recording.has_recorded(effect.path_beside(mark))

    async def expire() -> None:
        try:
            if not known:
                await (asyncio.Event().wait() if recording.is_replay else asyncio.sleep(seconds))
            await noted(effect, mark)
        except Exception as error:  # noqa: BLE001 - raised again by the waiting side
            failures.append(error)
        expiry.cancelled_caught = True
        scope.cancel()

    clock = new_task(expire())
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
