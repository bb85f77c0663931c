"""A run that is recorded, or done again from its record."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

from llmspell.clock import now
from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Perform
from llmspell.errors import (
    EffectError,
    InvalidResult,
    JournalMismatch,
    LimitExceeded,
    LlmspellError,
    ReplayError,
    RunSuspended,
    UnfinishedEffect,
)
from llmspell.journal.ledger import Asked, Ledger
from llmspell.journal.past import Past, Recorded, shown
from llmspell.journal.reader import BegunEffect
from llmspell.journal.texts import Arguments
from llmspell.values import NotPlain, Value

Verdict = Literal["again", "skip", "fail"]
"""What to do about a leaf of which nobody knows whether it was done."""

Judge = Callable[[BegunEffect], Awaitable[Verdict]]

# What stops a run so that it can be resumed; other errors end it.
_STOPS = (LimitExceeded, ReplayError, RunSuspended)

MODULE = "module.load"

_SETTLING = 0.05  # seconds in which something else may yet go on, before a run is parked


def new_id() -> str:
    """An id for a run: when it began, and some chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


class End:
    """What a run came to: what it returned."""

    result: Value = None


@dataclass
class Unfinished:
    """Leaves that had begun when the run stopped, and whoever decides about them."""

    effects: dict[str, BegunEffect]
    judge: Judge


class Recording:
    """What is recorded of one run, and of the runs on its behalf.

    Attributes:
        id: The run's.
        composites: Performs, and notes, effects that are made of others; None for who only replays.
        seed: What chance in it comes from.
        turn: How many turns Lua has had.
        past: What was recorded before, when the run is done again.
        park: Seconds of sleep from which the run is stopped when all of it sleeps; None for never.
        computing: How many Lua states compute apart from the event loop.
        leaving: Whether the run stops to be resumed, so that leaves which are cancelled have not
            ended; set by whoever drives it.
        stop: Stops the run with an error; set by whoever drives it.
        over: Whether the run has failed or stops: what is done yet, for hooks at its end, is no part
            of it and is not recorded. A run that is resumed ends anew.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - it is the id
        seed: int,
        *,
        text_of: Callable[[Value], str],
        ledger: Ledger | None,
        past: Past | None = None,
        unfinished: Unfinished | None = None,
    ) -> None:
        """Prepare.

        Args:
            id: The run's.
            seed: What chance in it comes from.
            text_of: Gives a value's text, without secrets.
            ledger: Where it is written; without one nothing is done that was not recorded.
            past: What was recorded before.
            unfinished: What had begun before.
        """
        self.id, self.seed, self.turn, self.past = id, seed, 0, past
        self.park: float | None = None
        self.computing = 0
        self.over = False
        self.leaving: Callable[[], bool] = lambda: False
        self.stop: Callable[[LlmspellError], None] = lambda _: None
        self._ledger, self._text_of, self._unfinished = ledger, text_of, unfinished
        self.composites = ledger and ledger.composites(lambda: self.leaving())  # noqa: PLW0108 - it is set later
        self._open: dict[str, Asked] = {}
        self._sleeping: dict[str, float] = {}
        self._asking: dict[str, float | None] = {}
        self._question = ""
        if past is not None:
            past.computing = lambda: self.computing > 0
            past.stop = lambda error: self.stop(error)  # noqa: PLW0108 - it is set later

    def seed_of(self, path: str) -> int:
        """The seed of a run on behalf of the effect of that path."""
        made = blake2b(f"{self.seed}:{path}".encode(), digest_size=4).digest()
        return int.from_bytes(made) >> 1

    @property
    def is_replay(self) -> bool:
        """Whether nothing is done that was not recorded."""
        return self._ledger is None

    @property
    def busy(self) -> bool:
        """Whether leaves are in progress."""
        return bool(self._open)

    def has_recorded(self, path: str) -> bool:
        """Whether the leaf of that path is answered from the record."""
        return self.past is not None and path in self.past

    # Leaves

    def recorded(self, path: str) -> Value:
        """What the leaf of that path came to, when that is known from before."""
        return self.past.outcome(path) if self.past else None

    def leaf(
        self,
        effect: Effect,
        call: Perform,
        *,
        again: bool,
        lazily: bool = False,
        so_far: Callable[[Effect], Value] | None = None,
    ) -> Answer[Value]:
        """Perform a leaf and record what comes of it, before anyone sees that; or answer it.

        Args:
            effect: The leaf.
            call: Performs it.
            again: Whether it may be performed again should nobody know whether it was.
            lazily: Whether a result that is None may be recorded with what comes next.
            so_far: What it is recorded with if it is cancelled.

        Raises:
            JournalError: It cannot be recorded.
            JournalMismatch: It is not the one that was recorded.
        """
        if self.over:
            return call(effect)
        known = self._ledger.known if self._ledger else ()
        arguments = Arguments(effect.name, effect.args, self._text_of, known)
        past = self.past
        if past is None:
            return self._live(effect, arguments, call, again=again, lazily=lazily, so_far=so_far)
        recorded = past.find(effect.path, effect.name, effect.args, arguments.digest)
        if recorded is not None:
            if effect.name == MODULE and self._ledger:
                return self._anew(effect, call)
            return recorded.outcome() if recorded.given else _Again(past, recorded)
        if past.over and self._ledger and not self._has_begun(effect.path):
            return self._live(effect, arguments, call, again=again, lazily=lazily, so_far=so_far)
        return self._afterwards(past, effect, arguments, call, again=again, so_far=so_far)

    def _anew(self, effect: Effect, call: Perform) -> Answer[Value]:
        """A module as it is now: it may have been edited since, as the spell may."""
        module = call(effect)
        assert self._ledger is not None  # noqa: S101 - a run that is only replayed has the old one
        self._ledger.amend(effect.path, self._text_of(module))
        return module

    def _has_begun(self, path: str) -> bool:
        return self._unfinished is not None and path in self._unfinished.effects

    async def _afterwards(
        self,
        past: Past,
        effect: Effect,
        arguments: Arguments,
        call: Perform,
        *,
        again: bool,
        so_far: Callable[[Effect], Value] | None,
    ) -> Value:
        """Do what was not recorded once all that was has been done again."""
        past.loosen(effect.path)
        if self._ledger is None:
            await past.beyond(effect.path, effect.name)
        await past.end()
        unfinished = self._unfinished
        if not again and unfinished and effect.path in unfinished.effects:
            begun = unfinished.effects.pop(effect.path)
            if begun.digest != arguments.digest:
                was, now = shown(begun.name, begun.args), shown(effect.name, effect.args)
                raise JournalMismatch(f"the spell asks for {now}, but its record has begun {was}")
            if await self._verdict(unfinished.judge, begun) == "skip":
                self._end(self._asked(effect, arguments, begun=True), "ok", "null")
                return None
        return await settled(self._live(effect, arguments, call, again=again, so_far=so_far))

    async def _verdict(self, judge: Judge, begun: BegunEffect) -> Verdict:
        verdict = await judge(begun)
        if verdict == "fail":
            raise UnfinishedEffect(shown(begun.name, begun.args), begun.path, self.id)
        return verdict

    def _asked(self, effect: Effect, arguments: Arguments, *, begun: bool = False) -> Asked:
        assert self._ledger is not None  # noqa: S101 - without one, nothing comes so far
        asked = Asked(effect.path, effect.name, arguments, self._ledger.ended)
        asked.begun = begun
        self._open[asked.path] = asked
        return asked

    def _live(
        self,
        effect: Effect,
        arguments: Arguments,
        call: Perform,
        *,
        again: bool,
        lazily: bool = False,
        so_far: Callable[[Effect], Value] | None = None,
    ) -> Answer[Value]:
        if self.leaving():  # nothing more is begun
            raise asyncio.CancelledError
        asked = self._asked(effect, arguments)
        asked.so_far = so_far and partial(so_far, effect)
        if not again and self._ledger:
            self._ledger.begin(asked)
        try:
            result = call(effect)
        except Exception as error:
            self._failed(asked, error)
            raise
        if hasattr(result, "__await__"):
            return _Awaited(self, asked, result, lazily=lazily)
        self._succeeded(asked, result, lazily=lazily)
        return result

    async def finished(self, asked: Asked, answer: Awaitable[Value], *, lazily: bool) -> Value:
        """Await a leaf, and record what comes of it."""
        try:
            result = await answer
        except asyncio.CancelledError:
            self.cancelled(asked)
            raise
        except Exception as error:
            self._failed(asked, error)
            raise
        self._succeeded(asked, result, lazily=lazily)
        return result

    def cancelled(self, asked: Asked) -> None:
        """Nobody waits for a leaf any more, unless that is because the run stops."""
        if self._ledger and not self.leaving():
            text = self._text_of(asked.so_far()) if asked.so_far else "null"
            self._ledger.end_later(asked, "cancelled", text, None, self.turn)
        self._close(asked)

    def _succeeded(self, asked: Asked, result: Value, *, lazily: bool) -> None:
        if lazily and result is None and self._ledger:
            self._ledger.end_later(asked, "ok", "null", None, self.turn)
            self._close(asked)
            return
        try:
            text = self._text_of(result)
        except EffectError as error:
            unplain = _unplain(asked.name, result, error)
            self._failed(asked, unplain)
            raise unplain from error
        usage = result.get("usage") if type(result) is dict else None
        self._end(asked, "ok", text, usage)

    def _failed(self, asked: Asked, error: Exception) -> None:
        if isinstance(error, _STOPS):
            self._close(asked)
            return
        seen = error if isinstance(error, EffectError) else internal(asked.name, error)
        self._end(asked, "error", self._text_of(seen.as_table()))

    def _end(self, asked: Asked, kind: str, text: str, usage: Value = None) -> None:
        self._close(asked)
        if self._ledger:
            self._ledger.end(asked, kind, text, usage, self.turn)

    def _close(self, asked: Asked) -> None:
        del self._open[asked.path]
        if self._sleeping or self._asking:
            self._consider_parking()

    # Sleep, and people

    async def sleep(self, path: str, seconds: float) -> None:
        """Sleep on behalf of a leaf; when it is to end is known to who resumes the run."""
        from anyio import sleep

        begun = self.taken_up(path)
        due = begun.due if begun and begun.due else now() + seconds
        if not begun and self._ledger:
            self._ledger.begin_sleep(self._open[path], due)
        self._sleeping[path] = due
        self._consider_parking()
        try:
            await sleep(max(0.0, due - now()))
        finally:
            del self._sleeping[path]

    def taken_up(self, path: str) -> BegunEffect | None:
        """The leaf as it was when the run stopped, if it had begun: it goes on from there."""
        begun = self._unfinished.effects.pop(path, None) if self._unfinished else None
        if begun:
            self._open[path].begun = True
        return begun

    async def wait_for_person(self, path: str, what: str, due: float | None) -> None:
        """Wait on behalf of a leaf until it is of no use any more, if ever.

        When nothing else goes on the run stops. Who resumes it may have an answer.
        """
        from anyio import sleep

        asked = self._open[path]
        if self._ledger and not asked.begun:
            self._ledger.begin(asked, due)
        self._asking[path], self._question = due, what
        self._consider_parking()
        try:
            await sleep(math.inf if due is None else max(0.0, due - time.time()))
        finally:
            del self._asking[path]

    def _consider_parking(self) -> None:
        if self.park is not None or self._asking:
            asyncio.get_running_loop().call_later(_SETTLING, self._park)

    def _park(self) -> None:
        """Stop the run if all of it sleeps, and long enough, or waits for people."""
        sleeping = () if self.park is None else self._sleeping.values()
        waiting = len(sleeping) + len(self._asking)
        if not waiting or len(self._open) > waiting or self.computing or self.leaving():
            return
        moment = now()
        if self.park is not None and any(due - moment <= self.park for due in sleeping):
            return
        due = min((d for d in (*sleeping, *self._asking.values()) if d is not None), default=None)
        if self._asking:
            error = RunSuspended(
                f"the run waits for a person: {self._question}", reason="person", due=due
            )
            error.hint = "see: llmspell pending"
        else:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(due))
            error = RunSuspended(f"the run sleeps until {when}", reason="sleep", due=due)
        self.stop(error)

    # Turns and the end

    def turned(self, under: str, batch: str | None) -> None:
        """Lua has a turn; `batch` says what it is told, if it could have been told something else."""
        self.turn += 1
        if batch is not None and self._ledger:
            self._ledger.turned(self.turn, under, batch)
        if self.past is not None:
            self.past.turned(self.turn)

    @contextmanager
    def to_its_end(self) -> Iterator[End]:
        """Record how the run ends that is executed meanwhile."""
        end = End()
        try:
            yield end
            if self.past:
                self.past.check()
        except BaseException as error:
            self._stopped(error)
            raise
        finally:
            if self.past:
                self.past.close()
        if self._ledger:
            self._ledger.finish("completed", result=self._text_of(end.result))

    def _stopped(self, error: BaseException) -> None:
        if isinstance(error, LlmspellError):
            error.run = self.id
        if self._ledger is None:
            return
        if self.past and not self.past.over and isinstance(error, ReplayError):
            self._ledger.leave()  # it stopped before it went on: nothing has changed
            return
        stops = not isinstance(error, LlmspellError) or isinstance(error, _STOPS)
        due = error.due if isinstance(error, RunSuspended) else None
        self._ledger.finish(
            "suspended" if stops else "failed",
            error=self._text_of(_told(error)),
            reason=_reason(error) if stops else None,
            due=due,
        )


async def beside(effect: Effect, mark: str, work: Coroutine[Any, Any, Value]) -> Value:
    """What host code learns from outside in the midst of an effect that is made of others.

    It is a leaf beside that effect, at its path and a mark, and is recorded as such.
    """
    recording = effect.run[Recording]
    if not recording:
        return await work
    place = Effect(effect.name, {}, f"{effect.path}!{mark}", effect.run)
    try:
        return await settled(recording.leaf(place, lambda _: work, again=True))
    finally:
        work.close()


class _Awaited:
    """The answer of a leaf that takes time. Who does not await it closes it."""

    __slots__ = ("_answer", "_asked", "_begun", "_lazily", "_recording")

    def __init__(
        self, recording: Recording, asked: Asked, answer: Awaitable[Value], *, lazily: bool
    ) -> None:
        self._recording, self._asked, self._answer = recording, asked, answer
        self._begun, self._lazily = False, lazily

    def __await__(self) -> Generator[Any, Any, Value]:
        self._begun = True
        finished = self._recording.finished(self._asked, self._answer, lazily=self._lazily)
        return finished.__await__()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._recording.cancelled(self._asked)
            if close := getattr(self._answer, "close", None):
                close()


class _Again:
    """The recorded answer of a leaf, which is not due yet. Who does not await it closes it."""

    __slots__ = ("_begun", "_past", "_recorded")

    def __init__(self, past: Past, recorded: Recorded) -> None:
        self._past, self._recorded, self._begun = past, recorded, False

    def __await__(self) -> Generator[Any, Any, Value]:
        self._begun = True
        return self._past.wait(self._recorded).__await__()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._past.drop(self._recorded)


def internal(name: str, error: Exception) -> EffectError:
    """What a spell sees of an exception that is none of ours."""
    return EffectError(f"{name} failed: internal error ({type(error).__name__})")


def _unplain(name: str, result: Value, error: EffectError) -> InvalidResult:
    from llmspell.lua.codec import encode

    try:
        encode(result)
    except NotPlain as why:
        return InvalidResult(f"{name}: {why}")
    return InvalidResult(f"{name}: {error}")


def _reason(error: BaseException) -> str:
    """Why a run stopped, in a word."""
    if isinstance(error, RunSuspended):
        return error.reason
    if isinstance(error, LimitExceeded):
        return "limit"
    return "record" if isinstance(error, ReplayError) else "interrupted"


def _told(error: BaseException) -> dict[str, Value]:
    """What is kept of the error that ended a run."""
    if not isinstance(error, LlmspellError):
        return {"code": "interrupted", "message": str(error) or "interrupted"}
    told: dict[str, Value] = {"code": error.code, "message": error.message}
    for key in ("where", "hint", "details"):
        if value := getattr(error, key):
            told[key] = value
    return told
