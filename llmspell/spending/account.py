"""An account: what one run, agent or task may spend, and what it has spent."""

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
"""Makes a scope that is cancelled after so many seconds."""

AMOUNTS = ("usd", "tokens", "calls")
SLACK = 1e-9  # sums of parts of a cent are not exact


class Cost(NamedTuple):
    """What a call comes to, or may.

    Attributes:
        usd: None when the price is not known.
        answered: Whether that is what it did come to; otherwise nobody knows, and it is the most it
            may.
        firm: Whether nobody may wait for it to come to less: a stream ends when the spell likes,
            which may be waiting.
    """

    usage: Usage
    usd: float | None
    calls: int = 1
    firm: bool = False
    answered: bool = True

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


class Account:
    """What calls are charged to.

    A call is reserved as what it may cost, and settled as what it did. What calls in progress have
    reserved is free again if it was not needed, so one that finds too little left waits for them.

    Attributes:
        budget: What may be spent.
        whose: In words: "the run", "agent 'judge'", "the task".
        spent: What was, by model.
        breach: The error that has ended the run, if it was not enough for it.
    """

    def __init__(self, budget: Budget, whose: str, *, ends_run: bool = False) -> None:
        """Open one; a breach of it `ends_run`, or else fails what it is for."""
        self.budget, self.whose = budget, whose
        self.spent = Spending()
        self.breach: LimitExceeded | None = None
        self._ends_run = ends_run
        self._bounds = {n: getattr(budget, n) for n in AMOUNTS if getattr(budget, n) is not None}
        self._used = dict.fromkeys(AMOUNTS, 0.0)
        self._reserved: list[Cost] = []
        self._seconds = 0.0

    @property
    def weighs(self) -> bool:
        """Whether it matters what a call may cost."""
        return "usd" in self._bounds or "tokens" in self._bounds

    def check(self, cost: Cost, model: str) -> None:
        """Refuse a call that there is not enough left for, even if all others came to nothing.

        Raises:
            LimitExceeded: It ends the run.
            BudgetExceeded: It does not.
            UnknownPrice: Nobody can say whether there is enough.
        """
        if "usd" in self._bounds and cost.usd is None and self.budget.unknown_price == "refuse":
            raise UnknownPrice(model)
        limit = self._lacking(cost, *self._firm)
        if limit is not None:
            raise self._exceeded(limit, f"{model} cannot be asked{self._why(limit, cost)}")

    @property
    def _firm(self) -> list[Cost]:
        return [one for one in self._reserved if one.firm]

    def fits(self, cost: Cost) -> bool:
        """Whether there is enough for a call besides those in progress, whatever they come to."""
        return not self._bounds or self._lacking(cost, *self._reserved) is None

    def reserve(self, cost: Cost) -> None:
        self._reserved.append(cost)

    def settle(self, reserved: Cost, model: str, cost: Cost) -> None:
        """A call is over."""
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
        """The seconds that count; when there are none left, what is inside is cancelled.

        Args:
            clock: By default `move_on_after`.

        Raises:
            LimitExceeded: Then, if it ends the run.
            BudgetExceeded: If not.
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
        raise self._exceeded("seconds", "its time is over")

    def _lacking(self, *more: Cost) -> str | None:
        """The first amount that does not cover these calls besides what was spent."""
        for name, most in self._bounds.items():
            wanted = self._used[name] + sum(getattr(cost, name) or 0 for cost in more)
            if wanted > most + SLACK:
                return name
        return None

    def _why(self, limit: str, cost: Cost) -> str:
        taken = self._used[limit] + sum(getattr(one, limit) or 0 for one in self._firm)
        left = max(self._bounds[limit] - taken, 0)
        if limit == "usd":
            return f", as that may cost {amount(cost.usd or 0)} and {amount(left)} is left"
        if limit == "tokens":
            return f", as that may take {counted(cost.tokens, 'token')} and {left:,.0f} are left"
        return f", as {left:,.0f} calls are left"

    def _exceeded(self, limit: str, what: str) -> LlmspellError:
        value = getattr(self.budget, limit)
        spent = f"spent on {self.spent}" if self.spent else "nothing was spent"
        message = f"the budget of {self.whose} is used up: {what}; {spent}"
        details: dict[str, Any] = {
            "spent": {model: one.as_plain() for model, one in self.spent.items()}
        }
        if not self._ends_run:
            details |= {"limit": limit, "value": value}
            return BudgetExceeded(f"{message} ({units()[limit].shown(value)})", details=details)
        error = LimitExceeded(message, limit=limit, value=value)
        error.details |= details
        self.breach = error
        return error
