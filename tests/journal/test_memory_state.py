"""State in memory ends with its process: a run that is resumed in another one finds what it had written."""

from __future__ import annotations

import asyncio

import pytest

from llmspell.errors import LimitExceeded
from llmspell.limits import Limits
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

WRITES = """
State.set("a", 1)
State.increment("n", 2)
State.update("list", function(l) l = l or {} l[#l + 1] = "x" return l end)
State.set("short", 1, {ttl = 60})
State.set("gone", 1)
State.delete("gone")
State.compare_and_set("a", 1, 5)
State.compare_and_set("a", 1, 6)
State.scope("other").set("b", {c = true})
State.update("list", function(l) l[#l + 1] = "y" return l end)
State.increment("short")
local found = {}
for i, key in ipairs(State.keys()) do found[i] = key end
return {State.get("a"), State.increment("n"), State.get("list"), State.get("short"), found,
  State.scope("other").get("b")}
"""
FOUND = [5, 3, ["x", "y"], 2, ["a", "list", "n", "short"], {"c": True}]
OWN = f"return (Spell.run([[{WRITES}]]))"
TWO = f"return Task.all{{function() {OWN} end, function() {OWN} end}}"


@pytest.mark.parametrize("effects", range(1, 20))
@pytest.mark.parametrize("source", [WRITES, OWN, TWO], ids=["run", "child", "children"])
async def test_a_run_goes_on_with_its_state(new_runtime, source, effects):
    ids: list[str] = []
    async with new_runtime(
        store=MemoryStore(), limits=Limits(effects=effects), isolate=False
    ) as one:
        with pytest.raises(LimitExceeded):
            await one.execute(source, begun=ids.append)
    async with new_runtime(store=MemoryStore(), isolate=False) as other:
        assert await other.resume(ids[0]) == ([FOUND] * 2 if source == TWO else FOUND)
        assert await other.replay(ids[0]) == ([FOUND] * 2 if source == TWO else FOUND)


async def test_in_the_same_process_nothing_is_restored(new_runtime):
    """Others may have written since."""
    ids: list[str] = []
    store = MemoryStore()
    source = "State.increment('n') State.get('x') return State.increment('n')"
    async with new_runtime(store=store, limits=Limits(effects=2)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
        store.set("", "n", 10)
    async with new_runtime(store=store) as runtime:
        assert await runtime.resume(ids[0]) == 11


async def test_completed_runs_leave_nothing_in_the_store(new_runtime):
    """It would grow with each run."""

    async def size(runtime, runs):
        for _ in range(runs):
            await runtime.execute("State.set('n', 1)")
        return sum(len(kept) for kept in vars(store).values() if hasattr(kept, "__len__"))

    store = MemoryStore()
    async with new_runtime(store=store) as runtime:
        assert await size(runtime, 1) == await size(runtime, 9)


async def test_what_has_expired_since_has_gone(new_runtime):
    ids: list[str] = []
    source = "State.set('a', 1, {ttl = 0.2}) State.get('x') return State.get('a') == nil"
    async with new_runtime(store=MemoryStore(), limits=Limits(effects=2)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
    await asyncio.sleep(0.25)
    async with new_runtime(store=MemoryStore()) as runtime:
        assert await runtime.resume(ids[0]) is True


@pytest.mark.parametrize("effects", [3, 4])
async def test_a_watch_is_not_told_again(new_runtime, effects):
    ids: list[str] = []
    source = """
        local change = State.changes("*")
        State.set("a", 1)
        local first = change()
        State.get("x")
        State.set("b", 2)
        return {first, (change())}
    """
    async with new_runtime(store=MemoryStore(), limits=Limits(effects=effects)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
    async with new_runtime(store=MemoryStore()) as other:
        assert await other.resume(ids[0]) == ["a", "b"]
