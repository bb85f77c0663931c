"""Tracks effects that a spell has abandoned, until their handlers have ended.

A cancellation takes several turns of the event loop to reach all work on behalf of an effect. How
far the work gets in the meantime depends on timing, so it must not begin anything new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Never

from llmspell.concurrency import is_cancelled
from llmspell.effect_paths import all_around, is_task, is_within


class AbandonedEffects:
    """The abandoned effects of one run, including its child runs.

    Attributes:
        void: The paths of calls that abandoned effects had made into a spell. One that has not
            reached the spell yet never will.
    """

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Future[None]] = {}
        self._children: dict[str, Callable[[], None]] = {}
        self._called: dict[str, str] = {}  # calls into a spell, and the effect that runs the spell
        self._ends: set[str] = set()
        self.void: set[str] = set()

    def add(self, path: str) -> None:
        """Note that the spell no longer waits for the effect at a path."""
        self._ended[path] = asyncio.get_running_loop().create_future()
        for child, give_up in self._children.items():
            if self.find_around(child):
                give_up()
        for task in self._called:
            if is_within(task, path) and self.find_around(task.rpartition(".")[0]):
                self.void.add(task)

    def over(self, path: str) -> None:
        """Note that all work on behalf of that effect has ended."""
        if ended := self._ended.pop(path, None):
            ended.set_result(None)

    def runs_child(self, path: str, give_up: Callable[[], None]) -> None:
        """Note that the effect at a path runs a child spell.

        Once that effect is abandoned, so is everything that the child requests; `give_up` is called
        then.
        """
        self._children[path] = give_up

    def child_ended(self, path: str) -> None:
        self._children.pop(path, None)

    def leave(self) -> None:
        """Note that the run stops, and with it all of its child runs."""
        for give_up in self._children.values():
            give_up()

    def call_began(self, task: str, path: str) -> None:
        """Note that a task is a call into the spell that the effect at `path` runs."""
        self._called[task] = path

    def call_ended(self, task: str) -> None:
        """Note that such a call has ended."""
        self._called.pop(task, None)
        self.void.discard(task)

    @contextmanager
    def tells_end(self, path: str) -> Iterator[None]:
        """Exempt what is done under a path, where hooks are called for the end of a run."""
        self._ends.add(path)
        try:
            yield
        finally:
            self._ends.discard(path)

    def find(self, path: str) -> GivenUp | None:
        """Return what to await instead of doing something at a path, or None if it may be done.

        It may be done during cancellation, because a cancelled task may clean up, and on behalf of
        a task of the spell, which continues until that task ends.
        """
        if not self._ended or is_cancelled():
            return None
        return self.find_around(path)

    def is_abandoned(self, under: str) -> bool:
        """Return whether the effect that runs a child spell has been abandoned.

        `under` is its path with a slash; empty for the run itself, which never is.
        """
        return bool(under) and self.find_around(under[:-1]) is not None

    def find_around(self, path: str) -> GivenUp | None:
        """Like `find`, without the exception for a cancelled task."""
        by_task = False
        for step in (path, *all_around(path)):
            if step in self._called:
                return self.find_around(self._called[step])
            if not by_task and step in self._ends:
                return None
            by_task = by_task and step not in self._children
            if not by_task and step in self._ended:
                return GivenUp(self._ended[step])
            by_task = by_task or is_task(step)
        return None


class GivenUp:
    """The answer to an effect that is not performed any more: awaiting it ends in cancellation."""

    __slots__ = ("_ended",)

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def __await__(self) -> Generator[Any, Any, Never]:
        yield from asyncio.wait([self._ended]).__await__()
        raise asyncio.CancelledError

    def close(self) -> None:
        """Do nothing, since nothing has started."""
