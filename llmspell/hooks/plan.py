"""What the hooks before an effect want done."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.hooks.cache import HookCache, Place
from llmspell.hooks.registered_hook import RegisteredHook
from llmspell.hooks.results import Retry
from llmspell.values import Value

Wanted = tuple[RegisteredHook, str, Mapping[str, Value]]
"""The name and the arguments of an effect, and the hook that wants it."""


class Plan:
    """How to do an effect: as it is, unless a hook said something."""

    instead: tuple[Value] | None = None  # its result, if it is not done
    skipped: bool = False
    redirect: Wanted | None = None
    forks: tuple[Wanted, ...] = ()
    retries: tuple[Retry, ...] = ()  # what is left of them
    keep: tuple[tuple[HookCache, Place, float | None], ...] = ()

    def __init__(self) -> None:
        self.repeats: dict[RegisteredHook, int] = {}  # how often each hook had it done again

    def next_delay(self) -> float | None:
        """Use up one attempt of the retries; the seconds to wait before it, or None."""
        if not self.retries:
            return None
        retry, *others = self.retries
        left = [Retry(retry.delay, retry.attempts - 1)] if retry.attempts > 1 else []
        self.retries = (*left, *others)
        return retry.delay

    def repeats_for(self, hook: RegisteredHook, retry: Retry) -> bool:
        """Count one more repetition for a hook; False when it has had its attempts.

        What is not done cannot be done again.
        """
        used = self.repeats.get(hook, 0)
        if used >= retry.attempts or self.instead is not None:
            return False
        self.repeats[hook] = used + 1
        return True
