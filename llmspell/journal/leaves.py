"""Performs and records the leaves of a run, or answers them from the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from llmspell.concurrency import Answer, Followed, is_cancelled, settled
from llmspell.effects import Effect, Perform, as_effect_error
from llmspell.errors import (
    EffectError,
    InvalidResult,
    UnfinishedEffect,
)
from llmspell.journal.delivered_parts import Parts
from llmspell.journal.labels import shown
from llmspell.journal.ledger import Ledger, PendingLeaf
from llmspell.journal.recording import Judge, Recording, Verdict
from llmspell.journal.stored_values import Arguments
from llmspell.values import NotPlain, Value

if TYPE_CHECKING:
    from llmspell.journal.history import History, RecordedLeaf
    from llmspell.journal.records import BegunEffect

MODULE = "module.load"


def _always(_: Effect) -> bool:
    return True


class Leaves:
    """The leaves of one effect name in one run."""

    __slots__ = (
        "_again",
        "_call",
        "_delivered",
        "_lazily",
        "_ledger",
        "_recording",
        "_restore",
        "_so_far",
    )

    def __init__(
        self,
        recording: Recording,
        call: Perform,
        *,
        again: Callable[[Effect], bool] = _always,
        lazily: bool = False,
        so_far: Callable[[Effect], Value] | None = None,
        delivered: Callable[[Effect], Parts | None] | None = None,
        restore: Callable[[Effect, Value, float], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            recording: The run's recording.
            call: Performs a leaf.
            again: Returns whether a leaf may be repeated if it is unknown whether it was performed.
            lazily: Whether a result of None may be recorded with the next commit.
            so_far: Returns what to record for a leaf that is cancelled.
            delivered: As in `Handler`.
            restore: Does a recorded leaf again where that may have ended with the process.
        """
        self._recording, self._call = recording, call
        self._again, self._lazily = again, lazily
        self._so_far, self._delivered = so_far, delivered
        self._restore = None if recording.is_replay else restore
        self._ledger = cast("Ledger", recording.ledger)  # a replay has none, and performs none

    def perform(self, effect: Effect) -> Answer[Value]:
        """Perform a leaf and record its outcome before it is seen, or answer it from the record.

        Raises:
            JournalError: The outcome cannot be recorded.
            JournalMismatch: A different leaf was recorded.
        """
        recording = self._recording
        if recording.over:
            return self._call(effect)
        if given_up := recording.abandoned.find(effect.path):
            return given_up
        arguments = recording.arguments(effect)
        history = recording.history
        if history is None:
            return self._live(effect, arguments)
        restore = partial(self._restore, effect) if self._restore else None
        recorded = history.find(effect.path, effect.name, effect.args, arguments.digest, restore)
        if recorded is not None:
            if effect.name == MODULE and not recording.is_replay:
                return self._anew(effect)
            return recorded.outcome() if recorded.given else _Again(history, recorded)
        goes_on = history.over and not recording.is_replay and not recording.has_begun(effect.path)
        do = self._live if goes_on else partial(self._afterwards, history)
        return do(effect, arguments)

    def _anew(self, effect: Effect) -> Answer[Value]:
        """Load the module again: it may have been edited since, like the spell."""
        module = self._call(effect)
        self._ledger.amend(effect.path, self._recording.text_of(module))
        return module

    async def _afterwards(self, history: History, effect: Effect, arguments: Arguments) -> Value:
        """Perform a leaf that was not recorded, once all recorded outcomes have been delivered."""
        recording = self._recording
        history.loosen(effect.path)
        if recording.is_replay:
            await history.beyond(effect.path, effect.name)
        await history.end()
        if recording.has_begun(effect.path) and not self._again(effect):
            begun, judge = recording.take_begun(effect.path)
            if begun.digest != arguments.digest:
                raise history.divergence.begun_otherwise(begun, effect.name, effect.args)
            if await self._verdict(judge, begun) == "skip":
                asked = self._ask(effect, arguments)
                asked.begun = True
                self._end(asked, "ok", "null")
                return None
        return await settled(self._live(effect, arguments))

    async def _verdict(self, judge: Judge, begun: BegunEffect) -> Verdict:
        verdict = await judge(begun)
        if verdict == "fail":
            raise UnfinishedEffect(shown(begun.name, begun.args), begun.path, self._recording.id)
        return verdict

    def _ask(self, effect: Effect, arguments: Arguments) -> PendingLeaf:
        if self._ledger.held is not None:
            self._ledger.go_beyond()
        self._recording.settle_doubts()
        asked = PendingLeaf(effect, arguments, self._ledger.ended)
        if self._recording.delivered and (known := self._recording.delivered.get(effect.path)):
            asked.after = known.asked
        self._recording.open[effect.path] = asked
        return asked

    def _live(self, effect: Effect, arguments: Arguments) -> Answer[Value]:
        if self._recording.leaving():
            return _GivenUp()
        asked = self._ask(effect, arguments)
        if not self._again(effect):
            self._ledger.begin(asked)
        if self._delivered and (parts := self._delivered(effect)):
            self._ledger.delivered.begin(effect.path, asked.after, parts, self._recording.text_of)
        try:
            result = self._call(effect)
        except Exception as error:
            failure = self._failed(asked, error)
            if failure is error:
                raise
            raise failure from error
        if type(result) is CoroutineType or hasattr(result, "__await__"):
            return Followed(result, partial(self._answered, asked), partial(self._cancelled, asked))
        self._succeeded(asked, result)
        return result

    async def _answered(self, asked: PendingLeaf, answer: Awaitable[Value]) -> Value:
        """Await a leaf and record its outcome."""
        try:
            result = await answer
        except asyncio.CancelledError as error:
            if is_cancelled() or self._recording.leaving():
                self._cancelled(asked)
                raise
            raise self._failed(asked, as_effect_error(asked.name, error)) from error
        except Exception as error:
            failure = self._failed(asked, error)
            if failure is error:
                raise
            raise failure from error
        self._succeeded(asked, result)
        return result

    def _cancelled(self, asked: PendingLeaf) -> None:
        """Record that a leaf was cancelled, unless that is because the run stops."""
        recording = self._recording
        text = recording.text_of(self._so_far(asked.effect)) if self._so_far else "null"
        what = (asked, "cancelled", text, recording.turn)
        recording.unless_it_stops(partial(self._ledger.end_later, *what))
        recording.close(asked)

    def _succeeded(self, asked: PendingLeaf, result: Value) -> None:
        recording = self._recording
        if self._lazily and result is None:
            self._end(asked, "ok", "null", lazily=True)
            return
        try:
            text = recording.text_of(result)
        except EffectError as error:
            raise self._failed(asked, _unplain(asked.name, result, error)) from error
        self._end(asked, "ok", text)

    def _failed(self, asked: PendingLeaf, error: Exception) -> BaseException:
        """Record a failure; return what to raise, which is what a replay raises."""
        failure = as_effect_error(asked.name, error)
        if isinstance(failure, EffectError):
            self._end(asked, "error", self._recording.text_of(failure.as_table()))
        else:
            self._recording.close(asked)
        return failure

    def _end(self, asked: PendingLeaf, kind: str, text: str, *, lazily: bool = False) -> None:
        recording = self._recording
        if recording.abandoned.find(asked.path) and not recording.may_leave():
            self._cancelled(asked)  # which it has yet to hear
            return
        recording.close(asked)
        recording.leaf_ends()
        end = self._ledger.end_later if lazily else self._ledger.end
        end(asked, kind, text, recording.turn)


async def beside(effect: Effect, mark: str, work: Coroutine[Any, Any, Value]) -> Value:
    """Return what host code learns from outside in the middle of a composite effect.

    It is recorded as a leaf beside that effect, at the effect's path followed by a mark.
    """
    recording = effect.run[Recording]
    if not recording:
        return await work
    place = Effect(effect.name, {}, effect.path_beside(mark), effect.run)
    try:
        return await settled(Leaves(recording, lambda _: work).perform(place))
    finally:
        work.close()


async def noted(effect: Effect, mark: str) -> None:
    """Record beside an effect that something has happened; when replayed, wait until it had."""
    await beside(effect, mark, _nothing())


async def _nothing() -> None: ...


class _GivenUp:
    """The answer of a leaf that is not started because the run stops; awaiting it raises."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Value]:
        yield  # a pending cancellation arrives here, with its origin
        raise asyncio.CancelledError

    def close(self) -> None:
        """Do nothing, since nothing has started."""


class _Again:
    """A recorded answer that is not due yet. A caller that does not await it has to close it."""

    __slots__ = ("_begun", "_history", "_recorded")

    def __init__(self, history: History, recorded: RecordedLeaf) -> None:
        self._history, self._recorded, self._begun = history, recorded, False

    def __await__(self) -> Generator[Any, Any, Value]:
        self._begun = True
        return self._history.wait(self._recorded).__await__()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._history.drop(self._recorded)


def _unplain(name: str, result: Value, error: EffectError) -> InvalidResult:
    from llmspell.lua.codec import encode

    try:
        encode(result)
    except NotPlain as why:
        return InvalidResult(f"{name}: {why}")
    return InvalidResult(f"{name}: {error}")
