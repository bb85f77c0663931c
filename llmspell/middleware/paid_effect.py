from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from llmspell.concurrency import CancelledBeforeRequest, settled
from llmspell.effects import Effect, Perform
from llmspell.errors import EffectTimeout, ProviderError
from llmspell.journal.recording import Recording
from llmspell.providers.deserialization import usage_from_plain
from llmspell.providers.messages import INTERRUPTED, Usage
from llmspell.spending.account import Cost
from llmspell.spending.accounts import Accounts
from llmspell.spending.charge import FREE, Charge
from llmspell.spending.estimate import Estimate
from llmspell.spending.prices import Prices
from llmspell.spending.reuse import free
from llmspell.values import Value

_NOTHING = Usage()
_PAID_BY_ANOTHER = Usage(usd=0.0)  # of a shared answer


class PaidEffect:
    """One kind of effect that is paid for by tokens, in one run."""

    def __init__(
        self,
        estimate: Callable[[Effect], Estimate],
        call: Perform,
        accounts: Accounts,
        prices: Prices,
        recording: Recording | None,
    ) -> None:
        self._estimate, self._call = estimate, call
        self._accounts, self._prices = accounts, prices
        self._recording = recording if recording and recording.ledger else None

    async def perform(self, effect: Effect) -> Value:
        estimate = self._estimate(effect)
        if not estimate.models:
            return free(await settled(self._call(effect)))
        paying = self._accounts.of(effect.path)
        model = estimate.models[0]
        loading = self._prices.loading(model)
        needs_estimate = any(account.needs_estimate for account in paying)
        if loading and (needs_estimate or len(estimate.models) > 1):
            await loading
            loading = None
        charge = Charge(
            self._accounts,
            paying,
            model,
            most=lambda: self._reservation(estimate, needs_estimate=needs_estimate),
            recording=self._recording,
            record=lambda recording: recording.pay(
                effect.path, model, self._most_recorded(estimate, priced=not loading)
            ),
        )
        with estimate.join(charge):
            await charge.reserve()
            cost = FREE
            try:
                if charge.pays:
                    charge.begin()
                result = await settled(self._call(effect))
                if loading:
                    await loading
                cost = self._settle(result, model, estimate, charge)
            except BaseException as error:
                if charge.pays and _may_be_billed(error):
                    cost = self._assumed_cost(estimate)
                raise
            finally:
                charge.settle(cost)
            return result

    def _reservation(self, estimate: Estimate, *, needs_estimate: bool) -> Cost:
        """Return what to reserve; without an estimate, calls are only counted."""
        if not needs_estimate:
            return Cost(Usage(), 0.0, firm=estimate.streamed)
        usage, models = estimate.usage, estimate.models
        unpriced = next((one for one in models if self._prices.usd(usage, one) is None), None)
        usd = self._highest_price(usage, models)
        return Cost(usage, usd, firm=estimate.streamed, unpriced=unpriced)

    def _most_recorded(self, estimate: Estimate, *, priced: bool) -> Usage:
        """Return what to record before a call: the most it may use, and its price if that is known."""
        usd = self._highest_price(estimate.usage, estimate.models) if priced else None
        return replace(estimate.usage, usd=usd)

    def _highest_price(self, usage: Usage, models: list[str]) -> float | None:
        """Return the cost with the most expensive of the models; None if a price is unknown."""
        amounts = [self._prices.usd(usage, model) for model in models]
        return None if None in amounts else max(amount or 0.0 for amount in amounts)

    def _assumed_cost(self, estimate: Estimate, seen: Usage = _NOTHING) -> Cost:
        """Return the cost to assume without a reported usage: the estimate, or `seen` if higher."""
        estimated = estimate.usage
        usage = Usage(
            max(estimated.input_tokens, seen.input_tokens),
            max(estimated.output_tokens, seen.output_tokens),
        )
        return Cost(usage, self._highest_price(usage, estimate.models), answered=False)

    def _settle(self, result: Value, model: str, estimate: Estimate, charge: Charge) -> Cost:
        """Return the cost of an answer, and add it to the answer's usage unless the provider did."""
        if not isinstance(result, dict) or "usage" not in result:
            return FREE  # middleware further inside answered, without a request
        usage = usage_from_plain(result["usage"])
        if not charge.pays and usage == _PAID_BY_ANOTHER:
            return FREE
        if usage == _NOTHING:
            return self._assumed_cost(estimate)
        if result.get("finish_reason") == INTERRUPTED:
            return self._assumed_cost(estimate, usage)
        usd = usage.usd
        if usd is None:
            usd = self._prices.usd(usage, result.get("model") or model, model)
        if usd is not None:
            result["usage"] = usage.as_plain() | {"usd": usd}
        return Cost(usage, usd)


def _may_be_billed(error: BaseException) -> bool:
    """Return whether the provider may bill a request that failed without reporting its usage."""
    if isinstance(error, ProviderError):
        return error.billed
    if isinstance(error, CancelledBeforeRequest):
        return False
    return isinstance(error, (asyncio.CancelledError, GeneratorExit, EffectTimeout))
