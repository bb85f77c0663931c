"""Where a spell gives seconds, it may give a duration such as "5m"."""

import pytest

from llmspell.errors import SpellRuntimeError

pytestmark = pytest.mark.anyio

PLACES = {
    "Task.sleep": "Task.sleep(%s)",
    "Task.timeout": "Task.timeout(%s, function() return true end)",
    "Task.map": "Task.map({1}, function() end, {timeout = %s})",
    "State.set": "State.set('key', 1, {ttl = %s})",
    "State.watch": "State.watch('*', function() end, {timeout = %s})",
    "Event.subscribe": "Event.subscribe('a', function() end, {timeout = %s})",
    "Event.wait": "Event.wait('a', {timeout = %s})",
    "Event.receive": "Event.subscribe('a'):receive(%s)",
    "Event.stream": "for _ in Event.stream('a', {timeout = %s}) do end",
    "Hook.before": "Hook.before('probe.*', function() end, {timeout = %s})",
    "a hook's cool_down": "Hook.before('probe.*', function() end, {cool_down = %s})",
    "agent:with": "Agent.create{model = 'x/y'}:with{hooks = {['before:tool.call'] = print, timeout = %s}}",
    "Tool.define": "Tool.define{name = 'made', run = function() return 1 end, timeout = %s}",
    "Agent.create": "Agent.create{model = 'x/y', timeout = %s, tool_timeout = %s}",
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_duration_is_accepted(lua, place):
    await lua(PLACES[place].replace("%s", "'20ms'"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", ["'soon'", "'5 parsecs'", "''", "-1", "0/0", "{}"])
async def test_anything_else_is_an_error(lua, place, wrong):
    with pytest.raises(SpellRuntimeError, match=r"seconds .*such as"):
        await lua(PLACES[place].replace("%s", wrong))


async def test_zero_does_not_wait(lua):
    assert await lua("""
        local subscription = Event.subscribe("a")
        return {Event.wait("a", {timeout = 0}) == nil, subscription:receive(0.0) == nil}
    """) == [True, True]


async def test_it_is_the_time_to_live(lua):
    assert await lua("""
        State.set("kept", 1, {ttl = "1h"})
        State.set("gone", 1, {ttl = "10ms"})
        Task.sleep("30ms")
        return {State.get("kept", "none"), State.get("gone", "none")}
    """) == [1, "none"]


async def test_hooks_may_answer_with_one(lua):
    assert await lua("""
        local calls = 0
        Tool.define{name = "flaky", run = function()
          calls = calls + 1
          if calls < 3 then error("not yet") end
          return calls
        end}
        Hook.before("tool.call", function() return Hook.retry("1ms", 5) end)
        local first = flaky{}
        Hook.before("tool.call", function() return Hook.cache("all", "20ms") end, {priority = 1})
        local cached = {flaky{}, flaky{}}
        Task.sleep("50ms")
        return {first, cached[1], cached[2], flaky{}}
    """) == [3, 4, 4, 5]
