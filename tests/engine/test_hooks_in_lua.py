"""What hooks written in Lua may answer, and what they see of runs they start."""

import re

import pytest

from llmspell.errors import HookHalted, SpellRuntimeError

pytestmark = pytest.mark.anyio


async def test_retry(lua):
    assert await lua("""
        local failures, asked = 3, 0
        Hook.on_error("probe.*", function() asked = asked + 1 return Hook.retry(0, 2) end)
        local ok, e = pcall(probe, "fail", {message = "still broken"})
        return {ok, e.message, asked}
    """) == [False, "still broken", 3]


async def test_retry_before_and_after(lua):
    assert await lua("""
        local calls = 0
        Tool.define({name = "flaky", run = function()
          calls = calls + 1
          if calls < 3 then error("not yet") end
          return calls
        end})
        Hook.before("tool.call", function() return Hook.retry(0.001, 5) end)
        Hook.after("tool.call", function(call)
          if call.result < 5 then return Hook.retry(0, 9) end
        end)
        return {flaky{}, calls}
    """) == [5, 5]


async def test_redirect(lua):
    assert await lua("""
        Tool.define({name = "twice", params = {a = "integer"}, run = function(args) return args.a * 2 end})
        local h = Hook.before("tool.call", function(call)
          if call.args.name == "add" then return Hook.redirect{tool = "twice"} end
        end)
        local one = add{a = 4}
        h:remove()
        h = Hook.after("tool.call", function() return Hook.redirect{tool = "twice", args = {a = 10}} end)
        local two = add{a = 4}
        h:remove()
        Hook.on_error("probe.fail", function()
          return Hook.redirect{effect = "probe.echo", args = {value = "fine"}}
        end)
        return {one, two, probe("fail", {message = "x"})}
    """) == [8, 20, "fine"]


async def test_a_request_is_redirected_to_another_model(new_runtime):
    from llmspell.providers.scripted import ScriptedProvider

    model = ScriptedProvider(["hello"])
    async with new_runtime(providers=[model], model="scripted/one") as runtime:
        assert (
            await runtime.execute("""
            Hook.before("model.request", function() return Hook.redirect{model = "scripted/two"} end)
            return (Agent.create{}:prompt("hi"))
        """)
            == "hello"
        )
    assert [request.model for request in model.requests] == ["scripted/two"]


async def test_skip_cache_and_fork(lua):
    assert await lua("""
        local calls = 0
        Tool.define({name = "count", run = function() calls = calls + 1 return calls end})
        local h = Hook.before("tool.call", function() return Hook.skip() end)
        local skipped = count{}
        h:remove()
        h = Hook.before("tool.call", function() return Hook.cache("count", 60) end)
        local cached = {count{}, count{}}
        h:remove()
        h = Hook.before("tool.call", function() return Hook.cache() end)
        local by_arguments = {add{a = 1}, add{a = 2}, add{a = 1}}
        h:remove()
        Hook.before("tool.call", function(call)
          return Hook.fork{
            {"state.set", {key = "last", value = call.args.name}},
            {effect = "state.set", args = {key = "other", value = 7}},
          }
        end)
        add{a = 1}
        return {skipped == nil, cached, by_arguments, State.get("last"), State.get("other"), calls}
    """) == [True, [1, 1], [2, 3, 2], "add", 7, 1]


@pytest.mark.parametrize(
    "answer",
    [
        "{type = 'retry', attempts = -1}",
        "{type = 'redirect'}",
        "Hook.redirect{tool = 'a', model = 'b'}",
        "Hook.redirect{model = 'a/b'}",
        "{type = 'fork', effects = {1}}",
        "Hook.fork{{{}, {}}}",
        "Hook.cache('k', -1)",
        "'dance'",
        "{type = {}}",
        "42",
        "true",
    ],
)
async def test_nonsense_is_passed_over(lua, answer, caplog):
    result = await lua(f"""
        Hook.before("tool.call", function() return {answer} end, {{name = "odd"}})
        return {{add{{a = 1}}, Hook.list("tool.call")[1].failures}}
    """)
    assert result == [2, 1]
    assert "'odd'" in caplog.text


async def test_the_words_of_the_family(lua):
    assert await lua("""
        local words = {"continue", "skip", "skipped", "cancel"}
        local results = {}
        for i, word in ipairs(words) do
          local h = Hook.register("BeforeToolExecution", function() return word end)
          local ok, result = pcall(add, {a = 1})
          results[i] = ok and (result or "nil") or result.code
          h:remove()
        end
        return results
    """) == [2, "nil", "nil", "hook_halted"]


async def test_the_list_tells_how_hooks_fare(lua):
    assert await lua("""
        Hook.before("tool.call", error, {name = "broken", max_failures = 2, cool_down = 99})
        Hook.before("tool.call", function() end, {name = "guard", required = true})
        for i = 1, 3 do add{a = 1} end
        local rows = {}
        for i, h in ipairs(Hook.list("tool.call")) do
          rows[i] = {h.id, h.required, h.calls, h.failures, h.circuit}
        end
        return rows
    """) == [["broken", False, 2, 2, "open"], ["guard", True, 3, 0, "closed"]]


async def test_denials_are_told(lua):
    assert await lua("""
        local seen = {}
        Hook.at("permission.denied", function(call)
          seen[#seen + 1] = {call.effect, call.args.effect, call.args.kind, call.phase}
        end)
        pcall(read_file, {path = "/etc/hostname"})
        return seen
    """) == [["permission.denied", "tool.call", "read", "at"]]


async def test_a_spell_sees_the_runs_it_starts(lua, tmp_path):
    (tmp_path / "spells").mkdir()
    (tmp_path / "spells" / "child.lua").write_text("return params.n + add{a = 1}", "utf-8")
    (tmp_path / "spells" / "loop.lua").write_text("while true do end", "utf-8")
    assert await lua("""
        local seen = {}
        local function see(call)
          local args = call.args
          seen[#seen + 1] = {call.effect, args.spell, args.result or args.limit or args.error}
        end
        Hook.at("run.*", see)
        Hook.at("limit.exceeded", see)
        Spell.run("return 5", {name = "text"})
        local ok = try(Spell.run, "loop", {limits = {instructions = 1e5}})
        for _, entry in ipairs(seen) do
          if type(entry[3]) == "table" then entry[3] = entry[3].code end
        end
        return seen
    """) == [
        ["run.start", "text"],
        ["run.end", "text", 5],
        ["run.start", "loop"],
        ["limit.exceeded", "loop", "instructions"],
        ["run.end", "loop", "limit_exceeded"],
    ]


async def test_a_spell_may_refuse_to_start_another(lua):
    assert await lua("""
        Hook.at("run.start", function(call) return Hook.halt("not " .. call.args.spell) end, {name = "gate"})
        local _, problem = try(Spell.run, "return 5", {name = "text"})
        return {problem.code, problem.details.code, problem.message}
    """) == [
        "spell_failed",
        "hook_halted",
        "the spell text failed: stopped by hook 'gate': not text",
    ]


async def test_a_hook_may_cancel_the_task_whose_effect_it_sees(lua):
    assert await lua("""
        local task
        Hook.before("tool.call", function() task:cancel() end)
        task = Task.spawn(function() return add{a = 1} end)
        local ok, e = pcall(task.await, task)
        return {ok, e.code, State.get("x") == nil, "the spell goes on"}
    """) == [False, "cancelled", True, "the spell goes on"]


async def test_many_tasks_call_hooks_at_once(lua):
    assert await lua("""
        local seen = 0
        Hook.before("tool.call", function(call)
          seen = seen + 1
          Task.sleep(0.001)
          return Hook.modify{name = "add", args = {a = call.args.args.a, b = 10}}
        end)
        Hook.after("tool.call", function(call) return Hook.modify(call.result + 1) end)
        local list = {}
        for i = 1, 200 do list[i] = i end
        local sum = 0
        for _, r in ipairs(Task.map(list, function(a) return add{a = a} end)) do sum = sum + r end
        return {sum, seen}
    """) == [sum(range(1, 201)) + 200 * 11, 200]


async def test_a_limit_that_a_hook_breaks_ends_the_run(lua):
    from llmspell import Limits
    from llmspell.errors import LimitExceeded

    with pytest.raises(LimitExceeded):
        await lua(
            "Hook.before('tool.call', function() while true do end end) return add{a = 1}",
            limits=Limits(instructions=100_000),
        )


async def test_points_are_explained(lua):
    with pytest.raises(
        SpellRuntimeError, match=r"available: runtime\.start, runtime\.stop, run\.start"
    ):
        await lua("Hook.at('run.lunch', print)")
    with pytest.raises(SpellRuntimeError, match=r"no hook point named 'run\.start' among those"):
        await lua("Hook.before('run.start', print)")


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("tool.cal", r"no effect named 'tool\.cal'.*did you mean 'tool\.call'"),
        ("tol.*", r"no effect named 'tol\.\*'.*did you mean 'tool\.\*'"),
        ("nothing.at.all", r"no effect named 'nothing\.at\.all'"),
        ("", r"no hook point named ''"),
    ],
)
async def test_a_point_that_no_effect_reaches_is_refused(lua, point, said):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"Hook.before('{point}', print)")
    assert re.search(said, f"{caught.value.message} ({caught.value.hint})")


@pytest.mark.parametrize("point", ["tool.call", "tool.*", "*", "t*", "*.call", "probe.echo"])
async def test_points_of_effects_that_exist_are_accepted(lua, point):
    assert await lua(f"return type(Hook.before('{point}', print))") == "table"


async def test_a_halted_run_raises_as_it_is(new_runtime):
    from llmspell import Halt

    async with new_runtime() as runtime:
        runtime.hooks.at("run.start", id="gate")(lambda call: Halt("closed"))
        with pytest.raises(HookHalted, match="closed"):
            await runtime.execute("return 1")
        assert runtime.hooks._listeners == []


@pytest.mark.parametrize("before", ["", "Hook.before('probe.echo', function() end)"])
async def test_effects_that_wait_for_nothing_hold_nobody_up(new_runtime, before):
    import anyio

    turns = 0

    async def count():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with new_runtime() as runtime, anyio.create_task_group() as group:
        group.start_soon(count)
        await runtime.execute("return 1")
        turns = 0
        await runtime.execute(f"{before} for i = 1, 2000 do probe('echo', {{value = i}}) end")
        group.cancel_scope.cancel()
    assert turns > 3
