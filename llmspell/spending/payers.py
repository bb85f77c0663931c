"""The accounts that pay for one effect; more may join while it is being performed."""

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
    """A context manager around the work that the accounts pay for."""

    def __init__(self, effect: Effect) -> None:
        self._effect = effect
        self._accounts: list[Account] = []
        self._until = ExitStack()

    def add(self, account: Account | None) -> None:
        """Add an account, which pays and counts its seconds from now on."""
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
