"""A replay that is slow, as on a busy machine, has not diverged from its record."""

from __future__ import annotations

import asyncio
import time

import pytest

from llmspell.errors import RunSuspended
from llmspell.isolation.workers import Workers
from llmspell.journal import history
from llmspell.middleware import middleware

pytestmark = pytest.mark.anyio

BESIDE = """
local child = "State.set('a', 1) return State.get('a')"
return Task.all{
  function() return (Spell.run(child)) end,
  function() Task.sleep(0.3) State.get("b") return 2 end,
}
"""


@pytest.fixture
def slow_start(monkeypatch):
    """Has processes for spells start slowly, once it is called."""
    take = Workers.take

    def slowly(seconds):
        async def late(self):
            await asyncio.sleep(seconds)
            return await take(self)

        monkeypatch.setattr(Workers, "take", late)

    return slowly


@middleware(effects="state.get", before="hooks")
async def blocking(effect, call_next):
    """Blocks the event loop for long, then needs some of its passes."""
    if effect.path.startswith("0.0"):
        await asyncio.sleep(0.05)  # until others wait
        time.sleep(1.5 * history.STUCK)  # noqa: ASYNC251 - on purpose
        for _ in range(20):
            await asyncio.sleep(0)
    return await call_next(effect)


async def test_the_process_of_a_spell_starts_slowly(new_runtime, slow_start):
    ids: list[str] = []
    async with new_runtime() as runtime:
        first = await runtime.execute(BESIDE, begun=ids.append)
    slow_start(1.5 * history.STUCK)
    async with new_runtime() as runtime:
        assert await runtime.replay(ids[0]) == first


async def test_the_event_loop_is_blocked(new_runtime):
    source = """
        return Task.all{
          function() return State.get("a") end,
          function() Task.sleep(0.3) State.get("b") return 2 end,
        }
    """
    ids: list[str] = []
    async with new_runtime() as runtime:
        first = await runtime.execute(source, begun=ids.append)
    async with new_runtime(middleware=[blocking]) as runtime:
        assert await runtime.replay(ids[0]) == first


async def test_a_run_is_not_parked_while_the_process_of_a_spell_starts(new_runtime, slow_start):
    slow_start(0.3)
    source = BESIDE.replace("0.3", "9").replace("(child)", "(child, {state = 'project'})")
    async with new_runtime(park=1) as runtime:
        with pytest.raises(RunSuspended, match="sleeps until"):
            await runtime.execute(source)
        await runtime.execute("assert(State.get('a') == 1)")


async def test_a_run_is_parked_once_a_spell_has_computed_elsewhere(new_runtime):
    source = """
        return Task.all{
          function() Task.sleep(9) end,
          function() Task.sleep(0.01) local sum = 0 for i = 1, 40000000 do sum = sum + i end return sum end,
        }
    """
    async with new_runtime(park=1, isolate=True) as runtime:
        with pytest.raises(RunSuspended, match="sleeps until"):
            await runtime.execute(source)
