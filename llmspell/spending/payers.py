"""The accounts that pay for what is done on behalf of one effect; more may join while it is done."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from llmspell.effects import Effect
from llmspell.journal.timeouts import moving_on
from llmspell.spending.account import Account
from llmspell.spending.accounts import Accounts


class Payers:
    """Use it as a context manager, around what they pay for."""

    def __init__(self, effect: Effect) -> None:
        self._effect = effect
        self._accounts: list[Account] = []
        self._until = ExitStack()

    def add(self, account: Account | None) -> None:
        """From now on, this one pays as well, and its seconds count."""
        if account is not None and account not in self._accounts:
            self._accounts.append(account)
            self._until.enter_context(self._effect.run[Accounts].at(self._effect.path, account))
            clock = partial(moving_on, self._effect, f"budget{len(self._accounts)}")
            self._until.enter_context(account.timed(clock))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._until.__exit__(kind, error, traceback)
