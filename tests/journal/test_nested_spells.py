"""Spells that spells run and cancel: what hooks are told of them is the same again."""

from __future__ import annotations

import asyncio

import pytest

from llmspell import tool
from llmspell.spell import parse_spell

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@pytest.fixture
def twice(new_runtime, printed):
    """Runs a spell and replays it, perhaps with other options; the result, and what was printed."""

    async def run(source, again=None, **options):
        options = {"isolate": False} | options
        ids = []
        printed.clear()
        spell = parse_spell(source.encode(), name="s", file="s.lua")
        async with new_runtime(**options) as runtime:
            result = await runtime.run(spell, begun=ids.append)
        first = list(printed)
        printed.clear()
        async with new_runtime(**(options | (again or {}))) as runtime:
            assert await runtime.replay(ids[0]) == result
        assert printed == first
        return result, first

    return run


CANCELS = """
    local task = Task.spawn(function() {what} end)
    Task.sleep(0.1)
    task:cancel()
"""


async def test_hooks_are_told_of_a_cancelled_spell_before_the_one_that_ran_it_ends(twice):
    source = """
    Hook.at("run.end", function(c) Task.sleep(0.02) print(c.args.spell, c.args.error.code) end)
    """
    source += CANCELS.format(what="Spell.run('Task.sleep(9)', {name = 'inner'})") + "return 1"
    assert await twice(source) == (1, ["inner\tcancelled"])


async def test_hooks_are_told_of_the_spells_of_a_cancelled_one(twice):
    source = """
    Hook.at("run.end", function(c)
      State.increment("ended")
      print(c.args.spell, c.args.error.code)
    end)
    """
    inner = "Spell.run([[Spell.run('Task.sleep(9)', {name = 'inner'})]], {name = 'outer'})"
    source += CANCELS.format(what=inner) + "Task.sleep(0.05) return State.get('ended')"
    assert await twice(source) == (2, ["inner\tcancelled", "outer\tcancelled"])


async def test_spells_end_while_the_one_that_ran_them_computes(twice):
    source = """
    return Task.map({1, 2, 3, 4, 5, 6}, function(n)
      Spell.run("State.get('x')")
      for _ = 1, 300000 do end
      print(n)
      return n
    end)
    """
    result, printed = await twice(source, {"isolate": False}, isolate=True)
    assert sorted(map(int, printed)) == result == [1, 2, 3, 4, 5, 6]


async def test_a_cancelled_spell_answers_no_hooks_of_its_own(twice):
    inner = "Spell.run([[Hook.at('run.end', function() Task.sleep(9) end) Spell.run('return 1')]])"
    source = CANCELS.format(what=inner) + "Task.sleep(0.01) return 1"
    assert await twice(source) == (1, [])


async def test_hooks_are_told_what_a_spell_came_to_though_it_is_cancelled_then(twice):
    source = """
    local task
    Hook.at("run.end", function(c)
      task:cancel()
      Task.sleep(0.01)
      print(c.args.result)
    end)
    task = Task.spawn(function() Spell.run("return 7") end)
    pcall(task.await, task)
    return 1
    """
    assert await twice(source) == (1, ["7"])


async def test_a_hook_that_comes_while_a_spell_runs_is_told_of_its_end_again(twice):
    source = """
    Task.spawn(function() Hook.at("run.end", function() State.increment("ended") end) end)
    Spell.run("Task.sleep(0)")
    return State.get("ended")
    """
    for _ in range(3):
        assert await twice(source) == (1, [])


async def test_a_hook_does_not_hear_of_what_a_spell_of_the_spell_has_cancelled(twice):
    source = """
    Hook.before("task.sleep", function(c) print(c.args.seconds) end)
    for i = 1, 10 do
      Spell.run([[
        Task.race{
          function() Task.sleep(1) end,
          function() Task.sleep(2) end,
          function() Event.publish("t", 1) State.increment("a") end,
        }
      ]])
      State.increment("b")
    end
    return State.get("b")
    """
    for _ in range(5):
        assert (await twice(source))[0] == 10


@pytest.mark.parametrize("again", [True, False])
async def test_spells_in_processes_of_their_own_are_heard_in_the_same_order(twice, again):
    source = """
    Task.map({3e6, 2e6, 1e6, 10}, function(n)
      Spell.run("for i = 1, " .. n .. " do end print(" .. n .. ") Task.sleep(0.001) print('slept')")
    end)
    return 1
    """
    await twice(source, isolate=True, again={"isolate": again})


async def test_what_ends_while_a_spell_computes_in_another_process_has_ended_before(twice):
    source = """
    Spell.run([[
      local task = Task.spawn(function()
        State.update("k", function() State.set("k", math.random()) return 1 end)
      end)
      Task.sleep(0.004)
      for i = 1, 4e6 do end
      task:cancel()
    ]])
    return 1
    """
    for _ in range(3):
        await twice(source, isolate=True, again={"isolate": False})


@tool
async def lingers() -> None:
    """Take some time to clean up."""
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("isolate", [True, False])
async def test_a_spell_that_returns_before_what_it_cancelled_has_ended_has_as_many_turns(
    twice, isolate
):
    source = """
    Spell.run([[
      pcall(Task.race, {lingers, lingers, function() Task.sleep(0.01) end})
    ]], {grants = {tool = {"*"}}})
    Task.sleep(0.001)
    return State.increment("a")
    """
    assert await twice(source, isolate=isolate, tools=[lingers]) == (1, [])


async def test_a_run_that_is_stopped_waits_for_no_hook_at_the_end_of_a_spell(new_runtime):
    source = 'Hook.at("run.end", function() print("told") Task.sleep(9) end)'
    source += CANCELS.format(what="Spell.run('Task.sleep(9)')") + "Task.sleep(9)"
    told = asyncio.Event()
    async with new_runtime(isolate=False, output=lambda _: told.set()) as runtime:
        running = asyncio.create_task(runtime.execute(source))
        await told.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 5)


@tool
async def naps() -> None:
    await asyncio.sleep(0.02)


async def test_the_abort_of_a_call_that_a_spell_has_answered_is_not_told(twice):
    source = """
    Hook.before("task.sleep", function() for i = 1, 1e7 do end end)
    for _ = 1, 3 do
      Spell.run("pcall(Task.race, {function() Task.sleep(9) end, naps})", {grants = {tool = {"*"}}})
    end
    return State.increment("a")
    """
    options = {"isolate": True, "tools": [naps], "again": {"isolate": False}}
    assert await twice(source, **options) == (1, [])


async def test_what_a_resumed_run_does_anew_may_end_while_its_spells_repeat_their_turns(
    new_runtime,
):
    source = """
    Task.all{pauses, function()
      for _ = 1, 6 do Spell.run("for i = 1, 3e6 do end print('spell')") end
    end}
    return 1
    """
    ids, printed, spell = [], [], parse_spell(source.encode(), name="s", file="s.lua")
    seconds = 60.0

    @tool(idempotent=True)
    async def pauses() -> None:
        await asyncio.sleep(seconds)

    def stop(text):
        printed.append(text)
        if len(printed) == 5:
            running.cancel()

    async with new_runtime(isolate=True, tools=[pauses], output=stop) as runtime:
        running = asyncio.create_task(runtime.run(spell, begun=ids.append))
        with pytest.raises(asyncio.CancelledError):
            await running
        seconds = 0.01
        assert await runtime.resume(ids[0]) == 1
        assert await runtime.replay(ids[0]) == 1
