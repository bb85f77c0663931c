"""Writes down what one run does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from llmspell.effects import Effect
from llmspell.journal.composites import Composites
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
"""Of a function of the spell: the path of its task, what stands for the function, the arguments'
text.
"""


class PendingLeaf:
    """A leaf that somebody asked for: what is known of it before it has ended.

    Attributes:
        path: Its path; `name` is its name.
        arguments: What it was asked for with.
        after: The number of the last leaf that had ended by then.
        begun: Whether it is written down that it has begun.
        payment: What is to be paid for it, if anything.
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
    """The rows of one run, which this process has locked.

    Attributes:
        ended: The number of the last leaf that has ended.
        known: Digests of some of what this run has written by content.
        held: What is written once a run that is taken up goes on beyond its record; None since
            then.
        payments: What requests of it cost.
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
        self.known: set[bytes] = set()

    def go_beyond(self) -> None:
        """The run goes beyond its record. Raises JournalError."""
        held, self.held = self.held, None
        self._writer.commit(held or ())

    def composites(self, unless_it_stops: Callable[[Callable[[], None]], None]) -> Composites:
        """Notes of effects that are made of others."""
        return Composites(self._writer, self._number, unless_it_stops)

    def begin(self, asked: PendingLeaf, due: float | None = None) -> None:
        """A leaf begins, and that is known before it does. Raises JournalError."""
        self._writer.commit(self._beginning(asked, due))

    def begin_sleep(self, asked: PendingLeaf, due: float) -> None:
        """A sleep begins, which will have ended then. It is known soon."""
        self._writer.add_soon(self._beginning(asked, due))

    def end(self, asked: PendingLeaf, kind: str, text: str, turn: int) -> None:
        """A leaf has ended, and that is known before anyone hears of it. Raises JournalError."""
        self.end_later(asked, kind, text, turn)
        self._writer.commit()

    def end_later(self, asked: PendingLeaf, kind: str, text: str, turn: int) -> None:
        """The same, and it is known before anything later is."""
        self.ended += 1
        arguments = asked.arguments
        rows = arguments.rows.copy()
        outcome = stored(text, rows)
        if rows:
            rows = self._new(rows)
        if asked.begun:
            rows.append((_ENDED, (self._number, asked.path)))
        what = (asked.path, asked.name, arguments.digest, arguments.args, arguments.lists)
        when = (asked.after, turn, asked.started, time.perf_counter() - asked.begin)
        used = None
        if payment := asked.payment:
            used = json.dumps(payment.as_plain())
            rows.append(self.payments.gone(payment))
        rows.append((_EFFECT, (self._number, self.ended, *what, kind, outcome, *when, used)))
        self._writer.add(rows)

    def turned(self, turn: int, under: str, batch: str, calls: Sequence[Call] = ()) -> None:
        """Lua was told a batch; that is known before anything later is.

        `calls` are those in it that are to be made again from the record.
        """
        if self.held is not None:
            self.go_beyond()
        rows: list[Row] = []
        for path, function, text in calls:
            rows.append((_CALL, (self._number, turn, path, function, stored(text, rows))))
        self._writer.add([(_TURN, (self._number, turn, under, batch)), *self._new(rows)])

    def ended_before(self, turn: int) -> None:
        """The run has come to its end, and has no such turn."""
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
        """The run has ended, or stops; `result` and `error` are texts. Raises JournalError."""
        rows: list[Row] = []
        kept: Stored | None = None if result is None else stored(result, rows)
        what = (status, reason, due, time.time(), kept, error)
        try:
            self._writer.commit([*(self.held or ()), *rows, (_RUN, (*what, self._number))])
        finally:
            self._lock.release()

    def amend(self, path: str, text: str) -> None:
        """What a leaf returns is another text now."""
        rows: list[Row] = []
        outcome = stored(text, rows)
        rows.append((_AMEND, (outcome, self._number, path, outcome)))
        if self.held is None:
            self._writer.add(rows)
        else:
            self.held += rows

    def leave(self) -> None:
        """Another process may go on with the run, which is as it was."""
        self._lock.release()

    def _beginning(self, asked: PendingLeaf, due: float | None) -> list[Row]:
        asked.begun = True
        arguments = asked.arguments
        what = (asked.name, arguments.digest, arguments.args, arguments.lists, asked.started, due)
        return [*self._new(arguments.rows), (_BEGUN, (self._number, asked.path, *what))]

    def _new(self, rows: list[Row]) -> list[Row]:
        """Rows without what this run has stored already by content."""
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
