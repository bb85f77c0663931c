"""Work in steps that is done at once, as far as nothing has to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import coroutine
from typing import Any, Generic, TypeVar, cast

from llmspell.concurrency import Answer

T = TypeVar("T")

Steps = Generator[Awaitable[Any], Any, T]
"""A generator that yields what it has to await, is sent what came of that, and returns a result."""


def run_eagerly(steps: Steps[Answer[T]]) -> Answer[T]:
    """Take the steps; the result or, from the first that has to be awaited, the rest of them.

    When nothing is left to do but to await one more thing, they may return that.

    So a step that need not wait costs no coroutine, and one that waits does so in the task of
    whoever awaits the rest.
    """
    try:
        awaited = next(steps)
    except StopIteration as done:
        result: Answer[T] = done.value
        return result
    return _Rest(steps, awaited)


async def run_steps(steps: Steps[Answer[T]]) -> T:
    """The same for steps of which the first will have to be awaited: a coroutine costs less then."""
    try:
        awaited = next(steps)
        while True:
            try:
                result = await awaited
            except BaseException as error:  # noqa: BLE001 - it is the steps' to see
                awaited = steps.throw(error)
            else:
                awaited = steps.send(result)
    except StopIteration as done:
        answer: Answer[T] = done.value
    return await answer if hasattr(answer, "__await__") else answer


class _Rest(Generic[T]):
    """Steps that wait. Who does not await them closes them."""

    __slots__ = ("_awaited", "_steps")

    def __init__(self, steps: Steps[Answer[T]], awaited: Awaitable[Any]) -> None:
        self._steps, self._awaited = steps, awaited

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._steps
        try:
            while True:
                try:
                    result = yield from self._awaited.__await__()
                except BaseException as error:  # noqa: BLE001 - it is the steps' to see
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
    """It was not done in the seconds given; other than a `TimeoutError` of its own."""


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """What comes of a coroutine that may take so long, if there is a limit.

    A timer is set only once it waits.

    Raises:
        TookTooLong: When it did not end in time; it was cancelled.
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
    """What comes of a coroutine that has begun, and yielded what it waits for.

    Args:
        seconds: How many it may take; None for any number.
        work: The coroutine.
        waits_for: What it yielded.
        limit: Says instead when they are over.

    Raises:
        TookTooLong: When it did not end in so many seconds; it was cancelled.
    """
    # Not a cancel scope of anyio: those nest, and the coroutine may have entered some already.
    limit = limit or asyncio.timeout(seconds)
    try:
        async with limit:
            return await _go_on(work, waits_for)
    except TimeoutError as error:
        if limit.expired():
            raise TookTooLong(f"took more than {seconds:g} seconds") from error
        raise


@coroutine
def _go_on(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to see
                waits_for = work.throw(error)
            else:
                waits_for = work.send(sent)
    except StopIteration as done:
        return cast("T", done.value)
