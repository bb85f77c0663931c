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
