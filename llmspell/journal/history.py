"""Delivers the recorded outcomes of a run again, in their original order.

Lua repeats itself exactly if it receives the same messages in the same batches. The messages depend
only on the outcomes of leaves and on the calls that leaves made into the spell. So each outcome is
held back until all earlier outcomes have been delivered, every leaf that had been requested by then
has been requested again, and Lua has had as many turns.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from llmspell.effect_paths import BESIDE, all_above, is_beside, is_on_behalf
from llmspell.errors import (
    EffectError,
    ReplayError,
    RunSuspended,
    effect_error_from,
)
from llmspell.journal.divergence import Divergence
from llmspell.journal.labels import shown
from llmspell.journal.reader import Reader
from llmspell.journal.recorded_turns import RecordedTurns
from llmspell.journal.records import RecordedEffect, RecordedRun
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.payments import Payment

STUCK = 1.0
"""Seconds without progress after which a run has diverged from its record."""

_PASSES = 1000  # of the event loop, which may have had no time until now


Restore = Callable[[Value, float], None]


class RecordedLeaf:
    """A recorded leaf, and how far the replay has come with it.

    Attributes:
        ended: Leaves that its outcome cancelled; they must be requested before it is delivered.
        restore: What to do when its result is delivered; see `Handler`.
    """

    __slots__ = ("asked", "effect", "ended", "future", "given", "restore")

    def __init__(self, effect: RecordedEffect) -> None:
        self.effect = effect
        self.ended: list[RecordedLeaf] = []
        self.asked = self.given = False
        self.future: asyncio.Future[None] | None = None
        self.restore: Restore | None = None

    def outcome(self) -> Value:
        """Return what the leaf returned, or raise what it raised."""
        if self.effect.kind == "error":
            raise _error(self.effect.outcome)
        return self.effect.outcome


class History:
    """The recorded part of a run, which is traversed once.

    Attributes:
        over: Whether all outcomes have been delivered.
        turns: What Lua was told.
        divergence: Describes where the run and its record part.
        failure: Why the run cannot follow its record, if it cannot.
        computing: Returns whether anything is done outside the event loop, so that no progress
            means nothing; set by the recording.
        stop: Stops the run; set by the recording.
    """

    def __init__(
        self,
        run: RecordedRun,
        effects: Sequence[RecordedEffect],
        reader: Reader,
        *,
        stops: Collection[str] = (),
        changes: str,
        last_turn: int | None = None,
    ) -> None:
        """Prepare the replay.

        Args:
            run: The run.
            effects: The leaves whose outcomes are delivered again.
            reader: The open journal that contains them.
            stops: The paths of the leaves before which to stop.
            changes: How the host's hooks and middleware have changed since, for errors.
            last_turn: The last turn to repeat; by default all.
        """
        self._reader, self._stops = reader, stops
        self.divergence = Divergence(run.id, changes)
        self.computing: Callable[[], bool] = lambda: False
        self.stop: Callable[[ReplayError], None] = lambda _: None
        all_ = [RecordedLeaf(effect) for effect in effects]
        # Leaves that have not been requested yet, by path
        self._found: dict[str, deque[RecordedLeaf]] = {}
        for recorded in all_:
            self._found.setdefault(recorded.effect.path, deque()).append(recorded)
        self.turns = RecordedTurns(run, reader, last_turn)
        # A cancelled leaf may this time be cancelled before it is requested, so the order omits it.
        ended = [r for r in all_ if r.effect.kind != "cancelled"]
        self._order = [r for r in ended if not self.answers_for(r.effect.path)]
        self._all = all_
        self._note_ended()
        self._by_asking = sorted(self._order, key=lambda r: r.effect.asked)
        asked = [r.effect.asked for r in self._by_asking]
        self._needed = [bisect_left(asked, r.effect.number) for r in self._order]
        self._next = self._asked = self._turn = self._steps = 0
        self._beyond: list[tuple[str, str, asyncio.Future[None]]] = []
        self._waking: list[Callable[[], None]] = []
        self._end: list[asyncio.Future[None]] = []
        self._watching = False
        self.failure: ReplayError | None = None
        self.over = not self._order

    def __contains__(self, path: str) -> bool:
        return bool(self._found.get(path))

    def check(self) -> None:
        """Raise the failure if the run could not follow its record."""
        if self.failure:
            raise self.failure

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def find(
        self,
        path: str,
        name: str,
        args: dict[str, Value],
        digest: bytes,
        restore: Restore | None = None,
    ) -> RecordedLeaf | None:
        """Return the recorded leaf that is requested at a path, or None if there is none.

        `restore` is called when its result is due.

        Raises:
            JournalMismatch: A different leaf was recorded there.
            RunSuspended: The replay was to stop here.
        """
        left = self._found.get(path)
        if path in self._stops:
            raise RunSuspended(f"stopped before {shown(name, args)}", reason="until")
        if not left:
            return None
        found = left[0]
        if found.effect.digest != digest:
            self.failure = self.divergence.mismatch(found.effect, name, args)
            raise self.failure
        left.popleft()  # a later request at this path is a repetition
        found.asked, found.restore = True, restore
        self._go_on()
        return found

    def outcome(self, path: str) -> Value:
        """Return the recorded outcome of the next leaf at a path, even of a failed one; or None."""
        left = self._found.get(path)
        return left[0].effect.outcome if left else None

    def payment(self, path: str) -> Payment | None:
        """Return what was paid for the next leaf at a path."""
        left = self._found.get(path)
        return left[0].effect.payment if left else None

    async def wait(self, recorded: RecordedLeaf) -> Value:
        """Wait until a leaf's outcome is due, and return it."""
        if not recorded.given:
            recorded.future = asyncio.get_running_loop().create_future()
            self._watch()
            try:
                await recorded.future
            except asyncio.CancelledError:
                self.drop(recorded)
                raise
        return recorded.outcome()

    def drop(self, recorded: RecordedLeaf) -> None:
        """Note that nobody waits for a leaf any more."""
        recorded.future = None
        self._go_on()

    async def end(self) -> None:
        """Wait until all outcomes have been delivered."""
        if not self.over:
            future = asyncio.get_running_loop().create_future()
            self._end.append(future)
            self._watch()
            await future

    async def beyond(self, path: str, name: str) -> None:
        """Wait at an effect that was not recorded; as in the original run, it may get cancelled.

        Raises:
            JournalExhausted: Nothing else happens in the run.
        """
        future = asyncio.get_running_loop().create_future()
        self._beyond.append((path, name, future))
        self._watch()
        await future

    def loosen(self, path: str) -> None:
        """Exempt from the order whatever was done by the leaf at a path, which had not ended."""
        for recorded in self._all:
            if not recorded.given and self._did(path, recorded.effect.path):
                recorded.given = True
        self._go_on()

    def ready(self, turn: int) -> bool:
        """Return whether all outcomes that preceded the turn after `turn` have been delivered."""
        return self.over or self._order[self._next].effect.turn > turn

    def turned(self, turn: int) -> None:
        """Note that Lua has a turn."""
        self._turn = turn
        self._go_on()
        self.wake()

    def wake(self) -> None:
        """Have states whose turn it was not yet look again."""
        waking, self._waking = self._waking, []
        for wake in waking:
            wake()

    def hold(self, wake: Callable[[], None]) -> None:
        """Call `wake` at the next progress: a Lua state waits for its turn."""
        self._waking.append(wake)
        self._watch()

    def _go_on(self) -> None:
        """Deliver every outcome that is due."""
        self._steps += 1
        asking = self._by_asking
        while self._asked < len(asking) and (
            asking[self._asked].asked or asking[self._asked].given
        ):
            self._asked += 1
        before = self._next
        while self._next < len(self._order) and self._is_due(self._order[self._next]):
            self._give(self._order[self._next])
            self._next += 1
        if self._next > before:
            self.wake()
        if self._next == len(self._order) and not self.over:
            self.over = True
            for future in self._end:
                if not future.done():
                    future.set_result(None)

    def _is_due(self, recorded: RecordedLeaf) -> bool:
        if recorded.given:
            return True
        all_asked = recorded.asked and self._asked >= self._needed[self._next]
        all_asked = all_asked and all(one.asked or one.given for one in recorded.ended)
        return all_asked and self._turn >= recorded.effect.turn

    def _give(self, recorded: RecordedLeaf) -> None:
        recorded.given = True
        effect = recorded.effect
        if recorded.restore is not None and effect.kind == "ok":
            recorded.restore(effect.outcome, time.time() - effect.started)
        if recorded.future is not None and not recorded.future.done():
            recorded.future.set_result(None)

    def _note_ended(self) -> None:
        """Link each recorded timeout to the leaves that it cancelled directly."""
        last: RecordedLeaf | None = None
        for recorded in self._all:
            if recorded.effect.kind != "cancelled":
                last = recorded if is_beside(recorded.effect.path) else None
            elif last and self._ends(last.effect, recorded.effect):
                last.ended.append(recorded)

    def _ends(self, expiry: RecordedEffect, cancelled: RecordedEffect) -> bool:
        """Return whether the expiry of a timeout, recorded beside an effect, cancelled a leaf."""
        path, around = cancelled.path, expiry.path.rpartition(BESIDE)[0]
        in_progress = cancelled.asked < expiry.number
        return in_progress and is_on_behalf(path, around) and not self.answers_for(path)

    def answers_for(self, path: str) -> bool:
        """Return whether a recorded leaf performed the effect at a path, rather than the spell.

        Such an effect is not repeated.
        """
        for above in all_above(path):
            if above in self.turns.calls:
                return False
            if above in self._found:
                return True
        return False

    def _did(self, leaf: str, path: str) -> bool:
        """Return whether the effect at a path was performed by that leaf, rather than by the spell."""
        between = takewhile(lambda above: above != leaf, all_above(path))
        return is_on_behalf(path, leaf) and not any(above in self.turns.calls for above in between)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            loop = asyncio.get_running_loop()
            loop.call_later(STUCK, self._let_pass, self._steps, _PASSES)

    def _let_pass(self, before: int, passes: int) -> None:
        """Look once the event loop has had its turns, if there has been no progress so far."""
        if passes and self._steps == before and not self.computing():
            asyncio.get_running_loop().call_soon(self._let_pass, before, passes - 1)
        else:
            self._look(before)

    def _look(self, before: int) -> None:
        """Fail whatever waits if there has been no progress since the last look."""
        self._watching = False
        beyond = [entry for entry in self._beyond if not entry[2].done()]
        waiting = [r for r in self._order if r.future is not None and not r.future.done()]
        ending = [future for future in self._end if not future.done()]
        if not (beyond or waiting or ending or self._waking):
            return
        if self._steps != before or self.computing():
            self._watch()
            return
        if self.over and beyond:
            error: ReplayError = self.divergence.exhausted(*beyond[0][:2])
        else:
            missing = next((r.effect for r in self._order if not r.asked and not r.given), None)
            error = self.divergence.unasked(missing) if missing else self.divergence.other_order()
        futures = [entry[2] for entry in beyond] + ending
        futures += [r.future for r in waiting if r.future is not None]
        self.failure = self.failure or error
        self._watch()
        if futures:
            futures[0].set_exception(error)
        else:
            self.stop(error)


def _error(table: dict[str, Value]) -> EffectError:
    """Return the error that a recorded outcome represents."""
    error = effect_error_from(table) or EffectError(
        str(table.get("message")),
        hint=table.get("hint"),
        details=table.get("details"),
        retryable=table.get("retryable") is True,
    )
    if error.code != table.get("code"):
        error.code = table["code"]  # type: ignore[misc]  # its class no longer exists
    error.where = table.get("where")
    return error
