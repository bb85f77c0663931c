"""A run that is recorded, or done again from its record."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, cast

from llmspell.clock import now
from llmspell.effect_paths import all_above
from llmspell.effects import Effect
from llmspell.errors import LimitExceeded, LlmspellError, ReplayError, RunSuspended
from llmspell.journal.abandoned_effects import AbandonedEffects
from llmspell.journal.ledger import Call, Ledger, PendingLeaf
from llmspell.journal.parking import Parking
from llmspell.journal.stored_values import Arguments, TextOf
from llmspell.journal.unclaimed_calls import UnclaimedCalls
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.history import History
    from llmspell.journal.payments import Payment
    from llmspell.journal.reader import BegunEffect
    from llmspell.providers.messages import Usage

Verdict = Literal["again", "skip", "fail"]
"""What to do about a leaf of which nobody knows whether it was done."""

Judge = Callable[["BegunEffect"], Awaitable[Verdict]]

# What stops a run so that it can be resumed; other errors end it.
STOPS = (LimitExceeded, ReplayError, RunSuspended)


def new_id() -> str:
    """An id for a run: when it began, and some chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


def is_id(text: object) -> bool:
    return (
        isinstance(text, str) and re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", text) is not None
    )


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
        history: What was recorded before, when the run is done again.
        ledger: Where it is written; None for who only replays.
        text_of: Gives a value's text, without secrets.
        before: What had been paid before it was taken up.
        open: Leaves in progress, by path.
        calls: The paths of calls of functions of the spell that leaves made, so far.
        unclaimed: Those of them that leaves which are to be done again have yet to make.
        waits: Those that only wait.
        abandoned: Those that the spell does not wait for any more.
        computing: How many Lua states compute apart from the event loop.
        leaving: Whether the run stops to be resumed, so that leaves which are cancelled have not
            ended; set by whoever drives it.
        may_leave: Whether it does perhaps; the same.
        leave: Says that it is about to be cancelled; the same.
        stop: Stops the run with an error; set by whoever drives it.
        over: Whether the run has failed or stops: what is done yet, for hooks at its end, is no
            part of it and is not recorded. A run that is resumed ends anew.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - it is the id
        seed: int,
        *,
        text_of: TextOf,
        ledger: Ledger | None,
        history: History | None = None,
        unfinished: Unfinished | None = None,
        before: Sequence[Payment] = (),
    ) -> None:
        """Prepare.

        Args:
            id: The run's.
            seed: What chance in it comes from.
            text_of: Gives a value's text, without secrets.
            ledger: Where it is written; without one nothing is done that was not recorded.
            history: What was recorded before.
            unfinished: What had begun before.
            before: What had been paid before.
        """
        self.id, self.seed, self.turn, self.history = id, seed, 0, history
        self.abandoned = AbandonedEffects()
        self.computing = 0
        self.over = False
        self.leaving: Callable[[], bool] = lambda: False
        self.may_leave: Callable[[], bool] = lambda: False
        self.leave: Callable[[], None] = lambda: None
        self.stop: Callable[[LlmspellError], None] = lambda _: None
        self.ledger, self.text_of, self._unfinished = ledger, text_of, unfinished
        self._known = ledger.known if ledger else ()
        self.before = before
        self._lost: dict[str, list[Payment]] = {}
        for payment in before:
            if payment.number:
                self._lost.setdefault(payment.path, []).append(payment)
        self.composites = ledger and ledger.composites(self.unless_it_stops)
        self.open: dict[str, PendingLeaf] = {}
        self.calls: set[str] = set()
        self.unclaimed = UnclaimedCalls()
        self._doubtful: list[Callable[[], None]] = []
        self.parking = Parking(self._all_wait, lambda error: self.stop(error))  # noqa: PLW0108 - as above
        if history is not None:
            history.computing = lambda: self.computing > 0
            history.stop = lambda error: self.stop(error)  # noqa: PLW0108 - it is set later

    def seed_of(self, path: str) -> int:
        """The seed of a run on behalf of the effect of that path."""
        made = blake2b(f"{self.seed}:{path}".encode(), digest_size=4).digest()
        return int.from_bytes(made) >> 1

    @property
    def is_replay(self) -> bool:
        """Whether nothing is done that was not recorded."""
        return self.ledger is None

    @property
    def busy(self) -> bool:
        """Whether leaves are in progress."""
        return bool(self.open)

    @property
    def follows_record(self) -> bool:
        """Whether what happens now is known from before."""
        history = self.history
        return history is not None and (
            self.is_replay or not history.over or history.has_turns_after(self.turn)
        )

    def has_recorded(self, path: str) -> bool:
        """Whether the leaf of that path is answered from the record."""
        return self.history is not None and path in self.history

    # Leaves, see leaves.py

    def recorded(self, path: str) -> Value:
        """What the leaf of that path came to, when that is known from before."""
        return self.history.outcome(path) if self.history else None

    def payment(self, path: str) -> Payment | None:
        """What was paid for it, when that is known from before."""
        return self.history.payment(path) if self.history else None

    def take_lost(self, path: str) -> list[Payment]:
        """What was paid before for the effect of that path, and is part of no leaf. Only once."""
        return self._lost.pop(path, []) if self._lost else []

    def pay(self, path: str, model: str, usage: Usage) -> Payment:
        """A request begins on behalf of an effect, and may use that.

        It is known before it does, so it has been paid should it never end. Raises JournalError.
        """
        ledger = cast("Ledger", self.ledger)  # without one, nobody is asked
        payment = ledger.payments.begin(path, model, usage)
        if asked := self.open.get(path):
            if asked.payment is not None:
                ledger.payments.keep(asked.payment)
            asked.payment = payment
        return payment

    def paid(self, payment: Payment, usage: Usage | None, *, answered: bool) -> None:
        """A request has ended, and used that; None for nothing."""
        ledger = cast("Ledger", self.ledger)
        asked = self.open.get(payment.path)
        in_leaf = asked is not None and asked.payment is payment
        if usage is not None:
            payment.usage, payment.answered = usage, answered
            if not in_leaf:
                ledger.payments.keep(payment)
            return
        ledger.payments.drop(payment)
        if asked is not None and in_leaf:
            asked.payment = None

    def arguments(self, effect: Effect) -> Arguments:
        """The arguments of a leaf, as they are stored."""
        return Arguments(effect.name, effect.args, self.text_of, self._known)

    def has_begun(self, path: str) -> bool:
        """Whether the leaf of that path had begun, and not ended, when the run stopped."""
        return self._unfinished is not None and path in self._unfinished.effects

    def take_begun(self, path: str) -> tuple[BegunEffect, Judge]:
        """That leaf, and who decides about it. It is no longer one of these."""
        assert self._unfinished is not None  # noqa: S101 - `has_begun` says so
        return self._unfinished.effects.pop(path), self._unfinished.judge

    def is_of_leaf(self, path: str) -> bool:
        """Whether what is done at a path is done by a leaf in progress, and not by the spell."""
        if self.open:
            for above in all_above(path):
                if above in self.calls:
                    return False
                if above in self.open:
                    return True
        return False

    def is_of_call(self, path: str) -> bool:
        """Whether what is done at a path is done by the spell since a leaf called it, now or then."""
        return bool(self.calls) and any(above in self.calls for above in all_above(path))

    def close(self, asked: PendingLeaf) -> None:
        """A leaf is not in progress any more."""
        del self.open[asked.path]
        if self.unclaimed:
            self.unclaimed.ended(asked.path)
        self.parking.consider()

    def unless_it_stops(self, note: Callable[[], None]) -> None:
        """Note that an effect was cancelled; while the run stops perhaps, only once it goes on."""
        if self.may_leave():
            self._doubtful.append(note)
        else:
            self.settle_doubts()
            note()

    def settle_doubts(self) -> None:
        """The run does not stop, so what was cancelled was not because of that."""
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            for note in doubtful:
                note()

    # Sleep, and people

    async def sleep(self, path: str, seconds: float) -> None:
        """Sleep on behalf of a leaf; when it is to end is known to who resumes the run."""
        from anyio import sleep

        begun = self.taken_up(path)
        due = begun.due if begun and begun.due else now() + seconds
        if not begun and self.ledger:
            self.ledger.begin_sleep(self.open[path], due)
        with self.parking.sleep(path, due):
            await sleep(max(0.0, due - now()))

    def taken_up(self, path: str) -> BegunEffect | None:
        """The leaf as it was when the run stopped, if it had begun: it goes on from there."""
        begun = self._unfinished.effects.pop(path, None) if self._unfinished else None
        if begun:
            self.open[path].begun = True
        return begun

    async def wait_for_person(self, path: str, what: str, due: float | None) -> None:
        """Wait on behalf of a leaf until it is of no use any more, if ever.

        When nothing else goes on the run stops. Who resumes it may have an answer.
        """
        from anyio import sleep

        asked = self.open[path]
        if self.ledger and not asked.begun:
            self.ledger.begin(asked, due)
        with self.parking.person(path, what, due):
            await sleep(math.inf if due is None else max(0.0, due - time.time()))

    def _all_wait(self, waiting: int) -> bool:
        """Whether nothing goes on but so many leaves that wait."""
        return len(self.open) <= waiting and not self.computing and not self.leaving()

    # Turns and the end

    def turned(self, under: str, batch: str | None, calls: Sequence[Call] = ()) -> None:
        """Lua has a turn; `batch` says what it is told, if it could have been told something else.

        `calls` are those in it that leaves made.
        """
        self.settle_doubts()
        self.turn += 1
        if batch is not None and self.ledger:
            self.ledger.turned(self.turn, under, batch, calls)
        if self.history is not None:
            self.history.turned(self.turn)

    @contextmanager
    def to_its_end(self) -> Iterator[End]:
        """Record how the run ends that is executed meanwhile."""
        end = End()
        try:
            yield end
            if self.history:
                self.history.check()
        except BaseException as error:
            self._stopped(error)
            raise
        finally:
            if self.history:
                self.history.close()
        if self.ledger:
            self.ledger.ended_before(self.turn + 1)
            self.ledger.finish("completed", result=self.text_of(end.result))

    def _stopped(self, error: BaseException) -> None:
        if isinstance(error, LlmspellError):
            error.run = self.id
        if self.ledger is None:
            return
        if self.history and not self.history.over and isinstance(error, ReplayError):
            self.ledger.leave()  # it stopped before it went on: nothing has changed
            return
        stops = not isinstance(error, LlmspellError) or isinstance(error, STOPS)
        due = error.due if isinstance(error, RunSuspended) else None
        self.ledger.finish(
            "suspended" if stops else "failed",
            error=self.text_of(_told(error)),
            reason=_reason(error) if stops else None,
            due=due,
        )


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
