"""The metrics of effects."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from llmspell.errors import LlmspellError
from llmspell.metrics.exposition import series

BOUNDS: tuple[float, ...] = tuple(1e-5 * (1 << n) for n in range(27))
"""Upper bounds of the histogram's buckets, in seconds, doubling from 10 µs to 11 minutes."""


@dataclass
class EffectMetrics:
    """The metrics of the effects of one name.

    Attributes:
        calls: The number of effects that ended, in any way.
        errors: The number of failures by error code, including "cancelled".
        seconds: The sum of their durations.
        slowest: The longest duration, in seconds.
        histogram: The number of effects per bucket: one for each of `BOUNDS`, and one for longer
            ones.
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
        """Return the seconds within which that share of the effects ended; at most twice too high."""
        wanted, seen = share * self.calls, 0
        for bound, count in zip(BOUNDS, self.histogram, strict=False):
            seen += count
            if seen and seen >= wanted:
                return min(bound, self.slowest)
        return self.slowest


def histogram(effect: str, metrics: EffectMetrics) -> Iterator[tuple[str, float]]:
    """Yield the series of the effects of one name."""
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, count in zip(bounds, accumulate(metrics.histogram), strict=True):
        yield series("llmspell_effect_seconds_bucket", effect=effect, le=bound), count
    yield series("llmspell_effect_seconds_sum", effect=effect), metrics.seconds
    yield series("llmspell_effect_seconds_count", effect=effect), metrics.calls
    for code, count in sorted(metrics.errors.items()):
        yield series("llmspell_effect_errors_total", effect=effect, code=code), count


def _code(error: BaseException) -> str:
    if isinstance(error, LlmspellError):
        return error.code
    return type(error).__name__ if isinstance(error, Exception) else "cancelled"
