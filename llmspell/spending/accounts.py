"""Determines which accounts pay for an effect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmspell.effect_paths import all_around
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.limits import Budget, read_limits, units
from llmspell.spending.account import Account, Cost

if TYPE_CHECKING:
    from llmspell.journal.payments import Payment
    from llmspell.spending.prices import Prices


class Accounts:
    """The accounts of a run and its child runs, by path.

    An account at the path of an effect pays for everything performed on behalf of it. So an agent's
    account is nested in the run's, and a task's contains those of the agents that are prompted in
    it.
    """

    def __init__(self, run: Account, total: Account | None = None) -> None:
        """Create them with the run's account; `total` sums up what this process spends."""
        self._run, self._total = run, [total] if total else []
        self._at: dict[str, list[Account]] = {}
        self._waiters: list[asyncio.Future[None]] = []

    @contextmanager
    def at(self, path: str, account: Account) -> Iterator[None]:
        """Let an account pay for everything at and under a path, during the body."""
        there = self._at.setdefault(path, [])
        there.append(account)
        try:
            yield
        finally:
            there.remove(account)
            if not there:
                del self._at[path]

    def of(self, path: str) -> list[Account]:
        """Return the accounts that pay for the effect at a path, innermost first."""
        accounts: dict[Account, None] = {}
        places = (path, *all_around(path)) if self._at else ()
        for place in places:
            accounts |= dict.fromkeys(reversed(self._at.get(place, ())))
        return [*accounts, self._run, *self._total]

    def resume(self, payments: Iterable[Payment], prices: Prices, before: Account) -> None:
        """Charge the run, and `before`, for payments made before it was resumed."""
        for payment in payments:
            cost = _cost(payment, prices)
            self._run.charge(payment.model, cost)
            before.charge(payment.model, cost)

    def resume_at(self, path: str, payment: Payment, prices: Prices) -> None:
        """Charge an earlier payment to the accounts nested in the run's, now that they exist again."""
        for account in self.of(path):
            if account is not self._run and account not in self._total:
                account.charge(payment.model, _cost(payment, prices))

    def check(self, path: str) -> None:
        """Raise the LimitExceeded of an account at a path whose breach is to end its run, if any."""
        for account in self.of(path):
            if account.breach:
                raise account.breach

    async def reserve(self, paying: Sequence[Account], cost: Cost, model: str) -> None:
        """Reserve a cost in all accounts, waiting until calls in progress leave enough in each.

        Raises:
            LlmspellError: Like `Account.check`.
        """
        while True:
            for account in paying:
                account.check(cost, model)
            if all(account.fits(cost) for account in paying):
                break
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        for account in paying:
            account.reserve(cost)

    def settle(self, paying: Sequence[Account], reserved: Cost, model: str, cost: Cost) -> None:
        """Settle a finished call in all accounts, and wake the calls that wait for money."""
        for account in paying:
            account.settle(reserved, model, cost)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _cost(payment: Payment, prices: Prices) -> Cost:
    usage = payment.usage
    usd = prices.usd(usage, payment.model) if usage.usd is None else usage.usd
    return Cost(usage, usd, answered=payment.answered)


def account_for(effect: Effect, amounts: Mapping[str, object], whose: str, target: str) -> Account:
    """Return an account, nested in the run's, for the `budget` that a spell has passed.

    Raises:
        InvalidArguments: It is not a valid budget; `target` is what was called.
    """
    limits, problems = read_limits(amounts, Budget)
    if problems:
        hint = f"a budget has {', '.join(units(Budget))}"
        raise InvalidArguments(target, problems, hint=hint)
    own = Budget(unknown_price=effect.run[Account].budget.unknown_price)
    return Account(own.lowered(limits), whose)
