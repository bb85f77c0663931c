"""What requests to models cost, written down before they begin: so no kill makes one free of
charge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from llmspell.journal.stored_values import Row
from llmspell.journal.writer import Writer
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.reader import RecordedEffect
    from llmspell.providers.messages import Usage

_BEGUN = "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?)"
_KNOWN = "UPDATE payments SET usage = ?, answered = ? WHERE run = ? AND number = ?"
_GONE = "DELETE FROM payments WHERE run = ? AND number = ?"


@dataclass
class Payment:
    """What one request costs.

    Attributes:
        number: Its place among those of the run that were written down; 0 for part of a leaf.
        path: Of the effect it was made for.
        model: The one that was asked.
        usage: What it used or, unless it was `answered`, the most it may have.
    """

    number: int
    path: str
    model: str
    usage: Usage
    answered: bool = False

    def as_plain(self) -> dict[str, Value]:
        """The usage of the leaf it is part of."""
        plain = self.usage.as_plain() | {"model": self.model}
        return plain if self.answered else plain | {"unanswered": True}


class Payments:
    """The rows of one run."""

    def __init__(self, writer: Writer, run: int, last: int = 0) -> None:
        """`last` is the number of the last that was written down."""
        self._writer, self._run = writer, run
        self._numbers = count(last + 1)

    def begin(self, path: str, model: str, usage: Usage) -> Payment:
        """A request begins which may use that, and this is known before it does. Raises
        JournalError.
        """
        payment = Payment(next(self._numbers), path, model, usage)
        self._writer.commit([self.begun(payment)])
        return payment

    def of_forgotten(self, effects: Iterable[RecordedEffect]) -> list[Payment]:
        """What was paid for leaves that will not be there any more, as what has to be written down.
        """
        payments = [effect.payment for effect in effects if effect.payment]
        for payment in payments:
            payment.number = next(self._numbers)
        return payments

    def begun(self, payment: Payment) -> Row:
        """Writes it down."""
        what = (payment.path, payment.model, json.dumps(payment.usage.as_plain()))
        return (_BEGUN, (self._run, payment.number, *what, payment.answered))

    def keep(self, payment: Payment) -> None:
        """It is part of no leaf."""
        known = (json.dumps(payment.usage.as_plain()), payment.answered)
        self._writer.add([(_KNOWN, (*known, self._run, payment.number))])

    def gone(self, payment: Payment) -> Row:
        """Says that it is part of a leaf, or cost nothing."""
        return (_GONE, (self._run, payment.number))

    def drop(self, payment: Payment) -> None:
        """It cost nothing."""
        self._writer.add([self.gone(payment)])
