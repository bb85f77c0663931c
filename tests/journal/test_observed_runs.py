"""Whether anybody observes a run makes no difference to it: so to resume or replay one with --show or -v."""

from __future__ import annotations

import pytest

from llmspell.middleware.logs import Logging

pytestmark = pytest.mark.anyio


class Observer:
    def __init__(self):
        self.open, self.seen = set(), []

    def started(self, effect):
        self.open.add(effect)

    def finished(self, effect, seconds, error):
        self.open.remove(effect)
        self.seen.append((effect.path, error and type(error).__name__))


# One task changes the hooks just before another one asks for what they are around.
IN_TASKS = """
Task.all{
  function() Hook.before("state.*", function() print("hook") State.get("b") end) end,
  function() State.set("a", 1) end,
}
"""
# So do a spell and one that it runs, each with hooks of its own.
IN_SPELLS = """
local child = [[
  Hook.after("spell.run", function() print("of the child") Task.sleep(0.001) end)
  Task.sleep(0.01)
  Spell.run("Task.sleep(0.002)")
]]
Task.map({1, 2, 3}, function()
  Task.all{
    function() Hook.after("spell.run", function() print("of its parent") Task.sleep(0.001) end) end,
    function() Spell.run(child) end,
  }
end)
"""


@pytest.mark.parametrize("source", [IN_TASKS, IN_SPELLS], ids=["tasks", "spells"])
@pytest.mark.parametrize("how", ["observers", "middleware"])
@pytest.mark.parametrize(("then", "again"), [(False, True), (True, False), (True, True)])
async def test_it_is_replayed_the_same(new_runtime, printed, source, how, then, again):
    def options(observed):
        watching = {"observers": [Observer()], "middleware": [Logging()]}
        return {"isolate": False} | ({how: watching[how]} if observed else {})

    ids: list[str] = []
    async with new_runtime(**options(then)) as runtime:
        await runtime.execute(source, begun=ids.append)
    first, printed[:] = list(printed), []
    async with new_runtime(**options(again)) as runtime:
        await runtime.replay(ids[0])
    assert printed == first


async def test_the_hooks_of_a_spell_come_after_those_of_its_parent(new_runtime, printed):
    """Whichever were there first."""
    source = """
        local child = [[
          Hook.before("state.*", function() print("of the child") end)
          Event.publish("ready")
          Event.subscribe("go"):receive(1)
          State.get("a")
        ]]
        local ready = Event.subscribe("ready")
        Task.all{
          function() Spell.run(child, {events = "shared"}) end,
          function()
            ready:receive(1)
            Hook.before("state.*", function() print("of its parent") end)
            Task.sleep(0.01)
            Event.publish("go")
          end,
        }
    """
    async with new_runtime(isolate=False) as runtime:
        await runtime.execute(source)
    assert printed == ["of its parent", "of the child"]


async def test_each_beginning_that_an_observer_is_told_has_an_end(new_runtime):
    observer = Observer()
    source = """
        pcall(Task.timeout, 0.01, function() Task.sleep(9) end)
        local task = Task.spawn(function() State.get("a") end)
        task:cancel()
        pcall(read_file, {path = "/etc/hosts"})
        State.set("a", 1)
    """
    async with new_runtime(observers=[observer]) as runtime:
        await runtime.execute(source)
    assert observer.open == set()
    assert {error for _, error in observer.seen} == {None, "CancelledError", "PermissionDenied"}
