from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import LlmspellError
from llmspell.middleware.selective import Selective
from llmspell.values import Value

log = logging.getLogger("llmspell.metrics")

BOUNDS: tuple[float, ...] = tuple(1e-5 * (1 << n) for n in range(27))
"""Seconds, each twice those before it: up to 10 µs, up to 20 µs, … up to 11 minutes."""


@dataclass
class Measured:
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


class Metrics(Selective):
    """Counts effects, their errors and how long they take.

    Attributes:
        measured: By effect name, over all runs of the runtime.
    """

    def __init__(
        self,
        *,
        name: str = "metrics",
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = "trace",
    ) -> None:
        super().__init__(name, effects=effects, before=before, after=after)
        self.measured: dict[str, Measured] = {}

    def around(self, handler: Handler, call: Perform) -> Perform:
        measured = self.measured.setdefault(handler.name, Measured())

        def counted(effect: Effect) -> Answer[Value]:
            begin = time.perf_counter()
            try:
                answer = call(effect)
            except BaseException as error:
                measured.add(time.perf_counter() - begin, error)
                raise
            if hasattr(answer, "__await__"):
                return awaited(answer, begin)
            measured.add(time.perf_counter() - begin)
            return answer

        async def awaited(answer: Awaitable[Value], begin: float) -> Value:
            error: BaseException | None = None
            try:
                return await answer
            except BaseException as caught:
                error = caught
                raise
            finally:
                measured.add(time.perf_counter() - begin, error)

        return counted

    def close(self) -> None:
        """Log what was measured, when the runtime stops."""
        for name, found in sorted(self.measured.items()):
            failed = f", {found.errors.total()} failed" if found.errors else ""
            log.info(
                "%s: %d%s, mean %.3g ms, 95%% within %.3g ms, slowest %.3g ms",
                name,
                found.calls,
                failed,
                1000 * found.seconds / max(found.calls, 1),
                1000 * found.quantile(0.95),
                1000 * found.slowest,
            )


def _code(error: BaseException) -> str:
    if isinstance(error, LlmspellError):
        return error.code
    return type(error).__name__ if isinstance(error, Exception) else "cancelled"
