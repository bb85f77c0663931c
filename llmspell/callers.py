"""What goes on calling the functions of a spell, until that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, KeysView
from typing import Any

from llmspell.concurrency import cancel


class Callers:
    """Tasks, by id, each of which calls a function of the spell now and again."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def ids(self) -> KeysView[str]:
        return self._tasks.keys()

    def start(self, id: str, calls: Coroutine[Any, Any, None]) -> None:  # noqa: A002 - it is the id
        """Have the spell called, as long as that lasts."""
        self._tasks[id] = task = asyncio.get_running_loop().create_task(calls)
        task.add_done_callback(lambda _: self._tasks.pop(id, None))

    async def finish(self, seconds: float) -> int:
        """Wait until all have ended by themselves, so long at most; how many have not."""
        if not self._tasks:
            return 0
        _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
        return len(late)

    async def cancel(self) -> None:
        """End all, and calls in progress."""
        await cancel(list(self._tasks.values()))
