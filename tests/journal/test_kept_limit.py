"""A run that breaches the limit `kept` does so at the same place when it is replayed or resumed."""

import pytest

from llmspell import tool
from llmspell.errors import LimitExceeded
from llmspell.limits import Limits
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio

LARGE = "local s = ('x'):rep(100000) "
BREACHES = {
    "agents": "for i = 1, 30 do print(work{n = i}) Agent.create{system = s} end",
    "state": "Spell.run([[local s = ('x'):rep(100000) for i = 1, 30 do Task.sleep(0.001) print(i) State.set('k' .. i, s) end]])",
    "children": (
        "Task.map({1, 2, 3}, function() Spell.run([[local s = ('x'):rep(100000) "
        "for i = 1, 9 do Task.sleep(0.001) print(i) Tool.define{name = 't' .. i, description = s, run = print} end]]) end)"
    ),
    "conversations": "Task.map({1, 2, 3, 4, 5}, function() local a = Agent.create{} for i = 1, 9 do a:prompt(s) end end)",
    "cached": (
        "local n = 0 Hook.before('tool.call', function() n = n + 1 return {type = 'cache', key = '' .. n} end) "
        "for i = 1, 30 do print(#long{n = i}) end"
    ),
    "arguments": (
        "Event.subscribe('a', {size = 1, overflow = 'wait'}) Event.publish('a', 1) "
        "for i = 1, 30 do print(work{n = i}) Task.spawn(Event.publish, 'a', s) end"
    ),
}


@tool
async def work(n: int) -> int:
    return n


@tool
async def long(n: int) -> str:
    return str(n) * 100_000


@pytest.fixture
def options():
    model = ScriptedProvider(lambda _: "an answer")
    return {"tools": [work, long], "providers": [model], "model": "scripted/any"}


@pytest.mark.parametrize("kind", BREACHES)
async def test_it_is_reached_again(new_runtime, printed, options, kind):
    spell = parse_spell((LARGE + BREACHES[kind]).encode(), name="s", file="s.lua")
    outcomes, ids = [], []

    async def note(work):
        with pytest.raises(LimitExceeded, match="too much kept by the host") as caught:
            await work
        outcomes.append((caught.value.message, caught.value.where, list(printed)))
        printed.clear()

    limits = Limits(kept=2_000_000)
    async with new_runtime(limits=limits, **options) as runtime:
        await note(runtime.run(spell, begun=ids.append))
    async with new_runtime(limits=limits, **options) as runtime:
        await note(runtime.replay(ids[0]))
        await note(runtime.resume(ids[0]))
    assert [outcome[:2] for outcome in outcomes] == [outcomes[0][:2]] * 3
    # What was recorded for other spells, which the breach stopped before they saw it, they see now.
    before, again = outcomes[0][2], outcomes[1][2]
    assert again[: len(before)] == before


async def test_a_higher_limit_lets_it_go_on(new_runtime, options):
    source = "local s = ('x'):rep(100000) for i = 1, 30 do work{n = i} Agent.create{system = s} end return 'done'"
    spell = parse_spell(source.encode(), name="s", file="s.lua")
    ids = []
    async with new_runtime(limits=Limits(kept=2_000_000), **options) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell, begun=ids.append)
    async with new_runtime(limits=Limits(kept=4_000_000), **options) as runtime:
        assert await runtime.resume(ids[0]) == "done"
        assert await runtime.replay(ids[0]) == "done"
