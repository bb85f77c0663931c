"""Effects that a spell has abandoned, until those who see to them have ended.

Being cancelled takes some turns of the event loop to reach all that is done on behalf of an effect.
How far that gets meanwhile is chance, so it begins nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Never

from llmspell.concurrency import is_cancelled
from llmspell.effect_paths import all_around, is_task


class AbandonedEffects:
    """Those of one run, and of the runs on its behalf."""

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Future[None]] = {}
        self._children: set[str] = set()

    def add(self, path: str) -> None:
        """The spell does not wait for the effect of that path any more."""
        self._ended[path] = asyncio.get_running_loop().create_future()

    def over(self, path: str) -> None:
        """Nothing is done on behalf of that effect any more."""
        if ended := self._ended.pop(path, None):
            ended.set_result(None)

    def runs_child(self, path: str) -> None:
        """The effect of that path runs a spell: once it is abandoned, so is all that this asks for."""
        self._children.add(path)

    def child_ended(self, path: str) -> None:
        self._children.discard(path)

    def find(self, path: str) -> GivenUp | None:
        """What to await in the place of what is done on behalf of the effect of that path.

        None if it may be done: who has heard of being cancelled may clean up, and what a task of the
        spell asks for is done until that task ends.
        """
        if not self._ended or is_cancelled():
            return None
        return self.find_around(path)

    def find_around(self, path: str) -> GivenUp | None:
        """The same, whoever asks."""
        by_task = False
        for step in (path, *all_around(path)):
            by_task = by_task and step not in self._children
            if not by_task and step in self._ended:
                return GivenUp(self._ended[step])
            by_task = by_task or is_task(step)
        return None


class GivenUp:
    """The answer of what is not begun any more: who awaits it ends, once being cancelled gets there."""

    __slots__ = ("_ended",)

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def __await__(self) -> Generator[Any, Any, Never]:
        yield from asyncio.wait([self._ended]).__await__()
        raise asyncio.CancelledError

    def close(self) -> None:
        """Nothing has begun."""
