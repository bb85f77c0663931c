"""What fails in a task group of Python code: the spell sees that error, not the group."""

import asyncio

import pytest

from llmspell import Effect, Limits, tool
from llmspell.bridge import Bridge
from llmspell.concurrency import settled
from llmspell.errors import LimitExceeded

pytestmark = pytest.mark.anyio

bridge = Bridge("grouped", __file__)
bridge.lua = (
    "local host = ... return {grouped = function() return host.perform('grouped.read') end}"
)


async def read_secret(effect):
    async with asyncio.TaskGroup() as group:
        group.create_task(
            effect.perform("tool.call", name="read_file", args={"path": "/etc/passwd"})
        )


async def fail(*_):
    async def at_once():
        raise ValueError("no tea")

    async with asyncio.TaskGroup() as group:
        group.create_task(at_once())


@bridge.effect(leaf=False)
async def read(effect: Effect) -> None:
    await read_secret(effect)


@tool
async def reads(effect: Effect) -> None:
    """Read a file in a task group."""
    await read_secret(effect)


@tool
async def fails() -> None:
    """Fail in a task group."""
    await fail()


@tool
async def counts(effect: Effect) -> None:
    """Perform many effects in a task group."""
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(effect.perform("state.get", key="a"))


@pytest.mark.parametrize("call", ["reads", "grouped"])
async def test_the_error_of_an_effect_is_seen_with_its_hint(lua, call):
    source = f"local _, e = pcall({call}) return {{e.code, e.hint}}"
    seen = await lua(source, tools=[reads], bridges=[bridge])
    assert seen == ["permission_denied", "grant it with --allow-read=/etc/passwd"]


async def test_the_error_of_a_tool_is_named(lua):
    source = "return select(2, pcall(fails)).message"
    assert await lua(source, tools=[fails]) == "fails: ValueError: no tea"


async def test_no_pcall_catches_a_breach_of_a_limit(lua):
    with pytest.raises(LimitExceeded):
        await lua("pcall(counts)", tools=[counts], limits=Limits(effects=50))


async def test_hooks_and_middleware(new_runtime, caplog):
    async def around(effect, call_next):
        async with asyncio.TaskGroup() as group:
            done = group.create_task(settled(call_next(effect)))
        return done.result()

    class Around:
        name = "object"
        after = "hooks"

        def wrap(self, handler, call, run):
            return lambda effect: around(effect, call)

    async def broken(effect, call_next):
        return await (fail() if effect.name == "state.set" else call_next(effect))

    async with new_runtime(middleware=[around, Around(), broken], tools=[fails]) as runtime:
        runtime.hooks.before("state.get", id="odd")(fail)
        source = "return select(2, pcall(read_file, {path = '/etc/passwd'})).code"
        assert await runtime.execute(source) == "permission_denied"
        assert await runtime.execute("return State.get('a')") is None
        assert "hook 'odd' before state.get failed: no tea" in caplog.text
        source = "return select(2, pcall(State.set, 'a', 1)).message"
        said = "middleware 'broken' at state.set: ValueError: no tea"
        assert await runtime.execute(source) == said
