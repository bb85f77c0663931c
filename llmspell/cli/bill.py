"""The last line of a run: what it spent on models."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click

from llmspell.spending.spent import Spending, counted, in_dollars


class Bill:
    """Shown when a run has ended, however it did, unless it asked no model."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._begin = shown, time.monotonic()
        self._spent = Spending()

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

    def of(self, spent: Spending) -> None:
        """Have it be the bill of a runtime that has begun."""
        self._spent = spent

    def show(self) -> None:
        """`2 calls, 1,234 tokens (512 cached), $0.0123, 3.4 s`, on stderr."""
        total = self._spent.total
        if self._shown and total.calls:
            cached = f" ({total.cached_tokens:,} cached)" if total.cached_tokens else ""
            parts = (
                counted(total.calls, "call"),
                counted(total.tokens, "token") + cached,
                in_dollars(total),
                f"{time.monotonic() - self._begin:.1f} s",
            )
            click.secho(", ".join(parts), dim=True, err=True)
