"""Hook dispatch, from Python and from Lua."""

import anyio
import pytest

from llmspell import Halt, Modify, Replace
from llmspell.errors import HookFailed, HookHalted, SpellRuntimeError

pytestmark = pytest.mark.anyio


@pytest.fixture
def with_hooks(new_runtime):
    """Runs Lua in a runtime that `register(runtime.hooks)` has set up."""

    async def run(source, register):
        async with new_runtime() as runtime:
            register(runtime.hooks)
            return await runtime.execute(source, name="test.lua")

    return run


async def test_before_hooks_run_by_priority_and_see_each_others_changes(with_hooks):
    order = []

    def register(hooks):
        def adding(name, priority):
            def hook(call):
                order.append((name, call.effect.args["args"]["a"]))
                args = call.effect.args["args"]
                return Modify({"name": "add", "args": {**args, "a": args["a"] + 10}})

            hooks.register("tool.call", hook, phase="before", priority=priority, id=name)

        adding("low", -1)
        adding("first of two", 5)
        adding("second of two", 5)
        adding("high", 9)

    assert await with_hooks("return add{a = 1, b = 0}", register) == 41
    assert order == [("high", 1), ("first of two", 11), ("second of two", 21), ("low", 31)]


async def test_replace_skips_the_handler_and_after_hooks_see_the_result(with_hooks):
    seen = []

    def register(hooks):
        hooks.before("tool.call")(lambda call: Replace("instead"))
        hooks.after("tool.*")(lambda call: seen.append(call.result))

    assert await with_hooks("return add{a = 1}", register) == "instead"
    assert seen == ["instead"]


async def test_halt_stops_the_effect_and_later_hooks(with_hooks):
    later = []

    def register(hooks):
        hooks.before("tool.call", priority=1, id="guard")(lambda call: Halt("not today"))
        hooks.before("tool.call")(later.append)

    with pytest.raises(SpellRuntimeError) as caught:
        await with_hooks("return add{a = 1}", register)
    assert isinstance(caught.value.cause, HookHalted)
    assert caught.value.cause.details == {"hook": "guard", "reason": "not today"}
    assert later == []


async def test_after_hooks_change_the_result_in_turn(with_hooks):
    def register(hooks):
        hooks.after("tool.call", priority=1)(lambda call: Modify(call.result * 2))
        hooks.after("tool.call")(lambda call: Modify(call.result + 1))

    assert await with_hooks("return add{a = 2, b = 3}", register) == 11


async def test_error_hooks_may_forgive(with_hooks):
    def register(hooks):
        hooks.on_error("probe.fail")(
            lambda call: Replace(call.error.message) if "mild" in call.error.message else None
        )

    source = """
        local ok, e = pcall(probe, "fail", {message = "severe"})
        return {probe("fail", {message = "mild"}), ok, e.message}
    """
    assert await with_hooks(source, register) == ["mild", False, "severe"]


async def test_rewritten_arguments_are_checked_again(with_hooks):
    def register(hooks):
        hooks.before("tool.call")(lambda call: Modify({"name": "add", "args": {"a": "x"}}))

    with pytest.raises(SpellRuntimeError, match="a: input should be a valid integer"):
        await with_hooks("return add{a = 1}", register)


async def test_hooks_see_only_valid_arguments(with_hooks):
    seen = []
    with pytest.raises(SpellRuntimeError, match="b: input"):
        await with_hooks("add{a = 1, b = {}}", lambda hooks: hooks.before("*")(seen.append))
    assert seen == []


@pytest.mark.parametrize("fault", ["raises", "hangs", "nonsense"])
async def test_a_failing_hook_is_passed_over_and_reported(with_hooks, caplog, fault):
    hook = _faulty(fault)
    result = await with_hooks(
        "return {add{a = 1}, Hook.list('tool.call')[1].failures}",
        lambda hooks: hooks.register("tool.call", hook, phase="before", id="faulty", timeout=0.05),
    )
    assert result == [2, 1]
    assert "faulty" in caplog.text


@pytest.mark.parametrize("fault", ["raises", "hangs", "nonsense"])
async def test_a_required_hook_that_fails_fails_the_effect(with_hooks, fault):
    hook = _faulty(fault)
    with pytest.raises(SpellRuntimeError) as caught:
        await with_hooks(
            "return add{a = 1}",
            lambda hooks: hooks.register(
                "tool.call", hook, phase="before", id="guard", required=True, timeout=0.05
            ),
        )
    assert isinstance(caught.value.cause, HookFailed)
    assert "guard" in caught.value.message


def _faulty(fault):
    async def hook(call):
        if fault == "raises":
            raise RuntimeError("broken")
        if fault == "hangs":
            await anyio.sleep(10)
        return 42

    return hook


async def test_lua_hooks_modify_replace_and_halt(lua):
    assert await lua("""
        local log = {}
        local h1 = Hook.before("tool.call", function(call)
          log[#log + 1] = call.phase .. " " .. call.effect .. " " .. call.args.name
          return Hook.modify{name = "add", args = {a = call.args.args.a * 10, b = 1}}
        end, {name = "times ten", priority = 10})
        Hook.after("tool.call", function(call) return Hook.modify(call.result + 0.5) end)
        local first = add{a = 1}
        h1:remove()
        local second = add{a = 1}
        local h2 = Hook.before("tool.call", function() return Hook.replace("replaced") end)
        local third = pcall(add, {a = 1}) -- the after hook fails on a string and is passed over
        h2:remove()
        Hook.before("tool.call", function() return Hook.halt("enough") end)
        local ok, e = pcall(add, {a = 1})
        return {first, second, third, ok, e.code, e.details.reason, log}
    """) == [11.5, 2.5, True, False, "hook_halted", "enough", ["before tool.call add"]]


async def test_a_lua_hook_may_perform_effects_without_calling_itself(lua):
    assert await lua("""
        local calls = 0
        Hook.before("tool.call", function(call)
          calls = calls + 1
          local more = add{a = call.args.args.a, b = 100}
          return Hook.modify{name = "add", args = {a = more, b = 0}}
        end)
        return {add{a = 1}, calls}
    """) == [101, 1]


async def test_two_lua_hooks_see_the_effects_of_each_other(lua):
    assert await lua("""
        local seen = {}
        Hook.before("tool.call", function(call)
          seen[#seen + 1] = "one " .. call.args.args.a
          if call.args.args.a < 10 then add{a = 50} end
        end, {priority = 2})
        Hook.before("tool.call", function(call) seen[#seen + 1] = "two " .. call.args.args.a end)
        add{a = 1}
        return seen
    """) == ["one 1", "two 50", "two 1"]


async def test_the_names_of_the_family_are_understood(lua):
    assert await lua("""
        local seen = {}
        Hook.register("pre_tool_call", function() seen[#seen + 1] = "pre" return "continue" end, 5)
        Hook.register("PostToolExecution", function(call)
          seen[#seen + 1] = "post"
          return {type = "modified", data = call.result + 1}
        end)
        Hook.register("before:state.set", function() return {type = "cancel", reason = "read-only"} end)
        local ok, e = pcall(State.set, "k", 1)
        return {add{a = 1}, seen, ok, e.code}
    """) == [3, ["pre", "post"], False, "hook_halted"]


async def test_state_updates_have_named_points(lua):
    assert await lua("""
        local seen = {}
        Hook.register("pre_state_update", function(call) seen[#seen + 1] = call.effect end)
        State.set("k", 1)
        State.update("k", function(v) return v + 1 end)
        State.delete("k")
        State.get("k")
        return seen
    """) == ["state.set", "state.update", "state.delete"]


async def test_hooks_are_listed_in_the_order_in_which_they_run(lua):
    assert await lua("""
        Hook.before("tool.*", print, {name = "low"})
        Hook.after("state.get", print, {name = "other"})
        Hook.before("tool.call", print, {name = "high", priority = 3})
        local names = {}
        for _, h in ipairs(Hook.list("tool.call")) do names[#names + 1] = h.id end
        return {names, #Hook.list()}
    """) == [["high", "low"], 3]


async def test_mistakes_are_explained(lua):
    for source, said in (
        ("Hook.before('tool.call', 1)", "must be a function"),
        ("Hook.register('nonsense', print)", "no hook point named 'nonsense'"),
    ):
        with pytest.raises(SpellRuntimeError, match=said):
            await lua(source)


async def test_a_lua_hook_belongs_to_its_run(new_runtime):
    async with new_runtime() as runtime:
        await runtime.execute("Hook.before('tool.call', function() return Hook.halt('x') end)")
        assert await runtime.execute("return add{a = 1}") == 2
        assert runtime.hooks.all() == ()


async def test_a_hook_may_be_registered_and_removed_while_a_run_goes_on(new_runtime):
    async with new_runtime() as runtime:

        def removing(call):
            runtime.hooks.remove(hook)
            return Replace("once")

        hook = runtime.hooks.register("tool.call", removing, phase="before")
        assert await runtime.execute("return {add{a = 1}, add{a = 1}}") == ["once", 2]


async def test_a_lua_hook_that_fails_is_reported_with_its_line(lua, caplog):
    assert (
        await lua("""
        Hook.before("tool.call", function() error("oops") end, {name = "shaky"})
        return add{a = 1}
    """)
        == 2
    )
    assert "shaky" in caplog.text
    assert "test.lua:2: oops" in caplog.text


@pytest.mark.parametrize("record", [False, True])
async def test_a_hook_sees_an_exception_that_no_handler_should_raise(new_runtime, record):
    source = "return probe('fail', {message = 'oops', code = 'other'})"
    seen = []

    def forgive(call):
        seen.append(call.error.message)
        return Replace("forgiven")

    ids = []
    async with new_runtime(record=record) as runtime:
        runtime.hooks.on_error("probe.fail")(forgive)
        assert await runtime.execute(source, begun=ids.append) == "forgiven"
        assert seen == ["probe.fail failed: internal error (ValueError)"]
        if record:
            assert await runtime.replay(ids[0]) == "forgiven"
