"""The global Task: concurrency of one spell, structured."""

import asyncio
import gc
import time

import pytest

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.errors import LimitExceeded, SpellRuntimeError
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


async def test_map_runs_at_the_same_time_and_keeps_the_order(lua):
    begin = time.monotonic()
    result, order = await lua("""
        local order = {}
        local function wait(n, i)
          order[#order + 1] = n .. " begins"
          local value = probe("wait", {seconds = 0.2 * n, value = n * 10 + i})
          order[#order + 1] = n .. " ends"
          return value
        end
        return {Task.map({5, 1, 3}, wait), order}
    """)
    assert result == [51, 12, 33]
    assert order == ["5 begins", "1 begins", "3 begins", "1 ends", "3 ends", "5 ends"]
    assert time.monotonic() - begin < 1.7  # one after another they take 1.8


async def test_a_thousand_sleeping_tasks_take_as_long_as_one(lua):
    begin = time.monotonic()
    await lua("""
        local list = {}
        for i = 1, 1000 do list[i] = i end
        Task.map(list, function() Task.sleep(0.1) end)
    """)
    assert time.monotonic() - begin < 5  # a benchmark has the real bound


async def test_map_with_a_limit_has_no_more_than_that_at_once(lua):
    assert (
        await lua("""
        local now, most = 0, 0
        local list = {}
        for i = 1, 20 do list[i] = i end
        Task.map(list, function()
          now = now + 1
          most = math.max(most, now)
          Task.sleep(0.001)
          now = now - 1
        end, {limit = 3})
        return most
    """)
        == 3
    )


async def test_a_failure_cancels_the_siblings_and_is_raised(lua, lines):
    begin = time.monotonic()
    result = await lua("""
        local ok, e = pcall(Task.map, {1, 2, 3}, function(n)
          if n == 2 then Task.sleep(0.01) error("two failed") end
          Task.sleep(10)
          print("never")
        end)
        return {ok, e}
    """)
    assert result[0] is False
    assert result[1] == "test.lua:3: two failed"
    assert lines == []
    assert time.monotonic() - begin < 5


async def test_map_can_collect_errors(lua):
    assert await lua("""
        local results, errors = Task.map({1, 2, 3}, function(n)
          if n == 2 then error({code = "odd"}) end
          return n * 2
        end, {on_error = "collect"})
        return {results[1], results[2] == nil, results[3], errors[2].code, errors[1] == nil}
    """) == [2, True, 6, "odd", True]


async def test_map_of_nothing(lua):
    assert await lua("return Task.map({}, function() end)") == []


async def test_map_has_a_timeout(lua):
    result = await lua("""
        local ok, e = pcall(Task.map, {1, 2}, function() Task.sleep(10) end, {timeout = 0.02})
        return {ok, e.code}
    """)
    assert result == [False, "effect_timeout"]


async def test_all_gives_the_results_in_order(lua):
    assert await lua("""
        return Task.all{
          function() Task.sleep(0.02) return "slow" end,
          function() return "quick" end,
        }
    """) == ["slow", "quick"]


async def test_race_gives_the_first_and_cancels_the_others(lua, lines):
    result = await lua("""
        local winner = Task.race{
          function() Task.sleep(10) print("loser") return 1 end,
          function() Task.sleep(0.01) return 2 end,
        }
        return winner
    """)
    assert result == 2
    assert lines == []


async def test_race_of_nothing_is_refused(lua):
    with pytest.raises(SpellRuntimeError, match="empty"):
        await lua("Task.race{}")


async def test_spawn_await_and_cancel(lua):
    assert await lua("""
        local a = Task.spawn(function(x, y) Task.sleep(0.01) return x + y, "second" end, 1, 2)
        local b = Task.spawn(function() Task.sleep(10) end)
        local before = a:done()
        local sum, second = a:await()
        b:cancel()
        local ok, e = pcall(b.await, b)
        return {before, sum, second, a:done(), ok, e.code, (a:await())}
    """) == [False, 3, "second", True, False, "cancelled", 3]


async def test_a_spell_waits_for_the_tasks_it_left_behind(lua, lines):
    await lua("""
        Task.spawn(function() Task.sleep(0.02) print("done after all") end)
        print("main is over")
    """)
    assert lines == ["main is over", "done after all"]


async def test_the_failure_of_a_task_nobody_awaits_is_not_lost(lua):
    with pytest.raises(SpellRuntimeError, match="left behind"):
        await lua("""
            Task.spawn(function() error("left behind") end)
            Task.sleep(0.01)
        """)


async def test_the_failure_of_a_task_that_is_awaited_can_be_caught(lua):
    assert await lua("""
        local t = Task.spawn(function() error("caught", 0) end)
        Task.sleep(0)
        local ok, e = pcall(t.await, t)
        return {ok, e}
    """) == [False, "caught"]


async def test_timeout_raises_and_cancels(lua, lines):
    result = await lua("""
        local ok, e = pcall(Task.timeout, 0.02, function() Task.sleep(10) print("never") end)
        return {ok, e.code, e.message, Task.timeout(10, function() return "in time" end)}
    """)
    assert result[:2] == [False, "effect_timeout"]
    assert "0.02" in result[2]
    assert result[3] == "in time"
    assert lines == []


async def test_an_error_inside_timeout_is_raised_as_it_is(lua):
    assert (
        await lua("""
        local ok, e = pcall(Task.timeout, 1, function() error("own", 0) end)
        return e
    """)
        == "own"
    )


async def test_cancelling_runs_close_handlers_which_cannot_perform_effects(lua, lines):
    await lua("""
        local t = Task.spawn(function()
          local guard <close> = setmetatable({}, {__close = function()
            print("closed")
            local ok, e = pcall(probe, "echo")
            print(e.code)
          end})
          Task.sleep(10)
        end)
        Task.sleep(0.01)
        t:cancel()
    """)
    assert lines == ["closed", "no_effect_here"]


async def test_cancelling_runs_close_handlers_which_cannot_start_tasks(lua, lines):
    await lua("""
        local function work()
          local guard <close> = setmetatable({}, {__close = function()
            local _, e = pcall(Task.all, {function() print("started") end})
            print(e.code)
          end})
          Task.sleep(10)
        end
        local t = Task.spawn(work)
        Task.sleep(0)
        t:cancel()
        Hook.before("tool.call", work)
        pcall(Task.timeout, 0.01, function() add{a = 1} end)
        Task.sleep(0.01)
    """)
    assert lines == ["no_effect_here"] * 2


async def test_no_close_handler_hides_that_memory_ran_out_in_a_coroutine_inside(lua, lines):
    with pytest.raises(LimitExceeded, match="memory"):
        await lua("""
            local t = Task.spawn(function()
              local guard <close> = setmetatable({}, {__close = function() print() error("hidden") end})
              coroutine.wrap(function()
                local inner <close> = setmetatable({}, {__close = function()
                  local items = {}
                  while true do items[#items + 1] = ("x"):rep(1000) .. #items end
                end})
                Task.sleep(10)
              end)()
            end)
            Task.sleep(0)
            t:cancel()
        """)
    assert lines == []


async def test_a_coroutine_that_c_keeps_from_waiting_only_fails_to_perform_effects(lua, lines):
    assert await lua("""
        local sleeper = Task.spawn(function() Task.sleep(0.01) return "slept" end)
        local called_by_c, t, first = ipairs({})
        setmetatable(t, {__index = function()
          return coroutine.wrap(function()
            print("printed")
            local _, slept = pcall(Task.sleep, 0)
            local _, awaited = pcall(sleeper.await, sleeper)
            coroutine.yield({slept.message, awaited.message})
          end)()
        end})
        local _, said = called_by_c(t, first)
        return {said, sleeper:await()}
    """) == [
        [
            "cannot perform task.sleep inside a C callback",
            "cannot wait for a task inside a C callback",
        ],
        "slept",
    ]
    assert lines == ["printed"]


async def test_a_coroutine_that_cancels_a_task_can_still_yield(lua):
    assert (
        await lua("""
        local t = Task.spawn(function() Task.sleep(10) end)
        Task.sleep(0)
        return coroutine.wrap(function()
          t:cancel()
          coroutine.yield("yielded")
        end)()
    """)
        == "yielded"
    )


async def test_a_task_cancels_the_tasks_it_started(lua, lines):
    await lua("""
        local t = Task.spawn(function()
          Task.map({1, 2}, function(n) Task.sleep(10) print("never", n) end)
        end)
        Task.sleep(0.01)
        t:cancel()
        print("cancelled")
    """)
    assert lines == ["cancelled"]


async def test_a_task_may_cancel_itself(lua, lines):
    await lua("""
        local t
        t = Task.spawn(function()
          Task.sleep(0)
          t:cancel()
          print("still here until it waits")
          Task.sleep(0)
          print("never")
        end)
    """)
    assert lines == ["still here until it waits"]


async def test_tasks_that_wait_for_each_other_are_found(lua):
    with pytest.raises(SpellRuntimeError, match="is waiting for another"):
        await lua("""
            local a, b
            a = Task.spawn(function() Task.sleep(0) b:await() end)
            b = Task.spawn(function() Task.sleep(0) a:await() end)
            a:await()
        """)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("Task.map(1, print)", "argument 1 must be a table"),
        ("Task.map({1}, 2)", "argument 2 must be a function"),
        ("Task.map({tea = 1}, print)", "Task.map: argument 1 must be a list"),
        ("Task.map({1}, print, {concurrency = 1})", "Task.map: concurrency is not an option"),
        ("Task.all({print}, 5)", "Task.all: argument 2 must be a table"),
        ("Task.all({print}, {[print] = 1})", "is not an option"),
        ("Task.all{tea = print}", "Task.all: argument 1 must be a list"),
        ("Task.race{tea = print}", "Task.race: argument 1 must be a list"),
        ("Task.map({1}, print, {limit = 0})", "limit"),
        ("Task.map({1}, print, {limit = 0/0})", "limit"),
        ("Task.map({1}, print, {on_error = 'ignore'})", "on_error"),
        ("Task.all{1}", "must be a function"),
        ("Task.sleep(-1)", "not negative"),
        ("Task.sleep('x')", "not negative"),
        ("Task.timeout(1, 2)", "must be a function"),
        ("Task.spawn(1)", "must be a function"),
    ],
)
async def test_wrong_arguments_are_explained_at_their_line(lua, call, said):
    with pytest.raises(SpellRuntimeError, match=said) as caught:
        await lua(f"\n{call}\n")
    assert caught.value.where == "test.lua:2"


async def test_paths_do_not_depend_on_timing(lua):
    source = """
        return Task.map({%s}, function(seconds, i)
          Task.sleep(seconds)
          return Task.map({1, 2}, function() return probe("place") end)
        end)
    """
    first = await lua(source % "0.02, 0, 0.01")
    second = await lua(source % "0, 0.02, 0")
    assert first == second
    assert first[1] == ["0.1.0/0", "0.1.1/0"]


async def test_a_call_that_fails_when_nobody_waits_for_it_any_more_is_no_fault(new_runtime):
    bridge, faults = Bridge("hasty", __file__), []
    bridge.lua = """
        local host = ...
        return { hasty = function(f) return host.perform("hasty.call", { ["function"] = f }) end }
    """

    @bridge.effect(leaf=False)
    async def call(effect: Effect, function: LuaFunction) -> None:
        called = effect.call(function)
        future = called.send(None)
        await asyncio.wait([future])
        called.close()

    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    try:
        async with new_runtime(bridges=[bridge]) as runtime:
            await runtime.execute("hasty(function() Task.sleep(0) error('oh no') end)")
        gc.collect()
    finally:
        loop.set_exception_handler(handler)
    assert faults == []


async def test_nothing_stays_of_a_task_that_has_ended(lua):
    """Coroutines are used again, and must not hold what they worked on."""
    result = await lua(
        """
        local kept = setmetatable({}, {__mode = "k"})
        local function work(given)
          local mine = {}
          kept[given], kept[mine] = "given", "mine"
          local answer = {}
          kept[answer] = "answer"
          return answer
        end
        for i = 1, 3 do Task.map({{}, {}}, work) end
        for i = 1, 400 do local _ = ("x"):rep(100000) .. i end  -- the collector goes round
        local left = {}
        for _, what in pairs(kept) do left[#left + 1] = what end
        return left
        """
    )
    assert result == []
