"""Effects that the spell gives up, whose handlers go on all the same."""

import asyncio

import anyio
import pytest

from llmspell import Limits, Runtime
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.journal.recording import Recording
from llmspell.state import MemoryStore
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio

bridge = Bridge("stubborn", __file__)
bridge.lua = """
local host = ...
return { stubborn = function(how, cancel)
  return host.perform("stubborn." .. how, { cancel = cancel })
end }
"""


@bridge.effect(leaf=False)
async def returns(effect: Effect, cancel: LuaFunction) -> str:
    """Return, though it was cancelled."""
    try:
        await effect.call(cancel)
    except asyncio.CancelledError:
        return "all the same"
    return "not cancelled"


@bridge.effect(leaf=False)
async def fails(effect: Effect, cancel: LuaFunction) -> None:
    """Fail in its own words."""
    try:
        await effect.call(cancel)
    except asyncio.CancelledError:
        raise ToolError("no") from None


@bridge.effect(leaf=False)
async def lingers(effect: Effect, cancel: LuaFunction) -> None:
    """Take its time to end."""
    try:
        await effect.call(cancel)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.02)


SOURCE = """
    local task
    task = Task.spawn(function() stubborn('{how}', function() task:cancel() end) end)
    local ok, e = pcall(task.await, task)
    for i = 1, 3 do
      State.set('k', i)
      Task.sleep(0.001)
    end
    return {{ok, e.code, State.get('k')}}
"""


@pytest.fixture
def runtime(tmp_path):
    return Runtime(project=Project(tmp_path), store=MemoryStore(), bridges=[bridge])


@pytest.mark.parametrize("how", ["returns", "fails", "lingers"])
async def test_the_spell_goes_on(runtime, how):
    async with runtime:
        with anyio.fail_after(10):
            result = await runtime.execute(SOURCE.format(how=how))
    assert result == [False, "cancelled", 3]


@pytest.mark.parametrize("how", ["returns", "fails", "lingers"])
async def test_a_scope_around_the_run_still_ends_it(runtime, how):
    async with runtime:
        with anyio.move_on_after(0.5) as scope:
            await runtime.execute(SOURCE.format(how=how).replace("return", "Task.sleep(60) return"))
        assert scope.cancelled_caught
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("how", ["returns", "fails", "lingers"])
async def test_a_limit_ends_it(tmp_path, how):
    made = Runtime(
        project=Project(tmp_path), store=MemoryStore(), bridges=[bridge], limits=Limits(effects=4)
    )
    async with made:
        with pytest.raises(Exception, match="effects"), anyio.fail_after(10):
            await made.execute(SOURCE.format(how=how))
    assert asyncio.current_task().cancelling() == 0


class Cancelled:
    """Notes of each cancelled write whether its hook may do more at that moment."""

    def __init__(self):
        self.may_go_on = []

    def started(self, effect):
        pass

    def finished(self, effect, seconds, error):
        if effect.name == "state.set" and isinstance(error, asyncio.CancelledError):
            abandoned = effect.run[Recording].abandoned
            self.may_go_on.append(abandoned.find_around(f"{effect.path}!0.0/1") is None)


async def test_a_hook_at_a_given_up_spell_goes_on_until_it_hears_of_that(tmp_path):
    """When the host has got that far depends on timing; what the hook does in between must not."""
    source = """
        Hook.before("state.set", function() Task.sleep(9) end)
        local task = Task.spawn(function() Spell.run("State.set('a', 1)") end)
        Task.sleep(0.05)
        task:cancel()
        Task.sleep(0.05)
    """
    seen = Cancelled()
    async with Runtime(project=Project(tmp_path), observers=[seen], isolate=False) as made:
        await made.execute(source)
    assert seen.may_go_on == [True]
