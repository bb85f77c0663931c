"""Writes the rows of one run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from llmspell.effects import Effect
from llmspell.journal.composites import Composites, Unless
from llmspell.journal.delivered_parts import DeliveredParts
from llmspell.journal.locks import RunLock
from llmspell.journal.payments import Payment, Payments
from llmspell.journal.stored_values import BLOB, LINK, Arguments, Row, Stored, stored
from llmspell.journal.writer import Writer

_EFFECT = "INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BEGUN = (
    "INSERT OR REPLACE INTO begun (run, path, name, digest, args, lists, started, due)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ENDED = "DELETE FROM begun WHERE run = ? AND path = ?"
_AMEND = "UPDATE effects SET outcome = ? WHERE run = ? AND path = ? AND outcome IS NOT ?"
_TURN = "INSERT INTO turns VALUES (?, ?, ?, ?)"
_NO_TURN = "INSERT OR REPLACE INTO turns VALUES (?, ?, '', 'end')"
_CALL = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?)"
_RUN = """
    UPDATE runs SET status = ?, reason = ?, due = ?, ended = ?, result = ?, error = ?
    WHERE number = ?
"""


_MOST_KNOWN = 10_000

Call = tuple[str, int, str]
"""A call of a function of the spell: task path, number of the function, arguments as text."""


class PendingLeaf:
    """A requested leaf that has not ended.

    Attributes:
        path: Its path; `name` is its name.
        arguments: Its arguments.
        after: The number of the last leaf that had ended when it was requested.
        begun: Whether its beginning has been recorded.
        payment: What has to be paid for it, if anything.
    """

    __slots__ = (
        "after",
        "arguments",
        "begin",
        "begun",
        "effect",
        "name",
        "path",
        "payment",
        "started",
    )

    def __init__(self, effect: Effect, arguments: Arguments, after: int) -> None:
        self.effect, self.arguments, self.after = effect, arguments, after
        self.path, self.name = effect.path, effect.name
        self.begun = False
        self.payment: Payment | None = None
        self.started, self.begin = time.time(), time.perf_counter()


class Ledger:
    """The rows of one run, whose lock this process holds.

    Attributes:
        ended: The number of the last leaf that has ended.
        known: Digests of content that this run has already written; not necessarily all of them.
        held: Rows to write once a resumed run goes beyond its record; None from then on.
        payments: The payments for the run's model requests.
        delivered: The parts of answers that are still arriving.
    """

    def __init__(
        self,
        writer: Writer,
        lock: RunLock,
        number: int,
        *,
        ended: int = 0,
        held: list[Row] | None = None,
        payments: Payments | None = None,
    ) -> None:
        self.ended, self.held = ended, held
        self.payments = payments or Payments(writer, number)
        self._writer, self._lock, self._number = writer, lock, number
        self.delivered = DeliveredParts(number)
        self.known: set[bytes] = set()

    def go_beyond(self) -> None:
        """Write the held rows: the run goes beyond its record. Raises JournalError."""
        held, self.held = self.held, None
        self._writer.commit(held or ())

    def composites(self, unless_it_stops: Unless) -> Composites:
        """Return the notes on the run's composite effects."""
        return Composites(self._writer, self._number, unless_it_stops)

    def begin(self, asked: PendingLeaf, due: float | None = None) -> None:
        """Record that a leaf begins, before it does. Raises JournalError."""
        self._writer.commit(self._beginning(asked, due))

    def begin_sleep(self, asked: PendingLeaf, due: float) -> None:
        """Record soon that a sleep begins, and when it is to end."""
        self._writer.add_soon(self._beginning(asked, due))

    def end(self, asked: PendingLeaf, kind: str, text: str, turn: int) -> None:
        """Record a leaf's outcome before anyone sees it. Raises JournalError."""
        self.end_later(asked, kind, text, turn)
        self._writer.commit()

    def end_later(self, asked: PendingLeaf, kind: str, text: str, turn: int) -> None:
        """Record a leaf's outcome with the next commit."""
        self.ended += 1
        arguments = asked.arguments
        rows = arguments.rows.copy()
        outcome = stored(text, rows)
        if rows:
            rows = self._new(rows)
        if asked.begun:
            rows.append((_ENDED, (self._number, asked.path)))
        if self.delivered.arriving:
            rows += [*self.delivered.end(asked.path, kind), *self.delivered.settle()]
        what = (asked.path, asked.name, arguments.digest, arguments.args, arguments.lists)
        when = (asked.after, turn, asked.started, time.perf_counter() - asked.begin)
        used = None
        if payment := asked.payment:
            used = json.dumps(payment.as_plain())
            rows.append(self.payments.gone(payment))
        rows.append((_EFFECT, (self._number, self.ended, *what, kind, outcome, *when, used)))
        self._writer.add(rows)

    def turned(self, turn: int, under: str, batch: str, calls: Sequence[Call] = ()) -> None:
        """Record with the next commit which batch Lua was told.

        `calls` are the calls in it that a replay has to make from the record.
        """
        if self.held is not None:
            self.go_beyond()
        rows: list[Row] = []
        for path, function, text in calls:
            rows.append((_CALL, (self._number, turn, path, function, stored(text, rows))))
        told = self.delivered.tell(turn) if self.delivered.arriving else ()
        self._writer.add([(_TURN, (self._number, turn, under, batch)), *self._new(rows), *told])

    def ended_before(self, turn: int) -> None:
        """Record that the run ended before that turn."""
        self._writer.add([(_NO_TURN, (self._number, turn))])

    def finish(
        self,
        status: str,
        *,
        result: str | None = None,
        error: str | None = None,
        reason: str | None = None,
        due: float | None = None,
    ) -> None:
        """Record that the run has ended or is suspended, and release its lock.

        `result` and `error` are stored texts. Raises JournalError.
        """
        rows: list[Row] = []
        kept: Stored | None = None if result is None else stored(result, rows)
        what = (status, reason, due, time.time(), kept, error)
        try:
            self._writer.commit([*(self.held or ()), *rows, (_RUN, (*what, self._number))])
        finally:
            self._lock.release()

    def amend(self, path: str, text: str) -> None:
        """Replace the recorded outcome of a leaf."""
        rows: list[Row] = []
        outcome = stored(text, rows)
        rows.append((_AMEND, (outcome, self._number, path, outcome)))
        if self.held is None:
            self._writer.add(rows)
        else:
            self.held += rows

    def leave(self) -> None:
        """Release the lock and leave the run unchanged."""
        self._lock.release()

    def _beginning(self, asked: PendingLeaf, due: float | None) -> list[Row]:
        asked.begun = True
        arguments = asked.arguments
        what = (asked.name, arguments.digest, arguments.args, arguments.lists, asked.started, due)
        rows = [*self._new(arguments.rows), (_BEGUN, (self._number, asked.path, *what))]
        return [*rows, *self.delivered.settle()] if self.delivered.arriving else rows

    def _new(self, rows: list[Row]) -> list[Row]:
        """Return the rows without content that this run has already stored."""
        new = []
        for row in rows:
            if row[0] is BLOB or row[0] is LINK:
                if row[1][0] in self.known:
                    continue
                if len(self.known) >= _MOST_KNOWN:
                    self.known.clear()
                self.known.add(row[1][0])
            new.append(row)
        return new
