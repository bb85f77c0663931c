"""What the before hooks of an effect have asked for."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.hooks.cache import HookCache, Place
from llmspell.hooks.registered_hook import RegisteredHook
from llmspell.hooks.results import Retry
from llmspell.values import Value

Wanted = tuple[RegisteredHook, str, Mapping[str, Value]]
"""A hook, and the name and arguments of the effect it wants performed."""


class Plan:
    """How to perform an effect; unchanged unless a hook asked for something."""

    replacement: tuple[Value] | None = None  # the result that replaces it
    skipped: bool = False
    redirect: Wanted | None = None
    forks: tuple[Wanted, ...] = ()
    retries: tuple[Retry, ...] = ()  # those remaining
    cached_in: tuple[tuple[HookCache, Place, float | None], ...] = ()

    def __init__(self) -> None:
        self.repeats: dict[RegisteredHook, int] = {}  # repetitions so far, by hook

    def next_delay(self) -> float | None:
        """Consume one retry; return the seconds to wait before it, or None if there are none left."""
        if not self.retries:
            return None
        retry, *others = self.retries
        left = [Retry(retry.delay, retry.attempts - 1)] if retry.attempts > 1 else []
        self.retries = (*left, *others)
        return retry.delay

    def repeats_for(self, hook: RegisteredHook, retry: Retry) -> bool:
        """Count one more repetition for a hook; return False if it has used up its attempts.

        An effect that was replaced cannot be repeated.
        """
        used = self.repeats.get(hook, 0)
        if used >= retry.attempts or self.replacement is not None:
            return False
        self.repeats[hook] = used + 1
        return True
