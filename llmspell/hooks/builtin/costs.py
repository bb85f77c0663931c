from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.providers.messages import Usage
from llmspell.spending.prices import Prices
from llmspell.spending.spent import Spending, Spent, amount, counted

log = logging.getLogger("llmspell.costs")


class Costs(EffectHook):
    """Tracks what models cost: logs each answer with its price, and the totals at the end.

    It runs after all other hooks, so answers from other hooks are not counted.

    Attributes:
        spent: Calls, tokens and dollars, by requested model.
    """

    innermost = True

    def __init__(self, *, only: Sequence[str] = ()) -> None:
        """Configure the hook.

        Args:
            only: Names of the models it applies to, with `*`; by default all.
        """
        super().__init__(effects="model.request", only=only)
        self.spent = Spending()

    def before(self, call: HookCall) -> None:
        call.notes[self] = "asked"  # no other hook has answered it

    def after(self, call: HookCall) -> None:
        if self not in call.notes:
            return
        model = call.effect.bound["wanted"].model  # a fork may override the spell's model
        usage = Usage(**call.result["usage"])
        usd = usage.usd
        if usd is None:
            prices = call.effect.run[Prices]
            usd = prices.usd(replace(usage, usd=None), call.result.get("model") or model, model)
        one = Spent(
            calls=1,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            usd=usd or 0.0,
            unpriced=int(usd is None),
        )
        self.spent.setdefault(model, Spent()).__iadd__(one)
        price = "price unknown" if usd is None else amount(usd)
        total = amount(self.spent.total.usd)
        log.info("%s: %s, %s; %s so far", model, counted(one.tokens, "token"), price, total)

    async def on_runtime_stop(self, call: HookCall) -> None:  # noqa: ARG002 - part of the interface
        if self.spent:
            log.info("%s", self.spent)
