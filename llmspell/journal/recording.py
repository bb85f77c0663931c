"""The recording of a run, which may first repeat what was recorded before."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, cast

from llmspell.clock import now
from llmspell.effect_paths import all_above
from llmspell.effects import Effect
from llmspell.errors import ENDS_RUN, LlmspellError
from llmspell.journal.abandoned_effects import AbandonedEffects
from llmspell.journal.leaf_calls import LeafCalls
from llmspell.journal.ledger import Call, Ledger, PendingLeaf
from llmspell.journal.parking import Parking
from llmspell.journal.stored_values import Arguments, TextOf
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.history import History
    from llmspell.journal.payments import Payment
    from llmspell.journal.records import BegunEffect, Delivered
    from llmspell.providers.messages import Usage

Verdict = Literal["again", "skip", "fail"]
"""What to do about a leaf that had begun when the run stopped, and may have been done."""

LATE, BACK = "late", "back"
"""Recorded instead of a batch: while a state computes, something else comes first; and it is heard."""

Judge = Callable[["BegunEffect"], Awaitable[Verdict]]


@dataclass
class Unfinished:
    """Leaves that had begun when the run stopped, and the judge that decides about them."""

    effects: dict[str, BegunEffect]
    judge: Judge


class Recording:
    """The recording of one run and its child runs.

    Attributes:
        id: The run's id.
        composites: Performs composite effects and takes notes; None in a replay.
        seed: The seed of the run's random numbers.
        turn: The number of turns Lua has had.
        history: What was recorded before, if the run is resumed or replayed.
        ledger: Writes the record; None in a replay.
        text_of: Encodes a value as text, without secrets.
        before: The payments made before the run was resumed.
        delivered: What the spell had got of unfinished answers before that.
        open: Leaves in progress, by path.
        calls: The calls that leaves have made into the spell.
        parking: Suspends the run when all of it only waits.
        abandoned: Effects that the spell no longer waits for.
        computing: The number of Lua states that compute outside the event loop, or are created
            there.
        in_time: Those of them, by their `under`, since whose turn no other state has had one, and
            no leaf has ended.
        leaving: Returns whether the run stops in order to be resumed, so that the leaves cancelled
            now have not ended; set by the driver.
        may_leave: Returns whether that may be so; set by the driver.
        leave: Announces that the run is about to be cancelled; set by the driver.
        stop: Stops the run with an error; set by the driver.
        over: Whether the run has failed or stops. What hooks still do at its end is not part of the
            run and is not recorded; a resumed run reaches its end again.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the attribute's name
        seed: int,
        *,
        text_of: TextOf,
        ledger: Ledger | None,
        history: History | None = None,
        unfinished: Unfinished | None = None,
        before: Sequence[Payment] = (),
        delivered: Mapping[str, Delivered] | None = None,
    ) -> None:
        """Prepare the recording.

        Args:
            id: The run's id.
            seed: The seed of its random numbers.
            text_of: Encodes a value as text, without secrets.
            ledger: Writes the record; without one, only recorded leaves are answered and none
                performed.
            history: What was recorded before.
            unfinished: The leaves that had begun before.
            before: The payments made before.
            delivered: What the spell had got of unfinished answers, by path of the leaf.
        """
        self.id, self.seed, self.turn, self.history = id, seed, 0, history
        self.abandoned = AbandonedEffects()
        self.computing = 0
        self.in_time: set[str] = set()
        self.over = False
        self.leaving: Callable[[], bool] = lambda: False
        self.may_leave: Callable[[], bool] = lambda: False
        self.leave: Callable[[], None] = lambda: None
        self.stop: Callable[[LlmspellError], None] = lambda _: None
        self.ledger, self.text_of, self._unfinished = ledger, text_of, unfinished
        self._known = ledger.known if ledger else ()
        self.before = before
        self.delivered = delivered or {}
        self._lost: dict[str, list[Payment]] = {}
        for payment in before:
            if payment.number:
                self._lost.setdefault(payment.path, []).append(payment)
        self.composites = ledger and ledger.composites(self.unless_it_stops)
        self.open: dict[str, PendingLeaf] = {}
        self.calls = LeafCalls()
        self._doubtful: list[Callable[[], None]] = []
        self.parking = Parking(self._all_wait, lambda error: self.stop(error))  # noqa: PLW0108 - it is set later
        if history is not None:
            history.computing = lambda: self.computing > 0
            history.stop = lambda error: self.stop(error)  # noqa: PLW0108 - it is set later

    def seed_of(self, path: str) -> int:
        """Return the seed of the child run that the effect at a path executes."""
        made = blake2b(f"{self.seed}:{path}".encode(), digest_size=4).digest()
        return int.from_bytes(made) >> 1

    @property
    def is_replay(self) -> bool:
        """Whether nothing new is performed."""
        return self.ledger is None

    @property
    def busy(self) -> bool:
        """Whether any leaf is in progress."""
        return bool(self.open)

    @property
    def follows_record(self) -> bool:
        """Whether what happens now is still determined by the record."""
        history = self.history
        return history is not None and (
            self.is_replay or not history.over or history.turns.go_on_after(self.turn)
        )

    def has_recorded(self, path: str) -> bool:
        """Return whether the leaf at a path is answered from the record."""
        return self.history is not None and path in self.history

    # Leaves, see leaves.py

    def recorded(self, path: str) -> Value:
        """Return the recorded outcome of the leaf at a path, or what had arrived of it; or None."""
        if self.history is None:
            return None
        if path in self.delivered and path not in self.history:
            return {"pieces": self.delivered[path].parts}
        return self.history.outcome(path)

    def payment(self, path: str) -> Payment | None:
        """Return what was paid for the leaf at a path, according to the record; or None."""
        return self.history.payment(path) if self.history else None

    def take_lost(self, path: str) -> list[Payment]:
        """Remove and return the earlier payments for the effect at a path that belong to no leaf."""
        return self._lost.pop(path, []) if self._lost else []

    def pay(self, path: str, model: str, usage: Usage) -> Payment:
        """Record a model request and the most it may use, before it begins. Raises JournalError.

        If the process is killed during the request, it counts as paid.
        """
        ledger = cast("Ledger", self.ledger)  # without one, nobody is asked
        payment = ledger.payments.begin(path, model, usage)
        if asked := self.open.get(path):
            if asked.payment is not None:
                ledger.payments.keep(asked.payment)
            asked.payment = payment
        return payment

    def paid(self, payment: Payment, usage: Usage | None, *, answered: bool) -> None:
        """Record what a model request used; None for nothing."""
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
        """Return the arguments of a leaf, as they are stored."""
        return Arguments(effect.name, effect.args, self.text_of, self._known)

    def has_begun(self, path: str) -> bool:
        """Return whether the leaf at a path had begun, and not ended, when the run stopped."""
        return self._unfinished is not None and path in self._unfinished.effects

    def take_begun(self, path: str) -> tuple[BegunEffect, Judge]:
        """Remove and return the begun leaf at a path, with the judge that decides about it."""
        assert self._unfinished is not None  # noqa: S101 - `has_begun` says so
        return self._unfinished.effects.pop(path), self._unfinished.judge

    def is_of_leaf(self, path: str) -> bool:
        """Return whether the effect at a path is performed by a leaf in progress, not by the spell."""
        return self.leaf_of(path) is not None

    def leaf_of(self, path: str) -> str | None:
        """Return the leaf in progress that performs the effect at a path; None if the spell does."""
        if self.open:
            for above in all_above(path):
                if above in self.calls:
                    return None
                if above in self.open:
                    return above
        return None

    def is_of_call(self, path: str) -> bool:
        """Return whether the effect at a path is performed by a spell function that a leaf called."""
        return bool(self.calls) and any(above in self.calls for above in all_above(path))

    @contextmanager
    def creates_state(self) -> Iterator[None]:
        """Note that a Lua state is created outside the event loop, in the body."""
        self.computing += 1
        try:
            yield
        finally:
            self.computing -= 1

    def close(self, asked: PendingLeaf) -> None:
        """Note that a leaf is no longer in progress."""
        del self.open[asked.path]
        if self.calls:
            self.calls.leaf_ended(asked.path)
        self.parking.consider()

    def unless_it_stops(self, note: Callable[[], None], error: BaseException | None = None) -> None:
        """Call `note`, which records that an effect was cancelled, or ended with an `error`.

        Wait with it while the run may be stopping: then the effect is not over.
        """
        is_error = isinstance(error, Exception)
        if isinstance(error, ENDS_RUN) or (not is_error and self.may_leave()):
            self._doubtful.append(note)
        elif is_error:
            note()
        else:
            self.settle_doubts()
            note()

    def settle_doubts(self) -> None:
        """Record the pending ends, since the run turned out not to be stopping."""
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            for note in doubtful:
                note()

    # Sleeping and waiting for people

    async def sleep(self, path: str, seconds: float) -> None:
        """Sleep on behalf of a leaf; the end is recorded, so a resumed run sleeps only for the
        rest.
        """
        from anyio import sleep

        begun = self.taken_up(path)
        due = begun.due if begun and begun.due else now() + seconds
        if not begun and self.ledger:
            self.ledger.begin_sleep(self.open[path], due)
        with self.parking.sleep(path, due):
            await sleep(max(0.0, due - now()))

    def taken_up(self, path: str) -> BegunEffect | None:
        """Remove and return the leaf at a path, if it had begun when the run stopped, to resume it."""
        begun = self._unfinished.effects.pop(path, None) if self._unfinished else None
        if begun:
            self.open[path].begun = True
        return begun

    async def wait_for_person(self, path: str, what: str, due: float | None) -> None:
        """Wait on behalf of a leaf for a person, until waiting becomes pointless if `due` is given.

        The run is suspended when nothing else happens in it; the person's answer is available when
        it is resumed.
        """
        from anyio import sleep

        asked = self.open[path]
        if self.ledger and not asked.begun:
            self.ledger.begin(asked, due)
        with self.parking.person(path, what, due):
            await sleep(math.inf if due is None else max(0.0, due - time.time()))

    def _all_wait(self, waiting: int) -> bool:
        """Return whether nothing happens but that many waiting leaves."""
        return len(self.open) <= waiting and not self.computing and not self.leaving()

    # Turns

    def turned(self, under: str, batch: str | None, calls: Sequence[Call] = ()) -> None:
        """Record a turn of Lua; `batch` names the messages if others would have been possible.

        `calls` are the calls among them that leaves made.
        """
        self.settle_doubts()
        if batch is not None:
            self._hear_later()
        self._turn(under, batch, calls)

    def leaf_ends(self) -> None:
        """Record that states which compute now are heard later than the end of a leaf."""
        history = self.history
        if self.in_time and not (history and history.turns.go_on_after(self.turn)):
            self._hear_later()

    def _hear_later(self) -> None:
        while self.in_time:
            self._turn(self.in_time.pop(), LATE)

    def _turn(self, under: str, batch: str | None, calls: Sequence[Call] = ()) -> None:
        self.turn += 1
        if batch is not None and self.ledger:
            self.ledger.turned(self.turn, under, batch, calls)
        if self.history is not None:
            self.history.turned(self.turn)
