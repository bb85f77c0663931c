"""Answers that may come later, and waiting for several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

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
