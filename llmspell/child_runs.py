"""Child runs: spells run by a spell, each limited to what its parent may do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from math import inf

from llmspell.effects import Effect
from llmspell.errors import (
    LimitExceeded,
    LlmspellError,
    ReplayError,
    RunSuspended,
    SpellFailed,
)
from llmspell.frozen import Frozen
from llmspell.journal.leaves import noted
from llmspell.journal.recording import Recording
from llmspell.kept import Kept
from llmspell.limits import Limits
from llmspell.permissions import NOTHING, Grants, Permissions
from llmspell.run_output import RunOutput
from llmspell.spell import Spell
from llmspell.spending.accounts import Accounts
from llmspell.values import Value

_MEMORY = "memory"
SHARE = 4  # how many children fit into the parent's memory limit by default


class ChildRun(Frozen):
    """A spell to run on behalf of another one.

    Attributes:
        limits: Limits lower than the parent's, by the field names of `Limits`.
        own_state: Whether it has a state of its own that ends with it, instead of the project's.
        own_events: Whether it has an event bus of its own, instead of its parent's.
    """

    spell: Spell
    params: Mapping[str, Value] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    grants: Grants = NOTHING
    limits: Mapping[str, float] = field(default_factory=dict)
    own_state: bool = True
    own_events: bool = True


Start = Callable[[Effect, ChildRun, Permissions, Limits], Awaitable[Value]]
"""Runs a child on behalf of an effect, with these permissions and limits; returns its result."""


class ChildRuns:
    """Runs the children of one run.

    They share their parent's memory limit: a child that finds too little left waits until others
    have ended. Children start in the order in which they were requested, and the start of one that
    had to wait is recorded.
    """

    def __init__(self, limits: Limits, permissions: Permissions, start: Start) -> None:
        self._limits, self._permissions, self._start = limits, permissions, start
        self._free = limits.memory
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def run(self, effect: Effect, child: ChildRun) -> Value:
        """Run a child and return its result.

        Raises:
            LimitExceeded: The parent has exceeded its own limit of effects, output or what is
                kept, or its budget.
            SpellFailed: A parameter was invalid, or the child did not compile, did not catch an
                error, or exceeded a limit.
            ReplayError, RunSuspended: The whole run stops in the middle of the child.
        """
        own = {"memory": self._limits.memory // SHARE, **child.limits}
        limits = self._limits.lowered(own).lowered(child.spell.limits)
        permissions = self._permissions.within(child.grants)
        try:
            async with self._memory(effect, limits.memory):
                return await self._start(effect, child, permissions, limits)
        except (ReplayError, RunSuspended):
            raise  # the whole run stops, which is no failure of the child
        except LlmspellError as error:
            if isinstance(error, LimitExceeded):
                effect.run.count()  # if the exceeded limit is this run's own, this ends it too
                effect.run[RunOutput].count(0)  # the same for the limit of output
                effect.run[Kept].check()
                effect.run[Accounts].check(effect.path)  # and for the budget
                if error.value < getattr(self._limits, error.limit, inf):
                    error.hint = f"raise it: Spell.run(…, {{limits = {{{error.limit} = …}}}})"
            raise SpellFailed(child.spell.name, error) from error

    @asynccontextmanager
    async def _memory(self, effect: Effect, size: int) -> AsyncIterator[None]:
        await self._turn(effect, size)
        self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._admit()

    async def _turn(self, effect: Effect, size: int) -> None:
        """Wait until there is enough memory or, in a replay, until the recorded moment."""
        recording = effect.run[Recording]
        again = recording is not None and recording.follows_record
        if again and recording.has_recorded(effect.path_beside(_MEMORY)):
            await noted(effect, _MEMORY)
        elif (self._waiting or size > self._free) and not (again and recording.is_replay):
            await self._enough(size)
            if not again:
                await noted(effect, _MEMORY)

    async def _enough(self, size: int) -> None:
        waiter = size, asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter[1]
        finally:
            self._waiting.remove(waiter)
            asyncio.get_running_loop().call_soon(self._admit)

    def _admit(self) -> None:
        """Let the next child start if enough memory is free; it then admits the one behind it."""
        if self._waiting and self._waiting[0][0] <= self._free and not self._waiting[0][1].done():
            self._waiting[0][1].set_result(None)
