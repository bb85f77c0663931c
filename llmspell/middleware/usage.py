from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from llmspell.concurrency import settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.providers.messages import Usage
from llmspell.spending.prices import Prices
from llmspell.spending.spent import amount
from llmspell.values import Value

log = logging.getLogger("llmspell.usage")


class TokenUsage(FilteredMiddleware):
    """Counts model requests, their tokens and their cost.

    By default it is inside the permissions, so that every answered attempt counts, but not answers
    from a cache.

    Attributes:
        requests: The number of answered requests, by requested model.
        used: Their tokens and, if known, their price, by requested model.
    """

    def __init__(
        self,
        *,
        name: str = "usage",
        effects: Sequence[str] = ("model.request",),
        before: str | None = None,
        after: str | None = "permissions",
    ) -> None:
        super().__init__(name, effects=effects, before=before, after=after)
        self.requests: Counter[str] = Counter()
        self.used: dict[str, Usage] = {}

    def around(self, handler: Handler, call: Perform) -> Perform:
        if handler.name != "model.request":
            return call

        async def counted(effect: Effect) -> Value:
            result = await settled(call(effect))
            model = effect.bound["wanted"].model  # a fork may override the spell's model
            used = Usage(**result["usage"])
            if used.usd is None:
                usd = effect.run[Prices].usd(used, result.get("model") or model, model)
                used = replace(used, usd=usd)
            self.requests[model] += 1
            self.used[model] = self.used[model] + used if model in self.used else used
            return result

        return counted

    def close(self) -> None:
        """Log the totals; called when the runtime stops."""
        for model, used in sorted(self.used.items()):
            log.info(
                "%s: requests: %d, input tokens: %d (%d cached), output tokens: %d (%d reasoning), %s",
                model,
                self.requests[model],
                used.input_tokens,
                used.cached_tokens,
                used.output_tokens,
                used.reasoning_tokens,
                "price unknown" if used.usd is None else amount(used.usd),
            )
