"""Cancellations that nobody asked the run for: of something that a handler, or what is around, awaits."""

import asyncio

import anyio
import pytest

from llmspell import Runtime, tool
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.middleware import middleware
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

bridge = Bridge("odd", __file__)
bridge.lua = """
local host = ...
return {
  leaf = function() return host.perform("odd.leaf", {}) end,
  composite = function() return host.perform("odd.composite", {}) end,
}
"""


async def ended():
    """Ends a task of its own, and waits for it without minding that it was cancelled."""
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


@bridge.effect()
async def leaf() -> None:
    await ended()


@bridge.effect(leaf=False)
async def composite() -> None:
    await ended()


@tool
async def careless() -> None:
    """It ends a task."""
    await ended()


@middleware(effects="state.*")
async def around(effect, call_next):
    await ended()


EXPECTED = {
    "careless{}": "careless: what it waited for was cancelled",
    "leaf()": "odd.leaf failed: internal error (CancelledError)",
    "composite()": "odd.composite failed: internal error (CancelledError)",
    "State.get('x')": "middleware 'around' at state.get: what it waited for was cancelled",
}


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "not recorded"])
@pytest.mark.parametrize("call", EXPECTED)
async def test_they_are_failures(tmp_path, call, record):
    source = f"""
        local function failing() return select(2, pcall(function() {call} end)).message end
        local function other() Task.sleep(0.01) return 1 end
        return {{failing(), Task.all({{failing, other}})}}
    """
    options = {"tools": [careless], "bridges": [bridge], "middleware": [around]}
    ids = []
    async with Runtime(
        project=Project(tmp_path), store=MemoryStore(), record=record, **options
    ) as runtime:
        with anyio.fail_after(10):
            result = await runtime.execute(source, begun=ids.append)
        assert result == [EXPECTED[call], [EXPECTED[call], 1]]
        if record:
            assert await runtime.replay(ids[0]) == result
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "not recorded"])
async def test_a_hook_that_meets_one_has_failed_and_is_passed_over(tmp_path, record):
    async def hook(_):
        await ended()

    ids, failures = [], []
    async with Runtime(project=Project(tmp_path), store=MemoryStore(), record=record) as runtime:
        runtime.hooks.register("before:state.get", hook)
        runtime.events.subscribe("hook.failed", failures.append)
        with anyio.fail_after(10):
            assert (
                await runtime.execute("return State.get('x') or 'none'", begun=ids.append) == "none"
            )
            await anyio.sleep(0.05)
        assert [f.data["message"] for f in failures] == ["what it waited for was cancelled"]
        if record:
            assert await runtime.replay(ids[0]) == "none"
