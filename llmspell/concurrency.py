"""Answers that may be immediate or awaitable, and waiting for several tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Sequence
from contextvars import Context
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Answer: TypeAlias = T | Awaitable[T]
"""A result, or an awaitable of one. A handler that can answer immediately needs no task.

Code that only passes an answer on returns it as it is; other code writes `await settled(answer)`.
"""


async def settled(answer: Answer[T]) -> T:
    """Return the result of an answer, awaiting it only if necessary."""
    if hasattr(answer, "__await__"):
        return await answer
    return answer


def is_cancelled() -> bool:
    """Whether the running task itself is being cancelled.

    False when something it awaits was cancelled by others, such as a task that a tool started. That
    raises CancelledError in the same way, but is a failure like any other.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def as_failure(error: asyncio.CancelledError | SystemExit) -> Exception:
    """Return the failure to report for a cancellation that was not meant for the running task.

    Re-raises the cancellation if it was; see `is_cancelled`. Code that others have written may also
    call `sys.exit`, which should end neither the event loop nor the run.
    """
    if isinstance(error, SystemExit):
        return RuntimeError(f"it called sys.exit({'' if error.code is None else repr(error.code)})")
    if is_cancelled():
        raise error
    return RuntimeError("what it waited for was cancelled")


def new_task(work: Coroutine[Any, Any, T], *, context: Context | None = None) -> asyncio.Task[T]:
    """Return a task that begins later, also where the host's tasks begin at once.

    With `asyncio.eager_task_factory`, a task may have ended before its creator knows it.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), context=context)


class CancelledBeforeRequest(asyncio.CancelledError):
    """A cancellation before a request was sent to anyone."""


class Followed(Generic[T]):
    """An awaitable answer wrapped by `follow`, which awaits it and then does something more.

    Await it once, or close it. Closing also closes the answer, which a wrapping coroutine would not
    do before it has started, and calls `dropped`.
    """

    __slots__ = ("_answer", "_begun", "_dropped", "_follow")

    def __init__(
        self,
        answer: Awaitable[T],
        follow: Callable[[Awaitable[T]], Coroutine[Any, Any, T]],
        dropped: Callable[[], None] | None = None,
    ) -> None:
        self._answer, self._follow, self._dropped = answer, follow, dropped
        self._begun = False

    def __await__(self) -> Generator[Any, Any, T]:
        self._begun = True
        return self._follow(self._answer).__await__()

    def close(self) -> None:
        if self._begun:
            return
        self._begun = True
        if close := getattr(self._answer, "close", None):
            close()
        if self._dropped:
            self._dropped()


async def reporting(ended: Callable[[BaseException | None], None], answer: Awaitable[T]) -> T:
    """Await an answer, and call `ended` with what it raised, or None."""
    error: BaseException | None = None
    try:
        return await answer
    except BaseException as caught:
        error = caught
        raise
    finally:
        ended(error)


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, even if the caller is cancelled meanwhile.

    `asyncio.gather` would then raise an exception that anyio's cancel scopes do not recognize.
    """
    from anyio import CancelScope

    for task in tasks:
        task.cancel()
    if tasks:
        with CancelScope(shield=True):
            await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marks it as retrieved


async def in_own_task(work: Coroutine[Any, Any, T], leave: Callable[[], None]) -> T:
    """Run a coroutine in a task of its own and return its result.

    This distinguishes cancellation from outside, before which `leave` is called, from cancellation
    inside the work, for example at a timeout.
    """
    task = new_task(work)
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


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await work in a task of its own; a cancellation of the caller takes effect after its end."""
    from anyio import CancelScope

    task = new_task(work)
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    result = task.result()
    if cancelled:
        raise cancelled
    return result


async def gather(
    coroutines: Sequence[Coroutine[Any, Any, T]], *, limit: int | None = None
) -> list[T]:
    """Run coroutines concurrently, at most `limit` at a time, and return their results in order.

    The first failure cancels the others; its exception is raised as it is, not in a group.
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
            coroutine.close()  # it may have been cancelled before it started
    if failure is not None:
        raise failure
    return [results[index] for index in range(len(coroutines))]
