"""Totals of a recorded run, for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.spending.spent import Spent, in_dollars, unanswered

_MINUTE = 60


@dataclass
class Totals:
    """The number of leaves, and what was spent on models."""

    effects: int = 0
    spent: Spent = field(default_factory=Spent)

    @classmethod
    def of(cls, reader: Reader, run: RecordedRun) -> Self:
        effects = reader.effects(run)
        totals = cls(len(effects))
        payments = [effect.payment for effect in effects if effect.payment]
        for payment in (*payments, *reader.payments(run)):
            usage = payment.usage
            totals.spent.add(usage, usage.usd, answered=payment.answered)
        return totals

    def facts(self, run: RecordedRun) -> list[tuple[str, str]]:
        """Return pairs of names and formatted values."""
        facts = [("status", run.status), ("effects", f"{self.effects:,}")]
        if run.ended is not None:
            facts.append(("time", duration(run.ended - run.started)))
        if spent := self.spent.calls and self.spent:
            facts += [
                ("model calls", f"{spent.calls:,}{unanswered(spent)}"),
                ("tokens", f"{spent.tokens:,}"),
                ("cached", f"{spent.cached_tokens:,}"),
                ("cost", in_dollars(spent)),
            ]
        return facts


def duration(seconds: float) -> str:
    """Format seconds: 340 ms, 2.10 s, 3 min 5 s."""
    if seconds >= _MINUTE:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
