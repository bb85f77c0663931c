"""What a recorded run came to in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmspell.journal.reader import RecordedEffect, RecordedRun
from llmspell.journal.spans import Span

_MINUTE = 60


@dataclass
class Totals:
    """Sums over leaf effects; `usd` counts what has a known price."""

    effects: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0

    @classmethod
    def of(cls, root: Span) -> Totals:
        return cls.over(span.effect for _, span in root.walk() if span.effect)

    @classmethod
    def over(cls, effects: Iterable[RecordedEffect]) -> Totals:
        totals = cls()
        for effect in effects:
            totals.effects += 1
            usage = effect.usage
            if usage is None:
                continue
            totals.calls += 1
            totals.input_tokens += _number(usage, "input_tokens")
            totals.output_tokens += _number(usage, "output_tokens")
            totals.cached_tokens += _number(usage, "cached_tokens")
            usd = usage.get("usd")
            totals.usd += usd if isinstance(usd, (int, float)) else 0.0
        return totals

    def facts(self, run: RecordedRun) -> list[tuple[str, str]]:
        """Names and values for people to read."""
        facts = [("status", run.status), ("effects", f"{self.effects:,}")]
        if run.ended is not None:
            facts.append(("time", duration(run.ended - run.started)))
        if self.calls:
            tokens = self.input_tokens + self.output_tokens
            facts += [
                ("model calls", f"{self.calls:,}"),
                ("tokens", f"{tokens:,}"),
                ("cached", f"{self.cached_tokens:,}"),
                ("cost", f"${self.usd:.4f}" if self.usd else "unknown"),
            ]
        return facts


def _number(usage: dict[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def duration(seconds: float) -> str:
    """Seconds for people to read: 340 ms, 2.10 s, 3 min 5 s."""
    if seconds >= _MINUTE:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
