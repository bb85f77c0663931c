from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import RateLimited
from llmspell.hooks.effect_hook import subject
from llmspell.limits import Seconds
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.token_bucket import TokenBucket
from llmspell.values import Value

MOST_BUCKETS = 1000


class RateLimit(FilteredMiddleware):
    """Lets so many effects pass in a time, for each model and each tool by itself.

    The others wait their turn. It stands inside the permissions, so every attempt counts, and what
    is denied, or answered by a hook, does not.
    """

    def __init__(
        self,
        *,
        calls: int,
        per: Seconds = 60,
        burst: int | None = None,
        wait: Seconds | Literal[0] = 60,
        only: Sequence[str] = (),
        name: str = "rate_limit",
        effects: Sequence[str] = ("model.request",),
        before: str | None = None,
        after: str | None = "permissions",
    ) -> None:
        """Make one.

        Args:
            calls: How many effects may pass …
            per: … in so many seconds, on average.
            burst: How many may pass at once after a pause; by default `calls`.
            wait: Seconds an effect may wait for its turn; one that had to wait longer fails at once
                with `rate_limited`.
            only: Names of tools and models that it is for, with `*`; by default all.
            name: Its name; two of them need two.
            effects: Names of the effects it is for, with `*` for any part.
            before: It stands outside the one of that name; or
            after: it stands inside the one of that name.
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
                bucket.tokens += 1  # it did not pass
                raise
            return await settled(call(effect))

        return limited

    def _bucket(self, name: str) -> TokenBucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= MOST_BUCKETS:  # one that is full again says nothing
                self._buckets = {n: b for n, b in self._buckets.items() if not b.is_full()}
            bucket = self._buckets[name] = TokenBucket(self.size, self.calls / self.per)
        return bucket
