"""Events that a run published and had not yet received are there when it is resumed."""

from __future__ import annotations

import pytest

from llmspell.errors import LimitExceeded
from llmspell.limits import Limits

pytestmark = pytest.mark.anyio

RECEIVES = """
local paid, all = Event.subscribe("order.paid"), Event.subscribe("order.*", {size = 3})
local found = {}
local function note(event) found[#found + 1] = event.topic .. " " .. event.data end
Event.publish("order.paid", 1)
Event.publish("order.sent", 2)
Event.publish("other", 3)
note(paid:receive())
Event.publish("order.paid", 1)
note(paid:receive())
Event.publish("order.paid", 4)
for _ = 1, 3 do note(all:receive()) end -- the oldest was dropped
note(paid:receive())
note(paid:receive(0) or {topic = "nothing", data = "more"})
paid:unsubscribe()
Event.publish("order.paid", 5)
note(all:receive())
return found
"""
FOUND = [
    *["order.paid 1", "order.paid 1", "order.sent 2", "order.paid 1", "order.paid 4"],
    *["order.paid 4", "nothing more", "order.paid 5"],
]

CALLED = """
local found = {}
Event.subscribe("step", function(event)
  found[#found + 1] = event.data
  if event.data < 4 then Event.publish("step", event.data + 1) end
end)
Event.publish("step", 1)
while #found < 4 do Task.sleep(0) end
return found
"""

WAITS_FOR_ROOM = """
local narrow = Event.subscribe("n", {size = 1, overflow = "wait"})
local found = {}
Task.all{
  function() for i = 1, 4 do Event.publish("n", i) end end,
  function() for i = 1, 4 do found[i] = narrow:receive().data end end,
}
return found
"""


async def resumed(new_runtime, source, effects):
    """The results of a run that is stopped by a limit and resumed, and of its replay."""
    ids: list[str] = []
    async with new_runtime(limits=Limits(effects=effects)) as one:
        with pytest.raises(LimitExceeded):
            await one.execute(source, begun=ids.append)
    async with new_runtime() as other:
        return await other.resume(ids[0]), await other.replay(ids[0])


@pytest.mark.parametrize("effects", range(2, 17))
async def test_each_event_is_received_once(new_runtime, effects):
    assert await resumed(new_runtime, RECEIVES, effects) == (FOUND, FOUND)


@pytest.mark.parametrize("effects", range(2, 10))
async def test_so_are_those_that_a_function_is_called_with(new_runtime, effects):
    found = [1, 2, 3, 4]
    assert await resumed(new_runtime, CALLED, effects) == (found, found)


@pytest.mark.parametrize("effects", range(2, 9))
async def test_so_are_those_that_waited_for_room(new_runtime, effects):
    found = [1, 2, 3, 4]
    assert await resumed(new_runtime, WAITS_FOR_ROOM, effects) == (found, found)


async def test_others_do_not_get_them_again(new_runtime):
    ids, told = [], []
    source = "local s = Event.subscribe('x') Event.publish('x', 1) State.get('a') return s:receive().data"
    async with new_runtime(limits=Limits(effects=2)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
    async with new_runtime() as runtime:
        runtime.events.subscribe("x", told.append)
        assert await runtime.resume(ids[0]) == 1
    assert told == []


async def test_those_of_others_are_not_taken_for_its_own(new_runtime):
    """What a run received from elsewhere is no reason to keep one of its own from it."""
    source = """
        local s = Event.subscribe("x")
        Event.publish("go")
        local first = s:receive()
        Event.publish("x", 1)
        State.get("a")
        return {first.data, s:receive().data}
    """
    ids: list[str] = []
    async with new_runtime(limits=Limits(effects=4)) as runtime:
        runtime.events.subscribe("go", lambda _: runtime.events.publish_nowait("x", 1) and None)
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
    async with new_runtime() as runtime:
        assert await runtime.resume(ids[0]) == [1, 1]
