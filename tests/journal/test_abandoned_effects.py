"""Effects that a spell no longer waits for: what ends on their behalf all the same, and what remains of them."""

from __future__ import annotations

import asyncio

import pytest

from llmspell import tool
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@pytest.mark.parametrize(
    ("abandoned", "leaf"),
    [
        ("Spell.run('Task.all{waits, waits}', {grants = {tool = {'*'}}})", "tool.call"),
        (
            "Spell.run([[Event.subscribe('on', print) Task.sleep(9)]], {events = 'shared'})",
            "event.receive",
        ),
        ("Agent.create{tools = {'waits'}}:prompt('x')", "tool.call"),
    ],
)
async def test_a_leaf_that_ends_in_the_moment_after_it_was_abandoned_is_cancelled(
    new_runtime, journal, abandoned, leaf
):
    source = f"""
    local task = Task.spawn(function() {abandoned} end)
    Task.sleep(0.05)
    print("go on")
    task:cancel()
    Task.sleep(0.01)
    """
    going_on = asyncio.Event()

    @tool
    async def waits() -> None:
        await going_on.wait()

    def go_on(_):
        going_on.set()
        runtime.events.publish_nowait("on")

    options = {
        "isolate": False,
        "tools": [waits],
        "providers": [ScriptedProvider(lambda _: [ToolCall(n, "waits", {}) for n in "12"])],
        "model": "scripted/any",
        "output": go_on,
    }
    async with new_runtime(**options) as runtime:
        await runtime.run(parse_spell(source.encode(), name="s", file="s.lua"))
    with journal() as reader:
        kinds = {e.kind for e in reader.effects(reader.runs()[0]) if e.name == leaf}
    assert kinds == {"cancelled"}


async def test_a_leaf_that_is_abandoned_before_anyone_waits_for_it_is_cancelled(
    new_runtime, journal
):
    async def decides():
        await asyncio.sleep(0)

    source = """
    pcall(Task.all, {
      function() State.set("k", 1) end,
      function() State.get("k") end,
      function() error("oh") end,
    })
    """
    async with new_runtime(store=None) as runtime:
        runtime.hooks.before("state.get")(lambda _: decides())
        await runtime.execute(source)
    with journal() as reader:
        kinds = {e.name: e.kind for e in reader.effects(reader.runs()[0], beside=True)}
    assert kinds == {"state.set": "cancelled", "hook.decide": "cancelled"}


@pytest.mark.parametrize(
    ("opens", "then"),
    [
        ("State.watch('k', function(c) print(c.new) end)", "State.set('k', 1)"),
        ("Event.subscribe('k', function(e) print(e.data) end)", "Event.publish('k', 1)"),
    ],
)
async def test_what_a_cancelled_task_has_opened_but_was_not_told_of_ends(
    new_runtime, printed, opens, then
):
    source = f"""
    local opened
    Hook.after("state.watch", function() opened = true Task.sleep(9) end)
    Hook.after("event.subscribe", function() opened = true Task.sleep(9) end)
    local task = Task.spawn(function() {opens} end)
    Task.sleep(0.02)
    task:cancel()
    {then}
    return opened
    """
    spell, ids = parse_spell(source.encode(), name="s", file="s.lua"), []
    async with new_runtime(isolate=False) as runtime:
        assert await runtime.run(spell, begun=ids.append)
        assert await runtime.replay(ids[0])
    assert printed == []
