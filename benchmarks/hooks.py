"""The cost of hooks: an effect without any, with hooks in Python, and with one in Lua."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import llmspell.middleware as chain
from llmspell import HookCall, Limits, Runtime
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.state import MemoryStore

EFFECTS = 20_000
ROUNDS = 7

bridge = Bridge("bench", __file__)
bridge.lua = """
local host = ...
return { effect = function(n) return host.perform("bench.effect", { n = n }) end }
"""


@bridge.effect()
async def effect(n: int) -> int:
    """Answer without awaiting anything, as most async handlers can."""
    return n


def sync_hook(call: HookCall) -> None: ...


async def async_hook(call: HookCall) -> None: ...


def other_point(runtime: Runtime) -> None:
    runtime.hooks.register("before:tool.call", sync_hook)


def several(count: int, hook: Callable[[HookCall], object]) -> Callable[[Runtime], None]:
    def register(runtime: Runtime) -> None:
        for _ in range(count):
            runtime.hooks.register("before:bench.effect", hook)

    return register


LOOP = f"for i = 1, {EFFECTS} do effect(i) end"
WITH_LUA = f"Hook.before('bench.effect', function() end) {LOOP}"

# By name: the setup, the spell, and the upper bound on the cost as a multiple of the baseline.
CASES: dict[str, tuple[Callable[[Runtime], None], str, float | None]] = {
    "no layer for hooks": (lambda _: None, LOOP, None),
    "no hook on the point": (other_point, LOOP, 1.05),
    "one sync hook in Python": (several(1, sync_hook), LOOP, 1.5),
    "one async hook in Python": (several(1, async_hook), LOOP, 1.5),
    "ten sync hooks in Python": (several(10, sync_hook), LOOP, 4),
    "ten async hooks in Python": (several(10, async_hook), LOOP, 4),
    "one hook in Lua": (lambda _: None, WITH_LUA, 3),
}


async def cost(folder: Path, name: str) -> float:
    """Return the CPU time of one effect in µs."""
    register, source, bound = CASES[name]
    options = {"project": Project(folder), "store": MemoryStore(), "bridges": [bridge]}
    async with Runtime(**options, record=False, limits=Limits(effects=10**9)) as runtime:
        if bound is None:
            runtime._middleware = tuple(m for m in chain.ORDER if m.name != "hooks")  # noqa: SLF001
        register(runtime)
        begin = time.process_time()
        await runtime.execute(source)
        return (time.process_time() - begin) / EFFECTS * 1e6


async def measure() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    with TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name in CASES:  # interleaved, so that load on the machine affects all alike
                times[name].append(await cost(Path(folder), name))
    base = min(times["no layer for hooks"])
    for name, (*_, bound) in CASES.items():
        best = min(times[name])
        goal = f"of {bound:g} x" if bound else ""
        print(f"{name:<28} {best:6.2f} µs   {best / base:5.2f} x   {goal}")


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()
