"""Runs code eagerly, without a coroutine or task, until it has to await something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any, Generic, TypeVar, cast

from llmspell.concurrency import Answer

T = TypeVar("T")

Steps = Generator[Awaitable[Any], Any, T]
"""A generator that yields awaitables, is sent their results, and returns a result."""


def run_eagerly(steps: Steps[Answer[T]]) -> Answer[T]:
    """Run the steps until one has to be awaited; return the result, or an awaitable of the rest.

    Steps that end by awaiting one more thing may return that awaitable instead.

    A step that need not wait thus costs no coroutine, and one that waits does so in the task that
    awaits the rest.
    """
    try:
        awaited = next(steps)
    except StopIteration as done:
        result: Answer[T] = done.value
        return result
    return _Rest(steps, awaited)


async def run_steps(steps: Steps[Answer[T]]) -> T:
    """Run steps of which the first will have to be awaited; cheaper than `run_eagerly` then."""
    try:
        awaited = next(steps)
        while True:
            try:
                result = await awaited
            except BaseException as error:  # noqa: BLE001 - passed on to the steps
                awaited = steps.throw(error)
            else:
                awaited = steps.send(result)
    except StopIteration as done:
        answer: Answer[T] = done.value
    return await answer if hasattr(answer, "__await__") else answer


class _Rest(Generic[T]):
    """The awaitable rest of some steps. A caller that does not await it must close it."""

    __slots__ = ("_awaited", "_steps")

    def __init__(self, steps: Steps[Answer[T]], awaited: Awaitable[Any]) -> None:
        self._steps, self._awaited = steps, awaited

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._steps
        try:
            while True:
                try:
                    result = yield from self._awaited.__await__()
                except BaseException as error:  # noqa: BLE001 - passed on to the steps
                    self._awaited = steps.throw(error)
                else:
                    self._awaited = steps.send(result)
        except StopIteration as done:
            result = done.value
        if hasattr(result, "__await__"):
            self._awaited = result
            result = yield from result.__await__()
        return cast("T", result)

    def close(self) -> None:
        for unfinished in (self._awaited, self._steps):
            if close := getattr(unfinished, "close", None):
                close()


class TookTooLong(TimeoutError):
    """The timeout expired; distinct from a `TimeoutError` that the work itself raises."""


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine with a timeout, if there is one, and return its result.

    No timer is created unless the coroutine has to wait.

    Raises:
        TookTooLong: The timeout expired; the coroutine was cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    return await in_time(seconds, work, waits_for)


async def in_time(
    seconds: float | None,
    work: Coroutine[Any, Any, T],
    waits_for: Any,
    limit: asyncio.Timeout | None = None,
) -> T:
    """Continue a coroutine that has started and yielded, with a timeout; return its result.

    Args:
        seconds: The timeout; None for none.
        work: The coroutine.
        waits_for: What it yielded.
        limit: The timeout to use instead, for one that may be rescheduled.

    Raises:
        TookTooLong: The timeout expired; the coroutine was cancelled.
    """
    # Not an anyio cancel scope: those must nest, and the coroutine may have entered some already.
    limit = limit or asyncio.timeout(seconds)
    try:
        async with limit:
            return await _continue(work, waits_for)
    except TimeoutError as error:
        if limit.expired():
            raise TookTooLong(f"took more than {seconds:g} seconds") from error
        raise


@coroutine
def _continue(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - passed on to the coroutine
                waits_for = work.throw(error)
            else:
                waits_for = work.send(sent)
    except StopIteration as done:
        return cast("T", done.value)
