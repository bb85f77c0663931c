from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import RateLimited
from llmspell.hooks.effect_hook import subject
from llmspell.limits import NonNegativeSeconds, Seconds
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.token_bucket import TokenBucket
from llmspell.values import Value

MAX_BUCKETS = 1000


class RateLimit(FilteredMiddleware):
    """Limits the rate of effects with a token bucket for each model and each tool.

    Effects beyond the rate wait. By default it is inside the permissions, so that every attempt
    counts, but not effects that are denied or answered by a hook.
    """

    def __init__(
        self,
        *,
        calls: int,
        per: Seconds = 60,
        burst: int | None = None,
        wait: NonNegativeSeconds = 60,
        only: Sequence[str] = (),
        name: str = "rate_limit",
        effects: Sequence[str] = ("model.request",),
        before: str | None = None,
        after: str | None = "permissions",
    ) -> None:
        """Configure the middleware.

        Args:
            calls: How many effects are allowed within `per` seconds, on average.
            per: The period of `calls`, in seconds.
            burst: The most effects at once after a pause; by default `calls`.
            wait: The most seconds an effect may wait; if it would have to wait longer, it fails at
                once with `rate_limited`.
            only: Names of the tools and models it applies to, with `*`; by default all.
            name: Its name; must be unique.
            effects: Names of the effects it applies to; `*` matches any part.
            before: The name of the middleware to place it directly outside of; or
            after: the one to place it directly inside of.
        """
        super().__init__(name, effects=effects, before=before, after=after)
        self.size = calls if burst is None else burst
        if calls < 1 or self.size < 1 or not per > 0:
            raise ValueError("calls, per and burst must be above 0")
        self.calls, self.per, self.wait, self.only = calls, per, wait, tuple(only)
        self._buckets: dict[str, TokenBucket] = {}

    def around(self, handler: Handler, call: Perform) -> Perform:
        def limited(effect: Effect) -> Answer[Value]:
            name = subject(effect)
            if self.only and not any(fnmatchcase(name or "", pattern) for pattern in self.only):
                return call(effect)
            bucket = self._bucket(name or handler.name)
            pause = bucket.pause()
            if pause > self.wait:
                raise RateLimited(
                    f"{name or handler.name}: at most {self.calls} in {self.per:g} seconds",
                    retry_after=pause,
                    hint=f"try again in {pause:.3g} seconds, or raise what {self.name} allows",
                )
            bucket.tokens -= 1
            return after(pause, bucket, effect) if pause else call(effect)

        async def after(pause: float, bucket: TokenBucket, effect: Effect) -> Value:
            try:
                await asyncio.sleep(pause)
            except BaseException:
                bucket.tokens += 1  # the effect was not performed
                raise
            return await settled(call(effect))

        return limited

    def _bucket(self, name: str) -> TokenBucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:  # a full bucket is the same as a new one
                self._buckets = {n: b for n, b in self._buckets.items() if not b.is_full()}
            bucket = self._buckets[name] = TokenBucket(self.size, self.calls / self.per)
        return bucket
