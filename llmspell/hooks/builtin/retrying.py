from __future__ import annotations

import random
from collections.abc import Sequence

from llmspell.errors import HookHalted, PermissionDenied
from llmspell.hooks.effect_hook import EffectHook
from llmspell.hooks.registered_hook import HookCall
from llmspell.hooks.results import HookResult, Retry
from llmspell.limits import Seconds


class Retrying(EffectHook):
    """Does an effect again that failed, each time after twice the pause.

    The pause is longer where the error says so (`details.retry_after`), and up to a quarter shorter
    by chance, so that not everybody comes again at the same moment.
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
        """Make one.

        Args:
            effects: Names of the effects it is for, with `*` for any part.
            only: Names of tools and models that it is for, with `*`; by default all.
            attempts: How often an effect is done again, at most.
            delay: Seconds before the first repetition; each further pause is twice as long.
            longest: The longest pause; an effect whose error asks for a longer one is not repeated.
            any_error: Repeat whatever failed, not only what says that trying again may help.
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
