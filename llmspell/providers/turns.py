"""Whose turn it is to ask a provider that takes only so much at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from llmspell.buckets import Bucket


class Turns:
    """Bounds how many requests are under way, and how many begin in a minute.

    Args:
        at_once: How many requests may be under way; None for any number.
        per_minute: How many attempts may begin in a minute; None for any number.
    """

    def __init__(self, at_once: int | None, per_minute: float | None) -> None:
        self._at_once = at_once
        self._slots: anyio.Semaphore | None = None
        self._bucket = per_minute and Bucket(max(1.0, per_minute), per_minute / 60)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Around a request with all its attempts; waits until there is room for it."""
        if self._at_once is None:
            yield
            return
        if self._slots is None:  # it belongs to the event loop of who asks first
            self._slots = anyio.Semaphore(self._at_once)
        async with self._slots:
            yield

    async def attempt(self) -> None:
        """Before an attempt; waits until it may begin."""
        bucket = self._bucket
        if not bucket:
            return
        pause = bucket.pause()
        bucket.tokens -= 1
        if pause:
            try:
                await anyio.sleep(pause)
            except BaseException:
                bucket.tokens += 1  # it did not begin
                raise
