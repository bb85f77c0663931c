"""The runs of a runtime that are under way. When the runtime stops, they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from llmspell.errors import LlmspellError

T = TypeVar("T")


class ActiveRuns:
    """The tasks that await a run, each once for every run that it awaits."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[object]] = []
        self._cancelled: set[asyncio.Task[object]] = set()
        self._ended = asyncio.Event()

    async def result_of(self, run: Awaitable[T]) -> T:
        """Await a run and return its result.

        Raises:
            LlmspellError: The runtime stopped meanwhile, so the run was cancelled.
            Exception: What the run raises.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of asyncio runs in a task
        self._tasks.append(task)
        try:
            return await run
        except asyncio.CancelledError:
            if not self._was_stopped(task):
                raise  # somebody else has cancelled it
            raise LlmspellError(
                "the runtime stopped before the spell had ended",
                hint="await all runs within: async with Runtime(…) as runtime",
            ) from None
        finally:
            self._was_stopped(task)  # a run may end in another way when it is cancelled
            self._tasks.remove(task)
            self._ended.set()

    def _was_stopped(self, task: asyncio.Task[object]) -> bool:
        """Take back the cancellation by `stop`; return whether there was one, and no other."""
        if task not in self._cancelled:
            return False
        self._cancelled.remove(task)
        return task.uncancel() == 0

    async def stop(self) -> None:
        """Cancel all runs, except one that waits for this call, and wait until they have ended."""
        me = asyncio.current_task()
        while tasks := {task for task in self._tasks if task is not me}:
            for task in tasks - self._cancelled:
                self._cancelled.add(task)
                task.cancel()
            self._ended.clear()
            await self._ended.wait()
