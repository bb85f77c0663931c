"""The cost of an effect, of a run, and of many concurrent tasks and spells."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lupa import lua55

from llmspell import Limits, Runtime
from llmspell.bridge import Bridge, Bridges
from llmspell.config import Project
from llmspell.lua.image import build
from llmspell.lua.vm import Vm
from llmspell.state import MemoryStore

EFFECTS = 100_000
ROUNDS = 5

bridge = Bridge("bench", __file__)
bridge.lua = """
local host = ...
return { effect = function(n) return host.perform("bench.nothing", n and { n = n } or {}) end }
"""


@bridge.effect()
async def nothing(n: int | None = None) -> None:
    """Do nothing, without awaiting anything."""


async def bare_round_trips(count: int) -> None:
    """lupa alone: a coroutine yields a name and an argument, and a handler is awaited."""

    async def handler(_: object) -> None: ...

    handlers = {b"bench.nothing": handler}
    source = b"return function(n) for i = 0, n do coroutine.yield('bench.nothing', i) end end"
    coroutine = lua55.LuaRuntime(encoding=None).execute(source).coroutine(count)
    request = next(coroutine)
    for _ in range(count):
        name, argument = request
        request = coroutine.send(await handlers[name](argument))


def cpu() -> float:
    return time.process_time()


async def leaf_effect(runtime: Runtime) -> None:
    """Compare the CPU time of a leaf effect with a bare round trip; interleaved, best of each."""
    bare, ours, with_argument = [], [], []
    for _ in range(ROUNDS):
        for measured, work in (
            (bare, lambda: bare_round_trips(EFFECTS)),
            (ours, lambda: runtime.execute(f"for i = 1, {EFFECTS} do effect() end")),
            (with_argument, lambda: runtime.execute(f"for i = 1, {EFFECTS} do effect(i) end")),
        ):
            begin = cpu()
            await work()
            measured.append((cpu() - begin) / EFFECTS * 1e6)
    base = min(bare)
    print(f"bare lupa round trip with an awaited handler   {base:8.2f} µs")
    for title, times in (("leaf effect", ours), ("leaf effect, one argument", with_argument)):
        print(f"{title:<46} {min(times):8.2f} µs   {min(times) / base:5.1f} x")


async def new_state(runtime: Runtime) -> None:
    """Measure a new state and a whole run, interleaved with a bare state."""
    image, states, runs, bare = build(Bridges([]).lua()), [], [], []
    for _ in range(300):
        begin = cpu()
        lua55.LuaRuntime(encoding=None)
        bare.append(cpu() - begin)
        begin = cpu()
        vm = Vm(Limits(), seed=1, image=image, tools=list(runtime.tools))
        states.append(cpu() - begin)
        begin = cpu()
        await runtime.execute("return 1")
        runs.append(cpu() - begin)
    base = min(bare)
    for title, times, more in (
        ("a new state", states, f", {vm.memory_used / 1000:.0f} KB"),
        ("a run that returns at once", runs, ""),
    ):
        print(
            f"{title:<46} {min(times) * 1e6:8.0f} µs   {min(times) / base:5.1f} x a bare state{more}"
        )


async def sleeping_tasks(runtime: Runtime) -> None:
    begin = time.perf_counter()
    await asyncio.gather(*(asyncio.sleep(0.1) for _ in range(1000)))
    bare = time.perf_counter() - begin
    source = (
        "local t = {} for i = 1, 1000 do t[i] = i end Task.map(t, function() Task.sleep(0.1) end)"
    )
    begin = time.perf_counter()
    await runtime.execute(source)
    ours = time.perf_counter() - begin
    print(
        f"1,000 tasks that sleep 0.1 s                   {ours:8.3f} s    {ours / bare:5.1f} x asyncio alone"
    )


async def waiting_spells(runtime: Runtime) -> None:
    def used() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    count = 5000
    before = used()
    runs = [asyncio.create_task(runtime.execute("Task.sleep(3600)")) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    each = (used() - before) / count
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    print(f"5,000 spells waiting at once, each             {each:8.0f} KB")


async def measure() -> None:
    with TemporaryDirectory() as folder:
        options = {"project": Project(Path(folder)), "store": MemoryStore(), "bridges": [bridge]}
        async with Runtime(**options, record=False, limits=Limits(effects=10**9)) as runtime:
            await leaf_effect(runtime)
            await new_state(runtime)
            await sleeping_tasks(runtime)
            await waiting_spells(runtime)


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
