"""What a run holds in memory for its record does not grow with its length."""

from __future__ import annotations

import tracemalloc

import pytest

from llmspell import Effect, tool
from llmspell.journal.recording import Recording

pytestmark = pytest.mark.anyio

KEPT = 16 << 10  # bytes
MANY = 2000


@pytest.mark.parametrize(
    "source",
    [
        "for i = 1, MANY do Task.all{function() State.get('a') end, function() State.get('b') end} end",
        "for i = 1, MANY do Task.race{function() State.get('a') end, function() Task.sleep(9) end} end",
        "Hook.before('state.get', function() end) for i = 1, MANY do State.get('a') end",
        "for i = 1, MANY do State.update('a', function(n) return (n or 0) + 1 end) end",
    ],
    ids=["tasks", "races", "hooks", "functions"],
)
async def test_what_is_over_is_forgotten(new_runtime, source):
    held: list[int] = []
    turns = tracemalloc.Filter(inclusive=True, filename_pattern="*/llmspell/journal/turns.py")
    async with new_runtime() as runtime:
        await runtime.execute(source.replace("MANY", "10"))

        @runtime.hooks.at("run.end")
        def end(_):
            now = tracemalloc.take_snapshot().filter_traces([turns]).traces
            held.append(sum(trace.size for trace in now))

        tracemalloc.start()
        try:
            await runtime.execute(source.replace("MANY", str(MANY)))
        finally:
            tracemalloc.stop()
    assert held[0] < KEPT


async def test_calls_of_leaves_that_have_ended_are_forgotten(new_runtime):
    recordings: list[Recording] = []

    @tool
    async def keep(effect: Effect) -> None:
        recordings.append(effect.run[Recording])
        for n in range(3):
            await effect.perform("state.set", key="n", value=n)
        assert len(effect.run[Recording].calls) == 3

    source = "Hook.before('state.set', function() end) for i = 1, 5 do keep() end"
    async with new_runtime(tools=[keep]) as runtime:
        await runtime.execute(source)
    assert not recordings[0].calls
