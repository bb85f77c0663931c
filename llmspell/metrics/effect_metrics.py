"""What is measured of effects."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from llmspell.errors import LlmspellError
from llmspell.metrics.exposition import series

BOUNDS: tuple[float, ...] = tuple(1e-5 * (1 << n) for n in range(27))
"""Seconds, each twice those before it: up to 10 µs, up to 20 µs, … up to 11 minutes."""


@dataclass
class EffectMetrics:
    """What is known of the effects of one name.

    Attributes:
        calls: How often one ended, in whatever way.
        errors: How often one failed, by the error's code; "cancelled" among them.
        seconds: All they took together.
        slowest: Seconds of the slowest.
        histogram: How many took up to so many seconds: one number for each of `BOUNDS`, and one
            for what took longer.
    """

    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, seconds: float, error: BaseException | None = None) -> None:
        self.calls += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        self.histogram[bisect_left(BOUNDS, seconds)] += 1
        if error is not None:
            self.errors[_code(error)] += 1

    def quantile(self, share: float) -> float:
        """Seconds within which that share of them ended; at most twice too much."""
        wanted, seen = share * self.calls, 0
        for bound, count in zip(BOUNDS, self.histogram, strict=False):
            seen += count
            if seen and seen >= wanted:
                return min(bound, self.slowest)
        return self.slowest


def histogram(effect: str, found: EffectMetrics) -> Iterator[tuple[str, float]]:
    """The series of the effects of one name."""
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, count in zip(bounds, accumulate(found.histogram), strict=True):
        yield series("llmspell_effect_seconds_bucket", effect=effect, le=bound), count
    yield series("llmspell_effect_seconds_sum", effect=effect), found.seconds
    yield series("llmspell_effect_seconds_count", effect=effect), found.calls
    for code, count in sorted(found.errors.items()):
        yield series("llmspell_effect_errors_total", effect=effect, code=code), count


def _code(error: BaseException) -> str:
    if isinstance(error, LlmspellError):
        return error.code
    return type(error).__name__ if isinstance(error, Exception) else "cancelled"
