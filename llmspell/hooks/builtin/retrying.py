from __future__ import annotations

import random
from collections.abc import Sequence

from llmspell.errors import HookHalted, PermissionDenied
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.hook_call import HookCall
from llmspell.hooks.results import HookResult, Retry
from llmspell.limits import Seconds


class Retrying(EffectHook):
    """Retries failed effects with exponential backoff.

    The delay doubles each time. It is longer if the error asks for that (`details.retry_after`),
    and up to a quarter shorter at random, so that clients do not retry all at once.
    """

    def __init__(
        self,
        *,
        effects: Sequence[str] = ("model.request", "tool.call"),
        only: Sequence[str] = (),
        attempts: int = 3,
        delay: Seconds = 0.5,
        longest: Seconds = 60,
        any_error: bool = False,
    ) -> None:
        """Configure the hook.

        Args:
            effects: Names of the effects it applies to; `*` matches any part.
            only: Names of the tools and models it applies to, with `*`; by default all.
            attempts: The most retries of an effect.
            delay: Seconds before the first retry; each further delay is twice as long.
            longest: The longest delay; an effect whose error asks for a longer one is not retried.
            any_error: Retry after every error, not only after those marked as retryable.
        """
        if attempts < 1 or not 0 <= delay <= longest:
            raise ValueError("attempts must be at least 1, and delay between 0 and longest")
        super().__init__(effects=effects, only=only)
        self.attempts, self.delay, self.longest = attempts, delay, longest
        self.any_error = any_error

    def on_error(self, call: HookCall) -> HookResult:
        error = call.error
        if error is None or isinstance(error, (HookHalted, PermissionDenied)):
            return None
        if not (error.retryable or self.any_error):
            return None
        repeated: int = call.notes.get(self, 0)
        asked = error.details.get("retry_after")
        wish = asked if isinstance(asked, (int, float)) else 0.0
        if wish > self.longest:
            return None
        call.notes[self] = repeated + 1
        pause = min(self.delay * 2**repeated, self.longest)
        return Retry(max(pause * random.uniform(0.75, 1), wish), self.attempts)  # noqa: S311
