"""Background tasks that call functions of a spell repeatedly, until the run ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, KeysView
from typing import TYPE_CHECKING, Any

from llmspell.concurrency import cancel, new_task
from llmspell.eager_steps import TookTooLong
from llmspell.errors import EffectError, SpellEnded

if TYPE_CHECKING:
    from llmspell.effects import Effect
    from llmspell.values import LuaFunction, Value


class CallbackTasks:
    """Tasks by id, each of which calls a function of the spell from time to time."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def ids(self) -> KeysView[str]:
        return self._tasks.keys()

    def start(self, id: str, calls: Coroutine[Any, Any, None]) -> None:  # noqa: A002 - it is the id
        """Start a task for a coroutine that calls the spell."""
        self._tasks[id] = task = new_task(calls)
        task.add_done_callback(lambda _: self._tasks.pop(id, None))

    def stop(self, id: str) -> None:  # noqa: A002
        """Cancel a task, with its call in progress, if there is one."""
        if task := self._tasks.get(id):
            task.cancel()

    async def finish(self, seconds: float) -> int:
        """Wait up to `seconds` for all tasks to end by themselves; return how many have not."""
        if not self._tasks:
            return 0
        _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
        return len(late)

    async def cancel(self) -> None:
        """Cancel all tasks, including calls in progress."""
        await cancel(list(self._tasks.values()))


async def problem_in_call(
    effect: Effect, function: LuaFunction, argument: Value, number: int, seconds: float
) -> str | None:
    """Call a function of the spell with a timeout; return a description of its failure, or None.

    `number` distinguishes this call from others of the same effect.
    """
    from llmspell.journal.timeouts import within_recorded

    try:
        await within_recorded(effect, f"time{number}", seconds, effect.call(function, argument))
    except TookTooLong:
        return f"it took more than {seconds:g} s"
    except SpellEnded:
        return None  # the run is being ended, which is no fault of the function
    except EffectError as error:
        return f"{error.where}: {error}" if error.where else str(error)
    return None
