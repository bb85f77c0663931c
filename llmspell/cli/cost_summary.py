"""The cost summary: the last line of a run, with what it spent on models."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click

from llmspell.spending.spent import Spending, Spent, counted, in_calls, in_dollars


class CostSummary:
    """Shows the costs when a run has ended, in whatever way, unless there is nothing new to say."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._begin = shown, time.monotonic()
        self._spent = self._before = Spending()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.show()

    def of(self, spent: Spending, before: Spending) -> None:
        """Set the spending to summarize, and what the run had spent before it was resumed."""
        self._spent, self._before = spent, before

    def show(self) -> None:
        """Print `2 calls, 1,234 tokens (512 cached), $0.0123, 3.4 s; previously: …` on stderr."""
        now, before = self._spent.total, self._before.total
        if self._shown and (now.calls or before.unanswered):
            line = f"{_in_words(now)}, {time.monotonic() - self._begin:.1f} s"
            line += f"; previously: {_in_words(before)}" if before.calls else ""
            click.secho(line, dim=True, err=True)


def _in_words(spent: Spent) -> str:
    cached = f" ({spent.cached_tokens:,} cached)" if spent.cached_tokens else ""
    return f"{in_calls(spent)}, {counted(spent.tokens, 'token')}{cached}, {in_dollars(spent)}"
