"""Records the cost of model requests before they begin, so that a kill does not hide it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from llmspell.errors import JournalError
from llmspell.journal.stored_values import Row
from llmspell.journal.writer import Writer
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.records import RecordedEffect
    from llmspell.providers.messages import Usage

_BEGUN = "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?)"
_KNOWN = "UPDATE payments SET usage = ?, answered = ? WHERE run = ? AND number = ?"
_GONE = "DELETE FROM payments WHERE run = ? AND number = ?"


@dataclass
class Payment:
    """What one model request costs.

    Attributes:
        number: Its place among the payments recorded for the run; 0 for one that belongs to a leaf.
        path: The path of the effect it was made for.
        model: The requested model.
        usage: The actual usage if `answered`, otherwise the most it may have been.
    """

    number: int
    path: str
    model: str
    usage: Usage
    answered: bool = False

    def as_plain(self) -> dict[str, Value]:
        """Return the payment as the usage that is recorded with its leaf."""
        plain = self.usage.as_plain() | {"model": self.model}
        return plain if self.answered else plain | {"unanswered": True}


class Payments:
    """The payments of one run."""

    def __init__(self, writer: Writer, run: int, last: int = 0) -> None:
        """Continue after `last`, the highest number in use."""
        self._writer, self._run = writer, run
        self._numbers = count(last + 1)

    def begin(self, path: str, model: str, usage: Usage) -> Payment:
        """Record a request and the most it may use, before it begins.

        Raises:
            JournalError: It cannot be recorded, so it must not begin.
        """
        payment = Payment(next(self._numbers), path, model, usage)
        try:
            self._writer.commit([self.begun(payment)])
        except JournalError:
            self.drop(payment)  # its row is still to be written, when that is possible again
            raise
        return payment

    def of_forgotten(self, effects: Iterable[RecordedEffect]) -> list[Payment]:
        """Return the payments of leaves that are about to be deleted, numbered so as to be kept."""
        payments = [effect.payment for effect in effects if effect.payment]
        for payment in payments:
            payment.number = next(self._numbers)
        return payments

    def begun(self, payment: Payment) -> Row:
        """Return the row that records a payment."""
        what = (payment.path, payment.model, json.dumps(payment.usage.as_plain()))
        return (_BEGUN, (self._run, payment.number, *what, payment.answered))

    def keep(self, payment: Payment) -> None:
        """Update the row of a payment that belongs to no leaf."""
        known = (json.dumps(payment.usage.as_plain()), payment.answered)
        self._writer.add([(_KNOWN, (*known, self._run, payment.number))])

    def gone(self, payment: Payment) -> Row:
        """Return the statement that deletes a payment, as it belongs to a leaf or cost nothing."""
        return (_GONE, (self._run, payment.number))

    def drop(self, payment: Payment) -> None:
        """Delete a payment that cost nothing."""
        self._writer.add([self.gone(payment)])
