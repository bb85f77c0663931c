"""Spells that a spell runs, each with no more than its parent has."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from math import inf

from llmspell.effects import Effect
from llmspell.errors import LimitExceeded, LlmspellError, SpellFailed
from llmspell.frozen import Frozen
from llmspell.journal.leaves import noted
from llmspell.journal.recording import Recording
from llmspell.limits import Limits
from llmspell.permissions import NOTHING, Grants, Permissions
from llmspell.run_output import RunOutput
from llmspell.spell import Spell
from llmspell.spending.accounts import Accounts
from llmspell.values import Value

_MEMORY = "memory"
SHARE = 4  # of these fit into the memory limit when none says how much it wants


class ChildRun(Frozen):
    """A spell to be run on behalf of another one.

    Attributes:
        limits: What it may use, by the names of `Limits`, if that is less than the parent may.
        own_state: Whether its state is its own and ends with it, or else the project's.
        own_events: Whether it has a bus of its own, or else shares that of its parent.
    """

    spell: Spell
    params: Mapping[str, Value] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    grants: Grants = NOTHING
    limits: Mapping[str, float] = field(default_factory=dict)
    own_state: bool = True
    own_events: bool = True


Start = Callable[[Effect, ChildRun, Permissions, Limits], Awaitable[Value]]
"""Runs a child on behalf of an effect, with these permissions and limits; what it returns."""


class ChildRuns:
    """Runs the children of one run.

    Together they have as much memory as their parent: one that finds too little left waits until
    others have ended. They begin in the order in which they were asked for, and when one that
    waited began is recorded.
    """

    def __init__(self, limits: Limits, permissions: Permissions, start: Start) -> None:
        self._limits, self._permissions, self._start = limits, permissions, start
        self._free = limits.memory
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def run(self, effect: Effect, child: ChildRun) -> Value:
        """Run one; what it returns.

        Raises:
            LimitExceeded: There were too many effects, or there was too much output, for the parent.
            SpellFailed: A parameter was wrong, it did not compile or did not catch an error, or it
                went beyond a limit.
        """
        own = {"memory": self._limits.memory // SHARE, **child.limits}
        limits = self._limits.lowered(own).lowered(child.spell.limits)
        permissions = self._permissions.within(child.grants)
        try:
            async with self._memory(effect, limits.memory):
                return await self._start(effect, child, permissions, limits)
        except LlmspellError as error:
            if isinstance(error, LimitExceeded):
                effect.run.count()  # the limit of effects may be this run's own: that ends it as well
                effect.run[RunOutput].count(0)  # and so may that of output
                effect.run[Accounts].check(effect.path)  # and the budget
                if error.value < getattr(self._limits, error.limit, inf):
                    error.hint = f"give it more: Spell.run(…, {{limits = {{{error.limit} = …}}}})"
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
        """Wait until there is enough memory, or as long as was recorded."""
        recording = effect.run[Recording]
        again = recording is not None and recording.follows_record
        if again and recording.has_recorded(effect.mark(_MEMORY)):
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
        """Have the next one begin if there is enough for it; it looks after the one behind it."""
        if self._waiting and self._waiting[0][0] <= self._free and not self._waiting[0][1].done():
            self._waiting[0][1].set_result(None)
