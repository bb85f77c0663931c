"""Limits the concurrency and rate of requests to a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from llmspell.concurrency import CancelledBeforeRequest
from llmspell.token_bucket import TokenBucket


class RequestLimiter:
    """Limits how many requests run at once, and how many attempts start per minute.

    Args:
        concurrency: How many requests may run at once; None for any number.
        per_minute: How many attempts may start per minute; None for any number.
    """

    def __init__(self, concurrency: int | None, per_minute: float | None) -> None:
        self._concurrency = concurrency
        self._slots: asyncio.Semaphore | None = None
        self._bucket = per_minute and TokenBucket(max(1.0, per_minute), per_minute / 60)

    def request(self) -> AbstractAsyncContextManager[None]:
        """Hold a slot for a request and its retries, waiting until one is free."""
        return nullcontext() if self._concurrency is None else self._slot(self._concurrency)

    @asynccontextmanager
    async def _slot(self, concurrency: int) -> AsyncIterator[None]:
        if self._slots is None:  # a semaphore belongs to an event loop, so it is created late
            self._slots = asyncio.Semaphore(concurrency)
        with before_request():
            await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def attempt(self) -> None:
        """Wait until an attempt may start."""
        bucket = self._bucket
        if not bucket:
            return
        pause = bucket.pause()
        bucket.tokens -= 1
        if pause:
            try:
                with before_request():
                    await asyncio.sleep(pause)
            except BaseException:
                bucket.tokens += 1  # the attempt did not start
                raise


_waiting: WeakSet[asyncio.Future[object]] = WeakSet()


def waits_to_send(task: asyncio.Future[Any]) -> bool:
    """Return whether a task waits until it may send its request."""
    return task in _waiting


@contextmanager
def before_request() -> Iterator[None]:
    """Mark a cancellation in this block, such as while connecting, as one before anything was sent."""
    task = asyncio.current_task()
    if task is not None:
        _waiting.add(task)
    try:
        yield
    except asyncio.CancelledError as error:
        raise CancelledBeforeRequest(*error.args) from error
    finally:
        if task is not None:
            _waiting.discard(task)
