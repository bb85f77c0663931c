"""Coroutines of the spell and of the kernel: parking, reserved coroutines, cancellation."""

import pytest
from bare_state import run


def value(source):
    outcome = run(source)
    assert outcome.kind == "value", outcome
    return outcome.text


def test_park_passes_through_every_coroutine_on_the_way():
    assert (
        value("""
        local function level(n)
          return coroutine.wrap(function()
            if n > 0 then
              for v in level(n - 1) do coroutine.yield(v + n * 100) end
            else
              for i = 1, 3 do coroutine.yield(park()) end
            end
          end)
        end
        local seen = {}
        for v in level(4) do seen[#seen + 1] = v end
        return seen""")
        == "[1001, 1002, 1003]"
    )


def test_park_works_in_calls_that_c_would_not_let_yield():
    assert (
        value("""
        local order = {3, 1, 2}
        local calls = 0
        table.sort(order, function(a, b) calls = park() return a < b end)
        local parker = setmetatable({}, {
          __index = function(_, i) if i <= 2 then return park() end end,
          __tostring = function() return "parked" .. park() end,
          __len = function() park() return 2 end})
        local joined = table.concat(parker, ",")
        local items = {}
        for _, v in ipairs(parker) do items[#items + 1] = v end
        local replaced = ("ab"):gsub("%w", function(c) return c .. park() end)
        return order, calls, joined, items, replaced, ("%s"):format(parker), {table.unpack(parker)}""")
        == "[1, 2, 3], 4, '6,7', [8, 9], 'a10b11', 'parked12', [14, 15]"
    )


def test_park_works_in_error_handlers_and_close_handlers():
    assert (
        value("""
        local log = {}
        local ok, handled = xpcall(function()
          local x <close> = setmetatable({}, {__close = function() log[#log + 1] = park() end})
          error("e", 0)
        end, function(e) return e .. park() end)
        local co = coroutine.create(function()
          local x <close> = setmetatable({}, {__close = function() log[#log + 1] = park() end})
          error("f", 0)
        end)
        return ok, handled, (coroutine.resume(co)), log""")
        == "False, 'e2', False, [1, 3]"
    )


def test_park_is_refused_where_a_yield_cannot_pass():
    assert (
        value("""
        local said
        local co = coroutine.create(function()
          local x <close> = setmetatable({}, {__close = function()
            local inner = coroutine.wrap(function() local ok, e = pcall(park) return ok, e end)
            said = {can_park(), inner()}
          end})
          coroutine.yield()
        end)
        coroutine.resume(co)
        coroutine.close(co)
        return can_park(), said""")
        == "True, [False, False, 'spell.lua:5: cannot park here']"
    )


def test_park_is_refused_through_every_coroutine_on_the_way():
    assert (
        value("""
        local log = {}
        local function level(n)
          return coroutine.wrap(function()
            if n > 0 then
              for v in level(n - 1) do coroutine.yield(v) end
            end
            log[#log + 1] = pcall(park) and "parked" or "refused"
            coroutine.yield(n)
          end)
        end
        local called_by_c, t, first = ipairs({})
        setmetatable(t, {__index = function() return level(2)() end})
        local _, item = called_by_c(t, first)
        return item, log[1], park(), level(0)(), log[2]""")
        == "0, 'refused', 1, 0, 'parked'"
    )


def test_park_is_refused_while_a_coroutine_closes_itself():
    assert (
        value("""
        local said
        local co = coroutine.create(function()
          local x <close> = setmetatable({}, {__close = function() said = {can_park(), pcall(park)} end})
          coroutine.close()
        end)
        return coroutine.resume(co), coroutine.status(co), said[1], said[2], can_park()""")
        == "True, 'dead', False, False, True"
    )


def test_a_parked_coroutine_is_reserved_for_who_waits():
    assert (
        value("""
        local generator = coroutine.create(function() park() return "finished" end)
        local first = {}
        spawn(function() first = {coroutine.resume(generator)} end)
        local ok, f = true, coroutine.wrap(function() end)
        park()
        local status, resumed = coroutine.status(generator), {coroutine.resume(generator)}
        local closed = {pcall(coroutine.close, generator)}
        park()
        return status, resumed, closed[1], first, coroutine.status(generator)""")
        == "'normal', [False, 'cannot resume non-suspended coroutine'], False, [True, 'finished'], 'dead'"
    )


def test_tasks_share_a_generator_one_at_a_time():
    assert (
        value("""
        local shared = coroutine.wrap(function() for i = 1, 6 do coroutine.yield(i) end end)
        local log = {}
        for name in ("ab"):gmatch(".") do
          spawn(function() for i = 1, 3 do log[#log + 1] = name .. shared() park() end end)
        end
        for i = 1, 5 do park() end
        return table.concat(log, " ")""")
        == "'a1 b2 a3 b4 a5 b6'"
    )


def test_a_coroutine_of_one_task_parks_in_another():
    assert (
        value("""
        local got = {}
        local made
        spawn(function()
          made = coroutine.wrap(function() coroutine.yield("made") park() coroutine.yield("parked") end)
          got[1] = made()
        end)
        park()
        spawn(function() got[2] = made() end)
        park() park() park()
        return got""")
        == "['made', 'parked']"
    )


def test_a_cancelled_task_closes_what_waits_inside_it():
    assert (
        value("""
        local log = {}
        local function closing(name)
          return setmetatable({}, {__close = function(_, e)
            log[#log + 1] = name .. tostring(can_park()) .. tostring(e)
          end})
        end
        local inner, outer
        local task = spawn(function()
          local t <close> = closing("task")
          outer = coroutine.create(function()
            local o <close> = closing("outer")
            inner = coroutine.create(function()
              local i <close> = closing("inner")
              park()
              log[#log + 1] = "not reached"
            end)
            coroutine.resume(inner)
          end)
          coroutine.resume(outer)
        end)
        park()
        cancel(task)
        park()
        return table.concat(log, " "), coroutine.status(inner), coroutine.status(outer),
          {coroutine.resume(inner)}, coroutine.status(task)""")
        == "'innerfalsenil outerfalsenil taskfalsenil', 'dead', 'dead', "
        "[False, 'cannot resume dead coroutine'], 'dead'"
    )


def test_a_failing_close_handler_does_not_stop_the_others():
    assert (
        value("""
        local log = {}
        local co
        local task = spawn(function()
          local t <close> = setmetatable({}, {__close = function(_, e) log[1] = e end})
          co = coroutine.create(function()
            local i <close> = setmetatable({}, {__close = function() error("in close", 0) end})
            park()
          end)
          coroutine.resume(co)
        end)
        park()
        cancel(task)
        park()
        return log, coroutine.status(co), coroutine.status(task)""")
        == "['in close'], 'dead', 'dead'"
    )


def test_the_error_of_a_coroutine_is_told_once():
    assert (
        value("""
        local co
        local function fail() co = coroutine.running() error("e", 0) end
        local wrapped = {pcall(coroutine.wrap(fail)), coroutine.close(co)}
        local resumed = {coroutine.resume(coroutine.create(fail))}
        return wrapped, resumed, {coroutine.close(co)}, {coroutine.close(co)}""")
        == "[False, True], [False, 'e'], [False, 'e'], [True]"
    )


def test_a_task_looks_like_the_main_thread():
    assert (
        value("""
        local main, is_main = coroutine.running()
        local inside = {coroutine.wrap(function()
          local co, is_main_too = coroutine.running()
          return co == main, is_main_too, coroutine.isyieldable(), coroutine.status(main),
            coroutine.resume(main), (pcall(coroutine.close, main))
        end)()}
        return is_main, coroutine.isyieldable(), coroutine.status(main), inside""")
        == "True, False, 'running', [False, False, True, 'normal', False, False]"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("coroutine.yield(1)", "attempt to yield from outside a coroutine"),
        ("coroutine.close()", "cannot close main thread"),
        ("coroutine.resume(1)", "bad argument #1 to 'resume' (thread expected, got number)"),
        ("coroutine.status()", "bad argument #1 to 'status' (thread expected, got nil)"),
        ("coroutine.create(1)", "bad argument #1 to 'create' (function expected, got number)"),
        ("coroutine.wrap(1)", "bad argument #1 to 'wrap' (function expected, got number)"),
        ("coroutine.close(1)", "bad argument #1 to 'close' (thread expected, got number)"),
        (
            "coroutine.status(setmetatable({}, {__name = 'Task'}))",
            "bad argument #1 to 'status' (thread expected, got Task)",
        ),
        ("coroutine.wrap(error)('e')", "e"),
    ],
)
def test_errors_name_the_line_of_the_spell(call, message):
    outcome = run(f"\n{call}\n")
    assert outcome.text == f"error: spell.lua:2: {message}"


def test_another_task_cannot_be_resumed_or_closed():
    assert (
        value("""
        local task = spawn(function() park() end)
        park()
        return coroutine.status(task), {coroutine.resume(task)}, (pcall(coroutine.close, task))""")
        == "'normal', [False, 'cannot resume non-suspended coroutine'], False"
    )


def test_a_coroutine_that_overflowed_inside_the_hook_is_closed_under_watch():
    """Lua leaves hooks off in a coroutine that dies inside a hook."""
    outcome = run(
        """
        local dead = {}
        local function nest(depth)
          if depth > 0 then
            return select(2, pcall(nest, depth - 1))
          end
          local co = coroutine.create(function()
            local x <close> = setmetatable({}, {__close = function() while true do end end})
            for i = 1, 1e5 do end
          end)
          dead[#dead + 1] = co
          coroutine.resume(co)
        end
        for depth = 150, 200 do pcall(nest, depth) end
        for _, co in ipairs(dead) do coroutine.close(co) end""",
        instructions=20e6,
    )
    assert outcome.limit == "instructions"


def test_a_thousand_parks_deep_inside_leave_nothing_behind():
    outcome = run(
        """
        local function dive(n)
          if n == 0 then for i = 1, 1000 do park() end return "up" end
          return coroutine.wrap(dive)(n - 1)
        end
        return dive(20)""",
        memory=1 << 20,
    )
    assert outcome.text == "'up'"
