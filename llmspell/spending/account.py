"""An account: the budget of one run, agent or task, and what it has spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from llmspell.clock import monotonic
from llmspell.errors import BudgetExceeded, LimitExceeded, LlmspellError, UnknownPrice
from llmspell.limits import Budget, units
from llmspell.spending.spent import Spending, Spent, amount, counted

if TYPE_CHECKING:
    from anyio import CancelScope

    from llmspell.journal.timeouts import Expiry
    from llmspell.providers.messages import Usage

Clock = Callable[[float], AbstractContextManager["Expiry | CancelScope"]]
"""Returns a scope that is cancelled after the given seconds."""

AMOUNTS = ("usd", "tokens", "calls")
SLACK = 1e-9  # tolerance for rounding errors in sums of dollars


class Cost(NamedTuple):
    """What a call costs, or may cost.

    Attributes:
        usd: None if the price is not known, as that of the model `unpriced` is not.
        answered: Whether this is the actual cost; otherwise that is unknown, and this is the most.
        firm: Whether other calls must not wait for this one to be settled for less: a stream ends
            when the spell lets it, and the spell may itself be waiting.
    """

    usage: Usage
    usd: float | None
    calls: int = 1
    firm: bool = False
    answered: bool = True
    unpriced: str | None = None

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


class Account:
    """An account that calls are charged to.

    Before a call, the most it may cost is reserved; afterwards, its actual cost is settled and the
    rest is available again. So a call that finds too little left waits for the calls in progress.

    Attributes:
        budget: What may be spent.
        whose: Its owner in messages: "the run", "agent 'judge'", "the task".
        spent: What has been spent, by model.
        breach: The error that has ended the run, if this account was exceeded and ends it.
    """

    def __init__(self, budget: Budget, whose: str, *, ends_run: bool = False) -> None:
        """Open an account; exceeding it `ends_run`, or else fails the call."""
        self.budget, self.whose = budget, whose
        self.spent = Spending()
        self.breach: LimitExceeded | None = None
        self._ends_run = ends_run
        self._bounds = {n: getattr(budget, n) for n in AMOUNTS if getattr(budget, n) is not None}
        self._used = dict.fromkeys(AMOUNTS, 0.0)
        self._reserved: list[Cost] = []
        self._seconds = 0.0

    @property
    def needs_estimate(self) -> bool:
        """Whether the cost of a call has to be estimated."""
        return "usd" in self._bounds or "tokens" in self._bounds

    def check(self, cost: Cost, model: str) -> None:
        """Raise an error for a call that does not fit, even if all calls in progress cost nothing.

        Firm reservations count in full.

        Raises:
            LimitExceeded: The account ends the run.
            BudgetExceeded: It does not.
            UnknownPrice: The price is unknown, and the budget refuses such calls.
        """
        if self._refuses_price(cost):
            raise UnknownPrice(cost.unpriced or model)
        limit = self._lacking(cost, *self._firm) if self._bounds else None
        if limit is not None:
            what = f"{model} cannot be asked{self._why(limit, cost)}"
            raise self._exceeded(limit, what, self._wanted(limit, cost, *self._firm))

    @property
    def _firm(self) -> list[Cost]:
        return [one for one in self._reserved if one.firm]

    def fits(self, cost: Cost) -> bool:
        """Return whether a call fits beside those in progress, whatever they turn out to cost."""
        if not self._bounds:
            return True
        return not self._refuses_price(cost) and self._lacking(cost, *self._reserved) is None

    def reserve(self, cost: Cost) -> None:
        self._reserved.append(cost)

    def exchange(self, reserved: Cost, other: Cost) -> None:
        """Replace a reservation by another one."""
        self._reserved.remove(reserved)
        self._reserved.append(other)

    def settle(self, reserved: Cost, model: str, cost: Cost) -> None:
        """Replace the reservation of a finished call by its actual cost."""
        self._reserved.remove(reserved)
        self.charge(model, cost)

    def charge(self, model: str, cost: Cost) -> None:
        if not cost.calls:
            return
        one = self.spent.get(model)
        if one is None:
            one = self.spent[model] = Spent()
        one.add(cost.usage, cost.usd, answered=cost.answered)
        for name in self._bounds:
            self._used[name] += getattr(cost, name) or 0

    @contextmanager
    def timed(self, clock: Clock | None = None) -> Iterator[None]:
        """Count the seconds spent in the body, and cancel it when none are left.

        Args:
            clock: By default `move_on_after`.

        Raises:
            LimitExceeded: The time is over, and the account ends the run.
            BudgetExceeded: The time is over, and it does not.
        """
        if self.budget.seconds is None:
            yield
            return
        from anyio import move_on_after

        left = self.budget.seconds - self._seconds
        begin = monotonic()
        if left > 0:
            try:
                with (clock or move_on_after)(left) as scope:
                    yield
            finally:
                self._seconds += monotonic() - begin
            if not scope.cancelled_caught:
                return
            self._seconds = max(self._seconds, self.budget.seconds)
        raise self._exceeded("seconds", "its time is up")

    def _refuses_price(self, cost: Cost) -> bool:
        return "usd" in self._bounds and cost.usd is None and self.budget.unknown_price == "refuse"

    def _lacking(self, *more: Cost) -> str | None:
        """Return the first amount that would be exceeded by these calls, or None."""
        for name, most in self._bounds.items():
            if self._wanted(name, *more) > most + SLACK:
                return name
        return None

    def _wanted(self, name: str, *more: Cost) -> float:
        """Return an amount with these calls."""
        return self._used[name] + sum(getattr(cost, name) or 0 for cost in more)

    def _why(self, limit: str, cost: Cost) -> str:
        taken = self._wanted(limit, *self._firm)
        left = max(self._bounds[limit] - taken, 0)
        if limit == "usd":
            return f", as that may cost {amount(cost.usd or 0)} and {amount(left)} is left"
        if limit == "tokens":
            return f", as that may take {counted(cost.tokens, 'token')} and {left:,.0f} are left"
        return f", as {left:,.0f} calls are left"

    def _exceeded(self, limit: str, what: str, enough: float = 0.0) -> LlmspellError:
        value = getattr(self.budget, limit)
        spent = f"spent on {self.spent}" if self.spent else "nothing was spent"
        message = f"the budget of {self.whose} is used up: {what}; {spent}; limit on {limit}"
        details: dict[str, Any] = {
            "spent": {model: one.as_plain() for model, one in self.spent.items()}
        }
        if not self._ends_run:
            details |= {"limit": limit, "value": value}
            return BudgetExceeded(f"{message} ({units()[limit].shown(value)})", details=details)
        error = LimitExceeded(message, limit=limit, value=value, enough=enough)
        error.details |= details
        self.breach = error
        return error
