"""Whose turn it is to ask a provider that takes only so much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from llmspell.concurrency import CancelledBeforeRequest
from llmspell.token_bucket import TokenBucket


class RequestLimiter:
    """Bounds how many requests are under way, and how many begin in a minute.

    Args:
        at_once: How many requests may be under way; None for any number.
        per_minute: How many attempts may begin in a minute; None for any number.
    """

    def __init__(self, at_once: int | None, per_minute: float | None) -> None:
        self._at_once = at_once
        self._slots: anyio.Semaphore | None = None
        self._bucket = per_minute and TokenBucket(max(1.0, per_minute), per_minute / 60)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Around a request with all its attempts; waits until there is room for it."""
        if self._at_once is None:
            yield
            return
        if self._slots is None:  # it belongs to the event loop of who asks first
            self._slots = anyio.Semaphore(self._at_once)
        with _unasked():
            await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def attempt(self) -> None:
        """Before an attempt; waits until it may begin."""
        bucket = self._bucket
        if not bucket:
            return
        pause = bucket.pause()
        bucket.tokens -= 1
        if pause:
            try:
                with _unasked():
                    await anyio.sleep(pause)
            except BaseException:
                bucket.tokens += 1  # it did not begin
                raise


@contextmanager
def _unasked() -> Iterator[None]:
    """Around a wait before anything is sent: a cancellation says so."""
    try:
        yield
    except asyncio.CancelledError as error:
        raise CancelledBeforeRequest(*error.args) from error
