"""Shipped hooks used from Lua, and several functions as one."""

import logging

import pytest

from llmspell.errors import ToolError
from llmspell.hooks.builtin import Redaction
from llmspell.providers.scripted import ScriptedProvider
from llmspell.tools.tool import tool

pytestmark = pytest.mark.anyio


@pytest.fixture
def flaky():
    """A tool that fails twice, and the arguments it was called with."""
    calls = []

    @tool
    def flaky(text: str = "") -> str:
        """Fails at first."""
        calls.append(text)
        if len(calls) < 3:
            raise ToolError("busy", retryable=True)
        return text

    flaky.calls = calls
    return flaky


async def test_retry_cache_and_guard_are_used_for_a_run(lua, flaky):
    result = await lua(
        """
        Hook.use("retry", {only = {"flaky"}, delay = 0.001})
        local cache = Hook.use("cache", {effects = {"tool.call"}, name = "kept"})
        Hook.use("guard", {effects = {"state.*"}, deny = {"password"}})
        local first, second = flaky{text = "a"}, flaky{text = "a"}
        local removed, again = cache:remove(), cache:remove()
        flaky{text = "a"}
        local _, e = try(State.set, "x", "my password")
        return {first, second, removed, again, e.code, #Hook.list("tool.call")}
        """,
        tools=[flaky],
    )
    assert result == ["a", "a", True, False, "hook_halted", 1]
    assert flaky.calls == ["a"] * 4


async def test_a_handle_removes_its_own_hook_among_those_of_a_name(lua):
    assert await lua("""
        local calls = {0, 0}
        local function counting(i) return function() calls[i] = calls[i] + 1 end end
        local one = Hook.before("tool.call", counting(1), {name = "n"})
        local other = Hook.before("tool.call", counting(2), {name = "n"})
        local guard = Hook.use("guard", {deny = {"z"}, name = "n"})
        local same = Hook.use("guard", {deny = {"z"}, name = "n"})
        local removed = {one:remove(), guard:remove()}
        add{a = 1}
        return {calls, removed, #Hook.list(), other:remove(), same:remove(), #Hook.list()}
    """) == [[0, 1], [True, True], 2, True, True, 0]


async def test_hooks_are_listed_by_any_name_of_a_point(lua):
    assert await lua("""
        Hook.before("tool.*", print, {name = "any"})
        Hook.after("tool.call", print, {name = "result"})
        Hook.at("run.end", print, {name = "end"})
        local function names(point)
          local ids = {}
          for i, hook in ipairs(Hook.list(point)) do ids[i] = hook.id end
          return table.concat(ids, " ")
        end
        return {
          names("tool.call"), names("pre_tool_call"), names("AfterToolExecution"),
          names("before:tool.call"), names("tool_call"), names("run.end"), names("during:tool.call"),
        }
    """) == ["any result", "any", "result", "any", "any result", "end", ""]


async def test_a_shipped_hook_ends_with_its_run(new_runtime, flaky):
    async with new_runtime(tools=[flaky]) as runtime:
        await runtime.execute('Hook.use("retry", {delay = 0.001}) flaky{}')
        assert runtime.hooks.all() == ()


@pytest.mark.parametrize("effects", [(), ("agent.run",), ("*",)])
async def test_a_stream_shows_only_what_is_redacted(new_runtime, effects):
    redaction = Redaction(effects=effects) if effects else Redaction()
    provider = ScriptedProvider(["Call +49 30 1234567 or ada@example.org."] * 3)
    async with new_runtime(providers=[provider], model="scripted/m", hooks=[redaction]) as runtime:
        result = await runtime.execute("""
            local agent, pieces, events, heard = Agent.create{}, "", "", ""
            local stream = agent:stream("a")
            for piece in stream do pieces = pieces .. piece end
            for event in agent:events("b") do events = events .. (event.text or "") .. ";" end
            agent:prompt("c", {on_text = function(text) heard = heard .. text end})
            return {pieces, stream:response().text, heard, events}
        """)
    redacted = "Call [redacted phone] or [redacted email]."
    assert result[:3] == [redacted] * 3
    assert "1234567" not in result[3]
    assert redacted in result[3]


async def test_redaction_priority_and_required_are_options(lua):
    provider = ScriptedProvider(["Call +49 30 1234567."])
    result = await lua(
        """
        Hook.use("redaction", {priority = 7, required = false, kinds = {"email", "phone"}})
        local said = Agent.create{}:prompt("I am ada@example.org")
        local hook = Hook.list("model.request")[1]
        return {said, hook.priority, hook.required}
        """,
        providers=[provider],
        model="scripted/m",
    )
    assert result == ["Call [redacted phone].", 7, False]
    assert provider.requests[0].messages[0].text == "I am [redacted email]"


async def test_logging_debugging_and_costs(lua, caplog):
    caplog.set_level(logging.INFO)
    await lua(
        """
        Hook.use("logging", {effects = {"state.*"}})
        Hook.use("debugging", {effects = {"tool.call"}})
        Hook.use("costs")
        State.set("a", "secret")
        add{a = 1, b = 2}
        try(add, {a = "x"})
        Agent.create{}:prompt("hello")
        """,
        providers=[ScriptedProvider(["hi"])],
        model="scripted/m",
    )
    said = [
        r.getMessage() for r in caplog.records if r.name in ("llmspell.effects", "llmspell.costs")
    ]
    assert "state.set took" in said[0]
    assert "secret" not in said[0]
    assert "tool.call took" in said[1]
    assert said[1].endswith("'name': 'add'} -> 3")
    assert said[2].startswith("scripted/m: ")
    assert said[2].endswith("so far")


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("Hook.use('retyr')", "invalid_arguments", "retyr"),
        ("Hook.use('retry', {atempts = 1})", "invalid_arguments", "atempts"),
        ("Hook.use('guard')", "invalid_arguments", "deny"),
        ("Hook.use('guard', {deny = {'x'}, effects = {}})", "invalid_arguments", "at least one"),
        ("Hook.use('guard', {deny = {'x'}, effects = {''}})", "invalid_arguments", "at least one"),
        (
            "Hook.use('guard', {deny = 'x'})",
            "invalid_arguments",
            "deny: input should be a valid list",
        ),
        ("Hook.use('retry', 5)", "invalid_arguments", "options must be a table, not a number"),
        ("Hook.voting(print)", "invalid_arguments", "must be a table, not a function"),
        ("Hook.redirect('uuid')", "invalid_arguments", "must be a table, not a string"),
        ("Hook.voting({function() end}, 2)", "invalid_arguments", "votes"),
        ("Hook.sequential(1)", "invalid_arguments", "argument 1"),
    ],
)
async def test_what_is_wrong_is_said(lua, call, code, said):
    result = await lua(f"local _, e = try(function() {call} end) return {{e.code, e.message}}")
    assert result[0] == code
    assert said in result[1]


SAY = """
local asked = {}
local function say(name, answer)
  return function(call)
    asked[#asked + 1] = name
    Task.sleep(0.001)
    asked[#asked + 1] = name .. "!"
    return answer
  end
end
local stop, other, go = Hook.halt("no"), Hook.replace("else"), "continue"
local function ask(hook)
  asked = {}
  local handle = Hook.before("state.get", hook, {required = true})
  local ok, said = pcall(State.get, "x", "none")
  handle:remove()
  return {ok and said or said.message, table.concat(asked, " ")}
end
"""


@pytest.mark.parametrize(
    ("hook", "said", "asked"),
    [
        ("Hook.sequential(say('a'), say('b', other), say('c', stop))", "else", "a a! b b!"),
        ("Hook.sequential(say('a'), say('b', go))", None, "a a! b b!"),
        ("Hook.parallel(say('a', other), say('b', stop), say('c'))", "no", "a b c a! b! c!"),
        ("Hook.parallel(say('a'), say('b', other), say('c', go))", "else", "a b c a! b! c!"),
        ("Hook.voting{say('a', stop), say('b', Hook.halt('never')), say('c')}", "no; never", None),
        ("Hook.voting{say('a', other), say('b', Hook.replace('else')), say('c')}", "else", None),
        ("Hook.voting{say('a', other), say('b', Hook.replace('x')), say('c', stop)}", None, None),
        ("Hook.voting({say('a', other), say('b'), say('c')}, 1)", "else", None),
        ("Hook.voting({say('a', other), say('b', stop), say('c')}, 1)", "no", None),
    ],
)
async def test_several_functions_are_one_hook(lua, hook, said, asked):
    result = await lua(f"{SAY} State.set('x', 'there') return ask({hook})")
    assert (said or "there") in result[0]
    if asked:
        assert result[1] == asked


async def test_one_that_fails_fails_them_all(lua):
    result = await lua(
        f"""{SAY}
        return ask(Hook.parallel(say("a", other), function() error("broken") end))[1]
        """
    )
    assert "broken" in result
