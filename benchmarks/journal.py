"""The cost of recording a run, and the speed of replay and resume.

Times are CPU times, except for whole processes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.effects import bridge
from llmspell import Limits, Runtime
from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.errors import LimitExceeded
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

EFFECTS = 20_000
ROUNDS = 3
TURNS = 500

leaves = Bridge("leaves", __file__)
leaves.lua = """
local host = ...
return { leaf = function(n) return host.perform("leaves.nothing", { n = n }) end }
"""


@leaves.effect(repeatable=True)
async def nothing(n: int) -> int:
    """Do nothing, without awaiting anything."""
    return n


def runtime(folder: Path, **options) -> Runtime:
    options.setdefault("limits", Limits(effects=10**9))
    return Runtime(
        project=Project(folder), store=MemoryStore(), bridges=[bridge, leaves], **options
    )


async def recording(folder: Path) -> str:
    """Compare a recorded leaf with an unrecorded one, interleaved; return the id of a run."""
    times: dict[bool, list[float]] = {False: [], True: []}
    ids: list[str] = []
    source = f"for i = 1, {EFFECTS} do leaf(i) end"
    for _ in range(ROUNDS):
        for record in (False, True):
            async with runtime(folder, record=record) as made:
                begin = time.process_time()
                await made.execute(source, begun=ids.append)
                times[record].append((time.process_time() - begin) / EFFECTS * 1e6)
    plain, recorded = min(times[False]), min(times[True])
    print(f"leaf effect                                    {plain:8.2f} µs")
    print(
        f"leaf effect, recorded                          {recorded:8.2f} µs   {recorded - plain:+.1f} µs"
    )
    return ids[-1]


async def replaying(folder: Path, run: str) -> None:
    best = 0.0
    for _ in range(ROUNDS):
        async with runtime(folder) as made:
            begin = time.process_time()
            await made.replay(run)
            best = max(best, EFFECTS / (time.process_time() - begin))
    print(f"replay                                         {best:8,.0f} effects/s")


async def stopped(folder: Path) -> str:
    """Record a run that stops after 10,000 effects, to be resumed; return its id."""
    spell = folder / "many.lua"
    spell.write_text("for i = 1, 10000 do os.time() end return 'done'")
    ids: list[str] = []
    async with runtime(folder, limits=Limits(effects=9_999)) as made:
        with suppress(LimitExceeded):
            await made.run(spell, begun=ids.append)
    return ids[0]


def resume(folder: Path, run: str) -> None:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "llmspell", "resume", run, "--limit", "effects=20000"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    print(f"resume of 10,000 effects, whole process        {time.perf_counter() - begin:8.2f} s")


async def conversation(folder: Path) -> None:
    """Measure the disk space of a long conversation, compared with its text."""
    words = "the quick brown fox jumps over the lazy dog while it rains in the valley below and "
    said = [f"{n}: {words * 5}" for n in range(2 * TURNS)]
    model = ScriptedProvider(said[::2])
    asked = "\n".join(said[1::2])
    source = (
        "local a = Agent.create{} for line in params.lines:gmatch('[^\\n]+') do a:prompt(line) end"
    )
    spell = folder / "talk.lua"
    spell.write_text(f'--- /// spell\n--- [params]\n--- lines = ""\n--- ///\n{source}')
    async with runtime(folder, providers=[model], model="scripted/any") as made:
        begin = time.perf_counter()
        await made.run(spell, params={"lines": asked})
        seconds = time.perf_counter() - begin
    size = (folder / ".llmspell" / "runs.db").stat().st_size
    text = sum(map(len, said))
    print(
        f"a conversation of {TURNS} turns                    {size / text:8.2f} x its text, "
        f"{text >> 10} KiB, {seconds:.1f} s"
    )


def main() -> None:
    with TemporaryDirectory() as folder:
        run = asyncio.run(recording(Path(folder)))
        asyncio.run(replaying(Path(folder), run))
        resume(Path(folder), asyncio.run(stopped(Path(folder))))
    with TemporaryDirectory() as folder:
        asyncio.run(conversation(Path(folder)))


if __name__ == "__main__":
    main()
