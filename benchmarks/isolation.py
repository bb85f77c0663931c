"""Isolated spells: effects, starts, and fairness beside a crowd of endless loops."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable
from pathlib import Path
from tempfile import TemporaryDirectory

from llmspell import Limits, Runtime
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.errors import LimitExceeded
from llmspell.state import MemoryStore

EFFECTS = 20_000
STARTS = 50
CROWD = 100
ALONE = 3  # seconds to measure an honest spell that runs alone
CPU = 0.2  # CPU time limit of each endless loop, in seconds

bridge = Bridge("bench", __file__)
bridge.lua = (
    "local host = ... return { tick = function() return host.perform('bench.tick', {}) end }"
)

ticks: list[float] = []


@bridge.effect()
def tick() -> bool:
    """Record the time; return whether to continue."""
    ticks.append(time.perf_counter())
    return len(ticks) < EFFECTS


def _runtime(folder: str, *, isolate: bool) -> Runtime:
    options = {"project": Project(Path(folder)), "store": MemoryStore(), "bridges": [bridge]}
    return Runtime(isolate=isolate, record=False, limits=Limits(time=CPU, effects=10**9), **options)


async def effects(runtime: Runtime) -> float:
    """Return the number of effects per second."""
    ticks.clear()
    begin = time.perf_counter()
    await runtime.execute("while tick() do end")
    return EFFECTS / (time.perf_counter() - begin)


async def warm_start(runtime: Runtime) -> float:
    """Return the median time in seconds from `run` to the first effect, with a warm worker."""
    times = []
    for _ in range(STARTS):
        ticks.clear()
        begin = time.perf_counter()
        await runtime.execute("tick()")
        times.append(ticks[0] - begin)
        await asyncio.sleep(0.02)
    return statistics.median(times)


async def _endless(runtime: Runtime) -> None:
    try:
        await runtime.execute("while true do end")
    except LimitExceeded as error:
        if error.limit == "time":
            return
    raise AssertionError("an endless loop was not ended by its time limit")


async def _longest_wait(runtime: Runtime, others: Awaitable[object]) -> tuple[float, float]:
    """Measure an honest spell until `others` are done.

    Returns the longest time one of its effects took, and the total time, in seconds.
    """
    ticks.clear()
    begin = time.perf_counter()
    honest = asyncio.create_task(runtime.execute("while tick() do Task.sleep(0.005) end"))
    await others
    honest.cancel()
    await asyncio.gather(honest, return_exceptions=True)
    gaps = [after - before for before, after in itertools.pairwise(ticks)]
    return max(gaps) - 0.005, time.perf_counter() - begin


async def measure() -> None:
    with TemporaryDirectory() as folder:
        async with (
            _runtime(folder, isolate=False) as inside,
            _runtime(folder, isolate=True) as apart,
        ):
            plain, isolated = await effects(inside), await effects(apart)
            print(
                f"effects a second of an isolated spell          {isolated:8,.0f}      {plain / isolated:5.1f} x fewer than in the process"
            )
            here, there = await warm_start(inside), await warm_start(apart)
            print(
                f"first effect of an isolated spell, warm        {there * 1e3:8.2f} ms   {there / here:5.1f} x in the process"
            )
            # Load what a process needs for its first sleep, which would block its loop once.
            await apart.execute("Task.sleep(0)")
            alone, _ = await _longest_wait(apart, asyncio.sleep(ALONE))
            crowd = asyncio.gather(*(_endless(apart) for _ in range(CROWD)))
            wait, whole = await _longest_wait(apart, crowd)
            print(
                f"longest wait beside {CROWD} endless loops          {wait * 1e3:8.1f} ms   alone {alone * 1e3:.1f} ms; all ended after {whole:.1f} s"
            )


def main() -> None:
    asyncio.run(measure())
