"""Answers that may come later, and waiting for several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Answer: TypeAlias = T | Awaitable[T]
"""A result, or an awaitable of it: what can answer at once does, without a task.

Who only passes an answer on hands it on as it is; others write `await settled(answer)`.
"""


async def settled(answer: Answer[T]) -> T:
    """The result, awaited only if it has to be."""
    if hasattr(answer, "__await__"):
        return await answer
    return answer


def is_cancelled() -> bool:
    """Whether somebody cancels the running task.

    Nobody does when what it waits for was cancelled by others, such as a task of a tool's own: that
    it hears of in the same way, and yet it is a failure like any other.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def as_failure(error: asyncio.CancelledError) -> Exception:
    """The failure that a cancellation is which nobody meant for the running task.

    Raises the cancellation itself when somebody did: see `is_cancelled`.
    """
    if is_cancelled():
        raise error
    return RuntimeError("what it waited for was cancelled")


class CancelledBeforeRequest(asyncio.CancelledError):
    """A cancellation before what was wanted had been asked of anybody, or while others want it too."""


class Followed(Generic[T]):
    """An answer that takes time, and `follow`, which awaits it and does something more.

    It is awaited once. Who does not await it closes it, and the answer is closed as well: a
    coroutine around that one would not do so before it has begun.
    """

    __slots__ = ("_answer", "_begun", "_follow")

    def __init__(
        self, answer: Awaitable[T], follow: Callable[[Awaitable[T]], Coroutine[Any, Any, T]]
    ) -> None:
        self._answer, self._follow = answer, follow
        self._begun = False

    def __await__(self) -> Generator[Any, Any, T]:
        self._begun = True
        return self._follow(self._answer).__await__()

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close and not self._begun:
            close()


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, also when who waits is cancelled meanwhile.

    `asyncio.gather` would end then with an exception that no cancel scope of anyio knows as its own.
    """
    from anyio import CancelScope

    for task in tasks:
        task.cancel()
    if tasks:
        with CancelScope(shield=True):
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that it counts as noticed


async def in_own_task(work: Coroutine[Any, Any, T], leave: Callable[[], None]) -> T:
    """What comes of work that has a task to itself.

    So being cancelled from outside is told from what the work cancels itself, such as what takes too
    long: `leave` is called first.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        from anyio import CancelScope

        leave()
        task.cancel()
        with CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    task.cancel()
        if task.cancelled():
            raise
    return task.result()


async def gather(
    coroutines: Sequence[Coroutine[Any, Any, T]], *, limit: int | None = None
) -> list[T]:
    """Run coroutines at the same time, so many at most; their results in order.

    The first to fail cancels the others, and its exception is raised as it is, not in a group.
    """
    from anyio import create_task_group

    results: dict[int, T] = {}
    failure: Exception | None = None
    waiting = iter(enumerate(coroutines))

    async def run() -> None:
        nonlocal failure
        try:
            for index, coroutine in waiting:
                results[index] = await coroutine
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = failure or error
            group.cancel_scope.cancel()

    try:
        async with create_task_group() as group:
            for _ in range(min(limit or len(coroutines), len(coroutines))):
                group.start_soon(run)
    finally:
        for coroutine in coroutines:
            coroutine.close()  # one that was cancelled before it began
    if failure is not None:
        raise failure
    return [results[index] for index in range(len(coroutines))]
