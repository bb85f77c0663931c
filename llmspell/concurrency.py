"""Waiting for several things at once."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from anyio import create_task_group

T = TypeVar("T")


async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time; their results in order.

    The first to fail cancels the others, and its exception is raised as it is, not in a group.
    """
    results: dict[int, T] = {}
    failure: Exception | None = None

    async def run(index: int, coroutine: Coroutine[Any, Any, T]) -> None:
        nonlocal failure
        try:
            results[index] = await coroutine
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = failure or error
            group.cancel_scope.cancel()

    try:
        async with create_task_group() as group:
            for index, coroutine in enumerate(coroutines):
                group.start_soon(run, index, coroutine)
    finally:
        for coroutine in coroutines:
            coroutine.close()  # one that was cancelled before it began
    if failure is not None:
        raise failure
    return [results[index] for index in range(len(coroutines))]
